"""An in-memory event stream for threads: one append-only log, a cursor for each receiver's name.

It does not know where events come from, and keeps them only as long as the process.

    send ──▶ append, wake all ──┐ under the one mutex
    recv ──▶ cancelled? ready? skip? ── else park ──▶ again
                                          ▲
    cancel ──▶ helper ──▶ wake all ───────┘ under the same mutex

A receiver parks on a condition of the mutex under which events are appended, so no wake-up is lost.
Whoever cancels takes that mutex too: between the look at the token and the wait nobody slips in.
"""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError

from scenarios.event_stream import policy
from scenarios.event_stream.policy import Event
from scenarios.event_stream.token import CancelToken

Ack = Callable[[], None]


class Streamer:
    """A log that every sender and receiver made from it shares; any thread may call any method."""

    # invariant: the log only grows, and event number i has id i
    # invariant: the mutex is taken before that of the cursors, never after

    def __init__(
        self, *, clock: Callable[[], float] = time.time, monotonic_ack: bool = False
    ) -> None:
        """Make an empty log.

        Args:
            clock: tells when an event is sent.
            monotonic_ack: an acknowledgement never moves a cursor back. By default the last one
                wins, even if it is for an older event.
        """
        self._clock = clock
        self._cursors = Cursors(is_monotonic=monotonic_ack)
        self._log: list[Event] = []
        self._parked = 0
        self._changed = threading.Condition(threading.Lock())

    @property
    def parked(self) -> int:
        """How many receivers wait for an event."""
        return self._parked

    def new_sender(self, topic: str) -> "Sender":
        """Return a sender. Its topic is only a name: what counts is the header of each event."""
        with self._changed:
            return Sender(self, topic)

    def new_receiver(self, topic: str, name: str, *, from_latest: bool = False) -> "Receiver":
        """Return a receiver.

        Args:
            topic: sees the events whose header `topic` says so; an empty one sees all.
            name: whose cursor it shares. A second one of a name goes on where the first has got to.
            from_latest: begin behind the events that are there now, unless the name has a cursor.
        """
        receiver = Receiver(self, topic, name, from_latest=from_latest)
        with self._changed:
            self._begin(receiver)
        return receiver

    def send(self, foreign_id: str, type: int, headers: Mapping[str, str]) -> Event:
        """Append an event and wake every receiver; waits for none of them."""
        with self._changed:
            event = self._append(foreign_id, type, headers)
            self._announce()
        return event

    def recv(self, receiver: "Receiver", cancel: CancelToken | None = None) -> tuple[Event, Ack]:
        """Return the next event of `receiver` and what acknowledges it; see `Receiver.recv`."""
        stop: Callable[[], None] | None = None
        try:
            with self._changed:
                while True:
                    self._check(cancel)
                    cursor = self._cursors.get(receiver.name)
                    if cursor < len(self._log):
                        event = self._log[cursor]
                        if policy.is_for(event, receiver.topic):
                            return self._deliver(receiver, event)
                        self._cursors.set(receiver.name, cursor + 1)
                    elif stop is None:
                        # Then round again: the token may have been set before the helper was there.
                        stop = self._start_helper(receiver, cancel)
                    else:
                        self._park(receiver)
        finally:
            if stop is not None:
                stop()

    def _begin(self, receiver: "Receiver") -> None:
        cursor = self._cursors.get(receiver.name)
        first = policy.first_cursor(cursor, len(self._log), from_latest=receiver.from_latest)
        if first != cursor:
            self._cursors.set(receiver.name, first)

    def _append(self, foreign_id: str, type: int, headers: Mapping[str, str]) -> Event:
        event = Event(len(self._log) + 1, foreign_id, type, dict(headers), self._clock())
        self._log.append(event)
        return event

    def _announce(self) -> None:
        self._changed.notify_all()

    def _check(self, cancel: CancelToken | None) -> None:
        if cancel is not None:
            cancel.check()

    def _deliver(self, receiver: "Receiver", event: Event) -> tuple[Event, Ack]:
        # The id of an event is the position behind it.
        return event, lambda: self._commit(receiver.name, event.id)

    def _commit(self, name: str, position: int) -> None:
        self._cursors.commit(name, position)

    def _park(self, receiver: "Receiver") -> None:
        self._parked += 1
        try:
            self._changed.wait()
        finally:
            self._parked -= 1

    def _start_helper(
        self,
        receiver: "Receiver",
        cancel: CancelToken | None,
    ) -> Callable[[], None]:
        """Have a cancellation wake whoever parks; return what stops the helper."""
        return _nothing if cancel is None else cancel.on_cancel(self._wake_all)

    def _wake_all(self) -> None:
        with self._changed:
            self._changed.notify_all()


