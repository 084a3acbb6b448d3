"""The command line: what it prints, and what it exits with."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from harness.core.token import Token

pytestmark = pytest.mark.one_ground

REFERENCE = """
import threading

class Flight:
    def __init__(self):
        self.lock = threading.Lock()

    def go(self, origin):
        with self.lock:
            origin.call("user:1")
"""

BROKEN = """
from .reference import Flight

class Unlocked(Flight):
    '''F1: flies without the lock.'''

    def go(self, origin):
        origin.call("user:1")

class Same(Flight):
    '''F2: flies as it should.'''
"""

STORMS = """
from harness import Elapsed, MaxInFlight, scenario
from .broken import Same, Unlocked
from .reference import Flight

@scenario(Flight, catches={Unlocked: MaxInFlight})
def take_off(sim, cls):
    '''One at a time.'''
    print("noise")
    origin = sim.pool("origin", latency=1.0)
    flight = cls()
    with sim.storm(MaxInFlight(origin, 1)) as storm:
        storm.spawn(flight.go, origin, copies=3)

@scenario(Flight, matrix=False)
async def land(sim, cls):
    '''Three at once.'''
    origin = sim.pool("origin", latency=1.0)
    async with sim.storm(Elapsed(1.0)) as storm:
        storm.spawn(origin.call, copies=3)
"""

LATER = """
from harness import scenario

@scenario
def waits(sim):
    sim.advance(5.0)

@scenario
def is_wrong(sim):
    total = 40 + 1
    assert total == 42
"""

HANGAR = """
class Hangar:
    def __init__(self):
        self.planes = 0

    def enter(self):
        self.planes = self.planes + 1
"""

KEPT = """
from harness import scenario

@scenario
def test_all_are_counted(sim):
    hangar = Hangar()
    with sim.storm() as storm:
        storm.spawn(hangar.enter, copies=2)
    assert hangar.planes == 2

@scenario
def test_one_is_counted(sim):
    hangar = Hangar()
    with sim.storm() as storm:
        storm.spawn(hangar.enter)
    assert hangar.planes == 1
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one component, whose cells are all as declared."""
    folder = tmp_path / "scenarios" / "airport"
    folder.mkdir(parents=True)
    for name, text in (("reference", REFERENCE), ("broken", BROKEN), ("storms", STORMS)):
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr of one command."""
    code = main(arguments)
    out, err = capsys.readouterr()
    return code, out, err


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """Return what a command prints as JSON, without the seconds."""
    _, out, _ = run(capsys, *arguments, "--json")
    cells = json.loads(out)
    for cell in cells:
        if "seconds" in cell:
            assert isinstance(cell.pop("seconds"), float)
    return cells


# --- list -----------------------------------------------------------------------------------------


