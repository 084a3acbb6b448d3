"""A census names what is contested, and nothing else."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from harness.explore import explore
from harness.search import surw
from harness.search.census import Census

pytestmark = pytest.mark.one_ground


def census_of(function: Any, monkeypatch: Any) -> Census:
    """Return the census of five runs of `function`."""
    seen: list[Census] = []
    drawn = surw._drawn_thing
    monkeypatch.setattr(
        surw, "_drawn_thing", lambda census, below: (seen.append(census), drawn(census, below))[1]
    )
    explore(function, schedules=5, strategy="surw").raise_for_violation()
    return seen[-1]


def started(*targets: Any) -> None:
    """Run threads to their end."""
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_what_only_the_start_of_threads_takes_is_not_contested(monkeypatch: Any) -> None:
    """Each thread has locks of its own; nobody is ever seen to stand before one of them."""
    shared = SimpleNamespace(price=0)

    def reprice(sim: Any) -> None:
        def write() -> None:
            shared.price = 1

        started(write, write, write)

    found = census_of(reprice, monkeypatch)

    assert list(found.contested()) == [".price"]
    # Else the claim would hold because nothing else was touched.
    assert len(found.events) > 1


def test_what_is_only_touched_under_a_lock_counts_as_the_lock(monkeypatch: Any) -> None:
    """One lock guards `price`, and `stock` is read without it: two are contested, not three."""
    shared = SimpleNamespace(price=0, stock=0)

    def sell(sim: Any) -> None:
        lock = threading.Lock()

        def buy() -> None:
            if shared.stock >= 0:
                lock.acquire()
                shared.price += 1
                shared.stock -= 0
                lock.release()

        started(buy, buy)

    contested = census_of(sell, monkeypatch).contested()

    # Two acquisitions, two reads and two writes; or two reads outside, two inside and two writes.
    assert contested == {1: 6.0, ".stock": 6.0}


def test_who_gives_a_lock_back_need_not_have_it(monkeypatch: Any) -> None:
    """Whose lock another has given back holds it no longer, and touches `price` without."""
    shared = SimpleNamespace(price=0)

    def hand_over(sim: Any) -> None:
        lock = threading.Lock()
        lock.acquire()
        started(lock.release)

        def sell() -> None:
            with lock:
                shared.price += 1

        seller = threading.Thread(target=sell)
        seller.start()
        shared.price -= 1
        seller.join()

    assert ".price" in census_of(hand_over, monkeypatch).contested()


def test_giving_a_lock_back_is_no_event(monkeypatch: Any) -> None:
    """Whoever has a lock gives it back without being in anybody's way."""

    def guard(sim: Any) -> None:
        lock = threading.Lock()

        def enter() -> None:
            lock.acquire()
            lock.release()

        started(enter, enter)

    assert census_of(guard, monkeypatch).contested() == {1: 2.0}
