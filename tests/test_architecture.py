"""The rules of the tree that no reviewer should have to watch, each with the proof that it fires.

A rule is a function from the root of a tree to what is wrong in it, one line each with its place.
It runs twice: on this project, where it must find nothing, and on a tree of a few files planted to
break it. Formatting, types and everything else that a tool checks better is not here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

Rule = Callable[[Path], list[str]]

# From the ground up. A module imports from lower rows only, and from its siblings inside a package.
ROWS = (
    ("errors",),
    ("core",),
    ("search", "faults"),
    ("world",),
    ("doubles", "snapshot"),
    ("checks",),
    ("simulation",),
    ("trial",),
    ("report",),
    ("explore", "corpus"),
    ("scenario",),
    ("authoring", "campaign", "hypothesis", "testing"),
    ("pytest_stress",),
    ("pytest_report", "pytest_ground", "pytest_fixtures"),
    ("pytest_plugin", "cli"),
    ("__main__",),
)
LAYERS = {name: number for number, row in enumerate(ROWS) for name in row}

TOP_LEVEL = {
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "docs",
    "harness",
    "pyproject.toml",
    "scenarios",
    "tests",
}
# What tools leave behind; .gitignore keeps it out of the tree.
GENERATED = {"build", "dist"}
# Folders whose files are ours to judge.
SOURCES = ("harness", "scenarios", "tests")
TEXTS = {".md", ".py", ".toml", ".yml", ".yaml", ".json", ".txt", ""}

IMPURE = {"threading", "_thread", "asyncio", "time", "os", "datetime", "selectors", "greenlet"}
POSIX_ONLY = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}

BANNED_WORDS = {"Manager", "Helper", "Helpers", "Util", "Utils", "Base"}
BANNED_MODULES = {"base", "helper", "helpers", "manager", "util", "utils"}

ROW = re.compile(r"[A-Z](?:-M)?\d+[a-z]?(?:, [A-Z](?:-M)?\d+[a-z]?)*: \S")
HEADINGS = ("Bug:", "Seen in:", "Caught by:")

# Places of one machine, and hosts of packages. Brackets, so that this file passes its own rule.
FORBIDDEN = re.compile(
    r"(?<![\w./-])/(?:h[o]me|r[o]ot|U[s]ers|w[o]rk|m[n]t|o[p]t|pr[i]vate)/"
    r"|[a-zA-Z]:\\U[s]ers"
    r"|py[p]i\.org|pyth[o]nhosted|registry\.n[p]mjs"
)

# Tests that belong to a package of harness/ but to no single module of it.
WITHOUT_MODULE = {
    "tests/doubles/test_broken.py",
    "tests/doubles/test_outside.py",
    "tests/world/test_surface.py",
}


def python_files(root: Path, *folders: str) -> Iterator[tuple[str, Path]]:
    """Yield every Python file in `folders`, as a relative path with slashes and as a path."""
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            yield path.relative_to(root).as_posix(), path


def parsed(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text("utf-8"), str(path))


def imports(tree: ast.AST, package: str) -> Iterator[tuple[int, str, str | None]]:
    """Yield every import anywhere in a module as line, module and imported name, if there is one.

    Args:
        tree: what to search; imports inside functions and under TYPE_CHECKING count as others do.
        package: the dotted package that relative imports start from.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, None
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                module = ".".join([*above, *filter(None, [module])])
            for alias in node.names:
                yield node.lineno, module, alias.name
        elif isinstance(node, ast.Call) and called(node) == "import_module" and node.args:
            named = node.args[0]
            if isinstance(named, ast.Constant) and isinstance(named.value, str):
                yield node.lineno, named.value, None


def called(node: ast.Call) -> str | None:
    """Return the last part of the name of what is called."""
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else None


def package_of(name: str) -> str:
    """Return the dotted package that the file `name` lies in."""
    return name.rsplit("/", 1)[0].replace("/", ".")


# --- the rules ------------------------------------------------------------------------------------


