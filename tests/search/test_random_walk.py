"""A random walk goes every way with the same chance, and tosses faults of all rarities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from harness.search.random_walk import RandomWalk, numbers, random_walk, seed_of_run
from harness.testing import Ask, Move
from tests.search.driving import chance, played, touches

RUNS = 20_000
LEAST = 0.001


def test_each_who_can_go_on_is_as_likely_as_any_other() -> None:
    """The first of three actors to go, and the second of those left."""
    orders = Counter(
        tuple(path for path, _ in one.order)
        for one in played(RandomWalk(1), lambda: tuple(touches(name) for name in "abc"), RUNS)
    )

    assert chance(orders, 6) > LEAST


@pytest.mark.parametrize("options", [2, 3, 7, 1_000])
def test_a_choice_is_uniform(options: int) -> None:
    """Among few and among many."""
    below = numbers(1)
    counts = Counter(below(options) for _ in range(RUNS))

    assert set(counts) <= set(range(options))
    assert chance(counts, options) > LEAST


def test_the_first_run_is_the_plain_one() -> None:
    """It shows what fails without any unusual order."""
    tape = RandomWalk(seed=3).tape(0)

    assert [tape.choose(5) for _ in range(20)] == [0] * 20


def test_early_and_late_faults_both_get_their_turn() -> None:
    """Among a hundred possible faults, each is the first to strike in some runs."""

    def asking() -> Iterator[Move]:
        for _ in range(100):
            struck = yield Ask(2, is_fault=True)
            if struck:
                return

    firsts = Counter(
        len(one.ran.choices) for one in played(RandomWalk(1), lambda: (asking(),), RUNS)
    )

    assert all(firsts[place] for place in range(1, 101))
    assert firsts[1] > firsts[20] > firsts[80]


def test_runs_of_a_search_have_seeds_of_their_own() -> None:
    """No two runs of a search walk alike, and neighbouring seeds share no run after the first."""
    seeds = [seed_of_run(seed, run) for seed in range(50) for run in range(1, 50)]

    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**64 for seed in seeds)


def test_a_walk_is_the_same_in_every_version() -> None:
    """A seed is a promise: these are its first choices for ever."""
    tape = random_walk(2026)

    assert [tape.choose(10) for _ in range(12)] == [5, 5, 8, 1, 2, 6, 5, 7, 5, 7, 7, 7]
