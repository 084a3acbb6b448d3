"""A fake pool of connections: the far end of a call, as slow, full and broken as a test wants it.

Fault model: a call may take long, queue for a slot, be held at a gate, fail (always, at its first
attempts, behind its first chunk), answer too little, or never answer; a cancellation or a time-out
of the caller may meet any of these, at any instant. What never happens: an answer to a question
that was not asked, a slot that is lost or given away out of turn, a payload that is changed rather
than cut, a counter that is wrong. That is enough for everything that a client can get wrong by
itself.

    arrive (counters rise) ─► slot (first in, first out) ─► in flight ─► gate ─► record and faults
                                                              leave ◄─ error or payload ◄─ latency

A call whose patience is over when it comes (scope set, deadline not in the future) never reaches
the wire: it is refused, one line in the log, and counted nowhere else. A call that is over by its
caller's doing while it queues was counted, but was never in flight.

It does not know what the keys mean, nor whether time is virtual.
"""

from __future__ import annotations

import concurrent.futures
import queue
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from harness.faults import Cancel, Consultable, Crash, Fail, Hang, Pause

from .behaviour import Behaviour, Draw, Latency, measure
from .desk import (
    CONCURRENCY,
    Desk,
    Disturb,
    Existence,
    Service,
    Writer,
    checked_concurrency,
    checked_gate,
    checked_size,
    describe,
    passed_on,
    scripted_error,
    what,
)
from .gate import Gate
from .ledger import PoolEvent, Request, Ticket
from .slots import Slots
from .waiting import Cancellation, Patience, Scope, caller_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .in_flight import InFlight


