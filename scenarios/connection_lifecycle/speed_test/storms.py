"""What the coordinator of speed tests promises: one dial for all, and no client left behind.

Figures stand with their reason: a dial takes 0.1 s and a test 0.4 s. They do not know about real
time; five minutes of idleness cost nothing.
"""

import time
from concurrent.futures import CancelledError
from typing import Any

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
    scenario,
)
from scenarios.connection_lifecycle.scope import Scope

from .broken import (
    ClientOfTheRequest,
    ClosesAgain,
    ConstantKey,
    DialsAfterAnError,
    DialsUnderTheLock,
    FirstOfTheResult,
    FreshClientEach,
    HitAtTheExpiry,
    InsertsAfterShutdown,
    JanitorIsSlow,
    JanitorNeverStarts,
    JanitorNeverStops,
    KeepsAFailure,
    KeyByHost,
    KeyById,
    LeaderTakesAllDown,
    LiveByHost,
    LiveNotShared,
    NoSingleFlight,
    Serialised,
    SlidingTtl,
    SweepClosesInUse,
)
from .policy import Account, Provider
from .provider import Client, Exchange
from .reference import ShutdownError, SpeedTestError, SpeedTests

NEWS = Provider("news", Account("news.example", connections=4))
# Whatever is shut down inside a storm must not leave its janitor behind.
LEAVES_A_THREAD: dict[Any, Any] = {JanitorNeverStops: LeakBound}
# Whatever compares a speed knows whose it is.
WRONG_SPEED: dict[Any, Any] = {FirstOfTheResult: Failed}


@scenario(
    SpeedTests,
    catches={
        FreshClientEach: (Calls, MaxInFlight),
        NoSingleFlight: (Calls, MaxInFlight),
        Serialised: Calls,
        **LEAVES_A_THREAD,
        **WRONG_SPEED,
    },
)
def five_ask_and_one_is_dialled(sim: Simulation, cls: type[SpeedTests[Client]]) -> None:
    """Five ask for the same provider at once: one dial, one test, one answer for all."""
    exchange = Exchange(sim)

    with sim.storm(
        Calls(exchange.dials, 1),
        Calls(exchange.tests, 1),
        MaxInFlight(exchange.clients, 1, reached=True),
        MaxInFlight(exchange.slots, NEWS.account.connections, reached=True),
        Elapsed(0.100 + 0.400),
        LeakBound(),
    ) as storm:
        tests = cls(exchange.build, exchange.measure)
        storm.spawn(tests.run, NEWS, copies=5)
        sim.advance(1.0)
        tests.shutdown()

    assert storm.results() == [4.0] * 5
    assert exchange.clients.value == 0


@scenario(
    SpeedTests,
    catches={
        FreshClientEach: Calls,
        ClientOfTheRequest: Failed,
        **LEAVES_A_THREAD,
        **WRONG_SPEED,
    },
)
def client_outlives_its_request(sim: Simulation, cls: type[SpeedTests[Client]]) -> None:
    """The next request finds the client of the first alive, though the first is over."""
    exchange = Exchange(sim)

    def request(tests: SpeedTests[Client]) -> float:
        scope = Scope()
        speed = tests.run(NEWS, scope)
        # What a handler does when it has answered.
        scope.cancel()
        return speed

    with sim.storm(
        Calls(exchange.dials, 1),
        MaxInFlight(exchange.clients, 1, reached=True),
        # The second request, and its test over the client of the first.
        Elapsed(10.0 + 0.400),
        LeakBound(),
    ) as storm:
        tests = cls(exchange.build, exchange.measure)
        storm.spawn(request, tests)
        sim.advance(10.0)
        storm.spawn(request, tests)
        sim.advance(10.0)
        tests.shutdown()

    assert storm.results() == [4.0, 4.0]


