"""What `make test-all` runs on another interpreter, and with what it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.interpreters import environment, everywhere, finding, rivals

STORMS = """
import harness
from harness import scenario

def helper(): ...

@{decorator}
{keyword} cold_key(sim): ...

@scenario
def second(sim): ...
"""


@pytest.mark.parametrize("keyword", ["def", "async def"])
@pytest.mark.parametrize(
    "decorator", ["scenario", "scenario(Subject)", "harness.scenario(Subject, catches={})"]
)
def test_the_first_scenario_of_a_file_is_chosen(decorator: str, keyword: str) -> None:
    """However it is decorated, the first scenario stands for its component."""
    source = STORMS.format(decorator=decorator, keyword=keyword)

    assert everywhere.first_scenario(source) == "cold_key"


def test_a_file_without_scenarios_has_none() -> None:
    """Other decorated functions are not scenarios."""
    assert everywhere.first_scenario("@cache\ndef f(): ...\n@other.thing\nclass C: ...") is None


def test_one_storm_per_component(tmp_path: Path) -> None:
    """Every component is there once, named as pytest wants it."""
    for part in ("lifecycle/reader", "lifecycle/virtual_file", "queue/asgi"):
        path = tmp_path / "scenarios" / part / "storms.py"
        path.parent.mkdir(parents=True)
        path.write_text(
            f"@scenario\ndef of_{path.parent.name}(sim): ...\n@scenario\ndef other(sim): ..."
        )

    assert everywhere.storms(tmp_path) == [
        "scenarios/lifecycle/reader/storms.py::of_reader",
        "scenarios/queue/asgi/storms.py::of_asgi",
    ]


def test_everything_that_is_always_run_exists() -> None:
    """A file that was renamed must not drop out of the selection."""
    missing = [name for name in everywhere.ALWAYS if not (environment.ROOT / name).exists()]

    assert missing == []


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record which interpreter pytest is started on; the one called "failing" ends with 1."""
    recorded: list[str] = []

    def start(command: list[str], **_options: object) -> subprocess.CompletedProcess[str]:
        recorded.append(command[0])
        return subprocess.CompletedProcess(command, int(command[0] == "failing"))

    monkeypatch.setattr(everywhere.subprocess, "run", start)
    monkeypatch.setattr(everywhere.environment, "ensure", lambda folder, python, _: Path(python))
    return recorded


def found(monkeypatch: pytest.MonkeyPatch, *executables: str) -> None:
    """Let the machine have interpreters of these names."""
    interpreters = [finding.Interpreter(name, (3, 12, 0)) for name in executables]
    monkeypatch.setattr(everywhere.finding, "others", lambda current, environment: interpreters)


def test_every_other_interpreter_has_its_run(
    monkeypatch: pytest.MonkeyPatch, started: list[str]
) -> None:
    """All that were found are run, one after the other."""
    found(monkeypatch, "one", "two")

    assert everywhere.main([]) == 0
    assert started == ["one", "two"]


def test_environments_alone_are_made_without_a_run(
    monkeypatch: pytest.MonkeyPatch, started: list[str]
) -> None:
    """All of them, and nothing is tested."""
    made: list[str] = []
    found(monkeypatch, "one", "two")
    monkeypatch.setattr(
        everywhere.environment, "ensure", lambda _folder, python, _wanted: made.append(python)
    )

    assert everywhere.main(["--prepare"]) == 0
    assert sorted(made) == ["one", "two"]
    assert started == []


def test_the_first_failure_is_the_last_run(
    monkeypatch: pytest.MonkeyPatch, started: list[str]
) -> None:
    """The output ends with the summary of the run that failed, never with a later green one."""
    found(monkeypatch, "failing", "two")

    assert everywhere.main([]) == 1
    assert started == ["failing"]


def test_a_machine_with_one_interpreter_runs_it_there(
    monkeypatch: pytest.MonkeyPatch, started: list[str]
) -> None:
    """With no other interpreter the selection still runs, and pytest still has the last word."""
    found(monkeypatch)

    assert everywhere.main([]) == 0
    assert started == [sys.executable]


def test_rivals_run_on_the_current_interpreter_if_it_is_new_enough() -> None:
    """The current one if it can, else the oldest that can, else none."""
    old = finding.Interpreter("old", (3, 11, 7))
    new = finding.Interpreter("new", (3, 12, 1))
    newer = finding.Interpreter("newer", (3, 13, 0))

    assert rivals.choose(new, [old, newer]) == new
    assert rivals.choose(old, [new, newer]) == new
    assert rivals.choose(old, []) is None
