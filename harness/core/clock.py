"""Virtual time: integer nanoseconds inside, seconds at the edge.

The conversion rounds to the nearest nanosecond, so that sums of decimal seconds made by the code
under test in floats land on the same instants as the same sums made by a scenario. It does not know
who moves the clock, or when.
"""

from __future__ import annotations

import math

from harness.errors import misuse, negative_seconds

SECOND_NS = 1_000_000_000


def to_ns(seconds: float, name: str = "seconds") -> int:
    """Convert a duration to nanoseconds; anything above 0 is at least 1.

    Args:
        seconds: a duration, not negative.
        name: what the caller calls it, for the error.

    Raises:
        HarnessError: negative, infinite or not a number.
    """
    if seconds < 0:
        raise negative_seconds(name, seconds)
    if not math.isfinite(seconds):
        raise misuse(
            name,
            seconds,
            "must be a finite number of seconds.",
            "Use None where no limit is meant.",
        )
    nanoseconds = round(seconds * SECOND_NS)
    return nanoseconds or (1 if seconds > 0 else 0)


def to_seconds(nanoseconds: int) -> float:
    """Convert nanoseconds to seconds."""
    return nanoseconds / SECOND_NS
