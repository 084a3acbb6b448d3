"""What lies in a thing, and what an object has: found without running anybody's code for it.

It knows types only: neither logs nor runs.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import csv
import datetime
import enum
import functools
import gc
import io
import numbers
import os
import pathlib
import queue
import re
import struct
import sys
import threading
import types
import uuid
import weakref
from argparse import Namespace
from collections import ChainMap, OrderedDict, UserDict, UserList, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from harness.core.access import READ, WRITE

from .sites import (
    IMMUTABLE_TYPES,
    MUTABLE_CONTAINERS,
    OTHER_CONTAINERS,
    OVER_IMMUTABLES,
    WRITING_METHODS,
)
from .threads import Lock, SimpleQueue, is_plumbing

_SYNCHRONISATION = (
    Lock,
    SimpleQueue,
    threading.Condition,
    threading.Event,
    threading.Semaphore,
    threading.Barrier,
    threading.Thread,
    queue.Queue,
    concurrent.futures.Future,
    concurrent.futures.Executor,
    asyncio.AbstractEventLoop,
)

KNOWN: dict[type, bool] = {}


def is_synchronisation(cls: type) -> bool:
    """Tell whether calls on objects of `cls` are public synchronisation operations."""
    known = KNOWN.get(cls)
    if known is None:
        make_room(KNOWN)
        known = KNOWN[cls] = issubclass(cls, _SYNCHRONISATION) or bool(
            getattr(cls, "_harness_sync", False)
        )
    return known


def is_hidden(kind: type) -> bool:
    """Tell whether a library, or C, keeps in objects of a class what no log would tell."""
    known = _HIDDEN.get(kind)
    if known is None:
        make_room(_HIDDEN)
        known = _HIDDEN[kind] = not (
            issubclass(kind, _UNCHANGING)
            or kind in _BARE
            or is_container(kind)
            or is_generated(kind)
            or is_synchronisation(kind)
            or not _is_of_a_library(kind)
        )
    return known


def lock_behind(subject: Any) -> Lock | None:
    """Return the lock that an object of `threading` or `queue` takes, or is."""
    while not isinstance(subject, Lock):
        inner = (getattr(subject, name, None) for name in ("_lock", "_cond", "mutex", "_condition"))
        subject = next((each for each in inner if isinstance(each, _LOCKING)), None)
        if subject is None:
            return None
    return subject


_LOCKING: Final = (Lock, threading.Condition)


def is_outside(kind: type) -> bool:
    """Tell whether objects of a class stand for what is outside: a file, or the environment."""
    known = _OUTSIDE.get(kind)
    if known is None:
        make_room(_OUTSIDE)
        known = _OUTSIDE[kind] = (
            issubclass(kind, (io.IOBase, pathlib.Path, type(os.environ)))
            and not issubclass(kind, (io.BytesIO, io.StringIO))
        ) or kind.__module__ == "tempfile"
    return known


_OUTSIDE: Final[dict[type, bool]] = {}


def has_state(kind: type) -> bool:
    """Tell whether a method of an object of a class may change what no point of its own tells."""
    known = STATES.get(kind)
    if known is None:
        make_room(STATES)
        known = STATES[kind] = (
            is_hidden(kind) or is_container(kind) or kind is memoryview or is_outside(kind)
        )
    return known


STATES: Final[dict[type, bool]] = {}


def _is_of_a_library(kind: type) -> bool:
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    if file is None:
        return kind.__module__ in sys.builtin_module_names
    return "-packages" in file or (is_plumbing(file) and not kind.__module__.startswith("harness."))


_HIDDEN: Final[dict[type, bool]] = {}
#: Their objects never change, or have what counts as something else.
_UNCHANGING: Final = (
    *(bool, bytes, complex, float, frozenset, int, str, tuple, type),
    *(*OVER_IMMUTABLES, range, slice, memoryview),
    *(asyncio.Future, contextvars.ContextVar, contextvars.Token, functools.partial),
    *(datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo, enum.Enum),
    *(numbers.Number, pathlib.PurePath, re.Match, re.Pattern, struct.Struct, uuid.UUID),
    *(types.BuiltinFunctionType, types.CodeType, types.CoroutineType, types.FunctionType),
    *(types.MappingProxyType, types.MethodType, types.ModuleType, weakref.ref),
)
#: They have nothing.
_BARE: Final = frozenset({object, *map(type, (None, ..., NotImplemented))})


def make_room(answers: dict[Any, Any]) -> None:
    """Forget what is known about classes before a program that makes some in each run fills it."""
    if len(answers) >= _ROOM:
        answers.clear()


_ROOM: Final = 4_096


def is_container(kind: type) -> bool:
    """Tell whether what lies in an object of a class is logged as the object itself."""
    known = _CONTAINERS.get(kind)
    if known is None:
        make_room(_CONTAINERS)
        known = _CONTAINERS[kind] = issubclass(kind, (*MUTABLE_CONTAINERS, *OTHER_CONTAINERS))
    return known


_CONTAINERS: Final[dict[type, bool]] = {}


def is_iterator(kind: type) -> bool:
    """Tell whether who reads an object of a class takes something from it."""
    known = _ITERATORS.get(kind)
    if known is None:
        make_room(_ITERATORS)
        known = _ITERATORS[kind] = any("__next__" in vars(base) for base in kind.__mro__)
    return known


_ITERATORS: Final[dict[type, bool]] = {}


def behind(lens: object, depth: int) -> Iterator[tuple[object, int]]:
    """Yield the containers and iterators that a view or an iterator uses, and how."""
    for each in gc.get_referents(lens):
        held, mode = each, READ
        if type(each) is types.BuiltinFunctionType:
            held, mode = each.__self__, WRITE if each.__name__ in WRITING_METHODS else READ
        kind = type(held)
        if is_container(kind):
            yield held, mode
        elif is_iterator(kind):
            yield held, WRITE
        if depth and (kind in LENSES or kind is tuple or kind.__module__ == "itertools"):
            yield from behind(held, depth - 1)


EMPTY: Final[dict[object, object]] = {}
_ORDERED: Final[OrderedDict[object, object]] = OrderedDict()
_ORDERED_VIEWS: Final = (_ORDERED.keys(), _ORDERED.values(), _ORDERED.items())
VIEWS: Final = frozenset(map(type, (EMPTY.keys(), EMPTY.values(), EMPTY.items(), *_ORDERED_VIEWS)))
LENSES: Final = frozenset(
    map(
        type,
        (
            *(iter([]), reversed([]), iter(bytearray()), iter(set()), iter(deque())),
            *(EMPTY.keys(), EMPTY.values(), EMPTY.items(), reversed(deque())),
            *(iter(EMPTY), iter(EMPTY.values()), iter(EMPTY.items())),
            *(reversed(EMPTY), reversed(EMPTY.values()), reversed(EMPTY.items())),
            *(*_ORDERED_VIEWS, *(iter(view) for view in _ORDERED_VIEWS), iter(_ORDERED)),
            *(reversed(_ORDERED), reversed(_ORDERED.values()), reversed(_ORDERED.items())),
            *(enumerate([]), zip(), map(id, []), filter(None, [])),
        ),
    )
)


def held_by(thing: Any) -> Iterable[object]:
    """Return what a container, a view, an iterator or a bound function of C would look at."""
    kind = type(thing)
    walk = _WALKS.get(kind)
    if walk is not None:
        return walk(thing)
    # By the methods of the built-in classes: those of subclasses may be under test.
    if issubclass(kind, tuple):
        return tuple.__iter__(thing)
    if issubclass(kind, list):
        return list.__iter__(thing)
    if issubclass(kind, dict):
        return dict.values(thing)
    if issubclass(kind, deque):
        return deque.__iter__(thing)
    if kind in LENSES or kind in _SEEN_THROUGH or kind.__module__ == "itertools":
        return gc.get_referents(thing)
    if kind is types.BuiltinFunctionType or kind is types.MethodWrapperType:
        return (thing.__self__,)
    if kind is types.GeneratorType:
        return gc.get_referents(thing) if is_plumbing(thing.gi_code.co_filename) else ()
    if issubclass(kind, (UserList, UserDict)):
        return dict_of(thing).values()
    if issubclass(kind, BaseException):
        return (_arguments_of(thing),)
    if not (is_container(kind) or is_iterator(kind) or is_generated(kind) or is_hidden(kind)):
        if len(OPAQUE) > _ROOM:
            OPAQUE.intersection_update(ATOMS)
        OPAQUE.add(kind)
    return ()


_WALKS: Final[dict[type, Callable[[Any], Iterable[object]]]] = {
    dict: dict.values,
    list: iter,
    tuple: iter,
    deque: iter,
    memoryview: lambda view: (memory_of(view),),
}
#: Nothing is held by them.
ATOMS: Final = IMMUTABLE_TYPES - OVER_IMMUTABLES - {tuple, types.BuiltinFunctionType}
#: With classes of which there is nothing to look at, unless all their attributes count.
OPAQUE: set[type] = set(ATOMS)
_SEEN_THROUGH: Final = frozenset({functools.partial, types.MappingProxyType, type(iter(()))})


_arguments_of: Final = vars(BaseException)["args"].__get__


def kept_by(thing: Any) -> Iterable[object]:
    """Return what an object of a library keeps, and uses whenever it is used."""
    kind = type(thing)
    if kind is types.MappingProxyType:
        return gc.get_referents(thing)
    if issubclass(kind, ChainMap):
        maps: Any = dict_of(thing).get("maps", ())
        return list(maps)
    if kind is _CSV_WRITER:
        return [getattr(each, "__self__", each) for each in gc.get_referents(thing)]
    return ()


def keeps(kind: type) -> bool:
    """Tell whether objects of a class keep others that they use whenever they are used."""
    return kind is types.MappingProxyType or kind is _CSV_WRITER or issubclass(kind, ChainMap)


_CSV_WRITER: Final = type(csv.writer(io.StringIO()))


def memory_of(view: memoryview) -> object:
    """Return what a memoryview looks at, None if it was released."""
    try:
        return view.obj
    except ValueError:
        return None


def attributes_of(thing: Any) -> Iterator[tuple[str, object]]:
    """Yield what an instance of a class written in Python has, without running any code for it."""
    kind = type(thing)
    if not has_attributes(kind) or issubclass(kind, type) or is_synchronisation(kind):
        return
    for base in kind.__mro__:
        for name, descriptor in vars(base).items():
            if type(descriptor) is types.MemberDescriptorType and name != "__dict__":
                with suppress(AttributeError):
                    yield name, descriptor.__get__(thing)
    yield from dict_of(thing).items()


def dict_of(thing: Any) -> Mapping[str, object]:
    """Return what an instance has in its dict, without running code of its class for that."""
    kind = type(thing)
    try:
        descriptor = _dicts[kind]
    except KeyError:
        dicts = (vars(base)["__dict__"] for base in kind.__mro__ if "__dict__" in vars(base))
        found = next(dicts, None)
        make_room(_dicts)
        descriptor = _dicts[kind] = found if type(found) in _OF_C else None
    return _NOEMPTY if descriptor is None else descriptor.__get__(thing)


_dicts: dict[type, Any] = {}
_OF_C: Final = (types.GetSetDescriptorType, types.MemberDescriptorType)
_NOEMPTY: Final[Mapping[str, object]] = types.MappingProxyType({})


def has_attributes(kind: type) -> bool:
    """Tell whether a class is written in Python, or has nothing but attributes."""
    return bool(kind.__flags__ & _WRITTEN_IN_PYTHON) or kind is types.SimpleNamespace


_WRITTEN_IN_PYTHON: Final = 1 << 9  # Py_TPFLAGS_HEAPTYPE

_generated: dict[type, bool] = {}


def is_generated(kind: type) -> bool:
    """Tell whether who shows or compares objects of a class reads their attributes.

    `dataclass` has written such methods, and namespaces have them.
    """
    known = _generated.get(kind)
    if known is None:
        methods = [getattr(kind, name, None) for name in ("__eq__", "__repr__")]
        files = [
            each.__code__.co_filename for each in methods if isinstance(each, types.FunctionType)
        ]
        make_room(_generated)
        is_written = any(file.startswith("<") or is_plumbing(file) for file in files)
        known = _generated[kind] = issubclass(kind, types.SimpleNamespace) or (
            is_written and (hasattr(kind, "__dataclass_fields__") or issubclass(kind, Namespace))
        )
    return known
