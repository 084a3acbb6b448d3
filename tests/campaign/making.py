"""Plans, outcomes and files of campaigns: made up, or of small ones that were run."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.campaign.ledger import Ledger, Plan
from harness.campaign.merge import Declared
from harness.campaign.outcomes import Found, Outcome, run_unit, versions
from harness.campaign.results import Results
from harness.campaign.units import Cut, Unit
from harness.campaign.workers import plain_settings, settings_of
from harness.explore import Settings
from harness.scenario import load, scenarios_in

ROOT = Path(__file__).parents[2]
COUNTING = "tests/campaign/counting.py"
DEADLY = "tests/campaign/deadly.py"

CELLS = (
    Declared("storms.py::cold_key", "SingleFlight"),
    Declared("storms.py::cold_key", "CheckThenAct", ("MaxInFlight",), "R1"),
    Declared("storms.py::full", "", component="pool"),
)


def plan(schedules: int = 1_000, **changed: Any) -> Plan:
    """Return a plan of three cells; with a thousand schedules each has five shards."""
    made = Plan(plain_settings(Settings(schedules=schedules)), versions="cpython", cells=CELLS)
    return replace(made, **changed)


def units(made: Plan) -> list[Unit]:
    """Return all shards of a plan."""
    cut = Cut.of(settings_of(made.settings))
    return [
        unit for cell in made.cells for unit in cut.units(cell.scenario, cell.class_name, cell.case)
    ]


def outcome(unit: Unit, **changed: Any) -> Outcome:
    """Return what a shard comes to: the variant is caught, the others hold."""
    made = Outcome(
        unit,
        "holds",
        schedules=unit.schedules,
        traces={"surw": {7: 3, 100 + unit.index: 1}},
        steps=10,
        virtual_ns=unit.index,
        micros=1_000,
        fingerprint="abc",
        versions="cpython",
    )
    if unit.class_name == "CheckThenAct":
        failure = Found("MaxInFlight", "2 in flight", "Violation: 2 in flight", "t1:abc", 3)
        made = replace(
            made,
            verdict="MaxInFlight",
            schedules=3,
            violating={"MaxInFlight": 1},
            failures=(failure,),
        )
    return replace(made, **changed)


def written(path: Path, made: Plan, outcomes: list[Outcome]) -> Path:
    """Write a file with a plan and outcomes."""
    with Ledger(path) as ledger:
        ledger.begin(made)
        ledger.add(outcomes)
    return path


def kept(*paths: Path) -> list[Outcome]:
    """Return what files hold, but for the time it took, cell by cell."""
    with Results(paths) as results:
        return [replace(each, micros=0) for cell in results.merged() for each in cell.outcomes]


def made_here(*paths: Path) -> list[Outcome]:
    """Return what shards of files come to when this process runs them, one after the other."""
    with Results(paths) as results:
        settings = settings_of(results.plans[0].settings)
        return [
            replace(
                Outcome.from_json(json.loads(json.dumps(run_unit(unit, settings).to_json()))),
                micros=0,
            )
            for cell in results.merged()
            for unit in cell.units
        ]


def done_in(path: Path) -> int:
    """Return how many shards a file holds, however it is being written."""
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
        try:
            return int(connection.execute("SELECT count(*) FROM outcomes").fetchone()[0])
        finally:
            connection.close()
    except sqlite3.Error:
        return -1


def plan_of(file: str, schedules: int, *names: str) -> Plan:
    """Return a plan of some scenarios of a file."""
    cells = [
        Declared.of(each, column)
        for each in scenarios_in(load(Path(file)))
        if each.name in names
        for column in each.columns()
    ]
    settings = plain_settings(Settings(schedules=schedules))
    return Plan(settings, versions=versions(), cells=tuple(cells))
