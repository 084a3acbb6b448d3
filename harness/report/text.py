"""How reports call places and accesses of the code under test: `broken.py:19`, `read self.known`.

Source is read when a verdict is made, not before: most runs have none. It does not know runs.
"""

from __future__ import annotations

import linecache
from collections.abc import Sequence
from typing import Any, Final

from harness.core.token import Token
from harness.search.worth import Worth
from harness.world.waits import file_name

#: Longer expressions are cut.
LENGTH_MAX: Final = 48

#: Operations whose source says by itself what is done.
_PLAIN: Final = frozenset({"call", "compare", "contains"})


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
    source = _cut(source_of(site))
    operation, name = site.operation, site.name
    if operation == "with":
        return f"with {_entered(source_of(site))}".rstrip()
    if name.startswith(("global ", "cell ")) or not source:
        return f"{operation} {name}"
    if name == "[]":
        return f"{operation} {_container(source)}[...]"
    if operation == "call" and name.startswith("."):
        return f"call {_receiver(source, name)}{name}"
    if operation == "inplace":
        return f"change {source}"
    if operation in _PLAIN:
        return f"{'look at' if operation != 'call' else 'call'} {source}"
    return f"{operation} {source}"


def source_of(site: Any) -> str:
    """Return the source of the access at a site, on one line; empty if it cannot be read."""
    if site.span is None:
        return ""
    end_line, begin, end = site.span
    lines = [
        linecache.getline(site.file, number).encode() for number in range(site.line, end_line + 1)
    ]
    if not lines or not all(lines):
        return ""
    # Both ends may lie in one line: first what is behind, then what is before.
    lines[-1] = lines[-1][:end]
    lines[0] = lines[0][begin:]
    return " ".join(b" ".join(lines).decode(errors="replace").split())


def _entered(source: str) -> str:
    """Return `self.lock` of the source of a `with`: up to 3.11 that is the whole statement."""
    if source.startswith(("with ", "async with ")):
        source = source.partition("with ")[2].partition(":")[0].partition(" as ")[0]
    return _cut(source)


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


def worth_rows(worth: Worth, exhausted: int) -> list[tuple[str, str]]:
    """Return what a green verdict is worth; once all has been run, nothing is left to estimate."""
    if exhausted:
        return [("traces", f"{exhausted:,}, and there are no others")]
    return worth.rows()


def _container(source: str) -> str:
    """Return `items` of `items[first:]`."""
    depth = 0
    for index in range(len(source) - 1, -1, -1):
        depth += (source[index] == "]") - (source[index] == "[")
        if depth == 0 and source[index] == "[":
            return source[:index]
    return source


def _receiver(source: str, name: str) -> str:
    """Return `self.items` of `self.items.append(value)`."""
    method = name.removesuffix("()")
    receiver, found, _ = source.rpartition(f"{method}(")
    if not found:
        # What is shown ends where it was cut, or is the method alone.
        receiver, found, _ = source.rpartition(method)
    return receiver if found else source


def _cut(source: str) -> str:
    return source if len(source) <= LENGTH_MAX else f"{source[: LENGTH_MAX - 1]}…"
