"""The fake pool for threads, in the simulated world: exact times, every schedule tried."""

from __future__ import annotations

import concurrent.futures
import functools
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from harness.doubles import AsyncGate, Behaviour, Existence, FakePool, Scope, TransientError
from harness.errors import HarnessError, Violation
from harness.faults import (
    Cancel,
    Crash,
    Delay,
    Duplicate,
    Fail,
    Faults,
    Hang,
    Overtake,
    Pass,
    Pause,
    Site,
    Truncate,
    Verdict,
)
from tests.doubles.running import holds

pytestmark = pytest.mark.one_ground

Cancelled = concurrent.futures.CancelledError


def outcome(function: Callable[[], object]) -> object:
    """Return what `function()` returns, or the class of what it raises."""
    try:
        return function()
    except Exception as exc:
        return type(exc)


def struck(verdict: Verdict) -> Faults:
    """Return faults under which every call meets `verdict`."""
    faults = Faults()
    faults.install(lambda _site: verdict, None, certain=True)
    return faults


# --- answers --------------------------------------------------------------------------------------


def test_a_call_answers_its_key_unless_told_otherwise() -> None:
    """The default payload is the key; a value, or a function of the key, replaces it."""
    assert FakePool("origin").call("user:1") == "user:1"
    assert FakePool("origin", payload=b"hello").call("user:1") == b"hello"
    assert FakePool("origin", payload=str.upper).call("user:1") == "USER:1"


def test_a_record_of_a_key_replaces_the_default_whole() -> None:
    """Nothing of the default is merged into it; the other keys fall through to the default."""
    pool = FakePool("origin", payload=b"default", latency=60.0)
    pool.set("seg-1", Behaviour(payload=b"hello"))

    # A latency that came from the default would take a minute.
    assert pool.call("seg-1") == b"hello"

    pool.unset("seg-1")
    pool.set_default(Behaviour(payload=b"other"))
    assert pool.call("seg-1") == b"other"


def test_an_injected_error_keeps_its_identity() -> None:
    """An instance is raised as it is, without old traceback; a class and a function make new."""
    pool = FakePool("origin")
    error = ConnectionResetError("gone")
    pool.set("instance", Behaviour(error=error))
    pool.set("class", Behaviour(error=KeyError))
    pool.set("function", Behaviour(error=lambda: OSError(5, "io")))

    for _ in range(2):
        with pytest.raises(ConnectionResetError) as caught:
            pool.call("instance")
        assert caught.value is error
    frames = len(caught.traceback)
    with pytest.raises(ConnectionResetError) as again:
        pool.call("instance")
    assert len(again.traceback) == frames
    with pytest.raises(KeyError):
        pool.call("class")
    with pytest.raises(OSError, match="io"):
        pool.call("function")


def test_a_script_serves_attempts_in_turn() -> None:
    """Attempt 1 fails, attempt 2 is cut short, later ones get what comes after the script."""
    pool = FakePool("origin", payload=b"default")
    pool.call("seg-1")
    pool.script("seg-1", Behaviour(error=TransientError), Behaviour(payload=b"hello", truncate=2))

    with pytest.raises(TransientError):
        pool.call("seg-1")
    assert [pool.call("seg-1") for _ in range(2)] == [b"he", b"default"]

    pool.script("seg-1", Behaviour(payload=b"one"), then=Behaviour(payload=b"then"))
    assert [pool.call("seg-1") for _ in range(3)] == [b"one", b"then", b"then"]


def test_the_first_attempts_may_fail_for_each_key() -> None:
    """`fail_first` counts per key, on the default record too, from when the record was set."""
    pool = FakePool("origin")
    pool.call("a")
    pool.set_default(Behaviour(fail_first=2))

    outcomes = [outcome(functools.partial(pool.call, key)) for key in "abaaba"]

    bad = TransientError
    assert outcomes == [bad, bad, bad, "a", bad, "a"]


