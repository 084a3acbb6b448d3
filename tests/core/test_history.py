"""The history: two runs are equal iff what they share is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.core.history import Event, History

EVENTS = st.builds(
    Event,
    step=st.integers(0, 3),
    actor=st.sampled_from(["0", "0.1", "0.1.1"]),
    who=st.sampled_from(["caller", "caller-1"]),
    operation=st.sampled_from(["call", "sleep"]),
    target=st.sampled_from(["origin", "a", "aa", "", "', '"]),
    time_ns=st.integers(0, 3),
    outcome=st.sampled_from(["", "a", "ok"]),
    where=st.sampled_from(["", "reference.py:31"]),
    by=st.none(),
    site=st.none(),
)
HISTORIES = st.lists(EVENTS, max_size=4).map(History)


def keys(history: History) -> list[tuple[str, str, str, int, str]]:
    """Return what equal runs share."""
    return [event.key() for event in history.events]


@given(HISTORIES, HISTORIES)
def test_digests_are_equal_iff_the_runs_are(one: History, other: History) -> None:
    """The digest tells apart exactly what the keys tell apart."""
    assert (one.digest() == other.digest()) == (keys(one) == keys(other))


@given(HISTORIES)
def test_what_differs_between_processes_is_not_in_the_digest(history: History) -> None:
    """Steps, names of threads and places in files may differ; the digest does not."""
    elsewhere = History(
        [
            event._replace(step=event.step + 9, where="other.py:1", who="Thread-9")
            for event in history.events
        ]
    )

    assert elsewhere.digest() == history.digest()
    assert elsewhere.first_difference(history) is None


@given(HISTORIES, HISTORIES)
def test_the_first_difference_is_where_runs_part(one: History, other: History) -> None:
    """Everything before it is shared; at it, the sides differ or one has ended."""
    difference = one.first_difference(other)

    if difference is None:
        assert keys(one) == keys(other)
    else:
        index, mine, theirs = difference
        assert keys(one)[:index] == keys(other)[:index]
        assert mine == (one.events[index] if index < len(one.events) else None)
        assert theirs == (other.events[index] if index < len(other.events) else None)
        assert (mine and mine.key()) != (theirs and theirs.key())


@given(st.lists(EVENTS, max_size=5))
def test_events_are_kept_in_order(events: list[Event]) -> None:
    """Adding one by one is the list itself."""
    history = History()
    for event in events:
        history.add(event)

    assert history.events == events
