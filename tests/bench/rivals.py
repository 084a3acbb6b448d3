"""The tools of others on the same programs, each as its own documentation says.

Only imported where they are installed. frontrun patches the locks of its whole process and wants to
be told by an environment variable, so it has a process of its own: `python -m tests.bench.rivals
PROGRAM SCHEDULES` prints its seconds. It does not know our side.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from . import programs

#: Makes so many schedules and returns the seconds that took.
Runner = Callable[[int], float]


def installed(name: str) -> bool:
    """Tell whether a rival is there."""
    return importlib.util.find_spec(name) is not None


def threaded() -> Iterator[tuple[str, str, str, Runner]]:
    """Yield tool, mode, program and what makes so many schedules of it.

    A mode called `random opcode` is the tool's random search at the granularity of byte code.
    """
    if installed("interleave_test"):
        yield from _interleave_test()
    if installed("frontrun"):
        yield from _frontrun()


def _interleave_test() -> Iterator[tuple[str, str, str, Runner]]:
    import interleave_test

    for name, program in programs.THREADED.items():
        for strategy in ("random", "pct"):
            for granularity in ("opcode", "line"):

                def run(
                    schedules: int, p: Any = program, s: str = strategy, g: str = granularity
                ) -> float:
                    return _seconds(
                        lambda: interleave_test.explore(
                            lambda: p(None),
                            iterations=schedules,
                            seed=1,
                            strategy=s,
                            granularity=g,
                            raise_on_failure=False,
                        )
                    )

                yield "interleave-test", f"{strategy} {granularity}", name, run


def _frontrun() -> Iterator[tuple[str, str, str, Runner]]:
    for name in _PARTS:

        def run(schedules: int, name: str = name) -> float:
            command = [sys.executable, "-m", "tests.bench.rivals", name, str(schedules)]
            environment = {**os.environ, "FRONTRUN_ACTIVE": "1"}
            done = subprocess.run(
                command, env=environment, check=True, capture_output=True, text=True
            )
            return float(done.stdout)

        yield "frontrun", "random opcode", name, run


def _run_frontrun(name: str, schedules: int) -> float:
    """Run the parts of a program by hand.

    It starts the workers itself and cannot see threads that a program starts.
    """
    import frontrun

    setup, workers, holds = _PARTS[name]
    return _seconds(
        lambda: frontrun.explore_random(
            setup=setup,
            threads=workers,
            invariant=holds,
            max_attempts=schedules,
            seed=1,
            detect_io=False,
        )
    )


def _seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _raise(number: programs.Counter) -> None:
    number.raise_once()


class _Bank:
    def __init__(self) -> None:
        import threading

        self.accounts = [100, 100, 100]
        self.lock = threading.Lock()

    def transfer(self, source: int, target: int) -> None:
        with self.lock:
            if self.accounts[source] >= 30:
                self.accounts[source] -= 30
                self.accounts[target] += 30


class _Locks:
    def __init__(self) -> None:
        import threading

        self.first, self.second = threading.Lock(), threading.Lock()
        self.value = 0

    def both(self) -> None:
        with self.first, self.second:
            self.value += 1


class _Table:
    def __init__(self) -> None:
        import threading

        self.forks = [threading.Lock() for _ in range(3)]
        self.eaten = programs.Counter()

    def dine(self, index: int) -> None:
        low, high = sorted((index, (index + 1) % 3))
        with self.forks[low], self.forks[high]:
            self.eaten.raise_once()


_PARTS: dict[str, tuple[Any, Any, Any]] = {
    "counter2": (programs.Counter, [_raise, _raise], lambda number: number.value == 2),
    "bank3": (
        _Bank,
        [lambda b: b.transfer(0, 1), lambda b: b.transfer(1, 2), lambda b: b.transfer(2, 0)],
        lambda b: sum(b.accounts) == 300,
    ),
    "lost_wakeup": (programs.Flag, [lambda f: f.wait(), lambda f: f.set()], lambda f: f.is_set),
    "bounded_buffer": (
        programs.Buffer,
        [lambda b: b.put(1), lambda b: b.put(2), lambda b: b.take(), lambda b: b.take()],
        lambda b: not b.items,
    ),
    "ab_ba": (_Locks, [lambda s: s.both(), lambda s: s.both()], lambda s: s.value == 2),
    "philosophers3": (
        _Table,
        [lambda t: t.dine(0), lambda t: t.dine(1), lambda t: t.dine(2)],
        lambda t: t.eaten.value == 3,
    ),
}


def asynchronous() -> Iterator[tuple[str, str, str, Runner]]:
    """Yield tool, mode, program and what makes so many schedules of it."""
    if not installed("detangle"):
        return
    import detangle

    for name, program in programs.ASYNC.items():

        def run(schedules: int, p: Any = program) -> float:
            return _seconds(
                lambda: detangle.explore(lambda: p(None), runs=schedules, strategy="random", seed=1)
            )

        yield "detangle", "random", name, run


if __name__ == "__main__":
    print(_run_frontrun(sys.argv[1], int(sys.argv[2])))
