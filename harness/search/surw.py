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

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.core.access import ACQUIRE, RELEASE, Log
from harness.core.tape import Tape

from .census import Census, Left, Thing, thing
from .random_walk import below, drawn, fractions, seed_of_run
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
        uniform = fractions(seed_of_run(self.seed, run + 1))
        log: Log = []
        walk = _Walk(_drawn_thing(self.census, uniform), self.census, log, uniform)
        return drawn(below(uniform), walk.pick, log, uniform=uniform)

    def learn(self, ran: Ran) -> None:
        """Count the events of the run."""
        self.census.count(ran)


def _drawn_thing(census: Census, uniform: Callable[[], float]) -> Thing:
    shared = census.contested()
    return list(shared)[weighted(list(shared.values()), uniform)] if shared else ""


class _Walk:
    """One run. One thread.

    invariant: whoever is about to touch the thing waits, but for the one who is intended.
    """

    def __init__(
        self, chosen: Thing, census: Census, log: Log, uniform: Callable[[], float]
    ) -> None:
        self.chosen = chosen
        self.left = Left(census.a_run(census.events.get(chosen, {})))
        self.met = census.met
        self.log = log
        self.uniform = uniform
        self.seen = 0
        # Of the event that each is about to make: its random number, at which of his points he drew
        # it, what it touches, and whether that is the thing.
        self.pending: dict[Any, tuple[float, int, int, bool]] = {}
        self.intended: Any = None
        # Who has the lock, if the thing is one: to him it is no event to give it back.
        self.holder: Path | None = None

    def pick(self, options: Sequence[Any], _could_stay: bool) -> int:
        """Say who goes on."""
        if self.seen < len(self.log):
            self._catch_up()
        pending, holder = self.pending, self.holder
        best, smallest = -1, 1.0
        intended, at = self.intended, -1
        for index, option in enumerate(options):
            found = pending.get(option)
            if found is None or found[1] != option.points:
                if option.path not in self.left.started:
                    self._start(option)
                    intended = self.intended
                key = option.key
                found = self.uniform(), option.points, key, self._touches(option)
                pending[option] = found
            elif found[2] != option.key:
                # Woken, he stands before something else.
                found = pending[option] = (*found[:2], option.key, self._touches(option))
            if option is intended:
                at = index
            if found[0] < smallest and (not found[3] or option.path == holder):
                best, smallest = index, found[0]
        if at < 0:
            at = self._intend(options)
        intended = options[at]
        number, _, _, touches = pending[intended]
        if touches and number < smallest and intended.path != holder:
            best = at
            self.intended = None
        del pending[options[best]]
        return best

    def _start(self, option: Any) -> None:
        """Note a new actor: what was drawn may have been an event of this child."""
        left, intended, path = self.left, self.intended, option.path
        left.start(path)
        if intended is not None and path[:-1] == intended.path:
            shares = (left.of(intended.path), left.of(path))
            if weighted([max(0.0, share) for share in shares], self.uniform):
                self.intended = option

    def _intend(self, options: Sequence[Any]) -> int:
        """Draw who makes the next event on the thing."""
        pending, left = self.pending, self.left.totals
        weights = [left.get(option.path, 0.0) for option in options]
        if min(weights) < 1.0:
            for index, option in enumerate(options):
                if weights[index] < 1.0:
                    # Whoever stands before an event has one left, whatever was expected.
                    is_one_left = pending[option][3] and option.path != self.holder
                    weights[index] = 1.0 if is_one_left else max(0.0, weights[index])
            if not any(weights):
                weights = [1.0] * len(options)
        index = weighted(weights, self.uniform)
        self.intended = options[index]
        return index

    def _touches(self, option: Any) -> bool:
        # Who stands before a lock or data has a key.
        if not option.key:
            return False
        met = thing(option.key, option.site, self.log[0][1])
        self.met.add(met)
        return met == self.chosen

    def _catch_up(self) -> None:
        """Count the events that have been made since the last decision."""
        log, chosen = self.log, self.chosen
        first = log[0][1]
        for turn, key, mode, site in log[self.seen :]:
            if turn is None or mode > RELEASE:
                continue
            touched = -key - first if key < 0 else site.called if site is not None else ""
            if touched == chosen:
                if mode != RELEASE:
                    self.left.take(turn.path)
                if key < 0:
                    self.holder = turn.path if mode == ACQUIRE else None
        self.seen = len(log)
