"""Segments: every byte tells where it belongs."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.doubles import file_bytes, payload, segment_id
from harness.errors import HarnessError

pytestmark = pytest.mark.one_ground

INDEXES = st.integers(0, 999_999)
SIZES = st.integers(-3, 300)


@given(INDEXES, INDEXES)
def test_ids_sort_as_their_numbers(one: int, other: int) -> None:
    """And no two are alike."""
    assert (segment_id(one) < segment_id(other)) == (one < other)
    assert (segment_id(one) == segment_id(other)) == (one == other)


def test_an_id_can_be_read() -> None:
    """Its number is in it."""
    assert segment_id(7) == "segment-000007@fake"
    assert payload(7, 10) == b"seg-000007"


@given(INDEXES, SIZES, SIZES)
def test_a_payload_has_its_size_and_a_shorter_one_is_its_beginning(
    index: int, size: int, shorter: int
) -> None:
    """Nothing at or below 0; the same on every call."""
    whole = payload(index, size)

    assert len(whole) == max(0, size)
    assert payload(index, min(size, shorter)) == whole[: max(0, shorter)]


@given(INDEXES, INDEXES, st.integers(11, 200), st.integers(1, 100))
def test_a_wrong_segment_or_a_shift_shows(index: int, other: int, size: int, shift: int) -> None:
    """No other segment has these bytes, nor has the same one a little later or earlier."""
    assume(index != other)
    assert payload(index, size) != payload(other, size)
    longer = payload(index, size + shift)
    assert longer[shift:] != payload(index, size)


@given(st.integers(0, 9), st.integers(0, 60))
def test_a_file_is_its_segments_in_order(count: int, size: int) -> None:
    """The oracle of whoever puts them together again."""
    whole = file_bytes(count, size)

    assert len(whole) == count * size
    for index in range(count):
        assert whole[index * size : (index + 1) * size] == payload(index, size)
    assert file_bytes(-1, size) == b""


@pytest.mark.parametrize("index", [-1, 1_000_000])
def test_a_number_that_would_not_sort_is_refused(index: int) -> None:
    """Six digits, from 0."""
    with pytest.raises(HarnessError, match=f"index={index} must be from 0 to 999999"):
        segment_id(index)
