"""docs/how-it-works.md tells the truth: its programs do what the page says of them.

When the printed output changes on purpose, `python -m tests.test_how_it_works` writes it anew.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from tests.pages import Reader

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "how-it-works.md"


def reader(folder: Path) -> Reader:
    """Return somebody who works in this very tree."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.defpath])
    # As on a build machine: nothing is kept between two commands.
    return Reader(folder, {"PATH": path, "PYTHONPATH": str(ROOT), "CI": "true", "NO_COLOR": "1"})


def test_the_programs_do_what_the_page_says(tmp_path: Path) -> None:
    """Steps, time and limits: what holds, what fails and what is refused, each as it is shown."""
    page = PAGE.read_text("utf-8")

    assert reader(tmp_path).follow(page) == page


def test_the_claims_are_those_of_the_programs() -> None:
    """What fails is what the page says; no other verdict is written into it with the output."""
    page = PAGE.read_text("utf-8")
    verdicts = [line for line in page.splitlines() if line.startswith("FAIL ")]

    assert verdicts == [
        "FAIL test_work_beats_a_short_timeout",
        "FAIL test_adding_is_two_steps",
        "FAIL test_counting_in_a_dictionary_is_two",
        "FAIL test_a_network_is_refused",
        "FAIL test_unless_it_is_opened",
    ]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        text = reader(Path(temporary)).follow(PAGE.read_text("utf-8"))
        PAGE.write_text(text, "utf-8")
