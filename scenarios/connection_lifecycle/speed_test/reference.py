"""Speed tests that share: one dial and one test for all who ask for a provider at once.

It does not know how a client is dialled, nor how a speed is measured: both are handed in.

    run ──┐                                 ┌─ a live pool has the provider: measured on that
    run ──┼─▶ one flight for each key ──────┤
    run ──┘   (a thread of its own)         └─ cached client, at most `ttl` old, or a new one
                                                     ▲
    janitor: every `period`, closes what has expired ┘

A flight belongs to nobody: it goes on while one of those who asked still waits, and is cancelled
when the last has left. A client belongs to the coordinator: it outlives the request for which it
was dialled, and is closed once, by whoever lets go of it last.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from scenarios.connection_lifecycle.scope import Scope

from . import policy
from .policy import Account, Provider


class Closable(Protocol):
    """All that the coordinator itself wants of a client."""

    def close(self) -> None:
        """Give up its connections."""


ClientT = TypeVar("ClientT", bound=Closable)


class ShutdownError(Exception):
    """A speed test that was asked for after the shutdown, or was ended by it."""


class SpeedTestError(Exception):
    """A speed test that failed; its cause is what the test raised."""


class SpeedTests(Generic[ClientT]):
    """Coordinates the speed tests of any number of providers; any thread may call any method.

    The owner must call `shutdown`, which may be repeated.
    """

    # invariant: an entry is in the map, in use, or closed; it is closed once, outside the lock
    # invariant: a flight in `_flights` is not over, and somebody waits for it; one in `_flying`
    # may hold a client

    def __init__(
        self,
        build: Callable[[Provider, Scope], ClientT],
        measure: Callable[[ClientT, Scope], Mapping[str, float]],
        *,
        live: Callable[[str], ClientT | None] = lambda _address: None,
        ttl: float = policy.TTL,
        timeout: float = policy.TEST_TIMEOUT,
    ) -> None:
        """Start the janitor; nothing is dialled before the first test.

        Args:
            build: dials a client that lives until it is closed or the scope is set.
            measure: bytes per second by provider id, over a client, until the scope is set.
            live: the client of a pool that is in use anyway, by `host:port`; it is not closed.
            ttl: seconds for which a client is handed out after it was dialled, used or not.
            timeout: seconds that a test may take.
        """
        self._build = build
        self._measure = measure
        self._live = live
        self._ttl = ttl
        self._timeout = timeout
        self._lock = threading.Lock()
        self._shutting = threading.Lock()
        self._life = Scope()
        self._entries: dict[str, Entry[ClientT]] = {}
        self._flights: dict[str, Flight] = {}
        self._flying: list[Flight] = []
        self._janitor = threading.Thread(target=self._sweep_on, name="janitor", daemon=True)
        self._start_janitor()

    def run(self, provider: Provider, scope: Scope | None = None) -> float:
        """Return the speed of a provider in megabytes per second.

        Args:
            provider: what to measure; who asks for the same at once gets the same answer.
            scope: ends this caller's wait, and the test only if nobody else waits for it.

        Raises:
            ShutdownError: the coordinator was shut down.
            SpeedTestError: the dial or the test failed.
            Exception: the cause of `scope`.
        """
        flight = self._join(provider, scope)
        try:
            return flight.wait(scope)
        finally:
            self._leave(flight)

    @property
    def size(self) -> int:
        """Clients that are cached."""
        with self._lock:
            return len(self._entries)

    def sweep(self) -> None:
        """Drop the clients that have expired; those in use are closed by their last user."""
        now = time.monotonic()
        with self._lock:
            expired = {
                key: entry
                for key, entry in self._entries.items()
                if policy.is_expired(now, entry.expiry)
            }
            for key in expired:
                del self._entries[key]
        for entry in expired.values():
            self._retire(entry)

    def shutdown(self) -> None:
        """End every test, stop the janitor and close every client; a second caller waits."""
        with self._shutting:
            self._life.cancel(ShutdownError("the speed tests were shut down"))
            for thread in self._threads():
                thread.join()
            self._stop_janitor()
            for entry in self._take_all():
                self._retire(entry)

    # Flights: one for each key at a time.

    def _join(self, provider: Provider, scope: Scope | None) -> "Flight":
        with self._lock:
            self._check_open()
            key = self._key(provider)
            flight = self._current(key)
            if flight is None:
                flight = Flight(key, provider, self._flight_scope(scope))
                flight.thread = threading.Thread(
                    target=self._fly, args=(flight,), name=f"test-{provider.id}", daemon=True
                )
                self._flights[key] = flight
                self._flying.append(flight)
                flight.thread.start()
            flight.waiters += 1
            return flight

    def _leave(self, flight: "Flight") -> None:
        with self._lock:
            flight.waiters -= 1
            is_last = not flight.waiters
            if is_last:
                # Whoever comes from now on must not get a flight that is being cancelled.
                self._forget(flight)
        if is_last:
            flight.scope.cancel()

    def _key(self, provider: Provider) -> str:
        return policy.key_of(provider)

    def _current(self, key: str) -> "Flight | None":
        return self._flights.get(key)

    def _flight_scope(self, scope: Scope | None) -> Scope:
        # Of nobody who asks: the first may leave while others still wait.
        return Scope(self._life, timeout=self._timeout)

    def _fly(self, flight: "Flight") -> None:
        try:
            flight.speed = self._test(flight)
        except BaseException as exc:
            # Whatever it is, nobody must wait for ever.
            flight.error = exc
        flight.is_shut_down = self._life.is_set()
        with self._lock:
            self._forget(flight)
            self._flying.remove(flight)
        flight.scope.cancel()
        flight.end()

    def _forget(self, flight: "Flight") -> None:
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]

    def _threads(self) -> list[threading.Thread]:
        # Those that everybody has left, too: they may still hold a client.
        with self._lock:
            return [flight.thread for flight in self._flying]

    # A test.

    def _test(self, flight: "Flight") -> float:
        live = self._live(self._address(flight.provider))
        if live is None:
            return self._test_own(flight)
        # What fails on a pool in use is the answer: a second dial would not be the same test.
        return self._speed(live, flight)

    def _address(self, provider: Provider) -> str:
        return provider.address

    def _test_own(self, flight: "Flight") -> float:
        with self._borrowed(flight) as client:
            return self._speed(client, flight)

    def _speed(self, client: ClientT, flight: "Flight") -> float:
        return self._pick(self._measure(client, flight.scope), flight.provider)

    def _pick(self, speeds: Mapping[str, float], provider: Provider) -> float:
        return policy.megabytes_per_second(speeds, provider)

    # Clients.

    @contextmanager
    def _borrowed(self, flight: "Flight") -> Iterator[ClientT]:
        entry = self._hit(flight.key) or self._insert(flight.key, self._dial(flight))
        try:
            yield entry.client
        finally:
            self._give_back(entry)

    def _hit(self, key: str) -> "Entry[ClientT] | None":
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            if self._is_fresh(entry):
                entry.users += 1
                return entry
            del self._entries[key]
        self._retire(entry)
        return None

    def _is_fresh(self, entry: "Entry[ClientT]") -> bool:
        return policy.is_fresh(time.monotonic(), entry.expiry)

    def _dial(self, flight: "Flight") -> ClientT:
        # Outside the lock: a slow dial must not hold up the tests of other providers.
        return self._build(flight.provider, self._client_scope(flight))

    def _client_scope(self, flight: "Flight") -> Scope:
        # Not of the flight: the client is there for those who ask next, too.
        return self._life

    def _insert(self, key: str, client: ClientT) -> "Entry[ClientT]":
        entry = Entry(client, time.monotonic() + self._ttl)
        loser: ClientT | None = None
        try:
            with self._lock:
                self._check_open()
                known = self._entries.get(key)
                if known is not None and self._is_fresh(known):
                    loser, entry = client, known
                else:
                    self._entries[key] = entry
                entry.users += 1
        except ShutdownError:
            client.close()
            raise
        if loser is not None:
            loser.close()
        elif known is not None:
            self._retire(known)
        return entry

    def _give_back(self, entry: "Entry[ClientT]") -> None:
        with self._lock:
            entry.users -= 1
            is_last = entry.is_retired and not entry.users
        if is_last:
            entry.client.close()

    def _retire(self, entry: "Entry[ClientT]") -> None:
        """Close an entry that left the map, or have its last user close it."""
        with self._lock:
            entry.is_retired = True
            is_idle = not entry.users
        if is_idle:
            entry.client.close()

    # The janitor and the end.

    def _start_janitor(self) -> None:
        self._janitor.start()

    def _sweep_on(self) -> None:
        started = time.monotonic()
        tick = policy.next_tick(0, 0.0, self._period())
        while not self._life.wait(max(0.0, started + tick * self._period() - time.monotonic())):
            self.sweep()
            tick = policy.next_tick(tick, time.monotonic() - started, self._period())

    def _period(self) -> float:
        return self._ttl / policy.PERIODS_IN_TTL

    def _stop_janitor(self) -> None:
        # It waits for the life of the coordinator, which is over.
        self._janitor.join()

    def _take_all(self) -> "list[Entry[ClientT]]":
        with self._lock:
            entries, self._entries = list(self._entries.values()), {}
            return entries

    def _check_open(self) -> None:
        if self._life.is_set():
            raise ShutdownError("the speed tests were shut down")


class Entry(Generic[ClientT]):
    """A client, when it expires, and how many use it. Guarded by the coordinator's lock."""

    # invariant: who sets is_retired or brings users to 0 and finds the other so closes the client

    def __init__(self, client: ClientT, expiry: float) -> None:
        """Hold a client that nobody uses yet."""
        self.client = client
        self.expiry = expiry
        self.users = 0
        self.is_retired = False


