"""A counting semaphore over plain locks, so that who waits is known not to be able to go on.

Each call is one scheduling point, the first lock that it takes. What else is done is done through
names of its own, and is none: see `channel.py`.
"""

from __future__ import annotations

import threading
from operator import attrgetter, methodcaller

_acquire, _release = methodcaller("acquire"), methodcaller("release")
_parts, _count = attrgetter("parts"), methodcaller("__len__")
_mark, _unmark = list.append, list.pop
_set = object.__setattr__


class Permits:
    """A number of permits. Any thread.

    # invariant: `some` is held while there is no permit, else for a moment.
    """

    __slots__ = ("parts",)

    parts: tuple[threading.Lock, threading.Lock, list[bool]]

    def __init__(self, permits: int) -> None:
        _set(self, "parts", (threading.Lock(), threading.Lock(), [True] * permits))

    def take(self) -> None:
        """Wait for a permit and take it."""
        some, counting, permits = _parts(self)
        some.acquire()
        _acquire(counting)
        _unmark(permits)
        if _count(permits):
            _release(some)
        _release(counting)

    def take_at_once(self) -> bool:
        """Take a permit if there is one; tell whether there was."""
        some, counting, permits = _parts(self)
        counting.acquire()
        found = bool(_count(permits))
        if found:
            _unmark(permits)
            if not _count(permits):
                _acquire(some)
        _release(counting)
        return found

    def give(self) -> None:
        """Give a permit back, or one more."""
        some, counting, permits = _parts(self)
        counting.acquire()
        _mark(permits, True)
        if _count(permits) == 1:
            _release(some)
        _release(counting)
