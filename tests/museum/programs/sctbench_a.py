"""The programs of SCTBench, first part: A01 to A09."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

from tests.museum.programs.atomic import Atomic
from tests.museum.programs.posix import PosixCondition
from tests.museum.programs.starting import threads

# --- A01 ------------------------------------------------------------------------------------------


def _account(expected: int) -> None:
    s = SimpleNamespace(balance=1, deposited=False, withdrawn=False)
    m = threading.Lock()

    def check() -> None:
        m.acquire()
        if s.deposited and s.withdrawn:
            assert s.balance == expected
        m.release()

    def deposit() -> None:
        m.acquire()
        s.balance += 2
        s.deposited = True
        m.release()

    def withdraw() -> None:
        m.acquire()
        s.balance -= 4
        s.withdrawn = True
        m.release()

    for worker in threads(check, deposit, withdraw):
        worker.start()


def account(sim: Any) -> None:
    """The checker expects 1 - 2 - 4; seen when it runs last."""
    _account(-5)


def account_fixed(sim: Any) -> None:
    """It expects 1 + 2 - 4."""
    _account(-1)


# --- A02 ------------------------------------------------------------------------------------------


def _arithmetic() -> SimpleNamespace:
    s = SimpleNamespace(number=0, total=0, flag=False)
    m = threading.Lock()
    empty, full = PosixCondition(m), PosixCondition(m)

    def fill() -> None:
        for _ in range(3):
            m.acquire()
            while s.number > 0:
                empty.wait()
            s.number += 1
            m.release()
            full.notify()

    def drain() -> None:
        for j in range(3):
            m.acquire()
            while s.number == 0:
                full.wait()
            s.total += j
            s.number -= 1
            m.release()
            empty.notify()
        s.total += 3
        s.flag = True

    workers = threads(fill, drain)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return s


def arithmetic_prog(sim: Any) -> None:
    """Waits and notifies work, the expectation does not: fails in every schedule."""
    s = _arithmetic()
    if s.flag:
        assert s.total != 6


def arithmetic_prog_fixed(sim: Any) -> None:
    """0 + 1 + 2 + 3."""
    s = _arithmetic()
    if s.flag:
        assert s.total == 6


# --- A03 ------------------------------------------------------------------------------------------


def bluetooth_driver(sim: Any) -> None:
    """The driver looks whether it is stopping, is stopped, and only then counts itself in."""
    io = Atomic(1)
    s = SimpleNamespace(stopping=False, event=False, stopped=False)

    def stop() -> None:
        s.stopping = True
        if io.add(-1) == 0:
            s.event = True
        if s.event:
            s.stopped = True

    stopper = threading.Thread(target=stop)
    stopper.start()
    if not s.stopping:
        io.add(1)
        assert not s.stopped
    if io.add(-1) == 0:
        s.event = True
    stopper.join()


def bluetooth_driver_fixed(sim: Any) -> None:
    """It counts itself in first."""
    io = Atomic(1)
    s = SimpleNamespace(stopping=False, event=False, stopped=False)

    def stop() -> None:
        s.stopping = True
        if io.add(-1) == 0:
            s.event = True
        if s.event:
            s.stopped = True

    stopper = threading.Thread(target=stop)
    stopper.start()
    io.add(1)
    if not s.stopping:
        assert not s.stopped
    if io.add(-1) == 0:
        s.event = True
    stopper.join()


# --- A04 ------------------------------------------------------------------------------------------


def _nothing() -> None:
    """Do nothing, in a thread of its own."""


def carter01(sim: Any) -> None:
    """One holds `l` and wants `m` back to let it go; the other holds `m` and wants `l`."""
    s = SimpleNamespace(a=0, b=0)
    m, l = threading.Lock(), threading.Lock()  # noqa: E741 - the names of the original

    def first() -> None:
        m.acquire()
        s.a = a = s.a + 1
        if a == 1:
            l.acquire()
        m.release()
        m.acquire()
        s.a = a = s.a - 1
        if a == 0:
            l.release()
        m.release()

    def second() -> None:
        m.acquire()
        s.b = b = s.b + 1
        if b == 1:
            l.acquire()
        m.release()
        m.acquire()
        s.b = b = s.b - 1
        if b == 0:
            l.release()
        m.release()

    workers = threads(first, second, _nothing, _nothing)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def carter01_fixed(sim: Any) -> None:
    """`l` is taken before `m`, never under it."""
    s = SimpleNamespace(a=0, b=0)
    m, l = threading.Lock(), threading.Lock()  # noqa: E741 - the names of the original

    def first() -> None:
        l.acquire()
        m.acquire()
        s.a += 1
        m.release()
        m.acquire()
        s.a -= 1
        m.release()
        l.release()

    def second() -> None:
        l.acquire()
        m.acquire()
        s.b += 1
        m.release()
        m.acquire()
        s.b -= 1
        m.release()
        l.release()

    workers = threads(first, second, _nothing, _nothing)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


# --- A05 ------------------------------------------------------------------------------------------


def circular_buffer(sim: Any) -> None:
    """A turn that finds its flag down is skipped, and the number goes up all the same."""
    s = SimpleNamespace(next=0, first=0, send=True, receive=False)
    buffer = [0] * 10
    m = threading.Lock()

    def sender() -> None:
        for i in range(7):
            m.acquire()
            if s.send:
                buffer[s.next] = i
                s.next += 1
                s.send = False
                s.receive = True
            m.release()

    def receiver() -> None:
        for i in range(7):
            m.acquire()
            if s.receive:
                taken = buffer[s.first]
                s.first += 1
                assert taken == i
                s.receive = False
                s.send = True
            m.release()

    workers = threads(sender, receiver)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def circular_buffer_fixed(sim: Any) -> None:
    """Whoever finds its flag down waits for it."""
    s = SimpleNamespace(next=0, first=0, send=True, receive=False)
    buffer = [0] * 10
    m = threading.Lock()
    changed = threading.Condition(m)

    def sender() -> None:
        for i in range(7):
            m.acquire()
            while not s.send:
                changed.wait()
            buffer[s.next] = i
            s.next += 1
            s.send = False
            s.receive = True
            changed.notify()
            m.release()

    def receiver() -> None:
        for i in range(7):
            m.acquire()
            while not s.receive:
                changed.wait()
            taken = buffer[s.first]
            s.first += 1
            assert taken == i
            s.receive = False
            s.send = True
            changed.notify()
            m.release()

    workers = threads(sender, receiver)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


# --- A06 ------------------------------------------------------------------------------------------


def deadlock01(sim: Any) -> None:
    """AB-BA."""
    s = SimpleNamespace(counter=0)
    a, b = threading.Lock(), threading.Lock()

    def up() -> None:
        a.acquire()
        b.acquire()
        s.counter += 1
        b.release()
        a.release()

    def down() -> None:
        b.acquire()
        a.acquire()
        s.counter -= 1
        a.release()
        b.release()

    workers = threads(up, down)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def deadlock01_fixed(sim: Any) -> None:
    """The same order in both."""
    s = SimpleNamespace(counter=0)
    a, b = threading.Lock(), threading.Lock()

    def up() -> None:
        a.acquire()
        b.acquire()
        s.counter += 1
        b.release()
        a.release()

    def down() -> None:
        a.acquire()
        b.acquire()
        s.counter -= 1
        b.release()
        a.release()

    workers = threads(up, down)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


# --- A07 ------------------------------------------------------------------------------------------


def _dine(*philosophers: tuple[threading.Lock, threading.Lock]) -> None:
    def dine(left: threading.Lock, right: threading.Lock) -> None:
        left.acquire()
        right.acquire()
        right.release()
        left.release()

    workers = tuple(threading.Thread(target=dine, args=forks) for forks in philosophers)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def _forks(count: int) -> tuple[tuple[threading.Lock, threading.Lock], ...]:
    forks = tuple(threading.Lock() for _ in range(count))
    return tuple((forks[i], forks[(i + 1) % count]) for i in range(count))


def _reversed_last(count: int) -> tuple[tuple[threading.Lock, threading.Lock], ...]:
    *others, (left, right) = _forks(count)
    return (*others, (right, left))


def din_phil_2(sim: Any) -> None:
    """Each of two philosophers takes the left fork first."""
    _dine(*_forks(2))


def din_phil_2_fixed(sim: Any) -> None:
    """The last one takes the right fork first."""
    _dine(*_reversed_last(2))


def din_phil_3(sim: Any) -> None:
    """Each of three philosophers takes the left fork first."""
    _dine(*_forks(3))


def din_phil_3_fixed(sim: Any) -> None:
    """The last one takes the right fork first."""
    _dine(*_reversed_last(3))


def din_phil_5(sim: Any) -> None:
    """Each of five philosophers takes the left fork first."""
    _dine(*_forks(5))


def din_phil_5_fixed(sim: Any) -> None:
    """The last one takes the right fork first."""
    _dine(*_reversed_last(5))


# --- A08 ------------------------------------------------------------------------------------------


def _file_system(count: int) -> None:
    inode, busy = [0] * 32, [False] * 26
    inode_locks = tuple(threading.Lock() for _ in range(26))
    block_locks = tuple(threading.Lock() for _ in range(26))

    def create(i: int) -> None:
        inode_locks[i].acquire()
        if inode[i] == 0:
            b = 2 * i % 26
            for _ in range(13):
                block_locks[b].acquire()
                if not busy[b]:
                    busy[b] = True
                    inode[i] = b + 1
                    block_locks[b].release()
                    break
                block_locks[b].release()
                b = (b + 1) % 26
        inode_locks[i].release()

    workers = tuple(threading.Thread(target=create, args=(i,)) for i in range(count))
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def fsbench(sim: Any) -> None:
    """Twenty-seven threads have twenty-six locks: fails in every schedule."""
    _file_system(27)


def fsbench_fixed(sim: Any) -> None:
    """As many threads as locks."""
    _file_system(26)


# --- A09 ------------------------------------------------------------------------------------------


def lazy01(sim: Any) -> None:
    """The check is wrong once both others have run."""
    s = SimpleNamespace(data=0)
    m = threading.Lock()

    def one() -> None:
        m.acquire()
        s.data += 1
        m.release()

    def two() -> None:
        m.acquire()
        s.data += 2
        m.release()

    def check() -> None:
        m.acquire()
        assert s.data < 3
        m.release()

    workers = threads(one, two, check)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def lazy01_fixed(sim: Any) -> None:
    """The check is made of what can be known: the sum, once both have ended."""
    s = SimpleNamespace(data=0)
    m = threading.Lock()

    def one() -> None:
        m.acquire()
        s.data += 1
        m.release()

    def two() -> None:
        m.acquire()
        s.data += 2
        m.release()

    workers = threads(one, two)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert s.data == 3
