"""Programs that meet faults of a double and the death of a thread."""

from __future__ import annotations

import threading
from typing import Any

from harness.faults import crash, fail_each

ledger = threading.Lock()
journal = threading.Lock()


def five_calls(sim: Any) -> None:
    """Five calls of one pool, each of which may fail and is forgiven."""
    origin = sim.pool("origin")
    sim.inject(fail_each())
    answers = []
    for number in range(5):
        try:
            answers.append(origin.call(f"user:{number}"))
        except ConnectionError:
            answers.append("failed")
    assert len(answers) == 5
    assert answers.count("failed") <= 1


def five_calls_unforgiven(sim: Any) -> None:
    """Five calls of one pool; the third may not fail."""
    origin = sim.pool("origin")
    sim.inject(fail_each())
    for number in range(1, 6):
        try:
            origin.call(f"user:{number}")
        except ConnectionError:
            assert number != 3, "the third call failed"


def crash_under_a_lock(sim: Any) -> None:
    """A thread may die while it holds the ledger, which another one wants."""

    def holder() -> None:
        with ledger:
            for _ in range(3):
                with journal:
                    pass

    def heir() -> None:
        with ledger:  # heir waits here
            pass

    sim.inject(crash("holder"))
    with sim.storm() as storm:
        storm.spawn(holder, name="holder")
        storm.spawn(heir, name="heir")
    storm.errors()
