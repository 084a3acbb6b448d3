"""The catalogue is whole, every twin is right, and what is easy to find is found by chance."""

from __future__ import annotations

import ast
import inspect
from collections import Counter
from collections.abc import Iterator

import pytest

from harness.explore import explore, shared_ground
from tests.museum.catalogue import EXHIBITS, TIMED, Exhibit, Timed
from tests.museum.programs import (
    asyncio_and_mixed,
    classics_data,
    classics_shutdown,
    classics_waiting,
    goker_channels,
    goker_locks,
    sctbench_a,
    sctbench_b,
    sctbench_c,
)

# The published table, sizes of one program under its one row, and the three rows beyond it.
ROWS = (
    *"A01 A02 A03 A04 A05 A06 A07 A08 A09 A10 A11 A12 A13 A14 A15 A16 A18 A19 A21 A22".split(),
    *"B01 B02 B03 B04 B06 B08 B09 B10 B11 B13".split(),
    *"C01 C02 C04 C05 C06 C08 C10 C11 C14 C15 C16 C17 C19 C20 C22 C23".split(),
    *"D01 D02 D04 D06 D07 D08 D09 D10".split(),
)
SIZES = {"A07": 3, "A12": 6, "A18": 3, "A19": 2}

EASY = [
    exhibit for exhibit in EXHIBITS if exhibit.core and (exhibit.published["random"] or 1_000) <= 20
]


def called(exhibit: Exhibit | Timed) -> str:
    """Return what an exhibit is called in the report."""
    return f"{exhibit.row}-{exhibit.name}"


@pytest.fixture(autouse=True, scope="module")
def one_ground() -> Iterator[None]:
    """Prepare once for all explorations of this file: preparing takes longer than most of them."""
    with shared_ground():
        yield


def test_every_row_of_the_table_has_its_programs() -> None:
    """Nothing is missing, nothing is there that is not in the table."""
    assert Counter(exhibit.row for exhibit in EXHIBITS) == {row: SIZES.get(row, 1) for row in ROWS}
    assert [timed.row for timed in TIMED] == ["T1", "T2", "T3", "T4", "T5"]


def test_every_program_hangs_once() -> None:
    """Names and programs are unique, and no twin stands for two."""
    names = [exhibit.name for exhibit in EXHIBITS] + [timed.name for timed in TIMED]
    programs = [each for exhibit in EXHIBITS for each in (exhibit.program, exhibit.fixed)]
    programs += [timed.program for timed in TIMED]

    assert len(set(names)) == len(names)
    assert len(set(programs)) == len(programs)


def test_no_program_is_left_in_a_room_unseen() -> None:
    """Every public function of a room is an exhibit or a twin."""
    rooms = (
        *(sctbench_a, sctbench_b, sctbench_c, classics_data, classics_shutdown, classics_waiting),
        *(goker_channels, goker_locks, asyncio_and_mixed),
    )
    public = {
        node.name
        for room in rooms
        for node in ast.parse(inspect.getsource(room)).body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name[0] != "_"
    }

    assert public == {
        each.__name__ for exhibit in EXHIBITS for each in (exhibit.program, exhibit.fixed)
    }


@pytest.mark.parametrize("exhibit", EXHIBITS, ids=called)
def test_a_fixed_twin_holds(exhibit: Exhibit) -> None:
    """The plain run and twenty random schedules of every twin hold."""
    exploration = explore(
        exhibit.fixed, schedules=21, seed=0, strategy="random", **exhibit.settings
    )

    exploration.raise_for_violation()
    assert exploration.schedules == 21


@pytest.mark.parametrize("exhibit", EASY, ids=called)
def test_the_random_walk_finds_what_is_easy(exhibit: Exhibit) -> None:
    """Where the published mean is at most 20, it takes at most 400, and the verdict is right."""
    exploration = explore(
        exhibit.program, schedules=400, seed=0, strategy="random", **exhibit.settings
    )

    assert exploration.verdict in exhibit.oracle
    assert {failure.check for failure in exploration.failures} <= set(exhibit.oracle)
