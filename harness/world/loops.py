"""asyncio inside a run: the real loop, over a simulated selector and a ready queue with a choice.

What the loop does is asyncio's own; the usual case of what every turn calls is written out, because
the time of small programs goes here. It does not know threads.
"""

from __future__ import annotations

import asyncio
import asyncio.base_events
import functools
import weakref
from collections import deque
from collections.abc import Iterator
from pathlib import PurePath
from types import CoroutineType
from typing import Any

from harness.errors import InternalError

from .here import here
from .ready import Handle, ReadyQueue, take_due
from .selector import Selector
from .tasks import UNNAMED, SimTask, enter, name_of_function, real_task
from .threads import creation_site
from .watched import WatchedQueue

# Any: their private names are in no stub.
_loop_class: Any = asyncio.selector_events.BaseSelectorEventLoop
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
_new_task = SimTask.__new__
_init_task = real_task.__init__
_popleft = deque.popleft


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
                    take_due(loop)
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
    if isinstance(source, real_task):
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
    return name_of_function(handle._callback)


def scheduled_at(handle: Any) -> str:
    """Return `file.py:line` that scheduled a callback from another thread, empty if not known."""
    if not handle._source_traceback:
        return ""
    file, line, *_ = handle._source_traceback[-1]
    return f"{PurePath(file).name}:{line}"


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
    enter(task, world, loop, coro)
    if name is None:
        world.task_names = task._ordinal = world.task_names + 1
        name = UNNAMED
    _init_task(task, coro, loop=loop, name=name, context=context)
    return task
