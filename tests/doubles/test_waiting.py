"""Scopes and patience: what comes first ends a wait."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from typing import Any

import pytest

from harness.doubles import Scope
from harness.doubles.waiting import Patience, caller_name
from tests.doubles.running import holds

pytestmark = pytest.mark.one_ground


def test_a_scope_calls_back_once() -> None:
    """In order of registration, at once if it is set already, never what was taken back."""
    scope, called = Scope(), list[str]()
    scope.on_set(lambda: called.append("first"))
    take_back = scope.on_set(lambda: called.append("taken back"))
    scope.on_set(lambda: called.append("second"))
    take_back()

    scope.set()
    scope.set()
    late = scope.on_set(lambda: called.append("late"))
    late()

    assert called == ["first", "second", "late"]
    assert scope.is_set()


def test_whatever_comes_first_ends_a_wait() -> None:
    """A bell, a deadline or a cancellation; a cancellation wins over a bell at the same instant."""

    def program(sim: Any) -> None:
        def wait(timeout: float | None, cancel_at: float, ring_at: float) -> tuple[str, float]:
            bell, scope, start = threading.Event(), Scope(), time.monotonic()
            patience = Patience(timeout, scope, "'origin'")
            threading.Timer(cancel_at, scope.set).start()
            threading.Timer(ring_at, bell.set).start()
            try:
                patience.wait(bell)
            except (concurrent.futures.CancelledError, TimeoutError) as exc:
                return type(exc).__name__, time.monotonic() - start
            return "rang", time.monotonic() - start

        assert wait(None, 5.0, 3.0) == ("rang", 3.0)
        sim.advance(10.0)
        assert wait(2.0, 5.0, 3.0) == ("TimeoutError", 2.0)
        sim.advance(10.0)
        assert wait(None, 1.0, 3.0) == ("CancelledError", 1.0)
        sim.advance(10.0)

    holds(program)


def test_nothing_is_left_with_a_scope() -> None:
    """Every call takes its callback back, however it ends."""

    def program(_sim: Any) -> None:
        scope = Scope()
        Patience(None, scope, "'origin'").sleep(1.0)
        with pytest.raises(TimeoutError, match=r"'origin': nothing within 0\.5 s"):
            Patience(0.5, scope, "'origin'").sleep(1.0)
        assert (time.monotonic(), scope._callbacks) == (1.5, {})

    holds(program, schedules=2)


def test_a_caller_is_named_by_task_or_thread() -> None:
    """Outside a task it is the thread."""
    assert caller_name() == threading.current_thread().name
