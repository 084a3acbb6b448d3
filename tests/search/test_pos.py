"""POS: how one race went says nothing about the next, and what races with nobody is left alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from harness.core.access import READ, WRITE
from harness.search.pos import POS
from harness.testing import Move, Touch
from tests.search.driving import chance, chi_square_tail, played, touches

RUNS = 20_000
LEAST = 0.001


def first_two(modes: tuple[int, int]) -> Counter[tuple[int, ...]]:
    """Let two actors touch one thing twice each; count who makes the first two accesses.

    The two accesses that are decided on first race, if one writes; then what is left of them
    races with the next of whoever went first.
    """

    def actors() -> Sequence[Iterator[Move]]:
        return tuple(touches("ledger", "ledger", mode=mode) for mode in modes)

    return Counter(
        tuple(path[0] for path, _ in one.order[:2]) for one in played(POS(seed=1), actors, RUNS)
    )


@pytest.mark.parametrize("modes", [(WRITE, WRITE), (READ, WRITE)], ids=["writes", "read and write"])
def test_two_races_in_sequence_are_independent(modes: tuple[int, int]) -> None:
    """The four ways in which two races can end are equally likely."""
    counts = first_two(modes)

    assert len(counts) == 4
    assert chance(counts, 4) > LEAST


def test_two_reads_do_not_race() -> None:
    """Numbers are kept: who has gone first had a small number, so it is likelier to go again."""
    counts = first_two((READ, READ))

    # Three numbers of which the first is the smallest: the other actor's is the next in 1 of 3.
    again = counts[0, 0] + counts[1, 1]
    assert abs(again / RUNS - 2 / 3) < 0.01
    assert chance(counts, 4) < 1e-9


def test_what_races_with_nobody_keeps_its_number() -> None:
    """An event beside four of another actor comes j-th with chance 1 / (j (j + 1)), last with 1/5.

    A number c is the smallest for the first time at the j-th draw of the other with chance
    ∫ c^(j-1) (1 - c) dc; if it were drawn anew each time, the chances would be 1/2, 1/4, 1/8, ….
    """

    def actors() -> Sequence[Iterator[Move]]:
        return touches("bell"), touches("ledger", "ledger", "ledger", "ledger")

    places = Counter(one.order.index(((0,), "bell")) for one in played(POS(seed=1), actors, RUNS))

    expected = {**{j - 1: RUNS / (j * (j + 1)) for j in range(1, 5)}, 4: RUNS / 5}
    statistic = sum((places[place] - count) ** 2 / count for place, count in expected.items())
    assert chi_square_tail(statistic, 4) > LEAST


def test_a_race_for_one_thing_leaves_those_for_another_alone() -> None:
    """Two pairs race for a thing each; the number of one pair is not drawn anew for the other's."""

    def ledger() -> Iterator[Move]:
        yield Touch("ledger")
        yield Touch("ledger")

    def actors() -> Sequence[Iterator[Move]]:
        return ledger(), ledger(), touches("bell")

    places = Counter(one.order.index(((2,), "bell")) for one in played(POS(seed=1), actors, RUNS))

    # The bell keeps c; of the ledger's two numbers both are drawn anew at each step, until one
    # actor is left: chances ∫ (1-c)^2, ∫ (1-(1-c)^2) (1-c)^2, … as in the test above.
    assert abs(places[0] / RUNS - 1 / 3) < 0.01
    # Anew each time it would be 2/3 · 1/3 = 2/9; kept, it is 1/3 - 1/5 = 2/15.
    assert abs(places[1] / RUNS - 2 / 15) < 0.01
