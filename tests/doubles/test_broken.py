"""The mutants of the harness itself: what the real part keeps, the broken one does not.

Each claim takes the part as an argument. It is made of the real one, where it must hold, and of
the mutant, where it must fail: a self-test that cannot fail proves nothing.
"""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from harness.core.kernel import Kernel
from harness.doubles import Behaviour, FakePool, Gate, InFlight, Scope
from harness.explore import explore
from harness.snapshot import Snapshot, snapshot
from tests.doubles import broken
from tests.doubles.running import SCHEDULES

pytestmark = pytest.mark.one_ground


class CancelledOnPurpose(Exception):
    """What a writer raises here."""


def the_highest_value_that_anybody_saw_is_reported(part: Callable[[str], InFlight]) -> None:
    """H1: two overlapping calls report exactly 2."""

    def program(sim: Any) -> None:
        gauge = part("origin")
        seen: list[int] = []

        def caller() -> None:
            with gauge:
                seen.append(gauge.value)

        with sim.storm() as storm:
            storm.spawn(caller, copies=2)

        assert max(seen) == 1 or gauge.high_water == 2
        assert gauge.value == 0

    _explored(program)


def the_gauge_is_0_after_every_end(part: Callable[..., FakePool]) -> None:
    """H2: a failed, a cancelled and a raising call all leave."""

    def program(_sim: Any) -> None:
        pool = part("origin")
        pool.set("bad", Behaviour(error=ValueError))
        pool.set("slow", Behaviour(latency=5.0))

        def refuse(_chunk: object) -> None:
            raise CancelledOnPurpose

        with suppress(ValueError):
            pool.call("bad")
        with suppress(TimeoutError):
            pool.call("slow", timeout=1.0)
        with suppress(CancelledOnPurpose):
            pool.call("good", writer=refuse)

        assert pool.in_flight == 0

    _explored(program)


def ten_callers_all_leave_on_one_opening(part: Callable[[str], Gate]) -> None:
    """H3: one opening is enough, even if the gate shuts right behind it."""

    def program(sim: Any) -> None:
        gate = part("start")

        with sim.storm() as storm:
            storm.spawn(gate.wait, copies=10)
            gate.wait_for(10)
            gate.open()
            gate.close()

        assert gate.waiting == 0

    _explored(program)


def a_call_cancelled_at_20_ms_ends_at_20_ms(part: Callable[..., FakePool]) -> None:
    """H4: a latency of 5 s is over when the caller is."""

    def program(sim: Any) -> None:
        pool = part("origin", latency=5.0)
        scope = Scope()

        def caller() -> None:
            with suppress(concurrent.futures.CancelledError):
                pool.call("seg-1", cancel=scope)
            ended.append(time.monotonic())

        ended: list[float] = []
        with sim.storm() as storm:
            storm.spawn(caller)
            time.sleep(0.02)
            scope.set()

        assert ended == [0.02]

    _explored(program)


def a_keys_own_record_wins(part: Callable[..., FakePool]) -> None:
    """H6: before and after the default is set."""
    pool = part("origin")
    pool.set("seg-1", Behaviour(payload=b"own"))
    pool.set_default(Behaviour(payload=b"default"))

    assert (pool.call("seg-1"), pool.call("seg-2")) == (b"own", b"default")


def who_is_inside_at_a_reset_stays_counted(part: Callable[[str], InFlight]) -> None:
    """H8: the gauge is a fact, not a statistic."""
    gauge = part("origin")
    gauge.enter()

    gauge.reset()

    assert (gauge.value, gauge.high_water, gauge.total) == (1, 1, 0)
    gauge.leave()
    assert gauge.value == 0


def a_leak_is_reported_although_another_ended(part: Callable[..., Snapshot]) -> None:
    """H9: one unrelated thread ends while one leaks."""
    stop_old, stop_new = threading.Event(), threading.Event()
    old = threading.Thread(target=stop_old.wait, name="old")
    old.start()
    before = snapshot()
    leak = threading.Thread(target=stop_new.wait, name="leak")
    leak.start()
    stop_old.set()
    old.join()

    now = snapshot()
    after = part(now.alive, now.at)
    stop_new.set()
    leak.join()

    assert [one.name for one in after.since(before) if one.name in ("old", "leak")] == ["leak"]


def everything_due_at_an_instant_happens_then(part: Callable[..., Kernel]) -> None:
    """H11: the clock stands still while somebody can run."""
    kernel = part(lambda _options: 0)
    for name in ("sleeper", "one", "another"):
        kernel.spawn(name)
    happened: list[tuple[str, int]] = []

    while (actor := kernel.next()) is not None:
        happened.append((actor.name, kernel.now_ns))
        if len(happened) == 1:
            kernel.park("sleep", kernel.now_ns + 10)
        else:
            kernel.end(actor)

    assert happened == [("sleeper", 0), ("one", 0), ("another", 0), ("sleeper", 10)]


ROWS: list[tuple[Callable[[Any], None], type, type]] = [
    (the_highest_value_that_anybody_saw_is_reported, InFlight, broken.ReadsGaugeLate),
    (the_gauge_is_0_after_every_end, FakePool, broken.ForgetsWhoFails),
    (ten_callers_all_leave_on_one_opening, Gate, broken.LetsOneThrough),
    (ten_callers_all_leave_on_one_opening, Gate, broken.RearmsItself),
    (a_call_cancelled_at_20_ms_ends_at_20_ms, FakePool, broken.SleepsThroughCancellation),
    (a_keys_own_record_wins, FakePool, broken.DefaultWins),
    (who_is_inside_at_a_reset_stays_counted, InFlight, broken.ResetsTheLiveGauge),
    (a_leak_is_reported_although_another_ended, Snapshot, broken.CountsOnly),
    (everything_due_at_an_instant_happens_then, Kernel, broken.AdvancesEarly),
]
MUTANTS = [mutant for _, _, mutant in ROWS]


@pytest.mark.parametrize(("claim", "real"), dict.fromkeys((row[0], row[1]) for row in ROWS))
def test_the_real_part_keeps_the_claim(claim: Callable[[Any], None], real: type) -> None:
    """What the mutants break holds for the part that everybody uses."""
    claim(real)


@pytest.mark.parametrize(("claim", "mutant"), [(row[0], row[2]) for row in ROWS])
def test_the_mutant_is_caught(claim: Callable[[Any], None], mutant: type) -> None:
    """Each mutant fails the claim of its row, and by that claim."""
    with pytest.raises(AssertionError):
        claim(mutant)


def test_every_row_has_its_mutant() -> None:
    """No mutant of broken.py is forgotten, and no row is without one."""
    written = [
        thing
        for thing in vars(broken).values()
        if isinstance(thing, type) and thing.__module__ == broken.__name__
    ]

    assert written == MUTANTS
    rows = {(mutant.__doc__ or "").partition(":")[0] for mutant in MUTANTS}
    assert rows == {"H1", "H2", "H3", "H4", "H6", "H8", "H9", "H11"}


def _explored(program: Callable[[Any], None]) -> None:
    """Assert that a program holds on every schedule."""
    exploration = explore(program, schedules=SCHEDULES)
    assert exploration.verdict == "holds", str(exploration.violation)
