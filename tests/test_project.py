"""What is promised about the project itself: its packaging, its commands and its pages."""

from __future__ import annotations

import email
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import entry_points
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.interpreters import finding

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """Return pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build wheel and sdist as a release does, and return the folder they lie in."""
    folder = tmp_path_factory.mktemp("distributions")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return folder


def test_the_wheel_ships_the_harness_and_nothing_else(distributions: Path) -> None:
    """`harness` is all that a user gets, and it is typed."""
    (wheel,) = distributions.glob("faultloom-*.whl")

    names = zipfile.ZipFile(wheel).namelist()

    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"harness"}
    assert "harness/py.typed" in names
    assert {"harness/cli.py", "harness/__main__.py", "harness/pytest_plugin.py"} <= set(names)


def test_the_wheel_says_what_it_needs(distributions: Path, project: dict[str, Any]) -> None:
    """Licence, Python and every run-time dependency stand in the metadata."""
    (wheel,) = distributions.glob("faultloom-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))

    needed = [each for each in metadata.get_all("Requires-Dist", []) if "extra ==" not in each]

    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.11"
    assert sorted(needed) == sorted(project["project"]["dependencies"])


def test_the_source_distribution_has_all_one_needs_to_work_on_it(distributions: Path) -> None:
    """Scenarios, tests, documents and the two commands are in the sdist."""
    (archive,) = distributions.glob("faultloom-*.tar.gz")

    with tarfile.open(archive) as opened:
        inside = {"/".join(name.split("/")[1:]) for name in opened.getnames()}

    wanted = {"Makefile", "LICENSE", "README.md", "CHANGELOG.md", ".ci/run", "docs/design.md"}
    assert wanted <= inside
    assert {"harness/py.typed", "scenarios/__init__.py", "tests/conftest.py"} <= inside
    assert not [name for name in inside if name.startswith((".venv", ".harness", ".git/"))]


def test_command_and_plugin_are_registered() -> None:
    """`faultloom` is `harness.cli:main`, and pytest finds the plugin by its entry point."""
    (command,) = entry_points(group="console_scripts", name="faultloom")
    (plugin,) = entry_points(group="pytest11", name="faultloom")

    assert command.value == "harness.cli:main"
    assert plugin.value == "harness.pytest_plugin"


def test_the_command_is_python_m_harness() -> None:
    """Both ways in lead to the same function, and say the same."""
    script = Path(sys.executable).with_name("faultloom")

    said = [
        subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout
        for command in ([str(script)], [sys.executable, "-m", "harness"])
    ]

    assert said[0] == said[1]
    assert said[0]


def test_classifiers_name_only_what_the_tests_run_on(project: dict[str, Any]) -> None:
    """A version is claimed only if `make test-all` would run on it, the oldest one included."""
    found = re.findall(r":: 3\.(\d+)$", "\n".join(project["project"]["classifiers"]), re.MULTILINE)

    claimed = {(3, int(minor)) for minor in found}

    assert claimed <= set(finding.SUPPORTED)
    assert min(claimed) == min(finding.SUPPORTED) == (3, 11)


def test_every_lint_exception_has_its_reason_beside_it() -> None:
    """No rule of the linter is switched off in silence, neither everywhere nor for a folder."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    everywhere = text.split("\nignore = [\n")[1].split("\n]\n")[0]
    in_folders = text.split("[tool.ruff.lint.per-file-ignores]\n")[1].split("\n[")[0]
    # A list that runs over several lines is one entry.
    entries = (everywhere + "\n" + re.sub(r"\[\n.*?\n\]", "[]", in_folders, flags=re.DOTALL)).split(
        "\n"
    )

    unexplained = [
        entry
        for before, entry in pairwise(entries)
        if entry and not entry.lstrip().startswith("#") and not before.lstrip().startswith("#")
    ]

    assert entries[0].lstrip().startswith("#")
    assert unexplained == []


@pytest.mark.parametrize(
    ("folder", "silencer"),
    [
        ("harness", r"noqa|type:\s*ignore"),
        ("scenarios", r"noqa|type:\s*ignore"),
        # Tests of misuse pass wrong types on purpose, and say so in their names.
        ("tests", "noqa"),
    ],
)
def test_every_exception_in_the_code_has_its_reason(folder: str, silencer: str) -> None:
    """A line that silences a tool names the rule and says why, beside it or above its paragraph."""
    silenced = re.compile(rf"#\s*(?:{silencer})(?P<rest>.*)")
    explained = re.compile(r"(?:: [A-Z0-9, ]+|\[[a-z0-9, -]+\]) .*\w{3}")

    unexplained = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        above = ""
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            found = silenced.search(line)
            if found and not explained.match(found["rest"]) and not above.startswith("#"):
                unexplained.append(f"{path.relative_to(ROOT).as_posix()}:{number}")
            # One comment may speak for a paragraph of silenced lines.
            above = above if found and above.startswith("#") else line.strip()

    assert unexplained == []


def made(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make in the root of the project."""
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_make_says_what_it_can_do() -> None:
    """Bare `make` explains every command that the issue of the day asks for."""
    said = made().stdout

    commands = {line.split()[1] for line in said.splitlines()}
    assert {
        "storms",
        "stress",
        "test",
        "check",
        "matrix",
        "bench",
        "bench-rivals",
        "real-redis",
        "test-all",
    } <= commands


@pytest.mark.parametrize(
    "command", ["storms", "stress", "test", "check", "matrix", "bench", "test-all"]
)
def test_every_command_does_the_set_up_first(command: str) -> None:
    """Whatever is called first on a fresh machine makes the environment first."""
    steps = made("-n", command).stdout

    assert steps.index("tests.interpreters.environment .venv dev") < steps.index(
        ".venv/bin/python -m"
    )


def test_a_python_that_does_not_start_is_told_in_words() -> None:
    """With no usable interpreter, make says what is needed and how to name one."""
    outcome = made("storms", "PYTHON=no-such-python")

    assert outcome.returncode != 0
    assert "faultloom needs Python 3.11 or later" in outcome.stderr
    assert "make storms PYTHON=/path/to/python3.13" in outcome.stderr


@pytest.mark.parametrize(
    ("failing", "steps"),
    [
        ("nothing", ["check", "test-all", "outside"]),
        ("check", ["check"]),
        ("install", ["check"]),
        ("environments", ["check"]),
    ],
)
def test_continuous_integration_runs_check_and_then_everything_else(
    tmp_path: Path, failing: str, steps: list[str]
) -> None:
    """`.ci/run` works from any folder, without input, and stops at the first failure.

    Beside the check it makes environments and installs the server and the browser that it needs,
    and fails where it cannot.
    """
    record = tmp_path / "record"
    programs = {
        "make": 'echo "$1 CI=$CI in=$(cat)" >> "$RECORD"; [ "$1" != "$FAILING" ]',
        "apt-get": 'echo "apt-get CI=$CI in=$(cat)" >> "$RECORD"; [ "$FAILING" != install ]',
        "sudo": 'exec "$@"',
    }
    if failing != "install":
        programs |= dict.fromkeys(("redis-server", "chromium", "chromedriver"), "true")
    for name, program in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{program}\n", "utf-8")
        (tmp_path / name).chmod(0o755)
    # Nothing else of this machine, which may have a server.
    for name in ("bash", "cat", "dirname", "id", "mktemp", "sh"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)

    outcome = subprocess.run(
        [str(ROOT / ".ci" / "run")],
        cwd=tmp_path,
        env={"PATH": str(tmp_path), "RECORD": str(record), "FAILING": failing},
        input="nobody reads this",
        text=True,
        check=False,
    )

    assert outcome.returncode == (failing != "nothing")
    made = record.read_text("utf-8").splitlines()
    beside = [f"{step} CI=true in=" for step in ("environments", "apt-get")]
    assert [step for step in made if step not in beside] == [
        f"{step} CI=true in=" for step in steps
    ]
    if failing != "check":
        # All that is done beside the check, and as far as it goes.
        wanted = beside if failing == "install" else beside[:1]
        assert [step for step in made if step in beside] == wanted


@pytest.mark.parametrize("wish", ["", "/a/python3.13"])
def test_continuous_integration_prefers_the_python_of_a_distribution(
    tmp_path: Path, wish: str
) -> None:
    """Unless somebody names another, or it is too old, or can make no environment."""
    distribution = "/usr/bin/python3"
    question = "import ensurepip, sys, venv; assert sys.version_info >= (3, 11)"
    is_usable = (
        Path(distribution).exists()
        and not subprocess.run([distribution, "-c", question], check=False).returncode
    )
    make = tmp_path / "make"
    make.write_text('#!/bin/sh\necho "${PYTHON:-chosen by make}"; false\n', "utf-8")
    make.chmod(0o755)
    for name in ("bash", "dirname", "mktemp", "sh"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)

    outcome = subprocess.run(
        [str(ROOT / ".ci" / "run")],
        env={"PATH": str(tmp_path), "PYTHON": wish},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )

    unwished = distribution if is_usable else "chosen by make"
    assert outcome.stdout.splitlines() == [wish or unwished]


def test_the_workflow_runs_what_everyone_runs() -> None:
    """The build machine has no recipe of its own."""
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")

    assert "run: .ci/run" in workflow


def test_the_changelog_names_what_exists() -> None:
    """Entries address users: every `harness.name()` in them can be imported from the front door."""
    import harness

    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    named = set(re.findall(r"`harness\.(\w+)\(\)`", text))

    assert "## Unreleased" in text
    assert named <= set(harness.__all__)


def test_every_decision_says_when_why_and_what_was_rejected() -> None:
    """A page of docs/design.md without its reasons would only be an order."""
    text = (ROOT / "docs" / "design.md").read_text("utf-8")
    decisions = re.split(r"^## ", text, flags=re.MULTILINE)[1:]

    for decision in decisions:
        title = decision.splitlines()[0]
        assert re.search(r"^\*\*Date:\*\* \d{4}-\d\d-\d\d", decision, re.MULTILINE), title
        for heading in ("Decision", "Why", "Rejected"):
            assert f"\n**{heading}:** " in decision, f"{title}: {heading}"
        assert len(decision.splitlines()) <= 40, f"{title}: more than one screen"
    assert len(decisions) >= 5
