"""What admission promises: no token lost, invented or given out of turn, and no idleness for it.

Figures stand with their reason: so many rounds of so many at once. They do not know about real
time.
"""

import time
from typing import Any

from harness import (
    Behaviour,
    Calls,
    Deadlock,
    Elapsed,
    Failed,
    InFlight,
    LeakBound,
    MaxInFlight,
    Simulation,
    TransientError,
    scenario,
)
from scenarios.connection_lifecycle.film import Film
from scenarios.connection_lifecycle.reader.reference import FetchError, Reader, ResponseError
from scenarios.connection_lifecycle.scope import Scope

from .broken import (
    BudgetSerialised,
    ClientOncePerFile,
    CountsARemovalTwice,
    FloorOfZero,
    ForgetsTheEndOfAStream,
    ForgetsWhoIsIn,
    GetsWhileSwapping,
    GrantNotForwarded,
    ImportsOnThePriorityLane,
    KeepsTheClosedPool,
    LastComeFirstServed,
    LastFileOnly,
    NewcomersBarge,
    NothingIsReserved,
    ReleasedTwice,
    ReservedTwice,
    Serialised,
    TokenLostOnError,
    TwentyAtOnce,
    WaitCountsAsSlow,
)
from .policy import Shared, TwoCaps
from .reference import Budget, Importer, SharedPool, Streams, Token, UnavailableError
from .swapped import Pool

# Whatever reaches a peak above one catches who lets in one at a time.
IDLE: dict[Any, Any] = {BudgetSerialised: MaxInFlight}
WRONG_FILE: dict[Any, Any] = {LastFileOnly: Failed}


@scenario(Budget, catches={ReleasedTwice: MaxInFlight, **IDLE})
def tokens_come_back_once(sim: Simulation, cls: type[Budget]) -> None:
    """Two tokens for five workers who release early and again at the end: never three at once."""
    budget, busy = cls(Shared(2)), sim.in_flight("workers")

    def worker() -> None:
        with budget.acquire() as token:
            with busy:
                time.sleep(1.0)
            token.release()

    with sim.storm(
        MaxInFlight(busy, 2, reached=True),
        # Two, two and one.
        Elapsed(3 * 1.0),
        LeakBound(),
    ) as storm:
        storm.spawn(worker, copies=5)

    assert (budget.held, budget.waiting) == (0, 0)


@scenario(Budget, catches={LastComeFirstServed: Failed})
def first_come_first_served(sim: Simulation, cls: type[Budget]) -> None:
    """Five wait for one token, and get it in the order in which they came."""
    budget, busy, served = cls(Shared(1)), sim.in_flight("workers"), []
    arrivals = iter(range(5))

    def worker() -> None:
        place = next(arrivals)
        time.sleep(0.001 * place)
        with budget.acquire(), busy:
            served.append(place)
            time.sleep(1.0)

    with sim.storm(MaxInFlight(busy, 1, reached=True), Elapsed(5 * 1.0), LeakBound()) as storm:
        storm.spawn(worker, copies=5)

    assert served == [0, 1, 2, 3, 4]


@scenario(
    Budget,
    catches={
        ReservedTwice: MaxInFlight,
        NothingIsReserved: MaxInFlight,
        **IDLE,
    },
)
def streams_take_their_share(sim: Simulation, cls: type[Budget]) -> None:
    """Six tokens and two streams: two are left."""
    streams, busy = Streams(), sim.in_flight("workers")
    streams.add("film")
    streams.add("series")
    budget = cls(Shared(6), streams)

    def worker() -> None:
        with budget.acquire(), busy:
            time.sleep(1.0)

    with sim.storm(
        MaxInFlight(busy, 6 - 2 * 2, reached=True), Elapsed(4 / 2 * 1.0), LeakBound()
    ) as storm:
        storm.spawn(worker, copies=4)

    assert budget.held == 0


@scenario(Budget, catches={FloorOfZero: Deadlock, NothingIsReserved: MaxInFlight})
def streams_leave_one_token(sim: Simulation, cls: type[Budget]) -> None:
    """Streams that would need more than there is leave one token: imports go on, one at a time."""
    streams, busy = Streams(), sim.in_flight("workers")
    for number in range(3):
        streams.add(f"film-{number}")
    budget = cls(Shared(4), streams)

    def worker() -> None:
        with budget.acquire(), busy:
            time.sleep(1.0)

    with sim.storm(MaxInFlight(busy, 1, reached=True), Elapsed(3 * 1.0), LeakBound()) as storm:
        storm.spawn(worker, copies=3)

    assert budget.held == 0


