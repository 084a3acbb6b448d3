"""Every exception of the harness and all its wording, in three families by whose fault it is.

`Violation`: the code under test. `HarnessError`: the caller of the harness. `InternalError`: the
harness itself. This module does not know how a run is made or judged; callers pass facts, it
makes sentences.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from inspect import (
    CORO_CREATED,
    getcoroutinestate,
    isasyncgenfunction,
    iscoroutinefunction,
    isgeneratorfunction,
)
from types import CoroutineType
from typing import Final

Evidence = tuple[tuple[str, str], ...]

_LABEL_WIDTH = 10

#: First part of the names of modules that are imported from a folder which is no package.
MADE_UP: Final = "harness_scenarios_"
_MADE_UP_PACKAGE: Final = re.compile(rf"\b{MADE_UP}[0-9a-f]+\.")
#: As in `<Box object at 0x7f2e45a4b910>`; a number that stands for itself is in no such brackets.
_ADDRESS: Final = re.compile(r" at 0x[0-9A-Fa-f]{6,}(?=[^\n]*>)")


class Violation(AssertionError):
    """What the code under test did that the scenario forbids. Any thread may raise one.

    Args:
        check: name of the check that found it (`"MaxInFlight"`, `"Deadlock"`, …).
        summary: one line, what was seen and what was allowed.
        evidence: rows of (label, text) shown below the summary, in order.
    """

    def __init__(self, check: str, summary: str, evidence: Iterable[tuple[str, str]] = ()) -> None:
        summary = plain(summary)
        super().__init__(check, summary)
        self.check = check
        self.summary = summary
        self.evidence: Evidence = tuple((label, plain(text)) for label, text in evidence)

    def with_evidence(self, rows: Iterable[tuple[str, str]]) -> Violation:
        """Return the same violation with `rows` added below the evidence it has."""
        more = Violation(self.check, self.summary, (*self.evidence, *rows))
        more.__cause__ = self.__cause__
        return more

    def __str__(self) -> str:
        return "\n".join([f"Violation: {self.summary}", *evidence_lines(self.evidence)])


class HarnessError(Exception):
    """The caller asked for what cannot be done. One line says what, the rule, the way out."""


class Blocked(HarnessError):
    """The run waits in something that is not simulated."""


class Nondeterminism(HarnessError):
    """The same tape led to two different runs."""


class Unsupported(HarnessError):
    """The code under test used something that is not simulated yet."""


class InternalError(Exception):
    """The harness broke one of its own promises. Please report it, with the seed."""

    def __init__(self, message: str) -> None:
        super().__init__(
            f"{message} This is a fault of the harness: please report it, with the seed."
        )


def misuse(name: str, value: object, rule: str, way_out: str) -> HarnessError:
    """Make the error for a bad argument: `name=value rule way_out`."""
    return HarnessError(f"{name}={plain(repr(value))} {rule} {way_out}")


def refuse_lazy(function: object, name: str) -> None:
    """Refuse a function of which a plain call runs nothing: whatever it was to show would hold.

    Args:
        function: what is to be called.
        name: of the argument.

    Raises:
        HarnessError: it makes a coroutine or generator.
    """
    if iscoroutinefunction(function):
        rule = "is a coroutine function, of which a thread would run nothing."
        way_out = "Make the scenario one, too, and storm by 'async with sim.storm(…)'."
        raise misuse(name, function, rule, way_out)
    if isgeneratorfunction(function) or isasyncgenfunction(function):
        rule = "has a yield, so that nothing of it would run."
        raise misuse(name, function, rule, "Take the yield out, or go through what it yields.")


def refuse_coroutine(value: object, who: str) -> None:
    """Refuse a coroutine that was returned and that nobody has run by the end.

    Args:
        value: what a function returned.
        who: what ran it.

    Raises:
        HarnessError: nothing of it has run, and whatever it was to show would hold.
    """
    if isinstance(value, CoroutineType) and getcoroutinestate(value) == CORO_CREATED:
        value.close()
        raise HarnessError(
            f"{who} returned {plain(repr(value))}, which nobody has awaited: nothing of it has "
            "run. Write await before what makes it."
        )


def plain(text: str) -> str:
    """Return a text without what only one process knows: addresses, and packages it made up.

    Two runs of one token, in whatever process and from whatever folder, are told in the same words.
    """
    return _ADDRESS.sub("", _MADE_UP_PACKAGE.sub("", text))


def evidence_lines(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Lay out evidence rows; a row whose label repeats the one above leaves it blank."""
    lines: list[str] = []
    above = ""
    for label, text in rows:
        shown = "" if label == above else label
        first, *others = text.splitlines() or [""]
        lines.append(f"  {shown:<{_LABEL_WIDTH}} {first}".rstrip())
        lines.extend(f"  {'':<{_LABEL_WIDTH}} {other}".rstrip() for other in others)
        above = label
    return lines


def blocked_outside(seconds: float, where: str) -> Blocked:
    """The watchdog found one step that does not end."""
    return Blocked(
        f"blocked outside the simulation: one step took more than {seconds:g} s of real time "
        f"at {where}. "
        "Everything that waits must be simulated: give the code under test a double, "
        "or make what it waits for inside the scenario."
    )


def unsupported(what: str, way_out: str) -> Unsupported:
    """The code under test reached for something that the world does not simulate."""
    return Unsupported(
        f"{what} is not simulated, and is refused rather than passed through. {way_out}"
    )


def nondeterminism(step: int, first: str, second: str) -> Nondeterminism:
    """Two runs of one tape parted at `step`."""
    return Nondeterminism(
        f"nondeterminism at step {step}: the same tape led to {first} in one run "
        f"and to {second} in another. "
        "The order comes from outside the tape: from hashes or addresses (iterating a set of "
        "objects), from state that a run leaves behind, or from a clock or file that is not "
        "simulated."
    )


def negative_seconds(name: str, value: float) -> HarnessError:
    """A duration below zero."""
    return misuse(
        name, value, "must not be negative: time does not run backwards.", "Use 0 for no wait."
    )


def no_world(what: str) -> HarnessError:
    """A call that means something only inside a run."""
    return HarnessError(
        f"{what} was called outside a run: it belongs inside a function that harness.explore runs."
    )
