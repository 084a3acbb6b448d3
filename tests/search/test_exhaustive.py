"""Exhaustive search: one run of each trace, none missed, and nothing called correct that is not."""

from __future__ import annotations

import json
import math
import string
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from harness.core.access import ACQUIRE, READ, RELEASE
from harness.explore import explore
from harness.search.every import Every
from harness.search.exhaustive import MAX_WIDTH, Exhaustive
from harness.search.happens_before import trace_of
from harness.search.known import make_strategy
from harness.search.random_walk import RandomWalk
from harness.testing import SCRIPTS, Ask, Move, Script, Touch
from tests.museum.catalogue import EXHIBITS, Exhibit
from tests.programs import made_at_import
from tests.search import programs
from tests.search.driving import Driver, driving, played, reads, touches

BY_NAME = {exhibit.name: exhibit for exhibit in EXHIBITS}
SAMPLERS = ("random", "pos", "urw", "surw")

# --- scripts whose traces can be counted by hand --------------------------------------------------


def _two_writers_and_a_reader() -> Sequence[Iterator[Move]]:
    return touches("ledger"), touches("ledger"), reads("ledger")


def _sections(count: int) -> Script:
    def section() -> Iterator[Move]:
        yield Touch("desk", ACQUIRE)
        yield Touch("ledger", READ)
        yield Touch("ledger")
        yield Touch("desk", RELEASE)

    return lambda: [section() for _ in range(count)]


COUNTED: dict[str, tuple[Script, int]] = {
    "nothing shared": (lambda: (touches(*"abc"), touches(*"vwxyz")), 1),
    "readers only": (lambda: [reads("ledger", "ledger") for _ in range(4)], 1),
    "three writers": (lambda: [touches("ledger") for _ in range(3)], 6),
    "two writers, one reader": (_two_writers_and_a_reader, 6),
    # A reader sees one of five states: nothing, or the work of the writers so far.
    "one writer, four readers": (
        lambda: [touches("ledger"), *(reads("ledger") for _ in range(4))],
        2**4,
    ),
    "three and five writes": (
        lambda: (touches(*["ledger"] * 3), touches(*["ledger"] * 5)),
        math.comb(8, 3),
    ),
    "two pairs": (lambda: [touches(thing) for thing in ("a", "a", "b", "b")], 4),
    "three critical sections": (_sections(3), 6),
}


@pytest.mark.parametrize("name", COUNTED)
def test_a_script_has_as_many_traces_as_by_hand(name: str) -> None:
    """Each is run once; and among all interleavings there are no others."""
    script, count = COUNTED[name]
    exhaustive, every = Exhaustive(), Every()

    runs = [one for one in played(exhaustive, script, 10_000) if one.ran.complete]
    interleavings = list(played(every, script, 10_000))

    assert len(exhaustive.traces) == len(runs) == count
    assert {trace_of(one.ran.log) for one in runs} == every.traces
    assert len(interleavings) >= count
    assert not exhaustive.incomplete


def test_every_interleaving_is_tried_without_reduction() -> None:
    """Three and five events that have nothing to do with each other: all 56, each once."""
    runs = list(played(Every(), COUNTED["nothing shared"][0], 10_000))

    assert len(runs) == len({one.order for one in runs}) == math.comb(8, 3)


@pytest.mark.parametrize("name", [name for name in SCRIPTS if name not in ("asking", "endless")])
def test_no_sampler_sees_more_of_a_script(name: str) -> None:
    """Traces of runs that hold, and whether any violates, are those of all interleavings."""
    exhaustive = Exhaustive()
    runs = list(played(exhaustive, SCRIPTS[name], 50_000))
    walks = list(played(RandomWalk(1), SCRIPTS[name], 500))

    held = {trace_of(one.ran.log) for one in runs if one.ran.complete and not one.ran.violated}
    seen = {trace_of(one.ran.log) for one in walks if one.ran.complete and not one.ran.violated}
    assert len(runs) < 50_000
    assert seen <= held
    assert any(one.ran.violated for one in walks) == any(one.ran.violated for one in runs)


