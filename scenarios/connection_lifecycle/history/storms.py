"""What the neighbours of the reader promise: one call for many, and nobody who waits for nothing.

Figures stand with their reason. They do not know about real time.
"""

import time
from collections.abc import Callable, Sequence

from harness import (
    Behaviour,
    Calls,
    Deadlock,
    Elapsed,
    Exactly,
    Failed,
    FakePool,
    LeakBound,
    MaxInFlight,
    Simulation,
    TransientError,
    Unhandled,
    scenario,
)
from scenarios.connection_lifecycle.film import Film
from scenarios.connection_lifecycle.reader.reference import FetchError, ResponseError
from scenarios.connection_lifecycle.scope import Scope

from .broken import (
    CallsForEach,
    CoalescerSerialised,
    ConnectionFirst,
    DemandWaits,
    DiesOfAnError,
    DiesOfARecord,
    DropsThePending,
    DropsWhatWaits,
    EachTakesOver,
    FetchesForEach,
    FlightsSerialised,
    ForgetsWhatCameMeanwhile,
    HolesSerialised,
    ImportsJoin,
    LanesSerialised,
    LeaderTakesAllDown,
    LooksAtTheClosedFile,
    LooksThenCloses,
    LooksThenFlies,
    LooksThenTakes,
    NextIsSpeculation,
    NoCallTimeout,
    NoDebounce,
    NoRollback,
    PlaceLostOnError,
    RemembersEverything,
    RoundsDown,
    SharesTheJudgement,
    SlidingDebounce,
    SpeculationSerialised,
    SpeculationWaits,
    StaysAfterAFailure,
    ThreadForEach,
    WaitsForAPlace,
    WholeRounds,
)
from .reference import Coalescer, Flights, Hole, Holes, Lanes, Speculation

# --- one fetch for all who want an article --------------------------------------------------------


@scenario(
    Flights,
    catches={
        FetchesForEach: (Calls, MaxInFlight),
        LooksThenFlies: (Calls, MaxInFlight),
        FlightsSerialised: (Calls, Elapsed),
    },
)
def two_readers_cost_one_call_an_article(sim: Simulation, cls: type[Flights]) -> None:
    """Two readers of one film ask for each article at once: one call each, and its bytes for both.

    The original's figure is twenty articles, two readers, twenty fetches.
    """
    film = Film(3, 64)
    origin = sim.pool("origin", latency=0.010, payload=film.bodies.__getitem__)
    flights = cls(over(origin))

    def viewer() -> bytes:
        return b"".join(flights.get(each, Scope()) for each in film.ids)

    with sim.storm(
        Calls(origin, 3), MaxInFlight(origin, 1, reached=True), Elapsed(3 * 0.010), LeakBound()
    ) as storm:
        storm.spawn(viewer, copies=2)

    assert storm.results() == [film.content] * 2
    assert len(flights) == 0


@scenario(
    Flights,
    catches={
        LeaderTakesAllDown: Calls,
        EachTakesOver: (Calls, MaxInFlight),
        FetchesForEach: (Calls, MaxInFlight),
        LooksThenFlies: (Calls, MaxInFlight),
        FlightsSerialised: Calls,
    },
)
def closing_leader_hands_over(sim: Simulation, cls: type[Flights]) -> None:
    """Who fetches is closed in mid-call: one of the two who wait fetches anew, for both."""
    film = Film(1, 64)
    (wanted,) = film.ids
    origin = sim.pool("origin", latency=0.010, payload=film.bodies.__getitem__)
    flights, leaving = cls(over(origin)), Scope()
    left: list[float] = []

    def leader() -> None:
        try:
            flights.get(wanted, leaving)
        except Exception:
            left.append(sim.now())

    with sim.storm(
        Calls(origin, 2),
        # Who takes over begins when the call of the leader is over.
        MaxInFlight(origin, 1, reached=True),
        Elapsed(0.004 + 0.010),
        LeakBound(),
    ) as storm:
        storm.spawn(leader)
        sim.settle()
        storm.spawn(flights.get, wanted, Scope(), copies=2)
        sim.advance(0.004)
        leaving.cancel()

    assert storm.results()[1:] == [film.content] * 2
    assert left == [0.004]
    assert len(flights) == 0


