"""What is called tells by itself what it does only if it is what Python would call."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from harness.world.called import Calling, Use, tells_itself, use_of


class _Kind(type):
    def add(cls, thing: Any) -> None:
        """Nothing."""


class _Shelf:
    add: Any

    def put(self, thing: Any) -> None:
        """Nothing."""


class _Box(_Shelf, metaclass=_Kind):
    pass


class _Queue(deque[Any]):
    def put(self, thing: Any) -> None:
        """Nothing."""


def _told(function: Any) -> bool:
    return getattr(function, "__module__", "") == __name__


def _box_with_a_put_of_its_own() -> _Box:
    box = _Box()
    vars(box)["put"] = [].append
    return box


_Shelf.add = [].append


@pytest.mark.parametrize(
    ("receiver", "method", "tells"),
    [
        (_Box(), "put", True),
        (_box_with_a_put_of_its_own(), "put", False),
        (_Box, "add", False),
        (_Queue(), "put", False),
        (_Box(), "missing", False),
    ],
    ids=["a method", "its own first", "a class", "has a state", "has none"],
)
def test_who_tells_by_itself_uses_nothing(receiver: Any, method: str, *, tells: bool) -> None:
    """Where the short way says so, the long one finds nothing; else it may find something."""
    calling = Calling(_told, method)

    assert tells_itself(receiver, calling) is tells
    use = use_of((receiver, []), calling)
    if tells:
        assert use == Use()
    elif method != "missing":
        assert use.things
