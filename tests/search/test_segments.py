"""A run taken apart into segments is the run, and what is left of the list is a run too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from harness.core.history import History
from harness.core.tape import replayed
from harness.explore import Settings, _prepared
from harness.search.random_walk import random_walk
from harness.search.segments import END, Follow, Repeat, Segment
from harness.trial import run
from tests.museum.programs import asyncio_and_mixed, classics_data, sctbench_a
from tests.programs import shrinkable

pytestmark = pytest.mark.one_ground

Program = Callable[[Any], Any]

PROGRAMS: Sequence[Program] = (
    shrinkable.lost_update,
    shrinkable.crossed_locks,
    shrinkable.unforgiven,
    sctbench_a.carter01,
    sctbench_a.fsbench,
    classics_data.peterson,
    asyncio_and_mixed.blocking_call_in_the_loop,
    asyncio_and_mixed.lock_of_two_loops,
    asyncio_and_mixed.lost_update_across_await,
)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_the_segments_of_a_run_describe_it(program: Program) -> None:
    """Taken apart, and put together again, it is the same run.

    Not always the same choices: in a loop's queue one turn may be had by several.
    """
    with _prepared(Settings(watchdog_seconds=20.0)) as ground:
        run(program, replayed(()), ground)
        for seed in range(1, 20):
            histories = [History(), History(), History()]
            found = run(program, random_walk(seed), ground, history=histories[0])

            apart = Repeat(found.choices)
            again = run(program, apart.tape, ground, history=histories[1])
            apart.finish()
            together = Follow(apart.segments, apart.draws)
            run(program, together.tape, ground, history=histories[2])

            assert again.choices == found.choices
            assert len({history.digest() for history in histories}) == 1


class Actor:
    """One who can be asked to go on."""

    def __init__(self, path: tuple[int, ...], points: int = 0) -> None:
        self.path = path
        self.points = points


def test_whoever_is_not_there_is_passed_over() -> None:
    """Where a list asks for what is not to be had, its next segment counts, then the default."""
    anna, ben, carl = Actor((1,), 3), Actor((2,)), Actor((3,))
    follow = Follow([Segment((9,), END), Segment((2,), (5, 0)), Segment((3,), END)], {})
    assert follow.tape.pick is not None

    chosen = [follow.tape.pick([anna, ben, carl], True)]
    ben.points = 4
    chosen.append(follow.tape.pick([ben, anna, carl], True))
    ben.points = 5
    chosen.append(follow.tape.pick([ben, anna, carl], True))
    chosen.append(follow.tape.pick([anna, ben], False))

    assert chosen == [1, 0, 2, 0]


def test_steps_are_counted_by_each_actor() -> None:
    """A segment ends where its actor was left, however often the others ran."""
    anna, ben = Actor((1,), 1), Actor((2,))
    repeat = Repeat([0, 1, 0])
    assert repeat.tape.pick is not None

    repeat.tape.pick([anna, ben], True)
    anna.points = 2
    repeat.tape.pick([anna, ben], True)
    ben.points = 1
    repeat.tape.pick([ben, anna], True)
    # Ben has ended, and Anna goes on alone until somebody else can.
    anna.points = 7
    repeat.tape.pick([anna, Actor((3,))], True)
    repeat.finish()

    assert repeat.segments == [
        Segment((1,), (2, 0), preempted=True),
        Segment((2,), (1, 1)),
        Segment((1,), END),
    ]


def test_other_choices_are_told_by_who_makes_them() -> None:
    """A fault is found again where its actor makes as many choices before it, whoever ran first."""
    anna, ben = Actor((1,)), Actor((2,))
    repeat = Repeat([0, 0, 1, 1, 4])
    assert repeat.tape.pick is not None
    repeat.tape.pick([anna, ben], False)
    repeat.tape.fault(2)
    repeat.tape.pick([anna, ben], True)
    repeat.tape.fault(2)
    repeat.tape.choose(5)

    follow = Follow([Segment((2,), END)], repeat.draws)
    assert follow.tape.pick is not None
    follow.tape.pick([anna, ben], False)
    answers = [follow.tape.fault(2), follow.tape.choose(5), follow.tape.choose(5)]

    assert repeat.draws == {(True, (2,), 0): 1, (False, (2,), 0): 4}
    assert answers == [1, 4, 0]


def test_a_choice_that_is_not_to_be_had_is_the_default() -> None:
    """A list may come from a run with more to choose from."""
    follow = Follow([], {(False, (), 0): 7})

    assert follow.tape.choose(3) == 0
    assert follow.draws == {}
