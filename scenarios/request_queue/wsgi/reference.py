"""A queue in front of a WSGI application: one request fetches a page, the others wait for it.

    handler                           bucket of its path
    wait_turn(environ) ──── free ───▶ has the token until its request ends, and fetches
    wait_turn(environ) ──── taken ──▶ waits in line ── token ──▶ gives it back ─▶ 302, ask again
                                          │ 6 s ──────────────────────────────▶ 504
                                          └ the client leaves ────────────────▶ an empty answer

A request is in the register from its first `wait_turn` to its end, however it ends; the size of the
register is the gauge at `/debug/metrics`. It ends when its answer has been read or closed.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from types import TracebackType
from typing import Any, Protocol

from scenarios.request_queue import policy
from scenarios.request_queue.policy import ClientGone, HeavyLoad, Redirect, Reply

logger = logging.getLogger(__name__)
# Whoever uses the reference decides who hears it.
logger.addHandler(logging.NullHandler())

Environ = dict[str, Any]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]

#: Where a request carries its place in the queue, in its environ; PEP 3333 wants the dot.
KEY = "request_queue.request"
#: Where a server that notices when a client leaves puts that client's `Cancellation`.
CLIENT = "request_queue.client"


class Cancellation(Protocol):
    """Whether somebody still wants what is asked for. Any thread."""

    def is_set(self) -> bool:
        """Say whether nobody does."""

    def on_set(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` when nobody does any more, at once if so already; return the undoing."""


class RequestQueue:
    """WSGI middleware; `RequestQueue(app)` stands where `app` stood. Any thread.

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
            app: a WSGI application.
            acquire_timeout: seconds that a request waits in line.
            buckets: how many pages are fetched at once, at most.
            record: is told each error of the application, as `ErrorLog` is; by default it is only
                logged.
        """
        self._app = app
        self._acquire_timeout = acquire_timeout
        self._buckets = [self._new_bucket() for _ in range(buckets)]
        self._record = record
        self._lock = threading.Lock()
        self._last_number = 0
        self._in_course: set[int] = set()

    @property
    def in_course(self) -> int:
        """Requests that have come to the queue and have not ended."""
        return len(self._in_course)

    def bucket(self, path: str) -> "Bucket":
        """Return the bucket that a path belongs to."""
        return self._buckets[policy.ticket(path, len(self._buckets))]

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request; it is in course until what is returned is read or closed."""
        path = _path(environ)
        if policy.is_exempt(path):
            return self._app(environ, start_response)
        if path == policy.METRICS_PATH:
            return _answer(start_response, policy.metrics(self.in_course))
        return self._serve(self._open(environ), environ, start_response)

    def wait_turn(self, environ: Environ, timeout: float | None = None) -> None:
        """Return if the page is to be fetched now; else wait until somebody else has, and leave.

        Where the middleware has not passed it does nothing, nor when it is called again.

        Args:
            environ: the environ that the handler was called with.
            timeout: the seconds that the handler has left for the page, if it sets itself a limit.
                One that comes before the queue's own says nothing about its load.

        Raises:
            Redirect: the one before has ended: the page may be had without a fetch.
            HeavyLoad: it has not, in all the time there is.
            ClientGone: the client has left meanwhile, or `timeout` has passed.
        """
        request = self._request(environ)
        if request is not None and self._enter(request):
            self._take_turn(request, timeout)

    # --- one request ---

    def _new_bucket(self) -> "Bucket":
        return Bucket()

    def _open(self, environ: Environ) -> "Request":
        with self._lock:
            self._last_number += 1
            number = self._last_number
        return Request(number, self._bucket_of(environ), environ.get(CLIENT))

    def _serve(
        self, request: "Request", environ: Environ, start_response: StartResponse
    ) -> Iterator[bytes]:
        try:
            yield from self._run(request, {**environ, KEY: request}, start_response)
        except (Exception, policy.Signal) as exc:
            yield from self._recover(policy.signal_in(exc), environ, start_response)

    def _run(
        self, request: "Request", environ: Environ, start_response: StartResponse
    ) -> Iterator[bytes]:
        """Call the application; whatever happens then, the request is out of the register."""
        try:
            yield from self._call(environ, start_response)
        finally:
            self._forget(request)
            self._release(request)

    def _call(self, environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        body = self._app(environ, start_response)
        try:
            yield from body
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                close()

    def _recover(
        self, exc: BaseException, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Say to the client what `exc` means. Nothing here undoes the removal.

        Where half an answer is out, the server raises `exc` again: PEP 3333 has it do so.
        """
        if isinstance(exc, Exception):
            self._note(exc)
        reply = self._reply_to(exc, environ)
        # A server must be told something: a client that has left will not read it.
        reply = policy.BLANK if reply is None else reply
        return _answer(start_response, reply, (type(exc), exc, exc.__traceback__))

    def _reply_to(self, exc: BaseException, environ: Environ) -> Reply | None:
        return policy.reply_to(exc, _path(environ), environ.get("QUERY_STRING", ""))

    def _note(self, exc: Exception) -> None:
        try:
            if self._record is not None:
                self._record(exc)
            logger.error("a request failed", exc_info=exc)
        except Exception:
            # The client gets its answer though the record was lost.
            logger.exception("an error could not be recorded")

    # --- the register ---

    def _request(self, environ: Environ) -> "Request | None":
        found = environ.get(KEY)
        return found if isinstance(found, Request) else None

    def _bucket_of(self, environ: Environ) -> "Bucket":
        return self.bucket(_path(environ))

    def _enter(self, request: "Request") -> bool:
        """Put a request into the register; False if it has been there, or is over."""
        with self._lock:
            if request.is_over or request.number in self._in_course:
                return False
            self._in_course.add(request.number)
            return True

    def _forget(self, request: "Request") -> None:
        with self._lock:
            request.is_over = True
            self._in_course.discard(request.number)

    # --- the turn ---

    def _take_turn(self, request: "Request", timeout: float | None) -> None:
        turn = request.bucket.acquire_or_join()
        if turn is None:
            self._hold(request)
        else:
            self._queue(request, turn, timeout)

    def _hold(self, request: "Request") -> None:
        """Have a request keep the token until its end; one that is over keeps nothing."""
        with self._lock:
            request.holds_token = not request.is_over
        if not request.holds_token:
            request.bucket.release()

    def _queue(self, request: "Request", turn: "Turn", timeout: float | None) -> None:
        """Wait in line, and leave by one of three signals."""
        undo = request.client.on_set(turn.bell.set) if request.client is not None else None
        try:
            self._wait(turn, timeout)
            raise self._signal(request, turn, timeout)
        finally:
            if undo is not None:
                undo()
            self._step_out(request, turn)

    def _wait(self, turn: "Turn", timeout: float | None) -> None:
        limit = self._acquire_timeout
        turn.bell.wait(limit if timeout is None else min(limit, timeout))

    def _signal(self, request: "Request", turn: "Turn", timeout: float | None) -> policy.Signal:
        if request.client is not None and request.client.is_set():
            return ClientGone()
        if turn.is_granted:
            return Redirect()
        is_own = timeout is not None and timeout < self._acquire_timeout
        return ClientGone() if is_own else HeavyLoad()

    def _step_out(self, request: "Request", turn: "Turn") -> None:
        """Leave the line; a token that has come goes on, so that one release wakes them all."""
        request.bucket.leave(turn)

    def _release(self, request: "Request") -> None:
        with self._lock:
            held, request.holds_token = request.holds_token, False
        if held:
            request.bucket.release()


