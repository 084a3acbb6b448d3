"""The verdict of a cell is made from all its shards, and is the same in any order of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.campaign.merge import Declared, Merged, merge
from harness.campaign.outcomes import Found, Outcome, not_run
from harness.campaign.units import Unit
from harness.errors import HarnessError

HOLDS = Declared("storms.py::cold_key", "SingleFlight")
CAUGHT = Declared("storms.py::cold_key", "CheckThenAct", ("MaxInFlight", "Calls"), "R1")


def shard(index: int, of: int = 3) -> Unit:
    """Return one shard."""
    return Unit("storms.py::cold_key", "SingleFlight", "samplers", index, 240, index, of)


def found(check: str, schedule: int = 1) -> Found:
    """Return one violating run."""
    return Found(check, f"{check} was violated", f"Violation: {check}", f"t1:{schedule}", schedule)


def holding(index: int, of: int = 3, **changed: object) -> Outcome:
    """Return what a shard comes to that met two traces, one of them its own."""
    outcome = Outcome(
        shard(index, of),
        "holds",
        schedules=240,
        traces={"surw": {1: 2, 100 + index: 1}},
        pct={2: (10, 3 + index, 20)},
        steps=7,
        virtual_ns=5,
        micros=3,
        fingerprint="abc",
        versions="cpython",
    )
    return replace(outcome, **changed)  # type: ignore[arg-type]  # fields, as the tests name them


def violating(index: int, *checks: str) -> Outcome:
    """Return what a shard comes to that violated these checks, a run each."""
    failures = tuple(found(check, 10 * index + number) for number, check in enumerate(checks))
    return holding(
        index, verdict=checks[0], violating=dict(Counter(checks)), failures=failures, schedules=9
    )


def of_three(declared: Declared, *outcomes: Outcome) -> Merged:
    """Merge what has been run of three shards."""
    return merge(declared, [shard(index) for index in range(3)], outcomes)


def test_shards_that_hold_are_one_search_that_holds() -> None:
    """Runs, steps, time and traces are summed over the shards."""
    cell = of_three(HOLDS, *(holding(index) for index in range(3)))

    assert cell.is_as_declared
    assert cell.explain() == ""
    assert cell.summary == "Holds (720 schedules)"
    assert (cell.steps, cell.virtual_seconds, cell.seconds) == (21, 15e-9, 9e-6)
    assert cell.worth.traces == {"surw": Counter({1: 6, 100: 1, 101: 1, 102: 1})}
    assert cell.worth.pct == {2: (30, 5, 20)}
    assert cell.worth_rows()[1][1].endswith("surw 33.3% of 9")


def test_one_violating_shard_fails_a_cell_that_must_hold() -> None:
    """The text is that of a cell which one search has made."""
    cell = of_three(HOLDS, holding(0), violating(1, "Calls"), holding(2))

    assert (cell.verdict, cell.is_as_declared) == ("Calls", False)
    assert cell.failure == found("Calls", 10)
    assert cell.explain() == (
        "storms.py::cold_key with SingleFlight: declared to hold, violated Calls on 1 of 489 "
        "schedules.\nViolation: Calls"
    )


def test_a_variant_is_caught_if_one_shard_catches_it() -> None:
    """By any of the declared checks; the others may hold."""
    cell = of_three(CAUGHT, holding(0), violating(1, "Calls", "Calls"), holding(2))

    assert (cell.verdict, cell.is_as_declared) == ("Calls", True)
    assert cell.violating == {"Calls": 2}


def test_a_variant_that_no_shard_catches_fails() -> None:
    """Each shard passes for itself; the cell does not."""
    outcomes = [holding(index) for index in range(3)]
    cell = of_three(CAUGHT, *outcomes)

    assert all(each.passes(CAUGHT.caught_by) for each in outcomes)
    assert cell.explain() == (
        "storms.py::cold_key with CheckThenAct: declared to be caught by MaxInFlight or Calls, "
        "held on 720 schedules."
    )


def test_an_undeclared_check_fails_its_shard_and_the_cell() -> None:
    """Also if a declared one is violated first."""
    outcome = violating(1, "Calls", "Deadlock")
    cell = of_three(CAUGHT, violating(0, "Calls"), outcome, holding(2))

    assert not outcome.passes(CAUGHT.caught_by)
    assert cell.verdict == "Deadlock"
    assert "declared to be caught by MaxInFlight or Calls, violated Deadlock." in cell.explain()


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ([1], "2 of 3 shards are missing."),
        ([0, 2], "1 of 3 shards is missing."),
        ([], "3 of 3 shards are missing."),
    ],
)
def test_a_missing_shard_is_no_pass(made: list[int], why: str) -> None:
    """Whatever the others came to."""
    for declared, outcomes in (
        (HOLDS, [holding(index) for index in made]),
        (CAUGHT, [violating(index, "Calls") for index in made]),
    ):
        cell = of_three(declared, *outcomes)

        assert not cell.is_as_declared
        assert cell.explain().endswith(why)
        assert cell.summary == f"Inconclusive: {why}"


def test_a_violation_is_told_although_shards_are_missing() -> None:
    """What was found is certain."""
    cell = of_three(HOLDS, violating(2, "Calls"))

    assert cell.verdict == "Calls"
    assert "2 of 3 shards are missing." in cell.explain()
    assert "violated Calls on 1 of 9 schedules." in cell.explain()


def test_a_shard_that_cannot_be_run_is_named() -> None:
    """With the reason, and the number of the others."""
    crashed = [not_run(shard(index), "it ended its process", is_crash=True) for index in (1, 2)]
    cell = of_three(HOLDS, holding(0), *crashed)

    assert (cell.verdict, cell.is_as_declared) == ("inconclusive", False)
    assert cell.explain().endswith("shard 2 of 3: it ended its process (and 1 more)")


def test_a_limit_that_is_hit_is_no_pass() -> None:
    """Unless the variant is caught elsewhere."""
    limited = holding(0, verdict="inconclusive", why_inconclusive="schedule 3 hit a limit")
    held = of_three(HOLDS, limited, holding(1), holding(2))
    caught = of_three(CAUGHT, limited, violating(1, "Calls"), holding(2))

    assert (held.verdict, held.is_as_declared) == ("inconclusive", False)
    assert held.summary == "Inconclusive: schedule 3 hit a limit"
    assert caught.is_as_declared


def test_a_stale_pin_fails_a_variant() -> None:
    """Although others catch it."""
    cell = of_three(CAUGHT, holding(0, stale_pins=("t1:old",)), violating(1, "Calls"), holding(2))

    assert not cell.is_as_declared
    assert "stale pin t1:old no longer violates MaxInFlight or Calls." in cell.explain()


def exhausted(met: tuple[int, ...]) -> Outcome:
    """Return what exhaustive search comes to that has seen all."""
    return holding(0, exhausted=len(met), met=met, traces={"exhaustive": dict.fromkeys(met, 1)})


def test_exhaustive_search_is_believed_if_no_other_shard_contradicts() -> None:
    """A trace that it has not met takes the claim back; so does too little to compare it with."""
    many = {"surw": {1: 200, 2: 40}}
    other = holding(1, traces=many), holding(2, traces=many)

    assert of_three(HOLDS, exhausted((1, 2)), *other).summary == "Holds (exhausted: 2 traces)"
    assert of_three(HOLDS, exhausted((1, 3)), *other).exhausted == 0
    unreduced = replace(exhausted((1, 2)), exhausts="schedule")
    assert of_three(HOLDS, unreduced, *other).summary == "Holds (exhausted: 2 schedules)"
    few = holding(1, traces={"surw": {1: 4}}), holding(2, traces={"surw": {1: 5}})
    assert of_three(HOLDS, exhausted((1, 2)), *few).exhausted == 0
    alone = replace(exhausted((1, 2)), unit=shard(0, 1))
    assert merge(HOLDS, [shard(0, 1)], [alone]).exhausted == 2


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"fingerprint": "abd"}, "is of other code (abd) than shard 1 (abc)"),
        ({"versions": "pypy"}, "is of other versions (pypy) than shard 1 (cpython)"),
    ],
)
def test_shards_of_different_code_are_not_counted_together(
    changed: dict[str, object], what: str
) -> None:
    """Also if the same shard was run twice."""
    for index in (0, 1):
        with pytest.raises(HarnessError) as caught:
            of_three(HOLDS, holding(0), holding(index, **changed))

        assert what in str(caught.value)
        assert "\n" not in str(caught.value)


OUTCOMES = st.lists(
    st.builds(
        lambda index, checks, problem, traces: (
            not_run(shard(index, 6), problem)
            if problem
            else replace(
                violating(index, *checks) if checks else holding(index),
                unit=shard(index, 6),
                traces={"surw": traces},
            )
        ),
        st.integers(0, 5),
        st.lists(st.sampled_from(["Calls", "Deadlock"]), max_size=3),
        st.sampled_from(["", "", "its worker died"]),
        st.dictionaries(st.integers(0, 5), st.integers(1, 9), max_size=4),
    ),
    max_size=6,
    unique_by=lambda outcome: outcome.unit.index,
)


@given(OUTCOMES, st.data())
def test_no_order_and_no_repetition_changes_what_is_merged(
    outcomes: list[Outcome], data: st.DataObject
) -> None:
    """However workers deal with the shards, and however often one is run again."""
    units = [shard(index, 6) for index in range(6)]
    again = data.draw(st.lists(st.sampled_from(outcomes), max_size=4)) if outcomes else []
    dealt = data.draw(st.permutations([*outcomes, *again]))

    for declared in (HOLDS, CAUGHT):
        once, dealt_out = merge(declared, units, outcomes), merge(declared, units[::-1], dealt)

        assert once == dealt_out
        assert once.explain() == dealt_out.explain()
        assert once.worth == dealt_out.worth
        runs = sum(sum(counts.values()) for each in outcomes for counts in each.traces.values())
        assert sum(counts.total() for counts in once.worth.traces.values()) == runs
