"""How many events each actor has in a run, and on what: the mean over the runs so far.

Actors are told by their spawn path and things by a name that every run gives them. A census goes
stale where control flow depends on the schedule; so it is a running mean, and whoever uses it
treats a count that has run out as one more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.core.access import ACQUIRE, RELEASE, Log
from harness.core.tape import Tape

from .strategy import Path, Ran

#: What a lock is called: its place among the locks of a run.
Thing = int | str


@dataclass(slots=True)
class Census:
    """Sums over runs.

    Attributes:
        points: scheduling points of each actor, by path.
        events: of each thing, events of each actor on it; giving a lock back is none.
        guards: of each thing, the locks under which alone it has been touched so far.
        met: the things before which an actor has stood, so that others could go first.
        runs: how many were counted.
    """

    points: dict[Path, int] = field(default_factory=dict)
    events: dict[Thing, dict[Path, int]] = field(default_factory=dict)
    guards: dict[Thing, frozenset[Thing]] = field(default_factory=dict)
    met: set[Thing] = field(default_factory=set)
    runs: int = 0

    def plain(self) -> Tape:
        """Return the tape of the plain run, which shows what others could have met first."""
        log: Log = []

        def pick(options: Sequence[Any], _could_stay: bool) -> int:
            self.met.update(
                thing(option.key, option.site, log[0][1]) for option in options if option.key
            )
            return 0

        return Tape(lambda _options: 0, pick=pick, log=log)

    def count(self, ran: Ran) -> None:
        """Add a run."""
        self.runs += 1
        points, events = self.points, self.events
        for path, count in ran.points.items():
            points[path] = points.get(path, 0) + count
        first = ran.log[0][1]
        held: dict[Path, set[Thing]] = {}
        # A lock may be given back by another actor: every wait for a condition ends like that.
        holders: dict[Thing, Path] = {}
        guards, no_locks = self.guards, set[Thing]()
        # Of each turn, how often it has touched what in this run. By identity: the log keeps them,
        # and to hash a path takes longer than all else here.
        made: dict[int, tuple[Path, dict[Thing, int]]] = {}
        acting, path, own = None, (), dict[Thing, int]()
        for turn, key, mode, site in ran.log:
            if turn is None or mode > RELEASE:
                continue
            if turn is not acting:
                acting = turn
                found = made.get(id(turn))
                if found is None:
                    found = made[id(turn)] = turn.path, {}
                path, own = found
            touched = -key - first if key < 0 else site.called if site is not None else ""
            is_first = touched not in own
            if mode != RELEASE:
                if is_first:
                    # In the order of the log, whoever is the first.
                    events.setdefault(touched, {}).setdefault(path, 0)
                    own[touched] = 0
                own[touched] += 1
            if key > 0:
                if not (is_first or held):
                    continue
                guarding = guards.get(touched)
                if guarding is None:
                    guards[touched] = frozenset(held.get(path, no_locks))
                elif guarding:
                    mine = held.get(path, no_locks)
                    if not guarding <= mine:
                        guards[touched] = guarding & mine
            elif mode == ACQUIRE:
                held.setdefault(path, set()).add(touched)
                holders[touched] = path
            elif mode == RELEASE and touched in holders:
                held[holders.pop(touched)].discard(touched)
        for path, own in made.values():
            for touched, count in own.items():
                events[touched][path] += count

    def a_run(self, counts: Mapping[Path, int]) -> dict[Path, float]:
        """Return the mean of sums over the runs so far."""
        return {path: count / self.runs for path, count in counts.items()}

    def contested(self) -> dict[Thing, float]:
        """Return what several actors touch in orders that are to be had, with its events.

        What is only ever touched under one lock counts as that lock: whoever is held back before
        it keeps the others from the lock.
        """
        found: dict[Thing, float] = {}
        for each, counts in self.events.items():
            guarding = self.guards.get(each)
            deciding = min(guarding, key=str) if guarding else each
            if len(counts) > 1 and deciding in self.met and len(self.events[deciding]) > 1:
                found[deciding] = found.get(deciding, 0.0) + sum(counts.values()) / self.runs
        return found


def thing(key: int, site: Any, first: int) -> Thing:
    """Name what is touched so that every run gives it the same name.

    A lock is called by its place among those that the run has made, after the number `first`; data
    by its own name, a container by the function that uses it.
    """
    if key < 0:
        return -key - first
    if site is None:
        return ""
    called: str = site.called
    return called


@dataclass(slots=True)
class Left:
    """How many events each actor still has in a run, with those of children not yet started.

    Args:
        counts: expected events of each actor by path.

    Attributes:
        started: whose share has been taken from those who might have started them.
        totals: what each actor has left, below 0 if it made more than was expected.
    """

    counts: dict[Path, float]
    started: set[Path] = field(default_factory=set)
    totals: dict[Path, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        totals: defaultdict[Path, float] = defaultdict(float)
        for path, count in self.counts.items():
            for length in range(1, len(path) + 1):
                totals[path[:length]] += count
        self.totals = dict(totals)

    def start(self, path: Path) -> bool:
        """Take a child's share from those who might have started it; tell if it is new."""
        if path in self.started:
            return False
        self.started.add(path)
        share = self.totals.get(path, 0.0)
        for length in range(1, len(path)):
            if path[:length] in self.totals:
                self.totals[path[:length]] -= share
        return True

    def of(self, path: Path) -> float:
        """Return what `path` has left, children not yet started included."""
        return max(0.0, self.totals.get(path, 0.0))

    def take(self, path: Path) -> None:
        """Note one event of `path`."""
        self.totals[path] = self.totals.get(path, 0.0) - 1
