"""Classic shapes of shared data gone wrong: publication, ABA, check-then-act, mutual exclusion."""

from __future__ import annotations

import threading
import time
from operator import attrgetter
from types import SimpleNamespace
from typing import Any

from tests.museum.programs.starting import threads

# --- B04 ------------------------------------------------------------------------------------------


def double_checked_publish(sim: Any) -> None:
    """The object is published before it is finished."""
    s = SimpleNamespace(instance=None, initialised=False)
    m = threading.Lock()

    def use() -> None:
        if s.instance is None:
            m.acquire()
            if s.instance is None:
                s.instance = "the object"
                s.initialised = True
            m.release()
        assert s.initialised

    workers = threads(use, use)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def double_checked_publish_fixed(sim: Any) -> None:
    """It is published last."""
    s = SimpleNamespace(instance=None, initialised=False)
    m = threading.Lock()

    def use() -> None:
        if s.instance is None:
            m.acquire()
            if s.instance is None:
                s.initialised = True
                s.instance = "the object"
            m.release()
        assert s.initialised

    workers = threads(use, use)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


# --- B06 ------------------------------------------------------------------------------------------

_state = attrgetter("state")
_set = object.__setattr__


class _Treiber:
    """A lock-free stack; each call is one atomic step and one point, on the stack. Any thread.

    Args:
        tagged: whether its head carries a number that each change raises.
    """

    __slots__ = ("state", "tagged")

    state: tuple[int, tuple[str, ...]]
    tagged: bool

    def __init__(self, *items: str, tagged: bool) -> None:
        _set(self, "state", (0, items))
        _set(self, "tagged", tagged)

    def get(self) -> tuple[int, tuple[str, ...]]:
        """Read the head: its number, and the items from it on."""
        state: tuple[int, tuple[str, ...]] = _state(self)
        return state

    def pop(self) -> str:
        """Take the top item off."""
        number, items = _state(self)
        _set(self, "state", (number + 1, items[1:]))
        return str(items[0])

    def append(self, item: str) -> None:
        """Put an item on top."""
        number, items = _state(self)
        _set(self, "state", (number + 1, (item, *items)))

    def setdefault(self, seen: tuple[int, tuple[str, ...]]) -> bool:
        """Take the top item off if the head is the one that was seen; tell whether it was."""
        number, items = _state(self)
        same = items[:1] == seen[1][:1] and (number == seen[0] or not _tagged(self))
        if same:
            _set(self, "state", (number + 1, seen[1][1:]))
        return same


_tagged = attrgetter("tagged")


def _aba(*, tagged: bool) -> None:
    stack = _Treiber("A", "B", "C", tagged=tagged)
    freed: list[str] = []

    def first() -> None:
        seen = stack.get()
        time.sleep(0)
        if stack.setdefault(seen):
            # What is on top now was looked up before the other thread's turn.
            assert not (freed and freed[0] in seen[1][1:2])

    def second() -> None:
        top = stack.pop()
        _append(freed, stack.pop())
        stack.append(top)

    workers = threads(first, second)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


_append = list.append


def treiber_aba(sim: Any) -> None:
    """The head is A again, but what followed it is gone."""
    _aba(tagged=False)


def treiber_aba_fixed(sim: Any) -> None:
    """The head carries a number that each change raises."""
    _aba(tagged=True)


# --- B08 ------------------------------------------------------------------------------------------


def check_then_act(sim: Any) -> None:
    """Both find the cache empty and fill it."""
    s = SimpleNamespace(entry=None)
    made: list[str] = []

    def look_up() -> None:
        if s.entry is None:
            _append(made, "entry")
            s.entry = "entry"

    workers = threads(look_up, look_up)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert made == ["entry"]


def check_then_act_fixed(sim: Any) -> None:
    """Looking and filling are one critical section."""
    s = SimpleNamespace(entry=None)
    made: list[str] = []
    m = threading.Lock()

    def look_up() -> None:
        m.acquire()
        if s.entry is None:
            _append(made, "entry")
            s.entry = "entry"
        m.release()

    workers = threads(look_up, look_up)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert made == ["entry"]
