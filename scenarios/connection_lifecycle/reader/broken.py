"""Readers that are each wrong in one way; a storm in `storms.py` or `storms_async.py` catches each.

Rows R… are those of the component's table 3.8; A… is a line of the history in section 8.1, counted
from its first. What begins with Async is the form for asyncio. What the table says of retries is in
the part `attempts`, but for those of tasks.

Not here for asyncio: R14 and R15, since that reader has no manager to wake; R2 and R3, since the
delay is the same function of the same policy; R12 and R17, whose cell and gauge differ by their
locks only.
"""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from scenarios.connection_lifecycle.scope import Scope

from . import policy
from .aio import AsyncReader, AsyncSegment
from .reference import ClosedPipeError, Reader, Segment

# --- threads --------------------------------------------------------------------------------------


class WindowPlusOne(Reader):
    """R9: schedules one segment too many.

    Bug: `ahead > window` where `ahead >= window` is meant; no interleaving is needed.
    Seen in: no issue that we know of; altmount guards against it by its invariant I1.
    Caught by: steady_read_fills_the_window, slow_pool_fills_the_window (MaxInFlight).
    """

    def _has_room(self) -> bool:
        return policy.has_room(self._scheduled, self._consumed, self._window + 1)


class SchedulesTwice(Reader):
    """R11: schedules a segment again when it wakes up.

    Bug: the manager sleeps on a full window, wakes, and goes on with the index from before.
    Seen in: no issue that we know of; altmount guards against it by its invariant I2.
    Caught by: steady_read_fills_the_window, slow_pool_fills_the_window (Calls, MaxInFlight).
    """

    def _take_next(self) -> Segment | None:
        was_full = not self._has_room()
        last = self._scheduled - 1
        segment = super()._take_next()
        if was_full and segment is not None:
            self._spawn(self._segments[last])
        return segment


class LastErrorWins(Segment):
    """R12: overwrites the first error with a later one.

    Bug: a download fails, the reader is closed, and the consumer learns of the close only.
    Seen in: golang/go #24283 of March 2018: a close overwrites the error stored in a pipe.
    Caught by: first_error_wins (Failed).
    """

    def set_error(self, exc: BaseException) -> None:
        with self._ready:
            self._error = None
            super().set_error(exc)


class DataBeatsError(Segment):
    """R12: lets data that come late hide an error.

    Bug: a release fails the segment, and a download that finishes afterwards revives it.
    Seen in: no issue that we know of; altmount's segment states the rule: an error beats data.
    Caught by: first_error_wins (Failed).
    """

    def set_data(self, data: bytes) -> None:
        with self._ready:
            self._error = None
            super().set_data(data)


class CloseWithoutTicker(Reader):
    """R14: lets a cancellation slip by the manager, and broadcasts only once.

    Bug: the manager has seen no cancellation and is about to wait; the one broadcast comes before
    it waits, and close waits for the manager to the end of its patience.
    Seen in: altmount issue #426 of March 2026: 26 managers and 25 closes parked for ever.
    Caught by: close_may_come_at_any_moment (Elapsed).
    """

    def _await_change(self) -> None:
        self._changed.release()
        time.sleep(0)
        self._changed.acquire()
        if not self._has_room():
            self._changed.wait()

    def _join_manager(self) -> None:
        if self._manager is not None:
            self._manager.join(policy.CLOSE_TIMEOUT)


class InterruptWithoutBroadcast(Reader):
    """R14: interrupts the downloads and the consumer, but not the manager.

    Bug: the manager waits for room in a window that nobody will ever empty.
    Seen in: altmount issue #426 of March 2026, fixed by #429, commit 7f5cfc8a.
    Caught by: interrupt_frees_everyone (LeakBound), close_frees_a_blocked_read (Elapsed).
    """

    def _on_interrupt(self) -> None:
        self._release_all()


