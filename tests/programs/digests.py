"""Prints, as JSON, what the histories of the recorded programs hash to. Run as `python -m tests.programs.digests`.

With `--golden` only what every version of Python must agree on: that is how `tests/golden_digests.json` is made.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from typing import Any

from harness.explore import record
from tests.programs import recorded

#: The plain run, and four others.
SEEDS = (None, 1, 2, 3, 4)


def choices(seed: int | None) -> tuple[int, ...]:
    """Return the choices of a run: a wild list of integers, each a valid run."""
    if seed is None:
        return ()
    draw = random.Random(seed)
    return tuple(draw.choice((0, 0, 1, 2, 3)) for _ in range(400))


def digests(programs: tuple[Callable[[Any], None], ...], granularity: str) -> dict[str, str]:
    """Return the digest of each program under each seed."""
    return {
        f"{program.__name__} {granularity} seed {seed}": record(
            program, choices(seed), granularity=granularity
        ).digest
        for program in programs
        for seed in SEEDS
    }


def golden() -> dict[str, str]:
    """Return what must be the same for every version."""
    return digests(recorded.SYNC, "sync")


def everything() -> dict[str, str]:
    """Return what must be the same for every process of one version."""
    return {
        **golden(),
        **digests(recorded.ORDERED, "sync"),
        **digests(recorded.ORDERED, "shared"),
        **digests(recorded.SHARED, "shared"),
    }


if __name__ == "__main__":
    print(json.dumps(golden() if "--golden" in sys.argv else everything(), indent=2))
