"""Simulated locks, thread start and join, idents, thread-locals: what all of `threading` stands on.

Condition, Event, Semaphore, Barrier, Queue, Future and the executors are the standard library's own
code over these. None of them is a scheduling point by itself: points come from the code under test;
these only block and wake.

A lock that is released lets everyone who waits for it run again, and whoever runs first takes it:
the others are put back without having run. So who gets a lock is an ordinary scheduling decision.
It does not know reports or checks.
"""

from __future__ import annotations

import _thread
import queue
import sys
import threading
from collections import deque
from collections.abc import Callable
from pathlib import PurePath
from types import FrameType
from typing import Any

from harness.core.access import ACQUIRE, AWAIT, BIRTH, CROWD, PENDING, READ, RELEASE, WRITE
from harness.core.clock import to_ns
from harness.core.kernel import Actor, Kernel
from harness.errors import HarnessError
from harness.faults import Cancel, Crash, Delay, Fail, Hang, Pass, Pause

from .fibers import LOCK_NUMBERS, Stop, World, ended
from .here import here

_real_allocate_lock = _thread.allocate_lock
# Not `threading.RLock`: that is a function which looks up a replaced name.
_real_rlock = _thread.RLock
_real_rlock_type = type(threading.RLock())
_real_get_ident = _thread.get_ident
_real_simple_queue = queue.SimpleQueue
_real_local = threading.local
# What stands for a real thread among the stores of a simulated local.
_of_thread = _real_local()
_real_start_new_thread = _thread.start_new_thread
_spare_lock = _real_allocate_lock()

#: Owner of a lock that is held outside any run.
_OUTSIDE = object()


def _check_timeout(blocking: bool, timeout: float) -> None:
    """Raise for bad arguments exactly what the real lock raises."""
    is_number = isinstance(timeout, (int, float))
    if not is_number or (
        timeout != -1 and (not blocking or timeout < 0 or timeout > threading.TIMEOUT_MAX)
    ):
        _spare_lock.acquire(blocking, timeout)
        _spare_lock.release()


def _deadline(world: World, timeout: float) -> int | None:
    return None if timeout < 0 else world.kernel.now_ns + to_ns(timeout)