def test_an_ordinal_is_fixed_when_a_call_comes() -> None:
    """The first call fails although the second, which overtakes it, is served before it."""

    def program(sim: Any) -> None:
        pool, gate = sim.pool("origin"), sim.gate("first")
        pool.set("seg-1", Behaviour(fail_first=1))
        pool.block_until(gate)
        with sim.storm() as storm:
            storm.spawn(pool.call, "seg-1")
            gate.wait_for(1)
            pool.block_until(None)
            assert pool.call("seg-1") == "seg-1"
            gate.open()
        assert [type(error) for error in storm.errors()] == [TransientError]

    holds(program)


def test_a_call_that_is_inside_when_a_script_is_set_is_none_of_its_attempts() -> None:
    """It gets what comes after the script; attempt 1 is the next call that comes."""

    def program(sim: Any) -> None:
        pool, gate = sim.pool("origin"), sim.gate("first")
        pool.block_until(gate)
        with sim.storm() as storm:
            storm.spawn(pool.call, "seg-1")
            gate.wait_for(1)
            pool.block_until(None)
            pool.script("seg-1", Behaviour(error=TransientError))
            gate.open()
        assert storm.results() == ["seg-1"]
        assert outcome(lambda: pool.call("seg-1")) is TransientError

    holds(program)


# --- chunks ---------------------------------------------------------------------------------------


def test_a_writer_gets_the_payload_and_the_caller_its_size() -> None:
    """One write of everything, or one for each chunk; an empty payload is one empty write."""
    pool = FakePool("origin", payload=b"hello")
    pool.set("chunked", Behaviour(payload=b"hello", chunk_size=2))
    pool.set("empty", Behaviour(payload=b""))
    written: list[bytes] = []

    sizes = [pool.call(key, writer=written.append) for key in ("whole", "chunked", "empty")]

    assert sizes == [5, 5, 0]
    assert written == [b"hello", b"he", b"ll", b"o", b""]


def test_what_a_writer_raises_ends_the_call() -> None:
    """The write error is the call's, and the call has left."""
    pool = FakePool("origin", payload=b"hello")

    def refuse(_chunk: bytes) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        pool.call("seg-1", writer=refuse)
    assert (pool.in_flight, pool.events[-1].kind) == (0, "failed")


def test_a_tail_gate_holds_what_follows_the_first_chunk() -> None:
    """The first chunk is there while the gate is shut; a cancellation gets through the gate."""

    def program(sim: Any) -> None:
        pool, tail, scope = sim.pool("origin"), sim.gate("tail"), Scope()
        record = Behaviour(payload=b"hello", chunk_size=4, tail_gate=tail)
        pool.set("seg-1", record)
        written: list[bytes] = []
        with sim.storm() as storm:
            storm.spawn(pool.call, "seg-1", name="patient")
            storm.spawn(
                lambda: pool.call("seg-1", cancel=scope, writer=written.append), name="cancelled"
            )
            tail.wait_for(2)
            scope.set()
            sim.settle()
            assert (tail.waiting, written) == (1, [b"hell"])
            tail.open()
        assert [type(error) for error in storm.errors()] == [type(None), Cancelled]

    holds(program)


def test_the_first_attempt_may_die_in_its_body() -> None:
    """The first chunk arrives, then the error; later attempts are fine."""
    pool = FakePool("origin")
    pool.set("seg-1", Behaviour(payload=b"hello", chunk_size=2, fail_after_first_chunk=True))
    written: list[bytes] = []

    with pytest.raises(TransientError):
        pool.call("seg-1", writer=written.append)

    assert written == [b"he"]
    assert pool.call("seg-1") == b"hello"


# --- time -----------------------------------------------------------------------------------------


def test_a_latency_takes_exactly_its_time() -> None:
    """A number is a duration; the answer comes at its end."""

    def program(sim: Any) -> None:
        pool = sim.pool("origin", latency=0.050)
        with sim.storm() as storm:
            storm.spawn(pool.call, copies=3)
        assert sim.now() == 0.050
        assert pool.high_water == 3

    holds(program)


