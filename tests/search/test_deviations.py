"""Bounded search counts what it was asked, whatever a tape records of it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from harness.explore import explore


async def _overdraw(sim: Any) -> None:
    account = SimpleNamespace(balance=10)

    async def pay() -> None:
        if account.balance >= 10:
            await asyncio.sleep(0)
            account.balance -= 10

    async def refund() -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        account.balance += 0

    refunding = asyncio.create_task(refund())
    paying = asyncio.create_task(pay()), asyncio.create_task(pay())
    await asyncio.gather(refunding, *paying)
    assert account.balance >= 0


async def _three_turns(sim: Any) -> None:
    async def turn() -> None:
        await asyncio.sleep(0)

    await asyncio.gather(turn(), turn(), turn())


@pytest.mark.parametrize("strategy", ["delay:1", "preemption:1"])
def test_turns_of_a_loop_are_searched(strategy: str) -> None:
    """A tape records a turn among all handles, and is asked among the turns that differ."""
    assert explore(_overdraw, strategy=strategy, schedules=200).violation is not None
    assert explore(_three_turns, strategy=strategy, schedules=200).verdict == "holds"
