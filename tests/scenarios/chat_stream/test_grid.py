"""The first rows of the grid: which seeds lose a message without the fix, and that they replay."""

import pytest

from harness import Settings, replay
from harness.scenario import run_cell, scenario_of
from scenarios.chat_stream.subscription import storms

pytestmark = pytest.mark.one_ground

SEEDS = 40
LOSING = 38


def test_forty_seeds_of_the_grid() -> None:
    """None fails on the reference; so many do on what was before, and the last of them replays."""
    grid = scenario_of(storms.out_of_order)
    assert grid is not None
    settings = Settings(seeds=(0, SEEDS))

    held = run_cell(grid, grid.column("Merge"), settings).exploration
    lost = run_cell(grid, grid.column("PreFix"), settings).exploration

    assert held is not None
    assert lost is not None
    assert (held.schedules, held.violating) == (SEEDS, 0)
    assert (lost.schedules, lost.violating) == (SEEDS, LOSING)
    assert {failure.check for failure in lost.failures} == {"Exactly"}
    assert replay(lost.failures[-1].token).verdict == "Exactly"
