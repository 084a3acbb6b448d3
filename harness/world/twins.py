"""Stand-ins for what was made before a run: simulated inside it, the real object everywhere else.

Locks need no class of their own, since `threads.Lock` falls through to a real lock by itself. It
does not know where the originals are held.
"""

from __future__ import annotations

import gc
import queue
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from harness.core.kernel import Actor

from . import threads
from .here import here

_real_local: Any = threading.local
_MISSING = object()


def current_actor() -> Actor | None:
    """Return the simulated thread that runs here, None outside a run."""
    world = here.world
    return None if world is None else world.kernel.current


# --- locks ----------------------------------------------------------------------------------------


class LockTwin:
    """A simulated lock and how its original was found. Not part of a run.

    invariant: between runs `lock` is held iff the original was held at the start and still is.
    """

    __slots__ = ("is_held_at_start", "lock", "real")

    def __init__(self, real: Any) -> None:
        self.real = real
        is_reentrant = isinstance(real, threads._real_rlock_type)
        self.lock = threads.RLock(real) if is_reentrant else threads.Lock(real)
        self.is_held_at_start = is_held(real)
        self.reset()

    def reset(self) -> None:
        """Put the simulated lock back to how the original was found."""
        self.lock.reset()
        # Whoever held it for a moment on another thread must not block every run that follows.
        if self.is_held_at_start and is_held(self.real):
            # Nobody knows who holds it, so no fiber counts as the owner.
            self.lock.owner = threads._OUTSIDE
            if isinstance(self.lock, threads.RLock):
                self.lock.count = 1


def is_held(real: Any) -> bool:
    """Tell whether anybody holds a real lock."""
    if type(real) is not threads._real_rlock_type:
        return bool(real.locked())
    # A re-entrant lock cannot be asked before 3.14, and its owner can always take it once more.
    reentrant: Any = real
    if reentrant._is_owned() or not real.acquire(blocking=False):
        return True
    real.release()
    return False


# --- SimpleQueue ----------------------------------------------------------------------------------


class QueueTwin(threads.SimpleQueue):
    """A simulated `queue.SimpleQueue` that stands for a real one. Any thread.

    The original keeps its items while runs go on; each run starts with the same ones.
    """

    def __new__(cls, real: Any) -> Any:
        """Make one, also outside a run."""
        return object.__new__(cls)

    def __init__(self, real: Any) -> None:
        super().__init__()
        self.real = real
        self._start = _drain(real)
        for item in self._start:
            real.put(item)
        self.reset()

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Add `item`; never waits."""
        if current_actor() is None:
            self.real.put(item, block, timeout)
        else:
            super().put(item, block, timeout)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take the oldest item, waiting for one if `block`, at most `timeout` seconds.

        Raises:
            queue.Empty: there is none.
        """
        if current_actor() is None:
            return self.real.get(block, timeout)
        return super().get(block, timeout)

    def empty(self) -> bool:
        """Tell whether there is no item."""
        return self.qsize() == 0

    def qsize(self) -> int:
        """Return the number of items."""
        return int(self.real.qsize()) if current_actor() is None else super().qsize()

    def reset(self) -> None:
        """Forget a run that is over."""
        self._items = deque(self._start)
        self._getters.clear()

    def empty_at_start(self) -> None:
        """Have runs find nothing here, whatever the original holds."""
        self._start = []
        self.reset()

    def hand_back(self) -> None:
        """Give the original what a run left here, unless it was reset since."""
        # Only a run changes this; what others put into the original meanwhile stays.
        items = list(self._items)
        if len(items) == len(self._start) and all(map(_is, items, self._start)):
            return
        _drain(self.real)
        for item in items:
            self.real.put(item)


def _is(one: object, other: object) -> bool:
    return one is other


def _drain(real: Any) -> list[Any]:
    items = []
    with suppress(queue.Empty):
        while True:
            items.append(real.get_nowait())
    return items


# --- executors and threads ------------------------------------------------------------------------


class Workers:
    """What an executor made before keeps of its workers, anew in each run. Any thread."""

    def __init__(self, executor: Any) -> None:
        self._executor = executor
        self._state = State(executor, ("_shutdown", "_broken"))
        self._threads: set[Any] = set()
        idle: Any = threading.Semaphore(0)
        self._idle = idle
        self._lock = LockTwin(threads._real_allocate_lock())
        lock: Any = self._lock.lock
        idle._cond = threading.Condition(lock)
        self.replacements = {"_threads": self._threads, "_idle_semaphore": self._idle}

    def reset(self) -> None:
        """Forget a run that is over: its workers ended with it."""
        self._threads.clear()
        self._idle._value = 0
        self._lock.reset()
        self._state.reset()


def make_handle() -> threads.ThreadHandle:
    """Return a simulated thread handle, also outside a run."""
    handle = threads.ThreadHandle()
    handle._ended = threads.EndOfThread(threads._real_allocate_lock(), "end of a thread")
    return handle


