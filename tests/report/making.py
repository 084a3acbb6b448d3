"""Stories and results for tests of reports: of real runs, and of a run as long as one likes.

It makes them; what is shown of them is for the tests to say.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

from harness import Calls, MaxInFlight, explore, fail_nth
from harness.core.history import Aside, Event, History, Who
from harness.core.token import Token
from harness.errors import Violation
from harness.explore import shared_ground, story
from harness.report.results import Result
from harness.report.story import Story, story_of

#: Text that would end a script, a comment or an attribute, and half a character.
NASTY = "</script><!-- ' \" & \u2028 <b>bold</b> é"


class Rates:
    """Exchange rates, asked for once and then remembered. No thread but one may use it."""

    def __init__(self, ask: Callable[[str], object]) -> None:
        self.ask = ask
        self.known: dict[str, object] = {}
        self.lock = threading.Lock()

    def rate(self, currency: str) -> object:
        """Ask unless it is known."""
        if currency not in self.known:
            value = self.ask(currency)
            with self.lock:
                self.known[currency] = value
        return self.known[currency]


def asked_twice(sim: Any) -> None:
    """Two callers want one rate; the bank is asked once."""
    bank = sim.pool("bank")
    rates = Rates(bank.call)
    with sim.storm(Calls(bank, 1)) as storm:
        storm.spawn(rates.rate, "EUR", copies=2)


def two_at_once(sim: Any) -> None:
    """Two callers want one rate, which takes a while; the bank is asked once at a time."""
    bank = sim.pool("bank", latency=0.050)
    rates = Rates(bank.call)
    with sim.storm(MaxInFlight(bank, 1)) as storm:
        storm.spawn(rates.rate, "EUR", copies=2)


def crossed(sim: Any) -> None:
    """Two threads take two locks in two orders."""
    left, right = threading.Lock(), threading.Lock()

    def forward() -> None:
        with left:
            with right:
                pass

    def backward() -> None:
        with right:
            with left:
                pass

    with sim.storm() as storm:
        storm.spawn(forward)
        storm.spawn(backward)


async def tried_again(sim: Any) -> None:
    """A task whose call fails asks again, beside another: the bank is asked by one at a time."""
    bank = sim.pool("bank", latency=0.050)
    sim.inject(fail_nth(1, ConnectionError("gone")), certain=True)

    async def ask(currency: str) -> None:
        with contextlib.suppress(ConnectionError):
            await bank.call(currency)
        await bank.call(f"{currency} again")

    async with sim.storm(MaxInFlight(bank, 1)) as storm:
        storm.spawn(ask, "EUR", name="euro")
        await sim.settle()
        storm.spawn(ask, "USD", name="dollar")


def story_told(function: Callable[[Any], Any], **settings: Any) -> Story:
    """Return the story of the first failure of a function."""
    with shared_ground():
        found = explore(function, **settings)
        assert found.violation is not None, "it is to fail"
        told = story(function, Token.decode(found.token), found.violation)
    assert told is not None, "what violates once violates again"
    return told


def result_with(told: Story | None, **given: Any) -> Result:
    """Return the result of a scenario that was to hold and did not."""
    values: dict[str, Any] = {
        "scenario": "cold_key",
        "component": "reader",
        "path": "scenarios/reader/storms.py",
        "line": 12,
        "claim": "The origin is asked once.",
        "subject": "",
        "class_name": "",
        "row": "",
        "expected": (),
        "verdict": "MaxInFlight",
        "as_declared": False,
        "summary": "Violation: MaxInFlight",
        "violation": "Violation: 'bank' had 2 calls in flight, allowed 1.\n  when       step 2",
        "explanation": "cold_key: declared to hold, violated MaxInFlight.",
        "token": "t1:token",
        "story": told,
    }
    return Result(**values | given)


class _Site:
    """A place in this file whose source can be read."""

    file = __file__
    line = 26
    operation = "read"
    name = ".known"
    function = "Rates.rate"
    span = None
    sync = False
    blocks = False


def long_story(steps: int, lanes: int = 40, name: str = "worker") -> Story:
    """Return the story of a run of so many steps, which ends with one caller too many."""
    history = History(is_detailed=True)
    who = [Who(f"0.{number}", f"{name}-{number}") for number in range(1, lanes + 1)]
    site = _Site()
    where = f"{site.file}:{site.line}"
    for number in range(steps):
        # Turns of three steps, so that there is much to draw.
        by = who[(number // 3) % lanes]
        if number % 3 == 0:
            history.asides.append(
                Aside(number, "gauge", by, text="bank", value=1 + number % 2, total=number)
            )
        event = Event(
            number,
            by.path,
            by.name,
            "point",
            "read .known",
            number * 1_000,
            where=where,
            by=by,
            site=site,
        )
        history.add(event)
        if number == steps - 30:
            history.asides.append(Aside(len(history.events), "stop", by))
        if number == steps - 10:
            history.asides.append(
                Aside(len(history.events), "back", who[((steps - 30) // 3) % lanes])
            )
    violation = Violation("MaxInFlight", "'bank' had 2 calls in flight, allowed 1.")
    return story_of(history, violation, "t1:token", "storms.py::cold_key", "", steps=steps)
