"""Readers and sinks that are each wrong in one way.

Rows K-M1 to K-M10 of the component's table; S1, S2, S4 and S5 are invariants that no row of the
table breaks by an interleaving, A1 to A4 what its page only tells. A storm in `storms.py` catches
each.

Nothing of the table is equivalent here. One thing that its page tells is: to register again on the
first stream only cannot show, because a read makes the consumer anew on every stream.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from . import policy
from .reference import Database, Event, Reader, Sink


def bury_in_first(db: Database, stream: str, group: str, beats: str, consumer: str) -> bool:
    """Delete a consumer of one stream that owes nothing there, and its keep-alive: a script."""
    if db.xpending_range(stream, group, "-", "+", 1, consumer):
        return False
    db.xgroup_delconsumer(stream, group, consumer)
    db.hdel(beats, consumer)
    return True


def bury_unasked(db: Database, stream: str, group: str, beats: str, consumer: str) -> bool:
    """Delete a consumer of one stream, whatever it owes: a script."""
    db.xgroup_delconsumer(stream, group, consumer)
    db.hdel(beats, consumer)
    return True


# --- readers --------------------------------------------------------------------------------------


class ReadsAtOnce(Reader):
    """K-M6: begins to read when it is opened.

    Bug: what is read before anybody subscribes is consumed, and shown to nobody; it always fails.
    Seen in: pulse before 5ed8559 of April 2025.
    Caught by: late_subscriber_sees_all (Exactly).
    """

    async def open(self) -> None:
        await super().open()
        self._begin()


class LeaksLock(Reader):
    """K-M7: closes under a lock that the second close does not give back.

    Bug: the early return leaves the lock taken, and whoever closes next waits for ever; no
    interleaving is needed.
    Seen in: pulse, still so in September 2026.
    Caught by: closed_three_times (Deadlock).
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._lock = asyncio.Lock()

    async def close(self) -> None:
        await self._lock.acquire()
        if self._is_closed:
            return
        await super().close()
        self._lock.release()


class JoinsItself(Reader):
    """K-M8: closes itself when its stream is gone, and so waits for the task that closes.

    Bug: the reading waits for its own end, and no subscriber is told; no interleaving is needed.
    Seen in: pulse, still so in September 2026.
    Caught by: stream_is_gone (Deadlock).
    """

    async def _fail(self) -> None:
        # The original asks its tasks to end, and waits until they have: this one, too.
        self._is_closed = True
        await asyncio.wait(self._tasks)
        self._close_subscriptions()


class LossIsTheEnd(Reader):
    """A1: takes a lost connection for the end of its streams.

    Bug: the connection is lost for a moment, and the reader shows nothing any more; it always
    fails where a connection is lost.
    Seen in: no project known; it is what "sleep and try again" in pulse is there against.
    Caught by: cut_off_reader_reads_on (Exactly).
    """

    async def _read_once(self) -> list[Event]:
        try:
            return await super()._read_once()
        except ConnectionError as exc:
            raise LookupError(self.name) from exc


# --- sinks ----------------------------------------------------------------------------------------


class LossIsTheEndToo(Sink):
    """A1: takes a lost connection for the end of its streams.

    Bug: the connection is lost for a moment, and the sink delivers nothing any more; it always
    fails where a connection is lost.
    Seen in: no project known.
    Caught by: cut_off_sink_reads_on (Failed).
    """

    async def _read_once(self) -> list[Event]:
        try:
            return await super()._read_once()
        except ConnectionError as exc:
            raise LookupError(self.name) from exc


class FirstPageOnly(Sink):
    """A3: claims one page of what is owed, and leaves the others to the next checks.

    Bug: who owes more than a page is claimed from a page at a time, and what waits for a grace
    waits for many checks; no interleaving is needed.
    Seen in: no project known.
    Caught by: every_page_is_claimed (Failed).
    """

    async def _claim(self) -> None:
        for stream in self._streams:
            _, entries, _ = await self._claim_page(stream, "0-0")
            found = [Event(stream, id, fields) for id, fields in entries]
            await self._deliver_all([each for each in found if not self._has(each)])


class NoBeatIsDead(Sink):
    """A4: takes for dead who has no keep-alive, at first sight.

    Bug: a peer has its consumer and not yet its keep-alive, and is deleted; it always fails.
    Seen in: pulse, date not known: its clean-up deletes who has no keep-alive.
    Caught by: unclean_exits_leave_nothing (Failed).
    """

    async def _doubt(self, consumer: str) -> None:
        for stream in self._streams:
            await self._store.run(bury_unasked, stream, self._group, self._beats, consumer)


class JoinsItselfToo(Sink):
    """K-M8: closes itself when its group is gone, and so waits for the task that closes.

    Bug: the reading waits for its own end, and no subscriber is told; no interleaving is needed.
    Seen in: pulse, still so in September 2026.
    Caught by: group_is_gone (Elapsed).
    """

    async def _fail(self) -> None:
        self._is_closed = True
        await asyncio.wait(self._tasks)
        self._close_subscriptions()


class NeverRegistersAgain(Sink):
    """A2: registers when it is opened, and never again.

    Bug: its keep-alives are lost while it reads, and it is deleted under its own feet; no
    interleaving is needed.
    Seen in: no project known; it is what pulse's look at its own keep-alive is there against.
    Caught by: silent_sink_registers_again (LivingKept).
    """

    def _must_register(self) -> bool:
        return False


class KeepAlivesOnly(Sink):
    """K-M1: looks for the dead among those that have a keep-alive.

    Bug: a consumer that died before it said that it lives is never found; it always fails.
    Seen in: pulse, date not known, before its clean-up of stale consumers.
    Caught by: unclean_exits_leave_nothing (ConsumersBounded).
    """

    async def _candidates(self, beats: Mapping[str, str]) -> list[str]:
        return sorted(beats)


