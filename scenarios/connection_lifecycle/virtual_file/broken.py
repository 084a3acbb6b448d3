"""Virtual files and closers that are each wrong in one way; a storm in `storms.py` catches each.

Rows F… are those of the component's table 4.7, S9a to S9c the windows of section 4.5. D1 to D5 are
what is latent in the original: spinning on nothing (4.1), mixed use (4.1), the calls of a failing
segment (4.2), workers after the end (4.4), the absent index (4.4). A… is a line of the history in
section 8.1, counted from its first.

Not here: window d of 4.5, readers that wait in the closers' queue, is F22 seen from close. The
original's plain copy past the capacity of a slice (F0b) is no crash in Python; it has two forms
here, one that returns too much and one that resizes the caller's buffer.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Any

from scenarios.connection_lifecycle.reader.reference import ClosedPipeError, FetchError
from scenarios.connection_lifecycle.scope import Scope

from .policy import Layout
from .reference import (
    Borrow,
    CancellableRead,
    Closers,
    RandomReads,
    SegmentCache,
    SharedReader,
    VirtualFile,
)

# --- files ----------------------------------------------------------------------------------------


class CopiesTheBuffersLength(VirtualFile):
    """F0b: copies as much as the buffer holds, not as much as the file has left.

    Bug: the last segment reaches past the end of the file, and what lies there is handed out.
    Seen in: altmount, in production: slice bound 704512 over a capacity of 703432.
    Caught by: reads_end_with_the_file (Failed).
    """

    def _wanted(self, layout: Layout, offset: int, size: int) -> int:
        return min(size, layout.starts[-1] + layout.sizes[-1] - offset)


class ResizesTheBuffer(VirtualFile):
    """F0b: assigns to a slice of the caller's bytearray.

    Bug: fewer bytes assigned to a longer slice make the buffer itself shorter; no interleaving.
    Seen in: Python's own form of altmount's panic at the end of a file.
    Caught by: reads_end_with_the_file (Failed).
    """

    def read_at(
        self, buffer: bytearray | memoryview, offset: int, *, cancel: Scope | None = None
    ) -> int:
        copy = bytearray(len(buffer))
        filled = super().read_at(copy, offset, cancel=cancel)
        buffer[: len(buffer)] = copy[:filled]
        return filled


class UnregistersUnlocked(VirtualFile):
    """F0d: unregisters the stream before it has the lock.

    Bug: two closes both see the stream registered, and both take it off: its count goes below 0.
    Seen in: altmount, whose tracker removed a stream twice and counted activity below zero.
    Caught by: closes_unregister_once (Exactly).
    """

    def close(self) -> None:
        unregister = self._unregister
        if unregister is not None:
            unregister()
            self._unregister = None
        super().close()


class CloseWithoutInterrupt(VirtualFile):
    """F0d: closes without interrupting the read first.

    Bug: close waits its turn behind a read that waits for the slowest download.
    Seen in: altmount before its storm S9: a client that went away held its connections for 30 s.
    Caught by: disconnect_frees_the_connections, disconnects_wait_for_nobody (Elapsed).
    """

    def _interrupt_current(self) -> None:
        pass


class ClampsMissesOnly(VirtualFile):
    """F6: cuts a read at the end of the file only where it has to fetch the segment.

    Bug: the first read past the end is right, and the second, from the cache, returns too much.
    Seen in: altmount's fix of its panic names both arms, because one was easily forgotten.
    Caught by: reads_end_with_the_file (Failed).
    """

    def _wanted(self, layout: Layout, offset: int, size: int) -> int:
        is_hit = len(self._random_reads) > 0
        claimed = layout.starts[-1] + layout.sizes[-1]
        return min(size, claimed - offset) if is_hit else super()._wanted(layout, offset, size)


class ClampsHitsOnly(VirtualFile):
    """F6: cuts a read at the end of the file only where the segment is cached.

    Bug: the first read past the end returns too much, and the second is right.
    Seen in: altmount's fix of its panic names both arms, because one was easily forgotten.
    Caught by: reads_end_with_the_file (Failed).
    """

    def _wanted(self, layout: Layout, offset: int, size: int) -> int:
        is_hit = len(self._random_reads) > 0
        claimed = layout.starts[-1] + layout.sizes[-1]
        return min(size, claimed - offset) if not is_hit else super()._wanted(layout, offset, size)


class ClampsOneShort(VirtualFile):
    """F7: takes the last offset of the file for its size.

    Bug: end - offset instead of end - offset + 1: the last byte of a file is never read.
    Seen in: no issue that we know of; altmount's table of mutants names it.
    Caught by: reads_end_with_the_file (Failed).
    """

    def _wanted(self, layout: Layout, offset: int, size: int) -> int:
        return max(0, min(size, layout.size - 1 - offset))


class InterruptUnderLock(VirtualFile):
    """F17: interrupts the read only once it has the lock that the read holds.

    Bug: the order of two lines; close waits for the read that its next line would end.
    Seen in: gokeyless #186 of September 2017: close takes the lock of the read before it ends it.
    Caught by: disconnect_frees_the_connections, disconnects_wait_for_nobody (Elapsed).
    """

    def _interrupt_current(self) -> None:
        with self._mu:
            super()._interrupt_current()


class InterruptWaits(VirtualFile):
    """F19: waits, in its interrupt, until the last download has ended.

    The table names the time of the close, and the search for a deadlock: there is none, since a
    download ends without the lock of the file, and so it is the time.

    Bug: a download that does not hear the cancellation keeps close, and everybody behind it.
    Seen in: altmount 2417fa66 of December 2025, a stop() that joins before it lets go.
    Caught by: close_leaves_deaf_downloads_behind, disconnect_frees_the_connections (Elapsed).
    """

    def _interrupt(self, reader: SharedReader) -> None:
        super()._interrupt(reader)
        while getattr(reader, "in_flight", 0):
            time.sleep(0.100)


class AsksBeforeTheLock(VirtualFile):
    """F21: asks whether the file is open before it has the lock.

    Bug: a close between the question and the lock takes away the index that the read goes on with.
    Seen in: altmount until commit 78f29e3c of July 2026: a nil dereference in a read after close.
    Caught by: reads_race_a_close (Failed).
    """

    @contextmanager
    def _turn(self) -> Iterator[Layout]:
        self._check_open()
        with self._mu:
            layout: Any = self._layout
            yield layout


class DetachedNotInterrupted(VirtualFile):
    """F22: queues a reader that is no longer wanted without interrupting it.

    The table has four slow closers stuck and names the calls that are left; one closer that is
    stuck shows the same, and the calls left are a plain assert of the storm.

    Bug: four slow closes keep all closers busy, and the readers behind them keep downloading.
    Seen in: altmount until commit e95707d6 of June 2026.
    Caught by: seeks_free_the_connections (Failed).
    """

    def _retire(self, reader: SharedReader) -> None:
        self._closers.offer(reader)


class FlagReadTooEarly(VirtualFile):
    """S9a: does not look at the closing flag again once its reader is installed.

    Bug: close finds the slot empty and interrupts nobody; then the read installs its reader, and
    close waits for a whole download.
    Seen in: altmount, whose own tests sleep 50 to 100 ms before they close, to dodge it.
    Caught by: close_meets_the_first_reads (Elapsed).
    """

    def _check_again(self) -> None:
        pass


class NoClosingFlag(VirtualFile):
    """S9b: refuses a read only once close has had the lock.

    Bug: a read that queues for the lock gets it before close does, and opens a reader that nobody
    interrupts.
    Seen in: altmount, where only a lucky order of the lock's waiters saves the close.
    Caught by: close_meets_the_first_reads (Elapsed).
    """

    def _check_open(self) -> Layout:
        if self._layout is None:
            message = "the file was closed"
            raise ClosedPipeError(message)
        return self._layout


class BorrowedNotInstalled(VirtualFile):
    """S9c: does not tell close about readers that serve one read only.

    Bug: a read that jumps, or fills the cache, holds the lock for a whole download; close waits.
    Seen in: altmount to this day: only the shared reader is registered for the interrupt.
    Caught by: close_frees_reads_that_jump (Elapsed).
    """

    @contextmanager
    def _borrowed(self, reader: SharedReader) -> Iterator[SharedReader]:
        try:
            yield reader
        finally:
            self._retire(reader)


class SpinsOnNothing(VirtualFile):
    """D1: opens another reader whenever one ends before the file does.

    Bug: an article that decodes to nothing is fetched again and again, for ever; no interleaving.
    Seen in: altmount to this day: the end of a reader always means that the next may go on.
    Caught by: empty_articles_end_in_an_error (Calls).
    """

    def _check_progress(self, offset: int, *, is_fresh: bool) -> None:
        pass


class ReopensAtThePosition(VirtualFile):
    """D2: opens the shared reader where the file stands, not where the read begins.

    Bug: a jump, a seek and then a read that goes on from the jump gets the bytes of the seek.
    Seen in: altmount to this day: the position was moved past what the shared reader can serve.
    Caught by: mixed_use_returns_the_bytes_asked_for (Failed).
    """

    def _ensure_reader(self, layout: Layout, offset: int) -> bool:
        is_fresh = self._reader is None
        if is_fresh:
            self._install(self._open_reader(self._position, layout.size - 1))
            self._next = offset
        return super()._ensure_reader(layout, offset) or is_fresh


class OpensAfterTheEnd(VirtualFile):
    """D4: lets a closed file be read and sought.

    Bug: what is opened after close is closed by nobody, and holds its connections.
    Seen in: altmount before commit 78f29e3c: a seek after close made the closer pool anew.
    Caught by: closed_file_refuses_everything (Calls, LeakBound).
    """

    def close(self) -> None:
        layout = self._layout
        super().close()
        self._layout, self._is_closing = layout, False


class SeeksWithoutAnIndex(VirtualFile):
    """D5: looks up the size of the file before it asks whether it is open.

    Bug: close has dropped the index, and the seek looks up the size of the file in it.
    Seen in: altmount to this day: reads got their guard in commit 78f29e3c, Seek did not.
    Caught by: closed_file_refuses_everything (Failed).
    """

    def seek(self, offset: int, whence: int = 0) -> int:
        layout: Any = self._layout
        return super().seek(offset if whence else min(offset, layout.size), whence)


class SwallowsErrors(VirtualFile):
    """A32: returns what it has, and no error, where a shared reader fails.

    Bug: a read that fails looks like the end of the file; no interleaving is needed.
    Seen in: altmount until #821 of August 2026: errors swallowed on ReadAt.
    Caught by: failing_read_is_no_end_of_file (Failed).
    """

    def _read_shared(
        self, layout: Layout, view: memoryview, offset: int, cancel: Scope | None
    ) -> int:
        try:
            return super()._read_shared(layout, view, offset, cancel)
        except FetchError:
            return 0


class Serialised(VirtualFile):
    """One lock round every public method.

    Bug: close waits its turn behind the very read that it should end.
    Seen in: ion-sfu #75 of August 2020: a read in progress keeps the router from closing.
    Caught by: disconnect_frees_the_connections, disconnects_wait_for_nobody (Elapsed).
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._one = threading.Lock()

    def read(self, size: int, *, cancel: Scope | None = None) -> bytes:
        with self._one:
            return super().read(size, cancel=cancel)

    def read_at(
        self, buffer: bytearray | memoryview, offset: int, *, cancel: Scope | None = None
    ) -> int:
        with self._one:
            return super().read_at(buffer, offset, cancel=cancel)

    def seek(self, offset: int, whence: int = 0) -> int:
        with self._one:
            return super().seek(offset, whence)

    def close(self) -> None:
        with self._one:
            super().close()


