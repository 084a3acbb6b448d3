"""The probe table: small programs, and the one verdict that each must get under default settings.

A program is an ordinary function in `tests/programs`; nothing here wraps it. What must be caught is
caught within the default number of schedules from each of the base seeds 0, 1 and 2; what is right
holds on 2,000 schedules.
"""

from __future__ import annotations

import inspect
import sys
import threading
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from harness.core.token import Token
from harness.errors import Blocked
from harness.explore import Exploration, Settings, explore, run_token
from harness.world import clocks
from tests.programs import (
    cancelled,
    faulty,
    left_behind,
    lost_updates,
    lost_wake_ups,
    made_at_import,
    never_ending,
    passing_time,
    two_worlds,
    unhandled,
)

pytestmark = pytest.mark.one_ground

Program = Callable[[Any], Any]

BASE_SEEDS = (0, 1, 2)
MANY = 2_000


def name(program: Program) -> str:
    """Return what a row is called in the report."""
    return program.__name__


def place(module: ModuleType, marker: str) -> str:
    """Return `file.py:line` of the line that carries the comment `# marker`."""
    lines = inspect.getsource(module).splitlines()
    [number] = [number for number, line in enumerate(lines, 1) if f"# {marker}" in line]
    return f"{module.__name__.rpartition('.')[2]}.py:{number}"


def caught(program: Program, check: str, **settings: Any) -> Exploration:
    """Assert that `check` and nothing else is violated from each base seed; return seed 0's."""
    explorations = [explore(program, seed=seed, **settings) for seed in BASE_SEEDS]
    assert [exploration.verdict for exploration in explorations] == [check] * len(BASE_SEEDS)
    for exploration in explorations:
        assert {failure.check for failure in exploration.failures} == {check}
    return explorations[0]


def text(exploration: Exploration) -> str:
    """Return the verdict as its reader sees it."""
    assert exploration.violation is not None
    return str(exploration.violation)


def holds(program: Program, schedules: int = 100, **settings: Any) -> Exploration:
    """Explore, assert that the program holds on every schedule, return what came of it."""
    searched = explore(program, schedules=schedules, **settings)
    searched.raise_for_violation()
    assert searched.verdict == "holds"
    assert searched.exhausted or searched.schedules == schedules
    walked = explore(program, schedules=schedules, strategy="random", **settings)
    walked.raise_for_violation()
    assert walked.verdict == "holds"
    assert walked.schedules == schedules
    return walked


# --- time -----------------------------------------------------------------------------------------


