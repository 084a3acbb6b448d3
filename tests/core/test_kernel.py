"""The kernel: programs of spawn, park, wake and timers, without a thread, a loop or a clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.kernel import FAIR_TURN, Actor, Kernel, Limits
from harness.core.tape import Tape, replayed

# --- programs -------------------------------------------------------------------------------------

#: What an actor does, one operation after the other. Flags are told by number, as events are.
Operation = tuple[Any, ...]

FLAGS = st.integers(0, 2)
# Few different durations, so that many deadlines fall on one instant.
DURATIONS = st.sampled_from([0, 1, 2, 2, 5, 10])

SIMPLE = st.one_of(
    st.just(("point",)),
    st.tuples(st.just("sleep"), DURATIONS),
    st.tuples(st.just("wait"), FLAGS),
    st.tuples(st.just("wait_at_most"), FLAGS, DURATIONS),
    st.tuples(st.just("set"), FLAGS),
    st.tuples(st.just("clear"), FLAGS),
    st.just(("settle",)),
)
PROGRAMS = st.recursive(
    st.lists(SIMPLE, max_size=5),
    lambda inner: st.lists(st.one_of(SIMPLE, st.tuples(st.just("spawn"), inner)), max_size=6),
    max_leaves=40,
)
TAPES = st.lists(st.integers(0, 4), max_size=60)


@dataclass
class Flag:
    """An event: whoever waits for it goes on once it is set."""

    is_set: bool = False
    waiters: list[Actor] = field(default_factory=list)


@dataclass
class Machine:
    """Drives a kernel through a program, and looks after every step whether its invariants hold."""

    kernel: Kernel
    trace: list[tuple[Any, ...]] = field(default_factory=list)
    flags: list[Flag] = field(default_factory=lambda: [Flag() for _ in range(3)])
    todo: dict[Actor, deque[Operation]] = field(default_factory=dict)
    waits: dict[Actor, tuple[Any, ...]] = field(default_factory=dict)
    everyone: list[Actor] = field(default_factory=list)

    def start(self, name: str, program: list[Operation], parent: Actor | None = None) -> None:
        """Add an actor that will do `program`."""
        actor = self.kernel.spawn(name, parent)
        self.todo[actor] = deque(program)
        self.everyone.append(actor)

    def run(self) -> None:
        """Let the kernel say who goes on until nobody can."""
        current = self.kernel.next()
        while current is not None:
            self.check(current)
            if current in self.waits:
                current = self.go_on(current)
            elif self.todo[current]:
                current = self.step(current, self.todo[current].popleft())
            else:
                self.note(current, "end")
                self.kernel.end(current)
                current = self.kernel.next()

    def step(self, actor: Actor, operation: Operation) -> Actor | None:
        """Do one operation of `actor`; return who goes on."""
        kernel = self.kernel
        self.note(actor, *operation[:2])
        match operation:
            case ("point",):
                return kernel.decide()
            case ("spawn", program):
                self.start(f"{actor.name}'", list(program), actor)
            case ("set", number):
                flag = self.flags[number]
                flag.is_set = True
                kernel.wake_all(flag.waiters)
            case ("clear", number):
                flag = self.flags[number]
                flag.is_set = False
                kernel.suspend_all(flag.waiters)
            case ("wait", number):
                return self.park(actor, self.flags[number], None)
            case ("wait_at_most", number, nanoseconds):
                return self.park(actor, self.flags[number], kernel.now_ns + nanoseconds)
            case ("sleep", nanoseconds):
                return self.park(actor, None, kernel.now_ns + nanoseconds)
            case ("settle",):
                kernel.settling.append(actor)
                return self.park(actor, None, None)
        return actor

    def park(self, actor: Actor, flag: Flag | None, deadline: int | None) -> Actor | None:
        """Have `actor` wait, unless its flag is set already."""
        if flag is not None and flag.is_set:
            return actor
        if flag is not None:
            flag.waiters.append(actor)
        self.waits[actor] = (flag, deadline, self.kernel.now_ns)
        self.kernel.park("something", deadline)
        return self.kernel.next()

    def go_on(self, actor: Actor) -> Actor:
        """Say why a parked actor goes on."""
        flag, deadline, since = self.waits.pop(actor)
        fired = self.kernel.resumed(actor)
        if flag is not None:
            flag.waiters.remove(actor)
        if fired:
            # A timer fires at its instant, never before and never after.
            assert self.kernel.now_ns == deadline
        elif flag is None:
            # Settling: everyone else was blocked, and time has not moved.
            assert deadline is None
            assert self.kernel.now_ns == since
        else:
            assert flag.is_set
        self.note(actor, "resumed", fired)
        return actor

    def note(self, actor: Actor, *what: Any) -> None:
        """Append to the trace what another run of the same choices must do as well."""
        self.trace.append((actor.path_text, self.kernel.now_ns, *map(repr, what)))

    def check(self, current: Actor) -> None:
        """Look whether the kernel's invariants hold."""
        kernel = self.kernel
        assert kernel.current is current
        assert current.runnable
        assert kernel.runnable == sorted(kernel.runnable, key=lambda actor: actor.path)
        for actor in self.everyone:
            in_runnable = sum(1 for other in kernel.runnable if other is actor)
            assert in_runnable == actor.runnable
            assert (kernel.live.get(actor.path) is actor) == (not actor.ended)
            assert not (actor.ended and actor.runnable)
            # Neither running nor ended: it waits, and its deadline has not passed.
            if not actor.ended and not actor.runnable:
                assert actor in self.waits
                assert actor.deadline is None or actor.deadline >= kernel.now_ns
        assert kernel.now_ns >= max((time for _, time, *_ in self.trace), default=0)
        assert min(kernel.steps, kernel.advances, kernel.born, kernel.now_ns) >= 0


