"""The books of a pool: every way to count agrees, and a full log says so."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from harness.doubles import ledger
from harness.doubles.ledger import Ledger, Request

REQUESTS = st.builds(
    Request,
    method=st.sampled_from(["call", "exists"]),
    key=st.sampled_from("ab"),
    lane=st.sampled_from(["", "stream"]),
    argument=st.none(),
    who=st.just("caller"),
)
ANY = st.one_of(st.none(), st.sampled_from(["a", "b", "", "stream", "call", "exists"]))


@given(st.lists(st.one_of(REQUESTS, st.just("reset")), max_size=20), ANY, ANY, ANY)
def test_every_count_agrees_with_the_list_of_calls(
    happened: list[Any], key: str | None, lane: str | None, method: str | None
) -> None:
    """Since the last reset; ordinals go on through it."""
    books, kept, ordinals = Ledger(), list[Request](), list[int]()

    for request in happened:
        if request == "reset":
            books.reset()
            kept.clear()
        else:
            ordinals.append(books.arrive(request))
            kept.append(request)

    wanted = [
        request
        for request in kept
        if key in (None, request.key)
        and lane in (None, request.lane)
        and method in (None, request.method)
    ]
    assert books.calls(key, lane, method) == len(wanted)
    assert books.total == len(kept) == len(books.events()) == len(books.arrivals(None))
    assert len(books.arrivals("a")) == len(books.arguments("a")) == books.calls("a", None, None)
    assert ordinals == list(range(1, len(ordinals) + 1))


def test_a_full_log_tells_how_much_it_lost() -> None:
    """The oldest lines give way; the counts stay right."""
    books, request = Ledger(), Request("call", "a", "", None, "caller")
    for _ in range(ledger.EVENTS_MAX + 3):
        books.note("chunk", request, 1)

    assert books.events_dropped == 3
    assert len(books.events()) == ledger.EVENTS_MAX
