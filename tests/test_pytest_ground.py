"""Preparations that scenarios share under pytest: who shares, and what each still sees."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.test_pytest_plugin import outcomes, run_pytest

#: Says for whom the heap was looked through, and whether anything stands when nothing may.
CONFTEST = """
import os, threading, time
import pytest
from harness.explore import _Standing
from harness.world import adoption

scans = []

def scan(self, run=adoption._Adopting.run):
    scans.append(os.environ["PYTEST_CURRENT_TEST"].partition("::")[2].partition(" ")[0])
    return run(self)

adoption._Adopting.run = scan

@pytest.fixture
def lock():
    return threading.Lock()

@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(time, "sleep", print)

@pytest.fixture(scope="class")
def kept():
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(time, "sleep", print)
        yield

@pytest.fixture(scope="session")
def given(request):
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(time, "sleep", print)
        yield

def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(f"scans: {' '.join(scans)}")
    terminalreporter.write_line(f"{time.sleep}")
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

class TestInside:
    def test_uses(self, kept): ...

    @staticmethod
    @scenario
    def six(sim):
        '''The fixture of the class is taken down after it.'''

@scenario
def eight(sim):
    time.sleep(3600)
    assert sim.now() == 3600

@pytest.mark.parametrize("given", ["a", "b"], indirect=True)
@scenario
def nine(sim, given): ...

@scenario
def asks_for_one(sim, request):
    assert request.getfixturevalue("lock")
"""

LOCK = "import threading\nlock = threading.Lock()\n"


def write(folder: Path, **files: str) -> None:
    """Write `storms.py`, `conftest.py` and others, by name."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")


def test_scenarios_that_follow_one_another_share_a_preparation(tmp_path: Path) -> None:
    """Unless a fixture makes something, or anything else comes between."""
    write(
        tmp_path,
        conftest=CONFTEST,
        storms=STORMS,
        storms_more="from harness import scenario\n\n@scenario\ndef seven(sim): ...\n",
        late=LOCK,
    )

    done = run_pytest(tmp_path, "-p", "no:xdist", "--storm-schedules", "5")

    assert outcomes(done) == "17 passed"
    assert "<built-in function sleep>" in done.stdout
    assert next(
        line for line in done.stdout.splitlines() if line.startswith("scans: ")
    ).split() == [
        "scans:",
        "one[Flight]",
        "three",
        "with_a_fixture",
        "with_another_sleep",
        "four",
        "TestInside::six",
        "eight",
        "nine[a]",
        "nine[b]",
        "asks_for_one",
        "seven",
    ]


def test_workers_share_a_preparation_too(tmp_path: Path) -> None:
    """What pytest-xdist has round an item in a worker is no stranger's."""
    write(
        tmp_path,
        conftest="""
import pathlib
from harness.world import adoption

inside = adoption._Adopting.run

def scan(self):
    with pathlib.Path("scans").open("a") as file:
        file.write("scan ")
    return inside(self)

adoption._Adopting.run = scan
""",
        storms="from harness import scenario\n\n"
        + "".join(f"@scenario\ndef number_{index}(sim): ...\n\n" for index in range(4)),
    )

    done = run_pytest(tmp_path, "-n", "1")

    assert outcomes(done) == "4 passed"
    assert (tmp_path / "scans").read_text("utf-8") == "scan "


@pytest.mark.parametrize("hook", ["setup", "teardown", "logreport", "protocol"])
def test_where_a_conftest_has_a_hook_round_items_nothing_is_shared(
    hook: str, tmp_path: Path
) -> None:
    """It may make a lock or replace a name, and what stands would not have seen it."""
    hooks = {
        "setup": "def pytest_runtest_setup(item):\n    state.lock = threading.RLock()\n",
        "teardown": "def pytest_runtest_teardown(item):\n    state.lock = threading.RLock()\n",
        "logreport": "def pytest_runtest_logreport(report):\n    state.lock = threading.RLock()\n",
        "protocol": "@pytest.hookimpl(wrapper=True)\ndef pytest_runtest_protocol(item, nextitem):\n"
        "    state.lock = threading.RLock()\n    return (yield)\n",
    }
    write(tmp_path, state="import threading\nlock = threading.RLock()\n")
    write(tmp_path, conftest=f"import threading\nimport pytest\nimport state\n\n{hooks[hook]}")
    write(
        tmp_path,
        storms="""
import time
import state
from harness import Elapsed, scenario

def enter():
    with state.lock:
        time.sleep(1)

@scenario
def one(sim):
    with sim.storm(Elapsed(2)) as storm:
        storm.spawn(enter, copies=2)

@scenario
def two(sim):
    with sim.storm(Elapsed(2)) as storm:
        storm.spawn(enter, copies=2)
""",
    )

    done = run_pytest(tmp_path, "-p", "no:xdist", "--storm-schedules", "5")

    assert outcomes(done) == "2 passed"


