"""What a shard came to, as plain data that any process can send to another; and how to run one.

An outcome is the same whoever made it, but for the time it took: its numbers are whole, so that
sums do not depend on an order, and traces have the same numbers in every process. It does not know
the other shards of its cell, nor what they come to together.
"""

from __future__ import annotations

import contextlib
import functools
import platform
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from harness.core.clock import to_ns
from harness.core.fingerprint import fingerprint_of
from harness.errors import HarnessError, InternalError
from harness.explore import (
    Exploration,
    Failure,
    Progress,
    Settings,
    Stop,
    explore,
)
from harness.scenario import (
    ENOUGH_VIOLATIONS,
    Column,
    Scenario,
    find,
    needs_fixtures,
    pins_of,
)
from harness.search.worth import Worth
from harness.world.under_test import under_test

from .quiet import quiet
from .units import Unit

#: Failures that an outcome tells; it counts all.
TOLD: Final = 10

#: Packages of which another version may come to other runs.
_PACKAGES: Final = ("faultloom", "greenlet", "bytecode")


@dataclass(frozen=True, slots=True)
class Found:
    """One violating run of a shard.

    Args:
        check: the check that was violated.
        summary: what was seen and what was allowed, one line.
        text: the whole verdict, as it is shown.
        token: replays the run.
        schedule: its number in the shard, from 1.
    """

    check: str
    summary: str
    text: str
    token: str
    schedule: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one shard. Any thread.

    Args:
        unit: the shard.
        verdict: `holds`, the name of the first violated check, or `inconclusive`.
        schedules: how many runs were made.
        violating: by check, how many of them violated it.
        failures: the first of those, at most `TOLD`.
        traces: for each sampler, how often each trace was met.
        pct: what PCT says of itself, by depth: runs, actors, decisions.
        exhausted: how many traces there are, if this shard has run them all; else 0.
        exhausts: what is counted there: a `trace`, or a `schedule` if none was left out.
        met: then those traces, to be held against what other shards have met.
        stale_pins: pins that no longer violate.
        why_inconclusive: which limit was hit, empty if none.
        problem: why nothing could be run, one line; empty if something was.
        is_crash: the problem is that it ended the process that ran it.
        unfinished: it was stopped before its end: what it found is found, but it is no pass.
        steps: kernel steps of all runs.
        virtual_ns: virtual time of all runs, nanoseconds.
        micros: real time that it took, microseconds.
        fingerprint: of the code that was run.
        versions: of the interpreter and the packages that ran it.
    """

    unit: Unit
    verdict: str
    schedules: int = 0
    violating: Mapping[str, int] = field(default_factory=dict)
    failures: tuple[Found, ...] = ()
    traces: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    pct: Mapping[int, tuple[int, int, int]] = field(default_factory=dict)
    exhausted: int = 0
    exhausts: str = "trace"
    met: tuple[int, ...] = ()
    stale_pins: tuple[str, ...] = ()
    why_inconclusive: str = ""
    problem: str = ""
    is_crash: bool = False
    unfinished: bool = False
    steps: int = 0
    virtual_ns: int = 0
    micros: int = 0
    fingerprint: str = ""
    versions: str = ""

    @property
    def seconds(self) -> float:
        """Real seconds that it took."""
        return self.micros / 1e6

    @property
    def worth(self) -> Worth:
        """What its runs that hold are worth."""
        traces = {sampler: Counter(dict(counts)) for sampler, counts in self.traces.items()}
        return Worth(traces, dict(self.pct))

    def unaccounted(self, caught_by: tuple[str, ...]) -> list[Found]:
        """Return the failures by checks that a column does not declare."""
        return [each for each in self.failures if each.check not in caught_by]

    def passes(self, caught_by: tuple[str, ...]) -> bool:
        """Tell whether nothing violates where it must hold, or by an undeclared check.

        Args:
            caught_by: the checks that must catch the column, empty if it must hold.
        """
        return not self.problem and not (self.violating.keys() - set(caught_by))

    def to_json(self) -> dict[str, Any]:
        """Return it as dicts, lists, texts and whole numbers."""
        return {
            **{name: getattr(self, name) for name in _PLAIN},
            "unit": self.unit.to_json(),
            "exhausts": self.exhausts,
            "violating": dict(self.violating),
            "failures": [asdict(each) for each in self.failures],
            "traces": {
                sampler: [[trace, counts[trace]] for trace in sorted(counts)]
                for sampler, counts in sorted(self.traces.items())
            },
            "pct": [[depth, *self.pct[depth]] for depth in sorted(self.pct)],
            "met": list(self.met),
            "stale_pins": list(self.stale_pins),
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Outcome:
        """Return what `to_json` was called on."""
        return Outcome(
            **{name: data[name] for name in _PLAIN},
            unit=Unit.from_json(data["unit"]),
            exhausts=data.get("exhausts", "trace"),
            violating=dict(data["violating"]),
            failures=tuple(Found(**each) for each in data["failures"]),
            traces={
                sampler: {trace: count for trace, count in counts}  # noqa: C416 - pairs are lists
                for sampler, counts in data["traces"].items()
            },
            pct={depth: (runs, actors, choices) for depth, runs, actors, choices in data["pct"]},
            met=tuple(data["met"]),
            stale_pins=tuple(data["stale_pins"]),
        )


_PLAIN: Final = (
    "verdict",
    "schedules",
    "exhausted",
    "why_inconclusive",
    "problem",
    "is_crash",
    "unfinished",
    "steps",
    "virtual_ns",
    "micros",
    "fingerprint",
    "versions",
)


def run_shard(
    scenario: Scenario,
    column: Column,
    unit: Unit,
    settings: Settings,
    fixtures: Mapping[str, Any] | None = None,
    *,
    progress: Progress | None = None,
    stop: Stop | None = None,
    explored: Callable[[Exploration], None] | None = None,
) -> Outcome:
    """Run one shard of a cell.

    Args:
        scenario: the scenario that the unit names.
        column: the class that it names, and what is expected.
        unit: the shard.
        settings: those that the cell was cut with.
        fixtures: the arguments besides simulation and class.
        progress: called with (runs made, violations found) after each run.
        stop: asked after each run whether to end with what there is: it is unfinished then.
        explored: is given what was run, with the violations themselves.

    Raises:
        HarnessError: it could not be simulated.
        KeyboardInterrupt: it was interrupted; what it found is found again when it is run again.
    """
    began = time.perf_counter()
    done = explore(
        scenario.program(column, fixtures),
        settings=shard_settings(scenario, column, unit, settings),
        name=scenario.token_name,
        class_name=column.name,
        progress=progress,
        stop=stop,
    )
    if done.interrupted and (stop is None or not stop()):
        # Half a shard is no shard.
        raise KeyboardInterrupt
    if explored is not None:
        explored(done)
    outcome = _outcome(unit, done, round((time.perf_counter() - began) * 1e6))
    return replace(outcome, unfinished=done.interrupted)


def found(unit: Unit) -> tuple[Scenario, Column]:
    """Find what a unit names, in this process.

    Raises:
        HarnessError: it is not there, or only pytest can run it.
    """
    scenario = find(unit.scenario)
    if scenario.fixtures:
        raise needs_fixtures(scenario)
    return scenario, scenario.column(unit.class_name)


def run_unit(
    unit: Unit,
    settings: Settings,
    *,
    stop: Stop | None = None,
    find_cell: Callable[[Unit], tuple[Scenario, Column]] = found,
) -> Outcome:
    """Find what a unit names, in this process, and run it; what it prints goes to stderr.

    A scenario that cannot be run is an outcome, too: it must not lose what can.

    Args:
        unit: the shard.
        settings: those that its cell was cut with.
        stop: as for `run_shard`.
        find_cell: how it is found.

    Raises:
        KeyboardInterrupt: as `run_shard`.
    """
    try:
        scenario, column = find_cell(unit)
        with quiet():
            return run_shard(scenario, column, unit, settings, stop=stop)
    except (HarnessError, InternalError) as exc:
        return not_run(unit, str(exc))


def fingerprint_of_cell(scenario: Scenario, column: Column) -> str:
    """Return the fingerprint that outcomes of a cell would have, were it run now."""
    chosen = under_test(scenario.under_test)
    return fingerprint_of(scenario.program(column), is_under_test=chosen)


def not_run(unit: Unit, why: str, *, is_crash: bool = False) -> Outcome:
    """Return the outcome of a shard that could not be run."""
    return Outcome(
        unit,
        "inconclusive",
        problem=" ".join(why.split()),
        is_crash=is_crash,
        versions=versions(),
    )


def shard_settings(scenario: Scenario, column: Column, unit: Unit, settings: Settings) -> Settings:
    """Return how a shard is explored: the first walks faults and pins, too."""
    is_first = unit.index == 0
    return replace(
        settings,
        strategy=unit.strategy,
        seed=unit.seed,
        # A walk of faults may be longer than a shard.
        schedules=settings.schedules if is_first else unit.schedules,
        searched=unit.schedules,
        sweep=is_first,
        pins=(*settings.pins, *pins_of(scenario, column)) if is_first else (),
        stop_after=ENOUGH_VIOLATIONS,
        expected=column.caught_by,
        under_test=tuple(dict.fromkeys([*settings.under_test, *scenario.under_test])),
    )


def _outcome(unit: Unit, done: Exploration, micros: int) -> Outcome:
    return Outcome(
        unit,
        done.verdict,
        schedules=done.schedules,
        violating=dict(Counter(failure.check for failure in done.failures)),
        failures=tuple(_found(failure) for failure in done.failures[:TOLD]),
        traces=done.worth.traces,
        pct=done.worth.pct,
        exhausted=done.exhausted,
        exhausts=done.settings.exhausts,
        met=tuple(sorted(done.met)) if done.exhausted else (),
        stale_pins=done.stale_pins,
        why_inconclusive=done.why_inconclusive,
        steps=done.steps,
        virtual_ns=to_ns(done.virtual_seconds),
        micros=micros,
        fingerprint=done.fingerprint,
        versions=versions(),
    )


def _found(failure: Failure) -> Found:
    violation = failure.violation
    return Found(failure.check, violation.summary, str(violation), failure.token, failure.schedule)


@functools.cache
def versions() -> str:
    """Return what ran a shard: outcomes of different versions do not belong together."""
    found = [f"{sys.implementation.name}-{platform.python_version()}"]
    for package in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{package}-{version(package)}")
    return " ".join(found)
