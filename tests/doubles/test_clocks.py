"""Clocks that are wrong: by how much, and never twice the same."""

from __future__ import annotations

import time
from typing import Any

from harness.doubles import SkewedClock
from tests.doubles.running import holds, in_threads


def test_a_clock_is_ahead_by_its_skew_and_moves_with_time() -> None:
    """Before and after it is set; another clock does not care."""

    def program(sim: Any) -> None:
        ahead, right = SkewedClock("node-1", skew=2.5), SkewedClock("node-2")
        assert ahead() - right() == 2.5

        sim.advance(10.0)
        ahead.skew = -1.0

        assert ahead.now_ns() - right.now_ns() == -1_000_000_000
        assert right() == time.time()

    holds(program, schedules=1)


def test_a_distinct_clock_never_returns_an_instant_twice() -> None:
    """Not while time stands still, and not after it was set back."""
    clock = SkewedClock("node-1", distinct=True, source=lambda: 946_684_800 * 10**9)

    readings = [clock() for _ in range(3)]
    clock.skew = -60.0
    readings += [clock(), clock()]

    assert len(set(readings)) == 5
    assert readings == sorted(readings)


def test_a_distinct_clock_is_distinct_for_threads() -> None:
    """Whoever asks, and however many at once."""
    clock = SkewedClock("node-1", distinct=True, source=lambda: 0)
    readings: list[int] = []

    def read() -> None:
        readings.extend(clock.now_ns() for _ in range(100))

    in_threads(*[read] * 4)

    assert len(set(readings)) == 400


def test_the_store_has_a_clock_of_its_own() -> None:
    """What vanishes does so by the store's clock, not by that of a node."""

    def program(sim: Any) -> None:
        store = sim.store("store", clock=SkewedClock("store", skew=100.0))
        client = store.client("node-1")
        client.set("lease", "mine", px=1000)

        sim.advance(0.999)
        assert client.get("lease") == "mine"
        store.clock.skew += 0.001

        assert client.get("lease") is None
        # 0.999 s have passed, and it was set ahead by a millisecond.
        assert client.time() == (946_684_800 + 101, 0)

    holds(program, schedules=1)


def test_a_clock_is_shown_with_its_skew() -> None:
    """So that a report says whose clock is how wrong."""
    assert repr(SkewedClock("node-1", skew=-0.25)) == "<SkewedClock 'node-1': -0.25 s>"
