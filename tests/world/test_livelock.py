"""What spins and what only takes long: a livelock must be seen, and a false alarm must not."""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

from harness import AsyncSimulation, Simulation, explore
from harness.core.kernel import Kernel
from harness.core.tape import Tape
from harness.core.token import Token
from harness.explore import record, run_token

pytestmark = pytest.mark.one_ground

LONG = 12_000

turned = 0


class Meter:
    """Something that counts."""

    def __init__(self) -> None:
        self.count = 0


def counts_an_attribute(_: Simulation) -> None:
    """Move items through a queue, and count them in an attribute."""
    meter, items = Meter(), queue.Queue[int]()
    while meter.count < LONG:
        items.put(1)
        items.get()
        meter.count += 1


def counts_a_global(_: Simulation) -> None:
    """Count in a module's global."""
    global turned  # noqa: PLW0603 - a global is what it is about
    turned = 0
    event = threading.Event()
    while turned < LONG:
        event.set()
        turned += 1


def reads_a_long_list(_: Simulation) -> None:
    """Read shared data, and add up in a local variable."""
    meter = Meter()
    total = 0
    for number in range(2 * LONG):
        if meter.count == 0:
            total += number
    assert total


def polls_for_a_slow_thread(_: Simulation) -> None:
    """Look every second for something that takes two thousand."""
    done = threading.Event()
    slow = threading.Thread(target=lambda: (time.sleep(2_000), done.set()))
    slow.start()
    while not done.is_set():
        time.sleep(1)
    slow.join()


async def polls_for_a_slow_task(_: AsyncSimulation) -> None:
    """Look every second for a task that takes two thousand."""
    slow = asyncio.create_task(asyncio.sleep(2_000))
    while not slow.done():
        await asyncio.sleep(1)


def retries_for_long(_: Simulation) -> None:
    """Sleep two thousand times in a row."""
    for _attempt in range(2_000):
        time.sleep(0.5)


async def turns_often(_: AsyncSimulation) -> None:
    """Give way twelve thousand times."""
    for _turn in range(LONG):
        await asyncio.sleep(0)


