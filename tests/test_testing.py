"""The conformance suite passes what conforms and names what does not; its scripts run."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.core.tape import Redundant, Tape, replayed
from harness.errors import HarnessError
from harness.explore import explore
from harness.search.every import Every
from harness.search.known import make_strategy, names
from harness.search.random_walk import RandomWalk, random_walk
from harness.search.strategy import Ran, Strategy
from harness.testing import (
    ACQUIRE,
    MOVES_MAX,
    READ,
    RELEASE,
    SCRIPTS,
    Ask,
    Move,
    NonconformingError,
    Start,
    Touch,
    check_strategy,
    play,
)
from tests.programs import lost_updates

pytestmark = pytest.mark.one_ground


class Last:
    """Always lets the last of those who can go on. One thread."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def tape(self, run: int) -> Tape | None:
        """Return one tape, then nothing."""
        return None if run else Tape(lambda options: options - 1)

    def learn(self, ran: Ran) -> None:
        """Learn nothing."""


_tosses = itertools.count()
_one_tape = random_walk(0)


class Unseeded(Last):
    """Goes on where the strategy before it stopped. One thread."""

    def tape(self, run: int) -> Tape | None:
        """Return the next tape."""
        return random_walk(next(_tosses)) if run < 5 else None


class OutOfRange(Last):
    """Counts from one. One thread."""

    def tape(self, run: int) -> Tape | None:
        """Return the next tape."""
        return Tape(lambda options: options)


class Truthful(Last):
    """Answers with a truth value. One thread."""

    def tape(self, run: int) -> Tape | None:
        """Return the next tape."""
        return Tape(lambda _options: True)


class Wandering(Last):
    """Lets somebody go on who is not there. One thread."""

    def tape(self, run: int) -> Tape | None:
        """Return the next tape."""
        return Tape(lambda _options: 0, pick=lambda _options, _could_stay: -1)


class Thrifty(Last):
    """Hands out one tape again and again. One thread."""

    def tape(self, run: int) -> Tape | None:
        """Return the next tape."""
        return _one_tape


class Listing(Last):
    """Hands out a list of choices. One thread."""

    def tape(self, run: int) -> Any:
        """Return the next tape."""
        return [0, 1, 0]


class Forgetful(Last):
    """Its tape answers what it does not record. One thread."""

    def tape(self, run: int) -> Tape | None:
        """Return the next tape."""
        tape = Tape(lambda _options: 0)
        tape.choose = lambda options: options - 1
        return tape


class Talkative(Last):
    """Has two methods more than anybody asks for. One thread."""

    def reset(self) -> None:
        """Start anew."""

    def report(self) -> str:
        """Tell how it went."""
        return ""

    def tape(self, run: int) -> Tape | None:
        """Return the next tape."""
        return None

    def learn(self, ran: Ran) -> None:
        """Learn nothing."""


