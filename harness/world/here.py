"""Which run, if any, this operating-system thread is inside of.

Every replaced function asks here first; where there is no run, it is the real thing. It does not
know what a run is.
"""

from __future__ import annotations

import _thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .fibers import World


# A real thread-local, taken before anything is replaced: other threads of the process keep their
# real clocks and locks while a run goes on, and a context variable would not do, since a thread
# starts with an empty context.
class Here(_thread._local):
    """The run of this thread. Any thread; each sees its own."""

    world: World | None = None


here = Here()


def whose_turn() -> tuple[int, ...]:
    """Return the path of the thread or task that acts; empty if there is no run, or nobody does."""
    world = here.world
    current = None if world is None else world.kernel.current
    turn = None if current is None else current.turn
    return () if turn is None else tuple(turn.path)
