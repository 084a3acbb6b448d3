"""What a scenario holds in its hands: a simulation, its doubles and faults, storms with promises.

A storm is a nursery: leaving the block means that everything the storm spawned has ended and
everyone else has settled, so a leak is exactly what outlived it. Promises are declared before the
chaos, as values, and watched while it lasts. It does not know how often, or with which tape, the
scenario is run.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache, partial
from types import CodeType, TracebackType
from typing import Any, NoReturn, Self

from harness.checks import (
    Cancelled,
    Check,
    EndsCancelledJudge,
    EventuallyJudge,
    LeakBound,
    Survivor,
)
from harness.core.clock import to_ns, to_seconds
from harness.doubles import AsyncFakePool, AsyncGate, AsyncStore, FakePool, Gate, InFlight, Store
from harness.errors import HarnessError, Violation, misuse, refuse_lazy
from harness.faults import Crash, Pause, Rule, Site, Verdict
from harness.world import account, onlooker, selector, tasks, threads, waits
from harness.world.fibers import Stop, World

_PENDING = object()


class _SimulatedFaults:
    """The rules of the run as a double sees them: it says where, the world adds who. Any thread."""

    def __init__(self, world: World) -> None:
        self._world = world

    def is_idle(self) -> bool:
        """Tell whether nobody would learn of a call: no rule that may strike, and no record."""
        world = self._world
        return world.history is None and not world.faults.may_strike("call")

    def consult(self, site: Site) -> Verdict:
        """Return the verdict for a site of a double."""
        world = self._world
        path, who = world.actor_here()
        world.note("call", f"{site.name} {site.key}".rstrip())
        told = Site(
            site.kind,
            site.name,
            path,
            site.ordinal,
            site.key,
            site.lane,
            site.argument,
            who,
            site.ready,
        )
        # As at every other site: nobody else goes on inside a rule.
        with world.silence():
            found = world.faults.consult(told)
        if world.history is not None and world.faults.fired:
            world.note("verdict", type(found).__name__)
        return found


class _Common:
    """What both flavours of a simulation share."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.faults = _SimulatedFaults(world)
        self.storms: list[_Nursery] = []

    def _actor(self) -> str:
        return self._world.actor_here()[0]

    def now(self) -> float:
        """Return virtual seconds since the start of the run."""
        return to_seconds(self._world.kernel.now_ns)

    def in_flight(self, name: str) -> InFlight:
        """Return a gauge to put round any code of a scenario."""
        gauge = InFlight(name)
        onlooker.gauge(self._world, gauge)
        return gauge

    def inject(self, rule: Rule, at_most: int | None = 1, *, certain: bool = False) -> None:
        """Let `rule` strike in this run.

        Args:
            rule: callable from a `Site` to a verdict.
            at_most: how often it may strike; None for no limit.
            certain: obey it always, instead of making each strike a choice of the tape.

        Raises:
            HarnessError: `rule` is not callable or `at_most` is below 1.
        """
        self._world.faults.install(rule, at_most, certain=certain)
        self._world.wary = True

    def kill(self, crew: str) -> None:
        """Crash every thread and task called `crew` or `crew/…`, but not who calls this.

        They take no further step and no `finally` of theirs runs.
        """
        world = self._world
        for _, actor in sorted(world.kernel.live.items()):
            if actor is not world.kernel.current and _is_of(actor.name, crew):
                world.crash(actor)
        current = asyncio.current_task() if asyncio._get_running_loop() is not None else None
        for reference in list(world.tasks):
            task = reference()
            if task is None or task is current or task.done() or task.crashed:
                continue
            if _is_of(task.get_name(), crew):
                tasks.crash(world, task)

    def draw(self, options: int) -> int:
        """Return a choice of the tape among `options`: 0 by default."""
        return account.draw(self._world, options) if options > 1 else 0

    def no_points(self) -> AbstractContextManager[None]:
        """Have no scheduling points inside the block."""
        return self._world.silence()

    def background(self, name: str) -> None:
        """Except threads and tasks called `name` (or matching it) from the run's leak bounds."""
        self._world.backgrounds.add(name)


