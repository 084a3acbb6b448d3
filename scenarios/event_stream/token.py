"""A cancellation that threads can wait for and be called back by.

It runs no thread. It does not know what is cancelled.
"""

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError


class CancelToken:
    """A switch that is set once; any thread may call any method."""

    # invariant: a callback is called at most once, by cancel(), with no lock held

    def __init__(self) -> None:
        """Make a token that is not cancelled."""
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._callbacks: dict[object, Callable[[], None]] = {}

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled.is_set()

    @property
    def callbacks(self) -> int:
        """How many callbacks are registered."""
        return len(self._callbacks)

    def cancel(self) -> None:
        """Set the token and call back whoever asked; only the first call does anything."""
        with self._lock:
            callbacks = list(self._callbacks.values())
            self._callbacks.clear()
            # Under the lock: whoever registers afterwards finds the token set.
            self._cancelled.set()
        for callback in callbacks:
            callback()

    def check(self) -> None:
        """Raise CancelledError if the token is set."""
        if self.is_cancelled:
            message = "the token was cancelled"
            raise CancelledError(message)

    def on_cancel(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have `callback` called by `cancel`; return the function that takes that back.

        A token that is already set calls nobody: look at it after the registration.
        """
        key = object()
        with self._lock:
            if not self.is_cancelled:
                self._callbacks[key] = callback
        return lambda: self._forget(key)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the token is set, at most `timeout` seconds, and say whether it is."""
        return self._cancelled.wait(timeout)

    def _forget(self, key: object) -> None:
        with self._lock:
            self._callbacks.pop(key, None)
