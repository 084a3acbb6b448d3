"""Streams that are each wrong in one way.

Rows M…, of the component's table, and M0a to M0d and M0f for claims that the table leaves out.
A storm in `storms.py` catches each. Two forms of M5 are no bugs in Python: `notify` without the
lock raises RuntimeError, and to notify under the lock, but after the append has left it, wakes
nobody too early, since whoever parks in between has seen the event. M6 is shown as what people
write instead: a look, without the lock, whether anybody waits at all.
"""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from functools import partial

from scenarios.event_stream import policy
from scenarios.event_stream.policy import Event
from scenarios.event_stream.token import CancelToken

from .reference import Ack, Consumers, Receiver, Streamer, WatchedStreamer


class EventFirst(Streamer):
    """M0a: looks for an event first, and at the token only if there is none.

    Bug: a cancelled receiver goes on as long as the log lasts; no interleaving is needed.
    Seen in: no issue that we know of; the stream's rule is that a cancellation wins.
    Caught by: cancel_beats_a_ready_event (Failed).
    """

    def recv(self, receiver: Receiver, cancel: CancelToken | None = None) -> tuple[Event, Ack]:
        with self._changed:
            is_ready = self._cursors.get(receiver.name) < len(self._log)
        return super().recv(receiver, None if is_ready else cancel)


class NumberedEarly(Streamer):
    """M0b: numbers an event before it takes the mutex.

    Bug: two senders count the same log, and both append their event under one id.
    Seen in: tyran #44 of August 2026: six appends at once, one id for all of them.
    Caught by: ids_follow_the_log (Failed).
    """

    def send(self, foreign_id: str, type: int, headers: Mapping[str, str]) -> Event:
        event = Event(len(self._log) + 1, foreign_id, type, dict(headers), self._clock())
        with self._changed:
            self._log.append(event)
            self._announce()
        return event


class AckTakesBoth(Streamer):
    """M0c: acknowledges under the lock of the cursors and then the mutex.

    Bug: a receiver holds the mutex and wants the cursors; both wait for ever.
    Seen in: nats-server #6460 of February 2025: the lock of the server under that of a consumer.
    Caught by: ack_never_waits_for_a_receiver (Deadlock).
    """

    def _commit(self, name: str, position: int) -> None:
        with self._cursors.mutex, self._changed:
            self._cursors.positions[name] = policy.committed(
                self._cursors.positions.get(name, 0),
                position,
                is_monotonic=self._cursors.is_monotonic,
            )


class CancelsWithoutJoining(Consumers):
    """M0d: cancels its consumers and leaves without waiting for them.

    Bug: close returns while a consumer is in its handler; whatever comes next meets it.
    Seen in: luno/workflow #196 of June 2026, in review: one test's receivers in the next's count.
    Caught by: closed_consumers_are_gone (Elapsed).
    """

    def _join(self) -> None:
        pass


class EndsOnClose(Streamer):
    """M0f: has the close of a receiver end whoever waits in it.

    Bug: a consumer that shares a receiver is thrown out of its wait by one that is done with it.
    Seen in: no issue that we know of; the stream's rule is that a close does nothing.
    Caught by: close_wakes_nobody (Parked).
    """

    _closed: Receiver | None = None

    def _park(self, receiver: Receiver) -> None:
        receiver.close = partial(self._end, receiver)  # type: ignore[method-assign]  # the bug
        super()._park(receiver)
        if self._closed is receiver:
            raise CancelledError

    def _end(self, receiver: Receiver) -> None:
        self._closed = receiver
        self._wake_all()


