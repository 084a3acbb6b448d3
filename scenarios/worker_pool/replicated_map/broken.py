"""Replicated maps that are each wrong in one way, or in the ways of one generation.

Rows W0 to W3 are the generations of `set_and_wait` before the reference, which is W4; rows R-M… are
their single defects and those of other parts. Rows R1 to R7 break the invariant of that number
where no row of the component's table does.
"""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError
from typing import Any

from scenarios.connection_lifecycle.scope import Scope

from . import policy
from .channel import BlockingChanges, Channel, FirstKind
from .policy import Kind, Update
from .reference import Changes, MapClosedError, ReplicatedMap, Waiter

#: What the one queue of W1 holds.
SHARED_QUEUE = 100


class SignalQueue(ReplicatedMap):
    """W0: one signal for everybody, and whoever takes it looks at the content.

    Bug: another waiter takes the signal, or the value is overwritten before anybody looks.
    Seen in: pulse before a19129a of January 2025.
    Caught by: two_waits_at_once (Deadlock).
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self._signals = Channel(1)
        super().__init__(*args, **options)

    def set_and_wait(self, key: str, value: str, *, cancel: Scope | None = None) -> str:
        before = self.set(key, value)
        while self.get(key) != value:
            taken(self._signals, self._closing, cancel)
        return before

    def _release(self, waiters: Sequence[Waiter], update: Update | None) -> None:
        self._signals.put_nowait("signal")


class DiscardsOthers(ReplicatedMap):
    """R-M2: has all who wait read one queue, and throw away what is not theirs.

    Bug: of two who wait one takes the other's update, and the other waits for ever.
    Seen in: pulse a19129a of January 2025, until 2598358.
    Caught by: two_waits_at_once (Deadlock).
    """

    _capacity = 1_000_000

    def __init__(self, *args: Any, **options: Any) -> None:
        self._queue = Channel(self._capacity)
        super().__init__(*args, **options)

    def _apply(self, update: Update) -> None:
        super()._apply(update)
        self._queue.put((update.key, update.value))

    def set_and_wait(self, key: str, value: str, *, cancel: Scope | None = None) -> str:
        before = self.set(key, value)
        while taken(self._queue, self._closing, cancel) != (key, value):
            pass
        return before


class FullQueueHoldsLock(ReplicatedMap):
    """R-M1: puts each update into a queue of a hundred, under the lock; only who waits empties it.

    Bug: with nobody waiting, update 101 blocks the apply thread, which holds the lock: after that
    every read, write and close waits for ever; no interleaving is needed.
    Seen in: pulse a19129a of January 2025, until 2598358.
    Caught by: a_hundred_and_one_sets, keep_alives_fill_the_queue (Deadlock).
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self._queue = Channel(SHARED_QUEUE)
        super().__init__(*args, **options)

    def _apply(self, update: Update) -> None:
        super()._apply(update)
        self._queue.put(update.revision)

    def set_and_wait(self, key: str, value: str, *, cancel: Scope | None = None) -> str:
        before = super().set_and_wait(key, value, cancel=cancel)
        self._queue.clear()
        return before


class SharedQueue(DiscardsOthers):
    """W1: one queue of a hundred updates, filled under the lock, read by who waits.

    Bug: those of R-M1 and R-M2 together.
    Seen in: pulse a19129a of January 2025, until 2598358.
    Caught by: a_hundred_and_one_sets, two_waits_at_once, keep_alives_fill_the_queue (Deadlock).
    """

    _capacity = SHARED_QUEUE


