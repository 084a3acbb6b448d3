"""The ready queue of a loop: which handle runs next is a choice of the tape.

Under `fifo` only timers due at the same instant may swap, under `tasks` also the wake-ups of
different tasks, under `any` everything. A task's own steps, the callbacks of one future and plain
`call_soon` keep their order except under `any`. Where one is passed over for too long all take
turns. At each turn of a task a fault may strike.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from contextvars import copy_context
from dataclasses import replace
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from harness.core.access import UNSEEN
from harness.core.clock import to_ns
from harness.core.kernel import FEW, Kernel, fair_turn, patience_of, text_of
from harness.errors import HarnessError
from harness.faults import Cancel, Crash, Delay, Hang, Pass, Pause, Site, Verdict

from . import account
from .fibers import Stop, World
from .tasks import SimTask, crash, innermost_frame, real_task

if TYPE_CHECKING:
    from .selector import Selector

_TimerHandle = asyncio.TimerHandle
_popleft = deque.popleft


class Handle(asyncio.Handle):
    """A handle as `call_soon` makes it outside debug mode, in less time. One loop."""

    __slots__ = ()

    def __init__(self, callback: Any, args: Any, loop: Any, context: Any) -> None:
        self._context = copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._source_traceback = None


def take_due(loop: Any) -> None:
    """Make the timers that are due ready, as the real loop does."""
    end = loop.time() + loop._clock_resolution
    while loop._scheduled and loop._scheduled[0]._when < end:
        handle = heapq.heappop(loop._scheduled)
        handle._scheduled = False
        loop._ready.append(handle)


class _Ear:
    """What a task takes for a loop, to learn how tasks call their steps. One use."""

    def get_debug(self) -> bool:
        """Return False."""
        return False

    def call_soon(self, callback: Any, *, context: Any = None) -> None:
        """Keep the type of `callback`."""
        self.kind = type(callback)


def _type_of_steps() -> type | None:
    """Return the type of what calls the step of a task, None if other callbacks are of it too."""
    ear: Any = _Ear()
    steps = asyncio.sleep(0)
    task: Any = real_task(steps, loop=ear)
    task._log_destroy_pending = False
    steps.close()
    kind: type = ear.kind
    return None if kind is MethodType else kind


#: The step of a task waits for none that stands before it.
STEP = _type_of_steps()


class ReadyQueue(deque[Any]):
    """The ready queue of one loop: the next handle to run is a choice of the tape. One loop."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        # The task that ran last, while it has not been looked at.
        self.last: SimTask | None = None
        # Tasks that were passed over by a sweep and are still parked, each at what it waits for.
        self.passed: list[tuple[SimTask, Any]] = []
        self.fifo = world.order == "fifo"
        self.free = world.order == "any"
        self.draw = world.tape.choose
        # The selector of its loop, which knows the loop until that is closed.
        self.selector: Selector | None = None
        # The loop is no subclass with methods of its own.
        self.plain = False
        # The loop is in `run_forever`, not in somebody's own version of it.
        self.forever = False
        # How often in a row the first was passed over, and since which step.
        self.passed_over = 0
        self.passed_since = 0
        # From which step to which turns are taken in order, or were the last time.
        self.fair_since = -1
        self.fair_until = -1

    def popleft(self) -> Any:
        """Take the handle that runs next."""
        world = self.world
        kernel = world.kernel
        if (
            len(kernel.runnable) == 1
            and kernel.steps + 1 < kernel.next_look
            and not (world.wary or world.silenced or world.stopping)
            and world.history is None
        ):
            # The usual case, and the hot path: no other thread could go on.
            kernel.steps += 1
            if len(self) > 1:
                return self.choose()
            self.passed_over = 0
            return _popleft(self)
        return self.popleft_slowly()

    def popleft_slowly(self) -> Any:
        """Take the handle that runs next, where others could go on, or a fault strike."""
        world = self.world
        if world.stopping:
            raise Stop
        if world.wary and self.last is not None:
            self.look_back()
        kernel = world.kernel
        current = kernel.current
        # A turn of the loop is one await: others may run here, and a loop that only turns is seen.
        if current is not None and not world.silenced:
            target = kernel.decide()
            if target is not current:
                world.switch(target)
        if self.passed and not world.silenced:
            self.look_again()
        if kernel.early and not world.silenced:
            self._let_timers_race(world)
        handle = self.choose() if len(self) > 1 and not world.silenced else self._take(0)
        if world.wary or world.history is not None:
            handle = self._watch(handle)
        return handle

    def _starves(self, kernel: Kernel) -> bool:
        """Tell whether the first has been passed over for too long; if so, be fair from now on."""
        quiet = kernel.steps - kernel.changed
        patience = patience_of(len(self), quiet, kernel.patience())
        if kernel.steps - self.passed_since < patience:
            return False
        self._be_fair()
        return True

    def _be_fair(self) -> None:
        self.fair_since = self.world.kernel.steps
        self.fair_until = self.fair_since + fair_turn(len(self))

    def has_been_fair(self) -> bool:
        """Tell whether all have had turns since something changed; have them take turns if not."""
        kernel = self.world.kernel
        if not self:
            return True
        if kernel.steps < self.fair_until:
            return False
        if self.fair_since >= kernel.changed:
            return True
        self._be_fair()
        return False

    def _take_turns(self, kernel: Kernel) -> Any:
        """Take the handle that has waited longest, as a real loop does, and as no choice.

        Where one is passed over for long somebody spins, most likely, and what that one waits for
        may depend on any of the others.
        """
        if kernel.log is not None and kernel.current is not None:
            kernel.log.append((kernel.current.turn, 0, UNSEEN, None))
        return self._take(0)

    def _let_timers_race(self, world: World) -> None:
        """Let the next timer of the loop be due, though there is something to run: a choice."""
        loop = self.selector.loop if self.selector is not None else None
        if loop is None:
            return
        when = min((each._when for each in loop._scheduled if not each._cancelled), default=None)
        if when is not None and self.draw(2):
            world.kernel.stall(max(0, to_ns(when) - world.kernel.now_ns))
            take_due(loop)

    def choose(self) -> Any:
        """Take the handle that runs next, one of several."""
        kernel = self.world.kernel
        if kernel.steps < self.fair_until or (self.passed_over >= FEW and self._starves(kernel)):
            return self._take_turns(kernel)
        if self.fifo:
            width = self._width_of_ties()
            if width < 2:
                return self._take(0)
        else:
            width = len(self)
        index = self.draw(width)
        if index and not self.free:
            handle = self[index]
            kind = type(handle._callback)
            if kind is FunctionType and type(handle) is Handle:
                # The usual cases of what follows.
                index = 0
            elif kind is not STEP:
                index = self._first_of_chain(index)
        return self._take(index)

    def _take(self, place: int) -> Any:
        """Take the handle at a place; whoever stands first is passed over if it is another."""
        if not place:
            self.passed_over = 0
            return _popleft(self)
        if not self.passed_over:
            self.passed_since = self.world.kernel.steps
        self.passed_over += 1
        handle = self[place]
        if self.world.history is not None:
            account.out_of_turn(self.world, _doer(handle), _doer(self[0])[1])
        del self[place]
        return handle

    def _width_of_ties(self) -> int:
        """Count the timers due at one instant at the head of the queue; 1 if the head is none."""
        when = getattr(self[0], "_when", None)
        if when is None:
            return 1
        width = 0
        for handle in self:
            if getattr(handle, "_when", None) != when:
                break
            width += 1
        return width

    def _first_of_chain(self, index: int) -> int:
        """Return which handle must run before the one at `index`; `index` if it may run now."""
        handle = self[index]
        if isinstance(handle, _TimerHandle):
            when = handle._when  # type: ignore[attr-defined] # private to asyncio
            while (
                index and isinstance(self[index - 1], _TimerHandle) and self[index - 1]._when < when
            ):
                index -= 1
            return index
        callback = handle._callback
        if not isinstance(getattr(callback, "__self__", None), real_task):
            # Plain call_soon is documented to be first in, first out.
            return 0
        # All callbacks of one future were queued in one go, so they stand side by side, in order.
        args = handle._args
        if args:
            future = args[0]
            while index and self[index - 1]._args and self[index - 1]._args[0] is future:
                index -= 1
        return index

    # --- faults at awaits: the slow path ----------------------------------------------------------

    def look_back(self) -> None:
        """Let a fault strike the task that has just parked, while it is parked."""
        task, self.last = self.last, None
        if task is None or task.done():
            return
        waiter: Any = getattr(task, "_fut_waiter", None)
        if waiter is not None and not waiter.done():
            name = task.get_name()
            verdict = self.world.consult("await", name, who=name, ready=False)
            self._strike_parked(task, verdict)
            if isinstance(verdict, Pass) and self._is_swept(task):
                self.passed.append((task, waiter))

    def look_again(self) -> None:
        """Let a sweep strike tasks that have been parked for a while, now that others went on.

        Between two steps of somebody else it may do harm that it would not have done before both.
        """
        passed, self.passed = self.passed, []
        for task, waiter in passed:
            now: Any = getattr(task, "_fut_waiter", None)
            if task.done() or now is not waiter or now.done():
                continue
            verdict = self.world.faults.consult(replace(self._site(task), again=True))
            self._strike_parked(task, verdict)
            if isinstance(verdict, Pass):
                self.passed.append((task, waiter))

    def _strike_parked(self, task: SimTask, verdict: Verdict) -> None:
        match verdict:
            case Cancel():
                task.cancel()
            case Crash():
                crash(self.world, task)

    def _is_swept(self, task: SimTask) -> bool:
        site = self._site(task)
        sweeps = self.world.faults.sweeps
        return any("await" in sweep.kinds and sweep.matches(site) for sweep in sweeps)

    def _site(self, task: SimTask) -> Site:
        current = self.world.kernel.current
        name = task.get_name()
        ordinal = self.world._ordinals.get(("await", name), 0)
        return Site("await", name, current.path_text if current else "", ordinal, who=name)

    def _watch(self, handle: Any) -> Any:
        """Record that a task goes on, and let a fault strike it before it does."""
        task = getattr(handle._callback, "__self__", None)
        if not isinstance(task, SimTask) or handle._cancelled:
            return handle
        world = self.world
        name = task.get_name()
        if world.history is not None:
            # What has not begun stands nowhere yet.
            begun = getattr(task.get_coro(), "cr_suspended", True)
            account.resume(world, task, innermost_frame(task) if begun else None)
        if task.crashed:
            return self._nothing()
        # Without rules only the record brought us here, which must not change what a rule meets.
        if world.wary:
            task.resumptions += 1
            # The first step is no suspension: nothing has been awaited yet.
            if getattr(task.get_coro(), "cr_suspended", True):
                handle = self._strike(
                    task, handle, world.consult("await", name, who=name, ready=True)
                )
            self.last = task
        return handle

    def _strike(self, task: SimTask, handle: Any, verdict: Verdict) -> Any:
        match verdict:
            case Pass():
                return handle
            case Cancel():
                task.cancel()
                return handle
            case Delay(seconds) | Pause(seconds):
                task.get_loop().call_later(seconds, self.append, handle)
                return self._nothing()
            case Crash() | Hang():
                crash(self.world, task)
                return self._nothing()
            case _:
                raise HarnessError(
                    f"verdict={verdict!r} cannot strike at an await: "
                    "Cancel, Crash, Hang, Delay and Pause can. "
                    "To have an operation fail, let the rule look at sites of kind 'call'."
                )

    def _nothing(self) -> Any:
        return asyncio.Handle(_pass_by, (), asyncio.get_running_loop())


def _doer(handle: Any) -> tuple[str, str]:
    """Return path and name of the task that a handle lets go on; no path if it is a callback."""
    task = getattr(handle._callback, "__self__", None)
    if isinstance(task, SimTask):
        return text_of(task.path), task.get_name()
    function = getattr(handle._callback, "func", handle._callback)
    return "", f"the callback {getattr(function, '__qualname__', type(function).__name__)}"


def _pass_by() -> None:
    """Run in place of a handle that a fault took away."""
