"""Readers that are each wrong in one way.

Rows R…, of the component's table; a storm in `storms.py` catches each.
"""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from . import policy
from .reference import Reader, Segment


class FiveAttempts(Reader):
    """R0a: asks five times.

    Bug: a failing article costs five calls of fifteen seconds each; no interleaving is needed.
    Seen in: altmount before its retry cap, S1 of May 2026: five calls, worst stall 75 s.
    Caught by: failing_article_costs_two_calls (Calls).
    """

    def _may_retry(self, attempts: int) -> bool:
        return attempts < 5


class ConstantDelay(Reader):
    """R0b: waits the same 20 ms before every retry.

    Bug: readers that fail together come back together, again and again.
    Seen in: altmount before its jitter, S3 of May 2026.
    Caught by: failing_article_costs_two_calls, retries_spread (Failed).
    """

    def _backoff(self) -> float:
        return 0.020


class ThreeAttempts(Reader):
    """R1: asks three times.

    Bug: the cap counts retries where it should count attempts; no interleaving is needed.
    Seen in: retry-go, where `Attempts(n)` and "n retries" are easily confused.
    Caught by: failing_article_costs_two_calls (Calls).
    """

    def _may_retry(self, attempts: int) -> bool:
        return attempts <= self._retry.attempts


class OneAttempt(Reader):
    """R1: never asks again.

    Bug: a single hiccup of one connection ends the stream; no interleaving is needed.
    Seen in: clients that pass the number of retries as the number of attempts.
    Caught by: second_attempt_recovers (Unhandled), failing_article_costs_two_calls (Calls).
    """

    def _may_retry(self, attempts: int) -> bool:
        return attempts < self._retry.attempts - 1


class DoubledBackoff(Reader):
    """R2: takes the first delay for the second, so that its base is doubled.

    Bug: the attempt counter is advanced before the delay is computed, so the base is doubled.
    Seen in: retry-go v4.6.1 as used by altmount, whose comments promise 50 to 150 ms and whose
    delays are 100 to 200 ms.
    Caught by: retries_spread, failing_article_costs_two_calls (Failed).
    """

    def _backoff(self) -> float:
        return 2 * self._retry.base_delay + self._uniform(0.0, self._retry.jitter)


class EqualSeeds(Reader):
    """R3: seeds the jitter alike in every reader.

    Bug: all readers draw the same "random" delay, and come back together.
    Seen in: Go before 1.20 (February 2023), whose global generator was always seeded with 1.
    Caught by: retries_spread (Failed).
    """

    def _backoff(self) -> float:
        return policy.backoff(self._retry, random.Random(1).uniform)


class RetriesMissing(Reader):
    """R4: asks again for an article that does not exist.

    Bug: every missing article costs two calls and a delay; no interleaving is needed.
    Seen in: altmount, whose invariant I3 exists because of it.
    Caught by: missing_article_is_asked_for_once (Calls).
    """

    def _is_final(self, exc: Exception) -> bool:
        return False


class MissingByText(Reader):
    """R4: knows a missing article by the text of its error, and so misses code 423.

    Bug: the other code of the same category is taken for a hiccup; no interleaving is needed.
    Seen in: error handling by substring, as altmount's "data corruption detected" still is.
    Caught by: missing_article_is_asked_for_once (Calls).
    """

    def _is_final(self, exc: Exception) -> bool:
        return "430" in str(exc)


class PatientAfterDeadline(Reader):
    """R5: backs off after a time-out, too.

    Bug: who has waited fifteen seconds waits a little longer; no interleaving is needed.
    Seen in: altmount before S3, whose delay function made no difference at first.
    Caught by: hung_article_fails_after_two_timeouts (Elapsed).
    """

    def _delay_after(self, exc: Exception) -> float:
        return self._backoff()


class DeafWhilePausing(Reader):
    """R6: sleeps through a cancellation between two attempts.

    Bug: the reader is closed during the delay, and its download lives on and tries again.
    Seen in: altmount's invariant I4; any retry helper that calls sleep().
    Caught by: close_ends_retries (LeakBound).
    """

    def _pause(self, seconds: float) -> bool:
        time.sleep(seconds)
        return True


