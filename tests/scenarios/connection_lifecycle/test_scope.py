"""Scopes: one switch, a cause, a parent and a deadline."""

import time
from concurrent.futures import CancelledError
from typing import Any

from scenarios.connection_lifecycle.scope import Scope
from tests.doubles.running import holds


def test_the_first_cause_wins() -> None:
    """A second cancellation changes nothing and calls nobody."""
    scope, calls = Scope(), list[str]()
    scope.on_set(lambda: calls.append("called"))
    first = ValueError("the first")

    scope.cancel(first)
    scope.cancel(ValueError("the second"))

    assert scope.is_set()
    assert scope.cause is first
    assert calls == ["called"]


def test_a_cancellation_without_a_cause_has_one() -> None:
    """Whoever raises the cause needs no special case."""
    scope = Scope()
    assert scope.cause is None

    scope.cancel()

    assert isinstance(scope.cause, CancelledError)


def test_a_callback_that_comes_late_is_called_at_once() -> None:
    """There is no moment at which a cancellation can be missed."""
    scope, calls = Scope(), list[str]()
    scope.cancel()

    scope.on_set(lambda: calls.append("late"))

    assert calls == ["late"]


def test_whoever_is_called_back_finds_the_scope_set() -> None:
    """Also if it registers at the very moment of the cancellation."""

    def program(sim: Any) -> None:
        scope, seen = Scope(), list[bool]()

        def watch() -> None:
            scope.on_set(lambda: seen.append(scope.is_set()))

        with sim.storm() as storm:
            storm.spawn(watch, copies=3)
            storm.spawn(scope.cancel, copies=2)

        assert seen == [True] * 3

    holds(program, schedules=200)


def test_a_callback_that_was_taken_back_is_not_called() -> None:
    """Taking it back again, or after the cancellation, does no harm."""
    scope, calls = Scope(), list[str]()
    take_back = scope.on_set(lambda: calls.append("never"))

    take_back()
    scope.cancel()
    take_back()

    assert calls == []


def test_a_parent_cancels_its_children_and_not_the_other_way_round() -> None:
    """The cause is handed down."""
    parent = Scope()
    one, other = Scope(parent), Scope(parent)
    reason = ValueError("the client has gone")

    one.cancel()
    assert not parent.is_set()
    assert not other.is_set()
    parent.cancel(reason)

    assert other.cause is reason
    assert isinstance(one.cause, CancelledError)
    assert Scope(parent).cause is reason


def test_a_detached_scope_leaves_nothing_with_its_parent() -> None:
    """A parent that lives for hours does not keep every child it ever had."""
    parent = Scope()
    child = Scope(parent)

    child.detach()
    child.detach()
    parent.cancel()

    assert not child.is_set()
    assert not parent._callbacks


def test_a_deadline_counts_as_set_and_a_later_one_is_not_installed() -> None:
    """A child never outlives its parent's deadline."""

    def program(sim: Any) -> None:
        parent = Scope(timeout=2.0)
        child, short = Scope(parent, timeout=9.0), Scope(parent, timeout=1.0)
        assert (parent.deadline, child.deadline, short.deadline) == (2.0, 2.0, 1.0)
        assert child.remaining() == 2.0

        assert child.wait(0.5) is False
        assert child.wait() is True

        assert time.monotonic() == 2.0
        assert isinstance(child.cause, TimeoutError)
        assert child.remaining() == 0.0

    holds(program)
