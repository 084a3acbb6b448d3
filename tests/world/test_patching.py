"""Everything that is replaced is put back, whatever happens: the one table, and what runs leave."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import importlib
import logging
import os
import queue
import random
import signal
import sys
import threading
import time
import types
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import greenlet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import HarnessError, InternalError, Violation
from harness.explore import explore, shared_ground
from harness.world import patching
from harness.world.fibers import GRAVEYARD
from harness.world.here import here
from harness.world.patching import Patch, Patches

# --- the table ------------------------------------------------------------------------------------

ABSENT = object()
NAMES = st.sampled_from("abcde")


class Stubborn:
    """An owner of names that refuses some changes.

    Args:
        calls: the changes, counted from 0, that fail once.
        stuck: names that cannot be changed back, ever.
        error: what a failing change raises.
    """

    def __init__(self, calls: set[int], stuck: set[str], error: type[BaseException]) -> None:
        vars(self).update(a="original a", b="original b", c="original c")
        self.__dict__["_plan"] = (calls, stuck, error, [0])

    def _refuse(self, name: str, value: object) -> None:
        calls, stuck, error, counter = self.__dict__["_plan"]
        counter[0] += 1
        if counter[0] - 1 in calls or (name in stuck and not is_ours(value)):
            raise error(name)

    def __setattr__(self, name: str, value: object) -> None:
        self._refuse(name, value)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        self._refuse(name, ABSENT)
        super().__delattr__(name)


def is_ours(value: object) -> bool:
    """Tell a replacement from an original."""
    return isinstance(value, str) and value.startswith("replaced")


@given(
    st.lists(NAMES, max_size=8),
    st.sets(st.integers(0, 20), max_size=6),
    st.sets(NAMES, max_size=2),
    st.sampled_from([AttributeError, TypeError, KeyboardInterrupt]),
)
def test_names_are_restored_after_any_subset_of_failures(
    names: list[str], calls: set[int], stuck: set[str], error: type[BaseException]
) -> None:
    """Whatever change fails, while installing or restoring: each name that can be put back is."""
    owner = Stubborn(calls, stuck, error)
    patches = Patches([Patch(owner, name, f"replaced {name}") for name in names])
    before = dict(vars(owner))

    raised = None
    try:
        patches.install()
        assert all(vars(owner)[name] == f"replaced {name}" for name in names)
        patches.restore()
    except error as exc:
        raised = exc

    # A change that fails twice running is a place that is stuck.
    twice = {call for call in calls if call + 1 in calls}
    for name in {*before, *names} - stuck:
        if not twice:
            assert vars(owner).get(name, ABSENT) is before.get(name, ABSENT)
    if not raised:
        assert vars(owner) == before


@given(st.lists(NAMES, max_size=8), st.integers(0, 12))
def test_installing_is_all_or_nothing(names: list[str], failing: int) -> None:
    """If one name cannot be replaced, none is."""
    owner = Stubborn({failing}, set(), TypeError)
    patches = Patches([Patch(owner, name, f"replaced {name}") for name in names])
    before = dict(vars(owner))

    if failing < len(names):
        with pytest.raises(TypeError):
            patches.install()
        assert vars(owner) == before
    else:
        patches.install()
        assert all(vars(owner)[name] == f"replaced {name}" for name in names)


def test_an_inherited_name_is_taken_away_again() -> None:
    """A class that inherits the name has none of its own afterwards."""

    class Owner:
        def method(self) -> str:
            return "original"

    class Heir(Owner):
        pass

    patches = Patches([Patch(Heir, "method", lambda self: "replaced")])
    patches.install()
    during = Heir().method()
    patches.restore()

    assert (during, Heir().method(), "method" in vars(Heir)) == ("replaced", "original", False)


def test_a_name_that_is_still_replaced_is_our_fault() -> None:
    """The table checks that it was restored."""
    owner = types.SimpleNamespace(a="original")
    patches = Patches([Patch(owner, "a", "replaced a")])
    patches.install()

    with pytest.raises(InternalError, match="is still replaced after the run"):
        patching._assert_restored(patches)


def test_the_table_names_each_place_once() -> None:
    """Two replacements of one name would hide each other."""
    places = [(id(patch.owner), patch.name) for patch in patching.replaced_names()]

    assert len(places) == len(set(places))


def test_the_table_changes_nothing_before_it_is_installed() -> None:
    """Asking for it is free."""
    before = everything()

    patching.replaced_names()

    assert differences(before, everything()) == []


# --- runs -----------------------------------------------------------------------------------------


def work() -> None:
    """Use threads, queues, an executor, a loop, time, randomness, logging and a late import."""
    import colorsys

    items: queue.Queue[float] = queue.Queue(1)
    local = threading.local()

    def produce() -> None:
        local.value = random.random() + colorsys.ONE_THIRD
        time.sleep(1)
        items.put(local.value)

    threads = [threading.Thread(target=produce) for _ in range(2)]
    for thread in threads:
        thread.start()
    taken = [items.get(), items.get()]
    for thread in threads:
        thread.join()
    with ThreadPoolExecutor(2) as executor:
        assert len(list(executor.map(time.sleep, taken))) == 2

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for seconds in taken:
                group.create_task(asyncio.sleep(seconds))
            group.create_task(asyncio.to_thread(time.sleep, 1))

    asyncio.run(main())
    logging.getLogger("harness-patching").debug("done")
    warnings.simplefilter("ignore")
    random.seed(7)


def leave_everything_behind() -> None:
    """Start threads, jobs, a loop and tasks that never end."""
    lock = threading.Lock()
    lock.acquire()
    forever = threading.Event()
    for _ in range(3):
        threading.Thread(target=forever.wait).start()
        threading.Thread(target=lock.acquire, daemon=True).start()
    executor = ThreadPoolExecutor(2)
    for _ in range(3):
        executor.submit(forever.wait)
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever).start()
    for _ in range(3):
        asyncio.run_coroutine_threadsafe(asyncio.sleep(10**6), loop)
    threading.Thread(target=stubborn).start()
    time.sleep(1)


def stubborn() -> None:
    """Wait, and wait again in the clean-up."""
    try:
        threading.Event().wait()
    finally:
        time.sleep(1)


def hold() -> None:
    """Work and end."""
    work()


def leak() -> None:
    """Leave everything behind."""
    work()
    leave_everything_behind()


def fail() -> None:
    """Fail an assertion in the midst of it."""
    work()
    leave_everything_behind()
    raise AssertionError("no such article")


def die() -> None:
    """Die in a thread."""
    leave_everything_behind()
    threading.Thread(target=lambda: int("x")).start()
    time.sleep(1)


def deadlock() -> None:
    """Wait for oneself."""
    leave_everything_behind()
    threading.Event().wait()


DONE: list[int] = []


def go_round() -> None:
    """Spin for ever."""
    leave_everything_behind()
    while not DONE:
        time.sleep(0)


def reach_out() -> None:
    """Ask for what is refused, in a thread."""
    leave_everything_behind()
    thread = threading.Thread(target=os.system, args=("true",))
    thread.start()
    thread.join()


def block() -> None:
    """Wait in the kernel of the operating system, in a thread."""
    leave_everything_behind()
    reading, writing = os.pipe()
    try:
        thread = threading.Thread(target=os.read, args=(reading, 1))
        thread.start()
        thread.join()
    finally:
        os.close(reading)
        os.close(writing)


def press_ctrl_c() -> None:
    """Have the interpreter handle SIGINT at its next look; to send a signal is refused in a run."""
    ctypes.pythonapi.PyErr_SetInterrupt()


def be_interrupted() -> None:
    """Get Ctrl-C in the main thread."""
    leave_everything_behind()
    press_ctrl_c()
    time.sleep(1)


def be_interrupted_in_a_thread() -> None:
    """Get Ctrl-C while another thread runs."""
    leave_everything_behind()
    thread = threading.Thread(target=press_ctrl_c)
    thread.start()
    thread.join()


def be_interrupted_in_a_task() -> None:
    """Get Ctrl-C while a task runs."""
    leave_everything_behind()

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(10))
            group.create_task(interrupt())

    asyncio.run(main())


async def interrupt() -> None:
    """Send Ctrl-C from a task."""
    await asyncio.sleep(1)
    press_ctrl_c()
    await asyncio.sleep(1)


def raise_an_interrupt() -> None:
    """Raise what Ctrl-C raises."""
    leave_everything_behind()
    raise KeyboardInterrupt


ENDINGS: dict[Callable[[], None], type[BaseException] | None] = {
    hold: None,
    leak: Violation,
    fail: Violation,
    die: Violation,
    deadlock: Violation,
    go_round: Violation,
    reach_out: HarnessError,
    block: HarnessError,
    be_interrupted: KeyboardInterrupt,
    be_interrupted_in_a_thread: KeyboardInterrupt,
    be_interrupted_in_a_task: KeyboardInterrupt,
    raise_an_interrupt: KeyboardInterrupt,
}


#: A new tuple whenever the time zone is set, though nothing in it is new; and what Hypothesis notes
#: at each collection.
RESTLESS = frozenset({"tzname", "_gc_start", "_gc_cumulative_time"})


#: Types of the interpreter of which most values are, and which say nothing of whose a value is.
PLAIN = frozenset(
    {
        *(int, str, bytes, float, bool, type(None), tuple, list, dict, set, frozenset, property),
        *(types.GetSetDescriptorType, types.MethodDescriptorType, types.WrapperDescriptorType),
        *(types.MemberDescriptorType, types.ClassMethodDescriptorType, types.ModuleType),
    }
)


@dataclass
class Everything:
    """All that a run could have changed in this process.

    Args:
        names: what each owner of names has, by the owner's own name.
        functions: all there are, kept so that no other gets the same address meanwhile.
        codes: their code, in the same order.
    """

    names: dict[str, dict[str, Any]]
    functions: list[types.FunctionType]
    codes: list[types.CodeType]


def everything() -> Everything:
    """Return all that a run could have changed in this process, as it is now."""
    gc.collect()
    owners: dict[str, Any] = {}
    for module_name, module in list(sys.modules.items()):
        if not isinstance(module, types.ModuleType) or module_name == __name__:
            continue
        owners[module_name] = module
        for name, value in vars(module).items():
            if isinstance(value, type):
                owners[f"{module_name}.{name}"] = value
    owners |= {f"table: {patch.owner!r}": patch.owner for patch in patching.replaced_names()}
    functions = [each for each in gc.get_objects() if type(each) is types.FunctionType]
    return Everything(
        {name: dict(vars(owner)) for name, owner in owners.items()},
        functions,
        [function.__code__ for function in functions],
    )


def differences(before: Everything, after: Everything) -> list[str]:
    """Name what has another identity than before, or was there and is gone, or is ours."""
    changed = [
        f"{owner}.{name}: {value!r} -> {now.get(name)!r}"
        for owner, names in before.names.items()
        for now in [after.names.get(owner, {})]
        for name, value in names.items()
        if now.get(name) is not value and name not in RESTLESS
    ]
    codes = dict(zip(map(id, after.functions), after.codes, strict=True))
    changed += [
        f"{function!r}: {code!r} -> {codes.get(id(function))!r}"
        for function, code in zip(before.functions, before.codes, strict=True)
        if codes.get(id(function)) is not code
    ]
    return changed + [
        f"{owner}.{name} is ours: {value!r}"
        for owner, names in after.names.items()
        if not owner.startswith(("harness", "tests", "table: <class 'harness"))
        for name, value in names.items()
        if type(value) not in PLAIN and belongs_to_us(value)
    ]


def belongs_to_us(value: object) -> bool:
    """Tell whether something is of the simulated world."""
    modules = (type(value).__module__, getattr(value, "__module__", ""))
    return any(isinstance(each, str) and each.startswith("harness.world") for each in modules)


def state() -> dict[str, Any]:
    """Return the state of the interpreter that a run could have changed, by value.

    To be asked for right behind `everything`, which collects garbage.
    """
    things: dict[type, list[Any]] = defaultdict(list)
    for thing in gc.get_objects():
        things[type(thing)].append(thing)

    def every(kind: type) -> Iterator[Any]:
        return (each for known in things if issubclass(known, kind) for each in things[known])

    return {
        "threads": sorted(sys._current_frames()),
        "known threads": sorted(map(repr, threading.enumerate())),
        "thread names": repr(threading._counter.__self__),
        "limbo": len(threading._limbo),
        "dangling": len(threading._dangling),
        # The one without a parent is the thread itself.
        "greenlets": sum(
            not each.dead and each.parent is not None for each in every(greenlet.greenlet)
        ),
        "tasks": sum(not each.done() for each in every(asyncio.Task)),
        "loops": len(list(every(asyncio.AbstractEventLoop))),
        "descriptors": list(open_descriptors()),
        "graveyard": len(GRAVEYARD),
        "world": here.world,
        "signals": [signal.getsignal(number) for number in signal.valid_signals()],
        "alarm": bool(signal.getitimer(signal.ITIMER_REAL)[0]),
        "collecting": (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()),
        "random": random.getstate(),
        "filters": list(warnings.filters),
        "zone": (time.tzname, os.environ.get("TZ")),
        "generators": sys.get_asyncgen_hooks(),
        "tracing": (sys.gettrace(), sys.getprofile(), sys.get_coroutine_origin_tracking_depth()),
        "recursion": sys.getrecursionlimit(),
        "switching": sys.getswitchinterval(),
    }


def open_descriptors() -> Iterator[int]:
    """Yield the numbers of the open files of this process."""
    for number in range(256):
        try:
            os.fstat(number)
        except OSError:
            continue
        yield number


@pytest.mark.parametrize(
    ("program", "granularity"),
    [*((program, "shared") for program in ENDINGS), (hold, "sync"), (fail, "sync")],
)
def test_nothing_of_a_run_stays(program: Callable[[], None], granularity: str) -> None:
    """However a run ends, the process is as before: names, code, threads, tasks, files, clocks."""
    before, state_before = everything(), state()

    raised: type[BaseException] | None = None
    try:
        explore(
            lambda sim: program(), schedules=3, granularity=granularity, watchdog_seconds=0.5
        ).raise_for_violation()
    except (Violation, HarnessError, KeyboardInterrupt) as exc:
        raised = type(exc)

    after, state_after = everything(), state()
    expected = ENDINGS[program]
    assert raised is expected or (raised and expected and issubclass(raised, expected))
    assert differences(before, after) == []
    assert state_after == state_before


def test_the_real_clock_and_real_threads_are_back() -> None:
    """After a run, time is now and threads are threads."""
    explore(lambda sim: work(), schedules=2)
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(threading.get_native_id()))

    thread.start()
    thread.join()

    assert time.time() > 1_700_000_000
    assert seen != [threading.get_native_id()]


def test_a_module_that_is_imported_meanwhile_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two runs or in one: afterwards it has what it would have got at another time."""
    monkeypatch.syspath_prepend(tmp_path)
    names = (
        "from threading import Lock, RLock, get_ident\nfrom time import sleep\n"
        "from time import monotonic as clock\n"
    )
    for module in ("taken_between", "taken_inside"):
        (tmp_path / f"{module}.py").write_text(names, encoding="utf-8")

    def imports(_: Any) -> None:
        importlib.import_module("taken_inside")

    with shared_ground():
        explore(imports, schedules=1)
        importlib.import_module("taken_between")
        explore(imports, schedules=1)

    for module in ("taken_between", "taken_inside"):
        taken = sys.modules.pop(module)
        assert (taken.Lock, taken.RLock) == (threading.Lock, threading.RLock)
        assert (taken.sleep, taken.get_ident) == (time.sleep, threading.get_ident)
        assert taken.clock is time.monotonic
