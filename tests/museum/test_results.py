"""What was measured is kept whatever ends a measurement, and the table says what was measured."""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

import pytest

from tests.museum import __main__ as command
from tests.museum.__main__ import KEPT_OF_ALL, RESULTS
from tests.museum.catalogue import EXHIBITS
from tests.museum.results import (
    CAP,
    DEFAULT,
    MILLION,
    RAREST,
    SEEDS,
    SEEDS_AT_FIRST,
    Cell,
    Kept,
    cell,
    full_plan,
    loud,
    quick_plan,
    shrinking,
)
from tests.museum.running import EXHAUSTED, SHRINK, TRACES, Measurement, Outcome, measured
from tests.museum.shrinking import Shrunk

FIRST = (DEFAULT, TRACES, EXHAUSTED, SHRINK)
ABBA = next(exhibit for exhibit in EXHIBITS if exhibit.name == "deadlock01")


def outcome(strategy: str, seed: int, first: int | None) -> Outcome:
    """Return what a measurement of the two locks might come to."""
    measurement = Measurement(ABBA.name, False, strategy, seed, CAP)
    verdict = "holds" if first is None else "Deadlock"
    return Outcome(measurement, verdict, first, None, first or CAP, 0.1)


def test_processes_measure_what_this_one_would() -> None:
    """Traces are counted beside explorations, in any order, by processes that share them."""
    wanted = [
        Measurement(ABBA.name, False, DEFAULT, 0, CAP),
        Measurement(ABBA.name, False, TRACES, 0, CAP),
        Measurement(ABBA.name, True, DEFAULT, 0, 20),
        Measurement("no such program", False, DEFAULT, 0, CAP),
        Measurement(ABBA.name, False, SHRINK, 0, 100),
        Measurement("lazy01", False, TRACES, 0, CAP),
        Measurement("lazy01", False, EXHAUSTED, 0, CAP),
    ]

    found = {each.measurement: each for each in measured(wanted, jobs=1)}

    assert [found[each].verdict for each in wanted[:3]] == ["Deadlock", "Deadlock", "holds"]
    assert found[wanted[1]].traces == ABBA.traces
    # What cannot be measured does not lose what can.
    assert found[wanted[3]].verdict.startswith("failed: KeyError")
    assert {each.left for each in found[wanted[4]].shrunk} == {1}
    # A run that fails ends early: exhaustive search leaves out what only others had done by then.
    assert found[wanted[5]].traces == 10
    assert found[wanted[6]].traces == 6


def test_a_line_that_was_cut_off_is_measured_again(tmp_path: Path) -> None:
    """All whole lines count, and what is added afterwards does not run into the torn one."""
    path = tmp_path / "museum.jsonl"
    kept = Kept(path, "sources")
    for seed in range(3):
        kept.add(outcome("surw", seed, 7))
    kept.close()
    path.write_bytes(path.read_bytes()[:-20])

    again = Kept(path, "sources")
    again.add(outcome("surw", 3, 7))
    again.close()

    seeds = {each.seed for each in Kept(path, "sources").done}
    assert seeds == {0, 1, 3}
    assert Kept(path, "other sources").done == {}


def test_a_strategy_that_misses_from_five_seeds_is_not_run_further() -> None:
    """One hit in the first five seeds asks for all twenty; none asks for no more."""
    missed = {
        each.measurement: each
        for seed in range(SEEDS_AT_FIRST)
        for each in [outcome("pos", seed, None)]
    }
    hit = missed | {outcome("pos", 4, 9).measurement: outcome("pos", 4, 9)}

    def left(done: dict[Measurement, Outcome]) -> int:
        return sum(
            (each.name, each.twin, each.strategy) == (ABBA.name, False, "pos")
            for each in full_plan(done)
        )

    assert left({}) == SEEDS_AT_FIRST
    assert left(missed) == 0
    assert left(hit) == SEEDS - SEEDS_AT_FIRST
    assert str(cell(ABBA, "pos", missed)) == "0/5"


def test_the_short_plan_leaves_nothing_out() -> None:
    """Every core program from five seeds, every twin, and every program whose failures shrink."""
    plan = list(quick_plan({}))

    programs = [each.name for each in plan if each.strategy == DEFAULT and not each.twin]
    assert {programs.count(each.name) for each in EXHIBITS if each.core} == {SEEDS_AT_FIRST}
    assert {each.name for each in plan if each.twin} == {each.name for each in EXHIBITS}
    shrunk = {each.name for each in plan if each.strategy == SHRINK}
    assert shrunk == {each.name for each in EXHIBITS} - {RAREST}


def test_what_says_most_is_measured_first() -> None:
    """The default and what is counted, then twins, SURW, others; of each kind the cheap first."""
    plan = list(full_plan({}))

    def kind(each: Measurement) -> str:
        if each.twin:
            return "twin"
        if each.schedules == MILLION:
            return "million"
        return "surw" if each.strategy == "surw" else "" if each.strategy in FIRST else "other"

    kinds = [kind for kind, _ in groupby(plan, kind)]
    assert kinds == ["", "twin", "surw", "other", "million"]
    others = [each for each in plan if kind(each) == "other"]
    assert others[0].name == "moby_25384", "always found, in two events"
    assert others[-1].name in ("reorder_50", "twostage_50"), "never found, by hundreds of events"


def test_what_was_shrunk_is_kept(tmp_path: Path) -> None:
    """As every other outcome: whoever reads it has the very same."""
    path = tmp_path / "museum.jsonl"
    each = Outcome(shrinking(ABBA), "Deadlock", None, None, 9, 0.1, (Shrunk(5, 1, 30),))
    kept = Kept(path, "sources")
    kept.add(each)
    kept.close()

    assert Kept(path, "sources").done == {each.measurement: each}


def test_a_median_counts_those_that_missed() -> None:
    """Who missed needed more than the cap; if most missed, there is no median."""
    assert Cell((4, None, 8)).median == 8
    assert Cell((4, None, None)).median is None
    assert Cell((4, 6)).median == 5
    assert str(Cell((4, None, 8))) == "8 (2/3)"


def test_a_verdict_that_should_not_be_is_shown() -> None:
    """A bug of another kind is not the one that was looked for, nor is a twin that fails silent."""
    wrong = Outcome(Measurement(ABBA.name, False, "pos", 0, CAP), "Livelock", 3, None, 3, 0.1)
    twin = Outcome(Measurement(ABBA.name, True, "pos", 0, 500), "Deadlock", 3, None, 3, 0.1)

    assert str(cell(ABBA, "pos", {wrong.measurement: wrong})) == "! Livelock"
    assert loud(ABBA, {twin.measurement: twin}) == ["pos"]


def test_the_whole_table_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was measured lies beside the table, not where a clone would not have it."""
    monkeypatch.setattr(command, "KEPT_OF_ALL", tmp_path / "measured.jsonl")
    monkeypatch.setattr(command, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(command, "ROOT", tmp_path)
    wanted = ["--full", "--only", ABBA.name, "--strategies", TRACES, "--jobs", "1"]
    monkeypatch.setattr(sys, "argv", ["museum", *wanted])

    codes = [command.main(), command.main()]

    measured_of = [line for line in capsys.readouterr().err.splitlines() if ABBA.name in line]
    assert codes == [1, 1]  # the other goals stay open
    assert len(measured_of) == 1
    assert len((tmp_path / "measured.jsonl").read_text("utf-8").splitlines()) == 1
    assert KEPT_OF_ALL.parent == RESULTS.parent
