"""Adopts what was made before the runs: simulated for their length, wherever it is held.

    one scan of the heap ──► originals ──► who holds them ──► whose they are ──► twins in place

A real lock would stop the whole process, and a real re-entrant one would exclude nobody, since all
fibers share one operating-system thread. Captured clocks are found by the same scan in the places
that `patching.captured_names` does not look at. Each twin is the real thing outside a run, so that
adopting what another thread of the process uses does no harm. It does not know runs: whoever drives
them calls `reset` after each.
"""

from __future__ import annotations

import asyncio
import asyncio.mixins
import collections
import concurrent.futures
import enum
import functools
import gc
import logging
import os
import queue
import threading
import types
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from . import patching, threads, twins
from .called import Calling
from .sites import CodeSite, Handing

IsBystander = Callable[[str], bool]
IsUnderTest = Callable[[str], bool]

_GONE = object()
_REAL_LOCKS: tuple[type, ...] = (type(threading.Lock()), type(threading.RLock()))
_REAL_LOCAL: type = threading.local
_REAL_QUEUE: type = queue.SimpleQueue
#: Types among the replaced names that are looked for wherever they were captured; other types are
#: looked for only as a module's global.
_FACTORIES = frozenset(map(id, (*_REAL_LOCKS, _REAL_LOCAL, _REAL_QUEUE)))
_FUNCTIONS = (types.BuiltinFunctionType, types.FunctionType, types.MethodType)
#: They hold nothing that is not found elsewhere too; the scan is a third faster without them.
_DULL = frozenset(
    {
        types.FunctionType,
        types.FrameType,
        types.CodeType,
        types.GetSetDescriptorType,
        types.MemberDescriptorType,
        types.MethodDescriptorType,
        types.WrapperDescriptorType,
        types.ClassMethodDescriptorType,
        types.TracebackType,
        # Its globals are a dict of its own. On 3.12 asking `_asyncio` what it refers to hands out
        # dead objects of a free list, and dropping them again ties the list into a ring
        # (Modules/_asyncio.c, `fi_freelist`).
        types.ModuleType,
        property,
        *_REAL_LOCKS,
        # What was found out about code under test: most of the heap where there is much of it.
        CodeSite,
        Handing,
        Calling,
    }
)
#: Modules of the standard library whose objects belong to whoever holds them.
_TRANSPARENT = frozenset(
    {
        "threading",
        "queue",
        "functools",
        "collections",
        "concurrent.futures._base",
        "concurrent.futures.thread",
        "builtins",
    }
)
#: Locks of the import system belong to the interpreter (an import is one step); the last is the
#: name under which xdist's workers run.
_LEFT_ALONE = frozenset(
    {"_frozen_importlib", "_frozen_importlib_external", "zipimport", "__channelexec__"}
)
#: What pytest keeps for tests, fixtures and parameters, is the tests' own.
_KEPT_FOR_TESTS = frozenset({"_pytest.fixtures", "_pytest.python"})
#: What this package keeps stays as it is: it is where the originals are remembered.
_OWN_PACKAGE = __name__.rpartition(".")[0]


class _Owner(enum.Enum):
    """Whose something is."""

    BYSTANDER = enum.auto()
    LIVE_THREAD = enum.auto()
    FOREIGN = enum.auto()
    UNKNOWN = enum.auto()


