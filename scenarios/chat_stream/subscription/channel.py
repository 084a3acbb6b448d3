"""A bounded queue that can be closed, and that several can share one wake-up with.

`asyncio.Queue` can be closed from Python 3.13 on only, and to wait for two of them takes two tasks.
It does not know what it carries.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


class ChannelClosed(Exception):
    """Nothing more will come out of a channel, or go into it."""


class Channel(Generic[T]):
    """A queue of at most `size` items with one writer at a time. One loop."""

    # invariant: 0 <= len(items) <= size; high_water is the most that it ever was

    def __init__(self, size: int, readable: asyncio.Event | None = None) -> None:
        """Make an empty, open channel.

        Args:
            size: how many items it holds.
            readable: set when there is something to read, or nothing ever again; may be shared.
        """
        self.size = size
        self.high_water = 0
        self._items: deque[T] = deque()
        self._readable = readable if readable is not None else asyncio.Event()
        self._writable = asyncio.Event()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._items)

    @property
    def is_ready(self) -> bool:
        """Whether there is something inside, or nothing ever again."""
        return bool(self._items) or self._is_closed

    def try_put(self, item: T) -> bool:
        """Put an item in if there is room; return whether there was."""
        if self._is_closed or len(self._items) >= self.size:
            return False
        self._items.append(item)
        self.high_water = max(self.high_water, len(self._items))
        self._readable.set()
        return True

    async def put(self, item: T) -> None:
        """Put an item in, and wait for room if there is none.

        Raises:
            ChannelClosed: the channel was closed.
        """
        while not self.try_put(item):
            if self._is_closed:
                raise ChannelClosed
            self._writable.clear()
            await self._writable.wait()

    async def get(self) -> T:
        """Return the next item, and wait for one.

        Raises:
            ChannelClosed: the channel is closed and empty.
        """
        await wait_readable(self._readable, [self])
        return self.take()

    def take(self) -> T:
        """Return the next item.

        Raises:
            ChannelClosed: there is none, and none will come.
        """
        if not self._items:
            raise ChannelClosed
        item = self._items.popleft()
        self._writable.set()
        return item

    def close(self) -> None:
        """Let nothing more in; what is inside can still be read."""
        self._is_closed = True
        self._readable.set()
        self._writable.set()


class Readable(Protocol):
    """What can be waited for."""

    @property
    def is_ready(self) -> bool:
        """Whether there is something inside, or nothing ever again."""
        ...  # pragma: no cover


async def wait_readable(readable: asyncio.Event, channels: Sequence[Readable]) -> list[int]:
    """Wait until there is something to read, or an end, in channels that share `readable`.

    Returns:
        The places of those in which there is.
    """
    while not (found := [at for at, each in enumerate(channels) if each.is_ready]):
        readable.clear()
        await readable.wait()
    return found


def first(ready: Sequence[int]) -> int:
    """Pick the first of several that are ready: a fixed priority."""
    return ready[0]


Pick = Callable[[Sequence[int]], int]
