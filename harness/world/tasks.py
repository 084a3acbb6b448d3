"""Tasks and futures of a run: they know who made them, and stand in sets in the order of making.

Hashes of asyncio's own are addresses, and registers outlive a run: both would give another order in
every run. It does not know whose turn is next.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, CoroutineType, FrameType
from typing import Any

from .fibers import World
from .here import here
from .threads import _plumbing, is_plumbing

real_task = asyncio.Task
real_future = asyncio.Future
_runners: Any = asyncio.runners
_real_cancel_all = _runners._cancel_all_tasks
_real_as_completed = asyncio.as_completed
_real_all_tasks = asyncio.all_tasks
_init_task = real_task.__init__
_get_name = real_task.get_name
_current_task = asyncio.current_task
_reference = weakref.ref
_sleep_code = asyncio.sleep.__code__

#: The name of a task that was given none: the real one is made when somebody asks. Known by its
#: identity, so it is no literal, which could be somebody else's, too.
UNNAMED = str(b"Task-?", "ascii")


class SimTask(real_task):  # type: ignore[type-arg] # Task is generic only for type checkers
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
            enter(self, world, loop, coro)
            if name is None:
                world.task_names = self._ordinal = world.task_names + 1
                name = UNNAMED
        _init_task(self, coro, loop=loop, name=name, **kwargs)

    def __hash__(self) -> int:
        return self.number

    def get_name(self) -> str:
        """Return its name."""
        name: str = _get_name(self)
        return f"Task-{self._ordinal}" if name is UNNAMED else name

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


def enter(task: SimTask, world: World, loop: Any, coro: Any) -> None:
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


class SimFuture(real_future):  # type: ignore[type-arg] # Future is generic only for type checkers
    """A future that hashes by the number of its first hashing. One loop."""

    __slots__ = ("number",)

    def __hash__(self) -> int:
        try:
            return self.number
        except AttributeError:
            world = here.world
            self.number: int = id(self) if world is None else world.number()
            return self.number


# --- all of them ----------------------------------------------------------------------------------


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


#: Where asyncio keeps its tasks: 3.11, then later versions. 3.14 has lists of its own.
_registry: Any = getattr(asyncio.tasks, "_scheduled_tasks", getattr(asyncio.tasks, "_all_tasks", 0))
_eager: Any = getattr(asyncio.tasks, "_eager_tasks", ())
#: More tasks than this are left to asyncio to go through.
FEW_TASKS = 100


def _left_pending(loop: Any) -> list[Any]:
    """Return the tasks of a loop that are not done, in the order in which they were made.

    As `all_tasks`, in a tenth of its time where there are few and none of them is left.
    """
    if hasattr(_registry, "data") and not _eager and len(_registry.data) <= FEW_TASKS:
        for reference in list(_registry.data):
            task = reference()
            if task is not None and not task.done() and task.get_loop() is loop:
                break
        else:
            return []
    return _in_order(asyncio.all_tasks(loop))


def cancel_all_tasks(loop: Any) -> None:
    """Note who is left parked and cancel all; stands for `runners._cancel_all_tasks`.

    The real one goes through a set, whose order also tells how large the register of all tasks has
    ever been, which outlives a run.
    """
    world = here.world
    if world is None or world.stopping:
        _real_cancel_all(loop)
        return
    left = _left_pending(loop)
    if not left:
        return
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


# --- one of them ----------------------------------------------------------------------------------


def sleeps(task: SimTask) -> bool:
    """Tell whether what a task waits for is nothing but time."""
    coroutine: Any = task.get_coro()
    while coroutine is not None:
        inner = getattr(coroutine, "cr_await", None)
        if isinstance(inner, CoroutineType) and inner.cr_code is _sleep_code:
            return True
        coroutine = inner if isinstance(inner, CoroutineType) else None
    return getattr(task.get_coro(), "cr_code", None) is _sleep_code


def task_frames(task: Any) -> Iterator[FrameType]:
    """Yield the frames of a suspended task, innermost first."""
    chain: list[FrameType] = []
    awaited: Any = task.get_coro()
    while awaited is not None:
        frame = (
            getattr(awaited, "cr_frame", None)
            or getattr(awaited, "ag_frame", None)
            or getattr(awaited, "gi_frame", None)
        )
        if frame is None:
            break
        chain.append(frame)
        awaited = (
            getattr(awaited, "cr_await", None)
            or getattr(awaited, "ag_await", None)
            or getattr(awaited, "gi_yieldfrom", None)
        )
    yield from reversed(chain)


def innermost_frame(task: Any) -> FrameType | None:
    """Return the innermost frame of somebody's code that a suspended task stands in."""
    somebodys = (each for each in task_frames(task) if not is_plumbing(each.f_code.co_filename))
    return next(somebodys, None)


def name_of_function(function: Any) -> str:
    """Return what a function that somebody was handed is called, as if nothing were simulated."""
    while isinstance(function, functools.partial):
        function = function.func
    name: str = getattr(function, "__qualname__", type(function).__name__)
    return name.replace("SimFuture.", "Future.").replace("SimTask.", "Task.")


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
