"""Imported by nobody but a function that runs in two threads at once."""

from __future__ import annotations

import threading

_lock = threading.Lock()
_asked = 0


def answer() -> int:
    """Return the answer, counting under a lock made at import."""
    global _asked  # noqa: PLW0603 - what is tested
    with _lock:
        _asked = _asked + 1
    return 42