@scenario(Flights, catches={StaysAfterAFailure: Calls})
def failed_flight_leaves_the_map(sim: Simulation, cls: type[Flights]) -> None:
    """A call fails; who asks next begins another, and gets the bytes."""
    film = Film(1, 64)
    (wanted,) = film.ids
    origin = sim.pool("origin", latency=0.010, payload=film.bodies.__getitem__)
    origin.script(wanted, Behaviour(latency=0.010, error=TransientError))
    flights = cls(over(origin))

    def late() -> bytes:
        time.sleep(0.015)
        return flights.get(wanted, Scope())

    with sim.storm(
        Calls(origin, 2), MaxInFlight(origin, 1, reached=True), Elapsed(0.015 + 0.010), LeakBound()
    ) as storm:
        storm.spawn(flights.get, wanted, Scope())
        storm.spawn(late)

    assert [type(error) for error in storm.errors()] == [FetchError, type(None)]
    assert storm.results()[1] == film.content
    assert len(flights) == 0


@scenario(
    Flights,
    catches={
        SharesTheJudgement: Failed,
        FetchesForEach: (Calls, MaxInFlight),
        FlightsSerialised: (Calls, Elapsed),
        LooksThenFlies: (Calls, MaxInFlight),
    },
)
def missing_article_is_judged_by_each(sim: Simulation, cls: type[Flights]) -> None:
    """An article does not exist: one call tells both readers, and each makes of it what it will."""
    film = Film(1, 64)
    (wanted,) = film.ids
    origin = sim.pool("origin")
    origin.set(wanted, Behaviour(latency=0.010, error=ResponseError(430, "no such article")))
    flights = cls(over(origin))

    def player() -> bytes:
        return flights.get(wanted, Scope(), on_missing=lambda _id: bytes(64))

    def checker() -> bool:
        try:
            flights.get(wanted, Scope())
        except FetchError as exc:
            return exc.is_missing
        return False

    with sim.storm(
        Calls(origin, 1), MaxInFlight(origin, 1, reached=True), Elapsed(0.010), LeakBound()
    ) as storm:
        storm.spawn(player)
        storm.spawn(checker)

    assert storm.results() == [bytes(64), True]


@scenario(
    Flights, catches={ImportsJoin: (Calls, MaxInFlight), FlightsSerialised: (MaxInFlight, Elapsed)}
)
def import_goes_round_the_map(sim: Simulation, cls: type[Flights]) -> None:
    """An import and a stream want one article at once: each fetches it in a lane of its own."""
    film = Film(1, 64)
    (wanted,) = film.ids
    origin = sim.pool("origin", latency=0.010, payload=film.bodies.__getitem__)
    flights = cls(over(origin))

    def importer() -> bytes:
        return flights.get(wanted, Scope(), lane="normal")

    with sim.storm(
        Calls(origin, 1, lane="normal"),
        Calls(origin, 1, lane="priority"),
        MaxInFlight(origin, 2, reached=True),
        Elapsed(0.010),
        LeakBound(),
    ) as storm:
        storm.spawn(importer)
        storm.spawn(flights.get, wanted, Scope())

    assert storm.results() == [film.content] * 2


# --- what is fetched ahead of need ----------------------------------------------------------------


@scenario(
    Speculation,
    catches={
        LooksThenTakes: MaxInFlight,
        WholeRounds: MaxInFlight,
        SpeculationWaits: (Failed, Elapsed),
        SpeculationSerialised: (MaxInFlight, Elapsed),
    },
)
def speculation_takes_what_is_free(sim: Simulation, cls: type[Speculation]) -> None:
    """Four readers fetch far ahead of need over one connection: two may, two are told at once."""
    budget, busy = cls(connections=1), sim.in_flight("fetches")

    def reader() -> bool:
        with budget.fetching(ahead=5) as is_admitted:
            if is_admitted:
                with busy:
                    time.sleep(1.0)
        return is_admitted

    with sim.storm(
        # Three rounds of one connection, less one.
        MaxInFlight(busy, 3 * 1 - 1, reached=True),
        Elapsed(1.0),
        LeakBound(),
    ) as storm:
        storm.spawn(reader, copies=4)

    assert sorted(storm.results()) == [False, False, True, True]
    assert budget.busy == 0


@scenario(
    Speculation,
    catches={
        DemandWaits: MaxInFlight,
        NextIsSpeculation: MaxInFlight,
        SpeculationSerialised: (MaxInFlight, Elapsed),
        SpeculationWaits: (Elapsed, MaxInFlight),
    },
)
def demand_never_waits(sim: Simulation, cls: type[Speculation]) -> None:
    """All places are taken by speculation; what is read now, and what comes next, is fetched."""
    budget, busy = cls(connections=1), sim.in_flight("fetches")

    def reader(ahead: int) -> bool:
        with budget.fetching(ahead) as is_admitted:
            if is_admitted:
                with busy:
                    time.sleep(1.0)
        return is_admitted

    with sim.storm(
        # Two ahead of need, and two that are needed.
        MaxInFlight(busy, 2 + 2, reached=True),
        Elapsed(1.0),
        LeakBound(),
    ) as storm:
        storm.spawn(reader, 4, copies=2)
        sim.settle()
        storm.spawn(reader, 0)
        storm.spawn(reader, 1)
        sim.settle()
        storm.spawn(reader, 2)

    assert storm.results() == [True, True, True, True, False]
    assert budget.busy == 0


