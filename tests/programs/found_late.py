"""Calls of which nobody knows before they run what they call, and what libraries keep.

One changes something, another one looks whether it is changed, and the program promises that it is.
The look is a point; so is what comes before the change, but not the change itself.
"""

# The expressions are what is tested, also those that are better written otherwise.
# ruff: noqa: PLW0108, S102, S307

from __future__ import annotations

import abc
import asyncio
import bisect
import collections
import csv
import functools
import io
import operator
import os
import queue
import threading
import types
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.programs.handed_over import Shelf

#: By a name: how the thing is made, how it is changed, and who sees that it was.
Table = dict[str, tuple[Callable[[], Any], Callable[[Any], Any], Callable[[Shelf], Any]]]


def _push(thing: list[int]) -> None:
    import heapq

    heapq.heappush(thing, 1)


def _push_by_name(thing: list[int]) -> None:
    from heapq import heappush

    heappush(thing, 1)


def _pusher() -> Callable[[list[int]], None]:
    import heapq

    def push(thing: list[int]) -> None:
        heapq.heappush(thing, 1)

    return push


def _emptied(stock: dict[str, int]) -> dict[str, int]:
    stock.clear()
    return stock


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


def _call_with(function: Callable[..., Any], argument: Any, *, x: int) -> Any:
    return function(argument, x=x)


def _call_plainly(function: Callable[..., Any], first: Any, second: Any) -> Any:
    return function(first, second)


def _by_an_alias(thing: list[int]) -> None:
    add = thing.append
    add(1)


def _by_a_partial(thing: list[int]) -> None:
    add = functools.partial(thing.append, 1)
    add()


def _by_an_attribute(thing: list[int]) -> None:
    calls = types.SimpleNamespace(emit=thing.append)
    calls.emit(1)


def _by_a_method_caller(thing: list[int]) -> None:
    add = operator.methodcaller("append", 1)
    add(thing)


def _by_an_item(thing: list[int]) -> None:
    {"add": thing.append}["add"](1)


def _told_by_copy(shelf: Shelf) -> Any:
    import copy

    return getattr(copy.copy(shelf.thing), "tea", 0)


def _told_by_getter(shelf: Shelf) -> Any:
    get = operator.attrgetter("tea")
    return _got(get, shelf)


def _got(get: Callable[[Any], Any], shelf: Shelf) -> Any:
    return get(shelf.thing)


def _told_by_name(shelf: Shelf) -> Any:
    return _call_plainly(getattr, shelf.thing, "tea")


def _kind() -> type:
    return type("Kind", (), {"tea": 0})


def _new_namespace() -> types.SimpleNamespace:
    return types.SimpleNamespace(tea=0)


def _update_dict(thing: Any) -> None:
    attributes = thing.__dict__
    attributes.update(tea=1)


def _write_rows(thing: io.StringIO) -> None:
    writer = csv.writer(thing)
    _write(writer)


def _write(writer: Any) -> None:
    writer.writerow([1])


def _put(waiting: queue.Queue[int]) -> None:
    waiting.put(1)


def _tea(shelf: Shelf) -> Any:
    return shelf.thing.tea


def _length(shelf: Shelf) -> int:
    return len(shelf.thing)


CALLED: Table = {
    "import in it": (list, _push, _length),
    "from .. import in it": (list, _push_by_name, _length),
    "import round it": (list, lambda thing: _PUSH(thing), _length),
    "parameter": (list, lambda thing: _call_plainly(bisect.insort, thing, 1), _length),
    "keyword": (list, lambda thing: _call_with(bisect.insort, thing, x=1), _length),
    "spread": (list, lambda thing: _call(bisect.insort, thing, 1), _length),
    "alias": (list, _by_an_alias, _length),
    "alias of an attribute": (list, _by_an_attribute, _length),
    "item": (list, _by_an_item, _length),
    "partial": (list, _by_a_partial, _length),
    "method without its receiver": (
        list,
        lambda thing: _call_plainly(list.append, thing, 1),
        _length,
    ),
    "methodcaller": (list, _by_a_method_caller, _length),
    "setattr": (
        _new_namespace,
        lambda thing: _call_plainly(functools.partial(setattr, thing), "tea", 1),
        _tea,
    ),
    "copy": (_new_namespace, lambda thing: setattr(thing, "tea", 1), _told_by_copy),
    "attrgetter": (_new_namespace, lambda thing: setattr(thing, "tea", 1), _told_by_getter),
    "getattr": (_new_namespace, lambda thing: setattr(thing, "tea", 1), _told_by_name),
}


_PUSH = _pusher()

