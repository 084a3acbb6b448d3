"""A lock for readers or one writer that lets no reader in once a writer waits, as Go's does.

Each call is one scheduling point, the first lock that it takes. What else is done is done through
names of its own, and is none: see `channel.py`. Who has to wait for a writer waits before his
point; a writer who has to wait for readers goes on when it is his turn, without asking again.
"""

from __future__ import annotations

import threading
from operator import attrgetter, methodcaller
from typing import Literal

_acquire, _release = methodcaller("acquire"), methodcaller("release")
_parts, _count = attrgetter("parts"), methodcaller("__len__")
_mark, _unmark = list.append, list.pop
_set = object.__setattr__

Use = Literal["r", "w"]


class ReadersWriter:
    """The lock. Any thread.

    # invariant: who writes, or waits to, holds `door`; `left` is held while there are readers.
    """

    __slots__ = ("parts",)

    parts: tuple[threading.Lock, threading.Lock, threading.Lock, list[bool]]

    def __init__(self) -> None:
        _set(self, "parts", (threading.Lock(), threading.Lock(), threading.Lock(), []))

    def take(self, use: Use) -> None:
        """Take it to read or to write."""
        door, counting, left, readers = _parts(self)
        door.acquire()
        _acquire(counting)
        if use == "r":
            if not _count(readers):
                _acquire(left)
            _mark(readers, True)
            _release(door)
        _release(counting)
        if use == "w":
            _acquire(left)
            _release(left)

    def give(self, use: Use) -> None:
        """Give it back as it was taken."""
        door, counting, left, readers = _parts(self)
        counting.acquire()
        if use == "w":
            _release(door)
        else:
            _unmark(readers)
            if not _count(readers):
                _release(left)
        _release(counting)
