"""A pool to be swapped: it is open or closed, and counts how many are open at once.

Its connections are a `FakePool` of the harness; a call over a pool that was closed fails at once.
"""

import time
from typing import Any

from harness import FakePool, InFlight
from scenarios.connection_lifecycle.scope import Scope


class Pool:
    """A pool over a far end that outlives it. Any thread."""

    def __init__(self, origin: FakePool, opened: InFlight, *, close_latency: float = 0.0) -> None:
        """Open a pool whose close takes `close_latency` seconds."""
        self.is_open = True
        self._origin = origin
        self._opened = opened
        self._close_latency = close_latency
        opened.enter()

    def call(
        self,
        key: str = "",
        *,
        timeout: float | None = None,
        cancel: Scope | None = None,
        lane: str = "",
    ) -> Any:
        """Fetch over the pool.

        Raises:
            ConnectionError: it is closed.
        """
        if not self.is_open:
            raise ConnectionError("the pool is closed")
        return self._origin.call(key, timeout=timeout, cancel=cancel, lane=lane)

    def close(self) -> None:
        """Join every connection."""
        self.is_open = False
        time.sleep(self._close_latency)
        self._opened.leave()
