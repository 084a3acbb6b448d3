"""Driving strategies by hand, over scripts and over programs, and judging what they count."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from harness.core.access import READ, WRITE
from harness.core.tape import replayed
from harness.explore import Settings, _standing, shared_ground
from harness.search.happens_before import trace_of
from harness.search.strategy import Ran, Strategy
from harness.testing import Move, Played, Script, Touch, play
from harness.trial import run
from harness.world.ground import Ground

Program = Callable[[Any], Any]


def touches(*things: str, mode: int = WRITE) -> Iterator[Move]:
    """Make an actor that touches one thing after the other."""
    for thing in things:
        yield Touch(thing, mode)


def reads(*things: str) -> Iterator[Move]:
    """Make an actor that reads one thing after the other."""
    return touches(*things, mode=READ)


def played(strategy: Strategy, script: Script, runs: int) -> Iterator[Played]:
    """Let a strategy search a script."""
    for number in range(runs):
        tape = strategy.tape(number)
        if tape is None:
            return
        if tape.log is None:
            tape.log = []
        one = play(script, tape)
        strategy.learn(one.ran)
        yield one


def first_violation(runs: Iterable[Played | Seen]) -> int | None:
    """Return which run was the first to violate, from 1; None if none was."""
    for number, one in enumerate(runs, 1):
        if one.ran.violated:
            return number
    return None


@dataclass(frozen=True, slots=True)
class Seen:
    """One run of a program.

    Args:
        ran: as its strategy learnt of it.
        verdict: as in a `Trial`.
        trace: which trace it was; None if it was given up.
    """

    ran: Ran
    verdict: str
    trace: int | None


@contextmanager
def driving() -> Iterator[Driver]:
    """Prepare what programs run on; once for many, for it takes longer than most."""
    with shared_ground():
        standing = _standing.get()
        assert standing is not None, "that is what the block is for"
        with standing.entered(Settings()) as ground:
            yield Driver(ground)


@dataclass(frozen=True, slots=True)
class Driver:
    """Runs programs under tapes of a strategy, as an exploration does, and keeps every run."""

    ground: Ground

    def __call__(self, program: Program, strategy: Strategy, runs: int) -> Iterator[Seen]:
        """Let a strategy search a program."""
        # The first run of a process is not like the others.
        run(program, replayed(()), self.ground)
        for number in range(runs):
            tape = strategy.tape(number)
            if tape is None:
                return
            if tape.log is None:
                tape.log = []
            trial = run(program, tape, self.ground)
            ran = Ran(
                trial.choices,
                trial.widths,
                tape.log,
                trial.points,
                violated=trial.violation is not None,
                complete=trial.verdict not in ("inconclusive", "redundant"),
            )
            strategy.learn(ran)
            yield Seen(ran, trial.verdict, trace_of(tape.log) if ran.complete else None)


def chance(counts: Counter[Any], cells: int) -> float:
    """Return the p-value of Pearson's χ² test that all `cells` are equally likely."""
    expected = counts.total() / cells
    missing = cells - len(counts)
    statistic = sum((count - expected) ** 2 for count in counts.values()) / expected
    return chi_square_tail(statistic + missing * expected, cells - 1)


def chi_square_tail(statistic: float, degrees: int) -> float:
    """Return the chance that χ² with so many degrees of freedom exceeds `statistic`.

    Source: M. Abramowitz, I. Stegun, "Handbook of Mathematical Functions", 26.4.4 and 26.4.5.
    """
    half = statistic / 2
    tail = math.erfc(math.sqrt(half)) if degrees % 2 else math.exp(-half)
    for lower in range(2 - degrees % 2, degrees, 2):
        tail += math.exp(lower / 2 * math.log(half) - half - math.lgamma(lower / 2 + 1))
    return tail
