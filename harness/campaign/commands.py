"""The commands `stress` and `results`: their arguments, their progress, and what they print.

    0  everything is as the scenarios declare it, as far as it was run
    1  something is not, or has ended its process
    2  misuse, or something could not be run: one line on stderr says what, and the way out
    130  interrupted: what was found is kept

It does not know how scenarios are found: whoever calls it does.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from harness.core.clock import seconds_of
from harness.errors import HarnessError, misuse

if TYPE_CHECKING:
    from harness.scenario import Column, Scenario

    from .executors import Workers
    from .ledger import Plan
    from .merge import Declared, Merged
    from .outcomes import Outcome
    from .results import Results, Total
    from .stress import Tally

#: Schedules of each cell, if nothing is said.
SCHEDULES: Final = 10_000
#: Seconds between two lines of progress where no bar can be drawn.
LINE_SECONDS: Final = 10.0

Selected = Sequence[tuple["Scenario", Sequence["Column"]]]
Select = Callable[[Sequence[str], str | None], Selected]
PrintTable = Callable[[Sequence[str], Sequence[Sequence[str]]], None]


def add_commands(commands: Any) -> None:
    """Add the two commands to a parser's."""
    does = "run scenarios under very many schedules, in many processes, and keep what is found"
    stress = commands.add_parser("stress", help=does, description=does)
    stress.add_argument(
        "targets",
        nargs="*",
        metavar="PATH|NAME",
        help="files, folders, names, or FILE::NAME; by default `scenarios`, or else all here",
    )
    stress.add_argument("--schedules", type=int, help=f"schedules a cell ({SCHEDULES:,})")
    stress.add_argument("--seed", type=int, help="base seed of the search (0)")
    stress.add_argument("--strategy", help="who searches: portfolio (default), surw, pct:3 …")
    stress.add_argument("--granularity", help="shared (default) or sync")
    stress.add_argument("--order", help="asyncio order: tasks (default), fifo or any")
    stress.add_argument("--timeouts", help="time-out mode: idle (default), race or cost")
    stress.add_argument("--class", dest="class_name", metavar="NAME", help="only this class")
    stress.add_argument(
        "--check-determinism",
        action="store_true",
        default=None,
        help="run every schedule twice and compare",
    )
    stress.add_argument(
        "--db", default="campaign.sqlite", metavar="FILE", help="where it is kept (campaign.sqlite)"
    )
    stress.add_argument(
        "--resume", action="store_true", help="go on with what the file says is not yet done"
    )
    stress.add_argument("--workers", type=int, metavar="N", help="processes (one a processor)")
    stress.add_argument(
        "--executor",
        default="process",
        metavar="NAME",
        help="process (default), dask, or MODULE:FUNCTION that makes any other executor",
    )
    stress.add_argument("--address", metavar="URL", help="of the dask scheduler: tcp://host:8786")
    stress.add_argument(
        "--shard", metavar="I/N", help="run only this static share, I from 1 to N, in its own file"
    )
    stress.add_argument("--time", metavar="TIME", help="stop after 90s, 10m or 1h30m")
    does = "show what campaigns have found, from one file or from the files of all shares"
    results = commands.add_parser("results", help=does, description=does)
    results.add_argument("files", nargs="+", metavar="FILE", help="what `stress --db` has written")
    results.add_argument("--scenario", default="", metavar="TEXT", help="only these scenarios")
    results.add_argument("--class", dest="class_name", metavar="NAME", help="only this class")
    results.add_argument("--verdict", metavar="NAME", help="only holds, inconclusive, or a check")
    results.add_argument("--json", action="store_true", help="print JSON and nothing else")
    results.add_argument("--junit", metavar="FILE", help="write JUnit XML")
    results.add_argument("--merge", metavar="FILE", help="write all into one new file")


# --- stress ---------------------------------------------------------------------------------------


