"""Files of reports: refused before anything runs, written as a whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from harness import HarnessError
from harness.report.files import Reports, check_target, write_target
from tests.report.making import crossed, result_with, story_told


@pytest.mark.parametrize(
    ("file", "why"),
    [
        ("missing/report.html", "No such file or directory"),
        (".", "it is a folder"),
        ("", "it is a folder"),
        ("a\0b", "null"),
    ],
)
def test_what_cannot_be_written_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, why: str
) -> None:
    """The line says what was given, why not, and what to do."""
    monkeypatch.chdir(tmp_path)

    with pytest.raises(HarnessError, match=why) as raised:
        check_target("html", file)

    assert "\n" not in str(raised.value)
    assert str(raised.value).endswith("Name a file in a folder that is there.")


def test_to_ask_leaves_no_trace(tmp_path: Path) -> None:
    """A new file is not made by asking, and an old one keeps its content."""
    old = tmp_path / "old.html"
    old.write_text("kept", "utf-8")

    check_target("html", str(tmp_path / "new.html"))
    check_target("html", str(old))

    assert [each.name for each in tmp_path.iterdir()] == ["old.html"]
    assert old.read_text("utf-8") == "kept"


def test_a_disk_that_fills_leaves_the_old_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a page never takes the place of a whole one."""
    old = tmp_path / "report.html"
    old.write_text("kept", "utf-8")

    def fill(self: Path, data: bytes) -> int:
        with self.open("wb") as out:
            out.write(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(HarnessError, match="No space left on device"):
        write_target("html", str(old), "a new page")

    assert old.read_text("utf-8") == "kept"
    assert list(tmp_path.iterdir()) == [old]


def test_a_device_is_written_to(tmp_path: Path) -> None:
    """It has no place beside it."""
    check_target("html", os.devnull)
    write_target("html", os.devnull, "gone")

    with pytest.raises(HarnessError, match="No space left on device"):
        write_target("html", "/dev/full", "too much")


def test_runs_that_nobody_declared_always_have_room(tmp_path: Path) -> None:
    """Caught variants are recorded as long as there is room on the page."""
    reports = Reports(html=str(tmp_path / "report.html"))
    told = story_told(crossed)
    reports.room = len(told.lane)

    assert reports.has_room(as_declared=True)
    reports.add(result_with(told))

    assert not reports.has_room(as_declared=True)
    assert reports.has_room(as_declared=False)
    assert not Reports().has_room(as_declared=False), "nobody wants any"


def test_a_trace_of_nothing_is_told(tmp_path: Path) -> None:
    """Whoever opens an empty picture should know why it is empty."""
    given: dict[str, Any] = {"as_declared": True, "verdict": "holds", "violation": ""}
    reports = Reports(trace=str(tmp_path / "trace.json"))
    reports.add(result_with(None, **given))

    (said,) = reports.write()

    assert said.startswith("nothing has failed")