class WatchedStreamer(Streamer):
    """A log with a thread as helper, for tokens that can be waited for but call nobody back."""

    def _start_helper(self, receiver: "Receiver", cancel: CancelToken | None) -> Callable[[], None]:
        if cancel is None:
            return _nothing
        over = threading.Event()
        forget = cancel.on_cancel(over.set)

        def watch() -> None:
            over.wait()
            if cancel.is_cancelled:
                self._wake_all()

        watcher = threading.Thread(target=watch, name=f"watch-{receiver.name}", daemon=True)
        watcher.start()

        def stop() -> None:
            forget()
            over.set()
            watcher.join()

        return stop


class Sender:
    """Whoever appends events; any thread."""

    def __init__(self, streamer: Streamer, topic: str) -> None:
        """Make one; `Streamer.new_sender` does."""
        self.topic = topic
        self._streamer = streamer

    def send(
        self,
        foreign_id: str,
        type: int,
        headers: Mapping[str, str],
        cancel: CancelToken | None = None,
    ) -> Event:
        """Append an event and return it. Never fails or waits, whatever `cancel` says."""
        return self._streamer.send(foreign_id, type, headers)

    def close(self) -> None:
        """Do nothing: a sender holds nothing."""


class Receiver:
    """A view of the log under a name; it has no state but the shared cursor. Any thread."""

    def __init__(self, streamer: Streamer, topic: str, name: str, *, from_latest: bool) -> None:
        """Make one; `Streamer.new_receiver` does."""
        self.topic = topic
        self.name = name
        self.from_latest = from_latest
        self._streamer = streamer

    def recv(self, cancel: CancelToken | None = None) -> tuple[Event, Ack]:
        """Return the next event and what acknowledges it, waiting until there is one.

        Without an acknowledgement the next call returns the same event.

        Raises:
            CancelledError: `cancel` is set, before or meanwhile, even if an event is ready.
        """
        return self._streamer.recv(self, cancel)

    def close(self) -> None:
        """Do nothing: whoever waits in `recv` is ended by its token."""


class Cursors:
    """How far each name has got; any thread."""

    def __init__(self, *, is_monotonic: bool) -> None:
        """Make a store in which every name stands at 0."""
        self.mutex = threading.Lock()
        self.positions: dict[str, int] = {}
        self.is_monotonic = is_monotonic

    def get(self, name: str) -> int:
        """Return the position of a name, 0 if it was never set."""
        with self.mutex:
            return self.positions.get(name, 0)

    def set(self, name: str, position: int) -> None:
        """Put a name where it belongs."""
        with self.mutex:
            self.positions[name] = position

    def commit(self, name: str, position: int) -> None:
        """Acknowledge up to `position`."""
        with self.mutex:
            cursor = self.positions.get(name, 0)
            self.positions[name] = policy.committed(
                cursor, position, is_monotonic=self.is_monotonic
            )


class Consumers:
    """Threads that each receive under a name of their own until they are closed.

    One thread makes and closes them; `handle` is called by theirs.
    """

    def __init__(
        self, streamer: Streamer, topic: str, handle: Callable[[str, Event], None]
    ) -> None:
        """Make a group without a consumer.

        Args:
            streamer: where events come from.
            topic: of the events that are wanted.
            handle: called with the name and each event; then the event is acknowledged.
        """
        self._streamer = streamer
        self._topic = topic
        self._handle = handle
        self._token = CancelToken()
        self._threads: list[threading.Thread] = []

    @property
    def alive(self) -> int:
        """How many have not ended."""
        return sum(thread.is_alive() for thread in self._threads)

    def start(self, name: str) -> None:
        """Add a consumer."""
        receiver = self._streamer.new_receiver(self._topic, name)
        thread = threading.Thread(target=self._run, args=(receiver,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def close(self) -> None:
        """Cancel all, and wait until each has handled what it has in its hands."""
        self._token.cancel()
        self._join()

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _run(self, receiver: Receiver) -> None:
        try:
            while True:
                event, ack = receiver.recv(self._token)
                self._handle(receiver.name, event)
                ack()
        except CancelledError:
            pass


def _nothing() -> None:
    """Stop no helper."""
