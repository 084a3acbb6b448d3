"""The coordinator of speed tests for asyncio: the same policy, one loop, no lock.

It differs from the threaded one in what asyncio makes different: a test is a task of its own, and
those who wait for it wait for an event, since a cancelled waiter must not reach the task; a client
is closed in a task of its own, since whoever lets go of it may be being cancelled.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Generic, Protocol, TypeVar

from . import policy
from .policy import Provider
from .reference import ShutdownError, SpeedTestError


class AsyncClosable(Protocol):
    """All that the coordinator itself wants of a client."""

    async def close(self) -> None:
        """Give up its connections."""


ClientT = TypeVar("ClientT", bound=AsyncClosable)


class AsyncSpeedTests(Generic[ClientT]):
    """Coordinates the speed tests of any number of providers; one loop.

    The owner must await `shutdown`, which may be repeated.
    """

    # invariant: an entry is in the map, in use, or closed; it is closed once, in a task of its own
    # invariant: a flight in `_flights` is not over, and somebody waits for it; one in `_flying`
    # may hold a client

    def __init__(
        self,
        build: Callable[[Provider], Awaitable[ClientT]],
        measure: Callable[[ClientT], Awaitable[Mapping[str, float]]],
        *,
        live: Callable[[str], ClientT | None] = lambda _address: None,
        ttl: float = policy.TTL,
        timeout: float = policy.TEST_TIMEOUT,
    ) -> None:
        """Start the janitor in the running loop; nothing is dialled before the first test.

        Args:
            build: dials a client that lives until it is closed, whoever dialled it.
            measure: bytes per second by provider id, over a client.
            live: the client of a pool that is in use anyway, by `host:port`; it is not closed.
            ttl: seconds for which a client is handed out after it was dialled, used or not.
            timeout: seconds that a dial and its test may take.
        """
        self._build = build
        self._measure = measure
        self._live = live
        self._ttl = ttl
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._is_closed = False
        self._entries: dict[str, AsyncEntry[ClientT]] = {}
        self._flights: dict[str, AsyncFlight] = {}
        # Held on to: the loop itself keeps no task alive.
        self._flying: list[AsyncFlight] = []
        self._closings: list[asyncio.Task[None]] = []
        self._janitor = self._loop.create_task(self._sweep_on(), name="janitor")

    async def run(self, provider: Provider) -> float:
        """Return the speed of a provider in megabytes per second.

        A cancellation ends this caller's wait, and the test only if nobody else waits for it.

        Raises:
            ShutdownError: the coordinator was shut down.
            SpeedTestError: the dial or the test failed.
        """
        flight = self._join(provider)
        try:
            return await self._wait(flight)
        finally:
            self._leave(flight)

    @property
    def size(self) -> int:
        """Clients that are cached."""
        return len(self._entries)

    def sweep(self) -> None:
        """Drop the clients that have expired; those in use are closed by their last user."""
        now = self._loop.time()
        for key, entry in list(self._entries.items()):
            if policy.is_expired(now, entry.expiry):
                del self._entries[key]
                self._retire(entry)

    async def shutdown(self) -> None:
        """End every test, stop the janitor and close every client; a second caller waits."""
        self._is_closed = True
        tasks = [flight.task for flight in self._flying]
        for task in tasks:
            task.cancel()
        self._stop_janitor()
        await _ended([*tasks, self._janitor])
        for entry in self._take_all():
            self._retire(entry)
        await _ended(list(self._closings))

    # Flights: one for each key at a time.

    def _join(self, provider: Provider) -> "AsyncFlight":
        self._check_open()
        key = policy.key_of(provider)
        flight = self._current(key)
        if flight is None:
            flight = AsyncFlight(key, provider)
            flight.task = self._loop.create_task(self._fly(flight), name=f"test-{provider.id}")
            flight.task.add_done_callback(partial(self._land, flight))
            self._flights[key] = flight
            self._flying.append(flight)
        flight.waiters += 1
        return flight

    def _leave(self, flight: "AsyncFlight") -> None:
        flight.waiters -= 1
        if not flight.waiters:
            # Whoever comes from now on must not get a flight that is being cancelled.
            self._forget(flight)
            flight.task.cancel()

    def _current(self, key: str) -> "AsyncFlight | None":
        return self._flights.get(key)

    async def _wait(self, flight: "AsyncFlight") -> float:
        await flight.ended.wait()
        return self._outcome(flight)

    def _outcome(self, flight: "AsyncFlight") -> float:
        if flight.error is None:
            return flight.speed
        # An exception of its own for each caller: a shared one would grow tracebacks.
        message = f"{flight.provider.id} could not be measured"
        if self._is_closed:
            raise ShutdownError(message) from flight.error
        raise SpeedTestError(message) from flight.error

    async def _fly(self, flight: "AsyncFlight") -> None:
        try:
            async with asyncio.timeout(self._timeout):
                flight.speed = await self._test(flight)
        except Exception as exc:
            flight.error = exc

    def _land(self, flight: "AsyncFlight", task: "asyncio.Task[None]") -> None:
        # Not in a finally of the task: one that is cancelled before its first step runs none.
        if task.cancelled():
            flight.error = asyncio.CancelledError()
        self._forget(flight)
        self._flying.remove(flight)
        flight.ended.set()

    def _forget(self, flight: "AsyncFlight") -> None:
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]

    # A test.

    async def _test(self, flight: "AsyncFlight") -> float:
        live = self._live(flight.provider.address)
        if live is not None:
            # What fails on a pool in use is the answer: a second dial would not be the same test.
            return await self._speed(live, flight)
        entry = self._hit(flight.key) or self._insert(flight.key, await self._dial(flight))
        try:
            return await self._speed(entry.client, flight)
        finally:
            await self._give_back(entry)

    async def _speed(self, client: ClientT, flight: "AsyncFlight") -> float:
        return policy.megabytes_per_second(await self._measure(client), flight.provider)

    # Clients.

    def _hit(self, key: str) -> "AsyncEntry[ClientT] | None":
        entry = self._entries.get(key)
        if entry is None:
            return None
        if policy.is_fresh(self._loop.time(), entry.expiry):
            entry.users += 1
            return entry
        del self._entries[key]
        self._retire(entry)
        return None

    async def _dial(self, flight: "AsyncFlight") -> ClientT:
        return await self._build(flight.provider)

    def _insert(self, key: str, client: ClientT) -> "AsyncEntry[ClientT]":
        now = self._loop.time()
        entry = AsyncEntry(client, now + self._ttl)
        known = self._entries.get(key)
        if self._is_too_late():
            self._close(client)
            raise ShutdownError("the speed tests were shut down")
        if known is not None and policy.is_fresh(now, known.expiry):
            self._close(client)
            entry = known
        else:
            self._entries[key] = entry
            if known is not None:
                self._retire(known)
        entry.users += 1
        return entry

    async def _give_back(self, entry: "AsyncEntry[ClientT]") -> None:
        # No await: a flight that is being cancelled must not stop half-way.
        entry.users -= 1
        if entry.is_retired and not entry.users:
            self._close(entry.client)

    def _retire(self, entry: "AsyncEntry[ClientT]") -> None:
        """Close an entry that left the map, or have its last user close it."""
        entry.is_retired = True
        if not entry.users:
            self._close(entry.client)

    def _close(self, client: ClientT) -> None:
        closing = self._loop.create_task(client.close(), name="closing")
        self._closings.append(closing)
        closing.add_done_callback(self._closings.remove)

    # The janitor and the end.

    async def _sweep_on(self) -> None:
        started = self._loop.time()
        period = self._ttl / policy.PERIODS_IN_TTL
        tick = policy.next_tick(0, 0.0, period)
        while True:
            await asyncio.sleep(started + tick * period - self._loop.time())
            self.sweep()
            tick = policy.next_tick(tick, self._loop.time() - started, period)

    def _stop_janitor(self) -> None:
        self._janitor.cancel()

    def _take_all(self) -> "list[AsyncEntry[ClientT]]":
        entries, self._entries = list(self._entries.values()), {}
        return entries

    def _is_too_late(self) -> bool:
        return self._is_closed

    def _check_open(self) -> None:
        if self._is_too_late():
            raise ShutdownError("the speed tests were shut down")


class AsyncEntry(Generic[ClientT]):
    """A client, when it expires, and how many use it."""

    def __init__(self, client: ClientT, expiry: float) -> None:
        """Hold a client that nobody uses yet."""
        self.client = client
        self.expiry = expiry
        self.users = 0
        self.is_retired = False


class AsyncFlight:
    """A test that goes on, for all who wait for it."""

    # invariant: speed and error are set before `ended`

    task: "asyncio.Task[None]"

    def __init__(self, key: str, provider: Provider) -> None:
        """Make a flight that nobody waits for yet."""
        self.key = key
        self.provider = provider
        self.waiters = 0
        self.speed = 0.0
        self.error: BaseException | None = None
        self.ended = asyncio.Event()


async def _ended(tasks: "list[asyncio.Task[None]]") -> None:
    """Wait until all tasks have ended, however they do."""
    if tasks:
        await asyncio.wait(tasks)


__all__ = ["AsyncClosable", "AsyncSpeedTests"]
