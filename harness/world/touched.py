"""What a log is told of an access: what is touched, what it lies in or comes from, and how.

Where a container is handed to code that has no points, what it may be looked into is told as well.
It decides nothing, and nobody else runs meanwhile.
"""

from __future__ import annotations

import gc
import inspect
import itertools
import threading
import types
from abc import ABCMeta
from collections import Counter, OrderedDict, defaultdict
from dataclasses import replace
from functools import lru_cache
from operator import attrgetter
from sys import getrefcount
from typing import Any, Final
from weakref import ReferenceType, ref

from harness.core.access import CONTAINERS, OUTSIDE, READ, UNSEEN, WRITE, Log

from .called import (
    Calling,
    is_of_asyncio,
    may_apply_unseen,
    may_be_held_back,
    may_run_unseen,
    tells_itself,
    use_of,
)
from .here import here
from .reach import (
    ATOMS,
    EMPTY,
    LENSES,
    OPAQUE,
    VIEWS,
    attributes_of,
    behind,
    dict_of,
    has_attributes,
    held_by,
    is_container,
    is_generated,
    is_hidden,
    is_iterator,
    is_outside,
    is_synchronisation,
    keeps,
    kept_by,
    lock_behind,
    make_room,
    memory_of,
)
from .sites import LOOKING, ORIGINS, OVER_IMMUTABLES, CodeSite, Handing
from .threads import is_plumbing


def at_hand_over(thing: object, handing: Handing) -> None:
    """Note what is handed to code that has no points: it may be looked into there."""
    kind = type(thing)
    # Before all else: this is most of what is handed on.
    if kind in OPAQUE and (handing.objects != "all" or kind in ATOMS):
        return
    world = here.world
    if world is None:
        return
    kernel = world.kernel
    log, current = kernel.log, kernel.current
    if log is None or current is None or world.silenced or world.stopping:
        return
    if handing.objects == "called":
        _log_called(log, world, current.turn, thing, handing.calling)
    elif handing.objects == "named":
        _log_named(log, world, current.turn, thing, handing.mode)
    elif handing.objects == "kin":
        if _has_kin(thing):
            log.append((current.turn, 0, UNSEEN, _HANDED))
    elif handing.objects == "outside":
        log.append((current.turn, OUTSIDE, WRITE, _HANDED))
    elif handing.objects == "unseen" or (handing.objects == "applied" and may_apply_unseen(thing)):
        log.append((current.turn, 0, UNSEEN, _HANDED))
    elif handing.objects == "applied":
        return
    else:
        look_at(log, world, current.turn, thing, handing)


def _has_kin(alone: Any) -> bool:
    """Say whether what a method `register` belongs to is told whose class is whose."""
    [subject] = alone
    if type(subject) is types.FunctionType:
        return "registry" in vars(subject)
    return issubclass(type(subject), ABCMeta)


def log_callback(world: Any, turn: Any, callback: Any, arguments: Any) -> None:
    """Note what a callback uses that has a turn of a loop for itself, if it has no points.

    What of `asyncio` calls itself uses only what belongs to the loop.
    """
    if not is_of_asyncio(callback):
        _log_called(world.kernel.log, world, turn, (callback, *arguments), Calling(world.tells))


def _log_called(log: Log, world: Any, turn: Any, parts: Any, calling: Calling) -> None:
    """Note what a call uses whose callee is known only now."""
    if calling.is_carried:
        if may_run_unseen(parts, calling):
            log.append((turn, 0, UNSEEN, _HANDED))
        return
    if calling.method and tells_itself(parts[0], calling):
        return
    use = use_of(parts, calling)
    if use.is_outside:
        log.append((turn, OUTSIDE, WRITE, _HANDED))
    if use.is_unseen:
        log.append((turn, 0, UNSEEN, _HANDED))
    if use.named is not None:
        *pair, mode = use.named
        _log_named(log, world, turn, pair, mode)
    private = [id(parts[1 + place]) for place in calling.private] if use.things else []
    for thing, handing in use.things:
        kind = type(thing)
        if kind in OPAQUE and (handing.objects != "all" or kind in ATOMS):
            continue
        if id(thing) not in private:
            look_at(log, world, turn, thing, handing)
        elif handing.inside:
            look_at(log, world, turn, thing, _inside_alone(handing))


