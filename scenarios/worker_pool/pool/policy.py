"""The numbers and decisions of the worker pool: who is alive, who gets a job, when to try again.

Pure functions: an instant is handed in, in nanoseconds of one clock. It knows no store and no task.

Source: John Lamping, Eric Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm", 2014,
section 2 (jump consistent hash).
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

SECOND_NS = 1_000_000_000
#: What a worker's entry says once it is about to leave.
LEAVING = "-"
#: The pool stream keeps about so many events.
POOL_STREAM_MAX = 1000
#: How many events are read or claimed at once.
BATCH = 100

RETRIES = 3
RETRY_BASE_DELAY = 0.050
RETRY_FACTOR = 2.0
RETRY_JITTER = 0.5

Table = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Timing:
    """How patient a pool is; in seconds.

    Args:
        ttl: a node or worker is dead, and a clean-up lock void, once it is older than this.
        grace: an event that nobody acknowledged is delivered again after this; twice as long
            waits a dispatch for its answer, and lives a guard.
        block: for so long one read waits for events.
        event_ttl: an event of the pool stream that is older is dropped.
        retries: how often a requeue is tried again.
        retry_base: seconds before the first retry.
        retry_factor: each delay is so many times the one before.
        retry_jitter: up to this share of a delay is added at random.
    """

    ttl: float = 30.0
    grace: float = 20.0
    block: float = 5.0
    event_ttl: float = 120.0
    retries: int = RETRIES
    retry_base: float = RETRY_BASE_DELAY
    retry_factor: float = RETRY_FACTOR
    retry_jitter: float = RETRY_JITTER

    @property
    def ttl_ns(self) -> int:
        """The time to live in nanoseconds."""
        return ns(self.ttl)

    @property
    def patience(self) -> float:
        """Seconds that a dispatch waits for its answer."""
        return 2 * self.grace

    @property
    def orphan_ns(self) -> int:
        """Nanoseconds for which a job may be seen without an owner before it is requeued."""
        return max(2 * self.ttl_ns, ns(self.grace))


def passes(error: Exception) -> bool:
    """Tell whether a read may be tried again: no connection, or the pool was wiped beneath it."""
    gone = str(error).startswith(("UNBLOCKED", "NOGROUP"))
    return gone or isinstance(error, ConnectionError)


def ns(seconds: float) -> int:
    """Return whole nanoseconds."""
    return round(seconds * SECOND_NS)


def stamp(text: str | None) -> int | None:
    """Return the instant that an entry starts with; None if it is no entry, or says none."""
    first = (text or "").partition(" ")[0]
    return int(first) if first.isdecimal() else None


def is_fresh(text: str | None, now_ns: int, ttl_ns: int) -> bool:
    """Tell whether an entry is no older than its time to live."""
    since = stamp(text)
    return since is not None and now_ns - since <= ttl_ns


def active(workers: Table, beats: Table, locks: Table, now_ns: int, ttl_ns: int) -> tuple[str, ...]:
    """Return the workers that may get jobs, oldest first.

    Args:
        workers: when each was made, or `LEAVING`.
        beats: when each was last heard of.
        locks: the clean-up locks.
        now_ns: now.
        ttl_ns: their time to live.
    """
    since = {
        worker: (stamp(made) or 0, worker)
        for worker, made in workers.items()
        if made != LEAVING
        and not is_fresh(locks.get(worker), now_ns, ttl_ns)
        and is_fresh(beats.get(worker), now_ns, ttl_ns)
    }
    return tuple(sorted(since, key=since.__getitem__))


def lists(jobs: Table) -> dict[str, tuple[str, ...]]:
    """Return the keys that each worker owns."""
    return {worker: tuple(json.loads(keys)) for worker, keys in jobs.items()}


def owners(jobs: Mapping[str, Iterable[str]], key: str) -> list[str]:
    """Return the workers that list `key` as theirs."""
    return sorted(worker for worker, keys in jobs.items() if key in keys)


def digest(key: str) -> int:
    """Return 64 bits of a key, the same in every process."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big")


def bucket(number: int, buckets: int) -> int:
    """Return the bucket of a number; one more bucket moves as few numbers as can be."""
    found, candidate = -1, 0
    while candidate < buckets:
        found = candidate
        number = (number * 2862933555777941757 + 1) % (1 << 64)
        candidate = int((found + 1) * ((1 << 31) / ((number >> 33) + 1)))
    return found


def pick(key: str, workers: Sequence[str]) -> str | None:
    """Return the worker that gets `key`, None if there is none."""
    return workers[bucket(digest(key), len(workers))] if workers else None


def backoff(timing: Timing, retry: int, uniform: Callable[[float, float], float]) -> float:
    """Return the seconds to wait before a retry, counted from 1."""
    delay = timing.retry_base * timing.retry_factor ** (retry - 1)
    return delay * (1 + uniform(0.0, timing.retry_jitter))
