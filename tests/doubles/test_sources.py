"""Readers that behave badly, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from harness.doubles import (
    AsyncBlockingSource,
    AsyncSlowCloseReader,
    BlockingSource,
    InFlight,
    Scope,
    SlowCloseReader,
)
from harness.errors import HarnessError
from tests.doubles.running import holds

pytestmark = pytest.mark.one_ground


def test_a_slow_close_takes_its_time_and_is_counted() -> None:
    """Three readers share a gauge of closes that go on."""

    def program(sim: Any) -> None:
        closing = InFlight("closing")
        readers = [
            SlowCloseReader(data=b"hello", close_latency=1.0, closing=closing) for _ in range(3)
        ]
        assert [readers[0].read(2), readers[0].read(), readers[0].read()] == [b"he", b"llo", b""]
        with sim.storm() as storm:
            for reader in readers:
                storm.spawn(reader.close)
        assert (closing.high_water, closing.value, sim.now()) == (3, 0, 1.0)
        assert [reader.closes for reader in readers] == [1, 1, 1]

    holds(program)


def test_tasks_have_the_same_slow_close() -> None:
    """A close that is cancelled has ended."""

    async def program(sim: Any) -> None:
        reader = AsyncSlowCloseReader(data=b"hello", close_latency=5.0)
        assert (await reader.read(2), await reader.read()) == (b"he", b"llo")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await reader.close()
        await reader.close()
        assert (reader.closes, reader.closing.value, sim.now()) == (2, 0, 6.0)

    holds(program, schedules=3)


def test_a_blocked_read_ends_on_interrupt_only() -> None:
    """Neither a time-out nor a cancellation frees it."""

    def program(sim: Any) -> None:
        source, scope = BlockingSource(), Scope()
        with sim.storm() as storm:
            storm.spawn(lambda: source.read(10, timeout=1.0, cancel=scope), name="reader")
            source.wait_for(1)
            scope.set()
            sim.advance(60.0)
            assert source.blocked == 1
            source.interrupt()
        assert [type(error) for error in storm.errors()] == [InterruptedError]
        assert (source.blocked, source.interrupts, sim.now()) == (0, 1, 60.0)
        assert BlockingSource(error=None)._gate.name == "source"

    holds(program)


def test_an_interrupted_source_may_end_like_a_file() -> None:
    """With no bytes instead of an error, for reads that come later, too."""
    source = BlockingSource(error=None)
    source.interrupt()

    assert source.read() == b""


def test_tasks_have_the_same_blocked_read() -> None:
    """Two cancellations wait until the interrupt, then the read is cancelled."""

    async def program(sim: Any) -> None:
        source = AsyncBlockingSource()
        plain, doomed = (asyncio.create_task(source.read()) for _ in range(2))
        await source.wait_for(2)
        for _ in range(2):
            doomed.cancel()
            await asyncio.sleep(1.0)
        assert (source.blocked, doomed.done()) == (2, False)
        source.interrupt()
        await asyncio.wait([plain, doomed])
        assert (type(plain.exception()), doomed.cancelled()) == (InterruptedError, True)
        assert (source.blocked, source.interrupts, sim.now()) == (0, 1, 2.0)

    holds(program)


def test_a_negative_latency_is_refused() -> None:
    """In one line."""
    with pytest.raises(HarnessError, match="close_latency=-1 must not be negative"):
        SlowCloseReader(close_latency=-1)