def test_two_overlapping_calls_have_a_high_water_of_exactly_2() -> None:
    """On every schedule: both are inside from 0 to 0.05 s."""

    def program(sim: Any) -> None:
        pool = sim.pool("origin", latency=0.050)
        with sim.storm() as storm:
            storm.spawn(pool.call, copies=2)
        assert (pool.high_water, pool.in_flight, pool.total) == (2, 0, 2)

    holds(program, schedules=100)


@pytest.mark.parametrize(("drawn", "seconds"), [(0, 0.050), (500, 0.100), (1000, 0.150)])
def test_a_latency_span_is_drawn_between_its_ends(drawn: int, seconds: float) -> None:
    """The tape draws one of 1,001 numbers: 0 is the low end, 1,000 the high one."""
    asked: list[int] = []

    def draw(options: int) -> int:
        asked.append(options)
        return drawn

    def program(_sim: Any) -> None:
        FakePool("origin", latency=(0.050, 0.150), draw=draw).call()
        assert time.monotonic() == seconds

    holds(program, schedules=1)
    assert set(asked) == {1001}


def test_a_cancellation_ends_a_latency_at_once() -> None:
    """5 s of latency, cancelled at 0.02 s: the call ends at 0.02 s and has left."""

    def program(sim: Any) -> None:
        pool, scope = sim.pool("origin", latency=5.0), Scope()

        def caller() -> float:
            with pytest.raises(Cancelled):
                pool.call("seg-1", cancel=scope)
            return time.monotonic()

        with sim.storm() as storm:
            storm.spawn(caller, copies=2)
            sim.advance(0.02)
            scope.set()
        assert storm.results() == [0.02, 0.02]
        assert pool.in_flight == 0

    holds(program)


def test_a_deadline_ends_a_call_wherever_it_waits() -> None:
    """In the queue, at the gate, in the latency and in a hang: always at 15 s exactly."""

    def program(sim: Any) -> None:
        gated, slow = sim.pool("gated", size=1), sim.pool("slow", latency=15.0)
        hung = sim.pool("hung")
        gated.block_until(sim.gate("shut"))
        hung.set_default(Behaviour(hang=True))

        def caller(pool: FakePool) -> float:
            with pytest.raises(TimeoutError):
                pool.call("seg-1", timeout=15.0)
            return time.monotonic()

        with sim.storm() as storm:
            storm.spawn(caller, gated, name="gated")
            storm.spawn(caller, gated, name="queued")
            # Due at the deadline is too late.
            storm.spawn(caller, slow, name="slow")
            storm.spawn(caller, hung, name="hung")
        assert storm.results() == [15.0] * 4
        assert (gated.in_flight, slow.in_flight, hung.in_flight) == (0, 0, 0)

    holds(program)


def test_a_dead_call_never_reaches_the_wire() -> None:
    """A set scope or a deadline in the past: refused, noted, counted nowhere."""
    pool, scope = FakePool("origin"), Scope()
    scope.set()

    dead: dict[str, Any]
    for dead in ({"cancel": scope}, {"timeout": 0.0}, {"timeout": -1.0}):
        with pytest.raises((Cancelled, TimeoutError)):
            pool.call("seg-1", **dead)
        with pytest.raises((Cancelled, TimeoutError)):
            pool.submit("seg-1", **dead)

    assert (pool.total, pool.calls(id="seg-1"), pool.high_water) == (0, 0, 0)
    assert {(event.kind, event.ordinal) for event in pool.events} == {("refused", 0)}


# --- slots and gates ------------------------------------------------------------------------------


def test_ten_calls_behind_a_gate_are_exactly_ten_in_flight() -> None:
    """They stay until it opens, and then none is left."""

    def program(sim: Any) -> None:
        pool, gate = sim.pool("origin"), sim.gate()
        pool.block_until(gate)
        with sim.storm() as storm:
            storm.spawn(pool.call, copies=10)
            gate.wait_for(10)
            assert pool.in_flight == 10
            gate.open()
        assert (pool.high_water, pool.in_flight) == (10, 0)

    holds(program)


