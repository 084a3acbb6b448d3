"""Every interleaving, without reduction: for models whose number of schedules is known.

Depth first over all choices. What it has exhausted is counted in runs, not in traces: two that
differ in the order of steps that have nothing to do with each other are two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.core.tape import Tape, replayed

from .exhaustive import MAX_WIDTH
from .strategy import Ran


@dataclass(slots=True)
class Every:
    """All tapes, the plain one first.

    Attributes:
        traces: the traces seen.
        schedules: how many runs were complete, each another one.
        incomplete: why it cannot be every one, empty if it can.
    """

    traces: set[int] = field(default_factory=set)
    schedules: int = 0
    incomplete: str = ""
    _choices: Sequence[int] = ()
    _widths: Sequence[int] = ()
    _begun: bool = field(default=False)

    def tape(self, run: int) -> Tape | None:
        """Return the next tape; None once all have been tried."""
        if not self._begun:
            self._begun = True
            return replayed((), log=[])
        for place in reversed(range(len(self._choices))):
            if self._choices[place] + 1 < self._widths[place] <= MAX_WIDTH:
                return replayed([*self._choices[:place], self._choices[place] + 1], log=[])
        return None

    def learn(self, ran: Ran) -> None:
        """Keep the choices: the next tape is the next in order."""
        self._choices, self._widths = ran.choices, ran.widths
        self.traces.add(ran.trace)
        self.schedules += ran.complete
        widest = max(ran.widths, default=0)
        if widest > MAX_WIDTH and not self.incomplete:
            self.incomplete = f"a choice among {widest:,} is not tried one by one"
