"""Programs that fail only if waits, wake-ups, loops and timers count as what they touch."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import SimpleNamespace
from typing import Any


def _together(*targets: Callable[[], None]) -> None:
    workers = [threading.Thread(target=target) for target in targets]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


# --- a lost wake-up -------------------------------------------------------------------------------


def lost_wake_up(sim: Any) -> None:
    """The letter comes between the look and the wait."""
    box = SimpleNamespace(letter=False)
    changed = threading.Condition()

    def take() -> None:
        if not box.letter:
            with changed:
                changed.wait()

    def put() -> None:
        box.letter = True
        with changed:
            changed.notify()

    _together(take, put)


def lost_wake_up_of_a_list(sim: Any) -> None:
    """As above; what is looked at is no attribute, but what lies in it."""
    box = SimpleNamespace(letters=[])
    changed = threading.Condition()

    def take() -> None:
        if not box.letters:
            with changed:
                changed.wait()

    def put() -> None:
        box.letters.append("letter")
        with changed:
            changed.notify()

    _together(put, take)


def joined_too_early(sim: Any) -> None:
    """One starts a thread for which another one waits."""
    late = threading.Thread(target=str)

    def start() -> None:
        late.start()

    def join() -> None:
        late.join()

    _together(start, join)


def _looks_before_it_is_given_back(work: Callable[[threading.Lock, threading.Event], None]) -> None:
    """Who is told of the work finds the lock still held, and gives up."""
    lock, done = threading.Lock(), threading.Event()
    found: list[bool] = []

    def look() -> None:
        done.wait()
        found.append(lock.acquire(blocking=False))

    _together(lambda: work(lock, done), look)
    assert found == [True]


def told_inside_the_with(sim: Any) -> None:
    """The end of the `with` comes after the word that the work is done."""

    def work(lock: threading.Lock, done: threading.Event) -> None:
        with lock:
            done.set()

    _looks_before_it_is_given_back(work)


def told_where_a_with_is_left_by_an_exception(sim: Any) -> None:
    """As before, and what ends the `with` is an exception."""

    def work(lock: threading.Lock, done: threading.Event) -> None:
        with suppress(ZeroDivisionError), lock:
            done.set()
            raise ZeroDivisionError

    _looks_before_it_is_given_back(work)


def told_behind_the_with(sim: Any) -> None:
    """The fixed twin of both: it is told when the lock has been given back."""

    def work(lock: threading.Lock, done: threading.Event) -> None:
        with lock:
            pass
        done.set()

    _looks_before_it_is_given_back(work)


def looks_whether_a_thread_has_ended(sim: Any) -> None:
    """Who is told by a thread of its last deed may find it alive."""
    done = threading.Event()

    def work() -> None:
        done.set()

    worker = threading.Thread(target=work)
    worker.start()
    done.wait()
    assert not worker.is_alive()


def looks_whether_a_job_is_done(sim: Any) -> None:
    """Who is told by a job of its last deed may find it still running."""
    done = threading.Event()

    def work() -> None:
        done.set()

    with ThreadPoolExecutor(1) as executor:
        job = executor.submit(work)
        done.wait()
        assert job.done()


def lost_wake_up_fixed(sim: Any) -> None:
    """Look and wait are one critical section."""
    box = SimpleNamespace(letter=False)
    changed = threading.Condition()

    def take() -> None:
        with changed:
            while not box.letter:
                changed.wait()

    def put() -> None:
        with changed:
            box.letter = True
            changed.notify()

    _together(take, put)


# --- a notification of the wrong side -------------------------------------------------------------


def _counter_of_one(wake: Callable[[threading.Condition], None]) -> None:
    counter: list[str] = []
    changed = threading.Condition()

    def bake() -> None:
        with changed:
            while counter:
                changed.wait()
            counter.append("loaf")
            wake(changed)

    def buy() -> None:
        with changed:
            while not counter:
                changed.wait()
            counter.pop()
            wake(changed)

    _together(buy, buy, bake, bake)


def wrong_side_notified(sim: Any) -> None:
    """One waiter is woken, and it may be of the side that has nothing to do."""
    _counter_of_one(threading.Condition.notify)


def wrong_side_notified_fixed(sim: Any) -> None:
    """All are woken."""
    _counter_of_one(threading.Condition.notify_all)


# --- a call to a loop that is closed --------------------------------------------------------------


def _nothing() -> None:
    """What the loop is asked to call."""


def call_soon_after_close(sim: Any) -> None:
    """The thread has one more call for the loop, which may have ended with the first."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        called = asyncio.Event()

        def call_twice() -> None:
            loop.call_soon_threadsafe(called.set)
            loop.call_soon_threadsafe(_nothing)

        threading.Thread(target=call_twice).start()
        await called.wait()

    asyncio.run(main())


def call_soon_after_close_fixed(sim: Any) -> None:
    """What the loop waits for is the last call."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        called = asyncio.Event()

        def call_twice() -> None:
            loop.call_soon_threadsafe(_nothing)
            loop.call_soon_threadsafe(called.set)

        threading.Thread(target=call_twice).start()
        await called.wait()

    asyncio.run(main())


# --- a time-out against a grant -------------------------------------------------------------------


def _permit_after(seconds: float) -> None:
    permits = threading.Semaphore(0)

    def grant() -> None:
        time.sleep(seconds)
        permits.release()

    def ask() -> None:
        assert permits.acquire(timeout=1.0), "asked in vain"

    _together(grant, ask)


def time_out_against_grant(sim: Any) -> None:
    """The permit comes at the instant at which patience ends."""
    _permit_after(1.0)


def time_out_against_grant_fixed(sim: Any) -> None:
    """It comes before."""
    _permit_after(0.5)


# --- what a loop has still to do ------------------------------------------------------------------


async def cancelled_with_the_permit(sim: Any) -> None:
    """The task may be cancelled in its second turn, when nobody gives the permit back."""
    permits = asyncio.Semaphore(1)
    has_permit, through = asyncio.Event(), asyncio.Event()
    following: list[asyncio.Task[None]] = []

    async def use() -> None:
        await permits.acquire()
        has_permit.set()
        await asyncio.sleep(0)
        try:
            await asyncio.sleep(0)
        finally:
            permits.release()

    async def use_next() -> None:
        async with permits:
            through.set()

    async def cancel() -> None:
        user.cancel()
        following.append(asyncio.create_task(use_next()))

    user = asyncio.create_task(use())
    await has_permit.wait()
    following.append(asyncio.create_task(cancel()))
    await through.wait()


async def overtaken_by_a_callback(sim: Any) -> None:
    """What the second task has called soon may come before the program ends, as well as behind."""
    box = SimpleNamespace(changed=False, seen=None, told=False)

    async def look() -> None:
        box.seen = box.changed

    async def change() -> None:
        box.changed = True
        asyncio.get_running_loop().call_soon(setattr, box, "told", True)

    first, second = asyncio.create_task(look()), asyncio.create_task(change())
    await first
    await second
    assert box.seen or not box.told
