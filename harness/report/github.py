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
        if each.as_declared:
            continue
        parts = {"file": each.path, "line": str(each.line), "title": each.name}
        told = ",".join(f"{name}={_property(text)}" for name, text in parts.items())
        yield f"::error {told}::{_data(each.explanation or each.headline)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
