"""What a virtual file promises: bytes in their places, few calls, and a close that never waits.

They do not know about real time: the connections here take seconds, and the storms none.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

from harness import (
    Behaviour,
    Calls,
    Deadlock,
    Elapsed,
    Exactly,
    Failed,
    LeakBound,
    MaxInFlight,
    Simulation,
    SlowCloseReader,
    TransientError,
    Unhandled,
    scenario,
)
from scenarios.connection_lifecycle.deaf import Deaf
from scenarios.connection_lifecycle.film import Film
from scenarios.connection_lifecycle.reader.policy import Retry, Slice
from scenarios.connection_lifecycle.reader.reference import (
    Client,
    ClosedPipeError,
    CorruptedFileError,
    FetchError,
    Reader,
    ResponseError,
)
from scenarios.connection_lifecycle.scope import Scope

from .broken import (
    AlwaysInline,
    AsksBeforeTheLock,
    AsksTwiceOver,
    BorrowedNotInstalled,
    CachesCiphertext,
    ClampsHitsOnly,
    ClampsMissesOnly,
    ClampsOneShort,
    CloserForEach,
    ClosersSerialised,
    ClosesTwice,
    CloseWithoutInterrupt,
    CopiesTheBuffersLength,
    DetachedNotInterrupted,
    DropsTheQueue,
    EightPlaces,
    FiveClosers,
    FlagReadTooEarly,
    InterruptUnderLock,
    InterruptWaits,
    KeepsEverySegment,
    KeepsPartOfASegment,
    KeepsTheCache,
    KeepsTheCacheInTheThread,
    KeyedByOffset,
    KeyedByReader,
    LateField,
    LeavesTheWorkers,
    NoCache,
    NoClosingFlag,
    OneOfTwoSegments,
    OnlyLeaves,
    OpensAfterTheEnd,
    ReopensAtThePosition,
    ResizesTheBuffer,
    SeeksWithoutAnIndex,
    Serialised,
    SevenSegments,
    SpinsOnNothing,
    SwallowsErrors,
    UnregistersUnlocked,
    WaitsForRoom,
    WorksAfterTheEnd,
    WritesIntoTheBuffer,
)
from .reference import CancellableRead, Closers, Layout, RandomReads, SharedReader, VirtualFile

QUEUED_CLOSES = {
    CloseWithoutInterrupt: Elapsed,
    InterruptUnderLock: Elapsed,
    Serialised: Elapsed,
}
# Where the downloads are threads of their own, to wait for them is as bad.
LATE_INTERRUPTS = {**QUEUED_CLOSES, InterruptWaits: Elapsed}


# --- reading --------------------------------------------------------------------------------------


@scenario(VirtualFile, catches={ClampsOneShort: Exactly})
def readers_take_turns(sim: Simulation, cls: type[VirtualFile]) -> None:
    """Two threads read one file at once: each byte goes to one of them, through one reader."""
    film = Film(3, 48)
    origin = sim.pool("origin", latency=0.010, payload=film.bodies.__getitem__)
    file = opened(cls, film, origin, window=2)
    pieces: list[bytes] = []

    def viewer() -> None:
        pieces.append(file.read(72))

    with sim.storm(
        Exactly([film.content[at : at + 72] for at in range(0, 3 * 48, 72)], pieces),
        MaxInFlight(origin, 2, reached=True),
        # A batch of two and one of one.
        Elapsed(2 * 0.010),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer, copies=2)

    assert file.read(1) == b""
    file.close()


@scenario(VirtualFile, catches={ReopensAtThePosition: (Calls, Failed)})
def mixed_use_returns_the_bytes_asked_for(sim: Simulation, cls: type[VirtualFile]) -> None:
    """Reads in order, jumps and a seek in turn: whoever asks for a byte gets that byte."""
    film = Film(4, 64)
    origin = sim.pool("origin", latency=0.010, payload=film.bodies.__getitem__)
    file = opened(cls, film, origin, reader=Plain)

    def viewer() -> bytes:
        seen = file.read(16) + at(file, 100, 16) + at(file, 116, 16) + file.read(16)
        file.seek(-56, os.SEEK_END)
        seen += file.read(16)
        file.close()
        return seen

    with sim.storm(
        # The film's first segment, the second for the jump, the second and the third to go on from
        # there, the first again for the read in order, and the fourth.
        Calls(origin, 6),
        MaxInFlight(origin, 1, reached=True),
        Elapsed(6 * 0.010),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer)

    content = film.content
    assert storm.results() == [content[:16] + content[100:132] + content[16:32] + content[200:216]]
    file.close()


# --- the cache ------------------------------------------------------------------------------------


@scenario(
    RandomReads,
    catches={
        NoCache: Calls,
        SevenSegments: Calls,
        KeyedByOffset: Calls,
        KeyedByReader: (Calls, Failed),
    },
)
def random_reads_cost_one_call_a_segment(sim: Simulation, cls: type[RandomReads]) -> None:
    """Forty looks into eight segments cost eight calls, not forty."""
    film = Film(8, 1024)
    origin = sim.pool("origin", latency=0.001, payload=film.bodies.__getitem__)
    file = opened(VirtualFile, film, origin, reader=Plain, random_reads=cls)
    # Round and round in strides of three, never at the start of a segment, which the first read of
    # a file takes for a read in order.
    offsets = [look * 3 % 8 * 1024 + 1 + look * 37 % 900 for look in range(40)]

    def viewer() -> bytes:
        seen = b"".join(at(file, offset, 64) for offset in offsets[:8])
        # All is fetched, nobody else is here: the other looks need no schedules.
        with sim.no_points():
            seen += b"".join(at(file, offset, 64) for offset in offsets[8:])
        file.close()
        return seen

    with sim.storm(
        Calls(origin, 8),
        MaxInFlight(origin, 1, reached=True),
        Elapsed(8 * 0.001),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer)

    assert storm.results() == [b"".join(film.content[at : at + 64] for at in offsets)]


@scenario(RandomReads, catches={KeepsEverySegment: Calls, KeyedByReader: (Calls, Failed)})
def nine_segments_do_not_fit(sim: Simulation, cls: type[RandomReads]) -> None:
    """The ninth segment throws the first one away: memory is bounded by eight."""
    film = Film(9, 64)
    origin = sim.pool("origin", latency=0.001, payload=film.bodies.__getitem__)
    file = opened(VirtualFile, film, origin, reader=Plain, random_reads=cls)
    offsets = [look % 9 * 64 + 1 for look in range(9 + 1)]

    def viewer() -> bytes:
        # Nobody else is here: what fills the cache needs no schedules.
        with sim.no_points():
            seen = b"".join(at(file, offset, 16) for offset in offsets[:8])
        seen += b"".join(at(file, offset, 16) for offset in offsets[8:])
        file.close()
        return seen

    with sim.storm(
        # Nine, and the first once more.
        Calls(origin, 9 + 1),
        MaxInFlight(origin, 1, reached=True),
        Elapsed((9 + 1) * 0.001),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer)

    assert storm.results() == [b"".join(film.content[at : at + 16] for at in offsets)]


@scenario(
    VirtualFile,
    catches={
        CopiesTheBuffersLength: Failed,
        ResizesTheBuffer: Failed,
        ClampsMissesOnly: Failed,
        ClampsHitsOnly: Failed,
        ClampsOneShort: Failed,
    },
)
def reads_end_with_the_file(sim: Simulation, cls: type[VirtualFile]) -> None:
    """A read past the end gets what the file has, from the wire and from the cache alike."""
    film = Film(4, 1024)
    origin = sim.pool("origin", latency=0.010, payload=film.bodies.__getitem__)
    # The last segment claims, and has, 1024 bytes, of which 700 belong to the file.
    file = opened(cls, film, origin, reader=Plain, file_size=3 * 1024 + 700)
    missed, hit = bytearray(b"?" * 4096), bytearray(b"?" * 4096)

    def viewer() -> list[int]:
        sizes = [file.read_at(missed, 3 * 1024), file.read_at(hit, 3 * 1024)]
        sizes.append(file.read_at(hit, 3 * 1024 + 700))
        file.close()
        return sizes

    with sim.storm(
        # The second read hits.
        Calls(origin, 1),
        MaxInFlight(origin, 1, reached=True),
        Elapsed(0.010),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer)

    assert storm.results() == [[700, 700, 0]]
    tail = film.content[3 * 1024 : 3 * 1024 + 700] + b"?" * (4096 - 700)
    assert [bytes(missed), bytes(hit)] == [tail, tail]


@scenario(RandomReads, catches={CachesCiphertext: (Calls, Failed)})
def encrypted_files_are_not_served_from_segments(sim: Simulation, cls: type[RandomReads]) -> None:
    """What lies in the segments of an encrypted file is not what lies in the file."""
    film = Film(2, 64)
    origin = sim.pool("origin", latency=0.010, payload=film.bodies.__getitem__)
    layout = Layout.of([film.size] * film.count, is_plain=False)
    random_reads = jumping(cls, film, origin, reader=Decrypting, layout=layout)
    file = opened(
        VirtualFile, film, origin, reader=Decrypting, random_reads=random_reads, is_plain=False
    )
    kept: list[int] = []

    def viewer() -> bytes:
        seen = at(file, 80, 16) + at(file, 70, 16)
        kept.append(len(random_reads))
        file.close()
        return seen

    with sim.storm(
        # One for each look, though both lie in one segment.
        Calls(origin, 2),
        MaxInFlight(origin, 1, reached=True),
        Elapsed(2 * 0.010),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer)

    assert storm.results() == [decrypted(film.content[80:96] + film.content[70:86])]
    # Neither look was eligible.
    assert kept == [0]


@scenario(
    RandomReads,
    catches={
        NoCache: Calls,
        KeyedByOffset: Calls,
        KeepsTheCache: Failed,
        KeepsTheCacheInTheThread: (Calls, Failed),
    },
)
def files_keep_their_own_segments(sim: Simulation, cls: type[RandomReads]) -> None:
    """Two files opened by one thread never see each other's bytes, and keep none at the end."""
    film = Film(2, 64)
    first = sim.pool("first", latency=0.010, payload=film.bodies.__getitem__)
    second = sim.pool("second", latency=0.010, payload=lambda each: film.bodies[each][::-1])
    kept: list[int] = []

    def viewer() -> list[bytes]:
        # Made here: a cache that belongs to the thread would be that of both.
        random_reads = [jumping(cls, film, origin) for origin in (first, second)]
        files = [opened(VirtualFile, film, first, random_reads=each) for each in random_reads]
        seen = [at(file, 64 + offset, 8) for offset in (1, 20) for file in files]
        for file in files:
            file.close()
        kept.extend(len(each) for each in random_reads)
        return seen

    with sim.storm(
        Calls(first, 1),
        Calls(second, 1),
        MaxInFlight(first, 1, reached=True),
        MaxInFlight(second, 1, reached=True),
        Elapsed(2 * 0.010),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer)

    body = film.content[64:128]
    assert storm.results() == [[body[1:9], body[::-1][1:9], body[20:28], body[::-1][20:28]]]
    assert kept == [0, 0]


