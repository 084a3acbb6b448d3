"""What is not simulated yet: refused inside a run, in one line, rather than passed through.

It does not know why the code under test wants these things.
"""

from __future__ import annotations

import _socket
import _thread
import asyncio
import importlib
import multiprocessing.process
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

from harness.errors import unsupported

from .here import here

_DOUBLE = "Give the code under test a double of what it talks to."
_HANDLER = "Call the handler from the scenario instead."
_THREADS = "Use threads in the scenario."

_BETWEEN_PROCESSES = (
    *("Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", "Event", "Barrier"),
    *("Queue", "JoinableQueue", "SimpleQueue", "Pipe", "Pool", "Manager"),
)

#: What the above stand on, whatever context they are made through; some systems lack some of it.
_BENEATH = (
    ("multiprocessing.synchronize", "SemLock"),
    ("multiprocessing.connection", "Pipe"),
    ("multiprocessing.shared_memory", "SharedMemory"),
)

#: Names by module, with the way out; a system may lack some.
_NAMES: tuple[tuple[Any, str, tuple[str, ...]], ...] = (
    (
        socket,
        _DOUBLE,
        (
            *("getaddrinfo", "getnameinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr"),
            *("create_connection", "socketpair"),
        ),
    ),
    (_socket, _DOUBLE, ("getaddrinfo", "socketpair")),
    (select, _DOUBLE, ("select", "poll", "epoll", "kqueue", "devpoll")),
    (
        os,
        _DOUBLE,
        (
            *("fork", "forkpty", "posix_spawn", "posix_spawnp", "system", "execv", "execve"),
            *("wait", "wait3", "wait4", "waitid"),
        ),
    ),
    (os, _HANDLER, ("kill", "killpg")),
    (_thread, _HANDLER, ("interrupt_main",)),
    (
        signal,
        _HANDLER,
        (
            *("signal", "alarm", "setitimer", "set_wakeup_fd", "siginterrupt", "pthread_sigmask"),
            *("raise_signal", "pthread_kill", "pidfd_send_signal"),
            *("sigwait", "sigwaitinfo", "sigtimedwait", "pause"),
        ),
    ),
)

#: Looks, without waiting, how a process made before the run is doing: also its finaliser does so.
_polls: Any = getattr(subprocess.Popen, "_internal_poll", None)


def _refuse(what: str, way_out: str) -> None:
    """Raise if this thread is inside a run."""
    world = here.world
    if world is None or world.kernel.current is None or world.stopping:
        return
    error = unsupported(what, way_out)
    # Code under test must not be able to swallow it.
    world.abort(error)
    raise error


def _refusing(
    real: Callable[..., Any], what: str, way_out: str, *, spared: CodeType | None = None
) -> Callable[..., Any]:
    def refused(*args: Any, **kwargs: Any) -> Any:
        if spared is None or sys._getframe(1).f_code is not spared:
            _refuse(what, way_out)
        return real(*args, **kwargs)

    refused.__name__ = getattr(real, "__name__", "refused")
    return refused


def _refusing_type(real: type, what: str, way_out: str) -> type:
    """Return a class that stands for one written in C, whose methods cannot be replaced."""

    class Kind(type(real)):  # type: ignore[misc] # a metaclass known only at run time
        def __instancecheck__(cls, thing: object) -> bool:
            return isinstance(thing, real)

        def __subclasscheck__(cls, other: type) -> bool:
            return issubclass(other, real)

    def new(cls: type, *args: Any, **kwargs: Any) -> Any:
        _refuse(what, way_out)
        return real(*args, **kwargs) if cls is refused else real.__new__(cls, *args, **kwargs)

    refused: type = Kind(real.__name__, (real,), {"__new__": new, "__slots__": ()})
    return refused


def refusals() -> Iterator[tuple[Any, str, Any]]:
    """Yield owner, name and replacement of everything refused."""
    for module, way_out, names in _NAMES:
        for name in names:
            if hasattr(module, name):
                what = f"{module.__name__.lstrip('_')}.{name}"
                yield module, name, _refusing(getattr(module, name), what, way_out)
    yield _socket, "socket", _refusing_type(_socket.socket, "a socket", _DOUBLE)
    yield socket.socket, "__init__", _refusing(socket.socket.__init__, "a socket", _DOUBLE)
    popen = subprocess.Popen.__init__
    yield subprocess.Popen, "__init__", _refusing(popen, "a subprocess", _DOUBLE)
    if hasattr(os, "waitpid"):
        spared = getattr(_polls, "__code__", None)
        yield os, "waitpid", _refusing(os.waitpid, "os.waitpid", _DOUBLE, spared=spared)
    loop: Any = asyncio.SelectorEventLoop
    for name in ("add_signal_handler", "remove_signal_handler"):
        if name in vars(loop):
            yield loop, name, _refusing(vars(loop)[name], f"loop.{name}", _HANDLER)
    yield from _uvloop()
    yield from _multiprocessing()


def _uvloop() -> Iterator[tuple[Any, str, Any]]:
    uvloop = sys.modules.get("uvloop")
    for name in ("install", "run", "new_event_loop", "Loop"):
        if uvloop is not None and hasattr(uvloop, name):
            real = getattr(uvloop, name)
            yield uvloop, name, _refusing(real, "uvloop", "Use the event loop of asyncio.")


def _multiprocessing() -> Iterator[tuple[Any, str, Any]]:
    process = multiprocessing.process.BaseProcess
    yield process, "start", _refusing(process.start, "multiprocessing", _THREADS)
    for name in _BETWEEN_PROCESSES:
        real = getattr(multiprocessing, name)
        way_out = "Use threading and queue instead."
        yield multiprocessing, name, _refusing(real, f"multiprocessing.{name}", way_out)
    for module_name, name in _BENEATH:
        try:
            module = importlib.import_module(module_name)
        except ImportError:
            continue
        real = getattr(module, name)
        if isinstance(real, type):
            cls: Any = real
            yield cls, "__init__", _refusing(cls.__init__, "multiprocessing", _THREADS)
        else:
            yield module, name, _refusing(real, "multiprocessing", _THREADS)
