"""An in-memory event stream for tasks: one append-only log, a cursor for each receiver's name.

It does not know where events come from, and keeps them only as long as the process.

    send ──▶ append, wake all ──┐ holding the condition
    recv ──▶ ready? skip? ── else park ──▶ again
                                ▲
    task.cancel() ──────────────┘ raises in the wait, which first takes the condition back

No helper waits for a cancellation: it reaches the receiver in its wait. A receiver that does not
have to wait returns its event first, and meets the cancellation at the next await.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from scenarios.event_stream import policy
from scenarios.event_stream.policy import Event

Ack = Callable[[], None]


class Streamer:
    """A log that every sender and receiver made from it shares; one loop."""

    # invariant: the log only grows, and event number i has id i

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
        self._is_monotonic = monotonic_ack
        self._cursors: dict[str, int] = {}
        self._log: list[Event] = []
        self._changed = asyncio.Condition()

    def new_sender(self, topic: str) -> "Sender":
        """Return a sender. Its topic is only a name: what counts is the header of each event."""
        return Sender(self, topic)

    def new_receiver(self, topic: str, name: str, *, from_latest: bool = False) -> "Receiver":
        """Return a receiver.

        Args:
            topic: sees the events whose header `topic` says so; an empty one sees all.
            name: whose cursor it shares. A second one of a name goes on where the first has got to.
            from_latest: begin behind the events that are there now, unless the name has a cursor.
        """
        receiver = Receiver(self, topic, name, from_latest=from_latest)
        self._begin(receiver)
        return receiver

    async def send(self, foreign_id: str, type: int, headers: Mapping[str, str]) -> Event:
        """Append an event and wake every receiver; waits for none of them."""
        async with self._changed:
            event = self._append(foreign_id, type, headers)
            self._announce()
        return event

    def send_from_thread(
        self,
        loop: asyncio.AbstractEventLoop,
        foreign_id: str,
        type: int,
        headers: Mapping[str, str],
    ) -> Event:
        """Send from another thread than that of `loop`, which is the loop of the receivers."""
        sending = self.send(foreign_id, type, headers)
        return asyncio.run_coroutine_threadsafe(sending, loop).result()

    async def recv(self, receiver: "Receiver") -> tuple[Event, Ack]:
        """Return the next event of `receiver` and what acknowledges it; see `Receiver.recv`."""
        async with self._changed:
            while True:
                cursor = self._cursors.get(receiver.name, 0)
                if cursor >= len(self._log):
                    await self._park(receiver)
                    continue
                event = self._log[cursor]
                if policy.is_for(event, receiver.topic):
                    return self._deliver(receiver, event)
                self._cursors[receiver.name] = cursor + 1

    def _begin(self, receiver: "Receiver") -> None:
        cursor = self._cursors.get(receiver.name, 0)
        first = policy.first_cursor(cursor, len(self._log), from_latest=receiver.from_latest)
        if first != cursor:
            self._cursors[receiver.name] = first

    def _append(self, foreign_id: str, type: int, headers: Mapping[str, str]) -> Event:
        event = Event(len(self._log) + 1, foreign_id, type, dict(headers), self._clock())
        self._log.append(event)
        return event

    def _announce(self) -> None:
        self._changed.notify_all()

    def _deliver(self, receiver: "Receiver", event: Event) -> tuple[Event, Ack]:
        # The id of an event is the position behind it.
        return event, lambda: self._commit(receiver.name, event.id)

    def _commit(self, name: str, position: int) -> None:
        cursor = self._cursors.get(name, 0)
        self._cursors[name] = policy.committed(cursor, position, is_monotonic=self._is_monotonic)

    async def _park(self, receiver: "Receiver") -> None:
        await self._changed.wait()


class Sender:
    """Whoever appends events; one loop."""

    def __init__(self, streamer: Streamer, topic: str) -> None:
        """Make one; `Streamer.new_sender` does."""
        self.topic = topic
        self._streamer = streamer

    async def send(self, foreign_id: str, type: int, headers: Mapping[str, str]) -> Event:
        """Append an event and return it; waits for no receiver."""
        return await self._streamer.send(foreign_id, type, headers)

    def close(self) -> None:
        """Do nothing: a sender holds nothing."""


class Receiver:
    """A view of the log under a name; it has no state but the shared cursor. One loop."""

    def __init__(self, streamer: Streamer, topic: str, name: str, *, from_latest: bool) -> None:
        """Make one; `Streamer.new_receiver` does."""
        self.topic = topic
        self.name = name
        self.from_latest = from_latest
        self._streamer = streamer

    async def recv(self) -> tuple[Event, Ack]:
        """Return the next event and what acknowledges it, waiting until there is one.

        Without an acknowledgement the next call returns the same event: one that is cancelled loses
        nothing.
        """
        return await self._streamer.recv(self)

    def close(self) -> None:
        """Do nothing: whoever waits in `recv` is ended by `task.cancel()`."""


class Consumers:
    """Tasks that each receive under a name of their own until they are closed; one loop."""

    def __init__(
        self, streamer: Streamer, topic: str, handle: Callable[[str, Event], Awaitable[None]]
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
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def alive(self) -> int:
        """How many have not ended."""
        return sum(not task.done() for task in self._tasks)

    def start(self, name: str) -> None:
        """Add a consumer."""
        receiver = self._streamer.new_receiver(self._topic, name)
        self._tasks.append(asyncio.create_task(self._run(receiver), name=name))

    async def close(self) -> None:
        """Cancel all, and wait until each has ended, whatever its handler does on the way out."""
        for task in self._tasks:
            task.cancel()
        await self._join()

    async def _join(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _run(self, receiver: Receiver) -> None:
        while True:
            event, ack = await receiver.recv()
            await self._handle(receiver.name, event)
            ack()
