"""What was made before the run is simulated inside it, and exactly what it was after it."""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import dataclasses
import functools
import gc
import logging
import queue
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from harness import explore as explore_all
from harness.core.tape import Tape, replayed
from harness.faults import Pass, Site, Verdict
from harness.world import adoption, patching, threads, twins, under_test
from harness.world.fibers import World

REAL_LOCK = type(threading.Lock())
REAL_RLOCK = type(threading.RLock())


@contextmanager
def adopting() -> Iterator[adoption.Adoption]:
    """Adopt as an exploration does."""
    with adoption.adopted(patching.is_bystander, under_test.is_under_test) as adopted:
        yield adopted


def run(body: Callable[[], Any], seed: int | None = None) -> tuple[Any, World]:
    """Run `body` once as the main thread of a world whose names are already replaced."""
    choose = random.Random(seed).random
    tape = replayed([]) if seed is None else Tape(lambda width: int(choose() * width))
    world = World(tape)
    patching.fresh(world)
    results: list[Any] = []
    kept = patching.KeptState()
    try:
        world.run(lambda: results.append(body()))
    finally:
        kept.restore()
    assert not world.unhandled
    return (results[0] if results else None), world


@contextmanager
def exploring() -> Iterator[adoption.Adoption]:
    """Adopt and replace, as an exploration does."""
    with adopting() as adopted, patching.installed(lambda: None, lambda _world, _job: None):
        yield adopted


def explore(body: Callable[[], Any], runs: int = 60) -> list[Any]:
    """Run `body` under many schedules and return what it returned."""
    with exploring() as adopted:
        results = []
        for seed in range(runs):
            results.append(run(body, seed)[0])
            adopted.reset()
    return results


def start_and_join(*functions: Callable[[], object]) -> None:
    """Run each function in a thread of its own and wait for all."""
    started = [threading.Thread(target=function) for function in functions]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()


# --- placements -----------------------------------------------------------------------------------


class Slotted:
    """Holds a lock in a slot."""

    __slots__ = ("lock",)

    def __init__(self) -> None:
        self.lock = threading.Lock()


class Plain:
    """Holds a lock in its dict and one for the class."""

    shared = threading.Lock()

    def __init__(self) -> None:
        self.lock = threading.RLock()


def _in_closure() -> Callable[[], Any]:
    lock = threading.Lock()
    return lambda: lock


def _in_default(lock: Any = threading.Lock()) -> Any:  # noqa: B008 - what is tested
    return lock


def _in_keyword_default(*, lock: Any = threading.RLock()) -> Any:  # noqa: B008 - what is tested
    return lock


def _in_partial(lock: Any) -> Any:
    return lock


GLOBAL = threading.Lock()
SLOTTED = Slotted()
PLAIN = Plain()
CLOSURE = _in_closure()
CONDITION = threading.Condition()
EVENT = threading.Event()
SEMAPHORE = threading.BoundedSemaphore(2)
HELD: dict[str, Any] = {}
BARRIER = threading.Barrier(2)
BOX: dict[str, Any] = {"lock": threading.Lock(), "nested": {"deeper": [threading.Lock()]}}
SHELF = [threading.RLock()]
LINE = collections.deque([threading.Lock()])
JOBS: queue.Queue[int] = queue.Queue()
FUTURE: concurrent.futures.Future[int] = concurrent.futures.Future()
HANDLER = logging.NullHandler()
BUFFERING = logging.StreamHandler()
PARTIAL = functools.partial(_in_partial, threading.Lock())
KEYWORD_PARTIAL = functools.partial(_in_partial, lock=threading.RLock())
ACQUIRE = threading.Lock().acquire
PAIR = (threading.Lock(), "in a tuple")
SIMPLE: Any = queue.SimpleQueue()

