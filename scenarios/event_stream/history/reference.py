"""The neighbours of an event stream: what runs, schedules, publishes and takes turns.

Each is small, waits without looking again, and lets itself be cancelled in any wait. They do not
know each other.
"""

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, closing
from typing import Protocol

from scenarios.event_stream.token import CancelToken

RETRY_DELAY = 0.100
ATTEMPTS = 5


class Runner:
    """Runs processes, each in a thread of its own, until it is stopped; any thread.

    One that was stopped does not run any more, whichever call comes first.
    """

    # invariant: once stopped, no thread is started

    def __init__(self, processes: Mapping[str, Callable[[CancelToken], None]]) -> None:
        """Make a runner that has not started.

        Args:
            processes: by name; each gets a token and ends soon after that is set.
        """
        self._processes = processes
        self._token = CancelToken()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    @property
    def alive(self) -> int:
        """How many processes have not ended."""
        return sum(thread.is_alive() for thread in self._threads)

    def run(self) -> None:
        """Start the processes; only the first call does anything."""
        with self._lock:
            if self._threads or self._token.is_cancelled:
                return
            self._start()

    def stop(self) -> None:
        """Cancel the processes and wait until all have ended; may be repeated."""
        self._token.cancel()
        with self._lock:
            threads = list(self._threads)
        self._wait_for(threads)

    def _start(self) -> None:
        for name, process in self._processes.items():
            thread = threading.Thread(target=process, args=(self._token,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _wait_for(self, threads: list[threading.Thread]) -> None:
        for thread in threads:
            thread.join()


class Topic(Protocol):
    """What a broker hands out for one topic."""

    def send(self, payload: str) -> None:
        """Publish."""

    def close(self) -> None:
        """Give back what it holds; may fail."""


class Outbox:
    """Publishes batches, with one sender for each topic of a batch; any thread."""

    def __init__(self, connect: Callable[[str], Topic]) -> None:
        """Make an outbox.

        Args:
            connect: opens a sender for a topic.
        """
        self._connect = connect

    def publish(self, batch: Iterable[tuple[str, str]]) -> None:
        """Send every (topic, payload) in order; whatever happens, no sender stays open."""
        senders: dict[str, Topic] = {}
        with ExitStack() as stack:
            for topic, payload in batch:
                if topic not in senders:
                    senders[topic] = self._open(stack, topic)
                senders[topic].send(payload)

    def _open(self, stack: ExitStack, topic: str) -> Topic:
        return stack.enter_context(closing(self._connect(topic)))


class LoggedTopic:
    """A sender that notes what it sends; as many threads as the one it wraps."""

    def __init__(self, topic: Topic, note: Callable[[str], None]) -> None:
        """Wrap `topic`; `note` is called with each payload."""
        self._topic = topic
        self._note = note

    def send(self, payload: str) -> None:
        """Note and publish."""
        self._note(payload)
        self._topic.send(payload)

    def close(self) -> None:
        """Close what is wrapped, once."""
        self._topic.close()


class Publisher:
    """Publishes with retries; any thread."""

    def __init__(self, publish: Callable[[str], object], *, delay: float = RETRY_DELAY) -> None:
        """Make a publisher.

        Args:
            publish: raises ConnectionError where another attempt may help.
            delay: seconds between two attempts.
        """
        self._publish = publish
        self._delay = delay

    def publish(self, payload: str, cancel: CancelToken) -> None:
        """Publish, at most `ATTEMPTS` times.

        Raises:
            ConnectionError: of the last attempt.
            CancelledError: `cancel` was set between two attempts.
        """
        for left in reversed(range(ATTEMPTS)):
            try:
                self._publish(payload)
            except ConnectionError:
                if not left:
                    raise
                self._wait(cancel, self._delay)
            else:
                return

    def _wait(self, cancel: CancelToken, seconds: float) -> None:
        cancel.wait(seconds)
        cancel.check()


class Scheduler:
    """Runs something once a period, unless a filter says no; one thread."""

    def __init__(
        self,
        period: float,
        run: Callable[[float], object],
        *,
        wanted: Callable[[float], object] = lambda _: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a scheduler.

        Args:
            period: seconds from slot to slot.
            run: called with the time of each slot that is wanted.
            wanted: asked once for each slot.
            clock: tells the time, in seconds.
        """
        self._period = period
        self._run = run
        self._wanted = wanted
        self._clock = clock

    def loop(self, cancel: CancelToken) -> None:
        """Run until cancelled."""
        last = self._clock()
        while not cancel.is_cancelled:
            slot = last + self._period
            if cancel.wait(max(0.0, slot - self._clock())):
                return
            last = self._last_after(last, slot, is_run=self._run_if_wanted(slot))

    def _run_if_wanted(self, slot: float) -> bool:
        is_run = bool(self._wanted(slot))
        if is_run:
            self._run(slot)
        return is_run

    def _last_after(self, last: float, slot: float, *, is_run: bool) -> float:
        return slot


class Claims:
    """Tells one reader that the first of many claims was made; any thread."""

    # invariant: the channel is written to once, so that its one place is enough

    def __init__(self) -> None:
        """Make it without a claim."""
        self.ready: queue.Queue[str] = queue.Queue(maxsize=1)
        self._lock = threading.Lock()
        self._is_ready = False

    def claim(self, partition: str) -> None:
        """Note a claim; waits for nobody."""
        with self._lock:
            is_first, self._is_ready = not self._is_ready, True
        if is_first:
            self._signal(partition)

    def _signal(self, partition: str) -> None:
        self.ready.put_nowait(partition)


class Errors:
    """Counts errors in a row for each run of a process; any thread."""

    def __init__(self) -> None:
        """Make it without an error."""
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, ...]] = Counter()

    def __len__(self) -> int:
        """Return how many counters there are."""
        return len(self._counts)

    def add(self, process: str, run: str, error: Exception) -> int:
        """Count an error and return how many there were since the last `clear`."""
        key = self._key(process, run, error)
        with self._lock:
            self._counts[key] += 1
            return self._counts[key]

    def clear(self, process: str, run: str) -> None:
        """Forget the errors of a run that went well."""
        with self._lock:
            self._counts.pop((process, run), None)

    def _key(self, process: str, run: str, error: Exception) -> tuple[str, ...]:
        return process, run


class Roles:
    """Roles that one caller at a time may hold; any thread."""

    def __init__(self) -> None:
        """Make it with all roles free."""
        self._changed = threading.Condition(threading.Lock())
        self._held: set[str] = set()

    def take(self, role: str, cancel: CancelToken) -> Callable[[], None]:
        """Wait for a role and return what gives it back.

        Raises:
            CancelledError: `cancel` is set, before or meanwhile.
        """
        forget = cancel.on_cancel(self._wake_all)
        try:
            with self._changed:
                while not cancel.is_cancelled and role in self._held:
                    self._wait(role)
                cancel.check()
                self._held.add(role)
        finally:
            forget()
        return lambda: self._give_back(role)

    def _wait(self, role: str) -> None:
        self._changed.wait()

    def _give_back(self, role: str) -> None:
        with self._changed:
            self._held.discard(role)
            self._changed.notify_all()

    def _wake_all(self) -> None:
        with self._changed:
            self._changed.notify_all()
