"""Runs in the order of how far they deviate from the plain one: delay and preemption bounding.

The plain run is tried first, then all runs with one deviation, then all with two, and so on up to
the bound; each once. So the first failing run has as few as any. What a deviation costs is the
difference between the two: the delay bound counts how many actors are passed over, the preemption
bound only switches away from an actor that could go on.

Source: M. Musuvathi, S. Qadeer, "Iterative Context Bounding for Systematic Testing of Multithreaded
    Programs", PLDI 2007, section 3; M. Emmi, S. Qadeer, Z. Rakamarić, "Delay-Bounded Scheduling",
    POPL 2011, section 3.
Departs: faults and other choices that are not about who goes on cost one each; the deterministic
    scheduler that delays refer to is the plain run, which keeps the current actor.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.core.tape import Tape

from .exhaustive import MAX_WIDTH
from .strategy import Ran

#: (choice, whether the current actor could have gone on) → what it costs.
Cost = Callable[[int, bool], int]
# What was answered, among how many, and whether the current actor could have gone on; None if it
# was not about who goes on. A tape records a turn of a loop by another number.
Asked = tuple[int, int, bool | None]


def delays(choice: int, _could_stay: bool) -> int:
    """Count the actors that are passed over."""
    return choice


def preemptions(choice: int, could_stay: bool) -> int:
    """Count a switch away from an actor that could go on."""
    return int(could_stay and choice > 0)


@dataclass(slots=True)
class Deviations:
    """All runs within a bound, the least deviating first.

    Args:
        bound: the most deviations of a run, at least 0.
        cost: what a choice costs.
    """

    bound: int
    cost: Cost
    # By what they cost, the runs that are to come, those of one parent after those of another. They
    # are made when their turn comes: there are a thousand times as many as will ever be run.
    _waiting: list[deque[Iterator[list[int]]]] = field(default_factory=list)
    _prefix: list[int] = field(default_factory=list)
    _level: int = 0
    _asked: list[Asked] = field(default_factory=list)
    # Equal ones are one object: all runs that are still to have children keep theirs.
    _known: dict[Asked, Asked] = field(default_factory=dict)

    def tape(self, run: int) -> Tape | None:
        """Return the next tape; None once all within the bound have been tried."""
        if not self._waiting:
            self._waiting = [deque() for _ in range(self.bound + 1)]
            self._waiting[0].append(iter([[]]))
        found = self._next()
        if found is None:
            return None
        prefix = self._prefix = found
        known = self._known
        asked: list[Asked] = []
        self._asked = asked

        def answered(width: int, could_stay: bool | None) -> int:
            place = len(asked)
            answer = min(prefix[place], width - 1) if place < len(prefix) else 0
            entry = (answer, width, could_stay)
            asked.append(known.setdefault(entry, entry))
            return answer

        def draw(options: int) -> int:
            return answered(options, None)

        def pick(options: Sequence[Any], could_stay: bool) -> int:
            return answered(len(options), could_stay)

        return Tape(draw, pick=pick)

    def learn(self, ran: Ran) -> None:
        """Put every run that deviates once more, after the last deviation, where its turn comes."""
        asked, begin = self._asked, len(self._prefix)
        for more in sorted({more for each in set(asked[begin:]) for _, more in self._others(each)}):
            if self._level + more <= self.bound:
                self._waiting[self._level + more].append(self._children(asked, begin, more))

    def _next(self) -> list[int] | None:
        """Take the answers that the next run begins with."""
        for level, families in enumerate(self._waiting):
            while families:
                prefix = next(families[0], None)
                if prefix is not None:
                    self._level = level
                    return prefix
                families.popleft()
        return None

    def _children(self, asked: list[Asked], begin: int, more: int) -> Iterator[list[int]]:
        """Yield what each run begins with that costs `more` than the one that was asked this."""
        answers = [answer for answer, _, _ in asked]
        for place in range(begin, len(asked)):
            for choice, cost in self._others(asked[place]):
                if cost == more:
                    yield [*answers[:place], choice]

    def _others(self, asked: Asked) -> Iterator[tuple[int, int]]:
        """Yield the choices that are not the plain run's, each with what it costs."""
        _, width, could_stay = asked
        if could_stay is None and width > MAX_WIDTH:
            return
        for choice in range(1, width):
            yield choice, 1 if could_stay is None else self.cost(choice, could_stay)
