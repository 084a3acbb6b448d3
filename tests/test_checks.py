"""Checks say what was seen and what was allowed, at the very moment, and never pass unknown."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from harness import (
    AsyncSimulation,
    Calls,
    Check,
    Elapsed,
    Eventually,
    Exactly,
    FakePool,
    HarnessError,
    InFlight,
    LeakBound,
    MaxInFlight,
    Parked,
    Simulation,
    Survivor,
    Violation,
    explore,
)
from harness.checks import check_name

pytestmark = pytest.mark.one_ground


@dataclass
class Storm:
    """A storm that is told what happened in it."""

    started: int = 0
    ended: int | None = 0
    now: int = 0
    left: list[Survivor] = field(default_factory=list)
    failed: list[Violation] = field(default_factory=list)

    def now_ns(self) -> int:
        """Return the time it was told."""
        return self.now

    def started_ns(self) -> int:
        """Return when it was told to have started."""
        return self.started

    def ended_ns(self) -> int | None:
        """Return when it was told to have ended."""
        return self.ended

    def fail(self, violation: Violation) -> None:
        """Keep the violation."""
        self.failed.append(violation)

    def survivors(self) -> Sequence[Survivor]:
        """Return those it was told of."""
        return self.left

    def actors(self) -> Sequence[Any]:
        """Return nobody."""
        return []


def judged(check: Check, storm: Storm | None = None) -> Violation | None:
    """Return the verdict of a check on a storm in which nothing else happens."""
    return check.watch(storm or Storm())()


def verdict(program: Callable[..., Any], **settings: Any) -> str:
    """Return the verdict on a program under a few schedules."""
    return explore(program, schedules=settings.pop("schedules", 5), **settings).verdict


# --- MaxInFlight ----------------------------------------------------------------------------------


def test_one_too_many_fails_at_the_moment_it_enters() -> None:
    """The third of two fails the storm before it has left again."""
    gauge, storm = InFlight("origin"), Storm()
    MaxInFlight(gauge, 2).watch(storm)

    gauge.enter()
    gauge.enter()
    assert not storm.failed
    gauge.enter()

    assert [violation.summary for violation in storm.failed] == [
        "'origin' had 3 calls in flight, allowed 2."
    ]


def test_a_bound_need_not_be_reached_unless_it_is_said() -> None:
    """`reached=True` makes the bound exact."""
    gauge = InFlight("origin")
    bound, exact = MaxInFlight(gauge, 2).watch(Storm()), MaxInFlight(gauge, 2, reached=True)
    reached = exact.watch(Storm())
    with gauge:
        pass

    violation = reached()

    assert bound() is None
    assert violation is not None
    assert violation.summary == "'origin' had at most 1 call in flight, and should have reached 2."


def test_the_judge_takes_its_subscription_back() -> None:
    """A gauge that outlives the storm is not watched any longer."""
    gauge, storm = InFlight("origin"), Storm()
    judge = MaxInFlight(gauge, 0).watch(storm)

    judge()
    gauge.enter()

    assert not storm.failed


def test_a_run_ends_at_the_moment_and_says_who_is_inside_and_where() -> None:
    """The verdict names both callers and their lines, and time has not moved."""

    def program(sim: Simulation) -> None:
        origin = sim.pool("origin", latency=5.0)

        def caller() -> None:
            origin.call("user:1")

        with sim.storm(MaxInFlight(origin, 1)) as storm:
            storm.spawn(caller, copies=3)

    violation = explore(program, schedules=1).violation

    assert violation is not None
    assert violation.check == "MaxInFlight"
    rows = dict(violation.evidence)
    assert "t = 0 s" in rows["when"]
    inside = [text.split() for label, text in violation.evidence if label == "inside"]
    assert [row[:2] for row in inside] == [["caller-1", "caller"], ["caller-2", "caller"]]
    assert all(row[2].startswith("test_checks.py:") for row in inside)


def test_tasks_inside_are_named_too() -> None:
    """The asyncio twin."""

    async def program(sim: AsyncSimulation) -> None:
        origin = sim.pool("origin", latency=5.0)

        async def caller() -> None:
            await origin.call("user:1")

        async with sim.storm(MaxInFlight(origin, 1)) as storm:
            storm.spawn(caller, copies=3)

    violation = explore(program, schedules=1).violation

    assert violation is not None
    inside = [text.split()[:2] for label, text in violation.evidence if label == "inside"]
    assert inside == [["caller-1", "caller"], ["caller-2", "caller"]]


# --- Calls ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "summary"),
    [
        (lambda pool: Calls(pool, 3), None),
        (lambda pool: Calls(pool, at_most=3), None),
        (lambda pool: Calls(pool, at_least=3, at_most=9), None),
        (lambda pool: Calls(pool, 1, id="seg-7"), None),
        (lambda pool: Calls(pool, 2, lane="body"), None),
        (lambda pool: Calls(pool, 3, method="call"), None),
        (lambda pool: Calls(pool, 2), "'origin' was called 3 times, allowed exactly 2."),
        (lambda pool: Calls(pool, 4), "'origin' was called 3 times, allowed exactly 4."),
        (
            lambda pool: Calls(pool, at_least=2, id="seg-7"),
            "'origin' was called once for 'seg-7', allowed at least 2.",
        ),
        (
            lambda pool: Calls(pool, at_most=1, lane="body"),
            "'origin' was called 2 times in lane 'body', allowed at most 1.",
        ),
        (
            lambda pool: Calls(pool, 1, id="seg-9", method="exists"),
            "'origin' was not called for 'seg-9' by 'exists', allowed exactly 1.",
        ),
    ],
)
def test_calls_are_counted_as_they_were_asked_for(
    check: Callable[[FakePool], Calls], summary: str | None
) -> None:
    """A bare number is exact, a bound is said, and keys, lanes and methods select."""
    origin = FakePool("origin")
    origin.call("seg-7")
    origin.call("seg-8", lane="body")
    origin.call("seg-8", lane="body")

    violation = judged(check(origin))

    assert (violation and violation.summary) == summary


def test_one_call_too_many_fails_at_once() -> None:
    """An upper bound does not wait for the end of the storm."""

    def program(sim: Simulation) -> None:
        origin = sim.pool("origin", latency=1.0)
        with sim.storm(Calls(origin, 2)):
            for _ in range(9):
                origin.call("user:1")

    done = explore(program, schedules=1)

    assert done.verdict == "Calls"
    assert done.virtual_seconds == 2.0


# --- Elapsed --------------------------------------------------------------------------------------


def test_elapsed_is_exact_to_the_nanosecond() -> None:
    """`13 * 0.030` in floats is what thirteen sleeps of 0.030 take, though the floats differ."""

    def program(sim: Simulation) -> None:
        def batch() -> None:
            for _ in range(13):
                time.sleep(0.030)

        with sim.storm(Elapsed(13 * 0.030)) as storm:
            storm.spawn(batch)

    assert verdict(program) == "holds"
    assert judged(Elapsed(0.39), Storm(ended=390_000_001)) is not None
    assert judged(Elapsed(0.39), Storm(ended=389_999_999)) is not None


@pytest.mark.parametrize(
    ("check", "ended", "summary"),
    [
        (Elapsed(0.050), 100_000_000, "the storm took 0.1 s, allowed exactly 0.05 s."),
        (Elapsed(at_most=2), 2_000_000_000, None),
        (Elapsed(at_most=2), 2_000_000_001, "the storm took 2.000000001 s, allowed at most 2 s."),
        (Elapsed(at_least=2), 1, "the storm took 0.000000001 s, allowed at least 2 s."),
        (Elapsed(at_least=1, at_most=2), 1_500_000_000, None),
        (Elapsed(1), None, "the time of the storm is unknown: one of its actors has not ended."),
    ],
)
def test_elapsed_bounds(check: Elapsed, ended: int | None, summary: str | None) -> None:
    """A bare number is exact, bounds include themselves, and unknown is no pass."""
    violation = judged(check, Storm(ended=ended))

    assert (violation and violation.summary) == summary


# --- LeakBound ------------------------------------------------------------------------------------


def test_a_leak_names_each_survivor_where_it_was_made_and_where_it_is_parked() -> None:
    """A parked daemon thread of the code under test outlives the storm."""

    def program(sim: Simulation) -> None:
        stuck = threading.Event()

        def start_a_helper() -> None:
            threading.Thread(target=stuck.wait, name="helper", daemon=True).start()

        with sim.storm(LeakBound()) as storm:
            storm.spawn(start_a_helper)

    violation = explore(program, schedules=1).violation

    assert violation is not None
    assert violation.summary == "1 thread outlived the storm, allowed 0."
    survivor = dict(violation.evidence)["survivor"]
    assert survivor.startswith("'helper' (daemon) created at test_checks.py:")
    assert "start_a_helper" in survivor
    assert "Event.wait" in survivor


def test_a_leak_bound_counts() -> None:
    """Two may stay where two are allowed, and a third is one too many."""
    left = [Survivor(f"helper-{index}", "thread", "pool.py:3 start", "") for index in range(3)]

    assert judged(LeakBound(3), Storm(left=left)) is None
    violation = judged(LeakBound(2), Storm(left=left))
    assert violation is not None
    assert violation.summary == "3 threads outlived the storm, allowed 2."


# --- Parked ---------------------------------------------------------------------------------------


class Stream:
    """Three ways to wait."""

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.closed = threading.Event()

    def recv(self) -> None:
        """Wait for an item."""
        self.ready.wait()

    def drain(self) -> None:
        """Wait for the end."""
        self.closed.wait()


def test_exactly_these_are_parked_in_that_call() -> None:
    """Two in `recv` and one in `drain` are told apart by the function, not by where it waits."""

    def program(sim: Simulation) -> None:
        stream = Stream()
        with sim.storm() as storm:
            storm.spawn(stream.recv, copies=2)
            storm.spawn(stream.drain)
            sim.settle()
            Parked(2, in_=Stream.recv).verify()
            Parked(1, in_=stream.drain).verify()
            Parked(at_most=2, at_least=1, in_=Stream.recv).verify()
            with pytest.raises(Violation) as caught:
                Parked(3, in_=Stream.recv).verify()
            rows = caught.value.evidence
            assert (
                caught.value.summary == "2 callers are parked in 'Stream.recv', allowed exactly 3."
            )
            assert [label for label, _ in rows] == ["parked", "parked", "elsewhere"]
            assert "'recv-1' waits in Event.wait" in rows[0][1]
            stream.ready.set()
            stream.closed.set()

    explore(program, schedules=5).raise_for_violation()


def test_parked_is_judged_at_the_end_of_a_storm() -> None:
    """Who the code under test left in that call is counted when the storm is over."""

    def program(sim: Simulation) -> None:
        stream = Stream()
        sim.background("helper*")

        def start() -> None:
            threading.Thread(target=stream.recv, name="helper", daemon=True).start()

        with sim.storm(Parked(2, in_=Stream.recv)) as storm:
            storm.spawn(start, copies=2)

    assert verdict(program) == "holds"


def test_real_threads_are_seen_outside_a_run() -> None:
    """`verify` works without the simulated world, on real threads."""
    stream = Stream()
    threads = [threading.Thread(target=stream.recv, name=f"caller-{n}") for n in range(3)]
    for thread in threads:
        thread.start()
    try:
        Parked(3, in_=Stream.recv).verify(timeout=10.0)
        with pytest.raises(Violation, match=r"3 callers are parked in 'Stream\.recv'"):
            Parked(2, in_=Stream.recv).verify()
    finally:
        stream.ready.set()
        for thread in threads:
            thread.join()


class Waiters:
    """Four ways to wait for an item that never comes: only the first rests."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.items: list[int] = []

    def park(self) -> None:
        """Wait until somebody says that there is an item."""
        with self.changed:
            while not self.items:
                self.changed.wait()

    def look_again(self) -> None:
        """Wait likewise, but look every 50 ms."""
        with self.changed:
            while not self.items:
                self.changed.wait(0.050)

    def poll(self) -> None:
        """Look every 10 ms."""
        while not self.items:
            time.sleep(0.010)

    def oversleep(self) -> None:
        """Wait longer than anybody looks."""
        with self.changed:
            while not self.items:
                self.changed.wait(60.0)

    def end(self) -> None:
        """Let everybody go."""
        with self.changed:
            self.items.append(1)
            self.changed.notify_all()


