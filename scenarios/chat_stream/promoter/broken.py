"""Promoters and workers that are each wrong in one way.

Rows M…, of the component's table, L…, of its history by the number of the change, P… and A…, of
our own, for what the page says of promotions and of acquired chats.
"""

import asyncio
from collections.abc import Callable, Sequence

from scenarios.chat_stream.messages import ChatRow, Message, Notify, Status

from .reference import Promoter, Worker


class CheckedBeforeTheLock(Promoter):
    """P1: looks for the text in the queue before it has the row.

    Bug: two promote the same text, both find it, and it is in the history twice.
    Seen in: no change that we know of; coder's chatd looks under the lock of the row.
    Caught by: queued_text_is_promoted_once (Failed).
    """

    async def promote(self, chat: str, text: str) -> Message | None:
        async with self._tables.transaction(chat) as transaction:
            super()._check(transaction.row, text)
        return await super().promote(chat, text)

    def _check(self, row: ChatRow, text: str) -> None:
        pass


class KeepsPlace(Promoter):
    """L25644: leaves the promoted text where it is in the queue of a running chat.

    Bug: the worker is done and promotes the first of the queue, which is another one.
    Seen in: coder #25644 of May 2026, whose test took an intermediate state for the final one.
    Caught by: promoted_text_comes_first (Failed).
    """

    def _reordered(self, queue: list[str], text: str) -> list[str]:
        return queue


class NoWake(Worker):
    """M15: does not wake itself when it has promoted the next text.

    Bug: the chat is pending, and nobody looks before the interval is over.
    Seen in: coder #24714 of 2026-04-24.
    Caught by: next_run_starts_at_once (Failed).
    """

    def _signal(self) -> None:
        pass


class ReadsThenSubscribes(Worker):
    """L25022: reads the interval, then subscribes to its changes.

    Bug: it changes between the two, and the worker keeps the old one for ever.
    Seen in: coder #25022 of 2026-05-07.
    Caught by: changed_interval_is_heard (Failed).
    """

    async def _follow_settings(self) -> Callable[[], None]:
        self._interval = await self._settings.interval()
        return await self._settings.subscribe(self._change_interval)


class ReadOverwrites(Worker):
    """L25022: subscribes and reads, and takes what was read for the newer of the two.

    Bug: the interval changes while it is read; the change is heard first, and then overwritten.
    Seen in: the first form of this very reference; the fix of coder's #25022 of 2026-05-07 as told.
    Caught by: changed_interval_is_heard (Failed).
    """

    async def _follow_settings(self) -> Callable[[], None]:
        unsubscribe = await self._settings.subscribe(self._change_interval)
        self._interval = await self._settings.interval()
        return unsubscribe


class TrustsNotify(Worker):
    """L23865: takes the word of a notification that the chat is not running.

    Bug: the promoter's "pending" arrives after the worker has subscribed, and ends the very run
    that it asked for.
    Seen in: coder #23865 of 2026-03-31; #25133 and later tried to mend it, #25908 did.
    Caught by: late_pending_does_not_interrupt (Failed).
    """

    async def _is_interruption(self, chat: str, notify: Notify) -> bool:
        return notify.status in (Status.PENDING, Status.WAITING)


class CancelsAcquire(Worker):
    """A1: lets a cancellation end its query for chats.

    Bug: the query was executed before it was cancelled; its chats belong to a worker that is gone.
    Seen in: coder's chatd, where the query is detached from the shutdown by 10 s for that reason.
    Caught by: stopped_worker_leaves_no_chat (Failed).
    """

    async def _acquire(self) -> Sequence[str]:
        return await self._tables.acquire(self.name, self._batch)


class KeepsAcquired(Worker):
    """A2: gives nothing back when it is stopped.

    Bug: the chats were acquired, the worker stops, and nobody runs or releases them.
    Seen in: coder's chatd guards against it: acquired chats are released at a shutdown.
    Caught by: stopped_worker_leaves_no_chat (Failed).
    """

    async def _release(self, chats: Sequence[str]) -> None:
        pass


class Serialised(Worker):
    """One lock round every run.

    Bug: ten chats are acquired, and nine of them wait for the answer to the first.
    Seen in: coder #22533 of 2026-03-03: a dial inside the loop, and everything stalls.
    Caught by: chats_are_answered_side_by_side (MaxInFlight).
    """

    def __init__(self, *args: object, **settings: object) -> None:
        super().__init__(*args, **settings)  # type: ignore[arg-type]  # passed on as they are
        self._turn = asyncio.Lock()

    async def _process(self, chat: str) -> None:
        async with self._turn:
            await super()._process(chat)
