"""Who is alive: identities, stacks and creation sites, in the simulated world and outside it."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from harness.doubles import Gate
from harness.errors import HarnessError, Violation
from harness.snapshot import (
    REPORT_MAX,
    Alive,
    assert_returned_to_baseline,
    async_assert_returned_to_baseline,
    frames_of,
    snapshot,
)
from tests.doubles.running import REAL_LIMIT, holds


def stuck(gate: Gate) -> None:
    """Wait at a gate; its name is what the reports show."""
    gate.wait()


async def stuck_task(event: asyncio.Event) -> None:
    """Wait for an event; its name is what the reports show."""
    await event.wait()


def one(alive: list[Alive]) -> Alive:
    """Return the only one."""
    assert len(alive) == 1, alive
    return alive[0]


# --- inside ---------------------------------------------------------------------------------------


def test_a_simulated_thread_is_seen_with_stack_and_birthplace() -> None:
    """By identity, with the function it is stuck in, what it waits for, and who started it."""

    def program(sim: Any) -> None:
        gate = sim.gate()
        before = snapshot()
        thread = threading.Thread(target=stuck, args=(gate,), name="leak", daemon=True)
        thread.start()
        gate.wait_for(1)

        leak = one(snapshot().since(before))

        assert leak.subject is thread
        assert (leak.kind, leak.name, leak.ident) == ("thread", "leak", thread.ident)
        assert (leak.daemon, leak.is_parked) == (True, True)
        assert leak.created.startswith("test_snapshot.py:")
        assert "program" in leak.created
        assert leak.stack[0].startswith("test_snapshot.py:")
        assert leak.stack[0].endswith(" stuck")
        assert stuck.__code__ in leak.frames
        assert "test_snapshot.py:" in leak.waits_for
        frame = frames_of(thread)
        assert frame is not None
        gate.open()
        thread.join()
        assert snapshot().since(before) == []
        assert (frames_of(thread), snapshot().at) == (None, 0.0)

    holds(program, schedules=5)


def test_a_simulated_task_is_seen_too() -> None:
    """Its coroutine's innermost frame, and where it was created."""

    async def program(sim: Any) -> None:
        event = asyncio.Event()
        before = snapshot()
        task = asyncio.create_task(stuck_task(event), name="leak")
        await asyncio.sleep(1.0)

        leak = one(snapshot().since(before))

        assert (leak.subject, leak.kind, leak.name) == (task, "task", "leak")
        assert "program" in leak.created
        assert leak.stack[0].endswith(" stuck_task")
        assert leak.is_parked
        with pytest.raises(Violation):
            await async_assert_returned_to_baseline(before, timeout=2.0)
        assert sim.now() == 3.0
        event.set()
        await async_assert_returned_to_baseline(before, timeout=1.0)
        assert sim.now() == 3.0

        threading.Thread(target=time.sleep, args=(50.0,)).start()
        await async_assert_returned_to_baseline(before, timeout=90.0)
        assert 53.0 <= sim.now() <= 60.0

    holds(program, schedules=5)


def test_a_baseline_is_awaited_in_virtual_time() -> None:
    """Whoever ends within the time-out did not leak; whoever does not is reported at it."""

    def program(sim: Any) -> None:
        before = snapshot()
        for seconds in (1.0, 20.0):
            threading.Thread(target=time.sleep, args=(seconds,), name=f"for {seconds}").start()

        with pytest.raises(Violation) as caught:
            assert_returned_to_baseline(before, timeout=5.0)
        assert caught.value.check == "LeakBound"
        assert caught.value.summary == "1 thread outlived the baseline by 5 s, allowed 0."
        assert "thread 'for 20.0'" in str(caught.value)
        assert sim.now() == 5.0

        assert_returned_to_baseline(before, slack=1)
        assert_returned_to_baseline(before, background=["for *"])
        assert sim.now() == 5.0
        assert_returned_to_baseline(before, timeout=30.0)
        assert sim.now() == 20.0

    holds(program, schedules=5)


# --- outside --------------------------------------------------------------------------------------


def test_real_threads_are_told_apart_by_identity() -> None:
    """One ends while one leaks: the leak is reported, with its stack."""
    old_gate, new_gate = Gate("old"), Gate("new")
    old = threading.Thread(target=stuck, args=(old_gate,), name="old")
    old.start()
    old_gate.wait_for(1, REAL_LIMIT)
    before = snapshot()
    assert one([alive for alive in before.alive if alive.subject is old]).is_parked
    leak = threading.Thread(target=stuck, args=(new_gate,), name="leak")
    leak.start()
    new_gate.wait_for(1, REAL_LIMIT)
    old_gate.open()
    old.join()

    with pytest.raises(Violation) as caught:
        assert_returned_to_baseline(before, timeout=0.01)

    assert "1 thread outlived the baseline by 0.01 s, allowed 0." in str(caught.value)
    assert "thread 'leak', waits in" in str(caught.value)
    assert " stuck" in str(caught.value)
    assert "'old'" not in str(caught.value)
    new_gate.open()
    assert_returned_to_baseline(before, timeout=REAL_LIMIT)
    assert frames_of(leak) is None


def test_twenty_real_threads_return_to_the_baseline() -> None:
    """Short ones are waited for."""
    before = snapshot()
    for _ in range(20):
        threading.Thread(target=time.sleep, args=(0.005,)).start()

    assert_returned_to_baseline(before, timeout=REAL_LIMIT)


def test_fifty_parked_threads_are_reported_within_8_kib() -> None:
    """All are counted, as many as fit are shown."""
    gate, before = Gate(), snapshot()
    for number in range(50):
        threading.Thread(target=stuck, args=(gate,), name=f"leak-{number}").start()
    gate.wait_for(50, REAL_LIMIT)

    with pytest.raises(Violation) as caught:
        assert_returned_to_baseline(before, timeout=0.01)

    gate.open()
    assert "50 threads outlived" in str(caught.value)
    assert "more" in caught.value.evidence[-1][1]
    shown = sum(len(text.encode()) for label, text in caught.value.evidence[:-1])
    assert shown <= REPORT_MAX
    assert_returned_to_baseline(before, timeout=REAL_LIMIT)


def test_real_tasks_are_seen_from_every_thread() -> None:
    """From their own loop and from outside it; the caller's own task never counts."""
    stop = threading.Event()
    ready: list[asyncio.AbstractEventLoop] = []

    async def main() -> None:
        event = asyncio.Event()
        before = snapshot()
        task = asyncio.create_task(stuck_task(event), name="leak")
        await asyncio.sleep(0)
        leak = one([alive for alive in snapshot().since(before) if alive.kind == "task"])
        assert (leak.subject, leak.is_parked) == (task, True)
        assert leak.stack[0].endswith(" stuck_task")
        ready.append(asyncio.get_running_loop())
        while not stop.is_set():
            await asyncio.sleep(0.001)
        event.set()
        await task

    other = threading.Thread(target=lambda: asyncio.run(main()))
    other.start()
    deadline = time.monotonic() + REAL_LIMIT
    while not ready and time.monotonic() < deadline:
        time.sleep(0.001)

    names = {alive.name for alive in snapshot().alive if alive.kind == "task"}

    stop.set()
    other.join()
    assert "leak" in names


def test_misuse_is_refused() -> None:
    """A negative slack or time-out."""
    with pytest.raises(HarnessError, match="slack=-1 must not be negative"):
        assert_returned_to_baseline(snapshot(), slack=-1)
    with pytest.raises(HarnessError, match="timeout=-1 must not be negative"):
        assert_returned_to_baseline(snapshot(), timeout=-1)
