"""A deadlock of some is seen while others go on; who could still be helped is not called stuck."""

from __future__ import annotations

import _thread
import asyncio
import contextvars
import queue
import sys
import threading
import time
import types
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from harness import Cancel, Crash, EndsCancelled, Hang, Pass, Site, Verdict, explore
from harness.world.fibers import current_world
from harness.world.stuck import stuck_for_ever


def _ticking() -> None:
    while True:
        time.sleep(1)


def _crosswise(sim: Any, first: Any, second: Any, ticking: Any) -> None:
    """Two take two locks crosswise while a third goes on for ever."""
    sim.background("ticker")
    threading.Thread(target=ticking, name="ticker", daemon=True).start()
    have_one = threading.Barrier(2)

    def take(mine: Any, other: Any) -> None:
        with mine:
            have_one.wait()
            with other:
                pass

    workers = (
        threading.Thread(target=take, args=(first, second), name="left"),
        threading.Thread(target=take, args=(second, first), name="right"),
    )
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def test_a_circle_is_a_deadlock_though_a_ticker_keeps_time_moving() -> None:
    """The two are named; the ticker, which could run for ever, is not."""

    def program(sim: Any) -> None:
        _crosswise(sim, threading.Lock(), threading.Lock(), _ticking)

    violation = explore(program, schedules=1).violation

    assert violation is not None
    assert violation.check == "Deadlock"
    assert violation.summary.startswith("'left' and 'right' wait for each other")


def test_reentrant_locks_need_no_look_at_who_could_reach_them() -> None:
    """Nobody but its owner can release one."""
    first, second = threading.RLock(), threading.RLock()

    def program(sim: Any) -> None:
        _crosswise(sim, first, second, _ticking)

    assert explore(program, schedules=1).verdict == "Deadlock"


def test_a_circle_that_somebody_else_can_open_is_none() -> None:
    """The one who ticks releases one of the locks in the end."""

    def program(sim: Any) -> None:
        first, second = threading.Lock(), threading.Lock()

        def ticking() -> None:
            for _ in range(200):
                time.sleep(1)
            second.release()

        sim.background("ticker")
        threading.Thread(target=ticking, name="ticker", daemon=True).start()
        have_both = threading.Barrier(2)

        def left() -> None:
            first.acquire()
            have_both.wait()
            second.acquire()
            first.release()

        def right() -> None:
            second.acquire()
            have_both.wait()
            first.acquire()

        workers = threading.Thread(target=left), threading.Thread(target=right)
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    assert explore(program, schedules=1).verdict == "holds"


# --- the main thread waits for what nobody will do ------------------------------------------------

ORDERS: queue.Queue[str] = queue.Queue()


class Order:
    """Somebody waits for it."""

    def __init__(self) -> None:
        self.is_there = threading.Event()

    def tell(self, _: object) -> None:
        """Wake who waits for it."""
        self.is_there.set()

    def tell_late(self) -> None:
        """As above, after a while."""
        _pass_time()
        self.is_there.set()


CURRENT: contextvars.ContextVar[Order] = contextvars.ContextVar("CURRENT")
OF_THREADS: Any = threading.local()


class OfThreads(threading.local):
    """What each thread has."""


OF_ITS_CLASS: Any = OfThreads()


def _counting() -> None:
    """Change something every second, for ever."""
    count = [0]
    while True:
        time.sleep(1)
        count[0] += 1


def _beside(sim: Any, other: Callable[[], object], *targets: Callable[[], object]) -> None:
    """Wait for threads while another one goes on."""
    sim.background("other")
    threading.Thread(target=other, name="other", daemon=True).start()
    waiting = [threading.Thread(target=each, name=each.__name__) for each in targets]
    for each in waiting:
        each.start()
    for each in waiting:
        each.join()


def a_holder_that_is_gone(sim: Any) -> None:
    """One ends with the lock for which another one waits."""
    _left_held(sim, threading.Lock(), _counting)


def a_holder_that_is_gone_with_a_reentrant_lock(sim: Any) -> None:
    """As above; that only its owner could give back, though the other one has it in reach."""
    lock = threading.RLock()

    def look() -> None:
        while lock:
            time.sleep(1)

    _left_held(sim, lock, look)