@scenario(
    Budget,
    catches={
        ForgetsTheEndOfAStream: MaxInFlight,
        NothingIsReserved: Elapsed,
        BudgetSerialised: (MaxInFlight, Elapsed),
    },
)
def end_of_a_stream_lets_others_in(sim: Simulation, cls: type[Budget]) -> None:
    """A stream ends, and those who waited for its share are in at that instant."""
    streams, busy = Streams(), sim.in_flight("workers")
    streams.add("film")
    budget = cls(Shared(4), streams)

    def worker() -> None:
        with budget.acquire(), busy:
            time.sleep(10.0)

    with sim.storm(
        MaxInFlight(busy, 4, reached=True),
        # Two at 0; the other two when the stream ends, at 1 s.
        Elapsed(1.0 + 10.0),
        LeakBound(),
    ) as storm:
        storm.spawn(worker, copies=4)
        sim.advance(1.0)
        streams.remove("film")

    assert budget.held == 0


@scenario(
    Budget,
    catches={NothingIsReserved: (Failed, MaxInFlight), BudgetSerialised: (MaxInFlight, Failed)},
)
def streaming_cap_waits_for_those_who_are_in(sim: Simulation, cls: type[Budget]) -> None:
    """Three are in when a stream starts and the cap falls to one: the fourth waits for all."""
    streams, busy = Streams(), sim.in_flight("workers")
    budget = cls(TwoCaps(idle=3, streaming=1), streams)
    seconds = iter([1.0, 2.0, 3.0])
    entered: list[float] = []

    def worker() -> None:
        with budget.acquire(), busy:
            time.sleep(next(seconds))

    def late() -> None:
        with budget.acquire(), busy:
            entered.append(sim.now())

    with sim.storm(MaxInFlight(busy, 3, reached=True), Elapsed(3.0), LeakBound()) as storm:
        storm.spawn(worker, copies=3)
        sim.settle()
        streams.add("film")
        storm.spawn(late)

    assert entered == [3.0]


@scenario(Budget, catches={BudgetSerialised: (MaxInFlight, Failed)})
def configured_caps_shrink_and_grow(sim: Simulation, cls: type[Budget]) -> None:
    """Shrunk from three to one, grown to two: who waits is let in as soon as there is room."""
    budget, busy = cls(Shared(3)), sim.in_flight("workers")
    seconds = iter([1.0, 2.0, 3.0])
    entered: list[float] = []

    def worker() -> None:
        with budget.acquire(), busy:
            time.sleep(next(seconds))

    def late() -> None:
        with budget.acquire():
            entered.append(sim.now())
            time.sleep(1.0)

    with sim.storm(MaxInFlight(busy, 3, reached=True), Elapsed(2.5 + 1.0), LeakBound()) as storm:
        storm.spawn(worker, copies=3)
        sim.settle()
        budget.configure(Shared(1))
        storm.spawn(late)
        # One of the three is still in at 2.5 s.
        sim.advance(2.5)
        budget.configure(Shared(2))

    assert entered == [2.5]
    assert budget.held == 0


@scenario(Budget, catches={ForgetsWhoIsIn: MaxInFlight, **IDLE})
def limit_counts_who_is_in_already(sim: Simulation, cls: type[Budget]) -> None:
    """Four are in without a limit when one of two is set: the next waits until three have left."""
    budget, busy = cls(Shared(0)), sim.in_flight("workers")
    seconds = iter([1.0, 2.0, 3.0, 4.0])

    def worker() -> None:
        with budget.acquire(), busy:
            time.sleep(next(seconds))

    def late() -> None:
        with budget.acquire(), busy:
            time.sleep(2.0)

    with sim.storm(MaxInFlight(busy, 4, reached=True), Elapsed(3.0 + 2.0), LeakBound()) as storm:
        storm.spawn(worker, copies=4)
        sim.settle()
        budget.configure(Shared(2))
        storm.spawn(late)

    assert budget.held == 0


@scenario(Budget, catches={BudgetSerialised: (MaxInFlight, Elapsed)})
def no_limit_lets_everybody_in(sim: Simulation, cls: type[Budget]) -> None:
    """The limit is taken away while three wait: all are in at that instant."""
    budget, busy = cls(Shared(1)), sim.in_flight("workers")

    def worker() -> None:
        with budget.acquire(), busy:
            time.sleep(10.0)

    with sim.storm(MaxInFlight(busy, 4, reached=True), Elapsed(1.0 + 10.0), LeakBound()) as storm:
        storm.spawn(worker, copies=4)
        sim.advance(1.0)
        # Less than nothing is no limit, too.
        budget.configure(Shared(-1))

    assert (budget.held, budget.waiting) == (0, 0)


