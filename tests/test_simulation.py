"""What a scenario does wrong with its simulation is told, and never passes."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from harness import Elapsed, HarnessError, explore

pytestmark = pytest.mark.one_ground


class Bank:
    """Somebody to call."""

    async def ask(self) -> None:
        """Never get here."""
        raise AssertionError


async def ask(*_: object) -> None:
    """Never get here."""
    raise AssertionError


def spawns_a_coroutine_function(sim: Any) -> None:
    """In a storm of threads."""
    with sim.storm() as storm:
        storm.spawn(ask)


def spawns_what_makes_a_coroutine(sim: Any) -> None:
    """Nothing shows that before it is called."""
    with sim.storm() as storm:
        storm.spawn(lambda: Bank().ask(), name="asker")


def asks_for_results_of_a_coroutine_function(sim: Any) -> None:
    """And so takes what its threads have raised."""
    with sim.storm() as storm:
        storm.spawn(functools.partial(Bank().ask), copies=2, name="asker")
    storm.results()


def spawns_a_generator_function(sim: Any) -> None:
    """Of which a call runs nothing."""
    with sim.storm() as storm:
        storm.spawn(asks_step_by_step)


def asks_step_by_step() -> Iterator[None]:
    """Never get here."""
    raise AssertionError
    yield


def has_a_yield(sim: Any) -> Iterator[None]:
    """As a fixture has."""
    raise AssertionError(sim)
    yield


async def has_a_yield_and_is_async(sim: Any) -> AsyncIterator[None]:
    """As a fixture has."""
    raise AssertionError(sim)
    yield


def returns_a_coroutine(sim: Any) -> Any:
    """As a decorator does that knows nothing of asyncio."""
    return ask(sim)


async def forgets_to_await(sim: Any) -> Any:
    """The await that is missing is easily overlooked."""
    return ask(sim)


async def spawns_what_forgets_to_await(sim: Any) -> None:
    """In a storm of tasks."""

    async def asker() -> Any:
        return ask(sim)

    async with sim.storm() as storm:
        storm.spawn(asker)


def promises_a_class(sim: Any) -> None:
    """Instead of an object of it."""
    with sim.storm(Elapsed):
        pass


async def spawns_a_plain_function(sim: Any) -> None:
    """In a storm of tasks."""
    async with sim.storm() as storm:
        storm.spawn(does_nothing)


def does_nothing() -> None:
    """Return at once."""


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (
            spawns_a_coroutine_function,
            "function=<function ask> is a coroutine function, of which a thread would run nothing.",
        ),
        (
            spawns_what_makes_a_coroutine,
            "'asker' returned <coroutine object Bank.ask>, which nobody has awaited: nothing of it",
        ),
        (
            asks_for_results_of_a_coroutine_function,
            "function=functools.partial(<bound method Bank.ask of <tests.test_simulation.Bank obj",
        ),
        (spawns_a_generator_function, "function=<function asks_step_by_step> has a yield, so "),
        (has_a_yield, "scenario=<function has_a_yield> has a yield, so that nothing of it would"),
        (has_a_yield_and_is_async, "scenario=<function has_a_yield_and_is_async> has a yield, so"),
        (returns_a_coroutine, "the scenario returned <coroutine object ask>, which nobody has a"),
        (forgets_to_await, "the scenario returned <coroutine object ask>, which nobody has awai"),
        (spawns_what_forgets_to_await, "'asker' returned <coroutine object ask>, which nobody "),
        (promises_a_class, "checks=<class 'harness.checks.Elapsed'> must be checks, such as Leak"),
        (
            spawns_a_plain_function,
            "function=<function does_nothing> must be a coroutine function.",
        ),
    ],
)
def test_a_scenario_that_runs_nothing_does_not_hold(
    program: Callable[[Any], Any], said: str
) -> None:
    """Whoever mixes up threads and tasks is told so in one line, without an address."""
    with pytest.raises(HarnessError) as told:
        explore(program, schedules=3)

    assert str(told.value).startswith(said)
    assert " at 0x" not in str(told.value)


def test_a_coroutine_that_somebody_else_runs_may_be_handed_on() -> None:
    """Whoever made it returns it before it has run."""
    seen: list[str] = []

    async def answers() -> None:
        seen.append("asked")

    def program(sim: Any) -> None:
        seen.clear()
        made = [answers()]
        with sim.storm() as storm:
            storm.spawn(made.pop)
        asyncio.run(storm.results()[0])
        assert seen == ["asked"]

    assert explore(program, schedules=3).verdict == "holds"


def test_what_is_made_and_left_by_code_of_others_may_be_left() -> None:
    """A generator that an executor returns is nobody's to go through."""

    def program(sim: Any) -> None:
        with ThreadPoolExecutor(1) as pool, sim.storm() as storm:
            storm.spawn(pool.map, len, [""])

    assert explore(program, schedules=3).verdict == "holds"
