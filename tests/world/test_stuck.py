"""A deadlock of some is seen while others go on; who could still be helped is not called stuck."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from harness import Crash, Hang, Pass, Site, Verdict, explore
from harness.world import stuck

pytestmark = pytest.mark.one_ground


def _ticking() -> None:
    while True:
        time.sleep(1)


def _counting() -> None:
    """Change something every second, for ever."""
    count = [0]
    while True:
        time.sleep(1)
        count[0] += 1


def _take_both(mine: Any, other: Any, have_one: threading.Barrier) -> None:
    with mine:
        have_one.wait()
        with other:
            pass


def _crosswise(sim: Any, first: Any, second: Any, ticking: Any) -> None:
    """Two take two locks crosswise while a third goes on for ever."""
    sim.background("ticker")
    threading.Thread(target=ticking, name="ticker", daemon=True).start()
    have_one = threading.Barrier(2)

    workers = (
        threading.Thread(target=_take_both, args=(first, second, have_one), name="left"),
        threading.Thread(target=_take_both, args=(second, first, have_one), name="right"),
    )
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def test_a_circle_is_a_deadlock_though_a_ticker_keeps_time_moving() -> None:
    """The two are named; the ticker, which could run for ever, is not."""

    def program(sim: Any) -> None:
        _crosswise(sim, threading.Lock(), threading.Lock(), _ticking)

    violation = explore(program, schedules=1).violation

    assert violation is not None
    assert violation.check == "Deadlock"
    assert violation.summary.startswith("'left' and 'right' wait for each other")


def test_what_a_mark_of_pytest_leads_to_is_not_looked_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The ticker could name the one of this module: in a large suite too much to look at."""
    monkeypatch.setattr(stuck, "MAX_OBJECTS", 5_000)

    def program(sim: Any) -> None:
        _crosswise(sim, threading.Lock(), threading.Lock(), _ticking)

    assert explore(program, schedules=1).verdict == "Deadlock"


@pytest.mark.own_ground
def test_reentrant_locks_need_no_look_at_who_could_reach_them() -> None:
    """Nobody but its owner can release one."""
    first, second = threading.RLock(), threading.RLock()

    def program(sim: Any) -> None:
        _crosswise(sim, first, second, _ticking)

    assert explore(program, schedules=1).verdict == "Deadlock"


@pytest.mark.parametrize("others", [_ticking, _counting])
def test_who_waits_for_the_end_of_one_in_the_circle_cannot_open_it(
    others: Callable[[], None],
) -> None:
    """A storm waits for those whom it has spawned, and its locks are in its variables."""

    def program(sim: Any) -> None:
        first, second = threading.Lock(), threading.Lock()
        have_one = threading.Barrier(2)

        sim.background("ticker")
        threading.Thread(target=others, name="ticker", daemon=True).start()
        with sim.storm() as storm:
            storm.spawn(_take_both, first, second, have_one, name="left")
            storm.spawn(_take_both, second, first, have_one, name="right")

    violation = explore(program, schedules=1).violation

    assert violation is not None
    assert violation.summary.startswith("'left' and 'right' wait for each other")


def _opened(start: Callable[[Any, list[Callable[[], None]]], None]) -> Callable[[Any], None]:
    """Return a program in which the one who ticks releases one of the locks in the end."""

    def program(sim: Any) -> None:
        first, second = threading.Lock(), threading.Lock()

        def ticking() -> None:
            for _ in range(200):
                time.sleep(1)
            second.release()

        sim.background("ticker")
        threading.Thread(target=ticking, name="ticker", daemon=True).start()
        have_both = threading.Barrier(2)

        def left() -> None:
            first.acquire()
            have_both.wait()
            second.acquire()
            first.release()

        def right() -> None:
            second.acquire()
            have_both.wait()
            first.acquire()

        start(sim, [left, right])

    return program


def _in_threads(_sim: Any, targets: list[Callable[[], None]]) -> None:
    workers = [threading.Thread(target=each) for each in targets]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def _in_a_storm(sim: Any, targets: list[Callable[[], None]]) -> None:
    with sim.storm() as storm:
        for each in targets:
            storm.spawn(each)


@pytest.mark.parametrize("start", [_in_threads, _in_a_storm])
def test_a_circle_that_somebody_else_can_open_is_none(start: Any) -> None:
    """However the two were started."""
    assert explore(_opened(start), schedules=1).verdict == "holds"


# --- the main thread waits for what its owner will never give back --------------------------------


def _beside(sim: Any, other: Callable[[], object], *targets: Callable[[], object]) -> None:
    """Wait for threads while another one goes on."""
    sim.background("other")
    threading.Thread(target=other, name="other", daemon=True).start()
    waiting = [threading.Thread(target=each, name=each.__name__) for each in targets]
    for each in waiting:
        each.start()
    for each in waiting:
        each.join()


def _kept(sim: Any, keep: Callable[[Any, threading.Event], None]) -> None:
    """One takes a re-entrant lock for which another one waits."""
    lock = threading.RLock()
    taken = threading.Event()

    def holder() -> None:
        keep(lock, taken)

    def waiter() -> None:
        taken.wait()
        with lock:
            pass

    _beside(sim, _counting, holder, waiter)


