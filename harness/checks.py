"""Promises as values: what a storm must keep to, watched while it runs and judged when it is over.

    storm starts ──► check.watch(view) ──► judge … over a bound: view.fail(…), at that moment
    storm over, everybody settled ──► judge() ──► None: it held
                                              ──► Violation: it did not, or it could not be told

A check knows what is promised and how to say that it was broken. It does not know how a run is
made: all it sees of one is a
`StormView`. A bare number is exact and a bound is said: `Elapsed(0.050)`, `Elapsed(at_most=2)`.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final, Protocol

from harness.core.clock import SECOND_NS, to_ns
from harness.errors import HarnessError, Violation, misuse
from harness.snapshot import Alive, frames_of, snapshot
from harness.world import activity, waits
from harness.world.here import here
from harness.world.tasks import task_frames
from harness.world.threads import is_plumbing

Judge = Callable[[], Violation | None]

_ROWS_MAX: Final = 12  # rows of one kind in a verdict; the rest is counted
_TICK_SECONDS: Final = 0.001
#: How often somebody is looked at who is to rest outside a run, and what processor time is noise.
_LOOKS: Final = 20
_NOISE_NS: Final = 5_000_000


# --- what a check sees of a run -------------------------------------------------------------------


class ActorView(Protocol):
    """A thread or task that is alive."""

    @property
    def name(self) -> str:
        """How it is called."""
        ...  # pragma: no cover

    @property
    def frames(self) -> Sequence[CodeType]:
        """The code it is in, outermost first."""
        ...  # pragma: no cover

    @property
    def owners(self) -> Sequence[int]:
        """Of each of these, the id of the object whose method it is; 0 for none."""
        ...  # pragma: no cover

    @property
    def is_parked(self) -> bool:
        """Whether it waits for something."""
        ...  # pragma: no cover

    @property
    def waits_for(self) -> str:
        """What it waits for, and where; empty while it runs."""
        ...  # pragma: no cover


@dataclass(frozen=True, slots=True)
class Survivor:
    """A thread or task that outlived the storm in which the code under test started it.

    Args:
        name: how it is called.
        kind: `thread` or `task`.
        created: `file:line function` that started it.
        parked: what it waits for, and where.
        daemon: whether it is a daemon thread.
    """

    name: str
    kind: str
    created: str
    parked: str
    daemon: bool = False


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A task of the storm that was cancelled, and has not taken that back by `uncancel()`.

    Args:
        name: how it is called.
        ending: `cancelled`, `raised`, `returned`, or `unended` while it has not ended.
        detail: what it returned or raised, or what it waits for and where.
    """

    name: str
    ending: str
    detail: str


class StormView(Protocol):
    """What a check may ask of the storm it watches."""

    def now_ns(self) -> int:
        """Return the virtual time."""
        ...  # pragma: no cover

    def started_ns(self) -> int:
        """Return when the storm started."""
        ...  # pragma: no cover

    def ended_ns(self) -> int | None:
        """Return when the last of the storm's own actors ended; None while one has not."""
        ...  # pragma: no cover

    def fail(self, violation: Violation) -> None:
        """End the run at once. Does not return inside a run."""
        ...  # pragma: no cover

    def survivors(self) -> Sequence[Survivor]:
        """Return who outlived the storm, background excepted."""
        ...  # pragma: no cover

    def actors(self) -> Sequence[ActorView]:
        """Return everyone alive."""
        ...  # pragma: no cover

    def cancelled(self) -> Sequence[Cancelled]:
        """Return the storm's own tasks that were cancelled."""
        ...  # pragma: no cover


class Check(Protocol):
    """A promise about a storm. The name of its class is its name in a verdict."""

    def watch(self, view: StormView) -> Judge:
        """Start to watch; return the function that judges once everybody has settled.

        None means that it held.
        """
        ...  # pragma: no cover


class Gauge(Protocol):
    """What `MaxInFlight` needs: `harness.InFlight` has it.

    And so may a double of the user's own.
    """

    name: str

    @property
    def value(self) -> int:
        """How many are inside now."""
        ...  # pragma: no cover

    def subscribe(self, callback: Callable[[int], None], /) -> Callable[[], None]:
        """Call `callback(value)` after every entry and exit; return what undoes that."""
        ...  # pragma: no cover


