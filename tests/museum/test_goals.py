"""A goal is about each row that it names: what is not found misses it, what is open stays open."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.museum.catalogue import EXHIBITS
from tests.museum.goals import EQUAL_TRACES, PUBLISHED_SURW, Goal, full_goals, judged, quick_goals
from tests.museum.results import (
    CAP,
    DEFAULT,
    MILLION,
    RAREST,
    SAMPLERS,
    SEEDS,
    SEEDS_AT_FIRST,
    STRATEGIES,
    TWIN,
    TWIN_UNDER_DEFAULT,
    counting,
    document,
    full_plan,
    quick_plan,
    rows,
    shrinking,
)
from tests.museum.running import EXHAUSTED, SHRINK, TRACES, Measurement, Outcome
from tests.museum.shrinking import Shrunk

Outcomes = dict[Measurement, Outcome]

BY_NAME = {exhibit.name: exhibit for exhibit in EXHIBITS}
CORE = [exhibit.name for exhibit in EXHIBITS if exhibit.core]
#: The columns that are no strategy.
BESIDE = (TRACES, EXHAUSTED, SHRINK)


def outcome(each: Measurement, first: int | None = 1, verdict: str = "") -> Outcome:
    """Return what a measurement comes to in a museum where everything is found at once."""
    exhibit = BY_NAME[each.name]
    found = None if each.twin or each.strategy in BESIDE else first
    traces = (exhibit.traces or 1) if each.strategy in (TRACES, EXHAUSTED) else None
    shrunk = (Shrunk(before=5, left=0, replays=9),) if each.strategy == SHRINK else ()
    said = verdict or ("holds" if found is None else exhibit.oracle[0])
    return Outcome(each, said, found, traces, 1, 0.1, shrunk)


def perfect() -> Outcomes:
    """Return a museum in which all is measured, and all is as it should be."""
    done: Outcomes = {}
    for plan in (full_plan, quick_plan):
        while missing := list(plan(done)):
            done.update({each: outcome(each) for each in missing})
    return done


def run(name: str, strategy: str, seed: int = 0) -> Measurement:
    """Return the measurement of a program from one seed."""
    if strategy in (TRACES, EXHAUSTED):
        return counting(name, strategy)
    return Measurement(name, False, strategy, seed, CAP)


def put(done: Outcomes, name: str, strategy: str, firsts: list[int | None]) -> None:
    """Let one strategy find one program so soon, seed by seed, and no other seed be run."""
    for seed in range(SEEDS):
        done.pop(run(name, strategy, seed), None)
    for seed, first in enumerate(firsts):
        each = run(name, strategy, seed)
        done[each] = outcome(each, first)


def goal(done: Outcomes, words: str, *, quick: bool = False) -> Goal:
    """Return the one goal with these words."""
    [found] = [each for each in (quick_goals if quick else full_goals)(done) if words in each.goal]
    return found


FOUND = "core programs found"
UNDER_DEFAULT = "2,000 schedules under the portfolio"
UNDER_EACH = "500 schedules under each single"
AS_THE_TABLE = "counted as the table counts"
BY_SEARCH = "counted by exhaustive search"
NAMED = "the point that is one too many"
SURW = "SURW within 2x"
BEST = "within 5x"
MEAN = "geometric mean"
LEFT = "depth - 1"
NO_DEPTH = "where no depth"
REPLAYS = "replays"


# --- reached, and not measured yet ----------------------------------------------------------------


def test_all_goals_are_reached_where_all_is_as_it_should_be() -> None:
    """Otherwise the other tests of this file would prove nothing."""
    done = perfect()

    assert {each.state for each in [*full_goals(done), *quick_goals(done)]} == {"reached"}


def test_what_is_not_measured_is_never_reached() -> None:
    """Nothing measured: each goal says of how many rows it knows nothing, which is all of them."""
    for each in [*full_goals({}), *quick_goals({})]:
        assert each.state == "not measured yet"
        left, whole = each.figure.partition("not measured yet: ")[2].split()[::2]
        assert left == whole != "0"


@pytest.mark.parametrize(
    ("missing", "left_open"),
    [
        # Seed 19 of the portfolio: what is known of the bug, and of how good the others are.
        (run("unawaited_shutdown", DEFAULT, SEEDS - 1), [FOUND, BEST, MEAN]),
        (run("finaliser_reentry", "random", SEEDS - 1), [BEST, MEAN]),
        (run("lock_of_two_loops", "preemption"), [BEST, MEAN]),
        (run("wronglock_3", "surw", SEEDS - 1), [SURW, BEST, MEAN]),
        (Measurement(RAREST, False, "surw", 0, MILLION), [SURW]),
        (Measurement("account", True, DEFAULT, 0, TWIN_UNDER_DEFAULT), [UNDER_DEFAULT]),
        (Measurement("safe_stack", True, "all", 0, TWIN), [UNDER_EACH]),
        (run("account", TRACES), [AS_THE_TABLE, NAMED]),
        (run("account", EXHAUSTED), [BY_SEARCH]),
        (shrinking(BY_NAME["account"]), [LEFT, REPLAYS]),
        (shrinking(BY_NAME["etcd_6857"]), [NO_DEPTH, REPLAYS]),
        (shrinking(BY_NAME["unawaited_shutdown"]), [REPLAYS]),
    ],
    ids=str,
)
def test_one_measurement_that_is_missing_leaves_a_goal_open(
    missing: Measurement, left_open: list[str]
) -> None:
    """It says so, with the number of rows, and no other goal changes."""
    done = perfect()
    before = list(full_goals(done))

    del done[missing]

    changed = [each for each in full_goals(done) if each not in before]
    assert [each.goal for each in changed] == [goal(done, words).goal for words in left_open]
    assert {each.state for each in changed} == {"not measured yet"}
    assert all("not measured yet: 1 of " in each.figure for each in changed)


def test_what_is_missed_is_missed_before_all_is_measured() -> None:
    """The rows that are open cannot make it good; the figure still says how many there are."""
    done: Outcomes = {}
    put(done, "account", DEFAULT, [4, None])

    found = goal(done, FOUND)

    assert found.state == "MISSED"
    assert (
        found.figure == f"0 of {len(CORE)}; not measured yet: {len(CORE) - 1} of {len(CORE)} rows"
    )
    assert found.missed == ("account: found from 1 of 2 seeds",)


def test_the_short_table_is_not_the_whole_one() -> None:
    """Five seeds and 500 schedules reach the goals of the one, and leave the other's open."""
    done: Outcomes = {each: outcome(each) for each in quick_plan({})}

    assert {each.state for each in quick_goals(done)} == {"reached"}
    assert goal(done, FOUND).state == goal(done, UNDER_DEFAULT).state == "not measured yet"
    assert {row[-1] for row in rows(done, (DEFAULT,), full=False)} == {"silent"}
    assert {row[-1] for row in rows(done, (DEFAULT,), full=True)} == {""}
    assert {each["twin_silent"] for each in document(done)} == {None}


