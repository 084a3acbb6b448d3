"""Strategies for Hypothesis: the choices of a run and the faults in it, beside inputs of one's own.

    @given(orders=st.lists(st.integers(1, 9)), tape=tapes(), plan=fault_plans(["bank"]))
    @scenario
    def test_money_is_conserved(sim, orders, tape, plan):
        sim.inject(plan, at_most=None, certain=True)

Inputs, faults and schedule shrink together: Hypothesis looks for the simplest inputs and faults for
which one of a few random walks fails; when it shows the example, that walk is shrunk in turn.
Without a tape each example is searched like any other scenario, which finds more and takes longer.
It does not run anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from harness.errors import misuse
from harness.faults import PASS, Delay, Fail, Site, Verdict
from harness.search.random_walk import Walks

#: What strikes unless something else is asked for, simplest first.
VERDICTS: tuple[Verdict, ...] = (Fail(ConnectionError), Fail(TimeoutError), Delay(1.0))


def tapes(runs: int = 10) -> st.SearchStrategy[Walks]:
    """Return a strategy of where random walks start; a scenario that is given one makes these only.

    What fails on one walk in ten would seem to hold under most seeds, and Hypothesis would leave
    inputs large for which no walk was found; so each example makes several.

    Args:
        runs: how many walks each example makes at most, at least 1.

    Raises:
        HarnessError: `runs` is no whole number, or below 1.
    """
    _at_least("runs", runs, 1, "One walk for each example is the least.")
    return st.builds(Walks, st.integers(0, 2**32 - 1), st.just(runs))


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Which calls fail, and how: a rule for `sim.inject(plan, at_most=None, certain=True)`.

    Args:
        faults: for each, the name of the double, the ordinal of the call from 1, and the verdict.
            The first that fits wins.
    """

    faults: tuple[tuple[str, int, Verdict], ...] = ()

    def __call__(self, site: Site) -> Verdict:
        """Return what strikes at `site`."""
        for name, ordinal, verdict in self.faults:
            if site.kind == "call" and (site.name, site.ordinal) == (name, ordinal):
                return verdict
        return PASS


def fault_plans(
    names: Sequence[str],
    *,
    verdicts: Sequence[Verdict] = VERDICTS,
    max_size: int = 3,
    max_ordinal: int = 20,
) -> st.SearchStrategy[FaultPlan]:
    """Return a strategy of fault plans.

    They shrink towards no fault, early calls, and verdicts that stand first.

    Args:
        names: the doubles that may fail, such as `["bank"]`.
        verdicts: what may strike, simplest first.
        max_size: how many faults at most, at least 1.
        max_ordinal: calls after this one do not fail, at least 1.

    Raises:
        HarnessError: nothing can fail, or a number is below 1.
    """
    if isinstance(names, str) or not names:
        raise misuse("names", names, "must name doubles.", 'Write fault_plans(["bank"]).')
    if not verdicts:
        raise misuse("verdicts", verdicts, "must not be empty.", "Leave it out for the usual ones.")
    _at_least("max_size", max_size, 1, "Leave the plan out for no faults.")
    _at_least("max_ordinal", max_ordinal, 1, "Calls are counted from 1.")
    fault = st.tuples(
        st.sampled_from(list(names)), st.integers(1, max_ordinal), st.sampled_from(list(verdicts))
    )
    return st.lists(fault, max_size=max_size, unique_by=lambda each: each[:2]).map(
        lambda faults: FaultPlan(tuple(faults))
    )


def _at_least(name: str, value: int, least: int, way_out: str) -> None:
    if not isinstance(value, int) or value < least:
        raise misuse(name, value, f"must be a whole number, and at least {least}.", way_out)
