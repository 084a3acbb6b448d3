"""The table of the museum: of which measurements it is made, and what they say, cell by cell.

A strategy that misses a program from each of the first five seeds is not run further. What says
most is measured first, and of that what is cheapest. It does not know how anything is measured, nor
what is to be reached.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean, median
from typing import Any, Final, TextIO

from tests.museum.catalogue import EXHIBITS, Exhibit
from tests.museum.running import EXHAUSTED, SHRINK, TRACES, Measurement, Outcome
from tests.museum.shrinking import Shrunk

#: The columns of the table. What the seed of the first ones decides, nothing decides of the others.
SAMPLERS: Final = ("random", "pct:2", "pct:3", "pos", "urw", "surw", "portfolio")
SEARCHES: Final = ("exhaustive", "all", "delay", "preemption")
STRATEGIES: Final = (*SAMPLERS, *SEARCHES)
DEFAULT: Final = "portfolio"

SEEDS: Final = 20
#: A strategy that misses from so many seeds is not run further.
SEEDS_AT_FIRST: Final = 5
CAP: Final = 10_000
#: Runs after which traces are not counted any further.
MOST_COUNTED: Final = 20_000
#: Schedules for a fixed twin: under the default strategy, and under each other.
TWIN_UNDER_DEFAULT: Final = 2_000
TWIN: Final = 500
#: Schedules in which each of two strategies looks for failures to be shrunk.
SHRUNK_FROM: Final = 2_000

#: The program that nobody finds under the cap: what these come to in so many is reported.
RAREST: Final = "safe_stack"
MILLION: Final = 1_000_000
UNDER_A_MILLION: Final = ("surw", DEFAULT)

Done = Mapping[Measurement, Outcome]


# --- what is to be measured -----------------------------------------------------------------------


def quick_plan(done: Done) -> Iterator[Measurement]:
    """Yield what is still to be measured of the short table: by default, twins, shrinking."""
    wanted = [
        *(
            Measurement(exhibit.name, False, DEFAULT, seed, CAP)
            for exhibit in EXHIBITS
            if exhibit.core
            for seed in range(SEEDS_AT_FIRST)
        ),
        *(each for exhibit in EXHIBITS for each in twins(exhibit, full=False)),
        *(shrinking(exhibit) for exhibit in EXHIBITS if exhibit.name != RAREST),
    ]
    yield from (each for each in wanted if each not in done)


def full_plan(done: Done) -> Iterator[Measurement]:
    """Yield what is still to be measured of the whole table, as far as is known yet."""
    wanted = (
        (_rank(each, exhibit), each) for exhibit in EXHIBITS for each in _wanted(exhibit, done)
    )
    missing = [(rank, each) for rank, each in wanted if each not in done]
    yield from (each for _, each in sorted(missing, key=lambda ranked: ranked[0]))


def twins(exhibit: Exhibit, *, full: bool) -> list[Measurement]:
    """Return what must be measured of the fixed twin for one table."""
    if not full:
        return [Measurement(exhibit.name, True, DEFAULT, 0, TWIN)]
    return [
        Measurement(
            exhibit.name, True, strategy, 0, TWIN_UNDER_DEFAULT if strategy == DEFAULT else TWIN
        )
        for strategy in STRATEGIES
    ]


def shrinking(exhibit: Exhibit) -> Measurement:
    """Return the measurement of how far failures are shrunk."""
    return Measurement(exhibit.name, False, SHRINK, 0, SHRUNK_FROM)


def counting(name: str, counted: str) -> Measurement:
    """Return the measurement of how many traces a program has; `counted` says how."""
    return Measurement(name, False, counted, 0, MOST_COUNTED)


def _wanted(exhibit: Exhibit, done: Done) -> Iterator[Measurement]:
    name = exhibit.name
    if exhibit.traces is not None or exhibit.events is None:
        # The others did not come to an end in the reference model either.
        yield counting(name, TRACES)
        yield counting(name, EXHAUSTED)
    for strategy in STRATEGIES:
        seeds = SEEDS_AT_FIRST if strategy in SAMPLERS else 1
        first = [Measurement(name, False, strategy, seed, CAP) for seed in range(seeds)]
        yield from first
        outcomes = [done.get(each) for each in first]
        if strategy in SAMPLERS and any(each and each.first is not None for each in outcomes):
            for seed in range(SEEDS_AT_FIRST, SEEDS):
                yield Measurement(name, False, strategy, seed, CAP)
    yield from twins(exhibit, full=True)
    if name == RAREST:
        for strategy in UNDER_A_MILLION:
            yield Measurement(name, False, strategy, 0, MILLION)
    else:
        yield shrinking(exhibit)


def _rank(each: Measurement, exhibit: Exhibit) -> tuple[int, float]:
    """Return where a measurement comes: the more it says the sooner, then the cheaper the sooner.

    How many schedules it takes is guessed by what was published; how long one takes, by its events.
    """
    figure: float | None = each.schedules
    if each.strategy == DEFAULT and not each.twin:
        figure = min((mean for mean in exhibit.published.values() if mean is not None), default=CAP)
    elif not each.twin and each.strategy in SAMPLERS:
        figure = exhibit.published[each.strategy.replace(":", "")]
    elif not each.twin:
        figure = exhibit.traces
    cost = min(CAP if figure is None else figure, each.schedules) * (exhibit.events or 50)
    if each.schedules == MILLION:
        return 4, cost
    if each.strategy in (DEFAULT, TRACES, EXHAUSTED, SHRINK) and not each.twin:
        return 0, cost
    if each.twin:
        return 1, cost
    return (2 if each.strategy == "surw" else 3), cost


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
            shrunk = tuple(Shrunk(**each) for each in found.pop("shrunk", ()))
            measurement = Measurement(**found.pop("measurement"))
            outcome = Outcome(measurement, shrunk=shrunk, **found)
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
        asked: from how many seeds it is to be run, as far as is known yet.
    """

    firsts: tuple[int | None, ...]
    wrong: tuple[str, ...] = ()
    asked: int = SEEDS

    @property
    def is_whole(self) -> bool:
        """Whether it was run from all the seeds."""
        return len(self.firsts) >= self.asked

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


