"""The virtual file, one promise at a time; its storms are in `scenarios/`."""

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
from scenarios.connection_lifecycle.virtual_file.reference import Closers, VirtualFile
from tests.doubles.running import holds

FILM = Film(6, 32)


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

    def open_reader(offset: int) -> Short:
        readers.append(Short(offset, 50))
        return readers[-1]

    file = VirtualFile(open_reader, len(FILM.content))
    assert file.read(1000) == FILM.content
    assert file.read(1) == b""
    file.close()

    assert len(readers) == 4
    assert [reader.log for reader in readers[:-1]] == [["interrupt", "close"]] * 3
    assert readers[-1].log == ["interrupt", "close"]


def test_a_reader_without_a_byte_is_an_error() -> None:
    """It is not opened again and again."""
    opened = list[int]()

    def open_reader(offset: int) -> Short:
        opened.append(offset)
        return Short(offset, 0)

    file = VirtualFile(open_reader, 10)
    with pytest.raises(EOFError, match="at 0 of 10 bytes"):
        file.read(4)
    file.close()

    assert opened == [0]


def test_a_missing_article_makes_the_file_unhealthy() -> None:
    """What came before it is returned first."""
    origin = FakePool("origin", payload=FILM.bodies.__getitem__)
    origin.set(FILM.ids[1], Behaviour(error=ResponseError(430)))
    file = VirtualFile(lambda at: Reader(lambda: origin, FILM.slices(at)), len(FILM.content))

    assert file.read(40) == FILM.content[:32]
    with pytest.raises(CorruptedFileError):
        file.read(1)
    file.close()

    assert not file.is_healthy


def test_a_seek_moves_the_next_read() -> None:
    """To the very end, too; a seek to where one is keeps the reader."""
    readers = list[Short]()

    def open_reader(offset: int) -> Short:
        readers.append(Short(offset, 1000))
        return readers[-1]

    file = VirtualFile(open_reader, len(FILM.content))
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
    file = VirtualFile(lambda at: Short(at, 1000), len(FILM.content))
    file.read(3)

    with pytest.raises(ValueError, match=f"offset={offset} must lie within the 192 bytes"):
        file.seek(offset)

    assert file.read(3) == FILM.content[3:6]
    file.close()


def test_a_closed_file_says_so_and_unregisters_once() -> None:
    """However often it is closed; nothing is left running."""
    gone = list[str]()
    file = VirtualFile(
        lambda at: Short(at, 1000), len(FILM.content), unregister=lambda: gone.append("file")
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


def test_closers_close_four_at_once_queue_four_and_then_close_inline() -> None:
    """Nine offers, a second for each close: the ninth is closed by whoever offers it."""

    def program(sim: object) -> None:
        closing = InFlight("closing")
        readers = [SlowlyClosed(closing) for _ in range(9)]
        closers = Closers()
        for reader in readers:
            closers.offer(reader)
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
