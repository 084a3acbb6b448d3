"""Records: how they become verdicts, and which one serves which attempt."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from harness.doubles import ECHO, Behaviour, TransientError
from harness.doubles.behaviour import Records
from harness.faults import PASS, Delay, Fail, Hang, Site, Truncate

SITE = Site("call", "origin", "0", 1)
SPANS = st.tuples(st.integers(0, 2_000_000), st.integers(0, 2_000_000)).map(sorted)


def test_an_outcome_is_a_verdict() -> None:
    """A record is a certain rule, like any other rule of a fault."""
    records = {
        "plain": Behaviour(),
        "error": Behaviour(error=OSError),
        "truncate": Behaviour(truncate=3),
        "hang": Behaviour(hang=True),
        "fail_first": Behaviour(fail_first=1),
    }

    outcomes = {name: record.rule(1)(SITE) for name, record in records.items()}

    assert outcomes == {
        "plain": PASS,
        "error": Fail(OSError),
        "truncate": Truncate(3),
        "hang": Hang(),
        "fail_first": Fail(TransientError),
    }
    assert Behaviour(fail_first=1).rule(2)(SITE) == PASS
    assert repr(Behaviour().payload) == repr(ECHO) == "ECHO"


@given(SPANS, st.data())
def test_a_drawn_latency_lies_in_its_span(microseconds: list[int], data: Any) -> None:
    """Both ends can be drawn; 0 is the low one."""
    low, high = (bound / 1_000_000 for bound in microseconds)
    record = Behaviour(latency=(low, high))

    drawn = record.delay(lambda options: data.draw(st.integers(0, options - 1)))

    assert low <= drawn.seconds <= high
    assert record.delay(lambda _options: 0) == Delay(low)
    assert record.delay(lambda options: options - 1) == Delay(high)


@given(st.lists(st.integers(0, 3), max_size=20), st.integers(0, 5))
def test_each_attempt_of_a_script_is_served_once(serving: list[int], before: int) -> None:
    """Whatever calls came before, and in whatever order they are served: the arrival decides."""
    steps = [Behaviour(payload=index) for index in range(3)]
    records = Records(Behaviour(payload="default"))
    for _ in range(before):
        records.arrive("seg-1")
    records.script("seg-1", steps, Behaviour(payload="then"))

    ordinals = [records.arrive("seg-1") for _ in serving]
    # Served in an order that has nothing to do with arrival.
    order = sorted(range(len(serving)), key=serving.__getitem__)
    served = {index: records.plan("seg-1", ordinals[index]).record.payload for index in order}

    expected = [0, 1, 2, *["then"] * len(serving)][: len(serving)]
    assert [served[index] for index in range(len(serving))] == expected
    assert records.plan("seg-2", 1).record.payload == "default"
