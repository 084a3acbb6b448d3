"""The part of a pool that does not wait: what both flavours count, look up and decide.

It does not know threads from tasks. Whoever serves a call asks it in this order: `arrive`, then (in
its slot, behind the gate) `plan`, then `deliver` what the plan says, then `end`.
"""

from __future__ import annotations

import concurrent.futures
import random
import threading
from asyncio import CancelledError
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from harness.errors import HarnessError, Violation, misuse
from harness.faults import (
    Consultable,
    Crash,
    Delay,
    Duplicate,
    Fail,
    Overtake,
    Pass,
    Pause,
    Site,
    Truncate,
    Verdict,
)

from .behaviour import ECHO, Behaviour, Draw, Latency, Records, cut
from .gate import AsyncGate, Gate
from .in_flight import InFlight
from .ledger import Ledger, Request, Ticket
from .waiting import checked_name

Disturb = Callable[[Crash | Pause], object]
CONCURRENCY = 64

Writer = Callable[[Any], object]
G = TypeVar("G", Gate, AsyncGate)


@dataclass(frozen=True, slots=True)
class Existence:
    """One result of `exists_many`.

    The key, and the error that its question ended with (None: it exists).
    """

    key: str
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """How one call is to be served: what strikes it, how long it takes, and what it carries."""

    record: Behaviour
    attempt: int
    verdict: Verdict
    latency: float
    payload: object

    @property
    def fails_in_body(self) -> bool:
        """Whether the call dies behind its first chunk."""
        return self.attempt <= self.record.fail_after_first_chunk


class Desk:
    """The books, the records and the faults of one pool. Any thread.

    Args:
        name: name of the pool.
        latency: seconds, or a span, of the default record.
        payload: payload of the default record; None for the key itself.
        faults: what else may strike a call; None for nothing.
        draw: where spans are drawn; None for a generator of its own, seeded with 0.
        actor: tells the spawn path of who calls; None for the name of the thread or task.
        disturb: carries out a `Crash` or `Pause`, which only a simulated world can.
    """

    def __init__(
        self,
        name: str,
        *,
        latency: Latency,
        payload: object,
        faults: Consultable | None,
        draw: Draw | None,
        actor: Callable[[], str] | None,
        disturb: Disturb | None,
    ) -> None:
        self.name = checked_name(name)
        self.gauge = InFlight(name)
        self.ledger = Ledger()
        self.disturb = disturb or self._refuse_to_disturb
        self._records = Records(
            Behaviour(latency=latency, payload=ECHO if payload is None else payload)
        )
        self._faults = faults
        self._draw = draw or random.Random(0).randrange  # no secret depends on it
        self._actor = actor
        # A rule is foreign code and keeps counts: one thread at a time, and not under the lock that
        # the books need.
        self._consulting = threading.Lock()
        self._lock = threading.Lock()

    def set_default(self, record: Behaviour) -> None:
        """See `FakePool.set_default`."""
        with self._lock:
            self._records.set_default(record)

    def script(self, key: str, steps: Sequence[Behaviour], then: Behaviour | None) -> None:
        """See `FakePool.script`."""
        if not steps and then is None:
            raise misuse(
                "steps",
                (),
                "must name at least one Behaviour.",
                "Use unset(key) to go back to the default.",
            )
        with self._lock:
            self._records.script(key, steps, then)

    def unset(self, key: str) -> None:
        """See `FakePool.unset`."""
        with self._lock:
            self._records.unset(key)

    def reset(self) -> None:
        """See `FakePool.reset`."""
        self.ledger.reset()
        self.gauge.reset()

    def assert_max_in_flight(self, bound: int) -> None:
        """See `FakePool.assert_max_in_flight`."""
        if self.gauge.high_water > bound:
            summary = f"{self.name!r} had {self.gauge.high_water} calls in flight, allowed {bound}."
            raise Violation("MaxInFlight", summary)

    def arrive(self, request: Request) -> Ticket:
        """Count a call that came in; its ordinals are fixed here."""
        with self._lock:
            attempt = self._records.arrive(request.key)
        return Ticket(request, self.ledger.arrive(request), attempt)

    def plan(self, ticket: Ticket) -> Service:
        """Decide how a call is served.

        Its record first, then what else may strike it. Once per call.
        """
        request = ticket.request
        with self._lock:
            plan = self._records.plan(request.key, ticket.attempt)
            delay = plan.record.delay(self._draw)
        verdict = self._first_verdict(plan.record, plan.attempt, ticket)
        latency, payload = delay.seconds, plan.record.body(request.key)
        if isinstance(verdict, Delay):
            latency += verdict.seconds
        elif isinstance(verdict, Truncate):
            payload = cut(payload, 0, verdict.size)
        return Service(plan.record, plan.attempt, verdict, latency, payload)

    def end(self, ticket: Ticket, exc: BaseException | None) -> None:
        """Write down how a call ended."""
        if exc is None:
            self.ledger.note("answered", ticket.request, ticket.ordinal)
        elif isinstance(exc, (concurrent.futures.CancelledError, CancelledError)):
            self.ledger.note("cancelled", ticket.request, ticket.ordinal)
        elif isinstance(exc, TimeoutError):
            self.ledger.note("timed out", ticket.request, ticket.ordinal)
        else:
            self.ledger.note("failed", ticket.request, ticket.ordinal)

    def _first_verdict(self, record: Behaviour, attempt: int, ticket: Ticket) -> Verdict:
        """Ask the record's own rule, then the faults; the first verdict that is not `Pass` wins."""
        request = ticket.request
        actor = request.who if self._actor is None else self._actor()
        site = Site(
            "call",
            self.name,
            actor,
            ticket.ordinal,
            request.key,
            request.lane,
            request.argument,
            who=request.who,
        )
        verdict = record.rule(attempt)(site)
        if isinstance(verdict, Pass) and self._faults is not None:
            with self._consulting:
                verdict = self._faults.consult(site)
        if isinstance(verdict, Duplicate | Overtake):
            message = (
                f"verdict={verdict!r} cannot strike a call of {self.name!r}: only messages of a "
                "store come twice or out of turn. Look at site.name first."
            )
            raise HarnessError(message)
        return verdict

    def _refuse_to_disturb(self, verdict: Crash | Pause) -> NoReturn:
        message = (
            f"{verdict!r} struck a call of {self.name!r} outside a simulated run: real "
            "threads and tasks cannot be stopped from outside. Run it under harness.explore, "
            "or use Fail or Hang."
        )
        raise HarnessError(message)


