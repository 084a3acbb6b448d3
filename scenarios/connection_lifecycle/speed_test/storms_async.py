"""What the coordinator for asyncio promises: the same, though a task may be cancelled anywhere.

Figures stand with their reason: a dial takes 0.1 s and a test 0.4 s.
"""

import asyncio
from typing import Any

from harness import (
    AsyncSimulation,
    Behaviour,
    Calls,
    Deadlock,
    Elapsed,
    Failed,
    LeakBound,
    MaxInFlight,
    cancel_each,
    scenario,
)

from .aio import AsyncSpeedTests
from .broken import (
    AsyncClosesAgain,
    AsyncDialsUnderTheLock,
    AsyncInsertsAfterShutdown,
    AsyncJanitorNeverStops,
    AsyncNoSingleFlight,
    AsyncSerialised,
    AsyncSweepClosesInUse,
    AwaitsTheSharedTask,
    ClientOfTheTask,
    ClosesWhileCancelled,
    EndsInsideTheTask,
)
from .policy import Account, Provider
from .provider import AsyncClient, AsyncExchange
from .reference import ShutdownError

NEWS = Provider("news", Account("news.example", connections=4))
# Whatever is shut down inside a storm must not leave its janitor behind.
LEAVES_A_TASK: dict[Any, Any] = {AsyncJanitorNeverStops: LeakBound}


@scenario(
    AsyncSpeedTests,
    catches={
        AsyncNoSingleFlight: (Calls, MaxInFlight),
        AsyncSerialised: Calls,
        **LEAVES_A_TASK,
    },
)
async def five_tasks_ask_and_one_is_dialled(
    sim: AsyncSimulation, cls: type[AsyncSpeedTests[AsyncClient]]
) -> None:
    """Five tasks ask for the same provider at once: one dial, one test, one answer for all."""
    exchange = AsyncExchange(sim)

    async with sim.storm(
        Calls(exchange.dials, 1),
        Calls(exchange.tests, 1),
        MaxInFlight(exchange.clients, 1, reached=True),
        MaxInFlight(exchange.slots, NEWS.account.connections, reached=True),
        Elapsed(0.100 + 0.400),
        LeakBound(),
    ) as storm:
        tests = cls(exchange.build, exchange.measure)
        storm.spawn(tests.run, NEWS, copies=5)
        await sim.advance(1.0)
        await tests.shutdown()

    assert storm.results() == [4.0] * 5
    assert exchange.clients.value == 0


@scenario(AsyncSpeedTests, catches={ClientOfTheTask: Failed, **LEAVES_A_TASK})
async def client_outlives_the_task_of_its_request(
    sim: AsyncSimulation, cls: type[AsyncSpeedTests[AsyncClient]]
) -> None:
    """The next task finds the client of the first alive, though the first is over."""
    exchange = AsyncExchange(sim)

    async def request(tests: AsyncSpeedTests[AsyncClient]) -> list[float]:
        first = await asyncio.create_task(tests.run(NEWS))
        await asyncio.sleep(10.0)
        return [first, await asyncio.create_task(tests.run(NEWS))]

    async with sim.storm(
        Calls(exchange.dials, 1),
        MaxInFlight(exchange.clients, 1, reached=True),
        # A dial, a test, the pause, and a test over the same client.
        Elapsed(0.100 + 0.400 + 10.0 + 0.400),
        LeakBound(),
    ) as storm:
        tests = cls(exchange.build, exchange.measure)
        storm.spawn(request, tests)
        await sim.advance(20.0)
        await tests.shutdown()

    assert storm.results() == [[4.0, 4.0]]
    assert exchange.clients.value == 0


@scenario(
    AsyncSpeedTests,
    catches={
        AsyncDialsUnderTheLock: MaxInFlight,
        AsyncSerialised: MaxInFlight,
    },
)
async def slow_dial_delays_no_other_task(
    sim: AsyncSimulation, cls: type[AsyncSpeedTests[AsyncClient]]
) -> None:
    """One provider takes ten seconds to answer; the test of another is over long before."""
    exchange = AsyncExchange(sim)
    slow = Provider("slow", Account("slow.example"))
    exchange.dials.set("slow", Behaviour(latency=10.0))
    # Whether it stops is for the other storms to say.
    sim.background("janitor")
    tests = cls(exchange.build, exchange.measure)

    async with sim.storm(
        Calls(exchange.dials, 2),
        MaxInFlight(exchange.dials, 2, reached=True),
        Elapsed(10.0 + 0.400),
        LeakBound(),
    ) as storm:
        storm.spawn(tests.run, slow)
        await sim.settle()
        storm.spawn(tests.run, NEWS)

    await tests.shutdown()
    assert storm.results() == [4.0, 4.0]


