"""Pages lead where they say, and each can be found from the README."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interpreters import rivals

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_LINK = re.compile(r"\[[^\]]*\]\((?P<file>[^)#\s]*)(?:#(?P<anchor>[^)\s]*))?\)")
_FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def links(page: Path) -> Iterator[tuple[str, str]]:
    """Yield the file and the anchor of every relative link of a page."""
    text = re.sub(r"`[^`\n]*`", "", _FENCED.sub("", page.read_text("utf-8")))
    for found in _LINK.finditer(text):
        if "://" not in found["file"]:
            yield found["file"], found["anchor"] or ""


def anchors(page: Path) -> set[str]:
    """Return what the headings of a page are called in links, as GitHub makes it."""
    text = _FENCED.sub("", page.read_text("utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.replace("`", "")).strip().lower().replace(" ", "-")
        for heading in headings
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    """File and heading are there."""
    broken = []
    for file, anchor in links(page):
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(f"{file}#{anchor}")

    assert broken == []


def test_every_page_can_be_found() -> None:
    """The README, or a page that it names, names every page of docs/."""
    read = {ROOT / "README.md"}
    left = list(read)
    while left:
        text = left.pop().read_text("utf-8")
        for page in PAGES:
            name = page.relative_to(ROOT / "docs" if page.parent != ROOT else ROOT).as_posix()
            if page not in read and (f"docs/{name}" in text or f"]({name}" in text):
                read.add(page)
                left.append(page)

    # Pages of components are named where the component is.
    named = {page for page in read if page.parent.name != "scenarios"}
    assert named == {page for page in PAGES if page.parent.name != "scenarios"}


def test_every_rival_that_is_timed_stands_beside_us() -> None:
    """Whoever is in `make bench-rivals` has a row with its version, and a section of its own."""
    page = (ROOT / "docs" / "rivals.md").read_text("utf-8")

    for name in rivals.RIVALS:
        assert re.search(rf"^\| {name} \| \d+\.\d+\.\d+, \d{{4}}-\d\d \| ", page, re.MULTILINE)
        section = page.split(f"### {name}\n")[1].split("\n#")[0]
        # What it does better comes first.
        assert section.index("*Better:*") < section.index("*Not:*") < section.index("*Take it*")