def play(program: list[Operation], choices: list[int]) -> tuple[Machine, Tape]:
    """Run `program` with `choices`."""
    tape = replayed(choices)
    machine = Machine(Kernel(tape.choose))
    machine.start("main", program)
    machine.run()
    return machine, tape


# --- any program, any choices ---------------------------------------------------------------------


@given(PROGRAMS, TAPES)
def test_the_same_choices_are_the_same_run(program: list[Operation], choices: list[int]) -> None:
    """A run is its choices; its record is enough to do it again."""
    machine, tape = play(program, choices)

    again, tape_again = play(program, tape.choices)

    assert again.trace == machine.trace
    assert tape_again.choices == tape.choices
    assert tape_again.widths == tape.widths


@given(PROGRAMS, TAPES)
def test_a_run_ends_only_when_nobody_can_go_on(
    program: list[Operation], choices: list[int]
) -> None:
    """When the kernel says that nobody is left, who is left waits without a deadline."""
    machine, _ = play(program, choices)
    kernel = machine.kernel

    assert kernel.current is None
    assert kernel.runnable == []
    for actor in kernel.live.values():
        flag, deadline, _ = machine.waits[actor]
        assert flag is not None
        assert not flag.is_set
        assert deadline is None


@given(PROGRAMS, TAPES)
def test_a_choice_exists_only_where_two_can_go_on(
    program: list[Operation], choices: list[int]
) -> None:
    """The tape is asked among at least two, and among no more than are alive."""
    _, tape = play(program, choices)

    assert all(options >= 2 for options in tape.widths)
    assert len(tape.choices) == len(tape.widths)


@given(PROGRAMS)
def test_the_plain_run_lets_everyone_keep_on(program: list[Operation]) -> None:
    """With the empty tape, a point never changes who runs."""
    trace = play(program, [])[0].trace

    for (actor, _, operation, *_), (following, *_) in pairwise(trace):
        assert operation != "'point'" or following == actor


@given(PROGRAMS, TAPES)
def test_the_candidates_of_a_decision_have_one_order(
    program: list[Operation], choices: list[int]
) -> None:
    """The current actor first, where there is one; the others by spawn path, or by timer if due."""
    seen: list[int] = []
    answers = replayed(choices)

    def look(candidates: Sequence[Actor], could_stay: bool) -> int:
        others = list(candidates)
        # At a point the current actor could go on itself; else it has begun to wait, or ended.
        current = kernel.current
        goes_on = current is not None and not current.ended and current not in machine.waits
        assert could_stay is goes_on
        if goes_on:
            assert others.pop(0) is current
        paths = [actor.path for actor in others]
        assert paths == sorted(paths) or all(actor.fired for actor in others)
        seen.append(len(candidates))
        return answers.choose(len(candidates))

    tape = Tape(answers.choose, pick=look)
    kernel = Kernel(tape.choose, pick=tape.pick)
    machine = Machine(kernel)
    machine.start("main", program)
    machine.run()

    assert answers.choices == tape.choices
    assert seen == tape.widths


