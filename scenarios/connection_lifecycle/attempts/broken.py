"""Attempts that are each wrong in one way; a storm in `storms.py` catches each.

Rows R… are those of the reader's table 3.8 that are about its retries. They are here, and not
beside the reader, because they need no window and no consumer to show. Those of tasks stand beside
the reader for asyncio, which has its retries within.
"""

import random
import threading
import time
from typing import Any

from scenarios.connection_lifecycle.reader import policy
from scenarios.connection_lifecycle.reader.reference import Attempts, Client


class FiveAttempts(Attempts):
    """R0a: asks five times.

    Bug: a failing article costs five calls of fifteen seconds each; no interleaving is needed.
    Seen in: altmount before its storm S1: five calls for each failing article, worst stall 75 s.
    Caught by: failing_article_costs_two_calls (Calls).
    """

    def _may_retry(self, attempts: int) -> bool:
        return attempts < 5


class ConstantDelay(Attempts):
    """R0b: waits the same 20 ms before every retry.

    Bug: readers that fail together come back together, again and again.
    Seen in: altmount before its storm S3: 20 ms after every error but a time-out.
    Caught by: failing_article_costs_two_calls, retries_spread (Failed).
    """

    def _backoff(self) -> float:
        return 0.020


class ThreeAttempts(Attempts):
    """R1: asks three times.

    Bug: the cap counts retries where it should count attempts; no interleaving is needed.
    Seen in: failsafe-go #22 of November 2023: `WithMaxAttempts(4)` called five times.
    Caught by: failing_article_costs_two_calls (Calls).
    """

    def _may_retry(self, attempts: int) -> bool:
        return attempts <= self._retry.attempts


class OneAttempt(Attempts):
    """R1: never asks again.

    Bug: a single hiccup of one connection ends the stream; no interleaving is needed.
    Seen in: zyte-autoextract #30 of January 2021: the number of retries passed as that of attempts.
    Caught by: second_attempt_recovers (Calls), failing_article_costs_two_calls (Calls).
    """

    def _may_retry(self, attempts: int) -> bool:
        return attempts < self._retry.attempts - 1


class DoubledBackoff(Attempts):
    """R2: takes the first delay for the second, so that its base is doubled.

    Bug: the attempt counter is advanced before the delay is computed, so the base is doubled.
    Seen in: retry-go v4.6.1 as used by altmount, whose comments promise 50 to 150 ms and whose
    delays are 100 to 200 ms.
    Caught by: retries_spread, failing_article_costs_two_calls (Failed).
    """

    def _backoff(self) -> float:
        return 2 * self._retry.base_delay + self._uniform(0.0, self._retry.jitter)


class EqualSeeds(Attempts):
    """R3: seeds the jitter alike in every reader.

    To draw it once per process is the same: one number for all, wherever it comes from.

    Bug: all readers draw the same "random" delay, and come back together.
    Seen in: Go before 1.20 (February 2023), whose global generator was always seeded with 1.
    Caught by: retries_spread (Failed).
    """

    def _backoff(self) -> float:
        return policy.backoff(self._retry, random.Random(1).uniform)


class RetriesMissing(Attempts):
    """R4: asks again for an article that does not exist.

    Bug: every missing article costs two calls and a delay; no interleaving is needed.
    Seen in: deno_cache_dir #46 of February 2024: every 404 was asked for again.
    Caught by: missing_article_is_asked_for_once (Calls).
    """

    def _is_final(self, exc: Exception) -> bool:
        return False


class MissingByText(Attempts):
    """R4: knows a missing article by the text of its error, and so misses code 423.

    Bug: the other code of the same category is taken for a hiccup; no interleaving is needed.
    Seen in: kingpin #339 of April 2016: a new text for the same code 422, retried until told apart.
    Caught by: missing_article_is_asked_for_once (Calls).
    """

    def _is_final(self, exc: Exception) -> bool:
        return "430" in str(exc)


class PatientAfterDeadline(Attempts):
    """R5: backs off after a time-out, too.

    Bug: who has waited fifteen seconds waits a little longer; no interleaving is needed.
    Seen in: no issue that we know of; it is the exception in the table of altmount's retries.
    Caught by: hung_article_fails_after_two_timeouts (Elapsed).
    """

    def _delay_after(self, exc: Exception) -> float:
        return self._backoff()


class DeafWhilePausing(Attempts):
    """R6: sleeps through a cancellation between two attempts.

    Bug: the reader is closed during the delay, and its download lives on and tries again.
    Seen in: spring-kafka #1480, fixed in January 2021; occurrent #866 of August 2026.
    Caught by: cancellation_ends_the_pause (Calls, Elapsed).
    """

    def _pause(self, seconds: float) -> bool:
        time.sleep(seconds)
        return True


class NoAttemptTimeout(Attempts):
    """R7: gives an attempt as long as it takes.

    Bug: a connection that hangs without an error blocks its reader for ever.
    Seen in: altmount until commit 1daa6a6a of 2025-12-26, "per-attempt timeout".
    Caught by: hung_article_fails_after_two_timeouts (Deadlock).
    """

    def _attempt_timeout(self) -> float | None:
        return self._scope.remaining()


class TruncatedAccepted(Attempts):
    """R20: takes a payload that is too short.

    Bug: the connection is cut in mid-article, and every byte after it moves up; no interleaving.
    Seen in: altmount to this day; requests #2275 of October 2014, closed as intended.
    Caught by: second_attempt_recovers (Calls), empty_article_costs_two_calls (Calls).
    """

    def _verify(self, data: bytes, id: str, last: int) -> None:
        pass


class Serialised(Attempts):
    """One lock round every public method.

    Bug: an article that hangs keeps all others from being asked for.
    Seen in: hickory-dns #923 of November 2019: a lock round all lookups let one go at a time.
    Caught by: missing_article_is_asked_for_once (MaxInFlight, Elapsed).
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._turn = threading.Lock()

    def fetch(self, client: Client, id: str, last: int) -> bytes:
        with self._turn:
            return super().fetch(client, id, last)
