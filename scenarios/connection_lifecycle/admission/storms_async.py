"""What admission promises on asyncio: the same, though a task may be cancelled anywhere."""

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
    TransientError,
    cancel_each,
    scenario,
)
from scenarios.connection_lifecycle.film import Film
from scenarios.connection_lifecycle.reader.reference import ResponseError

from .aio import AsyncBudget, AsyncImporter
from .broken import (
    AsyncBudgetSerialised,
    AsyncForgetsTheEndOfAStream,
    AsyncGrantNotForwarded,
    AsyncLastComeFirstServed,
    AsyncNewcomersBarge,
    AsyncReleasedTwice,
    AsyncSerialised,
    AsyncTokenLostOnError,
    AsyncWaitCountsAsSlow,
)
from .policy import Shared, TwoCaps

# Whatever reaches a peak above one catches who lets in one at a time.
IDLE: dict[Any, Any] = {AsyncBudgetSerialised: MaxInFlight}


@scenario(AsyncBudget, catches={AsyncReleasedTwice: MaxInFlight, **IDLE})
async def tokens_of_tasks_come_back_once(sim: AsyncSimulation, cls: type[AsyncBudget]) -> None:
    """Two tokens for five tasks that release early and again at the end: never three at once."""
    budget, busy = cls(Shared(2)), sim.in_flight("workers")

    async def worker() -> None:
        with await budget.acquire() as token:
            with busy:
                await asyncio.sleep(1.0)
            token.release()

    async with sim.storm(
        MaxInFlight(busy, 2, reached=True),
        # Two, two and one.
        Elapsed(3 * 1.0),
        LeakBound(),
    ) as storm:
        storm.spawn(worker, copies=5)

    assert (budget.held, budget.waiting) == (0, 0)


@scenario(AsyncBudget, catches={AsyncLastComeFirstServed: Failed})
async def first_task_first_served(sim: AsyncSimulation, cls: type[AsyncBudget]) -> None:
    """Five tasks wait for one token, and get it in the order in which they came."""
    budget, busy = cls(Shared(1)), sim.in_flight("workers")
    served: list[int] = []

    async def worker(place: int) -> None:
        await asyncio.sleep(0.001 * place)
        with await budget.acquire(), busy:
            served.append(place)
            await asyncio.sleep(1.0)

    async with sim.storm(
        MaxInFlight(busy, 1, reached=True), Elapsed(5 * 1.0), LeakBound()
    ) as storm:
        storm.spawn(worker, 0)
        storm.spawn(worker, 1)
        storm.spawn(worker, 2)
        storm.spawn(worker, 3)
        storm.spawn(worker, 4)

    assert served == [0, 1, 2, 3, 4]


@scenario(
    AsyncBudget,
    catches={
        AsyncForgetsTheEndOfAStream: (MaxInFlight, Failed),
        AsyncLastComeFirstServed: Failed,
        **IDLE,
    },
)
async def end_of_a_stream_lets_other_tasks_in(sim: AsyncSimulation, cls: type[AsyncBudget]) -> None:
    """A cap of one while a stream is played, of two after it: the first in line is in at once."""
    budget, busy = cls(TwoCaps(idle=2, streaming=1)), sim.in_flight("workers")
    budget.set_streams(1)
    entered: list[tuple[int, float]] = []

    async def worker(place: int) -> None:
        await asyncio.sleep(0.010 * place)
        with await budget.acquire(), busy:
            entered.append((place, sim.now()))
            await asyncio.sleep(10.0)

    async with sim.storm(
        MaxInFlight(busy, 2, reached=True), Elapsed(2 * 10.0), LeakBound()
    ) as storm:
        storm.spawn(worker, 0)
        storm.spawn(worker, 1)
        storm.spawn(worker, 2)
        await sim.advance(1.0)
        budget.set_streams(0)

    assert entered == [(0, 0.0), (1, 1.0), (2, 10.0)]