@scenario(
    SpeedTests,
    catches={
        FreshClientEach: (Calls, Failed),
        ClientOfTheRequest: Failed,
        SlidingTtl: (Calls, Failed),
        HitAtTheExpiry: (Calls, Failed),
        **LEAVES_A_THREAD,
        **WRONG_SPEED,
    },
)
def clients_are_shared_for_five_minutes(sim: Simulation, cls: type[SpeedTests[Client]]) -> None:
    """A client is handed out until a microsecond before its expiry, used meanwhile or not."""
    exchange = Exchange(sim)
    # Dialled at 0 in 0.1 s, then at its expiry, then a microsecond after the second expiry.
    first_expiry = 0.100 + 300.0
    second_expiry = first_expiry + 0.100 + 300.0
    visits = [0.0, 200.0, first_expiry - 1e-6, first_expiry, second_expiry + 1e-6]

    def visitor(tests: SpeedTests[Client]) -> list[float]:
        return [visit(tests, at) for at in visits]

    def visit(tests: SpeedTests[Client], at: float) -> float:
        # The microsecond before the expiry is over at the expiry: its test takes no time.
        exchange.tests.set_default(Behaviour(latency=0.0))
        time.sleep(max(0.0, at - sim.now()))
        return tests.run(NEWS)

    with sim.storm(
        Calls(exchange.dials, 3),
        MaxInFlight(exchange.clients, 1, reached=True),
        # The last visit, and its dial.
        Elapsed(second_expiry + 1e-6 + 0.100),
        LeakBound(),
    ) as storm:
        tests = cls(exchange.build, exchange.measure)
        storm.spawn(visitor, tests)
        sim.advance(700.0)
        tests.shutdown()

    assert storm.results() == [[4.0] * 5]
    assert rounded(exchange.dials.arrivals()) == rounded([0.0, first_expiry, second_expiry + 1e-6])
    # The first at its expiry, for the second; the second by the tick at 660; the last at the end.
    assert rounded(exchange.closed_at) == rounded([first_expiry, second_expiry + 1e-6, 700.0])


@scenario(
    SpeedTests,
    catches={
        FreshClientEach: Failed,
        JanitorNeverStarts: Failed,
        JanitorIsSlow: Failed,
        **LEAVES_A_THREAD,
    },
)
def idle_client_goes_at_the_second_tick(sim: Simulation, cls: type[SpeedTests[Client]]) -> None:
    """Dialled at a tick, a client survives the tick of its expiry and goes a minute later."""
    exchange = Exchange(sim, dial=0.0, test=0.0)

    with sim.storm(
        Calls(exchange.dials, 1),
        MaxInFlight(exchange.clients, 1, reached=True),
        # Nobody waits for the client to go.
        Elapsed(0.0),
        LeakBound(),
    ) as storm:
        tests = cls(exchange.build, exchange.measure)
        storm.spawn(tests.run, NEWS)
        sim.advance(390.0)
        tests.shutdown()

    # Expiry at 300 s is neither a hit nor swept: 300 + 300 / 5.
    assert exchange.closed_at == [300.0 + 60.0]


@scenario(
    SpeedTests,
    catches={
        FreshClientEach: (MaxInFlight, Failed),
        JanitorNeverStarts: Failed,
        JanitorIsSlow: Failed,
        ConstantKey: (Calls, Failed),
        ClosesAgain: Failed,
        **LEAVES_A_THREAD,
    },
)
def sweep_takes_what_has_expired(sim: Simulation, cls: type[SpeedTests[Client]]) -> None:
    """Two expired and one fresh client: the sweep leaves the fresh one, the shutdown none."""
    exchange = Exchange(sim, dial=0.0, test=0.0)
    early, other, late = (Provider(each, Account(f"{each}.example")) for each in "abc")

    with sim.storm(
        Calls(exchange.dials, 3),
        MaxInFlight(exchange.clients, 3, reached=True),
        # The last comes at 200 s, and waits for nothing.
        Elapsed(200.0),
        LeakBound(),
    ) as storm:
        tests = cls(exchange.build, exchange.measure)
        storm.spawn(tests.run, early)
        storm.spawn(tests.run, other)
        sim.advance(200.0)
        storm.spawn(tests.run, late)
        sim.advance(170.0)
        sizes = [tests.size]
        tests.shutdown()

    assert [*sizes, tests.size] == [1, 0]
    assert exchange.closed_at == [360.0, 360.0, 370.0]
    assert exchange.is_balanced


