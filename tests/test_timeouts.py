"""When time-outs fire: only when nobody can run, or as on a slow machine, or as decisions cost."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from harness.errors import HarnessError
from harness.explore import explore
from tests.museum.catalogue import TIMED

pytestmark = pytest.mark.one_ground


async def answered_in_time(sim: Any) -> None:
    """A request that is answered after two turns of others has a time-out of a second."""

    async def answer() -> str:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return "pong"

    assert await asyncio.wait_for(answer(), 1) == "pong"


def set_in_time(sim: Any) -> None:
    """A flag that is set at once is waited for, for a second."""
    flag = threading.Event()
    setter = threading.Thread(target=flag.set)
    setter.start()
    assert flag.wait(1)
    setter.join()


def starts_late(sim: Any) -> None:
    """What is done within a second of sleep is done before it is over, unless time flies."""
    done = threading.Event()

    def work() -> None:
        time.sleep(0)
        done.set()

    worker = threading.Thread(target=work)
    worker.start()
    time.sleep(1)
    assert done.is_set()
    worker.join()


def looks_at_once(sim: Any) -> None:
    """Who has no time to wait sees a lock held, and a thread alive, that could go on."""
    lock = threading.Lock()
    lock.acquire()
    thread = threading.Thread(target=lock.release)
    thread.start()
    assert not lock.acquire(timeout=0)
    thread.join(0)
    assert thread.is_alive()


@pytest.mark.parametrize("timeouts", ["idle", "cost"])
def test_no_time_is_no_wait(timeouts: str) -> None:
    """It is no time-out that could come too early."""
    assert explore(looks_at_once, strategy="plain", timeouts=timeouts).verdict == "holds"


@pytest.mark.parametrize("program", [answered_in_time, set_in_time, starts_late])
@pytest.mark.parametrize("timeouts", ["idle", "cost"])
def test_nothing_times_out_while_somebody_could_run(program: Any, timeouts: str) -> None:
    """A program that is right if the machine is fast enough holds."""
    assert explore(program, timeouts=timeouts).verdict == "holds"


@pytest.mark.parametrize(
    ("program", "verdict"),
    [(answered_in_time, "Unhandled"), (set_in_time, "Failed"), (starts_late, "Failed")],
)
def test_a_slow_machine_is_a_choice_that_replays(program: Any, verdict: str) -> None:
    """Where the clock races, the time-out is met; the verdict says which mode it was."""
    violation = explore(program, timeouts="race").violation

    assert violation is not None
    assert violation.check == verdict
    assert "timeouts race" in str(violation)


@pytest.mark.parametrize("exhibit", TIMED, ids=lambda exhibit: exhibit.name)
@pytest.mark.parametrize("timeouts", ["idle", "race", "cost"])
@pytest.mark.parametrize("strategy", ["random", "portfolio"])
def test_each_program_about_time_has_its_one_verdict(
    exhibit: Any, timeouts: str, strategy: str
) -> None:
    """The museum's acceptance set for time, under the default strategy as by chance."""
    # A livelock takes a quarter of a million steps, and what is left of it is not asked for here.
    found = explore(
        exhibit.program, timeouts=timeouts, schedules=30, strategy=strategy, shrink=False
    )

    assert found.verdict == exhibit.verdicts[timeouts]


def test_how_often_the_clock_may_race_is_said_behind_a_colon() -> None:
    """Twice is more than once; never is no mode."""
    assert explore(set_in_time, timeouts="race:2").verdict == "Failed"
    with pytest.raises(HarnessError, match="race:N with N of at least 1"):
        explore(set_in_time, timeouts="race:0")


@pytest.mark.parametrize("timeouts", ["race", "race:3"])
def test_a_slow_machine_is_what_is_left_when_a_failure_is_shrunk(timeouts: str) -> None:
    """Switches and other early time-outs go; the one that the failure needs stays and is told."""
    exhibit = next(each for each in TIMED if each.row == "T5")
    found = explore(exhibit.program, timeouts=timeouts)

    rows = dict(found.failures[0].violation.evidence)
    assert found.failures[0].deviations == 1
    assert rows["because"] == (
        "time passed to the next deadline although Thread-1 (set_flag) could go on"
    )
    assert rows["shrunk"].endswith("1 → 0 preemptions, 0 faults")
    assert rows["reproduced"] == "10/10"
