"""Tells what is known of each instruction of one code object before it runs.

What it pushes, where what it uses was pushed, what a call calls and from where, and which variables
of closures are data. Items of the code are named by their index. It changes nothing, and knows
neither what is a point nor what is handed over.
"""

import builtins
import dis
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any, Final

from bytecode import Bytecode, Instr, Label
from bytecode.instr import CellVar, FreeVar

from . import sites, stack_flow

PY312: Final = sys.version_info >= (3, 12)
PY313: Final = sys.version_info >= (3, 13)

#: Nobody knows what is pushed.
UNKNOWN_VALUE: Final = object()
INLINED_SINCE_312: Final = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>"})
#: Methods whose calls are points if the receiver is what they are named after.
KNOWN_METHODS: Final = sites.SYNC_METHODS | sites.CONTAINER_METHODS
#: Instructions that neither raise nor branch nor run other code.
HARMLESS: Final = tuple(
    """
    BUILD_ COPY KW_NAMES LOAD_CLOSURE LOAD_CONST LOAD_DEREF LOAD_FAST LOAD_GLOBAL LOAD_METHOD MAKE_
    NOP POP_TOP PRECALL PUSH_NULL RESUME RETURN_GENERATOR SET_FUNCTION STORE_FAST SWAP
    """.split()
)
#: Instructions that ask whether something is true. Since 3.13 that is one of its own; what follows
#: a comparison is a bool already.
TRUTH_TESTS: Final = (
    ("TO_BOOL",)
    if PY313
    else (
        "UNARY_NOT",
        *(
            name
            for name in dis.opmap
            if "JUMP" in name and name.endswith(("IF_TRUE", "IF_FALSE", "OR_POP"))
        ),
    )
)
_CALLABLES: Final = (BuiltinFunctionType, FunctionType, type)
_LOOKUPS: Final = frozenset({"LOAD_METHOD", "LOAD_ATTR", "LOAD_SUPER_ATTR"})
# Cells that the compiler makes for itself. Up to 3.11 `super()` reads its cell without an
# instruction.
_COMPILER_CELLS: Final = frozenset({"__class__", "__classdict__", "__classcell__"})
_REBINDING: Final = frozenset({dis.opmap["STORE_DEREF"], dis.opmap["DELETE_DEREF"]})


@dataclass(frozen=True, slots=True)
class ModuleFacts:
    """What must be known of a module to tell data from mere names in its functions.

    Args:
        namespace: The module's dict, which is also what an access to one of its globals is reported
            on.
        stored: Globals that some function of the module rebinds.
        attributes: Attributes that hold data: assigned in this module or one that it draws from.
        is_user_class: Says whether a class is defined in code under test.
        is_under_test: Says by file name whether code has points of its own.
    """

    namespace: dict[str, Any]
    stored: frozenset[str]
    attributes: frozenset[str]
    is_user_class: Callable[[type], bool]
    is_under_test: Callable[[str], bool]

    def value_of(self, name: str) -> Any:
        """Return what a global is bound to, if nobody rebinds it."""
        if name in self.stored:
            return UNKNOWN_VALUE
        value = self.namespace.get(name, UNKNOWN_VALUE)
        return vars(builtins).get(name, UNKNOWN_VALUE) if value is UNKNOWN_VALUE else value

    def is_data(self, value: object) -> bool:
        """Say no for functions, classes and constants."""
        return isinstance(value, sites.MUTABLE_CONTAINERS) or self.is_user_class(type(value))


@dataclass(slots=True)
class Call:
    """A call instruction, `before` which anything must be inserted, and what it calls."""

    at: int
    before: int
    callee: int
    arguments: int
    keywords: int
    # Values above the first positional argument plus one, at `before`.
    first_depth: int
    # Where the receiver lies at `before` if it is kept below the call.
    kept_depth: int

    @property
    def positional(self) -> int:
        """How many arguments are given by position."""
        return self.arguments - self.keywords

    def is_about_first(self, function: Any) -> bool:
        """Say whether a call of `function` has its point on the first argument."""
        positional = self.positional
        if not positional or (positional > 1 and is_listed(function, sites.ONLY_ARGUMENT)):
            return False
        return is_listed(function, sites.WRITERS) or is_listed(function, sites.READERS)


def operations(code: CodeType) -> Iterator[tuple[int, int]]:
    """Yield (opcode, argument) for each instruction of `code`, and (0, 0) for each cache entry."""
    extended = 0
    data = code.co_code
    for op, arg in zip(data[::2], data[1::2], strict=True):
        if op == dis.EXTENDED_ARG:
            extended = (extended | arg) << 8
        else:
            yield op, extended | arg
            extended = 0


