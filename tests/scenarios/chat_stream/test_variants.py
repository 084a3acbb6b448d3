"""Every row of the component has a variant, and no variant is wrong without its schedule."""

from collections.abc import Iterator
from types import ModuleType

import pytest

from harness.explore import Settings
from harness.scenario import Column, Scenario, row_of, run_cell, scenario_of
from scenarios.chat_stream.hardened import broken as hardened_broken
from scenarios.chat_stream.hardened import storms as hardened_storms
from scenarios.chat_stream.promoter import broken as promoter_broken
from scenarios.chat_stream.promoter import storms as promoter_storms
from scenarios.chat_stream.subscription import broken as subscription_broken
from scenarios.chat_stream.subscription import storms as subscription_storms
from scenarios.chat_stream.subscription import storms_model
from scenarios.chat_stream.subscription.broken import OverwritesEviction
from scenarios.chat_stream.subscription.merge import DurableCache
from scenarios.chat_stream.subscription.reference import ChatStream

PARTS = [
    ((subscription_storms, storms_model), subscription_broken),
    ((hardened_storms,), hardened_broken),
    ((promoter_storms,), promoter_broken),
]
ROWS = [
    "M1 M1b M2 M3 M4 M6 M7 M8 M10 M11 M14 M16 L22571 L24031 L25145",
    "H1 H2 H3 H4 H5 H6",
    "M15 L23865 L25022 L25644 A1 A2 P1",
]


def variants(module: ModuleType) -> list[type]:
    """Return the classes that a broken.py defines."""
    own = [value for value in vars(module).values() if isinstance(value, type)]
    return [value for value in own if value.__module__ == module.__name__]


def scenarios(modules: tuple[ModuleType, ...]) -> list[Scenario]:
    """Return the scenarios of the storms of a part."""
    found = [scenario_of(value) for module in modules for value in vars(module).values()]
    return [each for each in found if each is not None]


@pytest.mark.parametrize(
    ("broken", "rows"), [(broken, rows) for (_, broken), rows in zip(PARTS, ROWS, strict=True)]
)
def test_every_row_has_a_variant(broken: ModuleType, rows: str) -> None:
    """And beside the rows there is only the variant that is merely slow."""
    found = {row_of(variant) for variant in variants(broken)}

    assert found == {*rows.split(), None}
    assert [v.__name__ for v in variants(broken) if row_of(v) is None] == ["Serialised"]


@pytest.mark.parametrize(("storms", "broken"), PARTS)
def test_every_variant_is_caught_by_the_scenarios_that_its_docstring_names(
    storms: tuple[ModuleType, ...], broken: ModuleType
) -> None:
    """A name in the docstring is a scenario that lists the variant, by the check it names."""
    for variant in variants(broken):
        caught = " ".join((variant.__doc__ or "").partition("Caught by:")[2].split())
        listing = [found for found in scenarios(storms) if variant in found.catches]
        said = [found for found in scenarios(storms) if found.name in caught]
        assert said, variant
        assert {each.name for each in said} <= {each.name for each in listing}, variant
        for each in said:
            assert any(check in caught for check in each.catches[variant]), (variant, each.name)


def subjects() -> Iterator[tuple[type, list[Scenario]]]:
    """Yield each variant with the scenarios of its subject."""
    for storms, broken in PARTS:
        for variant in variants(broken):
            own = [each for each in scenarios(storms) if issubclass(variant, each.subject or type)]
            yield variant, own


@pytest.mark.parametrize(("variant", "own"), list(subjects()))
def test_a_variant_holds_on_some_plain_run(variant: type, own: list[Scenario]) -> None:
    """Each is wrong only under the schedule, fault or boundary that its row names."""
    plain = Settings(schedules=1)

    held = (run_cell(each, Column(variant), plain).verdict == "holds" for each in own)

    assert any(held)


class OverwritesOnly(ChatStream):
    """A stream whose cache claims too much, and which reads the database in any case."""

    def _new_cache(self) -> DurableCache:
        return OverwritesEviction(self._cache_size)


def test_a_cache_that_claims_too_much_is_harmless_where_the_database_is_always_read() -> None:
    """Why row M10 alone is caught in the cache only: no subscriber can tell."""
    storms = scenario_of(subscription_storms.evicted_messages_are_read)
    assert storms is not None

    cell = run_cell(storms, Column(OverwritesOnly), Settings(schedules=200))

    assert cell.verdict == "holds"
