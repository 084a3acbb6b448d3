"""Measures the museum: which strategy finds what, after how many schedules.

    python -m tests.museum [--full] [--jobs 2] [--only NAME …] [--show] [--keep]

Without `--full`: the default strategy from five seeds, the fixed twins, and how far failures are
shrunk. What was measured is kept in `.harness/` as it comes; whatever stops this, it goes on from
there. The whole table takes hours: it is kept in `tests/museum/measured.jsonl`, so that it goes on
in another clone, too, and `tests/museum/results.json` is made of it. What other sources came to
does not count. It ends with 0 only if all goals of the table are reached.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import count
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.museum import goals, results
from tests.museum.running import Measurement, measured

ROOT = Path(__file__).resolve().parents[2]
KEPT = Path(".harness") / "museum.jsonl"
KEPT_OF_ALL = ROOT / "tests" / "museum" / "measured.jsonl"
RESULTS = ROOT / "tests" / "museum" / "results.json"

#: What decides an outcome.
SOURCES = (
    *("harness/core", "harness/search", "harness/world", "harness/explore.py", "harness/trial.py"),
    "tests/museum/programs",
)

Plan = Callable[[results.Done], Iterator[Measurement]]


def main() -> int:
    """Measure what is missing, print, and say whether all that is to be reached is."""
    options = _options()
    sources = results.digest_of(ROOT, *SOURCES)
    key = "" if options.keep else f"{platform.python_version()} {sources}"
    kept = results.Kept(KEPT_OF_ALL if options.full else KEPT, key)
    plan = results.full_plan if options.full else results.quick_plan
    stopped = False
    if not options.show:
        try:
            _measure(kept, plan, options)
        except KeyboardInterrupt:
            stopped = True
        finally:
            kept.close()
    console = Console(width=options.width)
    _show(console, kept.done, full=options.full)
    judged = list((goals.full_goals if options.full else goals.quick_goals)(kept.done))
    _show_goals(console, judged)
    if options.full:
        left = sum(1 for _ in plan(kept.done))
        _write(kept.done, sources, left, judged)
        console.print(f"{RESULTS.relative_to(ROOT)}: {f'{left} to be measured' if left else 'all'}")
    if stopped:
        console.print("stopped: call it again, and it goes on from here")
        return 130
    return 0 if all(goal.state == "reached" for goal in judged) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.museum", description=__doc__)
    parser.add_argument("--full", action="store_true", help="every strategy, 20 seeds, traces")
    parser.add_argument("--jobs", type=int, default=2, help="processes (2)")
    parser.add_argument("--only", nargs="*", metavar="NAME", help="these programs")
    parser.add_argument("--strategies", nargs="*", metavar="NAME", help="these columns")
    parser.add_argument("--show", action="store_true", help="measure nothing, show what is kept")
    parser.add_argument(
        "--keep", action="store_true", help="count what was measured with other sources too"
    )
    parser.add_argument("--width", type=int, default=190, help="columns of the table (190)")
    return parser.parse_args()


def _measure(kept: results.Kept, plan: Plan, options: argparse.Namespace) -> None:
    def is_wanted(each: Measurement) -> bool:
        names, strategies = options.only, options.strategies
        return (not names or each.name in names) and (not strategies or each.strategy in strategies)

    made = count(1)
    # What is found decides what more is to be measured.
    while todo := [each for each in plan(kept.done) if is_wanted(each)]:
        for outcome in measured(todo, options.jobs):
            kept.add(outcome)
            each = outcome.measurement
            print(
                f"{next(made)}/{len(todo)} {each.name}{' twin' if each.twin else ''}",
                f"{each.strategy} seed {each.seed}: {outcome.verdict}",
                f"after {outcome.schedules:,}, {outcome.seconds:.1f} s",
                file=sys.stderr,
            )
        made = count(1)


def _show(console: Console, done: results.Done, *, full: bool) -> None:
    strategies = results.STRATEGIES if full else (results.DEFAULT,)
    table = Table("row", "program", title="schedules to the first bug: median over seeds")
    for strategy in strategies:
        table.add_column(strategy, justify="right")
    for heading in ("traces", "published", "preemptions left", "replays"):
        table.add_column(heading, justify="right")
    table.add_column("twin")
    for row in results.rows(done, strategies, full=full):
        table.add_row(*row)
    console.print(table)


def _show_goals(console: Console, judged: list[goals.Goal]) -> None:
    for goal in judged:
        console.print(f"{goal.state:16}  {goal.goal}: {goal.figure}")
        for row in goal.missed:
            console.print(f"{'':20}{row}")


def _write(done: results.Done, sources: str, left: int, judged: list[goals.Goal]) -> None:
    document = {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "sources": sources,
        "to_be_measured": left,
        "seeds": results.SEEDS,
        "cap": results.CAP,
        "goals": [asdict(goal) for goal in judged],
        "rows": results.document(done),
    }
    text = json.dumps(document, indent=1, ensure_ascii=False)
    RESULTS.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
