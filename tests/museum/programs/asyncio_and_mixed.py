"""Programs of tasks, of loops beside threads, and of what only Python has."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from operator import methodcaller
from types import SimpleNamespace
from typing import Any

from tests.museum.programs.atomic import Atomic
from tests.museum.programs.starting import threads

# --- D01 ------------------------------------------------------------------------------------------


async def lost_update_across_await(sim: Any) -> None:
    """Between the read and the write another task has its turn."""
    s = SimpleNamespace(number=0)
    turns, left = Atomic(0), Atomic(2)
    through = asyncio.Event()

    async def raise_twice() -> None:
        # Each turn counts itself, so that any two of them depend on each other.
        turns.update(1)
        t = s.number
        await asyncio.sleep(0)
        turns.update(2)
        s.number = t + 1
        await asyncio.sleep(0)
        turns.update(3)
        t = s.number
        await asyncio.sleep(0)
        turns.update(4)
        s.number = t + 1
        # To be joined would be another turn.
        if left.add(-1) == 0:
            through.set()

    tasks = asyncio.create_task(raise_twice()), asyncio.create_task(raise_twice())
    await through.wait()
    assert s.number == 4
    del tasks


async def lost_update_across_await_fixed(sim: Any) -> None:
    """Read and write lie between two awaits."""
    s = SimpleNamespace(number=0)

    async def raise_twice() -> None:
        for _ in range(2):
            await asyncio.sleep(0)
            s.number += 1

    first, second = asyncio.create_task(raise_twice()), asyncio.create_task(raise_twice())
    await first
    await second
    assert s.number == 4


# --- D02 ------------------------------------------------------------------------------------------


async def cancel_between_acquire_and_try(sim: Any) -> None:
    """The task is cancelled when it has the permit and has not entered the `try` yet."""
    permits = asyncio.Semaphore(1)

    async def use() -> None:
        await permits.acquire()
        await asyncio.sleep(0)  # writes to a log
        try:
            await asyncio.sleep(0)
        finally:
            permits.release()

    async def cancel() -> None:
        await asyncio.sleep(0)
        user.cancel()

    async def use_next() -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await permits.acquire()
        permits.release()

    user = asyncio.create_task(use())
    others = asyncio.create_task(cancel()), asyncio.create_task(use_next())
    await asyncio.wait((user,))
    for other in others:
        await other


async def cancel_between_acquire_and_try_fixed(sim: Any) -> None:
    """`async with` releases whatever happens after it has acquired."""
    permits = asyncio.Semaphore(1)

    async def use() -> None:
        async with permits:
            await asyncio.sleep(0)  # writes to a log
            await asyncio.sleep(0)

    async def cancel() -> None:
        await asyncio.sleep(0)
        user.cancel()

    async def use_next() -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await permits.acquire()
        permits.release()

    user = asyncio.create_task(use())
    others = asyncio.create_task(cancel()), asyncio.create_task(use_next())
    await asyncio.wait((user,))
    for other in others:
        await other


# --- D04 ------------------------------------------------------------------------------------------


def _self_submit(workers: int) -> None:
    executor = ThreadPoolExecutor(workers)
    answers: list[int] = []
    answered = threading.Event()

    def inner() -> int:
        return 1

    def outer() -> None:
        answers.append(executor.submit(inner).result() + 1)
        answered.set()

    executor.submit(outer)
    answered.wait()
    executor.shutdown()
    assert answers == [2]


def executor_self_submit(sim: Any) -> None:
    """The one worker waits for a job that only it could do."""
    _self_submit(1)


def executor_self_submit_fixed(sim: Any) -> None:
    """There is a worker for either."""
    _self_submit(2)


# --- D06 ------------------------------------------------------------------------------------------


def _finaliser(m: Any) -> None:
    """Collect garbage in a thread that holds `m`, if there is garbage by then.

    The collection is modelled: another thread leaves garbage behind, and the owner of the lock
    finalises what it finds when it allocates.
    """
    s = SimpleNamespace(garbage=False)

    def own() -> None:
        m.acquire()
        if s.garbage:
            m.acquire()
            m.release()
        m.release()

    def drop() -> None:
        s.garbage = True

    workers = threads(own, drop)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def finaliser_reentry(sim: Any) -> None:
    """A finaliser takes the lock that the thread it runs in has."""
    _finaliser(threading.Lock())


def finaliser_reentry_fixed(sim: Any) -> None:
    """The lock may be taken twice by its owner."""
    _finaliser(threading.RLock())


# --- D07 ------------------------------------------------------------------------------------------


def fork_while_locked(sim: Any) -> None:
    """The child has the lock as it was when it was forked, and nobody to release it.

    The fork is modelled: the one who forks goes on as the child, with a copy of the lock.
    """
    m, copy = threading.Lock(), threading.Lock()

    def use() -> None:
        m.acquire()
        m.release()
        m.acquire()
        m.release()

    user = threading.Thread(target=use)
    user.start()
    if m.locked():
        _acquire(copy)
    copy.acquire()


def fork_while_locked_fixed(sim: Any) -> None:
    """Who forks takes the lock first, so that the child has it and can release it."""
    m, copy = threading.Lock(), threading.Lock()

    def use() -> None:
        m.acquire()
        m.release()
        m.acquire()
        m.release()

    user = threading.Thread(target=use)
    user.start()
    m.acquire()
    if m.locked():
        _acquire(copy)
    m.release()
    copy.release()
    copy.acquire()


# A call of something in C is no point: the copy of a held lock is held from the start.
_acquire = methodcaller("acquire")

# --- D08 ------------------------------------------------------------------------------------------


def blocking_call_in_the_loop(sim: Any) -> None:
    """The loop blocks on a lock whose owner waits for the loop."""
    m = threading.Lock()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        asked, answered = asyncio.Event(), threading.Event()

        def owner() -> None:
            m.acquire()
            loop.call_soon_threadsafe(asked.set)
            loop.call_soon_threadsafe(answered.set)
            answered.wait()
            m.release()

        thread = threading.Thread(target=owner)
        thread.start()
        await asked.wait()
        m.acquire()
        m.release()
        thread.join()

    asyncio.run(main())


def blocking_call_in_the_loop_fixed(sim: Any) -> None:
    """What blocks is done in another thread."""
    m = threading.Lock()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        asked, answered = asyncio.Event(), threading.Event()

        def owner() -> None:
            m.acquire()
            loop.call_soon_threadsafe(asked.set)
            loop.call_soon_threadsafe(answered.set)
            answered.wait()
            m.release()

        def use() -> None:
            m.acquire()
            m.release()

        thread = threading.Thread(target=owner)
        thread.start()
        await asked.wait()
        await asyncio.to_thread(use)
        await asyncio.to_thread(thread.join)

    asyncio.run(main())


# --- D09 ------------------------------------------------------------------------------------------


def _in_two_loops(use: Callable[[], Coroutine[Any, Any, None]]) -> None:
    def run() -> None:
        asyncio.run(use())

    for worker in threads(run, run):
        worker.start()


def lock_of_two_loops(sim: Any) -> None:
    """A waiter is woken by a thread that is not its loop's: its loop does not notice."""
    lock = asyncio.Lock()

    async def use() -> None:
        await lock.acquire()
        await asyncio.sleep(0)
        lock.release()

    _in_two_loops(use)


def lock_of_two_loops_fixed(sim: Any) -> None:
    """Threads exclude each other by a lock of threads."""
    lock = threading.Lock()

    async def use() -> None:
        await asyncio.to_thread(lock.acquire)
        await asyncio.sleep(0)
        lock.release()

    _in_two_loops(use)


# --- D10 ------------------------------------------------------------------------------------------


class _Worker:
    """Takes one job from a queue, in a thread of its own. One loop."""

    def __init__(self) -> None:
        self.jobs: queue.Queue[str | None] = queue.Queue()
        self.executor = ThreadPoolExecutor(1)

    def start(self) -> asyncio.Future[str | None]:
        """Have it wait for its job."""
        return asyncio.get_running_loop().run_in_executor(self.executor, self.jobs.get)


async def unawaited_shutdown(sim: Any) -> None:
    """The worker waits for a job that nobody hands in, and nobody waits for the worker."""
    _Worker().start()
    await asyncio.sleep(0)


async def unawaited_shutdown_fixed(sim: Any) -> None:
    """The worker is told to end, and waited for."""
    worker = _Worker()
    ended = worker.start()
    await asyncio.sleep(0)
    worker.jobs.put(None)
    await ended
    worker.executor.shutdown()
