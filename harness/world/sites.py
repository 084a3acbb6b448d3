"""Names the places where a scheduling point can lie, and the words that tell such accesses.

It knows names and types only; no byte code (see `rewriting.py`) and no scheduling (the hook's
business).
"""

import array
import asyncio
import bisect
import collections
import copy
import dataclasses
import functools
import hashlib
import heapq
import inspect
import itertools
import json
import marshal
import operator
import os
import pickle
import pprint
import sys
import threading
import types
import weakref
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from harness.core.access import READ, WRITE

Granularity = Literal["sync", "shared"]


@dataclass(frozen=True, slots=True, eq=False)
class CodeSite:
    """One place in code under test before which the hook is called; compared by identity.

    A site that is `sync` is the call of a method *named* like an operation of a synchronisation
    object, or a `with`; only the type of the object tells whether it is one. A site that is
    `shared` accesses data; if it is both, such as `x.get()`, the type decides which.

    The object handed to the hook with the site is the one that is accessed: the receiver, the
    container, the iterator; for a global the module's namespace; for a closure the cell.
    """

    function: str
    file: str
    line: int
    index: int  # the n-th site of the function, in the order of its code
    operation: str
    name: str
    writes: bool
    sync: bool
    shared: bool
    # Kept here and not among the constants of the code, since a dict would make the code
    # unhashable.
    namespace: dict[str, object] | None = None
    # The operation waits for as long as it must: where it would wait, it is no point.
    blocks: bool = False
    # Last line, and first and last column (in bytes, as in a code object) of the source of the
    # access, if known: for reports.
    span: tuple[int, int, int] | None = None
    # What tells one part of the object from another: a number for its name, 0 for all of it.
    part: int = field(init=False, default=0)
    # How the access counts for what depends on it, see `core.access`.
    mode: int = field(init=False, default=READ)
    # What every run calls what is touched: data by their own name, else by the function.
    called: str = field(init=False, default="")
    # It reads what lies in the object as well, or the object whole.
    looks: bool = field(init=False, default=False)
    # For each class, where its objects have the attribute from; one for all sites of that name.
    origins: dict[type, object] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        is_named = self.name.startswith((".", "global ")) and not self.name.endswith("()")
        object.__setattr__(self, "part", part_of(self.name) if is_named else 0)
        object.__setattr__(self, "mode", WRITE if self.writes else READ)
        object.__setattr__(self, "called", self.name if self.part else self.function)
        object.__setattr__(self, "looks", self.name in LOOKING or self.name in _WHOLE)
        object.__setattr__(self, "origins", ORIGINS.setdefault(self.name, {}))

    @property
    def kind(self) -> Granularity:
        """`sync` if the site may be the entry of a synchronisation operation, else `shared`."""
        return "sync" if self.sync else "shared"

    def __str__(self) -> str:
        return f"{self.function}:{self.line} {self.operation} {self.name}"


@dataclass(frozen=True, slots=True)
class Handing:
    """How something is handed on at a place that is no point, and what may be done to it there.

    Args:
        mode: `READ` or `WRITE` of `core.access`, for each container that counts.
        itself: whether what is handed counts, if it is a container.
        inside: whether what lies in it counts, and in that.
        hidden: whether it counts as well if only a library knows what it is.
        objects: whose attributes count as read: of no object, of those whose methods `dataclass`
            has written, or of all; or what is handed is an object and the name of its attribute,
            what is called with what it is given, what it may be told whose class is whose, what is
            outside, what is called for each of several things, or what no log can tell of.
        is_private: what is handed was made on the spot; what only it holds does not count either,
            for its address may be given again.
    """

    mode: int = READ
    itself: bool = True
    inside: bool = True
    hidden: bool = False
    objects: Literal[
        "none", "generated", "all", "named", "called", "kin", "outside", "applied", "unseen"
    ] = "none"
    is_private: bool = False
    # What is called there, if it was not known before; see `called.py`.
    calling: Any = None


