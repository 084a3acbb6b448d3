"""The cases are declared as they must be, and the table says so when one is not met."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from tests.real_bugs.__main__ import Row, judged
from tests.real_bugs.cases import CASES, SCHEDULES, Case
from tests.real_bugs.side import scenario_of

FOLDER = Path(__file__).parent / "scenarios"
CASE = CASES[0]


def outcome(**differences: Any) -> dict[str, Any]:
    """Return what a search that found the bug of `CASE` came to."""
    text = " … ".join(CASE.says)
    found = {"verdict": CASE.check, "schedules": 1, "first": 1, "exhausted": 0, "text": text}
    return {**found, **differences}


def silent(**differences: Any) -> dict[str, Any]:
    """Return what a search that found nothing came to."""
    return outcome(verdict="holds", schedules=SCHEDULES, first=0, text="", **differences)


def function_of(case: Case) -> ast.FunctionDef | ast.AsyncFunctionDef:
    """Return the scenario of a case, unimported: its library is not here."""
    module = ast.parse((FOLDER / f"{case.name}.py").read_text("utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    (found,) = [node for node in module.body if isinstance(node, functions)]
    return found


def lines_of(node: ast.FunctionDef | ast.AsyncFunctionDef, source: list[str]) -> int:
    """Count the lines of a function, without blank ones, comments and its docstring."""
    body = source[node.lineno - 1 : node.end_lineno]
    docstring = len((ast.get_docstring(node) or "").splitlines())
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in body) - docstring


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_scenario_is_short(case: Case) -> None:
    """A generic scenario has at most twenty lines."""
    source = (FOLDER / f"{case.name}.py").read_text("utf-8").splitlines()

    assert lines_of(function_of(case), source) <= 20


def test_every_scenario_is_that_of_a_case() -> None:
    """No scenario is forgotten in the table."""
    files = {path.stem for path in FOLDER.glob("*.py")} - {"__init__"}

    assert files == {case.name for case in CASES}


def test_a_case_of_the_standard_library_is_read_like_any_other() -> None:
    """What a side imports by the name of its case is one scenario."""
    assert scenario_of("cached_property_lock").name == "properties_of_two_objects_are_independent"


def test_a_bug_found_by_name_and_a_silent_release_are_as_declared() -> None:
    """Nothing is said of a case that is as declared."""
    assert judged(Row(CASE, [outcome()], [silent()], [])) == []


@pytest.mark.parametrize(
    ("buggy", "fixed", "said"),
    [
        (outcome(verdict="holds"), silent(), f"buggy, seed 0: {CASE.check} expected"),
        (outcome(text="elsewhere"), silent(), "not in the verdict"),
        (outcome(), outcome(), "fixed: must hold"),
        (outcome(), silent() | {"verdict": "inconclusive"}, "fixed: must hold"),
        (outcome(), silent() | {"schedules": SCHEDULES - 1}, "on 1999 schedules only"),
    ],
)
def test_what_is_not_as_declared_is_said(
    buggy: dict[str, Any], fixed: dict[str, Any], said: str
) -> None:
    """A bug missed or misnamed, and a new release that does not hold long enough."""
    (problem,) = judged(Row(CASE, [buggy], [fixed], []))

    assert said in problem


def test_a_search_that_has_seen_everything_needs_no_more_schedules() -> None:
    """Fewer schedules are enough where there are no more."""
    assert judged(Row(CASE, [outcome()], [silent() | {"schedules": 7, "exhausted": 7}], [])) == []
