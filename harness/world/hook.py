"""What happens at a point: the one function whose calls are inserted into the code under test.

It is the hot path. It does not know where points are.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import inspect
import queue
import threading
import types
from collections import deque
from collections.abc import Iterator
from typing import Any, Final
from weakref import ReferenceType, ref

from harness.core.access import CONTAINERS, LOOP, NUMBERED, READ, UNSEEN, WRITE, Log

from .here import here
from .sites import IMMUTABLE_TYPES, MUTABLE_CONTAINERS, CodeSite
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

_known: dict[type, bool] = {}


def _make_room(answers: dict[Any, Any]) -> None:
    """Forget what is known about classes before a program that makes some in each run fills it."""
    if len(answers) >= _ROOM:
        answers.clear()


_ROOM: Final = 4_096


def is_synchronisation(cls: type) -> bool:
    """Tell whether calls on objects of `cls` are public synchronisation operations."""
    known = _known.get(cls)
    if known is None:
        _make_room(_known)
        known = _known[cls] = issubclass(cls, _SYNCHRONISATION) or bool(
            getattr(cls, "_harness_sync", False)
        )
    return known


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
        return
    # Looked up here first: this is done at each point.
    is_sync = _known.get(kind)
    if is_sync is None:
        is_sync = is_synchronisation(kind)
    if not site.shared and not is_sync:
        if kernel.log is not None:
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
            mode = _mode(kind, site.name)
            if mode is not None:
                key = getattr(subject, "_harness_key", 0) or _number(world, subject)
                log.append((current.turn, key, mode, site))
        else:
            _log_access(log, world, current.turn, subject, site)


def at_hand_over(thing: object, mode: int) -> None:
    """Note that a container is handed to code that has no points: it may be looked into there."""
    world = here.world
    if world is None:
        return
    kernel = world.kernel
    if kernel.log is None or not isinstance(thing, MUTABLE_CONTAINERS):
        return
    current = kernel.current
    if current is not None and not world.silenced and not world.stopping:
        kernel.log.append((current.turn, _number(world, thing), mode, _HANDED))


#: Where a container is handed on: no place by itself, so that nobody is held back before it.
_HANDED: Final = CodeSite("", "", 0, -1, "hand", "", writes=False, sync=False, shared=True)


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
    threading.Thread: {".is_alive()": READ},
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
        _make_room(_modes)
        _modes[kind, name] = mode
        return mode


def _log_access(log: Log, world: Any, turn: Any, subject: object, site: Any) -> None:
    """Note an access to data, with what lies behind a view or an iterator."""
    log.append((turn, _number(world, subject) + site.part, site.mode, site))
    if site.part:
        if site.mode == READ and _is_worked_out(type(subject), site.name):
            log.append((turn, 0, UNSEEN, site))
        return
    if site.name in _SEVERAL:
        log.append((turn, CONTAINERS, WRITE, site))
    elif site.writes:
        log.append((turn, CONTAINERS, READ, site))
    kind = type(subject)
    if kind in _LENSES or kind.__module__ == "itertools":
        # It lives so shortly that another one would get its address.
        world.kept.append(subject)
        for container in _behind(subject, 3):
            log.append((turn, _number(world, container), READ, site))


_worked_out: dict[tuple[type, str], bool] = {}


def _is_worked_out(kind: type, name: str) -> bool:
    """Tell whether to read an attribute is to run code of a library, which may keep what it finds.

    `functools.cached_property` does, and its data are not seen.
    """
    try:
        return _worked_out[kind, name]
    except KeyError:
        found = inspect.getattr_static(kind, name.removeprefix("."), None)
        answer = hasattr(type(found), "__get__") and not isinstance(found, _PLAIN_DESCRIPTORS)
        _make_room(_worked_out)
        _worked_out[kind, name] = answer
        return answer


#: They hand out what they have, or run code that has points of its own.
_PLAIN_DESCRIPTORS: Final = (
    classmethod,
    property,
    staticmethod,
    types.ClassMethodDescriptorType,
    types.FunctionType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
)


def _behind(lens: object, depth: int) -> Iterator[object]:
    """Yield the containers that a view or an iterator looks at."""
    for held in gc.get_referents(lens):
        if isinstance(held, MUTABLE_CONTAINERS):
            yield held
        elif depth and (type(held) in _LENSES or type(held).__module__ == "itertools"):
            yield from _behind(held, depth - 1)


_DICT: Final[dict[object, object]] = {}
_LENSES: Final = frozenset(
    map(
        type,
        (
            *(iter([]), reversed([]), iter(bytearray()), iter(set()), iter(deque())),
            *(_DICT.keys(), _DICT.values(), _DICT.items(), reversed(deque())),
            *(iter(_DICT), iter(_DICT.values()), iter(_DICT.items())),
            *(reversed(_DICT), reversed(_DICT.values()), reversed(_DICT.items())),
            *(enumerate([]), zip(), map(id, []), filter(None, [])),
        ),
    )
)

# Operations that use other containers, too, which nobody hands to the hook.
_SEVERAL: Final = frozenset(
    """
    .extend() .extendleft() .update() .difference_update() .intersection_update()
    .symmetric_difference_update() .union() .intersection() .difference() .symmetric_difference()
    .isdisjoint() .issubset() .issuperset() .subtract() .join() == add or and sub xor mul ior
    """.split()
)


def _show(world: Any, current: Any, subject: object, kind: type, site: Any) -> None:
    """Let the tape see what the current actor is about to do."""
    current.site = site
    if site.sync and is_synchronisation(kind):
        current.key = _key(world, subject)
        current.writes = _mode(kind, site.name) != READ
    else:
        current.key = _number(world, subject) + site.part
        current.writes = site.writes


def _number(world: Any, subject: object) -> int:
    """Return what a log calls an object: its address, and another number if it is a later one.

    Two objects that live one after the other may have one address, in one process and not in the
    next. Only of lists and dicts can that not be told: they would have to be kept alive.
    """
    address = id(subject)
    found = world.numbers.get(address)
    if found is None:
        number = address
    else:
        number, reference = found
        if type(reference) is ReferenceType:
            if reference() is subject:
                return int(number)
        elif reference is type(subject):
            return int(number)
        # The last four bits of an address are zeros.
        number = number + 1 if number & 15 < 15 else address
    try:
        world.numbers[address] = number, ref(subject)
    except TypeError:
        world.numbers[address] = number, type(subject)
    return int(number)


def _key(world: Any, subject: Any) -> int:
    """Return what a log calls the lock behind an object of `threading` or `queue`."""
    if isinstance(subject, Lock):
        return -subject.number
    for name in ("_lock", "_cond", "mutex", "_condition"):
        inner = getattr(subject, name, None)
        if isinstance(inner, (Lock, threading.Condition)):
            return _key(world, inner)
    number = getattr(subject, "_number", None)
    return -number if isinstance(number, int) else _number(world, subject)


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
    if isinstance(subject, asyncio.Future):
        mode = READ if site.name in _LOOKS or site.operation == "await" else WRITE
        log.append((current.turn, NUMBERED + hash(subject), mode, site))
    log.append((current.turn, LOOP, WRITE, site))


_sleep_code: Final = asyncio.sleep.__code__
