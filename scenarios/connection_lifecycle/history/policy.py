"""What is decided about shared fetches, speculation, two semaphores and bundled calls.

Pure functions and values. They know neither threads nor clocks; a time is a number of seconds.
"""

from collections.abc import Mapping

# Fetched without asking: what is read now, and what comes next.
DEMAND = 2
ROUNDS_AHEAD = 3
STREAM_SHARE_TENTHS = 6
WINDOW = 1.0
DEBOUNCE = 30.0
CALL_TIMEOUT = 60.0
REMEMBERED = 1024
HOLES_WAITING = 128


def speculative_slots(connections: int) -> int:
    """Return how many fetches may go on when one more is begun on speculation."""
    return ROUNDS_AHEAD * connections - 1


def is_demand(ahead: int) -> bool:
    """Say whether the article that lies `ahead` places before the reader is needed."""
    return ahead < DEMAND


def import_share(connections: int) -> int:
    """Return how many connections imports may hold: what streams leave, and never none."""
    # Rounded up in integers: 0.6 has no exact form.
    streams = -(-STREAM_SHARE_TENTHS * connections // 10)
    return max(1, connections - streams)


def is_recent(now: float, asked: float | None, debounce: float) -> bool:
    """Say whether what was asked for at `asked`, if ever, need not be asked for again."""
    return asked is not None and now - asked < debounce


def remembered(asked: Mapping[str, float], now: float, debounce: float, most: int) -> list[str]:
    """Return what to go on remembering once there is more than `most`: the recent, the latest."""
    recent = [path for path, at in asked.items() if is_recent(now, at, debounce)]
    return recent[-most:]