PLACES: dict[str, Callable[[], Any]] = {
    "module global": lambda: GLOBAL,
    "class attribute": lambda: Plain.shared,
    "instance attribute": lambda: PLAIN.lock,
    "slot": lambda: SLOTTED.lock,
    "closure cell": CLOSURE,
    "dict": lambda: BOX["lock"],
    "nested containers": lambda: BOX["nested"]["deeper"][0],
    "list": lambda: SHELF[0],
    "deque": lambda: LINE[0],
    "Condition": lambda: CONDITION._lock,  # type: ignore[attr-defined] # looks inside
    "Condition.acquire": lambda: CONDITION.acquire.__self__,  # type: ignore[attr-defined] # looks inside
    "Event": lambda: EVENT._cond._lock,  # type: ignore[attr-defined] # looks inside
    "Semaphore": lambda: SEMAPHORE._cond._lock,  # type: ignore[attr-defined] # looks inside
    "Barrier": lambda: BARRIER._cond._lock,  # type: ignore[attr-defined] # looks inside
    "Queue": lambda: JOBS.mutex,
    "Queue.not_empty": lambda: JOBS.not_empty._lock,  # type: ignore[attr-defined] # looks inside
    "Future": lambda: FUTURE._condition._lock,  # type: ignore[attr-defined] # looks inside
    "logging handler": lambda: BUFFERING.lock,
    "default argument": _in_default,
    "keyword default": _in_keyword_default,
    "partial": PARTIAL,
    "keyword of a partial": KEYWORD_PARTIAL,
    "bound method": lambda: ACQUIRE.__self__,  # type: ignore[attr-defined] # looks inside
}


class Seen(NamedTuple):
    """What stood in a place: types before and during the scan, and whether it was the original."""

    before: type
    during: type
    was_for_it: bool
    is_back: bool


@pytest.fixture(scope="module")
def seen() -> dict[str, Seen]:
    """Look at all places in one scan: it looks through the whole process. Keep nothing."""
    originals = {place: read() for place, read in PLACES.items()}
    with adopting():
        twins_there = {place: read() for place, read in PLACES.items()}
    return {
        place: Seen(
            type(original),
            type(twins_there[place]),
            getattr(twins_there[place], "real", None) is original,
            PLACES[place]() is original,
        )
        for place, original in originals.items()
    }


@pytest.mark.parametrize("place", PLACES)
def test_a_lock_is_replaced_wherever_it_is_held_and_put_back(
    place: str, seen: dict[str, Seen]
) -> None:
    """The twin stands in the place during the exploration, the very original before and after."""
    found = seen[place]

    assert found.before in (REAL_LOCK, REAL_RLOCK)
    assert issubclass(found.during, threads.RLock if found.before is REAL_RLOCK else threads.Lock)
    assert found.was_for_it
    assert found.is_back


if sys.version_info < (3, 12):

    def test_the_lock_of_a_cached_property_is_replaced() -> None:
        """On 3.11 each cached_property has a re-entrant lock, which would exclude no fiber."""

        class Page:
            @functools.cached_property
            def text(self) -> str:
                return "text"

        lock: Any = vars(Page)["text"].lock

        with adopting():
            assert isinstance(vars(Page)["text"].lock, threads.RLock)

        assert vars(Page)["text"].lock is lock


def test_what_cannot_be_replaced_is_named() -> None:
    """A tuple cannot be changed: the lock in it stays real, and the message can say so."""
    with adopting() as adopted:
        assert type(PAIR[0]) is REAL_LOCK
        assert any("a Lock in a tuple" in line for line in adopted.out_of_reach)


def test_one_lock_in_two_places_has_one_twin() -> None:
    """Identity is kept: two names of one lock exclude each other."""
    lock = threading.Lock()
    holders: list[Any] = [lock, {"again": lock}]
    del lock

    with adopting() as adopted:
        assert holders[0] is holders[1]["again"]
        assert isinstance(holders[0], threads.Lock)
        assert adopted.place_of(holders[0])
    assert holders[0] is holders[1]["again"]


def test_the_queue_s_three_conditions_share_one_twin() -> None:
    """Queue's mutex and its conditions are one lock, before and during."""
    with adopting():
        assert JOBS.mutex is JOBS.not_empty._lock is JOBS.not_full._lock  # type: ignore[attr-defined] # looks inside


