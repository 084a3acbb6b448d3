"""The counting factory and the stub of activity."""

from __future__ import annotations

import pytest

from harness.doubles import CountingFactory, StubActivity

pytestmark = pytest.mark.one_ground


def test_a_factory_counts_what_it_makes_and_what_it_cannot() -> None:
    """It hands on arguments, results and errors as they are."""

    def make(text: str, base: int = 10) -> int:
        return int(text, base)

    factory = CountingFactory(make)

    assert (factory("7"), factory("ff", base=16)) == (7, 255)
    with pytest.raises(ValueError, match="seven"):
        factory("seven")

    assert (factory.calls, factory.failures, factory.made) == (3, 1, [7, 255])


def test_activity_is_what_the_test_says() -> None:
    """One answer for each question, the last one stays; a new one can be set."""
    activity = StubActivity(2, 0)

    assert [activity.is_active(), activity.active(), activity.active()] == [True, 0, 0]
    activity.set(5)
    assert (activity.active(), activity.asked) == (5, 4)
    assert not StubActivity().is_active()
