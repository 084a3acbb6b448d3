"""PCT hits a bug of depth d with at least its bound, and none of a greater depth."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from harness.search.pct import PCT
from harness.testing import Move, Script, Touch, play
from tests.museum.programs.classics_data import peterson
from tests.search.driving import chance, driving, first_violation, played

RUNS = 4_000
PADDING = 4


def needs(*turns: str) -> Script:
    """Make a script that fails if `turns` come in this order, and in any other does not.

    Two actors, each with a few events of its own before each of its turns and after the last.
    """

    def actors() -> Sequence[Iterator[Move]]:
        taken: list[str] = []

        def actor(name: str) -> Iterator[Move]:
            for _ in range(turns.count(name)):
                for number in range(PADDING):
                    yield Touch(f"{name}'s own {number}")
                yield Touch("turn")
                taken.append(name)
                assert tuple(taken) != turns, "all turns in the forbidden order"
            for number in range(PADDING):
                yield Touch(f"{name}'s own {number}")

        return actor("a"), actor("b")

    return actors


# Which orders a bug needs: one between the actors, then one switch more for each.
OF_DEPTH: dict[int, Script] = {
    1: needs("b", "a"),
    2: needs("a", "b", "a"),
    3: needs("a", "b", "a", "b"),
}


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_hit_rate_is_at_least_the_bound(depth: int) -> None:
    """In runs of PCT(d), a bug of depth d is hit in at least 1 / (n k^(d-1)) of them."""
    strategy = PCT(depth, seed=1)

    hits = sum(one.ran.violated for one in played(strategy, OF_DEPTH[depth], RUNS))
    [(runs, actors, decisions)] = strategy.pct.values()

    assert actors == 2
    assert decisions > PADDING
    assert RUNS - 50 <= runs <= RUNS, "all but those before the longest run was seen"
    if depth == 1:
        # The bound is the very chance: which of two goes first.
        assert chance(Counter(hit=hits, missed=RUNS - hits), 2) > 0.001
    else:
        assert hits / RUNS >= 1 / (actors * decisions ** (depth - 1))


@pytest.mark.parametrize(("depth", "needed"), [(1, 2), (1, 3), (2, 3)])
def test_too_small_a_depth_never_hits(depth: int, needed: int) -> None:
    """Without enough change points the order cannot come about."""
    hits = sum(one.ran.violated for one in played(PCT(depth, seed=1), OF_DEPTH[needed], RUNS))

    assert hits == 0


def test_depth_one_is_a_random_order_of_the_actors() -> None:
    """Without change points each actor runs to its end, and all orders come up."""

    def three() -> Sequence[Iterator[Move]]:
        return tuple(_twice(name) for name in "abc")

    orders = {tuple(thing for _, thing in one.order) for one in played(PCT(1, seed=1), three, 200)}

    assert orders == {
        tuple(name for name in order for _ in range(2)) for order in itertools.permutations("abc")
    }


def _twice(name: str) -> Iterator[Move]:
    yield Touch(name)
    yield Touch(name)


def test_peterson_with_its_writes_swapped_needs_depth_three() -> None:
    """PCT(2) misses it in every run; PCT(3) hits it."""
    with driving() as drive:
        missed = first_violation(drive(peterson, PCT(2, seed=1), 3_000))
        hit = first_violation(drive(peterson, PCT(3, seed=1), 3_000))

    assert missed is None
    assert hit is not None


def test_change_points_are_different_decisions() -> None:
    """Two change points at one decision would be one: with two decisions, both change."""
    strategy = PCT(3, seed=1)
    script: Script = OF_DEPTH[1]
    strategy.learn(play(script, strategy.tape(0)).ran)
    strategy.decisions_max = 2

    lowered = []
    for run in range(1, 50):
        tape = strategy.tape(run)
        play(script, tape)
        lowered.append(sum(rank < 0 for rank in strategy._ranks.values()))

    # Whoever is lowered first lets the other go on, who is lowered next: never one of them twice.
    assert set(lowered) == {2}


def test_the_bound_is_told_for_runs_that_knew_how_long_runs_are() -> None:
    """A run that drew its change points from fewer decisions is none of those counted."""
    lengths = iter([3, 9, 9, 5, 9, 20, 20])

    def script() -> Sequence[Iterator[Move]]:
        length = next(lengths)
        return _times("a", length), _times("b", length)

    strategy = PCT(2, seed=1)
    counted = []
    for one in played(strategy, script, 7):
        assert one.ran.complete
        counted.append(strategy.pct[2])

    assert [runs for runs, _, _ in counted] == _since_growth([k for _, _, k in counted])


def _times(name: str, length: int) -> Iterator[Move]:
    for _ in range(length):
        yield Touch(name)


def _since_growth(longest: Sequence[int]) -> list[int]:
    """Count, for each place, the equal values before it in a row."""
    return [
        len(list(itertools.takewhile(longest[place].__eq__, reversed(longest[:place]))))
        for place in range(len(longest))
    ]
