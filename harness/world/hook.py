"""What happens at a point: the one function whose calls are inserted into the code under test.

It is the hot path. It does not know where points are.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import gc
import inspect
import itertools
import queue
import threading
import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from sys import getrefcount
from typing import Any, Final
from weakref import ReferenceType, ref

from harness.core.access import CONTAINERS, LOOP, NUMBERED, READ, UNSEEN, WRITE, Log

from .here import here
from .sites import (
    IMMUTABLE_TYPES,
    LOOKING,
    MUTABLE_CONTAINERS,
    ORIGINS,
    CodeSite,
    Handing,
    part_of,
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
        if kind is tuple and site.looks and kernel.log is not None and site.name in _LOOKING_INTO:
            _look_at(kernel.log, world, current.turn, subject, _LOOKING_INTO[site.name])
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


def at_hand_over(thing: object, handing: Handing) -> None:
    """Note what is handed to code that has no points: it may be looked into there."""
    kind = type(thing)
    # Before all else: this is most of what is handed on.
    if kind in _opaque and (handing.objects != "all" or kind in _ATOMS):
        return
    world = here.world
    if world is None:
        return
    kernel = world.kernel
    log, current = kernel.log, kernel.current
    if log is None or current is None or world.silenced or world.stopping:
        return
    if handing.objects == "named":
        _log_named(log, world, current.turn, thing, handing.mode)
    else:
        _look_at(log, world, current.turn, thing, handing)


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


def _log_access(log: Log, world: Any, turn: Any, subject: Any, site: Any) -> None:
    """Note an access to data, with what lies behind a view or an iterator."""
    log.append((turn, _number(world, subject) + site.part, site.mode, site))
    kind = type(subject)
    if site.part:
        if site.mode == READ:
            if site.origins.get(kind, _NOT_YET) is not None:
                _log_origin(log, world, turn, subject, site)
        elif kind is types.ModuleType:
            _log_named(log, world, turn, (subject, site.name[1:]), WRITE)
        elif issubclass(kind, type):
            _forget_origins()
        return
    if site.name in _SEVERAL:
        log.append((turn, CONTAINERS, WRITE, site))
    elif site.writes:
        log.append((turn, CONTAINERS, READ, site))
    if kind is dict and -id(subject) in world.numbers:
        owner = world.numbers[-id(subject)][1]()
        if owner is not None:
            _log_attributes(log, world, turn, owner, site.mode)
    if site.looks:
        if site.name == "vars()":
            _bare(log, world, turn, subject)
        elif kind not in _BY_KEY or site.name in _BY_VALUE:
            _look_at(log, world, turn, subject, _LOOKING_INTO[site.name])
    if kind in _LENSES or kind.__module__ == "itertools":
        # It lives so shortly that another one would get its address.
        world.kept.append(subject)
        for container in _behind(subject, 3):
            log.append((turn, _number(world, container), READ, site))
            if kind in _WORKING:
                _look_at(log, world, turn, container, _INSIDE)
    elif kind is types.GeneratorType and is_plumbing(subject.gi_code.co_filename):
        _look_at(log, world, turn, subject, _OF_A_LIBRARY)


def _log_origin(log: Log, world: Any, turn: Any, subject: Any, site: Any) -> None:
    """Note where an attribute that is read comes from, if the object itself may not have it."""
    kind, name = type(subject), site.name[1:]
    origin = site.origins.get(kind, _NOT_YET)
    if origin is _NOT_YET:
        _make_room(site.origins)
        if site.namespace is not None:
            origin = None
        elif kind is types.ModuleType or issubclass(kind, type):
            origin = _IN_ITSELF
        else:
            origin = _origin(kind, name)
        site.origins[kind] = origin
    if origin is _IN_ITSELF:
        if kind is types.ModuleType:
            _log_named(log, world, turn, (subject, name), READ)
            return
        origin = _origin(subject, name)
    if origin is _WORKED_OUT:
        log.append((turn, 0, UNSEEN, site))
    elif origin is _BARED:
        _bare(log, world, turn, subject)
    elif origin is not None and name not in _dict_of(subject):
        log.append((turn, _number(world, origin) + site.part, READ, _HANDED))


def _origin(holder: type, name: str) -> object:
    """Return the class that has an attribute as data, or what else is to be known of it.

    It is worked out if to read it is to run code of a library, which may keep what it finds:
    `functools.cached_property` does, and its data are not seen.
    """
    if name == "__dict__":
        return _BARED
    found = inspect.getattr_static(holder, name, None)
    if hasattr(type(found), "__get__"):
        return None if isinstance(found, _PLAIN_DESCRIPTORS) else _WORKED_OUT
    return next((base for base in holder.__mro__ if name in vars(base)), None)


def _forget_origins() -> None:
    """Forget which class has what: one of them is changed."""
    for origins in ORIGINS.values():
        origins.clear()


_NOT_YET: Final = object()
_WORKED_OUT: Final = object()
_BARED: Final = object()
#: It is a class or a module: what is known of one says nothing about the next.
_IN_ITSELF: Final = object()


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
    .isdisjoint() .issubset() .issuperset() .subtract() .join() == add or and subtract xor multiply
    """.split()
)