@scenario(RandomReads, catches={OneOfTwoSegments: (Calls, Failed), NoCache: Failed})
def reads_may_span_two_segments(sim: Simulation, cls: type[RandomReads]) -> None:
    """A jump whose end lies in another segment is served from both, and leaves none behind."""
    film = Film(4, 64)
    origin = sim.pool("origin", latency=0.010, payload=film.bodies.__getitem__)
    random_reads = jumping(cls, film, origin)
    file = opened(VirtualFile, film, origin, reader=Plain, random_reads=random_reads)
    kept: list[int] = []

    def look(offset: int) -> bytes:
        seen = at(file, offset, 16)
        kept.append(len(random_reads))
        return seen

    def viewer() -> bytes:
        seen = look(64 + 56) + look(64 + 1)
        file.close()
        return seen

    with sim.storm(
        # Two for the span, and one for the jump into one of its segments.
        Calls(origin, 2 + 1),
        MaxInFlight(origin, 1, reached=True),
        Elapsed((2 + 1) * 0.010),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer)

    assert storm.results() == [film.content[120:136] + film.content[65:81]]
    # The span was not eligible, the jump was.
    assert kept == [0, 1]


# --- faults on the wire ---------------------------------------------------------------------------


@scenario(
    RandomReads,
    catches={NoCache: Calls, KeyedByOffset: Calls, KeepsPartOfASegment: Calls},
)
def short_segment_is_not_kept(sim: Simulation, cls: type[RandomReads]) -> None:
    """A connection that is cut once costs one more call, and leaves nothing behind in the cache."""
    film = Film(2, 64)
    origin = sim.pool("origin", latency=0.010, payload=film.bodies.__getitem__)
    origin.script(film.ids[1], Behaviour(payload=film.bodies[film.ids[1]], truncate=40))
    # A reader that takes what comes: it is for the file to see that this is too little.
    file = opened(VirtualFile, film, origin, reader=Plain, random_reads=cls)

    def viewer() -> bytes:
        seen = at(file, 64 + 50, 8) + at(file, 64 + 20, 8) + at(file, 64 + 50, 8)
        file.close()
        return seen

    with sim.storm(
        # Cut short, then alone what was asked for, then the whole segment; the third look hits.
        Calls(origin, 3),
        MaxInFlight(origin, 1, reached=True),
        # The call that is cut short takes no time.
        Elapsed(2 * 0.010),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer)

    body = film.content[64:128]
    assert storm.results() == [body[50:58] + body[20:28] + body[50:58]]


