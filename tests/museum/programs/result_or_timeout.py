"""What Go makes of two channels and a `select`: a result, or a time-out if that comes first.

Each call is one scheduling point, the first lock that it takes. What else is done is done through
names of its own, and is none: see `channel.py`. Who waits goes on without asking again.
"""

from __future__ import annotations

import threading
from operator import attrgetter, methodcaller
from typing import Any

_acquire, _release = methodcaller("acquire"), methodcaller("release")
_locks, _parts, _count = attrgetter("locks"), attrgetter("parts"), methodcaller("__len__")
_mark, _take = list.append, list.pop
_set = object.__setattr__


class ResultOrTimeout:
    """A result that one thread sends and one receives, unless it is told that it is late.

    Args:
        room: how many results are sent at once, whether or not somebody ever receives.

    # invariant: `came` has the result, or None for the time-out, once the receiver need not wait.
    """

    __slots__ = ("locks", "parts")

    locks: tuple[threading.Lock, ...]
    parts: tuple[list[Any], list[bool], list[bool], list[Any], list[bool]]

    def __init__(self, room: int) -> None:
        locks = tuple(threading.Lock() for _ in range(5))
        _, _, _, taken, told = locks
        _acquire(taken)
        _acquire(told)
        _set(self, "locks", locks)
        _set(self, "parts", ([], [], [], [], [True] * room))

    def send(self, item: object) -> None:
        """Send the result; wait until it is received."""
        of_result, _, _, taken, _ = _locks(self)
        offered, *_, room = _parts(self)
        of_result.acquire()
        if _tell(self, item):
            _release(taken)
        else:
            _mark(offered, item)
        _release(of_result)
        if not _count(room):
            _acquire(taken)

    def expire(self) -> None:
        """Tell that it is late."""
        _, of_time, *_ = _locks(self)
        _, late, *_ = _parts(self)
        of_time.acquire()
        _mark(late, True)
        _tell(self, None)
        _release(of_time)

    def receive(self) -> Any:
        """Receive the result, or None if it is late."""
        of_result, of_time, _, taken, told = _locks(self)
        offered, late, waiting, came, _ = _parts(self)
        of_result.acquire()
        _acquire(of_time)
        if _count(offered):
            _mark(came, _take(offered))
            _release(taken)
        elif _count(late):
            _mark(came, None)
        else:
            _mark(waiting, True)
        must_wait = not _count(came)
        _release(of_time)
        _release(of_result)
        if must_wait:
            _acquire(told)
        return _take(came)


def _tell(both: ResultOrTimeout, item: object) -> bool:
    """Let the receiver go on if he waits and nobody else has; tell whether he did."""
    _, _, deciding, _, told = _locks(both)
    _, _, waiting, came, _ = _parts(both)
    if not _count(waiting):
        return False
    _acquire(deciding)
    # Its second entry is made by the first who tells.
    is_first: bool = _count(waiting) == 1
    if is_first:
        _mark(waiting, False)
        _mark(came, item)
        _release(told)
    _release(deciding)
    return is_first
