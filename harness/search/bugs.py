"""What makes two violations the same bug: the same check, the same sentence, the same places.

Numbers and names differ between two runs of one bug: how many were lost, and which of ten equal
workers it was. So numbers are masked, in names too, and of lists of names one is as good as many.
A simpler run of a bug may involve fewer actors and places; none that the bug did not have.

It does not know checks: a violation is its sentence and its rows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from harness.errors import Violation

#: Rows that say what else happened, in which order or with which values.
_BESIDE: Final = frozenset({"assert", "crashed", "elsewhere", "logged", "modes", "raised", "when"})

_NAME: Final = re.compile(r"'[^']*'(?: …)?")
_NAMES: Final = re.compile(r"'…'(?:(?:, | and )'…')+")
_NUMBER: Final = re.compile(r"\d[\d,.]*(?<![,.])")
_COUNTED: Final = re.compile(r"# (\w+?)s\b")
_PLACE: Final = re.compile(r"([^\s'\"(]+\.pyw?):(\d+)")


@dataclass(frozen=True, slots=True)
class Bug:
    """What a violation is about.

    Args:
        check: the check that was violated.
        sentence: what was seen, without names and numbers.
        names: who or what it names, without numbers.
        places: where: file and line.
    """

    check: str
    sentence: str
    names: frozenset[str]
    places: frozenset[str]

    def is_shown_by(self, other: Bug) -> bool:
        """Tell whether `other`, of a simpler run, is this bug and none besides."""
        return (
            (self.check, self.sentence) == (other.check, other.sentence)
            and self.names >= other.names
            and self.places >= other.places
            and bool(self.places) == bool(other.places)
        )


def bug_of(violation: Violation) -> Bug:
    """Return what a violation is about."""
    rows = [text for label, text in violation.evidence if label not in _BESIDE]
    found = [place for text in rows for place in _PLACE.findall(text)]
    if violation.check == "Livelock":
        # Where in its loop the last look catches who goes round is a matter of counting.
        places = frozenset(file for file, _ in found)
    else:
        places = frozenset(f"{file}:{line}" for file, line in found)
    if violation.check == "Failed" and places:
        # The text of an assertion is full of values; its place says which one it is.
        return Bug(violation.check, "", frozenset(), places)
    names = frozenset(_NUMBER.sub("#", name) for name in _NAME.findall(violation.summary))
    return Bug(violation.check, _masked(violation.summary), names, places)


def _masked(sentence: str) -> str:
    text = _NAMES.sub("'…'", _NAME.sub("'…'", sentence))
    # One waits, several wait.
    return _COUNTED.sub(r"# \1", _NUMBER.sub("#", text)).replace("'…' waits ", "'…' wait ")