def hands_over_for_long(_: Simulation) -> None:
    """Two threads take turns, six thousand times each."""
    mine, yours = threading.Semaphore(1), threading.Semaphore(0)

    def play(first: threading.Semaphore, second: threading.Semaphore) -> None:
        for _turn in range(LONG // 2):
            first.acquire()
            second.release()

    players = [
        threading.Thread(target=play, args=(mine, yours)),
        threading.Thread(target=play, args=(yours, mine)),
    ]
    for player in players:
        player.start()
    for player in players:
        player.join()


@pytest.mark.parametrize(
    "program",
    [
        counts_an_attribute,
        counts_a_global,
        reads_a_long_list,
        polls_for_a_slow_thread,
        polls_for_a_slow_task,
        retries_for_long,
        turns_often,
        hands_over_for_long,
    ],
)
@pytest.mark.parametrize("granularity", ["sync", "shared"])
def test_a_long_run_is_no_livelock(program: Callable[[Any], Any], granularity: str) -> None:
    """What goes on for long and comes to an end holds, however little of it is seen."""
    found = explore(program, schedules=2, granularity=granularity)

    assert found.verdict == "holds", found.violation or found.why_inconclusive


def waits_for_nobody(_: Simulation) -> None:
    """Look for something that nobody does."""
    meter = Meter()
    while meter.count == 0:
        pass


def polls_for_nobody(_: Simulation) -> None:
    """Look every second for something that nobody does."""
    meter = Meter()
    while meter.count == 0:
        time.sleep(1)


def waits_under_a_lock(_: Simulation) -> None:
    """Look under a lock, and under a condition, for something that nobody does."""
    meter, lock, changed = Meter(), threading.Lock(), threading.Condition()
    while True:
        with lock, changed:
            if meter.count:
                return
        lock.acquire()
        lock.release()


def waits_together(sim: Simulation) -> None:
    """Three threads look under one lock for something that nobody does."""
    meter, lock = Meter(), threading.Lock()

    def look() -> None:
        while True:
            with lock:
                if meter.count:
                    return

    with sim.storm() as storm:
        storm.spawn(look, copies=3)
        sim.settle()


def many_wait_together(sim: Simulation) -> None:
    """Eight threads look, in a function each calls: together they are in more states than looks."""
    meter, lock = Meter(), threading.Lock()

    def is_done() -> bool:
        count = meter.count
        return count > 0

    def look() -> None:
        while not is_done():
            with lock:
                meter.count  # noqa: B018 - a point

    with sim.storm() as storm:
        storm.spawn(look, copies=8)
        sim.settle()


async def turns_for_nobody(sim: AsyncSimulation) -> None:
    """Look, eight tasks in turn and each in several steps, for something that nobody does."""
    meter = Meter()

    async def look() -> None:
        while meter.count == 0:
            for _ in range(3):
                if meter.count:
                    return
                await asyncio.sleep(0)

    async with sim.storm() as storm:
        storm.spawn(look, copies=8)
        await sim.settle()


async def polls_for_no_task(_: AsyncSimulation) -> None:
    """Look every second for something that no task does."""
    meter = Meter()
    while meter.count == 0:
        await asyncio.sleep(1)


@pytest.mark.parametrize(
    "program",
    [
        waits_for_nobody,
        polls_for_nobody,
        waits_under_a_lock,
        waits_together,
        many_wait_together,
        turns_for_nobody,
        polls_for_no_task,
    ],
)
def test_going_round_for_nothing_is_a_livelock(program: Callable[[Any], Any]) -> None:
    """What goes round and shows nothing new is named, and is no pass."""
    found = explore(program, schedules=2, shrink=False)

    assert found.verdict == "Livelock"
    assert found.steps < 50_000


def spins_beside_a_thread(sim: Simulation) -> None:
    """Two threads look for a flag that a third sets after three hundred steps of its own."""
    flag: list[int] = []

    def spin() -> None:
        while not flag:
            pass

    def work() -> None:
        for _ in range(300):
            len(flag)
        flag.append(1)

    with sim.storm() as storm:
        storm.spawn(spin, copies=2)
        storm.spawn(work)


async def spins_beside_a_task(sim: AsyncSimulation) -> None:
    """Two tasks give way until a flag is set, which a third does when it has given way itself."""
    flag: list[int] = []

    async def spin() -> None:
        while not flag:
            await asyncio.sleep(0)

    async def work() -> None:
        for _ in range(300):
            await asyncio.sleep(0)
        flag.append(1)

    async with sim.storm() as storm:
        storm.spawn(spin, copies=2)
        storm.spawn(work)


@pytest.mark.parametrize("strategy", ["pct:2", "pct:3", "pos", "surw", "urw", "exhaustive"])
@pytest.mark.parametrize("program", [spins_beside_a_thread, spins_beside_a_task])
def test_spinning_until_another_has_got_somewhere_is_no_livelock(
    program: Callable[[Any], Any], strategy: str
) -> None:
    """However unlucky the order: the other gets turns that are long enough for it."""
    found = explore(program, schedules=40, strategy=strategy)

    assert found.verdict == "holds", found.violation or found.why_inconclusive
    # Nobody may say that there is no other order.
    assert not found.exhausted


class Box:
    """A value, a flag, and who has looked at it."""

    def __init__(self) -> None:
        self.value = 0
        self.polls = 0
        self.done = False


def polls_under_a_lock(sim: Simulation) -> None:
    """Two threads look under a lock for a flag that a third sets under it."""
    box, lock = Box(), threading.Lock()

    def poll() -> None:
        while True:
            with lock:
                if box.done:
                    return

    def work() -> None:
        with lock:
            box.done = True

    with sim.storm() as storm:
        storm.spawn(poll, copies=2)
        storm.spawn(work)


def tries_again(sim: Simulation) -> None:
    """Four threads try to get a lock until they do, three times each."""
    box, lock = Box(), threading.Lock()

    def work() -> None:
        for _ in range(3):
            while not lock.acquire(blocking=False):
                pass
            box.value += 1
            lock.release()

    with sim.storm() as storm:
        storm.spawn(work, copies=4)
    assert box.value == 12


def reads_slowly(sim: Simulation) -> None:
    """One adds up what another looks at without end until it has."""
    box, items = Box(), [Meter() for _ in range(4_000)]

    def add() -> None:
        box.value = sum(item.count for item in items)
        box.done = True

    def poll() -> None:
        while not box.done:
            time.sleep(0)

    with sim.storm() as storm:
        storm.spawn(poll)
        storm.spawn(add)


def counts_its_looks(sim: Simulation) -> None:
    """Three threads count how often they look for what a fourth does in three hundred steps."""
    box = Box()

    def poll() -> None:
        while not box.done:
            box.polls += 1

    def work() -> None:
        for _ in range(300):
            box.value += 1
        box.done = True

    with sim.storm() as storm:
        storm.spawn(poll, copies=3)
        storm.spawn(work)


async def counts_its_turns(_: AsyncSimulation) -> None:
    """A task counts how often it looks whether another has ended."""
    box = Box()

    async def work() -> None:
        for _ in range(30):
            await asyncio.sleep(0)

    task = asyncio.create_task(work())
    while not task.done():
        box.polls += 1
        await asyncio.sleep(0)


async def gives_way_until_a_timer(_: AsyncSimulation) -> None:
    """A task gives way until one that sleeps has ended, and one until its time is up."""
    slow = asyncio.create_task(asyncio.sleep(1))
    while not slow.done():
        await asyncio.sleep(0)
    assert asyncio.get_running_loop().time() == 1.0

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            while True:
                await asyncio.sleep(0)
    assert asyncio.get_running_loop().time() == 2.0


async def gives_way_beside_a_thread(_: AsyncSimulation) -> None:
    """A task gives way until its timer, which is due before the one of a thread."""
    ends: list[float] = []
    sleeper = threading.Thread(target=lambda: (time.sleep(5), ends.append(time.monotonic())))
    sleeper.start()
    slow = asyncio.create_task(asyncio.sleep(1))
    began = time.monotonic()
    while not slow.done():
        await asyncio.sleep(0)
    ends.append(time.monotonic())
    while sleeper.is_alive():
        await asyncio.sleep(0)
    assert [end - began for end in ends] == [1.0, 5.0]


def gives_way_beside_many_sleeps(_: Simulation) -> None:
    """A thread sleeps a hundred and fifty times, and the main thread gives way until it has."""

    def sleep() -> None:
        for _nap in range(150):
            time.sleep(1)

    sleeper = threading.Thread(target=sleep)
    sleeper.start()
    while sleeper.is_alive():
        time.sleep(0)
    assert time.monotonic() == 150.0


def looks_at_the_clock(_: Simulation) -> None:
    """Nobody waits for time, but who looks again and again sees it pass, from each clock."""
    for clock, seconds in ((time.monotonic, 30.0), (time.time, 1.0), (time.perf_counter, 0.001)):
        end = clock() + seconds
        while clock() < end:
            time.sleep(0)
    for clock in (time.monotonic, time.time):
        end = clock() + 0.05
        while clock() < end:
            # Not even a point.
            pass


async def looks_at_the_clock_of_the_loop(_: AsyncSimulation) -> None:
    """The same, beside a task whose timer is due before."""
    loop = asyncio.get_running_loop()
    nap = asyncio.create_task(asyncio.sleep(2.5))
    while loop.time() < 2:
        await asyncio.sleep(0)
    assert not nap.done()
    while loop.time() < 3:
        await asyncio.sleep(0)
    await nap


@pytest.mark.parametrize("strategy", ["portfolio", "pct:2", "pct:3", "pos"])
@pytest.mark.parametrize(
    "program",
    [
        polls_under_a_lock,
        tries_again,
        reads_slowly,
        counts_its_looks,
        counts_its_turns,
        gives_way_until_a_timer,
        gives_way_beside_a_thread,
        looks_at_the_clock_of_the_loop,
    ],
)
def test_looking_again_and_again_until_something_is_so_is_no_livelock(
    program: Callable[[Any], Any], strategy: str
) -> None:
    """Whatever those who look do meanwhile, and whatever the others wait for."""
    found = explore(program, schedules=10, strategy=strategy)

    assert found.verdict == "holds", found.violation or found.why_inconclusive


@pytest.mark.parametrize("strategy", ["portfolio", "pct:2", "pct:3", "pos"])
def test_looking_at_the_clock_is_no_livelock(strategy: str) -> None:
    """It takes thousands of looks, and nobody else is there: two runs are all there are."""
    found = explore(looks_at_the_clock, schedules=2, strategy=strategy)

    assert found.verdict == "holds", found.violation or found.why_inconclusive


def test_many_sleeps_beside_who_gives_way_are_no_livelock() -> None:
    """As long as there is something new each time: here, how often the other has slept."""
    found = explore(gives_way_beside_many_sleeps, schedules=2)

    assert found.verdict == "holds", found.violation or found.why_inconclusive


async def hands_on_for_long(_: AsyncSimulation) -> None:
    """Three tasks move three hundred jobs between queues; the last two may change places."""
    jobs, results = asyncio.Queue[int](), asyncio.Queue[int]()
    for number in range(300):
        jobs.put_nowait(number)

    async def work() -> None:
        while True:
            number = await jobs.get()
            await asyncio.sleep(0)
            await results.put(number)
            jobs.task_done()

    workers = [asyncio.create_task(work()) for _ in range(3)]
    await jobs.join()
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    last = [results.get_nowait() for _ in range(300)][-2:]
    assert last == sorted(last)


async def gives_way_for_long(_: AsyncSimulation) -> None:
    """After a thousand turns of one task, two begin; the second may come first."""
    for _turn in range(1_000):
        await asyncio.sleep(0)
    order: list[int] = []

    async def come(number: int) -> None:
        order.append(number)

    async with asyncio.TaskGroup() as group:
        group.create_task(come(0))
        group.create_task(come(1))
    assert order == [0, 1]


@pytest.mark.parametrize("strategy", ["portfolio", "random"])
@pytest.mark.parametrize("program", [hands_on_for_long, gives_way_for_long])
def test_who_goes_on_is_a_choice_however_long_nothing_has_changed(
    program: Callable[[Any], Any], strategy: str
) -> None:
    """Tasks that only talk through queues and futures are not for that reason taken in turn."""
    found = explore(program, schedules=20, strategy=strategy)

    assert found.verdict == "Failed"


async def the_last_comes_first(_: AsyncSimulation) -> None:
    """Of two the last comes first, long after one was passed over by another's thirty turns."""
    order: list[int] = []

    async def come(number: int) -> None:
        order.append(number)

    async def turn(turns: int) -> None:
        for _turn in range(turns):
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(turn(turns)) for turns in (0, 30)]
    await asyncio.sleep(1)
    await turn(1_000)
    assert all(task.done() for task in tasks)
    await asyncio.gather(come(0), come(1))
    assert order == [1, 0]


