"""Virtual time: integer nanoseconds inside, seconds at the edge.

The conversion rounds to the nearest nanosecond, so that sums of decimal seconds made by the code
under test in floats land on the same instants as the same sums made by a scenario. It does not know
who moves the clock, or when.
"""

from __future__ import annotations

import math
import re
from typing import Final

from harness.errors import misuse, negative_seconds

SECOND_NS = 1_000_000_000

_DURATION: Final = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?")


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


def seconds_of(text: str) -> float:
    """Return how long `10m`, `1h30m`, `90s` or `90` is, in seconds.

    Raises:
        HarnessError: it is none of these, or no time at all.
    """
    match = _DURATION.fullmatch(text.strip())
    hours, minutes, seconds = (float(part or 0) for part in match.groups()) if match else (0, 0, 0)
    total = 3600 * hours + 60 * minutes + seconds
    if not total:
        raise misuse("time", text, "is no time.", "Write 90s, 10m or 1h30m.")
    return total
