"""A scenario that ends the process that runs it, beside one that does no harm."""

from __future__ import annotations

import ctypes
import signal
from typing import Any

from harness import scenario


@scenario
def harmless(sim: Any) -> None:
    """Two who do nothing."""
    with sim.storm() as storm:
        storm.spawn(len, "", copies=2)


@scenario
def ends_its_process(sim: Any) -> None:
    """No exception, no exit code: as when memory runs out."""
    with sim.storm():
        # Not by a function of Python's: those are simulated, or refused.
        ctypes.CDLL(None)["raise"](signal.SIGKILL)
