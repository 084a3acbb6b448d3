"""The front door: every public name, served when it is first asked for.

`import harness` is cheap: neither the engine nor asyncio is loaded before something of theirs is
used.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from harness.checks import ActorView as ActorView
    from harness.checks import Calls as Calls
    from harness.checks import Cancelled as Cancelled
    from harness.checks import Check as Check
    from harness.checks import Deadlock as Deadlock
    from harness.checks import Elapsed as Elapsed
    from harness.checks import EndsCancelled as EndsCancelled
    from harness.checks import Eventually as Eventually
    from harness.checks import Exactly as Exactly
    from harness.checks import Failed as Failed
    from harness.checks import LeakBound as LeakBound
    from harness.checks import Livelock as Livelock
    from harness.checks import MaxInFlight as MaxInFlight
    from harness.checks import Parked as Parked
    from harness.checks import StormView as StormView
    from harness.checks import Survivor as Survivor
    from harness.checks import Unhandled as Unhandled
    from harness.core.token import Token as Token
    from harness.doubles import ECHO as ECHO
    from harness.doubles import AsyncBlockingSource as AsyncBlockingSource
    from harness.doubles import AsyncFakePool as AsyncFakePool
    from harness.doubles import AsyncGate as AsyncGate
    from harness.doubles import AsyncSlowCloseReader as AsyncSlowCloseReader
    from harness.doubles import AsyncStore as AsyncStore
    from harness.doubles import AsyncSubscription as AsyncSubscription
    from harness.doubles import AsyncTokenBudget as AsyncTokenBudget
    from harness.doubles import Behaviour as Behaviour
    from harness.doubles import BlockingSource as BlockingSource
    from harness.doubles import Cancellation as Cancellation
    from harness.doubles import Client as Client
    from harness.doubles import CountingFactory as CountingFactory
    from harness.doubles import Database as Database
    from harness.doubles import Existence as Existence
    from harness.doubles import FakePool as FakePool
    from harness.doubles import Gate as Gate
    from harness.doubles import InFlight as InFlight
    from harness.doubles import LogCapture as LogCapture
    from harness.doubles import Message as Message
    from harness.doubles import PoolEvent as PoolEvent
    from harness.doubles import Scope as Scope
    from harness.doubles import SkewedClock as SkewedClock
    from harness.doubles import SlowCloseReader as SlowCloseReader
    from harness.doubles import Store as Store
    from harness.doubles import StoreError as StoreError
    from harness.doubles import StoreEvent as StoreEvent
    from harness.doubles import StubActivity as StubActivity
    from harness.doubles import Subscription as Subscription
    from harness.doubles import TokenBudget as TokenBudget
    from harness.doubles import TransientError as TransientError
    from harness.doubles import async_poll_until as async_poll_until
    from harness.doubles import file_bytes as file_bytes
    from harness.doubles import payload as payload
    from harness.doubles import poll_until as poll_until
    from harness.doubles import segment_id as segment_id
    from harness.errors import Blocked as Blocked
    from harness.errors import HarnessError as HarnessError
    from harness.errors import InternalError as InternalError
    from harness.errors import Nondeterminism as Nondeterminism
    from harness.errors import Unsupported as Unsupported
    from harness.errors import Violation as Violation
    from harness.explore import Exploration as Exploration
    from harness.explore import Failure as Failure
    from harness.explore import Settings as Settings
    from harness.explore import explore as explore
    from harness.faults import Cancel as Cancel
    from harness.faults import Crash as Crash
    from harness.faults import Delay as Delay
    from harness.faults import Duplicate as Duplicate
    from harness.faults import Fail as Fail
    from harness.faults import Faults as Faults
    from harness.faults import Hang as Hang
    from harness.faults import Overtake as Overtake
    from harness.faults import Pass as Pass
    from harness.faults import Pause as Pause
    from harness.faults import Rule as Rule
    from harness.faults import Site as Site
    from harness.faults import Truncate as Truncate
    from harness.faults import Verdict as Verdict
    from harness.faults import cancel_each as cancel_each
    from harness.faults import crash as crash
    from harness.faults import fail_each as fail_each
    from harness.faults import fail_nth as fail_nth
    from harness.faults import pause as pause
    from harness.scenario import replay as replay
    from harness.scenario import scenario as scenario
    from harness.simulation import AsyncSimulation as AsyncSimulation
    from harness.simulation import AsyncStorm as AsyncStorm
    from harness.simulation import Simulation as Simulation
    from harness.simulation import Storm as Storm
    from harness.snapshot import Alive as Alive
    from harness.snapshot import Snapshot as Snapshot
    from harness.snapshot import assert_returned_to_baseline as assert_returned_to_baseline
    from harness.snapshot import (
        async_assert_returned_to_baseline as async_assert_returned_to_baseline,
    )
    from harness.snapshot import snapshot as snapshot

__all__ = [
    "ECHO",
    "ActorView",
    "Alive",
    "AsyncBlockingSource",
    "AsyncFakePool",
    "AsyncGate",
    "AsyncSimulation",
    "AsyncSlowCloseReader",
    "AsyncStore",
    "AsyncStorm",
    "AsyncSubscription",
    "AsyncTokenBudget",
    "Behaviour",
    "Blocked",
    "BlockingSource",
    "Calls",
    "Cancel",
    "Cancellation",
    "Cancelled",
    "Check",
    "Client",
    "CountingFactory",
    "Crash",
    "Database",
    "Deadlock",
    "Delay",
    "Duplicate",
    "Elapsed",
    "EndsCancelled",
    "Eventually",
    "Exactly",
    "Existence",
    "Exploration",
    "Fail",
    "Failed",
    "Failure",
    "FakePool",
    "Faults",
    "Gate",
    "Hang",
    "HarnessError",
    "InFlight",
    "InternalError",
    "LeakBound",
    "Livelock",
    "LogCapture",
    "MaxInFlight",
    "Message",
    "Nondeterminism",
    "Overtake",
    "Parked",
    "Pass",
    "Pause",
    "PoolEvent",
    "Rule",
    "Scope",
    "Settings",
    "Simulation",
    "Site",
    "SkewedClock",
    "SlowCloseReader",
    "Snapshot",
    "Store",
    "StoreError",
    "StoreEvent",
    "Storm",
    "StormView",
    "StubActivity",
    "Subscription",
    "Survivor",
    "Token",
    "TokenBudget",
    "TransientError",
    "Truncate",
    "Unhandled",
    "Unsupported",
    "Verdict",
    "Violation",
    "assert_returned_to_baseline",
    "async_assert_returned_to_baseline",
    "async_poll_until",
    "cancel_each",
    "crash",
    "explore",
    "fail_each",
    "fail_nth",
    "file_bytes",
    "pause",
    "payload",
    "poll_until",
    "replay",
    "scenario",
    "segment_id",
    "snapshot",
]

_MODULES: Final = {
    "ActorView": "checks",
    "Alive": "snapshot",
    "AsyncBlockingSource": "doubles",
    "AsyncFakePool": "doubles",
    "AsyncGate": "doubles",
    "AsyncSimulation": "simulation",
    "AsyncSlowCloseReader": "doubles",
    "AsyncStore": "doubles",
    "AsyncStorm": "simulation",
    "AsyncSubscription": "doubles",
    "AsyncTokenBudget": "doubles",
    "Behaviour": "doubles",
    "Blocked": "errors",
    "BlockingSource": "doubles",
    "Calls": "checks",
    "Cancel": "faults",
    "Cancellation": "doubles",
    "Cancelled": "checks",
    "Check": "checks",
    "Client": "doubles",
    "CountingFactory": "doubles",
    "Crash": "faults",
    "Database": "doubles",
    "Deadlock": "checks",
    "Delay": "faults",
    "Duplicate": "faults",
    "ECHO": "doubles",
    "Elapsed": "checks",
    "EndsCancelled": "checks",
    "Eventually": "checks",
    "Exactly": "checks",
    "Existence": "doubles",
    "Exploration": "explore",
    "Fail": "faults",
    "Failed": "checks",
    "Failure": "explore",
    "FakePool": "doubles",
    "Faults": "faults",
    "Gate": "doubles",
    "Hang": "faults",
    "HarnessError": "errors",
    "InFlight": "doubles",
    "InternalError": "errors",
    "LeakBound": "checks",
    "Livelock": "checks",
    "LogCapture": "doubles",
    "MaxInFlight": "checks",
    "Message": "doubles",
    "Nondeterminism": "errors",
    "Overtake": "faults",
    "Parked": "checks",
    "Pass": "faults",
    "Pause": "faults",
    "PoolEvent": "doubles",
    "Rule": "faults",
    "Scope": "doubles",
    "Settings": "explore",
    "Simulation": "simulation",
    "Site": "faults",
    "SkewedClock": "doubles",
    "SlowCloseReader": "doubles",
    "Snapshot": "snapshot",
    "Store": "doubles",
    "StoreError": "doubles",
    "StoreEvent": "doubles",
    "Storm": "simulation",
    "StormView": "checks",
    "StubActivity": "doubles",
    "Subscription": "doubles",
    "Survivor": "checks",
    "Token": "core.token",
    "TokenBudget": "doubles",
    "TransientError": "doubles",
    "Truncate": "faults",
    "Unhandled": "checks",
    "Unsupported": "errors",
    "Verdict": "faults",
    "Violation": "errors",
    "assert_returned_to_baseline": "snapshot",
    "async_assert_returned_to_baseline": "snapshot",
    "async_poll_until": "doubles",
    "cancel_each": "faults",
    "crash": "faults",
    "explore": "explore",
    "fail_each": "faults",
    "fail_nth": "faults",
    "file_bytes": "doubles",
    "pause": "faults",
    "payload": "doubles",
    "poll_until": "doubles",
    "replay": "scenario",
    "scenario": "scenario",
    "segment_id": "doubles",
    "snapshot": "snapshot",
}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _FrontDoor(ModuleType):
    """The package itself.

    A function keeps its name when the module that it lives in, of the same name, is imported.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (isinstance(value, ModuleType) and name in _MODULES):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _FrontDoor