@pytest.mark.parametrize(
    ("way", "row"),
    [
        (Waiters.park, None),
        # Three times 50 ms; each turn of a condition takes its own new lock twice, then the mutex.
        (Waiters.look_again, r"went on 3 times, asked for 9 locks, took \d+ steps, has 1 timer"),
        (Waiters.poll, r"went on 19 times, took \d+ steps, has 1 timer"),
        (Waiters.oversleep, "has 1 timer"),
    ],
)
def test_who_rests_does_nothing_at_all_in_a_run(
    way: Callable[[Waiters], None], row: str | None
) -> None:
    """In 199 ms a poll and a wait with a time-out go on and have timers; a wait does neither."""

    def program(sim: Simulation) -> None:
        waiters = Waiters()
        with sim.storm() as storm:
            storm.spawn(way, waiters, copies=2)
            sim.settle()
            Parked(2, in_=way).verify()
            try:
                if row is None:
                    Parked(2, in_=way).verify(stays=0.199)
                else:
                    with pytest.raises(Violation) as caught:
                        Parked(2, in_=way).verify(stays=0.199)
                    name = way.__qualname__
                    assert caught.value.summary == (
                        f"2 of 2 callers parked in '{name}' did not rest for 0.199 s."
                    )
                    label, text = caught.value.evidence[0]
                    assert label == "restless"
                    assert re.match(f"'{way.__name__}-1' {row}, waits in ", text)
            finally:
                waiters.end()
        assert sim.now() <= 60.0

    explore(program, schedules=5).raise_for_violation()


