"""Expressions that read something shared where there is no point, and some that do not read it.

Each takes a shelf; the look at the shelf is a point, and what reads the thing on it comes after,
in the same step. It stands in the expression itself, for to hand the thing to a function that
nobody knows would count as well.
"""

# The expressions are what is tested, also those that are better written otherwise.
# ruff: noqa: B905, FURB171, LOG001, PIE804, PLW0108, RUF005, RUF017, S301, UP031, UP032

from __future__ import annotations

import array
import collections
import contextlib
import contextvars
import copy
import dataclasses
import functools
import heapq
import io
import itertools
import json
import logging
import operator
import pickle
import queue
import random
import re
import string
import threading
import types
from argparse import Namespace
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock
from xml.etree import ElementTree

from tests.programs import prices


class Shelf:
    """Where a thing is that two use at once, and what was told of it."""

    def __init__(self, thing: Any) -> None:
        self.thing = thing
        self.told: Any = None


@dataclasses.dataclass(order=True, unsafe_hash=True)
class Order:
    """Its methods are written by `dataclass`, and have no points."""

    tea: int = 1
    milk: int = 1


@dataclasses.dataclass(slots=True)
class Slotted:
    """Its attributes are in no dict."""

    tea: int = 1
    milk: int = 1


class Plain:
    """Two attributes."""

    def __init__(self) -> None:
        self.tea = 1
        self.milk = 1


@dataclasses.dataclass(frozen=True)
class Frozen:
    """Its attributes are changed by the method of another class."""

    tea: int = 1
    milk: int = 1


class Kind:
    """Two attributes of the class."""

    tea = 1
    milk = 1


class Special(Kind):
    """It has its own, and tells those of the class above."""

    tea = 0

    def __init__(self) -> None:
        self.milk = 0

    def both(self) -> tuple[int, int]:
        """Pass over its own."""
        return super().tea, super().milk


class Both(Plain):
    """What tells its attributes is written in C."""

    both = property(operator.attrgetter("tea", "milk"))


class Announcing:
    """It tells others first what it is going to change."""

    def __init__(self) -> None:
        self.__dict__["tea"] = 1

    def __setattr__(self, name: str, value: int) -> None:
        """Have the class above set it."""
        Kind.tea = value
        Kind.milk = value
        super().__setattr__(name, value)


PATTERN = re.compile("tea")
DUMP = functools.partial(json.dumps)
BOTH = operator.itemgetter("tea", "milk")
ATTRIBUTES = operator.attrgetter("tea", "milk")
WITHIN = operator.attrgetter("it.tea", "it.milk")


def pair(thing: Any) -> str:
    """Tell two attributes of what nobody else has."""
    return f"{thing.tea} {thing.milk}"


def _sliced(shelf: Shelf) -> list[int]:
    copied = [0]
    copied[:] = shelf.thing
    return copied


def _matched_by_name(shelf: Shelf) -> int:
    match shelf.thing:
        case Plain(tea=2, milk=1):
            return 2
        case _:
            return 0


def _matched_by_place(shelf: Shelf) -> tuple[int, int]:
    match shelf.thing:
        case Order(tea, milk):
            return tea, milk
    raise AssertionError("it is an order")


def _added(shelf: Shelf) -> list[int]:
    copied: list[int] = []
    copied += shelf.thing
    return copied


def _bound(shelf: Shelf) -> str:
    dump = functools.partial(json.dumps, shelf.thing)
    return dump()


def _without(shelf: Shelf) -> int:
    left = {2, 3}
    left -= shelf.thing
    return 22 if not left else 2 if len(left) == 1 else 0


def _sorted_by_attributes(shelf: Shelf) -> int:
    orders = [shelf.thing, Order(2, 0)]
    orders.sort(key=ATTRIBUTES)
    return 2 if orders[0].milk == 0 else 1


#: By the name of what is changed: how it is made, how it is changed, and who reads it.
Table = dict[str, Callable[[Shelf], Any]]

