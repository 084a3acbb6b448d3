"""Keeps the failures that searches found, so that later runs begin with them.

    found where a cell must hold ─► one row (scenario, class, token)
                                      └─ run before each search: violates ─► held = 0
                                                                 holds    ─► held + 1, at 10 gone

One SQLite file, `.harness/corpus.sqlite`, which several processes may write and any of which may be
killed. A connection lives for one short transaction, so nothing is held in between that another
process would have to wait for. What goes wrong here never changes a verdict: it is one line, and
the run goes on. This module does not know how a token is run or what a failure is worth.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    import sqlite3

FOLDER: Final = ".harness"
FILE: Final = "corpus.sqlite"

#: Version of the schema, in the file's `user_version`.
VERSION: Final = 1

#: Failures kept of one scenario with one class.
FAILURES_MAX: Final = 20

#: A failure that has held so many times in a row is forgotten.
FORGET_AFTER: Final = 10

_BUSY_SECONDS: Final = 10.0
_BESIDE: Final = ("-wal", "-shm")
_COLUMNS: Final = "number, scenario, class, token, violated, held"
_SCHEMA: Final = """
CREATE TABLE failures (
    number INTEGER PRIMARY KEY,
    scenario TEXT NOT NULL,
    class TEXT NOT NULL,
    token TEXT NOT NULL,
    violated TEXT NOT NULL,
    held INTEGER NOT NULL DEFAULT 0,
    UNIQUE (scenario, class, token)
)
"""
# Primary result codes that say the file is not what it should be: SQL that does not fit it, a
# malformed page, no database. All others are about the place, not the file.
_DAMAGE: Final = frozenset({1, 11, 26})

T = TypeVar("T")


class _Unusable(Exception):
    """What is wrong with the file: the name it is kept under, and why."""

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(why)
        self.kind = kind


def is_wanted(said: bool | None) -> bool:  # noqa: FBT001 - three answers, not a switch
    """Return whether a corpus is used: as was said, else everywhere but on a build machine."""
    return not os.environ.get("CI") if said is None else said


class Corpus:
    """The stored failures of one project. One thread; any number of processes.

    Args:
        root: the project's root folder, which holds `.harness/`; nothing is made there before there
            is a failure to keep.
        warn: is told, in one line, what went wrong.
        forget_after: times in a row that a failure must hold to be forgotten.
    """

    # invariant: no connection is open between two calls

    def __init__(
        self, root: Path, warn: Callable[[str], object], *, forget_after: int = FORGET_AFTER
    ) -> None:
        self.root = root
        self.warn = warn
        self.forget_after = forget_after
        self.path = root / FOLDER / FILE
        self._is_readable = True
        self._is_writable = True

    def name_of(self, path: Path, name: str) -> str:
        """Return how a scenario is called here: the same from whatever folder it is run."""
        path = path.resolve()
        root = self.root.resolve()
        shown = path.relative_to(root) if path.is_relative_to(root) else path
        # A file name that is no text has no place in a column of text.
        return f"{shown.as_posix()}::{name}".encode("utf-8", "backslashreplace").decode()

    def tokens(self, scenario: str, class_name: str) -> tuple[str, ...]:
        """Return the stored failures of one scenario with one class, oldest first."""

        def read(connection: sqlite3.Connection) -> tuple[str, ...]:
            rows = connection.execute(
                "SELECT token FROM failures WHERE scenario = ? AND class = ? ORDER BY number",
                (scenario, class_name),
            )
            return tuple(token for (token,) in rows)

        return self._attempt(read, otherwise=(), is_writing=False)

    def store(self, scenario: str, class_name: str, token: str, check: str) -> None:
        """Keep a failure, or say that a stored one still violates.

        Of more than `FAILURES_MAX`, the oldest that held goes, or else the oldest.
        """
        self._write(_store, (scenario, class_name, token), check)

    def held(self, scenario: str, class_name: str, token: str) -> None:
        """Say that a stored failure did not violate."""
        self._write(_held, (scenario, class_name, token), self.forget_after)

    # --- one transaction --------------------------------------------------------------------------

    def _write(
        self,
        act: Callable[[sqlite3.Connection, tuple[str, str, str], T], None],
        key: tuple[str, str, str],
        value: T,
    ) -> None:
        def write(connection: sqlite3.Connection) -> None:
            # Takes the lock at once: one that is upgraded later can fail without waiting.
            connection.execute("BEGIN IMMEDIATE")
            act(connection, key, value)
            connection.execute("COMMIT")

        self._attempt(write, otherwise=None, is_writing=True)

    def _attempt(
        self, act: Callable[[sqlite3.Connection], T], *, otherwise: T, is_writing: bool
    ) -> T:
        """Do something with the file; where that is impossible, warn once and answer `otherwise`.

        A file that is damaged or too new is set aside, and the same is done with a fresh one.
        """
        if not (self._is_writable if is_writing else self._is_readable):
            return otherwise
        try:
            import sqlite3  # noqa: PLC0415 - few sessions ever need it
        except ImportError as exc:
            self._give_up(exc, is_writing=is_writing)
            return otherwise
        try:
            if is_writing:
                self.path.parent.mkdir(exist_ok=True)
            elif not self.path.exists():
                return otherwise
            try:
                return self._do(act)
            except (_Unusable, sqlite3.DatabaseError) as exc:
                if _unusable(exc) is None:
                    raise
                self._set_aside()
                return self._do(act)
        except (_Unusable, sqlite3.Error, OSError) as exc:
            self._give_up(exc, is_writing=is_writing)
            return otherwise

    def _do(self, act: Callable[[sqlite3.Connection], T]) -> T:
        with self._connected() as connection:
            _prepare(connection)
            return act(connection)

    @contextlib.contextmanager
    def _connected(self, path: Path | None = None) -> Iterator[sqlite3.Connection]:
        import sqlite3  # noqa: PLC0415 - as above

        # No transactions but the ones that are begun by hand; closing rolls back what is open.
        with contextlib.closing(
            sqlite3.connect(path or self.path, timeout=_BUSY_SECONDS, isolation_level=None)
        ) as connection:
            yield connection

    def _give_up(self, exc: BaseException, *, is_writing: bool) -> None:
        """Warn, once, and leave the file alone: a folder that is full stays full."""
        if self._is_readable and self._is_writable:
            reason = exc.strerror if isinstance(exc, OSError) else None
            does = "written: failures are not kept" if is_writing else "read: it is not used"
            text = " ".join(str(reason or exc).split())
            self.warn(f"{self._shown(self.path)} cannot be {does} ({text}). The run goes on.")
        self._is_writable = False
        self._is_readable = self._is_readable and is_writing

    def _shown(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    # --- a file that cannot be used ---------------------------------------------------------------

    def _set_aside(self) -> None:
        """Keep the file under another name, unless another process has done so already.

        Under a lock: of two processes that met the same bad file, the second would set aside the
        good one that the first began. A lock of SQLite's ends with the process that holds it.
        """
        with self._connected(self.path.with_suffix(".lock")) as lock:
            lock.execute("BEGIN EXCLUSIVE")
            problem = self._problem()
            if problem is None:
                return
            kept = self._free_name(problem.kind)
            # Its log first: a fresh file must not be met by the log of another.
            for ending in (*_BESIDE, ""):
                with contextlib.suppress(FileNotFoundError):
                    Path(f"{self.path}{ending}").rename(f"{kept}{ending}")
        self.warn(
            f"{self._shown(self.path)} {problem}: it is kept as {self._shown(kept)}, "
            "and a new one is begun."
        )

    def _problem(self) -> _Unusable | None:
        import sqlite3  # noqa: PLC0415 - as above

        try:
            with self._connected() as connection:
                _prepare(connection)
                found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
                return None if found == "ok" else _corrupt(found)
        except (_Unusable, sqlite3.DatabaseError) as exc:
            problem = _unusable(exc)
            if problem is None:
                raise
            return problem

    def _free_name(self, kind: str) -> Path:
        """Return `corpus.sqlite.corrupt-1`, or `…-2`; `corpus.sqlite.version-9`, or `…-9-2`."""
        number = 1
        while True:
            ending = f"{kind}-{number}" if kind == "corrupt" or number > 1 else kind
            kept = self.path.with_name(f"{FILE}.{ending}")
            if not kept.exists():
                return kept
            number += 1


def _store(connection: sqlite3.Connection, key: tuple[str, str, str], check: str) -> None:
    connection.execute(
        "INSERT INTO failures (scenario, class, token, violated) VALUES (?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET held = 0, violated = excluded.violated",
        (*key, check),
    )
    # Beyond the bound go those that held, the oldest first, then the oldest of the others.
    connection.execute(
        "DELETE FROM failures WHERE number IN ("
        "SELECT number FROM failures WHERE scenario = ? AND class = ? "
        "ORDER BY token = ? DESC, held = 0 DESC, number DESC LIMIT -1 OFFSET ?)",
        (*key[:2], key[2], FAILURES_MAX),
    )


def _held(connection: sqlite3.Connection, key: tuple[str, str, str], forget_after: int) -> None:
    where = "WHERE scenario = ? AND class = ? AND token = ?"
    connection.execute(f"UPDATE failures SET held = held + 1 {where}", key)  # noqa: S608 - own names
    connection.execute(
        f"DELETE FROM failures {where} AND held >= ?",  # noqa: S608 - own names
        (*key, forget_after),
    )


def _prepare(connection: sqlite3.Connection) -> None:
    """Make the table where there is none; leave a file that is none of ours as it is.

    Raises:
        _Unusable: the file is of a newer version, or something else.
        sqlite3.DatabaseError: it cannot be read, or the table is another one.
    """
    import sqlite3  # noqa: PLC0415 - as above

    # A byte that went bad in a text spoils one token, which has a checksum, and not the file.
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    if _version(connection) == 0:
        connection.execute("BEGIN IMMEDIATE")
        # Another process may have made it meanwhile.
        if _version(connection) == 0:
            if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                raise _corrupt("it holds something else")
            connection.execute(_SCHEMA)
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    version = _version(connection)
    if version < VERSION:
        raise _corrupt(f"its version is {version}")
    if version > VERSION:
        raise _Unusable(
            f"version-{version}", f"is of version {version}, and the newest known is {VERSION}"
        )
    connection.execute(f"SELECT {_COLUMNS} FROM failures LIMIT 0")  # noqa: S608 - own names
    # The file remembers it; what is switching it just now need not be waited for.
    with contextlib.suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA journal_mode = WAL")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _corrupt(why: str) -> _Unusable:
    return _Unusable("corrupt", f"is corrupt ({' '.join(why.split())})")


def _unusable(exc: BaseException) -> _Unusable | None:
    """Return what is wrong with the file, None if something is wrong with the place instead."""
    if isinstance(exc, _Unusable):
        return exc
    # The upper bits of a result code are details.
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    return _corrupt(str(exc)) if code in _DAMAGE else None
