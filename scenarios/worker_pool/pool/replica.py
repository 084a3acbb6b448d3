"""A table of the pool as one node has it: a copy that follows the store, and never holds it up.

    store ──a message for each change──► follow ──► content
                                           └──► an event for each watcher: set, never waited for

Whoever watches is told that something changed, not what: it reads the content again. A copy that
loses its subscription subscribes again and reads the whole table; what it has read already, it
knows by its revision. It does not know what the table means.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from . import scripts

log = logging.getLogger(__name__)

RECONNECT_DELAY = 1.0


class Message(Protocol):
    """What a subscription hands out."""

    @property
    def data(self) -> str:
        """The text."""
        ...


class Subscription(Protocol):
    """The messages of one channel."""

    async def get(self) -> Message | None:
        """Return the next message, None once it is closed."""
        ...

    def close(self) -> None:
        """Unsubscribe."""
        ...


class Store(Protocol):
    """What a copy needs of a client."""

    def run(self, script: Callable[..., Any], *args: Any) -> Awaitable[Any]:
        """Run a script in one step."""
        ...

    def subscribe(self, *channels: str) -> Awaitable[Subscription]:
        """Subscribe to channels."""
        ...


class Replica:
    """A copy of one table. One loop.

    Args:
        store: a client.
        pool: the pool.
        table: the table.
        name: how the task is called that follows.

    Attributes:
        content: the copy.
        revision: of the table; -1 before it was read.
        watching: an event for each who watches.
    """

    # invariant: `content` is what the table was at `revision`, which only grows

    def __init__(self, store: Store, pool: str, table: str, name: str) -> None:
        self.content: dict[str, str] = {}
        self._store = store
        self._pool = pool
        self._table = table
        self._name = name
        self.revision = -1
        self.watching: tuple[asyncio.Event, ...] = ()
        self._subscription: Subscription | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Subscribe, then read: nothing is missed in between."""
        following = self._follow(await self._subscribe())
        self._task = asyncio.create_task(following, name=f"{self._name}/{self._table}")

    async def close(self) -> None:
        """Stop to follow; the content stays as it is."""
        if self._subscription is not None:
            self._subscription.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def watch(self) -> asyncio.Event:
        """Return an event that is set now, and again after each change."""
        event = asyncio.Event()
        event.set()
        self.watching = (*self.watching, event)
        return event

    @property
    def watchers(self) -> int:
        """How many watch."""
        return len(self.watching)

    async def _subscribe(self) -> Subscription:
        subscription = await self._store.subscribe(f"{self._pool}:{self._table}")
        self._subscription = subscription
        revision, content = await self._store.run(scripts.snapshot, self._pool, self._table)
        if revision > self.revision:
            self.revision, self.content = revision, content
            await self.notify()
        return subscription

    async def _follow(self, subscription: Subscription) -> None:
        while True:
            try:
                message = await subscription.get()
                if message is None:
                    return
                revision, key, value = json.loads(message.data)
                await self._apply(revision, key, value)
            except ConnectionError as exc:
                log.warning("%s lost %s: %s", self._name, self._table, exc)
                subscription = await self._subscribe_again()

    async def _subscribe_again(self) -> Subscription:
        while True:
            try:
                return await self._subscribe()
            except ConnectionError:
                await asyncio.sleep(RECONNECT_DELAY)

    async def _apply(self, revision: int, key: str, value: str | None) -> None:
        if revision <= self.revision:
            return
        self.revision = revision
        if value is None:
            self.content.pop(key, None)
        else:
            self.content[key] = value
        await self.notify()

    async def notify(self) -> None:
        """Tell everybody who watches; wait for none."""
        for event in self.watching:
            event.set()