@scenario(VirtualFile, catches={SpinsOnNothing: Calls})
def empty_articles_end_in_an_error(sim: Simulation, cls: type[VirtualFile]) -> None:
    """Articles that decode to nothing end a read, by an error and after a call or two."""
    film = Film(2, 64)
    origin = sim.pool("origin")
    origin.set_default(Behaviour(latency=0.010, payload=film.bodies.__getitem__, truncate=0))
    file = opened(cls, film, origin, reader=Plain)

    def viewer() -> list[type[Exception]]:
        refused = [refusal(file.read, 16), refusal(at, file, 100, 16)]
        file.close()
        return refused

    with sim.storm(
        # One for the read in order. Two for the jump: the whole segment, and what was asked for.
        Calls(origin, 1 + 2),
        MaxInFlight(origin, 1, reached=True),
        Elapsed((1 + 2) * 0.010),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer)

    assert storm.results() == [[EOFError, EOFError]]


@scenario(RandomReads, catches={NoCache: Calls, KeepsPartOfASegment: (Calls, Failed)})
def truncated_articles_end_in_an_error(sim: Simulation, cls: type[RandomReads]) -> None:
    """An article that always comes cut short is asked for twice by each reader, and is an error."""
    film = Film(2, 64)
    origin = sim.pool("origin")
    origin.set_default(Behaviour(latency=0.010, payload=film.bodies.__getitem__, truncate=40))
    file = opened(VirtualFile, film, origin, retry=AT_ONCE, window=1, random_reads=cls)

    def viewer() -> list[Exception]:
        refused = [refused_by(file.read, 64), refused_by(at, file, 64 + 50, 8)]
        file.close()
        return refused

    with sim.storm(
        # Two for the read in order; two for the whole segment and two for what was asked for.
        Calls(origin, 2 + 2 + 2),
        MaxInFlight(origin, 1, reached=True),
        Elapsed((2 + 2 + 2) * 0.010),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer)

    (refused,) = storm.results()
    assert [type(error) for error in refused] == [FetchError, FetchError]
    # Two attempts each, and why each of them failed.
    reasons = [str(each) for error in refused for each in error.exceptions]
    assert ["data corruption detected" in reason for reason in reasons] == [True] * (2 + 2)


