"""The pytest plugin: collects scenarios, runs each with each of its classes, and reports verdicts.

    storms.py: cold_key  ──►  cold_key[SingleFlight]   must hold
                              cold_key[CheckThenAct]   must be caught by what the scenario says

It is loaded in every pytest run of an environment, so it imports the engine only where a scenario
is met. What a cell is worth is judged elsewhere; this module selects, calls and shows. Of more
schedules than a shard has, `harness.pytest_stress` makes items of its own.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from harness.pytest_ground import Grounds
from harness.pytest_report import Reporter
from harness.pytest_stress import PARAMETER, Shards, Verdicts, is_shard, plain_case

if TYPE_CHECKING:
    from harness.core.token import Token
    from harness.corpus import Corpus
    from harness.explore import Exploration, Failure, Settings
    from harness.scenario import Cell, Column, Scenario

# An editable install hides from pytest which package the plugin belongs to, and with it whose
# asserts to explain.
pytest.register_assert_rewrite("harness.checks", "harness.testing")

#: Files in which scenarios are collected, besides what `python_files` says.
PATTERNS: Final = ("storms.py", "storms_*.py")

#: Title of the report section with the verdict.
SECTION: Final = "storm verdict"
#: Title of the report section with a failure as a test.
TEST_SECTION: Final = "storm regression test"
#: Name of the property, in JUnit XML too, with the token of a violation.
PROPERTY: Final = "harness.replay"

_PARAMETER: Final = "storm_class"
_MARK: Final = "__harness_scenario__"

_OPTIONS: Final = {
    "schedules": ("100", "schedules for each class of a scenario (100)", "N"),
    "seed": ("0", "base seed of the search (0)", "SEED"),
    "strategy": ("portfolio", "who searches: portfolio (default), exhaustive, surw …", "NAME"),
    "granularity": ("shared", "scheduling points: shared (default) or sync", "NAME"),
    "order": ("tasks", "asyncio order: tasks (default), fifo or any", "NAME"),
    "timeouts": ("idle", "when time-outs fire: idle (default), race or cost", "NAME"),
}

#: What a profile may set, besides those: as their options do.
_SWITCHES: Final = ("check_determinism", "corpus", "worth")
_OTHERS: Final = ("time", "unfinished", "emit_test")

#: Named sets of settings, for `--storm-profile`; `storm_profiles` in a file defines others, or
#: changes these.
PROFILES: Final[Mapping[str, Mapping[str, str]]] = {
    # What is run all day: failures are kept, and come first the next time.
    "dev": {"schedules": "100", "corpus": "yes"},
    # A machine that forgets: whoever reads its log needs the test that fails.
    "ci": {"schedules": "200", "corpus": "no", "emit_test": "-"},
    # In shards; every column by all schedules.
    "stress": {"schedules": "1920"},
}

_ON_OR_OFF: Final = {
    **dict.fromkeys(("1", "on", "true", "yes"), True),
    **dict.fromkeys(("0", "off", "false", "no"), False),
}

_profile_key = pytest.StashKey[dict[str, Any]]()
_shards_key = pytest.StashKey[Shards]()
_settings_key = pytest.StashKey["Settings"]()
_token_key = pytest.StashKey["Token"]()
_verdict_key = pytest.StashKey[str]()
_test_key = pytest.StashKey[str]()
_misuse_key = pytest.StashKey[list[str]]()
_reporter_key = pytest.StashKey[Reporter]()
_grounds_key = pytest.StashKey[Grounds]()
_corpus_key = pytest.StashKey["Corpus | None"]()
_notes_key = pytest.StashKey[list[str]]()


# --- options --------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--storm-…` and the settings of the same names."""
    group = parser.getgroup("storm", "deterministic storms (faultloom)")
    for name, (default, help_, metavar) in _OPTIONS.items():
        group.addoption(f"--storm-{name}", dest=f"storm_{name}", metavar=metavar, help=help_)
        parser.addini(f"storm_{name}", help_, default=default)
    group.addoption(
        "--storm-replay",
        dest="storm_replay",
        metavar="TOKEN",
        help="run the one schedule of this token, and nothing else",
    )
    group.addoption(
        "--storm-check-determinism",
        dest="storm_check_determinism",
        action="store_true",
        default=None,
        help="run every schedule twice and compare",
    )
    group.addoption(
        "--storm-worth",
        dest="storm_worth",
        action="store_true",
        default=None,
        help="say of each scenario that holds what that is worth",
    )
    group.addoption(
        "--storm-html",
        dest="storm_html",
        metavar="FILE",
        help="write summary, kill matrix and timelines of failures, as one HTML file",
    )
    group.addoption(
        "--storm-emit-test",
        dest="storm_emit_test",
        nargs="?",
        const="-",
        metavar="FILE",
        help="write a failure down as a test with its schedule: the first to FILE, or each to the "
        "report",
    )
    corpus = "run failures of earlier runs first, and keep new ones (but not if CI is set)"
    group.addoption(
        "--storm-corpus", dest="storm_corpus", action="store_true", default=None, help=corpus
    )
    group.addoption(
        "--no-storm-corpus",
        dest="storm_corpus",
        action="store_false",
        default=None,
        help="neither run nor keep failures",
    )
    parser.addini("storm_corpus", corpus, type="bool", default=None)
    time = "how long storms may take in all, such as 90s, 10m or 1h30m; no limit by default"
    group.addoption("--storm-time", dest="storm_time", metavar="TIME", help=time)
    parser.addini("storm_time", time, default="")
    unfinished = "what becomes of a cell that time did not suffice for: fail (default) or skip"
    group.addoption("--storm-unfinished", dest="storm_unfinished", metavar="WHAT", help=unfinished)
    parser.addini("storm_unfinished", unfinished, default="")
    profile = f"a named set of storm settings: {', '.join(sorted(PROFILES))}, or one of your own"
    group.addoption("--storm-profile", dest="storm_profile", metavar="NAME", help=profile)
    parser.addini("storm_profile", profile, default="")
    parser.addini(
        "storm_profiles",
        "profiles of your own, or changes to ours: one a line, `nightly: schedules=20000 time=2h`",
        type="linelist",
        default=[],
    )
    parser.addini(
        "storm_progress",
        "seconds between two reports of how far sharded scenarios are (10)",
        default="10",
    )
    parser.addini(
        "storm_replay", "run the one schedule of this token, and nothing else", default=""
    )
    parser.addini(
        "storm_check_determinism",
        "run every schedule twice and compare",
        type="bool",
        default=False,
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register marker and file names, and refuse bad options before anything runs."""
    _refuse_namesakes(config)
    config.addinivalue_line(
        "markers", "storm: a scenario of faultloom, collected from a function under @scenario"
    )
    for pattern in PATTERNS:
        # Collection and assertion rewriting both read this list.
        if pattern not in config.getini("python_files"):
            config.addinivalue_line("python_files", pattern)
    config.stash[_misuse_key] = []
    config.stash[_notes_key] = []
    grounds = config.stash[_grounds_key] = Grounds(lambda obj: _scenario(obj) is not None)
    config.pluginmanager.register(grounds, "storm-grounds")
    _configure_reports(config)
    config.stash[_profile_key] = _profile(config)
    seconds = _seconds(config)
    _unfinished(config)
    _progress_seconds(config)
    if any(_said(config, name) is not None for name in (*_OPTIONS, "check_determinism")):
        _settings(config)
    text = _said(config, "replay")
    if text:
        from harness.core.token import Token
        from harness.errors import HarnessError

        try:
            config.stash[_token_key] = Token.decode(str(text))
        except HarnessError as exc:
            raise pytest.UsageError(f"--storm-replay: {exc}") from None
    elif seconds is not None or _said(config, "schedules") is not None:
        _configure_stress(config, seconds)


def _progress_seconds(config: pytest.Config) -> float:
    try:
        return float(config.getini("storm_progress"))
    except ValueError:
        raise pytest.UsageError(
            f"storm_progress: {config.getini('storm_progress')!r} is no number of seconds."
        ) from None


def _unfinished(config: pytest.Config) -> str:
    unfinished = _said(config, "unfinished") or "fail"
    if unfinished not in ("fail", "skip"):
        raise pytest.UsageError(f"--storm-unfinished: {unfinished!r} must be fail or skip.")
    return unfinished


def _configure_stress(config: pytest.Config, seconds: float | None) -> None:
    """Have cells cut into shards, if one shard does not hold them or time is short."""
    from harness.campaign.units import SHARD

    settings = _settings(config)
    if settings.schedules <= SHARD and seconds is None:
        return
    shards = config.stash[_shards_key] = Shards(config, _scenario, settings, seconds)
    config.pluginmanager.register(shards, "storm-shards")
    if hasattr(config, "workerinput"):
        return
    reporter = config.stash.get(_reporter_key, None)
    given: dict[str, Any] = {} if reporter is None else {"judged": reporter.judge}
    verdicts = Verdicts(
        config,
        shards,
        property_name=PROPERTY,
        section=SECTION,
        progress_seconds=_progress_seconds(config),
        skips_unfinished=_unfinished(config) == "skip",
        **given,
    )
    config.pluginmanager.register(verdicts, "storm-verdicts")


def _seconds(config: pytest.Config) -> float | None:
    """Return how long storms may take.

    Raises:
        pytest.UsageError: what was said is no time.
    """
    text = _said(config, "time")
    if text is None:
        return None
    from harness.core.clock import seconds_of
    from harness.errors import HarnessError

    try:
        return seconds_of(text)
    except HarnessError as exc:
        raise pytest.UsageError(f"--storm-time: {exc}") from None


# --- profiles -------------------------------------------------------------------------------------


def _profile(config: pytest.Config) -> dict[str, Any]:
    """Return the settings of the profile that was asked for.

    Raises:
        pytest.UsageError: it is unknown, or a definition cannot be read.
    """
    profiles = {name: dict(settings) for name, settings in PROFILES.items()}
    for line in config.getini("storm_profiles"):
        name, colon, text = line.partition(":")
        given = dict(part.partition("=")[::2] for part in text.split())
        if not colon or not name.strip() or not all(given.values()):
            raise pytest.UsageError(
                f"storm_profiles: {line!r} is no profile. "
                "Write it as `nightly: schedules=20000 time=2h`."
            )
        profiles[name.strip()] = {**profiles.get(name.strip(), {}), **given}
    name = config.getoption("storm_profile", default=None) or config.getini("storm_profile")
    if not name:
        return {}
    if name not in profiles:
        raise pytest.UsageError(
            f"--storm-profile: {name!r} is no profile: there are {', '.join(sorted(profiles))}. "
            "The setting storm_profiles defines others."
        )
    return {key: _set_by_profile(name, key, text) for key, text in profiles[name].items()}


def _set_by_profile(profile: str, key: str, text: str) -> Any:
    if key in _SWITCHES:
        if text.lower() in _ON_OR_OFF:
            return _ON_OR_OFF[text.lower()]
        raise pytest.UsageError(f"--storm-profile: {key}={text} of {profile!r} must be yes or no.")
    if key not in _OPTIONS and key not in _OTHERS:
        known = ", ".join(sorted({*_OPTIONS, *_SWITCHES, *_OTHERS}))
        raise pytest.UsageError(
            f"--storm-profile: {key!r} of {profile!r} is no setting: there are {known}."
        )
    return text


def _chosen(config: pytest.Config, name: str) -> Any:
    """Return what the command line, or else the profile, says of an option; None if neither."""
    given = config.getoption(f"storm_{name}", default=None)
    return config.stash[_profile_key].get(name) if given is None else given


def _configure_reports(config: pytest.Config) -> None:
    """Have results collected, if a page or GitHub wants them.

    Raises:
        pytest.UsageError: the page cannot be written.
    """
    html = config.getoption("storm_html", default=None)
    is_on_github = os.environ.get("GITHUB_ACTIONS") == "true"
    if html is None and not is_on_github:
        return
    if html is not None and not hasattr(config, "workerinput"):
        from harness.errors import HarnessError
        from harness.report.files import check_target

        try:
            check_target("storm-html", html)
        except HarnessError as exc:
            raise pytest.UsageError(str(exc)) from None
    reporter = Reporter(
        config, html, is_on_github=is_on_github, note=config.stash[_notes_key].append
    )
    config.stash[_reporter_key] = reporter
    config.pluginmanager.register(reporter, "storm-reporter")


def _refuse_namesakes(config: pytest.Config) -> None:
    """Refuse another package named `harness` that tests of this project would mean, or do get.

    Raises:
        pytest.UsageError: there is one.
    """
    ours = Path(__file__).with_name("__init__.py")
    running = getattr(sys.modules["harness"], "__file__", None)
    folders = dict.fromkeys([config.rootpath, config.rootpath / "src", *map(Path, sys.path)])
    places = [folder / "harness" / "__init__.py" for folder in folders]
    places += [folder / "harness.py" for folder in folders]
    for place in [*([Path(running)] if running else []), *places]:
        try:
            is_other = place.is_file() and not place.samefile(ours)
        except OSError:
            continue  # a folder that cannot be looked into: nothing is imported from it either
        if is_other:
            raise pytest.UsageError(
                f"{place} is another package named 'harness' than that of faultloom ({ours}): "
                "only one of the two can be imported. Rename or move yours, or leave faultloom "
                "out of this run with `-p no:faultloom`."
            )


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say how storms are run, if anything was said about it."""
    names = (*_OPTIONS, "time")
    said = [f"{name}={_said(config, name)}" for name in names if _said(config, name) is not None]
    profile = config.getoption("storm_profile", default=None) or config.getini("storm_profile")
    said[:0] = [f"profile={profile}"] if profile else []
    return f"storms: {', '.join(said)}" if said else None


def _said(config: pytest.Config, name: str) -> Any:
    """Return what is said about an option, None if nothing is.

    The command line beats the profile, and the profile beats a single setting of a file.
    """
    given = _chosen(config, name)
    if given is not None:
        return given
    set_ = config.getini(f"storm_{name}")
    default = _OPTIONS[name][0] if name in _OPTIONS else (False if name in _SWITCHES else "")
    return None if set_ == default else set_


def _settings(config: pytest.Config) -> Settings:
    """Return how scenarios are run.

    Raises:
        pytest.UsageError: an option or a setting is wrong.
    """
    known = config.stash.get(_settings_key, None)
    if known is not None:
        return known
    from harness.errors import HarnessError
    from harness.explore import Settings

    chosen: dict[str, Any] = {}
    for name, (default, *_) in _OPTIONS.items():
        said = _said(config, name)
        chosen[name] = default if said is None else said
    for name in ("schedules", "seed"):
        try:
            chosen[name] = int(chosen[name])
        except ValueError:
            raise pytest.UsageError(f"--storm-{name}: {chosen[name]!r} is no integer.") from None
    try:
        settings = Settings(**chosen, check_determinism=bool(_said(config, "check_determinism")))
    except HarnessError as exc:
        raise pytest.UsageError(f"--storm: {exc}") from None
    config.stash[_settings_key] = settings
    return settings


def _corpus(config: pytest.Config) -> Corpus | None:
    """Return where failures are kept, None if they are not."""
    if _corpus_key not in config.stash:
        from harness.corpus import Corpus, is_wanted

        given = _chosen(config, "corpus")
        said = config.getini("storm_corpus") if given is None else given
        config.stash[_corpus_key] = (
            Corpus(config.rootpath, config.stash[_notes_key].append) if is_wanted(said) else None
        )
    return config.stash[_corpus_key]


# --- collection -----------------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: Any, obj: object) -> list[pytest.Item] | None:
    """Leave a scenario that a module has imported to the module it stands in.

    And have one of a class collected whatever it is called, as those of modules are.
    """
    if isinstance(obj, staticmethod) and _scenario(obj.__func__) is not None:
        obj.__dict__["__test__"] = True
    this = _scenario(obj)
    if this is not None and this.path.resolve() != collector.path.resolve():
        return []
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one item of each class that a scenario runs with."""
    this = _scenario(metafunc.function)
    if this is None or this.subject is None:
        return
    columns = this.columns()
    metafunc.fixturenames.append(_PARAMETER)
    metafunc.parametrize(
        _PARAMETER, columns, ids=[column.name for column in columns], indirect=True
    )


@pytest.fixture(name=_PARAMETER)
def _storm_class(request: pytest.FixtureRequest) -> Any:
    """The class that a scenario runs with; asked for by the plugin, not by scenarios."""
    return request.param


@pytest.fixture(name=PARAMETER)
def _storm_shard(request: pytest.FixtureRequest) -> Any:
    """The number of a shard; as above."""
    return request.param


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark scenarios, so that `-m storm` selects them."""
    if _scenario(getattr(item, "obj", None)) is not None:
        item.add_marker("storm")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Say in one line that a file of scenarios cannot be used; if the harness was misused.

    As a usage error.
    """
    report = yield
    call = getattr(report, "call", None)
    excinfo = getattr(call, "excinfo", None)
    if not report.failed or excinfo is None:
        return report
    if "harness.errors" not in sys.modules and not _is_storm_file(collector):
        return report
    from harness.errors import HarnessError
    from harness.scenario import raised_at

    exc = _cause(excinfo.value, HarnessError)
    place = collector.nodeid or str(collector.path)
    if exc is not None:
        line = f"{place}: {' '.join(str(exc).split())}"
        collector.config.stash[_misuse_key].append(line)
        report.longrepr = line
    elif _is_storm_file(collector) and not isinstance(excinfo.value, pytest.Collector.CollectError):
        text = " ".join(f"{type(excinfo.value).__name__}: {excinfo.value}".split())
        at = raised_at(excinfo.value)
        report.longrepr = f"{place} cannot be imported: {text.removesuffix(':')}{at}"
        collector.config.stash[_misuse_key].append(report.longrepr)
    elif _is_storm_file(collector):
        # pytest has put an import error, with a traceback, into the text of its own exception.
        lines = str(excinfo.value).strip().splitlines()
        last = next(
            (line[1:].strip() for line in reversed(lines) if line.startswith("E ")),
            lines[-1].strip(),
        )
        cause = excinfo.value.__cause__
        at = raised_at(cause) if cause is not None else ""
        report.longrepr = f"{place} cannot be imported: {last}{at}"
        collector.config.stash[_misuse_key].append(report.longrepr)
    return report


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse what cannot be run, and keep only what a token names."""
    problems = config.stash[_misuse_key]
    # A worker of xdist reports its collection errors; a usage error would only look like a crash of
    # it.
    if (
        problems
        and not hasattr(config, "workerinput")
        and not config.getoption("continue_on_collection_errors")
    ):
        raise pytest.UsageError(*problems)
    token = config.stash.get(_token_key, None)
    if token is None:
        return
    named = [item for item in items if _is_named(item, token)]
    if not named:
        subject = f" with class {token.class_name}" if token.class_name else ""
        raise pytest.UsageError(
            f"--storm-replay: the token names {token.scenario}{subject}, "
            "and no such scenario was collected. "
            "Run from the folder it was made in, and name its file."
        )
    config.hook.pytest_deselected(items=[item for item in items if item not in named])
    items[:] = named


def _is_named(item: pytest.Item, token: Token) -> bool:
    this = _scenario(getattr(item, "obj", None))
    if this is None or this.token_name != token.scenario:
        return False
    return bool(_column(item, this).name == token.class_name)


def _is_storm_file(collector: pytest.Collector) -> bool:
    return isinstance(collector, pytest.Module) and any(
        collector.path.match(pattern) for pattern in PATTERNS
    )


def _cause(exc: BaseException | None, kind: type[BaseException]) -> BaseException | None:
    while exc is not None and not isinstance(exc, kind):
        exc = exc.__cause__ or exc.__context__
    return exc


def _scenario(function: object) -> Scenario | None:
    """Return the scenario of a decorated function.

    Without loading the engine for one that is none.
    """
    try:
        return vars(function).get(_MARK)
    except TypeError:
        return None


def _column(item: Any, this: Scenario) -> Any:
    if this.subject is None:
        return this.columns()[0]
    return item.callspec.params[_PARAMETER]


# --- running --------------------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Have reports know a cell before its fixtures are made: it may fail there, or kill us."""
    reporter = item.config.stash.get(_reporter_key, None)
    this = _scenario(getattr(item, "obj", None))
    if reporter is not None and this is not None:
        from harness.scenario import Cell

        cell = Cell(this, _column(item, this), None, "it was never run")
        reporter.begin(item, cell, _case(item, this))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Have the examples of a scenario under `@given` share one preparation: it takes longer."""
    test = getattr(getattr(item, "obj", None), "hypothesis", None)
    if _scenario(getattr(test, "inner_test", None)) is None:
        return (yield)
    from harness.explore import shared_ground

    with shared_ground():
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object | None:
    """Run a scenario with one class under many schedules."""
    this = _scenario(pyfuncitem.obj)
    if this is None:
        return None
    fixtures = {name: pyfuncitem.funcargs[name] for name in this.fixtures}
    problem = _run(pyfuncitem, this, fixtures)
    if problem:
        pytest.fail(problem, pytrace=False)
    return True


def _run(item: pytest.Function, this: Scenario, fixtures: Mapping[str, Any]) -> str:
    """Run one item; return why it failed, empty if it did not.

    The verdict is kept for the report.
    """
    from harness.errors import HarnessError, InternalError

    column = _column(item, this)
    try:
        # All that is run for an item shares one preparation, and so may the next item.
        with item.config.stash[_grounds_key].prepared():
            return _run_column(item, this, column, fixtures)
    except (HarnessError, InternalError) as exc:
        reporter = item.config.stash.get(_reporter_key, None)
        if reporter is not None:
            from harness.scenario import Cell

            cell = Cell(this, column, None, " ".join(str(exc).split()))
            reporter.take(item, cell, fixtures, _case(item, this))
        return f"{type(exc).__name__}: {exc}"


def _case(item: Any, this: Scenario) -> str:
    """Return what pytest calls the other parameters of a scenario; none without fixtures."""
    return plain_case(item.callspec.id) if this.fixtures and hasattr(item, "callspec") else ""


def _run_column(
    item: pytest.Function, this: Scenario, column: Column, fixtures: Mapping[str, Any]
) -> str:
    """Run a token, a shard or a whole cell."""
    from harness.scenario import Cell, replay_cell, run_cell

    token = item.config.stash.get(_token_key, None)
    reporter = item.config.stash.get(_reporter_key, None)
    if token is not None:
        done = replay_cell(this, column, token, fixtures, begins=_forgets(item.config))
        if reporter is not None:
            reporter.take(item, Cell(this, column, done), fixtures)
        return _keep_replay(item, this, done)
    if is_shard(item):
        return _run_shard(item, this, column, fixtures)
    corpus = _corpus(item.config)
    case = item.callspec.id if fixtures and hasattr(item, "callspec") else ""
    told = reporter is not None and reporter.is_told
    settings = _settings(item.config)
    cell = run_cell(this, column, settings, fixtures, corpus=corpus, case=case, told=told)
    if reporter is not None:
        reporter.take(item, cell, fixtures, _case(item, this))
    problem = _keep_cell(item, cell)
    if cell.failure is not None and problem and not item.session.shouldstop:
        _print_one_run(item, this, cell.failure.token, fixtures)
    return problem


def _run_shard(
    item: pytest.Function, this: Scenario, column: Column, fixtures: Mapping[str, Any]
) -> str:
    """Run one shard of a cell; keep what it finds that is not declared."""
    from harness.scenario import Cell

    def keep(done: Exploration) -> None:
        corpus = _corpus(item.config)
        news = [each for each in done.failures if each.check not in column.caught_by]
        case = f"[{plain_case(item.callspec.id)}]" if fixtures else ""
        for failure in news if corpus is not None else ():
            assert corpus is not None, "as above"
            name = corpus.name_of(this.path, f"{this.name}{case}")
            corpus.store(name, column.name, failure.token, failure.check)
        if news:
            _keep(item, news[0].violation, news[0].token)
            _keep_test(item, this, news[0])
        reporter = item.config.stash.get(_reporter_key, None)
        if reporter is not None:
            reporter.take(item, Cell(this, column, done), fixtures, _case(item, this))
        if news and not done.interrupted:
            _print_one_run(item, this, news[0].token, fixtures)

    shards = item.config.stash[_shards_key]
    return shards.run(item, fixtures, keep).partition("\nViolation: ")[0]


def _forgets(config: pytest.Config) -> Callable[[], None] | None:
    """Return what forgets all that was printed and logged so far; None if pytest keeps nothing."""
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is None or not capture.is_globally_capturing():
        return None
    logs = config.pluginmanager.getplugin("logging-plugin")

    def forget() -> None:
        capture.read_global_capture()
        if logs is not None:
            # What the fixture caplog shows is another one's.
            logs.report_handler.reset()

    return forget


def _print_one_run(
    item: pytest.Function, this: Scenario, token: str, fixtures: Mapping[str, Any]
) -> None:
    """Have what pytest shows of output be that of the run that is told, not of hundreds."""
    from harness.core.token import Token
    from harness.errors import HarnessError, InternalError
    from harness.explore import run_again

    forget = _forgets(item.config)
    if forget is None:
        return
    forget()
    program = this.program(_column(item, this), fixtures)
    # The verdict is there already, whatever becomes of one run more.
    with contextlib.suppress(HarnessError, InternalError):
        run_again(program, Token.decode(token), under_test=this.under_test)


def _keep_replay(item: pytest.Function, this: Scenario, done: Exploration) -> str:
    if done.violation is not None:
        _keep(item, done.violation, done.token, _differences(item.config, done))
        _keep_test(item, this, done.failures[0])
        return done.violation.summary
    return f"inconclusive: {done.why_inconclusive}" if done.verdict == "inconclusive" else ""


def _keep_cell(item: pytest.Function, cell: Cell) -> str:
    if cell.violation is not None:
        _keep(item, cell.violation, cell.token)
        if cell.failure is not None and not cell.is_as_declared:
            _keep_test(item, cell.scenario, cell.failure)
    elif cell.exploration is not None and cell.is_as_declared:
        item.stash[_verdict_key] = _worth(item.config, cell.exploration)
    if cell.exploration is not None and cell.exploration.interrupted:
        item.session.shouldstop = "interrupted while a failure was shrunk"
    return cell.explain().partition("\nViolation: ")[0]


def _worth(config: pytest.Config, done: Exploration) -> str:
    """Return what a green verdict says: one line, or all if somebody wants to know."""
    from harness.errors import evidence_lines
    from harness.report.text import worth_in_short, worth_rows

    if not _wants_worth(config):
        return f"{done.summary}{worth_in_short(done.worth, done.exhausted)}"
    rows = worth_rows(done.worth, done.exhausted, done.settings.exhausts)
    return "\n".join([done.summary, *evidence_lines(rows)])


def _wants_worth(config: pytest.Config) -> bool:
    return bool(config.option.verbose > 0 or _chosen(config, "worth"))


def _differences(config: pytest.Config, done: Exploration) -> str:
    """Say that a token is of something else, and what can be had instead."""
    if not done.differs:
        return ""
    from harness.report.text import search_command

    lines = [f"This token was made elsewhere or earlier: {each}." for each in done.differs]
    command = search_command(config.stash[_token_key])
    return "\n".join([*lines, f"For a fresh search from the same seed: {command}", ""])


def _keep_test(item: pytest.Function, this: Scenario, failure: Failure) -> None:
    """Write a failure down as a test, if that is asked for."""
    file = _chosen(item.config, "emit_test")
    if file is None:
        return
    from harness.errors import HarnessError
    from harness.pytest_fixtures import given_to
    from harness.scenario import regression

    path = Path(file)
    try:
        given = given_to(item, _own_parameters(item))
        written = regression(this, _column(item, this), failure, given)
        folder = written.scenario.file.parent if file == "-" else path.parent
        text = written.text(folder)
        if file == "-":
            item.stash[_test_key] = f"# {folder / written.file_name}\n{text}"
            return
        # Never over a file that is there: the first failure is the one that is written.
        with path.open("x", encoding="utf-8") as out:
            out.write(text)
    except HarnessError as exc:
        item.stash[_test_key] = str(exc)
    except OSError as exc:
        item.stash[_test_key] = f"not written: {exc.strerror}: {file}"
    else:
        item.stash[_test_key] = f"written to {file}"


def _own_parameters(item: Any) -> dict[str, Any]:
    """Return the parameters of an item that are none of ours."""
    given = item.callspec.params if hasattr(item, "callspec") else {}
    return {name: each for name, each in given.items() if name not in (_PARAMETER, PARAMETER)}


def _keep(
    item: pytest.Function, violation: BaseException, token: str | None, differences: str = ""
) -> None:
    text = f"{differences}{violation}"
    cause = violation.__cause__
    if cause is not None:
        text += f"\n\n{_trimmed(cause)}"
    item.stash[_verdict_key] = text
    if token:
        item.user_properties.append((PROPERTY, token))


def _trimmed(exc: BaseException) -> str:
    """Return the exception below where it went, which the engine has left in a note."""
    where = [note for note in getattr(exc, "__notes__", ()) if note.startswith("Traceback")]
    lines = "".join(traceback.format_exception(exc, chain=False)).rstrip()
    for note in where:
        lines = f"{note}\n{lines.replace(note, '').rstrip()}"
    return lines


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the verdict to the report of a scenario."""
    report = yield
    verdict = item.stash.get(_verdict_key, None)
    if report.when == "call" and verdict is not None:
        report.sections.append((SECTION, verdict))
    written = item.stash.get(_test_key, None)
    if report.when == "call" and written is not None:
        report.sections.append((TEST_SECTION, written))
    return report


# --- what went wrong with the corpus --------------------------------------------------------------


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the notes of a worker of xdist to the process that can show them."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["storm_notes"] = session.config.stash[_notes_key]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the notes of a worker of xdist."""
    # A worker that crashed has none.
    node.config.stash[_notes_key].extend(getattr(node, "workeroutput", {}).get("storm_notes", ()))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say what holds, if somebody wants to know, and show each note once.

    As a warning it could be made an error, and change a verdict.
    """
    if _wants_worth(config):
        _write_what_holds(terminalreporter)
    notes = config.stash[_notes_key]
    for line in dict.fromkeys(notes):
        terminalreporter.write_line(f"storms: {line}", yellow=True)


def _write_what_holds(terminalreporter: pytest.TerminalReporter) -> None:
    found = [
        (report.nodeid, text)
        for report in terminalreporter.stats.get("passed", ())
        for title, text in getattr(report, "sections", ())
        if title == SECTION and text.startswith("Holds (")
    ]
    if found:
        terminalreporter.section("storms that hold")
    for nodeid, text in found:
        first, *rows = text.splitlines()
        terminalreporter.write_line(f"{nodeid}: {first}")
        for row in rows:
            terminalreporter.write_line(row)
