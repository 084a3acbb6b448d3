"""docs/ci.md tells the truth: the workflow is one, and every line of shell that it shows works.

When the printed output changes on purpose, `python -m tests.test_ci` writes it anew.
"""

from __future__ import annotations

import re
import shlex
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import cli
from tests.interpreters import wheel
from tests.pages import Reader

PAGE = Path(__file__).resolve().parents[1] / "docs" / "ci.md"

# The environment may have to be made first.
pytestmark = pytest.mark.timeout(600)


def workflow(page: str) -> dict[str, Any]:
    """Return the workflow that the page shows."""
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    told: dict[str, Any] = yaml.safe_load(text)
    return told


def lines_of(job: dict[str, Any]) -> list[str]:
    """Return the lines of shell of one job."""
    return [step["run"] for step in job["steps"] if "run" in step]


def machine(python: Path, folder: Path) -> Reader:
    """Return a build machine that has nothing but the wheel."""
    place = folder / "project"
    place.mkdir()
    variables = wheel.clean_environment(python, folder)
    return Reader(place, {**variables, "CI": "true", "GITHUB_RUN_NUMBER": "7"})


def test_every_line_of_the_page_works(wheel_python: Path, tmp_path: Path) -> None:
    """The script and both jobs of the workflow end with 0, with nothing but the wheel installed."""
    page = PAGE.read_text("utf-8")
    somebody = machine(wheel_python, tmp_path)

    assert somebody.follow(page) == page
    jobs = workflow(page)["jobs"].values()
    for line in dict.fromkeys(line for job in jobs for line in lines_of(job)):
        # One process is enough to see that it works; several are tested elsewhere.
        printed = somebody.run(line.replace("-n auto", "-n 0"))
        assert somebody.status == 0, printed

    assert "random seed 7" in printed or "seed=7" in printed
    assert (somebody.folder / "results.xml").is_file()
    assert (somebody.folder / "matrix.json").read_text("utf-8").startswith("[")


def test_the_workflow_is_a_workflow() -> None:
    """It has what GitHub wants: events, jobs that run somewhere, steps that use or run."""
    told = workflow(PAGE.read_text("utf-8"))

    # YAML 1.1 takes a bare `on` for a truth value; GitHub does not.
    assert set(told) == {"name", True, "permissions", "jobs"}
    assert set(told[True]) == {"push", "pull_request", "schedule"}
    for job in told["jobs"].values():
        assert job["runs-on"]
        assert job["timeout-minutes"]
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            if "uses" in step:
                assert re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"])
    python = told["jobs"]["tests"]["strategy"]["matrix"]["python"]
    assert python == ["3.11", "3.12", "3.13"]


def test_the_table_has_the_commands_of_the_workflow() -> None:
    """What is said of each place is what is run there."""
    page = PAGE.read_text("utf-8")
    told = workflow(page)
    commands = re.findall(r"^\| \S.*? \| `(pytest.*?)` \|", page, re.MULTILINE)

    for command, job in zip(commands[1:], told["jobs"].values(), strict=True):
        assert set(shlex.split(command)) <= set(shlex.split(lines_of(job)[-1]))


def test_exit_codes_are_those_of_both() -> None:
    """The second column has each exit code of the command line, and no other."""
    section = PAGE.read_text("utf-8").split("## Exit codes")[1].split("\n## ")[0]
    codes = re.findall(r"^\| [\d, ]+ \| (\d+) \|", section, re.MULTILINE)

    assert [int(code) for code in codes] == [
        cli.AS_DECLARED,
        cli.NOT_AS_DECLARED,
        cli.INTERRUPTED,
        cli.MISUSE,
    ]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        with wheel.installed(folder) as python:
            text = machine(python, folder).follow(PAGE.read_text("utf-8"))
        PAGE.write_text(text, "utf-8")
