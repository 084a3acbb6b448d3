"""Verdicts on a terminal: colours there, plain text anywhere else, and never a broken token."""

from __future__ import annotations

import io
import re

import pytest

from harness.report.terminal import write

VERDICT = (
    "FAIL cold_key[CheckThenAct]: MaxInFlight, declared holds (1 of 3 schedules, 0.10 s)\n"
    "     Violation: 'origin' had 2 calls in flight, allowed 1.\n"
    "       because    caller-7 stopped at broken.py:19\n"
    f"       replay     python -m harness replay t1:{'x' * 300}"
)


class _Terminal(io.StringIO):
    """A narrow one."""

    def isatty(self) -> bool:
        return True


def test_a_pipe_gets_the_text_as_it_is() -> None:
    """No escape sequence, no line broken."""
    out = io.StringIO()

    write(VERDICT, out)

    assert out.getvalue() == f"{VERDICT}\n"


def test_a_terminal_gets_colours_and_the_same_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its escape sequences it says the same, token in one piece and brackets included."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = _Terminal()

    write(VERDICT, out)

    shown = out.getvalue()
    assert "\x1b[1;31mFAIL" in shown
    assert re.sub(r"\x1b\[[0-9;]*m", "", shown) == f"{VERDICT}\n"


def test_who_wants_no_colour_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """`NO_COLOR` is heard."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    out = _Terminal()

    write(VERDICT, out)

    assert "\x1b[1;31m" not in out.getvalue()
    assert "\x1b[31" not in out.getvalue()