@scenario(Speculation, catches={PlaceLostOnError: Failed})
def failing_speculation_gives_its_place_back(sim: Simulation, cls: type[Speculation]) -> None:
    """Fetches ahead of need fail, one after the other; the next one still finds a place."""
    budget = cls(connections=1)

    def reader() -> bool:
        for _ in range(2):
            try:
                with budget.fetching(ahead=3):
                    raise TransientError
            except TransientError:
                pass
        with budget.fetching(ahead=3) as is_admitted:
            return is_admitted

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(reader)

    assert storm.results() == [True]
    assert budget.busy == 0


# --- connections for streams and imports ----------------------------------------------------------


@scenario(
    Lanes,
    catches={
        ConnectionFirst: (MaxInFlight, Elapsed, Failed),
        RoundsDown: (Elapsed, Failed),
        LanesSerialised: (MaxInFlight, Elapsed, Failed),
    },
)
def streams_find_their_share_free(sim: Simulation, cls: type[Lanes]) -> None:
    """Of four connections imports hold one, whoever waits; three streams are served at once."""
    lanes, busy = cls(4), sim.in_flight("connections")
    served: list[float] = []

    def importer() -> None:
        with lanes.importing(), busy:
            time.sleep(1.0)

    def viewer() -> None:
        time.sleep(0.500)
        with lanes.stream(), busy:
            served.append(sim.now())
            time.sleep(1.0)

    with sim.storm(
        MaxInFlight(busy, 4, reached=True),
        # 0.6 of four is three, rounded up: three imports, one at a time.
        Elapsed(3 / (4 - 3) * 1.0),
        LeakBound(),
    ) as storm:
        storm.spawn(importer, copies=3)
        storm.spawn(viewer, copies=3)

    assert served == [0.500] * 3
    assert lanes.held == (0, 0)


@scenario(Lanes, catches={NoRollback: Deadlock})
def import_given_up_between_the_two(sim: Simulation, cls: type[Lanes]) -> None:
    """An import has its place and waits for a connection when it is given up; the next gets in."""
    lanes, busy, scope = cls(1), sim.in_flight("connections"), Scope()

    def viewer() -> None:
        with lanes.stream(), busy:
            time.sleep(1.0)

    def given_up() -> None:
        with lanes.importing(scope):
            pass

    def importer() -> None:
        time.sleep(1.5)
        with lanes.importing(), busy:
            time.sleep(1.0)

    with sim.storm(MaxInFlight(busy, 1, reached=True), Elapsed(1.5 + 1.0), LeakBound()) as storm:
        storm.spawn(viewer)
        sim.settle()
        storm.spawn(given_up)
        storm.spawn(importer)
        sim.advance(0.500)
        scope.cancel(TimeoutError("nobody wants it any more"))

    assert [type(error) for error in storm.errors()[1:]] == [TimeoutError, type(None)]
    assert lanes.held == (0, 0)


# --- one call for many ----------------------------------------------------------------------------


@scenario(Coalescer, catches={CallsForEach: Calls, NoDebounce: Failed})
def twelve_asks_cost_one_call(sim: Simulation, cls: type[Coalescer]) -> None:
    """Three threads ask for four folders each, one of them the same for all: one call with ten."""
    server = Server(sim, latency=0.100)
    asked = iter([["film", "a", "b", "c"], ["d", "film", "e", "f"], ["g", "h", "film", "i"]])

    def asker(coalescer: Coalescer) -> list[bool]:
        return [coalescer.enqueue(path) for path in next(asked)]

    with sim.storm(
        Calls(server.pool, 1),
        MaxInFlight(server.pool, 1, reached=True),
        # Nobody waits for the call.
        Elapsed(0.0),
        LeakBound(),
    ) as storm:
        coalescer = cls(server.refresh)
        storm.spawn(asker, coalescer, copies=3)
        sim.advance(2.0)
        coalescer.close()

    assert sum(map(sum, storm.results())) == 10
    assert sorted(server.refreshed) == ["a", "b", "c", "d", "e", "f", "film", "g", "h", "i"]
    # The window of a second.
    assert server.pool.arrivals() == [1.0]


