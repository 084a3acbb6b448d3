"""The command line: `list`, `run`, `matrix`, `replay`, `new`, `stress` and `results`.

    0  everything is as the scenarios declare it (replay: the run holds)
    1  something is not (replay: the violation came back)
    2  misuse, or something could not be run: one line on stderr says what, and the way out
  130  interrupted: what was found so far is shown all the same

With `--json` stdout carries JSON and nothing else, equal in two runs but for `seconds`. This module
selects, prints and
counts; what a cell is worth is not its business.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TextIO

from harness.errors import HarnessError, InternalError, evidence_lines, misuse

if TYPE_CHECKING:
    from harness.campaign.cells import Ran
    from harness.explore import Exploration, Progress, Settings
    from harness.report.files import Reports
    from harness.report.regression import Regression
    from harness.scenario import Cell, Column, Scenario
    from harness.search.worth import Worth

AS_DECLARED: Final = 0
NOT_AS_DECLARED: Final = 1
MISUSE: Final = 2
INTERRUPTED: Final = 130
#: A matrix of more cells than these is run in several processes.
FEW: Final = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code.

    Args:
        arguments: what follows the command's name; those of the process by default.
    """
    _write_utf8()
    try:
        try:
            return _done(arguments)
        finally:
            # Else it is written at exit, where nobody can catch what goes wrong.
            print(end="", flush=True)
    except BrokenPipeError:
        # Whoever read has seen enough. What is left goes nowhere, also what is written at exit.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        return NOT_AS_DECLARED


def _done(arguments: Sequence[str] | None) -> int:
    """Run one command, and tell what goes wrong; return the exit code."""
    try:
        options = _parser().parse_args(arguments)
        _check_new(getattr(options, "emit_test", None))
        _reports(options).check()
        if options.command == "replay":
            return _replay(options)
        if options.command == "new":
            return _new(options)
        if options.command == "stress":
            return _stress(options)
        if options.command == "results":
            from harness.campaign.commands import results

            return results(options, _print_table)
        settings = _settings(options)
        selected, unread = _selected(options)
        code = MISUSE
        if selected and options.command == "list":
            code = _list(selected, options)
        elif selected:
            code = _run(selected, settings, options)
        for line in unread:
            _complain(line)
        return MISUSE if unread and code != INTERRUPTED else code
    except (HarnessError, InternalError) as exc:
        return _complain(str(exc))
    except ModuleNotFoundError as exc:
        # What code of the user's lacks is told where that is imported.
        if (exc.name or "harness").partition(".")[0] == "harness":
            raise
        return _complain(
            f"{exc.msg}: {sys.executable} has not what faultloom needs. Write pip install "
            "faultloom, or in a clone .venv/bin/python -m harness, once make setup has made it."
        )
    except KeyboardInterrupt:
        _complain("interrupted")
        return INTERRUPTED


# --- arguments ------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise HarnessError(f"{message}. See {self.prog} --help.")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="faultloom", description="Deterministic storms over threads and asyncio.")
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, does in (
        ("list", "say which scenarios there are"),
        ("run", "run scenarios against their subjects and broken variants, and show the verdicts"),
        ("matrix", "the same, as a table: the kill matrix"),
    ):
        command = commands.add_parser(name, help=does, description=does)
        command.add_argument(
            "targets",
            nargs="*",
            metavar="PATH|NAME",
            help="files, folders, names, or FILE::NAME; by default `scenarios`, or else all here",
        )
        command.add_argument("--schedules", type=int, default=100, help="schedules a cell (100)")
        command.add_argument("--seed", type=int, default=0, help="base seed of the search (0)")
        command.add_argument(
            "--seeds",
            metavar="A:B",
            help="one random walk for each seed from A to B-1; --json lists those that fail",
        )
        command.add_argument(
            "--strategy",
            default="portfolio",
            help="who searches: portfolio (default), exhaustive, surw, pct:3 and others",
        )
        command.add_argument("--granularity", default="shared", help="shared or sync")
        command.add_argument("--order", default="tasks", help="asyncio order: fifo, tasks or any")
        command.add_argument("--timeouts", default="idle", help="time-out mode: idle, race or cost")
        command.add_argument("--class", dest="class_name", metavar="NAME", help="only this class")
        command.add_argument(
            "--check-determinism", action="store_true", help="run every schedule twice and compare"
        )
        command.add_argument("--json", action="store_true", help="print JSON and nothing else")
        if name != "list":
            default = "one a processor, for more than a few" if name == "matrix" else "1"
            command.add_argument(
                "--jobs", type=int, metavar="N", help=f"run cells in N processes ({default})"
            )
        command.add_argument(
            "--corpus",
            action=argparse.BooleanOptionalAction,
            help="run failures of earlier runs first, and keep new ones (but not if CI is set)",
        )
        if name != "list":
            _add_reports(command)
        if name == "run":
            _add_emit_test(command)
    command = commands.add_parser(
        "replay", help="run one schedule again", description="run one schedule again"
    )
    command.add_argument("token", metavar="TOKEN", help="from the last row of a verdict: t1:…")
    _add_reports(command)
    _add_emit_test(command)
    command.add_argument(
        "--stop-at",
        type=int,
        metavar="STEP",
        help="stop in the debugger at this step, or at the next scheduling point",
    )
    does = "write a component to begin with: a reference, broken twins, storms and a test"
    command = commands.add_parser("new", help=does, description=does)
    command.add_argument("name", metavar="NAME", help="the folder to make, such as rate_limiter")
    command.add_argument("--asyncio", action="store_true", help="for asyncio, not for threads")
    from harness.campaign.commands import add_commands

    add_commands(commands)
    return parser


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"faultloom {version('faultloom')}"
    except PackageNotFoundError:
        return "faultloom, from a folder that is not installed"


