"""The wheel as a user has it: installed from a file, in an environment without this repository.

`make test-all` runs this on every other interpreter of the machine too.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.interpreters import wheel
from tests.pages import Reader

# The environment may have to be made first.
pytestmark = pytest.mark.timeout(600)

INSIDE = """
import importlib.metadata as metadata
import importlib.util
import json
import pathlib
import sys

import harness

print(json.dumps({
    "version": sys.version.split()[0],
    "prefix": sys.prefix,
    "file": harness.__file__,
    "typed": pathlib.Path(harness.__file__).with_name("py.typed").is_file(),
    "loaded": [name for name in ("greenlet", "asyncio", "sqlite3") if name in sys.modules],
    "others": [name for name in ("scenarios", "tests") if importlib.util.find_spec(name)],
    "top_level": sorted(
        {file.parts[0] for file in metadata.files("faultloom") if ".." not in file.parts}
    ),
    "points": sorted(
        (point.group, point.name, point.value)
        for point in metadata.distribution("faultloom").entry_points
    ),
    "public": [name for name in harness.__all__ if getattr(harness, name, None) is None],
}))
"""

TEST = '''
"""A user's own test, of a user's own code."""

import threading

from harness import scenario


class Counter:
    def __init__(self, lock):
        self.value = 0
        self.lock = lock

    def add(self):
        if self.lock is None:
            self.value += 1
        else:
            with self.lock:
                self.value += 1


def all_are_counted(sim, counter):
    with sim.storm() as storm:
        storm.spawn(counter.add, copies=2)
    assert counter.value == 2


@scenario
def test_with_a_lock(sim):
    all_are_counted(sim, Counter(threading.Lock()))


@scenario
def test_without(sim):
    all_are_counted(sim, Counter(None))


def test_that_is_no_scenario():
    assert Counter(None).value == 0
'''


def user(python: Path, folder: Path) -> Reader:
    """Return a user who has the wheel, and nothing else of ours."""
    return Reader(folder, wheel.clean_environment(python, folder))


def test_it_is_installed_without_the_repository(wheel_python: Path, tmp_path: Path) -> None:
    """All that is there comes from the wheel: typed, two ways in, and no folder beside harness."""
    somebody = user(wheel_python, tmp_path)
    (tmp_path / "inside.py").write_text(INSIDE, "utf-8")

    found = json.loads(somebody.run("python -W error inside.py"))

    assert Path(found["file"]).is_relative_to(found["prefix"])
    assert Path(found["prefix"]) == wheel_python.parents[1]
    assert found["typed"] is True
    assert found["loaded"] == found["others"] == found["public"] == []
    (metadata,) = (name for name in found["top_level"] if name != "harness")
    assert re.fullmatch(r"faultloom-[\w.]+\.dist-info", metadata)
    assert found["points"] == [
        ["console_scripts", "faultloom", "harness.cli:main"],
        ["pytest11", "faultloom", "harness.pytest_plugin"],
    ]


def test_both_commands_are_there(wheel_python: Path, tmp_path: Path) -> None:
    """`faultloom` and `python -m harness` say the same; `pytest --help` shows every option."""
    somebody = user(wheel_python, tmp_path)

    script, module = somebody.run("faultloom --help"), somebody.run("python -m harness --help")
    options = set(
        re.findall(r"^  (--[\w-]*storm-[\w-]+)", somebody.run("pytest --help"), re.MULTILINE)
    )

    assert script == module
    assert "matrix" in script
    assert options == {
        "--no-storm-corpus",
        "--storm-check-determinism",
        "--storm-corpus",
        "--storm-emit-test",
        "--storm-granularity",
        "--storm-html",
        "--storm-order",
        "--storm-profile",
        "--storm-replay",
        "--storm-schedules",
        "--storm-seed",
        "--storm-strategy",
        "--storm-time",
        "--storm-timeouts",
        "--storm-unfinished",
        "--storm-worth",
    }


def test_a_test_of_the_users_own_works(wheel_python: Path, tmp_path: Path) -> None:
    """One scenario holds, one is caught with a token, and that token brings it back."""
    somebody = user(wheel_python, tmp_path)
    (tmp_path / "test_counter.py").write_text(TEST, "utf-8")

    printed = somebody.run("pytest -q test_counter.py")

    assert "1 failed, 2 passed" in printed
    assert "assert counter.value == 2" in printed or "assert 1 == 2" in printed
    assert "python -m harness replay t1:" in printed
    again = somebody.run("python -m harness replay t1:…")
    assert somebody.status == 1
    assert "reproduced 10/10" in again


def test_a_new_component_passes_at_once(wheel_python: Path, tmp_path: Path) -> None:
    """`new` in an empty folder; then the matrix, and then pytest. For threads, see the page."""
    somebody = user(wheel_python, tmp_path)
    somebody.run("faultloom new feed --asyncio")

    matrix = somebody.run("python -m harness matrix feed")
    assert somebody.status == 0, matrix
    assert "20 of 20 cells as declared" in matrix
    tests = somebody.run("pytest -q feed")

    assert somebody.status == 0, tests
    # Each cell, and three ordinary tests.
    assert "23 passed" in tests