class Flight:
    """A test that goes on, for all who wait for it; any thread may wait."""

    # invariant: `waiters` is guarded by the coordinator's lock; speed and error are set before end

    thread: threading.Thread

    def __init__(self, key: str, provider: Provider, scope: Scope) -> None:
        """Make a flight that nobody waits for yet."""
        self.key = key
        self.provider = provider
        self.scope = scope
        self.waiters = 0
        self.speed = 0.0
        self.error: BaseException | None = None
        self.is_shut_down = False
        self._ended = threading.Condition()
        self._is_over = False

    def end(self) -> None:
        """Let everybody have the outcome."""
        with self._ended:
            self._is_over = True
            self._ended.notify_all()

    def wait(self, scope: Scope | None) -> float:
        """Return the speed, or raise why there is none, or the cause of `scope`."""
        take_back = None if scope is None else scope.on_set(self._wake)
        try:
            with self._ended:
                while not self._is_over:
                    if scope is not None and scope.is_set():
                        raise scope.cause or TimeoutError()
                    self._ended.wait(None if scope is None else scope.remaining())
        finally:
            if take_back is not None:
                take_back()
        if self.error is None:
            return self.speed
        # An exception of its own for each caller: a shared one would grow tracebacks.
        message = f"{self.provider.id} could not be measured"
        if self.is_shut_down:
            raise ShutdownError(message) from self.error
        raise SpeedTestError(message) from self.error

    def _wake(self) -> None:
        with self._ended:
            self._ended.notify_all()


__all__ = [
    "Account",
    "Closable",
    "Provider",
    "ShutdownError",
    "SpeedTestError",
    "SpeedTests",
]
