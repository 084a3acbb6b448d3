"""What a process does that runs shards for a campaign: prepare once, then run chunk after chunk.

    campaign ── chunk: shards, settings, files ──►  worker   loads all files, stands on one ground
             ◄── outcomes, as plain data ─────────           for as long as it lives

A chunk is run in the worker itself (`run_chunk`), or apart (`run_apart`) in a process that belongs
to the worker: where the worker has threads of its own, as those of a cluster have, and where it is
not to die of what it runs. It does not know who deals out chunks, nor what becomes of outcomes.
"""

from __future__ import annotations

import contextlib
import functools
import json
import multiprocessing
import multiprocessing.util
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from harness.errors import HarnessError
from harness.explore import Settings, shared_ground
from harness.scenario import Column, Scenario, load

from .outcomes import Outcome, found, not_run, run_unit
from .units import Unit

#: Settings that a campaign has; what a shard does follows from them and its unit.
SETTINGS: Final = (
    "schedules",
    "seed",
    "strategy",
    "granularity",
    "order",
    "timeouts",
    "check_determinism",
)
#: How often a shard may end its process before it is named.
TRIES: Final = 2
#: The file in the folder of a campaign that tells its workers to stop.
STOP: Final = "stop"


def plain_settings(settings: Settings) -> dict[str, Any]:
    """Return what of the settings decides what shards do, as what JSON can carry."""
    return {name: getattr(settings, name) for name in SETTINGS}


def settings_of(plain: Mapping[str, Any]) -> Settings:
    """Return what `plain_settings` was called on."""
    known = {each.name for each in fields(Settings)}
    return Settings(**{name: value for name, value in plain.items() if name in known})


@dataclass(frozen=True, slots=True)
class Chunk:
    """Shards that one worker runs one after the other. Any thread, any process.

    Args:
        number: of the chunk, in its campaign.
        units: the shards.
        settings: those of the campaign, as plain data.
        files: all files of scenarios of the campaign: they are loaded before anything is run.
        end: when it must be over, in seconds since 1970, however late it is begun; None for never.
        folder: where workers and campaign leave notes for each other; empty if they share none.
    """

    number: int
    units: tuple[Unit, ...]
    settings: Mapping[str, Any]
    files: tuple[str, ...]
    end: float | None = None
    folder: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as what JSON can carry."""
        return {
            "number": self.number,
            "units": [unit.to_json() for unit in self.units],
            "settings": dict(self.settings),
            "files": list(self.files),
            "end": self.end,
            "folder": self.folder,
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Chunk:
        """Return what `to_json` was called on."""
        return Chunk(
            data["number"],
            tuple(Unit.from_json(each) for each in data["units"]),
            data["settings"],
            tuple(data["files"]),
            data["end"],
            data["folder"],
        )


def run_chunk(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Run a chunk in this process, which is given to nothing else; return its outcomes as JSON.

    Those of all its shards, but for those that were not begun when it had to stop.
    """
    return [each.to_json() for each in _outcomes(Chunk.from_json(data))]


def _outcomes(chunk: Chunk) -> Iterator[Outcome]:
    # Whoever dealt it out may be another machine: only what both call the time of day is shared.
    end = None if chunk.end is None else time.monotonic() + chunk.end - time.time()
    stop_file = Path(chunk.folder, STOP) if chunk.folder else None

    def stop() -> bool:
        is_late = end is not None and time.monotonic() >= end
        return is_late or (stop_file is not None and stop_file.exists())

    settings = settings_of(chunk.settings)
    with _crumb(chunk) as begin:
        prepare(chunk.files)
        for index, unit in enumerate(chunk.units):
            if stop():
                return
            begin(index)
            try:
                yield run_unit(unit, settings, stop=stop, find_cell=_ground().cell)
            except KeyboardInterrupt:
                return


@contextlib.contextmanager
def _crumb(chunk: Chunk) -> Iterator[Callable[[int], object]]:
    """Write down which shard is run, in a file that is there while one is."""
    if not chunk.folder:
        yield lambda _index: None
        return
    crumb = Path(chunk.folder, f"worker-{os.getpid()}")
    yield lambda index: crumb.write_text(f"{chunk.number} {index}", "utf-8")
    crumb.unlink(missing_ok=True)


def crumbs(folder: Path) -> set[tuple[int, int]]:
    """Return what was being run by workers that are no more, as chunk and place, and forget it."""
    found = set()
    for crumb in folder.glob("worker-*"):
        words = crumb.read_text("utf-8").split()
        crumb.unlink(missing_ok=True)
        if len(words) == 2:
            found.add((int(words[0]), int(words[1])))
    return found