KEPT: Table = {
    "first of an OrderedDict": (
        lambda: collections.OrderedDict(tea=0, milk=1),
        lambda thing: thing.move_to_end("tea"),
        lambda shelf: next(iter(shelf.thing)) == "milk",
    ),
    "item of a namespace": (
        _new_namespace,
        lambda thing: operator.setitem(vars(thing), "tea", 1),
        _tea,
    ),
    "update of a namespace": (_new_namespace, lambda thing: vars(thing).update(tea=1), _tea),
    "dict of a namespace": (_new_namespace, _update_dict, _tea),
    "missing key": (
        lambda: collections.defaultdict(list),
        lambda thing: thing["tea"],
        lambda shelf: "tea" in shelf.thing,
    ),
    "missing key, by its length": (
        lambda: collections.defaultdict(int),
        lambda thing: thing["tea"],
        _length,
    ),
    "ChainMap": (
        lambda: collections.ChainMap({}, _emptied(STOCK)),
        lambda _: STOCK.update(tea=1),
        lambda shelf: "tea" in shelf.thing,
    ),
    "proxy.get": (
        lambda: types.MappingProxyType(_emptied(STOCK)),
        lambda _: STOCK.update(tea=1),
        lambda shelf: shelf.thing.get("tea"),
    ),
    "dict of a class": (
        _kind,
        lambda thing: setattr(thing, "tea", 1),
        lambda shelf: shelf.thing.__dict__["tea"],
    ),
    "text of an exception": (
        lambda: ValueError([]),
        lambda thing: thing.args[0].append(1),
        lambda shelf: "1" in str(shelf.thing),
    ),
    "csv.writer": (io.StringIO, _write_rows, lambda shelf: shelf.thing.getvalue()),
    "unfinished_tasks": (queue.Queue, _put, lambda shelf: shelf.thing.unfinished_tasks),
    "broken": (
        lambda: threading.Barrier(2),
        lambda thing: thing.abort(),
        lambda shelf: shelf.thing.broken,
    ),
    "environment": (
        lambda: os.environ.pop("FAULTLOOM_TEA", None),
        lambda _: os.environ.update(FAULTLOOM_TEA="1"),
        lambda _: os.getenv("FAULTLOOM_TEA"),
    ),
    "file": (
        lambda: FILE.unlink(missing_ok=True),
        lambda _: FILE.touch(),
        lambda _: FILE.exists(),
    ),
}
#: What `ChainMap` and a proxy of these programs show; emptied before each run.
STOCK: dict[str, int] = {}
#: Set by whoever runs them.
FILE = Path()


# --- what no log tells ----------------------------------------------------------------------------


def _kept_on(thing: list[Any]) -> Any:
    return weakref.ref(thing[0])


def _thread_of(thing: list[int]) -> None:
    thread = threading.Thread(target=thing.append, args=(1,))
    thread.start()
    thread.join()


def _timer_of(thing: list[int]) -> None:
    timer = threading.Timer(1, thing.append, (1,))
    timer.start()
    timer.join()


class Cup:
    """It can be referred to weakly."""


@functools.cache
def cached(drink: str) -> list[str]:
    """Keep for each drink what was poured."""
    return [drink]


class FullCup:
    """It is filled when it is made."""

    def __init__(self) -> None:
        self.drinks = ["tea"]


def _new_cup() -> Cup:
    return Cup()


@functools.singledispatch
def poured(_: Any) -> int:
    """Say nothing of what is not registered."""
    return 0


class Drink(abc.ABC):
    """Others can be registered as one."""

    @abc.abstractmethod
    def pour(self) -> None:
        """Fill a cup."""


def _register_once_shown(registering: Any, *arguments: Any) -> None:
    repr([registering])
    registering.register(*arguments)


def define() -> type:
    """Define a class whose body `bytecode` cannot read on 3.13."""
    size = 1

    class Tray:
        sizes = len([lambda: each + size for each in (1, 2)])  # noqa: B023 - a cell is what it takes
        first = size

    return Tray


#: By a name: what one does that no log tells, alone.
UNSEEN: dict[str, Callable[[], Any]] = {
    "globals": lambda: globals().update(TEA=1),
    "exec": lambda: exec("1"),
    "eval": lambda: eval("1"),
    "weakref": lambda: _kept_on([Cup()]),
    "active_count": threading.active_count,
    "enumerate": threading.enumerate,
    "counted": lambda: threading.active_count(),
    "thread": lambda: _thread_of([]),
    "timer": lambda: _timer_of([]),
    "register": lambda: poured.register(int, lambda _: 1),
    "register after it was handed on": lambda: _register_once_shown(poured, int, _ignore),
    "class after it was handed on": lambda: _register_once_shown(Drink, Cup),
    "class": lambda: setattr(Cup(), "__class__", Cup),
    "queue": lambda: len(queue.Queue[int]().queue),
    "cache": lambda: cached("tea"),
    "missing key made by code under test": lambda: collections.defaultdict(_new_cup)["tea"],
    "missing key of a class under test": lambda: collections.defaultdict(FullCup)["tea"],
}


