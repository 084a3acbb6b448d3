"""What one run leaves behind, whatever its verdict."""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import subprocess
import sys
import threading
import traceback
import warnings
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from harness import (
    AsyncSimulation,
    Calls,
    Elapsed,
    LeakBound,
    MaxInFlight,
    Simulation,
    explore,
)
from harness.world.here import here

pytestmark = pytest.mark.one_ground


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
@pytest.mark.own_ground
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


def ask_together(sim: Simulation) -> None:
    """Ask a pool, with promises that watch its gauge."""
    pool = sim.pool("origin", latency=1.0)
    with sim.storm(Calls(pool, 2), MaxInFlight(pool, 2), LeakBound(), Elapsed(1.0)) as storm:
        storm.spawn(pool.call, copies=2)


async def ask_together_in_tasks(sim: AsyncSimulation) -> None:
    """Ask a pool, with promises that watch its gauge."""
    pool = sim.pool("origin", latency=1.0)
    async with sim.storm(Calls(pool, 2), MaxInFlight(pool, 2), LeakBound(), Elapsed(1.0)) as storm:
        storm.spawn(pool.call, copies=2)


@pytest.mark.parametrize("scenario", [ask_together, ask_together_in_tasks])
def test_a_run_that_holds_is_freed_without_a_collection(scenario: Callable[[Any], Any]) -> None:
    """Nothing of a storm and its promises refers to itself once they are judged."""
    before: list[weakref.ref[Any]] = []
    left: list[object] = []

    def note(sim: object) -> None:
        left.extend(each() for each in before if each() is not None)
        before.extend((weakref.ref(here.world), weakref.ref(sim)))

    if asyncio.iscoroutinefunction(scenario):

        async def noted(sim: Any) -> None:
            note(sim)
            await scenario(sim)
    else:

        def noted(sim: Any) -> None:  # type: ignore[misc] # the other of two
            note(sim)
            scenario(sim)

    # There are collections after the last run. A run that is cut off keeps its judges.
    done = explore(noted, schedules=3, strategy="urw")

    assert done.verdict == "holds"
    assert len(before) > 2
    assert left == []


def test_who_swallows_the_end_of_the_run_is_left_behind_and_named(tmp_path: Path) -> None:
    """A loop that no exception leaves, and that never waits, does not stop anybody else for ever.

    In a process of its own: what is left behind stays.
    """
    (tmp_path / "program.py").write_text(
        "import sys, threading, time\n"
        "from harness import HarnessError, explore\n"
        "account = {}\n"
        "def swallow():\n"
        "    while True:\n"
        "        try:\n"
        "            account.get('user:1')\n"
        "            time.sleep(1)\n"
        "        except BaseException:\n"
        "            while True:\n"
        "                try:\n"
        "                    account.get('user:1')\n"
        "                except BaseException:\n"
        "                    pass\n"
        "def scenario(sim):\n"
        "    sim.background('swallower')\n"
        "    threading.Thread(target=swallow, name='swallower', daemon=True).start()\n"
        "    time.sleep(3)\n"
        "try:\n"
        "    explore(scenario, schedules=1, watchdog_seconds=0.3)\n"
        "except HarnessError as exc:\n"
        "    print(exc)\n",
        encoding="utf-8",
    )

    done = subprocess.run(
        [sys.executable, str(tmp_path / "program.py")],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.stdout.startswith("'swallower' refuses to stop: the run is over, and it goes round")
    assert " at program.py:1" in done.stdout
    assert len(done.stdout.splitlines()) == 1
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("callback", "where"),
    [
        (lambda: functools.partial(int, "seven"), "callback int"),
        (lambda: wants_an_argument, "test_trial.py:{line}"),
    ],
)
def test_an_error_of_a_plain_callback_names_its_place(
    callback: Callable[[], Callable[[], object]], where: str
) -> None:
    """Though none of its own lines was reached, it is told whose call it was."""

    async def scenario(sim: Any) -> None:
        asyncio.get_running_loop().call_soon(callback())
        await asyncio.sleep(1)

    done = explore(scenario, schedules=1)

    assert done.violation is not None
    line = wants_an_argument.__code__.co_firstlineno
    assert dict(done.violation.evidence)["where"] == where.format(line=line)


