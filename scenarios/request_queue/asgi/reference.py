"""A queue in front of an ASGI application: one request fetches a page, the others wait for it.

    handler                         bucket of its path
    wait_turn(scope) ──── free ───▶ has the token until its request ends, and fetches
    wait_turn(scope) ──── taken ──▶ waits in line ── token ──▶ gives it back ─▶ 302, ask again
                                        │ 6 s ──────────────────────────────▶ 504
                                        └ the client leaves ────────────────▶ nothing is written

A request is in the register from its first `wait_turn` to its end, however it ends; the size of the
register is the gauge at `/debug/metrics`.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from scenarios.request_queue import policy
from scenarios.request_queue.policy import ClientGone, HeavyLoad, Redirect, Reply

logger = logging.getLogger(__name__)
# Whoever uses the reference decides who hears it.
logger.addHandler(logging.NullHandler())

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Where a request carries its place in the queue, in its ASGI scope.
KEY = "request_queue"


class RequestQueue:
    """ASGI middleware; `RequestQueue(app)` stands where `app` stood. One event loop.

    The handler calls `wait_turn` where it finds that the page must be fetched: most do not need to.
    """

    # invariant: a number is in _in_course from the first wait_turn of its request to its end
    # invariant: a bucket's token is free, or one request holds it that has not ended

    def __init__(
        self,
        app: App,
        *,
        acquire_timeout: float = policy.ACQUIRE_TIMEOUT,
        buckets: int = policy.BUCKETS,
        record: Callable[[BaseException], None] | None = None,
    ) -> None:
        """Put a queue in front of `app`.

        Args:
            app: an ASGI application.
            acquire_timeout: seconds that a request waits in line.
            buckets: how many pages are fetched at once, at most.
            record: is told each error of the application, as `ErrorLog` is; by default it is only
                logged.
        """
        self._app = app
        self._acquire_timeout = acquire_timeout
        self._buckets = [Bucket() for _ in range(buckets)]
        self._record = record
        self._last_number = 0
        self._in_course: set[int] = set()

    @property
    def in_course(self) -> int:
        """Requests that have come to the queue and have not ended."""
        return len(self._in_course)

    def bucket(self, path: str) -> "Bucket":
        """Return the bucket that a path belongs to."""
        return self._buckets[policy.ticket(path, len(self._buckets))]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or policy.is_exempt(scope["path"]):
            await self._app(scope, receive, send)
        elif scope["path"] == policy.METRICS_PATH:
            await Response(send).finish(policy.metrics(self.in_course))
        else:
            await self._serve(self._open(scope, receive), scope, Response(send))

    async def wait_turn(self, scope: Scope) -> None:
        """Return if the page is to be fetched now; else wait until somebody else has, and leave.

        Where the middleware has not passed it does nothing, nor when it is called again.

        Args:
            scope: the ASGI scope that the handler was called with; `request.scope` in Starlette.

        Raises:
            Redirect: the one before has ended: the page may be had without a fetch.
            HeavyLoad: it has not, in all the time there is.
            ClientGone: the client has left meanwhile.
        """
        request = self._request(scope)
        if request is not None and self._enter(request):
            await self._take_turn(request)

    # --- one request ---

    def _open(self, scope: Scope, receive: Receive) -> "Request":
        self._last_number += 1
        return Request(self._last_number, self._bucket_of(scope), Inbox(receive))

    async def _serve(self, request: "Request", scope: Scope, response: "Response") -> None:
        try:
            await self._run(request, {**scope, KEY: request}, response)
        except BaseException as exc:
            await self._recover(policy.signal_in(exc), scope, response)

    async def _run(self, request: "Request", scope: Scope, response: "Response") -> None:
        """Call the application; whatever happens then, the request is out of the register."""
        try:
            await self._app(scope, request.inbox, response)
        finally:
            self._forget(request)
            self._release(request)

    async def _recover(self, exc: BaseException, scope: Scope, response: "Response") -> None:
        """Say to the client what `exc` means, or pass it on. Nothing here undoes the removal."""
        if not isinstance(exc, Exception | policy.Signal):
            # A cancelled task ends cancelled, and an interpreter that exits does exit.
            raise exc
        if isinstance(exc, Exception):
            self._note(exc)
        if response.is_started:
            # Half an answer is out: only the server can break the connection off.
            raise exc
        reply = self._reply_to(exc, scope)
        if reply is not None:
            await response.finish(reply)

    def _reply_to(self, exc: BaseException, scope: Scope) -> Reply | None:
        query = scope.get("query_string", b"").decode("latin-1")
        return policy.reply_to(exc, _path(scope), query)

    def _note(self, exc: Exception) -> None:
        try:
            if self._record is not None:
                self._record(exc)
            logger.error("a request failed", exc_info=exc)
        except Exception:
            # The client gets its answer though the record was lost.
            logger.exception("an error could not be recorded")

    # --- the register ---

    def _request(self, scope: Scope) -> "Request | None":
        found = scope.get(KEY)
        return found if isinstance(found, Request) else None

    def _bucket_of(self, scope: Scope) -> "Bucket":
        return self.bucket(_path(scope))

    def _enter(self, request: "Request") -> bool:
        """Put a request into the register; False if it has been there, or is over."""
        if request.is_over or request.number in self._in_course:
            return False
        self._in_course.add(request.number)
        return True

    def _forget(self, request: "Request") -> None:
        request.is_over = True
        self._in_course.discard(request.number)

    # --- the turn ---

    async def _take_turn(self, request: "Request") -> None:
        if request.bucket.try_acquire():
            request.holds_token = True
        else:
            await self._queue(request)

    async def _queue(self, request: "Request") -> None:
        """Wait in line, and leave by one of three signals."""
        turn = request.bucket.join()
        gone = asyncio.ensure_future(request.inbox.wait_gone())
        try:
            await self._wait_any(turn, gone)
            raise self._signal(turn, gone)
        finally:
            gone.cancel()
            self._step_out(request, turn)

    def _step_out(self, request: "Request", turn: "Turn") -> None:
        """Leave the line; a token that has come goes on, so that one release wakes them all."""
        request.bucket.leave(turn)

    async def _wait_any(self, turn: "Turn", gone: asyncio.Future[None]) -> None:
        first = asyncio.FIRST_COMPLETED
        await asyncio.wait((turn, gone), timeout=self._acquire_timeout, return_when=first)

    def _signal(self, turn: "Turn", gone: asyncio.Future[None]) -> policy.Signal:
        if gone.done():
            # Raises what the server raised, if it did.
            gone.result()
            return ClientGone()
        return Redirect() if turn.done() else HeavyLoad()

    def _release(self, request: "Request") -> None:
        if request.holds_token:
            request.holds_token = False
            request.bucket.release()


class Request:
    """One request on its way through the queue. One task at a time changes it."""

    __slots__ = ("bucket", "holds_token", "inbox", "is_over", "number")

    def __init__(self, number: int, bucket: "Bucket", inbox: "Inbox") -> None:
        self.number = number
        self.bucket = bucket
        self.inbox = inbox
        self.holds_token = False
        self.is_over = False


Turn = asyncio.Future[None]


class Bucket:
    """A token and the line of those who wait for it, first come first served. One event loop."""

    # invariant: who waits in _line is not done; while anybody does, the token is not free

    def __init__(self) -> None:
        self._is_free = True
        self._line: deque[Turn] = deque()

    @property
    def is_free(self) -> bool:
        """Whether nobody has the token."""
        return self._is_free

    def try_acquire(self) -> bool:
        """Take the token if it is free; then nobody waits."""
        was_free, self._is_free = self._is_free, False
        return was_free

    def join(self) -> Turn:
        """Return a place at the end of the line: it is done when the token has come."""
        turn: Turn = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        return turn

    def leave(self, turn: Turn) -> None:
        """Give up a place, or give back the token that came to it; once for every `join`."""
        if turn.done():
            self.release()
        else:
            self._line.remove(turn)
            turn.cancel()

    def release(self) -> None:
        """Give the token to the first in line, or to nobody."""
        if self._line:
            self._line.popleft().set_result(None)
        else:
            self._is_free = True


class Inbox:
    """What a client sends, read ahead while its request is in line. One task at a time calls it."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._ahead: deque[Message] = deque()

    async def __call__(self) -> Message:
        """Return the next message for the application."""
        return self._ahead.popleft() if self._ahead else await self._receive()

    async def wait_gone(self) -> None:
        """Return once the client has left.

        A body in several messages is left to the application, which alone knows how much of it to
        take: such a client is not watched.
        """
        while True:
            message = await self._receive()
            self._ahead.append(message)
            if message["type"] == "http.disconnect":
                return
            if message.get("more_body"):
                await asyncio.get_running_loop().create_future()


class Response:
    """The way back to the client, which knows whether anything went there. One task."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.is_started = False

    async def __call__(self, message: Message) -> None:
        """Pass on one message of the application."""
        self.is_started = True
        await self._send(message)

    async def finish(self, reply: Reply) -> None:
        """Send a whole answer."""
        length = ("content-length", str(len(reply.body)))
        headers = [
            (name.encode("latin-1"), text.encode("latin-1"))
            for name, text in (*reply.headers, length)
        ]
        await self({"type": "http.response.start", "status": reply.status, "headers": headers})
        await self({"type": "http.response.body", "body": reply.body})


def _path(scope: Scope) -> str:
    return str(scope["path"])