class Gauged(Protocol):
    """A double with a gauge, such as a pool."""

    @property
    def gauge(self) -> Gauge:
        """Its gauge."""
        ...  # pragma: no cover


class Counted(Protocol):
    """What `Calls` needs."""

    name: str

    def calls(
        self, id: str | None = None, lane: str | None = None, method: str | None = None
    ) -> int:
        """Count the calls so far."""
        ...  # pragma: no cover


# --- verdicts that no check gives -----------------------------------------------------------------


class Deadlock:
    """Name for `catches`: somebody whom the scenario started can never go on."""


class Livelock:
    """Name for `catches`: everybody runs, or only the clock does, and nothing changes."""


class Unhandled:
    """Name for `catches`: an exception that nobody took, in a thread, a task or a callback."""


class Failed:
    """Name for `catches`: a plain `assert` of the scenario failed."""


# --- the checks -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MaxInFlight:
    """At most so many are inside a pool or gauge at once.

    One more fails the run at the moment it enters.

    Args:
        target: a pool, or an `InFlight` gauge.
        n: the bound.
        reached: the bound must be reached too, which makes it exact: a reference may not buy safety
            with idleness.

    Raises:
        HarnessError: `target` has no gauge, or `n` is no count.
    """

    target: Gauge | Gauged
    n: int
    reached: bool = False

    def __post_init__(self) -> None:
        _gauge(self.target)
        _check_count("n", self.n, "Leave the check out where any number may be inside.")
        if self.reached and not self.n:
            raise misuse(
                "reached",
                self.reached,
                "means nothing with n=0: nobody inside is always reached.",
                "Leave it out.",
            )

    def watch(self, view: StormView) -> Judge:
        """Fail the run when one too many enters; judge the peak at the end."""
        gauge = _gauge(self.target)
        peak = gauge.value

        def look(value: int) -> None:
            nonlocal peak
            peak = max(peak, value)
            if value > self.n:
                view.fail(self._exceeded(gauge.name, value))

        unsubscribe = gauge.subscribe(look)

        def judge() -> Violation | None:
            unsubscribe()
            if peak > self.n:
                return self._exceeded(gauge.name, peak)
            if self.reached and peak < self.n:
                had = f"'{gauge.name}' had at most {_count(peak, 'call')} in flight"
                summary = f"{had}, and should have reached {self.n}."
                return Violation("MaxInFlight", summary)
            return None

        return judge

    def _exceeded(self, name: str, value: int) -> Violation:
        summary = f"'{name}' had {_count(value, 'call')} in flight, allowed {self.n}."
        return Violation("MaxInFlight", summary, _rows("inside", _inside(self.target)))


@dataclass(frozen=True, slots=True)
class Calls:
    """So many calls came in by the end of the storm, all of them or those of an id, lane or method.

    Too many fail the run at the moment one too many enters.

    Args:
        pool: the pool whose calls count, from its making or its last reset.
        n: exactly so many.
        at_most: no more than so many.
        at_least: no fewer than so many.
        id: only calls for this key.
        lane: only calls in this lane.
        method: only calls of this method.

    Raises:
        HarnessError: no number, or an exact one beside a bound, or no count.
    """

    pool: Counted
    n: int | None = None
    at_most: int | None = field(default=None, kw_only=True)
    at_least: int | None = field(default=None, kw_only=True)
    id: str | None = field(default=None, kw_only=True)
    lane: str | None = field(default=None, kw_only=True)
    method: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not callable(getattr(self.pool, "calls", None)):
            raise misuse("pool", self.pool, "counts no calls.", "Give a pool: sim.pool('origin').")
        _check_numbers("Calls(pool, 2)", self.n, self.at_most, self.at_least)
        for name in ("n", "at_most", "at_least"):
            if (value := getattr(self, name)) is not None:
                _check_count(name, value, "Use 0 for no call at all.")

    def watch(self, view: StormView) -> Judge:
        """Fail the run when one call too many comes in; count again at the end."""
        most = self.at_most if self.n is None else self.n
        unsubscribe: Callable[[], None] = _nothing
        gauge = getattr(self.pool, "gauge", None)
        if most is not None and gauge is not None:

            def look(_value: int) -> None:
                if self._seen() > most:
                    view.fail(self._broken(self._seen()))

            unsubscribe = gauge.subscribe(look)

        def judge() -> Violation | None:
            unsubscribe()
            seen = self._seen()
            return (
                None if _within(seen, self.n, self.at_most, self.at_least) else self._broken(seen)
            )

        return judge

    def _seen(self) -> int:
        return self.pool.calls(id=self.id, lane=self.lane, method=self.method)

    def _broken(self, seen: int) -> Violation:
        which = "".join(
            f" {word} '{value}'"
            for word, value in (("for", self.id), ("in lane", self.lane), ("by", self.method))
            if value is not None
        )
        called = f"called {'once' if seen == 1 else f'{seen} times'}" if seen else "not called"
        allowed = _allowed(self.n, self.at_most, self.at_least)
        return Violation("Calls", f"'{self.pool.name}' was {called}{which}, {allowed}.")


