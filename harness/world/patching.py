"""The one table of replaced names: installs it, restores it, and checks that it restored.

Everything is installed once per exploration, and each replacement asks for itself whether this
thread is inside a run. It does not know what the replacements do.
"""

from __future__ import annotations

import _thread
import asyncio
import asyncio.base_events
import asyncio.runners
import asyncio.selector_events
import asyncio.tasks
import concurrent.futures
import concurrent.futures._base
import concurrent.futures.thread
import functools
import importlib
import itertools
import logging
import os
import queue
import random
import selectors
import sys
import threading
import time
import types
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from harness.errors import InternalError

from . import clocks, loops, randomness, refusals, selector, tasks, threads
from .fibers import World
from .here import here

_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Patch:
    """One replaced name.

    Args:
        owner: the module or class that holds it.
        name: the attribute.
        value: what stands there while installed.
    """

    owner: Any
    name: str
    value: Any


class Patches:
    """A set of replaced names. Installed and restored by one thread.

    invariant: `restore` puts back every original that `install` took, in reverse order, whatever
        fails on the way.
    """

    def __init__(self, patches: Iterable[Patch]) -> None:
        self.patches = list(patches)
        self._taken: list[tuple[Any, str, Any]] = []

    def install(self) -> None:
        """Put every replacement in place; if one cannot be, those already there are taken back."""
        try:
            for patch in self.patches:
                # Looked up in the owner itself: a class may inherit the name.
                original = vars(patch.owner).get(patch.name, _ABSENT)
                # Before, not after: Ctrl-C may come in between.
                self._taken.append((patch.owner, patch.name, original))
                setattr(patch.owner, patch.name, patch.value)
        except BaseException:
            self.restore()
            raise

    def restore(self) -> None:
        """Put every original back; the first failure is raised after all were tried."""
        failures: list[BaseException] = []
        while self._taken:
            place = self._taken[-1]
            try:
                _put_back(*place)
            except BaseException as exc:  # noqa: BLE001 - the others must be restored too
                failures.append(exc)
                # If it was Ctrl-C, nothing is wrong with the place.
                with suppress(BaseException):
                    _put_back(*place)
            self._taken.pop()
        if failures:
            raise failures[0]


def _put_back(owner: Any, name: str, original: object) -> None:
    if original is not _ABSENT:
        setattr(owner, name, original)
    elif name in vars(owner):
        delattr(owner, name)


def replaced_names() -> list[Patch]:
    """Return the table: every name of the standard library that is replaced while runs go on."""
    return [
        Patch(owner, name, value)
        for owner, name, value in [*_names(), *refusals.refusals()]
        if hasattr(owner, name)
    ]


def _names() -> Iterator[tuple[Any, str, Any]]:
    yield from _lock_names()
    yield from _time_names()
    yield from _asyncio_names()
    yield from _random_names()


def _lock_names() -> Iterator[tuple[Any, str, Any]]:
    # Import locks read these two from _thread itself, and only both together exclude rightly.
    yield _thread, "allocate_lock", threads.Lock
    yield _thread, "get_ident", threads.get_ident
    yield _thread, "_local", threads.Local
    yield _thread, "RLock", threads.RLock
    yield _thread, "start_new_thread", threads.start_new_thread
    if hasattr(_thread, "lock"):
        yield _thread, "lock", threads.Lock
    if hasattr(_thread, "start_joinable_thread"):
        yield _thread, "start_joinable_thread", threads.start_joinable_thread
    yield threading, "_allocate_lock", threads.Lock
    yield threading, "Lock", threads.Lock
    yield threading, "RLock", threads.RLock
    yield threading, "_CRLock", threads.RLock
    yield threading, "local", threads.Local
    yield threading, "get_ident", threads.get_ident
    yield threading, "_set_sentinel", threads.set_sentinel
    yield threading, "_start_new_thread", threads.start_new_thread
    yield threading, "_start_joinable_thread", threads.start_joinable_thread
    yield threading, "_ThreadHandle", threads.make_handle
    yield threading, "excepthook", _excepthook
    yield threading.Thread, "__hash__", _hash_by_number
    yield functools, "RLock", threads.RLock
    yield queue, "SimpleQueue", threads.SimpleQueue
    yield queue, "_queue_SimpleQueue", threads.SimpleQueue
    yield concurrent.futures.Future, "__hash__", _hash_by_number
    yield concurrent.futures._base, "id", _identity
    for owner, name in _OWN_LOCKS:
        original = getattr(owner, name, None)
        if original is not None:
            twin = simulated_twin(original)
            # They guard tables whose order nobody can see: no step depends on another by them.
            twin.number = 0
            yield owner, name, twin


