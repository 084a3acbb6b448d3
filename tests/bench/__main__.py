"""Times the harness beside the bare cost and, where they are installed, beside the tools of others.

    python -m tests.bench [--rivals ENVIRONMENT] [--quick] [--only PART …]

Every ratio is taken in one process, on one processor. Beside a rival's random mode and a plain
`asyncio.run`, our side makes random walks, too, under settings that are the defaults but for that:
what is compared is what a run costs. What it takes to prepare an exploration is left out of a rate.
A figure below its goal is listed with its profile, not left out. Prints a table and writes
`.harness/bench.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import functools
import io
import json
import os
import platform
import pstats
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from greenlet import getcurrent, greenlet
from rich.console import Console
from rich.table import Table

import harness
from harness.core.kernel import Limits
from harness.explore import shared_ground
from harness.scenario import scenario_of
from scenarios.request_queue.asgi.reference import RequestQueue
from scenarios.worker_pool.pool.crowd import crowd, fifty_nodes_run_a_thousand_jobs
from scenarios.worker_pool.pool.reference import Node

from . import measuring, programs, queueing, reports, rivals

OUTPUT = Path(".harness") / "bench.json"
#: What is set against the random modes of others.
RANDOM = "random"
#: More than any search here finds.
ALL = 10**9


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; `unit` says what `ours` and `theirs` are.

    `theirs` is 0 where the figure is set against nothing but its goal.
    """

    program: str
    against: str
    unit: str
    ours: float
    theirs: float
    ratio: float
    goal: str
    reached: bool


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--rivals", metavar="ENVIRONMENT", help="run in this environment, which has the rivals"
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the schedules")
    parser.add_argument(
        "--only", nargs="+", metavar="PART", choices=PARTS, default=list(PARTS), help=_parts_help()
    )
    arguments = parser.parse_args()
    if arguments.rivals:
        python = Path(arguments.rivals) / ("Scripts" if os.name == "nt" else "bin") / "python"
        again = [str(python), "-m", "tests.bench", *(["--quick"] if arguments.quick else [])]
        again += ["--only", *arguments.only]
        return subprocess.run(again, check=False).returncode
    pinned = measuring.pin()
    scale = 10 if arguments.quick else 1
    rows: list[Row] = []
    for name in arguments.only:
        rows.extend(PARTS[name](scale))
    _show(rows, pinned)
    _write(rows, pinned)
    for row in rows:
        if not row.reached:
            _profile(row)
    return 0


def _parts_help() -> str:
    return "only these parts of the table: " + ", ".join(PARTS)


def _rate(program: Callable[[Any], object], schedules: int) -> float:
    """Return the schedules a second of random walks."""
    seconds, found = _timed(program, schedules, strategy=RANDOM)
    return float(_held(found).schedules / seconds)


def _timed(program: Callable[[Any], object], schedules: int, **settings: Any) -> tuple[float, Any]:
    """Return the seconds of an exploration, without what it takes to prepare one, and its end."""
    found: list[Any] = []
    with shared_ground():
        seconds = measuring.best(
            lambda: found.append(harness.explore(program, schedules=schedules, **settings))
        )
    return seconds, found[-1]


def _held(found: Any) -> Any:
    if found.verdict != "holds":
        raise SystemExit(f"{found.name} must hold: {found.violation or found.why_inconclusive}")
    return found


# --- parts


