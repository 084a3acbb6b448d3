"""The harness's own parts, each wrong in one way: the mutants H… of the doubles.

`test_broken.py` makes one claim for each row, which the real part keeps and the mutant breaks.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from harness.core.kernel import Actor, Kernel
from harness.doubles import Behaviour, Cancellation, FakePool, Gate, InFlight
from harness.doubles.waiting import Patience
from harness.snapshot import Alive, Snapshot


class ReadsGaugeLate(InFlight):
    """H1: takes the high-water mark from the gauge as it is later, not from its own increment.

    Bug: one enters while another is inside, who leaves before the first has read the gauge.
    Seen in: no project known; altmount's fake pool (4d056867) has a CAS loop against it.
    Caught by: the highest value that anybody saw is reported (test_broken.py).
    """

    def _rise(self) -> int:
        with self._lock:
            self._value += 1
            self._total += 1
            self._inside.append(threading.current_thread().name)
        time.sleep(0)
        self._high_water = max(self._high_water, self._value)
        return self._value


class ForgetsWhoFails(FakePool):
    """H2: leaves the gauge only when a call was answered.

    Bug: a call that fails or is cancelled stays in flight for ever; no interleaving is needed.
    Seen in: no project known; row R17 of the reader is the same slip in code under test.
    Caught by: the gauge is 0 after a failed, a cancelled and a raising call (test_broken.py).
    """

    def _serve(self, ticket: Any, patience: Any, writer: Any) -> Any:
        self.gauge.enter()
        answer = self._answer(ticket, patience, writer)
        self.gauge.leave()
        return answer


class LetsOneThrough(Gate):
    """H3: lets one caller through for each opening.

    Bug: whoever waits second stays behind an open gate; no interleaving is needed.
    Seen in: no project known; the slip is `notify()` where `notify_all()` is needed.
    Caught by: ten callers all leave on one opening (test_broken.py).
    """

    def open(self) -> None:
        with self._lock:
            self._open = True
            callers, self._callers = self._callers, []
        callers[0].set()


class RearmsItself(Gate):
    """H3: looks again whether it is open when a caller wakes up.

    Bug: the gate opens and shuts again before those who were woken have looked.
    Seen in: no project known; it is what `Condition.wait_for(is_open)` does.
    Caught by: ten callers all leave on one opening (test_broken.py).
    """

    def pass_through(self, patience: Patience, *, lenient: bool = False) -> None:
        super().pass_through(patience, lenient=lenient)
        while not self._open:
            super().pass_through(patience, lenient=lenient)


class SleepsThroughCancellation(FakePool):
    """H4: does not look at the caller's scope.

    Bug: the scope is set 0.02 s into a latency of 5 s; no interleaving is needed.
    Seen in: the gate of altmount's fake pool (4d056867), whose wait ignores cancellation.
    Caught by: a call cancelled at 0.02 s ends at 0.02 s (test_broken.py).
    """

    def _patience(self, key: str, timeout: float | None, cancel: Cancellation | None) -> Patience:
        return super()._patience(key, timeout, None)


class DefaultWins(FakePool):
    """H6: lets a default replace the record of a key.

    Bug: a later default serves keys that have a record of their own; no interleaving is needed.
    Seen in: no project known.
    Caught by: a key's own record wins over the default (test_broken.py).
    """

    def set_default(self, record: Behaviour) -> None:
        self._desk._records._scripts.clear()
        super().set_default(record)


class ResetsTheLiveGauge(InFlight):
    """H8: sets the live value to 0, too, when the statistics start afresh.

    Bug: a reset comes between the entry and the exit of one caller, who then leaves an empty gauge.
    Seen in: altmount's fake pool (4d056867), `ResetCounters`.
    Caught by: who is inside at a reset is counted until it leaves (test_broken.py).
    """

    def reset(self) -> None:
        self._value = 0
        self._inside.clear()
        super().reset()


class CountsOnly(Snapshot):
    """H9: compares how many are alive, not who.

    Bug: an unrelated thread ends while another leaks.
    Seen in: altmount's goroutine check (4d056867), which has a slack of 5 besides.
    Caught by: a leak is reported although somebody else ended (test_broken.py).
    """

    def since(self, earlier: Snapshot) -> list[Alive]:
        more = len(self.alive) - len(earlier.alive)
        # No zero-argument super(): a class with slots is made twice.
        return Snapshot.since(self, earlier)[: max(0, more)]


class AdvancesEarly(Kernel):
    """H11: moves the clock whenever somebody has to be chosen, though somebody can run.

    Bug: one sleeps, and the others, who have something left to do now, find it is later.
    Seen in: every test clock that is moved by hand while threads run.
    Caught by: everything due at an instant happens at that instant (test_broken.py).
    """

    def next(self) -> Actor | None:
        self._idle()
        return super().next()
