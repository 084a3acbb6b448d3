"""Queues that are each wrong in one way.

Rows Q… are those of the component's table, E… its edge cases, R… what its reviewer asked.
"""

import asyncio
from typing import Any

from scenarios.request_queue import policy
from scenarios.request_queue.policy import ClientGone, HeavyLoad, Redirect, Reply

from .reference import Bucket, Receive, Request, RequestQueue, Response, Scope, Turn


class PlainRemoval(RequestQueue):
    """Q0: takes a request out of the register in a plain statement behind the handler.

    Bug: every way out but the normal one skips it, so the gauge rises for ever; no interleaving.
    Seen in: njump from commit dbbc395 of 2025-10-11 until its pull request #134.
    Caught by: redirected_request_leaves_the_register (Failed).
    """

    async def _run(self, request: Request, scope: Scope, response: Response) -> None:
        try:
            await self._app(scope, request.inbox, response)
            self._forget(request)
        finally:
            self._release(request)


class ForgetsNoCancelled(RequestQueue):
    """Q1: cleans up after every error and signal, and not after a cancellation.

    Bug: `CancelledError` is no `Exception`, so a request whose task is cancelled stays for ever.
    Seen in: no issue that we know of; the table of the component has it for asyncio.
    Caught by: request_may_be_cancelled_anywhere (Failed).
    """

    async def _run(self, request: Request, scope: Scope, response: Response) -> None:
        try:
            await self._app(scope, request.inbox, response)
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

    async def _run(self, request: Request, scope: Scope, response: Response) -> None:
        try:
            await self._app(scope, request.inbox, response)
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

    async def _run(self, request: Request, scope: Scope, response: Response) -> None:
        try:
            await self._app(scope, request.inbox, response)
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

    async def _serve(self, request: Request, scope: Scope, response: Response) -> None:
        forget = super()._forget
        try:
            await super()._serve(request, scope, response)
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
        if not turn.done():
            super()._step_out(request, turn)


class ReleasesAtOnce(RequestQueue):
    """Q6: gives the token back when the turn has come, and not when the request ends.

    Bug: the token keeps nobody out while the page is fetched, so everybody fetches it.
    Seen in: no issue that we know of.
    Caught by: one_fetch_for_a_few (Calls, MaxInFlight).
    """

    async def _take_turn(self, request: Request) -> None:
        await super()._take_turn(request)
        self._release(request)


class LooksThenEnters(RequestQueue):
    """Q7: looks whether the request is in the register, and enters it some time later.

    Bug: two parts of a request ask at once, neither is in the register yet, and the second waits in
    line behind the first, which is its own request.
    Seen in: no issue that we know of; njump's map has `LoadOrStore` for it.
    Caught by: parts_of_a_request_do_not_wait_for_each_other (Calls).
    """

    async def wait_turn(self, scope: Scope) -> None:
        request = self._request(scope)
        if request is None or request.number in self._in_course:
            return
        await asyncio.sleep(0)
        self._in_course.add(request.number)
        await self._take_turn(request)


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

    def _open(self, scope: Scope, receive: Receive) -> Request:
        request = super()._open(scope, receive)
        request.number = policy.fnv1a(scope["path"].encode())
        return request


class GoneIsHeavyLoad(RequestQueue):
    """Q11: tells a client that has left that the load is heavy.

    Bug: the reason of the wait's end is not looked at, so the count of 504 rises with every tab
    that somebody closes; no interleaving is needed.
    Seen in: no issue that we know of; njump tells the causes of a context apart.
    Caught by: who_leaves_is_told_nothing (Failed).
    """

    def _signal(self, turn: Turn, gone: asyncio.Future[None]) -> policy.Signal:
        found = super()._signal(turn, gone)
        return HeavyLoad() if isinstance(found, ClientGone) else found


class HeavyLoadIsGone(RequestQueue):
    """Q11: tells nothing to who has waited in vain.

    Bug: the time-out is taken for the client's leaving, so the client sees a blank page.
    Seen in: njump, where a context has a deadline of its own that comes first: its relay page.
    Caught by: line_gives_up_after_six_seconds (Failed).
    """

    def _signal(self, turn: Turn, gone: asyncio.Future[None]) -> policy.Signal:
        found = super()._signal(turn, gone)
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

    async def _wait_any(self, turn: Turn, gone: asyncio.Future[None]) -> None:
        await asyncio.wait((turn, gone), return_when=asyncio.FIRST_COMPLETED)


class WaitsOneTickLonger(RequestQueue):
    """Q12: looks six times a limit, and once more.

    Bug: `<=` where `<` is meant in a loop over ticks; no interleaving is needed.
    Seen in: no issue that we know of.
    Caught by: line_gives_up_after_six_seconds (Failed).
    """

    async def _wait_any(self, turn: Turn, gone: asyncio.Future[None]) -> None:
        tick, passed = self._acquire_timeout / 6, 0
        while passed <= 6 and not (turn.done() or gone.done()):
            await asyncio.wait((turn, gone), timeout=tick, return_when=asyncio.FIRST_COMPLETED)
            passed += 1


