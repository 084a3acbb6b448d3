"""A file made of articles: one shared reader, a small cache, and a close that never waits.

It does not know how a reader gets its bytes; it only opens, reads, interrupts and closes readers.

    read(), read_at() ─ mu ─▶ shared reader │ cached segment │ one-shot reader … blocked for seconds
    close() ─ closing = True ─▶ interrupt, without mu ─▶ the read fails at once ─ mu ─▶ tidy up
    no longer wanted ─▶ interrupt ─▶ a queue of four ─▶ four closers; closed right here if full

The order is the point: a close that took `mu` first would wait for the slowest download. The
`closing` flag is set before the interrupt and read again by a read that has just put its reader
where the interrupt looks, so that one of the two always sees the other.
"""

import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from queue import SimpleQueue
from typing import Protocol

from scenarios.connection_lifecycle.reader.reference import (
    ClosedPipeError,
    CorruptedFileError,
    CorruptionError,
    FetchError,
)
from scenarios.connection_lifecycle.scope import Scope

from . import policy
from .policy import Layout

logger = logging.getLogger(__name__)
# Whoever uses the file decides who hears it.
logger.addHandler(logging.NullHandler())


class SharedReader(Protocol):
    """A stream of bytes from some offset; `interrupt` may come from any thread and never waits."""

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, b"" at the end of what this reader covers."""
        ...

    def interrupt(self) -> None:
        """Make a blocked read fail now."""

    def close(self) -> None:
        """Give everything back; may take long."""


class VirtualFile:
    """A file that any threads may share; reads and seeks take turns, close overtakes them.

    A reader that is no longer wanted is interrupted at once and closed by one of four workers.
    """

    # invariant: all but the two flags and the slot is touched under mu only
    # invariant: the slot holds the reader that is read from, shared or not, and else the shared one
    # invariant: the shared reader stands at _next

    def __init__(
        self,
        open_reader: Callable[[int, int], SharedReader],
        layout: Layout,
        *,
        random_reads: "RandomReads | None" = None,
        closers: "Closers | None" = None,
        unregister: Callable[[], None] | None = None,
    ) -> None:
        """Make a file that opens its first reader at the first read.

        Args:
            open_reader: returns a reader over the bytes `start` to `end`, both included.
            layout: sizes of the file and its segments.
            random_reads: serves reads that jump; None for readers of their own and no cache.
            closers: closes what is no longer wanted; None for four of its own.
            unregister: called once, by `close`.
        """
        self._open_reader = open_reader
        self._layout: Layout | None = layout
        self._unregister = unregister
        self._mu = threading.Lock()
        self._position = 0
        self._next = 0
        self._reader: SharedReader | None = None
        self._slot: SharedReader | None = None
        # Not `or`: an empty cache is false.
        if random_reads is None:
            random_reads = RandomReads(open_reader, layout)
        self._random_reads = random_reads
        self._closers = Closers() if closers is None else closers
        self._is_closing = False
        self._is_healthy = True

    @property
    def is_healthy(self) -> bool:
        """False once an article turned out to be missing."""
        return self._is_healthy

    def read(self, size: int, *, cancel: Scope | None = None) -> bytes:
        """Return the next `size` bytes, fewer at the end of the file or before a failure.

        Args:
            size: how many bytes.
            cancel: ends this read, and the reader it reads from, and nothing else.

        Raises:
            ClosedPipeError: the file was closed, before or meanwhile.
            CorruptedFileError: an article is missing.
            EOFError: a new reader had no data at all.
            Exception: the cause of `cancel`, or what the reader raised.
        """
        with self._turn() as layout:
            view = memoryview(bytearray(self._wanted(layout, self._position, size)))
            filled = self._read_shared(layout, view, self._position, cancel)
            self._position += filled
            return bytes(view[:filled])

    def read_at(
        self, buffer: bytearray | memoryview, offset: int, *, cancel: Scope | None = None
    ) -> int:
        """Fill `buffer` from `offset` and return how many bytes that were; the position stays.

        Fewer than the buffer holds at the end of the file (0 behind it) or before a failure, which
        the next call raises. The rest of the buffer is not touched.

        Args:
            buffer: where the bytes go; it never changes its size.
            offset: from the start of the file.
            cancel: as for `read`.

        Raises:
            ValueError: `offset` is negative.
            Exception: as for `read`.
        """
        if offset < 0:
            message = f"offset={offset} must not be negative: a file begins at 0"
            raise ValueError(message)
        with self._turn() as layout:
            # Clamped once, for every way to the bytes. A view, because a slice of a bytearray that
            # is assigned fewer bytes makes it shorter.
            view = memoryview(buffer)[: self._wanted(layout, offset, len(buffer))]
            if not view:
                return 0
            if offset == self._next:
                return self._read_shared(layout, view, offset, cancel)
            self._detach()
            filled = self._random_reads.read(view, offset, self._borrowed, cancel)
            # Who goes on from here reads on, and is worth a shared reader.
            self._next = offset + filled
            return filled

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place and return it; another reader will serve the next read.

        Raises:
            ValueError: the place lies outside the file, or there is no such `whence`.
            ClosedPipeError: the file was closed.
        """
        with self._turn() as layout:
            place = policy.target(offset, whence, self._position, layout.size)
            if place != self._position:
                self._detach()
                self._position = self._next = place
            return place

    def close(self) -> None:
        """Interrupt whoever reads, then tidy up; later calls wait for the first and do nothing.

        Readers still in the hands of the closers are closed when this returns.
        """
        self._is_closing = True
        self._interrupt_current()
        with self._mu:
            self._close_locked()
        self._closers.join()

    # All of it under mu, from here to _interrupt_current.

    @contextmanager
    def _turn(self) -> Iterator[Layout]:
        with self._mu:
            # Asked under the lock: whoever asks before it may find the file closed behind it.
            layout = self._check_open()
            try:
                yield layout
            except CorruptedFileError:
                self._is_healthy = False
                raise

    def _check_open(self) -> Layout:
        if self._is_closing or self._layout is None:
            message = "the file was closed"
            raise ClosedPipeError(message)
        return self._layout

    def _wanted(self, layout: Layout, offset: int, size: int) -> int:
        return policy.wanted(offset, size, layout.size)

    def _read_shared(
        self, layout: Layout, view: memoryview, offset: int, cancel: Scope | None
    ) -> int:
        filled = 0
        while filled < len(view):
            try:
                filled += self._next_piece(layout, view[filled:], offset + filled, cancel)
            except Exception:
                # A failure behind some bytes stays with its reader, for the next call to raise.
                if filled and not (cancel is not None and cancel.is_set()):
                    break
                self._detach()
                if filled:
                    break
                raise
        return filled

    def _next_piece(
        self, layout: Layout, view: memoryview, offset: int, cancel: Scope | None
    ) -> int:
        is_fresh = self._ensure_reader(layout, offset)
        reader = self._reader
        assert reader is not None
        size = _pull(reader, view, cancel)
        if not size:
            self._detach()
            self._check_progress(offset, is_fresh=is_fresh)
        self._next = offset + size
        return size

    def _check_progress(self, offset: int, *, is_fresh: bool) -> None:
        if is_fresh:
            # An article that decodes to nothing must not be fetched for ever.
            raise _nothing_at(offset)

    def _ensure_reader(self, layout: Layout, offset: int) -> bool:
        """Have the shared reader stand at `offset`, and say whether it is a new one."""
        if self._next != offset:
            self._detach()
        is_fresh = self._reader is None
        if is_fresh:
            self._install(self._open_reader(offset, layout.size - 1))
            self._next = offset
        self._check_again()
        return is_fresh

    def _check_again(self) -> None:
        # A close that came before the slot was filled has interrupted nobody; it has set the flag.
        self._check_open()

    def _install(self, reader: SharedReader | None) -> None:
        self._reader = reader
        self._slot = reader

    # Reads that jump about.

    @contextmanager
    def _borrowed(self, reader: SharedReader) -> Iterator[SharedReader]:
        """Have close interrupt this reader while it is read from; then it is closed."""
        try:
            self._slot = reader
            self._check_again()
            yield reader
        finally:
            self._slot = None
            self._retire(reader)

    # The end of a reader, and of the file.

    def _detach(self) -> None:
        reader = self._reader
        self._install(None)
        if reader is not None:
            self._retire(reader)

    def _retire(self, reader: SharedReader) -> None:
        # Interrupted first: a reader that waits for a closer would hold its connections meanwhile.
        self._interrupt(reader)
        self._closers.offer(reader)

    def _close_locked(self) -> None:
        if self._layout is None:
            return
        self._layout = None
        unregister, self._unregister = self._unregister, None
        reader = self._reader
        self._install(None)
        with ExitStack() as last_first:
            last_first.callback(self._closers.finish)
            last_first.callback(self._random_reads.clear)
            if reader is not None:
                last_first.callback(reader.close)
            if unregister is not None:
                last_first.callback(unregister)

    # Without mu.

    def _interrupt_current(self) -> None:
        # One look at the slot: the reader may go away between two.
        reader = self._slot
        if reader is not None:
            self._interrupt(reader)

    def _interrupt(self, reader: SharedReader) -> None:
        reader.interrupt()


