"""Tells what a call does to what it is given, once it is known what is called.

It knows functions and types only: neither byte code nor runs.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import operator
import time
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from harness.core.access import READ, WRITE

from . import sites
from .instructions import is_listed
from .reach import dict_of, has_state, is_container, is_iterator
from .sites import Handing
from .threads import is_plumbing

#: Tells whether a function says by itself what it does with what it is given.
HasPoints = Callable[[Any], bool]

#: What an expression does to its operands: it looks at all in them.
EXPRESSION: Final = Handing(READ, hidden=True, objects="generated")
_LOOKING_INTO: Final = sites.READERS | sites.WRITERS | sites.LOOKERS
#: They get attributes, or what lies in a container.
GETTERS: Final = (operator.attrgetter, operator.itemgetter)
_CHANGING: Final = Handing(WRITE, hidden=True, objects="generated")
_RECEIVER: Final = Handing(WRITE, inside=False, hidden=True)
#: Methods that nobody is bound to.
UNBOUND: Final = (types.MethodDescriptorType, types.WrapperDescriptorType, operator.methodcaller)
_BOUND_IN_C: Final = (types.BuiltinFunctionType, types.MethodWrapperType)
_BOUND: Final = (*_BOUND_IN_C, types.MethodType)
_FUNCTIONS: Final = (types.BuiltinFunctionType, types.FunctionType, *UNBOUND)
# What functions of a module are bound to, and what has nothing but methods.
_NO_RECEIVER: Final = (types.ModuleType, type(None), type)
_CALLABLE: Final = (types.BuiltinFunctionType, types.FunctionType, type)
# Not the one that stands for it while a run goes on.
_FUTURE: Final = asyncio.Future
# What these are given they do not look into.
_BLIND: Final = frozenset({callable, id, isinstance, issubclass, type})
# Where the function is that these call.
_BEHIND: Final[dict[type, str]] = {
    functools.partial: "func",
    functools._lru_cache_wrapper: "__wrapped__",
    types.MethodType: "__func__",
}


def is_a(thing: Any, kinds: type | tuple[type, ...]) -> bool:
    """Say whether a thing is one of these by its type; asked for its class it might run code."""
    return issubclass(type(thing), kinds)


def has_points(
    function: Any, is_under_test: Callable[[str], bool], is_user_class: Callable[[type], bool]
) -> bool:
    """Say whether a function tells by itself what it does with its arguments, if anything."""
    function = _innermost(function)
    if type(function) is types.FunctionType:
        return is_under_test(function.__code__.co_filename)
    if is_user_class(function if is_a(function, type) else type(function)):
        return True
    return is_listed(function, _BLIND)


def is_of_asyncio(function: Any) -> bool:
    """Say whether a function in Python is one of `asyncio`."""
    function = _innermost(function)
    return type(function) is types.FunctionType and function.__module__.startswith("asyncio.")


def may_be_held_back(make: Any, is_told: HasPoints) -> bool:
    """Say whether others may go on while a function or a class makes something."""
    parts = [make]
    if is_a(make, type):
        parts = [inspect.getattr_static(make, name) for name in ("__init__", "__new__")]
    functions = [_innermost(each.__func__ if is_a(each, staticmethod) else each) for each in parts]
    return any(
        type(each) is types.FunctionType and bool(each.__code__.co_names) and is_told(each)
        for each in functions
    )


def _innermost(function: Any) -> Any:
    while (name := _BEHIND.get(type(function))) is not None:
        function = getattr(function, name)
    return function


@dataclass(frozen=True, slots=True)
class Calling:
    """How a tuple that begins with what is called, or with what it is an attribute of, is used.

    Args:
        is_told: says of what is called whether it tells by itself what it does.
        method: the attribute that is called, "" if it is the first itself.
        is_carried: nothing is called yet: what is handed on may be called by whoever runs later.
        is_spread: the arguments lie in a tuple and a dict.
        private: which arguments were made on the spot, by their places.
    """

    is_told: HasPoints
    method: str = ""
    is_carried: bool = False
    is_spread: bool = False
    private: frozenset[int] = frozenset()


@dataclass(slots=True)
class Use:
    """What a call of something that was not known before uses, and how.

    Args:
        things: what it uses, with how.
        named: an object and the name of an attribute, and the mode in which it is used.
        is_unseen: it touches, or tells, what no log does.
        is_outside: it uses files, or what else is outside.
    """

    things: list[tuple[Any, Handing]] = field(default_factory=list)
    named: tuple[Any, str, int] | None = None
    is_unseen: bool = False
    is_outside: bool = False


def tells_itself(receiver: Any, calling: Calling) -> bool:
    """Say whether what is called is a method that tells by itself what it does: most are.

    As `use_of` would, which then finds nothing that is used, in a tenth of the time.
    """
    kind, name = type(receiver), calling.method
    # What a class has from its bases comes before what its own class has.
    if has_state(kind) or issubclass(kind, type) or name in dict_of(receiver):
        return False
    for base in kind.__mro__:
        if name in vars(base):
            found = vars(base)[name]
            return (
                type(found) is types.FunctionType
                and found.__module__ not in _MODULES_TOLD
                and found not in _FUNCTIONS_TOLD
                and calling.is_told(found)
            )
    return False


#: What they do is in no log: they follow references, and put things in the place of others.
_MODULES_UNSEEN: Final = frozenset({"weakref", "_weakrefset", "unittest.mock"})
#: What the log is told of though it may be under test.
_MODULES_TOLD: Final = sites.OUTSIDE_MODULES | _MODULES_UNSEEN
_FUNCTIONS_TOLD: Final = sites.BLINDING | sites.NAMING | sites.OUTSIDE | sites.WRITERS


#: What somebody may call later that he was given.
_KEPT_TO_CALL: Final = (*_BOUND_IN_C, functools.partial, operator.methodcaller)


def use_of(parts: tuple[Any, ...], calling: Calling) -> Use:
    """Return what is used by a call whose callee and arguments are known by now."""
    callee, arguments = parts[0], list(parts[1:])
    if calling.is_spread:
        arguments = _spread(arguments)
    use = Use()
    if calling.method:
        receiver = callee
        if has_state(type(receiver)):
            use.things.append((receiver, _RECEIVER))
        callee = _attribute(receiver, calling.method)
        if callee is None:
            if has_state(type(receiver)):
                use.things.extend((each, _CHANGING) for each in arguments)
            return use
    while is_a(callee, functools.partial):
        arguments[:0] = [*callee.args, *callee.keywords.values()]
        callee = callee.func
    use.is_outside = is_outside_function(callee)
    if is_blinding(callee):
        use.is_unseen = True
    elif is_a(callee, _BOUND_IN_C) and not is_a(callee.__self__, _NO_RECEIVER):
        _use_bound(use, callee, arguments)
    elif is_a(callee, UNBOUND):
        use.things.extend((each, _CHANGING) for each in arguments)
    elif is_listed(callee, sites.NAMING) and len(arguments) > 1:
        mode = WRITE if callee in sites.WRITERS else READ
        use.named = arguments[0], arguments[1], mode
    elif is_listed(callee, sites.WRITERS):
        use.things.extend((each, _CHANGING) for each in arguments)
    else:
        if is_a(callee, types.MethodType) and has_state(type(callee.__self__)):
            use.things.append((callee.__self__, _RECEIVER))
        handing = handing_of(callee, calling.is_told)
        if handing is not None:
            use.things.extend((each, handing) for each in arguments)
        if handing is _CHANGING:
            # It may keep what it is given, and call it at any time.
            use.is_unseen |= any(
                is_a(each, _KEPT_TO_CALL) and may_apply_unseen(each) for each in arguments
            )
    return use


def _use_bound(use: Use, callee: Any, arguments: list[Any]) -> None:
    """Note what a bound method of C uses: by its name, if it is one of a container."""
    subject, name = callee.__self__, callee.__name__
    looks = name in sites.READING_METHODS or name in sites.LOOKING_METHODS
    if has_state(type(subject)):
        use.things.append((subject, Handing(READ) if looks else _RECEIVER))
    if is_container(type(subject)) or not has_state(type(subject)):
        if name not in sites.CARRYING_METHODS:
            use.things.extend((each, EXPRESSION) for each in arguments)
    else:
        use.things.extend((each, _CHANGING) for each in arguments)


def may_run_unseen(parts: tuple[Any, ...], calling: Calling) -> bool:
    """Say whether one of several things, called later with the others, touches what no log tells.

    Code under test tells itself what it does, and so do the locks in methods of the library's own
    synchronisation objects. A loop tells what its callbacks use, when their turn comes.
    """
    if calling.method:
        if is_a(parts[0], _FUTURE):
            return False
        parts = parts[1:]
    flat = [*parts, *_spread(parts)]
    for each in flat:
        if type(each) is types.FunctionType and calling.is_told(each):
            # This is most of what is handed on.
            continue
        if callable(each) and _is_unseen(each, flat, calling):
            return True
    return False


def may_apply_unseen(function: Any) -> bool:
    """Say whether who calls a function that he was given touches what no log tells."""
    while is_a(function, functools.partial):
        function = function.func
    if is_a(function, _BOUND_IN_C) and not is_a(function.__self__, _NO_RECEIVER):
        return has_state(type(function.__self__)) and not _only_looks(function.__name__)
    if is_a(function, UNBOUND):
        return is_a(function, operator.methodcaller) or not _only_looks(function.__name__)
    return is_listed(function, _BY_NAME)


def _only_looks(name: str) -> bool:
    return name in sites.READING_METHODS or name in sites.LOOKING_METHODS


def _spread(parts: Iterable[Any]) -> list[Any]:
    spread: list[Any] = []
    for each in parts:
        if type(each) in (tuple, list):
            spread += each
        elif type(each) is dict:
            spread += each.values()
    return spread


def _is_unseen(callee: Any, others: list[Any], calling: Calling) -> bool:
    while is_a(callee, functools.partial):
        others = [*others, *callee.args, *callee.keywords.values()]
        callee = callee.func
    subject = callee.__self__ if is_a(callee, _BOUND) else None
    if not is_a(subject, _NO_RECEIVER):
        return has_state(type(subject)) and not calling.is_told(callee)
    if is_listed(callee, _BY_NAME):
        return True
    if not is_a(callee, _FUNCTIONS) or calling.is_told(callee) or callee is time.sleep:
        return False
    return is_blinding(callee) or any(
        has_state(type(each)) or is_iterator(type(each)) for each in others
    )


#: They use an attribute of an object, or all in a container, whoever calls them.
_BY_NAME: Final = sites.NAMING | sites.WRITERS


def is_blinding(function: Any) -> bool:
    """Say whether a function touches, or tells, what no log does."""
    if is_listed(function, sites.BLINDING):
        return True
    if type(function) is functools._lru_cache_wrapper:
        # Two may look for the same at once, and each stores what it has found behind its points.
        cached = _innermost(function)
        return type(cached) is types.FunctionType and not is_plumbing(cached.__code__.co_filename)
    return is_a(function, (type, types.FunctionType)) and (function.__module__ in _MODULES_UNSEEN)


def is_outside_function(function: Any) -> bool:
    """Say whether a function of the library uses files, or what else is outside."""
    return is_a(function, _CALLABLE) and (
        function.__module__ in sites.OUTSIDE_MODULES or is_listed(function, sites.OUTSIDE)
    )


def is_bound(function: Any) -> bool:
    """Say whether what a global is bound to uses more than it is given."""
    if is_a(function, _BOUND_IN_C):
        return has_state(type(function.__self__))
    return is_a(function, functools.partial)


def _attribute(receiver: Any, name: str) -> Any:
    """Return an attribute that is called, without running code for it; None if nobody knows."""
    kind = type(receiver)
    if kind is types.ModuleType:
        return vars(receiver).get(name)
    if name in (own := dict_of(receiver)):
        return own[name]
    found = inspect.getattr_static(receiver, name, None)
    if is_a(found, (classmethod, staticmethod)):
        return found.__func__
    return None if is_a(found, (*UNBOUND, property)) else found


def handing_of(function: Any, is_told: HasPoints) -> Handing | None:
    """Return how a function uses its arguments, None if it does not or tells by itself."""
    if is_told(function):
        return None
    if is_a(function, GETTERS):
        return Handing(READ, inside=_goes_deep(function), objects="all")
    if is_listed(function, sites.CARRIERS):
        return None
    if is_listed(function, sites.OPENERS):
        return Handing(READ, inside=function not in sites.SHALLOW, objects="all")
    if is_listed(function, _LOOKING_INTO):
        return EXPRESSION
    if is_a(function, type) and issubclass(function, BaseException):
        return Handing(READ, inside=False)
    return _CHANGING


def _goes_deep(getter: Any) -> bool:
    """Say whether a getter takes an attribute of an attribute."""
    return any("." in str(name) for name in getter.__reduce__()[1])