# --- restoring ------------------------------------------------------------------------------------


def test_everything_is_put_back_after_an_error() -> None:
    """An exception inside the block restores as a normal end does."""
    before = {place: read() for place, read in PLACES.items()}

    with pytest.raises(KeyboardInterrupt), exploring():
        raise KeyboardInterrupt

    assert all(read() is before[place] for place, read in PLACES.items())


def test_a_place_that_cannot_be_restored_does_not_keep_the_others() -> None:
    """The first failure is raised after every other place was restored."""
    before = {place: read() for place, read in PLACES.items()}

    def refuse(value: object) -> None:
        raise RuntimeError("gone")

    twin = object()
    with pytest.raises(RuntimeError, match="gone"), adopting() as adopted:
        middle = len(adopted.places) // 2
        adopted.places.insert(middle, adoption.Place("nowhere", 1, twin, lambda: twin, refuse))

    assert all(read() is before[place] for place, read in PLACES.items())


def test_a_newer_value_is_left_where_it_is() -> None:
    """What the code under test put in the place of an adopted lock meanwhile is its own."""
    box = {"lock": threading.Lock(), "gone": threading.Lock()}
    shelf = [threading.Lock(), threading.Lock()]
    kept = shelf[1]

    with adopting():
        box["lock"] = "newer"  # type: ignore[assignment] # on purpose
        del box["gone"]
        del shelf[0]

    assert box == {"lock": "newer"}
    assert shelf == [kept]


def test_nothing_of_a_scan_is_left() -> None:
    """A finished exploration leaves no garbage, no twin and no reference to the heap."""
    with adopting():
        pass
    gc.collect()

    with adopting():
        pass

    assert gc.collect() < 50
    assert not [
        thing for thing in gc.get_objects() if type(thing) in (twins.LockTwin, twins.QueueTwin)
    ]


# --- locks ----------------------------------------------------------------------------------------


def _held_twice_over(lock: Any) -> int:
    inside = 0
    most = 0

    def enter() -> None:
        nonlocal inside, most
        for _ in range(3):
            with lock, lock if isinstance(lock, threads.RLock) else contextlib_null():
                inside += 1
                most = max(most, inside)
                time.sleep(0)
                inside -= 1
            time.sleep(0)

    start_and_join(enter, enter, enter)
    return most


@contextmanager
def contextlib_null() -> Iterator[None]:
    """Do nothing."""
    yield


@pytest.mark.parametrize(
    "place", ["module global", "instance attribute", "keyword default", "list"]
)
def test_an_adopted_lock_excludes_fibers(place: str) -> None:
    """Three fibers that give way inside the lock are never inside it together."""
    assert set(explore(lambda: _held_twice_over(PLACES[place]()))) == {1}


def test_a_condition_made_before_wakes_its_waiters() -> None:
    """Condition's bound methods go to the twin too."""

    def body() -> list[int]:
        seen: list[int] = []

        def wait() -> None:
            with CONDITION:
                CONDITION.wait_for(lambda: bool(seen))

        def tell() -> None:
            time.sleep(5)
            with CONDITION:
                seen.append(1)
                CONDITION.notify_all()

        start_and_join(wait, wait, tell)
        return seen

    assert explore(body) == [[1]] * 60


def test_a_waiter_of_an_ended_run_is_forgotten() -> None:
    """A run that ended while somebody waited leaves nobody for the next run's notify to wake."""

    def abandon() -> None:
        def wait() -> None:
            with CONDITION:
                CONDITION.wait()

        threading.Thread(target=wait).start()
        time.sleep(1)

    with exploring() as adopted:
        run(abandon)
        adopted.reset()

        assert not CONDITION._waiters  # type: ignore[attr-defined] # looks inside
        assert CONDITION._lock.owner is None  # type: ignore[attr-defined] # looks inside


