"""Merges, caches and streams that are each wrong in one way.

Rows M…, of the component's table, L…, of its history: the number is that of the change; and O…, of
our own, for what the page says of a subscriber that does not read. M1b is the row "no min()" of the
table of interleavings.

M10 alone, an overwritten eviction, is caught in the cache itself; no subscriber can tell, because
the database is read in any case. M15 is the worker's (`promoter`).
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence

from scenarios.chat_stream.messages import Event, Message, Notify, Status

from . import policy
from .merge import DurableCache, Emit, Merge, Query
from .reference import ChatState, ChatStream, Subscription


class PreFix(Merge):
    """M1: remembers the last id only, and reads the database only if the cache has nothing.

    Bug: a message is published after one with a higher id, and is taken for an old one; it is lost.
    Seen in: coder's chatd until its fix of May 2026: synthetic, assistant, promoted.
    Caught by: out_of_order, late_message_arrives, every_order_of_fifo_notifies (Exactly).
    """

    async def catch_up(self, notify: Notify, cache: DurableCache, query: Query, emit: Emit) -> None:
        if notify.full_refresh:
            self.last = 0
        found: Sequence[Message] = [] if notify.full_refresh else cache.lookup(self.last)
        if not found:
            found = [row for row in await query(self.last) if row.id > self.last]
        for message in found:
            await emit(message)
            self.last = message.id


class LookupFromLast(Merge):
    """M1b: looks above the last id delivered, whatever the notification says.

    Bug: a late message lies below the last one, and the database is too late to rescue it.
    Seen in: no change that we know of; it is the fix without its min().
    Caught by: late_message_arrives, every_order_of_fifo_notifies (Exactly).
    """

    def _lookup(self, after: int) -> int:
        return max(self.floor, self.last)


class NothingDelivered(Merge):
    """M2: does not remember what it has delivered.

    Bug: whoever looks below the last message finds again what was delivered.
    Seen in: no change that we know of; it is the fix without its set.
    Caught by: each_notify_costs_one_query, every_order_of_fifo_notifies (Exactly).
    """

    def _is_new(self, message: Message) -> bool:
        return True


class NoFloor(Merge):
    """M3: looks as far down as a late notification says.

    Bug: the subscriber has everything up to 100, and gets 96 to 100 once more.
    Seen in: the first version of coder's fix in May 2026; a review bot found it.
    Caught by: late_notify_stays_above_the_floor (Exactly).
    """

    def _lookup(self, after: int) -> int:
        return min(after, self.last)


class TrustsCache(Merge):
    """M4: reads the database only if the cache has nothing.

    Bug: another replica's message is not in this cache, and what is there hides that.
    Seen in: coder's chatd until its fix of May 2026.
    Caught by: database_fills_what_the_cache_lacks (Exactly).
    """

    def _must_query(self, cached: Sequence[Message]) -> bool:
        return not cached


class RefreshRemembers(Merge):
    """M6: keeps what it has delivered over a full refresh.

    Bug: an edited message has the id of the old one, and is taken for delivered.
    Seen in: no change that we know of; the edit test of coder's chatd guards against it.
    Caught by: edited_message_arrives_again (Exactly).
    """

    def _refresh(self) -> None:
        self.last = 0


class LastGoesBack(Merge):
    """M7: takes the id of each message for the last.

    Bug: the cache holds 5, 7, 6; the last is 6 afterwards, and every later lookup starts too low.
    Seen in: coder's chatd until its fix of May 2026: a plain assignment in the loop.
    Caught by: cache_out_of_id_order (Failed).
    """

    def _advance(self, message_id: int) -> None:
        self.last = message_id


class OverwritesEviction(DurableCache):
    """M10: remembers the last id that it dropped, not the largest.

    Bug: 5, 7, 6 are dropped, and the cache claims to have everything above 6.
    Seen in: coder's chatd, also after its fix of May 2026: the database is read in any case.
    Caught by: cache_knows_what_it_dropped (Failed).
    """

    def _note_eviction(self, message: Message) -> None:
        self._evicted_before = message.id


class LoadsBeforeListening(ChatStream):
    """M8: reads the snapshot, then subscribes.

    Bug: a message is committed after the query and announced before anybody listens.
    Seen in: no change that we know of; coder's #25022 of May 2026 is the same about a setting.
    Caught by: nothing_is_lost_while_subscribing (Exactly).
    """

    async def _open(self, subscription: Subscription, status: Status) -> None:
        await self._load(subscription, status)
        await self._listen(subscription)
        subscription.start(self._new_merge(subscription.after, subscription.snapshot_ids()))


class TrustsOverwrittenCache(ChatStream):
    """M10: overwrites what was dropped, and reads the database only if the cache has nothing.

    Bug: 7 was dropped before 6, the cache claims to have everything above 6 and has not.
    Seen in: coder's chatd until its fix of May 2026.
    Caught by: evicted_messages_are_read (Exactly).
    """

    def _new_cache(self) -> DurableCache:
        return OverwritesEviction(self._cache_size)

    def _new_merge(self, floor: int, snapshot: Iterable[int]) -> Merge:
        return TrustsCache(floor, snapshot)


class DropsWhenFull(ChatStream):
    """M11: drops a notification for which there is no room.

    Bug: the merge stands still for a moment, eleven notifications come, and the last are gone.
    Seen in: no change that we know of; in coder's chatd the callback blocks.
    Caught by: burst_waits_for_room (Exactly).
    """

    async def _take_notify(self, subscription: Subscription, notify: Notify) -> None:
        subscription.notifies.try_put(notify)


class NotifiesFirst(ChatStream):
    """M14: notifies, then caches.

    Bug: the subscriber looks into an empty cache and a database that lags behind.
    Seen in: no change that we know of; the order is stated by coder's chatd.
    Caught by: cache_is_filled_before_the_notify (Exactly).
    """

    async def publish_message(self, chat: str, message: Message) -> None:
        await self._notify(chat, policy.notify_for(message.id))
        await asyncio.sleep(0)
        self._remember(chat, message)


class ProducerLock(ChatStream):
    """M16: has publishers take turns, and leaves the merge as it was.

    Bug: messages are published in the order of their ids, and the bus changes it.
    Seen in: rejected in coder's fix of May 2026, which mends the consumer.
    Caught by: reordered_notifies_lose_nothing (Exactly).
    """

    def __init__(self, *args: object, **settings: object) -> None:
        super().__init__(*args, **settings)  # type: ignore[arg-type]  # passed on as they are
        self._turn = asyncio.Lock()

    def _new_merge(self, floor: int, snapshot: Iterable[int]) -> Merge:
        return PreFix(floor, snapshot)

    async def commit_and_publish(
        self, chat: str, commit: Callable[[], Awaitable[Message]]
    ) -> Message:
        async with self._turn:
            return await super().commit_and_publish(chat, commit)


class KeepsEverything(ChatStream):
    """O1: makes room for whatever a subscriber does not take.

    Bug: one who never reads holds a copy of all that is ever said; no interleaving is needed.
    Seen in: no change that we know of; coder's chatd drops what exceeds 128, and counts it.
    Caught by: slow_subscriber_loses_and_is_told_of (Failed).
    """

    def _tell_local(self, chat: str, event: Event) -> None:
        for queue in self._state(chat).subscribers.values():
            queue.size = max(queue.size, len(queue) + 1)
        super()._tell_local(chat, event)


class WarnsOfEach(ChatStream):
    """O2: warns of each event that it drops.

    Bug: a subscriber that is stuck fills the log as fast as an answer is written.
    Seen in: no change that we know of; coder's chatd warns every ten seconds at most.
    Caught by: slow_subscriber_loses_and_is_told_of (Failed).
    """

    def _warn(self, chat: str) -> None:
        self._warned_at = -math.inf
        super()._warn(chat)


class RunningBeforeBuffering(ChatStream):
    """L22571: says that a chat is running, then turns its buffer on.

    Bug: who joins in between sees the chat running and none of the parts that come first.
    Seen in: coder #22571 of 2026-03-03.
    Caught by: joiner_misses_no_part (Exactly).
    """

    async def begin(self, chat: str) -> None:
        await self.publish_status(chat, Status.RUNNING)
        await asyncio.sleep(0)
        self._arm(chat)


class ForgetsAtOnce(ChatStream):
    """L24031: drops the parts of an answer when it ends.

    Bug: the answer is short, and whoever was about to join finds nothing of it.
    Seen in: coder #24031 of 2026-04-04, which keeps the state for five seconds.
    Caught by: short_answer_can_still_be_joined (Failed).
    """

    def _retire(self, chat: str) -> None:
        super()._retire(chat)
        self._state(chat).parts.clear()


class UntaggedParts(ChatStream):
    """L25145: hands out the parts of an answer that is committed.

    Bug: who reconnects within the retention gets the answer, and 10,000 parts of it as well.
    Seen in: coder #25145 and #25164 of 2026-05-11, a consequence of #24031.
    Caught by: committed_parts_are_not_replayed (Failed).
    """

    def _tag_parts(self, state: ChatState, message: Message) -> None:
        pass


class Serialised(ChatStream):
    """One lock round every public method.

    Bug: who subscribes to one chat waits for the database with the lock that all others need.
    Seen in: coder #22533 of 2026-03-03: a dial inside the loop, and everything stalls.
    Caught by: subscribers_do_not_wait_for_each_other (MaxInFlight).
    """

    def __init__(self, *args: object, **settings: object) -> None:
        super().__init__(*args, **settings)  # type: ignore[arg-type]  # passed on as they are
        self._turn = asyncio.Lock()

    async def publish_message(self, chat: str, message: Message) -> None:
        async with self._turn:
            await super().publish_message(chat, message)

    async def subscribe(self, chat: str, after: int = 0) -> Subscription:
        async with self._turn:
            return await super().subscribe(chat, after)
