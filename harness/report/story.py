"""One recorded run as plain columns, for pictures: who did what when, and what mattered.

    history ──► lanes     threads, each with its tasks
                steps     what each came to, one behind the other, with place and virtual time
                spans     waits, locks held
                curves    how many were inside, and how many may be
                moments   the turns that the verdict is about, as `because` tells them

A story holds numbers and texts only: it can be sent to another process and written down as it is.
It knows no picture.
"""

from __future__ import annotations

import linecache
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from harness.core.clock import to_seconds
from harness.core.history import Aside, Event, History, Who, step_of
from harness.errors import Violation, plain
from harness.world.waits import file_name

from .because import Names, Reader, Turn, clauses_of, merged, phrase
from .text import access, receiver

#: The last so many steps of a run are kept: what went wrong is behind them.
STEPS_MAX: Final = 100_000
#: Of each place, so many lines before and after it can be looked at.
CONTEXT: Final = 3

POINT, SPAWN, SLEEP, CALL, RESUME, END, FAULT, DRAW, BACK, VIOLATION, GAUGE = range(11)
_KINDS: Final = {"spawn": SPAWN, "sleep": SLEEP, "call": CALL, "resume": RESUME, "end": END}
_ENTERED: Final = re.compile(r"async with (.+?)(?: as |,|:)|await (.+?)\.acquire\(")


