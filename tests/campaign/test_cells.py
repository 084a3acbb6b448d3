"""Cells that are run in processes come to what they come to here, in the same order."""

from __future__ import annotations

from concurrent.futures import Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest

from harness.campaign.cells import Ran, ran, side_by_side
from harness.explore import Settings
from harness.scenario import Column, Scenario, scenarios_in
from harness.scenario import load as loaded

COUNTING = Path(__file__).with_name("counting.py")

DEADLY = """
import os
from harness import scenario

@scenario
def before(sim):
    with sim.storm():
        pass

@scenario
def deadly(sim):
    os._exit(3)

@scenario
def after(sim):
    with sim.storm():
        pass
"""

SETTINGS = Settings(schedules=20)


def cells_in(path: Path) -> list[tuple[Scenario, Column]]:
    """Return all cells of a file."""
    return [(this, column) for this in scenarios_in(loaded(path)) for column in this.columns()]


def told(done: Ran) -> tuple[object, ...]:
    """Return all that one sees of a cell."""
    cell = done.cell
    exploration = cell.exploration
    return (
        cell.scenario.name,
        cell.column.name,
        cell.verdict,
        cell.problem,
        cell.explain(),
        cell.token,
        exploration and (exploration.schedules, exploration.steps, exploration.worth.traces),
    )


def test_results_and_their_order_are_those_of_one_process() -> None:
    """With fixtures that only pytest has, and with what is not simulated, too."""
    cells = cells_in(COUNTING)

    here = [told(ran(*cell, SETTINGS)) for cell in cells]
    there = [told(done) for done in side_by_side(cells, SETTINGS, 2)]

    assert there == here
    assert [bool(problem) for _, _, _, problem, *_ in here].count(True) == 2


def test_a_cell_that_ends_its_process_is_named_and_takes_no_other_with_it(tmp_path: Path) -> None:
    """Of a pool, everything under way is lost with one process: it is run again, alone."""
    path = tmp_path / "storms.py"
    path.write_text(DEADLY)

    before, deadly, after = side_by_side(cells_in(path), SETTINGS, 2)

    assert before.cell.verdict == after.cell.verdict == "holds"
    assert "deadly [] ends the process that runs it, also alone" in deadly.cell.problem


def test_what_was_run_by_then_survives_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what was to come later, and is there already."""
    cells = cells_in(COUNTING)[:3]

    def interrupted(_work: object, future: Future[object]) -> object:
        future.result()
        if future is not first[0]:
            raise KeyboardInterrupt
        return future.result()

    seen: list[tuple[object, ...]] = []
    first: list[Future[Any]] = []
    monkeypatch.setattr("harness.campaign.cells._result", interrupted)
    submit = ProcessPoolExecutor.submit

    def kept(self: ProcessPoolExecutor, *call: Any) -> Future[Any]:
        first.append(submit(self, *call))
        return first[-1]

    monkeypatch.setattr(ProcessPoolExecutor, "submit", kept)
    with pytest.raises(KeyboardInterrupt):
        for done in side_by_side(cells, SETTINGS, 1):
            seen.append(told(done))
            wait(first)

    assert seen == [told(ran(*cell, SETTINGS)) for cell in cells]
