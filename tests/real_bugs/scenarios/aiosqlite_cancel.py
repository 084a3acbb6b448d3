"""Queries over one aiosqlite connection, one of them cancelled at each of its awaits."""

import aiosqlite

from harness import AsyncSimulation, LeakBound, cancel_each, scenario


@scenario(under_test=("aiosqlite",))
async def connection_stays_usable(sim: AsyncSimulation) -> None:
    """Whoever is cancelled, nobody else gets a wrong row or none, and nothing breaks behind us."""

    async def user(number: int) -> int:
        async with database.execute("select ?", (number,)) as cursor:
            (row,) = await cursor.fetchall()
            return row[0]

    async with aiosqlite.connect(":memory:") as database:
        sim.inject(cancel_each("user-1"))
        async with sim.storm(LeakBound()) as storm:
            storm.spawn(user, 1, name="user-1")
            storm.spawn(user, 2, name="user-2")
        assert storm.results()[1] == 2
    # The thread of the connection looks ten times a second whether it is over.
    await sim.advance(0.2)
