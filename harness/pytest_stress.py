"""Stress: cuts cells into shards, one item each, and makes every verdict of all shards of its cell.

    workers       cold_key[CheckThenAct-shard1of8] ─┐  items, run by anyone, in any order;
                  …                                 ├─ each report carries what its shard came to
                  cold_key[CheckThenAct-shard8of8] ─┘
    controller    cold_key[CheckThenAct]               one report more, made of all outcomes

A shard does the same whoever runs it, so the number of workers changes nothing. Without xdist one
process is both sides. This module knows pytest and xdist. How a cell is cut, how a shard is run and
what shards come to together is decided in `harness.campaign`; when to stress, in the plugin.
"""

from __future__ import annotations

import contextlib
import json
import queue
import re
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from harness.campaign.merge import Declared, Merged
    from harness.campaign.outcomes import Outcome
    from harness.campaign.units import Unit
    from harness.explore import Exploration, Settings
    from harness.scenario import Column, Scenario

#: The parameter, and fixture, that tells the shards of a cell apart.
PARAMETER: Final = "storm_shard"
#: A shard that has cost so many workers is not run again.
TRIES: Final = 2
#: Of so many scenarios under way each has a line of its own; the others share one.
PROGRESS_LINES: Final = 5
#: How long the controller waits, once interrupted, for what workers have found so far.
PATIENCE: Final = 10.0

#: Under this attribute a report of a shard carries, as JSON, what it came to. As plain numbers
#: xdist could not send it: execnet knows no integers below -2**31, and traces have such.
CARRIED: Final = "storm"

_SHARD: Final = re.compile(r"([\[-])shard(\d+)of(\d+)([\]-])")
_TIME_IS_UP: Final = "storm time is up"
_INTERRUPTED: Final = "interrupted"

