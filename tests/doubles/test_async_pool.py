"""The fake pool for tasks, in the simulated world: exact times, every schedule tried."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Any

import pytest

from harness.doubles import AsyncFakePool, AsyncGate, Behaviour, Existence, Gate, TransientError
from harness.errors import HarnessError, Violation
from harness.faults import Cancel, Crash, Delay, Fail, Faults, Hang, Pause, Truncate, Verdict
from tests.doubles.running import holds

pytestmark = pytest.mark.one_ground


async def outcome(call: Awaitable[object]) -> object:
    """Return what a call returns, or the class of what it raises; cancellation goes on."""
    try:
        return await call
    except Exception as exc:
        return type(exc)


def struck(verdict: Verdict) -> Faults:
    """Return faults under which every call meets `verdict`."""
    faults = Faults()
    faults.install(lambda _site: verdict, None, certain=True)
    return faults


# --- answers and chunks ---------------------------------------------------------------------------


def test_answers_records_and_scripts() -> None:
    """As for threads: the key by default, whole records, attempts in turn, errors as they are."""

    async def program(_sim: Any) -> None:
        pool = AsyncFakePool("origin", payload=b"default", latency=60.0)
        error = ConnectionResetError("gone")
        pool.set("hello", Behaviour(payload=b"hello"))
        pool.set("gone", Behaviour(error=error))
        pool.script("seg-1", Behaviour(fail_first=1), then=Behaviour(payload=b"hello", truncate=2))

        assert await AsyncFakePool("origin").call("user:1") == "user:1"
        assert await pool.call("hello") == b"hello"
        with pytest.raises(ConnectionResetError) as caught:
            await pool.call("gone")
        assert caught.value is error
        assert await outcome(pool.call("seg-1")) is TransientError
        assert await pool.call("seg-1") == b"he"
        assert asyncio.get_running_loop().time() == 0.0

        pool.unset("hello")
        pool.set_default(Behaviour(payload=b"other"))
        assert await pool.call("hello") == b"other"

    holds(program, schedules=2)


def test_a_writer_may_be_plain_or_async() -> None:
    """It gets the chunks in order; the caller gets the size; what it raises ends the call."""

    async def program(_sim: Any) -> None:
        pool = AsyncFakePool("origin")
        pool.set_default(Behaviour(payload=b"hello", chunk_size=2))
        plain: list[bytes] = []
        slow: list[bytes] = []

        async def write(chunk: bytes) -> None:
            await asyncio.sleep(1.0)
            slow.append(chunk)

        async def refuse(_chunk: bytes) -> None:
            raise BrokenPipeError

        assert await pool.call(writer=plain.append) == 5
        assert await pool.call(writer=write) == 5
        assert plain == slow == [b"he", b"ll", b"o"]
        assert asyncio.get_running_loop().time() == 3.0
        assert await outcome(pool.call(writer=refuse)) is BrokenPipeError
        assert pool.in_flight == 0

    holds(program, schedules=2)


def test_the_tail_may_be_held_or_lost() -> None:
    """A gate behind the first chunk, or an error there at the first attempt."""

    async def program(sim: Any) -> None:
        pool, tail = sim.pool("origin"), sim.gate("tail")
        record = Behaviour(payload=b"hello", chunk_size=4, tail_gate=tail, fail_after_first_chunk=1)
        pool.set("seg-1", record)
        written: list[bytes] = []
        async with sim.storm() as storm:
            storm.spawn(pool.call, "seg-1", name="first")
            await tail.wait_for(1)
            tail.open()
            await sim.settle()
            assert await pool.call("seg-1", writer=written.append) == 5
        assert written == [b"hell", b"o"]
        assert [type(error) for error in storm.errors()] == [TransientError]

    holds(program)


# --- time, cancellation ---------------------------------------------------------------------------


def test_a_cancellation_ends_a_latency_at_once() -> None:
    """5 s of latency, cancelled at 0.02 s: the call ends at 0.02 s and has left."""

    async def program(sim: Any) -> None:
        pool = sim.pool("origin", latency=5.0)
        call = asyncio.create_task(pool.call("seg-1"))
        await asyncio.sleep(0.02)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (sim.now(), pool.in_flight, pool.events[-1].kind) == (0.02, 0, "cancelled")

    holds(program)


def test_two_overlapping_calls_have_a_high_water_of_exactly_2() -> None:
    """On every schedule: both are inside from 0 to 0.05 s."""

    async def program(sim: Any) -> None:
        pool = sim.pool("origin", latency=0.050)
        await asyncio.gather(pool.call("a"), pool.call("b"))
        assert (pool.high_water, pool.in_flight, sim.now()) == (2, 0, 0.050)

    holds(program, schedules=100)


def test_a_deadline_ends_a_call_wherever_it_waits() -> None:
    """In the queue, at the gate, in the latency and in a hang: always at 15 s exactly."""

    async def program(sim: Any) -> None:
        gated, slow = sim.pool("gated", size=1), sim.pool("slow", latency=15.0)
        hung = sim.pool("hung")
        gated.block_until(sim.gate("shut"))
        hung.set_default(Behaviour(hang=True))

        async def caller(pool: AsyncFakePool) -> float:
            with pytest.raises(TimeoutError):
                await pool.call("seg-1", timeout=15.0)
            return float(sim.now())

        ended = await asyncio.gather(*map(caller, (gated, gated, slow, hung)))
        assert ended == [15.0] * 4
        assert (gated.in_flight, gated.queued, slow.in_flight, hung.in_flight) == (0, 0, 0, 0)
        gated.block_until(None)
        assert await gated.call("after") == "after"

    holds(program)


def test_a_time_out_of_asyncio_is_told_from_the_pools_own() -> None:
    """`asyncio.timeout` round a hung call: the call was cancelled, the block timed out."""

    async def program(sim: Any) -> None:
        pool = sim.pool("origin")
        pool.set_default(Behaviour(hang=True))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(15.0):
                await pool.call("seg-1")
        assert (sim.now(), pool.events[-1].kind) == (15.0, "cancelled")

    holds(program, schedules=3)


def test_a_dead_call_never_reaches_the_wire() -> None:
    """A deadline in the past, or a task that is cancelled before its first await in the call."""

    async def program(sim: Any) -> None:
        pool = sim.pool("origin")

        async def cancelled_first() -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await pool.call("seg-1")

        task = asyncio.create_task(cancelled_first())
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(TimeoutError):
            await pool.call("seg-1", timeout=0.0)
        with pytest.raises(TimeoutError):
            pool.submit("seg-1", timeout=-1.0)
        assert (pool.total, pool.high_water) == (0, 0)
        assert [event.kind for event in pool.events] == ["refused"] * 3

    holds(program, schedules=3)


# --- slots and gates ------------------------------------------------------------------------------


def test_ten_calls_behind_a_gate_are_exactly_ten_in_flight() -> None:
    """They stay until it opens, and then none is left; a cancelled one leaves a shut gate."""

    async def program(sim: Any) -> None:
        pool, gate = sim.pool("origin"), sim.gate()
        pool.block_until(gate)
        async with sim.storm() as storm:
            storm.spawn(pool.call, copies=10)
            doomed = asyncio.create_task(pool.call("doomed"))
            await gate.wait_for(11)
            doomed.cancel()
            await sim.settle()
            assert (pool.in_flight, gate.waiting) == (10, 10)
            gate.open()
            gate.close()
        assert (pool.high_water, pool.in_flight, gate.waiting) == (11, 0, 0)
        assert doomed.cancelled()

    holds(program)


def test_a_size_queues_first_in_first_out() -> None:
    """Seven calls in a pool of two: four rounds, in the order in which they came."""

    async def program(sim: Any) -> None:
        pool = sim.pool("origin", size=2, latency=1.0)
        await asyncio.gather(*(pool.call(str(index)) for index in range(7)))
        started = [event for event in pool.events if event.kind == "started"]
        rounds = [{event.ordinal for event in started if event.at == at} for at in range(4)]
        assert rounds == [{1, 2}, {3, 4}, {5, 6}, {7}]
        assert (pool.high_water, pool.in_flight, pool.queued, sim.now()) == (2, 0, 0, 4.0)

    holds(program)


@pytest.mark.parametrize("cancel_at", [0.5, 1.0])
def test_a_slot_granted_to_a_cancelled_call_is_not_lost(cancel_at: float) -> None:
    """Cancelled while queued, or at the very instant of the grant: the next in line is served."""

    async def program(sim: Any) -> None:
        pool = sim.pool("origin", size=1, latency=1.0)
        holder, doomed, after = (asyncio.create_task(pool.call(key)) for key in "abc")
        await asyncio.sleep(cancel_at)
        doomed.cancel()
        await asyncio.wait([holder, doomed, after])
        assert (pool.in_flight, pool.queued, after.result()) == (0, 0, "c")
        assert await pool.call("last") == "last"
        assert pool.high_water == 1

    holds(program, schedules=150)


# --- counting -------------------------------------------------------------------------------------


def test_counters_log_and_reset() -> None:
    """Everything that threads count, tasks count: by key, lane and method, with times and names."""

    async def program(sim: Any) -> None:
        pool, gate = sim.pool("origin", latency=0.005), sim.gate()
        await pool.call("a", lane="import", argument=1)
        await pool.exists("a", lane="stream")
        await pool.submit("b")
        assert (pool.total, pool.calls(), pool.calls(id="a")) == (3, 3, 2)
        assert (pool.calls(lane="stream"), pool.calls(id="a", method="call")) == (1, 1)
        assert pool.arguments("a") == [1, None]
        assert (pool.arrivals("b"), pool.arrivals()) == ([0.010], [0.0, 0.005, 0.010])
        me = asyncio.current_task()
        assert me is not None
        assert pool.events[0].who == me.get_name()
        assert pool.events_dropped == 0

        pool.block_until(gate)
        call = asyncio.create_task(pool.call("c"), name="caller-7")
        await gate.wait_for(1)
        assert pool.gauge.inside() == ["caller-7"]
        pool.reset()
        assert (pool.in_flight, pool.high_water, pool.total, pool.events) == (1, 1, 0, [])
        gate.open()
        await call
        assert (pool.in_flight, pool.high_water) == (0, 1)
        pool.assert_max_in_flight(1)
        with pytest.raises(Violation):
            pool.assert_max_in_flight(0)
        assert repr(pool) == "<AsyncFakePool 'origin': 0 in flight, 0 in all>"

    holds(program, schedules=5)


# --- submit, exists -------------------------------------------------------------------------------


def test_a_submitted_call_has_left_when_its_result_is_seen() -> None:
    """The counters rise at once; one that is cancelled before its first step is in the log, too."""

    async def program(sim: Any) -> None:
        pool = sim.pool("origin", latency=0.010)
        task = pool.submit("seg-1")
        assert pool.calls(id="seg-1") == 1
        seen: list[int] = []
        task.add_done_callback(lambda _task: seen.append(pool.in_flight))
        assert await task == "seg-1"
        assert pool.in_flight == 0
        await asyncio.sleep(1.0)
        assert seen == [0]

        never = pool.submit("seg-2")
        never.cancel()
        with pytest.raises(asyncio.CancelledError):
            await never
        await asyncio.sleep(1.0)
        assert (pool.events[-1].kind, pool.events[-1].key) == ("cancelled", "seg-2")

    holds(program)


def test_many_are_asked_within_bounds_and_in_no_order() -> None:
    """Three at a time; the quick ones come first; every key has one result."""

    async def program(sim: Any) -> None:
        pool = sim.pool("origin", latency=1.0)
        pool.set("slow", Behaviour(latency=3.5))
        pool.set("gone", Behaviour(error=LookupError))
        keys = ["slow", "a", "gone", "b", "c", "d"]
        results = [result async for result in pool.exists_many(keys, concurrency=3)]
        assert sorted(result.key for result in results) == sorted(keys)
        assert results[-1] == Existence("slow")
        assert {result.key for result in results if result.error is not None} == {"gone"}
        assert (pool.high_water, pool.in_flight, sim.now()) == (3, 0, 3.5)
        assert [result async for result in pool.exists_many([])] == []
        assert len(asyncio.all_tasks()) == 1

    holds(program)


def test_leaving_stops_dispatch() -> None:
    """A cancelled reader or a closed iterator: who is out is cancelled, the rest is dropped."""

    async def program(sim: Any) -> None:
        pool = sim.pool("origin", latency=1.0)
        keys = [f"seg-{index}" for index in range(10)]

        async def read() -> None:
            async with contextlib.aclosing(pool.exists_many(keys, concurrency=2)) as results:
                async for _ in results:
                    pass

        reader = asyncio.create_task(read())
        await asyncio.sleep(1.5)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert (pool.total, pool.in_flight, sim.now()) == (4, 0, 1.5)
        assert len(asyncio.all_tasks()) == 1

    holds(program)


# --- faults and misuse ----------------------------------------------------------------------------


def test_a_fault_that_strikes_is_carried_out() -> None:
    """Each verdict does to a call what its name says; `Cancel` cancels the task itself."""

    async def program(sim: Any) -> None:
        async def call(verdict: Verdict, **arguments: Any) -> tuple[object, float]:
            pool = AsyncFakePool("origin", latency=1.0, payload=b"hello", faults=struck(verdict))
            before = sim.now()
            result = await outcome(pool.call("seg-1", **arguments))
            assert pool.in_flight == 0
            return result, sim.now() - before

        assert await call(Delay(2.0)) == (b"hello", 3.0)
        assert await call(Fail(OSError)) == (OSError, 1.0)
        assert await call(Truncate(2)) == (b"he", 1.0)
        assert await call(Hang(), timeout=8.0) == (TimeoutError, 8.0)
        doomed = asyncio.create_task(call(Cancel()))
        await asyncio.wait([doomed])
        assert (doomed.cancelled(), doomed.cancelling()) == (True, 1)

    holds(program, schedules=2)


def test_only_a_world_can_crash_or_pause() -> None:
    """Without one they are refused; with one its callback is told, and awaited if it is async."""

    async def program(sim: Any) -> None:
        told: list[Verdict] = []

        async def pause(verdict: Verdict) -> None:
            await asyncio.sleep(1.0)
            told.append(verdict)

        for verdict in (Crash(), Pause(1.0)):
            with pytest.raises(HarnessError, match="outside a simulated run"):
                await AsyncFakePool("origin", faults=struck(verdict)).call()
            await AsyncFakePool("origin", faults=struck(verdict), disturb=pause).call()
        assert (told, sim.now()) == ([Crash(), Pause(1.0)], 2.0)

    holds(program, schedules=2)


def test_misuse_is_refused() -> None:
    """The same lines as for threads, and a gate of the other flavour."""
    with pytest.raises(HarnessError, match="size=0 must be at least 1"):
        AsyncFakePool("origin", size=0)
    with pytest.raises(HarnessError, match="latency=-1 must not be negative"):
        AsyncFakePool("origin", latency=-1)

    async def program(_sim: Any) -> None:
        pool = AsyncFakePool("origin")
        pool.set("a", Behaviour(tail_gate=Gate()))
        pool.set("b", Behaviour(tail_gate=AsyncGate(is_open=True)))
        with pytest.raises(HarnessError, match="is not of class AsyncGate"):
            await pool.call("a")
        assert await pool.call("b") == "b"
        with pytest.raises(HarnessError, match="concurrency=0"):
            [result async for result in pool.exists_many("a", concurrency=0)]

    holds(program, schedules=1)
