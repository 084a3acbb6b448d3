"""POS: each pending operation gets a random number when it becomes so; the smallest goes first.

After a step, whoever was about to touch what the step touched draws anew: so the order of two that
race is independent of how earlier races went, and partial orders are sampled rather than
interleavings. It does not look at what happened, only at what is pending.

Source: X. Yuan, J. Yang, R. Gu, "Partial Order Aware Concurrency Sampling", CAV 2018, section 4.
Departs: what an actor is about to do is known where it stands at a point or waits for a lock; one
    that has not started, and a task of an event loop, race with nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.tape import Tape

from .random_walk import below, drawn, fractions, seed_of_run
from .strategy import Path, Ran


@dataclass(slots=True)
class POS:
    """Partial order sampling.

    Args:
        seed: where it starts, 0 ≤ seed < 2**64.
    """

    seed: int = 0

    def tape(self, run: int) -> Tape:
        """Return the tape of run number `run`."""
        uniform = fractions(seed_of_run(self.seed, run + 1))
        # The number, and at which of its points the actor drew it.
        drawn_at: dict[Path, tuple[float, int]] = {}

        def pick(options: Sequence[Any], _could_stay: bool) -> int:
            best, smallest = 0, 1.0
            for index, option in enumerate(options):
                path = option.path
                found = drawn_at.get(path)
                if found is None or found[1] != option.points:
                    found = drawn_at[path] = (uniform(), option.points)
                if found[0] < smallest:
                    best, smallest = index, found[0]
            chosen = options[best]
            del drawn_at[chosen.path]
            key = chosen.key
            if key:
                writes = chosen.writes
                for option in options:
                    if option.key == key and (writes or option.writes):
                        drawn_at.pop(option.path, None)
            return best

        return drawn(below(uniform), pick, uniform=uniform)

    def learn(self, ran: Ran) -> None:
        """Learn nothing: no run depends on another."""
