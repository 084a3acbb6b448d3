"""Writes verdicts to a terminal with colours, and the very same text plainly anywhere else.

Whoever reads a file, a pipe or the log of a build gets no escape sequences and no lines broken at a
width: a token must be copied in one piece.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from rich.text import Text

#: What a line looks like, and how its parts are shown.
_STYLES: Final = (
    (re.compile(r"^\s*(?P<red>FAIL) (?P<bold>\S+):"), {"red": "bold red", "bold": "bold"}),
    (re.compile(r"^\s*(?P<green>ok  ) "), {"green": "bold green"}),
    (re.compile(r"^\s*(?P<red>Violation:) (?P<bold>.*)"), {"red": "bold red", "bold": "bold"}),
    (re.compile(r"^\s+(?P<label>replay:?)\s+(?P<command>.*)"), {"label": "dim", "command": "cyan"}),
    (re.compile(r"^\s+(?P<label>because)\s+(?P<why>.*)"), {"label": "dim", "why": "yellow"}),
    (re.compile(r"^\s{2,}(?P<label>[a-z]+)\s{2,}\S"), {"label": "dim"}),
)


def write(text: str, file: TextIO) -> None:
    """Write a text and a line end: with colours if `file` is a terminal that wants them."""
    if not file.isatty():
        print(text, file=file, flush=True)
        return
    from rich.console import Console  # noqa: PLC0415 - only a terminal needs it

    console = Console(file=file, highlight=False, soft_wrap=True)
    for line in text.split("\n"):
        console.print(_styled(line))


def _styled(line: str) -> Text:
    from rich.text import Text  # noqa: PLC0415 - as above

    shown = Text(line)
    for pattern, styles in _STYLES:
        found = pattern.search(line)
        if found is not None:
            for group, style in styles.items():
                shown.stylize(style, *found.span(group))
            break
    return shown
