"""Faults: which rule wins, what is a choice of the tape, and how often a rule may strike."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.tape import deviations, replayed
from harness.errors import HarnessError
from harness.faults import (
    PASS,
    Cancel,
    Crash,
    Delay,
    Fail,
    Faults,
    Hang,
    Pass,
    Pause,
    Rule,
    Site,
    Sweep,
    Truncate,
    Verdict,
    cancel_each,
    crash,
    fail_each,
    fail_nth,
    pause,
)

VERDICTS: list[Verdict] = [
    Delay(0.5),
    Fail(ConnectionError),
    Truncate(3),
    Hang(),
    Cancel(),
    Crash(),
    Pause(2.0),
]


def call(ordinal: int = 1, name: str = "origin", who: str = "caller", **more: Any) -> Site:
    """Return a site at which a double is called."""
    return Site("call", name, "0.1", ordinal, who=who, **more)


def always(verdict: Verdict) -> Rule:
    """Return a rule that has one answer."""
    return lambda site: verdict


# --- which rule wins ------------------------------------------------------------------------------

RULES = st.lists(
    st.tuples(
        st.one_of(st.just(PASS), st.sampled_from(VERDICTS)),
        st.one_of(st.none(), st.integers(1, 3)),
        st.booleans(),
    ),
    max_size=6,
)


@given(RULES, st.lists(st.integers(0, 1), max_size=40), st.integers(0, 8))
def test_the_first_verdict_wins_in_install_order(
    rules: list[tuple[Verdict, int | None, bool]], choices: list[int], sites: int
) -> None:
    """At each site: the first rule that says more than Pass, may still strike, and comes true."""
    tape, expected_tape = replayed(choices), replayed(choices)
    faults = Faults(tape.fault)
    for verdict, at_most, certain in rules:
        faults.install(always(verdict), at_most, certain=certain)
    left = [at_most if at_most is not None else sites for _, at_most, _ in rules]

    for ordinal in range(1, sites + 1):
        expected: Verdict = PASS
        for index, (verdict, _, certain) in enumerate(rules):
            if not left[index] or isinstance(verdict, Pass):
                continue
            if certain or expected_tape.fault(2):
                left[index] -= 1
                expected = verdict
                break
        assert faults.consult(call(ordinal)) == expected

    # Nothing else was asked, so a fault is one choice and no fault is the default.
    assert tape.choices == expected_tape.choices
    struck = [fired.verdict for fired in faults.fired]
    assert PASS not in struck
    assert min(left, default=0) >= 0


@given(RULES, st.integers(0, 8))
def test_the_plain_run_is_free_of_possible_faults(
    rules: list[tuple[Verdict, int | None, bool]], sites: int
) -> None:
    """The empty tape: nothing that is only possible happens."""
    tape = replayed([])
    faults = Faults(tape.fault)
    for verdict, at_most, _ in rules:
        faults.install(always(verdict), at_most)

    assert [faults.consult(call(ordinal)) for ordinal in range(sites)] == [PASS] * sites
    assert faults.fired == []
    assert deviations(tape.choices) == 0


def test_a_fault_that_comes_true_is_one_deviation() -> None:
    """A fault counts as a switch does, so both shrink together."""
    tape = replayed([0, 1])
    faults = Faults(tape.fault)
    faults.install(always(Hang()))

    verdicts = [faults.consult(call(ordinal)) for ordinal in (1, 2, 3)]

    assert verdicts == [PASS, Hang(), PASS]
    assert tape.choices == [0, 1]
    assert deviations(tape.choices) == 1


def test_a_certain_rule_asks_nobody() -> None:
    """What a scripted double does is no choice: message 7 always fails."""
    tape = replayed([])
    faults = Faults(tape.fault)
    faults.install(always(Fail(ConnectionError)), at_most=None, certain=True)

    assert faults.consult(call()) == Fail(ConnectionError)
    assert tape.choices == []


def test_without_a_tape_nothing_possible_happens() -> None:
    """Outside a run there is nobody to choose: only certain rules strike."""
    faults = Faults()
    faults.install(always(Hang()), at_most=None)
    faults.install(always(Delay(1)), at_most=None, certain=True)

    assert faults.consult(call()) == Delay(1)


def test_a_rule_that_declines_does_not_hide_the_next() -> None:
    """The tape says no to the first rule; the second is asked."""
    tape = replayed([0, 1])
    faults = Faults(tape.fault)
    faults.install(always(Hang()))
    faults.install(always(Crash()))

    assert faults.consult(call()) == Crash()


@given(st.integers(1, 5), st.integers(0, 10))
def test_a_rule_strikes_at_most_as_often_as_it_may(at_most: int, sites: int) -> None:
    """Beyond it, the rule is as if it were not there: no choice is made for it."""
    tape = replayed([1] * 20)
    faults = Faults(tape.fault)
    faults.install(always(Hang()), at_most)

    struck = [faults.consult(call(ordinal)) for ordinal in range(sites)].count(Hang())

    assert struck == len(faults.fired) == len(tape.choices) == min(at_most, sites)


def test_what_struck_is_kept_with_its_site() -> None:
    """A report can say where which fault struck."""
    faults = Faults(replayed([0, 1]).fault)
    faults.install(always(Truncate(3)))
    faults.consult(call(1))
    faults.consult(call(2, key="user:1"))

    (fired,) = faults.fired

    assert (fired.site, fired.verdict) == (call(2, key="user:1"), Truncate(3))


def test_a_function_is_a_rule() -> None:
    """A rule of one's own needs no class: it looks at the site and answers."""

    def slow_for_one_user(site: Site) -> Verdict:
        return Delay(0.2) if site.key == "user:1" else Pass()

    faults = Faults()
    faults.install(slow_for_one_user, at_most=None, certain=True)

    assert faults.consult(call(key="user:1")) == Delay(0.2)
    assert faults.consult(call(key="user:2")) == PASS


