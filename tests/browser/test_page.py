"""What a reader of the page can do: find a failure, see who did what when, and look into it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.report.page import page
from harness.report.story import GAUGE
from tests.browser.conftest import Opened
from tests.museum.programs.asyncio_and_mixed import lock_of_two_loops
from tests.report.making import (
    NASTY,
    asked_twice,
    crossed,
    long_story,
    result_with,
    story_told,
    tried_again,
    two_at_once,
)
from tests.report.test_story_steps import stop_at

pytestmark = pytest.mark.browser

#: What an event says of the debugger.
STOPS = re.compile(
    r"--stop-at (?P<asked>\d+) stops (?:here|where it came to this, before others went on"
    r"|[^:]+: (?P<where>.+))\.$"
)
#: Milliseconds until the first failure of the largest file is there.
SHOWN_MAX = 3_000


def one(driver: Any, selector: str) -> Any:
    """Return what a selector finds in the failure that is shown, or else on the overview."""
    found = driver.find_elements("css selector", f"article:not([hidden]) {selector}")
    return (found or driver.find_elements("css selector", selector))[0]


def keys(driver: Any, text: str) -> None:
    """Press keys in the timeline."""
    lanes = one(driver, ".lanes")
    driver.execute_script("arguments[0].focus()", lanes)
    lanes.send_keys(text)


def test_a_failure_a_lane_and_a_switch_can_be_clicked(opened: Opened) -> None:
    """From the list to the failure; then the page tells what a lane did, and why it stopped."""
    told = [story_told(asked_twice), story_told(crossed)]
    results = [
        result_with(told[0], violation="Violation: 'bank' was called 2 times, allowed exactly 1."),
        result_with(told[1], scenario="crossed", verdict="Deadlock", violation=told[1].summary),
    ]
    driver = opened(page(results))
    assert "2 of 2 cells not as declared" in one(driver, "header").text

    one(driver, 'a.card[href="#f2"]').click()
    assert "wait for each other" in one(driver, "h2").text

    lane = next(
        each
        for each in driver.find_elements("css selector", "article:not([hidden]) .lane")
        if "backward" in each.text
    )
    lane.click()
    detail = one(driver, ".detail").text
    assert "backward" in detail
    assert "waits for left, held by forward, to the end" in detail
    assert "Held" in detail
    assert "right, for" in detail

    one(driver, ".marker.stop").click()
    detail = one(driver, ".detail").text
    assert "with left" in detail
    assert "Before it does this, backward has to stop, and others go on." in detail
    assert "stops here." in detail


@pytest.mark.one_ground
@pytest.mark.parametrize("program", [asked_twice, two_at_once, lock_of_two_loops])
def test_the_debugger_stops_where_each_event_says(
    opened: Opened, program: Callable[[Any], Any]
) -> None:
    """Here, where it came to this before, or at another step that is named."""
    from selenium.webdriver import Keys

    told = story_told(program)
    driver = opened(page([result_with(told)]), "#f1")
    keys(driver, Keys.HOME)

    for index, place in enumerate(told.place):
        hint = STOPS.search(one(driver, ".detail").text)
        assert hint is not None
        step, who, file, line = stop_at(told.token, int(hint["asked"]))
        if hint["where"]:
            assert hint["where"] == f"step {step}, {who} at {file}:{line}"
        else:
            shown, number = told.places[place]
            name = told.lanes[told.lane[index]][0]
            assert (step, who, file, line) == (int(hint["asked"]), name, Path(shown).name, number)
        keys(driver, Keys.ARROW_RIGHT)


def test_a_task_a_fault_and_a_curve_can_be_clicked(opened: Opened) -> None:
    """The lane tells what a task ran, the triangle what struck, the curve how many were inside."""
    from selenium.webdriver import ActionChains

    driver = opened(page([result_with(story_told(tried_again))]), "#f1")

    def click_the_curve(from_middle: float) -> str:
        curve = one(driver, ".curves canvas")
        right = round(curve.size["width"] * from_middle)
        ActionChains(driver).move_to_element_with_offset(curve, right, 0).click().perform()
        return str(one(driver, ".curves .side").text)

    lane = next(
        each
        for each in driver.find_elements("css selector", "article:not([hidden]) .lane")
        if each.text.startswith("euro")
    )
    lane.click()
    of_lane = one(driver, ".detail").text
    one(driver, ".marker.fault").click()
    of_fault = one(driver, ".detail").text
    before, after = click_the_curve(-0.48), click_the_curve(0.48)

    assert of_lane.startswith("Task\neuro\n")
    assert "Ran" in of_lane
    assert "ConnectionError struck euro at call 1 of 'bank'" in of_fault
    assert before == "bank\nin flight: 0 here, 2 at most"
    assert after == "bank\nin flight: 2 here, 2 at most"
    assert "'bank' had 2 calls in flight, allowed 1." in one(driver, ".detail").text


def test_only_before_a_point_somebody_has_to_stop(opened: Opened) -> None:
    """Whatever else comes before a stop, such as an entry into a pool, has been done."""
    told = story_told(asked_twice)
    entry = told.kind.index(GAUGE)
    told.stops = [[told.lane[entry], entry + 1, entry + 2]]

    driver = opened(page([result_with(told)]), "#f1")

    assert "enters 'bank'" in one(driver, ".order").text
    assert "has to stop before" not in one(driver, ".order").text


def test_keys_do_what_the_mouse_does(opened: Opened) -> None:
    """From step to step, from one numbered moment to the next, and to both ends."""
    driver = opened(page([result_with(story_told(asked_twice))]))
    one(driver, ".detail")
    from selenium.webdriver import Keys

    keys(driver, Keys.HOME)
    first = one(driver, ".detail").text
    keys(driver, Keys.ARROW_RIGHT)
    second = one(driver, ".detail").text
    keys(driver, "n")
    moment = one(driver, ".why [aria-current=true]").text
    keys(driver, Keys.END)

    assert first.startswith("Step 2\n")
    assert second != first
    assert moment.startswith("1")
    assert "'bank' was called 2 times" in one(driver, ".detail").text


def test_the_source_line_is_told_where_the_pointer_is(opened: Opened) -> None:
    """Over a step: whose it is, what it does, and the line it stands in."""
    from selenium.webdriver import ActionChains

    driver = opened(page([result_with(story_told(two_at_once))]))
    canvas = one(driver, ".sheet canvas")
    width = canvas.size["width"]

    # The first step of the run, in the first lane.
    ActionChains(driver).move_to_element_with_offset(
        canvas, 12 - width // 2, 27 - canvas.size["height"] // 2
    ).perform()

    tip = one(driver, ".tip").text
    assert "MainThread" in tip
    assert "making.py" in tip
    assert "rates = Rates(bank.call)" in tip


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_on_its_ground(opened: Opened, scheme: str) -> None:
    """Every colour of text has a contrast of 4.5 to 1 at least, by the measure of WCAG 2."""
    driver = opened(page([result_with(story_told(asked_twice))]))
    feature = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    found = driver.execute_script(
        """
        const style = getComputedStyle(document.documentElement);
        const light = (name) => {
          const pen = document.createElement("canvas").getContext("2d");
          pen.fillStyle = style.getPropertyValue(`--${name}`).trim();
          pen.fillRect(0, 0, 1, 1);
          const [r, g, b] = [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3).map((each) => {
            const value = each / 255;
            return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
          });
          return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        return arguments[0].map(([text, ground]) => {
          const [a, b] = [light(text), light(ground)];
          return [text, ground, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
        });
        """,
        [
            *([text, ground] for text in ("text", "dim") for ground in ("page", "panel", "sunk")),
            *([text, "panel"] for text in ("accent", "good", "bad", "stop", "hold", "bound")),
            ["good", "good-soft"],
            ["bad", "bad-soft"],
            ["key-text", "key"],
            ["turn-text", "turn"],
            ["panel", "stop"],
            ["panel", "bad"],
            ["dim", "wait-soft"],
        ],
    )
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})

    assert [each for each in found if each[2] < 4.5] == []


def test_nasty_texts_are_texts(opened: Opened) -> None:
    """Whatever code and exceptions say, it ends no script and makes no element."""
    told = story_told(asked_twice)
    told.texts = [NASTY] * len(told.texts)
    told.summary = NASTY
    nasty = dict.fromkeys(("scenario", "component", "claim", "violation", "path"), NASTY)

    driver = opened(page([result_with(told, **nasty)], title=NASTY), "#f1")

    assert "</script>" in one(driver, ".detail").text
    assert driver.find_elements("css selector", "article b b, .detail > b") == []


def test_the_largest_file_is_there_at_once(opened: Opened) -> None:
    """A file with 100,000 steps shows its first failure in three seconds, and all of it at will."""
    driver = opened(page([result_with(long_story(100_000))]), "#f1")

    shown = driver.execute_async_script(
        "requestAnimationFrame(() => requestAnimationFrame(() => arguments[0](performance.now())))"
    )

    assert "allowed 1" in one(driver, ".detail").text
    assert shown < SHOWN_MAX


def test_nothing_is_asked_of_the_network(opened: Opened) -> None:
    """The page has loaded nothing but itself, and would not be let."""
    driver = opened(page([result_with(story_told(asked_twice))]))

    loaded = driver.execute_script(
        "return performance.getEntriesByType('resource').map((each) => each.name)"
    )

    assert loaded == []
    policy = driver.find_element("css selector", "meta[http-equiv=Content-Security-Policy]")
    assert "default-src 'none'" in policy.get_attribute("content")
