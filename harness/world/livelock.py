"""Tells who goes round for nothing from who only takes long.

    the kernel has seen nothing change for long ─► all get turns ─► looks ─► time passes ─► livelock
                                                                       └► something new: no livelock

Nothing was written and nobody waits for anything new, but a loop over local variables would look
the same. So a few more looks are taken, and only if they keep showing the same few states does
anybody spin. Who spins may wait for time to pass, which it does not while somebody could run: so it
passes then, to the next timer of anybody, and a little further each time for who asks for the time.
It does not know what a verdict looks like.
"""

from __future__ import annotations

import sys
from collections import Counter
from types import FrameType, ModuleType
from typing import Any, Final

from harness.core.clock import to_ns

from . import waits
from .fibers import ASKED_NS, World
from .tasks import task_frames
from .threads import is_plumbing

#: Looks before somebody is said to go round; those who show more than these are let go on.
LOOKS: Final = 8
LOOKS_MAX: Final = 128
#: While there is something new each time, time may pass so many times as often.
AS_LONG: Final = 10


#: Where each is and what its variables are: paths of threads and tasks, and a number for that.
Look = frozenset[tuple[Any, int]]


class Spins:
    """What was seen of those who spin. One run, called where the kernel has seen nothing change."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._looks = 0
        # What was seen in these, and how much of it of each.
        self._seen: set[tuple[Any, int]] = set()
        self._states: Counter[Any] = Counter()
        # States between which somebody was seen to spin.
        self._spinning: set[tuple[Any, int]] = set()
        # The timers of all loops when a time storm was first suspected.
        self._timers: list[Any] | None = None
        # Moves of time, how many found anything new, and what was seen at them.
        self._waits = 0
        self._news = 0
        self._met: set[tuple[Any, int]] = set()
        # When the last was, and how often it was for who had asked.
        self._moved = -1
        self._asked = 0

    def is_livelock(self, limit: str) -> bool:
        """Tell whether somebody goes round for nothing; if not, look again later.

        Args:
            limit: `steps` or `spin`, where points go by, or `advances`, where only time does.
        """
        if limit == "advances":
            return not self._timers_from_before() and self._goes_round(_look_at(self._world))
        owed = [loop for loop in self._loops() if not loop._ready.has_been_fair()]
        if owed:
            return False
        look = _look_at(self._world)
        if not look <= self._spinning and not self._goes_round(look):
            return False
        return not self._let_time_pass(look) and limit != "spin"

    def _goes_round(self, look: Look) -> bool:
        """Tell whether the looks so far show few states of each; if so or if not, begin anew."""
        self._looks += 1
        self._states.update(path for path, _ in look - self._seen)
        self._seen |= look
        # Of several who take turns one alone may show anything new.
        around = max(1, len(self._world.kernel.runnable))
        most = max(LOOKS_MAX, LOOKS * around)
        if self._looks < LOOKS * around or self._looks & (self._looks - 1):
            return False
        is_new = max(self._states.values()) > max(LOOKS, self._looks // around) // 2
        if is_new and self._looks < most:
            # Several who take turns come round only after a while.
            return False
        seen, self._seen, self._looks = self._seen, set(), 0
        self._states.clear()
        if is_new:
            self._timers = None
            self._world.kernel.change()
            return False
        self._spinning |= seen
        return True

    # --- time -------------------------------------------------------------------------------------

    def _let_time_pass(self, look: Look) -> bool:
        """Give those who wait for time a turn; tell if there was one."""
        kernel = self._world.kernel
        self._waits += 1
        self._news += not look <= self._met
        self._met |= look
        most = kernel.limits.spins
        if self._waits > most * (AS_LONG if self._news > self._waits // 2 else 1):
            return False
        due = [to_ns(each._when) for each in self._armed() if not each.cancelled()]
        if kernel.asked > kernel.changed:
            # Whoever changes anything in between asks for another time.
            self._asked = self._asked + 1 if kernel.changed == self._moved else 0
            # A millisecond, then twice as far each time.
            due.append(kernel.now_ns + (ASKED_NS << min(self._asked, 40)))
        if not kernel.let_time_pass_beside_spin(min(due, default=None)):
            return False
        self._moved = kernel.changed
        return True

    def _timers_from_before(self) -> bool:
        """Tell whether a timer of a loop that was armed at the first look is still to come.

        A loop has one timer for the kernel, which it arms anew at each turn; who sleeps for an hour
        beside a task that polls every second is seen only in the loop's own list.
        """
        armed = self._armed()
        if self._timers is None:
            self._timers = armed
        return any(handle in armed and not handle.cancelled() for handle in self._timers)

    def _armed(self) -> list[Any]:
        return [handle for loop in self._loops() for handle in loop._scheduled]

    def _loops(self) -> list[Any]:
        return list(dict.fromkeys(task.get_loop() for task in waits.pending_tasks(self._world)))


# --- what there is to see -------------------------------------------------------------------------


def _look_at(world: World) -> Look:
    """Return where everybody is and what their variables are: equal, nothing new."""
    parts: list[tuple[object, int]] = []
    for path, actor in world.kernel.live.items():
        current = actor is world.kernel.current
        frame = sys._getframe() if current else (actor.fiber.gr_frame if actor.fiber else None)
        # Where exactly a look catches the one who runs is a matter of counting, not of progress.
        parts.append((path, hash(_state_of(frame))))
        # Else this frame would keep itself, and with it what those below let go of.
        frame = None
    parts.extend(
        (task.path, hash(tuple(_state_of(frame, 1) for frame in task_frames(task))))
        for task in waits.pending_tasks(world)
    )
    return frozenset(parts)


def _state_of(frame: FrameType | None, depth: int = 6) -> tuple[object, ...]:
    found: list[object] = []
    while frame is not None and len(found) < depth:
        if not is_plumbing(frame.f_code.co_filename):
            values = tuple((name, _value(value)) for name, value in frame.f_locals.items())
            names = frame.f_code.co_names
            shared = tuple(_value(frame.f_globals.get(name)) for name in names)
            found.append((frame.f_code.co_qualname, values, shared))
        frame = frame.f_back
    return tuple(found)


def _value(value: object, depth: int = 1) -> object:
    """Return what would differ if `value` were another, or had other plain attributes."""
    if isinstance(value, (int, float, str, bytes, bool, type(None))):
        return value
    length = len(value) if isinstance(value, (list, dict, set, tuple)) else -1
    attributes = getattr(value, "__dict__", None) if depth else None
    if isinstance(attributes, dict) and not isinstance(value, (type, ModuleType)):
        return (id(value), length, *(_value(each, 0) for each in list(attributes.values())))
    return (id(value), length)
