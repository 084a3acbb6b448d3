"""A fake database of chats: rows become visible when they are committed, not when they get an id.

Fault model. A query takes the time of the wire that it goes over, may fail as the wire says, and
answers what was committed when it came in, so that its answer may be old when it is there. A commit
is atomic and never lost. That is all that a reader can see of a database under "read committed".
"""

from collections.abc import Callable, Sequence
from itertools import count

from harness import AsyncFakePool

from .messages import Message, Role, Status


class FakeStore:
    """The rows of any number of chats. One loop."""

    # invariant: the messages of a chat are sorted by id

    def __init__(self, wire: AsyncFakePool) -> None:
        """Make an empty database behind a wire.

        Args:
            wire: each query is one call: `status`, `messages` (with the id it asks above) or
                `queue`.
        """
        self.wire = wire
        self._messages: dict[str, dict[int, Message]] = {}
        self._statuses: dict[str, Status] = {}
        self._queues: dict[str, list[str]] = {}
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

    def edit(self, chat: str, message: Message) -> None:
        """Replace a message and drop all that came after it."""
        kept = {id: row for id, row in self._messages.get(chat, {}).items() if id < message.id}
        self._messages[chat] = {**kept, message.id: message}

    def set_status(self, chat: str, status: Status) -> None:
        """Commit a status."""
        self._statuses[chat] = status

    def queue(self, chat: str, *texts: str) -> None:
        """Commit what waits in the queue of a chat."""
        self._queues[chat] = list(texts)

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

    @property
    def lookups(self) -> list[object]:
        """Above which id each query for messages has asked."""
        return self.wire.arguments("messages")
