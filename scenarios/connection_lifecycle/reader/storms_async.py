"""What the reader for asyncio promises: the same figures, though a task may be cancelled anywhere.

Each article is a task here, and a close is a round of cancellations. What is about threads and
their wake-ups stands in `storms.py`.
"""

from itertools import pairwise

from harness import (
    AsyncSimulation,
    Behaviour,
    Calls,
    Deadlock,
    Elapsed,
    EndsCancelled,
    Failed,
    LeakBound,
    MaxInFlight,
    TransientError,
    Unhandled,
    cancel_each,
    scenario,
)
from scenarios.connection_lifecycle.film import Film

from .aio import AsyncReader
from .broken import (
    AsyncCloseOnlyWaits,
    AsyncConstantDelay,
    AsyncFiveAttempts,
    AsyncNoAttemptTimeout,
    AsyncOneAttempt,
    AsyncPatientAfterDeadline,
    AsyncRetriesMissing,
    AsyncSerialised,
    AsyncTruncatedAccepted,
    AsyncWindowPlusOne,
    CancelledWithItsReader,
    CountsAfterTheFetch,
    ForgetsWhatItHad,
    SwallowsCancellation,
)
from .reference import ClosedPipeError, CorruptedFileError, FetchError, ResponseError


@scenario(
    AsyncReader,
    catches={AsyncFiveAttempts: Calls, AsyncOneAttempt: Calls, AsyncConstantDelay: Failed},
)
async def failing_article_costs_a_task_two_calls(
    sim: AsyncSimulation, cls: type[AsyncReader]
) -> None:
    """An article that always fails costs two calls, 50 to 150 ms apart, and then an error."""
    film = Film(1, 16)
    origin = sim.pool("origin")
    origin.set_default(Behaviour(latency=0.005, error=TransientError))
    reader = cls(lambda: origin, film.slices(), window=1)

    async with sim.storm(
        Calls(origin, 2), MaxInFlight(origin, 1, reached=True), LeakBound()
    ) as storm:
        storm.spawn(reader.read, 16)

    ((first, second),) = pairwise(origin.arrivals(film.ids[0]))
    pause = round(second - first - 0.005, 9)
    assert isinstance(storm.errors()[0], FetchError)
    assert 0.050 <= pause <= 0.150
    assert round(storm.elapsed, 9) == round(2 * 0.005 + pause, 9)


@scenario(
    AsyncReader,
    catches={
        AsyncOneAttempt: (Calls, Unhandled),
        AsyncTruncatedAccepted: (Calls, Failed),
        AsyncConstantDelay: Failed,
        CountsAfterTheFetch: Calls,
    },
)
async def task_recovers_on_the_second_attempt(sim: AsyncSimulation, cls: type[AsyncReader]) -> None:
    """A call that fails and a payload that is cut short are each asked for again; no byte moves."""
    film = Film(3, 64)
    origin = sim.pool("origin", latency=0.010, payload=film.bodies.__getitem__)
    short = Behaviour(latency=0.010, payload=film.bodies.__getitem__, truncate=40)
    origin.script(film.ids[0], short)
    origin.script(film.ids[1], Behaviour(latency=0.010, error=TransientError))
    reader = cls(lambda: origin, film.slices(), window=3)

    async def viewer() -> bytes:
        async with reader:
            return await reader.read(3 * 64)

    async with sim.storm(
        Calls(origin, 3 + 2), MaxInFlight(origin, 3, reached=True), LeakBound()
    ) as storm:
        storm.spawn(viewer)

    again = [origin.arrivals(each)[1] for each in film.ids[:2]]
    assert storm.results() == [film.content]
    assert min(again) >= 0.010 + 0.050
    assert max(again) <= 0.010 + 0.150
    # The later of the second calls, and its 10 ms.
    assert round(storm.elapsed, 9) == round(max(again) + 0.010, 9)


@scenario(AsyncReader, catches={AsyncRetriesMissing: Calls})
async def missing_article_costs_a_task_one_call(
    sim: AsyncSimulation, cls: type[AsyncReader]
) -> None:
    """An article that does not exist, by either code, is not asked for again; the rest is."""
    film = Film(3, 16)
    origin = sim.pool("origin", latency=0.030, payload=film.bodies.__getitem__)
    origin.set(film.ids[0], Behaviour(latency=0.030, error=ResponseError(430, "no such article")))
    origin.set(film.ids[1], Behaviour(latency=0.030, error=ResponseError(423, "no such number")))
    reader = cls(lambda: origin, film.slices(), window=3)

    async with sim.storm(
        Calls(origin, 3), Elapsed(0.030), MaxInFlight(origin, 3, reached=True), LeakBound()
    ) as storm:
        storm.spawn(reader.read, 3 * 16)
        # Longer than any delay before a retry.
        await sim.advance(0.200)

    (error,) = storm.errors()
    assert isinstance(error, CorruptedFileError)
    assert error.bytes_read == 0


