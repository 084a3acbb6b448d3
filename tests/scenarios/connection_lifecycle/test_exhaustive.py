"""What a table says of every schedule, shown on every schedule: searches that come to an end.

The bounded close and the wake-ups of the reader (R14, R15) have too many orders for that, even with
two articles and a window of one; there it is the random search of the storms.
"""

from collections.abc import Callable

import pytest

from harness import Calls, Elapsed, Exploration, LeakBound, Simulation, explore
from harness.scenario import scenario_of
from scenarios.connection_lifecycle.film import Film
from scenarios.connection_lifecycle.history.broken import (
    DropsWhatWaits,
    LooksAtTheClosedFile,
    LooksThenTakes,
)
from scenarios.connection_lifecycle.history.storms import (
    hole_meets_a_close,
    speculation_takes_what_is_free,
)
from scenarios.connection_lifecycle.reader.broken import OffsetUnguarded
from scenarios.connection_lifecycle.reader.policy import Slice
from scenarios.connection_lifecycle.reader.reference import ClosedPipeError
from scenarios.connection_lifecycle.reader.storms import offset_may_be_asked_while_closing
from scenarios.connection_lifecycle.virtual_file.broken import (
    AsksBeforeTheLock,
    CloseWithoutInterrupt,
    FlagReadTooEarly,
    InterruptWaits,
    LateField,
    LeavesTheWorkers,
    UnregistersUnlocked,
)
from scenarios.connection_lifecycle.virtual_file.reference import VirtualFile
from scenarios.connection_lifecycle.virtual_file.storms import (
    Plain,
    at,
    closes_unregister_once,
    opened,
    seek_and_close_end,
)

pytestmark = pytest.mark.one_ground

Storm = Callable[[Simulation, type], None]


def reads_and_closes(sim: Simulation, cls: type[VirtualFile]) -> None:
    """Read at a place while the file is closed: bytes, or an error that says so (row F21)."""
    film = Film(1, 16)
    origin = sim.pool("origin", payload=film.bodies.__getitem__)
    file = opened(cls, film, origin, reader=Plain)

    with sim.storm(Calls(origin, at_most=1), Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(at, file, 4, 8)
        storm.spawn(file.close)

    error, _ = storm.errors()
    assert isinstance(error, ClosedPipeError | None)
    assert error is not None or storm.results()[0] == film.content[4:12]


def closes_beside_a_slow_read(sim: Simulation, cls: type[VirtualFile]) -> None:
    """Close a file that is read over a slow wire: both are over at that instant (row F19)."""
    film = Film(1, 16)
    origin = sim.pool("origin", latency=2.0, payload=film.bodies.__getitem__)
    file = opened(cls, film, origin, reader=Busy)

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(file.read, 16)
        storm.spawn(file.close)

    assert [type(error) for error in storm.errors()] == [ClosedPipeError, type(None)]


class Busy(Plain):
    """A reader that says whether it waits for the wire; one thread reads."""

    in_flight = 0

    def _article(self, piece: Slice) -> bytes:
        self.in_flight += 1
        try:
            return super()._article(piece)
        finally:
            self.in_flight -= 1


def searched(storm: Storm, cls: type) -> Exploration:
    """Search all schedules of a storm with a class, and stop at the first that fails."""
    found = scenario_of(storm)
    function = storm if found is None else found.function

    def run(sim: Simulation) -> None:
        function(sim, cls)

    return explore(run, strategy="exhaustive", schedules=5_000)


def subject_of(storm: Storm) -> type:
    """Return the reference that a storm is about."""
    found = scenario_of(storm)
    subject = VirtualFile if found is None else found.subject
    assert subject is not None
    return subject


CLAIMS: list[tuple[Storm, tuple[type, ...]]] = [
    (offset_may_be_asked_while_closing, (OffsetUnguarded,)),
    (closes_unregister_once, (UnregistersUnlocked,)),
    (seek_and_close_end, (LateField, LeavesTheWorkers)),
    (reads_and_closes, (AsksBeforeTheLock,)),
    (closes_beside_a_slow_read, (InterruptWaits, CloseWithoutInterrupt, FlagReadTooEarly)),
    (speculation_takes_what_is_free, (LooksThenTakes,)),
    (hole_meets_a_close, (LooksAtTheClosedFile, DropsWhatWaits)),
]
VARIANTS = [(storm, variant) for storm, variants in CLAIMS for variant in variants]


@pytest.mark.parametrize("storm", [storm for storm, _ in CLAIMS])
def test_a_reference_holds_on_every_schedule(storm: Storm) -> None:
    """The search comes to its end, and no schedule that there is has failed."""
    exploration = searched(storm, subject_of(storm))

    assert exploration.verdict == "holds"
    # More than one: there was something to choose.
    assert exploration.exhausted > 1


@pytest.mark.parametrize(("storm", "variant"), VARIANTS)
def test_a_variant_is_found_by_the_same_search(storm: Storm, variant: type) -> None:
    """What holds on every schedule says something only if a mistake would have been found."""
    assert searched(storm, variant).verdict != "holds"
