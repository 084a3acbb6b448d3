"""The virtual file, one promise at a time; its storms are in `scenarios/`."""

import os
import threading

import pytest

from harness import Behaviour, FakePool, InFlight, SlowCloseReader
from scenarios.connection_lifecycle.film import Film
from scenarios.connection_lifecycle.reader.reference import (
    ClosedPipeError,
    CorruptedFileError,
    Reader,
    ResponseError,
)
from scenarios.connection_lifecycle.scope import Scope
from scenarios.connection_lifecycle.virtual_file.reference import (
    Closers,
    Layout,
    RandomReads,
    SegmentCache,
    VirtualFile,
)
from tests.doubles.running import holds

FILM = Film(6, 32)
LAYOUT = Layout.of([32] * 6)


class Short:
    """A reader over so many bytes of the film from an offset; notes what is done with it."""

    def __init__(self, offset: int, size: int) -> None:
        self.left = FILM.content[offset : offset + size]
        self.log = list[str]()

    def read(self, size: int) -> bytes:
        """Return what is left, piece by piece."""
        piece, self.left = self.left[:size], self.left[size:]
        return piece

    def interrupt(self) -> None:
        """Note it."""
        self.log.append("interrupt")

    def close(self) -> None:
        """Note it."""
        self.log.append("close")


def test_a_file_goes_on_with_another_reader_where_one_ends() -> None:
    """Each reader covers part of the file only; each is interrupted, then closed, once."""
    readers = list[Short]()

    def open_reader(offset: int, end: int) -> Short:
        readers.append(Short(offset, 50))
        return readers[-1]

    file = VirtualFile(open_reader, LAYOUT)
    assert file.read(1000) == FILM.content
    assert file.read(1) == b""
    file.close()

    assert len(readers) == 4
    assert [reader.log for reader in readers[:-1]] == [["interrupt", "close"]] * 3
    assert readers[-1].log == ["interrupt", "close"]


def test_a_reader_without_a_byte_is_an_error() -> None:
    """It is not opened again and again."""
    opened = list[int]()

    def open_reader(offset: int, end: int) -> Short:
        opened.append(offset)
        return Short(offset, 0)

    file = VirtualFile(open_reader, Layout.of([10]))
    with pytest.raises(EOFError, match="a new reader at 0 had no data"):
        file.read(4)
    file.close()

    assert opened == [0]


def test_a_missing_article_makes_the_file_unhealthy() -> None:
    """What came before it is returned first."""
    origin = FakePool("origin", payload=FILM.bodies.__getitem__)
    origin.set(FILM.ids[1], Behaviour(error=ResponseError(430)))
    file = VirtualFile(lambda at, end: Reader(lambda: origin, FILM.slices(at, end)), LAYOUT)

    assert file.read(40) == FILM.content[:32]
    with pytest.raises(CorruptedFileError):
        file.read(1)
    file.close()

    assert not file.is_healthy


def test_a_seek_moves_the_next_read() -> None:
    """To the very end, too; a seek to where one is keeps the reader."""
    readers = list[Short]()

    def open_reader(offset: int, end: int) -> Short:
        readers.append(Short(offset, 1000))
        return readers[-1]

    file = VirtualFile(open_reader, LAYOUT)
    assert file.read(2) == FILM.content[:2]
    assert file.seek(2) == 2
    assert file.read(2) == FILM.content[2:4]
    assert len(readers) == 1

    assert file.seek(100) == 100
    assert file.read(2) == FILM.content[100:102]
    assert file.seek(len(FILM.content)) == len(FILM.content)
    assert file.read(2) == b""
    file.close()
    assert [reader.log for reader in readers] == [["interrupt", "close"]] * 2


@pytest.mark.parametrize("offset", [-1, 193])
def test_a_seek_out_of_the_file_is_refused(offset: int) -> None:
    """And changes nothing."""
    file = VirtualFile(lambda at, end: Short(at, 1000), LAYOUT)
    file.read(3)

    with pytest.raises(ValueError, match=f"offset={offset} must lie within the 192 bytes"):
        file.seek(offset)

    assert file.read(3) == FILM.content[3:6]
    file.close()


def test_a_closed_file_says_so_and_unregisters_once() -> None:
    """However often it is closed; nothing is left running."""
    gone = list[str]()
    file = VirtualFile(
        lambda at, end: Short(at, 1000), LAYOUT, unregister=lambda: gone.append("file")
    )
    file.read(3)
    before = threading.active_count()

    file.close()
    file.close()

    with pytest.raises(ClosedPipeError):
        file.read(1)
    with pytest.raises(ClosedPipeError):
        file.seek(0)
    assert gone == ["file"]
    assert threading.active_count() <= before


def test_a_seek_counts_from_the_start_from_here_or_from_the_end() -> None:
    """As in any file; another word is refused."""
    file = VirtualFile(lambda at, end: Short(at, 1000), LAYOUT)
    file.read(10)

    assert file.seek(5, os.SEEK_CUR) == 15
    assert file.read(2) == FILM.content[15:17]
    assert file.seek(-2, os.SEEK_END) == 190
    assert file.read(9) == FILM.content[190:]
    with pytest.raises(ValueError, match="whence=3 must be 0, 1 or 2"):
        file.seek(0, 3)
    file.close()


