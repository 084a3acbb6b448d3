"""The figures of the original's own tests, at the original's own sizes; a few schedules each.

The storms state the same with fewer callers, so that a search can look at each of them hundreds of
times; here it is the sizes that matter.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice
from statistics import fmean, pstdev

import pytest

from harness import (
    Behaviour,
    Calls,
    Elapsed,
    LeakBound,
    MaxInFlight,
    Simulation,
    SlowCloseReader,
    TransientError,
    explore,
)
from scenarios.connection_lifecycle.admission.policy import Shared
from scenarios.connection_lifecycle.admission.reference import Budget, Importer, Streams
from scenarios.connection_lifecycle.film import Film
from scenarios.connection_lifecycle.history.reference import Flights
from scenarios.connection_lifecycle.reader.reference import Attempts, Reader
from scenarios.connection_lifecycle.scope import Scope
from scenarios.connection_lifecycle.speed_test.policy import Account, Provider
from scenarios.connection_lifecycle.speed_test.provider import Exchange
from scenarios.connection_lifecycle.speed_test.reference import SpeedTests
from scenarios.connection_lifecycle.virtual_file.broken import CloserForEach, NoCache
from scenarios.connection_lifecycle.virtual_file.policy import Layout
from scenarios.connection_lifecycle.virtual_file.reference import (
    Closers,
    RandomReads,
    SharedReader,
    VirtualFile,
)

pytestmark = pytest.mark.one_ground


def held(storm: Callable[[Simulation], None]) -> bool:
    """Say whether a storm holds on its plain run and two others."""
    return explore(storm, schedules=3).verdict == "holds"


@pytest.mark.parametrize(
    ("articles", "size", "window", "latency", "batches"),
    # Thirteen batches of four, the last of two; seven of three, the last of two.
    [(50, 32, 4, 0.030, 13), (20, 16, 3, 0.100, 7)],
)
def test_prefetch_fills_its_window(
    articles: int, size: int, window: int, latency: float, batches: int
) -> None:
    """0.390 s for fifty articles, 0.700 s for twenty, and never one call too many at once."""

    def read(sim: Simulation) -> None:
        film = Film(articles, size)
        origin = sim.pool("origin", latency=latency, payload=film.bodies.__getitem__)
        reader = Reader(lambda: origin, film.slices(), window=window)
        with sim.storm(
            Calls(origin, articles, lane="priority"),
            MaxInFlight(origin, window, reached=True),
            Elapsed(batches * latency),
            LeakBound(),
        ) as storm:
            storm.spawn(reader.read, articles * size)
        assert storm.results() == [film.content]

    assert held(read)


def test_retries_of_thirty_readers_spread() -> None:
    """U[50, 150) ms has a coefficient of variation of 100 / sqrt(12) / 100 = 0.29."""

    def retry(sim: Simulation) -> None:
        film = Film(30, 16)
        origin = sim.pool("origin")
        origin.set_default(Behaviour(latency=0.001, error=TransientError))
        with sim.storm(
            Calls(origin, 30 * 2), MaxInFlight(origin, 30, reached=True), LeakBound()
        ) as storm:
            for each in film.ids:
                storm.spawn(Attempts(Scope()).fetch, origin, each, 15)
        assert None not in storm.errors()
        arrivals = [origin.arrivals(each) for each in film.ids]
        delays = [round(second - first - 0.001, 9) for first, second in arrivals]
        assert min(delays) >= 0.050
        assert max(delays) <= 0.150
        assert len(set(delays)) >= 25
        assert 0.2 <= pstdev(delays) / fmean(delays) <= 0.4

    assert held(retry)


@dataclass(frozen=True)
class Imports:
    """So many imports of so many files each, and what that comes to; seconds."""

    copies: int
    files: int
    connections: int
    budget: int
    latency: float
    peak: int
    rounds: int


@pytest.mark.parametrize(
    "case",
    [
        # Twenty files over six connections: four rounds, the last of two.
        Imports(1, 20, connections=6, budget=0, latency=0.060, peak=6, rounds=4),
        # Four imports that nothing gates together: four and one of each.
        Imports(4, 5, connections=4, budget=0, latency=0.060, peak=4 * 4, rounds=2),
        # A budget of eight: three rounds, the last of four.
        Imports(1, 20, connections=20, budget=8, latency=0.100, peak=8, rounds=3),
        # Four imports of six that share five tokens: five rounds, the last of four.
        Imports(4, 6, connections=6, budget=5, latency=0.060, peak=5, rounds=5),
    ],
)
def test_imports_keep_to_what_they_have(case: Imports) -> None:
    """0.240 s, 0.120 s, 0.300 s and 0.300 s."""

    def fetch(sim: Simulation) -> None:
        film = Film(case.files, 64)
        origin = sim.pool("origin", latency=case.latency, payload=film.bodies.__getitem__)
        tokens = Budget(Shared(case.budget)) if case.budget else None
        importer = Importer(lambda: origin, connections=case.connections, budget=tokens)
        with sim.storm(
            Calls(origin, case.copies * case.files),
            MaxInFlight(origin, case.peak, reached=True),
            Elapsed(case.rounds * case.latency),
            LeakBound(),
        ) as storm:
            storm.spawn(importer.first_segments, film.ids, copies=case.copies)
        assert storm.results() == [list(film.bodies.values())] * case.copies

    assert held(fetch)


@pytest.mark.parametrize(("capacity", "streams", "left"), [(8, 2, 4), (4, 100, 1)])
def test_streams_take_their_share(capacity: int, streams: int, left: int) -> None:
    """Two of eight connections leave four tokens, a hundred of four leave one."""

    def compete(sim: Simulation) -> None:
        playing, busy = Streams(), sim.in_flight("workers")
        with sim.no_points():
            for number in range(streams):
                playing.add(f"film-{number}")
        budget = Budget(Shared(capacity), playing)

        def worker() -> None:
            with budget.acquire(), busy:
                time.sleep(1.0)

        with sim.storm(MaxInFlight(busy, left, reached=True), Elapsed(2 * 1.0), LeakBound()) as s:
            s.spawn(worker, copies=2 * left)

    assert held(compete)


@dataclass(frozen=True)
class Looks:
    """Two hundred looks of 64 bytes at the starts of segments, and what they cost."""

    segments: tuple[int, ...]
    calls: int
    random_reads: type[RandomReads] = RandomReads

    @property
    def offsets(self) -> list[int]:
        """Where the looks begin: round and round the segments."""
        return [1024 * segment for segment in islice(cycle(self.segments), 200)]


@pytest.mark.parametrize(
    "case",
    [
        # Eight segments, of which the first is not the first one looked at: a call for each.
        Looks((3, 6, 1, 4, 7, 2, 5, 0), 8),
        # Offset 0 is taken for a read in order: its reader prefetches a window of four, and the
        # first jump gives it up.
        Looks((0, 3, 6, 1, 4, 7, 2, 5), 4 + 8),
        # One more than the cache holds: each look throws away what the ninth look from it needs.
        Looks((3, 6, 1, 4, 7, 2, 5, 8, 0), 200),
        # Before: each look opens a reader of its own.
        Looks((3, 6, 1, 4, 7, 2, 5, 0), 200, NoCache),
    ],
    ids=["eight", "from-zero", "nine", "before"],
)
def test_two_hundred_looks_cost_one_call_a_segment(case: Looks) -> None:
    """8 calls, 12 if the first offset is 0, and 200 without a cache or with one too small."""

    def look(sim: Simulation) -> None:
        film = Film(200, 1024)
        origin = sim.pool("origin", latency=0.001, payload=film.bodies.__getitem__)
        layout = Layout.of([1024] * 200)

        def open_reader(start: int, end: int) -> Reader:
            return Reader(lambda: origin, film.slices(start, end), window=4)

        def open_segment(index: int) -> Reader:
            return Reader(lambda: origin, film.slice_of(index), window=4)

        jumps = case.random_reads(open_reader, layout, open_segment=open_segment)
        file = VirtualFile(open_reader, layout, random_reads=jumps)

        def viewer() -> list[bytes]:
            # One thread, and nobody beside it: it is the figures that matter, not the order.
            with sim.no_points():
                seen = [at(file, offset) for offset in case.offsets]
                # What is prefetched arrives.
                time.sleep(1.0)
                file.close()
            return seen

        with sim.storm(Calls(origin, case.calls, lane="priority"), LeakBound()) as storm:
            storm.spawn(viewer)
        assert storm.results() == [[film.content[each : each + 64] for each in case.offsets]]

    assert held(look)


def at(file: VirtualFile, offset: int) -> bytes:
    """Return 64 bytes from `offset` of the file."""
    buffer = bytearray(64)
    return bytes(buffer[: file.read_at(buffer, offset)])


@dataclass(frozen=True)
class Seeks:
    """Fifty seeks, 1 ms apart, each of which gives up a reader whose close takes 1 s."""

    closers: type[Closers]
    peak: int
    took: float
    ended: float


@pytest.mark.parametrize(
    "case",
    [
        # Four readers are being closed and four wait when the ninth seek closes its own; meanwhile
        # the four closers take the next four: the 9th, 14th ... 49th seek take a second. Of 51
        # readers nine are closed so and one by close, and the first of four closers, which begins
        # at the first seek, closes eleven of the other 41.
        Seeks(Closers, peak=4 + 1, took=50 * 0.001 + 9 * 1.0, ended=0.001 + 11 * 1.0),
        # Before: a thread for each of fifty, and the last reader is closed by close beside them.
        Seeks(CloserForEach, peak=50 + 1, took=50 * 0.001, ended=50 * 0.001 + 1.0),
    ],
    ids=["four-closers", "before"],
)
def test_fifty_seeks_close_nine_readers_themselves(case: Seeks) -> None:
    """9.050 s for the seeks and 11.001 s for all; before, fifty threads and no wait."""

    def seek(sim: Simulation) -> None:
        closing = sim.in_flight("closing")
        readers: list[Slow] = []

        def open_reader(start: int, end: int) -> SharedReader:
            readers.append(Slow(data=b"!", close_latency=1.0, closing=closing))
            return readers[-1]

        file = VirtualFile(open_reader, Layout.of([1024] * 100), closers=case.closers())

        def viewer() -> float:
            file.read(1)
            for look in range(50):
                time.sleep(0.001)
                file.seek(102_000 - look if look % 2 else look)
                file.read(1)
            took = sim.now()
            file.close()
            return took

        with sim.storm(
            MaxInFlight(closing, case.peak, reached=True), Elapsed(case.ended), LeakBound()
        ) as storm:
            storm.spawn(viewer)
        assert [round(took, 9) for took in storm.results()] == [round(case.took, 9)]
        assert [reader.closes for reader in readers] == [1] * 51

    assert held(seek)


class Slow(SlowCloseReader):
    """The double, with the interrupt that a shared reader has."""

    def interrupt(self) -> None:
        """Nothing is read."""


def test_ten_disconnects_wait_for_nobody() -> None:
    """Ten files that share a pool are closed at 0.050 s, and nothing is on the wire any more."""

    def leave(sim: Simulation) -> None:
        film = Film(2, 64)
        origin = sim.pool("origin", latency=1.5, payload=film.bodies.__getitem__)

        def open_reader(start: int, end: int) -> Reader:
            return Reader(lambda: origin, film.slices(start, end), window=1)

        files = [VirtualFile(open_reader, Layout.of([64] * 2)) for _ in range(10)]

        def disconnect(file: VirtualFile) -> None:
            time.sleep(0.050)
            file.close()

        with sim.storm(MaxInFlight(origin, 10, reached=True), Elapsed(0.050), LeakBound()) as storm:
            for file in files:
                storm.spawn(file.read, 64)
                storm.spawn(disconnect, file)
        assert sum(error is not None for error in storm.errors()) == 10
        assert origin.in_flight == 0

    assert held(leave)


def test_fifty_speed_tests_cost_one_dial() -> None:
    """One dial, one test and the slots of one client; before, it was fifty times as many."""

    def ask(sim: Simulation) -> None:
        exchange = Exchange(sim)
        news = Provider("news", Account("news.example", connections=4))
        with sim.storm(
            Calls(exchange.dials, 1),
            Calls(exchange.tests, 1),
            MaxInFlight(exchange.slots, 4, reached=True),
            Elapsed(0.100 + 0.400),
            LeakBound(),
        ) as storm:
            tests = SpeedTests(exchange.build, exchange.measure)
            storm.spawn(tests.run, news, copies=50)
            sim.advance(1.0)
            tests.shutdown()
        assert storm.results() == [4.0] * 50

    assert held(ask)


def test_two_readers_of_twenty_articles_cost_twenty_calls() -> None:
    """Whoever comes second joins the flight of the first."""

    def read(sim: Simulation) -> None:
        film = Film(20, 64)
        origin = sim.pool("origin", latency=0.010, payload=film.bodies.__getitem__)
        flights = Flights(lambda key, lane, scope: origin.call(key, lane=lane, cancel=scope))

        def viewer() -> bytes:
            return b"".join(flights.get(each, Scope()) for each in film.ids)

        with sim.storm(Calls(origin, 20), Elapsed(20 * 0.010), LeakBound()) as storm:
            storm.spawn(viewer, copies=2)
        assert storm.results() == [film.content] * 2
        assert len(flights) == 0

    assert held(read)
