"""Streams and their groups: what is owed, what is claimed, what a deletion takes with it."""

from __future__ import annotations

import pytest

from harness.doubles import StoreError
from harness.doubles.streams import (
    FIRST,
    LAST,
    NODE_ENTRIES,
    Group,
    Stream,
    parse_id,
    parse_range,
    text_of,
)

pytestmark = pytest.mark.one_ground


def filled(entries: int) -> Stream:
    """Return a stream with a group that has read nothing."""
    stream = Stream()
    for number in range(1, entries + 1):
        stream.add({"k": str(number)}, f"{number}-0", now_ms=0)
    stream.groups["sink"] = Group(FIRST)
    return stream


def test_deleting_a_consumer_drops_what_it_owes() -> None:
    """Nobody gets these entries again: not by reading, not by claiming."""
    stream = filled(3)
    stream.groups["sink"].see("dead", 0)
    stream.read_group("sink", "dead", 2, 0, no_ack=False)

    assert stream.delete_consumer("sink", "dead") == 2

    claim = stream.auto_claim(
        "sink", "alive", FIRST, 10**6, min_idle_ms=0, count=10, just_ids=False
    )
    assert claim == (FIRST, [], [])
    assert [id for id, _ in stream.read_group("sink", "alive", None, 0, no_ack=False)] == ["3-0"]


def test_only_what_is_idle_is_claimed_page_by_page() -> None:
    """A claim makes an entry young again, and counts its deliveries."""
    stream = filled(4)
    stream.read_group("sink", "slow", 3, 0, no_ack=False)
    stream.read_group("sink", "fresh", 1, 900, no_ack=False)

    def claim(start: tuple[int, int], count: int) -> object:
        return stream.auto_claim(
            "sink", "other", start, 1000, min_idle_ms=1000, count=count, just_ids=False
        )

    assert claim(FIRST, 2) == ((3, 0), [(1, 0), (2, 0)], [])
    assert claim((3, 0), 2) == (FIRST, [(3, 0)], [])
    assert claim(FIRST, 9) == (FIRST, [], [])
    group = stream.groups["sink"]
    assert [(each.consumer, each.times) for each in group.pending.values()] == [
        ("other", 2),
        ("other", 2),
        ("other", 2),
        ("fresh", 1),
    ]


def test_an_entry_that_is_deleted_is_claimed_by_nobody() -> None:
    """It leaves the pending list, and the claim tells."""
    stream = filled(2)
    stream.read_group("sink", "slow", None, 0, no_ack=False)
    stream.remove([(1, 0)])

    claim = stream.auto_claim("sink", "other", FIRST, 0, min_idle_ms=0, count=9, just_ids=False)

    assert claim == (FIRST, [(2, 0)], [(1, 0)])
    assert stream.acknowledge("sink", [(1, 0), (2, 0)]) == 1
    assert stream.acknowledge("nobody", [(2, 0)]) == 0


def test_an_approximate_trim_drops_whole_nodes() -> None:
    """So a stream may hold almost a node more than it was cut to; an exact one cuts anywhere."""
    stream = filled(2 * NODE_ENTRIES + 50)

    assert stream.trim(60, approximate=True) == NODE_ENTRIES
    assert len(stream) == NODE_ENTRIES + 50
    assert stream.trim(50, approximate=True) == NODE_ENTRIES
    assert stream.trim(10, approximate=False) == 40
    assert next(iter(stream.entries)) == (2 * NODE_ENTRIES + 41, 0)


def test_ids_rise() -> None:
    """Also when the clock stands still or is set back."""
    stream = Stream()

    ids = [stream.add({"k": "v"}, "*", now_ms) for now_ms in (7, 7, 5, 8)]

    assert ids == ["7-0", "7-1", "7-2", "8-0"]
    assert stream.add({"k": "v"}, "8-*", 0) == "8-1"
    for id, text in (("8-1", "equal or smaller"), ("0-0", "greater than 0-0"), ("x", "Invalid")):
        with pytest.raises(StoreError, match=text):
            stream.add({"k": "v"}, id, 9)


def test_ids_and_ranges_are_read() -> None:
    """With and without a number, open and closed."""
    assert [parse_id(text, 0) for text in ("-", "+", "5", "5-3")] == [FIRST, LAST, (5, 0), (5, 3)]
    assert parse_range("5", "6") == ((5, 0), (6, LAST[1]))
    assert parse_range("(5-3", "(6-1") == ((5, 4), (6, 0))
    assert parse_range("-", "(6-0") == (FIRST, (5, LAST[1]))
    assert text_of((5, 3)) == "5-3"
