"""Scenarios: a function, the component it storms, and the broken twins that it must catch.

    @scenario(SingleFlight, catches={CheckThenAct: MaxInFlight})
    def cold_key(sim, cls): …                                   the columns of its matrix
                                                                SingleFlight  must hold
    broken.py beside it: CheckThenAct, Stampede, …              CheckThenAct  MaxInFlight, no other
                                                                Stampede      not listed: must hold

The columns are the subject and every class of the `broken.py` beside the scenario that derives from
it, so survivals are asserted too. This module finds scenarios and judges cells; it does not know
how a run is searched for, nor who asks.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.machinery import PathFinder
from pathlib import Path
from traceback import walk_tb
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Final, Literal, overload

from harness.checks import CHECKS, check_name
from harness.core.token import Token
from harness.errors import MADE_UP, HarnessError, Violation, misuse
from harness.explore import (
    MODES,
    Exploration,
    Failure,
    Progress,
    Settings,
    explore,
    interpreter,
    modes_of,
    run_token,
    story,
)
from harness.report.regression import Given, Named, Regression
from harness.report.results import Result
from harness.report.text import worth_rows
from harness.search.random_walk import Walks
from harness.simulation import AsyncSimulation, Simulation
from harness.world.under_test import is_under_test

if TYPE_CHECKING:
    from harness.corpus import Corpus
    from harness.world.debugger import Look

Flavour = Literal["threads", "asyncio", "mixed"]

#: The attribute under which a decorated function carries its scenario.
MARK: Final = "__harness_scenario__"

#: Files in which scenarios are looked for; tests too, where they say so.
PATTERNS: Final = ("storms.py", "storms_*.py", "test_*.py")

#: A caught cell has made its point after so many violations.
ENOUGH_VIOLATIONS: Final = 3
#: One schedule in so many is enough for a variant that is to survive.
SURVIVOR_SHARE: Final = 10

_ROW: Final = re.compile(r"([A-Z][A-Za-z]*(?:-[A-Z])?\d+[a-z]?)\s*:")
_SCHEDULE: Final = re.compile(r"schedule \d+")
_THREADED: Final = frozenset(
    {
        "Thread",
        "ThreadPoolExecutor",
        "Timer",
        "call_soon_threadsafe",
        "run_coroutine_threadsafe",
        "run_in_executor",
        "threading",
        "to_thread",
    }
)


@dataclass(frozen=True, slots=True)
class Column:
    """One class that a scenario runs with, and what is expected of it.

    Args:
        cls: the class; None for a scenario without a subject.
        caught_by: names of the checks that must catch it; empty if it must hold.
        row: the row that its docstring starts with, if any.
        is_variant: it is a broken variant, and not the scenario's own subject.
    """

    cls: type | None
    caught_by: tuple[str, ...] = ()
    row: str | None = None
    is_variant: bool = False

    @property
    def name(self) -> str:
        """Name of the class, empty if there is none."""
        return "" if self.cls is None else self.cls.__name__

    @property
    def expected(self) -> str | list[str]:
        """`holds`, the name of a check, or a list of them."""
        if not self.caught_by:
            return "holds"
        return self.caught_by[0] if len(self.caught_by) == 1 else list(self.caught_by)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A function under `@scenario`, with all that was said about it.

    Args:
        function: the function as it was written.
        subject: the class under test, None for a plain test.
        catches: variants and the names of the checks that must catch them.
        schedules: pinned tokens, run before any search.
        under_test: further modules to have scheduling points in.
        matrix: whether the variants beside it are columns of it.
    """

    function: Callable[..., Any]
    subject: type | None = None
    catches: Mapping[type, tuple[str, ...]] = field(default_factory=dict)
    schedules: tuple[str, ...] = ()
    under_test: tuple[str, ...] = ()
    matrix: bool = True

    @property
    def name(self) -> str:
        """Name of the function."""
        return self.function.__name__

    @property
    def path(self) -> Path:
        """The file it stands in."""
        return Path(_code(self.function).co_filename)

    @property
    def shown_path(self) -> str:
        """The file relative to the current folder, where there is such a path."""
        return shown(self.path)

    @property
    def line(self) -> int:
        """Where in its file it begins."""
        return _code(self.function).co_firstlineno

    @property
    def token_name(self) -> str:
        """How tokens call it."""
        return f"{self.shown_path}::{self.name}"

    @property
    def component(self) -> str:
        """The folders below `scenarios/`, or the name of its own folder."""
        folders = self.path.resolve().parent.parts
        if "scenarios" in folders:
            below = folders[len(folders) - folders[::-1].index("scenarios") :]
            if below:
                return "/".join(below)
        return folders[-1] if folders else ""

    @property
    def is_async(self) -> bool:
        """Whether it is a coroutine function."""
        return inspect.iscoroutinefunction(self.function)

    @property
    def flavour(self) -> Flavour:
        """What it storms: threads, asyncio, or both at once."""
        names = {name for code in self._codes() for name in code.co_names}
        if self.is_async:
            return "mixed" if names & _THREADED else "asyncio"
        return "mixed" if "asyncio" in names else "threads"

    @property
    def doc(self) -> str:
        """First line of the docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    @property
    def fixtures(self) -> tuple[str, ...]:
        """Names of the parameters after `sim` and the class: fixtures, for pytest to fill in."""
        return tuple(_signature(self.function, self.subject is not None).parameters)

    @property
    def promises(self) -> list[str]:
        """Names of the checks that it states, then of those that its variants are caught by."""
        stated = [
            known.__name__
            for code in _nested(_code(self.function))
            for name in code.co_names
            for known in CHECKS
            if getattr(self.function, "__globals__", {}).get(name) is known
            or name == known.__name__
        ]
        named = [name for names in self.catches.values() for name in names]
        return list(dict.fromkeys([*stated, *named]))

    def columns(self) -> list[Column]:
        """Return the subject, then the variants in the order in which they stand in their files.

        Raises:
            NotImported: the `broken.py` beside it cannot be.
        """
        if self.subject is None:
            return [Column(None)]
        variants = [*(self._variants() if self.matrix else ()), *self.catches]
        return [
            Column(self.subject),
            *(
                Column(cls, self.catches.get(cls, ()), row_of(cls), is_variant=True)
                for cls in dict.fromkeys(variants)
            ),
        ]

    def column(self, name: str) -> Column:
        """Return the column of the class called `name`.

        Raises:
            HarnessError: it has none.
        """
        columns = self.columns()
        for column in columns:
            if column.name == name:
                return column
        known = (
            ", ".join(column.name for column in columns if column.name) or "none: it has no subject"
        )
        raise misuse(
            "class", name, f"is no class of {self.token_name}.", f"Its classes are {known}."
        )

    def program(
        self, column: Column, fixtures: Mapping[str, Any] | None = None
    ) -> Callable[[Any], Any]:
        """Return the function of one argument, the simulation, that a run consists of."""
        given = dict(fixtures or {})
        if column.cls is not None:
            given[list(inspect.signature(self.function).parameters)[1]] = column.cls
        # A partial, not a closure: the search sees whose code it is, and whether it is
        # asynchronous.
        return functools.partial(self.function, **given)

    def _variants(self) -> Iterator[type]:
        assert self.subject is not None, "only a subject has variants"
        broken = _module_beside(self, "broken.py")
        if broken is None:
            return
        for value in vars(broken).values():
            if not isinstance(value, type) or value.__module__ != broken.__name__:
                continue
            if issubclass(value, self.subject) and value is not self.subject:
                yield value

    def _codes(self) -> Iterator[CodeType]:
        yield from _nested(_code(self.function))
        for cls in self.subject.__mro__ if self.subject is not None else ():
            for value in vars(cls).values():
                inner = getattr(value, "__func__", value)
                if isinstance(inner, FunctionType) and cls is not object:
                    yield from _nested(inner.__code__)


# --- cells ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cell:
    """One scenario with one class, and what came of running it.

    Args:
        scenario: the scenario.
        column: class and expectation.
        exploration: what was run, None if nothing could be.
        problem: why nothing could be run, empty if something was.
        stored: failures from the corpus that violate as they did, by a check that the expectation
            does not account for.
    """

    scenario: Scenario
    column: Column
    exploration: Exploration | None
    problem: str = ""
    stored: tuple[Failure, ...] = ()

    @property
    def unexpected(self) -> list[Failure]:
        """The failures that no check of the expectation accounts for.

        Those of the declared schedules come first: what they show must not depend on a file.
        """
        failures = () if self.exploration is None else self.exploration.failures
        return [*_unaccounted(failures, self.column), *self.stored]

    @property
    def stale(self) -> tuple[str, ...]:
        """Pinned tokens that were to violate and no longer do."""
        if self.exploration is None or not self.column.caught_by:
            return ()
        return tuple(self.exploration.stale_pins)

    @property
    def verdict(self) -> str:
        """`holds`, the name of a check, or `inconclusive`.

        As declared if and only if it is (one of) the expected.
        """
        if self.exploration is None:
            return "inconclusive"
        if self.unexpected:
            return self.unexpected[0].check
        if self.stale:
            # The pin held, whatever the search found behind it.
            return "holds"
        return self.exploration.verdict

    @property
    def is_as_declared(self) -> bool:
        """Whether the verdict is what the scenario says."""
        expected = self.column.expected
        return self.verdict == expected or (isinstance(expected, list) and self.verdict in expected)

    @property
    def failure(self) -> Failure | None:
        """The failure to show: an unexpected one before any other."""
        known = self.exploration.failures if self.exploration is not None else ()
        return next(iter([*self.unexpected, *known]), None)

    @property
    def violation(self) -> Violation | None:
        """The violation to show."""
        return None if self.failure is None else self.failure.violation

    @property
    def token(self) -> str | None:
        """The token of the violation to show."""
        return None if self.failure is None else self.failure.token

    def explain(self) -> str:
        """Say what is not as declared, with the verdict; empty if all is as declared."""
        if self.is_as_declared:
            return ""
        name = (
            f"{self.scenario.token_name}{f' with {self.column.name}' if self.column.name else ''}"
        )
        if self.problem:
            return f"{name}: {self.problem}"
        return "\n".join(
            [f"{name}: {self._difference()}", *([str(self.violation)] if self.violation else [])]
        )

    def _difference(self) -> str:
        assert self.exploration is not None, "there is a verdict"
        done = self.exploration
        return difference(
            self.scenario.token_name,
            self.column.name,
            self.column.caught_by,
            self.verdict,
            schedules=done.schedules,
            violating=done.violating,
            is_unexpected=bool(self.unexpected),
            stale=self.stale,
            is_stored=not done.failures,
        )


def difference(
    token_name: str,
    class_name: str,
    caught_by: Sequence[str],
    verdict: str,
    *,
    schedules: int,
    violating: int,
    is_unexpected: bool,
    stale: Sequence[str] = (),
    is_stored: bool = False,
) -> str:
    """Say how a verdict differs from what a column declares.

    Args:
        token_name: what tokens call the scenario.
        class_name: the class, empty without a subject.
        caught_by: the checks that must catch it; empty if it must hold.
        verdict: what came out instead.
        schedules: how many runs were made.
        violating: how many of them violated.
        is_unexpected: a check that the expectation does not account for was violated.
        stale: pins that were to violate and no longer do.
        is_stored: only a schedule from the corpus violated.
    """
    wanted = " or ".join(caught_by)
    if stale:
        find = f"python -m harness run {token_name} --class {class_name}"
        return f"stale pin {stale[0]} no longer violates {wanted}. Find a new one: {find}"
    if verdict == "inconclusive":
        return "nothing is known: the search could not be finished."
    if caught_by and not is_unexpected:
        return f"declared to be caught by {wanted}, held on {schedules} schedules."
    if caught_by:
        return f"declared to be caught by {wanted}, violated {verdict}."
    counts = f"{violating} of {schedules} schedules"
    if is_stored:
        counts = f"a schedule from the corpus, and on {counts}"
    return f"declared to hold, violated {verdict} on {counts}."


def run_cell(
    scenario: Scenario,
    column: Column,
    settings: Settings | None = None,
    fixtures: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    *,
    corpus: Corpus | None = None,
    case: str = "",
    shown: bool = False,
    told: bool = False,
) -> Cell:
    """Run one scenario with one class under as many schedules as `settings` say, pins first.

    A variant that must be caught is done with at its third violation. One that is to survive says
    little about the subject, and is searched by a tenth of the schedules.

    Args:
        scenario: the scenario.
        column: the class, and what is expected.
        settings: how; the defaults otherwise.
        fixtures: the arguments besides simulation and class.
        progress: called with (runs made, violations found) after each declared run.
        corpus: where failures are kept: those of earlier runs are run first, besides the declared
            schedules.
        case: tells apart, in the corpus, what is run with other fixtures.
        shown: it alone is looked at: searched in full, and its violation shown and so worth
            shrinking, even if it is the expected one.
        told: its violation is shown, and so worth shrinking, even if it is the expected one.

    Raises:
        HarnessError: the run could not be simulated, or something about the scenario is wrong.
    """
    settings = settings or Settings()
    stop_after = ENOUGH_VIOLATIONS if column.caught_by else 1
    if settings.seeds is not None:
        # Whoever names seeds wants to know of each.
        stop_after = settings.seeds[1] - settings.seeds[0]
    survives = column.is_variant and not column.caught_by and not shown
    settings = replace(
        settings,
        stop_after=stop_after,
        searched=max(1, settings.schedules // SURVIVOR_SHARE) if survives else None,
        expected=() if shown or told else column.caught_by,
        under_test=tuple(dict.fromkeys([*settings.under_test, *scenario.under_test])),
        pins=(*settings.pins, *pins_of(scenario, column)),
    )
    program = scenario.program(column, fixtures)
    shelf = None
    if corpus is not None:
        shelf = _Shelf(scenario, column, settings, corpus, case)
        shelf.run(program)
    exploration = explore(
        program,
        settings=settings,
        name=scenario.token_name,
        class_name=column.name,
        progress=progress,
    )
    if shelf is None:
        return Cell(scenario, column, exploration)
    shelf.keep(_unaccounted(exploration.failures, column))
    return Cell(scenario, column, exploration, stored=tuple(shelf.failures))


def _unaccounted(failures: Iterable[Failure], column: Column) -> list[Failure]:
    return [failure for failure in failures if failure.check not in column.caught_by]


class _Shelf:
    """The part of the corpus that belongs to one cell. One thread.

    Only failures that the expectation does not account for are kept: a variant that is caught as
    declared is found anew each time, which is what its cell claims.
    """

    def __init__(
        self, scenario: Scenario, column: Column, settings: Settings, corpus: Corpus, case: str
    ) -> None:
        self.scenario = scenario
        self.column = column
        self.settings = settings
        self.corpus = corpus
        self.name = corpus.name_of(scenario.path, f"{scenario.name}{f'[{case}]' if case else ''}")
        self.failures: list[Failure] = []
        # Runs that need not be stored: they are made in any case, or are stored already.
        self.known = {_run_of(Token.decode(pin)) for pin in settings.pins}

    def run(self, program: Callable[[Any], Any]) -> None:
        """Run what is stored, and say of each whether it held."""
        for text in self.corpus.tokens(self.name, self.column.name):
            try:
                token = Token.decode(text)
            except HarnessError as exc:
                self.corpus.warn(f"a stored failure of {self.name} is passed over: {exc}")
                self.corpus.held(self.name, self.column.name, text)
                continue
            if self._fits(token):
                self._run(program, text, token)

    def _fits(self, token: Token) -> bool:
        """Return whether a token means the same here; if not, it is neither run nor counted."""
        # An order that nobody asked for may break what no asked one does.
        mine = {name: getattr(self.settings, name) for name in MODES}
        return modes_of(token) == mine and token.interpreter == interpreter()

    def _run(self, program: Callable[[Any], Any], text: str, token: Token) -> None:
        done = run_token(
            program,
            # It may have been found from another folder.
            replace(token, scenario=self.scenario.token_name),
            under_test=self.settings.under_test,
            watchdog_seconds=self.settings.watchdog_seconds,
            limits=self.settings.limits,
        )
        found = _unaccounted(done.failures, self.column)
        if found:
            self.failures.extend(_from_corpus(failure) for failure in found)
            self.known.add(_run_of(token))
            self.corpus.store(self.name, self.column.name, text, found[0].check)
        elif done.verdict != "inconclusive":
            # A limit that is hit is no pass.
            self.corpus.held(self.name, self.column.name, text)

    def keep(self, failures: Iterable[Failure]) -> None:
        """Store what the declared schedules found."""
        for failure in failures:
            run = _run_of(Token.decode(failure.token))
            if run not in self.known:
                self.known.add(run)
                self.corpus.store(self.name, self.column.name, failure.token, failure.check)


def _run_of(token: Token) -> tuple[object, ...]:
    """Return what two tokens of one cell share if they are of the same run."""
    return (token.choices, *modes_of(token).values())


def _from_corpus(failure: Failure) -> Failure:
    """Return a failure that says where its schedule is from: it has no number."""
    told = _told_otherwise(
        failure.violation, "when", lambda text: _SCHEDULE.sub("from the corpus", text)
    )
    return replace(failure, violation=told, schedule=0)


def _told_otherwise(given: Violation, row: str, tell: Callable[[str], str]) -> Violation:
    """Return a violation with another text in one row of its evidence."""
    rows = [(label, tell(text) if label == row else text) for label, text in given.evidence]
    shown = Violation(given.check, given.summary, rows)
    shown.__cause__ = given.__cause__
    return shown


def replay_cell(
    scenario: Scenario,
    column: Column,
    token: Token,
    fixtures: Mapping[str, Any] | None = None,
    *,
    look: Look | None = None,
    begins: Callable[[], object] | None = None,
) -> Exploration:
    """Run the one schedule of `token`, and stop in the debugger where `look` says.

    Args:
        scenario: what the token names.
        column: the class that it names.
        token: what a verdict ended with.
        fixtures: the arguments besides simulation and class.
        look: where to stop in the debugger, if at all.
        begins: called before each run; the last one that is made is the token's.

    Raises:
        HarnessError: the run could not be simulated.
    """
    program = scenario.program(column, fixtures)
    return run_token(program, token, look=look, begins=begins, under_test=scenario.under_test)


def regression(
    scenario: Scenario, column: Column, failure: Failure, given: Given | None = None
) -> Regression:
    """Return a failure of a column as a test that can be written down.

    Args:
        scenario: the scenario.
        column: the class that it failed with.
        failure: what came of it.
        given: where its fixtures come from, if it has any.

    Raises:
        HarnessError: scenario or class cannot be imported.
    """
    subject = column.cls
    file = None if subject is None else sys.modules[subject.__module__].__file__
    return Regression(
        Named.of(scenario.function, scenario.path),
        None if subject is None or file is None else Named.of(subject, Path(file)),
        scenario.is_async,
        scenario.fixtures,
        scenario.under_test,
        failure.token,
        failure.violation,
        given or Given(),
    )


def result_of(
    cell: Cell,
    fixtures: Mapping[str, Any] | None = None,
    *,
    case: str = "",
    has_story: bool = False,
) -> Result:
    """Return what came of a cell for reports.

    Args:
        cell: the cell.
        fixtures: the arguments besides simulation and class.
        case: what pytest calls these.
        has_story: run the failure that is shown once more, to tell its story.

    Raises:
        HarnessError: it cannot be run any more.
    """
    this, column, done, failure = cell.scenario, cell.column, cell.exploration, cell.failure
    told = None
    if has_story and failure is not None:
        # It may be from the corpus, and found from another folder.
        token = replace(Token.decode(failure.token), scenario=this.token_name)
        program = this.program(column, fixtures)
        told = story(program, token, failure.violation, under_test=this.under_test)
    holds = done is not None and failure is None and done.verdict == "holds"
    return Result(
        scenario=this.name,
        component=this.component,
        path=this.shown_path,
        line=this.line,
        claim=this.doc,
        subject="" if this.subject is None else this.subject.__name__,
        class_name=column.name,
        row=column.row or "",
        case=case,
        expected=column.caught_by,
        verdict=cell.verdict,
        as_declared=cell.is_as_declared,
        summary=done.summary if done is not None else cell.problem,
        schedules=done.schedules if done is not None else 0,
        violating=done.violating if done is not None else 0,
        virtual_seconds=done.virtual_seconds if done is not None else 0.0,
        explanation=cell.explain(),
        violation=str(failure.violation) if failure is not None else "",
        token=failure.token if failure is not None else "",
        worth=(
            tuple(worth_rows(done.worth, done.exhausted, done.settings.exhausts))
            if done is not None and holds
            else ()
        ),
        story=told,
    )


def pins_of(scenario: Scenario, column: Column) -> tuple[str, ...]:
    """Return the pinned tokens of this column: those made with its class."""
    return tuple(pin for pin in scenario.schedules if Token.decode(pin).class_name == column.name)


# --- the decorator --------------------------------------------------------------------------------


@overload
def scenario(
    subject: type[Any] | None = None,
    /,
    *,
    catches: Mapping[Any, Any] | None = None,
    schedules: Sequence[str] = (),
    under_test: Sequence[str] = (),
    matrix: bool = True,
) -> Callable[[Callable[..., Any]], Callable[..., None]]: ...
@overload
def scenario(function: Callable[..., Any], /) -> Callable[..., None]: ...
def scenario(
    subject: Any = None,
    /,
    *,
    catches: Mapping[Any, Any] | None = None,
    schedules: Sequence[str] = (),
    under_test: Sequence[str] = (),
    matrix: bool = True,
) -> Any:
    """Make a function a scenario: with a class, of a component; bare, a test of your own.

    What it returns is a plain synchronous function, whatever it wraps, and works when called
    directly: the subject runs under the default number of schedules. Parameters after `sim` and the
    class are pytest fixtures.

    Args:
        subject: the class under test, handed over as second argument; or the function itself, where
            there is none.
        catches: variants of the subject, each with the check, or tuple of checks, that must catch
            it.
        schedules: pinned tokens, run before any search in the column of their class, each in the
            modes that it was found in.
        under_test: names of further modules to have scheduling points in, such as `queue`.
        matrix: False for no other columns than the subject and what is listed in `catches`.

    Raises:
        HarnessError: a variant that is no subclass, an unknown check, a token that cannot be read,
            or a function that does not take what it is given.
    """
    if subject is not None and not isinstance(subject, type):
        if callable(subject):
            return _decorate(subject, None, {}, (), (), matrix=True)
        raise misuse(
            "subject",
            subject,
            "must be a class.",
            "Write @scenario(SingleFlight), or @scenario for a test.",
        )
    caught = _checked_catches(subject, catches or {})
    pins = _checked_texts("schedules", schedules, "Write schedules=[token, …].")
    for pin in pins:
        Token.decode(pin)
    opened = _checked_texts("under_test", under_test, 'Write under_test=("queue",).')

    def decorate(function: Callable[..., Any]) -> Callable[..., None]:
        return _decorate(function, subject, caught, pins, opened, matrix=matrix)

    return decorate


def _decorate(
    function: Callable[..., Any],
    subject: type | None,
    catches: Mapping[type, tuple[str, ...]],
    schedules: tuple[str, ...],
    under_test: tuple[str, ...],
    *,
    matrix: bool,
) -> Callable[..., None]:
    if getattr(function, "is_hypothesis_test", False):
        raise HarnessError(
            f"{function.__qualname__} has @scenario above @given: each run would draw examples of "
            "its own. Write @given above @scenario."
        )
    if not inspect.isfunction(function):
        raise misuse(
            "function", function, "must be a function.", "Put @scenario over a def or an async def."
        )
    this = Scenario(function, subject, catches, schedules, under_test, matrix)
    signature = _signature(function, subject is not None)

    # Arguments under which walks have failed: if they come again, it is to be told.
    failed: set[str] = set()

    # One reference in a closure, and no `functools.wraps`: `__wrapped__` would let others see
    # through to a coroutine function, and take it away.
    def run(*args: Any, **fixtures: Any) -> Any:
        if args and isinstance(args[0], (Simulation, AsyncSimulation)):
            # Inside a run it is the function that it was made of: another scenario may call it.
            return function(*args, **fixtures)
        bound = signature.bind(*args, **fixtures)
        settings, key = Settings(), ""
        for walks in bound.arguments.values():
            if isinstance(walks, Walks):
                key = repr(bound.arguments)
                settings = Settings(
                    strategy="random",
                    seed=walks.seed,
                    schedules=walks.runs,
                    brief=key not in failed,
                )
        cell = run_cell(this, this.columns()[0], settings, fixtures=bound.arguments)
        assert cell.exploration is not None, "a cell that could not be run has raised"
        if cell.exploration.failures and settings.brief:
            failed.add(key)
        if cell.exploration.failures and bound.arguments:
            raise _of_a_call(cell.exploration.failures[0].violation)
        cell.exploration.raise_for_violation()
        return None

    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(run, name, getattr(function, name))
    run.__dict__.update(vars(function))
    run.__signature__ = signature  # type: ignore[attr-defined]  # what inspect looks for
    # pytest collects what says so, whatever it is called.
    run.__test__ = True  # type: ignore[attr-defined]
    setattr(run, MARK, this)
    return run


def _of_a_call(given: Violation) -> Violation:
    """Return a violation that says how to see it again: no command knows the arguments."""
    hypothesis = sys.modules.get("hypothesis")
    if hypothesis is not None and hypothesis.currently_in_test_context():
        again = "run the test again: Hypothesis begins with the example that it shows"
    else:
        again = "call it again with the same arguments, which no command knows"
    return _told_otherwise(given, "replay", lambda _command: again)


def scenario_of(value: object) -> Scenario | None:
    """Return the scenario that a decorated function carries, None for anything else."""
    try:
        found = vars(value).get(MARK)
    except TypeError:
        return None
    return found if isinstance(found, Scenario) else None


def row_of(cls: type) -> str | None:
    """Return the row that a variant's docstring starts with: `R9` of `R9: asks twice`."""
    match = _ROW.match((cls.__dict__.get("__doc__") or "").lstrip())
    return match.group(1) if match else None


