"""Runs a function under many schedules and says what they are worth: holds, violated, or not known.

    settle once, unrecorded ─► pins ─► a sweep of faults ─► runs of a strategy …
                                └─ a violation is run again, recorded: same tape, same end,
                                   or it is nondeterminism

A pin is run in the modes of its own token, whatever those of the search are.

The engine without pytest: command line and plugin stand on it. It does not know scenarios, variants
or files.
"""

from __future__ import annotations

import inspect
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field, fields, replace
from functools import partial
from itertools import groupby
from typing import Any, cast

from harness.core.clock import to_ns, to_seconds
from harness.core.fingerprint import fingerprint_of
from harness.core.history import Event, History
from harness.core.kernel import Limits
from harness.core.tape import Tape, deviations, replayed
from harness.core.token import Token
from harness.errors import HarnessError, Violation, misuse, nondeterminism
from harness.faults import Fired
from harness.report.because import because
from harness.report.story import Story, story_of
from harness.report.text import differences
from harness.search.known import DEFAULT, blaming, check_strategy, exhausts, make_strategy
from harness.search.random_walk import random_walk, seed_of_run
from harness.search.shrink import shrink
from harness.search.strategy import Ran, Strategy
from harness.search.worth import Worth
from harness.trial import Trial, run
from harness.world.debugger import Look
from harness.world.ground import Ground, prepared
from harness.world.here import here, whose_turn

