"""A worker whose task group aborts, cancelled at each of its awaits."""

import asyncio

from harness import AsyncSimulation, EndsCancelled, LeakBound, cancel_each, scenario


@scenario
async def cancelled_group_ends(sim: AsyncSimulation) -> None:
    """A worker runs jobs in a task group, one of which fails; it is cancelled, and ends by that."""

    async def job() -> None:
        await asyncio.sleep(0.001)
        raise ConnectionError

    async def worker() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(job())
                await asyncio.sleep(1.0)
        except* ConnectionError:
            await asyncio.sleep(0.001)

    sim.inject(cancel_each("worker"))
    async with sim.storm(EndsCancelled(), LeakBound()) as storm:
        storm.spawn(worker)
