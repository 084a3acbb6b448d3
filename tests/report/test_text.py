"""How places and accesses are called, whatever version of Python compiled them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from harness.explore import record
from harness.report.text import access, shown_place, shown_span
from harness.simulation import Simulation
from tests.programs import accesses

pytestmark = pytest.mark.one_ground


def accesses_of(function: Callable[[Any], None]) -> list[str]:
    """Return how the accesses that a function makes are called, in order."""

    def program(_: Simulation) -> None:
        function(accesses.Box() if function in accesses.WITH_BOX else [1, 2])

    sites = [event.site for event in record(program).history.events if event.site is not None]
    return [access(site) for site in sites if site.function == function.__name__]


@pytest.mark.parametrize(
    "function", [*accesses.WITH_BOX, *accesses.WITH_ITEMS], ids=lambda each: each.__name__
)
def test_an_access_is_called_as_its_source_writes_it(function: Callable[[Any], None]) -> None:
    """By what stands beside it in the program."""
    lines = inspect.getsource(function).splitlines()
    expected = [
        each.strip()
        for line in lines
        if "  # " in line and "noqa" not in line
        for each in line.partition("  # ")[2].split(" | ")
    ]

    assert accesses_of(function) == expected


def test_places_are_called_by_file_and_line() -> None:
    """One line, a span of one file, or from one place to another."""
    one, two, elsewhere = "/far/rates.py:3", "/far/rates.py:5", "/far/bank/__init__.py:1"

    assert shown_place(one) == "rates.py:3"
    assert shown_span([one, one]) == "rates.py:3"
    assert shown_span([one, elsewhere, two]) == "rates.py:3–5"  # noqa: RUF001 - a range
    assert shown_span([two, one]) == "from rates.py:5 to rates.py:3"
    assert shown_span([one, elsewhere]) == "from rates.py:3 to bank/__init__.py:1"