@scenario(
    Coalescer,
    catches={
        ForgetsWhatCameMeanwhile: Exactly,
        DiesOfAnError: Unhandled,
        CallsForEach: Failed,
        CoalescerSerialised: Elapsed,
    },
)
def asks_beside_a_call_are_kept(sim: Simulation, cls: type[Coalescer]) -> None:
    """A folder is asked for just as a call begins, which fails, and one in mid-call: none is lost.

    The second is in the call that fails or in the next one, as it came.
    """
    server = Server(sim, latency=0.500)
    server.pool.script("a", Behaviour(latency=0.500, error=TransientError))

    def asker(coalescer: Coalescer) -> None:
        time.sleep(1.0)
        coalescer.enqueue("b")
        time.sleep(0.200)
        coalescer.enqueue("c")

    with sim.storm(
        Exactly(["a", "b", "c"], server.refreshed), Elapsed(1.0 + 0.200), LeakBound()
    ) as storm:
        coalescer = cls(server.refresh)
        coalescer.enqueue("a")
        storm.spawn(asker, coalescer)
        sim.advance(5.0)
        coalescer.close()

    assert server.pool.total == 2


@scenario(
    Coalescer,
    catches={DropsThePending: Exactly, LooksThenCloses: Exactly, CallsForEach: (Calls, Elapsed)},
)
def close_refreshes_what_is_pending(sim: Simulation, cls: type[Coalescer]) -> None:
    """Two threads close in the second of the window: one call, at once, and one end."""
    server, ended = Server(sim, latency=0.100), list[str]()

    with sim.storm(
        Exactly(["film", "series"], server.refreshed),
        Exactly(["over"], ended),
        Calls(server.pool, 1),
        MaxInFlight(server.pool, 1, reached=True),
        # Not a second: nobody else is waited for.
        Elapsed(0.500 + 0.100),
        LeakBound(),
    ) as storm:
        coalescer = cls(server.refresh, done=lambda: ended.append("over"))
        coalescer.enqueue("film")
        coalescer.enqueue("series")
        sim.advance(0.500)
        storm.spawn(coalescer.close, copies=2)

    assert not coalescer.enqueue("late")


@scenario(
    Coalescer,
    catches={SlidingDebounce: Calls, NoDebounce: Calls},
)
def asks_are_held_back_for_thirty_seconds(sim: Simulation, cls: type[Coalescer]) -> None:
    """A folder that is asked for every twenty seconds is refreshed every forty."""
    server = Server(sim, latency=0.0)

    def asker(coalescer: Coalescer) -> list[bool]:
        return [asks(coalescer, at) for at in (0.0, 20.0, 40.0, 60.0, 80.0)]

    def asks(coalescer: Coalescer, at: float) -> bool:
        time.sleep(at - sim.now())
        return coalescer.enqueue("film")

    with sim.storm(
        Calls(server.pool, 3),
        MaxInFlight(server.pool, 1, reached=True),
        Elapsed(80.0),
        LeakBound(),
    ) as storm:
        coalescer = cls(server.refresh)
        storm.spawn(asker, coalescer)
        sim.advance(90.0)
        coalescer.close()

    assert storm.results() == [[True, False, True, False, True]]
    assert server.pool.arrivals() == [0.0 + 1.0, 40.0 + 1.0, 80.0 + 1.0]


@scenario(Coalescer, catches={RemembersEverything: Failed, CallsForEach: Calls})
def few_paths_are_remembered(sim: Simulation, cls: type[Coalescer]) -> None:
    """Five folders are asked for and three remembered; those that were forgotten may come again."""
    server = Server(sim, latency=0.0)

    def asker(coalescer: Coalescer) -> list[bool]:
        return [coalescer.enqueue(path) for path in "abcde"]

    with sim.storm(
        Calls(server.pool, 1),
        MaxInFlight(server.pool, 1, reached=True),
        # Nobody waits for the call.
        Elapsed(0.0),
        LeakBound(),
    ) as storm:
        coalescer = cls(server.refresh, most=3)
        storm.spawn(asker, coalescer)
        sim.advance(2.0)
        coalescer.close()

    assert storm.results() == [[True] * 5]
    assert server.refreshed == ["a", "b", "c", "d", "e"]
    # The window of a second.
    assert server.pool.arrivals() == [1.0]
    assert coalescer.remembered <= 3


