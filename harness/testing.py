"""The conformance suite of a strategy: what a search relies on, checked without an engine.

    def test_it_conforms():
        check_strategy(lambda seed: Mine(seed))

It plays small scripts on the kernel itself: actors that touch things, take locks, start others and
ask for choices. No thread is made and no code rewritten, so that thousands of runs take a second,
and how often a strategy takes which order can be counted. It does not know what strategies do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from inspect import isfunction
from typing import Any, Final

from harness.core.access import ACQUIRE, AWAIT, BARRIER, PENDING, READ, RELEASE, WRITE
from harness.core.kernel import Actor, Kernel
from harness.core.tape import Draw, Redundant, Tape, replayed
from harness.search.strategy import Path, Ran, Strategy

#: Moves after which a run is given up.
MOVES_MAX: Final = 400


class NonconformingError(AssertionError):
    """A strategy breaks what a search relies on."""


def check_strategy(make: Callable[[int], Strategy], *, runs: int = 40) -> None:
    """Check what a search expects of a strategy.

    Equal seeds make equal tapes; each tape is new and answers within what it was asked for, with
    who could go on in view; what it recorded can be replayed; and the strategy learns from runs
    that violate or were given up, and hands out another tape or None.

    Args:
        make: returns a fresh strategy for a seed, 0 ≤ seed < 2**64.
        runs: how many tapes of each script are tried at most.

    Raises:
        NonconformingError: it does not; one line says how.
    """
    for cls in type(make(0)).__mro__:
        _check_methods(cls)
    for name, script in SCRIPTS.items():
        for seed in (0, 1, 2**64 - 1):
            first = _history(make(seed), script, runs, f"script {name!r}, seed {seed}")
            make(seed + 1 if seed < 2**64 - 1 else 7).tape(0)
            again = _history(make(seed), script, runs, f"script {name!r}, seed {seed}")
            _require(
                first == again,
                f"script {name!r}, seed {seed}: two strategies of one seed made different tapes. "
                "Draw from the seed and from what was learnt, and from nothing else.",
            )


def _check_methods(cls: type) -> None:
    methods = [name for name, each in vars(cls).items() if isfunction(each) and name[0] != "_"]
    _require(
        len(methods) <= 3,
        f"{cls.__name__} has the public methods {', '.join(methods)}: a strategy is a protocol of "
        "at most three. Make the others private.",
    )


def _history(strategy: Strategy, script: Script, runs: int, where: str) -> list[list[int]]:
    """Have a strategy search a script, and return the tapes it made."""
    history: list[list[int]] = []
    tapes: list[Tape] = []
    for run in range(runs):
        tape = strategy.tape(run)
        if tape is None:
            break
        here = f"{where}, run {run}"
        _require(
            isinstance(tape, Tape),
            f"{here}: tape() returned {tape!r}, which is neither a Tape nor None.",
        )
        _require(
            not tape.choices and all(tape is not each for each in tapes),
            f"{here}: the tape has been used before. Return a new one for each run.",
        )
        tapes.append(tape)
        if tape.log is None and run % 2:
            # A run may be logged though its tape did not ask for that.
            tape.log = []
        played = play(script, _Checked(tape, here))
        ran = played.ran
        if ran.complete:
            again = play(script, replayed(tape.choices, log=[]))
            _require(
                again.order == played.order,
                f"{here}: the tape recorded {list(tape.choices)}, which replays another run. "
                "Let `Tape` ask your functions, so that it records what they answer.",
            )
        # Now and then a run is given up midway, as at a limit.
        strategy.learn(_given_up(ran) if run % 5 == 4 else ran)
        history.append(list(tape.choices))
    return history


def _given_up(ran: Ran) -> Ran:
    log = ran.log[: 1 + len(ran.log) // 2]
    return Ran(ran.choices, ran.widths, log, ran.points, violated=False, complete=False)


class _Checked:
    """A tape whose answers are looked at. One run."""

    def __init__(self, tape: Tape, where: str) -> None:
        self.log = tape.log
        self.choices = tape.choices
        self.widths = tape.widths
        self.choose = self._within(tape.choose, where)
        self.fault = self._within(tape.fault, where)
        pick = tape.pick
        if pick is None:
            self.pick = None
        else:

            def pick_one(options: Sequence[Any], could_stay: bool) -> int:  # noqa: FBT001 - a `Pick`
                return self._within(lambda _: pick(options, could_stay), where)(len(options))

            self.pick = pick_one

    @staticmethod
    def _within(draw: Draw, where: str) -> Draw:
        def ask(options: int) -> int:
            answer = draw(options)
            _require(
                type(answer) is int and 0 <= answer < options,
                f"{where}: the tape answered {answer!r} to a choice among {options}. "
                f"Answer with an int from 0 to {options - 1}.",
            )
            return answer

        return ask


def _require(condition: bool, message: str) -> None:  # noqa: FBT001 - as `assert` reads
    if not condition:
        raise NonconformingError(message)


# --- scripts --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Touch:
    """A point, and then an access; `ACQUIRE` and `RELEASE` make a lock of the thing.

    Args:
        thing: its name.
        mode: as in `harness.core.access`.
    """

    thing: str
    mode: int = WRITE


@dataclass(frozen=True, slots=True)
class Ask:
    """A choice that is not about who goes on; its answer is what `yield` returns.

    Args:
        options: among how many; a fault is one among two.
        is_fault: whether a fault strikes.
    """

    options: int
    is_fault: bool = False


@dataclass(frozen=True, slots=True)
class Start:
    """A point, and then one more actor.

    Args:
        actor: what it does.
    """

    actor: Iterator[Touch | Ask | Start]


Move = Touch | Ask | Start
#: Makes the actors of one run, who can all go on from the start: each a generator of what it does.
#: What stands after a `yield` happens with the access; an AssertionError is a violation.
Script = Callable[[], Sequence[Iterator[Move]]]


@dataclass(frozen=True, slots=True)
class Played:
    """One run of a script.

    Args:
        ran: as a strategy learns of it.
        order: who made which access, in order.
    """

    ran: Ran
    order: tuple[tuple[Path, str], ...]


def play(script: Script, tape: Tape | _Checked) -> Played:
    """Run a script once, on the kernel, with a given tape."""
    return _Play(tape).play(script())


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an access stands, as a census asks for it."""

    called: str
    part: int = 1


