"""The plugin: what is collected, how it is run, what is reported, and who it gets on with.

Every test runs pytest in a process of its own: in this one, the modules under test are loaded.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from importlib.metadata import entry_points
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[1]
# Where the project is installed, pytest finds the plugin by itself; in a bare checkout it is told.
LOADED = (
    []
    if any(each.value == "harness.pytest_plugin" for each in entry_points(group="pytest11"))
    else ["-p", "harness.pytest_plugin"]
)

FLIGHTS = """
import threading

class Flight:
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
"""

STORMS = """
from harness import MaxInFlight, scenario
from broken import Unlocked
from flights import Flight

@scenario(Flight, catches={Unlocked: MaxInFlight})
def take_off(sim, cls):
    origin = sim.pool("origin", latency=1.0)
    flight = cls()
    with sim.storm(MaxInFlight(origin, 1)) as storm:
        storm.spawn(flight.go, origin, copies=3)
"""

#: Holds under every plugin, and only inside a run: outside, it would take half an hour.
ASYNC = """
import asyncio
from harness import Elapsed, scenario

@scenario
async def test_sleepers(sim):
    async with sim.storm(Elapsed(1800)) as storm:
        storm.spawn(asyncio.sleep, 1800, copies=3)

@scenario
async def test_wrong(sim):
    await asyncio.sleep(1800)
    assert 40 + 1 == 42
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with one component."""
    for name, text in (("flights", FLIGHTS), ("broken", BROKEN), ("storms", STORMS)):
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\naddopts = --strict-markers --strict-config\n", encoding="utf-8"
    )
    return tmp_path


def environment() -> dict[str, str]:
    """Return an environment in which the package is found."""
    # With CI set, pytest prints whole messages in its summary too.
    outer = ("PYTEST", "COV", "CI", "BUILD_NUMBER")
    own = {key: value for key, value in os.environ.items() if not key.startswith(outer)}
    # To load Hypothesis, or what anyio brings, takes longer than to run a storm.
    without = "-p no:hypothesispytest -p no:anyio"
    return {**own, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "", "PYTEST_ADDOPTS": without}


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in `folder`."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", *LOADED, *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def outcomes(done: subprocess.CompletedProcess[str]) -> str:
    """Return pytest's last line without its time."""
    return done.stdout.strip().splitlines()[-1].strip("= ").rpartition(" in ")[0]


# --- what crashes ---------------------------------------------------------------------------------


def test_a_crashed_worker_leaves_the_name_of_its_scenario(project: Path) -> None:
    """A process that dies in a run is reported as a failure of the cell that it was running."""
    (project / "storms_crash.py").write_text(
        "import os\nfrom harness import scenario\n@scenario\ndef dies(sim):\n    os._exit(9)\n",
        encoding="utf-8",
    )

    done = run_pytest(project, "-n", "1", "storms_crash.py")

    assert "crashed while running 'storms_crash.py::dies'" in done.stdout
    assert outcomes(done).startswith("1 failed")


# --- what is printed ------------------------------------------------------------------------------

LOUD = """
import logging
import threading
from harness import scenario

class Counter:
    def __init__(self):
        self.value = 0

    def add(self):
        value = self.value
        print("printed", value)
        logging.getLogger("counter").warning("logged %d", value)
        self.value = value + 1

@scenario
def test_both_count(sim):
    counter = Counter()
    threads = [threading.Thread(target=counter.add) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.value == 2
"""


_HEADING = re.compile(r"^-+ (?:Captured (\w+) call|storm verdict) -+$", re.MULTILINE)


def printed(done: subprocess.CompletedProcess[str]) -> set[tuple[str, str]]:
    """Return what pytest shows of output, each with what it calls it."""
    parts = _HEADING.split(done.stdout)
    return {
        (name, text.strip()) for name, text in zip(parts[1::2], parts[2::2], strict=True) if name
    }


@pytest.mark.parametrize("more", [[], ["-n", "1"], ["-n", "1", "--storm-schedules", "480"]])
def test_a_failure_shows_what_its_own_run_printed(project: Path, more: list[str]) -> None:
    """Once, and not what the hundreds before it did; as its replay does. So does each shard."""
    (project / "test_loud.py").write_text(LOUD, encoding="utf-8")

    failed = run_pytest(project, "test_loud.py", *more)

    token = re.findall(r"t1:[\w-]+", failed.stdout)[0]
    replayed = run_pytest(project, "test_loud.py", "--storm-replay", token)
    logged = "WARNING  counter:test_loud.py:13 logged 0"
    once = {("stdout", "printed 0\nprinted 0"), ("log", f"{logged}\n{logged}")}
    assert (printed(failed), printed(replayed)) == (once, once)


