"""Neighbours of the reader that are each wrong in one way; a storm in `storms.py` catches each.

An is the n-th line of the table of history (8.1): A19 the coalescer, A29 the recorder of holes,
A36 the speculative budget, A37 the map of flights. L589 is the pull request of that number, with
its two semaphores (6).

Not here: that the two semaphores are given back in the wrong order. A second import may then have
the place of the first while that one still holds its connection, for no time at all, and nobody
outside can tell.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from queue import Empty
from typing import Any

from scenarios.connection_lifecycle.admission.reference import Token
from scenarios.connection_lifecycle.scope import Scope

from .policy import DEMAND
from .reference import Coalescer, Flight, Flights, Hole, Holes, Lanes, Speculation

# --- one fetch for all who want an article --------------------------------------------------------


class FetchesForEach(Flights):
    """A37: has every reader fetch for itself.

    Bug: two readers of one film cost two calls for each article; no interleaving is needed.
    Seen in: altmount until its map of flights, of September 2026.
    Caught by: two_readers_cost_one_call_an_article (Calls, MaxInFlight).
    """

    def _share(self, id: str, lane: str, scope: Scope) -> bytes:
        return self._fetch_alone(id, lane, scope)


class LooksThenFlies(Flights):
    """A37: looks for a flight without the lock, and then begins one.

    Bug: two readers both find no flight, and both lead.
    Seen in: altmount until d8f20c09 of June 2026: check-then-act made entries of its queue twice.
    Caught by: two_readers_cost_one_call_an_article (Calls, MaxInFlight).
    """

    def _join(self, id: str) -> tuple[Flight, bool]:
        flight = self._flights.get(id)
        if flight is not None:
            return flight, False
        time.sleep(0)
        flight = self._flights[id] = Flight(id)
        return flight, True


class LeaderTakesAllDown(Flights):
    """A37: hands the leader's cancellation to all who follow it.

    Bug: the viewer who came first closes, and the other one's film breaks off.
    Seen in: altmount's speed test to this day: the leader's cancellation fails all who follow.
    Caught by: closing_leader_hands_over (Calls).
    """

    def _is_leaving(self, scope: Scope) -> bool:
        return False


class EachTakesOver(Flights):
    """A37: has all who follow fetch for themselves when their leader closes.

    Bug: nobody is elected, so as many calls go out as have waited; no interleaving is needed.
    Seen in: no issue that we know of; altmount's map hands a flight on to one of them.
    Caught by: closing_leader_hands_over (Calls, MaxInFlight).
    """

    def _await(self, flight: Flight, scope: Scope) -> None:
        super()._await(flight, scope)
        if flight.is_abandoned:
            own = Flight(flight.id)
            self._lead(own, "priority", scope)
            flight.data, flight.error, flight.is_abandoned = own.data, own.error, False


class StaysAfterAFailure(Flights):
    """A37: takes a flight off the map only where it has landed.

    Bug: an article that fails once fails for everybody who asks from then on; no interleaving.
    Seen in: altmount 32880027 of February 2026: a once-only start cached what had failed.
    Caught by: failed_flight_leaves_the_map (Calls).
    """

    def _forget(self, flight: Flight) -> None:
        if flight.error is None or flight.is_abandoned:
            super()._forget(flight)


class SharesTheJudgement(Flights):
    """A37: lets the leader's judgement of a missing article stand for all.

    Bug: one reader fills the gap with zeros, and one that checks the film gets zeros, too.
    Seen in: no issue that we know of; altmount's map keeps what to make of a miss to each reader.
    Caught by: missing_article_is_judged_by_each (Failed).
    """

    _judge: Callable[[str], bytes] | None = None

    def get(
        self,
        id: str,
        scope: Scope,
        *,
        lane: str = "priority",
        on_missing: Callable[[str], bytes] | None = None,
    ) -> bytes:
        if on_missing is not None:
            self._judge = on_missing
        return super().get(id, scope, lane=lane, on_missing=self._judge)


class ImportsJoin(Flights):
    """A37: lets an import lead, and streams follow it.

    Bug: a stream waits for a call in the lane of imports, which is served last; no interleaving.
    Seen in: no issue that we know of; altmount's map has import readers go round it.
    Caught by: import_goes_round_the_map (Calls).
    """

    def _fetch_alone(self, id: str, lane: str, scope: Scope) -> bytes:
        return self._share(id, lane, scope)


class FlightsSerialised(Flights):
    """One lock round every public method.

    Bug: who wants another article waits, too, and who wants the same comes when it has landed.
    Seen in: hickory-dns #923 of November 2019: a lock round all lookups let one go at a time.
    Caught by: two_readers_cost_one_call_an_article (Calls).
    """

    _turn: "threading.Lock | None" = None  # a function up to 3.12

    def __init__(self, fetch: Callable[[str, str, Scope], bytes]) -> None:
        super().__init__(fetch)
        self._turn = threading.Lock()

    def get(
        self,
        id: str,
        scope: Scope,
        *,
        lane: str = "priority",
        on_missing: Callable[[str], bytes] | None = None,
    ) -> bytes:
        assert self._turn is not None
        with self._turn:
            return super().get(id, scope, lane=lane, on_missing=on_missing)


# --- what is fetched ahead of need ----------------------------------------------------------------


class LooksThenTakes(Speculation):
    """A36: looks for room without the lock, and then takes it.

    Bug: two who fetch ahead both find the last place free, and both take it.
    Seen in: altmount's stream tracker to this day, which looks and deletes in two steps.
    Caught by: speculation_takes_what_is_free (MaxInFlight).
    """

    def _admit(self, ahead: int) -> bool:
        if not self._is_demand(ahead) and self._busy >= self._limit:
            return False
        time.sleep(0)
        with self._lock:
            self._busy += 1
        return True


class WholeRounds(Speculation):
    """A36: lets speculation have the last place, too.

    Bug: three times the connections, where one less is meant; no interleaving is needed.
    Seen in: no issue that we know of; altmount's budget keeps one place back.
    Caught by: speculation_takes_what_is_free (MaxInFlight).
    """

    def _slots(self, connections: int) -> int:
        return super()._slots(connections) + 1


class SpeculationWaits(Speculation):
    """A36: has a fetch ahead of need wait for its turn.

    Bug: what nobody needs yet waits in line, and the reader behind it; no interleaving is needed.
    Seen in: altmount until #897 of September 2026: readers ahead of need queued for a slot.
    Caught by: speculation_takes_what_is_free (Failed, Elapsed).
    """

    def _admit(self, ahead: int) -> bool:
        while not super()._admit(ahead):
            time.sleep(0.005)
        return True


class DemandWaits(Speculation):
    """A36: counts what is needed now against the budget of what is not.

    Bug: a reader finds all places taken by what others fetch ahead; no interleaving is needed.
    Seen in: altmount until #897 of September 2026.
    Caught by: demand_never_waits (MaxInFlight).
    """

    def _is_demand(self, ahead: int) -> bool:
        return False


class NextIsSpeculation(Speculation):
    """A36: takes only what is read now for needed.

    Bug: at the end of each article the reader waits for a whole call; no interleaving is needed.
    Seen in: no issue that we know of; altmount's budget counts the current article and the next.
    Caught by: demand_never_waits (MaxInFlight).
    """

    def _is_demand(self, ahead: int) -> bool:
        return ahead < DEMAND - 1


class PlaceLostOnError(Speculation):
    """A36: gives a place back only where the fetch succeeded.

    Bug: each failure costs a place, until nothing is fetched ahead any more; no interleaving.
    Seen in: spring-framework #35708 of October 2025: a permit lost where a thread cannot start.
    Caught by: failing_speculation_gives_its_place_back (Failed).
    """

    @contextmanager
    def fetching(self, ahead: int) -> Iterator[bool]:
        is_admitted = self._admit(ahead)
        yield is_admitted
        if is_admitted:
            self._leave()


class SpeculationSerialised(Speculation):
    """One fetch at a time, whoever wants it.

    Bug: nothing can go wrong where nothing goes on.
    Seen in: hickory-dns #923 of November 2019: a lock round all lookups let one go at a time.
    Caught by: speculation_takes_what_is_free, demand_never_waits (MaxInFlight).
    """

    def __init__(self, connections: int) -> None:
        super().__init__(connections)
        self._turn = threading.Lock()

    @contextmanager
    def fetching(self, ahead: int) -> Iterator[bool]:
        with self._turn, super().fetching(ahead) as is_admitted:
            yield is_admitted


# --- connections for streams and imports ----------------------------------------------------------


class ConnectionFirst(Lanes):
    """L589: has an import take a connection, and then a place among the imports.

    Bug: imports that wait for each other hold the connections that were kept for streams.
    Seen in: no issue that we know of; altmount's #589 takes the import's semaphore first.
    Caught by: streams_find_their_share_free (MaxInFlight, Elapsed).
    """

    def _take(self, scope: Scope | None) -> tuple[Token, Token]:
        connection = self._all.acquire(scope)
        try:
            return self._imports.acquire(scope), connection
        except BaseException:
            connection.release()
            raise


class NoRollback(Lanes):
    """L589: forgets the first token where it is cancelled while it waits for the second.

    Bug: each import that is given up then costs a place, until none is left for anybody.
    Seen in: no issue that we know of; altmount's #589 rolls back when cancelled between the two.
    Caught by: import_given_up_between_the_two (Deadlock).
    """

    def _roll_back(self, place: Token) -> None:
        pass


class RoundsDown(Lanes):
    """L589: rounds what is kept for streams down.

    Bug: of four connections imports get two, and not one; no interleaving is needed.
    Seen in: no issue that we know of; altmount's #589 rounds up.
    Caught by: streams_find_their_share_free (Elapsed, Failed).
    """

    def _share(self, connections: int) -> int:
        return super()._share(connections) + 1


class LanesSerialised(Lanes):
    """One at a time, stream or import.

    Bug: nothing can go wrong where nothing goes on.
    Seen in: hickory-dns #923 of November 2019: a lock round all lookups let one go at a time.
    Caught by: streams_find_their_share_free (MaxInFlight).
    """

    def __init__(self, connections: int) -> None:
        super().__init__(connections)
        self._turn = threading.Lock()

    @contextmanager
    def stream(self, scope: Scope | None = None) -> Iterator[None]:
        with self._turn, super().stream(scope):
            yield

    @contextmanager
    def importing(self, scope: Scope | None = None) -> Iterator[None]:
        with self._turn, super().importing(scope):
            yield


# --- one call for many ----------------------------------------------------------------------------


class CallsForEach(Coalescer):
    """A19: makes a call for each path.

    Bug: twelve files that are repaired at once are twelve calls; no interleaving is needed.
    Seen in: altmount until commit cfad0c80 of 2026-04-27.
    Caught by: twelve_asks_cost_one_call (Calls).
    """

    def _calls(self, paths: list[str]) -> list[list[str]]:
        return [[path] for path in paths]


class ForgetsWhatCameMeanwhile(Coalescer):
    """A19: empties what is pending a moment after it has taken it.

    Bug: a path that is asked for between the two was accepted, and is never refreshed.
    Seen in: no issue that we know of; it is what altmount's cell that holds one wake-up prevents.
    Caught by: asks_beside_a_call_are_kept (Exactly).
    """

    def _take(self) -> list[str]:
        paths = list(self._pending)
        time.sleep(0)
        with self._changed:
            self._pending = {}
        return paths


class DropsThePending(Coalescer):
    """A19: ends without a look at what is pending.

    Bug: what was asked for in the last second before the end is not refreshed; no interleaving.
    Seen in: altmount since commit cfad0c80 of 2026-04-27, to this day.
    Caught by: close_refreshes_what_is_pending (Exactly).
    """

    def _take(self) -> list[str]:
        return [] if self._is_closing else super()._take()

    def _await_first(self) -> bool:
        return super()._await_first() and not self._is_closing


class LooksThenCloses(Coalescer):
    """A19: looks whether it is closed, and then closes.

    Bug: two who close both find it open, and both say that all is done: in the original a panic.
    Seen in: altmount since commit cfad0c80 of 2026-04-27, to this day.
    Caught by: close_refreshes_what_is_pending (Exactly).
    """

    def close(self) -> None:
        if self._is_closing:
            return
        time.sleep(0)
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._worker.join()
        self._done()


class SlidingDebounce(Coalescer):
    """A19: counts thirty seconds from the last time that somebody asked.

    Bug: what is asked for every twenty seconds is refreshed once and never again; no interleaving.
    Seen in: altmount 5fe6078c of December 2025: a look at the activity that the look itself makes.
    Caught by: asks_are_held_back_for_thirty_seconds (Calls).
    """

    def enqueue(self, path: str) -> bool:
        is_accepted = super().enqueue(path)
        with self._changed:
            self._remember(path, time.monotonic())
        return is_accepted


class NoDebounce(Coalescer):
    """A19: takes every path, however often.

    Bug: a file that fails every second is refreshed every second; no interleaving is needed.
    Seen in: altmount until commit cfad0c80 of 2026-04-27.
    Caught by: asks_are_held_back_for_thirty_seconds (Calls).
    """

    def _remember(self, path: str, now: float) -> None:
        pass


class RemembersEverything(Coalescer):
    """A19: remembers every path that was ever asked for.

    Bug: a library of a million files is in memory after a while; no interleaving is needed.
    Seen in: no issue that we know of; altmount prunes its map beyond 1024 paths.
    Caught by: few_paths_are_remembered (Failed).
    """

    def _remember(self, path: str, now: float) -> None:
        self._asked[path] = now


class NoCallTimeout(Coalescer):
    """A19: lets a call take as long as it takes.

    Bug: a server that hangs keeps the thread, and all calls behind it, for ever.
    Seen in: altmount until commit 1daa6a6a of 2025-12-26: a dial that hangs blocks everything.
    Caught by: hung_call_is_given_up (Deadlock).
    """

    def _call_scope(self) -> Scope:
        return Scope()


class DiesOfAnError(Coalescer):
    """A19: ends with the first call that fails.

    Bug: one answer of 502, and nothing is refreshed until the next start; no interleaving.
    Seen in: altmount until c27b571b of July 2026, whose worker has to survive what it calls.
    Caught by: asks_beside_a_call_are_kept (Unhandled).
    """

    def _call(self, paths: Sequence[str]) -> None:
        self._refresh(paths, self._call_scope())


class CoalescerSerialised(Coalescer):
    """One lock round every public method, and round the calls.

    Bug: who asks waits for the call that goes on.
    Seen in: hickory-dns #923 of November 2019: a lock round all lookups let one go at a time.
    Caught by: asks_beside_a_call_are_kept (Elapsed).
    """

    def _call(self, paths: Sequence[str]) -> None:
        with self._changed:
            super()._call(paths)


# --- what is missing from a file ------------------------------------------------------------------


class LooksAtTheClosedFile(Holes):
    """A29: looks up the path of the file when it records.

    Bug: close has let go of the path between the hole and its record.
    Seen in: altmount until commit c27b571b of 2026-07-15: the callback read what Close had cleared.
    Caught by: hole_meets_a_close (Failed).
    """

    def _keep(self, hole: Hole) -> None:
        path: Any = self._path
        super()._keep(Hole(path, hole.id))


class ThreadForEach(Holes):
    """A29: starts a thread for each hole, which nobody waits for.

    Bug: a file with a thousand holes has a thousand records on their way; no interleaving.
    Seen in: altmount until commit c27b571b of 2026-07-15: a goroutine of its own for each hole.
    Caught by: holes_are_recorded_one_by_one (MaxInFlight).
    """

    def _offer(self, hole: Hole) -> bool:
        threading.Thread(target=self._keep, args=(hole,), daemon=True).start()
        return True


class DiesOfARecord(Holes):
    """A29: ends with the first record that fails.

    Bug: one hole that cannot be recorded, and nothing is recorded any more; no interleaving.
    Seen in: altmount until commit c27b571b of 2026-07-15: what the goroutine raised, nobody caught.
    Caught by: holes_are_recorded_one_by_one (Unhandled).
    """

    def _keep(self, hole: Hole) -> None:
        self._record(hole)


class WaitsForAPlace(Holes):
    """A29: waits for a place in the queue instead of dropping the hole.

    Bug: whoever reads waits for the slowest record, with the lock in its hands; no interleaving.
    Seen in: no issue that we know of; altmount drops when its queue of 128 is full.
    Caught by: holes_are_recorded_one_by_one (Calls, Elapsed).
    """

    def _offer(self, hole: Hole) -> bool:
        while not super()._offer(hole):
            time.sleep(0.005)
        return True


class DropsWhatWaits(Holes):
    """A29: forgets what waits to be recorded when it is closed.

    Bug: a hole that was found just before the end was accepted, and is never recorded.
    Seen in: no issue that we know of; altmount drains its queue on close.
    Caught by: hole_meets_a_close (Failed).
    """

    def _end(self) -> None:
        with suppress(Empty):
            while True:
                self._queue.get_nowait()
        super()._end()


class HolesSerialised(Holes):
    """One lock round every public method, and round the records.

    Bug: who finds a hole waits for the record that goes on.
    Seen in: hickory-dns #923 of November 2019: a lock round all lookups let one go at a time.
    Caught by: holes_are_recorded_one_by_one (Calls, Elapsed).
    """

    def _keep(self, hole: Hole) -> None:
        with self._lock:
            super()._keep(hole)
