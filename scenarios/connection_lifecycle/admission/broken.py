"""Budgets, importers and pools that are each wrong in one way.

Rows B… of the component's table; S6… are other defects of the original, C… other bugs of its
history. One latent defect is no variant: that the original's fast path lets a newcomer barge *only*
when nobody was told of new room is what row B11 is. A budget that changes from none to some is S6a.

Not here for asyncio: B4 and B5, since the limit is the same function of the same policy; B9, whose
lane is the same constant; B10, since who runs the loop says how many streams there are.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from scenarios.connection_lifecycle.reader.reference import Client
from scenarios.connection_lifecycle.scope import Scope

from .aio import AsyncBudget, AsyncImporter, AsyncToken
from .policy import Caps, Shared
from .reference import Budget, Importer, SharedPool, Streams, Ticket, Token
from .swapped import Pool


class GrantNotForwarded(Budget):
    """B1: keeps a token that was granted to somebody who gives up at that instant.

    Bug: a waiter is granted and cancelled at once; it leaves, and its token belongs to nobody.
    Seen in: asyncio #270 of September 2015: a semaphore's waiter cancelled after it was woken.
    Caught by: grant_meets_cancellation (Deadlock).
    """

    def _withdraw(self, ticket: Ticket) -> None:
        with self._lock:
            if not ticket.is_granted:
                self._waiting.remove(ticket)


class ReleasedTwice(Budget):
    """B2: takes a token back as often as it is given back.

    Bug: an early release and the one at the end of the block make one token into two.
    Seen in: AsyncSemaphore #563 of September 2026; async-sema #36 of September 2019.
    Caught by: tokens_come_back_once (MaxInFlight).
    """

    def _is_out(self, token: Token) -> bool:
        return True


class ForgetsTheEndOfAStream(Budget):
    """B3: does not look up when a stream ends.

    Bug: there is room and nobody is told; who waits does so until some token comes back.
    Seen in: no issue that we know of; the table of altmount's import budget names it.
    Caught by: end_of_a_stream_lets_others_in (MaxInFlight), nobody_barges (Failed).
    """

    def _on_streams(self) -> None:
        pass


class FloorOfZero(Budget):
    """B4: leaves imports nothing while enough streams are played.

    Bug: the reserve of a hundred streams is more than there is; nobody is ever let in.
    Seen in: CoW Protocol services #4804 of August 2026: a semaphore of 0 permits admits nobody.
    Caught by: streams_leave_one_token (Deadlock).
    """

    def _limit(self) -> int:
        streams = 0 if self._streams is None else self._streams.active
        if not streams or not isinstance(self._caps, Shared):
            return super()._limit()
        left = self._caps.capacity - self._caps.reserve * streams
        # A limit of 0 would be none at all.
        return left if left > 0 else -1


class ReservedTwice(Budget):
    """B5: takes the streams' share off twice.

    Bug: who computes the capacity has taken it off already; no interleaving is needed.
    Seen in: no issue that we know of; the table of altmount's import budget names it.
    Caught by: streams_take_their_share (MaxInFlight).
    """

    def _limit(self) -> int:
        return self._caps.limit(2 * (0 if self._streams is None else self._streams.active))


class LastComeFirstServed(Budget):
    """B6: lets in who came last.

    Bug: a stack where a queue is meant: while others come, who was first waits for ever.
    Seen in: no issue that we know of; the table of altmount's import budget names it.
    Caught by: first_come_first_served, nobody_barges (Failed).
    """

    def _next(self) -> Ticket:
        return self._waiting.pop()


class TokenLostOnError(Importer):
    """B7: gives a token back only where the fetch succeeded.

    Bug: each article that is missing costs a token, until nobody is let in any more.
    Seen in: spring-framework #35708 of October 2025: a permit lost where a thread cannot start.
    Caught by: token_outlives_no_error (Deadlock), cancelled_import_leaves_nothing (Failed).
    """

    @contextmanager
    def _token(self, scope: Scope) -> Iterator[None]:
        if self._budget is None:
            yield
            return
        token = self._budget.acquire(scope)
        yield
        token.release()


class WaitCountsAsSlow(Importer):
    """B8: starts the clock of an attempt when its token is asked for.

    Bug: under contention the wait for a turn uses up the time-out, and a file counts as missing.
    Seen in: altmount #862 and #874 of August 2026: a deadline that assumes concurrency of its own.
    Caught by: wait_for_a_turn_is_no_time_out (Calls).
    """

    def _attempt_timeout(self, scope: Scope, asked: float) -> float:
        waited = time.monotonic() - asked
        return super()._attempt_timeout(scope, asked) - waited


class ImportsOnThePriorityLane(Importer):
    """B9: fetches for an import as for a stream.

    Bug: an import of a thousand files goes before the one that is watched; no interleaving.
    Seen in: altmount until commit 889df6b2 of 2026-05-22.
    Caught by: lanes_do_not_mix (Calls).
    """

    def _lane(self) -> str:
        return "priority"


class CountsARemovalTwice(Streams):
    """B10: looks a stream up, then deletes it, and counts both who did.

    Bug: two find the stream before either has deleted it, and the number of streams is -1: the
    budget is then larger than the pool.
    Seen in: altmount's `StreamTracker.Remove` to this day; elasticinbox #19 of May 2012.
    Caught by: stream_that_ends_twice_is_counted_once (MaxInFlight).
    """

    def _delete(self, stream: str) -> None:
        if stream in self._playing:
            time.sleep(0)
            self._playing.pop(stream, None)
            with self._lock:
                self._active -= 1


class NewcomersBarge(Budget):
    """B11: lets a newcomer in without a look at the queue.

    Bug: a stream has ended and nobody was told yet; who asks just then goes before who waits.
    Seen in: CPython #90155 of 2021: asyncio's semaphore let a newcomer go before the queue.
    Caught by: nobody_barges (Failed).
    """

    def _enqueue(self, ticket: Ticket) -> None:
        if self._has_room():
            self._grant(ticket)
        else:
            self._waiting.append(ticket)


class ForgetsWhoIsIn(Budget):
    """S6a: forgets who was let in while there was no limit.

    Bug: a limit is set in mid-work, and as many again are let in beside those who are.
    Seen in: altmount's import budget of July 2026: switching from 0 to n.
    Caught by: limit_counts_who_is_in_already (MaxInFlight).
    """

    def configure(self, caps: Caps) -> None:
        if not self._limit():
            self._held = 0
        super().configure(caps)


class ClientOncePerFile(Importer):
    """S6b: asks for the client before its attempts and not before each.

    Bug: the pool is swapped between two attempts, and all of them go to the one that is closed.
    Seen in: altmount's readers to this day: the client is fetched once, outside the retries.
    Caught by: swap_between_two_attempts (Calls).
    """

    def _source(self) -> Callable[[], Client]:
        client = self._get_client()
        return lambda: client


class GetsWhileSwapping(SharedPool[Pool]):
    """S6c: hands out a pool while it is being closed.

    Bug: the getter takes no lock, and gets the pool whose connections are just being given up.
    Seen in: no issue that we know of; altmount's manager has a read-write lock against it.
    Caught by: swap_makes_everybody_wait (Failed).
    """

    def get(self) -> Pool:
        pool = self._pool
        return super().get() if pool is None else pool

    def _drop(self) -> None:
        pool = self._pool
        if pool is not None:
            pool.close()
        self._pool = None


class KeepsTheClosedPool(SharedPool[Pool]):
    """S6d: goes on with the old pool where the new one cannot be built.

    Bug: the old one is closed already: every fetch fails as if the provider were down.
    Seen in: no issue that we know of; altmount's manager is left without a pool on purpose.
    Caught by: failed_swap_leaves_no_pool (Failed).
    """

    def swap(self, build: Callable[[], Pool]) -> None:
        old = self._pool
        try:
            super().swap(build)
        except Exception:
            self._pool = old
            raise


class TwentyAtOnce(Importer):
    """C1: fetches twenty at once, whatever is configured.

    Bug: a constant stands where the setting is meant; no interleaving is needed.
    Seen in: altmount until commit 0783c748 of 2026-05-03, "honour import cap".
    Caught by: import_keeps_to_its_connections (MaxInFlight).
    """

    def _workers(self, files: int) -> int:
        return max(min(files, 20), 1)


class LastFileOnly(Importer):
    """C2: has every job look the file up when it runs.

    Bug: the loop's variable is captured, not its value: all jobs fetch the last file.
    Seen in: altmount until commit e7dd165a of 2025-12-22; Python has the same trap.
    Caught by: import_keeps_to_its_connections (Failed) and wherever segments are compared.
    """

    def _jobs(
        self, ids: Sequence[str], results: list[bytes | Exception], scope: Scope
    ) -> list[Callable[[], None]]:
        return [
            lambda: self._import_one(results, index, each, scope)  # noqa: B023 - that is the bug
            for index, each in enumerate(ids)
        ]


class NothingIsReserved(Budget):
    """C3: lets imports have every connection, and trusts in their priority.

    Bug: a stream goes first in the queue, and still waits until one of the imports is done.
    Seen in: altmount until commit 889df6b2 of 2026-05-22: priority only helps when a slot frees.
    Caught by: stream_finds_a_free_connection (Failed) and wherever streams take their share.
    """

    def _limit(self) -> int:
        return self._caps.limit(0)


class Serialised(Importer):
    """One lock round every public method.

    Bug: an import waits until the one before it is over, however many connections are free.
    Seen in: hickory-dns #923 of November 2019: a lock round all lookups let one go at a time.
    Caught by: imports_are_not_gated_together (MaxInFlight), budget_is_shared_by_imports (Elapsed).
    """

    def __init__(self, *args: object, **settings: object) -> None:
        self._turn = threading.RLock()
        super().__init__(*args, **settings)  # type: ignore[arg-type]  # passed on as they are

    def first_segments(
        self, ids: Sequence[str], scope: Scope | None = None
    ) -> list[bytes | Exception]:
        with self._turn:
            return super().first_segments(ids, scope)


class BudgetSerialised(Budget):
    """One token for everybody.

    Bug: nothing can go wrong where nothing goes on.
    Seen in: hickory-dns #923 of November 2019: a lock round all lookups let one go at a time.
    Caught by: tokens_come_back_once, streams_take_their_share (MaxInFlight).
    """

    def _has_room(self) -> bool:
        return not self._held


# --- asyncio --------------------------------------------------------------------------------------


class AsyncGrantNotForwarded(AsyncBudget):
    """B1: keeps a token that was granted to a task that is cancelled before it runs again.

    Bug: the token comes free and the waiter is cancelled in one turn of the loop: it is lost.
    Seen in: asyncio #270 of September 2015: a semaphore's waiter cancelled after it was woken.
    Caught by: cancelled_task_hands_its_token_on (Deadlock).
    """

    def _withdraw(self, grant: asyncio.Future[None]) -> None:
        if grant in self._waiting:
            self._waiting.remove(grant)


class AsyncReleasedTwice(AsyncBudget):
    """B2: takes a token back as often as it is given back.

    Bug: an early release and the one at the end of the block make one token into two.
    Seen in: AsyncSemaphore #563 of September 2026; async-sema #36 of September 2019.
    Caught by: tokens_of_tasks_come_back_once (MaxInFlight).
    """

    def _is_out(self, token: AsyncToken) -> bool:
        return True


class AsyncForgetsTheEndOfAStream(AsyncBudget):
    """B3: does not look up when a stream ends.

    Bug: there is room and nobody is told; who waits does so until some token comes back.
    Seen in: no issue that we know of; the table of altmount's import budget names it.
    Caught by: end_of_a_stream_lets_other_tasks_in (MaxInFlight).
    """

    def set_streams(self, active: int) -> None:
        self._streams = active


class AsyncLastComeFirstServed(AsyncBudget):
    """B6: lets in who came last.

    Bug: a stack where a queue is meant: while others come, who was first waits for ever.
    Seen in: no issue that we know of; the table of altmount's import budget names it.
    Caught by: end_of_a_stream_lets_other_tasks_in (Failed).
    """

    def _next(self) -> asyncio.Future[None]:
        return self._waiting.pop()


class AsyncTokenLostOnError(AsyncImporter):
    """B7: gives a token back only where the fetch succeeded.

    Bug: each article that is missing costs a token, until nobody is let in any more.
    Seen in: spring-framework #35708 of October 2025: a permit lost where a thread cannot start.
    Caught by: tasks_give_their_token_back_on_error (Deadlock),
    cancelled_import_of_tasks_leaves_nothing (Failed).
    """

    async def _turn(self) -> AbstractContextManager[object]:
        assert self._budget is not None
        token = await self._budget.acquire()

        @contextmanager
        def until_success() -> Iterator[None]:
            yield
            token.release()

        return until_success()


class AsyncWaitCountsAsSlow(AsyncImporter):
    """B8: starts the clock of an attempt when its token is asked for.

    Bug: under contention the wait for a turn uses up the time-out, and a file counts as missing.
    Seen in: altmount #862 and #874 of August 2026: a deadline that assumes concurrency of its own.
    Caught by: imports_of_tasks_share_a_budget (Failed).
    """

    def _attempt_timeout(self, asked: float) -> float:
        waited = asyncio.get_running_loop().time() - asked
        return super()._attempt_timeout(asked) - waited


class AsyncNewcomersBarge(AsyncBudget):
    """B11: takes a cancelled waiter's grant for nobody's, and lets a newcomer have it.

    Bug: a token that was granted to a task that gives up is free for a moment, though others wait.
    Seen in: CPython #90155 of 2021: asyncio's semaphore let a newcomer go before the queue.
    Caught by: cancelled_task_hands_its_token_on (Failed, Elapsed).
    """

    def _take_back(self) -> None:
        self._held -= 1
        asyncio.get_running_loop().call_soon(self._admit)

    def _enqueue(self, grant: asyncio.Future[None]) -> None:
        if self._has_room():
            self._grant(grant)
        else:
            self._waiting.append(grant)


class AsyncBudgetSerialised(AsyncBudget):
    """One token for everybody.

    Bug: nothing can go wrong where nothing goes on.
    Seen in: hickory-dns #923 of November 2019: a lock round all lookups let one go at a time.
    Caught by: tokens_of_tasks_come_back_once (MaxInFlight).
    """

    def _has_room(self) -> bool:
        return not self._held


class AsyncSerialised(AsyncImporter):
    """One lock round every public method.

    Bug: an import waits until the one before it is over, however many connections are free.
    Seen in: hickory-dns #923 of November 2019: a lock round all lookups let one go at a time.
    Caught by: imports_of_tasks_share_a_budget (Elapsed).
    """

    _gate: asyncio.Lock | None = None

    async def first_segments(self, ids: Sequence[str]) -> list[bytes | Exception]:
        self._gate = self._gate or asyncio.Lock()
        async with self._gate:
            return await super().first_segments(ids)
