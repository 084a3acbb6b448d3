"""Shrinks some failures of one program: those of the random walk, or of SURW where it finds none.

It does not know how far they should be shrunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from harness.core.tape import Tape
from harness.search.known import make_strategy
from harness.search.shrink import shrink
from harness.search.strategy import Ran
from harness.trial import Trial, run
from harness.world.ground import Ground
from harness.world.here import whose_turn
from tests.museum.catalogue import Exhibit

#: How many failures of each program are shrunk.
FAILURES = 5


@dataclass(frozen=True, slots=True)
class Shrunk:
    """What one failure was shrunk to.

    Args:
        before: its preemptions: how often somebody was left who could have gone on.
        left: the preemptions of what it was shrunk to.
        replays: how many runs that took.
    """

    before: int
    left: int
    replays: int


def shrunk(exhibit: Exhibit, ground: Ground, schedules: int) -> tuple[str, int, list[Shrunk]]:
    """Find some failures of a program and shrink them.

    Returns:
        The verdict of the first, `holds` if there is none; how many runs each strategy had to find
        them in; and what came of each.
    """
    order = exhibit.settings.get("order", "tasks")

    def make(tape: Tape) -> Trial:
        return run(exhibit.program, tape, ground, order=order)

    make(Tape(lambda _options: 0))
    for strategy in ("random", "surw"):
        found = list(islice(_failures(make, strategy, schedules), FAILURES))
        if found:
            return found[0].verdict, schedules, [_shrunk(make, each) for each in found]
    return "holds", schedules, []


def _shrunk(make: Callable[[Tape], Trial], failure: Trial) -> Shrunk:
    done = shrink(make, failure, who=whose_turn)
    assert done is not None, "what is deterministic comes back"
    return Shrunk(done.before.preemptions, done.best.preemptions, done.replays)


def _failures(make: Callable[[Tape], Trial], name: str, schedules: int) -> Iterator[Trial]:
    strategy = make_strategy(name, 0)
    for index in range(schedules):
        tape = strategy.tape(index)
        assert tape is not None, "none of these strategies comes to an end"
        if tape.log is None:
            tape.log = []
        trial = make(tape)
        strategy.learn(Ran(trial.choices, trial.widths, tape.log, trial.points))
        # The plain run is as simple as a run can be.
        if trial.violation is not None and index:
            yield trial
