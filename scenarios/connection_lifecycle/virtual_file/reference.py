"""A file made of articles: reads through one shared reader, and a close that never waits.

It does not know how a reader gets its bytes; it only opens, reads, interrupts and closes readers.

    read()   ─ mu ─▶ reader.read() … blocked for seconds
    close()  ─ closing = True ─▶ interrupt, without mu ─▶ the read fails at once ─ mu ─▶ tidy up

The order is the point: a close that took `mu` first would wait for the slowest download. The
`closing` flag is set before the interrupt and read again by a read that has just installed its
reader, so that one of the two always sees the other.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from scenarios.connection_lifecycle.reader.reference import ClosedPipeError, CorruptedFileError

from . import policy


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

    # invariant: at most one shared reader, touched under mu only, except for interrupting it
    # invariant: the slot holds the shared reader or nothing

    def __init__(
        self,
        open_reader: Callable[[int], SharedReader],
        size: int,
        *,
        unregister: Callable[[], None] | None = None,
    ) -> None:
        """Make a file that opens its first reader at the first read.

        Args:
            open_reader: returns a reader that starts at the given offset.
            size: bytes of the file.
            unregister: called once, by `close`.
        """
        self._open_reader = open_reader
        self._size = size
        self._unregister = unregister
        self._mu = threading.Lock()
        self._position = 0
        self._reader: SharedReader | None = None
        self._slot: SharedReader | None = None
        self._closers = Closers()
        self._is_closing = False
        self._is_closed = False
        self._is_healthy = True

    @property
    def is_healthy(self) -> bool:
        """False once an article turned out to be missing."""
        return self._is_healthy

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer at the end of the file or before a failure.

        Raises:
            ClosedPipeError: the file was closed, before or meanwhile.
            CorruptedFileError: an article is missing.
        """
        with self._mu:
            self._check_open()
            taken = bytearray()
            wanted = policy.wanted(self._position, size, self._size)
            while len(taken) < wanted:
                try:
                    piece = self._read_piece(wanted - len(taken))
                except Exception:
                    if taken:
                        break
                    raise
                taken += piece
            return bytes(taken)

    def seek(self, offset: int) -> int:
        """Go to `offset` from the start and return it; another reader will serve the next read.

        Raises:
            ValueError: the offset lies outside the file.
            ClosedPipeError: the file was closed.
        """
        with self._mu:
            self._check_open()
            if not policy.is_inside(offset, self._size):
                message = f"offset={offset} must lie within the {self._size} bytes of the file"
                raise ValueError(message)
            if offset != self._position:
                self._detach()
                self._position = offset
            return offset

    def close(self) -> None:
        """Interrupt whoever reads, then tidy up; later calls do nothing.

        Readers still in the hands of the closers are closed when this returns.
        """
        self._is_closing = True
        self._interrupt_current()
        with self._mu:
            self._close_locked()
        self._closers.join()

    # The shared reader; all of it under mu but _interrupt_current.

    def _check_open(self) -> None:
        if self._is_closing:
            message = "the file was closed"
            raise ClosedPipeError(message)

    def _read_piece(self, size: int) -> bytes:
        is_fresh = self._reader is None
        reader = self._ensure_reader()
        try:
            piece = reader.read(size)
        except CorruptedFileError:
            self._is_healthy = False
            raise
        if not piece:
            self._detach()
            if is_fresh:
                # An article that decodes to nothing must not be fetched for ever.
                message = f"a new reader at {self._position} of {self._size} bytes had no data"
                raise EOFError(message)
        self._position += len(piece)
        return piece

    def _ensure_reader(self) -> SharedReader:
        if self._reader is None:
            self._install(self._open_reader(self._position))
        assert self._reader is not None
        # A close that came before the slot was filled has interrupted nobody; it has set the flag.
        self._check_open()
        return self._reader

    def _install(self, reader: SharedReader | None) -> None:
        self._reader = reader
        self._slot = reader

    def _detach(self) -> None:
        reader = self._reader
        self._install(None)
        if reader is not None:
            self._retire(reader)

    def _retire(self, reader: SharedReader) -> None:
        # Interrupted first: a reader that waits for a closer would hold its connections meanwhile.
        self._interrupt(reader)
        self._closers.offer(reader)

    def _interrupt_current(self) -> None:
        # One look at the slot: the reader may go away between two.
        reader = self._slot
        if reader is not None:
            self._interrupt(reader)

    def _interrupt(self, reader: SharedReader) -> None:
        reader.interrupt()

    def _close_locked(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        if self._unregister is not None:
            self._unregister()
        reader = self._reader
        self._install(None)
        if reader is not None:
            reader.close()


class Closers:
    """At most four threads that close readers, and at most four readers that wait for one.

    `offer` is called under the file's lock, `join` once the file is closed; any thread.
    """

    def __init__(self) -> None:
        """Start nothing: threads begin with the first offer."""
        self._room = threading.BoundedSemaphore(policy.CLOSERS + policy.CLOSER_QUEUE)
        self._workers = ThreadPoolExecutor(policy.CLOSERS, thread_name_prefix="closer")

    def offer(self, reader: SharedReader) -> None:
        """Have a worker close the reader; close it here if all are busy and the queue is full."""
        if self._room.acquire(blocking=False):
            self._workers.submit(self._close, reader)
        else:
            reader.close()

    def join(self) -> None:
        """Wait until every reader that was offered is closed; may be repeated."""
        self._workers.shutdown()

    def _close(self, reader: SharedReader) -> None:
        try:
            reader.close()
        finally:
            self._room.release()