class _Ground:
    """What a process has prepared for all that it will run. One thread."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._loaded: set[str] = set()
        self._cells: dict[str, tuple[Scenario, Column]] = {}
        self._is_standing = False

    def prepare(self, files: Sequence[str]) -> None:
        """Load files, and prepare; both once.

        What cannot be loaded is told of each shard that needs it, not here.
        """
        new = [file for file in files if file not in self._loaded]
        if self._is_standing and not new:
            return
        # Locks that are made at import must be seen.
        self.close()
        for file in new:
            self._loaded.add(file)
            with contextlib.suppress(HarnessError):
                load(Path(file))
        self._stack.enter_context(shared_ground())
        self._is_standing = True

    def cell(self, unit: Unit) -> tuple[Scenario, Column]:
        """Find what a unit names; once, for that takes longer than a small run."""
        known = self._cells.get(unit.cell)
        if known is None:
            known = self._cells[unit.cell] = found(unit)
        return known

    def close(self) -> None:
        """Take everything down: a process that is to end waits for the threads of the ground."""
        self._is_standing = False
        self._stack.close()


@functools.cache
def _ground() -> _Ground:
    return _Ground()


def prepare(files: Sequence[str]) -> None:
    """Load files of scenarios, and prepare this process for all runs to come; both once."""
    _ground().prepare(files)


# --- processes of a pool --------------------------------------------------------------------------


def begin_worker() -> None:
    """Make a process of a pool one that ends with its parent, and not before."""
    multiprocessing.util.Finalize(None, _ground().close, exitpriority=100)
    # Ctrl-C is for the campaign, which tells its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None, "a pool has made it"

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True, name="end with parent").start()


# --- a process apart ------------------------------------------------------------------------------


class Runner:
    """A process that runs chunks for this one, and may die of them. One thread.

    invariant: the process, if there is one, waits for a chunk between two calls.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def close(self) -> None:
        """End the process."""
        if self._process is None:
            return
        assert self._process.stdin is not None, "it was asked for"
        assert self._process.stdout is not None, "as above"
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process = None

    def run(self, chunk: Chunk) -> list[Outcome]:
        """Run a chunk; a shard that ends the process is run again, alone, before it is named."""
        outcomes: list[Outcome] = []
        left = list(chunk.units)
        while left:
            done, how = self._run(chunk, left)
            outcomes.extend(done)
            left = left[len(done) :]
            if not how:
                break
            if left:
                alone = self.run_alone(chunk, left.pop(0), tries=TRIES - 1)
                if alone is None:
                    break
                outcomes.append(alone)
        return outcomes

    def run_alone(self, chunk: Chunk, unit: Unit, *, tries: int = TRIES) -> Outcome | None:
        """Run one shard of a chunk in a process of its own, so often until it does not end it.

        Returns:
            The outcome; None if it was told to stop before it began.
        """
        how = ""
        for _ in range(tries):
            self.close()
            done, how = self._run(chunk, [unit])
            if done:
                return done[0]
            if not how:
                return None
        return not_run(
            unit,
            f"it ends the process that runs it ({how}), {TRIES} times of {TRIES}, "
            f"and alone: {unit.key}",
            is_crash=True,
        )

    def _run(self, chunk: Chunk, units: Sequence[Unit]) -> tuple[list[Outcome], str]:
        """Have units run; return the outcomes, and how the process ended if it did."""
        process = self._started()
        assert process.stdin is not None, "it was asked for"
        assert process.stdout is not None, "as above"
        data = {**chunk.to_json(), "units": [unit.to_json() for unit in units]}
        done: list[Outcome] = []
        try:
            process.stdin.write(json.dumps(data) + "\n")
            process.stdin.flush()
            for line in process.stdout:
                said = json.loads(line)
                if said is None:
                    return done, ""
                done.append(Outcome.from_json(said))
        except OSError:
            # It is gone, as below.
            pass
        code = process.wait()
        self.close()
        return done, _ended(code)

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            # Not by `-m`: the module is imported under its own name, once.
            command = "from harness.campaign.workers import serve; serve()"
            self._process = subprocess.Popen(  # noqa: S603 - our own words
                [sys.executable, "-c", command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                # Ctrl-C is for the campaign.
                start_new_session=True,
            )
        return self._process


def _ended(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def serve() -> None:
    """Run the chunks that come in on stdin; write one line for each outcome, `null` at the end."""
    # What code under test prints, even in C, must not come between.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        for line in sys.stdin:
            for outcome in _outcomes(Chunk.from_json(json.loads(line))):
                out.write(json.dumps(outcome.to_json()) + "\n")
                out.flush()
            out.write("null\n")
            out.flush()
    except BrokenPipeError:
        # Whoever asked is gone. Nothing is to be written any more, not even at exit.
        os._exit(1)
    finally:
        _ground().close()


@functools.cache
def _runner() -> Runner:
    return Runner()


@functools.cache
def _one_at_a_time() -> threading.Lock:
    return threading.Lock()


def run_apart(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Run a chunk in a process that belongs to this one, and is kept for the next chunk.

    Any thread; one chunk at a time.
    """
    with _one_at_a_time():
        return [each.to_json() for each in _runner().run(Chunk.from_json(data))]