def is_listed(function: Any, known: frozenset[Any]) -> bool:
    """Say whether a function is one of the known; not by the hash of just any object."""
    if not issubclass(type(function), _CALLABLES):
        return False
    try:
        return function in known
    except TypeError:  # a class whose class says that it has no hash
        return False


class Unreadable(Exception):
    """The body of a class that `bytecode` cannot read.

    It has free variables, and 3.13 has inlined in it a comprehension with a cell of its own.
    """


def _read(code: CodeType) -> Bytecode:
    try:
        return Bytecode.from_code(code, conserve_exception_block_stackdepth=True)
    except IndexError as exc:
        if code.co_flags & inspect.CO_OPTIMIZED:  # a function: to go on would hide its points
            raise
        raise Unreadable(code.co_qualname) from exc


class Instructions:
    """One code object, read.

    Args:
        code: What the compiler made.
        facts: What is known of its module.
        cells: For each free variable whether it is data, as far as somebody knows.

    Raises:
        Unreadable: It is one of the few that cannot be.
    """

    def __init__(self, code: CodeType, facts: ModuleFacts, cells: Mapping[str, bool]) -> None:
        self.code = code
        self.facts = facts
        self.bytecode = _read(code)
        self.items: list[Any] = list(self.bytecode)
        # "" for labels and ends of regions.
        self.names = [item.name if isinstance(item, Instr) else "" for item in self.items]
        self.stacks = stack_flow.stacks_before(self.bytecode)
        # Those that can be reached.
        self.calls = {at: call for at in range(len(self.items)) if (call := self._call_at(at))}
        self.callees = {call.callee for call in self.calls.values()}
        self.asserted = self._methods_of_asserts()
        self.cells = _CellUse(code, self.items, self.names, cells).data

    # ---- what lies where -------------------------------------------------------------------------

    def origin(self, at: int, depth: int) -> int:
        """Return what pushed the value that lies `depth` below the top before the item."""
        stack = self.stacks[at]
        assert stack is not None
        return stack[-depth] if len(stack) >= depth else stack_flow.UNKNOWN

    def operand(self, at: int) -> int:
        """Return what pushed the value on top."""
        return self.origin(at, 1)

    def stored_to(self, local: str, at: int) -> int:
        """Return what pushed the value that was last stored to `local` in the code before `at`."""
        for store in range(at, -1, -1):
            if (
                self.stacks[store] is not None
                and self.names[store].startswith("STORE_FAST")
                and _first(self.items[store].arg) == local
            ):
                return self.operand(store)
        return stack_flow.UNKNOWN

    def value(self, at: int) -> Any:
        """Return what the item pushes, if known: a global nobody rebinds, or one of a module."""
        name = self.names[at] if at >= 0 else ""
        if name == "LOAD_GLOBAL":
            return self.facts.value_of(self.attribute(at))
        if name in ("LOAD_ATTR", "LOAD_METHOD"):
            module = self.value(self.operand(at))
            if isinstance(module, ModuleType):
                return vars(module).get(self.attribute(at), UNKNOWN_VALUE)
        return UNKNOWN_VALUE

    def is_constant(self, at: int) -> bool:
        """Say whether the item pushes a constant."""
        return at >= 0 and self.names[at] in ("LOAD_CONST", "LOAD_SMALL_INT")

    def is_variable(self, at: int) -> bool:
        """Say whether the item pushes a local variable, or one of a closure that is no point."""
        name = self.names[at] if at >= 0 else ""
        if name == "LOAD_DEREF":
            return not self.is_data_cell(self.items[at].arg)
        if "LOAD_FAST" not in name:
            return False
        local = last_local(self.items[at].arg)
        if not local.startswith("@py_assert"):
            return True
        # pytest's rewriting of asserts tests a copy of its own.
        return self.is_variable(self.stored_to(local, at))

    def is_data_cell(self, variable: CellVar | FreeVar) -> bool:
        """Say whether a variable of a closure is data: others may see it rebound."""
        return self.cells.get(variable.name, variable.name not in _COMPILER_CELLS)

    def is_made_for_call(self, at: int) -> bool:
        """Say whether what the item pushes, to be spread by `*`, is a tuple that nobody else has.

        What `*args` collected is one.
        """
        if self.names[at] in ("LIST_TO_TUPLE", "CALL_INTRINSIC_1", "BUILD_TUPLE"):
            return True
        return bool(self.code.co_flags & inspect.CO_VARARGS) and self._is_load_of(
            at, _varargs_name(self.code)
        )

    def _is_load_of(self, at: int, variable: str) -> bool:
        stores = ("STORE_FAST", "STORE_FAST_LOAD_FAST", "STORE_FAST_STORE_FAST")
        return self.items[at].arg == variable and not any(
            name in stores
            and variable in (item.arg if isinstance(item.arg, tuple) else (item.arg,))
            for name, item in zip(self.names, self.items, strict=True)
        )

    # ---- attributes ------------------------------------------------------------------------------

    def attribute(self, at: int) -> str:
        """Return the name that the item looks up."""
        arg = self.items[at].arg
        return str(arg[-1] if isinstance(arg, tuple) else arg)

    def method(self, callee: int) -> str:
        """Return the name of what is looked up to be called, "" if it is no attribute."""
        is_attribute = callee >= 0 and self.names[callee] in _LOOKUPS
        return self.attribute(callee) if is_attribute else ""

    def is_method_load(self, at: int) -> bool:
        """Say whether the compiler saw the lookup of a method that is called."""
        arg = self.items[at].arg
        return self.names[at] == "LOAD_METHOD" or (isinstance(arg, tuple) and bool(arg[0]))

    def is_super(self, at: int) -> bool:
        """Say whether the attribute is looked up in `super()`: it is one of the first argument."""
        if not self.code.co_argcount:
            return False
        return self.names[at] == "LOAD_SUPER_ATTR" or self.is_call_of_super(self.operand(at))

    def is_call_of_super(self, at: int) -> bool:
        """Say whether the item is `super()`."""
        call = self.calls.get(at)
        return call is not None and self.value(call.callee) is super

    def looks_up_data(self, at: int) -> bool:
        """Say whether a lookup is one of data, and not of a method that is called."""
        name = self.attribute(at)
        is_known, is_asserted = name in KNOWN_METHODS, at in self.asserted
        if is_known and is_asserted:
            return False
        is_method = is_asserted or self.is_method_load(at) or (is_known and at in self.callees)
        return not is_method or name in self.facts.attributes

    def is_data_of_module(self, operand: int, name: str) -> bool:
        """Say no for functions, classes and constants that are looked up in a module."""
        module = self.value(operand)
        if not isinstance(module, ModuleType):
            return True
        value = vars(module).get(name, UNKNOWN_VALUE)
        return value is UNKNOWN_VALUE or self.facts.is_data(value)

    # ---- calls -----------------------------------------------------------------------------------

    def is_of_known_method(self, call: Call) -> bool:
        """Say whether a call is one of a method of `KNOWN_METHODS`, and of no function of a module.

        Its point, if it has one, is on the receiver.
        """
        return self.method(call.callee) in KNOWN_METHODS and not isinstance(
            self.value(self.operand(call.callee)), ModuleType
        )

    def callee_depth(self, call: Call) -> int:
        """Return how deep what is called lies before the call, if it is no method of its receiver.

        A NULL is never there: it lies below up to 3.12, and above since.
        """
        if self.names[call.at] == "CALL_FUNCTION_EX":
            return int(self.items[call.at].arg & 1) + (3 if PY313 else 2)
        return call.first_depth + (2 if PY313 else 1)

    def comprehension(self, at: int) -> str:
        """Return the name of the function made on the spot that the call at `at` calls, or ""."""
        call = self.calls.get(at)
        made = call.callee if call is not None else stack_flow.UNKNOWN
        while made >= 0 and self.names[made] == "SET_FUNCTION_ATTRIBUTE":
            made = self.operand(made)
        if made < 0 or self.names[made] != "MAKE_FUNCTION":
            return ""
        code = self.operand(made)
        return str(self.items[code].arg.co_name) if self.is_constant(code) else ""

    def _call_at(self, at: int) -> Call | None:
        name, stack = self.names[at], self.stacks[at]
        if name not in ("CALL", "CALL_KW", "CALL_FUNCTION_EX") or stack is None:
            return None
        arg = self.items[at].arg
        if name == "CALL_FUNCTION_EX":
            above = 1 if sys.version_info >= (3, 14) else int(arg & 1)
            callee = stack[-(3 + above if PY313 else 2 + above)]
            return Call(at, at, callee, 0, 0, 0, above + 4)
        names_on_top = int(name == "CALL_KW")
        pair = stack[-arg - 2 - names_on_top : len(stack) - arg - names_on_top]
        null_first = (
            not PY313 and pair[0] >= 0 and self.names[pair[0]] in ("PUSH_NULL", "LOAD_GLOBAL")
        )
        callee = pair[1] if null_first else pair[0]
        before, keywords = at, 0
        if names_on_top:
            source = stack[-1]
            keywords = (
                len(self.items[source].arg)
                if source >= 0 and self.names[source] == "LOAD_CONST"
                else arg
            )
        # Nothing may come between KW_NAMES, PRECALL and CALL: the first sets a register for the
        # last.
        while before and (
            not self.names[before - 1] or self.names[before - 1] in ("KW_NAMES", "PRECALL")
        ):
            before -= 1
            if self.names[before] == "KW_NAMES":
                keywords = len(self.items[before].arg)
        while not self.names[before]:
            before += 1
        return Call(at, before, callee, arg, keywords, arg + names_on_top, arg + names_on_top + 3)

    def _methods_of_asserts(self) -> set[int]:
        """Return lookups of methods that pytest's rewriting of asserts has parted from their call.

        It turns `assert x.get(k)` into `@py_assert1 = x.get` and a call of that local, so that the
        lookup would count as one of data. Its point, if it has one, lies at the lookup.
        """
        found: set[int] = set()
        for callee in self.callees:
            if callee < 0 or not self.names[callee].endswith("LOAD_FAST"):
                continue
            local = last_local(self.items[callee].arg)
            if not local.startswith("@py_assert"):
                continue
            found.add(self.stored_to(local, callee))
        return found


