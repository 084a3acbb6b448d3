"""Strategies by name: `surw`, `pct:3`, or one of another package.

A package offers a strategy by an entry point of the group `faultloom.strategies` that names a
callable `(seed, argument) -> Strategy`. It does not know what strategies do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import Final

from harness.core.tape import Tape, replayed
from harness.errors import HarnessError, misuse

from .deviations import Deviations, delays, preemptions
from .every import Every
from .exhaustive import Exhaustive
from .pct import PCT
from .portfolio import Portfolio
from .pos import POS
from .random_walk import RandomWalk
from .strategy import Ran, Strategy
from .surw import SURW
from .urw import URW

GROUP: Final = "faultloom.strategies"
DEFAULT: Final = "portfolio"

#: (seed, argument, whether the log of a run tells all that steps touch) → a strategy.
Maker = Callable[[int, int | None, bool], Strategy]


class Plain:
    """The plain run, alone."""

    def tape(self, run: int) -> Tape | None:
        """Return the empty tape, once."""
        return None if run else replayed(())

    def learn(self, ran: Ran) -> None:
        """Learn nothing."""


# Name, whether it takes an argument and which is the default, and what makes it.
_OWN: Final[dict[str, tuple[int | None, Maker]]] = {
    "all": (None, lambda _seed, _argument, _sees_all: Every()),
    "delay": (2, lambda _seed, argument, _sees_all: Deviations(argument or 0, delays)),
    "exhaustive": (None, lambda _seed, _argument, sees_all: Exhaustive(reduce=sees_all)),
    "pct": (3, lambda seed, argument, _sees_all: PCT(argument or 1, seed)),
    "plain": (None, lambda _seed, _argument, _sees_all: Plain()),
    "portfolio": (None, lambda seed, _argument, sees_all: Portfolio(seed, sees_all=sees_all)),
    "pos": (None, lambda seed, _argument, _sees_all: POS(seed)),
    "preemption": (2, lambda _seed, argument, _sees_all: Deviations(argument or 0, preemptions)),
    "random": (None, lambda seed, _argument, _sees_all: RandomWalk(seed)),
    "samplers": (
        None,
        lambda seed, _argument, sees_all: Portfolio(seed, sees_all=sees_all, samplers_only=True),
    ),
    "surw": (None, lambda seed, _argument, _sees_all: SURW(seed)),
    "urw": (None, lambda seed, _argument, _sees_all: URW(seed)),
}


def names() -> list[str]:
    """Return the names of all strategies, those of other packages included."""
    return sorted({*_OWN, *(entry.name for entry in entry_points(group=GROUP))})


def check_strategy(text: str) -> None:
    """Raise unless `text` names a strategy.

    Raises:
        HarnessError: it does not, or its argument is out of range.
    """
    _parsed(text)


def make_strategy(text: str, seed: int, *, sees_all: bool = True) -> Strategy:
    """Return a fresh strategy.

    Args:
        text: its name, with `:N` behind it for the depth of `pct` or the bound of `delay` and
            `preemption`.
        seed: where it starts, 0 ≤ seed < 2**64.
        sees_all: the log of a run tells all that its steps touch; else nothing may be left out.

    Raises:
        HarnessError: unknown, or its argument is out of range.
    """
    maker, argument = _parsed(text)
    return maker(seed, argument, sees_all)


def exhausts(text: str, *, sees_all: bool = True) -> str:
    """Return what a strategy that has seen all counts: a "trace", or a "schedule" if unreduced."""
    return "schedule" if text == "all" or not sees_all else "trace"


@contextmanager
def blaming(text: str, what: str) -> Iterator[None]:
    """Have what a strategy of another package raises inside the block told in one line.

    Args:
        text: its name.
        what: what of it is called.

    Raises:
        HarnessError: it has raised.
    """
    try:
        yield
    except HarnessError:
        raise
    except Exception as exc:
        said = " ".join(f"{type(exc).__name__}: {exc}".split()).removesuffix(":")
        raise HarnessError(
            f"strategy={text!r} has failed in {what}: {said.removesuffix('.')}. "
            "Mend that package, or name another strategy."
        ) from exc


def _parsed(text: str) -> tuple[Maker, int | None]:
    name, colon, tail = text.partition(":") if isinstance(text, str) else ("", "", "")
    if name not in _OWN:
        foreign = _foreign(text, name)
        if colon and not tail.isdecimal():
            raise misuse(
                "strategy", text, "must have a whole number behind the colon.", "Or leave it out."
            )
        return foreign, int(tail) if colon else None
    default, maker = _OWN[name]
    if not colon:
        return maker, default
    least = 1 if name == "pct" else 0
    if default is None or not tail.isdecimal() or int(tail) < least:
        rule = (
            f"must have a whole number of at least {least} behind the colon."
            if default is not None
            else "takes no argument."
        )
        raise misuse("strategy", text, rule, f"Leave it out: {name!r}.")
    return maker, int(tail)


def _foreign(text: str, name: str) -> Maker:
    for entry in entry_points(group=GROUP, name=name):
        try:
            foreign = entry.load()
        except Exception as exc:
            raise HarnessError(
                f"strategy={text!r} cannot be loaded from {entry.value}: "
                f"{type(exc).__name__}: {exc}. Mend that package, or name another strategy."
            ) from exc
        return lambda seed, argument, _sees_all: _made(text, foreign, seed, argument)
    raise misuse(
        "strategy", text, f"must be one of {', '.join(names())}.", f"Leave it out for {DEFAULT!r}."
    )


def _made(
    text: str, foreign: Callable[[int, int | None], Strategy], seed: int, argument: int | None
) -> Strategy:
    with blaming(text, "its factory"):
        return foreign(seed, argument)
