"""The rows of the table with its sixty-four requests, in both flavours, fixed and as it leaked."""

from collections import Counter
from typing import Any

import pytest

from harness import AsyncSimulation, Calls, Elapsed, LeakBound, Scope, Simulation, explore
from scenarios.request_queue.asgi import broken as asgi_broken
from scenarios.request_queue.asgi.reference import RequestQueue
from scenarios.request_queue.asgi.visitors import BLANK, Site
from scenarios.request_queue.wsgi import broken as wsgi_broken
from scenarios.request_queue.wsgi.reference import RequestQueue as ThreadedQueue
from scenarios.request_queue.wsgi.visitors import Patient
from scenarios.request_queue.wsgi.visitors import Site as ThreadedSite

pytestmark = pytest.mark.one_ground

CROWD = 64
LEAVERS = 20
GONE = {(BLANK, 1.0): LEAVERS}
LEFT = {(200, 2.0): 1, (302, 2.0): CROWD - LEAVERS - 1, **GONE}
# Latency of the fetch, patience, and what becomes of the crowd; with latency 0 the bucket is held.
ROWS: list[tuple[float, float, dict[tuple[int, float], int]]] = [
    (2.0, 6.0, {(200, 2.0): 1, (302, 2.0): 63}),
    (10.0, 6.0, {(200, 10.0): 1, (504, 6.0): 63}),
    (0.0, 0.005, {(504, 0.005): 64}),
]


@pytest.mark.parametrize(("latency", "patience", "outcomes"), ROWS)
@pytest.mark.parametrize("cls", [RequestQueue, asgi_broken.PlainRemoval])
def test_a_crowd_of_tasks(
    cls: type[RequestQueue],
    latency: float,
    patience: float,
    outcomes: dict[tuple[int, float], int],
) -> None:
    """Each is told what the table says, when it says so; only the leak differs."""

    async def crowd(sim: AsyncSimulation) -> None:
        site = Site(cls, sim.pool("origin", latency=latency), acquire_timeout=patience)
        assert latency or site.queue.bucket("/queue-load").try_acquire()
        ended = max(at for _, at in outcomes)
        async with sim.storm(Elapsed(ended), LeakBound()) as storm:
            storm.spawn(site.get, "/queue-load", copies=CROWD)
            await sim.settle()
            assert site.queue.in_course == CROWD
        assert Counter(storm.results()) == outcomes
        assert site.queue.in_course == leaked(cls, outcomes)

    assert explore(crowd, schedules=10).verdict == "holds"


@pytest.mark.parametrize(("latency", "patience", "outcomes"), ROWS)
@pytest.mark.parametrize("cls", [ThreadedQueue, wsgi_broken.PlainRemoval])
def test_a_crowd_of_threads(
    cls: type[ThreadedQueue],
    latency: float,
    patience: float,
    outcomes: dict[tuple[int, float], int],
) -> None:
    """As the tasks."""

    def crowd(sim: Simulation) -> None:
        site = ThreadedSite(cls, sim.pool("origin", latency=latency), acquire_timeout=patience)
        assert latency or site.queue.bucket("/queue-load").acquire_or_join() is None
        ended = max(at for _, at in outcomes)
        with sim.storm(Elapsed(ended), LeakBound()) as storm:
            storm.spawn(site.get, "/queue-load", copies=CROWD)
            sim.settle()
            assert site.queue.in_course == CROWD
        assert Counter(storm.results()) == outcomes
        assert site.queue.in_course == leaked(cls, outcomes)

    assert explore(crowd, schedules=10).verdict == "holds"


@pytest.mark.parametrize(
    ("cls", "verdict"),
    [(RequestQueue, "holds"), (asgi_broken.ServesItsLineFromTheEnd, "Failed")],
)
def test_tasks_leave_in_the_order_in_which_they_came(cls: type[RequestQueue], verdict: str) -> None:
    """The first row: who fetches is first, and the sixty-three follow as they stand in line."""

    async def crowd(sim: AsyncSimulation) -> None:
        site = Site(cls, sim.pool("origin", latency=2.0))
        async with sim.storm(Elapsed(2.0), LeakBound()) as storm:
            storm.spawn(site.get, "/queue-load", copies=CROWD)
        storm.results()
        assert len(site.arrived) == CROWD
        assert site.answered == site.arrived

    assert explore(crowd, schedules=10).verdict == verdict