@scenario(
    SpeedTests,
    catches={
        DialsUnderTheLock: MaxInFlight,
        ConstantKey: (Calls, MaxInFlight),
        Serialised: MaxInFlight,
    },
)
def slow_dial_delays_nobody_else(sim: Simulation, cls: type[SpeedTests[Client]]) -> None:
    """One provider takes ten seconds to answer; the test of another is over long before."""
    exchange = Exchange(sim)
    slow = Provider("slow", Account("slow.example"))
    exchange.dials.set("slow", Behaviour(latency=10.0))
    done: list[float] = []
    # Whether it stops is for the other storms to say.
    sim.background("janitor")
    tests = cls(exchange.build, exchange.measure)

    def request() -> None:
        tests.run(NEWS)
        done.append(sim.now())

    with sim.storm(
        Calls(exchange.dials, 2),
        MaxInFlight(exchange.dials, 2, reached=True),
        Elapsed(10.0 + 0.400),
        LeakBound(),
    ) as storm:
        storm.spawn(tests.run, slow)
        sim.settle()
        storm.spawn(request)

    tests.shutdown()
    assert rounded(done) == [0.100 + 0.400]


@scenario(
    SpeedTests,
    catches={
        KeyByHost: Calls,
        KeyById: Calls,
        ConstantKey: Calls,
        FreshClientEach: (Calls, MaxInFlight),
        NoSingleFlight: (Calls, MaxInFlight),
        DialsUnderTheLock: Elapsed,
        Serialised: (Calls, MaxInFlight, Elapsed),
        **LEAVES_A_THREAD,
        **WRONG_SPEED,
    },
)
def accounts_share_nothing(sim: Simulation, cls: type[SpeedTests[Client]]) -> None:
    """Two accounts at one host, one of them changed: three dials; a new name shares the old one."""
    exchange = Exchange(sim)
    mine = Provider("mine", Account("news.example", user="me", connections=4))
    renamed = Provider("mine", mine.account, display_name="my provider")
    changed = Provider(
        "mine",
        Account("news.example", user="me", password="new", connections=8),  # noqa: S106 - nobody's
    )
    yours = Provider("yours", Account("news.example", user="you", connections=2))

    with sim.storm(
        Calls(exchange.dials, 3),
        MaxInFlight(exchange.clients, 3, reached=True),
        MaxInFlight(exchange.slots, 4 + 8 + 2, reached=True),
        Elapsed(0.100 + 0.400),
        LeakBound(),
    ) as storm:
        tests = cls(exchange.build, exchange.measure)
        for each in (mine, renamed, changed, yours):
            storm.spawn(tests.run, each)
        sim.advance(1.0)
        tests.shutdown()

    assert storm.results() == [4.0, 4.0, 8.0, 2.0]


@scenario(
    SpeedTests,
    catches={
        LeaderTakesAllDown: Elapsed,
        FreshClientEach: (Calls, MaxInFlight),
        NoSingleFlight: (Calls, MaxInFlight),
        Serialised: (Calls, Elapsed),
        **LEAVES_A_THREAD,
        **WRONG_SPEED,
    },
)
def leader_leaves_and_the_rest_is_served(sim: Simulation, cls: type[SpeedTests[Client]]) -> None:
    """Who came first goes away in mid-test; those who came after get the answer of that test."""
    exchange = Exchange(sim)
    scope = Scope()
    left: list[float] = []

    def leader(tests: SpeedTests[Client]) -> float:
        try:
            return tests.run(NEWS, scope)
        except (CancelledError, SpeedTestError):
            left.append(sim.now())
            return 4.0

    with sim.storm(
        Calls(exchange.tests, 1),
        MaxInFlight(exchange.clients, 1, reached=True),
        Elapsed(0.100 + 0.400),
        LeakBound(),
    ) as storm:
        tests = cls(exchange.build, exchange.measure)
        storm.spawn(leader, tests)
        sim.settle()
        storm.spawn(tests.run, NEWS, copies=2)
        sim.advance(0.300)
        scope.cancel()
        sim.advance(1.0)
        tests.shutdown()

    assert storm.results() == [4.0] * 3
    assert left == [0.300]