# --- reads that jump ------------------------------------------------------------------------------


class NoCache(RandomReads):
    """F0a: opens a reader of its own for every read that jumps.

    Bug: a player that looks about in eight segments costs a call for each look; no interleaving.
    Seen in: altmount before its storm S5: 200 reads in 8 segments made 200 calls.
    Caught by: random_reads_cost_one_call_a_segment (Calls).
    """

    def _cacheable(self, offset: int, size: int) -> int:
        return -1


class SevenSegments(RandomReads):
    """F1: keeps seven segments.

    Bug: who goes round in eight finds each one just thrown away; no interleaving is needed.
    Seen in: no issue that we know of; altmount's storm S5 walks over exactly eight.
    Caught by: random_reads_cost_one_call_a_segment (Calls).
    """

    def _new_cache(self) -> SegmentCache:
        return SegmentCache(7)


class KeyedByOffset(RandomReads):
    """F2: keeps segments by the offset that was asked for.

    Bug: only who reads the very same bytes again finds them; no interleaving is needed.
    Seen in: no issue that we know of; altmount's cache is keyed by the index of the segment.
    Caught by: random_reads_cost_one_call_a_segment (Calls).
    """

    def _cache_key(self, index: int, offset: int) -> int:
        return offset


class KeyedByReader(RandomReads):
    """F2: keeps segments by the reader that fetched them.

    Bug: who looks elsewhere finds what the last reader left there: no call, and the wrong bytes.
    Seen in: no issue that we know of; altmount's cache is keyed by the index of the segment.
    Caught by: random_reads_cost_one_call_a_segment (Calls).
    """

    _readers = 0

    def _fetch(self, index: int, borrow: Borrow, cancel: Scope | None) -> memoryview:
        self._readers += 1
        return super()._fetch(index, borrow, cancel)

    def _cache_key(self, index: int, offset: int) -> int:
        return self._readers