def _left_held(sim: Any, lock: Any, other: Callable[[], None]) -> None:
    taken = threading.Event()

    def leave() -> None:
        lock.acquire()
        taken.set()

    def wait() -> None:
        taken.wait()
        with lock:
            pass

    _beside(sim, other, leave, wait)


def a_queue_that_nobody_fills(sim: Any) -> None:
    """It has no name but in the thread that waits."""
    orders: queue.Queue[str] = queue.Queue()
    _beside(sim, _counting, orders.get)


def two_of_whom_each_waits_for_the_event_of_the_other(sim: Any) -> None:
    """Nobody holds anything: no circle of locks says so."""
    first, second = threading.Event(), threading.Event()

    def left() -> None:
        first.wait()
        second.set()

    def right() -> None:
        second.wait()
        first.set()

    _beside(sim, _counting, left, right)


class Shop:
    """Two locks, taken crosswise, and a thread that has both within reach and gives back none."""

    def __init__(self) -> None:
        self.till, self.shelf = threading.Lock(), threading.Lock()
        self.days = 0
        self.both = threading.Barrier(2)

    def sell(self) -> None:
        """Take one lock, then the other."""
        with self.till:
            self.both.wait()
            with self.shelf:
                pass

    def fill(self) -> None:
        """Take them the other way round."""
        with self.shelf:
            self.both.wait()
            with self.till:
                pass

    def count(self) -> None:
        """Change something every day."""
        while True:
            time.sleep(1)
            self.days += 1


def a_circle_of_locks_of_somebody_who_goes_on(sim: Any) -> None:
    """He has them, too; but none of his code gives back a lock that it has not taken."""
    shop = Shop()
    _beside(sim, shop.count, shop.sell, shop.fill)


async def _counting_on() -> None:
    count = [0]
    while True:
        await asyncio.sleep(1)
        count[0] += 1


async def a_task_whose_future_nobody_has(sim: Any) -> None:
    """The loop goes on, for another task of it."""
    sim.background("other")
    other = asyncio.create_task(_counting_on(), name="other")
    await asyncio.get_running_loop().create_future()
    other.cancel()


async def tasks_that_wait_for_each_other(sim: Any) -> None:
    """Each for what the other would put into its queue."""
    sim.background("other")
    left: asyncio.Queue[int] = asyncio.Queue()
    right: asyncio.Queue[int] = asyncio.Queue()

    async def carry(source: asyncio.Queue[int], target: asyncio.Queue[int]) -> None:
        target.put_nowait(await source.get())

    other = asyncio.create_task(_counting_on(), name="other")
    tasks = (
        asyncio.create_task(carry(left, right), name="there"),
        asyncio.create_task(carry(right, left), name="back"),
    )
    await asyncio.gather(*tasks)
    other.cancel()


def a_holder_that_has_crashed(sim: Any) -> None:
    """It will never come to where it gives the lock back."""
    _struck(sim, Crash())


def a_holder_that_hangs(sim: Any) -> None:
    """As above."""
    _struck(sim, Hang())


def _struck(sim: Any, verdict: Verdict) -> None:
    lock, other_lock = threading.RLock(), threading.Lock()
    taken = threading.Event()

    def keep() -> None:
        with lock:
            taken.set()
            with other_lock:
                time.sleep(1)

    def wait() -> None:
        taken.wait()
        with lock:
            pass

    def strike(site: Site) -> Verdict:
        is_second = site.kind == "lock" and site.who == "keep" and taken.is_set()
        return verdict if is_second else Pass()

    sim.inject(strike)
    _beside(sim, _counting, keep, wait)


def a_storm_of_one_who_waits(sim: Any) -> None:
    """The main thread waits for the end of the storm."""
    sim.background("other")
    threading.Thread(target=_counting, name="other", daemon=True).start()
    orders: queue.Queue[str] = queue.Queue()
    with sim.storm() as storm:
        storm.spawn(orders.get)