@scenario(Budget, catches={GrantNotForwarded: Deadlock})
def grant_meets_cancellation(sim: Simulation, cls: type[Budget]) -> None:
    """A waiter is cancelled as the token comes free: whoever wins, the next one gets it."""
    budget, scope, busy = cls(Shared(1)), Scope(), sim.in_flight("workers")

    def holder() -> None:
        with budget.acquire(), busy:
            time.sleep(1.0)

    def leaver() -> str:
        try:
            with budget.acquire(scope):
                return "was let in"
        except Exception:
            return "left"

    def follower() -> None:
        with budget.acquire(), busy:
            time.sleep(1.0)

    with sim.storm(MaxInFlight(busy, 1, reached=True), Elapsed(2.0), LeakBound()) as storm:
        storm.spawn(holder)
        sim.settle()
        storm.spawn(leaver)
        sim.settle()
        storm.spawn(follower)
        sim.advance(1.0)
        scope.cancel()

    assert storm.results()[1] in ("was let in", "left")
    assert (budget.held, budget.waiting) == (0, 0)


@scenario(Budget)
def cancelled_waiter_leaves_the_queue(sim: Simulation, cls: type[Budget]) -> None:
    """Who is cancelled while waiting is gone at that instant; one token stays where it is."""
    budget, scope, busy = cls(Shared(1)), Scope(), sim.in_flight("workers")
    seen: list[tuple[int, int]] = []

    def holder() -> None:
        with budget.acquire(), busy:
            time.sleep(1.0)

    with sim.storm(MaxInFlight(busy, 1, reached=True), Elapsed(1.0), LeakBound()) as storm:
        storm.spawn(holder)
        sim.settle()
        storm.spawn(budget.acquire, scope)
        storm.spawn(budget.acquire, Scope(timeout=0.250))
        sim.advance(0.500)
        scope.cancel()
        sim.settle()
        seen.append((budget.waiting, budget.held))

    assert [(error is None) for error in storm.errors()] == [True, False, False]
    assert seen == [(0, 1)]


@scenario(
    Budget,
    catches={
        NewcomersBarge: Failed,
        LastComeFirstServed: Failed,
        ForgetsTheEndOfAStream: Failed,
        NothingIsReserved: (Failed, Elapsed),
        BudgetSerialised: (MaxInFlight, Failed, Elapsed),
    },
)
def nobody_barges(sim: Simulation, cls: type[Budget]) -> None:
    """A stream ends just as somebody asks: the place goes to who has waited."""
    streams, busy = Streams(), sim.in_flight("workers")
    streams.add("film")
    budget = cls(TwoCaps(idle=2, streaming=1), streams)
    entered: list[tuple[str, float]] = []

    def worker(name: str, arrival: float) -> None:
        time.sleep(arrival)
        with budget.acquire(), busy:
            entered.append((name, sim.now()))
            time.sleep(10.0)

    def viewer() -> None:
        time.sleep(1.0)
        streams.remove("film")

    with sim.storm(MaxInFlight(busy, 2, reached=True), Elapsed(2 * 10.0), LeakBound()) as storm:
        storm.spawn(worker, "holder", 0.0)
        storm.spawn(worker, "patient", 0.5)
        storm.spawn(viewer)
        storm.spawn(worker, "newcomer", 1.0)

    assert entered == [("holder", 0.0), ("patient", 1.0), ("newcomer", 10.0)]


@scenario(
    Budget,
    catches={NothingIsReserved: Failed, ReservedTwice: (MaxInFlight, Elapsed), **IDLE},
)
def stream_finds_a_free_connection(sim: Simulation, cls: type[Budget]) -> None:
    """Imports leave two of four connections to a stream, whose reads never queue behind them."""
    origin, streams = sim.pool("origin", size=4, latency=1.0), Streams()
    streams.add("film")
    budget = cls(Shared(4), streams)
    read: list[float] = []

    def importer() -> None:
        with budget.acquire():
            origin.call("file", lane="normal")

    def viewer() -> None:
        time.sleep(0.500)
        origin.call("film", lane="priority")
        read.append(sim.now())

    with sim.storm(
        MaxInFlight(origin, 4, reached=True),
        # Four files, two at a time.
        Elapsed(4 / 2 * 1.0),
        LeakBound(),
    ) as storm:
        storm.spawn(importer, copies=4)
        storm.spawn(viewer, copies=2)

    assert read == [1.500, 1.500]


