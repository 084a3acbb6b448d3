"""What one run leaves behind, whatever its verdict."""

from __future__ import annotations

import asyncio
import gc
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness import MaxInFlight, explore
from harness.world.here import here


def fail(sim: Any) -> None:
    """Fail an assert, with variables that hold the run."""
    kept = [sim]
    assert not kept, "the account is not empty"


def fail_in_a_thread(sim: Any) -> None:
    """Let nobody take what a thread raises."""
    thread = threading.Thread(target=fail, args=(sim,))
    thread.start()
    thread.join()


def fail_in_a_storm(sim: Any) -> None:
    """Let nobody take what two actors raise."""
    with sim.storm() as storm:
        storm.spawn(fail, sim, copies=2)


async def fail_in_a_task(sim: Any) -> None:
    """Let nobody take what a task raises."""

    async def task() -> None:
        fail(sim)

    running = [asyncio.create_task(task())]
    await asyncio.wait(running)


def fail_while_failing(sim: Any) -> None:
    """Raise one exception from another."""
    try:
        fail(sim)
    except AssertionError as exc:
        raise ValueError("the second account") from exc


def wait_for_ever(sim: Any) -> None:
    """Wait for what nobody does."""
    threading.Event().wait()


def crowd(sim: Any) -> None:
    """Break a promise."""
    origin = sim.pool("origin", latency=1.0)
    with sim.storm(MaxInFlight(origin, 1)) as storm:
        storm.spawn(origin.call, "user:1", copies=2)


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Free nothing but what nobody refers to any more."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize(
    "scenario",
    [
        fail,
        fail_in_a_thread,
        fail_in_a_storm,
        fail_in_a_task,
        fail_while_failing,
        wait_for_ever,
        crowd,
    ],
)
def test_a_failure_that_is_kept_holds_nothing_of_its_run(scenario: Callable[[Any], Any]) -> None:
    """The run is freed without a collection, and the verdict still shows the user's own lines."""
    worlds: list[weakref.ref[Any]] = []

    if asyncio.iscoroutinefunction(scenario):

        async def noted(sim: Any) -> None:
            worlds.append(weakref.ref(here.world))
            await scenario(sim)
    else:

        def noted(sim: Any) -> None:  # type: ignore[misc] # the other of two
            worlds.append(weakref.ref(here.world))
            scenario(sim)

    done = explore(noted, schedules=3)

    # The frames of this very module are closed over `noted`, never over a run.
    assert done.violation is not None
    assert worlds
    assert [world() for world in worlds] == [None] * len(worlds)
    cause = done.violation.__cause__
    if cause is not None:
        shown = "".join(traceback.format_exception(cause))
        assert ", in fail\n" in shown
        assert "the account is not empty" in shown
