"""A run: simulated threads as greenlets of one real thread, switched as the kernel says.

    hub ──starts──► fiber ──switch──► fiber ──switch──► fiber
     ▲                │  (straight from one to the next)  │
     └── ends, aborts ┴───────────────────────────────────┘

A fiber is started from the hub only: a greenlet inherits the recursion depth and C stack of whoever
starts it. Leaving a run is always by the hub; whatever is then left is told to `Stop`. It does not
know locks, clocks or loops.
"""

from __future__ import annotations

import _thread
import asyncio
import contextvars
import random
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from types import CodeType, FrameType
from typing import Any

from greenlet import getcurrent, greenlet

from harness.core.access import ABORT, AWAIT, BARRIER, BIRTH, PENDING, RELEASE, WRITE, Log
from harness.core.history import Event, History, Who
from harness.core.kernel import FAIR_TURN, Actor, Kernel, Limits, Passing, text_of
from harness.core.tape import Pick, Redundant, Tape
from harness.errors import HarnessError
from harness.faults import PASS, Faults, Site, SiteKind, Verdict

from .here import here

_real_ident = _thread.get_ident

#: How often a fiber is told to stop before it is given up.
MAX_STOPS = 20

#: How long a slow machine stands still.
STALL_NS = 3_600 * 10**9

#: How often somebody may ask for the time between two points before it passes, and how far then, in
#: nanoseconds; the next time twice as far.
ASKED_OFTEN = 20_000
ASKED_NS = 1_000_000

#: How many fibers a run keeps for the next: their stacks take memory.
SPARE_MAX = 64

#: Fibers that refused to stop. Dropping the last reference would throw into them at any moment.
GRAVEYARD: list[greenlet] = []


class _Numbers:
    """Numbers that are never given twice in a process, other than addresses. One thread."""

    __slots__ = ("given",)

    def __init__(self) -> None:
        self.given = 0

    def __next__(self) -> int:
        self.given += 1
        return self.given


#: What locks and queues are called in a log.
LOCK_NUMBERS = _Numbers()


_LIBRARY = threading.__file__.rpartition("threading")[0]


def _is_library(filename: str) -> bool:
    return filename.startswith(_LIBRARY) and "-packages" not in filename


#: Where the numbers of threads begin: above all addresses, which may be given again.
_THREADS = 1 << 61


def begun(actor: Actor) -> int:
    """Return what a log calls the start of a thread."""
    return _THREADS + 4 * int(actor.fiber.ident)


def ended(actor: Actor) -> int:
    """Return what a log calls the end of a thread."""
    return begun(actor) + 1


def life(actor: Actor) -> int:
    """Return what a log calls whether a thread is alive."""
    return begun(actor) + 2


class Stop(BaseException):
    """The run is over: unwind. Never an error of the code under test."""


class _Silence:
    """Has a world without points inside a block, which may lie in another. One use."""

    __slots__ = ("_world",)

    def __init__(self, world: World) -> None:
        self._world = world

    def __enter__(self) -> None:
        self._world.silenced += 1

    def __exit__(self, *_: object) -> None:
        self._world.silenced -= 1