# --- one claim at a time --------------------------------------------------------------------------


class Overrun(Exception):
    """A limit was hit."""


def overrun(limit: str) -> None:
    """Stand for whoever ends the run; a look now and then does not."""
    if limit != "idle":
        raise Overrun(limit)


def callers(count: int, tape: Tape | None = None, limits: Limits | None = None) -> Kernel:
    """Return a kernel with `count` actors of which the first is current."""
    answers = tape or replayed([])
    kernel = Kernel(answers.choose, limits, overrun, pick=answers.pick)
    for number in range(count):
        kernel.spawn(f"caller-{number}")
    kernel.resume(kernel.runnable[0])
    return kernel


@pytest.mark.parametrize(
    ("choice", "name"), [(0, "caller-1"), (1, "caller-0"), (2, "caller-2"), (3, "caller-3")]
)
def test_choice_0_keeps_the_current_actor(choice: int, name: str) -> None:
    """The others follow in the order of their spawn paths, wherever the current one stands."""
    kernel = callers(4, replayed([choice]))
    kernel.resume(kernel.runnable[1])

    assert kernel.decide().name == name


def test_a_path_is_the_parents_and_the_number_among_its_children() -> None:
    """Paths say where an actor comes from, and no run can change them."""
    kernel = Kernel(replayed([]).choose)
    main = kernel.spawn("main")
    first = kernel.spawn("first", main)
    kernel.end(first)
    second = kernel.spawn("second", main)
    grandchild = kernel.spawn("grandchild", first)

    assert [actor.path_text for actor in (main, first, second, grandchild)] == [
        "0",
        "0.1",
        "0.2",
        "0.1.1",
    ]
    assert kernel.spawn("another main").path_text == "1"


def test_an_actor_waits_once_and_ends_once() -> None:
    """What only the engine can break is asserted."""
    kernel = callers(1)
    actor = kernel.current
    assert actor is not None
    kernel.park("something")

    with pytest.raises(AssertionError, match="parks once"):
        kernel.park("something")
    with pytest.raises(AssertionError, match="who can run is resumed"):
        kernel.resume(actor)
    kernel.end(actor)
    with pytest.raises(AssertionError, match="ends once"):
        kernel.end(actor)


def test_waking_who_runs_or_has_ended_does_nothing() -> None:
    """A late wake-up is harmless."""
    kernel = callers(2)
    ended = kernel.runnable[1]
    kernel.end(ended)

    kernel.wake(ended)
    kernel.wake_all([ended, *kernel.runnable])

    assert [actor.name for actor in kernel.runnable] == ["caller-0"]


def sleepers(deadlines: list[int], tape: Tape | None = None) -> tuple[Kernel, list[Actor]]:
    """Return a kernel whose actors all wait, armed in the order of `deadlines`."""
    kernel = Kernel((tape or replayed([])).choose)
    actors = [kernel.spawn(f"caller-{number}") for number in range(len(deadlines))]
    for actor, deadline in zip(actors, deadlines, strict=True):
        kernel.resume(actor)
        kernel.park("time to pass", deadline)
    return kernel, actors


def fire_all(kernel: Kernel) -> list[tuple[str, int]]:
    """Let everyone who is due run and end; return names and instants in order."""
    fired = []
    while (actor := kernel.next()) is not None:
        assert kernel.resumed(actor)
        fired.append((actor.name, kernel.now_ns))
        kernel.end(actor)
    return fired


@given(st.lists(st.integers(0, 6), min_size=1, max_size=12))
def test_timers_fire_in_order_and_ties_as_they_were_armed(deadlines: list[int]) -> None:
    """By default the earliest deadline is first, and of equal ones the one armed first."""
    kernel, _ = sleepers(deadlines)

    in_order = sorted(range(len(deadlines)), key=lambda number: (deadlines[number], number))

    first_fired = [(f"caller-{number}", deadlines[number]) for number in in_order]
    assert fire_all(kernel) == first_fired


def test_a_tie_is_a_choice_in_the_order_of_arming() -> None:
    """Timers due at one instant: the default is who armed first, and any other is to be had."""
    kernel, actors = sleepers([5, 5, 5])
    kernel.current = None
    # Armed in another order than they were spawned.
    for actor in reversed(actors):
        kernel.wake(actor)
        kernel.resume(actor)
        kernel.resumed(actor)
        kernel.park("time to pass", 5)

    assert next_of(kernel, 0) == "caller-2"


