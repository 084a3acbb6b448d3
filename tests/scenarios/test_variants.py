"""Every row of a component has a variant, and no variant is wrong without its schedule."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness.explore import Settings, shared_ground
from harness.scenario import Column, Scenario, row_of, run_cell, scenario_of

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"

QUEUE = "Q0 Q1 Q2 Q3 Q4 Q6 Q7 Q8 Q9 Q11 Q12 Q13 Q16"

#: The rows of each part: its table's, what is latent in the original, its history, and invariants
#: that no row of a table breaks. What is left out stands in its broken.py, with the reason.
ROWS = {
    "chat_stream.hardened": "H1 H2 H3 H4 H5 H6",
    "chat_stream.promoter": "M15 L23865 L25022 L25644 A1 A2 P1",
    "chat_stream.subscription": (
        "M1 M1b M2 M3 M4 M6 M7 M8 M10 M11 M14 M16 L22571 L24031 L25145 O1 O2"
    ),
    "connection_lifecycle.admission": "B1 B2 B3 B4 B5 B6 B7 B8 B9 B10 B11 S6a S6b S6c S6d C1 C2 C3",
    "connection_lifecycle.history": "A19 A29 A36 A37 L589",
    "connection_lifecycle.attempts": "R0a R0b R1 R2 R3 R4 R5 R6 R7 R20",
    "connection_lifecycle.reader": (
        "R0a R0b R1 R4 R5 R6 R7 R9 R11 R12 R14 R15 R16 R17 R20 A1 A2 A12 A13 A14 A16"
    ),
    "connection_lifecycle.speed_test": (
        "T0 T1 T2 T3 T4 T5 T6 T9 T11 T13 S8a S8c S8d S8e S8f S8g C1 C2 C3"
    ),
    "connection_lifecycle.virtual_file": (
        "F0a F0b F0c F0d F1 F2 F4 F5 F6 F7 F9 F10 F11 F12 F13 F14 F16 F17 F19 F21 F22 "
        "S9a S9b S9c D1 D2 D3 D4 D5 A18 A32"
    ),
    "event_stream.aio": "M0b M0d M0e M0f M1 M2 M3 M4 M5 M8 M9 M11 M13 M15",
    "event_stream.history": "L2 L3 L4 L5 L6 L7 L8 L10 L12",
    "event_stream.threads": "M0a M0b M0c M0d M0f M1 M2 M3 M4 M5 M6 M7 M8 M9 M11 M13 M15 M17",
    "request_queue.asgi": f"{QUEUE} E1 E2 E3 E4 E5 R1 R2",
    "request_queue.history": "C1 C2 C3 C4 C5 C6 C7 C8 C9 C10 C13",
    "request_queue.timeout": "W1 W2 W3 W4 W5 W6 W7 W8 W9",
    "request_queue.wsgi": f"{QUEUE} E1 E2 E3 E4 E5 E6 E7 R1 R2 R3",
    # P0, J3 and J8 are levels of the original, L1 to L5 its later tests and history; J4, J6, J7 and
    # J9 break the invariant of that number.
    "worker_pool.pool": (
        "P0 P-M1 P-M2 P-M3 P-M4 P-M5 P-M6 P-M7 P-M8 P-M9 J3 J4 J6 J7 J8 J9 "
        "J-M1 J-M2 J-M4 J-M5 J-M6 J-M7 J-M8 "
        "J-M10 J-M11 J-M12 J-M13 J-M15 J-M16 J-M17 J-M19 J-M20 J-M21 J-M23 L1 L2 L3 L4 L5"
    ),
    "worker_pool.replicated_map": (
        "W0 W1 W2 W3 R-M1 R-M2 R-M3 R-M4 R-M5 R-M6 R-M9 R-M10 R-M12 R1 R3 R5 R6 R7 R8"
    ),
    "worker_pool.streams": (
        "K-M1 K-M2 K-M3 K-M4 K-M5 K-M6 K-M7 K-M8 K-M9 K-M10 A1 A2 A3 A4 S1 S2 S4 S5"
    ),
}
#: Their rows say that they always fail: each receive leaks, and each stop polls.
ALWAYS = {"LeakedWatcher", "PollsUntilStopped"}


def variants(part: str) -> list[type]:
    """Return the classes that the broken.py of a part defines."""
    module = import_module(f"scenarios.{part}.broken")
    own = [value for value in vars(module).values() if isinstance(value, type)]
    return [value for value in own if value.__module__ == module.__name__]


def storms(part: str) -> list[ModuleType]:
    """Return the modules of storms of a part."""
    folder = SCENARIOS.joinpath(*part.split("."))
    names = sorted(path.stem for path in folder.glob("storms*.py"))
    return [import_module(f"scenarios.{part}.{name}") for name in names]


def scenarios(part: str) -> list[Scenario]:
    """Return the scenarios of the storms of a part."""
    values = [value for module in storms(part) for value in vars(module).values()]
    return [found for found in map(scenario_of, values) if found is not None]


def test_every_part_is_known() -> None:
    """A folder with variants has its rows here."""
    found = {
        ".".join(path.parent.relative_to(SCENARIOS).parts) for path in SCENARIOS.rglob("broken.py")
    }

    assert found == set(ROWS)


@pytest.mark.parametrize("part", ROWS)
def test_every_row_has_a_variant(part: str) -> None:
    """And beside the rows there are only the variants that are merely slow."""
    found = {row_of(variant) for variant in variants(part)}
    slow = [variant.__name__ for variant in variants(part) if row_of(variant) is None]

    assert found == {*ROWS[part].split(), None}
    assert slow
    assert all(name.endswith("Serialised") for name in slow)


@pytest.mark.parametrize("part", ROWS)
def test_every_variant_is_caught_by_the_scenarios_that_its_docstring_names(part: str) -> None:
    """A name in the docstring is a scenario that lists the variant, by a check it names."""
    for variant in variants(part):
        caught = " ".join((variant.__doc__ or "").partition("Caught by:")[2].split())
        said = [found for found in scenarios(part) if found.name in caught]
        assert said, variant
        for found in said:
            checks = found.catches.get(variant, ())
            assert any(check in caught for check in checks), (variant, found.name)


@pytest.fixture(scope="module")
def ground() -> Iterator[None]:
    """Prepare once for all variants: that takes longer than a run."""
    with shared_ground():
        yield


def claims() -> Iterator[Any]:
    """Yield each variant that needs something unusual, with the scenarios of its subject."""
    for part in ROWS:
        for variant in variants(part):
            own = [each for each in scenarios(part) if issubclass(variant, each.subject or type)]
            # With a single scenario, the one that catches it, there is no other to hold in.
            if len(own) > 1 and variant.__name__ not in ALWAYS:
                # Where it is not caught it holds, most likely.
                own.sort(key=lambda each: variant in each.catches)
                yield pytest.param(variant, own, id=f"{part}.{variant.__name__}")


@pytest.mark.usefixtures("ground")
@pytest.mark.parametrize(("variant", "own"), list(claims()))
def test_a_variant_holds_on_some_plain_run(variant: type, own: list[Scenario]) -> None:
    """Each is wrong only under the schedule, fault or boundary that its row names."""
    plain = Settings(schedules=1)

    held = (run_cell(each, Column(variant), plain).verdict == "holds" for each in own)

    assert any(held)