# --- places ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """One place where an original is held.

    Args:
        what: in words, for messages.
        original: what stands there at other times.
        twin: what stands there meanwhile.
        read: returns what stands there now.
        write: puts something there.
    """

    what: str
    original: object
    twin: object
    read: Callable[[], object]
    write: Callable[[Any], None]

    def restore(self) -> None:
        """Put the original back, unless something newer has taken the place."""
        if self.read() is self.twin:
            self.write(self.original)


# Sets of functions that are asked whether one is in them, and never called from there.
_ASKED_ONLY: Final = (
    os.supports_dir_fd,
    os.supports_effective_ids,
    os.supports_fd,
    os.supports_follow_symlinks,
)


class Adoption:
    """What was adopted for one exploration. Used by the thread that explores.

    invariant: `give_back` restores every place that `take` filled, whatever fails on the way.
    """

    def __init__(self) -> None:
        self.out_of_reach: list[str] = []
        self.places: list[Place] = []
        self.resets: list[Callable[[], None]] = []
        self.endings: list[Callable[[], None]] = []
        # All functions of the process, for whoever needs them at once: a scan takes its time.
        self.functions: list[types.FunctionType] = []
        self._words: dict[int, str] = {}

    def take(self, place: Place) -> None:
        """Put a twin in place; what refuses is named as out of reach."""
        try:
            place.write(place.twin)
        except (AttributeError, TypeError, ValueError):
            self.out_of_reach.append(place.what)
            return
        self.places.append(place)
        self._words.setdefault(id(place.twin), place.what)

    def place_of(self, twin: object) -> str:
        """Say where the original of a twin was found first, "" for anything else."""
        return self._words.get(id(twin), "")

    def reset(self) -> None:
        """Put every twin back to how its original was at the start: free or held, same content."""
        # Done after every run; none of these runs anybody's code.
        for reset in self.resets:
            reset()

    def give_back(self) -> None:
        """Put every original back where it was; a failure is raised after all were tried."""
        endings, self.endings = self.endings, []
        places, self.places = self.places, []
        _all_of([*endings, self.reset, *(place.restore for place in reversed(places))])
        self.resets.clear()


def _all_of(steps: Iterable[Callable[[], object]]) -> None:
    failures: list[BaseException] = []
    for step in steps:
        try:
            step()
        except BaseException as exc:  # noqa: BLE001 - the others must be done first
            failures.append(exc)
    if failures:
        raise failures[0]


@contextmanager
def adopted(is_bystander: IsBystander, is_under_test: IsUnderTest) -> Generator[Adoption]:
    """Have everything that was made before simulated inside runs, for the length of the block.

    To be entered before anything is replaced: what is captured is recognised by being the original.

    Args:
        is_bystander: whether what a module owns is left alone.
        is_under_test: whether a file is under test, asked for what is to be named as out of reach.
    """
    adoption = Adoption()
    was_collecting = gc.isenabled()
    try:
        # A collection in the middle of the scan would take longer than the scan.
        gc.disable()
        adopting = _Adopting(adoption, is_bystander, is_under_test)
        try:
            adopting.run()
        finally:
            adopting.forget()
            if was_collecting:
                gc.enable()
        yield adoption
    finally:
        adoption.give_back()


# --- the scan -------------------------------------------------------------------------------------


class _Heap:
    """All objects that the garbage collector knows, by type, and who holds what is asked for."""

    def __init__(self) -> None:
        self.by_type: dict[type, list[Any]] = collections.defaultdict(list)
        # What is frozen is not listed.
        gc.unfreeze()
        for thing in gc.get_objects():
            self.by_type[type(thing)].append(thing)
        # What this scan makes itself is younger than its list of objects, so it is not in it.
        self._holders = [
            thing for kind, things in self.by_type.items() if kind not in _DULL for thing in things
        ]

    def forget(self) -> None:
        """Let go of everything."""
        self.by_type.clear()
        self._holders.clear()

    def instances(self, *classes: type) -> Iterator[Any]:
        """Return every instance of a class, subclasses included."""
        for kind, things in self.by_type.items():
            if issubclass(kind, classes):
                yield from things

    def holders(self, wanted: Iterable[object]) -> dict[int, list[Any]]:
        """Return, by id of what is wanted, the objects that refer to it.

        `gc.get_referrers` compares each reference with everything wanted in turn; a set serves any
        number at the same cost.
        """
        ids = frozenset(map(id, wanted))
        found: dict[int, list[Any]] = collections.defaultdict(list)
        things = self._holders
        for start in range(0, len(things), 64):
            chunk = things[start : start + 64]
            if ids.isdisjoint(map(id, gc.get_referents(*chunk))):
                continue
            for thing in chunk:
                for held in ids.intersection(map(id, gc.get_referents(thing))):
                    found[held].append(thing)
        return found


class _Adopting:
    """One scan and what follows from it. Used once."""

    def __init__(
        self, adoption: Adoption, is_bystander: IsBystander, is_under_test: IsUnderTest
    ) -> None:
        self.adoption = adoption
        self.is_bystander = is_bystander
        self.is_under_test = is_under_test
        self.heap = _Heap()
        # By id of the original: what stands for it. `originals` keeps it alive, and its id taken.
        self.twins: dict[int, Any] = {}
        self.originals: dict[int, Any] = {}
        # Replaced functions and factories: decided place by place, not once for all places.
        self.captured: set[int] = set()
        # Carriers: the original inside a bound method or a staticmethod.
        self.inside: dict[int, Any] = {}
        self.table_places: set[tuple[int, str]] = set()

    def run(self) -> None:
        """Find everything, decide whose it is, and put the twins in place."""
        heap = self.heap
        self.conditions = list(heap.instances(threading.Condition))
        # A real thread that waits does so for a lock of its own, left alone. (Not by `vars`, which
        # would make a dict that the heap does not know yet.)
        waited_for = {
            id(waiter)
            for condition in self.conditions
            for waiter in getattr(condition, "_waiters", ())
        }
        primitives = [
            thing
            for thing in (
                *heap.instances(*_REAL_LOCKS, _REAL_QUEUE),
                *heap.by_type.get(_REAL_LOCAL, ()),
            )
            if id(thing) not in waited_for
        ]
        self.executors = list(heap.instances(concurrent.futures.ThreadPoolExecutor))
        self.work_queues = {id(executor._work_queue) for executor in self.executors}
        self._find_captured()
        carriers = list(self._carriers(frozenset(map(id, primitives))))
        owned = [*heap.instances(*_owned_types(heap))]
        self.held_by = heap.holders([*primitives, *self.originals.values(), *carriers, *owned])
        self._find_owners()
        self.adoption.functions = heap.by_type[types.FunctionType]
        for primitive in primitives:
            self._adopt(primitive)
        for carrier in carriers:
            self._adopt_carrier(carrier)
        self._adopt_local_classes()
        self._adopt_executors()
        self._adopt_threads()
        self._place_all()
        self._repair_conditions()
        self._keep_states()

    def forget(self) -> None:
        """Let go of everything: heap and scan hold each other, and the next would find them."""
        self.heap.forget()
        vars(self).clear()

    # --- what is looked for -----------------------------------------------------------------------

    def _find_captured(self) -> None:
        for patch in patching.replaced_names():
            if not isinstance(patch.owner, types.ModuleType):
                continue
            original = vars(patch.owner).get(patch.name)
            self.table_places.add((id(vars(patch.owner)), patch.name))
            if isinstance(original, _FUNCTIONS) or id(original) in _FACTORIES:
                self.captured.add(id(original))
                self._pair(original, patch.value)

    def _pair(self, original: Any, twin: Any) -> None:
        self.originals[id(original)] = original
        self.twins[id(original)] = twin

    def _carriers(self, primitives: frozenset[int]) -> Iterator[Any]:
        """Return what holds exactly one original and cannot be changed, but can be made anew."""
        by_type = self.heap.by_type
        for bound in by_type.get(types.BuiltinFunctionType, ()):
            if id(bound.__self__) in primitives:
                self.inside[id(bound)] = bound.__self__
                yield bound
        for static in by_type.get(staticmethod, ()):
            if id(static.__func__) in self.captured:
                self.inside[id(static)] = static.__func__
                yield static

    # --- whose it is ------------------------------------------------------------------------------

    def _find_owners(self) -> None:
        """Say of each container that holds something wanted whose it is."""
        by_type = self.heap.by_type
        self.modules: dict[int, str] = {
            id(vars(module)): module.__name__ for module in self.heap.instances(types.ModuleType)
        }
        self.classes: dict[int, type] = {}
        for cls in self.heap.instances(type):
            self.classes[id(gc.get_referents(cls.__dict__)[0])] = cls
        containers = {
            id(c): c for holders in self.held_by.values() for c in holders if _is_container(c)
        }
        for known in (*self.modules, *self.classes):
            containers.pop(known, None)
        self.owners = self.heap.holders(containers.values())
        self.functions: dict[int, list[types.FunctionType]] = collections.defaultdict(list)
        for function in by_type[types.FunctionType]:
            for part in (
                function.__defaults__,
                function.__kwdefaults__,
                *(function.__closure__ or ()),
            ):
                if part is not None and id(part) in containers:
                    self.functions[id(part)].append(function)

    def _roots(self, thing: object, depth: int = 0) -> Iterator[_Owner]:
        """Say of each owner of `thing` whose it is."""
        for holder in self.held_by.get(id(thing), ()):
            yield from self._owner(holder, depth)

    def _owner(self, holder: Any, depth: int) -> Iterator[_Owner]:
        if id(holder) in self.modules:
            yield self._whose(self.modules[id(holder)])
        elif id(holder) in self.classes:
            yield self._whose(self.classes[id(holder)].__module__)
        elif _is_container(holder):
            yield from self._owner_of_container(holder, depth)
        else:
            yield from self._owner_instance(holder, depth)

    def _owner_of_container(self, container: Any, depth: int) -> Iterator[_Owner]:
        for function in self.functions.get(id(container), ()):
            yield self._whose(function.__module__ or "")
        for owner in self.owners.get(id(container), ()):
            if id(owner) in self.modules:
                yield self._whose(self.modules[id(owner)])
            elif id(owner) in self.classes:
                yield self._whose(self.classes[id(owner)].__module__)
            elif _is_container(owner):
                yield _Owner.UNKNOWN
            else:
                yield from self._owner_instance(owner, depth)

    def _owner_instance(self, owner: Any, depth: int) -> Iterator[_Owner]:
        if isinstance(owner, logging.Handler):
            # Whoever wrote it, code under test writes to it from many fibers.
            yield _Owner.FOREIGN
        elif isinstance(owner, threading.Thread):
            # What a live thread holds is in use for real.
            yield _Owner.LIVE_THREAD if owner.is_alive() else self._whose(type(owner).__module__)
        elif isinstance(owner, types.ModuleType):
            yield self._whose(owner.__name__)
        elif isinstance(owner, type):
            yield self._whose(owner.__module__)
        elif type(owner).__module__ in _TRANSPARENT:
            if depth < 5:
                yield from self._roots(owner, depth + 1)
        elif type(owner).__module__ in _KEPT_FOR_TESTS:
            yield _Owner.FOREIGN
        else:
            yield self._whose(type(owner).__module__)

    def _whose(self, module_name: str) -> _Owner:
        is_left = module_name in _LEFT_ALONE or self.is_bystander(module_name)
        return _Owner.BYSTANDER if is_left else _Owner.FOREIGN

    # --- twins ------------------------------------------------------------------------------------

    def _adopt(self, primitive: Any) -> None:
        holders = self.held_by.get(id(primitive), ())
        if any(type(h) is dict and self._is_in_table(h, primitive) for h in holders):
            return
        roots = set(self._roots(primitive))
        if id(primitive) in self.work_queues:
            # Workers that wait for it go on waiting: the run has workers of its own.
            roots.discard(_Owner.LIVE_THREAD)
        for carrier_id, inside in self.inside.items():
            if inside is primitive:
                roots.update(
                    root for h in self.held_by.get(carrier_id, ()) for root in self._owner(h, 0)
                )
        if _Owner.LIVE_THREAD in roots or (
            _Owner.BYSTANDER in roots and _Owner.FOREIGN not in roots
        ):
            return
        if isinstance(primitive, _REAL_LOCKS):
            lock = twins.LockTwin(primitive)
            lock.lock.born = self._name_of(primitive)
            self.adoption.resets.append(lock.reset)
            self._pair(primitive, lock.lock)
        elif type(primitive) is _REAL_LOCAL:
            local = twins.LocalTwin(primitive)
            self.adoption.resets.append(functools.partial(twins.forget, local))
            self._pair(primitive, local)
        elif type(primitive) is _REAL_QUEUE:
            items = twins.QueueTwin(primitive)
            self.adoption.resets.append(items.reset)
            self.adoption.endings.append(items.hand_back)
            self._pair(primitive, items)
        else:
            self.adoption.out_of_reach.append(f"{_named(primitive)}, of a class of its own")

    def _name_of(self, thing: object) -> str:
        """Say how code would write what holds `thing`: `service.LOCK`, `Service.lock`, or ""."""
        # The heap has an order of its own; of several names it is always the same one.
        return min(self._names_of(thing, 0), default=(0, ""))[1]

    def _names_of(self, thing: object, depth: int) -> Iterator[tuple[int, str]]:
        for holder in self.held_by.get(id(thing), ()):
            if id(holder) in self.modules:
                yield 0, f"{self.modules[id(holder)]}.{_key_of(holder, thing)}"
            elif id(holder) in self.classes:
                cls = self.classes[id(holder)]
                yield 1, f"{cls.__module__}.{cls.__qualname__}.{_key_of(holder, thing)}"
            else:
                # The dict of an instance may be an object of its own.
                owners = self.owners.get(id(holder), ()) if type(holder) is dict else (holder,)
                for owner in owners:
                    yield from self._names_in(owner, thing, depth)

    def _names_in(self, owner: Any, thing: object, depth: int) -> Iterator[tuple[int, str]]:
        if _is_container(owner) or isinstance(owner, (type, types.ModuleType)):
            return
        if type(owner).__module__ not in _TRANSPARENT:
            yield 2, f"{type(owner).__qualname__}.{_attribute_of(owner, thing)}"
        elif depth < 5:
            yield from self._names_of(owner, depth + 1)

    def _is_in_table(self, holder: dict[Any, Any], primitive: object) -> bool:
        return id(holder) in self.modules and any(
            value is primitive and (id(holder), name) in self.table_places
            for name, value in holder.items()
        )

    def _adopt_carrier(self, carrier: Any) -> None:
        inside = self.inside[id(carrier)]
        twin = self.twins.get(id(inside))
        if twin is None:
            return
        if isinstance(carrier, staticmethod):
            self.captured.add(id(carrier))
            self._pair(carrier, staticmethod(twin))
        elif hasattr(twin, carrier.__name__):
            self._pair(carrier, getattr(twin, carrier.__name__))

    def _adopt_local_classes(self) -> None:
        subclasses: list[type] = _REAL_LOCAL.__subclasses__()
        for cls in subclasses:
            # What the event loop policy keeps is replaced for each run by `patching`.
            is_left = self._whose(cls.__module__) is _Owner.BYSTANDER
            if is_left or cls.__module__ == "asyncio.events":
                continue
            local_class = twins.LocalClass(cls, self.heap.instances(cls))
            for name in local_class.NAMES:
                self.adoption.take(
                    _class_place(cls, name, vars(cls).get(name, _GONE), local_class.accessor(name))
                )
            self.adoption.resets.append(local_class.reset)

    def _adopt_executors(self) -> None:
        """Have executors start workers of the run: those that live already are real threads."""
        for executor in self.executors:
            work_queue = self.twins.get(id(executor._work_queue))
            if work_queue is None:
                continue
            # What waits there is for the real workers.
            work_queue.empty_at_start()
            workers = twins.Workers(executor)
            for name, twin in workers.replacements.items():
                self.adoption.take(_attribute_place(executor, name, getattr(executor, name), twin))
            self.adoption.resets.append(workers.reset)

    def _adopt_threads(self) -> None:
        """Have threads that were made, not started, be simulated; from 3.13 they hold a handle."""
        for thread in self.heap.instances(threading.Thread):
            handle = getattr(thread, "_handle", None)
            if handle is None or thread.ident is not None or self._is_left_to_bystanders(thread):
                continue
            self.adoption.take(_attribute_place(thread, "_handle", handle, twins.make_handle()))

    def _is_left_to_bystanders(self, thing: Any) -> bool:
        owners = {self._whose(type(thing).__module__), *self._roots(thing)}
        return _Owner.BYSTANDER in owners

    # --- placing ----------------------------------------------------------------------------------

    def _place_all(self) -> None:
        touched: dict[int, Any] = {}
        for original_id in self.twins:
            for holder in self.held_by.get(original_id, ()):
                touched[id(holder)] = holder
        for holder in touched.values():
            if self._is_ours(holder):
                continue
            for place in self._places(holder):
                self.adoption.take(place)

    def _is_ours(self, holder: Any) -> bool:
        """Tell whether this package itself keeps the originals here."""
        if (
            _is_container(holder)
            and id(holder) not in self.modules
            and id(holder) not in self.classes
        ):
            owners = [*self.owners.get(id(holder), ()), *self.functions.get(id(holder), ())]
        else:
            owners = [holder]
        return any(self._module_of(owner).startswith(_OWN_PACKAGE) for owner in owners)

    def _module_of(self, owner: Any) -> str:
        if id(owner) in self.modules:
            return self.modules[id(owner)]
        if isinstance(owner, (type, types.FunctionType)):
            return owner.__module__ or ""
        return str(type(owner).__module__)

    def _twin_for(self, value: object, holder: object) -> Any:
        """Return what is to stand for `value` in `holder`, `_GONE` if it is left alone there."""
        twin = self.twins.get(id(value), _GONE)
        if twin is _GONE or id(value) not in self.captured:
            return twin
        # A captured function is a shared thing: only its user's place counts, and it must be known.
        return twin if _Owner.FOREIGN in set(self._owner(holder, 0)) else _GONE

    def _places(self, holder: Any) -> Iterator[Place]:
        kind = type(holder)
        if id(holder) in self.classes:
            yield from self._places_in_class(self.classes[id(holder)], holder)
        elif isinstance(holder, dict):
            yield from self._places_in_dict(holder, holder)
            factory = getattr(holder, "default_factory", None)
            if (
                kind is collections.defaultdict
                and (twin := self._twin_for(factory, holder)) is not _GONE
            ):
                yield _attribute_place(holder, "default_factory", factory, twin)
        elif isinstance(holder, (list, collections.deque)):
            yield from self._places_in_list(holder)
        elif kind is types.CellType:
            if (twin := self._twin_for(holder.cell_contents, holder)) is not _GONE:
                yield _attribute_place(holder, "cell_contents", holder.cell_contents, twin)
        elif kind is tuple:
            yield from self._places_in_tuple(holder)
        elif kind is functools.partial:
            yield from self._places_in_partial(holder)
        elif not isinstance(holder, (type, types.ModuleType)) and id(kind) not in self.originals:
            yield from self._places_in_instance(holder)

    def _places_in_class(self, cls: type, namespace: dict[str, Any]) -> Iterator[Place]:
        for name, value in list(namespace.items()):
            if (twin := self._twin_for(value, namespace)) is not _GONE:
                # A builtin in a class is not bound to instances; a function in its place would be.
                is_bound = isinstance(twin, types.FunctionType) and not hasattr(value, "__get__")
                yield _class_place(cls, name, value, staticmethod(twin) if is_bound else twin)

    def _places_in_dict(self, mapping: dict[Any, Any], holder: object) -> Iterator[Place]:
        module = self.modules.get(id(mapping))
        for key, value in list(mapping.items()):
            twin = self._twin_for(value, holder)
            # A module's own functions are the business of `patching.captured_names`.
            if twin is _GONE or (module is not None and id(value) in self.captured):
                continue
            yield Place(
                f"{_named(value)} at {key!r} of {self._words_for(mapping, holder)}",
                value,
                twin,
                functools.partial(dict.get, mapping, key),
                functools.partial(dict.__setitem__, mapping, key),
            )

    def _places_in_list(self, items: Any) -> Iterator[Place]:
        for index, value in enumerate(list(items)):
            if (twin := self._twin_for(value, items)) is not _GONE:
                yield Place(
                    f"{_named(value)} in a {type(items).__name__}",
                    value,
                    twin,
                    functools.partial(_found_in, items, twin),
                    functools.partial(_exchange, items, index, value, twin),
                )

    def _places_in_tuple(self, items: tuple[Any, ...]) -> Iterator[Place]:
        new = [self._twin_for(value, items) for value in items]
        if all(twin is _GONE for twin in new):
            return
        replaced = tuple(
            old if twin is _GONE else twin for old, twin in zip(items, new, strict=True)
        )
        functions = self.functions.get(id(items), ())
        for function in functions:
            yield Place(
                f"a default argument of {function.__module__}.{function.__qualname__}",
                items,
                replaced,
                functools.partial(getattr, function, "__defaults__"),
                functools.partial(setattr, function, "__defaults__"),
            )
        partials = [
            o
            for o in self.owners.get(id(items), ())
            if type(o) is functools.partial and o.args is items
        ]
        for partial in partials:
            yield _partial_place(partial, partial.func, replaced)
        if not functions and not partials:
            for value, twin in zip(items, new, strict=True):
                # Tuples of classes are bases and the order of methods.
                if twin is not _GONE and not isinstance(value, type):
                    self.adoption.out_of_reach.append(f"{_named(value)} in a tuple")

    def _places_in_partial(self, partial: Any) -> Iterator[Place]:
        if (twin := self._twin_for(partial.func, partial)) is not _GONE:
            yield _partial_place(partial, twin, partial.args)

    def _places_in_instance(self, holder: Any) -> Iterator[Place]:
        namespace = _namespace_of(holder)
        is_found = False
        if namespace is not None:
            for place in self._places_in_dict(namespace, holder):
                is_found = True
                yield place
        for cls in type(holder).__mro__:
            for slot in vars(cls).values():
                if type(slot) is not types.MemberDescriptorType:
                    continue
                value = _slot_value(slot, holder)
                if (twin := self._twin_for(value, holder)) is not _GONE:
                    is_found = True
                    yield Place(
                        f"{_named(value)} at {slot.__name__!r} of a {cls.__qualname__}",
                        value,
                        twin,
                        functools.partial(_slot_value, slot, holder),
                        functools.partial(slot.__set__, holder),
                    )
        if not is_found:
            self._name_out_of_reach(holder)

    def _name_out_of_reach(self, holder: Any) -> None:
        """Say that something adopted elsewhere is also held where it cannot be replaced."""
        if id(holder) in self.inside or any(holder is each for each in _ASKED_ONLY):
            return
        code = getattr(holder, "gi_code", None) or getattr(holder, "cr_code", None)
        if code is not None and not self.is_under_test(code.co_filename):
            return
        for held in gc.get_referents(holder):
            if self._twin_for(held, holder) is not _GONE:
                self.adoption.out_of_reach.append(
                    f"{_named(held)} in a {type(holder).__qualname__}"
                )

    def _words_for(self, mapping: dict[Any, Any], holder: object) -> str:
        module = self.modules.get(id(mapping))
        if module is not None:
            return f"module {module}"
        if holder is not mapping:
            return f"a {type(holder).__qualname__}"
        owners = [o for o in self.owners.get(id(mapping), ()) if not _is_container(o)]
        return f"a {type(owners[0]).__qualname__}" if owners else "a dict"

    # --- what runs leave in objects made before ---------------------------------------------------

    def _repair_conditions(self) -> None:
        """Have those forgotten that an ended run left waiting: `notify` would wake only them."""
        for condition in self.conditions:
            if isinstance(getattr(condition, "_lock", None), threads.Lock):
                self.adoption.resets.append(functools.partial(_forget_waiters, condition))

    def _keep_states(self) -> None:
        """Have each run find flags, counts and items as they were, though one ended midway."""
        for thing in self.heap.instances(asyncio.mixins._LoopBoundMixin):
            # One that no loop has used; the loops of runs are all different.
            if thing._loop is None and not self._is_left_to_bystanders(thing):
                self.adoption.resets.append(twins.State(thing, ("_loop", *vars(thing))).reset)
        if self._are_others_alive():
            return
        for kind, names in _STATES.items():
            for thing in self.heap.instances(kind):
                if self._holds_a_twin(thing):
                    self.adoption.resets.append(twins.State(thing, names).reset)

    def _holds_a_twin(self, thing: Any) -> bool:
        condition = getattr(thing, "_cond", None) or getattr(thing, "_condition", None)
        lock = (
            getattr(thing, "mutex", None)
            if condition is None
            else getattr(condition, "_lock", None)
        )
        return isinstance(lock, threads.Lock)

    def _are_others_alive(self) -> bool:
        """Tell whether real threads run on that may use what was adopted: it is left as it is."""
        for thread in threading.enumerate():
            if thread is threading.current_thread() or isinstance(thread, threading._DummyThread):
                continue
            target = getattr(thread, "_target", None)
            modules = {type(thread).__module__, getattr(target, "__module__", None) or "threading"}
            if not any(map(self.is_bystander, modules)):
                return True
        return False


#: What each run finds as it was at the start.
_STATES: dict[type, tuple[str, ...]] = {
    threading.Event: ("_flag",),
    threading.Semaphore: ("_value",),
    threading.Barrier: ("_state", "_count"),
    queue.Queue: ("queue", "unfinished_tasks", "is_shutdown"),
    concurrent.futures.Future: ("_state", "_result", "_exception", "_waiters", "_done_callbacks"),
}


def _forget_waiters(condition: Any) -> None:
    # A waiter made before belongs to a real thread.
    left = [waiter for waiter in condition._waiters if getattr(waiter, "real", waiter) is None]
    for waiter in left:
        condition._waiters.remove(waiter)


def _owned_types(heap: _Heap) -> list[type]:
    """Return the types of objects that hold a lock on behalf of whoever holds them."""
    return [
        kind
        for kind in heap.by_type
        if kind.__module__ in _TRANSPARENT
        and kind.__module__ not in ("builtins", "collections")
        and not issubclass(kind, (type, threading.Thread))
    ]


def _key_of(mapping: dict[str, Any], thing: object) -> str:
    return next((key for key, value in mapping.items() if value is thing), "?")


def _attribute_of(owner: Any, thing: object) -> str:
    slots = {
        name: _slot_value(slot, owner)
        for cls in type(owner).__mro__
        for name, slot in vars(cls).items()
        if type(slot) is types.MemberDescriptorType
    }
    return _key_of({**slots, **(_namespace_of(owner) or {})}, thing)


def _is_container(thing: object) -> bool:
    return isinstance(thing, (dict, list, tuple, set, frozenset, collections.deque, types.CellType))


def _namespace_of(thing: Any) -> dict[str, Any] | None:
    try:
        namespace = object.__getattribute__(thing, "__dict__")
    except AttributeError:
        return None
    return namespace if type(namespace) is dict else None


def _slot_value(slot: Any, thing: Any) -> object:
    try:
        value: object = slot.__get__(thing)
    except AttributeError:
        return _GONE
    return value


def _found_in(items: Any, twin: object) -> object:
    return twin if any(item is twin for item in items) else _GONE


def _exchange(items: Any, index: int, original: object, twin: object, value: object) -> None:
    """Exchange twin and original, wherever the item has moved to."""
    old = original if value is twin else twin
    if index < len(items) and items[index] is old:
        items[index] = value
        return
    for at, item in enumerate(items):
        if item is old:
            items[at] = value
            return


def _attribute_place(owner: Any, name: str, original: object, twin: object) -> Place:
    return Place(
        f"{_named(original)} at {name!r} of a {type(owner).__qualname__}",
        original,
        twin,
        functools.partial(getattr, owner, name, _GONE),
        functools.partial(setattr, owner, name),
    )


def _partial_place(partial: Any, func: Any, args: tuple[Any, ...]) -> Place:
    """Return the place of what a `functools.partial` holds in C; its keywords are a plain dict."""
    original, twin = (partial.func, partial.args), (func, args)

    def read() -> object:
        return twin if partial.func is func and partial.args is args else _GONE

    def write(value: Any) -> None:
        partial.__setstate__((*value, partial.keywords, vars(partial)))

    return Place(f"a functools.partial of {_named(partial.func)}", original, twin, read, write)


def _class_place(cls: type, name: str, original: object, twin: object) -> Place:
    def write(value: object) -> None:
        # Past a metaclass of the user's own.
        if value is _GONE:
            type.__delattr__(cls, name)
        else:
            type.__setattr__(cls, name, value)

    what = f"{_named(original)} at {name!r} of class {cls.__qualname__}"
    return Place(what, original, twin, lambda: vars(cls).get(name, _GONE), write)


def _named(thing: object) -> str:
    """Name the kind of an original, without an address."""
    if isinstance(thing, _REAL_LOCKS):
        return "an RLock" if isinstance(thing, threads._real_rlock_type) else "a Lock"
    if isinstance(thing, types.BuiltinFunctionType) and isinstance(
        thing.__self__, (*_REAL_LOCKS, _REAL_QUEUE)
    ):
        return f"method {thing.__name__!r} of {_named(thing.__self__)}"
    if isinstance(thing, (*_FUNCTIONS, type)):
        return f"{thing.__module__}.{thing.__qualname__}"
    return f"a {type(thing).__qualname__}"
