"""Counts traces as the published table does: depth first, with sleep sets and nothing else.

Every alternative is tried at every decision, unless it sleeps. Exhaustive search, which tries only
what races, finds the same bugs in fewer runs; but where a run ends in its middle, by an exception,
it leaves out ways in which only what others had done by then differs, and the table counts those.
It is no strategy to find bugs with.

Source: P. Godefroid, "Partial-Order Methods for the Verification of Concurrent Systems", 1996,
    chapter 5.
"""

from __future__ import annotations

from harness.search.exhaustive import Exhaustive
from harness.search.strategy import Ran


class SleepSets(Exhaustive):
    """Exhaustive search that tries everybody everywhere. One thread."""

    __slots__ = ()

    def learn(self, ran: Ran) -> None:
        """Note what the last run touched, and that all others are to be tried."""
        super().learn(ran)
        for node in self._nodes:
            node.backtrack.update(node.options)
