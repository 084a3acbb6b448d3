"""Cuts a cell, one scenario with one class, into shards that can be run anywhere, in any order.

    cold_key[CheckThenAct], 1,920 schedules   exhaustive 240 │ samplers 240 │ samplers 240 │ …
                                              index 0        │ 1            │ 2            │ of 8

What a shard does follows from the cell alone: from its schedules and its strategy, never from how
many workers there are. Each starts its strategy afresh. Faults that are walked one by one are run
in the first shard only, and so are pins. This module does not know who runs a shard, or what comes
of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from harness.errors import misuse
from harness.explore import SEEDS, Settings
from harness.scenario import Column, Scenario

#: Schedules of a shard.
SHARD: Final = 240
#: Of the schedules of the portfolio, exhaustive search has one in so many, but at most a shard.
EXHAUSTIVE_SHARE: Final = 4
#: How far apart the seeds of two shards are. Run n of a search from seed s has the seed s·φ + n
#: mod 2**64, where φ is odd: so two shards of one cell are at least 2**32 seeds apart, and below
#: 2**32 the base seed of a cell is never that of another's shard.
STRIDE: Final = 2**32

#: Strategies that see all that they can in one go, and would only see it again from another seed.
_ONE_SHARD: Final = frozenset({"all", "delay", "exhaustive", "plain", "preemption"})


@dataclass(frozen=True, slots=True)
class Unit:
    """One shard of one cell. Any thread, and any process that has the same files.

    Args:
        scenario: what tokens call it: `path/to/storms.py::cold_key`.
        class_name: the class it runs with, empty without a subject.
        strategy: what this shard runs, such as `exhaustive`, `samplers` or `surw`.
        seed: where this shard starts.
        schedules: how many runs its search may make.
        index: its number among the shards of the cell, from 0.
        of: how many they are.
        case: where pytest has parametrised the scenario, the id of the case.
    """

    scenario: str
    class_name: str
    strategy: str
    seed: int
    schedules: int
    index: int
    of: int
    case: str = ""

    @property
    def key(self) -> str:
        """A text that no other unit has, the same in every process."""
        return (
            f"{self.cell} {self.index + 1}/{self.of} {self.strategy}@{self.seed}x{self.schedules}"
        )

    @property
    def cell(self) -> str:
        """A text that all shards of a cell share, and no shard of another."""
        return cell_key(self.scenario, self.class_name, self.case)

    def to_json(self) -> dict[str, Any]:
        """Return it as what JSON can carry."""
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> Unit:
        """Return what `to_json` was called on."""
        return Unit(**data)


def cell_key(scenario: str, class_name: str, case: str = "") -> str:
    """Return the text that names a cell: `path/to/storms.py::cold_key[CheckThenAct]`."""
    parts = "-".join(part for part in (class_name, case) if part)
    return f"{scenario}[{parts}]" if parts else scenario


@dataclass(frozen=True, slots=True)
class Cut:
    """How every cell under some settings is cut.

    Args:
        seed: the base seed.
        shards: for each shard, what it runs and how often.
    """

    seed: int
    shards: tuple[tuple[str, int], ...]

    @staticmethod
    def of(settings: Settings) -> Cut:
        """Return how cells are cut.

        Raises:
            HarnessError: the settings name seeds one by one, which leaves nothing to cut.
        """
        if settings.seeds is not None:
            raise misuse(
                "seeds",
                settings.seeds,
                "cannot be cut into shards.",
                "Leave it out, and say with seed=N where all shards start.",
            )
        return Cut(settings.seed, tuple(_shards(settings.strategy, settings.schedules)))

    def unit(self, index: int, scenario: str, class_name: str, case: str = "") -> Unit:
        """Return one shard of a cell."""
        strategy, schedules = self.shards[index]
        seed = (self.seed + index * STRIDE) % SEEDS
        return Unit(scenario, class_name, strategy, seed, schedules, index, len(self.shards), case)

    def units(self, scenario: str, class_name: str, case: str = "") -> list[Unit]:
        """Return all shards of a cell, in order."""
        return [self.unit(index, scenario, class_name, case) for index in range(len(self.shards))]


def units_of(
    scenario: Scenario, column: Column, settings: Settings, *, case: str = ""
) -> list[Unit]:
    """Return the shards of a cell, in order.

    A column that is to survive is searched by all schedules, too: that is what stress is for.

    Raises:
        HarnessError: as `Cut.of`.
    """
    return Cut.of(settings).units(scenario.token_name, column.name, case)


def _shards(strategy: str, schedules: int) -> Iterator[tuple[str, int]]:
    """Yield what each shard runs, and how often."""
    name = strategy.partition(":")[0]
    if name in _ONE_SHARD:
        yield strategy, 1 if name == "plain" else schedules
        return
    if name == "portfolio":
        strategy = "samplers"
        exhaustive = min(SHARD, schedules // EXHAUSTIVE_SHARE)
        schedules -= exhaustive
        if exhaustive:
            yield "exhaustive", exhaustive
    full, rest = divmod(schedules, SHARD)
    for _ in range(full):
        yield strategy, SHARD
    if rest:
        yield strategy, rest
