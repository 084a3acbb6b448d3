"""Stops a run in Python's debugger at one of its steps, for somebody who wants to look.

The prompt comes up before the access of the first scheduling point at or after that step, in the
frame of the code under test; from there on the commands are those of `pdb`. It does not know whose
run it is, nor what is wrong with it.
"""

from __future__ import annotations

import pdb  # noqa: T100 - this is what it is for
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import FrameType
from typing import Any

from .fibers import World
from .threads import is_plumbing


@dataclass(slots=True)
class Look:
    """Where a run is to stop, and whether it did. One run.

    Args:
        step: as verdicts count steps, from 1.
        announce: told `step` and name of who stopped there, before the prompt comes up.
        running: entered for the run that stops, and not for those that prepare or confirm it.
    """

    step: int
    announce: Callable[[int, str], None] = lambda _step, _who: None
    running: Callable[[], AbstractContextManager[object]] = nullcontext
    reached: bool = False
    debugger: Any = None

    @property
    def has_quit(self) -> bool:
        """Whether the person at the prompt wants no more of it."""
        return self.debugger is not None and self.debugger.quitting

    def watch(self, world: World) -> None:
        """Have a run that keeps a history, and has not begun, stop where it is to."""
        # Whoever traces is not to be lost at a switch.
        world.careful += 1
        note = world.note

        def noting(operation: str, target: str, outcome: str = "", **more: Any) -> None:
            note(operation, target, outcome, **more)
            step = world.kernel.steps + 1
            if step < self.step or self.reached or more.get("site") is None or world.stopping:
                return
            self.reached = True
            self.announce(step, world.actor_here()[1])
            self._prompt(_somebodys(sys._getframe(1)))
            if self.has_quit:
                world.abort(KeyboardInterrupt())

        world.__dict__["note"] = noting

    def _prompt(self, frame: FrameType) -> None:
        debugger: Any = pdb.Pdb(skip=["harness.*"], nosigint=True)
        self.debugger = debugger
        debugger.reset()
        outer: FrameType | None = frame
        while outer is not None:
            outer.f_trace = debugger.trace_dispatch
            debugger.botframe = outer
            outer = outer.f_back
        debugger.interaction(frame, None)
        # `continue` without a breakpoint is the end of tracing; all else goes on in the frame.
        if not debugger.quitting and (debugger.stoplineno != -1 or debugger.breaks):
            sys.settrace(debugger.trace_dispatch)


def _somebodys(frame: FrameType) -> FrameType:
    found: FrameType | None = frame
    while found is not None and is_plumbing(found.f_code.co_filename):
        found = found.f_back
    assert found is not None, "a point lies in somebody's code"
    return found
