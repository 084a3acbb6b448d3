"""The table of the museum: of which measurements it is made, and what they say, cell by cell.

A strategy that misses a program from each of the first five seeds is not run further. It does not
know how anything is measured.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import geometric_mean, mean
from typing import Any, Final, TextIO

from tests.museum.catalogue import EXHIBITS, Exhibit
from tests.museum.running import TRACES, Measurement, Outcome

#: The columns of the table. What the seed of the first ones decides, nothing decides of the others.
SAMPLERS: Final = ("random", "pct:2", "pct:3", "pos", "urw", "surw", "portfolio")
SEARCHES: Final = ("exhaustive", "delay", "preemption")
STRATEGIES: Final = (*SAMPLERS, *SEARCHES)
DEFAULT: Final = "portfolio"

SEEDS: Final = 20
#: A strategy that misses from so many seeds is not run further.
SEEDS_AT_FIRST: Final = 5
CAP: Final = 10_000
#: What nobody finds in so few schedules has its figure from more.
TWIN_UNDER_DEFAULT: Final = 2_000
TWIN: Final = 500

#: Means of 20 trials published for the artifact of SURW, with `pct:3` and POS of the same source.
#: Source: H. Zhao et al., ASPLOS 2025, artifact.
PUBLISHED_SURW: Final[Mapping[str, float]] = {
    "account": 6,
    "bluetooth_driver": 70,
    "circular_buffer": 3,
    "deadlock01": 2,
    "lazy01": 2,
    "queue": 2,
    "reorder_3": 7,
    "reorder_4": 7,
    "reorder_5": 10,
    "reorder_10": 17,
    "reorder_20": 6,
    "reorder_50": 13,
    "stack": 5,
    "twostage": 8,
    "twostage_20": 6,
    "twostage_50": 20,
    "wronglock": 7,
}

Done = Mapping[Measurement, Outcome]


# --- what is to be measured -----------------------------------------------------------------------


def quick_plan(done: Done) -> Iterator[Measurement]:
    """Yield what is still to be measured of the short table: the default strategy, and twins."""
    wanted = [
        *(
            Measurement(exhibit.name, False, DEFAULT, seed, CAP)
            for exhibit in EXHIBITS
            if exhibit.core
            for seed in range(SEEDS_AT_FIRST)
        ),
        *(Measurement(exhibit.name, True, DEFAULT, 0, TWIN) for exhibit in EXHIBITS),
    ]
    yield from (each for each in wanted if each not in done)


def full_plan(done: Done) -> Iterator[Measurement]:
    """Yield what is still to be measured of the whole table, as far as is known yet."""
    for exhibit in EXHIBITS:
        for each in _wanted(exhibit, done):
            if each not in done:
                yield each


def _wanted(exhibit: Exhibit, done: Done) -> Iterator[Measurement]:
    name = exhibit.name
    if exhibit.traces is not None or exhibit.events is None:
        # The others did not come to an end in the reference model either.
        yield Measurement(name, False, TRACES, 0, CAP)
    for strategy in STRATEGIES:
        seeds = SEEDS_AT_FIRST if strategy in SAMPLERS else 1
        first = [Measurement(name, False, strategy, seed, CAP) for seed in range(seeds)]
        yield from first
        outcomes = [done.get(each) for each in first]
        if strategy in SAMPLERS and any(each and each.first is not None for each in outcomes):
            for seed in range(SEEDS_AT_FIRST, SEEDS):
                yield Measurement(name, False, strategy, seed, CAP)
        schedules = TWIN_UNDER_DEFAULT if strategy == DEFAULT else TWIN
        yield Measurement(name, True, strategy, 0, schedules)


# --- where outcomes are kept ----------------------------------------------------------------------


@dataclass(slots=True)
class Kept:
    """Outcomes in a file, a line each, written at once: whatever ends this, they are there.

    One process. Outcomes of other sources than those that lie here now do not count.

    Args:
        path: the file.
        sources: what tells the sources apart; every outcome counts if it is empty.
    """

    path: Path
    sources: str
    done: dict[Measurement, Outcome] = field(default_factory=dict)
    _file: TextIO | None = None

    def __post_init__(self) -> None:
        if self.path.is_file():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                outcome = self._read(line)
                if outcome is not None:
                    self.done[outcome.measurement] = outcome

    def _read(self, line: str) -> Outcome | None:
        try:
            found = json.loads(line)
            if self.sources and found.pop("sources") != self.sources:
                return None
            found.pop("sources", None)
            outcome = Outcome(Measurement(**found.pop("measurement")), **found)
        except (ValueError, TypeError, KeyError):
            # The last line of a process that was killed while it wrote.
            return None
        # What could not be measured is tried again.
        return None if outcome.verdict.startswith("failed") else outcome

    def add(self, outcome: Outcome) -> None:
        """Keep an outcome."""
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            whole = not self.path.is_file() or self.path.read_bytes()[-1:] in (b"", b"\n")
            self._file = self.path.open("a", encoding="utf-8")
            self._file.write("" if whole else "\n")
        self.done[outcome.measurement] = outcome
        self._file.write(json.dumps({**asdict(outcome), "sources": self.sources}) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def digest_of(root: Path, *parts: str) -> str:
    """Return what tells the state of the Python files below `parts` of `root` apart."""
    digest = hashlib.sha256()
    for part in parts:
        place = root / part
        for path in [place] if place.is_file() else sorted(place.rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


# --- what they say --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cell:
    """One program with one strategy.

    Args:
        firsts: for each seed that was run, the schedule that found the bug, or None.
        wrong: verdicts that it should not have had.
        within: it saw all there is within its bound, so that nothing is left to find.
    """

    firsts: tuple[int | None, ...]
    wrong: tuple[str, ...] = ()
    within: bool = False

    @property
    def found(self) -> int:
        """From how many seeds it was found."""
        return sum(first is not None for first in self.firsts)

    @property
    def median(self) -> float | None:
        """Schedules to the first bug; None if most seeds miss it, or none was run."""
        if not self.found:
            return None
        ordered = sorted(CAP + 1 if first is None else first for first in self.firsts)
        middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
        return middle if middle <= CAP else None

    @property
    def mean(self) -> float | None:
        """Mean schedules to the first bug over the seeds that found it."""
        found = [first for first in self.firsts if first is not None]
        return mean(found) if found else None

    def __str__(self) -> str:
        if self.wrong:
            return f"! {self.wrong[0]}"
        if not self.firsts:
            return ""
        few = f"{self.found}/{len(self.firsts)}"
        if not self.found:
            return few
        shown = "-" if self.median is None else f"{self.median:,.4g}"
        return shown if self.found == len(self.firsts) else f"{shown} ({few})"


def cell(exhibit: Exhibit, strategy: str, done: Done) -> Cell:
    """Return what is known of one program with one strategy."""
    outcomes = [
        done[each]
        for seed in range(SEEDS)
        if (each := Measurement(exhibit.name, False, strategy, seed, CAP)) in done
    ]
    accepted = ("holds", "inconclusive", *exhibit.oracle)
    return Cell(
        tuple(outcome.first for outcome in outcomes),
        tuple(outcome.verdict for outcome in outcomes if outcome.verdict not in accepted),
        within=any(outcome.first is None and outcome.schedules < CAP for outcome in outcomes),
    )


def traces(exhibit: Exhibit, done: Done) -> int | None:
    """Return how many traces a program has, None if nobody got to the end of them."""
    outcome = done.get(Measurement(exhibit.name, False, TRACES, 0, CAP))
    return None if outcome is None else outcome.traces


def twin_outcomes(exhibit: Exhibit, done: Done) -> list[Outcome]:
    """Return what is known of the twin."""
    return [outcome for each, outcome in done.items() if each.name == exhibit.name and each.twin]


def loud(exhibit: Exhibit, done: Done) -> list[str]:
    """Return the strategies under which the twin does not hold."""
    return [
        each.measurement.strategy
        for each in twin_outcomes(exhibit, done)
        if each.verdict != "holds"
    ]


def rows(done: Done, strategies: Sequence[str]) -> Iterator[list[str]]:
    """Yield the lines of the table."""
    for exhibit in EXHIBITS:
        twin = ", ".join(loud(exhibit, done)) or ("silent" if twin_outcomes(exhibit, done) else "")
        counted = traces(exhibit, done)
        yield [
            exhibit.row,
            exhibit.name,
            *(str(cell(exhibit, strategy, done)) for strategy in strategies),
            "" if counted is None else f"{counted:,}",
            "" if exhibit.traces is None else f"{exhibit.traces:,}",
            twin,
        ]


def document(done: Done) -> list[dict[str, Any]]:
    """Return the table as data."""
    return [
        {
            "row": exhibit.row,
            "program": exhibit.name,
            "core": exhibit.core,
            "strategies": {
                strategy: {
                    "found": f"{each.found}/{len(each.firsts)}",
                    "median": each.median,
                    "mean": each.mean,
                    "firsts": list(each.firsts),
                    **({"wrong": list(each.wrong)} if each.wrong else {}),
                }
                for strategy in STRATEGIES
                if (each := cell(exhibit, strategy, done)).firsts
            },
            "traces": traces(exhibit, done),
            "published_traces": exhibit.traces,
            **({"differs": exhibit.differs} if exhibit.differs else {}),
            "twin_silent": not loud(exhibit, done) if twin_outcomes(exhibit, done) else None,
            "twin_loud_under": loud(exhibit, done),
        }
        for exhibit in EXHIBITS
    ]


# --- goals ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal, the figure that was reached, and the rows that miss it."""

    goal: str
    figure: str
    reached: bool
    missed: tuple[str, ...] = ()


