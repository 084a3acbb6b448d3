"""Tells why a run came out as it did: the turns that were out of order, in terms of the source.

    w-7 stopped at rates.py:19 (read self.known), w-31 ran rates.py:20, w-7 went on

Only what differs from the plain run is told: who had to wait though it could have gone on, and who
ran meanwhile; who went first out of turn; which faults struck; what was drawn. A clause begins
where everything was in order, and ends where it is again. It reads the record of a run, and does
not know whether a shorter run would show the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from harness.core.history import Aside, Event, History, Who

from .text import access, counted, shown_place, shown_span

PLAIN: Final = "it fails on the plain run: no unusual order is needed"

#: So many clauses are told, and so many turns of each: a run that was not shrunk has hundreds.
CLAUSES_MAX: Final = 6
TURNS_MAX: Final = 8

#: Asides that make a story; the others are for its picture.
TOLD: Final = frozenset({"stop", "back", "wait", "order", "fault", "draw", "done"})


def because(history: History, deviations: int) -> list[tuple[str, str]]:
    """Return the rows that say why a violating run violates.

    Args:
        history: its record.
        deviations: how many of its choices are not the default.
    """
    if not deviations:
        return [("because", PLAIN)]
    names = Names(history)
    clauses = [
        ", ".join(_shortened(phrases, TURNS_MAX, "turn"))
        for clause in clauses_of(Reader(history).turns())
        if (phrases := [text for turn in clause if (text := phrase(turn, names))])
    ]
    if not clauses:
        clauses = [f"{counted(deviations, 'choice')} that left no trace in the code under test"]
    return [("because", text) for text in _shortened(clauses, CLAUSES_MAX, "clause")]


@dataclass(slots=True)
class Turn:
    """What somebody did in a row, as far as it is known.

    Args:
        who: the thread or task.
        is_back: it had been stopped, and goes on.
        before: who should have gone first, empty if it was its turn.
        places: where it has been; if it had waited, from where it went on.
        stop: where it had to stop, empty if it did not.
        wait: the lock or its like that it had to wait for, and where; empty if it did not.
        woke: it had waited, and met no scheduling point in code under test since then.
        end: it ran to its end, and what it ran had this name; None if it did not.
        text: what struck it, or what it drew: then this is no turn of its own.
    """

    who: Who
    is_back: bool = False
    before: str = ""
    places: list[str] = field(default_factory=list)
    stop: str = ""
    wait: str = ""
    woke: bool = False
    end: str | None = None
    text: str = ""


# --- from a history to turns ----------------------------------------------------------------------


class Reader:
    """Cuts a history into turns. One use.

    invariant: `_turn`, if there is one, is the last of `_turns` but for faults and draws.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._turns: list[Turn] = []
        self._turn: Turn | None = None
        self._last: Event | None = None
        # By thread: who was stopped in it, before whom its next turn comes, where it waits, and
        # where it has waited until its next turn.
        self._stopped: dict[str, Who] = {}
        self._before: dict[str, str] = {}
        self._waits: dict[str, str] = {}
        self._woke: dict[str, str] = {}

    def turns(self) -> list[Turn]:
        """Read it all."""
        for each in merged(self._history):
            self.read(each)
        return self._turns

    def read(self, each: Event | Aside) -> None:
        """Read what comes next."""
        if isinstance(each, Event):
            self._on_event(each)
        elif each.kind in TOLD:
            getattr(self, f"_on_{each.kind}")(each)

    @property
    def so_far(self) -> Sequence[Turn]:
        """The turns that have begun."""
        return self._turns

    @property
    def current(self) -> Turn | None:
        """The turn that goes on, None between two."""
        return self._turn

    def _on_event(self, event: Event) -> None:
        assert event.by is not None, "an account was kept"
        turn = self._turn
        if turn is None or turn.who != event.by:
            turn = self._open(event.by)
        if event.where:
            turn.places.append(event.where)
            turn.woke = False
        self._last = event

    def _on_stop(self, aside: Aside) -> None:
        turn, last = self._turn, self._last
        if turn is None or turn.who != aside.who:
            turn = self._open(aside.who)
        site = last.site if last is not None and last.by == aside.who else None
        if site is not None and turn.places:
            # It stands before this, and has not been there yet.
            where = turn.places.pop()
            turn.stop = f"at {shown_place(where)} ({access(site)})"
        elif aside.where:
            turn.stop = f"at {shown_place(aside.where)}"
        else:
            turn.stop = "between two steps of its event loop"
        self._stopped[aside.who.thread] = aside.who
        self._turn = None

    def _on_wait(self, aside: Aside) -> None:
        thread, where = aside.who.thread, aside.where
        last = self._last
        turn = self._turn if self._turn is not None and self._turn.who.thread == thread else None
        if turn is not None:
            site: Any = last.site if last is not None and last.by == turn.who else None
            if site is not None and site.sync and turn.places and turn.places[-1] == where:
                turn.wait = f"at {shown_place(turn.places.pop())} ({access(site)})"
        elif not where or self._woke.get(thread) != where:
            # No event tells of its turn. Who waits again where it has waited has got nowhere.
            turn = self._open(aside.who)
        if turn is not None and where and not turn.wait and (turn.woke or not turn.places):
            turn.places.append(where)
            turn.woke = False
        self._waits[thread] = where
        self._woke.pop(thread, None)
        self._before.pop(thread, None)
        self._turn = None

    def _on_back(self, aside: Aside) -> None:
        thread = aside.who.thread
        who = self._stopped.pop(thread, None)
        if who is not None:
            self._open(who).is_back = True
        elif thread in self._waits:
            # It is heard of when it does something.
            self._woke[thread] = self._waits.pop(thread)

    def _on_order(self, aside: Aside) -> None:
        if aside.who.task_name:
            self._open(aside.who).before = aside.other
            return
        # It does not go on with what it did: it has waited in between.
        self._turn = None
        self._before[aside.who.thread] = aside.other

    def _on_done(self, aside: Aside) -> None:
        turn = self._turn
        if turn is not None and turn.who == aside.who:
            turn.end = aside.text

    def _on_fault(self, aside: Aside) -> None:
        where = f" at {shown_place(aside.where)}" if aside.where else ""
        self._turns.append(Turn(aside.who, text=f"{aside.text}{where}"))
        # What comes after it is told apart from what was before.
        self._turn = None

    _on_draw = _on_fault

    def _open(self, who: Who) -> Turn:
        woke = self._woke.pop(who.thread, None)
        turn = self._turn = Turn(who, before=self._before.pop(who.thread, ""))
        turn.woke = woke is not None
        turn.places.extend([woke] if woke else [])
        self._turns.append(turn)
        return turn


