"""A condition as POSIX has it, for programs that notify after they have let the lock go."""

from __future__ import annotations

import threading


class PosixCondition(threading.Condition):
    """A condition that may be notified by whoever does not hold its lock. Any thread."""

    def _is_owned(self) -> bool:
        return True
