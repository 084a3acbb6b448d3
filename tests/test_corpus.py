"""The corpus: what is kept, what is run again, and that no file can change a declared verdict."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import Settings, Simulation, Token, replay, scenario
from harness.cli import main
from harness.core.kernel import Limits
from harness.corpus import FAILURES_MAX, FORGET_AFTER, Corpus, _Unusable, is_wanted
from harness.scenario import Cell, run_cell, scenario_of
from tests.test_pytest_plugin import LOADED, environment

pytestmark = pytest.mark.one_ground

ROOT = Path(__file__).parents[1]
KEY = ("storms.py::take_off", "Flight")


def corpus_of(root: Path, warnings: list[str] | None = None) -> Corpus:
    """Return the corpus of a project; without a list for its warnings, there must be none."""

    def refuse(line: str) -> None:
        pytest.fail(line)

    return Corpus(root, refuse if warnings is None else warnings.append)


def rows(path: Path) -> list[tuple[Any, ...]]:
    """Return scenario, class, token and count of each stored failure, oldest first."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(
            "SELECT scenario, class, token, held FROM failures ORDER BY number"
        ).fetchall()


def kept(root: Path) -> list[str]:
    """Return the names of the databases in `.harness/`, without what SQLite puts beside them."""
    names = (path.name for path in (root / ".harness").glob("corpus.sqlite*"))
    return sorted(name for name in names if not name.endswith(("-wal", "-shm")))


# --- what is kept ---------------------------------------------------------------------------------


def test_failures_come_back_oldest_first(tmp_path: Path) -> None:
    """To whoever asks for that scenario with that class, and to nobody else; each once."""
    for token in ("t1:b", "t1:a", "t1:b"):
        corpus_of(tmp_path).store(*KEY, token, "MaxInFlight")

    corpus = corpus_of(tmp_path)

    assert corpus.tokens(*KEY) == ("t1:b", "t1:a")
    assert corpus.tokens(KEY[0], "Unlocked") == ()
    assert corpus.tokens("storms.py::land", KEY[1]) == ()


def test_nothing_is_made_before_there_is_a_failure(tmp_path: Path) -> None:
    """A project in which nothing fails has no folder of ours."""
    assert corpus_of(tmp_path).tokens(*KEY) == ()

    assert list(tmp_path.iterdir()) == []


def test_a_failure_is_forgotten_when_it_has_held_ten_times(tmp_path: Path) -> None:
    """In a row: one violation in between, and it counts from the beginning."""
    corpus = corpus_of(tmp_path)
    corpus.store(*KEY, "t1:a", "MaxInFlight")

    for _ in range(FORGET_AFTER - 1):
        corpus.held(*KEY, "t1:a")
    corpus.store(*KEY, "t1:a", "MaxInFlight")
    for _ in range(FORGET_AFTER - 1):
        corpus.held(*KEY, "t1:a")

    assert corpus.tokens(*KEY) == ("t1:a",)
    corpus.held(*KEY, "t1:a")
    assert corpus.tokens(*KEY) == ()


def test_the_number_of_failures_is_bounded(tmp_path: Path) -> None:
    """Those that held make room, the oldest first; then the oldest; never the newest."""
    corpus = corpus_of(tmp_path)
    tokens = [f"t1:{number:02}" for number in range(FAILURES_MAX)]
    for token in tokens:
        corpus.store(*KEY, token, "MaxInFlight")
    corpus.store(KEY[0], "Unlocked", "t1:other", "MaxInFlight")
    for held in (tokens[7], tokens[4]):
        corpus.held(*KEY, held)

    left = []
    for number in range(3):
        corpus.store(*KEY, f"t1:new-{number}", "MaxInFlight")
        left.append(corpus.tokens(*KEY))

    new = [f"t1:new-{number}" for number in range(3)]
    assert left[0] == (*tokens[:4], *tokens[5:], *new[:1])
    assert left[1] == (*tokens[:4], *tokens[5:7], *tokens[8:], *new[:2])
    assert left[2] == (*tokens[1:4], *tokens[5:7], *tokens[8:], *new)
    assert corpus.tokens(KEY[0], "Unlocked") == ("t1:other",)


