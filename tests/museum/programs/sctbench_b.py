"""The programs of SCTBench, second part: A10 to A16."""

from __future__ import annotations

import threading
from collections import deque
from types import SimpleNamespace
from typing import Any

from tests.museum.programs.posix import PosixCondition
from tests.museum.programs.starting import threads

# --- A10 ------------------------------------------------------------------------------------------


def phase01(sim: Any) -> None:
    """A thread ends with `x` held: the other is stuck, in every schedule."""
    x, y = threading.Lock(), threading.Lock()

    def phases() -> None:
        x.acquire()
        x.release()
        x.acquire()
        y.acquire()
        y.release()
        y.acquire()
        y.release()

    workers = threads(phases, phases)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def phase01_fixed(sim: Any) -> None:
    """`x` is released at the end."""
    x, y = threading.Lock(), threading.Lock()

    def phases() -> None:
        x.acquire()
        x.release()
        x.acquire()
        y.acquire()
        y.release()
        y.acquire()
        y.release()
        x.release()

    workers = threads(phases, phases)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


# --- A11 ------------------------------------------------------------------------------------------

_LENGTH = 20


def queue(sim: Any) -> None:
    """A turn that finds its flag down is skipped, and the number goes up all the same."""
    s = SimpleNamespace(enqueue=True, dequeue=False)
    stored, items = [0] * _LENGTH, deque[int]()
    m = threading.Lock()

    def sender() -> None:
        value = 0
        m.acquire()
        items.append(value)
        stored[0] = value
        m.release()
        for i in range(_LENGTH - 1):
            m.acquire()
            if s.enqueue:
                value += 1
                items.append(value)
                stored[i + 1] = value
                s.enqueue = False
                s.dequeue = True
            m.release()

    def receiver() -> None:
        for i in range(_LENGTH):
            m.acquire()
            if s.dequeue:
                assert items.popleft() == stored[i]
                s.dequeue = False
                s.enqueue = True
            m.release()

    workers = threads(sender, receiver)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def queue_fixed(sim: Any) -> None:
    """Whoever finds its flag down waits for it."""
    s = SimpleNamespace(enqueue=True, dequeue=False)
    stored, items = [0] * _LENGTH, deque[int]()
    m = threading.Lock()
    changed = threading.Condition(m)

    def sender() -> None:
        for i in range(_LENGTH):
            m.acquire()
            while not s.enqueue:
                changed.wait()
            items.append(i)
            stored[i] = i
            s.enqueue = False
            s.dequeue = True
            changed.notify()
            m.release()

    def receiver() -> None:
        for i in range(_LENGTH):
            m.acquire()
            while not s.dequeue:
                changed.wait()
            assert items.popleft() == stored[i]
            s.dequeue = False
            s.enqueue = True
            changed.notify()
            m.release()

    workers = threads(sender, receiver)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


# --- A12 ------------------------------------------------------------------------------------------


def _reorder(setters: int, checkers: int) -> None:
    s = SimpleNamespace(a=0, b=0)

    def write() -> None:
        s.a = 1
        s.b = -1

    def check() -> None:
        assert (s.a == 0 and s.b == 0) or (s.a == 1 and s.b == -1)

    workers = threads(*(write,) * setters, *(check,) * checkers)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def _reorder_fixed(setters: int, checkers: int) -> None:
    s = SimpleNamespace(a=0, b=0)
    m = threading.Lock()

    def write() -> None:
        m.acquire()
        s.a = 1
        s.b = -1
        m.release()

    def check() -> None:
        m.acquire()
        assert (s.a == 0 and s.b == 0) or (s.a == 1 and s.b == -1)
        m.release()

    workers = threads(*(write,) * setters, *(check,) * checkers)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def reorder_3(sim: Any) -> None:
    """A checker reads between the first setter's two writes; two setters, one checker."""
    _reorder(2, 1)


def reorder_3_fixed(sim: Any) -> None:
    """Both writes and both reads are made under a lock."""
    _reorder_fixed(2, 1)


def reorder_4(sim: Any) -> None:
    """Three setters, one checker."""
    _reorder(3, 1)


def reorder_4_fixed(sim: Any) -> None:
    """Both writes and both reads are made under a lock."""
    _reorder_fixed(3, 1)


