"""Exceptions that nobody takes."""

from __future__ import annotations

import asyncio
import threading
from typing import Any


def _boom() -> None:
    raise LookupError("user:1 is gone")


def in_a_thread(sim: Any) -> None:
    """A thread dies of an exception; its starter joins it and notices nothing."""
    thread = threading.Thread(target=_boom, name="caller")
    thread.start()
    thread.join()


async def _fail() -> None:
    await asyncio.sleep(1)
    _boom()


def in_a_forgotten_task(sim: Any) -> None:
    """A task dies of an exception, and nobody has a reference to it."""

    async def main() -> None:
        asyncio.create_task(_fail(), name="caller")  # noqa: RUF006 - what is tested
        await asyncio.sleep(2)

    asyncio.run(main())


def in_a_kept_task(sim: Any) -> None:
    """A task dies of an exception; it is kept, and nobody asks for its result."""
    kept = []

    async def main() -> None:
        kept.append(asyncio.create_task(_fail(), name="caller"))
        await asyncio.sleep(2)

    asyncio.run(main())