@scenario(Streams, catches={CountsARemovalTwice: MaxInFlight})
def stream_that_ends_twice_is_counted_once(sim: Simulation, cls: type[Streams]) -> None:
    """Two close the same stream at once: the budget is the pool's four, and not six."""
    streams, busy = cls(), sim.in_flight("workers")
    streams.add("film")
    streams.add("film")
    budget = Budget(Shared(4), streams)

    def worker() -> None:
        time.sleep(1.0)
        with budget.acquire(), busy:
            time.sleep(1.0)

    with sim.storm(
        MaxInFlight(busy, 4, reached=True),
        # Six workers who start at 1 s, four at a time.
        Elapsed(1.0 + 2 * 1.0),
        LeakBound(),
    ) as storm:
        storm.spawn(streams.remove, "film", copies=2)
        storm.spawn(worker, copies=6)

    assert streams.active == 0


@scenario(Importer, catches={TwentyAtOnce: MaxInFlight, **WRONG_FILE})
def import_keeps_to_its_connections(sim: Simulation, cls: type[Importer]) -> None:
    """Seven files over three connections: three rounds, the last of one."""
    film = Film(7, 64)
    origin = sim.pool("origin", latency=0.060, payload=film.bodies.__getitem__)
    importer = cls(lambda: origin, connections=3)

    with sim.storm(
        Calls(origin, 7), MaxInFlight(origin, 3, reached=True), Elapsed(3 * 0.060), LeakBound()
    ) as storm:
        storm.spawn(importer.first_segments, film.ids)

    assert storm.results() == [list(film.bodies.values())]


@scenario(
    Importer,
    catches={
        Serialised: (MaxInFlight, Elapsed),
        TwentyAtOnce: (MaxInFlight, Elapsed),
        **WRONG_FILE,
    },
)
def imports_are_not_gated_together(sim: Simulation, cls: type[Importer]) -> None:
    """Two imports of three files each, two at once: four are on the wire without a budget."""
    film = Film(3, 64)
    origin = sim.pool("origin", latency=0.060, payload=film.bodies.__getitem__)
    importer = cls(lambda: origin, connections=2)

    with sim.storm(
        Calls(origin, 2 * 3),
        MaxInFlight(origin, 2 * 2, reached=True),
        # Each has a round of two and a round of one.
        Elapsed(2 * 0.060),
        LeakBound(),
    ) as storm:
        storm.spawn(importer.first_segments, film.ids, copies=2)

    assert storm.results() == [list(film.bodies.values())] * 2


@scenario(Importer, catches=WRONG_FILE)
def budget_bounds_an_import(sim: Simulation, cls: type[Importer]) -> None:
    """Five files, five at once, and a budget of two: three rounds, the last of one."""
    film = Film(5, 64)
    origin = sim.pool("origin", latency=0.100, payload=film.bodies.__getitem__)
    budget = Budget(Shared(2))
    importer = cls(lambda: origin, connections=5, budget=budget)

    with sim.storm(
        Calls(origin, 5), MaxInFlight(origin, 2, reached=True), Elapsed(3 * 0.100), LeakBound()
    ) as storm:
        storm.spawn(importer.first_segments, film.ids)

    assert storm.results() == [list(film.bodies.values())]
    assert budget.held == 0


@scenario(Importer, catches={Serialised: Elapsed, **WRONG_FILE})
def budget_is_shared_by_imports(sim: Simulation, cls: type[Importer]) -> None:
    """Two imports of four files each share three tokens: three rounds, the last of two."""
    film = Film(4, 64)
    origin = sim.pool("origin", latency=0.060, payload=film.bodies.__getitem__)
    budget = Budget(Shared(3))
    importer = cls(lambda: origin, connections=4, budget=budget)

    with sim.storm(
        Calls(origin, 2 * 4), MaxInFlight(origin, 3, reached=True), Elapsed(3 * 0.060), LeakBound()
    ) as storm:
        storm.spawn(importer.first_segments, film.ids, copies=2)

    assert storm.results() == [list(film.bodies.values())] * 2
    assert budget.held == 0


