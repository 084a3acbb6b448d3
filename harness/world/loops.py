"""asyncio inside a run: the real loop over a simulated selector, the order of its ready queue.

`select` parks the fiber until somebody writes to the loop or a timer of the loop is due. Which
ready handle runs next is a choice: under `fifo` only timers due at the same instant may swap, under
`tasks` also the wake-ups of different tasks, under `any` everything. A task's own steps, the
callbacks of one future and plain `call_soon` keep their order except under `any`. It does not know
threads, and leaves sockets to whoever simulates them.
"""

from __future__ import annotations

import asyncio
import asyncio.base_events
import functools
import heapq
import math
import selectors
import sys
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import copy_context
from dataclasses import replace
from pathlib import PurePath
from types import CodeType, CoroutineType, FrameType, FunctionType, MethodType
from typing import Any

from harness.core.access import AWAIT, LOOP, NUMBERED, READ, RELEASE, UNSEEN, WRITE
from harness.core.clock import to_ns
from harness.core.kernel import FEW, Actor, Kernel, fair_turn, patience_of
from harness.errors import HarnessError, InternalError, unsupported
from harness.faults import Cancel, Crash, Delay, Hang, Pass, Pause, Site, Verdict

from . import account
from .fibers import LOCK_NUMBERS, Stop, World
from .here import here
from .threads import _plumbing, creation_site, is_plumbing

_real_selector = selectors.DefaultSelector
_real_task = asyncio.Task
_real_future = asyncio.Future
# Any: their private names are in no stub.
_loop_class: Any = asyncio.selector_events.BaseSelectorEventLoop
_runners: Any = asyncio.runners
_real_make_self_pipe = _loop_class._make_self_pipe
_real_close_self_pipe = _loop_class._close_self_pipe
_real_write_to_self = _loop_class._write_to_self
_base_loop: Any = asyncio.base_events.BaseEventLoop
_real_run_forever = _base_loop.run_forever
_real_run_until_complete = _base_loop.run_until_complete
_real_run_once = _base_loop._run_once
_real_call_soon = _base_loop.call_soon
_real_create_task = _base_loop.create_task
_real_default_handler = _base_loop.default_exception_handler
_real_cancel_all = _runners._cancel_all_tasks
_real_as_completed = asyncio.as_completed
_real_all_tasks = asyncio.all_tasks
_TimerHandle = asyncio.TimerHandle


