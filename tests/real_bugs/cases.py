"""Names the cases: which releases they compare, and which verdict the old one must get.

It knows neither how environments are made nor how a scenario is run, so it can be imported on any
interpreter.
"""

from __future__ import annotations

from dataclasses import dataclass

PYTHON = (3, 11)
#: How many schedules the new release must stand, and the old one may take at most.
SCHEDULES = 2_000


@dataclass(frozen=True, slots=True)
class Side:
    """What one side of a case runs on.

    Args:
        requirements: pinned, `name==version`.
        python: the minor version that it needs.
    """

    requirements: tuple[str, ...] = ()
    python: tuple[int, int] = PYTHON


@dataclass(frozen=True, slots=True)
class Case:
    """One bug that was published and then fixed.

    Args:
        name: of the case, and of its module in `scenarios`.
        library: what has the bug.
        buggy: the release that has it.
        fixed: the release that does not.
        check: the verdict that the old release must get.
        says: texts that this verdict must hold, so that it points at the real thing.
    """

    name: str
    library: str
    buggy: Side
    fixed: Side
    check: str
    says: tuple[str, ...]

    def side(self, name: str) -> Side:
        """Return the side called `buggy` or `fixed`."""
        return {"buggy": self.buggy, "fixed": self.fixed}[name]


CASES = (
    Case(
        "aiorwlock_cancel",
        "aiorwlock",
        Side(("aiorwlock==1.5.0",)),
        Side(("aiorwlock==1.5.1",)),
        "Deadlock",
        ("aiorwlock/__init__.py:", "of 'writer-1'"),
    ),
    Case(
        "anyio_limiter_cancel",
        "anyio CapacityLimiter",
        Side(("anyio==4.9.0",)),
        Side(("anyio==4.10.0",)),
        "Deadlock",
        ("_asyncio.py:", "of 'user-2'"),
    ),
    Case(
        "aiosqlite_cancel",
        "aiosqlite",
        Side(("aiosqlite==0.15.0",)),
        Side(("aiosqlite==0.16.0",)),
        "Unhandled",
        ("Future.set_result, scheduled at core.py:", "InvalidStateError", "of 'user-1'"),
    ),
    Case(
        "wait_for_swallows",
        "CPython asyncio.wait_for",
        Side(),
        Side(python=(3, 12)),
        "EndsCancelled",
        ("'worker' was cancelled and returned", "of 'worker'"),
    ),
    Case(
        "task_group_swallows",
        "CPython asyncio.TaskGroup",
        Side(python=(3, 12)),
        Side(python=(3, 13)),
        "EndsCancelled",
        ("'worker' was cancelled and returned", "of 'worker'"),
    ),
    Case(
        "loguru_complete",
        "loguru",
        Side(("loguru==0.7.0",)),
        Side(("loguru==0.7.1",)),
        "Exactly",
        ("2 lost", "'user-b' raised RuntimeError: Could not acquire internal lock"),
    ),
    Case(
        "more_executors_zip_cancel",
        "more-executors f_zip",
        Side(("more-executors==2.10.0", "monotonic", "six")),
        Side(("more-executors==2.10.1", "monotonic", "six")),
        "Deadlock",
        ("'waiter' waits in Future.result", "CancelledError at zip.py:"),
    ),
    Case(
        "opentelemetry_instrument_race",
        "opentelemetry-sdk",
        Side(("opentelemetry-sdk==1.39.1",)),
        Side(("opentelemetry-sdk==1.40.0",)),
        "Unhandled",
        ("KeyError: 'requests,", "_internal/__init__.py:"),
    ),
    Case(
        "sqlalchemy_pool_race",
        "SQLAlchemy QueuePool",
        Side(("sqlalchemy==2.0.10",)),
        Side(("sqlalchemy==2.1.9",)),
        "Unhandled",
        ("AssertionError", "attr.py:"),
    ),
    Case(
        "cachetools_cached_race",
        "cachetools @cached(lock=)",
        Side(("cachetools==4.1.1",)),
        Side(("cachetools==4.2.0",)),
        "Failed",
        ("different objects for one key",),
    ),
    Case(
        "cached_property_lock",
        "CPython functools.cached_property",
        Side(),
        Side(python=(3, 12)),
        "Deadlock",
        ("'first' waits in cached_property.__get__ (held by 'second')",),
    ),
)