def test_faults_and_ties_are_all_tried() -> None:
    """Choices that are not about who goes on: all combinations of their answers."""

    def ask() -> Iterator[Move]:
        yield Ask(2, is_fault=True)
        yield Ask(3)

    exhaustive = Exhaustive()
    runs = [tuple(one.ran.choices) for one in played(exhaustive, lambda: (ask(),), 100)]

    assert sorted(runs) == [(fault, tie) for fault in range(2) for tie in range(3)]
    assert not exhaustive.incomplete


def test_what_is_not_tried_is_admitted() -> None:
    """A choice among very many is not taken apart, and then nothing has been exhausted."""

    def ask() -> Iterator[Move]:
        yield Ask(MAX_WIDTH + 1)

    exhaustive = Exhaustive()
    runs = list(played(exhaustive, lambda: (ask(),), 100))

    assert len(runs) == 1
    assert "is not tried one by one" in exhaustive.incomplete


# --- the museum -----------------------------------------------------------------------------------

#: Rows whose points are those of the reference model: they have as many traces.
EQUAL = (
    *"account bluetooth_driver carter01 deadlock01 din_phil_2 din_phil_3 din_phil_5".split(),
    *"sync01 sync02 twostage arithmetic_prog phase01 sigma_4".split(),
    *"notify_before_wait double_checked_publish treiber_aba check_then_act async_appender".split(),
    *"kubernetes_6632 kubernetes_10182 kubernetes_1321 cockroach_7504 moby_25384".split(),
    *"grpc_1353 kubernetes_13058 kubernetes_5316 cockroach_16167 kubernetes_62464".split(),
    *"cockroach_3710 finaliser_reentry fork_while_locked release_in_finally reorder_3".split(),
    *"executor_self_submit lost_update_across_await".split(),
)

#: Rows that have another number of traces, and why.
OTHERWISE = {
    # A violation ends the run: how far the others had come by then is told apart by the model.
    **dict.fromkeys(
        ["circular_buffer", "lazy01", "wronglock_3", "wait_with_if"],
        "runs that violate end at the violation, whatever the others had done by then",
    ),
    "reorder_4": "it has as many, and more runs than are made here",
    **dict.fromkeys(
        ["etcd_6857", "grpc_1687", "cockroach_1055", "cockroach_4407"],
        "channels and wait groups are built of locks, whose waits are no points",
    ),
    "peterson": "who waits is woken by a condition instead of looking again and again",
    "submit_after_shutdown": "a future is built of a condition",
    "cancel_between_acquire_and_try": "tasks are started and ended by their loop",
}

# As many runs as an exhaustive search of these needs; the others of the museum have more traces.
ENOUGH = 400
# Runs of each sampler that look for a trace that was missed.
WALKS = 60


@pytest.fixture(scope="module")
def drive() -> Iterator[Driver]:
    """Prepare once what programs run on."""
    with driving() as driver:
        yield driver


def test_every_row_with_a_count_is_accounted_for() -> None:
    """Either it is equal, or there is a reason why it is not."""
    counted = {exhibit.name for exhibit in EXHIBITS if exhibit.traces is not None}

    assert {*EQUAL, *OTHERWISE} == counted
    assert not {*EQUAL} & {*OTHERWISE}


@pytest.mark.parametrize("name", EQUAL)
def test_a_row_has_as_many_traces_as_published(name: str, drive: Driver) -> None:
    """The reference model's count, exactly."""
    exhibit = BY_NAME[name]
    exhaustive = Exhaustive()

    runs = list(drive(exhibit.program, exhaustive, 1_000))

    assert len(runs) < 1_000
    assert len(exhaustive.traces) == exhibit.traces


def _small(program: Callable[[Any], Any], drive: Driver) -> dict[int | None, str] | None:
    """Return the verdict of each trace of a program, None if it has too many."""
    exhaustive = Exhaustive()
    runs = list(drive(program, exhaustive, ENOUGH))
    if len(runs) == ENOUGH or exhaustive.incomplete:
        return None
    return {one.trace: one.verdict for one in runs if one.ran.complete}


