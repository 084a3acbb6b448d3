"""What happens at a point: the one function whose calls are inserted into the code under test.

It is the hot path. It does not know where points are.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
import threading
from typing import Any

from .here import here
from .sites import IMMUTABLE_TYPES
from .threads import Lock, SimpleQueue

_SYNCHRONISATION = (
    Lock,
    SimpleQueue,
    threading.Condition,
    threading.Event,
    threading.Semaphore,
    threading.Barrier,
    threading.Thread,
    queue.Queue,
    concurrent.futures.Future,
    concurrent.futures.Executor,
    asyncio.AbstractEventLoop,
)

_known: dict[type, bool] = {}


def is_synchronisation(cls: type) -> bool:
    """Tell whether calls on objects of `cls` are public synchronisation operations."""
    known = _known.get(cls)
    if known is None:
        known = _known[cls] = issubclass(cls, _SYNCHRONISATION) or bool(
            getattr(cls, "_harness_sync", False)
        )
    return known


def at_point(subject: object, site: Any) -> None:
    """Let another thread go on before the access `site` to `subject`, if the tape says so."""
    world = here.world
    if world is None:
        return
    kernel = world.kernel
    current = kernel.current
    if current is None or world.silenced or world.stopping:
        return
    current.pointed = True
    if type(subject) in IMMUTABLE_TYPES:
        return
    if not site.shared and not is_synchronisation(type(subject)):
        return
    if site.writes:
        kernel.change()
    if world.history is not None:
        world.note("point", f"{site.operation} {site.name}", where=f"{site.file}:{site.line}")
    target = kernel.decide()
    if target is not current:
        world.switch(target)