@pytest.mark.parametrize(
    "program",
    [
        a_holder_that_is_gone,
        a_holder_that_has_crashed,
        a_holder_that_hangs,
        a_storm_of_one_who_waits,
        a_holder_that_is_gone_with_a_reentrant_lock,
        a_queue_that_nobody_fills,
        two_of_whom_each_waits_for_the_event_of_the_other,
    ],
)
def test_who_cannot_be_woken_is_named_though_others_go_on(program: Callable[[Any], None]) -> None:
    """And whoever goes on is not, however much he changes."""
    # Whether a fault strikes is a choice.
    violation = explore(program, schedules=50).violation

    assert violation is not None
    assert violation.check == "Deadlock"
    assert violation.summary.startswith("'MainThread', '")
    assert violation.summary.endswith(
        "wait for ever: none of those who go on has what would wake them."
    )
    assert "'other'" not in violation.summary


def test_a_circle_counts_though_somebody_has_the_locks_who_gives_back_none() -> None:
    """Whatever he changes meanwhile."""
    violation = explore(a_circle_of_locks_of_somebody_who_goes_on, schedules=1).violation

    assert violation is not None
    assert violation.check == "Deadlock"
    assert violation.summary.startswith("'sell' and 'fill' wait for each other")


@pytest.mark.parametrize(
    ("program", "names"),
    [
        (a_task_whose_future_nobody_has, "'Task-1'"),
        (tasks_that_wait_for_each_other, "'Task-1', 'there', 'back'"),
    ],
)
def test_tasks_that_cannot_be_woken_are_named_though_their_loop_goes_on(
    program: Callable[[Any], Any], names: str
) -> None:
    """The thread of the loop is not."""
    violation = explore(program, schedules=1).violation

    assert violation is not None
    assert violation.check == "Deadlock"
    assert violation.summary.startswith(f"{names} wait")


def test_a_promise_that_is_broken_by_waiting_is_named_first() -> None:
    """It says why, where a deadlock only says who."""

    async def program(sim: Any) -> None:
        sim.background("other")
        never = asyncio.Event()

        async def worker() -> None:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(1)
                return
            await never.wait()

        def strike(site: Site) -> Verdict:
            return Cancel() if (site.kind, site.who) == ("await", "worker") else Pass()

        other = asyncio.create_task(_counting_on(), name="other")
        sim.inject(strike)
        async with sim.storm(EndsCancelled()) as storm:
            storm.spawn(worker)
        other.cancel()

    violation = explore(program, schedules=50).violation

    assert violation is not None
    assert violation.check == "EndsCancelled"


def test_who_has_not_begun_may_wake_others() -> None:
    """What a thread that was just started will do is nowhere but in itself."""
    looks: list[list[str]] = []

    def program(sim: Any) -> None:
        orders = [Order()]

        def tell() -> None:
            _thread.start_new_thread(orders.pop().is_there.set, ())
            # Nobody else has run yet.
            world = current_world()
            stuck = stuck_for_ever(world)
            looks.append(stuck.names)

        _told(sim, orders, tell)

    assert explore(program, schedules=1).verdict == "holds"
    assert looks
    assert not any(looks)


def _pass_time() -> None:
    """Sleep so often that it is looked who waits."""
    for _ in range(1_100):
        time.sleep(1)


def _told(sim: Any, orders: list[Order], tell: Callable[[], None]) -> None:
    """Wait for an order that only one has who goes on, and only he will tell."""
    sim.background("other")
    waiter: Any = threading.Thread(target=orders[0].is_there.wait, name="waiter")
    waiter.order = orders[0]
    waiter.start()
    threading.Thread(target=tell, name="other", daemon=True).start()
    orders = []
    waiter.join()


def _late(act: Callable[[], object]) -> Callable[[], None]:
    def other() -> None:
        _pass_time()
        act()

    return other


def in_a_closure(sim: Any) -> None:
    """Who goes on has the queue itself."""
    orders: queue.Queue[str] = queue.Queue()
    _beside(sim, _late(lambda: orders.put("tea")), orders.get)


def in_a_module(sim: Any) -> None:
    """The queue has a name that everybody may use."""
    _beside(sim, _late(lambda: ORDERS.put("tea")), ORDERS.get)


