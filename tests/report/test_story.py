"""The columns of a story: whose steps they are, what others did meanwhile, and what mattered."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import explore, fail_nth
from harness.core.history import Aside, Event, History, Who
from harness.core.token import Token
from harness.errors import Violation
from harness.report import story as module
from harness.report.story import FAULT, POINT, STEPS_MAX, VIOLATION, Story, story_of
from tests.report.making import asked_twice, crossed, long_story, story_told, two_at_once

pytestmark = pytest.mark.one_ground

ROOT = Path(__file__).parents[2]


def lane(told: Story, name: str) -> int:
    """Return the number of a lane."""
    return next(index for index, each in enumerate(told.lanes) if each[0] == name)


def said(told: Story, name: str) -> list[str]:
    """Return what the steps of a lane say."""
    steps = zip(told.lane, told.text, strict=True)
    return [told.texts[text] for whose, text in steps if whose == lane(told, name)]


def test_every_step_is_somebodys_and_the_last_is_the_verdict() -> None:
    """Columns are of one length; places can be read; the run ends with what it violates."""
    told = story_told(asked_twice)

    lengths = {len(each) for each in (told.lane, told.kind, told.number, told.text, told.place)}
    assert lengths == {len(told.lane)}
    assert told.kind[-1] == VIOLATION
    assert told.kind.count(VIOLATION) == 1
    assert told.texts[told.text[-1]] == "'bank' was called 2 times, allowed exactly 1."
    assert [each[0] for each in told.lanes] == ["MainThread", "rate-1", "rate-2"]
    file, line = next(told.places[place] for place in reversed(told.place) if place >= 0)
    assert told.sources[file][str(line)].strip() == "value = self.ask(currency)"


def test_the_moments_are_the_turns_that_the_verdict_tells() -> None:
    """One who had to stop, one who went on instead, and the verdict; each where it happened."""
    told = story_told(asked_twice)

    because = [text for label, text in told.rows if label == "because"]
    assert ", ".join(moment[4] for moment in told.moments[:-1]) == because[0]
    assert [moment[3] for moment in told.moments] == ["stop", "turn", "violation"]
    for begin, end, whose, _, _ in told.moments:
        assert set(told.lane[begin:end]) == {whose}


def test_locks_are_held_and_waited_for_by_name() -> None:
    """Of two threads that wait for each other each holds what the other wants, to the end."""
    told = story_told(crossed)

    end = len(told.lane)
    holds = {
        (told.lanes[whose][0], told.locks[lock]) for whose, _, to, lock in told.holds if to == end
    }
    waits = {
        (told.lanes[whose][0], told.texts[text])
        for whose, _, to, text, _, _ in told.waits
        if to == end
    }
    assert holds == {("forward", "left"), ("backward", "right")}
    assert ("forward", "waits for right, held by backward") in waits
    assert ("backward", "waits for left, held by forward") in waits
    assert told.stops, "one of them had been held back"


def test_the_curve_has_its_bound_and_goes_over_it() -> None:
    """How many were inside, from the very entry that was one too many."""
    told = story_told(two_at_once)

    ((name, kind, bound, reached, points),) = told.curves
    assert (name, kind, bound, reached) == ("bank", "inside", 1, False)
    assert [value for _, value in points] == [1, 2]
    assert points[-1][0] < len(told.lane) - 1
    assert "enters 'bank': 2 in flight" in said(told, "rate-2")


def test_calls_are_counted_against_their_bound() -> None:
    """A promise about all calls of a pool has a curve of its own."""
    told = story_told(asked_twice)

    calls = next(curve for curve in told.curves if curve[1] == "calls")
    assert calls[:4] == ["bank", "calls", 1, False]
    assert [value for _, value in calls[4]] == [1, 2]


class _Cache:
    """Fills itself under a lock of its loop. One loop."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self.filled = False

    async def fill(self) -> None:
        async with self._lock:
            await asyncio.sleep(0.5)
            self.filled = True


async def filled_in_time(sim: Any) -> None:
    """Two tasks fill one cache, one after the other, and that takes too long."""
    cache = _Cache()
    async with sim.storm() as storm:
        storm.spawn(cache.fill, copies=2)
    assert sim.now() < 1.0


def test_tasks_have_lanes_waits_and_locks() -> None:
    """Under the thread whose loop runs them; who waits for the other's lock says so."""
    told = story_told(filled_in_time)

    first, second = lane(told, "fill-1"), lane(told, "fill-2")
    assert told.lanes[first][1] == "task"
    assert told.lanes[told.lanes[first][2]][1] == "thread"
    assert [told.locks[lock] for whose, _, _, lock in told.holds if whose == first] == [
        "self._lock"
    ]
    held = next(hold for hold in told.holds if hold[0] == first)
    waited = next(wait for wait in told.waits if wait[0] == second and wait[1] < held[2])
    assert told.texts[waited[3]] == "waits in Lock.acquire"
    assert [now for _, now in told.clock] == [0, 500_000_000, 1_000_000_000]


def failing_call(sim: Any) -> None:
    """A call fails."""
    bank = sim.pool("bank", latency=0.050)
    sim.inject(fail_nth(1, ConnectionError("gone")), certain=True)
    with sim.storm() as storm:
        storm.spawn(bank.call, "EUR", name="caller")


