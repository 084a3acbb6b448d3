"""What a green run is worth is computed rightly, and agrees with what further runs show."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from harness.core.kernel import Limits
from harness.errors import HarnessError
from harness.explore import explore
from harness.search.known import make_strategy
from harness.search.pct import PCT
from harness.search.worth import Worth
from tests.museum.catalogue import EXHIBITS
from tests.programs import lost_wake_ups
from tests.search.driving import Driver, driving, played, touches

PROGRAMS = {exhibit.name: exhibit.program for exhibit in EXHIBITS}


# --- against further runs -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drive() -> Iterator[Driver]:
    """Prepare once what programs run on."""
    with driving() as driver:
        yield driver


@pytest.mark.parametrize("sampler", ["random", "pos", "urw", "surw"])
@pytest.mark.parametrize(
    "program", ["reorder_4", "sigma_4", "circular_buffer", "async_appender", "twostage"]
)
def test_predicted_and_measured_unseen_mass_agree(
    program: str, sampler: str, drive: Driver
) -> None:
    """After a thousand runs, the share of as many further ones with a new trace is within 0.05."""
    worth, strategy, runs, further = Worth(), make_strategy(sampler, 1), 1_000, 1_000
    traces = [one.trace for one in drive(PROGRAMS[program], strategy, runs + further)]

    for trace in traces[:runs]:
        assert trace is not None, "no run of these is given up"
        worth.add(sampler, trace)
    new = sum(trace not in worth.traces[sampler] for trace in traces[runs:])

    assert worth.unseen(sampler) == pytest.approx(new / further, abs=0.05)


# --- by hand --------------------------------------------------------------------------------------


def test_the_unseen_mass_is_the_share_of_traces_seen_once() -> None:
    """Four of seven runs show a trace that no other shows."""
    worth = Worth()
    for trace in (1, 2, 3, 3, 3, 4, 5):
        worth.add("urw", trace)

    assert worth.unseen("urw") == 4 / 7
    assert worth.distinct() == 5
    assert worth.rows() == [
        ("traces", "5 distinct"),
        ("unseen", "at most, for the next run: urw 57.1% of 7"),
    ]


def test_each_sampler_has_an_estimate_of_its_own() -> None:
    """Traces are counted once for all, unseen mass for each; who learns from runs has none."""
    worth = Worth()
    for sampler, trace in (("urw", 1), ("urw", 1), ("pos", 1), ("exhaustive", 2), ("plain", 3)):
        worth.add(sampler, trace)

    assert worth.distinct() == 3
    assert worth.samplers() == ["pos", "urw"]
    assert worth.rows()[1][1] == "at most, for the next run: pos 100.0% of 1, urw 0.0% of 2"


def test_merging_is_exact() -> None:
    """Whatever is split among workers adds up to what one would have counted."""
    traces = [("urw", 1), ("urw", 2), ("pos", 2), ("urw", 1), ("pos", 3), ("pos", 3), ("surw", 4)]
    whole = Worth()
    for sampler, trace in traces:
        whole.add(sampler, trace)

    for cut in range(len(traces) + 1):
        left, right = Worth(), Worth()
        for place, (sampler, trace) in enumerate(traces):
            (left if place < cut else right).add(sampler, trace)
        kept = {sampler: Counter(counts) for sampler, counts in right.traces.items()}
        left.merge(right)

        assert left == whole
        assert right.traces == kept, "what is merged is left alone"
        left.add("surw", 5)
        assert right.traces == kept


def test_merging_bounds_takes_all_runs_and_the_worst_figures() -> None:
    """Runs add up; actors and decisions are the most that anybody saw."""
    left = Worth(pct={2: (10, 2, 30), 3: (4, 2, 30)})
    left.merge(Worth(pct={2: (5, 3, 20), 1: (1, 3, 20)}))

    assert left.pct == {1: (1, 3, 20), 2: (15, 3, 30), 3: (4, 2, 30)}


def test_the_bound_of_pct_by_hand() -> None:
    """With n = 2 and k = 3 a run of PCT(2) hits with 1/6, one of PCT(3) with 1/18."""
    worth = Worth(traces={"pct:2": Counter({1: 15})}, pct={2: (10, 2, 3), 3: (5, 2, 3)})

    both = (5 / 6) ** 10 * (17 / 18) ** 5
    assert worth.missed(1) == (pytest.approx(both), 15)
    assert worth.missed(2) == (pytest.approx(both), 15)
    assert worth.missed(3) == (pytest.approx((17 / 18) ** 5), 5)
    assert worth.missed(4) == (1.0, 0)
    rows = dict(worth.rows())
    assert rows["depth 2"] == (
        "a bug that needs 2 ordering constraints was missed with a chance of at most 12.2% "
        "(10 runs of PCT(2), n = 2, k = 3; 5 runs of PCT(3), n = 2, k = 3)"
    )
    assert rows["depth 1"].startswith("a bug that needs 1 ordering constraint was missed")
    assert rows["depth 3"].endswith("at most 75.2% (5 runs of PCT(3), n = 2, k = 3)")


def test_a_bound_is_never_rounded_to_nothing() -> None:
    """After ten thousand runs it is still not impossible."""
    worth = Worth(traces={"pct:1": Counter({1: 100})}, pct={1: (100, 2, 3)})

    assert worth.missed(1)[0] > 0
    assert "with a chance of at most 0.1% (100 runs" in dict(worth.rows())["depth 1"]


def test_a_bound_holds_for_what_pct_measured() -> None:
    """The bound of a real search: more of its runs hit than the bound says would have missed."""
    strategy = PCT(2, seed=1)
    for _ in played(strategy, lambda: (touches(*"abc"), touches(*"xyz")), 101):
        pass

    worth = Worth(traces={"pct:2": Counter({1: 1})}, pct=strategy.pct)
    [(runs, actors, decisions)] = strategy.pct.values()

    assert (actors, decisions) == (2, 5)
    assert worth.missed(2) == (pytest.approx((1 - 1 / (2 * 5)) ** runs), runs)


def test_nothing_seen_is_worth_nothing() -> None:
    """No runs, no rows."""
    assert Worth().rows() == []
    assert Worth().distinct() == 0


# --- in a verdict ---------------------------------------------------------------------------------


def spin(sim: Any) -> None:
    """A thread that goes on for longer than it is given."""
    box = [0]

    def count() -> None:
        for number in range(1_000):
            box[0] = number

    thread = threading.Thread(target=count)
    thread.start()
    thread.join()


def test_a_summary_has_four_forms() -> None:
    """Exhausted, sampled, violated, and not known: a limit that is hit is no pass."""
    exhausted = explore(lost_wake_ups.flag_inside_the_lock)
    sampled = explore(lost_wake_ups.flag_inside_the_lock, strategy="urw", schedules=7)
    violated = explore(lost_wake_ups.flag_outside_the_lock)
    unknown = explore(spin, limits=Limits(total_steps=500), schedules=3)

    assert exhausted.summary == f"Holds (exhausted: {exhausted.exhausted} traces)"
    assert exhausted.exhausted > 1
    assert sampled.summary == "Holds (7 schedules)"
    assert violated.summary == "Violation: Deadlock"
    assert unknown.summary == "Inconclusive: schedule 1 hit the limit 'total_steps'"
    assert explore(lost_wake_ups.flag_inside_the_lock, strategy="plain").summary == (
        "Holds (1 schedule)"
    )


def each_has_a_lock(sim: Any) -> None:
    """Two threads that have nothing to do with each other."""

    def work() -> None:
        lock = threading.Lock()
        with lock:
            lock.locked()

    with sim.storm() as storm:
        storm.spawn(work, copies=2)


@pytest.mark.parametrize(
    "settings",
    [
        {"strategy": "all"},
        {"strategy": "exhaustive", "granularity": "sync"},
        {"strategy": "exhaustive", "timeouts": "race"},
    ],
    ids=lambda settings: next(reversed(settings.values())),
)
def test_where_nothing_is_left_out_schedules_are_counted(settings: dict[str, Any]) -> None:
    """So many were run: two that differ in what makes no difference are two, and one trace."""
    found = explore(each_has_a_lock, schedules=1_000, **settings)

    assert explore(each_has_a_lock).summary == "Holds (exhausted: 1 trace)"
    assert found.summary == f"Holds (exhausted: {found.schedules} schedules)"
    assert found.exhausted > 1


def test_what_is_not_known_does_not_pass() -> None:
    """Nor is it a violation."""
    exploration = explore(spin, limits=Limits(total_steps=500), schedules=3)

    with pytest.raises(HarnessError, match="A limit that is hit is no pass"):
        exploration.raise_for_violation()
    assert exploration.verdict == "inconclusive"


@pytest.mark.parametrize("strategy", ["pct:1", "pct:2", "pct:3"])
def test_pct_alone_tells_its_bound(strategy: str) -> None:
    """For its own depth and all below, with n and k as measured."""
    exploration = explore(lost_wake_ups.notify_all, strategy=strategy, schedules=60)

    depth = int(strategy[-1])
    rows = dict(exploration.worth.rows())
    assert [label for label in rows if label.startswith("depth")] == [
        f"depth {each}" for each in range(1, depth + 1)
    ]
    assert f"runs of PCT({depth}), n = 5, k = " in rows[f"depth {depth}"]
