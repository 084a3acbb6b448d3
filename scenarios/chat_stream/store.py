"""A fake database of chats: rows become visible when they are committed, not when they get an id.

Fault model. A query takes the time of the wire that it goes over, may fail as the wire says, and
answers what was committed when it came in, so that its answer may be old when it is there. A commit
is atomic and never lost. That is all that a reader can see of a database under "read committed".
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count

from harness import AsyncFakePool

from .messages import Message, Role, Snapshot, Status


class FakeStore:
    """The rows of any number of chats. One loop."""

    # invariant: the messages of a chat are sorted by id

    def __init__(self, wire: AsyncFakePool) -> None:
        """Make an empty database behind a wire.

        Args:
            wire: each query is one call: `status`, `messages` (with the id it asks above),
                `queue`, or `snapshot` for all three in one transaction.
        """
        self.wire = wire
        self._messages: dict[str, dict[int, Message]] = {}
        self._statuses: dict[str, Status] = {}
        self._queues: dict[str, list[str]] = {}
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
        self._statuses[chat] = status
        self._bump(chat)

    def queue(self, chat: str, *texts: str) -> None:
        """Commit what waits in the queue of a chat."""
        self._queues[chat] = list(texts)
        self._bump(chat)

    def promote(self, chat: str, message: Message) -> None:
        """Move the first of the queue into the history, in one transaction."""
        rows = self._messages.setdefault(chat, {})
        rows[message.id] = replace(message, text=self._queues[chat].pop(0))
        self._bump(chat)

    def version(self, chat: str) -> int:
        """Return how many transactions a chat has seen: what a hint says of it."""
        return self._versions.get(chat, 0)

    def _bump(self, chat: str) -> None:
        self._versions[chat] = self.version(chat) + 1

    async def status(self, chat: str) -> Status:
        """Return the status of a chat."""
        status = self._statuses.get(chat, Status.WAITING)
        await self.wire.call("status")
        return status

    async def messages(self, chat: str, after: int) -> Sequence[Message]:
        """Return the committed messages above an id, by id."""
        rows = sorted(self._messages.get(chat, {}).values(), key=lambda message: message.id)
        found = [row for row in rows if row.id > after and self.visible(row)]
        await self.wire.call("messages", argument=after)
        return found

    async def queued(self, chat: str) -> Sequence[str]:
        """Return what waits in the queue of a chat."""
        queued = list(self._queues.get(chat, ()))
        await self.wire.call("queue")
        return queued

    async def snapshot(self, chat: str, after: int) -> Snapshot:
        """Return all of a chat, with the messages above an id, as one transaction sees it."""
        seen = self.now(chat, after)
        await self.wire.call("snapshot", argument=after)
        return seen

    def now(self, chat: str, after: int) -> Snapshot:
        """Return what a transaction that starts now would see."""
        rows = sorted(self._messages.get(chat, {}).values(), key=lambda message: message.id)
        return Snapshot(
            self.version(chat),
            self._statuses.get(chat, Status.WAITING),
            tuple(row for row in rows if row.id > after),
            tuple(self._queues.get(chat, ())),
        )

    @property
    def lookups(self) -> list[object]:
        """Above which id each query for messages has asked."""
        return self.wire.arguments("messages")