#: Outcome, text, sections and properties of a report.
_Verdict = tuple[Any, Any, list[tuple[str, str]], list[tuple[str, object]]]


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of a cell in shards, for whoever reports it elsewhere.

    Args:
        outcome: as pytest calls it: `passed`, `failed` or `skipped`.
        text: why it is not as declared, with the verdict and what is missing; empty if it is.
        made: what all shards that have arrived come to; None if that cannot be said.
        is_xfail: it failed as somebody has marked it to.
    """

    outcome: str
    text: str
    made: Merged | None
    is_xfail: bool = False


_shards_key = pytest.StashKey[list[pytest.Function]]()
_carried_key = pytest.StashKey[dict[str, Any]]()

#: Whoever puts a list here when pytest is configured finds all merged cells in it in the end.
#: Nobody else has to have the memory.
merged_key = pytest.StashKey["list[Merged]"]()


def cell_of(nodeid: str) -> tuple[str, int, int] | None:
    """Return the node id of a shard's cell, the shard's number from 0, and how many there are.

    None if the node id is not that of a shard.
    """
    found = list(_SHARD.finditer(nodeid))
    if not found:
        return None
    before, number, of, behind = found[-1].groups()
    joined = {"[]": "", "-]": "]", "[-": "[", "--": "-"}[before + behind]
    cell = f"{nodeid[: found[-1].start()]}{joined}{nodeid[found[-1].end() :]}"
    return cell, int(number) - 1, int(of)


def plain_case(case: str) -> str:
    """Return the id of a parametrised shard without its number: `Flight-1-shard3of8` → `Flight-1`.

    So a cell is called the same however it is cut.
    """
    found = cell_of(f"[{case}]")
    return case if found is None else found[0].strip("[]")


# --- on every worker: shards ----------------------------------------------------------------------


class Shards:
    """Collects a cell as its shards, and runs each. In every process that runs items; main thread.

    The cell itself is collected, too: `-k`, `--lf` and node ids choose it, and it then stands for
    all of its shards; the shards of a cell that is not chosen may be chosen one by one. What is run
    in the end is shards only.

    Args:
        config: pytest's.
        scenario_of: returns the scenario of a function, None if it is none.
        settings: how cells are run, and cut.
        seconds: how long storms may take in all, None for as long as they like.
    """

    def __init__(
        self,
        config: pytest.Config,
        scenario_of: Callable[[object], Scenario | None],
        settings: Settings,
        seconds: float | None,
    ) -> None:
        given: Mapping[str, Any] = getattr(config, "workerinput", {})
        self.scenario_of = scenario_of
        self.settings = settings
        self.seconds = seconds
        left = seconds
        if seconds is not None and "storm_end" in given:
            # A worker starts later, and has the less time; wherever its clock stands.
            left = min(seconds, max(0.0, given["storm_end"] - time.time()))
        self._end = None if left is None else time.monotonic() + left
        self._stop_file = Path(given["storm_stop"]) if "storm_stop" in given else None
        self._interrupted = False
        self._is_torn_down = False
        self._why = ""

    def stop(self) -> bool:
        """Tell whether no further run is to be made."""
        if not self._why:
            if self._interrupted or (self._stop_file is not None and self._stop_file.exists()):
                self._why = _INTERRUPTED
            elif self._end is not None and time.monotonic() >= self._end:
                self._why = _TIME_IS_UP
        return bool(self._why)

    # --- collection -------------------------------------------------------------------------------

    @pytest.hookimpl(trylast=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Make one item of each shard, and one of the whole cell."""
        this = self.scenario_of(metafunc.function)
        if this is None:
            return
        from harness.campaign.units import units_of

        # All columns are cut alike: by schedules and strategy.
        of = len(units_of(this, this.columns()[0], self.settings))
        metafunc.fixturenames.append(PARAMETER)
        metafunc.parametrize(
            PARAMETER,
            [None, *range(of)],
            ids=[pytest.HIDDEN_PARAM, *(f"shard{number}of{of}" for number in range(1, of + 1))],
            indirect=True,
        )

    @pytest.hookimpl(wrapper=True)
    def pytest_pycollect_makeitem(self, obj: object) -> Generator[None, Any, Any]:
        """Remember with each cell which shards it has."""
        made = yield
        # In a class it may be a staticmethod.
        if self.scenario_of(getattr(obj, "__func__", obj)) is None or not isinstance(made, list):
            return made
        cells = {item.nodeid: item for item in made if not is_shard(item)}
        for cell in cells.values():
            cell.stash[_shards_key] = []
        for item in made:
            named = cell_of(item.nodeid)
            if is_shard(item) and named is not None:
                cells[named[0]].stash[_shards_key].append(item)
        return made

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Run the shards of a cell in its place, whichever of them were selected."""
        if session.config.option.collectonly:
            return
        cells = [item for item in session.items if _shards_key in item.stash]
        brought = {id(shard) for cell in cells for shard in cell.stash[_shards_key]}
        items: list[pytest.Item] = []
        for item in session.items:
            if _shards_key in item.stash:
                items.extend(_shards_of(item))
            elif id(item) not in brought:
                items.append(item)
        if self._end is not None:
            # If time does not suffice for all, then for a part of each.
            items.sort(key=_shard_number)
        session.items[:] = items

    # --- running ----------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        """Pass over what there is no time for: thousands of shards, and each report takes time."""
        if not is_shard(item) or not self.stop():
            self._is_torn_down = False
            return None
        if not self._is_torn_down:
            # What the fixtures of others wait for; the next item may be of any other module.
            from _pytest.runner import runtestprotocol

            self._is_torn_down = True
            item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
            runtestprotocol(item, nextitem=None)
            item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Skip what there is no time for, before its fixtures are made."""
        number = _shard_number(item, None)
        if number is None:
            return
        from harness.campaign.merge import Declared

        this, column, case = self._named(item)
        units = self._units(item)
        declared = Declared.of(this, column, case)
        item.stash[_carried_key] = {
            "declared": declared.to_json(),
            "units": [unit.to_json() for unit in units],
            "stopped": "",
        }
        if self.stop():
            item.stash[_carried_key]["stopped"] = self._why
            pytest.skip(self._why)

    def run(
        self,
        item: pytest.Function,
        fixtures: Mapping[str, Any],
        explored: Callable[[Exploration], None],
    ) -> str:
        """Run the shard that an item stands for.

        Args:
            item: the item.
            fixtures: the arguments besides simulation and class.
            explored: is given what was run.

        Returns:
            Why it fails, empty if it passes.

        Raises:
            pytest.skip.Exception: it could not be finished, and what was run is as declared.
            HarnessError: it could not be simulated.
        """
        from harness.campaign.merge import merge
        from harness.campaign.outcomes import not_run, run_shard
        from harness.errors import HarnessError, InternalError

        this, column, _ = self._named(item)
        unit = self._units(item)[_shard_number(item)]
        carried = item.stash[_carried_key]
        try:
            with self._interruptible():
                outcome = run_shard(
                    this,
                    column,
                    unit,
                    self.settings,
                    fixtures,
                    stop=self.stop,
                    explored=explored,
                )
        except (HarnessError, InternalError) as exc:
            carried["outcome"] = not_run(unit, f"{type(exc).__name__}: {exc}").to_json()
            raise
        carried["outcome"] = outcome.to_json()
        if self._why == _INTERRUPTED:
            item.session.shouldstop = "interrupted: a shard was ended after its current run"
        if outcome.unfinished:
            carried["stopped"] = self._why
        if not outcome.passes(column.caught_by):
            alone = merge(self._declared(item), [unit], [replace(outcome, unfinished=False)])
            return alone.explain()
        if outcome.unfinished:
            pytest.skip(self._why)
        return ""

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Have the first Ctrl-C end the shard after its current run; the second does at once."""
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(before):
            yield
            return

        def handle(signum: int, frame: Any) -> None:
            if self._interrupted:
                before(signum, frame)
            self._interrupted = True

        signal.signal(signal.SIGINT, handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Have reports carry what their shard came to."""
        report = yield
        carried = item.stash.get(_carried_key, None)
        if carried is not None and call.when != "teardown":
            setattr(report, CARRIED, json.dumps(carried))
        elif carried is not None:
            del item.stash[_carried_key]
        return report

    def _named(self, item: Any) -> tuple[Scenario, Column, str]:
        """Return scenario and column of an item, and its case."""
        this = self.scenario_of(item.obj)
        assert this is not None, "only scenarios have shards"
        case = plain_case(item.callspec.id)
        if this.subject is None:
            return this, this.columns()[0], case
        column = item.callspec.params["storm_class"]
        return this, column, case.removeprefix(column.name).removeprefix("-")

    def _units(self, item: pytest.Item) -> list[Unit]:
        from harness.campaign.units import units_of

        this, column, case = self._named(item)
        return units_of(this, column, self.settings, case=case)

    def _declared(self, item: pytest.Item) -> Declared:
        from harness.campaign.merge import Declared

        return Declared.from_json(item.stash[_carried_key]["declared"])


