"""A verdict tells what lies behind it: who raised, what was only logged, what was swallowed."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from harness import EndsCancelled, Exactly, LeakBound, cancel_each, explore
from harness.core.token import Token
from harness.explore import run_token
from harness.report.because import PLAIN
from harness.world.overheard import overhearing
from harness.world.waits import file_name

pytestmark = pytest.mark.one_ground

Program = Callable[[Any], Any]


def verdict_of(program: Program, check: str) -> str:
    """Explore, assert that `check` is what is violated, return the verdict."""
    exploration = explore(program, schedules=200)
    assert exploration.verdict == check
    return str(exploration.violation)


# --- cancellations that are swallowed -------------------------------------------------------------


async def goes_on_when_cancelled(sim: Any) -> None:
    """A worker that takes a cancellation for the end of one job."""

    async def worker() -> None:
        for _ in range(2):
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(1.0)

    sim.inject(cancel_each("worker"))
    async with sim.storm(EndsCancelled()) as storm:
        storm.spawn(worker)


async def waits_for_ever_when_cancelled(sim: Any) -> None:
    """A worker that takes a cancellation for nothing, and waits for what never comes."""
    never = asyncio.Event()
    never_mind = asyncio.Event()

    async def worker() -> None:
        with suppress(asyncio.CancelledError):
            await never_mind.wait()
            return
        await never.wait()

    async def opener() -> None:
        never_mind.set()

    sim.inject(cancel_each("worker"))
    async with sim.storm(EndsCancelled()) as storm:
        storm.spawn(worker)
        storm.spawn(opener)


async def turns_for_ever_when_cancelled(sim: Any) -> None:
    """A worker that takes a cancellation for nothing, and looks again every second."""
    over = asyncio.Event()

    async def worker() -> None:
        while not over.is_set():
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(1.0)
                over.set()
                return
            while True:
                await asyncio.sleep(1.0)

    sim.inject(cancel_each("worker"))
    async with sim.storm(EndsCancelled()) as storm:
        storm.spawn(worker)


async def takes_it_back(sim: Any) -> None:
    """A time-out cancels and takes it back; a cancellation that becomes an error is one."""

    async def patient() -> str:
        try:
            async with asyncio.timeout(0.5):
                await asyncio.sleep(1.0)
        except TimeoutError:
            return "late"
        return "done"

    async def careful() -> None:
        try:
            await asyncio.sleep(1.0)
        except asyncio.CancelledError:
            raise ConnectionError("given up") from None

    sim.inject(cancel_each("careful"))
    async with sim.storm(EndsCancelled()) as storm:
        storm.spawn(patient)
        storm.spawn(careful)
    storm.errors()
    assert storm.results()[0] == "late"


def test_a_task_that_returns_although_cancelled_is_named() -> None:
    """Who was cancelled and returned, and which cancellation it was."""
    verdict = verdict_of(goes_on_when_cancelled, "EndsCancelled")

    assert "'worker' was cancelled and returned as if it had not been" in verdict
    assert "await 1 of 'worker'" in verdict


@pytest.mark.parametrize("program", [waits_for_ever_when_cancelled, turns_for_ever_when_cancelled])
def test_a_task_that_never_ends_although_cancelled_is_named(program: Program) -> None:
    """It is not called a deadlock nor a livelock: the reason is that the cancellation was lost."""
    verdict = verdict_of(program, "EndsCancelled")

    assert "'worker' was cancelled and went on, and never ends" in verdict
    assert "test_evidence.py:" in verdict


def test_a_cancellation_that_is_taken_back_or_becomes_an_error_is_not_swallowed() -> None:
    """`asyncio.timeout` and an exception of one's own are ways to end."""
    assert explore(takes_it_back, schedules=20).verdict == "holds"


# --- what was raised ------------------------------------------------------------------------------


def loses_what_failed(sim: Any) -> None:
    """An item is lost because whoever should have delivered it failed."""
    delivered: list[str] = []

    def deliver(item: str) -> None:
        if item == "b":
            raise ConnectionError("no way to b")
        delivered.append(item)

    with sim.storm(Exactly("ab", delivered)) as storm:
        storm.spawn(deliver, "a", name="first")
        storm.spawn(deliver, "b", name="second")


def one_fails(sim: Any) -> None:
    """One of two fails, and the scenario wants the results."""

    def ask(key: str) -> str:
        return {"a": "1"}[key]

    with sim.storm() as storm:
        storm.spawn(ask, "a", name="first")
        storm.spawn(ask, "b", name="second")
    storm.results()


def both_fail(sim: Any) -> None:
    """Both fail, and nobody asks."""

    def ask(key: str) -> None:
        raise KeyError(key)

    with sim.storm() as storm:
        storm.spawn(ask, "a", name="first")
        storm.spawn(ask, "b", name="second")


