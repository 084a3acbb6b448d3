"""The rows of the table with its sixty-four requests, in both flavours, fixed and as it leaked."""

from collections import Counter
from typing import Any

import pytest

from harness import AsyncSimulation, Elapsed, LeakBound, Simulation, explore
from scenarios.request_queue.asgi import broken as asgi_broken
from scenarios.request_queue.asgi.reference import RequestQueue
from scenarios.request_queue.asgi.visitors import Site
from scenarios.request_queue.wsgi import broken as wsgi_broken
from scenarios.request_queue.wsgi.reference import RequestQueue as ThreadedQueue
from scenarios.request_queue.wsgi.visitors import Site as ThreadedSite

pytestmark = pytest.mark.one_ground

CROWD = 64
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


def leaked(cls: Any, outcomes: dict[tuple[int, float], int]) -> int:
    """Return how many the pre-fix queue leaves: all that did not leave normally, so 63 or 64."""
    others = sum(count for (status, _), count in outcomes.items() if status != 200)
    return others if cls.__name__ == "PlainRemoval" else 0
