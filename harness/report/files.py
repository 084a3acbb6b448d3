"""Reports that go to files: asks before anything runs whether they can, and writes each as a whole.

It does not know what a report says.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import HarnessError, misuse

from .page import page
from .results import Result
from .story import STEPS_MAX
from .trace import trace


def check_target(option: str, file: str) -> None:
    """Refuse a file that cannot be written; nothing that is there is touched.

    Args:
        option: what asked for it, without dashes.
        file: the file.

    Raises:
        HarnessError: it cannot.
    """
    path = Path(file)
    try:
        is_new = not path.exists()
        if not file or path.is_dir():
            raise IsADirectoryError(0, "it is a folder")
        with path.open("ab"):
            pass
        if is_new:
            path.unlink()
        if is_new or path.is_file():
            # It is written beside its place, and moved there when it is whole.
            with _beside(path).open("wb"):
                pass
            _beside(path).unlink()
    except (OSError, ValueError) as exc:
        why = getattr(exc, "strerror", None) or str(exc)
        raise misuse(
            option, file, f"cannot be written: {why}.", "Name a file in a folder that is there."
        ) from None


def write_target(option: str, file: str, text: str) -> None:
    """Write a report; where that fails, a file that was there stays as it was.

    Raises:
        HarnessError: it fails.
    """
    path = Path(file)
    content = text.encode("utf-8", "replace")
    try:
        if path.exists() and not path.is_file():
            # A pipe or a device has no place beside it.
            path.write_bytes(content)
            return
        beside = _beside(path)
        try:
            beside.write_bytes(content)
            beside.replace(path.resolve() if path.is_symlink() else path)
        except OSError:
            with suppress(OSError):
                beside.unlink()
            raise
    except OSError as exc:
        raise HarnessError(
            f"{option}={file!r} could not be written: {exc.strerror}. "
            "What was there before is still there."
        ) from None


def _beside(path: Path) -> Path:
    place = path.resolve() if path.is_symlink() else path
    return place.with_name(f".{place.name}.{os.getpid()}.part")


@dataclass(slots=True)
class Reports:
    """The reports that were asked for, and the results that go into them. One thread.

    Args:
        html: the file for the page, None for none.
        trace: the file for trace events, None for none.
        prefix: of the options, for messages.

    invariant: `room` is how many more steps the page has room for.
    """

    html: str | None = None
    trace: str | None = None
    prefix: str = ""
    results: list[Result] = field(default_factory=list)
    room: int = STEPS_MAX

    @property
    def are_wanted(self) -> bool:
        """Whether anybody wants any."""
        return self.html is not None or self.trace is not None

    def check(self) -> None:
        """Refuse files that cannot be written, before anything runs.

        Raises:
            HarnessError: one cannot.
        """
        for option, file in self._files():
            check_target(option, file)

    def has_room(self, *, as_declared: bool) -> bool:
        """Tell whether a run is to be recorded: what nobody declared, and else as many as fit."""
        return self.are_wanted and (not as_declared or self.room > 0)

    def add(self, result: Result) -> None:
        """Take a result in."""
        self.results.append(result)
        if result.story is not None:
            self.room -= len(result.story.lane)

    def write(self) -> list[str]:
        """Write all; return what there is to say about it.

        Raises:
            HarnessError: that fails.
        """
        made: dict[str, Callable[[], str]] = {
            "html": lambda: page(self.results),
            "trace": lambda: trace([each.story for each in self.results if each.story]),
        }
        said = []
        for option, file in self._files():
            write_target(option, file, made[option.removeprefix(self.prefix)]())
            if option.endswith("trace") and not any(each.story for each in self.results):
                said.append(f"nothing has failed, so {file} holds no run.")
        return said

    def _files(self) -> list[tuple[str, str]]:
        files = ((f"{self.prefix}html", self.html), (f"{self.prefix}trace", self.trace))
        return [(option, file) for option, file in files if file is not None]
