"""Rewrites one code object: a call `hook(object, site)` before each access that others can disturb.

    obj.v += 1     LOAD_FAST obj · COPY 1 · [hook(obj, site)] LOAD_ATTR v · LOAD_CONST 1
                   [hook(n, site)] BINARY_OP += · SWAP 2 · [hook(obj, site)] STORE_ATTR v

The object is copied from the stack, so it is the very one that is accessed. The receiver of a
method call is kept below the call's own values from the lookup of the method to its return, since
on 3.13 it cannot be told from the stack whether the call has one. Inserted instructions have the
position of the access: tracebacks, line events and coverage see no difference. What the hook does,
when code is rewritten and how it is put back are decided elsewhere.
"""

import builtins
import dis
import functools
import inspect
import operator
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import CodeType
from typing import Any, Final

from bytecode import BinaryOp, Bytecode, Instr, Label
from bytecode.instr import CellVar, FreeVar, TryBegin, TryEnd

from harness.core.access import READ, WRITE

from . import sites, stack_flow
from .reach import STATES, has_state, is_hidden
from .sites import CodeSite, Granularity, Handing

Hook = Callable[[object, CodeSite], object]
#: Called with what is handed on where there is no point, and with how.
Handed = Callable[[object, Handing], object]

PY312: Final = sys.version_info >= (3, 12)
PY313: Final = sys.version_info >= (3, 13)

_UNKNOWN: Final = object()
_INLINED_SINCE_312: Final = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>"})
# Cells that the compiler makes for itself. Up to 3.11 `super()` reads its cell without an
# instruction.
_COMPILER_CELLS: Final = frozenset({"__class__", "__classdict__", "__classcell__"})


@dataclass(frozen=True, slots=True)
class ModuleFacts:
    """What must be known of a module to tell data from mere names in its functions.

    Args:
        namespace: The module's dict, which is also what an access to one of its globals is reported
        on. stored: Globals that some function of the module rebinds. attributes: Attributes that
        hold data: assigned in this module or one that it draws from. is_user_class: Says whether a
        class is defined in code under test. is_under_test: Says by file name whether code has
        points of its own.
    """

    namespace: dict[str, Any]
    stored: frozenset[str]
    attributes: frozenset[str]
    is_user_class: Callable[[type], bool]
    is_under_test: Callable[[str], bool]


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
    # Keyed by identity, since equal code objects need not be of one function; the value keeps the
    # key alive.
    done: dict[int, tuple[CodeType, CodeType]] = field(default_factory=dict)
    # Identities of code, before and after, that meets a site as soon as it is entered.
    entries: set[int] = field(default_factory=set)

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
            function = _Function(self, code, dict(cells or {}))
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


@dataclass(slots=True)
class _Call:
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


