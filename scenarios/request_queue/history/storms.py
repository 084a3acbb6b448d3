"""What the versions of a year and a half broke, before today's queue kept it."""

from collections import Counter
from collections.abc import Iterable

from harness import (
    Calls,
    Elapsed,
    Failed,
    LeakBound,
    MaxInFlight,
    Simulation,
    Unhandled,
    scenario,
)
from scenarios.request_queue.wsgi.reference import Environ, RequestQueue
from scenarios.request_queue.wsgi.visitors import Site

from . import broken


@scenario(
    RequestQueue,
    catches={
        broken.LoadsThenAdds: (Calls, MaxInFlight),
        broken.RefusesTheFifth: Failed,
        broken.SleepsUnderTheLock: Elapsed,
        broken.RefusesInSilence: Failed,
        broken.HoldsASlotInLine: (Calls, Failed),
        broken.HandlerInAThread: Unhandled,
        broken.TwoTokens: (Calls, MaxInFlight),
        broken.SleepsBeforeTheRedirect: Elapsed,
        broken.SwitchedOff: (Calls, MaxInFlight),
        broken.Serialised: Calls,
    },
)
def crowd_of_six(sim: Simulation, cls: type[RequestQueue]) -> None:
    """Six requests for one page: one fetch, and all the others are sent back when it ends."""
    origin = sim.pool("origin", latency=2.0)
    site = Site(cls, origin)

    with sim.storm(
        Calls(origin, 1), MaxInFlight(origin, 1, reached=True), Elapsed(2.0), LeakBound()
    ) as storm:
        storm.spawn(site.get, "/bench", copies=6)

    assert Counter(storm.results()) == {(200, 2.0): 1, (302, 2.0): 5}
    assert site.queue.in_course == 0


def failing(site: Site, environ: Environ) -> Iterable[bytes]:
    """A page that waits for its turn and fails."""
    site.queue.wait_turn(environ)
    message = "no page"
    raise LookupError(message)


@scenario(
    RequestQueue,
    catches={broken.ReleasesAfterSuccess: Failed, broken.HandlerInAThread: Unhandled},
)
def bucket_survives_a_page_that_fails(sim: Simulation, cls: type[RequestQueue]) -> None:
    """A page fails, and who comes later finds its bucket as if nothing had been."""
    site = Site(cls, sim.pool("origin"), failing)

    with sim.storm(LeakBound()) as storm:
        storm.spawn(site.get, "/bench")
        sim.advance(1.0)
        storm.spawn(site.get, "/bench")

    assert [status for status, _ in storm.results()] == [500, 500]


@scenario(
    RequestQueue,
    catches={
        broken.LoadsThenAdds: (Calls, MaxInFlight),
        broken.WaitsNineThenRedirects: Failed,
        broken.HandlerInAThread: Unhandled,
        broken.TwoTokens: (Calls, MaxInFlight),
        broken.SleepsUnderTheLock: Failed,
        broken.SwitchedOff: (Calls, MaxInFlight),
        broken.Serialised: Calls,
    },
)
def slow_fetch_is_given_up(sim: Simulation, cls: type[RequestQueue]) -> None:
    """The fetch takes ten seconds: who waits is told after six that the load is heavy."""
    origin = sim.pool("origin", latency=10.0)
    site = Site(cls, origin)

    with sim.storm(Calls(origin, 1), MaxInFlight(origin, 1, reached=True), LeakBound()) as storm:
        storm.spawn(site.get, "/bench", copies=3)

    assert Counter(storm.results()) == {(200, 10.0): 1, (504, 6.0): 2}


@scenario(
    RequestQueue,
    catches={
        broken.LoadsThenAdds: MaxInFlight,
        broken.TwentySixBuckets: MaxInFlight,
        broken.HoldsASlotInLine: (MaxInFlight, Elapsed),
        broken.HandlerInAThread: Unhandled,
        broken.TwoTokens: MaxInFlight,
        broken.SleepsUnderTheLock: Elapsed,
        broken.SleepsBeforeTheRedirect: Elapsed,
        broken.SwitchedOff: MaxInFlight,
        broken.Serialised: MaxInFlight,
    },
)
def two_pages_are_fetched_at_once(sim: Simulation, cls: type[RequestQueue]) -> None:
    """A line for one page, and a page of another bucket: neither waits for the other."""
    origin = sim.pool("origin", latency=2.0)
    site = Site(cls, origin)

    with sim.storm(MaxInFlight(origin, 2, reached=True), Elapsed(2.0), LeakBound()) as storm:
        storm.spawn(site.get, "/bench", copies=3)
        sim.settle()
        storm.spawn(site.get, "/x4")

    assert Counter(storm.results()) == {(200, 2.0): 2, (302, 2.0): 2}


@scenario(RequestQueue, catches={broken.NeedsATicket: Calls})
def page_past_the_queue_is_served(sim: Simulation, cls: type[RequestQueue]) -> None:
    """A page that is served where there is no middleware has its turn at once."""
    origin = sim.pool("origin", latency=2.0)
    site = Site(cls, origin)

    with sim.storm(Calls(origin, 1), Elapsed(2.0), LeakBound()) as storm:
        storm.spawn(site.get_unqueued, "/bench")

    assert storm.results() == [(200, 2.0)]