class KeepsPartOfASegment(RandomReads):
    """F4: keeps what arrived of a segment as if it were all of it.

    Bug: a connection that was cut once leaves a hole that no later read gets out of.
    Seen in: no issue that we know of; altmount caches complete segments only.
    Caught by: short_segment_is_not_kept (Calls).
    """

    def _is_whole(self, data: memoryview, index: int) -> bool:
        return True


class CachesCiphertext(RandomReads):
    """F5: serves an encrypted file from the segments that it is stored in.

    Bug: what lies in the segments is not what lies in the file; no interleaving is needed.
    Seen in: no issue that we know of; altmount's cache is for plain files only.
    Caught by: encrypted_files_are_not_served_from_segments (Calls, Failed).
    """

    def _cacheable(self, offset: int, size: int) -> int:
        return self._layout.segment_of(offset, size)


class OneOfTwoSegments(RandomReads):
    """F5: serves a read that spans two segments from the first.

    Bug: only the beginning of the read decides whether the cache can serve it; no interleaving.
    Seen in: no issue that we know of; altmount asks where the last byte lies, too.
    Caught by: reads_may_span_two_segments (Calls, Failed).
    """

    def read(
        self, view: memoryview, offset: int, borrow: Borrow, cancel: Scope | None = None
    ) -> int:
        index = self._layout.segment_at(offset)
        left = self._layout.starts[index] + self._layout.sizes[index] - offset
        return super().read(view[:left], offset, borrow, cancel)


