"""What is a point, what is rewritten and what is left, on the interpreter at hand."""

import ast
import asyncio
import contextlib
import functools
import gc
import importlib
import inspect
import itertools
import queue
import sys
import textwrap
import traceback
import types
import xml.etree.ElementTree
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bytecode
import pytest
from _pytest.assertion.rewrite import rewrite_asserts
from bytecode import Bytecode

from harness import Simulation, explore
from harness.world import points, rewriting
from harness.world.points import (
    IMMUTABLE_TYPES,
    CodeSite,
    Rewriter,
    is_under_test,
    sites_of,
    under_test,
)

Seen = list[tuple[object, CodeSite]]


class Recorder:
    """What the hook was told, and what it does besides at the n-th point."""

    def __init__(self) -> None:
        self.seen: Seen = []
        self.at = -1
        self.act: Callable[[], object] = lambda: None
        self._busy = False

    def hook(self, thing: object, site: CodeSite) -> None:
        """Note the access, and break in if it is the one."""
        if self._busy:
            return
        self.seen.append((thing, site))
        if len(self.seen) == self.at + 1:
            self._busy = True
            try:
                self.act()
            finally:
                self._busy = False


numbers = itertools.count()


@contextlib.contextmanager
def program(
    folder: Path,
    source: str,
    granularity: points.Granularity = "shared",
    *,
    rewritten: bool = False,
) -> Iterator[tuple[Any, Recorder]]:
    """Make `source` a module of its own, its asserts rewritten if asked for, with points in it."""
    name = f"program_{next(numbers)}"
    path = folder / f"{name}.py"
    path.write_text(textwrap.dedent(source), encoding="utf-8")
    module = types.ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    tree = ast.parse(path.read_bytes())
    if rewritten:
        rewrite_asserts(tree, path.read_bytes())
    exec(compile(tree, str(path), "exec"), vars(module))  # noqa: S102 - our own text
    recorder = Recorder()
    rewriter = Rewriter(recorder.hook, granularity=granularity, is_under_test=str(path).__eq__)
    rewriter.install()
    try:
        yield module, recorder
    finally:
        rewriter.restore()
        del sys.modules[name]


def told(recorder: Recorder) -> list[str]:
    """Return what was reported, in order, without what only numbers the sites."""
    return [f"{type(thing).__name__} {site.operation} {site.name}" for thing, site in recorder.seen]


# ---- a point between the two halves of every race ------------------------------------------------

