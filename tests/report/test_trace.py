"""Trace events: what Perfetto was seen to show, and none of what it passes over without a word."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest

from harness.report.story import Story
from harness.report.trace import trace
from tests.report.making import asked_twice, crossed, story_told, two_at_once

Event = dict[str, Any]


@pytest.fixture(scope="module")
def stories() -> list[Story]:
    """Three failures."""
    return [story_told(each) for each in (asked_twice, crossed, two_at_once)]


@pytest.fixture(scope="module")
def events(stories: list[Story]) -> list[Event]:
    """What is written of them."""
    return list(json.loads(trace(stories))["traceEvents"])


def test_a_failure_is_a_process_and_a_lane_a_track(
    stories: list[Story], events: list[Event]
) -> None:
    """Named, in order, and with numbers of their own: else one is taken for the other."""
    names = [each for each in events if each["name"] == "thread_name"]
    processes = {each["pid"] for each in events}

    assert len(processes) == len(stories)
    assert not processes & {each["tid"] for each in events}
    assert [each["args"]["name"] for each in names if each["pid"] == min(processes)] == [
        "MainThread (thread)",
        "rate-1 (thread)",
        "rate-2 (thread)",
    ]
    order = [each["args"]["sort_index"] for each in events if each["name"] == "thread_sort_index"]
    assert order == [0, 1, 2] * 3


def test_slices_of_a_track_nest(events: list[Event]) -> None:
    """Where two overlapped only in part, one of them would not be shown."""
    tracks: dict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)
    for each in events:
        if each["ph"] == "X":
            assert each["dur"] > 0
            tracks[each["pid"], each["tid"]].append((each["ts"], each["ts"] + each["dur"]))
    assert tracks

    for spans in tracks.values():
        stack: list[float] = []
        for begin, end in sorted(spans, key=lambda span: (span[0], -span[1])):
            while stack and stack[-1] <= begin:
                stack.pop()
            assert not stack or end <= stack[-1]
            stack.append(end)


def test_arrows_end_inside_slices_and_spans_have_numbers(events: list[Event]) -> None:
    """Each arrow has a start and an end; each lock that is held a beginning and an end."""
    slices = [each for each in events if each["ph"] == "X"]
    arrows = [each for each in events if each["ph"] in "sf"]
    assert arrows
    for arrow in arrows:
        assert any(
            (each["pid"], each["tid"]) == (arrow["pid"], arrow["tid"])
            and each["ts"] < arrow["ts"] < each["ts"] + each["dur"]
            for each in slices
        )
        assert arrow["ph"] == "s" or arrow["bp"] == "e"
    by_id: dict[int, list[str]] = defaultdict(list)
    for arrow in arrows:
        by_id[arrow["id"]].append(arrow["ph"])
    assert set(map(tuple, by_id.values())) == {("s", "f")}

    spans = [each for each in events if each["ph"] in "be"]
    assert {each["name"] for each in spans} == {"left held by forward", "right held by backward"}
    assert all(each["id2"]["local"].startswith("0x") for each in spans)


def test_counters_have_value_and_bound(events: list[Event]) -> None:
    """Drawn together, one sees where the one goes over the other."""
    counters = [each for each in events if each["ph"] == "C"]

    found = {(each["name"], *sorted(each["args"].items())) for each in counters}
    assert ("bank: in flight", ("allowed", 1), ("value", 2)) in found
    assert ("bank: calls", ("allowed", 1), ("value", 2)) in found


def test_a_step_says_where_it_is(events: list[Event]) -> None:
    """File, line and source go with it, and when it was."""
    steps = [each for each in events if each.get("cat") == "step" and "source" in each["args"]]

    assert any(each["args"]["source"] == "value = self.ask(currency)" for each in steps)
    assert all({"at", "step", "virtual_ns"} <= set(each["args"]) for each in steps)


def test_no_failure_is_an_empty_trace() -> None:
    """It is still a file that can be opened."""
    assert json.loads(trace([]))["traceEvents"] == []
