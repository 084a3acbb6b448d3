"""A classic shape of shutdown gone wrong: a job handed in when nobody will take it any more."""

from __future__ import annotations

import threading
from collections import deque
from operator import attrgetter
from typing import Any

from tests.museum.programs.starting import threads

_acquire, _release = threading.Condition.__enter__, threading.Condition.__exit__
_wait, _notify_all = threading.Condition.wait, threading.Condition.notify_all
_append, _popleft = deque.append, deque.popleft
_changed, _is_set, _jobs, _shut = (
    attrgetter("changed"),
    attrgetter("value"),
    attrgetter("jobs"),
    attrgetter("shut"),
)
_set = object.__setattr__


class _Shut:
    """Whether the executor is shut. Each call is one point. Any thread."""

    __slots__ = ("changed", "value")

    _harness_sync = True

    def __init__(self) -> None:
        _set(self, "changed", threading.Condition())
        _set(self, "value", False)

    def is_set(self) -> bool:
        """Read it."""
        return bool(_is_set(self))

    def set(self) -> None:
        """Shut it; wake the worker."""
        changed = _changed(self)
        _acquire(changed)
        _set(self, "value", True)
        _notify_all(changed)
        _release(changed, None, None, None)


class _Jobs:
    """The jobs of an executor. Each call is one point. Any thread."""

    __slots__ = ("jobs", "shut")

    _harness_sync = True

    def __init__(self, shut: _Shut) -> None:
        _set(self, "jobs", deque())
        _set(self, "shut", shut)

    def put(self, job: threading.Event) -> None:
        """Hand a job in."""
        changed = _changed(_shut(self))
        _acquire(changed)
        _append(_jobs(self), job)
        _notify_all(changed)
        _release(changed, None, None, None)

    def get(self) -> threading.Event | None:
        """Take a job, waiting for one; None if there is none and the executor is shut."""
        shut, jobs = _shut(self), _jobs(self)
        changed = _changed(shut)
        _acquire(changed)
        try:
            while not jobs and not _is_set(shut):
                _wait(changed)
            return _popleft(jobs) if jobs else None
        finally:
            _release(changed, None, None, None)


# --- B11 ------------------------------------------------------------------------------------------


def submit_after_shutdown(sim: Any) -> None:
    """Between the look at the flag and the handing in, the worker has left."""
    shut = _Shut()
    jobs = _Jobs(shut)

    def submit() -> None:
        job = threading.Event()
        if not shut.is_set():
            jobs.put(job)
            job.wait()

    def work() -> None:
        while (job := jobs.get()) is not None:
            _finish(job)

    def close() -> None:
        shut.set()

    workers = threads(submit, work, close)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def submit_after_shutdown_fixed(sim: Any) -> None:
    """Looking and handing in are one critical section, and so is shutting."""
    shut = _Shut()
    jobs = _Jobs(shut)
    m = threading.Lock()

    def submit() -> None:
        job = threading.Event()
        m.acquire()
        accepted = not shut.is_set()
        if accepted:
            jobs.put(job)
        m.release()
        if accepted:
            job.wait()

    def work() -> None:
        while (job := jobs.get()) is not None:
            _finish(job)

    def close() -> None:
        m.acquire()
        shut.set()
        m.release()

    workers = threads(submit, work, close)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


# Through a name of its own, so that taking a job and finishing it are one step.
_finish = threading.Event.set