def test_list_json_has_exactly_these_fields(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stable names, paths relative to the current folder, one row a variant."""
    code, out, err = run(capsys, "list", "--json")

    assert (code, err) == (0, "")
    assert json.loads(out) == [
        {
            "name": "take_off",
            "path": "scenarios/airport/storms.py",
            "component": "airport",
            "flavour": "threads",
            "subject": "Flight",
            "variants": [{"class": "Unlocked", "row": "F1"}, {"class": "Same", "row": "F2"}],
            "checks": ["MaxInFlight"],
        },
        {
            "name": "land",
            "path": "scenarios/airport/storms.py",
            "component": "airport",
            "flavour": "mixed",
            "subject": "Flight",
            "variants": [],
            "checks": ["Elapsed"],
        },
    ]
    assert project.is_dir()


def test_list_is_a_plain_table_off_a_terminal(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Columns of text, no frames and no colours."""
    code, out, _ = run(capsys, "list", "land")

    assert code == 0
    titles, row = out.splitlines()
    assert titles.split() == ["scenario", "component", "flavour", "subject", "variants", "claim"]
    assert row.split(maxsplit=5) == ["land", "airport", "mixed", "Flight", "0", "Three at once."]
    assert "\x1b" not in out
    assert project.is_dir()


# --- run and matrix -------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run", "matrix"])
def test_cells_as_declared_exit_with_0(
    command: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """JSON alone on stdout, though code under test prints; two runs are equal but for seconds."""
    code, out, err = run(capsys, command, "--schedules", "10", "--json")

    assert code == 0
    cells = json.loads(out)
    assert list(cells[0]) == [
        "scenario",
        "component",
        "class",
        "expected",
        "verdict",
        "schedules",
        "violating",
        "token",
        "steps",
        "virtual_seconds",
        "seconds",
        "exhausted",
        "traces",
        "unseen",
    ]
    found = [(each["scenario"], each["class"], each["expected"], each["verdict"]) for each in cells]
    assert found == [
        ("take_off", "Flight", "holds", "holds"),
        ("take_off", "Unlocked", "MaxInFlight", "MaxInFlight"),
        ("take_off", "Same", "holds", "holds"),
        ("land", "Flight", "holds", "holds"),
    ]
    assert cells[0]["virtual_seconds"] == 30.0
    assert cells[0]["token"] is None
    assert cells[1]["token"].startswith("t1:")
    assert err == ""
    again = run_json(capsys, command, "--schedules", "10")
    in_processes = run_json(capsys, command, "--schedules", "10", "--jobs", "2")
    for each in cells:
        del each["seconds"]
    assert again == cells
    assert in_processes == cells
    assert project.is_dir()


@pytest.mark.parametrize("command", [["matrix", "--jobs", "2"], ["stress", "--workers", "1"]])
def test_what_processes_run_is_not_heard_either(
    command: list[str], project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing of what code under test prints comes out of theirs."""
    code = main([*command, "--schedules", "10"])

    out, err = capfd.readouterr()
    assert code == 0, err
    assert "noise" not in out + err
    assert project.is_dir()


def test_a_matrix_is_a_table(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line a cell, with its row, and the sum."""
    code, out, _ = run(capsys, "matrix", "--schedules", "10")

    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert lines[2] == ["airport", "take_off", "Unlocked", "F1", *["MaxInFlight"] * 2, "3/3"]
    assert "4 of 4 cells as declared" in out
    assert project.is_dir()


def test_a_cell_not_as_declared_exits_with_1(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The verdict is shown, with the operands of the assert and the command that replays it."""
    (project / "scenarios" / "airport" / "storms_later.py").write_text(LATER, encoding="utf-8")

    code, out, _ = run(capsys, "run", "is_wrong", "waits", "--schedules", "3")

    assert code == 1
    assert "ok   waits: Holds (" in out
    assert "FAIL is_wrong: Failed, declared holds (1 of 1 schedules" in out
    assert "assert 41 == 42" in out
    assert "replay     python -m harness replay t1:" in out
    assert run_json(capsys, "run", "is_wrong")[0]["class"] is None


def test_one_class_alone_is_shown_with_its_verdict(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in the README: who is inside, and where."""
    code, out, _ = run(capsys, "run", "take_off", "--class", "Unlocked")

    assert code == 0
    assert "Violation: 'origin' had 2 calls in flight, allowed 1." in out
    assert "take_off, Unlocked, strategy plain, asyncio order n/a, timeouts idle" in out
    assert "broken.py:8" in out
    assert project.is_dir()


def test_a_green_verdict_says_what_it_is_worth(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Proved, or so many schedules and how likely the next one shows something new."""
    _, proved, _ = run(capsys, "run", "take_off", "--class", "Flight", "--strategy", "exhaustive")
    _, sampled, _ = run(capsys, "run", "take_off", "--class", "Flight", "--strategy", "surw")
    _, several, _ = run(capsys, "run", "take_off", "--strategy", "surw")
    _, known, _ = run(capsys, "run", "take_off", "--strategy", "exhaustive")
    (cell,) = run_json(capsys, "run", "take_off", "--class", "Flight", "--strategy", "surw")

    # Of several cells each has one line.
    assert re.search(
        r"^ok   take_off\[Flight\]: Holds \(100 schedules\) in \d+\.\d\d s; "
        r"6 traces, at most 0\.0% unseen\.$",
        several,
        re.MULTILINE,
    )
    assert re.search(
        r"^ok   take_off\[Flight\]: Holds \(exhausted: \d+ traces\) in \d+\.\d\d s\.$",
        known,
        re.MULTILINE,
    )
    assert re.search(r"ok   take_off\[Flight\]: Holds \(exhausted: (\d+) traces\) in ", proved)
    assert re.search(r"traces     \d+, and there are no others", proved)
    assert "ok   take_off[Flight]: Holds (100 schedules) in " in sampled
    assert "unseen     at most, for the next run: surw 0.0% of 100" in sampled
    assert "at most 0.0% unseen." not in sampled
    assert (cell["exhausted"], cell["traces"], cell["unseen"]) == (False, 6, {"surw": 0.0})
    assert project.is_dir()


def test_seeds_are_one_random_walk_each(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--seeds 3:8` is five schedules."""
    cells = run_json(capsys, "run", "take_off", "--class", "Flight", "--seeds", "3:8")

    assert [cell["schedules"] for cell in cells] == [5]
    assert project.is_dir()


def test_seeds_that_fail_are_listed_and_each_replays(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All seeds are run, however many fail before, and each that fails comes with a token."""
    held, caught, _ = run_json(capsys, "run", "take_off", "--seeds", "0:12")

    tokens = {each["seed"]: each["token"] for each in caught["failing"]}
    replayed = [run(capsys, "replay", token)[0] for token in tokens.values()]

    assert (held["class"], held["schedules"], held["failing"]) == ("Flight", 12, [])
    assert (caught["class"], caught["schedules"]) == ("Unlocked", 12)
    assert list(tokens) == sorted(tokens)
    assert caught["violating"] == len(tokens) > 3
    assert {each["check"] for each in caught["failing"]} == {"MaxInFlight"}
    assert replayed == [1] * len(tokens)
    assert project.is_dir()


def test_plain_is_one_schedule(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The empty tape."""
    cells = run_json(capsys, "run", "--class", "Flight", "--strategy", "plain")

    assert [cell["schedules"] for cell in cells] == [1, 1]
    assert project.is_dir()


def test_a_path_may_be_any_file(
    project: Path, capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Outside the current folder too, and called as its owner likes."""
    file = tmp_path_factory.mktemp("elsewhere") / "my-own checks.py"
    file.write_text(LATER, encoding="utf-8")

    cells = run_json(capsys, "run", f"{file}::waits", "--schedules", "2")
    found = run_json(capsys, "list", str(file))

    assert [cell["verdict"] for cell in cells] == ["holds"]
    assert [each["name"] for each in found] == ["waits", "is_wrong"]
    assert found[0]["path"] == file.as_posix()
    assert project.is_dir()


@pytest.mark.parametrize(
    ("folder", "files", "imported"),
    [
        ("hangar", ["hangar.py"], "from hangar import Hangar"),
        ("runway", ["runway/__init__.py"], "from runway import Hangar"),
        ("terminal", ["terminal.py", "__init__.py"], "from terminal.terminal import Hangar"),
        ("lounge", ["lounge.py", "__init__.py"], "from .lounge import Hangar"),
    ],
)
def test_a_module_may_be_called_as_its_folder(
    folder: str,
    files: list[str],
    imported: str,
    project: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A folder without __init__.py is no package, as for pytest; alike here and in processes."""
    here = project / folder
    for name in files:
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(HANGAR, encoding="utf-8")
    (here / f"test_{folder}.py").write_text(imported + KEPT, encoding="utf-8")

    cells = run_json(capsys, "run", folder)
    in_processes = run_json(capsys, "run", folder, "--jobs", "2")
    code, out, err = run(capsys, "replay", cells[0]["token"])

    assert [cell["verdict"] for cell in cells] == ["Failed", "holds"]
    assert in_processes == cells
    assert (code, err) == (1, "")
    assert "not made here" not in out


def test_a_failure_names_nothing_that_only_this_process_knows(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An object has no address, a class and a lock no package but one that somebody wrote."""
    file = project / "shop.py"
    file.write_text(
        textwrap.dedent("""
            import threading
            from harness import scenario

            STOCK, ORDERS = threading.Lock(), threading.Lock()

            class Till:
                total = 41

            @scenario
            def is_wrong(sim):
                till = Till()
                assert till.total == 42

            @scenario
            def crossed(sim):
                def one():
                    with STOCK:
                        with ORDERS: pass
                def two():
                    with ORDERS:
                        with STOCK: pass
                with sim.storm() as storm:
                    storm.spawn(one)
                    storm.spawn(two)
        """),
        encoding="utf-8",
    )

    _, out, _ = run(capsys, "run", str(file), "--html", "page.html", "--trace", "trace.json")

    written = out + "".join((project / name).read_text() for name in ("page.html", "trace.json"))
    assert "where 41 = <shop.Till object>.total" in out
    assert "one waits for shop.ORDERS, held by two" in out
    assert not re.search("at 0x[0-9a-f]{6}", written)
    assert "harness_scenarios_" not in written


def test_a_scenario_with_fixtures_does_not_lose_the_others(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said on stderr, the others are run, and the exit code is 2."""
    (project / "scenarios" / "airport" / "storms_later.py").write_text(
        "from harness import scenario\n@scenario\ndef wants(sim, tmp_path): ...\n", encoding="utf-8"
    )

    code, out, err = run(capsys, "run", "wants", "land", "--schedules", "2", "--json")

    assert code == 2
    assert [cell["verdict"] for cell in json.loads(out)] == ["inconclusive", "holds"]
    assert "asks for the fixtures tmp_path: only pytest has them" in err


def test_a_misuse_inside_a_run_does_not_lose_the_others(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A negative latency and a pool of size 0 are named in one line each."""
    (project / "scenarios" / "airport" / "storms_later.py").write_text(
        textwrap.dedent("""
            from harness import scenario

            @scenario
            def no_slots(sim):
                sim.pool("origin", size=0)

            @scenario
            def too_early(sim):
                sim.pool("origin", latency=-1)
        """),
        encoding="utf-8",
    )

    code, _, err = run(capsys, "run", "scenarios", "--schedules", "2", "--json")

    assert code == 2
    lines = [line for line in err.splitlines() if line.startswith("faultloom: ")]
    assert len(lines) == 2
    assert "no_slots: size=0 must be at least 1" in lines[0]
    assert "too_early: latency=-1" in lines[1]


# --- replay ---------------------------------------------------------------------------------------


def test_replay_exits_with_1_when_the_violation_comes_back(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And prints the verdict, with the same token; of what code under test prints, one run's."""
    (cell,) = run_json(capsys, "run", "take_off", "--class", "Unlocked")

    code, out, err = run(capsys, "replay", cell["token"])

    assert code == 1
    assert out.startswith("Violation: 'origin' had 2 calls in flight, allowed 1.\n")
    assert out.endswith(f"replay     python -m harness replay {cell['token']}\n")
    assert err == "noise\n"
    assert project.is_dir()


def test_replay_exits_with_0_when_the_run_holds(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The code was mended since."""
    (cell,) = run_json(capsys, "run", "take_off", "--class", "Unlocked")
    mended = BROKEN.replace('origin.call("user:1")', "super().go(origin)")
    other = project / "other"
    other.mkdir()
    (project / "scenarios").rename(other / "scenarios")
    (other / "scenarios" / "airport" / "broken.py").write_text(mended, encoding="utf-8")

    # A process of its own: this one has imported the code as it was.
    done = subprocess.run(
        [sys.executable, "-m", "harness", "replay", cell["token"]],
        cwd=other,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "scenarios/airport/storms.py::take_off, Unlocked: the run holds (" in done.stdout


def test_a_token_of_other_code_says_so_and_offers_a_search(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run is shown as it is; what differs is named, with the command of a fresh search."""
    arguments = ("--class", "Unlocked", "--seed", "7", "--strategy", "urw", "--order", "fifo")
    (cell,) = run_json(capsys, "run", "take_off", *arguments)
    found = Token.decode(cell["token"])
    other = replace(found, fingerprint="0" * 16, interpreter="cpython-2.7").encode()

    code, out, _ = run(capsys, "replay", other)

    assert code == 1
    differs, interpreters, _, command, *verdict = out.splitlines()
    assert differs.startswith(
        f"This token was made elsewhere or earlier: the code has changed: {'0' * 16} "
    )
    assert interpreters.startswith(
        "This token was made elsewhere or earlier: the interpreter was cpython-2.7"
    )
    assert command.strip() == (
        "python -m harness run scenarios/airport/storms.py::take_off --class Unlocked "
        "--seed 7 --strategy urw --order fifo"
    )
    assert verdict[0] == "Violation: 'origin' had 2 calls in flight, allowed 1."
    assert run(capsys, *command.split()[3:])[0] == 0, "and that command can be run"
    assert "made elsewhere" not in run(capsys, "replay", cell["token"])[1]
    assert project.is_dir()


def test_a_replay_stops_in_the_debugger_at_a_step(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the frame of the code under test, before the access; from there on it is pdb."""
    (project / "scenarios" / "airport" / "storms_later.py").write_text(COUNTED, encoding="utf-8")
    (cell,) = run_json(capsys, "run", "counts")
    line = COUNTED.splitlines().index("        self.total = self.total + 1") + 1

    done = _debugged(project, cell["token"], "6", "p self.total\nup 0\nnext\ncontinue\n")
    quitted = _debugged(project, cell["token"], "6", "quit\n")

    assert f"storms_later.py({line})add()" in done.stdout
    assert "-> self.total = self.total + 1" in done.stdout
    assert "(Pdb) 0\n" in done.stdout
    assert "--Return--" in done.stdout
    assert "Violation: an assert of the scenario failed: assert 1 == 2" in done.stdout
    assert done.returncode == 1
    assert quitted.returncode == 130
    assert "at or after" not in done.stdout


def test_a_replay_stops_at_the_last_place_before_the_end(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The step that a verdict names is the end, where nobody is about to do anything."""
    (project / "scenarios" / "airport" / "storms_later.py").write_text(STUCK, encoding="utf-8")
    (cell,) = run_json(capsys, "run", "waits_for_ever")
    verdict = run(capsys, "replay", cell["token"])[1]
    end = int(verdict.partition("when       step ")[2].partition(",")[0])

    at_end = _debugged(project, cell["token"], str(end), "continue\n")
    beyond = _debugged(project, cell["token"], str(end + 1), "")

    told, where, *_ = at_end.stdout.splitlines()
    last = int(where.split()[1].rstrip(","))
    assert told == f"The run comes to no scheduling point at or after step {end}: this is its last."
    assert last < end
    assert "(Pdb) Violation: " in at_end.stdout
    assert at_end.returncode == 1
    assert beyond.stderr == (
        f"faultloom: stop-at={end + 1} is after the end, step {end}. "
        f"The last step to stop at is {last}.\n"
    )
    assert beyond.returncode == 2


def test_a_stop_that_comes_later_says_so(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where a step begins at no scheduling point, the next one is taken, and that is told."""
    (project / "scenarios" / "airport" / "storms_later.py").write_text(COUNTED, encoding="utf-8")
    (cell,) = run_json(capsys, "run", "counts")

    done = _debugged(project, cell["token"], "1", "continue\n")

    told, where, *_ = done.stdout.splitlines()
    assert told == "The run comes to no scheduling point at step 1: this is the next."
    assert where == "step 2, MainThread, before this:"


def test_only_the_run_that_stops_is_heard(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What prepares it and what confirms it is not, and neither is a stop that is refused."""
    text = COUNTED.replace("counter = Counter()", "print('begun'); counter = Counter()")
    (project / "scenarios" / "airport" / "storms_later.py").write_text(text, encoding="utf-8")
    (cell,) = run_json(capsys, "run", "counts")

    done = _debugged(project, cell["token"], "6", "continue\n")
    refused = _debugged(project, cell["token"], "600", "")

    assert done.stdout.splitlines()[0] == "begun"
    assert done.stdout.count("begun") == 1
    assert "begun" not in done.stderr + refused.stdout + refused.stderr


STUCK = """
import asyncio
from harness import scenario

@scenario
async def waits_for_ever(sim):
    cleared = asyncio.Event()

    async def sets():
        cleared.set()
        await asyncio.sleep(0)
        cleared.clear()

    async with sim.storm() as storm:
        storm.spawn(sets)
        storm.spawn(cleared.wait)
"""

COUNTED = """
from harness import scenario

class Counter:
    def __init__(self):
        self.total = 0

    def add(self):
        self.total = self.total + 1

@scenario
def counts(sim):
    counter = Counter()
    with sim.storm() as storm:
        storm.spawn(counter.add, copies=2)
    assert counter.total == 2
"""


def _debugged(folder: Path, token: str, step: str, typed: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", "replay", token, "--stop-at", step],
        cwd=folder,
        env=_environment(),
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}


# --- files that cannot be imported ----------------------------------------------------------------


@pytest.fixture
def torn(project: Path) -> str:
    """What is told of a project of which one file cannot be imported, nor the variants of another.

    They stand before the others.
    """
    for name, text in (("aground/storms", "FLIGHT"), ("adrift/broken", "def")):
        (project / "scenarios" / name).parent.mkdir()
        (project / "scenarios" / f"{name}.py").write_text(text, encoding="utf-8")
    (project / "scenarios" / "adrift" / "storms.py").write_text(
        "from harness import scenario\n@scenario(int)\ndef drifts(sim, cls): ...\n",
        encoding="utf-8",
    )
    return (
        "scenarios/aground/storms.py cannot be imported: NameError: name 'FLIGHT' is not defined "
        "(scenarios/aground/storms.py:1)"
    )


@pytest.mark.parametrize("command", ["list", "run", "matrix"])
def test_a_file_that_cannot_be_imported_does_not_lose_the_others(
    command: str, torn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What can be run is run and shown, each file is one line, and the exit code is 2."""
    code, out, err = run(capsys, command, "scenarios", "--schedules", "2", "--json")

    first, second = err.splitlines()
    shown = {each.get("scenario", each.get("name")) for each in json.loads(out)}
    assert code == 2
    assert shown == {"take_off", "land"}
    assert first == f"faultloom: {torn}"
    assert second.startswith("faultloom: scenarios/adrift/broken.py cannot be imported: SyntaxErr")


def test_a_campaign_begins_with_all_of_its_scenarios_or_not_at_all(
    torn: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once the file was mended, other scenarios than those of its plan would be there."""
    code, out, err = run(capsys, "stress", "scenarios", "--schedules", "2")

    assert (code, out) == (2, "")
    assert err == (
        "faultloom: Nothing is begun, since a campaign is planned as a whole: "
        f"{torn} (and 1 more)\n"
    )
    assert not (project / "campaign.sqlite").exists()


@pytest.mark.parametrize("command", ["list", "run", "stress"])
@pytest.mark.parametrize("others", [[], ["scenarios"]])
def test_a_name_that_was_mistyped_is_told_first(
    command: str, others: list[str], torn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever else is wrong; it may be in a file that cannot be imported, so that is told too."""
    code, out, err = run(capsys, command, *others, "nothere")

    assert (code, out) == (2, "")
    assert err.startswith("faultloom: scenario='nothere' is unknown: no file or folder, and no sc")
    assert err.endswith(f"{torn}\n")
    assert err.count("\n") == 1


@pytest.mark.usefixtures("torn")
def test_a_name_is_found_beside_a_file_that_cannot_be_imported(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The file is not what was asked for."""
    code, out, err = run(capsys, "run", "land", "--schedules", "2")

    assert (code, err) == (0, "")
    assert "1 of 1 cells as declared" in out


# --- misuse ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["run", "nothing"], "scenario='nothing' is unknown: no scenario, file or folder."),
        (["replay", "t1:x", "--stop-at", "0"], "stop-at=0 must be at least 1"),
        (["run", "scenarios/airport/storms.py::nothing"], "is unknown"),
        (["run", "nowhere/storms.py"], "is no file or folder that can be read"),
        (["run", "nowhere.py"], "is no file or folder that can be read"),
        (["run", "empty"], "has no function under @scenario"),
        (["run", "scenarios/airport/reference.py"], "has no function under @scenario"),
        (["run", "notes.txt"], "is no Python file"),
        (
            ["run", "raises.py"],
            "raises.py cannot be imported: ZeroDivisionError: division by zero (raises.py:1)\n",
        ),
        (["run", "leaves.py"], "leaves.py cannot be imported: SystemExit: 3 (leaves.py:1)\n"),
        (["run", "torn.py"], "torn.py cannot be imported: SyntaxError: invalid syntax (torn.py, l"),
        (["run", "wrong.py"], "wrong.py: check='MaxFlight' is not known"),
        (["run", "--seed", "-1"], "seed=-1 must be"),
        (["run", "--seed", str(2**64)], "must be an integer with 0 ≤ seed < 2**64"),
        (["run", "--seed", "one"], "invalid int value: 'one'"),
        (["run", "--seeds", "5:3"], "seeds=(5, 3) must not be empty"),
        (["run", "--seeds", "5"], "must be two integers A:B"),
        (["run", "--seeds=-1:3"], "must be"),
        (["run", "--schedules", "0"], "schedules=0 must be"),
        (["run", "--jobs", "0"], "jobs=0 must be at least 1"),
        (["run", "--strategy", "luck"], "strategy='luck' must be one of"),
        (["run", "--granularity", "fine"], "one of sync, shared. Leave it out for 'shared'."),
        (["run", "--order", "none"], "one of fifo, tasks, any. Leave it out for 'tasks'."),
        (["run", "--timeouts", "soon"], "one of race, cost, idle. Leave it out for 'idle'."),
        (["run", "--class", "Boeing"], "class='Boeing' is a class of none of these scenarios"),
        (["run", "--nonsense"], "unrecognized arguments: --nonsense"),
        (["fly"], "invalid choice: 'fly'"),
        ([], "COMMAND"),
        (["replay"], "TOKEN"),
        (["replay", "t1:nonsense"], "is not a token"),
        (["replay", "nonsense"], "is not a token: it does not start with t1:"),
        (["replay", ""], "is not a token"),
    ],
)
def test_misuse_is_one_line_and_exit_code_2(
    arguments: list[str], line: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing on stdout, one line on stderr, no traceback."""
    (project / "empty").mkdir()
    (project / "notes.txt").write_text("", encoding="utf-8")
    (project / "raises.py").write_text("1 / 0", encoding="utf-8")
    (project / "leaves.py").write_text("raise SystemExit(3)", encoding="utf-8")
    (project / "torn.py").write_text("def", encoding="utf-8")
    (project / "wrong.py").write_text(
        "from harness import scenario\n"
        "class A: ...\n"
        "class B(A): ...\n"
        "@scenario(A, catches={B: 'MaxFlight'})\n"
        "def f(sim, cls): ...\n",
        encoding="utf-8",
    )

    code, out, err = run(capsys, *arguments)

    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1, err
    assert err.startswith("faultloom: ")
    assert line in err


def test_the_module_is_the_command() -> None:
    """`python -m harness` exits with what `main` returns."""
    done = subprocess.run(
        [sys.executable, "-m", "harness", "replay", "nonsense"],
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("faultloom: token='nonsense' is not a token")


@pytest.mark.parametrize("arguments", [["list"], ["stress"], ["replay", "t1:x"], ["results", "x"]])
def test_an_interpreter_without_the_dependencies_is_named(
    arguments: list[str], project: Path
) -> None:
    """One line, with the way out: a clone and the first python3 at hand."""
    done = subprocess.run(
        # Without what was installed.
        [sys.executable, "-S", "-m", "harness", *arguments],
        cwd=project,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(
        rf"faultloom: No module named '\w+': {re.escape(sys.executable)} has not what faultloom "
        r"needs\. Write pip install faultloom, or in a clone \.venv/bin/python -m harness, .*\.\n",
        done.stderr,
    )


@pytest.mark.parametrize("arguments", [["list"], ["run", "--schedules", "2"], ["--help"]])
@pytest.mark.parametrize("errors", [subprocess.PIPE, subprocess.STDOUT])
def test_a_reader_that_has_seen_enough_is_no_news(
    arguments: list[str], errors: int, project: Path
) -> None:
    """As in `| head -3`: nothing on stderr, and the exit code that Python's documentation names."""
    read, write = os.pipe()
    os.close(read)

    done = subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        cwd=project,
        # What is still to be written when the command ends is what this is about.
        env={**_environment(), "PYTHONUNBUFFERED": ""},
        stdout=write,
        stderr=errors,
        check=False,
    )
    os.close(write)

    assert (done.returncode, done.stderr or b"") == (1, b"")


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """For a report of a fault."""
    with pytest.raises(SystemExit) as left:
        main(["--version"])

    assert left.value.code == 0
    assert capsys.readouterr().out.startswith("faultloom")


def test_a_progress_bar_shows_on_a_terminal_only(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is drawn on stderr, and stdout stays JSON."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)

    _, out, err = run(capsys, "run", "land", "--schedules", "2", "--json")

    assert json.loads(out)
    assert err
    assert project.is_dir()