@dataclass(slots=True)
class _Play:
    """One run. One thread.

    invariant: every live actor has a move that it is about to make.
    """

    tape: Tape | _Checked
    moves: dict[Path, Iterator[Move]] = field(default_factory=dict)
    pending: dict[Path, Move] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    waiting: dict[str, list[Actor]] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    points: dict[Path, int] = field(default_factory=dict)
    order: list[tuple[Path, str]] = field(default_factory=list)
    kernel: Kernel = field(init=False)

    def __post_init__(self) -> None:
        tape = self.tape
        self.kernel = Kernel(tape.choose, pick=tape.pick, log=tape.log)
        if tape.log is not None:
            # What a run's own locks are numbered after.
            tape.log.append((None, 0, BARRIER, None))

    def play(self, actors: Sequence[Iterator[Move]]) -> Played:
        """Run to the end."""
        violated = complete = False
        try:
            for number, moves in enumerate(actors):
                self._enter(self.kernel.spawn(f"actor-{number}"), moves)
            violated = self._run()
            complete = True
        except NonconformingError:
            raise
        except AssertionError:
            violated = complete = True
        except (Redundant, _TooLongError):
            pass
        tape = self.tape
        ran = Ran(
            tape.choices,
            tape.widths,
            tape.log or [],
            self.points,
            violated=violated,
            complete=complete,
        )
        return Played(ran, tuple(self.order))

    def _run(self) -> bool:
        """Let one after the other go on; tell whether somebody is left waiting."""
        kernel = self.kernel
        actor = kernel.next() if kernel.live else None
        while actor is not None:
            if kernel.steps > MOVES_MAX:
                raise _TooLongError
            if actor.awaits is not None:
                kernel.resumed(actor)
            if self._must_wait(actor):
                self._park(actor)
                actor = kernel.next()
                continue
            self._make(actor, self.pending.pop(actor.path))
            if actor.ended:
                actor = kernel.next() if kernel.live else None
            elif self._must_wait(actor):
                # What must wait is no point.
                self._park(actor)
                actor = kernel.next()
            else:
                actor = kernel.decide()
        return bool(kernel.live)

    def _must_wait(self, actor: Actor) -> bool:
        move = self.pending[actor.path]
        return isinstance(move, Touch) and move.mode == ACQUIRE and move.thing in self.held

    def _park(self, actor: Actor) -> None:
        move = self.pending[actor.path]
        assert isinstance(move, Touch), "only a lock is waited for"
        self._log(actor, actor.key, PENDING, actor.site)
        self.waiting.setdefault(move.thing, []).append(actor)
        self.kernel.park(move)

    def _make(self, actor: Actor, move: Move) -> None:
        """Make a move, and look what the next one is."""
        answer = None
        if isinstance(move, Ask):
            answer = (self.tape.fault if move.is_fault else self.tape.choose)(move.options)
        elif isinstance(move, Start):
            child = self.kernel.spawn(f"child of {actor.name}", actor)
            key = self._number("the start of " + child.path_text)
            self._log(actor, key, RELEASE, None)
            self._log(child, key, AWAIT, None)
            self._enter(child, move.actor)
        else:
            self.order.append((actor.path, move.thing))
            self._log(actor, actor.key, move.mode, actor.site)
            if move.mode == ACQUIRE:
                self.held.add(move.thing)
            elif move.mode == RELEASE:
                self.held.discard(move.thing)
                self.kernel.wake_all(self.waiting.pop(move.thing, ()))
        self._look(actor, answer)

    def _enter(self, actor: Actor, moves: Iterator[Move]) -> None:
        self.moves[actor.path] = moves
        self._look(actor, None)

    def _look(self, actor: Actor, answer: int | None) -> None:
        """Take the next move of an actor, and show it; take the actor out if there is none."""
        moves: Any = self.moves[actor.path]
        try:
            move: Move = next(moves) if answer is None else moves.send(answer)
        except StopIteration:
            self.points[actor.path] = actor.points
            self.kernel.end(actor)
            return
        self.pending[actor.path] = move
        actor.points += 1
        self.points[actor.path] = actor.points
        actor.key, actor.site, actor.writes = 0, None, True
        if isinstance(move, Touch):
            actor.site = _Place(move.thing)
            actor.writes = move.mode != READ
            number = self._number(move.thing)
            actor.key = -number if move.mode in (ACQUIRE, RELEASE) else number

    def _number(self, thing: str) -> int:
        # Not 1: that is every event loop.
        return self.numbers.setdefault(thing, len(self.numbers) + 2)

    def _log(self, actor: Actor, key: int, mode: int, site: Any) -> None:
        if self.tape.log is not None:
            self.tape.log.append((actor, key, mode, site))