#: Where a container is handed on: no place by itself, so that nobody is held back before it.
_HANDED: Final = CodeSite("", "", 0, -1, "hand", "", writes=False, sync=False, shared=True)


@lru_cache(maxsize=64)
def _inside_alone(handing: Handing) -> Handing:
    """Return how what lies in a thing is used that was made on the spot, and nobody else has."""
    return replace(handing, itself=False, is_private=True)


@lru_cache(maxsize=4_096)
def _handed_as(name: str) -> CodeSite:
    """Return what stands for the place where the part `name` of an object is handed on."""
    site = replace(_HANDED, name=name)
    object.__setattr__(site, "called", _HANDED.called)
    return site


def log_access(log: Log, world: Any, turn: Any, subject: Any, site: Any) -> None:
    """Note an access to data, with what lies behind a view or an iterator."""
    kind = type(subject)
    if site.origins.get(kind) is _PLAIN:
        # Most accesses: what follows has nothing to add. The number is written out, too.
        found = world.numbers.get(id(subject))
        if found is not None and type(found[1]) is ReferenceType and found[1]() is subject:
            log.append((turn, found[0] + site.part, site.mode, site))
        else:
            log.append((turn, number_of(world, subject) + site.part, site.mode, site))
        return
    if (kind is list or kind is dict) and not site.part and not site.looks:
        # Most of the others, in short.
        found = world.numbers.get(id(subject))
        number = found[0] if found is not None and found[1] is kind else number_of(world, subject)
        log.append((turn, number, site.mode, site))
        _log_container(log, world, turn, subject, site)
        return
    if kind is memoryview:
        subject = memory_of(subject)
    if is_iterator(kind) and not site.part:
        _log_iterator(log, world, turn, subject, site)
    else:
        mode = site.mode
        if mode == READ and site.name in _FINDING and issubclass(kind, defaultdict):
            mode = _log_making(log, world, turn, subject, site)
        log.append((turn, number_of(world, subject) + site.part, mode, site))
    if not site.part and is_outside(kind):
        log.append((turn, OUTSIDE, WRITE, _HANDED))
    if site.part:
        if is_hidden(kind):
            log.append((turn, number_of(world, subject), site.mode, _HANDED))
        elif site.name in _OF_LOCKS and is_synchronisation(kind):
            _log_state(log, world, turn, subject, site)
        elif site.writes and site.name in _KINSHIP:
            log.append((turn, 0, UNSEEN, site))
        if site.mode == READ:
            if site.origins.get(kind, _NOT_YET) is not None:
                _log_origin(log, world, turn, subject, site)
        elif kind is types.ModuleType:
            _log_named(log, world, turn, (subject, site.name[1:]), WRITE)
        elif issubclass(kind, type):
            _log_class_change(log, turn, subject, site.name[1:])
        elif kind in _CALLED and site.name in _OF_CALLED:
            log.append((turn, 0, UNSEEN, site))
        return
    _log_container(log, world, turn, subject, site)
    if keeps(kind):
        _log_kept(log, world, turn, subject, site.mode)
    if site.looks:
        if site.name == "vars()":
            _bare(log, world, turn, subject)
        elif kind not in _BY_KEY or site.name in _BY_VALUE:
            look_at(log, world, turn, subject, LOOKING_INTO[site.name])
    if kind in LENSES or kind.__module__ == "itertools":
        # It lives so shortly that another one would get its address.
        world.kept.append(subject)
        for held, mode in behind(subject, 3):
            _log_behind(log, world, turn, held, mode)
            if kind in _WORKING:
                look_at(log, world, turn, held, _INSIDE)
    elif kind is types.GeneratorType and is_plumbing(subject.gi_code.co_filename):
        look_at(log, world, turn, subject, _OF_A_LIBRARY)


def _log_container(log: Log, world: Any, turn: Any, subject: Any, site: Any) -> None:
    """Note what else an access to what a container holds is an access to."""
    if site.name in _SEVERAL:
        log.append((turn, CONTAINERS, WRITE, site))
    elif site.writes:
        log.append((turn, CONTAINERS, READ, site))
    if type(subject) is dict and -id(subject) in world.numbers:
        _log_owner(log, world, turn, subject, site.mode)