def layers(root: Path) -> list[str]:
    """A module of harness/ imports only from lower layers and from its siblings in a package."""
    wrong = []
    for name, path in python_files(root, "harness"):
        if name == "harness/__init__.py":
            # The front door serves names from every layer, and is imported by none.
            continue
        own = layer_name(name.removeprefix("harness/").removesuffix(".py").split("/"))
        if own not in LAYERS:
            wrong.append(f"{name}:1: {own} has no layer")
            continue
        for line, module, imported in imports(parsed(path), package_of(name)):
            if module.split(".")[0] != "harness":
                continue
            parts = [*module.split(".")[1:], *filter(None, [imported])]
            target = layer_name(parts)
            if target not in LAYERS:
                wrong.append(f"{name}:{line}: imports {target or 'harness'} from the front door")
            elif target != own and LAYERS[target] >= LAYERS[own]:
                wrong.append(f"{name}:{line}: {own} imports {target}, which is no lower layer")
    return wrong


def layer_name(parts: list[str]) -> str:
    """Return the part of a dotted name below harness that decides its layer."""
    return parts[0] if parts else ""


def docstrings(root: Path) -> list[str]:
    """Every module opens with a docstring."""
    return [
        f"{name}:1: opens without a docstring"
        for name, path in python_files(root, *SOURCES)
        if not ast.get_docstring(parsed(path))
    ]


def names(root: Path) -> list[str]:
    """No class, function or module is called by a word that says nothing."""
    wrong = []
    for name, path in python_files(root, *SOURCES):
        if path.stem in BANNED_MODULES:
            wrong.append(f"{name}:1: a module called {path.stem}")
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef):
                words = set(re.findall(r"[A-Z][a-z0-9]*", node.name))
                if words & BANNED_WORDS:
                    wrong.append(f"{name}:{node.lineno}: class {node.name}")
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                if node.name.lstrip("_").startswith("do_"):
                    wrong.append(f"{name}:{node.lineno}: function {node.name}")
    return wrong


def headings(root: Path) -> list[str]:
    """Every class of a broken.py says its row, the bug, where it was seen and what catches it."""
    wrong = []
    for name, path in python_files(root, "scenarios"):
        if path.name != "broken.py":
            continue
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef):
                text = ast.get_docstring(node) or ""
                wrong += [
                    f"{name}:{node.lineno}: {node.name}: {what}" for what in missing(text, node)
                ]
    return wrong


def missing(text: str, variant: ast.ClassDef) -> Iterator[str]:
    """Yield what the docstring of a broken variant lacks."""
    lines = [line.strip() for line in text.splitlines()]
    # The twin that one lock makes safe and slow stands in no table of bugs.
    if not ROW.match(text) and not variant.name.endswith("Serialised"):
        yield "the first line does not start with its row, like `R9: `"
    if not lines or lines[0].startswith(HEADINGS):
        yield "no line says what it does"
    found = [heading for line in lines for heading in HEADINGS if line.startswith(heading)]
    if found != list(HEADINGS):
        yield f"headings are {found}, not {list(HEADINGS)}"
    yield from (f"{heading} says nothing" for heading in HEADINGS if heading in lines)


def references(root: Path) -> list[str]:
    """A reference, and whatever of scenarios/ it imports, imports nothing from harness."""
    wrong = []
    for name, path in python_files(root, "scenarios"):
        if path.name in {"reference.py", "policy.py"}:
            wrong += [f"{name}: {what}" for what in reaches_harness(root, path, set())]
    return wrong


def reaches_harness(root: Path, path: Path, seen: set[Path]) -> Iterator[str]:
    """Yield every import of harness in a file of scenarios/ and in those that it imports."""
    if path in seen or not path.is_file():
        return
    seen.add(path)
    name = path.relative_to(root).as_posix()
    for line, module, imported in imports(parsed(path), package_of(name)):
        top = module.split(".")[0]
        if top == "harness":
            yield f"{name}:{line} imports {module}"
        elif top == "scenarios":
            target = root.joinpath(*module.split("."))
            for next_path in (target.with_suffix(".py"), target / f"{imported}.py"):
                yield from reaches_harness(root, next_path, seen)


