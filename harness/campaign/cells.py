"""Runs cells side by side, in processes: the same cells, the same results, in the same order.

    cells ──► one process a processor, each prepared once ──► cells with what they came to, in order

It knows neither what is printed of them, nor campaigns.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from harness.corpus import Corpus
from harness.errors import HarnessError, InternalError
from harness.explore import Exploration, Failure, Progress, Settings
from harness.scenario import Cell, Column, Scenario, find, needs_fixtures, run_cell

from .quiet import quiet
from .workers import begin_worker, prepare


@dataclass(frozen=True, slots=True)
class Ran:
    """A cell that was run.

    Args:
        cell: the cell; with a problem, if it could not be run.
        seconds: of real time.
        warnings: what was wrong with the corpus.
    """

    cell: Cell
    seconds: float
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Work:
    """A cell on its way to a process."""

    scenario: str
    class_name: str
    settings: Settings
    files: tuple[str, ...]
    corpus: Path | None
    told: bool


@dataclass(frozen=True, slots=True)
class _Done:
    """What comes back of it: a class may not travel, and need not."""

    exploration: Exploration | None
    stored: tuple[Failure, ...]
    problem: str
    seconds: float
    warnings: tuple[str, ...]


def ran(
    scenario: Scenario,
    column: Column,
    settings: Settings,
    *,
    progress: Progress | None = None,
    corpus: Corpus | None = None,
    shown: bool = False,
    told: bool = False,
) -> Ran:
    """Run one cell here. What cannot be run must not lose what can: it is told, not raised."""
    began = time.perf_counter()
    try:
        if scenario.fixtures:
            raise needs_fixtures(scenario)
        with quiet():
            cell = run_cell(
                scenario, column, settings, progress=progress, corpus=corpus, shown=shown, told=told
            )
    except (HarnessError, InternalError) as exc:
        cell = Cell(scenario, column, None, " ".join(str(exc).split()))
    return Ran(cell, time.perf_counter() - began)


def side_by_side(
    cells: Sequence[tuple[Scenario, Column]],
    settings: Settings,
    jobs: int,
    *,
    corpus: Path | None = None,
    told: bool = False,
) -> Iterator[Ran]:
    """Run cells in `jobs` processes; yield them in the order in which they were given.

    Args:
        cells: what is to be run; each scenario is found again by its name, from this folder.
        settings: how.
        jobs: how many processes, at least 1.
        corpus: the folder that has one, if failures are kept.
        told: violations are shown, even those that were expected.

    Raises:
        KeyboardInterrupt: after what has come to an end by then was yielded.
    """
    files = tuple(sorted({str(scenario.path.resolve()) for scenario, _ in cells}))
    works = [
        _Work(scenario.token_name, column.name, settings, files, corpus, told)
        for scenario, column in cells
    ]
    with _pool(jobs) as pool:
        futures = [pool.submit(_work, work) for work in works]
        for index, (work, future) in enumerate(zip(works, futures, strict=True)):
            try:
                done = _result(work, future)
            except KeyboardInterrupt:
                for cell, other in zip(cells[index:], futures[index:], strict=True):
                    if other.done() and not other.cancelled() and other.exception() is None:
                        yield _told(cell, other.result())
                raise
            yield _told(cells[index], done)


def _told(cell: tuple[Scenario, Column], done: _Done) -> Ran:
    made = Cell(*cell, done.exploration, done.problem, stored=done.stored)
    return Ran(made, done.seconds, done.warnings)


@contextlib.contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    # Not forked: this process may have threads, and a worker begins like any other.
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=begin_worker)
    try:
        yield pool
    except BaseException:
        # Nobody wants what is still being run.
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.kill()
        raise
    pool.shutdown()


def _result(work: _Work, future: Future[_Done]) -> _Done:
    """Return what came of a cell; one whose process may have died of it is run again, alone."""
    try:
        return future.result()
    except BrokenProcessPool:
        pass
    try:
        with _pool(1) as pool:
            return pool.submit(_work, work).result()
    except BrokenProcessPool:
        problem = f"{work.scenario} [{work.class_name}] ends the process that runs it, also alone."
        return _Done(None, (), problem, 0.0, ())


def _work(work: _Work) -> _Done:
    """Run a cell, in a process that does nothing else."""
    prepare(work.files)
    warnings: list[str] = []
    corpus = None if work.corpus is None else Corpus(work.corpus, warnings.append)
    with quiet():
        scenario = find(work.scenario)
        column = scenario.column(work.class_name)
    done = ran(scenario, column, work.settings, corpus=corpus, told=work.told)
    cell = done.cell
    return _Done(cell.exploration, cell.stored, cell.problem, done.seconds, tuple(warnings))