# Each program has `setup() -> state`, `act(state)`, run once on its own and broken into at every
# point by a second actor, `other(state)` or `act` again; `bad(state, results)` says that the race
# was lost.
RACES = {
    "truth of a parameter": """
        def setup(): return []
        def act(items):
            first = not items
            return "torn" if first and items else "whole"
        def other(items): items.append(1)
        def bad(items, results): return "torn" in results
    """,
    "truth of a variable of the closure": """
        def setup():
            items = []
            def look():
                first = True if items else False
                return "torn" if first is not bool(items) else "whole"
            return look, items
        def act(state): return state[0]()
        def other(state): state[1].append(1)
        def bad(state, results): return "torn" in results
    """,
    "attribute": """
        class State: v = 0
        def setup(): return State()
        def act(s): s.v += 1
        def bad(s, results): return s.v != 2
    """,
    "attribute through a local": """
        class State: v = 0
        def setup(): return State()
        def act(s):
            v = s.v
            s.v = v + 1
        def bad(s, results): return s.v != 2
    """,
    "slot": """
        class State:
            __slots__ = ("v",)
        def setup():
            s = State()
            s.v = 0
            return s
        def act(s): s.v = s.v + 1
        def bad(s, results): return s.v != 2
    """,
    "class attribute": """
        class State: v = 0
        def setup():
            State.v = 0
            return State
        def act(s): State.v += 1
        def bad(s, results): return State.v != 2
    """,
    "function attribute": """
        def counter(): pass
        def setup():
            counter.v = 0
            return counter
        def act(s): counter.v += 1
        def bad(s, results): return counter.v != 2
    """,
    "subscript of a dict": """
        def setup(): return {"v": 0}
        def act(s): s["v"] += 1
        def bad(s, results): return s["v"] != 2
    """,
    "subscript of a list": """
        def setup(): return [0]
        def act(s): s[0] = s[0] + 1
        def bad(s, results): return s[0] != 2
    """,
    "slice": """
        def setup(): return [1, 2]
        def act(s):
            copied = s[:]
            s[:] = copied + [0]
        def bad(s, results): return len(s) != 4
    """,
    "module global": """
        v = 0
        def setup():
            global v
            v = 0
        def act(s):
            global v
            v += 1
        def bad(s, results): return v != 2
    """,
    "global container": """
        v = []
        def setup(): v.clear()
        def act(s):
            if not len(v): v.append(1)
        def bad(s, results): return len(v) != 1
    """,
    "closure cell": """
        def setup():
            v = 0
            def bump():
                nonlocal v
                v += 1
            def read(): return v
            return bump, read
        def act(s): s[0]()
        def bad(s, results): return s[1]() != 2
    """,
    "closure cell of the owner": """
        def setup(): return []
        def act(s):
            ready = False
            def read(): return ready
            s.append(read)
            ready = True
        def other(s): return [read() for read in s]
        def bad(s, results): return [False] in results
    """,
    "getattr and setattr": """
        class State: v = 0
        def setup(): return State()
        def act(s): setattr(s, "v", getattr(s, "v") + 1)
        def bad(s, results): return s.v != 2
    """,
    "in, then del": """
        def setup(): return {"k": 1}
        def act(s):
            if "k" in s: del s["k"]
        def bad(s, results): return "KeyError" in results
    """,
    "get, then store": """
        def setup(): return {}
        def act(s):
            found = s.get("k")
            if found is None: s["k"] = found = object()
            return found
        def bad(s, results): return len(set(results)) != 1
    """,
    "append against len": """
        def setup(): return []
        def act(s):
            s.append(1)
            return len(s)
        def bad(s, results): return results != [1, 2] and results != [2, 1]
    """,
    "truth, then pop": """
        def setup(): return [1]
        def act(s):
            if s: s.pop()
        def bad(s, results): return "IndexError" in results
    """,
    "iteration against mutation": """
        def setup(): return {1: 1, 2: 2}
        def act(s):
            for k in s: pass
        def other(s): s[len(s) + 1] = 1
        def bad(s, results): return "RuntimeError" in results
    """,
    "in-place union": """
        def setup(): return {1}, []
        def act(s):
            items, log = s
            before = len(items)
            items |= {before + 1}
            log.append(len(items) - before)
        def other(s): s[0].add(9)
        def bad(s, results): return 2 in s[1]
    """,
    "in-place extend after len": """
        def setup(): return []
        def act(s):
            n = len(s)
            s += [n]
        def bad(s, results): return s != [0, 1]
    """,
    "unpacking": """
        def setup(): return [1, 2]
        def act(s):
            if len(s) == 2: a, b = s
        def other(s): s.append(3)
        def bad(s, results): return "ValueError" in results
    """,
    "comparison of containers": """
        def setup(): return [1], [1]
        def act(s):
            a, b = s
            n = len(a)
            return a == b, n
        def other(s): s[0].append(2)
        def bad(s, results): return (False, 1) in results
    """,
    "spread into a call": """
        def setup(): return {"a": 1}
        def take(**given): return len(given)
        def act(s):
            n = len(s)
            return take(**s) - n
        def other(s): s["b"] = 1
        def bad(s, results): return 1 in results
    """,
    "star in a display": """
        def setup(): return [1]
        def act(s):
            n = len(s)
            return len([*s]) - n
        def other(s): s.append(1)
        def bad(s, results): return 1 in results
    """,
    "deletion of an attribute": """
        class State: pass
        def setup():
            s = State()
            s.v = 1
            return s
        def act(s):
            if hasattr(s, "v"): del s.v
        def bad(s, results): return "AttributeError" in results
    """,
    "a method kept in an attribute": """
        class State:
            def __init__(self): self.call = list
        def setup(): return State()
        def act(s):
            if s.call is not None: s.call()
        def other(s): s.call = None
        def bad(s, results): return "TypeError" in results
    """,
    "attribute of a module": """
        import sys
        v = 0
        def setup():
            global v
            v = 0
            return sys.modules[__name__]
        def act(s): s.v = s.v + 1
        def bad(s, results): return v != 2
    """,
    "super": """
        class First:
            v = 0
            def get(self): return self.v
        class State(First):
            def bump(self): self.v = super().get() + 1
        def setup(): return State()
        def act(s): s.bump()
        def bad(s, results): return s.v != 2
    """,
    "heap": """
        import heapq
        def setup(): return [1]
        def act(s):
            if len(s): heapq.heappop(s)
        def bad(s, results): return "IndexError" in results
    """,
    "matching": """
        def setup(): return {"k": 1}
        def act(s):
            n = len(s)
            match s:
                case {"other": _}: return n
        def other(s): s["other"] = 1
        def bad(s, results): return 1 in results
    """,
    "comprehension": """
        def setup(): return [1, 2]
        def act(s): return [s.pop() for x in (1,) if len(s)]
        def bad(s, results): return "IndexError" in results
        def other(s): s.clear()
    """,
    "generator": """
        def setup(): return {1: 1, 2: 2}
        def items(s): yield from s
        def act(s):
            for k in items(s): pass
        def other(s): s[9] = 1
        def bad(s, results): return "RuntimeError" in results
    """,
    "with": """
        class State:
            v = 0
            def __enter__(self): return self
            def __exit__(self, *info): pass
        def setup(): return State()
        def act(s):
            v = s.v
            with s: s.v = v + 1
        def bad(s, results): return s.v != 2
    """,
}