@pytest.mark.own_ground
def test_two_sleepers_end_at_fifteen_seconds_and_nobody_really_sleeps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two threads sleep for 15 s of virtual time; the real sleep is never called."""
    calls: list[float] = []
    monkeypatch.setattr(clocks, "_real_sleep", calls.append)
    monkeypatch.setattr(time, "sleep", calls.append)

    exploration = holds(passing_time.two_sleepers)

    assert exploration.virtual_seconds == 100 * 15.0
    assert calls == []


@pytest.mark.parametrize(
    "program",
    [
        passing_time.the_shorter_sleep_first,
        passing_time.a_wait_without_a_setter,
        passing_time.a_wait_that_ends_before_the_setter,
        passing_time.an_empty_queue,
        passing_time.two_timers,
        passing_time.a_barrier_twice,
    ],
    ids=name,
)
def test_waits_end_when_they_should_on_every_schedule(program: Program) -> None:
    """Sleeps, waits with a limit, timers and barriers end at their instant."""
    holds(program, MANY)


# --- lost updates ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "program",
    [
        lost_updates.jobs_of_an_executor,
        lost_updates.jobs_without_points,
        lost_updates.threads_of_the_code_itself,
        lost_updates.jobs_of_to_thread,
    ],
    ids=name,
)
def test_a_lost_update_is_caught_whoever_runs_the_threads(program: Program) -> None:
    """Executors, threads of the code under test and `asyncio.to_thread` are preempted."""
    caught(program, "Failed")


@pytest.mark.parametrize(
    "program",
    [
        lost_updates.attribute,
        lost_updates.augmented_assignment,
        lost_updates.subscript,
        lost_updates.module_global,
        lost_updates.closure_cell,
        lost_updates.class_attribute,
        lost_updates.check_by_in,
        lost_updates.check_by_get,
        lost_updates.append_against_len,
        lost_updates.iteration_of_a_list,
    ],
    ids=name,
)
def test_a_lost_update_is_caught_in_every_form(program: Program) -> None:
    """Whatever form the shared access has, another thread gets in between."""
    caught(program, "Failed")


def test_iteration_against_mutation_is_caught_as_the_exception_it_raises() -> None:
    """A dict that grows while another thread goes through it ends that thread with RuntimeError."""
    exploration = caught(lost_updates.iteration_of_a_dict, "Unhandled")

    assert "'report'" in text(exploration)
    assert "RuntimeError: dictionary changed size during iteration" in text(exploration)


def test_swapped_wake_ups_are_caught_under_order_tasks_only() -> None:
    """An update lost by swapped wake-ups is reached under `tasks`, not under `fifo`."""
    holds(lost_updates.swapped_wake_ups, MANY, order="fifo")

    exploration = caught(lost_updates.swapped_wake_ups, "Failed")

    assert exploration.settings.order == "tasks"
    assert "asyncio order tasks" in text(exploration)


# --- what was made before the run -----------------------------------------------------------------


def test_locks_made_at_import_deadlock_and_both_owners_are_named() -> None:
    """AB-BA over locks of a module: who waits, where, for what, and who has it."""
    exploration = caught(made_at_import.transfer_and_audit, "Deadlock")

    [teller] = [
        line
        for line in text(exploration).splitlines()
        if "teller waits in" in line.replace("'", "")
    ]
    [auditor] = [
        line
        for line in text(exploration).splitlines()
        if "auditor waits in" in line.replace("'", "")
    ]
    assert "'teller' and 'auditor' wait for each other" in text(exploration)
    assert place(made_at_import, "teller waits here") in teller
    assert "journal" in teller
    assert "auditor" in teller.partition("waits")[2], "who has the lock"
    assert place(made_at_import, "auditor waits here") in auditor
    assert "accounts" in auditor
    assert "teller" in auditor.partition("waits")[2], "who has the lock"


@pytest.mark.parametrize(
    "program",
    [
        made_at_import.counter_under_a_module_rlock,
        made_at_import.counter_under_a_class_lock,
        made_at_import.module_level_local,
        made_at_import.import_inside_a_function,
    ],
    ids=name,
)
def test_what_was_made_at_import_works_inside_a_run(program: Program) -> None:
    """Locks exclude simulated threads, each has its own locals, and an import is safe."""
    holds(program, MANY)


def test_a_first_import_is_one_step() -> None:
    """Two threads import what nobody has imported: neither sees it half done."""
    holds(made_at_import.first_import_inside_a_function)


def test_a_cached_property_is_locked_on_3_11_only() -> None:
    """Python 3.11 keeps a lock in `cached_property`; later versions may work it out twice."""
    if sys.version_info < (3, 12):
        holds(made_at_import.counter_in_a_cached_property, MANY)
    else:
        caught(made_at_import.counter_in_a_cached_property, "Failed")


# --- leaks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "program",
    [left_behind.parked_thread, left_behind.parked_daemon, left_behind.parked_thread_in_a_storm],
    ids=name,
)
def test_a_thread_left_parked_is_a_leak(program: Program) -> None:
    """A thread that outlives the scenario is named, daemon or not, with where it is parked."""
    exploration = caught(program, "LeakBound")

    assert "refresher" in text(exploration)
    assert place(left_behind, "refresher is parked here") in text(exploration)
    assert place(left_behind, "refresher is started here") in text(exploration)
    assert "self.asked" in text(exploration), "what it waits for, by name"


def test_a_task_left_pending_is_a_leak() -> None:
    """A task that waits when `main` returns is named before `asyncio.run` cancels it."""
    exploration = caught(left_behind.pending_task, "LeakBound")

    assert "refresher" in text(exploration)
    assert place(left_behind, "task is parked here") in text(exploration)
    assert place(left_behind, "task is made here") in text(exploration)


def test_a_task_left_pending_by_an_async_program_is_a_leak() -> None:
    """The same where the program itself is a coroutine function."""
    exploration = caught(left_behind.pending_task_of_an_async_program, "LeakBound")

    assert "refresher" in text(exploration)
    assert place(left_behind, "task is parked here") in text(exploration)
    assert place(left_behind, "made here, async") in text(exploration)


# --- deadlocks ------------------------------------------------------------------------------------


def test_a_lost_wake_up_is_a_deadlock() -> None:
    """A flag tested outside the lock: its waiter is named, with where it waits."""
    exploration = caught(lost_wake_ups.flag_outside_the_lock, "Deadlock")

    assert "taker" in text(exploration)
    assert place(lost_wake_ups, "taker waits here") in text(exploration)
    assert "self.condition" in text(exploration), "what it waits for, by name"


def test_notify_where_notify_all_is_needed_is_a_deadlock() -> None:
    """A bounded buffer whose one wake-up may reach its own side."""
    exploration = caught(lost_wake_ups.notify_one, "Deadlock")

    assert "consumer-1" in text(exploration) or "consumer-2" in text(exploration)
    assert "self.condition" in text(exploration)


@pytest.mark.parametrize(
    "program", [two_worlds.two_loops_at_once, two_worlds.a_thread_wakes_a_loop], ids=name
)
def test_threads_and_loops_together_are_no_false_deadlock(program: Program) -> None:
    """Two loops in two threads, and a loop that only a thread can wake."""
    holds(program, MANY)


def test_a_loop_that_waits_for_itself_is_a_deadlock() -> None:
    """`run_coroutine_threadsafe(…).result()` in the loop's own thread: both are named."""
    exploration = caught(two_worlds.a_loop_waits_for_itself, "Deadlock")

    assert "'pump'" in text(exploration)
    assert "loop" in text(exploration)
    assert place(two_worlds, "pump waits here") in text(exploration)