# Iterators that give what they meet to a function, or go through it.
_WORKING: Final = frozenset(
    {map, filter, itertools.accumulate, itertools.chain, itertools.groupby, itertools.starmap}
)

_INSIDE: Final = Handing(READ, itself=False, objects="generated")
# Operations that read not only a container, but what lies in it, which nobody hands to the hook:
# they compare, add or copy it. And those that read an object whole.
_LOOKING_INTO: Final[dict[str, Handing]] = {
    **dict.fromkeys(LOOKING, _INSIDE),
    "copy()": Handing(READ, itself=False, inside=False, objects="all"),
    "deepcopy()": Handing(READ, itself=False, objects="all"),
}
# Who goes through these sees their keys, or values of which none is like another; but for those.
_BY_KEY: Final = frozenset(
    {
        dict,
        defaultdict,
        Counter,
        OrderedDict,
        *map(type, (_DICT.keys(), _DICT.items(), iter(_DICT))),
    }
)
_BY_VALUE: Final = frozenset({"==", "copy()", "deepcopy()"})
_OF_A_LIBRARY: Final = Handing(READ, itself=False, is_private=True)

#: What is handed on is looked through until so many things were met.
HANDED_MAX: Final = 256


def _bare(log: Log, world: Any, turn: Any, subject: Any) -> None:
    """Note that somebody gets the dict of an object's attributes, and whose it is.

    It stands below its negative address.
    """
    _log_attributes(log, world, turn, subject, READ)
    with suppress(TypeError):
        world.numbers[-id(_dict_of(subject))] = 0, ref(subject)


def _log_attributes(log: Log, world: Any, turn: Any, subject: object, mode: int) -> list[object]:
    """Note that all attributes of an object are touched, and return their values."""
    attributes = list(_attributes(subject))
    if attributes:
        number = _number(world, subject)
        for name, _ in attributes:
            log.append((turn, number + part_of("." + name), mode, _HANDED))
    return [value for _, value in attributes]


def _log_named(log: Log, world: Any, turn: Any, pair: Any, mode: int) -> None:
    """Note an attribute that is used by its name; one of a module is a global of it as well."""
    subject, name = pair
    if mode != READ and issubclass(type(subject), type):
        _forget_origins()
    if isinstance(name, str):
        log.append((turn, _number(world, subject) + part_of("." + name), mode, _HANDED))
        if type(subject) is types.ModuleType:
            key = _number(world, vars(subject)) + part_of("global " + name)
            log.append((turn, key, mode, _HANDED))


def _look_at(log: Log, world: Any, turn: Any, thing: Any, handing: Handing) -> None:
    """Note the containers in a thing, and the attributes of its objects if they count.

    What is private, and what nobody else holds but such, does not count. If there is too much, all
    containers do; if there are objects among it, too, no log tells which.
    """
    mode, objects = handing.mode, handing.objects
    if handing.itself and issubclass(type(thing), MUTABLE_CONTAINERS):
        _log_handed(log, world, turn, thing, mode)
    atoms = _ATOMS if objects == "all" else _opaque
    if objects == "none" and (not handing.inside or atoms.issuperset(map(type, _held_by(thing)))):
        return
    held, is_private, goes_on = thing, handing.is_private, handing.inside
    met = {id(thing)}
    todo: list[tuple[Any, bool]] = []
    has_objects = False
    while True:
        if goes_on:
            found = [each for each in _held_by(held) if type(each) not in atoms]
            todo.extend((each, is_private) for each in reversed(found))
            del found
        if not is_private and _is_open(type(held), objects):
            values = _log_attributes(log, world, turn, held, READ)
            has_objects = True
            if goes_on:
                todo.extend((value, False) for value in values if type(value) not in atoms)
            del values
        if not todo:
            return
        held, is_private = todo.pop()
        while id(held) in met:
            if not todo:
                return
            held, is_private = todo.pop()
        if len(met) >= HANDED_MAX:
            log.append((turn, CONTAINERS, WRITE, _HANDED))
            if has_objects or any(_is_open(type(each), objects) for each, _ in todo):
                log.append((turn, 0, UNSEEN, _HANDED))
            return
        met.add(id(held))
        is_private = is_private and getrefcount(held) == _ALONE
        goes_on = True
        if not is_private and issubclass(type(held), MUTABLE_CONTAINERS):
            _log_handed(log, world, turn, held, mode)