def alone(act: Callable[[], Any]) -> Callable[[Any], None]:
    """Return a program in which one does something, and another one nothing."""

    def program(sim: Any) -> None:
        with sim.storm() as storm:
            storm.spawn(lambda: act())
            storm.spawn(lambda: None)

    return program


# --- what is no dependency ------------------------------------------------------------------------


def _look(function: Callable[..., Any], thing: Any) -> Any:
    return function(thing)


def _ignore(_: Any) -> None:
    pass


#: Both do the same, and neither changes anything.
LOOKED: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "len": (list, lambda thing: _look(len, thing)),
    "sorted": (list, lambda thing: _look(sorted, thing)),
    "code under test": (list, lambda thing: _look(_ignore, thing)),
    "alias of code under test": (list, lambda thing: _look(functools.partial(_ignore), thing)),
    "bound reader": (dict, lambda thing: _look(thing.get, "tea")),
    "a dict that makes nothing": (lambda: collections.defaultdict(None, tea=1), lambda d: d["tea"]),
    "a key that is there, by get": (lambda: collections.defaultdict(int), lambda d: d.get("tea")),
    "OrderedDict": (lambda: collections.OrderedDict(tea=1), list),
    "thread of code under test": (list, lambda thing: threading.Thread(target=_ignore, args=thing)),
}


def looked_at_twice(name: str) -> Callable[[Any], None]:
    """Return a program in which two do the same that changes nothing."""
    make, look = LOOKED[name]

    def program(sim: Any) -> None:
        thing = make()
        with sim.storm() as storm:
            storm.spawn(lambda: look(thing), copies=2)

    return program


# --- callbacks of a loop --------------------------------------------------------------------------


def _later(log: set[Any]) -> None:
    asyncio.get_running_loop().call_soon(log.add, 1)


def _when_done(log: set[Any]) -> None:
    task = asyncio.create_task(asyncio.sleep(0))
    log.add(task)
    task.add_done_callback(log.discard)


#: What a loop calls back changes what it is given.
CALLED_BACK: dict[str, Callable[[set[Any]], None]] = {
    "call_soon": _later,
    "add_done_callback": _when_done,
}


def called_back(name: str, *, is_looked_at: bool) -> Callable[[Any], Any]:
    """Return a program that looks at what a callback changes, or at something else."""

    async def program(_: Any) -> None:
        log: set[Any] = set()
        looked_at = log if is_looked_at else {1}

        async def change() -> None:
            await asyncio.sleep(0)
            CALLED_BACK[name](log)

        async def look() -> None:
            for _ in range(2):
                await asyncio.sleep(0)
            len(looked_at)
            await asyncio.sleep(0)

        await asyncio.gather(change(), look())

    return program


# --- the end of a `with` --------------------------------------------------------------------------


def tried(lock: Any, look: Callable[[Any], bool]) -> Callable[[Any], None]:
    """Return a program in which one holds a lock for nothing, and another one finds it free."""

    def program(sim: Any) -> None:
        held = lock()
        found: list[bool] = []

        def hold() -> None:
            with held:
                pass

        with sim.storm() as storm:
            storm.spawn(hold)
            storm.spawn(lambda: found.append(look(held)))
        assert found == [True], "it was held"

    return program


def _take(lock: Any) -> bool:
    is_taken = bool(lock.acquire(blocking=False))
    if is_taken:
        lock.release()
    return is_taken


def _take_at_once(lock: Any) -> bool:
    is_taken = bool(lock.acquire(timeout=0))
    if is_taken:
        lock.release()
    return is_taken


HELD: dict[str, tuple[Callable[[], Any], Callable[[Any], bool]]] = {
    "Lock": (lambda: threading.Lock(), _take),
    "Lock, no time": (lambda: threading.Lock(), _take_at_once),
    "Lock, locked": (lambda: threading.Lock(), lambda lock: not lock.locked()),
    "RLock": (lambda: threading.RLock(), _take),
    "Condition": (threading.Condition, _take),
    "Semaphore": (threading.Semaphore, _take),
}
