"""Files of shares are one result; tables, JSON and JUnit say the same of it."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import cli
from harness.campaign.ledger import Ledger
from harness.campaign.merge import Merged
from harness.campaign.outcomes import Outcome, not_run
from harness.campaign.results import Filter, JUnit, Results, as_json, table_row
from harness.campaign.stress import planned
from harness.errors import HarnessError
from tests.campaign.making import kept, outcome, plan, units, written


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A finished campaign in which one cell violates where it must hold."""
    made = plan()
    return written(tmp_path / "campaign.sqlite", made, [failing(unit) for unit in units(made)])


def failing(unit: object) -> Outcome:
    """Return what a shard comes to; those of `full` see a deadlock."""
    made = outcome(unit)  # type: ignore[arg-type]  # a unit
    if not made.unit.scenario.endswith("full"):
        return made
    [failure] = outcome(units(plan())[5]).failures
    found = replace(failure, check="Deadlock", text="Violation: \x1b a <deadlock> & more")
    return replace(made, verdict="Deadlock", violating={"Deadlock": 2}, failures=(found,))


def suite_of(results: Results) -> ElementTree.Element:
    """Return the one suite of what JUnit XML says of results."""
    made = JUnit()
    for cell in results.merged():
        made.add(cell)
    return ElementTree.fromstring(made.text())[0]  # noqa: S314 - our own


@given(st.lists(st.sets(st.integers(0, 14)), min_size=1, max_size=3), st.randoms())
@settings(max_examples=8)
def test_files_merge_exactly(
    tmp_path_factory: pytest.TempPathFactory, dealt: list[set[int]], random: object
) -> None:
    """However shards are dealt over files, some into several: each is counted once."""
    folder = tmp_path_factory.mktemp("shares")
    made = plan()
    dealt = [*dealt, set(range(15)) - set().union(*dealt)]
    files = [
        written(
            folder / f"{number}.sqlite",
            replace(made, share=(number + 1, len(dealt))),
            [failing(units(made)[place]) for place in sorted(places)],
        )
        for number, places in enumerate(dealt)
    ]
    whole = written(folder / "whole.sqlite", made, [failing(unit) for unit in units(made)])
    random.shuffle(files)  # type: ignore[attr-defined]  # of Hypothesis

    with Results(files) as several, Results([whole]) as one:
        assert [*map(as_json, several.merged())] == [*map(as_json, one.merged())]
        several.write(folder / "merged.sqlite")
    assert kept(folder / "merged.sqlite") == kept(whole)


def test_cells_are_chosen(path: Path) -> None:
    """By scenario, class or verdict."""
    with Results([path]) as results:
        names = [
            [cell.declared.name for cell in results.merged(chosen)]
            for chosen in (
                Filter("cold"),
                Filter(class_name="CheckThenAct"),
                Filter(verdict="Deadlock"),
                Filter("cold", verdict="Deadlock"),
            )
        ]

    assert names == [
        ["cold_key[SingleFlight]", "cold_key[CheckThenAct]"],
        ["cold_key[CheckThenAct]"],
        ["full"],
        [],
    ]


def test_a_table_says_what_is_not_as_declared(path: Path) -> None:
    """One row for each cell."""
    with Results([path]) as results:
        rows = [table_row(cell) for cell in results.merged()]

    assert [row[2:] for row in rows] == [
        ["SingleFlight", "", "holds", "holds", "0/1,000", "5/5", ""],
        ["CheckThenAct", "R1", "MaxInFlight", "MaxInFlight", "5/15", "5/5", ""],
        ["", "", "holds", "Deadlock", "10/1,000", "5/5", "NOT AS DECLARED"],
    ]


def test_junit_has_a_case_for_each_cell(path: Path) -> None:
    """With the token as a property, and the verdict of a failure, whatever is in it."""
    with Results([path]) as results:
        suite = suite_of(results)

    cases = {case.attrib["name"]: case for case in suite}
    assert suite.attrib["tests"] == "3"
    assert (suite.attrib["failures"], suite.attrib["errors"]) == ("1", "0")
    assert list(cases["cold_key[SingleFlight]"]) == []
    [token] = cases["cold_key[CheckThenAct]"].iter("property")
    assert token.attrib == {"name": "harness.replay", "value": "t1:abc"}
    [failure] = cases["full"].iter("failure")
    assert "declared to hold, violated Deadlock on 10 of 1000" in failure.attrib["message"]
    assert failure.text == "Violation: � a <deadlock> & more"


