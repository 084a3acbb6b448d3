"""What the reader decides without touching a thread, a clock or the network.

Pure functions and a few values. They do not know who asks: a threaded and an asyncio reader can
share them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

DEFAULT_WINDOW = 60
ATTEMPTS = 2
ATTEMPT_TIMEOUT = 15.0
BASE_DELAY = 0.050
JITTER = 0.100
CLOSE_TIMEOUT = 30.0
CLOSE_TICK = 0.500

# RFC 3977: 430 "no article with that message-id", 423 "no article with that number".
MISSING_CODES = frozenset({423, 430})


@dataclass(frozen=True, slots=True)
class Retry:
    """How often an article is asked for, and how long an attempt may take; seconds."""

    attempts: int = ATTEMPTS
    attempt_timeout: float = ATTEMPT_TIMEOUT
    base_delay: float = BASE_DELAY
    jitter: float = JITTER


@dataclass(frozen=True, slots=True)
class Article:
    """One article of a file: its id and the number of its usable bytes."""

    id: str
    size: int


@dataclass(frozen=True, slots=True)
class Slice:
    """The bytes `start` to `end`, both included, of one article."""

    id: str
    start: int
    end: int


def window_size(asked: int) -> int:
    """Return how many segments may be scheduled and not yet consumed; 0 or less is the default."""
    return asked if asked > 0 else DEFAULT_WINDOW


def has_room(scheduled: int, consumed: int, window: int) -> bool:
    """Say whether one more segment may be scheduled."""
    return scheduled - consumed < window


def backoff(retry: Retry, uniform: Callable[[float, float], float]) -> float:
    """Return the seconds between two attempts: the base delay plus U[0, jitter)."""
    return retry.base_delay + uniform(0.0, retry.jitter)


def attempt_timeout(retry: Retry, remaining: float | None) -> float:
    """Return the seconds one attempt may take: its own limit or what the parent has left."""
    return retry.attempt_timeout if remaining is None else min(retry.attempt_timeout, remaining)


def is_missing(code: int) -> bool:
    """Say whether a response code means that the server does not have the article."""
    return code in MISSING_CODES


def is_complete(length: int, end: int) -> bool:
    """Say whether a payload of `length` bytes reaches the last byte that is wanted."""
    return length > end


def slices(articles: Sequence[Article], start: int = 0, end: int | None = None) -> list[Slice]:
    """Cut the bytes `start` to `end`, both included, of the file that the articles make up.

    Args:
        articles: the articles in the order of the file.
        start: first byte wanted.
        end: last byte wanted, clamped to the file; None is the last byte of the file. Before
            `start` it leaves nothing.
    """
    ends = list(accumulate(article.size for article in articles))
    last = ends[-1] - 1 if ends else -1
    end = last if end is None else min(end, last)
    return [
        Slice(
            article.id,
            start=max(start - (after - article.size), 0),
            end=min(end - (after - article.size), article.size - 1),
        )
        for article, after in zip(articles, ends, strict=True)
        if article.size > 0 and after > start and after - article.size <= end and start <= end
    ]
