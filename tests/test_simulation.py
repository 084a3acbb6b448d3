"""What a scenario does wrong with its simulation is told, and never passes."""

from __future__ import annotations

import functools
from collections.abc import Callable
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


def returns_a_coroutine(sim: Any) -> Any:
    """As a decorator does that knows nothing of asyncio."""
    return ask(sim)


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
            (
                "'ask' returned <coroutine object ask>, which nobody awaits: nothing of it has "
                "run. Make the scenario a coroutine function, and storm by 'async with "
                "sim.storm(…)'."
            ),
        ),
        (spawns_what_makes_a_coroutine, "'asker' returned <coroutine object Bank.ask>, which "),
        (
            asks_for_results_of_a_coroutine_function,
            "'asker-1' returned <coroutine object Bank.ask>, which nobody awaits: ",
        ),
        (returns_a_coroutine, "the scenario returned <coroutine object ask>, which nobody awaits"),
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


def test_a_coroutine_that_has_begun_may_be_handed_on() -> None:
    """It is somebody's affair to go on with it."""

    def program(sim: Any) -> None:
        begun = ask_twice()
        begun.send(None)
        with sim.storm() as storm:
            storm.spawn(lambda: begun)
        storm.results()[0].close()

    assert explore(program, schedules=3).verdict == "holds"


class Twice:
    """Awaited, it stops once."""

    def __await__(self) -> Any:
        yield


async def ask_twice() -> None:
    """Stop in the middle."""
    await Twice()
