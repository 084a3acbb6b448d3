"""Who can never go on although others still run: a partial deadlock.

A circle of actors that wait, without a time-out, for locks that the next one holds is stuck, and so
is everyone who waits for one of them. A plain lock may be released by anybody who can get at it; so
the circle counts only if nobody else can reach its locks. A re-entrant lock is given back by its
owner alone, and a thread ends by itself: who waits for such in vain is stuck without a circle, too.
It does not know what to call that.

Source: G.-V. Saioc, I.-T. A. Lee, A. Møller, M. Chabbi, "Dynamic Partial Deadlock Detection and
    Recovery via Garbage Collection", ASPLOS 2025, for the idea that who cannot be reached cannot be
    woken.
"""

from __future__ import annotations

import gc
import io
import sys
from collections.abc import Iterator
from pathlib import PurePath
from types import FrameType, FunctionType, ModuleType
from typing import Any

from harness.core.kernel import Actor

from . import waits
from .fibers import World
from .patching import is_bystander
from .tasks import task_frames
from .threads import HANG, EndOfThread, Lock, RLock, is_plumbing

#: More objects than this are not looked through: then everything counts as within reach.
MAX_OBJECTS = 50_000

_HARNESS = str(PurePath(__file__).parents[1])


def stuck_together(world: World) -> list[Actor]:
    """Return the circle of actors that can never go on, empty if there is none for sure."""
    circle = waits.cycle(world)
    if not circle or any(actor.deadline is not None for actor in circle):
        return []
    locks: list[Lock] = [actor.awaits for actor in circle if isinstance(actor.awaits, Lock)]
    bare = [lock for lock in locks if not isinstance(lock, RLock)]
    if bare and _within_reach(world, _with_those_who_wait(world, circle), bare):
        return []
    return circle


def stuck_with_main(world: World) -> list[Actor]:
    """Return the main thread and those whom it will wait for in vain, by spawn path; else nobody.

    All of them wait, without a time-out, for a re-entrant lock or the end of a thread, whose owner
    is one of them, or has ended, or was struck by a fault that he does not come back from. Where
    the main thread can go on, the run ends sooner or later, and what is left is found then.
    """
    owners = _owners(world, RLock | EndOfThread)
    stuck = {actor for actor in owners if not actor.runnable and actor.deadline is None}
    while world.main in stuck:
        helped = {actor for actor in stuck if _can_go_on(owners[actor], stuck)}
        if not helped:
            return sorted(stuck, key=lambda actor: actor.path)
        stuck -= helped
    return []


def _owners(world: World, kinds: Any) -> dict[Actor, object]:
    """Return for each who waits for a lock of some kinds, or for an end, whose it is."""
    owners: dict[Actor, object] = {}
    for actor in world.kernel.live.values():
        if isinstance(actor.awaits, kinds):
            owners[actor] = actor.awaits.owner
        # Who joins without a lock.
        for watcher in actor.fiber.watchers:
            owners[watcher] = actor
    return owners


def _can_go_on(owner: object, stuck: set[Actor]) -> bool:
    """Tell whether an owner may come to where he gives back what others wait for."""
    if not isinstance(owner, Actor):
        # It was held before the run began.
        return True
    return not (owner in stuck or owner.ended or owner.awaits == HANG)


def _with_those_who_wait(world: World, circle: list[Actor]) -> set[Actor]:
    """Return the circle and everyone who waits for ever for one of them."""
    stuck = set(circle)
    owners = _owners(world, Lock)
    while True:
        more = {
            actor
            for actor, owner in owners.items()
            if actor not in stuck
            and not actor.runnable
            and actor.deadline is None
            and owner in stuck
        }
        if not more:
            return stuck
        stuck |= more


def _within_reach(world: World, stuck: set[Actor], locks: list[Lock]) -> bool:
    """Tell whether somebody who is not stuck could get at one of `locks`."""
    wanted = {id(lock) for lock in locks}
    seen: set[int] = set()
    # Namespaces: every function of a module has the same one.
    named: set[int] = set()
    waiting: list[Any] = list(_roots(world, stuck, named))
    while waiting:
        thing = waiting.pop()
        if id(thing) in wanted:
            return True
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if len(seen) > MAX_OBJECTS:
            return True
        waiting.extend(_held_by(thing, named))
    return False


def _roots(world: World, stuck: set[Actor], named: set[int]) -> Iterator[Any]:
    """Yield what is in the variables of those who are not stuck."""
    for actor in world.kernel.live.values():
        if actor in stuck:
            continue
        frame = sys._getframe() if actor is world.kernel.current else actor.fiber.gr_frame
        yield from _variables(frame, named)
    for task in waits.pending_tasks(world):
        for frame in task_frames(task):
            yield from _variables(frame, named)


def _variables(frame: FrameType | None, named: set[int]) -> Iterator[Any]:
    while frame is not None:
        # A library has what it was handed, as a timer its function; of its modules it uses parts.
        if not frame.f_code.co_filename.startswith(_HARNESS):
            yield from frame.f_locals.values()
        if not is_plumbing(frame.f_code.co_filename):
            yield from _names_of(frame.f_globals, named)
        frame = frame.f_back


def _names_of(namespace: dict[str, Any], named: set[int]) -> list[Any]:
    """Return what code in a module can name, once; its loader, say, leads to all of pytest."""
    if id(namespace) in named:
        return []
    named.add(id(namespace))
    return [value for name, value in namespace.items() if not name.startswith("__")]


def _held_by(thing: Any, named: set[int]) -> list[Any]:
    """Return what code that has `thing` could get at, the insides of libraries aside."""
    if isinstance(thing, (ModuleType, str, bytes, int, float, FrameType)):
        return []
    if isinstance(thing, FunctionType):
        held = [*(thing.__closure__ or ()), *(thing.__defaults__ or ())]
        if not _is_of_a_library(thing, thing.__code__.co_filename):
            held.extend(_names_of(thing.__globals__, named))
        return held
    if isinstance(thing, type):
        file = getattr(sys.modules.get(thing.__module__), "__file__", None)
        return list(vars(thing).values()) if file and not _is_of_a_library(thing, file) else []
    # A thread holds the stream of errors, which leads to whoever captures it.
    if isinstance(thing, (World, Actor, io.IOBase)):
        return []
    return gc.get_referents(thing)


def _is_of_a_library(thing: FunctionType | type, file: str) -> bool:
    """Tell whether what a function or class can name is nobody's code under test.

    The class of a mark of pytest leads to every test that there is.
    """
    return is_plumbing(file) or is_bystander(str(thing.__module__))
