"""A chat stream: publishers, what a replica keeps of each chat, and live subscriptions.

    publisher ──► cache ──► local subscribers ──► notify every replica
                                                    │ at most once, in any order
    subscriber: listen ─► read again ─► snapshot    ▼
                one merge task ◄── 10 notifications, 128 local events
                      └─► output, 128 events ──► whoever reads

Subscribe before query: whatever is committed between the two is announced to somebody who listens.
Everything here belongs to one event loop, so that what does not await is atomic: where threads
would lock the state of a chat, nothing is needed. It does not know how rows and notifications
travel; that is the `Store` and the `Bus`.
"""

import asyncio
import contextlib
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Protocol

from scenarios.chat_stream.messages import Event, Kind, Message, Notify, Part, Role, Status

from . import policy
from .channel import Channel, ChannelClosed, Pick, Readable, first, wait_readable
from .merge import DurableCache, Merge

logger = logging.getLogger(__name__)
# Whoever uses the stream decides who hears it.
logger.addHandler(logging.NullHandler())


class BusError(Exception):
    """The connection that brings notifications is lost."""


OnNotify = Callable[[Notify], Awaitable[None]]
OnError = Callable[[Exception], None]
Unsubscribe = Callable[[], None]


class Store(Protocol):
    """The database, which alone knows the truth."""

    async def status(self, chat: str) -> Status:
        """Return the status of a chat."""
        ...  # pragma: no cover

    async def messages(self, chat: str, after: int) -> Sequence[Message]:
        """Return the committed messages above an id, by id."""
        ...  # pragma: no cover

    async def queued(self, chat: str) -> Sequence[str]:
        """Return what waits in the queue of a chat."""
        ...  # pragma: no cover


class Bus(Protocol):
    """Notifications between replicas: asynchronous, at most once, in any order."""

    async def subscribe(self, chat: str, on_notify: OnNotify, on_error: OnError) -> Unsubscribe:
        """Have `on_notify` awaited for each notification, one after the other."""
        ...  # pragma: no cover

    async def notify(self, chat: str, notify: Notify) -> None:
        """Tell all who are subscribed now."""
        ...  # pragma: no cover


@dataclass(slots=True)
class ChatState:
    """What a replica keeps of a chat that is written or watched. One loop."""

    # invariant: parts are kept only while buffering, or until the chat is retired
    # invariant: idle_since is None exactly while the chat is being processed
    # invariant: retry says why its answer is tried again, while there is one that is

    cache: DurableCache
    parts: deque[tuple[Part, int]]
    idle_since: float | None
    subscribers: dict[int, Channel[Event]] = field(default_factory=dict)
    is_buffering: bool = False
    retry: str = ""


