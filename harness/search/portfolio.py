"""The portfolio: the plain run first, then several strategies in turn, one run each.

What finds a bug at once differs from program to program, by orders of magnitude; taking turns costs
at most as many times the best of them as there are members. Exhaustive search leaves after its
share of runs. If it says before that it has seen everything, the runs of the others bear witness:
a trace among them that it has not met means that steps depend on each other in ways no log tells,
such as through the data of a library. Then it cannot be believed, and the others go on. Where
exhaustive search has a process of its own, the others take turns without it.

Source: the measurements behind the reference counts of the museum (docs/design.md, "Search").
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING

from harness.core.tape import Tape

from .census import Census
from .exhaustive import Exhaustive
from .pct import PCT
from .pos import POS
from .surw import SURW
from .urw import URW

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .strategy import Ran, Strategy

#: Runs after which exhaustive search leaves.
EXHAUSTIVE_RUNS = 300
#: Runs of the others that must show nothing new before exhaustive search is believed.
WITNESSES = 10
#: Every so many turns PCT has one.
PCT_EVERY = 10


@dataclass(slots=True)
class Portfolio:
    """Several strategies in turn.

    Args:
        seed: where they start, 0 ≤ seed < 2**64.
        sees_all: the log of a run tells all that its steps touch.
        samplers_only: exhaustive search has no turns: somebody else sees to it.

    Attributes:
        member: whose tape the last one was.
        exhaustive: the member that may see everything; its traces count for the verdict.
    """

    seed: int = 0
    sees_all: bool = True
    samplers_only: bool = False
    member: str = "plain"
    exhaustive: Exhaustive = field(default_factory=Exhaustive)
    _census: Census = field(default_factory=Census)
    _members: dict[str, Strategy] = field(default_factory=dict)
    _turns: Iterator[str] | None = None
    _runs: dict[str, int] = field(default_factory=dict)
    _seen: bool = False
    _witnesses: int = 0
    _witnessed: set[int] = field(default_factory=set)

    @property
    def pct(self) -> dict[int, tuple[int, int, int]]:
        """What PCT says of itself, for each depth it was run with."""
        found: dict[int, tuple[int, int, int]] = {}
        for name, member in self._members.items():
            if isinstance(member, PCT) and name in self._runs:
                found |= member.pct
        return found

    def tape(self, run: int) -> Tape | None:
        """Return the tape of run number `run`; None once everything has been explored."""
        if self._turns is None:
            self._turns = self._order()
            self.exhaustive.reduce = self.sees_all
            self._members = {
                "exhaustive": self.exhaustive,
                "surw": SURW(self.seed, self._census),
                "urw": URW(self.seed, self._census),
                "pos": POS(self.seed),
                "pct:2": PCT(2, self.seed),
                "pct:3": PCT(3, self.seed),
            }
            return self._census.plain()
        if self._is_believed():
            return None
        tape = self._next_tape(self._turns)
        if tape is None:
            # It has seen everything that it could see: the others go on without it.
            self._seen = True
            self._runs["exhaustive"] = EXHAUSTIVE_RUNS
            if self._is_believed():
                return None
            tape = self._next_tape(self._turns)
        return tape

    def _next_tape(self, turns: Iterator[str]) -> Tape | None:
        self.member = next(turns)
        made = self._runs[self.member] = self._runs.get(self.member, 0) + 1
        return self._members[self.member].tape(made - 1)

    def _is_believed(self) -> bool:
        """Tell whether exhaustive search has seen everything, as far as the others can tell."""
        exhaustive = self.exhaustive
        if not self._seen or exhaustive.incomplete:
            return False
        if not self._witnessed <= exhaustive.met:
            exhaustive.incomplete = "steps depend on each other in ways that no log tells"
        return not exhaustive.incomplete and self._witnesses >= WITNESSES

    def learn(self, ran: Ran) -> None:
        """Have the member learn whose run it was; all share one census."""
        is_on = self._seen or self._runs.get("exhaustive", 0) < EXHAUSTIVE_RUNS
        is_on = is_on and not self.samplers_only
        if self.member != "exhaustive" and is_on and ran.complete and ran.log:
            self._witnesses += 1
            self._witnessed.add(ran.trace)
        if self.member in self._members and self.member not in ("surw", "urw"):
            self._members[self.member].learn(ran)
        # Not every run of those who learn nothing is logged.
        if ran.complete and ran.log:
            self._census.count(ran)

    def _order(self) -> Iterator[str]:
        """Yield whose turn it is."""
        samplers = ("surw", "urw", "pos")
        pct = cycle(("pct:2", "pct:3"))
        others = cycle(samplers if self.samplers_only else ("exhaustive", *samplers))
        turn = 0
        while True:
            turn += 1
            if turn % PCT_EVERY == 0:
                yield next(pct)
                continue
            name = next(others)
            if name == "exhaustive" and self._runs.get(name, 0) >= EXHAUSTIVE_RUNS:
                name = next(others)
            yield name
