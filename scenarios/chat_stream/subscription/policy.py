"""What a subscription decides without a loop, a clock or a database: numbers and two rules.

Pure functions and a few values. They do not know who asks.
"""

from scenarios.chat_stream.messages import Kind, Notify

CACHE_SIZE = 256
SUBSCRIBER_QUEUE = 128
NOTIFY_QUEUE = 10
OUTPUT_QUEUE = 128
PART_BUFFER = 10_000
# Idle state of a chat is kept for so long, and looked for so often.
RETENTION = 5.0
JANITOR_INTERVAL = 30.0
# A chat that is read again for a snapshot; what was read before will do if it takes longer.
REREAD_TIMEOUT = 5.0
# Between two warnings that a subscriber is too slow for what this replica tells it.
WARNING_INTERVAL = 10.0

# With notifications a durable message comes by them only, so that it comes once.
LOCAL_KINDS = frozenset({Kind.PART, Kind.STATUS})


def lookup(floor: int, after: int, last: int) -> int:
    """Return above which id a notification makes one look.

    A late notification speaks of ids below the last one delivered. None may reach below what the
    subscriber asked for.
    """
    return max(floor, min(after, last))


def notify_for(message_id: int) -> Notify:
    """Return the notification that a message was published."""
    return Notify(after=message_id - 1)
