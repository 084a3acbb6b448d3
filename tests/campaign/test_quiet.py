"""What is printed while code is run hundreds of times, and who is heard all the same."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.campaign.quiet import last_run_only, quiet


@contextmanager
def only_the_last_resort() -> Iterator[None]:
    """Take pytest's handlers away: where nobody has configured logging, warnings are printed."""
    root = logging.getLogger()
    handlers = root.handlers[:]
    root.handlers.clear()
    try:
        yield
    finally:
        root.handlers.extend(handlers)


def speak(text: str) -> None:
    """Say it in each way that ends up on a terminal."""
    sys.stdout.write(f"{text} out\n")
    sys.stderr.write(f"{text} err\n")
    logging.getLogger("tests.quiet").warning("%s log", text)


def test_nothing_is_printed_until_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither to a stream, nor by a log that nobody has configured; afterwards all is as before."""
    with only_the_last_resort():
        with quiet():
            speak("inside")
        speak("after")

    assert capsys.readouterr() == ("after out\n", "after err\nafter log\n")


def test_whoever_keeps_the_stream_may_print_later() -> None:
    """A module that is imported in one run does, and prints in the next."""
    with quiet():
        kept = sys.stdout
    with quiet():
        assert sys.stdout is kept
        kept.write("later")


def test_of_several_runs_the_last_is_heard(capsys: pytest.CaptureFixture[str]) -> None:
    """Also where it has raised; all of it on stderr, in its order."""
    with only_the_last_resort(), pytest.raises(KeyError), last_run_only() as forget:
        speak("first, which was longer")
        forget()
        speak("last")
        raise KeyError

    assert capsys.readouterr() == ("", "last out\nlast err\nlast log\n")


def test_a_debugger_is_heard(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever calls one wants to talk to it, now."""

    def debug() -> None:
        sys.stdout.write("(Pdb) ")

    monkeypatch.setattr(sys, "breakpointhook", debug)
    with quiet():
        breakpoint()  # noqa: T100 - the claim is about it

    assert capsys.readouterr().out == "(Pdb) "
    assert sys.breakpointhook is debug
