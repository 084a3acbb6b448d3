"""A cancellation that many threads may watch, with a parent and a deadline.

It runs no thread and keeps no timer: whoever waits bounds the wait with `remaining()`. It does not
know what is cancelled.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError


class Scope:
    """A one-way switch with a cause; any thread may call any method.

    Cancelling a scope cancels its children, never its parent. The first cause wins. A deadline
    later than the parent's is not installed.
    """

    # invariant: a callback is called once, by cancel() or at once by on_set(), and finds it set

    def __init__(self, parent: "Scope | None" = None, *, timeout: float | None = None) -> None:
        """Open a scope, set from the start if the parent already is.

        Args:
            parent: the scope whose cancellation and deadline this one inherits.
            timeout: seconds from now after which the scope counts as set.
        """
        own = None if timeout is None else time.monotonic() + timeout
        inherited = None if parent is None else parent.deadline
        deadlines = [deadline for deadline in (own, inherited) if deadline is not None]
        self._deadline = min(deadlines, default=None)
        self._lock = threading.Lock()
        self._event = threading.Event()
        self._cause: Exception | None = None
        self._callbacks: dict[object, Callable[[], None]] = {}
        self._leave_parent: Callable[[], None] | None = None
        if parent is not None:
            self._leave_parent = parent.on_set(lambda: self.cancel(parent.cause))

    @property
    def deadline(self) -> float | None:
        """The instant, in seconds of `time.monotonic()`, from which the scope counts as set."""
        return self._deadline

    @property
    def cause(self) -> Exception | None:
        """Why the scope is set; None while it is not."""
        if self._cause is None and self._has_expired():
            return TimeoutError("the deadline of the scope has passed")
        return self._cause

    def is_set(self) -> bool:
        """Say whether the scope was cancelled or its deadline has passed."""
        return self._event.is_set() or self._has_expired()

    def remaining(self) -> float | None:
        """Return the seconds left until the deadline, never negative; None without a deadline."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def cancel(self, cause: Exception | None = None) -> None:
        """Set the scope and call those who asked for it; only the first call does anything.

        The callbacks run in the calling thread, in the order of registration, with no lock held.
        """
        with self._lock:
            if self._cause is not None:
                return
            self._cause = CancelledError("the scope was cancelled") if cause is None else cause
            callbacks = list(self._callbacks.values())
            self._callbacks.clear()
            # Still under the lock: whoever is called back, at once or later, finds the scope set.
            self._event.set()
        for callback in callbacks:
            callback()
        self.detach()

    def detach(self) -> None:
        """Leave the parent, which may outlive this scope by hours; a no-op the second time."""
        leave, self._leave_parent = self._leave_parent, None
        if leave is not None:
            leave()

    def on_set(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` once when the scope is cancelled, at once if it already is.

        A deadline that passes calls nobody.

        Returns:
            The function that takes the registration back; it may be called at any time.
        """
        key = object()
        with self._lock:
            is_late = self._cause is not None
            if not is_late:
                self._callbacks[key] = callback
        if is_late:
            callback()
        return lambda: self._forget(key)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the scope is set, at most `timeout` seconds, and say whether it is."""
        bounds = [bound for bound in (timeout, self.remaining()) if bound is not None]
        self._event.wait(min(bounds, default=None))
        return self.is_set()

    def _forget(self, key: object) -> None:
        with self._lock:
            self._callbacks.pop(key, None)

    def _has_expired(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline
