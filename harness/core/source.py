"""Tells what a source file says that data begin with: constants, class attributes, defaults.

    LIMIT = 2                    said(file, "LIMIT")        Constant(value=2)
    class Cache:                 said(file, "Cache")        Constant(value=5.0)
        age = 5.0
        def get(self, tries=1)   said(file, "Cache.get")    Constant(value=1)

It is the text that counts, and no value: values change while a program runs, and differ between
machines (`HERE = Path(__file__).parent`). It does not know what a name is bound to later.
"""

from __future__ import annotations

import ast
import functools
import linecache
from collections.abc import Iterable
from typing import Final

#: Of what is imported by `from ..package import name as other`: ("package", 2, "name").
Origin = tuple[str, int, str]


def said(file: str, name: str) -> str:
    """Return what a file says of a name, empty if nothing or if there is no source. Any thread.

    Args:
        file: as code objects have it.
        name: qualified, as code objects and classes have it; of a class its attributes, of a
            function its default arguments.
    """
    return "; ".join(map(ast.dump, _read(file).values.get(name, ())))


def origin(file: str, name: str) -> Origin | None:
    """Return what a file imports under a name by `from … import …`, None if it does not."""
    return _read(file).origins.get(name)


@functools.cache
def _read(file: str) -> _Reader:
    reader = _Reader()
    try:
        reader.visit(ast.parse("".join(linecache.getlines(file))))
    except (SyntaxError, ValueError, RecursionError):
        return _Reader()
    return reader


class _Reader(ast.NodeVisitor):
    """Collects what one file says. One use."""

    def __init__(self) -> None:
        self.values: Final[dict[str, list[ast.expr]]] = {}
        self.origins: Final[dict[str, Origin]] = {}
        # Where it is: what goes before the names there, and whether that is inside a class or a
        # function; of a function, variables are nobody's.
        self._prefix = ""
        self._class = ""
        self._is_local = False

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Keep the defaults of a function, and look for others inside it."""
        self._enter_function(node, node.name)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - as ast wants it

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """Keep the defaults of a lambda; those of one place share a name."""
        self._enter_function(node, "<lambda>")

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Keep the attributes of a class, and go on in its methods."""
        name = self._prefix + node.name
        self._enter(node, f"{name}.", of_class=name, is_local=False)

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
        for alias in node.names:
            self.origins[alias.asname or alias.name] = (node.module or "", node.level, alias.name)

    def _enter_function(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, own: str
    ) -> None:
        name = self._prefix + own
        self._keep(name, [*node.args.defaults, *filter(None, node.args.kw_defaults)])
        self._enter(node, f"{name}.<locals>.", of_class="", is_local=True)

    def _enter(self, node: ast.AST, prefix: str, *, of_class: str, is_local: bool) -> None:
        before = self._prefix, self._class, self._is_local
        self._prefix, self._class, self._is_local = prefix, of_class, is_local
        self.generic_visit(node)
        self._prefix, self._class, self._is_local = before

    def _bind(self, targets: Iterable[ast.expr], value: ast.expr) -> None:
        if self._class:
            self._keep(self._class, [*targets, value])
        elif not self._is_local:
            for target in targets:
                for each in ast.walk(target):
                    if isinstance(each, ast.Name):
                        self._keep(each.id, [value])

    def _keep(self, name: str, values: Iterable[ast.expr]) -> None:
        self.values.setdefault(name, []).extend(values)
