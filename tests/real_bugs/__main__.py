"""Finds each real bug in the old release, and nothing in the new one: `make real-bugs`.

    python -m tests.real_bugs [--verbose] [CASE …]

Each case and side has an environment of its own under `.harness/real_bugs`, kept for next time: the
pinned release and what this project needs to run. Prints a table, and every verdict that is not as
declared; ends with 1 if there is one. It does not know how a scenario is searched.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.interpreters import environment, finding

from .cases import CASES, SCHEDULES, Case

ENVIRONMENTS = environment.ROOT / ".harness" / "real_bugs"
SIDES = ("buggy", "fixed")
#: No side takes a tenth of it; a search that hangs must not hang the table.
SECONDS_MAX = 900

Outcome = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one case.

    Args:
        case: the case.
        buggy: what each seed found in the old release.
        fixed: the same for the new release.
        problems: what is not as declared, one line each.
    """

    case: Case
    buggy: list[Outcome]
    fixed: list[Outcome]
    problems: list[str]

    @property
    def cells(self) -> list[str]:
        """What the table shows."""
        found = [each["first"] for each in self.buggy if each["first"]]
        first = f"{median(found):g}" if found else "-"
        checks = ", ".join(sorted({each["verdict"] for each in self.buggy}))
        (fixed,) = self.fixed or [{"verdict": "-", "schedules": 0, "exhausted": 0, "seconds": 0.0}]
        traces = f" ({fixed['exhausted']} traces, all)" if fixed["exhausted"] else ""
        return [
            self.case.name,
            checks or "-",
            f"{len(found)}/{len(self.buggy)}",
            first,
            fixed["verdict"],
            f"{fixed['schedules']:,}{traces}",
            f"{fixed['seconds']:.1f}",
            "no" if self.problems else "yes",
        ]


HEADINGS = (
    "case", "found as", "seeds", "first at", "new release", "schedules", "seconds", "as declared"
)  # fmt: skip


def interpreters() -> dict[tuple[int, int], str]:
    """Return a path for each supported minor version that this machine has."""
    found = filter(None, map(finding.ask, finding.candidates(os.environ)))
    return {each.minor: each.executable for each in sorted(found, key=lambda each: each.version)}


def requirements() -> list[str]:
    """Return what this project needs to run."""
    project = tomllib.loads((environment.ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return list(project["dependencies"])


def run_case(case: Case, pythons: dict[tuple[int, int], str]) -> Row:
    """Make both environments, search both sides, compare with what is declared."""
    outcomes: dict[str, list[Outcome]] = {}
    problems: list[str] = []
    for name in SIDES:
        side = case.side(name)
        version = ".".join(map(str, side.python))
        if side.python not in pythons:
            problems.append(f"{name}: there is no Python {version} on this machine")
            continue
        folder = ENVIRONMENTS / f"{case.name}-{name}"
        wanted = [*requirements(), *side.requirements]
        try:
            python = environment.ensure(folder, pythons[side.python], wanted)
            outcomes[name] = run_side(python, case.name, name)
        except (environment.EnvironmentFailed, subprocess.TimeoutExpired) as failure:
            problems.append(f"{name}: {failure}")
    row = Row(case, outcomes.get("buggy", []), outcomes.get("fixed", []), problems)
    problems.extend(judged(row))
    return row


def run_side(python: Path, case: str, side: str) -> list[Outcome]:
    """Search one side in its environment.

    Raises:
        EnvironmentFailed: the search did not come to its end.
    """
    outcome = subprocess.run(
        [str(python), "-m", "tests.real_bugs.side", case, side],
        cwd=environment.ROOT,
        env=environment.without_outer_environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    if outcome.returncode:
        raise environment.EnvironmentFailed(outcome.stdout[-2000:] + outcome.stderr[-4000:])
    found: list[Outcome] = json.loads(outcome.stdout.splitlines()[-1])
    return found


def judged(row: Row) -> list[str]:
    """Return what is not as declared."""
    case = row.case
    problems = []
    for seed, each in enumerate(row.buggy):
        if each["verdict"] != case.check:
            problems.append(f"buggy, seed {seed}: {case.check} expected:\n{_told(each)}")
        elif missing := [text for text in case.says if text not in each["text"]]:
            problems.append(f"buggy, seed {seed}: {missing} not in the verdict:\n{_told(each)}")
    for each in row.fixed:
        if each["verdict"] != "holds":
            problems.append(f"fixed: must hold:\n{_told(each)}")
        elif each["schedules"] < SCHEDULES and not each["exhausted"]:
            problems.append(f"fixed: held, but on {each['schedules']} schedules only")
    return problems


def _told(outcome: Outcome) -> str:
    return f"{outcome['verdict']} after {outcome['schedules']} schedules\n{outcome['text']}"


def main(arguments: list[str]) -> int:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.real_bugs", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="all, if none is named")
    parser.add_argument("--verbose", action="store_true", help="show every verdict")
    options = parser.parse_args(arguments)
    known = {case.name: case for case in CASES}
    unknown = [name for name in options.cases if name not in known]
    if unknown:
        parser.error(f"{', '.join(unknown)}: no such case. There are {', '.join(known)}.")
    chosen = [known[name] for name in options.cases] or list(CASES)
    pythons = interpreters()
    with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        rows = list(pool.map(lambda case: run_case(case, pythons), chosen))
    show([HEADINGS, *(row.cells for row in rows)])
    for row in rows:
        if options.verbose and row.buggy:
            print(f"\n{row.case.name}\n{row.buggy[0]['text']}")
        for problem in row.problems:
            print(f"\n{row.case.name}, {problem}")
    return int(any(row.problems for row in rows))


def show(lines: list[Any]) -> None:
    """Print columns, each as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print(
            "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
