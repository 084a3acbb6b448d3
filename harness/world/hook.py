"""What happens at a point: the one function whose calls are inserted into the code under test.

It is the hot path. It does not know where points are.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import types
from typing import Any, Final

from harness.core.access import LOOP, NUMBERED, OUTSIDE, PENDING, READ, UNSEEN, WRITE, Log

from .here import here
from .reach import KNOWN, is_hidden, is_outside, is_synchronisation, lock_behind, make_room
from .sites import IMMUTABLE_TYPES
from .tasks import real_future
from .threads import Lock, is_plumbing
from .touched import log_access, log_in_passing, number_of


def at_point(subject: object, site: Any) -> None:
    """Let another thread go on before the access `site` to `subject`, if the tape says so."""
    world = here.world
    if world is None:
        return
    kernel = world.kernel
    current = kernel.current
    if current is None or world.silenced or world.stopping:
        return
    current.points += 1
    kind = type(subject)
    if kind in IMMUTABLE_TYPES:
        if kernel.log is not None:
            log_in_passing(kernel.log, world, current.turn, subject, site)
        return
    # Looked up here first: this is done at each point.
    is_sync = KNOWN.get(kind)
    if is_sync is None:
        is_sync = is_synchronisation(kind)
    if not site.shared and not is_sync:
        if kernel.log is not None:
            if is_hidden(kind):
                number = number_of(world, subject)
                kernel.log.append((current.turn, number, WRITE, site))
            _log_asynchronous(kernel.log, current, subject, site)
        return
    if site.writes and not (is_sync and _only_takes(kind, site.name)):
        # As `Kernel.change`.
        kernel.changed = kernel.steps
        kernel.advances = 0
    if world.history is not None:
        place = f"{site.file}:{site.line}"
        name = f"{site.operation} {site.name}"
        world.note("point", name, where=place, site=site, subject=subject)
    door = _door(subject, world, current) if site.blocks and is_sync else None
    if door is not _CLOSED:
        if kernel.pick is not None:
            _show(world, current, subject, kind, site)
        target = kernel.decide()
        if target is not current:
            if door is None:
                world.switch(target)
            else:
                _stand_at(door, current, world, target)
    log = kernel.log
    if log is not None:
        if is_sync and site.sync:
            if site.name in _LOOKS_AT_AN_END and issubclass(kind, _ENDING):
                log.append((current.turn, 0, UNSEEN, site))
            mode = _mode(kind, site.name)
            if mode is not None:
                life = getattr(subject, "_harness_key", 0)
                if life and site.name == ".join()":
                    # It is no step to wait for its end, but might have come before its start.
                    mode = PENDING
                log.append((current.turn, number_of(world, subject), mode, site))
                if life and site.name == ".is_alive()":
                    log.append((current.turn, life, mode, site))
        else:
            log_access(log, world, current.turn, subject, site)


def at_end(leave: object, site: Any) -> None:
    """Let another thread go on before a `with` gives its lock back, if the tape says so."""
    world = here.world
    if world is None:
        return
    subject = leave.__self__ if isinstance(leave, _BOUND) else None
    kernel = world.kernel
    if kernel.log is not None and is_outside(type(subject)) and kernel.current is not None:
        # What was written is out now.
        kernel.log.append((kernel.current.turn, OUTSIDE, WRITE, site))
    lock = lock_behind(subject) if is_synchronisation(type(subject)) else None
    if lock is not None and getattr(lock, "count", 1) == 1:
        at_point(subject, site)


_BOUND: Final = (types.BuiltinMethodType, types.MethodType)


def _only_takes(kind: type, name: str) -> bool:
    """Tell whether an operation takes a lock or gives it back, which by itself changes nothing.

    Whoever spins may well take a lock each time.
    """
    return name in _TAKES and not issubclass(kind, threading.Semaphore)


_TAKES: Final = frozenset({"with", ".acquire()", ".release()"})

#: What must wait is no point: that others run before the wait or in it makes no difference.
_CLOSED: Final = object()

# What of synchronisation is not told by the locks beneath it: a flag that is read without one, and
# the list of those who wait for a condition, which a subclass may change without one.
_BARE: Final = {
    threading.Event: {".is_set()": READ, ".wait()": READ, ".set()": WRITE, ".clear()": WRITE},
    threading.Thread: {".start()": WRITE, ".join()": READ, ".is_alive()": READ},
    threading.Condition: dict.fromkeys(
        (".wait()", ".wait_for()", ".notify()", ".notify_all()"), WRITE
    ),
}
_LOOKS: Final = frozenset(
    """
    .cancelled() .cancelling() .done() .empty() .exception() .full() .get_name() .is_set() .locked()
    .qsize() .result()
    """.split()
)
_modes: dict[tuple[type, str], int | None] = {}

# A thread ends, and an executor says that a job is done, in the step of the last point before: that
# it is not said yet although all was done is possible, and never seen.
_LOOKS_AT_AN_END: Final = frozenset({".done()", ".is_alive()", ".running()"})
_ENDING: Final = (threading.Thread, concurrent.futures.Future)


def _mode(kind: type, name: str) -> int | None:
    """Return how an operation counts for what depends on it, None if its locks tell."""
    try:
        return _modes[kind, name]
    except KeyError:
        if getattr(kind, "_harness_sync", False):
            # Its locks tell, unless it can be looked at without one.
            looked_at = any(hasattr(kind, look.strip(".()")) for look in _LOOKS)
            mode: int | None = READ if name in _LOOKS else WRITE if looked_at else None
        else:
            found = (modes.get(name) for base, modes in _BARE.items() if issubclass(kind, base))
            mode = next(found, None)
        make_room(_modes)
        _modes[kind, name] = mode
        return mode


def _show(world: Any, current: Any, subject: object, kind: type, site: Any) -> None:
    """Let the tape see what the current actor is about to do."""
    current.site = site
    if site.sync and is_synchronisation(kind):
        current.key = _key(world, subject)
        current.writes = _mode(kind, site.name) != READ
    else:
        current.key = number_of(world, subject) + site.part
        current.writes = site.writes


def _key(world: Any, subject: Any) -> int:
    """Return what a log calls the lock behind an object of `threading` or `queue`."""
    lock = lock_behind(subject)
    if lock is not None:
        return -lock.number
    number = getattr(subject, "_number", None)
    return -number if isinstance(number, int) else number_of(world, subject)


def _door(subject: object, world: Any, current: Any) -> Any:
    """Return the lock that an operation is about to take, `_CLOSED` if it has to wait."""
    if isinstance(subject, threading.Condition):
        subject = getattr(subject, "_lock", None)
    if isinstance(subject, Lock):
        owner = subject.owner
        if owner is None:
            return subject
        return None if owner is current else _CLOSED
    if isinstance(subject, threading.Thread):
        awaited = world.idents.get(subject.ident)
        return None if awaited is None or awaited is current else _CLOSED
    return None


def _stand_at(lock: Lock, current: Any, world: Any, target: Any) -> None:
    """Let `target` run while `current` stands before a free lock: if it is taken, it must wait."""
    current.awaits = lock
    current.key = -lock.number
    current.writes = True
    lock.waiters.append(current)
    try:
        world.switch(target)
    finally:
        lock.waiters.remove(current)
        current.awaits = None


def _log_asynchronous(log: Log, current: Any, subject: object, site: Any) -> None:
    """Note that a task uses what belongs to its loop: which of its objects, nobody can tell."""
    if isinstance(subject, types.CoroutineType):
        code = subject.cr_code
        if code is _sleep_code or not is_plumbing(code.co_filename):
            return
    # A task is one as well, which the `asyncio.Future` of a run does not tell.
    if isinstance(subject, real_future):
        mode = READ if site.name in _LOOKS or site.operation == "await" else WRITE
        log.append((current.turn, NUMBERED + hash(subject), mode, site))
    log.append((current.turn, LOOP, WRITE, site))


_sleep_code: Final = asyncio.sleep.__code__
