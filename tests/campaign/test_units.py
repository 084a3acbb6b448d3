"""What a shard does follows from its cell alone, and the shards of a cell never meet."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from harness.campaign.units import SHARD, Unit, units_of
from harness.errors import HarnessError
from harness.explore import Settings
from harness.scenario import Scenario, find
from harness.search.random_walk import seed_of_run

COUNTING = Path(__file__).with_name("counting.py")


def counted() -> Scenario:
    """Return the scenario that most of these tests cut."""
    return find(f"{COUNTING}::counted")


def cut(schedules: int, strategy: str = "portfolio", seed: int = 0) -> list[Unit]:
    """Return the shards of the first cell."""
    this = counted()
    settings = Settings(schedules=schedules, strategy=strategy, seed=seed)
    return units_of(this, this.columns()[0], settings)


@pytest.mark.parametrize(
    ("schedules", "expected"),
    [
        (1, [("samplers", 1)]),
        (100, [("exhaustive", 25), ("samplers", 75)]),
        (480, [("exhaustive", 120), ("samplers", 240), ("samplers", 120)]),
        (1_920, [("exhaustive", 240), *[("samplers", 240)] * 7]),
    ],
)
def test_the_portfolio_is_one_exhaustive_shard_and_samplers(
    schedules: int, expected: list[tuple[str, int]]
) -> None:
    """Every schedule is in one shard, and exhaustive search is in one shard only."""
    assert [(unit.strategy, unit.schedules) for unit in cut(schedules)] == expected


@pytest.mark.parametrize("strategy", ["exhaustive", "all", "delay:1", "preemption", "plain"])
def test_a_search_that_sees_all_is_not_cut(strategy: str) -> None:
    """A second shard would see the same again."""
    [unit] = cut(1_000, strategy)

    assert (unit.strategy, unit.schedules) == (strategy, 1 if strategy == "plain" else 1_000)


@pytest.mark.parametrize("strategy", ["surw", "pct:3", "random"])
def test_a_sampler_is_cut_into_shards_of_itself(strategy: str) -> None:
    """All shards are of one size, but for what is left over."""
    units = cut(SHARD * 2 + 1, strategy)

    assert [unit.schedules for unit in units] == [SHARD, SHARD, 1]
    assert {unit.strategy for unit in units} == {strategy}


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
def test_no_two_shards_walk_from_one_seed(seed: int) -> None:
    """The seeds of all runs of a million schedules are apart, whatever the base seed."""
    units = cut(1_000_000, seed=seed)

    starts = sorted(seed_of_run(unit.seed, 1) for unit in units)
    assert sum(unit.schedules for unit in units) == 1_000_000
    assert all(second - first > SHARD for first, second in pairwise(starts))


def test_keys_tell_shards_apart_and_survive_json() -> None:
    """A key names scenario, class, shard, strategy and seeds, and a unit comes back as it was."""
    this = counted()
    settings = Settings(schedules=1_000)
    units = [unit for column in this.columns() for unit in units_of(this, column, settings)]
    units += units_of(this, this.columns()[0], settings, case="large")

    assert len({unit.key for unit in units}) == len(units) == 20
    assert units[1].key.endswith("counting.py::counted[Counter] 2/5 samplers@4294967296x240")
    assert units[-1].cell.endswith("counting.py::counted[Counter-large]")
    assert [Unit.from_json(json.loads(json.dumps(unit.to_json()))) for unit in units] == units


def test_seeds_one_by_one_are_not_cut() -> None:
    """There is nothing to cut: each seed is one walk already."""
    this = counted()

    with pytest.raises(HarnessError, match=r"seeds=\(0, 10\) cannot be cut into shards\. Leave it"):
        units_of(this, this.columns()[0], Settings(seeds=(0, 10)))
