"""Stress under pytest: how cells are cut, what workers may do to them, and what is told in the end.

Every test but the first few runs pytest in processes of its own, and each run bears several claims:
a process takes longer to start than a thousand schedules to run.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from harness.pytest_plugin import PROPERTY, _profile, _said
from harness.pytest_stress import cell_of, plain_case
from tests.test_pytest_plugin import LOADED, environment, outcomes

FLIGHTS = """
import threading

class Flight:
    luck = 0

    def __init__(self):
        self.lock = threading.Lock()

    def go(self, origin):
        with self.lock:
            origin.call("user:1")
"""

BROKEN = """
from flights import Flight

class Unlocked(Flight):
    '''F1: flies without the lock.'''

    def go(self, origin):
        origin.call("user:1")

class Rare(Flight):
    '''F2: flies without the lock once in forty runs.'''

    def go(self, origin):
        if self.luck == 12:
            origin.call("user:1")
        else:
            super().go(origin)

class Never(Flight):
    '''F3: does nothing wrong.'''

class Rude(Flight):
    '''F4: is caught by a check that nobody has declared.'''

    def go(self, origin):
        if self.luck == 12:
            raise ValueError("rude")
        super().go(origin)
"""

STORMS = """
from harness import MaxInFlight, scenario
from broken import Never, Rare, Rude, Unlocked
from flights import Flight

@scenario(Flight, catches=dict.fromkeys((Unlocked, Rare, Never, Rude), MaxInFlight))
def take_off(sim, cls):
    origin = sim.pool("origin", latency=1.0)
    flight = cls()
    flight.luck = sim.draw(40)
    with sim.storm(MaxInFlight(origin, 1)) as storm:
        storm.spawn(flight.go, origin, copies=2)
"""

#: Makes shards small, and writes down what the controller made of them, as exactly as it knows it.
CONFTEST = """
import json
from pathlib import Path
import harness.campaign.units
from harness.pytest_stress import merged_key

harness.campaign.units.SHARD = 20

def pytest_configure(config):
    config.stash[merged_key] = []

def pytest_unconfigure(config):
    if hasattr(config, "workerinput"):
        return
    cells = {}
    for made in config.stash.get(merged_key, []):
        worth = made.worth
        cells[made.declared.name] = {
            "verdict": made.verdict,
            "schedules": made.schedules,
            "shards": [each.schedules for each in made.outcomes],
            "violating": made.violating,
            "tokens": [each.token for each in made.failures],
            "traces": {name: sorted(found.items()) for name, found in worth.traces.items()},
            "worth": made.worth_rows(),
            "steps": made.steps,
            "virtual": made.virtual_seconds,
            "said": made.explain(),
        }
    Path("cells.json").write_text(json.dumps(cells, sort_keys=True))
"""

#: Three shards a cell.
STRESS = ("--storm-schedules", "60", "--storm-strategy", "surw")


#: Plugins that are not needed here, and slow to load.
WITHOUT = [
    f"-pno:{name}"
    for name in ("anyio", "asyncio", "hypothesispytest", "pytest_cov", "time_machine")
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with one component, and a note of what all shards came to."""
    files = {"flights": FLIGHTS, "broken": BROKEN, "storms": STORMS, "conftest": CONFTEST}
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\naddopts = --strict-markers --strict-config -ra\n", encoding="utf-8"
    )
    return tmp_path


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in `folder`, in a session of its own: it may be interrupted."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", *LOADED, *WITHOUT, *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        start_new_session=True,
    )


def cells(folder: Path) -> dict[str, Any]:
    """Return what the last run has made of all shards, by cell."""
    found: dict[str, Any] = json.loads((folder / "cells.json").read_text(encoding="utf-8"))
    return found


