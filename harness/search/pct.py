"""PCT: run whoever has the highest priority, and lower it at a few random places.

Each actor gets a random priority when it is first seen. At d - 1 of the decisions, drawn from as
many as the longest run so far had, whoever would go on drops below all others. A bug that needs d
ordering constraints is found with probability of at least 1 / (n k^(d-1)) a run.

Source: S. Burckhardt, P. Kothari, M. Musuvathi, S. Nagarakatte, "A Randomized Scheduler with
    Probabilistic Guarantees of Finding Bugs", ASPLOS 2010, section 3.
Departs: k counts decisions, not instructions, and grows with the longest run seen; whoever spins is
    demoted by the kernel's fairness, not here; with faults, a change point may fall on one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.core.tape import Draw, Tape

from .random_walk import drawn, numbers, seed_of_run
from .strategy import Path, Ran


@dataclass(slots=True)
class PCT:
    """Priorities with d - 1 change points.

    Args:
        depth: d, how many ordering constraints a bug may need, at least 1.
        seed: where it starts, 0 ≤ seed < 2**64.

    Attributes:
        decisions_max: k, the most decisions that any run so far had.
        actors_max: n, the most actors that any run so far had.
    """

    depth: int
    seed: int = 0
    decisions_max: int = 1
    actors_max: int = 1
    _decisions: int = 0
    # Runs since `decisions_max` last grew: those before could not change anything so late.
    _runs: int = 0
    _ranks: dict[Path, float] = field(default_factory=dict)

    @property
    def pct(self) -> dict[int, tuple[int, int, int]]:
        """For its depth: the runs to which the bound applies, their actors and decisions."""
        return {self.depth: (self._runs, self.actors_max, self.decisions_max)}

    def tape(self, run: int) -> Tape:
        """Return the tape of run number `run`."""
        below = numbers(seed_of_run(self.seed, run + 1))
        changes = _changes(self.depth - 1, self.decisions_max, below)
        ranks = self._ranks = {}
        self._decisions = 0

        def pick(options: Sequence[Any], _could_stay: bool) -> int:
            self._decisions += 1
            best = _highest(options, ranks, below)
            lowered = changes.get(self._decisions)
            if lowered is None:
                return best
            ranks[options[best].path] = lowered
            return _highest(options, ranks, below)

        return drawn(below, pick)

    def learn(self, ran: Ran) -> None:
        """Take note of how long runs are."""
        self._runs += 1
        if self._decisions > self.decisions_max:
            self.decisions_max = self._decisions
            self._runs = 0 if self.depth > 1 else self._runs
        self.actors_max = max(self.actors_max, len(self._ranks))


def _changes(count: int, decisions: int, below: Draw) -> dict[int, int]:
    """Draw `count` different decisions, or all if there are fewer, with the rank to drop to."""
    changes: dict[int, int] = {}
    while len(changes) < min(count, decisions):
        # Below every first rank, and each below the one before.
        changes.setdefault(1 + below(decisions), -1 - len(changes))
    return changes


def _highest(options: Sequence[Any], ranks: dict[Path, float], below: Draw) -> int:
    best, highest = 0, float("-inf")
    for index, option in enumerate(options):
        rank = ranks.get(option.path)
        if rank is None:
            rank = ranks[option.path] = below(1 << 30)
        if rank > highest:
            best, highest = index, rank
    return best
