"""Ways for a test to look on: what was logged, and whether something has come true yet.

They do not know what is logged or waited for.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import TYPE_CHECKING

from harness.core.clock import to_ns, to_seconds
from harness.errors import Violation

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from .in_flight import InFlight

POLL_EVERY = 0.001


class LogCapture:
    """A handler that keeps what one logger is told while the `with` block lasts. Any thread.

    Args:
        logger: name of the logger; empty for the root.
        level: the least level that is kept; the logger lets it through meanwhile.
    """

    def __init__(self, logger: str = "", level: int = logging.DEBUG) -> None:
        self._logger = logging.getLogger(logger)
        self._level = level
        self._level_before = logging.NOTSET
        self._records: list[logging.LogRecord] = []
        self._handler = logging.Handler(level)
        self._handler.emit = self._records.append  # type: ignore[assignment,method-assign]  # instead of a subclass

    @property
    def records(self) -> list[logging.LogRecord]:
        """The records, oldest first."""
        return list(self._records)

    @property
    def messages(self) -> list[str]:
        """Their texts, with the arguments filled in."""
        return [record.getMessage() for record in self.records]

    def __enter__(self) -> Self:
        self._level_before = self._logger.level
        self._logger.setLevel(min(self._level, self._logger.level or self._level))
        self._logger.addHandler(self._handler)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._logger.removeHandler(self._handler)
        self._logger.setLevel(self._level_before)


def poll_until(
    condition: Callable[[], object],
    *,
    timeout: float,
    on: InFlight | None = None,
    every: float = POLL_EVERY,
    name: str = "the condition",
) -> None:
    """Wait until `condition()` is true; it is asked at least once.

    For threads, never inside a loop.

    Args:
        condition: what is waited for.
        timeout: seconds until it is too late.
        on: ask again whenever this gauge changes, and do not poll at all.
        every: seconds between two questions otherwise.
        name: how the condition is called in the verdict.

    Raises:
        Violation: it did not come true.
        HarnessError: negative `timeout` or `every`.
    """
    deadline_ns = time.monotonic_ns() + to_ns(timeout, "timeout")
    pause_ns = max(1, to_ns(every, "every"))
    bell = threading.Event()
    unsubscribe = None if on is None else on.subscribe(lambda _value: bell.set())
    try:
        while not condition():
            left_ns = deadline_ns - time.monotonic_ns()
            if left_ns <= 0:
                raise _too_late(name, timeout)
            bell.wait(to_seconds(left_ns if on is not None else min(left_ns, pause_ns)))
            bell.clear()
    finally:
        if unsubscribe is not None:
            unsubscribe()


async def async_poll_until(
    condition: Callable[[], object],
    *,
    timeout: float,
    every: float = POLL_EVERY,
    name: str = "the condition",
) -> None:
    """Wait until `condition()` is true, letting the loop run meanwhile; it is asked at least once.

    Args:
        condition: what is waited for.
        timeout: seconds until it is too late.
        every: seconds between two questions.
        name: how the condition is called in the verdict.

    Raises:
        Violation: it did not come true.
        HarnessError: negative `timeout` or `every`.
    """
    deadline_ns = time.monotonic_ns() + to_ns(timeout, "timeout")
    pause_ns = max(1, to_ns(every, "every"))
    while not condition():
        left_ns = deadline_ns - time.monotonic_ns()
        if left_ns <= 0:
            raise _too_late(name, timeout)
        await asyncio.sleep(to_seconds(min(left_ns, pause_ns)))


def _too_late(name: str, timeout: float) -> Violation:
    return Violation("Eventually", f"{name} was not true within {timeout:g} s.")