OF_A_DICT: Table = {
    "d | {}": lambda shelf: shelf.thing | {},
    "{} | d": lambda shelf: {} | shelf.thing,
    "%(tea)s % d": lambda shelf: "%(tea)s %(milk)s" % shelf.thing,
    "%s % (d,)": lambda shelf: "%s" % (shelf.thing,),
    "f-string": lambda shelf: f"{shelf.thing}",
    "f-string !r": lambda shelf: f"{shelf.thing!r:>40}",
    "dumps(d)": lambda shelf: json.dumps(shelf.thing),
    "dumps(*(d,))": lambda shelf: json.dumps(*(shelf.thing,)),
    "dumps(*[d])": lambda shelf: json.dumps(*[shelf.thing]),
    "dumps(**{...})": lambda shelf: json.dumps(**{"obj": shelf.thing}),
    "dumps([d])": lambda shelf: json.dumps([shelf.thing]),
    "dumps((d,))": lambda shelf: json.dumps((shelf.thing,)),
    "dumps({...: d})": lambda shelf: json.dumps({"x": shelf.thing}),
    "dumps of many": lambda shelf: json.dumps([*([0] for _ in range(300)), shelf.thing]),
    "repr((d,))": lambda shelf: repr((shelf.thing,)),
    "repr of a view": lambda shelf: repr(shelf.thing.values()),
    "repr of a proxy": lambda shelf: repr(types.MappingProxyType(shelf.thing)),
    "deepcopy([d])": lambda shelf: copy.deepcopy([shelf.thing]),
    "partial": lambda shelf: DUMP(shelf.thing),
    "partial by name": lambda shelf: DUMP(obj=shelf.thing),
    "partial of it": _bound,
    "itemgetter": lambda shelf: BOTH(shelf.thing),
    "itemgetter made there": lambda shelf: operator.itemgetter("tea", "milk")(shelf.thing),
    "d.__or__({})": lambda shelf: shelf.thing.__or__({}),
    "Template": lambda shelf: string.Template("$tea $milk").substitute(shelf.thing),
    "format": lambda shelf: "{}".format(shelf.thing),
    "print": lambda shelf: (
        (file := io.StringIO(), print(shelf.thing, file=file)) and file.getvalue()
    ),
    "encode": lambda shelf: json.JSONEncoder().encode(shelf.thing),
    "map": lambda shelf: list(map(str, shelf.thing.values())),
}
OF_A_LIST: Table = {
    "a + []": lambda shelf: shelf.thing + [],
    "[] + a": lambda shelf: [] + shelf.thing,
    "a * 1": lambda shelf: shelf.thing * 1,
    "1 * a": lambda shelf: 1 * shelf.thing,
    "b += a": _added,
    "b[:] = a": _sliced,
    "[] < a": lambda shelf: 2 if [1] < shelf.thing < [2, 1] else 0,
    "sum([a], [])": lambda shelf: sum([shelf.thing], []),
    "sum([[0]], a)": lambda shelf: sum([[0]], shelf.thing),
    "chain": lambda shelf: list(itertools.chain.from_iterable([[1], shelf.thing])),
    "merge": lambda shelf: list(heapq.merge([1], shelf.thing)),
    "a.__add__([])": lambda shelf: shelf.thing.__add__([]),
    "list.__add__(a, [])": lambda shelf: list.__add__(shelf.thing, []),
    "setitem": lambda shelf: (b := [], operator.setitem(b, slice(0, 0), shelf.thing)) and b,
    "+Counter(a)": lambda shelf: list((+collections.Counter(shelf.thing)).elements()),
    "sample": lambda shelf: random.sample(shelf.thing, len(shelf.thing)),
}
OF_A_LIST_OF_A_LIBRARY: Table = {
    "dumps": lambda shelf: json.dumps(shelf.thing),
    "dumps of many": lambda shelf: json.dumps([*([] for _ in range(300)), shelf.thing]),
}
OF_ROWS: Table = {
    "index": lambda shelf: 2 if [2] in shelf.thing and shelf.thing.index([2]) == 0 else 0,
    "in": lambda shelf: 2 if [2] in shelf.thing else 0,
    "count": lambda shelf: 2 if shelf.thing.count([2]) else 0,
    "== in a tuple": lambda shelf: 2 if (shelf.thing,) == ([[2]],) else 0,
    "sum": lambda shelf: sum(shelf.thing, []),
    "max": lambda shelf: str(max(shelf.thing, key=len)),
    "f-string": lambda shelf: f"{shelf.thing}",
    "map": lambda shelf: "".join(map(repr, shelf.thing)),
    "spread": lambda shelf: json.dumps(*[shelf.thing]),
}
OF_A_SET: Table = {
    "b - s": lambda shelf: sorted({2: 3, 1: 2, 0: 22}[len({2, 3} - shelf.thing)] for _ in "."),
    "b -= s": _without,
    "s & b": lambda shelf: sorted({0: 3, 1: 2, 2: 22}[len(shelf.thing & {2, 3})] for _ in "."),
}
OF_BYTES: Table = {
    "decode": lambda shelf: shelf.thing.decode(),
    "split": lambda shelf: str(shelf.thing.split(b"x")),
    "b'' + b": lambda shelf: str(b"" + shelf.thing),
    "BytesIO": lambda shelf: str(io.BytesIO(shelf.thing).read()),
}
OF_AN_OBJECT: Table = {
    "copy": lambda shelf: pair(copy.copy(shelf.thing)),
    "deepcopy": lambda shelf: pair(copy.deepcopy(shelf.thing)),
    "deepcopy([o])": lambda shelf: pair(copy.deepcopy([shelf.thing])[0]),
    "pickle": lambda shelf: pair(pickle.loads(pickle.dumps(shelf.thing))),
    "vars": lambda shelf: str(vars(shelf.thing)),
    "dict(vars)": lambda shelf: dict(vars(shelf.thing)),
    "__dict__": lambda shelf: str(shelf.thing.__dict__),
    "__dict__.copy": lambda shelf: shelf.thing.__dict__.copy(),
    "attrgetter": lambda shelf: ATTRIBUTES(shelf.thing),
    "attrgetter made there": lambda shelf: operator.attrgetter("tea", "milk")(shelf.thing),
    "map(attrgetter)": lambda shelf: list(map(ATTRIBUTES, [shelf.thing])),
    "sort(attrgetter)": _sorted_by_attributes,
    "dumps(default)": lambda shelf: json.dumps(shelf.thing, default=vars),
    "getattr": lambda shelf: [getattr(shelf.thing, name) for name in ("tea", "milk")],
    "object.__getattribute__": lambda shelf: (
        object.__getattribute__(shelf.thing, "tea"),
        object.__getattribute__(shelf.thing, "milk"),
    ),
    "o.__getattribute__": lambda shelf: (
        shelf.thing.__getattribute__("tea"),
        shelf.thing.__getattribute__("milk"),
    ),
    "match": _matched_by_name,
    "format": lambda shelf: "{0.tea} {0.milk}".format(shelf.thing),
    "format by name": lambda shelf: "{o.tea} {o.milk}".format(o=shelf.thing),
    "format within": lambda shelf: "{0[0].tea} {0[0].milk}".format([shelf.thing]),
    "Formatter": lambda shelf: string.Formatter().format("{0.tea} {0.milk}", shelf.thing),
}
OF_AN_OBJECT_WITHIN: Table = {
    "attrgetter": lambda shelf: WITHIN(shelf.thing),
    "attrgetter made there": lambda shelf: operator.attrgetter("it.tea", "it.milk")(shelf.thing),
}
OF_A_DATACLASS: Table = {
    "asdict": lambda shelf: str(dataclasses.asdict(shelf.thing)),
    "replace": lambda shelf: pair(dataclasses.replace(shelf.thing)),
    "==": lambda shelf: 2 if shelf.thing == Order(2, 1) else 1,
    "== on the right": lambda shelf: 2 if Order(2, 1) == shelf.thing else 1,
    "== in a list": lambda shelf: 2 if [shelf.thing] == [Order(2, 1)] else 1,
    "in a tuple": lambda shelf: 2 if Order(2, 1) in (shelf.thing,) else 1,
    "<=": lambda shelf: 2 if shelf.thing <= Order(2, 1) and Order(2, 1) <= shelf.thing else 1,
    "repr": lambda shelf: repr(shelf.thing),
    "f-string": lambda shelf: f"{shelf.thing}",
    "%s": lambda shelf: "%s" % shelf.thing,
    "hash": lambda shelf: 2 if hash(shelf.thing) == hash(Order(2, 1)) else 1,
    "match": _matched_by_place,
}
OF_A_VIEW: Table = {
    "& in a view": lambda shelf: {1: 2}.get(len(shelf.thing & {"tea", "milk"})),
    "- a view": lambda shelf: {1: 2}.get(len({"tea", "milk"} - shelf.thing)),
}
OF_A_NAMESPACE: Table = {
    "repr": lambda shelf: repr(shelf.thing),
    "f-string": lambda shelf: f"{shelf.thing}",
    "==": lambda shelf: 2 if shelf.thing == types.SimpleNamespace(tea=2, milk=1) else 1,
    "vars": lambda shelf: str(vars(shelf.thing)),
    "copy": lambda shelf: pair(copy.copy(shelf.thing)),
}
OF_A_PROXY: Table = {"| {}": lambda shelf: shelf.thing | {}}
OF_AN_ARRAY: Table = {
    "a + []": lambda shelf: shelf.thing + array.array("i"),
    "f-string": lambda shelf: f"{shelf.thing}",
}
OF_A_LIST_IN_PYTHON: Table = {
    "a + []": lambda shelf: shelf.thing + [],
    "f-string": lambda shelf: f"{shelf.thing}",
}
OF_A_DICT_IN_PYTHON: Table = {
    "d | {}": lambda shelf: shelf.thing | {},
    "f-string": lambda shelf: f"{shelf.thing}",
}
OF_WHAT_A_VIEW_CHANGES: Table = {"[]": lambda shelf: (shelf.thing.obj[0], shelf.thing.obj[1])}
OF_A_PROPERTY: Table = {"property": lambda shelf: shelf.thing.both}
OF_A_METHOD: Table = {"map": lambda shelf: list(shelf.thing)}