GRANULARITIES = ("sync", "shared")
ORDERS = ("fifo", "tasks", "any")
TIMEOUTS = ("race", "cost", "idle")
#: What a token has of the settings, because the same choices mean another run without it.
MODES = ("granularity", "order", "timeouts")
SEEDS = 2**64
#: How long one step may take while somebody debugs it.
PATIENCE_SECONDS = 10.0**6
#: Of runs whose strategy wants no log, so many first ones and every so many later ones are logged,
#: to tell what they are worth: a log takes a quarter of the time of a small run.
LOGGED = 200
LOGGED_EVERY = 10
#: Once the logs of a search have so many entries, its runs are long: no first ones any more.
LOGGED_ENTRIES = 50_000
#: How often the first failure is run again to see whether it comes back, and what counts as long.
REPLAYS = 10
REPLAYS_IF_LONG = 3
CHEAP_STEPS = 20_000
#: What is said where the first run that held would not hold now.
OUTLIVED = (
    "outlives a run: the first schedule that held fails now, too. Make globals, class attributes "
    "and files anew in the scenario; else this token may hold in another process."
)
#: Steps by which an edited run may be longer than twice the one that is shrunk.
LONGER = 20_000
#: Violations after so many are kept as they were found: nobody reads them, and to run each again
#: would double the time of a search for all of them.
TOLD = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a function is explored.

    Args:
        schedules: how many runs at most, at least 1.
        seed: where random search starts, 0 ≤ seed < 2**64.
        seeds: (first, end): one random walk for each seed instead, and nothing else.
        strategy: who makes the choices, such as `portfolio`, `surw` or `pct:3`; see `search.known`.
        granularity: `shared` (points at shared accesses and synchronisation) or `sync`
            (synchronisation only).
        order: asyncio order, `fifo`, `tasks` or `any`.
        timeouts: `idle` (a time-out fires only when nobody can run), `race` or `race:N` (also at
            most once, or N times, at any other moment: a slow machine) or `cost` (each decision
            takes 100 µs).
        stop_after: violations after which the search ends.
        check_determinism: run every schedule twice and compare.
        watchdog_seconds: real seconds that one step may take.
        under_test: standard-library modules that count as code under test.
        pins: tokens that are run before any search, each in the modes that it was made in.
        limits: when a run is given up.
        shrink: show the first failure of each check as the simplest run that still shows it.
        brief: failures are kept as they were found, not run again in order to be told.
        expected: checks whose violations are no news, and are shown as they were found.
        searched: of the schedules, how many the search may have at most; a sweep may have all.
        sweep: make the walks of `cancel_each()` and its like before the search.
    """

    schedules: int = 100
    seed: int = 0
    seeds: tuple[int, int] | None = None
    strategy: str = DEFAULT
    granularity: str = "shared"
    order: str = "tasks"
    timeouts: str = "idle"
    stop_after: int = 1
    check_determinism: bool = False
    watchdog_seconds: float = 5.0
    under_test: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    shrink: bool = True
    brief: bool = False
    expected: tuple[str, ...] = ()
    searched: int | None = None
    sweep: bool = True

    @property
    def sees_all(self) -> bool:
        """Whether the log of a run tells all that its steps touch."""
        return self.granularity == "shared" and self.timeouts == "idle"

    @property
    def exhausts(self) -> str:
        """What is counted once all has been run: a `trace`, or a `schedule` without reduction."""
        return exhausts(self.strategy, sees_all=self.sees_all)

    def __post_init__(self) -> None:
        _at_least_one("schedules", self.schedules)
        _at_least_one("stop_after", self.stop_after)
        check_seed("seed", self.seed)
        if self.seeds is not None:
            first, end = self.seeds
            check_seed("seeds", first)
            check_seed("seeds", max(end - 1, 0))
            if end <= first:
                raise misuse("seeds", self.seeds, "must not be empty.", "Give A:B with A < B.")
        check_strategy(self.strategy)
        _one_of("granularity", self.granularity, GRANULARITIES)
        _one_of("order", self.order, ORDERS)
        mode, colon, count = self.timeouts.partition(":")
        _one_of("timeouts", mode, TIMEOUTS)
        if colon and (mode != "race" or not count.isdecimal() or not int(count)):
            raise misuse(
                "timeouts", self.timeouts, "must be race:N with N of at least 1.", "Use 'race'."
            )
        to_ns(self.watchdog_seconds, "watchdog_seconds")


def check_seed(name: str, seed: int) -> None:
    """Raise unless 0 ≤ seed < 2**64.

    Raises:
        HarnessError: it is not.
    """
    if not isinstance(seed, int) or not 0 <= seed < SEEDS:
        raise misuse(
            name, seed, "must be an integer with 0 ≤ seed < 2**64.", "Use 0 where any will do."
        )


def _at_least_one(name: str, value: int) -> None:
    if not isinstance(value, int) or value < 1:
        raise misuse(
            name, value, "must be an integer of at least 1.", "Leave it out for the default."
        )


def _one_of(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        default = next(each.default for each in fields(Settings) if each.name == name)
        raise misuse(
            name, value, f"must be one of {', '.join(known)}.", f"Leave it out for {default!r}."
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """One violating run.

    Args:
        check: name of the check that was violated.
        violation: the verdict, with evidence and the command that replays it.
        token: replays the run.
        schedule: its number in the exploration, from 1; 0 if the corpus knew it.
        steps: kernel steps of the run.
        deviations: choices that differ from the plain run.
        virtual_seconds: virtual time at the end.
        digest: history hash, equal for every run of the token; empty if it was not told.
        seed: of the walk that found it, where walks were asked for by seed.
    """

    check: str
    violation: Violation
    token: str
    schedule: int
    steps: int
    deviations: int
    virtual_seconds: float
    digest: str = ""
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Exploration:
    """What many runs of one function came to.

    Args:
        name: the scenario or function.
        class_name: the class under test, empty if there is none.
        verdict: `holds`, the name of the first violated check, or `inconclusive`.
        schedules: how many runs were made; the settling run is not one of them.
        violating: how many of them violated.
        failures: those, in order.
        steps: kernel steps of all runs.
        virtual_seconds: virtual time of all runs.
        stale_pins: pins that no longer violate.
        settings: how it was explored.
        why_inconclusive: what was hit, empty if nothing.
        exhausted: how many traces there are, if all have been run; 0 if that is not known. Of
            schedules, if none was left out for being like another: see `settings.exhausts`.
        unexhausted: why a search that has come to its end has not run all of them, if it has not.
        worth: what the runs that hold are worth.
        met: the traces that an exhaustive search has met, if it has seen all that it could.
        fingerprint: of the code that was run; equal for equal code.
        interrupted: it was stopped before its end: from the keyboard with a failure in hand, or
            because it was told to.
        differs: for a replay, what the token was made with and is not so now.
    """

    name: str
    class_name: str
    verdict: str
    schedules: int
    violating: int
    failures: tuple[Failure, ...]
    steps: int
    virtual_seconds: float
    settings: Settings
    stale_pins: tuple[str, ...] = ()
    why_inconclusive: str = ""
    exhausted: int = 0
    unexhausted: str = ""
    worth: Worth = field(default_factory=Worth)
    met: frozenset[int] = frozenset()
    fingerprint: str = ""
    interrupted: bool = False
    differs: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """The verdict in a few words, such as `Holds (exhausted: 7 traces)`."""
        if self.failures:
            return f"Violation: {self.verdict}"
        if self.verdict == "inconclusive":
            return f"Inconclusive: {self.why_inconclusive}"
        if self.exhausted:
            return f"Holds (exhausted: {_counted(self.exhausted, self.settings.exhausts)})"
        but = f"; not exhausted: {self.unexhausted}" if self.unexhausted else ""
        return f"Holds ({_counted(self.schedules, 'schedule')}{but})"

    @property
    def violation(self) -> Violation | None:
        """The first violation, None if there is none."""
        return self.failures[0].violation if self.failures else None

    @property
    def token(self) -> str:
        """The token of the first violation, empty if there is none."""
        return self.failures[0].token if self.failures else ""

    def raise_for_violation(self) -> None:
        """Raise the first violation, if there is one.

        Raises:
            Violation: something was violated.
            HarnessError: nothing was, but a limit was hit, so nothing is known.
        """
        if self.failures:
            raise self.failures[0].violation
        if self.verdict == "inconclusive":
            raise HarnessError(
                f"{self.name} is inconclusive: {self.why_inconclusive}. "
                "A limit that is hit is no pass."
            )


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


@dataclass(frozen=True, slots=True)
class Record:
    """One recorded run.

    Args:
        verdict: as in `Exploration`.
        violation: what was violated, if anything.
        digest: history hash.
        token: replays the run.
        steps: kernel steps.
        history: everything that happened.
        choices: the tape.
        virtual_seconds: virtual time at the end.
    """

    verdict: str
    violation: Violation | None
    digest: str
    token: str
    steps: int
    history: History
    choices: tuple[int, ...]
    virtual_seconds: float


Progress = Callable[[int, int], None]
#: Asked between two runs whether that is enough.
Stop = Callable[[], bool]


def explore(
    function: Callable[[Any], Any],
    *,
    settings: Settings | None = None,
    name: str | None = None,
    class_name: str = "",
    progress: Progress | None = None,
    stop: Stop | None = None,
    **overrides: Any,
) -> Exploration:
    """Run `function(sim)` under many schedules.

    Args:
        function: takes a `Simulation`; or a coroutine function that takes an `AsyncSimulation`.
        settings: how; the defaults otherwise.
        name: how verdicts and tokens call it; `module:qualname` by default.
        class_name: the class under test, for tokens.
        progress: called with (runs made, violations found) after each run.
        stop: asked after each run whether to end with what there is.
        **overrides: single settings, such as `schedules=2_000`.

    Raises:
        HarnessError: bad argument, a run that cannot be simulated, or nondeterminism.
        InternalError: a fault of the harness.
    """
    chosen = _settings(settings, overrides)
    # Pins may stand on other ground than the search.
    with shared_ground():
        with _prepared(chosen) as ground:
            explorer = _Explorer(
                function,
                chosen,
                name or name_of(function),
                class_name,
                ground,
                progress=progress,
                stop=stop,
            )
        return explorer.explore()


def record(
    function: Callable[[Any], Any],
    choices: Sequence[int] = (),
    *,
    settings: Settings | None = None,
    name: str | None = None,
    class_name: str = "",
    **overrides: Any,
) -> Record:
    """Run `function(sim)` once with a given tape and keep all that happened. See `explore`."""
    chosen = _settings(settings, overrides)
    with _prepared(chosen) as ground:
        explorer = _Explorer(function, chosen, name or name_of(function), class_name, ground)
        explorer.settle()
        history = History()
        trial = explorer.run(replayed(choices), history)
    token = explorer.token_of(trial.choices)
    return Record(
        trial.verdict,
        trial.violation,
        history.digest(),
        token,
        trial.steps,
        history,
        tuple(trial.choices),
        to_seconds(trial.virtual_ns),
    )


def run_token(
    function: Callable[[Any], Any],
    token: Token,
    *,
    look: Look | None = None,
    begins: Callable[[], object] | None = None,
    **overrides: Any,
) -> Exploration:
    """Run `function(sim)` once as a token says, and say if the token is of other code.

    Args:
        function: what the token names.
        token: what `explore` found.
        look: where to stop in the debugger, if at all.
        begins: called before each run: before the token's come those that prepare, after it only
            those that confirm it, which are the same.
        **overrides: single settings.

    Raises:
        HarnessError: as `explore`.
        KeyboardInterrupt: the person at the debugger's prompt has quit.
    """
    chosen = _settings(settings_of(token), overrides)
    if look is not None:
        # Whoever thinks at a prompt is not blocked.
        chosen = replace(chosen, watchdog_seconds=PATIENCE_SECONDS)
    with _prepared(chosen) as ground:
        explorer = _Explorer(function, chosen, token.scenario, token.class_name, ground)
        explorer.sampler = explorer.strategy = token.strategy
        explorer.begins = begins
        explorer.settle()
        if look is None:
            explorer.add(explorer.run(replayed(token.choices)))
        else:
            explorer.add(explorer.look_at(token.choices, look))
        differs = differences(token, explorer.fingerprint, interpreter())
        return replace(explorer.result(), differs=differs)


def run_again(function: Callable[[Any], Any], token: Token, **overrides: Any) -> None:
    """Run `function(sim)` once more as a token says, for what it prints: nothing is judged.

    Args:
        function: what the token names; this process has run it before.
        token: what `explore` found.
        **overrides: single settings.
    """
    chosen = _settings(settings_of(token), overrides)
    with _prepared(chosen) as ground:
        explorer = _Explorer(function, chosen, token.scenario, token.class_name, ground)
        explorer.run(replayed(token.choices))


def story(
    function: Callable[[Any], Any], token: Token, violation: Violation, **overrides: Any
) -> Story | None:
    """Run `function(sim)` once as a token says, and keep all that a picture of it needs.

    Args:
        function: what the token names.
        token: what `explore` found.
        violation: what it found, as it is told.
        **overrides: single settings.

    Returns:
        The story, or None if the run does not violate any more.
    """
    chosen = _settings(settings_of(token), overrides)
    with _prepared(chosen) as ground:
        explorer = _Explorer(function, chosen, token.scenario, token.class_name, ground)
        explorer.settle()
        history = History(is_detailed=True)
        trial = explorer.run(replayed(token.choices), history)
    if trial.violation is None:
        return None
    return story_of(
        history, violation, token.encode(), token.scenario, token.class_name, steps=trial.steps
    )


def settings_of(token: Token) -> Settings:
    """Return the settings that a token was made under."""
    return Settings(schedules=1, seed=token.seed, shrink=False, **modes_of(token))


def modes_of(token: Token) -> dict[str, Any]:
    """Return the settings that decide, with its choices, what the run of a token is."""
    return {name: getattr(token, name) for name in MODES}


def name_of(function: Callable[..., Any]) -> str:
    """Return `module:qualname` of a function, through partials."""
    inner = getattr(function, "func", function)
    return f"{inner.__module__}:{getattr(inner, '__qualname__', type(inner).__name__)}"


def _settings(settings: Settings | None, overrides: dict[str, Any]) -> Settings:
    base = settings or Settings()
    known = {each.name for each in fields(Settings)}
    for name, value in overrides.items():
        if name not in known:
            raise misuse(
                name,
                value,
                "is no setting.",
                f"The settings are {', '.join(sorted(known))}.",
            )
    return replace(base, **overrides)


def _prepared(settings: Settings) -> AbstractContextManager[Ground]:
    if here.world is not None:
        raise HarnessError(
            "explore() was called inside a run: explore from outside, "
            "and use the simulation you have."
        )
    standing = _standing.get()
    if standing is not None:
        return standing.entered(settings)
    return prepared(
        granularity=cast("Any", settings.granularity),
        watchdog_seconds=settings.watchdog_seconds,
        extra_under_test=settings.under_test,
    )


class _Standing:
    """The ground that several explorations share: prepared when wanted, anew for other settings.

    And when somebody has imported anything since: nothing that is new was seen.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._key: object = None
        self._ground: Ground | None = None
        self._modules = 0

    @contextmanager
    def entered(self, settings: Settings) -> Iterator[Ground]:
        """Have a ground for these settings inside the block, and heed who wants to interrupt."""
        ground = self._ground_for(settings)
        try:
            with ground.watchdog.heeding():
                yield ground
        finally:
            # What a run imports is seen to at once.
            self._modules = len(sys.modules)

    def _ground_for(self, settings: Settings) -> Ground:
        key = (settings.granularity, settings.watchdog_seconds, settings.under_test)
        if self._ground is None or key != self._key or self._modules != len(sys.modules):
            self.close()
            token = _standing.set(None)
            try:
                self._ground = self._stack.enter_context(_prepared(settings))
            finally:
                _standing.reset(token)
            self._key = key
        # What the rules of one exploration look at decides nothing of the next.
        self._ground.names_locks = False
        return self._ground

    def close(self) -> None:
        """Take everything down."""
        self._ground = None
        self._stack.close()


