"""One run of one function under one tape, and its verdict.

It does not know which tape comes next, nor where the function came from.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from types import FrameType, TracebackType
from typing import Any, cast

from harness.checks import LeakBound, Survivor
from harness.core.clock import to_seconds
from harness.core.history import History
from harness.core.kernel import Actor, Limits, Passing
from harness.core.tape import Redundant, Tape
from harness.errors import HarnessError, InternalError, Violation, refuse_coroutine, refuse_lazy
from harness.faults import Fired
from harness.simulation import (
    AsyncSimulation,
    Simulation,
    _Common,
    is_left,
    let_go,
    survivor_of,
    survivors,
)
from harness.world import account, loops, onlooker, selector, tasks, waits
from harness.world.debugger import Look
from harness.world.fibers import World
from harness.world.ground import Ground
from harness.world.livelock import Spins
from harness.world.stuck import stuck_together, stuck_with_main
from harness.world.threads import is_plumbing

#: First line of the note that says where an exception went.
TRACE = "Traceback (most recent call last):"
#: How many exceptions of one kind a verdict tells of.
MEMBERS_MAX = 6

#: How a thread has something done in a loop that is not its own.
WAKE = "another thread has to use loop.call_soon_threadsafe(), which wakes the loop"

_PACKAGE = str(PurePath(__file__).parent)


#: What a decision costs in the mode `cost`: Fray's price of reading a clock.
COST_NS = 100_000


class _Inconclusive(Exception):
    """A limit was hit, and nothing is known."""


@dataclass(slots=True)
class Trial:
    """What came of one run. One thread makes and reads it.

    Args:
        verdict: `holds`, the name of a check, `inconclusive`, or `redundant`: the tape gave it up.
        violation: what was violated, if anything was.
        choices: the tape as recorded.
        widths: among how many each choice was made.
        steps: kernel steps.
        virtual_ns: virtual time at the end, nanoseconds.
        fired: the faults that struck.
        sweeps: on how many schedules each installed sweep wants to be made.
        swept: a sweep struck.
        sites: at how many choices a sweep could have struck, if one was told where to.
        history: what happened, if it was recorded.
        limit: the limit that was hit, for `inconclusive`.
        points: how many scheduling points each thread or task met, by path; if the tape has a log.
        told: the violation as a recorded run of the same choices tells it, if there was one.
    """

    verdict: str
    violation: Violation | None
    choices: list[int]
    widths: list[int]
    steps: int
    virtual_ns: int
    fired: list[Fired] = field(default_factory=list)
    sweeps: list[int] = field(default_factory=list)
    swept: bool = False
    history: History | None = None
    limit: str = ""
    points: dict[tuple[int, ...], int] = field(default_factory=dict)
    sites: int = 0
    told: Violation | None = None


def run(
    function: Callable[[Any], Any],
    tape: Tape,
    ground: Ground,
    *,
    order: str = "tasks",
    timeouts: str = "idle",
    limits: Limits | None = None,
    history: History | None = None,
    sweep_at: int | None = None,
    look: Look | None = None,
) -> Trial:
    """Run `function(sim)` once and judge it.

    Args:
        function: takes a `Simulation`, or is a coroutine function and takes an `AsyncSimulation`.
        tape: where choices come from.
        ground: what the run stands on.
        order: asyncio order.
        timeouts: time-out mode, `idle`, `race`, `race:N` or `cost`.
        limits: when to give up.
        history: filled with what happens, if given.
        sweep_at: the site (from 1) at which an installed sweep strikes; None to leave sweeps to the
            tape.
        look: where the run is to stop in a debugger, if at all; wants a history.

    Raises:
        HarnessError: the run could not be simulated.
        InternalError: the harness broke a promise.
        KeyboardInterrupt: and anything else that is not the doing of the code under test.
    """
    passing = passing_of(timeouts)
    world = World(tape, order=order, limits=limits, history=history, passing=passing)
    judge = _Judge(world, function, timeouts)
    endings: list[Callable[[], None]] = []
    if history is not None:
        endings.append(account.keep(world, history))
    if history is not None and history.is_detailed:
        endings.append(onlooker.watch(world, history))
    if look is not None:
        look.watch(world)
    world.faults.sweep_at = sweep_at
    world.on_limit = judge.on_limit
    world.on_stuck = judge.on_stuck
    world.on_unhandled = judge.on_unhandled_elsewhere
    world.on_left_task = judge.on_left_task
    judge.overheard = ground.overheard
    judge.overheard.clear()
    violation: Violation | None = None
    verdict, limit = "holds", ""
    try:
        ground.run(world, judge.body)
    except _Inconclusive as exc:
        verdict, limit = "inconclusive", str(exc)
    except Redundant:
        verdict = "redundant"
    except Violation as exc:
        violation = judge.with_raised(exc)
    except (HarnessError, InternalError):
        raise
    except AssertionError as exc:
        violation = judge.with_raised(judge.failed(exc))
    except Exception as exc:  # noqa: BLE001 - whatever the code under test raises is its verdict
        violation = judge.on_unhandled("the scenario", exc)
    except BaseExceptionGroup as exc:
        violation = judge.on_unhandled("the scenario", exc)
    except asyncio.CancelledError as exc:
        violation = judge.on_unhandled("the scenario", exc)
    finally:
        # The guard wants to see the threads; nothing after it does.
        guarded = violation is None and verdict == "holds" and sys.exc_info()[0] is None
        try:
            if guarded:
                ground.guard(world, function)
        finally:
            points = world.points_met() if tape.log is not None else {}
            ground.overheard.clear()
            for end in endings:
                end()
            world.dispose()
            if judge.simulation is not None:
                let_go(judge.simulation)
    if violation is not None:
        verdict = violation.check
        violation.__traceback__ = None
        _let_go(violation)
    return Trial(
        verdict,
        violation,
        tape.choices,
        tape.widths,
        world.kernel.steps,
        world.kernel.now_ns,
        list(world.faults.fired),
        [sweep.schedules for sweep in world.faults.sweeps],
        world.faults.swept,
        history,
        limit,
        points,
        world.faults.sweep_sites,
    )


def passing_of(timeouts: str) -> Passing | None:
    """Return when time passes in a time-out mode while somebody could run."""
    mode, _, count = timeouts.partition(":")
    if mode == "race":
        return Passing(early=int(count or 1))
    return Passing(cost_ns=COST_NS) if mode == "cost" else None


class _Judge:
    """Turns what happened in one run into a verdict. One run."""

    def __init__(self, world: World, function: Callable[[Any], Any], timeouts: str) -> None:
        self.timeouts = timeouts
        self.world = world
        self.function = function
        self.simulation: _Common | None = None
        self.returned: object = None
        self.left_tasks: list[Survivor] = []
        self.overheard: list[BaseException] = []
        self.spins = Spins(world)

    def body(self) -> None:
        """Run the function as the main thread, then see what is left."""
        world = self.world
        if _is_coroutine_function(self.function):
            simulation = self.simulation = AsyncSimulation(world)
            asyncio.run(self._async_body(simulation))
        else:
            self.simulation = Simulation(world)
            refuse_lazy(self.function, "scenario")
            self.returned = self.function(self.simulation)
        self._finish()

    async def _async_body(self, simulation: AsyncSimulation) -> None:
        self.world.main_task = asyncio.current_task()
        self.returned = await self.function(simulation)
        if len(self.world.kernel.live) > 1 or len(waits.pending_tasks(self.world)) > 1:
            await selector.settle(self.world)
        elif not cast("Any", asyncio.get_running_loop())._ready:
            # A callback that is left could have come before.
            self.world.note_settled()

    def _finish(self) -> None:
        """Judge what is left at the end: exceptions nobody took, threads and tasks nobody ended."""
        world = self.world
        if len(world.kernel.live) > 1:
            world.settle()
        else:
            world.note_settled()
        for name, exc in self._forgotten():
            raise self.on_unhandled(name, exc)
        assert self.simulation is not None, "the body has run"
        refuse_coroutine(self.returned, "the scenario")
        for storm in self.simulation.storms:
            for who, value in storm.returned():
                refuse_coroutine(value, who)
        for storm in self.simulation.storms:
            raised = storm.unconsumed()
            if raised:
                group = BaseExceptionGroup(f"{len(raised)} of the storm's own failed", raised)
                raise self.on_unhandled("the storm", group)
        self._judge_stuck_helpers()
        left = [*self.left_tasks, *(survivor for _, survivor in survivors(world))]
        if left:
            raise LeakBound().judge_survivors(left)

    def _forgotten(self) -> list[tuple[str, BaseException]]:
        """Return exceptions that ended a thread or task and that nobody has looked at."""
        found = list(self.world.unhandled)
        for reference in self.world.tasks:
            task = reference()
            if task is not None and task.done() and getattr(task, "_log_traceback", False):
                exc = task.exception()
                if exc is not None:
                    found.append((task.get_name(), exc))
        return found

    def _judge_stuck_helpers(self) -> None:
        """Call it a deadlock, not a leak, if a thread that the body started can never go on."""
        code = getattr(self.function, "__code__", None)
        for _, actor in sorted(self.world.kernel.live.items()):
            born: Any = actor.born
            if code is None or actor.runnable or actor is self.world.main or born is None:
                continue
            file, _, name = born
            if (file, name) == (code.co_filename, code.co_qualname) and actor.deadline is None:
                raise self._deadlock([waits.wait_of(self.world, actor)], [])

    # --- callbacks of the world -------------------------------------------------------------------

    def on_left_task(self, task: tasks.SimTask) -> None:
        """Keep the description of a task that `asyncio.run` is about to cancel."""
        if is_left(self.world, task):
            self.left_tasks.append(survivor_of(task))

    def on_stuck(self) -> BaseException:
        """Nobody can run and no timer is left, and the main thread has not ended."""
        for storm in self.simulation.storms if self.simulation is not None else ():
            for raised in storm.unconsumed():
                for each in _leaves(raised):
                    # Whoever waits for an actor that misused the harness waits for its misuse.
                    if isinstance(each, (HarnessError, InternalError)):
                        return each
        broken = self._broken_by_waiting()
        if broken is not None:
            return broken
        everyone = waits.parked(self.world)
        circle = waits.links_of(waits.cycle(self.world)) or waits.links_of_tasks(self.world)
        return self._deadlock(everyone, circle)

    def _broken_by_waiting(self) -> Violation | None:
        """Return the promise of a storm that is broken because nothing will ever happen."""
        for storm in self.simulation.storms if self.simulation is not None else ():
            broken = storm.stuck()
            if broken is not None:
                return broken.with_evidence(self._modes())
        return None

    def _deadlock(
        self, everyone: list[waits.Wait], circle: list[waits.Link], some: Sequence[Actor] = ()
    ) -> Violation:
        """Return the verdict on those who wait: in a circle, `some` beside others, or all."""
        if len(circle) > 1:
            names = " and ".join(f"'{link.who}'" for link in circle)
            summary = f"{names} wait for each other, and none of them can ever go on."
        elif circle:
            itself = "its own end" if circle[0].end else "a lock that it holds itself"
            summary = f"'{circle[0].who}' waits for {itself}."
        elif some:
            names = _listed([actor.name for actor in some])
            summary = f"{names} wait for ever, though others go on: nobody else can end that."
        else:
            left = [wait for wait in everyone if not wait.crashed]
            # The tasks of a loop are what matters, unless it has none.
            stuck = [wait.who for wait in left if not wait.is_idle_loop]
            stuck = stuck or [wait.who for wait in left]
            verb = "waits" if len(stuck) == 1 else "wait"
            summary = f"nobody can go on and no timer is left: {_listed(stuck)} {verb} for ever."
        rows = [("cycle", " → ".join(map(str, circle)))] if circle else []
        rows.extend(("waits", str(wait)) for wait in everyone[:20] if not wait.crashed)
        if any(wait.is_overlooked_loop for wait in everyone):
            rows.append(("way out", WAKE))
        gone = [*self.world.crashed.values(), *self.world.crashed_tasks]
        lost = [getattr(each, "name", "") or each.get_name() for each in gone]
        rows.extend(("crashed", f"'{name}'") for name in lost)
        return Violation("Deadlock", summary, [*rows, *self._modes()])

    def on_unhandled_elsewhere(self, name: str, exc: BaseException) -> BaseException:
        """Nobody took `exc` in another thread or task: return what ends the run."""
        try:
            return self.on_unhandled(name, exc)
        except (HarnessError, InternalError) as fault:
            return fault

    def on_unhandled(self, name: str, exc: BaseException) -> Violation:
        """Nobody took `exc`.

        Raises:
            HarnessError: it is, or holds, a misuse of the harness: no fault of the code under test.
            InternalError: or a fault of the harness itself.
        """
        leaves = list(_leaves(exc))
        for each in leaves:
            if isinstance(each, (HarnessError, InternalError)):
                raise each
        if len(leaves) == 1 and self._who_raised(leaves[0]):
            # One of the storm's own failed: a group round it says nothing more.
            name, exc = self._who_raised(leaves[0]), leaves[0]
        shown = "".join(traceback.format_exception_only(exc)).strip()
        who = name if name.startswith("the ") else f"'{name}'"
        violation = Violation(
            "Unhandled",
            f"{who} raised {type(exc).__name__} and nobody took it.",
            [("raised", shown), *_where(exc), *self._members(exc), *self._modes()],
        )
        violation.__cause__ = exc
        return violation

    def with_raised(self, violation: Violation) -> Violation:
        """Return `violation` with what was raised meanwhile and nobody took: often the reason."""
        if violation.check == "Unhandled":
            return violation
        storms = self.simulation.storms if self.simulation is not None else []
        raised = [each for storm in storms for each in storm.unconsumed()]
        logged = self.overheard
        rows = [("raised", self._told(each)) for each in raised[:MEMBERS_MAX]]
        rows.extend(("logged", self._told(each)) for each in logged[:MEMBERS_MAX])
        return violation.with_evidence(rows) if rows else violation

    def _members(self, exc: BaseException) -> list[tuple[str, str]]:
        if not isinstance(exc, BaseExceptionGroup):
            return []
        return [("member", self._told(each)) for each in exc.exceptions[:MEMBERS_MAX]]

    def _who_raised(self, exc: BaseException) -> str:
        """Return the name of the storm's own actor that `exc` ended, empty if there is none."""
        storms = self.simulation.storms if self.simulation is not None else []
        return next((name for storm in storms if (name := storm.who_raised(exc))), "")

    def _told(self, exc: BaseException) -> str:
        """Say who raised what, and where."""
        who = self._who_raised(exc)
        raiser = f"'{who}' raised " if who else ""
        text = "".join(traceback.format_exception_only(exc)).strip().replace("\n", " ")
        where = _raised_at(exc)
        return f"{raiser}{text} at {where}" if where else f"{raiser}{text}"

    def failed(self, exc: AssertionError) -> Violation:
        """A plain assert of the scenario failed."""
        text = str(exc).strip() or _source_at(exc)
        first, _, rest = text.partition("\n")
        rows = _where(exc)
        if rest:
            rows.insert(0, ("assert", rest))
        violation = Violation(
            "Failed", f"an assert of the scenario failed: {first}", [*rows, *self._modes()]
        )
        violation.__cause__ = exc
        return violation

    def on_limit(self, limit: str) -> BaseException | None:
        """Return what ends the run that hit a limit of the kernel, or None to look again later."""
        if limit == "idle":
            circle = stuck_together(self.world)
            stuck = circle or stuck_with_main(self.world)
            links = waits.links_of(circle)
            return self._deadlock(waits.parked(self.world), links, stuck) if stuck else None
        if limit not in ("steps", "spin", "advances"):
            return _Inconclusive(limit)
        if not self.spins.is_livelock(limit):
            return None
        return self._broken_by_waiting() or self._livelock(limit)

    def _livelock(self, limit: str) -> Violation:
        world = self.world
        _, who = world.actor_here()
        steps = world.kernel.steps - world.kernel.changed
        frame = _user_frame(sys._getframe())
        where, source = waits.place(frame)
        waiting = [("waits", str(wait)) for wait in waits.parked(world)[:12]]
        waiting = waiting or [
            ("turns", str(waits.wait_of_task(task))) for task in waits.pending_tasks(world)[:12]
        ]
        if limit == "advances":
            moves = world.kernel.advances
            summary = f"a time storm: the clock moved {moves} times and nothing else happened."
            rows = waiting or [("where", where)]
        else:
            turning = [
                task.get_name()
                for task in waits.pending_tasks(world)
                if task is not world.main_task
            ]
            names = ", ".join(
                f"'{name}'" for name in dict.fromkeys([who or "the event loop", *turning[:3]])
            )
            summary = f"{names} goes round without end: {steps:,} points and nothing has changed."
            rows = [("where", f"{where}: {source}" if source else where), *waiting]
        return Violation("Livelock", summary, [*rows, *self._modes()])

    def _modes(self) -> list[tuple[str, str]]:
        order = self.world.order if self.world.tasks else "n/a"
        return [
            (
                "when",
                f"step {self.world.kernel.steps}, t = {to_seconds(self.world.kernel.now_ns):g} s",
            ),
            ("modes", f"time-outs {self.timeouts}, asyncio order {order}"),
        ]


