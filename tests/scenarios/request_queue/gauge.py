"""Draws the gauge over a thousand requests, before and after the leak was mended.

    python -m tests.scenarios.request_queue.gauge

One request comes every 50 ms, all for one page whose fetch takes two seconds. Run on virtual time,
on the plain schedule; the page of the component shows what is printed here.
"""

from __future__ import annotations

from harness import AsyncSimulation, LeakBound, explore
from scenarios.request_queue.asgi.broken import PlainRemoval
from scenarios.request_queue.asgi.reference import RequestQueue
from scenarios.request_queue.asgi.visitors import Site

REQUESTS = 1_000
EVERY = 0.050
SAMPLE = 100
_WIDTH = 40


def sizes(cls: type[RequestQueue]) -> list[int]:
    """Return the gauge after each hundred requests, and last when all have been answered."""
    seen: list[int] = []

    async def traffic(sim: AsyncSimulation) -> None:
        site = Site(cls, sim.pool("origin", latency=2.0))
        seen.clear()
        async with sim.storm(LeakBound()) as storm:
            for number in range(1, REQUESTS + 1):
                storm.spawn(site.get, "/queue-load")
                await sim.advance(EVERY)
                if number % SAMPLE == 0:
                    seen.append(site.queue.in_course)
        storm.results()
        seen.append(site.queue.in_course)

    assert explore(traffic, schedules=1, strategy="plain").verdict == "holds"
    return seen


def curve() -> str:
    """Return both curves as text."""
    before, after = sizes(PlainRemoval), sizes(RequestQueue)
    whens = [*range(SAMPLE, REQUESTS + 1, SAMPLE), "ended"]
    lines = ["requests  before                                          after"]
    for when, leaked, kept in zip(whens, before, after, strict=True):
        bar = "█" * round(_WIDTH * leaked / REQUESTS)
        lines.append(
            f"{when:>8}  {leaked:>4} {bar:<{_WIDTH + 3}}{kept:>4} {'█' * bool(kept)}".rstrip()
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(curve())
