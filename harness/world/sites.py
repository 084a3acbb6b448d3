"""Names the places where a scheduling point can lie, and the words that tell such accesses.

It knows names and types only; no byte code (see `rewriting.py`) and no scheduling (the hook's
business).
"""

import bisect
import collections
import copy
import hashlib
import heapq
import operator
import types
from dataclasses import dataclass, field
from typing import Final, Literal

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

    def __post_init__(self) -> None:
        is_named = self.name.startswith((".", "global ")) and not self.name.endswith("()")
        object.__setattr__(self, "part", _number_of(self.name) if is_named else 0)
        object.__setattr__(self, "mode", WRITE if self.writes else READ)
        object.__setattr__(self, "called", self.name if self.part else self.function)

    @property
    def kind(self) -> Granularity:
        """`sync` if the site may be the entry of a synchronisation operation, else `shared`."""
        return "sync" if self.sync else "shared"

    def __str__(self) -> str:
        return f"{self.function}:{self.line} {self.operation} {self.name}"


def _number_of(name: str) -> int:
    """Return a large number, the same in every process: two sums never meet by chance."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest(), "big") << 8


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
        type(iter(b"")),
        type(iter("")),
        type(iter("é")),
        type(iter(())),
        type(iter(range(0))),
        type(iter(range(1 << 70))),
        types.BuiltinFunctionType,
        types.CodeType,
    },
)

MUTABLE_CONTAINERS: Final = (list, dict, set, bytearray, collections.deque)

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
