"""A gauge of how many are inside a piece of code at once, and of the most that ever were.

It counts; it does not limit anybody (that is the code under test's business) and does not know what
it is put round.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from harness.errors import HarnessError

from .waiting import caller_name, checked_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


class InFlight:
    """A gauge to put round any code, as a context manager or with `enter()` and `leave()`.

    Any thread, any loop.

    Args:
        name: how it is called in reports.
    """

    # invariant: 0 ≤ value ≤ high_water, and high_water was really reached: it is taken from the
    # very increment
    def __init__(self, name: str) -> None:
        self.name = checked_name(name)
        self._lock = threading.Lock()
        self._value = 0
        self._high_water = 0
        self._total = 0
        self._inside: list[str] = []
        self._subscribers: dict[int, Callable[[int], None]] = {}
        self._subscribed = 0

    @property
    def value(self) -> int:
        """How many are inside now."""
        return self._value

    @property
    def high_water(self) -> int:
        """The most that were inside at once, since the start or the last reset."""
        return self._high_water

    @property
    def total(self) -> int:
        """How many have entered, since the start or the last reset."""
        return self._total

    def inside(self) -> list[str]:
        """Return the names of the threads and tasks that are inside."""
        with self._lock:
            return list(self._inside)

    def enter(self) -> None:
        """Count one more inside, then tell the subscribers.

        Raises:
            BaseException: whatever a subscriber raises; the entry is then undone.
        """
        value = self._rise()
        try:
            self._tell(value)
        except BaseException:
            self._fall()
            raise

    def leave(self) -> None:
        """Count one fewer inside, then tell the subscribers.

        Raises:
            HarnessError: nobody is inside.
        """
        self._tell(self._fall())

    def reset(self) -> None:
        """Start `total` and `high_water` afresh.

        Who is inside stays inside: `value` is a fact, not a statistic.
        """
        with self._lock:
            self._total = 0
            self._high_water = self._value

    def subscribe(self, callback: Callable[[int], None]) -> Callable[[], None]:
        """Call `callback(value)` after every entry and exit; return what undoes that.

        It is called in the thread that entered or left. No lock is held meanwhile: a
        callback may read every counter, and in real threads two calls may swap places.
        """
        with self._lock:
            self._subscribed += 1
            number = self._subscribed
            self._subscribers = {**self._subscribers, number: callback}

        def unsubscribe() -> None:
            with self._lock:
                self._subscribers = {
                    kept: other for kept, other in self._subscribers.items() if kept != number
                }

        return unsubscribe

    def __enter__(self) -> Self:
        self.enter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.leave()

    def __repr__(self) -> str:
        return f"<InFlight {self.name!r}: {self._value} now, {self._high_water} at most>"

    def _rise(self) -> int:
        who = caller_name()
        with self._lock:
            self._value += 1
            self._inside.append(who)
            self._total += 1
            self._high_water = max(self._high_water, self._value)
            return self._value

    def _fall(self) -> int:
        who = caller_name()
        with self._lock:
            if not self._value:
                raise HarnessError(
                    f"{self.name!r} was left by more than entered it. Call leave() once each."
                )
            self._value -= 1
            # Somebody else may leave for who entered: then it is the one who has been inside
            # longest.
            self._inside.remove(who if who in self._inside else self._inside[0])
            return self._value

    def _tell(self, value: int) -> None:
        # Whoever subscribes or takes it back makes a new dictionary: this one does not change.
        for subscriber in self._subscribers.values():
            subscriber(value)