#: Locks that the standard library made for itself at import.
_OWN_LOCKS = (
    (concurrent.futures.thread, "_global_shutdown_lock"),
    (threading, "_active_limbo_lock"),
    (threading, "_shutdown_locks_lock"),
    (asyncio.mixins, "_global_lock"),
    (asyncio.events, "_lock"),
    (logging, "_lock"),
)


def simulated_twin(lock: Any) -> threads.Lock:
    """Return the simulated lock that stands for a real one while runs go on."""
    return threads.RLock(lock) if isinstance(lock, threads._real_rlock_type) else threads.Lock(lock)


def _time_names() -> Iterator[tuple[Any, str, Any]]:
    yield time, "sleep", clocks.sleep
    yield time, "monotonic", clocks.monotonic
    yield time, "monotonic_ns", clocks.monotonic_ns
    yield time, "perf_counter", clocks.perf_counter
    yield time, "perf_counter_ns", clocks.perf_counter_ns
    yield time, "ctime", clocks.ctime
    yield time, "asctime", clocks.asctime


def _asyncio_names() -> Iterator[tuple[Any, str, Any]]:
    selector_loop = asyncio.selector_events.BaseSelectorEventLoop
    yield selectors, "DefaultSelector", selector.make_selector
    yield selector_loop, "_make_self_pipe", loops.make_self_pipe
    yield selector_loop, "_close_self_pipe", loops.close_self_pipe
    yield selector_loop, "_write_to_self", loops.write_to_self
    base_loop = asyncio.base_events.BaseEventLoop
    yield base_loop, "run_forever", loops.run_forever
    yield base_loop, "run_until_complete", loops.run_until_complete
    yield base_loop, "_run_once", loops._run_once
    yield base_loop, "call_soon", loops.call_soon
    yield base_loop, "create_task", loops.create_task
    yield base_loop, "default_exception_handler", loops.default_exception_handler
    yield asyncio.base_events, "MAXIMUM_SELECT_TIMEOUT", 1e12
    yield asyncio.runners, "_cancel_all_tasks", tasks.cancel_all_tasks
    yield asyncio.runners, "signal", _NoSignals()
    yield asyncio, "all_tasks", tasks.all_tasks
    yield asyncio.tasks, "all_tasks", tasks.all_tasks
    yield asyncio, "as_completed", tasks.as_completed
    yield asyncio.tasks, "as_completed", tasks.as_completed
    yield asyncio.tasks, "Task", tasks.SimTask
    yield asyncio.futures, "Future", tasks.SimFuture


def _random_names() -> Iterator[tuple[Any, str, Any]]:
    yield os, "urandom", randomness.urandom
    yield random, "_urandom", randomness.urandom
    yield random.Random, "seed", randomness.seed
    for name in randomness.GLOBAL_FUNCTIONS:
        yield random, name, randomness.global_function(name)


class _NoSignals:
    """The `signal` that `asyncio.Runner` sees: Ctrl-C is to reach the run, not to cancel a task."""

    SIGINT = 2
    default_int_handler = None

    @staticmethod
    def getsignal(signalnum: int) -> None:
        """Return no handler, so that the runner leaves Ctrl-C alone."""

    @staticmethod
    def signal(signalnum: int, handler: object) -> None:
        """Do nothing."""


def _excepthook(args: Any) -> None:
    """Keep what a thread died of, for the verdict; stands for `threading.excepthook`."""
    world = here.world
    if world is None:
        threading.__excepthook__(args)
    elif not world.stopping and args.exc_value is not None:
        name = args.thread.name if args.thread is not None else "thread"
        world.take_unhandled(name, args.exc_value)


def _number_of(thing: Any) -> int:
    number: int | None = thing.__dict__.get("_harness_number")
    if number is None:
        world = here.world
        number = object.__hash__(thing) if world is None else world.number()
        thing.__dict__["_harness_number"] = number
    return number


def _hash_by_number(thing: Any) -> int:
    """Hash by creation number, so that sets of threads and futures have one order."""
    return _number_of(thing)