def scripted_error(verdict: Fail) -> BaseException:
    """Return the exception to raise, without the traceback of the call that it failed before."""
    return verdict.make().with_traceback(None)


def passed_on(result: Existence) -> Existence:
    """Return a result of `exists_many`, but raise what is the harness's own error.

    It says nothing about the key.
    """
    if isinstance(result.error, HarnessError):
        raise result.error
    return result


def checked_size(size: int | None) -> int | None:
    """Return the `size` of a pool, or raise HarnessError."""
    if size is not None and size < 1:
        rule = "must be at least 1: a pool without slots admits nobody."
        raise misuse(
            "size",
            size,
            rule,
            "To simulate an outage, use block_until(gate) or Behaviour(error=…).",
        )
    return size


def checked_concurrency(concurrency: int) -> int:
    """Return how many questions are out at once, or raise HarnessError."""
    if concurrency < 1:
        rule = "must be at least 1: nobody would ask."
        raise misuse("concurrency", concurrency, rule, f"Leave it out for {CONCURRENCY}.")
    return concurrency


def checked_gate(gate: Gate | AsyncGate, wanted: type[G]) -> G:
    """Return the `gate` if it is of the pool's flavour, or raise HarnessError."""
    if not isinstance(gate, wanted):
        raise misuse(
            "tail_gate",
            gate,
            f"is not of class {wanted.__name__}, which this pool needs.",
            "A pool and its gates are of one flavour.",
        )
    return gate


def what(name: str, key: str) -> str:
    """Say what is waited for."""
    return f"{name!r}, {key!r}" if key else repr(name)


def describe(kind: str, desk: Desk) -> str:
    """Show a pool in one line."""
    return f"<{kind} {desk.name!r}: {desk.gauge.value} in flight, {desk.ledger.total} in all>"