# --- who is who -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["harness/__init__.py", "harness.py", "src/harness/__init__.py"])
def test_a_namesake_is_named_before_it_is_mistaken(project: Path, name: str) -> None:
    """A project with a `harness` of its own is told in one line which two there are, and a way out.

    Without it, `from harness import …` in its tests would import the wrong one.
    """
    (project / name).parent.mkdir(parents=True, exist_ok=True)
    (project / name).write_text("answer = 42\n", encoding="utf-8")
    (project / "test_own.py").write_text(
        "import sys\nsys.path.insert(0, 'src')\n"
        "def test_own():\n    from harness import answer\n    assert answer == 42\n",
        encoding="utf-8",
    )
    # As the installed command does, pytest does not look in the current folder for its plugins.
    safely = [sys.executable, "-P", "-m", "pytest"]
    own = {**environment(), "PYTHONPATH": ""}

    told = subprocess.run(
        [*safely, *LOADED],
        cwd=project,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    left_out = subprocess.run(
        [*safely, "-p", "no:faultloom", "-q", "test_own.py"],
        cwd=project,
        env=own,
        capture_output=True,
        text=True,
        check=False,
    )

    assert told.returncode == pytest.ExitCode.USAGE_ERROR
    expected = (
        f"ERROR: {project / name} is another package named 'harness' than that of faultloom "
        f"({ROOT / 'harness' / '__init__.py'}): only one of the two can be imported. Rename or "
        "move yours, or leave faultloom out of this run with `-p no:faultloom`."
    )
    # Beside what other plugins have to say.
    assert [line for line in told.stderr.splitlines() if "harness" in line] == [expected]
    assert outcomes(left_out) == "1 passed"


# --- collection -----------------------------------------------------------------------------------


def test_what_is_collected(project: Path) -> None:
    """Functions under `@scenario`, one item a class, in files of these names; none twice."""
    (project / "storms_late.py").write_text(
        "from harness import scenario\n"
        "from storms import take_off\n"
        "@scenario\n"
        "def night(sim, tmp_path): ...\n",
        encoding="utf-8",
    )
    (project / "test_plain.py").write_text(
        "import pytest\n"
        "from harness import scenario\n"
        "from flights import Flight\n"
        "@scenario\n"
        "def test_mine(sim): ...\n"
        "@scenario(Flight)\n"
        "def hovering(sim, cls): ...\n"
        "@pytest.mark.parametrize('size', [1, 2])\n"
        "@scenario(Flight, matrix=False)\n"
        "def sized(sim, cls, size): ...\n"
        "def test_other(): ...\n"
        "def helper(): ...\n",
        encoding="utf-8",
    )
    (project / "checks.py").write_text(
        "from harness import scenario\n@scenario\ndef by_name(sim): ...\n", encoding="utf-8"
    )

    everything = run_pytest(project, "--collect-only", "-q")
    named = run_pytest(project, "--collect-only", "-q", "checks.py", "storms.py", "-m", "storm")

    assert everything.stdout.splitlines()[:9] == [
        "storms.py::take_off[Flight]",
        "storms.py::take_off[Unlocked]",
        "storms_late.py::night",
        "test_plain.py::test_mine",
        "test_plain.py::hovering[Flight]",
        "test_plain.py::hovering[Unlocked]",
        "test_plain.py::sized[Flight-1]",
        "test_plain.py::sized[Flight-2]",
        "test_plain.py::test_other",
    ]
    assert "9 tests collected" in everything.stdout
    assert named.stdout.splitlines()[:3] == [
        "checks.py::by_name",
        "storms.py::take_off[Flight]",
        "storms.py::take_off[Unlocked]",
    ]


def test_cells_pass_select_and_get_fixtures(project: Path) -> None:
    """As declared is passed, `-k` takes a class, and fixtures come after `sim` and the class."""
    (project / "test_fixtures.py").write_text(
        "import pytest\n"
        "from harness import scenario\n"
        "from flights import Flight\n"
        "@pytest.fixture(params=[1, 2])\n"
        "def size(request):\n"
        "    return request.param\n"
        "@pytest.mark.parametrize('name', ['a', 'b'])\n"
        "@scenario(Flight)\n"
        "def fixtures(sim, cls, size, name, tmp_path):\n"
        "    assert tmp_path.is_dir() and size in (1, 2) and name in 'ab'\n"
        "    assert issubclass(cls, Flight)\n"
        "def test_direct_call():\n"
        "    fixtures.__wrapped__ if hasattr(fixtures, '__wrapped__') else None\n",
        encoding="utf-8",
    )

    everything = run_pytest(project, "-q", "--storm-schedules", "3")
    one = run_pytest(project, "-q", "-k", "Unlocked and take_off", "--storm-schedules", "3")

    assert outcomes(everything) == "11 passed"
    assert outcomes(one) == "1 passed, 10 deselected"


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["--storm-schedules", "0"],
        ["--storm-schedules", "many"],
        ["--storm-seed", "-1"],
        ["--storm-seed", str(2**64)],
        ["--storm-strategy", "luck"],
        ["--storm-granularity", "fine"],
        ["--storm-order", "none"],
        ["--storm-timeouts", "soon"],
        ["--storm-replay", "t1:nonsense"],
        ["-o", "storm_schedules=none"],
        ["-o", "storm_seed=-1"],
    ],
)
def test_a_bad_option_is_a_usage_error(arguments: list[str], pytester: pytest.Pytester) -> None:
    """Before anything runs, whether it stands on the command line or in a file; in one line."""
    with pytest.raises(pytest.UsageError, match="--storm") as caught:
        pytester.parseconfigure(*LOADED, *arguments)

    assert "\n" not in str(caught.value)


