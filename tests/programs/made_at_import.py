"""Locks and locals made before any run: by captured names, in a class, by a decorator.

Inside a run they must exclude simulated threads as they would real ones.
"""

from __future__ import annotations

import sys
import threading
from functools import cached_property
from threading import Lock
from typing import Any

from tests.programs.together import together, twice

accounts = Lock()
journal = Lock()
guard = threading.RLock()
request = threading.local()


def transfer_and_audit(sim: Any) -> None:
    """One takes accounts, then journal; the other the other way round."""

    def teller() -> None:
        with accounts:
            with journal:  # teller waits here
                pass

    def auditor() -> None:
        with journal:
            with accounts:  # auditor waits here
                pass

    together(teller, auditor)


def transfer_and_audit_corrected(sim: Any) -> None:
    """Both take accounts first."""

    def teller() -> None:
        with accounts, journal:
            pass

    def auditor() -> None:
        with accounts, journal:
            pass

    together(teller, auditor)


def counter_under_a_module_rlock(sim: Any) -> None:
    """A counter under a re-entrant lock of the module, taken twice."""
    count = 0

    def bump() -> None:
        nonlocal count
        with guard, guard:
            count = count + 1

    twice(bump)
    assert count == 2


class Register:
    """A counter under a lock that all registers share. Any thread."""

    lock = threading.Lock()

    def __init__(self) -> None:
        self.value = 0

    def bump(self) -> None:
        """Count once."""
        with self.lock:
            self.value = self.value + 1


def counter_under_a_class_lock(sim: Any) -> None:
    """A counter under a lock kept in a class attribute."""
    register = Register()
    twice(register.bump)
    assert register.value == 2


class Report:
    """A figure that is worked out once. Any thread, on Python 3.11."""

    def __init__(self) -> None:
        self.computed = 0

    @cached_property
    def total(self) -> int:
        """Work it out."""
        self.computed = self.computed + 1
        return 42


def counter_in_a_cached_property(sim: Any) -> None:
    """Two threads ask for one cached property; Python 3.11 locks it, later versions do not."""
    report = Report()
    twice(lambda: report.total)
    assert report.computed == 1


def module_level_local(sim: Any) -> None:
    """Two threads keep what belongs to them in one local of the module."""

    def serve() -> None:
        name = threading.current_thread().name
        assert not hasattr(request, "user"), "another thread's, or another run's"
        request.user = name
        assert request.user == name

    twice(serve)
    assert not hasattr(request, "user")


def import_inside_a_function(sim: Any) -> None:
    """Two threads run a function that imports."""

    def serve() -> None:
        from tests.programs.imported_late import answer

        assert answer() == 42

    twice(serve)


def first_import_inside_a_function(sim: Any) -> None:
    """Two threads run a function that imports what no run has imported before."""
    sys.modules.pop("tests.programs.imported_late", None)
    import_inside_a_function(sim)
