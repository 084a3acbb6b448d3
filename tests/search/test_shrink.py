"""A failure is shown as the simplest run that still shows its bug."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any

import pytest

from harness import Failed, Simulation, replay, scenario
from harness.core.tape import Tape, replayed
from harness.core.token import Token
from harness.errors import HarnessError
from harness.explore import Exploration, Settings, _prepared, explore, run_token
from harness.scenario import run_cell, scenario_of
from harness.search.random_walk import random_walk
from harness.search.shrink import BUDGET, Shrunk, shrink
from harness.trial import Trial, run
from harness.world.here import whose_turn
from tests.museum.programs.classics_data import peterson
from tests.museum.programs.sctbench_b import queue
from tests.programs import shrinkable

pytestmark = pytest.mark.one_ground

Program = Callable[[Any], Any]
Make = Callable[[Tape], Trial]

ROOT = Path(__file__).parents[2]


@pytest.fixture
def maker() -> Iterator[Callable[[Program], Make]]:
    """Return what turns a program into a way to make its runs."""
    with ExitStack() as stack:

        def make_of(program: Program) -> Make:
            ground = stack.enter_context(_prepared(Settings(watchdog_seconds=20.0)))
            run(program, replayed(()), ground)
            return lambda tape: run(program, tape, ground)

        yield make_of


def found_by(make: Make, first: int = 1, faults: int = 0) -> Trial:
    """Return the first failure of the random walk with so many faults or more."""
    trials = (make(random_walk(seed)) for seed in range(first, first + 500))
    failures = (trial for trial in trials if trial.violation is not None)
    return next(failure for failure in failures if len(failure.fired) >= faults)


def shrunk_from(make: Make, found: Trial, budget: int = BUDGET) -> Shrunk[Trial]:
    """Shrink a failure, which must come back."""
    done = shrink(make, found, budget, who=whose_turn)
    assert done is not None
    return done


def row(exploration: Exploration, label: str) -> str:
    """Return one row of the verdict that is shown."""
    assert exploration.violation is not None
    return dict(exploration.violation.evidence)[label]


# --- how far --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "preemptions"),
    [
        (shrinkable.lost_update, 1),
        (shrinkable.lost_in_noise, 1),
        (shrinkable.crossed_locks, 1),
        (shrinkable.read_between, 1),
        (peterson, 2),
        # Where it is preempted is no step at which the random walk did it.
        (queue, 1),
    ],
)
def test_no_more_preemptions_are_left_than_the_bug_needs(
    maker: Callable[[Program], Make], program: Program, preemptions: int
) -> None:
    """Whichever failure of a random walk it starts from, within the budget."""
    make = maker(program)
    for first in (1, 1_000, 2_000):
        found = found_by(make, first)

        done = shrunk_from(make, found)

        assert done.best.preemptions == preemptions < done.before.preemptions
        assert done.best.faults == 0
        assert done.replays <= BUDGET


def test_large_edits_come_first(maker: Callable[[Program], Make]) -> None:
    """Three hundred preemptions of which one matters are shrunk before the budget is spent."""
    make = maker(shrinkable.lost_in_noise)
    for first in (1, 1_000, 2_000):
        done = shrunk_from(make, found_by(make, first))

        assert done.before.preemptions > 300
        assert done.best.preemptions == 1
        assert done.replays <= 50 < BUDGET


@pytest.mark.parametrize(
    "program", [shrinkable.unforgiven, shrinkable.unforgiven_when_late], ids=["alone", "in order"]
)
def test_the_one_fault_that_is_needed_is_kept(
    maker: Callable[[Program], Make], program: Program
) -> None:
    """Of many faults and latencies one fault stays, and it is the one the bug is about."""
    make = maker(program)
    for first in (1, 1_000, 2_000):
        found = found_by(make, first, faults=3)

        done = shrunk_from(make, found)

        [struck] = done.best.run.fired
        assert (struck.site.actor, struck.site.key) == ("0.2", "user:2")
        assert len(done.best.draws) == done.best.faults == 1
        assert done.best.preemptions == 0


def test_a_bug_never_becomes_another(maker: Callable[[Program], Make]) -> None:
    """A lost update stays one, although the other bug of the program needs no preemption."""
    make = maker(shrinkable.two_bugs)
    seen = {}
    for seed in range(1, 60):
        found = make(random_walk(seed))
        if found.violation is None:
            continue

        done = shrunk_from(make, found)

        assert done.best.run.violation is not None
        text = found.violation.summary.partition("\n")[0]
        assert done.best.run.violation.summary.partition("\n")[0] == text
        seen[re.sub(r".*: ", "", text)] = done.best.preemptions
    assert seen == {"a visit was lost": 1, "the first was last": 0}


# --- what is kept ---------------------------------------------------------------------------------


def test_what_is_kept_was_made(maker: Callable[[Program], Make]) -> None:
    """The recorded choices, played as they are, are the very run that was kept."""
    make = maker(shrinkable.lost_update)
    best = shrunk_from(make, found_by(make)).best.run

    again = make(replayed(best.choices))

    assert again.choices == best.choices
    assert (again.verdict, again.steps, again.widths) == (best.verdict, best.steps, best.widths)


@pytest.mark.parametrize("budget", [1, 2, 7, 20])
def test_a_budget_is_never_exceeded(maker: Callable[[Program], Make], budget: int) -> None:
    """What was reached by then is kept, and it is the bug."""
    make = maker(shrinkable.lost_in_noise)
    found = found_by(make)
    made = 0

    def counted(tape: Tape) -> Trial:
        nonlocal made
        made += 1
        return make(tape)

    done = shrunk_from(counted, found, budget)

    assert done.replays == made == budget
    assert done.best.run.verdict == found.verdict
    assert done.best.cost <= done.before.cost


def test_a_greater_budget_never_comes_to_less(maker: Callable[[Program], Make]) -> None:
    """Only what is simpler takes the place of the best so far."""
    make = maker(peterson)
    found = found_by(make)

    costs = [shrunk_from(make, found, budget).best.cost for budget in range(1, 45)]

    assert costs == sorted(costs, reverse=True)
    assert costs[0] > costs[-1]


@pytest.mark.parametrize("at", [2, 5, 15])
def test_an_interrupt_keeps_the_best_so_far(maker: Callable[[Program], Make], at: int) -> None:
    """It ends the shrink, not what was won by then."""
    make = maker(shrinkable.lost_in_noise)
    found = found_by(make)
    whole = shrunk_from(make, found, budget=at - 1)
    made = 0

    def interrupted(tape: Tape) -> Trial:
        nonlocal made
        made += 1
        if made == at:
            raise KeyboardInterrupt
        return make(tape)

    done = shrunk_from(interrupted, found)

    assert done.interrupted
    assert done.best.run.choices == whole.best.run.choices
    assert ", interrupted: " in done.summary


def test_a_run_that_cannot_be_made_is_passed_over(maker: Callable[[Program], Make]) -> None:
    """Every second run that an edit asks for is refused; the bug is found among the others."""
    make = maker(shrinkable.lost_update)
    found = found_by(make)
    made = 0

    def refused(tape: Tape) -> Trial:
        nonlocal made
        made += 1
        if made % 2 == 0:
            raise HarnessError("not this one")
        return make(tape)

    done = shrunk_from(refused, found)

    assert done.best.run.verdict == found.verdict
    assert done.best.preemptions < done.before.preemptions


def test_choices_that_do_not_tell_all_are_not_shrunk(maker: Callable[[Program], Make]) -> None:
    """A run that fails once and never again has no simpler one."""
    make = maker(shrinkable.lost_update)
    found = found_by(make)

    assert shrink(lambda _tape: make(replayed(())), found) is None


# --- what is shown --------------------------------------------------------------------------------


@pytest.mark.parametrize("program", shrinkable.PROGRAMS, ids=lambda program: program.__name__)
def test_the_token_that_is_shown_replays_to_the_same_digest(program: Program) -> None:
    """The token holds the shrunk run, and brings back the shown failure."""
    done = explore(program, strategy="random", schedules=300)

    again = run_token(program, Token.decode(done.token))

    assert again.token == done.token
    assert [each.digest for each in again.failures] == [done.failures[0].digest]
    assert again.verdict == done.verdict


def test_a_verdict_says_how_far_it_was_shrunk() -> None:
    """In how many replays, from how many preemptions to how many, and how many faults."""
    done = explore(shrinkable.lost_update, strategy="random", schedules=300)

    assert re.fullmatch(r"in \d+ replays: \d\d → 1 preemptions, 0 faults", row(done, "shrunk"))


def test_shrinking_can_be_switched_off() -> None:
    """Then the failure is shown as it was found."""
    done = explore(shrinkable.lost_update, strategy="random", schedules=300, shrink=False)

    assert done.failures[0].deviations > 10
    assert done.violation is not None
    assert "shrunk" not in dict(done.violation.evidence)


def test_the_runs_of_a_shrink_are_no_schedules() -> None:
    """How many schedules were run, and which one failed, does not depend on shrinking."""
    figures = [
        (done.schedules, done.steps, done.failures[0].schedule)
        for done in (
            explore(shrinkable.lost_update, strategy="random", schedules=300, shrink=shrinks)
            for shrinks in (True, False)
        )
    ]

    assert figures[0] == figures[1]


def test_the_first_failure_of_each_check_is_shrunk() -> None:
    """One of each check is shown; the others are counted."""
    done = explore(shrinkable.two_checks, strategy="random", schedules=300, stop_after=40)
    by_check: dict[str, list[bool]] = {}
    for failure in done.failures:
        is_shrunk = "shrunk" in dict(failure.violation.evidence)
        by_check.setdefault(failure.check, []).append(is_shrunk)

    assert sorted(by_check) == ["Failed", "Unhandled"]
    assert all(len(marks) > 1 for marks in by_check.values())
    assert all(marks[0] and not any(marks[1:]) for marks in by_check.values())


def test_failures_past_the_tenth_are_only_kept() -> None:
    """They are counted and come back; nobody reads them, and none is run again to be told."""
    done = explore(shrinkable.two_checks, strategy="random", schedules=300, stop_after=40)

    assert done.violating > 20
    assert {bool(failure.digest) for failure in done.failures[:10]} == {True}
    told = [failure for failure in done.failures[10:] if failure.digest]
    assert all("shrunk" in dict(failure.violation.evidence) for failure in told)
    last = done.failures[-1]
    again = replay(last.token)
    assert (again.verdict, again.failures[0].steps) == (last.check, last.steps)


def test_an_expected_failure_is_shown_as_it_was_found() -> None:
    """What a variant is caught by is no news."""
    done = explore(
        shrinkable.two_checks, strategy="random", schedules=300, stop_after=40, expected=("Failed",)
    )
    shrunk = {
        failure.check for failure in done.failures if "shrunk" in dict(failure.violation.evidence)
    }

    assert shrunk == {"Unhandled"}


class Tally:
    """A count. Any thread."""

    def __init__(self) -> None:
        self.lock: AbstractContextManager[Any] = threading.Lock()
        self.count = 0

    def add(self) -> None:
        """Count ten times."""
        for _ in range(10):
            with self.lock:
                self.count += 1


class Unguarded(Tally):
    """It counts without the lock."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = nullcontext()