class NoAttemptTimeout(Reader):
    """R7: gives an attempt as long as it takes.

    Bug: a connection that hangs without an error blocks its reader for ever.
    Seen in: altmount until commit 1daa6a6a of 2025-12-26, "per-attempt timeout".
    Caught by: hung_article_fails_after_two_timeouts (Deadlock).
    """

    def _attempt_timeout(self) -> float | None:
        return self._scope.remaining()


class WindowPlusOne(Reader):
    """R9: schedules one segment too many.

    Bug: `ahead > window` where `ahead >= window` is meant; no interleaving is needed.
    Seen in: every hand-written bounded buffer, sooner or later.
    Caught by: steady_read_fills_the_window, slow_pool_fills_the_window (MaxInFlight).
    """

    def _has_room(self) -> bool:
        return policy.has_room(self._scheduled, self._consumed, self._window + 1)


class SchedulesTwice(Reader):
    """R11: schedules a segment again when it wakes up.

    Bug: the manager sleeps on a full window, wakes, and goes on with the index from before.
    Seen in: altmount's invariant I2, one request per segment.
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
    Seen in: altmount's segment, which was fixed to keep the first error.
    Caught by: first_error_wins (Failed).
    """

    def set_error(self, exc: BaseException) -> None:
        with self._ready:
            self._error = None
            super().set_error(exc)


class DataBeatsError(Segment):
    """R12: lets data that come late hide an error.

    Bug: a release fails the segment, and a download that finishes afterwards revives it.
    Seen in: altmount's segment, whose rule is that an error beats data.
    Caught by: first_error_wins (Failed).
    """

    def set_data(self, data: bytes) -> None:
        with self._ready:
            self._error = None
            super().set_data(data)


class CloseWithoutTicker(Reader):
    """R14: wakes the manager only if its lock happens to be free, and never again.

    Bug: the manager has seen no cancellation and is about to wait; the broadcast comes before it
    waits, and close waits for the manager to the end of its patience.
    Seen in: altmount issue #426 of March 2026: 26 managers and 25 closes parked for ever.
    Caught by: close_frees_a_blocked_read (Elapsed), interrupt_frees_everyone (LeakBound).
    """

    def _broadcast(self) -> None:
        if self._changed.acquire(blocking=False):
            self._changed.notify_all()
            self._changed.release()

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
    """R15: advances and signals without the lock that the manager waits with.

    Bug: the manager has found the window full and is about to wait; the reader takes the last
    segment and signals nobody; both sleep for ever.
    Seen in: altmount's reader, still so in September 2026; only close rescues it.
    Caught by: window_of_one_never_stalls (Deadlock).
    """

    def _advance(self) -> None:
        self._segments[self._consumed].release()
        self._offset = 0
        self._consumed += 1
        # A signal that does not take the lock reaches only those who wait already.
        if self._changed.acquire(blocking=False):
            self._changed.notify_all()
            self._changed.release()


class CloseOnlyWaits(Reader):
    """R16: waits for the manager without cancelling anything.

    Bug: the window is full and nobody reads any more, so close waits to the end of its patience
    while the downloads keep their connections.
    Seen in: altmount before S9; a reader closed in mid-stream held its slots for 30 s.
    Caught by: close_frees_a_blocked_read (Elapsed).
    """

    def close(self) -> None:
        self._join_manager()
        super().close()


class SlotNotGivenBack(Reader):
    """R17: counts a download that failed as going on.

    Bug: the decrement stands behind the download and not in a finally; no interleaving is needed.
    Seen in: every gauge without try/finally; FakePool's own mutant H2 is the same.
    Caught by: failing_getter_is_final (Failed).
    """

    @contextmanager
    def _slot(self) -> Iterator[None]:
        self._count_in_flight(1)
        yield
        self._count_in_flight(-1)


class TruncatedAccepted(Reader):
    """R20: takes a payload that is too short.

    Bug: the connection is cut in mid-article, and every byte after it moves up; no interleaving.
    Seen in: altmount, which checks no length to this day.
    Caught by: second_attempt_recovers (Failed).
    """

    def _verify(self, data: bytes, segment: Segment) -> None:
        pass


class Serialised(Reader):
    """One lock round every public method.

    Bug: close waits its turn behind the very read that it should end.
    Seen in: the first fix that comes to mind for any race.
    Caught by: close_frees_a_blocked_read, interrupt_frees_everyone (Deadlock).
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
