"""Keeps the exceptions that are logged where nobody can be given them.

A callback of a `concurrent.futures.Future` that raises is logged and forgotten, and whoever waits
for what it should have done waits for ever: the log is then the only trace of the reason. What the
standard library logs is kept in any case; what others log, where nobody handles it. It judges
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

    def keep(self, record: logging.LogRecord) -> bool:
        """Keep the exception of a record; tell whether it has one."""
        if not record.exc_info or record.exc_info[1] is None:
            return False
        self.exceptions.append(record.exc_info[1])
        return True

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the exception of a record, and let it pass if somebody handles it."""
        return not self.keep(record) or logging.getLogger(record.name).hasHandlers()


class _LastResort(logging.Handler):
    """Keeps the exceptions that nobody handles, and has the rest written as ever. Any thread."""

    def __init__(self, overheard: Overheard, written: logging.Handler | None) -> None:
        super().__init__(logging.WARNING)
        self._overheard = overheard
        self._written = written

    def handle(self, record: logging.LogRecord) -> bool:
        """Keep or write a record."""
        # Each of two thousand runs would write the same exception to the terminal.
        if not self._overheard.keep(record) and self._written is not None:
            self._written.handle(record)
        return True


@contextmanager
def overhearing() -> Iterator[Overheard]:
    """Keep what is logged inside the block."""
    overheard = Overheard()
    written = logging.lastResort
    for logger in _LOGGERS:
        logger.addFilter(overheard)
    logging.lastResort = _LastResort(overheard, written)
    try:
        yield overheard
    finally:
        logging.lastResort = written
        for logger in _LOGGERS:
            logger.removeFilter(overheard)
