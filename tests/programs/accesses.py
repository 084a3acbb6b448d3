"""One function for each kind of access that reports have words for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

numbers = [1, 2, 3]
total = 0


class Box:
    """Holds things."""

    def __init__(self) -> None:
        self.items: list[Any] = [1]
        self.lock = threading.Lock()
        self.count = 0


def read_an_attribute(box: Box) -> None:
    _ = box.count  # read box.count


def write_an_attribute(box: Box) -> None:
    box.count = 1  # write box.count


def read_a_subscript(items: list[Any]) -> None:
    _ = items[0]  # read items[...]


def read_a_subscript_of_an_attribute(box: Box) -> None:
    _ = box.items[  # read box.items | read box.items[...]
        len("x") - 1
    ]


def write_a_subscript(items: list[Any]) -> None:
    items[0] = 1  # write items[...]


def call_a_method(items: list[Any]) -> None:
    items.append(3)  # call items.append()


def call_a_method_of_an_attribute(box: Box) -> None:
    box.items.append("(")  # read box.items | call box.items.append()


def call_a_reader(items: list[Any]) -> None:
    len(items)  # call len(items)


def write_a_global(_: object) -> None:
    global total  # noqa: PLW0603 - that is what it shows
    total = 1  # write global total


def enter(box: Box) -> None:
    with box.lock as _:  # read box.lock | with box.lock | end of with box.lock
        pass


def leave_by_an_exception(box: Box) -> None:
    try:
        with box.lock as _:  # read box.lock | with box.lock | end of with box.lock
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass


def enter_at_once(box: Box) -> None:
    box.lock.acquire()  # read box.lock | call box.lock.acquire()
    box.lock.release()  # read box.lock | call box.lock.release()


def step_through(items: list[Any]) -> None:
    for _ in items:  # iterate items | iterate items
        return


def look_into(items: list[Any]) -> None:
    _ = 1 in items  # look at 1 in items


def extend(items: list[Any]) -> None:
    items += [3]  # change items += [3]


def say_much(items_by_a_name_that_takes_more_room_than_there_is: list[Any]) -> None:
    # call len(items_by_a_name_that_takes_more_room_than_t…
    len(items_by_a_name_that_takes_more_room_than_there_is)


#: What is called with what.
WITH_BOX: list[Callable[[Any], None]] = [
    read_an_attribute,
    write_an_attribute,
    read_a_subscript_of_an_attribute,
    call_a_method_of_an_attribute,
    enter,
    leave_by_an_exception,
    enter_at_once,
]
WITH_ITEMS: list[Callable[[Any], None]] = [
    read_a_subscript,
    write_a_subscript,
    call_a_method,
    call_a_reader,
    write_a_global,
    step_through,
    look_into,
    extend,
    say_much,
]
