"""Writes stories as trace events, the JSON that Perfetto and chrome://tracing open.

    a process a failure ─► a track a thread or task ─► slices: turns, the events in them, waits
                        ─► counters: how many were inside ─► arrows: from one who had to stop to
                                                              who went on instead

One event takes one microsecond of the picture: virtual time stands still while most of a run
happens, so it goes into the arguments. Only ways of saying it that Perfetto was seen to show are
used: flows end inside slices, asynchronous spans have numbers for ids, no track has the number of
its process.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from .story import DRAW, FAULT, VIOLATION, Story

#: A process whose number is that of one of its tracks is taken for the track.
_FIRST_PROCESS: Final = 1_000_000

Event = dict[str, Any]


def trace(stories: Sequence[Story]) -> str:
    """Return the JSON of these stories, one process each."""
    events = [
        event
        for number, story in enumerate(stories)
        for event in _events(story, _FIRST_PROCESS + number, number)
    ]
    # One a line, so that a large file can be looked at with the tools for lines.
    lines = [json.dumps(event, ensure_ascii=True, separators=(",", ":")) for event in events]
    joined = ",\n".join(lines)
    return f'{{"displayTimeUnit":"ns","traceEvents":[\n{joined}\n]}}\n'


def _events(story: Story, process: int, number: int) -> Iterator[Event]:
    name = story.scenario.rpartition("::")[2]
    title = f"{name}[{story.class_name}]" if story.class_name else name
    yield _named("process_name", process, 0, name=f"{title}: {story.check}")
    yield _named("process_sort_index", process, 0, sort_index=number)
    labels = {"labels": story.summary}
    yield {"ph": "M", "name": "process_labels", "pid": process, "tid": 0, "args": labels}
    for lane, (who, kind, *_) in enumerate(story.lanes):
        yield _named("thread_name", process, lane + 1, name=f"{who} ({kind})")
        yield _named("thread_sort_index", process, lane + 1, sort_index=lane)
    yield from _turns(story, process)
    yield from _spans(story, process, number)
    yield from _counters(story, process)
    yield from _arrows(story, process, number)


def _named(kind: str, process: int, track: int, **what: Any) -> Event:
    return {"ph": "M", "name": kind, "pid": process, "tid": track, "args": what}


def _turns(story: Story, process: int) -> Iterator[Event]:
    clock, now_ns = iter(story.clock), 0
    moves = next(clock, None)
    begin, length = 0, len(story.lane)
    for index in range(length):
        while moves is not None and moves[0] <= index:
            now_ns, moves = moves[1], next(clock, None)
        lane = story.lane[index]
        if index == begin:
            end = index + 1
            while end < length and story.lane[end] == lane:
                end += 1
            yield _slice("turn", lane, begin, end, process, name=story.lanes[lane][0])
            begin = end
        args: Event = {"step": story.number[index], "virtual_ns": now_ns}
        if story.place[index] >= 0:
            file, line = story.places[story.place[index]]
            args["at"] = f"{file}:{line}"
            args["source"] = story.sources.get(file, {}).get(str(line), "").strip()
        text = story.texts[story.text[index]]
        yield _slice("step", lane, index, index + 1, process, name=text, args=args)
        if story.kind[index] in (FAULT, DRAW, VIOLATION):
            scope = "p" if story.kind[index] == VIOLATION else "t"
            yield {
                **_at("i", lane, index, process),
                "name": text,
                "cat": "violation" if story.kind[index] == VIOLATION else "fault",
                "s": scope,
            }


def _at(phase: str, lane: int, index: float, process: int) -> Event:
    return {"ph": phase, "pid": process, "tid": lane + 1, "ts": index}


def _slice(kind: str, lane: int, begin: int, end: int, process: int, **more: Any) -> Event:
    return {**_at("X", lane, begin, process), "dur": end - begin, "cat": kind, **more}


def _spans(story: Story, process: int, number: int) -> Iterator[Event]:
    for lane, begin, end, text, place, owner in story.waits:
        args: Event = {}
        if place >= 0:
            file, line = story.places[place]
            args["at"] = f"{file}:{line}"
        if owner:
            args["held by"] = owner
        # A wait that nobody ends goes on to the end, where the verdict is told in one of the lanes.
        stop = end
        while stop > begin and story.lane[stop - 1] == lane:
            stop -= 1
        if stop > begin:
            yield _slice("wait", lane, begin, stop, process, name=story.texts[text], args=args)
    for lane, begin, end in story.stops:
        yield _slice("stop", lane, begin, end, process, name="held back, though it could go on")
    for index, (lane, begin, end, lock) in enumerate(story.holds, 1):
        # A number of its own, and in hexadecimal: others are passed over without a word.
        id_ = {"local": f"0x{number * len(story.lane) + index:x}"}
        name = f"{story.locks[lock]} held by {story.lanes[lane][0]}"
        for phase, at in (("b", begin), ("e", end)):
            yield {**_at(phase, lane, at, process), "cat": "lock", "name": name, "id2": id_}


def _counters(story: Story, process: int) -> Iterator[Event]:
    for name, kind, bound, _, points in story.curves:
        title = f"{name}: {'calls' if kind == 'calls' else 'in flight'}"
        for index, value in [[0, 0], *points]:
            args = {"value": value} if bound is None else {"value": value, "allowed": bound}
            yield {
                "ph": "C",
                "pid": process,
                "tid": 0,
                "ts": index,
                "name": title,
                "args": args,
            }


def _arrows(story: Story, process: int, number: int) -> Iterator[Event]:
    pairs = zip(story.moments, story.moments[1:], strict=False)
    for index, ((_, end, lane, kind, text), (begin, _, other, following, _)) in enumerate(pairs, 1):
        if lane == other or "fault" in (kind, following) or following == "violation":
            continue
        id_ = number * len(story.lane) + index
        # Inside the slices that they join.
        start = {**_at("s", lane, end - 0.5, process), "id": id_, "cat": "switch", "name": text}
        stop = {**_at("f", other, max(begin, end) + 0.5, process), "id": id_, "cat": "switch"}
        yield start
        yield {**stop, "name": text, "bp": "e"}
