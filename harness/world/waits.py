"""Who waits for what, where, and who could end it: the words of a deadlock or a leak.

A wait is named by the outermost call of the standard library below the first frame that is
somebody's code: `Queue.get at broken.py:19`, never "waits on a lock". It does not judge.
"""

from __future__ import annotations

import asyncio
import linecache
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from types import CodeType, FrameType
from typing import Any, cast

from greenlet import getcurrent

from harness.core.kernel import Actor

from .fibers import World
from .selector import Selector
from .tasks import task_frames
from .threads import Lock, SimpleQueue, is_plumbing

_IDLE_LOOP = "its event loop, which has nothing to run"
_OVERLOOKED_LOOP = "its event loop, which was given something to run and not woken"


@dataclass(frozen=True, slots=True)
class Wait:
    """One thread or task that is parked.

    Args:
        who: its name.
        kind: `thread` or `task`.
        what: the operation it is in and what that waits for, such as
            `Lock.acquire (held by 'caller-2')`.
        where: `file.py:line` of the first frame that is somebody's code.
        source: the source line there, empty if it cannot be read.
        owner: name of the thread that holds what is waited for, empty if nobody does.
        stack: code objects from the outermost to the innermost frame.
        owners: of each of these, the id of the object whose method it is; see `owner_of`.
        crashed: it took a fault and will never run again.
    """

    who: str
    kind: str
    what: str
    where: str
    source: str
    owner: str = ""
    stack: tuple[CodeType, ...] = ()
    crashed: bool = False
    owners: tuple[int, ...] = ()

    @property
    def is_idle_loop(self) -> bool:
        """Whether it is a thread whose event loop has nothing to do: its tasks are what matters."""
        return self.what in (_IDLE_LOOP, _OVERLOOKED_LOOP)

    @property
    def is_overlooked_loop(self) -> bool:
        """Whether it is a thread whose event loop another thread has left asleep."""
        return self.what == _OVERLOOKED_LOOP

    def __str__(self) -> str:
        source = f": {self.source}" if self.source else ""
        return f"'{self.who}' waits in {self.what} at {self.where}{source}"


def frames_of(world: World, actor: Actor) -> Iterator[FrameType]:
    """Yield the frames of a thread, innermost first."""
    fiber = actor.fiber
    # Whoever runs has its frames on the stack of this very call.
    frame = (
        sys._getframe(1)
        if actor is world.kernel.current and fiber is getcurrent()
        else fiber.gr_frame
    )
    while frame is not None:
        yield frame
        frame = frame.f_back


def wait_of(world: World, actor: Actor) -> Wait:
    """Describe what a parked thread waits for."""
    frames = list(frames_of(world, actor))
    operation, user = _outermost_plumbing(frames)
    awaits = actor.awaits
    if operation == "at_point" and isinstance(awaits, Lock):
        # It was let stand at a free lock, which somebody then took: it is in no method of it yet.
        operation = f"{type(awaits).__name__}.acquire"
    owner = ""
    if isinstance(awaits, Lock) and isinstance(awaits.owner, Actor) and awaits.owner is not actor:
        owner = awaits.owner.name
    what = operation
    if isinstance(awaits, Lock) and awaits.role:
        what = (
            operation
            if operation.startswith("Thread.join")
            else f"{operation} for the {awaits.role}"
        )
    elif isinstance(awaits, Selector):
        what = _OVERLOOKED_LOOP if awaits.is_overlooked else _IDLE_LOOP
    elif isinstance(awaits, SimpleQueue):
        what = f"{operation}"
    elif isinstance(awaits, str):
        what = f"{operation} for {awaits}" if operation else awaits
    elif owner:
        held = f"held by '{owner}'"
        if isinstance(awaits, Lock) and awaits.owner in world.crashed.values():
            held = f"still {held}, which crashed"
        elif isinstance(awaits, Lock) and isinstance(awaits.owner, Actor) and awaits.owner.ended:
            held = f"still {held}, which has ended"
        what = f"{operation} ({held})"
    if not isinstance(awaits, Selector) and _runs_a_loop(frames):
        what += ", inside its own event loop, which cannot run meanwhile"
    where, source = place(user)
    stack = tuple(frame.f_code for frame in reversed(frames))
    crashed = actor in world.crashed.values()
    owners = tuple(map(owner_of, reversed(frames)))
    return Wait(actor.name, "thread", what, where, source, owner, stack, crashed, owners)


