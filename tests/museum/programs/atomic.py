"""Variables that change in one indivisible step, as an atomic instruction of the hardware does.

Each call is exactly one scheduling point, on the variable itself. Points are told by the name of
the method, so the methods bear names of containers: `get` reads; `add`, `update` and `setdefault`
write. Inside a method there is none: an attribute that a C function reads or writes is not seen.
"""

from __future__ import annotations

from operator import attrgetter

_value = attrgetter("value")
_set = object.__setattr__


class Atomic:
    """A number with atomic operations. Any thread."""

    __slots__ = ("value",)

    value: int

    def __init__(self, value: int) -> None:
        _set(self, "value", value)

    def get(self) -> int:
        """Read it."""
        return int(_value(self))

    def add(self, amount: int) -> int:
        """Add to it and return what it is then."""
        value = _value(self) + amount
        _set(self, "value", value)
        return int(value)

    def update(self, value: int) -> int:
        """Exchange it: set it and return what it was."""
        before = _value(self)
        _set(self, "value", value)
        return int(before)

    def setdefault(self, expected: int, value: int) -> bool:
        """Compare and set: set it if it is `expected`; tell whether it was."""
        if _value(self) != expected:
            return False
        _set(self, "value", value)
        return True