def _change_dict(thing: dict[str, int]) -> None:
    thing["tea"] = 2
    thing["milk"] = 2


def _change_list(thing: list[int]) -> None:
    thing.append(2)
    thing.append(2)


def _change_by_library(thing: list[int]) -> None:
    operator.iadd(thing, [2])
    assert len(thing) == 1, "that is a point"
    operator.iadd(thing, [2])


def _change_rows(thing: list[list[int]]) -> None:
    thing[0].append(2)
    thing[0].append(2)


def _change_places(thing: Any) -> None:
    thing[0] = 2
    thing[1] = 2


def _change_set(thing: set[int]) -> None:
    thing.add(2)
    thing.add(3)


def _change_bytes(thing: bytearray) -> None:
    thing.append(50)
    thing.append(50)


def _change_object(thing: Any) -> None:
    thing.tea = 2
    thing.milk = 2


def _change_within(thing: Any) -> None:
    _change_object(thing.it)


def _change_by_method(thing: Any) -> None:
    object.__setattr__(thing, "tea", 2)
    object.__setattr__(thing, "milk", 2)


def _change_behind(thing: Any) -> None:
    _change_dict(STOCK)
    assert thing is not None, "that is what the other one reads"


def _change_by_name(thing: Any) -> None:
    for name in ("tea", "milk"):
        setattr(thing, name, 2)


