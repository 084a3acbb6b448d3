"""A lock for readers or one writer that lets no reader in once a writer waits, as Go's does.

Each call is one scheduling point, on the lock; see `channel.py` for how. A writer that has to wait
goes on in a second step.
"""

from __future__ import annotations

import threading
from operator import attrgetter
from typing import Literal

_acquire, _release = threading.Condition.__enter__, threading.Condition.__exit__
_wait, _notify, _notify_all = (
    threading.Condition.wait,
    threading.Condition.notify,
    threading.Condition.notify_all,
)
_entries, _free = attrgetter("entries"), attrgetter("free")
_readers, _writers, _writing = attrgetter("readers"), attrgetter("writers"), attrgetter("writing")
_set = object.__setattr__

Use = Literal["r", "w"]


class ReadersWriter:
    """The lock. Any thread.

    # invariant: `writing` is 0, or it is 1 and there are no readers.
    """

    # `_lock`: as in classes of the standard library, so that a search sees what a call will take.
    __slots__ = ("_lock", "entries", "free", "readers", "writers", "writing")

    _harness_sync = True

    def __init__(self) -> None:
        lock = threading.Lock()
        _set(self, "_lock", lock)
        _set(self, "entries", threading.Condition(lock))
        _set(self, "free", threading.Condition(lock))
        _set(self, "readers", 0)
        _set(self, "writers", 0)
        _set(self, "writing", 0)

    def acquire(self, use: Use) -> None:
        """Take it to read or to write."""
        entries, free = _entries(self), _free(self)
        _acquire(entries)
        if use == "r":
            while _writing(self) + _writers(self):
                _wait(entries)
            _set(self, "readers", _readers(self) + 1)
        else:
            _set(self, "writers", _writers(self) + 1)
            while _writing(self) + _readers(self):
                _wait(free)
            _set(self, "writers", _writers(self) - 1)
            _set(self, "writing", 1)
        _release(entries, None, None, None)

    def release(self, use: Use) -> None:
        """Give it back as it was taken: to a writer who waits, else to all readers who do."""
        entries, free = _entries(self), _free(self)
        _acquire(entries)
        if use == "r":
            _set(self, "readers", _readers(self) - 1)
        else:
            _set(self, "writing", 0)
        if not _readers(self):
            if _writers(self):
                _notify(free)
            else:
                _notify_all(entries)
        _release(entries, None, None, None)
