"""The slots of a pool: a limit whose queue is first in, first out.

A slot is handed from who leaves to who has queued longest; nobody who comes later can snatch it. It
does not know what the slots are for.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque

from .waiting import AsyncPatience, Patience, ring


class Slots:
    """The slots of a pool, given out first in, first out. Any thread."""

    # invariant: while anybody queues no slot is free; a slot is handed over, never put up for grabs
    def __init__(self, size: int | None) -> None:
        self._lock = threading.Lock()
        self._free = size
        self._queue: deque[threading.Event] = deque()

    @property
    def queued(self) -> int:
        """How many wait for a slot."""
        return len(self._queue)

    def take(self, patience: Patience) -> None:
        """Take a slot, or wait for one that is handed over."""
        if self._free is None:
            return
        bell = threading.Event()
        with self._lock:
            if self._free:
                self._free -= 1
                return
            self._queue.append(bell)
        try:
            patience.wait(bell)
        except BaseException:
            if self._was_handed_over(bell):
                self.give_back()
            raise

    def give_back(self) -> None:
        """Hand the slot to who queues longest, or set it free."""
        if self._free is None:
            return
        with self._lock:
            if not self._queue:
                self._free += 1
                return
            bell = self._queue.popleft()
        bell.set()

    def _was_handed_over(self, bell: threading.Event) -> bool:
        """Leave the queue.

        Tell whether that came too late, so that a slot is ours that we do not want.
        """
        with self._lock:
            if bell in self._queue:
                self._queue.remove(bell)
                return False
            return True


class AsyncSlots:
    """The slots of a pool, given out first in, first out. One loop."""

    # invariant: as for Slots
    def __init__(self, size: int | None) -> None:
        self._free = size
        self._queue: deque[asyncio.Future[bool]] = deque()

    @property
    def queued(self) -> int:
        """How many wait for a slot."""
        return len(self._queue)

    async def take(self, patience: AsyncPatience) -> None:
        """Take a slot, or wait for one that is handed over."""
        if self._free is None:
            return
        if self._free:
            self._free -= 1
            return
        bell: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._queue.append(bell)
        try:
            await patience.wait(bell)
        except BaseException:
            if bell in self._queue:
                self._queue.remove(bell)
            if bell.done() and not bell.cancelled() and bell.result():
                # Handed over and cancelled at the same instant: the slot goes to the next in line.
                self.give_back()
            raise

    def give_back(self) -> None:
        """Hand the slot to who queues longest, or set it free."""
        if self._free is None:
            return
        # A bell that is done already is that of somebody who gave up and has not run since.
        while self._queue:
            bell = self._queue.popleft()
            if not bell.done():
                ring(bell)
                return
        self._free += 1
