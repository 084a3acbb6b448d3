"""Programs whose outcome is a matter of time: sleeps, waits with a limit, timers, a barrier."""

from __future__ import annotations

import queue
import threading
import time
from typing import Any

import pytest

from tests.programs.together import together


def two_sleepers(sim: Any) -> None:
    """Two threads sleep for fifteen seconds at once."""
    first = threading.Thread(target=time.sleep, args=(15,))
    second = threading.Thread(target=time.sleep, args=(15,))
    first.start()
    second.start()
    first.join()
    second.join()
    assert time.monotonic() == 15.0
    assert sim.now() == 15.0


def the_shorter_sleep_first(sim: Any) -> None:
    """One sleeps for a second, the other for ten; each then notes that it acted."""
    acted: list[tuple[str, float]] = []

    def early() -> None:
        time.sleep(1)
        acted.append(("early", time.monotonic()))

    def late() -> None:
        time.sleep(10)
        acted.append(("late", time.monotonic()))

    together(late, early)
    assert acted == [("early", 1.0), ("late", 10.0)]


def a_wait_without_a_setter(sim: Any) -> None:
    """Nobody ever sets the event."""
    assert threading.Event().wait(5) is False
    assert time.monotonic() == 5.0


def a_wait_that_ends_before_the_setter(sim: Any) -> None:
    """The setter sleeps for ten seconds, the waiter waits for two."""
    event = threading.Event()

    def setter() -> None:
        time.sleep(10)
        event.set()

    def waiter() -> None:
        assert event.wait(2) is False
        assert time.monotonic() == 2.0

    together(setter, waiter)
    assert time.monotonic() == 10.0


def an_empty_queue(sim: Any) -> None:
    """Nobody ever puts anything."""
    with pytest.raises(queue.Empty):
        queue.Queue().get(timeout=7)
    assert time.monotonic() == 7.0


def two_timers(sim: Any) -> None:
    """One timer is left alone, the other is cancelled after ten seconds."""
    fired: list[tuple[str, float]] = []
    kept = threading.Timer(30, lambda: fired.append(("kept", time.monotonic())))
    cancelled = threading.Timer(30, lambda: fired.append(("cancelled", time.monotonic())))
    kept.start()
    cancelled.start()
    time.sleep(10)
    cancelled.cancel()
    cancelled.join()
    assert time.monotonic() == 10.0
    kept.join()
    assert fired == [("kept", 30.0)]
    assert threading.enumerate() == [threading.main_thread()]


def a_barrier_twice(sim: Any) -> None:
    """Three parties come to a barrier at different times, and come again."""
    barrier = threading.Barrier(3)
    lock = threading.Lock()
    arrived = [0, 0]

    def party(pace: float) -> None:
        for turn in (0, 1):
            time.sleep(pace)
            with lock:
                arrived[turn] += 1
            barrier.wait()
            assert arrived[turn] == 3, "somebody passed before the third arrived"

    together(lambda: party(0), lambda: party(1), lambda: party(1))
    assert arrived == [3, 3]