def _identity(thing: Any) -> int:
    """Return a creation number where `concurrent.futures` sorts by address."""
    return _number_of(thing) if isinstance(thing, concurrent.futures.Future) else id(thing)


# --- captured names -------------------------------------------------------------------------------

#: Packages whose own clocks and locks stay real: they run around a run, not inside it.
BYSTANDERS = (
    "harness",
    "_pytest",
    "pytest",
    "pluggy",
    "xdist",
    "execnet",
    "__channelexec__",
    "hypothesis",
    "coverage",
    "pytest_timeout",
    "pytest_cov",
    "greenlet",
    "bytecode",
    "time_machine",
    "rich",
)


def is_bystander(module_name: str) -> bool:
    """Tell whether a module belongs to a package that is left alone."""
    return module_name.partition(".")[0] in BYSTANDERS


def captured_names(table: Iterable[Patch]) -> list[Patch]:
    """Return patches for modules that took a replaced function by `from … import`, as any name."""
    replacements: dict[int, Any] = {}
    originals: list[Any] = []
    in_table = set()
    for patch in table:
        in_table.add((id(patch.owner), patch.name))
        original = vars(patch.owner).get(patch.name)
        if isinstance(patch.owner, types.ModuleType) and callable(original):
            replacements[id(original)] = patch.value
            originals.append(original)
    found = []
    for module_name, module in list(sys.modules.items()):
        if not isinstance(module, types.ModuleType) or is_bystander(module_name):
            continue
        for name, value in list(vars(module).items()):
            if id(value) in replacements and (id(module), name) not in in_table:
                found.append(Patch(module, name, replacements[id(value)]))
    return found


# --- what a run leaves behind ---------------------------------------------------------------------


# What they remember is private, and in no stub.
_of_threads: Any = threading
_of_executors: Any = concurrent.futures.thread
_of_warnings: Any = warnings
_executor: Any = concurrent.futures.ThreadPoolExecutor
_NO_LOCKS: set[Any] = set()


class KeptState:
    """What the standard library remembers of threads: taken at the start of a run, put back after.

    Not a context manager: this is done for every run.
    """

    def __init__(self) -> None:
        self._active = _of_threads._active.copy()
        self._limbo = _of_threads._limbo.copy()
        self._dangling = set(_of_threads._dangling.data)
        self._shutdown_locks = set(getattr(threading, "_shutdown_locks", _NO_LOCKS))
        self._queues = dict(_of_executors._threads_queues.data)
        self._counters = (_of_threads._counter, _executor._counter)
        self._filters = _of_warnings.filters[:]
        _of_threads._counter = itertools.count(1).__next__
        _executor._counter = itertools.count().__next__

    def restore(self) -> None:
        """Put it back."""
        _refill(_of_threads._active, self._active)
        _refill(_of_threads._limbo, self._limbo)
        # Weak collections: the threads of the run are gone from them as soon as they are freed.
        _refill(_of_threads._dangling.data, self._dangling)
        _refill(_of_executors._threads_queues.data, self._queues)
        if hasattr(threading, "_shutdown_locks"):
            _refill(_of_threads._shutdown_locks, self._shutdown_locks)
        _of_executors._shutdown = False
        _of_threads._counter, _executor._counter = self._counters
        if _of_warnings.filters != self._filters:
            _of_warnings.filters[:] = self._filters
            # As catch_warnings does.
            _of_warnings._filters_mutated()
        threads._sentinels.clear()


def _refill(collection: Any, content: Any) -> None:
    if len(collection) != len(content) or collection != content:
        collection.clear()
        collection.update(content)


# --- installing -----------------------------------------------------------------------------------


@contextmanager
def installed(
    on_import: Callable[[], None], on_silent_job: Callable[[World, Any], None]
) -> Iterator[list[threads.Lock]]:
    """Have everything replaced inside the block; yields the locks that stand for the library's own.

    Args:
        on_import: called after a module was imported inside a run.
        on_silent_job: called with what an executor has run and what has met no point.
    """
    table = replaced_names()
    own = [_import_patch(on_import), _job_patch(on_silent_job)]
    patches = Patches([*table, *captured_names(table), *own])
    taken_back = _originals(table)
    known = frozenset(sys.modules)
    with ExitStack() as stack:
        stack.enter_context(clocks.wall_clock())
        stack.callback(_assert_restored, patches)
        stack.callback(_take_back, taken_back, known)
        stack.callback(patches.restore)
        patches.install()
        yield [patch.value for patch in table if isinstance(patch.value, threads.Lock)]


