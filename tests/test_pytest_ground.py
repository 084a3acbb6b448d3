"""Preparations that scenarios share under pytest: who shares, and what each still sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.test_pytest_plugin import outcomes, run_pytest

#: Says how often the heap was looked through, and whether anything stands when nothing may.
CONFTEST = """
import threading, time
import pytest
from harness.explore import _Standing
from harness.world import adoption

scans = []
run = adoption._Adopting.run
adoption._Adopting.run = lambda self: (scans.append(1), run(self))[1]

@pytest.fixture
def lock():
    return threading.Lock()

@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(time, "sleep", print)

def pytest_runtest_setup(item):
    if item.name == "six":
        import later

def pytest_runtest_teardown(item):
    print(f"\\n{item.name} scans: {len(scans)}")
"""

STORMS = """
import threading, time
import pytest
from harness import Elapsed, scenario

class Flight:
    '''A subject.'''

class Unlocked(Flight):
    '''F1: any twin.'''

@scenario(Flight, catches={Unlocked: "Failed"})
def one(sim, cls):
    assert cls is Flight

@scenario
def two(sim):
    with sim.storm() as storm:
        storm.spawn(threading.Event().wait, 1)

def test_between():
    assert "harness" not in type(threading.Lock()).__module__
    assert threading.Lock.__module__ == "_thread"

@scenario
def three(sim): ...

@scenario
def with_a_fixture(sim, lock):
    '''A lock that is made between runs excludes nobody unless it is adopted.'''
    inside = []

    def enter():
        with lock:
            inside.append(1)
            assert len(inside) == 1
            sim.pool("origin", latency=1.0).call("x")
            inside.pop()

    with sim.storm() as storm:
        storm.spawn(enter, copies=2)

@scenario
def with_another_sleep(sim, quick): ...

@scenario
def four(sim):
    time.sleep(3600)
    assert sim.now() == 3600

def both():
    '''Enter late's lock for a second.'''
    import late

    with late.lock:
        time.sleep(1)

@scenario
def imports(sim):
    with sim.storm(Elapsed(2)) as storm:
        storm.spawn(both, copies=2)

@scenario
def five(sim):
    with sim.storm(Elapsed(2)) as storm:
        storm.spawn(both, copies=2)

@scenario
def six(sim):
    '''Before it conftest.py imports a module with a lock.'''
    import later
    with later.lock:
        pass

@scenario
def asks_for_one(sim, request):
    assert request.getfixturevalue("lock")
"""

LOCK = "import threading\nlock = threading.Lock()\n"


def test_scenarios_that_follow_one_another_share_a_preparation(tmp_path: Path) -> None:
    """Unless a fixture makes something, a module is imported, or anything else comes between."""
    for name, text in {
        "conftest": CONFTEST,
        "storms": STORMS,
        "storms_more": "from harness import scenario\n\n@scenario\ndef seven(sim): ...\n",
        "late": LOCK,
        "later": LOCK,
    }.items():
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")

    done = run_pytest(tmp_path, "-s", "-p", "no:xdist", "--storm-schedules", "5")

    assert outcomes(done) == "13 passed"
    scans = [line for line in done.stdout.splitlines() if " scans: " in line]
    assert scans == [
        "one[Flight] scans: 1",
        "one[Unlocked] scans: 1",
        "two scans: 1",
        "test_between scans: 1",
        "three scans: 2",
        "with_a_fixture scans: 3",
        "with_another_sleep scans: 4",
        "four scans: 5",
        "imports scans: 5",
        "five scans: 5",
        "six scans: 6",
        "asks_for_one scans: 6",
        "seven scans: 7",
    ]


def test_nothing_stands_after_an_interrupt(tmp_path: Path) -> None:
    """What comes in the summary of a session that was interrupted is real again."""
    (tmp_path / "storms.py").write_text(
        "from harness import scenario\n\n@scenario\ndef one(sim): ...\n\n"
        "@scenario\ndef two(sim):\n    raise KeyboardInterrupt\n\n@scenario\ndef three(sim): ...\n",
        encoding="utf-8",
    )
    (tmp_path / "conftest.py").write_text(
        "import threading\n\ndef pytest_terminal_summary(terminalreporter):\n"
        "    terminalreporter.write_line(f'locks of {threading.Lock.__module__}')\n",
        encoding="utf-8",
    )

    done = run_pytest(tmp_path, "-p", "no:xdist")

    assert done.returncode == pytest.ExitCode.INTERRUPTED
    assert "locks of _thread" in done.stdout


def test_a_time_out_of_the_second_item_is_one(tmp_path: Path) -> None:
    """Its handler is put in place while something stands, and no task may swallow what it says."""
    (tmp_path / "storms.py").write_text(
        """
import asyncio
from harness import scenario

@scenario
def one(sim): ...

@scenario
async def two(sim):
    async def busy():
        while True:
            pow(7, 3000)
    await asyncio.gather(busy(), return_exceptions=True)

@scenario
def three(sim): ...
""",
        encoding="utf-8",
    )

    done = run_pytest(tmp_path, "-p", "no:xdist", "--timeout", "1.5")
    by_thread = run_pytest(
        tmp_path, "-p", "no:xdist", "--timeout", "90", "--timeout-method=thread", "-k", "not two"
    )

    assert outcomes(done) == "1 failed, 2 passed"
    assert "Failed: Timeout (>1.5s) from pytest-timeout." in done.stdout
    assert outcomes(by_thread) == "2 passed, 1 deselected"
