"""What the museum is to reach, and how much of it is reached: sentences made of measurements.

A goal is about all the rows that it names. A row that was measured and is not as it should be
misses it, a bug that was not found included. While rows are left to be measured a goal may be
missed already, but it is never reached. It does not know how anything is measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import geometric_mean
from typing import Final, Literal

from tests.museum.catalogue import EXHIBITS, Exhibit
from tests.museum.results import (
    CAP,
    DEFAULT,
    MILLION,
    MOST_COUNTED,
    RAREST,
    SEEDS,
    SEEDS_AT_FIRST,
    STRATEGIES,
    TWIN,
    TWIN_UNDER_DEFAULT,
    Done,
    cell,
    counting,
    loud,
    shrinks,
    traces,
    twins,
)
from tests.museum.running import EXHAUSTED, TRACES, Measurement

#: Mean schedules to the first bug that are published for the artifact of SURW, of 20 trials: all
#: rows of that table which hang here and have a figure. `safe_stack` in a million schedules.
#: Source: H. Zhao et al., ASPLOS 2025, artifact.
PUBLISHED_SURW: Final[Mapping[str, float]] = {
    "account": 6,
    "bluetooth_driver": 70,
    "circular_buffer": 3,
    "deadlock01": 2,
    "lazy01": 2,
    "queue": 2,
    "reorder_3": 7,
    "reorder_4": 7,
    "reorder_5": 10,
    "reorder_10": 17,
    "reorder_20": 6,
    "reorder_50": 13,
    "stack": 5,
    "twostage": 8,
    "twostage_20": 6,
    "twostage_50": 20,
    "wronglock": 7,
    "wronglock_3": 9,
    "work_steal_queue": 6,
    RAREST: 368_921,
}

#: Verdicts that end a run at once.
ENDING: Final = ("Failed", "Unhandled")
#: How many rows must have the published number of traces.
EQUAL_TRACES: Final = 40
#: How many replays a shrink may take.
REPLAYS: Final = 60

State = Literal["reached", "MISSED", "not measured yet"]

#: Of each row that a goal names: "" if it is as it should be, what is wrong if it is not, None if
#: it is not known yet.
Rows = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal, the figure that was reached, and the rows that miss it."""

    goal: str
    figure: str
    state: State
    missed: tuple[str, ...] = ()


def quick_goals(done: Done) -> Iterator[Goal]:
    """Yield what the short table is to reach."""
    yield _found(done, SEEDS_AT_FIRST)
    rows = {each.name: _silence(each, done, twins(each, full=False)) for each in EXHIBITS}
    yield judged(f"fixed twins silent, {TWIN} schedules under the {DEFAULT}", rows)
    yield from _shrunk(done)


def full_goals(done: Done) -> Iterator[Goal]:
    """Yield what the whole table is to reach."""
    yield _found(done, SEEDS)
    for goal, by_default in (
        (f"fixed twins silent, {TWIN_UNDER_DEFAULT:,} schedules under the {DEFAULT}", True),
        (f"fixed twins silent, {TWIN} schedules under each single strategy", False),
    ):
        rows = {
            exhibit.name: _silence(
                exhibit,
                done,
                [
                    each
                    for each in twins(exhibit, full=True)
                    if (each.strategy == DEFAULT) is by_default
                ],
            )
            for exhibit in EXHIBITS
        }
        yield judged(goal, rows)
    yield from _counts(done)
    yield _surw(done)
    yield from _portfolio(done)
    yield from _shrunk(done)


def judged(goal: str, rows: Rows, allowed: int = 0, also: str = "") -> Goal:
    """Judge a goal by its rows, of which `allowed` may miss it."""
    assert rows, "a goal is about something"
    left = sum(said is None for said in rows.values())
    missed = tuple(f"{name}: {said}" for name, said in rows.items() if said)
    figure = f"{len(rows) - left - len(missed)} of {len(rows)}{also}"
    if left:
        figure += f"; not measured yet: {left} of {len(rows)} rows"
    return Goal(goal, figure, _state(left, is_missed=len(missed) > allowed), missed)


def _state(left: int, *, is_missed: bool) -> State:
    # What is still to be measured does not make good what is missed.
    return "MISSED" if is_missed else "not measured yet" if left else "reached"


