"""Read, then write, with another thread in between: every form in which code shares data.

Each program stands beside its corrected twin, which does the same under a lock.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from tests.programs.together import together, twice

visits = 0


class Tally:
    """A counter as attribute, item and class attribute. Any thread, if `guard` is a lock."""

    shared = 0

    def __init__(self, guard: AbstractContextManager[Any]) -> None:
        self.guard = guard
        self.value = 0
        self.items = {"visits": 0}

    def by_attribute(self) -> None:
        """Count once."""
        with self.guard:
            self.value = self.value + 1

    def by_subscript(self) -> None:
        """Count once."""
        with self.guard:
            self.items["visits"] = self.items["visits"] + 1

    def by_class_attribute(self) -> None:
        """Count once."""
        with self.guard:
            Tally.shared = Tally.shared + 1


# --- who runs the two updates ---------------------------------------------------------------------


def _in_an_executor(guard: AbstractContextManager[Any]) -> None:
    tally = Tally(guard)
    with ThreadPoolExecutor(2) as executor:
        executor.submit(tally.by_attribute)
        executor.submit(tally.by_attribute)
    assert tally.value == 2


def jobs_of_an_executor(sim: Any) -> None:
    """Two jobs of one executor count once each."""
    _in_an_executor(nullcontext())


def jobs_of_an_executor_corrected(sim: Any) -> None:
    """The same under a lock."""
    _in_an_executor(threading.Lock())


class Crawler:
    """Starts two threads of its own and counts in them. One thread."""

    def __init__(self, guard: AbstractContextManager[Any]) -> None:
        self.tally = Tally(guard)

    def crawl(self) -> int:
        """Count in two threads and return the sum."""
        first = threading.Thread(target=self.tally.by_attribute)
        second = threading.Thread(target=self.tally.by_attribute)
        first.start()
        second.start()
        first.join()
        second.join()
        return self.tally.value


def threads_of_the_code_itself(sim: Any) -> None:
    """Two threads that the code under test starts count once each."""
    assert Crawler(nullcontext()).crawl() == 2


def threads_of_the_code_itself_corrected(sim: Any) -> None:
    """The same under a lock."""
    assert Crawler(threading.Lock()).crawl() == 2


async def _in_to_thread(guard: AbstractContextManager[Any]) -> None:
    tally = Tally(guard)
    await asyncio.gather(
        asyncio.to_thread(tally.by_attribute), asyncio.to_thread(tally.by_attribute)
    )
    assert tally.value == 2


def jobs_without_points(sim: Any) -> None:
    """Two jobs of an executor are methods written in C: nothing says which comes first."""
    told: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        pool.submit(told.append, "first")
        pool.submit(told.append, "second")
    assert told == ["first", "second"]


def jobs_of_to_thread(sim: Any) -> None:
    """Two jobs that a loop hands to threads count once each."""
    asyncio.run(_in_to_thread(nullcontext()))


def jobs_of_to_thread_corrected(sim: Any) -> None:
    """The same under a lock."""
    asyncio.run(_in_to_thread(threading.Lock()))


# --- through what they share ----------------------------------------------------------------------


def _attribute(guard: AbstractContextManager[Any]) -> None:
    tally = Tally(guard)
    twice(tally.by_attribute)
    assert tally.value == 2


def attribute(sim: Any) -> None:
    """Through an attribute of an object."""
    _attribute(nullcontext())


def attribute_corrected(sim: Any) -> None:
    """The same under a lock."""
    _attribute(threading.Lock())


def _subscript(guard: AbstractContextManager[Any]) -> None:
    tally = Tally(guard)
    twice(tally.by_subscript)
    assert tally.items == {"visits": 2}


def subscript(sim: Any) -> None:
    """Through an item of a dict."""
    _subscript(nullcontext())


def subscript_corrected(sim: Any) -> None:
    """The same under a lock."""
    _subscript(threading.Lock())


def _module_global(guard: AbstractContextManager[Any]) -> None:
    global visits  # noqa: PLW0603 - what is tested
    visits = 0

    def count() -> None:
        global visits  # noqa: PLW0603 - what is tested
        with guard:
            visits = visits + 1

    twice(count)
    assert visits == 2


def module_global(sim: Any) -> None:
    """Through a global of a module."""
    _module_global(nullcontext())


def module_global_corrected(sim: Any) -> None:
    """The same under a lock."""
    _module_global(threading.Lock())


def _closure_cell(guard: AbstractContextManager[Any]) -> None:
    count = 0

    def bump() -> None:
        nonlocal count
        with guard:
            count = count + 1

    twice(bump)
    assert count == 2


def closure_cell(sim: Any) -> None:
    """Through a variable of the enclosing function."""
    _closure_cell(nullcontext())


def closure_cell_corrected(sim: Any) -> None:
    """The same under a lock."""
    _closure_cell(threading.Lock())


def _class_attribute(guard: AbstractContextManager[Any]) -> None:
    Tally.shared = 0
    twice(Tally(guard).by_class_attribute)
    assert Tally.shared == 2


def class_attribute(sim: Any) -> None:
    """Through an attribute of a class."""
    _class_attribute(nullcontext())


def class_attribute_corrected(sim: Any) -> None:
    """The same under a lock."""
    _class_attribute(threading.Lock())


def _augmented(guard: AbstractContextManager[Any]) -> None:
    tally = Tally(guard)

    def bump() -> None:
        with guard:
            tally.value += 1

    twice(bump)
    assert tally.value == 2


def augmented_assignment(sim: Any) -> None:
    """Through `+=`, which reads and writes in one statement."""
    _augmented(nullcontext())


def augmented_assignment_corrected(sim: Any) -> None:
    """The same under a lock."""
    _augmented(threading.Lock())


# --- check, then act ------------------------------------------------------------------------------


def _test_by_in(guard: AbstractContextManager[Any]) -> None:
    cache: dict[str, object] = {}
    loads = []

    def look_up() -> None:
        with guard:
            if "user:1" not in cache:
                loads.append("user:1")
                cache["user:1"] = object()

    twice(look_up)
    assert loads == ["user:1"]


def check_by_in(sim: Any) -> None:
    """A cache that looks with `in` and fills what was missing."""
    _test_by_in(nullcontext())


def check_by_in_corrected(sim: Any) -> None:
    """The same under a lock."""
    _test_by_in(threading.Lock())


def _test_by_get(guard: AbstractContextManager[Any]) -> None:
    cache: dict[str, object] = {}
    loads = []

    def look_up() -> None:
        with guard:
            if cache.get("user:1") is None:
                loads.append("user:1")
                cache["user:1"] = object()

    twice(look_up)
    assert loads == ["user:1"]


def check_by_get(sim: Any) -> None:
    """A cache that looks with `dict.get` and fills what was missing."""
    _test_by_get(nullcontext())


def check_by_get_corrected(sim: Any) -> None:
    """The same under a lock."""
    _test_by_get(threading.Lock())


def _append_and_len(guard: AbstractContextManager[Any]) -> None:
    rows: list[str] = []
    numbers: list[int] = []

    def add() -> None:
        with guard:
            rows.append("row")
            numbers.append(len(rows))

    twice(add)
    assert sorted(numbers) == [1, 2]


def append_against_len(sim: Any) -> None:
    """A table that numbers its rows by `len` after `append`."""
    _append_and_len(nullcontext())


def append_against_len_corrected(sim: Any) -> None:
    """The same under a lock."""
    _append_and_len(threading.Lock())


# --- iterate while another changes ----------------------------------------------------------------


def _iterate_dict(guard: AbstractContextManager[Any]) -> None:
    sessions = {"caller-1": 0, "caller-2": 0}

    def report() -> None:
        with guard:
            for name in sessions:
                assert name

    def join() -> None:
        with guard:
            sessions["caller-3"] = 0

    together(report, join)


def iteration_of_a_dict(sim: Any) -> None:
    """One thread goes through a dict, another adds to it: RuntimeError in the first."""
    _iterate_dict(nullcontext())


def iteration_of_a_dict_corrected(sim: Any) -> None:
    """The same under a lock."""
    _iterate_dict(threading.Lock())


def _iterate_list(guard: AbstractContextManager[Any]) -> None:
    waiting = ["caller-1", "caller-2", "caller-3"]
    told: list[str] = []

    def tell() -> None:
        with guard:
            for name in waiting:
                told.append(name)  # noqa: PERF402 - the loop is what is tested

    def leave() -> None:
        with guard:
            waiting.remove("caller-1")

    together(tell, leave)
    assert "caller-2" in told, "skipped, although it never left"


def iteration_of_a_list(sim: Any) -> None:
    """One thread goes through a list, another removes from it: an item is skipped."""
    _iterate_list(nullcontext())


def iteration_of_a_list_corrected(sim: Any) -> None:
    """The same under a lock."""
    _iterate_list(threading.Lock())


# --- between tasks --------------------------------------------------------------------------------


async def _swapped_wake_ups(guard: Any) -> None:
    count = 0

    async def slow() -> None:
        nonlocal count
        async with guard:
            seen = count
            await asyncio.sleep(0)
            count = seen + 1

    async def late() -> None:
        nonlocal count
        await asyncio.sleep(0)
        async with guard:
            seen = count
            count = seen + 1

    await asyncio.gather(slow(), late())
    assert count == 2


def swapped_wake_ups(sim: Any) -> None:
    """The update is lost only if the task that was queued second wakes up first."""
    asyncio.run(_swapped_wake_ups(nullcontext()))


def swapped_wake_ups_corrected(sim: Any) -> None:
    """The same under an asyncio lock."""
    asyncio.run(_swapped_wake_ups(asyncio.Lock()))
