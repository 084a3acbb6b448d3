"""A deadlock of some is seen while others go on; who could still be helped is not called stuck."""

from __future__ import annotations

import threading
import time
from typing import Any

from harness.explore import explore


def _ticking() -> None:
    while True:
        time.sleep(1)


def _crosswise(sim: Any, first: Any, second: Any, ticking: Any) -> None:
    """Two take two locks crosswise while a third goes on for ever."""
    sim.background("ticker")
    threading.Thread(target=ticking, name="ticker", daemon=True).start()
    have_one = threading.Barrier(2)

    def take(mine: Any, other: Any) -> None:
        with mine:
            have_one.wait()
            with other:
                pass

    workers = (
        threading.Thread(target=take, args=(first, second), name="left"),
        threading.Thread(target=take, args=(second, first), name="right"),
    )
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def test_a_circle_is_a_deadlock_though_a_ticker_keeps_time_moving() -> None:
    """The two are named; the ticker, which could run for ever, is not."""

    def program(sim: Any) -> None:
        _crosswise(sim, threading.Lock(), threading.Lock(), _ticking)

    violation = explore(program, schedules=1).violation

    assert violation is not None
    assert violation.check == "Deadlock"
    assert violation.summary.startswith("'left' and 'right' wait for each other")


def test_reentrant_locks_need_no_look_at_who_could_reach_them() -> None:
    """Nobody but its owner can release one."""
    first, second = threading.RLock(), threading.RLock()

    def program(sim: Any) -> None:
        _crosswise(sim, first, second, _ticking)

    assert explore(program, schedules=1).verdict == "Deadlock"


def test_a_circle_that_somebody_else_can_open_is_none() -> None:
    """The one who ticks releases one of the locks in the end."""

    def program(sim: Any) -> None:
        first, second = threading.Lock(), threading.Lock()

        def ticking() -> None:
            for _ in range(200):
                time.sleep(1)
            second.release()

        sim.background("ticker")
        threading.Thread(target=ticking, name="ticker", daemon=True).start()
        have_both = threading.Barrier(2)

        def left() -> None:
            first.acquire()
            have_both.wait()
            second.acquire()
            first.release()

        def right() -> None:
            second.acquire()
            have_both.wait()
            first.acquire()

        workers = threading.Thread(target=left), threading.Thread(target=right)
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    assert explore(program, schedules=1).verdict == "holds"
