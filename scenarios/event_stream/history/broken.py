"""Neighbours of the stream that are each wrong in one way.

Row Ln is the n-th line of the table of related history. L1, the latest that was resolved lazily, is
M13 of the stream. L9 and L11, a version that is checked before it is written and a state that is
looked at again before acting, belong to a store of records, which a stream has not.
"""

import threading
import time
from contextlib import ExitStack

from scenarios.event_stream.token import CancelToken

from .reference import (
    Claims,
    Errors,
    LoggedTopic,
    Outbox,
    Publisher,
    Roles,
    Runner,
    Scheduler,
    Topic,
)


class SpinsUntilStopped(Runner):
    """L2: asks again and again whether its processes have ended.

    Bug: a stop keeps a processor busy for as long as the slowest process takes.
    Seen in: luno/workflow until 7e04032 of March 2026 (#180).
    Caught by: stop_rests_until_all_have_ended (Parked).
    """

    def _wait_for(self, threads: list[threading.Thread]) -> None:
        for thread in threads:
            while thread.is_alive():
                pass


class PollsUntilStopped(Runner):
    """L2: asks every ten milliseconds whether its processes have ended.

    Bug: a hundred looks for a process that takes a second; no interleaving is needed.
    Seen in: luno/workflow since 7e04032 of March 2026 (#180), to this day.
    Caught by: stop_rests_until_all_have_ended (Parked).
    """

    def _wait_for(self, threads: list[threading.Thread]) -> None:
        while any(thread.is_alive() for thread in threads):
            time.sleep(0.010)


class StopsOnce(Runner):
    """L3: has a stop that finds nothing to stop count as the one stop.

    Bug: a stop that comes while run starts the processes sees none of them, and later stops return.
    Seen in: luno/workflow until ad0fef9 of February 2026 (#171): a race of Run and Stop.
    Caught by: stop_may_come_while_it_starts (LeakBound).
    """

    _is_stopped = False

    def run(self) -> None:
        self._start()

    def stop(self) -> None:
        if not self._is_stopped:
            self._is_stopped = True
            if self._threads:
                super().stop()


class SenderForEachEvent(Outbox):
    """L4: opens a sender for every event and closes them all in the end.

    Bug: a batch of a thousand events holds a thousand senders; no interleaving is needed.
    Seen in: luno/workflow until 4e06cbe of March 2026 (#181), which did not even close them.
    Caught by: batch_opens_a_sender_for_each_topic (MaxInFlight).
    """

    def publish(self, batch: object) -> None:
        with ExitStack() as stack:
            for topic, payload in batch:  # type: ignore[attr-defined]  # as in the reference
                self._open(stack, topic).send(payload)


class LeaksOnError(Outbox):
    """L4: closes its senders only when everything went well.

    Bug: the second event cannot be sent, and the sender of the first stays open.
    Seen in: luno/workflow until 4e06cbe of March 2026 (#181).
    Caught by: failed_batch_leaves_no_sender (Failed).
    """

    def publish(self, batch: object) -> None:
        senders: dict[str, Topic] = {}
        for topic, payload in batch:  # type: ignore[attr-defined]  # as in the reference
            if topic not in senders:
                senders[topic] = self._connect(topic)
            senders[topic].send(payload)
        for sender in senders.values():
            sender.close()


class SleepsBetweenAttempts(Publisher):
    """L5: sleeps between two attempts and looks at its token afterwards.

    Bug: a publisher that is cancelled answers up to a tenth of a second later.
    Seen in: luno/workflow until 2c1bcf6 of March 2026 (#187), in its Kafka adapter.
    Caught by: cancel_ends_a_retry (Elapsed).
    """

    def _wait(self, cancel: CancelToken, seconds: float) -> None:
        time.sleep(seconds)
        cancel.check()


class ClosesItself(LoggedTopic):
    """L6: closes itself instead of what it wraps.

    Bug: the first close calls itself until the stack is full; no interleaving is needed.
    Seen in: luno/workflow until 7704dc7 of March 2026 (#179).
    Caught by: close_is_passed_on_once (Failed).
    """

    def close(self) -> None:
        self.close()


class SlotNotOver(Scheduler):
    """L7: counts a slot that was not wanted as one that has not been yet.

    Bug: the next slot lies in the past, so the filter is asked again at once, for ever.
    Seen in: luno/workflow until ad7a9c0 of December 2025 (#161).
    Caught by: filter_is_asked_once_a_slot (Calls).
    """

    def _last_after(self, last: float, slot: float, *, is_run: bool) -> float:
        return slot if is_run else last


class ReadyEachTime(Claims):
    """L8: signals every claim on a channel with one place and one read.

    Bug: the first claim fills the channel or is read, and a later one waits for ever.
    Seen in: luno/workflow, fixed on the branch of 48770b1 of February 2026: Kafka rebalances.
    Caught by: five_claims_signal_once (Deadlock).
    """

    def claim(self, partition: str) -> None:
        self.ready.put(partition)


class KeyedByText(Errors):
    """L10: counts by what the error says.

    Bug: each text holds a time or a number, so no count is ever above one, and the map grows.
    Seen in: luno/workflow until 846e7fd of March 2026.
    Caught by: errors_reach_their_threshold (Failed).
    """

    def _key(self, process: str, run: str, error: Exception) -> tuple[str, ...]:
        return process, run, str(error)


class DeafWhileWaiting(Roles):
    """L12: waits for a role without listening to its token.

    Bug: a caller that is cancelled stays until the holder leaves, takes the role and gives it back.
    Seen in: luno/workflow, its scheduler of roles in memory, to this day.
    Caught by: cancelled_caller_leaves_at_once (Deadlock).
    """

    def _wait(self, role: str) -> None:
        while role in self._held:
            super()._wait(role)


class RolesSerialised(Roles):
    """One lock round every wait for a role.

    Bug: whoever waits for one role keeps those who want another from taking it.
    Seen in: luno/workflow, its scheduler of roles in memory: one mutex for the map of all roles.
    Caught by: roles_are_independent (Failed).
    """

    def __init__(self) -> None:
        super().__init__()
        self._turn = threading.Lock()

    def take(self, role: str, cancel: CancelToken) -> object:  # type: ignore[override]  # whatever the reference returns
        with self._turn:
            return super().take(role, cancel)
