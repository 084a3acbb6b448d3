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
   anything happening. Whoever waits for time gets a turn beside those who spin, as others do.
8. In two other modes of time, the clock is one more actor that may be chosen, a few times in a run,
   or each decision costs some time.

It is pure: it knows actors by name and path, not how they are made to run, nor what they wait for.

Source: the idle rule is that of Go's testing/synctest package, extended to locks, which are owned
    here.
"""

from __future__ import annotations

import functools
from bisect import insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from heapq import heappop, heappush
from operator import attrgetter
from typing import Any

from .access import BARRIER, UNSEEN, Log
from .tape import Pick

Path = tuple[int, ...]

_by_path = attrgetter("path")

#: Moves of the clock, without anything else, at which who waits for ever is first looked for; then
#: at twice as many, and so on. While others change something, the look is worth less often.
IDLE_LOOK = 64
BUSY_LOOK = 1_024

#: Behind every other actor.
CLOCK_PATH: Path = (1 << 30,)

#: How often somebody may be passed over while nothing changes, and how long its turn is then: in
#: decisions.
FAIR_TURN = 500
#: How many may wait for a turn before it takes longer to come: where many do, it is no bad luck.
FEW = 16

#: Entries after which a run is no longer logged: it spins, most likely, and would fill memory.
LOG_MAX = 500_000


@functools.lru_cache(maxsize=4_096)
def text_of(path: Path) -> str:
    """Return a spawn path as it is told, such as `0.2.1`: once, though every event tells it."""
    return ".".join(map(str, path))


class Actor:
    """A thread as the kernel sees it: where it comes from, whether it can run, until when it waits.

    Touched by the one thread of its kernel.

    invariant: an actor is runnable, parked, or ended, and only one of these; it is in
        `Kernel.runnable` iff runnable.
    """

    __slots__ = (
        "__weakref__",
        "acquisitions",
        "awaits",
        "born",
        "children",
        "deadline",
        "ended",
        "fiber",
        "fired",
        "key",
        "last_ran",
        "left",
        "name",
        "path",
        "points",
        "resumptions",
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
        # At which step it went on, and at which another went on instead.
        self.last_ran = 0
        self.left = 0
        # How many scheduling points in the code under test it has met.
        self.points = 0
        # How often it went on after a wait; how often it asked for a lock while that is counted.
        self.resumptions = 0
        self.acquisitions = 0
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
        return text_of(self.path)

    def __repr__(self) -> str:
        return f"<Actor {self.path_text} {self.name!r}>"


@dataclass(frozen=True, slots=True)
class Passing:
    """When time passes while somebody could run.

    Args:
        early: how often in a run the clock may be chosen instead of an actor: a slow machine.
        cost_ns: what each decision costs in nanoseconds.
    """

    early: int = 0
    cost_ns: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """When a run stops being waited for.

    Args:
        steps: points without any change, under fair choice, that make a livelock.
        advances: moves of the clock without any change that make a time storm.
        total_steps: points of a whole run; beyond it the run is inconclusive.
        virtual_ns: virtual time of a whole run in nanoseconds; beyond it the run is inconclusive.
        actors: threads of a whole run; beyond it the run is inconclusive.
        spins: how often those who wait for time get a turn beside one who spins, if nothing is new
            afterwards.
    """

    spins: int = 100
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
        overrun: called when a limit is hit: "steps" (nothing changes), "spin" (nobody waits or
            ends, though some wait for time), "idle" (now and then when the clock moves),
            "advances" (only the clock moves), "total_steps", "virtual_ns" or "actors".
        passing: when time passes while somebody could run; by default never.

    Attributes:
        clock: stands for the clock where it may be chosen.
    """

    __slots__ = (
        "_armed",
        "_armed_midway",
        "_busy_since",
        "_favoured",
        "_favoured_since",
        "_parks",
        "_parks_seen",
        "_roots",
        "_starved",
        "_timed",
        "_total_steps",
        "advances",
        "asked",
        "born",
        "changed",
        "choose",
        "clock",
        "cost_ns",
        "current",
        "early",
        "limits",
        "live",
        "log",
        "moves",
        "next_look",
        "now_ns",
        "overrun",
        "pick",
        "runnable",
        "settling",
        "spins",
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
        passing: Passing | None = None,
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
        # How often the clock moved since something changed, and since the run began.
        self.advances = self.moves = 0
        self.born = 0
        # The step at which something last changed, and at which somebody asked for the time when
        # nothing had for long.
        self.changed = 0
        self.asked = -1
        self.limits = limits or Limits()
        self._total_steps = self.limits.total_steps
        self.overrun: Any = overrun
        self._roots = 0
        self._armed = 0
        self._armed_midway = 0
        self.next_look = FAIR_TURN
        # How often those who wait for time have had a turn beside one who spins.
        self.spins = 0
        # Who goes on without a choice, for the others have spun, and since when.
        self._favoured: Actor | None = None
        self._favoured_since = 0
        # It goes on though others do change something: they have done so for very long.
        self._starved = False
        self._parks = self._parks_seen = self._busy_since = 0
        self.early = passing.early if passing is not None else 0
        self.cost_ns = passing.cost_ns if passing is not None else 0
        self.clock = Actor(CLOCK_PATH, "the clock")
        self.clock.turn = None
        # Every decision is looked at where time may pass at it.
        self._timed = self.early > 0 or self.cost_ns > 0
        if self._timed:
            self.next_look = 0

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
        if self.born > self.limits.actors:
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
        self._parks += 1
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
        actor.resumptions += 1
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
            chosen = self._look()
            if chosen is not None:
                return chosen if chosen is current else self.resume(chosen)
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
        current.left = other.last_ran = steps
        self.current = other
        return other

    def next(self) -> Actor | None:
        """Say who goes on now that the current actor cannot; None if no deadline is left either."""
        self.steps = steps = self.steps + 1
        if steps > self._total_steps:
            self.overrun("total_steps")
        if self.cost_ns:
            self._charge()
        candidates = self.runnable
        if not candidates:
            candidates = self._idle()
            if not candidates:
                self.current = None
                return None
        elif self.early and self._next_deadline() is not None:
            return self.resume(self._with_clock(None))
        if len(candidates) == 1:
            return self.resume(candidates[0])
        pick = self.pick
        choice = self.choose(len(candidates)) if pick is None else pick(candidates, False)
        return self.resume(candidates[choice])

    def resume(self, actor: Actor) -> Actor:
        """Make `actor` the current one."""
        assert actor.runnable, "only who can run is resumed"
        actor.last_ran = self.steps
        self.current = actor
        return actor

    @staticmethod
    def _in_order(runnable: list[Actor], current: Actor) -> list[Actor]:
        ordered = [current, *runnable]
        del ordered[runnable.index(current) + 1]
        return ordered

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
        return self.let_time_pass()

    def let_time_pass(self) -> list[Actor]:
        """Move time to the next deadline; return whose it is, in the order in which they armed it.

        That is the order of the real system; any other is a choice.
        """
        deadline = self._next_deadline()
        if deadline is None:
            return []
        if deadline > self.now_ns:
            self._advance(deadline)
        return self._fire()

    def let_time_pass_beside_spin(self, timer_ns: int | None = None) -> bool:
        """Give those who wait for time a turn beside one who spins; tell if there was one.

        Args:
            timer_ns: when somebody waits for it of whom the kernel does not know: the next timer of
                a loop that never rests.
        """
        self.spins += 1
        deadlines = [each for each in (timer_ns, self._next_deadline()) if each is not None]
        if not deadlines:
            return False
        if min(deadlines) > self.now_ns:
            self._advance(min(deadlines))
        self._fire()
        self.change()
        self._busy_since = self.steps
        return True

    def _next_deadline(self) -> int | None:
        """Return the earliest deadline, None if there is none."""
        timers = self.timers
        while timers:
            deadline, number, actor = timers[0]
            if actor.timer == number:
                return deadline
            heappop(timers)
        return None

    def _fire(self) -> list[Actor]:
        """Wake those whose deadline has come; return them."""
        due: list[Actor] = []
        while (deadline := self._next_deadline()) is not None and deadline <= self.now_ns:
            _, _, actor = heappop(self.timers)
            actor.timer = 0
            actor.fired = True
            due.append(actor)
        if due:
            if self.log is not None:
                self.log.append((None, 0, BARRIER, None))
            self.wake_all(due)
        return due

    # --- time that passes while somebody could run ------------------------------------------------

    def _charge(self) -> None:
        """Let a decision cost its time."""
        self.work(self.cost_ns)

    def _with_clock(self, current: Actor | None) -> Actor:
        """Say who goes on where the clock may, too; it takes its turn, then it is asked again."""
        while self.early and self._next_deadline() is not None:
            others = self.runnable
            if current is not None:
                others = self._in_order(others, current)
            options = [*others, self.clock]
            pick = self.pick
            if pick is None:
                choice = self.choose(len(options))
            else:
                choice = pick(options, current is not None)
            if options[choice] is not self.clock:
                return options[choice]
            self.early -= 1
            self.let_time_pass()
        others = self.runnable if current is None else self._in_order(self.runnable, current)
        if len(others) == 1:
            return others[0]
        pick = self.pick
        index = self.choose(len(others)) if pick is None else pick(others, current is not None)
        return others[index]

    def stall(self, nanoseconds: int) -> None:
        """Let time pass as on a machine that stands still for so long."""
        self.early -= 1
        self.now_ns += nanoseconds
        self._fire()

    def work(self, nanoseconds: int) -> None:
        """Let time pass while the current actor does something that takes so long."""
        self.now_ns += nanoseconds
        if self.now_ns > self.limits.virtual_ns:
            self.overrun("virtual_ns")
        self._fire()

    def _advance(self, deadline: int) -> None:
        self.now_ns = deadline
        self.advances += 1
        if deadline > self.limits.virtual_ns:
            self.overrun("virtual_ns")
        if self.advances == self.limits.advances // 2:
            self._armed_midway = self._armed
        self.moves += 1
        if (self.advances >= IDLE_LOOK and self.advances & (self.advances - 1) == 0) or (
            self.moves >= BUSY_LOOK and self.moves & (self.moves - 1) == 0
        ):
            self.overrun("idle")
        if self.advances > self.limits.advances:
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
        """Look whether the current actor spins; return who goes on if that is settled here."""
        steps = self.steps
        if steps > self._total_steps:
            self.overrun("total_steps")
        if self._timed and self.cost_ns:
            self._charge()
        if self._favoured is not None:
            if self._has_its_turn(steps):
                self.next_look = steps + 1
                return self.current
            self._favoured = None
        if not self._timed:
            # A prime: whoever goes round is met at every step of its round, whatever that takes.
            self.next_look = steps + FAIR_TURN // 2 + 1
            return self._favour(self._fair_turn(steps))
        fair = self._favour(self._fair_turn(steps)) if steps % FAIR_TURN == 0 else None
        if fair is None and self.early and self._next_deadline() is not None:
            return self._with_clock(self.current)
        return fair

    def _favour(self, actor: Actor | None) -> Actor | None:
        """Let an actor whose turn it is keep it: one step of many may not get it anywhere."""
        if actor is not None:
            self._favoured = actor
            self._favoured_since = self.steps
            self.next_look = self.steps + 1
        return actor

    def _has_its_turn(self, steps: int) -> bool:
        return (
            self.current is self._favoured
            and (self._starved or self.changed < self._favoured_since)
            and steps - self._favoured_since < FAIR_TURN
        )

    def _fair_turn(self, steps: int) -> Actor | None:
        if self.log is not None and len(self.log) > LOG_MAX and self.current is not None:
            self.log.append((self.current.turn, 0, UNSEEN, None))
            self.log = None
        waiting = [actor for actor in self.runnable if actor is not self.current]
        patience = self.patience()
        if self._parks != self._parks_seen:
            self._parks_seen = self._parks
            self._busy_since = steps
        quiet = steps - self.changed
        if quiet > patience and all(actor.last_ran > self.changed for actor in waiting):
            self.overrun("steps")
        elif steps - self._busy_since > 2 * patience and self._next_deadline() is not None:
            self.overrun("spin")
        if waiting:
            longest = min(waiting, key=_left_at)
            passed_over = steps - _left_at(longest)[0]
            if passed_over >= patience_of(len(waiting), quiet, patience):
                self._starved = quiet < FAIR_TURN
                return longest
        return None

    def patience(self) -> int:
        """Return after how many steps without a change somebody is looked at who may spin."""
        if self.spins:
            # Who has been seen to spin is not waited for as long again.
            return 2 * FAIR_TURN
        # Where decisions cost time, who spins until a deadline comes is getting there.
        return self.limits.steps * (10 if self.cost_ns else 1)


def patience_of(waiting: int, quiet: int, patience: int) -> int:
    """Return for how many steps one of `waiting` may be passed over before it gets a turn."""
    return 2 * patience if quiet < FAIR_TURN else fair_turn(waiting)


def fair_turn(waiting: int) -> int:
    """Return for how many steps some go on so that each of `waiting` gets its turn."""
    return min(FAIR_TURN * (1 + waiting // FEW), 10 * FAIR_TURN)


def _left_at(actor: Actor) -> tuple[int, Path]:
    return max(actor.left, actor.last_ran), actor.path
