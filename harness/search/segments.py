"""A run taken apart into segments: who goes on, and until which of its own steps.

    choices   1 0 0 1 0 2 0 …          one for each decision: means nothing when one is left out
    segments  A to 3 │ B to 2 │ A to 7 │ C …

Each actor counts its steps for itself. So a segment that is left out, moved or made longer leaves
what the others do where it was. Choices that are not about who goes on are told by who makes them
and by how many it made before.

Any list of segments is a run. Where it asks for what is not to be had, it passes on to the next
segment; after the last one the default is taken.

It does not know what a run is judged by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.tape import Draw, Tape

from .strategy import Path

#: How many scheduling points an actor has met, and how many decisions since the last of them.
Step = tuple[int, int]
#: A choice that is not about who goes on: whether it is a fault, by whom, and its number.
Place = tuple[bool, Path, int]

START: Step = (0, 0)
#: No actor gets there: a segment until then ends where its actor must wait, or ends.
END: Step = (1 << 62, 0)

_NOBODY: Path = ()


@dataclass(frozen=True, slots=True)
class Segment:
    """Somebody goes on until one of its own steps.

    Args:
        path: who.
        until: the step before which it stops.
        preempted: it could have gone on there.
    """

    path: Path
    until: Step
    preempted: bool = False


class Recorder:
    """Takes a run apart while it is made. One run.

    Args:
        who: says, during the run, who makes a choice; else it is whoever was last heard of.
        known: see `Tape`.

    Attributes:
        tape: the tape to make it with.
        segments: who went on until when, in order; complete after `finish`.
        draws: the choices that are not about who goes on, but for those that are 0.
    """

    def __init__(self, who: Callable[[], Path] | None = None, known: Draw | None = None) -> None:
        self.segments: list[Segment] = []
        self.draws: dict[Place, int] = {}
        self.tape = Tape(self._draw, self._draw_fault, pick=self._pick, known=known)
        self._who = who or self._last_heard_of
        # Who ran when we last heard of anybody.
        self._running: Any = None
        # The first decision of each that it has not passed.
        self._next: dict[Path, Step] = {}
        self._drawn: dict[tuple[bool, Path], int] = {}

    def answer_pick(self, options: Sequence[Any], *, could_stay: bool) -> int:
        """Say who goes on."""
        raise NotImplementedError

    def answer_draw(self, place: Place) -> int:
        """Answer a choice that is not about who goes on; 0 is taken if it is not to be had."""
        raise NotImplementedError

    def finish(self) -> None:
        """Close the last segment: the run is over."""
        if self._running is not None:
            self.segments.append(Segment(self._running.path, END))
            self._running = None

    def next_step(self, actor: Any) -> Step:
        """Return the first decision that one who waits for its turn has not passed."""
        known = self._next.get(actor.path, START)
        # Where nobody else could go on it was not asked, and has passed.
        return known if known[0] == actor.points else max(known, (actor.points, 1))

    def _pick(self, options: Sequence[Any], could_stay: bool) -> int:
        if not could_stay:
            index = self.answer_pick(options, could_stay=False)
            self._stop_for(options[index])
            self._resume(options[index])
            return index
        current = options[0]
        self._stop_for(current)
        self._running = current
        known = self._next.get(current.path, START)
        here = known if known[0] == current.points else (current.points, 0)
        self._next[current.path] = here
        index = self.answer_pick(options, could_stay=True)
        if index:
            self.segments.append(Segment(current.path, here, preempted=True))
            self._resume(options[index])
        else:
            self._next[current.path] = (here[0], here[1] + 1)
        return index

    def _resume(self, actor: Any) -> None:
        """Note that `actor` goes on: it passes the decision before which it stands."""
        if self._running is not actor:
            points, passed = self.next_step(actor)
            self._next[actor.path] = (points, passed + 1)
            self._running = actor

    def _stop_for(self, successor: Any) -> None:
        """Note that whoever ran before `successor`, if it is another, stopped by itself."""
        before = self._running
        if before is not None and before is not successor:
            until = self._next[before.path] = self.next_step(before)
            self.segments.append(Segment(before.path, until))

    def _draw(self, options: int) -> int:
        return self._answer(options, is_fault=False)

    def _draw_fault(self, options: int) -> int:
        return self._answer(options, is_fault=True)

    def _answer(self, options: int, *, is_fault: bool) -> int:
        who = self._who()
        number = self._drawn.get((is_fault, who), 0)
        self._drawn[is_fault, who] = number + 1
        place = (is_fault, who, number)
        choice = self.answer_draw(place)
        if not 0 < choice < options:
            return 0
        self.draws[place] = choice
        return choice

    def _last_heard_of(self) -> Path:
        return _NOBODY if self._running is None else self._running.path


class Repeat(Recorder):
    """Makes a run whose choices are known, to take it apart."""

    def __init__(self, choices: Sequence[int], who: Callable[[], Path] | None = None) -> None:
        super().__init__(who, self._next_choice)
        self._choices: Iterator[int] = iter(choices)

    def answer_pick(self, options: Sequence[Any], *, could_stay: bool) -> int:
        """Return the next choice; if there is one option, it is what the last choice meant."""
        return self._next_choice(len(options)) if len(options) > 1 else 0

    def _next_choice(self, options: int) -> int:
        choice = next(self._choices, 0)
        return choice if choice < options else 0

    def answer_draw(self, place: Place) -> int:
        """Return the next choice."""
        return next(self._choices, 0)


class Follow(Recorder):
    """Makes the run that a list of segments describes, with other choices by their places."""

    def __init__(
        self,
        segments: Sequence[Segment],
        draws: Mapping[Place, int],
        who: Callable[[], Path] | None = None,
    ) -> None:
        super().__init__(who)
        self._list = segments
        self._position = 0
        self._wanted = draws

    def answer_pick(self, options: Sequence[Any], *, could_stay: bool) -> int:
        """Return the one whose segment it is, or pass on to the next segment."""
        while self._position < len(self._list):
            segment = self._list[self._position]
            for index, option in enumerate(options):
                if option.path == segment.path:
                    stays = could_stay and index == 0
                    step = self._next[option.path] if stays else self.next_step(option)
                    if step < segment.until:
                        return index
            self._position += 1
        return 0

    def answer_draw(self, place: Place) -> int:
        """Return what was made there before."""
        return self._wanted.get(place, 0)
