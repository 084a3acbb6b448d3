"""Tells in which step of its run each entry of a history happened, as verdicts count steps.

    who is at a point ──► the choice who goes on ──► what that one does ──► its next point
                          step 7 begins              is in step 7           step 8 begins

A point has the number of the step that begins at it, which is where `--stop-at` stops; all else
has that of the step it is in. Events say what it was when they came. What comes between two events
is counted; where choices were made there that nothing tells of, its step is not known.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.core.history import Aside, Event, History

from .because import merged


def in_steps(history: History, end: int) -> Iterator[tuple[Event | Aside, int]]:
    """Yield the entries of a history, each with its step: 0 where that is not known.

    Args:
        history: the record of a run.
        end: how many steps it had.
    """
    count = _Count()
    for each in merged(history):
        if isinstance(each, Event):
            yield each, count.at_event(each)
        else:
            at_most = history.events[each.at].step if each.at < len(history.events) else end
            yield each, count.at_aside(each, at_most)


class _Count:
    """Counts the choices of one run who goes on. One use.

    invariant: at least `now` have been made if each point was one, and no others if `is_sure`.
    """

    def __init__(self) -> None:
        self.now = 0
        self.is_sure = True
        # The last event, unless somebody was stopped, waited or went on since.
        self.last: Event | None = None
        # Who acts; None between a choice and who goes on by it.
        self.who: Any = None

    def at_event(self, event: Event) -> int:
        self.now = event.step + (event.operation == "point")
        self.is_sure = True
        self.last, self.who = event, event.by
        return self.now

    def at_aside(self, aside: Aside, at_most: int) -> int:
        last = self.last
        match aside.kind:
            case "stop":
                # Else a loop has let others go on between two of its turns.
                is_there = last is not None and last.operation == "point" and last.by == aside.who
                self.is_sure = self.is_sure and is_there
                self.last = self.who = None
            case "wait":
                # At a point that has to wait it is the same choice, most likely.
                is_there = last is not None and last.site is not None and last.site.blocks
                self.is_sure = self.is_sure and not is_there
                self.now += not is_there
                self.last = self.who = None
            case "back":
                if last is not None and last.operation == "end":
                    self.now += 1
                elif self.who is not None:
                    # A loop has nothing to do, or nothing is known of how the other one stopped.
                    self.is_sure = False
                self.last, self.who = None, aside.who
            case "gauge" | "fault" | "draw":
                has_slept = last is not None and last.operation == "sleep"
                self.is_sure = self.is_sure and aside.who == self.who and not has_slept
        return min(self.now, at_most) if self.is_sure or self.now >= at_most else 0
