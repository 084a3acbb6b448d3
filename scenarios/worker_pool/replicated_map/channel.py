"""Queues of earlier generations of the map, and of its broken variants; the reference needs none.

A `Channel` is bounded and can be closed, as Go has them: a put waits while it is full, into a
closed one it raises; any wait also ends with a scope. It does not know what is sent.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from scenarios.connection_lifecycle.scope import Scope

from .policy import Kind
from .reference import Changes


class ChannelClosedError(Exception):
    """A put into a closed channel, which ends a program in Go."""


class Channel:
    """A queue of at most `capacity` items. Any thread."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._changed = threading.Condition()
        self._items: deque[object] = deque()
        self._is_closed = False

    def put(self, item: object, *scopes: Scope) -> bool:
        """Wait for room and add an item; False if a scope was set first."""
        return self._wait_and(self._add, item, scopes)

    def put_nowait(self, item: object) -> None:
        """Add an item if there is room."""
        with self._changed:
            self._refuse_if_closed()
            if len(self._items) < self._capacity:
                self._add(item)

    def take(self, *scopes: Scope) -> object:
        """Wait for an item and return it; None if a scope was set first."""
        found: list[object] = []
        self._wait_and(self._move, found, scopes)
        return found[0] if found else None

    def clear(self) -> None:
        """Throw away what is in it."""
        with self._changed:
            self._items.clear()
            self._changed.notify_all()

    def close(self) -> None:
        """Refuse every put from now on."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _wait_and(
        self, act: Callable[[Any], bool], argument: object, scopes: tuple[Scope, ...]
    ) -> bool:
        take_backs = [scope.on_set(self._ring) for scope in scopes]
        try:
            with self._changed:
                while not act(argument):
                    if any(scope.is_set() for scope in scopes):
                        return False
                    self._changed.wait()
                return True
        finally:
            for take_back in take_backs:
                take_back()

    def _add(self, item: object) -> bool:
        self._refuse_if_closed()
        if len(self._items) == self._capacity:
            return False
        self._items.append(item)
        self._changed.notify_all()
        return True

    def _move(self, found: list[object]) -> bool:
        if not self._items:
            return False
        found.append(self._items.popleft())
        self._changed.notify_all()
        return True

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            raise ChannelClosedError

    def _ring(self) -> None:
        with self._changed:
            self._changed.notify_all()


class BlockingChanges(Changes):
    """What one subscriber has not heard yet; a put waits until that was taken. Any thread."""

    def put(self, kind: Kind) -> None:
        """Wait until nothing is pending, and note a change."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending is None or self._is_closed)
        super().put(kind)

    def get(self, timeout: float | None = None) -> Kind | None:
        """Wait for a change, and let the next one in."""
        kind = super().get(timeout)
        with self._changed:
            self._changed.notify_all()
        return kind


class FirstKind(Changes):
    """What one subscriber has not heard yet; what comes on top of it is dropped. Any thread."""

    @staticmethod
    def _coalesced(pending: Kind | None, kind: Kind) -> Kind:
        return kind if pending is None else pending