def test_a_gate_that_is_replaced_keeps_its_callers() -> None:
    """Who came before waits at the old gate, who comes later at the new one."""

    def program(sim: Any) -> None:
        pool, old, new = sim.pool("origin"), sim.gate("old"), sim.gate("new")
        with sim.storm() as storm:
            pool.block_until(old)
            storm.spawn(pool.call, "a")
            old.wait_for(1)
            pool.block_until(new)
            storm.spawn(pool.call, "b")
            new.wait_for(1)
            assert (old.waiting, new.waiting) == (1, 1)
            old.open()
            new.open()

    holds(program)


def test_a_gate_honours_cancellation() -> None:
    """A cancelled call leaves a gate that stays shut."""

    def program(sim: Any) -> None:
        pool, gate, scope = sim.pool("origin"), sim.gate(), Scope()
        pool.block_until(gate)
        with sim.storm() as storm:
            storm.spawn(lambda: pool.call("seg-1", cancel=scope), name="caller")
            gate.wait_for(1)
            scope.set()
        assert [type(error) for error in storm.errors()] == [Cancelled]
        assert (gate.waiting, pool.in_flight, gate.is_open) == (0, 0, False)

    holds(program)


def test_a_size_queues_first_in_first_out() -> None:
    """Seven calls in a pool of two: four rounds, in the order in which they came."""

    def program(sim: Any) -> None:
        pool = sim.pool("origin", size=2, latency=1.0)
        with sim.storm() as storm:
            storm.spawn(pool.call, copies=7)
        came = [event.ordinal for event in pool.events if event.kind == "arrived"]
        started = [event.ordinal for event in pool.events if event.kind == "started"]
        assert came == list(range(1, 8))
        # Two who start at one instant may swap places; who waits longer is never a round later.
        rounds = [
            {event.ordinal for event in pool.events if event.kind == "started" and event.at == at}
            for at in range(4)
        ]
        assert rounds == [{1, 2}, {3, 4}, {5, 6}, {7}]
        assert len(started) == 7
        assert (pool.high_water, pool.in_flight, pool.queued, sim.now()) == (2, 0, 0, 4.0)

    holds(program)


def test_a_slot_granted_to_a_cancelled_call_is_not_lost() -> None:
    """Grant and cancellation meet at one instant, in every order; the next in line is served."""

    def program(sim: Any) -> None:
        pool, scope = sim.pool("origin", size=1, latency=1.0), Scope()

        def cancel_at_1() -> None:
            time.sleep(1.0)
            scope.set()

        with sim.storm() as storm:
            storm.spawn(pool.call, "holder")
            sim.settle()
            storm.spawn(lambda: pool.call("cancelled", cancel=scope), name="cancelled")
            sim.settle()
            storm.spawn(pool.call, "next")
            storm.spawn(cancel_at_1, name="canceller")
        _, error, _, _ = storm.errors()
        assert error is None or isinstance(error, Cancelled)
        assert (pool.in_flight, pool.queued) == (0, 0)
        assert pool.call("after") == "after"

    holds(program, schedules=150)


# --- counting -------------------------------------------------------------------------------------


def test_calls_are_counted_by_key_lane_and_method() -> None:
    """A question does not read as a retry, and an argument is kept with its call."""
    pool = FakePool("origin")
    pool.call("a", lane="import", argument="2026-05")
    pool.call("a", lane="stream")
    pool.call("b", lane="stream")
    pool.exists("a", lane="stream")
    pool.submit("a", argument="2026-06").result()

    assert pool.total == pool.calls() == 5
    assert [pool.calls(id=key) for key in ("a", "b", "c")] == [4, 1, 0]
    assert [pool.calls(lane=lane) for lane in ("import", "stream", "")] == [1, 3, 1]
    assert [pool.calls(method=method) for method in ("call", "exists", "submit")] == [3, 1, 1]
    assert pool.calls(id="a", method="call") == 2
    assert pool.calls(id="a", lane="stream", method="exists") == 1
    assert pool.arguments("a") == ["2026-05", None, None, "2026-06"]


