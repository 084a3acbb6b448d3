"""Who waits for a lock competes with whoever takes it, however long ago he came to wait."""

from __future__ import annotations

import queue
import threading
import time
from typing import Any

from harness.explore import explore


def test_a_sleep_under_a_lock_hides_no_order_of_those_who_wait() -> None:
    """Three hold a lock for a second each: six orders, six traces, six runs."""
    orders: set[tuple[int, ...]] = set()

    def program(sim: Any) -> None:
        lock = threading.Lock()
        order: list[int] = []

        def hold(number: int) -> None:
            with lock:
                time.sleep(1)
                order.append(number)

        with sim.storm() as storm:
            for number in range(3):
                storm.spawn(hold, number)
        orders.add(tuple(order))

    assert explore(program, strategy="exhaustive").summary == "Holds (exhausted: 6 traces)"
    assert len(orders) == 6


def test_either_of_two_getters_gets_what_comes_later() -> None:
    """Both wait when the first item is put, and again when a second later the next one is."""
    winners: set[str] = set()

    def program(sim: Any) -> None:
        items: queue.SimpleQueue[int] = queue.SimpleQueue()
        got: dict[str, int] = {}

        def get(name: str) -> None:
            got[name] = items.get()

        with sim.storm() as storm:
            storm.spawn(get, "left")
            storm.spawn(get, "right")
            time.sleep(1)
            items.put(1)
            time.sleep(1)
            items.put(2)
        winners.add(min(got, key=lambda name: got[name]))

    assert explore(program, strategy="exhaustive").exhausted
    assert winners == {"left", "right"}


def test_what_another_container_holds_is_read_with_the_one_that_is_extended() -> None:
    """`extend` reads a list that nobody hands to the search; it is found all the same."""

    def program(sim: Any) -> None:
        source: list[int] = []
        target: list[int] = [0]

        with sim.storm() as storm:
            storm.spawn(lambda: source.append(1), name="writer")
            storm.spawn(lambda: target.extend(source), name="reader")
        assert target == [0]

    assert explore(program, strategy="exhaustive").verdict == "Failed"
