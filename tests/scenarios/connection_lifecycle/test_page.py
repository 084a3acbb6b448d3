"""The pictures of failures in the page are of the code as it is: no line has moved under them."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SCENARIOS = ROOT / "scenarios" / "connection_lifecycle"
PAGE = ROOT / "docs" / "scenarios" / "connection_lifecycle.md"

PART = re.compile(r"^## (\w+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
PICTURE = re.compile(r"^### (\w+)\n(?:(?!^#).)*?^```text\n(.*?)^```", re.MULTILINE | re.DOTALL)
QUOTED = re.compile(r" at (\w+\.py):(\d+): (.+)$", re.MULTILINE)


def pictures() -> list[tuple[str, str, str]]:
    """Return the part, the scenario and the text of each picture."""
    page = PAGE.read_text("utf-8")
    return [
        (part, storm, picture)
        for part, text in PART.findall(page)
        for storm, picture in PICTURE.findall(text)
    ]


def has_line(part: str, name: str, number: int, quoted: str) -> bool:
    """Say whether a file of the part, or of the reader that others build on, has that line."""
    lines = [
        (SCENARIOS / folder / name).read_text("utf-8").splitlines()
        for folder in (part, "reader")
        if (SCENARIOS / folder / name).exists()
    ]
    return any(each[number - 1].strip() == quoted for each in lines if len(each) >= number)


def test_each_part_has_a_picture() -> None:
    """One failure each, at least, of the storm in whose section it stands."""
    parts = {path.parent.name for path in SCENARIOS.rglob("storms.py")}

    assert {part for part, _, _ in pictures()} == parts
    for _, storm, picture in pictures():
        assert f"\n  scenario   {storm}, " in picture
        assert "\n  replay     python -m harness replay t1:…\n" in picture


def test_the_lines_in_a_picture_are_where_it_says() -> None:
    """A picture that was pasted before its files changed shows another line by that number."""
    quoted = [
        (part, name, int(number), text)
        for part, _, picture in pictures()
        for name, number, text in QUOTED.findall(picture)
    ]

    assert quoted
    assert [each for each in quoted if not has_line(*each)] == []
