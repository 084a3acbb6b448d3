"""The page: one file that needs no other, the same for the same results, safe whatever they say."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from harness.report.page import page
from tests.report.making import NASTY, crossed, long_story, result_with, story_told


class _Reader(HTMLParser):
    """Reads a page: its elements, and the text of each script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[str, str]] = []
        self.text = ""
        self._in = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in = dict(attrs).get("id") or "" if tag == "script" else tag

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._in = ""

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] == "script" and self.lasttag == "script":
            self.scripts.append((self._in, data))
        self.text += data


def test_it_needs_nothing_else() -> None:
    """No element loads anything, and the browser is told not to let one."""
    read = _Reader(page([result_with(story_told(crossed))]))

    for tag, attributes in read.elements:
        assert not {"src", "srcset", "data", "poster", "action"} & set(attributes), tag
        assert tag not in ("link", "iframe", "img", "object", "base")
        assert (attributes.get("href") or "#").startswith("#")
    assert not re.search(r"@import|url\(", page([]))
    policies = [each.get("content") or "" for _, each in read.elements if "http-equiv" in each]
    assert policies[0].startswith("default-src 'none'")


def test_equal_results_give_equal_bytes() -> None:
    """No date, no folder, no address: a page can be compared and kept."""
    made = [page([result_with(story_told(crossed))]) for _ in range(2)]

    assert made[0] == made[1]
    assert not re.search(r"\b20\d\d-\d\d|0x[0-9a-f]{6}", made[0])
    assert str(Path.cwd()) not in made[0]


def test_texts_cannot_leave_their_place() -> None:
    """An exception that says `</script>` ends none, and an attribute stays one."""
    told = story_told(crossed)
    told.texts = [NASTY] * len(told.texts)
    told.places = [[NASTY, 1] for _ in told.places]
    plain = page([result_with(told)])
    names = ("scenario", "component", "class_name", "row", "claim", "violation", "path", "token")
    nasty = dict.fromkeys(names, NASTY) | {"expected": (NASTY,), "verdict": NASTY}

    read = _Reader(page([result_with(told, **nasty)], title=NASTY))

    assert "\u2028" not in plain
    known = {tag for tag, _ in _Reader(plain).elements}
    assert {tag for tag, _ in read.elements} <= known | {"small", "b"}
    assert len([tag for tag, _ in read.elements if tag == "script"]) == 2
    (story,) = [text for name, text in read.scripts if name == "story-1"]
    assert json.loads(story)["texts"][0] == NASTY


def test_half_a_character_can_be_written() -> None:
    """What an exception says need not be Unicode; the page is."""
    told = story_told(crossed)
    told.summary = "broken \ud800 é"

    text = page([result_with(told, violation="Violation: \ud800")])

    text.encode("utf-8")
    (story,) = [text for name, text in _Reader(text).scripts if name == "story-1"]
    assert json.loads(story)["summary"] == "broken \ud800 é"


def test_a_hundred_thousand_steps_are_less_than_30_mb() -> None:
    """What a campaign brings home can be sent by mail."""
    text = page([result_with(long_story(100_000))])

    assert len(text.encode()) < 30_000_000


def test_the_matrix_has_a_row_a_scenario_and_a_column_a_class() -> None:
    """Marks say what was declared and what came; a failure is a link to its own section."""
    given: dict[str, Any] = {"subject": "Reader", "as_declared": True}
    results = [
        result_with(None, **given | {"class_name": name, "verdict": verdict} | more)
        for name, verdict, more in (
            ("Reader", "holds", {"violation": "", "token": ""}),
            ("AsksTwice", "Calls", {"expected": ("Calls",), "row": "R2"}),
            ("Survivor", "holds", {"violation": "", "token": ""}),
            ("Wrong", "Calls", {"as_declared": False}),
        )
    ]

    text = page(results)

    cells = re.findall(r'<(a|span) class="cell (\w+)"(?: href="#(f\d)")? title', text)
    assert cells == [
        ("span", "holds", ""),
        ("a", "caught", "f2"),
        ("span", "holds", ""),
        ("a", "wrong", "f1"),
    ]
    assert re.findall(r'<th scope="col" class="(\w+)"', text) == [
        "subject",
        "variant",
        "missed",
        "missed",
    ]
    assert "1 of 4 cells not as declared" in text
    assert "1 of 3</dd>" in text, "variants caught"


def test_without_results_it_says_so() -> None:
    """A run of nothing is no success."""
    assert "nothing was run" in page([])


def test_a_failure_without_story_has_its_verdict() -> None:
    """Once the page is full, what is left is told in words."""
    text = page([result_with(None)])

    assert "No timeline was recorded" in text
    assert '<details class="verdict" open>' in text
    assert "python -m harness replay t1:token" in text
