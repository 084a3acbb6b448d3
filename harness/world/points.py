"""Puts scheduling points into all functions under test and takes them out again, without a trace.

    install()  ── one pass over all objects: functions by file ── rewriting.py ── __code__ swapped
    restore()  ── every swapped function, and those made meanwhile from rewritten code

What is a point is decided in `rewriting.py`, what happens at one by the hook. Not reached:
generators and frames that already run, and functions made by `exec` (whose file name is no file).
Rewritten code is remembered for the process, so that a second exploration only swaps.
"""

import dis
import gc
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final, NamedTuple

from .called import has_points
from .hand_over import Handed
from .instructions import ModuleFacts, operations
from .rewriting import Hook, Rewriting, sites_of
from .sites import IMMUTABLE_TYPES, CodeSite, Granularity
from .under_test import IsUnderTest, is_under_test, under_test

__all__ = [
    "IMMUTABLE_TYPES",
    "CodeSite",
    "Granularity",
    "Hook",
    "IsUnderTest",
    "Rewriter",
    "is_under_test",
    "sites_of",
    "under_test",
]


class Rewriter:
    """Swaps the code of functions under test for code with points; one at a time, on one thread.

    Args:
        hook: called as `hook(object, site)` before each access; a function that stays the same,
            since rewritten code is remembered per hook. What it raises appears at the access.
        granularity: `sync` for entries of synchronisation operations only, `shared` for all
            accesses.
        is_under_test: says by file name which code is rewritten.
        handed: called as `handed(thing, handing)` with what a call hands to code that is not; None
            if nobody wants to know.
        leaving: called as `leaving(exit, site)` before the end of a `with`; None if nobody wants to
            know.

    # invariant: while installed, `_swapped` holds every function whose code this object replaced.
    """

    def __init__(
        self,
        hook: Hook,
        *,
        granularity: Granularity,
        is_under_test: IsUnderTest,
        handed: Handed | None = None,
        leaving: Hook | None = None,
    ) -> None:
        self._is_under_test = is_under_test
        key = (hook, granularity, is_under_test)
        memory = _Memory(hook, granularity, is_under_test, handed, leaving)
        self._memory = _MEMORIES.setdefault(key, memory)
        self._swapped: list[tuple[FunctionType, CodeType]] = []
        self._modules_seen: tuple[int, str] = (0, "")

    def install(self, existing: list[FunctionType] | None = None) -> None:
        """Rewrite every function under test that exists. If one fails, none stays rewritten.

        Args:
            existing: all functions there are, if somebody knows them already.
        """
        self._modules_seen = _newest_module()
        try:
            if existing is None:
                existing = _existing(also_frozen=True)
            self._swap(_chosen(existing, self._is_under_test))
        except BaseException:
            self.restore()
            raise

    def install_new(self) -> None:
        """Rewrite functions that modules imported since have brought. Cheap if there are none."""
        newest = _newest_module()
        if newest == self._modules_seen:
            return
        imported = list(sys.modules.values())[self._modules_seen[0] :]
        self._modules_seen = newest
        files = [getattr(module, "__file__", None) for module in imported]
        if any(isinstance(file, str) and self._is_under_test(file) for file in files):
            self._swap(_functions(self._is_under_test))

    def restore(self) -> None:
        """Put every original code back, also in functions made meanwhile out of rewritten code."""
        swapped, self._swapped = self._swapped, []
        for function, original in swapped:
            if id(function.__code__) in _OURS:
                function.__code__ = original
        for function in _functions(self._is_under_test):
            ours = _OURS.get(id(function.__code__))
            if ours is not None:
                function.__code__ = ours[1]

    def is_rewritten(self, code: CodeType) -> bool:
        """Say whether `code` is a result of rewriting."""
        return id(code) in _OURS

    def original(self, code: CodeType) -> CodeType:
        """Return the code that `code` was rewritten from, or `code` itself."""
        ours = _OURS.get(id(code))
        return ours[1] if ours is not None else code

    def must_report(self, code: CodeType) -> bool:
        """Say whether running `code`, original or rewritten, calls the hook before all else.

        For a coroutine that is when it first runs; for a generator the answer is always no.
        """
        return self._memory.must_report(code)

    def tells(self, function: Any) -> bool:
        """Say whether a function tells by itself what it does with its arguments, if anything."""
        return has_points(function, self._is_under_test, self._memory.is_user_class)

    def _swap(self, functions: list[FunctionType]) -> None:
        self._memory.learn(functions)
        for function in functions:
            code = function.__code__
            ours = _OURS.get(id(code))
            original = ours[1] if ours is not None else code
            new = self._memory.rewrite(original, function.__globals__)
            if new is not code:
                self._swapped.append((function, original))
                function.__code__ = new


