"""What is not simulated yet: refused inside a run, in one line, rather than passed through.

It does not know why the code under test wants these things.
"""

from __future__ import annotations

import asyncio
import multiprocessing.process
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

from harness.errors import unsupported

from .here import here

_BETWEEN_PROCESSES = (
    *("Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", "Event", "Barrier"),
    *("Queue", "JoinableQueue", "SimpleQueue", "Pipe", "Pool", "Manager"),
)


def _refusing(real: Callable[..., Any], what: str, way_out: str) -> Callable[..., Any]:
    def refused(*args: Any, **kwargs: Any) -> Any:
        world = here.world
        if world is None or world.kernel.current is None or world.stopping:
            return real(*args, **kwargs)
        error = unsupported(what, way_out)
        # Code under test must not be able to swallow it.
        world.abort(error)
        raise error

    refused.__name__ = getattr(real, "__name__", "refused")
    return refused


def refusals() -> Iterator[tuple[Any, str, Any]]:
    """Yield owner, name and replacement of everything refused."""
    double = "Give the code under test a double of what it talks to."
    yield socket.socket, "__init__", _refusing(socket.socket.__init__, "a socket", double)
    yield subprocess.Popen, "__init__", _refusing(subprocess.Popen.__init__, "a subprocess", double)
    for name in (
        "getaddrinfo",
        "gethostbyname",
        "gethostbyname_ex",
        "gethostbyaddr",
        "create_connection",
        "socketpair",
    ):
        yield socket, name, _refusing(getattr(socket, name), f"socket.{name}", double)
    for name in ("select", "poll", "epoll", "kqueue", "devpoll"):
        if hasattr(select, name):
            yield select, name, _refusing(getattr(select, name), f"select.{name}", double)
    for name in ("add_signal_handler", "remove_signal_handler"):
        loop: Any = asyncio.SelectorEventLoop
        if name in vars(loop):
            way_out = "Call the handler from the scenario instead."
            yield loop, name, _refusing(vars(loop)[name], f"loop.{name}", way_out)
    uvloop = sys.modules.get("uvloop")
    for name in ("install", "run", "new_event_loop", "Loop"):
        if uvloop is not None and hasattr(uvloop, name):
            yield (
                uvloop,
                name,
                _refusing(getattr(uvloop, name), "uvloop", "Use the event loop of asyncio."),
            )
    start = multiprocessing.process.BaseProcess.start
    yield (
        multiprocessing.process.BaseProcess,
        "start",
        _refusing(start, "multiprocessing", "Use threads in the scenario."),
    )
    for name in _BETWEEN_PROCESSES:
        real = getattr(multiprocessing, name)
        way_out = "Use threading and queue instead."
        yield multiprocessing, name, _refusing(real, f"multiprocessing.{name}", way_out)
    for name in ("fork", "forkpty", "posix_spawn", "posix_spawnp", "system", "execv", "execve"):
        if hasattr(os, name):
            yield os, name, _refusing(getattr(os, name), f"os.{name}", double)
    waits = ("sigwait", "sigwaitinfo", "sigtimedwait", "pause")
    for name in ("signal", "alarm", "setitimer", "set_wakeup_fd", *waits):
        if hasattr(signal, name):
            way_out = "Call the handler from the scenario instead."
            yield signal, name, _refusing(getattr(signal, name), f"signal.{name}", way_out)