class DeletesThenClaims(Sink):
    """K-M2: deletes the dead as soon as it is opened, before it claims what they owe.

    Bug: their pending lists go with them; no interleaving is needed.
    Seen in: pulse, date not known, with the clean-up of stale consumers at the start.
    Caught by: lone_sink_comes_back (NothingLost).
    """

    async def open(self) -> None:
        await super().open()
        beats = await self._store.hgetall(self._beats)
        for consumer in await self._candidates(beats):
            if self._is_stale(beats.get(consumer, "")):
                for stream in self._streams:
                    names = (stream, self._group, self._beats, consumer)
                    await self._store.run(bury_unasked, *names)


class StaleAfterOneGrace(Sink):
    """K-M3: takes for dead who was not heard of for one grace, which is how often one is heard.

    Bug: one keep-alive is lost, and a sink that lives is deleted; no interleaving is needed.
    Seen in: no project known; pulse waits for two.
    Caught by: missed_beat_kills_nobody (LivingKept).
    """

    def _is_stale(self, beat: str) -> bool:
        return policy.is_stale(beat, self._clock(), self._timing.grace / policy.STALE_GRACES)


class NoLease(Sink):
    """K-M4: looks for old events without a lease.

    Bug: all sinks claim at one instant; no interleaving is needed.
    Seen in: no project known.
    Caught by: sinks_check_at_one_instant (MaxInFlight).
    """

    async def _take_lease(self) -> bool:
        return True


class LeaseInTwoSteps(Sink):
    """S5: asks for the lease, and then sets it.

    Bug: two sinks ask before either has set it, and both hold it.
    Seen in: no project known.
    Caught by: sinks_check_at_one_instant (MaxInFlight).
    """

    async def _take_lease(self) -> bool:
        store: Any = self._store
        if await store.get(self._lease) is not None:
            return False
        await store.set(self._lease, self.name, px=policy.ms(self._timing.lease))
        return True


class PutsUnderLock(Sink):
    """K-M5: waits for subscribers under the lock that the keep-alive needs.

    Bug: a subscriber stands still, and the sink is silent like a dead one; it always fails.
    Seen in: pulse, date not known.
    Caught by: subscriber_stands_still (KeepsAlive).
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._lock = asyncio.Lock()

    async def _deliver(self, event: Event) -> None:
        async with self._lock:
            await super()._deliver(event)

    async def _beat(self) -> None:
        async with self._lock:
            await super()._beat()


class DeletesInFirst(Sink):
    """K-M9: strikes a dead consumer off its list after the first stream.

    Bug: the consumer stays in every other stream; no interleaving is needed.
    Seen in: pulse, date not known, before its clean-up of stale consumers.
    Caught by: dead_sink_is_replaced_in_time (ConsumersBounded).
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._done: set[str] = set()

    async def _candidates(self, beats: Mapping[str, str]) -> list[str]:
        return [each for each in await super()._candidates(beats) if each not in self._done]

    async def _bury(self, consumer: str, beat: str) -> None:
        names = (self._streams[0], self._group, self._beats, consumer)
        if await self._store.run(bury_in_first, *names):
            self._done.add(consumer)


class LeavesUnwanted(Sink):
    """K-M10: does nothing about events that its subscribers do not want.

    Bug: they stay pending, and go round for ever; no interleaving is needed.
    Seen in: pulse, date not known; fixed later.
    Caught by: unwanted_events_are_acknowledged (Failed).
    """

    async def _pass_over(self, event: Event) -> None:
        pass


class DeletesUnasked(Sink):
    """S1: claims what the dead owe, then deletes them without asking whether that was all.

    Bug: one that was only silent reads in between, and its event goes with it.
    Seen in: pulse before 4a2f7c5 of October 2024 told that a deletion drops what is pending.
    Caught by: silent_sink_reads_on (NothingLost).
    """

    async def _bury(self, consumer: str, beat: str) -> None:
        for stream in self._streams:
            await self._store.run(bury_unasked, stream, self._group, self._beats, consumer)


class TrustsItsAcks(Sink):
    """S2: takes an acknowledgement for known that the store never got.

    Bug: the connection is lost before it is applied, the caller is told that all is well, and the
    event comes again; no interleaving is needed.
    Seen in: pulse, date not known: errors were only logged.
    Caught by: lost_acknowledgement (NotAfterAck).
    """

    async def _settle(self, event: Event) -> None:
        with suppress(ConnectionError):
            await super()._settle(event)


class KeepsCopies(Sink):
    """S2: leaves the second copy of an event where it is when the first is acknowledged.

    Bug: what was claimed from itself is delivered after the acknowledgement; it always fails.
    Seen in: no project known.
    Caught by: slow_subscriber_acknowledges (NotAfterAck).
    """

    async def ack(self, event: Event) -> None:
        await self._settle(event)


class WaitsForReaders(Sink):
    """S4: asks its tasks to end once they have delivered, and waits for that.

    Bug: a buffer is full, nobody reads it, and the close never ends; no interleaving is needed.
    Seen in: pulse, date not known: its consumer task also called close itself.
    Caught by: close_with_a_full_buffer (Elapsed).
    """

    async def _stop_tasks(self) -> None:
        await self._wait_for_room()
        await super()._stop_tasks()


class Serialised(Sink):
    """One lock round every public method.

    Bug: two events are acknowledged one after the other, though nothing connects them.
    Seen in: pulse, date not known: it did most things under the lock of the sink.
    Caught by: acks_go_side_by_side (MaxInFlight).
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._line = asyncio.Lock()

    async def ack(self, event: Event) -> None:
        async with self._line:
            await super().ack(event)

    async def close(self) -> None:
        async with self._line:
            await super().close()
