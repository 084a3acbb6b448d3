"""A shard comes to the same in every process, and says what it came to in plain data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.campaign.outcomes import Outcome, not_run, run_unit
from harness.campaign.units import Unit, units_of
from harness.explore import Settings, shared_ground
from harness.scenario import find

ROOT = Path(__file__).parents[2]
COUNTING = Path("tests/campaign/counting.py")
SETTINGS = Settings(schedules=600)


@pytest.fixture(autouse=True)
def _from_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Units name files from the folder that they are run in."""
    monkeypatch.chdir(ROOT)


@pytest.fixture(autouse=True, scope="module")
def _prepared_once() -> Iterator[None]:
    """Prepare once: that takes longer than the shards."""
    for name in ("counted", "called"):
        find(f"{ROOT / COUNTING}::{name}")
    with shared_ground():
        yield


def units(name: str, class_name: str = "", settings: Settings = SETTINGS) -> list[Unit]:
    """Return the shards of a cell."""
    this = find(f"{COUNTING}::{name}")
    return units_of(this, this.column(class_name), settings)


def timeless(outcome: Outcome) -> Outcome:
    """Return an outcome without what differs between two runs of it."""
    return replace(outcome, micros=0)


def test_a_shard_is_run_by_what_it_says() -> None:
    """Strategy, seed and schedules come from the unit, and the outcome counts what was met."""
    exhaustive, samplers, _ = (run_unit(each, SETTINGS) for each in units("counted", "Counter"))

    assert (exhaustive.verdict, exhaustive.exhausted, exhaustive.schedules) == ("holds", 6, 6)
    assert set(exhaustive.traces) == {"exhaustive"}
    assert samplers.schedules == 240
    assert set(samplers.traces) == {"plain", "surw", "urw", "pos", "pct:2", "pct:3"}
    assert set(samplers.worth.traces["surw"]) == set(exhaustive.met)
    assert samplers.pct.keys() == {2, 3}
    assert samplers.fingerprint == exhaustive.fingerprint != ""


def test_a_caught_shard_ends_at_its_third_violation() -> None:
    """Counted by check, each with a token that replays it."""
    for unit in units("counted", "Unlocked"):
        outcome = run_unit(unit, SETTINGS)

        assert (outcome.verdict, outcome.violating) == ("Failed", {"Failed": 3})
        assert [found.token[:3] for found in outcome.failures] == ["t1:"] * 3
        assert outcome.passes(("Failed",))
        assert not outcome.passes(())


def test_only_the_first_shard_walks_faults() -> None:
    """The walk strikes at each of three calls, and once nowhere; no other shard walks again."""
    first, second, _ = units("called")

    walked = run_unit(first, SETTINGS)
    searched = run_unit(replace(first, index=1), SETTINGS)

    assert walked.schedules - searched.schedules == 4
    assert run_unit(second, SETTINGS).schedules == second.schedules


def test_what_cannot_be_run_is_an_outcome() -> None:
    """One line says why: a scenario that is not there, or wants what only pytest has."""
    [unit] = units("refused", settings=Settings(schedules=1))

    outcomes = [
        run_unit(each, SETTINGS)
        for each in (
            unit,
            replace(unit, scenario="tests/campaign/nowhere.py::counted"),
            replace(unit, scenario=f"{COUNTING}::asks"),
        )
    ]

    starts = (
        "a subprocess is not simulated",
        "scenario='tests/campaign/nowhere.py::counted' is unknown: there is no such file.",
        "tests/campaign/counting.py::asks asks for the fixtures tmp_path",
    )
    for outcome, start in zip(outcomes, starts, strict=True):
        assert outcome.problem.startswith(start)
    assert not any(outcome.passes(()) for outcome in outcomes)
    assert {outcome.verdict for outcome in outcomes} == {"inconclusive"}


def test_an_outcome_survives_json() -> None:
    """All that is in it, whatever came of it."""
    made = [
        *(run_unit(each, SETTINGS) for each in units("counted", "Unlocked")),
        *(run_unit(each, SETTINGS) for each in units("counted", "Counter")),
        not_run(units("called")[0], "its worker died", is_crash=True),
    ]

    assert [Outcome.from_json(json.loads(json.dumps(each.to_json()))) for each in made] == made


def everything(*names: str) -> list[dict[str, Any]]:
    """Run shards of some scenarios; return the outcomes as JSON, without the time they took."""
    return [
        timeless(run_unit(unit, SETTINGS)).to_json()
        for scenario, class_name in (name.split("/") for name in names)
        for unit in units(scenario, class_name, Settings(schedules=120))
    ]


def test_outcomes_are_equal_in_every_process() -> None:
    """Traces too: under another hash seed, and whatever ran before in the process."""
    names = ["counted/Counter", "counted/Unlocked", "called/"]
    program = (
        "import json; from tests.campaign.test_outcomes import everything; "
        f"print(json.dumps(everything(*{names[::-1]})))"
    )

    for hash_seed in ("1", "2"):
        finished = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        theirs = {Unit.from_json(each["unit"]).key: each for each in json.loads(finished.stdout)}
        mine = {Unit.from_json(each["unit"]).key: each for each in everything(*names)}
        assert theirs == mine
