"""Every row of the component has a variant, and none is wrong where its row does not say so."""

from collections.abc import Iterator
from types import ModuleType

import pytest

from harness.explore import Settings
from harness.scenario import Column, Scenario, row_of, run_cell, scenario_of
from scenarios.event_stream.aio import broken as aio_broken
from scenarios.event_stream.aio import storms as aio_storms
from scenarios.event_stream.history import broken as history_broken
from scenarios.event_stream.history import storms as history_storms
from scenarios.event_stream.threads import broken as threads_broken
from scenarios.event_stream.threads import storms as threads_storms

# The storms of each part, its variants and their rows; what is missing is named in its broken.py.
PARTS = [
    (
        threads_storms,
        threads_broken,
        "M0a M0b M0c M0d M1 M2 M3 M4 M5 M6 M7 M8 M9 M11 M13 M15 M17",
    ),
    (aio_storms, aio_broken, "M0d M0e M1 M2 M3 M4 M5 M8 M9 M11 M13 M15"),
    (history_storms, history_broken, "L2 L3 L4 L5 L6 L7 L8 L10 L12"),
]
# Their rows say that they always fail: each receive leaks, and each stop polls.
ALWAYS = {aio_broken.LeakedWatcher, history_broken.PollsUntilStopped}


def variants(module: ModuleType) -> list[type]:
    """Return the classes that a broken.py defines."""
    own = [value for value in vars(module).values() if isinstance(value, type)]
    return [value for value in own if value.__module__ == module.__name__]


def scenarios(module: ModuleType) -> list[Scenario]:
    """Return the scenarios of the storms of a part."""
    return [found for found in map(scenario_of, vars(module).values()) if found is not None]


@pytest.mark.parametrize(("broken", "rows"), [part[1:] for part in PARTS])
def test_every_row_has_a_variant(broken: ModuleType, rows: str) -> None:
    """And beside the rows there is only the variant that is merely slow."""
    found = {row_of(variant) for variant in variants(broken)}

    assert found == {*rows.split(), None}
    slow = [variant.__name__ for variant in variants(broken) if row_of(variant) is None]
    assert [name.endswith("Serialised") for name in slow] == [True]


@pytest.mark.parametrize(("storms", "broken"), [part[:2] for part in PARTS])
def test_every_variant_is_caught_by_the_scenarios_that_its_docstring_names(
    storms: ModuleType, broken: ModuleType
) -> None:
    """A name in the docstring is a scenario that lists the variant, by the check it names."""
    for variant in variants(broken):
        caught = " ".join((variant.__doc__ or "").partition("Caught by:")[2].split())
        said = [found for found in scenarios(storms) if found.name in caught]
        check = caught.partition("(")[2].partition(")")[0]
        assert said, variant
        for found in said:
            assert check in found.catches.get(variant, ()), (variant, found.name)


def claims() -> Iterator[tuple[type, list[Scenario]]]:
    """Yield each variant that needs something unusual, with the scenarios of its subject."""
    for storms, broken, _ in PARTS:
        for variant in variants(broken):
            own = [each for each in scenarios(storms) if issubclass(variant, each.subject or type)]
            # With a single scenario, the one that catches it, there is no other to hold in.
            if len(own) > 1 and variant not in ALWAYS:
                yield variant, own


@pytest.mark.parametrize(("variant", "own"), list(claims()))
def test_a_variant_holds_on_some_plain_run(variant: type, own: list[Scenario]) -> None:
    """Each is wrong only under the schedule, fault or boundary that its row names."""
    plain = Settings(schedules=1)

    held = (run_cell(each, Column(variant), plain).verdict == "holds" for each in own)

    assert any(held)
