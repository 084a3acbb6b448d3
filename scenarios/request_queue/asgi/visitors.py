"""A site behind the queue, and clients of it without a network: what each was told, and when.

    site.get("/bench") ──▶ queue ──▶ page: waits for its turn, asks the origin, answers 200
          ◀── status and instant ──┘

It does not know what is right.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from .reference import App, Message, Receive, RequestQueue, Scope, Send

#: What a client has who was told nothing: servers' recorders show it as an empty 200.
BLANK: Final = 0


class Origin(Protocol):
    """Where pages are fetched from."""

    async def call(self, key: str = ...) -> Any:
        """Fetch one page."""


class Site:
    """An application behind a queue, and its clients. One event loop.

    `arrived` and `answered` hold the numbers of the clients, in the order in which they came to the
    queue and got their answers; `headers` and `texts` what the answers said; `gauges` how many
    requests were in course whenever a slow client was being sent something. `working` are tasks
    that a page has left behind.
    """

    def __init__(
        self,
        cls: type[RequestQueue],
        origin: Origin,
        page: Callable[["Site", Scope, Send], Any] | None = None,
        *,
        lingers: bool = False,
        slow: bool = False,
        unreachable: bool = False,
        **settings: Any,
    ) -> None:
        """Open a site.

        Args:
            cls: the queue.
            origin: where the page of every path is fetched from.
            page: what answers instead of the page that waits for its turn and fetches.
            lingers: clients stay connected when they have been answered.
            slow: what is sent to clients takes a moment, in which others run.
            unreachable: what is sent to clients does not arrive.
            **settings: further arguments of the queue.
        """
        self.origin = origin
        self.queue = cls(self._page, **settings)
        self.arrived: list[int] = []
        self.answered: list[int] = []
        self.headers: list[dict[str, str]] = []
        self.texts: list[str] = []
        self.gauges: list[int] = []
        self.working: list[asyncio.Task[None]] = []
        self._page_of = page or fetch
        self._lingers = lingers
        self._slow = slow
        self._unreachable = unreachable
        self._clients = 0

    async def get(self, target: str, leaves_after: float | None = None) -> tuple[int, float]:
        """Ask for a path with an optional query.

        Args:
            target: path and query.
            leaves_after: seconds after which the client goes away; None for never.

        Returns:
            The status, and when it came.
        """
        return await self._ask(self.queue, target, leaves_after)

    async def get_unqueued(self, target: str) -> tuple[int, float]:
        """Ask past the queue, as where the middleware is not installed."""
        return await self._ask(self._page, target, None)

    async def _ask(self, app: App, target: str, leaves_after: float | None) -> tuple[int, float]:
        self._clients += 1
        number = self._clients
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": query.encode(),
            "client": ("visitor", number),
        }
        client = _Client(leaves_after, unreachable=self._unreachable)
        try:
            await app(
                scope, client.receive, self._send_slowly(client) if self._slow else client.send
            )
        finally:
            if not self._lingers:
                client.end()
        self.answered.append(number)
        return self._noted(client)

    def _send_slowly(self, client: "_Client") -> Send:
        async def send(message: Message) -> None:
            await asyncio.sleep(0)
            self.gauges.append(self.queue.in_course)
            await client.send(message)

        return send

    def _noted(self, client: "_Client") -> tuple[int, float]:
        at = round(time.monotonic(), 9)
        if not client.sent:
            return BLANK, at
        start, *parts = client.sent
        self.headers.append({name.decode(): text.decode() for name, text in start["headers"]})
        self.texts.append(b"".join(part["body"] for part in parts).decode())
        return start["status"], at

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.arrived.append(scope["client"][1])
        await self._page_of(self, scope, send)


class _Client:
    """One connection; as with a server, the end of the answer ends what the client sends."""

    def __init__(self, leaves_after: float | None, *, unreachable: bool) -> None:
        self.sent: list[Message] = []
        self._leaves_after = leaves_after
        self._unreachable = unreachable
        self._asked = False
        self._ended = asyncio.Event()

    async def receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        if self._leaves_after is None:
            await self._ended.wait()
        else:
            await asyncio.sleep(self._leaves_after)
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if self._unreachable:
            raise ConnectionResetError
        self.sent.append(message)

    def end(self) -> None:
        self._ended.set()


async def fetch(site: Site, scope: Scope, send: Send) -> None:
    """Wait for the turn of a page, fetch it and send it."""
    await site.queue.wait_turn(scope)
    await site.origin.call(scope["path"])
    await respond(send)


async def respond(send: Send) -> None:
    """Answer 200 with nothing else."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