class State:
    """Some attributes of an object, as they were. Not part of a run."""

    __slots__ = ("_thing", "_values")

    def __init__(self, thing: Any, names: tuple[str, ...]) -> None:
        self._thing = thing
        self._values = {
            name: _copied(getattr(thing, name)) for name in names if hasattr(thing, name)
        }

    def reset(self) -> None:
        """Put the attributes back."""
        for name, value in self._values.items():
            setattr(self._thing, name, _copied(value))


def _copied(value: Any) -> Any:
    return value.copy() if type(value) in (deque, list, set) else value


# --- thread-locals --------------------------------------------------------------------------------


class LocalTwin(threads.Local):
    """A simulated `threading.local` that stands for a real one. Any thread.

    The main thread of a run starts with a copy of what the original holds for the real thread,
    every other one empty.
    """

    __slots__ = ("_real",)

    def __new__(cls, real: Any) -> Any:
        """Make one, also outside a run."""
        self = object.__new__(cls)
        object.__setattr__(self, "_real", real)
        object.__setattr__(self, "_stores", {})
        return self

    def __getattribute__(self, name: str) -> Any:
        if _enter(self):
            return object.__getattribute__(self, name)
        return getattr(object.__getattribute__(self, "_real"), name)

    def __setattr__(self, name: str, value: object) -> None:
        if name == "__dict__" or not _enter(self):
            # The real one also refuses to have its namespace replaced, in its own words.
            setattr(object.__getattribute__(self, "_real"), name, value)
        else:
            object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        if name == "__dict__" or not _enter(self):
            delattr(object.__getattribute__(self, "_real"), name)
        else:
            object.__delattr__(self, name)


def forget(local: LocalTwin) -> None:
    """Forget a run that is over."""
    object.__getattribute__(local, "_stores").clear()
    object.__setattr__(local, "__dict__", {})


def _enter(local: LocalTwin) -> bool:
    """Show the namespace of the current fiber; False outside a run."""
    actor = current_actor()
    if actor is None:
        return False
    stores = object.__getattribute__(local, "_stores")
    store = stores.get(actor)
    if store is None:
        store = stores[actor] = _first_namespace(object.__getattribute__(local, "_real"), actor)
    object.__setattr__(local, "__dict__", store)
    return True


def _first_namespace(real: Any, actor: Actor) -> dict[str, Any]:
    world = here.world
    assert world is not None, "only asked inside a run"
    return dict(vars(real)) if actor is world.main else {}


class LocalClass:
    """A subclass of the real `threading.local` that keeps one namespace for each fiber. Any thread.

    Its instances stay what they are, those made inside a run too: methods that call `super()` would
    refuse a twin of another class. Only the content of the namespace of this operating-system
    thread is exchanged, when a fiber looks.
    """

    NAMES = ("__getattribute__", "__setattr__", "__delattr__")

    def __init__(self, cls: type, made_before: Iterable[object]) -> None:
        self.cls = cls
        self._made_before = frozenset(map(id, made_before))
        # By id, together with the instance, so that no id is used twice.
        self._known: dict[int, _Namespaces] = {}

    def accessor(self, name: str) -> Any:
        """Return what stands for one of `NAMES` in the class."""
        original: Any = getattr(self.cls, name)

        def access(local: Any, *args: Any) -> Any:
            actor = current_actor()
            if actor is not None:
                known = self._known.get(id(local))
                if known is None:
                    shown = self._shown_at_first(local, actor)
                    known = self._known[id(local)] = _Namespaces(local, shown)
                if known.shown is not actor:
                    known.show(actor)
            return original(local, *args)

        return access

    def _shown_at_first(self, local: object, actor: Actor) -> Actor | None:
        world = here.world
        # One that was made in the run is first looked at by its own __init__.
        return world.main if world is not None and id(local) in self._made_before else actor

    def reset(self) -> None:
        """Forget a run that is over: the namespaces are again what they were before it."""
        known, self._known = self._known, {}
        for namespaces in known.values():
            namespaces.put_back()


class _Namespaces:
    """The namespaces of one instance, and whose is shown. Any fiber of one run."""

    def __init__(self, local: Any, shown: Actor | None) -> None:
        self.local = local
        self.shown = shown
        self.before = dict(self._namespace())
        self.stores: dict[Actor, dict[str, Any]] = {}

    def _namespace(self) -> dict[str, Any]:
        namespace: dict[str, Any] = _real_local.__getattribute__(self.local, "__dict__")
        return namespace

    def show(self, actor: Actor) -> None:
        namespace = self._namespace()
        if self.shown is not None:
            self.stores[self.shown] = dict(namespace)
        namespace.clear()
        self.shown = actor
        store = self.stores.get(actor)
        if store is not None:
            namespace.update(store)
        elif type(self.local).__init__ is not object.__init__:
            args, kwargs = _arguments(self.local)
            type(self.local).__init__(self.local, *args, **kwargs)

    def put_back(self) -> None:
        namespace = self._namespace()
        namespace.clear()
        namespace.update(self.before)


def _arguments(local: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return what a real thread-local was made with; it keeps that in C, for later `__init__`s."""
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    for held in gc.get_referents(local):
        if type(held) is tuple:
            args = held
        elif type(held) is dict and held and all(type(key) is str for key in held):
            kwargs = held
    return args, kwargs
