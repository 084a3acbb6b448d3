"""Streams for tasks that are each wrong in one way.

Rows M…, of the component's table, and M0b and M0d to M0f for claims that the table leaves out. A
storm in `storms.py` catches each. Without a helper there is nothing of M6, M7 and M17: a
cancellation needs nobody to pass it on. M8 and M9 are shown as the task that people start to wait
for two things at once, and M11 as a wait that takes the cancellation for a wake-up. What M0a asks,
that a cancellation beats an event that is ready, asyncio does not: it is met at the next await.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from scenarios.event_stream import policy
from scenarios.event_stream.policy import Event

from .reference import Ack, Consumers, Receiver, Streamer


class CancelsWithoutJoining(Consumers):
    """M0d: cancels its consumers and leaves without waiting for them.

    Bug: close returns while the consumers are still ending; whatever comes next meets them.
    Seen in: luno/workflow #196 of June 2026, in review: one test's receivers in the next's count.
    Caught by: closed_consumers_are_gone (Elapsed).
    """

    async def _join(self) -> None:
        pass


class SendsFromAnywhere(Streamer):
    """M0e: wakes the receivers from another thread, past the loop.

    Bug: the loop sleeps and nobody tells it that there is something to run.
    Seen in: python/cpython, the documentation of asyncio's queues: they are not thread-safe.
    Caught by: event_from_a_thread_wakes_the_loop (Deadlock).
    """

    def send_from_thread(
        self,
        loop: asyncio.AbstractEventLoop,
        foreign_id: str,
        type: int,
        headers: Mapping[str, str],
    ) -> Event:
        event = self._append(foreign_id, type, headers)
        for waiter in self._changed._waiters:  # noqa: SLF001 - what they reach for
            waiter.set_result(False)
        return event


class NumberedEarly(Streamer):
    """M0b: numbers an event before it is its turn to append.

    Bug: two senders count the same log, and both append their event under one id.
    Seen in: tyran #44 of August 2026: six appends at once, one id for all of them.
    Caught by: ids_follow_the_log (Failed).
    """

    async def send(self, foreign_id: str, type: int, headers: Mapping[str, str]) -> Event:
        event = Event(len(self._log) + 1, foreign_id, type, dict(headers), self._clock())
        await asyncio.sleep(0)
        async with self._changed:
            self._log.append(event)
            self._announce()
        return event


class EndsOnClose(Streamer):
    """M0f: has the close of a receiver end whoever waits in it.

    Bug: a consumer that shares a receiver is thrown out of its wait by one that is done with it.
    Seen in: no issue that we know of; the stream's rule is that a close does nothing.
    Caught by: close_wakes_nobody (Parked).
    """

    async def _park(self, receiver: Receiver) -> None:
        task = asyncio.current_task()
        assert task is not None
        receiver.close = task.cancel  # type: ignore[assignment, method-assign]  # the bug
        await super()._park(receiver)


class Spin(Streamer):
    """M1: looks again at once if nothing is there, and lets the others run in between.

    Bug: an idle receiver keeps the loop busy; no interleaving is needed.
    Seen in: luno/workflow 341e5e7 of February 2025: 380 % of a processor for 15 hours.
    Caught by: idle_receivers_park (Livelock).
    """

    async def recv(self, receiver: Receiver) -> tuple[Event, Ack]:
        while True:
            cursor = self._cursors.get(receiver.name, 0)
            if cursor >= len(self._log):
                await self._pause()
            elif policy.is_for(self._log[cursor], receiver.topic):
                return self._deliver(receiver, self._log[cursor])
            else:
                self._cursors[receiver.name] = cursor + 1

    async def _pause(self) -> None:
        await asyncio.sleep(0)


class Poll(Spin):
    """M2: looks again after a millisecond.

    Bug: a thousand wake-ups a second for each receiver that has nothing to do.
    Seen in: luno/workflow until 341e5e7 of February 2025, which removed the sleep.
    Caught by: idle_receivers_park (Parked).
    """

    async def _pause(self) -> None:
        await asyncio.sleep(0.001)


class SlowPoll(Spin):
    """M2: looks again after ten milliseconds.

    Bug: a hundred wake-ups a second, and an event waits for the next.
    Seen in: luno/workflow, its adapter for connectors, to this day.
    Caught by: idle_receivers_park (Parked).
    """

    async def _pause(self) -> None:
        await asyncio.sleep(0.010)


class TimedWait(Streamer):
    """M3: waits on the condition for 50 ms at a time.

    Bug: twenty wake-ups a second that hide every lost one; no interleaving is needed.
    Seen in: thread-pool #1 of August 2021, a kind of it: workers look again after each sleep.
    Caught by: idle_receivers_park (Parked).
    """

    async def _park(self, receiver: Receiver) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.050):
                await self._changed.wait()


class NotifyOne(Streamer):
    """M4: wakes one receiver for each event.

    Bug: every name is to see every event, and two of three sleep on.
    Seen in: waitout #2 of November 2015: only a single waiter will ever be awoken.
    Caught by: one_event_reaches_every_name (Deadlock).
    """

    def _announce(self) -> None:
        self._changed.notify()


class NotifyFirst(Streamer):
    """M5: wakes the receivers before the event is there.

    Bug: a receiver wakes, sees the old log and parks again, and then the event comes in silence.
    Seen in: lockfree #16 of April 2023, a kind of it: the wake-up comes before the reader waits.
    Caught by: event_wakes_a_parked_receiver (Deadlock).
    """

    async def send(self, foreign_id: str, type: int, headers: Mapping[str, str]) -> Event:
        async with self._changed:
            self._announce()
        await asyncio.sleep(0)
        return self._append(foreign_id, type, headers)


class LeakedWatcher(Streamer):
    """M8: starts a task that waits for the end of the stream, and never ends it.

    Bug: each receive leaves a task behind; no interleaving is needed.
    Seen in: grule-rule-engine #123 of October 2020: a watcher that only a cancellation ends.
    Caught by: early_baseline_sees_the_watcher (LeakBound).
    """

    async def recv(self, receiver: Receiver) -> tuple[Event, Ack]:
        asyncio.create_task(self._watch(), name="watch")  # noqa: RUF006 - the bug
        return await super().recv(receiver)

    async def _watch(self) -> None:
        await asyncio.get_running_loop().create_future()


class EagerWatcher(LeakedWatcher):
    """M9: starts that task with every call, and ends it, whether anybody had to wait or not.

    Bug: a full log costs one task for each event; no interleaving is needed.
    Seen in: luno/workflow #196 of June 2026, in review: a goroutine on every receive.
    Caught by: ready_events_start_no_task (Failed).
    """

    async def recv(self, receiver: Receiver) -> tuple[Event, Ack]:
        watcher = asyncio.create_task(self._watch(), name=f"watch-{receiver.name}")
        try:
            return await Streamer.recv(self, receiver)
        finally:
            watcher.cancel()


class DeafOncePark(Streamer):
    """M11: takes a cancellation in its wait for one more wake-up without an event.

    Bug: the receiver parks again, and whoever cancelled it waits for its end for ever.
    Seen in: no issue that we know of; a wait loop round an `except` that is too wide.
    Caught by: cancel_wakes_a_parked_receiver (EndsCancelled).
    """

    async def _park(self, receiver: Receiver) -> None:
        with suppress(asyncio.CancelledError):
            await super()._park(receiver)


class LatestAtFirstRecv(Streamer):
    """M13: finds the latest event when the receiver first asks, not when it is made.

    Bug: what is sent in between is skipped, and a receiver that expects it waits for ever.
    Seen in: luno/workflow until c4a417e of April 2026 (#190), in memory and in Redis.
    Caught by: latest_is_fixed_at_creation (Deadlock).
    """

    def _begin(self, receiver: Receiver) -> None:
        pass

    async def recv(self, receiver: Receiver) -> tuple[Event, Ack]:
        super()._begin(receiver)
        return await super().recv(receiver)


class AutoAdvance(Streamer):
    """M15: moves the cursor when it delivers.

    Bug: a consumer that is cancelled before its ack has lost the event.
    Seen in: kafka-python #722 of June 2016: what was polled is committed before it is worked on.
    Caught by: cancelled_consumer_loses_nothing, unacknowledged_event_comes_again (Failed).
    """

    def _deliver(self, receiver: Receiver, event: Event) -> tuple[Event, Ack]:
        self._commit(receiver.name, event.id)
        return super()._deliver(receiver, event)


class Serialised(Streamer):
    """One lock round every receive.

    Bug: the first receiver parks with the lock, and the others wait for its event.
    Seen in: lucidmq #20 of July 2023: a poll with a long time-out locks all others out.
    Caught by: each_topic_has_its_own_events (Parked).
    """

    def __init__(self, **settings: object) -> None:
        self._turn = asyncio.Lock()
        super().__init__(**settings)  # type: ignore[arg-type]  # passed on as they are

    async def recv(self, receiver: Receiver) -> tuple[Event, Ack]:
        async with self._turn:
            return await super().recv(receiver)