@dataclass(slots=True)
class _Memory:
    """What was rewritten for one hook, granularity and choice of files; kept for the process."""

    hook: Hook
    granularity: Granularity
    is_under_test: IsUnderTest
    handed: Handed | None
    leaving: Hook | None
    # By identity of the module's namespace, which the facts keep alive.
    modules: dict[int, Rewriting] = field(default_factory=dict)
    user_classes: dict[type, bool] = field(default_factory=dict)
    # Whether something was rewritten since garbage was collected.
    has_grown: bool = False

    def learn(self, functions: list[FunctionType]) -> None:
        """Gather facts on the modules of `functions`; rewrite those that nest others first."""
        by_module: dict[int, list[FunctionType]] = {}
        for function in functions:
            by_module.setdefault(id(function.__globals__), []).append(function)
        own = {key: _own_facts(group) for key, group in by_module.items()}
        nested = frozenset[int]().union(*(said.nested for said in own.values()))
        for key, group in by_module.items():
            namespace = group[0].__globals__
            attributes = own[key].attributes.union(
                *(own[other].attributes for other in _drawn_from(namespace) if other in own)
            )
            facts = ModuleFacts(
                namespace,
                own[key].stored,
                attributes,
                self.is_user_class,
                self.is_under_test,
            )
            known = self.modules.get(key)
            if (
                known is None
                or known.facts.stored != facts.stored
                or known.facts.attributes != facts.attributes
            ):
                self.modules[key] = Rewriting(
                    self.hook, self.granularity, facts, self.handed, self.leaving
                )
            for function in group:
                # What is nested gets its verdicts on cells from the function round it, if that one
                # still exists.
                if id(function.__code__) not in nested and id(function.__code__) not in _OURS:
                    self.rewrite(function.__code__, namespace)

    def rewrite(self, code: CodeType, namespace: dict[str, Any]) -> CodeType:
        module = self.modules[id(namespace)]
        known = module.done.get(id(code))
        if known is not None:
            return known[1]
        before = len(module.done)
        self.has_grown = True
        new = module.rewrite(code)
        for original, result in list(module.done.values())[before:]:
            if result is not original:
                _OURS[id(result)] = (result, original)
        return new

    def original(self, code: CodeType) -> CodeType:
        """Return the code that `code` was rewritten from, or `code` itself."""
        ours = _OURS.get(id(code))
        return ours[1] if ours is not None else code

    def must_report(self, code: CodeType) -> bool:
        return any(id(code) in module.entries for module in self.modules.values())

    def is_user_class(self, kind: type) -> bool:
        known = self.user_classes.get(kind)
        if known is None:
            file = getattr(sys.modules.get(kind.__module__), "__file__", None)
            known = self.user_classes[kind] = isinstance(file, str) and self.is_under_test(file)
        return known


# Rewritten code by identity: itself and what it was made from. Both grow with the code of the
# process, never with the number of explorations: that is what makes the second exploration cheap.
_OURS: Final[dict[int, tuple[CodeType, CodeType]]] = {}
_MEMORIES: Final[dict[tuple[Hook, Granularity, IsUnderTest], _Memory]] = {}


def settle() -> None:
    """Make what was rewritten since less to look through: a collection sorts out plain tuples.

    For every function there are half a dozen, and no scan of the heap meets them afterwards.
    """
    if any(memory.has_grown for memory in _MEMORIES.values()):
        for memory in _MEMORIES.values():
            memory.has_grown = False
        gc.collect()


class _OwnFacts(NamedTuple):
    """What the code of some functions says about their module. Most says nothing: `_NO_FACTS`."""

    stored: frozenset[str]
    attributes: frozenset[str]
    nested: frozenset[int]

    @classmethod
    def of_all(cls, several: Iterable["_OwnFacts"]) -> "_OwnFacts":
        """Put together what several say."""
        found = [each for each in set(several) if each != _NO_FACTS]
        if not found:
            return _NO_FACTS
        return cls(*(frozenset[Any]().union(*sets) for sets in zip(*found, strict=True)))