def test_a_rule_is_asked_only_about_the_kinds_it_names() -> None:
    """A rule with `kinds` is left alone elsewhere; one without cares for all."""

    class NeverAtLocks:
        kinds = frozenset({"call"})

        def __call__(self, site: Site) -> Verdict:
            assert site.kind == "call"
            return Hang()

    faults = Faults()
    faults.install(NeverAtLocks(), at_most=None, certain=True)

    assert faults.consult(Site("lock", "board", "0.1", 1)) == PASS
    assert faults.consult(call()) == Hang()
    assert faults.watches("call")
    assert not faults.watches("lock")
    faults.install(always(PASS))
    assert faults.watches("lock")


def test_a_rule_that_has_struck_as_often_as_it_may_strikes_no_more() -> None:
    """Calls need not be told to it any more; its kind of site is numbered on."""
    faults = Faults()
    faults.install(fail_nth(1), certain=True)

    assert faults.may_strike("call")
    assert not faults.may_strike("lock")
    assert isinstance(faults.consult(call()), Fail)
    assert not faults.may_strike("call")
    assert faults.watches("call")

    faults.install(always(PASS), at_most=None)

    assert faults.may_strike("call")
    assert faults.may_strike("lock")


# --- sites and verdicts ---------------------------------------------------------------------------


@pytest.mark.parametrize("value", [*VERDICTS, PASS, call()], ids=lambda each: type(each).__name__)
def test_sites_and_verdicts_are_frozen(value: Any) -> None:
    """Data do not change on the way."""
    field = dataclasses.fields(value)[0].name if dataclasses.fields(value) else "anything"

    with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
        setattr(value, field, 1)
    assert value == dataclasses.replace(value)


def test_an_exception_may_be_an_instance_a_class_or_a_factory() -> None:
    """An instance is raised as it is; the others make a new one each time."""
    error = ConnectionError("reset")

    assert Fail(error).make() is error
    for source in (ConnectionError, lambda: ConnectionError("reset")):
        made, again = Fail(source).make(), Fail(source).make()
        assert isinstance(made, ConnectionError)
        assert made is not again


