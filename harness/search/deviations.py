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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.core.tape import Tape

from .exhaustive import MAX_WIDTH
from .strategy import Ran

#: (choice, whether the current actor could have gone on) → what it costs.
Cost = Callable[[int, bool], int]


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
    _waiting: list[deque[list[int]]] = field(default_factory=list)
    _prefix: list[int] = field(default_factory=list)
    _level: int = 0
    # What was answered, among how many, and whether the current actor could have gone on; None if
    # it was not about who goes on. A tape records a turn of a loop by another number.
    _asked: list[tuple[int, int, bool | None]] = field(default_factory=list)
    _begun: bool = False

    def tape(self, run: int) -> Tape | None:
        """Return the next tape; None once all within the bound have been tried."""
        if not self._begun:
            self._begun = True
            self._waiting = [deque() for _ in range(self.bound + 1)]
            self._waiting[0].append([])
        level = next((index for index, each in enumerate(self._waiting) if each), None)
        if level is None:
            return None
        self._level = level
        prefix = self._prefix = self._waiting[level].popleft()
        asked: list[tuple[int, int, bool | None]] = []
        self._asked = asked

        def answered(width: int, could_stay: bool | None) -> int:
            place = len(asked)
            answer = min(prefix[place], width - 1) if place < len(prefix) else 0
            asked.append((answer, width, could_stay))
            return answer

        def draw(options: int) -> int:
            return answered(options, None)

        def pick(options: Sequence[Any], could_stay: bool) -> int:
            return answered(len(options), could_stay)

        return Tape(draw, pick=pick)

    def learn(self, ran: Ran) -> None:
        """Put every run that deviates once more, after the last deviation, where its turn comes."""
        answers = [answer for answer, _, _ in self._asked]
        for place in range(len(self._prefix), len(answers)):
            _, width, could_stay = self._asked[place]
            if could_stay is None and width > MAX_WIDTH:
                continue
            for choice in range(1, width):
                more = 1 if could_stay is None else self.cost(choice, could_stay)
                if self._level + more <= self.bound:
                    self._waiting[self._level + more].append([*answers[:place], choice])
