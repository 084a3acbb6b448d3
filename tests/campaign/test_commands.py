"""`stress` and `results` from outside: what they print and refuse, and what survives a kill."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness import cli
from harness.campaign.commands import figures
from harness.campaign.ledger import VERSION, Ledger
from harness.campaign.outcomes import Outcome, run_unit, versions
from harness.campaign.results import Results
from harness.campaign.stress import Tally
from harness.campaign.workers import settings_of
from harness.explore import shared_ground
from harness.scenario import load
from tests.campaign.making import (
    COUNTING,
    ROOT,
    done_in,
    kept,
    made_here,
    outcome,
    plan,
    plan_of,
    units,
    written,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a campaign is kept."""
    return tmp_path / "campaign.sqlite"


def command(*words: str | Path) -> list[str]:
    """Return a command of a process of its own."""
    return [sys.executable, "-m", "harness", *map(str, words)]


#: `stress`, killed for good as soon as its file holds so many shards, which come one by one.
DYING = """
import os, signal, sys
from harness import cli
from harness.campaign import stress
from harness.campaign.ledger import Ledger

def kept(ledger, *what, keep):
    keep(ledger, *what)
    if len(ledger.done()) >= int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)

stress.CHUNK_SECONDS = 0.0
for name in ("begin", "add"):
    keep = getattr(Ledger, name)
    setattr(Ledger, name, lambda *args, keep=keep: kept(*args, keep=keep))
cli.main(sys.argv[2:])
"""


def test_a_campaign_that_is_killed_goes_on(path: Path) -> None:
    """Killed when it has begun and again half-way: nothing is lost, nothing counted twice."""
    stress = command("stress", f"{COUNTING}::counted", "--schedules", "2_000", "--db", path)
    stress = [*stress[3:], "--workers", "1", "--resume"]
    for most in (0, 8):
        dying = [sys.executable, "-c", DYING, str(most), *stress]
        assert subprocess.run(dying, cwd=ROOT, check=False).returncode == -signal.SIGKILL
        assert done_in(path) == most

    goes_on = [*command("stress", "--db", path, "--resume", "--workers", "1")]
    finished = subprocess.run(goes_on, cwd=ROOT, capture_output=True, text=True, check=False)

    assert finished.returncode == 1, finished.stderr
    assert "2 of 3 cells as declared; 3,576 schedules" in finished.stdout
    with shared_ground():
        assert kept(path) == made_here(path)