def test_items_may_run_in_contexts_of_their_own(tmp_path: Path) -> None:
    """What stands is left in another context than that in which it was prepared."""
    write(
        tmp_path,
        conftest="import contextvars, threading\n\n"
        "def pytest_configure(config):\n"
        "    import harness.pytest_plugin as plugin\n    inside = plugin._run\n"
        "    plugin._run = lambda *given: contextvars.copy_context().run(inside, *given)\n\n"
        "def pytest_unconfigure():\n    print(f'locks of {threading.Lock.__module__}')\n",
    )
    write(
        tmp_path,
        storms="from harness import scenario\n\n@scenario\ndef one(sim): ...\n\n"
        "@scenario\ndef two(sim): ...\n\ndef test_three(): ...\n",
    )

    done = run_pytest(tmp_path, "-s", "-p", "no:xdist")

    assert " 3 passed " in done.stdout
    assert "locks of _thread" in done.stdout


def test_what_ran_before_decides_no_token(tmp_path: Path) -> None:
    """A rule that looks at locks has them named; whoever comes after it is none the wiser."""
    write(
        tmp_path,
        storms="""
import threading
from harness import Pass, scenario

def take(first, second):
    with first:
        with second:
            pass

@scenario
def watcher(sim):
    sim.inject(lambda site: Pass())
    with sim.storm() as storm:
        storm.spawn(take, threading.Lock(), threading.Lock())

@scenario
def victim(sim):
    a = threading.Lock()
    b = threading.Lock()
    c = threading.Lock()
    d = threading.Lock()
    with sim.storm() as storm:
        storm.spawn(take, a, b)
        storm.spawn(take, c, d)
        storm.spawn(take, d, c)
        storm.spawn(take, b, a)
""",
    )
    given = ("-p", "no:xdist", "--storm-strategy", "random", "--no-storm-corpus")

    alone = run_pytest(tmp_path, *given, "-k", "victim")
    after = run_pytest(tmp_path, *given)

    tokens = [re.findall(r"t1:[\w-]+", done.stdout) for done in (alone, after)]
    assert tokens[0]
    assert tokens[0] == tokens[1]


def test_nothing_stands_after_an_interrupt(tmp_path: Path) -> None:
    """What comes in the summary of a session that was interrupted is real again."""
    write(
        tmp_path,
        storms="from harness import scenario\n\n@scenario\ndef one(sim): ...\n\n"
        "@scenario\ndef two(sim):\n    raise KeyboardInterrupt\n\n@scenario\ndef three(sim): ...\n",
    )
    write(
        tmp_path,
        conftest="import threading\n\ndef pytest_terminal_summary(terminalreporter):\n"
        "    terminalreporter.write_line(f'locks of {threading.Lock.__module__}')\n",
    )

    done = run_pytest(tmp_path, "-p", "no:xdist")

    assert done.returncode == pytest.ExitCode.INTERRUPTED
    assert "locks of _thread" in done.stdout


def test_who_looks_at_a_failure_finds_everything_real(tmp_path: Path) -> None:
    """A debugger opens where the next scenario could have begun."""
    write(
        tmp_path,
        storms="from harness import scenario\n\n"
        "@scenario\ndef one(sim):\n    assert sim is None\n\n@scenario\ndef two(sim): ...\n",
    )
    write(
        tmp_path,
        conftest="import threading\n\ndef pytest_exception_interact():\n"
        "    print(f'locks of {threading.Lock.__module__}')\n",
    )

    done = run_pytest(tmp_path, "-s", "-p", "no:xdist")

    assert "locks of _thread" in done.stdout


def test_who_ends_the_session_between_two_items_finds_everything_real(tmp_path: Path) -> None:
    """Fixtures of the session are taken down, and files written, before it is unconfigured."""
    write(
        tmp_path,
        storms="import pytest, threading\nfrom harness import scenario\n\n"
        "@pytest.fixture(scope='session')\ndef kept():\n    yield\n"
        "    print(f'locks of {threading.Lock.__module__}')\n\n"
        "@scenario\ndef one(sim, kept): ...\n\n@scenario\ndef two(sim, kept): ...\n",
    )
    # Where a known plugin would be told: the reports of a conftest.py's own hook share nothing.
    write(
        tmp_path,
        conftest="import gc, pytest, threading\nfrom harness.pytest_ground import Grounds\n\n"
        "left = Grounds.pytest_runtest_teardown\n\n"
        "def leave(self, item, nextitem):\n    left(self, item, nextitem)\n"
        "    pytest.exit('enough')\n\n"
        "Grounds.pytest_runtest_teardown = leave\n"
        "leave.pytest_impl = left.pytest_impl\n"
        "leave.__module__ = left.__module__\n\n"
        "def pytest_sessionfinish():\n"
        "    is_clean = gc.isenabled() and gc.get_freeze_count() < 1000\n"
        "    print(f'{threading.Lock.__module__} is clean: {is_clean}')\n",
    )

    done = run_pytest(tmp_path, "-s", "-p", "no:xdist")

    assert "locks of _thread" in done.stdout
    assert "_thread is clean: True" in done.stdout


def test_a_time_out_of_the_second_item_is_one(tmp_path: Path) -> None:
    """Its handler is put in place while something stands, and no task may swallow what it says."""
    write(
        tmp_path,
        storms="""
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
    )

    done = run_pytest(tmp_path, "-p", "no:xdist", "--timeout", "1.5")
    by_thread = run_pytest(
        tmp_path, "-p", "no:xdist", "--timeout", "90", "--timeout-method=thread", "-k", "not two"
    )

    assert outcomes(done) == "1 failed, 2 passed"
    assert "Failed: Timeout (>1.5s) from pytest-timeout." in done.stdout
    assert outcomes(by_thread) == "2 passed, 1 deselected"
