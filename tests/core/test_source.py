"""What a file says of a name is found wherever Python lets it be said."""

from __future__ import annotations

import ast
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from harness.core.source import names_in, source_of

TEXT = """
from . import near
from .box import size as width, depth
from far.away import thing
from .all import *

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
        from far import local_thing
        local = 11

        def inner(depth=13):
            return lambda more=17: (depth, more)

        return inner
"""


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> str:
    path = tmp_path / "text.py"
    path.write_text(TEXT)
    return str(path)


def shown(expressions: Iterable[ast.expr]) -> list[str]:
    """Return expressions as they are written."""
    return [ast.unparse(each) for each in expressions]


def test_what_a_module_binds_is_known_by_name(file: str) -> None:
    """Every value that the source gives it, in order, wherever the statement stands."""
    values = {name: shown(given) for name, given in source_of(file).values.items()}

    assert values == {
        "LIMIT": ["2", "1"],
        "FIRST": ["(1, (2, 3))"],
        "SECOND": ["(1, (2, 3))"],
        "REST": ["(1, (2, 3))"],
        "LATER": ["'later'"],
    }


def test_what_a_class_binds_is_known_by_class_and_name(file: str) -> None:
    """Of a class inside another, too; variables of functions are nobody's."""
    found = source_of(file).attributes

    assert {name: list(map(shown, each.values())) for name, each in found.items()} == {
        "Cache": [["5.0"]],
        "Cache.Entry": [["3"]],
    }
    assert "age" in found["Cache"]


def test_default_arguments_are_known_by_function(file: str) -> None:
    """Those that can be given by position before those by name alone."""
    assert {name: shown(given) for name, given in source_of(file).defaults.items()} == {
        "Cache.get": ["7", "False"],
        "Cache.get.<locals>.inner": ["13"],
        "Cache.get.<locals>.inner.<locals>.<lambda>": ["17"],
    }


def test_where_names_come_from_is_known(file: str) -> None:
    """Module, dots before it, and the name there; not of what a function imports for itself."""
    source = source_of(file)

    assert source.origins == {
        "near": ("", 1, "near"),
        "width": ("box", 1, "size"),
        "depth": ("box", 1, "depth"),
        "thing": ("far.away", 0, "thing"),
    }
    assert source.stars == [("all", 1)]
    assert source.defined == {"Cache", "Cache.Entry", "Cache.get", "Cache.get.<locals>.inner"}


def test_the_names_of_an_expression_are_those_that_it_reads() -> None:
    """Attributes are names, too."""
    expression = ast.parse("made(box.size, key=LIMIT)", mode="eval").body

    assert sorted(names_in(expression)) == ["LIMIT", "box", "made", "size"]


def test_a_file_in_an_archive_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the loader of its module."""
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        archive.writestr("packed_limits.py", "LIMIT = 2\n")
    monkeypatch.syspath_prepend(str(tmp_path / "packed.zip"))
    module = __import__("packed_limits")
    assert module.__file__ is not None

    assert shown(source_of(module.__file__, vars(module)).values["LIMIT"]) == ["2"]


@pytest.mark.parametrize("text", [None, "LIMIT = = 2", "LIMIT = 2\0"])
def test_a_file_that_is_not_there_or_no_python_says_nothing(
    tmp_path: Path, text: str | None
) -> None:
    """As with code that was made of a text, or on a machine that has only byte code."""
    path = tmp_path / "other.py"
    if text is not None:
        path.write_text(text)

    assert not source_of(str(path)).values
