"""Stand-ins for what is asked for things: a factory that counts, a source of activity.

They do not know what the things are.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Generic, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


class CountingFactory(Generic[P, T]):
    """A factory, or a manager that hands out a pool, that counts how often it is asked. Any thread.

    Args:
        make: makes the thing; an async function makes an async factory.
        name: how it is called in reports.
    """

    # invariant: calls = len(made) + failures + calls that are still in `make`
    def __init__(self, make: Callable[P, T], name: str = "factory") -> None:
        self.name = name
        self._make = make
        self._lock = threading.Lock()
        self._calls = 0
        self._failures = 0
        self._made: list[T] = []

    @property
    def calls(self) -> int:
        """How often it was asked."""
        return self._calls

    @property
    def failures(self) -> int:
        """How often it raised."""
        return self._failures

    @property
    def made(self) -> list[T]:
        """What it made, in order (of an async factory: the coroutines)."""
        with self._lock:
            return list(self._made)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Count, make one more, and return it.

        Raises:
            BaseException: whatever `make` raises.
        """
        with self._lock:
            self._calls += 1
        try:
            thing = self._make(*args, **kwargs)
        except BaseException:
            with self._lock:
                self._failures += 1
            raise
        with self._lock:
            self._made.append(thing)
        return thing


class StubActivity:
    """A source of activity ("how many streams are open?") that answers what the test says.

    Any thread.

    Args:
        *answers: what the next questions are answered with, one each; the last one stays. None
        given means 0.
    """

    def __init__(self, *answers: int) -> None:
        self._lock = threading.Lock()
        self._answers = deque(answers or (0,))
        self._asked = 0

    @property
    def asked(self) -> int:
        """How many questions were answered."""
        return self._asked

    def active(self) -> int:
        """Return how much goes on."""
        with self._lock:
            self._asked += 1
            return self._answers.popleft() if len(self._answers) > 1 else self._answers[0]

    def is_active(self) -> bool:
        """Tell whether anything goes on."""
        return self.active() > 0

    def set(self, active: int) -> None:
        """Answer `active` from now on."""
        with self._lock:
            self._answers = deque((active,))