class Simulation(_Common):
    """A run of threaded code. Made by the harness; used by the thread that runs the scenario.

    Inside the scenario everything of `threading`, `queue`, `concurrent.futures`, `asyncio` and
    `time` is simulated.
    """

    def pool(
        self, name: str, *, size: int | None = None, latency: Any = 0.0, **options: Any
    ) -> FakePool:
        """Return a pool whose latencies and faults come from this run's tape.

        Args:
            name: how verdicts call it.
            size: how many calls it serves at once; None for no limit.
            latency: seconds a call takes, or a (low, high) span.
            **options: further arguments of `FakePool`.
        """
        pool = FakePool(
            name,
            size=size,
            latency=latency,
            faults=self.faults,
            draw=self.draw,
            actor=self._actor,
            disturb=self._disturb,
            **options,
        )
        onlooker.gauge(self._world, pool)
        return pool

    def store(self, name: str = "store", **options: Any) -> Store:
        """Return a store whose latencies and faults come from this run's tape.

        Args:
            name: how verdicts call it.
            **options: arguments of `Store`.
        """
        return Store(
            name,
            faults=self.faults,
            draw=self.draw,
            actor=self._actor,
            disturb=self._disturb,
            kill=self.kill,
            quiet=self.no_points,
            **options,
        )

    def _disturb(self, verdict: Verdict) -> None:
        threads.suffer(self._world, verdict)

    def gate(self, name: str = "gate") -> Gate:
        """Return a closed gate."""
        return Gate(name)

    def settle(self) -> None:
        """Wait until everyone else is durably blocked. Time does not move."""
        self._world.settle()

    def advance(self, seconds: float) -> None:
        """Let `seconds` of virtual time pass."""
        self._world.sleep(to_ns(seconds))

    def point(self, label: str = "") -> None:
        """Let other threads go on here, if the tape says so."""
        self._world.note("point", label)
        self._world.point()

    def storm(self, *checks: Check) -> Storm:
        """Return a storm with these promises, to be entered with `with`."""
        storm = Storm(self._world, checks)
        self.storms.append(storm)
        return storm


class AsyncSimulation(_Common):
    """A run of asyncio code. Made by the harness; used by the task that runs the scenario."""

    def pool(
        self, name: str, *, size: int | None = None, latency: Any = 0.0, **options: Any
    ) -> AsyncFakePool:
        """Return a pool that takes latencies and faults from the tape; see `Simulation.pool`."""
        pool = AsyncFakePool(
            name,
            size=size,
            latency=latency,
            faults=self.faults,
            draw=self.draw,
            actor=self._actor,
            disturb=self._disturb,
            **options,
        )
        onlooker.gauge(self._world, pool)
        return pool

    def store(self, name: str = "store", **options: Any) -> AsyncStore:
        """Return a store that takes latencies and faults from the tape; see `Simulation.store`."""
        return AsyncStore(
            name,
            faults=self.faults,
            draw=self.draw,
            actor=self._actor,
            disturb=self._disturb,
            kill=self.kill,
            quiet=self.no_points,
            **options,
        )

    async def _disturb(self, verdict: Verdict) -> None:
        match verdict:
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case Crash():
                tasks.crash(self._world, asyncio.current_task())
                # Nobody resolves it: the task takes no further step.
                await asyncio.get_running_loop().create_future()

    def gate(self, name: str = "gate") -> AsyncGate:
        """Return a closed gate."""
        return AsyncGate(name)

    async def settle(self) -> None:
        """Wait until everyone else is durably blocked. Time does not move."""
        await selector.settle(self._world)

    async def advance(self, seconds: float) -> None:
        """Let `seconds` of virtual time pass."""
        to_ns(seconds)
        await asyncio.sleep(seconds)

    async def point(self, label: str = "") -> None:
        """Let other tasks go on here, if the tape says so."""
        self._world.note("point", label)
        await asyncio.sleep(0)

    def storm(self, *checks: Check) -> AsyncStorm:
        """Return a storm with these promises, to be entered with `async with`."""
        storm = AsyncStorm(self._world, checks)
        self.storms.append(storm)
        return storm


# --- storms ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Parked:
    """Someone who waits, as checks see it."""

    name: str
    frames: tuple[CodeType, ...]
    owners: tuple[int, ...]
    is_parked: bool
    waits_for: str


class _Outcome:
    """What became of one spawned actor.

    invariant: `error` and `value` are not both set.
    """

    __slots__ = ("actor", "consumed", "crashed", "ended", "error", "name", "runner", "value")

    def __init__(self, name: str) -> None:
        self.name = name
        # What tells of its end: the kernel's actor of a thread, a future for a task.
        self.actor: Any = None
        self.value: Any = _PENDING
        self.error: BaseException | None = None
        self.ended = False
        self.crashed = False
        self.consumed = False
        self.runner: Any = None


