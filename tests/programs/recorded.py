"""Programs whose histories are compared: between processes, hash seeds and versions of Python.

`SYNC` use only public operations of the standard library, so that at `sync` all versions
meet the same points. `ORDERED` go through sets of threads, futures or tasks, whose order would be
that of addresses. `SHARED` have points between synchronisation.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.programs.lost_updates import (
    attribute,
    closure_cell,
    iteration_of_a_list,
    jobs_of_an_executor,
)
from tests.programs.lost_wake_ups import notify_one
from tests.programs.together import together

# --- granularity sync -----------------------------------------------------------------------------


def locks(sim: Any) -> None:
    """Three threads take one lock twice each."""
    lock = threading.Lock()
    order: list[str] = []

    def take(name: str) -> None:
        for _ in range(2):
            with lock:
                order.append(name)

    together(lambda: take("first"), lambda: take("second"), lambda: take("third"))
    assert len(order) == 6


def conditions(sim: Any) -> None:
    """Two producers and two consumers over one condition, woken all at once."""
    condition = threading.Condition()
    items: list[int] = []

    def produce() -> None:
        for number in range(2):
            with condition:
                items.append(number)
                condition.notify_all()

    def consume() -> None:
        for _ in range(2):
            with condition:
                condition.wait_for(lambda: items)
                items.pop()

    together(consume, consume, produce, produce)
    assert not items


def events(sim: Any) -> None:
    """Two threads wait for an event, one with a limit that is too short."""
    event = threading.Event()
    seen: list[bool] = []

    def impatient() -> None:
        seen.append(event.wait(1))

    def patient() -> None:
        seen.append(event.wait(10))

    def setter() -> None:
        time.sleep(2)
        event.set()

    together(impatient, patient, setter)
    assert seen == [False, True]


def queues(sim: Any) -> None:
    """Two producers and one consumer over a queue with room for one."""
    parcels: queue.Queue[int] = queue.Queue(1)

    def produce() -> None:
        for number in range(2):
            parcels.put(number)

    def consume() -> None:
        for _ in range(4):
            parcels.get()
            parcels.task_done()

    together(produce, produce, consume)
    parcels.join()


def threads(sim: Any) -> None:
    """Threads that start threads."""

    def grandchild() -> None:
        time.sleep(1)

    def child() -> None:
        together(grandchild, grandchild)

    together(child, child)


def executors(sim: Any) -> None:
    """Five jobs over two workers, waited for in order of completion."""
    with ThreadPoolExecutor(2, thread_name_prefix="worker") as executor:
        jobs = [executor.submit(time.sleep, seconds) for seconds in (3, 1, 2, 1, 1)]
        for job in concurrent.futures.as_completed(jobs):
            job.result()


def sleeps(sim: Any) -> None:
    """Sleepers that wake at the same instant."""

    def sleeper() -> None:
        time.sleep(1)
        time.sleep(0.5)

    together(sleeper, sleeper, sleeper)
    assert time.monotonic() == 1.5


def gathers(sim: Any) -> None:
    """Tasks under `gather` that wake at the same instants."""

    async def worker(pace: float) -> float:
        for _ in range(3):
            await asyncio.sleep(pace)
        return pace

    async def main() -> None:
        paces = await asyncio.gather(worker(0), worker(1), worker(0.5), worker(1))
        assert list(paces) == [0, 1, 0.5, 1]

    asyncio.run(main())


def async_queues(sim: Any) -> None:
    """Two producers and two consumers over an asyncio queue with room for one."""

    async def main() -> None:
        parcels: asyncio.Queue[int] = asyncio.Queue(1)

        async def produce() -> None:
            for number in range(2):
                await parcels.put(number)

        async def consume() -> None:
            for _ in range(2):
                await parcels.get()
                parcels.task_done()

        await asyncio.gather(produce(), consume(), produce(), consume())
        await parcels.join()

    asyncio.run(main())


def threads_and_a_loop(sim: Any) -> None:
    """Jobs that a loop hands to threads, and a thread that calls into the loop."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str] = loop.create_future()

        def caller() -> None:
            time.sleep(1)
            loop.call_soon_threadsafe(answer.set_result, "pong")

        await asyncio.gather(asyncio.to_thread(caller), asyncio.to_thread(time.sleep, 1), answer)

    asyncio.run(main())