class FakePool:
    """A pool for threads. Any thread.

    Args:
        name: how it is called in reports.
        size: how many calls are in flight at most, others queue first in, first out; None for no
            limit.
        latency: seconds until an answer, or a span `(low, high)` from which each call draws.
        payload: what every call answers; a function is asked with the key; None for the key itself.
        faults: what else may strike a call (`harness.faults.Faults`); None for nothing.
        draw: `draw(n)` gives 0 ≤ i < n for latency spans; None for a generator of its own, seeded
            with 0.
        actor: tells the spawn path of who calls, for faults; None for the thread's name.
        disturb: carries out `Crash` and `Pause`; without it they are refused.

    Raises:
        HarnessError: an argument out of range.
    """

    def __init__(
        self,
        name: str,
        *,
        size: int | None = None,
        latency: Latency = 0.0,
        payload: object = None,
        faults: Consultable | None = None,
        draw: Draw | None = None,
        actor: Callable[[], str] | None = None,
        disturb: Disturb | None = None,
    ) -> None:
        self._desk = Desk(
            name,
            latency=latency,
            payload=payload,
            faults=faults,
            draw=draw,
            actor=actor,
            disturb=disturb,
        )
        self.name = name
        self.size = checked_size(size)
        self._slots = Slots(size)
        self._gate: Gate | None = None

    # ---- serving ----

    def call(
        self,
        key: str = "",
        *,
        timeout: float | None = None,
        cancel: Cancellation | None = None,
        lane: str = "",
        argument: object = None,
        writer: Writer | None = None,
    ) -> Any:
        """Ask for `key` and wait for the answer.

        Args:
            key: what is asked for.
            timeout: seconds until the caller gives up; None for never. An answer due at that very
                instant is too late.
            cancel: scope of the caller; once it is set the call ends at once, wherever it waits.
            lane: which of the pool's lanes, for the counters and the faults.
            argument: anything that goes with the question; it is recorded.
            writer: takes the payload chunk by chunk; what it raises ends the call.

        Returns:
            The payload; with a `writer`, how many bytes (or items) it was given.

        Raises:
            TimeoutError: the caller's deadline came first.
            concurrent.futures.CancelledError: the caller was cancelled first, or at the same
            instant. BaseException: the scripted or injected error.
        """
        patience = self._patience(key, timeout, cancel)
        request = Request("call", key, lane, argument, caller_name())
        return self._serve(self._arrive(request, patience), patience, writer)

    def exists(
        self,
        key: str,
        *,
        timeout: float | None = None,
        cancel: Cancellation | None = None,
        lane: str = "",
    ) -> bool:
        """Ask whether `key` exists: a call like any other, but without a payload.

        Args:
            key: what is asked for.
            timeout: seconds until the caller gives up; None for never.
            cancel: scope of the caller.
            lane: which of the pool's lanes.

        Returns:
            True.

        Raises:
            BaseException: whatever `call` would raise; the scripted error says that it does not
                exist.
        """
        patience = self._patience(key, timeout, cancel)
        request = Request("exists", key, lane, None, caller_name())
        self._serve(self._arrive(request, patience), patience, None)
        return True

    def submit(
        self,
        key: str = "",
        *,
        timeout: float | None = None,
        cancel: Cancellation | None = None,
        lane: str = "",
        argument: object = None,
        writer: Writer | None = None,
    ) -> concurrent.futures.Future[Any]:
        """Ask for `key` in a thread of the pool's own; the counters have risen when this returns.

        The future gets its one result when the call has *left*: whoever sees it sees a gauge
        without it.

        Args:
            key: as for `call`, and so on for the others.
            timeout: seconds, counted from now.
            cancel: scope of the caller.
            lane: which of the pool's lanes.
            argument: recorded with the call.
            writer: takes the payload chunk by chunk.

        Raises:
            TimeoutError: the deadline is not in the future.
            concurrent.futures.CancelledError: the scope is set already.
        """
        patience = self._patience(key, timeout, cancel)
        request = Request("submit", key, lane, argument, caller_name())
        ticket = self._arrive(request, patience)
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        future.set_running_or_notify_cancel()

        def serve() -> None:
            try:
                answer = self._serve(ticket, patience, writer)
            except BaseException as exc:  # noqa: BLE001  # it is the future's now
                future.set_exception(exc)
            else:
                future.set_result(answer)

        threading.Thread(target=serve, name=f"{self.name}-{ticket.ordinal}").start()
        return future

    def exists_many(
        self,
        keys: Iterable[str],
        *,
        concurrency: int = CONCURRENCY,
        timeout: float | None = None,
        cancel: Cancellation | None = None,
        lane: str = "",
    ) -> Iterator[Existence]:
        """Ask for many keys, at most `concurrency` at a time; yield results as they come.

        Dispatch begins with the first result that is asked for. It stops when `cancel` is set or
        the iterator is closed: the calls that are out end at once, keys not yet asked for are
        dropped, and the iterator ends when all its threads have.

        Args:
            keys: what is asked for.
            concurrency: how many questions are out at once; no more threads than keys are started.
            timeout: seconds for each question; None for no limit.
            cancel: scope of the caller.
            lane: which of the pool's lanes.

        Raises:
            HarnessError: `concurrency` is below 1.
        """
        waiting = deque(keys)
        return self._results(waiting, checked_concurrency(concurrency), timeout, cancel, lane)

    # ---- scripting ----

    def set_default(self, record: Behaviour) -> None:
        """Serve every key without a record of its own by `record`.

        Calls that are behind the gate already keep theirs.
        """
        self._desk.set_default(record)

    def set(self, key: str, record: Behaviour) -> None:
        """Serve `key` by `record`, whole: nothing is taken over from the default."""
        self._desk.script(key, (), record)

    def script(self, key: str, *steps: Behaviour, then: Behaviour | None = None) -> None:
        """Serve the next calls for `key` by `steps`, in order of arrival, later ones by `then`.

        Args:
            key: whose calls.
            steps: records of attempt 1, 2, … counted from now.
            then: record of all later calls; None for the default.

        Raises:
            HarnessError: no record at all.
        """
        self._desk.script(key, steps, then)

    def unset(self, key: str) -> None:
        """Serve `key` by the default again."""
        self._desk.unset(key)

    def block_until(self, gate: Gate | None) -> None:
        """Hold every later call until `gate` opens; None holds nobody.

        It is held in its slot and counts as in flight.         Who waits at an earlier gate stays
        there. The wait honours the caller's time-out and cancellation.
        """
        self._gate = gate

    # ---- counting ----

    @property
    def gauge(self) -> InFlight:
        """The gauge of calls in flight: those that hold a slot."""
        return self._desk.gauge

    @property
    def in_flight(self) -> int:
        """How many calls hold a slot now."""
        return self._desk.gauge.value

    @property
    def high_water(self) -> int:
        """The most calls that held a slot at once."""
        return self._desk.gauge.high_water

    @property
    def queued(self) -> int:
        """How many calls wait for a slot now."""
        return self._slots.queued

    @property
    def total(self) -> int:
        """How many calls came in."""
        return self._desk.ledger.total

    def calls(
        self, id: str | None = None, lane: str | None = None, method: str | None = None
    ) -> int:  # the word of the checks
        """Count the calls that came in; None means any.

        Args:
            id: for this key only.
            lane: in this lane only.
            method: by `call`, `submit` or `exists` only, so that a question does not read as a
                retry.
        """
        return self._desk.ledger.calls(id, lane, method)

    def arrivals(self, id: str | None = None) -> list[float]:  # as above
        """Return when calls came in, in seconds on the clock of `time.monotonic()`.

        For one key, or None for all.
        """
        return self._desk.ledger.arrivals(id)

    def arguments(self, id: str) -> list[object]:  # as above
        """Return the `argument` of each call for a key, in order of arrival."""
        return self._desk.ledger.arguments(id)

    @property
    def events(self) -> list[PoolEvent]:
        """The log, oldest line first; it keeps the last 100,000 lines."""
        return self._desk.ledger.events()

    @property
    def events_dropped(self) -> int:
        """How many lines of the log gave way to newer ones."""
        return self._desk.ledger.events_dropped

    def reset(self) -> None:
        """Start the statistics and the log afresh.

        Calls in flight stay in flight, and scripts go on where they are.
        """
        self._desk.reset()

    def assert_max_in_flight(self, bound: int) -> None:
        """Raise Violation if more than `bound` calls ever held a slot at once."""
        self._desk.assert_max_in_flight(bound)

    def __repr__(self) -> str:
        return describe("FakePool", self._desk)

    # ---- how a call is served ----

    def _patience(self, key: str, timeout: float | None, cancel: Cancellation | None) -> Patience:
        return Patience(timeout, cancel, what(self.name, key))

    def _arrive(self, request: Request, patience: Patience) -> Ticket:
        """Count a call, or refuse one that is over before it came."""
        try:
            patience.check()
        except BaseException:
            self._desk.ledger.note("refused", request, 0)
            raise
        return self._desk.arrive(request)

    def _serve(self, ticket: Ticket, patience: Patience, writer: Writer | None) -> Any:
        """Serve a call that came in, from its slot to its leaving; then write down how it ended."""
        try:
            self._slots.take(patience)
            try:
                with self._desk.gauge:
                    answer = self._answer(ticket, patience, writer)
            finally:
                self._slots.give_back()
        except BaseException as exc:
            self._desk.end(ticket, exc)
            raise
        self._desk.end(ticket, None)
        return answer

    def _answer(self, ticket: Ticket, patience: Patience, writer: Writer | None) -> Any:
        self._desk.ledger.note("started", ticket.request, ticket.ordinal)
        # The counters have risen: from here on a call without latency is a place where others may
        # run, too.
        time.sleep(0)
        if self._gate is not None:
            self._gate.pass_through(patience)
        service = self._desk.plan(ticket)
        match service.verdict:
            case Crash() | Pause() as verdict:
                self._desk.disturb(verdict)
            case Cancel():
                message = f"{what(self.name, ticket.request.key)}: cancelled by a fault"
                raise concurrent.futures.CancelledError(message)
            case Hang():
                patience.hang()
            case _:
                pass
        patience.sleep(service.latency)
        if isinstance(service.verdict, Fail):
            raise scripted_error(service.verdict)
        if ticket.request.method == "exists":
            return True
        return self._deliver(ticket, service, patience, writer)

    def _deliver(
        self, ticket: Ticket, service: Service, patience: Patience, writer: Writer | None
    ) -> Any:
        record, request = service.record, ticket.request
        for index, chunk in enumerate(record.chunks(service.payload)):
            if index:
                time.sleep(0)
                patience.check()
            if writer is not None:
                writer(chunk)
                self._desk.ledger.note("chunk", request, ticket.ordinal)
            if index == 0:
                if record.tail_gate is not None:
                    checked_gate(record.tail_gate, Gate).pass_through(patience)
                if service.fails_in_body:
                    raise scripted_error(Fail(record.fail_error))
        return service.payload if writer is None else measure(service.payload)

    def _results(
        self,
        waiting: deque[str],
        concurrency: int,
        timeout: float | None,
        cancel: Cancellation | None,
        lane: str,
    ) -> Iterator[Existence]:
        """Run the questions of `exists_many` and yield their results."""
        scope = Scope(f"exists_many of {self.name!r}")
        results: queue.SimpleQueue[Existence | None] = queue.SimpleQueue()

        def ask() -> None:
            try:
                while not scope.is_set():
                    results.put(self._existence(waiting.popleft(), timeout, scope, lane))
            except IndexError:
                pass  # nothing left to ask
            finally:
                results.put(None)

        take_back = _never if cancel is None else cancel.on_set(scope.set)
        askers = [
            threading.Thread(target=ask, name=f"{self.name}-exists-{number}")
            for number in range(1, min(concurrency, len(waiting)) + 1)
        ]
        try:
            for asker in askers:
                asker.start()
            at_work = len(askers)
            while at_work:
                result = results.get()
                if result is None:
                    at_work -= 1
                else:
                    yield passed_on(result)
        finally:
            take_back()
            scope.set()
            for asker in askers:
                if asker.ident is not None:
                    asker.join()

    def _existence(self, key: str, timeout: float | None, scope: Scope, lane: str) -> Existence:
        try:
            self.exists(key, timeout=timeout, cancel=scope, lane=lane)
        except Exception as exc:  # noqa: BLE001  # any scripted error is a result here
            return Existence(key, exc)
        return Existence(key)


def _never() -> None:
    """Take back a registration that was never made."""
