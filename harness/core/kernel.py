"""The kernel decides who runs next, when time moves, and what it means that nobody can run.

Principles:
1. Exactly one actor is current; it runs until it blocks, ends, or a decision says otherwise.
2. A decision exists only where at least two actors could go on; it is answered by the tape and by
   nothing else.
3. Choice 0 keeps the current actor; the others follow in the order of their spawn paths, which no
   run can change.
4. Time moves only when nobody can run, and then straight to the earliest deadline. All that is due
   then can run.
5. Whoever asked to settle is woken before time moves.
6. When nobody can run and no deadline is left, the kernel says so; what that means is for others to
   judge.
7. Spinning is seen: reads that go round without anything changing, and clocks that move without
   anything happening.

It is pure: it knows actors by name and path, not how they are made to run, nor what they wait for.

Source: the idle rule is that of Go's testing/synctest package, extended to locks, which are owned
    here.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from heapq import heappop, heappush
from operator import attrgetter
from typing import Any

from .access import BARRIER, Log
from .tape import Pick

Path = tuple[int, ...]

_by_path = attrgetter("path")

#: Decisions without a change after which the current actor, if it never left, must let others run.
FAIR_TURN = 500


class Actor:
    """A thread as the kernel sees it: where it comes from, whether it can run, until when it waits.

    Touched by the one thread of its kernel.

    invariant: an actor is runnable, parked, or ended, and only one of these; it is in
        `Kernel.runnable` iff runnable.
    """

    __slots__ = (
        "__weakref__",
        "awaits",
        "born",
        "children",
        "deadline",
        "ended",
        "fiber",
        "fired",
        "key",
        "last_ran",
        "name",
        "path",
        "points",
        "runnable",
        "site",
        "timer",
        "turn",
        "writes",
    )

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        self.children = 0
        self.runnable = False
        self.ended = False
        # What it waits for; any object, None while it runs.
        self.awaits: object = None
        self.deadline: int | None = None
        # The number of its armed timer, 0 if none; a heap entry with another number is stale.
        self.timer = 0
        # Its timer came due and it has not run since.
        self.fired = False
        self.last_ran = 0
        # How many scheduling points in the code under test it has met.
        self.points = 0
        # What it is about to touch, as a log calls it, where, and whether it changes it; of the
        # last point or wait, if the tape wants to see.
        self.key = 0
        self.site: Any = None
        self.writes = True
        # In whose name it acts: its own, or that of the task whose step its event loop makes.
        self.turn: Any = self
        # What makes it run, if anything does: the kernel never looks.
        self.fiber: Any = None
        self.born: object = None

    @property
    def path_text(self) -> str:
        """The spawn path, such as `0.2.1`."""
        return ".".join(map(str, self.path))

    def __repr__(self) -> str:
        return f"<Actor {self.path_text} {self.name!r}>"


@dataclass(frozen=True, slots=True)
class Limits:
    """When a run stops being waited for.

    Args:
        steps: points without any change, under fair choice, that make a livelock.
        advances: moves of the clock without any change that make a time storm.
        total_steps: points of a whole run; beyond it the run is inconclusive.
        virtual_ns: virtual time of a whole run in nanoseconds; beyond it the run is inconclusive.
        actors: threads of a whole run; beyond it the run is inconclusive.
    """

    steps: int = 10_000
    advances: int = 1_000
    total_steps: int = 2_000_000
    virtual_ns: int = 10**9 * 10**10
    actors: int = 100_000


class Kernel:
    """The state of one run. One thread.

    invariant: every live actor is runnable or parked; `current` is runnable between `resume` and
        `park` or `end`.

    Args:
        choose: the tape, asked for a number below n ≥ 2.
        pick: asked who goes on instead, if given: with those who can, in the order of choices.
        log: filled with what orders the steps of actors, if given.
        limits: when to give up.
        overrun: called with "steps" (nothing changes), "advances" (only the clock moves),
            "total_steps", "virtual_ns" or "actors" when a limit is hit; it is expected not to
            return.
    """

    __slots__ = (
        "_armed",
        "_armed_midway",
        "_limits",
        "_roots",
        "_total_steps",
        "_turn_started",
        "advances",
        "born",
        "changed",
        "choose",
        "current",
        "live",
        "next_look",
        "log",
        "now_ns",
        "overrun",
        "pick",
        "runnable",
        "settling",
        "steps",
        "timers",
    )

    def __init__(
        self,
        choose: Callable[[int], int],
        limits: Limits | None = None,
        overrun: Callable[[str], None] = lambda _limit: None,
        *,
        pick: Pick | None = None,
        log: Log | None = None,
    ) -> None:
        self.choose = choose
        self.pick = pick
        self.log = log
        self.now_ns = 0
        self.steps = 0
        self.current: Actor | None = None
        self.runnable: list[Actor] = []
        self.live: dict[Path, Actor] = {}
        self.timers: list[tuple[int, int, Actor]] = []
        self.settling: list[Actor] = []
        self.advances = 0
        self.born = 0
        # The step at which something last changed.
        self.changed = 0
        self._limits = limits or Limits()
        self._total_steps = self._limits.total_steps
        self.overrun: Any = overrun
        self._roots = 0
        self._armed = 0
        self._armed_midway = 0
        self._turn_started = 0
        self.next_look = FAIR_TURN

    # --- actors -----------------------------------------------------------------------------------

    def spawn(self, name: str, parent: Actor | None = None) -> Actor:
        """Add an actor that can run; its path is its parent's and its number among the children."""
        if parent is None:
            path: Path = (self._roots,)
            self._roots += 1
        else:
            parent.children += 1
            path = (*parent.path, parent.children)
        actor = Actor(path, name)
        self.born += 1
        if self.born > self._limits.actors:
            self.overrun("actors")
        self.live[path] = actor
        actor.runnable = True
        insort(self.runnable, actor, key=_by_path)
        self.change()
        return actor

    def end(self, actor: Actor) -> None:
        """Take `actor` out for good."""
        assert not actor.ended, "an actor ends once"
        if actor.runnable:
            self.runnable.remove(actor)
            actor.runnable = False
        actor.timer = 0
        actor.ended = True
        self.live.pop(actor.path, None)
        self.change()

    # --- waiting ----------------------------------------------------------------------------------

    def park(self, awaits: object, deadline: int | None = None) -> None:
        """Make the current actor wait for `awaits`, at most until the instant `deadline` (ns)."""
        actor = self.current
        assert actor is not None, "only the current actor parks"
        assert actor.runnable, "an actor parks once"
        actor.runnable = False
        self.runnable.remove(actor)
        actor.awaits = awaits
        actor.fired = False
        actor.deadline = deadline
        if deadline is not None:
            self._armed += 1
            actor.timer = self._armed
            heappush(self.timers, (max(deadline, self.now_ns), self._armed, actor))
        else:
            actor.timer = 0

    def wake(self, actor: Actor) -> None:
        """Let a parked actor run; its timer stays armed until it does."""
        if not actor.runnable and not actor.ended:
            actor.runnable = True
            insort(self.runnable, actor, key=_by_path)

    def wake_all(self, actors: Iterable[Actor]) -> None:
        """Let several parked actors run; cheaper than one by one where there are many."""
        woken = [actor for actor in actors if not actor.runnable and not actor.ended]
        for actor in woken:
            actor.runnable = True
        self.runnable.extend(woken)
        self.runnable.sort(key=_by_path)

    def suspend_all(self, actors: Iterable[Actor]) -> None:
        """Take back the waking of actors that have not run since: what they wait for is gone again.

        One whose timer came due meanwhile stays able to run.
        """
        for actor in actors:
            if actor.runnable and not actor.fired and actor is not self.current:
                actor.runnable = False
                self.runnable.remove(actor)

    def resumed(self, actor: Actor) -> bool:
        """Note that a parked actor goes on; tell whether its timer came due. Once per park."""
        actor.awaits = None
        actor.deadline = None
        actor.timer = 0
        fired = actor.fired
        actor.fired = False
        return fired

    def change(self) -> None:
        """Note that something changed: neither a spin nor a time storm so far."""
        self.changed = self.steps
        self.advances = 0

    # --- decisions --------------------------------------------------------------------------------

    def decide(self) -> Actor:
        """Say who goes on at a point of the current actor, which could go on itself."""
        self.steps = steps = self.steps + 1
        current = self.current
        assert current is not None, "a point belongs to the current actor"
        if steps >= self.next_look:
            fair = self._look()
            if fair is not None:
                return self.resume(fair)
        runnable = self.runnable
        options = len(runnable)
        if options < 2:
            return current
        pick = self.pick
        if pick is None:
            choice = self.choose(options)
        else:
            choice = pick(self._in_order(runnable, current), True)
        if choice == 0:
            return current
        other = runnable[choice - 1]
        if other.path >= current.path:
            other = runnable[choice]
        self._turn_started = steps
        other.last_ran = steps
        self.current = other
        return other

    def next(self) -> Actor | None:
        """Say who goes on now that the current actor cannot; None if no deadline is left either."""
        self.steps = steps = self.steps + 1
        if steps > self._total_steps:
            self.overrun("total_steps")
        candidates = self.runnable
        if not candidates:
            candidates = self._idle()
            if not candidates:
                self.current = None
                return None
        if len(candidates) == 1:
            return self.resume(candidates[0])
        pick = self.pick
        choice = self.choose(len(candidates)) if pick is None else pick(candidates, False)
        return self.resume(candidates[choice])

    def resume(self, actor: Actor) -> Actor:
        """Make `actor` the current one."""
        assert actor.runnable, "only who can run is resumed"
        self._turn_started = actor.last_ran = self.steps
        self.current = actor
        return actor

    @staticmethod
    def _in_order(runnable: list[Actor], current: Actor) -> list[Actor]:
        return [current, *(actor for actor in runnable if actor is not current)]

    # --- idleness ---------------------------------------------------------------------------------

    def _idle(self) -> list[Actor]:
        """Wake those who settle, else move time to the next deadline; return who can run then."""
        if self.settling:
            if self.log is not None:
                self.log.append((None, 0, BARRIER, None))
            woken, self.settling = self.settling, []
            self.wake_all(woken)
            # Whoever settled may have ended meanwhile: then time moves as if nobody had asked.
            if self.runnable:
                return self.runnable
        timers = self.timers
        due: list[Actor] = []
        while timers:
            deadline, number, actor = timers[0]
            if actor.timer != number:
                heappop(timers)
                continue
            if due and deadline != self.now_ns:
                break
            heappop(timers)
            if not due and deadline > self.now_ns:
                self._advance(deadline)
            actor.timer = 0
            actor.fired = True
            due.append(actor)
        if due and self.log is not None:
            self.log.append((None, 0, BARRIER, None))
        self.wake_all(due)
        # In the order in which they were armed: the real system's default; any other is a choice.
        return due

    def _advance(self, deadline: int) -> None:
        self.now_ns = deadline
        self.advances += 1
        if deadline > self._limits.virtual_ns:
            self.overrun("virtual_ns")
        if self.advances == self._limits.advances // 2:
            self._armed_midway = self._armed
        if self.advances > self._limits.advances:
            # Who armed a timer half the way ago and still waits for it does not just rearm it: the
            # one who sleeps for an hour is about to do something for those who poll every second.
            if any(
                actor.timer == number and number <= self._armed_midway
                for _, number, actor in self.timers
            ):
                self.advances = 0
            else:
                self.overrun("advances")

    def _look(self) -> Actor | None:
        """Look whether the current actor spins; return who has a turn instead, for fairness."""
        steps = self.steps
        self.next_look = steps + FAIR_TURN // 2
        if steps > self._total_steps:
            self.overrun("total_steps")
        quiet = steps - self.changed
        if quiet < FAIR_TURN:
            return None
        waiting = [actor for actor in self.runnable if actor is not self.current]
        if quiet > self._limits.steps and all(actor.last_ran > self.changed for actor in waiting):
            self.overrun("steps")
        if waiting and steps - self._turn_started >= FAIR_TURN:
            return min(waiting, key=lambda actor: (actor.last_ran, actor.path))
        return None