@scenario(
    Coalescer,
    catches={NoCallTimeout: Deadlock, DiesOfAnError: Unhandled, CoalescerSerialised: Elapsed},
)
def hung_call_is_given_up(sim: Simulation, cls: type[Coalescer]) -> None:
    """A call that never ends is given up after a minute, and the next one is made."""
    server = Server(sim, latency=0.100)
    server.pool.script("hung", Behaviour(hang=True))

    def asker(coalescer: Coalescer) -> None:
        coalescer.enqueue("hung")
        time.sleep(10.0)
        coalescer.enqueue("film")

    with sim.storm(
        Calls(server.pool, 2),
        MaxInFlight(server.pool, 1, reached=True),
        Elapsed(10.0),
        LeakBound(),
    ) as storm:
        coalescer = cls(server.refresh)
        storm.spawn(asker, coalescer)
        sim.advance(100.0)
        coalescer.close()

    # The first hangs from 1 s on; the second waits for it, and then for its window.
    assert server.pool.arrivals() == [1.0, 1.0 + 60.0 + 1.0]


# --- what is missing from a file ------------------------------------------------------------------


@scenario(
    Holes,
    catches={
        LooksAtTheClosedFile: Failed,
        DropsWhatWaits: Failed,
        ThreadForEach: (Failed, LeakBound),
    },
)
def hole_meets_a_close(sim: Simulation, cls: type[Holes]) -> None:
    """A hole is found while two threads close the file: it is padded, and recorded or dropped.

    Whatever was accepted is recorded when close returns, by the path that the file had.
    """
    register = Register(sim, latency=0.0)
    holes = cls("film.mkv", register.record, size=64)

    def closer() -> list[Hole]:
        holes.close()
        return list(register.holes)

    with sim.storm(Calls(register.pool, at_most=1), Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(holes.pad, "a")
        storm.spawn(closer, copies=2)

    padded, *recorded = storm.results()
    assert padded == bytes(64)
    assert recorded == [[Hole("film.mkv", "a")] * (1 - holes.dropped)] * 2


@scenario(
    Holes,
    catches={
        ThreadForEach: MaxInFlight,
        DiesOfARecord: Unhandled,
        WaitsForAPlace: (Calls, Elapsed),
        HolesSerialised: (Calls, Elapsed),
    },
)
def holes_are_recorded_one_by_one(sim: Simulation, cls: type[Holes]) -> None:
    """A viewer finds five holes where three may wait: nobody waits for a record, one is dropped.

    The first record fails, and the others are made all the same.
    """
    register = Register(sim, latency=1.0)
    register.pool.script("a", Behaviour(latency=1.0, error=TransientError))
    holes = cls("film.mkv", register.record, size=64, most=3)

    def viewer() -> bytes:
        seen = holes.pad("a")
        # The first is being recorded from now on, and waits no more.
        time.sleep(0.010)
        return seen + b"".join(map(holes.pad, "bcde"))

    with sim.storm(
        Exactly([Hole("film.mkv", each) for each in "abcd"], register.holes),
        Calls(register.pool, 4),
        MaxInFlight(register.pool, 1, reached=True),
        # What the viewer waits himself: he waits for no record.
        Elapsed(0.010),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer)
        sim.advance(5.0)
        holes.close()

    assert storm.results() == [bytes(5 * 64)]
    assert register.pool.arrivals() == [0.0, 1.0, 2.0, 3.0]
    assert holes.dropped == 1


# --- what the storms are made of ------------------------------------------------------------------


def over(origin: FakePool) -> Callable[[str, str, Scope], bytes]:
    """Return how flights fetch from a pool."""

    def fetch(id: str, lane: str, scope: Scope) -> bytes:
        data: bytes = origin.call(id, lane=lane, cancel=scope)
        return data

    return fetch


class Server:
    """Who refreshes folders: one call for any number. Any thread."""

    def __init__(self, sim: Simulation, *, latency: float) -> None:
        """Have a call take `latency` seconds; it is known by its first folder."""
        self.pool = sim.pool("server", latency=latency)
        self.refreshed: list[str] = []

    def refresh(self, paths: Sequence[str], scope: Scope) -> None:
        """Note the folders, and make the call."""
        self.refreshed.extend(paths)
        self.pool.call(paths[0], timeout=scope.remaining(), cancel=scope)


class Register:
    """Where holes are recorded: one call for each. Any thread."""

    def __init__(self, sim: Simulation, *, latency: float) -> None:
        """Have a record take `latency` seconds; it is known by the article."""
        self.pool = sim.pool("register", latency=latency)
        self.holes: list[Hole] = []

    def record(self, hole: Hole) -> None:
        """Note the hole, and make the call."""
        self.holes.append(hole)
        self.pool.call(hole.id)
