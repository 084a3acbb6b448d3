"""A wait group of Go over a condition. Each call is one scheduling point; see `channel.py`."""

from __future__ import annotations

import threading
from operator import attrgetter

_acquire, _release = threading.Condition.__enter__, threading.Condition.__exit__
_wait, _notify_all = threading.Condition.wait, threading.Condition.notify_all
_changed, _count = attrgetter("changed"), attrgetter("count")
_set = object.__setattr__


class NegativeCounterError(Exception):
    """More was reported done than was added."""


class WaitGroup:
    """A number that can be waited for to become 0. Any thread.

    Args:
        count: what has been added before anybody can see it.
    """

    __slots__ = ("changed", "count")

    _harness_sync = True

    def __init__(self, count: int = 0) -> None:
        _set(self, "changed", threading.Condition())
        _set(self, "count", count)

    def put(self, count: int = 1) -> None:
        """Add."""
        self._add(count)

    def task_done(self) -> None:
        """Report one done.

        Raises:
            NegativeCounterError: there was none left.
        """
        self._add(-1)

    def wait(self) -> None:
        """Wait until all are done."""
        changed = _changed(self)
        _acquire(changed)
        while _count(self):
            _wait(changed)
        _release(changed, None, None, None)

    def _add(self, count: int) -> None:
        changed = _changed(self)
        _acquire(changed)
        try:
            if _count(self) + count < 0:
                raise NegativeCounterError("negative counter")
            _set(self, "count", _count(self) + count)
            if not _count(self):
                _notify_all(changed)
        finally:
            _release(changed, None, None, None)
