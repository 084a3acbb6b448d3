"""Clocks that may be wrong: one of the store, one of each node, each with a skew of its own.

Fault model: a clock is ahead or behind by so many seconds, and may be set while the test runs. What
never happens: a clock that stands still or drifts by itself; a storm sets the skew where it wants
that. It does not know whether the time behind it is virtual.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from harness.core.clock import SECOND_NS, to_ns

#: How far two readings of a distinct clock are apart at least: what a float of today's date can
#: tell apart.
DISTINCT_NS = 1_000


class SkewedClock:
    """The time as one machine has it. Any thread.

    It can be called like `time.time`, so that code takes it for `clock=`.

    Args:
        name: how it is called in reports.
        skew: seconds by which it is ahead; negative if it is behind.
        distinct: never return the same instant twice, as a clock of nanoseconds does: a reading at
            the instant of the one before is a microsecond later.
        source: the right time, in nanoseconds.
    """

    def __init__(
        self,
        name: str = "clock",
        *,
        skew: float = 0.0,
        distinct: bool = False,
        source: Callable[[], int] | None = None,
    ) -> None:
        self.name = name
        self._source = source
        self._skew_ns = _signed_ns(skew)
        self._distinct = distinct
        self._last_ns: int | None = None
        self._lock = threading.Lock()

    @property
    def skew(self) -> float:
        """Seconds by which it is ahead of the right time."""
        return self._skew_ns / SECOND_NS

    @skew.setter
    def skew(self, seconds: float) -> None:
        """Set the clock; a distinct one that is set back gives no instant again."""
        self._skew_ns = _signed_ns(seconds)

    def now_ns(self) -> int:
        """Return the time in nanoseconds since 1970."""
        # Looked up at each call: inside a run `time.time_ns` is another function.
        now_ns = (self._source or time.time_ns)() + self._skew_ns
        if not self._distinct:
            return now_ns
        with self._lock:
            if self._last_ns is not None:
                now_ns = max(now_ns, self._last_ns + DISTINCT_NS)
            self._last_ns = now_ns
        return now_ns

    def now(self) -> float:
        """Return the time in seconds since 1970."""
        return self.now_ns() / SECOND_NS

    def __call__(self) -> float:
        """Return the time in seconds since 1970."""
        return self.now()

    def __repr__(self) -> str:
        return f"<SkewedClock {self.name!r}: {self.skew:+g} s>"


def _signed_ns(seconds: float) -> int:
    return to_ns(abs(seconds), "skew") * (-1 if seconds < 0 else 1)