def stress(options: argparse.Namespace, select: Select) -> int:
    """Run a campaign; return the exit code.

    Args:
        options: what was said.
        select: returns the scenarios that targets and class name, with their columns.

    Raises:
        HarnessError: it cannot be begun, or cannot go on; what was found is kept.
    """
    from .ledger import Ledger
    from .merge import Declared
    from .outcomes import fingerprint_of_cell
    from .stress import planned

    share = _share(options.shard)
    seconds = None if options.time is None else seconds_of(options.time)
    _check_executor(options)
    path = Path(options.db)
    goes_on = options.resume and path.exists()
    if options.resume and not goes_on:
        _begin_anew(options, path)
    # What cannot be planned is told before anything is written.
    planning = None if goes_on else _planning(options, select, None, share)
    with Ledger(path) as ledger:
        planning = planning or _planning(options, select, ledger.plan, share)
        plan = planned(planning.plan, ledger, resume=options.resume)
        for scenario, columns in planning.selected:
            for column in columns if not scenario.fixtures else ():
                key = Declared.of(scenario, column).key
                ledger.check_code(key, fingerprint_of_cell(scenario, column))
        for line in planning.left_out:
            _say(line)
        files = sorted({each.shown_path for each, _ in planning.selected})
        tally = _run(options, plan, ledger, files, seconds)
    return _told(path, tally, has_left_out=bool(planning.left_out))


def _begin_anew(options: argparse.Namespace, path: Path) -> None:
    """Say that there is nothing to go on with.

    Raises:
        HarnessError: nobody has said what else to run.
    """
    from .workers import SETTINGS

    said = (options.targets, options.class_name, options.shard)
    if not any(said) and all(getattr(options, name) is None for name in SETTINGS):
        raise HarnessError(
            f"{path} is not there: nothing to go on with. Name the file that `stress --db` has "
            "written, or say what to run."
        )
    _say(f"{path} is not there: a new campaign begins.")


class _Planning(NamedTuple):
    """What a campaign is to run, of what, and a line for each scenario that only pytest can run."""

    plan: Plan
    selected: Selected
    left_out: list[str]


def _planning(
    options: argparse.Namespace, select: Select, kept: Plan | None, share: tuple[int, int] | None
) -> _Planning:
    targets = tuple(options.targets) or (kept.targets if kept else ())
    class_name = options.class_name or (kept.class_name if kept else None)
    selected = select(targets, class_name)
    plan, left_out = _plan(
        options, selected, kept, targets=targets, class_name=class_name, share=share
    )
    return _Planning(plan, selected, left_out)


def _plan(
    options: argparse.Namespace,
    selected: Selected,
    kept: Plan | None,
    *,
    targets: tuple[str, ...],
    class_name: str | None,
    share: tuple[int, int] | None,
) -> tuple[Plan, list[str]]:
    """Return what is to be run, and a line for each scenario that only pytest can run."""
    from harness.explore import Settings
    from harness.scenario import needs_fixtures

    from .ledger import Plan
    from .merge import Declared
    from .outcomes import versions
    from .units import Cut
    from .workers import SETTINGS, plain_settings

    said = {name: getattr(options, name) for name in SETTINGS}
    given = {name: value for name, value in said.items() if value is not None}
    before = dict(kept.settings) if kept else {"schedules": SCHEDULES}
    settings = Settings(**{**before, **given})
    Cut.of(settings)
    cells = [
        Declared.of(each, column)
        for each, columns in selected
        if not each.fixtures
        for column in columns
    ]
    left_out = [f"left out: {needs_fixtures(each)}" for each, _ in selected if each.fixtures]
    if not cells:
        raise HarnessError(f"Nothing can be run: {left_out[0] if left_out else 'no scenarios'}")
    share = share or (kept.share if kept else (1, 1))
    plan = Plan(plain_settings(settings), targets, class_name, versions(), share, tuple(cells))
    return plan, left_out