@dataclass(frozen=True, slots=True)
class Elapsed:
    """The storm takes so much virtual time, until the last of its own actors has ended.

    Compared in whole nanoseconds, so that an expression such as `13 * 0.030` is met exactly.

    Args:
        seconds: exactly so long.
        at_most: no longer.
        at_least: no shorter.

    Raises:
        HarnessError: no number, an exact one beside a bound, or a negative one.
    """

    seconds: float | None = None
    at_most: float | None = field(default=None, kw_only=True)
    at_least: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        _check_numbers("Elapsed(0.050)", self.seconds, self.at_most, self.at_least)
        for name in ("seconds", "at_most", "at_least"):
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise misuse(name, value, "must be a number of seconds.", "Write Elapsed(0.050).")
            to_ns(value, name)

    def watch(self, view: StormView) -> Judge:
        """Judge at the end: virtual time is known to the nanosecond."""

        def judge() -> Violation | None:
            ended = view.ended_ns()
            if ended is None:
                return Violation(
                    "Elapsed", "the time of the storm is unknown: one of its actors has not ended."
                )
            took = ended - view.started_ns()
            limits = [
                None if value is None else to_ns(value)
                for value in (self.seconds, self.at_most, self.at_least)
            ]
            if _within(took, *limits):
                return None
            texts = [None if limit is None else _seconds(limit) for limit in limits]
            return Violation("Elapsed", f"the storm took {_seconds(took)}, {_allowed(*texts)}.")

        return judge


@dataclass(frozen=True, slots=True)
class LeakBound:
    """At most so many threads and tasks outlive the storm.

    Those count that the code under test started in it, daemon or not; those that
    the scenario named in `sim.background()` do not.

    Args:
        n: the bound.

    Raises:
        HarnessError: `n` is no count.
    """

    n: int = 0

    def __post_init__(self) -> None:
        _check_count("n", self.n, "Leave the check out where anything may stay behind.")

    def watch(self, view: StormView) -> Judge:
        """Judge at the end: a leak is exactly what outlived the storm."""

        def judge() -> Violation | None:
            survivors = view.survivors()
            return self.judge_survivors(survivors) if len(survivors) > self.n else None

        return judge

    def judge_survivors(self, survivors: Sequence[Survivor]) -> Violation:
        """Return the violation that these survivors are."""
        kinds = Counter(survivor.kind for survivor in survivors)
        who = " and ".join(_count(kinds[kind], kind) for kind in sorted(kinds, reverse=True))
        return Violation(
            "LeakBound", f"{who} outlived the storm, allowed {self.n}.", _survivor_rows(survivors)
        )


