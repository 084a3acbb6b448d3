"""docs/authoring.md tells the truth: followed step by step, everything comes out as it is shown.

When the printed output changes on purpose, `python -m tests.test_authoring` writes it anew.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.interpreters import wheel
from tests.pages import HIDDEN, Reader, UntriedError

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "authoring.md"

# The environment may have to be made first.
pytestmark = pytest.mark.timeout(600)


def reader(python: Path, folder: Path) -> Reader:
    """Return somebody with an empty folder and nothing but the wheel."""
    place = folder / "box_office"
    place.mkdir()
    return Reader(place, wheel.clean_environment(python, folder))


def test_the_story_comes_out_as_it_is_told(wheel_python: Path, tmp_path: Path) -> None:
    """From the installed package to the pinned regression: every file, command and output."""
    page = PAGE.read_text("utf-8")
    somebody = reader(wheel_python, tmp_path)

    assert somebody.follow(page) == page

    # What the page shows is what it says: one failure, found, replayed, pinned, and then mended.
    assert somebody.status == 0
    assert somebody.token != HIDDEN
    assert len(somebody.commands) == page.count("\n$ ")


@pytest.mark.parametrize(
    "untried",
    [
        "Look at this:\n\n```python\nprint(1)\n```\n",
        "Save this as you like. Then `x.py`:\n\n```python\nprint(1)\n```\n",
        "```sh\nrm -rf build\n```\n",
        "```\nplain\n```\n",
    ],
)
def test_a_block_that_nobody_tries_is_refused(untried: str, tmp_path: Path) -> None:
    """A page cannot show code or a command in passing: it is saved, or run."""
    with pytest.raises(UntriedError):
        Reader(tmp_path, {}).follow(untried)


def test_what_a_page_shows_wrongly_is_seen(tmp_path: Path) -> None:
    """Another output, a line too many and a command that prints nothing: all come out anew."""
    told = (
        "Save this as `a.txt`:\n\n```text\nt1:…\n```\n\n"
        "```console\n$ echo in 0.25 s t1:Zm9v\nin 1 s\n$ false\n$ echo $?\n0\n```\n\n"
        "Save it as `sub/b.txt`:\n\n```text\nt1:…\n```\n\n"
        "```console\n$ cat a.txt sub/b.txt; echo $(pwd)/a.txt\nmore\nand more\n```\n"
    )
    somebody = Reader(tmp_path, {"PATH": "/usr/bin:/bin"})

    assert somebody.follow(told) == (
        "Save this as `a.txt`:\n\n```text\nt1:…\n```\n\n"
        "```console\n$ echo in 0.25 s t1:Zm9v\nin … s t1:…\n$ false\n$ echo $?\n1\n```\n\n"
        "Save it as `sub/b.txt`:\n\n```text\nt1:…\n```\n\n"
        "```console\n$ cat a.txt sub/b.txt; echo $(pwd)/a.txt\nt1:…\nt1:…\na.txt\n```\n"
    )
    assert (tmp_path / "sub" / "b.txt").read_text("utf-8") == "t1:Zm9v\n"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        with wheel.installed(folder) as python:
            text = reader(python, folder).follow(PAGE.read_text("utf-8"))
        PAGE.write_text(text, "utf-8")