def test_who_had_its_turn_is_not_passed_over_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was passed over for long and then ran alone gives nobody else a turn."""

    class Last:
        """Always lets the last go on."""

        def tape(self, _run: int) -> Tape:
            return Tape(lambda options: options - 1)

        def learn(self, ran: Any) -> None:
            """Nothing."""

    monkeypatch.setattr(sys.modules["harness.explore"], "make_strategy", lambda *_, **__: Last())
    found = explore(the_last_comes_first, schedules=1)

    assert found.verdict == "holds", found.violation


@pytest.mark.parametrize("program", [spins_beside_a_task, turns_often])
def test_a_run_that_is_recorded_looks_at_the_same_steps(program: Callable[[Any], Any]) -> None:
    """A loop has a short way where nothing is recorded; who spins is seen at the same steps."""
    looked: dict[str, set[int]] = {}
    token = Token.decode(record(program).token)
    for way, run in (
        ("short", lambda: run_token(program, token)),
        ("long", lambda: record(program)),
    ):
        # A mock, since a function here would have points.
        look = mock.patch.object(Kernel, "_fair_turn", autospec=True, side_effect=Kernel._fair_turn)
        with look as looks:
            run()
        looked[way] = {call.args[1] for call in looks.call_args_list}

    assert looked["short"] == looked["long"] != set()