@dataclass(frozen=True, slots=True)
class Parked:
    """Exactly so many threads and tasks are parked in one call, and, if asked, stay so.

    Judged at the end of a storm, or wherever `verify` or `async_verify` is called.
    A caller counts if it waits and the very function `in_` is on its stack, called on the very
    object if `in_` is a bound method: `Parked(1, in_=stream.recv)`.

    Args:
        n: exactly so many.
        in_: the function, method or coroutine function: `Stream.recv`.
        at_most: no more than so many.
        at_least: no fewer than so many.

    Raises:
        HarnessError: `in_` is no Python function, no number, or no count.
    """

    n: int | None = None
    in_: Callable[..., Any] = field(kw_only=True)
    at_most: int | None = field(default=None, kw_only=True)
    at_least: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        _code(self.in_)
        _check_numbers("Parked(3, in_=Stream.recv)", self.n, self.at_most, self.at_least)
        for name in ("n", "at_most", "at_least"):
            if (value := getattr(self, name)) is not None:
                _check_count(name, value, "Use 0 for nobody.")

    def watch(self, view: StormView) -> Judge:
        """Judge at the end, when everybody has settled."""
        return lambda: self._judge(view.actors())

    def verify(self, timeout: float = 0.0, *, stays: float = 0.0) -> None:
        """Judge here and now, inside a run or among the real threads and tasks outside one.

        Inside a run settle first; real threads need some patience to get where they wait.
        With `stays`, none of them may do anything for so long. Inside a run that is known: they do
        not go on, take no lock and have no timer running. Outside, they are looked at twenty times:
        they stand at the same instruction, wait without a time-out, and use no processor time
        (where the system tells it).

        Args:
            timeout: seconds in which it may become true; on the run's clock inside one.
            stays: seconds for which it must then stay true; on the run's clock inside one.

        Raises:
            Violation: others than these are parked there, or they do not rest.
            HarnessError: `timeout` or `stays` is negative.
        """
        for seconds in self._looks(timeout, stays):
            time.sleep(seconds)

    async def async_verify(self, timeout: float = 0.0, *, stays: float = 0.0) -> None:
        """Judge here and now, letting the loop run meanwhile; see `verify`.

        Args:
            timeout: seconds in which it may become true; on the run's clock inside one.
            stays: seconds for which it must then stay true; on the run's clock inside one.

        Raises:
            Violation: others than these are parked there, or they do not rest.
            HarnessError: `timeout` or `stays` is negative.
        """
        for seconds in self._looks(timeout, stays):
            await asyncio.sleep(seconds)

    def _looks(self, timeout: float, stays: float) -> Iterator[float]:
        """Look, and yield how many seconds are to pass before the next look."""
        deadline_ns = time.monotonic_ns() + to_ns(timeout, "timeout")
        stays_ns = to_ns(stays, "stays")
        while (violation := self._judge(snapshot().alive)) is not None:
            if time.monotonic_ns() >= deadline_ns:
                raise violation
            yield _TICK_SECONDS
        if stays_ns:
            resting = [one for one in snapshot().alive if one.is_parked and self._is_in(one)]
            restless = yield from (_rests_inside if here.world else _rests)(resting, stays)
            if restless:
                raise self._restless(restless, len(resting), stays_ns)
            violation = self._judge(snapshot().alive)
            if violation is not None:
                raise violation

    def _is_in(self, actor: ActorView) -> bool:
        """Tell whether the function is on the stack of `actor`, called on the very object."""
        wanted = _identity(_code(self.in_))
        subject = getattr(self.in_, "__self__", None)
        owner = None if subject is None or isinstance(subject, type) else id(subject)
        return any(
            _identity(code) == wanted and owner in (None, whose)
            for code, whose in zip(actor.frames, actor.owners, strict=True)
        )

    def _judge(self, actors: Iterable[ActorView]) -> Violation | None:
        parked = [actor for actor in actors if actor.is_parked]
        inside = [actor for actor in parked if self._is_in(actor)]
        if _within(len(inside), self.n, self.at_most, self.at_least):
            return None
        are = "is" if len(inside) == 1 else "are"
        allowed = _allowed(self.n, self.at_most, self.at_least)
        summary = f"{_count(len(inside), 'caller')} {are} parked in {self._where()}, {allowed}."
        elsewhere = [actor for actor in parked if actor not in inside]
        rows = [
            *_rows("parked", map(_described, inside)),
            *_rows("elsewhere", map(_described, elsewhere)),
        ]
        return Violation("Parked", summary, rows)

    def _restless(self, restless: Sequence[str], resting: int, stays_ns: int) -> Violation:
        who = f"{len(restless)} of {_count(resting, 'caller')}"
        summary = f"{who} parked in {self._where()} did not rest for {_seconds(stays_ns)}."
        return Violation("Parked", summary, _rows("restless", restless))

    def _where(self) -> str:
        return f"'{getattr(self.in_, '__qualname__', 'it')}'"


