"""Event loops: the plain run is what asyncio really does, and other orders break no promise."""

from __future__ import annotations

import asyncio
import functools
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.tape import replayed
from harness.world.fibers import World
from harness.world.ground import Ground, prepared

Operation = tuple[Any, ...]
SECONDS = st.sampled_from([0, 0, 1, 2, 3])

SIMPLE = st.one_of(
    st.tuples(st.just("sleep"), SECONDS),
    st.tuples(st.just("hold"), SECONDS, SECONDS),
    st.tuples(st.just("enter"), SECONDS, SECONDS),
    st.tuples(st.just("wait"), SECONDS),
    st.just(("set",)),
    st.just(("clear",)),
    st.tuples(st.just("put"), SECONDS),
    st.tuples(st.just("get"), SECONDS),
    st.tuples(st.just("notify"), st.integers(1, 2)),
    st.tuples(st.just("await notice"), SECONDS),
    st.tuples(st.just("call soon"), st.integers(1, 3)),
    st.tuples(st.just("call later"), SECONDS),
    st.tuples(st.just("cancel"), st.integers(0, 4)),
    st.just(("fail",)),
)
PROGRAMS = st.lists(
    st.recursive(
        st.lists(SIMPLE, max_size=4),
        lambda inner: st.lists(
            st.one_of(
                SIMPLE,
                # One child: a real group aborts several in the order of their addresses.
                st.tuples(st.just("group"), inner, st.booleans()),
                st.tuples(st.just("gather"), st.lists(inner, max_size=3)),
                st.tuples(st.just("shield"), inner),
            ),
            max_size=4,
        ),
        max_leaves=12,
    ),
    min_size=1,
    max_size=4,
)
TAPES = st.lists(st.integers(0, 5), max_size=80)
ORDERS = st.sampled_from(["fifo", "tasks", "any"])


class Yard:
    """What the tasks of one run share, and what must always be true of it."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.semaphore = asyncio.Semaphore(2)
        self.event = asyncio.Event()
        self.items: asyncio.Queue[str] = asyncio.Queue(1)
        self.condition = asyncio.Condition()
        self.holders: Counter[str] = Counter()
        self.put: Counter[str] = Counter()
        self.got: Counter[str] = Counter()
        self.tasks: list[asyncio.Task[Any]] = []
        self.log: list[tuple[Any, ...]] = []

    async def run(self, name: str, operations: list[Operation]) -> None:
        """Do what a task does and write down what came of it, and when."""
        for number, (what, *arguments) in enumerate(operations):
            place = f"{name}.{number}"
            try:
                outcome = await getattr(self, "act_" + what.replace(" ", "_"))(place, *arguments)
            except AssertionError:
                raise
            except (Exception, asyncio.CancelledError) as exc:
                outcome = f"{type(exc).__name__} {exc}"
                if isinstance(exc, asyncio.CancelledError):
                    self.note(place, what, outcome)
                    raise
            self.note(place, what, outcome)

    def note(self, *what: Any) -> None:
        """Append to the log, with the time."""
        self.log.append((asyncio.get_running_loop().time(), *what))

    def start(self, name: str, operations: list[Operation], start: Callable[..., Any]) -> Any:
        """Start a task that others can cancel."""
        task = start(self.run(name, operations), name=name)
        self.tasks.append(task)
        return task

    async def act_sleep(self, _place: str, seconds: int) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    async def act_hold(self, _place: str, patience: int, seconds: int) -> None:
        """Hold the lock for a while."""
        await self.hold(self.lock, "lock", 1, patience, seconds)

    async def act_enter(self, _place: str, patience: int, seconds: int) -> None:
        """Be one of two."""
        await self.hold(self.semaphore, "semaphore", 2, patience, seconds)

    async def hold(self, lock: Any, name: str, most: int, patience: int, seconds: int) -> None:
        """Take with a deadline, look that nobody is there who must not be, and give back."""
        async with asyncio.timeout(patience):
            await lock.acquire()
        self.holders[name] += 1
        assert self.holders[name] <= most
        try:
            await asyncio.sleep(seconds)
        finally:
            self.holders[name] -= 1
            lock.release()

    async def act_wait(self, _place: str, seconds: int) -> bool:
        """Wait for the event."""
        return await asyncio.wait_for(self.event.wait(), seconds)

    async def act_set(self, _place: str) -> None:
        """Set the event."""
        self.event.set()

    async def act_clear(self, _place: str) -> None:
        """Clear the event."""
        self.event.clear()

    async def act_put(self, place: str, seconds: int) -> None:
        """Put what nobody else puts."""
        async with asyncio.timeout(seconds):
            await self.items.put(place)
        self.put[place] += 1

    async def act_get(self, _place: str, seconds: int) -> str:
        """Take what is first."""
        async with asyncio.timeout(seconds):
            item = await self.items.get()
        self.got[item] += 1
        return item

    async def act_notify(self, _place: str, count: int) -> None:
        """Wake some of those who wait for a notice."""
        async with self.condition:
            self.condition.notify(count)

    async def act_await_notice(self, _place: str, seconds: int) -> None:
        """Wait for a notice."""
        async with asyncio.timeout(seconds), self.condition:
            await self.condition.wait()

    async def act_call_soon(self, place: str, count: int) -> None:
        """Have the loop call back."""
        for number in range(count):
            asyncio.get_running_loop().call_soon(self.note, place, "called soon", number)

    async def act_call_later(self, place: str, seconds: int) -> None:
        """Have the loop call back later."""
        asyncio.get_running_loop().call_later(seconds, self.note, place, "called later")

    async def act_cancel(self, _place: str, number: int) -> bool | None:
        """Cancel a task."""
        return self.tasks[number].cancel() if number < len(self.tasks) else None

    async def act_fail(self, place: str) -> None:
        """Fail."""
        raise ValueError(place)

    async def act_group(self, place: str, operations: list[Operation], *how: bool) -> None:
        """Run one in a group, and perhaps abort it."""
        async with asyncio.TaskGroup() as group:
            self.start(f"{place}/0", operations, group.create_task)
            if any(how):
                await asyncio.sleep(1)
                raise ValueError(place)

    async def act_gather(self, place: str, programs: list[list[Operation]]) -> None:
        """Run several at once."""
        await asyncio.gather(
            *[
                self.start(f"{place}/{number}", operations, asyncio.create_task)
                for number, operations in enumerate(programs)
            ],
            return_exceptions=True,
        )

    async def act_shield(self, place: str, operations: list[Operation]) -> None:
        """Wait for one that is not cancelled with its parent."""
        task = self.start(f"{place}/0", operations, asyncio.create_task)
        async with asyncio.timeout(2):
            await asyncio.shield(task)

    async def main(self, programs: list[list[Operation]]) -> None:
        """Run all; then nothing is held, and nothing was lost that nobody cancelled."""
        for number, operations in enumerate(programs):
            self.start(str(number), operations, asyncio.create_task)
        while pending := [task for task in self.tasks if not task.done()]:
            await asyncio.wait(pending)
        for task in self.tasks:
            assert task.cancelled() or task.exception() is None, task
        assert +self.holders == Counter()
        assert all(count == 1 for count in self.got.values())
        self.note("end", self.lock.locked(), self.items.qsize(), sorted(self.got - self.put))


class WarpLoop(asyncio.SelectorEventLoop):
    """The real loop, except that waiting takes no time: what asyncio does by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._real_select = self._selector.select
        self._selector.select = self._select

    def time(self) -> float:
        """Return how long was waited."""
        return self.now

    def _select(self, timeout: float | None = None) -> Any:
        assert timeout is not None, "nobody would ever wake this loop"
        self.now += timeout
        return self._real_select(0)


