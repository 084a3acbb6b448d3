"""Who is alive: threads and tasks, by identity, with where they come from and where they are.

A count hides a leak behind whoever ended meanwhile; identities do not. Inside a run everything that
the run knows is seen; outside, every thread of the process and every task of a loop that runs in
one of them. It does not judge what may stay: the caller says that, by a baseline and by names.
"""

from __future__ import annotations

import asyncio
import os
import sys
import sysconfig
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal

from harness.core.clock import to_ns, to_seconds
from harness.errors import Violation, misuse
from harness.world.here import here

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import CodeType, FrameType

REPORT_MAX = 8 * 1024

_FIRST_PAUSE_NS = 1_000_000
_HARNESS = str(PurePath(__file__).parent)
_LIBRARY = sysconfig.get_path("stdlib")


@dataclass(frozen=True, slots=True)
class Alive:
    """One thread or task that is alive.

    Args:
        kind: `thread` or `task`.
        name: how it is called.
        ident: ident of the thread, or of the thread whose loop runs the task; 0 if unknown.
        daemon: whether it is a daemon thread.
        created: `file:line function` that started it; empty outside a run, where nobody records it.
        is_parked: whether it waits. Outside a run: whether its innermost frame is the standard
            library's.
        waits_for: what it waits for and where, or where it runs.
        stack: `file:line function`, innermost first; what is not the standard library's comes
            first.
        frames: the code it is in, outermost first.
        owners: of each of these, the id of the object whose method it is, 0 for none.
        subject: the thread or task itself; it is what two snapshots compare.
    """

    kind: Literal["thread", "task"]
    name: str
    ident: int
    daemon: bool
    created: str
    is_parked: bool
    waits_for: str
    stack: tuple[str, ...] = field(repr=False)
    frames: tuple[CodeType, ...] = field(repr=False)
    owners: tuple[int, ...] = field(repr=False)
    subject: object = field(repr=False)

    @property
    def identity(self) -> object:
        """What stays the same as long as it lives, and is nobody else's."""
        # A thread that `threading` does not know has nothing but its ident.
        return self.subject if isinstance(self.subject, int) else id(self.subject)

    def __str__(self) -> str:
        daemon = " (daemon)" if self.daemon else ""
        created = f", created at {self.created}" if self.created else ""
        return f"{self.kind} '{self.name}'{daemon}{created}, {self.waits_for}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everybody who was alive at one moment.

    Keeps them from being forgotten, so that no identity is used twice.

    Args:
        alive: threads first, then tasks.
        at: seconds on the clock of `time.monotonic()`.
    """

    alive: tuple[Alive, ...]
    at: float

    def since(self, earlier: Snapshot) -> list[Alive]:
        """Return who is alive here and was not in the `earlier` snapshot."""
        known = {one.identity for one in earlier.alive}
        return [one for one in self.alive if one.identity not in known]


def snapshot() -> Snapshot:
    """Take down who is alive.

    From any thread; inside a run it sees the run, and nobody outside it.
    """
    world = here.world
    alive = _alive_outside() if world is None else _alive_in(world)
    return Snapshot(tuple(alive), time.monotonic())


def assert_returned_to_baseline(
    baseline: Snapshot, *, timeout: float = 0.0, slack: int = 0, background: Sequence[str] = ()
) -> None:
    """Wait until everybody who was not in the `baseline` has ended.

    For threads, never inside a loop.

    The caller itself never counts. It looks at least once.

    Args:
        baseline: who may be alive.
        timeout: seconds to wait for the others; virtual inside a run.
        slack: how many newcomers may stay.
        background: names (patterns such as `pool-*`) of newcomers who may stay and do not count.

    Raises:
        Violation: `LeakBound`, with each survivor and its stack, 8 KiB at most.
        HarnessError: negative `timeout` or `slack`.
    """
    start_ns, timeout_ns = _checked(timeout, slack)
    while len(left := _newcomers(baseline, background)) > slack:
        waited_ns = time.monotonic_ns() - start_ns
        if waited_ns >= timeout_ns:
            raise _leak(left, timeout, slack)
        thread = next(
            (one.subject for one in left if isinstance(one.subject, threading.Thread)), None
        )
        if thread is None:
            time.sleep(_pause(waited_ns, timeout_ns))
        else:
            thread.join(to_seconds(timeout_ns - waited_ns))


async def async_assert_returned_to_baseline(
    baseline: Snapshot, *, timeout: float = 0.0, slack: int = 0, background: Sequence[str] = ()
) -> None:
    """Wait until everybody who was not in the `baseline` has ended, letting the loop run meanwhile.

    Args:
        baseline: who may be alive.
        timeout: seconds to wait for the others; virtual inside a run.
        slack: how many newcomers may stay.
        background: names (patterns) of newcomers who may stay and do not count.

    Raises:
        Violation: `LeakBound`, with each survivor and its stack, 8 KiB at most.
        HarnessError: negative `timeout` or `slack`.
    """
    loop = asyncio.get_running_loop()
    start_ns, timeout_ns = _checked(timeout, slack)
    while len(left := _newcomers(baseline, background)) > slack:
        waited_ns = time.monotonic_ns() - start_ns
        if waited_ns >= timeout_ns:
            raise _leak(left, timeout, slack)
        task = next((one.subject for one in left if _is_of_loop(one.subject, loop)), None)
        if isinstance(task, asyncio.Task):
            await asyncio.wait([task], timeout=to_seconds(timeout_ns - waited_ns))
        else:
            await asyncio.sleep(_pause(waited_ns, timeout_ns))


def frames_of(thread: threading.Thread) -> FrameType | None:
    """Return the innermost frame of a thread, simulated or real.

    None if it has none (yet, or any more).
    """
    world = here.world
    if world is not None:
        return _world_frames(world).get(thread)
    return sys._current_frames().get(thread.ident or 0)  # noqa: SLF001  # its documented, only name


# ---- inside a run ----


def _alive_in(world: Any) -> Iterator[Alive]:
    # The engine is not needed outside a run.
    from harness.world import waits  # noqa: PLC0415  # as said above
    from harness.world.tasks import task_frames  # noqa: PLC0415  # as said above

    for _, actor in sorted(world.kernel.live.items()):
        fiber = actor.fiber
        wait = "" if actor.runnable else str(waits.wait_of(world, actor))
        yield _seen(
            "thread",
            actor.name,
            list(waits.frames_of(world, actor)),
            subject=fiber.thread or actor,
            ident=fiber.ident,
            daemon=bool(getattr(fiber.thread, "daemon", False)),
            created=_site(actor.born),
            wait=wait.partition("' ")[2],
            is_parked=not actor.runnable,
        )
    for task in waits.pending_tasks(world):
        waiter = getattr(task, "_fut_waiter", None)
        is_parked = waiter is not None and not waiter.done()
        wait = str(waits.wait_of_task(task)) if is_parked else ""
        yield _seen(
            "task",
            task.get_name(),
            list(task_frames(task)),
            subject=task,
            created=_site(getattr(task, "born", None)),
            wait=wait.partition("' ")[2],
            is_parked=is_parked,
        )


def _world_frames(world: Any) -> dict[threading.Thread, FrameType]:
    """Return the innermost frame of each simulated thread that has one."""
    from harness.world import waits  # noqa: PLC0415  # as above

    frames: dict[threading.Thread, FrameType] = {}
    for actor in world.kernel.live.values():
        thread = actor.fiber.thread
        frame = next(waits.frames_of(world, actor), None)
        if thread is not None and frame is not None:
            frames[thread] = frame
    return frames


def _site(born: Any) -> str:
    if not born:
        return ""
    filename, line, function = born
    return f"{PurePath(filename).name}:{line} {function}"


# ---- outside ----


def _alive_outside() -> Iterator[Alive]:
    from harness.world.tasks import task_frames  # noqa: PLC0415  # as above

    innermost = sys._current_frames()  # noqa: SLF001  # its documented, only name
    threads = {thread.ident or 0: thread for thread in threading.enumerate()}
    loops: dict[int, tuple[int, asyncio.AbstractEventLoop]] = {}
    for ident in sorted({*innermost, *threads}):
        thread = threads.get(ident)
        frames = list(_up(innermost.get(ident)))
        for loop in _loops_in(frames):
            loops[id(loop)] = (ident, loop)
        yield _seen(
            "thread",
            f"thread {ident}" if thread is None else thread.name,
            frames,
            subject=ident if thread is None else thread,
            ident=ident,
            daemon=thread is None or thread.daemon,
            is_parked=ident != threading.get_ident() and bool(frames) and _is_library(frames[0]),
        )
    for ident, loop in loops.values():
        for task in sorted(asyncio.all_tasks(loop), key=asyncio.Task.get_name):
            is_parked = getattr(task, "_fut_waiter", None) is not None
            frames = list(task_frames(task))
            name = task.get_name()
            yield _seen("task", name, frames, subject=task, ident=ident, is_parked=is_parked)


def _loops_in(frames: Iterable[FrameType]) -> Iterator[asyncio.AbstractEventLoop]:
    """Yield the event loops that run in a stack: a loop's tasks are found only through the loop."""
    for frame in frames:
        if frame.f_code.co_name == "run_forever":
            loop = frame.f_locals.get("self")
            if isinstance(loop, asyncio.AbstractEventLoop):
                yield loop