# --- found, and silent ----------------------------------------------------------------------------


def _found(done: Done, seeds: int) -> Goal:
    rows = {each.name: _finding(each, done, seeds) for each in EXHIBITS if each.core}
    return judged(f"core programs found by the {DEFAULT}, from each of {seeds} seeds", rows)


def _finding(exhibit: Exhibit, done: Done, seeds: int) -> str | None:
    each = cell(exhibit, DEFAULT, done, seeds)
    if each.wrong:
        return f"found {each.wrong[0]}, not {' or '.join(exhibit.oracle)}"
    if each.found < len(each.firsts):
        return f"found from {each.found} of {len(each.firsts)} seeds"
    return "" if each.is_whole else None


def _silence(exhibit: Exhibit, done: Done, wanted: list[Measurement]) -> str | None:
    strategies = {each.strategy for each in wanted}
    heard = [strategy for strategy in loud(exhibit, done) if strategy in strategies]
    if heard:
        return f"loud under {', '.join(heard)}"
    return "" if all(each in done for each in wanted) else None


# --- traces ---------------------------------------------------------------------------------------


def _counts(done: Done) -> Iterator[Goal]:
    exact = [each for each in EXHIBITS if each.traces is not None]
    for how, counted in (("as the table counts", TRACES), ("by exhaustive search", EXHAUSTED)):
        rows = {each.name: _count(each, done, counted) for each in exact}
        yield judged(
            f"as many traces as published, counted {how}, in {EQUAL_TRACES} rows or more",
            rows,
            allowed=len(exact) - EQUAL_TRACES,
        )
    unnamed = {
        each.name: said and ("" if each.differs else said)
        for each in exact
        for said in [_count(each, done, TRACES)]
    }
    yield judged("the point that is one too many or missing is named, in every other row", unnamed)


def _count(exhibit: Exhibit, done: Done, counted: str) -> str | None:
    if counting(exhibit.name, counted) not in done:
        return None
    found = traces(exhibit, done, counted)
    if found == exhibit.traces:
        return ""
    shown = f"more than {MOST_COUNTED:,} runs" if found is None else f"{found:,}"
    ends_early = counted == EXHAUSTED and found is not None and exhibit.oracle[0] in ENDING
    why = "a run ends where it fails, whatever the others had done by then" if ends_early else ""
    return f"{shown} for {exhibit.traces:,}: {exhibit.differs or why or 'nobody has said why'}"


# --- schedules to the first bug -------------------------------------------------------------------


def _surw(done: Done) -> Goal:
    exhibits = {each.name: each for each in EXHIBITS}
    rows = {name: _published(exhibits[name], done) for name in PUBLISHED_SURW}
    sooner = [
        f"{name} {mean:.4g} for {PUBLISHED_SURW[name]:g}"
        for name in PUBLISHED_SURW
        if (mean := cell(exhibits[name], "surw", done).mean) and mean < PUBLISHED_SURW[name] / 2
    ]
    also = f" (in less than half of it: {', '.join(sooner)})" if sooner else ""
    return judged(
        "SURW within 2x of the published mean, in 90 % of the shared rows",
        rows,
        allowed=len(rows) // 10,
        also=also,
    )


def _published(exhibit: Exhibit, done: Done) -> str | None:
    published = PUBLISHED_SURW[exhibit.name]
    if exhibit.name == RAREST:
        outcome = done.get(Measurement(RAREST, False, "surw", 0, MILLION))
        if outcome is None:
            return None
        mean: float | None = outcome.first
        wrong = outcome.verdict not in ("holds", *exhibit.oracle)
        missed = f"not found in {MILLION:,}, published {published:,}" if mean is None else ""
        missed = f"found {outcome.verdict}" if wrong else missed
    else:
        each = cell(exhibit, "surw", done)
        mean = each.mean
        missed = f"found from {each.found} of {len(each.firsts)} seeds"
        missed = f"found {each.wrong[0]}" if each.wrong else missed
        if not each.wrong and each.found == len(each.firsts):
            if not each.is_whole:
                return None
            missed = ""
    if missed or mean is None:
        return missed
    return f"{mean:,.4g} for {published:,g}" if mean > 2 * published else ""


