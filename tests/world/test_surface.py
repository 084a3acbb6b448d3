"""What of the standard library works inside a run: one program a name, inside as outside.

A program is a plain function over the standard library. It runs for real once, and inside under
twenty schedules, and must return the same everywhere. Where real time or chance would show, the
expected value stands beside the program.
"""
# ruff: noqa: PLW0108 - a lambda looks its function up when it is called, as code under test does.

from __future__ import annotations

import _socket
import _thread
import asyncio
import concurrent.futures
import contextvars
import dataclasses
import datetime
import functools
import io
import itertools
import logging
import multiprocessing
import multiprocessing.connection
import multiprocessing.shared_memory
import os
import queue
import random
import secrets
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import types
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime as captured_datetime
from queue import Queue as CapturedQueue
from threading import Condition as CapturedCondition
from threading import Event as CapturedEvent
from threading import Lock as CapturedLock
from threading import RLock as CapturedRLock
from threading import Thread as CapturedThread
from threading import local as captured_local
from time import monotonic as captured_monotonic
from time import sleep as captured_sleep
from typing import Any

import pytest

from harness.core.tape import replayed
from harness.errors import HarnessError, Unsupported
from harness.explore import explore
from harness.world.fibers import World
from harness.world.ground import prepared
from harness.world.refusals import refusals

pytestmark = pytest.mark.one_ground

SCHEDULES = 20

AS_OUTSIDE = object()


@dataclasses.dataclass(frozen=True)
class Program:
    """One name of the surface, the lines that use it, and what they return."""

    name: str
    lines: Callable[[], Any]
    expected: Any


SURFACE: list[Program] = []


def surface(
    name: str, *, expected: Any = AS_OUTSIDE, since: tuple[int, int] = (3, 11)
) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """Put a program on the list; on interpreters before `since` the name does not exist."""

    def add(lines: Callable[[], Any]) -> Callable[[], Any]:
        if sys.version_info >= since:
            SURFACE.append(Program(name, lines, expected))
        return lines

    return add


def inside(lines: Callable[[], Any], **settings: Any) -> list[Any]:
    """Return what `lines` returns inside, under each of many schedules; all of them must hold."""
    returned: list[Any] = []

    def scenario(sim: object) -> None:
        returned.append(lines())

    settings.setdefault("schedules", SCHEDULES)
    # Twenty of them, though some are alike: other strategies leave those out.
    exploration = explore(scenario, strategy="random", **settings)
    exploration.raise_for_violation()
    assert exploration.verdict == "holds"
    return returned


def run_threads(*targets: Callable[[], Any]) -> list[threading.Thread]:
    """Start a thread for each target and join them all."""
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return threads


# --- threads --------------------------------------------------------------------------------------


@surface("Thread")
def threads_run_and_are_joined() -> Any:
    """Target, arguments, name, ident, native id, is_alive before, while and after."""
    seen = []
    go = threading.Event()

    def target(word: str, *, loud: bool) -> None:
        go.wait()
        me = threading.current_thread()
        seen.append((word, loud, me.name, me.ident == threading.get_ident(), me is thread))

    thread = threading.Thread(
        target=target, args=("hello",), kwargs={"loud": True}, name="caller-7"
    )
    before = thread.is_alive(), thread.ident
    thread.start()
    alive = thread.is_alive(), thread.ident is not None, isinstance(thread.native_id, int)
    go.set()
    thread.join()
    return before, alive, thread.is_alive(), seen


