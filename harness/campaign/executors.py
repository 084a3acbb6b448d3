"""Where the chunks of a campaign are run: processes of this machine, a cluster, or any `Executor`.

    submit(chunk) ─► future ─┬─ outcomes
                             └─ broken: whoever ran it is gone ─► suspects()

All that is asked of an executor is `submit`. That a worker is gone says nothing of what it ran: of
a pool, all that is under way is lost when one process dies. So the shards that were being run are
suspects, and each is run again alone before it is named. This module does not know what is run, nor
how it is dealt out.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, Protocol

from harness.errors import HarnessError, misuse

from .workers import Chunk, begin_worker, crumbs, run_apart, run_chunk

NAMES: Final = ("process", "dask")
#: Seconds in which a cluster must answer.
PATIENCE: Final = 10

#: What dask calls a scheduler, by one of its ways to reach one.
_ADDRESS: Final = re.compile(r"(tcp|tls|ucx|ws|wss)://[^/\s]+:\d+")

#: What one worker gives back for a chunk: outcomes as JSON.
Done = list[dict[str, Any]]


class Workers(Protocol):
    """Where chunks are run. One thread.

    Attributes:
        folder: where workers and campaign leave notes for each other; empty if they share none.
    """

    folder: str

    def slots(self) -> int:
        """Return how many chunks are run at once."""
        ...  # pragma: no cover

    def submit(self, chunk: Chunk) -> Future[Done]:
        """Have a chunk run."""
        ...  # pragma: no cover

    def suspects(self, broken: Iterable[Chunk], *, all_fell: bool) -> set[tuple[int, int]]:
        """Go on after workers are gone, and return what they may have died of.

        Args:
            broken: the chunks that were under way.
            all_fell: no worker is left.

        Returns:
            The shards that were being run, by chunk and place in it.

        Raises:
            HarnessError: there is no going on.
        """
        ...  # pragma: no cover


class Executing:
    """Any `concurrent.futures.Executor`, whose workers are found to be gone when a future fails.

    Args:
        open_executor: makes one; again, if it breaks.
        slots: how many chunks it runs at once.
        function: runs a chunk: `run_chunk` where a worker does nothing else, else `run_apart`.
        folder: a folder that all workers see; empty if there is none.
        check: raises a `HarnessError` if there is no going on.
    """

    def __init__(
        self,
        open_executor: Callable[[], Executor],
        slots: Callable[[], int],
        function: Callable[[Mapping[str, Any]], Done] = run_chunk,
        *,
        folder: str = "",
        check: Callable[[], object] = lambda: None,
    ) -> None:
        self.folder = folder
        self.slots = slots
        self._check = check
        self._open = open_executor
        self._function = function
        self._executor: Executor | None = None

    def open(self) -> Executor:
        """Make the executor, unless there is one; whoever submits does it, too."""
        if self._executor is None:
            self._executor = self._open()
        return self._executor

    def submit(self, chunk: Chunk) -> Future[Done]:
        """Have a chunk run."""
        executor = self.open()
        try:
            return executor.submit(self._function, chunk.to_json())
        except BrokenExecutor:
            raise
        except RuntimeError:
            # It takes nothing any more: perhaps somebody knows why.
            self._check()
            raise

    def suspects(self, broken: Iterable[Chunk], *, all_fell: bool) -> set[tuple[int, int]]:
        """Begin anew if need be; suspect what workers say they were at, or all if none says."""
        self._check()
        if all_fell:
            self.close()
        under_way = {(chunk.number, index) for chunk in broken for index in range(len(chunk.units))}
        told = crumbs(Path(self.folder)) & under_way if self.folder else set()
        return told or under_way

    def close(self) -> None:
        """End the executor, and do not wait for what was not begun."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._executor = None


