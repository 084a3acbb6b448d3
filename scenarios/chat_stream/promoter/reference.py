"""A promoter that moves a queued message into the history, and a worker that answers.

    promote: lock row ─► results, message, pending ─► commit ─► queue, results, message, wake
                                                        │       (no lock: each may be overtaken)
    worker: ──── every second, or woken ── acquire ◄────┘
            begin ─► answer ─► commit, publish ─► finish: promote the next of the queue, wake

Ids rise from the result over the promoted message to its answer; they may be published in any
order. It does not know who subscribes, nor how an answer is made.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Protocol

from scenarios.chat_stream.messages import ChatRow, Message, Notify, Role, Status
from scenarios.chat_stream.subscription.reference import ChatStream

from . import policy

logger = logging.getLogger(__name__)
# Whoever uses promoter and worker decides who hears them.
logger.addHandler(logging.NullHandler())


class ArchivedError(Exception):
    """A chat that takes no messages any more."""


class NotQueuedError(Exception):
    """A text that is not in the queue, or not any more."""


class Transaction(Protocol):
    """A chat whose row is locked."""

    row: ChatRow

    def insert(self, role: Role, text: str) -> Message:
        """Add a message to the history."""
        ...  # pragma: no cover


class Tables(Protocol):
    """The database, with row locks."""

    def transaction(self, chat: str) -> AbstractAsyncContextManager[Transaction]:
        """Lock the row of a chat; commit at the end."""
        ...  # pragma: no cover

    async def acquire(self, worker: str, limit: int) -> Sequence[str]:
        """Give at most so many pending chats to a worker; return which."""
        ...  # pragma: no cover


class Control(Protocol):
    """Where a worker hears what others do to its chats."""

    async def subscribe(
        self,
        chat: str,
        on_notify: Callable[[Notify], Awaitable[None]],
        on_error: Callable[[Exception], None],
    ) -> Callable[[], None]:
        """Have `on_notify` awaited for each notification of a chat."""
        ...  # pragma: no cover


class Settings(Protocol):
    """A setting that may change at any time."""

    async def interval(self) -> float:
        """Return the seconds between two looks for pending chats."""
        ...  # pragma: no cover

    async def subscribe(self, on_change: Callable[[float], None]) -> Callable[[], None]:
        """Have `on_change` called with every new interval."""
        ...  # pragma: no cover


class Promoter:
    """Moves queued messages into the history. One loop; any task may call it."""

    def __init__(self, tables: Tables, stream: ChatStream, wake: asyncio.Event) -> None:
        """Promote in these tables.

        Args:
            tables: where chats are.
            stream: told of what was committed.
            wake: set when a chat has become pending; a signal of capacity one, never waited for.
        """
        self._tables = tables
        self._stream = stream
        self._wake = wake

    async def promote(self, chat: str, text: str) -> Message | None:
        """Have a queued text answered next; None if a worker will see to it when it is done.

        Raises:
            ArchivedError: the chat takes no messages any more.
            NotQueuedError: the text is not in its queue.
        """
        async with self._tables.transaction(chat) as transaction:
            row = transaction.row
            self._check(row, text)
            row.queue = self._reordered(row.queue, text)
            is_deferred = policy.is_running(row, asyncio.get_running_loop().time())
            # A worker that runs is told by the status, and promotes what is first when it is done.
            messages = [] if is_deferred else promoted(transaction)
            row.status = Status.WAITING if is_deferred else Status.PENDING
        # No lock is held: a worker may have the chat before the first of these is out.
        await self._stream.publish_queue(chat)
        for message in messages:
            await self._stream.publish_message(chat, message)
        await self._stream.publish_status(chat, row.status)
        if is_deferred:
            return None
        self._wake.set()
        return messages[-1]

    def _check(self, row: ChatRow, text: str) -> None:
        if row.archived:
            raise ArchivedError(text)
        if text not in row.queue:
            raise NotQueuedError(text)

    def _reordered(self, queue: list[str], text: str) -> list[str]:
        return policy.to_front(queue, text)


def promoted(transaction: Transaction) -> list[Message]:
    """Move the first of the queue into the history, behind results for calls left open."""
    row = transaction.row
    calls = policy.left_open(row.calls)
    results = [transaction.insert(Role.TOOL, f"no result for {call.name}") for call in calls]
    row.calls = []
    return [*results, transaction.insert(Role.USER, row.queue.pop(0))]


class Worker:
    """Takes pending chats and answers them, each in a task of its own. One loop."""

    # invariant: taken holds the chats that were acquired and not finished; `run` leaves none

    def __init__(
        self,
        tables: Tables,
        stream: ChatStream,
        control: Control,
        settings: Settings,
        *,
        wake: asyncio.Event,
        answer: Callable[[str], Awaitable[str]],
        name: str = "worker-1",
        batch: int = policy.BATCH,
    ) -> None:
        """Make a worker that is idle until `run`.

        Args:
            tables: where chats are.
            stream: told of what was committed.
            control: brings what others do to a chat.
            settings: how often to look without being woken.
            wake: set by whoever makes a chat pending.
            answer: makes the answer to a chat; cancelled when somebody interrupts.
            name: owner of the chats that it takes.
            batch: how many chats it takes at most in one look.
        """
        self.name = name
        self._batch = batch
        self._tables = tables
        self._stream = stream
        self._control = control
        self._settings = settings
        self._wake = wake
        self._answer = answer
        self._interval = policy.ACQUIRE_INTERVAL
        self._changes = 0
        self._taken: dict[str, None] = {}
        self._answers: dict[str, asyncio.Future[str]] = {}

    async def run(self) -> None:
        """Work until cancelled; whatever was taken and is not finished is given back."""
        unsubscribe = await self._follow_settings()
        try:
            async with asyncio.TaskGroup() as runs:
                while True:
                    # Whoever signals from here on is either seen by the query or wakes us after it.
                    self._wake.clear()
                    for chat in await self._acquire():
                        self._taken[chat] = None
                        runs.create_task(self._process(chat), name=f"run-{chat}")
                    await self._wait()
        finally:
            unsubscribe()
            # A task that is cancelled before its first step cannot do so itself.
            await self._release(list(self._taken))

    async def _follow_settings(self) -> Callable[[], None]:
        # Subscribe, then read: a change between the two is heard. What was read is older than any
        # change that was heard meanwhile.
        unsubscribe = await self._settings.subscribe(self._change_interval)
        heard = self._changes
        seconds = await self._settings.interval()
        if self._changes == heard:
            self._interval = seconds
        return unsubscribe

    def _change_interval(self, seconds: float) -> None:
        self._changes += 1
        self._interval = seconds
        # Who waits by the old one looks once more, and waits by the new one.
        self._wake.set()

    async def _wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._interval):
                await self._wake.wait()

    async def _acquire(self) -> Sequence[str]:
        # Shielded: a query that is cancelled may have been executed all the same, and its chats
        # would belong to nobody who knows.
        query = asyncio.ensure_future(self._tables.acquire(self.name, self._batch))
        try:
            return await asyncio.shield(query)
        except asyncio.CancelledError:
            async with asyncio.timeout(policy.ACQUIRE_TIMEOUT):
                await self._release(await query)
            raise

    async def _release(self, chats: Sequence[str]) -> None:
        for chat in chats:
            async with self._tables.transaction(chat) as transaction:
                if transaction.row.worker == self.name:
                    transaction.row.status, transaction.row.worker = Status.PENDING, ""

    async def _process(self, chat: str) -> None:
        answer = asyncio.ensure_future(self._answer(chat))
        self._answers[chat] = answer
        hear = partial(self._on_control, chat)
        try:
            unsubscribe = await self._control.subscribe(chat, hear, self._lose_control)
            try:
                await self._stream.begin(chat)
                await asyncio.wait([answer])
            finally:
                unsubscribe()
            await self._commit(chat, answer)
            await self._finish(chat)
        finally:
            answer.cancel()
            self._answers.pop(chat, None)
        self._taken.pop(chat, None)

    async def _on_control(self, chat: str, notify: Notify) -> None:
        if await self._is_interruption(chat, notify):
            answer = self._answers.get(chat)
            if answer is not None:
                answer.cancel()

    async def _is_interruption(self, chat: str, notify: Notify) -> bool:
        if notify.status is None:
            return False
        # A notification is a hint and may be old; only the row says what the chat is now.
        async with self._tables.transaction(chat) as transaction:
            row = transaction.row
            return row.status is not Status.RUNNING or row.worker != self.name

    def _lose_control(self, error: Exception) -> None:
        logger.warning("nobody can interrupt a run any more: %s", error)

    async def _commit(self, chat: str, answer: "asyncio.Future[str]") -> None:
        if answer.cancelled():
            return
        if (error := answer.exception()) is not None:
            # One answer that fails is no reason to stop the others.
            logger.warning("%s could not be answered", chat, exc_info=error)
            await self._stream.publish_error(chat, str(error))
            return
        async with self._tables.transaction(chat) as transaction:
            message = transaction.insert(Role.ASSISTANT, answer.result())
        await self._stream.publish_message(chat, message)

    async def _finish(self, chat: str) -> None:
        messages: list[Message] = []
        async with self._tables.transaction(chat) as transaction:
            row = transaction.row
            if row.worker != self.name:
                # Somebody has taken the chat over, and what becomes of it is theirs to say.
                return
            row.worker = ""
            if row.status is not Status.PENDING:
                messages = promoted(transaction) if row.queue else []
                row.status = Status.PENDING if messages else Status.WAITING
        for message in messages:
            await self._stream.publish_message(chat, message)
        if messages:
            await self._stream.publish_queue(chat)
        await self._stream.finish(chat, row.status)
        if messages:
            self._signal()

    def _signal(self) -> None:
        self._wake.set()
