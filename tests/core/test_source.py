"""What a file says of a name is found wherever Python lets it be said."""

from __future__ import annotations

import linecache
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.source import origin, said

TEXT = """
from . import near
from .box import size as width, depth
from far.away import thing

LIMIT: int = 2
FIRST, (SECOND, *REST) = 1, (2, 3)
LIMIT += 1
if LIMIT:
    LATER = "later"


class Cache:
    age = 5.0

    class Entry:
        width: int = 3

    async def get(self, tries=7, *, fast, slow=False):
        local = 11

        def inner(depth=13):
            return lambda more=17: (depth, more)

        return inner
"""


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "text.py"
    path.write_text(TEXT)
    yield str(path)
    linecache.checkcache(str(path))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("LIMIT", ["2", "1"]),
        ("FIRST", ["1", "2", "3"]),
        ("REST", ["1", "2", "3"]),
        ("LATER", ["'later'"]),
        ("Cache", ["5.0"]),
        ("Cache.Entry", ["3"]),
        ("Cache.get", ["7", "False"]),
        ("Cache.get.<locals>.inner", ["13"]),
        ("Cache.get.<locals>.inner.<locals>.<lambda>", ["17"]),
    ],
)
def test_what_is_said_of_a_name_is_what_it_is_bound_to(
    file: str, name: str, values: list[str]
) -> None:
    """Every value that the source gives it, in order, and no other."""
    found = [part.partition(")")[0] for part in said(file, name).split("Constant(value=")[1:]]

    assert found == values


@pytest.mark.parametrize("name", ["local", "Cache.get.<locals>.local", "near", "age", "nowhere"])
def test_nothing_is_said_of_variables_and_of_what_is_imported(file: str, name: str) -> None:
    """Local variables are part of the code."""
    assert said(file, name) == ""


def test_where_a_name_comes_from_is_known(file: str) -> None:
    """Module, dots before it, and the name there."""
    assert origin(file, "width") == ("box", 1, "size")
    assert origin(file, "near") == ("", 1, "near")
    assert origin(file, "thing") == ("far.away", 0, "thing")
    assert origin(file, "size") is None


@pytest.mark.parametrize("text", [None, "LIMIT = = 2", "LIMIT = 2\0"])
def test_a_file_that_is_not_there_or_no_python_says_nothing(
    tmp_path: Path, text: str | None
) -> None:
    """As with code that was made of a text, or on a machine that has only byte code."""
    path = tmp_path / "other.py"
    if text is not None:
        path.write_text(text)

    assert said(str(path), "LIMIT") == ""
    assert origin(str(path), "LIMIT") is None
