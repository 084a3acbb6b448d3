"""Keeps the exceptions that the standard library logs where nobody can be given them.

A callback of a `concurrent.futures.Future` that raises is logged and forgotten, and whoever waits
for what it should have done waits for ever: the log is then the only trace of the reason. It judges
nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_LOGGERS: Final = (logging.getLogger("concurrent.futures"), logging.getLogger("asyncio"))


class Overheard(logging.Filter):
    """The exceptions that were logged in one run. Any thread."""

    def __init__(self) -> None:
        super().__init__()
        self.exceptions: list[BaseException] = []

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the exception of a record; let the record pass if somebody handles it."""
        if record.exc_info and record.exc_info[1] is not None:
            self.exceptions.append(record.exc_info[1])
        # Else each of two thousand runs would write it to the terminal.
        return logging.getLogger(record.name).hasHandlers()


@contextmanager
def overhearing() -> Iterator[Overheard]:
    """Keep what is logged inside the block."""
    overheard = Overheard()
    for logger in _LOGGERS:
        logger.addFilter(overheard)
    try:
        yield overheard
    finally:
        for logger in _LOGGERS:
            logger.removeFilter(overheard)
