"""Two ways to leave no hole: remember what could not be read, or read by version.

    RememberingMerge   notify ──► query fails ──► the lowest lookup that failed is the next one
    SyncedSubscription hint(version) ──► newer than what is known? ──► one read transaction
                       every 5 s ──────► in any case ───────────────┘   status, messages, queue

The first goes into an ordinary `ChatStream` and needs a later notification. The second takes
notifications for hints: they may be late, double or lost. It does not know how rows and hints
travel.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

from scenarios.chat_stream.messages import Event, Hint, Message, Snapshot
from scenarios.chat_stream.subscription.channel import Channel, ChannelClosed
from scenarios.chat_stream.subscription.merge import Merge, Query

from . import policy

logger = logging.getLogger(__name__)
# Whoever uses a subscription decides who hears it.
logger.addHandler(logging.NullHandler())


class RememberingMerge(Merge):
    """A merge that looks again where a query has failed. One task."""

    # invariant: owed is the lowest lookup whose query failed and was not made good since

    def __init__(self, floor: int, snapshot: Iterable[int] = ()) -> None:
        """Start behind a snapshot, and owe nothing; see `Merge`."""
        super().__init__(floor, snapshot)
        self._owed: int | None = None

    def _lookup(self, after: int) -> int:
        lookup = super()._lookup(after)
        return lookup if self._owed is None else min(lookup, self._owed)

    async def _read(self, lookup: int, query: Query) -> Sequence[Message] | None:
        rows = await super()._read(lookup, query)
        self._take_note(lookup, is_read=rows is not None)
        return rows

    def _take_note(self, lookup: int, *, is_read: bool) -> None:
        # Each lookup is at most what is owed, so one that succeeds makes all of it good.
        self._owed = None if is_read else lookup


class VersionedStore(Protocol):
    """A database in which every transaction on a chat gives it a higher version."""

    async def snapshot(self, chat: str, after: int) -> Snapshot:
        """Return all of a chat in one read transaction, with the messages above an id."""
        ...  # pragma: no cover


class HintBus(Protocol):
    """Hints between replicas: they may be late, overtake each other, come twice or not at all."""

    async def subscribe(
        self,
        chat: str,
        on_notify: Callable[[Hint], Awaitable[None]],
        on_error: Callable[[Exception], None],
    ) -> Callable[[], None]:
        """Have `on_notify` awaited for each hint."""
        ...  # pragma: no cover


class SyncedSubscription:
    """What one subscriber gets of a chat, by version. One loop; one task reads, anybody cancels."""

    # invariant: known is the snapshot whose changes were all emitted, and versions only rise
    # invariant: delivered holds the messages of known, as they were emitted

    def __init__(
        self,
        store: VersionedStore,
        bus: HintBus,
        chat: str,
        after: int = 0,
        *,
        poll_interval: float = policy.POLL_INTERVAL,
    ) -> None:
        """Make one that hears nothing before `open`.

        Args:
            store: where the chat is.
            bus: brings hints.
            chat: which chat.
            after: the subscriber has all messages up to this id.
            poll_interval: seconds after which it looks without a hint.
        """
        self.output: Channel[Event] = Channel(policy.OUTPUT_QUEUE)
        self._store = store
        self._bus = bus
        self._chat = chat
        self._after = after
        self._poll_interval = poll_interval
        self._known: Snapshot | None = None
        self._delivered: set[Message] = set()
        self._hinted = 0
        self._hint = asyncio.Event()
        self._unsubscribe: Callable[[], None] | None = None
        self._task: asyncio.Task[None] | None = None

    def __aiter__(self) -> "SyncedSubscription":
        return self

    async def __anext__(self) -> Event:
        try:
            return await self.output.get()
        except ChannelClosed:
            raise StopAsyncIteration from None

    @property
    def version(self) -> int:
        """How new what was delivered is; 0 for nothing."""
        return 0 if self._known is None else self._known.version

    async def open(self) -> None:
        """Listen, then start to deliver; the first read is the snapshot."""
        # The connection of the bus may break: the poller does not need it.
        self._unsubscribe = await self._bus.subscribe(self._chat, self._take_hint, self._lose_bus)
        task = asyncio.get_running_loop().create_task(self._run(), name=f"sync-{self._chat}")
        self._task = task

    async def close(self) -> None:
        """End it, and wait until its task has."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _take_hint(self, hint: Hint) -> None:
        # Nothing to queue: of all hints only the newest counts.
        self._hinted = max(self._hinted, hint.version)
        self._hint.set()

    def _lose_bus(self, error: Exception) -> None:
        logger.warning("no more hints for %s: %s", self._chat, error)

    async def _run(self) -> None:
        try:
            await self._sync()
            while True:
                is_hinted = await self._wait_hint()
                if not is_hinted or self._is_behind():
                    await self._sync()
        finally:
            self.output.close()

    def _is_behind(self) -> bool:
        return policy.is_news(self._hinted, self.version)

    async def _wait_hint(self) -> bool:
        """Return whether a hint came before it was time to poll."""
        try:
            async with asyncio.timeout(self._poll_interval):
                await self._hint.wait()
        except TimeoutError:
            return False
        self._hint.clear()
        return True

    async def _sync(self) -> None:
        try:
            seen = await self._read()
        except Exception:
            # The next hint or the next poll looks again: the version is still the old one.
            logger.warning("%s cannot be read", self._chat, exc_info=True)
            return
        # A chat that nothing has happened to has a status, too.
        if self._known is None or policy.is_news(seen.version, self.version):
            await self._apply(seen)

    async def _read(self) -> Snapshot:
        return await self._store.snapshot(self._chat, self._after)

    async def _apply(self, seen: Snapshot) -> None:
        for event in policy.changes(self._known, seen, self._delivered):
            await self.output.put(event)
        self._delivered = set(seen.messages)
        self._note_version(seen)

    def _note_version(self, seen: Snapshot) -> None:
        self._known = seen
