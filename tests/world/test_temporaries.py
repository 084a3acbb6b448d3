"""What a frame holds on its stack, and no variable, is known while it waits for a call."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from harness.world.temporaries import may_hold_unnamed

_seen: list[bool] = []
LOCK = threading.Lock()


def look(*_: object, **__: object) -> int:
    """Tell of the frame that called, which may be a C function's caller."""
    _seen.append(may_hold_unnamed(sys._getframe(1), sys._getframe(0)))
    return 1


class Shop:
    """It has a lock, and looks."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.look = look


def by_its_name() -> None:
    """The result of another call is in the variables of what is called."""
    look(str(1), key=[2])


def by_an_attribute() -> None:
    """As above."""
    Shop().look(3)
    shop = Shop()
    shop.look(str(3))


def with_arguments_of_its_own() -> None:
    """They are put together from what has a name."""
    given, named = [1], {"key": 2}
    look(*given, **named)


def in_a_loop_over_numbers() -> None:
    """The iterator has nothing else."""
    for _ in range(2):
        look()


def in_a_loop_over_a_constant() -> None:
    """Nobody takes anything out of it."""
    for _ in (1, 2):
        look()


def with_a_lock() -> None:
    """Its `__exit__` waits on the stack; it is still the lock of the shop."""
    shop = Shop()
    with LOCK, shop.lock:
        look()


@pytest.mark.parametrize(
    "function",
    [
        by_its_name,
        by_an_attribute,
        with_arguments_of_its_own,
        in_a_loop_over_numbers,
        in_a_loop_over_a_constant,
        with_a_lock,
    ],
)
def test_what_has_a_name_is_no_temporary(function: Callable[[], None]) -> None:
    """Each would be found from the variables."""
    _seen.clear()

    function()

    assert _seen
    assert not any(_seen)


def below_an_argument() -> None:
    """The list waits for what is put into it."""
    [0].copy().append(look())


def an_attribute_below_an_argument() -> None:
    """Somebody may give the shop another list meanwhile, and it is the old one that is used."""
    shop: Any = Shop()
    shop.sold = []
    shop.sold.append(look())


def in_a_loop_over_a_list() -> None:
    """It may be the only place where the list is."""
    for _ in [1, 2].copy():
        look()


def in_a_loop_over_somebodys_range() -> None:
    """Only the built-in one is known by its name."""

    def count() -> list[int]:
        return [1]

    for _ in count():
        look()


def with_a_lock_of_its_own() -> None:
    """Nobody but the statement has it."""
    with contextlib.nullcontext():
        look()


def by_c() -> None:
    """`sorted` has the list."""
    sorted([1, 2].copy(), key=look)


def while_it_handles_an_exception() -> None:
    """The exception leads to frames, and those to anything."""
    try:
        raise ValueError
    except ValueError:
        look()


@pytest.mark.parametrize(
    "function",
    [
        below_an_argument,
        an_attribute_below_an_argument,
        in_a_loop_over_a_list,
        in_a_loop_over_somebodys_range,
        with_a_lock_of_its_own,
        by_c,
        while_it_handles_an_exception,
    ],
)
def test_what_may_have_no_name_is_a_temporary(function: Callable[[], None]) -> None:
    """Whoever looked at variables alone would not find it."""
    _seen.clear()

    function()

    assert _seen
    assert all(_seen)