_standing: ContextVar[_Standing | None] = ContextVar("standing", default=None)


class SharedGround:
    """A preparation that several blocks share, each in whatever context. One thread."""

    def __init__(self) -> None:
        self._standing = _Standing()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Have the explorations inside the block share it."""
        token = _standing.set(self._standing)
        try:
            yield
        finally:
            _standing.reset(token)

    def close(self) -> None:
        """Take everything down."""
        self._standing.close()


@contextmanager
def shared_ground() -> Iterator[None]:
    """Have the explorations inside the block share their preparation.

    It takes longer than a small exploration. Locks and functions that are made inside the block and
    outside any run are not seen, but for those of modules that are imported there. A block inside
    another is part of it.
    """
    if _standing.get() is not None:
        yield
        return
    ground = SharedGround()
    try:
        with ground.entered():
            yield
    finally:
        ground.close()


class _Explorer:
    """One exploration. One thread."""

    def __init__(
        self,
        function: Callable[[Any], Any],
        settings: Settings,
        name: str,
        class_name: str,
        ground: Ground,
        *,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> None:
        self.function = function
        self.settings = settings
        self.name = name
        self.class_name = class_name
        self.ground = ground
        self.progress = progress
        self.stop = stop
        self.runs = 0
        self.steps = 0
        self.virtual_ns = 0
        self.failures: list[Failure] = []
        # The first run that held.
        self.held: Sequence[int] | None = None
        # Checks of which one violation has been shown, or none need be.
        self._shown = set(settings.expected)
        self.stale_pins: list[str] = []
        self.unknown = ""
        self.worth = Worth()
        self.exhausted = 0
        self.unexhausted = ""
        self.met: frozenset[int] = frozenset()
        # From the keyboard, while a failure was shrunk; or by whoever was asked.
        self.interrupted = False
        self.begins: Callable[[], object] | None = None
        # Of the walk that is made, where walks were asked for by seed.
        self.walk: int | None = None
        # Whose tape the last run was, and who is to be named in tokens.
        self.sampler = self.strategy = settings.strategy
        self.fingerprint = fingerprint_of(
            function, original=ground.rewriter.original, is_under_test=ground.is_under_test
        )

    # --- the search -------------------------------------------------------------------------------

    def explore(self) -> Exploration:
        """Make the runs that the settings ask for, on ground that is shared."""
        chosen = self.settings
        for modes, pins in groupby(chosen.pins, lambda pin: modes_of(Token.decode(pin))):
            with self._under(replace(chosen, **modes)):
                self._run_pins(pins)
        with self._under(chosen) as settled:
            sweeps = max(settled.sweeps, default=0) if chosen.sweep else 0
            for trial in self._trials(sweeps):
                self.add(trial, simplify=chosen.shrink)
                if len(self.failures) >= chosen.stop_after or self.interrupted:
                    break
                if self.stop is not None and self.stop():
                    self.interrupted = True
                    break
            return self.result()

    @contextmanager
    def _under(self, settings: Settings) -> Iterator[Trial]:
        """Have runs made under these settings inside the block, which is given the first."""
        with _prepared(settings) as self.ground:
            # Under other modes the same choices are another run.
            self.settings, self.held = settings, None
            yield self.settle()

    def settle(self) -> Trial:
        """Make one run that does not count: the first of a process is not like the others."""
        # It fills caches and imports modules.
        return self.run(replayed(()))

    def _run_pins(self, pins: Iterable[str]) -> None:
        for text in pins:
            before = len(self.failures)
            self.add(self.run(replayed(Token.decode(text).choices)))
            if len(self.failures) == before:
                self.stale_pins.append(text)

    def _trials(self, sweeps: int) -> Iterator[Trial]:
        """Make the walks of a sweep, then search with what is left of the schedules.

        In the search a strike is a choice like any other: some bugs need a fault in an order that
        no walk met. Where there is no other choice, the sweep has seen all.
        """
        made, alone = 0, bool(sweeps)
        for trial in self._sweep(sweeps):
            made += 1
            alone = alone and len(trial.widths) == trial.sites
            yield trial
        if not alone and not self.unknown and made < self.settings.schedules:
            left = self.settings.schedules - made
            yield from self._search(min(left, self.settings.searched or left))

    def _search(self, schedules: int) -> Iterator[Trial]:
        """Make the runs that the strategy asks for, at most so many."""
        settings = self.settings
        if settings.seeds is not None:
            for self.walk in range(*settings.seeds):
                yield self.run(random_walk(self.walk))
            return
        strategy = make_strategy(
            settings.strategy,
            settings.seed,
            sees_all=settings.sees_all,
        )
        is_foreign = type(strategy).__module__.partition(".")[0] != __package__
        asking: Callable[[str], AbstractContextManager[Any]] = (
            partial(blaming, settings.strategy) if is_foreign else nullcontext
        )
        entries = 0
        for index in range(schedules):
            with asking("tape()"):
                tape = strategy.tape(index)
                if tape is not None and is_foreign:
                    _hush(tape)
            if tape is None:
                self._note_exhaustion(strategy)
                return
            self.sampler = getattr(strategy, "member", settings.strategy)
            is_early = index < LOGGED and entries < LOGGED_ENTRIES
            is_counted = is_early or index % LOGGED_EVERY == 0
            if is_counted and tape.log is None:
                tape.log = []
            trial = self.run(tape)
            entries += len(tape.log or ())
            complete = trial.verdict not in ("inconclusive", "redundant")
            ran = Ran(
                trial.choices,
                trial.widths,
                tape.log or [],
                trial.points,
                violated=trial.violation is not None,
                complete=complete,
            )
            with asking("learn()"):
                strategy.learn(ran)
            if complete and is_counted:
                self.worth.add(self.sampler, ran.trace)
            del ran
            tape.let_go()
            yield trial
        self.worth.pct = getattr(strategy, "pct", {})

    def _note_exhaustion(self, strategy: Strategy) -> None:
        """Keep how many traces there are, if the strategy has seen all of them."""
        searching: Any = getattr(strategy, "exhaustive", strategy)
        incomplete = getattr(searching, "incomplete", None)
        self.unexhausted = incomplete or ""
        if incomplete == "" and not self.unknown:
            self.exhausted = getattr(searching, "schedules", 0) or len(searching.traces)
            self.met = frozenset(getattr(searching, "met", searching.traces))

    def _sweep(self, schedules: int) -> Iterator[Trial]:
        """Let a sweep strike at its first site, then at its second, … until it strikes nowhere."""
        made = 0
        for index in range(schedules):
            site = 0
            while True:
                if made >= self.settings.schedules:
                    self.unknown = f"the sweep is unfinished after {made} runs; raise schedules"
                    return
                site += 1
                made += 1
                tape = (
                    replayed(())
                    if index == 0
                    else random_walk(seed_of_run(self.settings.seed, index))
                )
                trial = self.run(tape, sweep_at=site)
                yield trial
                if not trial.swept:
                    break

    def run(
        self,
        tape: Tape,
        history: History | None = None,
        sweep_at: int | None = None,
        limits: Limits | None = None,
    ) -> Trial:
        """Make one run."""
        if self.begins is not None:
            self.begins()
        return run(
            self.function,
            tape,
            self.ground,
            order=self.settings.order,
            timeouts=self.settings.timeouts,
            limits=limits or self.settings.limits,
            history=history,
            sweep_at=sweep_at,
        )

    def look_at(self, choices: Sequence[int], look: Look) -> Trial:
        """Make one run that stops in the debugger.

        Where nothing is left to stop at but the run goes on, it stops at the last point before.

        Raises:
            HarnessError: the run has come to its end by then.
        """
        settings, history = self.settings, History()
        end = self.run(replayed(choices), history).steps
        # The event of a point is noted before its step is taken.
        last = max((each.step + 1 for each in history.events if each.site is not None), default=0)
        if look.step > max(last, end):
            way_out = f"The last step to stop at is {last}." if last else "No step has a place."
            raise misuse("stop-at", look.step, f"is after the end, step {end}.", way_out)
        look.step = min(look.step, last)
        with look.running():
            trial = run(
                self.function,
                replayed(choices),
                self.ground,
                order=settings.order,
                timeouts=settings.timeouts,
                limits=settings.limits,
                history=History(),
                look=look,
            )
        if look.has_quit:
            raise KeyboardInterrupt
        return trial

    # --- what they came to ------------------------------------------------------------------------

    def add(self, trial: Trial, *, simplify: bool = False) -> None:
        """Count a run and keep its violation, or that of the simplest run with the same bug."""
        self.runs += 1
        self.steps += trial.steps
        self.virtual_ns += trial.virtual_ns
        if trial.verdict == "inconclusive" and not self.unknown:
            self.unknown = f"schedule {self.runs} hit the limit {trial.limit!r}"
        history: History | None = None
        found, brief = trial.violation, self.settings.brief
        is_news = found is not None and found.check not in self._shown and not brief
        is_told = is_news or (found is not None and len(self.failures) < TOLD and not brief)
        if is_told or self.settings.check_determinism:
            history = self._confirm(trial)
        if self.held is None and trial.verdict == "holds":
            self.held = trial.choices
        if found is not None:
            outlived = is_news and self._has_outlived()
            failure = self._failure(trial, history, outlived=outlived)
            is_simple = not deviations(trial.choices) or outlived or self.interrupted
            if simplify and is_news and not is_simple:
                failure = self._simplest(trial) or failure
            self._shown.add(failure.check)
            is_first = not self.failures and not brief
            self.failures.append(self._measured(failure) if is_first else failure)
        if self.progress is not None:
            self.progress(self.runs, len(self.failures))

    def _confirm(self, trial: Trial) -> History:
        """Run a tape again, recorded; the same tape must come to the same end.

        Raises:
            Nondeterminism: it did not.
        """
        history = History()
        again = self.run(replayed(trial.choices), history)
        step = _parting(trial, again)
        # Two orders may ask for choices of the same widths and come to the same end: only two
        # records tell them apart.
        if step is not None or self.settings.check_determinism or not self.failures:
            other = History()
            self.run(replayed(trial.choices), other)
            parting = history.first_difference(other)
            if parting is not None:
                raise _parted(parting, history)
        if step is not None:
            raise nondeterminism(step, _described(trial, step), _described(again, step))
        # The recorded run has names for locks; the shrinker compares runs that have none.
        trial.told = again.violation
        return history

    def _has_outlived(self) -> bool:
        """Tell whether the first run that held would not hold now.

        Then any run may fail by what an earlier one has left behind, and no simpler one tells more.
        """
        if self.held is None:
            return False
        try:
            return self.run(replayed(self.held)).violation is not None
        except HarnessError:
            return True
        except KeyboardInterrupt:
            self.interrupted = True
            return False

    def _simplest(self, trial: Trial) -> Failure | None:
        """Return the simplest failure with the same bug; None if it comes to nothing."""
        # An edited run may go on for long where this one stopped, and shows nothing by that.
        limits = self.settings.limits
        steps = min(limits.total_steps, 2 * trial.steps + LONGER)

        def make(tape: Tape) -> Trial:
            if self.stop is not None and self.stop():
                # As from the keyboard: what is the simplest so far is good enough.
                raise KeyboardInterrupt
            return self.run(tape, limits=replace(limits, total_steps=steps))

        try:
            shrunk = shrink(make, trial, who=whose_turn)
            if shrunk is None:
                return None
            self.interrupted = shrunk.interrupted
            simplest = shrunk.best.run
            return self._failure(simplest, self._confirm(simplest), shrunk.summary)
        except HarnessError:
            # The failure that was found is certain, and is not given up for a simpler one.
            return None
        except KeyboardInterrupt:
            self.interrupted = True
            return None

    def _failure(
        self,
        trial: Trial,
        history: History | None,
        shrunk: str = "",
        *,
        outlived: bool = False,
    ) -> Failure:
        violation = trial.told or trial.violation
        assert violation is not None, "only violations are failures"
        token = self.token_of(trial.choices)
        unusual = deviations(trial.choices)
        # Of a plain run that held at first it is not the order that explains it.
        why = because(history, unusual) if history and (unusual or not outlived) else ()
        shown = Violation(
            violation.check,
            violation.summary,
            [
                ("scenario", self._scenario_row(violation)),
                *self._rows(violation, trial),
                *why,
                *([("shrunk", shrunk)] if shrunk else []),
                *([("state", OUTLIVED)] if outlived else []),
                ("replay", replay_command(token)),
            ],
        )
        shown.__cause__ = violation.__cause__
        return Failure(
            violation.check,
            shown,
            token,
            self.runs,
            trial.steps,
            unusual,
            to_seconds(trial.virtual_ns),
            history.digest() if history else "",
            self.walk,
        )

    def _measured(self, failure: Failure) -> Failure:
        """Return a failure that says how often its token brought it back."""
        choices = Token.decode(failure.token).choices
        # Told by steps, not by a clock: the same run is measured alike everywhere.
        replays = REPLAYS if failure.steps <= CHEAP_STEPS else REPLAYS_IF_LONG
        made = [self.run(replayed(choices)) for _ in range(replays)]
        same = sum((each.verdict, each.steps) == (failure.check, failure.steps) for each in made)
        *rows, replay = failure.violation.evidence
        given = failure.violation
        row = ("reproduced", f"{same}/{replays}")
        shown = Violation(given.check, given.summary, [*rows, row, replay])
        shown.__cause__ = given.__cause__
        return replace(failure, violation=shown)

    def _scenario_row(self, violation: Violation) -> str:
        subject = (
            f"{self.name.rpartition('::')[2]}, {self.class_name}" if self.class_name else self.name
        )
        order = next(
            (text.rpartition(" ")[2] for label, text in violation.evidence if label == "modes"), ""
        )
        shown = order or (
            "n/a" if not inspect.iscoroutinefunction(self.function) else self.settings.order
        )
        strategy, timeouts = self.sampler, self.settings.timeouts
        return f"{subject}, strategy {strategy}, asyncio order {shown}, timeouts {timeouts}"

    def _rows(self, violation: Violation, trial: Trial) -> list[tuple[str, str]]:
        when = f"step {trial.steps}, t = {to_seconds(trial.virtual_ns):g} s, schedule {self.runs}"
        rows = [
            ("when", when),
            *[row for row in violation.evidence if row[0] not in ("when", "modes")],
        ]
        if not deviations(trial.choices):
            # Else they are part of the story.
            rows.extend(("fault", _struck(fired)) for fired in trial.fired[:6])
        return rows

    def token_of(self, choices: Sequence[int]) -> str:
        """Return the token that replays a tape."""
        settings = self.settings
        return Token(
            scenario=self.name,
            class_name=self.class_name,
            strategy=self.strategy,
            seed=settings.seed,
            granularity=settings.granularity,
            timeouts=settings.timeouts,
            order=settings.order,
            interpreter=interpreter(),
            fingerprint=self.fingerprint,
            choices=tuple(choices),
        ).encode()

    def result(self) -> Exploration:
        """Sum up."""
        verdict = "holds"
        if self.failures:
            verdict = self.failures[0].check
        elif self.unknown:
            verdict = "inconclusive"
        return Exploration(
            self.name,
            self.class_name,
            verdict,
            self.runs,
            len(self.failures),
            tuple(self.failures),
            self.steps,
            to_seconds(self.virtual_ns),
            self.settings,
            stale_pins=tuple(self.stale_pins),
            why_inconclusive="" if self.failures else self.unknown,
            exhausted=0 if self.failures else self.exhausted,
            unexhausted=self.unexhausted,
            worth=self.worth,
            met=self.met,
            fingerprint=self.fingerprint,
            interrupted=self.interrupted,
        )


def _hush(tape: Tape) -> None:
    """Have no points in the code that answers: a user's strategy is code under test to the eye."""

    def hushed(answer: Callable[..., int]) -> Callable[..., int]:
        def answered(*question: Any) -> int:
            world = here.world
            assert world is not None, "only a run asks"
            with world.silence():
                return answer(*question)

        return answered

    tape.choose = hushed(tape.choose)
    tape.fault = hushed(tape.fault)
    if tape.pick is not None and tape.ask is not None:
        tape.pick, tape.ask = hushed(tape.pick), hushed(tape.ask)
    if tape.known is not None:
        tape.known = hushed(tape.known)


