"""What the stream decides without touching a thread, a loop or a clock.

Pure functions and one value. They do not know who asks: threads and tasks share them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

# The header that names the topic of an event; the topic of a sender names nothing.
TOPIC = "topic"


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the log.

    Args:
        id: its place in the log, from 1.
        foreign_id: what it is about, in the words of the sender.
        type: what happened to it.
        headers: by name; `topic` is the one that receivers look at.
        created_at: when it was sent, on the clock of the stream.
    """

    id: int
    foreign_id: str
    type: int
    headers: Mapping[str, str]
    created_at: float


def is_for(event: Event, topic: str) -> bool:
    """Say whether a receiver of `topic` sees the event; one without a topic sees them all."""
    return not topic or event.headers.get(TOPIC) == topic


def first_cursor(cursor: int, length: int, *, from_latest: bool) -> int:
    """Return where a new receiver begins in a log of `length` events.

    A committed cursor wins over `from_latest`. 0 means both "never committed" and "committed at the
    start", so a receiver from the latest of an empty log begins at the start, whenever that is.
    """
    return length if from_latest and cursor == 0 else cursor


def committed(cursor: int, position: int, *, is_monotonic: bool) -> int:
    """Return the cursor after an acknowledgement that wants it at `position`."""
    return max(cursor, position) if is_monotonic else position
