"""What the request queue costs a request that finds nobody before it: no simulation, a real loop.

The same application answers alone, behind the queue without asking for its turn, and behind the
queue with its turn; and behind a queue that keeps no register.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from scenarios.request_queue.asgi.reference import (
    App,
    Message,
    Receive,
    Request,
    RequestQueue,
    Scope,
    Send,
)

SCOPE = {"type": "http", "method": "GET", "path": "/bench", "query_string": b""}


class Unregistered(RequestQueue):
    """A queue that keeps no register: what its books cost is the difference."""

    def _enter(self, request: Request) -> bool:
        return True

    def _forget(self, request: Request) -> None:
        pass


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 200."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def behind(cls: type[RequestQueue], *, asks: bool) -> App:
    """Return the application behind a queue; `asks` has it wait for its turn."""

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        if asks:
            await queue.wait_turn(scope)
        await answer(scope, receive, send)

    queue = cls(page)
    return queue


def work(app: App, requests: int) -> Callable[[], None]:
    """Return what makes so many requests, one after the other."""

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_message: Message) -> None:
        pass

    async def ask() -> None:
        for _ in range(requests):
            await app(dict(SCOPE), receive, send)

    make: Callable[[], Coroutine[Any, Any, None]] = ask
    return lambda: asyncio.run(make())
