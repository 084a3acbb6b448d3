"""The file of a campaign keeps what is in it, whatever happens to it, and says so in one line."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.campaign import ledger as module
from harness.campaign.ledger import VERSION, Ledger
from harness.campaign.outcomes import not_run
from harness.campaign.stress import planned
from harness.errors import HarnessError
from tests.campaign.making import CELLS, kept, outcome, plan, units, written


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with three shards of fifteen."""
    made = plan()
    return written(tmp_path / "campaign.sqlite", made, [outcome(unit) for unit in units(made)[:3]])


def test_plan_and_outcomes_come_back_as_they_were(path: Path) -> None:
    """Also for a reader while somebody writes."""
    made = plan()

    with Ledger(path) as writer, Ledger(path, is_read_only=True) as reader:
        writer.add([outcome(units(made)[3])])

        assert reader.plan == made
        assert list(reader.outcomes(CELLS[0].key)) == [outcome(unit) for unit in units(made)[:4]]
        assert reader.done() == {(CELLS[0].key, index) for index in range(4)}


def test_it_is_one_file_when_nobody_writes(path: Path) -> None:
    """So that it can be copied, and read where nothing can be written."""
    assert {each.name for each in path.parent.iterdir()} == {
        "campaign.sqlite",
        "campaign.sqlite-lock",
    }


def test_what_could_not_be_run_is_run_again(path: Path) -> None:
    """And what has been run is not run over by what could not."""
    done, other = units(plan())[2:4]
    crash, unfinished = not_run(other, "its process ended"), outcome(done, unfinished=True)

    with Ledger(path) as ledger:
        ledger.add([crash, unfinished])
        before = ledger.done()
        ledger.add([outcome(other)])

        assert (done.cell, done.index) in before
        assert (other.cell, other.index) in ledger.done() - before
    assert outcome(done, micros=0) in kept(path)


def test_other_code_is_refused_and_nothing_of_it_kept(path: Path) -> None:
    """A shard of changed code cannot be counted with those of the code as it was."""
    third, fourth = units(plan())[3:5]
    before = kept(path)

    with Ledger(path) as ledger, pytest.raises(HarnessError) as caught:
        ledger.add([outcome(third), outcome(fourth, fingerprint="abd")])

    assert "is not what it was when the campaign was begun (abc then, abd now)" in str(caught.value)
    assert kept(path) == before


def set_version(path: Path) -> None:
    """Make a file of the future."""
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()


def overwrite(path: Path) -> None:
    """Make a file that is none."""
    path.write_bytes(b"not a database at all, " * 100)


def damage(path: Path) -> None:
    """Spoil a table."""
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)


