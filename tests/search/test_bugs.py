"""Two violations are one bug if the check, the sentence and the places are the same."""

from __future__ import annotations

import pytest

from harness.errors import Violation
from harness.search.bugs import bug_of

STUCK = "nobody can go on and no timer is left: "


def deadlock(names: str, *places: str) -> Violation:
    """Return a deadlock of some who wait in some places."""
    verb = "wait" if " and " in names or "," in names else "waits"
    rows = [("waits", f"'x' waits in Lock.acquire at {place}: lock.acquire()") for place in places]
    return Violation("Deadlock", f"{STUCK}{names} {verb} for ever.", [*rows, ("when", "step 9")])


LEAK = Violation(
    "MaxInFlight", "'origin' had 2 calls in flight, allowed 1.", [("inside", "caller-7 a.py:3")]
)
FAILED = Violation("Failed", "an assert of the scenario failed: 3 == 4", [("where", "a.py:9")])
RAISED = Violation(
    "Unhandled", "'job-1' raised KeyError and nobody took it.", [("where", "a.py:4")]
)


@pytest.mark.parametrize(
    ("given", "simpler"),
    [
        (
            Violation(
                "MaxInFlight",
                "'origin' had 11 calls in flight, allowed 1.",
                [("inside", "caller-1 a.py:3"), ("inside", "caller-2 a.py:3")],
            ),
            LEAK,
        ),
        (Violation("Failed", "an assert of the scenario failed: [] == 4", FAILED.evidence), FAILED),
        (
            Violation("Unhandled", "'job-22' raised KeyError and nobody took it.", RAISED.evidence),
            RAISED,
        ),
        (deadlock("'main', 'job-1', 'job-2'", "a.py:1", "a.py:2"), deadlock("'job-7'", "a.py:2")),
    ],
    ids=["how many", "values", "which of equals", "fewer who are stuck"],
)
def test_numbers_names_of_equals_and_fewer_places_make_no_difference(
    given: Violation, simpler: Violation
) -> None:
    """They differ between two runs of one bug."""
    assert bug_of(given).is_shown_by(bug_of(simpler))


@pytest.mark.parametrize(
    ("given", "other"),
    [
        (LEAK, FAILED),
        (LEAK, Violation("MaxInFlight", "'mirror' had 2 calls in flight, allowed 1.")),
        (FAILED, Violation("Failed", FAILED.summary, [("where", "a.py:10")])),
        (FAILED, Violation("Failed", FAILED.summary)),
        (
            RAISED,
            Violation(
                "Unhandled", "'job-1' raised ValueError and nobody took it.", RAISED.evidence
            ),
        ),
        (RAISED, Violation("Unhandled", RAISED.summary, [("where", "a.py:5")])),
        (deadlock("'job-1'", "a.py:2"), deadlock("'job-1'", "a.py:2", "a.py:3")),
        (deadlock("'job-1'", "a.py:2"), deadlock("'job-1', 'main'", "a.py:2")),
    ],
    ids=[
        "check",
        "name",
        "place",
        "no place",
        "exception",
        "place of the exception",
        "more places",
        "more who are stuck",
    ],
)
def test_another_check_name_or_place_is_another_bug(given: Violation, other: Violation) -> None:
    """A simpler run that shows something else shows nothing."""
    assert not bug_of(given).is_shown_by(bug_of(other))


def test_what_happened_beside_it_makes_no_difference() -> None:
    """Neither when it was nor what was raised and logged meanwhile."""
    rows = [("raised", "KeyError at b.py:1"), ("logged", "x at b.py:2"), ("when", "step 3")]

    assert bug_of(LEAK.with_evidence(rows)) == bug_of(LEAK)


def test_where_in_its_loop_a_livelock_is_caught_makes_no_difference() -> None:
    """That is a matter of counting."""
    given, other = (
        Violation(
            "Livelock",
            f"'job-1' goes round without end: {points} points and nothing has changed.",
            [("where", f"a.py:{line}: pass")],
        )
        for points, line in (("10,001", 4), ("10,250", 5))
    )

    assert bug_of(given) == bug_of(other)