@contextlib.contextmanager
def processes(workers: int, folder: str) -> Iterator[Executing]:
    """Have a pool of processes, each made afresh, that end with this one.

    Args:
        workers: how many, at least 1.
        folder: a folder for notes.
    """

    def open_pool() -> Executor:
        # Not forked: this process may have threads, and a worker begins like any other.
        return ProcessPoolExecutor(
            workers, mp_context=get_context("spawn"), initializer=begin_worker
        )

    pool = Executing(open_pool, lambda: workers, folder=folder)
    try:
        yield pool
    finally:
        pool.close()


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_address(address: str | None) -> None:
    """Refuse what is no address of a scheduler: dask would look for it for long.

    Raises:
        HarnessError: it is none.
    """
    way_out = "Write --address tcp://HOST:8786."
    if not address:
        raise misuse("address", address, "names no cluster.", way_out)
    if not _ADDRESS.fullmatch(address):
        raise misuse("address", address, "is no address of a dask scheduler.", way_out)


@contextlib.contextmanager
def cluster(address: str) -> Iterator[Executing]:
    """Have the workers of a cluster of dask, each of which runs chunks in a process of its own.

    Args:
        address: of its scheduler: `tcp://host:8786`.

    Raises:
        HarnessError: it cannot be reached, or what it takes is not installed.
    """
    try:
        distributed: Any = import_module("distributed")
    except ImportError:
        raise HarnessError(
            "executor='dask' needs the package distributed. Install faultloom[cluster]."
        ) from None
    with _silent("distributed", "tornado"):
        yield from _cluster(distributed, address)


def _cluster(distributed: Any, address: str) -> Iterator[Executing]:
    try:
        client = distributed.Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError) as exc:
        raise HarnessError(
            f"address={address!r} cannot be reached ({' '.join(str(exc).split()) or 'no answer'}). "
            "Start `dask scheduler` there, and `dask worker ADDRESS --nthreads 1` beside the files."
        ) from None

    def answers() -> int:
        try:
            return len(client.nthreads())
        except (OSError, RuntimeError, ValueError) as exc:
            raise HarnessError(
                f"address={address!r} does not answer any more ({' '.join(str(exc).split())}). "
                "What was found is kept: go on with --resume."
            ) from None

    with client:
        if not answers():
            raise HarnessError(
                f"address={address!r} has no workers. Start `dask worker {address} --nthreads 1` "
                "in the project's root folder."
            )
        # The executor belongs to the client, and ends with it.
        yield Executing(
            lambda: client.get_executor(pure=False),
            lambda: max(1, answers()),
            run_apart,
            check=answers,
        )


@contextlib.contextmanager
def of_others(name: str, slots: int) -> Iterator[Executing]:
    """Have an executor of the user's own, whose workers run chunks in processes beside them.

    Args:
        name: of a function without arguments that returns one: `module:function`.
        slots: how many chunks it runs at once.

    Raises:
        HarnessError: there is no such function, or it makes no executor.
    """
    workers = Executing(_maker(name), lambda: slots, run_apart)
    workers.open()
    try:
        yield workers
    finally:
        workers.close()


def _maker(name: str) -> Callable[[], Executor]:
    module_name, _, function_name = name.partition(":")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        # As `python -m` does; the command `faultloom` is another file.
        sys.path.insert(0, str(Path.cwd()))
    way_out = "Write MODULE:FUNCTION, of a function that returns a concurrent.futures.Executor."
    try:
        function = getattr(import_module(module_name), function_name, None)
    except ImportError as exc:
        raise misuse("executor", name, f"cannot be imported: {exc}.", way_out) from None
    if not callable(function):
        raise misuse("executor", name, "names no function.", way_out)

    def make() -> Executor:
        try:
            made = function()
        except Exception as exc:
            raise misuse(
                "executor", name, f"makes no executor: {type(exc).__name__}: {exc}.", way_out
            ) from exc
        if not isinstance(made, Executor):
            rule = f"makes no executor: it returns a {type(made).__name__}."
            raise misuse("executor", name, rule, "Return a concurrent.futures.Executor.")
        return made

    return make


@contextlib.contextmanager
def _silent(*names: str) -> Iterator[None]:
    """Have loggers and those below them say nothing: what is wrong is told in one line, once."""
    known = (logging.getLogger(name) for name in (*names, *logging.root.manager.loggerDict))
    inside = [each for each in known if each.name.partition(".")[0] in names]
    # Those below that have no level of their own have that of the first.
    levels = {each: each.level for each in inside if each.level or each.name in names}
    for each in levels:
        each.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for each, level in levels.items():
            each.setLevel(level)