class _Nursery:
    """What both flavours of a storm share; it is also the view that checks get."""

    def __init__(self, world: World, checks: tuple[Check, ...]) -> None:
        for check in checks:
            if isinstance(check, type) or not callable(getattr(check, "watch", None)):
                raise misuse(
                    "checks",
                    check,
                    "must be checks, such as LeakBound().",
                    "Use assert for plain conditions.",
                )
        self._world = world
        self._checks = checks
        self._outcomes: list[_Outcome] = []
        self._judges: list[Callable[[], Violation | None]] = []
        self._born_before = 0
        self._started_ns = 0
        self._ended_ns: int | None = None
        self._entered = False

    # The view of the checks.

    def now_ns(self) -> int:
        """Return virtual nanoseconds since the start of the run."""
        return self._world.kernel.now_ns

    def started_ns(self) -> int:
        """Return when the storm was entered."""
        return self._started_ns

    def ended_ns(self) -> int | None:
        """Return when the last spawned actor ended, None before."""
        return self._ended_ns

    def fail(self, violation: Violation) -> None:
        """End the run with `violation`."""
        self._world.abort(violation)

    def survivors(self) -> list[Survivor]:
        """Return who was started inside the storm by the code under test and is alive."""
        return [survivor for _, survivor in survivors(self._world, self._born_before)]

    def actors(self) -> list[_Parked]:
        """Return everyone who is parked."""
        return [
            _Parked(
                name=wait.who,
                frames=wait.stack,
                owners=wait.owners,
                is_parked=True,
                waits_for=f"{wait.what} at {wait.where}",
            )
            for wait in waits.parked(self._world)
        ]

    def cancelled(self) -> list[Cancelled]:
        """Return the spawned tasks that were cancelled."""
        return [
            _cancelled(outcome)
            for outcome in self._outcomes
            if isinstance(outcome.runner, asyncio.Task) and outcome.runner.cancelling()
        ]

    def stuck(self) -> Violation | None:
        """Return the promise that is broken by nobody ever going on, if there is one."""
        judges = [judge for judge in self._judges if isinstance(judge, EndsCancelledJudge)]
        return next(filter(None, (judge.stuck() for judge in judges)), None)

    # Outcomes.

    @property
    def elapsed(self) -> float:
        """Virtual seconds from entering the storm to the last end of its actors, or to now."""
        end = self._ended_ns if self._ended_ns is not None else self.now_ns()
        return to_seconds(end - self._started_ns)

    def results(self) -> list[Any]:
        """Return what the spawned functions returned, in spawn order.

        None stands for one that was cancelled or crashed.

        Raises:
            ExceptionGroup: what they raised, if any did and `errors` was not asked before.
        """
        raised = self.unconsumed()
        if raised:
            self._consume()
            raise BaseExceptionGroup(f"{len(raised)} of {len(self._outcomes)} failed", raised)
        return [None if outcome.value is _PENDING else outcome.value for outcome in self._outcomes]

    def errors(self) -> list[BaseException | None]:
        """Return what each spawned function raised, None for nothing, and count it as taken."""
        self._consume()
        return [outcome.error for outcome in self._outcomes]

    def unconsumed(self) -> list[BaseException]:
        """Return the exceptions that nobody has asked for."""
        return [
            outcome.error
            for outcome in self._outcomes
            if outcome.error is not None
            and not outcome.consumed
            and not isinstance(outcome.error, asyncio.CancelledError)
        ]

    def returned(self) -> Iterator[tuple[str, object]]:
        """Yield what spawned functions have returned, each with the name of who ran it."""
        for outcome in self._outcomes:
            yield f"'{outcome.name}'", outcome.value

    def who_raised(self, error: BaseException) -> str:
        """Return the name of the spawned actor that `error` ended, empty if it is none of ours."""
        return next((each.name for each in self._outcomes if each.error is error), "")

    def _consume(self) -> None:
        for outcome in self._outcomes:
            outcome.consumed = True

    # Entering and leaving.

    def _enter(self) -> None:
        if self._entered:
            raise HarnessError("a storm is entered once: make another with sim.storm().")
        self._entered = True
        self._born_before = self._world.hash_numbers
        self._started_ns = self.now_ns()
        for check in self._checks:
            onlooker.promised(self._world, check)
        self._judges = [check.watch(self) for check in self._checks]

    def _patience_ns(self) -> int:
        """Return for how much longer some promise may still come true, 0 if all are decided."""
        waiting = [judge for judge in self._judges if isinstance(judge, EventuallyJudge)]
        return max((judge.still_waits() for judge in waiting), default=0)

    def _judge(self) -> None:
        for check, judge in zip(self._checks, self._judges, strict=True):
            violation = judge()
            if violation is not None:
                raise violation
            if isinstance(check, LeakBound):
                self._world.excused.update(
                    number for number, _ in survivors(self._world, self._born_before)
                )

    def _names(self, function: Callable[..., object], copies: int, name: str | None) -> list[str]:
        if not self._entered:
            raise HarnessError(
                "spawn() was called outside the storm: enter it first, "
                "`with sim.storm(…) as storm:`."
            )
        if copies < 1:
            raise misuse(
                "copies", copies, "must be at least 1.", "Leave the spawn out to have none."
            )
        stem = name or str(getattr(function, "__name__", "actor"))
        return [stem] if copies == 1 else [f"{stem}-{index}" for index in range(1, copies + 1)]

    def _note_end(self, outcome: _Outcome) -> None:
        outcome.ended = True
        if all(other.ended for other in self._outcomes):
            self._ended_ns = self.now_ns()


