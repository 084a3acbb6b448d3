"""What a virtual file promises: nobody waits for a download that nobody wants any more.

They do not know about real time: the connections here take seconds, and the storms none.
"""

import time
from typing import Any

from harness import (
    Behaviour,
    Elapsed,
    Exactly,
    Failed,
    LeakBound,
    MaxInFlight,
    Simulation,
    scenario,
)
from scenarios.connection_lifecycle.film import Film
from scenarios.connection_lifecycle.reader.reference import Client, ClosedPipeError, Reader
from scenarios.connection_lifecycle.scope import Scope

from .broken import (
    CloseWithoutInterrupt,
    DetachedNotInterrupted,
    FlagReadTooEarly,
    InterruptUnderLock,
    InterruptWaits,
    NoClosingFlag,
    Serialised,
)
from .reference import VirtualFile

LATE_INTERRUPTS = {
    CloseWithoutInterrupt: Elapsed,
    InterruptUnderLock: Elapsed,
    InterruptWaits: Elapsed,
    Serialised: Elapsed,
}


@scenario(VirtualFile)
def readers_take_turns(sim: Simulation, cls: type[VirtualFile]) -> None:
    """Four threads read one file at once: each byte goes to one of them, through one reader."""
    film = Film(8, 64)
    origin = sim.pool("origin", latency=0.010, payload=film.bodies.__getitem__)
    file = opened(cls, film, origin, window=3)
    pieces: list[bytes] = []

    def viewer() -> None:
        pieces.append(file.read(128))

    with sim.storm(
        Exactly([film.content[at : at + 128] for at in range(0, 512, 128)], pieces),
        MaxInFlight(origin, 3, reached=True),
        # Three batches of three, the last of two.
        Elapsed(3 * 0.010),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer, copies=4)

    assert file.read(1) == b""
    file.close()


@scenario(VirtualFile, catches=LATE_INTERRUPTS)
def disconnect_frees_the_connections(sim: Simulation, cls: type[VirtualFile]) -> None:
    """A client leaves in mid-read: close takes no time, and no connection is busy any more."""
    film = Film(5, 1024)
    origin = sim.pool("origin", latency=2.0, payload=film.bodies.__getitem__)
    unregistered: list[float] = []
    file = opened(cls, film, origin, unregister=lambda: unregistered.append(sim.now()))

    def disconnect() -> None:
        time.sleep(0.100)
        file.close()

    with sim.storm(MaxInFlight(origin, 4, reached=True), Elapsed(0.100), LeakBound()) as storm:
        storm.spawn(file.read, 5 * 1024)
        storm.spawn(disconnect, copies=2)

    assert isinstance(storm.errors()[0], ClosedPipeError)
    assert origin.in_flight == 0
    assert unregistered == [0.100]


@scenario(VirtualFile, catches=LATE_INTERRUPTS)
def ten_disconnects_wait_for_nobody(sim: Simulation, cls: type[VirtualFile]) -> None:
    """Ten clients of one pool leave at the same instant, and none of them waits for another."""
    film = Film(5, 1024)
    origin = sim.pool("origin", latency=1.5, payload=film.bodies.__getitem__)
    files = [opened(cls, film, origin) for _ in range(10)]
    read, left = iter(files), iter(files)

    def viewer() -> bytes:
        return next(read).read(1024)

    def disconnect() -> None:
        time.sleep(0.050)
        next(left).close()

    with sim.storm(
        # Ten files with a window of four each.
        MaxInFlight(origin, 10 * 4, reached=True),
        Elapsed(0.050),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer, copies=10)
        storm.spawn(disconnect, copies=10)

    assert [type(error) for error in storm.errors()[:10]] == [ClosedPipeError] * 10
    assert origin.in_flight == 0


@scenario(
    VirtualFile, catches={**LATE_INTERRUPTS, FlagReadTooEarly: Elapsed, NoClosingFlag: Elapsed}
)
def close_meets_the_first_reads(sim: Simulation, cls: type[VirtualFile]) -> None:
    """Two reads and a close start together: whoever comes first, nobody waits for the wire."""
    film = Film(5, 1024)
    origin = sim.pool("origin", latency=2.0, payload=film.bodies.__getitem__)
    file = opened(cls, film, origin)

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(file.read, 1024, copies=2)
        storm.spawn(file.close)

    assert [type(error) for error in storm.errors()] == [ClosedPipeError] * 2 + [type(None)]
    assert origin.in_flight == 0


@scenario(VirtualFile, catches=LATE_INTERRUPTS)
def close_leaves_deaf_downloads_behind(sim: Simulation, cls: type[VirtualFile]) -> None:
    """Close does not wait even for downloads that hear no cancellation; they end by themselves."""
    film = Film(5, 1024)
    origin = sim.pool("origin", latency=2.0, payload=film.bodies.__getitem__)
    file = opened(cls, film, Deaf(origin))

    with sim.storm(MaxInFlight(origin, 4, reached=True), Elapsed(0.100), LeakBound()) as storm:
        storm.spawn(file.read, 1024)
        sim.advance(0.100)
        storm.spawn(file.close)
        sim.advance(2.0)

    assert isinstance(storm.errors()[0], ClosedPipeError)
    assert origin.in_flight == 0


@scenario(VirtualFile, catches={DetachedNotInterrupted: Failed, InterruptWaits: Elapsed})
def seeks_free_the_connections(sim: Simulation, cls: type[VirtualFile]) -> None:
    """Readers that wait for a closer hold no connection, though four slow closes are stuck."""
    film = Film(5, 16)
    stuck = sim.gate("stuck")
    origin = sim.pool("origin", latency=10.0, payload=film.bodies.__getitem__)
    origin.set(film.ids[0], Behaviour(payload=film.bodies[film.ids[0]]))

    class SlowlyClosed(Reader):
        def close(self) -> None:
            stuck.wait()
            super().close()

    file = opened(cls, film, origin, reader=SlowlyClosed)

    def glance(offset: int) -> bytes:
        file.seek(offset)
        return file.read(1)

    def viewer() -> bytes:
        seen = b"".join(glance(offset) for offset in range(2, 14, 2))
        file.seek(0)
        return seen

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(viewer)
        sim.settle()
        busy, closers = origin.in_flight, stuck.waiting
        stuck.open()
        file.close()

    assert storm.results() == [film.content[2:14:2]]
    assert (busy, closers) == (0, 4)


class Deaf:
    """A client whose calls cannot be cancelled; any thread."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def call(
        self,
        key: str = "",
        *,
        timeout: float | None = None,
        cancel: Scope | None = None,
        lane: str = "",
    ) -> Any:
        """Pass everything on but the cancellation."""
        return self._client.call(key, timeout=timeout, lane=lane)


def opened(
    cls: type[VirtualFile],
    film: Film,
    client: Client,
    *,
    window: int = 4,
    reader: type[Reader] = Reader,
    **settings: Any,
) -> VirtualFile:
    """Return the film as a file whose readers ask `client`."""

    def open_reader(offset: int) -> Reader:
        return reader(lambda: client, film.slices(offset), window=window)

    return cls(open_reader, film.count * film.size, **settings)
