"""Collects what a picture of a run shows beside its events: waits, locks held, how many are inside.

    a thread is switched away from ──► park          a task's step ends ──► park, done
    somebody else is about to act  ──► hold, free    a gauge changes    ──► gauge

Only the replay of a failure is looked at like this: what looks is put into its world, and runs
without a detailed history do not pay for it. It changes no choice, takes no simulated lock, and
does not know what is shown in the end.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from greenlet import getcurrent

from harness.core.history import Aside, AsideKind, History, Who
from harness.core.kernel import Actor

from . import waits
from .account import place
from .fibers import World
from .tasks import innermost_frame
from .threads import Lock, is_plumbing


def watch(world: World, history: History) -> Callable[[], None]:
    """Look on at a world that has not run yet; return what ends that.

    An account of it must be kept already.
    """
    onlooker = _Onlooker(world, history)
    world.__dict__["note"] = onlooker.note_after(world.note)
    world.__dict__["switch"] = onlooker.switch_after(world.switch)
    world.__dict__["onlooker"] = onlooker
    world.__dict__["held"] = onlooker.held

    def end() -> None:
        world.__dict__.pop("held", None)
        world.__dict__.pop("onlooker", None)

    return end


def gauge(world: World, counted: object) -> None:
    """Follow a gauge, or that of a double, where somebody looks on."""
    onlooker = world.__dict__.get("onlooker")
    if onlooker is not None:
        onlooker.follow(getattr(counted, "gauge", counted))


def promised(world: World, check: Any) -> None:
    """Note how many a promise lets be inside, or call, where somebody looks on."""
    onlooker = world.__dict__.get("onlooker")
    if onlooker is not None:
        onlooker.on_promise(check)


class _Onlooker:
    """Looks on at one run. One thread.

    invariant: a lock is in `_holders` iff it was held when its world was last looked at.
    """

    def __init__(self, world: World, history: History) -> None:
        self._world = world
        self._history = history
        # Who acted last: what has changed since then is their doing.
        self._last: Who | None = None
        # By who: the locks that they have come to so far, each with where.
        self._touched: dict[Who, dict[Lock, tuple[str, Any]]] = {}
        self._holders: dict[object, Who] = {}
        self._numbers: dict[object, int] = {}
        # By thread: the task whose step its loop made last.
        self._steps: dict[str, tuple[Any, Who]] = {}
        self._gauges: set[int] = set()

    def note_after(self, note: Callable[..., None]) -> Callable[..., None]:
        """Return what stands for `World.note`."""
        world = self._world

        def noting(operation: str, target: str, outcome: str = "", **more: Any) -> None:
            subject = more.pop("subject", None)
            if world.kernel.current is not None and not world.stopping:
                who = more.get("by") or world.who_is_here()
                self._look(who)
                if operation == "resume":
                    self._end_step(who.thread)
                    self._steps[who.thread] = (subject, who)
                lock = _lock_behind(subject)
                if lock is not None and operation == "point":
                    found = (more.get("where", ""), more.get("site"))
                    self._touched.setdefault(who, {})[lock] = found
            note(operation, target, outcome, **more)

        return noting

    def switch_after(
        self, switch: Callable[[Actor | None], None]
    ) -> Callable[[Actor | None], None]:
        """Return what stands for `World.switch`."""
        world = self._world

        def switching(target: Actor | None) -> None:
            leaver: Any = getattr(getcurrent(), "actor", None)
            if leaver is not None and not world.stopping:
                thread = Who(leaver.path_text, leaver.name)
                if not leaver.ended:
                    self._look(self._last or thread)
                if hasattr(leaver.awaits, "select"):
                    self._end_step(thread.thread)
                elif not leaver.runnable and not leaver.ended:
                    self._park_thread(thread, leaver)
                elif isinstance(leaver.awaits, Lock):
                    # It stands before a free lock, and waits if somebody takes it.
                    where = place(_somebodys(sys._getframe(1)))
                    self._add("park", thread, where=where, value=self._number(leaver.awaits))
            switch(target)

        return switching

    def follow(self, followed: Any) -> None:
        """Note each change of a gauge, before any check hears of it."""
        subscribers = getattr(followed, "_subscribers", None)
        if not isinstance(subscribers, dict) or id(followed) in self._gauges:
            return
        self._gauges.add(id(followed))

        def changed(value: int) -> None:
            if self._world.kernel.current is not None:
                who, where = self._world.who_is_here(), place(_somebodys(sys._getframe(1)))
                name, total = followed.name, followed.total
                self._add("gauge", who, text=name, where=where, value=value, total=total)

        # In front of all others, and not by `subscribe`, which takes a simulated lock.
        followed._subscribers = {0: changed, **subscribers}

    def on_promise(self, check: Any) -> None:
        """Note the bound of a `MaxInFlight`, or of `Calls` that counts all calls."""
        kind = type(check).__name__
        target = getattr(check, "target" if kind == "MaxInFlight" else "pool", None)
        bounded: Any = getattr(target, "gauge", target)
        if kind not in ("MaxInFlight", "Calls") or not hasattr(bounded, "name"):
            return
        self.follow(bounded)
        who, name = self._world.who_is_here(), bounded.name
        if kind == "MaxInFlight":
            other = "reached" if check.reached else ""
            self._add("bound", who, other=other, text=name, value=check.n)
        elif (check.id, check.lane, check.method) == (None, None, None):
            most = check.at_most if check.n is None else check.n
            if most is not None:
                self._add("bound", who, other="calls", text=name, value=most)

    def held(self, lock: object, *, taken: bool) -> None:
        """Note that the task which runs has taken a lock of its loop, or given it back."""
        if self._world.kernel.current is None or self._world.stopping:
            return
        who = self._world.who_is_here()
        if taken:
            self._hold(lock, who, place(_somebodys(sys._getframe(2))), None)
        else:
            self._free(lock, who)

    # --- what has changed -------------------------------------------------------------------------

    def _look(self, who: Who) -> None:
        """Note which of the locks that the last one has come to are held, or no longer are."""
        last, self._last = self._last, who
        for lock, (where, site) in self._touched.get(last, {}).items() if last is not None else ():
            holder = self._holders.get(lock)
            assert last is not None, "somebody came to a lock"
            if isinstance(lock.owner, Actor) and lock.owner.path_text == last.thread:
                if holder is None or holder.thread != last.thread:
                    self._hold(lock, last, where, site)
            elif holder is not None and lock.owner is None:
                self._free(lock, holder)

    def _hold(self, lock: object, who: Who, where: str, site: Any) -> None:
        if lock in self._holders:
            self._free(lock, self._holders[lock])
        self._holders[lock] = who
        self._add("hold", who, where=where, value=self._number(lock), site=site)

    def _number(self, lock: object) -> int:
        return self._numbers.setdefault(lock, len(self._numbers) + 1)

    def _free(self, lock: object, who: Who) -> None:
        if self._holders.pop(lock, None) is not None:
            self._add("free", who, value=self._numbers[lock])

    def _end_step(self, thread: str) -> None:
        """Say how the task stands whose step a loop has made last."""
        task, who = self._steps.pop(thread, (None, None))
        if task is None or who is None:
            return
        if task.done():
            ending = "was cancelled" if task.cancelled() else "has ended"
            # Not `exception()`: whoever asks for it has taken it.
            raised = None if task.cancelled() else getattr(task, "_exception", None)
            self._add("done", who, text=f"raised {type(raised).__name__}" if raised else ending)
        elif waits.is_parked(task):
            with self._world.silence():
                wait = waits.wait_of_task(task)
            self._add("park", who, text=wait.what, where=place(innermost_frame(task)))

    def _park_thread(self, who: Who, leaver: Actor) -> None:
        """Say what a thread waits for that is about to be switched away from."""
        kernel, frame = self._world.kernel, _somebodys(sys._getframe(2))
        # Another is the current one already, and only the current one has its frames on the stack.
        current, kernel.current = kernel.current, leaver
        try:
            with self._world.silence():
                wait = waits.wait_of(self._world, leaver)
        finally:
            kernel.current = current
        number = self._numbers.get(leaver.awaits, 0) if isinstance(leaver.awaits, Lock) else 0
        self._add("park", who, other=wait.owner, text=wait.what, where=place(frame), value=number)

    def _add(self, kind: AsideKind, who: Who, **more: Any) -> None:
        if not self._world.stopping:
            at, step = len(self._history.events), self._world.kernel.steps
            self._history.asides.append(Aside(at, kind, who, step=step, **more))


def _somebodys(frame: FrameType | None) -> FrameType | None:
    while frame is not None and is_plumbing(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


def _lock_behind(subject: Any) -> Lock | None:
    """Return the lock that code under test names when it uses this object, if it is one."""
    if isinstance(subject, Lock):
        return subject
    inner = getattr(subject, "_lock", None) if hasattr(type(subject), "notify_all") else None
    return inner if isinstance(inner, Lock) else None
