"""What the reader promises: how often it asks, how far it runs ahead, and how fast it lets go.

Figures stand with their reason. They do not know about real time: a hung article costs thirty
seconds of virtual time and no patience.
"""

from itertools import pairwise

from harness import (
    Behaviour,
    Calls,
    Deadlock,
    Elapsed,
    Failed,
    LeakBound,
    MaxInFlight,
    Simulation,
    TransientError,
    Unhandled,
    pause,
    scenario,
)
from scenarios.connection_lifecycle.deaf import Deaf
from scenarios.connection_lifecycle.film import Film
from scenarios.connection_lifecycle.scope import Scope

from .broken import (
    BoundsDownloadsOnly,
    CloseOnlyWaits,
    CloseWithoutTicker,
    DataBeatsError,
    InterruptWithoutBroadcast,
    JoinsUnderTheLock,
    KeepsTheCancellation,
    LastErrorWins,
    OffsetUnguarded,
    SchedulesTwice,
    Serialised,
    SilentAdvance,
    SlotNotGivenBack,
    StopsAtTheFirstClosed,
    UnlockedSignal,
    WindowPlusOne,
)
from .reference import (
    Client,
    ClosedPipeError,
    Reader,
    Segment,
)


@scenario(
    Reader,
    catches={
        WindowPlusOne: MaxInFlight,
        SchedulesTwice: (Calls, MaxInFlight),
        UnlockedSignal: (Elapsed, Deadlock),
        SilentAdvance: Deadlock,
    },
)
def steady_read_fills_the_window(sim: Simulation, cls: type[Reader]) -> None:
    """Six articles through a window of two: never three on the wire, and never fewer in time."""
    film = Film(6, 32)
    origin = sim.pool("origin", latency=0.030, payload=film.bodies.__getitem__)
    reader = cls(lambda: origin, film.slices(), window=2)

    with sim.storm(
        Calls(origin, 6, lane="priority"),
        MaxInFlight(origin, 2, reached=True),
        # Three batches of two.
        Elapsed(3 * 0.030),
        LeakBound(),
    ) as storm:
        storm.spawn(reader.read, 6 * 32)

    assert storm.results() == [film.content]


@scenario(
    Reader,
    catches={
        WindowPlusOne: MaxInFlight,
        SchedulesTwice: (Calls, MaxInFlight),
        SilentAdvance: Deadlock,
    },
)
def slow_pool_fills_the_window(sim: Simulation, cls: type[Reader]) -> None:
    """Four articles through a window of one over a slow wire: one after the other, no faster."""
    film = Film(4, 16)
    origin = sim.pool("origin", latency=0.100, payload=film.bodies.__getitem__)
    reader = cls(lambda: origin, film.slices(), window=1)

    with sim.storm(
        Calls(origin, 4),
        MaxInFlight(origin, 1, reached=True),
        Elapsed(4 * 0.100),
        LeakBound(),
    ) as storm:
        storm.spawn(reader.read, 4 * 16)

    assert storm.results() == [film.content]


@scenario(
    Reader, catches={SchedulesTwice: Calls, UnlockedSignal: Deadlock, SilentAdvance: Deadlock}
)
def each_article_is_asked_for_once(sim: Simulation, cls: type[Reader]) -> None:
    """A whole read costs one call for each article, though the manager may be held up at times."""
    film = Film(6, 32)
    origin = sim.pool("origin", payload=film.bodies.__getitem__)
    reader = cls(lambda: origin, film.slices(), window=2)
    sim.inject(pause("prefetch", seconds=0.010), at_most=3)

    # Nothing takes time but the three times that the manager may stand still.
    with sim.storm(
        Calls(origin, 6),
        Elapsed(at_most=3 * 0.010),
        LeakBound(),
    ) as storm:
        storm.spawn(reader.read, 6 * 32)
        # Whoever reads may be done before the manager, which has stood still.
        sim.advance(1.0)

    assert storm.results() == [film.content]
    assert [origin.calls(id=each) for each in film.ids] == [1] * 6


@scenario(
    Reader,
    catches={
        UnlockedSignal: Deadlock,
        WindowPlusOne: MaxInFlight,
        SchedulesTwice: (Calls, MaxInFlight),
        SilentAdvance: Deadlock,
    },
)
def window_of_one_never_stalls(sim: Simulation, cls: type[Reader]) -> None:
    """With a window of one every article hangs on one wake-up, and none is lost."""
    film = Film(5, 16)
    origin = sim.pool("origin", payload=film.bodies.__getitem__)
    reader = cls(lambda: origin, film.slices(), window=1)
    sim.inject(pause("prefetch", seconds=0.010), at_most=3)

    with sim.storm(
        Calls(origin, 5),
        MaxInFlight(origin, 1, reached=True),
        # Nothing takes time but the three times that the manager may stand still.
        Elapsed(at_most=3 * 0.010),
        LeakBound(),
    ) as storm:
        storm.spawn(reader.read, 5 * 16)
        # Whoever reads may be done before the manager, which has stood still.
        sim.advance(1.0)

    assert storm.results() == [film.content]