def cell(exhibit: Exhibit, strategy: str, done: Done, seeds: int = SEEDS) -> Cell:
    """Return what is known of one program with one strategy, from so many seeds."""
    outcomes = [
        done[each]
        for seed in range(seeds)
        if (each := Measurement(exhibit.name, False, strategy, seed, CAP)) in done
    ]
    accepted = ("holds", "inconclusive", *exhibit.oracle)
    firsts = tuple(outcome.first for outcome in outcomes)
    asked = seeds if any(first is not None for first in firsts) else min(seeds, SEEDS_AT_FIRST)
    return Cell(
        firsts,
        tuple(outcome.verdict for outcome in outcomes if outcome.verdict not in accepted),
        asked if strategy in SAMPLERS else 1,
    )


def traces(exhibit: Exhibit, done: Done, counted: str = TRACES) -> int | None:
    """Return how many traces a program has, None if nobody got to the end of them.

    Args:
        exhibit: the program.
        done: what was measured.
        counted: `TRACES`: as the published table counts; `EXHAUSTED`: by exhaustive search.
    """
    outcome = done.get(counting(exhibit.name, counted))
    return None if outcome is None else outcome.traces


def loud(exhibit: Exhibit, done: Done) -> list[str]:
    """Return the strategies under which the twin does not hold."""
    heard = [*twins(exhibit, full=False), *twins(exhibit, full=True)]
    found = [each.strategy for each in heard if each in done and done[each].verdict != "holds"]
    return list(dict.fromkeys(found))


def unheard(exhibit: Exhibit, done: Done, *, full: bool) -> list[str]:
    """Return the strategies under which the twin has not been run as a table asks."""
    return [each.strategy for each in twins(exhibit, full=full) if each not in done]