def _change_by_dict(thing: Any) -> None:
    attributes = vars(thing)
    attributes["tea"] = 2
    attributes["milk"] = 2


def _change_class(_: object) -> None:
    Kind.tea = 2
    Kind.milk = 2


def _change_module(_: object) -> None:
    prices.tea = 2
    prices.milk = 2


def _new_class() -> Any:
    Kind.tea = Kind.milk = 1
    return Kind()


#: What only a context of its own changes.
TABLE = contextvars.ContextVar("TABLE", default=0)


def _new_special() -> Any:
    _new_class()
    return Special()


def _new_within() -> Any:
    within = Plain()
    within.it = Plain()
    return within


def _new_stock() -> dict[str, int]:
    STOCK.clear()
    return STOCK


def _new_module() -> None:
    prices.tea = prices.milk = 1


#: What a view or an iterator looks at that was made before anybody runs.
STOCK: dict[str, int] = {}
ATTRIBUTE_BY_ATTRIBUTE: Table = {"both": lambda shelf: (shelf.thing.tea, shelf.thing.milk)}
BY_NAME: Table = {**ATTRIBUTE_BY_ATTRIBUTE, "getattr": OF_AN_OBJECT["getattr"]}
SUPER: Table = {"super": lambda shelf: shelf.thing.both()}
SETTINGS: Table = {"module": lambda _: (prices.tea, prices.milk), "global": lambda _: prices.both()}

TABLES: dict[str, tuple[Callable[[], Any], Callable[[Any], None], Table]] = {
    "dict": (lambda: {"tea": 1, "milk": 1}, _change_dict, OF_A_DICT),
    "list": (list, _change_list, OF_A_LIST),
    "list of a library": (list, _change_by_library, OF_A_LIST_OF_A_LIBRARY),
    "rows": (lambda: [[]], _change_rows, OF_ROWS),
    "set": (set, _change_set, OF_A_SET),
    "bytearray": (bytearray, _change_bytes, OF_BYTES),
    "object": (Plain, _change_object, OF_AN_OBJECT),
    "slots": (Slotted, _change_object, {"deepcopy": OF_AN_OBJECT["deepcopy"]}),
    "dataclass": (Order, _change_object, OF_A_DATACLASS),
    "by name": (Plain, _change_by_name, ATTRIBUTE_BY_ATTRIBUTE),
    "by its dict": (Plain, _change_by_dict, ATTRIBUTE_BY_ATTRIBUTE),
    "class": (_new_class, _change_class, BY_NAME),
    "class above": (_new_special, _change_class, SUPER),
    "within": (_new_within, _change_within, OF_AN_OBJECT_WITHIN),
    "by another class": (Plain, _change_by_method, ATTRIBUTE_BY_ATTRIBUTE),
    "frozen": (Frozen, _change_by_method, ATTRIBUTE_BY_ATTRIBUTE),
    "namespace": (lambda: types.SimpleNamespace(tea=1, milk=1), _change_object, OF_A_NAMESPACE),
    "options": (lambda: Namespace(tea=1, milk=1), _change_object, {"repr": OF_A_NAMESPACE["repr"]}),
    "property": (Both, _change_object, OF_A_PROPERTY),
    "array": (lambda: array.array("i"), _change_list, OF_AN_ARRAY),
    "UserList": (collections.UserList, _change_list, OF_A_LIST_IN_PYTHON),
    "UserDict": (collections.UserDict, _change_dict, OF_A_DICT_IN_PYTHON),
    "memoryview": (
        lambda: memoryview(bytearray(b"\1\1")),
        _change_places,
        OF_WHAT_A_VIEW_CHANGES,
    ),
    "proxy": (lambda: types.MappingProxyType(_new_stock()), _change_behind, OF_A_PROXY),
    "view": (lambda: _new_stock().keys(), _change_behind, OF_A_VIEW),
    "method": (lambda: map(_new_stock().get, ["tea", "milk"]), _change_behind, OF_A_METHOD),
    "setting": (_new_module, _change_module, SETTINGS),
}


