"""Scenarios to cut into shards: small, and each with something of its own."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from typing import Any

from harness import Failed, fail_each, scenario


class Counter:
    """Counts under a lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.value = 0

    def add(self) -> None:
        """Add one."""
        with self.lock:
            self.value += 1


class Unlocked(Counter):
    """Counts without the lock, and loses what others count meanwhile."""

    def add(self) -> None:
        """Add one."""
        self.value += 1


class Careful(Counter):
    """Counts as well as its original, and is declared to be caught."""


@scenario(Counter, catches={Unlocked: Failed, Careful: Failed})
def counted(sim: Any, cls: type[Counter]) -> None:
    """Three callers add one each."""
    counter = cls()
    with sim.storm() as storm:
        storm.spawn(counter.add, copies=3)
    # The value alone: an address in a verdict is another one in every process.
    value = counter.value
    assert value == 3


@scenario
def wrong(sim: Any) -> None:
    """Declared to hold, and does not."""
    counted(sim, Unlocked)


@scenario
def called(sim: Any) -> None:
    """Every call of an origin may fail, one after the other."""
    origin = sim.pool("origin")
    sim.inject(fail_each())
    with sim.storm() as storm:
        for number in range(3):
            storm.spawn(_ask, origin, number)


def _ask(origin: Any, number: int) -> None:
    with contextlib.suppress(ConnectionError):
        origin.call(f"page:{number}")


@scenario
def refused(sim: Any) -> None:
    """Reaches for what is not simulated."""
    subprocess.run(["true"], check=False)


@scenario
def asks(sim: Any, tmp_path: Any) -> None:
    """Wants a fixture."""
