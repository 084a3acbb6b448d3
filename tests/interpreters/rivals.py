"""Makes the environment in which `make bench-rivals` times the tools of others: .harness/rivals.

They are kept out of our own environment: they patch the same names as we do, and one of them needs
a newer Python than we do. What is measured, and how, is the affair of tests/bench/.
"""

from __future__ import annotations

import os
import sys

from tests.interpreters import environment, finding

RIVALS = ("interleave-test", "frontrun", "detangle")
# interleave-test refuses anything older.
OLDEST = (3, 12)


def choose(
    current: finding.Interpreter, rest: list[finding.Interpreter]
) -> finding.Interpreter | None:
    """Return the interpreter to use: the current one if new enough, else the oldest that is."""
    return next((each for each in (current, *rest) if each.minor >= OLDEST), None)


def main() -> int:
    """Make the environment, with this project in it, so that both sides run on one interpreter."""
    base = getattr(sys, "_base_executable", None) or sys.executable
    current = finding.Interpreter(base, sys.version_info[:3])
    chosen = choose(current, finding.others(current.minor, os.environ))
    if chosen is None:
        print("interleave-test needs Python 3.12 or later, and none was found", file=sys.stderr)
        return 1
    try:
        environment.ensure(
            environment.ROOT / ".harness" / "rivals", chosen.executable, ["-e", ".[test]", *RIVALS]
        )
    except environment.EnvironmentFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
