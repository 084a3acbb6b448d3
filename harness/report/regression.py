"""Writes a violating run down as a test: a file that imports the scenario and pins the schedule.

It fails as long as the bug is there and holds once it is mended, whatever a search would find. It
knows names and files; whether the test does fail is for whoever runs it to see.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.errors import HarnessError, Violation

#: What a module is prefixed with that was imported from a folder which is no package.
_MADE_UP: Final = "harness_scenarios_"
#: Of the docstring.
WIDTH: Final = 88


@dataclass(frozen=True, slots=True)
class Named:
    """A function or class, as an import finds it.

    Args:
        name: its name in its module.
        module: dotted name of the module.
        root: the folder that this name is looked up from.
        file: where it stands.
    """

    name: str
    module: str
    root: Path
    file: Path

    @classmethod
    def of(cls, thing: type | Callable[..., object], file: Path) -> Named:
        """Return how something that is defined in `file` is imported.

        Raises:
            HarnessError: it lies inside a function or a class.
        """
        name = thing.__qualname__
        if "." in name:
            raise HarnessError(
                f"no test can be written for {name}: it cannot be imported. "
                "Define it at the top of a module."
            )
        first, _, rest = thing.__module__.partition(".")
        module = rest if first.startswith(_MADE_UP) else thing.__module__
        depth = module.count(".") + (file.name == "__init__.py")
        return cls(name, module, file.resolve().parents[depth], file)


@dataclass(frozen=True, slots=True)
class Regression:
    """A violating run of a scenario, to be written down.

    Args:
        scenario: the function under `@scenario`.
        subject: the class that it ran with, None if there is none.
        is_async: it is a coroutine function.
        fixtures: its parameters besides simulation and class.
        under_test: further modules with scheduling points.
        token: the run.
        violation: what came of it.
    """

    scenario: Named
    subject: Named | None
    is_async: bool
    fixtures: Sequence[str]
    under_test: Sequence[str]
    token: str
    violation: Violation

    @property
    def file_name(self) -> str:
        """How the file could be called."""
        return f"{self._test_name}.py"

    def text(self, folder: Path) -> str:
        """Return the file, to be saved in `folder`."""
        things = [each for each in (self.scenario, self.subject) if each is not None]
        roots = dict.fromkeys(each.root for each in things if each.root != folder.resolve())
        way = [_relative(root, folder.resolve()) for root in roots]
        imports = [f"from {self.scenario.module} import {self.scenario.name} as original"]
        if self.subject is not None:
            imports.append(f"from {self.subject.module} import {self.subject.name}")
        if not way:
            return "\n".join(
                [*self._head(), "from harness import scenario", *imports, *self._test()]
            )
        # What the imports below need comes before them.
        needed = ["import sys", "from pathlib import Path", "", "from harness import scenario", ""]
        steps = [f'sys.path.insert(0, str(Path(__file__).parent / "{each}"))' for each in way]
        return "\n".join([*self._head(), *needed, *steps, *imports, *self._test()])

    @property
    def _test_name(self) -> str:
        return f"test_{self.scenario.name.removeprefix('test_')}_again"

    def _head(self) -> list[str]:
        told = [text for label, text in self.violation.evidence if label == "because"]
        lines = [f"Regression: {self.violation.summary}", "", *told]
        first, *others = [_inside_a_docstring(line) for each in lines for line in _wrapped(each)]
        return [f'"""{first}', *others, '"""', ""]

    def _test(self) -> list[str]:
        arguments = ["sim", *(["cls"] if self.subject is not None else []), *self.fixtures]
        given = [self.subject.name, "matrix=False"] if self.subject is not None else []
        if self.under_test:
            given.append(f"under_test={tuple(self.under_test)!r}")
        settings = "".join(f"    {each},\n" for each in given)
        prefix, awaited = ("async ", "await ") if self.is_async else ("", "")
        return [
            "",
            "",
            f'@scenario(\n{settings}    schedules=[\n        "{self.token}",\n    ],\n)',
            f"{prefix}def {self._test_name}({', '.join(arguments)}):",
            '    """The schedule that violated violates no more."""',
            f"    {awaited}original({', '.join(arguments)})",
            "",
        ]


def _relative(root: Path, folder: Path) -> str:
    return Path(os.path.relpath(root, folder)).as_posix()


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, WIDTH, break_long_words=False, break_on_hyphens=False) or [""]


def _inside_a_docstring(line: str) -> str:
    return line.replace("\\", "\\\\").replace('"""', "'''")