# Thousands of objects that each scan of the heap would look at are one.
_NO_FACTS: Final = _OwnFacts(frozenset(), frozenset(), frozenset())
_CODE_FACTS: Final[dict[int, tuple[CodeType, _OwnFacts]]] = {}
_STORES_GLOBAL: Final = frozenset({dis.opmap["STORE_GLOBAL"], dis.opmap["DELETE_GLOBAL"]})
_STORES_ATTRIBUTE: Final = frozenset({dis.opmap["STORE_ATTR"], dis.opmap["DELETE_ATTR"]})


def _own_facts(functions: list[FunctionType]) -> _OwnFacts:
    facts = _OwnFacts.of_all(_code_facts(function.__code__) for function in functions)
    namespace = functions[0].__globals__
    attributes = set(facts.attributes)
    for value in list(namespace.values()):
        if isinstance(value, type) and value.__module__ == namespace.get("__name__"):
            attributes.update(_data_attributes(value))
    return facts._replace(attributes=frozenset(attributes))


def _code_facts(code: CodeType) -> _OwnFacts:
    known = _CODE_FACTS.get(id(code))
    if known is not None:
        return known[1]
    stored: set[str] = set()
    attributes: set[str] = set()
    for op, arg in operations(code):
        if op in _STORES_GLOBAL:
            stored.add(code.co_names[arg])
        elif op in _STORES_ATTRIBUTE:
            attributes.add(code.co_names[arg])
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    own = _OwnFacts(frozenset(stored), frozenset(attributes), frozenset(map(id, inner)))
    facts = _OwnFacts.of_all([own, *map(_code_facts, inner)])
    _CODE_FACTS[id(code)] = (code, facts)
    return facts


def _data_attributes(kind: type) -> Iterator[str]:
    """Yield attributes of a class that hold data by what the class says of itself."""
    own = vars(kind)
    annotated = own.get("__annotations__")
    if isinstance(annotated, dict):
        yield from annotated
    for name, value in own.items():
        if (
            not name.startswith("__")
            and not callable(value)
            and not hasattr(type(value), "__get__")
        ):
            yield name


def _drawn_from(namespace: dict[str, Any]) -> set[int]:
    """Return the namespaces of modules whose modules, classes and functions stand in this one."""
    found: set[int] = set()
    for value in list(namespace.values()):
        if isinstance(value, ModuleType):
            found.add(id(vars(value)))
        elif isinstance(value, FunctionType):
            found.add(id(value.__globals__))
        elif isinstance(value, type):
            for kind in value.__mro__:
                module = sys.modules.get(kind.__module__)
                if module is not None:
                    found.add(id(vars(module)))
    return found


# Python 3.12 starts with a few hundred objects frozen, none of them a function.
_FROZEN_AT_START: Final = 1_000


def _functions(is_under_test: IsUnderTest) -> list[FunctionType]:
    """Return all functions whose file is under test, but not what is frozen."""
    return _chosen(_existing(), is_under_test)


def _existing(*, also_frozen: bool = False) -> list[FunctionType]:
    """Return all functions; frozen ones only if asked for."""
    if also_frozen and gc.get_freeze_count() > _FROZEN_AT_START:
        # What is frozen is hidden from `get_objects`; both moves take no time.
        gc.unfreeze()
        try:
            return _existing()
        finally:
            gc.freeze()
    return [thing for thing in gc.get_objects() if type(thing) is FunctionType]


def _chosen(functions: list[FunctionType], is_under_test: IsUnderTest) -> list[FunctionType]:
    """Return those whose file is under test.

    A function that a collection has emptied and that something still holds has no globals (seen on
    3.13 behind Hypothesis); nobody can call it any more.
    """
    files = {function.__code__.co_filename for function in functions}
    chosen = {file for file in files if is_under_test(file)}
    return [
        function
        for function in functions
        if function.__code__.co_filename in chosen and function.__globals__ is not None
    ]


def _newest_module() -> tuple[int, str]:
    return len(sys.modules), next(reversed(sys.modules))
