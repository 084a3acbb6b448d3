"""Which interpreters `make test-all` runs on: those that start and are supported, one a version."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.interpreters import finding


def answer(
    version: tuple[int, int, int], executable: str = "python", **changes: object
) -> dict[str, object]:
    """Return what an interpreter of `version` would say of itself."""
    said: dict[str, object] = {
        "executable": executable,
        "implementation": "cpython",
        "version": list(version),
        "release": "final",
        "free_threaded": False,
    }
    return said | changes


def pretend(path: Path, said: dict[str, object] | None, status: int = 0) -> Path:
    """Write an executable that answers like an interpreter, or refuses to start."""
    path.parent.mkdir(parents=True, exist_ok=True)
    printed = f"echo '{json.dumps(said)}'" if said is not None else "echo 'no version set' >&2"
    path.write_text(f"#!/bin/sh\n{printed}\nexit {status}\n", "utf-8")
    path.chmod(0o755)
    return path


def test_this_interpreter_says_who_it_is() -> None:
    """A real interpreter that is asked answers with its own version."""
    found = finding.ask(sys.executable)

    assert found is not None
    assert found.version == sys.version_info[:3]


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(answer((3, 10, 13)), id="too-old"),
        pytest.param(answer((3, 99, 0)), id="unknown"),
        pytest.param(answer((3, 13, 0), implementation="pypy"), id="pypy"),
        pytest.param(answer((3, 14, 0), release="candidate"), id="candidate"),
        pytest.param(answer((3, 13, 0), free_threaded=True), id="free-threaded"),
    ],
)
def test_what_is_not_supported_is_passed_over(said: dict[str, object]) -> None:
    """An interpreter that starts counts only if it is a supported version of CPython."""
    assert finding.ask("python", start=lambda _: json.dumps(said)) is None


@pytest.mark.parametrize("printed", [None, "", "not json", "[]", "{}", '{"version": 3}'])
def test_an_answer_that_cannot_be_read_is_no_interpreter(printed: str | None) -> None:
    """Whatever a candidate prints instead of an answer, it is passed over."""
    assert finding.ask("python", start=lambda _: printed) is None


def test_a_shim_that_does_not_start_is_passed_over(tmp_path: Path) -> None:
    """A name on PATH that refuses to start hides no interpreter behind it."""
    pretend(tmp_path / "shims" / "python3.12", None, status=127)
    real = pretend(tmp_path / "bin" / "python3.12", answer((3, 12, 1), "real"))

    path = f"{tmp_path / 'shims'}:{real.parent}"

    assert finding.others((3, 11), {"PATH": path}) == [finding.Interpreter("real", (3, 12, 1))]


def test_pyenv_is_searched_without_being_on_the_path(tmp_path: Path) -> None:
    """Every version below pyenv's folder counts, also those that no shim starts at the moment."""
    home = tmp_path / ".pyenv" / "versions"
    pretend(home / "3.12.1" / "bin" / "python3", answer((3, 12, 1), "older"))
    pretend(home / "3.12.4" / "bin" / "python3", answer((3, 12, 4), "newer"))
    pretend(home / "3.13.0" / "bin" / "python3", answer((3, 13, 0), "next"))

    found = finding.others((3, 11), {"HOME": str(tmp_path), "PYENV_VERSION": "3.12.1"})

    assert [each.executable for each in found] == ["newer", "next"]


def test_pyenv_may_live_elsewhere(tmp_path: Path) -> None:
    """PYENV_ROOT wins over the home folder."""
    pretend(tmp_path / "versions" / "3.13.0" / "bin" / "python3", answer((3, 13, 0), "moved"))

    found = finding.others((3, 11), {"HOME": "nowhere", "PYENV_ROOT": str(tmp_path)})

    assert [each.executable for each in found] == ["moved"]


def test_the_version_at_work_is_left_out(tmp_path: Path) -> None:
    """`make check` has run on the current version; another patch release of it is not another."""
    pretend(tmp_path / "python3.11", answer((3, 11, 2)))

    assert finding.others((3, 11), {"PATH": str(tmp_path)}) == []


def test_an_empty_machine_has_none() -> None:
    """No PATH, no home: nothing is found and nothing is raised."""
    assert finding.others((3, 11), {}) == []
    assert finding.described([]) == "none"


def test_a_name_tells_the_version() -> None:
    """The folder of an environment is named after the exact version."""
    interpreter = finding.Interpreter("python", (3, 12, 1))

    assert interpreter.name == "python3.12.1"
    assert finding.described([interpreter, interpreter]) == "python3.12.1, python3.12.1"