@scenario(
    AsyncSpeedTests,
    catches={
        AwaitsTheSharedTask: (Calls, Elapsed, Failed),
        AsyncNoSingleFlight: (Calls, MaxInFlight),
        AsyncSerialised: (Calls, Elapsed),
        **LEAVES_A_TASK,
    },
)
async def cancelled_task_takes_nobody_along(
    sim: AsyncSimulation, cls: type[AsyncSpeedTests[AsyncClient]]
) -> None:
    """Who came first is cancelled wherever it waits; those who came after get its test's answer."""
    exchange = AsyncExchange(sim)
    sim.inject(cancel_each("leader"))

    async with sim.storm(
        Calls(exchange.tests, 1),
        MaxInFlight(exchange.clients, 1, reached=True),
        Elapsed(0.100 + 0.400),
        LeakBound(),
    ) as storm:
        tests = cls(exchange.build, exchange.measure)
        storm.spawn(tests.run, NEWS, name="leader")
        storm.spawn(tests.run, NEWS, copies=2, name="follower")
        await sim.advance(1.0)
        await tests.shutdown()

    assert storm.results()[1:] == [4.0, 4.0]
    assert exchange.is_balanced


@scenario(
    AsyncSpeedTests,
    catches={AsyncSweepClosesInUse: Failed, ClientOfTheTask: Failed, **LEAVES_A_TASK},
)
async def sweep_spares_the_client_of_a_task(
    sim: AsyncSimulation, cls: type[AsyncSpeedTests[AsyncClient]]
) -> None:
    """A client expires in the middle of a test: it is closed when the test is over, and once."""
    exchange = AsyncExchange(sim, dial=0.0, test=0.0)

    async with sim.storm(
        Calls(exchange.tests, 2),
        MaxInFlight(exchange.clients, 1, reached=True),
        # The second test starts just before the expiry at 300 s and takes 100 s.
        Elapsed(299.0 + 100.0),
        LeakBound(),
    ) as storm:
        tests = cls(exchange.build, exchange.measure)
        storm.spawn(tests.run, NEWS)
        await sim.advance(299.0)
        exchange.tests.set_default(Behaviour(latency=100.0))
        storm.spawn(tests.run, NEWS)
        await sim.advance(150.0)
        await tests.shutdown()

    assert storm.results() == [4.0, 4.0]
    assert exchange.closed_at == [299.0 + 100.0]


@scenario(
    AsyncSpeedTests,
    catches={
        AsyncInsertsAfterShutdown: Failed,
        AsyncClosesAgain: Failed,
        EndsInsideTheTask: Deadlock,
        AwaitsTheSharedTask: Failed,
        **LEAVES_A_TASK,
    },
)
async def shutdown_of_tasks_at_any_moment(
    sim: AsyncSimulation, cls: type[AsyncSpeedTests[AsyncClient]]
) -> None:
    """Two shutdowns beside requests: whoever comes first, no client and no task is left."""
    exchange = AsyncExchange(sim, dial=0.0, test=0.0)
    other = Provider("other", Account("other.example"))

    async def late(tests: AsyncSpeedTests[AsyncClient]) -> float:
        await tests.shutdown()
        return await tests.run(NEWS)

    async with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        tests = cls(exchange.build, exchange.measure)
        storm.spawn(tests.run, NEWS)
        storm.spawn(tests.run, other)
        storm.spawn(tests.shutdown)
        storm.spawn(late, tests)

    assert all(isinstance(error, ShutdownError | None) for error in storm.errors())
    assert exchange.clients.value == 0
    assert exchange.is_balanced


@scenario(AsyncSpeedTests, catches={ClosesWhileCancelled: Failed, **LEAVES_A_TASK})
async def shutdown_in_mid_close(
    sim: AsyncSimulation, cls: type[AsyncSpeedTests[AsyncClient]]
) -> None:
    """A test lets go of an expired client just as all is shut down: the farewell is completed."""
    exchange = AsyncExchange(sim, dial=0.0, test=0.500)

    async def stop(tests: AsyncSpeedTests[AsyncClient]) -> None:
        await asyncio.sleep(0.500)
        await tests.shutdown()

    async with sim.storm(
        MaxInFlight(exchange.clients, 1, reached=True), Elapsed(0.500), LeakBound()
    ) as storm:
        # The client expires in mid-test, and a sweep leaves it to the test.
        tests = cls(exchange.build, exchange.measure, ttl=0.300)
        storm.spawn(tests.run, NEWS)
        storm.spawn(stop, tests)

    storm.errors()
    assert exchange.clients.value == 0
    assert exchange.is_balanced
