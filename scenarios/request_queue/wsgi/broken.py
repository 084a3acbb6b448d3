"""Queues that are each wrong in one way.

Rows Q… are those of the component's table, E… its edge cases, R… what its reviewer asked.
"""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from scenarios.request_queue import policy
from scenarios.request_queue.error_log import ErrorLog
from scenarios.request_queue.policy import ClientGone, HeavyLoad, Redirect, Reply

from .reference import (
    Bucket,
    Environ,
    Request,
    RequestQueue,
    StartResponse,
    Turn,
)


class PlainRemoval(RequestQueue):
    """Q0: takes a request out of the register in a plain statement behind the handler.

    Bug: every way out but the normal one skips it, so the gauge rises for ever; no interleaving.
    Seen in: njump from commit dbbc395 of 2025-10-11 until its pull request #134.
    Caught by: redirected_request_leaves_the_register (Failed).
    """

    def _run(
        self, request: Request, environ: Environ, start_response: StartResponse
    ) -> Iterator[bytes]:
        try:
            yield from self._call(environ, start_response)
            self._forget(request)
        finally:
            self._release(request)


class ForgetsNoClosed(RequestQueue):
    """Q1: cleans up after every error and signal, and not when the server closes the answer.

    Bug: `GeneratorExit` is no `Exception`, so a request whose client leaves in the midst of the
    answer stays for ever.
    Seen in: no issue that we know of; the table of the component has its twin for asyncio.
    Caught by: answer_may_be_closed_half_way (Failed).
    """

    def _run(
        self, request: Request, environ: Environ, start_response: StartResponse
    ) -> Iterator[bytes]:
        try:
            yield from self._call(environ, start_response)
        except (Exception, policy.Signal):
            self._forget(request)
            raise
        else:
            self._forget(request)
        finally:
            self._release(request)


class ForgetsErrorsOnly(RequestQueue):
    """Q2: cleans up behind the handler and after an error of it, and not after a signal.

    Bug: the two branches were thought of when they were written; no interleaving is needed.
    Seen in: no issue that we know of; it is half of the mending of njump's leak.
    Caught by: redirected_request_leaves_the_register, line_gives_up_after_six_seconds (Failed).
    """

    def _run(
        self, request: Request, environ: Environ, start_response: StartResponse
    ) -> Iterator[bytes]:
        try:
            yield from self._call(environ, start_response)
        except Exception:
            self._forget(request)
            raise
        else:
            self._forget(request)
        finally:
            self._release(request)


class ForgetsRedirectsOnly(RequestQueue):
    """Q2: cleans up behind the handler and before a redirect, and after nothing else.

    Bug: the leak was mended where it was seen, one way out of five; no interleaving is needed.
    Seen in: no issue that we know of; it is the other half of the mending of njump's leak.
    Caught by: failing_page_leaves_the_register, line_gives_up_after_six_seconds (Failed).
    """

    def _run(
        self, request: Request, environ: Environ, start_response: StartResponse
    ) -> Iterator[bytes]:
        try:
            yield from self._call(environ, start_response)
        except Redirect:
            self._forget(request)
            raise
        else:
            self._forget(request)
        finally:
            self._release(request)


class ForgetsAfterRecovery(RequestQueue):
    """Q3: takes the request out of the register when its answer is written.

    Bug: whoever reads the gauge while an error is recorded still counts the request; otherwise
    equivalent.
    Seen in: njump, commit 461f451, the first form of its pull request #134.
    Caught by: gauge_is_down_while_an_error_is_recorded (Failed).
    """

    def _serve(
        self, request: Request, environ: Environ, start_response: StartResponse
    ) -> Iterator[bytes]:
        forget = super()._forget
        try:
            yield from super()._serve(request, environ, start_response)
        finally:
            forget(request)

    def _forget(self, request: Request) -> None:
        pass


class KeepsTheToken(RequestQueue):
    """Q4: lets a waiter that has got the token take it along.

    Bug: the first in line leaves with the token, and the bucket is shut for good.
    Seen in: no issue that we know of; njump's waiters release what they acquired, and say why.
    Caught by: one_fetch_for_a_few (Elapsed), second_crowd_is_served_as_the_first (Calls).
    """

    def _step_out(self, request: Request, turn: Turn) -> None:
        if not turn.is_granted:
            super()._step_out(request, turn)