def _log_class_change(log: Log, turn: Any, changed: type, name: str) -> None:
    """Note that a class gets another attribute.

    No log tells who calls a method that it has, nor who finds that nobody has such an attribute.
    """
    _forget_origins()
    found = inspect.getattr_static(changed, name, _NOT_YET)
    is_dunder = name.startswith("__") and name.endswith("__")
    if found is _NOT_YET or is_dunder or callable(found) or hasattr(type(found), "__get__"):
        log.append((turn, 0, UNSEEN, _HANDED))


#: What functions and cells have that no point tells of who calls or reads them.
_CALLED: Final = frozenset({types.FunctionType, types.CellType})
_OF_CALLED: Final = frozenset({".__code__", ".__defaults__", ".__kwdefaults__", ".cell_contents"})


def _log_making(log: Log, world: Any, turn: Any, subject: Any, site: Any) -> int:
    """Return how who looks for a key in a dict uses it that makes what is missing."""
    make = _factory_of(subject)
    if make is None:
        return READ
    if may_be_held_back(make, world.tells):
        # It may be held back before what it has made is stored.
        log.append((turn, 0, UNSEEN, site))
    return WRITE


_factory_of: Final = vars(defaultdict)["default_factory"].__get__
_FINDING: Final = frozenset({"[]", ".__getitem__()", "getitem()"})


def _log_state(log: Log, world: Any, turn: Any, subject: Any, site: Any) -> None:
    """Note that the state of a lock, queue or barrier is looked at without taking its lock.

    Of a thread it is whether it was started.
    """
    if issubclass(type(subject), threading.Thread):
        log.append((turn, number_of(world, subject), READ, site))
        return
    lock = lock_behind(subject)
    if lock is None or site.name == ".queue":
        log.append((turn, 0, UNSEEN, site))
    elif lock.number:
        log.append((turn, -lock.number, READ, site))


_OF_LOCKS: Final = frozenset(
    """
    ._count ._flag ._state ._value ._waiters .broken .ident .n_waiting .native_id .queue
    .unfinished_tasks
    """.split()
)
#: Who is whose class is in no log.
_KINSHIP: Final = frozenset({".__bases__", ".__class__"})


def _log_owner(log: Log, world: Any, turn: Any, bared: object, mode: int) -> None:
    """Note that a dict is used in which an object has its attributes."""
    owner = world.numbers[-id(bared)][1]()
    if owner is not None:
        _log_attributes(log, world, turn, owner, mode)


def _log_kept(log: Log, world: Any, turn: Any, subject: object, mode: int) -> None:
    """Note that what an object of a library keeps is used with it."""
    for held in kept_by(subject):
        if -id(held) in world.numbers:
            _log_owner(log, world, turn, held, mode)
        look_at(log, world, turn, held, Handing(mode, inside=False, hidden=True))


def log_in_passing(log: Log, world: Any, turn: Any, subject: Any, site: Any) -> None:
    """Note what is read in what never changes, or taken from an iterator over it."""
    kind = type(subject)
    if kind is tuple:
        if site.looks and site.name in LOOKING_INTO:
            look_at(log, world, turn, subject, LOOKING_INTO[site.name])
    # One that a loop has made for itself nobody else has.
    elif kind in OVER_IMMUTABLES and (site.name != "next" or _is_met(world, subject)):
        _log_iterator(log, world, turn, subject, _HANDED)


def _is_met(world: Any, iterator: object) -> bool:
    found = world.numbers.get(id(iterator))
    return found is not None and found[1] is type(iterator)


def _log_iterator(log: Log, world: Any, turn: Any, iterator: object, site: Any) -> None:
    """Note that something is taken from an iterator: nobody else gets that."""
    is_met = _is_met(world, iterator)
    log.append((turn, number_of(world, iterator), WRITE, site))
    if not is_met and _is_met(world, iterator):
        # It can be told from one that comes later only as long as it lives.
        world.kept.append(iterator)


def _log_behind(log: Log, world: Any, turn: Any, held: object, mode: int) -> None:
    if is_iterator(type(held)):
        _log_iterator(log, world, turn, held, _HANDED)
    else:
        _log_handed(log, world, turn, held, mode)