def _add_reports(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--html", metavar="FILE", help="write summary, kill matrix and timelines of failures"
    )
    command.add_argument(
        "--trace", metavar="FILE", help="write failures as trace events, for ui.perfetto.dev"
    )


def _add_emit_test(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--emit-test",
        nargs="?",
        const="-",
        metavar="FILE",
        help="write a failure down as a test with its schedule, to FILE or else to stdout",
    )


def _settings(options: argparse.Namespace) -> Settings:
    from harness.explore import Settings

    return Settings(
        schedules=options.schedules,
        seed=options.seed,
        seeds=_seeds(options.seeds),
        strategy=options.strategy,
        granularity=options.granularity,
        order=options.order,
        timeouts=options.timeouts,
        check_determinism=options.check_determinism,
    )


def _seeds(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    first, separator, end = text.partition(":")
    try:
        if separator:
            return int(first), int(end)
    except ValueError:
        pass
    raise misuse(
        "seeds", text, "must be two integers A:B with 0 ≤ A < B ≤ 2**64.", "Write --seeds 0:1000."
    )


# --- selection ------------------------------------------------------------------------------------


def _selected(
    options: argparse.Namespace,
) -> tuple[list[tuple[Scenario, list[Column]]], list[str]]:
    """Return the scenarios that were asked for, each with the columns that were.

    And a line for each file that cannot be imported; without any there is at least one scenario.

    Raises:
        HarnessError: something that was asked for is not there.
    """
    from harness.scenario import NotImported

    unread: list[str] = []
    selected = []
    for each in {id(each): each for each in _found(options.targets, unread)}.values():
        try:
            selected.append((each, _columns(each, options.class_name)))
        except NotImported as exc:
            unread.append(str(exc))
    if options.class_name is not None:
        selected = [(each, columns) for each, columns in selected if columns]
        if not selected and not unread:
            way_out = "See python -m harness list --json."
            raise misuse(
                "class", options.class_name, "is a class of none of these scenarios.", way_out
            )
    return selected, list(dict.fromkeys(unread))


def _columns(each: Scenario, class_name: str | None) -> list[Column]:
    return [column for column in each.columns() if class_name in (None, column.name)]


def _found(targets: Sequence[str], unread: list[str]) -> Iterator[Scenario]:
    """Yield what targets name; what cannot be imported becomes a line of `unread`."""
    from harness.scenario import NotImported, default_folder

    for target in targets or [str(default_folder())]:
        try:
            yield from _at(target, unread)
        except NotImported as exc:
            unread.append(str(exc))


def _at(target: str, unread: list[str]) -> list[Scenario]:
    """Return what one target names; a folder without what cannot be imported.

    Raises:
        HarnessError: it names nothing.
    """
    from harness.scenario import NotImported, files_in, find, load, scenarios_in

    path = Path(target)
    if "::" in target:
        return [find(target)]
    if path.is_dir():
        found: list[Scenario] = []
        before = len(unread)
        for file in files_in(path):
            try:
                found += scenarios_in(load(file))
            except NotImported as exc:
                unread.append(str(exc))
        if not found and len(unread) == before:
            rule = "has no function under @scenario in a storms.py, storms_*.py or test_*.py."
            way_out = "Name the folder or file that has, or begin with python -m harness new NAME."
            raise misuse("path", target, rule, way_out)
        return found
    if path.is_file():
        _check_readable(path)
        found = scenarios_in(load(path))
        if not found:
            raise misuse(
                "path", target, "has no function under @scenario.", "Name a file that has."
            )
        return found
    if path.suffix == ".py" or len(path.parts) > 1 or path.exists():
        raise misuse(
            "path", target, "is no file or folder that can be read.", "Name one that is there."
        )
    return [find(target)]


def _check_readable(path: Path) -> None:
    if path.suffix != ".py":
        raise misuse("path", str(path), "is no Python file.", "Name a .py file or a folder.")
    try:
        with path.open("rb"):
            pass
    except OSError as exc:
        raise misuse(
            "path", str(path), f"cannot be read: {exc.strerror}.", "Name one that can."
        ) from None


# --- commands -------------------------------------------------------------------------------------


def _list(selected: Sequence[tuple[Scenario, list[Column]]], options: argparse.Namespace) -> int:
    if options.json:
        _print_json([_described(each, columns) for each, columns in selected])
        return AS_DECLARED
    rows = [
        [
            each.name,
            each.component,
            each.flavour,
            each.subject.__name__ if each.subject else "",
            str(sum(column.cls is not each.subject for column in columns)),
            each.doc,
        ]
        for each, columns in selected
    ]
    _print_table(["scenario", "component", "flavour", "subject", "variants", "claim"], rows)
    return AS_DECLARED


def _described(each: Scenario, columns: Sequence[Column]) -> dict[str, Any]:
    variants = [
        column for column in columns if column.cls is not None and column.cls is not each.subject
    ]
    return {
        "name": each.name,
        "path": each.shown_path,
        "component": each.component,
        "flavour": each.flavour,
        "subject": each.subject.__name__ if each.subject else None,
        "variants": [{"class": column.name, "row": column.row} for column in variants],
        "checks": each.promises,
    }


def _run(
    selected: Sequence[tuple[Scenario, list[Column]]],
    settings: Settings,
    options: argparse.Namespace,
) -> int:
    from harness.campaign.cells import ran, side_by_side
    from harness.corpus import Corpus, is_wanted
    from harness.explore import shared_ground

    warnings: list[str] = []
    is_kept = is_wanted(options.corpus)
    reports = _reports(options)
    cells = [(each, column) for each, columns in selected for column in columns]
    total = len(cells)
    jobs = _jobs(options, total)
    runs: list[Ran] = []
    interrupted = False
    # Where a progress bar is drawn, nothing is written beside it.
    at_once = options.command == "run" and not options.json and not sys.stderr.isatty()

    def each_cell(start: Callable[[str], object], progress: Progress) -> Iterator[Ran]:
        told = reports.are_wanted
        if jobs > 1:
            root = Path.cwd() if is_kept else None
            for done in side_by_side(cells, settings, jobs, corpus=root, told=told):
                start(f"{done.cell.scenario.name} {done.cell.column.name}".rstrip())
                yield done
            return
        corpus = Corpus(Path.cwd(), warnings.append) if is_kept else None
        with shared_ground():
            for each, column in cells:
                start(f"{each.name} {column.name}".rstrip())
                yield ran(
                    each,
                    column,
                    settings,
                    progress=progress,
                    corpus=corpus,
                    shown=total == 1,
                    told=told,
                )

    with _progress(total, settings) as shows:
        try:
            for run in each_cell(*shows):
                runs.append(run)
                warnings.extend(run.warnings)
                _report(run.cell, reports)
                if at_once:
                    _print_run(run, alone=total == 1)
                if run.cell.exploration is not None and run.cell.exploration.interrupted:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            # What was found so far is shown all the same.
            interrupted = True
    if options.json:
        _print_json([_result(run) for run in runs])
    elif options.command == "matrix":
        _print_matrix(runs)
    else:
        for run in [] if at_once else runs:
            _print_run(run, alone=total == 1)
        _print_sum(runs)
    if getattr(options, "emit_test", None) is not None:
        _emit_test([run.cell for run in runs], options.emit_test, as_json=options.json)
    _write_reports(reports)
    for line in dict.fromkeys(warnings):
        _complain(line)
    problems = [run.cell for run in runs if run.cell.problem]
    for cell in problems:
        _complain(cell.explain())
    if interrupted:
        _complain(f"interrupted after {len(runs)} of {total} cells.")
        return INTERRUPTED
    if problems:
        return MISUSE
    return AS_DECLARED if all(run.cell.is_as_declared for run in runs) else NOT_AS_DECLARED


def _jobs(options: argparse.Namespace, cells: int) -> int:
    """Return in how many processes cells are run: a process takes a second to begin."""
    from harness.campaign.executors import processors

    jobs: int | None = options.jobs
    if jobs is None:
        return processors() if options.command == "matrix" and cells > FEW else 1
    if jobs < 1:
        raise misuse("jobs", jobs, "must be at least 1.", "Leave it out for the default.")
    return min(jobs, cells)


def _result(run: Ran) -> dict[str, Any]:
    cell = run.cell
    done = cell.exploration
    return {
        "scenario": cell.scenario.name,
        "component": cell.scenario.component,
        "class": cell.column.name or None,
        "expected": cell.column.expected,
        "verdict": cell.verdict,
        "schedules": done.schedules if done else 0,
        "violating": done.violating if done else 0,
        "token": cell.token,
        "steps": done.steps if done else 0,
        "virtual_seconds": done.virtual_seconds if done else 0.0,
        "seconds": round(run.seconds, 6),
        "exhausted": bool(done and done.exhausted),
        "traces": done.worth.distinct() if done else 0,
        "unseen": _unseen(done.worth) if done else {},
        **({"failing": _failing(done)} if done and done.settings.seeds else {}),
    }


def _failing(done: Exploration) -> list[dict[str, Any]]:
    """Return the seeds whose walks violate, each with a token that shows it again."""
    return [
        {"seed": each.seed, "check": each.check, "token": each.token}
        for each in done.failures
        if each.seed is not None
    ]


def _unseen(worth: Worth) -> dict[str, float]:
    """Return how likely the next run of each sampler shows a trace that none of its runs did."""
    return {sampler: round(worth.unseen(sampler), 6) for sampler in worth.samplers()}


def _replay(options: argparse.Namespace) -> int:
    from harness.campaign.quiet import last_run_only, quiet
    from harness.report import terminal
    from harness.scenario import replay, replayed_regression, replayed_result

    if options.stop_at is not None:
        done = _replay_with_a_stop(options.token, options.stop_at)
    else:
        with last_run_only() as forget:
            done = replay(options.token, begins=forget)
    if done.differs:
        _print_differences(done, options.token)
    reports = _reports(options)
    if reports.are_wanted:
        with quiet():
            reports.add(replayed_result(options.token, done))
        _write_reports(reports)
    if done.violation is not None:
        terminal.write(str(done.violation), sys.stdout)
        if options.emit_test is not None:
            _write_test(replayed_regression(options.token, done), options.emit_test)
        return NOT_AS_DECLARED
    if done.verdict == "inconclusive":
        raise HarnessError(
            f"{done.name} is inconclusive: {done.why_inconclusive}. Nothing is known of this run."
        )
    subject = f"{done.name}, {done.class_name}" if done.class_name else done.name
    figures = f"{done.steps} steps, {done.virtual_seconds:g} s of virtual time"
    print(f"{subject}: the run holds ({figures}).")
    return AS_DECLARED


def _new(options: argparse.Namespace) -> int:
    from harness.authoring.new import new

    for path in new(options.name, asynchronous=options.asyncio):
        print(path.as_posix())
    folder = Path(options.name).as_posix()
    print(f"\nIt passes as it is:\n  python -m harness matrix {folder}\n  pytest {folder}")
    return AS_DECLARED


def _replay_with_a_stop(token: str, step: int) -> Exploration:
    """Replay a token and stop in the debugger, which talks on stdin and stdout."""
    from harness.campaign.quiet import quiet
    from harness.scenario import replay
    from harness.world.debugger import Look

    if step < 1:
        raise misuse("stop-at", step, "must be at least 1.", "Verdicts say at which step they are.")

    def announce(at: int, who: str) -> None:
        if at != step:
            nowhere, this = ("at or after", "its last") if at < step else ("at", "the next")
            print(f"The run comes to no scheduling point {nowhere} step {step}: this is {this}.")
        print(f"step {at}, {who}, before this:")

    with quiet() as heard:
        return replay(token, look=Look(step, announce, heard))


def _print_differences(done: Exploration, text: str) -> None:
    """Say that a token is of something else, and what can be had instead."""
    from harness.core.token import Token
    from harness.report.text import search_command

    for each in done.differs:
        print(f"This token was made elsewhere or earlier: {each}.")
    print("The run is shown as it is now. For a fresh search from the same seed:")
    print(f"  {search_command(Token.decode(text))}")


# --- reports --------------------------------------------------------------------------------------


def _reports(options: argparse.Namespace) -> Reports:
    from harness.report.files import Reports

    return Reports(getattr(options, "html", None), getattr(options, "trace", None))


def _report(cell: Cell, reports: Reports) -> None:
    """Take a cell into the reports, and tell GitHub of it."""
    from harness.campaign.quiet import quiet
    from harness.report import github
    from harness.scenario import result_of

    if not reports.are_wanted and (cell.is_as_declared or not github.is_wanted()):
        return
    has_room = reports.has_room(as_declared=cell.is_as_declared)
    try:
        with quiet():
            result = result_of(cell, has_story=has_room)
    except HarnessError as exc:
        _complain(f"the failure of {cell.scenario.name} could not be recorded: {exc}")
        result = result_of(cell)
    reports.add(result)
    if github.is_wanted():
        for line in github.annotations_of([result]):
            # Not stdout, which may be JSON; GitHub reads both.
            print(line, file=sys.stderr)


def _write_reports(reports: Reports) -> None:
    for line in reports.write():
        _complain(line)


def _stress(options: argparse.Namespace) -> int:
    from harness.campaign.commands import stress

    def select(
        targets: Sequence[str], class_name: str | None
    ) -> list[tuple[Scenario, list[Column]]]:
        options.targets, options.class_name = targets, class_name
        selected, unread = _selected(options)
        if unread:
            more = f" (and {len(unread) - 1} more)" if len(unread) > 1 else ""
            raise HarnessError(
                f"Nothing is begun, since a campaign is planned as a whole: {unread[0]}{more}"
            )
        return selected

    return stress(options, select)


# --- tests of failures ----------------------------------------------------------------------------


def _check_new(file: str | None) -> None:
    """Refuse to write over a file, or where nothing can be written, before anything runs."""
    if file is None or file == "-":
        return
    from harness.report.files import check_target

    path = Path(file)
    if not path.parent.is_dir():
        raise misuse("emit-test", file, "lies in no folder.", "Make the folder first.")
    if path in path.parent.iterdir():
        raise misuse("emit-test", file, "is there already.", "Write --emit-test=NEW_FILE.")
    check_target("emit-test", file)


def _emit_test(cells: Sequence[Cell], file: str, *, as_json: bool) -> None:
    """Write the first failure down: one that is not as declared before one that is."""
    from harness.scenario import regression

    failing = [cell for cell in cells if cell.failure is not None]
    failing.sort(key=lambda cell: cell.is_as_declared)
    if not failing:
        _complain("nothing has failed, so there is no test to write.")
        return
    cell = failing[0]
    assert cell.failure is not None, "as selected"
    if len(failing) > 1:
        others = len(failing) - 1
        _complain(f"a file holds one failure; that of {others} more cells is left out.")
    written = regression(cell.scenario, cell.column, cell.failure)
    _write_test(written, file, sys.stderr if as_json else sys.stdout)


def _write_test(written: Regression, file: str, stream: TextIO | None = None) -> None:
    from harness.scenario import shown

    if file == "-":
        folder = written.scenario.file.parent
        print(f"\n# {shown(folder / written.file_name)}", file=stream)
        print(written.text(folder), end="", file=stream)
        return
    path = Path(file)
    text = written.text(path.parent)
    # Never over a file that has come to be there meanwhile.
    try:
        with path.open("x", encoding="utf-8") as out:
            out.write(text)
    except OSError as exc:
        raise misuse(
            "emit-test", file, f"cannot be written: {exc.strerror}.", "Name another file."
        ) from None
    print(f"\nThe failure is written down as a test: {path}", file=stream)


# --- output ---------------------------------------------------------------------------------------


def _print_run(run: Ran, *, alone: bool) -> None:
    from harness.report import terminal
    from harness.report.text import worth_in_short, worth_rows

    cell = run.cell
    mark = "ok  " if cell.is_as_declared else "FAIL"
    name = f"{cell.scenario.name}{f'[{cell.column.name}]' if cell.column.name else ''}"
    done = cell.exploration
    counts = f"{done.violating} of {done.schedules} schedules" if done else "not run"
    expected = cell.column.expected
    wanted = expected if isinstance(expected, str) else " or ".join(expected)
    declared = "" if cell.is_as_declared else f", declared {wanted}"
    if done is not None and cell.verdict == done.verdict and not done.failures:
        is_short = cell.is_as_declared and done.verdict == "holds" and not alone
        short = worth_in_short(done.worth, done.exhausted) if is_short else ""
        lines = [f"{mark} {name}: {done.summary}{declared} in {run.seconds:.2f} s{short}."]
    else:
        lines = [f"{mark} {name}: {cell.verdict}{declared} ({counts}, {run.seconds:.2f} s)"]
    if not cell.is_as_declared and not cell.problem:
        lines.append(_indented(cell.explain()))
    elif done is not None and done.verdict == "holds" and alone:
        rows = worth_rows(done.worth, done.exhausted, done.settings.exhausts)
        lines.extend(_indented(line) for line in evidence_lines(rows))
    elif cell.violation is not None:
        replay = f"     replay: python -m harness replay {cell.token}"
        lines.append(_indented(str(cell.violation)) if alone else replay)
    terminal.write("\n".join(lines), sys.stdout)


def _print_matrix(runs: Sequence[Ran]) -> None:
    from harness.report import terminal

    rows = []
    for run in runs:
        cell = run.cell
        done = cell.exploration
        expected = cell.column.expected
        rows.append(
            [
                cell.scenario.component,
                cell.scenario.name,
                cell.column.name,
                cell.column.row or "",
                expected if isinstance(expected, str) else " or ".join(expected),
                cell.verdict,
                f"{done.violating}/{done.schedules}" if done else "",
                "" if cell.is_as_declared else "NOT AS DECLARED",
            ]
        )
    titles = ["component", "scenario", "class", "row", "expected", "verdict", "violating", ""]
    _print_table(titles, rows)
    for run in runs:
        if not run.cell.is_as_declared and not run.cell.problem:
            terminal.write(f"\n{run.cell.explain()}", sys.stdout)
    _print_sum(runs)


def _print_sum(runs: Sequence[Ran]) -> None:
    good = sum(run.cell.is_as_declared for run in runs)
    schedules = sum(run.cell.exploration.schedules for run in runs if run.cell.exploration)
    virtual = sum(run.cell.exploration.virtual_seconds for run in runs if run.cell.exploration)
    seconds = sum(run.seconds for run in runs)
    print(
        f"\n{good} of {len(runs)} cells as declared; {schedules} schedules, "
        f"{virtual:g} s of virtual time in {seconds:.2f} s."
    )


def _print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: a drawn one on a terminal, plain columns elsewhere."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(*titles)
        for row in rows:
            style = "red" if "NOT AS DECLARED" in row else ""
            table.add_row(*(Text(value, style=style) for value in row))
        Console().print(table)
        return
    widths = [max(len(row[index]) for row in [titles, *rows]) for index in range(len(titles))]
    for row in [titles, *rows]:
        print(
            "  ".join(
                f"{value:<{width}}" for value, width in zip(row, widths, strict=True)
            ).rstrip()
        )


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def _indented(text: str) -> str:
    return "\n".join(f"     {line}" for line in text.splitlines())


def _complain(message: str) -> int:
    print(f"faultloom: {' '.join(message.split())}", file=sys.stderr)
    return MISUSE


def _write_utf8() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def _progress(cells: int, settings: Settings) -> Iterator[tuple[Any, Progress]]:
    """Show a progress bar on stderr if that is a terminal.

    Yields what is told of each cell, and of each run.
    """
    if not sys.stderr.isatty():
        yield (lambda _name: None), (lambda _runs, _violations: None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    per_cell = settings.seeds[1] - settings.seeds[0] if settings.seeds else settings.schedules
    if settings.strategy == "plain":
        per_cell = 1
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    started = 0
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task("", total=cells * per_cell)

        def start(name: str) -> None:
            nonlocal started
            bar.update(task, description=name, completed=started * per_cell)
            started += 1

        def progress(runs: int, _violations: int) -> None:
            bar.update(task, completed=(started - 1) * per_cell + min(runs, per_cell))

        yield start, progress