@pytest.mark.own_ground
@scenario(Tally, catches={Unguarded: Failed})
def three_count(sim: Simulation, cls: type[Tally]) -> None:
    """Three threads count."""
    tally = cls()
    with sim.storm() as storm:
        storm.spawn(tally.add, copies=3)
    assert tally.count == 30


@pytest.mark.parametrize("shown", [True, False])
def test_what_catches_a_variant_is_shrunk_if_it_is_shown(shown: bool) -> None:
    """A matrix only says that it was caught; who looks at one cell sees the simplest run."""
    this = scenario_of(three_count)
    assert this is not None
    column = this.column("Unguarded")

    cell = run_cell(this, column, Settings(strategy="random"), shown=shown)

    assert cell.is_as_declared
    assert cell.violation is not None
    assert ("shrunk" in dict(cell.violation.evidence)) == shown


def test_a_failure_of_the_plain_run_is_not_shrunk() -> None:
    """No run is simpler than that."""
    done = explore(shrinkable.fails_at_once)

    assert done.failures[0].deviations == 0
    assert done.violation is not None
    assert "shrunk" not in dict(done.violation.evidence)


def test_a_pin_is_run_as_it_is() -> None:
    """What was pasted is what is shown."""
    pin = explore(shrinkable.lost_update, strategy="random", schedules=300, shrink=False).token

    done = explore(shrinkable.lost_update, strategy="random", schedules=1, pins=(pin,))

    assert Token.decode(done.token).choices == Token.decode(pin).choices


def test_an_interrupted_shrink_ends_the_search_with_the_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing that was found is lost, and nothing more is looked for."""
    whole = explore(shrinkable.lost_update, strategy="random", stop_after=3, shrink=False)

    def interrupted(_make: object, _found: object, **_more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["harness.explore"], "shrink", interrupted)
    done = explore(shrinkable.lost_update, strategy="random", stop_after=3)

    assert done.interrupted
    assert not whole.interrupted
    assert [each.token for each in done.failures] == [whole.failures[0].token]


def test_two_processes_shrink_to_the_same() -> None:
    """The tokens that are shown do not depend on the process, nor on how it hashes."""
    printed = [
        subprocess.run(
            [sys.executable, "-m", "tests.programs.shrinkable"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=100,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]

    assert printed[0] == printed[1]
    assert len(json.loads(printed[0])) == len(shrinkable.PROGRAMS)
