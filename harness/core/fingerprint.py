"""Tells whether code is what it was: a hash of a program and of the code under test that it names.

    program ── names ──► functions, classes, modules under test ── names ──► …  byte code ─► hash
       └────── names ──► constants, class attributes, default arguments ──────────► source ──┘

Followed are the names that code uses, as definitions, imports and assignments of the source give
them a meaning: what is passed in, or looked up by a computed name, is not seen. Line numbers,
docstrings and what decorators are given are no part of it, so that pasting a pin does not spoil the
pin. Nor are values: what runs leave in a module does not change it. It runs nothing.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.util import resolve_name
from pathlib import Path
from types import CodeType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any, Final

from .source import Source, names_in, source_of

IsUnderTest = Callable[[str], bool]

_NOWHERE: Final = "<nowhere>"
_NOTHING: Final = object()
_CACHED: Final = type(functools.cache(len))
#: Of code whose first constant is its docstring, since Python 3.13.
_HAS_DOCSTRING: Final = 0x4000000

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
    survey = _Survey(_program(function), is_under_test, original)
    survey.look(function)
    # In whatever order they were met.
    return hashlib.sha256(b"".join(sorted(survey.parts))).hexdigest()[:16]


def _program(function: Any) -> Any:
    """Return the function itself, which counts wherever it lies."""
    while type(function) is functools.partial:
        function = function.func
    return function.__func__ if type(function) is MethodType else function


class _Survey:
    """Collects digests of all that counts. One use.

    invariant: all that was met is kept, so that no identity is taken twice.
    """

    def __init__(
        self,
        program: Any,
        is_under_test: IsUnderTest,
        original: Callable[[CodeType], CodeType],
    ) -> None:
        self.parts: Final[set[bytes]] = set()
        self._program = program
        self._is_under_test = is_under_test
        self._original = original
        self._todo: list[Any] = []
        self._named: list[tuple[Sequence[str], dict[str, Any], str]] = []
        self._met: dict[object, object] = {}

    def look(self, thing: object) -> None:
        """Look at a thing and at all that it leads to."""
        self._todo.append(thing)
        while self._todo or self._named:
            if self._named:
                self._names(*self._named.pop())
            elif id(thing := self._todo.pop()) not in self._met:
                self._met[id(thing)] = thing
                self._thing(thing)

    def _thing(self, thing: Any) -> None:
        # By the type: asked for its class an object might run code.
        kind = type(thing)
        if kind is FunctionType:
            self._function(thing)
        elif issubclass(kind, type):
            self._class(thing)
        elif kind is MethodType:
            owner = thing.__self__
            owner = owner if issubclass(type(owner), type) else type(owner)
            self._todo += [thing.__func__, owner]
        elif kind in (functools.partial, functools.partialmethod):
            self._todo += [thing.func, *thing.args, *thing.keywords.values()]
        elif kind in (staticmethod, classmethod, _CACHED):
            self._todo.append(thing.__wrapped__)
        elif kind is property:
            self._todo += [thing.fget, thing.fset, thing.fdel]
        elif kind is functools.cached_property:
            self._todo.append(thing.func)
        elif kind is functools.singledispatchmethod:
            self._todo.append(thing.dispatcher)

    def _function(self, function: FunctionType) -> None:
        code, more = self._original(function.__code__), vars(function)
        # What a decorator of a library stands for.
        self._todo.append(more.get("__wrapped__"))
        if type(more.get("registry")) is MappingProxyType:
            self._todo += more["registry"].values()
        if function is not self._program and not self._is_under_test(code.co_filename):
            return
        self.parts.add(_digest_of(code))
        for cell in function.__closure__ or ():
            try:
                self._todo.append(cell.cell_contents)
            except ValueError:
                continue
        names, file = function.__globals__, code.co_filename
        if function.__defaults__ or function.__kwdefaults__:
            defaults = self._source(file, names).defaults.get(code.co_qualname, ())
            self._values(f"{code.co_qualname}()", defaults, names, file)
        wanted = [each for part in _with_nested(code) for each in part.co_names]
        self._named.append((wanted, names, file))

    def _class(self, cls: type) -> None:
        if cls.__module__ == "builtins":
            return
        self._todo += [type(cls), *cls.__bases__]
        name, names = cls.__qualname__, _names_around(cls)
        file = _file_in(names)
        source = self._source(file, names)
        attributes = source.attributes.get(name, {})
        for attribute, expressions in attributes.items():
            self._values(f"{name}.{attribute}", expressions, names, file)
        for attribute, value in vars(cls).items():
            is_class = issubclass(type(value), type)
            if attribute not in attributes and not is_class:
                self._todo.append(value)
            elif f"{name}.{attribute}" in source.defined:
                self._todo.append(value)

    def _names(self, wanted: Sequence[str], names: dict[str, Any], file: str) -> None:
        """Look at what names mean in a module; of a module, at what is named beside it."""
        for name in wanted:
            value = names.get(name, _NOTHING)
            if issubclass(type(value), ModuleType):
                self._module(value, wanted)
            elif value is not _NOTHING:
                self._name(name, names, file)

    def _module(self, module: ModuleType, wanted: Sequence[str]) -> None:
        names, file = vars(module), _file_in(vars(module))
        # A folder without __init__.py has nothing of its own.
        if file != _NOWHERE and not self._is_under_test(file):
            return
        if (id(module), id(wanted)) not in self._met:
            self._met[id(module), id(wanted)] = wanted
            self._named.append((wanted, names, file))

    def _name(self, name: str, names: dict[str, Any], file: str) -> None:
        if (id(names), name) in self._met:
            return
        self._met[id(names), name] = names
        source = self._source(file, names)
        expressions = source.values.get(name, ())
        self._values(name, expressions, names, file)
        has_origin = self._has_origin(source, name, names)
        # What is assigned, or bound by a run alone, may be something else by now.
        is_imported = name in source.origins or not source.is_read
        if name in source.defined or (is_imported and not expressions and not has_origin):
            self._todo.append(names[name])

    def _has_origin(self, source: Source, name: str, names: dict[str, Any]) -> bool:
        """Look at a name where it is imported from, if that is under test."""
        found = source.origins.get(name)
        stars = [(module, level, name) for module, level in source.stars]
        for module, level, there in [found] if found else stars:
            others = _names_of(module, level, names)
            file = _file_in(others)
            if there in others and self._is_under_test(file):
                self._named.append(([there], others, file))
                return True
        return False

    def _values(
        self, name: str, expressions: Iterable[ast.expr], names: dict[str, Any], file: str
    ) -> None:
        """Count what the source gives to a name, and look at what is named in it."""
        for each in expressions:
            self.parts.add(hashlib.sha256(f"{name} = {ast.dump(each)}".encode()).digest())
            self._named.append((list(names_in(each)), names, file))

    def _source(self, file: str, names: dict[str, Any]) -> Source:
        return source_of(file, names) if self._is_under_test(file) else Source()


def _names_around(cls: type) -> dict[str, Any]:
    """Return the names of the module of a class: by what is in it, as others may share its name."""
    for value in vars(cls).values():
        # Of what a decorator has made, only the name is that of the module.
        if type(value) is FunctionType and value.__globals__.get("__name__") == cls.__module__:
            return value.__globals__
    return vars(sys.modules[cls.__module__]) if _is_module(cls.__module__) else {}


def _names_of(module: str, level: int, names: dict[str, Any]) -> dict[str, Any]:
    """Return the names of a module as another one imports it, none if that is not known."""
    try:
        whole = resolve_name("." * level + module, names.get("__package__") or "")
    except ImportError:
        return {}
    found = vars(sys.modules[whole]) if _is_module(whole) else {}
    beside = str(Path(_file_in(names)).with_name(f"{whole}.py"))
    if _file_in(found) == beside or not Path(beside).exists():
        return found
    # Files of one name in several folders, such as broken.py, take each other's place.
    for value in names.values():
        found = (
            value.__globals__ if type(value) is FunctionType else _names_around(_class_of(value))
        )
        if _file_in(found) == beside:
            return found
    return _values_alone(beside)


@functools.cache
def _values_alone(file: str) -> dict[str, Any]:
    """Stand in for the names of a module that is not to be had: data, and no code."""
    return {**dict.fromkeys(source_of(file).values), "__file__": file}


def _class_of(value: object) -> type:
    return value if issubclass(type(value), type) else type(value)  # type: ignore[return-value]  # it is one


def _is_module(name: str) -> bool:
    return issubclass(type(sys.modules.get(name)), ModuleType)


def _file_in(names: dict[str, Any]) -> str:
    return names.get("__file__") or _NOWHERE


def _with_nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _with_nested(constant)


def _digest_of(code: CodeType) -> bytes:
    known = _DIGESTS.get(id(code))
    if known is None:
        digest = hashlib.sha256(code.co_qualname.encode())
        for each in _with_nested(code):
            digest.update(each.co_code)
            digest.update(repr((each.co_names, each.co_varnames, each.co_freevars)).encode())
            digest.update(repr([_constant(one) for one in _constants(each)]).encode())
        known = _DIGESTS[id(code)] = (code, digest.digest())
    return known[1]


def _constants(code: CodeType) -> Sequence[object]:
    """Return the constants of code, without the text of its docstring."""
    constants = code.co_consts
    if sys.version_info >= (3, 13):
        has_docstring = bool(code.co_flags & _HAS_DOCSTRING)
    else:
        # The first one is None where there is none, but in what has no docstring: a class, a
        # comprehension.
        is_function = code.co_flags & inspect.CO_OPTIMIZED and not code.co_name.startswith("<")
        has_docstring = bool(is_function and constants and isinstance(constants[0], str))
    return (None, *constants[1:]) if has_docstring else constants


def _constant(value: object) -> object:
    """Return a constant as what is written alike in every process."""
    if isinstance(value, CodeType):
        return value.co_name
    if isinstance(value, frozenset):
        return sorted(map(repr, value))
    return tuple(map(_constant, value)) if isinstance(value, tuple) else value
