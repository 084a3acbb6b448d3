"""Virtual time as the code under test reads it: `time` and `datetime`.

Inside a run the monotonic clocks start at 0 and the wall clock at 2000-01-01 00:00 UTC; both move
only when the kernel moves them. `datetime`, and `localtime` and its like without an argument, are
answered by time-machine, which reaches them in C. It does not know who sleeps, or why.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import time_machine

from harness.core.clock import SECOND_NS, to_ns

from .here import here

_real_sleep = time.sleep
_real_monotonic = time.monotonic
_real_monotonic_ns = time.monotonic_ns
_real_perf_counter = time.perf_counter
_real_perf_counter_ns = time.perf_counter_ns
_real_ctime = time.ctime
_real_asctime = time.asctime

#: 2000-01-01 00:00:00 UTC, as in Go's testing/synctest.
EPOCH_NS = 946_684_800 * SECOND_NS


def sleep(seconds: float, /) -> None:
    """Wait for `seconds` of virtual time; 0 is a scheduling point. Stands for `time.sleep`."""
    world = here.world
    if world is None or world.kernel.current is None:
        _real_sleep(seconds)
        return
    if not isinstance(seconds, (int, float)) and not hasattr(seconds, "__index__"):
        raise TypeError(f"{type(seconds).__name__!r} object cannot be interpreted as an integer")
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    if world.history is not None:
        world.note("sleep", f"{seconds:g}")
    world.sleep(to_ns(seconds))


def monotonic() -> float:
    """Return virtual seconds since the start of the run. Stands for `time.monotonic`."""
    world = here.world
    return _real_monotonic() if world is None else world.read_clock() / SECOND_NS


def monotonic_ns() -> int:
    """Return virtual nanoseconds since the start of the run. Stands for `time.monotonic_ns`."""
    world = here.world
    return _real_monotonic_ns() if world is None else world.read_clock()


def perf_counter() -> float:
    """Return virtual seconds since the start of the run. Stands for `time.perf_counter`."""
    world = here.world
    return _real_perf_counter() if world is None else world.read_clock() / SECOND_NS


def perf_counter_ns() -> int:
    """Return virtual nanoseconds since the start of the run. Stands for `time.perf_counter_ns`."""
    world = here.world
    return _real_perf_counter_ns() if world is None else world.read_clock()


def ctime(seconds: float | None = None, /) -> str:
    """Return the wall clock as text. For `time.ctime`, which time-machine does not reach."""
    return _real_ctime(time.time() if seconds is None else seconds)


def asctime(moment: Any = None, /) -> str:
    """Return the wall clock as text. For `time.asctime`, which time-machine does not reach."""
    return _real_asctime(time.localtime() if moment is None else moment)


class _RunTraveller(time_machine.Traveller):
    """A traveller to where this thread's run is; threads outside any run stay in the present."""

    _present_ns = 0

    def time_ns(self) -> int:
        """Return the wall clock in nanoseconds."""
        world = here.world
        if world is None:
            return self._present_ns + _real_perf_counter_ns()
        world.hear(2)
        return EPOCH_NS + world.kernel.now_ns


@contextmanager
def wall_clock() -> Iterator[None]:
    """Have the wall clock, in UTC, follow the run inside the block."""
    present_ns = time.time_ns() - _real_perf_counter_ns()
    travel = time_machine.travel(datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC), tick=False)
    traveller: Any = travel.start()
    traveller.__class__ = _RunTraveller
    traveller._present_ns = present_ns
    try:
        yield
    finally:
        travel.stop()