def goals(done: Done) -> Iterator[Goal]:
    """Yield every goal of which enough is known."""
    yield from _found_and_silent(done)
    yield from _counts(done)
    yield from _surw(done)
    yield from _portfolio(done)


def _found_and_silent(done: Done) -> Iterator[Goal]:
    cells = {each.name: cell(each, DEFAULT, done) for each in EXHIBITS if each.core}
    cells = {name: each for name, each in cells.items() if each.firsts}
    missed = [
        f"{name} {each}"
        for name, each in cells.items()
        if each.wrong or each.found < len(each.firsts)
    ]
    figure = f"{len(cells) - len(missed)} of {len(cells)}"
    yield Goal("core programs found by the portfolio, every seed", figure, not missed, (*missed,))
    heard = [each for each in EXHIBITS if twin_outcomes(each, done)]
    broken = [f"{each.name} {', '.join(loud(each, done))}" for each in heard if loud(each, done)]
    figure = f"{len(heard) - len(broken)} of {len(heard)}"
    yield Goal("fixed twins silent", figure, not broken, (*broken,))


def _counts(done: Done) -> Iterator[Goal]:
    exact = [
        each
        for each in EXHIBITS
        if each.traces is not None and Measurement(each.name, False, TRACES, 0, CAP) in done
    ]
    missed = [
        f"{each.name} {traces(each, done)} for {each.traces}: {each.differs or 'nobody knows why'}"
        for each in exact
        if traces(each, done) != each.traces
    ]
    if exact:
        equal = len(exact) - len(missed)
        yield Goal("trace counts equal", f"{equal} of {len(exact)}", equal >= 40, (*missed,))


