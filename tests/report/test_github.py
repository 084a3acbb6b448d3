"""Annotations: one line each, escaped as GitHub reads them, and only for what nobody declared."""

from __future__ import annotations

from harness.report.github import annotations_of, is_wanted
from tests.report.making import result_with


def test_a_failure_is_one_line_at_its_scenario() -> None:
    """Colons and commas of a title are escaped, and line ends of the text."""
    result = result_with(
        None, class_name="A,B: C", explanation="cold_key: declared to hold\n  50 % of\r\nthem"
    )

    (line,) = annotations_of([result])

    assert line == (
        "::error file=scenarios/reader/storms.py,line=12,title=cold_key[A%2CB%3A C]"
        "::cold_key: declared to hold%0A  50 %25 of%0D%0Athem"
    )


def test_what_was_declared_is_not_told() -> None:
    """A variant that is caught is no error."""
    assert list(annotations_of([result_with(None, as_declared=True)])) == []


def test_only_in_a_job_of_github() -> None:
    """It sets a variable, which says true there and nothing elsewhere."""
    assert is_wanted({"GITHUB_ACTIONS": "true"})
    assert not is_wanted({"GITHUB_ACTIONS": "false"})
    assert not is_wanted({})