def _portfolio(done: Done) -> Iterator[Goal]:
    """Compare in every row but the one that nobody finds in so few schedules."""
    names = [each for each in EXHIBITS if each.name != RAREST]
    regrets = {each.name: _regret(each, done) for each in names}
    rows = {
        name: None if each is None else each.said if each.is_lost or each.ratio > 5 else ""
        for name, each in regrets.items()
    }
    yield judged(f"{DEFAULT} within 5x of the best single strategy, in every row", rows)
    known = {name: each for name, each in regrets.items() if each is not None}
    lost = tuple(f"{name}: {each.said}" for name, each in known.items() if each.is_lost)
    left = len(regrets) - len(known)
    average = geometric_mean(each.ratio for each in known.values()) if known else None
    figure = "" if average is None else f"{'more than ' if lost else ''}{average:.2f}"
    if left:
        figure += f"{'; ' if figure else ''}not measured yet: {left} of {len(regrets)} rows"
    too_much = not left and average is not None and average > 2.5
    yield Goal(
        "the same, within 2.5x in the geometric mean",
        figure,
        _state(left, is_missed=bool(lost) or too_much),
        lost,
    )


@dataclass(frozen=True, slots=True)
class _Regret:
    """How many times as many schedules the default takes as the best single strategy.

    Args:
        ratio: so many times; if the default finds nothing, more than that.
        said: the two figures.
        is_lost: the default does not find it.
    """

    ratio: float
    said: str
    is_lost: bool = False


def _regret(exhibit: Exhibit, done: Done) -> _Regret | None:
    cells = {strategy: cell(exhibit, strategy, done) for strategy in STRATEGIES}
    if not all(each.is_whole for each in cells.values()):
        return None
    mine = cells.pop(DEFAULT)
    figures = {
        strategy: each.median
        for strategy, each in cells.items()
        if each.median is not None and not each.wrong
    }
    best = min(figures, key=lambda strategy: figures[strategy], default=None)
    against = "nor by any other" if best is None else f"{figures[best]:,.4g} by {best}"
    if mine.wrong or mine.median is None:
        why = f"found {mine.wrong[0]}" if mine.wrong else f"not found in {CAP:,}"
        floor = 1.0 if best is None else (CAP + 1) / figures[best]
        return _Regret(floor, f"{why}, {against}", is_lost=True)
    # Where nobody else finds it there is nobody to be better than: no row makes up for others.
    ratio = 1.0 if best is None else mine.median / figures[best]
    return _Regret(ratio, f"{ratio:.1f}x: {mine.median:,.4g}, {against}")


# --- shrinking ------------------------------------------------------------------------------------


def _shrunk(done: Done) -> Iterator[Goal]:
    """Hold to the depth where it is known, else to what the published table has instead."""
    exhibits = [each for each in EXHIBITS if each.name != RAREST]
    yield judged(
        "median preemptions left at most depth - 1",
        {each.name: _left(each, done, each.depth - 1) for each in exhibits if each.depth},
    )
    yield judged(
        "where no depth is published: at most those with which bounded search finds it",
        {
            each.name: _left(each, done, each.preemptions)
            for each in exhibits
            if each.depth is None and each.preemptions is not None
        },
    )
    yield judged(
        f"shrunk in at most {REPLAYS} replays, every failure",
        {each.name: _replays(each, done) for each in exhibits},
    )


def _left(exhibit: Exhibit, done: Done, allowed: int) -> str | None:
    found = shrinks(exhibit, done)
    if found is None:
        return None
    if found.left is None:
        return "no failure was found to be shrunk"
    if found.left <= allowed:
        return ""
    least = exhibit.preemptions
    why = f"; bounded search finds it with no fewer than {least}" if (least or 0) > allowed else ""
    return f"{found.left:g} left, {allowed} allowed{why}"


def _replays(exhibit: Exhibit, done: Done) -> str | None:
    found = shrinks(exhibit, done)
    if found is None:
        return None
    if found.left is None:
        return "no failure was found to be shrunk"
    return f"{found.replays} replays" if found.replays > REPLAYS else ""
