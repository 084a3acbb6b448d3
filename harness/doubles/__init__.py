"""Doubles: plain standard-library stand-ins that also work outside the simulated world."""

from __future__ import annotations

from .async_pool import AsyncFakePool as AsyncFakePool
from .behaviour import ECHO as ECHO
from .behaviour import Behaviour as Behaviour
from .behaviour import TransientError as TransientError
from .desk import Existence as Existence
from .gate import AsyncGate as AsyncGate
from .gate import Gate as Gate
from .in_flight import InFlight as InFlight
from .ledger import PoolEvent as PoolEvent
from .pool import FakePool as FakePool
from .waiting import Cancellation as Cancellation
from .waiting import Scope as Scope

__all__ = [
    "ECHO",
    "AsyncFakePool",
    "AsyncGate",
    "Behaviour",
    "Cancellation",
    "Existence",
    "FakePool",
    "Gate",
    "InFlight",
    "PoolEvent",
    "Scope",
    "TransientError",
]