class Lock:
    """A simulated `threading.Lock`. Any thread.

    Outside a run it is the real lock it stands for, or, if it was made inside one, a plain lock
    that raises where it would block: its world is over, and nobody is left to release it.

    invariant: everyone in `waiters` is parked on this lock, or can run because it is free or their
        time is up.
    """

    __slots__ = ("__weakref__", "born", "number", "owner", "real", "role", "waiters")

    # Where it was made or, if that was before the run, where it was found; for the names of sites.
    born: tuple[str, int, str] | str | None

    def __new__(cls, real: Any = None, role: str = "") -> Any:
        """Make one, or a real lock where there is no run: other threads go on as ever."""
        world = here.world
        if world is None and real is None:
            return cls._make_real()
        self = object.__new__(cls)
        # Looked for only where a rule wants to know: to walk the stack takes as long as all else.
        self.born = creation_site() if world is not None and world.faults.names_locks else None
        return self

    @staticmethod
    def _make_real() -> Any:
        return _real_allocate_lock()

    def __init__(self, real: Any = None, role: str = "") -> None:
        self.owner: object = None
        self.waiters: list[Actor] = []
        # The lock it stands for while a run goes on, if it was made before.
        self.real = real
        # What it is for, where the standard library uses it as a signal: "end of thread 'caller'".
        self.role = role
        # What a log calls it: never given again, other than an address. 0 keeps it out of logs.
        self.number = next(LOCK_NUMBERS)
        world = here.world
        if world is not None and world.kernel.log is not None and world.kernel.current is not None:
            self._log(world.kernel, BIRTH)

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock, waiting if `blocking`, at most `timeout` seconds; tell if it was taken."""
        world = here.world
        if world is None or world.kernel.current is None:
            return self._acquire_outside(blocking, timeout)
        if world.wary:
            self._suffer(world)
        if blocking is not True or timeout != -1:
            _check_timeout(blocking, timeout)
        if self.owner is None:
            if world.stopping:
                raise Stop
            kernel = world.kernel
            self.owner = kernel.current
            if self.waiters:
                kernel.suspend_all(self.waiters)
            if kernel.log is not None:
                self._log(kernel, ACQUIRE if blocking and timeout == -1 else WRITE)
                log_pending(kernel, self.number, self.waiters)
            return True
        if not blocking or timeout == 0:
            if world.stopping:
                raise Stop
            if world.kernel.log is not None and self.owner is not world.kernel.current:
                # That it holds the lock itself is nothing that others can change.
                self._log(world.kernel, READ)
            return False
        return self._wait(world, _deadline(world, timeout))

    def _wait(self, world: World, deadline: int | None) -> bool:
        kernel = world.kernel
        current = kernel.current
        assert current is not None, "only a fiber waits"
        self._refuse_leftover(world)
        self.waiters.append(current)
        current.key = -self.number
        current.writes = True
        if kernel.log is not None:
            self._log(kernel, PENDING)
        try:
            while True:
                fired = world.park(self, deadline)
                # Both may be true: the lock came free when the time ran out. Then it is taken.
                if self.owner is None:
                    self.owner = current
                    break
                if fired:
                    if kernel.log is not None:
                        self._log(kernel, READ)
                    return False
        finally:
            self.waiters.remove(current)
        if self.waiters:
            kernel.suspend_all(self.waiters)
        if kernel.log is not None:
            self._log(kernel, ACQUIRE if deadline is None else WRITE)
            log_pending(kernel, self.number, self.waiters)
        return True

    def _log(self, kernel: Kernel, mode: int) -> None:
        """Note an access of the thread that runs."""
        assert kernel.log is not None, "only called where somebody wants to know"
        current = kernel.current
        assert current is not None, "only a fiber takes locks"
        if self.number:
            kernel.log.append((current.turn, -self.number, mode, None))

    def release(self) -> None:
        """Give the lock back; any thread may.

        Raises:
            RuntimeError: it is not held.
        """
        world = here.world
        if world is None or world.kernel.current is None:
            self._release_outside()
            return
        if self.owner is None:
            if world.stopping:
                return
            raise RuntimeError("release unlocked lock")
        kernel = world.kernel
        if kernel.log is not None:
            self._log(kernel, RELEASE)
        self.owner = None
        if self.waiters and not world.stopping:
            kernel.wake_all(self.waiters)

    def locked(self) -> bool:
        """Tell whether somebody holds it."""
        world = here.world
        if world is None and self.real is not None:
            return bool(self.real.locked())
        if world is not None and world.kernel.log is not None:
            self._log(world.kernel, READ)
        return self.owner is not None

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self.release()

    acquire_lock = acquire
    release_lock = release
    locked_lock = locked

    def _at_fork_reinit(self) -> None:
        self.owner = None

    def __repr__(self) -> str:
        return f"<{'locked' if self.owner is not None else 'unlocked'} simulated lock>"

    def reset(self) -> None:
        """Forget a run that is over."""
        self.owner = None
        self.waiters.clear()

    def _refuse_leftover(self, world: World) -> None:
        owner = self.owner
        if isinstance(owner, Actor) and (owner.fiber is None or owner.fiber.world is not world):
            raise HarnessError(
                "a lock that an earlier run left held is wanted in this one: runs share state. "
                "Make the lock inside the scenario, or release it before the scenario ends."
            )

    def _suffer(self, world: World) -> None:
        world.kernel.current.acquisitions += 1  # type: ignore[union-attr] # acquire has just asked
        # The bookkeeping of a thread that comes up or ends takes locks too: a program cannot be
        # struck there.
        frame: Any = sys._getframe(2)
        while frame is not None and is_plumbing(frame.f_code.co_filename):
            frame = frame.f_back
        if frame is not None:
            suffer(world, world.consult("lock", self.role or self.called()))

    def called(self) -> str:
        """Return what reports call it, by where it was made if that is known."""
        if not isinstance(self.born, tuple):
            return self.born or "lock"
        file, line, _ = self.born
        return f"lock made at {PurePath(file).name}:{line}"

    def _acquire_outside(self, blocking: bool, timeout: float) -> bool:
        if self.real is not None:
            return bool(self.real.acquire(blocking, timeout))
        _check_timeout(blocking, timeout)
        if self.owner is None:
            self.owner = _OUTSIDE
            return True
        if not blocking or timeout >= 0:
            return False
        raise HarnessError(
            "a lock made inside a run is held and wanted after that run is over: "
            "nobody can release it. "
            "Make the lock before the run, or give each run its own."
        )

    def _release_outside(self) -> None:
        if self.real is not None:
            self.real.release()
            return
        if self.owner is None:
            raise RuntimeError("release unlocked lock")
        self.owner = None


def log_pending(kernel: Kernel, number: int, waiters: list[Actor]) -> None:
    """Note that others were about to take what the current actor has taken."""
    log = kernel.log
    if log is None or not number or not waiters:
        return
    if len(waiters) > PENDING_MAX:
        log.append((waiters[0].turn, -number, CROWD, None))
    else:
        for actor in waiters:
            if actor is not kernel.current:
                log.append((actor.turn, -number, PENDING, None))


#: With more waiting for one lock no search comes to an end, and the log would grow without bound.
PENDING_MAX = 32


class EndOfThread(Lock):
    """A lock that `threading` takes to wait for the end of a thread. Any thread.

    Whoever waits competes with nobody, and takes nothing away; a look that does not wait is told by
    `is_alive` itself.
    """

    __slots__ = ()

    def _log(self, kernel: Kernel, mode: int) -> None:
        if mode == ACQUIRE:
            super()._log(kernel, AWAIT)

    def _wait(self, world: World, deadline: int | None) -> bool:
        ended = super()._wait(world, deadline)
        if deadline is not None and world.kernel.log is not None:
            # It waited no longer than it wanted to: it matters who came first.
            super()._log(world.kernel, READ)
        return ended


class RLock(Lock):
    """A simulated `threading.RLock`. Any thread.

    invariant: `count` is above 0 iff `owner` is set.
    """

    __slots__ = ("count",)

    @staticmethod
    def _make_real() -> Any:
        return _real_rlock()

    def __init__(self, real: Any = None, role: str = "") -> None:
        super().__init__(real, role)
        self.count = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock once more, waiting if another thread has it; tell if it was taken."""
        world = here.world
        if world is None or world.kernel.current is None:
            return self._acquire_outside(blocking, timeout)
        owner = self.owner
        if owner is not None and owner is world.kernel.current:
            _check_timeout(blocking, timeout)
            self.count += 1
            return True
        if super().acquire(blocking, timeout):
            self.count = 1
            return True
        return False

    def release(self) -> None:
        """Give the lock back once.

        Raises:
            RuntimeError: this thread does not hold it.
        """
        world = here.world
        if world is None or world.kernel.current is None:
            self._release_outside()
            return
        if self.owner is not world.kernel.current:
            if world.stopping:
                return
            raise RuntimeError("cannot release un-acquired lock")
        self.count -= 1
        if not self.count:
            super().release()

    def reset(self) -> None:
        """Forget a run that is over."""
        super().reset()
        self.count = 0

    def _acquire_outside(self, blocking: bool, timeout: float) -> bool:
        if self.real is None and self.owner is _OUTSIDE:
            self.count += 1
            return True
        if super()._acquire_outside(blocking, timeout):
            if self.real is None:
                self.count = 1
            return True
        return False

    def _release_outside(self) -> None:
        if self.real is not None:
            self.real.release()
            return
        if self.owner is None:
            raise RuntimeError("cannot release un-acquired lock")
        self.count -= 1
        if not self.count:
            self.owner = None

    # What Condition asks of the lock it is given.

    def _is_owned(self) -> bool:
        world = here.world
        if world is None or world.kernel.current is None:
            return bool(self.real._is_owned()) if self.real is not None else self.owner is _OUTSIDE
        return self.owner is world.kernel.current

    def _release_save(self) -> Any:
        world = here.world
        if world is None or world.kernel.current is None:
            return self.real._release_save() if self.real is not None else self._drop_outside()
        if world.stopping:
            return 0
        if self.owner is not world.kernel.current:
            raise RuntimeError("cannot release un-acquired lock")
        count, self.count = self.count, 0
        super().release()
        return count

    def _drop_outside(self) -> int:
        count, self.count, self.owner = self.count, 0, None
        return count

    def _acquire_restore(self, state: Any) -> None:
        world = here.world
        if world is None or world.kernel.current is None:
            if self.real is not None:
                self.real._acquire_restore(state)
            else:
                self.owner, self.count = _OUTSIDE, state
            return
        super().acquire()
        self.count = state

    def _recursion_count(self) -> int:
        return self.count if self._is_owned() else 0