@scenario(RandomReads, catches={AsksTwiceOver: Calls})
def failing_segment_costs_two_calls_a_read(sim: Simulation, cls: type[RandomReads]) -> None:
    """A jump into a segment that always fails costs two calls, into a missing one it costs one."""
    film = Film(3, 64)
    origin = sim.pool("origin")
    origin.set(film.ids[1], Behaviour(latency=0.010, error=TransientError))
    origin.set(film.ids[2], Behaviour(latency=0.010, error=ResponseError(430, "no such article")))
    file = opened(VirtualFile, film, origin, retry=AT_ONCE, random_reads=cls)

    def viewer() -> list[type[Exception]]:
        refused = [refusal(at, file, offset, 8) for offset in (64 + 8, 128 + 8)]
        file.close()
        return refused

    with sim.storm(
        Calls(origin, 2 + 1),
        MaxInFlight(origin, 1, reached=True),
        Elapsed((2 + 1) * 0.010),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer)

    assert storm.results() == [[FetchError, CorruptedFileError]]
    assert not file.is_healthy


@scenario(VirtualFile, catches={SwallowsErrors: Failed})
def failing_read_is_no_end_of_file(sim: Simulation, cls: type[VirtualFile]) -> None:
    """What can be read before a failure is returned; then the failure is an error, every time."""
    film = Film(2, 64)
    origin = sim.pool("origin", latency=0.010, payload=film.bodies.__getitem__)
    origin.set(film.ids[1], Behaviour(latency=0.010, error=TransientError))
    file = opened(cls, film, origin, retry=AT_ONCE, window=1)

    def viewer() -> list[object]:
        seen = [file.read(100), refusal(file.read, 1), refusal(file.read, 1)]
        file.close()
        return seen

    with sim.storm(
        # The first article, the second twice; nobody reads on, so a new reader asks twice again.
        Calls(origin, 1 + 2 + 2),
        MaxInFlight(origin, 1, reached=True),
        Elapsed((1 + 2 + 2) * 0.010),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer)

    assert storm.results() == [[film.content[:64], FetchError, FetchError]]


# --- closing --------------------------------------------------------------------------------------


@scenario(VirtualFile, catches=LATE_INTERRUPTS)
def disconnect_frees_the_connections(sim: Simulation, cls: type[VirtualFile]) -> None:
    """A client leaves in mid-read: close takes no time, and no connection is busy any more."""
    film = Film(3, 1024)
    origin = sim.pool("origin", latency=2.0, payload=film.bodies.__getitem__)
    file = opened(cls, film, origin, window=2)

    def disconnect() -> None:
        time.sleep(0.100)
        file.close()

    with sim.storm(MaxInFlight(origin, 2, reached=True), Elapsed(0.100), LeakBound()) as storm:
        storm.spawn(file.read, 1024)
        storm.spawn(disconnect)

    assert isinstance(storm.errors()[0], ClosedPipeError)
    assert origin.in_flight == 0


