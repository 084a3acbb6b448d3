"""Reports as people ask for them: `--html` and `--trace` of commands, `--storm-html` of pytest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.cli import main
from harness.pytest_report import Reporter, merged
from tests.report.making import result_with
from tests.test_pytest_plugin import LOADED, environment

ROOT = Path(__file__).parents[1]

STORMS = """
import threading
from harness import MaxInFlight, scenario


class Flight:
    def __init__(self):
        self.lock = threading.Lock()

    def go(self, origin):
        with self.lock:
            origin.call("user:1")


class Unlocked(Flight):
    '''F1: flies without the lock.'''

    def go(self, origin):
        origin.call("user:1")


class Late(Flight):
    '''F2: takes the lock too late.'''

    def go(self, origin):
        answer = origin.call("user:1")
        with self.lock:
            return answer


@scenario(Flight, catches={Unlocked: MaxInFlight, Late: "Deadlock"})
def take_off(sim, cls):
    '''One at a time.'''
    origin = sim.pool("origin", latency=1.0)
    flight = cls()
    with sim.storm(MaxInFlight(origin, 1)) as storm:
        storm.spawn(flight.go, origin, copies=3)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one scenario and a variant that is not caught as declared."""
    folder = tmp_path / "airport"
    folder.mkdir()
    (folder / "storms.py").write_text(STORMS, "utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", "utf-8")
    monkeypatch.chdir(folder)
    return folder


def test_a_command_and_a_worker_of_pytest_write_the_same_page(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One page, whoever ran the cells and in whatever process; and GitHub is told."""
    code = main(["matrix", "storms.py", "--html", "a.html", "--trace", "a.json"])
    capsys.readouterr()

    outcome = subprocess.run(
        [sys.executable, "-m", "pytest", *LOADED, "storms.py", "-n", "1", "--storm-html=b.html"],
        env={**environment(), "GITHUB_ACTIONS": "true"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert code == 1
    assert outcome.returncode == 1, outcome.stdout + outcome.stderr
    page = (project / "a.html").read_text("utf-8")
    assert (project / "b.html").read_text("utf-8") == page
    assert "1 of 3 cells not as declared" in page
    assert page.count('<script type="application/json"') == 2
    assert str(project) not in page
    trace = json.loads((project / "a.json").read_text("utf-8"))
    assert {each["name"] for each in trace["traceEvents"]} > {"process_name", "origin: in flight"}
    (line,) = [each for each in outcome.stdout.splitlines() if each.startswith("::error")]
    assert "file=storms.py," in line
    assert "title=take_off[Late]::" in line
    assert "declared to be caught by Deadlock, violated MaxInFlight" in line


def test_a_replay_writes_the_one_run(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page of a replay has one failure; GitHub hears of a run on stderr, beside JSON."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    main(["run", "storms.py", "--class", "Late", "--json"])
    out, err = capsys.readouterr()
    token = json.loads(out)[0]["token"]

    code = main(["replay", token, "--html", "r.html", "--trace", "r.json"])

    assert code == 1
    assert err.startswith("::error file=storms.py,")
    page = (project / "r.html").read_text("utf-8")
    assert 'id="story-1"' in page
    assert f"python -m harness replay {token}" in page
    assert json.loads((project / "r.json").read_text("utf-8"))["traceEvents"]


def test_results_are_in_the_order_of_collection(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever worker was first."""
    # Workers write no page; this test may itself be run by one.
    monkeypatch.delattr(request.config, "workerinput", raising=False)
    file = tmp_path / "page.html"
    reporter = Reporter(request.config, str(file), is_on_github=False, note=print)
    for place, name in ((1, "second"), (0, "first")):
        report = SimpleNamespace(nodeid=name)
        result = result_with(None, scenario=name, violation=f"Violation: {name}")
        report.storm_result = json.dumps([place, result.to_json()])
        reporter.pytest_runtest_logreport(report)  # type: ignore[arg-type]  # all that is read of one

    reporter.pytest_sessionfinish(request.session)

    page = file.read_text("utf-8")
    assert page.index(">first<") < page.index(">second<")


def test_shards_of_a_cell_are_one_result() -> None:
    """It is caught if one of them catches it, and wrong if one violates otherwise."""
    given: dict[str, Any] = {"expected": ("MaxInFlight",), "schedules": 240, "class_name": "Late"}
    nothing = result_with(None, verdict="holds", violation="", **given)
    caught = result_with(None, as_declared=True, explanation="", violating=3, **given)
    wrong = result_with(None, **given | {"verdict": "Deadlock", "violating": 1})

    whole = merged(merged(nothing, caught), nothing)
    spoilt = merged(whole, wrong)

    assert (whole.verdict, whole.as_declared, whole.explanation) == ("MaxInFlight", True, "")
    assert (whole.schedules, whole.violating) == (720, 3)
    assert (spoilt.verdict, spoilt.as_declared, spoilt.violating) == ("Deadlock", False, 4)
    assert not merged(nothing, nothing).as_declared


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["run", "storms.py"], "html"),
        (["matrix", "storms.py"], "trace"),
        (["replay", "t1:nothing"], "html"),
    ],
)
def test_a_target_that_cannot_be_written_is_told_before_anything_runs(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], option: str
) -> None:
    """One clear line, exit code 2, and no cell has run."""
    (project / "storms.py").write_text("raise SystemExit('it ran')", "utf-8")

    code = main([*arguments, f"--{option}", "missing/report"])

    out, err = capsys.readouterr()
    assert code == 2
    assert out == ""
    assert err == (
        f"faultloom: {option}='missing/report' cannot be written: No such file or directory. "
        "Name a file in a folder that is there.\n"
    )


def test_pytest_refuses_such_a_target_too(project: Path) -> None:
    """As a usage error, before anything is collected."""
    outcome = subprocess.run(
        [sys.executable, "-m", "pytest", *LOADED, "storms.py", "--storm-html=missing/x.html"],
        env={**environment(), "PYTHONPATH": os.pathsep.join([str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )

    assert outcome.returncode == pytest.ExitCode.USAGE_ERROR
    assert "storm-html='missing/x.html' cannot be written" in outcome.stderr
    assert "collected" not in outcome.stdout


def test_a_page_that_cannot_be_written_in_the_end_fails_the_run(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A full disk is told in one line, behind the verdicts."""
    code = main(["run", "storms.py", "--class", "Unlocked", "--html", "/dev/full"])

    out, err = capsys.readouterr()
    assert code == 2
    assert "take_off[Unlocked]" in out
    assert err.count("\n") == 1
    assert "html='/dev/full' could not be written: No space left on device." in err
