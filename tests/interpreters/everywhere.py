"""Runs what may differ between Python versions on every other supported one of this machine.

That is: the probes, determinism, the points inserted into byte code, the wheel in an environment of
its own, and one storm per component.
Each interpreter has an environment of its own under .harness/, kept for next time. The output ends
with pytest's own summary line: the runs follow each other, and the first that fails is the last.
"""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.interpreters import environment, finding

ALWAYS = (
    "tests/test_probes.py",
    "tests/test_determinism.py",
    "tests/test_wheel.py",
    "tests/world/test_points.py",
)


def storms(root: Path) -> list[str]:
    """Return the first scenario of each component, as pytest wants it named."""
    first: dict[str, str] = {}
    for path in sorted(root.glob("scenarios/**/storms.py")):
        component = path.relative_to(root).parts[1]
        name = first_scenario(path.read_text("utf-8"))
        if name is not None:
            first.setdefault(component, f"{path.relative_to(root).as_posix()}::{name}")
    return list(first.values())


def first_scenario(source: str) -> str | None:
    """Return the name of the first function of a module that is decorated with `@scenario`."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and any(
            is_scenario(decorator) for decorator in node.decorator_list
        ):
            return node.name
    return None


def is_scenario(decorator: ast.expr) -> bool:
    """Say whether a decorator is `@scenario`, `@scenario(…)` or `@harness.scenario(…)`."""
    while isinstance(decorator, ast.Call):
        decorator = decorator.func
    name = decorator.attr if isinstance(decorator, ast.Attribute) else decorator
    return name == "scenario" or (isinstance(name, ast.Name) and name.id == "scenario")


def command(python: Path, root: Path) -> list[str]:
    """Return the command that runs the selection on one interpreter."""
    chosen = [*ALWAYS, *storms(root)]
    return [str(python), "-m", "pytest", "-n", "auto", *chosen]


def prepared(found: Sequence[finding.Interpreter]) -> list[Path]:
    """Make an environment for each interpreter, all at once: half of it is waiting for downloads.

    Raises:
        EnvironmentFailed: one could not be made.
    """

    def make(interpreter: finding.Interpreter) -> Path:
        folder = environment.ROOT / ".harness" / interpreter.name
        return environment.ensure(folder, interpreter.executable, ["-e", ".[test]"])

    with ThreadPoolExecutor() as pool:
        return list(pool.map(make, found))


def main(arguments: list[str]) -> int:
    """Run the selection on each other interpreter; on this one if there is no other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prepare", action="store_true", help="only make their environments")
    options = parser.parse_args(arguments)
    found = finding.others(sys.version_info[:2], os.environ)
    print(f"other supported interpreters: {finding.described(found)}", flush=True)
    try:
        pythons = prepared(found)
    except environment.EnvironmentFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    if options.prepare:
        return 0
    for python in pythons or [Path(sys.executable)]:
        print(f"\n{python}", flush=True)
        outcome = subprocess.run(
            command(python, environment.ROOT),
            cwd=environment.ROOT,
            env=environment.without_outer_environment(),
            check=False,
        )
        if outcome.returncode:
            return outcome.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