def test_a_twin_that_was_not_run_under_all_strategies_is_silent_so_far() -> None:
    """The table says under how many it was; as data it is not silent yet."""
    done = perfect()
    del done[Measurement("account", True, "delay", 0, TWIN)]

    twins = {row[1]: row[-1] for row in rows(done, (DEFAULT,), full=True)}

    count = len(STRATEGIES)
    assert twins["account"] == f"silent, {count - 1} of {count}"
    assert {row["program"] for row in document(done) if row["twin_silent"] is None} == {"account"}


def test_as_many_rows_may_miss_as_are_allowed() -> None:
    """One more, and it is missed; those that miss are named either way."""
    some: dict[str, str | None] = {"a": "late", "b": "", "c": "", "d": ""}

    assert judged("to be quick", some, 1) == Goal("to be quick", "3 of 4", "reached", ("a: late",))
    assert judged("to be quick", some | {"b": "never"}, 1).state == "MISSED"
    assert judged("to be quick", some | {"b": None}, 1).state == "not measured yet"


# --- found, and silent ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["unawaited_shutdown", "reorder_50"])
@pytest.mark.parametrize(
    ("firsts", "said"),
    [
        ([7] * (SEEDS - 1) + [None], "found from 19 of 20 seeds"),
        ([None] * SEEDS_AT_FIRST, "found from 0 of 5 seeds"),
    ],
    ids=["one seed", "all seeds"],
)
def test_a_core_program_that_is_not_found_is_named(
    name: str, firsts: list[int | None], said: str
) -> None:
    """Also beyond the published table, and if all other seeds find it."""
    done = perfect()
    put(done, name, DEFAULT, firsts)

    found = goal(done, FOUND)

    assert (found.state, found.missed) == ("MISSED", (f"{name}: {said}",))
    assert found.figure == f"{len(CORE) - 1} of {len(CORE)}"