def test_a_scenario_has_one_name_from_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file below the root, whatever the current folder is; elsewhere the whole path."""
    (tmp_path / "project" / "sub").mkdir(parents=True)
    corpus = corpus_of(tmp_path / "project")
    file = tmp_path / "project" / "sub" / "storms.py"

    assert corpus.name_of(file, "land") == "sub/storms.py::land"
    monkeypatch.chdir(file.parent)
    assert corpus.name_of(Path("storms.py"), "land") == "sub/storms.py::land"
    outside = tmp_path / "storms.py"
    assert corpus.name_of(outside, "land") == f"{outside.resolve().as_posix()}::land"
    assert corpus.name_of(file.with_name("\udcff.py"), "land") == "sub/\\udcff.py::land"


@pytest.mark.parametrize(
    ("ci", "said", "wanted"),
    [
        (None, None, True),
        ("", None, True),
        ("true", None, False),
        ("true", True, True),
        (None, False, False),
        ("true", False, False),
    ],
)
def test_a_build_machine_has_no_corpus(
    monkeypatch: pytest.MonkeyPatch,
    ci: str | None,
    said: bool | None,
    wanted: bool,
) -> None:
    """Unless it is asked for; what is said wins over what is set."""
    monkeypatch.delenv("CI", raising=False)
    if ci is not None:
        monkeypatch.setenv("CI", ci)

    assert is_wanted(said) is wanted


# --- a file or a folder that cannot be used -------------------------------------------------------


def garbage(path: Path) -> None:
    """Write what is no database."""
    path.write_bytes(b"no database, but longer than the header of one. " * 100)


def broken_page(path: Path) -> None:
    """Overwrite a page behind the first: the file opens, and cannot be read."""
    for number in range(FAILURES_MAX):
        corpus_of(path.parents[1]).store(*KEY, f"t1:{number:02}{'a' * 2_000}", "MaxInFlight")
    size = path.stat().st_size
    assert size > 3 * 4_096
    with path.open("r+b") as file:
        file.seek(4_096)
        file.write(b"\xff" * (size - 4_096))


def cut_off(path: Path) -> None:
    """Leave half of the file."""
    corpus_of(path.parents[1]).store(*KEY, "t1:a", "MaxInFlight")
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def another_database(path: Path) -> None:
    """Make a database of somebody else's."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE results (figure INTEGER)")
        connection.commit()


def another_table(path: Path) -> None:
    """Make a database that says it is ours."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE failures (figure INTEGER)")
        connection.execute("PRAGMA user_version = 1")
        connection.commit()


def negative_version(path: Path) -> None:
    """Make a database of a version that there cannot be."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = -1")


DAMAGES = [garbage, broken_page, cut_off, another_database, another_table, negative_version]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("is_first_written", [False, True])
def test_a_corrupt_file_is_kept_aside(
    tmp_path: Path,
    damage: Callable[[Path], None],
    is_first_written: bool,
) -> None:
    """Byte for byte, under a name of its own each time, with one line; and the run goes on."""
    path = tmp_path / ".harness" / "corpus.sqlite"
    path.parent.mkdir()
    damage(path)
    damaged = path.read_bytes()
    warnings: list[str] = []
    corpus = corpus_of(tmp_path, warnings)

    if not is_first_written:
        assert corpus.tokens(*KEY) == ()
    corpus.store(*KEY, "t1:new", "MaxInFlight")

    assert corpus.tokens(*KEY) == ("t1:new",)
    assert kept(tmp_path) == ["corpus.sqlite", "corpus.sqlite.corrupt-1"]
    assert path.with_name("corpus.sqlite.corrupt-1").read_bytes() == damaged
    (line,) = warnings
    assert line.startswith(".harness/corpus.sqlite is corrupt (")
    assert line.endswith(
        "): it is kept as .harness/corpus.sqlite.corrupt-1, and a new one is begun."
    )
    assert "\n" not in line

    garbage(path)
    corpus.tokens(*KEY)

    assert kept(tmp_path)[1:] == ["corpus.sqlite.corrupt-1", "corpus.sqlite.corrupt-2"]


