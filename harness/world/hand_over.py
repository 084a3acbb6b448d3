"""Decides what is told of what code under test hands to code that has no points of its own.

    json.dumps(rows)     [told(rows, reads all that lies in it)]
    a + b                [told(a, reads it)] [told(b, reads it)]
    stream.write(data)   [told(stream, may change it)] [told(data, reads it)]

Of what is called, but not known before it runs, the callee is told with all that it is given.
It is no point: who looks into a container there does so in the step that the call is in. Told is
what may hold something that counts, as far as can be seen before the code runs. What is made of it
is decided elsewhere (`touched.py`); where points lie is not known here.
"""

import functools
import inspect
import operator
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import CodeType
from typing import Any, Final

from bytecode import BinaryOp, Instr

from harness.core.access import READ, WRITE

from . import sites
from .called import (
    EXPRESSION,
    GETTERS,
    UNBOUND,
    Calling,
    HasPoints,
    handing_of,
    has_points,
    is_blinding,
    is_bound,
    is_outside_function,
)
from .instructions import (
    HARMLESS,
    INLINED_SINCE_312,
    KNOWN_METHODS,
    TRUTH_TESTS,
    UNKNOWN_VALUE,
    Call,
    Instructions,
    is_listed,
    last_local,
)
from .reach import ATOMS, STATES, has_state, is_hidden
from .sites import Handing
from .splicing import Splicing, copied

#: Called with what is handed on where there is no point, and with how.
Handed = Callable[[object, Handing], object]

# What an expression without a call does to its operands: it looks at them, or at all in them.
OPERAND: Final = Handing(READ, inside=False)
# What is tested for being true is read, whoever has made it.
_TESTED: Final = Handing(READ, inside=False, hidden=True)
#: Values of these hold nothing.
SCALAR_TYPES: Final = ATOMS - {bytes}
# Values of these may hold what somebody looks into.
_HOLDING: Final = (
    *(*sites.MUTABLE_CONTAINERS, *sites.OTHER_CONTAINERS, tuple, memoryview, Iterator),
    *(operator.attrgetter, operator.itemgetter, functools.partial, types.MappingProxyType),
    types.SimpleNamespace,
)
_NAMING_METHODS: Final = {
    "__delattr__": WRITE,
    "__getattr__": READ,
    "__getattribute__": READ,
    "__setattr__": WRITE,
}
# Methods of which a point tells, or that are told otherwise.
_TOLD_BY_NAME: Final = KNOWN_METHODS.union(
    sites.LOOKING_METHODS, sites.CARRYING_METHODS, _NAMING_METHODS
)
# Methods of which something else tells, when they are called.
_ASKED_BY_NAME: Final = _TOLD_BY_NAME | sites.SHOWING_METHODS
# What these push is called where it cannot be asked, or has points.
_MADE: Final = frozenset(
    {
        *("BEFORE_ASYNC_WITH", "BEFORE_WITH", "LOAD_BUILD_CLASS", "LOAD_SPECIAL"),
        *("MAKE_FUNCTION", "SET_FUNCTION_ATTRIBUTE"),
    }
)
# What code under test calls the object of a class of its own.
_OWN: Final = frozenset({"cls", "self"})

