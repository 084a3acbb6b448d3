"""Admission of imports beside streams: a budget of tokens, an import that fans out, a pool to swap.

It does not know how an article travels (that is the `Client`), nor what is imported.

    stream ──────────────────────── priority lane ──▶ pool
       │ starts, ends: Streams                          ▲ SharedPool: one at a time
       ▼                                                │
    Budget: capacity less 2 for each stream             │
       ▲ a token for each file ── Importer ── normal lane

A token is given to who has waited longest, under the lock, before anybody else may ask: nobody
barges, and a grant that meets a cancellation goes to the next in line.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Generic, Protocol, Self, TypeVar

from scenarios.connection_lifecycle.reader.policy import is_missing
from scenarios.connection_lifecycle.reader.reference import Client, FetchError, ResponseError
from scenarios.connection_lifecycle.scope import Scope

from . import policy
from .policy import Caps, Retry


class UnavailableError(Exception):
    """There is no pool: none was configured, or the last change of it failed."""


class Streams:
    """The streams that are being played; any thread may call any method."""

    # invariant: a stream is in the set once, and counted while it is there

    def __init__(self) -> None:
        """Have no stream, and nobody who wants to know."""
        self._lock = threading.Lock()
        self._playing: dict[str, None] = {}
        self._active = 0
        self._listeners: list[Callable[[], None]] = []

    @property
    def active(self) -> int:
        """How many are played."""
        return self._active

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after every change, with no lock held."""
        self._listeners.append(listener)

    def add(self, stream: str) -> None:
        """Count a stream; one that is played already counts once."""
        with self._lock:
            if stream not in self._playing:
                self._playing[stream] = None
                self._active += 1
        self._tell()

    def remove(self, stream: str) -> None:
        """Count a stream no more; who comes second does nothing."""
        self._delete(stream)
        self._tell()

    def _delete(self, stream: str) -> None:
        # Looked for and deleted in one step: two who remove it must not count it twice.
        with self._lock:
            if stream in self._playing:
                del self._playing[stream]
                self._active -= 1

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()


class Budget:
    """Tokens, first come, first served, as many as the streams leave; any thread.

    A budget that shrinks takes nothing back: it grants nothing until enough have come in.
    """

    # invariant: while anybody waits there is no room; who is granted has left the queue
    # invariant: held counts every token that is out, whatever the limit was when it was granted

    def __init__(self, caps: Caps, streams: Streams | None = None) -> None:
        """Make a budget.

        Args:
            caps: how many tokens there are; see `Shared` and `TwoCaps`.
            streams: what is being played beside; None for nothing.
        """
        self._caps = caps
        self._streams = streams
        self._lock = threading.Lock()
        self._waiting: deque[Ticket] = deque()
        self._held = 0
        if streams is not None:
            streams.on_change(self._on_streams)

    @property
    def held(self) -> int:
        """Tokens that are out."""
        return self._held

    @property
    def waiting(self) -> int:
        """Callers who wait for one."""
        return len(self._waiting)

    def acquire(self, scope: Scope | None = None) -> "Token":
        """Take a token, or wait for one.

        Args:
            scope: ends the wait; a token that comes at the same instant goes to the next in line.

        Raises:
            Exception: the cause of `scope`.
        """
        ticket = Ticket()
        with self._lock:
            self._enqueue(ticket)
        try:
            ticket.wait(scope)
        except BaseException:
            self._withdraw(ticket)
            raise
        return Token(self)

    def release(self, token: "Token") -> None:
        """Take a token back, once; `Token.release` calls this."""
        with self._lock:
            if self._is_out(token):
                token.is_out = False
                self._take_back()

    def configure(self, caps: Caps) -> None:
        """Have other caps from now on; whoever fits under them is let in at once."""
        with self._lock:
            self._caps = caps
            self._admit()

    def _on_streams(self) -> None:
        with self._lock:
            self._admit()

    # All that follows runs under the lock, but `_withdraw`, which takes it.

    def _enqueue(self, ticket: "Ticket") -> None:
        # Queued even if there is room: there may be room that nobody was told of yet, and then
        # those who wait come first.
        self._waiting.append(ticket)
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._has_room():
            self._grant(self._next())

    def _next(self) -> "Ticket":
        return self._waiting.popleft()

    def _grant(self, ticket: "Ticket") -> None:
        self._held += 1
        ticket.grant()

    def _has_room(self) -> bool:
        return policy.has_room(self._held, self._limit())

    def _limit(self) -> int:
        return self._caps.limit(0 if self._streams is None else self._streams.active)

    def _is_out(self, token: "Token") -> bool:
        return token.is_out

    def _take_back(self) -> None:
        self._held -= 1
        self._admit()

    def _withdraw(self, ticket: "Ticket") -> None:
        with self._lock:
            if ticket.is_granted:
                # Granted and cancelled at once: the token goes on to the next in line.
                self._take_back()
            else:
                self._waiting.remove(ticket)


class Ticket:
    """A place in the queue of a budget; granted under its lock, waited for by one thread."""

    def __init__(self) -> None:
        """Take a place that is not granted."""
        self.is_granted = False
        self._bell = threading.Event()

    def grant(self) -> None:
        """Let the caller in."""
        self.is_granted = True
        self._bell.set()

    def wait(self, scope: Scope | None) -> None:
        """Wait to be let in; raise the cause of `scope` if it is set by then."""
        if scope is None:
            self._bell.wait()
            return
        take_back = scope.on_set(self._bell.set)
        try:
            while not self.is_granted and not scope.is_set():
                self._bell.wait(scope.remaining())
        finally:
            take_back()
        if scope.is_set():
            raise scope.cause or TimeoutError()


