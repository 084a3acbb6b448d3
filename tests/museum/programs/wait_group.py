"""A wait group of Go over a plain lock, so that who waits is known not to be able to go on.

Each call is one scheduling point: `add` has the name of a container's method, `wait` takes the
lock. What else is done is done through names of its own, and is none: see `channel.py`.
"""

from __future__ import annotations

import threading
from operator import attrgetter, methodcaller

_take, _give = methodcaller("acquire"), methodcaller("release")
_parts, _count = attrgetter("parts"), attrgetter("count")
_set = object.__setattr__


class NegativeCounterError(Exception):
    """More was reported done than was added."""


class WaitGroup:
    """A number that can be waited for to become 0. Any thread.

    Args:
        count: what has been added before anybody can see it.

    # invariant: `zero` is held while `count` is not 0, else for a moment.
    """

    __slots__ = ("count", "parts")

    count: int
    parts: tuple[threading.Lock, threading.Lock]

    def __init__(self, count: int = 0) -> None:
        zero = threading.Lock()
        _set(self, "parts", (threading.Lock(), zero))
        _set(self, "count", count)
        if count:
            _take(zero)

    def add(self, count: int) -> None:
        """Add; -1 reports one done.

        Raises:
            NegativeCounterError: there was none left.
        """
        counting, zero = _parts(self)
        _take(counting)
        before = _count(self)
        if before + count < 0:
            _give(counting)
            raise NegativeCounterError("negative counter")
        _set(self, "count", before + count)
        if not before:
            _take(zero)
        elif not before + count:
            _give(zero)
        _give(counting)

    def wait(self) -> None:
        """Wait until all are done."""
        _, zero = _parts(self)
        zero.acquire()
        _give(zero)
