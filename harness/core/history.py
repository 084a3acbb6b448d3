"""What happened in one run, as frozen events, and one number that two equal runs share.

An event holds nothing that another process would see differently: no address, no ident, no frame.
The history does not decide anything, and a run without one makes the same choices.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple


class Who(NamedTuple):
    """Who acts: a thread, or a task of the event loop that runs in it.

    Args:
        thread: spawn path of the thread, such as `0.2`.
        thread_name: its name.
        task: spawn path of the task, empty if it is the thread itself.
        task_name: its name.
    """

    thread: str
    thread_name: str
    task: str = ""
    task_name: str = ""

    @property
    def name(self) -> str:
        """The name of whoever it is."""
        return self.task_name or self.thread_name

    @property
    def path(self) -> str:
        """Its spawn path."""
        return self.task if self.task_name else self.thread


class Event(NamedTuple):
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
        by: who did it, and in which thread; as `where`.
        site: the place in the code that it is about to come to, with what is touched; as `where`.
    """

    step: int
    actor: str
    who: str
    operation: str
    target: str
    time_ns: int
    outcome: str = ""
    where: str = ""
    by: Who | None = None
    site: Any = None

    def key(self) -> tuple[str, str, str, int, str]:
        """Return what two equal runs share."""
        # Not the step, which differs between versions of Python, nor the file, between machines.
        return (self.actor, self.operation, self.target, self.time_ns, self.outcome)


AsideKind = Literal[
    "stop",
    "back",
    "wait",
    "order",
    "fault",
    "draw",
    "park",
    "done",
    "hold",
    "free",
    "gauge",
    "bound",
]


@dataclass(frozen=True, slots=True)
class Aside:
    """What lies between two events of a run; not of the digest.

    First what made the run other than the plain one, then what only a detailed history has.

    Args:
        at: how many events were before.
        kind: `stop` (somebody who could have gone on has to wait), `back` (goes on), `wait` (waits
            of its own), `order` (goes on before somebody whose turn it was), `fault` or `draw`;
            `park` (waits, and for what), `done` (a task has ended), `hold` and `free` (a lock),
            `gauge` (somebody entered or left) or `bound` (how many may be inside).
        who: whose doing it is.
        other: for `order`, whose turn it would have been; for `park`, who holds what is waited for;
            for `bound`, whether it must be reached or is one of calls.
        text: for `fault` and `draw`, what came, with `{who}` for the name of whom; for `park`, what
            is waited for; for `done`, how it ended; else the name of the lock or gauge.
        where: `file:line` of the code that it happened in, empty if that is told by the last event.
        value: how many are inside, or may be; the number of the lock, 0 for none.
        total: how many have ever entered.
        site: the place in the code at which a lock was taken.
        step: how many choices who goes on had been made.
    """

    at: int
    kind: AsideKind
    who: Who
    other: str = ""
    text: str = ""
    where: str = ""
    value: int = 0
    total: int = 0
    site: Any = None
    step: int = 0


def step_of(each: Event | Aside) -> int:
    """Return the step, from 1 on, that something happened in: that of the choice before it.

    A point has the number of the step that begins at it.
    """
    return each.step + (isinstance(each, Event) and each.operation == "point")


@dataclass(slots=True)
class History:
    """The events of one run, in order. One run, one thread.

    Args:
        events: what happened.
        asides: what lies between.
        is_detailed: waits, locks and gauges are wanted too, for a picture.
    """

    events: list[Event] = field(default_factory=list)
    asides: list[Aside] = field(default_factory=list)
    is_detailed: bool = False

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