def test_arrivals_and_events_carry_virtual_times() -> None:
    """Each line of the log says when, what, which call and who."""

    def program(sim: Any) -> None:
        pool = sim.pool("origin", latency=0.005)
        pool.set("seg-1", Behaviour(latency=0.005, error=TransientError))
        for _ in range(2):
            with pytest.raises(TransientError):
                pool.call("seg-1", lane="stream")
            time.sleep(0.050)
        pool.call("seg-2")
        assert pool.arrivals("seg-1") == [0.0, 0.055]
        assert pool.arrivals() == [0.0, 0.055, 0.110]
        first = [(event.at, event.kind, event.ordinal, event.lane) for event in pool.events[:3]]
        assert first == [
            (0.0, "arrived", 1, "stream"),
            (0.0, "started", 1, "stream"),
            (0.005, "failed", 1, "stream"),
        ]
        assert {event.who for event in pool.events} == {threading.current_thread().name}

    holds(program, schedules=3)


def test_a_reset_in_flight_keeps_the_live_gauge() -> None:
    """Statistics start afresh, facts do not: the gauge never lies, and scripts go on."""

    def program(sim: Any) -> None:
        pool, gate = sim.pool("origin"), sim.gate()
        pool.set("seg-1", Behaviour(fail_first=1))
        pool.block_until(gate)
        with sim.storm() as storm:
            storm.spawn(pool.call, "seg-1")
            gate.wait_for(1)
            pool.reset()
            assert (pool.in_flight, pool.high_water, pool.total) == (1, 1, 0)
            assert (pool.calls(id="seg-1"), pool.arrivals(), pool.events) == (0, [], [])
            gate.open()
        assert [type(error) for error in storm.errors()] == [TransientError]
        assert pool.in_flight == 0
        # Its second attempt, although the counter starts afresh.
        assert pool.call("seg-1") == "seg-1"
        assert (pool.calls(id="seg-1"), pool.events[-1].ordinal) == (1, 2)

    holds(program)


def test_the_high_water_can_be_asserted() -> None:
    """More than the bound is a violation that names pool and numbers."""
    pool = FakePool("origin")
    pool.call()

    pool.assert_max_in_flight(1)
    with pytest.raises(Violation, match=r"'origin' had 1 calls in flight, allowed 0\."):
        pool.assert_max_in_flight(0)


def test_the_gauge_tells_who_is_inside() -> None:
    """By the names of the threads, while they are."""

    def program(sim: Any) -> None:
        pool, gate = sim.pool("origin"), sim.gate()
        pool.block_until(gate)
        with sim.storm() as storm:
            storm.spawn(pool.call, name="caller-7")
            gate.wait_for(1)
            assert pool.gauge.inside() == ["caller-7"]
            gate.open()
        assert pool.gauge.inside() == []

    holds(program, schedules=3)


# --- submit, exists -------------------------------------------------------------------------------


def test_a_submitted_call_has_left_when_its_result_is_seen() -> None:
    """The counters rise at once; whoever sees the one result sees a gauge without it."""

    def program(sim: Any) -> None:
        pool = sim.pool("origin", latency=0.010, payload=b"payload")
        written: list[bytes] = []
        future = pool.submit("seg-1", writer=written.append)
        assert pool.calls(id="seg-1") == 1
        seen: list[int] = []
        future.add_done_callback(lambda _future: seen.append(pool.in_flight))
        assert (future.result(), written, pool.in_flight) == (7, [b"payload"], 0)
        # The callback may still be about to run.
        assert seen in ([], [0])

    holds(program)


def test_existence_is_asked_with_latency_and_errors() -> None:
    """The scripted error says that a key does not exist."""
    pool = FakePool("origin")
    pool.set("gone", Behaviour(error=LookupError))

    assert pool.exists("there") is True
    with pytest.raises(LookupError):
        pool.exists("gone")