def loses_race(module: Any, recorder: Recorder) -> bool:
    """Break into `act` at each of its points, one a run; say whether one run went wrong."""

    def attempt(act: Callable[[Any], object], state: object, results: list[object]) -> None:
        try:
            results.append(act(state))
        except Exception as exc:
            results.append(type(exc).__name__)

    for at in itertools.count():
        recorder.at = -1
        state, results = module.setup(), []
        recorder.seen.clear()
        recorder.at = at
        recorder.act = functools.partial(
            attempt, getattr(module, "other", module.act), state, results
        )
        attempt(module.act, state, results)
        recorder.at = -1
        if len(recorder.seen) <= at or module.bad(state, results):
            break
    return bool(module.bad(state, results))


@pytest.mark.parametrize("race", RACES)
def test_every_race_has_a_point_between_its_halves(race: str, tmp_path: Path) -> None:
    """Another actor that breaks in at some point makes each of the known races go wrong."""
    with program(tmp_path, RACES[race]) as (module, recorder):
        assert loses_race(module, recorder)


TRUTH = """
    import operator
    from collections import deque
    class State:
        def __init__(self): self.items = {}
    def loop(items):
        while not items:
            items.append(1)
    def branches(items, other):
        if items: pass
        if not other: pass
        k = 1 if items else 2
        assert items
        assert not other, "empty"
        assert items and not other
        return k
    def values(items, other):
        k = items and other
        k = other or items
        return not items, bool(items), bool(other)
    def of_closure():
        items = []
        def inner():
            return 1 if items else 2
        return inner
    def copied(state):
        items = state.items
        if items: pass
        if (again := items): pass
        if state.items: pass
    def nothing(items, flag, state):
        if flag or not flag or bool(flag) or state: pass
        is_same = items is None
        if is_same or len == 1: pass
        if items is None or not isinstance(items, list): pass
        assert flag and not is_same
"""


@pytest.mark.parametrize("rewritten", [False, True], ids=["plain", "assert rewritten"])
def test_a_container_held_in_a_variable_is_read_where_it_is_tested(
    tmp_path: Path, *, rewritten: bool
) -> None:
    """`if items`, `not items`, `items and …`, `bool(items)` read it; a test of a bool none."""
    read = "test bool()"
    met: dict[str, list[str]] = {}
    with program(tmp_path, TRUTH, rewritten=rewritten) as (module, recorder):
        for name, call in {
            "loop": lambda: module.loop([]),
            "branches": lambda: module.branches(deque([1]), {}),
            "values": lambda: module.values({1}, bytearray()),
            "closure": module.of_closure(),
            "copied": lambda: module.copied(module.State()),
            "nothing": lambda: module.nothing([], True, object()),
        }.items():
            recorder.seen.clear()
            call()
            met[name] = told(recorder)

    assert met["loop"] == [f"list {read}", "list call .append()", f"list {read}"]
    assert met["branches"] == [
        f"deque {read}",
        f"dict {read}",
        *[f"deque {read}"] * 2,
        f"dict {read}",
        f"deque {read}",
        f"dict {read}",
    ]
    assert met["values"] == [
        f"set {read}",
        f"bytearray {read}",
        f"set {read}",
        "set call bool()",
        "bytearray call bool()",
    ]
    assert met["closure"] == [f"list {read}"]
    assert met["copied"] == [
        "State write .items",
        "State read .items",
        *[f"dict {read}"] * 2,
        "State read .items",
    ]
    assert met["nothing"] == []


def test_what_is_not_shared_has_no_points(tmp_path: Path) -> None:
    """Functions, classes, modules, plain methods, locals and constants cost nothing."""
    source = """
        import math
        LIMIT = 3
        class Account:
            def plus(self, n): return n
        def helper(n): return n + 1
        def act(account, n):
            k = math.floor(2.5) + helper(n) + LIMIT
            if n == 1 or n in (1, 2): k = account.plus(k)
            start = k
            def inner(): return start
            return inner() + k, math.pi, isinstance(k, int)
    """
    with program(tmp_path, source) as (module, recorder):
        module.act(module.Account(), 1)

    assert told(recorder) == []


def test_the_hook_gets_the_very_object(tmp_path: Path) -> None:
    """Receiver, container, namespace of the module and cell are handed over themselves."""
    source = """
        v = 0
        def act(s, items, key):
            global v
            s.v = 1
            items[key] = 2
            items.update({"a": len(items)}, b=items.get(key, 0 if key else [k for k in key]))
            v = 3
            n = 0
            def bump():
                nonlocal n
                n += 1
            bump()
            return bump
    """

    with program(tmp_path, source) as (module, recorder):
        items: dict[str, int] = {}
        bump = module.act(module, items, "user:1")
        by_name = {site.name: thing for thing, site in recorder.seen}
        cell = bump.__closure__[0]

    assert by_name[".v"] is module
    assert by_name["[]"] is items
    assert by_name[".update()"] is items
    assert by_name[".get()"] is items
    assert by_name["len()"] is items
    assert by_name["global v"] is vars(module)
    assert by_name["cell n"] is cell
    assert items == {"user:1": 2, "a": 1, "b": 2}