def outside(programs: list[list[Operation]]) -> list[tuple[Any, ...]]:
    """Return the log of a program under the real loop."""
    logs = []

    async def main() -> None:
        yard = Yard()
        await yard.main(programs)
        logs.append(yard.log)

    with asyncio.Runner(loop_factory=WarpLoop) as runner:
        runner.run(main())
    return logs[0]


Play = Callable[..., tuple[list[tuple[Any, ...]], list[int]]]


@pytest.fixture(scope="module")
def inside() -> Iterator[Play]:
    """Return what runs a program with given choices and order; prepared once for all runs."""
    with prepared(granularity="sync", watchdog_seconds=60) as ground:
        yield functools.partial(_play, ground)


def _play(
    ground: Ground, programs: list[list[Operation]], choices: list[int], order: str
) -> tuple[list[tuple[Any, ...]], list[int]]:
    tape = replayed(choices)
    world = World(tape, order=order)
    logs: list[list[tuple[Any, ...]]] = []

    async def main() -> None:
        yard = Yard()
        await yard.main(programs)
        logs.append(yard.log)

    ground.run(world, lambda: asyncio.run(main()))
    assert world.unhandled == []
    assert world.refused == []
    world.dispose()
    return logs[0], tape.choices


@given(PROGRAMS, ORDERS)
def test_the_plain_run_is_what_asyncio_does(
    inside: Play, programs: list[list[Operation]], order: str
) -> None:
    """Choice 0 everywhere: the same events, in the same order, as in the real loop."""
    assert inside(programs, [], order)[0] == outside(programs)


@given(PROGRAMS, TAPES, ORDERS)
def test_any_order_keeps_the_promises_and_replays(
    inside: Play, programs: list[list[Operation]], choices: list[int], order: str
) -> None:
    """Whatever is chosen: locks exclude, nothing comes twice, and the run can be repeated."""
    log, recorded = inside(programs, choices, order)

    assert inside(programs, recorded, order) == (log, recorded)
    if order != "any":
        # `call_soon` is documented to be first in, first out: nothing lies between call and note.
        asked = [(place, count) for _, place, what, *count in log if what == "call soon"]
        called = [(place, number) for _, place, what, *number in log if what == "called soon"]
        counts = Counter(place for place, _ in called)
        assert called == [
            (place, [number]) for place, _ in asked for number in range(counts[place])
        ]


@given(PROGRAMS, TAPES)
def test_only_ties_of_timers_are_choices_under_fifo(
    inside: Play, programs: list[list[Operation]], choices: list[int]
) -> None:
    """Where no two timers are due at once, `fifo` has one run."""
    sleepless = [
        [each for each in operations if each[0] in ("set", "clear", "cancel", "call soon", "fail")]
        for operations in programs
    ]

    log, recorded = inside(sleepless, choices, "fifo")

    assert recorded == []
    assert log == outside(sleepless)