class HashesTheQuery(RequestQueue):
    """Q13: takes the query for a part of the path.

    Bug: each tracking parameter makes a page of its own, and a fetch; no interleaving is needed.
    Seen in: no issue that we know of.
    Caught by: query_makes_no_other_page (Calls, MaxInFlight).
    """

    def _bucket_of(self, scope: Scope) -> Bucket:
        return self.bucket(scope["path"] + scope["query_string"].decode())


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

    def _reply_to(self, exc: BaseException, scope: Scope) -> Reply | None:
        return Reply(200, (), b"")


class LineBarges(Bucket):
    """E1: lets who comes now go before who waits.

    Bug: the token is free for an instant before the first in line takes it, and somebody who has
    just come is quicker.
    Seen in: CPython #90155 of December 2021: asyncio.Semaphore let newcomers pass its line.
    Caught by: token_goes_to_who_waits (Failed).
    """

    def release(self) -> None:
        self._is_free = True
        asyncio.get_running_loop().call_soon(self._wake)

    def _wake(self) -> None:
        if self._is_free and self._line:
            self._is_free = False
            super().release()


class LastComesFirst(Bucket):
    """E2: serves the line from its end.

    Bug: who came first waits longest, and under load to the end of its time.
    Seen in: no issue that we know of.
    Caught by: line_is_served_in_order (Failed).
    """

    def release(self) -> None:
        self._line.rotate(1)
        super().release()


class ServesItsLineFromTheEnd(RequestQueue):
    """E2: has buckets that serve their line from its end.

    Bug: as above, seen by who is in the queue: the last to come is the first to be sent back.
    Seen in: no issue that we know of.
    Caught by: one_fetch_for_a_few (Failed).
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._buckets = [LastComesFirst() for _ in self._buckets]


class LosesTheToken(Bucket):
    """E3: drops the token of a waiter that leaves at the instant at which it comes.

    Bug: the token is granted, the waiter is cancelled before it runs, and nobody has it any more.
    Seen in: python/asyncio #270 of September 2015: asyncio.Semaphore, mended by #271.
    Caught by: token_of_who_leaves_goes_on (Failed).
    """

    def leave(self, turn: Turn) -> None:
        if not turn.done():
            super().leave(turn)


class DetachedRelease(RequestQueue):
    """E4: leaves the token's way back to a task that waits for the client's leaving.

    Bug: the client stays connected for its next request, and token and task stay as long.
    Seen in: njump's releaser, with a context that never ends: unit tests that call the handler.
    Caught by: winner_leaves_no_task (LeakBound).
    """

    async def _take_turn(self, request: Request) -> None:
        await super()._take_turn(request)
        self._releaser = asyncio.create_task(self._release_later(request), name="releaser")

    async def _release_later(self, request: Request) -> None:
        await request.inbox.wait_gone()
        super()._release(request)

    def _release(self, request: Request) -> None:
        pass


class EntersAfterItsEnd(RequestQueue):
    """E5: lets a part of a request enter the register that outlives the request.

    Bug: the handler has answered and its task goes on; it asks then, wins, and nobody will ever
    take it out or the token back.
    Seen in: no issue that we know of.
    Caught by: part_that_outlives_its_request_enters_nothing (Failed).
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

    async def _run(self, request: Request, scope: Scope, response: Response) -> None:
        self._watcher = asyncio.create_task(self._forget_later(request))
        try:
            await self._app(scope, request.inbox, response)
        finally:
            self._release(request)

    async def _forget_later(self, request: Request) -> None:
        await request.inbox.wait_gone()
        self._forget(request)


class AnswersOnlyWhatIsRecorded(RequestQueue):
    """R2: lets an error of the recovery take the answer with it.

    Bug: the disk is full, the record raises, and every client of a page that fails is cut off.
    Seen in: no issue that we know of; njump's recovery writes the file before it answers.
    Caught by: error_of_the_recovery_undoes_nothing (Unhandled).
    """

    def _note(self, exc: Exception) -> None:
        if self._record is not None:
            self._record(exc)


class Serialised(RequestQueue):
    """One lock round every public method.

    Bug: nobody ever stands in line: each request waits for the lock, and then fetches.
    Seen in: njump, commit a252707 of 2024-09-26: it slept while it held its lock.
    Caught by: one_fetch_for_a_few (Calls).
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._lock = asyncio.Lock()

    async def __call__(self, *connection: Any) -> None:
        async with self._lock:
            await super().__call__(*connection)
