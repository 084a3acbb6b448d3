"""Virtual time: seconds at the edge, whole nanoseconds inside."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.clock import SECOND_NS, seconds_of, to_ns, to_seconds
from harness.errors import HarnessError

# From 2**22 s (48 days) on, a float of seconds no longer tells all nanoseconds apart.
EXACT_NS = st.integers(0, 2**22 * SECOND_NS - 1)
# Milliseconds, as scenarios write their latencies.
DECIMALS = st.lists(st.integers(0, 100_000).map(lambda ms: Decimal(ms) / 1000), max_size=50)


@given(EXACT_NS)
def test_nanoseconds_survive_the_way_out_and_back(nanoseconds: int) -> None:
    """What the kernel shows as seconds, and gets back, is the same instant."""
    assert to_ns(to_seconds(nanoseconds)) == nanoseconds


@given(DECIMALS)
def test_sums_of_decimal_seconds_meet_at_one_instant(durations: list[Decimal]) -> None:
    """Code that adds floats lands on the instant of exact arithmetic, however rounding went."""
    floats = 0.0
    for duration in durations:
        floats += float(duration)

    assert to_ns(floats) == int(sum(durations, Decimal()) * SECOND_NS)
    assert to_ns(floats) == sum(to_ns(float(duration)) for duration in durations)


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_a_longer_duration_is_never_shorter(one: float, other: float) -> None:
    """Conversion keeps the order of durations."""
    shorter, longer = sorted([one, other])

    assert to_ns(shorter) <= to_ns(longer)


@given(st.floats(min_value=0, exclude_min=True, max_value=1e-9))
def test_anything_above_zero_takes_time(seconds: float) -> None:
    """A wait above 0 moves the clock: who sleeps ever less must not spin at one instant."""
    assert to_ns(seconds) == 1


@pytest.mark.parametrize("seconds", [-1.0, -1e-300, -math.inf])
def test_a_negative_duration_is_refused(seconds: float) -> None:
    """Time does not run backwards, and the error names the caller's own parameter."""
    with pytest.raises(HarnessError, match=r"^latency=.* must not be negative"):
        to_ns(seconds, "latency")


@pytest.mark.parametrize("seconds", [math.inf, math.nan])
def test_a_duration_without_end_is_refused(seconds: float) -> None:
    """A wait must have a length."""
    with pytest.raises(HarnessError, match=r"^timeout=.* must be a finite number of seconds"):
        to_ns(seconds, "timeout")


def test_a_time_is_read_as_people_write_it() -> None:
    """Hours, minutes and seconds; what is none of these, or no time at all, is told."""
    given = ("90", "90s", " 10m", "1h30m", "2h", "0.5s", "1m30")

    assert [seconds_of(text) for text in given] == [90, 90, 600, 5400, 7200, 0.5, 90]
    for wrong in ("", "0", "0s", "soon", "-5s", "5x", "10m5h", "1.5h"):
        with pytest.raises(HarnessError, match=r"is no time\. Write 90s, 10m or 1h30m\."):
            seconds_of(wrong)