def test_another_bug_is_not_the_one_that_was_looked_for() -> None:
    """A livelock where two locks are taken crosswise: a miss of all that the row counts for."""
    done = perfect()
    for strategy in (DEFAULT, "surw"):
        each = run("deadlock01", strategy)
        done[each] = outcome(each, 1, "Livelock")

    for words in (FOUND, SURW, BEST, MEAN):
        assert any(
            said.startswith("deadlock01: found Livelock") for said in goal(done, words).missed
        )
    assert goal(done, FOUND).state == goal(done, BEST).state == goal(done, MEAN).state == "MISSED"


@pytest.mark.parametrize(
    ("strategy", "schedules", "words"),
    [(DEFAULT, TWIN_UNDER_DEFAULT, UNDER_DEFAULT), ("delay", TWIN, UNDER_EACH)],
)
@pytest.mark.parametrize("verdict", ["Deadlock", "inconclusive", "failed: MemoryError"])
def test_a_twin_that_does_not_hold_is_loud(
    strategy: str, schedules: int, words: str, verdict: str
) -> None:
    """Whatever it comes to instead."""
    done = perfect()
    each = Measurement(RAREST, True, strategy, 0, schedules)
    done[each] = outcome(each, None, verdict)

    assert goal(done, words).missed == (f"{RAREST}: loud under {strategy}",)
    assert goal(done, words).state == "MISSED"
    assert [row["twin_silent"] for row in document(done) if row["program"] == RAREST] == [False]


# --- traces ---------------------------------------------------------------------------------------


def _recount(done: Outcomes, names: list[str], counted: str, traces: int | None) -> None:
    for name in names:
        each = run(name, counted)
        done[each] = Outcome(each, "holds", None, traces, CAP, 0.1)


@pytest.mark.parametrize(("counted", "words"), [(TRACES, AS_THE_TABLE), (EXHAUSTED, BY_SEARCH)])
def test_forty_rows_must_have_the_published_traces(counted: str, words: str) -> None:
    """Whoever did not come to the end of them has other ones."""
    exact = [each.name for each in EXHIBITS if each.traces is not None]
    done = perfect()

    _recount(done, exact[EQUAL_TRACES:], counted, 12_345)
    assert goal(done, words).state == "reached"
    assert goal(done, words).figure == f"{EQUAL_TRACES} of {len(exact)}"

    _recount(done, exact[EQUAL_TRACES - 1 : EQUAL_TRACES], counted, None)
    assert goal(done, words).state == "MISSED"
    assert any("more than 20,000 runs for" in said for said in goal(done, words).missed)


def test_a_row_with_other_traces_must_say_which_point_differs() -> None:
    """`etcd_6857` says it; `account` does not, since it is equal."""
    done = perfect()

    _recount(done, ["etcd_6857"], TRACES, 1)
    assert goal(done, NAMED).state == "reached"

    _recount(done, ["account"], TRACES, 1)
    assert goal(done, NAMED).missed == ("account: 1 for 6: nobody has said why",)
    assert goal(done, NAMED).state == "MISSED"


