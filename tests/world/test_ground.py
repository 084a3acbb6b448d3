"""The guard: code under test that meets none of its points fails the run instead of holding."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from harness.core.tape import replayed
from harness.errors import InternalError
from harness.world.adoption import _Heap
from harness.world.fibers import World
from harness.world.ground import Ground, prepared
from harness.world.points import settle

ACCOUNT: dict[str, int] = {}


def pay() -> None:
    """Do what must meet a point at once."""
    ACCOUNT["user:1"] = 1


def nothing(key: str = "") -> str:
    """Do what meets none."""
    return key


def in_a_pool() -> None:
    """Submit it."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(nothing, "user:1").result()
        pool.submit(pay).result()


def to_thread() -> None:
    """Await it in the loop's executor."""
    asyncio.run(asyncio.to_thread(pay))


def run_in_executor() -> None:
    """The same, the older way."""

    async def main() -> None:
        await asyncio.get_running_loop().run_in_executor(None, pay)

    asyncio.run(main())


def in_a_thread() -> None:
    """Run it as a thread."""
    thread = threading.Thread(target=pay, name="payer")
    thread._harness_root = pay  # type: ignore[attr-defined] # as a storm does
    thread.start()
    thread.join()


async def settle_up() -> None:
    """Do what must meet a point as soon as it runs."""
    ACCOUNT["user:1"] = 2


def in_a_task() -> None:
    """Run it as a task, by a coroutine that meets none."""

    async def main() -> None:
        await asyncio.gather(settle_up())

    asyncio.run(main())


def cancelled() -> None:
    """Submit it and take it back before it runs."""
    with ThreadPoolExecutor(1) as pool:
        started, go_on = threading.Event(), threading.Event()
        pool.submit(lambda: (started.set(), go_on.wait()))
        late = pool.submit(pay)
        started.wait()
        assert late.cancel()
        go_on.set()


def guarded(ground: Ground, program: Callable[[], Any]) -> None:
    """Make one run and look at it, as `harness.trial` does."""
    world = World(replayed([]))
    ground.run(world, program)
    ground.guard(world, program)


@pytest.mark.parametrize("program", [in_a_pool, to_thread, run_in_executor, in_a_thread])
def test_what_loses_its_points_is_named(program: Callable[[], None]) -> None:
    """Wherever it runs; with its points the same program holds."""
    with prepared(granularity="shared", watchdog_seconds=5) as ground:
        guarded(ground, program)
        pay.__code__ = ground.rewriter.original(pay.__code__)

        with pytest.raises(InternalError, match=r" ran pay \(.*, which is under test, and met no "):
            guarded(ground, program)


def test_a_job_that_never_ran_is_not_blamed() -> None:
    """A future that was cancelled in time has met no point for a good reason."""
    with prepared(granularity="shared", watchdog_seconds=5) as ground:
        guarded(ground, cancelled)


def test_a_task_that_loses_its_points_is_named() -> None:
    """Its coroutine's function is what must have points, whoever made the task."""
    with prepared(granularity="shared", watchdog_seconds=5) as ground:
        guarded(ground, in_a_task)
        settle_up.__code__ = ground.rewriter.original(settle_up.__code__)

        with pytest.raises(InternalError, match=r"'a task' ran settle_up \("):
            guarded(ground, in_a_task)


def use_what_is_real() -> tuple[Any, ...]:
    """Use threads, queues, executors, timers and a loop, as anybody may between two runs."""
    answers: queue.SimpleQueue[str] = queue.SimpleQueue()
    condition = threading.Condition()
    told: list[str] = []

    def tell() -> None:
        with condition:
            told.append("told")
            condition.notify()

    async def wait() -> int:
        async with asyncio.timeout(60):
            await asyncio.sleep(0)
            return await asyncio.to_thread(len, told)

    thread = threading.Thread(target=answers.put, args=("put",))
    late, other = threading.Timer(3600, answers.put, ("late",)), threading.Thread(target=tell)
    for each in (thread, late, other):
        each.start()
    late.cancel()
    with condition:
        condition.wait_for(lambda: told)
    for each in (thread, late, other):
        each.join()
    with ThreadPoolExecutor(2) as pool:
        squares = list(pool.map(lambda n: n * n, range(3)))
    return answers.get(), told, squares, asyncio.run(wait())


def test_what_is_used_between_two_runs_is_real() -> None:
    """Everything stands, and nobody runs in it: real threads start, wait and end as ever."""
    with prepared(granularity="shared", watchdog_seconds=5) as ground:
        guarded(ground, in_a_thread)
        between = use_what_is_real()
        guarded(ground, in_a_thread)

    assert between == ("put", ["told"], [0, 1, 4], 1)


def test_what_is_known_of_rewritten_code_is_not_looked_through_again(tmp_path: Path) -> None:
    """The next scan of the heap meets six objects for each rewritten function: it were 26."""
    with prepared(granularity="shared", watchdog_seconds=5):
        pass  # with all other functions of the process
    lines = (f"def f{n}(x):\n    s.v{n} = x.a + x.b\n    return x.c(s)\n" for n in range(300))
    (tmp_path / "many.py").write_text("class S: pass\ns = S()\n" + "".join(lines))
    spec = importlib.util.spec_from_file_location("many", tmp_path / "many.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    settle()
    gc.collect()
    before = len(_Heap()._holders)

    with prepared(granularity="shared", watchdog_seconds=5) as ground:
        assert ground.rewriter.is_rewritten(module.f299.__code__)
    settle()

    assert len(_Heap()._holders) - before < 8 * 300
