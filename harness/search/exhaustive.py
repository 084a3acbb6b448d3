"""Exhaustive search: at least one run of every trace, by source-set DPOR with sleep sets.

Each run follows the decisions kept from the run before up to one place, takes another choice there,
and goes on as it likes. What it then touched tells which pairs of steps raced, and for each pair,
where another actor must be tried first so that they meet in the other order. A step that has been
explored at a place sleeps there until something it depends on happens; a run in which everybody
sleeps shows nothing new and is given up.

    decisions   d0 ── d1 ── d2 ── … one run
                │     └─ backtrack {q}: run again to d1, let q go on there
                └─ done {p: what its step touched}: p sleeps in what is explored here later

Choices that are not about who goes on (faults, ties, draws) are all tried, if they are few.

Source: P. Abdulla, S. Aronis, B. Jonsson, K. Sagonas, "Optimal Dynamic Partial Order Reduction",
    POPL 2014, section 4 (source sets); P. Godefroid, "Partial-Order Methods for the Verification of
    Concurrent Systems", 1996, chapter 5 (sleep sets).
Departs: a step is what an actor touched between two decisions, known once it was run; who waits for
    a lock is not enabled. Things are numbered in the order in which a run first touches them, which
    two runs share as far as they share decisions: what a sleeping step touched first of all counts
    as changed, so that it is woken rather than missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.core.access import ABORT, AWAIT, BIRTH, CROWD, PENDING, READ, UNSEEN, Log
from harness.core.tape import Redundant, Tape

from .happens_before import Event, events_and_races, initials
from .strategy import Path, Ran

#: More alternatives than this are not tried one by one: the search then cannot be exhaustive.
MAX_WIDTH = 16

#: A run with more accesses is not taken apart: what comes before what takes memory with the square.
LONGEST = 40_000

#: Accesses that change nothing.
QUIET = (READ, AWAIT)

#: Accesses after which the search cannot be exhaustive.
_BLIND = {
    CROWD: "too many wait for one lock to try them one by one",
    UNSEEN: "what a library keeps for itself, or does after a very long time, is in no log",
}

#: Who is to run, and until it has made how many accesses, in order.
Guide = list[tuple[Path, int]]


@dataclass(slots=True)
class Footprint:
    """What a step touched, in words that hold in another run up to the same decision.

    Args:
        things: how many things had been touched or made before the decision.
        known: of those, which it touched, by number, and whether it changed them.
        new: what it touched that nobody had: by the part of whatever it was, an attribute say.
        everything: it ended the run, which depends on whatever anybody does.
    """

    things: int
    known: dict[int, bool] = field(default_factory=dict)
    new: dict[int, bool] = field(default_factory=dict)
    everything: bool = False

    def meets(self, number: int, part: int, *, changes: bool) -> bool:
        """Tell whether an access of another run depends on this step, or might."""
        found = self.known.get(number) if number < self.things else self.new.get(part)
        return self.everything or (found is not None and (changes or found))


def _part(key: int, site: Any) -> int:
    """Return what two accesses to one thing share, whatever thing it is."""
    return site.part if site is not None else key >> 63


@dataclass(slots=True)
class _Node:
    """A decision on the way of the current run.

    invariant: `chosen` is below `width`; for a decision about who goes on, `width` is the number of
        `options`.
    """

    width: int
    chosen: int
    options: tuple[Path, ...] = ()
    # How many things had been touched before.
    things: int = 0
    backtrack: set[Path] = field(default_factory=set)
    done: dict[Path, Footprint] = field(default_factory=dict)
    sleep: dict[Path, Footprint] = field(default_factory=dict)
    # For those of `backtrack` that were added for a race: what is to be run so that it is reversed.
    guides: dict[Path, Guide] = field(default_factory=dict)


@dataclass(slots=True)
class Exhaustive:
    """Depth first, a trace at a time. One thread.

    Args:
        reduce: leave out what is equivalent; False if a log does not tell all that steps touch.

    Attributes:
        traces: the traces seen in complete runs; or their tapes, if nothing may be left out.
        met: the same, whatever was chosen besides who goes on.
        incomplete: why the search cannot be exhaustive, empty if it can.
    """

    reduce: bool = True
    traces: set[int] = field(default_factory=set)
    met: set[int] = field(default_factory=set)
    incomplete: str = ""
    _nodes: list[_Node] = field(default_factory=list)
    _log: Log = field(default_factory=list)
    _decisions: list[int] = field(default_factory=list)
    _position: int = 0
    _numbers: dict[int, int] = field(default_factory=dict)
    _seen: int = 0
    _asleep: dict[Path, Footprint] = field(default_factory=dict)
    _guide: Guide = field(default_factory=list)
    _accesses: dict[Path, int] = field(default_factory=dict)
    _begun: bool = False

    def tape(self, run: int) -> Tape | None:
        """Return the next tape; None once everything has been explored."""
        if self._begun and not self._advance():
            return None
        self._begun = True
        self._position = self._seen = 0
        self._log = []
        self._decisions = []
        self._numbers = {}
        self._asleep = {}
        self._accesses = {}
        return Tape(self._draw, pick=self._pick, log=self._log)

    def learn(self, ran: Ran) -> None:
        """Find the races of the last run, and who must be tried first where."""
        self._take_apart(ran)
        # It is long, and the search may be over.
        self._log = []

    def _take_apart(self, ran: Ran) -> None:
        del self._nodes[self._position :]
        if len(self._log) > LONGEST:
            self.incomplete = self.incomplete or "its runs are too long to compare step by step"
            self._nodes.clear()
            return
        self._catch_up(ends_run=True)
        if ran.complete:
            # What was not chosen by who goes on (faults, draws) tells runs apart, too.
            others = tuple(node.chosen for node in self._nodes if not node.options)
            trace = hash((ran.trace, others)) if self.reduce else hash(tuple(ran.choices))
            self.traces.add(trace)
            self.met.add(ran.trace)
        places = [place for place in self._decisions if place >= 0]
        events, races = events_and_races(self._log, places)
        nodes = [node for node in self._nodes if node.options]
        if not self.incomplete and _mixes(events, nodes):
            # How a loop and a thread beside it depend on each other is not all told by the log.
            self.incomplete = "threads run beside an event loop"
        aborting = _aborting(self._log, events)
        self._note_footprints(events, nodes, aborting)
        if self.reduce:
            races += self._cut_off(events, nodes, aborting)
            made = self._accesses_made(events) if races else []
            for first, second in races:
                self._reverse(events, nodes, made, first, second)
        else:
            for node in nodes:
                node.backtrack.update(node.options)

    # --- during a run -----------------------------------------------------------------------------

    def _draw(self, options: int) -> int:
        """Answer a choice that is not about who goes on."""
        last = self._position == len(self._nodes) - 1
        node = self._follow(options)
        if node is None:
            if options > MAX_WIDTH and not self.incomplete:
                self.incomplete = f"a choice among {options:,} is not tried one by one"
            self._catch_up()
            node = _Node(options, 0, sleep=dict(self._asleep))
            self._add(node)
        elif last:
            self._catch_up()
            self._asleep = dict(node.sleep)
        self._decisions.append(-1)
        return node.chosen

    def _pick(self, options: Sequence[Any], _could_stay: bool) -> int:
        """Say who goes on: as before up to the last place, then the first who does not sleep."""
        paths = tuple(option.path for option in options)
        last = self._position == len(self._nodes) - 1
        node = self._follow(len(options))
        if node is not None:
            # Divergence is found and named elsewhere: the same choices must be the same run.
            if last and node.options:
                self._catch_up()
                self._asleep = {**node.sleep, **node.done} if self.reduce else {}
            self._decisions.append(len(self._log))
            return node.chosen
        self._catch_up()
        chosen = self._next_choice(paths)
        node = _Node(len(paths), chosen, paths, len(self._numbers), sleep=dict(self._asleep))
        node.backtrack.add(paths[chosen])
        self._add(node)
        self._decisions.append(len(self._log))
        return chosen

    def _next_choice(self, paths: Sequence[Path]) -> int:
        """Say who goes on where no run has been: as the guide has it, else the first awake."""
        asleep, accesses = self._asleep, self._accesses
        for path, until in self._guide:
            if accesses.get(path, 0) < until and path in paths and path not in asleep:
                return paths.index(path)
        for index, path in enumerate(paths):
            if path not in asleep:
                return index
        raise Redundant

    def _follow(self, options: int) -> _Node | None:
        if self._position >= len(self._nodes):
            return None
        node = self._nodes[self._position]
        self._position += 1
        return node if node.chosen < options else None

    def _add(self, node: _Node) -> None:
        del self._nodes[self._position :]
        self._nodes.append(node)
        self._position += 1

    def _catch_up(self, *, ends_run: bool = False) -> None:
        """Number what was touched since the last look, and wake those who depend on it."""
        numbers, asleep, log = self._numbers, self._asleep, self._log
        # How many accesses in a row who acts has made.
        acting, made = None, 0
        for turn, key, mode, site in log[self._seen :]:
            if turn is None:
                asleep.clear()
                continue
            number = numbers.setdefault(key, len(numbers))
            if mode >= PENDING:
                if mode in _BLIND and not self.incomplete:
                    self.incomplete = _BLIND[mode]
                continue
            if turn is not acting:
                self._count(acting, made)
                acting, made = turn, 0
            made += 1
            if asleep and not ends_run:
                asleep.pop(turn.path, None)
                part, changes = _part(key, site), mode not in QUIET
                for path in [
                    path
                    for path, footprint in asleep.items()
                    if footprint.meets(number, part, changes=changes)
                ]:
                    del asleep[path]
        self._count(acting, made)
        self._seen = len(log)

    def _count(self, turn: Any, made: int) -> None:
        if made:
            self._accesses[turn.path] = self._accesses.get(turn.path, 0) + made

    # --- between runs -----------------------------------------------------------------------------

    @staticmethod
    def _cut_off(
        events: Sequence[Event], nodes: Sequence[_Node], aborting: int
    ) -> list[tuple[int, int]]:
        """Return the races with a step that ended the run for everybody: it races with them all."""
        if aborting < 0:
            return []
        node = nodes[events[aborting].decision] if events[aborting].decision >= 0 else None
        if node is not None:
            node.backtrack.update(node.options)
        last = {
            event.path: index for index, event in enumerate(events[:aborting]) if not event.pending
        }
        before = events[aborting].before
        return [(index, aborting) for index in last.values() if not before >> index & 1]

    def _note_footprints(
        self, events: Sequence[Event], nodes: Sequence[_Node], aborting: int
    ) -> None:
        """Keep what the step chosen at each decision touched."""
        log, numbers = self._log, self._numbers
        for index, event in enumerate(events):
            if event.decision < 0:
                continue
            node = nodes[event.decision]
            if event.path != node.options[node.chosen]:
                continue
            footprint = Footprint(node.things, everything=index == aborting)
            things, known, new = node.things, footprint.known, footprint.new
            born: set[int] = set()
            for turn, key, mode, site in log[event.start : event.end]:
                if mode == BIRTH:
                    # Nobody else can have it before some other access has handed it on.
                    born.add(key)
                elif turn is not None and mode < PENDING and key not in born:
                    number = numbers[key]
                    # An access that was made before, and changed no more, adds nothing.
                    if number < things:
                        if not known.get(number):
                            known[number] = mode not in QUIET
                    elif not new.get(part := _part(key, site)):
                        new[part] = mode not in QUIET
            node.done[event.path] = footprint

    def _accesses_made(self, events: Sequence[Event]) -> list[int]:
        """Return for each event how many accesses its actor had made at its end."""
        log = self._log
        totals: dict[Path, int] = {}
        made = []
        for event in events:
            total = totals.get(event.path, 0)
            for turn, _, mode, _ in log[event.start : event.end]:
                if turn is not None and mode < PENDING:
                    total += 1
            totals[event.path] = total
            made.append(total)
        return made

    def _reverse(
        self,
        events: Sequence[Event],
        nodes: Sequence[_Node],
        made: Sequence[int],
        first: int,
        second: int,
    ) -> None:
        """Have somebody else tried first where the event `first` was decided on."""
        event = events[first]
        if event.decision < 0:
            # Nobody else could have gone on.
            return
        able = initials(events, first, second)
        # The last ones are about whose turn it is in a loop, those before about which thread runs.
        places = nodes[event.first_decision : event.decision + 1]
        for node in places:
            tried = node.backtrack | node.sleep.keys()
            if any(path in tried for path in (*able, *map(_thread_of, able))):
                if event.path not in node.options or node.options[node.chosen] != event.path:
                    # What was tried is only the thread whose turn it was.
                    continue
                return
        for node in places:
            for path in (*able, *map(_thread_of, able)):
                if path in node.options and path != node.options[node.chosen]:
                    node.backtrack.add(path)
                    node.guides.setdefault(path, self._guide_to(events, made, first, second))
                    return
        for node in places:
            node.backtrack.update(node.options)

    def _guide_to(
        self, events: Sequence[Event], made: Sequence[int], first: int, second: int
    ) -> Guide:
        """Return what is to be run so that `second` comes before `first`."""
        return [
            (events[index].path, made[index])
            for index in range(first + 1, second + 1)
            if index == second or not (events[index].pending or events[index].before >> first & 1)
        ]

    def _advance(self) -> bool:
        """Choose the next alternative of the deepest decision that has one left."""
        nodes = self._nodes
        while nodes:
            node = nodes[-1]
            if not node.options:
                if node.chosen + 1 < node.width <= MAX_WIDTH:
                    node.chosen += 1
                    return True
            else:
                # What is not known to be independent of others is not kept asleep.
                unknown = Footprint(node.things, everything=True)
                node.done.setdefault(node.options[node.chosen], unknown)
                for index, path in enumerate(node.options):
                    if path in node.backtrack and path not in node.done and path not in node.sleep:
                        node.chosen = index
                        self._guide = node.guides.get(path, [])
                        return True
            nodes.pop()
        return False


def _aborting(log: Log, events: Sequence[Event]) -> int:
    """Return the index of the event that ended the run for everybody, -1 if none did."""
    place = next((place for place in reversed(range(len(log))) if log[place][2] == ABORT), -1)
    if place < 0:
        return -1
    return max(index for index, event in enumerate(events) if event.start <= place)


def _thread_of(path: Path) -> Path:
    """Return the thread in whose loop a task or callback has its turns; a thread is its own."""
    end = path.index(0, 1) if 0 in path[1:] else len(path)
    return path[:end]


def _mixes(events: Sequence[Event], nodes: Sequence[_Node]) -> bool:
    """Tell whether turns of an event loop stood beside threads that could have run instead."""
    if all(0 not in event.path[1:] for event in events):
        return False
    return any(0 not in path[1:] for node in nodes for path in node.options)
