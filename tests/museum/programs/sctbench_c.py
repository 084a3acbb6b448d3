"""The programs of SCTBench, third part: A18 to A22."""

from __future__ import annotations

import threading
import time
from operator import attrgetter
from types import SimpleNamespace
from typing import Any

from tests.museum.programs.atomic import Atomic
from tests.museum.programs.starting import threads

# --- A18 ------------------------------------------------------------------------------------------


def _twostage(writers: int) -> None:
    s = SimpleNamespace(first=0, second=0)
    m1, m2 = threading.Lock(), threading.Lock()

    def write() -> None:
        m1.acquire()
        s.first = 1
        m1.release()
        m2.acquire()
        t = s.first
        s.second = t + 1
        m2.release()

    def read() -> None:
        m1.acquire()
        first = s.first
        if first == 0:
            m1.release()
            return
        m1.release()
        m2.acquire()
        second = s.second
        m2.release()
        assert second == first + 1

    workers = threads(*(write,) * writers, read)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def _twostage_fixed(writers: int) -> None:
    s = SimpleNamespace(first=0, second=0)
    m = threading.Lock()

    def write() -> None:
        m.acquire()
        s.first = 1
        t = s.first
        s.second = t + 1
        m.release()

    def read() -> None:
        m.acquire()
        first = s.first
        if first == 0:
            m.release()
            return
        second = s.second
        m.release()
        assert second == first + 1

    workers = threads(*(write,) * writers, read)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def twostage(sim: Any) -> None:
    """The reader runs between the two stages of the one writer."""
    _twostage(1)


def twostage_fixed(sim: Any) -> None:
    """Both stages in one critical section."""
    _twostage_fixed(1)


def twostage_20(sim: Any) -> None:
    """Nineteen writers, of whom only one may have passed the first stage."""
    _twostage(19)


def twostage_20_fixed(sim: Any) -> None:
    """Both stages in one critical section."""
    _twostage_fixed(19)


def twostage_50(sim: Any) -> None:
    """Forty-nine writers, of whom only one may have passed the first stage."""
    _twostage(49)


def twostage_50_fixed(sim: Any) -> None:
    """Both stages in one critical section."""
    _twostage_fixed(49)


# --- A19 ------------------------------------------------------------------------------------------


def _wronglock(others: int, first: threading.Lock, second: threading.Lock) -> None:
    s = SimpleNamespace(data=0)

    def one() -> None:
        first.acquire()
        x = s.data
        t = s.data
        s.data = t + 1
        assert s.data == x + 1
        first.release()

    def other() -> None:
        second.acquire()
        t = s.data
        s.data = t + 1
        second.release()

    workers = threads(one, *(other,) * others)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def wronglock_3(sim: Any) -> None:
    """One thread guards the number by one lock, three guard it by another."""
    _wronglock(3, threading.Lock(), threading.Lock())


def wronglock_3_fixed(sim: Any) -> None:
    """All guard it by the same."""
    lock = threading.Lock()
    _wronglock(3, lock, lock)


def wronglock(sim: Any) -> None:
    """One thread guards the number by one lock, seven guard it by another."""
    _wronglock(7, threading.Lock(), threading.Lock())


def wronglock_fixed(sim: Any) -> None:
    """All guard it by the same."""
    lock = threading.Lock()
    _wronglock(7, lock, lock)


# --- A21 ------------------------------------------------------------------------------------------

_NOTHING = -1
_append = list.append
_mask = attrgetter("mask")
_elements = attrgetter("elements")
_set = object.__setattr__


class _Ring:
    """The elements of a queue; each access is one point, on the ring. Any thread."""

    __slots__ = ("elements", "mask")

    elements: tuple[int, ...]
    mask: int

    def __init__(self) -> None:
        self._become((_NOTHING, _NOTHING))

    def get(self, index: int) -> int:
        """Read the element at `index`."""
        return int(_elements(self)[index & _mask(self)])

    def insert(self, index: int, item: int) -> None:
        """Write the element at `index`."""
        place, elements = index & _mask(self), _elements(self)
        self._become((*elements[:place], item, *elements[place + 1 :]))

    def extend(self, head: int, tail: int) -> None:
        """Twice the size, with what lies from `head` to `tail` at its front."""
        elements, mask = _elements(self), _mask(self)
        kept = tuple(elements[index & mask] for index in range(head, tail))
        self._become((*kept, *(_NOTHING,) * (2 * len(elements) - len(kept))))

    def _become(self, elements: tuple[int, ...]) -> None:
        _set(self, "elements", elements)
        _set(self, "mask", len(elements) - 1)


