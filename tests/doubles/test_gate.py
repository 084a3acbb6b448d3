"""Gates: who waits, who is let through, who gives up."""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from collections.abc import Callable
from typing import Any

import pytest

from harness.doubles import AsyncGate, Gate, Scope
from harness.errors import HarnessError
from tests.doubles.running import holds

pytestmark = pytest.mark.one_ground

Cancelled = concurrent.futures.CancelledError


def test_an_open_gate_lets_through() -> None:
    """At once and at any time-out, until it is closed; only a dead scope fails there."""
    gate, scope = Gate(is_open=True), Scope()
    scope.set()

    gate.wait()
    gate.wait(timeout=0.0)
    with pytest.raises(Cancelled):
        gate.wait(cancel=scope)

    gate.close()
    with pytest.raises(TimeoutError, match="gate 'gate': nothing within 0 s"):
        gate.wait(timeout=0.0)
    assert repr(gate) == "<Gate 'gate': shut, 0 waiting>"


def test_a_wait_ends_at_its_deadline_or_cancellation() -> None:
    """Exactly then, and whoever gave up does not count as waiting."""

    def program(sim: Any) -> None:
        gate, scope = sim.gate(), Scope()

        def late() -> float:
            with pytest.raises(TimeoutError):
                gate.wait(timeout=3.0)
            return time.monotonic()

        def cancelled() -> float:
            with pytest.raises(Cancelled):
                gate.wait(timeout=9.0, cancel=scope)
            return time.monotonic()

        with sim.storm() as storm:
            storm.spawn(late)
            storm.spawn(cancelled)
            gate.wait_for(2)
            sim.advance(2.0)
            scope.set()
        assert (storm.results(), gate.waiting) == ([3.0, 2.0], 0)

    holds(program)


def test_who_waits_is_let_through_by_one_opening() -> None:
    """All of them, even if it shuts at once; who comes later waits."""

    def program(sim: Any) -> None:
        gate = sim.gate()
        with sim.storm() as storm:
            storm.spawn(gate.wait, copies=4)
            gate.wait_for(4)
            gate.open()
            gate.close()
            assert gate.waiting == 0
            storm.spawn(gate.wait, name="late")
            gate.wait_for(1)
            gate.open()

    holds(program)


def test_gathering_is_awaited() -> None:
    """`wait_for(n)` returns as soon as n wait at once, and gives up at its deadline."""

    def program(sim: Any) -> None:
        gate = sim.gate()

        def caller() -> None:
            time.sleep(1.0)
            gate.wait()

        with sim.storm() as storm:
            storm.spawn(caller, copies=2)
            gate.wait_for(0)
            with pytest.raises(TimeoutError, match="2 callers at gate 'gate'"):
                gate.wait_for(2, timeout=0.5)
            gate.wait_for(2)
            assert (sim.now(), gate.waiting) == (1.0, 2)
            gate.open()

    holds(program)


def test_tasks_have_the_same_gate() -> None:
    """Deadline, cancellation, one opening for all, gathering."""

    async def program(sim: Any) -> None:
        gate = sim.gate()
        patient = [asyncio.create_task(gate.wait()) for _ in range(3)]
        late = asyncio.create_task(gate.wait(timeout=3.0))
        doomed = asyncio.create_task(gate.wait())
        with pytest.raises(TimeoutError):
            await gate.wait_for(6, timeout=0.5)
        await gate.wait_for(5)
        doomed.cancel()
        await asyncio.wait([late, doomed])
        assert (sim.now(), gate.waiting, type(late.exception())) == (3.0, 3, TimeoutError)
        assert doomed.cancelled()
        gathered = asyncio.create_task(gate.wait_for(4))
        patient.append(asyncio.create_task(gate.wait()))
        await gathered
        gate.open()
        gate.close()
        await asyncio.gather(*patient)
        assert repr(gate) == "<AsyncGate 'gate': shut, 0 waiting>"

        opened = AsyncGate(is_open=True)
        await opened.wait(timeout=0.0)
        assert opened.is_open

    holds(program)


@pytest.mark.parametrize(
    ("misuse", "message"),
    [
        (lambda: Gate(""), "name='' must be a text that is not empty"),
        (lambda: Gate().wait_for(-1), "callers=-1 must be at least 0."),
        (lambda: Gate(is_open=True).wait_for(1), "callers=1 cannot gather at gate 'gate'"),
        (lambda: Gate().wait(timeout=float("nan")), "timeout=nan must be a finite number"),
    ],
)
def test_misuse_is_one_clear_line(misuse: Callable[[], object], message: str) -> None:
    """What could never come true is refused."""
    with pytest.raises(HarnessError) as caught:
        misuse()

    assert message in str(caught.value)