@scenario(VirtualFile, catches=QUEUED_CLOSES)
def disconnects_wait_for_nobody(sim: Simulation, cls: type[VirtualFile]) -> None:
    """Three clients of one pool leave at the same instant, and none of them waits for another."""
    film = Film(2, 64)
    origin = sim.pool("origin", latency=1.5, payload=film.bodies.__getitem__)
    files = [opened(cls, film, origin, reader=Plain) for _ in range(3)]
    read, left = iter(files), iter(files)

    def viewer() -> bytes:
        return next(read).read(64)

    def disconnect() -> None:
        time.sleep(0.050)
        next(left).close()

    with sim.storm(
        # Three files, one call each.
        MaxInFlight(origin, 3, reached=True),
        Elapsed(0.050),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer, copies=3)
        storm.spawn(disconnect, copies=3)

    assert [type(error) for error in storm.errors()[:3]] == [ClosedPipeError] * 3
    assert origin.in_flight == 0


@scenario(
    VirtualFile,
    catches={
        **LATE_INTERRUPTS,
        FlagReadTooEarly: Elapsed,
        NoClosingFlag: Elapsed,
        OpensAfterTheEnd: (Elapsed, LeakBound),
        AsksBeforeTheLock: Failed,
    },
)
def close_meets_the_first_reads(sim: Simulation, cls: type[VirtualFile]) -> None:
    """Two reads and a close start together: whoever comes first, nobody waits for the wire."""
    film = Film(2, 64)
    origin = sim.pool("origin", latency=2.0, payload=film.bodies.__getitem__)
    file = opened(cls, film, origin, window=1)

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(file.read, 64, copies=2)
        storm.spawn(file.close)

    assert [type(error) for error in storm.errors()] == [ClosedPipeError] * 2 + [type(None)]
    assert origin.in_flight == 0


@scenario(VirtualFile, catches={**QUEUED_CLOSES, BorrowedNotInstalled: Elapsed})
def close_frees_reads_that_jump(sim: Simulation, cls: type[VirtualFile]) -> None:
    """A read that fills the cache and one that spans two segments are freed by close, too."""
    film = Film(4, 64)
    origin = sim.pool("origin", latency=2.0, payload=film.bodies.__getitem__)
    files = [opened(cls, film, origin, reader=Plain) for _ in range(2)]

    with sim.storm(
        # One for the segment, one for the span.
        MaxInFlight(origin, 2, reached=True),
        Elapsed(0.100),
        LeakBound(),
    ) as storm:
        storm.spawn(at, files[0], 70, 16)
        storm.spawn(at, files[1], 120, 16)
        sim.advance(0.100)
        for file in files:
            storm.spawn(file.close)

    assert [type(error) for error in storm.errors()[:2]] == [ClosedPipeError] * 2
    assert origin.in_flight == 0


@scenario(VirtualFile, catches=LATE_INTERRUPTS)
def close_leaves_deaf_downloads_behind(sim: Simulation, cls: type[VirtualFile]) -> None:
    """Close does not wait even for downloads that hear no cancellation; they end by themselves."""
    film = Film(3, 1024)
    origin = sim.pool("origin", latency=2.0, payload=film.bodies.__getitem__)
    file = opened(cls, film, Deaf(origin), window=2)

    with sim.storm(MaxInFlight(origin, 2, reached=True), Elapsed(0.100), LeakBound()) as storm:
        storm.spawn(file.read, 1024)
        sim.advance(0.100)
        storm.spawn(file.close)
        sim.advance(2.0)

    assert isinstance(storm.errors()[0], ClosedPipeError)
    assert origin.in_flight == 0