@scenario(Importer, catches={LastFileOnly: Calls})
def errors_stay_with_their_files(sim: Simulation, cls: type[Importer]) -> None:
    """A hiccup costs three calls, a failure three, a missing file one; the good ones arrive."""
    film = Film(4, 64)
    flaky, dead, missing, _ = film.ids
    origin = sim.pool("origin", latency=0.010, payload=film.bodies.__getitem__)
    origin.set(flaky, Behaviour(latency=0.010, payload=film.bodies.__getitem__, fail_first=2))
    origin.set(dead, Behaviour(latency=0.010, error=TransientError))
    origin.set(missing, Behaviour(latency=0.010, error=ResponseError(430, "no such article")))
    importer = cls(lambda: origin, connections=4)

    with sim.storm(
        Calls(origin, 3 + 3 + 1 + 1),
        MaxInFlight(origin, 4, reached=True),
        # Three calls, and between them pauses of 300 and 600 ms.
        Elapsed(3 * 0.010 + 0.300 + 0.600),
        LeakBound(),
    ) as storm:
        storm.spawn(importer.first_segments, film.ids)

    first, second, third, fourth = storm.results()[0]
    assert [first, fourth] == [film.bodies[flaky], film.bodies[film.ids[3]]]
    assert isinstance(second, FetchError)
    assert isinstance(third, FetchError)
    assert third.is_missing


@scenario(Importer, catches={TokenLostOnError: Deadlock, LastFileOnly: Calls})
def token_outlives_no_error(sim: Simulation, cls: type[Importer]) -> None:
    """One token, a file that is missing and one that is not: the second is fetched, too."""
    film = Film(3, 64)
    origin = sim.pool("origin", latency=0.060, payload=film.bodies.__getitem__)
    origin.set(film.ids[0], Behaviour(latency=0.060, error=ResponseError(430, "no such article")))
    origin.set(film.ids[1], Behaviour(latency=0.060, error=TransientError))
    budget = Budget(Shared(1))
    importer = cls(lambda: origin, connections=3, budget=budget)

    with sim.storm(
        Calls(origin, 1 + 3 + 1),
        MaxInFlight(origin, 1, reached=True),
        # The token is held through the pauses of the second file.
        Elapsed(5 * 0.060 + 0.300 + 0.600),
        LeakBound(),
    ) as storm:
        storm.spawn(importer.first_segments, film.ids)

    assert storm.results()[0][2] == film.bodies[film.ids[2]]
    assert budget.held == 0


@scenario(Importer, catches={TokenLostOnError: Failed})
def cancelled_import_leaves_nothing(sim: Simulation, cls: type[Importer]) -> None:
    """An import is cancelled in mid-fetch: it is over at that instant, and holds no token."""
    film = Film(3, 64)
    origin = sim.pool("origin", latency=2.0, payload=film.bodies.__getitem__)
    budget, scope = Budget(Shared(2)), Scope()
    importer = cls(lambda: origin, connections=3, budget=budget)

    with sim.storm(
        Calls(origin, 2), MaxInFlight(origin, 2, reached=True), Elapsed(0.500), LeakBound()
    ) as storm:
        storm.spawn(importer.first_segments, film.ids, scope)
        sim.advance(0.500)
        scope.cancel()

    assert all(isinstance(each, Exception) for each in storm.results()[0])
    assert (budget.held, budget.waiting, origin.in_flight) == (0, 0, 0)


@scenario(Importer, catches={WaitCountsAsSlow: Calls, **WRONG_FILE})
def wait_for_a_turn_is_no_time_out(sim: Simulation, cls: type[Importer]) -> None:
    """Three files of twenty seconds each and one token: the last waits 40 s, and arrives."""
    film = Film(3, 64)
    origin = sim.pool("origin", latency=20.0, payload=film.bodies.__getitem__)
    importer = cls(lambda: origin, connections=3, budget=Budget(Shared(1)))

    with sim.storm(
        Calls(origin, 3), MaxInFlight(origin, 1, reached=True), Elapsed(3 * 20.0), LeakBound()
    ) as storm:
        storm.spawn(importer.first_segments, film.ids)

    assert storm.results() == [list(film.bodies.values())]