@scenario(
    SpeedTests,
    catches={
        FreshClientEach: MaxInFlight,
        NoSingleFlight: MaxInFlight,
        LeaderTakesAllDown: Failed,
        Serialised: (MaxInFlight, Elapsed, Failed),
        **LEAVES_A_THREAD,
    },
)
def nobody_waits_and_the_test_ends(sim: Simulation, cls: type[SpeedTests[Client]]) -> None:
    """When the last of two has left, the test is over at that instant, and the next is anew."""
    exchange = Exchange(sim)
    scope = Scope()
    busy: list[int] = []

    with sim.storm(
        MaxInFlight(exchange.tests, 1, reached=True), Elapsed(1.0 + 0.400), LeakBound()
    ) as storm:
        tests = cls(exchange.build, exchange.measure)
        storm.spawn(tests.run, NEWS, scope, copies=2)
        sim.advance(0.300)
        scope.cancel()
        sim.settle()
        busy.append(exchange.tests.in_flight)
        sim.advance(0.700)
        # The client of the test that was given up is still good.
        storm.spawn(tests.run, NEWS)
        sim.advance(1.0)
        tests.shutdown()

    assert [type(error) for error in storm.errors()] == [CancelledError] * 2 + [type(None)]
    assert busy == [0]


@scenario(
    SpeedTests,
    catches={
        SweepClosesInUse: Failed,
        ClientOfTheRequest: Failed,
        JanitorNeverStarts: Failed,
        JanitorIsSlow: Failed,
        SlidingTtl: Failed,
        **LEAVES_A_THREAD,
        **WRONG_SPEED,
    },
)
def sweep_spares_who_is_in_use(sim: Simulation, cls: type[SpeedTests[Client]]) -> None:
    """A client expires in the middle of a test: the sweep lets it go, and its user closes it."""
    exchange = Exchange(sim, dial=0.0, test=0.0)

    with sim.storm(
        Calls(exchange.tests, 2),
        MaxInFlight(exchange.clients, 1, reached=True),
        # The second test starts just before the expiry at 300 s and takes 100 s.
        Elapsed(299.0 + 100.0),
        LeakBound(),
    ) as storm:
        tests = cls(exchange.build, exchange.measure)
        storm.spawn(tests.run, NEWS)
        sim.advance(299.0)
        exchange.tests.set_default(Behaviour(latency=100.0))
        storm.spawn(tests.run, NEWS)
        sim.advance(150.0)
        tests.shutdown()

    assert storm.results() == [4.0, 4.0]
    assert exchange.closes[-1][1] == 299.0 + 100.0
    assert exchange.is_balanced


@scenario(
    SpeedTests,
    catches={
        InsertsAfterShutdown: Failed,
        ClosesAgain: Failed,
        ConstantKey: Failed,
        **LEAVES_A_THREAD,
    },
)
def shutdown_at_any_moment(sim: Simulation, cls: type[SpeedTests[Client]]) -> None:
    """Two shutdowns beside requests: whoever comes first, no client and no thread is left."""
    exchange = Exchange(sim, dial=0.0, test=0.0)
    other = Provider("other", Account("other.example"))

    def late(tests: SpeedTests[Client]) -> float:
        tests.shutdown()
        return tests.run(NEWS)

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        tests = cls(exchange.build, exchange.measure)
        storm.spawn(tests.run, NEWS)
        storm.spawn(tests.run, other)
        storm.spawn(tests.shutdown)
        storm.spawn(late, tests)

    errors = storm.errors()
    assert all(isinstance(error, ShutdownError | None) for error in errors)
    assert exchange.clients.value == 0
    assert exchange.is_balanced


@scenario(
    SpeedTests,
    catches={
        ConstantKey: MaxInFlight,
        ClientOfTheRequest: Failed,
        SweepClosesInUse: Failed,
        Serialised: (Deadlock, MaxInFlight),
        **LEAVES_A_THREAD,
        **WRONG_SPEED,
    },
)
def sweeps_beside_visitors(sim: Simulation, cls: type[SpeedTests[Client]]) -> None:
    """Two providers are tested while their clients expire all the time: none dies in use."""
    exchange = Exchange(sim, dial=0.0, test=0.020)
    providers = iter([Provider(each, Account(f"{each}.example")) for each in "ab"])

    def visitor(tests: SpeedTests[Client]) -> list[float]:
        provider = next(providers)
        return [tests.run(provider) for _ in range(2)]

    def sweeper(tests: SpeedTests[Client]) -> None:
        # In the middle of the second test, which began with a client that has expired by now.
        time.sleep(0.035)
        tests.sweep()

    with sim.storm(
        MaxInFlight(exchange.tests, 2, reached=True), Elapsed(2 * 0.020), LeakBound()
    ) as storm:
        # A client lives for a test and a half, so that each second test is over after its expiry.
        tests = cls(exchange.build, exchange.measure, ttl=0.030)
        storm.spawn(visitor, tests, copies=2)
        storm.spawn(sweeper, tests)
        sim.advance(0.050)
        tests.shutdown()

    assert storm.results() == [[4.0] * 2, [4.0] * 2, None]
    assert exchange.is_balanced


