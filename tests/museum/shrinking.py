"""How far failures are shrunk: for each program of the core, some failures of the random walk.

    python -m tests.museum.shrinking [NAME …]

prints, for each, how many preemptions the failures had and how many are left, in how many replays,
and beside it the most that may be left: one fewer than the orderings that the bug needs, unless the
reference model knows no run with so few. Where the random walk finds nothing, SURW looks. It ends
with 1 if a median is above that, or if a shrink took more replays than it may.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from statistics import median

from harness.core.tape import Tape
from harness.search.known import make_strategy
from harness.search.shrink import BUDGET, Shrunk, shrink
from harness.search.strategy import Ran
from harness.trial import Trial, run
from harness.world.ground import Ground, prepared
from harness.world.here import whose_turn
from tests.museum.catalogue import EXHIBITS, Exhibit

#: Runs after which a strategy gives up.
SCHEDULES = 2_000
WATCHDOG_SECONDS = 60.0

HEADING = (
    f"{'row':4}{'program':31}{'found by':8}{'n':>3}{'before':>8}{'left':>6}{'allowed':>9}"
    f"{'replays':>9}{'max':>5}{'ms':>8}"
)


@dataclass(frozen=True, slots=True)
class Row:
    """What came of the failures of one program.

    Args:
        exhibit: the program.
        strategy: who found them.
        shrunk: what each was shrunk to.
        seconds: real seconds of a shrink, on average.
    """

    exhibit: Exhibit
    strategy: str
    shrunk: list[Shrunk[Trial]]
    seconds: float

    @property
    def allowed(self) -> int | None:
        """The most preemptions that may be left, None if nobody knows."""
        depth, least = self.exhibit.depth, self.exhibit.preemptions
        return least if depth is None else max(depth - 1, least or 0)

    @property
    def left(self) -> float:
        """The median of the preemptions left."""
        return median(each.best.preemptions for each in self.shrunk)

    @property
    def replays(self) -> int:
        """The most replays that a shrink took."""
        return max(each.replays for each in self.shrunk)

    @property
    def is_reached(self) -> bool:
        """Whether it is as it should be, as far as known."""
        return self.replays <= BUDGET and (self.allowed is None or self.left <= self.allowed)

    def __str__(self) -> str:
        before = median(each.before.preemptions for each in self.shrunk)
        replays = median(each.replays for each in self.shrunk)
        allowed = "-" if self.allowed is None else self.allowed
        mark = "" if self.is_reached else "  too many"
        return (
            f"{self.exhibit.row:4}{self.exhibit.name:31}{self.strategy:8}{len(self.shrunk):3}"
            f"{before:8g}{self.left:6g}{allowed!s:>9}{replays:9g}{self.replays:5}"
            f"{self.seconds * 1000:8.1f}{mark}"
        )


def measure(exhibit: Exhibit, ground: Ground, failures: int, schedules: int) -> Row | None:
    """Find some failures of a program and shrink them; None if none was found."""
    settings = dict(exhibit.settings)

    def make(tape: Tape) -> Trial:
        return run(exhibit.program, tape, ground, order=settings.get("order", "tasks"))

    make(Tape(lambda _options: 0))
    for strategy in ("random", "surw"):
        found = list(islice(_failures(make, strategy, schedules), failures))
        if found:
            started = time.perf_counter()
            shrunk = [
                done for each in found if (done := shrink(make, each, who=whose_turn)) is not None
            ]
            assert len(shrunk) == len(found), "what is deterministic comes back"
            return Row(exhibit, strategy, shrunk, (time.perf_counter() - started) / len(found))
    return None


def _failures(make: Callable[[Tape], Trial], name: str, schedules: int) -> Iterator[Trial]:
    strategy = make_strategy(name, 0)
    for index in range(schedules):
        tape = strategy.tape(index)
        assert tape is not None, "none of these strategies comes to an end"
        if tape.log is None:
            tape.log = []
        trial = make(tape)
        strategy.learn(Ran(trial.choices, trial.widths, tape.log, trial.points))
        # The plain run is as simple as a run can be.
        if trial.violation is not None and index:
            yield trial


def main() -> int:
    """Print the table; return 0 if all is as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.museum.shrinking")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="programs; all of the core if none"
    )
    parser.add_argument("--failures", type=int, default=5, help="how many of each are shrunk")
    parser.add_argument("--schedules", type=int, default=SCHEDULES, help="runs to find them in")
    options = parser.parse_args()
    chosen = [
        exhibit
        for exhibit in EXHIBITS
        if (exhibit.name in options.names if options.names else exhibit.core)
    ]
    rows: list[Row] = []
    print(HEADING)
    with prepared(granularity="shared", watchdog_seconds=WATCHDOG_SECONDS) as ground:
        for exhibit in chosen:
            row = measure(exhibit, ground, options.failures, options.schedules)
            if row is None:
                print(f"{exhibit.row:4}{exhibit.name:31}not found")
                continue
            rows.append(row)
            print(row, flush=True)
    if not rows:
        return 1
    reached = [row for row in rows if row.is_reached]
    everything = [each for row in rows for each in row.shrunk]
    print(
        f"{len(reached)} of {len(rows)} reached; of {len(everything)} failures, in the median "
        f"{median(each.before.preemptions for each in everything):g} → "
        f"{median(each.best.preemptions for each in everything):g} preemptions "
        f"in {median(each.replays for each in everything):g} replays"
    )
    return 0 if len(reached) == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