def test_a_node_id_tells_cell_and_shard() -> None:
    """With and without a class, and with other parameters before or behind; none is none."""
    assert cell_of("storms.py::a[Flight-shard3of8]") == ("storms.py::a[Flight]", 2, 8)
    assert cell_of("storms.py::a[shard1of2]") == ("storms.py::a", 0, 2)
    assert cell_of("storms.py::a[shard1of2-x]") == ("storms.py::a[x]", 0, 2)
    assert cell_of("storms.py::a[Flight-1-shard2of2-x]") == ("storms.py::a[Flight-1-x]", 1, 2)
    assert cell_of("storms.py::a[Flight]") is None
    assert plain_case("Flight-1-shard3of8") == "Flight-1"
    assert plain_case("shard3of8") == ""
    assert plain_case("Flight-1") == "Flight-1"


# --- profiles -------------------------------------------------------------------------------------

NIGHTLY = "nightly: schedules=20000 time=2h strategy=surw corpus=no"


def test_the_command_line_beats_the_profile_and_that_a_setting_of_the_file(
    pytester: pytest.Pytester,
) -> None:
    """A profile of one's own has what it says; one of ours can be changed, and keeps the rest."""
    pytester.makeini(
        "[pytest]\nstorm_schedules = 7\nstorm_order = any\nstorm_profiles =\n"
        f"    {NIGHTLY}\n    ci: schedules=50\n"
    )

    def said(*arguments: str) -> dict[str, Any]:
        config = pytester.parseconfigure(*LOADED, "-p", "no:asyncio", *arguments)
        return {name: _said(config, name) for name in ("schedules", "order", "time", "corpus")}

    settings = {"schedules": "7", "order": "any", "time": None}
    nightly = {"schedules": "20000", "order": "any", "time": "2h", "corpus": False}
    assert {**said(), "corpus": None} == {**settings, "corpus": None}
    assert said("--storm-profile", "nightly") == nightly
    assert said("--storm-profile=nightly", "--storm-schedules=9", "--storm-corpus") == {
        **nightly,
        "schedules": "9",
        "corpus": True,
    }
    assert said("-o", "storm_profile=ci") == {**settings, "schedules": "50", "corpus": False}
    stress = pytester.parseconfigure(*LOADED, "-p", "no:asyncio", "--storm-profile", "stress")
    assert _profile(stress) == {"schedules": "1920"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--storm-profile", "nigthly"], "'nigthly' is no profile: there are ci, dev, stress."),
        (["-o", "storm_profiles=nightly", "--storm-profile=dev"], "'nightly' is no profile."),
        (["-o", "storm_profiles=a: runs=3", "--storm-profile=a"], "'runs' of 'a' is no setting"),
        (["-o", "storm_profiles=a: worth=3", "--storm-profile=a"], "of 'a' must be yes or no."),
        (["-o", "storm_profiles=a: schedules=x", "--storm-profile=a"], "'x' is no integer."),
        (["-o", "storm_profiles=a: time=x", "--storm-profile=a"], "time='x' is no time."),
        (["--storm-time", "never"], "--storm-time: time='never' is no time."),
        (["--storm-time=9s", "--storm-unfinished=pass"], "'pass' must be fail or skip."),
        (["--storm-time", "9s", "-o", "storm_progress=often"], "is no number of seconds."),
        # Also where no cell is cut into shards.
        (["--storm-unfinished=pass"], "'pass' must be fail or skip."),
        (["-o", "storm_progress=often"], "is no number of seconds."),
    ],
)
def test_a_bad_profile_or_time_is_a_usage_error(
    arguments: list[str], said: str, pytester: pytest.Pytester
) -> None:
    """One line, before anything runs."""
    with pytest.raises(pytest.UsageError) as caught:
        pytester.parseconfigure(*LOADED, *arguments)

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


# --- one verdict of all shards --------------------------------------------------------------------