@pytest.mark.parametrize(
    ("cls", "verdict"),
    [(ThreadedQueue, "holds"), (wsgi_broken.ServesItsLineFromTheEnd, "Failed")],
)
def test_threads_leave_in_the_order_in_which_they_came(
    cls: type[ThreadedQueue], verdict: str
) -> None:
    """As the tasks; each joins the line when the one before it stands there, and all leave at 2."""

    def crowd(sim: Simulation) -> None:
        site = ThreadedSite(cls, sim.pool("origin", latency=2.0))
        with sim.storm(Elapsed(2.0), LeakBound()) as storm:
            for number in range(CROWD):
                storm.spawn(site.get, "/queue-load", Patient(site, number))
                sim.settle()
        assert storm.results() == [(200, 2.0)] + [(302, 2.0)] * (CROWD - 1)
        assert site.left == site.joined == list(range(1, CROWD))

    assert explore(crowd, schedules=10).verdict == verdict


@pytest.mark.parametrize("cls", [RequestQueue, asgi_broken.PlainRemoval])
def test_tasks_that_leave_the_crowd(cls: type[RequestQueue]) -> None:
    """The third row: the gauge falls by the twenty who leave at 1, and only the leak differs."""

    async def crowd(sim: AsyncSimulation) -> None:
        origin = sim.pool("origin", latency=2.0)
        site = Site(cls, origin)
        async with sim.storm(Calls(origin, 1), Elapsed(2.0), LeakBound()) as storm:
            storm.spawn(site.get, "/queue-load", copies=CROWD - LEAVERS)
            await sim.settle()
            storm.spawn(site.get, "/queue-load", 1.0, copies=LEAVERS)
            await sim.advance(0.999)
            assert site.queue.in_course == CROWD
            await sim.advance(0.002)
            assert site.queue.in_course == CROWD - LEAVERS + leaked(cls, GONE)
        assert Counter(storm.results()) == LEFT
        assert site.queue.in_course == leaked(cls, LEFT)

    assert explore(crowd, schedules=10).verdict == "holds"


@pytest.mark.parametrize("cls", [ThreadedQueue, wsgi_broken.PlainRemoval])
def test_threads_that_leave_the_crowd(cls: type[ThreadedQueue]) -> None:
    """As the tasks."""

    def crowd(sim: Simulation) -> None:
        origin = sim.pool("origin", latency=2.0)
        site, client = ThreadedSite(cls, origin), Scope("client")
        with sim.storm(Calls(origin, 1), Elapsed(2.0), LeakBound()) as storm:
            storm.spawn(site.get, "/queue-load", copies=CROWD - LEAVERS)
            sim.settle()
            storm.spawn(site.get, "/queue-load", client, copies=LEAVERS)
            sim.advance(1.0)
            assert site.queue.in_course == CROWD
            client.set()
            sim.settle()
            assert site.queue.in_course == CROWD - LEAVERS + leaked(cls, GONE)
        assert Counter(storm.results()) == LEFT
        assert site.queue.in_course == leaked(cls, LEFT)

    assert explore(crowd, schedules=10).verdict == "holds"


@pytest.mark.parametrize(
    ("cls", "verdict"), [(RequestQueue, "holds"), (asgi_broken.FiftyOneBuckets, "Calls")]
)
def test_tasks_of_two_paths_in_one_bucket(cls: type[RequestQueue], verdict: str) -> None:
    """The fourth row: half of the crowd asks for the one page, half for the other, one fetch."""

    async def crowd(sim: AsyncSimulation) -> None:
        origin = sim.pool("origin", latency=2.0)
        site = Site(cls, origin)
        async with sim.storm(Calls(origin, 1), Elapsed(2.0), LeakBound()) as storm:
            storm.spawn(site.get, "/queue-load", copies=CROWD // 2)
            storm.spawn(site.get, "/x15", copies=CROWD // 2)
        assert Counter(storm.results()) == {(200, 2.0): 1, (302, 2.0): CROWD - 1}
        assert site.queue.in_course == 0

    assert explore(crowd, schedules=10).verdict == verdict


@pytest.mark.parametrize(
    ("cls", "verdict"), [(ThreadedQueue, "holds"), (wsgi_broken.FiftyOneBuckets, "Calls")]
)
def test_threads_of_two_paths_in_one_bucket(cls: type[ThreadedQueue], verdict: str) -> None:
    """As the tasks."""

    def crowd(sim: Simulation) -> None:
        origin = sim.pool("origin", latency=2.0)
        site = ThreadedSite(cls, origin)
        with sim.storm(Calls(origin, 1), Elapsed(2.0), LeakBound()) as storm:
            storm.spawn(site.get, "/queue-load", copies=CROWD // 2)
            storm.spawn(site.get, "/x15", copies=CROWD // 2)
        assert Counter(storm.results()) == {(200, 2.0): 1, (302, 2.0): CROWD - 1}
        assert site.queue.in_course == 0

    assert explore(crowd, schedules=10).verdict == verdict


def leaked(cls: Any, outcomes: dict[tuple[int, float], int]) -> int:
    """Return how many the pre-fix queue leaves: all that did not leave normally, so 63 or 64."""
    others = sum(count for (status, _), count in outcomes.items() if status != 200)
    return others if cls.__name__ == "PlainRemoval" else 0
