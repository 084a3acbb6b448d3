"""Classic shapes of waiting gone wrong: lost and misdirected wake-ups, permits, shutdown."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

from tests.museum.programs.atomic import Atomic
from tests.museum.programs.permits import Permits
from tests.museum.programs.starting import threads

# --- B01 ------------------------------------------------------------------------------------------


def _bounded_buffer(*, to_all: bool) -> None:
    s = SimpleNamespace(number=0)
    m = threading.Lock()
    changed = threading.Condition(m)

    def consume() -> None:
        for _ in range(2):
            m.acquire()
            while s.number == 0:
                changed.wait()
            s.number -= 1
            if to_all:
                changed.notify_all()
            else:
                changed.notify()
            m.release()

    def produce() -> None:
        for _ in range(2):
            m.acquire()
            while s.number == 1:
                changed.wait()
            s.number += 1
            if to_all:
                changed.notify_all()
            else:
                changed.notify()
            m.release()

    workers = threads(consume, consume, produce, produce)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def bounded_buffer(sim: Any) -> None:
    """One condition for both sides: the one wake-up may reach its own side and be lost."""
    _bounded_buffer(to_all=False)


def bounded_buffer_fixed(sim: Any) -> None:
    """Everybody is woken."""
    _bounded_buffer(to_all=True)


# --- B02 ------------------------------------------------------------------------------------------


def wait_with_if(sim: Any) -> None:
    """A consumer does not look again after its wake-up."""
    s = SimpleNamespace(number=0)
    m = threading.Lock()
    changed = threading.Condition(m)

    def consume() -> None:
        m.acquire()
        if s.number == 0:
            changed.wait()
        assert s.number > 0
        s.number -= 1
        m.release()

    def produce() -> None:
        m.acquire()
        s.number += 1
        changed.notify_all()
        m.release()

    workers = threads(consume, consume, produce, produce)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def wait_with_if_fixed(sim: Any) -> None:
    """It looks again."""
    s = SimpleNamespace(number=0)
    m = threading.Lock()
    changed = threading.Condition(m)

    def consume() -> None:
        m.acquire()
        while s.number == 0:
            changed.wait()
        assert s.number > 0
        s.number -= 1
        m.release()

    def produce() -> None:
        m.acquire()
        s.number += 1
        changed.notify_all()
        m.release()

    workers = threads(consume, consume, produce, produce)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


# --- B03 ------------------------------------------------------------------------------------------


def notify_before_wait(sim: Any) -> None:
    """The flag is tested outside the lock, and raised between the test and the wait."""
    s = SimpleNamespace(ready=False)
    m = threading.Lock()
    changed = threading.Condition(m)

    def waiter() -> None:
        if not s.ready:
            m.acquire()
            changed.wait()
            m.release()

    def setter() -> None:
        s.ready = True
        m.acquire()
        changed.notify()
        m.release()

    workers = threads(waiter, setter)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def notify_before_wait_fixed(sim: Any) -> None:
    """The flag is tested under the lock, in a loop, and raised under it."""
    s = SimpleNamespace(ready=False)
    m = threading.Lock()
    changed = threading.Condition(m)

    def waiter() -> None:
        m.acquire()
        while not s.ready:
            changed.wait()
        m.release()

    def setter() -> None:
        m.acquire()
        s.ready = True
        changed.notify()
        m.release()

    workers = threads(waiter, setter)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


# --- B10 ------------------------------------------------------------------------------------------


def _release_in_finally(*, only_if_acquired: bool) -> None:
    permits = Permits(1)
    inside = Atomic(0)

    def use() -> None:
        permits.take()
        assert inside.add(1) <= 1
        inside.add(-1)
        permits.give()

    def attempt() -> None:
        got = permits.take_at_once()
        if got or not only_if_acquired:
            permits.give()

    workers = threads(use, use, attempt)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def release_in_finally(sim: Any) -> None:
    """What could not be acquired is released all the same: there is a permit too many."""
    _release_in_finally(only_if_acquired=False)


def release_in_finally_fixed(sim: Any) -> None:
    """Only what was acquired is released."""
    _release_in_finally(only_if_acquired=True)


# --- B13 ------------------------------------------------------------------------------------------


def _async_appender(*, to_all: bool) -> None:
    s = SimpleNamespace(number=0)
    m = threading.Lock()
    changed = threading.Condition(m)

    def dispatch() -> None:
        for _ in range(2):
            m.acquire()
            while s.number == 0:
                changed.wait()
            s.number = 0
            if to_all:
                changed.notify_all()
            else:
                changed.notify()
            m.release()

    def append() -> None:
        m.acquire()
        while s.number >= 1:
            changed.wait()
        s.number += 1
        if to_all:
            changed.notify_all()
        else:
            changed.notify()
        m.release()

    workers = threads(dispatch, append, append, append)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def async_appender(sim: Any) -> None:
    """The one wake-up reaches another appender instead of the dispatcher."""
    _async_appender(to_all=False)


def async_appender_fixed(sim: Any) -> None:
    """Everybody is woken."""
    _async_appender(to_all=True)
