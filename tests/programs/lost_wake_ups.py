"""Conditions waited on too late, or notified too few, beside twins that do it right."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from tests.programs.together import together


class Mailbox:
    """A flag and a condition; a flag tested outside the lock loses wake-ups. Any thread."""

    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.is_ready = False

    def put(self) -> None:
        """Raise the flag."""
        with self.condition:
            self.is_ready = True
            self.condition.notify()

    def take(self) -> None:
        """Wait for the flag."""
        if not self.is_ready:
            with self.condition:
                self.condition.wait()  # taker waits here


class CorrectedMailbox(Mailbox):
    """Tests the flag under the lock, and again after each wake-up. Any thread."""

    def take(self) -> None:
        """Wait for the flag."""
        with self.condition:
            while not self.is_ready:
                self.condition.wait()


def _deliver(mailbox: Mailbox) -> None:
    def taker() -> None:
        mailbox.take()

    def putter() -> None:
        mailbox.put()

    together(taker, putter)


def flag_outside_the_lock(sim: Any) -> None:
    """The flag is raised between the test and the wait."""
    _deliver(Mailbox())


def flag_inside_the_lock(sim: Any) -> None:
    """The corrected twin."""
    _deliver(CorrectedMailbox())


class Buffer:
    """Room for one item; wakes one waiter, who may be of its own side. Any thread."""

    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.items: deque[str] = deque()

    def wake(self) -> None:
        """Wake one waiter."""
        self.condition.notify()

    def put(self, item: str) -> None:
        """Add an item once there is room."""
        with self.condition:
            while self.items:
                self.condition.wait()
            self.items.append(item)
            self.wake()

    def get(self) -> str:
        """Take the item once there is one."""
        with self.condition:
            while not self.items:
                self.condition.wait()
            item = self.items.popleft()
            self.wake()
            return item


class CorrectedBuffer(Buffer):
    """Wakes everyone. Any thread."""

    def wake(self) -> None:
        """Wake all waiters."""
        self.condition.notify_all()


def _pass_on(buffer: Buffer) -> None:
    def produce() -> None:
        buffer.put("parcel")

    def consume() -> None:
        assert buffer.get() == "parcel"

    threads = [
        threading.Thread(target=function, name=name)
        for name, function in [
            ("consumer-1", consume),
            ("consumer-2", consume),
            ("producer-1", produce),
            ("producer-2", produce),
        ]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def notify_one(sim: Any) -> None:
    """Two producers and two consumers; one of them wakes another of its own side."""
    _pass_on(Buffer())


def notify_all(sim: Any) -> None:
    """The corrected twin."""
    _pass_on(CorrectedBuffer())
