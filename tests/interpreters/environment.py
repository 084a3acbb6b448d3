"""Makes a virtual environment with this project installed in it, or finds that it is ready.

Runs on a bare interpreter, before anything is installed, so it uses the standard library only. It
does not know what the environment is for: the caller names a folder and an extra.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STAMP = ".ready"

NO_VENV = """\
{python} cannot make a virtual environment: its module {missing} is missing.
On Debian and Ubuntu: apt install python{version}-venv. Or name another one: make PYTHON=…"""


class EnvironmentFailed(Exception):
    """A virtual environment could not be made; the text says what to do."""


def executable(folder: Path) -> Path:
    """Return where an environment in `folder` keeps its interpreter."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def fingerprint(python: str, requirements: list[str]) -> str:
    """Return a text that changes when the environment must be made again."""
    project = (ROOT / "pyproject.toml").read_bytes()
    facts = [python, *requirements, str(ROOT), hashlib.sha256(project).hexdigest()]
    return "\n".join(facts)


def is_ready(folder: Path, wanted: str) -> bool:
    """Say whether `folder` holds an environment with this fingerprint."""
    stamp = folder / STAMP
    return executable(folder).exists() and stamp.exists() and stamp.read_text("utf-8") == wanted


def without_outer_environment() -> dict[str, str]:
    """Return the process environment without what would redirect a child interpreter."""
    hidden = {"VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH", "__PYVENV_LAUNCHER__"}
    return {name: value for name, value in os.environ.items() if name not in hidden}


def run(command: list[str]) -> None:
    """Run one step of the set-up quietly; show its output only if it fails."""
    environment = without_outer_environment() | {"UV_PYTHON_DOWNLOADS": "never"}
    outcome = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if outcome.returncode:
        message = f"{' '.join(command)}\nended with {outcome.returncode}:\n"
        raise EnvironmentFailed(message + outcome.stdout[-4000:] + outcome.stderr[-4000:])


def missing_module(python: str) -> str | None:
    """Return the module without which `python` makes no environment, if one is missing."""
    for module in ("venv", "ensurepip"):
        outcome = subprocess.run(
            [python, "-c", f"import {module}"], capture_output=True, check=False
        )
        if outcome.returncode:
            return module
    return None


def make(folder: Path, python: str, requirements: list[str], *, uv: str | None = None) -> None:
    """Make an environment of `python` in `folder` and install `requirements` into it.

    Args:
        folder: where; what stands there is replaced.
        python: path of the interpreter.
        requirements: as for `pip install`, run in the project's root.
        uv: path of uv, if it is to be used instead of venv and pip.

    Raises:
        EnvironmentFailed: the interpreter has no venv module, or a step failed.
    """
    wanted = fingerprint(python, requirements)
    if folder.exists():
        shutil.rmtree(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    inside = str(executable(folder))
    if uv is not None:
        run([uv, "venv", "--quiet", "--python", python, str(folder)])
        run([uv, "pip", "install", "--quiet", "--python", inside, *requirements])
    else:
        missing = missing_module(python)
        if missing is not None:
            version = f"{sys.version_info.major}.{sys.version_info.minor}"
            raise EnvironmentFailed(NO_VENV.format(python=python, missing=missing, version=version))
        run([python, "-m", "venv", str(folder)])
        install = [inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        # Whatever is imported is compiled then; most of it never is.
        run([*install, "--no-compile", *requirements])
    # Last, so that an interrupted set-up is begun again.
    (folder / STAMP).write_text(wanted, "utf-8")


def ensure(folder: Path, python: str, requirements: list[str]) -> Path:
    """Make the environment unless it is ready, and return its interpreter."""
    if not is_ready(folder, fingerprint(python, requirements)):
        print(f"setting up {folder} with {python}", file=sys.stderr, flush=True)
        make(folder, python, requirements, uv=shutil.which("uv"))
    return executable(folder)


def main(arguments: list[str]) -> int:
    """Set up one environment of the interpreter that runs this, or of the one it was made from."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("extra")
    options = parser.parse_args(arguments)
    # An environment's own interpreter cannot replace the environment it lives in.
    python = getattr(sys, "_base_executable", None) or sys.executable
    try:
        ensure((ROOT / options.folder).absolute(), python, ["-e", f".[{options.extra}]"])
    except EnvironmentFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
