"""A worker that waits with a time limit, cancelled at each of its awaits."""

import asyncio

from harness import AsyncSimulation, EndsCancelled, LeakBound, cancel_each, scenario


@scenario
async def cancelled_worker_ends(sim: AsyncSimulation) -> None:
    """A worker that takes jobs with `wait_for` is cancelled, and ends by that."""
    jobs: asyncio.Queue[int] = asyncio.Queue()

    async def worker() -> None:
        for _ in range(3):
            await asyncio.wait_for(jobs.get(), timeout=1.0)

    async def producer() -> None:
        for number in range(3):
            await asyncio.sleep(0.001)
            await jobs.put(number)

    sim.inject(cancel_each("worker"))
    async with sim.storm(EndsCancelled(), LeakBound()) as storm:
        storm.spawn(worker)
        storm.spawn(producer)
