"""What threads and tasks do in a span of time: whoever rests does nothing at all.

Stacks cannot tell a poll from a wait: both stand in a call of the standard library. Counts can. It
does not judge.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .fibers import World
from .waits import pending_tasks


@dataclass(frozen=True, slots=True)
class Activity:
    """What one thread or task has done.

    Args:
        resumptions: how often it went on after it had waited.
        acquisitions: how often it asked for a lock; threads only.
        points: how many scheduling points it has met; threads only.
        timers: how many of its timers are running.
    """

    resumptions: int = 0
    acquisitions: int = 0
    points: int = 0
    timers: int = 0

    def since(self, earlier: Activity) -> Activity:
        """Return what was done after `earlier`; timers are those that run here."""
        return Activity(
            self.resumptions - earlier.resumptions,
            self.acquisitions - earlier.acquisitions,
            self.points - earlier.points,
            self.timers,
        )


def activities(world: World) -> dict[int, Activity]:
    """Return what everybody alive has done so far, by the id of the thread or task.

    Only the difference of two looks, both inside one `counting`, means anything.
    """
    done = {
        id(actor.fiber.thread or actor): Activity(
            actor.resumptions, actor.acquisitions, actor.points, int(actor.timer != 0)
        )
        for actor in world.kernel.live.values()
    }
    for task in pending_tasks(world):
        done[id(task)] = Activity(getattr(task, "resumptions", 0), timers=timers_of(task))
    return done


@contextmanager
def counting(world: World) -> Iterator[None]:
    """Have locks taken and tasks resumed inside the block be counted, at the price of time."""
    before, world.wary = world.wary, True
    try:
        yield
    finally:
        # A rule that came meanwhile wants to be asked, and the gone are to stay so.
        world.wary = before or bool(world.faults.rules or world.crashed_tasks)


def timers_of(task: Any) -> int:
    """Count the timers of the loop that end what `task` waits for, or cancel it."""
    waiter = getattr(task, "_fut_waiter", None)
    count = 0
    for handle in getattr(task.get_loop(), "_scheduled", ()):
        if handle.cancelled():
            continue
        subject = getattr(handle._callback, "__self__", None)
        is_timeout = isinstance(subject, asyncio.Timeout)
        owner = getattr(subject, "_task", None) if is_timeout else None
        ends_wait = waiter is not None and any(arg is waiter for arg in handle._args or ())
        count += owner is task or ends_wait
    return count