#: What somebody waits for whom a fault has stopped for good.
HANG = "nothing: an injected hang"


def suffer(world: World, verdict: object) -> None:
    """Carry out a fault that strikes the current thread at a lock, a spawn or a timer."""
    if isinstance(verdict, Pass):
        return
    current = world.kernel.current
    assert current is not None, "only a fiber suffers"
    match verdict:
        case Delay(seconds) | Pause(seconds):
            world.park("the end of an injected pause", world.kernel.now_ns + to_ns(seconds))
        case Crash():
            world.crash(current)
        case Hang():
            world.park(HANG)
        case Fail():
            raise verdict.make()
        case Cancel():
            raise HarnessError(
                "verdict=Cancel() strikes tasks at an await, not threads. "
                "Use Fail or Crash for a thread."
            )


# --- threads --------------------------------------------------------------------------------------


def get_ident() -> int:
    """Return the ident of the simulated thread that runs, or of the real one outside a run."""
    world = here.world
    return _real_get_ident() if world is None else world.ident()


def creation_site() -> tuple[str, int, str]:
    """Return file, line and function of the innermost caller that is somebody's code."""
    found = sys._getframe(1)
    frame: FrameType | None = found
    # Not a call each: this is done for every task and thread.
    known = _plumbing
    while frame is not None:
        filename = frame.f_code.co_filename
        plumbing = known.get(filename)
        if plumbing is None:
            plumbing = is_plumbing(filename)
        if not plumbing:
            found = frame
            break
        frame = frame.f_back
    return (found.f_code.co_filename, found.f_lineno, found.f_code.co_qualname)