class _TooLongError(Exception):
    """A script goes on for too long."""


# --- what the suite plays -------------------------------------------------------------------------


def _touches(*things: str, mode: int = WRITE) -> Iterator[Move]:
    for thing in things:
        yield Touch(thing, mode)


def _lost_update() -> Sequence[Iterator[Move]]:
    """Two read and then write, and one of the writes may be lost."""
    counter = [0]

    def add() -> Iterator[Move]:
        yield Touch("counter", READ)
        seen = counter[0]
        yield Touch("counter")
        assert counter[0] == seen, "an update is lost"
        counter[0] = seen + 1

    return add(), add()


def _two_locks() -> Sequence[Iterator[Move]]:
    """Two take two locks in opposite orders, and may wait for each other for ever."""

    def take(first: str, second: str) -> Iterator[Move]:
        yield Touch(first, ACQUIRE)
        yield Touch(second, ACQUIRE)
        yield Touch(second, RELEASE)
        yield Touch(first, RELEASE)

    return take("journal", "accounts"), take("accounts", "journal")


def _family() -> Sequence[Iterator[Move]]:
    """One starts two others, the first of whom starts a third."""

    def parent() -> Iterator[Move]:
        yield Start(child())
        yield Start(_touches("letter", "letter"))
        yield Touch("letter")

    def child() -> Iterator[Move]:
        yield Touch("letter", READ)
        yield Start(_touches("letter"))

    return (parent(),)


def _asking() -> Sequence[Iterator[Move]]:
    """Choices of all widths, some of them faults, between accesses."""

    def ask() -> Iterator[Move]:
        yield Touch("dice")
        answer = yield Ask(1_000)
        yield Touch("dice" if answer else "cup")
        if (yield Ask(2, is_fault=True)):
            yield Touch("cup")
        yield Ask(3)

    return ask(), _touches("dice", "cup")


def _drifting() -> Sequence[Iterator[Move]]:
    """How much one does depends on when the other does what."""
    turns = [0]

    def wind() -> Iterator[Move]:
        for _ in range(3):
            yield Touch("spring")
            turns[0] += 3

    def unwind() -> Iterator[Move]:
        while turns[0]:
            yield Touch("spring")
            turns[0] -= 1
            if turns[0]:
                yield Start(_touches("bell"))
        yield Touch("spring", READ)
        yield from _touches(*["bell"] * turns[0])

    return wind(), unwind()


def _endless() -> Sequence[Iterator[Move]]:
    """One waits for the other by looking again and again, and may never stop."""
    done = [False]

    def look() -> Iterator[Move]:
        while not done[0]:
            yield Touch("flag", READ)

    def work() -> Iterator[Move]:
        yield Touch("flag")
        done[0] = True

    return look(), work()


#: What a strategy is tried on.
SCRIPTS: Final[dict[str, Script]] = {
    "nobody to choose": lambda: (_touches("desk", "desk"),),
    "lost update": _lost_update,
    "two locks": _two_locks,
    "family": _family,
    "asking": _asking,
    "drifting": _drifting,
    "endless": _endless,
}