class UnlockedSignal(Reader):
    """R15: finds the window full under the lock, and waits for room without it.

    Bug: the manager is about to wait when the reader takes the last segment and signals, to nobody;
    both sleep for ever.
    Seen in: altmount, still so in September 2026; cpp-channel #37 of January 2024.
    Caught by: window_of_one_never_stalls (Deadlock).
    """

    def _await_change(self) -> None:
        self._changed.release()
        time.sleep(0)
        self._changed.acquire()
        if not self._scope.is_set():
            self._changed.wait()


class CloseOnlyWaits(Reader):
    """R16: waits for the manager without cancelling anything.

    Bug: the window is full and nobody reads any more, so close waits to the end of its patience
    while the downloads keep their connections.
    Seen in: altmount before its storm S9: a stream closed in the middle held its slots for 30 s.
    Caught by: close_frees_a_blocked_read (Elapsed).
    """

    def close(self) -> None:
        self._join_manager()
        super().close()


class SlotNotGivenBack(Reader):
    """R17: counts a download that failed as going on.

    Bug: the decrement stands behind the download and not in a finally; no interleaving is needed.
    Seen in: rapina #516 of April 2026: the gauge of a request that is dropped stays up for ever.
    Caught by: failing_getter_is_final (Failed).
    """

    @contextmanager
    def _slot(self) -> Iterator[None]:
        self._count_in_flight(1)
        yield
        self._count_in_flight(-1)


class Serialised(Reader):
    """One lock round every public method.

    Bug: close waits its turn behind the very read that it should end.
    Seen in: gokeyless #186 of September 2017: close waits for the lock of a read that is idle.
    Caught by: close_frees_a_blocked_read, interrupt_frees_everyone (Elapsed).
    """

    def __init__(self, *args: object, **settings: object) -> None:
        self._turn = threading.RLock()
        super().__init__(*args, **settings)  # type: ignore[arg-type]  # passed on as they are

    def read(self, size: int) -> bytes:
        with self._turn:
            return super().read(size)

    def buffered_offset(self) -> int:
        with self._turn:
            return super().buffered_offset()

    def interrupt(self) -> None:
        with self._turn:
            super().interrupt()

    def close(self) -> None:
        with self._turn:
            super().close()


class BoundsDownloadsOnly(Reader):
    """A1: counts what is on the wire, and not what waits to be read.

    Bug: a viewer who pauses has the whole film in memory after a while; no interleaving is needed.
    Seen in: altmount 16d3f5ce of December 2025: no back-pressure on what was prefetched.
    Caught by: paused_viewer_holds_one_window (Calls).
    """

    def _has_room(self) -> bool:
        ahead = self._segments[self._consumed : self._scheduled]
        return sum(not segment.is_loaded for segment in ahead) < self._window

    def _count_in_flight(self, change: int) -> None:
        super()._count_in_flight(change)
        self._broadcast()


class JoinsUnderTheLock(Reader):
    """A2: waits for the manager with the lock that the manager needs.

    Bug: the manager cannot leave its wait without the lock, and close waits to the end of its
    patience.
    Seen in: altmount 2417fa66 of December 2025: stop() held the mutex while it joined its workers.
    Caught by: close_frees_a_blocked_read, close_may_come_at_any_moment (Elapsed).
    """

    def _join_manager(self) -> None:
        with self._changed:
            super()._join_manager()


class OffsetUnguarded(Reader):
    """A12: looks through the segments without a lock, and looks again.

    Bug: close drops the segments between the look at how many there are and the look at one.
    Seen in: altmount 3f838c0a of January 2026: a panic in the buffered offset during close.
    Caught by: offset_may_be_asked_while_closing (Unhandled).
    """

    def buffered_offset(self) -> int:
        buffered = self._bytes_read - self._offset
        for index in range(self._consumed, len(self._segments)):
            if not self._segments[index].is_loaded:
                break
            buffered += self._segments[index].size
        return max(buffered, self._bytes_read)