# --- corrected twins ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "program",
    [
        lost_updates.jobs_of_an_executor_corrected,
        lost_updates.threads_of_the_code_itself_corrected,
        lost_updates.jobs_of_to_thread_corrected,
        lost_updates.attribute_corrected,
        lost_updates.augmented_assignment_corrected,
        lost_updates.subscript_corrected,
        lost_updates.module_global_corrected,
        lost_updates.closure_cell_corrected,
        lost_updates.class_attribute_corrected,
        lost_updates.check_by_in_corrected,
        lost_updates.check_by_get_corrected,
        lost_updates.append_against_len_corrected,
        lost_updates.iteration_of_a_list_corrected,
        lost_updates.iteration_of_a_dict_corrected,
        lost_updates.swapped_wake_ups_corrected,
        made_at_import.transfer_and_audit_corrected,
        left_behind.closed,
        left_behind.cancelled_task,
        lost_wake_ups.flag_inside_the_lock,
        lost_wake_ups.notify_all,
    ],
    ids=name,
)
def test_a_corrected_twin_holds_on_two_thousand_schedules(program: Program) -> None:
    """What is right is never called wrong."""
    holds(program, MANY)


# --- livelocks ------------------------------------------------------------------------------------


def test_spinning_on_a_flag_is_a_livelock() -> None:
    """A thread that turns round a flag which nobody raises is named, within 20,000 decisions."""
    exploration = caught(never_ending.spin_on_a_flag, "Livelock")

    assert "'spinner'" in text(exploration)
    assert place(never_ending, "spinner turns here") in text(exploration)
    assert exploration.failures[0].steps <= 20_000


def test_a_task_that_gives_way_for_ever_is_a_livelock() -> None:
    """A loop over `sleep(0)` is named, within 20,000 decisions."""
    exploration = caught(never_ending.spin_in_a_loop, "Livelock")

    assert place(never_ending, "task turns here") in text(exploration)
    assert exploration.failures[0].steps <= 20_000


@pytest.mark.parametrize(
    "program", [never_ending.retry_for_ever, never_ending.retry_for_ever_in_a_loop], ids=name
)
def test_a_retry_loop_on_a_timer_is_a_time_storm(program: Program) -> None:
    """Where only the clock moves it is a livelock that says so, within 20,000 decisions."""
    exploration = caught(program, "Livelock")

    assert "time storm" in text(exploration)
    assert exploration.failures[0].steps <= 20_000


def test_a_time_storm_names_who_sleeps_and_where() -> None:
    """The thread whose timer is armed again and again."""
    exploration = caught(never_ending.retry_for_ever, "Livelock")

    assert "caller" in text(exploration)
    assert place(never_ending, "caller sleeps here") in text(exploration)


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "program",
    [unhandled.in_a_thread, unhandled.in_a_forgotten_task, unhandled.in_a_kept_task],
    ids=name,
)
def test_an_exception_that_nobody_took_fails_the_run(program: Program) -> None:
    """A thread or a task that dies unheard fails the run with what it died of."""
    exploration = caught(program, "Unhandled")

    assert "'caller'" in text(exploration)
    assert "LookupError: user:1 is gone" in text(exploration)


