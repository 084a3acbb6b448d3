"""Uniform random walk: every choice is as likely as any other.

A possible fault is not tossed like a coin, or the first ones would always strike: each run draws
how rare faults are in it, from every other site to one in many, so that early and late sites get
their turn. It does not know what is chosen.

Source: the baseline of S. Burckhardt et al., "A Randomized Scheduler with Probabilistic Guarantees
    of Finding Bugs", ASPLOS 2010, section 2.
"""

from __future__ import annotations

import _random
from collections.abc import Callable
from dataclasses import dataclass

from harness.core.access import Log
from harness.core.tape import Draw, Pick, Tape, replayed

from .strategy import Ran

#: A fault strikes at one in 2, 4, … 2**RAREST of its sites.
RAREST = 7


def random_walk(seed: int) -> Tape:
    """Return the tape of one random walk: the same for a seed in every version of Python."""
    uniform = fractions(seed)
    return drawn(below(uniform), uniform=uniform)


@dataclass(frozen=True, slots=True)
class Walks:
    """Which walks are to be made, as a value: the first `runs` of those that start at `seed`."""

    seed: int
    runs: int


def numbers(seed: int) -> Draw:
    """Return a source of numbers below n, uniform, the same in every version of Python."""
    return below(fractions(seed))


def fractions(seed: int) -> Callable[[], float]:
    """Return a source of fractions, 0 ≤ x < 1, the same in every version of Python."""
    # The C generator itself: the same numbers as random.Random, in a third of the time to seed.
    return _random.Random(seed).random


def below(uniform: Callable[[], float]) -> Draw:
    """Return a source of numbers below n that takes its fractions from another."""

    def draw(options: int) -> int:
        return int(uniform() * options)

    return draw


def drawn(
    draw: Draw,
    pick: Pick | None = None,
    log: Log | None = None,
    *,
    uniform: Callable[[], float] | None = None,
) -> Tape:
    """Return a tape of uniform answers to all but who goes on, which `pick` decides if given.

    Args:
        draw: answers a choice among n.
        pick: answers who goes on.
        log: filled with what the run touches.
        uniform: what `draw` makes its answers of, if known; see `Tape`.
    """
    rarity = 2 << draw(RAREST)

    def draw_fault(options: int) -> int:
        return 0 if draw(rarity) else 1 + draw(options - 1)

    return Tape(draw, draw_fault, pick=pick, log=log, uniform=uniform)


def seed_of_run(seed: int, index: int) -> int:
    """Return the seed of run number `index` (from 0) of a search that starts at `seed`."""
    return seed if index == 0 else (seed * 0x9E3779B97F4A7C15 + index) % 2**64


@dataclass(slots=True)
class RandomWalk:
    """The plain run, then random walks.

    Args:
        seed: where it starts, 0 ≤ seed < 2**64.
    """

    seed: int = 0

    def tape(self, run: int) -> Tape:
        """Return the tape of run number `run`."""
        return random_walk(seed_of_run(self.seed, run)) if run else replayed(())

    def learn(self, ran: Ran) -> None:
        """Learn nothing: no walk depends on another."""