def last_local(locals_: str | tuple[str, ...]) -> str:
    """Return the local that an instruction pushes last: some are about two."""
    return locals_[-1] if isinstance(locals_, tuple) else locals_


def _first(locals_: str | tuple[str, ...]) -> str:
    return locals_[0] if isinstance(locals_, tuple) else locals_


def _varargs_name(code: CodeType) -> str:
    return code.co_varnames[code.co_argcount + code.co_kwonlyargcount]


class _CellUse:
    """Which variables of closures are data: rebound when another function can see them already.

    A variable that is bound before the first closure over it is made, and never after, is the same
    for all who can see it. So is one that only comprehensions see which 3.12 inlines.
    """

    def __init__(
        self, code: CodeType, items: list[Any], names: list[str], inherited: Mapping[str, bool]
    ) -> None:
        self._items = items
        self._names = names
        self._nested = [c for c in code.co_consts if isinstance(c, CodeType)]
        self.data = {
            name: inherited.get(name, name not in _COMPILER_CELLS) for name in code.co_freevars
        }
        for name in code.co_cellvars:
            self.data[name] = name not in _COMPILER_CELLS and self._is_data(name)

    def _is_data(self, name: str) -> bool:
        seen_by = [code for code in self._nested if name in code.co_freevars]
        if all(_is_inlined_later(code, name) for code in seen_by):
            return False
        if any(_rebinds(code, name) for code in seen_by):
            return True
        closures = [at for at in range(len(self._items)) if self._is_closure_over(at, name)]
        stores = [at for at in range(len(self._items)) if self._is_store_of(at, name)]
        if not stores or not closures:
            return bool(stores)
        return max(stores) > min(closures) or any(self._in_loop(at) for at in stores)

    def _is_closure_over(self, at: int, name: str) -> bool:
        arg = self._items[at].arg if self._names[at] in ("LOAD_CLOSURE", "LOAD_FAST") else None
        return arg == name or (isinstance(arg, CellVar) and arg.name == name)

    def _is_store_of(self, at: int, name: str) -> bool:
        return (
            self._names[at] in ("STORE_DEREF", "DELETE_DEREF") and self._items[at].arg.name == name
        )

    def _in_loop(self, at: int) -> bool:
        labels = {item: place for place, item in enumerate(self._items) if isinstance(item, Label)}
        return any(
            isinstance(item, Instr)
            and isinstance(item.arg, Label)
            and labels[item.arg] <= at < place
            for place, item in enumerate(self._items)
        )


def _is_inlined_later(code: CodeType, name: str) -> bool:
    return code.co_name in INLINED_SINCE_312 and all(
        _is_inlined_later(c, name)
        for c in code.co_consts
        if isinstance(c, CodeType) and name in c.co_freevars
    )


def _rebinds(code: CodeType, name: str) -> bool:
    place = (
        code.co_nlocals
        + len(set(code.co_cellvars) - set(code.co_varnames))
        + code.co_freevars.index(name)
    )
    return any(op in _REBINDING and arg == place for op, arg in operations(code)) or any(
        _rebinds(c, name)
        for c in code.co_consts
        if isinstance(c, CodeType) and name in c.co_freevars
    )
