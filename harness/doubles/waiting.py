"""Waiting for one of several things at once: an answer, a deadline, a cancellation.

Nothing here polls. A caller parks on a bell of its own, which rings for whatever comes first. This
module does not know what is waited for, nor whether time is virtual: it is plain `threading`,
`asyncio` and `time`.

    a grant ─────────┐
    an opened gate ──┼──► bell ──► the caller looks: cancelled? answered? too late?
    a cancellation ──┘      ▲
    the deadline ───────────┘ (the bell's own time-out)
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from typing import TYPE_CHECKING, NoReturn, Protocol

from harness.core.clock import to_ns, to_seconds
from harness.errors import misuse

if TYPE_CHECKING:
    from collections.abc import Callable


class Cancellation(Protocol):
    """What a call of a double asks of the caller's cancellation scope. Any thread."""

    def is_set(self) -> bool:
        """Tell whether it was cancelled."""
        ...  # pragma: no cover

    def on_set(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` once it is cancelled, at once if it is already.

        Return a function that takes that back.
        """
        ...  # pragma: no cover


class Scope:
    """The smallest `Cancellation`: it is set once and stays so. Any thread.

    Args:
        name: how it is called in reports.
    """

    # invariant: once set, no callback is kept
    def __init__(self, name: str = "scope") -> None:
        self.name = name
        self._lock = threading.Lock()
        self._set = False
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._registered = 0

    def set(self) -> None:
        """Cancel.

        Run every callback, in the order of their registration. Setting it again does nothing.
        """
        with self._lock:
            if self._set:
                return
            self._set = True
            callbacks = list(self._callbacks.values())
            self._callbacks.clear()
        for callback in callbacks:
            callback()

    def is_set(self) -> bool:
        """Tell whether it was cancelled."""
        return self._set

    def on_set(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` once it is cancelled, at once if it is already.

        Return a function that takes that back.
        """
        with self._lock:
            if not self._set:
                self._registered += 1
                number = self._registered
                self._callbacks[number] = callback
                return lambda: self._take_back(number)
        callback()
        return _nothing

    def _take_back(self, number: int) -> None:
        with self._lock:
            self._callbacks.pop(number, None)


class Patience:
    """How long one call is ready to wait: until its deadline, its cancellation, or for ever.

    One thread.

    What is due at the deadline comes too late, and a cancellation wins over everything that happens
    at the same instant.

    Args:
        timeout: seconds from now; None for no deadline.
        cancel: the caller's scope; None if there is none.
        what: the thing waited for, for the message of the error.

    Raises:
        HarnessError: `timeout` is not a number of seconds.
    """

    __slots__ = ("_cancel", "_deadline_ns", "_timeout", "_what")

    def __init__(self, timeout: float | None, cancel: Cancellation | None, what: str) -> None:
        self._timeout = timeout
        self._cancel = cancel
        self._what = what
        self._deadline_ns: int | None = None
        if timeout is not None:
            # A deadline in the past is an ordinary thing to have left: it is dead on arrival, not a
            # misuse.
            self._deadline_ns = time.monotonic_ns() + to_ns(max(timeout, 0.0), "timeout")

    def check(self) -> None:
        """Raise what ended the patience, if anything has.

        Raises:
            concurrent.futures.CancelledError: the scope is set.
            TimeoutError: the deadline is reached.
        """
        self.check_cancel()
        if self._deadline_ns is not None and time.monotonic_ns() >= self._deadline_ns:
            self._expire()

    def check_cancel(self) -> None:
        """Raise concurrent.futures.CancelledError if the scope is set."""
        if self._cancel is not None and self._cancel.is_set():
            message = f"{self._what}: the caller was cancelled"
            raise concurrent.futures.CancelledError(message)

    def wait(self, bell: threading.Event) -> None:
        """Wait until somebody rings `bell`.

        Raises:
            concurrent.futures.CancelledError: the scope was set first, or at the same instant.
            TimeoutError: the deadline came first.
        """
        if not self._ring(bell, self._deadline_ns):
            self._expire()

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass.

        Raises:
            concurrent.futures.CancelledError: the scope was set first, or at the same instant.
            TimeoutError: the deadline is not after the end of the sleep.
        """
        self.check()
        if not seconds:
            return
        end_ns = time.monotonic_ns() + to_ns(seconds)
        too_late = self._deadline_ns is not None and self._deadline_ns <= end_ns
        until_ns = self._deadline_ns if too_late else end_ns
        assert until_ns is not None  # too_late says so
        if self._cancel is None:
            time.sleep(max(0.0, to_seconds(until_ns - time.monotonic_ns())))
        else:
            self._ring(threading.Event(), until_ns)
        if too_late:
            self._expire()

    def hang(self) -> NoReturn:
        """Wait for the deadline or the cancellation; for ever if there is neither.

        Raises:
            concurrent.futures.CancelledError: the scope was set first, or at the same instant.
            TimeoutError: the deadline came first.
        """
        bell = threading.Event()  # nobody rings it but the scope
        while True:
            self.wait(bell)

    def _ring(self, bell: threading.Event, until_ns: int | None) -> bool:
        take_back = _nothing if self._cancel is None else self._cancel.on_set(bell.set)
        try:
            left = (
                None if until_ns is None else max(0.0, to_seconds(until_ns - time.monotonic_ns()))
            )
            rang = bell.wait(left)
        finally:
            take_back()
        self.check_cancel()
        return rang

    def _expire(self) -> NoReturn:
        message = f"{self._what}: nothing within {self._timeout:g} s"
        raise TimeoutError(message)


class AsyncPatience:
    """How long one call of a task is ready to wait: until its deadline, or for ever. One task.

    Cancellation is the task's own. What is due at the deadline comes too late.

    Args:
        timeout: seconds from now; None for no deadline.
        what: the thing waited for, for the message of the error.

    Raises:
        HarnessError: `timeout` is not a number of seconds.
    """

    __slots__ = ("_deadline", "_loop", "_timeout", "_what")

    def __init__(self, timeout: float | None, what: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout = timeout
        self._what = what
        self._deadline: float | None = None
        if timeout is not None:
            self._deadline = self._loop.time() + to_seconds(to_ns(max(timeout, 0.0), "timeout"))

    def check(self) -> None:
        """Raise TimeoutError if the deadline is reached."""
        if self._deadline is not None and self._loop.time() >= self._deadline:
            self._expire()

    async def wait(self, bell: asyncio.Future[bool]) -> None:
        """Wait until somebody rings `bell`, that is gives it the result True.

        Raises:
            asyncio.CancelledError: the task was cancelled first.
            TimeoutError: the deadline came first; `bell` has the result False.
        """
        if self._deadline is None:
            await bell
            return
        alarm = self._loop.call_at(self._deadline, _expire, bell)  # call_at takes no keywords
        try:
            rang = await bell
        finally:
            alarm.cancel()
        if not rang:
            self._expire()

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass.

        Raises:
            asyncio.CancelledError: the task was cancelled first.
            TimeoutError: the deadline is not after the end of the sleep.
        """
        self.check()
        if not seconds:
            return
        if self._deadline is not None and self._deadline <= self._loop.time() + seconds:
            await self.hang()
        await asyncio.sleep(seconds)

    async def hang(self) -> NoReturn:
        """Wait for the deadline or the task's cancellation; for ever if there is neither.

        Raises:
            asyncio.CancelledError: the task was cancelled first.
            TimeoutError: the deadline came first.
        """
        while True:
            await self.wait(self._loop.create_future())

    def _expire(self) -> NoReturn:
        message = f"{self._what}: nothing within {self._timeout:g} s"
        raise TimeoutError(message)


def ring(bell: asyncio.Future[bool]) -> None:  # see call_at above
    """Ring `bell` unless it has rung, is too late, or its task was cancelled.

    From the loop's thread only.
    """
    if not bell.done():
        bell.set_result(True)


def caller_name() -> str:
    """Return the name of the task that calls, or else of the thread."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return threading.current_thread().name if task is None else task.get_name()


def checked_name(name: object) -> str:
    """Return `name`.

    Raises:
        HarnessError: it is empty or no text.
    """
    if not isinstance(name, str) or not name:
        raise misuse(
            "name",
            name,
            "must be a text that is not empty: reports show it.",
            "Use what the scenario is about, such as 'origin'.",
        )
    return name


def _expire(bell: asyncio.Future[bool]) -> None:
    """Tell who waits for `bell` that it is too late."""
    if not bell.done():
        bell.set_result(False)


def _nothing() -> None:
    """Take back a callback that was never kept."""
