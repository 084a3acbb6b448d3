"""Rewrites one code object: a call `hook(object, site)` before each access that others can disturb.

    obj.v += 1     LOAD_FAST obj · COPY 1 · [hook(obj, site)] LOAD_ATTR v · LOAD_CONST 1
                   [hook(n, site)] BINARY_OP += · SWAP 2 · [hook(obj, site)] STORE_ATTR v

The object is copied from the stack, so it is the very one that is accessed. What is known of an
instruction stands in `instructions.py`, how calls are inserted in `splicing.py`, what is told of
that is no point in `hand_over.py`. What the hook does, when code is rewritten and how it is put
back are decided elsewhere.
"""

import dis
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import CodeType, FunctionType, MethodDescriptorType, WrapperDescriptorType
from typing import Any, Final

from bytecode import BinaryOp, Instr

from . import sites
from .hand_over import OPERAND, SCALAR_TYPES, Handed, HandOver
from .instructions import (
    HARMLESS,
    INLINED_SINCE_312,
    KNOWN_METHODS,
    PY312,
    TRUTH_TESTS,
    UNKNOWN_VALUE,
    Call,
    Instructions,
    ModuleFacts,
    Unreadable,
)
from .sites import CodeSite, Granularity
from .splicing import Splicing, copied

Hook = Callable[[object, CodeSite], object]
_Push = Callable[[], list[Instr]]


@dataclass(slots=True)
class Rewriting:
    """All the rewriting for one hook and granularity in one module; remembers what it has done.

    The result for a code object is the object itself where there is nothing to insert.
    """

    hook: Hook
    granularity: Granularity
    facts: ModuleFacts
    # Told of what calls hand to code that has no points; None if nobody wants to know.
    handed: Handed | None = None
    # Called before the end of a `with`; None if nobody wants to know.
    leaving: Hook | None = None
    # Keyed by identity, since equal code objects need not be of one function; the value keeps the
    # key alive.
    done: dict[int, tuple[CodeType, CodeType]] = field(default_factory=dict)
    # Identities of code, before and after, that meets a site as soon as it is entered.
    entries: set[int] = field(default_factory=set)
    # Identities of code that nobody could read.
    unread: set[int] = field(default_factory=set)

    def rewrite(self, code: CodeType, cells: Mapping[str, bool] | None = None) -> CodeType:
        """Return `code` with the hook's calls inserted, nested functions included.

        Args:
            code: What the compiler made; not a result of this function.
            cells: For each free variable whether it is data; None if nobody knows.
        """
        known = self.done.get(id(code))
        if known is not None:
            return known[1]
        if self.granularity == "sync" and not _may_synchronise(code):
            result = self._rewrite_constants(code)
        else:
            try:
                function = _Function(self, code, cells or {})
            except Unreadable:
                # It gets no points.
                self.unread.add(id(code))
                result = self._rewrite_constants(code)
            else:
                result = function.rewrite()
                if function.reports_on_entry():
                    self.entries |= {id(code), id(result)}
        self.done[id(code)] = (code, result)
        return result

    def _rewrite_constants(self, code: CodeType) -> CodeType:
        constants = tuple(self.rewrite(c) if isinstance(c, CodeType) else c for c in code.co_consts)
        if all(new is old for new, old in zip(constants, code.co_consts, strict=True)):
            return code
        return code.replace(co_consts=constants)


def sites_of(code: CodeType) -> list[CodeSite]:
    """Return the sites in `code` itself, without those of nested functions, in their order."""
    return sorted(
        (c for c in code.co_consts if isinstance(c, CodeSite)), key=lambda site: site.index
    )


def _may_synchronise(code: CodeType) -> bool:
    return not sites.SYNC_METHODS.isdisjoint(code.co_names) or any(
        op in _WITH for op in code.co_code[::2]
    )


# Without arguments, these wait for as long as it takes.
_WAITING: Final = frozenset({"acquire", "join"})

_WITH: Final = frozenset(
    dis.opmap[name] for name in ("BEFORE_WITH", "LOAD_SPECIAL") if name in dis.opmap
)
_UNBOUND: Final = (FunctionType, MethodDescriptorType, WrapperDescriptorType)