def _checked_catches(
    subject: type | None, catches: Mapping[type, Any]
) -> dict[type, tuple[str, ...]]:
    caught: dict[type, tuple[str, ...]] = {}
    if not isinstance(catches, Mapping):
        raise misuse(
            "catches",
            catches,
            "must map variants to checks.",
            "Write catches={CheckThenAct: MaxInFlight}.",
        )
    for variant, checks in catches.items():
        if (
            subject is None
            or not isinstance(variant, type)
            or not issubclass(variant, subject)
            or variant is subject
        ):
            name = getattr(variant, "__name__", repr(variant))
            of = (
                "there is no subject"
                if subject is None
                else f"it is no subclass of {subject.__name__}"
            )
            raise HarnessError(
                f"catches={name} is no variant: {of}. "
                "A variant derives from the class that @scenario is given."
            )
        named = checks if isinstance(checks, (tuple, list)) else (checks,)
        if not named:
            raise misuse(
                "catches",
                {variant: checks},
                "names no check.",
                "Leave a variant out that must hold.",
            )
        caught[variant] = tuple(dict.fromkeys(check_name(check) for check in named))
    return caught


def _checked_texts(name: str, values: Sequence[str], way_out: str) -> tuple[str, ...]:
    if isinstance(values, str) or not all(isinstance(value, str) for value in values):
        raise misuse(name, values, "must be a list of texts.", way_out)
    return tuple(values)