def behind_a_weak_reference(sim: Any) -> None:
    """Who goes on finds it as long as somebody else keeps it."""
    order = Order()
    known = weakref.WeakSet([order])

    def tell() -> None:
        for each in known:
            each.is_there.set()

    _beside(sim, _late(tell), order.is_there.wait)


def in_a_timer(sim: Any) -> None:
    """A thread that waits for its time has it."""
    order = Order()
    threading.Timer(1_500, order.is_there.set).start()
    _beside(sim, _late(time.time), order.is_there.wait)


def in_a_loop(sim: Any) -> None:
    """What a loop will call has it, and nobody else."""
    order = Order()

    async def keep_time() -> None:
        asyncio.get_running_loop().call_later(1_050, order.is_there.set)
        for _ in range(1_100):
            await asyncio.sleep(1)

    _beside(sim, _late(time.time), lambda: asyncio.run(keep_time()), order.is_there.wait)


def in_the_hands_of_who_is_asleep(sim: Any) -> None:
    """Its owner will give it back."""
    lock = threading.RLock()
    taken = threading.Event()

    def keep() -> None:
        with lock:
            taken.set()
            _pass_time()

    def wait() -> None:
        taken.wait()
        with lock:
            pass

    _beside(sim, _late(time.time), keep, wait)


def in_a_list_without_a_name(sim: Any) -> None:
    """It is gone through, and in no variable."""
    orders = [Order()]

    def tell() -> None:
        for each in [orders.pop()].copy():
            _pass_time()
            each.is_there.set()

    _told(sim, orders, tell)


def below_what_is_worked_out_first(sim: Any) -> None:
    """Its method is looked up before its argument is known."""
    orders = [Order()]

    def tell() -> None:
        orders.pop().tell(_pass_time())

    _told(sim, orders, tell)


def in_the_hands_of_c(sim: Any) -> None:
    """`map` holds the list that it goes through."""
    orders = [Order()]

    def tell() -> None:
        list(map(Order.tell_late, [orders.pop()]))

    _told(sim, orders, tell)


def in_a_generator(sim: Any) -> None:
    """It is in a variable of what stands still meanwhile."""
    orders = [Order()]

    def telling(order: Order) -> Iterator[None]:
        yield
        order.is_there.set()

    def tell() -> None:
        steps = telling(orders.pop())
        next(steps)
        _pass_time()
        next(steps, None)

    _told(sim, orders, tell)


def in_a_context(sim: Any) -> None:
    """A variable of the context of who goes on has it."""
    orders = [Order()]

    def tell() -> None:
        CURRENT.set(orders.pop())
        _pass_time()
        CURRENT.get().is_there.set()

    _told(sim, orders, tell)


def in_a_thread_local(sim: Any) -> None:
    """Each thread has its own."""
    orders = [Order()]

    def tell() -> None:
        OF_THREADS.order = orders.pop()
        _pass_time()
        OF_THREADS.order.is_there.set()

    _told(sim, orders, tell)


def in_a_thread_local_of_its_own_class(sim: Any) -> None:
    """As above."""
    orders = [Order()]

    def tell() -> None:
        OF_ITS_CLASS.order = orders.pop()
        # Another one looks at his own.
        another = threading.Thread(target=lambda: hasattr(OF_ITS_CLASS, "order"))
        another.start()
        another.join()
        _pass_time()
        OF_ITS_CLASS.order.is_there.set()

    _told(sim, orders, tell)


def in_a_finaliser(sim: Any) -> None:
    """It is called when something goes that who goes on has."""
    orders = [Order()]

    def tell() -> None:
        something = Order()
        weakref.finalize(something, orders.pop().is_there.set)
        _pass_time()
        del something

    _told(sim, orders, tell)


def among_all_threads(sim: Any) -> None:
    """Who goes on looks for whoever has one."""
    orders = [Order()]

    def tell() -> None:
        orders.clear()
        _pass_time()
        for each in threading.enumerate():
            if hasattr(each, "order"):
                each.order.is_there.set()

    _told(sim, orders, tell)