def _import_patch(on_import: Callable[[], None]) -> Patch:
    bootstrap: Any = importlib._bootstrap
    find_and_load = bootstrap._find_and_load

    def load(name: str, import_: Any) -> Any:
        world = here.world
        if world is None or world.kernel.current is None:
            return find_and_load(name, import_)
        if world.stopping:
            # A finaliser or an import hook, while the run is torn down: not to be told to stop.
            here.world = None
            try:
                return find_and_load(name, import_)
            finally:
                here.world = world
        # An import is one step: others neither see it half done nor wait for it.
        with world.silence():
            module = find_and_load(name, import_)
            on_import()
        return module

    return Patch(bootstrap, "_find_and_load", load)


def _job_patch(on_silent_job: Callable[[World, Any], None]) -> Patch:
    work_item: Any = concurrent.futures.thread._WorkItem
    run_item = work_item.run

    def run(item: Any, *args: Any) -> None:
        world = here.world
        current = world.kernel.current if world is not None else None
        if world is None or current is None:
            run_item(item, *args)
            return
        # 3.14 keeps function and arguments together.
        before, function = current.points, getattr(item, "fn", None) or item.task[0]
        if not item.future.cancelled() and _is_of_c(function):
            # It meets no point by itself, and may change what others look at.
            world.point()
        run_item(item, *args)
        if current.points == before and not (
            world.silenced or world.stopping or item.future.cancelled()
        ):
            on_silent_job(world, function)

    return Patch(work_item, "run", run)


def _is_of_c(function: Any) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    return isinstance(function, (types.BuiltinFunctionType, types.MethodWrapperType, type))


def _originals(table: Iterable[Patch]) -> dict[tuple[int, str], Any]:
    """Return what each function and class of a table stands for, by its id and name; or none."""
    originals: dict[tuple[int, str], Any] = {}
    # Where several have the name it is the one of `threading` that people import.
    for patch in sorted(table, key=lambda patch: patch.owner is threading):
        if callable(patch.value) and patch.name in vars(patch.owner):
            original = vars(patch.owner)[patch.name]
            originals[id(patch.value), patch.name] = originals[id(patch.value), ""] = original
    return originals


def _take_back(originals: Mapping[tuple[int, str], Any], known: frozenset[str]) -> None:
    """Give modules that were imported meanwhile what they would have got at another time.

    What holds a name in a class or a container of such a module keeps it: outside a run it is as
    good as the real one.
    """
    for name, module in list(sys.modules.items()):
        if name in known or not isinstance(module, types.ModuleType):
            continue
        namespace = vars(module)
        for held, value in list(namespace.items()):
            original = originals.get((id(value), held), originals.get((id(value), "")))
            if original is not None:
                namespace[held] = original


def _assert_restored(patches: Patches) -> None:
    for patch in patches.patches:
        if vars(patch.owner).get(patch.name) is patch.value:
            raise InternalError(f"{patch.owner!r}.{patch.name} is still replaced after the run.")


def fresh(world: World) -> None:
    """Give this run its own start: nothing of the policy's loops, nothing seeded."""
    world.at_end.append(_forget_loops())


def _forget_loops() -> Callable[[], None]:
    policy: Any = asyncio.get_event_loop_policy()
    local = getattr(policy, "_local", None)
    if local is None:
        return lambda: None
    policy._local = _PolicyLocal()

    def restore() -> None:
        policy._local = local

    return restore


class _PolicyLocal:
    """What the event loop policy keeps for each thread. One run.

    In place of a thread-local, which looks itself up at each access: a run reads and writes it a
    dozen times.
    """

    def __init__(self) -> None:
        self._loops: dict[object, Any] = {}
        self._called: set[object] = set()

    @property
    def _loop(self) -> Any:
        return self._loops.get(threads._key())

    @_loop.setter
    def _loop(self, loop: Any) -> None:
        self._loops[threads._key()] = loop

    @property
    def _set_called(self) -> bool:
        return threads._key() in self._called

    @_set_called.setter
    def _set_called(self, called: bool) -> None:
        (self._called.add if called else self._called.discard)(threads._key())