def purity(root: Path) -> list[str]:
    """core/ imports nothing that has a clock, a thread, a loop or chance of its own."""
    wrong = []
    for name, path in python_files(root, "harness/core"):
        for line, module, imported in imports(parsed(path), package_of(name)):
            top = module.split(".")[0]
            # A private, seeded generator is a pure value; the functions of the module share one.
            if top in IMPURE or (top == "random" and imported != "Random"):
                wrong.append(f"{name}:{line}: imports {module}")
    return wrong


def stars(root: Path) -> list[str]:
    """Nothing is imported by a star."""
    return [
        f"{name}:{line}: from {module} import *"
        for name, path in python_files(root, *SOURCES)
        for line, module, imported in imports(parsed(path), package_of(name))
        if imported == "*"
    ]


def places(root: Path) -> list[str]:
    """No file names a place of one machine, or a host that packages come from."""
    wrong = []
    for path in texts(root):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            found = FORBIDDEN.search(line)
            if found is not None:
                wrong.append(f"{path.relative_to(root).as_posix()}:{number}: {found[0]}")
    return wrong


def texts(root: Path) -> Iterator[Path]:
    """Yield every text file that belongs to the tree."""
    ours = [path for path in root.iterdir() if path.is_file() and path.name in TOP_LEVEL]
    for folder in (*SOURCES, "docs", ".ci", ".github"):
        ours += [path for path in (root / folder).rglob("*") if path.is_file()]
    yield from sorted(
        path for path in ours if path.suffix in TEXTS and "__pycache__" not in path.parts
    )


def portability(root: Path) -> list[str]:
    """No module needs a POSIX-only one to be imported."""
    wrong = []
    for name, path in python_files(root, *SOURCES):
        # Only what runs unconditionally: under `if` or `try` there is another way.
        for node in parsed(path).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                wrong += [
                    f"{name}:{line}: imports {module} at module level"
                    for line, module, _ in imports(node, package_of(name))
                    if module.split(".")[0] in POSIX_ONLY
                ]
    return wrong


def top_level(root: Path) -> list[str]:
    """The root holds what the design lists, dot-files, and nothing else."""
    return [
        f"{path.name}: does not belong in the root"
        for path in sorted(root.iterdir())
        if not path.name.startswith(".")
        and path.name not in TOP_LEVEL | GENERATED
        and path.suffix != ".egg-info"
    ]


def mirror(root: Path) -> list[str]:
    """A test file in a folder that mirrors a package of harness/ is named after a module of it."""
    wrong = []
    packages = {path.name for path in (root / "harness").iterdir() if path.is_dir()}
    for name, path in python_files(root, "tests"):
        folder = path.parent.relative_to(root / "tests")
        if not path.name.startswith("test_") or not set(folder.parts[:1]) & packages:
            continue
        modules = {module.stem for module in (root / "harness" / folder).glob("*.py")}
        subject = path.stem.removeprefix("test_")
        # One module may have several test files: test_points.py and test_points_selfcheck.py.
        is_named = any(subject == stem or subject.startswith(f"{stem}_") for stem in modules)
        if not is_named and name not in WITHOUT_MODULE:
            wrong.append(f"{name}:1: no module in harness/{folder.as_posix()} is tested by it")
    return wrong


