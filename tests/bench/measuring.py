"""How a figure is taken: processor time, the best of several rounds after one that does not count.

It does not know what is timed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def pin() -> str:
    """Keep this process on one processor, where the system lets us; say which."""
    with suppress(AttributeError, OSError):
        chosen = max(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {chosen})
        return f"cpu {chosen}"
    return "not pinned"


def best(work: Callable[[], object], rounds: int = 3) -> float:
    """Return the processor seconds of the quickest of `rounds` calls, after one that warms up."""
    work()
    found = float("inf")
    for _ in range(rounds):
        started = time.process_time()
        work()
        found = min(found, time.process_time() - started)
    return found


def resident_bytes() -> int:
    """Return the resident memory of this process, 0 where it cannot be told."""
    with suppress(OSError):
        statm = Path("/proc/self/statm").read_text(encoding="ascii")
        return int(statm.split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