def test_a_search_that_ends_runs_where_they_fail_has_a_reason_for_fewer() -> None:
    """Not for a program that only hangs, where nobody can go on anyway."""
    done = perfect()

    _recount(done, ["account", "carter01"], EXHAUSTED, 1)
    _recount(done, [each.name for each in EXHIBITS if each.traces][40:], EXHAUSTED, 12_345)

    missed = {said.split(":")[0]: said for said in goal(done, BY_SEARCH).missed}
    assert missed["account"].endswith(
        "a run ends where it fails, whatever the others had done by then"
    )
    assert missed["carter01"].endswith("nobody has said why")


# --- schedules to the first bug -------------------------------------------------------------------


def test_surw_misses_what_one_seed_misses() -> None:
    """The mean of the seeds that found it is no figure; the row counts, and is named."""
    done = perfect()
    put(done, "reorder_50", "surw", [5] * (SEEDS - 1) + [None])
    put(done, "twostage_50", "surw", [None] * SEEDS_AT_FIRST)

    found = goal(done, SURW)

    assert found.missed == (
        "reorder_50: found from 19 of 20 seeds",
        "twostage_50: found from 0 of 5 seeds",
    )
    assert found.state == "reached", "two of twenty may"
    each = Measurement(RAREST, False, "surw", 0, MILLION)
    done[each] = outcome(each, None)
    assert goal(done, SURW).state == "MISSED"
    assert goal(done, SURW).missed[-1] == ("safe_stack: not found in 1,000,000, published 368,921")
    assert goal(done, SURW).figure.startswith(f"17 of {len(PUBLISHED_SURW)} (")


def test_surw_is_slow_above_twice_the_published_mean() -> None:
    """Twice is still within; and what is found in less than half of it is told, not counted."""
    done = perfect()
    put(done, "reorder_3", "surw", [14] * SEEDS)
    put(done, "reorder_4", "surw", [15] * SEEDS)

    found = goal(done, SURW)

    assert found.missed == ("reorder_4: 15 for 7",)
    assert "bluetooth_driver 1 for 70" in found.figure
    assert "reorder_3" not in found.figure


@pytest.mark.parametrize("name", ["unawaited_shutdown", "fork_while_locked", "twostage_50"])
def test_the_portfolio_misses_what_it_does_not_find(name: str) -> None:
    """In every row of the museum, core or not, whether or not another finds it."""
    done = perfect()
    put(done, name, DEFAULT, [None] * SEEDS_AT_FIRST)
    for strategy in STRATEGIES:
        if strategy not in (DEFAULT, "pos"):
            put(done, name, strategy, [None] * (5 if strategy in SAMPLERS else 1))
    put(done, name, "pos", [12] * SEEDS)

    for words in (BEST, MEAN):
        found = goal(done, words)
        assert (found.state, found.missed) == (
            "MISSED",
            (f"{name}: not found in 10,000, 12 by pos",),
        )
    assert goal(done, MEAN).figure.startswith("more than ")

    put(done, name, "pos", [None] * SEEDS_AT_FIRST)
    assert goal(done, BEST).missed == (f"{name}: not found in 10,000, nor by any other",)
    assert goal(done, MEAN).state == "MISSED"


def test_the_portfolio_misses_what_most_seeds_miss() -> None:
    """Then there is no median, however soon the others find it."""
    done = perfect()
    put(done, "account", DEFAULT, [1] * 9 + [None] * 11)

    assert goal(done, BEST).missed == ("account: not found in 10,000, 1 by random",)


