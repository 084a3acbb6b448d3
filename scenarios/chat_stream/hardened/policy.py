"""What the hardened forms decide without a loop, a clock or a database.

Pure functions and a few values. They do not know who asks.
"""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet

from scenarios.chat_stream.messages import Event, Kind, Message, Snapshot

# How long a lost hint can go unnoticed.
POLL_INTERVAL = 5.0
OUTPUT_QUEUE = 128


def is_news(hinted: int, known: int) -> bool:
    """Say whether a hint of one version tells something to who knows another."""
    return hinted > known


def changes(
    before: Snapshot | None, after: Snapshot, delivered: AbstractSet[Message]
) -> Iterator[Event]:
    """Yield what a subscriber must be told, in one fixed order: status, messages by id, queue."""
    if before is None or before.status is not after.status:
        yield Event(Kind.STATUS, after.status)
    yield from (Event(Kind.MESSAGE, each) for each in new_messages(after.messages, delivered))
    if before is None or before.queue != after.queue:
        yield Event(Kind.QUEUE, after.queue)


def new_messages(messages: Iterable[Message], delivered: AbstractSet[Message]) -> list[Message]:
    """Return the messages that were not delivered as they are now; an edited one was not."""
    return [message for message in messages if message not in delivered]
