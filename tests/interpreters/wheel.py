"""Makes an environment with nothing in it but the wheel of this project, as a user has it.

    .harness/wheel-3.12.1   made once: what the wheel needs, and pip
      └─ the wheel          built and put there anew by every run of the tests, by the first worker

It does not know what is tried in it.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import tomllib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.interpreters import environment


def installed(shared: Path) -> Path:
    """Return the interpreter of an environment that has the wheel of this very tree.

    Args:
        shared: a folder that all worker processes of this test run share, and no other run.
    """
    python = sys.version.split()[0]
    folder = environment.ROOT / ".harness" / f"wheel-{python}"
    project = tomllib.loads((environment.ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    base = getattr(sys, "_base_executable", None) or sys.executable
    with _alone(environment.ROOT / ".harness" / "wheel.lock"):
        # Without uv: a user's environment has pip, and what the pages say is tried with it.
        requirements = project["dependencies"]
        inside = environment.executable(folder)
        # Not the whole of pyproject.toml: the wheel itself is put there anew in any case.
        needs, stamp = "\n".join([base, *requirements]), folder / ".needs"
        if not (inside.exists() and stamp.exists() and stamp.read_text("utf-8") == needs):
            environment.make(folder, base, requirements)
            stamp.write_text(needs, "utf-8")
        done = shared / f"wheel-{python}.installed"
        if not done.exists():
            wheel = built(shared / "dist")
            install = [str(inside), "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
            environment.run([*install, "--force-reinstall", str(wheel)])
            done.touch()
    return inside


def built(folder: Path) -> Path:
    """Build the wheel as a release does, and return its file."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    environment.run(build)
    (wheel,) = folder.glob("*.whl")
    return wheel


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


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Let one process of this machine at a time into the block; who is killed holds up nobody."""
    file.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(file, timeout=600, isolation_level=None)) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        yield
