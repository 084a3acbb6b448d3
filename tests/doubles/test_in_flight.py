"""The gauge: it counts who is inside, and never lies about it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.doubles import InFlight
from harness.errors import HarnessError

pytestmark = pytest.mark.one_ground

OPERATIONS = st.lists(st.sampled_from(["enter", "leave", "reset"]))


@given(OPERATIONS)
def test_the_gauge_agrees_with_a_model(operations: list[str]) -> None:
    """After any entries, exits and resets; it is never negative, nor above its mark."""
    gauge = InFlight("origin")
    value = high_water = total = 0

    for operation in operations:
        if operation == "enter":
            gauge.enter()
            value, total = value + 1, total + 1
            high_water = max(high_water, value)
        elif operation == "reset":
            gauge.reset()
            high_water, total = value, 0
        elif value:
            gauge.leave()
            value -= 1
        else:
            with pytest.raises(HarnessError, match="left by more than entered"):
                gauge.leave()

        assert (gauge.value, gauge.high_water, gauge.total) == (value, high_water, total)
        assert len(gauge.inside()) == value >= 0


def test_subscribers_are_told_until_they_take_it_back() -> None:
    """After every entry and exit, with the value that it made."""
    gauge, told = InFlight("origin"), list[int]()
    unsubscribe = gauge.subscribe(told.append)
    gauge.subscribe(told.append)()

    with gauge, gauge:
        pass
    unsubscribe()
    unsubscribe()
    with gauge:
        pass

    assert told == [1, 2, 1, 0]


def test_an_entry_that_a_subscriber_refuses_is_undone() -> None:
    """A promise that is broken there raises in whoever entered; the gauge stays true."""
    gauge = InFlight("origin")

    def refuse(_value: int) -> None:
        raise AssertionError

    gauge.subscribe(refuse)
    with pytest.raises(AssertionError):
        gauge.enter()

    assert (gauge.value, gauge.high_water) == (0, 1)
    assert repr(gauge) == "<InFlight 'origin': 0 now, 1 at most>"


def test_who_fails_inside_has_left() -> None:
    """The context manager counts every way out."""
    gauge = InFlight("origin")

    with pytest.raises(ValueError, match="inside"), gauge:
        raise ValueError("inside")

    assert gauge.value == 0
