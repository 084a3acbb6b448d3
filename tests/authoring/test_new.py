"""`python -m harness new`: a component that passes at once, or one line and nothing written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.authoring.new import FILES, new
from harness.cli import main
from harness.errors import HarnessError
from harness.scenario import load, scenarios_in
from tests.test_architecture import headings, references

pytestmark = pytest.mark.one_ground

#: What each flavour comes with: its broken twins, and what catches each.
TWINS = {
    "threads": {
        "LooksThenActs": "Calls",
        "RemembersFailures": "Failed",
        "Serialised": "MaxInFlight",
    },
    "asyncio": {
        "LooksThenActs": "Calls",
        "RemembersFailures": "Failed",
        "LeavesWithItsFetch": "Failed",
        "Serialised": "MaxInFlight",
    },
}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CI", "true")


def test_a_new_component_is_as_declared(capsys: pytest.CaptureFixture[str]) -> None:
    """The reference holds, and each twin is caught by its promise and by no other.

    That of asyncio is run by tests/test_wheel.py.
    """
    new("answers")

    assert main(["matrix", "answers", "--json"]) == 0

    cells = json.loads(capsys.readouterr().out)
    caught = {cell["class"]: cell["verdict"] for cell in cells if cell["expected"] != "holds"}
    assert caught == TWINS["threads"]
    assert {cell["verdict"] for cell in cells if cell["class"] == "Answers"} == {"holds"}


@pytest.mark.parametrize("flavour", TWINS)
def test_twins_say_what_the_storms_say(flavour: str) -> None:
    """`Caught by:` names the storm that lists the twin, and the check that it lists."""
    # A name of its own, as the other flavour's modules are still imported.
    name = f"{flavour}_twins"
    new(name, asynchronous=flavour == "asyncio")

    listed = {
        twin.__name__: (each.name, *checks, twin.__doc__ or "")
        for each in scenarios_in(load(Path(name, "storms.py")))
        for twin, checks in each.catches.items()
    }

    assert {twin: check for twin, (_, check, _) in listed.items()} == TWINS[flavour]
    for scenario, check, doc in listed.values():
        assert f"Caught by: {scenario} ({check})." in doc


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_new_component_keeps_the_rules_of_the_house(
    tmp_path: Path, *, asynchronous: bool
) -> None:
    """Headings of twins, a reference that knows no harness, formatting: all as in scenarios/."""
    folder = tmp_path / "scenarios" / "rate_limiter"
    folder.parent.mkdir()
    new(str(folder), asynchronous=asynchronous)

    formatted = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--check", "--line-length=100", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert headings(tmp_path) == references(tmp_path) == []
    assert formatted.returncode == 0, formatted.stdout
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        file.format(name="rate_limiter") for file in FILES
    )
    assert "class RateLimiter:" in (folder / "reference.py").read_text("utf-8")


def test_it_says_what_it_has_written_and_what_to_do_next(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every file, and the two commands that pass."""
    assert main(["new", "orders"]) == 0

    assert capsys.readouterr().out.splitlines() == [
        "orders/__init__.py",
        "orders/reference.py",
        "orders/broken.py",
        "orders/storms.py",
        "orders/test_orders.py",
        "",
        "It passes as it is:",
        "  python -m harness matrix orders",
        "  pytest orders",
    ]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Orders", "is no name for a component"),
        ("rate-limiter", "is no name for a component"),
        ("2nd", "is no name for a component"),
        ("class", "is no name for a component"),
        ("émile", "is no name for a component"),
        ("", "is no name for a component"),
        (".", "is no name for a component"),
        ("../..", "is no name for a component"),
        ("$name", "is no name for a component"),
        ("json", "is a module of the standard library"),
        ("somewhere/queue", "is a module of the standard library"),
        ("harness", "is a module that is there already"),
        ("pytest", "is a module that is there already"),
        ("calls", "a name that its files use for something else"),
        ("serialised", "a name that its files use for something else"),
        ("none", "a name that its files use for something else"),
        ("exception", "a name that its files use for something else"),
        ("no/where", "lies in no folder. Make no first."),
        ("file/orders", "lies in no folder"),
        ("taken", "is there already"),
        ("dangling", "is there already"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2, the name and the way out on stderr, and nothing is written."""
    Path("file").write_text("not a folder", "utf-8")
    Path("taken").mkdir()
    Path("dangling").symlink_to("nowhere")
    before = sorted(Path().rglob("*"))

    assert main(["new", name]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"faultloom: name={name!r} ")
    assert said in err
    assert err.count("\n") == 1
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize("asked", ["mkdir", "exists"])
def test_a_place_that_cannot_be_written_is_told(
    asked: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where no folder can be made, or even looked for, the reason of the system is the one line."""

    # Whoever runs the tests may be allowed everything.
    def refuse(_path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, asked, refuse)

    assert main(["new", "orders"]) == 2

    assert capsys.readouterr().err == "faultloom: orders cannot be made: Permission denied.\n"


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_cannot_be_written_in_full_is_taken_away(
    failure: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full after two files, or Ctrl-C, leaves no half of a component."""
    write = Path.write_text
    left = [2]

    def fill(path: Path, text: str, encoding: str) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise failure
        return write(path, text, encoding)

    monkeypatch.setattr(Path, "write_text", fill)

    with pytest.raises((HarnessError, KeyboardInterrupt)) as caught:
        new("orders")

    assert list(Path().iterdir()) == []
    if isinstance(failure, OSError):
        assert str(caught.value) == "orders cannot be written: No space left on device."
