"""Bounded search tries what deviates least first, each run once, and nothing beyond the bound."""

from __future__ import annotations

import asyncio
import math
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from harness.explore import explore
from harness.search.deviations import Cost, Deviations, delays, preemptions
from harness.testing import SCRIPTS, Ask, Move
from tests.museum.catalogue import EXHIBITS, Exhibit
from tests.search.driving import Driver, driving, first_violation, played, touches

RUNS = 3_000
#: Rows small enough that all runs with fewer preemptions than they need can be made.
SMALL = [
    exhibit
    for exhibit in EXHIBITS
    if exhibit.preemptions
    and exhibit.traces is not None
    and exhibit.traces <= 30
    # An `await` gives way by itself: its plain run fails.
    and exhibit.name != "lost_update_across_await"
]


@pytest.fixture(scope="module")
def drive() -> Iterator[Driver]:
    """Prepare once what programs run on."""
    with driving() as driver:
        yield driver


@pytest.mark.parametrize("bound", [0, 1, 2, 3])
def test_all_runs_within_the_bound_are_made_once(bound: int) -> None:
    """Of two with three steps each: as many as have at most so many switches from who could go on.

    Once the first has ended there is no choice. A run with j preemptions is a way to cut what the
    two do into turns that are not empty, where only the last cut may fall on an end.
    """

    def two() -> tuple[Iterator[Move], Iterator[Move]]:
        return touches(*"abc"), touches(*"xyz")

    runs = list(played(Deviations(bound, preemptions), two, 10_000))

    costs = [_preemptions([path for path, _ in one.order]) for one in runs]
    assert costs == sorted(costs), "the least first"
    assert len({one.order for one in runs}) == len(runs), "each once"
    every = [_preemptions(order) for order in _interleavings((0,) * 3, (1,) * 3)]
    assert len(runs) == sum(cost <= bound for cost in every)
    assert len(every) == math.comb(6, 3)


def _interleavings(
    first: tuple[int, ...], second: tuple[int, ...]
) -> Iterator[list[tuple[int, ...]]]:
    if not first or not second:
        yield [(each,) for each in (*first, *second)]
        return
    for rest in _interleavings(first[1:], second):
        yield [(first[0],), *rest]
    for rest in _interleavings(first, second[1:]):
        yield [(second[0],), *rest]


def _preemptions(order: list[tuple[int, ...]]) -> int:
    """Count the switches away from an actor that had steps left."""
    return sum(
        before != after and before in order[place + 1 :]
        for place, (before, after) in enumerate(pairwise(order))
    )


def test_a_bound_of_nothing_makes_the_plain_run() -> None:
    """Without a delay there is one run; without a preemption, one for each order of starts."""
    plain = list(played(Deviations(0, delays), SCRIPTS["lost update"], 100))
    orders = list(played(Deviations(0, preemptions), SCRIPTS["lost update"], 100))

    assert [set(one.ran.choices) for one in plain] == [{0}]
    assert [one.order[0][0] for one in orders] == [(0,), (1,)]


def test_a_delay_costs_as_many_as_are_passed_over() -> None:
    """Of three actors, the third goes first only with two delays."""

    def three() -> tuple[Iterator[Move], ...]:
        return tuple(touches(name) for name in "abc")

    first = [
        {one.order[0][0] for one in played(Deviations(bound, delays), three, 100)}
        for bound in range(3)
    ]

    assert first == [{(0,)}, {(0,), (1,)}, {(0,), (1,), (2,)}]


def test_faults_cost_one_each() -> None:
    """A bound of two allows two of five."""

    def asking() -> Iterator[Move]:
        for _ in range(5):
            yield Ask(2, is_fault=True)

    runs = [sum(one.ran.choices) for one in played(Deviations(2, delays), lambda: (asking(),), 100)]

    assert runs == [0] + [1] * 5 + [2] * 10


@pytest.mark.parametrize("cost", [delays, preemptions], ids=["delay", "preemption"])
def test_runs_that_are_to_come_take_no_room(cost: Cost) -> None:
    """Twenty actors with twenty steps each: a run has thousands of neighbours, few are ever run."""

    def many() -> tuple[Iterator[Move], ...]:
        return tuple(touches(*"abcdefghijklmnopqrst") for _ in range(20))

    strategy = Deviations(3, cost)
    tracemalloc.start()
    try:
        for _ in played(strategy, many, 20):
            pass
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    # A reference for each of 400 choices of each run are 64 kB; the runs leave some garbage. A list
    # for each neighbour would be 25 MB.
    assert held < 1_000_000


@pytest.mark.parametrize("exhibit", SMALL, ids=lambda each: each.name)
def test_a_row_needs_as_many_preemptions_as_published(exhibit: Exhibit, drive: Driver) -> None:
    """With one fewer, no run fails; with so many, one does."""
    needed = exhibit.preemptions
    assert needed, "rows that need none are not here"

    fewer = list(drive(exhibit.program, Deviations(needed - 1, preemptions), RUNS))
    found = first_violation(drive(exhibit.program, Deviations(needed, preemptions), RUNS))

    assert len(fewer) < RUNS, "all within the bound"
    assert first_violation(fewer) is None
    assert found is not None


# --- turns of event loops -------------------------------------------------------------------------


async def _overdraw(sim: Any) -> None:
    account = SimpleNamespace(balance=10)

    async def pay() -> None:
        if account.balance >= 10:
            await asyncio.sleep(0)
            account.balance -= 10

    async def refund() -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        account.balance += 0

    refunding = asyncio.create_task(refund())
    paying = asyncio.create_task(pay()), asyncio.create_task(pay())
    await asyncio.gather(refunding, *paying)
    assert account.balance >= 0


async def _three_turns(sim: Any) -> None:
    async def turn() -> None:
        await asyncio.sleep(0)

    await asyncio.gather(turn(), turn(), turn())


@pytest.mark.parametrize("strategy", ["delay:1", "preemption:1"])
def test_turns_of_a_loop_are_searched(strategy: str) -> None:
    """A tape records a turn among all handles, and is asked among the turns that differ."""
    assert explore(_overdraw, strategy=strategy, schedules=200).violation is not None
    assert explore(_three_turns, strategy=strategy, schedules=200).verdict == "holds"