class ReleasesAtOnce(RequestQueue):
    """Q6: gives the token back when the turn has come, and not when the request ends.

    Bug: the token keeps nobody out while the page is fetched, so everybody fetches it.
    Seen in: no issue that we know of.
    Caught by: one_fetch_for_a_few (Calls, MaxInFlight).
    """

    def _hold(self, request: Request) -> None:
        super()._hold(request)
        self._release(request)


class LooksThenEnters(RequestQueue):
    """Q7: looks whether the request is in the register, and enters it some time later.

    Bug: two parts of a request ask at once, neither is in the register yet, and the second waits in
    line behind the first, which is its own request.
    Seen in: no issue that we know of; njump's map has `LoadOrStore` for it.
    Caught by: parts_of_a_request_do_not_wait_for_each_other (Calls,
    Unhandled).
    """

    def _enter(self, request: Request) -> bool:
        if request.number in self._in_course:
            return False
        super()._enter(request)
        return True


class ForgetsThatItAsked(RequestQueue):
    """Q8: has a request wait each time it asks.

    Bug: the second time it waits in line behind itself, for six seconds; no interleaving is needed.
    Seen in: njump, commit c9db562 of 2025-10-01, mended by dbbc395 of 2025-10-11.
    Caught by: request_may_ask_twice (Elapsed).
    """

    def _enter(self, request: Request) -> bool:
        super()._enter(request)
        return True


class KeyedByPath(RequestQueue):
    """Q9: keeps its register by path.

    Bug: the second request for a path counts as the first asking again, and fetches, too.
    Seen in: no issue that we know of.
    Caught by: one_fetch_for_a_few (Calls, MaxInFlight).
    """

    def _open(self, environ: Environ) -> Request:
        request = super()._open(environ)
        request.number = policy.fnv1a(environ["PATH_INFO"].encode())
        return request


class GoneIsHeavyLoad(RequestQueue):
    """Q11: tells a client that has left that the load is heavy.

    Bug: the reason of the wait's end is not looked at, so the count of 504 rises with every tab
    that somebody closes; no interleaving is needed.
    Seen in: no issue that we know of; njump tells the causes of a context apart.
    Caught by: who_leaves_is_told_nothing (Failed).
    """

    def _signal(self, request: Request, turn: Turn, timeout: float | None) -> policy.Signal:
        found = super()._signal(request, turn, timeout)
        return HeavyLoad() if isinstance(found, ClientGone) else found


class HeavyLoadIsGone(RequestQueue):
    """Q11: tells nothing to who has waited in vain.

    Bug: the time-out is taken for the client's leaving, so the client sees a blank page.
    Seen in: njump, where a context has a deadline of its own that comes first: its relay page.
    Caught by: line_gives_up_after_six_seconds (Failed).
    """

    def _signal(self, request: Request, turn: Turn, timeout: float | None) -> policy.Signal:
        found = super()._signal(request, turn, timeout)
        return ClientGone() if isinstance(found, HeavyLoad) else found


