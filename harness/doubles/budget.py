"""A budget of tokens that remembers what was done with it.

Fault model: no token may be free for as long as its holders like. What never happens: a token is
lost, invented, or given away out of turn. That is enough to see whether code that must hold a token
while it works does so, and gives it back once.
"""

from __future__ import annotations

import threading

from harness.errors import misuse

from .in_flight import InFlight
from .slots import AsyncSlots, Slots
from .waiting import AsyncPatience, Cancellation, Patience


class TokenBudget:
    """A budget for threads, first in, first out. Any thread.

    Args:
        tokens: how many there are.
        name: how it is called in reports.

    Raises:
        HarnessError: no token at all.
    """

    # invariant: gauge.value + free tokens = tokens; it is the gauge that says who holds how many
    def __init__(self, tokens: int, name: str = "budget") -> None:
        self.name = name
        self.tokens = _checked_tokens(tokens)
        self.gauge = InFlight(name)
        self._slots = Slots(tokens)
        self._lock = threading.Lock()
        self._acquires = 0
        self._releases = 0

    @property
    def held(self) -> int:
        """How many tokens are held now."""
        return self.gauge.value

    @property
    def high_water(self) -> int:
        """The most tokens that were held at once."""
        return self.gauge.high_water

    @property
    def queued(self) -> int:
        """How many callers wait for a token."""
        return self._slots.queued

    @property
    def acquires(self) -> int:
        """How many tokens were handed out."""
        return self._acquires

    @property
    def releases(self) -> int:
        """How many came back."""
        return self._releases

    def acquire(self, timeout: float | None = None, cancel: Cancellation | None = None) -> None:
        """Take a token, or wait for one.

        Args:
            timeout: seconds; None waits for ever.
            cancel: scope of the caller.

        Raises:
            TimeoutError: none came free.
            concurrent.futures.CancelledError: the scope was set first, or at the same instant.
        """
        patience = Patience(timeout, cancel, f"budget {self.name!r}")
        patience.check_cancel()
        self._slots.take(patience)
        with self._lock:
            self._acquires += 1
        self.gauge.enter()

    def release(self) -> None:
        """Give one token back.

        Raises:
            ValueError: none is held, as a `threading.BoundedSemaphore` says it.
        """
        with self._lock:
            if self._releases >= self._acquires:
                message = f"budget {self.name!r} released too many times"
                raise ValueError(message)
            self._releases += 1
        self.gauge.leave()
        self._slots.give_back()


class AsyncTokenBudget:
    """A budget for tasks, first in, first out. One loop.

    Args:
        tokens: how many there are.
        name: how it is called in reports.

    Raises:
        HarnessError: no token at all.
    """

    # invariant: as for TokenBudget
    def __init__(self, tokens: int, name: str = "budget") -> None:
        self.name = name
        self.tokens = _checked_tokens(tokens)
        self.gauge = InFlight(name)
        self._slots = AsyncSlots(tokens)
        self._acquires = 0
        self._releases = 0

    @property
    def held(self) -> int:
        """How many tokens are held now."""
        return self.gauge.value

    @property
    def high_water(self) -> int:
        """The most tokens that were held at once."""
        return self.gauge.high_water

    @property
    def queued(self) -> int:
        """How many callers wait for a token."""
        return self._slots.queued

    @property
    def acquires(self) -> int:
        """How many tokens were handed out."""
        return self._acquires

    @property
    def releases(self) -> int:
        """How many came back."""
        return self._releases

    async def acquire(self, timeout: float | None = None) -> None:
        """Take a token, or wait for one.

        Args:
            timeout: seconds; None waits for ever.

        Raises:
            TimeoutError: none came free.
            asyncio.CancelledError: the task was cancelled first.
        """
        await self._slots.take(AsyncPatience(timeout, f"budget {self.name!r}"))
        self._acquires += 1
        self.gauge.enter()

    def release(self) -> None:
        """Give one token back.

        Raises:
            ValueError: none is held, as a `threading.BoundedSemaphore` says it.
        """
        if self._releases >= self._acquires:
            message = f"budget {self.name!r} released too many times"
            raise ValueError(message)
        self._releases += 1
        self.gauge.leave()
        self._slots.give_back()


def _checked_tokens(tokens: int) -> int:
    if tokens < 1:
        rule = "must be at least 1: nobody would ever get one."
        raise misuse("tokens", tokens, rule, "To hold everybody back, use a Gate.")
    return tokens