class Spin(Streamer):
    """M1: copies the log under the mutex and looks again at once if nothing is there.

    Bug: an idle receiver takes two locks as fast as it can; no interleaving is needed.
    Seen in: luno/workflow 341e5e7 of February 2025: 380 % of a processor for 15 hours.
    Caught by: idle_receivers_park (Livelock).
    """

    def recv(self, receiver: Receiver, cancel: CancelToken | None = None) -> tuple[Event, Ack]:
        while cancel is None or not cancel.is_cancelled:
            with self._changed:
                log = self._log
            cursor = self._cursors.get(receiver.name)
            if cursor >= len(log):
                self._pause()
            elif policy.is_for(log[cursor], receiver.topic):
                return self._deliver(receiver, log[cursor])
            else:
                self._cursors.set(receiver.name, cursor + 1)
        message = "the token was cancelled"
        raise CancelledError(message)

    def _pause(self) -> None:
        pass


class Poll(Spin):
    """M2: looks again after a millisecond.

    Bug: a thousand wake-ups a second for each receiver that has nothing to do.
    Seen in: luno/workflow until 341e5e7 of February 2025, which removed the sleep.
    Caught by: idle_receivers_park (Parked).
    """

    def _pause(self) -> None:
        time.sleep(0.001)


class SlowPoll(Spin):
    """M2: looks again after ten milliseconds.

    Bug: a hundred wake-ups a second, and an event or a cancellation waits for the next.
    Seen in: luno/workflow, its adapter for connectors, to this day.
    Caught by: idle_receivers_park (Parked).
    """

    def _pause(self) -> None:
        time.sleep(0.010)


class TimedWait(Streamer):
    """M3: waits on the condition for 50 ms at a time.

    Bug: twenty wake-ups a second that hide every lost one; no interleaving is needed.
    Seen in: thread-pool #1 of August 2021, a kind of it: workers look again after each sleep.
    Caught by: idle_receivers_park (Parked).
    """

    def _park(self, receiver: Receiver) -> None:
        self._changed.wait(0.050)


class NotifyOne(Streamer):
    """M4: wakes one receiver for each event.

    Bug: every name is to see every event, and seven of eight sleep on.
    Seen in: waitout #2 of November 2015: only a single waiter will ever be awoken.
    Caught by: one_event_reaches_every_name (Deadlock).
    """

    def _announce(self) -> None:
        self._changed.notify()


class NotifyFirst(Streamer):
    """M5: wakes the receivers before the event is there.

    Bug: a receiver wakes, sees the old log and parks again, and then the event comes in silence.
    Seen in: lockfree #16 of April 2023, a kind of it: the wake-up comes before the reader waits.
    Caught by: event_may_come_at_any_moment (Deadlock).
    """

    def send(self, foreign_id: str, type: int, headers: Mapping[str, str]) -> Event:
        with self._changed:
            self._announce()
        with self._changed:
            return self._append(foreign_id, type, headers)


class WakesWhoIsSeen(Streamer):
    """M6: takes the mutex for a cancellation only if somebody seems to wait.

    Bug: the receiver has looked at its token and is about to park when the cancellation looks.
    Seen in: osv #1480 of August 2026: wake_all looks at the queue before it takes the lock.
    Caught by: cancel_may_come_at_any_moment (Deadlock).
    """

    def _wake_all(self) -> None:
        if self._parked:
            super()._wake_all()


class NoWakeUp(Streamer):
    """M7: lets nobody tell a parked receiver of its cancellation.

    Bug: the receiver sleeps until the next event; no interleaving is needed.
    Seen in: gogram #247 of October 2025: a wait on a condition outlives its context.
    Caught by: cancel_wakes_a_parked_receiver (Deadlock).
    """

    def _start_helper(self, receiver: Receiver, cancel: CancelToken | None) -> Callable[[], None]:
        return lambda: None


class LeakedCallback(Streamer):
    """M8: leaves its callback with the token when an event was delivered.

    Bug: a token that lives as long as the service collects one callback for each event.
    Seen in: grpc #12800 of October 2017: each call leaves a callback with the caller's token.
    Caught by: hundred_deliveries_leave_no_helper (MaxInFlight).
    """

    def _start_helper(self, receiver: Receiver, cancel: CancelToken | None) -> Callable[[], None]:
        super()._start_helper(receiver, cancel)
        return lambda: None


