"""The reader, one promise at a time; its storms are in `scenarios/`."""

import threading
from typing import Any

import pytest

from harness import Behaviour, FakePool, Gate, TransientError
from scenarios.connection_lifecycle.film import Film
from scenarios.connection_lifecycle.reader.reference import (
    ClosedPipeError,
    CorruptedFileError,
    CorruptionError,
    FetchError,
    Reader,
    ResponseError,
    Retry,
    Segment,
)
from scenarios.connection_lifecycle.scope import Scope
from tests.doubles.running import holds

FILM = Film(6, 32)
AT_ONCE = Retry(base_delay=0.0, jitter=0.0)


def origin_of() -> FakePool:
    """Return a pool that has the film."""
    return FakePool("origin", payload=FILM.bodies.__getitem__)


@pytest.mark.parametrize("start", [0, 1, 31, 32, 33, 191])
def test_a_reader_returns_the_file_from_where_it_starts(start: int) -> None:
    """Byte by byte, in portions that have nothing to do with the articles."""
    origin = origin_of()

    with Reader(lambda: origin, FILM.slices(start), window=2) as reader:
        portions = [reader.read(7) for _ in range(40)]

    assert b"".join(portions) == FILM.content[start:]
    assert portions[-1] == b""


def test_a_reader_that_is_never_read_starts_no_thread() -> None:
    """Nor does a read of nothing."""
    before = threading.active_count()
    origin = origin_of()

    with Reader(lambda: origin, FILM.slices()) as reader:
        assert reader.read(0) == b""
        assert threading.active_count() == before

    assert origin.total == 0


def test_a_negative_size_is_refused() -> None:
    """There is no "read all" by accident."""
    reader = Reader(origin_of, FILM.slices())

    with pytest.raises(ValueError, match="size=-1 must not be negative"):
        reader.read(-1)


def test_bytes_before_a_failure_are_returned_and_the_failure_stays() -> None:
    """The failure is raised by the next read, and by every later one."""
    origin = origin_of()
    origin.set(FILM.ids[2], Behaviour(error=TransientError))

    with Reader(lambda: origin, FILM.slices(), retry=AT_ONCE) as reader:
        assert reader.read(1000) == FILM.content[:64]
        with pytest.raises(FetchError) as first:
            reader.read(1)
        with pytest.raises(FetchError):
            reader.read(1)

    assert [type(exc) for exc in first.value.exceptions] == [TransientError] * 2
    assert not first.value.is_missing


def test_a_missing_article_after_a_hiccup_counts_as_missing() -> None:
    """Any of the attempts may be the one that knew; what was read before is said."""
    origin = origin_of()
    gone = Behaviour(error=ResponseError(430, "no such article"))
    origin.script(FILM.ids[1], Behaviour(error=TransientError), gone)

    with Reader(lambda: origin, FILM.slices(), retry=AT_ONCE) as reader:
        assert reader.read(32) == FILM.content[:32]
        with pytest.raises(CorruptedFileError, match="after 32 bytes") as caught:
            reader.read(1)

    assert caught.value.bytes_read == 32


def test_a_payload_cut_short_is_corruption() -> None:
    """It is asked for again, and never handed on."""
    origin = origin_of()
    bodies = FILM.bodies.__getitem__
    origin.set(FILM.ids[0], Behaviour(payload=bodies, truncate=31))

    with (
        Reader(lambda: origin, FILM.slices(), retry=AT_ONCE) as reader,
        pytest.raises(FetchError) as caught,
    ):
        reader.read(1)

    assert [type(exc) for exc in caught.value.exceptions] == [CorruptionError] * 2
    assert origin.calls(FILM.ids[0]) == 2


def test_a_cached_article_costs_no_call() -> None:
    """What the first reader fetched, the second one finds; a short entry is not trusted."""
    origin, cache = origin_of(), dict[str, bytes]()
    with Reader(lambda: origin, FILM.slices(), cache=cache) as reader:
        reader.read(1000)
    cache[FILM.ids[3]] = b"short"
    origin.reset()

    with Reader(lambda: origin, FILM.slices(), cache=cache) as reader:
        assert reader.read(1000) == FILM.content

    assert (origin.total, origin.calls(FILM.ids[3])) == (1, 1)
    assert cache == FILM.bodies


def test_a_closed_reader_says_so() -> None:
    """Also at its end, also after an interrupt alone, and close may be repeated."""
    origin = origin_of()
    reader = Reader(lambda: origin, FILM.slices())
    assert reader.read(1000) == FILM.content

    reader.interrupt()
    with pytest.raises(ClosedPipeError):
        reader.read(1)
    reader.close()
    reader.close()

    with pytest.raises(ClosedPipeError):
        reader.read(1)
    assert reader.buffered_offset() == len(FILM.content)