def forgets_in_a_callback(sim: Any) -> None:
    """A callback fails, which is logged, and what it should have done is waited for."""
    request: concurrent.futures.Future[int] = concurrent.futures.Future()
    answer: concurrent.futures.Future[int] = concurrent.futures.Future()
    request.add_done_callback(lambda done: answer.set_result(done.result() // 0))

    with sim.storm(LeakBound()) as storm:
        storm.spawn(answer.result, name="waiter")
        storm.spawn(request.set_result, 1, name="server")


async def answers_twice(sim: Any) -> None:
    """Two threads answer one request, which is once too often."""
    loop = asyncio.get_running_loop()
    answer = loop.create_future()

    def answers() -> None:
        loop.call_soon_threadsafe(answer.set_result, 1)

    await asyncio.gather(asyncio.to_thread(answers), asyncio.to_thread(answers))


def test_a_broken_promise_tells_what_was_raised_meanwhile() -> None:
    """The reason for a lost item is the exception that nobody has taken."""
    verdict = verdict_of(loses_what_failed, "Exactly")

    assert "'second' raised ConnectionError: no way to b at test_evidence.py:" in verdict


def test_the_one_that_failed_is_the_verdict() -> None:
    """No group is put round a single failure, whoever asked for the results."""
    verdict = verdict_of(one_fails, "Unhandled")

    assert "'second' raised KeyError and nobody took it." in verdict


def test_several_that_failed_are_told_one_by_one() -> None:
    """Each with its name and where it was raised."""
    verdict = verdict_of(both_fail, "Unhandled")

    assert "'first' raised KeyError: 'a' at test_evidence.py:" in verdict
    assert "'second' raised KeyError: 'b' at test_evidence.py:" in verdict


def test_a_deadlock_tells_what_was_only_logged() -> None:
    """The standard library logs what a callback raises: else nobody would ever know."""
    verdict = verdict_of(forgets_in_a_callback, "Deadlock")

    assert "ZeroDivisionError" in verdict
    assert "at test_evidence.py:" in verdict.partition("logged")[2]


def test_a_callback_is_named_by_who_scheduled_it() -> None:
    """A callback of the standard library has no frame of ours, and never an address for a name."""
    verdict = verdict_of(answers_twice, "Unhandled")

    assert "the callback Future.set_result, scheduled at test_evidence.py:" in verdict
    assert "0x" not in verdict.partition("replay")[0]


@contextmanager
def handling(handlers: list[logging.Handler]) -> Iterator[None]:
    """Have the root logger use these handlers alone."""
    root = logging.getLogger()
    before, root.handlers = root.handlers, handlers
    try:
        yield
    finally:
        root.handlers = before


@pytest.mark.own_ground
def test_a_record_reaches_whoever_handles_it_and_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With a handler a record passes, without one it is kept and not written for every run."""
    passed: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: passed.append(record.getMessage())  # type: ignore[method-assign] # shorter than a class

    with overhearing() as overheard:
        for name, handlers in (("asyncio", []), ("asyncio", [handler]), ("shop", [])):
            with handling(handlers):
                try:
                    raise KeyError(name)
                except KeyError:
                    logging.getLogger(name).exception("a callback failed")
        with handling([]):
            logging.getLogger("shop").warning("sold out")

    assert [each.args for each in overheard.exceptions] == [("asyncio",), ("asyncio",), ("shop",)]
    assert passed == ["a callback failed"]
    assert capsys.readouterr().err == "sold out\n"


def test_a_package_is_not_called_init() -> None:
    """Every package has a file of that name."""
    assert file_name("/srv/aiorwlock/__init__.py") == "aiorwlock/__init__.py"
    assert file_name("/srv/aiorwlock/lock.py") == "lock.py"


# --- who waits where ------------------------------------------------------------------------------


def takes_two_locks(sim: Any) -> None:
    """Two threads take two locks, each in its own order."""
    accounts, journal = threading.Lock(), threading.Lock()

    def take(first: Any, second: Any) -> None:
        with first:
            with second:
                pass

    with sim.storm() as storm:
        storm.spawn(take, accounts, journal, name="teller")
        storm.spawn(take, journal, accounts, name="auditor")


def test_a_wait_is_named_by_its_operation_on_every_schedule() -> None:
    """Also if somebody took the lock while the other one was let stand before it."""
    exploration = explore(takes_two_locks, strategy="random", schedules=100, stop_after=100)

    assert exploration.violating > 10
    for failure in exploration.failures:
        waits = str(failure.violation).partition("because")[0]
        assert waits.count("waits in Lock.acquire") == 2


# --- what follows a sweep -------------------------------------------------------------------------


async def cancelled_too_late(sim: Any) -> None:
    """A cancellation does harm only where a helper that was started later came first."""
    helped: list[str] = []
    never_mind = asyncio.Event()

    async def user() -> None:
        try:
            await never_mind.wait()
        finally:
            if helped and not never_mind.is_set():
                raise ConnectionError("cancelled after the help")

    async def helper() -> None:
        helped.append("help")

    async def opener() -> None:
        never_mind.set()

    sim.inject(cancel_each("user", mode="parked"))
    async with sim.storm() as storm:
        storm.spawn(user)
        storm.spawn(helper)
        storm.spawn(opener)


def test_a_bug_of_fault_and_order_is_found_behind_the_sweep() -> None:
    """The plain schedule holds wherever the sweep strikes; the search strikes in other orders."""
    assert explore(cancelled_too_late, strategy="plain").verdict == "holds"

    assert "cancelled after the help" in verdict_of(cancelled_too_late, "Unhandled")


def test_sweep_and_search_together_make_the_schedules_asked_for() -> None:
    """The walk of a sweep counts like any other run."""
    assert explore(waits_in_turn, schedules=5).schedules == 5


async def waits_in_turn(sim: Any) -> None:
    """Several tasks sleep, and one of them may be cancelled."""
    sim.inject(cancel_each("sleeper-1"))
    async with sim.storm() as storm:
        storm.spawn(asyncio.sleep, 1.0, name="sleeper", copies=4)


async def answered_from_a_thread(sim: Any) -> None:
    """A thread answers whoever has not been cancelled, and the answer arrives a moment later."""
    loop = asyncio.get_running_loop()

    async def user() -> None:
        answer = loop.create_future()

        def server() -> None:
            if not answer.cancelled():
                loop.call_soon_threadsafe(answer.set_result, 1)

        threading.Thread(target=server).start()
        await answer

    sim.inject(cancel_each("user", mode="parked"))
    async with sim.storm(LeakBound()) as storm:
        storm.spawn(user)


def test_a_parked_task_may_be_cancelled_between_two_steps_of_somebody_else() -> None:
    """Not only as soon as it parks: the thread has looked, and what it wants has not happened."""
    assert explore(answered_from_a_thread, strategy="plain").verdict == "holds"

    verdict = verdict_of(answered_from_a_thread, "Unhandled")

    assert "the callback Future.set_result, scheduled at test_evidence.py:" in verdict
    assert "InvalidStateError" in verdict


SEEN: list[int] = []


def remembers_every_run(sim: Any) -> None:
    """What it appends to is never made anew."""
    with sim.storm() as storm:
        storm.spawn(SEEN.append, 1, name="one")
        storm.spawn(SEEN.append, 2, name="two")
    assert len(SEEN) <= 20, "too many"


def remembers_only_a_failure(sim: Any) -> None:
    """A lost update marks the module, and then every run fails."""
    box = [0]

    def add() -> None:
        seen = box[0]
        sim.point()
        box[0] = seen + 1

    with sim.storm() as storm:
        storm.spawn(add, copies=2)
    if box[0] != 2:
        SEEN.append(1)
    assert not SEEN, "marked"


@pytest.mark.parametrize("program", [remembers_every_run, remembers_only_a_failure])
def test_a_failure_of_what_outlives_a_run_says_so(program: Program) -> None:
    """Nothing is shrunk then: each run would fail, and the simplest for nothing of its own."""
    SEEN.clear()
    found = explore(program, schedules=50)
    assert found.violation is not None
    rows = dict(found.violation.evidence)

    assert rows["state"].startswith("outlives a run: the first schedule that held fails now, too.")
    assert "shrunk" not in rows
    assert PLAIN not in rows.values()

    # The token of the second is right: it fails alone, and that is its own doing.
    SEEN.clear()
    again = run_token(program, Token.decode(found.failures[0].token))
    assert (again.verdict == "holds") == (program is remembers_every_run)


def test_a_failure_that_leaves_nothing_behind_does_not() -> None:
    """Neither one that is found late nor one of the plain run."""

    def fails_at_once(sim: Any) -> None:
        assert sim is None, "always"

    def fails_late(sim: Any) -> None:
        SEEN.clear()
        remembers_only_a_failure(sim)

    for program in (fails_at_once, fails_late):
        violation = explore(program, schedules=50).violation
        assert violation is not None
        assert "state" not in dict(violation.evidence)


def takes_no_time(sim: Any) -> None:
    """As long as decisions take none, and nobody has marked the module."""
    with sim.storm() as storm:
        storm.spawn(len, "", copies=2)
    assert not SEEN, "marked"
    assert sim.now() == 0, "late"


def test_a_pin_of_another_mode_that_holds_says_nothing_of_what_outlives_a_run() -> None:
    """Its choices are another run there."""
    SEEN[:] = [1]
    pin = explore(takes_no_time).failures[0].token
    SEEN.clear()

    found = explore(takes_no_time, pins=[pin], timeouts="cost")

    assert found.stale_pins == (pin,)
    assert found.violation is not None
    assert ("because", PLAIN) in found.violation.evidence
    assert "state" not in dict(found.violation.evidence)