@scenario(
    SpeedTests,
    catches={
        LiveByHost: Calls,
        LiveNotShared: (Calls, MaxInFlight),
        FreshClientEach: Calls,
        NoSingleFlight: (Calls, MaxInFlight),
        Serialised: (Calls, Elapsed),
        **LEAVES_A_THREAD,
        **WRONG_SPEED,
    },
)
def live_pool_is_tested_and_nothing_dialled(sim: Simulation, cls: type[SpeedTests[Client]]) -> None:
    """A pool that has the provider is tested, once for three who ask; nothing is dialled."""
    exchange, live = Exchange(sim), {}

    with sim.storm(
        Calls(exchange.dials, 0),
        Calls(exchange.tests, 1),
        MaxInFlight(exchange.tests, 1, reached=True),
        Elapsed(0.400),
        LeakBound(),
    ) as storm:
        live[NEWS.address] = Client(exchange, NEWS, Scope(), 0)
        tests = cls(exchange.build, exchange.measure, live=live.get)
        storm.spawn(tests.run, NEWS, copies=3)
        sim.advance(1.0)
        tests.shutdown()

    assert storm.results() == [4.0] * 3
    # The pool's client is not the coordinator's to close.
    assert exchange.closes == []


@scenario(
    SpeedTests,
    catches={
        DialsAfterAnError: Calls,
        LiveByHost: Calls,
        FreshClientEach: Calls,
        LiveNotShared: Failed,
        **LEAVES_A_THREAD,
    },
)
def error_of_the_live_pool_is_the_answer(sim: Simulation, cls: type[SpeedTests[Client]]) -> None:
    """A pool that refuses the test is not dialled round: that would be one connection too many."""
    exchange, live = Exchange(sim), {}
    exchange.tests.set_default(Behaviour(latency=0.400, error=TransientError))

    with sim.storm(
        Calls(exchange.dials, 0),
        MaxInFlight(exchange.tests, 1, reached=True),
        Elapsed(0.400),
        LeakBound(),
    ) as storm:
        live[NEWS.address] = Client(exchange, NEWS, Scope(), 0)
        tests = cls(exchange.build, exchange.measure, live=live.get)
        storm.spawn(tests.run, NEWS)
        sim.advance(1.0)
        tests.shutdown()

    assert isinstance(storm.errors()[0], SpeedTestError)


@scenario(
    SpeedTests,
    catches={
        KeepsAFailure: Calls,
        FreshClientEach: Calls,
        NoSingleFlight: Elapsed,
        DialsUnderTheLock: Elapsed,
        DialsAfterAnError: Elapsed,
        Serialised: Elapsed,
        **LEAVES_A_THREAD,
        **WRONG_SPEED,
    },
)
def failed_dial_is_forgotten(sim: Simulation, cls: type[SpeedTests[Client]]) -> None:
    """A dial fails, and all who waited learn of it; who comes next dials again."""
    exchange = Exchange(sim)
    exchange.dials.script("news", Behaviour(latency=0.100, error=TransientError))

    def first(tests: SpeedTests[Client]) -> float:
        try:
            return tests.run(NEWS)
        except SpeedTestError:
            return 0.0

    with sim.storm(
        Calls(exchange.dials, 2),
        MaxInFlight(exchange.clients, 1, reached=True),
        Elapsed(1.0 + 0.100 + 0.400),
        LeakBound(),
    ) as storm:
        tests = cls(exchange.build, exchange.measure)
        storm.spawn(first, tests, copies=2)
        sim.advance(1.0)
        storm.spawn(tests.run, NEWS)
        sim.advance(1.0)
        tests.shutdown()

    assert storm.results() == [0.0, 0.0, 4.0]


def rounded(times: list[float]) -> list[float]:
    """Return times to the nanosecond, as the virtual clock counts them."""
    return [round(each, 9) for each in times]
