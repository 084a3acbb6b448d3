"""Readers that behave badly: one that is slow to close, one that cannot be talked out of its read.

Fault model: `SlowCloseReader.close()` takes as long as told; `BlockingSource.read()` ignores every
cancellation of its caller and ends on `interrupt()` only. What never happens: wrong bytes, a close
or an interrupt that is not counted. That is enough for whoever must close many readers in bounded
time, or free a reader that somebody is stuck in.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from harness.core.clock import to_ns, to_seconds

from .gate import AsyncGate, Gate
from .in_flight import InFlight
from .waiting import AsyncPatience, Patience

if TYPE_CHECKING:
    from .behaviour import Error
    from .waiting import Cancellation


class SlowCloseReader:
    """A reader over fixed bytes whose close takes its time. Any thread.

    Args:
        name: how it is called in reports.
        data: what there is to read.
        close_latency: seconds that each close takes.
        closing: gauge of the closes that go on; None for one of its own. Share one to bound many
            readers.

    Raises:
        HarnessError: negative `close_latency`.
    """

    def __init__(
        self,
        name: str = "reader",
        *,
        data: bytes = b"",
        close_latency: float = 1.0,
        closing: InFlight | None = None,
    ) -> None:
        self.name = name
        self.closing = InFlight(f"close of {name}") if closing is None else closing
        self._left = memoryview(data)
        self._close_latency = _checked_latency(close_latency)
        self._closes: list[float] = []

    @property
    def closes(self) -> int:
        """How many closes have begun."""
        return len(self._closes)

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, all that is left if it is negative."""
        chunk, self._left = _split(self._left, size)
        return chunk

    def close(self) -> None:
        """Count a close, then take the time."""
        self._closes.append(time.monotonic())
        with self.closing:
            time.sleep(self._close_latency)


class AsyncSlowCloseReader:
    """A reader over fixed bytes whose close takes its time. One loop.

    Args:
        name: how it is called in reports.
        data: what there is to read.
        close_latency: seconds that each close takes.
        closing: gauge of the closes that go on; None for one of its own. Share one to bound many
            readers.

    Raises:
        HarnessError: negative `close_latency`.
    """

    def __init__(
        self,
        name: str = "reader",
        *,
        data: bytes = b"",
        close_latency: float = 1.0,
        closing: InFlight | None = None,
    ) -> None:
        self.name = name
        self.closing = InFlight(f"close of {name}") if closing is None else closing
        self._left = memoryview(data)
        self._close_latency = _checked_latency(close_latency)
        self._closes: list[float] = []

    @property
    def closes(self) -> int:
        """How many closes have begun."""
        return len(self._closes)

    async def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, all that is left if it is negative."""
        chunk, self._left = _split(self._left, size)
        return chunk

    async def close(self) -> None:
        """Count a close, then take the time."""
        self._closes.append(time.monotonic())
        with self.closing:
            await asyncio.sleep(self._close_latency)


class BlockingSource:
    """A source whose reads block until somebody interrupts it, whatever else is tried. Any thread.

    Args:
        name: how it is called in reports.
        error: what a read raises once it is interrupted; None lets it return no bytes, as at an end
            of file.
    """

    def __init__(self, name: str = "source", *, error: Error | None = InterruptedError) -> None:
        self.name = name
        self._gate = Gate(name)
        self._error = error
        self._interrupts = 0

    @property
    def blocked(self) -> int:
        """How many reads are blocked now."""
        return self._gate.waiting

    @property
    def interrupts(self) -> int:
        """How often it was interrupted."""
        return self._interrupts

    def read(
        self, size: int = -1, *, timeout: float | None = None, cancel: Cancellation | None = None
    ) -> bytes:
        """Block until `interrupt()`.

        Args:
            size: ignored.
            timeout: seconds; ignored, on purpose.
            cancel: scope of the caller; ignored, on purpose.

        Returns:
            No bytes.

        Raises:
            BaseException: the error of the source.
        """
        del size, timeout, cancel
        self._gate.pass_through(Patience(None, None, self.name))
        return _interrupted(self._error)

    def wait_for(self, reads: int, timeout: float | None = None) -> None:
        """Wait until at least so many `reads` are blocked.

        `timeout` in seconds, then TimeoutError.
        """
        self._gate.wait_for(reads, timeout)

    def interrupt(self) -> None:
        """End every read, those that come later too. Never blocks."""
        self._interrupts += 1
        self._gate.open()


class AsyncBlockingSource:
    """A source whose reads block until somebody interrupts it, cancelled or not. One loop.

    Args:
        name: how it is called in reports.
        error: what a read raises once it is interrupted; None lets it return no bytes, as at an end
            of file.
    """

    def __init__(self, name: str = "source", *, error: Error | None = InterruptedError) -> None:
        self.name = name
        self._gate = AsyncGate(name)
        self._error = error
        self._interrupts = 0

    @property
    def blocked(self) -> int:
        """How many reads are blocked now."""
        return self._gate.waiting

    @property
    def interrupts(self) -> int:
        """How often it was interrupted."""
        return self._interrupts

    async def read(self, size: int = -1, *, timeout: float | None = None) -> bytes:
        """Block until `interrupt()`, through every cancellation; one is raised only then.

        Args:
            size: ignored.
            timeout: seconds; ignored, on purpose.

        Returns:
            No bytes.

        Raises:
            asyncio.CancelledError: the task was cancelled meanwhile.
            BaseException: the error of the source.
        """
        del size, timeout
        cancelled: asyncio.CancelledError | None = None
        patience = AsyncPatience(None, self.name)
        while not self._gate.is_open:
            try:
                await self._gate.pass_through(patience)
            except asyncio.CancelledError as exc:
                cancelled = exc
        if cancelled is not None:
            raise cancelled
        return _interrupted(self._error)

    async def wait_for(self, reads: int, timeout: float | None = None) -> None:
        """Wait until at least so many `reads` are blocked.

        `timeout` in seconds, then TimeoutError.
        """
        await self._gate.wait_for(reads, timeout)

    def interrupt(self) -> None:
        """End every read, those that come later too. Never blocks."""
        self._interrupts += 1
        self._gate.open()


def _checked_latency(seconds: float) -> float:
    return to_seconds(to_ns(seconds, "close_latency"))


def _split(left: memoryview, size: int) -> tuple[bytes, memoryview]:
    end = len(left) if size < 0 else size
    return left[:end].tobytes(), left[end:]


def _interrupted(error: Error | None) -> bytes:
    if error is not None:
        raise error if isinstance(error, BaseException) else error()
    return b""