def _log_origin(log: Log, world: Any, turn: Any, subject: Any, site: Any) -> None:
    """Note where an attribute that is read comes from, if the object itself may not have it."""
    kind, name = type(subject), site.name[1:]
    origin = site.origins.get(kind, _NOT_YET)
    if origin is _NOT_YET:
        make_room(site.origins)
        if site.namespace is not None:
            origin = None
        elif kind is types.ModuleType or issubclass(kind, type):
            origin = _IN_ITSELF
        else:
            origin = _origin(kind, name)
        site.origins[kind] = _PLAIN if origin is None and _is_plain(kind, site.name) else origin
    if origin is _IN_ITSELF:
        if kind is types.ModuleType:
            _log_named(log, world, turn, (subject, name), READ)
            return
        origin = _origin(subject, name, itself=True)
    if origin is _WORKED_OUT:
        log.append((turn, 0, UNSEEN, site))
    elif origin is _BARED:
        _bare(log, world, turn, subject)
    elif origin is _OPENED:
        look_at(log, world, turn, subject, LOOKING_INTO["deepcopy()"])
    elif origin is not None and origin is not _PLAIN and name not in dict_of(subject):
        part = _handed_as(site.name)
        for base in origin:
            log.append((turn, number_of(world, base) + site.part, READ, part))


def _is_plain(kind: type, name: str) -> bool:
    """Tell whether nothing more is to be told of an attribute than that it is used."""
    is_state = name in _OF_LOCKS and is_synchronisation(kind)
    return not (is_hidden(kind) or is_state or name in _KINSHIP or kind is memoryview)


def _origin(holder: type, name: str, *, itself: bool = False) -> Any:
    """Return the classes that are asked for data in turn, or what else is to be known of it.

    The last of them has it. All are asked where `__getattr__` answers for what none has. Looked up
    is an attribute of an object of a class, or of the class itself.

    It is worked out if to read it is to run code of a library, which may keep what it finds:
    `functools.cached_property` does, and its data are not seen.
    """
    if name == "__dict__":
        return _BARED
    found = inspect.getattr_static(holder, name, None)
    if isinstance(found, property) and isinstance(found.fget, attrgetter):
        return _OPENED
    if hasattr(type(found), "__get__"):
        return None if isinstance(found, _PLAIN_DESCRIPTORS) else _WORKED_OUT
    asked: list[type] = list(holder.__mro__)
    if itself and type(holder) is not type:
        # What is looked up in a class, its own class may have.
        asked += inspect.getmro(type(holder))
    for place, base in enumerate(asked, 1):
        if name in vars(base):
            return tuple(asked[:place])
    answers = type(holder) if itself else holder
    has_answer = inspect.getattr_static(answers, "__getattr__", None) is not None
    return tuple(asked) if has_answer else None


def _forget_origins() -> None:
    """Forget which class has what: one of them is changed."""
    for origins in ORIGINS.values():
        origins.clear()