def _is_open(kind: type, objects: str) -> bool:
    """Tell whether the attributes of the objects of a class count."""
    if objects == "all":
        return bool(kind.__flags__ & _WRITTEN_IN_PYTHON)
    return objects == "generated" and _is_generated(kind)


def _log_handed(log: Log, world: Any, turn: Any, thing: object, mode: int) -> None:
    log.append((turn, _number(world, thing), mode, _HANDED))
    if mode == WRITE:
        # As whoever changes one at a point.
        log.append((turn, CONTAINERS, READ, _HANDED))


def _held_by(thing: Any) -> Iterable[object]:
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
    if kind in _LENSES or kind in _SEEN_THROUGH or kind.__module__ == "itertools":
        return gc.get_referents(thing)
    if kind is types.BuiltinFunctionType or kind is types.MethodWrapperType:
        return (thing.__self__,)
    if kind is types.GeneratorType:
        return gc.get_referents(thing) if is_plumbing(thing.gi_code.co_filename) else ()
    if not issubclass(kind, MUTABLE_CONTAINERS) and not _is_generated(kind):
        if len(_opaque) > _ROOM:
            _opaque.intersection_update(_ATOMS)
        _opaque.add(kind)
    return ()


_WALKS: Final[dict[type, Callable[[Any], Iterable[object]]]] = {
    dict: dict.values,
    list: iter,
    tuple: iter,
    deque: iter,
}
#: Nothing is held by them.
_ATOMS: Final = IMMUTABLE_TYPES - {tuple, types.BuiltinFunctionType}
#: With classes of which there is nothing to look at, unless all their attributes count.
_opaque: set[type] = set(_ATOMS)
_SEEN_THROUGH: Final = frozenset({functools.partial, memoryview, types.MappingProxyType})


def _attributes(thing: Any) -> Iterator[tuple[str, object]]:
    """Yield what an instance of a class written in Python has, without running any code for it."""
    kind = type(thing)
    if (
        not kind.__flags__ & _WRITTEN_IN_PYTHON
        or issubclass(kind, type)
        or is_synchronisation(kind)
    ):
        return
    for base in kind.__mro__:
        for name, descriptor in vars(base).items():
            if type(descriptor) is types.MemberDescriptorType:
                with suppress(AttributeError):
                    yield name, descriptor.__get__(thing)
    yield from _dict_of(thing).items()


def _dict_of(thing: Any) -> Mapping[str, object]:
    """Return what an instance has in its dict, without running code of its class for that."""
    kind = type(thing)
    try:
        descriptor = _dicts[kind]
    except KeyError:
        dicts = (vars(base)["__dict__"] for base in kind.__mro__ if "__dict__" in vars(base))
        found = next(dicts, None)
        _make_room(_dicts)
        descriptor = _dicts[kind] = found if type(found) is types.GetSetDescriptorType else None
    return _NO_DICT if descriptor is None else descriptor.__get__(thing)


_dicts: dict[type, Any] = {}
_NO_DICT: Final[Mapping[str, object]] = types.MappingProxyType({})

_WRITTEN_IN_PYTHON: Final = 1 << 9  # Py_TPFLAGS_HEAPTYPE

_generated: dict[type, bool] = {}


def _is_generated(kind: type) -> bool:
    """Tell whether `dataclass` has written the methods by which an object is shown or compared."""
    known = _generated.get(kind)
    if known is None:
        methods = [getattr(kind, name, None) for name in ("__eq__", "__repr__")]
        files = [
            each.__code__.co_filename for each in methods if isinstance(each, types.FunctionType)
        ]
        _make_room(_generated)
        known = _generated[kind] = hasattr(kind, "__dataclass_fields__") and any(
            file.startswith("<") or is_plumbing(file) for file in files
        )
    return known


def _references_of_the_only_holder() -> int:
    """Return how many references `_look_at` sees to what only one container holds."""
    holder: list[object] = [[]]
    todo = [(each, True) for each in holder]
    held, _ = todo.pop()
    return getrefcount(held)


_ALONE: Final = _references_of_the_only_holder()


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
