"""Who can never go on although others still run: a partial deadlock.

Of all who wait without a time-out, whoever could be woken by somebody else is taken away, and then
whoever those could wake, until nobody is left or only such as nobody will wake. A lock is given
back by who holds it, a thread ends by itself; all else is for anybody who can get at it, a plain
lock too. It does not know what to call that.

Source: G.-V. Saioc, I.-T. A. Lee, A. Møller, M. Chabbi, "Dynamic Partial Deadlock Detection and
    Recovery via Garbage Collection", ASPLOS 2025, sections 3 and 4: the fixed point, and that who
    cannot be reached cannot be woken.
"""

from __future__ import annotations

from asyncio.base_events import BaseEventLoop
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

from harness.core.kernel import Actor

from . import waits
from .fibers import World
from .tasks import SimTask
from .threads import HANG, EndOfThread, Lock, RLock, SimpleQueue
from .variables import variables_of
from .wakers import Everything, Reach

Waiting = Actor | SimTask


@dataclass(frozen=True, slots=True)
class Stuck:
    """Those who will never go on.

    Args:
        everyone: threads by spawn path, then tasks by creation; empty if nobody is for sure.
        circle: those of them who wait for each other, if any do.
    """

    everyone: tuple[Waiting, ...] = ()
    circle: tuple[Actor, ...] = ()

    @property
    def names(self) -> list[str]:
        """What they are called."""
        return [each.name if isinstance(each, Actor) else each.get_name() for each in self.everyone]


def stuck_for_ever(world: World) -> Stuck:
    """Return who will never go on, though somebody else does.

    It is nobody unless there is a circle, or the main thread, or the task that it runs, is among
    them: where that goes on the run ends sooner or later, and what is left is found then.
    """
    owners = _owners(world)
    stuck = _waiting(world, owners)
    circle = tuple(waits.cycle(world))
    while stuck:
        circle = circle if stuck.issuperset(circle) else ()
        if not circle and not _is_main_among(world, stuck):
            break
        helped = {each for each in stuck if _is_up_to_another(world, owners.get(each), stuck)}
        helped = helped or _within_reach(world, stuck)
        if not helped:
            return Stuck(tuple(sorted(stuck, key=_order)), circle)
        stuck -= helped
    return Stuck()


def _order(waiting: Waiting) -> tuple[bool, tuple[int, ...]]:
    if isinstance(waiting, Actor):
        return False, waiting.path
    return True, (waiting.number,)


def _owners(world: World) -> dict[Waiting, object]:
    """Return whom threads wait for: who holds the lock or is joined; None if nobody does."""
    owners: dict[Waiting, object] = {}
    for actor in world.kernel.live.values():
        if isinstance(actor.awaits, Lock):
            owners[actor] = actor.awaits.owner
        for watcher in actor.fiber.watchers:
            owners[watcher] = actor
    return owners


def _waiting(world: World, owners: dict[Waiting, object]) -> set[Waiting]:
    """Return who waits for something other than time, and has not crashed."""
    threads = (
        actor
        for actor in world.kernel.live.values()
        if not actor.runnable
        and actor.deadline is None
        and not _is_gone(world, actor)
        and (actor in owners or isinstance(actor.awaits, SimpleQueue))
    )
    tasks = (task for task in waits.pending_tasks(world) if waits.is_parked(task))
    return {*threads, *(task for task in tasks if not task.crashed)}


def _is_gone(world: World, actor: Actor) -> bool:
    """Tell whether a thread was struck by a fault that it will not come back from."""
    return actor.awaits == HANG or actor in world.crashed.values()


def _is_main_among(world: World, stuck: set[Waiting]) -> bool:
    main = world.main
    assert main is not None, "a run has one"
    return main in stuck or any(
        _main_task(frame) in stuck for frame in waits.frames_of(world, main)
    )


def _main_task(frame: FrameType) -> object:
    """Return what ends the loop that a frame runs, None if it runs none."""
    return variables_of(frame).get("future") if frame.f_code is _LOOPING else None


_LOOPING = BaseEventLoop.run_until_complete.__code__


def _is_up_to_another(world: World, owner: object, stuck: set[Waiting]) -> bool:
    """Tell whether who holds what is waited for may still give it back."""
    if not isinstance(owner, Actor):
        return owner is not None
    return not (owner in stuck or owner.ended or _is_gone(world, owner))


def _within_reach(world: World, stuck: set[Waiting]) -> set[Waiting]:
    """Return who waits for what somebody who is not stuck could get at."""
    wanted = {each: id(_awaited(each)) for each in stuck if not _is_up_to_owner(each)}
    if not wanted:
        return set()
    reach = Reach(set(wanted.values()))
    try:
        _add_roots(world, stuck, reach)
        found = reach.run()
    except Everything:
        return set(wanted)
    return {
        each
        for each, key in wanted.items()
        if key in found and (reach.releases or not _is_plain_lock(world, each))
    }


def _is_up_to_owner(waiting: Waiting) -> bool:
    """Tell whether only who holds it gives back what is waited for: else whoever can get at it."""
    return isinstance(waiting, Actor) and isinstance(waiting.awaits, RLock | EndOfThread | str)


def _awaited(waiting: Waiting) -> object:
    """Return what somebody needs to have to wake who waits."""
    if isinstance(waiting, Actor):
        return waiting.awaits
    # Who has a task, and could cancel it, has this, too.
    return getattr(waiting, "_fut_waiter", None)


def _is_plain_lock(world: World, waiting: Waiting) -> bool:
    """Tell whether a lock is wanted that code under test takes: no signal of a library's."""
    return (
        isinstance(waiting, Actor)
        and isinstance(waiting.awaits, Lock)
        and not waiting.awaits.role
        and waits.takes_it_itself(world, waiting)
    )


def _add_roots(world: World, stuck: set[Waiting], reach: Reach) -> None:
    """Begin at all that those have who are not stuck.

    Tasks too: whoever will have one go on has a way to it, at last the loop that its thread runs.
    """
    for actor in world.kernel.live.values():
        if actor in stuck or _is_gone(world, actor):
            continue
        fiber = actor.fiber
        # What it has not begun.
        reach.add(fiber.function)
        reach.add(fiber.gr_context)
        reach.add_frames(_frames_that_go_on(world, actor, stuck))


def _frames_that_go_on(world: World, actor: Actor, stuck: set[Waiting]) -> Iterator[FrameType]:
    """Yield the frames of a thread, innermost first, up to a loop that will not end."""
    for frame in waits.frames_of(world, actor):
        if _main_task(frame) in stuck:
            return
        yield frame
