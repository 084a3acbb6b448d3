"""A fingerprint changes with the code under test that a program names, and with nothing else."""

from __future__ import annotations

import functools
import itertools
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.core.fingerprint import fingerprint_of

NUMBERS = itertools.count()

PROGRAM = """
import contextlib
import functools
import json
import helpers
import pack.deep
from helpers import FEE as fee
from pack import RATE, SIZE
from pack.deep import *

LIMIT = 3
OTHER = 3
MOST = LIMIT + OTHERS
CLIENT = None
HANDLERS = {"draw": handle}


class Counted(type):
    def __call__(cls, *arguments):
        return super().__call__(*arguments, *())


class Account(metaclass=Counted):
    'Money.'

    least: int = 0
    size = SIZE
    owners = None

    @contextlib.contextmanager
    def opened(self):
        yield "opened"

    def __init__(self, balance=START):
        self.balance = balance

    def draw(self, *, often=1):
        self.balance -= step(1)

    @property
    def is_empty(self):
        return self.balance == 0

    @functools.cached_property
    def owner(self):
        return "Ada"

    @functools.cache
    def history(self):
        return "long"

    @functools.singledispatchmethod
    def close(self, other):
        return "closed"

    @close.register
    def _(self, other: int):
        return "closed by number"


def step(amount):
    'Say how much.'
    with held():
        return amount + MOST + fee + helpers.TAX + RATE + TOLL + kept(1) + pack.deep.go()


@contextlib.contextmanager
def held():
    yield "held"


@functools.cache
def remembered():
    return "remembered"


@functools.singledispatch
def kept(thing):
    return "kept"


@kept.register
def _(thing: int):
    return remembered() + "number"


def unused():
    return 1


SHARED = Account()


class Client:
    def send(self, thing):
        return thing


def install():
    global CLIENT, LATE
    CLIENT = Client()
    LATE = Client
    Account.owners = Client


def program(sim):
    # A comment.
    helpers.called(sim)
    SHARED.draw()
    CLIENT.send(HANDLERS["draw"])
    LATE.send(CLIENT)
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
DEEP = """
TOLL = 2
START = 4
OTHERS = 1


def go():
    return PLACE


PLACE = "far"


def handle(amount):
    return "handled"
"""
PACK = """
from .deep import OTHERS as RATE
from .deep import PLACE

