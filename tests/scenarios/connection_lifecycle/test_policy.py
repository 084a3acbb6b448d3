"""The pure decisions of the reader and the virtual file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenarios.connection_lifecycle.reader import policy
from scenarios.connection_lifecycle.reader.policy import Article, Retry, Slice
from scenarios.connection_lifecycle.virtual_file import policy as file_policy

SIZES = st.lists(st.integers(0, 9), max_size=8)


@given(SIZES, st.integers(0, 80), st.none() | st.integers(0, 80))
def test_slices_cover_the_range_once_and_in_order(
    sizes: list[int], start: int, end: int | None
) -> None:
    """The bytes that the slices name are the bytes from start to end of the file, no more."""
    articles = [Article(str(index), size) for index, size in enumerate(sizes)]
    file = [(str(index), at) for index, size in enumerate(sizes) for at in range(size)]

    cut = policy.slices(articles, start, end)

    named = [(piece.id, at) for piece in cut for at in range(piece.start, piece.end + 1)]
    assert named == file[start : None if end is None else end + 1]
    assert all(piece.start <= piece.end for piece in cut)


def test_slices_trim_the_first_and_the_last_article() -> None:
    """A range that starts and ends inside an article asks for the rest of it only."""
    articles = [Article("seg-0", 10), Article("seg-1", 10), Article("seg-2", 10)]

    assert policy.slices(articles, 4, 22) == [
        Slice("seg-0", 4, 9),
        Slice("seg-1", 0, 9),
        Slice("seg-2", 0, 2),
    ]


@given(st.floats(0.0, 1.0, exclude_max=True))
def test_a_delay_lies_between_50_and_150_ms(drawn: float) -> None:
    """Whatever the generator draws, the delay stays in the documented interval."""
    delay = policy.backoff(Retry(), lambda low, high: low + (high - low) * drawn)

    assert 0.050 <= delay <= 0.150


def test_an_attempt_takes_no_longer_than_its_parent_allows() -> None:
    """The time-out is fifteen seconds or what the parent has left."""
    assert policy.attempt_timeout(Retry(), None) == 15.0
    assert policy.attempt_timeout(Retry(), 20.0) == 15.0
    assert policy.attempt_timeout(Retry(), 3.0) == 3.0


def test_a_window_that_nobody_asked_for_is_sixty() -> None:
    """Zero and less mean the default."""
    assert [policy.window_size(asked) for asked in (-1, 0, 1, 4)] == [60, 60, 1, 4]


@given(st.integers(0, 99), st.integers(0, 99), st.integers(1, 99))
def test_there_is_room_while_fewer_than_the_window_are_ahead(
    scheduled: int, consumed: int, window: int
) -> None:
    """Scheduling one more never makes more than the window."""
    assert policy.has_room(scheduled, consumed, window) == (scheduled + 1 - consumed <= window)


def test_missing_is_a_category_of_codes() -> None:
    """Both ways to say that there is no such article count, and nothing else does."""
    assert [code for code in range(200, 600) if policy.is_missing(code)] == [423, 430]


def test_a_payload_is_complete_when_it_holds_the_last_byte_wanted() -> None:
    """A longer one will do, a shorter one will not."""
    assert [policy.is_complete(length, end=9) for length in (9, 10, 11)] == [False, True, True]


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99))
def test_a_read_is_clamped_to_the_file(position: int, size: int, file_size: int) -> None:
    """As many bytes are wanted as a slice of the file would have."""
    file = bytes(file_size)

    assert file_policy.wanted(position, size, file_size) == len(file[position : position + size])


def test_a_file_may_be_positioned_at_its_end_and_not_behind_it() -> None:
    """Nor before its start."""
    assert [at for at in range(-2, 8) if file_policy.is_inside(at, 5)] == [0, 1, 2, 3, 4, 5]


@given(SIZES, st.integers(-3, 80))
def test_the_segment_of_a_byte_is_found(sizes: list[int], offset: int) -> None:
    """As if all bytes were written down; -1 before the file and behind it."""
    owners = [index for index, size in enumerate(sizes) for _ in range(size)]
    layout = file_policy.Layout.of(sizes)

    found = layout.segment_at(offset)

    assert found == (owners[offset] if 0 <= offset < len(owners) else -1)
    assert layout.size == len(owners)


@given(SIZES, st.integers(0, 80), st.integers(0, 20))
def test_only_a_read_inside_one_segment_has_a_segment(
    sizes: list[int], offset: int, size: int
) -> None:
    """One byte more, and it has none; nor has a read of nothing."""
    owners = [index for index, each in enumerate(sizes) for _ in range(each)]
    touched = set(owners[offset : offset + size])
    is_inside = size > 0 and offset + size <= len(owners) and len(touched) == 1

    found = file_policy.Layout.of(sizes).segment_of(offset, size)

    assert found == (touched.pop() if is_inside else -1)


@pytest.mark.parametrize(("offset", "whence", "place"), [(3, 0, 3), (2, 1, 6), (-1, 2, 9)])
def test_a_seek_means_a_place(offset: int, whence: int, place: int) -> None:
    """Counted from the start, from the position and from the end."""
    assert file_policy.target(offset, whence, 4, 10) == place


@pytest.mark.parametrize(("offset", "whence"), [(11, 0), (-1, 0), (-5, 1), (1, 2), (0, 7)])
def test_a_place_outside_the_file_is_refused(offset: int, whence: int) -> None:
    """So is a word that is none of the three."""
    with pytest.raises(ValueError, match="must"):
        file_policy.target(offset, whence, 4, 10)