class ChatStream:
    """The chats of one replica. One loop; any task may call any method at any time."""

    # invariant: a subscriber that is in `subscribers` has a subscription that was not closed

    def __init__(
        self,
        store: Store,
        bus: Bus | None,
        *,
        merge: Callable[[int, Iterable[int]], Merge] = Merge,
        cache_size: int = policy.CACHE_SIZE,
        part_buffer: int = policy.PART_BUFFER,
        pick: Pick = first,
    ) -> None:
        """Serve the chats of a store.

        Args:
            store: where messages are.
            bus: brings notifications; without one a replica hears only itself.
            merge: makes the memory of a subscription from its floor and its snapshot.
            cache_size: durable messages kept of each chat.
            part_buffer: parts kept of an answer; the oldest give way.
            pick: which of several things that a subscription could do next it does.
        """
        self._store = store
        self._bus = bus
        self._merge = merge
        self._cache_size = cache_size
        self._part_buffer = part_buffer
        self._pick = pick
        self._states: dict[str, ChatState] = {}
        self._numbers = count(1)
        self._janitor: asyncio.Task[None] | None = None
        self.dropped = 0
        self._warned_at = -math.inf

    # Publishing.

    async def publish_message(self, chat: str, message: Message) -> None:
        """Tell of a message that is committed."""
        self._remember(chat, message)
        self._tell_local(chat, Event(Kind.MESSAGE, message))
        await self._notify(chat, policy.notify_for(message.id))

    async def commit_and_publish(
        self, chat: str, commit: Callable[[], Awaitable[Message]]
    ) -> Message:
        """Commit a message, then tell of it; others may come between the two."""
        message = await commit()
        await self.publish_message(chat, message)
        return message

    async def publish_edit(self, chat: str, message: Message) -> None:
        """Tell that a message was edited, and that what came after it is gone."""
        self._state(chat).cache.replace(message)
        self._tell_local(chat, Event(Kind.MESSAGE, message))
        await self._notify(chat, Notify(full_refresh=True))

    async def publish_status(self, chat: str, status: Status) -> None:
        """Tell of a new status."""
        self._tell_local(chat, Event(Kind.STATUS, status))
        await self._notify(chat, Notify(status=status))

    async def publish_queue(self, chat: str) -> None:
        """Tell that the queue of a chat changed."""
        await self._notify(chat, Notify(queue_update=True))

    async def publish_retry(self, chat: str, reason: str) -> None:
        """Tell that an answer is tried again, and why; who joins before its end is told, too."""
        self._state(chat).retry = reason
        self._tell_local(chat, Event(Kind.RETRY, reason))
        await self._notify(chat, Notify(retry=reason))

    async def publish_error(self, chat: str, error: str) -> None:
        """Tell what went wrong."""
        await self._notify(chat, Notify(error=error))

    def publish_part(self, chat: str, text: str) -> None:
        """Tell of a piece of an answer; who is not here to hear it finds it in the buffer."""
        state = self._state(chat)
        part = Part(text)
        if state.is_buffering:
            state.parts.append((part, 0))
        self._tell_local(chat, Event(Kind.PART, part))

    async def begin(self, chat: str) -> None:
        """Start an answer."""
        # First the buffer: who sees the chat running must find the parts that it has missed.
        self._arm(chat)
        await self.publish_status(chat, Status.RUNNING)

    async def finish(self, chat: str, status: Status = Status.WAITING) -> None:
        """End an answer. Its state is kept for a while, for those who are about to join."""
        self._retire(chat)
        await self.publish_status(chat, status)

    def _remember(self, chat: str, message: Message) -> None:
        state = self._state(chat)
        state.cache.append(message)
        if message.role is Role.ASSISTANT:
            self._tag_parts(state, message)

    def _tag_parts(self, state: ChatState, message: Message) -> None:
        # Who joins later gets the message, and would get its parts a second time.
        tagged = ((part, owner or message.id) for part, owner in state.parts)
        state.parts = deque(tagged, maxlen=self._part_buffer)

    def _tell_local(self, chat: str, event: Event) -> None:
        for queue in list(self._state(chat).subscribers.values()):
            if not queue.try_put(event):
                # To wait for one who does not read would be to have all others wait.
                self.dropped += 1
                self._warn(chat)

    def _warn(self, chat: str) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._warned_at >= policy.WARNING_INTERVAL:
            self._warned_at = now
            logger.warning("a subscriber of %s is slow: %d events dropped", chat, self.dropped)

    async def _notify(self, chat: str, notify: Notify) -> None:
        if self._bus is not None:
            await self._bus.notify(chat, notify)

    # Subscribing.

    async def subscribe(self, chat: str, after: int = 0) -> "Subscription":
        """Return a live subscription to what a chat has above an id; the caller must close it.

        Args:
            chat: which chat.
            after: the subscriber has everything up to this id.

        Raises:
            Exception: the chat cannot be read at all.
        """
        status = await self._store.status(chat)
        subscription = Subscription(self, chat, after)
        try:
            await self._open(subscription, status)
        except BaseException:
            subscription.cancel()
            raise
        return subscription

    async def _open(self, subscription: "Subscription", status: Status) -> None:
        # Subscribe before query: what is committed between the two must not be missed.
        await self._listen(subscription)
        await self._load(subscription, status)
        subscription.start(self._new_merge(subscription.after, subscription.snapshot_ids()))

    def _new_merge(self, floor: int, snapshot: Iterable[int]) -> Merge:
        return self._merge(floor, snapshot)

    async def _listen(self, subscription: "Subscription") -> None:
        state = self._state(subscription.chat)
        number = next(self._numbers)
        state.subscribers[number] = subscription.local
        subscription.on_close(partial(state.subscribers.pop, number, None))
        parts = [Event(Kind.PART, part) for part, owner in state.parts if not owner]
        subscription.early = parts
        subscription.retry = state.retry
        if self._bus is not None:
            unsubscribe = await self._bus.subscribe(
                subscription.chat,
                partial(self._take_notify, subscription),
                subscription.take_error,
            )
            subscription.on_close(unsubscribe)

    async def _take_notify(self, subscription: "Subscription", notify: Notify) -> None:
        # The bus waits while the queue is full: what it dropped nobody would ever send again.
        with contextlib.suppress(ChannelClosed):
            await subscription.notifies.put(notify)

    async def _load(self, subscription: "Subscription", status: Status) -> None:
        chat, after = subscription.chat, subscription.after
        errors: list[Event] = []
        messages: Sequence[Message] = ()
        queued: Sequence[str] = ()
        # The row of before will do.
        with contextlib.suppress(Exception):
            async with asyncio.timeout(policy.REREAD_TIMEOUT):
                status = await self._store.status(chat)
        try:
            messages = await self._store.messages(chat, after)
        except Exception as exc:
            logger.warning("the messages of %s cannot be read", chat, exc_info=True)
            errors.append(Event(Kind.ERROR, str(exc)))
        try:
            queued = await self._store.queued(chat)
        except Exception as exc:
            logger.warning("the queue of %s cannot be read", chat, exc_info=True)
            errors.append(Event(Kind.ERROR, str(exc)))
        subscription.snapshot = [
            Event(Kind.STATUS, status),
            *([Event(Kind.RETRY, subscription.retry)] if subscription.retry else []),
            *subscription.early,
            *(Event(Kind.MESSAGE, message) for message in messages),
            *([Event(Kind.QUEUE, tuple(queued))] if queued else []),
            *errors,
        ]

    # What is kept of a chat.

    def _state(self, chat: str) -> ChatState:
        state = self._states.get(chat)
        if state is None:
            now = asyncio.get_running_loop().time()
            parts: deque[tuple[Part, int]] = deque(maxlen=self._part_buffer)
            state = self._states[chat] = ChatState(self._new_cache(), parts, now)
        return state

    def _new_cache(self) -> DurableCache:
        return DurableCache(self._cache_size)

    def _arm(self, chat: str) -> None:
        state = self._state(chat)
        state.parts.clear()
        state.retry = ""
        state.is_buffering = True
        state.idle_since = None

    def _retire(self, chat: str) -> None:
        state = self._state(chat)
        state.is_buffering = False
        state.retry = ""
        state.idle_since = asyncio.get_running_loop().time()

    @property
    def chats(self) -> list[str]:
        """The chats of which anything is kept, by name."""
        return sorted(self._states)

    def start_janitor(self) -> None:
        """Start to drop the state of idle chats, until `close`."""
        if self._janitor is None:
            self._janitor = asyncio.get_running_loop().create_task(self._sweep(), name="janitor")

    async def close(self) -> None:
        """Stop the janitor."""
        if self._janitor is not None:
            self._janitor.cancel()
            await asyncio.gather(self._janitor, return_exceptions=True)
            self._janitor = None

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(policy.JANITOR_INTERVAL)
            now = asyncio.get_running_loop().time()
            for chat, state in list(self._states.items()):
                if self._is_idle(state, now):
                    del self._states[chat]

    def _is_idle(self, state: ChatState, now: float) -> bool:
        if state.subscribers or state.idle_since is None:
            return False
        return now - state.idle_since >= policy.RETENTION

    # What a subscription asks of its stream.

    async def messages(self, chat: str, after: int) -> Sequence[Message]:
        """Return the rows above an id."""
        return await self._store.messages(chat, after)

    async def queued(self, chat: str) -> Sequence[str]:
        """Return what waits in the queue."""
        return await self._store.queued(chat)

    def cache(self, chat: str) -> DurableCache:
        """Return the durable messages that this replica has published."""
        return self._state(chat).cache

    @property
    def hears_bus(self) -> bool:
        """Whether durable messages come by notification."""
        return self._bus is not None

    def pick(self, ready: Sequence[int]) -> int:
        """Return which of several things that could be done is."""
        return self._pick(ready)