def test_a_read_at_a_place_leaves_the_position_alone() -> None:
    """It returns how many bytes it has filled, and touches no others."""
    file = VirtualFile(lambda at, end: Short(at, end - at + 1), LAYOUT)
    file.read(10)
    buffer = bytearray(b"?" * 20)

    assert file.read_at(memoryview(buffer)[4:8], 100) == 4
    assert bytes(buffer) == b"????" + FILM.content[100:104] + b"?" * 12
    assert file.read_at(buffer, 180) == 12
    assert bytes(buffer) == FILM.content[180:] + b"?" * 8
    assert file.read_at(buffer, 192) == 0
    assert file.read_at(bytearray(), 3) == 0
    assert file.read(4) == FILM.content[10:14]
    with pytest.raises(ValueError, match="offset=-1 must not be negative"):
        file.read_at(buffer, -1)
    file.close()


def test_a_jump_that_reads_on_gets_a_shared_reader() -> None:
    """The second read where the first one ended is a read in order."""
    spans = list[tuple[int, int]]()

    def open_reader(start: int, end: int) -> Short:
        spans.append((start, end))
        return Short(start, end - start + 1)

    file = VirtualFile(open_reader, LAYOUT)
    buffer = bytearray(8)
    seen = [bytes(buffer) for at in (100, 108, 116) if file.read_at(buffer, at)]
    file.close()

    assert b"".join(seen) == FILM.content[100:124]
    assert spans == [(100, 107), (108, 191)]


def test_an_index_that_claims_too_much_costs_no_bytes() -> None:
    """Its last segment is shorter than it says: it is not cached, and what there is is served."""
    spans = list[tuple[int, int]]()

    def open_reader(start: int, end: int) -> Short:
        spans.append((start, end))
        return Short(start, end - start + 1)

    layout = Layout.of([32] * 5 + [64], file_size=192)
    jumps = RandomReads(
        open_reader, layout, open_segment=lambda index: open_reader(32 * index, 32 * index + 63)
    )
    file = VirtualFile(open_reader, layout, random_reads=jumps)
    buffer = bytearray(64)

    assert [file.read_at(buffer, 170), len(jumps)] == [22, 0]
    assert bytes(buffer[:22]) == FILM.content[170:]
    assert spans == [(160, 223), (170, 191)]
    file.close()


def test_a_cache_forgets_what_was_not_used_for_longest() -> None:
    """To be looked up is to be used."""
    cache = SegmentCache(2)
    for key in (1, 2):
        cache.put(key, memoryview(bytes([key])))
    assert cache.get(1) == b"\1"
    cache.put(3, memoryview(b"\3"))

    assert [cache.get(key) for key in (1, 2, 3)] == [b"\1", None, b"\3"]
    assert len(cache) == 2
    cache.clear()
    assert len(cache) == 0


def test_a_cancelled_read_gets_no_byte_and_the_next_one_gets_them_all() -> None:
    """Its reader is given up; the position has not moved."""
    file = VirtualFile(lambda at, end: Short(at, 1000), LAYOUT)
    gone = Scope()
    gone.cancel(TimeoutError("the player has left"))

    assert file.read(5, cancel=Scope()) == FILM.content[:5]
    with pytest.raises(TimeoutError, match="the player has left"):
        file.read(5, cancel=gone)

    assert file.read(5) == FILM.content[5:10]
    file.close()


def test_a_reader_that_cannot_be_closed_keeps_no_closer() -> None:
    """Its failure is logged, and the next reader is closed by the same worker."""
    broken, sound = Short(0, 1), Short(0, 1)

    def fail() -> None:
        raise OSError("the connection is gone")

    broken.close = fail  # type: ignore[method-assign]  # a reader that fails in its close
    closers = Closers(workers=1)
    for reader in (broken, sound):
        closers.offer(reader)
    closers.finish()
    closers.join()

    assert sound.log == ["close"]


def test_closers_close_four_at_once_queue_four_and_then_close_inline() -> None:
    """Nine offers, a second for each close: the ninth is closed by whoever offers it."""

    def program(sim: object) -> None:
        closing = InFlight("closing")
        readers = [SlowlyClosed(closing) for _ in range(9)]
        closers = Closers()
        for reader in readers:
            closers.offer(reader)
        closers.finish()
        closers.join()

        assert [reader.closes for reader in readers] == [1] * 9
        # Four workers and the one who offers.
        assert closing.high_water <= 5
        assert not closing.value

    holds(program)


class SlowlyClosed(SlowCloseReader):
    """The double, with the interrupt that a shared reader has."""

    def __init__(self, closing: InFlight) -> None:
        super().__init__(closing=closing)

    def interrupt(self) -> None:
        """Nothing is read."""
