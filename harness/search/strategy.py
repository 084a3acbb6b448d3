"""What a strategy is: it hands out one tape after the other, and learns what came of each.

    tape(0) ─► run ─► learn(…) ─► tape(1) ─► run ─► learn(…) ─► … ─► None: all has been explored

It does not know functions, worlds or verdicts: a run is its choices, and what it touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from harness.core.access import Log
from harness.core.tape import Tape

from .happens_before import trace_of

Path = tuple[int, ...]


@dataclass(frozen=True)
class Ran:
    """One run, as a strategy sees it.

    Args:
        choices: the tape as recorded.
        widths: among how many each choice was made.
        log: what it touched, in order, if its tape asked for that.
        points: how many scheduling points each actor met, by path.
        violated: a check was violated.
        complete: it came to an end, with or without violation; False if it was given up on.
    """

    choices: Sequence[int]
    widths: Sequence[int]
    log: Log = field(default_factory=list)
    points: Mapping[Path, int] = field(default_factory=dict)
    violated: bool = False
    complete: bool = True

    @cached_property
    def trace(self) -> int:
        """What it shares with the runs that differ in the order of independent steps only."""
        return trace_of(self.log)


class Strategy(Protocol):
    """Decides which tapes are tried, in which order. One thread; equal seeds, equal tapes."""

    def tape(self, run: int) -> Tape | None:
        """Return the tape of run number `run` (from 0), None if nothing is left to explore.

        What the tape answers may depend on the seed and on what was learnt, and on nothing else.
        Once its run was learnt from it asks nobody and has no log any more: `ran` has what was in
        it.
        """
        ...  # pragma: no cover

    def learn(self, ran: Ran) -> None:
        """Take note of what came of the last tape."""
        ...  # pragma: no cover