Borrow = Callable[[SharedReader], AbstractContextManager[SharedReader]]


class RandomReads:
    """Reads that jump: from a segment in the cache, or by a reader of their own.

    Belongs to one file and is used under its lock. Holding it makes each fetch the only one of its
    segment.
    """

    def __init__(
        self,
        open_reader: Callable[[int, int], SharedReader],
        layout: Layout,
        *,
        open_segment: Callable[[int], SharedReader] | None = None,
    ) -> None:
        """Make an empty cache.

        Args:
            open_reader: returns a reader over the bytes `start` to `end`, both included.
            layout: where the segments begin.
            open_segment: returns a reader over one whole segment, by its index; None for no cache.
        """
        self._open_reader = open_reader
        self._layout = layout
        self._open_segment = open_segment
        self._cache = self._new_cache()

    def __len__(self) -> int:
        return len(self._cache)

    def read(
        self, view: memoryview, offset: int, borrow: Borrow, cancel: Scope | None = None
    ) -> int:
        """Fill `view` from `offset` of the file and return how many bytes that were.

        Args:
            view: where the bytes go; not empty, and no longer than the file from `offset` on.
            offset: from the start of the file.
            borrow: makes a reader known while it is read from, and has it closed.
            cancel: ends the read.

        Raises:
            EOFError: there was no data at all.
            Exception: what the reader raised, or the cause of `cancel`.
        """
        index = self._cacheable(offset, len(view))
        data = None if index < 0 else self._segment(index, offset, borrow, cancel)
        if data is not None:
            at = offset - self._layout.starts[index]
            view[:] = data[at : at + len(view)]
            return len(view)
        with borrow(self._open_reader(offset, offset + len(view) - 1)) as reader:
            filled = _fill(reader, view, cancel)
        if not filled:
            raise _nothing_at(offset)
        return filled

    def clear(self) -> None:
        """Forget every segment."""
        self._cache.clear()

    def _cacheable(self, offset: int, size: int) -> int:
        """Return the segment that may serve the read, -1 if none may."""
        if self._open_segment is None or not self._layout.is_plain:
            return -1
        return self._layout.segment_of(offset, size)

    def _segment(
        self, index: int, offset: int, borrow: Borrow, cancel: Scope | None
    ) -> memoryview | None:
        """Return the whole segment, from the cache or the wire; None if it came cut short."""
        data = self._cache.get(self._cache_key(index, offset))
        if data is None:
            data = self._fetch(index, borrow, cancel)
            if not self._is_whole(data, index):
                return None
            self._cache.put(self._cache_key(index, offset), data)
        return data

    def _fetch(self, index: int, borrow: Borrow, cancel: Scope | None) -> memoryview:
        assert self._open_segment is not None
        view = memoryview(bytearray(self._layout.sizes[index]))
        with borrow(self._open_segment(index)) as reader:
            try:
                return view[: _fill(reader, view, cancel)].toreadonly()
            except FetchError as exc:
                # The index may claim more than there is: what is there is asked for by itself. Any
                # other failure is final, else every failure would cost twice the calls.
                if not self._is_shortness(exc):
                    raise
                return view[:0]

    def _is_shortness(self, exc: FetchError) -> bool:
        return all(isinstance(each, CorruptionError) for each in exc.exceptions)

    def _is_whole(self, data: memoryview, index: int) -> bool:
        return len(data) == self._layout.sizes[index]

    def _cache_key(self, index: int, offset: int) -> int:
        return index

    def _new_cache(self) -> "SegmentCache":
        return SegmentCache(policy.CACHED_SEGMENTS)


