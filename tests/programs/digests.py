"""Prints, as JSON, what the histories of the recorded programs hash to.

Run as `python -m tests.programs.digests`. With `--golden` only what every version of Python must
agree on: that is how `tests/golden_digests.json` is made. With `--ordered` only the programs that
go through sets.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterable
from typing import Any

from harness.explore import Record, record, shared_ground
from harness.world.sites import Granularity
from tests.programs import recorded

#: The plain run, and four others.
SEEDS = (None, 1, 2, 3, 4)


def choices(seed: int | None) -> tuple[int, ...]:
    """Return the choices of a run: a wild list of integers, each a valid run."""
    if seed is None:
        return ()
    draw = random.Random(seed)
    return tuple(draw.choice((0, 0, 1, 2, 3)) for _ in range(400))


def runs(
    programs: Iterable[Callable[[Any], None]],
    tapes: Iterable[tuple[int, ...]],
    granularity: Granularity = "shared",
) -> list[list[Record]]:
    """Record one run for each program and tape; all of these stand on one preparation."""
    every = list(tapes)
    with shared_ground():
        return [
            [record(program, tape, granularity=granularity) for tape in every]
            for program in programs
        ]


def digests(
    programs: tuple[Callable[[Any], None], ...], granularity: Granularity
) -> dict[str, str]:
    """Return the digest of each program under each seed."""
    rows = runs(programs, map(choices, SEEDS), granularity)
    return {
        f"{program.__name__} {granularity} seed {seed}": run.digest
        for program, row in zip(programs, rows, strict=True)
        for seed, run in zip(SEEDS, row, strict=True)
    }


def golden() -> dict[str, str]:
    """Return what must be the same for every version."""
    return digests(recorded.SYNC, "sync")


def everything() -> dict[str, str]:
    """Return what must be the same for every process of one version."""
    return {
        **golden(),
        **digests(recorded.ORDERED, "sync"),
        **ordered(),
        **digests(recorded.SHARED, "shared"),
    }


def ordered() -> dict[str, str]:
    """Return what goes through sets, under the default settings."""
    return digests(recorded.ORDERED, "shared")


if __name__ == "__main__":
    chosen = {"--golden": golden, "--ordered": ordered}.get(sys.argv[-1], everything)
    print(json.dumps(chosen(), indent=2))
