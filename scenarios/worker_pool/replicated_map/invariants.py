"""What a replicated map promises whatever happens: R1 to R8, each a check with a name.

R5's other half, that every wait returns at all, and R6's, that close does, are what `Deadlock`
says. They do not know how a map is made: they see what it answers, and what the store published.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness import Store, Violation
from harness.checks import Judge, StormView

from . import policy
from .reference import Changes, MapClosedError, ReplicatedMap

Sample = tuple[int, dict[str, str]]


class Truth:
    """The content of a map at every revision, as the store published it."""

    def __init__(self, store: Store, name: str) -> None:
        self.contents: list[dict[str, str]] = [{}]
        store.data.subscribe(policy.channel_of(name), self._hear)

    def _hear(self, channel: str, data: str) -> None:
        update = policy.decode(data)
        if update is not None:
            content = dict(self.contents[-1])
            policy.apply(content, update)
            self.contents.append(content)

    @property
    def last(self) -> Sample:
        """The last revision and its content."""
        return len(self.contents) - 1, self.contents[-1]


@dataclass(frozen=True, slots=True)
class Spans:
    """How long calls took, in seconds."""

    taken: list[float] = field(default_factory=list)

    def time(self, act: Callable[..., Any], *args: Any) -> Any:
        """Call `act(*args)` and note how long it took."""
        before = time.monotonic()
        try:
            return act(*args)
        finally:
            self.taken.append(round(time.monotonic() - before, 9))


@dataclass(frozen=True, slots=True)
class SetNeverWaits:
    """R1: a set takes its round trip to the store, and waits for no reader of notifications."""

    sets: Spans
    round_trip: float

    def watch(self, view: StormView) -> Judge:
        """Judge at the end."""
        return lambda: _violation(
            "SetNeverWaits",
            [
                f"a set took {taken:g} s, its round trip {self.round_trip:g} s."
                for taken in self.sets.taken
                if taken != self.round_trip
            ],
        )


@dataclass(frozen=True, slots=True)
class ReadNeverWaits:
    """R2: a read takes no time: it is blocked for no longer than a copy."""

    reads: Spans

    def watch(self, view: StormView) -> Judge:
        """Judge at the end."""
        return lambda: _violation(
            "ReadNeverWaits", [f"a read took {taken:g} s." for taken in self.reads.taken if taken]
        )


@dataclass(frozen=True, slots=True)
class StoreOrder:
    """R3: each copy has at each revision what the store had, and its revision never falls.

    Args:
        truth: what the store had.
        samples: what one copy had, in the order in which it was seen.
    """

    truth: Truth
    samples: Sequence[Sample]

    def watch(self, view: StormView) -> Judge:
        """Judge at the end."""
        return lambda: _violation("StoreOrder", self._wrong())

    def _wrong(self) -> Iterable[str]:
        highest = 0
        for revision, content in self.samples:
            if revision < highest:
                yield f"a copy went back from revision {highest} to {revision}."
            highest = max(highest, revision)
            if content != self.truth.contents[revision]:
                had = self.truth.contents[revision]
                yield f"a copy had {content} at revision {revision}, where the store had {had}."


@dataclass(frozen=True, slots=True)
class LocalAfterWait:
    """R4: once a wait has returned, the copy has that write or a later one.

    Args:
        waits: the revision of each write, and that of the copy when its wait returned.
    """

    waits: Sequence[tuple[int, int]]

    def watch(self, view: StormView) -> Judge:
        """Judge at the end."""
        return lambda: _violation(
            "LocalAfterWait",
            [
                f"a wait for revision {own} returned at revision {seen} of the copy."
                for own, seen in self.waits
                if seen < own
            ],
        )


@dataclass(frozen=True, slots=True)
class NobodyWaits:
    """R5: when all calls have returned, the map knows of nobody who waits."""

    replica: ReplicatedMap

    def watch(self, view: StormView) -> Judge:
        """Judge at the end."""
        return lambda: _violation(
            "NobodyWaits",
            [f"{self.replica.waiting} calls are said to wait."] if self.replica.waiting else [],
        )


@dataclass(frozen=True, slots=True)
class StaysClosed:
    """R6: a closed map answers reads, refuses writes, and has closed its subscriptions."""

    replica: ReplicatedMap
    changes: Changes
    content: dict[str, str]

    def watch(self, view: StormView) -> Judge:
        """Judge at the end."""
        return lambda: _violation("StaysClosed", self._wrong())

    def _wrong(self) -> Iterable[str]:
        if self.replica.content() != self.content:
            yield f"a closed map reads {self.replica.content()}, not {self.content}."
        if not self.changes.is_closed:
            yield "a subscription outlived its map."
        try:
            self.replica.set("late", "write")
        except MapClosedError:
            return
        yield "a closed map took a write."


@dataclass(frozen=True, slots=True)
class SeesTheLast:
    """R7: who reads again after each notification has seen what the map came to.

    Args:
        truth: what the store had.
        samples: what was read.
    """

    truth: Truth
    samples: Sequence[Sample]

    def watch(self, view: StormView) -> Judge:
        """Judge at the end."""
        return lambda: _violation(
            "SeesTheLast",
            []
            if self.samples and self.samples[-1] == self.truth.last
            else [f"a subscriber read {self.samples[-1:]} last, of {self.truth.last}."],
        )


@dataclass(frozen=True, slots=True)
class NothingLost:
    """R8: when all is quiet, each copy is what the store has, whatever came in between."""

    truth: Truth
    replicas: Sequence[ReplicatedMap]

    def watch(self, view: StormView) -> Judge:
        """Judge at the end."""
        return lambda: _violation(
            "NothingLost",
            [
                f"a copy is {replica.at()}, where the store has {self.truth.last}."
                for replica in self.replicas
                if replica.at() != self.truth.last
            ],
        )


def _violation(name: str, wrong: Iterable[str]) -> Violation | None:
    first = next(iter(wrong), None)
    return None if first is None else Violation(name, first)