def test_the_portfolio_is_held_to_the_best_of_all_others() -> None:
    """Five times as many schedules are within, six are not; single searches are others, too."""
    done = perfect()
    for strategy in STRATEGIES:
        if strategy != DEFAULT:
            put(done, "peterson", strategy, [100] * (SEEDS if strategy in SAMPLERS else 1))
    put(done, "peterson", "delay", [10])
    put(done, "peterson", DEFAULT, [50] * SEEDS)
    assert goal(done, BEST).state == "reached"

    put(done, "peterson", DEFAULT, [60] * SEEDS)

    assert goal(done, BEST).missed == ("peterson: 6.0x: 60, 10 by delay",)
    assert goal(done, BEST).state == "MISSED"
    assert goal(done, MEAN).state == "reached"


def test_the_geometric_mean_is_over_every_row() -> None:
    """What only the portfolio finds counts as once, and makes up for no other row."""
    done = perfect()
    for name in BY_NAME:
        put(done, name, DEFAULT, [3] * SEEDS)
    assert goal(done, MEAN) == Goal(goal(done, MEAN).goal, "3.00", "MISSED")

    for strategy in STRATEGIES:
        if strategy != DEFAULT:
            put(done, "peterson", strategy, [None] * (5 if strategy in SAMPLERS else 1))

    count = len(BY_NAME) - 1
    assert goal(done, MEAN).figure == f"{3 ** ((count - 1) / count):.2f}"
    assert goal(done, MEAN).state == "MISSED"


# --- shrinking ------------------------------------------------------------------------------------


def _shrunk(done: Outcomes, name: str, *found: Shrunk) -> None:
    each = shrinking(BY_NAME[name])
    done[each] = Outcome(each, "Deadlock" if found else "holds", None, None, 1, 0.1, found)


@pytest.mark.parametrize("goals", [full_goals, quick_goals], ids=["full", "quick"])
@pytest.mark.parametrize(
    ("name", "found", "words", "said"),
    [
        # Of depth 2: the published table's bounded search finds it with two preemptions, not one.
        (
            "work_steal_queue",
            [Shrunk(15, 2, 9)] * 5,
            LEFT,
            "2 left, 1 allowed; bounded search finds it with no fewer than 2",
        ),
        # Of depth 1, where none may be left; the median counts.
        ("account", [Shrunk(9, 1, 9), Shrunk(9, 1, 9), Shrunk(9, 0, 9)], LEFT, "1 left, 0 allowed"),
        ("account", [], LEFT, "no failure was found to be shrunk"),
        ("etcd_6857", [Shrunk(3, 1, 9)], NO_DEPTH, "1 left, 0 allowed"),
        ("account", [Shrunk(9, 0, 9), Shrunk(9, 0, 61)], REPLAYS, "61 replays"),
        ("unawaited_shutdown", [], REPLAYS, "no failure was found to be shrunk"),
    ],
    ids=["more than allowed", "median", "nothing found", "no depth", "replays", "beyond the table"],
)
def test_what_is_left_of_a_failure_is_held_to_the_figure(
    goals: Callable[[Outcomes], list[Goal]],
    name: str,
    found: list[Shrunk],
    words: str,
    said: str,
) -> None:
    """In the short table as in the whole one; and the row says so in the table and in the data."""
    done = perfect()
    _shrunk(done, name, *found)

    [missed] = [each for each in goals(done) if words in each.goal]

    assert (missed.state, missed.missed) == ("MISSED", (f"{name}: {said}",))


def test_a_row_that_is_shrunk_too_little_says_so() -> None:
    """In the table, and in what is written."""
    done = perfect()
    _shrunk(done, "work_steal_queue", Shrunk(15, 2, 30), Shrunk(9, 2, 45))

    [row] = [row for row in rows(done, (DEFAULT,), full=True) if row[1] == "work_steal_queue"]
    [data] = [row for row in document(done) if row["program"] == "work_steal_queue"]

    assert row[-3:-1] == ["2 > 1 MISSED", "45"]
    assert data["shrunk"] == {
        "preemptions_before": [15, 9],
        "preemptions_left": [2, 2],
        "replays": [30, 45],
        "median_left": 2,
        "allowed": 1,
        "missed": True,
    }
