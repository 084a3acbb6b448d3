"""Faults: a rule looks at a site and gives a verdict; the tape chooses which *may* come true.

A rule is any callable `rule(site) -> Verdict`. The first verdict that is not `Pass` wins, in
install order. This module is pure: it does not know how a verdict is carried out (doubles and world
do that) nor where choices come from.

A *certain* rule is what a scripted double does (message 7 always fails): it is obeyed on every run.
Any other rule only says what *may* happen: each time, one choice on the tape decides, and 0 means
that nothing happens, so the plain run is free of faults and a fault counts as one deviation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from harness.core.clock import to_ns
from harness.errors import HarnessError, misuse

SiteKind = Literal["call", "await", "lock", "spawn", "timer"]


@dataclass(frozen=True, slots=True)
class Site:
    """One place in a run where a fault may strike.

    Args:
        kind: `call` (a call of a double), `await` (a task is about to be resumed), `lock` (an
            acquire), `spawn` (a thread or task starts) or `timer` (a timer is due).
        name: the double, lock, thread or task that is touched. A lock is called by where it was
            made, `lock made at service.py:12`, or by where it was found if that was before the
            run: `service.LOCK`, `service.Service.lock`.
        actor: spawn path of the thread or task that is here, such as `0.2.1`.
        ordinal: how many sites of this kind and name came before in this run, from 1, fixed at
            entry.
        key: what is asked for (message id, argument), empty if there is none.
        lane: lane of a call, empty if there is none.
        argument: whatever the caller passed along.
        who: name of the thread or task that is here.
        ready: for `await`: what is awaited is done and the task has not resumed yet.
        again: for `await`: the task was passed over here before and waits on, while others went on.
            Only a sweep is asked again, and only in a search.
    """

    kind: SiteKind
    name: str
    actor: str
    ordinal: int
    key: str = ""
    lane: str = ""
    argument: object = None
    who: str = ""
    ready: bool = False
    again: bool = False


@dataclass(frozen=True, slots=True)
class Pass:
    """Nothing happens."""


@dataclass(frozen=True, slots=True)
class Delay:
    """The operation takes `seconds` longer."""

    seconds: float

    def __post_init__(self) -> None:
        _check_seconds(self.seconds)


@dataclass(frozen=True, slots=True)
class Fail:
    """The operation raises `exception`.

    Args:
        exception: an instance, a class, or a callable that makes a new one each time.
    """

    exception: BaseException | type[BaseException] | Callable[[], BaseException]

    def make(self) -> BaseException:
        """Return the exception to raise."""
        return self.exception if isinstance(self.exception, BaseException) else self.exception()


@dataclass(frozen=True, slots=True)
class Truncate:
    """The operation succeeds with the first `size` bytes (or items) of its payload."""

    size: int

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or self.size < 0:
            raise misuse(
                "size",
                self.size,
                "must be a whole number, and at least 0.",
                "Use Truncate(0) for an empty payload.",
            )


@dataclass(frozen=True, slots=True)
class Hang:
    """The operation never answers; only cancellation or a time-out ends it."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A message arrives twice. Only messages between a store and its subscribers can."""