def test_who_spins_is_not_parked() -> None:
    """A thread that never waits can run, so it does not count, wherever it stands."""

    def program(sim: Simulation) -> None:
        waiters = Waiters()

        def spin() -> None:
            while not waiters.items:
                with waiters.changed:
                    pass

        with sim.storm() as storm:
            storm.spawn(spin)
            with pytest.raises(Violation, match="0 callers are parked in"):
                Parked(1, in_=spin).verify()
            waiters.end()

    explore(program, schedules=5).raise_for_violation()


class Tasks:
    """Three ways for a task to wait for an item that never comes: only the first rests."""

    def __init__(self) -> None:
        self.changed = asyncio.Condition()

    async def park(self) -> None:
        """Wait until somebody says so."""
        async with self.changed:
            while True:
                # From 3.13 on a waiter that is cancelled wakes another one for nothing.
                await self.changed.wait()

    async def look_again(self) -> None:
        """Wait likewise, but look every 50 ms."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.park(), 0.050)

    async def poll(self) -> None:
        """Look every 10 ms."""
        while True:
            await asyncio.sleep(0.010)

    async def oversleep(self) -> None:
        """Wait longer than anybody looks."""
        async with asyncio.timeout(60.0):
            await self.park()


@pytest.mark.parametrize(
    ("way", "found"),
    [
        (Tasks.park, None),
        (Tasks.look_again, r"went on \d+ times, has 1 timer"),
        (Tasks.poll, "went on 19 times, has 1 timer"),
        (Tasks.oversleep, "has 1 timer"),
    ],
)
@pytest.mark.parametrize("search", ["plain", "surw"])
def test_a_task_that_rests_does_nothing_at_all(
    way: Callable[[Tasks], Any], found: str | None, search: str
) -> None:
    """Tasks are counted one by one, too, whatever queue the strategy gives their loop."""

    async def program(sim: AsyncSimulation) -> None:
        tasks = Tasks()
        async with sim.storm() as storm:
            storm.spawn(way, tasks, copies=2)
            await sim.settle()
            try:
                if found is None:
                    await Parked(2, in_=way).async_verify(stays=0.199)
                else:
                    with pytest.raises(Violation) as caught:
                        await Parked(2, in_=way).async_verify(stays=0.199)
                    assert re.search(found, caught.value.evidence[0][1])
            finally:
                for task in asyncio.all_tasks() - {asyncio.current_task()}:
                    task.cancel()
        storm.errors()

    explore(program, schedules=5, strategy=search).raise_for_violation()


def test_a_bound_method_means_that_very_object() -> None:
    """Two streams, three callers: each stream has its own, by identity, not by name."""

    def program(sim: Simulation) -> None:
        one, two = Stream(), Stream()
        with sim.storm() as storm:
            storm.spawn(one.recv, copies=2)
            storm.spawn(two.recv)
            sim.settle()
            Parked(3, in_=Stream.recv).verify()
            Parked(2, in_=one.recv).verify(stays=1.0)
            Parked(1, in_=two.recv).verify(stays=1.0)
            with pytest.raises(Violation, match="1 caller is parked"):
                Parked(2, in_=two.recv).verify()
            one.ready.set()
            two.ready.set()

    explore(program, schedules=5).raise_for_violation()


# Real threads: nothing here depends on how fast the machine is. Whoever polls or has a time-out is
# seen by where it stands, not by how long anything took.


@pytest.mark.parametrize(
    ("way", "verdict"),
    [
        (Waiters.park, None),
        (Waiters.oversleep, "1 of 1 caller parked in 'Waiters.oversleep' did not rest"),
    ],
)
def test_a_real_thread_rests_or_is_told(
    way: Callable[[Waiters], None], verdict: str | None
) -> None:
    """Outside a run, one that waits for ever rests; one that waits with a time-out does not."""
    waiters = Waiters()
    thread = threading.Thread(target=way, args=(waiters,))
    thread.start()
    try:
        Parked(1, in_=way).verify(timeout=10.0)
        if verdict is None:
            Parked(1, in_=way).verify(stays=0.050)
        else:
            with pytest.raises(Violation, match=verdict) as caught:
                Parked(1, in_=way).verify(stays=0.050)
            assert "waits with a time-out" in caught.value.evidence[0][1]
    finally:
        waiters.end()
        thread.join()


@pytest.mark.own_ground
def test_a_real_poller_is_not_parked() -> None:
    """A sleep leaves no frame of the library: the innermost frame is the poller's own."""
    waiters = Waiters()
    thread = threading.Thread(target=waiters.poll)
    thread.start()
    try:
        with pytest.raises(Violation, match=r"0 callers are parked in 'Waiters\.poll'"):
            Parked(1, in_=waiters.poll).verify(timeout=0.050)
    finally:
        waiters.end()
        thread.join()