# ---- numbers and order ---------------------------------------------------------------------------

TABLE = """
    import heapq
    from contextlib import nullcontext
    total = 0
    log = []
    class Base:
        kind = "base"
        def __init__(self): self.v, self.items = 0, {}
        def get(self, n): return n
    class Account(Base):
        def act(self, heap, n):
            global total
            total += 1
            heap.append(n, )
            heapq.heappush(heap, n)
            self.v += 1
            kind = super().kind
            heap.extend(*[[1, super().get(1)]])
            heap.append(n if heap else [y for y in heap])
            self.items.update(a=1, b=len(heap))
            if "a" in self.items and heap == self.items: log.append(1)
            first, *rest = sorted(heap)[1:]
            def inner():
                nonlocal n
                n += 1
                return n
            inner()
            with nullcontext():
                return [k + first for k in rest if k], {**self.items}, (lambda: kind)()
        def spread(self, *args, **kwargs):
            def taken(*a, **k): return len(a) + len(k)
            with self.lock: pass
            self.queue.put(*args, **kwargs)
            del self.items["a"]
            for key in self.items:
                self.items[key] -= sum([n for n in (1,) if key])
            return taken(*args, **kwargs) + taken(*self.items)
    async def tick(q):
        async with q: q.put_nowait(1)
        return [x async for x in q.stream() if x.ready]
    def produce(q):
        yield from q
        yield q.pop()
"""

# Line of the table: what is met there, in order. The same on every interpreter.
GOLDEN_SYNC = """
    18 Account call .get()
    28 nullcontext with with
    32 nullcontext with with
    33 Jobs call .put()
    39 Jobs async with async with | coroutine await await | Jobs call .put_nowait() | coroutine await await
"""  # noqa: E501 (a line of the table each)
GOLDEN_SHARED = """
     8 Account write .v | Account write .items
    13 dict read global total | int inplace add | dict write global total
    14 cell read cell n | list call .append()
    15 cell read cell n | list call heappush()
    16 Account read .v | int inplace add | Account write .v
    17 Account read .kind
    18 Account call .get() | list call .extend()
    19 list test bool() | cell read cell n | list call .append()
    20 Account read .items | list call len() | dict call .update()
    21 Account read .items | dict contains in | Account read .items | list compare ==
    22 list call sorted() | list read [] | list unpack =
    25 cell read cell n | int inplace add | cell write cell n
    26 cell read cell n
    28 nullcontext with with
    29 list iterate iter | list_iterator iterate next (5 times) | Account read .items | dict update **
    32 Account read .lock | nullcontext with with
    33 Account read .queue | dict update ** | Jobs call .put()
    34 Account read .items | dict delete []
    35 Account read .items | dict iterate iter | dict_keyiterator iterate next
    36 Account read .items | dict read [] | tuple_iterator iterate next (2 times) | list call sum() | int inplace subtract | dict write []
    35 dict_keyiterator iterate next
    37 dict update **
    31 tuple call len() | dict call len()
    37 Account read .items | dict unpack *
    31 tuple call len() | dict call len()
    39 Jobs async with async with | coroutine await await | Jobs call .put_nowait() | coroutine await await
    40 Jobs read .ready (2 times)
    42 list iterate iter
    43 list call .pop()
"""  # noqa: E501 (a line of the table each)


def meet_every_construct(folder: Path, granularity: points.Granularity) -> list[str]:
    """Run the whole table; return what was met, line by line."""

    class Jobs:
        ready = True

        def put(self, *args: object, **kwargs: object) -> None: ...
        def put_nowait(self, job: object) -> None: ...

        async def __aenter__(self) -> None: ...
        async def __aexit__(self, *info: object) -> None: ...

        async def stream(self) -> Any:
            yield self
            yield self

    async def tick(module: Any) -> None:
        await module.tick(Jobs())

    with program(folder, TABLE, granularity) as (module, recorder):
        account = module.Account()
        account.lock, account.queue = contextlib.nullcontext(), Jobs()
        account.act([5], 3)
        account.spread(1, 2, k=3)
        asyncio.run(tick(module))
        list(module.produce([1, 2]))
        return by_line(recorder)


def by_line(recorder: Recorder) -> list[str]:
    """Return what was reported in the form of the golden lists."""
    lines: list[str] = []
    for line, group in itertools.groupby(recorder.seen, key=lambda pair: pair[1].line):
        met = itertools.groupby(f"{type(t).__name__} {s.operation} {s.name}" for t, s in group)
        counted = [(text, len(list(same))) for text, same in met]
        texts = [text if n == 1 else f"{text} ({n} times)" for text, n in counted]
        lines.append(f"{line:>2} " + " | ".join(texts))
    return lines


