"""A fake pool of connections for tasks: the twin of `pool`, where the fault model stands.

It does not know what the keys mean, nor whether time is virtual.
"""

from __future__ import annotations

import asyncio
import inspect
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
from .gate import AsyncGate
from .ledger import PoolEvent, Request, Ticket
from .slots import AsyncSlots
from .waiting import AsyncPatience, caller_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from .in_flight import InFlight


class AsyncFakePool:
    """A pool for tasks. One loop; cancellation is that of the calling task.

    Args:
        name: how it is called in reports.
        size: how many calls are in flight at most, others queue first in, first out; None for no
            limit.
        latency: seconds until an answer, or a span `(low, high)` from which each call draws.
        payload: what every call answers; a function is asked with the key; None for the key itself.
        faults: what else may strike a call (`harness.faults.Faults`); None for nothing.
        draw: `draw(n)` gives 0 ≤ i < n for latency spans; None for a generator of its own, seeded
            with 0.
        actor: tells the spawn path of who calls, for faults; None for the task's name.
        disturb: carries out `Crash` and `Pause` (an awaitable that it returns is awaited); without
            it they are refused.

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
        self._slots = AsyncSlots(size)
        self._gate: AsyncGate | None = None

    # ---- serving ----

    async def call(
        self,
        key: str = "",
        *,
        timeout: float | None = None,  # the twin of FakePool.call
        lane: str = "",
        argument: object = None,
        writer: Writer | None = None,
    ) -> Any:
        """Ask for `key` and wait for the answer.

        Args:
            key: what is asked for.
            timeout: seconds until the caller gives up; None for never. An answer due at that very
                instant is too late.
            lane: which of the pool's lanes, for the counters and the faults.
            argument: anything that goes with the question; it is recorded.
            writer: takes the payload chunk by chunk, an awaitable that it returns is awaited; what
                it raises ends the call.

        Returns:
            The payload; with a `writer`, how many bytes (or items) it was given.

        Raises:
            TimeoutError: the caller's deadline came first.
            asyncio.CancelledError: the task was cancelled.
            BaseException: the scripted or injected error.
        """
        patience = self._patience(key, timeout)
        request = Request("call", key, lane, argument, caller_name())
        return await self._serve(await self._arrive(request, patience), patience, writer)

    async def exists(
        self, key: str, *, timeout: float | None = None, lane: str = ""
    ) -> bool:  # as above
        """Ask whether `key` exists: a call like any other, but without a payload.

        Args:
            key: what is asked for.
            timeout: seconds until the caller gives up; None for never.
            lane: which of the pool's lanes.

        Returns:
            True.

        Raises:
            BaseException: whatever `call` would raise; the scripted error says that it does not
                exist.
        """
        patience = self._patience(key, timeout)
        request = Request("exists", key, lane, None, caller_name())
        await self._serve(await self._arrive(request, patience), patience, None)
        return True

    def submit(
        self,
        key: str = "",
        *,
        timeout: float | None = None,
        lane: str = "",
        argument: object = None,
        writer: Writer | None = None,
    ) -> asyncio.Task[Any]:
        """Ask for `key` in a task of its own; the counters have risen when this returns.

        Keep the task.

        It is done when the call has *left*: whoever sees its result sees a gauge without it.

        Args:
            key: as for `call`, and so on for the others.
            timeout: seconds, counted from now.
            lane: which of the pool's lanes.
            argument: recorded with the call.
            writer: takes the payload chunk by chunk.

        Raises:
            TimeoutError: the deadline is not in the future.
        """
        patience = self._patience(key, timeout)
        ticket = self._admit(Request("submit", key, lane, argument, caller_name()), patience)
        has_begun = False

        async def serve() -> Any:
            nonlocal has_begun
            has_begun = True
            return await self._serve(ticket, patience, writer)

        def end(_task: asyncio.Task[Any]) -> None:
            # A task that is cancelled before its first step never runs a line of its coroutine.
            if not has_begun:
                self._desk.end(ticket, asyncio.CancelledError())

        task = asyncio.get_running_loop().create_task(serve(), name=f"{self.name}-{ticket.ordinal}")
        task.add_done_callback(end)
        return task

    async def exists_many(
        self,
        keys: Iterable[str],
        *,
        concurrency: int = CONCURRENCY,
        timeout: float | None = None,  # as above
        lane: str = "",
    ) -> AsyncIterator[Existence]:
        """Ask for many keys, at most `concurrency` at a time; yield results as they come.

        Dispatch begins with the first result that is asked for. It stops when the task that
        iterates is cancelled or the iterator is closed (`contextlib.aclosing` sees to that): the
        calls that are out are cancelled, keys not yet asked for are dropped, and the iterator ends
        when all its tasks have.

        Args:
            keys: what is asked for.
            concurrency: how many questions are out at once; no more tasks than keys are started.
            timeout: seconds for each question; None for no limit.
            lane: which of the pool's lanes.

        Raises:
            HarnessError: `concurrency` is below 1.
        """
        waiting = deque(keys)
        results: asyncio.Queue[Existence | None] = asyncio.Queue()

        async def ask() -> None:
            try:
                while waiting:
                    key = waiting.popleft()
                    results.put_nowait(await self._existence(key, timeout, lane))
            finally:
                results.put_nowait(None)

        loop = asyncio.get_running_loop()
        askers = [
            loop.create_task(ask(), name=f"{self.name}-exists-{number}")
            for number in range(1, min(checked_concurrency(concurrency), len(waiting)) + 1)
        ]
        try:
            at_work = len(askers)
            while at_work:
                result = await results.get()
                if result is None:
                    at_work -= 1
                else:
                    yield passed_on(result)
        finally:
            waiting.clear()
            for asker in askers:
                asker.cancel()
            await asyncio.gather(*askers, return_exceptions=True)

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

    def block_until(self, gate: AsyncGate | None) -> None:
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
        return describe("AsyncFakePool", self._desk)

    # ---- how a call is served ----

    def _patience(self, key: str, timeout: float | None) -> AsyncPatience:
        return AsyncPatience(timeout, what(self.name, key))

    async def _arrive(self, request: Request, patience: AsyncPatience) -> Ticket:
        """Count a call, or refuse one that is over before it came."""
        # A task that was cancelled before its first await in here learns of it only at that await.
        # The attribute is there on both task classes of every supported Python
        # (Lib/asyncio/tasks.py, Modules/_asynciomodule.c).
        if getattr(asyncio.current_task(), "_must_cancel", False):
            self._desk.ledger.note("refused", request, 0)
            await asyncio.sleep(0)
        return self._admit(request, patience)

    def _admit(self, request: Request, patience: AsyncPatience) -> Ticket:
        try:
            patience.check()
        except TimeoutError:
            self._desk.ledger.note("refused", request, 0)
            raise
        return self._desk.arrive(request)

    async def _serve(self, ticket: Ticket, patience: AsyncPatience, writer: Writer | None) -> Any:
        """Serve a call that came in, from its slot to its leaving; then write down how it ended."""
        try:
            await self._slots.take(patience)
            try:
                with self._desk.gauge:
                    answer = await self._answer(ticket, patience, writer)
            finally:
                self._slots.give_back()
        except BaseException as exc:
            self._desk.end(ticket, exc)
            raise
        self._desk.end(ticket, None)
        return answer

    async def _answer(self, ticket: Ticket, patience: AsyncPatience, writer: Writer | None) -> Any:
        self._desk.ledger.note("started", ticket.request, ticket.ordinal)
        # The counters have risen: from here on a call without latency is a place where others may
        # run, too.
        await asyncio.sleep(0)
        if self._gate is not None:
            await self._gate.pass_through(patience)
        service = self._desk.plan(ticket)
        match service.verdict:
            case Crash() | Pause() as verdict:
                await _awaited(self._desk.disturb(verdict))
            case Cancel():
                await _cancel_myself()
            case Hang():
                await patience.hang()
            case _:
                pass
        await patience.sleep(service.latency)
        if isinstance(service.verdict, Fail):
            raise scripted_error(service.verdict)
        if ticket.request.method == "exists":
            return True
        return await self._deliver(ticket, service, patience, writer)

    async def _deliver(
        self, ticket: Ticket, service: Service, patience: AsyncPatience, writer: Writer | None
    ) -> Any:
        record, request = service.record, ticket.request
        for index, chunk in enumerate(record.chunks(service.payload)):
            if index:
                await asyncio.sleep(0)
                patience.check()
            if writer is not None:
                await _awaited(writer(chunk))
                self._desk.ledger.note("chunk", request, ticket.ordinal)
            if index == 0:
                if record.tail_gate is not None:
                    await checked_gate(record.tail_gate, AsyncGate).pass_through(patience)
                if service.fails_in_body:
                    raise scripted_error(Fail(record.fail_error))
        return service.payload if writer is None else measure(service.payload)

    async def _existence(self, key: str, timeout: float | None, lane: str) -> Existence:  # as above
        try:
            await self.exists(key, timeout=timeout, lane=lane)
        except Exception as exc:  # noqa: BLE001  # any scripted error is a result here
            return Existence(key, exc)
        return Existence(key)


async def _cancel_myself() -> None:
    """Cancel the calling task as somebody else would: its count of cancellations is right, too."""
    task = asyncio.current_task()
    assert task is not None  # a coroutine of asyncio runs in a task
    task.cancel()
    await asyncio.sleep(0)


async def _awaited(answer: object) -> None:
    """Await what a plain or an async function returned, if there is anything to await."""
    if inspect.isawaitable(answer):
        awaitable: Awaitable[object] = answer
        await awaitable