@dataclass(frozen=True, slots=True)
class Exactly:
    """Everything expected was received, nothing was lost and nothing came twice, in any order.

    Args:
        expected: the items, compared by `==`.
        received: what came, or a function that returns it when the storm is over.

    Raises:
        HarnessError: one of them cannot be iterated over.
    """

    expected: Iterable[object]
    received: Iterable[object] | Callable[[], Iterable[object]]

    def __post_init__(self) -> None:
        # A generator would be used up by the first look.
        object.__setattr__(self, "expected", tuple(_items("expected", self.expected)))
        if not callable(self.received):
            _items("received", self.received)

    def watch(self, view: StormView) -> Judge:  # noqa: ARG002 - what was received is all it needs
        """Compare at the end."""

        def judge() -> Violation | None:
            received = self.received() if callable(self.received) else self.received
            return self._compare(list(_items("received", received)))

        return judge

    def _compare(self, received: list[object]) -> Violation | None:
        expected = list(self.expected)
        lost, added = _difference(expected, received)
        if not lost and not added:
            return None
        twice = [item for item in added if item in expected]
        foreign = [item for item in added if item not in expected]
        parts = [
            f"{len(items)} {word}"
            for items, word in (
                (lost, "lost"),
                (twice, "received twice"),
                (foreign, "never expected"),
            )
            if items
        ]
        items = _count(len(expected), "expected item")
        summary = f"of {items}, {', '.join(parts)}; allowed: each exactly once."
        rows = [
            *_rows("lost", map(repr, lost)),
            *_rows("twice", map(repr, twice)),
            *_rows("foreign", map(repr, foreign)),
        ]
        return Violation("Exactly", summary, rows)


@dataclass(frozen=True, slots=True)
class Eventually:
    """A condition holds once the storm is over and everybody has settled, at once or soon enough.

    Args:
        condition: asked without arguments; anything true is enough.
        within: seconds of virtual time after the storm in which it may become true; None for at
            once.
        name: how the condition is called in a verdict.

    Raises:
        HarnessError: `condition` cannot be called, or `within` is negative.
    """

    condition: Callable[[], object]
    within: float | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if not callable(self.condition):
            raise misuse(
                "condition",
                self.condition,
                "must be callable.",
                "Write Eventually(lambda: queue.empty()).",
            )
        if self.within is not None:
            to_ns(self.within, "within")

    @property
    def patience_ns(self) -> int:
        """How long after the storm the condition may take, in nanoseconds."""
        return 0 if self.within is None else to_ns(self.within)

    def watch(self, view: StormView) -> EventuallyJudge:
        """Return a judge that also tells the storm how much longer it is to go on."""
        return EventuallyJudge(self, view)


@dataclass(slots=True)
class EventuallyJudge:
    """The judge of one `Eventually`.

    The storm asks `still_waits` while virtual time goes on, then calls it.
    """

    check: Eventually
    view: StormView
    met: bool = False

    def still_waits(self) -> int:
        """Return for how many nanoseconds from now the condition may still become true.

        0 if it is true, or if it is too late.
        """
        self.met = self.met or bool(self.check.condition())
        if self.met:
            return 0
        ended = self.view.ended_ns()
        since = self.view.started_ns() if ended is None else ended
        return max(0, since + self.check.patience_ns - self.view.now_ns())

    def __call__(self) -> Violation | None:
        """Judge now: what did not come true until here did not come true."""
        self.still_waits()
        if self.met:
            return None
        name = self.check.name or getattr(self.check.condition, "__name__", "the condition")
        name = "the condition" if name == "<lambda>" else f"'{name}'"
        ended = self.view.ended_ns()
        waited = self.view.now_ns() - (self.view.started_ns() if ended is None else ended)
        allowed = (
            "at once" if self.check.within is None else f"within {_seconds(self.check.patience_ns)}"
        )
        return Violation(
            "Eventually",
            f"{name} was still not true {_seconds(waited)} after the storm, allowed {allowed}.",
        )


