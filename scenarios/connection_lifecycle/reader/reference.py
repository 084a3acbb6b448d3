"""A streaming reader over remote articles: bounded prefetch, one retry, prompt close.

It does not know how an article travels (that is the `Client`), nor what the bytes mean.

    consumer          manager thread            download threads
    read() ──start──▶ room in the window? ─────▶ fetch, at most twice
      │ ◀──────────── waits while it is full       │
      │ waits for the current segment ◀────────────┘ set_data or set_error
      └─ advance, notify under the lock ─▶ room again

A thread that waits is woken under the lock it waits with, so no wake-up is lost; an interrupt
reaches everyone: the manager, every download, and a consumer who waits for a segment.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Protocol, Self

from scenarios.connection_lifecycle.scope import Scope

from . import policy
from .policy import Article, Retry, Slice

logger = logging.getLogger(__name__)
# Whoever uses the reader decides who hears it.
logger.addHandler(logging.NullHandler())


class ResponseError(Exception):
    """What a server answered instead of an article."""

    def __init__(self, code: int, text: str = "") -> None:
        super().__init__(f"{code} {text}".rstrip())
        self.code = code


class CorruptionError(Exception):
    """A payload that cannot be the article: too short, or damaged on its way."""


class ClosedPipeError(Exception):
    """A read from something that was interrupted or closed."""


class FetchError(ExceptionGroup[Exception]):
    """An article that could not be fetched; holds the error of each attempt, in order."""

    @property
    def is_missing(self) -> bool:
        """Whether any attempt learned that the server does not have the article."""
        return any(is_missing(exc) for exc in self.exceptions)


class CorruptedFileError(Exception):
    """A file with an article that no longer exists; `bytes_read` could be read before it."""

    def __init__(self, bytes_read: int) -> None:
        super().__init__(f"an article is missing after {bytes_read} bytes")
        self.bytes_read = bytes_read


class Client(Protocol):
    """Where articles come from; called by many threads at once."""

    def call(
        self,
        key: str = ...,
        *,
        timeout: float | None = ...,
        cancel: Scope | None = ...,
        lane: str = ...,
    ) -> Any:
        """Return the bytes of article `key`.

        Raises:
            TimeoutError: after `timeout` seconds.
            concurrent.futures.CancelledError: once `cancel` is set.
            ResponseError: the server has no such article, or refuses.
        """


class Reader:
    """A forward-only stream of bytes, downloaded at most `window` segments ahead.

    `read` belongs to one thread at a time; any thread may call any other method at any time. The
    owner must call `close`, also after `interrupt`; `with` does.
    """

    # invariant: 0 <= consumed <= scheduled <= len(segments), scheduled - consumed <= window
    # invariant: each segment is scheduled once, in order; consumed segments hold no data

    def __init__(
        self,
        get_client: Callable[[], Client],
        slices: Iterable[Slice],
        *,
        window: int = policy.DEFAULT_WINDOW,
        retry: Retry = Retry(),  # noqa: B008 - frozen, so that sharing it is safe
        lane: str = "priority",
        scope: Scope | None = None,
        cache: MutableMapping[str, bytes] | None = None,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """Make a reader that is idle until the first read.

        Args:
            get_client: asked once per segment; what it raises is final.
            slices: what to read, in order.
            window: segments scheduled and not yet consumed; 0 or less is the default.
            retry: attempts, time-out of each, and the delay between two.
            lane: passed on to the client.
            scope: cancels the reader when it is set.
            cache: whole articles by id, asked before the wire.
            uniform: draws the jitter, `uniform(low, high)`.
        """
        self._get_client = get_client
        self._segments = [Segment(piece) for piece in slices]
        self._window = policy.window_size(window)
        self._cache = cache
        self._changed = threading.Condition()
        self._manager: threading.Thread | None = None
        self._scheduled = 0
        self._consumed = 0
        self._in_flight = 0
        self._offset = 0
        self._bytes_read = 0
        self._closing = threading.Lock()
        self._is_closed = False
        self._scope = Scope(scope)
        self._attempts = Attempts(self._scope, retry=retry, lane=lane, uniform=uniform)
        self._scope.on_set(self._on_interrupt)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def in_flight(self) -> int:
        """Downloads that are going on."""
        return self._in_flight

    def start(self) -> None:
        """Start the prefetch without waiting for the first read; later calls do nothing."""
        with self._changed:
            if self._manager is None and not self._scope.is_set():
                self._manager = threading.Thread(
                    target=self._prefetch, name="prefetch", daemon=True
                )
                self._manager.start()

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer only at the end or before a failure, b"" at the end.

        What was read before a failure is returned; the failure is raised by the next call.

        Raises:
            ValueError: `size` is negative.
            ClosedPipeError: the reader was interrupted or closed.
            CorruptedFileError: the next article does not exist.
            FetchError: the next article could not be fetched.
        """
        if size < 0:
            message = f"size={size} must not be negative: a stream has no end to count from"
            raise ValueError(message)
        if size:
            self.start()
        taken = bytearray()
        while len(taken) < size:
            try:
                piece = self._read_piece(size - len(taken))
            except Exception:
                if taken:
                    break
                raise
            if not piece:
                break
            taken += piece
        return bytes(taken)

    def buffered_offset(self) -> int:
        """Return how many bytes from the start are consumed or ready without a gap."""
        with self._changed:
            ahead = self._segments[self._consumed :]
            consumed = self._bytes_read
            buffered = consumed - self._offset
        for segment in ahead:
            if not segment.is_loaded:
                break
            buffered += segment.size
        return max(buffered, consumed)

    def interrupt(self) -> None:
        """End every wait and every download; never waits for any of them, and may be repeated."""
        self._scope.cancel(ClosedPipeError("the reader was closed"))

    def close(self) -> None:
        """Interrupt, wait for the manager, drop the data; a second caller waits for the first.

        Downloads are not joined: they end by cancellation, as fast as the client honours it.
        """
        with self._closing:
            if self._is_closed:
                return
            self._is_closed = True
            self.interrupt()
            self._join_manager()
            with self._changed:
                self._segments.clear()
            self._scope.detach()

    # The consumer.

    def _read_piece(self, size: int) -> memoryview | bytes:
        segment = self._current()
        if segment is None:
            return b""
        data = self._payload(segment)
        piece = data[self._offset : self._offset + size]
        with self._changed:
            self._bytes_read += len(piece)
            self._offset += len(piece)
        if self._offset == len(data):
            self._advance()
        return piece

    def _current(self) -> "Segment | None":
        with self._changed:
            self._check_open()
            if self._consumed >= len(self._segments):
                return None
            return self._segments[self._consumed]

    def _payload(self, segment: "Segment") -> memoryview:
        try:
            return segment.payload()
        except Exception as exc:
            # A download that dies of the interrupt may speak up before the interrupt gets here.
            self._check_open()
            if isinstance(exc, FetchError) and exc.is_missing:
                raise CorruptedFileError(self._bytes_read) from exc
            raise

    def _check_open(self) -> None:
        if self._scope.is_set():
            # An exception of its own for each read: a shared one would grow tracebacks.
            message = "read from a reader that was interrupted or closed"
            raise ClosedPipeError(message) from self._scope.cause

    def _advance(self) -> None:
        # The notification happens under the lock with which the manager waits. Without it the
        # manager may be between "is the window full?" and its wait, and sleep for ever.
        with self._changed:
            if self._consumed < len(self._segments):
                self._segments[self._consumed].release()
                self._consumed += 1
                self._offset = 0
            self._changed.notify_all()

    # The manager: one thread, from the first read until all is scheduled.

    def _prefetch(self) -> None:
        while (segment := self._take_next()) is not None:
            self._spawn(segment)
        if self._scope.is_set():
            # A deadline calls nobody, so a consumer may wait for a segment that nobody will fetch.
            self._release_all()

    def _take_next(self) -> "Segment | None":
        with self._changed:
            while not self._is_over() and not self._has_room():
                self._await_change()
            if self._is_over():
                return None
            segment = self._segments[self._scheduled]
            self._scheduled += 1
            return segment

    def _await_change(self) -> None:
        # The lock is held from the check to the wait, so that nothing can change in between.
        self._changed.wait(self._scope.remaining())

    def _is_over(self) -> bool:
        return self._scope.is_set() or self._scheduled == len(self._segments)

    def _has_room(self) -> bool:
        return policy.has_room(self._scheduled, self._consumed, self._window)

    def _spawn(self, segment: "Segment") -> None:
        name = f"download-{segment.id}"
        threading.Thread(target=self._download, args=(segment,), name=name, daemon=True).start()

    # A download: one thread per scheduled segment.

    def _download(self, segment: "Segment") -> None:
        try:
            with self._slot():
                segment.set_data(self._fetch(segment))
        except BaseException as exc:
            # Whatever it is, the consumer must not wait for ever.
            segment.set_error(exc)

    @contextmanager
    def _slot(self) -> Iterator[None]:
        self._count_in_flight(1)
        try:
            yield
        finally:
            self._count_in_flight(-1)

    def _count_in_flight(self, change: int) -> None:
        with self._changed:
            self._in_flight += change

    def _fetch(self, segment: "Segment") -> bytes:
        cached = None if self._cache is None else self._cache.get(segment.id)
        if cached is not None and policy.is_complete(len(cached), segment.end):
            return cached
        self._check_open()
        data = self._attempts.fetch(self._get_client(), segment.id, segment.end)
        if self._cache is not None:
            self._cache[segment.id] = data
        return data

    # The end.

    def _on_interrupt(self) -> None:
        self._broadcast()
        self._release_all()

    def _broadcast(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _release_all(self) -> None:
        with self._changed:
            segments = list(self._segments)
        for segment in segments:
            segment.release()

    def _join_manager(self) -> None:
        # One broadcast is enough, since it is made under the lock. The repetition turns a lost
        # wake-up, should one ever creep in, from thirty seconds into half of one.
        manager = self._manager
        deadline = time.monotonic() + policy.CLOSE_TIMEOUT
        while manager is not None and manager.is_alive() and time.monotonic() < deadline:
            manager.join(policy.CLOSE_TICK)
            self._broadcast()
        if manager is not None and manager.is_alive():
            logger.warning(
                "the prefetch thread is still alive %s s after close", policy.CLOSE_TIMEOUT
            )


class Attempts:
    """Asks for an article, and once more if that fails; any thread."""

    def __init__(
        self,
        scope: Scope,
        *,
        retry: Retry = Retry(),  # noqa: B008 - frozen, so that sharing it is safe
        lane: str = "priority",
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """Make them end with `scope`; the other arguments are those of the reader."""
        self._scope = scope
        self._retry = retry
        self._lane = lane
        self._uniform = uniform

    def fetch(self, client: Client, id: str, last: int) -> bytes:
        """Return an article that reaches byte `last`.

        Raises:
            FetchError: every attempt failed, or the scope was set between two.
        """
        errors: list[Exception] = []
        while True:
            try:
                return self._attempt(client, id, last)
            except Exception as exc:
                errors.append(exc)
            is_last = self._is_final(errors[-1]) or not self._may_retry(len(errors))
            if is_last or not self._pause(self._delay_after(errors[-1])):
                message = f"{id} could not be fetched"
                raise FetchError(message, errors)

    def _attempt(self, client: Client, id: str, last: int) -> bytes:
        timeout = self._attempt_timeout()
        data: bytes = client.call(id, timeout=timeout, cancel=self._scope, lane=self._lane)
        self._verify(data, id, last)
        return data

    def _attempt_timeout(self) -> float | None:
        return policy.attempt_timeout(self._retry, self._scope.remaining())

    def _verify(self, data: bytes, id: str, last: int) -> None:
        # A short payload would shift every byte after it without a word.
        if not policy.is_complete(len(data), last):
            message = f"data corruption detected: {id} ends after {len(data)} bytes"
            raise CorruptionError(message)

    def _is_final(self, exc: Exception) -> bool:
        return is_missing(exc)

    def _may_retry(self, attempts: int) -> bool:
        return attempts < self._retry.attempts

    def _delay_after(self, exc: Exception) -> float:
        # Who has waited for a deadline has waited long enough.
        return 0.0 if isinstance(exc, TimeoutError) else self._backoff()

    def _backoff(self) -> float:
        return policy.backoff(self._retry, self._uniform)

    def _pause(self, seconds: float) -> bool:
        """Wait between two attempts; False if the scope was set meanwhile."""
        return not self._scope.wait(seconds)


class Segment:
    """The cell in which one article is handed over; any thread may call any method."""

    # invariant: once there is an error it stays, and beats data

    def __init__(self, piece: Slice) -> None:
        """Make an empty cell for the bytes that `piece` names."""
        self.id = piece.id
        self.start = piece.start
        self.end = piece.end
        self._ready = threading.Condition()
        self._data: memoryview | None = None
        self._error: BaseException | None = None

    @property
    def size(self) -> int:
        """Bytes of the article that are wanted."""
        return self.end - self.start + 1

    @property
    def is_loaded(self) -> bool:
        """Whether the data are here, and no error."""
        with self._ready:
            return self._error is None and self._data is not None

    def set_data(self, data: bytes) -> None:
        """Hand over the whole article; ignored after an error or a release."""
        with self._ready:
            if self._error is None:
                self._data = memoryview(data)[self.start : self.end + 1]
            self._ready.notify_all()

    def set_error(self, exc: BaseException) -> None:
        """Fail the segment; the first error wins, also over data."""
        with self._ready:
            if self._error is None:
                self._error = exc
                self._data = None
            self._ready.notify_all()

    def release(self) -> None:
        """Drop the data and fail whoever waits; may be repeated."""
        self.set_error(ClosedPipeError(f"{self.id} was released"))

    def payload(self, cancel: Scope | None = None) -> memoryview:
        """Wait for the wanted bytes.

        Args:
            cancel: ends this wait and nothing else; a later call may succeed.

        Raises:
            BaseException: the first error set, or the cause of `cancel`.
        """
        if cancel is None:
            return self._wait(None)
        take_back = cancel.on_set(self._wake)
        try:
            return self._wait(cancel)
        finally:
            take_back()

    def _wait(self, cancel: Scope | None) -> memoryview:
        with self._ready:
            while self._error is None and self._data is None:
                if cancel is not None and cancel.is_set():
                    raise cancel.cause or ClosedPipeError()
                self._ready.wait(None if cancel is None else cancel.remaining())
            if self._error is not None:
                raise self._error
            assert self._data is not None
            return self._data

    def _wake(self) -> None:
        with self._ready:
            self._ready.notify_all()


def is_missing(exc: Exception) -> bool:
    """Say whether this is the answer of a server that does not have the article."""
    return isinstance(exc, ResponseError) and policy.is_missing(exc.code)


__all__ = [
    "Article",
    "Client",
    "ClosedPipeError",
    "CorruptedFileError",
    "CorruptionError",
    "FetchError",
    "Reader",
    "ResponseError",
    "Retry",
    "Segment",
    "Slice",
    "is_missing",
]