def test_a_real_thread_that_is_woken_for_nothing_does_not_rest() -> None:
    """It parks again and again at the same line, in another call each time or by its clock."""
    waiters = Waiters()
    over = threading.Event()

    def disturb() -> None:
        while not over.is_set():
            with waiters.changed:
                waiters.changed.notify_all()

    threads = [threading.Thread(target=each) for each in (waiters.park, disturb)]
    for thread in threads:
        thread.start()
    try:
        # It may be looked at while it runs: then it is not parked at all, which says as much.
        with pytest.raises(Violation):
            for _ in range(100):
                Parked(1, in_=waiters.park).verify(timeout=10.0, stays=0.100)
    finally:
        over.set()
        waiters.end()
        for thread in threads:
            thread.join()


def test_a_real_task_rests_or_is_told() -> None:
    """The same on a real loop, which goes on meanwhile."""

    async def body() -> None:
        tasks = Tasks()
        resting = asyncio.create_task(tasks.park())
        polling = asyncio.create_task(tasks.poll())
        sleeping = asyncio.create_task(tasks.oversleep())
        await Parked(1, in_=tasks.poll).async_verify(timeout=10.0)
        await Parked(2, in_=tasks.park).async_verify(timeout=10.0)
        with pytest.raises(Violation, match=r"1 of 1 caller parked in 'Tasks\.poll' did not"):
            await Parked(1, in_=tasks.poll).async_verify(stays=0.050)
        with pytest.raises(Violation, match="1 of 1 caller") as caught:
            await Parked(1, in_=tasks.oversleep).async_verify(stays=0.050)
        assert "waits with a time-out" in caught.value.evidence[0][1]
        sleeping.cancel()
        await asyncio.wait([sleeping])
        await Parked(1, in_=tasks.park).async_verify(stays=0.050)
        for task in (resting, polling):
            task.cancel()

    asyncio.run(body())