# --- the rules that are shipped -------------------------------------------------------------------


@given(st.integers(1, 6))
def test_fail_nth_fails_one_call(n: int) -> None:
    """Call n, and no other, of every double, or of the one that is named."""
    anywhere, only_origin = fail_nth(n, TimeoutError), fail_nth(n, TimeoutError, name="origin")

    for ordinal in range(1, 9):
        expected = Fail(TimeoutError) if ordinal == n else PASS
        assert anywhere(call(ordinal)) == anywhere(call(ordinal, "mirror")) == expected
        assert only_origin(call(ordinal)) == expected
        assert only_origin(call(ordinal, "mirror")) == PASS
    faults = Faults()
    faults.install(anywhere)
    assert faults.watches("call")
    assert not faults.watches("await")


def test_fail_nth_fails_with_what_the_network_raises() -> None:
    """By default a connection error."""
    assert fail_nth(1)(call(1)) == Fail(ConnectionError)


def walk(sweep: Sweep, sites: list[Site], *, before: Callable[[Faults], None]) -> list[list[Site]]:
    """Do what a search does: strike at the first site, then the second, until none was struck."""
    runs = []
    while True:
        faults = Faults(replayed([]).fault, sweep_at=len(runs) + 1)
        before(faults)
        faults.install(sweep)
        struck = [site for site in sites if faults.consult(site) == sweep.verdict]
        runs.append(struck)
        assert faults.swept == bool(struck)
        if not struck:
            return runs


def nothing(faults: Faults) -> None:
    """Install no other rule."""


@given(st.integers(0, 8))
def test_fail_each_needs_one_run_more_than_there_are_calls(calls: int) -> None:
    """Call 1, then 2, … until a run in which none fired, which proves the end."""
    sites = [call(ordinal) for ordinal in range(1, calls + 1)]

    runs = walk(fail_each(), sites, before=nothing)

    assert runs == [*([site] for site in sites), []]


def test_fail_each_may_mean_one_double() -> None:
    """Calls of other doubles are not counted."""
    sites = [call(1), call(1, "mirror"), call(2), call(2, "mirror")]

    runs = walk(fail_each(TimeoutError, name="mirror"), sites, before=nothing)

    assert runs == [[sites[1]], [sites[3]], []]


@pytest.mark.parametrize(("mode", "ready"), [("parked", [False]), ("ready", [True])])
def test_cancel_each_has_two_modes(mode: Any, ready: list[bool]) -> None:
    """While the task waits; or when what it awaits is done and it has not resumed."""
    sites = [
        Site("await", "x", "0.1", 1, who=who, ready=is_ready)
        for who in ("caller", "other")
        for is_ready in (False, True)
    ]

    runs = walk(cancel_each("caller", mode=mode), sites, before=nothing)

    assert [site.ready for run in runs for site in run] == ready
    assert {site.who for run in runs for site in run} == {"caller"}


def test_cancel_each_has_both_modes_by_default() -> None:
    """Every suspension of the named task, in the order in which it comes."""
    sites = [
        Site("await", "x", "0.1", ordinal, who="caller", ready=ready)
        for ordinal in (1, 2)
        for ready in (False, True)
    ]

    assert walk(cancel_each("caller"), sites, before=nothing) == [*([site] for site in sites), []]


def test_a_sweep_is_recorded_as_choices() -> None:
    """A violating run of a sweep is replayed by its tape: 0, 0, 1 is the third site."""
    noted: list[tuple[int, int]] = []
    faults = Faults(sweep_at=3, note=lambda choice, options: noted.append((choice, options)))
    faults.install(fail_each())
    for ordinal in range(1, 6):
        faults.consult(call(ordinal))

    assert noted == [(0, 2), (0, 2), (1, 2)]
    replay = Faults(replayed([choice for choice, _ in noted]).fault)
    replay.install(fail_each())
    verdicts = [replay.consult(call(ordinal)) for ordinal in range(1, 6)]
    assert verdicts == [PASS, PASS, Fail(ConnectionError), PASS, PASS]


