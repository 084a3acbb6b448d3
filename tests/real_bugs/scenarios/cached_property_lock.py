"""Objects with cached properties, one of which waits for the other."""

import threading
from functools import cached_property

from harness import LeakBound, Simulation, scenario


class Node:
    """A value that is computed once, when the value of another node is there."""

    def __init__(self, after: threading.Event | None = None) -> None:
        self.after = after
        self.done = threading.Event()

    @cached_property
    def value(self) -> int:
        """The value."""
        if self.after is not None:
            self.after.wait()
        self.done.set()
        return 1


@scenario
def properties_of_two_objects_are_independent(sim: Simulation) -> None:
    """A property of one object waits for that of another, and gets it."""
    first = Node()
    second = Node(after=first.done)

    with sim.storm(LeakBound()) as storm:
        storm.spawn(lambda: first.value, name="first")
        storm.spawn(lambda: second.value, name="second")
