"""What admission decides without a thread, a loop or a clock.

Pure functions and values, shared by both flavours. A limit of 0 means that there is none. They do
not know what a token is good for.
"""

from dataclasses import dataclass
from typing import Protocol

STREAM_RESERVE = 2
FIRST_SEGMENT_ATTEMPTS = 3
RETRY_STEP = 0.300
ATTEMPT_TIMEOUT = 30.0
IMPORT_CONNECTIONS = 5
IMPORT_LANE = "normal"


class Caps(Protocol):
    """How many tokens there are while so many streams are played."""

    def limit(self, streams: int) -> int:
        """Return the most that may be held; 0 for any number."""
        ...


@dataclass(frozen=True, slots=True)
class Shared:
    """A pool's connections, of which each active stream keeps some free; never fewer than one."""

    capacity: int
    reserve: int = STREAM_RESERVE

    def limit(self, streams: int) -> int:
        """Return what the streams leave."""
        if self.capacity <= 0:
            return 0
        return self.capacity - min(self.reserve * streams, self.capacity - 1)


@dataclass(frozen=True, slots=True)
class TwoCaps:
    """A cap while nobody watches and one while somebody does, which is never the larger one."""

    idle: int
    streaming: int

    def limit(self, streams: int) -> int:
        """Return the cap that holds now."""
        idle, streaming = max(self.idle, 0), max(self.streaming, 0)
        if not streams:
            return idle
        if not idle or not streaming:
            return idle or streaming
        return min(idle, streaming)


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a first segment is asked for, and how long an attempt may take; seconds."""

    attempts: int = FIRST_SEGMENT_ATTEMPTS
    step: float = RETRY_STEP
    attempt_timeout: float = ATTEMPT_TIMEOUT

    def pause_after(self, attempt: int) -> float:
        """Return the seconds between attempt number `attempt`, from 1, and the next."""
        return attempt * self.step


def has_room(held: int, limit: int) -> bool:
    """Say whether one more token may be handed out."""
    return not limit or held < limit


def workers(files: int, cap: int) -> int:
    """Return how many fetch the first segments of so many files at once."""
    return max(min(files, cap), 1)