def newer(path: Path) -> None:
    """Make a corpus of version 9, whose last failure is in its log only, as a kill leaves it."""
    made = path.with_name("made.sqlite")
    with closing(sqlite3.connect(made, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA user_version = 9")
        connection.execute("CREATE TABLE failures9 (token TEXT)")
        connection.execute("PRAGMA wal_checkpoint")
        connection.execute("INSERT INTO failures9 VALUES ('t9:precious')")
        for ending in ("", "-wal"):
            shutil.copyfile(f"{made}{ending}", f"{path}{ending}")
    made.unlink()


def test_a_file_of_a_newer_version_is_kept_aside(tmp_path: Path) -> None:
    """With all that is in it, log included; a second one under another name."""
    path = tmp_path / ".harness" / "corpus.sqlite"
    path.parent.mkdir()
    warnings: list[str] = []

    for _ in range(2):
        newer(path)
        corpus_of(tmp_path, warnings).store(*KEY, "t1:new", "MaxInFlight")

    assert kept(tmp_path) == [
        "corpus.sqlite",
        "corpus.sqlite.version-9",
        "corpus.sqlite.version-9-2",
    ]
    assert corpus_of(tmp_path).tokens(*KEY) == ("t1:new",)
    with closing(sqlite3.connect(path.with_name("corpus.sqlite.version-9"))) as connection:
        assert connection.execute("SELECT * FROM failures9").fetchall() == [("t9:precious",)]
    assert warnings[0] == (
        ".harness/corpus.sqlite is of version 9, and the newest known is 1: "
        "it is kept as .harness/corpus.sqlite.version-9, and a new one is begun."
    )


def test_a_log_goes_with_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another process has not written back yet is kept, and does not meet the new file."""
    path = tmp_path / ".harness" / "corpus.sqlite"
    path.parent.mkdir()
    newer(path)
    corpus = corpus_of(tmp_path, [])
    # Looking at the file would write the log back, if nobody else had it open.
    monkeypatch.setattr(corpus, "_problem", lambda: _Unusable("version-9", "is of version 9"))

    corpus._set_aside()

    kept_aside = path.with_name("corpus.sqlite.version-9")
    assert sorted(path.parent.glob("corpus.sqlite*")) == [
        kept_aside,
        kept_aside.with_name("corpus.sqlite.version-9-wal"),
    ]
    with closing(sqlite3.connect(kept_aside)) as connection:
        assert connection.execute("SELECT * FROM failures9").fetchall() == [("t9:precious",)]


def test_of_two_that_meet_a_bad_file_one_sets_it_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other finds a good one when its turn comes, and leaves what is in it."""
    path = tmp_path / ".harness" / "corpus.sqlite"
    path.parent.mkdir()
    garbage(path)
    warnings: list[str] = []
    late = corpus_of(tmp_path)
    set_aside = late._set_aside

    def overtaken() -> None:
        corpus_of(tmp_path, warnings).store(*KEY, "t1:first", "MaxInFlight")
        set_aside()

    monkeypatch.setattr(late, "_set_aside", overtaken)

    late.store(*KEY, "t1:second", "MaxInFlight")

    assert late.tokens(*KEY) == ("t1:first", "t1:second")
    assert kept(tmp_path) == ["corpus.sqlite", "corpus.sqlite.corrupt-1"]
    assert len(warnings) == 1


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """However many failures there are."""
    (tmp_path / ".harness").write_text("in the way", encoding="utf-8")
    warnings: list[str] = []
    corpus = corpus_of(tmp_path, warnings)

    for number in range(3):
        assert corpus.tokens(*KEY) == ()
        corpus.store(*KEY, f"t1:{number}", "MaxInFlight")

    (line,) = warnings
    assert line.startswith(".harness/corpus.sqlite cannot be written: failures are not kept (")
    assert line.endswith("). The run goes on.")


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what was stored before is still there to be run."""
    corpus_of(tmp_path).store(*KEY, "t1:old", "MaxInFlight")
    connect = sqlite3.connect

    def small(*arguments: Any, **options: Any) -> sqlite3.Connection:
        # SQLite itself then says what it says of a full disk.
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.execute("PRAGMA max_page_count = 4")
        return connection

    monkeypatch.setattr(sqlite3, "connect", small)
    warnings: list[str] = []
    corpus = corpus_of(tmp_path, warnings)

    for number in range(3):
        corpus.store(*KEY, f"t1:{number}{'a' * 20_000}", "MaxInFlight")

    assert corpus.tokens(*KEY) == ("t1:old",)
    (line,) = warnings
    assert line == (
        ".harness/corpus.sqlite cannot be written: failures are not kept "
        "(database or disk is full). The run goes on."
    )


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    """What is in its place is left alone."""
    (tmp_path / ".harness" / "corpus.sqlite").mkdir(parents=True)
    warnings: list[str] = []
    corpus = corpus_of(tmp_path, warnings)

    for _ in range(3):
        assert corpus.tokens(*KEY) == ()
        corpus.store(*KEY, "t1:a", "MaxInFlight")

    (line,) = warnings
    assert line == (
        ".harness/corpus.sqlite cannot be read: it is not used "
        "(unable to open database file). The run goes on."
    )

    after_a_write: list[str] = []
    corpus = corpus_of(tmp_path, after_a_write)
    corpus.store(*KEY, "t1:a", "MaxInFlight")
    corpus.tokens(*KEY)

    (line,) = after_a_write
    assert " cannot be written: " in line


# --- several processes, and processes that are killed ---------------------------------------------

# Stores one failure after the other, says which it has stored, and never ends by itself.
STORING = """
import itertools, sys
from pathlib import Path
from harness.corpus import Corpus

root, who = sys.argv[1:]
corpus = Corpus(Path(root), lambda line: print("warning", line, flush=True))
for number in itertools.count():
    key = (f"storms.py::{who}", f"Variant{number}", "t1:a")
    corpus.store(*key, "MaxInFlight")
    corpus.held(*key)
    print(number, flush=True)
"""


def storing(root: Path, who: str) -> subprocess.Popen[str]:
    """Start a process that stores failures."""
    return subprocess.Popen(
        [sys.executable, "-c", STORING, str(root), who],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def read_until(process: subprocess.Popen[str], last: int) -> list[str]:
    """Return what a process says until it has stored its failure number `last`."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.strip())
        if lines[-1] == str(last):
            return lines
    return [*lines, "the end"]


def stored_by(root: Path, who: str) -> set[str]:
    """Return the classes whose failures one process has stored."""
    path = root / ".harness" / "corpus.sqlite"
    return {row[1] for row in rows(path) if row[0] == f"storms.py::{who}"}


def test_twenty_kills_lose_nothing(tmp_path: Path) -> None:
    """Whatever a process had said it had stored when it was killed is there, and the file opens."""
    moments = random.Random(1)
    promised: dict[str, set[str]] = {}

    for kill in range(20):
        who = f"killed-{kill}"
        last = moments.randrange(30)
        process = storing(tmp_path, who)
        try:
            said = read_until(process, last)
        finally:
            # It is storing on while it is killed.
            process.kill()
            process.communicate()
        assert said == [str(number) for number in range(last + 1)]
        promised[who] = {f"Variant{number}" for number in range(last + 1)}

        assert corpus_of(tmp_path).tokens(f"storms.py::{who}", f"Variant{last}") == ("t1:a",)
        for each, classes in promised.items():
            assert classes <= stored_by(tmp_path, each)

    with closing(sqlite3.connect(tmp_path / ".harness" / "corpus.sqlite")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert kept(tmp_path) == ["corpus.sqlite"]


@pytest.mark.parametrize("is_corrupt", [False, True])
def test_several_processes_store_at_once(
    tmp_path: Path,
    is_corrupt: bool,
) -> None:
    """Every failure of each is there; a bad file is set aside by one of them, and no good one."""
    path = tmp_path / ".harness" / "corpus.sqlite"
    if is_corrupt:
        path.parent.mkdir()
        garbage(path)
    processes = {f"caller-{number}": storing(tmp_path, f"caller-{number}") for number in range(4)}

    try:
        said = {who: read_until(process, 20) for who, process in processes.items()}
    finally:
        for process in processes.values():
            process.kill()
            process.communicate()

    warnings = [line for lines in said.values() for line in lines if line.startswith("warning")]
    assert [line.split()[3] for line in warnings] == ["corrupt"] * is_corrupt
    for who, lines in said.items():
        assert lines[-1] == "20", lines
        assert {f"Variant{number}" for number in range(21)} <= stored_by(tmp_path, who)
    assert len(kept(tmp_path)) == 1 + is_corrupt


# --- cells ----------------------------------------------------------------------------------------


class Counter:
    """Counts under a lock, while it is told to."""

    locks = True

    def __init__(self) -> None:
        self.value = 0
        self._lock = threading.Lock()

    def add(self) -> None:
        """Add one; without the lock, or lose one."""
        if self.locks:
            with self._lock:
                self.value += 1
        else:
            self.value += 1


class Unlocked(Counter):
    """C1: counts without the lock."""

    locks = False


def adding(sim: Simulation, cls: type[Counter]) -> None:
    """Two threads add one each."""
    counter = cls()
    with sim.storm() as storm:
        storm.spawn(counter.add, copies=2)
    # A name of its own: the text of the assert must not show an address.
    total = counter.value
    assert total == 2


#: Finds nothing: the counter is right on the plain run.
PLAIN = Settings(strategy="plain")


def cell(
    root: Path,
    settings: Settings | None = None,
    cls: type[Counter] = Unlocked,
    catches: dict[type, Any] | None = None,
    *,
    case: str = "",
    warnings: list[str] | None = None,
) -> Cell:
    """Run `adding` with one class and the corpus of `root`; the class must hold unless caught."""
    this = scenario_of(scenario(Counter, catches=catches or {}, matrix=False)(adding))
    assert this is not None
    column = next(each for each in this.columns() if each.cls in (cls, Counter))
    column = replace(column, cls=cls, caught_by=tuple((catches or {}).get(cls, ())))
    return run_cell(this, column, settings, corpus=corpus_of(root, warnings), case=case)


def stored(root: Path) -> list[tuple[str, int]]:
    """Return token and count of what is stored for `adding`."""
    path = root / ".harness" / "corpus.sqlite"
    return [row[2:] for row in rows(path)] if path.exists() else []


def test_a_failure_is_run_again_where_the_search_would_miss_it(tmp_path: Path) -> None:
    """It is reported as from the corpus, and its token replays."""
    found = cell(tmp_path)
    again = cell(tmp_path, PLAIN)

    assert stored(tmp_path) == [(found.token, 0)]
    assert not again.is_as_declared
    assert again.verdict == "Failed"
    assert again.exploration is not None
    assert again.exploration.verdict == "holds"
    (failure,) = again.stored
    assert failure.schedule == 0
    assert "on a schedule from the corpus, and on 0 of 1 schedules.\n" in again.explain()
    (when,) = [text for label, text in failure.violation.evidence if label == "when"]
    assert when.endswith(" s, from the corpus")
    assert again.token is not None
    assert Token.decode(again.token).choices == Token.decode(stored(tmp_path)[0][0]).choices


def test_the_declared_schedules_stay_what_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same runs, same numbers, same verdict text, whatever is stored."""
    settings = Settings(schedules=40, seed=3)
    empty = tmp_path / "empty"
    empty.mkdir()
    cell(tmp_path, Settings(seed=1))

    without = cell(empty, settings)
    with_stored = cell(tmp_path, settings)

    assert with_stored.stored
    assert not without.stored
    assert run_counts(with_stored) == run_counts(without)
    assert with_stored.explain() == without.explain()

    monkeypatch.setattr(Unlocked, "locks", True)
    without = cell(empty, settings)
    with_stored = cell(tmp_path, settings)

    assert run_counts(with_stored) == run_counts(without)
    assert with_stored.is_as_declared
    assert 1 in [held for _, held in stored(tmp_path)]


def run_counts(done: Cell) -> tuple[object, ...]:
    """Return all that is said of the declared schedules, as values."""
    assert done.exploration is not None
    made = done.exploration
    failures = [(each.schedule, each.token, str(each.violation)) for each in made.failures]
    return made.schedules, made.violating, made.steps, made.virtual_seconds, failures


def test_what_holds_again_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the code is mended: after ten runs, all of which hold as declared."""
    cell(tmp_path)
    monkeypatch.setattr(Unlocked, "locks", True)

    counts = []
    for _ in range(FORGET_AFTER):
        mended = cell(tmp_path, PLAIN)
        assert mended.is_as_declared
        counts.append([held for _, held in stored(tmp_path)])

    assert counts == [*([number] for number in range(1, FORGET_AFTER)), []]


def test_one_tape_is_stored_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though another seed, and code that was changed, make another token of it."""
    monkeypatch.setattr(Unlocked, "locks", False)
    cell(tmp_path)
    (text, _), *_ = stored(tmp_path)
    token = Token.decode(text)
    pinned = replace(token, seed=99, fingerprint="").encode()

    again = cell(tmp_path, replace(PLAIN, pins=(pinned,)))

    assert again.exploration is not None
    assert again.exploration.violating == 1
    assert stored(tmp_path) == [(text, 0)]


def test_a_variant_that_is_caught_is_not_kept(tmp_path: Path) -> None:
    """What its cell claims is that the search finds it."""
    caught = cell(tmp_path, catches={Unlocked: ("Failed",)})

    assert caught.is_as_declared
    assert list(tmp_path.iterdir()) == []

    unaccounted = cell(tmp_path, catches={Unlocked: ("Deadlock",)})
    again = cell(tmp_path, PLAIN, catches={Unlocked: ("Deadlock",)})

    assert unaccounted.verdict == again.verdict == "Failed"
    # Now that it is declared, the same failure is as good as none.
    as_declared = cell(tmp_path, PLAIN, catches={Unlocked: ("Failed",)})
    assert as_declared.stored == ()
    assert as_declared.verdict == "holds"
    assert {held for _, held in stored(tmp_path)} == {1}


def test_other_modes_and_interpreters_are_passed_over(tmp_path: Path) -> None:
    """An order nobody asked for proves nothing, and a tape of another Python is another run."""
    cell(tmp_path)
    (found, _), *_ = stored(tmp_path)
    token = Token.decode(found)
    corpus = corpus_of(tmp_path)
    name = corpus.name_of(Path(__file__), "adding")
    corpus.store(name, "Unlocked", found, "Failed")
    for other in ({"order": "any"}, {"granularity": "sync"}, {"interpreter": "cpython-2.7"}):
        corpus.store(name, "Unlocked", replace(token, **other).encode(), "Failed")  # type: ignore[arg-type]  # texts, all of them

    done = cell(tmp_path, PLAIN)

    assert len(done.stored) == 1
    assert [held for _, held in stored(tmp_path)] == [0, 0, 0, 0]


def test_a_limit_that_is_hit_is_no_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not known is not counted."""
    cell(tmp_path)
    monkeypatch.setattr(Unlocked, "locks", True)

    cell(tmp_path, replace(PLAIN, limits=Limits(total_steps=3)))

    assert [held for _, held in stored(tmp_path)] == [0]


def test_a_token_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    """And the others are run."""
    cell(tmp_path)
    corpus = corpus_of(tmp_path)
    corpus.store(corpus.name_of(Path(__file__), "adding"), "Unlocked", "t9:later", "Failed")
    warnings: list[str] = []

    done = cell(tmp_path, PLAIN, warnings=warnings)

    assert len(done.stored) == 1
    (line,) = warnings
    assert line.startswith("a stored failure of tests/test_corpus.py::adding") or str(ROOT) in line
    assert "is not a token" in line


def test_other_fixtures_are_another_case(tmp_path: Path) -> None:
    """A failure with one value of a fixture is neither run nor counted with another."""
    cell(tmp_path, case="2")
    other = cell(tmp_path, PLAIN, case="1")
    same = cell(tmp_path, PLAIN, case="2")

    assert other.stored == ()
    assert same.verdict == "Failed"
    assert [held for _, held in stored(tmp_path)] == [0]


# --- the command line and the plugin --------------------------------------------------------------

STORMS = """
import threading
from harness import scenario

class Counter:
    def __init__(self):
        self.value = 0

    def add(self):
        self.value += 1

@scenario(Counter)
def adding(sim, cls):
    counter = cls()
    with sim.storm() as storm:
        storm.spawn(counter.add, copies=2)
    assert counter.value == 2
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one scenario that fails on some schedules, and not on the plain one."""
    (tmp_path / "storms.py").write_text(STORMS, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CI", raising=False)
    return tmp_path


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr of one command."""
    code = main(["run", "storms.py", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_command_line_begins_with_what_failed(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless it is told not to, or CI is set; the figures stay those of the declared schedules."""
    plain = ("--strategy", "plain")
    assert command(capsys, *plain)[0] == 0
    assert not (project / ".harness").exists()
    assert command(capsys)[0] == 1

    code, out, _ = command(capsys, *plain, "--json")
    (result,) = json.loads(out)

    assert code == 1
    assert (result["verdict"], result["schedules"], result["violating"]) == ("Failed", 1, 0)
    assert replay(result["token"]).verdict == "Failed"
    assert "from the corpus" in command(capsys, *plain)[1]
    assert command(capsys, *plain, "--no-corpus")[0] == 0
    monkeypatch.setenv("CI", "true")
    assert command(capsys, *plain)[0] == 0
    assert command(capsys, *plain, "--corpus")[0] == 1


def test_the_command_line_goes_on_over_a_corrupt_file(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line on stderr, and the verdict that there would have been."""
    (project / ".harness").mkdir()
    garbage(project / ".harness" / "corpus.sqlite")

    code, out, err = command(capsys, "--strategy", "plain", "--json")

    assert code == 0
    assert json.loads(out)[0]["verdict"] == "holds"
    assert err.startswith("faultloom: .harness/corpus.sqlite is corrupt (")
    assert err.count("\n") == 1


def run_pytest(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in `folder`, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", *LOADED, *arguments],
        cwd=folder,
        env={**environment(), **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_the_plugin_begins_with_what_failed(project: Path) -> None:
    """In the root folder of the tests, from wherever they are run; as the command line does."""
    (project / "sub").mkdir()
    plain = ("../storms.py", "--storm-strategy", "plain", "-p", "no:cacheprovider")

    found = run_pytest(project, "storms.py")
    again = run_pytest(project / "sub", *plain)

    assert (found.returncode, again.returncode) == (1, 1)
    assert " s, from the corpus" in again.stdout
    assert (project / ".harness" / "corpus.sqlite").is_file()
    assert not (project / "sub" / ".harness").exists()
    without = ("--no-storm-corpus", "-o", "storm_corpus=true")
    assert run_pytest(project / "sub", *plain, *without).returncode == 0
    assert run_pytest(project / "sub", *plain, "-o", "storm_corpus=false").returncode == 0
    assert run_pytest(project / "sub", *plain, CI="true").returncode == 0
    assert run_pytest(project / "sub", *plain, "--storm-corpus", CI="true").returncode == 1


def test_the_workers_of_xdist_share_one_corpus(project: Path) -> None:
    """All failures are kept; a bad file is one line, which `-W error` makes no failure."""
    for number in range(3):
        (project / f"storms_{number}.py").write_text(STORMS, encoding="utf-8")
    (project / ".harness").mkdir()
    garbage(project / ".harness" / "corpus.sqlite")

    files = sorted(path.name for path in project.glob("storms*.py"))
    options = ("-n", "2", "-p", "no:cacheprovider", "-p", "no:asyncio", "-W", "error")
    first = run_pytest(project, *files, *options)
    again = run_pytest(project, *files, *options, "--storm-strategy", "plain")

    assert first.returncode == again.returncode == 1
    assert first.stdout.count("storms: .harness/corpus.sqlite is corrupt (") == 1
    assert "4 failed" in first.stdout
    assert "4 failed" in again.stdout
    names = {row[0] for row in rows(project / ".harness" / "corpus.sqlite")}
    assert names == {f"{file}::adding" for file in files}