@scenario(
    AsyncReader,
    catches={
        AsyncFiveAttempts: Calls,
        AsyncOneAttempt: Calls,
        AsyncPatientAfterDeadline: Elapsed,
        AsyncNoAttemptTimeout: Deadlock,
    },
)
async def hung_article_fails_a_task_after_two_timeouts(
    sim: AsyncSimulation, cls: type[AsyncReader]
) -> None:
    """A connection that never answers is given up after 15 s, tried once more, and fails."""
    film = Film(1, 16)
    origin = sim.pool("origin")
    origin.set_default(Behaviour(hang=True))
    reader = cls(lambda: origin, film.slices())

    async with sim.storm(
        Calls(origin, 2), Elapsed(2 * 15.0), MaxInFlight(origin, 1, reached=True), LeakBound()
    ) as storm:
        storm.spawn(reader.read, 16)

    assert isinstance(storm.errors()[0], FetchError)
    assert origin.arrivals(film.ids[0]) == [0.0, 15.0]


@scenario(
    AsyncReader,
    catches={AsyncWindowPlusOne: MaxInFlight, CountsAfterTheFetch: (Calls, MaxInFlight)},
)
async def steady_read_of_a_task_fills_the_window(
    sim: AsyncSimulation, cls: type[AsyncReader]
) -> None:
    """Eleven articles, a window of four: never five on the wire, and never fewer in time."""
    film = Film(11, 32)
    origin = sim.pool("origin", latency=0.030, payload=film.bodies.__getitem__)
    reader = cls(lambda: origin, film.slices(), window=4)

    async with sim.storm(
        Calls(origin, 11, lane="priority"),
        MaxInFlight(origin, 4, reached=True),
        # Three batches of four, the last of three.
        Elapsed(3 * 0.030),
        LeakBound(),
    ) as storm:
        storm.spawn(reader.read, 11 * 32)

    assert storm.results() == [film.content]


@scenario(
    AsyncReader,
    catches={
        AsyncCloseOnlyWaits: Elapsed,
        AsyncSerialised: Elapsed,
        AsyncWindowPlusOne: MaxInFlight,
    },
)
async def close_frees_a_task_that_reads(sim: AsyncSimulation, cls: type[AsyncReader]) -> None:
    """Two closes end a read and two calls at the instant at which they come."""
    film = Film(4, 16)
    origin = sim.pool("origin", latency=2.0, payload=film.bodies.__getitem__)
    reader = cls(lambda: origin, film.slices(), window=2)

    async with sim.storm(MaxInFlight(origin, 2, reached=True), Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(reader.read, 4 * 16)
        await sim.settle()
        storm.spawn(reader.close, copies=2)

    assert isinstance(storm.errors()[0], ClosedPipeError)
    assert origin.in_flight == 0
    assert reader.in_flight == 0


@scenario(
    AsyncReader,
    catches={
        SwallowsCancellation: (Calls, Elapsed),
        AsyncConstantDelay: Calls,
        AsyncOneAttempt: Elapsed,
        AsyncCloseOnlyWaits: Calls,
        AsyncSerialised: Calls,
    },
)
async def close_ends_the_retries_of_tasks(sim: AsyncSimulation, cls: type[AsyncReader]) -> None:
    """A reader that is closed between two attempts never makes the second."""
    film = Film(3, 16)
    origin = sim.pool("origin")
    origin.set_default(Behaviour(latency=0.050, error=TransientError))
    reader = cls(lambda: origin, film.slices())

    async with sim.storm(
        Calls(origin, 3), MaxInFlight(origin, 3, reached=True), Elapsed(0.075), LeakBound()
    ) as storm:
        storm.spawn(reader.read, 3 * 16)
        # All have failed at 50 ms, and none asks again before 100 ms.
        await sim.advance(0.075)
        await reader.close()

    assert isinstance(storm.errors()[0], ClosedPipeError)
    await sim.advance(0.400)
    assert origin.total == 3


@scenario(
    AsyncReader,
    catches={
        ForgetsWhatItHad: Failed,
        CancelledWithItsReader: (Calls, Unhandled),
        AsyncWindowPlusOne: MaxInFlight,
        CountsAfterTheFetch: (Calls, MaxInFlight),
    },
)
async def cancelled_read_of_a_task_loses_no_byte(
    sim: AsyncSimulation, cls: type[AsyncReader]
) -> None:
    """A viewer may be cancelled wherever it waits; the next one goes on where it was."""
    film = Film(4, 16)
    origin = sim.pool("origin", latency=0.010, payload=film.bodies.__getitem__)
    reader = cls(lambda: origin, film.slices(), window=1)
    left = sim.gate("left")
    seen = bytearray()
    sim.inject(cancel_each("viewer"))

    async def viewer() -> None:
        try:
            for _ in range(2):
                seen.extend(await reader.read(24))
        finally:
            left.open()

    async def heir() -> None:
        await left.wait()
        async with reader:
            seen.extend(await reader.read(4 * 16))

    async with sim.storm(
        Calls(origin, 4),
        MaxInFlight(origin, 1, reached=True),
        # Four articles, one after the other, whenever the viewer leaves.
        Elapsed(4 * 0.010),
        EndsCancelled(),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer)
        storm.spawn(heir)

    assert bytes(seen) == film.content
