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

FIRST_PAUSE_NS = 1_000_000


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
    every: float | None = None,
    name: str = "the condition",
) -> None:
    """Wait until `condition()` is true; it is asked at least once.

    For threads, never inside a loop.

    Args:
        condition: what is waited for.
        timeout: seconds until it is too late.
        on: ask again whenever this gauge changes, and do not poll at all.
        every: seconds between two questions otherwise; None for pauses that grow, from 1 ms,
            so that a long wait is not a storm of questions.
        name: how the condition is called in the verdict.

    Raises:
        Violation: it did not come true.
        HarnessError: negative `timeout` or `every`.
    """
    start_ns = time.monotonic_ns()
    deadline_ns = start_ns + to_ns(timeout, "timeout")
    every_ns = None if every is None else max(1, to_ns(every, "every"))
    bell = threading.Event()
    unsubscribe = None if on is None else on.subscribe(lambda _value: bell.set())
    try:
        while not condition():
            now_ns = time.monotonic_ns()
            if now_ns >= deadline_ns:
                raise _too_late(name, timeout)
            left_ns = deadline_ns - now_ns
            pause_ns = left_ns if on is not None else _pause_ns(every_ns, now_ns - start_ns)
            bell.wait(to_seconds(min(left_ns, pause_ns)))
            bell.clear()
    finally:
        if unsubscribe is not None:
            unsubscribe()


async def async_poll_until(
    condition: Callable[[], object],
    *,
    timeout: float,
    every: float | None = None,
    name: str = "the condition",
) -> None:
    """Wait until `condition()` is true, letting the loop run meanwhile; it is asked at least once.

    Args:
        condition: what is waited for.
        timeout: seconds until it is too late.
        every: seconds between two questions; None for pauses that grow, from 1 ms.
        name: how the condition is called in the verdict.

    Raises:
        Violation: it did not come true.
        HarnessError: negative `timeout` or `every`.
    """
    start_ns = time.monotonic_ns()
    deadline_ns = start_ns + to_ns(timeout, "timeout")
    every_ns = None if every is None else max(1, to_ns(every, "every"))
    while not condition():
        now_ns = time.monotonic_ns()
        if now_ns >= deadline_ns:
            raise _too_late(name, timeout)
        pause_ns = _pause_ns(every_ns, now_ns - start_ns)
        await asyncio.sleep(to_seconds(min(deadline_ns - now_ns, pause_ns)))


def _pause_ns(every_ns: int | None, waited_ns: int) -> int:
    return max(FIRST_PAUSE_NS, waited_ns // 8) if every_ns is None else every_ns


def _too_late(name: str, timeout: float) -> Violation:
    return Violation("Eventually", f"{name} was not true within {timeout:g} s.")
