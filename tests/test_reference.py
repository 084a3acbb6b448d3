"""docs/reference.md is complete and says what the code says, word for word.

The sections are written by hand; what stands under the heading of a name, and every table of
options, is taken from docstrings and parsers. `python -m tests.test_reference` writes it anew.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import harness
from harness import cli, pytest_plugin
from harness.search import known

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference.md"

#: Besides the front door: modules whose public names are for users too.
MODULES = {
    "harness.hypothesis": ["FaultPlan", "fault_plans", "tapes"],
    "harness.testing": ["NonconformingError", "check_strategy"],
}
#: Their arguments are the affair of those who make them.
MADE_FOR_YOU = {
    "AsyncSimulation",
    "AsyncStorm",
    "AsyncSubscription",
    "Client",
    "Simulation",
    "Storm",
    "Subscription",
}
#: What stands under another name, word for word.
SAME_AS = {"Database": "Client"}
#: A type that has no docstring of its own.
TYPES = {
    "Rule": "`Callable[[Site], Verdict]`: says what may strike at a site. Any thread.",
    "Verdict": "One of the classes below, as an instance.",
}
WIDTH = 120

_ENTRY = re.compile(r"^(#### `(?P<name>[\w.]+)`)\n.*?(?=^#|\Z)", re.DOTALL | re.MULTILINE)
_TABLE = re.compile(
    r"^<!-- (?P<what>options|settings|strategies)(?: (?P<of>[\w.-]+))? -->\n.*?(?=^$|\Z)",
    re.DOTALL | re.MULTILINE,
)


# --- what the code says of a name -----------------------------------------------------------------


def public() -> Iterator[tuple[str, Any]]:
    """Yield every public name with what it names."""
    for name in harness.__all__:
        yield name, getattr(harness, name)
    for module, names in MODULES.items():
        for name in names:
            yield f"{module}.{name}", getattr(importlib.import_module(module), name)


def entry(name: str, thing: Any) -> str:
    """Return what the page says of one public name."""
    short = name.rpartition(".")[2]
    if short in TYPES:
        return TYPES[short]
    parts = []
    shape = "" if short in MADE_FOR_YOU or not callable(thing) else signature(short, thing)
    if shape:
        parts.append(f"```python\n{shape}\n```")
    parts.append(prose(own_doc(thing), is_value=is_dataclass(thing)))
    if isinstance(thing, type):
        rows = list(members(short, thing))
        if rows:
            parts.append("\n".join(rows))
    return "\n\n".join(filter(None, parts))


def own_doc(thing: Any) -> str:
    """Return the docstring of a thing or of its type."""
    return inspect.cleandoc(getattr(thing, "__doc__", None) or type(thing).__doc__ or "")


def signature(name: str, thing: Any) -> str:
    """Return how a thing is called, as in its source; empty for what nobody calls."""
    if isinstance(thing, type) and (
        getattr(thing, "_is_protocol", False) or "__init__" not in vars(thing)
    ):
        return ""
    told = inspect.signature(thing.__init__ if isinstance(thing, type) else thing)
    shown = []
    star = False
    for parameter in told.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not star:
            shown.append("*")
            star = True
        star = star or parameter.kind is inspect.Parameter.VAR_POSITIONAL
        shown.append(_parameter(parameter))
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            shown.append("/")
    result = told.return_annotation
    arrow = "" if isinstance(thing, type) or result in ("None", None) else f" -> {_type(result)}"
    line = f"{name}({', '.join(shown)}){arrow}"
    if len(line) <= 100:
        return line
    return f"{name}(\n" + "".join(f"    {each},\n" for each in shown) + f"){arrow}"


def _parameter(parameter: inspect.Parameter) -> str:
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    text = stars.get(parameter.kind, "") + parameter.name
    if parameter.annotation is not inspect.Parameter.empty:
        text += f": {_type(parameter.annotation)}"
    if parameter.default is inspect.Parameter.empty:
        return text
    default = parameter.default
    if isinstance(default, type):
        shown = default.__name__
    elif repr(default) == "<factory>":
        shown = "…"
    else:
        shown = "ECHO" if default is harness.ECHO else repr(default).replace("'", '"')
    return f"{text} = {shown}" if ":" in text else f"{text}={shown}"


def _type(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "Any")


def members(name: str, cls: type) -> Iterator[str]:
    """Yield a row for each public method and property of a class, in the order of the source."""
    if name in SAME_AS:
        yield f"- The same methods as `{SAME_AS[name]}`."
        return
    data = {field.name for field in fields(cls)} if is_dataclass(cls) else set()
    seen: set[str] = set()
    for each in cls.__mro__:
        if not each.__module__.startswith("harness."):
            continue
        for member, value in vars(each).items():
            if member.startswith("_") or member in data or member in seen:
                continue
            inner = getattr(value, "__func__", value)
            if isinstance(inner, property):
                inner = inner.fget
                called = f"`{member}`"
            elif inspect.isfunction(inner):
                shape = signature(member, inner).replace("(\n    ", "(").replace("\n    ", " ")
                waits = "await " if inspect.iscoroutinefunction(inner) else ""
                called = f"`{waits}{shape}`".replace(",\n)", ")")
            else:
                continue
            seen.add(member)
            text = prose(own_doc(inner), is_value=False, joined=True)
            yield textwrap.fill(
                f"- {called}: {text}",
                WIDTH,
                subsequent_indent="  ",
                break_long_words=False,
                break_on_hyphens=False,
            )


def prose(doc: str, *, is_value: bool, joined: bool = False) -> str:
    """Return a docstring as Markdown: paragraphs, then arguments, then errors.

    Args:
        doc: the docstring, without its indentation.
        is_value: its arguments are its attributes too.
        joined: as one paragraph.
    """
    blocks: list[str] = []
    title = "Args" if not is_value else "Args and attributes"
    for paragraph in doc.split("\n\n"):
        head, _, body = paragraph.partition("\n")
        if head in ("Args:", "Attributes:"):
            rows = _rows(body)
            if joined:
                blocks.append(" ".join(f"`{key}`: {text}" for key, text in rows))
            else:
                blocks.append(f"{title if head == 'Args:' else 'Attributes'}:")
                blocks.append("\n".join(_filled(f"- `{key}`: {text}") for key, text in rows))
        elif head in ("Raises:", "Returns:", "Source:"):
            text = " ".join(
                f"`{key}`: {told}" if key else told for key, told in _rows(body, plain=head)
            )
            blocks.append(f"{head.removesuffix(':')} {text}")
        elif joined or not paragraph.startswith("    "):
            blocks.append(" ".join(paragraph.split()))
        else:
            blocks.append(f"```text\n{textwrap.dedent(paragraph)}\n```")
    if joined:
        return " ".join(blocks)
    return "\n\n".join(
        block if block.startswith(("- ", "```")) else _filled(block) for block in blocks
    )


def _rows(body: str, plain: str = "") -> list[tuple[str, str]]:
    """Return the (name, text) pairs of a section of a docstring."""
    if plain in ("Returns:", "Source:"):
        return [("", " ".join(body.split()))]
    rows: list[tuple[str, str]] = []
    for line in textwrap.dedent(body).splitlines():
        found = re.match(r"(\*{0,2}[\w.]+): (.*)", line)
        if found is not None:
            rows.append((found[1], found[2]))
        elif not rows:
            rows.append(("", line.strip()))
        else:
            key, text = rows[-1]
            rows[-1] = (key, f"{text} {line.strip()}")
    return rows


def _filled(text: str) -> str:
    return textwrap.fill(
        text,
        WIDTH,
        subsequent_indent="  " if text.startswith("- ") else "",
        break_long_words=False,
        break_on_hyphens=False,
    )


# --- what the parsers say of options --------------------------------------------------------------


class Recorder:
    """Stands in for pytest's parser: remembers what is added to it."""

    def __init__(self) -> None:
        self.options: list[tuple[tuple[str, ...], dict[str, Any]]] = []
        self.settings: list[tuple[str, str, Any]] = []

    def getgroup(self, *_names: str) -> Recorder:
        """Return itself: there is one group."""
        return self

    def addoption(self, *names: str, **told: Any) -> None:
        """Remember an option."""
        self.options.append((names, told))

    def addini(self, name: str, help: str, type: str | None = None, default: Any = None) -> None:
        """Remember a setting."""
        self.settings.append((name, help, default))


