"""Measures one program with one strategy, here or in processes beside this one.

A measurement is a value, and so is its outcome: equal ones come to the same, apart from seconds. It
does not know which measurements a table is made of, nor where outcomes are kept.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Final

from harness.explore import Settings, _prepared, explore, shared_ground
from harness.search.exhaustive import Exhaustive
from harness.search.strategy import Ran
from harness.trial import run
from harness.world.ground import Ground
from tests.museum.catalogue import EXHIBITS, Exhibit
from tests.museum.shrinking import Shrunk, shrunk
from tests.museum.sleeping import SleepSets

#: Instead of the name of a strategy: how many traces the program has, counted as the published
#: table counts them.
TRACES: Final = "traces"
#: Or: how many exhaustive search itself runs.
EXHAUSTED: Final = "exhausted"
#: Or: how far its failures are shrunk.
SHRINK: Final = "shrink"

#: Real seconds that one step may take; beside another process, and whatever else runs.
WATCHDOG_SECONDS: Final = 60.0

_NAMED: Final = {exhibit.name: exhibit for exhibit in EXHIBITS}


@dataclass(frozen=True, slots=True)
class Measurement:
    """What is to be measured.

    Args:
        name: of the exhibit.
        twin: the fixed twin, not the program.
        strategy: who makes the choices; or `TRACES`, `EXHAUSTED` or `SHRINK`.
        seed: where it starts.
        schedules: after how many it gives up.
    """

    name: str
    twin: bool
    strategy: str
    seed: int
    schedules: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a measurement.

    Args:
        measurement: the measurement.
        verdict: `holds`, the check that was violated, `inconclusive`, or `failed: …` if the harness
            could not run it.
        first: the schedule that violated, from 1; None if none did.
        traces: how many traces there are; None if it gave up before it had seen them all, or did
            not look for them.
        schedules: how many runs were made.
        seconds: of real time.
        shrunk: what the failures were shrunk to, if that was asked.
    """

    measurement: Measurement
    verdict: str
    first: int | None
    traces: int | None
    schedules: int
    seconds: float
    shrunk: tuple[Shrunk, ...] = ()


def measure(measurement: Measurement) -> Outcome:
    """Measure, in this process."""
    exhibit = _NAMED[measurement.name]
    began = time.perf_counter()
    first: int | None = None
    traces: int | None = None
    found: list[Shrunk] = []
    if measurement.strategy == SHRINK:
        with _prepared(Settings(watchdog_seconds=WATCHDOG_SECONDS)) as ground:
            verdict, schedules, found = shrunk(exhibit, ground, measurement.schedules)
    elif measurement.strategy in (TRACES, EXHAUSTED):
        as_published = measurement.strategy == TRACES
        verdict, first, traces, schedules = _count_traces(
            exhibit, measurement.schedules, as_published=as_published
        )
    else:
        verdict, first, traces, schedules = _explore(exhibit, measurement)
    seconds = round(time.perf_counter() - began, 3)
    return Outcome(measurement, verdict, first, traces, schedules, seconds, (*found,))


def _explore(exhibit: Exhibit, measurement: Measurement) -> tuple[str, int | None, int | None, int]:
    found = explore(
        exhibit.fixed if measurement.twin else exhibit.program,
        schedules=measurement.schedules,
        seed=measurement.seed,
        strategy=measurement.strategy,
        shrink=False,
        watchdog_seconds=WATCHDOG_SECONDS,
        progress=_stop_if_alone,
        **exhibit.settings,
    )
    first = found.failures[0].schedule if found.failures else None
    return found.verdict, first, found.exhausted or None, found.schedules


def _count_traces(
    exhibit: Exhibit, schedules: int, *, as_published: bool
) -> tuple[str, int | None, int | None, int]:
    """Run a program to the end of all its traces, those that violate included."""
    with _prepared(Settings(watchdog_seconds=WATCHDOG_SECONDS)) as ground:
        verdict, first, traces, made, ends_early = _counted(
            Exhaustive(), exhibit, ground, schedules
        )
        if ends_early and as_published:
            # Else both searches count the same, and this one may need many more runs.
            verdict, first, traces, made, _ = _counted(SleepSets(), exhibit, ground, schedules)
    return verdict, first, traces, made


def _counted(
    strategy: Exhaustive, exhibit: Exhibit, ground: Ground, schedules: int
) -> tuple[str, int | None, int | None, int, bool]:
    """Return what a search came to, and whether a run may have ended before all threads had."""
    first: int | None = None
    verdict, ends_early = "holds", False
    for index in range(schedules):
        tape = strategy.tape(index)
        if tape is None:
            return verdict, first, len(strategy.traces), index, ends_early
        assert tape.log is not None, "exhaustive search reads the log"
        trial = run(exhibit.program, tape, ground)
        if trial.violation is not None and first is None:
            first, verdict = index + 1, trial.verdict
        ends_early = ends_early or trial.verdict in ("Unhandled", "Failed")
        strategy.learn(
            Ran(
                trial.choices,
                trial.widths,
                tape.log,
                trial.points,
                violated=trial.violation is not None,
                complete=trial.verdict not in ("inconclusive", "redundant"),
            )
        )
        _stop_if_alone(index, 0)
    return verdict, first, None, schedules, ends_early


# --- in several processes -------------------------------------------------------------------------


def measured(measurements: Iterable[Measurement], jobs: int) -> Iterator[Outcome]:
    """Yield the outcome of each measurement as it comes, from `jobs` processes at once.

    Raises:
        RuntimeError: a process ended in the middle of a measurement.
    """
    waiting = iter(measurements)
    context = multiprocessing.get_context("spawn")
    workers: dict[Connection, Any] = {}
    busy: dict[Connection, Measurement] = {}
    try:
        for _, measurement in zip(range(jobs), waiting, strict=False):
            ours, theirs = context.Pipe()
            worker = context.Process(target=_work, args=(theirs,), daemon=True)
            worker.start()
            theirs.close()
            workers[ours] = worker
            busy[ours] = measurement
            ours.send(measurement)
        while busy:
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection), "nothing else is waited for"
                measurement = busy.pop(connection)
                try:
                    outcome: Outcome = connection.recv()
                except EOFError:
                    raise RuntimeError(f"the process that measured {measurement} ended") from None
                following = next(waiting, None)
                if following is not None:
                    busy[connection] = following
                    connection.send(following)
                yield outcome
    finally:
        for connection, worker in workers.items():
            connection.close()
            worker.terminate()
            worker.join()


_parent: int | None = None


def _work(connection: Connection) -> None:
    """Measure what comes, until nothing does: in a process of its own."""
    global _parent  # noqa: PLW0603 - told once, at the beginning of the process
    _parent = os.getppid()
    # From the keyboard, whoever started this one stops it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with shared_ground():
        while True:
            try:
                measurement = connection.recv()
            except EOFError:
                return
            connection.send(_measured_or_said(measurement))


def _measured_or_said(measurement: Measurement) -> Outcome:
    """Measure; what cannot be measured must not lose what can."""
    try:
        return measure(measurement)
    except Exception as exc:
        said = " ".join(str(exc).split())
        return Outcome(measurement, f"failed: {type(exc).__name__}: {said}", None, None, 0, 0.0)


def _stop_if_alone(_runs: int, _violations: int) -> None:
    """End this process if the one that started it is gone: nobody would take what it measures."""
    if _parent is not None and os.getppid() != _parent:
        raise SystemExit