def wait_of_task(task: Any) -> Wait:
    """Describe what a parked task waits for."""
    frames = list(task_frames(task))
    operation, user = _outermost_plumbing(frames)
    if not operation:
        operation = "an await"
        waiter = getattr(task, "_fut_waiter", None)
        if isinstance(waiter, asyncio.Task):
            operation = f"an await of task '{waiter.get_name()}'"
        elif waiter is not None:
            operation = "an await of a future"
            operation += " that is done" if waiter.done() else ""
    if is_overlooked(task):
        operation += ", for its event loop to wake up"
    where, source = place(user)
    stack = tuple(frame.f_code for frame in reversed(frames))
    crashed = bool(getattr(task, "crashed", False))
    owners = tuple(map(owner_of, reversed(frames)))
    name = task.get_name()
    return Wait(name, "task", operation, where, source, "", stack, crashed, owners)


def owner_of(frame: FrameType) -> int:
    """Return the id of the first argument of a frame, which is whose method it is; 0 without one.

    An id keeps nothing alive, and is enough for whoever has the object: it is nobody else's.
    """
    code = frame.f_code
    if not code.co_argcount or is_plumbing(code.co_filename):
        return 0
    return id(frame.f_locals.get(code.co_varnames[0]))


def place(frame: FrameType | None) -> tuple[str, str]:
    """Return `file.py:line` and the source line of a frame."""
    if frame is None:
        return "the root of the thread", ""
    filename, line = frame.f_code.co_filename, frame.f_lineno
    source = linecache.getline(filename, line).strip()
    return f"{file_name(filename)}:{line}", source


def file_name(path: str) -> str:
    """Return how verdicts call a file: its name, with the package where every package has one."""
    parts = PurePath(path).parts
    return "/".join(parts[-2:] if parts[-1] == "__init__.py" else parts[-1:])


def pending_tasks(world: World) -> list[Any]:
    """Return the tasks of this run that have not ended, in creation order."""
    tasks = [reference() for reference in world.tasks]
    return [task for task in tasks if task is not None and not task.done()]


def parked(world: World) -> list[Wait]:
    """Describe everyone who is parked: threads by spawn path, then tasks by creation."""
    threads = [actor for path, actor in sorted(world.kernel.live.items()) if not actor.runnable]
    waits = [wait_of(world, actor) for actor in threads]
    tasks = [task for task in pending_tasks(world) if is_parked(task) or is_overlooked(task)]
    return [*waits, *(wait_of_task(task) for task in tasks)]


def is_parked(task: Any) -> bool:
    """Tell whether a task waits for something that has not happened, or has crashed."""
    waiter = getattr(task, "_fut_waiter", None)
    return bool(getattr(task, "crashed", False)) or (waiter is not None and not waiter.done())


def is_overlooked(task: Any) -> bool:
    """Tell whether a task could go on, if only its loop were awake.

    While a loop sleeps only other threads give it something to run; `call_soon_threadsafe` wakes
    it, and nothing else does.
    """
    loop = task.get_loop()
    selector = getattr(loop, "_selector", None)
    if not isinstance(selector, Selector) or not selector.is_overlooked:
        return False
    return any(getattr(handle._callback, "__self__", None) is task for handle in loop._ready)


def cycle(world: World) -> list[Actor]:
    """Return a circle of threads that each wait for the next one, or an empty list.

    Each waits for a lock that the next one holds, or for its end. Who waits for a lock that it has
    itself taken is a circle of one.
    """
    for start in sorted(world.kernel.live.values(), key=lambda actor: actor.path):
        seen: list[Actor] = []
        actor: Actor | None = start
        while actor is not None and actor not in seen:
            seen.append(actor)
            owner = actor.awaits.owner if isinstance(actor.awaits, Lock) else None
            actor = owner if isinstance(owner, Actor) and not owner.ended else None
            # Conditions and their like have who waits take a lock twice, for others to release.
            if actor is seen[-1] and not _took_it_itself(world, actor):
                actor = None
        if actor is not None:
            return seen[seen.index(actor) :]
    return []


def _took_it_itself(world: World, actor: Actor) -> bool:
    """Tell whether the lock that `actor` waits for is wanted by somebody's own code."""
    operation, _ = _outermost_plumbing(list(frames_of(world, actor)))
    return operation == "Lock.acquire"


@dataclass(frozen=True, slots=True)
class Link:
    """One in a circle: who waits, and for what that the next one has.

    Args:
        who: its name.
        lock: what reports call the lock that it waits for, empty if it waits for an end.
        end: whose end it waits for, such as `end of thread 'B'`, empty if it waits for a lock.
        owner: name of the next one.
    """

    who: str
    lock: str
    end: str
    owner: str

    def __str__(self) -> str:
        held = "itself" if self.owner == self.who else self.owner
        what = f"the {self.end}" if self.end else f"{self.lock}, held by {held}"
        return f"{self.who} waits for {what}"


