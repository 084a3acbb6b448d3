"""Programs whose failures a random walk finds with far more switches than they need."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from harness.explore import explore
from harness.faults import PASS, Fail, Site, Verdict


def _together(*targets: Callable[[], object]) -> None:
    threads = tuple(threading.Thread(target=target) for target in targets)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def lost_update(sim: Any) -> None:
    """Three threads add ten visits each."""
    s = SimpleNamespace(visits=0)

    def visit() -> None:
        for _ in range(10):
            s.visits += 1

    _together(visit, visit, visit)
    assert s.visits == 30


def lost_in_noise(sim: Any) -> None:
    """Four threads count once each, and do much else before and after."""
    s = SimpleNamespace(visits=0, noise=0)

    def visit() -> None:
        for _ in range(30):
            s.noise += 1
        s.visits += 1
        for _ in range(30):
            s.noise += 1

    _together(visit, visit, visit, visit)
    assert s.visits == 4


def crossed_locks(sim: Any) -> None:
    """Two threads take two locks, each in another order; two more stand in line."""
    s = SimpleNamespace(noise=0)
    ledger, journal = threading.Lock(), threading.Lock()

    def book(first: Any, second: Any) -> None:
        for _ in range(10):
            s.noise += 1
        first.acquire()
        second.acquire()
        second.release()
        first.release()

    _together(
        lambda: book(ledger, journal),
        lambda: book(journal, ledger),
        lambda: book(ledger, journal),
        lambda: book(journal, ledger),
    )


def read_between(sim: Any) -> None:
    """Between two writes of the first thread the second reads, and then the third reads that."""
    s = SimpleNamespace(begun=False, ended=False, seen=False, noise=0)

    def make_noise() -> None:
        for _ in range(20):
            s.noise += 1

    def write() -> None:
        make_noise()
        s.begun = True
        make_noise()
        s.ended = True

    def look() -> None:
        make_noise()
        if s.begun and not s.ended:
            s.seen = True
        make_noise()

    def tell() -> None:
        make_noise()
        assert not (s.seen and not s.ended)
        make_noise()

    _together(write, look, tell)


def may_fail(site: Site) -> Verdict:
    """Let any call fail."""
    return Fail(ConnectionError) if site.kind == "call" else PASS


def unforgiven(sim: Any) -> None:
    """Three threads make four calls each; any may fail, but for the third of the second."""
    origin = sim.pool("origin", size=3, latency=(0.0, 0.010))
    sim.inject(may_fail, at_most=None)
    s = SimpleNamespace(failed=False)

    def call(number: int) -> None:
        for request in range(4):
            try:
                origin.call(f"user:{request}")
            except ConnectionError:
                if (number, request) == (1, 2):
                    s.failed = True

    _together(lambda: call(0), lambda: call(1), lambda: call(2))
    assert not s.failed


def unforgiven_when_late(sim: Any) -> None:
    """As before, and only if the third thread, which makes one call, is done by then."""
    origin = sim.pool("origin", size=3)
    sim.inject(may_fail, at_most=None)
    s = SimpleNamespace(done=False, failed=False)

    def call(number: int) -> None:
        for request in range(1 if number == 2 else 4):
            try:
                origin.call(f"user:{request}")
            except ConnectionError:
                if (number, request) == (1, 2):
                    s.failed = s.done
        if number == 2:
            s.done = True

    _together(lambda: call(0), lambda: call(1), lambda: call(2))
    assert not s.failed


def two_bugs(sim: Any) -> None:
    """A lost update, which needs a preemption, and a wrong order, which needs none.

    Whoever leaves preemptions out of the first one's schedule meets the second.
    """
    s = SimpleNamespace(visits=0, last="")

    def visit(name: str) -> None:
        s.visits += 1
        s.last = name

    _together(lambda: visit("first"), lambda: visit("second"))
    assert s.visits == 2, "a visit was lost"
    assert s.last == "second", "the first was last"


def fails_at_once(sim: Any) -> None:
    """It fails on the plain run."""
    lost_update(sim)
    assert sim is None


def two_checks(sim: Any) -> None:
    """A visit is lost; or a thread sees the other at work, and raises what nobody takes."""
    s = SimpleNamespace(visits=0, busy=False)

    def visit() -> None:
        s.visits += 1
        if s.busy:
            raise ConnectionError
        s.busy = True
        s.busy = False

    _together(visit, visit)
    assert s.visits == 2


PROGRAMS = (
    lost_update,
    lost_in_noise,
    crossed_locks,
    read_between,
    unforgiven,
    unforgiven_when_late,
    two_bugs,
    two_checks,
)


def main() -> None:
    """Print, as JSON, the tokens and digests of the failures that are shown."""
    found = {}
    for program in PROGRAMS:
        done = explore(program, strategy="random", schedules=300)
        found[program.__name__] = [[each.token, each.digest] for each in done.failures]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
