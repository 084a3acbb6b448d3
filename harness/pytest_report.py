"""Collects what became of scenarios under pytest, for the page and for annotations of GitHub.

    where a cell runs ──► its result, with the story of its failure, goes with the item's report
    the controller    ──► puts the results in the order of collection, and writes

The story is recorded where the cell has run, not by the controller from tokens: only there are the
fixtures. With xdist it travels as a text. What a cell is worth is not judged here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest

from harness.pytest_stress import is_shard

if TYPE_CHECKING:
    from harness.report.results import Result
    from harness.scenario import Cell

#: Name of the attribute under which a report carries a result.
ATTRIBUTE: Final = "storm_result"

_result_key = pytest.StashKey[str]()


class Reporter:
    """Takes results in and writes them. One session.

    Args:
        config: of the session.
        html: the file to write, None for none.
        is_on_github: whether to annotate what is not as declared.
        note: told what goes wrong in the end.
    """

    def __init__(
        self,
        config: pytest.Config,
        html: str | None,
        *,
        is_on_github: bool,
        note: Callable[[str], None],
    ) -> None:
        self._is_worker = hasattr(config, "workerinput")
        self._html = html
        self._is_on_github = is_on_github
        self._note = note
        # By item: its place in the collection, and what became of it.
        self._results: dict[str, tuple[int, str]] = {}

    @property
    def is_told(self) -> bool:
        """Whether failures are shown, even those that are declared."""
        return self._html is not None

    def take(
        self, item: pytest.Item, cell: Cell, fixtures: Mapping[str, Any], case: str = ""
    ) -> None:
        """Keep the result of a cell that has just run, with its fixtures."""
        if not self.is_told and cell.is_as_declared and not is_shard(item):
            return
        from harness.errors import HarnessError  # noqa: PLC0415 - only where a scenario has run
        from harness.scenario import result_of  # noqa: PLC0415 - as above

        # The class is a parameter too, and told apart from the others.
        case = "-".join(part for part in case.split("-") if part != cell.column.name)
        try:
            result = result_of(cell, fixtures, case=case, has_story=self.is_told)
        except HarnessError as exc:
            self._note(f"the failure of {item.nodeid} could not be recorded: {exc}")
            result = result_of(cell, fixtures, case=case)
        place = item.session.items.index(item)
        item.stash[_result_key] = json.dumps([place, result.to_json()])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Have the result travel with the report."""
        report = yield
        text = item.stash.get(_result_key, None)
        if report.when == "call" and text is not None:
            setattr(report, ATTRIBUTE, text)
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take a result in."""
        text = getattr(report, ATTRIBUTE, None)
        if text is not None and not self._is_worker:
            self._results[report.nodeid] = json.loads(text)[0], text

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the page."""
        if self._is_worker or self._html is None:
            return
        from harness.errors import HarnessError  # noqa: PLC0415 - only where a page is wanted
        from harness.report.files import Reports  # noqa: PLC0415 - as above

        reports = Reports(self._html, prefix="storm-")
        for each in self._in_order():
            has_room = reports.has_room(as_declared=each.as_declared)
            reports.add(each if has_room else replace(each, story=None))
        try:
            reports.write()
        except HarnessError as exc:
            self._note(str(exc))
            session.exitstatus = pytest.ExitCode.USAGE_ERROR

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Tell GitHub what is not as declared."""
        if self._is_worker or not self._is_on_github:
            return
        from harness.report.github import annotations_of  # noqa: PLC0415 - only where it is wanted

        terminalreporter.ensure_newline()
        for line in annotations_of(self._in_order()):
            terminalreporter.write_line(line)

    def _in_order(self) -> list[Result]:
        from harness.report.results import Result  # noqa: PLC0415 - only where there is one

        cells: dict[tuple[str, ...], Result] = {}
        for _, text in sorted(self._results.values()):
            each = Result.from_json(json.loads(text)[1])
            key = (each.path, each.scenario, each.class_name, each.case)
            cells[key] = merged(cells[key], each) if key in cells else each
        # A shard that finds nothing is no news: that its cell does is.
        return [each for each in cells.values() if self.is_told or not each.as_declared]


def merged(first: Result, other: Result) -> Result:
    """Return the result of a cell from those of two of its parts, as its verdict is made of them.

    What nobody declared beats what is expected, and that beats what found nothing.
    """

    def weight(part: Result) -> int:
        if part.verdict not in ("holds", *part.expected):
            return 2
        return int(bool(part.violation))

    shown = max(first, other, key=weight)
    as_declared = shown.verdict in (shown.expected or ("holds",))
    return replace(
        shown,
        as_declared=as_declared,
        explanation="" if as_declared else shown.explanation,
        schedules=first.schedules + other.schedules,
        violating=first.violating + other.violating,
        virtual_seconds=first.virtual_seconds + other.virtual_seconds,
    )