class Storm(_Nursery):
    """A nursery of threads with promises. Used by the thread that entered it."""

    def spawn(
        self, function: Callable[..., Any], *args: Any, copies: int = 1, name: str | None = None
    ) -> None:
        """Start threads that run `function(*args)`.

        Args:
            function: what each thread runs.
            *args: its arguments.
            copies: how many threads; with more than one they are called `name-1`, `name-2`, …
            name: what they are called; by default the name of the function.

        Raises:
            HarnessError: called outside the storm, `copies` is below 1, or `function` is a
                coroutine function or has a `yield`: a thread would run nothing of it.
        """
        refuse_lazy(function, "function")
        for each in self._names(function, copies, name):
            outcome = _Outcome(each)
            self._outcomes.append(outcome)
            self._ended_ns = None
            thread = threading.Thread(
                target=self._run, args=(outcome, function, args), name=each, daemon=True
            )
            # The guard against missing points wants to know what really runs.
            thread._harness_root = function  # type: ignore[attr-defined] # an attribute of ours
            outcome.runner = thread
            thread.start()
            outcome.actor = self._world.idents[thread.ident or 0]
            self._world.own.add(outcome.actor.fiber.number)

    def _run(self, outcome: _Outcome, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            outcome.value = function(*args)
        except Stop:
            raise
        except BaseException as exc:  # noqa: BLE001 - handed to whoever asks for it
            outcome.error = exc
        self._note_end(outcome)

    def __enter__(self) -> Self:
        self._enter()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc is not None:
            return
        for outcome in self._outcomes:
            self._world.join(outcome.actor, f"the end of thread '{outcome.name}'")
        if self._ended_ns is None:
            self._ended_ns = self.now_ns()
        self._world.settle()
        while patience_ns := self._patience_ns():
            self._world.sleep(min(patience_ns, _next_ns(self._world)))
            self._world.settle()
        self._judge()


class AsyncStorm(_Nursery):
    """A nursery of tasks with promises. Used by the task that entered it."""

    def spawn(
        self,
        function: Callable[..., Awaitable[Any]],
        *args: Any,
        copies: int = 1,
        name: str | None = None,
    ) -> None:
        """Start tasks that run `function(*args)`; see `Storm.spawn`.

        Raises:
            HarnessError: called outside the storm, `copies` is below 1, or `function` is no
                coroutine function.
        """
        for each in self._names(function, copies, name):
            coroutine = function(*args)
            if not asyncio.iscoroutine(coroutine):
                raise misuse(
                    "function",
                    function,
                    "must be a coroutine function.",
                    "Define it with async def.",
                )
            outcome = _Outcome(each)
            self._outcomes.append(outcome)
            self._ended_ns = None
            task = asyncio.get_running_loop().create_task(coroutine, name=each)
            outcome.runner = task
            ended = asyncio.get_running_loop().create_future()
            outcome.actor = ended
            task.add_done_callback(partial(self._done, outcome=outcome))
            if isinstance(task, tasks.SimTask):
                self._world.own.add(task.number)
                task.on_crash = lambda outcome=outcome: self._crashed(outcome)

    def _done(self, task: asyncio.Task[Any], outcome: _Outcome) -> None:
        if task.cancelled():
            outcome.error = asyncio.CancelledError()
        elif task.exception() is not None:
            outcome.error = task.exception()
        else:
            outcome.value = task.result()
        self._release(outcome)

    def _crashed(self, outcome: _Outcome) -> None:
        outcome.crashed = True
        self._release(outcome)

    def _release(self, outcome: _Outcome) -> None:
        self._note_end(outcome)
        if not outcome.actor.done():
            outcome.actor.set_result(None)

    def __enter__(self) -> NoReturn:
        raise HarnessError(
            "'with sim.storm(…)' does not wait for the tasks of an asynchronous storm. "
            "Write 'async with sim.storm(…)'."
        )

    def __exit__(self, *exc: object) -> None:
        """Never called; without it, Python would speak first."""

    async def __aenter__(self) -> Self:
        self._enter()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc is not None:
            return
        for outcome in self._outcomes:
            await outcome.actor
        if self._ended_ns is None:
            self._ended_ns = self.now_ns()
        await selector.settle(self._world)
        while patience_ns := self._patience_ns():
            step_ns = min(patience_ns, _next_ns(self._world, asyncio.get_running_loop()))
            await asyncio.sleep(to_seconds(step_ns))
            await selector.settle(self._world)
        self._judge()


def let_go(simulation: _Common) -> None:
    """Take apart what refers to itself, once the run is judged: it is freed at once."""
    for storm in simulation.storms:
        storm._judges.clear()
        for outcome in storm._outcomes:
            outcome.actor = outcome.runner = None
    simulation.storms.clear()


def _is_of(name: str, crew: str) -> bool:
    return name == crew or name.startswith(f"{crew}/")


def _cancelled(outcome: _Outcome) -> Cancelled:
    task = outcome.runner
    if not task.done():
        wait = waits.wait_of_task(task)
        return Cancelled(outcome.name, "unended", f"waits in {wait.what} at {wait.where}")
    if task.cancelled():
        return Cancelled(outcome.name, "cancelled", "")
    if outcome.error is not None:
        return Cancelled(outcome.name, "raised", f"raised {outcome.error!r}")
    return Cancelled(outcome.name, "returned", f"returned {type(outcome.value).__name__}")


def _next_ns(world: World, loop: Any = None) -> int:
    """Return how long it is until the next timer of anybody, a very long time if there is none."""
    kernel = world.kernel
    due = [deadline for deadline, number, actor in kernel.timers if actor.timer == number]
    if loop is not None:
        # What this task's own loop has in store is no timer of the kernel while the loop runs.
        due += [to_ns(handle.when()) for handle in loop._scheduled if not handle.cancelled()]
    return min((each - kernel.now_ns for each in due if each > kernel.now_ns), default=1 << 62)


# --- who is left ----------------------------------------------------------------------------------


def survivors(world: World, since: int = 0) -> Iterator[tuple[int, Survivor]]:
    """Yield who is alive and was born after number `since`.

    Threads come first, by spawn path, then tasks, by creation. The main thread and task, those that
    a storm spawned, background ones and those already judged are excepted.
    """
    for _, actor in sorted(world.kernel.live.items()):
        fiber = actor.fiber
        if (
            actor is world.main
            or fiber.number <= since
            or not _counts(world, fiber.number, actor.name)
        ):
            continue
        wait = waits.wait_of(world, actor) if not actor.runnable else None
        yield (
            fiber.number,
            Survivor(
                name=actor.name,
                kind="thread",
                created=_created(actor.born),
                parked=str(wait) if wait is not None else "it can run",
                daemon=bool(getattr(fiber.thread, "daemon", False)),
            ),
        )
    for task in waits.pending_tasks(world):
        if isinstance(task, tasks.SimTask) and task.number > since and is_left(world, task):
            yield task.number, survivor_of(task)


def is_left(world: World, task: tasks.SimTask) -> bool:
    """Tell whether a pending task is left behind: it is parked, and nobody said that it may be."""
    waiter: Any = getattr(task, "_fut_waiter", None)
    is_parked = waiter is not None and not waiter.done()
    return (
        is_parked
        and not task.crashed
        and task is not world.main_task
        and _counts(world, task.number, task.get_name())
    )


def survivor_of(task: tasks.SimTask) -> Survivor:
    """Describe a task that was left behind."""
    return Survivor(task.get_name(), "task", _created(task.born), str(waits.wait_of_task(task)))


def _counts(world: World, number: int, name: str) -> bool:
    if number in world.own or number in world.excused:
        return False
    return not any(_matches(name, pattern) for pattern in world.backgrounds)


#: Asked of each task at the end of each run.
_matches = lru_cache(maxsize=4_096)(fnmatchcase)


def _created(born: Any) -> str:
    return f"{born[0].rpartition('/')[2]}:{born[1]} {born[2]}" if born else "an unknown place"