@functools.cache
def _signature(function: Callable[..., Any], has_subject: bool) -> inspect.Signature:  # noqa: FBT001 - private
    """Return what is left for fixtures, given by name: the parameters after `sim` and the class."""
    parameters = list(inspect.signature(function).parameters.values())
    taken = 2 if has_subject else 1
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    if len(parameters) < taken or any(each.kind is not kind for each in parameters[:taken]):
        wanted = "sim and the class" if has_subject else "sim"
        message = (
            f"{function.__qualname__}{inspect.signature(function)} must take {wanted} first. "
            f"Write def {function.__name__}({'sim, cls' if has_subject else 'sim'}): …"
        )
        raise HarnessError(message)
    rest = [
        parameter
        for parameter in parameters[taken:]
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    return inspect.Signature(rest, return_annotation=None)


def _code(function: Callable[..., Any]) -> CodeType:
    unwrapped: Any = inspect.unwrap(function)
    return unwrapped.__code__  # type: ignore[no-any-return]  # a function: seen to when decorated


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _module_beside(this: Scenario, filename: str) -> ModuleType | None:
    """Import a file beside a scenario.

    Under the name that it has already, or else as a sibling of the scenario's module: executed
    twice, its classes would be two of each.
    """
    path = this.path.resolve().parent / filename
    if not path.is_file():
        return None
    loaded = [module for module in list(sys.modules.values()) if _is_file(module, path)]
    if loaded:
        claimed = {cls.__module__ for cls in this.catches}
        return next((module for module in loaded if module.__name__ in claimed), loaded[0])
    package = this.function.__module__.rpartition(".")[0]
    name = f"{package}.{path.stem}" if package else path.stem
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None and Path(spec.origin).resolve() == path:
            return importlib.import_module(name)
        return import_file(path, name if name not in sys.modules else f"{name}_{_digest(path)}")
    except HarnessError:
        raise
    except Exception as exc:
        raise import_failed(path, exc) from exc


def _is_file(module: ModuleType, path: Path) -> bool:
    file = getattr(module, "__file__", None)
    # Hundreds of modules are asked, for each scenario: almost all of them are told by their ends.
    return isinstance(file, str) and file.endswith(path.name) and Path(file).resolve() == path


# --- finding scenarios ----------------------------------------------------------------------------


def import_file(path: Path, name: str) -> ModuleType:
    """Execute a file as the module `name`."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None, "it ends in .py"
    assert spec.loader is not None, "as above"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


class NotImported(HarnessError):
    """A file of scenarios, or of their variants, raises when it is imported."""


def import_failed(path: Path, exc: BaseException) -> NotImported:
    """Make the one line for a file that raises when it is imported."""
    if isinstance(exc, HarnessError):
        return NotImported(f"{shown(path)}: {exc}")
    text = " ".join(str(exc).split())
    kind = f"{type(exc).__name__}{f': {text}' if text else ''}"
    return NotImported(f"{shown(path)} cannot be imported: {kind}{raised_at(exc)}")


def raised_at(exc: BaseException) -> str:
    """Return the innermost place of the user's that an exception comes from, as ` (bank.py:2)`.

    Empty if there is none, or if the exception names it itself.
    """
    lines = [
        f"{shown(Path(frame.f_code.co_filename))}:{line}"
        for frame, line in walk_tb(exc.__traceback__)
        if is_under_test(frame.f_code.co_filename)
    ]
    return f" ({lines[-1]})" if lines and not isinstance(exc, SyntaxError) else ""


def load(path: Path) -> ModuleType:
    """Import a file of scenarios as pytest would, assertion rewriting included: it moves points.

    Raises:
        NotImported: it cannot be.
    """
    path = path.resolve()
    for module in list(sys.modules.values()):
        if _is_file(module, path):
            return module
    name = _module_name(path)
    _forget_namesakes(path)
    folder = str(path.parent)
    added = folder not in sys.path
    try:
        if _is_hidden(name.partition(".")[0], folder):
            # While it can be seen: what is imported is found, whatever comes before it.
            importlib.import_module(name.partition(".")[0])
        if added:
            # For `from broken import …`, as under pytest.
            sys.path.insert(0, folder)
        with _rewriting(name):
            return importlib.import_module(name)
    except (Exception, SystemExit) as exc:
        raise import_failed(path, exc) from exc
    finally:
        if added and folder in sys.path:
            sys.path.remove(folder)


def scenarios_in(module: ModuleType) -> list[Scenario]:
    """Return the scenarios that stand in a module itself, in their order; not those it imported."""
    found = [scenario_of(value) for value in vars(module).values()]
    file = Path(module.__file__ or "").resolve()
    own = [each for each in found if each is not None and each.path.resolve() == file]
    return list({id(each): each for each in own}.values())


def files_in(folder: Path) -> list[Path]:
    """Return the files below `folder` that may hold scenarios, sorted.

    A test does if it says `scenario`.
    """
    found: set[Path] = set()
    for top, folders, files in os.walk(folder):
        folders[:] = [each for each in folders if not each.startswith(".") and each not in _SKIPPED]
        for pattern in PATTERNS:
            for path in map(Path(top).joinpath, files):
                if path.match(pattern) and (
                    not path.name.startswith("test_") or _mentions_scenario(path)
                ):
                    found.add(path)
    return sorted(found)


def find(name: str, *, folder: Path | None = None) -> Scenario:
    """Return the scenario `path/to/storms.py::cold_key`, or `cold_key` somewhere below `folder`.

    A name is looked for in all files that can be imported.

    Raises:
        HarnessError: there is none, or more than one.
    """
    file, separator, short = name.rpartition("::")
    if separator:
        path = Path(file)
        if not path.is_file():
            raise misuse(
                "scenario",
                name,
                "is unknown: there is no such file.",
                "Run from the project's root folder.",
            )
        paths: Iterable[Path] = [path]
    else:
        paths = files_in(folder or default_folder())
    found: list[Scenario] = []
    unread: list[NotImported] = []
    for path in paths:
        try:
            found += [each for each in scenarios_in(load(path)) if each.name == short]
        except NotImported as exc:
            if separator:
                raise
            unread.append(exc)
    if len(found) > 1:
        raise misuse(
            "scenario",
            name,
            "names more than one.",
            f"Say which: {', '.join(each.token_name for each in found)}.",
        )
    if not found and unread:
        rule = "is unknown: no file or folder, and no scenario in the files that can be imported."
        raise misuse("scenario", name, rule, str(unread[0]))
    if not found:
        rule = "is unknown." if separator else "is unknown: no scenario, file or folder."
        raise misuse("scenario", name, rule, "See python -m harness list.")
    return found[0]


def default_folder() -> Path:
    """Return where scenarios are looked for by default: `scenarios/`, or the current folder."""
    folder = Path("scenarios")
    return folder if folder.is_dir() else Path()


def shown(path: Path) -> str:
    """Return `path` relative to the current folder if it lies below it, with forward slashes."""
    try:
        return path.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path.resolve().as_posix()


_SKIPPED: Final = frozenset(
    {"__pycache__", "node_modules", "site-packages", "build", "dist", "venv"}
)


def _mentions_scenario(path: Path) -> bool:
    try:
        return "@scenario" in path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def _module_name(path: Path) -> str:
    """Return the name to import a file by.

    Dotted from the current folder, where that leads to it; else in a package made for its folder.
    """
    try:
        parts = path.relative_to(Path.cwd()).with_suffix("").parts
    except ValueError:
        parts = ()
    # A file at the top has no package, and could not import what lies beside it.
    if len(parts) > 1 and all(part.isidentifier() for part in parts):
        here = str(Path.cwd())
        if here not in sys.path and "" not in sys.path:
            sys.path.insert(0, here)
        top = importlib.util.find_spec(parts[0])
        locations = (top.submodule_search_locations or ()) if top is not None else ()
        if top is not None and top.origin is None and _is_hidden(parts[0], str(path.parent)):
            # In cache/test_cache.py `cache` is cache.py, not a folder without __init__.py.
            locations = ()
        if Path.cwd() / parts[0] in {Path(each).resolve() for each in locations}:
            return ".".join(parts)
    package = f"{MADE_UP}{_digest(path.parent)}"
    if package not in sys.modules:
        made = ModuleType(package)
        made.__path__ = [str(path.parent)]
        sys.modules[package] = made
    return f"{package}.{path.stem}"


def _is_hidden(package: str, folder: str) -> bool:
    """Tell whether something in a folder has the name of a package: put first, it would be it."""
    found = PathFinder.find_spec(package, [folder])
    # A folder without __init__.py hides nothing: it shares the name with those that come later.
    return found is not None and found.origin is not None


def _forget_namesakes(path: Path) -> None:
    """Forget modules such as `broken` that another folder of scenarios imported by bare name."""
    for file in path.parent.glob("*.py"):
        module = sys.modules.get(file.stem)
        origin = getattr(module, "__file__", None)
        if (
            module is None
            or not isinstance(origin, str)
            or Path(origin).resolve() == file.resolve()
        ):
            continue
        beside = Path(origin).parent
        if any((beside / name).is_file() for name in PATTERNS[:1]) or list(
            beside.glob(PATTERNS[1])
        ):
            del sys.modules[file.stem]


def _digest(path: Path) -> str:
    return hashlib.sha256(str(path).encode()).hexdigest()[:8]


class _rewriting:  # noqa: N801 - reads as a verb in a with statement
    """Has pytest rewrite the asserts of one module while it is imported. One thread."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._hook: Any = None

    def __enter__(self) -> None:
        from _pytest.assertion import install_importhook  # noqa: PLC0415 - no public way
        from _pytest.config import get_config  # noqa: PLC0415 - as above

        if any(type(finder).__name__ == "AssertionRewritingHook" for finder in sys.meta_path):
            # Under pytest: its own hook is there.
            import pytest  # noqa: PLC0415

            pytest.register_assert_rewrite(self._name)
            return
        self._hook = install_importhook(get_config())
        self._hook.mark_rewrite(self._name)

    def __exit__(self, *exc: object) -> None:
        if self._hook is not None:
            sys.meta_path.remove(self._hook)


# --- replay ---------------------------------------------------------------------------------------


def replay(
    token: str | Token,
    *,
    look: Look | None = None,
    begins: Callable[[], object] | None = None,
) -> Exploration:
    """Find what a token was made with, by the name in it, and run its one schedule again.

    Args:
        token: from the last row of a verdict.
        look: where to stop in the debugger, if at all.
        begins: called before each run; the last one that is made is the token's.

    Raises:
        HarnessError: the token cannot be read, what it names is not there, or the run could not be
            simulated.
    """
    read = token if isinstance(token, Token) else Token.decode(token)
    if "::" in read.scenario:
        this = find(read.scenario)
        if this.fixtures:
            raise needs_fixtures(this)
        return replay_cell(this, this.column(read.class_name), read, look=look, begins=begins)
    return run_token(_function(read.scenario), read, look=look, begins=begins)


def replayed_regression(token: str | Token, done: Exploration) -> Regression:
    """Return what came of a replay as a test that can be written down.

    Raises:
        HarnessError: the token names no scenario, or what it names cannot be imported.
    """
    read = token if isinstance(token, Token) else Token.decode(token)
    if "::" not in read.scenario:
        raise misuse(
            "scenario", read.scenario, "is no scenario.", "Only a function under @scenario has one."
        )
    this = find(read.scenario)
    return regression(this, this.column(read.class_name), done.failures[0])


def replayed_result(token: str | Token, done: Exploration, *, has_story: bool = True) -> Result:
    """Return what came of a replay for reports.

    Raises:
        HarnessError: what the token names is not there any more.
    """
    read = token if isinstance(token, Token) else Token.decode(token)
    if "::" in read.scenario:
        this = find(read.scenario)
        return result_of(Cell(this, this.column(read.class_name), done), has_story=has_story)
    function = _function(read.scenario)
    told = None
    if has_story and done.violation is not None:
        told = story(function, read, done.violation)
    code = getattr(inspect.unwrap(getattr(function, "func", function)), "__code__", None)
    return Result(
        scenario=read.scenario,
        component="",
        path=shown(Path(code.co_filename)) if code is not None else "",
        line=code.co_firstlineno if code is not None else 0,
        claim=(inspect.getdoc(function) or "").partition("\n")[0],
        subject="",
        class_name="",
        row="",
        expected=(),
        verdict=done.verdict,
        as_declared=done.verdict == "holds",
        summary=done.summary,
        schedules=done.schedules,
        violating=done.violating,
        virtual_seconds=done.virtual_seconds,
        violation=str(done.violation or ""),
        token=done.token,
        story=told,
    )


def needs_fixtures(this: Scenario) -> HarnessError:
    """Make the error for a scenario that only pytest can run."""
    names = ", ".join(this.fixtures)
    return HarnessError(
        f"{this.token_name} asks for the fixtures {names}: only pytest has them. "
        "Use pytest, with --storm-replay TOKEN to replay."
    )


def _function(name: str) -> Callable[[Any], Any]:
    """Import what `module:qualname` names."""
    module_name, separator, qualname = name.partition(":")
    try:
        found: Any = importlib.import_module(module_name) if separator else None
        for part in qualname.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError):
        found = None
    if not callable(found):
        way_out = "Only a function of a module is found again; else use harness.explore.run_token."
        raise misuse("scenario", name, "is unknown: no module has such a function.", way_out)
    this = scenario_of(found)
    if this is not None:
        return this.program(this.columns()[0])
    return found  # type: ignore[no-any-return]  # it can be called: just asked