# --- through sets ---------------------------------------------------------------------------------


def aborting_task_group(sim: Any) -> None:
    """A TaskGroup of eight; the first to wake up fails, and the others are cancelled."""
    left: list[int] = []

    async def worker(number: int) -> None:
        try:
            await asyncio.sleep(1 + number)
            raise ConnectionError
        finally:
            left.append(number)
            sim.point(f"worker {number} leaves")

    async def main() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(8):
                    group.create_task(worker(number))
        except* ConnectionError:
            pass

    asyncio.run(main())
    assert sorted(left) == list(range(8))


def wait_over_a_set(sim: Any) -> None:
    """`asyncio.wait` returns sets of tasks; the program goes through them."""

    async def main() -> None:
        tasks = {asyncio.create_task(asyncio.sleep(number % 3)) for number in range(8)}
        while tasks:
            done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                sim.point(f"{task.get_name()} is done")

    asyncio.run(main())


def wait_and_as_completed(sim: Any) -> None:
    """`concurrent.futures.wait` and `as_completed` go through sets of futures."""
    with ThreadPoolExecutor(3) as executor:
        jobs = {executor.submit(time.sleep, number % 3): number for number in range(6)}
        done, rest = concurrent.futures.wait(jobs, return_when=concurrent.futures.FIRST_COMPLETED)
        for job in done:
            sim.point(f"job {jobs[job]} is done first")
        for job in concurrent.futures.as_completed(rest):
            sim.point(f"job {jobs[job]} is done")


def executor_shutdown(sim: Any) -> None:
    """`ThreadPoolExecutor(4).shutdown` joins a set of threads."""
    executor = ThreadPoolExecutor(4)
    for seconds in (4, 1, 3, 2):
        executor.submit(time.sleep, seconds)
    executor.shutdown(wait=True)
    assert time.monotonic() == 4.0


def leftovers_cancelled(sim: Any) -> None:
    """`asyncio.run` cancels eight tasks that `main` left, in some order."""

    async def worker(number: int) -> None:
        try:
            await asyncio.sleep(100)
        finally:
            sim.point(f"worker {number} is cancelled")

    async def main() -> None:
        tasks = [asyncio.create_task(worker(number)) for number in range(8)]
        await asyncio.sleep(1)
        assert len(tasks) == 8

    asyncio.run(main())


# --- order that the program takes from addresses --------------------------------------------------


class Account:
    """Has a lock and no order of its own: a set of accounts goes by address. Any thread."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.lock = threading.Lock()


#: An allocator that hands out other addresses in every run, as the real one does sooner or later.
_runs = itertools.count()


def _a_set_of_accounts() -> set[Account]:
    accounts = {Account(0) for _ in range(6)}
    # Which of them lies first is another one in the next run, whatever addresses there are.
    turn = next(_runs)
    for place, account in enumerate(accounts):
        account.number = (turn + place) % len(accounts)
    return accounts


def accounts_by_address(sim: Any) -> None:
    """Two tellers lock the accounts of a set, in the order of the set."""
    accounts = _a_set_of_accounts()

    def teller() -> None:
        for account in accounts:
            with account.lock:
                sim.point(f"account {account.number}")

    together(teller, teller)


def first_account_by_address(sim: Any) -> None:
    """Fails whenever the first account of a set is not the one with the lowest number."""
    first, *_ = _a_set_of_accounts()
    for _ in range(first.number):
        sim.point(f"account {first.number}")
    assert first.number == 0


Program = Callable[[Any], None]

SYNC: tuple[Program, ...] = (
    locks,
    conditions,
    events,
    queues,
    threads,
    executors,
    sleeps,
    gathers,
    async_queues,
    threads_and_a_loop,
)
ORDERED: tuple[Program, ...] = (
    aborting_task_group,
    wait_over_a_set,
    wait_and_as_completed,
    executor_shutdown,
    leftovers_cancelled,
)
SHARED: tuple[Program, ...] = (
    attribute,
    closure_cell,
    iteration_of_a_list,
    jobs_of_an_executor,
    notify_one,
)
