"""Writes what is not as declared as annotations, which GitHub shows beside the line of a scenario.

A command of a workflow is one line on either stream, and its texts are escaped by rules of its own.
It does not know whether it runs there: whoever calls it asks `is_wanted`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from .results import Result


def is_wanted(environment: Mapping[str, str] | None = None) -> bool:
    """Tell whether this is a job of GitHub Actions."""
    return (os.environ if environment is None else environment).get("GITHUB_ACTIONS") == "true"


def annotations_of(results: Sequence[Result]) -> Iterator[str]:
    """Yield a line for each result that is not as declared."""
    for each in results:
        if not each.as_declared:
            yield annotation(each.path, each.line, each.name, each.explanation or each.headline)


def annotation(path: str, line: int, title: str, text: str) -> str:
    """Return the line that annotates a line of a file; the file alone if the line is 0."""
    parts = {"file": path, "line": str(line or ""), "title": title}
    told = ",".join(f"{name}={_property(part)}" for name, part in parts.items() if part)
    return f"::error {told}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