def test_the_command_prints_and_writes(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """JSON alone on stdout; a table with what is wrong; files beside."""
    as_text = cli.main(["results", str(path), "--junit", str(tmp_path / "junit.xml")])
    text = capsys.readouterr().out
    as_data = cli.main(["results", str(path), "--json", "--verdict", "holds"])
    data = json.loads(capsys.readouterr().out)
    merged = cli.main(["results", str(path), "--merge", str(tmp_path / "all.sqlite")])

    assert (as_text, as_data, merged) == (1, 0, 1)
    assert "storms.py::full: declared to hold, violated Deadlock on 10 of 1000 schedules." in text
    assert "2 of 3 cells as declared; 2,015 schedules" in text
    assert [(each["class"], each["schedules"], each["traces"]) for each in data] == [
        ("SingleFlight", 1_000, 6)
    ]
    assert (tmp_path / "junit.xml").is_file()
    assert kept(tmp_path / "all.sqlite") == kept(path)


def test_github_is_told_at_its_scenario_what_is_not_as_declared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside JSON, on stderr; a file that knows no lines names the file alone."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    made = plan()
    lines = replace(made, cells=tuple(replace(cell, line=7) for cell in made.cells))
    told = {}
    for name, kind in (("new", lines), ("old", made)):
        file = written(tmp_path / f"{name}.sqlite", kind, [failing(unit) for unit in units(made)])
        assert cli.main(["results", str(file), "--json"]) == 1
        out, err = capsys.readouterr()
        assert json.loads(out)
        [told[name]] = err.splitlines()

    assert told["new"].startswith(
        "::error file=storms.py,line=7,title=full::storms.py::full: declared to hold, violated "
        "Deadlock on 10 of 1000 schedules.%0AViolation: "
    )
    assert told["old"] == told["new"].replace(",line=7", "")


def test_a_line_that_has_moved_is_the_same_cell(path: Path, tmp_path: Path) -> None:
    """Whoever writes a comment above a scenario can go on with its campaign."""
    made = plan()
    moved = replace(made, cells=tuple(replace(cell, line=9) for cell in made.cells))
    other = written(tmp_path / "other.sqlite", moved, [])

    with Ledger(path) as ledger:
        assert planned(moved, ledger, resume=True) == made
    with Results([path, other]) as results:
        assert len(results.cells) == 3


def test_a_cell_with_missing_shards_is_no_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One share alone says so."""
    made = plan(share=(1, 2))
    done = [outcome(unit) for unit in units(made)[:8]]
    path = written(tmp_path / "1.sqlite", made, done)

    code = cli.main(["results", str(path)])

    said = capsys.readouterr().out
    assert code == 1
    assert "storms.py::cold_key with CheckThenAct: 2 of 5 shards are missing." in said
    assert "\n1 of 3 cells as declared, 2 unfinished; 1,009 schedules, " in said
    assert "s of work. 7 shards are missing.\n" in said
    assert "This is shard 1/2: results FILE FILE … shows all 2 together." in said


def test_a_cell_of_which_something_is_known_to_be_wrong_is_not_unfinished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The shards that are missing cannot mend it."""
    made = plan()
    violated = next(unit for unit in units(made) if unit.scenario.endswith("full"))
    done = [not_run(units(made)[0], "it could not be"), failing(violated)]

    cli.main(["results", str(written(tmp_path / "a.sqlite", made, done))])

    assert "\n0 of 3 cells as declared, 1 unfinished; " in capsys.readouterr().out


@pytest.mark.parametrize(("is_crash", "code"), [(False, 2), (True, 1)])
def test_what_could_not_be_run_is_told_as_by_stress(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, is_crash: bool, code: int
) -> None:
    """Of it nothing is known; of what ends its process that much is."""
    made = plan()
    first, *others = units(made)
    problem = not_run(first, "it could not be", is_crash=is_crash)
    path = written(tmp_path / "a.sqlite", made, [problem, *(outcome(unit) for unit in others)])

    assert cli.main(["results", str(path)]) == code
    assert "it could not be" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"settings": {**plan().settings, "seed": 1}}, "was made with seed=1, and"),
        ({"versions": "pypy"}, "was made with versions='pypy', and"),
        (
            {"cells": (replace(plan().cells[0], caught_by=("Calls",)),)},
            "has storms.py::cold_key[SingleFlight] declared Calls, and another file holds",
        ),
    ],
)
def test_files_of_different_campaigns_are_refused(
    path: Path, tmp_path: Path, changed: dict[str, object], why: str
) -> None:
    """One line says in what they differ."""
    other = written(tmp_path / "other.sqlite", plan(**changed), [])

    with pytest.raises(HarnessError) as caught:
        Results([path, other])

    assert str(caught.value).startswith(f"{other} {why}")