@pytest.mark.parametrize(
    ("granularity", "golden"), [("sync", GOLDEN_SYNC), ("shared", GOLDEN_SHARED)]
)
def test_number_and_order_of_points_are_the_same_on_every_interpreter(
    granularity: points.Granularity, golden: str, tmp_path: Path
) -> None:
    """A table of constructs meets exactly the points of the golden list, on any byte code."""
    met = meet_every_construct(tmp_path, granularity)

    assert met == textwrap.dedent(golden).strip("\n").splitlines()


def test_asserts_rewritten_by_pytest_meet_as_many_points(tmp_path: Path) -> None:
    """What pytest makes of an `assert` reaches the same data as often as the plain statement."""
    source = textwrap.dedent("""
        class Account:
            def __init__(self): self.v, self.d = 0, {}
            def plus(self, n): return self.v + n
        def act(account, items):
            assert account.v == 0
            assert len(account.d) == 0, "empty"
            assert account.plus(1) == 1 and not items
            assert account.d.get("k") is None
            assert "k" not in account.d
    """)

    def points_of(program_source: str, *, rewritten: bool) -> list[str]:
        with program(tmp_path, program_source, rewritten=rewritten) as (module, recorder):
            module.act(module.Account(), [])
        # Constants go through locals there, so that numbers are compared: no data of anybody.
        recorder.seen = [pair for pair in recorder.seen if type(pair[0]) not in IMMUTABLE_TYPES]
        return sorted(told(recorder))

    assert points_of(source, rewritten=True) == points_of(source, rewritten=False)


# ---- what is found, and what is left -------------------------------------------------------------

KINDS = """
    import contextlib, functools
    class S: v = 0
    s = S()
    class A:
        def method(self): return s.v
        @property
        def prop(self): return s.v
        @prop.setter
        def prop(self, value): s.v = value
        @staticmethod
        def static(): return s.v
        @classmethod
        def klass(cls): return s.v
        @functools.cached_property
        def cached(self): return s.v
        class Nested:
            def method(self): return s.v
        def __call__(self): return s.v
        partial_method = functools.partialmethod(lambda self, n: s.v, 1)
    @functools.lru_cache
    def lru(): return s.v
    def plain(n=0, *, k=0): return s.v
    part = functools.partial(plain, 1)
    @contextlib.contextmanager
    def manager(): yield s.v
    def deco(f):
        @functools.wraps(f)
        def wrapper(*a): return f(*a)
        return wrapper
    @deco
    def wrapped(): return s.v
    table = {"lambda": lambda: s.v}
    def make():
        n = s
        def inner(): return n.v
        return inner
    old_closure = make()
    async def coroutine(): return s.v
    async def async_generator(): yield s.v
    def generator(): yield s.v
    def with_default(f=lambda: s.v): return f()
    def comprehension(): return [s.v for _ in (1,)]
    def hidden():
        class Local:
            def method(self): return s.v
        return Local().method()
    class Meta(type):
        def __len__(cls): return s.v
    class WithMeta(metaclass=Meta): pass
"""


async def drain(stream: Any) -> None:
    """Run an asynchronous generator to its end."""
    async for _ in stream:
        pass


def enter(manager: Any) -> None:
    """Enter and leave a context manager."""
    with manager:
        pass


CALLS: dict[str, Callable[[Any], object]] = {
    "method": lambda m: m.A().method(),
    "property": lambda m: m.A().prop,
    "property setter": lambda m: setattr(m.A(), "prop", 0),
    "static method": lambda m: m.A.static(),
    "class method": lambda m: m.A.klass(),
    "cached property": lambda m: m.A().cached,
    "method of a nested class": lambda m: m.A.Nested().method(),
    "call of an instance": lambda m: m.A()(),
    "partial method": lambda m: m.A().partial_method(),
    "lru_cache": lambda m: m.lru(),
    "function": lambda m: m.plain(),
    "partial": lambda m: m.part(),
    "contextmanager": lambda m: enter(m.manager()),
    "wrapped": lambda m: m.wrapped(),
    "lambda in a dict": lambda m: m.table["lambda"](),
    "closure made before": lambda m: m.old_closure(),
    "closure made now": lambda m: m.make()(),
    "coroutine": lambda m: asyncio.run(m.coroutine()),
    "asynchronous generator": lambda m: asyncio.run(drain(m.async_generator())),
    "generator": lambda m: list(m.generator()),
    "lambda as default": lambda m: m.with_default(),
    "comprehension": lambda m: m.comprehension(),
    "class made in a function": lambda m: m.hidden(),
    "metaclass": lambda m: len(m.WithMeta),
}


@pytest.mark.parametrize("kind", CALLS)
def test_every_kind_of_function_has_its_points(kind: str, tmp_path: Path) -> None:
    """However a function is wrapped, kept or made, the access in it is reported."""
    with program(tmp_path, KINDS) as (module, recorder):
        CALLS[kind](module)

    assert any(site.name == ".v" for _, site in recorder.seen)


