"""A fake database of chats: rows become visible when they are committed, not when they get an id.

Fault model. A query takes the time of the wire that it goes over, may fail as the wire says, and
answers what was committed when it came in, so that its answer may be old when it is there. A commit
is atomic and never lost. That is all that a reader can see of a database under "read committed".
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from copy import deepcopy
from itertools import count

from harness import AsyncFakePool

from .messages import ChatRow, Message, Role, Snapshot, Status


class Transaction:
    """A chat whose row is locked: what it changes is seen when it commits. One task."""

    def __init__(self, row: ChatRow, ids: Callable[[], int]) -> None:
        """Start with a row as it is."""
        self.row = row
        self.inserted: list[Message] = []
        self._ids = ids

    def insert(self, role: Role, text: str) -> Message:
        """Add a message to the history, and give it its id at once."""
        message = Message(self._ids(), role, text)
        self.inserted.append(message)
        return message


class FakeStore:
    """The rows of any number of chats. One loop."""

    # invariant: ids are unique, and versions only rise

    def __init__(self, wire: AsyncFakePool) -> None:
        """Make an empty database behind a wire.

        Args:
            wire: each query is one call: `status`, `messages` (with the id it asks above),
                `queue`, or `snapshot` for all three in one transaction.
        """
        self.wire = wire
        self._messages: dict[str, dict[int, Message]] = {}
        self._rows: dict[str, ChatRow] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._versions: dict[str, int] = {}
        self._ids = count(1)
        #: What a query sees; a scenario may have it see less.
        self.visible: Callable[[Message], bool] = lambda _message: True

    def insert(self, role: Role = Role.USER, text: str = "") -> Message:
        """Give a message its id; nobody sees it before its commit."""
        return Message(next(self._ids), role, text)

    def commit(self, chat: str, *messages: Message) -> None:
        """Make messages visible, all at once."""
        rows = self._messages.setdefault(chat, {})
        rows.update((message.id, message) for message in messages)
        self._bump(chat)

    def edit(self, chat: str, message: Message) -> None:
        """Replace a message and drop all that came after it."""
        kept = {id: row for id, row in self._messages.get(chat, {}).items() if id < message.id}
        self._messages[chat] = {**kept, message.id: message}
        self._bump(chat)

    def set_status(self, chat: str, status: Status) -> None:
        """Commit a status."""
        self.row(chat).status = status
        self._bump(chat)

    def queue(self, chat: str, *texts: str) -> None:
        """Commit what waits in the queue of a chat."""
        self.row(chat).queue = list(texts)
        self._bump(chat)

    def promote(self, chat: str) -> None:
        """Move the first of the queue into the history, in one transaction."""
        message = Message(next(self._ids), Role.USER, self.row(chat).queue.pop(0))
        self.commit(chat, message)

    def row(self, chat: str) -> ChatRow:
        """Return the committed row of a chat."""
        return self._rows.setdefault(chat, ChatRow())

    def history(self, chat: str) -> list[Message]:
        """Return the committed messages of a chat, by id."""
        return list(self.now(chat, 0).messages)

    def version(self, chat: str) -> int:
        """Return how many transactions a chat has seen: what a hint says of it."""
        return self._versions.get(chat, 0)

    def _bump(self, chat: str) -> None:
        self._versions[chat] = self.version(chat) + 1

    async def status(self, chat: str) -> Status:
        """Return the status of a chat."""
        status = self.row(chat).status
        await self.wire.call("status")
        return status

    async def messages(self, chat: str, after: int) -> Sequence[Message]:
        """Return the committed messages above an id, by id."""
        rows = sorted(self._messages.get(chat, {}).items())
        found = [row for id, row in rows if id > after and self.visible(row)]
        await self.wire.call("messages", argument=after)
        return found

    async def queued(self, chat: str) -> Sequence[str]:
        """Return what waits in the queue of a chat."""
        queued = list(self.row(chat).queue)
        await self.wire.call("queue")
        return queued

    async def snapshot(self, chat: str, after: int) -> Snapshot:
        """Return all of a chat, with the messages above an id, as one transaction sees it."""
        seen = self.now(chat, after)
        await self.wire.call("snapshot", argument=after)
        return seen

    def now(self, chat: str, after: int) -> Snapshot:
        """Return what a transaction that starts now would see."""
        rows = sorted(self._messages.get(chat, {}).items())
        return Snapshot(
            self.version(chat),
            self.row(chat).status,
            tuple(row for id, row in rows if id > after),
            tuple(self.row(chat).queue),
        )

    @asynccontextmanager
    async def transaction(self, chat: str) -> AsyncIterator[Transaction]:
        """Lock the row of a chat, and commit at the end unless something was raised."""
        async with self._locks.setdefault(chat, asyncio.Lock()):
            await self.wire.call("begin")
            transaction = Transaction(deepcopy(self.row(chat)), lambda: next(self._ids))
            yield transaction
            self._rows[chat] = transaction.row
            self.commit(chat, *transaction.inserted)
            # Who is cancelled here does not learn that it was done.
            await self.wire.call("commit")

    async def acquire(self, worker: str, limit: int) -> Sequence[str]:
        """Give pending chats to a worker, in one statement; return which."""
        # A row that somebody has locked is passed over.
        found = [chat for chat, row in sorted(self._rows.items()) if self._is_free(chat, row)]
        for chat in found[:limit]:
            row = self._rows[chat]
            row.status, row.worker = Status.RUNNING, worker
            row.heartbeat = asyncio.get_running_loop().time()
            self._bump(chat)
        await self.wire.call("acquire")
        return found[:limit]

    def _is_free(self, chat: str, row: ChatRow) -> bool:
        lock = self._locks.get(chat)
        return row.status is Status.PENDING and not (lock and lock.locked())

    @property
    def lookups(self) -> list[object]:
        """Above which id each query for messages has asked."""
        return self.wire.arguments("messages")
