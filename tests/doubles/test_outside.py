"""The doubles outside the world: real threads, a real loop, a real clock.

Judged by order and counts, never by how long something took; nobody sleeps longer than 50 ms.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from typing import Any

import pytest

from harness.doubles import (
    AsyncFakePool,
    AsyncGate,
    AsyncTokenBudget,
    Behaviour,
    BlockingSource,
    FakePool,
    Gate,
    InFlight,
    Scope,
    TokenBudget,
    async_poll_until,
    poll_until,
)
from tests.doubles.running import REAL_LIMIT, in_threads


def test_ten_threads_gather_at_a_gate_and_leave_on_one_opening() -> None:
    """All are in flight behind it, and none afterwards."""
    pool, gate = FakePool("origin"), Gate()
    pool.block_until(gate)

    def director() -> None:
        gate.wait_for(10, REAL_LIMIT)
        inside.append(pool.in_flight)
        gate.open()
        gate.close()

    inside: list[int] = []
    outcomes = in_threads(director, *[lambda: pool.call("a", timeout=REAL_LIMIT)] * 10)

    assert (inside, outcomes[1:]) == ([10], ["a"] * 10)
    assert (pool.in_flight, pool.high_water, pool.calls(id="a")) == (0, 10, 10)


def test_a_pool_of_two_never_serves_three() -> None:
    """Ten threads, first in, first out; every slot comes back."""
    pool, gate = FakePool("origin", size=2), Gate()
    pool.block_until(gate)

    def director() -> None:
        poll_until(lambda: gate.waiting + pool.queued == 10, timeout=REAL_LIMIT)
        gate.open()

    _, *outcomes = in_threads(director, *[pool.call] * 10)

    assert outcomes == [""] * 10
    assert (pool.high_water, pool.in_flight, pool.queued) == (2, 0, 0)
    order = {
        kind: [event.ordinal for event in pool.events if event.kind == kind]
        for kind in ("arrived", "started")
    }
    assert sorted(order["started"]) == sorted(order["arrived"]) == list(range(1, 11))


def test_a_cancellation_reaches_a_call_wherever_it_waits() -> None:
    """In a latency of an hour, in the queue and at a shut gate: all end, none keeps a slot."""
    scope, gate = Scope(), Gate()
    slow, gated = FakePool("slow", size=1, latency=3600.0), FakePool("gated")
    gated.block_until(gate)

    def director() -> None:
        gate.wait_for(1, REAL_LIMIT)
        poll_until(lambda: slow.in_flight + slow.queued == 2, timeout=REAL_LIMIT)
        scope.set()

    def caller(pool: FakePool) -> object:
        with pytest.raises(concurrent.futures.CancelledError):
            pool.call("a", cancel=scope)
        return "cancelled"

    outcomes = in_threads(
        director, lambda: caller(slow), lambda: caller(slow), lambda: caller(gated)
    )

    assert outcomes[1:] == ["cancelled"] * 3
    assert (slow.in_flight, slow.queued, gated.in_flight, gate.waiting) == (0, 0, 0, 0)


def test_a_deadline_ends_a_hang() -> None:
    """And so does one at a shut gate."""
    pool = FakePool("origin")
    pool.set("hung", Behaviour(hang=True))

    with pytest.raises(TimeoutError):
        pool.call("hung", timeout=0.005)
    with pytest.raises(TimeoutError):
        Gate().wait(timeout=0.005)
    assert (pool.in_flight, pool.events[-1].kind) == (0, "timed out")


def test_many_questions_in_real_threads() -> None:
    """Bounded, complete, and no thread is left."""
    pool = FakePool("origin", latency=0.001)
    threads = threading.active_count()

    results = list(pool.exists_many([str(index) for index in range(20)], concurrency=4))

    assert sorted(int(result.key) for result in results) == list(range(20))
    assert pool.high_water <= 4
    assert threading.active_count() == threads
    assert pool.submit("a").result(REAL_LIMIT) == "a"
    assert pool.in_flight == 0


def test_a_gauge_counts_through_real_contention() -> None:
    """Eight threads, a thousand entries each: nothing is lost."""
    gauge = InFlight("origin")

    def work() -> None:
        for _ in range(1000):
            with gauge:
                pass

    assert in_threads(*[work] * 8) == [None] * 8

    assert (gauge.value, gauge.total) == (0, 8000)
    assert 1 <= gauge.high_water <= 8


def test_a_blocked_read_and_a_budget_in_real_threads() -> None:
    """The interrupt frees every read; the budget never lends more than it has."""
    source, budget = BlockingSource(), TokenBudget(2)

    def director() -> None:
        source.wait_for(2, REAL_LIMIT)
        source.interrupt()

    def lend() -> None:
        for _ in range(50):
            budget.acquire(timeout=REAL_LIMIT)
            budget.release()

    outcomes = in_threads(director, source.read, source.read, *[lend] * 4)

    assert [type(outcome) for outcome in outcomes[1:3]] == [InterruptedError] * 2
    assert (budget.held, budget.acquires, budget.releases) == (0, 200, 200)
    assert budget.high_water <= 2


def test_a_gauge_wakes_a_real_thread() -> None:
    """Whoever waits for the gauge sees it change."""
    pool, gate = FakePool("origin"), Gate()
    pool.block_until(gate)

    def director() -> None:
        poll_until(lambda: pool.in_flight == 2, timeout=REAL_LIMIT, on=pool.gauge)
        gate.open()

    assert in_threads(director, pool.call, pool.call) == [None, "", ""]


def test_tasks_on_a_real_loop() -> None:
    """Queue, gate, cancellation, time-out, questions and budget; nothing is left behind."""

    async def main() -> None:
        pool, gate = AsyncFakePool("origin", size=2, latency=0.001), AsyncGate()
        assert await asyncio.gather(*(pool.call(str(n)) for n in range(6))) == list("012345")
        assert (pool.high_water, pool.in_flight) == (2, 0)

        pool.block_until(gate)
        calls = [asyncio.create_task(pool.call("a")) for _ in range(3)]
        await gate.wait_for(2, REAL_LIMIT)
        assert (pool.in_flight, pool.queued) == (2, 1)
        calls[0].cancel()
        await gate.wait_for(2, REAL_LIMIT)
        await async_poll_until(lambda: pool.queued == 0, timeout=REAL_LIMIT)
        gate.open()
        outcomes: list[Any] = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError, str, str]

        pool.set("hung", Behaviour(hang=True))
        with pytest.raises(TimeoutError):
            await pool.call("hung", timeout=0.005)
        results = [result async for result in pool.exists_many("abcdef", concurrency=3)]
        assert sorted(result.key for result in results) == list("abcdef")

        budget = AsyncTokenBudget(1)
        await budget.acquire()
        with pytest.raises(TimeoutError):
            await budget.acquire(timeout=0.005)
        budget.release()
        assert (pool.in_flight, pool.queued, budget.held) == (0, 0, 0)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())
