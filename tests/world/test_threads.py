"""Locks and what stands on them: random programs keep their promises under any choices."""

from __future__ import annotations

import dataclasses
import functools
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.history import History
from harness.core.tape import replayed
from harness.world.fibers import World
from harness.world.ground import Ground, prepared

#: What a thread does, one after the other; seconds are small and few, so that deadlines meet.
Operation = tuple[Any, ...]
SECONDS = st.sampled_from([0, 1, 1, 2, 5])
PATIENCE = st.one_of(st.none(), SECONDS)

OPERATIONS = st.one_of(
    st.just(("point",)),
    st.tuples(st.just("sleep"), SECONDS),
    st.tuples(st.just("hold"), st.integers(0, 1), PATIENCE, SECONDS),
    st.tuples(st.just("hold twice"), PATIENCE, SECONDS),
    st.tuples(st.just("enter"), PATIENCE, SECONDS),
    st.tuples(st.just("wait"), SECONDS),
    st.tuples(st.just("set")),
    st.tuples(st.just("clear")),
    st.tuples(st.just("put"), SECONDS),
    st.tuples(st.just("get"), SECONDS),
    st.tuples(st.just("simple put")),
    st.tuples(st.just("simple get"), SECONDS),
    st.tuples(st.just("notify"), st.integers(1, 3)),
    st.tuples(st.just("await notice"), SECONDS),
    st.tuples(st.just("meet"), SECONDS),
)
PROGRAMS = st.lists(st.lists(OPERATIONS, max_size=5), min_size=1, max_size=4)
TAPES = st.lists(st.integers(0, 4), max_size=80)


class Yard:
    """What the threads of one run share, and what must always be true of it."""

    def __init__(self) -> None:
        self.locks = [threading.Lock(), threading.Lock()]
        self.again = threading.RLock()
        self.semaphore = threading.BoundedSemaphore(2)
        self.event = threading.Event()
        self.items: queue.Queue[tuple[str, int]] = queue.Queue(1)
        self.simple: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
        self.condition = threading.Condition()
        self.barrier = threading.Barrier(2)
        self.holders: Counter[str] = Counter()
        self.most = {"lock 0": 1, "lock 1": 1, "again": 1, "semaphore": 2}
        self.put: Counter[tuple[str, int]] = Counter()
        self.got: Counter[tuple[str, int]] = Counter()
        self.notices = self.noticed = 0
        self.log: list[tuple[Any, ...]] = []

    def do(self, name: str, number: int, operation: Operation) -> None:
        """Do one operation as thread `name` and write down what came of it, and when."""
        start = time.monotonic()
        what, *arguments = operation
        outcome = getattr(self, what.replace(" ", "_"))(name, number, *arguments)
        self.log.append((name, number, what, start, time.monotonic(), outcome))

    def point(self, *_: Any) -> None:
        """Let others go on."""
        time.sleep(0)

    def sleep(self, _name: str, _number: int, seconds: float) -> None:
        """Wait exactly so long."""
        start = time.monotonic()
        time.sleep(seconds)
        assert time.monotonic() == start + seconds

    def hold(self, _name: str, _number: int, which: int, patience: Any, seconds: float) -> bool:
        """Hold a lock for a while."""
        return self.held(f"lock {which}", self.locks[which], patience, seconds)

    def hold_twice(self, _name: str, _number: int, patience: Any, seconds: float) -> bool:
        """Hold the re-entrant lock, and take it once more meanwhile."""
        taken = self.held("again", self.again, patience, seconds, once_more=True)
        assert not self.again._is_owned()
        return taken

    def enter(self, _name: str, _number: int, patience: Any, seconds: float) -> bool:
        """Be one of two."""
        return self.held("semaphore", self.semaphore, patience, seconds)

    def held(
        self, name: str, lock: Any, patience: Any, seconds: float, *, once_more: bool = False
    ) -> bool:
        """Take, look that nobody else is there who must not be, and give back."""
        start = time.monotonic()
        with_deadline = {} if patience is None else {"timeout": patience}
        if not lock.acquire(**with_deadline):
            assert time.monotonic() == start + patience
            return False
        assert patience is None or time.monotonic() <= start + patience
        self.holders[name] += 1
        assert self.holders[name] <= self.most[name]
        if once_more:
            assert lock.acquire(blocking=False)
        time.sleep(seconds)
        if once_more:
            lock.release()
            time.sleep(0)
        assert self.holders[name] <= self.most[name]
        self.holders[name] -= 1
        lock.release()
        return True

    def wait(self, _name: str, _number: int, seconds: float) -> bool:
        """Wait for the event."""
        start = time.monotonic()
        was_set = self.event.wait(seconds)
        # Who was woken by `set` is told so even if somebody clears the event before it runs.
        assert was_set or time.monotonic() == start + seconds
        assert time.monotonic() <= start + seconds
        return was_set

    def set(self, *_: Any) -> None:
        """Set the event."""
        self.event.set()

    def clear(self, *_: Any) -> None:
        """Clear the event."""
        self.event.clear()

    def put_one(self, target: Any, name: str, number: int, **patience: Any) -> bool:
        """Put what nobody else puts."""
        try:
            target.put((name, number), **patience)
        except queue.Full:
            return False
        self.put[name, number] += 1
        return True

    def get_one(self, source: Any, seconds: float) -> Any:
        """Take what is first, or give up at the deadline."""
        start = time.monotonic()
        try:
            item = source.get(timeout=seconds)
        except queue.Empty:
            assert time.monotonic() == start + seconds
            return None
        self.got[item] += 1
        return item

    def simple_put(self, name: str, number: int) -> bool:
        """Put into the unbounded queue."""
        return self.put_one(self.simple, name, number)

    def simple_get(self, _name: str, _number: int, seconds: float) -> Any:
        """Get from the unbounded queue."""
        return self.get_one(self.simple, seconds)

    def get(self, _name: str, _number: int, seconds: float) -> Any:
        """Get from the bounded queue."""
        return self.get_one(self.items, seconds)

    def notify(self, _name: str, _number: int, count: int) -> None:
        """Give notices to those who wait."""
        with self.condition:
            self.notices += count
            self.condition.notify(count)

    def await_notice(self, _name: str, _number: int, seconds: float) -> bool:
        """Wait for a notice."""
        with self.condition:
            if not self.condition.wait(seconds):
                return False
            self.noticed += 1
            assert self.noticed <= self.notices
            return True

    def meet(self, _name: str, _number: int, seconds: float) -> bool:
        """Meet one other, or break the barrier and mend it."""
        try:
            self.barrier.wait(seconds)
        except threading.BrokenBarrierError:
            self.barrier.reset()
            return False
        return True

    def close(self) -> None:
        """All are done: nothing is held, nothing was lost and nothing came twice."""
        assert not any(lock.locked() for lock in self.locks)
        assert self.again.acquire(blocking=False)
        assert [self.semaphore.acquire(blocking=False) for _ in range(3)] == [True, True, False]
        left: Counter[tuple[str, int]] = Counter()
        for source in (self.items, self.simple):
            while not source.empty():
                left[source.get(block=False)] += 1
        assert self.got + left == self.put
        assert +self.holders == Counter()


