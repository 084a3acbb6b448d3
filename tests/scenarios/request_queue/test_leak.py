"""A site that leaks on purpose is caught, by name and by number."""

import asyncio
from typing import Any

from harness import AsyncSimulation, LeakBound, explore
from scenarios.request_queue.asgi.reference import RequestQueue, Scope, Send
from scenarios.request_queue.asgi.visitors import Site, respond


async def leaking(site: Site, scope: Scope, send: Send) -> None:
    """Answer, and leave a task behind that waits for nobody."""
    forever: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def releaser() -> None:
        await forever

    site.working.append(asyncio.create_task(releaser(), name="releaser"))
    await respond(send)


async def leaky_site(sim: AsyncSimulation) -> None:
    """Three requests leave a task each."""
    site = Site(RequestQueue, sim.pool("origin"), leaking)
    async with sim.storm(LeakBound()) as storm:
        storm.spawn(site.get, "/bench", copies=3)


async def tidy_site(sim: AsyncSimulation) -> None:
    """Three requests leave nothing."""
    site = Site(RequestQueue, sim.pool("origin"))
    async with sim.storm(LeakBound()) as storm:
        storm.spawn(site.get, "/bench", copies=3)
    storm.results()


def test_a_leak_on_purpose_is_caught() -> None:
    """The verdict says how many tasks are left, how they are called and where they were made."""
    found: Any = explore(leaky_site, schedules=20)

    assert found.verdict == "LeakBound"
    assert found.violation.summary.startswith("3 tasks outlived the storm, allowed 0.")
    survivors = [text for label, text in found.violation.evidence if label == "survivor"]
    assert len(survivors) == 3
    assert all(text.startswith("'releaser' created at test_leak.py") for text in survivors)


def test_the_same_site_without_the_leak_holds() -> None:
    """So it is the leak that was caught."""
    assert explore(tidy_site, schedules=20).verdict == "holds"