def test_many_are_asked_within_bounds_and_in_no_order() -> None:
    """Three at a time; the quick ones come first; every key has one result; no thread is left."""

    def program(sim: Any) -> None:
        pool = sim.pool("origin", latency=1.0)
        pool.set("slow", Behaviour(latency=3.5))
        pool.set("gone", Behaviour(error=LookupError))
        keys = ["slow", "a", "gone", "b", "c", "d"]
        results = list(pool.exists_many(keys, concurrency=3))
        assert sorted(result.key for result in results) == sorted(keys)
        assert results[-1] == Existence("slow")
        assert {result.key for result in results if result.error is not None} == {"gone"}
        assert (pool.high_water, pool.in_flight, sim.now()) == (3, 0, 3.5)
        assert threading.active_count() == 1

    holds(program)


def test_no_more_askers_than_keys() -> None:
    """The default of 64 is clamped; no key at all asks nothing."""

    def program(sim: Any) -> None:
        pool, gate = sim.pool("origin"), sim.gate()
        pool.block_until(gate)
        with sim.storm() as storm:
            storm.spawn(lambda: list(pool.exists_many("abc")), name="asker")
            gate.wait_for(3)
            assert threading.active_count() == 5  # this one, the asker and three of the pool's
            gate.open()
        assert list(pool.exists_many([])) == []

    holds(program, schedules=5)


def test_a_cancellation_stops_dispatch() -> None:
    """Who is out ends at once; keys not yet asked for are dropped; the iterator ends."""

    def program(sim: Any) -> None:
        pool, scope = sim.pool("origin", latency=1.0), Scope()
        keys = [f"seg-{index}" for index in range(10)]
        with sim.storm() as storm:
            storm.spawn(
                lambda: list(pool.exists_many(keys, concurrency=2, cancel=scope)), name="asker"
            )
            sim.advance(1.5)
            scope.set()
        [results] = storm.results()
        assert [result.error is None for result in results] == [True, True, False, False]
        assert (pool.total, sim.now()) == (4, 1.5)

    holds(program)


def test_an_iterator_that_is_left_takes_its_threads_along() -> None:
    """Closing it cancels what is out and joins the askers."""

    def program(sim: Any) -> None:
        pool = sim.pool("origin", latency=1.0)
        results = pool.exists_many("abcdef", concurrency=2)
        next(results)
        results.close()
        assert (threading.active_count(), pool.in_flight, sim.now()) == (1, 0, 1.0)

    holds(program)


# --- faults ---------------------------------------------------------------------------------------


def test_a_fault_that_strikes_is_carried_out() -> None:
    """Each verdict does to a call what its name says."""

    def program(_sim: Any) -> None:
        def call(verdict: Verdict, **arguments: Any) -> tuple[object, float]:
            pool = FakePool("origin", latency=1.0, payload=b"hello", faults=struck(verdict))
            before = time.monotonic()
            result = outcome(lambda: pool.call("seg-1", **arguments))
            assert pool.in_flight == 0
            return result, time.monotonic() - before

        assert call(Delay(2.0)) == (b"hello", 3.0)
        assert call(Fail(OSError)) == (OSError, 1.0)
        assert call(Truncate(2)) == (b"he", 1.0)
        assert call(Hang(), timeout=8.0) == (TimeoutError, 8.0)
        assert call(Cancel()) == (Cancelled, 0.0)

    holds(program, schedules=2)


def test_only_a_world_can_crash_or_pause() -> None:
    """Without one they are refused; with one its callback is told, and the call goes on."""
    for verdict in (Crash(), Pause(1.0)):
        with pytest.raises(HarnessError, match="outside a simulated run"):
            FakePool("origin", faults=struck(verdict)).call()
        told: list[Verdict] = []
        pool = FakePool("origin", faults=struck(verdict), disturb=told.append)
        assert (pool.call("a"), told) == ("a", [verdict])


