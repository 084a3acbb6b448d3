"""Keeps account of what made a run other than the plain one, beside its history, for reports.

    kernel.pick ──► stop, order      switch ──► wait, back      faults, draws ──► fault, draw
    the end of a thread ──► done

Runs without a history do not pay for it: what notes is put into a world by `keep`. It changes no
choice, and does not know which of the notes matter.
"""

from __future__ import annotations

import asyncio
import sys
import weakref
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, Final, Literal

from greenlet import getcurrent

from harness.core.history import Aside, AsideKind, History, Who
from harness.core.kernel import Actor, text_of
from harness.faults import Fired

from .fibers import World
from .here import here
from .tasks import name_of_function
from .threads import is_plumbing

#: What is told of a slow machine.
EARLY: Final = "time passed to the next deadline although {who} could go on"
STALLED: Final = "time passed before {who} read the clock"


def keep(world: World, history: History) -> Callable[[], None]:
    """Have a world that has not run yet note what is out of the ordinary; return what ends that."""
    kernel, picked, switch, note = world.kernel, world.kernel.pick, world.switch, world.note
    # By spawn path: a thread forgets what it was to run once it has run it.
    runs: dict[str, str] = {}

    def pick(options: Sequence[Any], could_stay: bool) -> int:
        choice = kernel.choose(len(options)) if picked is None else picked(options, could_stay)
        if not choice:
            return choice
        if options[choice] is kernel.clock:
            who = world.who_is_here() if could_stay else _who(options[0])
            where = place(_somebodys(sys._getframe(1))[0]) if could_stay else ""
            _note(world, history, "draw", who, text=EARLY, where=where)
        elif could_stay:
            _note(world, history, "stop", world.who_is_here(), where=_place_of_stop())
        else:
            first = options[0].name
            _note(world, history, "order", _who(options[choice]), other=first)
        return choice

    def noting_switch(target: Actor | None) -> None:
        leaver: Any = getattr(getcurrent(), "actor", None)
        # Who waits for time that has passed already can run again, and has waited all the same.
        if leaver is not None and not leaver.ended and (leaver.fired or not leaver.runnable):
            if not hasattr(leaver.awaits, "select"):
                where = place(_somebodys(sys._getframe(1))[0])
                _note(world, history, "wait", _who(leaver), where=where)
        switch(target)
        if leaver is not None and not world.stopping:
            _note(world, history, "back", _who(leaver))

    def noting(operation: str, target: str, outcome: str = "", **more: Any) -> None:
        note(operation, target, outcome, **more)
        if operation == "spawn":
            actor = world.roots[-1]
            runs[actor.path_text] = _run_by(actor.fiber.thread)
        elif operation == "end" and kernel.current is not None:
            who = _who(kernel.current)
            _note(world, history, "done", who, text=runs.get(who.thread, ""))

    def on_stall() -> None:
        where = place(_somebodys(sys._getframe(1))[0])
        _note(world, history, "draw", world.who_is_here(), text=STALLED, where=where)

    def on_fired(fired: Fired) -> None:
        _note(world, history, "fault", world.who_is_here(), text=_struck(fired))

    world.keep_account(pick, noting_switch)
    world.__dict__["note"] = noting
    world.on_stall = on_stall
    world.faults.on_fired = on_fired
    return _note_holders()


def _note_holders() -> Callable[[], None]:
    """Have locks of loops know which task holds them; return what ends that.

    They do not by themselves, and what stands in the way of each would be paid for by every run.
    """
    real_acquire, real_release = asyncio.Lock.acquire, asyncio.Lock.release

    async def acquire(self: asyncio.Lock) -> Literal[True]:
        taken = await real_acquire(self)
        _note_holder(self, taken=True)
        return taken

    def release(self: asyncio.Lock) -> None:
        real_release(self)
        _note_holder(self, taken=False)

    def end() -> None:
        asyncio.Lock.acquire = real_acquire  # type: ignore[method-assign]  # as it was
        asyncio.Lock.release = real_release  # type: ignore[method-assign]  # as it was

    asyncio.Lock.acquire = acquire  # type: ignore[method-assign]  # for this one run
    asyncio.Lock.release = release  # type: ignore[method-assign]  # as above
    return end


def _note_holder(lock: Any, *, taken: bool) -> None:
    world = here.world
    if world is None or world.current is None or world.stopping:
        return
    task = asyncio.current_task() if taken else None
    # It keeps nobody alive who would not be in a run without a record.
    lock._harness_holder = None if task is None else weakref.ref(task)
    held = world.__dict__.get("held")
    if held is not None:
        held(lock, taken=taken)


def out_of_turn(world: World, doer: tuple[str, str], other: str) -> None:
    """Note that an event loop lets a task or callback go on before the one whose turn it was."""
    assert world.history is not None, "only called where an account is kept"
    current = world.current
    assert current is not None, "a loop runs in a thread"
    who = Who(current.path_text, current.name, *doer)
    _note(world, world.history, "order", who, other=other)


def resume(world: World, task: Any, frame: FrameType | None) -> None:
    """Note that a task goes on in the thread that runs, from where its coroutine stands."""
    current = world.current
    assert current is not None, "a loop runs in a thread"
    name = task.get_name()
    by = Who(current.path_text, current.name, text_of(task.path), name)
    world.note("resume", name, where=place(frame), by=by, subject=task)


def draw(world: World, options: int) -> int:
    """Return a choice of the tape among `options`, and note what is not the default."""
    choice = world.tape.choose(options)
    if choice and world.history is not None and world.current is not None:
        where = place(_somebodys(sys._getframe(1))[0])
        text = f"{{who}} drew {choice} instead of 0"
        _note(world, world.history, "draw", world.who_is_here(), text=text, where=where)
    return choice


def place(frame: FrameType | None) -> str:
    """Return `file:line` of a frame, empty if there is none."""
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _note(world: World, history: History, kind: AsideKind, who: Who, **more: Any) -> None:
    if not world.stopping:
        step = world.kernel.steps
        history.asides.append(Aside(len(history.events), kind, who, step=step, **more))


def _who(actor: Actor) -> Who:
    return Who(actor.path_text, actor.name)


def _run_by(thread: Any) -> str:
    """Return what a thread that has not begun will run, such as `Event.set`; empty if unknown."""
    if thread is None:
        return ""
    target = getattr(thread, "_harness_root", None) or getattr(thread, "_target", None)
    return name_of_function(target or thread.run).rpartition("<locals>.")[2]


def _place_of_stop() -> str:
    """Return where the code stands that made a decision: empty between two steps of a loop."""
    frame, is_between = _somebodys(sys._getframe(1))
    return "" if is_between else place(frame)


def _somebodys(frame: FrameType | None) -> tuple[FrameType | None, bool]:
    """Return the innermost frame of somebody's code, and whether a loop's turn lies below it."""
    is_between = False
    while frame is not None and is_plumbing(frame.f_code.co_filename):
        is_between = is_between or frame.f_code.co_name == "_run_once"
        frame = frame.f_back
    return frame, is_between


def _struck(fired: Fired) -> str:
    site = fired.site
    verdict = fired.verdict
    raised = getattr(verdict, "exception", None)
    name = type(verdict).__name__
    if raised is not None:
        kind = raised if isinstance(raised, type) else type(raised)
        name = kind.__name__ if issubclass(kind, BaseException) else name
    where = f"at {site.kind} {site.ordinal} of '{site.name}'"
    # At an await it is the task itself that is named.
    return f"{name} {where}" if site.name == site.who else f"{name} struck {site.who} {where}"