@pytest.mark.parametrize("choice", [0, 1, 2])
def test_every_order_of_a_tie_can_be_had(choice: int) -> None:
    """Choice i among timers due at once is the i-th armed."""
    kernel, _ = sleepers([7, 7, 7, 9], replayed([choice]))

    assert next_of(kernel, choice) == f"caller-{choice}"
    assert kernel.now_ns == 7


def next_of(kernel: Kernel, choice: int) -> str:
    """Return the name of whoever goes on."""
    actor = kernel.next()
    assert actor is not None
    return actor.name


def test_a_deadline_in_the_past_is_now() -> None:
    """Time never runs backwards."""
    kernel, _ = sleepers([10, 3])
    assert next_of(kernel, 0) == "caller-1"
    kernel.park("time to pass", 1)

    assert next_of(kernel, 0) == "caller-1"
    assert kernel.now_ns == 3


def test_a_timer_of_who_was_woken_does_not_fire() -> None:
    """Whoever went on before its deadline is not woken by it later."""
    kernel, (early, late) = sleepers([5, 50])
    kernel.wake(late)
    assert kernel.next() is late
    assert not kernel.resumed(late)
    kernel.park("something else")

    assert kernel.next() is early
    assert kernel.now_ns == 5
    kernel.end(early)
    assert kernel.next() is None
    assert kernel.now_ns == 5


def test_whoever_settles_goes_on_before_time_moves() -> None:
    """A settling actor is woken when nobody else can run, and the timer waits."""
    kernel, (sleeper, settler) = sleepers([5, 1])
    kernel.wake(settler)
    kernel.resume(settler)
    kernel.resumed(settler)
    kernel.settling.append(settler)
    kernel.park("the others to settle")

    assert kernel.next() is settler
    assert kernel.now_ns == 0
    assert kernel.settling == []
    kernel.end(settler)
    assert kernel.next() is sleeper
    assert kernel.now_ns == 5


def test_time_moves_when_whoever_settled_has_ended() -> None:
    """A crash may take away who asked to settle: the others' timers still come due."""
    kernel, (sleeper, settler) = sleepers([5, 9])
    kernel.settling.append(settler)
    kernel.end(settler)

    assert kernel.next() is sleeper
    assert kernel.now_ns == 5


def test_a_waking_can_be_taken_back() -> None:
    """A lock came free and was taken again: who waits for it waits on, timers included."""
    kernel = callers(3)
    taker, waiter, timed = kernel.runnable[:]
    kernel.resume(waiter)
    kernel.park("a lock")
    kernel.resume(timed)
    kernel.park("a lock", 5)
    kernel.resume(taker)

    kernel.wake_all([waiter, timed])
    kernel.suspend_all([waiter, timed, taker])

    # The current actor holds what the others want: it is never put to sleep by its own doing.
    assert kernel.runnable == [taker]
    kernel.end(taker)
    assert kernel.next() is timed
    assert kernel.resumed(timed)
    assert kernel.now_ns == 5


def test_who_is_due_stays_awake_when_a_waking_is_taken_back() -> None:
    """Time ran out and the lock is gone: the actor must run, to say that it timed out."""
    kernel, actors = sleepers([5, 5])
    first = kernel.next()
    assert first is actors[0]

    kernel.suspend_all(actors)

    assert kernel.runnable == actors


def test_a_tape_that_picks_sees_who_could_go_on() -> None:
    """It sees the candidates in the order of choices, at points and at waits."""
    answers = replayed([2, 1])
    seen: list[tuple[list[str], int]] = []

    def look(candidates: Sequence[Actor], _could_stay: bool) -> int:
        choice = answers.choose(len(candidates))
        seen.append(([actor.name for actor in candidates], choice))
        return choice

    kernel = callers(3, Tape(answers.choose, pick=look))

    kernel.decide()
    kernel.park("something")
    kernel.next()

    assert seen == [
        (["caller-0", "caller-1", "caller-2"], 2),
        (["caller-0", "caller-1"], 1),
    ]


# --- spinning and limits --------------------------------------------------------------------------


def test_a_spinner_gives_the_others_a_turn() -> None:
    """Even on the plain run, where nobody is ever preempted, every other actor soon gets a turn."""
    kernel = callers(3)
    ran = set()
    for _ in range(6 * FAIR_TURN):
        ran.add(kernel.decide().name)

    assert ran == {"caller-0", "caller-1", "caller-2"}