def told_whole(kind: str, reader: str) -> Callable[[Any], None]:
    """Return a program in which one changes a thing twice while another one tells it whole."""
    make, change, table = TABLES[kind]
    read = table[reader]

    def program(sim: Any) -> None:
        shelf = Shelf(make())

        def tell() -> None:
            shelf.told = read(shelf)

        with sim.storm() as storm:
            storm.spawn(lambda: change(shelf.thing))
            storm.spawn(tell)
        assert str(shelf.told).count("2") != 1, "half of it was told"

    return program


def announced(sim: Any) -> None:
    """One reads what is announced, and then what has not been changed yet."""
    Kind.tea = Kind.milk = 1
    thing = Announcing()
    told: list[int] = []

    def change() -> None:
        thing.tea = 2

    def read() -> None:
        told.extend((Kind.tea, thing.tea))

    with sim.storm() as storm:
        storm.spawn(change)
        storm.spawn(read)
    assert told != [2, 1], "it was announced and not done"


# --- what is promised to come later ---------------------------------------------------------------


def _tested(shelf: Shelf) -> bool:
    thing = shelf.thing
    return bool(True if thing else False)  # noqa: SIM210 - that is what is tested


# What is tested where it is read: its point tells of the attribute, not of what that holds.


def _if(shelf: Shelf) -> str:
    return "something" if shelf.thing else ""


def _if_not(shelf: Shelf) -> str:
    return "" if not shelf.thing else "something"


def _while(shelf: Shelf) -> str:
    while shelf.thing:
        return "something"
    return ""


def _if_named(shelf: Shelf) -> str:
    return "something" if (_ := shelf.thing) else ""


def _asserted(shelf: Shelf) -> str:
    try:
        assert shelf.thing
    except AssertionError:
        return ""
    return "something"


