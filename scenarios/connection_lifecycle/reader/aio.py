"""The reader for asyncio: the same window, the same two attempts, and a close that cancels.

It decides by the same `policy` as the reader for threads and raises the same errors. It knows no
manager: whoever starts it or takes a segment from it schedules what the window then has room for,
without an `await` in between, so there is nobody to wake and no wake-up to lose.

    read() ─▶ room in the window? ─▶ one task a segment: fetch, at most twice ─▶ set_data, set_error
      │ waits for the current segment ◀───────────────────────────────────────────┘
      └─ advance ─▶ room again
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Protocol, Self

from . import policy
from .policy import Retry, Slice
from .reference import (
    ClosedPipeError,
    CorruptedFileError,
    CorruptionError,
    FetchError,
    is_missing,
)

logger = logging.getLogger(__name__)
# Whoever uses the reader decides who hears it.
logger.addHandler(logging.NullHandler())


class AsyncClient(Protocol):
    """Where articles come from; a call ends when its task is cancelled."""

    async def call(self, key: str = ..., *, lane: str = ...) -> Any:
        """Return the bytes of article `key`.

        Raises:
            ResponseError: the server has no such article, or refuses.
        """


class AsyncReader:
    """A forward-only stream of bytes, downloaded at most `window` segments ahead; one loop.

    `read` belongs to one task at a time, and any task may call any other method at any time. A task
    that is cancelled in `read` loses no byte: the next read returns what it had. The owner must
    call `close`, also after `interrupt`; `async with` does.
    """

    # invariant: 0 <= consumed <= scheduled <= len(segments), scheduled - consumed <= window
    # invariant: each segment is scheduled once, in order; consumed segments hold no data

    def __init__(
        self,
        get_client: Callable[[], AsyncClient],
        slices: Iterable[Slice],
        *,
        window: int = policy.DEFAULT_WINDOW,
        retry: Retry = Retry(),  # noqa: B008 - frozen, so that sharing it is safe
        lane: str = "priority",
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
            cache: whole articles by id, asked before the wire.
            uniform: draws the jitter, `uniform(low, high)`.
        """
        self._get_client = get_client
        self._segments = [AsyncSegment(piece) for piece in slices]
        self._window = policy.window_size(window)
        self._retry = retry
        self._lane = lane
        self._cache = cache
        self._uniform = uniform
        # Held strongly: the loop itself forgets tasks. A dictionary, to cancel them in one order.
        self._downloads: dict[asyncio.Task[None], None] = {}
        self._taken = bytearray()
        self._scheduled = 0
        self._consumed = 0
        self._in_flight = 0
        self._offset = 0
        self._bytes_read = 0
        self._is_interrupted = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def in_flight(self) -> int:
        """Downloads that are going on."""
        return self._in_flight

    def start(self) -> None:
        """Start the prefetch without waiting for the first read; may be repeated."""
        while not self._is_over() and self._has_room():
            segment = self._segments[self._scheduled]
            self._scheduled += 1
            self._spawn(segment)

    async def read(self, size: int) -> bytes:
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
        # Kept in the reader, so that a read that is cancelled here has lost nothing.
        while len(self._taken) < size:
            try:
                piece = await self._read_piece(size - len(self._taken))
            except Exception:
                if self._taken:
                    break
                raise
            if not piece:
                break
            self._taken += piece
        taken = bytes(self._taken[:size])
        del self._taken[:size]
        return taken

    def buffered_offset(self) -> int:
        """Return how many bytes from the start are consumed or ready without a gap."""
        buffered = self._bytes_read - self._offset
        for segment in self._segments[self._consumed :]:
            if not segment.is_loaded:
                break
            buffered += segment.size
        return max(buffered, self._bytes_read)

    def interrupt(self) -> None:
        """End every wait and every download; never waits for any of them, and may be repeated."""
        self._is_interrupted = True
        for task in self._downloads:
            task.cancel()
        for segment in self._segments:
            segment.release()

    async def close(self) -> None:
        """Interrupt, wait until the downloads have ended, drop the data; may be repeated.

        A download that swallows its cancellation is left behind in the end.
        """
        self.interrupt()
        await self._join_downloads()
        self._segments.clear()
        self._taken.clear()

    # The consumer.

    async def _read_piece(self, size: int) -> memoryview | bytes:
        self._check_open()
        if self._consumed == len(self._segments):
            return b""
        data = await self._payload(self._segments[self._consumed])
        piece = data[self._offset : self._offset + size]
        self._bytes_read += len(piece)
        self._offset += len(piece)
        if self._offset == len(data):
            self._advance()
        return piece

    async def _payload(self, segment: "AsyncSegment") -> memoryview:
        try:
            return await segment.payload()
        except Exception as exc:
            self._check_open()
            if isinstance(exc, FetchError) and exc.is_missing:
                raise CorruptedFileError(self._bytes_read) from exc
            raise

    def _check_open(self) -> None:
        if self._is_interrupted:
            message = "read from a reader that was interrupted or closed"
            raise ClosedPipeError(message)

    def _advance(self) -> None:
        self._segments[self._consumed].release()
        self._consumed += 1
        self._offset = 0
        self.start()

    def _is_over(self) -> bool:
        return self._is_interrupted or self._scheduled == len(self._segments)

    def _has_room(self) -> bool:
        return policy.has_room(self._scheduled, self._consumed, self._window)

    # A download: one task per scheduled segment.

    def _spawn(self, segment: "AsyncSegment") -> None:
        name = f"download-{segment.id}"
        task = asyncio.get_running_loop().create_task(self._download(segment), name=name)
        self._downloads[task] = None
        task.add_done_callback(self._downloads.pop)

    async def _download(self, segment: "AsyncSegment") -> None:
        try:
            with self._slot():
                segment.set_data(await self._fetch(segment))
        except Exception as exc:
            # Whatever it is, the consumer must not wait for ever. A cancellation is no failure of
            # the segment: who cancels releases it, too.
            segment.set_error(exc)

    @contextmanager
    def _slot(self) -> Iterator[None]:
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    async def _fetch(self, segment: "AsyncSegment") -> bytes:
        cached = None if self._cache is None else self._cache.get(segment.id)
        if cached is not None and policy.is_complete(len(cached), segment.end):
            return cached
        data = await self._fetch_with_retry(self._get_client(), segment)
        if self._cache is not None:
            self._cache[segment.id] = data
        return data

    async def _fetch_with_retry(self, client: AsyncClient, segment: "AsyncSegment") -> bytes:
        errors: list[Exception] = []
        while True:
            try:
                return await self._attempt(client, segment)
            except Exception as exc:
                errors.append(exc)
            if self._is_final(errors[-1]) or not self._may_retry(len(errors)):
                message = f"{segment.id} could not be fetched"
                raise FetchError(message, errors)
            await self._pause(self._delay_after(errors[-1]))

    async def _attempt(self, client: AsyncClient, segment: "AsyncSegment") -> bytes:
        async with asyncio.timeout(self._attempt_timeout()):
            data: bytes = await client.call(segment.id, lane=self._lane)
        self._verify(data, segment)
        return data

    def _attempt_timeout(self) -> float | None:
        return policy.attempt_timeout(self._retry, None)

    def _verify(self, data: bytes, segment: "AsyncSegment") -> None:
        # A short payload would shift every byte after it without a word.
        if not policy.is_complete(len(data), segment.end):
            message = f"data corruption detected: {segment.id} ends after {len(data)} bytes"
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

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    # The end.

    async def _join_downloads(self) -> None:
        if not self._downloads:
            return
        _, left = await asyncio.wait(list(self._downloads), timeout=policy.CLOSE_TIMEOUT)
        if left:
            logger.warning(
                "%d downloads are still alive %s s after close", len(left), policy.CLOSE_TIMEOUT
            )