def test_a_usage_error_is_one_line_and_exit_code_4(tmp_path: Path) -> None:
    """As pytest shows them: no traceback."""
    done = run_pytest(tmp_path, "--storm-seed", "-1")

    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: --storm: seed=-1 must be an integer with 0 ≤ seed < 2**64." in done.stderr
    assert "Traceback" not in done.stderr


def test_options_reach_the_search_and_files_do_too(project: Path) -> None:
    """The command line beats the file."""
    (project / "storms.py").write_text(
        "from harness import scenario\n"
        "runs = []\n"
        "@scenario\n"
        "def counted(sim):\n"
        "    runs.append(1)\n"
        "def test_count():\n"
        "    import json, pathlib\n"
        "    pathlib.Path('runs.json').write_text(json.dumps(len(runs)))\n",
        encoding="utf-8",
    )

    def runs(*arguments: str) -> int:
        # Walks, since the default search is through with this scenario after a few runs.
        done = run_pytest(project, "-q", "-o", "storm_strategy=random", *arguments)
        assert outcomes(done) == "2 passed", done.stdout
        return int(json.loads((project / "runs.json").read_text(encoding="utf-8")))

    settling = 1
    assert runs() == settling + 100
    assert runs("--storm-strategy", "plain") == settling + 1
    assert runs("-o", "storm_schedules=7") == settling + 7
    assert runs("-o", "storm_schedules=7", "--storm-schedules", "5") == settling + 5


# --- reports --------------------------------------------------------------------------------------


def test_the_verdict_is_a_section_and_the_token_a_property(project: Path) -> None:
    """Under xdist too; the token replays in pytest; `--lf` finds the item."""
    storms = (project / "storms.py").read_text(encoding="utf-8")
    (project / "storms.py").write_text(
        storms.replace("Unlocked: MaxInFlight", "Unlocked: 'Deadlock'"), encoding="utf-8"
    )

    failed = run_pytest(
        project,
        "-n",
        "2",
        "--junit-xml=report.xml",
        "-o",
        "junit_family=xunit2",
    )

    assert outcomes(failed) == "1 failed, 1 passed"
    assert failed.stdout.count("storm verdict") == 1
    assert "Violation: 'origin' had 2 calls in flight, allowed 1." in failed.stdout
    assert "declared to be caught by Deadlock, violated MaxInFlight." in failed.stdout
    assert "Traceback" not in failed.stdout
    report = ElementTree.parse(project / "report.xml")  # noqa: S314 - pytest wrote it just now
    found = report.findall(".//property[@name='harness.replay']")
    token = found[0].get("value") or ""
    assert f"replay     python -m harness replay {token}" in failed.stdout

    again = run_pytest(project, "--lf", "-q")
    assert outcomes(again).startswith("1 failed")

    replayed = run_pytest(project, "--storm-replay", token)
    assert outcomes(replayed) == "1 failed, 1 deselected"
    assert "'origin' had 2 calls in flight, allowed 1." in replayed.stdout

    (project / "storms.py").write_text("def test_nothing(): ...\n", encoding="utf-8")
    gone = run_pytest(project, "--storm-replay", token)
    assert gone.returncode == pytest.ExitCode.USAGE_ERROR
    assert "no such scenario was collected" in gone.stderr


