"""Makes an environment with nothing in it but the wheel of this project, as a user has it.

    .harness/wheel-3.12.1   made once: pip, and what the wheel needs
      └─ the wheel          built by each run of the tests, and put there if another one is there

Several processes share it: those who use it, all at once, and whoever changes it, alone. It does
not know what is tried in it.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import sys
import tomllib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.interpreters import environment

#: Who changes the environment waits for those who use it: seconds.
PATIENCE = 500


@contextmanager
def installed(shared: Path) -> Iterator[Path]:
    """Yield the interpreter of an environment that has the wheel of this very tree, and keep it so.

    Args:
        shared: a folder that all worker processes of this test run share, and no other run.
    """
    folder = environment.ROOT / ".harness" / f"wheel-{sys.version.split()[0]}"
    folder.parent.mkdir(exist_ok=True)
    shared.mkdir(exist_ok=True)
    # A lock of SQLite: who is killed holds up nobody.
    file = folder.with_name(f"{folder.name}.lock")
    with closing(sqlite3.connect(file, timeout=PATIENCE, isolation_level=None)) as lock:
        while True:
            lock.execute("BEGIN")
            # A reader from here to the end of its transaction.
            lock.execute("SELECT count(*) FROM sqlite_master").fetchone()
            wanted = _said(shared / "wheel.digest")
            if wanted is not None and _said(folder / ".wheel") == wanted:
                break
            # Nobody has put it there yet, or another run of the tests its own since.
            lock.execute("ROLLBACK")
            lock.execute("BEGIN EXCLUSIVE")
            (shared / "wheel.digest").write_text(_put(folder, built(shared)), "utf-8")
            lock.execute("ROLLBACK")
        yield environment.executable(folder)


def _put(folder: Path, wheel: Path) -> str:
    """Have the environment, with this wheel in it, and return the digest of the wheel."""
    project = tomllib.loads((environment.ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    base = getattr(sys, "_base_executable", None) or sys.executable
    needs = "\n".join([base, *project["dependencies"]])
    inside = environment.executable(folder)
    if not inside.exists() or _said(folder / ".needs") != needs:
        # Without uv: a user's environment has pip, and what the pages say is tried with it.
        environment.make(folder, base, project["dependencies"])
        (folder / ".needs").write_text(needs, "utf-8")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if _said(folder / ".wheel") != digest:
        (folder / ".wheel").unlink(missing_ok=True)
        install = [str(inside), "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
        environment.run([*install, "--force-reinstall", str(wheel)])
        (folder / ".wheel").write_text(digest, "utf-8")
    return digest


def built(shared: Path) -> Path:
    """Build the wheel as a release does, once in a run of the tests, and return its file."""
    folder = shared / "wheel"
    if not folder.exists():
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d"]
        environment.run([*build, str(folder)])
    (wheel,) = folder.glob("*.whl")
    return wheel


def _said(stamp: Path) -> str | None:
    return stamp.read_text("utf-8") if stamp.exists() else None


def clean_environment(python: Path, home: Path) -> dict[str, str]:
    """Return the variables that a shell of a user has, and none of ours.

    Args:
        python: the interpreter whose commands come first.
        home: a home folder.
    """
    path = os.pathsep.join([str(python.parent), os.defpath])
    # Neither a terminal's width nor its colours may change what is printed.
    shown = {"COLUMNS": "100", "NO_COLOR": "1", "LANG": "C.UTF-8"}
    # `pip install faultloom` finds what is there, and asks no index.
    return {"PATH": path, "HOME": str(home), "PIP_NO_INDEX": "1", **shown}