def is_of(module: Any) -> Callable[[str], bool]:
    """Return the question whether a file is that of `module`."""
    file: str = module.__file__
    return file.__eq__


def test_everything_is_restored(tmp_path: Path) -> None:
    """Afterwards no function has code of ours: neither the old ones nor those made in between."""
    with program(tmp_path, KINDS) as (module, recorder):
        made = module.make()
        assert sites_of(made.__code__)

    recorder.seen.clear()
    for call in CALLS.values():
        call(module)
    made()

    assert recorder.seen == []
    assert made.__code__ is module.old_closure.__code__
    functions = [thing for thing in gc.get_objects() if type(thing) is types.FunctionType]
    assert not [
        f for f in functions if f.__code__.co_filename == module.__file__ and sites_of(f.__code__)
    ]


def test_a_failure_in_the_middle_leaves_nothing_rewritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If one function cannot be rewritten, those before it are put back."""
    with program(tmp_path, KINDS) as (module, _):
        pass
    functions = points._functions(is_of(module))
    codes = [function.__code__ for function in functions]
    rewriter = Rewriter(print, granularity="shared", is_under_test=is_of(module))
    swapped_at_failure: list[int] = []
    rewrite = points._Memory.rewrite

    def fail_late(memory: Any, code: types.CodeType, namespace: dict[str, Any]) -> types.CodeType:
        if len(rewriter._swapped) == 5:
            swapped_at_failure.append(sum(rewriter.is_rewritten(f.__code__) for f in functions))
            raise MemoryError
        return rewrite(memory, code, namespace)

    monkeypatch.setattr(points._Memory, "rewrite", fail_late)

    with pytest.raises(MemoryError):
        rewriter.install()

    assert swapped_at_failure == [5]
    assert [function.__code__ for function in functions] == codes


def test_frozen_functions_get_points(tmp_path: Path) -> None:
    """Functions that `gc.freeze()` has hidden from the collector are found all the same."""
    with program(tmp_path, KINDS) as (module, recorder):
        pass
    rewriter = Rewriter(recorder.hook, granularity="shared", is_under_test=is_of(module))
    gc.freeze()
    try:
        rewriter.install()
        module.plain()
        frozen = gc.get_freeze_count()
        rewriter.restore()
    finally:
        gc.unfreeze()

    assert told(recorder) == ["dict read global s", "S read .v"]
    assert frozen > 0


def test_modules_imported_later_get_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`install_new` finds what an import has brought; without an import it looks at nothing."""
    name = f"late_{next(numbers)}"
    (tmp_path / f"{name}.py").write_text("class S: v = 1\ndef act(): return S.v\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    recorder = Recorder()
    folder = str(tmp_path)
    rewriter = Rewriter(
        recorder.hook, granularity="shared", is_under_test=lambda file: file.startswith(folder)
    )
    rewriter.install()
    passes: list[object] = []
    find = points._functions
    monkeypatch.setattr(points, "_functions", lambda ask: passes.append(ask) or find(ask))

    rewriter.install_new()
    assert passes == []
    module = importlib.import_module(name)
    rewriter.install_new()
    rewriter.install_new()
    module.act()
    rewriter.restore()
    module.act()

    assert len(passes) == 2  # one for the import, one to restore
    assert told(recorder) == ["type read .v"]


def rewriter_of_this_file() -> Rewriter:
    """Return one that also tells what is handed over, to nobody."""
    return Rewriter(
        lambda _thing, _site: None,
        granularity="shared",
        is_under_test=__file__.__eq__,
        handed=lambda _thing, _handing: None,
    )


def test_a_second_exploration_rewrites_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rewritten code is remembered by what it was made from: installing again only swaps."""
    with program(tmp_path, KINDS) as (module, recorder):
        pass
    hook, ask = recorder.hook, is_of(module)
    first = Rewriter(hook, granularity="shared", is_under_test=ask)
    first.install()
    code = module.plain.__code__
    first.restore()
    monkeypatch.delattr(rewriting, "_Function")

    second = Rewriter(hook, granularity="shared", is_under_test=ask)
    second.install()
    again = module.plain.__code__
    second.restore()

    assert first.is_rewritten(code)
    assert again is code


def test_what_was_read_of_the_old_code_is_let_go() -> None:
    """It is twenty times as large as the code, and each preparation goes through all that lives."""
    rewriter = rewriter_of_this_file()
    rewriter.install()
    try:
        is_rewritten = rewriter.is_rewritten(has_a_call_of_many.__code__)
    finally:
        rewriter.restore()
    gc.collect()

    assert is_rewritten
    assert not [each for each in gc.get_objects() if type(each) is bytecode.Instr]


# ---- what nobody may notice ----------------------------------------------------------------------

VISIBLE = """
    class S:
        v = 1
    def act(s, items, *rest: int, key: str = "k", **more: int) -> int:
        '''Says what it does.'''
        local = {key: items}
        def inner(n):
            '''Inner words.'''
            return (lambda: "no doc")
        s.v += len(items)
        return locals(), inner
    def fail(s, items):
        values = [s.v, items.pop(
            0,
        ), s.v]
        return (s.v
                + items["missing"].attribute)
    def quiet(s):
        a = 1; b = 2; c = b + a + s.v
        return list(locals()), "not a docstring"
    async def coroutine(s): return s.v
    async def stream(s): yield s.v
    def generator(s): yield s.v
"""


def see(module: Any) -> list[object]:
    """Return all that a user may look at: tracebacks, signatures, sources, docstrings, locals."""
    names, inner = module.act(module.S(), [1], 2, z=3)
    seen: list[object] = [list(names), inner.__doc__, inner(1).__doc__, inner.__qualname__]
    seen += [module.quiet(module.S())]
    try:
        module.fail(module.S(), [1, 2])
    except TypeError:
        seen.append(traceback.format_exc())
    for name in ("act", "fail", "quiet", "coroutine", "stream", "generator"):
        function = getattr(module, name)
        code = function.__code__
        seen += [inspect.signature(function), function.__doc__, inspect.getsource(function)]
        seen += [code.co_flags, code.co_varnames, code.co_cellvars, code.co_firstlineno]
        seen += [[place for place, _ in itertools.groupby(code.co_positions())]]
        assert isinstance(hash(code), int)
    seen += [inspect.iscoroutinefunction(module.coroutine)]
    seen += [inspect.isasyncgenfunction(module.stream)]
    seen += [inspect.isgeneratorfunction(module.generator)]
    return seen


def lines_traced(module: Any) -> list[int]:
    """Return the lines that a tracer, a debugger or coverage sees."""
    lines: list[int] = []

    def trace(frame: types.FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename == module.__file__:
            lines.append(frame.f_lineno)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with contextlib.suppress(TypeError):
            module.fail(module.S(), [1, 2])
    finally:
        sys.settrace(before)
    return lines


def test_nothing_of_it_can_be_seen(tmp_path: Path) -> None:
    """Tracebacks with carets, signatures, sources, docstrings, flags, lines are as before."""
    with program(tmp_path, VISIBLE) as (module, recorder):
        during = see(module)
        traced = lines_traced(module)

    assert len(recorder.seen) > 5
    assert during == see(module)
    assert traced == lines_traced(module)


def test_keyword_arguments_reach_their_call(tmp_path: Path) -> None:
    """Up to 3.12 names of keywords stand right before their call, and no point comes between."""
    source = """
        class S: v = 1
        def take(*args, **kwargs): return args, kwargs
        def act(s, items):
            items.update(a=s.v, b=take(x=items.get("k", s.v), *[s.v]))
            ordered = sorted(items, key=lambda k: str(items[k]), reverse=bool(s.v))
            first = max(items, default=s.v, key=str)
            return take(s.v, len(items), x=s.v, y=first), ordered, items
    """
    with program(tmp_path, source) as (module, recorder):
        during = module.act(module.S(), {})

    assert len(recorder.seen) > 10
    assert during == module.act(module.S(), {})


def has_a_handler_that_nothing_can_reach(_: Simulation) -> None:
    """Python 3.11 leaves the code of one whose `try` is empty where it was."""
    found = 1
    try:
        pass
    except ValueError:
        found = 2
    assert repr(found) == "1"


def test_code_that_nothing_can_reach_is_no_trouble() -> None:
    """Where a value that is handed on comes from is looked for in what may run."""
    assert explore(has_a_handler_that_nothing_can_reach, schedules=1).verdict == "holds"


def has_a_call_of_many(call: Any, cup: Any) -> Any:
    """Call what nobody knows with more than fits where one thing is told of at a time."""
    return call(cup, cup, cup, cup, cup, cup, cup, cup, cup, cup, cup, cup)


def test_all_that_is_told_at_once_fits_on_the_stack() -> None:
    """The interpreter does not look: where it does not fit, other memory is written over."""
    rewriter = rewriter_of_this_file()
    rewriter.install()
    try:
        code = has_a_call_of_many.__code__
    finally:
        rewriter.restore()

    assert code is not has_a_call_of_many.__code__
    assert code.co_stacksize >= Bytecode.from_code(code).compute_stacksize()


def test_a_receiver_is_kept_through_everything_its_arguments_do(tmp_path: Path) -> None:
    """Exceptions, comprehensions, conditions, awaits and yields in arguments unwind as before."""
    source = """
        import contextlib
        def act(items, broken):
            log = []
            with contextlib.suppress(ZeroDivisionError):
                log.append([1 // n for n in broken])
            try:
                log.append(items.pop([x for x in broken if 1 // x][0] if broken else 0))
            except (ZeroDivisionError, TypeError, IndexError) as exc:
                log.append(type(exc).__name__)
            log.extend(*[[y for y in [log.index(z) for z in log]]], )
            return log
        def caught_inside(log, broken):
            for n in broken:
                try: log.append(log.count([1 // m for m in (n, 1)]))
                except ZeroDivisionError: log.append("caught")
            return log
        def feed(log):
            try:
                log.append((yield log.append((yield 1))))
            except KeyError:
                log.append("thrown")
            yield log
        async def wait(log, stream):
            log.append([n async for n in stream() if log.append(n) is None])
            return log
        async def stream():
            yield 1
            yield 2
        jobs = []
        def spread(args):
            jobs.append(*args)
            return jobs.pop(*(len([n for n in jobs]) - 1,))
    """

    def everything(module: Any) -> list[object]:
        seen: list[object] = [module.act([3, 2, 1], broken) for broken in ([], [1], [1, 0], [0])]
        feed = module.feed([])
        seen += [next(feed), feed.send("a"), feed.throw(KeyError("k"))]
        seen += [asyncio.run(module.wait([], module.stream)), module.spread([7])]
        seen += [module.caught_inside([], [1, 0, 2, 0])]
        return seen

    with program(tmp_path, source) as (module, recorder):
        during = everything(module)

    assert any(site.name == ".append()" for _, site in recorder.seen)
    assert during == everything(module)


def test_an_exception_at_a_point_appears_at_the_access(tmp_path: Path) -> None:
    """What the hook raises goes through `finally` of the code under test, and points go on."""
    source = """
        class S: v = [1]
        def act(s, log):
            try:
                return (0
                        in s.v)
            finally:
                log.append("finally")
    """
    with program(tmp_path, source) as (module, recorder):

        def stop() -> None:
            raise KeyboardInterrupt

        recorder.at, recorder.act = 1, stop
        log: list[str] = []
        with pytest.raises(KeyboardInterrupt) as caught:
            module.act(module.S(), log)

    assert log == ["finally"]
    assert told(recorder) == ["S read .v", "list contains in", "list call .append()"]
    lines = [
        line
        for frame, line in traceback.walk_tb(caught.tb)
        if is_of(module)(frame.f_code.co_filename)
    ]
    # The line on which the test for membership begins, not that of the list.
    assert lines == [5]


# ---- sites and questions -------------------------------------------------------------------------


def test_sites_tell_synchronisation_from_data(tmp_path: Path) -> None:
    """A method named like both is marked as both, and only the former are met at `sync`."""
    source = """
        def act(q, k):
            q.get(k)
            q.acquire()
            q.append(k)
            q.v = k
            with q: pass
    """
    flags: dict[str, dict[str, object]] = {}
    granularities: tuple[points.Granularity, ...] = ("shared", "sync")
    for granularity in granularities:
        with program(tmp_path, source, granularity) as (module, _):
            flags[granularity] = {
                site.name: (site.sync, site.shared, site.kind, site.index)
                for site in sites_of(module.act.__code__)
            }

    assert flags["shared"] == {
        ".get()": (True, True, "sync", 0),
        ".acquire()": (True, False, "sync", 1),
        ".append()": (False, True, "shared", 2),
        ".v": (False, True, "shared", 3),
        "with": (True, True, "sync", 4),
    }
    assert list(flags["sync"]) == [".get()", ".acquire()", "with"]


def test_a_function_that_must_report_is_known(tmp_path: Path) -> None:
    """Only if nothing can happen before the first site may a silent fiber be called our fault."""
    source = """
        class S: v = 1
        def at_once(s): return s.v
        def after_a_call(s): print(); return s.v
        def under_a_condition(s, n):
            if n: return s.v
        def never(s): return s
        def of_a_parameter(items):
            if not items: return 1
        def generator(s): yield s.v
        async def coroutine(s): return s.v
    """
    with program(tmp_path, source) as (module, recorder):
        pass
    rewriter = Rewriter(recorder.hook, granularity="shared", is_under_test=is_of(module))
    functions = [f for f in vars(module).values() if isinstance(f, types.FunctionType)]
    rewriter.install()
    answers = {f.__name__: rewriter.must_report(f.__code__) for f in functions}
    rewriter.restore()
    of_originals = {f.__name__: rewriter.must_report(f.__code__) for f in functions}

    assert answers == {
        "at_once": True,
        "after_a_call": False,
        "under_a_condition": False,
        "never": False,
        # A point only if it is a container.
        "of_a_parameter": False,
        "generator": False,
        "coroutine": True,
    }
    assert of_originals == answers


def test_the_standard_library_and_the_harness_are_not_under_test() -> None:
    """By default only what the user wrote is; modules of the standard library can be named."""
    opened = under_test(("queue", "xml"))

    assert is_under_test(__file__)
    closed = (queue.__file__, bytecode.__file__, points.__file__, "<string>", "<frozen os>")
    assert [file for file in closed if is_under_test(file)] == []
    assert opened(queue.__file__)
    assert opened(xml.etree.ElementTree.__file__)
    assert not opened(asyncio.__file__)
    assert opened(__file__)
    # One question for the same names: rewritten code is remembered by it.
    assert under_test(("queue", "xml")) is opened
    assert under_test() is is_under_test
