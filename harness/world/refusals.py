"""What is not simulated yet and is refused inside a run, in one clear line, instead of being passed through.

It does not know why the code under test wants these things.
"""

from __future__ import annotations

import multiprocessing.process
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

from harness.errors import unsupported

from .here import here


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
    start = multiprocessing.process.BaseProcess.start
    yield multiprocessing.process.BaseProcess, "start", _refusing(start, "multiprocessing", "Use threads in the scenario.")
    for name in ("fork", "forkpty", "posix_spawn", "posix_spawnp", "system"):
        if hasattr(os, name):
            yield os, name, _refusing(getattr(os, name), f"os.{name}", double)
    for name in ("signal", "alarm", "setitimer", "sigwait", "pause", "set_wakeup_fd"):
        if hasattr(signal, name):
            way_out = "Call the handler from the scenario instead."
            yield signal, name, _refusing(getattr(signal, name), f"signal.{name}", way_out)