@scenario(Importer, catches={ImportsOnThePriorityLane: Calls, **WRONG_FILE})
def lanes_do_not_mix(sim: Simulation, cls: type[Importer]) -> None:
    """A stream and an import of two segments each: two calls in each lane, two tokens taken."""
    film = Film(2, 64)
    origin = sim.pool("origin", latency=0.060, payload=film.bodies.__getitem__)
    taken = sim.in_flight("tokens taken")
    budget = CountedBudget(Shared(2), taken)
    importer = cls(lambda: origin, connections=2, budget=budget)

    def viewer() -> bytes:
        with Reader(lambda: origin, film.slices(), window=2) as reader:
            return reader.read(2 * 64)

    with sim.storm(
        Calls(origin, 2, lane="priority"),
        Calls(origin, 2, lane="normal"),
        MaxInFlight(origin, 2 + 2, reached=True),
        # One for each file, and none for the stream.
        MaxInFlight(taken, 2, reached=True),
        Elapsed(0.060),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer)
        storm.spawn(importer.first_segments, film.ids)

    streamed, imported = storm.results()
    assert (streamed, imported) == (film.content, list(film.bodies.values()))
    assert budget.held == 0


@scenario(Importer, catches={ClientOncePerFile: Calls, LastFileOnly: Calls})
def swap_between_two_attempts(sim: Simulation, cls: type[Importer]) -> None:
    """The pool is swapped in mid-import: the next attempt goes over the new one."""
    film = Film(3, 64)
    origin = sim.pool("origin", payload=film.bodies.__getitem__)
    origin.set_default(Behaviour(latency=0.060, payload=film.bodies.__getitem__, fail_first=1))
    opened, pools = sim.in_flight("open pools"), SharedPool[Pool]()
    importer = cls(pools.get, connections=3)

    with sim.storm(
        Calls(origin, 3 + 3),
        MaxInFlight(opened, 1, reached=True),
        # Two calls of each file, and the pause between them.
        Elapsed(2 * 0.060 + 0.300),
        LeakBound(),
    ) as storm:
        pools.swap(lambda: Pool(origin, opened))
        storm.spawn(importer.first_segments, film.ids)
        # All have failed once, and none asks again before 360 ms.
        sim.advance(0.200)
        pools.swap(lambda: Pool(origin, opened))

    assert storm.results() == [list(film.bodies.values())]


@scenario(SharedPool, catches={GetsWhileSwapping: Failed})
def swap_makes_everybody_wait(sim: Simulation, cls: type[SharedPool[Pool]]) -> None:
    """While a pool is swapped nobody gets the old one, and two are never open at once."""
    origin, opened = sim.pool("origin", latency=1.0), sim.in_flight("open pools")
    pools = cls()
    pools.swap(lambda: Pool(origin, opened, close_latency=2.0))

    def build() -> Pool:
        time.sleep(0.500)
        return Pool(origin, opened)

    def caller() -> bool:
        time.sleep(1.0)
        return pools.get().is_open

    with sim.storm(
        MaxInFlight(opened, 1, reached=True),
        # A close of 2 s and a build of 0.5 s.
        Elapsed(2.0 + 0.500),
        LeakBound(),
    ) as storm:
        storm.spawn(pools.swap, build)
        storm.spawn(caller, copies=3)

    assert storm.results()[1:] == [True, True, True]
    pools.close()
    pools.close()
    assert opened.value == 0


@scenario(SharedPool, catches={KeepsTheClosedPool: Failed})
def failed_swap_leaves_no_pool(sim: Simulation, cls: type[SharedPool[Pool]]) -> None:
    """Where the new pool cannot be built there is none, and who asks is told so."""
    origin, opened = sim.pool("origin"), sim.in_flight("open pools")
    pools = cls()
    pools.swap(lambda: Pool(origin, opened))

    def refused() -> Pool:
        raise ConnectionError("wrong password")

    def caller() -> Pool:
        time.sleep(0.100)
        return pools.get()

    with sim.storm(MaxInFlight(opened, 1, reached=True), Elapsed(0.100), LeakBound()) as storm:
        storm.spawn(pools.swap, refused)
        storm.spawn(caller, copies=3)

    swapped, *asked = storm.errors()
    assert isinstance(swapped, ConnectionError)
    assert [type(error) for error in asked] == [UnavailableError] * 3
    assert opened.value == 0


# --- what the storms are made of ------------------------------------------------------------------


class CountedBudget(Budget):
    """A budget that has a gauge of the tokens that were ever taken; any thread."""

    def __init__(self, caps: Shared, taken: InFlight) -> None:
        """Count the tokens in `taken`, which nobody leaves."""
        super().__init__(caps)
        self._taken = taken

    def acquire(self, scope: Scope | None = None) -> Token:
        """Take a token, and count it."""
        token = super().acquire(scope)
        self._taken.enter()
        return token
