"""A classic shape of shutdown gone wrong: a job handed in when nobody will take it any more."""

from __future__ import annotations

import threading
from collections import deque
from operator import attrgetter, methodcaller
from typing import Any

from tests.museum.programs.atomic import Atomic
from tests.museum.programs.starting import threads

_take, _give = methodcaller("acquire"), methodcaller("release")
_append, _popleft = deque.append, deque.popleft
_parts, _value, _count = attrgetter("parts"), attrgetter("value"), methodcaller("__len__")
_set = object.__setattr__


class _Executor:
    """Jobs and whether anybody will take them; each call is one point. Any thread.

    What blocks is a plain lock, so that who waits is known not to be able to go on.

    # invariant: `nothing` is held while there is no job and the executor is not shut.
    """

    __slots__ = ("parts",)

    parts: tuple[threading.Lock, threading.Lock, deque[threading.Event], Atomic]

    def __init__(self) -> None:
        nothing = threading.Lock()
        _take(nothing)
        _set(self, "parts", (threading.Lock(), nothing, deque(), Atomic(0)))

    def is_shut(self) -> bool:
        """Tell whether it is shut."""
        *_, shut = _parts(self)
        return bool(shut.get())

    def shut(self) -> None:
        """Shut it: the worker leaves when there is no job any more."""
        changing, nothing, jobs, shut = _parts(self)
        shut.update(1)
        _take(changing)
        if not _count(jobs):
            _give(nothing)
        _give(changing)

    def append(self, job: threading.Event) -> None:
        """Hand a job in."""
        changing, nothing, jobs, shut = _parts(self)
        _take(changing)
        if not _count(jobs) and not _value(shut):
            _give(nothing)
        _append(jobs, job)
        _give(changing)

    def take(self) -> threading.Event | None:
        """Take a job, waiting for one; None if there is none and the executor is shut."""
        changing, nothing, jobs, shut = _parts(self)
        nothing.acquire()
        _take(changing)
        job = _popleft(jobs) if _count(jobs) else None
        if _count(jobs) or _value(shut):
            _give(nothing)
        _give(changing)
        return job


# --- B11 ------------------------------------------------------------------------------------------


def submit_after_shutdown(sim: Any) -> None:
    """Between the look at the flag and the handing in, the worker has left."""
    executor = _Executor()

    def submit() -> None:
        job = threading.Event()
        if not executor.is_shut():
            executor.append(job)
            job.wait()

    def work() -> None:
        while (job := executor.take()) is not None:
            _finish(job)

    def close() -> None:
        executor.shut()

    workers = threads(submit, work, close)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def submit_after_shutdown_fixed(sim: Any) -> None:
    """Looking and handing in are one critical section, and so is shutting."""
    executor = _Executor()
    m = threading.Lock()

    def submit() -> None:
        job = threading.Event()
        m.acquire()
        accepted = not executor.is_shut()
        if accepted:
            executor.append(job)
        m.release()
        if accepted:
            job.wait()

    def work() -> None:
        while (job := executor.take()) is not None:
            _finish(job)

    def close() -> None:
        m.acquire()
        executor.shut()
        m.release()

    workers = threads(submit, work, close)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


# Through a name of its own, so that taking a job and finishing it are one step.
_finish = threading.Event.set
