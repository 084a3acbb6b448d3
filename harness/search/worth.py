"""What a green run is worth: how many traces were seen, and how likely the next shows a new one.

A bug is a matter of the trace, so the chance that the next run of a sampler shows a bug not seen is
at most the chance that it shows a trace not seen: the unseen mass, estimated by the share of runs
whose trace was seen exactly once. It holds for each sampler by itself, if its runs are independent.

Source: I. J. Good, "The Population Frequencies of Species and the Estimation of Population
    Parameters", Biometrika 40, 1953; M. Böhme, "STADS: Software Testing as Species Discovery",
    TOSEM 27(2), 2018; for PCT's bound S. Burckhardt et al., ASPLOS 2010, theorem 9.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

#: Samplers whose runs are not independent: what one learns decides the next.
ADAPTIVE = frozenset({"plain", "exhaustive", "all", "delay", "preemption", "replay"})


@dataclass(slots=True)
class Worth:
    """Counts of traces, for each sampler.

    invariant: the counts of a sampler add up to its complete runs that were logged.
    """

    traces: dict[str, Counter[int]] = field(default_factory=dict)
    pct: dict[int, tuple[int, int, int]] = field(default_factory=dict)

    def add(self, sampler: str, trace: int) -> None:
        """Count one complete run."""
        self.traces.setdefault(sampler, Counter())[trace] += 1

    def merge(self, other: Worth) -> None:
        """Add what another search of the same function has counted."""
        for sampler, counts in other.traces.items():
            self.traces.setdefault(sampler, Counter()).update(counts)
        for depth, (runs, actors, decisions) in other.pct.items():
            before = self.pct.get(depth, (0, 1, 1))
            self.pct[depth] = (
                runs + before[0],
                max(actors, before[1]),
                max(decisions, before[2]),
            )

    def distinct(self) -> int:
        """Return how many traces were seen, by whomever."""
        return len(set().union(*self.traces.values()))

    def samplers(self) -> list[str]:
        """Return the samplers whose runs are independent, so that their unseen mass means much."""
        return sorted(name for name in self.traces if name.partition(":")[0] not in ADAPTIVE)

    def unseen(self, sampler: str) -> float:
        """Return the estimated chance that the next run of `sampler` shows a new trace."""
        counts = self.traces[sampler]
        runs = counts.total()
        return sum(1 for count in counts.values() if count == 1) / runs if runs else 1.0

    def rows(self) -> list[tuple[str, str]]:
        """Return the rows that a green verdict prints."""
        if not self.traces:
            return []
        rows = [("traces", f"{self.distinct():,} distinct")]
        parts = [
            f"{sampler} {self.unseen(sampler):.1%} of {self.traces[sampler].total():,}"
            for sampler in self.samplers()
        ]
        if parts:
            rows.append(("unseen", "at most, for the next run: " + ", ".join(parts)))
        for depth in (1, 2, 3):
            missed, runs = self.missed(depth)
            if runs:
                needs = f"{depth} ordering constraint{'s' * (depth > 1)}"
                chance = f"was missed with a chance of at most {_rounded_up(missed)}"
                basis = self._basis(depth)
                rows.append((f"depth {depth}", f"a bug that needs {needs} {chance} ({basis})"))
        return rows

    def missed(self, depth: int) -> tuple[float, int]:
        """Return the bound on the chance that PCT missed a bug of `depth`, and its runs."""
        # A bug of some depth is one of any greater depth, too: with a worse bound.
        missed, made = 1.0, 0
        for known, (runs, actors, decisions) in self.pct.items():
            if known >= depth:
                missed *= (1 - 1 / (actors * decisions ** (known - 1))) ** runs
                made += runs
        return missed, made

    def _basis(self, depth: int) -> str:
        return "; ".join(
            f"{runs:,} runs of PCT({known}), n = {actors}, k = {decisions:,}"
            for known, (runs, actors, decisions) in sorted(self.pct.items())
            if known >= depth
        )


def _rounded_up(chance: float) -> str:
    """Write a bound as a percentage that it does not exceed."""
    # What is not quite a whole number of tenths may be one, but what is not 0 is not.
    tenths = max(math.ceil(chance * 1_000 - 1e-6), int(chance > 0))
    return f"{tenths / 1_000:.1%}"