def links_of(circle: list[Actor]) -> list[Link]:
    """Describe a circle of threads."""
    links = []
    for actor in circle:
        lock = actor.awaits
        assert isinstance(lock, Lock), "what makes a circle"
        owner = lock.owner
        assert isinstance(owner, Actor), "as above"
        links.append(Link(actor.name, lock.called(), lock.role, owner.name))
    return links


def links_of_tasks(world: World) -> list[Link]:
    """Describe a circle of tasks that each wait for the next one; empty if there is none.

    Each waits for its end, or for a lock that it holds, which only a recorded run knows.
    """
    tasks = [task for task in pending_tasks(world) if is_parked(task) and not task.crashed]
    for start in tasks:
        circle = _way_back([start], tasks)
        if circle:
            nexts = [*circle[1:], circle[0]]
            return [_link(one, other) for one, other in zip(circle, nexts, strict=True)]
    return []


def _way_back(way: list[Any], tasks: list[Any]) -> list[Any]:
    """Return the first way on from the last of `way` that leads to its first, each met once."""
    seen: set[Any] = set()
    ways = [way]
    while ways:
        way = ways.pop()
        for task in reversed(_awaited_by(way[-1])):
            if task is way[0]:
                return way
            if task in tasks and task not in seen:
                seen.add(task)
                ways.append([*way, task])
    return []


def _awaited_by(task: Any) -> list[Any]:
    """Return the tasks without which a parked task cannot go on, as far as they are known."""
    awaited = list(_tasks_behind(task._fut_waiter))
    if awaited:
        return awaited
    lock = _lock_awaited_by(task)
    if lock is not None:
        holder = _holder_of(lock)
        return [] if holder is None else [holder]
    groups = (each for each in _plumbing_of(task) if isinstance(each, asyncio.TaskGroup))
    tasks: set[Any] = next((cast("Any", group)._tasks for group in groups), set())
    return sorted(tasks, key=lambda each: getattr(each, "number", 0))


def _tasks_behind(waiter: Any) -> Iterator[Any]:
    """Yield the tasks that a future stands for: itself, or those that it gathers."""
    if isinstance(waiter, asyncio.Task):
        yield waiter
    for each in getattr(waiter, "_children", ()):
        yield from _tasks_behind(each)


def _lock_awaited_by(task: Any) -> Any:
    """Return the lock of a loop that a task waits for, None if it is something else."""
    locks = (each for each in _plumbing_of(task) if isinstance(each, asyncio.Lock))
    return next(locks, None)


def _plumbing_of(task: Any) -> Iterator[object]:
    """Yield whose methods of the standard library a task waits in, innermost first."""
    for frame in task_frames(task):
        if not is_plumbing(frame.f_code.co_filename):
            return
        yield frame.f_locals.get("self")


def _holder_of(lock: Any) -> Any:
    """Return the task that holds a lock of a loop, None if nobody does or it is not known."""
    reference = getattr(lock, "_harness_holder", None)
    return reference() if reference is not None and lock.locked() else None


def _link(task: Any, other: Any) -> Link:
    name = other.get_name()
    end = f"end of task '{name}'" if _lock_awaited_by(task) is None else ""
    return Link(task.get_name(), "an asyncio.Lock", end, name)


def _outermost_plumbing(frames: list[FrameType]) -> tuple[str, FrameType | None]:
    """Return the operation just below the innermost frame of somebody's code, and that frame."""
    operation = ""
    for frame in frames:
        code = frame.f_code
        if not is_plumbing(code.co_filename):
            return operation, frame
        name = getattr(code, "co_qualname", code.co_name)
        if name in _THREAD_STARTS:
            # A thread whose target is itself of the standard library.
            return operation, None
        if "<locals>" not in name:
            operation = _type_name(frame, name)
    return operation, None


_THREAD_STARTS = (
    "Thread.run",
    "Thread._bootstrap_inner",
    "Thread._bootstrap",
    "_worker",
    "Storm._run",
)


def _type_name(frame: FrameType, qualname: str) -> str:
    """Name a method by the class it was called on: `Thread.join`, `Queue.get`, `Lock.acquire`."""
    function = qualname.rpartition(".")[2]
    subject = frame.f_locals.get("self")
    if subject is None or "." not in qualname:
        return qualname
    label = getattr(subject, "name", None)
    cls = type(subject).__name__
    function = {"__enter__": "acquire", "__aenter__": "acquire"}.get(function, function)
    return (
        f"{cls}.{function} of '{label}'"
        if isinstance(label, str) and label
        else f"{cls}.{function}"
    )


def _runs_a_loop(frames: list[FrameType]) -> bool:
    return any(
        frame.f_code.co_name == "_run_once" and is_plumbing(frame.f_code.co_filename)
        for frame in frames
    )
