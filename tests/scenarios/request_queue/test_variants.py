"""Every row of the component has a variant, and no variant is wrong without its schedule."""

from collections.abc import Iterator
from types import ModuleType

import pytest

from harness.explore import Settings
from harness.scenario import Column, Scenario, row_of, run_cell, scenario_of
from scenarios.request_queue.asgi import broken as asgi_broken
from scenarios.request_queue.asgi import storms as asgi_storms
from scenarios.request_queue.history import broken as history_broken
from scenarios.request_queue.history import storms as history_storms
from scenarios.request_queue.timeout import broken as timeout_broken
from scenarios.request_queue.timeout import storms as timeout_storms
from scenarios.request_queue.wsgi import broken as wsgi_broken
from scenarios.request_queue.wsgi import storms as wsgi_storms

PARTS = [
    (asgi_storms, asgi_broken),
    (wsgi_storms, wsgi_broken),
    (timeout_storms, timeout_broken),
    (history_storms, history_broken),
]
TABLE = "Q0 Q1 Q2 Q3 Q4 Q6 Q7 Q8 Q9 Q11 Q12 Q13 Q16"
ROWS = [
    (asgi_broken, f"{TABLE} E1 E2 E3 E4 E5 R1 R2"),
    (wsgi_broken, f"{TABLE} E1 E2 E3 E4 E5 E6 E7 R1 R2"),
    (timeout_broken, "W1 W2 W3 W4 W5 W6 W7 W8 W9"),
    (history_broken, "C1 C2 C3 C4 C5 C6 C7 C8 C9 C10 C13"),
]


def variants(module: ModuleType) -> list[type]:
    """Return the classes that a broken.py defines."""
    own = [value for value in vars(module).values() if isinstance(value, type)]
    return [value for value in own if value.__module__ == module.__name__]


def scenarios(module: ModuleType) -> list[Scenario]:
    """Return the scenarios of a storms.py."""
    return [found for found in map(scenario_of, vars(module).values()) if found is not None]


@pytest.mark.parametrize(("broken", "rows"), ROWS)
def test_every_row_has_a_variant(broken: ModuleType, rows: str) -> None:
    """And beside the rows there is only the variant that is merely slow."""
    found = {row_of(variant) for variant in variants(broken)}

    assert found == {*rows.split(), None}
    assert [v.__name__ for v in variants(broken) if row_of(v) is None] == ["Serialised"]


@pytest.mark.parametrize(("storms", "broken"), PARTS)
def test_every_variant_is_caught_by_the_scenarios_that_its_docstring_names(
    storms: ModuleType, broken: ModuleType
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
    for storms, broken in PARTS:
        for variant in variants(broken):
            own = [each for each in scenarios(storms) if issubclass(variant, each.subject or type)]
            yield variant, sorted(own, key=lambda each: variant in each.catches)


@pytest.mark.parametrize(("variant", "own"), list(subjects()))
def test_a_variant_holds_on_some_plain_run(variant: type, own: list[Scenario]) -> None:
    """Each is wrong only under the schedule, fault or boundary that its row names."""
    plain = Settings(schedules=1)

    held = (run_cell(each, Column(variant), plain).verdict == "holds" for each in own)

    assert any(held)