def test_a_lock_that_is_held_stays_held() -> None:
    """Nobody in the run holds it, so it can only be waited for; each run finds it so."""
    box = {"lock": threading.Lock(), "rlock": threading.RLock()}
    box["lock"].acquire()
    box["rlock"].acquire()

    def body() -> tuple[Any, ...]:
        answer = (
            box["lock"].acquire(timeout=2),
            box["rlock"].acquire(blocking=False),
            time.monotonic(),
        )
        box["lock"].release()
        return answer

    with exploring() as adopted:
        for _ in range(3):
            assert run(body)[0] == (False, False, 2.0)
            adopted.reset()

    assert box["lock"].locked()
    assert box["rlock"]._is_owned()  # type: ignore[attr-defined] # looks inside


def test_a_twin_is_the_real_lock_for_other_threads() -> None:
    """Whoever is outside the run takes and gives back the real lock."""
    original = GLOBAL

    with exploring():
        with GLOBAL:
            assert original.locked()
        assert not original.locked()


def test_an_abandoned_lock_is_free_in_the_next_run() -> None:
    """A run that ends while a lock is held does not hold it for the next."""

    def body() -> bool:
        return GLOBAL.acquire(timeout=1)

    assert explore(body, 3) == [True, True, True]
    assert not GLOBAL.locked()


# --- SimpleQueue ----------------------------------------------------------------------------------


def test_the_items_of_a_simple_queue_are_there_in_each_run_and_after() -> None:
    """What lay in the queue before is found by every run, and lies there again afterwards."""
    box: Any = {"queue": queue.SimpleQueue()}
    original = box["queue"]
    for item in range(3):
        original.put(item)

    def body() -> list[int]:
        taken: list[int] = []
        start_and_join(
            lambda: taken.extend(box["queue"].get() for _ in range(2)),
            lambda: taken.extend(box["queue"].get() for _ in range(2)),
            lambda: (time.sleep(3), box["queue"].put(3)),
        )
        return sorted(taken)

    assert explore(body, 20) == [[0, 1, 2, 3]] * 20
    assert box["queue"] is original
    assert [original.get_nowait() for _ in range(original.qsize())] == [0, 1, 2]


def test_what_a_run_left_in_a_simple_queue_is_handed_on() -> None:
    """Whoever does not reset gets what the run left, in order."""
    box: Any = {"queue": queue.SimpleQueue()}
    box["queue"].put("early")

    with exploring():
        run(lambda: (box["queue"].get(), box["queue"].put("late")))

    # `reset` at the end would be too late to be asked for: what counts is the state at that moment.
    assert [box["queue"].get_nowait() for _ in range(box["queue"].qsize())] == ["late"]


def test_a_simple_queue_is_the_real_one_outside_the_run() -> None:
    """Puts and gets of other threads go to the original."""
    box: Any = {"queue": queue.SimpleQueue()}
    original = box["queue"]

    with exploring():
        box["queue"].put(1)
        assert original.qsize() == box["queue"].qsize() == 1
        assert box["queue"].get(timeout=1) == 1


# --- thread-locals --------------------------------------------------------------------------------


class Session(threading.local):
    """Made anew in each thread."""

    def __init__(self, start: int = 0) -> None:
        super().__init__()
        self.log = [start]


LOCAL = threading.local()
SESSION = Session(7)


def test_a_thread_local_is_one_for_each_fiber() -> None:
    """Only the main thread sees what it had put there before; nothing of a run is left."""
    LOCAL.user = "main"
    original = LOCAL

    def body() -> tuple[Any, ...]:
        seen = []

        def look(name: str) -> None:
            before = getattr(LOCAL, "user", None)
            LOCAL.user = name
            time.sleep(0)
            seen.append((before, LOCAL.user))

        start_and_join(lambda: look("one"), lambda: look("two"))
        main, LOCAL.user = LOCAL.user, "changed"
        return sorted(seen), main

    assert explore(body, 30) == [([(None, "one"), (None, "two")], "main")] * 30
    assert LOCAL is original
    assert vars(LOCAL) == {"user": "main"}
    del LOCAL.user