class Request:
    """One request on its way through the queue, whose lock guards what changes of it."""

    __slots__ = ("bucket", "client", "holds_token", "is_over", "number")

    def __init__(self, number: int, bucket: "Bucket", client: Cancellation | None) -> None:
        self.number = number
        self.bucket = bucket
        self.client = client
        self.holds_token = False
        self.is_over = False


class Turn:
    """A place in line: its bell rings when the token has come, or nobody wants it any more."""

    __slots__ = ("bell", "is_granted")

    def __init__(self) -> None:
        self.bell = threading.Event()
        self.is_granted = False


class Bucket:
    """A token and the line of those who wait for it, first come first served. Any thread."""

    # invariant: who waits in _line is not granted; while anybody does, the token is not free

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_free = True
        self._line: deque[Turn] = deque()

    @property
    def is_free(self) -> bool:
        """Whether nobody has the token."""
        return self._is_free

    def acquire_or_join(self) -> Turn | None:
        """Take the token if it is free, else a place at the end of the line; None for the token.

        One step: a token that came back between the two would wake nobody.
        """
        with self._lock:
            if self._is_free:
                self._is_free = False
                return None
            self._line.append(Turn())
            return self._line[-1]

    def leave(self, turn: Turn) -> None:
        """Give up a place, or give back the token that came to it; once for every turn."""
        with self._lock:
            if turn.is_granted:
                self._pass_on()
            else:
                self._line.remove(turn)

    def release(self) -> None:
        """Give the token to the first in line, or to nobody."""
        with self._lock:
            self._pass_on()

    def _pass_on(self) -> None:
        if self._line:
            turn = self._line.popleft()
            turn.is_granted = True
            turn.bell.set()
        else:
            self._is_free = True


def _answer(
    start_response: StartResponse, reply: Reply, exc_info: ExcInfo | None = None
) -> list[bytes]:
    """Start a whole answer and return its body."""
    status = f"{reply.status} {HTTPStatus(reply.status).phrase}"
    headers = [*reply.headers, ("content-length", str(len(reply.body)))]
    start_response(status, headers, exc_info)
    return [reply.body]


def _path(environ: Environ) -> str:
    """Return the path, decoded: WSGI has its bytes as Latin-1."""
    path = f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}"
    return path.encode("latin-1").decode("utf-8", "replace")