def take_table(path: Path) -> None:
    """Make a file of somebody else."""
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE outcomes")
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (set_version, f"is of version {VERSION + 1}, and the newest known is {VERSION}. Use the"),
        (overwrite, "is corrupt, or no campaign (file is not a database). Name another file."),
        (damage, "is corrupt, or no campaign ("),
        (take_table, "is corrupt, or no campaign (no such table: outcomes). Name another file."),
    ],
)
def test_a_file_that_cannot_be_used_is_left_alone(
    path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    """One line says so, to reader and writer; not a byte is changed, and no file made."""
    Path(f"{path}-lock").unlink()
    spoil(path)
    before = path.read_bytes()

    for is_read_only in (True, False):
        with (
            pytest.raises(HarnessError) as caught,
            Ledger(path, is_read_only=is_read_only) as ledger,
        ):
            ledger.plan  # noqa: B018 - reads

        assert str(caught.value).startswith(f"{path} {message}")
        assert "\n" not in str(caught.value)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_two_campaigns_do_not_write_one_file(path: Path) -> None:
    """The second is refused at once, and may begin when the first has ended."""
    with Ledger(path):
        with pytest.raises(HarnessError) as caught:
            Ledger(path)

        assert str(caught.value) == (
            f"{path} is in use: another campaign writes to it. "
            "Wait for it, or name another file with --db."
        )
    Ledger(path).close()


def test_a_file_has_one_lock_whatever_it_is_called(path: Path, tmp_path: Path) -> None:
    """A symbolic link is no second campaign."""
    link = tmp_path / "link.sqlite"
    link.symlink_to(path)

    with Ledger(path), pytest.raises(HarnessError, match="is in use: another campaign writes"):
        Ledger(link)


def test_a_plan_of_which_nothing_was_run_gives_way(tmp_path: Path) -> None:
    """Whoever made a mistake with the workers may say it anew, with other settings."""
    with Ledger(tmp_path / "begun.sqlite") as ledger:
        assert planned(plan(), ledger, resume=False) == plan()
        assert planned(plan(schedules=2_000), ledger, resume=False) == plan(schedules=2_000)
        assert ledger.plan == plan(schedules=2_000)

        ledger.add([outcome(units(plan())[0])])
        with pytest.raises(HarnessError, match="holds a campaign already"):
            planned(plan(), ledger, resume=False)


def test_a_lock_of_another_program_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for; then one line says so, and nothing is lost."""
    before = kept(path)
    monkeypatch.setattr(module, "_BUSY_SECONDS", 0.0)
    with Ledger(path) as ledger:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(HarnessError) as caught:
            ledger.add([outcome(units(plan())[3])])

        assert str(caught.value) == (
            f"{path} is locked by another program. Close that, and go on with --resume."
        )
        other.close()
    assert kept(path) == before


def test_a_full_disk_keeps_what_was_found(path: Path) -> None:
    """All of a batch is written, or nothing; with room again one goes on."""
    before = kept(path)
    big = [
        outcome(unit, traces={"surw": {place * 7919: 1 for place in range(9_000)}})
        for unit in units(plan())[3:]
    ]
    with Ledger(path) as ledger:
        pages = ledger._connection.execute("PRAGMA page_count").fetchone()[0]
        ledger._connection.execute(f"PRAGMA max_page_count = {pages + 4}")

        with pytest.raises(HarnessError) as caught:
            ledger.add(big)

        assert str(caught.value) == (
            f"{path} cannot be written (database or disk is full). What was found before is kept: "
            "make room, and go on with --resume."
        )
        assert kept(path) == before
        ledger._connection.execute("PRAGMA max_page_count = 100000")
        ledger.add(big)
    assert len(kept(path)) == 15


def test_a_file_that_may_not_be_written_can_be_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results are shown; a campaign is refused in one line."""
    before = kept(path)

    def read_only(path: Path, seconds: float | None = None) -> sqlite3.Connection:
        mode = "rwc" if path.name.endswith("-lock") else "ro"
        uri = f"{path.as_uri()}?mode={mode}"
        return sqlite3.connect(uri, uri=True, timeout=seconds or 0.0, isolation_level=None)

    monkeypatch.setattr(module, "_opened", read_only)
    with pytest.raises(HarnessError) as caught:
        Ledger(path)

    assert str(caught.value).startswith(
        f"{path} cannot be written (attempt to write a readonly database). Name a file that"
    )
    assert kept(path) == before


@pytest.mark.parametrize(
    ("place", "why"),
    [("missing/campaign.sqlite", "unable to open database file"), (".", "it is a folder")],
)
def test_a_place_where_nothing_can_be_written_is_told(tmp_path: Path, place: str, why: str) -> None:
    """A folder that is not there, or that is no file."""
    with pytest.raises(HarnessError) as caught:
        Ledger(tmp_path / place)

    assert f"cannot be written ({why})" in str(caught.value)
    assert not Path(f"{(tmp_path / place).resolve()}-lock").exists()


def test_no_file_is_no_result(tmp_path: Path) -> None:
    """Reading makes no file."""
    with pytest.raises(HarnessError, match=r"is not there\. Name the file that `stress --db` has"):
        Ledger(tmp_path / "campaign.sqlite", is_read_only=True)

    assert list(tmp_path.iterdir()) == []


def test_equal_plans_are_equal() -> None:
    """What is compared when a campaign is resumed."""
    assert plan() == plan()
    assert replace(plan(), share=(1, 2)) != plan()
