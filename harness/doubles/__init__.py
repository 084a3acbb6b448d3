"""Doubles: plain standard-library stand-ins that also work outside the simulated world."""

from __future__ import annotations

from .async_pool import AsyncFakePool as AsyncFakePool
from .behaviour import ECHO as ECHO
from .behaviour import Behaviour as Behaviour
from .behaviour import TransientError as TransientError
from .budget import AsyncTokenBudget as AsyncTokenBudget
from .budget import TokenBudget as TokenBudget
from .client import Client as Client
from .clocks import SkewedClock as SkewedClock
from .counting import CountingFactory as CountingFactory
from .counting import StubActivity as StubActivity
from .database import Database as Database
from .desk import Existence as Existence
from .gate import AsyncGate as AsyncGate
from .gate import Gate as Gate
from .in_flight import InFlight as InFlight
from .ledger import PoolEvent as PoolEvent
from .pool import FakePool as FakePool
from .segments import file_bytes as file_bytes
from .segments import payload as payload
from .segments import segment_id as segment_id
from .server import Message as Message
from .server import StoreEvent as StoreEvent
from .sources import AsyncBlockingSource as AsyncBlockingSource
from .sources import AsyncSlowCloseReader as AsyncSlowCloseReader
from .sources import BlockingSource as BlockingSource
from .sources import SlowCloseReader as SlowCloseReader
from .store import AsyncStore as AsyncStore
from .store import AsyncSubscription as AsyncSubscription
from .store import Store as Store
from .store import Subscription as Subscription
from .streams import StoreError as StoreError
from .waiting import Cancellation as Cancellation
from .waiting import Scope as Scope
from .watching import LogCapture as LogCapture
from .watching import async_poll_until as async_poll_until
from .watching import poll_until as poll_until

__all__ = [
    "ECHO",
    "AsyncBlockingSource",
    "AsyncFakePool",
    "AsyncGate",
    "AsyncSlowCloseReader",
    "AsyncStore",
    "AsyncSubscription",
    "AsyncTokenBudget",
    "Behaviour",
    "BlockingSource",
    "Cancellation",
    "Client",
    "CountingFactory",
    "Database",
    "Existence",
    "FakePool",
    "Gate",
    "InFlight",
    "LogCapture",
    "Message",
    "PoolEvent",
    "Scope",
    "SkewedClock",
    "SlowCloseReader",
    "Store",
    "StoreError",
    "StoreEvent",
    "StubActivity",
    "Subscription",
    "TokenBudget",
    "TransientError",
    "async_poll_until",
    "file_bytes",
    "payload",
    "poll_until",
    "segment_id",
]
