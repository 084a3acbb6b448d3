"""Every row of the component has a variant, and no variant is wrong without its schedule."""

from collections.abc import Iterator
from types import ModuleType

import pytest

from harness.explore import Settings
from harness.scenario import Column, Scenario, row_of, run_cell, scenario_of
from scenarios.worker_pool.pool import broken as pool_broken
from scenarios.worker_pool.pool import storms as pool_storms
from scenarios.worker_pool.replicated_map import broken as map_broken
from scenarios.worker_pool.replicated_map import storms as map_storms
from scenarios.worker_pool.streams import broken as streams_broken
from scenarios.worker_pool.streams import storms as streams_storms

# The table's, the generations before the reference, and invariants that no row of the table breaks.
MAP_ROWS = "W0 W1 W2 W3 R-M1 R-M2 R-M3 R-M4 R-M5 R-M6 R-M9 R-M10 R-M12 R1 R3 R5 R6 R7"
# P0, J3 and J8 are levels of the original; all others are rows of the table.
POOL_ROWS = (
    "P0 P-M1 P-M2 P-M3 P-M4 P-M5 P-M6 P-M7 P-M8 P-M9 J3 J8 J-M1 J-M2 J-M4 J-M5 J-M6 J-M7 J-M8 "
    "J-M10 J-M11 J-M12 J-M13 J-M15 J-M16 J-M17 J-M19 J-M20 J-M21 J-M23"
)
# The table's, and invariants that no row of the table breaks.
STREAM_ROWS = "K-M1 K-M2 K-M3 K-M4 K-M5 K-M6 K-M7 K-M8 K-M9 K-M10 S1 S2 S4 S5"
# The storms of each part, its variants and their rows; one line for each part.
PARTS = [
    ([map_storms], map_broken, MAP_ROWS),
    ([pool_storms], pool_broken, POOL_ROWS),
    ([streams_storms], streams_broken, STREAM_ROWS),
]


def variants(module: ModuleType) -> list[type]:
    """Return the classes that a broken.py defines."""
    own = [value for value in vars(module).values() if isinstance(value, type)]
    return [value for value in own if value.__module__ == module.__name__]


def scenarios(modules: list[ModuleType]) -> list[Scenario]:
    """Return the scenarios of the storms of a part."""
    values = [value for module in modules for value in vars(module).values()]
    return [found for found in map(scenario_of, values) if found is not None]


@pytest.mark.parametrize(("broken", "rows"), [part[1:] for part in PARTS])
def test_every_row_has_a_variant(broken: ModuleType, rows: str) -> None:
    """And beside the rows there are only the variants that are merely slow."""
    found = {row_of(variant) for variant in variants(broken)}
    slow = [variant.__name__ for variant in variants(broken) if row_of(variant) is None]

    assert found == {*rows.split(), None}
    assert slow
    assert all(name.endswith("Serialised") for name in slow)


@pytest.mark.parametrize(("storms", "broken"), [part[:2] for part in PARTS])
def test_every_variant_is_caught_by_the_scenarios_that_its_docstring_names(
    storms: list[ModuleType], broken: ModuleType
) -> None:
    """A name in the docstring is a scenario that lists the variant."""
    for variant in variants(broken):
        caught = " ".join((variant.__doc__ or "").partition("Caught by:")[2].split())
        names = [found.name for found in scenarios(storms) if variant in found.catches]
        said = [found.name for found in scenarios(storms) if found.name in caught]
        assert said, variant
        assert set(said) <= set(names), variant


def subjects() -> Iterator[tuple[type, list[Scenario]]]:
    """Yield each variant with the scenarios of its subject."""
    for storms, broken, _ in PARTS:
        for variant in variants(broken):
            own = [each for each in scenarios(storms) if issubclass(variant, each.subject or type)]
            yield variant, own


@pytest.mark.parametrize(("variant", "own"), list(subjects()))
def test_a_variant_holds_on_some_plain_run(variant: type, own: list[Scenario]) -> None:
    """Each is wrong only under the schedule, fault or boundary that its row names."""
    plain = Settings(schedules=1)

    held = (run_cell(each, Column(variant), plain).verdict == "holds" for each in own)

    assert any(held)