@functools.lru_cache(maxsize=4_096)
def part_of(name: str) -> int:
    """Return a large number, the same in every process: two sums never meet by chance."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest(), "big") << 8


# Iterators over what never changes. To step through one is no point, but others may have it, too.
OVER_IMMUTABLES: Final[frozenset[type]] = frozenset(
    map(type, (iter(b""), iter(""), iter("é"), iter(()), iter(range(0)), iter(range(1 << 70))))
)

# Reading these, or stepping through them, can neither see nor make a difference to another actor.
IMMUTABLE_TYPES: Final[frozenset[type]] = frozenset(
    {
        bool,
        bytes,
        complex,
        float,
        frozenset,
        int,
        range,
        slice,
        str,
        tuple,
        type(None),
        type(Ellipsis),
        type(NotImplemented),
        *OVER_IMMUTABLES,
        types.BuiltinFunctionType,
        types.CodeType,
    },
)

#: To read these where nobody can tell what is read is a point.
MUTABLE_CONTAINERS: Final = (list, dict, set, bytearray, collections.deque)
#: These count as containers only where they are used like one.
OTHER_CONTAINERS: Final = (array.array, collections.UserList, collections.UserDict)

# Public operations of threading, queue, concurrent.futures, asyncio and their like.
SYNC_METHODS: Final = frozenset(
    """
    abort acquire acquire_lock add_done_callback call_soon call_soon_threadsafe cancel cancelled
    clear done empty exception full get get_nowait is_alive is_set join locked map notify
    notify_all put put_nowait qsize release release_lock reset result running set set_exception
    set_result shutdown start submit task_done wait wait_for
    """.split(),
)

# Methods of built-in containers (also of `collections` and `array`) that read or change what is in
# them.
READING_METHODS: Final = frozenset(
    """
    __contains__ __getitem__ __iter__ __len__ copy count difference elements get index
    intersection isdisjoint issubset issuperset items keys most_common symmetric_difference total
    union values
    """.split(),
)
WRITING_METHODS: Final = frozenset(
    """
    __delitem__ __setitem__ add append appendleft clear difference_update discard extend
    extendleft insert intersection_update move_to_end pop popitem popleft remove reverse rotate
    setdefault sort subtract symmetric_difference_update update
    """.split(),
)
CONTAINER_METHODS: Final = READING_METHODS | WRITING_METHODS

# Functions written in C that read or change the container (or object) given first. `min` and `max`
# do so only when it is their only argument.
ONLY_ARGUMENT: Final = frozenset({min, max})
READERS: Final = frozenset(
    {
        all,
        any,
        bisect.bisect_left,
        bisect.bisect_right,
        bool,
        bytearray,
        bytes,
        collections.Counter,
        collections.OrderedDict,
        collections.deque,
        copy.copy,
        copy.deepcopy,
        dict,
        enumerate,
        frozenset,
        getattr,
        hasattr,
        heapq.nlargest,
        heapq.nsmallest,
        iter,
        len,
        list,
        max,
        min,
        operator.contains,
        operator.getitem,
        reversed,
        set,
        sorted,
        sum,
        tuple,
        vars,
    },
)
WRITERS: Final = frozenset(
    {
        bisect.insort_left,
        bisect.insort_right,
        delattr,
        heapq.heapify,
        heapq.heappop,
        heapq.heappush,
        heapq.heappushpop,
        heapq.heapreplace,
        next,
        operator.delitem,
        operator.setitem,
        setattr,
    },
)

# What these are given they keep, or pass on to whoever runs later, and do not look into.
CARRIERS: Final = frozenset(
    {
        asyncio.create_task,
        asyncio.ensure_future,
        asyncio.gather,
        asyncio.run_coroutine_threadsafe,
        asyncio.shield,
        asyncio.Task,
        asyncio.to_thread,
        asyncio.wait,
        asyncio.wait_for,
        functools.partial,
        threading.Thread,
        threading.Timer,
        types.SimpleNamespace,
        weakref.finalize,
        weakref.proxy,
        weakref.ref,
    }
)
CARRYING_METHODS: Final = frozenset(
    """
    add add_done_callback append appendleft call_at call_later call_soon call_soon_threadsafe
    create_task ensure_future insert put put_nowait run_coroutine_threadsafe run_in_executor
    setdefault spawn start_soon submit
    """.split()
)

#: They use an attribute that they name.
NAMING: Final = frozenset({delattr, getattr, hasattr, setattr})
#: They call what they are given first, for each of what they are given besides.
APPLYING: Final = frozenset(
    {filter, functools.reduce, itertools.accumulate, itertools.starmap, map}
)
#: They touch, or tell, what no log does.
BLINDING: Final = frozenset(
    {
        dir,
        eval,
        exec,
        globals,
        inspect.getattr_static,
        inspect.getmembers,
        sys.getrefcount,
        threading.active_count,
        threading.enumerate,
        weakref.finalize,
        weakref.getweakrefcount,
        weakref.getweakrefs,
        weakref.proxy,
        weakref.ref,
    }
)
#: They use files, or the environment.
OUTSIDE_MODULES: Final = frozenset(
    {"genericpath", "glob", "nt", "os", "posix", "shutil", "tempfile"}
)
OUTSIDE: Final = frozenset({open, os.path.ismount, os.path.lexists, os.path.realpath})
#: What these are given is called later, by a thread.
RUNNING: Final = frozenset({asyncio.to_thread, threading.Thread, threading.Timer})
RUNNING_METHODS: Final = frozenset(
    """
    add_done_callback run_in_executor spawn start_soon submit
    """.split()
)

#: Names of operations that read not only a container, but what lies in it: they compare or add it.
LOOKING: Final = frozenset(
    """
    .count() .index() .remove() .sort() all() any() bisect_left() bisect_right() contains()
    heapify() heappop() heappush() heappushpop() heapreplace() insort_left() insort_right() max()
    min() nlargest() nsmallest() sorted() sum() == in
    """.split()
)
_WHOLE: Final = frozenset({"copy()", "deepcopy()", "vars()"})
#: What is known of where attributes come from, by name and class.
ORIGINS: Final[dict[str, dict[type, object]]] = {}

#: They show what they are given, as text.
SHOWING_METHODS: Final = frozenset(
    "critical debug error exception format format_map info log warning".split()
)

#: Their results are no containers.
SCALARS: Final = frozenset(
    {
        *(abs, all, any, ascii, bin, bool, bytes, callable, chr, complex, float, format, hasattr),
        *(hash, hex, id, int, isinstance, issubclass, len, oct, ord, repr, round, str),
    }
)

# Functions of the library that look at what they are given, and change nothing. Whatever is not
# named here may.
OPENERS: Final = frozenset(
    {
        copy.copy,
        copy.deepcopy,
        dataclasses.asdict,
        dataclasses.astuple,
        dataclasses.replace,
        json.dump,
        json.dumps,
        marshal.dumps,
        pickle.dump,
        pickle.dumps,
        pprint.pformat,
        pprint.pprint,
        vars,
    }
)
SHALLOW: Final = frozenset({copy.copy, dataclasses.replace, vars})
LOOKERS: Final = OPENERS | frozenset(
    {
        ascii,
        dir,
        filter,
        format,
        hash,
        map,
        memoryview,
        print,
        repr,
        slice,
        str,
        zip,
        *SCALARS,
        *(each for each in vars(itertools).values() if isinstance(each, type)),
        operator.add,
        operator.and_,
        operator.concat,
        operator.countOf,
        operator.eq,
        operator.ge,
        operator.gt,
        operator.indexOf,
        operator.le,
        operator.length_hint,
        operator.lt,
        operator.mod,
        operator.mul,
        operator.ne,
        operator.not_,
        operator.or_,
        operator.sub,
        operator.truth,
        operator.xor,
    }
)
#: Their results are containers that nobody else has yet.
MAKERS: Final = frozenset({bytearray, collections.deque, dict, list, set, sorted})

# Methods by which an expression reads its receiver, where it does not do so by an operator; and
# those of `bytearray` that have no name in common with other containers.
LOOKING_METHODS: Final = frozenset(
    """
    __add__ __and__ __eq__ __ge__ __getstate__ __gt__ __le__ __lt__ __mod__ __mul__ __ne__ __or__
    __radd__ __rand__ __reduce__ __reduce_ex__ __repr__ __reversed__ __rmul__ __ror__ __rsub__
    __rxor__ __sizeof__ __str__ __sub__ __xor__
    """.split()
) | (
    {name for name in vars(bytearray) if not name.startswith("_")}
    - (CONTAINER_METHODS | SYNC_METHODS | {"fromhex", "maketrans"})
)
#: Methods of containers that look at what they are given: all of it.
COMPARING_METHODS: Final = frozenset({"count", "index", "map", "remove"})
