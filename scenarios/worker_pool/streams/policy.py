"""The numbers of readers and sinks, and who counts as dead. Pure."""

from dataclasses import dataclass

LEASE_SHARE = 0.99
STALE_GRACES = 2


@dataclass(frozen=True, slots=True)
class Timing:
    """How patient readers and sinks are; in seconds, and in events.

    Args:
        grace: an event that nobody acknowledged for so long is delivered again; sinks say so
            often that they live. The same for all sinks of one name.
        check: so often sinks look for such events, and for the dead.
        block: for so long one read waits for events.
        retry: what the store refuses is tried again after up to so long.
        batch: so many events one read takes at most.
        buffer: so many events wait for one subscriber before the reading waits for it.
    """

    grace: float = 20.0
    check: float = 0.5
    block: float = 5.0
    retry: float = 5.0
    batch: int = 1000
    buffer: int = 1000

    @property
    def lease(self) -> float:
        """For so long one sink alone may look: gone when the next look is due."""
        return self.check * LEASE_SHARE


def ns(seconds: float) -> int:
    """Return whole nanoseconds."""
    return round(seconds * 1e9)


def ms(seconds: float) -> int:
    """Return whole milliseconds, as the store counts."""
    return round(seconds * 1e3)


def is_stale(beat: str, now_ns: int, grace: float) -> bool:
    """Tell whether a consumer is dead; one that says nonsense is not."""
    return beat.isdecimal() and now_ns - int(beat) > ns(STALE_GRACES * grace)