@scenario(VirtualFile, catches={UnregistersUnlocked: Exactly})
def closes_unregister_once(sim: Simulation, cls: type[VirtualFile]) -> None:
    """Two closes of one file take its stream off the list of those that are watched once."""
    film = Film(1, 16)
    unregistered: list[str] = []
    file = opened(cls, film, sim.pool("origin"), unregister=lambda: unregistered.append("stream"))

    with sim.storm(Exactly(["stream"], unregistered), Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(file.close, copies=2)


@scenario(
    VirtualFile,
    catches={AsksBeforeTheLock: Failed, OpensAfterTheEnd: (Calls, LeakBound, Failed)},
)
def reads_race_a_close(sim: Simulation, cls: type[VirtualFile]) -> None:
    """A read beside a close gets its bytes or hears that the file is closed, and nothing else."""
    film = Film(2, 64)
    origin = sim.pool("origin", payload=film.bodies.__getitem__)
    file = opened(cls, film, origin, reader=Plain)
    whole = film.content[70:86]

    with sim.storm(Calls(origin, at_most=1), Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(at, file, 70, 16, copies=2)
        storm.spawn(file.close)

    kinds = [type(error) for error in storm.errors()]
    assert set(kinds) <= {ClosedPipeError, type(None)}
    assert [seen for seen in storm.results() if seen] == [whole] * kinds[:2].count(type(None))


@scenario(
    VirtualFile,
    catches={
        OpensAfterTheEnd: (Calls, LeakBound, Failed),
        SeeksWithoutAnIndex: Failed,
        InterruptWaits: Elapsed,
    },
)
def closed_file_refuses_everything(sim: Simulation, cls: type[VirtualFile]) -> None:
    """After close nothing is read, sought or started, and everybody hears the same."""
    film = Film(2, 64)
    origin = sim.pool("origin", latency=0.010, payload=film.bodies.__getitem__)
    file = opened(cls, film, origin, window=1)

    def viewer() -> list[object]:
        seen = file.read(16)
        file.close()
        return [seen, refusal(file.read, 1), refusal(at, file, 70, 16), refusal(file.seek, 9)]

    with sim.storm(
        Calls(origin, 1), MaxInFlight(origin, 1, reached=True), Elapsed(0.010), LeakBound()
    ) as storm:
        storm.spawn(viewer)

    assert storm.results() == [[film.content[:16], *[ClosedPipeError] * 3]]


@scenario(VirtualFile, catches={InterruptWaits: Elapsed})
def cancelled_read_leaves_the_file_open(sim: Simulation, cls: type[VirtualFile]) -> None:
    """A read that is cancelled ends at that instant; the next one gets the same bytes."""
    film = Film(2, 64)
    origin = sim.pool("origin", latency=2.0, payload=film.bodies.__getitem__)
    file = opened(cls, film, origin, window=1)

    def viewer() -> bytes:
        assert refusal(lambda: file.read(16, cancel=Scope(timeout=0.100))) is TimeoutError
        seen = file.read(16)
        file.close()
        return seen

    # At that instant the cancelled call may not have left when the next one comes.
    with sim.storm(
        Calls(origin, 2), MaxInFlight(origin, 2), Elapsed(0.100 + 2.0), LeakBound()
    ) as storm:
        storm.spawn(viewer)

    assert storm.results() == [film.content[:16]]


@scenario(CancellableRead, catches={OnlyLeaves: Elapsed})
def cancelled_read_lets_go(sim: Simulation, cls: type[CancellableRead]) -> None:
    """Who is cancelled leaves at once, and what comes later never reaches his buffer."""
    film = Film(1, 16)
    heard = sim.pool("heard", latency=10.0, payload=film.bodies.__getitem__)
    buffer = bytearray(b"?" * 16)

    def viewer() -> type[Exception]:
        with Reader(lambda: heard, film.slices()) as reader:
            return refusal(cls(reader, memoryview(buffer)).result, Scope(timeout=0.100))

    with sim.storm(MaxInFlight(heard, 1, reached=True), Elapsed(0.100), LeakBound()) as storm:
        storm.spawn(viewer)

    assert storm.results() == [TimeoutError]
    assert buffer == b"?" * 16


@scenario(CancellableRead, catches={WritesIntoTheBuffer: Failed})
def deaf_read_is_left_after_five_seconds(sim: Simulation, cls: type[CancellableRead]) -> None:
    """A source that hears no interrupt keeps a thread, not the caller, nor the caller's buffer."""
    buffer = bytearray(b"?" * 16)

    def viewer() -> type[Exception]:
        return refusal(cls(SlowSource(10.0), memoryview(buffer)).result, Scope(timeout=0.100))

    with sim.storm(Elapsed(0.100 + 5.0), LeakBound()) as storm:
        storm.spawn(viewer)
        sim.advance(10.0)

    assert storm.results() == [TimeoutError]
    assert buffer == b"?" * 16


# --- closers --------------------------------------------------------------------------------------


@scenario(
    Closers,
    catches={
        CloserForEach: MaxInFlight,
        FiveClosers: MaxInFlight,
        EightPlaces: Elapsed,
        AlwaysInline: MaxInFlight,
        WaitsForRoom: Elapsed,
        ClosersSerialised: MaxInFlight,
        LeavesTheWorkers: Elapsed,
        ClosesTwice: (Unhandled, Elapsed),
    },
)
def seeks_close_four_at_once(sim: Simulation, cls: type[Closers]) -> None:
    """Fifteen seeks, and a reader to close after each: four closers, and now and then the seek.

    A close takes 1 s, a seek comes 1 ms after the one before. Four readers are being closed and
    four wait when the ninth seek closes its own; meanwhile the four closers get free and take the
    next four. So the 9th and the 14th of fifteen seeks take a second.
    """
    closing = sim.in_flight("closing")
    readers: list[SlowlyClosed] = []

    def open_reader(start: int, end: int) -> SlowlyClosed:
        readers.append(SlowlyClosed(data=b"!", close_latency=1.0, closing=closing))
        return readers[-1]

    file = VirtualFile(open_reader, Layout.of([1024] * 100), closers=cls())

    def viewer() -> tuple[float, list[int]]:
        file.read(1)
        for look in range(15):
            time.sleep(0.001)
            file.seek(102_000 - look if look % 2 else look)
            file.read(1)
        took = sim.now()
        file.close()
        return took, [reader.closes for reader in readers]

    with sim.storm(
        # Four closers and the one who seeks.
        MaxInFlight(closing, 4 + 1, reached=True),
        # The first closer is free every second from 0.001 s on; it takes the 15th at 3.001 s.
        Elapsed(3.001 + 1.0),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer)

    ((took, closes),) = storm.results()
    assert round(took, 9) == round(15 * 0.001 + 2 * 1.0, 9)
    assert closes == [1] * 16


@scenario(
    Closers,
    catches={LateField: Deadlock, LeavesTheWorkers: Failed, DropsTheQueue: Failed},
)
def seek_and_close_end(sim: Simulation, cls: type[Closers]) -> None:
    """A file that is closed right after a seek has closed its readers, and its workers end.

    Who closes it is not who sought: between the two the first worker may have begun, or not.
    """
    readers: list[SlowlyClosed] = []
    sought = sim.gate("sought")

    def open_reader(start: int, end: int) -> SlowlyClosed:
        readers.append(SlowlyClosed(data=b"!", close_latency=0.0))
        return readers[-1]

    file = VirtualFile(open_reader, Layout.of([16]), closers=cls())

    def viewer() -> None:
        file.read(1)
        file.seek(8)
        sought.open()

    def closer() -> list[int]:
        sought.wait()
        file.close()
        return [reader.closes for reader in readers]

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(viewer)
        storm.spawn(closer)

    assert storm.results() == [None, [1]]


@scenario(
    Closers,
    catches={
        CloserForEach: (LeakBound, Failed, Elapsed),
        LeavesTheWorkers: Elapsed,
        ClosesTwice: LeakBound,
        WorksAfterTheEnd: (LeakBound, Failed, Elapsed),
        LateField: Deadlock,
        DropsTheQueue: (Failed, Elapsed),
    },
)
def what_comes_after_the_end_is_closed_here(sim: Simulation, cls: type[Closers]) -> None:
    """A reader that is offered when all is over is closed before the offer returns."""
    early, late = (SlowlyClosed(close_latency=0.010) for _ in range(2))
    closers = cls()

    def viewer() -> int:
        closers.offer(early)
        closers.finish()
        closers.join()
        closers.offer(late)
        return late.closes

    # The early one is closed when the closers have ended, the late one after it.
    with sim.storm(Elapsed(2 * 0.010), LeakBound()) as storm:
        storm.spawn(viewer)

    assert storm.results() == [1]
    assert early.closes == 1


@scenario(VirtualFile, catches={DetachedNotInterrupted: Failed, InterruptWaits: Elapsed})
def seeks_free_the_connections(sim: Simulation, cls: type[VirtualFile]) -> None:
    """A reader that waits for a closer holds no connection, though a slow close is stuck."""
    film = Film(3, 16)
    stuck, closing = sim.gate("stuck"), sim.in_flight("closing")
    origin = sim.pool("origin", latency=10.0, payload=film.bodies.__getitem__)
    origin.set(film.ids[0], Behaviour(payload=film.bodies[film.ids[0]]))

    class SlowToClose(Reader):
        def close(self) -> None:
            with closing:
                stuck.wait()
                super().close()

    file = opened(cls, film, origin, reader=SlowToClose, window=2, closers=Closers(workers=1))

    def glance(offset: int) -> bytes:
        file.seek(offset)
        return file.read(1)

    def viewer() -> bytes:
        seen = glance(2) + glance(4)
        file.seek(0)
        return seen

    with sim.storm(
        # One closer, and the queue behind it has room: nobody else closes. How many calls there are
        # at once is not certain: one that is cancelled may leave after the next has come.
        MaxInFlight(closing, 1, reached=True),
        Elapsed(0.0),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer)
        sim.settle()
        busy, closers = origin.in_flight, stuck.waiting
        stuck.open()
        file.close()

    assert storm.results() == [film.content[2:6:2]]
    assert (busy, closers) == (0, 1)


# --- what the storms are made of ------------------------------------------------------------------

AT_ONCE = Retry(base_delay=0.0, jitter=0.0)


class Plain:
    """A reader that asks for one article after the other, and takes what comes; one thread reads.

    An article that is cut short is as long as it came; an empty one looks like the end.
    """

    def __init__(
        self, get_client: Callable[[], Client], pieces: list[Slice], **_settings: object
    ) -> None:
        self._get_client = get_client
        self._pieces = pieces[::-1]
        self._left = b""
        self._scope = Scope()

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes of one article."""
        if not self._left and self._pieces:
            self._left = self._article(self._pieces.pop())
        piece, self._left = self._left[:size], self._left[size:]
        return piece

    def _article(self, piece: Slice) -> bytes:
        try:
            body: bytes = self._get_client().call(piece.id, cancel=self._scope)
        except CancelledError as exc:
            raise ClosedPipeError from exc
        return body[piece.start : piece.end + 1]

    def interrupt(self) -> None:
        """End the call that goes on, and all later ones."""
        self._scope.cancel()

    def close(self) -> None:
        """Have nothing else to give back."""
        self._scope.cancel()


class Decrypting(Plain):
    """A reader over an encrypted file: each byte is stored turned over."""

    def read(self, size: int) -> bytes:
        """Return the bytes of the file, not those of its segments."""
        return decrypted(super().read(size))


class SlowlyClosed(SlowCloseReader):
    """The double, with the interrupt that a shared reader has."""

    def interrupt(self) -> None:
        """Nothing is read."""


class SlowSource:
    """A source that answers after so many seconds, whatever is said to it; one thread."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def read(self, size: int) -> bytes:
        """Take the time."""
        time.sleep(self._seconds)
        return bytes(size)

    def interrupt(self) -> None:
        """Hear nothing."""

    def close(self) -> None:
        """Have nothing to give back."""


def decrypted(data: bytes) -> bytes:
    """Return `data` with each of its bits turned over."""
    return bytes(255 - each for each in data)


def at(file: VirtualFile, offset: int, size: int) -> bytes:
    """Return `size` bytes from `offset` of the file, fewer at its end."""
    buffer = bytearray(size)
    return bytes(buffer[: file.read_at(buffer, offset)])


def refusal(call: Callable[..., object], *args: object) -> type[Exception]:
    """Return the kind of exception by which a call is refused; `Exception` itself if it is not."""
    return type(refused_by(call, *args))


def refused_by(call: Callable[..., object], *args: object) -> Exception:
    """Return the exception by which a call is refused, a plain one if it is not."""
    try:
        call(*args)
    except Exception as exc:
        return exc
    return Exception("it was not refused")


def jumping(
    cls: type[RandomReads],
    film: Film,
    client: Client,
    *,
    reader: Callable[..., SharedReader] = Plain,
    layout: Layout | None = None,
    **settings: Any,
) -> RandomReads:
    """Return what serves the jumps about the film, with readers that ask `client`."""

    def open_reader(start: int, end: int) -> SharedReader:
        return reader(lambda: client, film.slices(start, end), **settings)

    def open_segment(index: int) -> SharedReader:
        # What lies in the segment, as it lies there.
        stored = Plain if reader is Decrypting else reader
        return stored(lambda: client, film.slice_of(index), **settings)

    layout = layout or Layout.of([film.size] * film.count)
    return cls(open_reader, layout, open_segment=open_segment)


def opened(
    cls: type[VirtualFile],
    film: Film,
    client: Client,
    *,
    window: int = 4,
    reader: Callable[..., SharedReader] = Reader,
    retry: Retry = Retry(),  # noqa: B008 - frozen, so that sharing it is safe
    random_reads: type[RandomReads] | RandomReads = RandomReads,
    file_size: int | None = None,
    is_plain: bool = True,
    **settings: Any,
) -> VirtualFile:
    """Return the film as a file whose readers ask `client`."""
    layout = Layout.of([film.size] * film.count, file_size=file_size, is_plain=is_plain)

    def open_reader(start: int, end: int) -> SharedReader:
        return reader(lambda: client, film.slices(start, end), window=window, retry=retry)

    if isinstance(random_reads, type):
        random_reads = jumping(
            random_reads, film, client, reader=reader, layout=layout, window=window, retry=retry
        )
    return cls(open_reader, layout, random_reads=random_reads, **settings)
