"""What came of one cell of the kill matrix, as texts and numbers for reports.

It holds no class, function or traceback, so that it can be sent to another process and written
down. It does not judge: whoever makes one says what the verdict is.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from .story import Story


@dataclass(frozen=True, slots=True)
class Result:
    """One scenario with one class.

    Args:
        scenario: name of the function.
        component: the folder it belongs to.
        path: the file it stands in.
        line: of the function.
        claim: first line of its docstring.
        subject: name of the class under test, empty if there is none.
        class_name: name of the class that it ran with, empty if there is none.
        row: the row that a variant stands for, empty if none.
        case: what pytest calls its other parameters, empty if there are none.
        expected: names of the checks that must catch it; empty if it must hold.
        verdict: `holds`, the name of a check, or `inconclusive`.
        as_declared: the verdict is the expected one.
        summary: the verdict in a few words.
        schedules: how many runs were made.
        violating: how many of them violated.
        virtual_seconds: their virtual time.
        explanation: what is not as declared, empty if nothing is.
        violation: the whole verdict of the failure to show, empty if there is none.
        token: replays it.
        worth: what a verdict that holds is worth, in rows.
        story: the run that violates, None if there is none or nobody wanted it.
    """

    scenario: str
    component: str
    path: str
    line: int
    claim: str
    subject: str
    class_name: str
    row: str
    expected: tuple[str, ...]
    verdict: str
    as_declared: bool
    summary: str
    case: str = ""
    schedules: int = 0
    violating: int = 0
    virtual_seconds: float = 0.0
    explanation: str = ""
    violation: str = ""
    token: str = ""
    worth: tuple[tuple[str, str], ...] = ()
    story: Story | None = field(default=None)

    @property
    def name(self) -> str:
        """How verdicts call it: `cold_key[CheckThenAct]`."""
        parts = "-".join(part for part in (self.class_name, self.case) if part)
        return f"{self.scenario}[{parts}]" if parts else self.scenario

    @property
    def declared(self) -> str:
        """What was expected: `holds`, or the names of checks."""
        return " or ".join(self.expected) or "holds"

    @property
    def headline(self) -> str:
        """The first line of the verdict, or what is wrong otherwise."""
        first = self.violation.partition("\n")[0].removeprefix("Violation: ")
        return first or self.explanation.partition("\n")[0] or self.summary

    def to_json(self) -> dict[str, Any]:
        """Return it as lists, texts and numbers."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Result:
        """Return what `to_json` was made of."""
        given = dict(value)
        story = given.pop("story")
        given["expected"] = tuple(given["expected"])
        given["worth"] = tuple((label, text) for label, text in given["worth"])
        return cls(**given, story=None if story is None else Story.from_json(story))
