"""Threads and tasks that outlive what started them, beside twins that take them down."""

from __future__ import annotations

import asyncio
import threading
from typing import Any


class Refresher:
    """Refreshes in a thread of its own whenever it is asked to. Any thread."""

    def __init__(self, *, daemon: bool) -> None:
        self.asked = threading.Event()
        self.thread = threading.Thread(target=self._run, name="refresher", daemon=daemon)
        self.thread.start()  # refresher is started here

    def _run(self) -> None:
        self.asked.wait()  # refresher is parked here

    def close(self) -> None:
        """Have the thread end."""
        self.asked.set()
        self.thread.join()


def parked_thread(sim: Any) -> None:
    """Nobody closes the refresher."""
    Refresher(daemon=False)


def parked_daemon(sim: Any) -> None:
    """Nobody closes the refresher, whose thread is a daemon."""
    Refresher(daemon=True)


def parked_thread_in_a_storm(sim: Any) -> None:
    """Nobody closes the refresher that a caller made."""
    with sim.storm() as storm:
        storm.spawn(lambda: Refresher(daemon=False), name="caller")
    storm.results()


def closed(sim: Any) -> None:
    """The refresher is closed."""
    Refresher(daemon=False).close()


async def _refresh() -> None:
    await asyncio.Event().wait()  # task is parked here


def pending_task(sim: Any) -> None:
    """`main` returns while its task still waits; `asyncio.run` would cancel it without a word."""

    async def main() -> None:
        task = asyncio.create_task(_refresh(), name="refresher")  # task is made here
        await asyncio.sleep(1)
        assert not task.done()

    asyncio.run(main())


async def pending_task_of_an_async_program(sim: Any) -> None:
    """The same in a program that is a coroutine itself."""
    task = asyncio.create_task(_refresh(), name="refresher")  # made here, async
    await asyncio.sleep(1)
    assert not task.done()


def cancelled_task(sim: Any) -> None:
    """`main` cancels its task and waits for it."""

    async def main() -> None:
        task = asyncio.create_task(_refresh(), name="refresher")
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(main())
