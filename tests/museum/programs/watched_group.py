"""A wait group that refuses what Go forbids: an `add` once somebody's wait is over.

Each call is one scheduling point, and nothing inside is one: see `channel.py`. What changes lies in
an object of its own, so that who waits has looked at nothing that changes before the wait is over.
"""

from __future__ import annotations

import threading
from operator import attrgetter, methodcaller

_take, _give = methodcaller("acquire"), methodcaller("release")
_parts, _count, _is_over = attrgetter("parts"), attrgetter("count"), attrgetter("is_over")
_set = object.__setattr__


class MisusedGroupError(Exception):
    """More was added while the end was already being waited for."""


class _Tally:
    __slots__ = ("count", "is_over")

    count: int
    is_over: bool

    def __init__(self, count: int) -> None:
        _set(self, "count", count)
        _set(self, "is_over", False)


class WatchedGroup:
    """A number that can be waited for to become 0, once. Any thread.

    Args:
        count: what has been added before anybody can see it.

    # invariant: `zero` is held while the count is not 0, else for a moment.
    """

    __slots__ = ("parts",)

    parts: tuple[threading.Lock, _Tally]

    def __init__(self, count: int = 0) -> None:
        zero = threading.Lock()
        _set(self, "parts", (zero, _Tally(count)))
        if count:
            _take(zero)

    def add(self, count: int) -> None:
        """Add; -1 reports one done.

        Raises:
            MisusedGroupError: somebody's wait is over.
        """
        zero, tally = _parts(self)
        if _is_over(tally):
            raise MisusedGroupError("added while somebody waits")
        before = _count(tally)
        _set(tally, "count", before + count)
        if not before:
            _take(zero)
        elif not before + count:
            _give(zero)

    def wait(self) -> None:
        """Wait until all are done."""
        zero, tally = _parts(self)
        zero.acquire()
        _set(tally, "is_over", True)
        _give(zero)
