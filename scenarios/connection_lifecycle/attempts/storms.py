"""What one article costs: two calls at most, 50 to 150 ms apart, and no byte out of its place.

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
    scenario,
)
from scenarios.connection_lifecycle.film import Film
from scenarios.connection_lifecycle.reader.reference import (
    Attempts,
    CorruptionError,
    FetchError,
    ResponseError,
)
from scenarios.connection_lifecycle.scope import Scope

from .broken import (
    ConstantDelay,
    DeafWhilePausing,
    DoubledBackoff,
    EqualSeeds,
    FiveAttempts,
    MissingByText,
    NoAttemptTimeout,
    OneAttempt,
    PatientAfterDeadline,
    RetriesMissing,
    Serialised,
    ThreeAttempts,
    TruncatedAccepted,
)


@scenario(
    Attempts,
    catches={
        FiveAttempts: Calls,
        ThreeAttempts: Calls,
        OneAttempt: Calls,
        ConstantDelay: Failed,
        DoubledBackoff: Failed,
    },
)
def failing_article_costs_two_calls(sim: Simulation, cls: type[Attempts]) -> None:
    """An article that always fails costs two calls, 50 to 150 ms apart, and then an error."""
    origin = sim.pool("origin")
    origin.set_default(Behaviour(latency=0.005, error=TransientError))
    attempts = cls(Scope())

    with sim.storm(Calls(origin, 2), MaxInFlight(origin, 1, reached=True), LeakBound()) as storm:
        storm.spawn(attempts.fetch, origin, "article", 15)

    (pause,) = pauses(origin.arrivals("article"), latency=0.005)
    assert isinstance(storm.errors()[0], FetchError)
    assert 0.050 <= pause <= 0.150
    # Two calls of 5 ms and the pause: the error comes at once.
    assert round(storm.elapsed, 9) == round(2 * 0.005 + pause, 9)


@scenario(
    Attempts,
    catches={
        FiveAttempts: Calls,
        ThreeAttempts: Calls,
        OneAttempt: Calls,
        ConstantDelay: Failed,
        DoubledBackoff: Failed,
        EqualSeeds: Failed,
    },
)
def retries_spread(sim: Simulation, cls: type[Attempts]) -> None:
    """Four readers fail at the same instant, and come back each at an instant of its own."""
    film = Film(4, 16)
    origin = sim.pool("origin")
    origin.set_default(Behaviour(latency=0.001, error=TransientError))

    with sim.storm(
        Calls(origin, 4 * 2), MaxInFlight(origin, 4, reached=True), LeakBound()
    ) as storm:
        for each in film.ids:
            storm.spawn(cls(Scope()).fetch, origin, each, 15)

    delays = [pause for each in film.ids for pause in pauses(origin.arrivals(each), latency=0.001)]
    # Two calls of 1 ms and the longest pause.
    assert round(storm.elapsed, 9) == round(2 * 0.001 + max(delays), 9)
    assert [type(error) for error in storm.errors()] == [FetchError] * 4
    assert min(delays) >= 0.050
    assert max(delays) <= 0.150
    assert len(set(delays)) == 4


@scenario(
    Attempts,
    catches={
        OneAttempt: (Calls, Unhandled),
        TruncatedAccepted: (Calls, Failed),
        ConstantDelay: Failed,
        DoubledBackoff: Failed,
        Serialised: MaxInFlight,
    },
)
def second_attempt_recovers(sim: Simulation, cls: type[Attempts]) -> None:
    """A call that fails and a payload that is cut short are each asked for again; no byte moves."""
    film = Film(3, 64)
    cut, failing, _ = film.ids
    origin = sim.pool("origin", latency=0.010, payload=film.bodies.__getitem__)
    origin.script(cut, Behaviour(latency=0.010, payload=film.bodies.__getitem__, truncate=40))
    origin.script(failing, Behaviour(latency=0.010, error=TransientError))
    attempts = cls(Scope())

    with sim.storm(
        Calls(origin, 3 + 2), MaxInFlight(origin, 3, reached=True), LeakBound()
    ) as storm:
        for each in film.ids:
            storm.spawn(attempts.fetch, origin, each, 63)

    delays = [
        pause for each in (cut, failing) for pause in pauses(origin.arrivals(each), latency=0.010)
    ]
    assert storm.results() == list(film.bodies.values())
    assert min(delays) >= 0.050
    assert max(delays) <= 0.150
    # Two calls of 10 ms and the longer pause.
    assert round(storm.elapsed, 9) == round(2 * 0.010 + max(delays), 9)


@scenario(
    Attempts,
    catches={
        FiveAttempts: Calls,
        ThreeAttempts: Calls,
        OneAttempt: Calls,
        TruncatedAccepted: Calls,
        ConstantDelay: Failed,
        DoubledBackoff: Failed,
    },
)
def empty_article_costs_two_calls(sim: Simulation, cls: type[Attempts]) -> None:
    """An article that always comes empty costs two calls, and then an error that says why."""
    film = Film(1, 64)
    (wanted,) = film.ids
    origin = sim.pool("origin")
    origin.set_default(Behaviour(latency=0.005, payload=film.bodies.__getitem__, truncate=0))
    attempts = cls(Scope())

    with sim.storm(Calls(origin, 2), MaxInFlight(origin, 1, reached=True), LeakBound()) as storm:
        storm.spawn(attempts.fetch, origin, wanted, 63)

    (error,), (pause,) = storm.errors(), pauses(origin.arrivals(wanted), latency=0.005)
    assert isinstance(error, FetchError)
    assert [type(each) for each in error.exceptions] == [CorruptionError] * 2
    assert "data corruption detected" in str(error.exceptions[0])
    assert 0.050 <= pause <= 0.150
    # Two calls of 5 ms and the pause: the error comes at once.
    assert round(storm.elapsed, 9) == round(2 * 0.005 + pause, 9)


@scenario(
    Attempts,
    catches={
        RetriesMissing: Calls,
        MissingByText: Calls,
        Serialised: (MaxInFlight, Elapsed),
    },
)
def missing_article_is_asked_for_once(sim: Simulation, cls: type[Attempts]) -> None:
    """An article that does not exist, by either code, is not asked for again; the rest is there."""
    film = Film(3, 16)
    origin = sim.pool("origin", latency=0.030, payload=film.bodies.__getitem__)
    origin.set(film.ids[0], Behaviour(latency=0.030, error=ResponseError(430, "no such article")))
    origin.set(film.ids[1], Behaviour(latency=0.030, error=ResponseError(423, "no such number")))
    attempts = cls(Scope())

    with sim.storm(
        Calls(origin, 3), Elapsed(0.030), MaxInFlight(origin, 3, reached=True), LeakBound()
    ) as storm:
        for each in film.ids:
            storm.spawn(attempts.fetch, origin, each, 15)

    *missing, there = storm.errors()
    assert [isinstance(each, FetchError) and each.is_missing for each in missing] == [True, True]
    assert there is None
    assert storm.results()[2] == film.bodies[film.ids[2]]


@scenario(
    Attempts,
    catches={
        FiveAttempts: Calls,
        ThreeAttempts: Calls,
        OneAttempt: Calls,
        PatientAfterDeadline: Elapsed,
        NoAttemptTimeout: Deadlock,
    },
)
def hung_article_fails_after_two_timeouts(sim: Simulation, cls: type[Attempts]) -> None:
    """A connection that never answers is given up after 15 s, tried once more, and fails."""
    origin = sim.pool("origin")
    origin.set_default(Behaviour(hang=True))
    attempts = cls(Scope())

    with sim.storm(
        Calls(origin, 2), Elapsed(2 * 15.0), MaxInFlight(origin, 1, reached=True), LeakBound()
    ) as storm:
        storm.spawn(attempts.fetch, origin, "article", 15)

    assert isinstance(storm.errors()[0], FetchError)
    assert origin.arrivals("article") == [0.0, 15.0]


@scenario(
    Attempts,
    catches={
        DeafWhilePausing: (Calls, Elapsed),
        ConstantDelay: Calls,
        OneAttempt: Elapsed,
        Serialised: (Calls, MaxInFlight),
    },
)
def cancellation_ends_the_pause(sim: Simulation, cls: type[Attempts]) -> None:
    """Whoever is cancelled between two attempts never makes the second, and is gone at once."""
    origin, scope = sim.pool("origin"), Scope()
    origin.set_default(Behaviour(latency=0.050, error=TransientError))
    attempts = cls(scope)

    with sim.storm(
        Calls(origin, 2), MaxInFlight(origin, 2, reached=True), Elapsed(0.075), LeakBound()
    ) as storm:
        storm.spawn(attempts.fetch, origin, "article", 15, copies=2)
        # Both have failed at 50 ms, and neither asks again before 100 ms.
        sim.advance(0.075)
        scope.cancel()

    assert [type(error) for error in storm.errors()] == [FetchError] * 2


def pauses(arrivals: list[float], *, latency: float) -> list[float]:
    """Return the seconds between the end of each call and the next, to the nanosecond."""
    return [round(after - before - latency, 9) for before, after in pairwise(arrivals)]