class Optimist(Last):
    """Takes for granted that each run comes to its end. One thread."""

    def tape(self, run: int) -> Tape | None:
        """Return the next tape."""
        return random_walk(run)

    def learn(self, ran: Ran) -> None:
        """Learn from a run that came to its end."""
        if not ran.complete:
            raise LookupError("no end")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Unseeded, "two strategies of one seed made different tapes"),
        (OutOfRange, r"the tape answered 2 to a choice among 2\. Answer with an int from 0 to 1"),
        (Truthful, "the tape answered True to a choice among 2"),
        (Wandering, "the tape answered -1 to a choice among 2"),
        (Thrifty, "the tape has been used before"),
        (Listing, r"tape\(\) returned \[0, 1, 0\], which is neither a Tape nor None"),
        (Forgetful, "which replays another run"),
        (Talkative, "Talkative has the public methods reset, report, tape, learn"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_what_does_not_conform_is_named(make: Callable[[int], Strategy], message: str) -> None:
    """One line says which promise is broken, and where."""
    with pytest.raises(NonconformingError, match=message) as raised:
        check_strategy(make)

    assert "\n" not in str(raised.value)


def test_what_a_strategy_raises_is_not_hidden() -> None:
    """One that cannot learn from a run that was given up fails with its own error."""
    with pytest.raises(LookupError, match="no end"):
        check_strategy(Optimist)


def test_what_conforms_passes() -> None:
    """A strategy of one tape does, though it explores next to nothing."""
    check_strategy(Last)


def test_a_tape_may_give_a_run_up() -> None:
    """`Redundant` is an answer, too."""

    def give_up(_options: Sequence[Any], _could_stay: bool) -> int:
        raise Redundant

    class Resigned(Last):
        """Gives each run up. One thread."""

        def tape(self, run: int) -> Tape | None:
            """Return the next tape."""
            return Tape(lambda _options: 0, pick=give_up) if run < 3 else None

    check_strategy(Resigned)


# --- scripts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_a_run_like_any_other(name: str) -> None:
    """The same tape, the same run; and what was recorded is what was asked."""
    for seed in range(20):
        first = play(SCRIPTS[name], random_walk(seed))
        again = play(SCRIPTS[name], replayed(first.ran.choices))

        assert (again.order, again.ran.choices, again.ran.widths) == (
            first.order,
            first.ran.choices,
            first.ran.widths,
        )


def test_scripts_fail_and_do_not_end_where_they_should() -> None:
    """Among them are runs that hold, runs that violate, and runs that are given up."""
    ends = {
        name: {
            (ran.violated, ran.complete)
            for seed in range(50)
            for ran in [play(script, random_walk(seed)).ran]
        }
        for name, script in SCRIPTS.items()
    }

    assert ends["lost update"] == {(False, True), (True, True)}
    assert ends["two locks"] == {(False, True), (True, True)}
    assert (False, True) in ends["endless"]
    assert play(SCRIPTS["endless"], replayed(())).ran.complete is False
    assert len(play(SCRIPTS["endless"], replayed(())).order) >= MOVES_MAX


def test_a_lock_of_a_script_excludes() -> None:
    """Two critical sections never overlap, whatever the tape says."""
    inside: list[int] = []

    def enter(me: int) -> Iterator[Move]:
        yield Touch("desk", ACQUIRE)
        inside.append(me)
        yield Touch("ledger", READ)
        assert inside == [me]
        inside.remove(me)
        yield Touch("desk", RELEASE)

    runs = 0
    strategy = Every()
    while (tape := strategy.tape(runs)) is not None:
        played = play(lambda: (enter(0), enter(1)), tape)
        strategy.learn(played.ran)
        assert played.ran.complete
        assert not played.ran.violated
        runs += 1

    assert runs > 2


def test_an_ask_is_told_its_answer() -> None:
    """Choices that are not about who goes on come from the tape, too."""
    told: list[int] = []

    def ask() -> Iterator[Move]:
        told.append((yield Ask(7)))
        told.append((yield Ask(2, is_fault=True)))

    played = play(lambda: (ask(),), replayed([5, 1]))

    assert told == [5, 1]
    assert played.ran.widths == [7, 2]


def test_a_child_has_the_path_of_its_parent() -> None:
    """Actors are told by where they come from."""

    def child() -> Iterator[Move]:
        yield Touch("ledger")

    def parent() -> Iterator[Move]:
        yield Start(child())
        yield Start(child())

    played = play(lambda: (parent(),), replayed(()))

    assert [path for path, _ in played.order] == [(0, 1), (0, 2)]
    assert played.ran.points == {(0,): 2, (0, 1): 1, (0, 2): 1}


# --- strategies of other packages -----------------------------------------------------------------

FOREIGN = """
from harness.core.tape import Tape

class Reversed:
    def __init__(self, seed, argument):
        self.argument = argument

    def tape(self, run):
        if run >= (self.argument or 3):
            return None
        return Tape(lambda options: options - 1)

    def learn(self, ran):
        pass


class Counted(Reversed):
    # A list is a scheduling point, were this code under test.

    asked = []

    def tape(self, run):
        return Tape(self.answer, pick=self.pick) if run < 3 else None

    def answer(self, options):
        self.asked.append(options)
        return 0

    def pick(self, options, could_stay):
        self.asked.append(len(options))
        return len(options) - 1


def unmade(seed, argument):
    raise ValueError("no\\nseed")


class Tapeless(Reversed):
    def tape(self, run):
        return 7


class Unlearning(Reversed):
    def learn(self, ran):
        raise KeyError("ran")
"""


@pytest.fixture
def another_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a distribution that offers strategies, one of which cannot be loaded."""
    (tmp_path / "reversing.py").write_text(textwrap.dedent(FOREIGN))
    about = tmp_path / "reversing-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: reversing\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[faultloom.strategies]\nreversed = reversing:Reversed\ngone = reversing:Gone\n"
        "counted = reversing:Counted\nunmade = reversing:unmade\n"
        "tapeless = reversing:Tapeless\nunlearning = reversing:Unlearning\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("another_package")
def test_a_strategy_of_another_package_is_found_by_name() -> None:
    """It is listed, gets its argument, conforms, and finds what it can find."""
    assert "reversed" in names()
    check_strategy(lambda seed: make_strategy("reversed:2", seed))

    assert explore(lost_updates.attribute_corrected, strategy="reversed").schedules == 3
    assert explore(lost_updates.attribute_corrected, strategy="reversed:7").schedules == 7


@pytest.mark.usefixtures("another_package")
def test_a_strategy_is_not_itself_under_test() -> None:
    """What it does with its own lists while it is asked is no point: it would be asked again."""
    assert explore(lost_updates.attribute, strategy="counted").verdict == "Failed"


@pytest.mark.usefixtures("another_package")
def test_what_another_package_offers_and_does_not_have_is_named() -> None:
    """One line, with the package's own words and the way out."""
    with pytest.raises(HarnessError, match=r"'gone' cannot be loaded from reversing:Gone"):
        explore(lost_updates.attribute_corrected, strategy="gone")


@pytest.mark.usefixtures("another_package")
@pytest.mark.parametrize(
    ("name", "line", "cause"),
    [
        ("unmade", "its factory: ValueError: no seed.", ValueError),
        ("tapeless:2", "tape(): AttributeError: 'int' object has no attribute", AttributeError),
        ("unlearning", "learn(): KeyError: 'ran'.", KeyError),
    ],
)
def test_a_strategy_that_raises_is_named(name: str, line: str, cause: type[Exception]) -> None:
    """One line says whose fault it is; what it raised is there for whoever mends it."""
    with pytest.raises(HarnessError) as raised:
        explore(lost_updates.attribute_corrected, strategy=name)

    assert str(raised.value).startswith(f"strategy={name!r} has failed in {line}")
    assert str(raised.value).endswith("Mend that package, or name another strategy.")
    assert "\n" not in str(raised.value)
    assert type(raised.value.__cause__) is cause


@pytest.mark.usefixtures("another_package")
@pytest.mark.parametrize("name", ["reversed:", "reversed:x", "reversed:-1"])
def test_an_argument_is_a_whole_number(name: str) -> None:
    """What is no number is not quietly dropped."""
    with pytest.raises(HarnessError, match="must have a whole number behind the colon"):
        explore(lost_updates.attribute_corrected, strategy=name)


def test_a_random_walk_is_no_strategy_without_a_seed() -> None:
    """`make` is called with seeds up to the largest."""
    seeds: list[int] = []

    def make(seed: int) -> Strategy:
        seeds.append(seed)
        return RandomWalk(seed)

    check_strategy(make, runs=2)

    assert {0, 1, 2**64 - 1} <= set(seeds)
    assert all(0 <= seed < 2**64 for seed in seeds)