class AsyncSegment:
    """The cell in which one article is handed over; one loop, any task may call any method."""

    # invariant: once there is an error it stays, and beats data

    def __init__(self, piece: Slice) -> None:
        """Make an empty cell for the bytes that `piece` names."""
        self.id = piece.id
        self.start = piece.start
        self.end = piece.end
        # An event, not a future: a future that is awaited is cancelled with whoever awaits it.
        self._ready = asyncio.Event()
        self._data: memoryview | None = None
        self._error: Exception | None = None

    @property
    def size(self) -> int:
        """Bytes of the article that are wanted."""
        return self.end - self.start + 1

    @property
    def is_loaded(self) -> bool:
        """Whether the data are here, and no error."""
        return self._error is None and self._data is not None

    def set_data(self, data: bytes) -> None:
        """Hand over the whole article; ignored after an error or a release."""
        if self._error is None:
            self._data = memoryview(data)[self.start : self.end + 1]
        self._ready.set()

    def set_error(self, exc: Exception) -> None:
        """Fail the segment; the first error wins, also over data."""
        if self._error is None:
            self._error = exc
            self._data = None
        self._ready.set()

    def release(self) -> None:
        """Drop the data and fail whoever waits; may be repeated."""
        self.set_error(ClosedPipeError(f"{self.id} was released"))

    async def payload(self) -> memoryview:
        """Wait for the wanted bytes; to be cancelled here leaves the segment as it is.

        Raises:
            Exception: the first error set.
        """
        await self._ready.wait()
        if self._error is not None:
            raise self._error
        assert self._data is not None
        return self._data


__all__ = ["AsyncClient", "AsyncReader", "AsyncSegment"]