_NOTIFY, _ERROR, _LOCAL = range(3)


class Subscription:
    """What one subscriber gets: a snapshot, then events. One task reads, anybody may cancel."""

    # invariant: only the merge task closes the output, and it does so however it ends

    def __init__(self, stream: ChatStream, chat: str, after: int) -> None:
        """Make one that hears nothing yet; `ChatStream.subscribe` opens it."""
        self.chat = chat
        self.after = after
        self.snapshot: list[Event] = []
        self.early: list[Event] = []
        self.retry = ""
        readable = asyncio.Event()
        self.notifies: Channel[Notify] = Channel(policy.NOTIFY_QUEUE, readable)
        self.local: Channel[Event] = Channel(policy.SUBSCRIBER_QUEUE, readable)
        self.output: Channel[Event] = Channel(policy.OUTPUT_QUEUE)
        self._errors: Channel[Exception] = Channel(1, readable)
        self._readable = readable
        self._stream = stream
        self._merge: Merge | None = None
        self._task: asyncio.Task[None] | None = None
        self._undo: list[Callable[[], object]] = []

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> Event:
        try:
            return await self.get()
        except ChannelClosed:
            raise StopAsyncIteration from None

    async def get(self) -> Event:
        """Return the next event, and wait for one.

        Raises:
            ChannelClosed: the subscription has ended.
        """
        return await self.output.get()

    def snapshot_ids(self) -> list[int]:
        """Return the ids of the messages that the subscription started with."""
        return [event.value.id for event in self.snapshot if isinstance(event.value, Message)]

    def start(self, merge: Merge) -> None:
        """Start to deliver."""
        self._merge = merge
        task = asyncio.get_running_loop().create_task(self._run(merge), name=f"merge-{self.chat}")
        self._task = task

    def on_close(self, undo: Callable[[], object]) -> None:
        """Have something undone when the subscription ends."""
        self._undo.append(undo)

    def take_error(self, error: Exception) -> None:
        """Hear that no notification will come any more; the first error is enough."""
        self._errors.try_put(error)

    def cancel(self) -> None:
        """End the subscription; never waits, and may be repeated."""
        self._release()
        if self._task is not None:
            self._task.cancel()

    async def close(self) -> None:
        """End the subscription and wait until its task has."""
        self.cancel()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    def _release(self) -> None:
        while self._undo:
            self._undo.pop()()
        # Whoever waits for room in one of them goes on. The output is closed by the merge alone.
        self.notifies.close()

    async def _run(self, merge: Merge) -> None:
        sources: list[Readable] = [self.notifies, self._errors, self.local]
        try:
            while True:
                ready = await wait_readable(self._readable, sources)
                at = self._stream.pick(ready)
                if at == _NOTIFY:
                    await self._on_notify(merge, self.notifies.take())
                elif at == _LOCAL:
                    await self._on_local(self.local.take())
                else:
                    await self._emit(Kind.ERROR, str(self._errors.take()))
                    return
        except ChannelClosed:
            return
        finally:
            self.output.close()
            self._release()

    async def _on_notify(self, merge: Merge, notify: Notify) -> None:
        if notify.is_durable:
            await merge.catch_up(
                notify,
                self._stream.cache(self.chat),
                partial(self._stream.messages, self.chat),
                partial(self._emit, Kind.MESSAGE),
            )
        if notify.status is not None:
            await self._emit(Kind.STATUS, notify.status)
        if notify.retry:
            await self._emit(Kind.RETRY, notify.retry)
        if notify.error:
            await self._emit(Kind.ERROR, notify.error)
        if notify.queue_update:
            await self._emit_queue()

    async def _emit_queue(self) -> None:
        try:
            queued = await self._stream.queued(self.chat)
        except Exception:
            logger.warning("the queue of %s cannot be read", self.chat, exc_info=True)
            return
        await self._emit(Kind.QUEUE, tuple(queued))

    async def _on_local(self, event: Event) -> None:
        # The status comes by notification as well; here it is early, and there it is certain.
        if not self._stream.hears_bus or event.kind in policy.LOCAL_KINDS:
            await self.output.put(event)

    async def _emit(self, kind: Kind, value: object) -> None:
        await self.output.put(Event(kind, value))