def test_the_number_of_workers_changes_nothing(project: Path) -> None:
    """With none, one, two or four workers, however shards are handed out, a cell is the same.

    All counts, traces, tokens and words are. A variant that one shard has caught is caught, one
    that none has is not; and both are told as an item, in the summary and in JUnit's report.
    """
    found = {}
    for workers in (
        ("-n", "0"),
        ("-n", "1", "--dist", "loadscope"),
        ("-n", "2", "--dist", "worksteal", "--junit-xml", "report.xml"),
        ("-n", "4"),
    ):
        done = run_pytest(project, *STRESS, "--storm-worth", *workers)
        told = sorted(line for line in done.stdout.splitlines() if line.startswith("FAILED"))
        holds = done.stdout.partition(" storms that hold ")[2].partition("\n====")[0]
        assert done.returncode == pytest.ExitCode.TESTS_FAILED
        found[workers[1]] = cells(project), told, sorted(holds.splitlines()), outcomes(done)

    merged, told, holds, counted = found["0"]
    assert all(each == found["0"] for each in found.values())
    # A shard that violates by what is not declared fails, and so does its cell.
    assert counted == "3 failed, 17 passed"
    assert [line.split(" - ")[0].partition("::")[2] for line in told] == [
        "take_off[Never]",
        "take_off[Rude-shard2of3]",
        "take_off[Rude]",
    ]
    assert merged["take_off[Flight]"]["shards"] == [20, 20, 20]
    assert merged["take_off[Flight]"]["verdict"] == "holds"
    assert "storms.py::take_off[Flight]: Holds (60 schedules)" in holds
    runs = [count for _, count in merged["take_off[Flight]"]["traces"]["surw"]]
    assert sum(runs) == 60
    assert any("surw 0.0% of 60" in line for line in holds)
    # Seeds go by shard: else each would have found the same.
    assert merged["take_off[Rare]"]["violating"] == {"MaxInFlight": 1}
    assert merged["take_off[Rare]"]["said"] == ""
    assert merged["take_off[Never]"]["said"] == (
        "storms.py::take_off with Never: declared to be caught by MaxInFlight, "
        "held on 60 schedules."
    )
    assert merged["take_off[Rude]"]["said"].startswith(
        "storms.py::take_off with Rude: declared to be caught by MaxInFlight, violated Unhandled."
    )
    cases = reported(project)
    assert len(cases) == 20
    for name, has_failed in (("Never", True), ("Rude", True), ("Rare", False)):
        case = cases[f"take_off[{name}]"]
        assert (case.find("failure") is not None) is has_failed
        tokens = [each.get("value") for each in case.iter("property")]
        assert tokens == merged[f"take_off[{name}]"]["tokens"][:1]


def reported(folder: Path) -> dict[str, ElementTree.Element]:
    """Return the test cases of JUnit's report by name."""
    tree = ElementTree.parse(folder / "report.xml")  # noqa: S314 - pytest wrote it just now
    assert {each.get("name") for each in tree.iter("property")} <= {PROPERTY}
    return {case.get("name") or "": case for case in tree.iter("testcase")}


def test_a_cell_is_chosen_as_a_whole_and_a_shard_alone(project: Path) -> None:
    """By node id, by `-k` and by `--lf`; `-x` stops at a cell that fails."""
    shard, cell = "storms.py::take_off[Rare-shard2of3]", "storms.py::take_off[Never]"

    listed = run_pytest(project, *STRESS, "--collect-only", "-q", "-k", "Rare")
    by_id = run_pytest(project, *STRESS, "-v", shard, cell, "-p", "no:xdist")
    again = run_pytest(project, *STRESS, "-v", "--lf")
    first = run_pytest(project, *STRESS, "-v", "-x", "-k", "Never or Rude")
    of_worker = run_pytest(project, *STRESS, "-x", "-k", "Never or Rare", "-n", "1")

    assert listed.returncode == pytest.ExitCode.OK
    assert listed.stdout.split()[:3] == [
        "storms.py::take_off[Rare]",
        "storms.py::take_off[Rare-shard1of3]",
        "storms.py::take_off[Rare-shard2of3]",
    ]
    never = [
        "take_off[Never-shard1of3] PASSED",
        "take_off[Never-shard2of3] PASSED",
        "take_off[Never-shard3of3] PASSED",
        "take_off[Never] FAILED",
    ]
    assert shown(by_id) == ["take_off[Rare-shard2of3] PASSED", *never]
    assert shown(again) == never
    assert shown(first) == never
    assert "stopping after 1 failures" in first.stdout
    # As xdist ends a run after a failure of a worker's.
    assert of_worker.returncode == pytest.ExitCode.INTERRUPTED
    # Cells are counted as items: a run ends with 100 % of them.
    assert re.search(r"take_off\[Never\] FAILED +\[100%\]", by_id.stdout)


