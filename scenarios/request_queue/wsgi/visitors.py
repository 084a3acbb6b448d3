"""A site behind the queue, and clients of it without a network: what each was told, and when.

    site.get("/bench") ──▶ queue ──▶ page: waits for its turn, asks the origin, answers 200
          ◀── status and instant ──┘

It does not know what is right.
"""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from .reference import CLIENT, App, Cancellation, Environ, RequestQueue, StartResponse

#: What a client has who was told nothing: an empty 200.
BLANK: Final = 0

PAGE: Final = b"page"


class Origin(Protocol):
    """Where pages are fetched from."""

    def call(self, key: str = ...) -> Any:
        """Fetch one page."""


class Site:
    """An application behind a queue, and its clients. Any thread.

    `headers` and `texts` hold what the answers said; `working` are threads that a page has left
    behind. `joined` and `left` are the numbers of its patient clients, in the order in which their
    requests came into line, and out of it.
    """

    def __init__(
        self,
        cls: type[RequestQueue],
        origin: Origin,
        page: Callable[["Site", Environ], Iterable[bytes]] | None = None,
        *,
        unreachable: bool = False,
        **settings: Any,
    ) -> None:
        """Open a site.

        Args:
            cls: the queue.
            origin: where the page of every path is fetched from.
            page: what answers instead of the page that waits for its turn and fetches.
            unreachable: what is sent to clients does not arrive.
            **settings: further arguments of the queue.
        """
        self.origin = origin
        self.queue = cls(self._page, **settings)
        self.headers: list[dict[str, str]] = []
        self.texts: list[str] = []
        self.working: list[threading.Thread] = []
        self.joined: list[int] = []
        self.left: list[int] = []
        self._page_of = page or fetch
        self._unreachable = unreachable

    def get(self, target: str, client: Cancellation | None = None) -> tuple[int, float]:
        """Ask for a path with an optional query; return the status, and when it came."""
        return self._ask(self.queue, target, client)

    def get_unqueued(self, target: str) -> tuple[int, float]:
        """Ask past the queue, as where the middleware is not installed."""
        return self._ask(self._page, target, None)

    def get_half(self, target: str) -> tuple[int, float]:
        """Ask, read the first piece of the answer and close it, as a server whose client left."""
        answer = _Answer(is_reachable=True)
        body: Any = self.queue(_environ(target, None), answer.start)
        next(body)
        body.close()
        return answer.status, round(time.monotonic(), 9)

    def _ask(self, app: App, target: str, client: Cancellation | None) -> tuple[int, float]:
        answer = _Answer(is_reachable=not self._unreachable)
        body: Any = app(_environ(target, client), answer.start)
        try:
            text = b"".join(map(answer.send, body))
        finally:
            getattr(body, "close", _nothing)()
        self.headers.append(answer.headers)
        self.texts.append(text.decode())
        status = BLANK if answer.status == 200 and not text else answer.status
        return status, round(time.monotonic(), 9)

    def _page(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        pieces = self._page_of(self, environ)
        start_response("200 OK", [])
        return pieces


class Patient:
    """A client that stays to the end, and sees its request join the line and leave it. Any thread.

    The queue watches a client from just after its request has joined to just before it leaves, so
    who comes when all is quiet is numbered in the order of the line.
    """

    def __init__(self, site: Site, number: int) -> None:
        """Make one for one request to `site`."""
        self._site = site
        self._number = number

    def is_set(self) -> bool:
        """Say that it has not left."""
        return False

    def on_set(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Join; what is returned leaves. `callback` is never called."""
        self._site.joined.append(self._number)
        return lambda: self._site.left.append(self._number)


class _Answer:
    """What a server keeps of one answer, and how it sends it."""

    def __init__(self, *, is_reachable: bool) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self._is_reachable = is_reachable
        self._is_sent = False

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        if exc_info is not None and self._is_sent:
            raise exc_info[1]
        self.status = int(status.partition(" ")[0])
        self.headers = dict(headers)

    def send(self, piece: bytes) -> bytes:
        if not self._is_reachable:
            raise ConnectionResetError
        self._is_sent = self._is_sent or bool(piece)
        return piece


def fetch(site: Site, environ: Environ) -> Iterable[bytes]:
    """Wait for the turn of a page, fetch it and return it."""
    site.queue.wait_turn(environ)
    site.origin.call(environ["PATH_INFO"])
    return [PAGE]


def _environ(target: str, client: Cancellation | None) -> Environ:
    path, _, query = target.partition("?")
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": query}
    return environ if client is None else {**environ, CLIENT: client}


def _nothing() -> None:
    """Close nothing."""
