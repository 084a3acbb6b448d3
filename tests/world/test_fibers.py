"""The fibers of a run are kept for the next one: nothing of the run may stay in them."""

from __future__ import annotations

import contextvars
import gc
import threading
import weakref
from collections.abc import Callable

import pytest

from harness.core.tape import replayed
from harness.world.fibers import SPARE_MAX, World
from harness.world.ground import Ground, prepared

MARK: contextvars.ContextVar[object] = contextvars.ContextVar("mark", default=None)
SEEN: list[object] = []
LEFT: list[weakref.ref[object]] = []


class Thing:
    """Whatever a run makes."""


def run(ground: Ground, program: Callable[[], None]) -> None:
    """Make one run."""
    world = World(replayed([]))
    try:
        ground.run(world, program)
    finally:
        world.dispose()


def start(target: Callable[[], None], threads: int = 1) -> None:
    """Run threads to their end, one after the other."""
    for _ in range(threads):
        thread = threading.Thread(target=target)
        thread.start()
        thread.join()


def mark() -> None:
    """Look at the variable, then set it to something of this run."""
    SEEN.append(MARK.get())
    thing = Thing()
    LEFT.append(weakref.ref(thing))
    MARK.set(thing)


def wait_for_ever() -> None:
    """Stand still in the middle of something."""
    thing = Thing()
    LEFT.append(weakref.ref(thing))
    threading.Event().wait()


def leave_one_waiting() -> None:
    """End while a thread waits, and another has not begun."""
    for _ in range(2):
        threading.Thread(target=wait_for_ever, daemon=True).start()


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    """Begin each test with empty lists."""
    SEEN.clear()
    LEFT.clear()


def test_what_a_thread_sets_in_its_context_is_gone_with_the_run() -> None:
    """Neither seen by the next run nor kept alive until then."""
    with prepared(granularity="shared", watchdog_seconds=5) as ground:
        gc.collect()
        for _ in range(3):
            run(ground, lambda: start(mark))
            assert LEFT[-1]() is None
        assert len(ground.spare) == 2

    assert SEEN == [None, None, None]


def test_a_thread_that_is_cut_off_leaves_its_fiber_to_the_next_run() -> None:
    """It is unwound like any other, and who has not begun never does."""
    with prepared(granularity="shared", watchdog_seconds=5) as ground:
        run(ground, leave_one_waiting)
        cut_off = len(LEFT)
        spare = set(map(id, ground.spare))
        run(ground, lambda: start(mark, 2))

        assert cut_off <= 2
        assert all(reference() is None for reference in LEFT)
        assert len(ground.spare) == len(spare) == 3
        assert set(map(id, ground.spare)) == spare


def test_no_more_fibers_are_kept_than_a_few() -> None:
    """Their stacks take memory, and a run may have ten thousand threads."""
    with prepared(granularity="shared", watchdog_seconds=5) as ground:
        run(ground, lambda: start(mark, SPARE_MAX + 20))
        run(ground, lambda: start(mark, SPARE_MAX + 20))
        spare = list(ground.spare)

    assert len(spare) == SPARE_MAX
    assert all(fiber.dead for fiber in spare)