@dataclass(frozen=True, slots=True)
class EndsCancelled:
    """A task of the storm that is cancelled ends cancelled: nobody swallows the cancellation.

    Who may turn it into an exception of its own does so by raising; who takes it back, as
    `asyncio.timeout` does, by `uncancel()`. To go on, or to return as if nothing had been, is
    neither.
    """

    def watch(self, view: StormView) -> EndsCancelledJudge:
        """Return a judge that can be asked too when nobody can go on."""
        return EndsCancelledJudge(view)


@dataclass(slots=True)
class EndsCancelledJudge:
    """The judge of one `EndsCancelled`."""

    view: StormView

    def __call__(self) -> Violation | None:
        """Judge the tasks that have ended."""
        return self._judge("returned", "was cancelled and returned as if it had not been")

    def stuck(self) -> Violation | None:
        """Judge the tasks that can never end."""
        return self._judge("unended", "was cancelled and went on, and never ends")

    def _judge(self, ending: str, what: str) -> Violation | None:
        went_on = [each for each in self.view.cancelled() if each.ending == ending]
        if not went_on:
            return None
        names = ", ".join(f"'{each.name}'" for each in went_on)
        rows = [(ending, f"'{each.name}' {each.detail}") for each in went_on[:_ROWS_MAX]]
        return Violation("EndsCancelled", f"{names} {what}, allowed: to end cancelled.", rows)


# --- names ----------------------------------------------------------------------------------------

#: What a verdict may be called, in the order in which an error lists them.
CHECKS: Final[tuple[type, ...]] = (
    MaxInFlight,
    Calls,
    Elapsed,
    LeakBound,
    Parked,
    Exactly,
    Eventually,
    EndsCancelled,
    Deadlock,
    Livelock,
    Unhandled,
    Failed,
)


def check_name(check: object) -> str:
    """Return the name that a verdict by `check` carries.

    Args:
        check: a class of this module, one of the user's own, or the name of one of these.

    Raises:
        HarnessError: no such check; the message lists those there are.
    """
    known = [each.__name__ for each in CHECKS]
    if isinstance(check, str) and check in known:
        return check
    if isinstance(check, type) and (check in CHECKS or callable(getattr(check, "watch", None))):
        return check.__name__
    shown = check.__name__ if isinstance(check, type) else check
    raise HarnessError(
        f"check={shown!r} is not known. "
        f"Checks are {', '.join(known)}, and your own classes with a watch()."
    )


# --- helpers --------------------------------------------------------------------------------------


def _nothing() -> None:
    """Undo nothing."""


def _gauge(target: object) -> Gauge:
    gauge: Any = getattr(target, "gauge", target)
    if not callable(getattr(gauge, "subscribe", None)):
        raise misuse(
            "target", target, "has no gauge.", "Give a pool, or a gauge: sim.in_flight('workers')."
        )
    return gauge  # type: ignore[no-any-return]  # just asked