def is_shard(item: pytest.Item) -> bool:
    """Tell whether an item is a shard of a cell."""
    return _shard_number(item, None) is not None


def _shard_number(item: Any, otherwise: Any = 0) -> Any:
    """Return the number of a shard, from 0; for any other item `otherwise`."""
    callspec = getattr(item, "callspec", None)
    number = None if callspec is None else callspec.params.get(PARAMETER)
    return otherwise if number is None else number


def _shards_of(cell: pytest.Item) -> list[pytest.Function]:
    """Return the shards of a cell, marked as it is: whoever marks what is selected means them."""
    shards = cell.stash[_shards_key]
    for shard in shards:
        for mark in cell.own_markers:
            if mark not in shard.own_markers:
                shard.own_markers.append(mark)
                shard.keywords[mark.name] = mark
    return shards


# --- on the controller: cells ---------------------------------------------------------------------


@dataclass(slots=True)
class _Cell:
    """One cell, as far as its shards have been heard of.

    invariant: no shard is both in `outcomes`, finished, and in `lost`.
    """

    nodeid: str
    of: int
    location: tuple[str, int | None, str]
    carried: Mapping[str, Any] | None = None
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    # Why a shard has no outcome.
    lost: dict[int, str] = field(default_factory=dict)
    # Reports of shards that were skipped, but not by us.
    skipped: dict[int, Any] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)
    schedules: int = 0
    # Runs that violated by a check that is not declared.
    wrong: int = 0
    is_xfail: str | None = None
    is_told: bool = False

    def add(self, number: int, outcome: Outcome, carried: Mapping[str, Any]) -> None:
        """Take note of what a shard came to."""
        self.outcomes[number] = outcome
        self.schedules += outcome.schedules
        declared = carried["declared"]["caught_by"]
        self.wrong += sum(
            count for check, count in outcome.violating.items() if check not in declared
        )
        if not outcome.unfinished:
            self.lost.pop(number, None)


