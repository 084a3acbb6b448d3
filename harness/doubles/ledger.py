"""What a pool counts and writes down: who came, when, with what, and how it ended.

Two kinds of numbers, kept apart so that neither lies: *statistics* (totals per key, lane and
method, arrivals, the log), which a reset starts afresh, and *facts* (the ordinals of calls), which
nothing resets. The live gauge is a fact too; it is kept by `InFlight`. This module does not know
how calls are served.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import Literal

from harness.core.clock import to_seconds

EVENTS_MAX = 100_000

EventKind = Literal[
    "refused", "arrived", "started", "chunk", "answered", "failed", "cancelled", "timed out"
]


@dataclass(frozen=True, slots=True)
class PoolEvent:
    """One line of a pool's log.

    Args:
        at: seconds on the clock of `time.monotonic()`, which is virtual inside a run and starts at
            0 there.
        kind: what happened; `refused` is a call that was over before it came (dead scope, deadline
            in the past).
        method: `call`, `submit` or `exists`.
        key: what was asked for.
        lane: lane of the call.
        ordinal: number of the call in this pool, from 1; 0 for a refused one.
        who: name of the thread or task that called.
    """

    at: float
    kind: EventKind
    method: str
    key: str
    lane: str
    ordinal: int
    who: str


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks a pool for what."""

    method: str
    key: str
    lane: str
    argument: object
    who: str


@dataclass(frozen=True, slots=True)
class Ticket:
    """One call that came in.

    Its request, its ordinal in the pool and its ordinal among the calls for its key.
    """

    request: Request
    ordinal: int
    attempt: int


class Ledger:
    """The books of one pool. Any thread."""

    # invariant: the four counts of an arrival rise together, under the lock
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ordinal = 0
        self._start_books()

    def arrive(self, request: Request) -> int:
        """Count a call that came in.

        Return its ordinal, which stays what it is whatever is reset later.
        """
        with self._lock:
            self._ordinal += 1
            ordinal = self._ordinal
            self._total += 1
            self._calls[request.key, request.lane, request.method] += 1
            self._arrivals.setdefault(request.key, []).append(time.monotonic_ns())
            self._arguments.setdefault(request.key, []).append(request.argument)
        self.note("arrived", request, ordinal)
        return ordinal

    def note(self, kind: EventKind, request: Request, ordinal: int) -> None:
        """Write one line into the log; the oldest gives way when it is full."""
        with self._lock:
            self._noted += 1
            self._events.append((time.monotonic_ns(), kind, request, ordinal))

    def reset(self) -> None:
        """Start every statistic and the log afresh. Ordinals go on."""
        with self._lock:
            self._start_books()

    @property
    def total(self) -> int:
        """How many calls came in since the last reset."""
        return self._total

    def calls(self, key: str | None, lane: str | None, method: str | None) -> int:
        """Count the calls that came in since the last reset; None means any."""
        if key is not None and lane is None and method is None:
            return len(self._arrivals.get(key, ()))
        if key is None and lane is None and method is None:
            return self._total
        wanted = (key, lane, method)
        return sum(
            calls
            for had, calls in list(self._calls.items())
            if all(want is None or want == have for want, have in zip(wanted, had, strict=True))
        )

    def arrivals(self, key: str | None) -> list[float]:
        """Return when the calls came in, in order, in seconds; None for all keys together."""
        lists = list(self._arrivals.values()) if key is None else [self._arrivals.get(key, [])]
        return [to_seconds(at_ns) for at_ns in sorted(at_ns for times in lists for at_ns in times)]

    def arguments(self, key: str) -> list[object]:
        """Return the argument of each call for `key`, in order of arrival."""
        return list(self._arguments.get(key, ()))

    def events(self) -> list[PoolEvent]:
        """Return the log, oldest first."""
        return [
            PoolEvent(
                to_seconds(at_ns),
                kind,
                request.method,
                request.key,
                request.lane,
                ordinal,
                request.who,
            )
            for at_ns, kind, request, ordinal in list(self._events)
        ]

    @property
    def events_dropped(self) -> int:
        """How many lines gave way because the log was full."""
        return max(0, self._noted - EVENTS_MAX)

    def _start_books(self) -> None:
        self._total = 0
        self._noted = 0
        self._calls: Counter[tuple[str, str, str]] = Counter()
        self._arrivals: dict[str, list[int]] = {}
        self._arguments: dict[str, list[object]] = {}
        self._events: deque[tuple[int, EventKind, Request, int]] = deque(maxlen=EVENTS_MAX)
