"""Budgets of tokens: first in, first out, none lost, everything recorded."""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from typing import Any

import pytest

from harness.doubles import AsyncTokenBudget, Scope, TokenBudget
from harness.errors import HarnessError
from tests.doubles.running import holds

pytestmark = pytest.mark.one_ground


def test_a_budget_records_what_was_done_with_it() -> None:
    """Six holders of two tokens: three rounds, a high-water of 2, as many releases as acquires."""

    def program(sim: Any) -> None:
        budget = TokenBudget(2)

        def holder() -> None:
            budget.acquire()
            time.sleep(1.0)
            budget.release()

        with sim.storm() as storm:
            storm.spawn(holder, copies=6)
        assert (budget.acquires, budget.releases, budget.held) == (6, 6, 0)
        assert (budget.high_water, budget.queued, sim.now()) == (2, 0, 3.0)

    holds(program)


def test_who_gives_up_takes_no_token() -> None:
    """By time-out or cancellation, at the instant of the grant too."""

    def program(sim: Any) -> None:
        budget, scope = TokenBudget(1, "slots"), Scope()
        budget.acquire()

        def impatient() -> None:
            with pytest.raises(TimeoutError, match="budget 'slots': nothing within 1 s"):
                budget.acquire(timeout=1.0)

        def cancelled() -> bool:
            try:
                budget.acquire(cancel=scope)
            except concurrent.futures.CancelledError:
                return False
            budget.release()
            return True

        with sim.storm() as storm:
            storm.spawn(impatient)
            storm.spawn(cancelled)
            sim.advance(2.0)
            storm.spawn(scope.set, name="canceller")
            storm.spawn(budget.release, name="releaser")
        storm.results()
        assert budget.held == 0
        budget.acquire(timeout=1.0)

    holds(program, schedules=100)


def test_tasks_have_the_same_budget() -> None:
    """High-water, rounds, and a token that is not lost to a cancelled task."""

    async def program(sim: Any) -> None:
        budget = AsyncTokenBudget(2)

        async def holder() -> None:
            await budget.acquire()
            try:
                await asyncio.sleep(1.0)
            finally:
                budget.release()

        holders = [asyncio.create_task(holder()) for _ in range(6)]
        await asyncio.sleep(1.0)
        holders[4].cancel()
        await asyncio.wait(holders)
        assert (budget.high_water, budget.held, budget.queued) == (2, 0, 0)
        assert budget.acquires == budget.releases
        assert budget.tokens == 2
        with pytest.raises(ValueError, match="released too many times"):
            budget.release()
        assert sim.now() == 3.0

    holds(program)


def test_a_token_too_many_is_an_error() -> None:
    """As from a bounded semaphore; and no budget starts without a token."""
    with pytest.raises(ValueError, match="budget 'budget' released too many times"):
        TokenBudget(1).release()
    with pytest.raises(HarnessError, match="tokens=0 must be at least 1"):
        TokenBudget(0)