class World:
    """One run: its kernel, its fibers, its clock, its faults. One operating-system thread.

    invariant: `kernel.current` is the actor whose greenlet runs, except inside the hub.
    invariant: `stopping` never turns False again.

    Args:
        tape: where choices come from.
        order: asyncio order, `fifo`, `tasks` or `any`.
        limits: when to give up.
        history: records what happens, None for no record.
        passing: when time passes while somebody could run; by default never.
    """

    __slots__ = (
        "__dict__",
        "__weakref__",
        "_hub",
        "_next_ident",
        "_ordinals",
        "_tracer",
        "at_end",
        "backgrounds",
        "before_teardown",
        "careful",
        "crashed",
        "crashed_tasks",
        "entropy",
        "excused",
        "failure",
        "faults",
        "generators",
        "hash_numbers",
        "heard_at",
        "history",
        "idents",
        "kept",
        "kernel",
        "loops",
        "main",
        "main_task",
        "numbers",
        "on_left_task",
        "on_limit",
        "on_stall",
        "on_stuck",
        "on_unhandled",
        "order",
        "own",
        "points",
        "questions",
        "refused",
        "roots",
        "silenced",
        "spare",
        "started",
        "stopping",
        "tape",
        "task_names",
        "task_numbers",
        "tasks",
        "tells",
        "turns",
        "unhandled",
        "wary",
    )

    def __init__(
        self,
        tape: Tape,
        *,
        order: str = "tasks",
        limits: Limits | None = None,
        history: History | None = None,
        passing: Passing | None = None,
    ) -> None:
        self.tape = tape
        self.order = order
        self.history = history
        self.kernel = Kernel(
            tape.choose,
            limits,
            self._overrun,
            pick=None if tape.pick is None else self._pick,
            log=tape.log,
            passing=passing,
        )
        if tape.log is not None:
            tape.log.append((None, LOCK_NUMBERS.given, BARRIER, None))
        self.faults = Faults(tape.fault, tape.note)
        self.stopping = False
        self.failure: BaseException | None = None
        # Points are off while this is above 0.
        self.silenced = 0
        # At which step somebody asked for the time, and how often without another.
        self.heard_at = -1
        self.questions = 0
        # How many loops are running.
        self.loops = 0
        # Above 0, switching must save and restore what CPython keeps per operating-system thread:
        # while a loop runs, and throughout if somebody traces (coverage, a debugger).
        self.careful = int(_is_traced())
        # Asked at each point and wait once a rule is installed.
        self.wary = False
        self.points = 0
        self.tasks: list[Any] = []
        # The asynchronous generators of each loop.
        self.generators: list[Iterable[Any]] = []
        self.task_numbers = 0
        # What tasks were made to run, for the guard against missing points.
        self.started: dict[int, CodeType] = {}
        # What must not be freed while a log knows it by its address.
        self.kept: list[object] = []
        # Of each address that a log has met: what the log calls it, and whose it was.
        self.numbers: dict[int, tuple[int, Any]] = {}
        # Turns of tasks and callbacks, by path, if the tape wants to see them.
        self.turns: dict[tuple[int, ...], int] = {}
        self.task_names = 0
        self.crashed_tasks: list[Any] = []
        self.on_left_task: Callable[[Any], None] | None = None
        self.hash_numbers = 0
        self.entropy: random.Random | None = None
        self.refused: list[Actor] = []
        self.crashed: dict[int, Actor] = {}
        # Names (patterns) that no leak bound counts; numbers of whom a storm spawned or has judged.
        self.backgrounds: set[str] = set()
        self.own: set[int] = set()
        self.excused: set[int] = set()
        self.main_task: Any = None
        # What the root function of each thread was, for the guard against missing points.
        self.roots: list[Actor] = []
        self.unhandled: list[tuple[str, BaseException]] = []
        self.before_teardown: list[Callable[[], None]] = []
        self.at_end: list[Callable[[], None]] = []
        self.on_limit: Callable[[str], BaseException | None] | None = None
        self.on_stuck: Callable[[], BaseException] | None = None
        self.on_unhandled: Callable[[str, BaseException], BaseException] | None = None
        self.on_stall: Callable[[], None] | None = None
        self.main: Actor | None = None
        self.idents: dict[int, Actor] = {}
        self._ordinals: dict[tuple[str, str], int] = {}
        self._next_ident = 1_000_000
        # Fibers of earlier runs, which have nothing to do; None if none are to be kept.
        self.spare: list[Fiber] | None = None
        # Says whether a function tells by itself what it does, which what is under test does.
        self.tells: Callable[[Any], bool] = callable
        self._hub = getcurrent()
        self._tracer: Any = None

    # --- running ----------------------------------------------------------------------------------

    def run(self, body: Callable[[], None]) -> None:
        """Run `body` as the main thread until it ends, the run is aborted, or nobody can go on.

        Raises:
            BaseException: whatever `body` raised, or what the run was aborted with.
        """
        assert here.world is None, "a run inside a run"
        self._hub = getcurrent()
        self._tracer = sys.gettrace()
        outcome: list[BaseException] = []

        def main() -> None:
            try:
                body()
            except Stop:
                pass
            except BaseException as exc:  # noqa: BLE001 - handed on below, outside the fiber
                outcome.append(exc)

        actor = self.kernel.spawn("MainThread")
        actor.name = _thread_name() or actor.name
        self.main = actor
        # The main fiber is the main thread: its ident is real, its context that of who runs it.
        self._make_fiber(actor, main, ident=_real_ident(), context=contextvars.copy_context())
        here.world = self
        try:
            self._hub_loop(actor)
            for callback in self.before_teardown:
                callback()
        finally:
            self._tear_down()
            here.world = None
            for callback in reversed(self.at_end):
                callback()
        if self.failure is not None:
            raise self.failure
        if outcome:
            raise outcome[0]

    def _hub_loop(self, main: Actor) -> None:
        """Start and continue fibers until the main one has ended or nobody can go on."""
        target: Any = self.kernel.next()
        while self.failure is None and not main.ended:
            if target is None:
                if self.on_stuck is not None:
                    self.failure = self.on_stuck()
                return
            if self._tracer is not None and target is not main:
                # A thread starts untraced; `threading` gives it a tracer if there is to be one.
                sys.settrace(None)
            # Only what a fiber hands to the hub counts: who is to start next, or None when it has
            # ended or aborted.
            fiber = target.fiber
            fiber.started = True
            target = fiber.switch()
            if self._tracer is not sys.gettrace():
                sys.settrace(self._tracer)
            if target is None and self.failure is None and not main.ended:
                target = self.kernel.next()

    def spawn(
        self, name: str, function: Callable[[], None], born: object = None, thread: Any = None
    ) -> Actor:
        """Add a thread that will run `function`; its ident is `actor.fiber.ident`."""
        actor = self.kernel.spawn(name, self.kernel.current)
        actor.born = born
        self._make_fiber(actor, function, ident=self._new_ident(), context=None)
        starter, log = self.kernel.current, self.kernel.log
        if log is not None and starter is not None:
            log.append((starter.turn, begun(actor), BIRTH, None))
            log.append((starter.turn, begun(actor), RELEASE, None))
            log.append((starter.turn, ended(actor), BIRTH, None))
            log.append((starter.turn, life(actor), BIRTH, None))
            if thread is not None:
                # An actor outlives its thread, whose address another one may get.
                thread._harness_key = life(actor)
        actor.fiber.thread = thread
        self.note("spawn", name)
        return actor

    def join(self, actor: Actor, what: str) -> None:
        """Wait until `actor` has ended or crashed."""
        while not actor.ended:
            current = self.kernel.current
            assert current is not None, "only a fiber joins"
            actor.fiber.watchers.append(current)
            self.park(what)
        log, current = self.kernel.log, self.kernel.current
        if log is not None and current is not None:
            log.append((current.turn, ended(actor), AWAIT, None))

    def _make_fiber(
        self,
        actor: Actor,
        function: Callable[[], None],
        ident: int,
        context: contextvars.Context | None,
    ) -> None:
        def run() -> None:
            # Returns to the hub, which asks the kernel who is next.
            try:
                if not self.stopping:
                    if self.kernel.log is not None:
                        self.kernel.log.append((actor, begun(actor), AWAIT, None))
                    function()
                    # A crashed one is unwound at teardown, and has not run to its end.
                    fiber.completed = not self.stopping
            except Stop:
                pass
            finally:
                if not actor.ended:
                    self._end(actor)
                self.idents.pop(ident, None)

        spare = self.spare
        is_kept = spare is not None and len(self.roots) < SPARE_MAX
        if is_kept and spare:
            fiber = spare.pop()
            if fiber.parent is not self._hub:
                fiber.parent = self._hub
        else:
            fiber = Fiber(_work, self._hub)
            fiber.watchers = []
        fiber.function = run
        fiber.is_kept = is_kept
        fiber.started = fiber.done = fiber.completed = False
        fiber.ident = ident
        fiber.actor = actor
        fiber.world = self
        fiber.number = self.number()
        fiber.thread = None
        self.roots.append(actor)
        fiber.gr_context = context
        actor.fiber = fiber
        self.idents[ident] = actor

    def _end(self, actor: Actor) -> None:
        if self.history is not None and not self.stopping:
            self.note("end", actor.name)
        log = self.kernel.log
        if log is not None:
            log.append((actor, ended(actor), RELEASE, None))
            log.append((actor, life(actor), WRITE, None))
        self.kernel.end(actor)
        if actor.fiber.watchers and not self.stopping:
            self.kernel.wake_all(actor.fiber.watchers)

    def _new_ident(self) -> int:
        self._next_ident += 1
        return self._next_ident

    # --- switching --------------------------------------------------------------------------------

    def point(self) -> None:
        """Let another actor go on here, if the tape says so. Called by the current fiber."""
        kernel = self.kernel
        current = kernel.current
        if current is None or self.silenced or self.stopping:
            return
        target = kernel.decide()
        if target is not current:
            self.switch(target)

    def park(self, awaits: object, deadline: int | None = None) -> bool:
        """Park the current fiber until woken or `deadline` (ns); tell whether time ran out."""
        if self.stopping:
            raise Stop
        kernel = self.kernel
        current = kernel.current
        assert current is not None, "only a fiber parks"
        kernel.park(awaits, deadline)
        target = kernel.next()
        if target is not current:
            self.switch(target)
        return kernel.resumed(current)

    def switch(self, target: Actor | None) -> None:
        """Go on as `target`, or as the hub if it is None; return when this fiber is resumed."""
        if self.careful:
            self._switch_carefully(target)
        elif target is not None and target.fiber.started:
            target.fiber.switch()
        else:
            self._hub.switch(target)
        if self.stopping:
            raise Stop

    def _switch_carefully(self, target: Actor | None) -> None:
        """Switch and keep what CPython has per real thread, not greenlet: loop, hooks, tracer."""
        tracer = sys.gettrace()
        loop = asyncio._get_running_loop()
        if loop is not None:
            hooks = sys.get_asyncgen_hooks()
            depth = sys.get_coroutine_origin_tracking_depth()
            asyncio._set_running_loop(None)
            sys.set_asyncgen_hooks(None, None)
            sys.set_coroutine_origin_tracking_depth(0)
        if target is not None and target.fiber.started:
            target.fiber.switch()
        else:
            self._hub.switch(target)
        if loop is not None:
            asyncio._set_running_loop(loop)
            sys.set_asyncgen_hooks(*hooks)
            sys.set_coroutine_origin_tracking_depth(depth)
        if tracer is not sys.gettrace():
            sys.settrace(tracer)

    def settle(self) -> None:
        """Wait until everyone else is durably blocked; time does not move."""
        kernel = self.kernel
        current = kernel.current
        assert current is not None, "only a fiber settles"
        kernel.settling.append(current)
        self.park("the others to settle")

    def note_settled(self) -> None:
        """Have a log say that nobody else is left, as it does after a wait for them."""
        if self.kernel.log is not None:
            self.kernel.log.append((None, 0, BARRIER, None))

    def read_clock(self) -> int:
        """Return the virtual time, in nanoseconds, to code that asks for it."""
        kernel = self.kernel
        self.hear(3)
        if (
            kernel.early
            and not (self.silenced or self.stopping or kernel.current is None)
            and not _is_library(sys._getframe(2).f_code.co_filename)
            # Where nobody waits for time, a slow machine shows in what the clock says.
            and self.tape.choose(2)
        ):
            kernel.stall(STALL_NS)
            if self.on_stall is not None:
                self.on_stall()
        return kernel.now_ns

    def hear(self, frames: int) -> None:
        """Note that somebody asks for the time: who does so without end may wait for it to pass.

        Args:
            frames: how many of them are between here and who asks.
        """
        kernel = self.kernel
        if kernel.steps != self.heard_at:
            self.heard_at, self.questions = kernel.steps, 0
        self.questions += 1
        is_often = self.questions % ASKED_OFTEN == 0
        if not is_often and kernel.steps - kernel.changed < FAIR_TURN:
            return
        asker: FrameType | None = sys._getframe(frames)
        if asker is not None and asker.f_code.co_name == "time":
            # By `loop.time()`.
            asker = asker.f_back
        if asker is None or _is_library(asker.f_code.co_filename):
            return
        kernel.asked = kernel.steps
        if is_often:
            # It does nothing else, not even a point: nobody would notice.
            kernel.work(ASKED_NS << min(self.questions // ASKED_OFTEN - 1, 40))

    def sleep(self, nanoseconds: int) -> None:
        """Wait for a span of virtual time; 0 is a point."""
        if nanoseconds > 0:
            self.park("time to pass", self.kernel.now_ns + nanoseconds)
        else:
            if self.stopping:
                raise Stop
            self.point()

    def abort(self, reason: BaseException) -> None:
        """End the run with `reason`. From a fiber this does not return: nothing can swallow it."""
        if self.failure is None:
            self.failure = reason
        if self.stopping:
            raise Stop
        if getcurrent() is self._hub:
            raise reason
        self._hub.switch(None)
        raise Stop

    def take_unhandled(self, name: str, exc: BaseException) -> None:
        """End the run with an exception that nobody took."""
        self.unhandled.append((name, exc))
        if self.on_unhandled is not None:
            self.abort(self.on_unhandled(name, exc))

    def _pick(self, options: Sequence[Any], could_stay: bool) -> int:
        assert self.tape.pick is not None, "only asked if there is one"
        try:
            return self.tape.pick(options, could_stay)
        except Redundant as reason:
            self.abort(reason)
            raise

    def ask(self, options: Sequence[Any]) -> int:
        """Ask the tape whose turn of a loop is next, without a record."""
        assert self.tape.ask is not None, "only asked if it picks"
        try:
            return self.tape.ask(options, False)
        except Redundant as reason:
            self.abort(reason)
            raise

    def _overrun(self, limit: str) -> None:
        reason = self.on_limit(limit) if self.on_limit is not None else None
        if reason is not None:
            self.abort(reason)

    def note(
        self,
        operation: str,
        target: str,
        outcome: str = "",
        *,
        where: str = "",
        site: Any = None,
        by: Who | None = None,
        subject: object = None,
    ) -> None:
        """Record that the current thread or task does something, if anybody keeps a history."""
        history = self.history
        kernel = self.kernel
        current = kernel.current
        if history is None or current is None or self.stopping:
            return
        here_now = self.who_is_here()
        history.add(
            Event(
                kernel.steps,
                here_now.path,
                here_now.name,
                operation,
                target,
                kernel.now_ns,
                outcome,
                where,
                by or here_now,
                site,
            )
        )

    def who_is_here(self) -> Who:
        """Return the thread that runs, with the task if one does."""
        current = self.kernel.current
        assert current is not None, "somebody runs"
        path, name = self.actor_here()
        thread = current.path_text
        if name == current.name and path == thread:
            return Who(thread, name)
        return Who(thread, current.name, path, name)

    def actor_here(self) -> tuple[str, str]:
        """Return spawn path and name of the task that runs, or of the thread if no task does."""
        current = self.kernel.current
        if current is None:
            return "", ""
        if self.loops:
            task: Any = None
            with suppress(RuntimeError):
                task = asyncio.current_task()
            if task is not None:
                path = getattr(task, "path", ())
                return text_of(path), task.get_name()
        return current.path_text, current.name

    # --- identity ---------------------------------------------------------------------------------

    @property
    def current(self) -> Actor | None:
        """The actor that runs, None inside the hub."""
        return self.kernel.current

    def ident(self) -> int:
        """The thread ident of the fiber that runs."""
        current = self.kernel.current
        return current.fiber.ident if current is not None else _real_ident()

    def number(self) -> int:
        """Return the next creation number: objects that hash by it lie in sets in one order."""
        self.hash_numbers += 1
        return self.hash_numbers

    # --- the account that is kept with a history --------------------------------------------------

    def keep_account(self, pick: Pick, switch: Callable[[Actor | None], None]) -> None:
        """Have `pick` answer who goes on, and `switch` make the switches."""
        self.kernel.pick = pick
        # On the instance: runs of which nobody keeps an account do not pay for it.
        self.__dict__["switch"] = switch

    def forget_account(self) -> None:
        """Let go of what the account refers to."""
        self.kernel.pick = None
        self.faults.on_fired = self.on_stall = None
        self.__dict__.pop("switch", None)
        self.__dict__.pop("note", None)

    # --- faults -----------------------------------------------------------------------------------

    def consult(
        self, kind: SiteKind, name: str, *, who: str = "", key: str = "", ready: bool = False
    ) -> Verdict:
        """Ask the rules of this run about a site of the current actor."""
        if not self.wary or self.silenced or self.stopping or not self.faults.watches(kind):
            return PASS
        current = self.kernel.current
        ordinal = self._ordinals[kind, name] = self._ordinals.get((kind, name), 0) + 1
        actor = current.path_text if current else ""
        who = who or (current.name if current else "")
        site = Site(kind, name, actor, ordinal, key=key, who=who, ready=ready)
        # A rule is no code under test, wherever it stands: nobody else goes on inside it, for the
        # library is in the middle of something at some sites.
        with self.silence():
            return self.faults.consult(site)

    def crash(self, actor: Actor) -> None:
        """Take `actor` out without unwinding it: what it holds stays held."""
        fiber = actor.fiber
        self.crashed[fiber.ident] = actor
        is_current = actor is self.kernel.current
        self._end(actor)
        if is_current:
            self.switch(self.kernel.next())

    def silence(self) -> AbstractContextManager[None]:
        """Have no points inside the block."""
        return _Silence(self)

    # --- teardown ---------------------------------------------------------------------------------

    def _tear_down(self) -> None:
        """Unwind every fiber that is left; name those that refuse."""
        self.stopping = True
        kernel = self.kernel
        if kernel.log is not None:
            # Who gives a run up has not seen how it would have ended.
            if not isinstance(self.failure, Redundant):
                self._log_pending(kernel.log)
            kernel.log = None
        left = [*kernel.live.values(), *self.crashed.values()]
        if left or self.crashed_tasks:
            self._stop_all(left)
        kernel.current = None
        asyncio._set_running_loop(None)
        sys.set_asyncgen_hooks(None, None)

    def _log_pending(self, log: Log) -> None:
        """Note what those who are left were about to touch: it competes with what was touched."""
        current = self.kernel.current
        if current is not None and any(actor is not current for actor in self.kernel.runnable):
            log.append((current.turn, 0, ABORT, None))
        for actor in self.kernel.live.values():
            if actor is not self.kernel.current and actor.key and actor.writes:
                log.append((actor.turn, actor.key, PENDING, None))

    def _stop_all(self, left: list[Actor]) -> None:
        for reference in self.tasks:
            task = reference()
            if task is not None:
                # It is cut off on purpose: asyncio need not warn of it.
                task._log_destroy_pending = False
        with warnings.catch_warnings():
            # Who is cut off leaves coroutines that nobody awaits and files that nobody closes.
            warnings.simplefilter("ignore")
            for actor in reversed(left):
                self._stop(actor)
            self._drop_tasks()

    def _drop_tasks(self) -> None:
        """End the coroutines of tasks that nobody will run again, without a word from asyncio."""
        # Of a task that waits in an asynchronous generator, the generator is not closed but freed,
        # and what raises then is told on stderr.
        for generators in self.generators:
            for generator in generators:
                with suppress(BaseException):
                    generator.ag_await.close()
        for reference in self.tasks:
            task = reference()
            if task is None:
                continue
            if task.done():
                task._log_traceback = False
                continue
            with suppress(BaseException):
                task.get_coro().close()

    def _stop(self, actor: Actor) -> None:
        fiber = actor.fiber
        self.kernel.current = actor
        for _ in range(MAX_STOPS):
            if fiber.done or fiber.dead or not fiber.started:
                return
            try:
                fiber.throw(Stop)
            except BaseException:  # noqa: BLE001, S110 - the verdict is made; unwinding must go on
                pass
        GRAVEYARD.append(fiber)
        self.refused.append(actor)

    def points_met(self) -> dict[tuple[int, ...], int]:
        """Return how many scheduling points each thread has met, and turns each task, by path."""
        return {actor.path: actor.points for actor in self.roots} | self.turns

    def _spare(self, fiber: Fiber) -> None:
        """Keep a fiber for the next run, unless it refuses to end."""
        assert self.spare is not None, "only asked where some are kept"
        if fiber.done or not fiber.started:
            # What its function had set in it.
            fiber.gr_context = None
            self.spare.append(fiber)

    def dispose(self) -> None:
        """Take apart what refers to itself: a run is freed at once, not by the next collection."""
        for actor in self.roots:
            fiber = actor.fiber
            fiber.actor = fiber.world = fiber.thread = fiber.function = None
            fiber.watchers.clear()
            if fiber.is_kept and not fiber.dead:
                self._spare(fiber)
            actor.fiber = None
            actor.awaits = None
            actor.turn = None
        self.roots.clear()
        self.kept.clear()
        self.numbers.clear()
        self.started.clear()
        self.kernel.live.clear()
        self.kernel.timers.clear()
        self.kernel.overrun = None
        self.on_limit = self.on_stuck = self.on_unhandled = self.on_left_task = None
        self.main_task = None
        self.crashed_tasks.clear()
        self.at_end.clear()
        self.forget_account()
        # Code under test that refers to itself holds the world until a collection: not what was
        # written down of it.
        self.history = None
        self.kernel.log = self.kernel.pick = None


def _work() -> None:
    """Do what a fiber is for, one thing after the other: to start one takes longer than most."""
    while _work_once():
        # It holds nothing of a run meanwhile.
        hub: Any = getcurrent().parent
        hub.switch(None)


def _work_once() -> bool:
    """Do what the fiber is for now; tell whether it is kept for more."""
    fiber: Any = getcurrent()
    function, fiber.function = fiber.function, None
    function()
    fiber.done = True
    return bool(fiber.is_kept)


def end_spare(spare: list[Fiber]) -> None:
    """End fibers that are kept and have nothing to do."""
    while spare:
        fiber = spare.pop()
        # It leaves its loop without a word, and goes on here.
        fiber.parent = getcurrent()
        fiber.throw()


class Fiber(greenlet):
    """The greenlet of one actor, and what belongs to the thread it stands for. One world at a time.

    invariant: between two runs it stands in `_work`, refers to neither, and is in one list of
        spare ones.
    """

    ident: int
    actor: Actor | None
    world: World | None
    # Creation number, for leak bounds.
    number: int
    # The `threading.Thread`, if there is one.
    thread: Any
    # Who waits for the end.
    watchers: list[Actor]
    # Its function returned by itself.
    completed: bool
    # What it does once it is started.
    function: Callable[[], None] | None
    started: bool
    # What it was to do is over.
    done: bool
    # It is for other runs, too.
    is_kept: bool

    @property
    def gr_frame(self) -> FrameType | None:
        """Where it stands, None if it has not started: one that is kept stands in its loop."""
        return super().gr_frame if self.started else None


def current_world() -> World:
    """Return the run that this thread is inside of.

    Raises:
        HarnessError: there is none.
    """
    world = here.world
    if world is None:
        raise HarnessError(
            "no run is going on in this thread: "
            "call this from a function that harness.explore runs."
        )
    return world


def _is_traced() -> bool:
    return sys.gettrace() is not None or threading.gettrace() is not None


def _thread_name() -> str:
    return threading.current_thread().name