# ---- one of them ----


def _seen(
    kind: Literal["thread", "task"],
    name: str,
    frames: Sequence[FrameType],
    *,
    subject: object,
    is_parked: bool,
    ident: int = 0,
    daemon: bool = False,
    created: str = "",
    wait: str = "",
) -> Alive:
    """Describe somebody by frames, innermost first."""
    from harness.world.waits import owner_of  # noqa: PLC0415  # as above

    ours = [frame for frame in frames if not _is_library(frame)]
    shown = [*ours, *(frame for frame in frames if _is_library(frame))]
    return Alive(
        kind,
        name,
        ident,
        daemon,
        created,
        is_parked,
        wait or _where(frames, ours, is_parked=is_parked),
        tuple(map(_line, shown)),
        tuple(frame.f_code for frame in reversed(frames)),
        tuple(map(owner_of, reversed(frames))),
        subject,
    )


def _where(frames: Sequence[FrameType], ours: Sequence[FrameType], *, is_parked: bool) -> str:
    """Say where somebody is: the innermost frame of somebody's code, and the call below it."""
    if not ours:
        return f"in {_line(frames[0])}" if frames else "not started"
    called = frames[: frames.index(ours[0])]
    operation = f" in {called[-1].f_code.co_qualname}" if called else ""
    return f"{'waits' if is_parked else 'is'}{operation} at {_line(ours[0])}"