# What ends a run at once; how far the others had come by then is not explored.
CUT_OFF = ("Failed", "Unhandled")
SMALL = [
    exhibit
    for exhibit in EXHIBITS
    if exhibit.traces is not None
    and exhibit.traces < 300
    # Its twin has hundreds, too.
    and exhibit.name != "cancel_between_acquire_and_try"
]


@pytest.mark.parametrize("exhibit", SMALL, ids=lambda each: each.name)
def test_no_sampler_sees_more_of_a_program(exhibit: Exhibit, drive: Driver) -> None:
    """Neither of the violating program nor of its twin; and a trace has one verdict.

    Of runs that were cut off only the verdict must be known: they are prefixes.
    """
    for program in (exhibit.program, exhibit.fixed):
        known = _small(program, drive)
        assert known is not None, "small enough to be exhausted"
        for name in SAMPLERS:
            for one in drive(program, make_strategy(name, 1), WALKS):
                if one.trace in known:
                    assert known[one.trace] == one.verdict, f"{name}: {list(one.ran.choices)}"
                else:
                    assert one.verdict in CUT_OFF, f"{name}: {list(one.ran.choices)}"
                    assert one.verdict in known.values()


# --- never called correct -------------------------------------------------------------------------

NEVER = (
    (programs.lost_wake_up, "Deadlock"),
    (programs.lost_wake_up_of_a_list, "Deadlock"),
    (programs.joined_too_early, "Unhandled"),
    (programs.wrong_side_notified, "Deadlock"),
    (programs.call_soon_after_close, "Unhandled"),
    (programs.time_out_against_grant, "Unhandled"),
    (programs.cancelled_with_the_permit, "Deadlock"),
    (programs.overtaken_by_a_callback, "Failed"),
    (programs.told_inside_the_with, "Failed"),
    (programs.told_where_a_with_is_left_by_an_exception, "Failed"),
)


def called(each: Any) -> str:
    """Return what a program is called in the report."""
    return str(getattr(each, "__name__", each))


@pytest.mark.usefixtures("drive")
@pytest.mark.parametrize("strategy", ["portfolio", "exhaustive"])
@pytest.mark.parametrize(("program", "verdict"), NEVER, ids=called)
def test_what_is_wrong_is_never_called_correct(
    program: Callable[[Any], Any], verdict: str, strategy: str
) -> None:
    """Conditions, loops and timers are dependencies, too: the failing order is not left out."""
    plain = explore(program, schedules=1, strategy="plain")
    exploration = explore(program, schedules=300, strategy=strategy)

    assert plain.verdict == "holds", "it needs an unusual order"
    assert exploration.verdict == verdict


@pytest.mark.usefixtures("drive")
@pytest.mark.parametrize("strategy", ["portfolio", "exhaustive"])
@pytest.mark.parametrize(
    "program",
    [
        programs.lost_wake_up_fixed,
        programs.wrong_side_notified_fixed,
        programs.time_out_against_grant_fixed,
        programs.told_behind_the_with,
    ],
    ids=called,
)
def test_a_fixed_twin_is_exhausted_and_holds(program: Callable[[Any], Any], strategy: str) -> None:
    """And there is nothing more to know about it."""
    exploration = explore(program, schedules=1_000, strategy=strategy)

    exploration.raise_for_violation()
    assert exploration.summary.startswith("Holds (exhausted: ")