class _Function:
    """The rewriting of one code object.

    # invariant: what is inserted leaves the stack as it was, but for kept receivers, which lie
    directly # below the values of their call and are removed by what follows that call.
    """

    def __init__(self, rewriting: Rewriting, code: CodeType, cells: dict[str, bool]) -> None:
        self._rewriting = rewriting
        self._facts = rewriting.facts
        self._code = code
        self._items = Bytecode.from_code(code, conserve_exception_block_stackdepth=True)
        self._list: list[Any] = list(self._items)
        self._names = [item.name if isinstance(item, Instr) else "" for item in self._list]
        self._stacks = stack_flow.stacks_before(self._items)
        self._calls = {at: call for at in range(len(self._list)) if (call := self._call_at(at))}
        self._callees = {call.callee for call in self._calls.values()}
        self._asserted = self._methods_of_asserts()
        self._cells = _CellUse(code, self._list, self._names, cells).data
        self._inserted: dict[int, list[Instr]] = {}
        # Behind those, calls that tell of what is handed on.
        self._handing: dict[int, list[Instr]] = {}
        self._fresh_locals: dict[str, bool] = {}
        self._appended: dict[int, list[Instr]] = {}
        self._kept: set[int] = set()
        self._sites: dict[tuple[object, ...], CodeSite] = {}

    def rewrite(self) -> CodeType:
        self._mark_calls()
        for at, name in enumerate(self._names):
            visit = _VISIT.get(name)
            if visit is not None and self._stacks[at] is not None:
                visit(self, at)
        if self._hands():
            self._hand_receivers()
        constants_changed = self._rewrite_nested()
        if not (self._inserted or self._handing or constants_changed):
            return self._code
        return self._assemble()

    # ---- what is a point -------------------------------------------------------------------------

    def _mark_calls(self) -> None:
        for at, call in self._calls.items():
            callee = self._names[call.callee] if call.callee >= 0 else ""
            if self._stacks[at] is None:
                continue
            if callee in _LOOKUPS and self._method_call(at, call):
                self._hand_to_method(at, call)
                continue
            self._reader_call(at, call)
            self._hand_over(at, call)

    def _method_call(self, at: int, call: _Call) -> bool:
        """Insert the point of a call of a method with a known name; say whether it was one."""
        name = self._attribute(call.callee)
        sync, shared = name in sites.SYNC_METHODS, name in sites.CONTAINER_METHODS
        if not sync and not shared:
            return False
        operand = self._operand(call.callee)
        if operand >= 0 and self._names[operand] == "LOAD_CONST":
            # Of the methods of constants only `"".join(container)` reads anything.
            if name == "join" and call.arguments - call.keywords:
                self._insert(
                    call.before,
                    at,
                    self._copy(call.first_depth),
                    ("call", ".join()", False),
                    shared=True,
                )
            return True
        receiver = self._value(operand)
        if isinstance(receiver, types.ModuleType):
            return False
        site = ("call", f".{name}()", name in sites.WRITING_METHODS)
        if isinstance(receiver, type) and isinstance(
            inspect.getattr_static(receiver, name, None), _UNBOUND
        ):
            if call.arguments - call.keywords:
                self._insert(
                    call.before, at, self._copy(call.first_depth), site, sync=sync, shared=shared
                )
            return True
        if self._is_super(call.callee):
            self._insert(call.before, at, self._load_self, site, sync=sync, shared=shared)
            return True
        if self._names[call.callee] == "LOAD_SUPER_ATTR":
            return True  # `super(C, x)` without any argument to take for x: nobody writes that
        blocks = name in _WAITING and not call.arguments and self._names[at] != "CALL_FUNCTION_EX"
        self._insert(
            call.before,
            at,
            self._copy(call.kept_depth),
            site,
            sync=sync,
            shared=shared,
            blocks=blocks,
        )
        if call.before in self._inserted:
            self._kept_receiver(call)
        return True

    def _keep_receiver(self, load: int) -> None:
        """Copy the operand of `load` below what the call that uses it will take off the stack."""
        if load in self._kept:
            return
        self._kept.add(load)
        where = self._list[load].location
        keep = [Instr("COPY", 1, location=where)]
        stack = self._stacks[load]
        assert stack
        if not self._is_method_load(load) and self._has_null_below(stack):
            # A plain lookup that is called has its NULL already below the object; it must end up
            # above the copy.
            keep += [Instr("SWAP", 3, location=where), Instr("SWAP", 2, location=where)]
        # The copy precedes any point that lies at the lookup itself, which only looks at the top.
        self._inserted.setdefault(load, [])[:0] = keep

    def _kept_receiver(self, call: _Call) -> Callable[[int], list[Instr]]:
        """Keep the receiver of a call, and return what pushes it before the call."""
        self._keep_receiver(call.callee)
        self._append(call.at, Instr("SWAP", 2), Instr("POP_TOP"))
        return self._copy(call.kept_depth)

    def _reader_call(self, at: int, call: _Call) -> None:
        function = self._value(call.callee)
        positional = call.arguments - call.keywords
        if (
            self._names[at] == "CALL_FUNCTION_EX"
            or not positional
            or not isinstance(function, _CALLABLES)
        ):
            return
        try:
            writes, reads = function in sites.WRITERS, function in sites.READERS
        except TypeError:  # unhashable: not one of ours
            return
        if not (writes or reads) or (function in sites.ONLY_ARGUMENT and positional > 1):
            return
        stack = self._stacks[at]
        assert stack is not None
        argument = stack[-call.first_depth]
        if argument >= 0 and (
            self._names[argument] == "LOAD_CONST" or self._comprehension(argument) == "<genexpr>"
        ):
            return
        site = ("call", f"{function.__name__}()", writes)
        if function is bool and not self._is_variable(argument):
            return
        push = self._copy(call.first_depth)
        self._insert(call.before, at, push, site, shared=True, containers_only=function is bool)

    # ---- what is handed on where there is no point -----------------------------------------------

    def _hand_over(self, at: int, call: _Call) -> None:
        """Tell of what a call hands to code that has no points of its own.

        It is no point: who looks into a container there does so in the step that the call is in.
        """
        if not self._hands():
            return
        function = self._value(call.callee)
        mode = self._naming(at, call, function)
        if mode is not None:
            self._hand_named(call, mode)
            return
        handing = self._handing_of(call.callee, function)
        if handing is None:
            return
        if self._names[at] == "CALL_FUNCTION_EX":
            self._hand_spread(at, handing)
            return
        is_reader = self._has_reader_point(function, call)
        stack = self._stacks[at]
        assert stack is not None
        names_on_top = int(self._names[at] == "CALL_KW")
        depths = range(names_on_top + 1, names_on_top + call.arguments + 1)
        opens = any(self._makes(self._value_or_maker(stack[-depth])) for depth in depths)
        if opens:
            handing = replace(handing, objects="all")
        for depth in depths:
            # Of the first argument its point tells, but not what a getter takes out of it.
            if opens or not is_reader or depth != call.first_depth:
                self._hand(call.before, depth, handing, stack)
        self._hand_callee(call, function, handing)

    def _hand_receivers(self) -> None:
        """Tell of the receivers of methods that nobody knows: a library may change what it keeps.

        They are told where the method is looked up, unless others might come between that and the
        call: to keep a receiver until then takes longer.
        """
        for at, call in self._calls.items():
            name = self._method(call.callee)
            if not name or not self._is_method_load(call.callee) or name in _TOLD_BY_NAME:
                continue
            if self._stacks[at] is None or not self._may_be_hidden(self._operand(call.callee)):
                continue
            mode = READ if name in sites.SHOWING_METHODS else WRITE
            handing = Handing(mode, inside=False, hidden=True)
            between = range(call.callee + 1, at)
            if self._inserted.keys().isdisjoint(range(call.callee + 1, at + 1)) and all(
                self._names[each].startswith(_HARMLESS) for each in between if self._names[each]
            ):
                place, push = call.callee, self._copy(1)
            else:
                place, push = call.before, self._kept_receiver(call)
            handed: Any = self._rewriting.handed
            told = self._told(_for_hidden(handed), push(2), handing, self._list[place])
            self._handing.setdefault(place, []).extend(told)

    def _may_be_hidden(self, receiver: int) -> bool:
        """Say no for what is known to be no object of a library."""
        if self._is_scalar(receiver) or self._is_made(receiver) or self._is_self(receiver):
            return False
        value = self._value(receiver)
        return value is _UNKNOWN or has_state(type(value))

    def _is_self(self, at: int) -> bool:
        if at >= 0 and "LOAD_FAST" in self._names[at]:
            return _last(self._list[at].arg) in _OWN and self._code.co_argcount > 0
        call = self._calls.get(at)
        return call is not None and self._value(call.callee) is super

    def _naming(self, at: int, call: _Call, function: Any) -> int | None:
        """Return how a call uses an attribute that it names, None if it does not."""
        if self._names[at] == "CALL_FUNCTION_EX":
            return None
        if self._has_reader_point(function, call):
            is_about_one = function in _NAMING and call.arguments > 1
            return (WRITE if function in sites.WRITERS else READ) if is_about_one else None
        name = self._method(call.callee) or getattr(function, "__name__", "")
        is_known = function is _UNKNOWN or isinstance(function, types.WrapperDescriptorType)
        return _NAMING_METHODS.get(name) if is_known and call.arguments else None

    def _hand_named(self, call: _Call, mode: int) -> None:
        """Tell of the attribute that a call names: of its first argument, unless it is a method."""
        name, first = self._method(call.callee), self._copy(call.first_depth)
        second = self._copy(call.first_depth - 1)
        if call.arguments > 1 + (name == "__setattr__") or not name:
            pair = [*first(2), *second(3)]
        elif self._is_super(call.callee):
            pair = [*self._load_self(2), *first(3)]
        else:
            pair = [*self._kept_receiver(call)(2), *first(3)]
        self._tell_named(call.before, pair, mode)

    def _tell_named(self, before: int, pair: list[Instr], mode: int) -> None:
        if self._hands():
            pair = [*pair, Instr("BUILD_TUPLE", 2)]
            self._tell(before, pair, Handing(mode, objects="named"))

    def _hands(self) -> bool:
        return self._rewriting.handed is not None and self._rewriting.granularity != "sync"

    def _handing_of(self, callee: int, function: Any) -> Handing | None:
        """Return how a call hands on its arguments, None if it does not or tells by itself."""
        if function is _UNKNOWN:
            return self._handing_of_unknown(callee)
        if self._has_points(function):
            return None
        if isinstance(function, _GETTERS):
            return Handing(READ, inside=_goes_deep(function), objects="all")
        if _is_listed(function, sites.CARRIERS):
            return None
        if _is_listed(function, sites.OPENERS):
            return Handing(READ, inside=function not in sites.SHALLOW, objects="all")
        if _is_listed(function, sites.READERS | sites.WRITERS | sites.LOOKERS):
            return _EXPRESSION
        if isinstance(function, type) and issubclass(function, BaseException):
            return Handing(READ, inside=False)
        return Handing(WRITE, hidden=True, objects="generated")

    def _handing_of_unknown(self, callee: int) -> Handing | None:
        if callee >= 0 and self._names[callee] in ("MAKE_FUNCTION", "SET_FUNCTION_ATTRIBUTE"):
            return None
        name = self._method(callee)
        if not name and self._makes(self._value_or_maker(callee)):
            return Handing(READ, objects="all")
        if name in sites.CARRYING_METHODS:
            return Handing(READ, inside=False)
        if name in ("format", "vformat") and self._may_name_attributes(self._operand(callee)):
            return Handing(READ, objects="all")
        return _EXPRESSION if name in sites.SHOWING_METHODS else Handing(READ, hidden=True)

    def _may_name_attributes(self, template: int) -> bool:
        return not self._is_constant(template) or "." in str(self._list[template].arg)

    def _value_or_maker(self, at: int) -> Any:
        """Return what an item pushes, or the class or function whose result it is, if known."""
        if at >= 0 and self._names[at] == "LOAD_FAST":
            at = self._stored_to(self._list[at].arg, at)
        call = self._calls.get(at)
        return self._value(call.callee if call is not None else at)

    def _makes(self, value: Any) -> bool:
        """Say whether a value gets attributes out of objects, or makes what does."""
        return isinstance(value, _GETTERS) or any(value is getter for getter in _GETTERS)

    def _has_points(self, function: Any) -> bool:
        """Say whether a function tells by itself what it does with its arguments, if anything.

        Who gives a method of a built-in class a name of his own does not want it to be seen.
        """
        if isinstance(function, _UNSEEN):
            return True
        while (name := _BEHIND.get(type(function))) is not None:
            function = getattr(function, name)
        if isinstance(function, types.FunctionType):
            return self._facts.is_under_test(function.__code__.co_filename)
        if self._facts.is_user_class(function if isinstance(function, type) else type(function)):
            return True
        return _is_listed(function, _BLIND)

    def _has_reader_point(self, function: Any, call: _Call) -> bool:
        """Say whether the first argument of a call is the matter of its point."""
        positional = call.arguments - call.keywords
        if not positional or (positional > 1 and _is_listed(function, sites.ONLY_ARGUMENT)):
            return False
        return _is_listed(function, sites.WRITERS) or _is_listed(function, sites.READERS)

    def _hand_spread(self, at: int, handing: Handing) -> None:
        """Tell of what is handed on by `*` and `**`: not of the tuple and dict that are made."""
        stack = self._stacks[at]
        assert stack is not None
        flag = int(self._list[at].arg & 1)
        spread = replace(handing, itself=False, is_private=True)
        if not handing.inside:
            return
        if flag and not self._is_constant(stack[-1]):
            self._tell(at, self._copy(1)(2), spread)
        source = stack[-1 - flag]
        if source >= 0 and self._is_constant(source):
            return
        if source < 0 or not self._is_made_for_call(source):
            # The call goes through it itself, which is a point.
            spread = replace(spread, is_private=False)
        self._tell(at, self._copy(1 + flag)(2), spread)

    def _is_made_for_call(self, source: int) -> bool:
        if self._names[source] in ("LIST_TO_TUPLE", "CALL_INTRINSIC_1", "BUILD_TUPLE"):
            return True
        return bool(self._code.co_flags & inspect.CO_VARARGS) and self._is_load_of(
            source, _varargs_name(self._code)
        )

    def _hand_to_method(self, at: int, call: _Call) -> None:
        """Tell of what a method with a point gets beside its receiver, if it looks into that."""
        name = self._attribute(call.callee)
        if not self._hands() or self._names[at] == "CALL_FUNCTION_EX":
            return
        stack = self._stacks[at]
        assert stack is not None
        names_on_top = int(self._names[at] == "CALL_KW")
        depths = range(names_on_top + 1, names_on_top + call.arguments + 1)
        if name in sites.COMPARING_METHODS:
            for depth in depths:
                self._hand(call.before, depth, Handing(READ, objects="generated"), stack)
        elif name == "sort" and any(
            self._makes(self._value_or_maker(stack[-depth])) for depth in depths
        ):
            if call.callee in self._kept:
                handing = Handing(READ, itself=False, objects="all")
                self._tell(call.before, self._copy(call.kept_depth)(2), handing)

    def _hand_callee(self, call: _Call, function: Any, handing: Handing) -> None:
        """Tell of what a call reads that is bound to what is called."""
        callee = call.callee
        name = self._names[callee] if callee >= 0 else ""
        if name in ("LOAD_METHOD", "LOAD_ATTR"):
            is_method = self._is_method_load(callee)
            if is_method and self._attribute(callee) in sites.LOOKING_METHODS:
                receiver = self._operand(callee)
                if self._is_scalar(receiver) or isinstance(
                    self._value(receiver), (type, types.ModuleType)
                ):
                    return
                self._tell(call.before, self._kept_receiver(call)(2), _EXPRESSION)
        elif isinstance(function, functools.partial) or (
            function is _UNKNOWN and self._is_variable(callee)
        ):
            depth = call.first_depth + (2 if PY313 else 1)
            bound = replace(handing, itself=False, inside=True)
            self._tell(call.before, self._copy(depth)(2), bound)

    def _hand(self, before: int, depth: int, handing: Handing, stack: stack_flow.Stack) -> None:
        """Tell of one value on the stack, if it may be a container, or hold one."""
        at = stack[-depth] if len(stack) >= depth else stack_flow.UNKNOWN
        if self._is_scalar(at):
            return
        if self._is_fresh(at, stack, depth):
            if not handing.inside:
                return
            handing = replace(handing, itself=False, is_private=True)
        elif at >= 0 and not self._may_hold(self._value(at), handing):
            return
        self._tell(before, self._copy(depth)(2), handing)

    def _tell(self, before: int, operand: list[Instr], handing: Handing) -> None:
        told = self._told(self._rewriting.handed, operand, handing, self._list[before])
        self._handing.setdefault(before, []).extend(told)

    def _may_hold(self, value: Any, handing: Handing) -> bool:
        """Say no for what is known to be no container, and no object that counts."""
        if value is _UNKNOWN or isinstance(value, _HOLDING):
            return True
        if handing.hidden and is_hidden(type(value)):
            return True
        return handing.objects != "none" and self._facts.is_user_class(type(value))

    def _is_scalar(self, at: int, depth: int = 8) -> bool:
        """Say whether an item pushes what is no container and holds none, as far as can be told."""
        if at < 0 or not depth:
            return False
        name = self._names[at]
        if self._is_constant(at):
            return not isinstance(self._list[at].arg, bytes)
        if type(self._value(at)) in _ATOMS:
            return True
        if name.startswith(_SCALAR):
            return True
        if name in ("CALL", "CALL_KW"):
            function = self._value_or_maker(at)
            return _is_listed(function, sites.SCALARS)
        if name != "BINARY_OP":
            return False
        name = BinaryOp(self._list[at].arg).name.removeprefix("INPLACE_")
        if name in _OF_NUMBERS:
            return True
        if name not in _OF_CONTAINERS or name == "MULTIPLY":
            return False
        stack = self._stacks[at]
        return stack is not None and (
            self._is_scalar(stack[-1], depth - 1) or self._is_scalar(stack[-2], depth - 1)
        )

    def _is_fresh(self, at: int, stack: stack_flow.Stack, depth: int) -> bool:
        """Say whether a value was made on the spot, or is of a local that only ever is."""
        if at < 0:
            return False
        if self._is_made(at):
            return True
        if "LOAD_FAST" not in self._names[at]:
            return False
        local = self._list[at].arg
        if isinstance(local, tuple):
            is_upper = len(stack) > depth and stack[-depth - 1] == at
            local = local[int(is_upper)]
        if local not in self._fresh_locals:
            self._fresh_locals[local] = self._is_fresh_local(local)
        return self._fresh_locals[local]

    def _is_made(self, at: int) -> bool:
        if at < 0:
            return False
        if self._names[at].startswith(_MAKING):
            return True
        if self._comprehension(at) in _INLINED_SINCE_312:
            return True
        if self._names[at] == "BINARY_OP":
            # What an operator returns is new, but for what it has changed in place.
            return not BinaryOp(self._list[at].arg).name.startswith(("INPLACE_", "SUBSCR"))
        function = self._value_or_maker(at) if at in self._calls else _UNKNOWN
        return _is_listed(function, sites.MAKERS)

    def _is_fresh_local(self, local: str) -> bool:
        """Say whether a local holds only what is made on the spot, and is nowhere stored."""
        if local in self._code.co_varnames[: _parameters(self._code)]:
            return False
        made = False
        for at, name in enumerate(self._names):
            stack = self._stacks[at]
            if stack is None or not name:
                continue
            arg = self._list[at].arg
            if name == "STORE_FAST" and arg == local:
                made = True
                if not self._is_made(stack[-1]):
                    return False
            elif name.startswith(("STORE_FAST_", "STORE_DEREF")) and local in str(arg):
                return False
            elif name in _STORING and self._loads(stack[-_STORING[name]], local):
                return False
        return made

    def _loads(self, at: int, local: str) -> bool:
        if at < 0 or "LOAD_FAST" not in self._names[at]:
            return False
        arg = self._list[at].arg
        return local in arg if isinstance(arg, tuple) else bool(arg == local)

    def _visit_truth(self, at: int) -> None:
        # What is tested where it has just been read, or made, has had its point. Most of what is
        # tested is no container: only a look at the type can tell.
        if self._is_variable(self._operand(at)):
            site = ("test", "bool()", False)
            self._insert(at, at, self._copy(1), site, shared=True, containers_only=True)

    def _visit_attribute_load(self, at: int) -> None:
        name = self._attribute(at)
        is_known = name in sites.SYNC_METHODS or name in sites.CONTAINER_METHODS
        if at in self._asserted and is_known:
            site = ("call", f".{name}()", name in sites.WRITING_METHODS)
            sync, shared = name in sites.SYNC_METHODS, name in sites.CONTAINER_METHODS
            self._insert(at, at, self._copy(1), site, sync=sync, shared=shared)
            return
        is_method = self._is_method_load(at) or at in self._asserted
        if (is_method or (is_known and at in self._callees)) and name not in self._facts.attributes:
            return
        if not self._is_data_of_module(self._operand(at), name):
            self._hand_setting(at, name)
            return
        is_super = self._is_super(at)
        push = self._load_self if is_super else self._copy(1)
        self._insert(at, at, push, ("read", f".{name}", False), shared=True)
        if is_super:
            # It passes over what comes first, and what the object has itself.
            self._tell_named(at, [*self._load_self(2), Instr("LOAD_CONST", name)], READ)

    def _hand_setting(self, at: int, name: str) -> None:
        """Tell of what is looked up in a module under test, though no point, and may be rebound."""
        module = self._value(self._operand(at))
        value, file = vars(module).get(name), getattr(module, "__file__", None)
        is_named = callable(value) or isinstance(value, types.ModuleType)
        # A constant, by its name, unless somebody is seen to rebind it.
        is_named |= name.isupper() and name not in self._facts.attributes
        if self._hands() and not is_named and file and self._facts.is_under_test(file):
            self._tell_named(at, [*self._copy(1)(2), Instr("LOAD_CONST", name)], READ)

    def _visit_attribute_change(self, at: int) -> None:
        operation = "write" if self._names[at] == "STORE_ATTR" else "delete"
        self._insert(
            at, at, self._copy(1), (operation, f".{self._attribute(at)}", True), shared=True
        )

    def _is_data_of_module(self, operand: int, name: str) -> bool:
        """Say no for functions, classes and constants that are looked up in a module."""
        module = self._value(operand)
        if not isinstance(module, types.ModuleType):
            return True
        value = vars(module).get(name, _UNKNOWN)
        return value is _UNKNOWN or self._is_data(value)

    def _is_data(self, value: object) -> bool:
        return isinstance(value, sites.MUTABLE_CONTAINERS) or self._facts.is_user_class(type(value))

    def _visit_global(self, at: int) -> None:
        name, writes = self._global(at), not self._names[at].startswith("LOAD")
        if not writes:
            if (
                self._names[at] in ("LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
                and name in self._own_names()
            ):
                return
            value = self._value_of_global(name)
            if value is not _UNKNOWN and not self._is_data(value):
                return
        operation = {"LOAD": "read", "STORE": "write", "DELETE": "delete"}[
            self._names[at].split("_")[0]
        ]
        self._insert(at, at, None, (operation, f"global {name}", writes), shared=True)

    def _own_names(self) -> set[str]:
        """Names that the body of a class binds for itself."""
        return {self._attribute(at) for at, name in enumerate(self._names) if name == "STORE_NAME"}

    def _visit_cell(self, at: int) -> None:
        variable = self._list[at].arg
        if not self._is_data_cell(variable):
            return
        operation = {"STORE": "write", "DELETE": "delete"}.get(
            self._names[at].split("_")[0], "read"
        )
        site = (operation, f"cell {variable.name}", operation != "read")

        def push(_: int) -> list[Instr]:
            return [self._load_cell(variable)]

        self._insert(at, at, push, site, shared=True)

    def _is_data_cell(self, variable: CellVar | FreeVar) -> bool:
        return self._cells.get(variable.name, variable.name not in _COMPILER_CELLS)

    def _visit_subscript(self, at: int) -> None:
        name = self._names[at]
        depth = 3 if name.endswith("SLICE") else 2
        container = self._origin(at, depth)
        if isinstance(self._value(container), type) or self._is_constant(container):
            return
        operation = {"STORE": "write", "DELETE": "delete"}.get(name.split("_")[0], "read")
        self._insert(at, at, self._copy(depth), (operation, "[]", operation != "read"), shared=True)

    def _visit_compare(self, at: int) -> None:
        # What is compared with a number or a name is not read as a container.
        if not self._is_constant(self._origin(at, 1)) and not self._is_constant(
            self._origin(at, 2)
        ):
            self._insert(at, at, self._copy(2), ("compare", "==", False), shared=True)
            if not self._is_scalar(self._origin(at, 2)):
                # Of the left one its point tells.
                self._hand_operand(at, 1, _EXPRESSION)

    def _visit_binary(self, at: int) -> None:
        name = BinaryOp(self._list[at].arg).name
        if name == "SUBSCR":
            self._visit_subscript(at)
        elif name.startswith("INPLACE_"):
            self._insert(at, at, self._copy(2), ("inplace", name[8:].lower(), True), shared=True)
        if name.endswith("REMAINDER"):
            self._hand_operand(at, 1, _EXPRESSION)
        elif name in _OF_CONTAINERS:
            self._visit_operands(at, name)

    def _visit_operands(self, at: int, operator: str) -> None:
        """Tell of operands that may be containers: they are read, but not what lies in them."""
        scalars = [self._is_scalar(self._origin(at, depth)) for depth in (1, 2)]
        if all(scalars) or (any(scalars) and operator != "MULTIPLY"):
            return
        for depth in (2, 1):
            self._hand_operand(at, depth, _OPERAND)

    def _visit_format(self, at: int) -> None:
        name, arg = self._names[at], self._list[at].arg
        has_spec = name == "FORMAT_WITH_SPEC" or (name == "FORMAT_VALUE" and bool(arg & 4))
        self._hand_operand(at, 1 + has_spec, _EXPRESSION)

    def _visit_slice(self, at: int) -> None:
        self._visit_subscript(at)
        if self._names[at] == "STORE_SLICE":
            self._hand_operand(at, 4, _OPERAND)
        elif self._names[self._origin(at, 1)] == "BUILD_SLICE":
            self._hand_operand(at, 3, _OPERAND)

    def _visit_sign(self, at: int) -> None:
        """Tell of a counter whose positive or negative counts are taken."""
        is_sign = self._names[at] != "CALL_INTRINSIC_1" or "POSITIVE" in str(self._list[at].arg)
        if is_sign:
            self._hand_operand(at, 1, _OPERAND)

    def _hand_operand(self, at: int, depth: int, handing: Handing) -> None:
        stack = self._stacks[at]
        if stack is not None and self._hands():
            self._hand(at, depth, handing, stack)

    def _visit_top(self, at: int) -> None:
        if not self._is_constant(self._origin(at, 1)):
            self._insert(at, at, self._copy(1), (*_TOP[self._names[at]], False), shared=True)

    def _visit_spread_call(self, at: int) -> None:
        # A lone `*iterable` is handed to the call as it is, and read there. What `*args` collected
        # is a tuple.
        if at in self._inserted:
            return
        depth = 1 + int(self._list[at].arg & 1)
        source = self._origin(at, depth)
        if source >= 0:
            if self._names[source] in (
                "LIST_TO_TUPLE",
                "CALL_INTRINSIC_1",
                "BUILD_TUPLE",
                "LOAD_CONST",
            ):
                return
            if self._code.co_flags & inspect.CO_VARARGS and self._is_load_of(
                source, _varargs_name(self._code)
            ):
                return
        self._insert(at, at, self._copy(depth), ("unpack", "*", False), shared=True)

    def _visit_match(self, at: int) -> None:
        depth, what = {"MATCH_KEYS": (2, "[]"), "MATCH_CLASS": (3, "."), "GET_LEN": (1, "len()")}[
            self._names[at]
        ]
        self._insert(at, at, self._copy(depth), ("match", what, False), shared=True)
        if what == ".":
            names = self._origin(at, 1)
            by_name = self._list[names].arg if self._is_constant(names) else ()
            # Those without a name by how many they are.
            for each in (*by_name, *filter(None, [self._list[at].arg])):
                self._tell_named(at, [*self._copy(depth)(2), Instr("LOAD_CONST", each)], READ)

    def _visit_with(self, at: int) -> None:
        self._insert(
            at, at, self._copy(1), ("with", "with", True), sync=True, shared=True, blocks=True
        )

    def _visit_await(self, at: int) -> None:
        # Up to 3.11 a comprehension with `async for` is a coroutine function of its own.
        if self._comprehension(self._operand(at)) in _INLINED_SINCE_312:
            return
        what = "await" if self._names[at] == "GET_AWAITABLE" else "async with"
        self._insert(at, at, self._copy(1), (what, what, False), sync=True)

    def _visit_special(self, at: int) -> None:
        # 3.14: `with` looks up `__exit__` and `__enter__` one by one; the first lookup stands for
        # both.
        if self._list[at].arg.name == "EXIT":
            self._visit_with(at)

    # ---- what is known of an instruction ---------------------------------------------------------

    def _call_at(self, at: int) -> _Call | None:
        name, stack = self._names[at], self._stacks[at]
        if name not in ("CALL", "CALL_KW", "CALL_FUNCTION_EX") or stack is None:
            return None
        arg = self._list[at].arg
        if name == "CALL_FUNCTION_EX":
            above = 1 if sys.version_info >= (3, 14) else int(arg & 1)
            callee = stack[-(3 + above if PY313 else 2 + above)]
            return _Call(at, at, callee, 0, 0, 0, above + 4)
        names_on_top = int(name == "CALL_KW")
        pair = stack[-arg - 2 - names_on_top : len(stack) - arg - names_on_top]
        null_first = (
            not PY313 and pair[0] >= 0 and self._names[pair[0]] in ("PUSH_NULL", "LOAD_GLOBAL")
        )
        callee = pair[1] if null_first else pair[0]
        before, keywords = at, 0
        if names_on_top:
            source = stack[-1]
            keywords = (
                len(self._list[source].arg)
                if source >= 0 and self._names[source] == "LOAD_CONST"
                else arg
            )
        # Nothing may come between KW_NAMES, PRECALL and CALL: the first sets a register for the
        # last.
        while before and (
            not self._names[before - 1] or self._names[before - 1] in ("KW_NAMES", "PRECALL")
        ):
            before -= 1
            if self._names[before] == "KW_NAMES":
                keywords = len(self._list[before].arg)
        while not self._names[before]:
            before += 1
        return _Call(at, before, callee, arg, keywords, arg + names_on_top, arg + names_on_top + 3)

    def _has_null_below(self, stack: stack_flow.Stack) -> bool:
        """Say whether below the top lies the NULL of a call to come; since 3.13 it is above."""
        if PY313 or len(stack) < 2 or stack[-2] < 0:
            return False
        below = stack[-2]
        if self._names[below] == "PUSH_NULL":
            return True
        # `LOAD_GLOBAL (NULL + name)` pushes both; the value may since have become an attribute of
        # it.
        is_pair = self._names[below] == "LOAD_GLOBAL" and bool(self._list[below].arg[0])
        return is_pair and (stack[-1] == below or stack[-3:-2] != (below,))

    def _attribute(self, at: int) -> str:
        arg = self._list[at].arg
        return str(arg[-1] if isinstance(arg, tuple) else arg)

    def _global(self, at: int) -> str:
        return self._attribute(at)

    def _method(self, callee: int) -> str:
        """Return the name of what is looked up to be called, "" if it is no attribute."""
        is_attribute = callee >= 0 and self._names[callee] in _LOOKUPS
        return self._attribute(callee) if is_attribute else ""

    def _is_method_load(self, at: int) -> bool:
        arg = self._list[at].arg
        return self._names[at] == "LOAD_METHOD" or (isinstance(arg, tuple) and bool(arg[0]))

    def _methods_of_asserts(self) -> set[int]:
        """Return lookups of methods that pytest's rewriting of asserts has parted from their call.

        It turns `assert x.get(k)` into `@py_assert1 = x.get` and a call of that local, so that the
        lookup would count as one of data. Its point, if it has one, lies at the lookup.
        """
        found: set[int] = set()
        for callee in self._callees:
            if callee < 0 or not self._names[callee].endswith("LOAD_FAST"):
                continue
            local = _last(self._list[callee].arg)
            if not local.startswith("@py_assert"):
                continue
            found.add(self._stored_to(local, callee))
        return found

    def _is_super(self, at: int) -> bool:
        """Say whether the attribute is looked up in `super()`: it is one of the first argument."""
        if not self._code.co_argcount:
            return False
        call = self._calls.get(self._operand(at))
        return self._names[at] == "LOAD_SUPER_ATTR" or (
            call is not None and self._value(call.callee) is super
        )

    def _comprehension(self, at: int) -> str:
        """Return the name of the function made on the spot that the call at `at` calls, or ""."""
        call = self._calls.get(at)
        made = call.callee if call is not None else stack_flow.UNKNOWN
        while made >= 0 and self._names[made] == "SET_FUNCTION_ATTRIBUTE":
            made = self._operand(made)
        if made < 0 or self._names[made] != "MAKE_FUNCTION":
            return ""
        code = self._operand(made)
        return str(self._list[code].arg.co_name) if self._is_constant(code) else ""

    def _is_constant(self, at: int) -> bool:
        return at >= 0 and self._names[at] in ("LOAD_CONST", "LOAD_SMALL_INT")

    def _is_load_of(self, at: int, variable: str) -> bool:
        stores = ("STORE_FAST", "STORE_FAST_LOAD_FAST", "STORE_FAST_STORE_FAST")
        return self._list[at].arg == variable and not any(
            name in stores
            and variable in (item.arg if isinstance(item.arg, tuple) else (item.arg,))
            for name, item in zip(self._names, self._list, strict=True)
        )

    def _is_variable(self, at: int) -> bool:
        """Say whether the item pushes a local variable, or one of a closure that is no point."""
        name = self._names[at] if at >= 0 else ""
        if name == "LOAD_DEREF":
            return not self._is_data_cell(self._list[at].arg)
        if "LOAD_FAST" not in name:
            return False
        local = _last(self._list[at].arg)
        if not local.startswith("@py_assert"):
            return True
        # pytest's rewriting of asserts tests a copy of its own.
        return self._is_variable(self._stored_to(local, at))

    def _stored_to(self, local: str, at: int) -> int:
        """Return what pushed the value that was last stored to `local` in the code before `at`."""
        for store in range(at, -1, -1):
            if (
                self._stacks[store] is not None
                and self._names[store].startswith("STORE_FAST")
                and _first(self._list[store].arg) == local
            ):
                return self._operand(store)
        return stack_flow.UNKNOWN

    def _origin(self, at: int, depth: int) -> int:
        stack = self._stacks[at]
        assert stack is not None
        return stack[-depth] if len(stack) >= depth else stack_flow.UNKNOWN

    def _operand(self, at: int) -> int:
        return self._origin(at, 1)

    def _value(self, at: int) -> Any:
        """Return what the item pushes, if known: a global nobody rebinds, or one of a module."""
        name = self._names[at] if at >= 0 else ""
        if name == "LOAD_GLOBAL":
            return self._value_of_global(self._global(at))
        if name in ("LOAD_ATTR", "LOAD_METHOD"):
            module = self._value(self._operand(at))
            if isinstance(module, types.ModuleType):
                return vars(module).get(self._attribute(at), _UNKNOWN)
        return _UNKNOWN

    def _value_of_global(self, name: str) -> Any:
        if name in self._facts.stored:
            return _UNKNOWN
        value = self._facts.namespace.get(name, _UNKNOWN)
        return vars(builtins).get(name, _UNKNOWN) if value is _UNKNOWN else value

    # ---- what is inserted ------------------------------------------------------------------------

    def _copy(self, depth: int) -> Callable[[int], list[Instr]]:
        return lambda above: [Instr("COPY", depth + above)]

    def _load_self(self, _: int) -> list[Instr]:
        name = self._code.co_varnames[0]
        if name in self._code.co_cellvars:
            return [Instr("LOAD_DEREF", CellVar(name))]
        return [Instr("LOAD_FAST_CHECK" if PY312 else "LOAD_FAST", name)]

    def _load_cell(self, variable: CellVar | FreeVar) -> Instr:
        if not PY313:
            return Instr("LOAD_CLOSURE", variable)
        return Instr(
            "LOAD_FAST", variable.name if variable.name in self._code.co_varnames else variable
        )

    def _insert(
        self,
        before: int,
        accessing: int,
        push: Callable[[int], list[Instr]] | None,
        what: tuple[str, str, bool],
        *,
        sync: bool = False,
        shared: bool = False,
        containers_only: bool = False,
        blocks: bool = False,
    ) -> None:
        """Insert the hook's call; `push` gets the number of values above the operands by then."""
        if self._rewriting.granularity == "sync" and not sync:
            return
        location = self._list[accessing].location
        # Constants may be anything, whatever the types of `bytecode` say.
        site: Any = self._site(
            location, what, sync=sync, shared=shared, blocks=blocks, is_global=push is None
        )
        hook_of_all = self._rewriting.hook
        function: Any = hook_of_all
        if containers_only:
            function = _for_containers(hook_of_all, self._rewriting.handed)
        if push is None:
            # The site carries the namespace: a dict among the constants would spoil their hash.
            name = (False, "namespace") if PY312 else "namespace"
            operand = [Instr("LOAD_CONST", site), Instr("LOAD_ATTR", name)]
        else:
            operand = push(2)
        self._inserted.setdefault(before, []).extend(
            self._told(function, operand, site, self._list[before])
        )

    def _told(self, function: Any, operand: list[Instr], what: Any, before: Any) -> list[Instr]:
        """Return a call of a function with an operand and a constant, whose result nobody wants."""
        hook, null = Instr("LOAD_CONST", function), Instr("PUSH_NULL")
        call = [hook, null] if PY313 else [null, hook]
        call += [*operand, Instr("LOAD_CONST", what)]
        call += [Instr("CALL", 2)] if PY312 else [Instr("PRECALL", 2), Instr("CALL", 2)]
        call += [Instr("POP_TOP")]
        # Where names of keywords come between, theirs: a line event more would be a difference.
        for instr in call:
            instr.location = before.location
        return call

    def _append(self, at: int, *instructions: Instr) -> None:
        for instr in instructions:
            instr.location = self._list[at].location
        self._appended[at] = list(instructions)

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

    # ---- putting it together ---------------------------------------------------------------------

    def _rewrite_nested(self) -> bool:
        changed = False
        for name, item in zip(self._names, self._list, strict=True):
            if name == "LOAD_CONST" and isinstance(item.arg, CodeType):
                new = self._rewriting.rewrite(item.arg, self._cells)
                changed |= new is not item.arg
                item.arg = new
        return changed

    def _assemble(self) -> CodeType:
        kept_at_once = self._deepen_handlers()
        self._number_sites()
        self._items[:] = list(self._interleaved())
        # Names of locals in their old order: `locals()` shows it, and pairs of locals share one
        # byte.
        self._items.argnames = list(self._code.co_varnames)
        return self._items.to_code(
            stacksize=self._code.co_stacksize + _HOOK_STACK + kept_at_once,
            compute_exception_stack_depths=False,
        )

    def _deepen_handlers(self) -> int:
        """Count kept receivers into the stacks of handlers; return how many are kept at once."""
        if not self._kept:
            return 0
        kept_at_once = 0
        open_region: TryBegin | None = None
        for at, item in enumerate(self._list):
            stack = self._stacks[at]
            if isinstance(item, TryBegin):
                open_region = item
            elif isinstance(item, TryEnd):
                open_region = None
            if stack is None:
                continue
            if at in self._kept:
                kept_at_once = max(kept_at_once, 1 + len(self._kept.intersection(stack)))
            if open_region is not None:
                open_region.stack_depth += len(
                    self._kept.intersection(stack[: open_region.stack_depth])
                )
                open_region = None
        return kept_at_once

    def reports_on_entry(self) -> bool:
        """Say whether a call of the function meets a site before it can do anything else."""
        if self._code.co_flags & (inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR):
            return False  # such a call does not run the body
        hook: Any = self._rewriting.hook
        for at, name in enumerate(self._names):
            inserted = self._inserted.get(at, ())
            if any(instr.name == "LOAD_CONST" and instr.arg is hook for instr in inserted):
                return True
            if name and not name.startswith(_HARMLESS):
                return False
        return False

    def _interleaved(self) -> Iterator[Instr | Label | TryBegin | TryEnd]:
        for at, item in enumerate(self._list):
            yield from self._inserted.get(at, ())
            yield from self._handing.get(at, ())
            yield item
            yield from self._appended.get(at, ())

    def _number_sites(self) -> None:
        order = dict.fromkeys(
            instr.arg
            for at in sorted(self._inserted)
            for instr in self._inserted[at]
            if instr.name == "LOAD_CONST" and isinstance(instr.arg, CodeSite)
        )
        for index, site in enumerate(order):
            object.__setattr__(site, "index", index)


@functools.cache
def _for_containers(hook: Hook, handed: Handed | None) -> Hook:
    """Return the hook for places where a container is one possibility among many."""

    def at_container(thing: object, site: CodeSite) -> None:
        if isinstance(thing, sites.MUTABLE_CONTAINERS):
            hook(thing, site)
        elif handed is not None and type(thing) not in _ATOMS:
            handed(thing, _OPERAND)

    return at_container


@functools.cache
def _for_hidden(handed: Handed) -> Handed:
    """Return what is told of receivers, most of which are objects under test."""

    def at_receiver(thing: object, handing: Handing) -> None:
        # Looked up here first: this is done at most calls.
        is_one = STATES.get(type(thing))
        if is_one is None:
            is_one = has_state(type(thing))
        if is_one:
            handed(thing, handing)

    return at_receiver


# Instructions that neither raise nor branch nor run other code.
_HARMLESS: Final = (
    *(
        "BUILD_",
        "COPY",
        "KW_NAMES",
        "LOAD_CLOSURE",
        "LOAD_CONST",
        "LOAD_DEREF",
        "LOAD_FAST",
        "LOAD_GLOBAL",
    ),
    *(
        "LOAD_METHOD",
        "MAKE_",
        "NOP",
        "POP_TOP",
        "PRECALL",
        "PUSH_NULL",
        "RESUME",
        "RETURN_GENERATOR",
    ),
    *("SET_FUNCTION", "STORE_FAST", "SWAP"),
)

# Values that the hook's call has on the stack at most: hook, NULL, object, name, site.
_HOOK_STACK: Final = 5
_UNBOUND: Final = (types.FunctionType, types.MethodDescriptorType, types.WrapperDescriptorType)
# What these are given they do not look into.
_BLIND: Final = frozenset({callable, id, isinstance, issubclass, type})

# Instructions whose result is no container, and those whose result is one that nobody else has yet.
_SCALAR: Final = (
    *(
        "BUILD_SLICE",
        "BUILD_STRING",
        "COMPARE_",
        "CONTAINS_",
        "CONVERT_",
        "FORMAT_",
        "IS_",
        "MAKE_",
    ),
    *("UNARY_NOT", "TO_BOOL"),
)
_MAKING: Final = ("BUILD_", "DICT_", "LIST_", "MAP_", "SET_")
# Operators that no container has, and those that one has.
_OF_NUMBERS: Final = frozenset({"FLOOR_DIVIDE", "LSHIFT", "POWER", "RSHIFT", "TRUE_DIVIDE"})
_OF_CONTAINERS: Final = frozenset({"ADD", "AND", "MULTIPLY", "OR", "SUBTRACT", "XOR"})
# How deep below the top lies what these store for others.
_STORING: Final = {
    **dict.fromkeys(("STORE_GLOBAL", "YIELD_VALUE", "LIST_APPEND", "SET_ADD"), 1),
    **dict.fromkeys(("STORE_ATTR", "MAP_ADD"), 2),
    "STORE_SUBSCR": 3,
    "STORE_SLICE": 4,
}

# What an expression without a call does to its operands: it looks at them, or at all in them.
_OPERAND: Final = Handing(READ, inside=False)
_EXPRESSION: Final = Handing(READ, hidden=True, objects="generated")

#: Values of these may hold what somebody looks into.
_HOLDING: Final = (
    *(*sites.MUTABLE_CONTAINERS, *sites.OTHER_CONTAINERS, tuple, memoryview, Iterator),
    *(operator.attrgetter, operator.itemgetter, functools.partial, types.MappingProxyType),
    types.SimpleNamespace,
)
_CALLABLES: Final = (types.BuiltinFunctionType, types.FunctionType, type)
_GETTERS: Final = (operator.attrgetter, operator.itemgetter)
_UNSEEN: Final = (types.MethodDescriptorType, types.WrapperDescriptorType, operator.methodcaller)
#: Values of these hold nothing.
_ATOMS: Final = (
    sites.IMMUTABLE_TYPES - sites.OVER_IMMUTABLES - {tuple, bytes, types.BuiltinFunctionType}
)
#: Where the function is that these call.
_BEHIND: Final = {
    functools.partial: "func",
    functools._lru_cache_wrapper: "__wrapped__",
    types.MethodType: "__func__",
}
_NAMING: Final = frozenset({delattr, getattr, hasattr, setattr})
_NAMING_METHODS: Final = {
    "__delattr__": WRITE,
    "__getattr__": READ,
    "__getattribute__": READ,
    "__setattr__": WRITE,
}
#: Methods of which a point tells, or that are told otherwise.
_TOLD_BY_NAME: Final = frozenset(
    {
        *(sites.SYNC_METHODS | sites.CONTAINER_METHODS | sites.LOOKING_METHODS),
        *(sites.CARRYING_METHODS | _NAMING_METHODS.keys()),
    }
)
#: What code under test calls the object of a class of its own.
_OWN: Final = frozenset({"cls", "self"})
_LOOKUPS: Final = frozenset({"LOAD_METHOD", "LOAD_ATTR", "LOAD_SUPER_ATTR"})


def _goes_deep(getter: Any) -> bool:
    """Say whether a getter takes an attribute of an attribute."""
    return any("." in str(name) for name in getter.__reduce__()[1])


def _is_listed(function: Any, known: frozenset[Any]) -> bool:
    """Say whether a function is one of the known; not by the hash of just any object."""
    return (
        isinstance(function, _CALLABLES)
        and type(function).__hash__ is not None
        and function in known
    )


def _first(locals_: str | tuple[str, ...]) -> str:
    return locals_[0] if isinstance(locals_, tuple) else locals_


def _last(locals_: str | tuple[str, ...]) -> str:
    return locals_[-1] if isinstance(locals_, tuple) else locals_


def _span(location: Any) -> tuple[int, int, int] | None:
    """Return where in its line, and down to which, the source of an instruction stands."""
    if location is None or None in (location.end_lineno, location.end_col_offset):
        return None
    return (location.end_lineno, location.col_offset, location.end_col_offset)


def _parameters(code: CodeType) -> int:
    """Return how many of the local variables are parameters."""
    spread = (inspect.CO_VARARGS, inspect.CO_VARKEYWORDS)
    return (
        code.co_argcount
        + code.co_kwonlyargcount
        + sum(bool(code.co_flags & flag) for flag in spread)
    )


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
    return code.co_name in _INLINED_SINCE_312 and all(
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


_REBINDING: Final = frozenset({dis.opmap["STORE_DEREF"], dis.opmap["DELETE_DEREF"]})


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

# Since 3.13 the test is an instruction of its own. What follows a comparison is a bool already.
_TRUTH_TESTS: Final = (
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

# Only these can be points, beside the calls that `_mark_calls` finds.
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
        ("BINARY_SUBSCR", "DELETE_SUBSCR", "BINARY_SLICE"),
        _Function._visit_subscript,
    ),
    **dict.fromkeys(("STORE_SUBSCR", "STORE_SLICE"), _Function._visit_slice),
    **dict.fromkeys(
        ("FORMAT_VALUE", "FORMAT_SIMPLE", "FORMAT_WITH_SPEC", "CONVERT_VALUE"),
        _Function._visit_format,
    ),
    **dict.fromkeys(
        ("UNARY_NEGATIVE", "UNARY_POSITIVE", "CALL_INTRINSIC_1"), _Function._visit_sign
    ),
    **dict.fromkeys(("MATCH_KEYS", "MATCH_CLASS", "GET_LEN"), _Function._visit_match),
    "BEFORE_WITH": _Function._visit_with,
    "BEFORE_ASYNC_WITH": _Function._visit_await,
    "GET_AWAITABLE": _Function._visit_await,
    **dict.fromkeys(_TRUTH_TESTS, _Function._visit_truth),
    "BINARY_OP": _Function._visit_binary,
    "CALL_FUNCTION_EX": _Function._visit_spread_call,
    "COMPARE_OP": _Function._visit_compare,
    "LOAD_SPECIAL": _Function._visit_special,
}
