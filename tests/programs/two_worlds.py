"""Threads and event loops that need each other."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

from tests.programs.together import together


def two_loops_at_once(sim: Any) -> None:
    """Two threads run a loop each."""
    ended: list[float] = []

    async def main() -> None:
        await asyncio.sleep(2)
        ended.append(asyncio.get_running_loop().time())

    def first() -> None:
        asyncio.run(main())

    def second() -> None:
        asyncio.run(main())

    together(first, second)
    assert ended == [2.0, 2.0]


def a_thread_wakes_a_loop(sim: Any) -> None:
    """A loop waits for nothing but a call from a thread, which comes late."""

    async def main() -> str:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str] = loop.create_future()

        def caller() -> None:
            time.sleep(3)
            loop.call_soon_threadsafe(answer.set_result, "pong")

        thread = threading.Thread(target=caller, name="caller")
        thread.start()
        result = await answer
        thread.join()
        return result

    assert asyncio.run(main()) == "pong"
    assert time.monotonic() == 3.0


def a_loop_waits_for_itself(sim: Any) -> None:
    """A coroutine asks its own loop from its own thread and blocks on the answer."""

    async def answer() -> str:
        return "pong"

    async def main() -> None:
        loop = asyncio.get_running_loop()
        asyncio.run_coroutine_threadsafe(answer(), loop).result()  # pump waits here

    def pump() -> None:
        asyncio.run(main())

    together(pump)