class WaitsHalfAsLongAgain(RequestQueue):
    """Q12: waits nine seconds where six are allowed.

    Bug: the limit of an earlier version is left in one place; no interleaving is needed.
    Seen in: njump, commits f1ecfac of 2025-07-26 and a484724 of 2025-09-29: nine seconds.
    Caught by: line_gives_up_after_six_seconds (Failed).
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._acquire_timeout *= 9 / 6


class WaitsForEver(RequestQueue):
    """Q12: waits as long as it takes.

    Bug: a fetch that hangs takes the line with it; no interleaving is needed.
    Seen in: no issue that we know of.
    Caught by: line_gives_up_after_six_seconds (Failed), line_behind_a_held_bucket (Deadlock).
    """

    def _wait(self, turn: Turn, timeout: float | None) -> None:
        turn.bell.wait(timeout)


class WaitsOneTickLonger(RequestQueue):
    """Q12: looks six times a limit, and once more.

    Bug: `<=` where `<` is meant in a loop over ticks; no interleaving is needed.
    Seen in: no issue that we know of.
    Caught by: line_gives_up_after_six_seconds (Failed).
    """

    def _wait(self, turn: Turn, timeout: float | None) -> None:
        limit = self._acquire_timeout if timeout is None else timeout
        passed = 0
        while passed <= 6 and not turn.bell.wait(limit / 6):
            passed += 1


class HashesTheQuery(RequestQueue):
    """Q13: takes the query for a part of the path.

    Bug: each tracking parameter makes a page of its own, and a fetch; no interleaving is needed.
    Seen in: no issue that we know of.
    Caught by: query_makes_no_other_page (Calls, MaxInFlight).
    """

    def _bucket_of(self, environ: Environ) -> Bucket:
        return self.bucket(environ["PATH_INFO"] + environ["QUERY_STRING"])


class FiftyOneBuckets(RequestQueue):
    """Q13: counts its buckets from one.

    Bug: `% (buckets - 1)`: paths that should share a bucket do not; no interleaving is needed.
    Seen in: no issue that we know of.
    Caught by: paths_of_one_bucket_share_a_fetch (Calls, MaxInFlight).
    """

    def bucket(self, path: str) -> Bucket:
        return self._buckets[policy.ticket(path, len(self._buckets) - 1)]


class FiftyThreeBuckets(RequestQueue):
    """Q13: has one bucket more than it should.

    Bug: `% (buckets + 1)`: as above.
    Seen in: no issue that we know of.
    Caught by: paths_of_one_bucket_share_a_fetch (Calls, MaxInFlight).
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings, buckets=policy.BUCKETS + 1)


class EverythingIsFine(RequestQueue):
    """Q16: answers 200 whatever happened.

    Bug: the recovery swallows what it recovers from, so nobody asks again; no interleaving.
    Seen in: no issue that we know of.
    Caught by: failing_page_leaves_the_register, one_fetch_for_a_few (Failed).
    """

    def _reply_to(self, exc: BaseException, environ: Environ) -> Reply | None:
        return Reply(200, (), b"fine")


class LineBarges(Bucket):
    """E1: frees the token, and only then tells the first in line.

    Bug: whoever comes in between takes it, and who has waited longest waits on.
    Seen in: CPython #90155 of December 2021: asyncio.Semaphore let newcomers pass its line.
    Caught by: token_goes_to_who_waits (Failed).
    """

    def release(self) -> None:
        self._is_free = True
        time.sleep(0)
        with self._lock:
            if self._is_free and self._line:
                self._is_free = False
                self._pass_on()


class LastComesFirst(Bucket):
    """E2: serves the line from its end.

    Bug: who came first waits longest, and under load to the end of its time.
    Seen in: no issue that we know of.
    Caught by: line_is_served_in_order (Failed).
    """

    def _pass_on(self) -> None:
        self._line.rotate(1)
        super()._pass_on()


class ServesItsLineFromTheEnd(RequestQueue):
    """E2: has buckets that serve their line from its end.

    Bug: as above, seen by who is in the queue: the last to come is the first to be sent back.
    Seen in: no issue that we know of.
    Caught by: who_leaves_is_told_nothing (Failed).
    """

    def _new_bucket(self) -> Bucket:
        return LastComesFirst()


class LosesTheToken(Bucket):
    """E3: drops the token of a waiter that leaves at the instant at which it comes.

    Bug: the token is granted, its new owner leaves, and nobody has it any more.
    Seen in: anyio #387 of November 2021: a lock stays with the cancelled task it was given to.
    Caught by: line_is_served_in_order, token_is_taken_or_waited_for (Deadlock).
    """

    def leave(self, turn: Turn) -> None:
        if not turn.is_granted:
            super().leave(turn)


