"""Channels of Go over a condition: for the kernels that were Go programs.

Each call is one scheduling point, on the channel. Inside a method nothing is one: what is read or
called there goes through a function written in C or through a name of its own, and neither is seen.
The methods bear the names that `queue.Queue` has: `put` sends, `get` receives, `shutdown` closes.
"""

from __future__ import annotations

import threading
from collections import deque
from operator import attrgetter, methodcaller
from typing import Any

_acquire, _release = threading.Condition.__enter__, threading.Condition.__exit__
_wait, _notify = threading.Condition.wait, threading.Condition.notify
_append, _popleft, _mark, _take = deque.append, deque.popleft, list.append, list.pop
_parts, _count = attrgetter("parts"), methodcaller("__len__")
_set = object.__setattr__

#: Somebody who waits: for his turn, with what he sends or has received, unless it has come.
_Waiting = tuple[threading.Condition, list[Any]]


class ChannelClosedError(Exception):
    """Somebody sent on a closed channel, or closed it twice."""


class Channel:
    """A channel: who comes first waits, and goes on when the other one has come. Any thread.

    Args:
        room: how many sends end at once, whether or not somebody ever receives.

    # invariant: nobody who could go on waits.
    """

    # `_lock`: as in classes of the standard library, so that a search sees what a call will take.
    __slots__ = ("_lock", "parts")

    _harness_sync = True

    parts: tuple[threading.Lock, deque[_Waiting], deque[_Waiting], list[bool], list[bool]]

    def __init__(self, room: int = 0) -> None:
        lock = threading.Lock()
        _set(self, "_lock", lock)
        _set(self, "parts", (lock, deque(), deque(), [], [True] * room))

    def put(self, item: object) -> None:
        """Send.

        Raises:
            ChannelClosedError: the channel is closed.
        """
        lock, senders, receivers, closed, room = _parts(self)
        turn = threading.Condition(lock)
        _acquire(turn)
        try:
            if _count(closed):
                raise ChannelClosedError("send on a closed channel")
            if _count(receivers):
                other, received = _popleft(receivers)
                _mark(received, item)
                _notify(other)
                return
            offered = [item]
            _append(senders, (turn, offered))
            if _count(room):
                _take(room)
                return
            _wait(turn)
            if _count(offered):
                raise ChannelClosedError("send on a closed channel")
        finally:
            _release(turn, None, None, None)

    def get(self) -> Any:
        """Receive; None from a closed channel."""
        lock, senders, receivers, closed, _ = _parts(self)
        turn = threading.Condition(lock)
        received: list[Any] = []
        _acquire(turn)
        try:
            if _count(senders):
                other, offered = _popleft(senders)
                _notify(other)
                return _take(offered)
            if _count(closed):
                return None
            _append(receivers, (turn, received))
            _wait(turn)
            return _take(received) if _count(received) else None
        finally:
            _release(turn, None, None, None)

    def shutdown(self) -> None:
        """Close.

        Raises:
            ChannelClosedError: it is closed.
        """
        lock, senders, receivers, closed, _ = _parts(self)
        turn = threading.Condition(lock)
        _acquire(turn)
        try:
            if _count(closed):
                raise ChannelClosedError("close of a closed channel")
            _mark(closed, True)
            for waiting in (senders, receivers):
                while _count(waiting):
                    _notify(_popleft(waiting)[0])
        finally:
            _release(turn, None, None, None)