def test_a_reader_interrupted_before_its_first_read_never_asks() -> None:
    """The interrupt comes first, the read finds it."""
    origin = origin_of()
    reader = Reader(lambda: origin, FILM.slices())

    reader.interrupt()

    with pytest.raises(ClosedPipeError):
        reader.read(1)
    reader.close()
    assert origin.total == 0


def test_buffered_bytes_are_counted_up_to_the_first_gap() -> None:
    """Articles behind one that has not come do not count."""

    def program(sim: Any) -> None:
        origin = sim.pool("origin", latency=1.0, payload=FILM.bodies.__getitem__)
        late = Behaviour(latency=2.0, payload=FILM.bodies.__getitem__)
        origin.set(FILM.ids[2], late)
        with Reader(lambda: origin, FILM.slices(), window=4) as reader:
            reader.start()
            assert reader.buffered_offset() == 0
            sim.advance(1.5)
            sim.settle()
            assert reader.buffered_offset() == 2 * 32
            assert reader.read(5) == FILM.content[:5]
            assert reader.buffered_offset() == 2 * 32
            sim.advance(1.0)
            sim.settle()
            assert reader.buffered_offset() == 4 * 32

    holds(program)


def test_a_parent_scope_ends_a_read() -> None:
    """The one who asked has gone: the reader is interrupted with it."""

    def program(sim: Any) -> None:
        parent, stuck = Scope(), sim.gate("stuck")
        origin = sim.pool("origin")
        origin.block_until(stuck)
        reader = Reader(lambda: origin, FILM.slices(), window=2, scope=parent)

        with sim.storm() as storm:
            storm.spawn(reader.read, 1)
            stuck.wait_for(2)
            parent.cancel()
        reader.close()

        assert isinstance(storm.errors()[0], ClosedPipeError)
        assert not parent._callbacks

    holds(program)


def test_a_parent_deadline_ends_a_read_though_it_calls_nobody() -> None:
    """Attempts are cut at the deadline, and segments behind the window are not waited for."""

    def program(sim: Any) -> None:
        parent = Scope(timeout=7.0)
        origin = sim.pool("origin")
        origin.set_default(Behaviour(hang=True))
        origin.set(FILM.ids[0], Behaviour(payload=FILM.bodies.__getitem__))
        with (
            Reader(lambda: origin, FILM.slices(), window=2, scope=parent) as reader,
            sim.storm() as storm,
        ):
            storm.spawn(reader.read, 1000)

        assert storm.results() == [FILM.content[:32]]
        assert storm.elapsed == 7.0
        assert origin.in_flight == 0

    holds(program)


def test_a_wait_for_a_segment_may_be_given_up_and_taken_up_again() -> None:
    """The cause of the scope is raised; the segment knows nothing of it."""
    segment, scope = Segment(FILM.slices(3)[0]), Scope()
    reason = ValueError("not now")
    scope.cancel(reason)

    with pytest.raises(ValueError, match="not now"):
        segment.payload(scope)
    segment.set_data(FILM.content[:32])

    assert segment.payload(Scope()) == FILM.content[3:32]


def test_a_scope_wakes_who_waits_for_a_segment() -> None:
    """By cancellation at once, by its deadline when it comes."""

    def program(sim: Any) -> None:
        segment, scope = Segment(FILM.slices()[0]), Scope()

        with sim.storm() as storm:
            storm.spawn(segment.payload, scope)
            storm.spawn(segment.payload, Scope(timeout=3.0))
            sim.advance(1.0)
            scope.cancel(ValueError("enough"))

        assert [type(exc) for exc in storm.errors()] == [ValueError, TimeoutError]
        assert storm.elapsed == 3.0

    holds(program)


def test_a_released_segment_ignores_data() -> None:
    """Releasing is final, and may be repeated."""
    segment = Segment(FILM.slices()[0])
    segment.release()
    segment.release()

    segment.set_data(FILM.content)

    assert not segment.is_loaded
    with pytest.raises(ClosedPipeError):
        segment.payload()


def test_a_real_close_frees_a_real_read() -> None:
    """The same in real threads: no simulation, no waiting."""
    origin, stuck = origin_of(), Gate("stuck")
    origin.block_until(stuck)
    reader = Reader(lambda: origin, FILM.slices(), window=2)
    caught = list[BaseException]()

    def viewer() -> None:
        with pytest.raises(ClosedPipeError) as info:
            reader.read(1)
        caught.append(info.value)

    thread = threading.Thread(target=viewer)
    thread.start()
    stuck.wait_for(2)
    reader.close()
    thread.join()

    assert len(caught) == 1
