"""The README tells the truth: its code runs, its output is what is printed, its map is complete.

When the printed output changes on purpose, `python -m tests.test_readme` writes it anew.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from itertools import takewhile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"

PROGRAM = re.compile(r"Save this as `(?P<name>.+?)`:\n\n```python\n(?P<code>.*?)```", re.DOTALL)
SESSION = re.compile(r"```console\n\$ (?P<command>[^\n]*)\n(?P<printed>.*?)```", re.DOTALL)
TOKEN = re.compile(r"t1:[\w-]+")


def without_what_varies(text: str) -> str:
    """Return `text` as it is on every machine: without tokens and real seconds."""
    text = TOKEN.sub("t1:…", text)
    return re.sub(r"(, | in )\d+\.\d+ s(?=[).])", r"\1… s", text)


def printed_by(text: str, folder: Path) -> list[str]:
    """Return what each command of a page prints, run one after the other in `folder`."""
    for program in PROGRAM.finditer(text):
        (folder / program["name"]).write_text(program["code"], "utf-8")
    # Neither a terminal's width nor a build machine's colours may change what is printed.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120", "NO_COLOR": "1"}
    outputs: list[str] = []
    for session in SESSION.finditer(text):
        tokens = TOKEN.findall("".join(outputs))
        command = session["command"].replace("t1:…", tokens[-1] if tokens else "t1:…").split()
        outcome = subprocess.run(
            [sys.executable, *command[1:]],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        outputs.append(outcome.stdout + outcome.stderr)
    return outputs


def rewritten(text: str, folder: Path) -> str:
    """Return a page with the output of its commands as it is printed now."""
    outputs = iter(printed_by(text, folder))
    return SESSION.sub(
        lambda session: (
            f"```console\n$ {session['command']}\n{without_what_varies(next(outputs))}```"
        ),
        text,
    )


def test_the_failure_and_its_replay_are_printed_as_shown(tmp_path: Path) -> None:
    """The program of the README fails with the verdict of the README, and so does its replay."""
    text = README.read_text("utf-8")

    assert SESSION.search(text) is not None
    assert rewritten(text, tmp_path) == text


def test_the_story_ends_as_it_is_told(tmp_path: Path) -> None:
    """Run and replay both show a violation; with the lock that is advised, all holds."""
    text = README.read_text("utf-8")
    mended = (
        text.replace("from harness", "import threading\n\nfrom harness", 1)
        .replace("self.known = {}", "self.known = {}\n        self.lock = threading.Lock()")
        .replace("        if currency", "        with self.lock:\n         if currency")
        .replace("            self.known[currency] =", "             self.known[currency] =")
    )

    before = printed_by(text, tmp_path)
    after = printed_by(mended, tmp_path)

    assert [output.count("Violation: ") for output in before] == [1, 1]
    assert "Violation" not in after[0]
    assert "1 of 1 cells as declared" in after[0]


def test_the_commands_of_the_readme_exist() -> None:
    """Every `make …` that the README names is a target."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))

    named = set(re.findall(r"make ([a-z][a-z-]+)\b(?=`|  )", README.read_text("utf-8")))

    assert {"storms", "test"} <= named
    assert named <= targets


def test_the_map_is_complete() -> None:
    """Twelve lines name everything in harness/ once, and nothing that is not there."""
    map_of_harness = README.read_text("utf-8").split("## A map of `harness/`")[1].split("```")[1]
    lines = map_of_harness.strip().splitlines()

    named = [
        name.strip("/")
        for line in lines
        for name in takewhile(lambda word: word.endswith((".py", "/")), line.split())
    ]

    there = {path.name for path in (ROOT / "harness").iterdir() if not path.name.startswith("__")}
    assert sorted(named) == sorted(there - {"py.typed"})
    assert len(lines) == 12


def test_the_three_cases_of_time_are_told() -> None:
    """The rule that everybody needs first stands in the README, not in a manual."""
    text = README.read_text("utf-8")

    for case in ("time stands", "jumps to the earliest deadline", "the run is over"):
        assert case in text


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        README.write_text(rewritten(README.read_text("utf-8"), Path(temporary)), "utf-8")