_plumbing: dict[str, bool] = {}
_HERE_FOLDER = __file__.rsplit("world", 1)[0]
_STDLIB_FOLDER = threading.__file__.rsplit("threading", 1)[0]


def is_plumbing(filename: str) -> bool:
    """Tell whether a file is the standard library's or the harness's: nobody's code under test."""
    known = _plumbing.get(filename)
    if known is None:
        in_library = filename.startswith(_STDLIB_FOLDER) and "-packages" not in filename
        known = _plumbing[filename] = in_library or filename.startswith((_HERE_FOLDER, "<frozen"))
    return known


# Locks that `threading` waits on for the end of a thread, by ident (3.11 and 3.12).
_sentinels: dict[int, Lock] = {}


def start_new_thread(
    function: Callable[..., object],
    args: tuple[object, ...] = (),
    kwargs: dict[str, Any] | None = None,
) -> int:
    """Start a simulated thread and return its ident; stands for `_thread.start_new_thread`."""
    world = here.world
    if world is None or world.kernel.current is None:
        return _real_start_new_thread(function, args, kwargs or {})
    if world.stopping:
        raise Stop
    starter = getattr(function, "__self__", None)
    # Any: what is set on it below is private to `threading`.
    thread: Any = starter if isinstance(starter, threading.Thread) else None

    def body() -> None:
        try:
            if world.wary:
                suffer(world, world.consult("spawn", actor.name))
            function(*args, **(kwargs or {}))
        except (Stop, SystemExit):
            pass
        except BaseException as exc:  # noqa: BLE001 - nobody else will see it
            world.take_unhandled(actor.name, exc)
        finally:
            sentinel = _sentinels.pop(ident, None)
            if sentinel is not None and sentinel.owner is not None:
                sentinel.release()

    name = thread.name if thread is not None else "thread"
    actor = world.spawn(name, body, creation_site(), thread)
    ident: int = actor.fiber.ident
    if thread is not None:
        # The starter need not wait until the thread has come up: what `start` waits for is true.
        thread._ident = ident
        thread._started._flag = True
        started: Any = thread._started._cond._lock
        # It hands nothing on: the thread sets once more what is set.
        started.number = 0
        if hasattr(thread, "_set_native_id"):
            thread._set_native_id()
        if hasattr(thread, "_tstate_lock"):
            sentinel = _sentinels[ident] = EndOfThread(role=f"end of thread {actor.name!r}")
            sentinel.owner = actor
            sentinel.number = -ended(actor)
            thread._tstate_lock = sentinel
    return ident


