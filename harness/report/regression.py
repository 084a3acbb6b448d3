"""Writes a violating run down as a test: a file that imports the scenario and pins the schedule.

It fails as long as the bug is there and holds once it is mended, whatever a search would find. It
knows names and files; whether the test does fail is for whoever runs it to see.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from keyword import iskeyword
from pathlib import Path
from typing import Final

from harness.errors import MADE_UP, HarnessError, Violation

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
        module = rest if first.startswith(MADE_UP) else thing.__module__
        depth = module.count(".") + (file.name == "__init__.py")
        return cls(name, module, file.resolve().parents[depth], file)

    def imported(self, alias: str = "") -> str:
        """Return the line that imports it, under another name if one is given."""
        if all(part.isidentifier() and not iskeyword(part) for part in self.module.split(".")):
            return f"from {self.module} import {self.name}{f' as {alias}' if alias else ''}"
        # By the same finders: they rewrite asserts, where there are points.
        return f'{alias or self.name} = import_module("{self.module}").{self.name}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What pytest gives a scenario besides simulation and class.

    Args:
        imported: as what fixtures of the scenario's own file stand there.
        used: fixtures that it has made and is not handed.
        values: what its parameters were, as literals.
        indirect: those of them that are handed to fixtures of that name.
        folders: fixtures that are found in a folder, and in those below it, only.
    """

    imported: Sequence[str] = ()
    used: Sequence[str] = ()
    values: Mapping[str, str] = field(default_factory=dict)
    indirect: Sequence[str] = ()
    folders: Mapping[str, Path] = field(default_factory=dict)

    def check_reach(self, folder: Path) -> None:
        """Raise if a fixture is not found in `folder`.

        Raises:
            HarnessError: there is one.
        """
        for name, below in self.folders.items():
            if not folder.resolve().is_relative_to(below.resolve()):
                raise HarnessError(
                    f"no test can be written to {folder}: it has no fixture {name}, which is for "
                    f"{below} and what lies below. Write it there."
                )

    def marks(self) -> list[str]:
        """Return the decorators that ask for the same again."""
        marks = [f'@pytest.mark.usefixtures("{name}")' for name in self.used]
        for name, value in self.values.items():
            indirect = ", indirect=True" if name in self.indirect else ""
            marks.append(f'@pytest.mark.parametrize("{name}", [{value}]{indirect})')
        return marks


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
        given: where its fixtures come from.
    """

    scenario: Named
    subject: Named | None
    is_async: bool
    fixtures: Sequence[str]
    under_test: Sequence[str]
    token: str
    violation: Violation
    given: Given = field(default_factory=Given)

    @property
    def file_name(self) -> str:
        """How the file could be called."""
        return f"{self._test_name}.py"

    def text(self, folder: Path) -> str:
        """Return the file, to be saved in `folder`.

        Raises:
            HarnessError: a fixture is not found there.
        """
        self.given.check_reach(folder)
        things = [each for each in (self.scenario, self.subject) if each is not None]
        roots = dict.fromkeys(each.root for each in things if each.root != folder.resolve())
        way = [_relative(root, folder.resolve()) for root in roots]
        imports = [each.imported("original" if each is self.scenario else "") for each in things]
        # Who tidies imports up sees no use of a fixture.
        imports += [
            f"{replace(self.scenario, name=each).imported()}  # noqa: F401 - a fixture"
            for each in self.given.imported
        ]
        by_function = any(" = import_module(" in each for each in imports)
        needed = [
            *(["import sys"] if way else []),
            *(["from importlib import import_module"] if by_function else []),
            *(["from pathlib import Path"] if way else []),
        ]
        # What the imports below need comes before them.
        steps = [f'sys.path.insert(0, str(Path(__file__).parent / "{each}"))' for each in way]
        lines = [
            *self._head(),
            *([*needed, ""] if needed else []),
            *(["import pytest"] if self.given.marks() else []),
            "from harness import scenario",
            *([""] if steps or by_function else []),
            *steps,
            *imports,
            *self._test(),
        ]
        return "\n".join(lines)

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
            *self.given.marks(),
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