GROUPED = """
from harness import Calls, scenario

class TestFlights:
    @staticmethod
    @scenario
    def test_take_off(sim):
        origin = sim.pool("origin")
        with sim.storm(Calls(origin, 2)) as storm:
            storm.spawn(origin.call, "user:1", copies=2)
"""


def test_a_scenario_in_a_class_is_cut_like_any_other(project: Path) -> None:
    """Each of its items comes once."""
    (project / "test_grouped.py").write_text(GROUPED)

    done = run_pytest(project, *STRESS, "-v", "test_grouped.py", "-p", "no:xdist")

    assert shown(done) == [
        "test_take_off[shard1of3] PASSED",
        "test_take_off[shard2of3] PASSED",
        "test_take_off[shard3of3] PASSED",
        "test_take_off PASSED",
    ]


def shown(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the lines of items, without file and progress."""
    lines = re.findall(r"^\S+::(\S+ [A-Z]+) .*%\]$", done.stdout, re.MULTILINE)
    assert lines, done.stdout
    return lines


# --- what goes wrong ------------------------------------------------------------------------------

CRASHES = """
import ctypes, os
from pathlib import Path
import pytest
from harness import MaxInFlight, scenario
from broken import Unlocked
from flights import Flight

# Not `os.kill`: a run does not simulate it.
kill = ctypes.CDLL(None).kill
runs = []
# Of the walks of three shards, one of the second comes to this, and no other.
LUCK = 912

def is_first(name):
    try:
        return Path(name).open("x")
    except FileExistsError:
        return False

@scenario(Flight, catches={Unlocked: MaxInFlight}, matrix=False)
def killed_once(sim, cls):
    # How many runs a process has made is nothing that a trace should tell.
    with sim.no_points():
        runs.append(1)
        if len(runs) == 30 and is_first("killed"):
            kill(os.getpid(), 9)
    origin = sim.pool("origin", latency=1.0)
    with sim.storm(MaxInFlight(origin, 1)) as storm:
        storm.spawn(cls().go, origin, copies=2)

@pytest.mark.parametrize("size", [7])
@scenario
def poisoned(sim, size):
    if sim.draw(1000) == LUCK:
        kill(os.getpid(), 9)

@pytest.mark.skip(reason="not today")
@scenario
def left_out(sim): ...

@pytest.mark.xfail(reason="known")
@scenario
def known(sim):
    assert sim.draw(1000) != LUCK
"""


def test_a_killed_worker_loses_nothing_and_a_deadly_shard_is_named(project: Path) -> None:
    """The worker is replaced and its shard run again: the verdict is that of an undisturbed run.

    A shard that kills its worker again is not run a third time: its cell fails and names it, and
    its neighbours are not blamed. What is skipped or known to fail is so as a whole.
    """
    (project / "storms_crash.py").write_text(CRASHES, encoding="utf-8")
    chosen = (*STRESS, "storms_crash.py")

    disturbed = run_pytest(
        project, *chosen, "-n", "2", "--junit-xml", "report.xml", "-o", "storm_progress=0"
    )
    found = cells(project)
    undisturbed = run_pytest(project, *chosen, "-n", "0", "-k", "killed_once")

    assert disturbed.stdout.count("crashed while running 'storms_crash.py::killed_once[") == 1
    assert outcomes(undisturbed) == "8 passed, 12 deselected"
    assert {name: found[name] for name in cells(project)} == cells(project)
    assert found["poisoned[7]"]["shards"] == [20, 20]
    assert (
        "storms_crash.py::poisoned: 1 of 3 shards is missing.\n"
        "shard 2 of 3: crashed 2 workers" in disturbed.stdout
    )
    told = (
        "2 failed",  # the deadly shard, and its cell
        "10 passed",
        "4 skipped",
        "2 xfailed, 2 xpassed",  # a shard that fails as is known, and its cell; two that do not
        "2 rerun",  # both shards that killed a worker
    )
    assert outcomes(disturbed) == ", ".join(told)
    assert reported(project)["killed_once[Unlocked]"].find("failure") is None
    assert reported(project)["poisoned[7]"].find("failure") is not None
    progress = r"^storms: storms_crash\.py::poisoned 2 of 3 shards, (20|40) schedules$"
    assert re.search(progress, disturbed.stdout, re.MULTILINE)


CLOCK = """
import harness.pytest_stress

class Clock:
    now = 0.0
    time = monotonic = lambda self: self.now

harness.pytest_stress.time = Clock()
"""

TIMED = """
from harness import scenario
import harness.pytest_stress

@scenario
def calm(sim):
    harness.pytest_stress.time.now += 1.0

@scenario
def wrong(sim):
    assert sim.draw(1000) != 103
"""

#: Another module, whose fixture lives as long as its tests.
OTHER = """
import pytest
from harness import scenario

@pytest.fixture(scope="module")
def place():
    yield

@scenario
def later(sim, place): ...

def test_last(place): ...
"""


def test_storms_stop_on_time_and_keep_what_they_have(project: Path) -> None:
    """To the run: what was found is told, what is missing too, and other tests are run.

    Each cell has had its share of the time before any has the whole of it.
    """
    (project / "storms.py").write_text(TIMED, encoding="utf-8")
    (project / "test_other.py").write_text(OTHER, encoding="utf-8")
    (project / "conftest.py").write_text(CLOCK + CONFTEST, encoding="utf-8")

    # The first shard of `calm` takes 21 s, since one run more comes before those that count.
    done = run_pytest(project, *STRESS, "-v", "--storm-time", "30s")

    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert shown(done) == [
        "calm[shard1of3] PASSED",
        "wrong[shard1of3] FAILED",
        "later[shard1of3] PASSED",
        "test_last PASSED",
        "calm[shard2of3] SKIPPED",
        # Further ones are passed over: there may be thousands.
        "wrong[shard2of3] SKIPPED",
        "calm FAILED",
        "wrong FAILED",
        "later FAILED",
    ]
    assert cells(project)["calm"]["shards"] == [20, 8]
    assert cells(project)["wrong"]["violating"] == {"Failed": 1}
    assert "storms.py::calm: 2 of 3 shards are missing.\n" in done.stdout
    assert re.search(r"shards 2.3 of 3: storm time is up\n", done.stdout)
    assert "storms: time was up after 30 s: 3 of 3 cells are not finished" in done.stdout


def test_an_unfinished_cell_is_skipped_where_time_is_a_portion(project: Path) -> None:
    """Unless something was found in it; and the fixtures of tests in between are as ever."""
    (project / "storms.py").write_text(TIMED, encoding="utf-8")
    (project / "test_other.py").write_text(OTHER, encoding="utf-8")
    (project / "conftest.py").write_text(CLOCK + CONFTEST, encoding="utf-8")
    chosen = (*STRESS, "-v", "--storm-unfinished=skip")

    late = run_pytest(project, *chosen, "--storm-time=30s")
    soon = run_pytest(project, *chosen, "--storm-time=10s")

    assert shown(late)[-3:] == ["calm SKIPPED", "wrong FAILED", "later SKIPPED"]
    assert shown(soon) == [
        "calm[shard1of3] SKIPPED",
        "wrong[shard1of3] SKIPPED",
        "test_last PASSED",
        "calm[shard2of3] SKIPPED",
        "calm SKIPPED",
        "wrong SKIPPED",
        "later SKIPPED",
    ]
    assert cells(project)["calm"]["shards"] == [9]
    assert soon.returncode == pytest.ExitCode.OK


#: Says how many reports pytest looks through for each failure.
COUNTED = """
import harness.campaign.units
from pathlib import Path

harness.campaign.units.SHARD = 20

def pytest_unconfigure(config):
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    Path("looked_through").write_text(str(len(reporter.stats[""])))
"""

TALKING = """
import pytest

@pytest.fixture
def talking():
    yield
    print("on the way out")

def test_fails(talking):
    assert False
"""


def test_thousands_of_failures_are_told_in_time(project: Path) -> None:
    """For each of them pytest looks through the other reports: those that are silent are gone."""
    (project / "test_talking.py").write_text(TALKING, encoding="utf-8")
    (project / "conftest.py").write_text(COUNTED, encoding="utf-8")
    chosen = (*STRESS, "-k", "Never or talking or fails")

    done = run_pytest(project, *chosen)
    silent = (project / "looked_through").read_text()
    asked = run_pytest(project, *chosen, "--durations=0", "-vv")

    assert "on the way out" in done.stdout
    assert silent == "1"
    assert asked.stdout.count("s teardown storms.py::take_off[Never-shard1of3]") == 1


#: Workers of xdist begin when 25 seconds are gone.
LATE = CLOCK.replace(
    "now = 0.0", "now = 25.0 if 'PYTEST_XDIST_WORKER' in __import__('os').environ else 0.0"
)

EQUAL = """
from harness import scenario
import harness.pytest_stress

@scenario
def calm(sim):
    harness.pytest_stress.time.now += 1.0

@scenario
def wrong(sim):
    harness.pytest_stress.time.now += 1.0
    assert not sim.draw(2)
"""


def test_workers_stop_on_time_too(project: Path) -> None:
    """What their start and collection took is gone; what each has found by then is kept."""
    (project / "storms.py").write_text(EQUAL, encoding="utf-8")
    (project / "conftest.py").write_text(LATE + CONFTEST, encoding="utf-8")

    # A worker has two scenarios' shards in turn; one run more comes before those that count.
    calm = run_pytest(project, *STRESS, "--storm-time=30s", "-n", "2", "-k", "calm")
    of_calm = cells(project)["calm"]
    wrong = run_pytest(project, *STRESS, "--storm-time=30s", "-n", "2", "-k", "wrong")
    of_wrong = cells(project)["wrong"]

    assert calm.returncode == wrong.returncode == pytest.ExitCode.TESTS_FAILED
    # Five of thirty seconds were left to each.
    assert of_calm["shards"] == [4, 4]
    assert len(of_wrong["shards"]) == 2
    assert all(schedules <= 4 for schedules in of_wrong["shards"])
    assert of_wrong["verdict"] == "Failed"
    assert "python -m harness replay t1:" in wrong.stdout
    for each in (calm, wrong):
        assert "storms: time was up after 30 s: 1 of 1 cells are not finished" in each.stdout


INTERRUPTED = """
import ctypes, os
from pathlib import Path
from harness import scenario

kill = ctypes.CDLL(None).kill
runs = []

@scenario
def interrupted(sim):
    runs.append(1)
    if len(runs) == 25 and not Path("sent").exists():
        Path("sent").touch()
        kill(os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid(), 2)
    sim.draw(1000)

@scenario
def never_begun(sim): ...
"""


def test_ctrl_c_ends_a_shard_after_its_run_and_keeps_what_there_is(project: Path) -> None:
    """Also where only the controller is told: its workers learn of it, and send what they have."""
    (project / "storms.py").write_text(INTERRUPTED, encoding="utf-8")

    alone = run_pytest(project, *STRESS)
    # One run more comes before those that count, in each of two shards.
    found = cells(project)
    (project / "sent").unlink()
    (project / "conftest.py").write_text(CONFTEST.replace("20", "100_000"), encoding="utf-8")
    among = run_pytest(project, *STRESS[2:], "--storm-schedules", "200000", "-n", "2")

    assert alone.returncode == among.returncode == pytest.ExitCode.INTERRUPTED
    # Of what was not even begun, nothing is said.
    assert "never_begun" not in alone.stdout
    assert list(found) == ["interrupted"]
    assert found["interrupted"]["shards"] == [20, 3]
    assert "storms.py::interrupted: 2 of 3 shards are missing.\n" in alone.stdout
    assert re.search(r"shards 2.3 of 3: interrupted\n", alone.stdout)
    # Seconds' worth of a minute's work.
    shards = cells(project)["interrupted"]["shards"]
    assert 0 < sum(shards) < 100_000