_real_set_sentinel: Any = getattr(_thread, "_set_sentinel", None)


def set_sentinel() -> Any:
    """Return the lock that is released when the current thread ends.

    Stands for `_thread._set_sentinel` (≤ 3.12).
    """
    world = here.world
    if world is None or world.kernel.current is None:
        return _real_set_sentinel()
    ident = get_ident()
    sentinel = _sentinels.get(ident)
    if sentinel is None:
        sentinel = _sentinels[ident] = EndOfThread(role="end of a thread")
    else:
        # `threading` takes it at once; nobody runs in between.
        sentinel.owner = None
    return sentinel


class ThreadHandle:
    """Stands for `_thread._ThreadHandle` (3.13). Any thread."""

    __slots__ = ("_done", "_ended", "ident")

    def __init__(self) -> None:
        self.ident = 0
        self._done = False
        self._ended = EndOfThread(role="end of a thread")

    def is_done(self) -> bool:
        """Tell whether the thread has ended."""
        return self._done

    def _set_done(self) -> None:
        self._done = True
        if self._ended.owner is not None:
            self._ended.release()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end of the thread, at most `timeout` seconds."""
        world = here.world
        if self._done:
            if world is not None and world.kernel.log is not None and world.kernel.current:
                # It comes after the end all the same.
                self._ended._log(world.kernel, ACQUIRE)
            return
        if world is not None and self.ident == world.ident():
            raise RuntimeError("Cannot join current thread")
        if self._ended.acquire(True, -1 if timeout is None or timeout < 0 else timeout):
            self._ended.release()


_real_start_joinable = getattr(_thread, "start_joinable_thread", None)


def start_joinable_thread(
    function: Callable[[], object], *, handle: Any = None, daemon: bool = True
) -> Any:
    """Start a simulated thread; stands for `_thread.start_joinable_thread` (3.13)."""
    world = here.world
    if world is None or not isinstance(handle, (ThreadHandle, type(None))):
        assert _real_start_joinable is not None, "only called where it exists"
        if handle is None:
            return _real_start_joinable(function, daemon=daemon)
        return _real_start_joinable(function, handle=handle, daemon=daemon)
    chosen = ThreadHandle() if handle is None else handle

    def body() -> None:
        try:
            function()
        finally:
            chosen._set_done()

    # Read by start_new_thread.
    body.__self__ = getattr(function, "__self__", None)  # type: ignore[attr-defined] # as of a method
    chosen._ended.owner = _OUTSIDE
    chosen.ident = start_new_thread(body)
    chosen._ended.owner = world.idents[chosen.ident]
    chosen._ended.number = -ended(world.idents[chosen.ident])
    chosen._ended.role = f"end of thread {world.idents[chosen.ident].name!r}"
    return chosen


def make_handle() -> Any:
    """Return a handle of the thread about to be made, for `_thread._ThreadHandle` (3.13)."""
    world = here.world
    if world is None or world.kernel.current is None:
        return _real_thread_handle()
    return ThreadHandle()


_real_thread_handle: Any = getattr(_thread, "_ThreadHandle", None)


# --- SimpleQueue ----------------------------------------------------------------------------------


class SimpleQueue:
    """A simulated `queue.SimpleQueue`: unbounded, first in first out, re-entrant. Any thread.

    The standard library's Python version is not re-entrant: a finaliser that puts while a put goes
    on would wait for itself.
    """

    def __new__(cls) -> Any:
        """Make one, or a real one where there is no run."""
        return _real_simple_queue() if here.world is None else object.__new__(cls)

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        self._getters: list[Actor] = []
        self._number = next(LOCK_NUMBERS)

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Add `item`; never waits."""
        self._items.append(item)
        world = here.world
        if world is not None and world.kernel.current is not None and not world.stopping:
            world.kernel.change()
            self._log(world)
            if self._getters:
                world.kernel.wake_all(self._getters)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take the oldest item, waiting for one if `block`, at most `timeout` seconds.

        Raises:
            queue.Empty: there is none.
        """
        if timeout is not None and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        world = here.world
        if world is not None:
            self._log(world)
        if not self._items:
            if not block or (timeout is not None and timeout <= 0):
                raise queue.Empty
            if world is None or world.kernel.current is None:
                raise HarnessError(
                    "a queue made inside a run is empty and waited for after the run: "
                    "nobody can fill it."
                )
            self._wait(world, None if timeout is None else world.kernel.now_ns + to_ns(timeout))
        item = self._items.popleft()
        if world is not None and world.kernel.current is not None and not world.stopping:
            world.kernel.change()
            if self._getters and not self._items:
                world.kernel.suspend_all(self._getters)
            log_pending(world.kernel, self._number, self._getters)
        return item

    def _wait(self, world: World, deadline: int | None) -> None:
        current = world.kernel.current
        assert current is not None, "only a fiber waits"
        self._getters.append(current)
        current.key = -self._number
        current.writes = True
        try:
            while not self._items:
                fired = world.park(self, deadline)
                self._log(world)
                if fired and not self._items:
                    raise queue.Empty
        finally:
            self._getters.remove(current)

    def _log(self, world: World, mode: int = WRITE) -> None:
        current, log = world.kernel.current, world.kernel.log
        if log is not None and current is not None:
            log.append((current.turn, -self._number, mode, None))

    def put_nowait(self, item: Any) -> None:
        """Add `item`."""
        self.put(item)

    def get_nowait(self) -> Any:
        """Take the oldest item or raise `queue.Empty`."""
        return self.get(block=False)

    def empty(self) -> bool:
        """Tell whether there is no item."""
        return not self.qsize()

    def qsize(self) -> int:
        """Return the number of items."""
        if here.world is not None:
            self._log(here.world, READ)
        return len(self._items)

    __class_getitem__ = classmethod(lambda cls, _item: cls)


# --- thread-locals --------------------------------------------------------------------------------

_MISSING = object()


class Local:
    """A simulated `threading.local`: one namespace for each thread, also subclassed. Any thread."""

    __slots__ = ("__dict__", "__weakref__", "_arguments", "_stores")

    def __new__(cls, /, *args: object, **kwargs: object) -> Any:
        """Make one; the arguments are given to `__init__` again in each thread that looks."""
        if cls is Local and here.world is None:
            return _real_local()
        if (args or kwargs) and cls.__init__ is object.__init__:
            raise TypeError("Initialization arguments are not supported")
        self = object.__new__(cls)
        object.__setattr__(self, "_arguments", (args, kwargs))
        object.__setattr__(self, "_stores", {_key(): object.__getattribute__(self, "__dict__")})
        return self

    def __getattribute__(self, name: str) -> Any:
        _look_up(self)
        return object.__getattribute__(self, name)

    def __setattr__(self, name: str, value: object) -> None:
        if name == "__dict__":
            raise AttributeError(f"{_type_name(self)!r} object attribute '__dict__' is read-only")
        _look_up(self)
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        if name == "__dict__":
            raise AttributeError(f"{_type_name(self)!r} object attribute '__dict__' is read-only")
        _look_up(self)
        object.__delattr__(self, name)


def _type_name(local: Local) -> str:
    return "_thread._local" if type(local) is Local else type(local).__name__


def _key() -> object:
    world = here.world
    if world is not None and world.kernel.current is not None:
        return world.kernel.current
    # Not its ident: a thread that comes later may have the same.
    try:
        return _of_thread.key
    except AttributeError:
        key = _of_thread.key = object()
        return key


def _look_up(local: Local) -> None:
    stores = object.__getattribute__(local, "_stores")
    key = _key()
    store = stores.get(key, _MISSING)
    if store is _MISSING:
        store = stores[key] = {}
        object.__setattr__(local, "__dict__", store)
        cls = type(local)
        if cls.__init__ is not object.__init__:
            args, kwargs = object.__getattribute__(local, "_arguments")
            cls.__init__(local, *args, **kwargs)
    else:
        object.__setattr__(local, "__dict__", store)
