"""Tasks that log to an asynchronous sink of loguru and wait for it."""

import asyncio

from loguru import logger

from harness import AsyncSimulation, Exactly, LeakBound, scenario


@scenario(under_test=("loguru",))
async def every_message_arrives(sim: AsyncSimulation) -> None:
    """Tasks log and wait until all is written, while others log: no message is lost."""
    written: list[str] = []

    async def sink(message: str) -> None:
        await asyncio.sleep(0.001)
        written.append(message.strip())

    async def user(name: str) -> None:
        logger.info(name)
        await logger.complete()

    logger.remove()
    logger.add(sink, format="{message}", catch=False)
    async with sim.storm(Exactly("abc", written), LeakBound()) as storm:
        for name in "abc":
            storm.spawn(user, name, name=f"user-{name}")