def _fill(reader: SharedReader, view: memoryview, cancel: Scope | None) -> int:
    filled = 0
    while filled < len(view):
        size = _pull(reader, view[filled:], cancel)
        if not size:
            break
        filled += size
    return filled


def _pull(reader: SharedReader, view: memoryview, cancel: Scope | None) -> int:
    """Read once and return how many bytes of the view that filled, 0 at the end."""
    if cancel is not None:
        return CancellableRead(reader, view).result(cancel)
    piece = reader.read(len(view))
    view[: len(piece)] = piece
    return len(piece)


def _nothing_at(offset: int) -> EOFError:
    return EOFError(f"a new reader at {offset} had no data, before the end of the file")


class SegmentCache:
    """The segments used last, at most `capacity`; belongs to one file, used under its lock."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._segments: OrderedDict[int, memoryview] = OrderedDict()

    def __len__(self) -> int:
        return len(self._segments)

    def get(self, key: int) -> memoryview | None:
        """Return a segment, which is then the one used last, or None."""
        if key not in self._segments:
            return None
        self._segments.move_to_end(key)
        return self._segments[key]

    def put(self, key: int, data: memoryview) -> None:
        """Keep a segment; the one that was not used for longest makes room."""
        self._segments[key] = data
        self._segments.move_to_end(key)
        while len(self._segments) > self._capacity:
            self._segments.popitem(last=False)

    def clear(self) -> None:
        """Forget them all."""
        self._segments.clear()


class CancellableRead:
    """One read by a thread of its own, so that who waits for it can leave; one use."""

    # invariant: the view is written by who waits, never by the thread, which may outlive the wait

    def __init__(self, reader: SharedReader, view: memoryview) -> None:
        """Start to read as much as `view` holds."""
        self._reader = reader
        self._view = view
        self._data: bytes | memoryview = b""
        self._error: BaseException | None = None
        self._over = Scope()
        self._thread = threading.Thread(target=self._run, name="cancellable-read", daemon=True)
        self._thread.start()

    def result(self, cancel: Scope) -> int:
        """Wait for the bytes; at the end of `cancel` interrupt the reader, and leave soon after.

        Raises:
            Exception: the cause of `cancel`, or what the read raised.
        """
        withdraw = cancel.on_set(self._over.cancel)
        try:
            self._over.wait(cancel.remaining())
        finally:
            withdraw()
        if cancel.is_set() and cancel.cause is not None:
            self._interrupt()
            # A reader that hears no interrupt keeps its thread, not its caller.
            self._thread.join(policy.DRAIN_TIMEOUT)
            raise cancel.cause
        if self._error is not None:
            raise self._error
        return self._hand_over()

    def _run(self) -> None:
        try:
            self._data = self._reader.read(len(self._view))
        except BaseException as exc:
            self._error = exc
        self._over.cancel()

    def _interrupt(self) -> None:
        self._reader.interrupt()

    def _hand_over(self) -> int:
        self._view[: len(self._data)] = self._data
        return len(self._data)


class Closers:
    """At most four threads that close readers, and at most four readers that wait for one.

    `offer` and `finish` are called under the file's lock, `join` without it; any thread.
    """

    # invariant: queued + being closed by a worker <= workers + queue
    # invariant: a worker ends at the first None that it takes, and there is one for each

    def __init__(self, workers: int = policy.CLOSERS, queue: int = policy.CLOSER_QUEUE) -> None:
        """Start nothing: threads begin with the first offers."""
        self._workers = workers
        self._room = threading.BoundedSemaphore(workers + queue)
        self._queue: SimpleQueue[SharedReader | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._is_finished = False

    def offer(self, reader: SharedReader) -> None:
        """Have a worker close the reader; close it here if all are busy and the queue is full."""
        # Nobody would end workers that start when the file is closed.
        if self._is_finished or not self._has_room():
            self._close_here(reader)
        else:
            self._queue_up(reader)

    def finish(self) -> None:
        """Let the workers end once the queue is empty; may be repeated."""
        if not self._is_finished:
            self._is_finished = True
            for _ in self._threads:
                self._queue.put(None)

    def join(self) -> None:
        """Wait until every reader that was offered is closed; may be repeated."""
        for thread in self._threads:
            thread.join()

    def _has_room(self) -> bool:
        return self._room.acquire(blocking=False)

    def _close_here(self, reader: SharedReader) -> None:
        self._close(reader)

    def _queue_up(self, reader: SharedReader) -> None:
        self._queue.put(reader)
        if len(self._threads) < self._workers:
            name = f"closer-{len(self._threads) + 1}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _work(self) -> None:
        while (reader := self._queue.get()) is not None:
            self._close(reader)
            self._room.release()

    def _close(self, reader: SharedReader) -> None:
        try:
            reader.close()
        except Exception:
            # It is nobody's reader any more, and the worker has others to close.
            logger.exception("a reader could not be closed")


__all__ = [
    "CancellableRead",
    "Closers",
    "Layout",
    "RandomReads",
    "SegmentCache",
    "SharedReader",
    "VirtualFile",
]