def test_a_sweep_says_on_how_many_schedules_it_is_made() -> None:
    """The search asks it."""
    faults = Faults()
    faults.install(fail_each(schedules=3))
    faults.install(always(PASS))
    faults.install(cancel_each("caller"))

    assert [sweep.schedules for sweep in faults.sweeps] == [3, 1]


def test_a_sweep_passes_over_sites_where_another_rule_strikes() -> None:
    """The rule installed before wins there, and the sweep still ends."""
    sites = [call(1), call(2, key="user:1"), call(3)]

    def slow_first(faults: Faults) -> None:
        rule = lambda site: Delay(1) if site.key else PASS  # noqa: E731 - one line of a scenario
        faults.install(rule, at_most=None, certain=True)

    assert walk(fail_each(), sites, before=slow_first) == [[sites[0]], [sites[2]], []]


@pytest.mark.parametrize("kind", ["call", "await", "lock", "spawn", "timer"])
def test_crash_and_pause_strike_the_named_actors_anywhere(kind: Any) -> None:
    """Any site of theirs, and no other's."""
    for rule, verdict in (
        (crash("caller-1", "caller-2"), Crash()),
        (pause("caller-1", "caller-2", seconds=3), Pause(3)),
    ):
        assert rule(Site(kind, "origin", "0.1", 1, who="caller-2")) == verdict
        assert rule(Site(kind, "origin", "0.1", 1, who="caller-3")) == PASS
        faults = Faults()
        faults.install(rule)
        assert faults.watches(kind)


# --- misuse ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("misuse", "message"),
    [
        (lambda: Faults().install(7), "rule=7 must be callable"),
        (lambda: Faults().install(always(PASS), 0), "at_most=0 must be at least 1"),
        (lambda: fail_nth(0), "n=0 must be at least 1"),
        (lambda: fail_each(schedules=0), "schedules=0 must be at least 1"),
        (lambda: cancel_each("caller", schedules=0), "schedules=0 must be at least 1"),
        (lambda: cancel_each("caller", mode="never"), "mode='never' must be"),
        (crash, "actors=() must be names"),
        (lambda: crash(7), r"actors=\(7,\) must be names"),
        (lambda: pause(seconds=1), "actors=() must be names"),
        (lambda: pause("caller", seconds=-1), "seconds=-1 must not be negative"),
        (lambda: Delay(-0.5), "seconds=-0.5 must not be negative"),
        (lambda: Pause(-0.5), "seconds=-0.5 must not be negative"),
        (lambda: Delay(float("nan")), "seconds=nan must be a finite number"),
        (lambda: Pause(float("inf")), "seconds=inf must be a finite number"),
        (lambda: Delay("1"), "seconds='1' must be a number"),
        (lambda: Pause(None), "seconds=None must be a number"),
        (lambda: pause("caller", seconds=float("nan")), "seconds=nan must be a finite number"),
        (lambda: Truncate(-1), "size=-1 must be a whole number, and at least 0"),
        (lambda: Truncate(1.5), "size=1.5 must be a whole number, and at least 0"),
    ],
)
def test_misuse_is_one_line(misuse: Callable[[], Any], message: str) -> None:
    """Name, value, the rule, the way out."""
    with pytest.raises(HarnessError, match=message.replace("()", r"\(\)")) as caught:
        misuse()

    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("answer", [None, True, Delay, "Hang"])
def test_a_rule_that_returns_no_verdict_is_misuse(answer: Any) -> None:
    """Forgetting the return is told, not taken for Pass."""
    faults = Faults()
    faults.install(lambda site: answer)

    with pytest.raises(HarnessError, match="a rule returns a verdict") as caught:
        faults.consult(call())

    assert repr(answer) in str(caught.value)