# --- Exactly --------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [int, lambda number: [number]], ids=["hashable", "unhashable"])
def test_nothing_is_lost_and_nothing_comes_twice(make: Callable[[int], object]) -> None:
    """Order does not matter; what is lost, twice and foreign is named."""
    expected = [make(number) for number in range(4)]
    received = [make(number) for number in (3, 1, 1, 9)]

    assert judged(Exactly(expected, lambda: list(reversed(expected)))) is None
    violation = judged(Exactly(expected, received))

    assert violation is not None
    assert violation.summary == (
        "of 4 expected items, 2 lost, 1 received twice, 1 never expected; "
        "allowed: each exactly once."
    )
    assert dict(violation.evidence)["twice"] == repr(make(1))


def test_a_generator_is_not_used_up() -> None:
    """The same check can judge more than one storm."""
    check = Exactly((number for number in range(3)), lambda: [2, 1, 0])

    assert judged(check) is None
    assert judged(check) is None


# --- Eventually -----------------------------------------------------------------------------------


def test_a_condition_must_be_true_once_everybody_has_settled() -> None:
    """At once, unless it is said how long it may take."""
    assert judged(Eventually(lambda: 1)) is None
    violation = judged(Eventually(list, name="the cache is empty"))
    assert violation is not None
    assert violation.summary == (
        "'the cache is empty' was still not true 0 s after the storm, allowed at once."
    )


