"""Decides, by file name, which code is under test: everything that is neither the standard library, nor installed, nor ours.

It does not know functions, byte code or scenarios; it answers for a file name and remembers the answer.
"""

import importlib.util
import os
import sysconfig
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

IsUnderTest = Callable[[str], bool]

# A folder of one of these names holds what was installed, wherever it lies.
INSTALLED = ("site-packages", "dist-packages")


def under_test(extra_modules: Iterable[str] = ()) -> IsUnderTest:
    """Return the question «is this file under test?» with some more modules opened up.

    Args:
        extra_modules: Names of modules or packages that count as under test wherever they lie,
            `("queue", "concurrent.futures")` for instance. A package brings all that is in it.

    Raises:
        ModuleNotFoundError: A name that cannot be found.
    """
    files: set[str] = set()
    folders: list[str] = []
    for name in extra_modules:
        spec = importlib.util.find_spec(name)
        if spec is None:
            raise ModuleNotFoundError(name=name)
        folders += [os.path.join(folder, "") for folder in spec.submodule_search_locations or ()]
        if spec.origin is not None:
            files.add(spec.origin)
    if not files and not folders:
        return is_under_test
    opened = tuple(folders)

    @cache
    def is_under_test_or_opened(filename: str) -> bool:
        return filename in files or filename.startswith(opened) or is_under_test(filename)

    return is_under_test_or_opened


@cache
def is_under_test(filename: str) -> bool:
    """Say whether code from this file is under test by default.

    Names such as `<string>` or `<frozen os>` never are: there is no source to point at.
    """
    if filename.startswith("<"):
        return False
    # Interpreters are reached through links as often as not, so both spellings count.
    for path in (os.path.abspath(filename), os.path.realpath(filename)):
        if path.startswith(_own_folders()) or not _INSTALLED.isdisjoint(Path(path).parts):
            return False
    return True


_INSTALLED = frozenset(INSTALLED)


@cache
def _own_folders() -> tuple[str, ...]:
    """Folders whose files are never under test: the standard library and this package."""
    folders = [
        sysconfig.get_path("stdlib"),
        sysconfig.get_path("platstdlib"),
        os.path.dirname(os.__file__),
    ]
    folders.append(str(Path(__file__).parents[1]))
    spellings = {
        spelt for folder in folders for spelt in (os.path.abspath(folder), os.path.realpath(folder))
    }
    return tuple(sorted(os.path.join(folder, "") for folder in spellings))
