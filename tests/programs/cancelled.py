"""Slots that a cancellation can lose, and a cancellation that a library can lose."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from harness.faults import cancel_each


async def _lose_or_keep(sim: Any, caller: Any, slots: asyncio.Semaphore) -> None:
    sim.inject(cancel_each("caller"))
    async with sim.storm() as storm:
        storm.spawn(caller, name="caller")
    storm.errors()
    # Whoever comes next waits for ever if the slot was lost.
    async with slots:
        pass


async def between_acquire_and_try(sim: Any) -> None:
    """The slot is taken, something is awaited, and only then the `try` begins."""
    slots = asyncio.Semaphore(1)

    async def caller() -> None:
        await slots.acquire()
        await asyncio.sleep(1)
        try:
            await asyncio.sleep(1)
        finally:
            slots.release()

    await _lose_or_keep(sim, caller, slots)


async def within_async_with(sim: Any) -> None:
    """The corrected twin."""
    slots = asyncio.Semaphore(1)

    async def caller() -> None:
        async with slots:
            await asyncio.sleep(1)
            await asyncio.sleep(1)

    await _lose_or_keep(sim, caller, slots)


async def swallowed_by_wait_for(sim: Any) -> None:
    """Cancelled between the end of the work and taking its result: Python 3.11 forgets it."""

    async def caller() -> None:
        await asyncio.wait_for(asyncio.sleep(1), timeout=10)
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling(), "cancelled, and went on as if nothing had been"

    sim.inject(cancel_each("caller"))
    async with sim.storm() as storm:
        storm.spawn(caller, name="caller")
    errors = [error for error in storm.errors() if isinstance(error, AssertionError)]
    assert not errors


async def swallowed_by_wait_for_without_a_fault(sim: Any) -> None:
    """The same, with a canceller that comes at the very instant at which the work is done."""
    task = asyncio.create_task(asyncio.wait_for(asyncio.sleep(1), timeout=10), name="caller")
    await asyncio.sleep(1)
    is_cancelled = task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() == is_cancelled


class Slots:
    """A semaphore that loses a slot granted to someone who is cancelled. One loop."""

    def __init__(self, free: int) -> None:
        self.free = free
        self.waiters: deque[asyncio.Future[None]] = deque()

    async def acquire(self) -> None:
        """Take a slot, waiting for one."""
        if self.free:
            self.free -= 1
            return
        granted = asyncio.get_running_loop().create_future()
        self.waiters.append(granted)
        try:
            await granted
        except asyncio.CancelledError:
            self.give_up(granted)
            raise

    def give_up(self, granted: asyncio.Future[None]) -> None:
        """Leave the queue; whoever has left it already has a slot, which is forgotten."""
        if granted in self.waiters:
            self.waiters.remove(granted)

    def release(self) -> None:
        """Give a slot back, to whoever waits longest."""
        while self.waiters:
            granted = self.waiters.popleft()
            if not granted.done():
                granted.set_result(None)
                return
        self.free += 1


class CorrectedSlots(Slots):
    """Hands a slot on that was granted to someone who is cancelled. One loop."""

    def give_up(self, granted: asyncio.Future[None]) -> None:
        """Leave the queue, and give back what was granted already."""
        super().give_up(granted)
        if granted.done() and not granted.cancelled():
            self.release()


async def grant_and_cancel(sim: Any, slots: Slots, mode: Any) -> None:
    """A caller waits for the only slot and is cancelled; the next one must still get it."""

    async def holder() -> None:
        await slots.acquire()
        await asyncio.sleep(1)
        slots.release()

    async def caller() -> None:
        await asyncio.sleep(0.5)
        await slots.acquire()
        slots.release()

    sim.inject(cancel_each("caller", mode=mode))
    async with sim.storm() as storm:
        storm.spawn(holder, name="holder")
        storm.spawn(caller, name="caller")
    storm.errors()
    await slots.acquire()


async def grant_meets_cancel_parked(sim: Any) -> None:
    """Cancelled while it waits."""
    await grant_and_cancel(sim, Slots(1), "parked")


async def grant_meets_cancel_ready(sim: Any) -> None:
    """Cancelled when what it awaits is done and it has not resumed."""
    await grant_and_cancel(sim, Slots(1), "ready")


async def grant_meets_cancel_corrected(sim: Any) -> None:
    """The corrected twin, cancelled in both modes."""
    await grant_and_cancel(sim, CorrectedSlots(1), "both")
