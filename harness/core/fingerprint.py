"""Tells whether code is what it was: a hash of a program and of the code under test that it names.

    program ── names ──► functions, classes, modules under test ── names ──► …  byte code ─► hash
       └────── names ──► constants, class attributes, default arguments ──────────► source ──┘

Followed are the names that code uses, as far as they are bound in its module now: what is passed in
or looked up by a computed name is not seen. Line numbers and what decorators are given are no part
of it, so that pasting a pin does not spoil the pin. Of data counts what the source says, not what
they are by now. It runs nothing.
"""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Callable, Iterator
from importlib.util import resolve_name
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final

from .source import origin, said

IsUnderTest = Callable[[str], bool]

_NOWHERE: Final = "<nowhere>"
_NOTHING: Final = object()

#: What was hashed, with the code itself, so that its identity stays taken.
_DIGESTS: Final[dict[int, tuple[CodeType, bytes]]] = {}


def fingerprint_of(
    function: Callable[..., Any],
    *,
    is_under_test: IsUnderTest,
    original: Callable[[CodeType], CodeType] = lambda code: code,
) -> str:
    """Return a hash of a program and of what it names. Any thread.

    Args:
        function: the program; of a `functools.partial`, with the classes that it is given.
        is_under_test: says of a file name whether its code counts.
        original: returns the code without points.
    """
    digest = hashlib.sha256()
    for part in _parts(function, is_under_test, original):
        digest.update(part.encode() if isinstance(part, str) else _digest_of(part))
    return digest.hexdigest()[:16]


def _parts(
    function: Callable[..., Any],
    is_under_test: IsUnderTest,
    original: Callable[[CodeType], CodeType],
) -> Iterator[CodeType | str]:
    """Yield the code that counts, and what the source says of data."""
    # The program itself counts wherever it lies.
    program: Any = function
    while type(program) is functools.partial:
        program = program.func
    if type(program) is MethodType:
        program = program.__func__
    todo: list[Any] = [function]
    met: set[int] = set()
    while todo:
        thing = todo.pop()
        if id(thing) in met:
            continue
        met.add(id(thing))
        # By the type: asked for its class an object might run code.
        kind = type(thing)
        if kind is functools.partial:
            todo += [*reversed([*thing.args, *thing.keywords.values()]), thing.func]
        elif kind is MethodType:
            todo += [type(thing.__self__), thing.__func__]
        elif issubclass(kind, type):
            yield from _attributes(thing, is_under_test)
            todo += reversed(list(_methods(thing)))
        elif kind is FunctionType:
            code = original(thing.__code__)
            if thing is program or is_under_test(code.co_filename):
                yield code
                yield from _data(thing, code, is_under_test)
                todo += reversed(list(_named(thing, code, is_under_test)))


def _attributes(cls: type, is_under_test: IsUnderTest) -> Iterator[str]:
    """Yield what the source says of the attributes of a class and of those above it."""
    for base in cls.__mro__:
        file = _file_of(sys.modules.get(base.__module__))
        if is_under_test(file):
            yield said(file, base.__qualname__)


def _data(function: FunctionType, code: CodeType, is_under_test: IsUnderTest) -> Iterator[str]:
    """Yield what the source says of the defaults of a function and of the data that it names."""
    if function.__defaults__ or function.__kwdefaults__:
        yield said(code.co_filename, code.co_qualname)
    names = _names(code)
    for name in names:
        value = function.__globals__.get(name, _NOTHING)
        if issubclass(type(value), ModuleType):
            file = _file_of(value)
            if is_under_test(file):
                yield from (said(file, each) for each in names if each in vars(value))
        elif value is not _NOTHING and not issubclass(type(value), (type, FunctionType)):
            yield said(code.co_filename, name)
            file, there = _origin(function, code, name)
            if is_under_test(file):
                yield said(file, there)


def _origin(function: FunctionType, code: CodeType, name: str) -> tuple[str, str]:
    """Return the file that a global is imported from, and its name there."""
    found = origin(code.co_filename, name)
    if found is None:
        return _NOWHERE, name
    module, level, there = found
    try:
        whole = resolve_name("." * level + module, function.__globals__.get("__package__") or "")
    except ImportError:
        return _NOWHERE, there
    return _file_of(sys.modules.get(whole)), there


def _file_of(module: object) -> str:
    if not issubclass(type(module), ModuleType):
        return _NOWHERE
    return vars(module).get("__file__") or _NOWHERE


def _methods(cls: type) -> Iterator[Any]:
    """Yield the functions of a class and of those above it, by name."""
    for base in cls.__mro__:
        if base.__module__ == "builtins":
            continue
        for _, value in sorted(vars(base).items()):
            kind = type(value)
            if kind is property:
                yield from filter(None, (value.fget, value.fset, value.fdel))
            elif kind in (classmethod, staticmethod):
                yield value.__func__
            else:
                yield value.func if kind is functools.cached_property else value


def _named(function: FunctionType, code: CodeType, is_under_test: IsUnderTest) -> Iterator[Any]:
    """Yield what a function names, if it is code, in the order of its code."""
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            continue
    names = _names(code)
    for name in names:
        value = function.__globals__.get(name)
        if not issubclass(type(value), ModuleType):
            yield value
            yield type(value)
        elif is_under_test(_file_of(value)):
            # Of a module, what is named beside it.
            yield from (vars(value)[each] for each in names if each in vars(value))


def _names(code: CodeType) -> list[str]:
    return list(dict.fromkeys(name for each in _with_nested(code) for name in each.co_names))


def _with_nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _with_nested(constant)


def _digest_of(code: CodeType) -> bytes:
    known = _DIGESTS.get(id(code))
    if known is None:
        digest = hashlib.sha256()
        for each in _with_nested(code):
            digest.update(each.co_code)
            digest.update(repr((each.co_names, each.co_varnames, each.co_freevars)).encode())
            digest.update(repr([_constant(one) for one in each.co_consts]).encode())
        known = _DIGESTS[id(code)] = (code, digest.digest())
    return known[1]


def _constant(value: object) -> object:
    """Return a constant as what is written alike in every process."""
    if isinstance(value, CodeType):
        return value.co_name
    if isinstance(value, frozenset):
        return sorted(map(repr, value))
    return tuple(map(_constant, value)) if isinstance(value, tuple) else value
