"""What travels through a chat: messages, notifications and the events of a subscription.

Plain values. They do not know who sends them, or in which order they come.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class Role(StrEnum):
    """Who speaks."""

    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class Status(StrEnum):
    """What a chat is doing."""

    WAITING = "waiting"
    PENDING = "pending"
    RUNNING = "running"
    REQUIRES_ACTION = "requires_action"


@dataclass(frozen=True, slots=True)
class Message:
    """A message that is in the database, or will be once its transaction commits.

    Args:
        id: from one increasing sequence, assigned at the insert and not at the commit.
        role: who speaks.
        text: what is said.
    """

    id: int
    role: Role = Role.USER
    text: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of an answer while it is being written; lost with the replica that writes it."""

    text: str


@dataclass(frozen=True, slots=True)
class Notify:
    """A notification: a hint that something changed, not the change itself.

    Args:
        after: there is a durable message with an id above this one; 0 for none.
        full_refresh: everything may have changed.
        status: the new status, if that changed.
        retry: why the answer is being tried again.
        error: what went wrong.
        queue_update: the queue of the chat changed.
    """

    after: int = 0
    full_refresh: bool = False
    status: Status | None = None
    retry: str = ""
    error: str = ""
    queue_update: bool = False

    @property
    def is_durable(self) -> bool:
        """Whether it speaks of durable messages. That of the very first message does not."""
        return self.after > 0 or self.full_refresh


@dataclass(frozen=True, slots=True)
class Hint:
    """A notification that says only how new the chat is: it may be late, double or lost."""

    version: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All of a chat at one moment, as one read transaction sees it."""

    version: int
    status: Status
    messages: tuple[Message, ...]
    queue: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool that an answer has asked for.

    Args:
        name: of the tool.
        is_dynamic: its result comes from outside; of a static one the worker sees to it itself.
        is_resolved: its result is in the history.
    """

    name: str
    is_dynamic: bool = True
    is_resolved: bool = False


@dataclass(slots=True)
class ChatRow:
    """The row of a chat, as a transaction that has locked it sees and changes it."""

    status: Status = Status.WAITING
    worker: str = ""
    heartbeat: float = 0.0
    archived: bool = False
    # Calls of tools of the last answer, and texts that wait for their turn.
    calls: list[Call] = field(default_factory=list)
    queue: list[str] = field(default_factory=list)


class Kind(StrEnum):
    """What an event of a subscription is about."""

    STATUS = "status"
    RETRY = "retry"
    PART = "part"
    MESSAGE = "message"
    QUEUE = "queue"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that a subscriber learns."""

    kind: Kind
    value: object