def _struck(fired: Fired) -> str:
    site = fired.site
    return f"{type(fired.verdict).__name__} at {site.kind} {site.ordinal} of '{site.name}'"


def replay_command(token: str) -> str:
    """Return the command that replays a token."""
    return f"python -m harness replay {token}"


def interpreter() -> str:
    """Return implementation and version, such as `cpython-3.12`."""
    return f"{sys.implementation.name}-{'.'.join(platform.python_version_tuple()[:2])}"


def _parting(first: Trial, second: Trial) -> int | None:
    """Return the decision at which two runs of one tape parted, None if they did not."""
    pairs = zip(first.widths, second.widths, strict=False)
    for step, (mine, theirs) in enumerate(pairs, 1):
        if mine != theirs:
            return step
    same = (first.verdict, first.steps, len(first.widths)) == (
        second.verdict,
        second.steps,
        len(second.widths),
    )
    return None if same else min(len(first.widths), len(second.widths)) + 1


def _parted(parting: tuple[int, Event | None, Event | None], history: History) -> HarnessError:
    """Name the step at which two records of one tape part, and what each did there."""
    _, *sides = parting
    mine, theirs = (
        f"{event.who!r} {event.operation} {event.target}".strip() if event else "the end"
        for event in sides
    )
    event = sides[0] or sides[1] or history.events[-1]
    return nondeterminism(event.step, mine, theirs)


def _described(trial: Trial, step: int) -> str:
    if step <= len(trial.widths):
        return f"a choice among {trial.widths[step - 1]}"
    return f"the verdict {trial.verdict} after {trial.steps} steps"
