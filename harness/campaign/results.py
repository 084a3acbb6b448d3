"""Shows what campaigns have found: as a table, as JSON, as JUnit XML; from one file or from many.

    shard-1.sqlite ─┐
    shard-2.sqlite ─┼─► cells, each judged from all its shards ─► table │ JSON │ JUnit │ one file
    shard-3.sqlite ─┘   what is in two files is counted once

Nothing is imported but this package: a machine that has only the files can show them. It does not
know how they came about.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self
from xml.etree import ElementTree

from harness.errors import HarnessError, misuse

from .ledger import Ledger, Plan
from .merge import Declared, Merged, merge
from .outcomes import Outcome
from .units import Cut
from .workers import settings_of

#: Outcomes that are written into a file at a time.
AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Filter:
    """Which cells are shown.

    Args:
        scenario: a part of the scenario's name or file; empty for all.
        class_name: the class; None for all.
        verdict: `holds`, `inconclusive` or the name of a check; None for all.
    """

    scenario: str = ""
    class_name: str | None = None
    verdict: str | None = None

    def takes(self, cell: Declared) -> bool:
        """Tell whether a cell is shown, as far as its name goes."""
        return self.scenario in cell.scenario and self.class_name in (None, cell.class_name)


class Results:
    """The files of one campaign. One thread.

    Args:
        paths: the files, in any order.

    Raises:
        HarnessError: one cannot be read, or they are not of one campaign.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._stack = ExitStack()
        try:
            self._ledgers = [
                self._stack.enter_context(Ledger(path, is_read_only=True)) for path in paths
            ]
            plans = [_plan(ledger) for ledger in self._ledgers]
            for ledger, plan in zip(self._ledgers, plans, strict=True):
                _check_alike(ledger, plan, self._ledgers[0], plans[0])
            self.cells = _union(self._ledgers, plans)
        except BaseException:
            self._stack.close()
            raise
        self.plans = plans
        self._cut = Cut.of(settings_of(plans[0].settings))

    def close(self) -> None:
        """Close the files."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def merged(self, chosen: Filter | None = None) -> Iterator[Merged]:
        """Yield the cells, each made of all shards in all files.

        Raises:
            HarnessError: two shards of a cell are of different code.
        """
        chosen = chosen or Filter()
        for cell in self.cells:
            if chosen.takes(cell):
                units = self._cut.units(cell.scenario, cell.class_name, cell.case)
                made = merge(cell, units, self._outcomes(cell))
                if chosen.verdict in (None, made.verdict):
                    yield made

    def _outcomes(self, cell: Declared) -> Iterator[Outcome]:
        for ledger in self._ledgers:
            yield from ledger.outcomes(cell.key)

    def write(self, path: Path) -> int:
        """Write all that is in these files into a new one; return how many shards that are.

        Raises:
            HarnessError: it is there already, or cannot be written; or the files do not agree.
        """
        if path.exists():
            raise misuse("merge", str(path), "is there already.", "Name a new file.")
        # Beside its place until it is whole: half a campaign would look like one.
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            shards = self._write(part)
            part.replace(path)
        except OSError as exc:
            raise misuse(
                "merge", str(path), f"cannot be written: {exc.strerror}.", "Name another file."
            ) from None
        finally:
            for left in ("", "-lock", "-journal", "-wal", "-shm"):
                part.with_name(f"{part.name}{left}").unlink(missing_ok=True)
        return shards

    def _write(self, path: Path) -> int:
        shards = 0
        with Ledger(path) as ledger:
            ledger.begin(replace(self.plans[0], share=(1, 1), cells=tuple(self.cells)))
            for made in self.merged():
                for start in range(0, len(made.outcomes), AT_ONCE):
                    ledger.add(made.outcomes[start : start + AT_ONCE])
                shards += len(made.outcomes)
        return shards


def _plan(ledger: Ledger) -> Plan:
    plan = ledger.plan
    if plan is None:
        raise HarnessError(f"{ledger.path} holds no campaign yet. Name one that has been begun.")
    return plan


def _check_alike(ledger: Ledger, plan: Plan, first: Ledger, first_plan: Plan) -> None:
    """Raise unless two files are of one campaign.

    Raises:
        HarnessError: they are not; one line says in what they differ.
    """
    pairs: list[tuple[str, Any, Any]] = [("versions", plan.versions, first_plan.versions)]
    pairs += [
        (name, plan.settings.get(name), first_plan.settings.get(name)) for name in plan.settings
    ]
    for name, mine, theirs in pairs:
        if mine != theirs:
            raise HarnessError(
                f"{ledger.path} was made with {name}={mine!r}, and {first.path} with "
                f"{name}={theirs!r}: they cannot be counted together. Show them one by one."
            )


def _union(ledgers: Sequence[Ledger], plans: Sequence[Plan]) -> list[Declared]:
    found: dict[str, Declared] = {}
    for ledger, plan in zip(ledgers, plans, strict=True):
        for cell in plan.cells:
            if found.setdefault(cell.key, cell) != cell:
                raise HarnessError(
                    f"{ledger.path} has {cell.key} declared {cell.expected}, and another file "
                    f"{found[cell.key].expected}: they cannot be counted together."
                )
    return list(found.values())


# --- how they are shown ---------------------------------------------------------------------------

TITLES = ("component", "scenario", "class", "row", "expected", "verdict", "violating", "shards", "")


def table_row(cell: Merged) -> list[str]:
    """Return the row of a cell, below `TITLES`."""
    return [
        cell.declared.component,
        cell.declared.scenario.rpartition("::")[2],
        cell.declared.class_name,
        cell.declared.row or "",
        cell.declared.expected,
        cell.verdict,
        f"{cell.violating.total():,}/{cell.schedules:,}",
        f"{len(cell.units) - cell.missing:,}/{len(cell.units):,}",
        "" if cell.is_as_declared else "NOT AS DECLARED",
    ]


@dataclass(slots=True)
class Total:
    """The figures of several cells together. One thread."""

    cells: int = 0
    good: int = 0
    unfinished: int = 0
    schedules: int = 0
    virtual_seconds: float = 0.0
    seconds: float = 0.0
    missing: int = 0

    def add(self, cell: Merged) -> None:
        """Count a cell."""
        self.cells += 1
        self.good += cell.is_as_declared
        self.unfinished += cell.is_unfinished
        self.schedules += cell.schedules
        self.virtual_seconds += cell.virtual_seconds
        self.seconds += cell.seconds
        self.missing += cell.missing

    def __str__(self) -> str:
        unfinished = f", {self.unfinished} unfinished" if self.unfinished else ""
        missing = f" {self.missing:,} shards are missing." if self.missing else ""
        return (
            f"{self.good} of {self.cells} cells as declared{unfinished}; "
            f"{self.schedules:,} schedules, "
            f"{self.virtual_seconds:g} s of virtual time in {self.seconds:.2f} s of work.{missing}"
        )


def as_json(cell: Merged) -> dict[str, Any]:
    """Return what is known of a cell, as what JSON can carry."""
    declared, worth = cell.declared, cell.worth
    return {
        "scenario": declared.scenario.rpartition("::")[2],
        "path": declared.scenario.rpartition("::")[0],
        "component": declared.component,
        "class": declared.class_name or None,
        "case": declared.case or None,
        "row": declared.row,
        "expected": list(declared.caught_by) or "holds",
        "verdict": cell.verdict,
        "as_declared": cell.is_as_declared,
        "explanation": cell.explain(),
        "shards": len(cell.units),
        "missing": cell.missing,
        "problems": [
            {"shard": each.unit.index + 1, "unit": each.unit.key, "problem": each.problem}
            for each in cell.problems
        ],
        "schedules": cell.schedules,
        "violating": dict(sorted(cell.violating.items())),
        "failures": [
            {"check": each.check, "summary": each.summary, "token": each.token}
            for each in cell.failures
        ],
        "steps": cell.steps,
        "virtual_seconds": cell.virtual_seconds,
        "seconds": round(cell.seconds, 6),
        "exhausted": bool(cell.exhausted),
        "traces": worth.distinct(),
        "unseen": {name: round(worth.unseen(name), 6) for name in worth.samplers()},
    }


class JUnit:
    """Cells as JUnit XML: a test case each, with tokens as properties. One thread."""

    def __init__(self) -> None:
        self._suite = ElementTree.Element("testsuite", name="faultloom")
        self._seconds = 0.0
        self._counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}

    def add(self, cell: Merged) -> None:
        """Add the case of a cell."""
        self._seconds += cell.seconds
        self._counts["tests"] += 1
        declared = cell.declared
        case = ElementTree.SubElement(
            self._suite,
            "testcase",
            classname=declared.scenario.rpartition("::")[0].removesuffix(".py").replace("/", "."),
            name=declared.name,
            time=f"{cell.seconds:.3f}",
        )
        if cell.token is not None:
            properties = ElementTree.SubElement(case, "properties")
            ElementTree.SubElement(properties, "property", name="harness.replay", value=cell.token)
        if not cell.is_as_declared:
            first, _, rest = cell.explain().partition("\n")
            kind = "error" if cell.problems else "failure"
            self._counts[f"{kind}s"] += 1
            ElementTree.SubElement(case, kind, message=_printable(first)).text = _printable(rest)

    def text(self) -> str:
        """Return all of it."""
        for name, count in self._counts.items():
            self._suite.set(name, str(count))
        self._suite.set("time", f"{self._seconds:.3f}")
        suites = ElementTree.Element("testsuites")
        suites.append(self._suite)
        ElementTree.indent(suites)
        text = ElementTree.tostring(suites, encoding="unicode")
        return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def _printable(text: str) -> str:
    """Return a text without what XML cannot say."""
    return "".join(each if each.isprintable() or each in "\n\t" else "�" for each in text)
