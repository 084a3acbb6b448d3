"""A step has one number: that of the verdict, of `--stop-at`, and of every form of a story."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from harness import cli
from harness.report.story import BACK, POINT, Story
from harness.report.trace import trace
from tests.museum.programs.asyncio_and_mixed import lock_of_two_loops, lost_update_across_await
from tests.report.making import asked_twice, story_told

pytestmark = pytest.mark.one_ground

README = Path(__file__).parents[2] / "README.md"
STOPPED = re.compile(r"step (\d+), (.+), before this:\n> (.+)\((\d+)\)")
STORY = re.compile(r'id="story-1">(.*?)</script>', re.DOTALL)

#: Step, who is about to take it, file and line.
Stop = tuple[int, str, str, int]


def stop_at(token: str, step: int) -> Stop:
    """Return where the debugger stops."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), mock.patch("sys.stdin", io.StringIO("continue\n")):
        assert cli.main(["replay", token, "--stop-at", str(step)]) == cli.NOT_AS_DECLARED
    found = STOPPED.search(said.getvalue())
    assert found is not None, said.getvalue()
    number, who, file, line = found.groups()
    return int(number), who, Path(file).name, int(line)


def shown(told: Story, index: int) -> Stop:
    """Return what the page says of an event."""
    file, line = told.places[told.place[index]]
    return told.number[index], told.lanes[told.lane[index]][0], Path(file).name, line


def points(told: Story) -> list[int]:
    """Return the events that are scheduling points in the code under test."""
    columns = enumerate(zip(told.kind, told.place, strict=True))
    return [index for index, (kind, place) in columns if kind == POINT and place >= 0]


def example_of_the_readme(folder: Path) -> Story:
    """Return the story on the page of the first example of the README."""
    code = re.search(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert code is not None
    (folder / "test_rates.py").write_text(code[1], "utf-8")
    with contextlib.redirect_stdout(io.StringIO()):
        cli.main(["run", "test_rates.py", "--html", "report.html"])
    story = STORY.search((folder / "report.html").read_text("utf-8"))
    assert story is not None
    return Story.from_json(json.loads(story[1]))


@pytest.fixture(params=["README", asked_twice, lost_update_across_await, lock_of_two_loops])
def told(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Story:
    """A failure of threads, of tasks, of both."""
    program: str | Callable[[Any], Any] = request.param
    if callable(program):
        return story_told(program)
    monkeypatch.chdir(tmp_path)
    return example_of_the_readme(tmp_path)


def test_the_debugger_stops_where_the_page_says(told: Story) -> None:
    """For every number: at the event that has it, else at the next one before which it can stop."""
    places = {told.number[index]: shown(told, index) for index in reversed(points(told))}

    for step in range(1, told.number[-1] + 1):
        expected = next((places[each] for each in sorted(places) if each >= step), None)
        assert stop_at(told.token, step) == (expected or places[max(places)])


def test_who_goes_on_is_found_where_it_was_stopped(told: Story) -> None:
    """What somebody does late has a place of its own: where it stands, in the step before which."""
    for index, kind in enumerate(told.kind):
        if kind == BACK:
            before = max(each for each in range(index) if told.lane[each] == told.lane[index])
            assert before in points(told)
            assert shown(told, before)[1:] == shown(told, index)[1:]
            assert stop_at(told.token, told.number[before]) == shown(told, before)


def test_the_verdict_is_in_the_step_that_it_names(told: Story) -> None:
    """Numbers go up to it, also where the run has left the code under test."""
    when = next(text for label, text in told.rows if label == "when")

    assert f"step {told.number[-1]}," in f"{when},"
    assert told.number == sorted(told.number)


def test_no_step_is_told_of_two_who_did_something(told: Story) -> None:
    """It is one's; only who had to stop or wait before it has its number, too."""
    whose: dict[int, str] = {}
    held = {(lane, begin - 1) for lane, begin, *_ in [*told.stops, *told.waits]}
    for index, number in enumerate(told.number[:-1]):
        lane = told.lane[index]
        if (lane, index) not in held:
            name = told.lanes[lane][0]
            assert whose.setdefault(number, name) == name


def test_trace_events_have_the_numbers_of_the_page(told: Story) -> None:
    """In the arguments of its slices."""
    events = json.loads(trace([told]))["traceEvents"]
    steps = [each["args"]["step"] for each in events if each.get("cat") == "step"]

    assert steps == told.number
