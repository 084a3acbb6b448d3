"""SURW: choose one shared thing, and make every order of the events on it equally likely.

Each run draws a thing with a chance in proportion to its events. Which actor makes the next event
on it is drawn as in URW; whoever else comes to such an event is held back until that one has made
its own. Everything else is run in random order.

Source: H. Zhao, D. Wolff, U. Mathur, A. Roychoudhury, "Selectively Uniform Concurrency Testing",
    ASPLOS 2025, section 4 (algorithm 2).
Departs: counts are the mean over the runs so far; things are known by names (see `census.py`);
    only things that at least two actors touch are drawn, where one stood before it while another
    could go on; to give a lock back is no event; what is only ever touched under a lock counts as
    that lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.core.access import ACQUIRE, RELEASE, Log
from harness.core.tape import Draw, Tape

from .census import Census, Left, Thing, thing
from .random_walk import drawn, numbers, seed_of_run
from .strategy import Path, Ran
from .urw import weighted


@dataclass(slots=True)
class SURW:
    """A walk that is uniform over the orders of the events on one thing.

    Args:
        seed: where it starts, 0 ≤ seed < 2**64.
        census: what it counts with; shared with others if given.
    """

    seed: int = 0
    census: Census = field(default_factory=Census)

    def tape(self, run: int) -> Tape:
        """Return the tape of run number `run`; without a census, the plain run makes one."""
        if not self.census.runs:
            return self.census.plain()
        below = numbers(seed_of_run(self.seed, run + 1))
        chosen = _drawn_thing(self.census, below)
        log: Log = []
        return drawn(below, _Walk(chosen, self.census, log, below).pick, log)

    def learn(self, ran: Ran) -> None:
        """Count the events of the run."""
        self.census.count(ran)


def _drawn_thing(census: Census, below: Draw) -> Thing:
    shared = census.contested()
    return list(shared)[weighted(list(shared.values()), below)] if shared else ""


class _Walk:
    """One run. One thread.

    invariant: `held` are those who were about to touch the thing out of turn.
    """

    def __init__(self, chosen: Thing, census: Census, log: Log, below: Draw) -> None:
        self.chosen = chosen
        self.left = Left(census.events.get(chosen, {}))
        self.met = census.met
        self.log = log
        self.below = below
        self.seen = 0
        self.known: dict[int, bool] = {}
        # The random number of the pending event, and at which of its points the actor drew it.
        self.order: dict[Path, tuple[int, int]] = {}
        self.held: set[Path] = set()
        self.intended: Path | None = None
        # Who has the lock, if the thing is one: to him it is no event to give it back.
        self.holder: Path | None = None

    def pick(self, options: Sequence[Any], _could_stay: bool) -> int:
        """Say who goes on."""
        if self.seen < len(self.log):
            self._catch_up()
        order, held, started = self.order, self.held, self.left.started
        numbered = []
        is_there = False
        for index, option in enumerate(options):
            path = option.path
            if path not in started:
                self._start(path)
            found = order.get(path)
            if found is None or found[1] != option.points:
                found = order[path] = (self.below(1 << 53), option.points)
                held.discard(path)
            numbered.append((found[0], index))
            if path == self.intended:
                is_there = True
        if not is_there:
            self._intend(options)
        numbered.sort()
        while True:
            for _, index in numbered:
                option = options[index]
                path = option.path
                if path in held:
                    continue
                # Who stands before a lock or data has a key.
                if option.key and self._touches(option):
                    if path != self.intended:
                        held.add(path)
                        continue
                    self.intended = None
                    held.clear()
                del order[path]
                return index
            self._intend(options)

    def _start(self, path: Path) -> None:
        """Note a new actor: what was drawn may have been an event of this child."""
        left, intended = self.left, self.intended
        left.start(path)
        if intended is not None and path[:-1] == intended:
            shares = (left.of(intended), left.of(path))
            if weighted([max(0.0, share) for share in shares], self.below):
                self.intended = path

    def _intend(self, options: Sequence[Any]) -> None:
        self.held.clear()
        # Whoever stands before an event has one left, whatever was expected.
        weights = [
            max(float(self._touches(option)), self.left.of(option.path)) for option in options
        ]
        if not any(weights):
            weights = [1.0] * len(options)
        self.intended = options[weighted(weights, self.below)].path

    def _touches(self, option: Any) -> bool:
        key = option.key
        if not key or option.path == self.holder:
            return False
        known = self.known.get(key)
        if known is None:
            self.met.add(thing(key, option.site, self.log[0][1]))
            return self._is_chosen(key, option.site)
        return known

    def _is_chosen(self, key: int, site: Any) -> bool:
        known = self.known.get(key)
        if known is None:
            known = thing(key, site, self.log[0][1]) == self.chosen
            # A container has the name of who uses it, and many may.
            if key < 0 or site is None or site.part:
                self.known[key] = known
        return known

    def _catch_up(self) -> None:
        """Count the events that have been made since the last decision."""
        log, known = self.log, self.known
        for place in range(self.seen, len(log)):
            turn, key, mode, site = log[place]
            if turn is None or mode > RELEASE:
                continue
            is_chosen = known.get(key)
            if is_chosen is None:
                is_chosen = self._is_chosen(key, site)
            if is_chosen:
                if mode != RELEASE:
                    self.left.take(turn.path)
                if key < 0:
                    self.holder = turn.path if mode == ACQUIRE else None
        self.seen = len(log)
