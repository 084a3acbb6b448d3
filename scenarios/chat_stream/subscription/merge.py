"""What a subscription has delivered, and where it looks for what it has not.

    notify(after=5) ──► look above max(floor, min(5, last)) ──► cache, in the order of its appends
                                                           └──► database, always: the cache of
                                                                this replica has not seen all
    either way ──► delivered already? ──► no: emit, remember

It does not know queues, tasks or other events.
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence

from scenarios.chat_stream.messages import Message, Notify

from . import policy

logger = logging.getLogger(__name__)
# Whoever uses the stream decides who hears it.
logger.addHandler(logging.NullHandler())

Query = Callable[[int], Awaitable[Sequence[Message]]]
Emit = Callable[[Message], Awaitable[None]]


class DurableCache:
    """The last durable messages of a chat, in the order in which they were published. One loop."""

    # invariant: every message that was ever appended is in it, or has an id <= evicted_before

    def __init__(self, size: int = policy.CACHE_SIZE) -> None:
        """Make an empty cache of at most `size` messages."""
        self._size = size
        self._messages: deque[Message] = deque()
        self._evicted_before = 0

    def append(self, message: Message) -> None:
        """Add a message, and drop the oldest if there are too many."""
        self._messages.append(message)
        if len(self._messages) > self._size:
            self._note_eviction(self._messages.popleft())

    def replace(self, message: Message) -> None:
        """Forget everything but one message: the history was edited."""
        self._messages = deque([message])
        self._evicted_before = 0

    def lookup(self, after: int) -> list[Message]:
        """Return all messages above `after`; none if one of them may have been dropped."""
        if after < self._evicted_before:
            return []
        return [message for message in self._messages if message.id > after]

    def _note_eviction(self, message: Message) -> None:
        # The largest, for they are not dropped in the order of their ids.
        self._evicted_before = max(self._evicted_before, message.id)


class Merge:
    """The memory of one subscription: every message above the floor is emitted exactly once.

    Exactly once between two full refreshes; in which order is not promised, clients sort. One task.
    """

    # invariant: delivered holds the ids that were emitted since the last full refresh
    # invariant: last is the largest of them, or where the subscription started

    def __init__(self, floor: int, snapshot: Iterable[int] = ()) -> None:
        """Start behind a snapshot.

        Args:
            floor: the subscriber has everything up to this id.
            snapshot: ids of the messages that it was given to start with.
        """
        self.floor = floor
        self.delivered = set(snapshot)
        self.last = max(self.delivered, default=floor)

    async def catch_up(self, notify: Notify, cache: DurableCache, query: Query, emit: Emit) -> None:
        """Emit what a durable notification announces.

        Args:
            notify: what came.
            cache: that of this replica.
            query: reads the rows above an id.
            emit: takes a message; waits while there is no room.
        """
        if notify.full_refresh:
            self._refresh()
            await self._query(0, query, emit)
            return
        lookup = self._lookup(notify.after)
        cached = cache.lookup(lookup)
        await self._deliver(cached, emit)
        if self._must_query(cached):
            await self._query(lookup, query, emit)

    def _lookup(self, after: int) -> int:
        return policy.lookup(self.floor, after, self.last)

    def _must_query(self, cached: Sequence[Message]) -> bool:
        # Another replica may have published what this cache has never seen.
        return True

    async def _query(self, lookup: int, query: Query, emit: Emit) -> None:
        rows = await self._read(lookup, query)
        await self._deliver(rows or (), emit)

    async def _read(self, lookup: int, query: Query) -> Sequence[Message] | None:
        """Return the rows above an id, None if they cannot be read."""
        try:
            return await query(lookup)
        except Exception:
            # Nothing is remembered of it: see `scenarios.chat_stream.hardened` for what that costs.
            logger.warning("no messages above %d could be read", lookup, exc_info=True)
            return None

    async def _deliver(self, messages: Iterable[Message], emit: Emit) -> None:
        for message in messages:
            if self._is_new(message):
                await emit(message)
                self.delivered.add(message.id)
                self._advance(message.id)

    def _is_new(self, message: Message) -> bool:
        return message.id not in self.delivered

    def _advance(self, message_id: int) -> None:
        self.last = max(self.last, message_id)

    def _refresh(self) -> None:
        self.last = 0
        self.delivered.clear()