class _Function:
    """The rewriting of one code object: finds the points in it."""

    def __init__(self, rewriting: Rewriting, code: CodeType, cells: Mapping[str, bool]) -> None:
        self._rewriting = rewriting
        self._facts = rewriting.facts
        self._code = code
        self._known = known = Instructions(code, rewriting.facts, cells)
        self._names, self._items, self._stacks = known.names, known.items, known.stacks
        self._splicing = Splicing(known)
        self._sites: dict[tuple[object, ...], CodeSite] = {}
        # Points by the items before which they come.
        self._points: list[tuple[int, CodeSite]] = []
        # Items before which the hook itself is called, whatever the object is.
        self._certain: set[int] = set()

    def rewrite(self) -> CodeType:
        for call in self._known.calls.values():
            if self._known.is_of_known_method(call):
                self._method_call(call)
            else:
                self._reader_call(call)
        for at, name in enumerate(self._names):
            visit = _VISIT.get(name)
            if visit is not None and self._stacks[at] is not None:
                visit(self, at)
        if self._rewriting.leaving is not None:
            for call in self._known.calls.values():
                self._leave(call, self._rewriting.leaving)
        handed = self._rewriting.handed
        if handed is not None and self._rewriting.granularity != "sync":
            HandOver(self._known, self._splicing, handed).tell()
        constants_changed = self._rewrite_nested()
        if not (self._splicing or constants_changed):
            return self._code
        self._number_sites()
        return self._splicing.put_together()

    def reports_on_entry(self) -> bool:
        """Say whether a call of the function meets a site before it can do anything else."""
        if self._code.co_flags & (inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR):
            return False  # such a call does not run the body
        for at, name in enumerate(self._names):
            if at in self._certain:
                return True
            if name and not name.startswith(HARMLESS):
                return False
        return False

    def _rewrite_nested(self) -> bool:
        changed = False
        for at, (name, item) in enumerate(zip(self._names, self._items, strict=True)):
            if name == "LOAD_CONST" and isinstance(item.arg, CodeType):
                new = self._rewriting.rewrite(item.arg, self._known.cells)
                if id(item.arg) in self._rewriting.unread and self._rewriting.handed is not None:
                    unseen = [Instr("LOAD_CONST", (item.arg.co_name,))]
                    handing = sites.Handing(objects="unseen")
                    self._splicing.tell(at, self._rewriting.handed, unseen, handing)
                changed |= new is not item.arg
                item.arg = new
        return changed

    def _number_sites(self) -> None:
        order = sorted(self._points, key=lambda point: point[0])
        for index, site in enumerate(dict.fromkeys(site for _, site in order)):
            object.__setattr__(site, "index", index)

    # ---- calls -----------------------------------------------------------------------------------

    def _method_call(self, call: Call) -> None:
        """Insert the point of a call of a method with a known name."""
        name = self._known.attribute(call.callee)
        sync, shared = name in sites.SYNC_METHODS, name in sites.CONTAINER_METHODS
        site = ("call", f".{name}()", name in sites.WRITING_METHODS)
        first = _copy(call.first_depth)
        operand = self._known.operand(call.callee)
        if operand >= 0 and self._names[operand] == "LOAD_CONST":
            # Of the methods of constants only `"".join(container)` reads anything.
            if name == "join" and call.positional:
                site = ("call", ".join()", False)
                self._insert(call.before, call.at, first, site, shared=True)
            return
        receiver = self._known.value(operand)
        if isinstance(receiver, type) and isinstance(
            inspect.getattr_static(receiver, name, None), _UNBOUND
        ):
            if call.positional:
                self._insert(call.before, call.at, first, site, sync=sync, shared=shared)
            return
        if self._known.is_super(call.callee):
            push = self._splicing.load_self
            self._insert(call.before, call.at, push, site, sync=sync, shared=shared)
            return
        if self._names[call.callee] == "LOAD_SUPER_ATTR":
            return  # `super(C, x)` without any argument to take for x: nobody writes that
        is_spread = self._names[call.at] == "CALL_FUNCTION_EX"
        blocks = name in _WAITING and not call.arguments and not is_spread
        kept = _copy(call.kept_depth)
        self._insert(call.before, call.at, kept, site, sync=sync, shared=shared, blocks=blocks)
        if self._splicing.has_point((call.before,)):
            self._splicing.keep_receiver(call)

    def _reader_call(self, call: Call) -> None:
        function = self._known.value(call.callee)
        if not call.is_about_first(function):
            return
        argument = self._known.origin(call.at, call.first_depth)
        if argument >= 0 and (
            self._names[argument] == "LOAD_CONST"
            or self._known.comprehension(argument) == "<genexpr>"
        ):
            return
        if function is bool and not self._known.is_variable(argument):
            return
        site = ("call", f"{function.__name__}()", function in sites.WRITERS)
        push = _copy(call.first_depth)
        self._insert(
            call.before, call.at, push, site, shared=True, containers_only=function is bool
        )

    def _visit_spread_call(self, at: int) -> None:
        # A lone `*iterable` is handed to the call as it is, and read there. What `*args` collected
        # is a tuple.
        if self._splicing.has_point((at,)):
            return
        depth = 1 + int(self._items[at].arg & 1)
        source = self._known.origin(at, depth)
        if source >= 0 and (
            self._names[source] == "LOAD_CONST" or self._known.is_made_for_call(source)
        ):
            return
        self._insert(at, at, _copy(depth), ("unpack", "*", False), shared=True)

    # ---- attributes and variables ----------------------------------------------------------------

    def _visit_attribute_load(self, at: int) -> None:
        name = self._known.attribute(at)
        if at in self._known.asserted and name in KNOWN_METHODS:
            site = ("call", f".{name}()", name in sites.WRITING_METHODS)
            sync, shared = name in sites.SYNC_METHODS, name in sites.CONTAINER_METHODS
            self._insert(at, at, _copy(1), site, sync=sync, shared=shared)
            return
        if self._known.looks_up_data(at) and self._known.is_data_of_module(
            self._known.operand(at), name
        ):
            push = self._splicing.load_self if self._known.is_super(at) else _copy(1)
            self._insert(at, at, push, ("read", f".{name}", False), shared=True)

    def _visit_attribute_change(self, at: int) -> None:
        site = (_operation(self._names[at]), f".{self._known.attribute(at)}", True)
        self._insert(at, at, _copy(1), site, shared=True)

    def _visit_global(self, at: int) -> None:
        name = self._known.attribute(at)
        operation = _operation(self._names[at])
        if operation == "read":
            if (
                self._names[at] in ("LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
                and name in self._own_names
            ):
                return
            value = self._facts.value_of(name)
            if value is not UNKNOWN_VALUE and not self._facts.is_data(value):
                return
        site = (operation, f"global {name}", operation != "read")
        self._insert(at, at, None, site, shared=True)

    @functools.cached_property
    def _own_names(self) -> set[str]:
        """Names that the body of a class binds for itself."""
        return {
            self._known.attribute(at) for at, name in enumerate(self._names) if name == "STORE_NAME"
        }

    def _visit_cell(self, at: int) -> None:
        variable = self._items[at].arg
        if not self._known.is_data_cell(variable):
            return
        operation = _operation(self._names[at])
        site = (operation, f"cell {variable.name}", operation != "read")
        push = functools.partial(self._splicing.load_cell, variable)
        self._insert(at, at, push, site, shared=True)

    # ---- operators and statements ----------------------------------------------------------------

    def _visit_subscript(self, at: int) -> None:
        name = self._names[at]
        depth = 3 if name.endswith("SLICE") else 2
        container = self._known.origin(at, depth)
        if isinstance(self._known.value(container), type) or self._known.is_constant(container):
            return
        operation = _operation(name)
        self._insert(at, at, _copy(depth), (operation, "[]", operation != "read"), shared=True)

    def _visit_binary(self, at: int) -> None:
        name = BinaryOp(self._items[at].arg).name
        if name == "SUBSCR":
            self._visit_subscript(at)
        elif name.startswith("INPLACE_"):
            self._insert(at, at, _copy(2), ("inplace", name[8:].lower(), True), shared=True)

    def _visit_compare(self, at: int) -> None:
        # What is compared with a number or a name is not read as a container.
        if not any(self._known.is_constant(self._known.origin(at, depth)) for depth in (1, 2)):
            self._insert(at, at, _copy(2), ("compare", "==", False), shared=True)

    def _visit_truth(self, at: int) -> None:
        # What is tested where it has just been read, or made, has had its point, and is told by
        # `hand_over.py`. Most of it is no container: only a look at the type can tell.
        if self._known.is_variable(self._known.operand(at)):
            site = ("test", "bool()", False)
            self._insert(at, at, _copy(1), site, shared=True, containers_only=True)

    def _visit_top(self, at: int) -> None:
        if not self._known.is_constant(self._known.operand(at)):
            self._insert(at, at, _copy(1), (*_TOP[self._names[at]], False), shared=True)

    def _visit_match(self, at: int) -> None:
        depth, what = {"MATCH_KEYS": (2, "[]"), "MATCH_CLASS": (3, "."), "GET_LEN": (1, "len()")}[
            self._names[at]
        ]
        self._insert(at, at, _copy(depth), ("match", what, False), shared=True)

    def _visit_with(self, at: int) -> None:
        site = ("with", "with", True)
        self._insert(at, at, _copy(1), site, sync=True, shared=True, blocks=True)

    def _leave(self, call: Call, leaving: Hook) -> None:
        """Insert a call before the end of a `with`."""
        if call.callee >= 0 and self._names[call.callee] == "BEFORE_WITH":
            # The method `__exit__` lies below the three values that it is given.
            self._insert_leaving(call.at, call.before, leaving)

    def _visit_end_by_exception(self, at: int) -> None:
        leaving = self._rewriting.leaving
        if leaving is not None and self._names[at + 1] != "GET_AWAITABLE":
            # The method lies below what was raised, where, and what was handled before.
            self._insert_leaving(at, at, leaving)

    def _insert_leaving(self, at: int, before: int, leaving: Hook) -> None:
        what = ("end of with", "with", True)
        location = self._items[at].location
        site = self._site(location, what, sync=True, shared=False, blocks=False, is_global=False)
        self._points.append((before, site))
        self._splicing.point(before, leaving, copied(4), site)

    def _visit_await(self, at: int) -> None:
        # Up to 3.11 a comprehension with `async for` is a coroutine function of its own.
        if self._known.comprehension(self._known.operand(at)) in INLINED_SINCE_312:
            return
        what = "await" if self._names[at] == "GET_AWAITABLE" else "async with"
        self._insert(at, at, _copy(1), (what, what, False), sync=True)

    def _visit_special(self, at: int) -> None:
        # 3.14: `with` looks up `__exit__` and `__enter__` one by one; the first lookup stands for
        # both.
        if self._items[at].arg.name == "EXIT":
            self._visit_with(at)

    # ---- what is inserted ------------------------------------------------------------------------

    def _insert(
        self,
        before: int,
        accessing: int,
        push: _Push | None,
        what: tuple[str, str, bool],
        *,
        sync: bool = False,
        shared: bool = False,
        containers_only: bool = False,
        blocks: bool = False,
    ) -> None:
        """Insert the hook's call on what `push` pushes; None is for the module's namespace."""
        if self._rewriting.granularity == "sync" and not sync:
            return
        location = self._items[accessing].location
        site = self._site(
            location, what, sync=sync, shared=shared, blocks=blocks, is_global=push is None
        )
        hook = self._rewriting.hook
        if containers_only:
            hook = _for_containers(hook, self._rewriting.handed)
        else:
            self._certain.add(before)
        self._points.append((before, site))
        operand = push() if push is not None else _load_namespace(site)
        self._splicing.point(before, hook, operand, site)

    def _site(
        self,
        location: Any,
        what: tuple[str, str, bool],
        *,
        sync: bool,
        shared: bool,
        blocks: bool,
        is_global: bool,
    ) -> CodeSite:
        # The compiler copies small blocks and every `finally`; copies are one place, told by their
        # position.
        key = (location, *what)
        site = self._sites.get(key)
        if site is None:
            code = self._code
            line = (
                location.lineno
                if location is not None and location.lineno is not None
                else code.co_firstlineno
            )
            site = self._sites[key] = CodeSite(
                code.co_qualname,
                code.co_filename,
                line,
                -1,
                *what,
                sync=sync,
                shared=shared,
                namespace=self._facts.namespace if is_global else None,
                blocks=blocks,
                span=_span(location),
            )
        return site


def _copy(depth: int) -> _Push:
    """Return what makes a copy of a value, for where it is known to be wanted."""
    return lambda: copied(depth)


def _load_namespace(site: Any) -> list[Instr]:
    # The site carries the namespace: a dict among the constants would spoil their hash.
    name = (False, "namespace") if PY312 else "namespace"
    return [Instr("LOAD_CONST", site), Instr("LOAD_ATTR", name)]


def _operation(name: str) -> str:
    """Return in the words of reports what an instruction does."""
    if name.startswith("STORE"):
        return "write"
    return "delete" if name.startswith("DELETE") else "read"


@functools.cache
def _for_containers(hook: Hook, handed: Handed | None) -> Hook:
    """Return the hook for places where a container is one possibility among many."""

    def at_container(thing: object, site: CodeSite) -> None:
        if isinstance(thing, sites.MUTABLE_CONTAINERS):
            hook(thing, site)
        elif handed is not None and type(thing) not in SCALAR_TYPES:
            handed(thing, OPERAND)

    return at_container


def _span(location: Any) -> tuple[int, int, int] | None:
    """Return where in its line, and down to which, the source of an instruction stands."""
    if location is None or None in (location.end_lineno, location.end_col_offset):
        return None
    return (location.end_lineno, location.col_offset, location.end_col_offset)


_TOP: Final = {
    "CONTAINS_OP": ("contains", "in"),
    "DICT_MERGE": ("update", "**"),
    "DICT_UPDATE": ("update", "**"),
    "FOR_ITER": ("iterate", "next"),
    "GET_ITER": ("iterate", "iter"),
    "GET_YIELD_FROM_ITER": ("iterate", "iter"),
    "LIST_EXTEND": ("update", "*"),
    "SET_UPDATE": ("update", "*"),
    "UNPACK_EX": ("unpack", "="),
    "UNPACK_SEQUENCE": ("unpack", "="),
}

# Only these can be points, beside calls of functions and methods that are known.
_VISIT: Final[Mapping[str, Callable[[_Function, int], None]]] = {
    **dict.fromkeys(_TOP, _Function._visit_top),
    **dict.fromkeys(
        ("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR"), _Function._visit_attribute_load
    ),
    **dict.fromkeys(("STORE_ATTR", "DELETE_ATTR"), _Function._visit_attribute_change),
    **dict.fromkeys(
        ("LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"),
        _Function._visit_global,
    ),
    **dict.fromkeys(
        ("LOAD_DEREF", "STORE_DEREF", "DELETE_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"),
        _Function._visit_cell,
    ),
    **dict.fromkeys(
        ("BINARY_SUBSCR", "STORE_SUBSCR", "DELETE_SUBSCR", "BINARY_SLICE", "STORE_SLICE"),
        _Function._visit_subscript,
    ),
    **dict.fromkeys(("MATCH_KEYS", "MATCH_CLASS", "GET_LEN"), _Function._visit_match),
    "BEFORE_WITH": _Function._visit_with,
    "WITH_EXCEPT_START": _Function._visit_end_by_exception,
    "BEFORE_ASYNC_WITH": _Function._visit_await,
    "GET_AWAITABLE": _Function._visit_await,
    **dict.fromkeys(TRUTH_TESTS, _Function._visit_truth),
    "BINARY_OP": _Function._visit_binary,
    "CALL_FUNCTION_EX": _Function._visit_spread_call,
    "COMPARE_OP": _Function._visit_compare,
    "LOAD_SPECIAL": _Function._visit_special,
}
