"""The table of interleavings: how many there are, and in how many each form of the merge fails."""

from functools import partial

import pytest

from harness import AsyncSimulation
from harness.explore import explore
from scenarios.chat_stream.messages import Message
from scenarios.chat_stream.subscription.broken import LookupFromLast, NothingDelivered, PreFix
from scenarios.chat_stream.subscription.merge import Merge
from scenarios.chat_stream.subscription.storms_model import EXPECTED, ROWS, emitted

pytestmark = pytest.mark.one_ground

EMPTY: tuple[Message, ...] = ()


class Outcomes:
    """What the subscriber got in each run."""

    def __init__(self, cls: type[Merge], rows: tuple[Message, ...], *, in_order: bool) -> None:
        self.runs: list[list[int]] = []
        self.cls, self.rows, self.in_order = cls, rows, in_order

    async def run(self, sim: AsyncSimulation) -> None:
        """Note what came; nothing is promised, so that no run is made twice."""
        got = await emitted(sim, self.cls, in_order=self.in_order, rows=self.rows)
        self.runs.append(got)

    @property
    def lost(self) -> int:
        """In how many runs something was lost."""
        return sum(set(run) != set(EXPECTED) for run in self.runs)

    @property
    def duplicated(self) -> int:
        """In how many runs something came twice."""
        return sum(len(set(run)) < len(run) for run in self.runs)

    @property
    def unsorted(self) -> int:
        """In how many runs something came after a higher id."""
        return sum(run != sorted(run) for run in self.runs)


def counted(cls: type[Merge], rows: tuple[Message, ...], *, in_order: bool) -> Outcomes:
    """Run every schedule once."""
    outcomes = Outcomes(cls, rows, in_order=in_order)

    async def program(sim: AsyncSimulation) -> None:
        await outcomes.run(sim)

    done = explore(program, strategy="all", schedules=1_000)
    # The first run settles the process, and is not one of them.
    del outcomes.runs[0]
    assert done.verdict == "holds"
    # All have been run; some are one trace, for it is not always seen that their order matters.
    assert done.exhausted
    assert done.schedules == len(outcomes.runs)
    return outcomes


FIFO, ANY = partial(counted, in_order=True), partial(counted, in_order=False)


@pytest.mark.parametrize(
    ("cls", "rows", "fifo", "reordered"),
    [
        # Lost, duplicated, out of id order.
        (PreFix, EMPTY, (36, 76, 76), (62, 213, 213)),
        (PreFix, ROWS, (36, 76, 76), (62, 213, 213)),
        (Merge, EMPTY, (0, 0, 106), (0, 0, 266)),
        (Merge, ROWS, (0, 0, 99), (0, 0, 256)),
        (NothingDelivered, EMPTY, (0, 135, 123), (0, 335, 321)),
        (NothingDelivered, ROWS, (0, 136, 136), (0, 336, 336)),
        (LookupFromLast, EMPTY, (52, 0, 76), (95, 0, 213)),
        (LookupFromLast, ROWS, (0, 0, 99), (0, 0, 256)),
    ],
)
def test_the_counts_of_the_table(
    cls: type[Merge],
    rows: tuple[Message, ...],
    fifo: tuple[int, int, int],
    reordered: tuple[int, int, int],
) -> None:
    """136 schedules if notifications keep their order, 336 if not, and in each cell its count."""
    in_order, any_order = FIFO(cls, rows), ANY(cls, rows)

    assert len(in_order.runs) == 136
    assert len(any_order.runs) == 336
    assert (in_order.lost, in_order.duplicated, in_order.unsorted) == fifo
    assert (any_order.lost, any_order.duplicated, any_order.unsorted) == reordered


def test_the_late_message_is_lost_whenever_anything_is() -> None:
    """The first version loses 6 in each of its 36 schedules; 5 too, where 7 overtakes both."""
    outcomes = FIFO(PreFix, EMPTY)

    lost = [tuple(sorted(set(EXPECTED) - set(run))) for run in outcomes.runs]
    assert sum(6 in each for each in lost) == 36
    assert set(lost) == {(), (6,), (5, 6)}
    assert [7] in outcomes.runs