@functools.lru_cache(maxsize=64)
def _is_coroutine_function(function: Callable[[Any], Any]) -> bool:
    return inspect.iscoroutinefunction(function)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:6]) + " …" * (len(names) > 6)


def _leaves(exc: BaseException) -> Iterator[BaseException]:
    if not isinstance(exc, BaseExceptionGroup):
        yield exc
        return
    for each in exc.exceptions:
        yield from _leaves(each)


def _raised_at(exc: BaseException) -> str:
    """Return `file.py:line` of the innermost frame of somebody's code that `exc` went through.

    Empty if it went through none.
    """
    found = ""
    for frame, line in traceback.walk_tb(exc.__traceback__):
        handle = frame.f_locals.get("self") if frame.f_code.co_name == "_run" else None
        if not is_plumbing(frame.f_code.co_filename):
            found = f"{waits.file_name(frame.f_code.co_filename)}:{line}"
        elif isinstance(handle, asyncio.Handle):
            found = _callback_at(handle) or found
    return found


def _callback_at(handle: Any) -> str:
    """Say where the function stands that a loop was told to call, or what it is called."""
    callback = handle._callback
    while isinstance(callback, functools.partial):
        callback = callback.func
    code = getattr(getattr(callback, "__func__", callback), "__code__", None)
    if code is None:
        return loops.scheduled_at(handle) or f"callback {loops.name_of_callback(handle)}"
    if is_plumbing(code.co_filename):
        return ""
    return f"{waits.file_name(code.co_filename)}:{code.co_firstlineno}"