# A method of the same name as a field: the bounded queue's put.
def _put(yard: Yard, name: str, number: int, seconds: float) -> bool:
    return yard.put_one(yard.items, name, number, timeout=seconds)


@dataclasses.dataclass
class Outcome:
    """What came of one run."""

    log: list[tuple[Any, ...]]
    choices: list[int]
    widths: list[int]
    steps: int
    digest: str


@pytest.fixture(scope="module")
def play() -> Iterator[Callable[[list[list[Operation]], list[int]], Outcome]]:
    """Return what runs a program with given choices; all is prepared once for all runs."""
    with prepared(granularity="sync", watchdog_seconds=60) as ground:
        yield functools.partial(_play, ground)


def _play(ground: Ground, program: list[list[Operation]], choices: list[int]) -> Outcome:
    tape, history = replayed(choices), History()
    world = World(tape, history=history)
    logs: list[list[tuple[Any, ...]]] = []

    def body() -> None:
        yard = Yard()

        def run(name: str, operations: list[Operation]) -> None:
            for number, operation in enumerate(operations):
                if operation[0] == "put":
                    start = time.monotonic()
                    outcome = _put(yard, name, number, operation[1])
                    yard.log.append((name, number, "put", start, time.monotonic(), outcome))
                else:
                    yard.do(name, number, operation)

        threads = [
            threading.Thread(target=run, args=(f"caller-{index}", operations))
            for index, operations in enumerate(program)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        yard.close()
        logs.append(yard.log)

    ground.run(world, body)
    outcome = Outcome(logs[0], tape.choices, tape.widths, world.kernel.steps, history.digest())
    assert world.unhandled == []
    assert world.refused == []
    world.dispose()
    return outcome


@given(PROGRAMS, TAPES)
def test_random_programs_keep_their_promises(
    play: Callable[..., Outcome], program: list[list[Operation]], choices: list[int]
) -> None:
    """Exclusion, bounds, deadlines to the nanosecond, nothing lost: whatever is chosen."""
    play(program, choices)


@given(PROGRAMS, TAPES)
def test_random_programs_replay(
    play: Callable[..., Outcome], program: list[list[Operation]], choices: list[int]
) -> None:
    """The recorded choices give the same run again."""
    first = play(program, choices)

    assert play(program, first.choices) == first


@given(PROGRAMS, TAPES)
def test_time_is_nobodys_choice_where_threads_do_not_meet(
    play: Callable[..., Outcome], program: list[list[Operation]], choices: list[int]
) -> None:
    """A thread that shares nothing ends at the sum of its own sleeps, whoever runs beside it."""
    apart = [
        [each for each in operations if each[0] in ("sleep", "point")] for operations in program
    ]

    log = play(apart, choices).log

    for index, operations in enumerate(apart):
        ends = [end for name, *_, end, _ in log if name == f"caller-{index}"]
        assert max(ends, default=0.0) == sum(each[1] for each in operations if each[0] == "sleep")
