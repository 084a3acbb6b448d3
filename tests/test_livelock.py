"""What spins and what only takes long: a livelock must be seen, and a false alarm must not."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

from harness import AsyncSimulation, Simulation, explore
from harness.core.kernel import Kernel
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


@pytest.mark.parametrize("granularity", ["sync", "shared"])
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
        turns_for_nobody,
        polls_for_no_task,
    ],
)
def test_going_round_for_nothing_is_a_livelock(program: Callable[[Any], Any]) -> None:
    """What goes round and shows nothing new is named, and is no pass."""
    found = explore(program, schedules=2)

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
