"""Every row of the component has a variant, and no variant is wrong without its schedule."""

from collections.abc import Iterator
from types import ModuleType

import pytest

from harness.explore import Settings
from harness.scenario import Column, Scenario, row_of, run_cell, scenario_of
from scenarios.connection_lifecycle.admission import broken as admission_broken
from scenarios.connection_lifecycle.admission import storms as admission_storms
from scenarios.connection_lifecycle.admission import storms_async as admission_storms_async
from scenarios.connection_lifecycle.reader import broken as reader_broken
from scenarios.connection_lifecycle.reader import storms as reader_storms
from scenarios.connection_lifecycle.reader import storms_async as reader_storms_async
from scenarios.connection_lifecycle.speed_test import broken as speed_broken
from scenarios.connection_lifecycle.speed_test import storms as speed_storms
from scenarios.connection_lifecycle.speed_test import storms_async as speed_storms_async
from scenarios.connection_lifecycle.virtual_file import broken as file_broken
from scenarios.connection_lifecycle.virtual_file import storms as file_storms

READER_ROWS = "R0a R0b R1 R2 R3 R4 R5 R6 R7 R9 R11 R12 R14 R15 R16 R17 R20 A1 A2 A12 A13 A14 A16"
# The table's, the windows of section 4.5, what is latent in the original, and the history.
FILE_ROWS = (
    "F0a F0b F0c F0d F1 F2 F4 F5 F6 F7 F9 F10 F11 F12 F13 F14 F16 F17 F19 F21 F22 "
    "S9a S9b S9c D1 D2 D3 D4 D5 A18 A32"
)
# The tables', the other defects of the original, and the history.
SPEED_ROWS = "T0 T1 T2 T3 T4 T5 T6 T9 T11 T13 S8a S8c S8d S8e S8f S8g C1 C2 C3"
ADMISSION_ROWS = "B1 B2 B3 B4 B5 B6 B7 B8 B9 B10 B11 S6a S6b S6c S6d C1 C2 C3"
# The storms of each part, its variants and their rows; one line for each part.
PARTS = [
    ([reader_storms, reader_storms_async], reader_broken, READER_ROWS),
    ([file_storms], file_broken, FILE_ROWS),
    ([speed_storms, speed_storms_async], speed_broken, SPEED_ROWS),
    ([admission_storms, admission_storms_async], admission_broken, ADMISSION_ROWS),
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
