"""A file of the errors that requests ended by, kept short.

It does not know what a request is.
"""

import threading
import traceback
from pathlib import Path

TRIM_EVERY = 20
BLOCKS_MAX = 130
BLOCKS_KEPT = 50
_RULE = "---- error ----\n"


class ErrorLog:
    """Appends each error to a file and now and then throws the oldest away. Any thread."""

    # invariant: after a write whose number is a multiple of TRIM_EVERY, at most BLOCKS_MAX blocks

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._writes = 0

    def __call__(self, exc: BaseException) -> None:
        """Write one error down, with its stack."""
        block = _RULE + "".join(traceback.format_exception(exc))
        with self._lock:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(block)
            self._writes += 1
            if self._writes % TRIM_EVERY == 0:
                self._trim()

    def _trim(self) -> None:
        text = self._path.read_text("utf-8")
        kept = trimmed(text)
        if kept != text:
            self._path.write_text(kept, "utf-8")


def trimmed(text: str) -> str:
    """Return the last `BLOCKS_KEPT` blocks of a log with more than `BLOCKS_MAX`, else all of it."""
    blocks = text.split(_RULE)[1:]
    if len(blocks) <= BLOCKS_MAX:
        return text
    return "".join(_RULE + block for block in blocks[-BLOCKS_KEPT:])