def wants_an_argument(key: str) -> str:
    """Be called without it."""
    return key


# --- asynchronous generators ----------------------------------------------------------------------


async def _numbers(seen: list[str], name: str) -> Any:
    try:
        for number in range(9):
            yield number
    finally:
        seen.append(name)


def test_generators_left_behind_are_closed_in_the_order_of_their_first_step() -> None:
    """A plain loop goes through a set by address, which differs from process to process."""
    orders = set()

    async def program(sim: Any) -> None:
        seen: list[str] = []
        waste = [object() for _ in range(len(orders) * 7)]
        kept = [_numbers(seen, name) for name in "abcdefgh"]
        for generator in kept:
            await anext(generator)
        del waste
        await asyncio.get_running_loop().shutdown_asyncgens()
        orders.add("".join(seen))

    assert explore(program, schedules=10, strategy="plain").verdict == "holds"
    assert orders == {"abcdefgh"}


def test_a_generator_that_is_over_is_none() -> None:
    """It may live on in a circle until the collector comes by, in one run and not in the next."""
    left = []

    async def program(sim: Any) -> None:
        generator = _numbers([], "a")
        circle = [generator]
        circle.append(circle)
        await anext(generator)
        left.append(len(asyncio.get_running_loop()._asyncgens))  # type: ignore[attr-defined] # asyncio's own
        await generator.aclose()
        left.append(len(asyncio.get_running_loop()._asyncgens))  # type: ignore[attr-defined] # asyncio's own

    assert explore(program, schedules=1).verdict == "holds"
    assert set(zip(left[::2], left[1::2], strict=True)) == {(1, 0)}


def test_a_run_cut_off_inside_a_generator_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    """What a generator waits for is closed with the run, not by the collector after it."""

    async def program(sim: Any) -> None:
        pool = sim.pool("origin", latency=1.0)

        @asynccontextmanager
        async def lease() -> AsyncIterator[Any]:
            yield await pool.call("dial")

        async def work() -> None:
            async with lease():
                pass

        async with sim.storm(MaxInFlight(pool, 2)) as storm:
            storm.spawn(work, copies=5)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert explore(program, schedules=3).verdict == "MaxInFlight"
    gc.collect()
    assert capsys.readouterr().err == ""


async def completes_coroutines(_: AsyncSimulation) -> None:
    """What is to be completed is begun in the order given: a set of coroutines goes by address."""
    begun: list[int] = []

    async def begin(number: int) -> int:
        begun.append(number)
        return number

    done = [await each for each in asyncio.as_completed([begin(each) for each in range(12)])]
    assert begun == done == list(range(12))

    again = begin(12)
    for each in asyncio.as_completed([again, again], timeout=1):
        assert await each == 12


def test_coroutines_are_begun_in_the_order_given() -> None:
    """By `asyncio.as_completed`, which makes a set of them; each once."""
    assert explore(completes_coroutines, schedules=1).verdict == "holds"


def test_all_tasks_have_one_order_whatever_ran_before() -> None:
    """The set is made out of one that is older than the run."""
    orders: set[tuple[int, ...]] = set()

    async def crowd(sim: Any) -> None:
        # The register of all loops grows, and with it the places that tasks have in it.
        await asyncio.gather(*(asyncio.sleep(1) for _ in range(2_000)))

    async def few(sim: Any) -> None:
        tasks = [asyncio.create_task(asyncio.sleep(1 + number % 8)) for number in range(64)]
        await asyncio.sleep(7)
        # Those who are left share their last bits, and so one place in a small set.
        left = [task for task in asyncio.all_tasks() if task in tasks]
        orders.add(tuple(tasks.index(task) for task in left))
        await asyncio.gather(*tasks)

    for program in (few, crowd, few):
        # One that asks nothing of those who could go on: there are thousands.
        assert explore(program, schedules=1, strategy="random").verdict == "holds"

    assert len(orders) == 1