class StopsAtTheFirstClosed(Reader):
    """A13: ends its round of releases at the first segment that is released already.

    Bug: the first one has been read when the reader is closed, so the one that somebody waits for
    is not released; he waits until its download has ended by itself.
    Seen in: altmount a9b3309c of February 2026: an early return in Clear left segments behind.
    Caught by: close_reaches_behind_what_was_read (Elapsed).
    """

    def _release_all(self) -> None:
        if not self._consumed:
            super()._release_all()


class KeepsTheCancellation(Segment):
    """A14: takes the cancellation of one wait for the failure of the segment.

    Bug: one caller gives up, and everybody after him hears that, for ever.
    Seen in: altmount 32880027 of February 2026: a once-only start cached a cancellation.
    Caught by: cancelled_wait_spoils_nothing (Elapsed).
    """

    def payload(self, cancel: Scope | None = None) -> memoryview:
        try:
            return super().payload(cancel)
        except BaseException as exc:
            self.set_error(exc)
            raise


class SilentAdvance(Reader):
    """A16: does not tell the manager that a segment was read.

    Bug: the manager waits for room in a window that has it; no interleaving is needed.
    Seen in: altmount before commit 943c4537 of February 2026, which gave it a wake-up channel.
    Caught by: steady_read_fills_the_window, window_of_one_never_stalls (Deadlock).
    """

    def _advance(self) -> None:
        with self._changed:
            if self._consumed < len(self._segments):
                self._segments[self._consumed].release()
                self._consumed += 1
                self._offset = 0


# --- asyncio --------------------------------------------------------------------------------------


class AsyncFiveAttempts(AsyncReader):
    """R0a: asks five times.

    Bug: a failing article costs five calls of fifteen seconds each; no interleaving is needed.
    Seen in: altmount before its storm S1: five calls for each failing article.
    Caught by: failing_article_costs_a_task_two_calls (Calls).
    """

    def _may_retry(self, attempts: int) -> bool:
        return attempts < 5


class AsyncConstantDelay(AsyncReader):
    """R0b: waits the same 20 ms before every retry.

    Bug: readers that fail together come back together; no interleaving is needed.
    Seen in: altmount before its storm S3: 20 ms after every error but a time-out.
    Caught by: failing_article_costs_a_task_two_calls (Failed).
    """

    def _backoff(self) -> float:
        return 0.020


class AsyncOneAttempt(AsyncReader):
    """R1: never asks again.

    Bug: a single hiccup of one connection ends the stream; no interleaving is needed.
    Seen in: zyte-autoextract #30 of January 2021: the number of retries passed as that of attempts.
    Caught by: task_recovers_on_the_second_attempt (Unhandled).
    """

    def _may_retry(self, attempts: int) -> bool:
        return False


class AsyncRetriesMissing(AsyncReader):
    """R4: asks again for an article that does not exist.

    Bug: every missing article costs two calls and a delay; no interleaving is needed.
    Seen in: deno_cache_dir #46 of February 2024: every 404 was asked for again.
    Caught by: missing_article_costs_a_task_one_call (Calls).
    """

    def _is_final(self, exc: Exception) -> bool:
        return False


class AsyncPatientAfterDeadline(AsyncReader):
    """R5: backs off after a time-out, too.

    Bug: who has waited fifteen seconds waits a little longer; no interleaving is needed.
    Seen in: no issue that we know of; it is the exception in the table of altmount's retries.
    Caught by: hung_article_fails_a_task_after_two_timeouts (Elapsed).
    """

    def _delay_after(self, exc: Exception) -> float:
        return self._backoff()


class SwallowsCancellation(AsyncReader):
    """R6: takes the cancellation of its pause for the end of the pause.

    Bug: the reader is closed between two attempts, and makes the second one all the same.
    Seen in: asyncio code that catches BaseException round a sleep, as occurrent #866 did.
    Caught by: close_ends_the_retries_of_tasks (Calls).
    """

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        except BaseException:
            return