def _against_rivals(scale: int) -> list[Row]:
    rows = []
    ours = {name: _rate(program, 5_000 // scale) for name, program in programs.THREADED.items()}
    ours |= {name: _rate(program, 5_000 // scale) for name, program in programs.ASYNC.items()}
    fastest: dict[str, tuple[str, float]] = {}
    for tool, mode, name, run in rivals.threaded():
        schedules = max(20, 400 // scale)
        theirs = schedules / min(run(schedules), run(schedules))
        if mode == "random opcode":
            rows.append(_faster(name, f"{tool}, {mode}", ours[name], theirs, 10))
        if theirs > fastest.get(name, ("", 0.0))[1]:
            fastest[name] = (f"{tool}, {mode}", theirs)
    rows.extend(
        _faster(name, f"fastest: {label}", ours[name], theirs, 3)
        for name, (label, theirs) in fastest.items()
    )
    for tool, mode, name, run in rivals.asynchronous():
        schedules = 2_000 // scale
        theirs = schedules / min(run(schedules), run(schedules), run(schedules))
        rows.append(_faster(name, f"{tool}, {mode}", ours[name], theirs, 1))
    if not rows:
        rows = [
            Row(name, "(no rival installed)", "schedules/s", rate, 0, 0, "", True)
            for name, rate in ours.items()
        ]
    return rows


def _faster(program: str, against: str, ours: float, theirs: float, goal: float) -> Row:
    ratio = ours / theirs
    return Row(program, against, "schedules/s", ours, theirs, ratio, f">= {goal:g}x", ratio >= goal)


def _against_asyncio(scale: int) -> list[Row]:
    rows = []
    runs = 2_000 // scale
    sizes = {
        "check_then_act3": (programs.ASYNC["check_then_act3"], runs),
        "tasks1000": (programs.many_tasks(1_000), 50),
    }
    for name, (program, count) in sizes.items():
        ours = _rate(program, count)

        def stock(program: Any = program, count: int = count) -> None:
            for _ in range(count):
                asyncio.run(program(None))

        rows.append(_faster(name, "stock asyncio.run", ours, count / measuring.best(stock), 0.8))
    return rows


def _against_greenlet(scale: int) -> list[Row]:
    """Compare one scheduling decision with one bare switch between two greenlets.

    The goal is for decisions at synchronisation points, in runs so long that their beginning and
    end do not count. The run of many short threads is listed beside it, with all that they cost.
    """
    switches = 200_000 // scale
    bare = measuring.best(lambda: _bare_switches(switches)) / switches
    rows = []
    for name, program, granularity, goal in (
        ("lock hand-over", programs.handover(4_000 // min(scale, 4)), "sync", 5.0),
        ("64 threads x 30 points", programs.many_points(64, 30), "shared", None),
    ):
        decision = _seconds_a_step(program, granularity)
        ratio = decision / bare
        wanted = f"<= {goal:g}x" if goal else ""
        reached = goal is None or ratio <= goal
        figures = (decision * 1e6, bare * 1e6, ratio)
        rows.append(Row(name, "bare greenlet switch", "us", *figures, wanted, reached))
    return rows


def _seconds_a_step(program: Callable[[Any], object], granularity: str) -> float:
    """Return the processor seconds of one step of random walks."""
    seconds, found = _timed(program, 10, granularity=granularity, strategy=RANDOM)
    # The settling run makes the steps of the plain run, and is not counted among them.
    return float(seconds / (_held(found).steps * 11 / 10))


def _bare_switches(count: int) -> None:
    hub = getcurrent()

    def turn() -> None:
        while True:
            hub.switch()

    other = greenlet(turn)
    switch = other.switch
    for _ in range(count // 2):
        switch()


def _growth(_scale: int) -> list[Row]:
    """Compare the time of a step in a run with that in a run of ten times the steps."""
    rows = []
    kinds: tuple[tuple[str, Callable[[int], Any]], ...] = (
        ("points", lambda turns: programs.many_points(8, turns)),
        ("turns of tasks", lambda turns: programs.many_tasks(20, turns)),
    )
    for name, make in kinds:
        few, many = (_seconds_a_step(make(turns), "shared") for turns in (400, 4_000))
        ratio = many / few
        figures = (many * 1e6, few * 1e6, ratio)
        rows.append(Row(name, "a tenth of the steps", "us", *figures, "<= 1.3x", ratio <= 1.3))
    return rows


def _memory(scale: int) -> list[Row]:
    """Compare resident memory after 10,000 and after 100,000 schedules."""
    few, many = 10_000 // scale, 100_000 // scale
    sizes: list[int] = []

    def look(runs: int, _violations: int) -> None:
        if runs in (few, many):
            sizes.append(measuring.resident_bytes())

    harness.explore(programs.counter, schedules=many, strategy=RANDOM, progress=look)
    grown = (sizes[1] - sizes[0]) / 1e6 if len(sizes) == 2 else 0.0
    return [
        Row(
            "counter2",
            f"RSS from {few:,} to {many:,}",
            "MB",
            grown,
            2.0,
            grown / 2,
            "< 2 MB",
            grown < 2,
        )
    ]


def _searches(scale: int) -> list[Row]:
    """Compare what a decision costs under other samplers, and what exhaustive search takes."""
    rows = []
    known: dict[str, tuple[Any, int]] = {
        name: (programs.THREADED[name], 2_000 // scale)
        for name in ("bank3", "bounded_buffer", "philosophers3")
    }
    known["8 threads x 60 points"] = programs.many_points(8, 60), 100 // min(scale, 4)
    for name, (program, schedules) in known.items():
        walk = _seconds_a_decision(program, schedules, RANDOM)
        for strategy in ("surw", "pos"):
            ours = _seconds_a_decision(program, schedules, strategy)
            figures = (ours * 1e6, walk * 1e6, ours / walk)
            against = f"{strategy}, random walk"
            rows.append(Row(name, against, "us a decision", *figures, "<= 2x", ours <= 2 * walk))
    rate = _all_executions(ALL if scale == 1 else 300)
    rows.append(_alone("bank3, buggy", "schedules/s", rate, ">= 1000", reached=rate >= 1_000))
    seconds, found = _timed(programs.table, 1_000, strategy="exhaustive")
    if not _held(found).exhausted:
        raise SystemExit("three philosophers must be exhausted")
    for unit, figure, most in (("schedules", found.schedules, 14), ("ms", seconds * 1e3, 20)):
        rows.append(
            _alone("philosophers3, forks", unit, figure, f"<= {most}", reached=figure <= most)
        )
    return rows


def _all_executions(schedules: int) -> float:
    """Return the executions a second of exhaustive search over the bank that fails: all, at best.

    Each run counts once, though each that violates is run again to be confirmed.
    """
    with shared_ground():
        harness.explore(programs.bank_unlocked, schedules=300, strategy="exhaustive")
        # There are more than twenty thousand: no second round would be quicker than the first.
        started = time.process_time()
        found = harness.explore(
            programs.bank_unlocked,
            schedules=schedules,
            strategy="exhaustive",
            stop_after=ALL,
            shrink=False,
        )
        seconds = time.process_time() - started
    return found.schedules / seconds


def _seconds_a_decision(program: Callable[[Any], object], schedules: int, strategy: str) -> float:
    seconds, found = _timed(program, schedules, strategy=strategy)
    return float(seconds / _held(found).steps)


def _alone(program: str, unit: str, figure: float, goal: str, *, reached: bool) -> Row:
    return Row(program, "exhaustive search", unit, figure, 0, 0, goal, reached)


def _request_queue(scale: int) -> list[Row]:
    """Compare a request that finds nobody before it with and without the queue and its register."""
    requests = 20_000 // scale
    apps = {
        "no queue": queueing.answer,
        "queue, not asked": queueing.behind(RequestQueue, asks=False),
        "no register": queueing.behind(queueing.Unregistered, asks=True),
        "queue": queueing.behind(RequestQueue, asks=True),
    }
    cost = {
        name: measuring.best(queueing.work(app, requests)) / requests * 1e6
        for name, app in apps.items()
    }
    pairs = [(name, "no queue") for name in list(apps)[1:]] + [("queue", "no register")]
    return [
        Row(
            f"a request, {name}",
            against,
            "us",
            cost[name],
            cost[against],
            cost[name] / cost[against],
            "",
            True,
        )
        for name, against in pairs
    ]


def _worker_pool(scale: int) -> list[Row]:
    """Tell what a run of the worker pool costs as it grows; the largest also at random."""
    rows = []
    largest = scenario_of(fifty_nodes_run_a_thousand_jobs)
    assert largest is not None, "it is a scenario, though no column of the matrix"
    crowds: dict[str, tuple[Callable[..., Any], int]] = {
        "10 nodes, 200 jobs": (functools.partial(crowd, nodes=10, jobs=200), 0),
        "25 nodes, 500 jobs": (functools.partial(crowd, nodes=25, jobs=500), 0),
        "50 nodes, 1000 jobs": (largest.function, 10 // scale),
    }
    for size, (function, runs) in crowds.items():
        program = functools.partial(function, cls=Node)
        for name, schedules in (("the plain run", 1), ("random runs", runs)):
            if not schedules:
                continue
            started = time.process_time()
            found = harness.explore(
                program,
                # The first of them is the plain run.
                schedules=schedules + (name != "the plain run"),
                strategy=RANDOM,
                limits=Limits(total_steps=1_000_000_000),
            )
            _held(found)
            # The settling run is one more.
            seconds = (time.process_time() - started) / (found.schedules + 1)
            rows.append(Row(size, name, "s a run", seconds, 0, 0, "", True))
    return rows


def _reports(scale: int) -> list[Row]:
    """The page of 100,000 steps: its size, and how soon its first failure can be read."""
    if not reports.can_be_taken():
        print("no chromium, chromedriver or selenium: no figures of reports", file=sys.stderr)
        return []
    size, shown = reports.first_failure()
    name = "page of 100,000 steps"
    return [
        Row(name, "", "MB", size, 0.0, 0.0, "< 30", size < 30),
        Row(name, "", "ms to the first failure", shown, 0.0, 0.0, "< 3,000", shown < 3_000),
    ]


PARTS: dict[str, Callable[[int], list[Row]]] = {
    "rivals": _against_rivals,
    "asyncio": _against_asyncio,
    "greenlet": _against_greenlet,
    "searches": _searches,
    "growth": _growth,
    "memory": _memory,
    "queue": _request_queue,
    "pool": _worker_pool,
    "reports": _reports,
}


# --- output


def _show(rows: list[Row], pinned: str) -> None:
    title = f"{platform.python_implementation()} {platform.python_version()}, {pinned}"
    heads = ("program", "against", "unit", "ours", "theirs", "ratio", "goal", "reached")
    table = Table(*heads, title=title)
    for row in rows:
        compared = [f"{row.theirs:,.2f}", f"{row.ratio:.2f}x"] if row.theirs else ["", ""]
        reached = ("yes" if row.reached else "NO") if row.goal else ""
        table.add_row(
            row.program, row.against, row.unit, f"{row.ours:,.2f}", *compared, row.goal, reached
        )
    Console(width=140).print(table)


def _write(rows: list[Row], pinned: str) -> None:
    OUTPUT.parent.mkdir(exist_ok=True)
    document = {
        "python": platform.python_version(),
        "pinned": pinned,
        "rows": [asdict(row) for row in rows],
    }
    OUTPUT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _profile(row: Row) -> None:
    """Print where the time of a program below its goal goes."""
    program = {**programs.THREADED, **programs.ASYNC}.get(row.program)
    if program is None:
        return
    profile = cProfile.Profile()
    profile.runcall(harness.explore, program, schedules=500, strategy=RANDOM)
    text = io.StringIO()
    pstats.Stats(profile, stream=text).sort_stats("tottime").print_stats(12)
    print(f"{row.program}, {row.against}: {row.ratio:.2f}, goal {row.goal}", file=sys.stdout)
    print(text.getvalue())


if __name__ == "__main__":
    sys.exit(main())