def test_a_subclass_of_local_is_made_anew_for_each_fiber() -> None:
    """Its __init__ runs again in each fiber, with the same arguments, and `super()` in it works."""
    SESSION.log.append(8)

    def body() -> tuple[Any, ...]:
        seen = []

        def look(value: int) -> None:
            SESSION.log.append(value)
            time.sleep(0)
            seen.append(tuple(SESSION.log))

        start_and_join(lambda: look(1), lambda: look(2))
        return sorted(seen), tuple(SESSION.log)

    assert explore(body, 30) == [([(7, 1), (7, 2)], (7, 8))] * 30
    assert SESSION.log == [7, 8]
    assert set(vars(Session)).isdisjoint(twins.LocalClass.NAMES)
    SESSION.log.pop()


def test_a_local_subclass_made_in_the_run_is_one_for_each_fiber() -> None:
    """The class is older than the run, its instance is not."""

    def body() -> tuple[Any, ...]:
        session = Session(5)
        seen = []

        def look(value: int) -> None:
            session.log.append(value)
            time.sleep(0)
            seen.append(tuple(session.log))

        start_and_join(lambda: look(1), lambda: look(2))
        return sorted(seen), tuple(session.log)

    assert explore(body, 10) == [([(5, 1), (5, 2)], (5,))] * 10


# --- captured clocks ------------------------------------------------------------------------------


def naps(seconds: float, clock: Any = time.monotonic, *, sleep: Any = time.sleep) -> float:
    """Sleep by captured functions."""
    sleep(seconds)
    return float(clock())


class Retry:
    """Keeps its clock in the class, in the instance and behind a staticmethod."""

    clock = time.monotonic
    pause = staticmethod(time.sleep)

    def __init__(self, clock: Any = time.monotonic) -> None:
        self.own_clock = clock


@dataclasses.dataclass
class Limits:
    """Keeps its clock in a field default, and makes its lock by a factory."""

    clock: Any = time.monotonic
    lock: Any = dataclasses.field(default_factory=threading.Lock)


RETRY = Retry()
LIMITS = Limits()
CLOCKS: dict[str, Any] = {"now": time.monotonic, "nested": {"sleep": time.sleep}}
LOCKS: dict[str, Any] = collections.defaultdict(threading.Lock)
LATER = functools.partial(time.sleep, 2)
SEQUENCE = [time.monotonic]


def _captured() -> Callable[[], float]:
    clock = time.monotonic
    return lambda: float(clock())


CAPTURED = _captured()


def test_captured_clocks_are_virtual() -> None:
    """In default arguments, classes, instances, field defaults, cells, containers and partials."""

    def body() -> tuple[Any, ...]:
        now = naps(1.0)
        LATER()
        Retry.pause(3)
        return (
            now,
            Retry.clock(),
            RETRY.clock(),
            RETRY.own_clock(),
            Retry().own_clock(),
            LIMITS.clock(),
            Limits().clock(),
            CLOCKS["now"](),
            SEQUENCE[0](),
            CAPTURED(),
        )

    began = time.perf_counter()
    assert explore(body, 2) == [(1.0, *[6.0] * 9)] * 2
    assert time.perf_counter() - began < 3
    assert naps.__defaults__ == (time.monotonic,)
    assert naps.__kwdefaults__ == {"sleep": time.sleep}
    assert vars(Retry)["clock"] is time.monotonic
    assert Retry.pause is time.sleep
    assert LATER.func is time.sleep
    assert LATER.args == (2,)


def test_captured_lock_factories_make_simulated_locks() -> None:
    """`field(default_factory=Lock)` and `defaultdict(Lock)` make locks of the run, inside it."""

    def body() -> tuple[bool, bool]:
        return isinstance(Limits().lock, threads.Lock), isinstance(LOCKS["new"], threads.Lock)

    with exploring():
        assert run(body)[0] == (True, True)
        LOCKS.clear()
    assert type(LOCKS["real"]) is REAL_LOCK
    assert type(Limits().lock) is REAL_LOCK


