"""Shrinks a violating run: fewest preemptions and faults, then the shortest, and the same bug.

The run is taken apart into segments. Edits of that list are run, and what such a run recorded is
kept if it shows the same bug and is simpler; so every kept run is one that was made.

    A to 3 │ B to 2 │ A to 7 │ C to 4 │ B to 9 │ A     five preemptions
    A to 7 │ B to 9 │ C                                each goes on but once
    A to 7 │ B                                         the end is cut off

Large edits come first: halves of the list are merged so that each actor goes on but once in them,
which leaves those alone where the order matters. When few preemptions are left, each is tried as
the only one, then given up while another segment comes before. What is left of the budget, if
there are still two, is spent on single preemptions at other steps.

It does not know functions or worlds: it is told how to make a run of a tape.

Source: A. Zeller, R. Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE TSE 28
    (2002), section 3: from large parts to small ones.
Departs: parts are merged or moved before they are left out; nothing is tried twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from harness.core.tape import Tape, deviations
from harness.errors import HarnessError, Violation

from .bugs import Bug, bug_of
from .segments import END, Follow, Place, Recorder, Repeat, Segment
from .strategy import Path

#: How many replays a shrink may take.
BUDGET = 60
#: Among how many preemptions each is tried as the only one.
FEW = 10


class Run(Protocol):
    """What came of a tape."""

    violation: Violation | None
    choices: list[int]
    steps: int


R = TypeVar("R", bound=Run)


@dataclass(frozen=True, slots=True)
class Apart(Generic[R]):
    """A run, taken apart.

    Args:
        run: what came of it.
        segments: who went on until when, in order.
        draws: the choices that are not about who goes on, but for those that are 0.
    """

    run: R
    segments: tuple[Segment, ...]
    draws: dict[Place, int]

    @property
    def preemptions(self) -> int:
        """How often somebody was left who could have gone on."""
        return sum(segment.preempted for segment in self.segments)

    @property
    def faults(self) -> int:
        """How many possible faults came true."""
        return sum(is_fault for is_fault, _, _ in self.draws)

    @property
    def switches(self) -> int:
        """Preemptions, faults, and what else is not the default apart from who goes on."""
        return self.preemptions + len(self.draws)

    @property
    def cost(self) -> tuple[int, int, int, int]:
        """What is to be made small, the most important first."""
        choices = self.run.choices
        return self.switches, deviations(choices), self.run.steps, len(choices)


@dataclass(frozen=True, slots=True)
class Shrunk(Generic[R]):
    """What a shrink came to.

    Args:
        before: the run that was given.
        best: the simplest that was found; the same one if none is simpler.
        replays: how many runs were made.
        interrupted: it was stopped before its end.
    """

    before: Apart[R]
    best: Apart[R]
    replays: int
    interrupted: bool = False

    @property
    def summary(self) -> str:
        """What was won, such as `in 23 replays: 212 → 1 preemptions, 0 faults`."""
        replays = f"{self.replays} replay{'s' * (self.replays != 1)}"
        others = [len(each.draws) - each.faults for each in (self.before, self.best)]
        parts = [
            _change(self.before.preemptions, self.best.preemptions, "preemption"),
            _change(self.before.faults, self.best.faults, "fault"),
        ]
        if any(others):
            parts.append(_change(others[0], others[1], "other choice"))
        stopped = ", interrupted" if self.interrupted else ""
        return f"in {replays}{stopped}: {', '.join(parts)}"


def _change(before: int, after: int, noun: str) -> str:
    count = str(after) if before == after else f"{before} → {after}"
    return f"{count} {noun}{'s' * (before != 1 or after != 1)}"


def shrink(
    make: Callable[[Tape], R],
    found: R,
    budget: int = BUDGET,
    *,
    who: Callable[[], Path] | None = None,
) -> Shrunk[R] | None:
    """Return the simplest run with the bug of `found` that `budget` replays come to.

    Interrupted from the keyboard, it returns the simplest so far. None if the choices of `found`,
    made again, do not show its bug: then they do not tell all.

    Args:
        make: makes the run of a tape.
        found: a violating run.
        budget: how many runs may be made, at least 1.
        who: says, during a run, who makes a choice; so that a fault is told by whom it strikes.
    """
    assert found.violation is not None, "only violations are shrunk"
    bug = bug_of(found.violation)
    recorder = Repeat(found.choices, who)
    again = make(recorder.tape)
    if again.violation is None or bug_of(again.violation) != bug:
        return None
    before = _apart(again, recorder)
    shrinker = _Shrinker(make, before, bug, budget - 1, who)
    interrupted = False
    try:
        shrinker.shrink()
    except _Spent:
        pass
    except KeyboardInterrupt:
        interrupted = True
    return Shrunk(before, shrinker.best, 1 + shrinker.replays, interrupted)


def _apart(run: R, recorder: Recorder) -> Apart[R]:
    recorder.finish()
    return Apart(run, tuple(recorder.segments), recorder.draws)


class _Spent(Exception):
    """The budget is spent."""


class _Shrinker(Generic[R]):
    """Edits the simplest run so far until no edit makes it simpler. One shrink."""

    def __init__(
        self,
        make: Callable[[Tape], R],
        first: Apart[R],
        bug: Bug,
        budget: int,
        who: Callable[[], Path] | None,
    ) -> None:
        self._make = make
        self._who = who
        self._first = first
        self._bug = bug
        self._budget = budget
        self._tried: set[object] = set()
        self.best = first
        self.replays = 0

    def shrink(self) -> None:
        """Make passes over the list until they change nothing.

        Raises:
            _Spent: the budget does not suffice.
        """
        self._plain()
        self._cut()
        while any(self.best.cost[:2]):
            before = self.best.cost
            self._one_of(self.best.segments)
            self._merge()
            self._leave_out()
            self._pull()
            self._let_go()
            self._calm()
            if self.best.cost == before and not self._start_over():
                return

    def _try(self, segments: Iterable[Segment], draws: dict[Place, int] | None = None) -> bool:
        """Run an edited list; keep the run, and say so, if it is simpler."""
        wanted = self.best.draws if draws is None else draws
        edited = tuple(segments)
        key = (tuple((each.path, each.until) for each in edited), tuple(sorted(wanted.items())))
        if key in self._tried:
            return False
        if self.replays >= self._budget:
            raise _Spent
        self._tried.add(key)
        self.replays += 1
        recorder = Follow(edited, wanted, self._who)
        try:
            run = self._make(recorder.tape)
        except HarnessError:
            # This run cannot be made, or not judged; the failure that we have stands.
            return False
        if run.violation is None or not self._bug.is_shown_by(bug_of(run.violation)):
            return False
        found = _apart(run, recorder)
        if found.cost >= self.best.cost:
            return False
        self.best = found
        return True

    # --- passes -----------------------------------------------------------------------------------

    def _plain(self) -> None:
        """Take the default everywhere; or who goes on by default; or everything else."""
        draws = self.best.draws
        if self._try((), {}) or not draws:
            return
        faults = {place: choice for place, choice in draws.items() if place[0]}
        if not self._try((), faults):
            self._try(())
        if not self._try(self.best.segments, {}):
            self._try(self.best.segments, faults)

    def _cut(self) -> None:
        """Cut off the end, by bisection."""
        segments = self.best.segments
        low, high = 0, len(segments) - 1
        while low < high:
            middle = (low + high) // 2
            if self._try(segments[:middle]):
                high = middle
            else:
                low = middle + 1

    def _merge(self) -> None:
        """Have each actor go on but once in a part of the list; halves first, then smaller."""
        size = len(self.best.segments)
        while size >= 3:
            start = 0
            while start < len(self.best.segments):
                before, part, after = _split(self.best.segments, start, size)
                once = _once(part)
                if len(once) == len(part) or not self._try((*before, *once, *after)):
                    start += size
            size //= 2

    def _leave_out(self) -> None:
        """Leave out parts of the list; halves first, then smaller."""
        size = len(self.best.segments) // 2
        while size:
            start = 0
            while start < len(self.best.segments):
                before, _, after = _split(self.best.segments, start, size)
                if not self._try((*before, *after)):
                    start += size
            size //= 2

    def _pull(self) -> None:
        """Have an actor do at once what it does in its next segment."""
        start = 0
        while start < len(self.best.segments):
            before, (this,), after = _split(self.best.segments, start, 1)
            later = next((each for each in after if each.path == this.path), None)
            if later is None or not self._try((*before, later, *_without(after, later))):
                start += 1

    def _let_go(self) -> None:
        """Have an actor go on where it was preempted, at once or behind a later segment."""
        index = len(self.best.segments)
        while index:
            index -= 1
            before, (this,), after = _split(self.best.segments, index, 1)
            if not this.preempted:
                continue
            on = replace(this, until=END)
            edits = [(on, *after), *((each, on, *_without(after, each)) for each in after)]
            if any(self._try((*before, *edit)) for edit in edits):
                index = len(self.best.segments)

    def _calm(self) -> None:
        """Take the default where it is not about who goes on; halves first, then one by one."""
        size = len(self.best.draws)
        while size:
            start = 0
            while start < len(self.best.draws):
                places = sorted(self.best.draws)
                kept = places[:start] + places[start + size :]
                draws = {place: self.best.draws[place] for place in kept}
                if not self._try(self.best.segments, draws):
                    start += size
            size //= 2

    # --- a single preemption ----------------------------------------------------------------------

    def _one_of(self, segments: Sequence[Segment]) -> bool:
        """Have everybody go on in order, then with one of the preemptions of `segments`."""
        if self.best.preemptions and any(self._try(each) for each in _orders(segments, None)):
            return True
        stops = [segment for segment in segments if segment.preempted]
        return (
            self.best.preemptions > 1
            and len(stops) <= FEW
            and any(self._try(each) for stop in stops for each in _orders(segments, stop))
        )

    def _start_over(self) -> bool:
        """Try single preemptions that the simplest run so far does not have."""
        if self.best.preemptions < 2:
            return False
        return self._one_of(self._first.segments) or any(
            self._try(next(_orders(self.best.segments, stop)))
            for stop in _steps(self.best.segments)
        )


def _split(
    segments: Sequence[Segment], start: int, size: int
) -> tuple[Sequence[Segment], Sequence[Segment], Sequence[Segment]]:
    return segments[:start], segments[start : start + size], segments[start + size :]


def _without(segments: Iterable[Segment], one: Segment) -> list[Segment]:
    return [segment for segment in segments if segment is not one]


def _once(segments: Iterable[Segment]) -> list[Segment]:
    """Merge the segments of each actor into its first."""
    merged: dict[Path, Segment] = {}
    for segment in segments:
        known = merged.get(segment.path, segment)
        merged[segment.path] = max(known, segment, key=lambda each: each.until)
    return list(merged.values())


def _orders(segments: Sequence[Segment], stop: Segment | None) -> Iterator[list[Segment]]:
    """Yield lists in which everybody goes on to the end, but one is stopped once.

    First whoever was first of all: it starts the others. Then the one who is stopped, then the
    others in the order in which they were last seen, or first seen; the default goes on with the
    one who was stopped.
    """
    paths = [segment.path for segment in segments]
    main = paths[0]
    for order in (list(dict.fromkeys(reversed(paths)))[::-1], list(dict.fromkeys(paths))):
        others = [Segment(path, END) for path in order if path != main]
        if stop is not None:
            others = [stop, *(each for each in others if each.path != stop.path)]
        if stop is None or stop.path != main:
            others.insert(0, Segment(main, END))
        yield others


def _steps(segments: Iterable[Segment]) -> Iterator[Segment]:
    """Yield all steps before those at which somebody is preempted, early ones first."""
    last: dict[Path, int] = {}
    for segment in segments:
        if segment.preempted:
            last[segment.path] = segment.until[0]
    for points in range(1, max(last.values(), default=0) + 1):
        for path, most in last.items():
            if points <= most:
                yield Segment(path, (points, 0), preempted=True)