# Instructions whose result is no container, and those whose result is one that nobody else has yet.
_SCALAR: Final = (
    *("BUILD_SLICE", "BUILD_STRING", "COMPARE_", "CONTAINS_", "CONVERT_", "FORMAT_", "IS_"),
    *("MAKE_", "UNARY_NOT", "TO_BOOL"),
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


class HandOver:
    """What one code object hands on, told by calls of `handed` that are spliced in.

    To be asked when all points are in: what is kept for one of them can be told of later.
    """

    def __init__(self, known: Instructions, splicing: Splicing, handed: Handed) -> None:
        self._known = known
        self._names, self._items, self._stacks = known.names, known.items, known.stacks
        self._facts = known.facts
        self._splicing = splicing
        self._handed = handed
        self._values = _Values(known)
        self._has_points = _asked_by(known.facts.is_under_test, known.facts.is_user_class)
        # Calls of which the callee is told with all that it is given.
        self._asked: set[int] = set()

    def tell(self) -> None:
        """Insert all that is told."""
        for call in self._known.calls.values():
            if self._known.is_of_known_method(call):
                self._known_method(call)
            else:
                self._call(call)
        for at, name in enumerate(self._names):
            visit = _VISIT.get(name)
            if visit is not None and self._stacks[at] is not None:
                visit(self, at)
        for call in self._known.calls.values():
            self._receiver(call)

    # ---- calls -----------------------------------------------------------------------------------

    def _call(self, call: Call) -> None:
        function = self._known.value(call.callee)
        mode = self._naming(call, function)
        if mode is not None:
            self._tell_named_by(call, mode)
            return
        if is_blinding(function):
            unseen = Handing(objects="unseen")
            self._tell(call.before, [Instr("LOAD_CONST", (function,))], unseen)
        if is_outside_function(function):
            outside = Handing(objects="outside")
            self._tell(call.before, [Instr("LOAD_CONST", (function,))], outside)
        if is_listed(function, sites.APPLYING) and call.positional:
            self._tell_applied(call)
        method = self._known.method(call.callee)
        if is_listed(function, sites.RUNNING) or method in sites.RUNNING_METHODS:
            self._tell_carried(call)
        if is_bound(function) or self._is_asked(call, function):
            self._tell_called(call)
            return
        handing = self._handing_of(call.callee, function)
        if handing is None:
            return
        if self._names[call.at] == "CALL_FUNCTION_EX":
            self._tell_spread(call.at, handing)
            return
        is_reader = call.is_about_first(function)
        if is_reader and function is bool:
            argument = self._known.origin(call.at, call.first_depth)
            if not self._known.is_variable(argument):
                self._tell_tested(call.before, call.at, call.first_depth)
            return
        depths = self._arguments(call)
        opens = self._has_getter(call, depths)
        if opens:
            handing = replace(handing, objects="all")
        for depth in depths:
            # Of the first argument its point tells, but not what a getter takes out of it.
            if opens or not is_reader or depth != call.first_depth:
                self._tell_value(call.at, depth, handing, before=call.before)
        self._tell_callee(call)

    def _known_method(self, call: Call) -> None:
        """Tell of what a method with a point gets beside its receiver, if it looks into that."""
        name = self._known.method(call.callee)
        if self._names[call.at] == "CALL_FUNCTION_EX":
            return
        if name in sites.RUNNING_METHODS or name == "map":
            self._tell_carried(call)
        depths = self._arguments(call)
        if name == "copy" and depths:
            # No container's method takes an argument: it is one of a module.
            self._tell_called(call)
            return
        if name in sites.COMPARING_METHODS:
            for depth in depths:
                handing = Handing(READ, objects="generated")
                self._tell_value(call.at, depth, handing, before=call.before)
        elif name == "sort" and self._has_getter(call, depths):
            if self._splicing.is_kept(call.callee):
                handing = Handing(READ, itself=False, objects="all")
                self._tell(call.before, copied(call.kept_depth), handing)

    def _is_asked(self, call: Call, function: Any) -> bool:
        """Say whether a call of what nobody knows asks for it when it comes to that."""
        callee = call.callee
        if function is not UNKNOWN_VALUE or (callee >= 0 and self._names[callee] in _MADE):
            return False
        name = self._known.method(callee)
        if not name:
            return not _makes_getter(self._values.value_or_maker(callee))
        if not self._known.is_method_load(callee) or name in _ASKED_BY_NAME:
            return False
        if name in ("format", "vformat") or self._known.is_super(callee):
            return False
        return name in self._facts.attributes or self._hands_on(call)

    def _hands_on(self, call: Call) -> bool:
        """Say whether an argument may be a container, or hold one."""
        return any(self._may_matter(call.at, depth, EXPRESSION) for depth in self._arguments(call))

    def _may_matter(self, at: int, depth: int, handing: Handing) -> bool:
        source = self._known.origin(at, depth)
        if self._values.is_scalar(source) or self._values.is_fresh(source, at, depth):
            return False
        return source < 0 or self._may_hold(self._known.value(source), handing)

    def _tell_called(self, call: Call) -> None:
        """Tell of what is called, with what it is given: what it does with that is asked then."""
        self._asked.add(call.at)
        depths = self._arguments(call)
        method = self._known.method(call.callee)
        if method and self._known.is_method_load(call.callee):
            self._splicing.keep_receiver(call)
            first = call.kept_depth
        else:
            method, first = "", self._known.callee_depth(call)
        given = [first]
        private: set[int] = set()
        is_spread = self._names[call.at] == "CALL_FUNCTION_EX"
        if is_spread:
            given += range(1 + int(self._items[call.at].arg & 1), 0, -1)
            self._tell_spread(call.at, Handing(READ, hidden=True))
        for place, depth in enumerate(reversed(depths)):
            if self._values.is_fresh(self._known.origin(call.at, depth), call.at, depth):
                private.add(place)
            given.append(depth)
        calling = Calling(self._has_points, method, is_spread=is_spread, private=frozenset(private))
        self._tell_together(call, given, calling)

    def _tell_together(self, call: Call, given: list[int], calling: Calling) -> None:
        parts = [copied(depth + place) for place, depth in enumerate(given)]
        together = [*(instr for part in parts for instr in part), Instr("BUILD_TUPLE", len(given))]
        self._tell(call.before, together, Handing(objects="called", calling=calling))

    def _tell_carried(self, call: Call) -> None:
        """Tell of functions that are to be called later, with what they are to be given."""
        arguments = [
            (depth, self._known.value(self._known.origin(call.at, depth)))
            for depth in reversed(self._arguments(call))
        ]
        given = [
            depth
            for depth, value in arguments
            if value is UNKNOWN_VALUE or not self._has_points(value)
        ]
        if not given:
            return
        method = self._known.method(call.callee)
        if method and self._known.is_method_load(call.callee):
            self._splicing.keep_receiver(call)
            given.insert(0, call.kept_depth)
        else:
            method = ""
        self._tell_together(call, given, Calling(self._has_points, method, is_carried=True))

    def _tell_applied(self, call: Call) -> None:
        """Tell of a function that is called for each of several things, if it has no points."""
        if self._names[call.at] == "CALL_FUNCTION_EX":
            return
        value = self._known.value(self._known.origin(call.at, call.first_depth))
        if value is UNKNOWN_VALUE or not self._has_points(value):
            self._tell(call.before, copied(call.first_depth), Handing(objects="applied"))

    def _arguments(self, call: Call) -> range:
        """Return how deep the arguments lie, the last one first."""
        names_on_top = int(self._names[call.at] == "CALL_KW")
        return range(names_on_top + 1, names_on_top + call.arguments + 1)

    def _has_getter(self, call: Call, depths: range) -> bool:
        """Say whether an argument is one that gets attributes out of objects."""
        stack = self._stacks[call.at]
        assert stack is not None
        return any(_makes_getter(self._values.value_or_maker(stack[-depth])) for depth in depths)

    def _tell_spread(self, at: int, handing: Handing) -> None:
        """Tell of what is handed on by `*` and `**`: not of the tuple and dict that are made."""
        if not handing.inside:
            return
        stack = self._stacks[at]
        assert stack is not None
        flag = int(self._items[at].arg & 1)
        spread = replace(handing, itself=False, is_private=True)
        if flag and not self._known.is_constant(stack[-1]):
            self._tell(at, copied(1), spread)
        source = stack[-1 - flag]
        if self._known.is_constant(source):
            return
        if source < 0 or not self._known.is_made_for_call(source):
            # The call goes through it itself, which is a point.
            spread = replace(spread, is_private=False)
        self._tell(at, copied(1 + flag), spread)

    def _tell_callee(self, call: Call) -> None:
        """Tell of what a call reads that is bound to what is called."""
        callee = call.callee
        name = self._names[callee] if callee >= 0 else ""
        if name in ("LOAD_METHOD", "LOAD_ATTR"):
            is_method = self._known.is_method_load(callee)
            if is_method and self._known.attribute(callee) in sites.LOOKING_METHODS:
                receiver = self._known.operand(callee)
                if self._values.is_scalar(receiver) or isinstance(
                    self._known.value(receiver), (type, types.ModuleType)
                ):
                    return
                self._splicing.keep_receiver(call)
                self._tell(call.before, copied(call.kept_depth), EXPRESSION)

    def _receiver(self, call: Call) -> None:
        """Tell of the receiver of a method that nobody knows: a library may change what it keeps.

        It is told where the method is looked up, unless others might come between that and the
        call: to keep a receiver until then takes longer.
        """
        callee = call.callee
        name = self._known.method(callee)
        if not name or not self._known.is_method_load(callee) or name in _TOLD_BY_NAME:
            return
        if not self._may_be_hidden(self._known.operand(callee)) or call.at in self._asked:
            return
        mode = READ if name in sites.SHOWING_METHODS else WRITE
        calling = Calling(self._has_points, name)
        handing = Handing(mode, inside=False, hidden=True, calling=calling)
        between = self._names[callee + 1 : call.at]
        if not self._splicing.has_point(range(callee + 1, call.at + 1)) and all(
            each.startswith(HARMLESS) for each in between if each
        ):
            before, operand = callee, copied(1)
        else:
            self._splicing.keep_receiver(call)
            before, operand = call.before, copied(call.kept_depth)
        self._splicing.tell(before, _for_hidden(self._handed), operand, handing)

    def _may_be_hidden(self, receiver: int) -> bool:
        """Say no for what is known to be no object of a library."""
        values = self._values
        if values.is_scalar(receiver) or values.is_made(receiver) or values.is_self(receiver):
            return False
        value = self._known.value(receiver)
        return value is UNKNOWN_VALUE or has_state(type(value))

    # ---- how a call uses what it gets ------------------------------------------------------------

    def _handing_of(self, callee: int, function: Any) -> Handing | None:
        """Return how a call hands on its arguments, None if it does not or tells by itself."""
        if function is UNKNOWN_VALUE:
            return self._handing_of_unknown(callee)
        if isinstance(function, UNBOUND):
            # Who gives a module a method of a built-in class by a name of his own does not want it
            # to be seen.
            return None
        return handing_of(function, self._has_points)

    def _handing_of_unknown(self, callee: int) -> Handing | None:
        if callee >= 0 and self._names[callee] in ("MAKE_FUNCTION", "SET_FUNCTION_ATTRIBUTE"):
            return None
        name = self._known.method(callee)
        if not name and _makes_getter(self._values.value_or_maker(callee)):
            return Handing(READ, objects="all")
        if name in sites.CARRYING_METHODS:
            return Handing(READ, inside=False)
        if name in ("format", "vformat") and self._may_name_attributes(self._known.operand(callee)):
            return Handing(READ, objects="all")
        return EXPRESSION if name in sites.SHOWING_METHODS else Handing(READ, hidden=True)

    def _may_name_attributes(self, template: int) -> bool:
        return not self._known.is_constant(template) or "." in str(self._items[template].arg)

    # ---- attributes by name ----------------------------------------------------------------------

    def _naming(self, call: Call, function: Any) -> int | None:
        """Return how a call uses an attribute that it names, None if it does not."""
        if self._names[call.at] == "CALL_FUNCTION_EX":
            return None
        if call.is_about_first(function):
            is_about_one = function in sites.NAMING and call.arguments > 1
            return (WRITE if function in sites.WRITERS else READ) if is_about_one else None
        name = self._known.method(call.callee) or getattr(function, "__name__", "")
        is_known = function is UNKNOWN_VALUE or isinstance(function, types.WrapperDescriptorType)
        return _NAMING_METHODS.get(name) if is_known and call.arguments else None

    def _tell_named_by(self, call: Call, mode: int) -> None:
        """Tell of the attribute that a call names: of its first argument, unless it is a method."""
        name = self._known.method(call.callee)
        if call.arguments > 1 + (name == "__setattr__") or not name:
            thing = copied(call.first_depth)
            attribute = copied(call.first_depth - 1, above=3)
        else:
            attribute = copied(call.first_depth, above=3)
            if self._known.is_super(call.callee):
                thing = self._splicing.load_self()
            else:
                self._splicing.keep_receiver(call)
                thing = copied(call.kept_depth)
        self._tell_named(call.before, thing, attribute, mode)

    def _visit_lookup(self, at: int) -> None:
        if self._known.attribute(at) == "register" and not self._known.is_super(at):
            # In a tuple, as all of which the class says nothing of what is to be told.
            alone = [*copied(1), Instr("BUILD_TUPLE", 1)]
            self._tell(at, alone, Handing(objects="kin"))
        if not self._known.looks_up_data(at):
            return
        name, operand = self._known.attribute(at), self._known.operand(at)
        if not self._known.is_data_of_module(operand, name):
            self._tell_setting(at, self._known.value(operand), name)
        elif self._known.is_super(at):
            # It passes over what comes first, and what the object has itself.
            thing = self._splicing.load_self()
            self._tell_named(at, thing, [Instr("LOAD_CONST", name)], READ)

    def _tell_setting(self, at: int, module: types.ModuleType, name: str) -> None:
        """Tell of what is looked up in a module under test, though no point, and may be rebound."""
        value, file = vars(module).get(name), getattr(module, "__file__", None)
        is_named = callable(value) or isinstance(value, types.ModuleType)
        # A constant, by its name, unless somebody is seen to rebind it.
        is_named |= name.isupper() and name not in self._facts.attributes
        if not is_named and file and self._facts.is_under_test(file):
            self._tell_named(at, copied(1), [Instr("LOAD_CONST", name)], READ)

    def _visit_match(self, at: int) -> None:
        names = self._known.operand(at)
        by_name = self._items[names].arg if self._known.is_constant(names) else ()
        # Those without a name by how many they are.
        for each in (*by_name, *filter(None, [self._items[at].arg])):
            self._tell_named(at, copied(3), [Instr("LOAD_CONST", each)], READ)

    def _tell_named(
        self, before: int, thing: list[Instr], attribute: list[Instr], mode: int
    ) -> None:
        pair = [*thing, *attribute, Instr("BUILD_TUPLE", 2)]
        self._tell(before, pair, Handing(mode, objects="named"))

    # ---- operators -------------------------------------------------------------------------------

    def _visit_compare(self, at: int) -> None:
        left, right = self._known.origin(at, 2), self._known.origin(at, 1)
        if self._known.is_constant(left) or self._known.is_constant(right):
            for source, other, depth in ((left, right, 1), (right, left, 2)):
                if self._known.is_constant(source) and isinstance(self._items[source].arg, bytes):
                    # What is compared with a number or a name is not read, but bytes may change.
                    if not self._known.is_constant(other):
                        self._tell_value(at, depth, OPERAND)
            return
        if not self._values.is_scalar(left):
            # Of the left one its point tells.
            self._tell_value(at, 1, EXPRESSION)

    def _visit_truth(self, at: int) -> None:
        """Tell of what is tested where it has just been read: of a variable its point tells."""
        if not self._known.is_variable(self._known.operand(at)):
            self._tell_tested(at, at, 1)

    def _tell_tested(self, before: int, at: int, depth: int) -> None:
        source = self._known.origin(at, depth)
        if self._values.is_scalar(source) or self._values.is_fresh(source, at, depth):
            return
        if source < 0 or self._may_hold(self._known.value(source), _TESTED):
            self._splicing.tell(before, _for_tested(self._handed), copied(depth), _TESTED)

    def _visit_binary(self, at: int) -> None:
        name = BinaryOp(self._items[at].arg).name
        if name.endswith("REMAINDER"):
            self._tell_value(at, 1, EXPRESSION)
        elif name in _OF_CONTAINERS:
            # They are read, but not what lies in them.
            scalars = [self._values.is_scalar(self._known.origin(at, depth)) for depth in (1, 2)]
            if all(scalars) or (any(scalars) and name != "MULTIPLY"):
                return
            for depth in (2, 1):
                self._tell_value(at, depth, OPERAND)

    def _visit_format(self, at: int) -> None:
        name, arg = self._names[at], self._items[at].arg
        has_spec = name == "FORMAT_WITH_SPEC" or (name == "FORMAT_VALUE" and bool(arg & 4))
        self._tell_value(at, 1 + has_spec, EXPRESSION)

    def _visit_slice(self, at: int) -> None:
        if self._names[at] == "STORE_SLICE":
            self._tell_value(at, 4, OPERAND)
        elif self._names[self._known.operand(at)] == "BUILD_SLICE":
            self._tell_value(at, 3, OPERAND)

    def _visit_sign(self, at: int) -> None:
        """Tell of a counter whose positive or negative counts are taken."""
        is_sign = self._names[at] != "CALL_INTRINSIC_1" or "POSITIVE" in str(self._items[at].arg)
        if is_sign:
            self._tell_value(at, 1, OPERAND)

    # ---- what is inserted ------------------------------------------------------------------------

    def _tell_value(
        self, at: int, depth: int, handing: Handing, *, before: int | None = None
    ) -> None:
        """Tell of one value on the stack of `at`, if it may be a container, or hold one."""
        source = self._known.origin(at, depth)
        if self._values.is_scalar(source):
            return
        if self._values.is_fresh(source, at, depth):
            if not handing.inside:
                return
            handing = replace(handing, itself=False, is_private=True)
        elif source >= 0 and not self._may_hold(self._known.value(source), handing):
            return
        self._tell(at if before is None else before, copied(depth), handing)

    def _may_hold(self, value: Any, handing: Handing) -> bool:
        """Say no for what is known to be no container, and no object that counts."""
        if value is UNKNOWN_VALUE or isinstance(value, _HOLDING):
            return True
        if handing.hidden and is_hidden(type(value)):
            return True
        return handing.objects != "none" and self._facts.is_user_class(type(value))

    def _tell(self, before: int, operand: list[Instr], handing: Handing) -> None:
        self._splicing.tell(before, self._handed, operand, _shared(handing))


class _Values:
    """What is known of the values in one code object: which hold nothing, which nobody else has."""

    def __init__(self, known: Instructions) -> None:
        self._known = known
        self._names, self._items, self._stacks = known.names, known.items, known.stacks
        self._fresh_locals: dict[str, bool] = {}

    def value_or_maker(self, at: int) -> Any:
        """Return what an item pushes, or the class or function whose result it is, if known."""
        if at >= 0 and self._names[at] == "LOAD_FAST":
            at = self._known.stored_to(self._items[at].arg, at)
        call = self._known.calls.get(at)
        return self._known.value(call.callee if call is not None else at)

    def is_self(self, at: int) -> bool:
        """Say whether an item pushes the object whose method the code is."""
        if at >= 0 and "LOAD_FAST" in self._names[at]:
            return last_local(self._items[at].arg) in _OWN and self._known.code.co_argcount > 0
        return self._known.is_call_of_super(at)

    def is_scalar(self, at: int, depth: int = 8) -> bool:
        """Say whether an item pushes what is no container and holds none, as far as can be told."""
        if at < 0 or not depth:
            return False
        name = self._names[at]
        if self._known.is_constant(at):
            return not isinstance(self._items[at].arg, bytes)
        if type(self._known.value(at)) in SCALAR_TYPES:
            return True
        if name.startswith(_SCALAR):
            return True
        if name in ("CALL", "CALL_KW"):
            function = self.value_or_maker(at)
            return is_listed(function, sites.SCALARS)
        if name != "BINARY_OP":
            return False
        name = BinaryOp(self._items[at].arg).name.removeprefix("INPLACE_")
        if name in _OF_NUMBERS:
            return True
        if name not in _OF_CONTAINERS or name == "MULTIPLY":
            return False
        stack = self._stacks[at]
        return stack is not None and (
            self.is_scalar(stack[-1], depth - 1) or self.is_scalar(stack[-2], depth - 1)
        )

    def is_fresh(self, source: int, at: int, depth: int) -> bool:
        """Say whether a value was made on the spot, or is of a local that only ever is.

        It lies `depth` below the top of the stack of `at`, where `source` has pushed it.
        """
        if source < 0:
            return False
        if self.is_made(source):
            return True
        if "LOAD_FAST" not in self._names[source]:
            return False
        local = self._items[source].arg
        if isinstance(local, tuple):
            # Of two that one instruction pushes it is the upper one if the other lies below it.
            is_upper = self._known.origin(at, depth + 1) == source
            local = local[int(is_upper)]
        if local not in self._fresh_locals:
            self._fresh_locals[local] = self._is_fresh_local(local)
        return self._fresh_locals[local]

    def is_made(self, at: int) -> bool:
        """Say whether an item pushes what was made on the spot."""
        if at < 0:
            return False
        if self._names[at].startswith(_MAKING):
            return True
        if self._known.comprehension(at) in INLINED_SINCE_312:
            return True
        if self._names[at] == "BINARY_OP":
            # What an operator returns is new, but for what it has changed in place.
            return not BinaryOp(self._items[at].arg).name.startswith(("INPLACE_", "SUBSCR"))
        function = self.value_or_maker(at) if at in self._known.calls else UNKNOWN_VALUE
        return is_listed(function, sites.MAKERS)

    def _is_fresh_local(self, local: str) -> bool:
        """Say whether a local holds only what is made on the spot, and is nowhere stored."""
        code = self._known.code
        if local in code.co_varnames[: _parameters(code)]:
            return False
        made = False
        for at, name in enumerate(self._names):
            stack = self._stacks[at]
            if stack is None or not name:
                continue
            arg = self._items[at].arg
            if name == "STORE_FAST" and arg == local:
                made = True
                if not self.is_made(stack[-1]):
                    return False
            elif name.startswith(("STORE_FAST_", "STORE_DEREF")) and local in str(arg):
                return False
            elif name in _STORING and self._loads(stack[-_STORING[name]], local):
                return False
        return made

    def _loads(self, at: int, local: str) -> bool:
        if at < 0 or "LOAD_FAST" not in self._names[at]:
            return False
        arg = self._items[at].arg
        return local in arg if isinstance(arg, tuple) else bool(arg == local)


# What follows stays in the code that is made, for as long as the process lives: it must hold
# nothing of what was read of the old code, and equal ones are one.


@functools.cache
def _asked_by(
    is_under_test: Callable[[str], bool], is_user_class: Callable[[type], bool]
) -> HasPoints:
    return functools.partial(has_points, is_under_test=is_under_test, is_user_class=is_user_class)


@functools.cache
def _shared(handing: Handing) -> Handing:
    return handing


@functools.cache
def _for_hidden(handed: Handed) -> Handed:
    """Return what is told of receivers, most of which are objects under test.

    Of a namespace, what it has under the name of the method is asked.
    """

    def at_receiver(thing: object, handing: Handing) -> None:
        # Looked up here first: this is done at most calls.
        is_one = STATES.get(type(thing))
        if is_one is None:
            is_one = has_state(type(thing))
        if is_one:
            handed(thing, handing)
        elif type(thing) is types.SimpleNamespace:
            handed((thing,), Handing(objects="called", calling=handing.calling))

    return at_receiver


@functools.cache
def _for_tested(handed: Handed) -> Handed:
    """Return what is told of what is tested: most of it is a bool, a number or None."""

    def at_test(thing: object, handing: Handing) -> None:
        if type(thing) not in SCALAR_TYPES:
            handed(thing, handing)

    return at_test


def _makes_getter(value: Any) -> bool:
    """Say whether a value gets attributes out of objects, or makes what does."""
    return isinstance(value, GETTERS) or any(value is getter for getter in GETTERS)


def _parameters(code: CodeType) -> int:
    """Return how many of the local variables are parameters."""
    spread = (inspect.CO_VARARGS, inspect.CO_VARKEYWORDS)
    return (
        code.co_argcount
        + code.co_kwonlyargcount
        + sum(bool(code.co_flags & flag) for flag in spread)
    )


_VISIT: Final[Mapping[str, Callable[[HandOver, int], None]]] = {
    **dict.fromkeys(("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR"), HandOver._visit_lookup),
    **dict.fromkeys(("STORE_SUBSCR", "STORE_SLICE"), HandOver._visit_slice),
    **dict.fromkeys(
        ("FORMAT_VALUE", "FORMAT_SIMPLE", "FORMAT_WITH_SPEC", "CONVERT_VALUE"),
        HandOver._visit_format,
    ),
    **dict.fromkeys(("UNARY_NEGATIVE", "UNARY_POSITIVE", "CALL_INTRINSIC_1"), HandOver._visit_sign),
    **dict.fromkeys(TRUTH_TESTS, HandOver._visit_truth),
    "BINARY_OP": HandOver._visit_binary,
    "COMPARE_OP": HandOver._visit_compare,
    "MATCH_CLASS": HandOver._visit_match,
}
