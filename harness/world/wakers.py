"""What those who go on could get at, and so wake who waits for it.

From the variables of their frames, by attributes, items, closures and the names that their code
uses, down to the locks and futures that somebody waits for. What cannot be followed leads
everywhere: a value without a name on the stack of a frame, code that lists all threads or tasks, a
program that is too large. So what is not reached is never woken. It does not know who is stuck.

Source: G.-V. Saioc, I.-T. A. Lee, A. Møller, M. Chabbi, "Dynamic Partial Deadlock Detection and
    Recovery via Garbage Collection", ASPLOS 2025, for the idea that who cannot be reached cannot be
    woken.
"""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from types import (
    CodeType,
    FrameType,
    FunctionType,
    MethodType,
    ModuleType,
    TracebackType,
)
from typing import Any, Final

from greenlet import greenlet

from harness.core.kernel import Actor, Kernel

from .fibers import World
from .temporaries import may_hold_unnamed
from .threads import is_plumbing
from .under_test import is_under_test
from .variables import variables_of

#: More objects than this are not looked through: then everything counts as within reach.
MAX_OBJECTS = 50_000


class Everything(Exception):
    """Somebody who goes on may get at anything: an answer, and no error."""


class Reach:
    """What can be got at, found step by step. For one look, in which nobody runs.

    Args:
        wanted: ids of what is looked for.
    """

    def __init__(self, wanted: set[int]) -> None:
        self.found: set[int] = set()
        # Some code may give a lock back that it has not taken.
        self.releases = False
        self._wanted = wanted
        # Kept, so that no address is given twice.
        self._seen: dict[int, object] = {}
        self._todo: list[object] = []
        self._modules: set[tuple[int, int]] = set()

    def add(self, thing: object) -> None:
        """Begin at a thing as well."""
        self._todo.append(thing)

    def add_frames(self, frames: Iterable[FrameType]) -> None:
        """Begin at what the frames of a thread can name, innermost first.

        Raises:
            Everything: one may hold what has no name.
        """
        inner = None
        for frame in frames:
            code = frame.f_code
            if not code.co_filename.startswith(_ENGINE):
                self._todo.extend(variables_of(frame).values())
                if may_hold_unnamed(frame, inner):
                    raise Everything
                if not is_plumbing(code.co_filename):
                    self._add_names(code, frame.f_globals)
            inner = frame

    def run(self) -> set[int]:
        """Return which of the wanted can be got at.

        Raises:
            Everything: that cannot be told.
        """
        while self._todo:
            thing = self._todo.pop()
            if id(thing) in self._seen:
                continue
            self._seen[id(thing)] = thing
            if id(thing) in self._wanted:
                self.found.add(id(thing))
            if len(self._seen) > MAX_OBJECTS:
                raise Everything
            self._follow(thing)
        return self.found

    def _follow(self, thing: Any) -> None:
        # By its type alone: what it says of itself may be code under test.
        kind = type(thing)
        if kind in _LEAVES or issubclass(kind, _OF_THE_RUN) or _is_of_pytest(kind):
            return
        if kind in _PROXIES:
            raise Everything
        for reference in weakref.getweakrefs(thing):
            # It is called when the thing goes.
            callback = reference.__callback__ if isinstance(reference, weakref.ref) else None
            if _is_somebodys(callback):
                self.add(callback)
        if issubclass(kind, ModuleType):
            self._add_module(thing, frozenset(_namespace_of(thing)))
        elif kind is FunctionType:
            self._add_function(thing)
        elif issubclass(kind, type):
            if not (_is_of_a_library(thing) or _is_of_pytest(thing)):
                self._todo.extend((*vars(thing).values(), *thing.__mro__))
        else:
            self._todo.extend(gc.get_referents(thing))
            if issubclass(kind, weakref.ref):
                self.add(weakref.ref.__call__(thing))
            elif issubclass(kind, weakref.finalize):
                self.add(weakref.finalize.peek(thing))
            elif kind is MethodType:
                self.releases = self.releases or id(thing.__self__) in self._wanted

    def _add_function(self, function: FunctionType) -> None:
        if function is threading.enumerate:
            raise Everything
        if _is_of_pytest(function):
            return
        self.add(function.__dict__)
        self._todo.extend((function.__closure__, function.__defaults__, function.__kwdefaults__))
        if not is_plumbing(function.__code__.co_filename):
            self._add_names(function.__code__, function.__globals__)

    def _add_names(self, code: CodeType, namespace: dict[str, Any]) -> None:
        """Go on to what code can name: globals, and what modules have by the names it uses."""
        names = _names_in(code)
        if not names.isdisjoint(_DYNAMIC):
            raise Everything
        self.releases = self.releases or not names.isdisjoint(_RELEASING)
        for name in names:
            # What is in neither it may import.
            thing: Any = namespace.get(name, sys.modules.get(name))
            if issubclass(type(thing), ModuleType):
                self._add_module(thing, names)
            else:
                self.add(thing)

    def _add_module(self, module: ModuleType, names: frozenset[str]) -> None:
        """Go on to what code that uses `names` finds in a module."""
        if module is threading and "enumerate" in names:
            raise Everything
        namespace = _namespace_of(module)
        file = namespace.get("__file__")
        if file is None or is_plumbing(str(file)):
            return
        if not names.isdisjoint(("getattr", "vars", "__dict__")):
            names = frozenset(namespace)
        for name in names:
            thing: Any = namespace.get(name)
            if not issubclass(type(thing), ModuleType):
                self.add(thing)
            elif (id(module), id(thing)) not in self._modules:
                # A package and what is below it name each other.
                self._modules.add((id(module), id(thing)))
                self._add_module(thing, names)