def _check_count(name: str, value: object, way_out: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise misuse(name, value, "must be a whole number from 0.", way_out)


def _check_numbers(example: str, exact: object, at_most: Any, at_least: Any) -> None:
    name = example.partition("(")[0]
    if exact is None and at_most is None and at_least is None:
        raise HarnessError(
            f"{name} needs a number: {example} is exact, at_most= and at_least= are bounds."
        )
    if exact is not None and (at_most is not None or at_least is not None):
        raise HarnessError(
            f"{name} is given an exact number and a bound: one of them is enough. "
            f"{example} is exact."
        )
    if at_most is not None and at_least is not None and at_most < at_least:
        raise misuse(
            "at_most",
            at_most,
            f"must not be below at_least={at_least!r}: nothing could hold.",
            "Swap them.",
        )


def _within(seen: int, exact: int | None, at_most: int | None, at_least: int | None) -> bool:
    if exact is not None:
        return seen == exact
    return (at_most is None or seen <= at_most) and (at_least is None or seen >= at_least)


def _allowed(exact: object, at_most: object, at_least: object) -> str:
    if exact is not None:
        return f"allowed exactly {exact}"
    bounds = [
        f"{word} {value}"
        for word, value in (("at least", at_least), ("at most", at_most))
        if value is not None
    ]
    return f"allowed {' and '.join(bounds)}"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _seconds(nanoseconds: int) -> str:
    """Write a time in seconds, to the nanosecond and without the noise of binary fractions."""
    whole, rest = divmod(abs(nanoseconds), SECOND_NS)
    digits = f"{rest:09d}".rstrip("0")
    return f"{'-' if nanoseconds < 0 else ''}{whole}{'.' if digits else ''}{digits} s"


def _rows(label: str, texts: Iterable[str]) -> list[tuple[str, str]]:
    texts = list(texts)
    rows = [(label, text) for text in texts[:_ROWS_MAX]]
    if len(texts) > _ROWS_MAX:
        rows.append((label, f"… and {len(texts) - _ROWS_MAX} more"))
    return rows


def _described(actor: ActorView) -> str:
    doing = actor.waits_for or "runs"
    if not doing.startswith(("waits ", "runs")):
        doing = f"waits in {doing}"
    return f"'{actor.name}' {doing}"


def _rests_inside(resting: Sequence[Alive], seconds: float) -> Generator[float, None, list[str]]:
    """Let time pass in a run; return what those did who are to rest."""
    world = here.world
    assert world is not None, "only called inside a run"
    with activity.counting(world):
        before = activity.activities(world)
        yield seconds
        after = activity.activities(world)
    restless = []
    for one in resting:
        key = id(one.subject)
        # Who has ended meanwhile is not parked any more, which the last look tells.
        did = after.get(key, before[key]).since(before[key])
        if did != activity.Activity():
            restless.append(f"'{one.name}' {_told(did)}, {one.waits_for}")
    return restless


def _told(did: activity.Activity) -> str:
    parts = [
        f"{verb} {_count(count, noun)}"
        for verb, count, noun in (
            ("went on", did.resumptions, "time"),
            ("asked for", did.acquisitions, "lock"),
            ("took", did.points, "step"),
            ("has", did.timers, "timer"),
        )
        if count
    ]
    return ", ".join(parts)


def _rests(resting: Sequence[Alive], seconds: float) -> Generator[float, None, list[str]]:
    """Let time pass outside a run; return what those did who are to rest, as far as it shows."""
    places = [_stands_at(one) for one in resting]
    used = [_processor_ns(one.subject) for one in resting]
    moved: set[int] = set()
    for _ in range(_LOOKS):
        yield seconds / _LOOKS
        moved.update(index for index, one in enumerate(resting) if _stands_at(one) != places[index])
    restless = []
    for index, one in enumerate(resting):
        spent = _processor_ns(one.subject) - used[index]
        if index in moved:
            restless.append(f"'{one.name}' went on")
        elif _has_timeout(one):
            restless.append(f"'{one.name}' waits with a time-out")
        elif spent > _NOISE_NS:
            restless.append(f"'{one.name}' used {_seconds(spent)} of processor time")
    return restless


def _innermost_first(one: Alive) -> Iterator[FrameType]:
    """Yield the frames of somebody real."""
    if isinstance(one.subject, asyncio.Task):
        yield from task_frames(one.subject)
    elif isinstance(one.subject, threading.Thread):
        frame = frames_of(one.subject)
        while frame is not None:
            yield frame
            frame = frame.f_back


def _stands_at(one: Alive) -> tuple[int, int, int]:
    """Say at which instruction somebody stands, and for what future a task waits."""
    frame = next(_innermost_first(one), None)
    waiter = id(getattr(one.subject, "_fut_waiter", None))
    return (0, 0, 0) if frame is None else (id(frame), frame.f_lasti, waiter)


def _has_timeout(one: Alive) -> bool:
    """Tell whether a thread waits on a condition with a time-out, or a timer ends a task's wait."""
    if isinstance(one.subject, asyncio.Task):
        return activity.timers_of(one.subject) > 0
    wait = _identity(threading.Condition.wait.__code__)
    return any(
        _identity(frame.f_code) == wait and frame.f_locals["timeout"] is not None
        for frame in _innermost_first(one)
    )


def _processor_ns(subject: object) -> int:
    """Return how long a thread has run so far, 0 where the system does not tell (Linux does)."""
    native = getattr(subject, "native_id", None)
    try:
        return int(Path(f"/proc/self/task/{native}/schedstat").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0


def _survivor_rows(survivors: Sequence[Survivor]) -> list[tuple[str, str]]:
    texts = [
        f"'{survivor.name}'{' (daemon)' if survivor.daemon else ''}"
        f"{f' created at {survivor.created}' if survivor.created else ''}, "
        f"{survivor.parked or 'runs'}"
        for survivor in survivors
    ]
    return _rows("survivor", texts)


def _inside(target: Gauge | Gauged) -> list[str]:
    """Say who is inside and where, as far as the gauge offers it."""
    names = _names_inside(target)
    shown = [(name, *_place(_frames(name))) for name in names]
    widths = [max((len(row[column]) for row in shown), default=0) for column in (0, 1)]
    return [
        f"{name:<{widths[0]}}  {function:<{widths[1]}}  {where}".rstrip()
        for name, function, where in shown
    ]


def _names_inside(target: Any) -> list[str]:
    if callable(getattr(target, "inside", None)):
        return [str(name) for name in target.inside()]
    # A pool's log tells: who arrived and has not left.
    inside: dict[int, str] = {}
    for event in getattr(target, "events", ()):
        if event.kind == "arrived":
            inside[event.ordinal] = event.who
        elif event.kind in ("answered", "failed", "cancelled", "timed out"):
            inside.pop(event.ordinal, None)
    return list(inside.values())


def _frames(name: str) -> Iterator[FrameType]:
    """Yield the frames of the thread or task called `name`, innermost first.

    Nothing outside a run.
    """
    world = here.world
    if world is None:
        return
    if world.actor_here()[1] == name:
        frame: FrameType | None = sys._getframe()  # noqa: SLF001 - the public way reads source files
        while frame is not None:
            yield frame
            frame = frame.f_back
        return
    for actor in world.kernel.live.values():
        if actor.name == name:
            yield from waits.frames_of(world, actor)
            return
    for task in waits.pending_tasks(world):
        if task.get_name() == name:
            yield from task_frames(task)
            return


def _place(frames: Iterable[FrameType]) -> tuple[str, str]:
    """Return function and `file:line` of the innermost frame that is somebody's code."""
    for frame in frames:
        if not is_plumbing(frame.f_code.co_filename):
            return frame.f_code.co_name, waits.place(frame)[0]
    return "", ""


def _code(function: object) -> CodeType:
    unwrapped: Any = inspect.unwrap(function) if callable(function) else function
    code = getattr(getattr(unwrapped, "__func__", unwrapped), "__code__", None)
    if not isinstance(code, CodeType):
        raise misuse(
            "in_",
            function,
            "must be a function written in Python.",
            "Write Parked(3, in_=Stream.recv).",
        )
    return code


def _identity(code: CodeType) -> tuple[str, str, int]:
    """Tell code apart by where it stands.

    Points inserted into it make another code object of the same function.
    """
    return code.co_filename, code.co_qualname, code.co_firstlineno


def _items(name: str, value: object) -> Iterable[object]:
    if isinstance(value, Iterable):
        return value
    raise misuse(
        name,
        value,
        "must be items one can iterate over.",
        "Write Exactly(range(100), lambda: received).",
    )


def _difference(
    expected: list[object], received: list[object]
) -> tuple[list[object], list[object]]:
    """Return what is missing from `received` and what is too much in it, in their orders."""
    try:
        lost, added = Counter(expected), Counter(received)
    except TypeError:
        # Unhashable items: slower, and as exact.
        missing, extra = list(expected), []
        for item in received:
            if item in missing:
                missing.remove(item)
            else:
                extra.append(item)
        return missing, extra
    return list((lost - added).elements()), list((added - lost).elements())