class Selector(selectors.BaseSelector):
    """A selector over nothing but the loop's own wake-ups. One loop."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.loop: Any = None
        self._sleeper: Actor | None = None
        self.woken = False
        self.settling: list[asyncio.Future[None]] = []

    def wake(self) -> None:
        """Have `select` return. Any thread."""
        self.woken = True
        if self._sleeper is not None:
            self.world.kernel.wake(self._sleeper)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait until woken, at most `timeout` seconds; there is never a file to report."""
        world = self.world
        kernel = world.kernel
        if world.stopping:
            raise Stop
        loop = self.loop
        if type(loop._ready) is WatchedQueue:
            loop._ready.rest()
        if world.wary and loop._ready.last is not None:
            loop._ready.look_back()
            if loop._ready:
                return []
        if not self.woken and (timeout is None or timeout > 0):
            self._sleeper = kernel.current
            if self.settling and kernel.current is not None:
                kernel.settling.append(kernel.current)
            try:
                world.park(self, None if timeout is None else kernel.now_ns + to_ns(timeout))
            finally:
                self._sleeper = None
            if self.settling:
                self._settle()
        else:
            # A turn that waits for nothing: others may run, and a loop that only spins is seen.
            world.point()
        self.woken = False
        # Beyond 2**24 s a timer due exactly now would never be taken: the default is rounded away.
        loop._clock_resolution = max(1e-9, 2 * math.ulp(kernel.now_ns / 1e9))
        return []

    def _settle(self) -> None:
        kernel = self.world.kernel
        # Woken for another reason: still on the list, and still waiting for everyone to settle.
        if kernel.current in kernel.settling:
            kernel.settling.remove(kernel.current)
            return
        waiting, self.settling = self.settling, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Refuse: files and sockets are not simulated."""
        raise unsupported(
            f"waiting for file {fileobj!r} in an event loop",
            "Give the code under test a double instead.",
        )

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Refuse: nothing was registered."""
        raise KeyError(fileobj)

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        """Refuse: nothing was registered."""
        raise KeyError(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """Return no registrations."""
        return {}

    def close(self) -> None:
        """Let go of the loop: the two refer to each other."""
        self.loop = None


def make_selector() -> Any:
    """Stand for `selectors.DefaultSelector`."""
    world = here.world
    return _real_selector() if world is None or world.kernel.current is None else Selector(world)


def make_self_pipe(loop: Any) -> None:
    """Set up a loop as its own waker; stands for `BaseSelectorEventLoop._make_self_pipe`."""
    selector = loop._selector
    if not isinstance(selector, Selector):
        _real_make_self_pipe(loop)
        return
    loop._ssock = loop._csock = None
    loop._asyncgens = Generators()
    selector.world.generators.append(loop._asyncgens)
    selector.loop = loop
    tape = selector.world.tape
    watched = tape.pick is not None or tape.log is not None
    loop._ready = ready = (WatchedQueue if watched else ReadyQueue)(selector.world)
    ready.selector = selector
    ready.plain = type(loop) is asyncio.SelectorEventLoop
    selector.world.at_end.append(functools.partial(_close_left, weakref.ref(loop)))


def _close_left(reference: weakref.ref[Any]) -> None:
    """Close a loop whose run is over: once freed, it would look for a real pipe."""
    loop = reference()
    if loop is not None:
        loop._closed = True


def close_self_pipe(loop: Any) -> None:
    """Stand for `BaseSelectorEventLoop._close_self_pipe`."""
    if not isinstance(loop._selector, Selector):
        _real_close_self_pipe(loop)


def write_to_self(loop: Any) -> None:
    """Wake a loop from another thread; stands for `BaseSelectorEventLoop._write_to_self`."""
    selector = loop._selector
    if isinstance(selector, Selector):
        if loop._ready and loop._ready[-1]._source_traceback is None:
            # If it fails, no frame tells who wanted it: asyncio knows that in debug mode only.
            loop._ready[-1]._source_traceback = [(*creation_site(), None)]
        if not selector.world.stopping:
            selector.wake()
    elif selector is not None:
        _real_write_to_self(loop)


def run_forever(loop: Any) -> None:
    """Run a loop and keep count of those that run; stands for `BaseEventLoop.run_forever`."""
    world = here.world
    if world is None:
        _real_run_forever(loop)
        return
    world.loops += 1
    world.careful += 1
    ready = loop._ready
    try:
        if isinstance(ready, ReadyQueue) and ready.plain:
            ready.forever = True
        if type(ready) is WatchedQueue:
            ready.owner = world.kernel.current
        _real_run_forever(loop)
    finally:
        world.loops -= 1
        world.careful -= 1
        ready.forever = False
        if type(ready) is WatchedQueue:
            ready.rest()


def _run_once(loop: Any) -> None:
    """Make one turn of a loop, in `run_forever` all; stands for `BaseEventLoop._run_once`.

    The same as the real one, with the usual case of what it calls written out: the time of small
    programs goes here.
    """
    ready = loop._ready
    if type(ready) is not ReadyQueue or not ready.forever:
        _real_run_once(loop)
        return
    world = ready.world
    kernel = world.kernel
    choose = ready.choose
    while True:
        if loop._scheduled or loop._debug or world.wary or world.history is not None:
            _real_run_once(loop)
        else:
            if (
                ready
                and kernel.steps + 1 < kernel.next_look
                and len(kernel.runnable) == 1
                and not (world.silenced or world.stopping)
            ):
                # The selector's turn that waits for nothing, where nobody else could go on.
                kernel.steps += 1
                loop._selector.woken = False
            else:
                loop._selector.select(0 if ready or loop._stopping else None)
                if loop._scheduled:
                    _take_due(loop)
            todo = len(ready)
            while todo:
                todo -= 1
                if (
                    kernel.steps + 1 < kernel.next_look
                    and len(kernel.runnable) == 1
                    and not (world.wary or world.silenced or world.stopping)
                ):
                    kernel.steps += 1
                    handle = _popleft(ready) if len(ready) == 1 else choose()
                else:
                    handle = ready.popleft_slowly()
                if not handle._cancelled:
                    try:
                        if handle._args:
                            handle._context.run(handle._callback, *handle._args)
                        else:
                            handle._context.run(handle._callback)
                    except (SystemExit, KeyboardInterrupt):
                        raise
                    except BaseException as exc:  # noqa: BLE001 - what the real one catches
                        _report(handle, exc)
            # Nothing is kept alive while the loop waits.
            handle = None
        if loop._stopping:
            return


def _take_due(loop: Any) -> None:
    """Make the timers that are due ready, as the real loop does."""
    end = loop.time() + loop._clock_resolution
    while loop._scheduled and loop._scheduled[0]._when < end:
        handle = heapq.heappop(loop._scheduled)
        handle._scheduled = False
        loop._ready.append(handle)


class Generators:
    """The asynchronous generators of one loop that are not over, in the order of their first step.

    The loop itself keeps a weak set, which goes by address; and one that is over is in it for as
    long as the collector has not come by, in one run and not in the next.
    """

    def __init__(self) -> None:
        self._begun: dict[int, weakref.ref[Any]] = {}

    def add(self, generator: Any) -> None:
        """Note one that takes its first step."""
        self._begun.pop(id(generator), None)
        self._begun[id(generator)] = weakref.ref(generator)

    def discard(self, generator: Any) -> None:
        """Forget one that is finalised."""
        self._begun.pop(id(generator), None)

    def clear(self) -> None:
        """Forget all."""
        self._begun.clear()

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[Any]:
        for reference in list(self._begun.values()):
            generator = reference()
            if generator is not None and generator.ag_frame is not None:
                yield generator


class _Raising:
    """Stands for the context of a handle whose callback has raised. One use."""

    def __init__(self, exc: BaseException) -> None:
        self.exc = exc

    def run(self, *_: object) -> None:
        """Raise."""
        raise self.exc


def _report(handle: Any, exc: BaseException) -> None:
    """Have the real handle say what it says when its callback raises."""
    context = handle._context
    handle._context = _Raising(exc)
    try:
        handle._run()
    finally:
        handle._context = context


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


def call_soon(loop: Any, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
    """Have a loop call back in its next turn; stands for `BaseEventLoop.call_soon`."""
    ready = loop._ready
    if type(ready) is not ReadyQueue or not ready.plain or loop._debug or loop._closed:
        handle: asyncio.Handle = _real_call_soon(loop, callback, *args, context=context)
        return handle
    made = Handle(callback, args, loop, context)
    ready.append(made)
    return made


_SHUTDOWNS = {
    _base_loop.shutdown_asyncgens.__code__: "_asyncgens",
    _base_loop.shutdown_default_executor.__code__: "_default_executor",
}
#: A task that ends in its first step: two turns with one handle each.
_STEPS_OF_NOTHING = 4


def run_until_complete(loop: Any, future: Any) -> Any:
    """Run a loop until a future is done; stands for `BaseEventLoop.run_until_complete`.

    `asyncio.run` shuts down generators and executor by one task each, though most programs have
    neither. Such a task is counted, not made.
    """
    ready = loop._ready
    if type(ready) is ReadyQueue and ready.plain and type(future) is CoroutineType:
        world = ready.world
        kernel = world.kernel
        idle = _SHUTDOWNS.get(future.cr_code)
        if (
            idle is not None
            and not getattr(loop, idle)
            and not (ready or loop._scheduled or loop._debug or loop._closed or loop._stopping)
            and not (loop._task_factory or loop._thread_id or asyncio._get_running_loop())
            and not (world.wary or world.silenced or world.stopping or world.history is not None)
            and len(kernel.runnable) == 1
            and kernel.steps + _STEPS_OF_NOTHING < kernel.next_look
        ):
            world.hash_numbers += 1
            world.task_numbers += 1
            world.task_names += 1
            kernel.steps += _STEPS_OF_NOTHING
            loop._selector.woken = False
            try:
                future.send(None)
            except StopIteration as done:
                return done.value
            raise InternalError(f"{future.__qualname__} waits, and there is nothing to wait for.")
    return _real_run_until_complete(loop, future)


def default_exception_handler(loop: Any, context: dict[str, Any]) -> None:
    """Fail the run with an error nobody took; for `BaseEventLoop.default_exception_handler`."""
    world = here.world
    if world is None:
        _real_default_handler(loop, context)
        return
    if world.stopping:
        return
    exc = context.get("exception")
    source = context.get("task") or context.get("future")
    if isinstance(source, _real_task):
        name = source.get_name()
    elif isinstance(context.get("handle"), asyncio.Handle):
        name = _callback_name(context["handle"])
    else:
        name = str(context.get("message", "event loop"))
    if exc is None:
        if "was destroyed but it is pending" in context.get("message", ""):
            return
        exc = RuntimeError(str(context.get("message")))
    if "never retrieved" in context.get("message", ""):
        # Called by a finaliser, in the middle of anything: the run is judged by it at its end.
        world.unhandled.append((name, exc))
    else:
        world.take_unhandled(name, exc)


def _callback_name(handle: Any) -> str:
    """Name a callback, never by an address, and by who scheduled it where that is known."""
    where = scheduled_at(handle)
    name = f"the callback {name_of_callback(handle)}"
    return f"{name}, scheduled at {where}," if where else name


def name_of_callback(handle: Any) -> str:
    """Return what the function of a callback is called, as if nothing were simulated."""
    callback = handle._callback
    while isinstance(callback, functools.partial):
        callback = callback.func
    name = getattr(callback, "__qualname__", type(callback).__name__)
    return name.replace("SimFuture.", "Future.").replace("SimTask.", "Task.")


def scheduled_at(handle: Any) -> str:
    """Return `file.py:line` that scheduled a callback from another thread, empty if not known."""
    if not handle._source_traceback:
        return ""
    file, line, *_ = handle._source_traceback[-1]
    return f"{PurePath(file).name}:{line}"


#: Where asyncio keeps its tasks: 3.11, then later versions. 3.14 has lists of its own.
_registry: Any = getattr(asyncio.tasks, "_scheduled_tasks", getattr(asyncio.tasks, "_all_tasks", 0))
_eager: Any = getattr(asyncio.tasks, "_eager_tasks", ())


def _none_is_pending(loop: Any) -> bool:
    """Tell whether `all_tasks` would find none, in a tenth of its time where there are few."""
    if not hasattr(_registry, "data") or _eager or len(_registry.data) > FEW_TASKS:
        return not asyncio.all_tasks(loop)
    for reference in list(_registry.data):
        task = reference()
        if task is not None and not task.done() and task.get_loop() is loop:
            return False
    return True


#: More tasks than this are left to asyncio to go through.
FEW_TASKS = 100


def cancel_all_tasks(loop: Any) -> None:
    """Note who is left parked and cancel all; stands for `runners._cancel_all_tasks`.

    The real one goes through a set, whose order also tells how large the register of all tasks has
    ever been, which outlives a run.
    """
    world = here.world
    if world is None or world.stopping:
        _real_cancel_all(loop)
        return
    if _none_is_pending(loop):
        return
    left = _in_order(asyncio.all_tasks(loop))
    for task in left:
        waiter = getattr(task, "_fut_waiter", None)
        if isinstance(task, SimTask) and waiter is not None and not waiter.done():
            task.left_parked = True
            if world.on_left_task is not None:
                world.on_left_task(task)
    for task in left:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    for task in left:
        if not task.cancelled() and task.exception() is not None:
            message = "unhandled exception during asyncio.run() shutdown"
            context = {"message": message, "exception": task.exception(), "task": task}
            loop.call_exception_handler(context)


def all_tasks(loop: Any = None) -> set[Any]:
    """Return the tasks of a loop; stands for `asyncio.all_tasks`.

    A set goes by hash, and where two share a place, by who came first: asyncio fills it from one
    that has outlived other runs.
    """
    tasks: set[Any] = _real_all_tasks(loop)
    return tasks if here.world is None else set(_in_order(tasks))


class _AsTasks:
    """What `asyncio.as_completed` takes a set of, with the tasks made in the order given."""

    def __init__(self, awaitables: Iterable[Any]) -> None:
        self.awaitables = awaitables

    def __iter__(self) -> Iterator[Any]:
        return iter([asyncio.ensure_future(each) for each in dict.fromkeys(self.awaitables)])


def as_completed(fs: Any, *, timeout: float | None = None) -> Any:
    """Return an iterator of what is done; stands for `asyncio.as_completed`.

    The real one makes tasks of a set of coroutines, which goes by address.
    """
    if here.world is not None and not asyncio.isfuture(fs) and not asyncio.iscoroutine(fs):
        fs = _AsTasks(fs)
    return _real_as_completed(fs, timeout=timeout)


def _in_order(tasks: set[Any]) -> list[Any]:
    """Return tasks in the order in which they were made."""
    return sorted(tasks, key=lambda task: getattr(task, "number", 0))


_init_task = _real_task.__init__
_current_task = asyncio.current_task
_reference = weakref.ref


#: The name of a task that was given none: the real one is made when somebody asks. Known by its
#: identity, so it is no literal, which could be somebody else's, too.
_UNNAMED = str(b"Task-?", "ascii")


class SimTask(_real_task):  # type: ignore[type-arg] # Task is generic only for type checkers
    """A task that knows where it comes from and hashes by creation number. One loop.

    Sets of tasks (TaskGroup, wait, all_tasks) iterate by hash; addresses would give another order
    in every run.
    """

    # What every task has, in slots, so that few tasks need a dictionary; the rest on the class.
    __slots__ = ("_code", "_instruction", "_ordinal", "number", "path")

    number: int
    path: tuple[int, ...]
    # Where it was made: code, and index of the instruction in it. Its number among the unnamed.
    _code: CodeType | None
    _instruction: int
    _ordinal: int
    children = 0
    left_parked = False
    crashed = False
    # What a tape that picks sees of one that could go on: how many turns it has had.
    points = 0
    # How often it went on, while that is counted.
    resumptions = 0
    key = 0
    writes = True
    site = None
    on_crash: Callable[[], None] | None = None

    def __init__(self, coro: Any, *, loop: Any = None, name: Any = None, **kwargs: Any) -> None:
        world = here.world
        if world is None:
            self.number = id(self)
            self.path = ()
            self._code = None
        else:
            _enter(self, world, loop, coro)
            if name is None:
                world.task_names = self._ordinal = world.task_names + 1
                name = _UNNAMED
        _init_task(self, coro, loop=loop, name=name, **kwargs)

    def __hash__(self) -> int:
        return self.number

    def get_name(self) -> str:
        """Return its name."""
        name: str = _get_name(self)
        return f"Task-{self._ordinal}" if name is _UNNAMED else name

    @property
    def born(self) -> tuple[str, int, str] | None:
        """File, line and function that made it; None if it is nobody's code."""
        code = self._code
        if code is None:
            return None
        line = next(
            (
                line
                for start, end, line in code.co_lines()
                if start <= self._instruction < end and line is not None
            ),
            code.co_firstlineno,
        )
        return code.co_filename, line, code.co_qualname


_get_name = _real_task.get_name
_new_task = SimTask.__new__


def _enter(task: SimTask, world: World, loop: Any, coro: Any) -> None:
    """Note who made a task, from where, to run what; called by whatever makes it."""
    if type(coro) is CoroutineType:
        code = coro.cr_code
        world.started[id(code)] = code
    task.number = world.hash_numbers = world.hash_numbers + 1
    try:
        parent = _current_task(loop)
    except RuntimeError:
        parent = None
    if type(parent) is SimTask:
        parent.children = child = parent.children + 1
        task.path = (*parent.path, child)
    else:
        world.task_numbers += 1
        actor = world.kernel.current
        # Threads are counted from 1: no thread has a 0 there.
        task.path = (*(actor.path if actor else ()), 0, world.task_numbers)
    # Only what dies with the frame: what it means is worked out when somebody asks.
    frame: FrameType | None = sys._getframe(2)
    made_by: CodeType | None = None
    while frame is not None:
        made_by = frame.f_code
        plumbing = _plumbing.get(made_by.co_filename)
        if plumbing is None:
            plumbing = is_plumbing(made_by.co_filename)
        if not plumbing:
            task._instruction = frame.f_lasti
            break
        frame = frame.f_back
        made_by = None
    task._code = made_by
    world.tasks.append(_reference(task))


def create_task(
    loop: Any, coro: Any, *, name: Any = None, context: Any = None, **kwargs: Any
) -> Any:
    """Make a task; stands for `BaseEventLoop.create_task`."""
    ready = loop._ready
    world = here.world
    if (
        world is None
        or type(ready) is not ReadyQueue
        or not ready.plain
        or ready.world is not world
        or kwargs
        or loop._task_factory is not None
        or loop._debug
        or loop._closed
    ):
        return _real_create_task(loop, coro, name=name, context=context, **kwargs)
    # As by its own class, in half the time.
    task = _new_task(SimTask)
    _enter(task, world, loop, coro)
    if name is None:
        world.task_names = task._ordinal = world.task_names + 1
        name = _UNNAMED
    _init_task(task, coro, loop=loop, name=name, context=context)
    return task


class SimFuture(_real_future):  # type: ignore[type-arg] # Future is generic only for type checkers
    """A future that hashes by the number of its first hashing. One loop."""

    __slots__ = ("number",)

    def __hash__(self) -> int:
        try:
            return self.number
        except AttributeError:
            world = here.world
            self.number: int = id(self) if world is None else world.number()
            return self.number


_popleft = deque.popleft


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
    task: Any = _real_task(steps, loop=ear)
    task._log_destroy_pending = False
    steps.close()
    kind: type = ear.kind
    return None if kind is MethodType else kind


_Step = _type_of_steps()


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
            _take_due(loop)

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
            elif kind is not _Step:
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
        if not isinstance(getattr(callback, "__self__", None), _real_task):
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


class Callback:
    """The turn of a callback that is no task's. One loop.

    Args:
        path: who scheduled it, and its number among those.
    """

    __slots__ = ("key", "path", "points", "site", "writes")

    def __init__(self, path: tuple[int, ...]) -> None:
        self.path = path
        self.points = 0
        self.key = 0
        self.writes = True
        self.site = None


class WatchedQueue(ReadyQueue):
    """A ready queue that shows the tape whose turns it could choose, and logs what orders them.

    Handles are turns of tasks or of callbacks. Who schedules one comes before it. What belongs to
    the loop (its locks, queues, futures) is one thing, touched by every turn but those of a task
    that merely let others go on.
    """

    def __init__(self, world: World) -> None:
        super().__init__(world)
        # By identity of the handle, which it keeps alive: its turn, and its number in the log.
        self.turns: dict[int, tuple[Any, Any, int]] = {}
        self.running: SimTask | None = None
        # The thread that runs the loop.
        self.owner = world.kernel.current
        # How many callbacks each giver of turns has scheduled.
        self.callbacks: dict[tuple[int, ...], int] = {}

    def append(self, handle: Any) -> None:
        """Note who has a turn now, and who gave it to him."""
        super().append(handle)
        current = self.world.kernel.current
        giver = current.turn if current is not None else None
        task = getattr(handle._callback, "__self__", None)
        turn: Any = task
        is_task = isinstance(task, SimTask)
        if not is_task:
            path = giver.path if giver is not None else ()
            self.callbacks[path] = count = self.callbacks.get(path, 0) + 1
            owner = self.owner.path if self.owner is not None else ()
            turn = Callback((*owner, 0, 0, *path, count))
        number = next(LOCK_NUMBERS)
        self.turns[id(handle)] = (handle, turn, number)
        log = self.world.kernel.log
        if log is not None and giver is not None:
            # A plain callback waits for all that stand before it in the queue; a task does not.
            log.append((giver, LOOP + 1, WRITE if self.fifo or not is_task else READ, None))
            log.append((giver, -number, RELEASE, None))

    def popleft(self) -> Any:
        """Take the handle that runs next."""
        self._end_turn()
        handle = self.popleft_slowly()
        current = self.world.kernel.current
        _, turn, number = self.turns.pop(id(handle), (None, None, 0))
        if current is None or turn is None:
            return handle
        turn.points += 1
        self.world.turns[turn.path] = turn.points
        current.turn = turn
        log = self.world.kernel.log
        is_task = isinstance(turn, SimTask)
        if log is not None:
            log.append((turn, -number, AWAIT, None))
            if is_task:
                # Whether it was cancelled meanwhile.
                log.append((turn, NUMBERED + turn.number, READ, None))
            if not is_task or handle._args:
                log.append((turn, LOOP, WRITE, None))
        self.running = turn if is_task else None
        return handle

    def rest(self) -> None:
        """Note that the loop itself acts: it has nothing to run."""
        self._end_turn()

    def _end_turn(self) -> None:
        """Note what the task that ran last has come to, and have the loop act for itself."""
        kernel = self.world.kernel
        current, task, log = kernel.current, self.running, kernel.log
        self.running = None
        if current is None:
            return
        if task is not None and log is not None:
            if task.done():
                log.append((task, NUMBERED + task.number, WRITE, None))
                log.append((task, LOOP, READ, None))
            elif getattr(task, "_fut_waiter", None) is not None and not _sleeps(task):
                log.append((task, LOOP, WRITE, None))
        current.turn = current
        current.key = 0

    def choose(self) -> Any:
        """Take the handle that runs next, one of several."""
        tape = self.world.tape
        if tape.pick is None:
            return super().choose()
        kernel = self.world.kernel
        if kernel.steps < self.fair_until or (self.passed_over >= FEW and self._starves(kernel)):
            return self._take_turns(kernel)
        width = self._width_of_ties() if self.fifo else len(self)
        if width < 2:
            return self._take(0)
        if tape.known is not None:
            choice = tape.known(width)
            place = choice if self.free else self._first_of_chain(choice)
            self.world.ask([self.turns[id(self[place])][1]])
            tape.note(choice, width)
            return self._take(place)
        # A task may have several handles, and a chain has one that is first: each is shown once,
        # by the first choice that means it.
        firsts: dict[int, int] = {}
        for choice in range(width):
            firsts.setdefault(choice if self.free else self._first_of_chain(choice), choice)
        turns: dict[tuple[int, ...], int] = {}
        for place in sorted(firsts):
            turns.setdefault(self.turns[id(self[place])][1].path, place)
        place = 0
        if len(turns) > 1:
            options = [self.turns[id(self[place])][1] for place in turns.values()]
            place = list(turns.values())[self.world.ask(options)]
        tape.note(firsts[place], width)
        return self._take(place)


def _sleeps(task: SimTask) -> bool:
    """Tell whether what a task waits for is nothing but time."""
    coroutine: Any = task.get_coro()
    while coroutine is not None:
        inner = getattr(coroutine, "cr_await", None)
        if isinstance(inner, CoroutineType) and inner.cr_code is _sleep_code:
            return True
        coroutine = inner if isinstance(inner, CoroutineType) else None
    return getattr(task.get_coro(), "cr_code", None) is _sleep_code


_sleep_code = asyncio.sleep.__code__


def _doer(handle: Any) -> tuple[str, str]:
    """Return path and name of the task that a handle lets go on; no path if it is a callback."""
    task = getattr(handle._callback, "__self__", None)
    if isinstance(task, SimTask):
        return ".".join(map(str, task.path)), task.get_name()
    function = getattr(handle._callback, "func", handle._callback)
    return "", f"the callback {getattr(function, '__qualname__', type(function).__name__)}"


def innermost_frame(task: Any) -> FrameType | None:
    """Return the innermost frame of somebody's code that a suspended task stands in."""
    found: FrameType | None = None
    awaited: Any = task.get_coro()
    while awaited is not None:
        frame = (
            getattr(awaited, "cr_frame", None)
            or getattr(awaited, "ag_frame", None)
            or getattr(awaited, "gi_frame", None)
        )
        if frame is None:
            break
        if not is_plumbing(frame.f_code.co_filename):
            found = frame
        awaited = (
            getattr(awaited, "cr_await", None)
            or getattr(awaited, "ag_await", None)
            or getattr(awaited, "gi_yieldfrom", None)
        )
    return found


def _pass_by() -> None:
    """Run in place of a handle that a fault took away."""


def crash(world: World, task: Any) -> None:
    """Mark a task as gone: it takes no further step, and nobody waits for its end."""
    task.crashed = True
    # The loop looks at each step from now on: those of the task are not to run.
    world.wary = True
    world.crashed_tasks.append(task)
    # Otherwise `asyncio.run` would cancel it at its end and wait for it.
    asyncio.tasks._unregister_task(task)
    if task.on_crash is not None:
        task.on_crash()


async def settle(world: World) -> None:
    """Wait until everything else, this loop included, is durably blocked; time does not move."""
    loop: Any = asyncio.get_running_loop()
    selector = loop._selector
    if not isinstance(selector, Selector):
        raise HarnessError("settle() was awaited in a loop that is not simulated.")
    future: asyncio.Future[None] = loop.create_future()
    selector.settling.append(future)
    await future
