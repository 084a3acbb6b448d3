"""Neighbours of the reader: shared fetches, speculation, two semaphores, bundled calls, holes.

Each is a class of its own and knows none of the others. None knows how an article travels.

    reader ─┐                        ┌─ demand: always     import ─▶ share of imports ─┐
    reader ─┴▶ Flights: one fetch ───┴─ Speculation: if    stream ─────────────────────┴▶ all
               for each article         a slot is free
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Full, Queue

from scenarios.connection_lifecycle.admission.policy import Shared
from scenarios.connection_lifecycle.admission.reference import Budget, Token
from scenarios.connection_lifecycle.reader.reference import FetchError
from scenarios.connection_lifecycle.scope import Scope

from . import policy

logger = logging.getLogger(__name__)
# Whoever uses these decides who hears them.
logger.addHandler(logging.NullHandler())


# --- one fetch for all who want an article --------------------------------------------------------


class Flights:
    """Readers that want one article at once share its fetch; any thread.

    Who comes first fetches, in its own thread; when it is cancelled, one of the others takes over.
    """

    # invariant: a flight is in the map while its leader fetches, and not after

    def __init__(self, fetch: Callable[[str, str, Scope], bytes]) -> None:
        """Make an empty map over `fetch(id, lane, scope)`, which ends when the scope is set."""
        self._fetch = fetch
        self._changed = threading.Condition()
        self._flights: dict[str, Flight] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def get(
        self,
        id: str,
        scope: Scope,
        *,
        lane: str = "priority",
        on_missing: Callable[[str], bytes] | None = None,
    ) -> bytes:
        """Return an article.

        Args:
            id: which.
            scope: ends this caller's wait, and the fetch only if nobody else waits for it.
            lane: what is fetched in another lane than streams are is not shared: a stream would
                wait for its turn.
            on_missing: what this caller makes of an article that does not exist; None for the
                error. No other caller gets to see it.

        Raises:
            FetchError: the fetch failed.
            Exception: the cause of `scope`.
        """
        try:
            if lane != "priority":
                return self._fetch_alone(id, lane, scope)
            return self._share(id, lane, scope)
        except FetchError as exc:
            if on_missing is None or not exc.is_missing:
                raise
            return on_missing(id)

    def _fetch_alone(self, id: str, lane: str, scope: Scope) -> bytes:
        try:
            return self._fetch(id, lane, scope)
        except Exception as exc:
            raise FetchError(f"{id} could not be fetched", [exc]) from None

    def _share(self, id: str, lane: str, scope: Scope) -> bytes:
        take_back = scope.on_set(self._wake)
        try:
            while True:
                flight, is_leader = self._join(id)
                if is_leader:
                    self._lead(flight, lane, scope)
                else:
                    self._await(flight, scope)
                if not flight.is_abandoned:
                    return flight.outcome()
                if scope.is_set():
                    raise scope.cause or TimeoutError()
        finally:
            take_back()

    def _join(self, id: str) -> "tuple[Flight, bool]":
        with self._changed:
            flight = self._flights.get(id)
            if flight is not None:
                return flight, False
            flight = self._flights[id] = Flight(id)
            return flight, True

    def _lead(self, flight: "Flight", lane: str, scope: Scope) -> None:
        try:
            flight.data = self._fetch(flight.id, lane, scope)
        except Exception as exc:
            flight.error = exc
            flight.is_abandoned = self._is_leaving(scope)
        except BaseException:
            flight.is_abandoned = True
            raise
        finally:
            self._end(flight)

    def _is_leaving(self, scope: Scope) -> bool:
        # Its own end is no outcome for those who wait.
        return scope.is_set()

    def _end(self, flight: "Flight") -> None:
        with self._changed:
            flight.is_over = True
            self._forget(flight)
            self._changed.notify_all()

    def _forget(self, flight: "Flight") -> None:
        if self._flights.get(flight.id) is flight:
            del self._flights[flight.id]

    def _await(self, flight: "Flight", scope: Scope) -> None:
        with self._changed:
            while not flight.is_over:
                if scope.is_set():
                    raise scope.cause or TimeoutError()
                self._changed.wait(scope.remaining())

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


class Flight:
    """One fetch; written by its leader before it is over, read by the others after."""

    def __init__(self, id: str) -> None:
        """Begin the fetch of an article."""
        self.id = id
        self.data = b""
        self.error: Exception | None = None
        self.is_abandoned = False
        self.is_over = False

    def outcome(self) -> bytes:
        """Return the article, or raise why there is none; each caller an exception of its own."""
        if self.error is not None:
            raise FetchError(f"{self.id} could not be fetched", [self.error])
        return self.data


# --- what is fetched ahead of need ----------------------------------------------------------------


class Speculation:
    """Bounds what is fetched ahead of need, and nothing else; any thread.

    What is read now and what comes next is admitted at once, whatever else goes on; all else only
    if there is room at this instant.
    """

    # invariant: a fetch on speculation was admitted while fewer than the limit went on

    def __init__(self, connections: int) -> None:
        """Let so many fetches go on as keep `connections` busy for three rounds, less one."""
        self._limit = self._slots(connections)
        self._lock = threading.Lock()
        self._busy = 0

    @property
    def busy(self) -> int:
        """Fetches that go on, of either kind."""
        return self._busy

    @contextmanager
    def fetching(self, ahead: int) -> Iterator[bool]:
        """Yield whether the article `ahead` places before the reader may be fetched now.

        Never waits: what is refused is asked for again when it is needed.
        """
        is_admitted = self._admit(ahead)
        try:
            yield is_admitted
        finally:
            if is_admitted:
                self._leave()

    def _slots(self, connections: int) -> int:
        return policy.speculative_slots(connections)

    def _admit(self, ahead: int) -> bool:
        # Looked at and taken in one step: two who find the last place free must not both take it.
        with self._lock:
            is_admitted = self._is_demand(ahead) or self._busy < self._limit
            self._busy += is_admitted
            return is_admitted

    def _is_demand(self, ahead: int) -> bool:
        return policy.is_demand(ahead)

    def _leave(self) -> None:
        with self._lock:
            self._busy -= 1


# --- connections for streams and imports ----------------------------------------------------------


class Lanes:
    """Connections of which imports may hold a part, and streams all; any thread.

    An import takes a place among the imports first, then a connection, and gives them back in the
    other order. The other way round, imports that wait for each other would hold connections.
    """

    # invariant: who waits for a place among the imports holds no connection

    def __init__(self, connections: int) -> None:
        """Make so many connections."""
        self._all = Budget(Shared(connections))
        self._imports = Budget(Shared(self._share(connections)))

    @property
    def held(self) -> tuple[int, int]:
        """Connections that are held, and places among the imports."""
        return self._all.held, self._imports.held

    @contextmanager
    def stream(self, scope: Scope | None = None) -> Iterator[None]:
        """Hold a connection for a stream."""
        with self._all.acquire(scope):
            yield

    @contextmanager
    def importing(self, scope: Scope | None = None) -> Iterator[None]:
        """Hold a connection for an import."""
        place, connection = self._take(scope)
        try:
            yield
        finally:
            connection.release()
            place.release()

    def _share(self, connections: int) -> int:
        return policy.import_share(connections)

    def _take(self, scope: Scope | None) -> tuple[Token, Token]:
        place = self._imports.acquire(scope)
        try:
            return place, self._all.acquire(scope)
        except BaseException:
            # Cancelled between the two: the first must not be lost.
            self._roll_back(place)
            raise

    def _roll_back(self, place: Token) -> None:
        place.release()


# --- one call for many ----------------------------------------------------------------------------


class Coalescer:
    """Collects what is to be refreshed for a second, and has it refreshed by one call; any thread.

    A thread of its own makes the calls, one at a time. The owner must call `close`, which has
    refreshed what was asked for before.
    """

    # invariant: a path that was accepted is pending, in the call that goes on, or refreshed
    # invariant: at most `most` paths are remembered

    def __init__(
        self,
        refresh: Callable[[Sequence[str], Scope], None],
        *,
        done: Callable[[], None] = lambda: None,
        window: float = policy.WINDOW,
        debounce: float = policy.DEBOUNCE,
        timeout: float = policy.CALL_TIMEOUT,
        most: int = policy.REMEMBERED,
    ) -> None:
        """Start the thread.

        Args:
            refresh: called with the paths of a second, in order; ends when the scope is set.
            done: called once, by `close`, when all is over.
            window: seconds from the first path to the call.
            debounce: seconds in which a path that was accepted is not accepted again.
            timeout: seconds that a call may take.
            most: paths that are remembered for `debounce`.
        """
        self._refresh = refresh
        self._done = done
        self._window = window
        self._debounce = debounce
        self._timeout = timeout
        self._most = most
        self._changed = threading.Condition()
        self._pending: dict[str, None] = {}
        self._asked: dict[str, float] = {}
        self._is_closing = False
        self._closing = threading.Lock()
        self._worker = threading.Thread(target=self._work, name="coalescer", daemon=True)
        self._worker.start()

    @property
    def remembered(self) -> int:
        """Paths that are remembered."""
        return len(self._asked)

    def enqueue(self, path: str) -> bool:
        """Have a path refreshed, and say whether it will be; not if it was asked for just now."""
        now = time.monotonic()
        with self._changed:
            if self._is_closing or policy.is_recent(now, self._asked.get(path), self._debounce):
                return False
            self._remember(path, now)
            self._pending[path] = None
            self._changed.notify_all()
            return True

    def close(self) -> None:
        """Refresh what is pending, end the thread, say that all is done; a second caller waits."""
        with self._closing:
            if self._is_closing:
                return
            with self._changed:
                self._is_closing = True
                self._changed.notify_all()
            self._worker.join()
            self._done()

    def _remember(self, path: str, now: float) -> None:
        self._asked.pop(path, None)
        self._asked[path] = now
        if len(self._asked) > self._most:
            kept = policy.remembered(self._asked, now, self._debounce, self._most)
            self._asked = {each: self._asked[each] for each in kept}

    def _work(self) -> None:
        while self._await_first():
            self._collect()
            for paths in self._calls(self._take()):
                self._call(paths)

    def _await_first(self) -> bool:
        """Wait for something to do, and say whether there is."""
        with self._changed:
            while not self._pending and not self._is_closing:
                self._changed.wait()
            return bool(self._pending)

    def _collect(self) -> None:
        end = time.monotonic() + self._window
        with self._changed:
            while not self._is_closing and (left := end - time.monotonic()) > 0:
                self._changed.wait(left)

    def _take(self) -> list[str]:
        # Taken and emptied in one step: what comes from now on is for the next call.
        with self._changed:
            paths, self._pending = list(self._pending), {}
            return paths

    def _calls(self, paths: list[str]) -> list[list[str]]:
        return [paths]

    def _call(self, paths: Sequence[str]) -> None:
        try:
            self._refresh(paths, self._call_scope())
        except Exception:
            # The next call may succeed, and somebody has to make it.
            logger.exception("%d paths could not be refreshed", len(paths))

    def _call_scope(self) -> Scope:
        return Scope(timeout=self._timeout)


# --- what is missing from a file ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hole:
    """An article that does not exist, and the file that lacks it: all that a record needs."""

    path: str
    id: str


class Holes:
    """Pads what is missing from an open file, and has it recorded; any thread.

    Whoever reads never waits for a record. A thread of its own makes them, one at a time, from
    copies: it touches nothing that `close` lets go of. The owner must call `close`, which returns
    when all that was accepted is recorded.
    """

    # invariant: a hole that was accepted is in the queue, being recorded, or recorded
    # invariant: the path is None from the first close on, and nothing is accepted then

    def __init__(
        self,
        path: str,
        record: Callable[[Hole], None],
        *,
        size: int,
        most: int = policy.HOLES_WAITING,
    ) -> None:
        """Start nothing: the thread begins with the first hole.

        Args:
            path: the file.
            record: called with each hole, in the order in which they were found.
            size: bytes of an article.
            most: holes that may wait to be recorded; what is found beyond is padded, and dropped.
        """
        self._path: str | None = path
        self._record = record
        self._size = size
        self._lock = threading.Lock()
        self._queue: Queue[Hole | None] = Queue(most)
        self._worker: threading.Thread | None = None
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """Holes that are not recorded: found after the end, or where too many waited."""
        return self._dropped

    def pad(self, id: str) -> bytes:
        """Return what stands in for an article that does not exist, and have that recorded."""
        with self._lock:
            # Copied under the lock: who records looks at no file that may be closed by then.
            hole = self._snapshot(id)
            if hole is None or not self._offer(hole):
                self._dropped += 1
        return bytes(self._size)

    def close(self) -> None:
        """Record what was accepted, and end the thread; may be repeated, and any caller waits."""
        with self._lock:
            is_first, self._path = self._path is not None, None
            worker = self._worker
        if worker is not None:
            if is_first:
                self._end()
            worker.join()

    def _snapshot(self, id: str) -> Hole | None:
        return None if self._path is None else Hole(self._path, id)

    def _offer(self, hole: Hole) -> bool:
        try:
            self._queue.put_nowait(hole)
        except Full:
            return False
        if self._worker is None:
            self._worker = threading.Thread(target=self._work, name="holes", daemon=True)
            self._worker.start()
        return True

    def _end(self) -> None:
        # Behind all that was accepted; without the lock, since it waits for room.
        self._queue.put(None)

    def _work(self) -> None:
        while (hole := self._queue.get()) is not None:
            self._keep(hole)

    def _keep(self, hole: Hole) -> None:
        try:
            self._record(hole)
        except Exception:
            # The next one may succeed, and somebody has to record it.
            logger.exception("that %s lacks %s could not be recorded", hole.path, hole.id)


__all__ = ["Coalescer", "Flights", "Hole", "Holes", "Lanes", "Speculation"]