def test_a_bare_assert_shows_its_operands(project: Path) -> None:
    """Asserts of scenario files are rewritten, also of those that pytest does not know as tests."""
    text = (
        "from harness import scenario\n"
        "@scenario\n"
        "def wrong(sim):\n"
        "    total = 40 + 1\n"
        "    assert total == 42\n"
    )
    for name in ("storms.py", "storms_late.py", "named.py"):
        (project / name).write_text(text, encoding="utf-8")

    done = run_pytest(project, "-q", "storms.py", "storms_late.py", "named.py")

    assert outcomes(done) == "3 failed"
    assert done.stdout.count("an assert of the scenario failed: assert 41 == 42") >= 3


def test_what_holds_says_what_that_is_worth_if_asked(project: Path) -> None:
    """Nothing by default; one line and its rows with `--storm-worth`, under xdist too."""
    chosen = ("-k", "take_off and not Unlocked", "--storm-strategy", "surw")

    terse = run_pytest(project, *chosen)
    asked = run_pytest(project, *chosen, "--storm-worth", "-n", "1")

    assert "Holds (" not in terse.stdout
    assert "storms.py::take_off[Flight]: Holds (100 schedules)" in asked.stdout
    assert "  traces     6 distinct" in asked.stdout
    assert "  unseen     at most, for the next run: surw 0.0% of 100" in asked.stdout


def test_misuse_inside_a_run_fails_the_item_in_one_line(project: Path) -> None:
    """It is the scenario that is wrong, not the code under test; no section, no traceback."""
    (project / "storms.py").write_text(
        "from harness import scenario\n"
        "@scenario\n"
        "def empty(sim):\n"
        "    sim.pool('origin', size=0)\n",
        encoding="utf-8",
    )

    done = run_pytest(project, "-q")

    assert outcomes(done) == "1 failed"
    assert "HarnessError: size=0 must be at least 1" in done.stdout
    assert "harness/" not in done.stdout
    assert "storm verdict" not in done.stdout


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "1 / 0",
            "storms.py cannot be imported: ZeroDivisionError: division by zero (storms.py:1)",
        ),
        ("def", "storms.py cannot be imported: SyntaxError: "),
        (
            "\nimport weather",
            (
                "storms.py cannot be imported: ModuleNotFoundError: No module named 'weather' "
                "(storms.py:2)"
            ),
        ),
        (
            "from harness import scenario\nscenario(int, catches={str: 'Failed'})",
            "storms.py: catches=str is no variant: it is no subclass of int.",
        ),
        (
            "from harness import scenario\nscenario(int, catches={bool: 'Nothing'})",
            "storms.py: check='Nothing' is not known. Checks are MaxInFlight, ",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_a_usage_error(text: str, line: str, project: Path) -> None:
    """One line, no traceback, and no test is run."""
    (project / "storms.py").write_text(text, encoding="utf-8")

    done = run_pytest(project, "-q")

    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"ERROR: {line}" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


# --- neighbours -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["-o", "asyncio_mode=auto"],
        ["-o", "asyncio_mode=strict"],
        ["-p", "anyio", "-p", "no:asyncio", "-o", "anyio_mode=auto"],
        ["-p", "anyio", "-p", "no:asyncio"],
    ],
    ids=["asyncio-auto", "asyncio-strict", "anyio-auto", "anyio"],
)
def test_no_async_plugin_takes_a_scenario_away(arguments: list[str], tmp_path: Path) -> None:
    """Taken away, half an hour would be real, and a failing assert would have no verdict."""
    (tmp_path / "test_async.py").write_text(ASYNC, encoding="utf-8")

    done = run_pytest(tmp_path, "-q", "--storm-schedules", "3", "--timeout", "60", *arguments)

    assert outcomes(done) == "1 failed, 1 passed"
    assert "an assert of the scenario failed" in done.stdout
    assert "t = 1800 s" in done.stdout