class AsyncNoAttemptTimeout(AsyncReader):
    """R7: gives an attempt as long as it takes.

    Bug: a connection that hangs without an error blocks its reader for ever.
    Seen in: altmount until commit 1daa6a6a of 2025-12-26, "per-attempt timeout".
    Caught by: hung_article_fails_a_task_after_two_timeouts (Deadlock).
    """

    def _attempt_timeout(self) -> float | None:
        return None


class AsyncWindowPlusOne(AsyncReader):
    """R9: schedules one segment too many.

    Bug: `ahead > window` where `ahead >= window` is meant; no interleaving is needed.
    Seen in: no issue that we know of; altmount guards against it by its invariant I1.
    Caught by: steady_read_of_a_task_fills_the_window (MaxInFlight).
    """

    def _has_room(self) -> bool:
        return policy.has_room(self._scheduled, self._consumed, self._window + 1)


class CountsAfterTheFetch(AsyncReader):
    """R11: counts a segment as scheduled when it has come.

    Bug: between the two there is an await, so whoever takes a segment schedules the same ones anew.
    Seen in: no issue that we know of; altmount guards against it by its invariant I2.
    Caught by: steady_read_of_a_task_fills_the_window (Calls, MaxInFlight).
    """

    def start(self) -> None:
        ahead = self._segments[self._consumed : self._consumed + self._window]
        for segment in ahead:
            if not self._is_interrupted and not segment.is_loaded:
                self._spawn(segment)


class AsyncCloseOnlyWaits(AsyncReader):
    """R16: waits for the downloads without cancelling them.

    Bug: a viewer who leaves keeps four connections until each has its article.
    Seen in: altmount before its storm S9: a stream closed in the middle held its slots for 30 s.
    Caught by: close_frees_a_task_that_reads (Elapsed).
    """

    async def close(self) -> None:
        await self._join_downloads()
        await super().close()


class AsyncTruncatedAccepted(AsyncReader):
    """R20: takes a payload that is too short.

    Bug: the connection is cut in mid-article, and every byte after it moves up; no interleaving.
    Seen in: altmount to this day; requests #2275 of October 2014, closed as intended.
    Caught by: task_recovers_on_the_second_attempt (Failed).
    """

    def _verify(self, data: bytes, segment: AsyncSegment) -> None:
        pass


class ForgetsWhatItHad(AsyncReader):
    """A14: drops what it has taken from its segments when it is cancelled.

    Bug: the read is cancelled behind its first segment, and the next one begins after a hole.
    Seen in: asyncio's StreamReader users; altmount 32880027 for the end that a cancellation made.
    Caught by: cancelled_read_of_a_task_loses_no_byte (Failed).
    """

    async def read(self, size: int) -> bytes:
        try:
            return await super().read(size)
        except asyncio.CancelledError:
            self._taken.clear()
            raise


class CancelledWithItsReader(AsyncReader):
    """A14: lets the cancellation of one wait fail the segment for good.

    Bug: whoever waits is cancelled, and with it what it waits for: later reads fail by that.
    Seen in: altmount 32880027 of February 2026; a future that is awaited without a shield.
    Caught by: cancelled_read_of_a_task_loses_no_byte (Calls, Unhandled).
    """

    async def _payload(self, segment: AsyncSegment) -> memoryview:
        try:
            return await super()._payload(segment)
        except asyncio.CancelledError:
            segment.set_error(ClosedPipeError("cancelled"))
            raise


class AsyncSerialised(AsyncReader):
    """One lock round every public method.

    Bug: close waits its turn behind the very read that it should end.
    Seen in: gokeyless #186 of September 2017: close waits for the lock of a read that is idle.
    Caught by: close_frees_a_task_that_reads (Elapsed).
    """

    def __init__(self, *args: object, **settings: object) -> None:
        self._one = asyncio.Lock()
        super().__init__(*args, **settings)  # type: ignore[arg-type]  # passed on as they are

    async def read(self, size: int) -> bytes:
        async with self._one:
            return await super().read(size)

    async def close(self) -> None:
        async with self._one:
            await super().close()
