"""Finds the supported Python interpreters of this machine that really start.

A name on PATH proves nothing: a version manager's shim exists for every version ever installed and
may refuse to start. So each candidate is asked who it is, and only an answer counts. This module
does not know what the interpreters are for, nor how an environment is made of one.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

SUPPORTED = ((3, 11), (3, 12), (3, 13), (3, 14))

ANSWER_WITHIN = 20.0

# The base interpreter: an environment that happens to be active on PATH may vanish at any time.
QUESTION = """\
import json, sys, sysconfig
print(json.dumps({
    "executable": getattr(sys, "_base_executable", None) or sys.executable,
    "implementation": sys.implementation.name,
    "version": list(sys.version_info[:3]),
    "release": sys.version_info.releaselevel,
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
}))
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A CPython that started and said who it is."""

    executable: str
    version: tuple[int, int, int]

    @property
    def minor(self) -> tuple[int, int]:
        """The version as people choose it: (3, 12)."""
        return self.version[:2]

    @property
    def name(self) -> str:
        """The name of a folder for it: python3.12.1."""
        return "python" + ".".join(map(str, self.version))


def others(current: tuple[int, int], environment: Mapping[str, str]) -> list[Interpreter]:
    """Return one interpreter for each supported version but `current`, oldest version first."""
    newest: dict[tuple[int, int], Interpreter] = {}
    for interpreter in filter(None, map(ask, candidates(environment))):
        known = newest.get(interpreter.minor)
        if known is None or interpreter.version > known.version:
            newest[interpreter.minor] = interpreter
    return [newest[minor] for minor in SUPPORTED if minor in newest and minor != current]


def candidates(environment: Mapping[str, str]) -> list[str]:
    """Return every path at which an interpreter might be, each once: PATH first, then pyenv's."""
    versioned = [f"python{major}.{minor}" for major, minor in SUPPORTED]
    folders = [Path(folder) for folder in environment.get("PATH", "").split(os.pathsep) if folder]
    found = [folder / name for folder in folders for name in (*versioned, "python3")]
    found += pyenv_interpreters(environment)
    return list(dict.fromkeys(str(path) for path in found if path.is_file()))


def pyenv_interpreters(environment: Mapping[str, str]) -> list[Path]:
    """Return the interpreters below pyenv's folder, whatever version is chosen at the moment."""
    home = environment.get("HOME")
    root = environment.get("PYENV_ROOT") or (str(Path(home) / ".pyenv") if home else None)
    if root is None:
        return []
    return sorted(Path(root).glob("versions/*/bin/python3"))


def ask(path: str, *, start: Callable[[str], str | None] | None = None) -> Interpreter | None:
    """Start `path` and return who it says it is, or None if it is nothing that we support.

    Args:
        path: of the candidate.
        start: runs QUESTION on it and returns what it printed; None if it did not start.
    """
    printed = (start or start_and_read)(path)
    try:
        said = json.loads(printed or "")
        version = tuple(said["version"])
        is_supported = (
            said["implementation"] == "cpython"
            and said["release"] == "final"
            and not said["free_threaded"]
            and version[:2] in SUPPORTED
        )
    except (ValueError, KeyError, TypeError):
        return None
    return Interpreter(said["executable"], version) if is_supported else None


def start_and_read(path: str) -> str | None:
    """Run QUESTION on the interpreter at `path`; None if it does not start, fails or hangs."""
    try:
        outcome = subprocess.run(
            [path, "-I", "-c", QUESTION],
            capture_output=True,
            text=True,
            timeout=ANSWER_WITHIN,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return outcome.stdout if outcome.returncode == 0 else None


def described(interpreters: Iterable[Interpreter]) -> str:
    """Return one line that names the interpreters."""
    return ", ".join(interpreter.name for interpreter in interpreters) or "none"