class KeepsTheCache(RandomReads):
    """F9: keeps its segments when it is closed.

    Bug: a closed file that somebody still refers to holds eight segments in memory.
    Seen in: no issue that we know of; altmount purges the cache at close.
    Caught by: files_keep_their_own_segments (Failed).
    """

    def clear(self) -> None:
        pass


class KeepsTheCacheInTheThread(RandomReads):
    """F9: keeps its segments where the thread's next file finds them.

    Bug: segment 3 of one file is served as segment 3 of another; no interleaving is needed.
    Seen in: no issue that we know of; altmount's cache belongs to one open file.
    Caught by: files_keep_their_own_segments (Failed).
    """

    _kept = threading.local()

    def _new_cache(self) -> SegmentCache:
        cache: SegmentCache = vars(self._kept).setdefault("cache", super()._new_cache())
        return cache


class KeepsEverySegment(RandomReads):
    """F9: keeps every segment that it ever fetched.

    Bug: a player that looks about in a long film fills the memory with it; no interleaving.
    Seen in: altmount's storm S5 bounds the cache of each file by eight segments for that reason.
    Caught by: nine_segments_do_not_fit (Calls).
    """

    def _new_cache(self) -> SegmentCache:
        return SegmentCache(1 << 30)


class AsksTwiceOver(RandomReads):
    """D3: asks by another reader where that of the cache has failed.

    Bug: two attempts for the cache and two more for the read: a failing segment costs four calls.
    Seen in: altmount to this day: whatever fails for the cache falls through to a one-shot reader.
    Caught by: failing_segment_costs_two_calls_a_read (Calls).
    """

    def _is_shortness(self, exc: FetchError) -> bool:
        return True


# --- closers --------------------------------------------------------------------------------------


