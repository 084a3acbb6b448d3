"""The tape: the one source of choices of a run, and the record of what it answered.

A choice among n is an integer below n, and 0 is always what the real system would do by default. So
any list of integers is a valid run: where it ends, or asks for more than there is, the answer is 0.
The tape does not know what is chosen, but who goes on is asked apart from all else, so that a
search may look at those who could.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .access import Log

Draw = Callable[[int], int]
#: Given those who can go on, in the order of the choices, and whether the first is the one that ran
#: last and could go on, returns the index of who does.
Pick = Callable[[Sequence[Any], bool], int]


class Redundant(Exception):
    """Raised by a tape that picks: whatever this run still does, another has done."""


class Tape:
    """What a run asks and is told. One run, one thread.

    Args:
        draw: answers a choice among n with an integer 0 ≤ i < n.
        draw_fault: answers whether a possible fault comes true (0 or 1); by default `draw(2)`.
        pick: answers who goes on; by default `draw(how many)`, which costs less.
        known: answers what `pick` would be asked where one choice may mean another, and has `pick`
            see what it means: for a tape that repeats a run in order to look at it.
        log: filled with what the run touches, if given.
        uniform: what `draw` makes its answers of, if they are `int(uniform() * n)`: saves a call.

    Attributes:
        choices: every answer so far, in order.
        widths: among how many each was chosen. Same length as `choices`.
        choose: ask for a choice among n ≥ 2.
        fault: ask whether a possible fault comes true.
        pick: ask who goes on; None if `choose` is as good.
        ask: the same, without a record: whoever asks has a `note` of his own to make.
        known: as given.
        log: what the run touches; None if nobody wants to know.
        note: record a choice that somebody else made: `note(choice, options)`.
    """

    __slots__ = ("ask", "choices", "choose", "fault", "known", "log", "note", "pick", "widths")

    def __init__(
        self,
        draw: Draw,
        draw_fault: Draw | None = None,
        *,
        pick: Pick | None = None,
        known: Draw | None = None,
        log: Log | None = None,
        uniform: Callable[[], float] | None = None,
    ) -> None:
        choices: list[int] = []
        widths: list[int] = []
        keep, measure = choices.append, widths.append

        # Closures, not methods: this is called once per scheduling decision.
        def choose(options: int) -> int:
            choice = draw(options)
            keep(choice)
            measure(options)
            return choice

        def choose_uniformly(options: int) -> int:
            # The same as `draw`, one call less.
            choice = int(uniform() * options)  # type: ignore[misc] # only used if there is one
            keep(choice)
            measure(options)
            return choice

        def fault(options: int) -> int:
            choice = (draw_fault or draw)(options)
            note(choice, options)
            return choice

        def note(choice: int, options: int) -> None:
            keep(choice)
            measure(options)

        def pick_one(options: Sequence[Any], could_stay: bool) -> int:
            assert pick is not None, "only asked if there is one"
            choice = pick(options, could_stay)
            keep(choice)
            measure(len(options))
            return choice

        self.choices = choices
        self.widths = widths
        self.choose: Draw = choose if uniform is None else choose_uniformly
        self.fault: Draw = fault
        self.note: Callable[[int, int], None] = note
        self.pick: Pick | None = None if pick is None else pick_one
        self.ask = pick
        self.known = known
        self.log = log

    def let_go(self) -> None:
        """Forget who was asked and what was touched: the run is over, and was learnt from.

        What a run leaves behind holds its tape, in cycles. The log is most of it, and would wait
        for a collection.
        """
        self.pick = self.ask = self.known = self.log = None


def replayed(choices: Sequence[int], *, log: Log | None = None) -> Tape:
    """Return a tape that answers `choices`, then 0; a choice that is not to be had becomes 0."""
    position = 0

    def draw(options: int) -> int:
        nonlocal position
        choice = choices[position] if position < len(choices) else 0
        position += 1
        return choice if 0 <= choice < options else 0

    return Tape(draw, log=log)


def deviations(choices: Sequence[int]) -> int:
    """Count the answers that differ from what the real system would do by default."""
    return len(choices) - choices.count(0)