class Verdicts:
    """Makes the verdict of each cell of its shards, and reports it as an item. On the controller.

    Args:
        config: pytest's.
        shards: of this process: it knows when time is up.
        wants_worth: passed cells say what that is worth.
        property_name: of the token, in JUnit's report.
        section: title of the section with the verdict.
        progress_seconds: between two lines of progress.
        skips_unfinished: a cell that time did not suffice for is skipped, unless something was
            found; else it fails.
        judged: is told what became of each cell.
    """

    def __init__(
        self,
        config: pytest.Config,
        shards: Shards,
        *,
        property_name: str,
        section: str,
        progress_seconds: float,
        skips_unfinished: bool,
        judged: Callable[[str, Judged], object] = lambda _nodeid, _judged: None,
    ) -> None:
        self.config = config
        self.shards = shards
        self.property_name = property_name
        self.section = section
        self.progress_seconds = progress_seconds
        self.skips_unfinished = skips_unfinished
        self.judged = judged
        self._told_progress = time.monotonic()
        # By the wall: other processes know no other clock.
        self._end = None if shards.seconds is None else time.time() + shards.seconds
        self._cells: dict[str, _Cell] = {}
        self._places: dict[str, tuple[_Cell, int]] = {}
        self._crashes: Counter[str] = Counter()
        self._notes: list[str] = []
        self._items = 0
        self._session: pytest.Session | None = None
        self._folder: Path | None = None

    # --- what is there ----------------------------------------------------------------------------

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Remember the session: its number of tests is a matter of cells, too."""
        self._session = session

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Take note of the cells of this process, if it runs them itself."""
        if not session.config.option.collectonly:
            self._expect([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Take note of the cells that a worker of xdist has collected: all collect the same."""
        self._expect(ids)

    def _expect(self, ids: Sequence[str]) -> None:
        if self._places or not ids:
            return
        found: dict[str, dict[int, str]] = {}
        counts: dict[str, int] = {}
        for nodeid in ids:
            named = cell_of(nodeid)
            if named is not None:
                name, number, of = named
                found.setdefault(name, {})[number] = nodeid
                counts[name] = of
        self._items = len(ids)
        for nodeid, shards in found.items():
            # Single shards that somebody asked for: no verdict on the cell.
            if len(shards) < counts[nodeid]:
                continue
            path = nodeid.partition("::")[0]
            place = path, None, nodeid[len(path) + 2 :].replace("::", ".")
            cell = self._cells[nodeid] = _Cell(nodeid, counts[nodeid], place)
            for number, shard in shards.items():
                self._places[shard] = cell, number

    def _count(self) -> None:
        """Have pytest count cells, too, or it would be done with 112 % of its tests."""
        if self._session is not None and self._session.testscollected == self._items:
            self._session.testscollected += len(self._cells)

    # --- what comes of it -------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a shard came to."""
        self._count()
        if report.nodeid not in self._places:
            return
        cell, number = self._places[report.nodeid]
        # Taken away: pytest keeps all reports to the end.
        carried = json.loads(vars(report).pop(CARRIED, "null"))
        if carried is not None:
            from harness.campaign.outcomes import Outcome

            cell.carried = carried
            path, line, name = report.location
            cell.location = path, line, (cell_of(name) or (name,))[0]
            if "outcome" in carried:
                cell.add(number, Outcome.from_json(carried["outcome"]), carried)
        if hasattr(report, "wasxfail"):
            cell.is_xfail = report.wasxfail
        is_known = number in cell.outcomes and not cell.outcomes[number].unfinished
        stopped = carried["stopped"] if carried is not None else ""
        if report.skipped and not is_known and not getattr(report, "storm_again", False):
            cell.lost[number] = stopped or "skipped"
            if not stopped:
                cell.skipped[number] = report.longrepr
        elif report.failed and not is_known:
            cell.lost.setdefault(number, stopped or "failed without a result")

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Tell a cell once all of its shards are through, and how far the others are."""
        if nodeid not in self._places:
            return
        cell, number = self._places[nodeid]
        cell.done.add(number)
        if len(cell.done) == cell.of and not cell.is_told:
            self._tell(cell)
        if time.monotonic() - self._told_progress >= self.progress_seconds:
            self._told_progress = time.monotonic()
            self._tell_progress()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """Tell the cells that are not complete when nothing more comes."""
        why, is_over = "", False
        try:
            result = yield
            why, is_over = _TIME_IS_UP if self.shards.stop() else "never run", True
            return result
        except KeyboardInterrupt:
            why = _INTERRUPTED
            self._hear_the_last()
            raise
        except BaseException:
            why = "stopped before"
            raise
        finally:
            for cell in self._cells.values():
                # Of what was not even begun when somebody stopped it, pytest is silent, too.
                is_begun = cell.done or cell.outcomes or cell.lost
                if not cell.is_told and (is_begun or is_over):
                    self._tell(cell, why)

    def _tell(self, cell: _Cell, why: str = "never run") -> None:
        """Report the verdict of a cell as pytest reports an item."""
        cell.is_told = True
        for number in range(cell.of):
            if number not in cell.outcomes:
                cell.lost.setdefault(number, why)
        made, problem = self._made(cell)
        outcome, longrepr, sections, properties = self._verdict(cell, made, problem)
        is_xfail = cell.is_xfail is not None
        self.judged(
            cell.nodeid, Judged(outcome, _explained(cell, made, problem), made, is_xfail=is_xfail)
        )
        # Of many thousand cells, the traces of each would be too much.
        cell.outcomes.clear()
        hook = self.config.hook
        hook.pytest_runtest_logstart(nodeid=cell.nodeid, location=cell.location)
        for when in ("setup", "call", "teardown"):
            is_call = when == "call"
            report = pytest.TestReport(
                nodeid=cell.nodeid,
                location=cell.location,
                keywords={},
                outcome=outcome if is_call else "passed",
                longrepr=longrepr if is_call else None,
                when=when,
                sections=sections if is_call else (),
                user_properties=properties,
            )
            if is_call and cell.is_xfail is not None and outcome == "skipped":
                report.wasxfail = cell.is_xfail
            hook.pytest_runtest_logreport(report=report)
        hook.pytest_runtest_logfinish(nodeid=cell.nodeid, location=cell.location)
        dsession = self.config.pluginmanager.get_plugin("dsession")
        if dsession is not None and self._session is not None and self._session.shouldfail:
            # The loop of xdist counts the failures of workers only.
            dsession.shouldstop = dsession.shouldstop or self._session.shouldfail

    def _made(self, cell: _Cell) -> tuple[Merged | None, str]:
        """Return what the shards of a cell come to, or why that cannot be said."""
        from harness.campaign.merge import Declared, merge
        from harness.campaign.units import Unit
        from harness.errors import HarnessError

        if cell.carried is None:
            return None, f"{cell.nodeid}: {_lost(cell)}"
        units = [Unit.from_json(each) for each in cell.carried["units"]]
        declared = Declared.from_json(cell.carried["declared"])
        try:
            return merge(declared, units, cell.outcomes.values()), ""
        except HarnessError as exc:
            return None, str(exc)

    def _verdict(self, cell: _Cell, made: Merged | None, problem: str) -> _Verdict:
        """Return outcome, text, sections and properties of a cell's report."""
        if len(cell.skipped) == cell.of:
            return "skipped", cell.skipped[0], [], []
        path, line, _ = cell.location
        is_late = self.skips_unfinished and set(cell.lost.values()) == {_TIME_IS_UP}
        told = f"Skipped: {_TIME_IS_UP}, all so far as declared"
        late: _Verdict = "skipped", (path, line, told), [], []
        if made is None:
            return late if is_late and cell.carried is None else ("failed", problem, [], [])
        if merged_key in self.config.stash:
            self.config.stash[merged_key].append(made)
        properties: list[tuple[str, object]] = []
        if made.token:
            properties.append((self.property_name, made.token))
        text = _explained(cell, made, problem)
        if not text:
            return "passed", None, [(self.section, self._worth(made))], properties
        if cell.is_xfail is not None:
            return "skipped", (path, line, cell.is_xfail), [], properties
        if is_late and not made.unexpected:
            return late
        told = text.partition("\nViolation: ")[0]
        shown = [(self.section, made.failure.text)] if made.failure is not None else []
        return "failed", told, shown, properties

    def _worth(self, made: Merged) -> str:
        from harness.errors import evidence_lines

        return "\n".join([made.summary, *evidence_lines(made.worth_rows())])

    def pytest_sessionfinish(self) -> None:
        """Take away the reports that have nothing to tell of a tear-down.

        For each failure pytest looks through those of every set-up and tear-down: where time was up
        for thousands of cells, that alone takes minutes.
        """
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None and self.config.option.durations is None:
            others = reporter.stats.get("", [])
            others[:] = [
                report
                for report in others
                if any("teardown" in title for title, _ in report.sections)
            ]

    # --- progress ---------------------------------------------------------------------------------

    def _tell_progress(self) -> None:
        """Say of each scenario that is under way how far it is."""
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is None or self.config.option.verbose < 0:
            return
        scenarios: dict[str, list[_Cell]] = {}
        for cell in self._cells.values():
            scenarios.setdefault(cell.nodeid.partition("[")[0], []).append(cell)
        begun = [
            (name, cells)
            for name, cells in scenarios.items()
            if any(cell.done for cell in cells) and any(len(cell.done) < cell.of for cell in cells)
        ]
        reporter.ensure_newline()
        if begun and reporter._tw.width_of_current_line:  # noqa: SLF001 - dots of xdist: no other way
            reporter.write_line("")
        for name, cells in begun[:PROGRESS_LINES]:
            reporter.write_line(f"storms: {name} {_progress(cells)}")
        others = [cells for _, cells in begun[PROGRESS_LINES:]]
        if others:
            told = _progress([cell for cells in others for cell in cells])
            reporter.write_line(f"storms: and {len(others)} other scenarios {told}")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say which workers were lost, and what there was no time for."""
        for note in self._notes:
            terminalreporter.write_line(f"storms: {note}", yellow=True)
        late = [cell for cell in self._cells.values() if _TIME_IS_UP in cell.lost.values()]
        if late:
            seconds = f"{self.shards.seconds:g} s"
            terminalreporter.write_line(
                f"storms: time was up after {seconds}: "
                f"{len(late)} of {len(self._cells)} cells are not finished",
                yellow=True,
            )

    # --- workers of xdist -------------------------------------------------------------------------

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker how much time is left, and how it will learn that all is over."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="storms-"))
        node.workerinput["storm_stop"] = str(self._folder / "stop")
        if self._end is not None:
            node.workerinput["storm_end"] = self._end

    def pytest_unconfigure(self) -> None:
        """Take away what workers looked at."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_handlecrashitem(self, crashitem: str, report: Any, sched: Any) -> None:
        """Have a shard that cost its worker run again, once."""
        if crashitem not in self._places:
            return
        cell, number = self._places[crashitem]
        self._crashes[crashitem] += 1
        if self._crashes[crashitem] < TRIES:
            with contextlib.suppress(NotImplementedError):
                # Not every way to distribute can.
                sched.mark_test_pending(crashitem)
                self._notes.append(f"{report.longrepr}; run again")
                report.storm_again = True
                report.outcome = "skipped"
                path = crashitem.partition("::")[0]
                report.longrepr = (path, 0, f"Skipped: {report.longrepr}; run again")
                return
        count = self._crashes[crashitem]
        cell.lost[number] = f"crashed {count} worker{'s' * (count > 1)}"
        cell.done.add(number)

    def pytest_report_teststatus(self, report: Any) -> tuple[str, str, Any] | None:
        """Tell a shard that is run again from one that was skipped."""
        if getattr(report, "storm_again", False):
            return "rerun", "R", ("RERUN", {"yellow": True})
        return None

    def _hear_the_last(self) -> None:
        """Have workers of xdist end their shards, and take what these have come to."""
        dsession = self.config.pluginmanager.get_plugin("dsession")
        if dsession is None or dsession.sched is None or self._folder is None:
            return
        (self._folder / "stop").touch()
        waiting = set(dsession.sched.nodes)
        dsession.triggershutdown()
        end = time.monotonic() + PATIENCE
        while waiting and time.monotonic() < end:
            try:
                event, given = dsession.queue.get(timeout=end - time.monotonic())
            except queue.Empty:
                return
            if event == "testreport":
                dsession.worker_testreport(**given)
            elif event in ("workerfinished", "errordown", "internal_error"):
                waiting.discard(given["node"])


def _progress(cells: Sequence[_Cell]) -> str:
    done, of = sum(len(cell.done) for cell in cells), sum(cell.of for cell in cells)
    told = f"{done:,} of {of:,} shards, {sum(cell.schedules for cell in cells):,} schedules"
    wrong = sum(cell.wrong for cell in cells)
    return f"{told}, {wrong:,} not as declared" if wrong else told


def _explained(cell: _Cell, made: Merged | None, problem: str) -> str:
    """Say what of a cell is not as declared, with what is missing; empty if all is."""
    text = problem if made is None else made.explain()
    told, separator, verdict = text.partition("\nViolation: ")
    if made is not None and text and cell.lost:
        told = f"{told}\n{_lost(cell)}"
    return f"{told}{separator}{verdict}"


def _lost(cell: _Cell) -> str:
    """Say why shards of a cell are missing: `shards 2, 5-8 of 8: …`."""
    reasons: dict[str, list[int]] = {}
    for number, why in sorted(cell.lost.items()):
        reasons.setdefault(why, []).append(number + 1)
    return "; ".join(
        f"shard{'s' * (len(numbers) > 1)} {_ranges(numbers)} of {cell.of}: {why}"
        for why, numbers in reasons.items()
    )


def _ranges(numbers: Sequence[int]) -> str:
    """Write ascending numbers as ranges, where they are."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][-1] == number - 1:
            spans[-1][1:] = [number]
        else:
            spans.append([number])
    return ", ".join("–".join(map(str, span)) for span in spans)  # noqa: RUF001 - as in print