@dataclass(frozen=True, slots=True)
class Shrinks:
    """What the failures of one program came down to.

    Args:
        shrunk: what each was shrunk to; none if none was found.
        allowed: the most preemptions that may be left: one fewer than the orderings that the bug
            needs. None if nobody has judged how many these are.
    """

    shrunk: tuple[Shrunk, ...]
    allowed: int | None

    @property
    def left(self) -> float | None:
        """The median of the preemptions left."""
        return median(each.left for each in self.shrunk) if self.shrunk else None

    @property
    def replays(self) -> int:
        """The most replays that one of them took."""
        return max((each.replays for each in self.shrunk), default=0)

    @property
    def is_missed(self) -> bool:
        """Whether more is left than may be, or there was nothing to be shrunk."""
        return self.left is None or (self.allowed is not None and self.left > self.allowed)

    def __str__(self) -> str:
        if self.left is None:
            return "MISSED: no failure"
        if self.allowed is None:
            return f"{self.left:g}"
        if self.is_missed:
            return f"{self.left:g} > {self.allowed} MISSED"
        return f"{self.left:g} \N{LESS-THAN OR EQUAL TO} {self.allowed}"


def shrinks(exhibit: Exhibit, done: Done) -> Shrinks | None:
    """Return how far failures of a program are shrunk, None if that was not measured."""
    outcome = done.get(shrinking(exhibit))
    if outcome is None:
        return None
    return Shrinks(outcome.shrunk, None if exhibit.depth is None else exhibit.depth - 1)


def rows(done: Done, strategies: Sequence[str], *, full: bool) -> Iterator[list[str]]:
    """Yield the lines of the table."""
    for exhibit in EXHIBITS:
        counted, shrunk = traces(exhibit, done), shrinks(exhibit, done)
        yield [
            exhibit.row,
            exhibit.name,
            *(str(cell(exhibit, strategy, done)) for strategy in strategies),
            "" if counted is None else f"{counted:,}",
            "" if exhibit.traces is None else f"{exhibit.traces:,}",
            "" if shrunk is None else str(shrunk),
            "" if shrunk is None else f"{shrunk.replays}",
            _twin(exhibit, done, full=full),
        ]


def _twin(exhibit: Exhibit, done: Done, *, full: bool) -> str:
    if found := loud(exhibit, done):
        return f"LOUD: {', '.join(found)}"
    left, asked = len(unheard(exhibit, done, full=full)), len(twins(exhibit, full=full))
    if left == asked:
        return ""
    return f"silent, {asked - left} of {asked}" if left else "silent"


def document(done: Done) -> list[dict[str, Any]]:
    """Return the table as data."""
    return [_document(exhibit, done) for exhibit in EXHIBITS]


def _document(exhibit: Exhibit, done: Done) -> dict[str, Any]:
    shrunk, is_loud = shrinks(exhibit, done), bool(loud(exhibit, done))
    # Silent is only who was heard under all strategies.
    silent = None if unheard(exhibit, done, full=True) else True
    return {
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
                **({} if each.is_whole else {"seeds_to_be_run": each.asked - len(each.firsts)}),
            }
            for strategy in STRATEGIES
            if (each := cell(exhibit, strategy, done)).firsts
        },
        "traces": traces(exhibit, done),
        "traces_by_exhaustive_search": traces(exhibit, done, EXHAUSTED),
        "published_traces": exhibit.traces,
        **({"differs": exhibit.differs} if exhibit.differs else {}),
        "shrunk": None
        if shrunk is None
        else {
            "preemptions_before": [each.before for each in shrunk.shrunk],
            "preemptions_left": [each.left for each in shrunk.shrunk],
            "replays": [each.replays for each in shrunk.shrunk],
            "median_left": shrunk.left,
            "allowed": shrunk.allowed,
            "missed": shrunk.is_missed,
        },
        "twin_silent": False if is_loud else silent,
        "twin_loud_under": loud(exhibit, done),
        **(
            {
                "in_a_million": {
                    strategy: None if outcome is None else outcome.first or "not found"
                    for strategy in UNDER_A_MILLION
                    for outcome in [done.get(Measurement(RAREST, False, strategy, 0, MILLION))]
                }
            }
            if exhibit.name == RAREST
            else {}
        ),
    }
