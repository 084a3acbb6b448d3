"""Reports as people ask for them: `--html` and `--trace` of commands, `--storm-html` of pytest."""

from __future__ import annotations

import json
import os
import re
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
from tests.test_pytest_stress import CLOCK, CONFTEST, CRASHES, STRESS, TIMED, WITHOUT
from tests.test_pytest_stress import project as stressed

__all__ = ["stressed"]

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


def reported(folder: Path, *arguments: str) -> tuple[str, dict[str, str], str]:
    """Run pytest there as GitHub does.

    Returns:
        What the page says in short, what each cell with a mark on it says, and the annotations.
    """
    outcome = subprocess.run(
        [sys.executable, "-m", "pytest", *LOADED, *WITHOUT, "--storm-html=p.html", *arguments],
        cwd=folder,
        env={**environment(), "GITHUB_ACTIONS": "true"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert outcome.returncode == pytest.ExitCode.TESTS_FAILED, outcome.stdout + outcome.stderr
    page = (folder / "p.html").read_text("utf-8")
    short = re.search("<title>Storm report: (.*)</title>", page)
    assert short is not None
    said = re.findall(r'<span class="said">([^:]*): (.*?)</span>', page)
    errors = [line for line in outcome.stdout.splitlines() if line.startswith("::error")]
    return short[1], dict(said), "\n".join(errors)


def test_a_cell_of_which_shards_are_missing_is_not_told_as_good(stressed: Path) -> None:
    """Page and GitHub say what pytest says of the whole cell, not what the shards that ran did."""
    (stressed / "storms.py").write_text(TIMED, encoding="utf-8")
    (stressed / "conftest.py").write_text(CLOCK + CONFTEST, encoding="utf-8")

    short, said, errors = reported(stressed, *STRESS, "--storm-time=30s")

    assert short == "2 of 2 cells not as declared"
    assert said == {
        "calm": "inconclusive, declared holds (0 of 28 schedules)",
        "wrong": "Failed, declared holds (1 of 20 schedules)",
    }
    calm, wrong = errors.splitlines()
    assert calm.startswith(
        "::error file=storms.py,line=5,title=calm::storms.py::calm: 2 of 3 shards are missing.%0A"
    )
    assert "storm time is up" in calm
    assert wrong.startswith("::error file=storms.py,line=9,title=wrong::")
    assert "Violation: " in wrong


def test_a_cell_that_is_skipped_for_want_of_time_is_on_no_page(stressed: Path) -> None:
    """Pytest says nothing of it either: neither that it is as declared nor that it is not."""
    (stressed / "storms.py").write_text(TIMED, encoding="utf-8")
    (stressed / "conftest.py").write_text(CLOCK + CONFTEST, encoding="utf-8")

    short, said, errors = reported(stressed, *STRESS, "--storm-time=30s", "--storm-unfinished=skip")

    assert short == "1 of 1 cell not as declared"
    assert list(said) == ["wrong"]
    assert errors.count("::error") == 1


def test_a_cell_with_a_deadly_shard_is_told(stressed: Path) -> None:
    """Nothing of that shard has arrived; what is known to fail is no news to GitHub."""
    (stressed / "storms_crash.py").write_text(CRASHES, encoding="utf-8")

    short, said, errors = reported(stressed, *STRESS, "storms_crash.py", "-n", "2")

    assert short == "2 of 4 cells not as declared"
    assert said["poisoned[7]"] == "inconclusive, declared holds (0 of 40 schedules)"
    assert said["known"] == "Failed, declared holds (1 of 60 schedules)"
    assert said["killed_once[Flight]"].startswith("holds, declared holds (0 of 60")
    assert said["killed_once[Unlocked]"].startswith("MaxInFlight, declared MaxInFlight")
    (error,) = errors.splitlines()
    assert "title=poisoned[7]::storms_crash.py::poisoned: 1 of 3 shards is missing." in error
    assert "crashed 2 workers" in error


NEVER_RUN = """
import ctypes, os
import socket
import pytest
from harness import scenario

@scenario
def asks_the_network(sim):
    socket.create_connection(("127.0.0.1", 9))

@pytest.fixture
def place():
    raise RuntimeError("no place")

@scenario
def wants_a_place(sim, place): ...

@pytest.mark.parametrize("size", [1, 2])
@scenario
def kills(sim, size):
    if size == 2:
        ctypes.CDLL(None).kill(os.getpid(), 9)

@pytest.mark.skip
@scenario
def left_out(sim): ...

@pytest.mark.xfail
@scenario
def known(sim):
    assert not sim
"""


@pytest.mark.parametrize("among", [("-n", "1"), ("-n", "0", "-k", "not kills")])
def test_a_cell_that_could_not_be_run_is_told(project: Path, among: tuple[str, ...]) -> None:
    """What is refused, what has no fixture, and what kills its process: each is a cell that fails.

    As the command tells them. What is skipped is not told, and what is known to fail is on the
    page only.
    """
    (project / "storms.py").write_text(NEVER_RUN, "utf-8")

    short, said, errors = reported(project, "storms.py", *among)

    has_killed = "1" in among
    assert short == (
        "4 of 5 cells not as declared" if has_killed else "3 of 3 cells not as declared"
    )
    never = "inconclusive, declared holds (0 of 0 schedules)"
    expected = {"asks_the_network": never, "wants_a_place": never}
    if has_killed:
        assert said.pop("kills[1]").startswith("holds, ")
        expected["kills[2]"] = never
    assert said.pop("known").startswith("Failed, ")
    assert said == expected
    first, second, *others = errors.splitlines()
    assert "file=storms.py,line=7,title=asks_the_network::" in first
    assert "is not simulated, and is refused rather than passed through" in first
    assert "title=wants_a_place::" in second
    assert "RuntimeError: no place" in second
    assert ["title=kills[2]::" in each for each in others] == [True] * has_killed


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
        report = SimpleNamespace(nodeid=name, failed=False)
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


def test_a_part_that_is_not_known_spoils_nothing_that_was_caught() -> None:
    """As `harness.campaign.merge` has it; but one that could not be run at all does."""
    given: dict[str, Any] = {"expected": ("MaxInFlight",), "class_name": "Late"}
    caught = result_with(None, as_declared=True, explanation="", **given, schedules=3)
    unknown = given | {"verdict": "inconclusive", "violation": "", "explanation": "not known"}
    limited = result_with(None, **unknown, schedules=3)
    refused = result_with(None, **unknown, schedules=0)

    passes = [merged(limited, caught), merged(caught, limited)]
    fails = [merged(refused, caught), merged(caught, refused)]

    assert [(each.verdict, each.as_declared) for each in passes] == [("MaxInFlight", True)] * 2
    assert [(each.verdict, each.explanation) for each in fails] == [
        ("inconclusive", "not known")
    ] * 2


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
