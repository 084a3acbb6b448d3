"""What happened in one run, as frozen events, and one number that two equal runs share.

An event holds nothing that another process would see differently: no address, no ident, no frame.
The history does not decide anything, and a run without one makes the same choices.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Args:
        step: kernel step, counted from the start of the run.
        actor: spawn path of the thread or task, such as `0.2`.
        who: its name.
        operation: what it did (`point`, `spawn`, `sleep`, `call`, `resume`, `end`, `fault`, …).
        target: name of what it did it to.
        time_ns: virtual time in nanoseconds.
        outcome: how it came out, empty if there is nothing to say.
        where: `file:line`, for reports; not part of the digest.
    """

    step: int
    actor: str
    who: str
    operation: str
    target: str
    time_ns: int
    outcome: str = ""
    where: str = ""

    def key(self) -> tuple[str, str, str, int, str]:
        """Return what two equal runs share."""
        # Not the step, which differs between versions of Python, nor the file, between machines.
        return (self.actor, self.operation, self.target, self.time_ns, self.outcome)


@dataclass(slots=True)
class History:
    """The events of one run, in order. One run, one thread."""

    events: list[Event] = field(default_factory=list)

    def add(self, event: Event) -> None:
        """Append what just happened."""
        self.events.append(event)

    def digest(self) -> str:
        """Return a hash over path, operation, target, virtual time and outcome of every event."""
        digest = hashlib.sha256()
        for event in self.events:
            digest.update(repr(event.key()).encode())
        return digest.hexdigest()[:32]

    def first_difference(self, other: History) -> tuple[int, Event | None, Event | None] | None:
        """Return the place where two histories part, with both sides, or None if they are equal."""
        for index in range(max(len(self.events), len(other.events))):
            mine = self.events[index] if index < len(self.events) else None
            theirs = other.events[index] if index < len(other.events) else None
            if mine is None or theirs is None or mine.key() != theirs.key():
                return index, mine, theirs
        return None