def test_blocking_in_c_is_blocked_outside_the_simulation() -> None:
    """`os.read` of an empty pipe is a HarnessError with file and line, within five seconds."""
    assert Settings().watchdog_seconds == 5.0

    with pytest.raises(Blocked, match="blocked outside the simulation") as raised:
        explore(never_ending.read_of_an_empty_pipe)

    assert place(never_ending, "reader blocks here") in str(raised.value)
    assert threading.active_count() == len(threading.enumerate())


def test_a_loop_without_a_point_is_blocked_outside_the_simulation() -> None:
    """A loop that meets no scheduling point cannot hang a run either."""
    with pytest.raises(Blocked, match="blocked outside the simulation") as raised:
        explore(never_ending.loop_without_a_point, watchdog_seconds=0.3)

    file, _, line = place(never_ending, "no point lies here").partition(":")
    assert f"{file}:{line}" in str(raised.value) or f"{file}:{int(line) + 1}" in str(raised.value)
    # Sets of functions that `os` keeps are only asked, and are no reason for anything.
    assert "posix" not in str(raised.value)


# --- faults ---------------------------------------------------------------------------------------


def test_a_slot_lost_between_acquire_and_try_is_caught_by_cancelling_everywhere() -> None:
    """Cancelled between `acquire()` and `try`, the slot is gone: the next user waits."""
    caught(cancelled.between_acquire_and_try, "Deadlock")


def test_async_with_loses_no_slot_to_cancellation() -> None:
    """The corrected twin survives a cancellation at every suspension."""
    exploration = explore(cancelled.within_async_with)

    assert exploration.verdict == "holds"


@pytest.mark.parametrize(
    "program",
    [cancelled.swallowed_by_wait_for, cancelled.swallowed_by_wait_for_without_a_fault],
    ids=name,
)
def test_a_cancellation_swallowed_by_wait_for_is_caught_on_3_11_only(program: Program) -> None:
    """`asyncio.wait_for` forgets a cancellation that meets the result on Python 3.11."""
    if sys.version_info < (3, 12):
        caught(program, "Failed")
    else:
        assert explore(program).verdict == "holds"


def test_grant_meets_cancel_is_caught_in_the_second_mode_only() -> None:
    """A slot granted to someone cancelled before it resumes; while parked, nothing is lost."""
    assert explore(cancelled.grant_meets_cancel_parked).verdict == "holds"
    assert explore(cancelled.grant_meets_cancel_corrected).verdict == "holds"

    caught(cancelled.grant_meets_cancel_ready, "Deadlock")


def test_fail_each_over_five_calls_makes_six_runs() -> None:
    """Call 1 fails, then 2, … then 5, then a run in which none failed."""
    exploration = explore(faulty.five_calls)

    assert exploration.verdict == "holds"
    assert exploration.schedules == 6


def test_the_token_of_a_failed_call_replays_the_fault() -> None:
    """The sweep stops at the third call, and its token fails the third call again."""
    exploration = caught(faulty.five_calls_unforgiven, "Failed")

    again = run_token(faulty.five_calls_unforgiven, Token.decode(exploration.token))

    assert exploration.failures[0].schedule == 3
    assert exploration.failures[0].deviations == 1
    assert again.verdict == "Failed"
    assert again.failures[0].token == exploration.token
    assert again.failures[0].digest == exploration.failures[0].digest


def test_a_crash_under_a_lock_is_a_deadlock_that_names_the_dead_owner() -> None:
    """Who died, what it held, and who waits for it where."""
    exploration = caught(faulty.crash_under_a_lock, "Deadlock")

    verdict = text(exploration)
    [heir] = [line for line in verdict.splitlines() if place(faulty, "heir waits here") in line]
    assert "heir" in heir
    assert "ledger" in heir
    assert "holder" in heir
    assert "crashed" in verdict


def test_the_token_of_a_crash_replays_fault_and_schedule() -> None:
    """The same thread dies at the same place, and everyone else does what they did."""
    exploration = explore(faulty.crash_under_a_lock)

    again = run_token(faulty.crash_under_a_lock, Token.decode(exploration.token))

    assert again.verdict == "Deadlock"
    assert again.failures[0].token == exploration.token
    assert again.failures[0].digest == exploration.failures[0].digest
    assert again.steps == exploration.failures[0].steps