RULES: list[Rule] = [
    layers,
    docstrings,
    names,
    headings,
    references,
    purity,
    stars,
    places,
    portability,
    top_level,
    mirror,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_tree_keeps_the_rule(rule: Rule) -> None:
    """This project breaks none of its own rules."""
    assert rule(ROOT) == []


# --- every rule fires -----------------------------------------------------------------------------

VARIANT = '''"""Broken."""
class CheckThenAct(Reference):
    """R9: looks first and books later.

    Bug: two callers look before one books.
    Seen in: some project, issue 7, 2021-03-04.
    Caught by: cold_key, MaxInFlight.
    """
'''
READER = "scenarios/reader/broken.py"

PLANTED = [
    # layers
    (layers, {"harness/core/tape.py": "from harness.world import fibers"}, "core imports world"),
    (layers, {"harness/core/tape.py": "from ..world.fibers import Fiber"}, "core imports world"),
    (
        layers,
        {"harness/core/tape.py": "def f():\n    import harness.cli"},
        "tape.py:2: core imports",
    ),
    (
        layers,
        {"harness/faults.py": "if TYPE_CHECKING:\n    from harness.checks import Calls"},
        "faults.py:2: faults imports checks",
    ),
    (layers, {"harness/explore.py": "from harness import corpus"}, "explore imports corpus"),
    (layers, {"harness/report/text.py": "from ..explore import Failure"}, "report imports explore"),
    (layers, {"harness/explore.py": "from harness import Storm"}, "imports Storm from the front"),
    (layers, {"harness/explore.py": "import harness"}, "imports harness from the front"),
    (layers, {"harness/faults.py": 'importlib.import_module("harness.cli")'}, "faults imports cli"),
    (layers, {"harness/extras.py": ""}, "extras has no layer"),
    # docstrings
    (docstrings, {"harness/core/tape.py": "import math\n'''Late.'''"}, "tape.py:1: opens without"),
    (docstrings, {"tests/core/__init__.py": ""}, "__init__.py:1: opens without"),
    # names
    (names, {"harness/faults.py": "class FaultManager: ..."}, "class FaultManager"),
    (names, {"harness/faults.py": "class BaseFault: ..."}, "class BaseFault"),
    (names, {"harness/faults.py": "class _HTTPHelper: ..."}, "class _HTTPHelper"),
    (names, {"harness/faults.py": "class C:\n    async def _do_run(self): ..."}, "_do_run"),
    (names, {"tests/utils.py": ""}, "a module called utils"),
    # headings
    (headings, {READER: VARIANT.replace("R9: ", "")}, "start with its row"),
    (headings, {READER: VARIANT.replace("R9: looks first and books later.", "")}, "no line says"),
    (
        headings,
        {READER: VARIANT.replace("Seen in:", "See:")},
        "headings are ['Bug:', 'Caught by:']",
    ),
    (
        headings,
        {READER: VARIANT.replace("Bug:", "X").replace("Seen in:", "Bug:").replace("X", "Seen in:")},
        "headings are ['Seen in:', 'Bug:'",
    ),
    (headings, {READER: VARIANT.replace(" two callers look before one books.", "")}, "Bug: says"),
    (headings, {READER: "class Serialised(Reference): ..."}, "Serialised: no line says"),
    (headings, {READER: VARIANT + "class Undocumented(Reference): ..."}, "Undocumented: "),
    # references
    (references, {"scenarios/reader/reference.py": "import harness"}, "reference.py:1 imports"),
    (references, {"scenarios/reader/policy.py": "from harness.core import clock"}, "policy.py:1"),
    (
        references,
        {
            "scenarios/reader/reference.py": "from .shared import window",
            "scenarios/reader/shared.py": "from scenarios.common import clamp",
            "scenarios/common.py": "def f():\n    from harness import doubles",
        },
        "reader/reference.py: scenarios/common.py:2 imports harness",
    ),
    # purity
    (purity, {"harness/core/clock.py": "import time"}, "clock.py:1: imports time"),
    (purity, {"harness/core/clock.py": "def f():\n    from os import path"}, "clock.py:2"),
    (purity, {"harness/core/tape.py": "import random"}, "imports random"),
    (purity, {"harness/core/tape.py": "from random import choice"}, "imports random"),
    (purity, {"harness/core/kernel.py": "import asyncio.events"}, "imports asyncio.events"),
    # stars
    (stars, {"scenarios/reader/storms.py": "from .reference import *"}, "reference import *"),
    # places: put together here, so that this file passes its own rule
    (places, {"docs/design.md": f"see /{'home'}/someone/notes"}, "design.md:1: "),
    (places, {"README.md": f"one\npip install -i https://{'pypi'}.org/simple"}, "README.md:2: "),
    (places, {"tests/test_x.py": f"PATH = '/{'work'}/tree'"}, "test_x.py:1: "),
    # portability
    (portability, {"harness/world/watchdog.py": "import resource"}, "imports resource"),
    (portability, {"tests/test_x.py": "from fcntl import flock"}, "imports fcntl"),
    # top level
    (top_level, {"notes.md": ""}, "notes.md: does not belong"),
    (top_level, {"scripts/x.py": ""}, "scripts: does not belong"),
    # mirror
    (
        mirror,
        {"harness/core/tape.py": "", "tests/core/test_tap.py": ""},
        "test_tap.py:1: no module",
    ),
    (mirror, {"harness/core/tape.py": "", "tests/core/test_tapes.py": ""}, "no module in harness"),
]

ALLOWED = [
    (layers, {"harness/core/tape.py": "from harness.errors import InternalError"}),
    (layers, {"harness/core/tape.py": "from .clock import Clock\nfrom . import kernel"}),
    (layers, {"harness/core/tape.py": "from harness import errors"}),
    (layers, {"harness/__init__.py": "from harness.cli import main"}),
    (docstrings, {"harness/core/tape.py": '"""Decides."""'}),
    (
        names,
        {"harness/faults.py": "class Baseline: ...\ndef download(): ...\ndef join_manager(): ..."},
    ),
    (headings, {READER: VARIANT}),
    (headings, {READER: VARIANT.replace("R9:", "F0d:")}),
    (headings, {READER: VARIANT.replace("R9:", "J-M18:")}),
    (headings, {READER: VARIANT.replace("CheckThenAct", "Serialised").replace("R9: ", "")}),
    (references, {"scenarios/reader/storms.py": "import harness"}),
    (references, {"scenarios/reader/reference.py": "from .policy import delay"}),
    (purity, {"harness/core/tape.py": "from random import Random"}),
    (places, {"docs/design.md": "a and/or b, ./home/x, https://example.com/home/x"}),
    (portability, {"harness/x.py": "try:\n    import pwd\nexcept ImportError:\n    pwd = None"}),
    (portability, {"harness/x.py": "def f():\n    import resource"}),
    (top_level, {".gitignore": "", "dist/x.whl": "", "README.md": ""}),
    (mirror, {"harness/core/tape.py": "", "tests/core/test_tape.py": ""}),
    (mirror, {"harness/core/tape.py": "", "tests/core/test_tape_text.py": ""}),
    (mirror, {"harness/core/tape.py": "", "tests/bench/test_bench.py": ""}),
]


def plant(root: Path, files: dict[str, str]) -> Path:
    """Write a tree of the given files and return its root."""
    (root / "harness").mkdir()
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return root


@pytest.mark.parametrize(("rule", "files", "said"), PLANTED)
def test_the_rule_fires(tmp_path: Path, rule: Rule, files: dict[str, str], said: str) -> None:
    """A tree that breaks the rule once is reported once per breach, with place and reason."""
    found = rule(plant(tmp_path, files))

    assert any(said in line for line in found), found


@pytest.mark.parametrize(("rule", "files"), ALLOWED)
def test_the_rule_lets_pass(tmp_path: Path, rule: Rule, files: dict[str, str]) -> None:
    """What only looks like a breach is none."""
    assert rule(plant(tmp_path, files)) == []


def test_every_rule_was_seen_to_fire() -> None:
    """No rule is in the list without a tree that breaks it and one that does not."""
    assert {rule for rule, *_ in PLANTED} == set(RULES)
    assert {rule for rule, *_ in ALLOWED} | {stars} == set(RULES)