@surface("Thread subclass")
def a_subclass_runs_its_own_run() -> Any:
    """`run` overridden, `super().__init__` called, the result kept on the thread."""

    class Caller(threading.Thread):
        def __init__(self, number: int) -> None:
            super().__init__(name=f"caller-{number}")
            self.number = number
            self.result = 0

        def run(self) -> None:
            self.result = self.number * 2

    callers = [Caller(number) for number in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    return [(caller.name, caller.result) for caller in callers]


@surface("Thread started by the code under test")
def threads_start_threads() -> Any:
    """A thread starts a thread that starts a thread; all are joined by whoever started them."""
    seen = []

    def level(depth: int) -> None:
        if depth:
            run_threads(functools.partial(level, depth - 1))
        seen.append(depth)

    level(3)
    return seen


@surface("Thread misuse")
def wrong_uses_of_a_thread_raise_as_ever() -> Any:
    """Join before start, start twice, join oneself: the real errors."""
    thread = threading.Thread(target=lambda: None)
    raised = [raised_by(thread.join)]
    thread.start()
    raised.append(raised_by(thread.start))
    thread.join()
    raised.append(raised_by(threading.current_thread().join))
    return raised


def raised_by(function: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    """Return class and text of what a call raises."""
    try:
        function(*args, **kwargs)
    except Exception as exc:
        return f"{type(exc).__name__}: {exc}"
    return "nothing"


@surface("Thread.join(timeout)", expected=(True, 2.0, False, 5.0))
def joining_takes_at_most_its_timeout() -> Any:
    """A join gives up at its deadline, and a second one sees the end."""
    thread = threading.Thread(target=time.sleep, args=(5,))
    thread.start()
    thread.join(2)
    first = thread.is_alive(), time.monotonic()
    thread.join(100)
    return (*first, thread.is_alive(), time.monotonic())


@surface("Timer", expected=["fired with True at 30.0"])
def timers_fire_or_are_cancelled() -> Any:
    """One fires at its time, one is cancelled before."""
    seen: list[str] = []

    def fire(*, word: bool) -> None:
        seen.append(f"fired with {word} at {time.monotonic()}")

    timer = threading.Timer(30, fire, kwargs={"word": True})
    cancelled = threading.Timer(20, seen.append, ["never"])
    timer.start()
    cancelled.start()
    time.sleep(10)
    cancelled.cancel()
    timer.join()
    cancelled.join()
    return seen


@surface("Lock")
def a_lock_excludes() -> Any:
    """Mutual exclusion, `locked`, try-lock, release by another thread, and the real errors."""
    lock = threading.Lock()
    counter = 0

    def count() -> None:
        nonlocal counter
        for _ in range(3):
            with lock:
                counter += 1

    run_threads(count, count, count)
    held = lock.acquire()
    tried = lock.acquire(blocking=False), lock.acquire(timeout=0), lock.locked()
    run_threads(lock.release)
    return (
        counter,
        held,
        tried,
        lock.locked(),
        raised_by(lock.release),
        raised_by(lock.acquire, False, 1),
        raised_by(lock.acquire, True, -2),
        raised_by(lock.acquire, True, "soon"),
        raised_by(lock.acquire, True, 1e300),
    )


@surface("Lock.acquire(timeout)", expected=(False, 3.0, True, 10.0))
def a_lock_is_waited_for_in_virtual_time() -> Any:
    """A waiter gives up at its deadline; another gets the lock when it is given back."""
    lock = threading.Lock()

    def hold() -> None:
        with lock:
            time.sleep(10)

    holder = threading.Thread(target=hold)
    holder.start()
    while not lock.locked():
        time.sleep(0)
    first = lock.acquire(timeout=3), time.monotonic()
    second = lock.acquire(timeout=30), time.monotonic()
    holder.join()
    return (*first, *second)


@surface("RLock")
def a_reentrant_lock_is_reentrant() -> Any:
    """Its owner takes it again, others do not, and only the owner gives it back."""
    lock = threading.RLock()
    seen: list[Any] = []

    def other() -> None:
        seen.append(lock.acquire(blocking=False))
        seen.append(raised_by(lock.release))

    with lock, lock:
        run_threads(other)
    run_threads(lambda: seen.append(lock.acquire(blocking=False)) or lock.release())
    return seen, raised_by(lock.release), raised_by(lock.acquire, False, 1)


@surface("RLock excludes")
def a_reentrant_lock_excludes_others() -> Any:
    """A counter under nested sections loses nothing."""
    lock = threading.RLock()
    counter = 0

    def count() -> None:
        nonlocal counter
        for _ in range(3):
            with lock, lock:
                counter += 1

    run_threads(count, count)
    return counter


@surface("Condition")
def a_condition_hands_over() -> Any:
    """Wait for a predicate, notify one, notify all; a plain lock and a re-entrant one."""
    conditions = [threading.Condition(), threading.Condition(threading.Lock())]
    results = [handed_over(condition) for condition in conditions]
    unheld = threading.Condition()
    return results, raised_by(unheld.wait), raised_by(unheld.notify)


def handed_over(condition: threading.Condition) -> list[int]:
    """Hand three items to three threads."""
    items: list[int] = []
    taken: list[int] = []

    def take() -> None:
        with condition:
            condition.wait_for(lambda: items)
            taken.append(items.pop())
            condition.notify_all()

    takers = [threading.Thread(target=take) for _ in range(3)]
    for taker in takers:
        taker.start()
    for number in range(3):
        with condition:
            items.append(number)
            condition.notify()
    for taker in takers:
        taker.join()
    return sorted(taken)


@surface("Condition.wait(timeout)", expected=(False, 5.0, False, 7.0))
def a_condition_is_waited_for_in_virtual_time() -> Any:
    """Nobody notifies: False at the deadline."""
    condition = threading.Condition()
    with condition:
        first = condition.wait(5), time.monotonic()
        second = condition.wait_for(lambda: False, timeout=2), time.monotonic()
    return (*first, *second)


@surface("Event")
def an_event_wakes_everyone() -> Any:
    """Three wait, one sets; clear makes it as new; a wait without patience says what is."""
    event = threading.Event()
    seen: list[bool] = []

    def wait() -> None:
        seen.append(event.wait())

    waiters = [threading.Thread(target=wait) for _ in range(3)]
    for waiter in waiters:
        waiter.start()
    event.set()
    for waiter in waiters:
        waiter.join()
    was_set = event.is_set()
    event.clear()
    return seen, was_set, event.is_set(), event.wait(0)


@surface("Event.wait(timeout)", expected=(False, 2.0, True, 10.0))
def an_event_is_waited_for_in_virtual_time() -> Any:
    """False at the deadline, True when it is set."""
    event = threading.Event()
    timer = threading.Timer(10, event.set)
    timer.start()
    first = event.wait(2), time.monotonic()
    second = event.wait(30), time.monotonic()
    timer.join()
    return (*first, *second)


@surface("Semaphore")
def a_semaphore_bounds() -> Any:
    """At most two inside, release by several, and a try that fails."""
    semaphore = threading.Semaphore(2)
    inside_now = most = 0
    lock = threading.Lock()

    def enter() -> None:
        nonlocal inside_now, most
        with semaphore:
            with lock:
                inside_now += 1
                most = max(most, inside_now)
            with lock:
                inside_now -= 1

    run_threads(*[enter] * 5)
    taken = semaphore.acquire(), semaphore.acquire(), semaphore.acquire(blocking=False)
    semaphore.release(2)
    return most <= 2, inside_now, taken, raised_by(threading.Semaphore, -1)


@surface("BoundedSemaphore")
def a_bounded_semaphore_refuses_to_grow() -> Any:
    """One release too many is an error."""
    semaphore = threading.BoundedSemaphore(1)
    with semaphore:
        tried = semaphore.acquire(blocking=False)
    return tried, raised_by(semaphore.release)


@surface("Barrier")
def a_barrier_lets_all_pass_at_once() -> Any:
    """Three threads, twice; one index each; the action runs once a turn."""
    turns: list[int] = []
    barrier = threading.Barrier(3, action=lambda: turns.append(len(arrived)))
    arrived: list[int] = []
    indexes: list[int] = []

    def pass_twice() -> None:
        for _ in range(2):
            arrived.append(1)
            indexes.append(barrier.wait())

    run_threads(pass_twice, pass_twice, pass_twice)
    return turns[0] >= 3, turns[1], sorted(indexes), barrier.parties, barrier.n_waiting


@surface("Barrier broken", expected=("BrokenBarrierError: ", 4.0, True, False))
def a_barrier_breaks() -> Any:
    """Nobody else comes: the wait breaks the barrier at its deadline, reset mends it."""
    barrier = threading.Barrier(2)
    raised = raised_by(barrier.wait, 4)
    was_broken = barrier.broken
    barrier.reset()
    return raised, time.monotonic(), was_broken, barrier.broken


@surface("local")
def a_local_is_each_threads_own() -> Any:
    """What one thread stores, another does not see; delete and `__dict__` work."""
    mine = threading.local()
    mine.word = "main"
    seen: list[Any] = []

    def store(number: int) -> None:
        seen.append(hasattr(mine, "word"))
        mine.word = number
        seen.append(mine.word == number and mine.__dict__ == {"word": number})
        del mine.word
        seen.append(raised_by(getattr, mine, "word").startswith("AttributeError"))

    run_threads(*[functools.partial(store, number) for number in range(3)])
    return sorted(seen), mine.word, vars(mine), raised_by(setattr, mine, "__dict__", {})


@surface("local subclass")
def a_local_subclass_is_initialised_in_each_thread() -> Any:
    """`__init__` runs once for each thread that looks, with the same arguments."""
    made: list[str] = []

    class Mine(threading.local):
        kind = "shared"
        number = 0

        def __init__(self, word: str) -> None:
            made.append(word)
            self.items = [word]

        @property
        def first(self) -> str:
            return self.items[0]

    mine = Mine("hello")
    lengths: list[int] = []

    def use() -> None:
        mine.items.append("more")
        mine.number += 1
        lengths.append(len(mine.items) + mine.number)

    run_threads(use, use)
    return made, lengths, mine.items, mine.first, mine.kind, mine.number


@surface("excepthook")
def an_excepthook_sees_what_threads_die_of() -> Any:
    """A hook set by the code under test is called with type, value and thread."""
    seen: list[Any] = []

    def hook(args: Any) -> None:
        seen.append((args.exc_type, str(args.exc_value), args.thread.name))

    def die() -> None:
        raise ValueError("no such article")

    before = threading.excepthook
    threading.excepthook = hook
    try:
        thread = threading.Thread(target=die, name="caller-1")
        thread.start()
        thread.join()
    finally:
        threading.excepthook = before
    return seen


@surface("daemon")
def daemons_are_inherited() -> Any:
    """A daemon's child is one too, unless it says otherwise; a started thread cannot change."""
    seen: list[bool] = []

    def child() -> None:
        seen.append(threading.current_thread().daemon)

    def parent() -> None:
        run_threads(child)
        stubborn = threading.Thread(target=child, daemon=False)
        stubborn.start()
        stubborn.join()
        seen.append(raised_by(setattr, threading.current_thread(), "daemon", False) != "nothing")

    thread = threading.Thread(target=parent, daemon=True)
    thread.start()
    thread.join()
    return seen, threading.main_thread().daemon


@surface("enumerate")
def everyone_alive_is_enumerated() -> Any:
    """`enumerate` and `active_count` see those that run, and no longer those that ended."""
    go = threading.Event()
    before = set(threading.enumerate())
    threads = [threading.Thread(target=go.wait, name=f"caller-{number}") for number in range(3)]
    for thread in threads:
        thread.start()
    names = sorted(thread.name for thread in set(threading.enumerate()) - before)
    count = threading.active_count() - len(before)
    go.set()
    for thread in threads:
        thread.join()
    return names, count, set(threading.enumerate()) == before


@surface("main_thread")
def the_main_thread_is_the_main_thread() -> Any:
    """Inside, the scenario runs as the main thread, and its children know it."""
    seen: list[bool] = []

    def look() -> None:
        seen.append(threading.main_thread() is main)
        seen.append(threading.current_thread() is main)

    main = threading.current_thread()
    run_threads(look)
    return main is threading.main_thread(), main.name, main.ident == threading.get_ident(), seen


@surface("thread names")
def threads_are_named_as_ever() -> Any:
    """Names of unnamed threads end with the name of their target."""
    threads = run_threads(threads_nothing, threads_nothing)
    return [thread.name.partition(" ")[2] for thread in threads]


def threads_nothing() -> None:
    """Do nothing."""


@surface("contextvars")
def a_thread_starts_with_an_empty_context() -> Any:
    """A context variable set in one thread is not seen in another; copies are."""
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("main")
    seen: list[str] = []

    def look() -> None:
        seen.append(variable.get())
        variable.set("thread")
        time.sleep(0)
        seen.append(variable.get())

    run_threads(look)
    copy = contextvars.copy_context()
    run_threads(lambda: copy.run(lambda: seen.append(variable.get())))
    return seen, variable.get()


# --- queue ----------------------------------------------------------------------------------------


@surface("queue.Queue")
def a_queue_hands_over_in_order() -> Any:
    """One producer, one consumer, capacity 1; `task_done` and `join`."""
    items: queue.Queue[int] = queue.Queue(maxsize=1)
    taken: list[int] = []

    def consume() -> None:
        for _ in range(5):
            taken.append(items.get())
            items.task_done()

    consumer = threading.Thread(target=consume)
    consumer.start()
    for number in range(5):
        items.put(number)
    items.join()
    consumer.join()
    full: queue.Queue[int] = queue.Queue(1)
    full.put_nowait(1)
    return (
        taken,
        items.empty(),
        full.full(),
        raised_by(full.put_nowait, 2),
        raised_by(full.put, 2, timeout=-1),
        raised_by(items.get_nowait),
        raised_by(items.task_done),
    )


@surface("queue.Queue timeouts", expected=("Empty: ", 7.0, "Full: ", 10.0))
def a_queue_is_waited_for_in_virtual_time() -> Any:
    """Empty and Full at their deadlines."""
    items: queue.Queue[int] = queue.Queue(1)
    first = raised_by(items.get, timeout=7), time.monotonic()
    items.put(1)
    second = raised_by(items.put, 2, timeout=3), time.monotonic()
    return (*first, *second)


@surface("queue.LifoQueue")
def a_lifo_queue_is_a_stack() -> Any:
    """Last in, first out."""
    return drained(queue.LifoQueue())


@surface("queue.PriorityQueue")
def a_priority_queue_sorts() -> Any:
    """Smallest first."""
    return drained(queue.PriorityQueue())


@surface("queue.SimpleQueue")
def a_simple_queue_hands_over() -> Any:
    """First in, first out, between threads; the real errors."""
    items: queue.SimpleQueue[int] = queue.SimpleQueue()
    taken: list[int] = []
    consumer = threading.Thread(target=lambda: taken.extend(items.get() for _ in range(3)))
    consumer.start()
    for number in range(3):
        items.put(number)
    consumer.join()
    return (
        taken,
        drained(items),
        items.qsize(),
        raised_by(items.get_nowait),
        raised_by(items.get, timeout=-1),
    )


@surface("queue.SimpleQueue timeout", expected=("Empty: ", 6.0))
def a_simple_queue_is_waited_for_in_virtual_time() -> Any:
    """Empty at the deadline."""
    items: queue.SimpleQueue[int] = queue.SimpleQueue()
    return raised_by(items.get, timeout=6), time.monotonic()


def drained(items: Any) -> list[int]:
    """Put three numbers and take them out."""
    for number in (2, 3, 1):
        items.put(number)
    return [items.get() for _ in range(3)]


@surface("queue.Queue.shutdown", since=(3, 13))
def a_queue_shuts_down() -> Any:
    """Whoever waits is told; what is left can be taken, unless it is immediate."""
    items: Any = queue.Queue()
    raised: list[str] = []
    waiters = [
        threading.Thread(target=lambda: raised.append(raised_by(items.get))) for _ in range(2)
    ]
    for waiter in waiters:
        waiter.start()
    items.shutdown()
    for waiter in waiters:
        waiter.join()
    left: Any = queue.Queue()
    left.put(1)
    left.shutdown()
    gone: Any = queue.LifoQueue()
    gone.put(1)
    gone.shutdown(immediate=True)
    return raised, left.get(), raised_by(left.get), raised_by(left.put, 2), raised_by(gone.get)


# --- concurrent.futures ---------------------------------------------------------------------------


@surface("ThreadPoolExecutor.submit")
def an_executor_runs_jobs() -> Any:
    """Results, exceptions, callbacks and names of workers."""
    done: list[int] = []
    with ThreadPoolExecutor(2, thread_name_prefix="worker") as executor:
        futures = [executor.submit(pow, number, 2) for number in range(4)]
        failing = executor.submit(int, "x")
        futures[0].add_done_callback(lambda future: done.append(future.result()))
        name = executor.submit(lambda: threading.current_thread().name).result()
    return (
        [future.result() for future in futures],
        type(failing.exception()).__name__,
        done,
        name.rpartition("_")[0],
        raised_by(executor.submit, pow, 1, 1),
    )


@surface("ThreadPoolExecutor.map", expected=([0, 1, 4, 9], 2.0))
def an_executor_maps_at_once() -> Any:
    """Four jobs of a second each on two workers take two seconds."""

    def square(number: int) -> int:
        time.sleep(1)
        return number**2

    with ThreadPoolExecutor(2) as executor:
        return list(executor.map(square, range(4))), time.monotonic()


@surface("ThreadPoolExecutor.map(timeout)", expected=("TimeoutError", 2.0, 10.0))
def an_executor_maps_with_a_deadline() -> Any:
    """The iterator gives up at its deadline, the pool still ends its jobs."""
    with ThreadPoolExecutor(1) as executor:
        raised = raised_by(list, executor.map(time.sleep, [10], timeout=2)).partition(":")[0]
        at = time.monotonic()
    return raised, at, time.monotonic()


@surface("ThreadPoolExecutor initializer")
def an_executor_initialises_its_workers() -> Any:
    """Each worker is initialised once; one that fails breaks the pool."""
    ready = threading.local()

    def make_ready() -> None:
        ready.word = "ready"

    logging.getLogger("concurrent.futures").disabled = True
    try:
        with ThreadPoolExecutor(2, initializer=make_ready) as executor:
            words = list(executor.map(lambda _: ready.word, range(3)))
        with ThreadPoolExecutor(1, initializer=int, initargs=("x",)) as broken:
            raised = raised_by(lambda: broken.submit(pow, 1, 1).result()).partition(":")[0]
    finally:
        logging.getLogger("concurrent.futures").disabled = False
    return words, raised


@surface("ThreadPoolExecutor.shutdown(cancel_futures)")
def an_executor_drops_what_it_has_not_begun() -> Any:
    """The job that runs ends, those in the queue are cancelled."""
    began, go = threading.Event(), threading.Event()

    def job() -> str:
        began.set()
        go.wait()
        return "done"

    executor = ThreadPoolExecutor(1)
    first = executor.submit(job)
    others = [executor.submit(job) for _ in range(3)]
    began.wait()
    executor.shutdown(wait=False, cancel_futures=True)
    go.set()
    executor.shutdown(wait=True)
    return first.result(), [future.cancelled() for future in others]


@surface("concurrent.futures.wait")
def futures_are_waited_for() -> Any:
    """All of them, the first of them, the first that fails."""
    go = threading.Event()
    with ThreadPoolExecutor(3) as executor:
        early = executor.submit(pow, 2, 3)
        late = executor.submit(go.wait)
        first = concurrent.futures.wait(
            [early, late], return_when=concurrent.futures.FIRST_COMPLETED
        )
        go.set()
        every = concurrent.futures.wait([early, late])
        failing = executor.submit(int, "x")
        failed = concurrent.futures.wait([failing], return_when=concurrent.futures.FIRST_EXCEPTION)
    return (
        [future.result() for future in first.done],
        len(first.not_done),
        len(every.done),
        len(failed.done),
    )


@surface("concurrent.futures.wait(timeout)", expected=(0, 1, 2.0))
def futures_are_waited_for_in_virtual_time() -> Any:
    """What is not done at the deadline is said so."""
    with ThreadPoolExecutor(1) as executor:
        future = executor.submit(time.sleep, 5)
        waited = concurrent.futures.wait([future], timeout=2)
        return len(waited.done), len(waited.not_done), time.monotonic()


@surface("concurrent.futures.as_completed", expected=[(1, 1.0), (2, 2.0), (3, 3.0)])
def futures_come_as_they_complete() -> Any:
    """The fastest first."""

    def job(seconds: int) -> int:
        time.sleep(seconds)
        return seconds

    with ThreadPoolExecutor(3) as executor:
        futures = [executor.submit(job, seconds) for seconds in (3, 1, 2)]
        return [
            (future.result(), time.monotonic())
            for future in concurrent.futures.as_completed(futures)
        ]


@surface("Future.result(timeout)", expected=("TimeoutError", 2.0, True))
def a_result_is_waited_for_in_virtual_time() -> Any:
    """A future without a producer: the wait ends at its deadline, and it can be cancelled."""
    future: concurrent.futures.Future[int] = concurrent.futures.Future()
    raised = raised_by(future.result, 2).partition(":")[0]
    return raised, time.monotonic(), future.cancel()


# --- functools, logging, import -------------------------------------------------------------------


@surface("functools.lru_cache")
def a_cache_is_used_by_two_threads() -> Any:
    """Every thread gets the value; afterwards it is kept."""
    asked: list[int] = []

    @functools.lru_cache
    def load(key: int) -> int:
        asked.append(key)
        return key * 2

    got: list[int] = []
    run_threads(*[lambda: got.append(load(4))] * 3)
    before = len(asked)
    return got, load(4), len(asked) == before, load.cache_info().currsize


@surface("functools.cached_property")
def a_cached_property_is_used_by_two_threads() -> Any:
    """Every thread gets the value, and it is kept on the instance."""

    class Article:
        @functools.cached_property
        def size(self) -> int:
            return 42

    article = Article()
    got: list[int] = []
    run_threads(*[lambda: got.append(article.size)] * 3)
    return got, vars(article)


@surface("functools.singledispatch")
def functools_is_used_normally() -> Any:
    """Dispatch, partial, wraps, total_ordering and reduce."""

    @functools.singledispatch
    def kind(thing: object) -> str:
        return "object"

    @kind.register
    def _(thing: int) -> str:
        return "int"

    @functools.wraps(kind)
    def wrapped(thing: object) -> str:
        return kind(thing)

    got: list[str] = []
    run_threads(lambda: got.append(wrapped(1)), lambda: got.append(wrapped(1)))
    return got, wrapped("x"), functools.reduce(max, [1, 3, 2]), functools.partial(pow, 2)(5)


@surface("logging")
def two_threads_log() -> Any:
    """Loggers, handlers and levels; no line is torn or lost."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(threadName)s %(levelname)s %(message)s"))
    logger = logging.getLogger("harness-surface")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)

    def log() -> None:
        for number in range(2):
            logger.info("call %d", number)
            logger.debug("not shown")
        logging.getLogger(f"harness-surface.{threading.current_thread().name}").warning("last")

    threads = [threading.Thread(target=log, name=f"caller-{number}") for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    logger.removeHandler(handler)
    return sorted(stream.getvalue().splitlines())


@surface("import inside functions")
def two_threads_import() -> Any:
    """Both get one and the same module, whole."""
    found: list[Any] = []

    def use() -> None:
        import colorsys

        found.append((colorsys, colorsys.rgb_to_hls(0, 0, 0)))

    sys.modules.pop("colorsys", None)
    run_threads(use, use)
    return len({id(module) for module, _ in found}), [value for _, value in found]


# --- time -----------------------------------------------------------------------------------------


@surface("time.sleep", expected=[15.0, 15.0, 15.0])
def sleeping_takes_virtual_time() -> Any:
    """Two threads sleep at once: together they take as long as one."""
    ends: list[float] = []

    def nap() -> None:
        time.sleep(15)
        ends.append(time.monotonic())

    run_threads(nap, nap)
    return [*ends, time.monotonic()]


@surface("time.sleep misuse")
def wrong_sleeps_raise_as_ever() -> Any:
    """Negative and wrong types."""
    return [
        raised_by(time.sleep, -1),
        raised_by(time.sleep, "1"),
        raised_by(time.sleep, None),
        raised_by(time.sleep, False),
    ]


CLOCKS = {
    "time.monotonic": (lambda: time.monotonic(), 1),
    "time.monotonic_ns": (lambda: time.monotonic_ns(), 10**9),
    "time.perf_counter": (lambda: time.perf_counter(), 1),
    "time.perf_counter_ns": (lambda: time.perf_counter_ns(), 10**9),
    "time.time": (lambda: time.time(), 1),
    "time.time_ns": (lambda: time.time_ns(), 10**9),
    "datetime.now": (lambda: datetime.datetime.now(), datetime.timedelta(seconds=1)),
    "datetime.now(UTC)": (
        lambda: datetime.datetime.now(datetime.UTC),
        datetime.timedelta(seconds=1),
    ),
    "datetime.utcnow": (lambda: datetime.datetime.utcnow(), datetime.timedelta(seconds=1)),
    "datetime.today": (lambda: datetime.datetime.today(), datetime.timedelta(seconds=1)),
    "captured monotonic": (lambda: captured_monotonic(), 1),
    "captured datetime": (lambda: captured_datetime.now(), datetime.timedelta(seconds=1)),
}


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
@pytest.mark.parametrize("clock", CLOCKS)
def test_clocks_move_with_virtual_time(clock: str) -> None:
    """Each clock moves by exactly what was slept, and starts each run at the same instant."""
    read, second = CLOCKS[clock]

    def lines() -> Any:
        before = read()
        captured_sleep(1.5)
        time.sleep(2)
        return before, read() - before

    returned = inside(lines)

    assert {passed for _, passed in returned} == {3.5 * second}
    assert len({before for before, _ in returned}) == 1


@surface("date.today", expected=("2000-01-01", "2000-01-02", "2000-01-01T00:00:00", 0.0))
def the_wall_clock_starts_in_2000() -> Any:
    """In UTC; a day later it is the next day."""
    started = datetime.datetime.now().isoformat()
    zero = time.monotonic()
    first = datetime.date.today().isoformat()
    time.sleep(86_400)
    return first, datetime.date.today().isoformat(), started, zero


@surface(
    "time.localtime",
    expected=("Sat Jan  1 00:01:30 2000", "00:01:30", "Sat Jan  1 00:01:30 2000", 90),
)
def calendars_follow() -> Any:
    """`ctime`, `strftime`, `gmtime` and `localtime` without an argument read the run's clock."""
    time.sleep(90)
    return (
        time.ctime(),
        time.strftime("%H:%M:%S"),
        time.asctime(time.gmtime()),
        time.mktime(time.localtime()) - 946_684_800,
    )


@surface("loop.time", expected=(True, 3.5))
def a_loops_clock_is_the_runs_clock() -> Any:
    """`loop.time` is `time.monotonic`, and moves with it."""

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        before = loop.time()
        await asyncio.sleep(3.5)
        return loop.time() == time.monotonic(), loop.time() - before

    return asyncio.run(main())


@surface("captured names")
def names_captured_by_import_are_honoured() -> Any:
    """`from threading import …` at the top of a module: all of it works."""
    lock, again, condition = CapturedLock(), CapturedRLock(), CapturedCondition()
    event, items, mine = CapturedEvent(), CapturedQueue(1), captured_local()
    counter = 0

    def count() -> None:
        nonlocal counter
        event.wait()
        mine.number = 0
        for _ in range(3):
            with lock, again, condition:
                mine.number += 1
                counter += 1
        items.put(mine.number)

    threads = [CapturedThread(target=count) for _ in range(2)]
    for thread in threads:
        thread.start()
    event.set()
    taken = [items.get(), items.get()]
    for thread in threads:
        thread.join()
    return counter, taken


MODULE_LOCK = threading.Lock()
MODULE_RLOCK = CapturedRLock()
MODULE_LOCAL = threading.local()
MODULE_QUEUE: queue.SimpleQueue[int] = queue.SimpleQueue()
MODULE_EVENT = threading.Event()


@surface("made at import")
def what_a_module_made_at_import_is_adopted() -> Any:
    """What was made before the run works inside, and is as new in each."""
    counter = 0

    def count() -> None:
        nonlocal counter
        MODULE_EVENT.wait()
        MODULE_LOCAL.number = 0
        for _ in range(3):
            with MODULE_LOCK, MODULE_RLOCK, MODULE_RLOCK:
                counter += 1
                MODULE_LOCAL.number += 1
        MODULE_QUEUE.put(MODULE_LOCAL.number)

    threads = [threading.Thread(target=count) for _ in range(2)]
    for thread in threads:
        thread.start()
    MODULE_EVENT.set()
    taken = [MODULE_QUEUE.get(), MODULE_QUEUE.get()]
    for thread in threads:
        thread.join()
    MODULE_EVENT.clear()
    return counter, taken, hasattr(MODULE_LOCAL, "number")


# --- asyncio --------------------------------------------------------------------------------------


@surface("asyncio.run")
def a_coroutine_runs() -> Any:
    """Result, exception, and what is left is cancelled."""
    cancelled: list[str] = []

    async def left(started: asyncio.Event) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append("left")
            raise

    async def main() -> str:
        started = asyncio.Event()
        task = asyncio.create_task(left(started))
        await started.wait()
        task.cancel()
        return "done"

    async def fail() -> None:
        raise ValueError("no such article")

    coroutine = fail()
    return asyncio.run(main()), cancelled, raised_by(asyncio.run, coroutine)


@surface("asyncio.Runner")
def a_runner_runs_twice() -> Any:
    """One loop for several coroutines, a context of its own, closed at the end."""
    variable = contextvars.ContextVar("variable", default=0)

    async def step() -> int:
        variable.set(variable.get() + 1)
        await asyncio.sleep(0)
        return variable.get()

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        numbers = [runner.run(step()), runner.run(step())]
    return numbers, loop.is_closed(), variable.get()


@surface("asyncio.TaskGroup")
def a_task_group_joins_and_aborts() -> Any:
    """All results; when one fails the others are cancelled and the failure is a group."""

    async def square(number: int) -> int:
        await asyncio.sleep(0)
        return number**2

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("no such article")

    async def main() -> Any:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(square(number)) for number in range(4)]
        forever: list[asyncio.Task[Any]] = []
        caught: Any = None
        try:
            async with asyncio.TaskGroup() as group:
                forever = [group.create_task(asyncio.Event().wait()) for _ in range(3)]
                group.create_task(fail())
        except* ValueError as errors:
            caught = [str(error) for error in errors.exceptions]
        return [task.result() for task in tasks], [task.cancelled() for task in forever], caught

    return asyncio.run(main())


@surface("asyncio.timeout", expected=("TimeoutError: ", 2.0, "in time", 3.0))
def a_timeout_is_virtual() -> Any:
    """It cancels at its deadline and lets pass what is in time."""

    async def wait(seconds: float, limit: float) -> str:
        async with asyncio.timeout(limit):
            await asyncio.sleep(seconds)
        return "in time"

    async def main() -> Any:
        first, at = await raised_by_awaiting(wait(50, 2)), time.monotonic()
        return first, at, await wait(1, 10), time.monotonic()

    return asyncio.run(main())


async def raised_by_awaiting(awaitable: Any) -> str:
    """Return class and text of what awaiting raises."""
    try:
        await awaitable
    except (Exception, asyncio.CancelledError) as exc:
        return f"{type(exc).__name__}: {exc}"
    return "nothing"


@surface("asyncio.wait_for", expected=("TimeoutError: ", 2.0, "done", 3.0))
def waiting_for_has_a_deadline() -> Any:
    """As `timeout`, the older form."""

    async def job(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "done"

    async def main() -> Any:
        first = await raised_by_awaiting(asyncio.wait_for(job(50), 2))
        at = time.monotonic()
        return first, at, await asyncio.wait_for(job(1), 10), time.monotonic()

    return asyncio.run(main())


@surface("asyncio.gather", expected=([3, 1, 2], [3, "ValueError"], 6.0))
def gathering_keeps_the_order() -> Any:
    """Results in the order of the arguments, exceptions returned if asked."""

    async def job(seconds: int) -> int:
        await asyncio.sleep(seconds)
        if not seconds:
            raise ValueError
        return seconds

    async def main() -> Any:
        first = await asyncio.gather(job(3), job(1), job(2))
        second = await asyncio.gather(job(3), job(0), return_exceptions=True)
        return first, [second[0], type(second[1]).__name__], time.monotonic()

    return asyncio.run(main())


@surface("asyncio.wait", expected=(1, 2, 1.0, 3, 3.0))
def tasks_are_waited_for() -> Any:
    """The first, then all."""

    async def main() -> Any:
        tasks = {asyncio.create_task(asyncio.sleep(seconds)) for seconds in (1, 2, 3)}
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        first = len(done), len(pending), time.monotonic()
        done, _ = await asyncio.wait(tasks)
        return (*first, len(done), time.monotonic())

    return asyncio.run(main())


@surface("asyncio.as_completed", expected=[1, 2, 3])
def tasks_come_as_they_complete() -> Any:
    """The fastest first."""

    async def main() -> Any:
        jobs = [asyncio.sleep(seconds, seconds) for seconds in (3, 1, 2)]
        return [await each for each in asyncio.as_completed(jobs)]

    return asyncio.run(main())


@surface("asyncio.shield")
def a_shield_keeps_the_inner_task() -> Any:
    """The outer wait is cancelled, the inner task ends."""

    async def main() -> Any:
        go = asyncio.Event()
        inner = asyncio.create_task(go.wait())
        started = asyncio.Event()

        async def wait() -> str:
            started.set()
            return await raised_by_awaiting(asyncio.shield(inner))

        outer = asyncio.create_task(wait())
        await started.wait()
        outer.cancel()
        raised = await outer
        go.set()
        return raised.partition(":")[0], await inner

    return asyncio.run(main())


@surface("asyncio.Queue")
def an_asyncio_queue_hands_over() -> Any:
    """Capacity 1, `task_done`, `join`, and the errors of the impatient."""

    async def main() -> Any:
        items: asyncio.Queue[int] = asyncio.Queue(1)
        taken: list[int] = []

        async def consume() -> None:
            while True:
                taken.append(await items.get())
                items.task_done()

        consumer = asyncio.create_task(consume())
        for number in range(4):
            await items.put(number)
        await items.join()
        consumer.cancel()
        ordered: asyncio.PriorityQueue[int] = asyncio.PriorityQueue()
        last: asyncio.LifoQueue[int] = asyncio.LifoQueue()
        for number in (2, 3, 1):
            ordered.put_nowait(number)
            last.put_nowait(number)
        return (
            taken,
            raised_by(items.get_nowait),
            [ordered.get_nowait() for _ in range(3)],
            [last.get_nowait() for _ in range(3)],
        )

    return asyncio.run(main())


@surface("asyncio.Queue.shutdown", since=(3, 13))
def an_asyncio_queue_shuts_down() -> Any:
    """Whoever waits is told."""

    async def main() -> Any:
        items: Any = asyncio.Queue()
        waiter = asyncio.create_task(raised_by_awaiting(items.get()))
        await asyncio.sleep(0)
        items.shutdown()
        return await waiter, raised_by(items.put_nowait, 1)

    return asyncio.run(main())


@surface("asyncio.Lock")
def an_asyncio_lock_excludes() -> Any:
    """A read, an await and a write under it lose nothing."""

    async def main() -> Any:
        lock = asyncio.Lock()
        counter = 0

        async def count() -> None:
            nonlocal counter
            for _ in range(2):
                async with lock:
                    seen = counter
                    await asyncio.sleep(0)
                    counter = seen + 1

        await asyncio.gather(count(), count(), count())
        return counter, lock.locked(), raised_by(lock.release)

    return asyncio.run(main())


@surface("asyncio.Event")
def an_asyncio_event_wakes_everyone() -> Any:
    """Three wait, one sets."""

    async def main() -> Any:
        event = asyncio.Event()
        waiters = [asyncio.create_task(event.wait()) for _ in range(3)]
        await asyncio.sleep(0)
        event.set()
        return await asyncio.gather(*waiters), event.is_set()

    return asyncio.run(main())


@surface("asyncio.Condition")
def an_asyncio_condition_hands_over() -> Any:
    """Wait for a predicate, notify all."""

    async def main() -> Any:
        condition = asyncio.Condition()
        items: list[int] = []

        async def take() -> int:
            async with condition:
                await condition.wait_for(lambda: items)
                return items.pop()

        takers = [asyncio.create_task(take()) for _ in range(2)]
        for number in range(2):
            async with condition:
                items.append(number)
                condition.notify_all()
        return sorted(await asyncio.gather(*takers))

    return asyncio.run(main())


@surface("asyncio.Semaphore", expected=(2, 3.0, "ValueError"))
def an_asyncio_semaphore_bounds() -> Any:
    """Six jobs of a second each, two at a time; the bounded one refuses to grow."""

    async def main() -> Any:
        semaphore = asyncio.Semaphore(2)
        inside_now = most = 0

        async def job() -> None:
            nonlocal inside_now, most
            async with semaphore:
                inside_now += 1
                most = max(most, inside_now)
                await asyncio.sleep(1)
                inside_now -= 1

        await asyncio.gather(*[job() for _ in range(6)])
        bounded = asyncio.BoundedSemaphore(1)
        return most, time.monotonic(), raised_by(bounded.release).partition(":")[0]

    return asyncio.run(main())


@surface("asyncio.Barrier")
def an_asyncio_barrier_lets_all_pass_at_once() -> Any:
    """Three tasks; one index each."""

    async def main() -> Any:
        barrier = asyncio.Barrier(3)
        return sorted(await asyncio.gather(*[barrier.wait() for _ in range(3)]))

    return asyncio.run(main())


@surface("asyncio.to_thread", expected=([5.0, 5.0], True, "context"))
def work_goes_to_threads() -> Any:
    """Two at once; the context goes with them."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")

    def job() -> float:
        time.sleep(5)
        return time.monotonic()

    async def main() -> Any:
        variable.set("context")
        ends = await asyncio.gather(asyncio.to_thread(job), asyncio.to_thread(job))
        ident = await asyncio.to_thread(threading.get_ident)
        return ends, ident != threading.get_ident(), await asyncio.to_thread(variable.get)

    return asyncio.run(main())


@surface("loop.run_in_executor")
def work_goes_to_an_executor() -> Any:
    """The default executor, one of one's own, and an exception."""

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        first = await loop.run_in_executor(None, pow, 2, 3)
        with ThreadPoolExecutor(1, thread_name_prefix="own") as executor:
            name = await loop.run_in_executor(executor, lambda: threading.current_thread().name)
        return first, name, await raised_by_awaiting(loop.run_in_executor(None, int, "x"))

    return asyncio.run(main())


@surface("loop.call_soon_threadsafe")
def a_thread_wakes_a_loop() -> Any:
    """The loop waits without a deadline and is woken by another thread."""

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[str] = loop.create_future()
        thread = threading.Thread(
            target=lambda: loop.call_soon_threadsafe(future.set_result, "from the thread")
        )
        thread.start()
        result = await future
        thread.join()
        return result

    return asyncio.run(main())


@surface("asyncio.run_coroutine_threadsafe")
def a_thread_runs_a_coroutine_in_a_loop() -> Any:
    """The thread waits for the result of the coroutine, or for its exception."""

    async def square(number: int) -> int:
        await asyncio.sleep(0)
        if number < 0:
            raise ValueError("negative")
        return number**2

    async def main() -> Any:
        loop = asyncio.get_running_loop()

        def ask(number: int) -> str:
            future = asyncio.run_coroutine_threadsafe(square(number), loop)
            return str(future.exception() or future.result())

        return await asyncio.to_thread(ask, 5), await asyncio.to_thread(ask, -5)

    return asyncio.run(main())


@surface("several loops in several threads", expected=[(1, 1.0), (2, 2.0), (3, 3.0)])
def several_loops_run_at_once() -> Any:
    """Each thread has a running loop of its own, and they share the clock."""
    seen: list[tuple[int, float]] = []
    running: set[Any] = set()

    def run(seconds: int) -> None:
        async def main() -> None:
            await asyncio.sleep(seconds)
            running.add(asyncio.get_running_loop())
            seen.append((seconds, asyncio.get_running_loop().time()))

        asyncio.run(main())

    run_threads(*[functools.partial(run, seconds) for seconds in (3, 1, 2)])
    return seen if len(running) == 3 else running


@surface("a loop that runs for ever in a thread")
def a_loop_in_a_thread_is_stopped_from_another() -> Any:
    """The common way to call asyncio from threads: `run_forever`, `stop`, `close`."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    result = asyncio.run_coroutine_threadsafe(asyncio.sleep(0, "done"), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    return result, loop.is_running(), loop.is_closed()


@surface("asynchronous generators' shutdown")
def generators_left_open_are_closed() -> Any:
    """One that was left is closed when the loop ends, with an await in its `finally`."""
    seen: list[str] = []

    async def numbers() -> Any:
        try:
            for number in itertools.count():
                yield number
        finally:
            await asyncio.sleep(0)
            seen.append("closed")

    kept: list[Any] = []

    async def main() -> None:
        generator = numbers()
        kept.append(generator)
        async for number in generator:
            if number == 2:
                break
        seen.append("left")

    asyncio.run(main())
    return seen


@surface("loop.set_exception_handler")
def a_handler_of_ones_own_takes_what_nobody_took() -> Any:
    """A callback that fails goes to the handler."""
    taken: list[Any] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: taken.append(repr(context["exception"])))
        loop.call_soon(int, "x")
        await asyncio.sleep(0.001)

    asyncio.run(main())
    return taken


@surface("asyncio debug mode")
def debug_mode_works() -> Any:
    """`debug=True`: tasks know where they were created; wrong-thread calls are refused."""

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        refused = await asyncio.to_thread(raised_by, loop.call_soon, print)
        task = asyncio.create_task(asyncio.sleep(0))
        await task
        return loop.get_debug(), refused.partition(";")[0], "test_surface.py" in repr(task)

    return asyncio.run(main(), debug=True)


@surface("loop.call_later", expected=[("b", 1.0), ("c", 1.5), ("a", 2.0)])
def callbacks_come_at_their_time() -> Any:
    """`call_later`, `call_at`, and one that is cancelled."""

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        seen: list[Any] = []
        loop.call_later(2, lambda: seen.append(("a", loop.time())))
        loop.call_later(1, lambda: seen.append(("b", loop.time())))
        loop.call_at(1.5, lambda: seen.append(("c", loop.time())))
        loop.call_later(1, seen.append, "never").cancel()
        await asyncio.sleep(3)
        return seen

    return asyncio.run(main())


@surface("asyncio names and current tasks")
def tasks_know_themselves() -> Any:
    """Names, `current_task`, `all_tasks`, callbacks, contexts and results."""

    async def main() -> Any:
        done: list[str] = []
        task = asyncio.create_task(asyncio.sleep(0, "result"), name="caller-7")
        task.add_done_callback(lambda each: done.append(each.get_name()))
        everyone = {each.get_name() for each in asyncio.all_tasks()} - {
            asyncio.current_task().get_name()
        }
        result = await task
        await asyncio.sleep(0)
        return everyone, result, done, task.done(), isinstance(task, asyncio.Task)

    return asyncio.run(main())


# --- randomness -----------------------------------------------------------------------------------

RANDOM = {
    "random.random": lambda: random.random(),
    "random.randrange": lambda: random.randrange(10**9),
    "random.choice": lambda: random.choice(range(10**9)),
    "random.sample": lambda: tuple(random.sample(range(1000), 20)),
    "random.getrandbits": lambda: random.getrandbits(64),
    "random.Random()": lambda: random.Random().random(),
    "random.SystemRandom": lambda: random.SystemRandom().random(),
    "uuid.uuid4": lambda: uuid.uuid4(),
    "os.urandom": lambda: os.urandom(16),
    "secrets.token_hex": lambda: secrets.token_hex(),
    "secrets.randbelow": lambda: secrets.randbelow(10**9),
}


@pytest.mark.parametrize("source", RANDOM)
def test_randomness_comes_from_the_tape(source: str) -> None:
    """The same seed gives the same numbers, run for run; other schedules give others."""
    draw = RANDOM[source]

    def lines() -> Any:
        return draw(), draw()

    first, again = inside(lines, seed=3), inside(lines, seed=3)

    assert first == again
    # The settling run and the plain run have the same, empty, tape.
    assert first[0] == first[1]
    assert len(set(first[1:])) == SCHEDULES
    assert all(one != two for one, two in first)


def test_a_generator_with_a_seed_of_its_own_is_left_alone() -> None:
    """`random.Random(7)` and `random.seed(7)` are what they are outside."""

    def lines() -> Any:
        random.seed(7)
        return random.Random(7).random(), random.random()

    state = random.getstate()
    outside = lines()
    random.setstate(state)

    assert set(inside(lines)) == {outside}
    assert random.getstate() == state


def test_the_global_generator_is_given_back() -> None:
    """After the runs, `random` goes on outside as if nothing had been."""
    random.seed(42)
    state = random.getstate()

    inside(lambda: random.random())

    assert random.getstate() == state


# --- what nobody took, and what is refused --------------------------------------------------------


def in_a_thread() -> None:
    """Die in a thread."""
    run_threads(lambda: int("x"))


def in_a_task() -> None:
    """Die in a task that nobody awaits."""

    async def die() -> None:
        int("x")

    async def main() -> None:
        task = asyncio.create_task(die())
        await asyncio.sleep(1)
        del task

    asyncio.run(main())


def in_a_callback() -> None:
    """Die in a callback of the loop."""

    async def main() -> None:
        asyncio.get_running_loop().call_soon(int, "x")
        await asyncio.sleep(1)

    asyncio.run(main())


@pytest.mark.parametrize("lines", [in_a_thread, in_a_task, in_a_callback])
def test_an_error_that_nobody_took_fails_the_run(lines: Callable[[], None]) -> None:
    """The default hooks and the default exception handler of a loop make a verdict of it."""
    exploration = explore(lambda sim: lines(), schedules=3)

    assert exploration.verdict == "Unhandled"
    assert "invalid literal for int()" in str(exploration.violation)


def serve() -> None:
    """Start an asyncio server."""

    async def main() -> None:
        await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)

    asyncio.run(main())


def watch_a_file() -> None:
    """Have a loop wait for a file."""

    async def main() -> None:
        asyncio.get_running_loop().add_reader(0, print)

    asyncio.run(main())


def run_a_program() -> None:
    """Start a program from asyncio."""

    async def main() -> None:
        await asyncio.create_subprocess_exec("true")

    asyncio.run(main())


def run_in_a_shell(command: str) -> None:
    """Start a shell."""
    os.system(command)  # noqa: S605 - refused before it starts


def handle_a_signal() -> None:
    """Have the loop call something when a signal comes."""

    async def main() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, print)

    asyncio.run(main())


REFUSED = {
    "socket.socket": ("a socket", lambda: socket.socket()),
    "socket.socketpair": ("socket.socketpair", lambda: socket.socketpair()),
    "socket.create_connection": (
        "socket.create_connection",
        lambda: socket.create_connection(("127.0.0.1", 1)),
    ),
    "socket.gethostbyname": ("socket.gethostbyname", lambda: socket.gethostbyname("origin")),
    "asyncio.start_server": ("a socket", serve),
    "loop.add_reader": ("waiting for file", watch_a_file),
    "subprocess.run": ("a subprocess", lambda: subprocess.run(["true"], check=False)),
    "subprocess.Popen": ("a subprocess", lambda: subprocess.Popen(["true"])),
    "asyncio.create_subprocess_exec": ("a subprocess", run_a_program),
    "os.system": ("os.system", functools.partial(run_in_a_shell, "true")),
    "multiprocessing.Process": (
        "multiprocessing",
        lambda: multiprocessing.Process(target=print).start(),
    ),
    "ProcessPoolExecutor": (
        "multiprocessing",
        lambda: concurrent.futures.ProcessPoolExecutor(1).submit(print),
    ),
    "multiprocessing.Lock": ("multiprocessing", lambda: multiprocessing.Lock()),
    "multiprocessing.Queue": ("multiprocessing", lambda: multiprocessing.Queue()),
    "multiprocessing.Pool": ("multiprocessing", lambda: multiprocessing.Pool(1)),
    "os.fork": ("os.fork", lambda: os.fork()),
    "os.posix_spawn": ("os.posix_spawn", lambda: os.posix_spawn("/bin/true", ["true"], {})),
    "select.select": ("select.select", lambda: select.select([], [], [], 0)),
    "signal.signal": ("signal.signal", lambda: signal.signal(signal.SIGUSR1, signal.SIG_IGN)),
    "signal.alarm": ("signal.alarm", lambda: signal.alarm(1)),
    "signal.setitimer": (
        "signal.setitimer",
        lambda: signal.setitimer(signal.ITIMER_REAL, 1),
    ),
    "_socket.socket": ("a socket", lambda: _socket.socket()),
    "socket.SocketType": ("a socket", lambda: socket.SocketType()),
    "_socket.socketpair": ("socket.socketpair", lambda: _socket.socketpair()),
    "socket.getnameinfo": (
        "socket.getnameinfo",
        lambda: socket.getnameinfo(("127.0.0.1", 1), 0),
    ),
    "os.wait": ("os.wait ", lambda: os.wait()),
    "os.waitpid": ("os.waitpid", lambda: os.waitpid(-1, 0)),
    "os.wait3": ("os.wait3", lambda: os.wait3(0)),
    "os.wait4": ("os.wait4", lambda: os.wait4(-1, 0)),
    "os.waitid": ("os.waitid", lambda: os.waitid(os.P_ALL, 0, os.WEXITED)),
    "os.kill": ("os.kill ", lambda: os.kill(os.getpid(), 0)),
    "os.killpg": ("os.killpg", lambda: os.killpg(os.getpgid(0), 0)),
    "os.spawnv": ("os.fork", lambda: os.spawnv(os.P_WAIT, "/bin/true", ["true"])),  # noqa: S606 - refused before it starts
    "os.popen": ("a subprocess", lambda: os.popen("true")),  # noqa: S605 - the same
    "signal.raise_signal": (
        "signal.raise_signal",
        lambda: signal.raise_signal(signal.SIGWINCH),
    ),
    "signal.pthread_kill": (
        "signal.pthread_kill",
        lambda: signal.pthread_kill(threading.get_ident(), 0),
    ),
    "signal.pthread_sigmask": (
        "signal.pthread_sigmask",
        lambda: signal.pthread_sigmask(signal.SIG_BLOCK, ()),
    ),
    "signal.siginterrupt": (
        "signal.siginterrupt",
        lambda: signal.siginterrupt(signal.SIGWINCH, False),
    ),
    "signal.pause": ("signal.pause", lambda: signal.pause()),
    "signal.sigwait": ("signal.sigwait ", lambda: signal.sigwait([signal.SIGWINCH])),
    "signal.sigwaitinfo": (
        "signal.sigwaitinfo",
        lambda: signal.sigwaitinfo([signal.SIGWINCH]),
    ),
    "signal.sigtimedwait": (
        "signal.sigtimedwait",
        lambda: signal.sigtimedwait([signal.SIGWINCH], 0),
    ),
    "signal.set_wakeup_fd": ("signal.set_wakeup_fd", lambda: signal.set_wakeup_fd(-1)),
    "_thread.interrupt_main": (
        "thread.interrupt_main",
        lambda: _thread.interrupt_main(signal.SIGWINCH),
    ),
    "loop.add_signal_handler": ("loop.add_signal_handler", handle_a_signal),
    "multiprocessing.get_context().Lock": (
        "multiprocessing",
        lambda: multiprocessing.get_context("spawn").Lock(),
    ),
    "multiprocessing.connection.Pipe": (
        "multiprocessing",
        lambda: multiprocessing.connection.Pipe(),
    ),
    "SharedMemory": (
        "multiprocessing",
        lambda: multiprocessing.shared_memory.SharedMemory(create=True, size=1),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_simulated_is_refused_in_one_clear_line(name: str) -> None:
    """Sockets, processes and signals are never passed through, and the error says what to do."""
    what, lines = REFUSED[name]

    with pytest.raises(Unsupported) as caught:
        explore(lambda sim: lines(), schedules=1)

    message = str(caught.value)
    assert message.startswith(what)
    assert "is not simulated, and is refused rather than passed through. " in message
    assert len(message.splitlines()) == 1


@pytest.mark.own_ground
def test_everything_on_the_list_of_refusals_refuses() -> None:
    """Each replacement, called inside, says what it stands for; outside it is the real thing."""
    with prepared(granularity="sync", watchdog_seconds=5) as ground:
        for owner, name, _ in refusals():
            lines = getattr(owner, name)
            with pytest.raises(Unsupported, match="is not simulated, and is refused"):
                ground.run(World(replayed([])), lambda lines=lines: lines())


def test_a_class_written_in_c_stays_itself_for_everyone_else() -> None:
    """While runs go on, real sockets of other threads are made, recognised and subclassed."""

    def lines() -> list[object]:
        class Named(_socket.socket):
            pass

        plain, named = _socket.socket(), Named()
        kinds = [type(plain), isinstance(plain, _socket.socket), issubclass(Named, _socket.socket)]
        kinds += [type(named) is Named, isinstance(socket.SocketType, type)]
        plain.close()
        named.close()
        return kinds

    with prepared(granularity="sync", watchdog_seconds=5):
        meanwhile = lines()

    assert meanwhile == lines() == [_socket.socket, True, True, True, True]


def test_the_finaliser_of_a_process_made_before_is_no_refusal() -> None:
    """It looks after the process without waiting; whoever waits for the process is refused."""
    polled, waited_for = (subprocess.Popen([sys.executable, "-c", ""]) for _ in range(2))

    done = explore(lambda sim: polled.poll(), schedules=1)
    with pytest.raises(Unsupported, match=r"^os\.waitpid is not simulated"):
        explore(lambda sim: waited_for.wait(), schedules=1)
    polled.wait()
    waited_for.wait()

    assert done.verdict == "holds"


@pytest.mark.own_ground
def test_another_event_loop_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event loop written in C cannot be simulated: it says so instead of running for real."""
    uvloop = types.ModuleType("uvloop")
    uvloop.new_event_loop = asyncio.SelectorEventLoop
    monkeypatch.setitem(sys.modules, "uvloop", uvloop)

    with pytest.raises(Unsupported, match=r"^uvloop is not simulated"):
        explore(lambda sim: uvloop.new_event_loop(), schedules=1)


def test_code_under_test_cannot_swallow_a_refusal() -> None:
    """A broad `except` in a thread does not make the run hold."""

    def lines() -> None:
        try:
            socket.socket()
        except BaseException:
            return

    with pytest.raises(HarnessError, match="a socket is not simulated"):
        explore(lambda sim: run_threads(lines), schedules=1)


# --- the comparison -------------------------------------------------------------------------------


@pytest.mark.parametrize("program", [pytest.param(each, id=each.name) for each in SURFACE])
def test_a_name_works_inside_as_outside(program: Program) -> None:
    """The same lines return the same: for real, on the plain schedule, and on any other."""
    expected = program.lines() if program.expected is AS_OUTSIDE else program.expected

    returned = inside(program.lines)

    assert len(returned) == SCHEDULES + 1
    for each in returned:
        assert each == expected
