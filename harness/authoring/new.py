"""Writes a component to begin with: a reference, its broken twins, storms, and an ordinary test.

    new("orders") ──► orders/__init__.py  reference.py  broken.py  storms.py  test_orders.py

All of it or nothing: what cannot be written in full is not begun, or is taken away again. The files
are templates beside this module, in which the names alone are put in. It runs nothing, and does not
know what the templates say.
"""

from __future__ import annotations

import builtins
import importlib.util
import io
import keyword
import re
import shutil
import sys
import tokenize
from importlib import resources
from pathlib import Path
from string import Template
from typing import Final

from harness.errors import HarnessError, misuse

#: The files of a component, by their templates.
FILES: Final = {
    "__init__.py": "__init__.py.txt",
    "reference.py": "reference.py.txt",
    "broken.py": "broken.py.txt",
    "storms.py": "storms.py.txt",
    "test_{name}.py": "test.py.txt",
}

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def new(target: str, *, asynchronous: bool = False) -> list[Path]:
    """Write a component folder that passes as it is, and return its files.

    Args:
        target: the folder to make; its last part is the name of the component.
        asynchronous: write it for asyncio instead of for threads.

    Raises:
        HarnessError: the name will not do, the folder is there, or nothing can be written there.
    """
    folder = Path(target)
    name = folder.name
    _check_name(name, target)
    flavour = "asyncio" if asynchronous else "threads"
    templates = resources.files(__package__) / "templates" / flavour
    texts = {file: (templates / template).read_text("utf-8") for file, template in FILES.items()}
    class_name = _class_name(name, texts)
    try:
        _check_place(folder, target)
    except OSError as exc:
        raise HarnessError(f"{folder} cannot be made: {exc.strerror}.") from None
    written = {
        folder / file.format(name=name): Template(text).substitute(name=name, class_name=class_name)
        for file, text in texts.items()
    }
    _write(folder, written)
    return list(written)


def _check_name(name: str, target: str) -> None:
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        rule = "is no name for a component: it must be a module's, in small ASCII letters."
        raise misuse("name", target, rule, "Write python -m harness new rate_limiter.")
    if name in sys.stdlib_module_names:
        rule = "is a module of the standard library, which the new folder would hide."
        raise misuse("name", target, rule, f"Choose another one, such as {name}_storms.")


def _class_name(name: str, texts: dict[str, str]) -> str:
    """Return the name of the reference, which no template may use for something else."""
    class_name = "".join(word.capitalize() for word in name.split("_"))
    used = {word for text in texts.values() for word in _names_in(text)}
    if class_name in used or hasattr(builtins, class_name):
        rule = f"would have a class {class_name}, a name that its files use for something else."
        raise misuse("name", name, rule, f"Choose another one, such as {name}_cache.")
    return class_name


def _names_in(template: str) -> list[str]:
    """Return the names in the code of a template, not the words of its docstrings."""
    code = Template(template).substitute(name="name", class_name="name")
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    return [token.string for token in tokens if token.type == tokenize.NAME]


def _check_place(folder: Path, target: str) -> None:
    if folder.exists() or folder.is_symlink():
        raise misuse("name", target, "is there already.", "Choose another one, or remove it.")
    if not folder.parent.is_dir():
        raise misuse("name", target, "lies in no folder.", f"Make {folder.parent} first.")
    if folder.name in sys.modules or importlib.util.find_spec(folder.name) is not None:
        rule = "is a module that is there already, which the new folder would hide."
        raise misuse("name", target, rule, f"Choose another one, such as {folder.name}_storms.")


def _write(folder: Path, texts: dict[Path, str]) -> None:
    try:
        folder.mkdir()
    except OSError as exc:
        raise HarnessError(f"{folder} cannot be made: {exc.strerror}.") from None
    try:
        for path, text in texts.items():
            path.write_text(text, "utf-8")
    except BaseException as exc:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(exc, OSError):
            raise HarnessError(f"{folder} cannot be written: {exc.strerror}.") from None
        raise
