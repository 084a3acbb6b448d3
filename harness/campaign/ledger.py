"""Keeps what a campaign has found in one SQLite file, so that it can be stopped and go on.

    shards that are done ─► one row each (cell, index) ─► results, --resume, another file's rows

One process writes, and holds a lock beside the file as long as it does; any number read meanwhile.
Whatever goes wrong with the file is one line, and what was in it before stays in it. This module
does not know how shards are run, nor what they come to together.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from harness.errors import HarnessError

from .merge import Declared
from .outcomes import Outcome

#: Version of the schema, in the file's `user_version`.
VERSION: Final = 1

_BUSY_SECONDS: Final = 10.0
# How the campaign was begun, one value in JSON each; its cells; and what shards came to.
_SCHEMA: Final = """
CREATE TABLE campaign (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE cells (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    declared TEXT NOT NULL,
    fingerprint TEXT NOT NULL DEFAULT ''
);
CREATE TABLE outcomes (
    cell INTEGER NOT NULL,
    shard INTEGER NOT NULL,
    has_run INTEGER NOT NULL,
    outcome BLOB NOT NULL,
    PRIMARY KEY (cell, shard)
) WITHOUT ROWID
"""
# Primary result codes: what is wrong, and the way out.
_BUSY: Final = frozenset({5, 6})
_READONLY: Final = frozenset({3, 8, 14, 23})
_FULL: Final = frozenset({13})
_DAMAGE: Final = frozenset({1, 11, 26})


@dataclass(frozen=True, slots=True)
class Plan:
    """What a campaign is to run.

    Args:
        settings: what decides what a shard does, by name.
        targets: where its scenarios were looked for.
        class_name: the one class that was asked for, None for all.
        versions: what runs it.
        share: which of how many static shares this file is of: (1, 1) for the whole.
        cells: the cells, in order.
    """

    settings: Mapping[str, Any]
    targets: tuple[str, ...] = ()
    class_name: str | None = None
    versions: str = ""
    share: tuple[int, int] = (1, 1)
    cells: tuple[Declared, ...] = field(default=())


class Ledger:
    """The file of one campaign. One thread.

    Args:
        path: the file.
        is_read_only: nothing is to be written: others may write meanwhile.

    Raises:
        HarnessError: it cannot be used; one line says why, and the way out.
    """

    # invariant: `_lock` is held while anything may be written

    def __init__(self, path: Path, *, is_read_only: bool = False) -> None:
        self.path = path
        self._lock: sqlite3.Connection | None = None
        with self._told("read" if is_read_only else "written"), contextlib.ExitStack() as stack:
            if not is_read_only:
                self._refuse_what_is_no_campaign()
                self._lock = stack.enter_context(contextlib.closing(self._locked()))
            opened = _opened_to_read(path) if is_read_only else _opened(path)
            self._connection = stack.enter_context(contextlib.closing(opened))
            if is_read_only:
                self._check(opened)
            else:
                self._prepare()
            # Nothing went wrong: both stay open.
            stack.pop_all()

    def close(self) -> None:
        """Give the file back, as one file unless somebody reads it just now."""
        if self._lock is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA busy_timeout = 0")
                self._connection.execute("PRAGMA journal_mode = DELETE")
        self._connection.close()
        if self._lock is not None:
            self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # --- what is kept -----------------------------------------------------------------------------

    @property
    def plan(self) -> Plan | None:
        """What the campaign is to run; None if none was begun."""
        with self._told("read"):
            said = dict(self._connection.execute("SELECT name, value FROM campaign"))
            if not said:
                return None
            cells = self._connection.execute("SELECT declared FROM cells ORDER BY number")
            first, of = json.loads(said["share"])
            return Plan(
                json.loads(said["settings"]),
                tuple(json.loads(said["targets"])),
                json.loads(said["class_name"]),
                json.loads(said["versions"]),
                (first, of),
                tuple(Declared.from_json(json.loads(text)) for (text,) in cells),
            )

    @property
    def has_begun(self) -> bool:
        """Whether anything was found yet; until then, another plan may take the place of this."""
        with self._told("read"):
            found = self._connection.execute("SELECT EXISTS (SELECT * FROM outcomes)")
            return bool(found.fetchone()[0])

    def begin(self, plan: Plan) -> None:
        """Write down what is to be run, in place of a plan of which nothing was run."""
        with self._told("written"), self._transaction():
            self._connection.execute("DELETE FROM campaign")
            self._connection.execute("DELETE FROM cells")
            for name in ("settings", "targets", "class_name", "versions", "share"):
                self._connection.execute(
                    "INSERT INTO campaign VALUES (?, ?)", (name, json.dumps(getattr(plan, name)))
                )
            self._connection.executemany(
                "INSERT INTO cells (number, key, declared) VALUES (?, ?, ?)",
                (
                    (number, cell.key, json.dumps(cell.to_json()))
                    for number, cell in enumerate(plan.cells)
                ),
            )

    def done(self) -> set[tuple[str, int]]:
        """Return the shards that have been run, as cell and index; not those that could not be."""
        with self._told("read"):
            rows = self._connection.execute(
                "SELECT key, shard FROM outcomes JOIN cells ON number = cell WHERE has_run"
            )
            return {(key, shard) for key, shard in rows}

    def outcomes(self, cell: str) -> Iterator[Outcome]:
        """Yield what the shards of a cell came to, by index."""
        with self._told("read"):
            rows = self._connection.execute(
                "SELECT outcome FROM outcomes JOIN cells ON number = cell WHERE key = ? "
                "ORDER BY shard",
                (cell,),
            ).fetchall()
            for (data,) in rows:
                yield Outcome.from_json(json.loads(zlib.decompress(data)))

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Keep what shards came to: all of them, or none if that is impossible.

        A shard that has been run is not run over by one that could not be.

        Raises:
            HarnessError: the file cannot be written; or the code is not what it was when earlier
                shards of the same cell were run.
        """
        with self._told("written"), self._transaction():
            for outcome in outcomes:
                number, fingerprint = self._connection.execute(
                    "SELECT number, fingerprint FROM cells WHERE key = ?", (outcome.unit.cell,)
                ).fetchone()
                if outcome.fingerprint and fingerprint != outcome.fingerprint:
                    if fingerprint:
                        raise self._changed(outcome.unit.cell, fingerprint, outcome.fingerprint)
                    self._connection.execute(
                        "UPDATE cells SET fingerprint = ? WHERE number = ?",
                        (outcome.fingerprint, number),
                    )
                data = json.dumps(outcome.to_json(), separators=(",", ":")).encode()
                self._connection.execute(
                    "INSERT INTO outcomes VALUES (?, ?, ?, ?) "
                    "ON CONFLICT DO UPDATE SET has_run = excluded.has_run, "
                    "outcome = excluded.outcome WHERE NOT has_run",
                    (number, outcome.unit.index, _has_run(outcome), zlib.compress(data)),
                )

    def check_code(self, cell: str, fingerprint: str) -> None:
        """Refuse code of a cell that is not what earlier shards of it were run with.

        Args:
            cell: its key.
            fingerprint: of the code as it is now.

        Raises:
            HarnessError: it is not.
        """
        with self._told("read"):
            row = self._connection.execute("SELECT fingerprint FROM cells WHERE key = ?", (cell,))
            [before] = row.fetchone() or [""]
        if before and before != fingerprint:
            raise self._changed(cell, before, fingerprint)

    def _changed(self, cell: str, before: str, now: str) -> HarnessError:
        return HarnessError(
            f"{self.path}: the code of {cell} is not what it was when the campaign was begun "
            f"({before} then, {now} now): they cannot be counted together. "
            "What was found is kept; begin another file with --db."
        )

    # --- the file ---------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            # A disk that is full may have rolled it back already.
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

    def _refuse_what_is_no_campaign(self) -> None:
        """Look at a file that is there before anything is made beside it."""
        if not self.path.exists():
            return
        with contextlib.closing(_opened_to_read(self.path)) as connection:
            if not _is_empty(connection):
                self._check(connection)
                found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
                if found != "ok":
                    raise sqlite3.DatabaseError(found)

    def _locked(self) -> sqlite3.Connection:
        """Take the lock: one of SQLite's, which ends with the process that holds it."""
        # Whatever name it goes by.
        lock = _opened(Path(f"{self.path.resolve()}-lock"), seconds=0.0)
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except BaseException as exc:
            lock.close()
            if _code(exc) in _BUSY:
                raise HarnessError(
                    f"{self.path} is in use: another campaign writes to it. "
                    "Wait for it, or name another file with --db."
                ) from None
            raise
        return lock

    def _prepare(self) -> None:
        """Make the tables where there are none."""
        connection = self._connection
        if _is_empty(connection):
            with self._transaction():
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {VERSION}")
        self._check(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        # A power cut may lose the last shards, which are run again, but never spoils the file.
        connection.execute("PRAGMA synchronous = NORMAL")

    def _check(self, connection: sqlite3.Connection) -> None:
        version = _version(connection)
        if version > VERSION:
            raise HarnessError(
                f"{self.path} is of version {version}, and the newest known is {VERSION}. "
                "Use the faultloom that wrote it, or name another file."
            )
        if version < VERSION:
            raise HarnessError(f"{self.path} is no campaign. Name another file.")
        connection.execute("SELECT name, value FROM campaign LIMIT 0")
        connection.execute("SELECT number, key, declared, fingerprint FROM cells LIMIT 0")
        connection.execute("SELECT cell, shard, has_run, outcome FROM outcomes LIMIT 0")

    @contextlib.contextmanager
    def _told(self, act: str) -> Iterator[None]:
        """Tell in one line what is wrong with the file."""
        try:
            yield
        except (sqlite3.Error, zlib.error, OSError, ValueError, KeyError, TypeError) as exc:
            text = " ".join(str(exc).split())
            code = _code(exc)
            if code in _BUSY:
                way_out = "is locked by another program. Close that, and go on with --resume."
            elif code in _FULL or (isinstance(exc, sqlite3.Error) and code == 10):
                way_out = (
                    f"cannot be {act} ({text}). What was found before is kept: make room, and go "
                    "on with --resume."
                )
            elif code in _READONLY or isinstance(exc, OSError):
                way_out = f"cannot be {act} ({text}). Name a file that can be, in a folder that is."
            else:
                way_out = f"is corrupt, or no campaign ({text}). Name another file."
            raise HarnessError(f"{self.path} {way_out}") from exc


def _opened(path: Path, seconds: float | None = None) -> sqlite3.Connection:
    # No transactions but those that are begun by hand.
    timeout = _BUSY_SECONDS if seconds is None else seconds
    return sqlite3.connect(path, timeout=timeout, isolation_level=None)


def _opened_to_read(path: Path) -> sqlite3.Connection:
    """Open a file that is there, and that nobody may be allowed to write."""
    if not path.exists():
        raise HarnessError(f"{path} is not there. Name the file that `stress --db` has written.")
    if path.is_dir():
        raise IsADirectoryError("it is a folder")
    uri = path.resolve().as_uri()
    connection = sqlite3.connect(
        f"{uri}?mode=ro", uri=True, timeout=_BUSY_SECONDS, isolation_level=None
    )
    try:
        connection.execute("PRAGMA user_version")
    except sqlite3.Error as exc:
        connection.close()
        if _code(exc) not in _READONLY or Path(f"{path}-wal").exists():
            raise
        # In a folder where no log can be made there is no log to heed, either.
        return sqlite3.connect(f"{uri}?immutable=1", uri=True, isolation_level=None)
    return connection


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _is_empty(connection: sqlite3.Connection) -> bool:
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    return not tables and not _version(connection)


def _has_run(outcome: Outcome) -> bool:
    """Tell whether a shard need not be run again."""
    return not outcome.problem and not outcome.unfinished


def _code(exc: BaseException) -> int:
    # The upper bits are details.
    return getattr(exc, "sqlite_errorcode", 0) & 0xFF