class CloserForEach(Closers):
    """F0c: starts a thread for each reader that is to be closed.

    Bug: fifty seeks leave fifty threads behind, each in a close that takes its time.
    Seen in: altmount before its storm S6: 50 seeks, 50 closing goroutines.
    Caught by: seeks_close_four_at_once (MaxInFlight).
    """

    def offer(self, reader: SharedReader) -> None:
        thread = threading.Thread(target=self._close, args=(reader,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def finish(self) -> None:
        pass


class FiveClosers(Closers):
    """F10: has five workers.

    Bug: one slow close more than the bound allows; no interleaving is needed.
    Seen in: no issue that we know of; altmount's constant is four, of workers and of places.
    Caught by: seeks_close_four_at_once (MaxInFlight).
    """

    def __init__(self) -> None:
        super().__init__(workers=5)


class EightPlaces(Closers):
    """F10: lets eight readers wait.

    Bug: the queue is longer than the bound, so the one who seeks too much is slowed too late.
    Seen in: no issue that we know of; altmount's constant is four, of workers and of places.
    Caught by: seeks_close_four_at_once (Elapsed).
    """

    def __init__(self) -> None:
        super().__init__(queue=8)


class AlwaysInline(Closers):
    """F11: closes every reader in the thread that gives it up.

    The table names the time of the seeks, a second each. The peak of five closes at once, which
    one thread never reaches, is judged before the time and says why it is that long.

    Bug: each seek waits for a whole close; no interleaving is needed.
    Seen in: no issue that we know of; altmount closed inline before it detached readers.
    Caught by: seeks_close_four_at_once (MaxInFlight).
    """

    def _has_room(self) -> bool:
        return False


class WaitsForRoom(Closers):
    """F12: waits for a free place instead of closing the reader itself.

    Bug: whoever seeks waits for the slowest close, with the file's lock in its hands.
    Seen in: no issue that we know of; altmount offers to the queue and does not wait.
    Caught by: seeks_close_four_at_once (Elapsed).
    """

    def _has_room(self) -> bool:
        return self._room.acquire()


class LeavesTheWorkers(Closers):
    """F13: does not wait for its workers.

    Bug: close returns while readers are still being closed; no interleaving is needed.
    Seen in: no issue that we know of; altmount joins the workers outside the lock.
    Caught by: seeks_close_four_at_once (Elapsed), seek_and_close_end (Failed).
    """

    def join(self) -> None:
        pass


class DropsTheQueue(Closers):
    """F13: forgets the readers that still wait when it ends.

    Bug: what was queued is closed by nobody; no interleaving is needed.
    Seen in: no issue that we know of; ThreadPoolExecutor.shutdown(cancel_futures=True) does it.
    Caught by: seek_and_close_end (Failed).
    """

    def finish(self) -> None:
        with suppress(Empty):
            while True:
                self._queue.get_nowait()
        super().finish()


class ClosesTwice(Closers):
    """F14: closes a reader here and queues it, too.

    Bug: when the queue is full the reader is closed inline and queued as well; no interleaving.
    Seen in: no issue that we know of; altmount's table of mutants names it.
    Caught by: seeks_close_four_at_once (Unhandled, Elapsed).
    """

    def _close_here(self, reader: SharedReader) -> None:
        super()._close_here(reader)
        self._queue_up(reader)


class LateField(Closers):
    """F16: lets a worker look up its queue when it first runs.

    Bug: close takes the queue away before the worker has looked; the worker waits for what nobody
    will put there, and close for the worker.
    Seen in: altmount to this day: a seek and an immediate close, and the join never ends.
    Caught by: seek_and_close_end (Deadlock).
    """

    def _work(self) -> None:
        queue = self._queue
        while (reader := queue.get()) is not None:
            self._close(reader)
            self._room.release()

    def finish(self) -> None:
        super().finish()
        # A channel that is nil in the original: nobody ever sends on it.
        self._queue = SimpleQueue()


class WorksAfterTheEnd(Closers):
    """D4: starts workers again for what is offered after the end.

    Bug: the workers were told to end before they began, or nobody tells them: they stay for ever.
    Seen in: altmount to this day: a seek after close makes the closer pool anew.
    Caught by: what_comes_after_the_end_is_closed_here (LeakBound, Failed).
    """

    def offer(self, reader: SharedReader) -> None:
        self._is_finished = False
        super().offer(reader)


class ClosersSerialised(Closers):
    """One lock round every close.

    Bug: four workers wait for each other, and fifty seeks for all of them; no interleaving.
    Seen in: hickory-dns #923 of November 2019: a lock round all lookups let one go at a time.
    Caught by: seeks_close_four_at_once (MaxInFlight).
    """

    def __init__(self) -> None:
        super().__init__()
        self._one = threading.Lock()

    def _close(self, reader: SharedReader) -> None:
        with self._one:
            super()._close(reader)


# --- cancellable reads ----------------------------------------------------------------------------


class WritesIntoTheBuffer(CancellableRead):
    """A18: lets the thread write what it read to where its caller wanted it.

    Bug: the read is given up and its buffer put to another use; then the thread writes into it.
    Seen in: altmount 8aa49a80 of April 2026: an abandoned result cell must not be used again.
    Caught by: deaf_read_is_left_after_five_seconds (Failed).
    """

    def _run(self) -> None:
        super()._run()
        self._hand_over()


class OnlyLeaves(CancellableRead):
    """A32: does not interrupt the reader when its caller is cancelled.

    Bug: the read goes on, so the caller waits until its patience with it ends; no interleaving.
    Seen in: altmount until #821 of August 2026: cancelling a request did not unblock its reader.
    Caught by: cancelled_read_lets_go (Elapsed).
    """

    def _interrupt(self) -> None:
        pass