def test_a_condition_waits_for_what_is_left_of_its_time() -> None:
    """The judge tells the storm how much longer to go on, and when to stop."""
    storm = Storm(ended=1_000_000_000, now=1_000_000_000)
    seen: list[int] = []
    judge = Eventually(lambda: seen, within=2.0, name="seen").watch(storm)

    assert judge.still_waits() == 2_000_000_000
    storm.now = 2_500_000_000
    assert judge.still_waits() == 500_000_000
    seen.append(1)
    assert judge.still_waits() == 0
    seen.clear()
    assert judge() is None


@pytest.mark.parametrize(("within", "expected"), [(3.0, "holds"), (2.9, "Eventually")])
def test_a_storm_goes_on_for_as_long_as_a_condition_may_take(within: float, expected: str) -> None:
    """A ticker of the code under test makes it true three seconds after the storm."""

    def program(sim: Simulation) -> None:
        seen: list[int] = []

        def later() -> None:
            for second in range(3):
                time.sleep(1.0)
                seen.append(second)

        def start_a_ticker() -> None:
            threading.Thread(target=later, name="ticker").start()

        sim.background("ticker")
        with sim.storm(Eventually(lambda: len(seen) == 3, within=within)) as storm:
            storm.spawn(start_a_ticker)
        assert sim.now() == 3.0

    assert verdict(program) == expected


@pytest.mark.parametrize(("within", "expected"), [(3.0, "holds"), (2.9, "Eventually")])
def test_an_asynchronous_storm_goes_on_too(within: float, expected: str) -> None:
    """The asyncio twin, with a task and a callback of the loop."""

    async def program(sim: AsyncSimulation) -> None:
        seen: list[int] = []

        async def start() -> None:
            asyncio.get_running_loop().call_later(3.0, seen.append, 1)

        async with sim.storm(Eventually(lambda: seen, within=within)) as storm:
            storm.spawn(start)
        assert sim.now() == 3.0

    assert verdict(program) == expected


# --- misuse ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: MaxInFlight(InFlight("origin"), -1),
        lambda: MaxInFlight(InFlight("origin"), 1.5),  # type: ignore[arg-type]
        lambda: MaxInFlight(object(), 1),  # type: ignore[arg-type]
        lambda: MaxInFlight(InFlight("origin"), 0, reached=True),
        lambda: Calls(FakePool("origin")),
        lambda: Calls(FakePool("origin"), 1, at_most=2),
        lambda: Calls(FakePool("origin"), -1),
        lambda: Calls(FakePool("origin"), True),
        lambda: Calls(FakePool("origin"), at_most=1, at_least=2),
        lambda: Calls(object(), 1),  # type: ignore[arg-type]
        Elapsed,
        lambda: Elapsed(-1),
        lambda: Elapsed(1, at_most=2),
        lambda: Elapsed("soon"),  # type: ignore[arg-type]
        lambda: Elapsed(float("nan")),
        lambda: LeakBound(-1),
        lambda: Parked(in_=Stream.recv),
        lambda: Parked(1, in_=len),
        lambda: Parked(-1, in_=Stream.recv),
        lambda: Exactly(3, []),  # type: ignore[arg-type]
        lambda: Exactly([], 3),  # type: ignore[arg-type]
        lambda: Eventually(True),  # type: ignore[arg-type]
        lambda: Eventually(lambda: True, within=-1),
    ],
)
def test_a_bad_argument_is_one_line_of_misuse(wrong: Callable[[], object]) -> None:
    """What was given, the rule, the way out."""
    with pytest.raises(HarnessError) as caught:
        wrong()

    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith((".", "`"))


def test_checks_are_values() -> None:
    """Frozen, compared by what they say, without a place for anything else."""
    assert Elapsed(0.05) == Elapsed(0.05)
    assert LeakBound() == LeakBound(0)
    with pytest.raises(AttributeError):
        LeakBound().n = 1  # type: ignore[misc]


def test_names_of_checks() -> None:
    """A class, a class of the user's own, or a name; anything else lists what there is."""

    class Balanced:
        def watch(self, view: object) -> Callable[[], None]:
            return lambda: None

    assert check_name(MaxInFlight) == "MaxInFlight"
    assert check_name("Deadlock") == "Deadlock"
    assert check_name(Balanced) == "Balanced"
    with pytest.raises(HarnessError, match=r"'MaxFlight' is not known\. Checks are MaxInFlight, "):
        check_name("MaxFlight")
    with pytest.raises(HarnessError, match="'int' is not known"):
        check_name(int)