STUCK = """
import asyncio, threading, time
from concurrent.futures import ThreadPoolExecutor
from harness import scenario

def work():
    open("started", "w").close()
    for _ in range(10**9):
        pow(7, 3000)

@scenario
def in_thread(sim):
    with sim.storm() as storm:
        storm.spawn(threading.Event().wait, 100, name="patient")
        storm.spawn(work, name="busy")

@scenario
def in_executor(sim):
    with ThreadPoolExecutor(1) as pool:
        pool.submit(threading.Event().wait, 100)
        pool.submit(work).result()

@scenario
async def in_task(sim):
    async def busy():
        await asyncio.sleep(1)
        work()
    async with sim.storm() as storm:
        storm.spawn(busy)
        storm.spawn(asyncio.sleep, 100, name="patient")

@scenario
def in_body(sim):
    sim.advance(1)
    work()

def test_afterwards():
    assert time.monotonic() < time.monotonic() + 1
    assert [thread.name for thread in threading.enumerate()] == ["MainThread"]
"""


def test_a_time_out_fails_the_test_with_the_stacks_of_all_fibers(tmp_path: Path) -> None:
    """In a thread, an executor job, a task and the body: 4 of 4, and the world is taken down."""
    (tmp_path / "storms.py").write_text(STUCK, encoding="utf-8")

    done = run_pytest(tmp_path, "-q", "--timeout", "1.5")

    assert outcomes(done) == "4 failed, 1 passed"
    assert done.stdout.count("E           Failed: Timeout (>1.5s) from pytest-timeout.") == 4
    assert done.stdout.count("threads and tasks of the run, innermost call first:") == 4
    in_thread = done.stdout.partition("in_thread ___")[2].partition("in_executor ___")[0]
    assert "'patient' waits" in in_thread
    assert "'busy' can run" in in_thread
    assert "storms.py:9 work" in in_thread
    assert "storms.py:13 in_thread" in in_thread


@pytest.mark.parametrize("name", ["in_thread", "in_executor", "in_task", "in_body"])
def test_ctrl_c_ends_the_session_with_the_stacks_of_all_fibers(name: str, tmp_path: Path) -> None:
    """Nobody in the run takes the interrupt."""
    (tmp_path / "storms.py").write_text(STUCK, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *LOADED, "-q", f"storms.py::{name}"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.02)

    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)

    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert "KeyboardInterrupt" in output
    assert "threads and tasks of the run, innermost call first:" in output
    assert re.search(r"storms\.py:[789] work", output)


def test_loading_the_plugin_is_cheap() -> None:
    """Neither greenlet nor asyncio nor sqlite3 is loaded in a session without scenarios."""
    code = (
        "import sys, pytest; before = set(sys.modules); import harness.pytest_plugin; "
        "engine = {'greenlet', 'asyncio', 'sqlite3', 'bytecode'}; "
        "print(sorted(engine & (set(sys.modules) - before)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "[]\n"


def test_a_session_without_scenarios_loads_no_engine(tmp_path: Path) -> None:
    """Collecting and running ordinary tests does not load it either."""
    (tmp_path / "test_ordinary.py").write_text(
        "import sys\n"
        "def test_ordinary():\n"
        "    assert not {'greenlet', 'harness.explore', 'harness.world'} & set(sys.modules)\n",
        encoding="utf-8",
    )

    done = run_pytest(tmp_path, "-q", "-p", "no:asyncio", "-p", "no:anyio")

    assert outcomes(done) == "1 passed"


# --- coverage -------------------------------------------------------------------------------------


def test_coverage_changes_nothing(project: Path) -> None:
    """Steps, tokens and lines are the same with no coverage and with either core."""
    pytest.importorskip("coverage")
    cores = ["", "ctrace", *(["sysmon"] if sys.version_info >= (3, 12) else [])]
    cells, lines = {}, {}
    for core in cores:
        measured = ["-m", "coverage", "run", "--include=*/flights.py,*/broken.py"] if core else []
        done = subprocess.run(
            [sys.executable, *measured, "-m", "harness", "run", "storms.py", "--json"],
            cwd=project,
            env={**environment(), "COVERAGE_CORE": core or "ctrace"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        cells[core] = [
            {key: value for key, value in cell.items() if key != "seconds"}
            for cell in json.loads(done.stdout)
        ]
        if core:
            report = subprocess.run(
                [sys.executable, "-m", "coverage", "json", "-o", "-", "-q"],
                cwd=project,
                env=environment(),
                capture_output=True,
                text=True,
                check=True,
            )
            files = json.loads(report.stdout)["files"]
            lines[core] = {name: entry["executed_lines"] for name, entry in files.items()}

    assert all(found == cells[""] for found in cells.values())
    assert lines["ctrace"] == {"broken.py": [2, 4, 7, 8], "flights.py": [2, 4, 5, 6, 8, 9, 10]}
    assert all(found == lines["ctrace"] for found in lines.values())
