"""URW: each actor goes on with a chance that grows with what it still has to do.

With right counts, and if nobody ever waits, every interleaving is equally likely: an actor with
twice as many events left is twice as likely to make the next one.

Source: H. Zhao, D. Wolff, U. Mathur, A. Roychoudhury, "Selectively Uniform Concurrency Testing",
    ASPLOS 2025, section 3 (URW).
Departs: counts are the mean over the runs so far, the first of which is the plain one; a count that
    has run out counts as one.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from harness.core.tape import Tape

from .census import Census, Left
from .random_walk import below, drawn, fractions, seed_of_run
from .strategy import Ran


@dataclass(slots=True)
class URW:
    """A random walk weighted by remaining events.

    Args:
        seed: where it starts, 0 ≤ seed < 2**64.
        census: what it counts with; shared with others if given.
    """

    seed: int = 0
    census: Census = field(default_factory=Census)

    def tape(self, run: int) -> Tape:
        """Return the tape of run number `run`; without a census, the plain run makes one."""
        if not self.census.runs:
            return self.census.plain()
        uniform = fractions(seed_of_run(self.seed, run + 1))
        left = Left(self.census.a_run(self.census.points))

        def pick(options: Sequence[Any], _could_stay: bool) -> int:
            for option in options:
                left.start(option.path)
            return weighted(
                [max(1.0, left.of(option.path) - option.points + 1) for option in options], uniform
            )

        return drawn(below(uniform), pick, [], uniform=uniform)

    def learn(self, ran: Ran) -> None:
        """Count the events of the run."""
        self.census.count(ran)


def weighted(weights: Sequence[float], uniform: Callable[[], float]) -> int:
    """Return an index with a chance in proportion to its weight."""
    # Not `sum`, which rounds in another way from Python 3.12 on.
    ends = list(accumulate(weights))
    return min(bisect(ends, uniform() * ends[-1]), len(ends) - 1)