def merged(history: History) -> Iterator[Event | Aside]:
    """Yield what a history holds, in order."""
    asides = iter(history.asides)
    aside = next(asides, None)
    for index, event in enumerate(history.events):
        while aside is not None and aside.at <= index:
            yield aside
            aside = next(asides, None)
        yield event
    while aside is not None:
        yield aside
        aside = next(asides, None)


# --- which are told, and how ----------------------------------------------------------------------


def clauses_of(turns: Sequence[Turn]) -> Iterator[list[Turn]]:
    """Yield the turns that are told, those that belong together in one list."""
    clause: list[Turn] = []
    stopped: set[str] = set()
    for turn in turns:
        is_told = bool(turn.stop or turn.before or turn.text or stopped)
        if turn.is_back:
            stopped.discard(turn.who.thread)
        if turn.stop:
            stopped.add(turn.who.thread)
        if is_told:
            clause.append(turn)
        if clause and not stopped:
            yield clause
            clause = []
    if clause:
        yield clause


def phrase(turn: Turn, names: Names) -> str:
    """Return what is said of a turn, empty if nothing is known of it."""
    name = names[turn.who]
    if turn.text:
        return turn.text.replace("{who}", name)
    told = [_went(turn)] if _went(turn) else []
    if turn.wait and not turn.is_back:
        told.append(f"waited {turn.wait}")
    if turn.stop:
        told.append(f"stopped {turn.stop}")
    if told and turn.before:
        told[0] += f" before {turn.before}"
    return f"{name} {' and '.join(told)}" if told else ""


def _went(turn: Turn) -> str:
    """Return how far a turn got, in words."""
    if turn.is_back:
        return "went on"
    if turn.end is not None and (turn.woke or not turn.places):
        # No scheduling point tells where it has been.
        since = f" (from {shown_place(turn.places[0])})" if turn.places else ""
        return f"ran {turn.end}" if turn.end and not turn.woke else f"ran to its end{since}"
    if turn.places:
        return f"ran {shown_span(turn.places)}"
    if turn.woke:
        return "went on"
    return "went" if turn.before else ""


class Names:
    """How a story calls who acts: where threads and tasks meet, each with what it is."""

    def __init__(self, history: History) -> None:
        seen = {event.by for event in history.events if event.by is not None}
        threads = {who.thread for who in seen}
        self._says_which = len(threads) > 1 and any(who.task_name for who in seen)

    def __getitem__(self, who: Who) -> str:
        if not self._says_which:
            return who.name
        if who.task_name.startswith("the callback "):
            return f"{who.task_name} in thread {who.thread_name}"
        if who.task_name:
            return f"task {who.task_name} of thread {who.thread_name}"
        return f"thread {who.thread_name}"


def _shortened(texts: list[str], most: int, noun: str) -> list[str]:
    """Return the first and the last texts, if there are too many of them."""
    if len(texts) <= most:
        return texts
    head = most // 2
    tail = most - head - 1
    left_out = f"… {counted(len(texts) - head - tail, f'{noun} more', f'{noun}s more')} …"
    return [*texts[:head], left_out, *texts[-tail:]]