@pytest.mark.usefixtures("drive")
def test_a_very_long_run_is_not_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take gigabytes; the search ends, and says that it has not seen everything."""
    exhaustive = Exhaustive()
    monkeypatch.setattr("harness.search.exhaustive.LONGEST", 20)
    long = ["ledger"] * 11

    runs = list(played(exhaustive, lambda: (touches(*long), touches(*long)), 5))

    assert len(runs) == 1
    assert "too long" in exhaustive.incomplete


class Receipt:
    """Something that lives shortly, at an address that is then free."""

    total = 0


def _private_receipts(sim: Any) -> None:
    def sell() -> None:
        receipts = [Receipt() for _ in range(50)]
        for receipt in receipts:
            receipt.total = 1

    with sim.storm() as storm:
        storm.spawn(sell, copies=2)


class Priced:
    """Two prices that are to be told as they stood together, by code of a library."""

    def __init__(self) -> None:
        self.prices = {"tea": 1, "milk": 1}
        self.told = ""

    def change(self) -> None:
        """Change both, one after the other."""
        self.prices["tea"] = 2
        self.prices["milk"] = 2

    def tell(self) -> None:
        """Hand them to a function of the library."""
        self.told = json.dumps(self.prices)

    def fill_in(self) -> None:
        """Hand them to a method of an object of the library."""
        self.told = string.Template("$tea $milk").substitute(self.prices)

    def tell_sorted(self) -> None:
        """Hand them on by name."""
        self.told = json.dumps(obj=self.prices)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("tell", [Priced.tell, Priced.fill_in, Priced.tell_sorted])
def test_what_a_library_is_handed_is_touched(tell: Callable[[Priced], None], seed: int) -> None:
    """It looks into the container, though it has no points: between the two changes, too."""

    def program(sim: Any) -> None:
        priced = Priced()
        with sim.storm() as storm:
            storm.spawn(priced.change)
            storm.spawn(tell, priced)
        assert priced.told.count("2") != 1

    assert explore(program, strategy="exhaustive", seed=seed).verdict == "Failed"


def test_what_is_handed_to_code_under_test_is_not() -> None:
    """It has points of its own, and tells what it does."""
    found = explore(_handing_to_each_other, strategy="exhaustive")

    assert found.summary == "Holds (exhausted: 1 trace)"


def _handing_to_each_other(sim: Any) -> None:
    shared = [0]
    with sim.storm() as storm:
        storm.spawn(_hand_on, shared)
        storm.spawn(_hand_on, shared)


def _hand_on(shared: list[int]) -> None:
    _ignored(shared)


def _ignored(_shared: list[int]) -> None:
    pass


def _counting_for_long(sim: Any) -> None:
    """Longer than a turn, so that somebody looks at how long the log is."""
    numbers = [0]

    def count() -> None:
        for _ in range(3_000):
            numbers[0] += 1

    with sim.storm() as storm:
        storm.spawn(count)
    assert numbers == [3_000]


def test_a_log_that_would_fill_the_memory_is_cut_and_the_search_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What happens behind the cut is in no log: the search cannot know that it has seen all."""
    whole = explore(_counting_for_long, strategy="exhaustive")
    monkeypatch.setattr("harness.core.kernel.LOG_MAX", 100)
    cut = explore(_counting_for_long, strategy="exhaustive")

    assert whole.exhausted == 1
    assert cut.verdict == "holds"
    assert not cut.exhausted
    assert "in no log" in cut.unexhausted


def test_two_things_at_one_address_are_two_things() -> None:
    """One after the other: an address is given again, in one process and not in the next."""
    assert explore(_private_receipts, strategy="exhaustive").exhausted == 1


def test_what_a_library_works_out_is_never_called_exhausted() -> None:
    """Where `cached_property` keeps its value, no log tells."""
    found = explore(made_at_import.counter_in_a_cached_property, strategy="exhaustive")

    assert found.verdict == "holds"
    assert not found.exhausted
    assert found.summary == (
        "Holds (1 schedule; not exhausted: what a library keeps for itself, or does after a very "
        "long time, is in no log)"
    )


@pytest.mark.parametrize(
    "program", [programs.looks_whether_a_thread_has_ended, programs.looks_whether_a_job_is_done]
)
def test_who_looks_at_an_end_is_never_called_exhausted(program: Callable[[Any], None]) -> None:
    """It comes in the step of the last deed, and in the real world later."""
    found = explore(program, strategy="exhaustive")

    assert found.verdict == "holds"
    assert not found.exhausted
    assert "in no log" in found.unexhausted


def test_a_thread_beside_a_loop_holds() -> None:
    """The twin of the call after the end; but nobody says that all its orders were run."""
    exploration = explore(programs.call_soon_after_close_fixed, schedules=300)
    exhaustive = explore(programs.call_soon_after_close_fixed, strategy="exhaustive")

    exploration.raise_for_violation()
    assert exploration.summary == "Holds (300 schedules)"
    assert exhaustive.summary == (
        "Holds (1 schedule; not exhausted: threads run beside an event loop)"
    )