# --- executors, threads, states -------------------------------------------------------------------


EXECUTOR = concurrent.futures.ThreadPoolExecutor(2, thread_name_prefix="made-before")
ASYNC_LOCK = asyncio.Lock()
THREADS: list[threading.Thread] = []


def test_an_executor_made_before_works_in_each_run_and_after() -> None:
    """Its workers are the run's own, also when real ones wait already."""
    assert EXECUTOR.submit(lambda: 1).result() == 1
    workers = set(EXECUTOR._threads)

    def body() -> tuple[Any, ...]:
        began = time.monotonic()
        jobs = [EXECUTOR.submit(time.sleep, 5) for _ in range(4)]
        concurrent.futures.wait(jobs)
        return time.monotonic() - began, len(EXECUTOR._threads)

    assert explore(body, 5) == [(10.0, 2)] * 5
    assert set(EXECUTOR._threads) == workers
    assert EXECUTOR.submit(lambda: 2).result() == 2
    EXECUTOR.shutdown()


def test_a_thread_made_before_is_started_in_the_run() -> None:
    """It is simulated, whichever version of Python made it."""
    ran: list[float] = []
    THREADS[:] = [threading.Thread(target=lambda: (time.sleep(30), ran.append(time.monotonic())))]

    def body() -> float:
        THREADS[0].start()
        THREADS[0].join()
        return time.monotonic()

    assert explore(body, 1) == [30.0]
    assert ran == [30.0]
    THREADS.clear()


def test_each_run_finds_flags_counts_and_items_as_they_were() -> None:
    """A run that ends midway does not poison the next."""
    JOBS.put(1)

    def body() -> tuple[Any, ...]:
        found = (
            EVENT.is_set(),
            SEMAPHORE.acquire(blocking=False),
            JOBS.get(timeout=1),
            BARRIER.n_waiting,
        )
        EVENT.set()
        JOBS.put(2)
        threading.Thread(target=BARRIER.wait).start()
        time.sleep(1)
        return found

    assert explore(body, 3) == [(False, True, 1, 0)] * 3
    assert not EVENT.is_set()
    assert JOBS.get_nowait() == 1


def test_an_asyncio_lock_made_before_serves_the_loop_of_each_run() -> None:
    """Contended, it binds itself to a loop, and every run has another."""

    async def main() -> float:
        async def hold() -> None:
            async with ASYNC_LOCK:
                await asyncio.sleep(1)

        await asyncio.gather(hold(), hold(), hold())
        return asyncio.get_running_loop().time()

    assert explore(lambda: asyncio.run(main()), 3) == [3.0] * 3


# --- what is left alone ---------------------------------------------------------------------------


def test_live_threads_and_the_interpreter_keep_their_locks() -> None:
    """What a real thread holds while we run is in use for real."""
    stop = threading.Event()
    HELD["stop"] = stop
    worker = threading.Thread(target=stop.wait, daemon=True)
    worker.start()
    inside = vars(worker)["_started"]
    lock = inside._cond._lock
    main = threading.main_thread()._started._cond._lock  # type: ignore[attr-defined] # looks inside

    try:
        with adopting():
            assert inside._cond._lock is lock
            # The event is the test's, so its lock is adopted; the thread that waits is kept.
            assert isinstance(stop._cond._lock, threads.Lock)  # type: ignore[attr-defined] # looks inside
            assert threading.main_thread()._started._cond._lock is main  # type: ignore[attr-defined] # looks inside
            stop.set()
            worker.join(10)
            assert not worker.is_alive()
            assert type(threading._active_limbo_lock) in (REAL_LOCK, REAL_RLOCK)  # type: ignore[attr-defined] # the table's
    finally:
        stop.set()
        worker.join()
        HELD.clear()


