"""Earlier versions of the queue, each as one change to the queue of today.

Rows C…, in the order in which njump shipped them. Three rows of that table stand elsewhere: c9db562
is Q8 and dbbc395 is Q0 of the queue itself, 863f35c is W1 of the time limit. Of f1ecfac, C6, the
weighted semaphore over all pages (52, costs of 1 to 3) is left out: what a limit over all pages
does to those who wait is C7, and costs only say how soon.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from scenarios.request_queue import policy
from scenarios.request_queue.policy import HeavyLoad, Redirect, Reply
from scenarios.request_queue.wsgi.reference import (
    KEY,
    Bucket,
    Environ,
    Request,
    RequestQueue,
    StartResponse,
    Turn,
)


class LoadsThenAdds(RequestQueue):
    """C1: looks whether a bucket is in use, and then says that it is.

    Bug: two requests look before one of them says so, and both are the first.
    Seen in: njump, commit a252707 of 2024-09-26: a load and then an add of a counter.
    Caught by: crowd_of_six (Calls, MaxInFlight).
    """

    def _take_turn(self, request: Request, timeout: float | None) -> None:
        if request.bucket.is_free:
            request.bucket.acquire_or_join()
            self._hold(request)
        else:
            super()._take_turn(request, timeout)


class ReleasesAfterSuccess(RequestQueue):
    """C2: gives the token back on the way of success only.

    Bug: one page that fails shuts its bucket for ever; no interleaving is needed.
    Seen in: njump, commit a252707 of 2024-09-26, mended by f55da46 of 2024-10-11.
    Caught by: bucket_survives_a_page_that_fails (Failed).
    """

    def _run(
        self, request: Request, environ: Environ, start_response: StartResponse
    ) -> Iterator[bytes]:
        try:
            yield from self._call(environ, start_response)
            self._release(request)
        finally:
            self._forget(request)


class RefusesTheFifth(RequestQueue):
    """C3: counts who comes, refuses the fifth, and starts anew when the first has its page.

    Bug: whoever is refused is counted, too, and would have had the page a moment later; where the
    first fails in its turn nobody resets the count.
    Seen in: njump, commit d8580e4 of 2024-09-27: 429 above four.
    Caught by: crowd_of_six (Failed).
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._counts: Counter[Bucket] = Counter()

    def _take_turn(self, request: Request, timeout: float | None) -> None:
        with self._lock:
            self._counts[request.bucket] += 1
            is_refused = self._counts[request.bucket] > 4
        if is_refused:
            raise policy.Signal
        super()._take_turn(request, timeout)

    def _release(self, request: Request) -> None:
        if request.holds_token:
            self._counts[request.bucket] = 0
        super()._release(request)

    def _reply_to(self, exc: BaseException, environ: Environ) -> Reply | None:
        refused = Reply(429, (), b"too many requests\n")
        return refused if type(exc) is policy.Signal else super()._reply_to(exc, environ)


class SleepsUnderTheLock(RequestQueue):
    """C4: waits 90 ms before each turn, and holds a lock meanwhile.

    Bug: a crowd passes one by one, 90 ms each; no interleaving is needed.
    Seen in: njump until commit f55da46 of 2024-10-11, which stopped it.
    Caught by: crowd_of_six (Elapsed).
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._turnstile = threading.Lock()

    def _enter(self, request: Request) -> bool:
        with self._turnstile:
            time.sleep(0.090)
        return super()._enter(request)


class RefusesInSilence(RefusesTheFifth):
    """C5: refuses the fifth without a word.

    Bug: the browser shows an empty page that says 200; no interleaving is needed.
    Seen in: njump, commit 2bbee59 of 2025-07-25.
    Caught by: crowd_of_six (Failed).
    """

    def _reply_to(self, exc: BaseException, environ: Environ) -> Reply | None:
        return None if type(exc) is policy.Signal else super()._reply_to(exc, environ)


class WaitsNineThenRedirects(RequestQueue):
    """C6: waits nine seconds and then sends back for a page that is not there.

    Bug: who is sent back waits again, and again: the load stays; no interleaving is needed.
    Seen in: njump, commit f1ecfac of 2025-07-26.
    Caught by: slow_fetch_is_given_up (Failed).
    """

    def _wait(self, turn: Turn, timeout: float | None) -> None:
        turn.bell.wait(9.0)

    def _signal(self, request: Request, turn: Turn, timeout: float | None) -> policy.Signal:
        found = super()._signal(request, turn, timeout)
        return Redirect() if isinstance(found, HeavyLoad) else found


class TwentySixBuckets(RequestQueue):
    """C6: has half as many buckets.

    Bug: more pages share one, and whoever waits for another's page is sent back for nothing.
    Seen in: njump, commit f1ecfac of 2025-07-26, until a484724 of 2025-09-29.
    Caught by: two_pages_are_fetched_at_once (MaxInFlight).
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings, buckets=26)


