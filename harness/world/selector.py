"""The selector of a loop: it waits for no file, but parks the fiber until somebody wakes the loop.

That is whoever writes to the loop, or a timer of the loop that is due. Sockets are left to whoever
simulates them.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Mapping
from typing import Any

from harness.core.clock import to_ns
from harness.core.kernel import Actor
from harness.errors import HarnessError, unsupported

from .fibers import Stop, World
from .here import here
from .watched import WatchedQueue

_real_selector = selectors.DefaultSelector


class Selector(selectors.BaseSelector):
    """A selector over nothing but the loop's own wake-ups. One loop."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.loop: Any = None
        self._sleeper: Actor | None = None
        self.woken = False
        self.settling: list[asyncio.Future[None]] = []

    @property
    def is_overlooked(self) -> bool:
        """Whether its loop sleeps although it has something to run: nobody has woken it."""
        return self._sleeper is not None and not self.woken and bool(self.loop._ready)

    def wake(self) -> None:
        """Have `select` return. Any thread."""
        self.woken = True
        if self._sleeper is not None:
            self.world.kernel.wake(self._sleeper)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait until woken, at most `timeout` seconds; there is never a file to report."""
        world = self.world
        kernel = world.kernel
        if world.stopping:
            raise Stop
        loop = self.loop
        if type(loop._ready) is WatchedQueue:
            loop._ready.rest()
        if world.wary and loop._ready.last is not None:
            loop._ready.look_back()
            if loop._ready:
                return []
        if not self.woken and (timeout is None or timeout > 0):
            self._sleeper = kernel.current
            if self.settling and kernel.current is not None:
                kernel.settling.append(kernel.current)
            try:
                world.park(self, None if timeout is None else kernel.now_ns + to_ns(timeout))
            finally:
                self._sleeper = None
            if self.settling:
                self._settle()
        else:
            # A turn that waits for nothing: others may run, and a loop that only spins is seen.
            world.point()
        self.woken = False
        # Beyond 2**24 s a timer due exactly now would never be taken: the default is rounded away.
        loop._clock_resolution = max(1e-9, 2 * math.ulp(kernel.now_ns / 1e9))
        return []

    def _settle(self) -> None:
        kernel = self.world.kernel
        # Woken for another reason: still on the list, and still waiting for everyone to settle.
        if kernel.current in kernel.settling:
            kernel.settling.remove(kernel.current)
            return
        waiting, self.settling = self.settling, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Refuse: files and sockets are not simulated."""
        raise unsupported(
            f"waiting for file {fileobj!r} in an event loop",
            "Give the code under test a double instead.",
        )

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Refuse: nothing was registered."""
        raise KeyError(fileobj)

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        """Refuse: nothing was registered."""
        raise KeyError(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """Return no registrations."""
        return {}

    def close(self) -> None:
        """Let go of the loop: the two refer to each other."""
        self.loop = None


def make_selector() -> Any:
    """Stand for `selectors.DefaultSelector`."""
    world = here.world
    return _real_selector() if world is None or world.kernel.current is None else Selector(world)


async def settle(world: World) -> None:
    """Wait until everything else, this loop included, is durably blocked; time does not move."""
    loop: Any = asyncio.get_running_loop()
    selector = loop._selector
    if not isinstance(selector, Selector):
        raise HarnessError("settle() was awaited in a loop that is not simulated.")
    future: asyncio.Future[None] = loop.create_future()
    selector.settling.append(future)
    await future
