"""When the environment with the wheel is made, when the wheel is put there, and when neither."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.interpreters import environment, wheel

FOLDER = f"wheel-{sys.version.split()[0]}"


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Record what is done to an environment below `tmp_path`, instead of doing it."""
    recorded: list[str] = []
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["rich"]\n', "utf-8")

    def make(folder: Path, python: str, requirements: list[str]) -> None:
        recorded.append(f"make with {' '.join(requirements)}")
        inside = environment.executable(folder)
        inside.parent.mkdir(parents=True, exist_ok=True)
        inside.touch()

    def run(command: list[str]) -> None:
        recorded.append(command[3])
        if command[3] == "build":
            (Path(command[-1])).mkdir(parents=True)
            (Path(command[-1]) / "faultloom.whl").write_text("of this tree", "utf-8")

    monkeypatch.setattr(wheel.environment, "ROOT", tmp_path)
    monkeypatch.setattr(wheel.environment, "make", make)
    monkeypatch.setattr(wheel.environment, "run", run)
    return recorded


def use(shared: Path) -> None:
    """Use the environment once, as a test does."""
    with wheel.installed(shared) as python:
        assert python.exists()


def test_it_is_made_once_and_the_wheel_put_there_once(tmp_path: Path, steps: list[str]) -> None:
    """The second test of a run finds all in place; so does a later run of the same tree."""
    use(tmp_path / "run-1")
    use(tmp_path / "run-1")
    assert steps == ["build", "make with rich", "install"]

    use(tmp_path / "run-2")

    assert steps[3:] == ["build"]


def test_the_wheel_of_another_run_is_replaced(tmp_path: Path, steps: list[str]) -> None:
    """Who shares the environment with a run of another tree never uses that tree's wheel."""
    use(tmp_path / "run-1")
    (tmp_path / ".harness" / FOLDER / ".wheel").write_text("of another tree", "utf-8")

    use(tmp_path / "run-1")

    assert steps == ["build", "make with rich", "install", "install"]


def test_other_dependencies_make_it_anew(tmp_path: Path, steps: list[str]) -> None:
    """What a dependency less would break must not be hidden by what is still there."""
    use(tmp_path / "run-1")
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["attrs"]\n', "utf-8")

    use(tmp_path / "run-2")

    assert "make with attrs" in steps


def test_nobody_changes_it_while_somebody_uses_it(
    tmp_path: Path, steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two may use it at once; who wants to change it waits until both have done."""
    monkeypatch.setattr(wheel, "PATIENCE", 0)

    with wheel.installed(tmp_path / "run-1"):
        use(tmp_path / "run-1")
        with pytest.raises(wheel.sqlite3.OperationalError, match="locked"):
            use(tmp_path / "run-2")
    use(tmp_path / "run-2")

    assert steps == ["build", "make with rich", "install", "build"]
