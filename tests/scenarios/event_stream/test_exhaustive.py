"""Where a wake-up could be lost: every order of two threads, or two tasks, and how many there are.

A claim of no lost wake-up is worth what was tried; here that is everything.
"""

from typing import Any

import pytest

from harness import explore
from harness.scenario import Column, Scenario, scenario_of
from scenarios.event_stream.aio import broken as aio_broken
from scenarios.event_stream.aio import storms as aio_storms
from scenarios.event_stream.aio.reference import Streamer as AsyncStreamer
from scenarios.event_stream.threads import broken, storms
from scenarios.event_stream.threads.reference import Streamer

pytestmark = pytest.mark.one_ground


def storm(function: object) -> Scenario:
    """Return what is run under its name."""
    found = scenario_of(function)
    assert found is not None
    return found


EVENT = storm(storms.event_may_come_at_any_moment)
CANCEL = storm(storms.cancel_may_come_at_any_moment)
AIO_EVENT = storm(aio_storms.event_may_come_at_any_moment)

# Storm, reference, the variant of its row, and how many traces there are.
CLAIMS: list[tuple[Scenario, type, type, int]] = [
    (EVENT, Streamer, broken.NotifyFirst, 2),
    (CANCEL, Streamer, broken.WakesWhoIsSeen, 4),
    (AIO_EVENT, AsyncStreamer, aio_broken.NotifyFirst, 2),
]
SEARCHES: list[dict[str, Any]] = [
    # One run of each trace, of accesses to what is shared.
    {"strategy": "exhaustive"},
    # Every order of the points, which are locks and waits then: nothing is left out as equal.
    {"strategy": "all", "granularity": "sync"},
]


@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: search["strategy"])
@pytest.mark.parametrize(
    ("claim", "reference", "variant", "traces"), CLAIMS, ids=["event", "cancel", "aio-event"]
)
def test_no_order_loses_a_wake_up(
    claim: Scenario, reference: type, variant: type, traces: int, search: dict[str, Any]
) -> None:
    """All have been run, and so many are different; a variant is caught among them."""
    held = explore(claim.program(Column(reference)), schedules=10_000, **search)
    caught = explore(claim.program(Column(variant)), schedules=10_000, **search)

    assert held.exhausted
    assert (held.verdict, len(held.met)) == ("holds", traces)
    assert caught.verdict == "Deadlock"