def reorder_5(sim: Any) -> None:
    """Four setters, one checker."""
    _reorder(4, 1)


def reorder_5_fixed(sim: Any) -> None:
    """Both writes and both reads are made under a lock."""
    _reorder_fixed(4, 1)


def reorder_10(sim: Any) -> None:
    """Nine setters, one checker."""
    _reorder(9, 1)


def reorder_10_fixed(sim: Any) -> None:
    """Both writes and both reads are made under a lock."""
    _reorder_fixed(9, 1)


def reorder_20(sim: Any) -> None:
    """Ten setters, ten checkers."""
    _reorder(10, 10)


def reorder_20_fixed(sim: Any) -> None:
    """Both writes and both reads are made under a lock."""
    _reorder_fixed(10, 10)


def reorder_50(sim: Any) -> None:
    """Forty-nine setters, one checker."""
    _reorder(49, 1)


def reorder_50_fixed(sim: Any) -> None:
    """Both writes and both reads are made under a lock."""
    _reorder_fixed(49, 1)


# --- A13 ------------------------------------------------------------------------------------------


def sigma_4(sim: Any) -> None:
    """Four threads raise one number without a lock."""
    s = SimpleNamespace(sum=0)

    def raise_once() -> None:
        s.sum += 1

    workers = threads(*(raise_once,) * 4)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert s.sum == 4


def sigma_4_fixed(sim: Any) -> None:
    """They raise it under a lock."""
    s = SimpleNamespace(sum=0)
    m = threading.Lock()

    def raise_once() -> None:
        m.acquire()
        s.sum += 1
        m.release()

    workers = threads(*(raise_once,) * 4)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert s.sum == 4


# --- A14 ------------------------------------------------------------------------------------------


def stack(sim: Any) -> None:
    """The flag says that something was pushed once, and is never taken down."""
    s = SimpleNamespace(top=0, flag=False)
    m = threading.Lock()

    def push() -> None:
        for _ in range(10):
            m.acquire()
            assert s.top < 10
            s.top += 1
            s.flag = True
            m.release()

    def pop() -> None:
        for _ in range(10):
            m.acquire()
            if s.flag:
                assert s.top > 0
                s.top -= 1
            m.release()

    workers = threads(push, pop)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def stack_fixed(sim: Any) -> None:
    """What is tested is the stack itself."""
    s = SimpleNamespace(top=0)
    m = threading.Lock()

    def push() -> None:
        for _ in range(10):
            m.acquire()
            assert s.top < 10
            s.top += 1
            m.release()

    def pop() -> None:
        for _ in range(10):
            m.acquire()
            if s.top > 0:
                s.top -= 1
            m.release()

    workers = threads(push, pop)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


# --- A15 ------------------------------------------------------------------------------------------


def _sync01(taken: int) -> None:
    s = SimpleNamespace(number=1)
    m = threading.Lock()
    empty, full = PosixCondition(m), PosixCondition(m)

    def fill() -> None:
        m.acquire()
        while s.number > 0:
            empty.wait()
        s.number += 1
        m.release()
        full.notify()

    def drain() -> None:
        m.acquire()
        while s.number == 0:
            full.wait()
        if taken:
            s.number -= taken
        m.release()
        empty.notify()

    workers = threads(fill, drain)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def sync01(sim: Any) -> None:
    """The consumer says that there is room and takes nothing: the producer waits for ever."""
    _sync01(0)


def sync01_fixed(sim: Any) -> None:
    """It takes one."""
    _sync01(1)


# --- A16 ------------------------------------------------------------------------------------------


def _sync02(taken: int) -> None:
    s = SimpleNamespace(number=2)
    m = threading.Lock()
    empty, full = PosixCondition(m), PosixCondition(m)

    def fill() -> None:
        for _ in range(2):
            m.acquire()
            while s.number > 0:
                empty.wait()
            s.number += 1
            m.release()
            full.notify()

    def drain() -> None:
        for _ in range(taken):
            m.acquire()
            while s.number == 0:
                full.wait()
            s.number -= 1
            m.release()
            empty.notify()

    workers = threads(fill, drain)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def sync02(sim: Any) -> None:
    """The consumer takes the two that were there and ends; the producer waits for ever."""
    _sync02(2)


def sync02_fixed(sim: Any) -> None:
    """It takes four."""
    _sync02(4)