_NOT_YET: Final = object()
_PLAIN: Final = object()
_WORKED_OUT: Final = object()
_BARED: Final = object()
_OPENED: Final = object()
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
LOOKING_INTO: Final[dict[str, Handing]] = {
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
        *map(type, (EMPTY.keys(), EMPTY.items(), iter(EMPTY))),
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
    own: object = dict_of(subject)
    if issubclass(type(subject), type):
        [own] = gc.get_referents(vars(subject))
        world.kept.append(subject)
    try:
        world.numbers[-id(own)] = 0, ref(subject)
    except TypeError:
        # A namespace: nobody could tell whether it still lives, unless it does.
        world.kept.append(subject)
        world.numbers[-id(own)] = 0, lambda: subject


def _log_attributes(log: Log, world: Any, turn: Any, subject: object, mode: int) -> list[object]:
    """Note that all attributes of an object are touched, and return their values."""
    if issubclass(type(subject), type):
        attributes: list[tuple[str, object]] = [(name, None) for name in vars(subject)]
    else:
        attributes = list(attributes_of(subject))
    if attributes:
        number = number_of(world, subject)
        for name, _ in attributes:
            part = _handed_as("." + name)
            log.append((turn, number + part.part, mode, part))
    return [value for _, value in attributes]


def _log_named(log: Log, world: Any, turn: Any, pair: Any, mode: int) -> None:
    """Note an attribute that is used by its name, or so many by their places in a pattern.

    One of a module is a global of it as well.
    """
    subject, name = pair
    if mode != READ and issubclass(type(subject), type):
        _log_class_change(log, turn, subject, str(name))
    if isinstance(name, int):
        for each in inspect.getattr_static(type(subject), "__match_args__", ())[:name]:
            _log_named(log, world, turn, (subject, each), READ)
    if isinstance(name, str):
        part = _handed_as("." + name)
        if mode != READ and part.name in _KINSHIP:
            log.append((turn, 0, UNSEEN, part))
        log.append((turn, number_of(world, subject) + part.part, mode, part))
        if mode == READ:
            _log_bases(log, world, turn, subject, part)
        if type(subject) is types.ModuleType:
            part = _handed_as("global " + name)
            log.append((turn, number_of(world, vars(subject)) + part.part, mode, part))


def _log_bases(log: Log, world: Any, turn: Any, subject: Any, part: CodeSite) -> None:
    holder = subject if issubclass(type(subject), type) else type(subject)
    for base in holder.__mro__[:-1]:
        log.append((turn, number_of(world, base) + part.part, READ, part))
        if part.name[1:] in vars(base):
            return


def look_at(log: Log, world: Any, turn: Any, thing: Any, handing: Handing) -> None:
    """Note the containers in a thing, and the attributes of its objects if they count.

    What is private, and what nobody else holds but such, does not count. If there is too much, all
    containers do; if there are objects among it, too, no log tells which.
    """
    mode, objects = handing.mode, handing.objects
    if handing.itself:
        _log_itself(log, world, turn, thing, handing)
    atoms = ATOMS if objects == "all" else OPAQUE
    if objects == "none" and (not handing.inside or atoms.issuperset(map(type, held_by(thing)))):
        return
    held, is_private, goes_on = thing, handing.is_private, handing.inside
    met = {id(thing)}
    todo: list[tuple[Any, bool]] = []
    has_objects = False
    while True:
        if goes_on:
            found = [each for each in held_by(held) if type(each) not in atoms]
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
        if not is_private and is_container(type(held)):
            _log_handed(log, world, turn, held, mode)
        elif not is_private and is_iterator(type(held)):
            _log_iterator(log, world, turn, held, _HANDED)


def _log_itself(log: Log, world: Any, turn: Any, thing: Any, handing: Handing) -> None:
    kind = type(thing)
    if is_container(kind):
        _log_handed(log, world, turn, thing, handing.mode)
    elif kind in VIEWS or kind is types.MappingProxyType:
        for held, _ in behind(thing, 0):
            _log_handed(log, world, turn, held, handing.mode)
    elif kind is memoryview:
        _log_handed(log, world, turn, memory_of(thing), handing.mode)
    elif handing.inside and is_iterator(kind):
        # Who only passes it on takes nothing from it.
        _log_iterator(log, world, turn, thing, _HANDED)
    elif handing.hidden and is_hidden(kind):
        log.append((turn, number_of(world, thing), handing.mode, _HANDED))
        if keeps(kind):
            _log_kept(log, world, turn, thing, handing.mode)
    if handing.hidden and is_outside(kind):
        log.append((turn, OUTSIDE, WRITE, _HANDED))


def _is_open(kind: type, objects: str) -> bool:
    """Tell whether the attributes of the objects of a class count."""
    if objects == "all":
        return has_attributes(kind)
    return objects == "generated" and is_generated(kind)


def _log_handed(log: Log, world: Any, turn: Any, thing: object, mode: int) -> None:
    log.append((turn, number_of(world, thing), mode, _HANDED))
    if mode == WRITE:
        # As whoever changes one at a point.
        log.append((turn, CONTAINERS, READ, _HANDED))


def _references_of_the_only_holder() -> int:
    """Return how many references `look_at` sees to what only one container holds."""
    holder: list[object] = [[]]
    todo = [(each, True) for each in holder]
    held, _ = todo.pop()
    return getrefcount(held)


_ALONE: Final = _references_of_the_only_holder()


def number_of(world: Any, subject: object) -> int:
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
