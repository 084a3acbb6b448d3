"""Which steps of a run depend on which: its events, what comes before what, and who raced.

A log is cut into events, each the accesses that one actor makes in a row. Event a happens before b
if they are of one actor, or touch one thing and one changes it, or by a chain of such. Two runs
whose events are ordered alike are one trace, and no check that looks at the outcome can tell them
apart. It does not know strategies.

Source: A. Mazurkiewicz, "Trace theory", 1987; C. Flanagan, P. Godefroid, POPL 2005, section 4.2,
    for locks: who takes a lock races with whoever took it before, not with who gave it back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.core.access import ACQUIRE, AWAIT, PENDING, READ, RELEASE, Log

_MASK = (1 << 61) - 1


def trace_of(log: Log) -> int:
    """Return a number that runs of one trace share, in every process; others hardly ever.

    Whether a thread that did nothing yet has come up makes no difference.
    """
    # For each thing: the state that its last change left, and a sum over the reads since.
    things: dict[int, list[int]] = {}
    turns: dict[Any, int] = {}
    # Of those who have done nothing but come up.
    idle: dict[Any, int] = {}
    epoch = 0
    # Whose state it is, which is put back when somebody else acts.
    acting: Any = None
    state, has_acted = 0, False
    for turn, key, mode, _ in log:
        if turn is not acting or turn is None:
            if acting is not None:
                (turns if has_acted else idle)[acting] = state
            acting, has_acted = turn, turn in turns
            if turn is None:
                epoch = hash((epoch, sum(turns.values()) & _MASK))
                continue
            state = turns[turn] if has_acted else idle.get(turn) or hash(turn.path)
        if mode >= PENDING:
            continue
        thing = things.get(key)
        if thing is None:
            thing = things[key] = [0, 0]
        if mode == AWAIT:
            state = hash((state, epoch, thing[0]))
            continue
        has_acted = True
        if mode == READ:
            state = hash((state, epoch, thing[0]))
            thing[1] = (thing[1] + state) & _MASK
        else:
            state = hash((state, epoch, thing[0], thing[1]))
            thing[0], thing[1] = state, 0
    if has_acted:
        turns[acting] = state
    return hash(tuple(sorted((turn.path, state) for turn, state in turns.items())))


@dataclass(slots=True)
class Event:
    """What one actor did in a row.

    Args:
        path: the actor.
        decision: index of the decision that let it, -1 if nobody else could have gone on.
        pending: it was not made: the actor would have made it, but could not.
        first_decision: the first of several, if a thread was chosen and then a turn of its loop.
        start: where its accesses start in the log.
        before: the events that happen before it, itself included, as bits.
    """

    path: tuple[int, ...]
    decision: int
    start: int
    end: int = 0
    before: int = 0
    first_decision: int = -1
    pending: bool = False


@dataclass(slots=True)
class _Thing:
    """What is known of one thing at some place of a run."""

    # The last event that changed it, and the last that changed it other than by giving it back.
    last: int = -1
    contested: int = -1
    readers: list[int] = field(default_factory=list)


def events_and_races(
    log: Log, decisions: Sequence[int]
) -> tuple[list[Event], list[tuple[int, int]]]:
    """Return the events of a run, in order, and the pairs of them that race.

    Args:
        log: what the run touched.
        decisions: for each decision about who goes on, the length of the log when it was made.
    """
    events: list[Event] = []
    races: list[tuple[int, int]] = []
    things: dict[int, _Thing] = {}
    # The last event of each actor: what happens before it is what happens before his next one.
    latest: dict[Any, Event] = {}
    everything = base = 0
    upcoming, next_decision = 0, decisions[0] if decisions else 1 << 62
    current: Any = None
    event: Event | None = None
    index, clock = -1, 0
    for place, (turn, key, mode, _) in enumerate(log):
        if turn is None:
            base = everything
            current = None
            continue
        if mode == PENDING:
            # Somebody would take what another has taken: no step, but a race. He waited since
            # before the others came to a stop, if they did.
            thing = things.get(key)
            rival = thing.contested if thing is not None else -1
            own = latest[turn].before if turn in latest else 0
            if rival >= 0 and not own >> rival & 1:
                races.append((rival, len(events)))
                events.append(
                    Event(turn.path, -1, place, place, own | 1 << len(events), pending=True)
                )
                everything |= 1 << (len(events) - 1)
            continue
        if turn is not current or place >= next_decision:
            decision, first_decision = -1, upcoming
            while place >= next_decision:
                decision = upcoming
                upcoming += 1
                next_decision = decisions[upcoming] if upcoming < len(decisions) else 1 << 62
            if event is not None:
                event.end = place
            index = len(events)
            event = Event(turn.path, decision, place, first_decision=first_decision)
            events.append(event)
            current = turn
            clock = base | 1 << index
            if turn in latest:
                clock |= latest[turn].before
            everything |= 1 << index
            event.before = clock
            latest[turn] = event
        if mode > PENDING:
            continue
        thing = things.get(key)
        if thing is None:
            thing = things[key] = _Thing()
        last = thing.last
        if mode == AWAIT:
            if last >= 0:
                clock |= events[last].before
        else:
            rival = thing.contested if mode == ACQUIRE else last
            if rival >= 0 and not clock >> rival & 1:
                races.append((rival, index))
            if mode != READ:
                for reader in thing.readers:
                    if not clock >> reader & 1:
                        races.append((reader, index))
                    clock |= events[reader].before
            if last >= 0:
                clock |= events[last].before
            if mode == READ:
                thing.readers.append(index)
            else:
                thing.last = index
                if mode != RELEASE:
                    thing.contested = index
                thing.readers.clear()
        events[index].before = clock
    if event is not None:
        event.end = len(log)
    return events, races


def initials(events: Sequence[Event], first: int, second: int) -> list[tuple[int, ...]]:
    """Return who can go first if the event `second` is to come before `first`, which races with it.

    They are the actors of those events after `first` and not after it in the happens-before order,
    `second` included, before which nothing else of these must come.
    """
    found: list[tuple[int, ...]] = []
    among = 0
    for index in range(first + 1, second + 1):
        event = events[index]
        if index != second and (event.pending or event.before >> first & 1):
            continue
        # The race itself orders the second after the first; without it, by its own past.
        if not event.before & among:
            found.append(event.path)
        among |= 1 << index
    return found
