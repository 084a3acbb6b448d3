"""Collects what became of scenarios under pytest, for the page and for annotations of GitHub.

    before a cell runs ──► its name and place ─────────────────┐ go with the
    where it has run   ──► its result, and how it failed ──────┤ item's report
                                                               ▼
    the controller     ──► each cell once, in the order of collection, as pytest has judged it

The story is recorded where the cell has run, not by the controller from tokens: only there are the
fixtures. With xdist it travels as a text. What a cell is worth is not judged here: an item that
fails is not as declared, and of a cell in shards `judge` is told.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest

from harness.pytest_stress import cell_of, is_shard

if TYPE_CHECKING:
    from harness.pytest_stress import Judged
    from harness.report.results import Result
    from harness.scenario import Cell

#: Name of the attribute under which a report carries a result.
ATTRIBUTE: Final = "storm_result"
#: Name of that under which a report carries what a cell is, before anything is known of it.
BEGUN: Final = "storm_begun"

_result_key = pytest.StashKey[str]()
_begun_key = pytest.StashKey[str]()


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
        # Where cells are run: their places in the collection, and those that are told of.
        self._places: dict[str, int] = {}
        self._told: set[str] = set()
        # Where they are reported, by cell: what it is; what has come of its items; why one failed;
        # and the verdict of all its shards.
        self._begun: dict[str, str] = {}
        self._results: dict[str, dict[str, str]] = {}
        self._failed: dict[str, str] = {}
        self._judged: dict[str, Result] = {}
        # Cells that fail as is known: they break no build.
        self._known: set[str] = set()

    @property
    def is_told(self) -> bool:
        """Whether failures are shown, even those that are declared."""
        return self._html is not None

    # --- where cells are run ----------------------------------------------------------------------

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Take note of where cells stand: all processes collect the same."""
        for place, item in enumerate(session.items):
            self._places.setdefault(_cell_of(item.nodeid), place)

    def begin(self, item: pytest.Item, cell: Cell, case: str = "") -> None:
        """Keep what a cell is that is about to run: it may be all that will be known of it."""
        if _cell_of(item.nodeid) in self._told:
            return
        from harness.scenario import result_of  # noqa: PLC0415 - only where a scenario is run

        self._told.add(_cell_of(item.nodeid))
        item.stash[_begun_key] = self._carried(item, result_of(cell, case=_other_case(cell, case)))

    def take(
        self, item: pytest.Item, cell: Cell, fixtures: Mapping[str, Any], case: str = ""
    ) -> None:
        """Keep the result of a cell that has just run, with its fixtures."""
        if not self.is_told and cell.is_as_declared and not is_shard(item):
            return
        from harness.errors import HarnessError  # noqa: PLC0415 - only where a scenario has run
        from harness.scenario import result_of  # noqa: PLC0415 - as above

        case = _other_case(cell, case)
        try:
            result = result_of(cell, fixtures, case=case, has_story=self.is_told)
        except HarnessError as exc:
            self._note(f"the failure of {item.nodeid} could not be recorded: {exc}")
            result = result_of(cell, fixtures, case=case)
        item.stash[_result_key] = self._carried(item, result)

    def _carried(self, item: pytest.Item, result: Result) -> str:
        return json.dumps([self._places[_cell_of(item.nodeid)], result.to_json()])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Have what is known of a cell travel with the report."""
        report = yield
        phase, key, name = ("setup", _begun_key, BEGUN)
        if report.when == "call":
            phase, key, name = ("call", _result_key, ATTRIBUTE)
        text = item.stash.get(key, None)
        if report.when == phase and text is not None:
            setattr(report, name, text)
            del item.stash[key]
        return report

    # --- where they are reported ------------------------------------------------------------------

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in what a report carries, and that it fails."""
        if self._is_worker:
            return
        given, cell = vars(report), _cell_of(report.nodeid)
        # Taken away: pytest keeps all reports to the end.
        begun, result = given.pop(BEGUN, None), given.pop(ATTRIBUTE, None)
        if begun is not None:
            self._begun.setdefault(cell, begun)
        if result is not None:
            self._results.setdefault(cell, {})[report.nodeid] = result
        if hasattr(report, "wasxfail"):
            self._known.add(cell)
        elif report.failed and report.when != "teardown":
            self._failed.setdefault(cell, _why(report))

    def judge(self, nodeid: str, judged: Judged) -> None:
        """Take in what became of a cell in shards: it beats what can be said of any of them."""
        if judged.outcome == "skipped" and not judged.is_xfail:
            self._results.pop(nodeid, None)
            return
        shown = self._shown(nodeid)
        made = judged.made
        if made is None:
            self._judged[nodeid] = _not_run(shown, judged.text)
            return
        is_shown = made.failure is not None and (
            made.is_as_declared or made.failure.text in judged.text
        )
        self._judged[nodeid] = replace(
            shown,
            verdict=made.verdict,
            as_declared=made.is_as_declared,
            summary=made.summary,
            schedules=made.schedules,
            violating=made.violating.total(),
            virtual_seconds=made.virtual_seconds,
            explanation=judged.text,
            violation=made.failure.text if made.failure is not None and is_shown else "",
            token=(made.token or "") if is_shown else "",
            worth=tuple(made.worth_rows()) if made.verdict == "holds" else (),
            # Which failure of several is told is the same for both: the first that is unexpected.
            story=shown.story if is_shown and shown.token == made.token else None,
        )
        # The parts are not needed any more, and have their stories.
        self._results.pop(nodeid, None)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the page."""
        if self._is_worker or self._html is None:
            return
        from harness.errors import HarnessError  # noqa: PLC0415 - only where a page is wanted
        from harness.report.files import Reports  # noqa: PLC0415 - as above

        reports = Reports(self._html, prefix="storm-")
        for _, each in self._in_order():
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
        news = [each for nodeid, each in self._in_order() if nodeid not in self._known]
        for line in annotations_of(news):
            terminalreporter.write_line(line)

    # --- what is known of cells -------------------------------------------------------------------

    def _in_order(self) -> list[tuple[str, Result]]:
        """Return the cells of which there is something to tell, by their place."""
        # Any other test may fail, too.
        failed = [nodeid for nodeid in self._failed if nodeid in self._begun]
        cells = dict.fromkeys([*self._judged, *self._results, *failed])
        return [(nodeid, self._result(nodeid)) for nodeid in sorted(cells, key=self._place)]

    def _place(self, nodeid: str) -> int:
        for text in (self._begun.get(nodeid), *self._results.get(nodeid, {}).values()):
            if text is not None:
                place: int = json.loads(text)[0]
                return place
        # What nobody has begun comes last.
        return sys.maxsize

    def _result(self, nodeid: str) -> Result:
        if nodeid in self._judged:
            return self._judged[nodeid]
        shown = self._shown(nodeid)
        is_known = nodeid in self._results and (shown.violation or not shown.as_declared)
        if nodeid in self._failed and not is_known:
            return _not_run(shown, self._failed[nodeid])
        return shown

    def _shown(self, nodeid: str) -> Result:
        """Return what the items of a cell know of it, without a verdict on the whole."""
        from harness.report.results import Result  # noqa: PLC0415 - only where there is one

        found = self._results.get(nodeid, {})
        parts = [
            Result.from_json(json.loads(found[each])[1]) for each in sorted(found, key=_number)
        ]
        if parts:
            return functools.reduce(merged, parts)
        if nodeid in self._begun:
            return Result.from_json(json.loads(self._begun[nodeid])[1])
        # Of what nobody has begun nothing is known but its name.
        path, _, name = nodeid.partition("::")
        function, _, case = name.rpartition("::")[2].removesuffix("]").partition("[")
        return Result(
            scenario=function,
            component="",
            path=path,
            line=1,
            claim="",
            subject="",
            class_name="",
            row="",
            case=case,
            expected=(),
            verdict="inconclusive",
            as_declared=False,
            summary="",
        )


def _cell_of(nodeid: str) -> str:
    """Return the node id of the cell that an item is, or is a shard of."""
    named = cell_of(nodeid)
    return nodeid if named is None else named[0]


def _number(nodeid: str) -> int:
    named = cell_of(nodeid)
    return 0 if named is None else named[1]


def _why(report: pytest.TestReport) -> str:
    """Say why an item failed: the exception first, then all that pytest shows of it."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = report.longreprtext
    return text if crash is None else f"{report.nodeid}: {crash.message}\n\n{text}"


def _other_case(cell: Cell, case: str) -> str:
    # The class is a parameter too, and told apart from the others.
    return "-".join(part for part in case.split("-") if part != cell.column.name)


def _not_run(shown: Result, why: str) -> Result:
    """Return the result of a cell that failed, and nobody knows what it comes to."""
    return replace(
        shown,
        verdict="inconclusive",
        as_declared=False,
        summary="",
        explanation=why,
        violation="",
        token="",
        worth=(),
        story=None,
    )


def merged(first: Result, other: Result) -> Result:
    """Return the result of a cell from those of two of its parts, as its verdict is made of them.

    What nobody declared beats what could not be run, that beats what is expected, and that beats
    what found nothing, whether it was finished or not.
    """

    def weight(part: Result) -> int:
        if part.verdict not in ("holds", "inconclusive", *part.expected):
            return 4
        if part.verdict == "inconclusive" and not part.schedules:
            return 3
        if part.violation:
            return 2
        return int(part.verdict == "inconclusive")

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
