"""The reader for asyncio, one promise at a time; its storms are in `scenarios/`."""

import asyncio

import pytest

from harness import AsyncFakePool, Behaviour, TransientError
from scenarios.connection_lifecycle.film import Film
from scenarios.connection_lifecycle.reader.aio import AsyncReader, AsyncSegment
from scenarios.connection_lifecycle.reader.policy import Retry
from scenarios.connection_lifecycle.reader.reference import (
    ClosedPipeError,
    CorruptedFileError,
    CorruptionError,
    FetchError,
    ResponseError,
)

FILM = Film(6, 32)
AT_ONCE = Retry(base_delay=0.0, jitter=0.0)


def origin_of() -> AsyncFakePool:
    """Return a pool that has the film."""
    return AsyncFakePool("origin", payload=FILM.bodies.__getitem__)


@pytest.mark.parametrize("start", [0, 1, 31, 32, 33, 191])
def test_a_reader_returns_the_file_from_where_it_starts(start: int) -> None:
    """Byte by byte, in portions that have nothing to do with the articles."""

    async def program() -> list[bytes]:
        origin = origin_of()
        async with AsyncReader(lambda: origin, FILM.slices(start), window=2) as reader:
            return [await reader.read(7) for _ in range(40)]

    portions = asyncio.run(program())

    assert b"".join(portions) == FILM.content[start:]
    assert portions[-1] == b""


def test_a_reader_that_is_never_read_starts_no_task() -> None:
    """Nor does a read of nothing; a negative size is refused."""

    async def program() -> int:
        origin = origin_of()
        async with AsyncReader(lambda: origin, FILM.slices()) as reader:
            assert await reader.read(0) == b""
            with pytest.raises(ValueError, match="size=-1 must not be negative"):
                await reader.read(-1)
            assert len(asyncio.all_tasks()) == 1
        return origin.total

    assert asyncio.run(program()) == 0


def test_bytes_before_a_failure_are_returned_and_the_failure_stays() -> None:
    """The failure is raised by the next read, and by every later one."""

    async def program() -> list[type[Exception]]:
        origin = origin_of()
        origin.set(FILM.ids[2], Behaviour(error=TransientError))
        async with AsyncReader(lambda: origin, FILM.slices(), retry=AT_ONCE) as reader:
            assert await reader.read(1000) == FILM.content[:64]
            for _ in range(2):
                with pytest.raises(FetchError) as caught:
                    await reader.read(1)
        return [type(exc) for exc in caught.value.exceptions]

    assert asyncio.run(program()) == [TransientError] * 2


def test_a_missing_article_after_a_hiccup_counts_as_missing() -> None:
    """Any of the attempts may be the one that knew; what was read before is said."""

    async def program() -> int:
        origin = origin_of()
        origin.script(FILM.ids[1], Behaviour(error=TransientError), Behaviour(error=gone))
        async with AsyncReader(lambda: origin, FILM.slices(), retry=AT_ONCE) as reader:
            assert await reader.read(32) == FILM.content[:32]
            with pytest.raises(CorruptedFileError) as caught:
                await reader.read(1)
        return caught.value.bytes_read

    gone = ResponseError(430, "no such article")

    assert asyncio.run(program()) == 32


def test_a_payload_cut_short_is_corruption() -> None:
    """It is asked for again, and never handed on."""

    async def program() -> tuple[list[type[Exception]], int]:
        origin = origin_of()
        origin.set(FILM.ids[0], Behaviour(payload=FILM.bodies.__getitem__, truncate=31))
        async with AsyncReader(lambda: origin, FILM.slices(), retry=AT_ONCE) as reader:
            with pytest.raises(FetchError) as caught:
                await reader.read(1)
        return [type(exc) for exc in caught.value.exceptions], origin.calls(FILM.ids[0])

    assert asyncio.run(program()) == ([CorruptionError] * 2, 2)


def test_a_cached_article_costs_no_call() -> None:
    """What the first reader fetched, the second one finds; a short entry is not trusted."""

    async def program() -> int:
        origin, cache = origin_of(), dict[str, bytes]()
        async with AsyncReader(lambda: origin, FILM.slices(), cache=cache) as reader:
            await reader.read(1000)
        cache[FILM.ids[3]] = b"short"
        origin.reset()
        async with AsyncReader(lambda: origin, FILM.slices(), cache=cache) as reader:
            assert await reader.read(1000) == FILM.content
        return origin.total

    assert asyncio.run(program()) == 1


def test_a_closed_reader_says_so() -> None:
    """However often it is closed; what is buffered may still be asked."""

    async def program() -> int:
        origin = origin_of()
        reader = AsyncReader(lambda: origin, FILM.slices(), window=2)
        await reader.read(40)
        await asyncio.gather(reader.close(), reader.close())
        with pytest.raises(ClosedPipeError):
            await reader.read(1)
        assert len(asyncio.all_tasks()) == 1
        return reader.buffered_offset()

    assert asyncio.run(program()) == 40


def test_what_is_buffered_counts_without_a_gap() -> None:
    """Segments that are here, up to the first that is not."""

    async def program() -> list[int]:
        origin = origin_of()
        origin.set(FILM.ids[2], Behaviour(hang=True))
        async with AsyncReader(lambda: origin, FILM.slices(), window=4) as reader:
            before = reader.buffered_offset()
            await reader.read(16)
            # The second article takes as many turns of the loop as it takes.
            while reader.in_flight > 1:
                await asyncio.sleep(0)
            return [before, reader.buffered_offset()]

    assert asyncio.run(program()) == [0, 64]


def test_the_first_error_wins() -> None:
    """Later errors and data change nothing."""

    async def program() -> str:
        segment = AsyncSegment(FILM.slices()[0])
        segment.set_error(TransientError("the first"))
        segment.set_error(TransientError("a later one"))
        segment.set_data(FILM.content)
        with pytest.raises(TransientError) as caught:
            await segment.payload()
        return str(caught.value)

    assert asyncio.run(program()) == "the first"
