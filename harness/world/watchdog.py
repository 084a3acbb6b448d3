"""What must not be swallowed or waited for: time-outs, Ctrl-C, code that blocks outside the run.

The standard library catches BaseException in threads, executor jobs and tasks, so an exception
raised there by a signal handler would be taken for the job's own. Here the handler leaves the run
at once instead. A step that does not end within the watchdog's real seconds is broken off by a
signal, which also interrupts real locks and system calls.

It does not know what a run is for. Where there are no such signals, or the run is not in the main
thread, a step that never ends is reported and the process ends: nothing can interrupt it.
"""

from __future__ import annotations

import _thread
import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from greenlet import getcurrent

from harness.errors import HarnessError, blocked_outside

from .fibers import World
from .here import here
from .tasks import task_frames
from .threads import is_plumbing
from .waits import frames_of, is_parked, pending_tasks, place

_allocate_lock = _thread.allocate_lock
_start_new_thread = _thread.start_new_thread
_get_ident = _thread.get_ident
_monotonic = time.monotonic

#: Exit status of a process that could not be interrupted.
STUCK_STATUS = 70

#: Calls shown of one thread or task.
FRAMES_MAX = 20

_PACKAGE = str(Path(__file__).parents[1])


class Watchdog:
    """Sees to it that every step of the runs in this thread ends. One thread makes and stops it.

    Args:
        seconds: real time that one step may take.
        out_of_reach: locks that could not be simulated, named in the message.
    """

    def __init__(self, seconds: float, out_of_reach: Callable[[], list[str]]) -> None:
        self.seconds = seconds
        self.out_of_reach = out_of_reach
        self.world: World | None = None
        self._thread_ident = _get_ident()
        self._stopped = _allocate_lock()
        self._over = _allocate_lock()
        self._can_signal = (
            hasattr(signal, "pthread_kill")
            and threading.current_thread() is threading.main_thread()
        )

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch inside the block."""
        self._stopped.acquire()
        self._over.acquire()
        restore = self._install_handlers()
        _start_new_thread(self._watch, ())
        try:
            yield
        finally:
            self._stopped.release()
            # The thread is gone before the block is left: nothing of ours outlives it.
            self._over.acquire()
            restore()

    def _watch(self) -> None:
        seen: tuple[World | None, int] = (None, -1)
        since = _monotonic()
        try:
            # Looked at more often than is allowed to pass, or a step could take twice as long.
            while not self._stopped.acquire(timeout=self.seconds / 8):
                world = self.world
                now = (world, world.kernel.steps if world is not None else -1)
                if now != seen:
                    seen, since = now, _monotonic()
                elif _monotonic() - since >= self.seconds:
                    since = _monotonic()
                    if world is not None and world.kernel.current is not None:
                        self._break_off()
        finally:
            self._over.release()

    def _break_off(self) -> None:
        if self._can_signal:
            signal.pthread_kill(self._thread_ident, signal.SIGUSR2)
            return
        # Not where the code under test prints: that may be shown to nobody.
        errors = sys.__stderr__ or sys.stderr
        errors.write(
            "harness: blocked outside the simulation, and this step cannot be interrupted here:\n"
        )
        faulthandler.dump_traceback(file=errors)
        os._exit(STUCK_STATUS)

    # --- signals ----------------------------------------------------------------------------------

    @contextmanager
    def heeding(self) -> Iterator[None]:
        """Inside the block, have handlers leave a run that others have put in place meanwhile."""
        restore = self._install_handlers()
        try:
            yield
        finally:
            restore()

    def _install_handlers(self) -> Callable[[], None]:
        """Put handlers of ours in place, where there are none; return what takes them away."""
        if threading.current_thread() is not threading.main_thread():
            return lambda: None
        taken: list[tuple[int, Any, Any]] = []

        def take(number: int, handler: Any, ours: Any) -> None:
            taken.append((number, handler, ours))
            signal.signal(number, ours)

        for name in ("SIGALRM", "SIGINT", "SIGTERM"):
            number = getattr(signal, name, None)
            handler = signal.getsignal(number) if number is not None else None
            if number is not None and callable(handler) and not isinstance(handler, _Leaving):
                take(number, handler, _Leaving(handler))
        if self._can_signal:
            handler = signal.getsignal(signal.SIGUSR2)
            if handler != self._on_stuck:
                take(signal.SIGUSR2, handler, self._on_stuck)

        def restore() -> None:
            for number, handler, ours in reversed(taken):
                # Whoever has replaced ours since has had a reason.
                if signal.getsignal(number) == ours:
                    signal.signal(number, handler if handler is not None else signal.SIG_DFL)

        return restore

    def _on_stuck(self, signum: int, frame: FrameType | None) -> None:
        world = here.world
        if world is None:
            return
        if world.stopping:
            _leave_behind(world, frame)
            return
        world.abort(stuck_at(self.seconds, frame, self.out_of_reach()))


def _leave_behind(world: World, frame: FrameType | None) -> None:
    """Give up the fiber that runs: it was told to stop, and goes on without ever waiting."""
    actor = world.kernel.current
    if actor is None or getcurrent() is not actor.fiber:
        return
    while frame is not None and is_plumbing(frame.f_code.co_filename):
        frame = frame.f_back
    where, source = place(frame)
    shown = f" ({source})" if source else ""
    world.failure = HarnessError(
        f"'{actor.name}' refuses to stop: the run is over, and it goes round at {where}{shown}. "
        "It swallows every BaseException: let it catch Exception, or end it before the scenario "
        "ends."
    )
    hub: Any = actor.fiber.parent
    while True:
        # Told once more, it would go on: whoever tears the run down gives it up at last.
        with suppress(BaseException):
            hub.switch()


def stuck_at(seconds: float, frame: FrameType | None, out_of_reach: list[str]) -> HarnessError:
    """Name the step that did not end."""
    while frame is not None and is_plumbing(frame.f_code.co_filename):
        frame = frame.f_back
    where, _ = place(frame)
    error = blocked_outside(seconds, where)
    if out_of_reach:
        return type(error)(
            f"{error} Not in reach of the simulation: {'; '.join(out_of_reach[:3])}."
        )
    return error


class _Leaving:
    """A signal handler whose exceptions end the run, so that nobody in the run can take them."""

    def __init__(self, handler: Callable[..., Any]) -> None:
        self._handler = handler

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        """Do as the handler that it stands for."""
        try:
            self._handler(signum, frame)
        except BaseException as exc:
            world = here.world
            if world is None or world.stopping:
                raise
            exc.add_note(all_stacks(world))
            world.abort(exc)


def all_stacks(world: World) -> str:
    """Return where every thread and task of the run is, for the one who was interrupted."""
    stacks = []
    for _, actor in sorted(world.kernel.live.items()):
        doing = "can run" if actor.runnable else "waits"
        stacks.append((f"'{actor.name}' {doing}", frames_of(world, actor)))
    for task in pending_tasks(world):
        doing = "waits" if is_parked(task) else "can run"
        stacks.append((f"'{task.get_name()}' {doing}", task_frames(task)))
    lines = ["threads and tasks of the run, innermost call first:"]
    for title, frames in stacks:
        lines.append(f"  {title}")
        lines.extend(_frame_lines(frames))
    return "\n".join(lines)


def _frame_lines(frames: Iterable[FrameType]) -> list[str]:
    """Return a line for each frame, without those that only run the fiber or the signal handler."""
    shown = [frame for frame in frames if not frame.f_code.co_filename.startswith(_PACKAGE)]
    return [
        f"    {frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_qualname}"
        for frame in shown[:FRAMES_MAX]
    ]
