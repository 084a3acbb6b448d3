"""Makes the verdict of a cell from all its shards, whoever ran them, in whatever order.

    outcome 1/8 ─┐
    outcome 2/8 ─┼─► Merged: verdict, failures, traces, unseen mass, as one search would say it
       …         │
    outcome 8/8 ─┘   a shard that is missing is no pass

It asks for plain data only, so that a process which has imported no scenario can do it. It does not
know where outcomes are kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from harness.core.clock import to_seconds
from harness.errors import HarnessError
from harness.report.text import worth_rows
from harness.scenario import Column, Scenario, difference
from harness.search.worth import Worth

from .outcomes import TOLD, Found, Outcome
from .units import Unit, cell_key

#: Runs of samplers that must show nothing new before exhaustive search is believed.
WITNESSES: Final = 10


@dataclass(frozen=True, slots=True)
class Declared:
    """What a scenario says of one of its columns, as plain data.

    Args:
        scenario: what tokens call it.
        class_name: the class, empty without a subject.
        caught_by: the checks that must catch it; empty if it must hold.
        row: the row of the variant, if any.
        component: the component that the scenario belongs to.
        case: where pytest has parametrised the scenario, the id of the case.
        line: where in its file the scenario begins, 0 if nobody knows; it may move meanwhile.
    """

    scenario: str
    class_name: str = ""
    caught_by: tuple[str, ...] = ()
    row: str | None = None
    component: str = ""
    case: str = ""
    line: int = field(default=0, compare=False)

    @staticmethod
    def of(scenario: Scenario, column: Column, case: str = "") -> Declared:
        """Return what a scenario declares of a column."""
        return Declared(
            scenario.token_name,
            column.name,
            tuple(column.caught_by),
            column.row,
            scenario.component,
            case,
            scenario.line,
        )

    @property
    def name(self) -> str:
        """The scenario without its file, with class and case: `cold_key[CheckThenAct]`."""
        return cell_key(self.scenario.rpartition("::")[2], self.class_name, self.case)

    @property
    def title(self) -> str:
        """What messages call it: `path/to/storms.py::cold_key with CheckThenAct`."""
        return f"{self.scenario}{f' with {self.class_name}' if self.class_name else ''}"

    @property
    def key(self) -> str:
        """A text that no other cell has."""
        return cell_key(self.scenario, self.class_name, self.case)

    @property
    def expected(self) -> str:
        """`holds`, or the names of the checks."""
        return " or ".join(self.caught_by) or "holds"

    def to_json(self) -> dict[str, Any]:
        """Return it as what JSON can carry."""
        return {**asdict(self), "caught_by": list(self.caught_by)}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Declared:
        """Return what `to_json` was called on."""
        return Declared(**{**data, "caught_by": tuple(data["caught_by"])})


@dataclass(frozen=True, slots=True)
class Merged:
    """One cell, as all its shards together see it. Any thread.

    Args:
        declared: the cell, and what is expected.
        units: its shards.
        outcomes: what they came to, one for each shard that has been run, by index.
    """

    declared: Declared
    units: tuple[Unit, ...]
    outcomes: tuple[Outcome, ...]

    @property
    def missing(self) -> int:
        """How many shards have not been run, or not to their end."""
        return len(self.units) - sum(not each.unfinished for each in self.outcomes)

    @property
    def problems(self) -> list[Outcome]:
        """The shards that could not be run."""
        return [each for each in self.outcomes if each.problem]

    @property
    def unexpected(self) -> list[Found]:
        """The failures that the expectation does not account for, first shard first."""
        caught_by = self.declared.caught_by
        return [found for each in self.outcomes for found in each.unaccounted(caught_by)]

    @property
    def failures(self) -> list[Found]:
        """The failures to show, unexpected ones first; at most `TOLD`."""
        known = [found for each in self.outcomes for found in each.failures]
        expected = [found for found in known if found.check in self.declared.caught_by]
        return [*self.unexpected, *expected][:TOLD]

    @property
    def failure(self) -> Found | None:
        """The failure to show."""
        return next(iter(self.failures), None)

    @property
    def token(self) -> str | None:
        """The token of the failure to show."""
        return None if self.failure is None else self.failure.token

    @property
    def stale(self) -> tuple[str, ...]:
        """Pinned tokens that were to violate and no longer do."""
        if not self.declared.caught_by:
            return ()
        return tuple(pin for each in self.outcomes for pin in each.stale_pins)

    @property
    def violating(self) -> Counter[str]:
        """By check, how many runs violated it."""
        counts: Counter[str] = Counter()
        for each in self.outcomes:
            counts.update(each.violating)
        return counts

    @property
    def schedules(self) -> int:
        """How many runs were made."""
        return sum(each.schedules for each in self.outcomes)

    @property
    def steps(self) -> int:
        """Kernel steps of all runs."""
        return sum(each.steps for each in self.outcomes)

    @property
    def virtual_seconds(self) -> float:
        """Virtual time of all runs."""
        return to_seconds(sum(each.virtual_ns for each in self.outcomes))

    @property
    def seconds(self) -> float:
        """Real time that all shards took, whoever ran them: not how long one waited for them."""
        return sum(each.micros for each in self.outcomes) / 1e6

    @property
    def why_inconclusive(self) -> str:
        """Which limit was hit first, empty if none."""
        return next((each.why_inconclusive for each in self.outcomes if each.why_inconclusive), "")

    @property
    def worth(self) -> Worth:
        """What all runs that hold are worth."""
        worth = Worth()
        for each in self.outcomes:
            worth.merge(each.worth)
        return worth

    @property
    def exhausted(self) -> int:
        """How many traces there are, if one shard has seen them all and no other contradicts."""
        claims = [each for each in self.outcomes if each.exhausted]
        if not claims or self.violating or self.why_inconclusive:
            return 0
        seen = set(claims[0].met)
        witnessed = self._witnessed()
        # A strategy that was run alone has no witnesses, and is taken at its word.
        is_heard = sum(witnessed.values()) >= WITNESSES or len(self.units) == 1
        return claims[0].exhausted if is_heard and witnessed.keys() <= seen else 0

    @property
    def _exhausts(self) -> str:
        return next((each.exhausts for each in self.outcomes if each.exhausted), "trace")

    def _witnessed(self) -> Counter[int]:
        """Return the traces that others than exhaustive search have met."""
        met: Counter[int] = Counter()
        for each in self.outcomes:
            if not each.exhausted:
                for counts in each.traces.values():
                    met.update(dict(counts))
        return met

    @property
    def verdict(self) -> str:
        """`holds`, the name of a check, or `inconclusive`, as `Cell.verdict` says it."""
        if self.unexpected:
            return self.unexpected[0].check
        if self.problems or self.missing:
            return "inconclusive"
        if self.stale:
            return "holds"
        if self.failure is not None:
            return self.failure.check
        return "inconclusive" if self.why_inconclusive else "holds"

    @property
    def is_as_declared(self) -> bool:
        """Whether all shards have been run and the verdict is what the scenario says."""
        if self.missing or self.problems:
            return False
        caught_by = self.declared.caught_by
        return self.verdict in caught_by if caught_by else self.verdict == "holds"

    @property
    def is_unfinished(self) -> bool:
        """Whether it is not as declared for nothing but shards that are missing."""
        return bool(self.missing) and not self.unexpected and not self.problems

    @property
    def summary(self) -> str:
        """The verdict in a few words, such as `Holds (1,920 schedules)`."""
        if self.verdict == "inconclusive":
            return f"Inconclusive: {self._why()}"
        if self.verdict != "holds":
            return f"Violation: {self.verdict}"
        if self.exhausted:
            return f"Holds (exhausted: {_counted(self.exhausted, self._exhausts)})"
        return f"Holds ({_counted(self.schedules, 'schedule')})"

    def explain(self) -> str:
        """Say what is not as declared, with the verdict; empty if all is as declared."""
        if self.is_as_declared:
            return ""
        name = self.declared.title
        lines = [f"{name}: {self._why()}" for _ in range(bool(self.missing or self.problems))]
        if not lines or self.unexpected:
            lines.append(f"{name}: {self._difference()}")
            failure = self.failure
            lines.extend([failure.text] if failure is not None else [])
        return "\n".join(lines)

    def worth_rows(self) -> list[tuple[str, str]]:
        """Return the rows that say what a green verdict is worth."""
        return worth_rows(self.worth, self.exhausted, self._exhausts)

    def _why(self) -> str:
        if self.problems:
            first, *others = self.problems
            more = f" (and {len(others)} more)" if others else ""
            return f"shard {first.unit.index + 1} of {first.unit.of}: {first.problem}{more}"
        if self.missing:
            return (
                f"{self.missing} of {len(self.units)} shards "
                f"{'are' if self.missing > 1 else 'is'} missing."
            )
        return self.why_inconclusive

    def _difference(self) -> str:
        declared = self.declared
        return difference(
            declared.scenario,
            declared.class_name,
            declared.caught_by,
            self.verdict,
            schedules=self.schedules,
            violating=self.violating.total(),
            is_unexpected=bool(self.unexpected),
            stale=self.stale,
        )


def merged(
    scenario: Scenario,
    column: Column,
    units: Sequence[Unit],
    outcomes: Iterable[Outcome],
    *,
    case: str = "",
) -> Merged:
    """Return the cell that `units` are the shards of.

    Args:
        scenario: the scenario.
        column: the class, and what is expected.
        units: all shards of the cell.
        outcomes: what came of them, in any order, perhaps more than once.
        case: where pytest has parametrised the scenario, the id of the case.

    Raises:
        HarnessError: two outcomes are of different code or versions.
    """
    return merge(Declared.of(scenario, column, case), units, outcomes)


def merge(declared: Declared, units: Sequence[Unit], outcomes: Iterable[Outcome]) -> Merged:
    """Return the cell that `units` are the shards of, for whoever has no scenario at hand.

    A shard that was run twice is counted once; one that once could not be run, as it was run.

    Raises:
        HarnessError: two outcomes are of different code or versions.
    """
    found: dict[Unit, Outcome] = {}
    given = list(outcomes)
    check_alike(declared.key, given)
    for outcome in given:
        before = found.get(outcome.unit)
        if before is None or _rank(outcome) < _rank(before):
            found[outcome.unit] = outcome
    chosen = tuple(found[unit] for unit in sorted(units, key=_index) if unit in found)
    return Merged(declared, tuple(sorted(units, key=_index)), chosen)


def check_alike(name: str, outcomes: Iterable[Outcome]) -> None:
    """Raise unless outcomes are of one code, run by the same versions.

    Raises:
        HarnessError: they are not, and cannot be counted together.
    """
    ran = [each for each in outcomes if not each.problem]
    for each in ran[1:]:
        for what, mine, first in (
            ("code", each.fingerprint, ran[0].fingerprint),
            ("versions", each.versions, ran[0].versions),
        ):
            if mine != first:
                raise HarnessError(
                    f"{name}: shard {each.unit.index + 1} is of other {what} ({mine}) than shard "
                    f"{ran[0].unit.index + 1} ({first}): they cannot be counted together. "
                    "Run all shards with the same files, interpreter and packages."
                )


def _rank(outcome: Outcome) -> tuple[bool, bool, bool, str, str, str]:
    """Order what is known of one shard, so that of two the same is chosen whichever came first."""
    # Equal runs come to equal outcomes, but for the time: then either will do, if always the same.
    return (
        bool(outcome.problem),
        outcome.unfinished,
        outcome.is_crash,
        outcome.problem,
        outcome.versions,
        f"{outcome.fingerprint} {outcome.micros:020}",
    )


def _index(unit: Unit) -> int:
    return unit.index


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