def _work_steal_queue(slack: int) -> None:
    """Run the queue.

    Args:
        slack: how many elements more than `mask` `push` takes to fit: 1 is one too many.
    """
    s = SimpleNamespace(head=0, tail=0)
    ring = _Ring()
    lock = threading.Lock()
    stolen: list[int] = []

    def push(item: int) -> None:
        t = s.tail
        if t < s.head + _mask(ring) + slack:
            ring.insert(t, item)
            s.tail = t + 1
            return
        lock.acquire()
        h, t = s.head, s.tail
        if t - h >= _mask(ring):
            ring.extend(h, t)
            s.head = 0
            t -= h
        ring.insert(t, item)
        s.tail = t + 1
        lock.release()

    def pop() -> int:
        t = s.tail - 1
        s.tail = t
        if s.head <= t:
            return ring.get(t)
        s.tail = t + 1
        lock.acquire()
        t = s.tail - 1
        s.tail = t
        taken = _NOTHING
        if s.head <= t:
            taken = ring.get(t)
        else:
            s.tail = t + 1
            if s.head > t:
                s.head = 0
                s.tail = 0
        lock.release()
        return taken

    def steal() -> int:
        taken = _NOTHING
        lock.acquire()
        h = s.head
        s.head = h + 1
        if h < s.tail:
            taken = ring.get(h)
        else:
            s.head = h
        lock.release()
        return taken

    def thief() -> None:
        for _ in range(2):
            _append(stolen, steal())

    other = threading.Thread(target=thief)
    other.start()
    taken: tuple[int, ...] = ()
    for item in (0, 2):
        push(item)
        push(item + 1)
        taken += (pop(),)
    taken += (pop(),)
    taken += (pop(),)
    other.join()
    everything = (*taken, *stolen)
    assert all(everything.count(item) == 1 for item in range(4))


def work_steal_queue(sim: Any) -> None:
    """`push` fills the last place, where full looks like empty to `steal`."""
    _work_steal_queue(1)


def work_steal_queue_fixed(sim: Any) -> None:
    """One place stays free."""
    _work_steal_queue(0)


# --- A22 ------------------------------------------------------------------------------------------

#: How often things are tried before a thread gives up: an unfair schedule would try for ever.
_TRIES = 5


def _safe_stack(*, guarded: bool) -> None:
    head, count = Atomic(0), Atomic(3)
    following = (Atomic(1), Atomic(2), Atomic(-1))
    values = [0, 0, 0]
    guard = threading.Lock()

    def pop() -> int:
        for _ in range(_TRIES):
            if count.get() <= 1:
                break
            h = head.get()
            n = following[h].update(-1)
            if n >= 0:
                if head.setdefault(h, n):
                    count.add(-1)
                    return h
                following[h].update(n)
            else:
                time.sleep(0)
        return -1

    def push(i: int) -> None:
        while True:
            h = head.get()
            following[i].update(h)
            if head.setdefault(h, i):
                break
        count.add(1)

    def guarded_pop() -> int:
        if not guarded:
            return pop()
        guard.acquire()
        taken = pop()
        guard.release()
        return taken

    def guarded_push(i: int) -> None:
        if not guarded:
            push(i)
            return
        guard.acquire()
        push(i)
        guard.release()

    def work(me: int) -> None:
        for _ in range(2):
            for _ in range(_TRIES):
                e = guarded_pop()
                if e >= 0:
                    break
                time.sleep(0)
            else:
                return
            values[e] = me
            assert values[e] == me
            guarded_push(e)

    workers = tuple(threading.Thread(target=work, args=(me,)) for me in range(3))
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def safe_stack(sim: Any) -> None:
    """Two threads get one element; five preemptions are needed."""
    _safe_stack(guarded=False)


def safe_stack_fixed(sim: Any) -> None:
    """A lock round `pop` and `push`."""
    _safe_stack(guarded=True)