class Token:
    """The right to do one thing at a time; `with` gives it back, and so does `release`, once."""

    def __init__(self, budget: Budget) -> None:
        """Hold a token of a budget."""
        self.is_out = True
        self._budget = budget

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Give the token back; later calls do nothing."""
        self._budget.release(self)


class Importer:
    """Fetches the first segments of files, many at once; any thread may call it."""

    # invariant: a file's token is held from before its first attempt until after its last

    def __init__(
        self,
        get_client: Callable[[], Client],
        *,
        connections: int = policy.IMPORT_CONNECTIONS,
        budget: Budget | None = None,
        retry: Retry = Retry(),  # noqa: B008 - frozen, so that sharing it is safe
    ) -> None:
        """Make an importer.

        Args:
            get_client: asked before each attempt, since a pool may be swapped between two.
            connections: how many files one import fetches at once.
            budget: what all imports share; a token is taken for each file.
            retry: attempts, time-out of each, and the delay between two.
        """
        self._get_client = get_client
        self._connections = connections
        self._budget = budget
        self._retry = retry

    def first_segments(
        self, ids: Sequence[str], scope: Scope | None = None
    ) -> list[bytes | Exception]:
        """Fetch the first segment of each file; return it or why there is none, in order.

        Args:
            ids: the articles.
            scope: ends every wait and every fetch.
        """
        inner = Scope(scope)
        results: list[bytes | Exception] = [LookupError("not fetched")] * len(ids)
        jobs = iter(self._jobs(ids, results, inner))
        turn = threading.Lock()
        workers = [
            threading.Thread(target=self._work, args=(jobs, turn), name=f"import-{number}")
            for number in range(self._workers(len(ids)))
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        inner.detach()
        return results

    def _workers(self, files: int) -> int:
        return policy.workers(files, self._connections)

    def _jobs(
        self, ids: Sequence[str], results: list[bytes | Exception], scope: Scope
    ) -> list[Callable[[], None]]:
        return [
            partial(self._import_one, results, index, each, scope) for index, each in enumerate(ids)
        ]

    def _work(self, jobs: Iterator[Callable[[], None]], turn: threading.Lock) -> None:
        while True:
            with turn:
                job = next(jobs, None)
            if job is None:
                return
            job()

    def _import_one(
        self, results: list[bytes | Exception], index: int, id: str, scope: Scope
    ) -> None:
        asked = time.monotonic()
        try:
            with self._token(scope):
                results[index] = self._fetch(id, scope, asked)
        except Exception as exc:
            # The others are fetched all the same.
            results[index] = exc

    @contextmanager
    def _token(self, scope: Scope) -> Iterator[None]:
        if self._budget is None:
            yield
            return
        token = self._budget.acquire(scope)
        try:
            yield
        finally:
            token.release()

    def _fetch(self, id: str, scope: Scope, asked: float) -> bytes:
        source = self._source()
        errors: list[Exception] = []
        while True:
            try:
                return self._attempt(source, id, scope, asked)
            except Exception as exc:
                errors.append(exc)
            is_last = is_final(errors[-1]) or len(errors) >= self._retry.attempts
            if is_last or scope.wait(self._retry.pause_after(len(errors))):
                raise FetchError(f"{id} could not be fetched", errors)

    def _source(self) -> Callable[[], Client]:
        return self._get_client

    def _attempt(self, source: Callable[[], Client], id: str, scope: Scope, asked: float) -> bytes:
        timeout = self._attempt_timeout(scope, asked)
        data: bytes = source().call(id, timeout=timeout, cancel=scope, lane=self._lane())
        return data

    def _attempt_timeout(self, scope: Scope, asked: float) -> float:
        # From now on, not from when the token was asked for: who waits for a turn is not slow.
        remaining = scope.remaining()
        own = self._retry.attempt_timeout
        return own if remaining is None else min(own, remaining)

    def _lane(self) -> str:
        return policy.IMPORT_LANE


class Poolish(Protocol):
    """What the seam wants of a pool."""

    def close(self) -> None:
        """Give up every connection, and wait for that."""


PoolT = TypeVar("PoolT", bound=Poolish)


class SharedPool(Generic[PoolT]):
    """The one pool of a program, which may be swapped while it is in use; any thread.

    Two pools are never open at once: a provider counts the connections of both.
    """

    # invariant: the pool that is handed out is open, or its close has not begun

    def __init__(self) -> None:
        """Have no pool."""
        self._lock = threading.Lock()
        self._pool: PoolT | None = None

    def get(self) -> PoolT:
        """Return the pool; waits while it is being swapped.

        Raises:
            UnavailableError: there is none.
        """
        with self._lock:
            if self._pool is None:
                raise UnavailableError("no pool is configured")
            return self._pool

    def swap(self, build: Callable[[], PoolT]) -> None:
        """Close the pool, then build another; if that fails there is none.

        Raises:
            Exception: whatever `build` raises.
        """
        with self._lock:
            self._drop()
            self._pool = build()

    def close(self) -> None:
        """Close the pool; may be repeated."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        # Forgotten first: whatever happens next, nobody gets a pool that is closed.
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()


def is_final(exc: Exception) -> bool:
    return isinstance(exc, ResponseError) and is_missing(exc.code)


__all__ = [
    "Budget",
    "Importer",
    "SharedPool",
    "Streams",
    "Token",
    "UnavailableError",
]