def test_a_fault_is_a_step_of_whom_it_struck() -> None:
    """It says what it was and where it struck."""
    told = story_told(failing_call)

    (fault,) = [index for index, kind in enumerate(told.kind) if kind == FAULT]
    assert told.lane[fault] == lane(told, "caller")
    assert "ConnectionError struck caller at call 1 of 'bank'" in told.texts[told.text[fault]]


def test_looking_on_changes_nothing() -> None:
    """A detailed history has the digest of a plain one: the same events in the same order."""
    program = """
import sys
from harness.core.history import History
from harness.core.tape import replayed
from harness.core.token import Token
from harness.explore import _Explorer, _prepared, explore, settings_of
from tests.report.making import asked_twice, crossed, two_at_once
from tests.report.test_story import failing_call, filled_in_time
for function in (asked_twice, crossed, two_at_once, failing_call, filled_in_time):
    token = Token.decode(explore(function).token)
    settings = settings_of(token)
    with _prepared(settings) as ground:
        explorer = _Explorer(function, settings, token.scenario, "", ground)
        explorer.settle()
        plain, detailed = History(), History(is_detailed=True)
        for history in (plain, detailed):
            trial = explorer.run(replayed(token.choices), history)
            assert trial.violation is not None
        assert plain.first_difference(detailed) is None, function
        assert {each.kind for each in detailed.asides} > {each.kind for each in plain.asides}
print("the same")
"""
    outcome = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert outcome.stdout == "the same\n", outcome.stderr


def test_one_token_has_one_story() -> None:
    """In another process, under another hash seed; nothing of it is an address or a folder."""
    program = (
        "import json\n"
        "from tests.report.making import crossed, story_told\n"
        "from tests.report.test_story import filled_in_time\n"
        "print(json.dumps([story_told(each).to_json() for each in (crossed, filled_in_time)]))"
    )

    told = [
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]

    assert told[0] == told[1]
    assert "0x" not in told[0]
    assert str(ROOT) not in told[0]


def test_no_text_of_a_story_has_an_address() -> None:
    """Values that are named by one are named without it, in steps, turns and rows."""
    history = History(is_detailed=True)
    who = Who("0", "MainThread")
    value = "<harness_scenarios_62dde317.shop.Rate object at 0x7f2e45a4b910>"
    history.add(Event(1, "0", "MainThread", "call", f"bank {value}", 0, by=who))
    history.asides.append(Aside(1, "fault", who, text=f"OSError struck {value}"))
    history.asides.append(Aside(1, "park", who, text=f"Queue.get of {value}"))

    told = story_of(
        history, Violation("Failed", f"{value} failed", [("seen", value)]), "", "", "", steps=2
    )

    text = json.dumps(told.to_json())
    assert "calls bank <shop.Rate object>" in text
    assert "0x7f" not in text
    assert "harness_scenarios_" not in text


def test_who_is_stopped_between_two_turns_of_its_loop_repeats_nothing() -> None:
    """What its task did last is done: it is the thread that stands, and that goes on."""
    loop, other = Who("0.1", "loop"), Who("0.2", "other")
    task = Who("0.1", "loop", "0.1.1", "task")
    history = History(is_detailed=True)
    history.add(Event(1, "0.1.1", "task", "point", "read .a", 0, where="shop.py:1", by=task))
    history.asides.append(Aside(1, "stop", loop))
    history.add(Event(3, "0.2", "other", "point", "read .b", 0, where="shop.py:2", by=other))
    history.asides.append(Aside(2, "back", loop))

    told = story_of(history, Violation("Failed", "it failed"), "", "", "", steps=4)

    assert told.kind == [POINT, POINT, VIOLATION]
    assert told.stops == [[lane(told, "loop"), 1, 2]]


def test_a_story_travels_as_text() -> None:
    """What is read back is equal, so that another process may show it."""
    told = story_told(crossed)

    assert Story.from_json(json.loads(json.dumps(told.to_json()))) == told


def test_of_a_very_long_run_the_end_is_kept(monkeypatch: Any) -> None:
    """All that refers to steps still refers to the same ones."""
    whole = long_story(2_000)
    monkeypatch.setattr(module, "STEPS_MAX", 500)

    end = long_story(2_000)

    cut = len(whole.lane) - 500
    assert end.cut == cut
    assert end.number == whole.number[cut:]
    assert [moment[0] + cut for moment in end.moments] == [moment[0] for moment in whole.moments]
    before = [now for at, now in whole.clock if at <= cut]
    assert end.clock[0] == [0, before[-1]]
    after = [[at, now] for at, now in whole.clock if at > cut]
    assert [[at + cut, now] for at, now in end.clock[1:]] == after
    assert STEPS_MAX == 100_000


def test_what_holds_has_no_story() -> None:
    """A token whose run violates no more tells nothing, and nothing breaks."""
    from harness.explore import story

    found = explore(two_at_once)
    token = Token.decode(found.token)

    def mended(sim: Any) -> None:
        """Nothing happens."""

    assert story(mended, token, Violation("MaxInFlight", "as it was")) is None
