"""Readers and writers of an aiorwlock, one of them cancelled at each of its awaits."""

import asyncio

import aiorwlock

from harness import AsyncSimulation, LeakBound, MaxInFlight, cancel_each, scenario


@scenario(under_test=("aiorwlock",))
async def lock_stays_usable(sim: AsyncSimulation) -> None:
    """Whoever is cancelled, everybody else gets the lock, and writers get it one by one."""
    lock = aiorwlock.RWLock()
    writing = sim.in_flight("writing")

    async def reader() -> None:
        async with lock.reader_lock:
            await asyncio.sleep(0.001)

    async def writer() -> None:
        async with lock.writer_lock:
            with writing:
                await asyncio.sleep(0.001)

    sim.inject(cancel_each("writer-1"))
    sim.inject(cancel_each("reader-2"))
    async with sim.storm(MaxInFlight(writing, 1), LeakBound()) as storm:
        storm.spawn(reader, copies=2)
        storm.spawn(writer, copies=2)
    await writer()