def _run(
    options: argparse.Namespace,
    plan: Plan,
    ledger: Any,
    files: Sequence[str],
    seconds: float | None,
) -> Tally:
    from .stress import Campaign

    with tempfile.TemporaryDirectory(prefix="faultloom-") as folder, _progress() as told:
        campaign = Campaign(plan, ledger, files, told=told, news=_news)
        if campaign.is_done:
            return campaign.tally
        with _workers(options, folder) as workers:
            return campaign.run(workers, seconds)


def _check_executor(options: argparse.Namespace) -> None:
    from .executors import NAMES, check_address

    if options.executor not in NAMES and ":" not in options.executor:
        raise misuse(
            "executor",
            options.executor,
            f"must be {', '.join(NAMES)} or MODULE:FUNCTION.",
            "Leave it out for 'process'.",
        )
    if options.executor == "dask" and options.workers is not None:
        raise misuse("workers", options.workers, "is for processes.", "A cluster has those it has.")
    if options.workers is not None and options.workers < 1:
        raise misuse(
            "workers",
            options.workers,
            "must be at least 1.",
            "Leave it out for one a processor.",
        )
    if options.executor == "dask":
        check_address(options.address)
    elif options.address is not None:
        raise misuse(
            "address", options.address, "is for a cluster.", "Write --executor dask as well."
        )


@contextlib.contextmanager
def _workers(options: argparse.Namespace, folder: str) -> Iterator[Workers]:
    from .executors import cluster, of_others, processes, processors

    wanted = processors() if options.workers is None else options.workers
    if options.executor == "dask":
        with cluster(options.address) as workers:
            yield workers
    elif ":" in options.executor:
        with of_others(options.executor, wanted) as workers:
            yield workers
    else:
        with processes(wanted, folder) as workers:
            yield workers


def _share(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    number, _, of = text.partition("/")
    if number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of):
        return int(number), int(of)
    raise misuse(
        "shard", text, "must be I/N with 1 ≤ I ≤ N.", "Write --shard 1/4, --shard 2/4 and so on."
    )


def _told(path: Path, tally: Tally, *, has_left_out: bool) -> int:
    """Print what came of a campaign; return the exit code."""
    from .results import Results, Total

    is_wrong, problems = False, has_left_out
    total = Total()
    with Results([path]) as results:
        # One at a time: the traces of all cells of a long campaign would be too much.
        for cell in results.merged():
            total.add(cell)
            problems = problems or could_not_be_run(cell)
            if shows_wrong(cell):
                is_wrong = True
                print(f"{cell.explain()}\n")
                _tell_github(cell)
        _print_sum(results, total)
    if tally.why_stopped:
        _say(
            f"{tally.why_stopped} after {tally.done:,} of {tally.shards:,} shards; what was found "
            f"is kept. To go on: python -m harness stress --db {path} --resume"
        )
    if tally.why_stopped == "interrupted":
        return 130
    if problems:
        return 2
    return 1 if is_wrong else 0


def could_not_be_run(cell: Merged) -> bool:
    """Tell whether nothing can be known of a part of a cell; what kills its process is known."""
    return any(not each.is_crash for each in cell.problems)


def shows_wrong(cell: Merged) -> bool:
    """Tell whether a cell is not as declared, whatever the shards that are missing come to."""
    return not cell.is_as_declared and not cell.is_unfinished


def _tell_github(cell: Merged) -> None:
    """Annotate a cell that is not as declared, in a job of GitHub."""
    from harness.report import github

    if github.is_wanted():
        told = cell.declared
        path = told.scenario.rpartition("::")[0]
        # Not stdout, which may be JSON; GitHub reads both.
        print(github.annotation(path, told.line, told.name, cell.explain()), file=sys.stderr)


def _print_sum(results: Results, total: Total) -> None:
    print(total)
    shares = sorted({plan.share for plan in results.plans})
    if len(shares) == 1 and shares[0] != (1, 1):
        number, of = shares[0]
        print(f"This is shard {number}/{of}: results FILE FILE … shows all {of} together.")