class LeakedWatcher(WatchedStreamer):
    """M8: starts a thread for a cancellation that only the cancellation ends.

    Bug: a receiver that gets its event leaves the thread behind; no interleaving is needed.
    Seen in: luno/workflow #196 of June 2026, in review: the baseline was taken too late to see it.
    Caught by: early_baseline_sees_the_watcher (LeakBound).
    """

    def _start_helper(self, receiver: Receiver, cancel: CancelToken | None) -> Callable[[], None]:
        super()._start_helper(receiver, cancel)
        return lambda: None


class EagerCallback(Streamer):
    """M9: starts the helper with the call, before it is known whether anybody will wait.

    Bug: a full log costs one registration for each event; no interleaving is needed.
    Seen in: luno/workflow #196 of June 2026, in review: a goroutine on every receive.
    Caught by: ready_events_start_no_helper (MaxInFlight).
    """

    def recv(self, receiver: Receiver, cancel: CancelToken | None = None) -> tuple[Event, Ack]:
        stop = self._start_helper(receiver, cancel)
        try:
            return super().recv(receiver, cancel)
        finally:
            stop()


class DeafOncePark(Streamer):
    """M11: waits for an event, and looks at the token only before that.

    Bug: the cancellation wakes the receiver, which sees no event and parks again.
    Seen in: no issue that we know of; a wait loop whose condition forgets the second reason.
    Caught by: cancel_wakes_a_parked_receiver (Deadlock).
    """

    def _park(self, receiver: Receiver) -> None:
        while self._cursors.get(receiver.name) >= len(self._log):
            super()._park(receiver)


class LatestAtFirstRecv(Streamer):
    """M13: finds the latest event when the receiver first asks, not when it is made.

    Bug: what is sent in between is skipped, and a receiver that expects it waits for ever.
    Seen in: luno/workflow until c4a417e of April 2026 (#190), in memory and in Redis.
    Caught by: latest_is_fixed_at_creation (Deadlock).
    """

    def _begin(self, receiver: Receiver) -> None:
        pass

    def recv(self, receiver: Receiver, cancel: CancelToken | None = None) -> tuple[Event, Ack]:
        with self._changed:
            super()._begin(receiver)
        return super().recv(receiver, cancel)


class AutoAdvance(Streamer):
    """M15: moves the cursor when it delivers.

    Bug: a consumer that dies before its ack has lost the event; no interleaving is needed.
    Seen in: kafka-python #722 of June 2016: what was polled is committed before it is worked on.
    Caught by: unacknowledged_event_comes_again (Failed).
    """

    def _deliver(self, receiver: Receiver, event: Event) -> tuple[Event, Ack]:
        self._commit(receiver.name, event.id)
        return super()._deliver(receiver, event)


class WatcherHoldsMutex(Streamer):
    """M17: has the helper wait for the cancellation with the mutex in its hands.

    Bug: once a receiver has parked, its helper gets the mutex, and nobody can send any more.
    Seen in: no issue that we know of; `with lock:` round the whole helper.
    Caught by: event_wakes_a_parked_receiver (Deadlock).
    """

    def _start_helper(self, receiver: Receiver, cancel: CancelToken | None) -> Callable[[], None]:
        if cancel is None:
            return lambda: None

        def watch() -> None:
            with self._changed:
                cancel.wait()
                self._changed.notify_all()

        threading.Thread(target=watch, name=f"watch-{receiver.name}", daemon=True).start()
        return lambda: None


class Serialised(Streamer):
    """One lock round every receive.

    Bug: the first receiver parks with the lock, and the others wait for its event.
    Seen in: lucidmq #20 of July 2023: a poll with a long time-out locks all others out.
    Caught by: each_topic_has_its_own_events (Parked).
    """

    def __init__(self, **settings: object) -> None:
        self._turn = threading.Lock()
        super().__init__(**settings)  # type: ignore[arg-type]  # passed on as they are

    def recv(self, receiver: Receiver, cancel: CancelToken | None = None) -> tuple[Event, Ack]:
        with self._turn:
            return super().recv(receiver, cancel)