def _where(exc: BaseException) -> list[tuple[str, str]]:
    where = _raised_at(exc)
    return [("where", where)] if where else []


def _let_go(violation: Violation) -> None:
    """Have what a verdict came from hold nothing of the run.

    A traceback holds frames, these hold their functions, and the closures of those the run. Where
    the exception went stays as text, in a note of it.
    """
    causes: list[BaseException | None] = [violation.__cause__, violation.__context__]
    seen: set[int] = set()
    while causes:
        exc = causes.pop()
        if exc is None or id(exc) in seen:
            continue
        seen.add(id(exc))
        causes += [exc.__cause__, exc.__context__]
        causes += exc.exceptions if isinstance(exc, BaseExceptionGroup) else ()
        frames = traceback.extract_tb(_without_ours(exc.__traceback__))
        exc.__traceback__ = None
        notes = [note for note in getattr(exc, "__notes__", ()) if not note.startswith(TRACE)]
        if frames:
            lines = "".join(traceback.format_list(frames)).rstrip()
            notes.append(f"{TRACE}\n{lines}")
        if notes:
            # The same exception may be raised in many runs.
            exc.__notes__ = notes


def _without_ours(trace: TracebackType | None) -> TracebackType | None:
    """Return a traceback without the frames of the harness, before anything is made of them."""
    kept = []
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(_PACKAGE):
            kept.append(trace)
        trace = trace.tb_next
    for each in reversed(kept):
        trace = TracebackType(trace, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return trace


def _source_at(exc: BaseException) -> str:
    summary = traceback.extract_tb(exc.__traceback__)
    return summary[-1].line or "assert" if summary else "assert"


def _user_frame(frame: FrameType | None) -> FrameType | None:
    while frame is not None and is_plumbing(frame.f_code.co_filename):
        frame = frame.f_back
    return frame