def test_real_threads_go_on_with_what_is_adopted() -> None:
    """Whoever uses adopted objects outside the run loses nothing, whenever that begins or ends."""
    jobs: queue.Queue[int] = queue.Queue(2)
    simple: queue.SimpleQueue[int] = queue.SimpleQueue()
    HELD.update(jobs=jobs, simple=simple)
    enough = threading.Event()
    made: list[int] = []
    taken: list[int] = []

    def produce() -> None:
        while not enough.is_set():
            made.append(len(made))
            jobs.put(len(made))
        jobs.put(-1)

    def take() -> None:
        while (item := jobs.get()) >= 0:
            simple.put(item)
            taken.append(simple.get())

    workers = [threading.Thread(target=work, daemon=True) for work in (produce, take)]
    for worker in workers:
        worker.start()
    for _ in range(8):
        with adopting():
            time.sleep(0.001)
    enough.set()
    for worker in workers:
        worker.join(10)

    HELD.clear()
    assert not any(worker.is_alive() for worker in workers)
    assert len(taken) == len(made)


def test_bystanders_keep_theirs() -> None:
    """A lock that only a bystander's object or module holds stays real."""
    source = """
import threading, time, queue
class Gateway:
    def __init__(self):
        self.lock = threading.RLock()
        self.event = threading.Event()
        self.sleep = time.sleep
        self.queue = queue.SimpleQueue()
gateway = Gateway()
module_lock = threading.Lock()
"""
    module = type(sys)("execnet.imagined")
    exec(source, vars(module))  # noqa: S102 - a module of another package
    sys.modules[module.__name__] = module
    gateway: Any = module.gateway
    before = [
        gateway.lock,
        gateway.event._cond._lock,
        gateway.sleep,
        gateway.queue,
        module.module_lock,
    ]

    try:
        with adopting():
            now = [
                gateway.lock,
                gateway.event._cond._lock,
                gateway.sleep,
                gateway.queue,
                module.module_lock,
            ]
    finally:
        del sys.modules[module.__name__]

    assert all(one is other for one, other in zip(before, now, strict=True))


def test_asyncio_s_own_are_left_to_the_table() -> None:
    """A run over asyncio with an adopted lock works, and its locals are restored."""

    def body() -> float:
        async def main() -> float:
            await asyncio.sleep(3)
            with GLOBAL:
                return time.monotonic()

        return asyncio.run(main())

    assert explore(body, 5) == [3.0] * 5


# --- names ----------------------------------------------------------------------------------------


def names_of_locks(scenario: Callable[[], object], *, early: bool) -> list[str]:
    """Return the names of the sites that a rule meets at locks, in order, each once."""
    met: list[str] = []

    def rule(site: Site) -> Verdict:
        if site.kind == "lock":
            met.append(site.name)
        return Pass()

    def body(sim: Any) -> None:
        met.clear()
        if early:
            sim.inject(rule)
        made = threading.Lock(), threading.Event()
        if not early:
            sim.inject(rule)
        with made[0]:
            pass
        made[1].is_set()
        made[1].set()
        scenario()

    assert explore_all(body, schedules=1).verdict == "holds"
    return list(dict.fromkeys(met))


@pytest.mark.parametrize("early", [True, False])
def test_a_lock_is_named_by_where_it_was_made_or_found(*, early: bool) -> None:
    """A rule can tell locks apart; also those made before it was installed, and before the run."""

    def use_what_was_made_before() -> None:
        for lock in (GLOBAL, Plain.shared, PLAIN.lock, SLOTTED.lock, CONDITION, JOBS.not_empty):
            with lock:
                pass
        EVENT.set()
        EVENT.clear()

    line = names_of_locks.__code__.co_firstlineno + 13
    module = __name__

    assert names_of_locks(use_what_was_made_before, early=early) == [
        f"lock made at test_adoption.py:{line}",
        f"{module}.GLOBAL",
        f"{module}.Plain.shared",
        "Plain.lock",
        "Slotted.lock",
        f"{module}.CONDITION",
        f"{module}.JOBS",
        f"{module}.EVENT",
    ]