@scenario(
    AsyncBudget,
    catches={
        AsyncGrantNotForwarded: Deadlock,
        AsyncNewcomersBarge: (Failed, Elapsed, MaxInFlight),
        AsyncLastComeFirstServed: Failed,
    },
)
async def cancelled_task_hands_its_token_on(sim: AsyncSimulation, cls: type[AsyncBudget]) -> None:
    """A task is cancelled wherever it waits, also with a token just granted: the next gets it."""
    budget, busy = cls(Shared(1)), sim.in_flight("workers")
    sim.inject(cancel_each("leaver"))
    served: list[str] = []

    async def worker(name: str, arrival: float) -> None:
        await asyncio.sleep(arrival)
        with await budget.acquire(), busy:
            served.append(name)
            await asyncio.sleep(1.0)

    async with sim.storm(
        MaxInFlight(busy, 1, reached=True),
        # Three who hold the token for a second, and one who may.
        Elapsed(at_least=3 * 1.0, at_most=4 * 1.0),
        LeakBound(),
    ) as storm:
        storm.spawn(worker, "holder", 0.0)
        storm.spawn(worker, "leaver", 0.250, name="leaver")
        storm.spawn(worker, "patient", 0.500)
        # It asks at the instant at which the token comes free.
        storm.spawn(worker, "newcomer", 1.0)

    assert [name for name in served if name != "leaver"] == ["holder", "patient", "newcomer"]
    assert (budget.held, budget.waiting) == (0, 0)


@scenario(
    AsyncImporter,
    catches={AsyncSerialised: Elapsed, AsyncWaitCountsAsSlow: (Calls, Elapsed, Failed)},
)
async def imports_of_tasks_share_a_budget(sim: AsyncSimulation, cls: type[AsyncImporter]) -> None:
    """Two imports of four files each share three tokens: three rounds, the last of two."""
    film = Film(4, 64)
    origin = sim.pool("origin", latency=20.0, payload=film.bodies.__getitem__)
    budget = AsyncBudget(Shared(3))
    importer = cls(lambda: origin, connections=4, budget=budget)

    async with sim.storm(
        Calls(origin, 2 * 4),
        MaxInFlight(origin, 3, reached=True),
        # The last round has waited for 40 s when its time-out of 30 s begins.
        Elapsed(3 * 20.0),
        LeakBound(),
    ) as storm:
        storm.spawn(importer.first_segments, film.ids, copies=2)

    assert storm.results() == [list(film.bodies.values())] * 2
    assert budget.held == 0


@scenario(AsyncImporter, catches={AsyncTokenLostOnError: Deadlock})
async def tasks_give_their_token_back_on_error(
    sim: AsyncSimulation, cls: type[AsyncImporter]
) -> None:
    """One token, a file that is missing, one that fails, and one that arrives behind them."""
    film = Film(3, 64)
    origin = sim.pool("origin", latency=0.060, payload=film.bodies.__getitem__)
    origin.set(film.ids[0], Behaviour(latency=0.060, error=ResponseError(430, "no such article")))
    origin.set(film.ids[1], Behaviour(latency=0.060, error=TransientError))
    budget = AsyncBudget(Shared(1))
    importer = cls(lambda: origin, connections=3, budget=budget)

    async with sim.storm(
        Calls(origin, 1 + 3 + 1),
        MaxInFlight(origin, 1, reached=True),
        # The token is held through the pauses of the second file.
        Elapsed(5 * 0.060 + 0.300 + 0.600),
        LeakBound(),
    ) as storm:
        storm.spawn(importer.first_segments, film.ids)

    assert storm.results()[0][2] == film.bodies[film.ids[2]]
    assert budget.held == 0


@scenario(AsyncImporter, catches={AsyncTokenLostOnError: Failed})
async def cancelled_import_of_tasks_leaves_nothing(
    sim: AsyncSimulation, cls: type[AsyncImporter]
) -> None:
    """An import is cancelled at any of its awaits: no token is held and no fetch goes on."""
    film = Film(3, 64)
    origin = sim.pool("origin", latency=1.0, payload=film.bodies.__getitem__)
    budget = AsyncBudget(Shared(2))
    importer = cls(lambda: origin, connections=3, budget=budget)

    async def impatient() -> None:
        async with asyncio.timeout(0.500):
            await importer.first_segments(film.ids)

    async with sim.storm(
        Calls(origin, 2), MaxInFlight(origin, 2, reached=True), Elapsed(0.500), LeakBound()
    ) as storm:
        storm.spawn(impatient)

    assert isinstance(storm.errors()[0], TimeoutError)
    assert (budget.held, budget.waiting, origin.in_flight) == (0, 0, 0)