@dataclass(frozen=True, slots=True)
class Overtake:
    """A message arrives before the one ahead of it. Only messages as above can."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """The task (or call) is cancelled here."""


@dataclass(frozen=True, slots=True)
class Crash:
    """The actor is gone: it takes no further step and no `finally` of it runs."""


@dataclass(frozen=True, slots=True)
class Pause:
    """The actor takes no step for `seconds`, then goes on as if nothing had been."""

    seconds: float

    def __post_init__(self) -> None:
        _check_seconds(self.seconds)


def _check_seconds(seconds: object) -> None:
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise misuse("seconds", seconds, "must be a number.", "Give it in seconds: 0.050.")
    to_ns(seconds)


Verdict = Pass | Delay | Fail | Truncate | Hang | Cancel | Crash | Pause | Duplicate | Overtake
Rule = Callable[[Site], Verdict]
PASS = Pass()


class Consultable(Protocol):
    """Something that knows which fault strikes at a site. Any thread that calls a double asks."""

    def consult(self, site: Site) -> Verdict:
        """Return the verdict for `site`."""
        ...  # pragma: no cover


@dataclass(slots=True)
class _Installed:
    """One rule of a run. Invariant: 0 ≤ fired, and fired ≤ at_most if there is a limit."""

    rule: Rule
    at_most: int | None
    certain: bool
    fired: int = 0
    kinds: frozenset[str] | None = None

    @property
    def is_spent(self) -> bool:
        """Whether it has struck as often as it may."""
        return self.at_most is not None and self.fired >= self.at_most


@dataclass(slots=True)
class Fired:
    """One fault that struck, for reports. One run."""

    site: Site
    verdict: Verdict


@dataclass(slots=True)
class Faults:
    """The rules of one run, in install order. One thread at a time.

    Args:
        choose: the tape: `choose(2)` answers 0 for no fault and 1 for the fault. Without one,
            nothing possible happens.
        note: records a choice that a sweep made: `note(choice, 2)`.

    Attributes:
        sweep_at: the site of a sweep (from 1) at which it strikes in this run; None leaves sweeps
            to the tape.
        sweep_sites: how many such sites this run has met.
        swept: a sweep struck in this run.
        on_fired: told of each fault that strikes, if anybody wants to know.
        names_locks: a rule of this run, or of one before it, looks at locks: each new one is to
            remember where it was made.
    """

    choose: Callable[[int], int] | None = None
    note: Callable[[int, int], None] | None = None
    sweep_at: int | None = None
    sweep_sites: int = 0
    swept: bool = False
    names_locks: bool = False
    rules: list[_Installed] = field(default_factory=list)
    fired: list[Fired] = field(default_factory=list)
    on_fired: Callable[[Fired], None] | None = None

    def install(self, rule: Rule, at_most: int | None = 1, *, certain: bool = False) -> None:
        """Add `rule` behind those installed before.

        Args:
            rule: callable from `Site` to a verdict.
            at_most: how often it may strike in this run; None for no limit.
            certain: obey it always instead of asking the tape.

        Raises:
            HarnessError: `rule` cannot be called or `at_most` is below 1.
        """
        if not callable(rule):
            raise misuse(
                "rule",
                rule,
                "must be callable: rule(site) returns a verdict.",
                "See harness.fail_nth.",
            )
        if at_most is not None and at_most < 1:
            raise misuse(
                "at_most", at_most, "must be at least 1.", "Leave the rule out to have no fault."
            )
        self.rules.append(_Installed(rule, at_most, certain, kinds=getattr(rule, "kinds", None)))
        self.names_locks = self.names_locks or self.watches("lock")

    def watches(self, kind: str) -> bool:
        """Tell whether a rule may care for sites of `kind`; one without `kinds` cares for all."""
        return any(entry.kinds is None or kind in entry.kinds for entry in self.rules)

    def may_strike(self, kind: str) -> bool:
        """Tell whether a rule that has not struck as often as it may cares for sites of `kind`."""
        # Asked at every call: a loop is faster than a generator.
        for entry in self.rules:
            if (entry.kinds is None or kind in entry.kinds) and not entry.is_spent:
                return True
        return False

    def consult(self, site: Site) -> Verdict:
        """Return the first verdict but `Pass` that is certain or that the tape lets happen."""
        for entry in self.rules:
            if entry.kinds is not None and site.kind not in entry.kinds:
                continue
            if entry.is_spent:
                continue
            if site.again and not isinstance(entry.rule, Sweep):
                continue
            verdict = entry.rule(site)
            if not isinstance(verdict, Verdict):
                raise HarnessError(
                    f"rule={entry.rule!r} returned {verdict!r}: a rule returns a verdict. "
                    "Return harness.Pass() where nothing should happen."
                )
            if isinstance(verdict, Pass):
                continue
            if not entry.certain and not self._comes_true(entry, again=site.again):
                continue
            entry.fired += 1
            self.fired.append(Fired(site, verdict))
            if self.on_fired is not None:
                self.on_fired(self.fired[-1])
            return verdict
        return PASS

    def _comes_true(self, entry: _Installed, *, again: bool) -> bool:
        if isinstance(entry.rule, Sweep) and self.sweep_at is not None:
            if again:
                # A walk strikes once at each suspension; when, is for the search.
                if self.note is not None:
                    self.note(0, 2)
                return False
            self.sweep_sites += 1
            strikes = self.sweep_sites == self.sweep_at
            self.swept = self.swept or strikes
            if self.note is not None:
                self.note(int(strikes), 2)
            return strikes
        return self.choose is not None and bool(self.choose(2))

    @property
    def sweeps(self) -> list[Sweep]:
        """The sweeps among the rules."""
        return [entry.rule for entry in self.rules if isinstance(entry.rule, Sweep)]


@dataclass(frozen=True, slots=True)
class _FailNth:
    n: int
    exception: BaseException | type[BaseException] | Callable[[], BaseException]
    name: str | None
    kinds: frozenset[str] = frozenset({"call"})

    def __call__(self, site: Site) -> Verdict:
        if site.ordinal == self.n and self.name in (None, site.name):
            return Fail(self.exception)
        return PASS


def fail_nth(
    n: int,
    exception: BaseException | type[BaseException] | Callable[[], BaseException] = ConnectionError,
    *,
    name: str | None = None,
) -> Rule:
    """Return a rule under which call number `n` (from 1) of a double may fail.

    Args:
        n: ordinal of the call, counted per double.
        exception: what the call raises.
        name: the double meant; None for every one.

    Raises:
        HarnessError: `n` is below 1.
    """
    if n < 1:
        raise misuse(
            "n",
            n,
            "must be at least 1: calls are counted from 1.",
            "Use fail_nth(1) for the first call.",
        )
    return _FailNth(n, exception, name)


@dataclass(frozen=True, slots=True)
class Sweep:
    """A rule to be tried at every one of its sites, one site a run, until a run without a strike.

    `explore` sees it and walks it: run i lets it strike at the i-th site that `matches`. An
    unfinished walk is no pass.

    Args:
        verdict: what strikes.
        matches: which sites count.
        kinds: the kinds of site it looks at.
        label: how the sweep is called in reports.
        schedules: on how many schedules the walk is made; the first is the plain one.
    """

    verdict: Verdict
    matches: Callable[[Site], bool]
    kinds: frozenset[str]
    label: str
    schedules: int = 1

    def __call__(self, site: Site) -> Verdict:
        """Return the verdict if `site` counts; which of those is struck is for `Faults` to say."""
        return self.verdict if self.matches(site) else PASS


def fail_each(
    exception: BaseException | type[BaseException] | Callable[[], BaseException] = ConnectionError,
    *,
    name: str | None = None,
    schedules: int = 1,
) -> Sweep:
    """Return a sweep that fails call 1 of the doubles, then call 2, … until no call failed.

    Args:
        exception: what the call raises.
        name: the double meant; None for every one.
        schedules: on how many schedules the sweep is made; the first is the plain one.

    Source: SQLite's fault-simulation loop ("How SQLite Is Tested", section 3, anomaly testing).
    """
    return Sweep(
        Fail(exception),
        lambda site: name in (None, site.name),
        frozenset({"call"}),
        "fail_each",
        _positive(schedules),
    )


CancelMode = Literal["parked", "ready", "both"]


def cancel_each(actor: str, *, mode: CancelMode = "both", schedules: int = 1) -> Sweep:
    """Return a sweep that cancels the named task at each of its suspensions, one suspension a run.

    Args:
        actor: name of the task, as in `storm.spawn(…, name=…)`.
        mode: `parked` (it waits), `ready` (what it awaits is done and it has not resumed), or both.
        schedules: on how many schedules the sweep is made; the first is the plain one.

    Raises:
        HarnessError: unknown mode.
    """
    if mode not in ("parked", "ready", "both"):
        raise misuse("mode", mode, "must be 'parked', 'ready' or 'both'.", "Leave it out for both.")

    def matches(site: Site) -> bool:
        return site.who == actor and (mode == "both" or site.ready == (mode == "ready"))

    return Sweep(
        Cancel(), matches, frozenset({"await"}), f"cancel_each({actor!r})", _positive(schedules)
    )


def _positive(schedules: int) -> int:
    if schedules < 1:
        raise misuse(
            "schedules",
            schedules,
            "must be at least 1.",
            "Leave it out for the plain schedule alone.",
        )
    return schedules


@dataclass(frozen=True, slots=True)
class _Strike:
    verdict: Verdict
    actors: frozenset[str]
    kinds: frozenset[str] = frozenset({"call", "await", "lock", "spawn", "timer"})

    def __call__(self, site: Site) -> Verdict:
        return self.verdict if site.who in self.actors else PASS


def crash(*actors: str) -> Rule:
    """Return a rule under which a named thread or task may die at any site: no `finally` runs."""
    return _Strike(Crash(), _names("actors", actors))


def pause(*actors: str, seconds: float) -> Rule:
    """Return a rule under which a named thread or task may stand still for `seconds` anywhere."""
    return _Strike(Pause(seconds), _names("actors", actors))


def _names(parameter: str, actors: tuple[str, ...]) -> frozenset[str]:
    if not actors or not all(isinstance(actor, str) for actor in actors):
        raise misuse(
            parameter,
            actors,
            "must be names of threads or tasks.",
            "Give storm.spawn a name= and use it here.",
        )
    return frozenset(actors)
