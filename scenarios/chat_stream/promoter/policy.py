"""What promoter and worker decide without a loop or a database: numbers and one rule.

Pure functions and a few values. They do not know who asks.
"""

from collections.abc import Iterable

from scenarios.chat_stream.messages import Call, ChatRow, Status

# A worker that has not said for so long that it lives has lost its chat.
STALE_AFTER = 5 * 60.0
ACQUIRE_INTERVAL = 1.0
BATCH = 10
# A query that was cancelled may have been executed; so long the answer is waited for.
ACQUIRE_TIMEOUT = 10.0


def is_running(row: ChatRow, now: float) -> bool:
    """Say whether somebody is at work on a chat and alive."""
    return row.status is Status.RUNNING and now - row.heartbeat < STALE_AFTER


def left_open(calls: Iterable[Call]) -> list[Call]:
    """Return the calls that a promotion must answer, since nobody else will."""
    return [call for call in calls if call.is_dynamic and not call.is_resolved]


def to_front(queue: list[str], text: str) -> list[str]:
    """Return a queue with one of its texts first, the others in their order."""
    return [text, *(each for each in queue if each != text)]