def test_ctrl_c_and_a_time_limit_keep_what_was_found(path: Path) -> None:
    """One ends with 130, the other with what is known; both say how to go on."""
    stress = command("stress", f"{COUNTING}::called", "--schedules", "50_000", "--db", path)
    process = subprocess.Popen(
        [*stress, "--workers", "1"], cwd=ROOT, text=True, stderr=subprocess.PIPE
    )
    while done_in(path) < 1:
        assert process.poll() is None, "it is to be interrupted, not to end"
        os.sched_yield()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    before = done_in(path)
    limited = subprocess.run(
        [*stress, "--workers", "1", "--resume", "--time", "3s"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert process.returncode == 130
    assert "interrupted after" in said
    assert limited.returncode == 0, limited.stderr
    assert "the time is up after" in limited.stderr
    assert "0 of 1 cells as declared, 1 unfinished; " in limited.stdout
    assert f"python -m harness stress --db {path} --resume" in limited.stderr
    assert done_in(path) >= before >= 1


def test_what_is_found_is_told_at_once_with_its_file_and_its_command(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line on stderr for each cell that is not as declared."""
    monkeypatch.chdir(ROOT)

    words = ["stress", f"{COUNTING}::wrong", "--schedules=9", "--workers=1", f"--db={path}"]
    code = cli.main(words)

    [line] = capsys.readouterr().err.splitlines()
    with Results([path]) as results:
        [token] = [cell.token for cell in results.merged() if not cell.is_as_declared]
    assert code == 1
    assert line == (
        f"faultloom: {COUNTING}::wrong: an assert of the scenario failed: "
        f"assert 2 == 3; replay: python -m harness replay {token}"
    )


def test_github_is_told_of_a_campaign(path: Path) -> None:
    """At the line of the scenario, once for each cell that is not as declared."""
    words = ("stress", f"{COUNTING}::counted", f"{COUNTING}::refused", "--schedules", "4")

    done = subprocess.run(
        command(*words, "--workers", "1", "--db", path),
        cwd=ROOT,
        env={**os.environ, "GITHUB_ACTIONS": "true"},
        capture_output=True,
        text=True,
        check=False,
    )

    lines = [line for line in done.stderr.splitlines() if line.startswith("::error")]
    assert done.returncode == 2, done.stderr
    assert [line.partition(": ")[0] for line in lines] == [
        f"::error file={COUNTING},line=38,title=counted[Careful]::{COUNTING}::counted with Careful",
        f"::error file={COUNTING},line=70,title=refused::{COUNTING}::refused",
    ]


def complained(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """Run a command that is misuse; return the one line it says."""
    assert cli.main([str(word) for word in words]) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    return line.removeprefix("faultloom: ")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--shard", "1/0"], "shard='1/0' must be I/N with 1 ≤ I ≤ N. Write --shard 1/4,"),
        (["--shard", "0/4"], "shard='0/4' must be I/N"),
        (["--shard", "half"], "shard='half' must be I/N"),
        (["--time", "soon"], "time='soon' is no time. Write 90s, 10m or 1h30m."),
        (["--executor", "ray"], "executor='ray' must be process, dask or MODULE:FUNCTION. Leave"),
        (["--executor", "dask"], "address=None names no cluster. Write --address tcp://HOST:8786."),
        (["--executor", "dask", "--workers", "2"], "workers=2 is for processes. A cluster has"),
        (["--executor", "dask", "--address", "foo"], "address='foo' is no address of a dask sched"),
        (["--executor", "dask", "--address", "http://a:1"], "address='http://a:1' is no address"),
        (["--address", "tcp://a:1"], "address='tcp://a:1' is for a cluster. Write --executor dask"),
        (["--workers", "0"], "workers=0 must be at least 1. Leave it out for one a processor."),
        (["--executor", "machines:pool", "--workers", "0"], "workers=0 must be at least 1."),
        (["--schedules", "0"], "schedules=0 must be an integer of at least 1."),
        (["--strategy", "luck"], "strategy='luck' must be one of"),
        (["--class", "Nobody"], "class='Nobody' is a class of none of these scenarios."),
    ],
)
def test_misuse_is_one_line(
    path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    why: str,
) -> None:
    """What, the rule, and the way out; nothing has been written."""
    monkeypatch.chdir(ROOT)

    said = complained(capsys, "stress", f"{COUNTING}::counted", "--db", path, *words)

    assert said.startswith(why)
    assert list(path.parent.iterdir()) == []


def test_nothing_to_go_on_with_begins_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of all that there is, by a name that was mistyped; who says what to run may begin so."""
    monkeypatch.chdir(ROOT)

    told = complained(capsys, "stress", "--resume", "--db", path)
    assert told == (
        f"{path} is not there: nothing to go on with. Name the file that `stress --db` has "
        "written, or say what to run."
    )
    assert not list(path.parent.iterdir())

    code = cli.main(
        ["stress", f"{COUNTING}::called", "--schedules=9", "--db", str(path), "--resume"]
    )
    assert f"faultloom: {path} is not there: a new campaign begins.\n" in capsys.readouterr().err
    assert code == 0


def test_a_campaign_that_is_done_is_no_verdict_on_other_code(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was found then says nothing of what the code is now, though nothing is left to run."""
    monkeypatch.chdir(ROOT)
    made = replace(plan_of(COUNTING, 4, "counted"), targets=(f"{COUNTING}::counted",))
    settings = settings_of(made.settings)
    written(path, made, [run_unit(unit, settings) for unit in units(made)])

    unchanged = cli.main(["stress", "--db", str(path), "--resume"])
    capsys.readouterr()
    module = load(Path(COUNTING))
    monkeypatch.setattr(module.Unlocked, "add", lambda self: None)
    said = complained(capsys, "stress", "--db", path, "--resume")

    assert unchanged == 1  # as it is declared wrongly
    assert said.startswith(f"{path}: the code of {COUNTING}::counted[Unlocked] is not what it was")


def test_a_file_is_not_run_over(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever forgets --resume keeps what was found; and so does who names other settings."""
    monkeypatch.chdir(ROOT)
    written(path, plan(), [outcome(units(plan())[0])])

    again = complained(capsys, "stress", f"{COUNTING}::counted", "--db", path)
    other = complained(
        capsys, "stress", f"{COUNTING}::counted", "--db", path, "--resume", "--seed", "3"
    )

    assert again == (f"{path} holds a campaign already. Go on with --resume, or name another file.")
    assert other.startswith(f"{path} was begun with cpython, and this is")
    assert len(kept(path)) == 1


def spoiled(statement: str) -> Callable[[Path, pytest.MonkeyPatch], Callable[[], object]]:
    """Return what has a file go bad just before the first shard is written down."""

    def spoil(_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
        add = Ledger.add

        def spoil_and_add(ledger: Ledger, outcomes: Sequence[Outcome]) -> None:
            connection = ledger._connection
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA {statement.format(pages=pages)}")
            add(ledger, outcomes)

        monkeypatch.setattr(Ledger, "add", spoil_and_add)
        return monkeypatch.undo

    return spoil


def newer(path: Path, _monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
    """Have a file be of a version to come."""

    def write(version: int) -> None:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA user_version = {version}")

    write(VERSION + 1)
    return lambda: write(VERSION)


def second(path: Path, _monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
    """Have another campaign write to a file."""
    return Ledger(path).close


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (
            spoiled("max_page_count = {pages}"),
            "cannot be written (database or disk is full). What was found before is kept: make",
        ),
        (
            spoiled("query_only = 1"),
            "cannot be written (attempt to write a readonly database). Name a file that can be",
        ),
        (newer, "is of version 2, and the newest known is 1. Use the faultloom that wrote it"),
        (second, "is in use: another campaign writes to it. Wait for it, or name another file"),
    ],
    ids=["full", "read-only", "newer", "second"],
)
def test_a_file_that_goes_bad_ends_a_campaign_in_one_line(
    path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Path, pytest.MonkeyPatch], Callable[[], object]],
    why: str,
) -> None:
    """Exit code 2, and what was found before is there."""
    monkeypatch.chdir(ROOT)
    made = replace(plan_of(COUNTING, 8_000, "called"), targets=(f"{COUNTING}::called",))
    # More than a page: so many that there is no room for the next.
    traces = {"surw": {place * 7919: 1 for place in range(9_000)}}
    before = [outcome(units(made)[0], versions=versions(), fingerprint="", traces=traces)]
    written(path, made, before)

    mend = spoil(path, monkeypatch)
    code = cli.main(["stress", "--db", str(path), "--workers", "1", "--resume"])
    mend()

    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert err.startswith(f"faultloom: {path} {why}")
    assert err.count("\n") == 1
    with Results([path]) as results:
        assert [each for cell in results.merged() for each in cell.outcomes] == before


def test_progress_is_one_line() -> None:
    """How far, how fast, and what was found."""
    tally = Tally(1_000, done=312, schedules=74_880, violating=3, crashed=1)
    tally.wrong["cold_key"] = None

    assert figures(tally, 10.0) == (
        "312 of 1,000 shards; 74,880 schedules (7,488/s), 3 violating, 1 cells not as declared, "
        "1 shards ended their process"
    )