def test_a_turn_for_fairness_is_no_choice() -> None:
    """Fairness is a rule, not a decision: the plain run of a spinner has no deviation."""
    tape = replayed([])
    kernel = callers(2, tape)
    for _ in range(4 * FAIR_TURN):
        kernel.decide()

    assert set(tape.choices) == {0}


@pytest.mark.parametrize("spinners", [1, 2, 5])
def test_spinning_without_any_change_hits_the_limit_of_steps(spinners: int) -> None:
    """However many go round: when all had their turns and nothing changes, it is a livelock."""
    kernel = callers(spinners)

    with pytest.raises(Overrun, match=r"^steps$"):
        spin(kernel, 20_000)
    assert kernel.steps > Limits().steps


def spin(kernel: Kernel, points: int) -> None:
    """Go round at points."""
    for _ in range(points):
        kernel.decide()


def test_progress_is_no_livelock() -> None:
    """A loop that changes something now and then may go on, up to the limit of the whole run."""
    kernel = callers(2, limits=Limits(steps=1_000))
    for _ in range(20):
        spin(kernel, 900)
        kernel.change()

    assert kernel.steps == 18_000


def test_a_spinner_is_no_livelock_while_another_has_not_had_its_turn() -> None:
    """The other might change what is waited for: it runs before anything is said."""
    kernel = callers(2, limits=Limits(steps=600))
    for _ in range(FAIR_TURN * 2):
        if kernel.decide().name == "caller-1":
            kernel.change()
            break

    assert kernel.current is not None
    assert kernel.current.name == "caller-1"


def test_a_whole_run_has_a_limit_of_steps() -> None:
    """Progress or not: a run that does not end is inconclusive."""
    kernel = callers(1, limits=Limits(total_steps=5_000))

    with pytest.raises(Overrun, match=r"^total_steps$"):
        for _ in range(10_000):
            kernel.change()
            kernel.decide()


def test_a_clock_that_moves_without_anything_happening_is_a_time_storm() -> None:
    """A timer that re-arms itself for ever is seen."""
    kernel = callers(1)

    with pytest.raises(Overrun, match=r"^advances$"):
        tick(kernel, 2_000)
    assert kernel.now_ns == Limits().advances + 1


def tick(kernel: Kernel, times: int) -> None:
    """Sleep 1 ns, again and again."""
    for _ in range(times):
        kernel.park("time to pass", kernel.now_ns + 1)
        actor = kernel.next()
        assert actor is not None
        kernel.resumed(actor)


def test_a_clock_that_moves_while_something_happens_is_no_time_storm() -> None:
    """A poller whose world changes is at work."""
    kernel = callers(1)
    for _ in range(5):
        tick(kernel, 900)
        kernel.change()

    assert kernel.now_ns == 4_500


def test_a_ticker_is_no_time_storm_while_someone_sleeps_longer() -> None:
    """Who armed a timer before it all began is about to do something: it is waited for."""
    kernel = callers(2)
    ticker, sleeper = kernel.runnable[:]
    kernel.resume(sleeper)
    kernel.park("time to pass", 5_000)
    kernel.change()
    kernel.resume(ticker)

    tick(kernel, 4_999)

    assert kernel.now_ns == 4_999
    assert not sleeper.runnable


def test_virtual_time_has_a_limit() -> None:
    """Beyond the end of time the run is inconclusive."""
    kernel = callers(1, limits=Limits(virtual_ns=100))
    kernel.park("time to pass", 101)

    with pytest.raises(Overrun, match=r"^virtual_ns$"):
        kernel.next()


def test_actors_have_a_limit() -> None:
    """A program that starts threads without end is stopped."""
    with pytest.raises(Overrun, match=r"^actors$"):
        callers(4, limits=Limits(actors=3))


@given(st.lists(st.sampled_from(["point", "change", "tick"]), max_size=80))
def test_counters_are_never_negative(operations: list[str]) -> None:
    """Steps, advances, births and time only grow, or start again from 0."""
    kernel = callers(1)
    before = (0, 0)
    for operation in operations:
        match operation:
            case "point":
                kernel.decide()
            case "change":
                kernel.change()
            case _:
                tick(kernel, 1)
        assert min(kernel.advances, kernel.changed) >= 0
        assert kernel.changed <= kernel.steps
        assert (kernel.steps, kernel.now_ns) >= before
        before = (kernel.steps, kernel.now_ns)