def _namespace_of(module: ModuleType) -> dict[str, Any]:
    """Return what is in a module, without having one loaded that is loaded when it is used."""
    namespace: dict[str, Any] = object.__getattribute__(module, "__dict__")
    return namespace


@lru_cache(maxsize=4_096)
def _names_in(code: CodeType) -> frozenset[str]:
    """Return the names of globals, attributes and modules in code and what is defined in it."""
    inner = (_names_in(each) for each in code.co_consts if isinstance(each, CodeType))
    return frozenset(code.co_names).union(*inner)


def _is_somebodys(callback: object) -> bool:
    """Tell whether it is for the program: what libraries remember of a thing is no way on."""
    kind = type(callback)
    if kind is FunctionType:
        return is_under_test(callback.__code__.co_filename)  # type: ignore[attr-defined] # as found
    return kind is MethodType or issubclass(kind, weakref.finalize)


def _is_of_a_library(cls: type) -> bool:
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return file is None or is_plumbing(file)


def _is_of_pytest(named: type | FunctionType) -> bool:
    """Tell whether a class or a function belongs to who runs the tests."""
    return str(named.__module__).partition(".")[0] in ("_pytest", "pluggy")


#: Nothing is got at by way of these; frames of an exception that somebody kept are nobody's way.
_LEAVES: Final = frozenset(
    {bool, bytes, complex, float, int, str, type(None), CodeType, FrameType, TracebackType}
)
#: They know everybody, and nobody under test asks them.
_OF_THE_RUN: Final = (World, Kernel, Actor, greenlet)
#: What these lead to is told to nobody.
_PROXIES: Final = frozenset({weakref.ProxyType, weakref.CallableProxyType})
#: Who uses these may name anything, or find every thread, task or object.
_DYNAMIC: Final = frozenset(
    {
        *("eval", "exec", "globals", "modules", "import_module", "__import__", "f_locals"),
        *("get_objects", "get_referrers", "all_tasks", "main_thread", "_active"),
        *("_current_frames", "f_globals"),
    }
)
#: Without one of these, code gives back by `with` what it has taken by `with`.
_RELEASING: Final = frozenset(
    {"release", "release_lock", "__exit__", "ExitStack", "getattr", "methodcaller"}
)
#: The frames of these are those of the run, and hold nothing that the program will use.
_ENGINE: Final = tuple(
    str(Path(__file__).parents[1] / name)
    for name in ("world", "core", "search", "trial.py", "explore.py")
)