def test_a_rule_sees_the_call() -> None:
    """Name, key, lane, argument, who calls, and the ordinal in the pool."""
    sites: list[Site] = []
    faults = Faults()
    faults.install(lambda site: sites.append(site) or Truncate(0), None, certain=True)  # type: ignore[func-returns-value]
    pool = FakePool("origin", faults=faults, actor=lambda: "0.2")

    pool.call("a", lane="import", argument=7)
    pool.call("b")

    who = threading.current_thread().name
    assert sites == [
        Site("call", "origin", "0.2", 1, "a", "import", 7, who=who),
        Site("call", "origin", "0.2", 2, "b", who=who),
    ]


def test_a_scripted_outcome_comes_before_an_injected_one() -> None:
    """The record is asked first; the faults are asked only where it passes."""
    pool = FakePool("origin", faults=struck(Fail(OSError)))
    pool.set("seg-1", Behaviour(error=KeyError))

    assert (outcome(lambda: pool.call("seg-1")), outcome(pool.call)) == (KeyError, OSError)


# --- misuse ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("misuse", "message"),
    [
        (
            lambda: FakePool("origin", size=0),
            (
                "size=0 must be at least 1: a pool without slots admits nobody. "
                "To simulate an outage, use block_until(gate) or Behaviour(error=…)."
            ),
        ),
        (
            lambda: FakePool("origin", latency=-1),
            (
                "latency=-1 must not be negative: no answer comes before its question. "
                "Use 0 for an answer at once."
            ),
        ),
        (
            lambda: FakePool("origin", latency=(2, 1)),
            "latency=(2, 1) must be a span from low to high.",
        ),
        (
            lambda: FakePool("origin", latency="1"),  # type: ignore[arg-type]
            "latency='1' must be seconds or a span of seconds.",
        ),
        (lambda: FakePool("origin", latency=float("inf")), "latency=inf must be a finite number"),
        (lambda: FakePool(""), "name='' must be a text that is not empty"),
        (lambda: Behaviour(chunk_size=0), "chunk_size=0 must be at least 1."),
        (lambda: Behaviour(truncate=-1), "truncate=-1 must be at least 0."),
        (lambda: Behaviour(fail_first=-1), "fail_first=-1 must be at least 0."),
        (lambda: Behaviour(error=int), "error=<class 'int'> must be an exception"),  # type: ignore[arg-type]
        (lambda: Behaviour(error=OSError, hang=True), "a call ends in one way."),
        (lambda: FakePool("origin").script("a"), "steps=() must name at least one Behaviour."),
        (lambda: FakePool("origin").set("a", OSError), "must be a Behaviour."),  # type: ignore[arg-type]
        (lambda: FakePool("origin").exists_many("a", concurrency=0), "concurrency=0 must be at"),
        (
            lambda: FakePool("origin", payload=7, faults=struck(Truncate(1))).call(),
            "cannot be cut.",
        ),
    ],
)
def test_misuse_is_one_clear_line(misuse: Callable[[], object], message: str) -> None:
    """Name and value, the rule, the way out; nothing is half made."""
    with pytest.raises(HarnessError) as caught:
        misuse()

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_gate_of_the_other_flavour_is_refused() -> None:
    """A pool for threads cannot wait at a gate for tasks."""
    pool = FakePool("origin")
    pool.set("a", Behaviour(tail_gate=AsyncGate()))

    with pytest.raises(HarnessError, match="is not of class Gate"):
        pool.call("a")


@pytest.mark.parametrize("verdict", [Duplicate(), Overtake()])
def test_a_call_cannot_come_twice_or_out_of_turn(verdict: Verdict) -> None:
    """That is for messages: a rule that means one says so by its name."""

    def program(sim: Any) -> None:
        sim.inject(lambda site: verdict if site.kind == "call" else Pass(), certain=True)
        with pytest.raises(HarnessError, match="cannot strike a call of 'origin'"):
            sim.pool("origin").call("a")

    holds(program, schedules=1)
