"""Kernels of real Go bugs that are about locks and wait groups."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from tests.museum.programs.readers_writer import ReadersWriter
from tests.museum.programs.starting import threads
from tests.museum.programs.wait_group import WaitGroup
from tests.museum.programs.watched_group import WatchedGroup


def _run(*targets: Callable[[], object]) -> None:
    workers = threads(*targets)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


# --- C04 ------------------------------------------------------------------------------------------


def cockroach_16167(sim: Any) -> None:
    """A writer comes between two nested read locks, and each waits for the other."""
    rw = ReadersWriter()

    def write() -> None:
        rw.take("w")
        rw.give("w")

    writer = threading.Thread(target=write)
    writer.start()
    rw.take("r")
    rw.take("r")
    rw.give("r")
    rw.give("r")


def cockroach_16167_fixed(sim: Any) -> None:
    """What is called under the read lock does not take it again."""
    rw = ReadersWriter()

    def write() -> None:
        rw.take("w")
        rw.give("w")

    writer = threading.Thread(target=write)
    writer.start()
    rw.take("r")
    rw.give("r")


# --- C05 ------------------------------------------------------------------------------------------


def cockroach_6181(sim: Any) -> None:
    """The same in three threads, each of which reads, nested, and then writes."""
    rw = ReadersWriter()

    def work() -> None:
        rw.take("r")
        rw.take("r")
        rw.give("r")
        rw.give("r")
        rw.take("w")
        rw.give("w")

    _run(work, work, work)


def cockroach_6181_fixed(sim: Any) -> None:
    """What is called under the read lock does not take it again."""
    rw = ReadersWriter()

    def work() -> None:
        rw.take("r")
        rw.give("r")
        rw.take("w")
        rw.give("w")

    _run(work, work, work)


# --- C14 ------------------------------------------------------------------------------------------


def kubernetes_62464(sim: Any) -> None:
    """The writer, who reads first, comes between two nested read locks."""
    rw = ReadersWriter()

    def read() -> None:
        rw.take("r")
        rw.take("r")
        rw.give("r")
        rw.give("r")

    def change() -> None:
        rw.take("r")
        rw.give("r")
        rw.take("w")
        rw.give("w")

    for worker in threads(read, change):
        worker.start()


def kubernetes_62464_fixed(sim: Any) -> None:
    """What is called under the read lock does not take it again."""
    rw = ReadersWriter()

    def read() -> None:
        rw.take("r")
        rw.give("r")

    def change() -> None:
        rw.take("r")
        rw.give("r")
        rw.take("w")
        rw.give("w")

    for worker in threads(read, change):
        worker.start()


# --- C15 ------------------------------------------------------------------------------------------


def cockroach_3710(sim: Any) -> None:
    """The second of two nested read locks is taken below the lock of a queue."""
    rw = ReadersWriter()
    queue = threading.Lock()

    def scan() -> None:
        rw.take("r")
        queue.acquire()
        rw.take("r")
        rw.give("r")
        queue.release()
        rw.give("r")

    def process() -> None:
        queue.acquire()
        queue.release()
        rw.take("w")
        rw.give("w")

    _run(scan, process)


def cockroach_3710_fixed(sim: Any) -> None:
    """What is called under the read lock does not take it again."""
    rw = ReadersWriter()
    queue = threading.Lock()

    def scan() -> None:
        rw.take("r")
        queue.acquire()
        queue.release()
        rw.give("r")

    def process() -> None:
        queue.acquire()
        queue.release()
        rw.take("w")
        rw.give("w")

    _run(scan, process)


# --- C16 ------------------------------------------------------------------------------------------


def cockroach_7504(sim: Any) -> None:
    """Lease before name cache below the table lock, name cache before lease without it."""
    table, lease, names = threading.Lock(), threading.Lock(), threading.Lock()

    def release() -> None:
        table.acquire()
        lease.acquire()
        names.acquire()
        names.release()
        lease.release()
        table.release()

    def look_up() -> None:
        names.acquire()
        lease.acquire()
        lease.release()
        names.release()

    for worker in threads(release, look_up):
        worker.start()


def cockroach_7504_fixed(sim: Any) -> None:
    """Lease before name cache in both."""
    table, lease, names = threading.Lock(), threading.Lock(), threading.Lock()

    def release() -> None:
        table.acquire()
        lease.acquire()
        names.acquire()
        names.release()
        lease.release()
        table.release()

    def look_up() -> None:
        lease.acquire()
        names.acquire()
        names.release()
        lease.release()

    for worker in threads(release, look_up):
        worker.start()


# --- C17 ------------------------------------------------------------------------------------------


def moby_25384(sim: Any) -> None:
    """Two are waited for when one has been started."""
    group = WaitGroup(2)

    def work() -> None:
        group.add(-1)

    for worker in threads(work, work):
        worker.start()
        group.wait()


def moby_25384_fixed(sim: Any) -> None:
    """They are waited for when both have been started."""
    group = WaitGroup(2)

    def work() -> None:
        group.add(-1)

    for worker in threads(work, work):
        worker.start()
    group.wait()


# --- C22 ------------------------------------------------------------------------------------------


def kubernetes_13058(sim: Any) -> None:
    """Two are reported done while one has been added."""
    group = WaitGroup()

    def work() -> None:
        group.add(-1)
        group.add(-1)

    worker = threading.Thread(target=work)
    worker.start()
    group.add(1)
    group.wait()
    group.add(1)


def kubernetes_13058_fixed(sim: Any) -> None:
    """Both are added before the worker starts."""
    group = WaitGroup()

    def work() -> None:
        group.add(-1)
        group.add(-1)

    worker = threading.Thread(target=work)
    group.add(1)
    group.add(1)
    worker.start()
    group.wait()


# --- C23 ------------------------------------------------------------------------------------------


def cockroach_4407(sim: Any) -> None:
    """A task is added when the waiting for all of them is over."""
    group = WatchedGroup()

    def run_task() -> None:
        group.add(1)
        group.add(-1)

    for worker in threads(run_task, run_task):
        worker.start()
    group.wait()


def cockroach_4407_fixed(sim: Any) -> None:
    """Tasks are added before they are started."""
    group = WatchedGroup(2)

    def run_task() -> None:
        group.add(-1)

    for worker in threads(run_task, run_task):
        worker.start()
    group.wait()
