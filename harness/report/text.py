"""How reports call places and accesses of the code under test: `broken.py:19`, `read self.known`.

Source is read when a verdict is made, not before: most runs have none. It does not know runs.
"""

from __future__ import annotations

import ast
import linecache
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from harness.core.token import Token
from harness.search.worth import Worth
from harness.world.waits import file_name

#: Longer expressions are cut.
LENGTH_MAX: Final = 48


def shown_place(where: str) -> str:
    """Return how reports call `folder/file.py:12`: `file.py:12`."""
    file, _, line = where.rpartition(":")
    return f"{file_name(file)}:{line}" if file else where


def shown_span(places: Sequence[str]) -> str:
    """Return how reports call the way through `places`, each as `folder/file.py:12`."""
    first, last = places[0], places[-1]
    if first == last:
        return shown_place(first)
    file, _, begin = first.rpartition(":")
    other, _, end = last.rpartition(":")
    if file == other and int(begin) < int(end):
        return f"{shown_place(first)}–{end}"  # noqa: RUF001 - a range of lines, as in print
    return f"from {shown_place(first)} to {shown_place(last)}"


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun: `1 turn`, `2,000 turns`."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def access(site: Any) -> str:
    """Return what the code at a site is about to do, such as `write self.total` or `len(items)`."""
    source, node = _source_of(site), None
    with suppress(SyntaxError, ValueError):
        # An assignment is no expression, and shown as it is.
        node = _parsed(source)
    operation, name = site.operation, site.name
    match node:
        case ast.With() | ast.AsyncWith():
            # Up to 3.11 the whole statement is the place; later, what is entered.
            told = ", ".join(_written(source, each.context_expr) for each in node.items)
        case ast.For() | ast.AsyncFor():
            told = _written(source, node.iter)
        case ast.Subscript() if name == "[]":
            return f"{operation} {_cut(_written(source, node.value))}[...]"
        case ast.Call(func=ast.Attribute(value=receiver)) if name.startswith("."):
            return f"call {_cut(_written(source, receiver))}{name}"
        case _:
            told = _on_one_line(source)
    if not told or name.startswith(("global ", "cell ")):
        return name if operation == name else f"{operation} {name}"
    return f"{_SAID.get(operation, operation)} {_cut(told)}"


def receiver(site: Any) -> str:
    """Return the expression that the code at a site uses, such as `self._lock`; empty if unknown.

    That of a `with` is what is entered, that of a call is what a method is called of.
    """
    source, node = _source_of(site), None
    with suppress(SyntaxError, ValueError):
        node = _parsed(source)
    match node:
        case ast.With() | ast.AsyncWith():
            return _written(source, node.items[0].context_expr)
        case ast.Call(func=ast.Attribute(value=value)):
            return _written(source, value)
        case _:
            return _on_one_line(source)


#: Operations that go by another word where their source is shown.
_SAID: Final = {"inplace": "change", "compare": "look at", "contains": "look at"}


def _source_of(site: Any) -> str:
    """Return the source of the access at a site; empty if it cannot be read."""
    if site.span is None:
        return ""
    end_line, begin, end = site.span
    numbers = range(site.line, end_line + 1)
    lines = [linecache.getline(site.file, number).encode() for number in numbers]
    if not lines or not all(lines):
        return ""
    # Both ends may lie in one line: first what is behind, then what is before.
    lines[-1] = lines[-1][:end]
    lines[0] = lines[0][begin:]
    return b"".join(lines).decode(errors="replace")


def _parsed(source: str) -> ast.AST | None:
    """Return the expression or statement that a piece of source is."""
    if source.startswith(("with ", "for ", "async ")):
        return ast.parse(source).body[0]
    # An operator may stand at the end of a line.
    return ast.parse(f"({source}\n)", mode="eval").body if source else None


def _written(source: str, node: ast.AST) -> str:
    """Return a part of what was parsed as it is written."""
    is_statement = source.startswith(("with ", "for ", "async "))
    whole = source if is_statement else f"({source}\n)"
    return _on_one_line(ast.get_source_segment(whole, node) or "")


def _on_one_line(source: str) -> str:
    lines = [line.partition("#")[0] if "\n" in source else line for line in source.splitlines()]
    return " ".join(" ".join(lines).split())


def differences(token: Token, fingerprint: str, interpreter: str) -> tuple[str, ...]:
    """Return in what the code and the interpreter are not those that a token was made with."""
    found = []
    if token.fingerprint != fingerprint:
        found.append(f"the code has changed: {token.fingerprint} then, {fingerprint} now")
    if token.interpreter != interpreter:
        found.append(f"the interpreter was {token.interpreter} and is {interpreter}")
    return tuple(found)


def search_command(token: Token) -> str:
    """Return the command of a fresh search under the seed and settings of a token."""
    words = ["python -m harness run", token.scenario]
    if token.class_name:
        words.append(f"--class {token.class_name}")
    words.append(f"--seed {token.seed} --strategy {token.strategy}")
    for name, default in (("granularity", "shared"), ("order", "tasks"), ("timeouts", "idle")):
        if getattr(token, name) != default:
            words.append(f"--{name} {getattr(token, name)}")
    return " ".join(words)


def worth_rows(worth: Worth, exhausted: int, noun: str = "trace") -> list[tuple[str, str]]:
    """Return what a green verdict is worth; once all has been run, nothing is left to estimate."""
    if exhausted:
        return [(f"{noun}s", f"{exhausted:,}, and there are no others")]
    return worth.rows()


def worth_in_short(worth: Worth, exhausted: int) -> str:
    """Return the same in a few words behind a semicolon, with the sampler that knows the least.

    Empty if all has been run, which the summary says, or if nothing is known.
    """
    samplers = worth.samplers()
    if exhausted or not samplers:
        return ""
    unseen = max(worth.unseen(sampler) for sampler in samplers)
    return f"; {counted(worth.distinct(), 'trace')}, at most {unseen:.1%} unseen"


def _cut(source: str) -> str:
    return source if len(source) <= LENGTH_MAX else f"{source[: LENGTH_MAX - 1]}…"
