"""Looking on: logs, and conditions that come true."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from harness.doubles import InFlight, LogCapture, async_poll_until, poll_until
from harness.errors import HarnessError, Violation
from tests.doubles.running import holds


def test_a_log_is_kept_while_the_block_lasts() -> None:
    """One logger, from a level up; the logger is as before afterwards."""
    logger = logging.getLogger("harness.tests.watching")

    with LogCapture(logger.name, logging.INFO) as log:
        logger.info("retry %d of %d", 1, 2)
        logger.debug("too fine")
    logger.warning("too late")

    assert log.messages == ["retry 1 of 2"]
    assert [record.levelno for record in log.records] == [logging.INFO]
    assert (logger.level, logger.handlers) == (logging.NOTSET, [])


def test_a_condition_is_asked_until_it_is_true() -> None:
    """At once if it is, every so often otherwise, too late at the deadline exactly."""

    def program(sim: Any) -> None:
        poll_until(lambda: True, timeout=0.0)
        poll_until(lambda: sim.now() >= 0.25, timeout=1.0, every=0.1)
        assert sim.now() == 0.3
        with pytest.raises(Violation, match=r"the list was not true within 0\.7 s\.") as caught:
            poll_until(list, timeout=0.7, name="the list")
        assert (caught.value.check, sim.now()) == ("Eventually", 1.0)
        with pytest.raises(Violation):
            poll_until(list, timeout=3600.0)
        assert sim.now() == 3601.0

    holds(program, schedules=2)


def test_a_gauge_wakes_who_waits_for_it() -> None:
    """No polling: the condition is asked when the gauge changes, and not in between."""

    def program(sim: Any) -> None:
        pool = sim.pool("origin", latency=60.0)
        asked: list[float] = []

        def busy() -> bool:
            asked.append(sim.now())
            return bool(pool.in_flight == 2)

        with sim.storm() as storm:
            storm.spawn(pool.call, name="one")
            sim.advance(30.0)
            storm.spawn(pool.call, name="two")
            poll_until(busy, timeout=5.0, on=pool.gauge)
            assert len(asked) <= 3
            with pytest.raises(Violation):
                poll_until(lambda: pool.in_flight == 9, timeout=5.0, on=pool.gauge)
            assert sim.now() == 35.0
        assert pool.gauge._subscribers == {}

    holds(program)


def test_tasks_poll_too() -> None:
    """The loop runs meanwhile."""

    async def program(sim: Any) -> None:
        gauge = InFlight("origin")
        asyncio.get_running_loop().call_later(0.25, gauge.enter)
        await async_poll_until(lambda: gauge.value, timeout=1.0, every=0.1)
        assert sim.now() == 0.3
        with pytest.raises(Violation):
            await async_poll_until(lambda: False, timeout=0.5)
        assert sim.now() == 0.8
        with pytest.raises(Violation):
            await async_poll_until(lambda: False, timeout=3600.0)
        assert sim.now() == 3600.8

    holds(program, schedules=2)


def test_a_negative_time_out_is_refused() -> None:
    """In one line."""
    with pytest.raises(HarnessError, match="timeout=-1 must not be negative"):
        poll_until(lambda: True, timeout=-1)