class TriesThenJoins(Bucket):
    """E6: tries to take the token, and joins the line some time after it could not.

    Bug: the token comes back in between, to an empty line, and who joins then waits for nobody.
    Seen in: no issue that we know of; it is the lost wake-up of every hand-made semaphore.
    Caught by: token_is_taken_or_waited_for (Deadlock).
    """

    def acquire_or_join(self) -> Turn | None:
        with self._lock:
            if self._is_free:
                self._is_free = False
                return None
        time.sleep(0)
        with self._lock:
            self._line.append(Turn())
            return self._line[-1]


class DetachedRelease(RequestQueue):
    """E4: leaves the token's way back to a thread that waits for the client's leaving.

    Bug: the client stays connected for its next request, and token and thread stay as long.
    Seen in: njump's releaser, with a context that never ends: unit tests that call the handler.
    Caught by: winner_leaves_no_thread (LeakBound).
    """

    def _release(self, request: Request) -> None:
        gone = threading.Event()
        if request.client is None:
            super()._release(request)
        else:
            request.client.on_set(gone.set)
            release = super()._release
            threading.Thread(
                target=lambda: (gone.wait(), release(request)), name="releaser", daemon=True
            ).start()


class ReleasesWithTheDeadline(RequestQueue):
    """E7: gives the token back when the handler's own time for the page is over.

    Bug: the handler is still fetching when the next request wins the bucket, so two fetches run.
    Seen in: njump, whose token follows the context that `await` was called with: its relay page.
    Caught by: token_outlives_the_handlers_deadline (MaxInFlight, Calls).
    """

    def _take_turn(self, request: Request, timeout: float | None) -> None:
        super()._take_turn(request, timeout)
        if timeout is not None:
            timer = threading.Timer(timeout, self._release, [request])
            timer.daemon = True
            timer.start()


class EntersAfterItsEnd(RequestQueue):
    """E5: lets a part of a request enter the register that outlives the request.

    Bug: the handler has answered and its task goes on; it asks then, wins, and nobody will ever
    take it out or the token back.
    Seen in: no issue that we know of.
    Caught by: part_that_outlives_its_request_keeps_nothing (Failed).
    """

    def _forget(self, request: Request) -> None:
        super()._forget(request)
        request.is_over = False


class ForgetsWhenTheClientLeaves(RequestQueue):
    """R1: cleans up from the request's cancellation scope, and not in a `finally`.

    Bug: the client leaves in mid-fetch and the gauge falls though the handler works on, whose next
    question then waits in line behind itself; and where the answer comes first, the gauge is still
    up when the client has it. So it was rejected: the scope ends when the client does.
    Seen in: njump's token, which a goroutine gives back when the context ends.
    Caught by: gauge_counts_who_works_for_nobody (Failed).
    """

    def _run(
        self, request: Request, environ: Environ, start_response: StartResponse
    ) -> Iterator[bytes]:
        if request.client is not None:
            request.client.on_set(lambda: self._forget(request))
        try:
            yield from self._call(environ, start_response)
        finally:
            if request.client is None:
                self._forget(request)
            self._release(request)


class AnswersOnlyWhatIsRecorded(RequestQueue):
    """R2: lets an error of the recovery take the answer with it.

    Bug: the disk is full, the record raises, and every client of a page that fails is cut off.
    Seen in: no issue that we know of; njump's recovery writes the file before it answers.
    Caught by: error_of_the_recovery_undoes_nothing (Unhandled).
    """

    def _note(self, exc: Exception) -> None:
        if self._record is not None:
            self._record(exc)


class UnlockedLog(ErrorLog):
    """R3: writes errors down without a lock.

    Bug: one thread reads the log to cut it, another appends, and the first writes back what it has
    read; or two count one write, and the log is never cut.
    Seen in: no issue that we know of; njump's recovery has one mutex for the whole process.
    Caught by: errors_at_once_are_each_written_down (Failed).
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._lock = nullcontext()  # type: ignore[assignment]  # what stands where the lock stood


class Serialised(RequestQueue):
    """One lock round every public method.

    Bug: nobody ever stands in line: each request waits for the lock, and then fetches.
    Seen in: njump, commit a252707 of 2024-09-26: it slept while it held its lock.
    Caught by: one_fetch_for_a_few (Calls).
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._turnstile = threading.Lock()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        with self._turnstile:
            return list(super().__call__(environ, start_response))
