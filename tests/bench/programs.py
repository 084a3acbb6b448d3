"""The programs that are timed, in plain `threading` and `asyncio`.

They are the corrected twins, so that every schedule is run, but for one that says so. They take
whatever they are given and look at nothing of it, so that each tool can run them as they are.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any


class Counter:
    """A number that several threads raise."""

    def __init__(self) -> None:
        self.value = 0
        self.lock = threading.Lock()

    def raise_once(self) -> None:
        """Add one, under the lock."""
        with self.lock:
            self.value += 1


def _all(*targets: Callable[[], object]) -> None:
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def counter(_: object = None) -> None:
    """Two threads raise one number."""
    number = Counter()
    _all(number.raise_once, number.raise_once)
    assert number.value == 2


def bank(_: object = None) -> None:
    """Three transfers go round three accounts."""
    accounts = [100, 100, 100]
    lock = threading.Lock()

    def transfer(source: int, target: int) -> None:
        with lock:
            if accounts[source] >= 30:
                accounts[source] -= 30
                accounts[target] += 30

    _all(lambda: transfer(0, 1), lambda: transfer(1, 2), lambda: transfer(2, 0))
    assert sum(accounts) == 300


def bank_unlocked(_: object = None) -> None:
    """Three transfers go round three accounts, and nothing keeps them apart: it fails."""
    accounts = [100, 100, 100]

    def transfer(source: int, target: int) -> None:
        if accounts[source] >= 30:
            accounts[source] -= 30
            accounts[target] += 30

    _all(lambda: transfer(0, 1), lambda: transfer(1, 2), lambda: transfer(2, 0))
    assert sum(accounts) == 300


class Flag:
    """A condition with the state that it is about."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.is_set = False

    def wait(self) -> None:
        """Wait until it is set."""
        with self.changed:
            while not self.is_set:
                self.changed.wait()

    def set(self) -> None:
        """Set it and wake whoever waits."""
        with self.changed:
            self.is_set = True
            self.changed.notify()


def lost_wakeup(_: object = None) -> None:
    """One thread waits for a flag that another sets."""
    flag = Flag()
    _all(flag.wait, flag.set)
    assert flag.is_set


class Buffer:
    """A buffer of capacity one with two conditions."""

    def __init__(self) -> None:
        self.items: list[int] = []
        self.lock = threading.Lock()
        self.not_full = threading.Condition(self.lock)
        self.not_empty = threading.Condition(self.lock)

    def put(self, item: int) -> None:
        """Add an item, waiting for room."""
        with self.lock:
            while len(self.items) >= 1:
                self.not_full.wait()
            self.items.append(item)
            self.not_empty.notify()

    def take(self) -> int:
        """Take an item, waiting for one."""
        with self.lock:
            while not self.items:
                self.not_empty.wait()
            item = self.items.pop()
            self.not_full.notify()
            return item


def bounded_buffer(_: object = None) -> None:
    """Two producers and two consumers share a buffer of one."""
    buffer = Buffer()
    taken: list[int] = []
    _all(
        lambda: buffer.put(1),
        lambda: buffer.put(2),
        lambda: taken.append(buffer.take()),
        lambda: taken.append(buffer.take()),
    )
    assert sorted(taken) == [1, 2]


def ordered_locks(_: object = None) -> None:
    """Two threads take two locks in the same order."""
    first, second = threading.Lock(), threading.Lock()
    number = Counter()

    def both() -> None:
        with first, second:
            number.value += 1

    _all(both, both)
    assert number.value == 2


def philosophers(_: object = None) -> None:
    """Three philosophers, the last of whom is left-handed."""
    forks = [threading.Lock() for _ in range(3)]
    eaten = Counter()

    def dine(index: int) -> None:
        low, high = sorted((index, (index + 1) % 3))
        with forks[low], forks[high]:
            eaten.raise_once()

    _all(lambda: dine(0), lambda: dine(1), lambda: dine(2))
    assert eaten.value == 3


def table(_: object = None) -> None:
    """Three philosophers, the last of whom is left-handed, take their forks and put them back."""
    forks = [threading.Lock() for _ in range(3)]

    def dine(index: int) -> None:
        low, high = sorted((index, (index + 1) % 3))
        with forks[low], forks[high]:
            pass

    _all(lambda: dine(0), lambda: dine(1), lambda: dine(2))


async def check_then_act(_: object = None) -> None:
    """Three tasks fill one cache slot, each looking again after it waited."""
    cache: dict[str, int] = {}
    lock = asyncio.Lock()
    made = 0

    async def get() -> int:
        nonlocal made
        async with lock:
            if "key" not in cache:
                await asyncio.sleep(0)
                made += 1
                cache["key"] = made
            return cache["key"]

    await asyncio.gather(get(), get(), get())
    assert made == 1


THREADED: dict[str, Callable[[object], None]] = {
    "counter2": counter,
    "bank3": bank,
    "lost_wakeup": lost_wakeup,
    "bounded_buffer": bounded_buffer,
    "ab_ba": ordered_locks,
    "philosophers3": philosophers,
}
ASYNC: dict[str, Callable[[object], Coroutine[Any, Any, None]]] = {
    "check_then_act3": check_then_act
}


def many_points(threads: int, points: int) -> Callable[[object], None]:
    """Return a program of `threads` threads with `points` shared accesses each."""

    def program(_: object = None) -> None:
        number = Counter()

        def work() -> None:
            for _ in range(points // 2):
                number.value = 1

        _all(*[work] * threads)

    return program


def many_tasks(tasks: int, turns: int = 1) -> Callable[[object], Coroutine[Any, Any, None]]:
    """Return a program of `tasks` tasks that give way `turns` times each."""

    async def program(_: object = None) -> None:
        async def work() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        await asyncio.gather(*[work() for _ in range(tasks)])

    return program


def handover(turns: int) -> Callable[[object], None]:
    """Return a program of two threads whose every step is the taking or giving of a lock."""

    def program(_: object = None) -> None:
        lock = threading.Lock()

        def work() -> None:
            for _ in range(turns):
                lock.acquire()
                lock.release()

        _all(work, work)

    return program
