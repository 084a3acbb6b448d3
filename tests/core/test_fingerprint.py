"""A fingerprint changes with the code under test that a program names, and with nothing else."""

from __future__ import annotations

import functools
import itertools
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.core.fingerprint import fingerprint_of

NUMBERS = itertools.count()

PROGRAM = """
import functools
import json
import helpers
from helpers import FEE as fee

LIMIT = 3
OTHER = 3


class Account:
    least: int = 0

    def __init__(self, balance=1):
        self.balance = balance

    def draw(self, *, often=1):
        self.balance -= step(1)

    @property
    def is_empty(self):
        return self.balance == 0

    @functools.cached_property
    def owner(self):
        return "Ada"


def step(amount):
    return amount + LIMIT + fee + helpers.TAX


def unused():
    return 1


SHARED = Account()


def program(sim):
    # A comment.
    helpers.called(sim)
    SHARED.draw()
    return json.dumps(sorted({"a", "b"}))
"""
HELPERS = """
FEE = 5
TAX, DUTY = 1, 0
LAST = 9


def called(sim):
    return deeper(sim)


def deeper(sim):
    return sim in {1, 2, "three"}


def beside(sim):
    return sim
"""


@pytest.fixture(autouse=True)
def _helpers() -> Iterator[None]:
    yield
    for name in ("accounts", "helpers"):
        sys.modules.pop(name, None)


def made(folder: Path, name: str, text: str) -> types.ModuleType:
    """Make a module of a text."""
    path = folder / f"{name}_{next(NUMBERS)}.py"
    path.write_text(text)
    module = types.ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    exec(compile(text, str(path), "exec"), vars(module))  # noqa: S102 - our own text
    return module


def of(folder: Path, program: str = PROGRAM, helpers: str = HELPERS) -> str:
    """Return the fingerprint of a program whose files are under test."""
    made(folder, "helpers", helpers)
    module = made(folder, "accounts", program)
    chosen = functools.partial(module.program)
    return fingerprint_of(chosen, is_under_test=lambda file: file.startswith(str(folder)))


def replaced(text: str, old: str, new: str) -> str:
    """Return a text with one thing replaced, that is in it."""
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SHARED.draw()", "SHARED.draw() or 1"),
        ("-= step(1)", "-= step(2)"),
        ("-= step(1)", "+= step(1)"),
        ("self.balance == 0", "self.balance == 1"),
        ('"Ada"', '"Grace"'),
        ("amount + LIMIT", "amount - LIMIT"),
        ("LIMIT = 3", "LIMIT = 4"),
        ("least: int = 0", "least: int = 1"),
        ("balance=1", "balance=2"),
        ("often=1", "often=2"),
        ("SHARED = Account()", "SHARED = Account(2)"),
        ('{"a", "b"}', '{"a", "c"}'),
    ],
)
def test_what_a_program_names_is_part_of_it(tmp_path: Path, old: str, new: str) -> None:
    """Methods of what it uses, what those call, every constant, and what data begin with."""
    assert of(tmp_path) != of(tmp_path, program=replaced(PROGRAM, old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return deeper(sim)", "return not deeper(sim)"),
        ('"three"', "(3, True)"),
        ("FEE = 5", "FEE = 6"),
        ("TAX, DUTY = 1, 0", "TAX, DUTY = 2, 0"),
    ],
)
def test_what_it_names_of_another_module_is_part_of_it(tmp_path: Path, old: str, new: str) -> None:
    """And what that names in turn."""
    assert of(tmp_path) != of(tmp_path, helpers=replaced(HELPERS, old, new))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: replaced(text, "# A comment.", "# Another\n    # comment."),
        lambda text: "\n\n\n" + text,
        lambda text: replaced(text, "return 1", "return 2"),
        lambda text: replaced(text, "OTHER = 3", "OTHER = 4"),
    ],
)
def test_lines_and_what_is_not_named_make_no_difference(
    tmp_path: Path, change: Callable[[str], str]
) -> None:
    """A pin that is pasted moves what follows."""
    assert of(tmp_path) == of(tmp_path, program=change(PROGRAM))
    for old, new in (("return sim\n", "return 1\n"), ("LAST = 9", "LAST = 8")):
        assert of(tmp_path) == of(tmp_path, helpers=replaced(HELPERS, old, new))


def test_it_does_not_change_with_what_data_have_become(tmp_path: Path) -> None:
    """Runs leave their traces in modules, and paths differ between machines."""
    made(tmp_path, "helpers", HELPERS)
    module = made(tmp_path, "accounts", PROGRAM)

    def fingerprint() -> str:
        return fingerprint_of(module.program, is_under_test=lambda file: str(tmp_path) in file)

    before = fingerprint()
    vars(module).update(LIMIT=9)
    module.Account.least = 7
    module.Account.__init__.__defaults__ = (5,)

    assert fingerprint() == before


def test_a_program_counts_wherever_it_lies(tmp_path: Path) -> None:
    """Also one that is installed, and one that is a method."""
    one = made(tmp_path, "accounts", "class Till:\n    def open(self, sim):\n        return 1\n")
    two = made(tmp_path, "accounts", "class Till:\n    def open(self, sim):\n        return 2\n")
    for chosen in (lambda till: till.open, lambda till: functools.partial(type(till).open, till)):
        prints = {
            fingerprint_of(chosen(module.Till()), is_under_test=lambda _file: False)
            for module in (one, two)
        }
        assert len(prints) == 2


def test_no_code_is_run_for_it(tmp_path: Path) -> None:
    """Not even of what pretends to be something else."""

    class Pretender:
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(name)

    module = made(tmp_path, "accounts", "def program(sim):\n    return THING\n")
    vars(module)["THING"] = Pretender()

    assert fingerprint_of(module.program, is_under_test=lambda _file: True)
