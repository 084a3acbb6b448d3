"""Tells what a source file says of its names: by which expression, definition or import each is.

    LIMIT = 2                    values["LIMIT"]                 2
    class Cache:                 defined                         Cache, Cache.get
        age = LIMIT              attributes["Cache"]["age"]      LIMIT
        def get(self, tries=1)   defaults["Cache.get"]           1

It is the text that counts, and no value: values change while a program runs, and differ between
machines (`HERE = Path(__file__).parent`). It does not know what a name is bound to later.
"""

from __future__ import annotations

import ast
import linecache
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

#: Of what is imported by `from ..package import name as other`: ("package", 2, "name").
Origin = tuple[str, int, str]

_READ: Final[dict[str, Source]] = {}


@dataclass(slots=True)
class Source:
    """What one file says. Written while it is read, and then not any more.

    Args:
        values: by name in the module, the expressions that it is assigned.
        attributes: by qualified name of a class, and by name in it, the same.
        defaults: by qualified name of a function, the expressions of its default arguments.
        defined: qualified names of classes and functions.
        origins: by name in the module, where `from … import …` takes it from.
        stars: modules that all is imported from, each with the dots before it.
        is_read: there is a source.
    """

    values: dict[str, list[ast.expr]] = field(default_factory=dict)
    attributes: dict[str, dict[str, list[ast.expr]]] = field(default_factory=dict)
    defaults: dict[str, list[ast.expr]] = field(default_factory=dict)
    defined: set[str] = field(default_factory=set)
    origins: dict[str, Origin] = field(default_factory=dict)
    stars: list[tuple[str, int]] = field(default_factory=list)
    is_read: bool = False


def source_of(file: str, names: dict[str, Any] | None = None) -> Source:
    """Return what a file says; nothing if there is no source, as for byte code alone. Any thread.

    Args:
        file: as code objects have it.
        names: those of its module, by which the source is found that is in no folder.
    """
    found = _READ.get(file)
    if found is None:
        found = _READ[file] = _read("".join(linecache.getlines(file, names)))
    return found


def names_in(expression: ast.expr) -> Iterator[str]:
    """Yield the names that an expression uses, those of attributes among them."""
    for node in ast.walk(expression):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


def _read(text: str) -> Source:
    if not text:
        return Source()
    reader = _Reader()
    try:
        with warnings.catch_warnings():
            # They have been given when it was compiled, and are no reason to know nothing.
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
        reader.visit(tree)
    except (SyntaxError, ValueError, RecursionError):
        return Source()
    return reader.source


class _Reader(ast.NodeVisitor):
    """Collects what one file says. One use."""

    def __init__(self) -> None:
        self.source: Final = Source(is_read=True)
        # What goes before the names where it is; where assignments are kept, None in a function,
        # whose variables are part of its code.
        self._prefix = ""
        self._kept: dict[str, list[ast.expr]] | None = self.source.values

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Keep the defaults of a function, and look for others inside it."""
        self.source.defined.add(self._prefix + node.name)
        self._enter_function(node, node.name)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - as ast wants it

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """Keep the defaults of a lambda; those of one place share a name."""
        self._enter_function(node, "<lambda>")

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Keep the attributes of a class, and go on in its methods."""
        name = self._prefix + node.name
        self.source.defined.add(name)
        self._enter(node, f"{name}.", self.source.attributes.setdefault(name, {}))

    def visit_Assign(self, node: ast.Assign) -> None:
        """Keep what a module or a class binds."""
        self._bind(node.targets, node.value)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign | ast.AugAssign) -> None:
        """Keep what a module or a class binds."""
        if node.value is not None:
            self._bind([node.target], node.value)
        self.generic_visit(node)

    visit_AugAssign = visit_AnnAssign  # noqa: N815 - as ast wants it

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Keep where names come from."""
        module = node.module or ""
        for alias in node.names:
            if alias.name == "*":
                self.source.stars.append((module, node.level))
            elif self._kept is self.source.values:
                self.source.origins[alias.asname or alias.name] = (module, node.level, alias.name)

    def _enter_function(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, own: str
    ) -> None:
        name = self._prefix + own
        values = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
        self.source.defaults.setdefault(name, []).extend(values)
        self._enter(node, f"{name}.<locals>.", None)

    def _enter(self, node: ast.AST, prefix: str, kept: dict[str, list[ast.expr]] | None) -> None:
        before = self._prefix, self._kept
        self._prefix, self._kept = prefix, kept
        self.generic_visit(node)
        self._prefix, self._kept = before

    def _bind(self, targets: Iterable[ast.expr], value: ast.expr) -> None:
        if self._kept is None:
            return
        for target in targets:
            for each in ast.walk(target):
                if isinstance(each, ast.Name):
                    self._kept.setdefault(each.id, []).append(value)
