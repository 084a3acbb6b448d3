"""Programs that go wrong in ways that verdicts have words for. `tests/report/verdicts.txt` quotes.

Their lines are quoted too: what is added goes to the end.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from harness import (
    AsyncSimulation,
    Calls,
    Elapsed,
    LeakBound,
    MaxInFlight,
    Simulation,
    fail_nth,
)


class Counter:
    """Counts without a lock."""

    def __init__(self) -> None:
        self.total = 0

    def add(self) -> None:
        self.total = self.total + 1


def lost_update(sim: Simulation) -> None:
    """Two add one each."""
    counter = Counter()
    with sim.storm() as storm:
        storm.spawn(counter.add, copies=2)
    assert counter.total == 2


class Rates:
    """Exchange rates, asked for once and then remembered."""

    def __init__(self, ask: object) -> None:
        self.ask = ask
        self.known: dict[str, object] = {}

    def rate(self, currency: str) -> object:
        if currency not in self.known:
            self.known[currency] = self.ask(currency)  # type: ignore[operator]  # it is a function
        return self.known[currency]


def check_then_act(sim: Simulation) -> None:
    """Two want one rate; the second comes when the first has asked, or should."""
    bank = sim.pool("bank")
    rates = Rates(bank.call)
    with sim.storm(Calls(bank, 1)) as storm:
        storm.spawn(rates.rate, "EUR", copies=2)


def crossed_locks(sim: Simulation) -> None:
    """Two locks, taken in two orders."""
    journal = threading.Lock()
    accounts = threading.Lock()

    def teller() -> None:
        with journal:
            with accounts:
                pass

    def auditor() -> None:
        with accounts:
            with journal:
                pass

    with sim.storm() as storm:
        storm.spawn(teller, name="teller")
        storm.spawn(auditor, name="auditor")


def own_lock(sim: Simulation) -> None:
    """One thread takes a lock twice, where there is nothing to read."""
    lock = threading.Lock()
    mended = [False]

    def read() -> None:
        with lock:
            if not mended[0]:
                repair()

    def repair() -> None:
        with lock:
            mended[0] = True

    with sim.storm() as storm:
        storm.spawn(read, name="reader")


def left_behind(sim: Simulation) -> None:
    """A worker waits for a job that nobody brings."""
    jobs: queue.Queue[str] = queue.Queue()

    def start() -> None:
        threading.Thread(target=jobs.get, name="worker", daemon=True).start()

    with sim.storm(LeakBound()) as storm:
        storm.spawn(start)


def polling(sim: Simulation) -> None:
    """One waits for a flag by looking, and nobody sets it."""
    flags = {"open": False}

    def wait() -> None:
        while not flags["open"]:
            pass

    with sim.storm() as storm:
        storm.spawn(wait, name="poller")


def nobody_took_it(sim: Simulation) -> None:
    """A thread fails where its list is empty."""
    items = ["one"]

    def take() -> None:
        if items:
            items.pop()

    with sim.storm():
        threads = [threading.Thread(target=take, name=name) for name in ("first", "second")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def too_many(sim: Simulation) -> None:
    """Two may be inside, and a slot is counted before it is taken."""
    origin = sim.pool("origin", latency=0.050)
    free = [1]

    def call() -> None:
        if free[0] > 0:
            free[0] -= 1
            origin.call("user:1")
            free[0] += 1

    with sim.storm(MaxInFlight(origin, 1)) as storm:
        storm.spawn(call, copies=2)


def too_long(sim: Simulation) -> None:
    """Three calls one after the other, promised to be made at once."""
    origin = sim.pool("origin", latency=0.050)
    lock = threading.Lock()

    def call() -> None:
        with lock:
            origin.call("user:1")

    with sim.storm(Elapsed(0.050)) as storm:
        storm.spawn(call, copies=3)


def waits_for_its_own_loop(sim: Simulation) -> None:
    """A task waits in its thread for what only its loop could bring."""

    async def answer() -> str:
        return "yes"

    async def ask() -> str:
        loop = asyncio.get_running_loop()
        return asyncio.run_coroutine_threadsafe(answer(), loop).result()

    with sim.storm():
        asyncio.run(ask())


def thread_and_loop(sim: Simulation) -> None:
    """A thread and a task of a loop add one each."""
    counter = Counter()

    async def add() -> None:
        counter.add()

    def run() -> None:
        asyncio.run(add())

    with sim.storm() as storm:
        storm.spawn(counter.add, name="adder")
        storm.spawn(run, name="looper")
    assert counter.total == 2


async def two_tasks(sim: AsyncSimulation) -> None:
    """Two take the last one, each after a look."""
    left = ["last"]

    async def take() -> None:
        if left:
            await asyncio.sleep(0)
            left.pop()

    async def clean() -> None:
        await asyncio.sleep(0)
        left.clear()

    async with sim.storm() as storm:
        storm.spawn(take, name="taker")
        storm.spawn(clean, name="cleaner")
    storm.results()


def unreturned(sim: Simulation) -> None:
    """A connection is not given back if the call on it fails."""
    sim.inject(fail_nth(2))
    origin = sim.pool("origin")
    connections = threading.Semaphore(1)

    def call() -> None:
        connections.acquire()
        origin.call("user:1")
        connections.release()

    def caller() -> None:
        try:
            call()
        except ConnectionError:
            call()

    with sim.storm() as storm:
        storm.spawn(caller, copies=2, name="caller")


def slow_machine(sim: Simulation) -> None:
    """One waits a second for what takes no time at all."""
    answers: queue.Queue[str] = queue.Queue()
    with sim.storm() as storm:
        storm.spawn(answers.put, "yes", name="answer")
        assert answers.get(timeout=1.0) == "yes"


def one_wait_for_all(sim: Simulation) -> None:
    """Two wait, and one of them is woken."""
    condition = threading.Condition()

    def wait() -> None:
        with condition:
            condition.wait()

    with sim.storm() as storm:
        storm.spawn(wait, copies=2, name="waiter")
        sim.settle()
        with condition:
            condition.notify()


def executor_in_itself(sim: Simulation) -> None:
    """A job of a pool with one worker waits for another of its jobs."""
    with sim.storm(), ThreadPoolExecutor(1, thread_name_prefix="pool") as pool:

        def outer() -> None:
            pool.submit(time.sleep, 0.1).result()

        pool.submit(outer).result()


def kept_lock(sim: Simulation) -> None:
    """One ends with a lock that another wants."""
    journal = threading.Lock()

    def clerk() -> None:
        journal.acquire()

    with sim.storm() as storm:
        storm.spawn(clerk, copies=2, name="clerk")


def set_between(sim: Simulation) -> None:
    """A flag is set between two looks, by a thread that does nothing else."""
    flag = threading.Event()

    def read() -> None:
        if not flag.is_set():
            assert not flag.is_set()

    with sim.storm() as storm:
        storm.spawn(read, name="reader")
        storm.spawn(flag.set, name="setter")


def given_back_late(sim: Simulation) -> None:
    """A lock is given back between two looks, by a thread that has slept with it."""
    lock = threading.Lock()

    def hold() -> None:
        with lock:
            time.sleep(1.0)

    def look() -> None:
        time.sleep(1.0)
        before = lock.locked()
        after = lock.locked()
        assert before == after

    with sim.storm() as storm:
        storm.spawn(hold, name="holder")
        storm.spawn(look, name="looker")


def granted_too_late(sim: Simulation) -> None:
    """A lock is asked for until it is given back, and given back whether or not it was got."""
    lock = threading.Lock()

    def hold() -> None:
        with lock:
            time.sleep(1.0)

    def ask() -> None:
        lock.acquire(timeout=1.0)
        lock.release()

    with sim.storm() as storm:
        storm.spawn(hold, name="holder")
        storm.spawn(ask, name="asker")


async def set_from_outside(sim: AsyncSimulation) -> None:
    """A thread answers a task of a loop, and does not wake the loop."""
    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    threading.Thread(target=answer.set_result, args=("yes",), name="bank").start()
    assert await answer == "yes"


def loop_without_tasks(sim: Simulation) -> None:
    """A loop runs until it is stopped, and nobody is left who could stop it."""
    asyncio.new_event_loop().run_forever()


async def crossed_locks_of_a_loop(sim: AsyncSimulation) -> None:
    """Two tasks take two locks in two orders."""
    journal, accounts = asyncio.Lock(), asyncio.Lock()

    async def take(first: asyncio.Lock, second: asyncio.Lock) -> None:
        async with first:
            await asyncio.sleep(0)
            await second.acquire()

    async with sim.storm() as storm:
        storm.spawn(take, journal, accounts, name="teller")
        storm.spawn(take, accounts, journal, name="auditor")


async def await_each_other(sim: AsyncSimulation) -> None:
    """Two tasks wait for each other's end, and the main one for both."""
    tasks: list[asyncio.Task[None]] = []

    async def wait(other: int) -> None:
        await tasks[other]

    tasks.append(asyncio.create_task(wait(1), name="teller"))
    tasks.append(asyncio.create_task(wait(0), name="auditor"))
    await asyncio.gather(*tasks)


async def gathered_under_a_lock(sim: AsyncSimulation) -> None:
    """One waits with a lock for tasks of which one wants the lock."""
    journal = asyncio.Lock()

    async def write() -> None:
        async with journal:
            pass

    async with journal:
        clerk = asyncio.create_task(write(), name="clerk")
        await asyncio.gather(asyncio.sleep(1.0), asyncio.gather(clerk))


async def grouped_under_a_lock(sim: AsyncSimulation) -> None:
    """The same with a group, whose tasks the end of the block waits for."""
    journal = asyncio.Lock()

    async def write() -> None:
        async with journal:
            pass

    async with journal, asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(1.0), name="sleeper")
        group.create_task(write(), name="clerk")


async def own_lock_of_a_loop(sim: AsyncSimulation) -> None:
    """A task takes a lock twice."""
    journal = asyncio.Lock()
    async with journal:
        await journal.acquire()
