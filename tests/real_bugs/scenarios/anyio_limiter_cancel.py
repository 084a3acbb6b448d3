"""Users of an anyio limiter, one of them cancelled at each of its awaits."""

import anyio

from harness import AsyncSimulation, LeakBound, cancel_each, scenario


@scenario(under_test=("anyio",))
async def everybody_else_is_let_in(sim: AsyncSimulation) -> None:
    """Whoever is cancelled, everybody else gets a token, and every token comes back."""
    limiter = anyio.CapacityLimiter(1)

    async def user() -> None:
        async with limiter:
            await anyio.sleep(0.001)

    sim.inject(cancel_each("user-2"))
    async with sim.storm(LeakBound()) as storm:
        storm.spawn(user, copies=3)
    assert limiter.borrowed_tokens == 0