@dataclass(slots=True)
class Story:
    """One run. Made once, then only read.

    Args:
        scenario: how the token calls it.
        class_name: the class under test, empty if there is none.
        check: what was violated.
        summary: the first line of the verdict.
        rows: the evidence of the verdict.
        token: replays the run.
        cut: how many steps were left out at the beginning.
        lanes: [name, `thread` or `task`, lane of its thread or -1, first step, behind its last].
        lane: of each step, whose it is.
        kind: of each step, what it is.
        number: of each step, that of the run as verdicts and `--stop-at` count: several may share
            one.
        text: of each step, the place of its text in `texts`.
        place: of each step, its place in `places`, -1 if it has none.
        texts: what is said of steps.
        places: [file, line].
        sources: of each file, the lines that places are in or near to.
        clock: [step, virtual nanoseconds] where time moved.
        waits: [lane, first step, behind its last, text, place or -1, who holds it].
        stops: [lane, first step, behind its last]: it could have gone on, and was not let.
        holds: [lane, first step, behind its last, lock].
        locks: their names.
        curves: [name, `inside` or `calls`, bound or None, must be reached, [[step, value], …]].
        moments: [first step, behind its last, lane, `turn`, `stop`, `fault` …, text].
    """

    scenario: str
    class_name: str
    check: str
    summary: str
    rows: list[list[str]]
    token: str
    cut: int = 0
    lanes: list[list[Any]] = field(default_factory=list)
    lane: list[int] = field(default_factory=list)
    kind: list[int] = field(default_factory=list)
    number: list[int] = field(default_factory=list)
    text: list[int] = field(default_factory=list)
    place: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    places: list[list[Any]] = field(default_factory=list)
    sources: dict[str, dict[str, str]] = field(default_factory=dict)
    clock: list[list[int]] = field(default_factory=list)
    waits: list[list[Any]] = field(default_factory=list)
    stops: list[list[int]] = field(default_factory=list)
    holds: list[list[int]] = field(default_factory=list)
    locks: list[str] = field(default_factory=list)
    curves: list[list[Any]] = field(default_factory=list)
    moments: list[list[Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return it as lists, texts and numbers."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Story:
        """Return what `to_json` was made of."""
        return cls(**value)


def story_of(
    history: History,
    violation: Violation,
    token: str,
    scenario: str,
    class_name: str,
    *,
    steps: int,
) -> Story:
    """Return the story of a run that violates.

    Args:
        history: a detailed record of it.
        violation: what it violates.
        token: replays it.
        scenario: how the token calls it.
        class_name: the class under test, empty if there is none.
        steps: how many it had.
    """
    rows = [[label, text] for label, text in violation.evidence]
    story = Story(scenario, class_name, violation.check, violation.summary, rows, token)
    return _Teller(history, story, steps).told()


class _Table:
    """Numbers things in the order in which they come. One thread."""

    def __init__(self) -> None:
        self.numbers: dict[Any, int] = {}

    def __getitem__(self, thing: Any) -> int:
        return self.numbers.setdefault(thing, len(self.numbers))


@dataclass(slots=True)
class _Lane:
    """A thread or task, in the making."""

    key: tuple[str, str]
    name: str
    begin: int
    end: int = -1


class _Teller:
    """Makes a story of a history. One use.

    invariant: the columns of the story are of one length.
    """

    def __init__(self, history: History, story: Story, steps: int) -> None:
        self.history = history
        self.story = story
        self.steps = steps
        self.names = Names(history)
        self.lanes: dict[tuple[str, str], _Lane] = {}
        self.order = _Table()
        self.texts = _Table()
        self.places = _Table()
        self.accesses: dict[int, str] = {}
        self.children: dict[str, int] = {}
        self.spoken: set[tuple[str, str]] = set()
        # Open spans: by lane (-1 while what is waited for is free), by number of the lock.
        self.parked: dict[tuple[str, str], tuple[int, Aside]] = {}
        self.held: dict[int, tuple[int, int]] = {}
        self.lock_names: dict[int, str] = {}
        # By thread, of who was stopped: its lane, the step of the place at which it stands (-1 if
        # there is none), and since when it stands; -1 once it does not.
        self.stopped: dict[str, tuple[int, int, int]] = {}
        self.curves: dict[tuple[str, str], list[list[int]]] = {}
        self.bounds: dict[tuple[str, str], tuple[int, bool]] = {}
        self.turns: list[tuple[Turn, int, int]] = []
        self.now_ns = 0
        # In which step of the run is told what is told now.
        self.number = 0

    def told(self) -> Story:
        """Read the history, then put what was found in order."""
        reader = Reader(self.history)
        for each in merged(self.history):
            before, self.number = len(self.story.lane), step_of(each)
            if isinstance(each, Event):
                self._on_event(each)
            else:
                getattr(self, f"_on_{each.kind}")(each)
            reader.read(each)
            self._note_turns(reader, before)
        self._close()
        return self.story

    # --- steps ------------------------------------------------------------------------------------

    def _step(self, who: Who, kind: int, text: str, where: str) -> None:
        story, lane = self.story, self._lane(who)
        lane.end = -1
        story.lane.append(self.order[lane.key])
        story.kind.append(kind)
        story.number.append(self.number)
        story.text.append(self.texts[text])
        story.place.append(self._place(where))

    def _on_event(self, event: Event) -> None:
        if event.operation == "verdict":
            # Of a rule; what struck is told as a fault.
            return
        assert event.by is not None, "an account was kept"
        if event.time_ns != self.now_ns or not self.story.clock:
            self.now_ns = event.time_ns
            self.story.clock.append([len(self.story.lane), self.now_ns])
        who, key = event.by, _key(event.by)
        if event.operation == "resume":
            self._unpark(key)
        kind = _KINDS.get(event.operation, POINT)
        self._step(who, kind, self._said(event, key), event.where)
        self.spoken.add(key)
        if kind == SPAWN:
            number = self.children[who.thread] = self.children.get(who.thread, 0) + 1
            self._lane(Who(f"{who.thread}.{number}", event.target))
        elif kind == END:
            self._lane(who).end = len(self.story.lane)

    def _said(self, event: Event, key: tuple[str, str]) -> str:
        match event.operation:
            case "spawn":
                return f"starts {event.target}"
            case "sleep":
                return f"sleeps {event.target} s"
            case "call":
                return f"calls {event.target}"
            case "end":
                return "ends"
            case "resume":
                return "goes on" if key in self.spoken else "begins"
            case _ if event.site is None:
                return event.target or "a point"
        site = event.site
        if id(site) not in self.accesses:
            self.accesses[id(site)] = access(site)
        return self.accesses[id(site)]

    def _on_stop(self, aside: Aside) -> None:
        story = self.story
        if not story.lane:
            return
        lane, now = self.order[self._lane(aside.who).key], len(story.lane)
        # Else it stands between two turns of its loop.
        is_there = (story.lane[-1], story.kind[-1]) == (lane, POINT) and story.place[-1] >= 0
        self.stopped[aside.who.thread] = lane, now - 1 if is_there else -1, now

    def _on_back(self, aside: Aside) -> None:
        self._unpark((aside.who.thread, ""))
        lane, before, begin = self.stopped.pop(aside.who.thread, (-1, -1, -1))
        self._stand(lane, begin)
        if before >= 0:
            # It had come to this, and does it only now.
            story = self.story
            story.number.append(self.number)
            story.kind.append(BACK)
            for column in (story.lane, story.text, story.place):
                column.append(column[before])

    def _stand(self, lane: int, begin: int) -> None:
        """Note that somebody stood who could have gone on, since `begin`."""
        if 0 <= begin < len(self.story.lane):
            self.story.stops.append([lane, begin, len(self.story.lane)])

    def _on_fault(self, aside: Aside) -> None:
        self._step(aside.who, FAULT, self._filled(aside), aside.where)

    def _on_draw(self, aside: Aside) -> None:
        self._step(aside.who, DRAW, self._filled(aside), aside.where)

    def _filled(self, aside: Aside) -> str:
        return aside.text.replace("{who}", self.names[aside.who])

    def _on_wait(self, aside: Aside) -> None:
        """Leave it to `park`, which says more."""

    def _on_order(self, aside: Aside) -> None:
        """Leave it to the turn that follows."""

    # --- spans and curves -------------------------------------------------------------------------

    def _on_park(self, aside: Aside) -> None:
        self._lane(aside.who)
        # Who stands before a free lock waits once somebody has taken it.
        begin = len(self.story.lane) if aside.text else -1
        self.parked[_key(aside.who)] = begin, aside

    def _unpark(self, key: tuple[str, str]) -> None:
        self._end_wait(key)
        self.parked.pop(key, None)

    def _end_wait(self, key: tuple[str, str]) -> None:
        begin, aside = self.parked.get(key, (-1, None))
        end = len(self.story.lane)
        if aside is None or not 0 <= begin < end:
            return
        holder = self.held.get(aside.value)
        owner = aside.other if holder is None else self._lane_name(holder[1])
        text = f"waits in {aside.text}"
        if aside.value in self.lock_names and owner:
            text = f"waits for {self.lock_names[aside.value]}, held by {owner}"
        elif "for the end of " in text:
            text = f"waits {text[text.index('for the end of ') :]}"
        place = self._place(aside.where)
        self.story.waits.append([self.order[key], begin, end, self.texts[text], place, owner])

    def _lane_name(self, lane: int) -> str:
        return list(self.lanes.values())[lane].name

    def _on_done(self, aside: Aside) -> None:
        self._lane(aside.who).end = len(self.story.lane)

    def _on_hold(self, aside: Aside) -> None:
        if aside.value not in self.lock_names:
            name = _lock_name(aside)
            same = sum(each.partition(" #")[0] == name for each in self.lock_names.values())
            self.lock_names[aside.value] = f"{name} #{same + 1}" if same else name
        lane = self._lane(aside.who)
        now = len(self.story.lane)
        self.held[aside.value] = now, self.order[lane.key]
        for key, (begin, parked) in self.parked.items():
            if parked.value == aside.value and key != lane.key and begin < 0:
                # It could have gone on, and cannot any more.
                self.parked[key] = now, parked
                stands, at, since = self.stopped.get(key[0], (-1, -1, -1))
                self._stand(stands, since)
                self.stopped[key[0]] = stands, at, -1

    def _on_free(self, aside: Aside) -> None:
        for key, (_, parked) in list(self.parked.items()):
            if parked.value == aside.value:
                self._end_wait(key)
                self.parked[key] = -1, parked
        begin, lane = self.held.pop(aside.value, (-1, -1))
        end = len(self.story.lane)
        if 0 <= begin < end:
            self.story.holds.append([lane, begin, end, aside.value])

    def _on_gauge(self, aside: Aside) -> None:
        index = len(self.story.lane)
        inside = self.curves.get((aside.text, "inside"), [[0, 0]])[-1][1]
        verb = "enters" if aside.value > inside else "leaves"
        text = f"{verb} '{aside.text}': {aside.value} in flight"
        self._step(aside.who, GAUGE, text, aside.where)
        for kind, value in (("inside", aside.value), ("calls", aside.total)):
            points = self.curves.setdefault((aside.text, kind), [])
            if points and points[-1][1] == value:
                continue
            points.append([index, value])

    def _on_bound(self, aside: Aside) -> None:
        kind = "calls" if aside.other == "calls" else "inside"
        self.bounds[aside.text, kind] = aside.value, aside.other == "reached"

    # --- names ------------------------------------------------------------------------------------

    def _lane(self, who: Who) -> _Lane:
        key = _key(who)
        found = self.lanes.get(key)
        if found is None:
            name = who.task_name if key[1] else who.thread_name
            found = self.lanes[key] = _Lane(key, name, len(self.story.lane))
            assert self.order[key] == len(self.lanes) - 1, "lanes are numbered as they come"
        return found

    def _place(self, where: str) -> int:
        file, _, line = where.rpartition(":")
        return self.places[file, int(line)] if file and line.isdecimal() else -1

    def _note_turns(self, reader: Reader, before: int) -> None:
        """Keep at which steps turns begin and end."""
        after = len(self.story.lane)
        for turn in reader.so_far[len(self.turns) :]:
            self.turns.append((turn, before, after))
        if self.turns and self.turns[-1][0] is reader.current:
            turn, begin, _ = self.turns[-1]
            self.turns[-1] = turn, begin, after

    # --- in the end -------------------------------------------------------------------------------

    def _close(self) -> None:
        story = self.story
        last = story.lane[-1] if story.lane else self.order[self._lane(Who("0", "MainThread")).key]
        key = list(self.lanes)[last]
        for parked in list(self.parked):
            if parked == key and story.check != "Deadlock":
                self._unpark(parked)
        story.lane.append(last)
        story.kind.append(VIOLATION)
        story.number.append(self.steps)
        story.text.append(self.texts[story.summary])
        story.place.append(story.place[-1] if story.place else -1)
        for parked in list(self.parked):
            self._unpark(parked)
        for stands, _, begin in self.stopped.values():
            self._stand(stands, begin)
        end = len(story.lane)
        for number, (begin, lane) in sorted(self.held.items()):
            if end > begin:
                story.holds.append([lane, begin, end, number])
        self._tell_moments(end)
        self._tell_curves()
        story.texts = [plain(text) for text in self.texts.numbers]
        numbers = {number: index for index, number in enumerate(sorted(self.lock_names))}
        story.locks = [self.lock_names[number] for number in sorted(self.lock_names)]
        story.holds = [[lane, begin, stop, numbers[n]] for lane, begin, stop, n in story.holds]
        self._tell_places()
        self._tell_lanes(end)
        if end > STEPS_MAX:
            _cut(story, end - STEPS_MAX)

    def _tell_moments(self, end: int) -> None:
        spans = {id(turn): (begin, stop) for turn, begin, stop in self.turns}
        for clause in clauses_of([turn for turn, _, _ in self.turns]):
            for turn in clause:
                text = phrase(turn, self.names)
                if not text:
                    continue
                begin, stop = spans[id(turn)]
                lane = self.order[_key(turn.who)] if _key(turn.who) in self.lanes else 0
                kind = "fault" if turn.text else "stop" if turn.stop else "turn"
                begin = min(begin, end - 2) if end > 1 else 0
                self.story.moments.append([begin, max(stop, begin + 1), lane, kind, plain(text)])
        lane = self.story.lane[-1]
        self.story.moments.append([end - 1, end, lane, "violation", self.story.summary])

    def _tell_curves(self) -> None:
        for (name, kind), points in sorted(self.curves.items()):
            bound, reached = self.bounds.get((name, kind), (None, False))
            if kind == "inside" or bound is not None:
                self.story.curves.append([name, kind, bound, reached, points])

    def _tell_places(self) -> None:
        story = self.story
        shown: dict[str, str] = {}
        for file, line in self.places.numbers:
            name = shown.setdefault(file, _shown(file))
            story.places.append([name, line])
            lines = story.sources.setdefault(name, {})
            for number in range(max(1, line - CONTEXT), line + CONTEXT + 1):
                if str(number) not in lines and (text := linecache.getline(file, number)):
                    lines[str(number)] = text.rstrip()

    def _tell_lanes(self, end: int) -> None:
        """Put the lanes in order: each thread before its tasks, by spawn path."""
        given = list(self.lanes.values())
        in_order = sorted(given, key=lambda lane: (_numbers(lane.key[0]), _numbers(lane.key[1])))
        new = {lane.key: index for index, lane in enumerate(in_order)}
        moved = [new[lane.key] for lane in given]
        story = self.story
        for lane in in_order:
            kind = "task" if lane.key[1] else "thread"
            thread = new.get((lane.key[0], ""), -1) if lane.key[1] else -1
            stop = end if lane.end < 0 else lane.end
            story.lanes.append([lane.name, kind, thread, lane.begin, stop])
        story.lane = [moved[lane] for lane in story.lane]
        for span in (*story.waits, *story.holds, *story.stops):
            span[0] = moved[span[0]]
        for moment in story.moments:
            moment[2] = moved[moment[2]]
        story.waits.sort(key=lambda wait: (wait[1], wait[0]))
        story.holds.sort(key=lambda hold: (hold[1], hold[0]))


def _key(who: Who) -> tuple[str, str]:
    """Return what tells lanes apart; a callback of a loop is its thread's doing."""
    return who.thread, who.task if who.task_name else ""


def _numbers(path: str) -> tuple[int, ...]:
    return tuple(int(part) for part in path.split(".") if part)


def _lock_name(aside: Aside) -> str:
    """Return how the code calls a lock that it takes: `Rates._lock`."""
    if aside.site is not None:
        name = receiver(aside.site)
        owner = aside.site.function.rpartition(".<locals>")[0] or aside.site.function
        cls = owner.rpartition(".")[0].rpartition(".")[2]
        return name.replace("self.", f"{cls}.", 1) if cls and name.startswith("self.") else name
    file, _, line = aside.where.rpartition(":")
    source = linecache.getline(file, int(line)) if line.isdecimal() else ""
    found = _ENTERED.search(source)
    return next(filter(None, found.groups())) if found else f"lock taken at {_shown(file)}:{line}"


def _shown(file: str) -> str:
    """Return how reports call a file: from the current folder if it lies below it."""
    try:
        return Path(file).relative_to(Path.cwd()).as_posix()
    except ValueError:
        return file_name(file)


def _cut(story: Story, count: int) -> None:
    """Leave out the first `count` steps."""
    end = len(story.lane)
    story.cut = count
    for column in (story.lane, story.kind, story.number, story.text, story.place):
        del column[:count]
    story.clock = _since(story.clock, count)
    for curve in story.curves:
        curve[4] = _since(curve[4], count)
    for lane in story.lanes:
        lane[3], lane[4] = max(0, lane[3] - count), max(0, lane[4] - count)
    for spans, place in (
        (story.waits, 1),
        (story.holds, 1),
        (story.stops, 1),
        (story.moments, 0),
    ):
        kept = [span for span in spans if span[place + 1] > count]
        for span in kept:
            span[place] = max(0, span[place] - count)
            span[place + 1] = min(end, span[place + 1]) - count
        spans[:] = kept


def _since(points: Sequence[Sequence[int]], count: int) -> list[list[int]]:
    """Return the points from a step on, the first with the value that it has there."""
    before = [value for index, value in points if index <= count]
    rest = [[index - count, value] for index, value in points if index > count]
    return [[0, before[-1]], *rest] if before else rest


def seconds_at(story: Story, index: int) -> float:
    """Return the virtual time of a step."""
    found = 0
    for step, now_ns in story.clock:
        if step > index:
            break
        found = now_ns
    return to_seconds(found)