class ValueKeyed(ReplicatedMap):
    """R-M6: waits for its key and value, not for its own write.

    Bug: somebody else wrote the same value before, and the wait ends at that message, or the value
    is overwritten during an outage, and it never ends.
    Seen in: pulse until 90ef382 of March 2026.
    Caught by: equal_values_of_two_writers (LocalAfterWait), waits_across_an_outage (Deadlock).
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self._queues: list[tuple[str, str, Channel, Scope]] = []
        self._queue_lock = threading.Lock()
        super().__init__(*args, **options)

    def set_and_wait(self, key: str, value: str, *, cancel: Scope | None = None) -> str:
        scope = Scope() if cancel is None else cancel
        entry = (key, value, Channel(1), scope)
        with self._queue_lock:
            self._queues.append(entry)
        try:
            before = self.set(key, value)
            taken(entry[2], self._closing, scope)
            return before
        finally:
            with self._queue_lock:
                self._queues.remove(entry)
            self._leave(entry[2])

    def _release(self, waiters: Sequence[Waiter], update: Update | None) -> None:
        if update is None:
            return
        with self._queue_lock:
            entries = [each for each in self._queues if each[:2] == (update.key, update.value)]
        for _, _, queue, scope in entries:
            self._hand(queue, scope)

    def _hand(self, queue: Channel, scope: Scope) -> None:
        queue.put_nowait("applied")

    def _leave(self, queue: Channel) -> None:
        pass


class FullQueueStalls(ValueKeyed):
    """R-M3: waits for room in the queue of a call that is still inside its write.

    Bug: two messages match a call whose reply is late; the second waits for the first to be taken.
    Seen in: pulse 2598358 until 104f627 of December 2025.
    Caught by: late_reply_of_one_call (Failed).
    """

    def _hand(self, queue: Channel, scope: Scope) -> None:
        queue.put("applied", self._closing, scope)


class SendToClosed(ValueKeyed):
    """R-M4: closes its queue when the call ends, while the apply thread may still hold it.

    Bug: the call is cancelled between the look-up of its queue and the put: the apply thread dies.
    Seen in: pulse 2598358 until 104f627 of December 2025.
    Caught by: cancelled_at_delivery (Unhandled).
    """

    def _leave(self, queue: Channel) -> None:
        queue.close()


class SilentExit(ReplicatedMap):
    """R-M5: leaves the apply thread without a word when the map closes during a delivery.

    Bug: close comes while a message is applied, and then waits for a signal that nobody gives.
    Seen in: pulse until 28ed733 of December 2025.
    Caught by: close_during_delivery (Deadlock).
    """

    def _follow(self) -> None:
        while self._step():
            if self._closing.is_set():
                return
        self._stopped.set()


class PerCallQueue(FullQueueStalls, SendToClosed, SilentExit):
    """W2: a queue for each call: blocking, closed by the call, silent at the close of the map.

    Bug: those of R-M3, R-M4, R-M5 and R-M6 together.
    Seen in: pulse 2598358 of February 2025, the fix of W1.
    Caught by: late_reply_of_one_call (Failed), cancelled_at_delivery (Unhandled),
    close_during_delivery (Deadlock), equal_values_of_two_writers (LocalAfterWait).
    """


class OpenQueue(ValueKeyed, SilentExit):
    """W3: a queue for each call that is never closed, and never waited for.

    Bug: what W2 has and its first fix left: R-M5 and R-M6.
    Seen in: pulse 104f627 of December 2025.
    Caught by: close_during_delivery (Deadlock), equal_values_of_two_writers (LocalAfterWait).
    """


class GivesUp(ReplicatedMap):
    """R8: subscribes once more when its subscription is lost, and then no more.

    Bug: the store is away for longer than one pause, and the copy stands still for ever; it always
    fails there.
    Seen in: no project known; pulse tries for ever, 1 to 6 s apart.
    Caught by: outage_of_several_pauses (NothingLost).
    """

    def _pause(self, seconds: float) -> bool:
        self._pauses = getattr(self, "_pauses", 0) + 1
        return self._pauses == 1 and super()._pause(seconds)


class NoReread(ReplicatedMap):
    """R-M9: follows the new subscription after an outage, and reads nothing.

    Bug: what was written meanwhile is missing until the next write, and who waits for it waits.
    Seen in: pulse until #64 of December 2025.
    Caught by: write_during_an_outage (NothingLost), waits_across_an_outage (Deadlock).
    """

    def _catch_up(self) -> None:
        pass


class BlockingNotification(ReplicatedMap):
    """R-M10: waits for room in the channel of a subscriber.

    Bug: one who subscribed and never reads stops the map for everybody.
    Seen in: no project known; pulse's `select` with a default is there to prevent it.
    Caught by: subscriber_that_never_reads (NothingLost).
    """

    def _make_changes(self) -> Changes:
        return BlockingChanges()


class CloseKeepsLock(ReplicatedMap):
    """R-M12: returns from a second close without giving the lock back.

    Bug: whoever reads after that waits for ever; no interleaving is needed.
    Seen in: pulse until 869949d of October 2024; it returned early between lock and unlock.
    Caught by: closed_twice (Deadlock).
    """

    def close(self) -> None:
        self._lock.acquire()
        if self._is_closed:
            return
        self._lock.release()
        super().close()


class AppliesWhateverComes(ReplicatedMap):
    """R3: applies a message whatever its revision.

    Bug: a message that is under way when the map is read, or comes twice, takes the copy back.
    Seen in: pulse until #64 of December 2025: old messages replayed over a newer snapshot.
    Caught by: join_while_others_write, messages_twice_and_out_of_turn (StoreOrder).
    """

    def _has_gap(self, update: Update) -> bool:
        return False

    def _is_news(self, update: Update) -> bool:
        return not self._is_closed


class TakesGaps(ReplicatedMap):
    """R3: takes a message that came too early, and then no longer the one it overtook.

    Bug: the one behind has a lower revision and is ignored: its key is wrong until it is set again.
    Seen in: no project known; a channel of Redis keeps its order.
    Caught by: messages_twice_and_out_of_turn (StoreOrder).
    """

    def _has_gap(self, update: Update) -> bool:
        return False


class RegistersUnlooked(ReplicatedMap):
    """R5: registers its wait without a look whether the copy is there already.

    Bug: the message is faster than the reply of the write, and nobody wakes the call.
    Seen in: no project known; 90ef382 registers after the write, and looks.
    Caught by: every_wait_returns (Deadlock).
    """

    def _wait_for(self, revision: int) -> Waiter | None:
        with self._lock:
            self._refuse_if_closed()
            waiter = self._waiters[revision] = Waiter()
            return waiter


class ForgetsWaiters(ReplicatedMap):
    """R6: closes and lets those who wait wait on.

    Bug: a call waits for a message that nobody takes any more; no interleaving is needed.
    Seen in: no project known.
    Caught by: close_during_an_outage (Deadlock).
    """

    def close(self) -> None:
        with self._lock:
            self._waiters = {}
        super().close()


class LeavesCancelled(ReplicatedMap):
    """R5: keeps the entry of a wait that was cancelled.

    Bug: each cancelled call during an outage leaves its entry behind; no interleaving is needed.
    Seen in: no project known.
    Caught by: cancelled_waits_leave_nothing (NobodyWaits).
    """

    def _settle(self, revision: int, error: Exception) -> None:
        with self._lock:
            waiter = self._waiters.pop(revision, None)
            if waiter is not None:
                self._waiters[revision] = Waiter()
        if waiter is not None:
            waiter.settle(error)


class DropsNewerKind(ReplicatedMap):
    """R7: keeps the kind that is pending, however strong the new one is.

    Bug: a reset hides behind an unread change, and a scheduler that stops at a reset goes on.
    Seen in: pulse 2598358: a full channel drops what comes.
    Caught by: reset_behind_an_unread_change (Failed).
    """

    def _make_changes(self) -> Changes:
        return FirstKind()


class TellsFirst(ReplicatedMap):
    """R7: tells subscribers before the copy has changed.

    Bug: who is told reads at once, sees the old content, and is not told again.
    Seen in: no project known.
    Caught by: subscriber_sees_the_last (SeesTheLast).
    """

    _is_told = False

    def _has_gap(self, update: Update) -> bool:
        # Asked before the change is made.
        self._is_told = not super()._has_gap(update)
        if self._is_told:
            super()._notify(list(self._subscribers), update.kind)
        return not self._is_told

    def _notify(self, subscribers: Sequence[Changes], kind: Kind) -> None:
        if not self._is_told:
            super()._notify(subscribers, kind)
        self._is_told = False


class LeavesSubscribers(ReplicatedMap):
    """R6: closes without a word to its subscribers.

    Bug: who waits for a change waits for ever; no interleaving is needed.
    Seen in: no project known.
    Caught by: closed_twice (StaysClosed).
    """

    def close(self) -> None:
        with self._lock:
            self._subscribers = []
        super().close()


class SleepsThroughClose(ReplicatedMap):
    """R6: sleeps between two attempts to reconnect.

    Bug: a close during an outage takes up to six seconds; no interleaving is needed.
    Seen in: pulse until #63 of December 2025.
    Caught by: close_during_an_outage (Elapsed).
    """

    def _pause(self, seconds: float) -> bool:
        time.sleep(seconds)
        return not self._closing.is_set()


class WritesWait(ReplicatedMap):
    """R1: every write waits for the copy to follow.

    Bug: a set takes as long as its message; no interleaving is needed.
    Seen in: no project known; it is what `set_and_wait` is for.
    Caught by: sets_do_not_wait (SetNeverWaits).
    """

    def set(self, key: str, value: str) -> str:
        return self.set_and_wait(key, value)


class Serialised(ReplicatedMap):
    """Holds one lock round every write and read.

    Bug: a writer waits for the round trips of all others, and so does a reader.
    Seen in: no project known; the safe and slow twin.
    Caught by: sets_do_not_wait (SetNeverWaits), reads_do_not_wait (ReadNeverWaits).
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self._turn = threading.Lock()
        super().__init__(*args, **options)

    def _commit(self, script: policy.Script, *args: Any) -> Any:
        with self._turn:
            return super()._commit(script, *args)

    def get(self, key: str) -> str | None:
        with self._turn:
            return super().get(key)


def taken(channel: Channel, closing: Scope, cancel: Scope | None) -> object:
    """Wait for an item; raise what ended the wait otherwise."""
    item = channel.take(closing, *([] if cancel is None else [cancel]))
    if item is not None:
        return item
    if closing.is_set():
        message = "the map was closed"
        raise MapClosedError(message)
    raise CancelledError
