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
            # What is on top now was looked up long ago. No point lies between this and the change.
            assert not any(_contains(freed, item) for item in seen[1][1:2])

    def second() -> None:
        top = stack.pop()
        _append(freed, stack.pop())
        stack.append(top)

    workers = threads(first, second)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


_append, _contains = list.append, list.__contains__


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


# --- B09 ------------------------------------------------------------------------------------------

_acquire, _release = threading.Condition.__enter__, threading.Condition.__exit__
_wait, _notify_all = threading.Condition.wait, threading.Condition.notify_all
_changed, _turn, _flags = attrgetter("changed"), attrgetter("turn"), attrgetter("flags")


class _Door:
    """Turn and flags of Peterson's algorithm; each call is one point. Two threads, 0 and 1.

    Instead of spinning, who must wait is woken when something has changed.
    """

    __slots__ = ("changed", "flags", "turn")

    _harness_sync = True

    def __init__(self) -> None:
        _set(self, "changed", threading.Condition())
        _set(self, "flags", (False, False))
        _set(self, "turn", 0)

    def put(self, turn: int) -> None:
        """Say whose turn it is."""
        self._change("turn", turn)

    def set(self, me: int, flag: bool) -> None:
        """Raise or lower a flag."""
        other = _flags(self)[1 - me]
        self._change("flags", (other, flag) if me else (flag, other))

    def wait(self, me: int) -> None:
        """Wait until the other's flag is down or it is my turn."""
        changed = _changed(self)
        _acquire(changed)
        while _flags(self)[1 - me] and _turn(self) != me:
            _wait(changed)
        _release(changed, None, None, None)

    def _change(self, name: str, value: object) -> None:
        changed = _changed(self)
        _acquire(changed)
        _set(self, name, value)
        _notify_all(changed)
        _release(changed, None, None, None)


def _peterson(*, flag_first: bool) -> None:
    door = _Door()
    s = SimpleNamespace(inside=0)

    def enter(me: int) -> None:
        if flag_first:
            door.set(me, True)
            door.put(1 - me)
        else:
            door.put(1 - me)
            door.set(me, True)
        door.wait(me)
        inside = s.inside + 1
        s.inside = inside
        assert inside == 1
        s.inside = inside - 1
        door.set(me, False)

    workers = tuple(threading.Thread(target=enter, args=(me,)) for me in (0, 1))
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def peterson(sim: Any) -> None:
    """The turn is given away before the flag is raised."""
    _peterson(flag_first=False)


def peterson_fixed(sim: Any) -> None:
    """The flag is raised first."""
    _peterson(flag_first=True)
