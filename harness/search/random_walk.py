"""Uniform random walk: every choice is as likely as any other.

A possible fault is not tossed like a coin, or the first ones would always strike: each run draws
how rare faults are in it, from every other site to one in many, so that early and late sites get
their turn. It does not know what is chosen.

Source: the baseline of S. Burckhardt et al., "A Randomized Scheduler with Probabilistic Guarantees
    of Finding Bugs", ASPLOS 2010, section 2.
"""

from __future__ import annotations

import _random

from harness.core.tape import Tape

#: A fault strikes at one in 2, 4, … 2**RAREST of its sites.
RAREST = 7


def random_walk(seed: int) -> Tape:
    """Return the tape of one random walk: the same for a seed in every version of Python."""
    # The C generator itself: the same numbers as random.Random, in a third of the time to seed.
    uniform = _random.Random(seed).random
    rarity = 2 ** (1 + int(uniform() * RAREST))

    def draw(options: int) -> int:
        return int(uniform() * options)

    def draw_fault(options: int) -> int:
        return int(uniform() * rarity < 1) * int(1 + uniform() * (options - 1))

    return Tape(draw, draw_fault)


def seed_of_run(seed: int, index: int) -> int:
    """Return the seed of run number `index` (from 0) of a search that starts at `seed`."""
    return seed if index == 0 else (seed * 0x9E3779B97F4A7C15 + index) % 2**64