def plugin() -> Recorder:
    """Return the options and settings of the plugin."""
    recorder = Recorder()
    pytest_plugin.pytest_addoption(recorder)  # type: ignore[arg-type]  # it answers as a parser
    return recorder


def commands() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each command."""
    (action,) = (
        each for each in cli._parser()._actions if isinstance(each, argparse._SubParsersAction)
    )
    return dict(action.choices)


def table(what: str, of: str | None) -> str:
    """Return the table that a comment of the page asks for."""
    if what == "strategies":
        return _filled(", ".join(f"`{name}`" for name in known.names()) + ".")
    if what == "settings":
        rows = [
            (f"`{name}`", help_, "" if default in (None, "", False, []) else f"`{default}`")
            for name, help_, default in plugin().settings
        ]
        return _table(("setting", "what it does", "default"), rows)
    if of == "pytest":
        options = [
            (_names(names, told.get("metavar")), str(told.get("help", "")))
            for names, told in plugin().options
        ]
    else:
        assert of is not None, "options of a command"
        options = [
            (_names(each.option_strings or [each.dest], each.metavar), str(each.help or ""))
            for each in commands()[of]._actions
            if each.dest != "help"
        ]
    return _table(("option", "what it does"), options)


def _names(names: Any, metavar: Any) -> str:
    if not str(names[0]).startswith("-"):
        return f"`{metavar or names[0]}`".replace("|", "\\|")
    return ", ".join(f"`{name} {metavar}`" if metavar else f"`{name}`" for name in names)


def _table(head: tuple[str, ...], rows: list[Any]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# --- the page -------------------------------------------------------------------------------------


def rewritten(page: str) -> str:
    """Return the page with what the code says now."""
    things = dict(public())

    def renewed(found: re.Match[str]) -> str:
        name = found["name"]
        return f"{found[1]}\n\n{entry(name, things[name])}\n\n" if name in things else found[0]

    page = _ENTRY.sub(renewed, page)
    page = _TABLE.sub(
        lambda found: f"{found[0].splitlines()[0]}\n{table(found['what'], found['of'])}\n", page
    )
    return page.rstrip() + "\n"


def test_every_public_name_has_its_place() -> None:
    """No name of the front door is missing, and the page knows none that is not there."""
    named = [found["name"] for found in _ENTRY.finditer(PAGE.read_text("utf-8"))]

    assert sorted(named) == sorted(name for name, _ in public())
    assert set(harness.__all__) <= set(named)


def test_every_command_and_the_plugin_have_their_table() -> None:
    """No command is missing, nor are the options of pytest or its settings."""
    tables = {(each["what"], each["of"]) for each in _TABLE.finditer(PAGE.read_text("utf-8"))}

    assert tables == {
        *(("options", name) for name in (*commands(), "pytest")),
        ("settings", None),
        ("strategies", None),
    }


def test_the_page_says_what_the_code_says() -> None:
    """Shape, arguments, units and errors of every name, and every option, as they are now."""
    page = PAGE.read_text("utf-8")

    assert rewritten(page) == page, "python -m tests.test_reference writes it anew"


def test_every_name_says_something() -> None:
    """No entry is empty, and none is the docstring of the type behind it."""
    said = {name: entry(name, thing) for name, thing in public()}

    assert [name for name, text in said.items() if len(text) < 30 or "PEP 604" in text] == []


def test_exit_codes_are_those_of_the_command() -> None:
    """Each exit code of the command line has a row, and no other number has."""
    section = PAGE.read_text("utf-8").split("### Exit codes")[1].split("\n#")[0]
    rows = {int(code) for code in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)}

    assert rows == {cli.AS_DECLARED, cli.NOT_AS_DECLARED, cli.MISUSE, cli.INTERRUPTED}


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text("utf-8")), "utf-8")