SIZE = 6
"""


FILES = {"helpers": HELPERS, "pack.deep": DEEP, "pack": PACK, "accounts": PROGRAM}


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    for name in FILES:
        sys.modules.pop(name, None)


def made(folder: Path, name: str, text: str) -> types.ModuleType:
    """Make a module of a text."""
    path = folder / f"{name}_{next(NUMBERS)}.py"
    path.write_text(text)
    module = types.ModuleType(name)
    module.__file__ = str(path)
    module.__package__ = "pack" if name.startswith("pack") else ""
    sys.modules[name] = module
    exec(compile(text, str(path), "exec"), vars(module))  # noqa: S102 - our own text
    return module


def all_made(folder: Path, **texts: str) -> Callable[[], str]:
    """Make the program and all that it uses; return what tells its fingerprint."""
    for name, text in FILES.items():
        module = made(folder, name, texts.get(name.replace(".", "_"), text))
        if name == "pack":
            # As if it had been imported from a folder.
            vars(module)["deep"] = sys.modules["pack.deep"]
    chosen = functools.partial(module.program)
    return lambda: fingerprint_of(chosen, is_under_test=lambda file: file.startswith(str(folder)))


def of(folder: Path, **texts: str) -> str:
    """Return the fingerprint of a program whose files are under test."""
    return all_made(folder, **texts)()


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
        ("amount + MOST", "amount - MOST"),
        ("LIMIT = 3", "LIMIT = 4"),
        ("LIMIT + OTHERS", "LIMIT - OTHERS"),
        ("least: int = 0", "least: int = 1"),
        ("size = SIZE", "size = SIZE + 1"),
        ("often=1", "often=2"),
        ("SHARED = Account()", "SHARED = Account(2)"),
        ('"long"', '"short"'),
        ('"closed"', '"shut"'),
        ('"closed by number"', '"shut by number"'),
        ('"held"', '"taken"'),
        ('"opened"', '"shut"'),
        ("(*arguments, *())", "(*arguments)"),
        ('"kept"', '"stored"'),
        ('"number"', '"a number"'),
        ('"remembered"', '"known"'),
        ("CLIENT = None", "CLIENT = 0"),
        ('{"draw": handle}', '{"drew": handle}'),
        ('{"a", "b"}', '{"a", "c"}'),
    ],
)
def test_what_a_program_names_is_part_of_it(tmp_path: Path, old: str, new: str) -> None:
    """Methods of what it uses, what those call, every constant, and what data begin with."""
    assert of(tmp_path) != of(tmp_path, accounts=replaced(PROGRAM, old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return deeper(sim)", "return not deeper(sim)"),
        ('"three"', "(3, True)"),
        ("FEE = 5", "FEE = 6"),
        ("TAX, DUTY = 1, 0", "TAX, DUTY = 2, 0"),
        # Beside a package, behind it, and by a star.
        ("SIZE = 6", "SIZE = 7"),
        ("OTHERS = 1", "OTHERS = 2"),
        ("TOLL = 2", "TOLL = 3"),
        ("START = 4", "START = 5"),
        ("return PLACE", "return PLACE + PLACE"),
        ('"far"', '"near"'),
        ('"handled"', '"done"'),
    ],
)
def test_what_it_names_of_another_module_is_part_of_it(tmp_path: Path, old: str, new: str) -> None:
    """And what that names in turn."""
    texts = {"helpers": HELPERS, "pack": PACK, "pack_deep": DEEP}
    name = next(name for name, text in texts.items() if old in text)

    assert of(tmp_path) != of(tmp_path, **{name: replaced(texts[name], old, new)})


@pytest.mark.parametrize(
    "change",
    [
        lambda text: replaced(text, "# A comment.", "# Another\n    # comment."),
        lambda text: "\n\n\n" + text,
        lambda text: replaced(text, "return 1", "return 2"),
        lambda text: replaced(text, "OTHER = 3", "OTHER = 4"),
        lambda text: replaced(text, "'Money.'", "'Gold.'"),
        lambda text: replaced(text, "'Say how much.'", "'Tell how much.'"),
        lambda text: replaced(text, "return thing\n", "return None\n"),
    ],
)
def test_lines_and_what_is_not_named_make_no_difference(
    tmp_path: Path, change: Callable[[str], str]
) -> None:
    """A pin that is pasted moves what follows."""
    assert of(tmp_path) == of(tmp_path, accounts=change(PROGRAM))
    for old, new in (("return sim\n", "return 1\n"), ("LAST = 9", "LAST = 8")):
        assert of(tmp_path) == of(tmp_path, helpers=replaced(HELPERS, old, new))


def test_what_runs_leave_in_modules_is_no_part_of_it(tmp_path: Path) -> None:
    """Neither values nor classes of what is installed, and not the order in which they are met."""
    fingerprint = all_made(tmp_path)
    before = fingerprint()
    module = sys.modules["accounts"]
    module.install()
    vars(module).update(LIMIT=9, SHARED=None)
    vars(sys.modules["helpers"]).update(FEE=7, TAX=module.Client)
    module.Account.least = 7
    module.Account.__init__.__defaults__ = (5,)

    assert fingerprint() == before


def test_two_that_change_places_are_not_the_same(tmp_path: Path) -> None:
    """What is hashed belongs to a name."""
    one = made(tmp_path, "accounts", SWAPPED)
    two = made(tmp_path, "accounts", SWAPPED.replace("1", "3").replace("2", "1").replace("3", "2"))

    assert len({fingerprint_of(each.program, is_under_test=bool) for each in (one, two)}) == 2


SWAPPED = """
def draw(): return 1
def pay(): return 2
def program(sim): return draw() - pay()
"""


@pytest.mark.parametrize("names", ["LIMIT", "LIMIT, go", "CACHE, LIMIT"])
def test_a_file_of_the_same_name_elsewhere_does_not_stand_in(tmp_path: Path, names: str) -> None:
    """Two folders of scenarios have a `broken.py` each, and the last one has the name."""
    text = "LIMIT = %d\ndef go(): return LIMIT\nclass Cache:\n    def get(self): return go()\n"
    text += "CACHE = Cache()\n"

    def imported(folder: str, name: str, text: str) -> types.ModuleType:
        path = tmp_path / folder / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        module = types.ModuleType(name)
        module.__file__ = str(path)
        sys.modules[name] = module
        exec(compile(text, str(path), "exec"), vars(module))  # noqa: S102 - our own text
        return module

    imported("one", "helpers", text % 1)
    storms = imported(
        "one", "accounts", f"from helpers import {names}\ndef program(sim): return {names}\n"
    )
    before = fingerprint_of(storms.program, is_under_test=bool)
    imported("two", "helpers", text % 2)

    assert fingerprint_of(storms.program, is_under_test=bool) == before


def test_a_source_that_python_warns_of_is_read(tmp_path: Path) -> None:
    """Whatever is made of warnings, and without giving one again."""
    text = 'LIMIT = "\\d+"\ndef program(sim): return LIMIT\n'
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = made(tmp_path, "accounts", text)
        two = made(tmp_path, "accounts", text.replace("d+", "d*"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prints = {fingerprint_of(each.program, is_under_test=bool) for each in (one, two)}

    assert len(prints) == 2


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