def test_files_of_different_code_are_refused(path: Path, tmp_path: Path) -> None:
    """Also where the very same shard was run by both."""
    first = units(plan())[0]
    other = written(tmp_path / "other.sqlite", plan(), [outcome(first, fingerprint="abd")])

    with Results([path, other]) as results, pytest.raises(HarnessError) as caught:
        list(results.merged())

    assert "is of other code (abd) than shard 1 (abc)" in str(caught.value)


def test_what_cannot_be_shown_is_told(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line each, and exit code 2."""
    with Ledger(tmp_path / "empty.sqlite"):
        pass
    for words, why in (
        ([str(path), "--class", "Nobody"], "no cell is like that."),
        ([str(tmp_path / "none.sqlite")], "none.sqlite is not there."),
        ([str(tmp_path / "empty.sqlite")], "empty.sqlite holds no campaign yet."),
        ([str(path), "--junit", str(tmp_path)], "cannot be written: it is a folder."),
        ([str(path), "--merge", str(path)], "is there already. Name a new file."),
    ):
        assert cli.main(["results", *words]) == 2
        [line] = capsys.readouterr().err.strip().splitlines()
        assert why in line


def test_a_campaign_is_not_written_over(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not by the report that is made of it, whatever it is called there."""
    link = tmp_path / "junit.xml"
    link.symlink_to(path)
    before = path.read_bytes()

    for name in (path, link):
        assert cli.main(["results", str(path), "--junit", str(name)]) == 2
        assert "is a campaign that is shown: it would be lost." in capsys.readouterr().err

    assert path.read_bytes() == before


def test_half_of_a_merged_file_is_none(
    path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where there is no room, nothing is left; with room it can be written under that name."""
    merge = ["results", str(path), "--merge", str(tmp_path / "all.sqlite")]
    before = sorted(tmp_path.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "add", raising(HarnessError("the disk is full.")))
        assert cli.main(merge) == 2
    assert sorted(tmp_path.iterdir()) == before

    assert cli.main(merge) == 1
    assert kept(tmp_path / "all.sqlite") == kept(path)
    assert [each for each in tmp_path.iterdir() if each.name.endswith(".part")] == []


def raising(exc: Exception) -> Callable[..., None]:
    """Return a function that raises."""

    def fail(*_: object) -> None:
        raise exc

    return fail


@pytest.mark.parametrize("words", [[], ["--json"], ["--junit", "junit.xml"]])
def test_cells_are_judged_one_at_a_time(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """All that the shards of a long campaign have found would be too much at once."""
    monkeypatch.chdir(tmp_path)
    merged, alive = Results.merged, []
    gc.collect()
    others = {id(each) for each in gc.get_objects() if type(each) is Merged}

    def counted(results: Results, chosen: Filter) -> Iterator[Merged]:
        for cell in merged(results, chosen):
            found = (id(each) for each in gc.get_objects() if type(each) is Merged)
            alive.append(len(set(found) - others))
            yield cell

    monkeypatch.setattr(Results, "merged", counted)
    cli.main(["results", str(path), *words])

    assert len(alive) == 3
    # That which was judged last is let go when the next is there.
    assert max(alive) <= 2


def test_a_crash_is_an_error_in_junit(tmp_path: Path) -> None:
    """Not a failure: nothing is known of that cell."""
    crash = not_run(units(plan())[0], "SIGKILL", is_crash=True)
    path = written(tmp_path / "campaign.sqlite", plan(), [crash])

    with Results([path]) as results:
        suite = suite_of(results)

    assert (suite.attrib["errors"], suite.attrib["failures"]) == ("1", "2")
    assert "shard 1 of 5: SIGKILL" in next(suite.iter("error")).attrib["message"]
