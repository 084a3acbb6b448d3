"""Runs one side of one case in the environment that has its release; prints what came of it.

    python -m tests.real_bugs.side CASE buggy|fixed

It judges nothing: it prints one line of JSON, and whoever started it has the declaration.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from harness import HarnessError
from harness.explore import Settings
from harness.scenario import Scenario, load, run_cell, scenarios_in

from .cases import SCHEDULES

#: The old release is searched from each of these seeds, the new one from the first.
SEEDS = range(5)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one exploration came to.

    Args:
        verdict: `holds`, the name of a check, `inconclusive`, or the error that ended it.
        schedules: how many were run.
        first: the number of the first that violates, 0 if none does.
        exhausted: how many traces there are, if all were run.
        seconds: how long it took.
        text: the verdict as its reader sees it.
    """

    verdict: str
    schedules: int
    first: int
    exhausted: int
    seconds: float
    text: str


def scenario_of(case: str) -> Scenario:
    """Return the one scenario of a case."""
    (found,) = scenarios_in(load(Path(__file__).parent / "scenarios" / f"{case}.py"))
    return found


def explored(this: Scenario, seed: int, schedules: int = SCHEDULES) -> Outcome:
    """Search a scenario from one seed, under the default strategy and with all the defaults."""
    started = time.perf_counter()
    try:
        cell = run_cell(this, this.columns()[0], Settings(seed=seed, schedules=schedules))
    except HarnessError as exc:
        return Outcome(type(exc).__name__, 0, 0, 0, time.perf_counter() - started, str(exc))
    found = cell.exploration
    assert found is not None, "what cannot be run raises"
    return Outcome(
        found.verdict,
        found.schedules,
        found.failures[0].schedule if found.failures else 0,
        found.exhausted,
        time.perf_counter() - started,
        str(found.violation or found.why_inconclusive),
    )


def main(arguments: list[str]) -> int:
    """Explore one side and print its outcomes."""
    parser = argparse.ArgumentParser(prog="python -m tests.real_bugs.side", description=__doc__)
    parser.add_argument("case")
    parser.add_argument("side", choices=("buggy", "fixed"))
    options = parser.parse_args(arguments)
    this = scenario_of(options.case)
    seeds = SEEDS if options.side == "buggy" else SEEDS[:1]
    print(json.dumps([asdict(explored(this, seed)) for seed in seeds]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
