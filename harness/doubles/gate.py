"""A gate that holds callers back until it is opened, and tells when enough of them have gathered.

Fault model: a gate may stay shut for ever; a caller may lose patience, by time-out or cancellation,
while it waits, even at the instant at which the gate opens. What never happens: `open()` lets only
some of those through who wait, or a `close()` right behind it shuts the gate before their noses.
That is enough to hold a storm at one exact place.
"""

from __future__ import annotations

import asyncio
import threading

from harness.errors import misuse

from .waiting import AsyncPatience, Cancellation, Patience, checked_name, ring


class Gate:
    """A gate for threads. Any thread.

    Args:
        name: how it is called in reports.
        is_open: whether it starts open.
    """

    # invariant: who is in _callers was not yet let through; an open gate has nobody in _callers
    def __init__(self, name: str = "gate", *, is_open: bool = False) -> None:
        self.name = checked_name(name)
        self._lock = threading.Lock()
        self._open = is_open
        self._callers: list[threading.Event] = []
        self._watchers: list[tuple[int, threading.Event]] = []

    @property
    def is_open(self) -> bool:
        """Whether a caller who comes now goes straight through."""
        return self._open

    @property
    def waiting(self) -> int:
        """How many callers wait now."""
        return len(self._callers)

    def wait(self, timeout: float | None = None, cancel: Cancellation | None = None) -> None:
        """Wait until the gate is open.

        Args:
            timeout: seconds; None waits for ever. At an open gate it is never too late.
            cancel: scope that ends the wait; one that is already set fails at an open gate too.

        Raises:
            TimeoutError: it stayed shut.
            concurrent.futures.CancelledError: the scope was set first, or at the same instant.
        """
        self.pass_through(Patience(timeout, cancel, f"gate {self.name!r}"), lenient=True)

    def pass_through(self, patience: Patience, *, lenient: bool = False) -> None:
        """Wait with the `patience` of a longer errand. For doubles; `wait()` is for everybody else.

        Args:
            patience: whose deadline and cancellation count.
            lenient: a deadline that has passed does not count at an open gate.
        """
        if lenient and self._open:
            patience.check_cancel()
        else:
            patience.check()
        bell = threading.Event()
        with self._lock:
            if self._open:
                return
            self._callers.append(bell)
            self._tell_watchers()
        try:
            patience.wait(bell)
        except BaseException:
            with self._lock:
                if bell in self._callers:
                    self._callers.remove(bell)
            raise

    def wait_for(self, callers: int, timeout: float | None = None) -> None:
        """Wait until at least `callers` wait at the gate at once.

        Args:
            callers: how many, from 0.
            timeout: seconds; None waits for ever.

        Raises:
            TimeoutError: fewer came.
            HarnessError: negative `callers`, or more than none at a gate that is open.
        """
        patience = Patience(timeout, None, f"{callers} callers at gate {self.name!r}")
        bell = threading.Event()
        with self._lock:
            _check_wait_for(self.name, callers, is_open=self._open)
            if len(self._callers) >= callers:
                return
            self._watchers.append((callers, bell))
        try:
            patience.wait(bell)
        finally:
            with self._lock:
                self._watchers = [entry for entry in self._watchers if entry[1] is not bell]

    def open(self) -> None:
        """Let everybody through who waits, and who comes until `close()`.

        Opening it again does nothing.
        """
        with self._lock:
            self._open = True
            callers, self._callers = self._callers, []
        for bell in callers:
            bell.set()

    def close(self) -> None:
        """Hold back who comes from now on. Who was let through stays through."""
        with self._lock:
            self._open = False

    def __repr__(self) -> str:
        return f"<Gate {self.name!r}: {'open' if self._open else 'shut'}, {self.waiting} waiting>"

    def _tell_watchers(self) -> None:
        for callers, bell in self._watchers:
            if len(self._callers) >= callers:
                bell.set()


class AsyncGate:
    """A gate for tasks. One loop; every method, `open()` too, from that loop's thread.

    Args:
        name: how it is called in reports.
        is_open: whether it starts open.
    """

    # invariant: who is in _callers was not yet let through; an open gate has nobody in _callers
    def __init__(self, name: str = "gate", *, is_open: bool = False) -> None:
        self.name = checked_name(name)
        self._open = is_open
        self._callers: list[asyncio.Future[bool]] = []
        self._watchers: list[tuple[int, asyncio.Future[bool]]] = []

    @property
    def is_open(self) -> bool:
        """Whether a caller who comes now goes straight through."""
        return self._open

    @property
    def waiting(self) -> int:
        """How many callers wait now."""
        return len(self._callers)

    async def wait(self, timeout: float | None = None) -> None:  # the twin of Gate.wait
        """Wait until the gate is open.

        Args:
            timeout: seconds; None waits for ever. At an open gate it is never too late.

        Raises:
            TimeoutError: it stayed shut.
            asyncio.CancelledError: the task was cancelled.
        """
        await self.pass_through(AsyncPatience(timeout, f"gate {self.name!r}"), lenient=True)

    async def pass_through(self, patience: AsyncPatience, *, lenient: bool = False) -> None:
        """Wait with the `patience` of a longer errand. For doubles; `wait()` is for everybody else.

        Args:
            patience: whose deadline counts.
            lenient: a deadline that has passed does not count at an open gate.
        """
        if not (lenient and self._open):
            patience.check()
        if self._open:
            return
        bell: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._callers.append(bell)
        for callers, watcher in self._watchers:
            if len(self._callers) >= callers:
                ring(watcher)
        try:
            await patience.wait(bell)
        finally:
            # open() has already taken out who is let through; who gives up takes itself out
            if bell in self._callers:
                self._callers.remove(bell)

    async def wait_for(self, callers: int, timeout: float | None = None) -> None:  # as above
        """Wait until at least `callers` wait at the gate at once.

        Args:
            callers: how many, from 0.
            timeout: seconds; None waits for ever.

        Raises:
            TimeoutError: fewer came.
            HarnessError: negative `callers`, or more than none at a gate that is open.
        """
        _check_wait_for(self.name, callers, is_open=self._open)
        if len(self._callers) >= callers:
            return
        bell: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._watchers.append((callers, bell))
        try:
            await AsyncPatience(timeout, f"{callers} callers at gate {self.name!r}").wait(bell)
        finally:
            self._watchers = [entry for entry in self._watchers if entry[1] is not bell]

    def open(self) -> None:
        """Let everybody through who waits, and who comes until `close()`.

        Opening it again does nothing.
        """
        self._open = True
        callers, self._callers = self._callers, []
        for bell in callers:
            ring(bell)

    def close(self) -> None:
        """Hold back who comes from now on. Who was let through stays through."""
        self._open = False

    def __repr__(self) -> str:
        return (
            f"<AsyncGate {self.name!r}: {'open' if self._open else 'shut'}, {self.waiting} waiting>"
        )


def _check_wait_for(name: str, callers: int, *, is_open: bool) -> None:
    """Refuse what could never come true."""
    if callers < 0:
        raise misuse(
            "callers",
            callers,
            "must be at least 0.",
            "Give the number of callers that are to gather.",
        )
    if callers and is_open:
        raise misuse(
            "callers",
            callers,
            f"cannot gather at gate {name!r}: it is open.",
            "Call close() first.",
        )
