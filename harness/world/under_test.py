"""Decides by file name what is under test: all but the standard library, installed code and ours.

It does not know functions, byte code or scenarios; it answers for a file name and remembers the
answer.
"""

import importlib.util
import os
import sysconfig
from collections.abc import Callable, Iterable
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path

from harness.errors import misuse

IsUnderTest = Callable[[str], bool]

# A folder of one of these names holds what was installed, wherever it lies.
INSTALLED = ("site-packages", "dist-packages")


def under_test(extra_modules: Iterable[str] = ()) -> IsUnderTest:
    """Return the question «is this file under test?» with some more modules opened up.

    Args:
        extra_modules: Names of modules or packages that count as under test wherever they lie,
            of the standard library or installed: `("queue", "aiosqlite")` for instance. A package
            brings all that is in it.

    Raises:
        HarnessError: A name that cannot be found, or of what has no Python code.
    """
    names = tuple(extra_modules)
    return _opened(names) if names else is_under_test


@cache
def _opened(names: tuple[str, ...]) -> IsUnderTest:
    """Make the question for these modules, once: rewritten code is remembered by it."""
    files: set[str] = set()
    folders: list[str] = []
    for name in names:
        spec = _spec_of(name)
        folders += [_folder(folder) for folder in spec.submodule_search_locations or ()]
        if spec.origin is not None:
            files.add(spec.origin)
    opened = tuple(folders)

    @cache
    def is_under_test_or_opened(filename: str) -> bool:
        return filename in files or filename.startswith(opened) or is_under_test(filename)

    return is_under_test_or_opened


def _spec_of(name: str) -> ModuleSpec:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise misuse(
            "under_test",
            name,
            "is unknown: no module or package has this name here.",
            "Give the name that is imported, such as 'queue' or 'aiosqlite'.",
        )
    if spec.submodule_search_locations is None and not spec.has_location:
        raise misuse(
            "under_test", name, "has no Python code: no point can be put there.", "Leave it out."
        )
    return spec


@cache
def is_under_test(filename: str) -> bool:
    """Say whether code from this file is under test by default.

    Names such as `<string>` or `<frozen os>` never are: there is no source to point at.
    """
    if filename.startswith("<"):
        return False
    return not any(
        str(path).startswith(_closed_folders()) or not _INSTALLED.isdisjoint(path.parts)
        for path in _spellings(filename)
    )


_INSTALLED = frozenset(INSTALLED)


@cache
def _closed_folders() -> tuple[str, ...]:
    """Folders whose files are never under test: the standard library and this package."""
    folders = (
        sysconfig.get_path("stdlib"),
        sysconfig.get_path("platstdlib"),
        Path(os.__file__).parent,
        Path(__file__).parents[1],
    )
    return tuple(sorted({_folder(path) for folder in folders for path in _spellings(folder)}))


def _spellings(path: str | Path) -> tuple[Path, Path]:
    # Interpreters are reached through links as often as not, so both spellings count.
    return Path(path).absolute(), Path(path).resolve()


def _folder(path: str | Path) -> str:
    return f"{path}{os.sep}"