def by_the_name_of_a_module(sim: Any) -> None:
    """It is imported when it is needed."""
    orders = [Order()]
    module: Any = types.ModuleType("shop_of_today")
    module.__file__ = __file__
    module.order = orders[0]
    sys.modules["shop_of_today"] = module
    del module

    def tell() -> None:
        orders.clear()
        _pass_time()
        from shop_of_today import order

        order.is_there.set()

    try:
        _told(sim, orders, tell)
    finally:
        del sys.modules["shop_of_today"]


def by_a_name_that_is_worked_out(sim: Any) -> None:
    """Nothing that is written down is the name of it."""
    orders = [Order()]
    globals()["ORDER" + "_OF_TODAY"] = orders[0]

    def tell() -> None:
        orders.clear()
        _pass_time()
        globals()["ORDER" + "_OF_TODAY"].is_there.set()

    try:
        _told(sim, orders, tell)
    finally:
        del globals()["ORDER_OF_TODAY"]


def on_a_class(sim: Any) -> None:
    """Inherited, and used by a method."""
    orders = [Order()]

    class Shop:
        order = orders[0]

    class Bakery(Shop):
        @classmethod
        def tell(cls) -> None:
            orders.clear()
            _pass_time()
            cls.order.is_there.set()

    bakery = Bakery()
    del Shop, Bakery
    _told(sim, orders, bakery.tell)


def a_lock_that_somebody_else_gives_back(sim: Any) -> None:
    """Who took it is gone, and has left word how."""
    lock = threading.Lock()
    left: list[Callable[[], None]] = []
    taken = threading.Event()

    def leave() -> None:
        lock.acquire()
        left.append(lock.release)
        taken.set()

    def wait() -> None:
        taken.wait()
        with lock:
            pass

    def give_back() -> None:
        taken.wait()
        _pass_time()
        left[0]()

    _beside(sim, give_back, leave, wait)


class Pool:
    """It has a worker."""

    def __init__(self) -> None:
        self.work: queue.Queue[int] = queue.Queue()
        threading.Thread(target=self.work.get, name="worker", daemon=True).start()


async def a_task_that_is_cancelled(sim: Any) -> None:
    """Nobody has what it waits for, but somebody has the task."""
    sim.background("other")

    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    async def give_up(task: asyncio.Task[None]) -> None:
        for _ in range(1_100):
            await asyncio.sleep(1)
        task.cancel()

    waiting = asyncio.create_task(wait())
    giving_up = asyncio.create_task(give_up(waiting))
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await giving_up


async def a_future_that_a_thread_completes(sim: Any) -> None:
    """The loop has nothing to do with it."""
    sim.background("other")
    loop = asyncio.get_running_loop()
    other = asyncio.create_task(_counting_on(), name="other")
    await loop.run_in_executor(None, _pass_time)
    other.cancel()


@pytest.mark.parametrize(
    "program",
    [
        in_a_closure,
        in_a_module,
        behind_a_weak_reference,
        in_a_timer,
        in_a_loop,
        in_the_hands_of_who_is_asleep,
        in_a_list_without_a_name,
        below_what_is_worked_out_first,
        in_the_hands_of_c,
        in_a_generator,
        in_a_context,
        in_a_thread_local,
        in_a_thread_local_of_its_own_class,
        in_a_finaliser,
        among_all_threads,
        by_the_name_of_a_module,
        by_a_name_that_is_worked_out,
        on_a_class,
        a_lock_that_somebody_else_gives_back,
        a_task_that_is_cancelled,
        a_future_that_a_thread_completes,
    ],
)
def test_who_may_still_be_woken_is_not_stuck(program: Callable[[Any], None]) -> None:
    """Whatever leads from who goes on to what is waited for."""
    found = explore(program, schedules=1)

    assert found.verdict == "holds", str(found.violation)


def a_worker_that_nobody_has(sim: Any) -> None:
    """The main thread goes on, and ends."""
    Pool()
    _pass_time()


def test_a_worker_that_nobody_will_wake_is_left_to_the_end() -> None:
    """It is left over then, and called that."""
    assert explore(a_worker_that_nobody_has, schedules=1).verdict == "LeakBound"