@scenario(
    Reader,
    catches={
        Serialised: Calls,
    },
)
def close_ends_retries(sim: Simulation, cls: type[Reader]) -> None:
    """A reader that is closed between two attempts never makes the second."""
    film = Film(3, 16)
    origin = sim.pool("origin")
    origin.set_default(Behaviour(latency=0.050, error=TransientError))
    reader = cls(lambda: origin, film.slices())

    with sim.storm(
        Calls(origin, 3), MaxInFlight(origin, 3, reached=True), Elapsed(0.075), LeakBound()
    ) as storm:
        storm.spawn(reader.read, 3 * 16)
        # All have failed at 50 ms, and none asks again before 100 ms.
        sim.advance(0.075)
        reader.close()

    assert isinstance(storm.errors()[0], ClosedPipeError)
    sim.advance(0.400)
    assert origin.total == 3


@scenario(
    Reader,
    catches={
        InterruptWithoutBroadcast: Elapsed,
        CloseOnlyWaits: Elapsed,
        Serialised: Elapsed,
        WindowPlusOne: MaxInFlight,
        JoinsUnderTheLock: Elapsed,
    },
)
def close_frees_a_blocked_read(sim: Simulation, cls: type[Reader]) -> None:
    """Close ends a read, a full window and two calls at the instant at which it comes."""
    film = Film(4, 16)
    origin = sim.pool("origin", latency=2.0, payload=film.bodies.__getitem__)
    reader = cls(lambda: origin, film.slices(), window=2)

    with sim.storm(MaxInFlight(origin, 2, reached=True), Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(reader.read, 4 * 16)
        sim.settle()
        storm.spawn(reader.close, copies=2)

    assert isinstance(storm.errors()[0], ClosedPipeError)
    assert origin.in_flight == 0


@scenario(
    Reader,
    catches={
        InterruptWithoutBroadcast: LeakBound,
        Serialised: Elapsed,
        WindowPlusOne: MaxInFlight,
    },
)
def interrupt_frees_everyone(sim: Simulation, cls: type[Reader]) -> None:
    """An interrupt alone, twice at once, ends the read, the manager and every download."""
    film = Film(4, 16)
    origin = sim.pool("origin", latency=2.0, payload=film.bodies.__getitem__)
    reader = cls(lambda: origin, film.slices(), window=2)

    with sim.storm(MaxInFlight(origin, 2, reached=True), Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(reader.read, 4 * 16)
        sim.settle()
        storm.spawn(reader.interrupt, copies=2)

    assert isinstance(storm.errors()[0], ClosedPipeError)
    assert origin.in_flight == 0
    reader.close()


@scenario(
    Reader,
    catches={
        CloseWithoutTicker: Elapsed,
        InterruptWithoutBroadcast: Elapsed,
        CloseOnlyWaits: Elapsed,
        Serialised: Elapsed,
        JoinsUnderTheLock: Elapsed,
    },
)
def close_may_come_at_any_moment(sim: Simulation, cls: type[Reader]) -> None:
    """Two viewers leave while their reads begin, and ask what is buffered: nobody has to wait."""
    film = Film(3, 16)
    origin = sim.pool("origin", latency=2.0, payload=film.bodies.__getitem__)
    readers = [cls(lambda: origin, film.slices(), window=1) for _ in range(2)]
    reading, leaving = iter(readers), iter(readers)
    sim.inject(pause("prefetch", seconds=0.010), at_most=2)

    def viewer() -> bytes:
        return next(reading).read(3 * 16)

    def leave() -> list[int]:
        with next(leaving) as reader:
            return [reader.buffered_offset() for _ in range(3)]

    # Nothing takes time but the two times that a manager may stand still.
    with sim.storm(Elapsed(at_most=2 * 0.010), LeakBound()) as storm:
        storm.spawn(viewer, copies=2)
        storm.spawn(leave, copies=2)

    assert [type(error) for error in storm.errors()[:2]] == [ClosedPipeError] * 2
    assert origin.in_flight == 0


@scenario(Reader, catches={SlotNotGivenBack: Failed})
def failing_getter_is_final(sim: Simulation, cls: type[Reader]) -> None:
    """Where there is no client there is no call, no retry and no waiting, and no slot is lost."""
    film = Film(3, 16)
    origin = sim.pool("origin")

    def no_client() -> Client:
        message = "the pool is being replaced"
        raise ConnectionError(message)

    reader = cls(no_client, film.slices(), window=2)
    with sim.storm(Calls(origin, 0), Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(reader.read, 3 * 16)
        sim.settle()
        reader.close()

    assert isinstance(storm.errors()[0], ConnectionError)
    assert reader.in_flight == 0


@scenario(Reader, catches={BoundsDownloadsOnly: Calls, WindowPlusOne: Calls})
def paused_viewer_holds_one_window(sim: Simulation, cls: type[Reader]) -> None:
    """A viewer who looks at the beginning and then pauses holds two articles, not the film."""
    film = Film(6, 16)
    origin = sim.pool("origin", latency=0.010, payload=film.bodies.__getitem__)
    reader = cls(lambda: origin, film.slices(), window=2)

    with sim.storm(
        Calls(origin, 2), MaxInFlight(origin, 2, reached=True), Elapsed(0.010), LeakBound()
    ) as storm:
        storm.spawn(reader.read, 1)
        sim.advance(1.0)
        reader.close()

    assert storm.results() == [film.content[:1]]


@scenario(Reader, catches={OffsetUnguarded: Unhandled})
def offset_may_be_asked_while_closing(sim: Simulation, cls: type[Reader]) -> None:
    """What is buffered may be asked by anybody at any time, also of a reader that is closed."""
    film = Film(2, 16)
    origin = sim.pool("origin", payload=film.bodies.__getitem__)
    reader = cls(lambda: origin, film.slices(), window=2)

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(reader.buffered_offset, copies=2)
        storm.spawn(reader.close)

    assert storm.results() == [0, 0, None]


@scenario(
    Reader,
    catches={
        StopsAtTheFirstClosed: Elapsed,
        Serialised: Elapsed,
    },
)
def close_reaches_behind_what_was_read(sim: Simulation, cls: type[Reader]) -> None:
    """One article was read, the next one never hears the close; its reader is free at once."""
    film = Film(2, 16)
    origin = sim.pool("origin", latency=2.0, payload=film.bodies.__getitem__)
    origin.set(film.ids[0], Behaviour(latency=0.010, payload=film.bodies[film.ids[0]]))
    reader = cls(lambda: Deaf(origin), film.slices(), window=2)

    with sim.storm(MaxInFlight(origin, 2, reached=True), Elapsed(0.100), LeakBound()) as storm:
        storm.spawn(reader.read, 16)
        sim.advance(0.050)
        storm.spawn(reader.read, 16)
        sim.advance(0.050)
        storm.spawn(reader.close)
        sim.advance(2.0)

    assert isinstance(storm.errors()[1], ClosedPipeError)
    assert storm.results()[0] == film.content[:16]


@scenario(Segment, catches={KeepsTheCancellation: Elapsed})
def cancelled_wait_spoils_nothing(sim: Simulation, cls: type[Segment]) -> None:
    """One of two who wait for a segment gives up; the other one gets its bytes, then and later."""
    film = Film(1, 16)
    segment = cls(film.slices()[0])
    impatient = Scope()

    with sim.storm(Elapsed(0.020), LeakBound()) as storm:
        storm.spawn(segment.payload)
        storm.spawn(segment.payload, impatient)
        sim.advance(0.010)
        impatient.cancel(TimeoutError("nobody waits any more"))
        sim.advance(0.010)
        segment.set_data(film.content)

    assert [type(error) for error in storm.errors()] == [type(None), TimeoutError]
    assert segment.payload() == film.content


@scenario(Segment, catches={LastErrorWins: Failed, DataBeatsError: Failed})
def first_error_wins(sim: Simulation, cls: type[Segment]) -> None:
    """Whoever waits for a segment that failed gets the first error, whatever comes later."""
    film = Film(1, 16)
    segment = cls(film.slices()[0])
    first, later = TransientError("the first"), TransientError("a later one")

    failed = sim.gate("failed")

    def download() -> None:
        segment.set_error(first)
        failed.open()

    def late() -> None:
        failed.wait()
        segment.set_data(film.content)
        segment.set_error(later)
        segment.release()

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(segment.payload, copies=3)
        storm.spawn(late)
        storm.spawn(download)

    assert storm.errors() == [first, first, first, None, None]


def pauses(arrivals: list[float], *, latency: float) -> list[float]:
    """Return the seconds between the end of each call and the next, to the nanosecond."""
    return [round(after - before - latency, 9) for before, after in pairwise(arrivals)]