def a_holder_that_has_ended(sim: Any) -> None:
    """Nobody else can give back what it took."""

    def keep(lock: Any, taken: threading.Event) -> None:
        lock.acquire()
        taken.set()

    _kept(sim, keep)


def a_holder_that_crashes(sim: Any) -> None:
    """It never comes to where it gives it back."""
    _struck(sim, Crash())


def a_holder_that_hangs(sim: Any) -> None:
    """As above."""
    _struck(sim, Hang())


def _struck(sim: Any, verdict: Verdict) -> None:
    other_lock = threading.Lock()
    is_taken = [False]

    def keep(lock: Any, taken: threading.Event) -> None:
        with lock:
            taken.set()
            is_taken[0] = True
            with other_lock:
                time.sleep(1)

    def strike(site: Site) -> Verdict:
        return verdict if (site.kind, site.who) == ("lock", "holder") and is_taken[0] else Pass()

    sim.inject(strike)
    _kept(sim, keep)


def a_storm_of_one_who_waits(sim: Any) -> None:
    """The main thread waits for the end of the storm."""
    lock = threading.RLock()

    def leave() -> None:
        lock.acquire()

    sim.background("other")
    threading.Thread(target=_counting, name="other", daemon=True).start()
    leaver = threading.Thread(target=leave)
    leaver.start()
    leaver.join()
    with sim.storm() as storm:
        storm.spawn(lock.acquire, name="waiter")


@pytest.mark.parametrize(
    "program",
    [
        a_holder_that_has_ended,
        a_holder_that_crashes,
        a_holder_that_hangs,
        a_storm_of_one_who_waits,
    ],
)
def test_who_waits_for_an_owner_in_vain_is_named_though_others_go_on(
    program: Callable[[Any], None],
) -> None:
    """And whoever goes on is not, however much he changes."""
    # Whether a fault strikes is a choice.
    violation = explore(program, schedules=50).violation

    assert violation is not None
    assert violation.check == "Deadlock"
    assert violation.summary == (
        "'MainThread', 'waiter' wait for ever, though others go on: nobody else can end that."
    )


def test_a_circle_is_a_deadlock_though_somebody_changes_something_all_the_time() -> None:
    """He is no part of it."""

    def program(sim: Any) -> None:
        _crosswise(sim, threading.Lock(), threading.RLock(), _counting)

    violation = explore(program, schedules=1).violation

    assert violation is not None
    assert violation.summary.startswith("'left' and 'right' wait for each other")


def _pass_time() -> None:
    """Sleep so often that it is looked who waits."""
    for _ in range(1_100):
        time.sleep(1)


def in_the_hands_of_who_is_asleep(sim: Any) -> None:
    """Its owner will give it back."""

    def keep(lock: Any, taken: threading.Event) -> None:
        with lock:
            taken.set()
            _pass_time()

    _kept(sim, keep)


def behind_who_waits_for_who_is_asleep(sim: Any) -> None:
    """Each will go on, one after the other."""
    asleep = threading.Thread(target=_pass_time)
    asleep.start()

    def keep(lock: Any, taken: threading.Event) -> None:
        with lock:
            taken.set()
            asleep.join()

    _kept(sim, keep)


def behind_who_waits_for_so_long(sim: Any) -> None:
    """It gives up in the end."""
    never = threading.RLock()
    leaver = threading.Thread(target=never.acquire)
    leaver.start()
    leaver.join()

    def keep(lock: Any, taken: threading.Event) -> None:
        with lock:
            taken.set()
            never.acquire(timeout=2_000)

    _kept(sim, keep)


def a_lock_that_somebody_else_gives_back(sim: Any) -> None:
    """A plain one, whose holder has ended."""
    lock = threading.Lock()
    taken = threading.Event()

    def leave() -> None:
        lock.acquire()
        taken.set()

    def wait() -> None:
        taken.wait()
        with lock:
            pass

    def give_back() -> None:
        taken.wait()
        _pass_time()
        lock.release()

    _beside(sim, give_back, leave, wait)


def a_lock_that_a_timer_gives_back(sim: Any) -> None:
    """The timer has no code of the program in it."""
    lock = threading.Lock()
    lock.acquire()
    threading.Timer(1_100, lock.release).start()
    sim.background("other")
    threading.Thread(target=_ticking, name="other", daemon=True).start()
    lock.acquire()


class Bell:
    """It rings when it goes."""

    def __init__(self, heard: threading.Event) -> None:
        self.heard = heard

    def __del__(self) -> None:
        """Ring."""
        self.heard.set()


def something_that_goes_later(_sim: Any) -> None:
    """What was looked at is let go of when the program lets it go."""
    heard = threading.Event()

    def hold(_bell: Bell) -> None:
        _pass_time()

    def drop() -> None:
        hold(Bell(heard))

    dropper = threading.Thread(target=drop)
    dropper.start()
    heard.wait()
    dropper.join()


@pytest.mark.parametrize(
    "program",
    [
        in_the_hands_of_who_is_asleep,
        behind_who_waits_for_who_is_asleep,
        behind_who_waits_for_so_long,
        a_lock_that_somebody_else_gives_back,
        a_lock_that_a_timer_gives_back,
        something_that_goes_later,
    ],
)
def test_who_may_still_go_on_is_not_stuck(program: Callable[[Any], None]) -> None:
    """However long it takes."""
    found = explore(program, schedules=1)

    assert found.verdict == "holds", str(found.violation)