class HoldsASlotInLine(RequestQueue):
    """C7: takes one of few slots for fetches before it joins its line.

    Bug: who only waits holds the slots that others need to fetch; no interleaving is needed.
    Seen in: njump, commit dc7e2ca of 2025-07-27: the two limiters swapped.
    Caught by: two_pages_are_fetched_at_once (Elapsed, MaxInFlight).
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._slots = threading.BoundedSemaphore(3)
        self._with_slot: set[int] = set()

    def _take_turn(self, request: Request, timeout: float | None) -> None:
        self._slots.acquire()
        self._with_slot.add(request.number)
        super()._take_turn(request, timeout)

    def _release(self, request: Request) -> None:
        super()._release(request)
        if request.number in self._with_slot:
            self._with_slot.remove(request.number)
            self._slots.release()


class HandlerInAThread(RequestQueue):
    """C8: calls the handler in a thread of its own and waits for that for thirty seconds.

    Bug: what the handler raises ends that thread, where nobody recovers; in Go it ends the process.
    Seen in: njump, commit 1b30485 of 2025-07-27.
    Caught by: crowd_of_six, bucket_survives_a_page_that_fails (Unhandled).
    """

    def _call(self, environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        pieces: list[bytes] = []
        handler = threading.Thread(
            target=lambda: pieces.extend(self._app(environ, start_response)), name="handler"
        )
        handler.start()
        handler.join(30.0)
        yield from pieces


class TwoTokens(RequestQueue):
    """C9: has two tokens for each bucket.

    Bug: two requests fetch the same page side by side; no interleaving is needed.
    Seen in: njump, commit a484724 of 2025-09-29, until c9db562 of 2025-10-01.
    Caught by: crowd_of_six (Calls, MaxInFlight).
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._others = [self._new_bucket() for _ in self._buckets]

    def _bucket_of(self, environ: Environ) -> Bucket:
        ticket = policy.ticket(environ["PATH_INFO"])
        return (self._buckets if self._last_number % 2 else self._others)[ticket]


class SleepsBeforeTheRedirect(RequestQueue):
    """C9: has who is to be sent back wait another nine seconds.

    Bug: the page is there, and the browser is told so nine seconds later; no interleaving.
    Seen in: njump, commit a484724 of 2025-09-29.
    Caught by: crowd_of_six (Elapsed).
    """

    def _queue(self, request: Request, turn: Turn, timeout: float | None) -> None:
        try:
            super()._queue(request, turn, timeout)
        except Redirect:
            time.sleep(9.0)
            raise


class NeedsATicket(RequestQueue):
    """C10: takes it for granted that the middleware has passed.

    Bug: a page that is served past it crashes when it asks for its turn; no interleaving.
    Seen in: njump until commit f186ccf of 2025-09-29, which tolerates it.
    Caught by: page_past_the_queue_is_served (Calls).
    """

    def _request(self, environ: Environ) -> Request | None:
        request: Request = environ[KEY]
        return request


class SwitchedOff(RequestQueue):
    """C13: lets everybody through.

    Bug: a crowd fetches its page as often as there are heads; no interleaving is needed.
    Seen in: njump, commit 7647475 of 2025-12-28: switched off in production.
    Caught by: crowd_of_six (Calls).
    """

    def _enter(self, request: Request) -> bool:
        return False


class Serialised(RequestQueue):
    """One lock round every public method.

    Bug: nobody ever stands in line: each request waits for the lock, and then fetches.
    Seen in: njump, commit a252707 of 2024-09-26: it slept while it held its lock.
    Caught by: crowd_of_six (Calls).
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._turnstile = threading.Lock()

    def __call__(self, environ: Environ, start_response: StartResponse) -> list[bytes]:
        with self._turnstile:
            return list(super().__call__(environ, start_response))