def _surw(done: Done) -> Iterator[Goal]:
    means = {
        each.name: found
        for each in EXHIBITS
        if each.name in PUBLISHED_SURW and (found := cell(each, "surw", done).mean) is not None
    }
    if not means:
        return
    missed = [
        f"{name} {found:.4g} for {PUBLISHED_SURW[name]:g}"
        for name, found in means.items()
        if found > 2 * PUBLISHED_SURW[name]
    ]
    good = len(means) - len(missed)
    figure = f"{good} of {len(means)}"
    yield Goal("SURW within 2x of the published mean", figure, good >= 0.9 * len(means), (*missed,))


def _portfolio(done: Done) -> Iterator[Goal]:
    ratios: dict[str, float] = {}
    for exhibit in EXHIBITS:
        mine = cell(exhibit, DEFAULT, done)
        others = [
            median
            for strategy in STRATEGIES
            if strategy != DEFAULT and (median := cell(exhibit, strategy, done).median) is not None
        ]
        if exhibit.core and mine.firsts and others:
            ratios[exhibit.name] = (CAP if mine.median is None else mine.median) / min(others)
    if not ratios:
        return
    missed = [f"{name} {ratio:.1f}" for name, ratio in ratios.items() if ratio > 5]
    figure = f"{len(ratios) - len(missed)} of {len(ratios)}"
    yield Goal("portfolio within 5x of the best single strategy", figure, not missed, (*missed,))
    average = geometric_mean(ratios.values())
    yield Goal("the same, geometric mean within 2.5x", f"{average:.2f}", average <= 2.5)