def _up(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_library(frame: FrameType) -> bool:
    filename = frame.f_code.co_filename
    if filename.startswith(("<frozen", _HARNESS)):
        return True
    return filename.startswith(_LIBRARY) and "-packages" not in filename


def _line(frame: FrameType) -> str:
    code = frame.f_code
    # Not PurePath: this is done for every frame of everybody alive.
    name = code.co_filename.rpartition(os.sep)[2]
    return f"{name}:{frame.f_lineno} {code.co_qualname}"


# ---- judging ----


def _newcomers(baseline: Snapshot, background: Sequence[str]) -> list[Alive]:
    myself = {id(threading.current_thread())}
    with suppress(RuntimeError):  # no loop runs here
        myself.add(id(asyncio.current_task()))
    return [
        one
        for one in snapshot().since(baseline)
        if id(one.subject) not in myself
        and not any(fnmatchcase(one.name, pattern) for pattern in background)
    ]


def _is_of_loop(subject: object, loop: asyncio.AbstractEventLoop) -> bool:
    return isinstance(subject, asyncio.Task) and subject.get_loop() is loop


def _pause(waited_ns: int, timeout_ns: int) -> float:
    """Return seconds until the next look: pauses grow, so that a long wait is no storm of looks."""
    return to_seconds(min(max(_FIRST_PAUSE_NS, waited_ns // 8), timeout_ns - waited_ns))


def _checked(timeout: float, slack: int) -> tuple[int, int]:
    """Return now and the time-out in nanoseconds, or raise HarnessError."""
    if slack < 0:
        raise misuse("slack", slack, "must not be negative.", "Use 0: nobody may stay.")
    return time.monotonic_ns(), to_ns(timeout, "timeout")


def _leak(left: Sequence[Alive], timeout: float, slack: int) -> Violation:
    """Make the verdict; what does not fit into 8 KiB is counted."""
    kinds = Counter(one.kind for one in left)
    counts = [
        f"{n} {kind}{'' if n == 1 else 's'}" for kind, n in sorted(kinds.items(), reverse=True)
    ]
    rows: list[tuple[str, str]] = []
    room = REPORT_MAX
    for shown, one in enumerate(left):
        text = "\n".join([str(one), *(f"  {line}" for line in one.stack)])
        room -= len(text.encode())
        if room < 0:
            rows.append(("survivor", f"and {len(left) - shown} more"))
            break
        rows.append(("survivor", text))
    summary = f"{' and '.join(counts)} outlived the baseline by {timeout:g} s, allowed {slack}."
    return Violation("LeakBound", summary, rows)
