"""How an environment is made: once, again when something changed, or a clear text says why not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.interpreters import environment


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Record the commands of the set-up instead of running them."""
    recorded: list[list[str]] = []

    def record(command: list[str]) -> None:
        recorded.append(command)
        if "venv" in command:
            inside = environment.executable(Path(command[-1]))
            inside.parent.mkdir(parents=True)
            inside.touch()

    monkeypatch.setattr(environment, "run", record)
    monkeypatch.setattr(environment, "missing_module", lambda python: None)
    monkeypatch.setattr(environment.shutil, "which", lambda name: None)
    return recorded


def test_an_environment_is_made_once(tmp_path: Path, commands: list[list[str]]) -> None:
    """The second call finds the stamp of the first and runs nothing."""
    folder = tmp_path / "environment"
    environment.ensure(folder, "python3.12", ["-e", ".[test]"])
    first = len(commands)

    environment.ensure(folder, "python3.12", ["-e", ".[test]"])

    assert first == 2
    assert len(commands) == first


@pytest.mark.parametrize(
    ("python", "requirements"),
    [("python3.13", ["-e", ".[test]"]), ("python3.12", ["-e", ".[dev]"])],
)
def test_it_is_made_again_when_something_changed(
    tmp_path: Path, commands: list[list[str]], python: str, requirements: list[str]
) -> None:
    """Another interpreter or another extra makes the environment new, without what stood there."""
    folder = tmp_path / "environment"
    environment.ensure(folder, "python3.12", ["-e", ".[test]"])
    (folder / "leftover").touch()

    environment.ensure(folder, python, requirements)

    assert not (folder / "leftover").exists()
    assert commands[-1][-2:] == requirements


def test_an_interrupted_set_up_is_begun_again(
    tmp_path: Path, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stamp is written last: a folder without one is not ready."""
    folder = tmp_path / "environment"
    environment.ensure(folder, "python3.12", ["rich"])
    (folder / environment.STAMP).unlink()

    environment.ensure(folder, "python3.12", ["rich"])

    assert len(commands) == 4


def test_uv_is_used_if_it_is_there(tmp_path: Path, commands: list[list[str]]) -> None:
    """With uv, both steps are uv's, and it is told the interpreter by its path."""
    environment.make(tmp_path / "environment", "path/to/python3.12", ["rich"], uv="uv")

    assert [command[0] for command in commands] == ["uv", "uv"]
    assert "path/to/python3.12" in commands[0]


def test_a_missing_venv_module_is_named(
    tmp_path: Path, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a Debian without python3-venv the text says which package to install."""
    monkeypatch.setattr(environment, "missing_module", lambda python: "ensurepip")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"

    with pytest.raises(environment.EnvironmentFailed, match=f"python{version}-venv"):
        environment.make(tmp_path / "environment", sys.executable, ["rich"])

    assert commands == []


def test_this_interpreter_misses_nothing() -> None:
    """The modules are really looked for, by the interpreter itself."""
    assert environment.missing_module(sys.executable) is None


def test_a_failed_step_shows_its_output() -> None:
    """What a step printed is quiet when it works, and shown when it does not."""
    program = "import sys; print('no space left'); sys.exit(3)"

    with pytest.raises(environment.EnvironmentFailed, match="ended with 3:\nno space left"):
        environment.run([sys.executable, "-c", program])


def test_the_command_ends_with_one_text_and_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A set-up that fails is told in words, not as a traceback."""

    def fail(folder: Path, python: str, requirements: list[str]) -> Path:
        raise environment.EnvironmentFailed(f"{folder.name} of {' '.join(requirements)}")

    monkeypatch.setattr(environment, "ensure", fail)

    assert environment.main([".venv", "dev"]) == 1
    assert capsys.readouterr().err == ".venv of -e .[dev]\n"


def test_the_outer_environment_does_not_reach_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that happens to be active must not decide what a child interpreter imports."""
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    monkeypatch.setenv("KEPT", "yes")

    seen = environment.without_outer_environment()

    assert "PYTHONPATH" not in seen
    assert seen["KEPT"] == "yes"


def test_it_runs_on_a_bare_interpreter() -> None:
    """The set-up happens before anything is installed: without site-packages it still starts."""
    outcome = subprocess.run(
        [sys.executable, "-S", "-m", "tests.interpreters.environment", "--help"],
        cwd=environment.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert outcome.returncode == 0, outcome.stderr