def _news(cell: Declared, outcome: Outcome) -> None:
    """Say at once that a cell is not as declared."""
    found = next(iter(outcome.unaccounted(cell.caught_by)), None)
    if found is None:
        _say(f"{cell.title}: {outcome.problem}")
    else:
        seen = found.summary.removesuffix(".")
        _say(f"{cell.title}: {seen}; replay: python -m harness replay {found.token}")


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[Tally], None]]:
    """Show on stderr how far a campaign is: a bar on a terminal, a line now and then elsewhere."""
    began = last = time.monotonic()
    if not sys.stderr.isatty():

        def line(tally: Tally) -> None:
            nonlocal last
            if time.monotonic() - last >= LINE_SECONDS:
                last = time.monotonic()
                _say(figures(tally, last - began))

        yield line
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task("", total=None)

        def draw(tally: Tally) -> None:
            text = figures(tally, time.monotonic() - began).partition("; ")[2]
            bar.update(task, total=tally.shards, completed=tally.done, description=text)

        yield draw


def figures(tally: Tally, seconds: float) -> str:
    """Return how far a campaign is, in one line."""
    pace = tally.schedules / seconds if seconds else 0.0
    crashed = f", {tally.crashed:,} shards ended their process" if tally.crashed else ""
    return (
        f"{tally.done:,} of {tally.shards:,} shards; {tally.schedules:,} schedules "
        f"({pace:,.0f}/s), {tally.violating:,} violating, "
        f"{len(tally.wrong):,} cells not as declared{crashed}"
    )


def _say(message: str) -> None:
    print(f"faultloom: {' '.join(message.split())}", file=sys.stderr, flush=True)


# --- results --------------------------------------------------------------------------------------


def results(options: argparse.Namespace, print_table: PrintTable) -> int:
    """Show what campaigns have found; return the exit code.

    Raises:
        HarnessError: a file cannot be read or written, or they are not of one campaign.
    """
    from harness.report.files import check_target, write_target

    from .results import TITLES, Filter, JUnit, Results, Total, as_json, table_row

    chosen = Filter(options.scenario, options.class_name, options.verdict)
    if options.junit is not None:
        _check_apart("junit", options.junit, options.files)
        check_target("junit", options.junit)
    with Results([Path(file) for file in options.files]) as found:
        total, suite = Total(), JUnit()
        rows: list[list[str]] = []
        data: list[dict[str, Any]] = []
        wrong: list[str] = []
        problems = False
        # One at a time, as above.
        for cell in found.merged(chosen):
            total.add(cell)
            rows.append(table_row(cell))
            if options.json:
                data.append(as_json(cell))
            if options.junit is not None:
                suite.add(cell)
            problems = problems or could_not_be_run(cell)
            if not cell.is_as_declared:
                wrong.append(cell.explain())
                _tell_github(cell)
        if not rows:
            raise HarnessError(
                "no cell is like that. Leave out --scenario, --class or --verdict to see all."
            )
        if options.merge is not None:
            shards = found.write(Path(options.merge))
            _say(f"{shards:,} shards are written into {options.merge}.")
        if options.junit is not None:
            write_target("junit", options.junit, suite.text())
        if options.json:
            print(json.dumps(data, indent=2, ensure_ascii=False))
        else:
            print_table(TITLES, rows)
            for text in wrong:
                print(f"\n{text}")
            print()
            _print_sum(found, total)
    if problems:
        return 2
    return 1 if wrong else 0


def _check_apart(option: str, file: str, files: Sequence[str]) -> None:
    """Refuse to write a report over what it is made of."""
    if Path(file).resolve() in {Path(each).resolve() for each in files}:
        raise misuse(
            option, file, "is a campaign that is shown: it would be lost.", "Name another file."
        )