class Sized:
    """It is true if what it has is."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def __bool__(self) -> bool:
        """Ask that."""
        return bool(self.rows)


class Ancestor:
    """A class from which others have their data."""

    count = 0


class Meta(type):
    """What its classes have, but for what they are given themselves."""

    count = 0


class Answering(type):
    """Its classes have whatever they are asked for."""

    def __getattr__(cls, name: str) -> int:
        """Return nothing much."""
        return 0


def _give_count(thing: Any) -> None:
    thing.count = 1


def _give_class_count(thing: Any) -> None:
    type(thing).count = 1


TESTED: dict[str, Callable[[Shelf], Any]] = {
    "if": _if,
    "if not": _if_not,
    "while": _while,
    "and": lambda shelf: str(shelf.thing and "something") == "something",
    "bool": lambda shelf: bool(shelf.thing),
    ":=": _if_named,
    "assert": _asserted,
}


#: By the name of what is used: how it is made, how it is changed, and who sees that it was.
CHANGES: dict[str, tuple[Callable[[], Any], Callable[[Any], Any], Callable[[Shelf], Any]]] = {
    **{
        f"{name} of an attribute": (list, lambda thing: thing.append(1), look)
        for name, look in TESTED.items()
    },
    "if of a deque": (collections.deque, lambda thing: thing.append(1), _if),
    "if of a set": (set, lambda thing: thing.add(1), _if),
    "if of a counter": (collections.Counter, lambda thing: thing.update("a"), _if),
    "if of an item": (
        lambda: {"rows": []},
        lambda thing: thing["rows"].append(1),
        lambda shelf: True if shelf.thing["rows"] else False,  # noqa: SIM210 - as above
    ),
    "if of what is got": (
        lambda: {"rows": []},
        lambda thing: thing["rows"].append(1),
        lambda shelf: True if shelf.thing.get("rows") else False,  # noqa: SIM210 - as above
    ),
    "if of what has a truth": (Sized, lambda thing: thing.rows.append(1), _if),
    "equal to bytes": (
        bytearray,
        lambda thing: thing.append(98),
        lambda shelf: shelf.thing == b"b",
    ),
    "attribute that a class comes to shadow": (
        lambda: type("Kid", (Ancestor,), {})(),
        _give_class_count,
        lambda shelf: shelf.thing.count,
    ),
    "attribute of a class that its class has": (
        lambda: Meta("Kid", (), {}),
        _give_count,
        lambda shelf: shelf.thing.count,
    ),
    "attribute of a class that answers": (
        lambda: Answering("Kid", (), {}),
        _give_count,
        lambda shelf: shelf.thing.count,
    ),
    "start of a thread": (
        lambda: threading.Thread(target=_ignored, args=([],)),
        lambda thing: thing.start(),
        lambda shelf: shelf.thing.is_alive() or shelf.thing.ident,
    ),
    "test of a UserList": (collections.UserList, lambda thing: thing.append(1), _tested),
    "test of an array": (lambda: array.array("i"), lambda thing: thing.append(1), _tested),
    "test of a view": (lambda: _new_stock().keys(), lambda _: STOCK.update(tea=1), _tested),
    "StringIO": (
        io.StringIO,
        lambda thing: thing.write("x"),
        lambda shelf: shelf.thing.getvalue(),
    ),
    "StringIO with arguments": (
        io.StringIO,
        lambda thing: thing.write(*["x"]),
        lambda shelf: shelf.thing.getvalue(),
    ),
    "print": (
        io.StringIO,
        lambda thing: print("x", file=thing),
        lambda shelf: shelf.thing.getvalue(),
    ),
    "Random": (
        lambda: random.Random(1),
        lambda thing: thing.random(),
        lambda shelf: shelf.thing.random() > 0.5,
    ),
    "Logger": (
        lambda: logging.Logger("till", logging.ERROR),
        lambda thing: thing.setLevel(logging.INFO),
        lambda shelf: shelf.thing.isEnabledFor(logging.INFO),
    ),
    "attribute of a Logger": (
        lambda: logging.Logger("till"),
        lambda thing: setattr(thing, "disabled", True),
        lambda shelf: not shelf.thing.isEnabledFor(logging.INFO),
    ),
    "Context": (
        contextvars.copy_context,
        lambda thing: thing.run(TABLE.set, 1),
        lambda shelf: shelf.thing.run(TABLE.get),
    ),
    "array": (
        lambda: array.array("i"),
        lambda thing: thing.fromlist([1]),
        lambda shelf: shelf.thing.tolist(),
    ),
    "memoryview": (
        lambda: memoryview(bytearray(1)),
        lambda thing: operator.setitem(thing, 0, 1),
        lambda shelf: any(shelf.thing.tolist()),
    ),
    "generator": (
        lambda: _endless(),
        lambda thing: thing.send(None),
        lambda shelf: shelf.thing.send(None),
    ),
    "Element": (
        lambda: ElementTree.Element("cup"),
        lambda thing: thing.set("of", "tea"),
        lambda shelf: shelf.thing.get("of"),
    ),
    "text of an Element": (
        lambda: ElementTree.Element("cup"),
        lambda thing: setattr(thing, "text", "tea"),
        lambda shelf: b"tea" in ElementTree.tostring(shelf.thing),
    ),
    "note of an exception": (
        ValueError,
        lambda thing: thing.add_note("late"),
        lambda shelf: getattr(shelf.thing, "__notes__", []),
    ),
    "SimpleQueue.empty": (
        lambda: queue.SimpleQueue(),
        lambda thing: thing.put(1),
        lambda shelf: not shelf.thing.empty(),
    ),
    "SimpleQueue.qsize": (
        lambda: queue.SimpleQueue(),
        lambda thing: thing.put(1),
        lambda shelf: shelf.thing.qsize(),
    ),
}


def seen_later(
    make: Callable[[], Any], change: Callable[[Any], Any], look: Callable[[Shelf], Any]
) -> Callable[[Any], None]:
    """Return a program which promises that a change has been made when it is looked for."""

    def program(sim: Any) -> None:
        shelf = Shelf(make())

        def tell() -> None:
            shelf.told = look(shelf)

        with sim.storm() as storm:
            storm.spawn(lambda: change(shelf.thing))
            storm.spawn(tell)
        assert shelf.told, "it was looked for before"

    return program


def seen_before(
    make: Callable[[], Any], change: Callable[[Any], Any], look: Callable[[Shelf], Any]
) -> Callable[[Any], None]:
    """Return a program which promises that nothing has been changed yet when it is looked for."""

    def program(sim: Any) -> None:
        shelf = Shelf(make())
        never = look(Shelf(make()))

        def tell() -> None:
            shelf.told = look(shelf)

        with sim.storm() as storm:
            storm.spawn(tell)
            storm.spawn(lambda: change(shelf.thing))
        assert shelf.told == never, "it was changed before"

    return program


# --- what no log tells of -------------------------------------------------------------------------


class Teller:
    """It has a method, a number and a list."""

    number = 0

    def __init__(self) -> None:
        self.rows: list[int] = []

    def told(self) -> int:
        """Return what another method may return otherwise."""
        return 0

    @classmethod
    def made_anew(cls) -> type[Teller]:
        """Return a class of its own, which may be changed."""
        return type("Teller", (cls,), {})


def _optional(count: int = 0) -> int:
    return count


def _told_otherwise(_: Any) -> int:
    return 1


def _give_method(kind: Any) -> None:
    kind.told = _told_otherwise


def _give_length(kind: Any) -> None:
    kind.__len__ = _told_otherwise


def _patch(kind: Any) -> None:
    mock.patch.object(kind, "told", _told_otherwise).start()


def _give_default(function: Any) -> None:
    function.__defaults__ = (1,)


def _late_of(thing: Any) -> int:
    try:
        return int(thing.late)
    except AttributeError:
        return 0


def _call_later(rows: list[int]) -> None:
    with contextlib.ExitStack() as stack:
        stack.callback(rows.append, 1)


#: As `CHANGES`: they may be found by chance, but never be called exhausted.
UNSEEN: dict[str, tuple[Callable[[], Any], Callable[[Any], Any], Callable[[Shelf], Any]]] = {
    "method of a class": (
        Teller.made_anew,
        _give_method,
        lambda shelf: shelf.thing().told(),
    ),
    "length of a class": (
        lambda: type("Sized", (), {"__len__": lambda _: 0}),
        _give_length,
        lambda shelf: len(shelf.thing()),
    ),
    "mock": (Teller.made_anew, _patch, lambda shelf: shelf.thing().told()),
    "default of a function": (
        lambda: types.FunctionType(_optional.__code__, {}, argdefs=(0,)),
        _give_default,
        lambda shelf: shelf.thing(),
    ),
    "map of a partial": (
        Teller,
        lambda thing: list(map(functools.partial(setattr, thing, "number"), [1])),
        lambda shelf: shelf.thing.number,
    ),
    "map of a method": (
        list,
        lambda thing: list(map(thing.append, [1])),
        lambda shelf: True if shelf.thing else False,  # noqa: SIM210 - as above
    ),
    "map of a descriptor": (
        lambda: [1],
        lambda thing: list(map(list.clear, [thing])),
        lambda shelf: not shelf.thing,
    ),
    "callback of an ExitStack": (list, _call_later, _if),
    "attribute that nobody has yet": (
        Teller.made_anew,
        lambda thing: setattr(thing, "late", 1),
        lambda shelf: _late_of(shelf.thing()),
    ),
    "dir": (
        Teller,
        lambda thing: setattr(thing, "late", 1),
        lambda shelf: "late" in dir(shelf.thing),
    ),
}


# --- what two take from --------------------------------------------------------------------------


def _first_of(things: Iterator[Any]) -> Any:
    for each in things:
        return each
    return None


def _both_of(things: Iterator[Any]) -> Any:
    try:
        one, other = things
    except ValueError:
        return None
    return one, other


def _endless() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1


#: By the name of what is shared: how it is made, and what each does with it.
ITERATORS: dict[str, tuple[Callable[[], Iterator[Any]], Callable[[Any], Any]]] = {
    "for": (lambda: iter([10, 20]), _first_of),
    "for in a range": (lambda: iter(range(2)), _first_of),
    "for in count": (itertools.count, _first_of),
    "for in enumerate": (lambda: enumerate("ab"), _first_of),
    "for in a generator": (_endless, _first_of),
    "for behind zip": (lambda: iter("ab"), lambda it: _first_of(zip(it, "ab"))),
    "next": (lambda: iter(range(2)), next),
    "next of a tuple": (lambda: iter((1, 2)), lambda it: next(it)),
    "next of a text": (lambda: iter("ab"), lambda it: next(it, None)),
    "list": (lambda: zip([1, 2], "ab"), lambda it: list(it)),
    "sum": (lambda: iter([1, 2, 3]), lambda it: sum(it)),
    "in": (lambda: iter((1, 2)), lambda it: 2 in it),
    "unpacked": (lambda: iter("ab"), _both_of),
    "[*it]": (lambda: iter("ab"), lambda it: [*it]),
    "join": (lambda: iter("ab"), lambda it: "".join(it)),
    "reduce": (lambda: iter((1, 2)), lambda it: functools.reduce(operator.add, it, 0)),
    "islice": (itertools.count, lambda it: list(itertools.islice(it, 2))),
    "zip": (itertools.count, lambda it: list(zip(it, "ab"))),
    "listed zip": (itertools.count, lambda it: [each for each, _ in zip(it, "ab")]),
    "map": (lambda: iter((1, 2)), lambda it: list(map(str, it))),
}


def shared_out(name: str) -> Callable[[Any], None]:
    """Return a program in which two take from one iterator, and the second may come first."""
    make, take = ITERATORS[name]

    def program(sim: Any) -> None:
        shelf = Shelf(make())
        took: dict[str, Any] = {}

        def customer(who: str) -> None:
            took[who] = take(shelf.thing)

        with sim.storm() as storm:
            storm.spawn(customer, "first")
            storm.spawn(customer, "second")
        assert took["first"] == take(make()), "the second was first"

    return program


# --- what is no dependency ------------------------------------------------------------------------


def _ignored(_things: list[Any]) -> None:
    pass


class Office:
    """It would pass on what it is handed."""

    def spawn(self, *_things: Any) -> None:
        """Forget it."""


def _first(one: list[int], _: list[int]) -> list[int]:
    return one


def _private(_: Shelf) -> str:
    payload = {"rows": [[1], {"x": []}]}
    # The first of many that might change them, for all that is known.
    functools.reduce(_first, [[1], [2]])
    return json.dumps(payload) + json.dumps([[2], {"y": {}}]) + f"{[payload]}"


def _of_ones_own(_: Shelf) -> int:
    numbers = iter(range(3))
    total = next(numbers) + sum(numbers)
    for place, number in enumerate((1, 2)):
        total += place * number
    for number in map(abs, itertools.islice(itertools.count(), 2)):
        total += number
    for number, each in zip(itertools.count(), (1, 2), strict=False):
        total += number * each
    return total


# One reads, or passes on, what is in a list; the other changes what is in that.
SILENT: Table = {
    "made on the spot": _private,
    "rows + []": lambda shelf: shelf.thing + [],
    "[*rows]": lambda shelf: [*shelf.thing],
    "copy": lambda shelf: copy.copy(shelf.thing),
    "code under test": lambda shelf: _ignored([shelf.thing]),
    "Thread": lambda shelf: threading.Thread(target=_ignored, args=([shelf.thing],)),
    "partial": lambda shelf: functools.partial(_ignored, [shelf.thing]),
    "namespace": lambda shelf: types.SimpleNamespace(x=[shelf.thing]),
    "spawn": lambda shelf: Office().spawn([shelf.thing]),
    "append": lambda shelf: [].append([shelf.thing]),
    "key": lambda shelf: 1 in {2: shelf.thing},
    "len": lambda shelf: len([shelf.thing]),
    "zip": lambda shelf: isinstance([shelf.thing], list),
    "pattern": lambda _: PATTERN.match("tea"),
    "one's own file": lambda _: io.StringIO().write("x"),
}
# Both do the same.
HARMLESS: Table = {
    "made on the spot": _private,
    "iterators of one's own": _of_ones_own,
    "pattern": lambda _: PATTERN.match("tea"),
    "one's own files": lambda _: io.StringIO().write("x"),
    "dumps": lambda shelf: json.dumps([shelf.thing]),
    "f-string": lambda shelf: f"{shelf.thing}",
    "+": lambda shelf: shelf.thing + shelf.thing,
    "deepcopy": lambda shelf: copy.deepcopy([shelf.thing]),
}


def looked_past(name: str) -> Callable[[Any], None]:
    """Return a program in which one changes what the other one does not look at."""
    read = SILENT[name]

    def program(sim: Any) -> None:
        shelf = Shelf([[]])

        def tell() -> None:
            read(shelf)

        with sim.storm() as storm:
            storm.spawn(lambda: shelf.thing[0].append(2))
            storm.spawn(tell)

    return program


def looked_at_twice(name: str) -> Callable[[Any], None]:
    """Return a program in which two read the same."""
    read = HARMLESS[name]

    def program(sim: Any) -> None:
        shelf = Shelf([[]])

        def tell() -> None:
            read(shelf)

        with sim.storm() as storm:
            storm.spawn(tell, copies=2)

    return program


def two_and_many(sim: Any) -> None:
    """One changes a list; the other one tells more lists than are looked at one by one."""
    many: list[list[int]] = [[] for _ in range(300)]
    other: list[int] = []

    with sim.storm() as storm:
        storm.spawn(lambda: other.append(1))
        storm.spawn(lambda: json.dumps(many))


def two_of_a_pattern(sim: Any) -> None:
    """One attribute is matched by its name, another one changed."""
    thing = Order()

    def change() -> None:
        thing.milk = 2

    def read() -> None:
        match thing:
            case Order(tea=1):
                pass

    with sim.storm() as storm:
        storm.spawn(change)
        storm.spawn(read)


def two_who_ask_a_queue(sim: Any) -> None:
    """Two ask whether there is anything."""
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()

    def ask() -> None:
        waiting.empty()
        waiting.qsize()

    with sim.storm() as storm:
        storm.spawn(ask, copies=2)


def two_attributes(sim: Any) -> None:
    """One attribute is read by its name, another one changed."""
    thing = Plain()

    def change() -> None:
        thing.milk = 2

    def read() -> None:
        getattr(thing, "tea")  # noqa: B009 - that is what is tested

    with sim.storm() as storm:
        storm.spawn(change)
        storm.spawn(read)
