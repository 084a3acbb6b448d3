"""Every page in docs/scenarios/ has a heading for each storm of its component, and no other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "scenarios"

HEADING = re.compile(r"^(?P<level>#{2,})\s+`?(?P<name>[a-z][a-z0-9_]*)`?\s*$", re.MULTILINE)


def storms_of(folder: Path) -> dict[str, list[str]]:
    """Return the names of the scenarios of a component, by part; "" if it has no parts."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("storms*.py")):
        part = path.parent.relative_to(folder).as_posix().removeprefix(".")
        found.setdefault(part, []).extend(scenarios_in(path.read_text("utf-8")))
    return found


def scenarios_in(source: str) -> list[str]:
    """Return the names of the functions under `@scenario` in a module, in order."""
    return [
        node.name
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and any("scenario" in ast.dump(decorator) for decorator in node.decorator_list)
    ]


def sections_of(page: str, parts: set[str]) -> dict[str, list[str]]:
    """Return the headings of a page that look like names of storms, by the part they stand in."""
    found: dict[str, list[str]] = {}
    part = ""
    for heading in HEADING.finditer(page):
        if heading["name"] in parts:
            part = heading["name"]
        else:
            found.setdefault(part, []).append(heading["name"])
    return found


def differences(page: str, storms: dict[str, list[str]]) -> list[str]:
    """Say which storms a page lacks in the section of their part, and what it has too much."""
    sections = sections_of(page, set(storms))
    wrong = []
    for part in sorted({*storms, *sections}):
        there, told = storms.get(part, []), sections.get(part, [])
        where = f" in section {part}" if part else ""
        wrong += [f"no heading for {name}{where}" for name in there if name not in told]
        wrong += [f"no storm is called {name}{where}" for name in told if name not in there]
        wrong += [f"{name} twice{where}" for name in dict.fromkeys(told) if told.count(name) > 1]
    return wrong


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_a_page_tells_of_each_storm_of_its_component(page: Path) -> None:
    """Its headings are the names of the scenarios, each in the section of its part."""
    storms = storms_of(ROOT / "scenarios" / page.stem)

    assert any(storms.values()), f"{page.name} tells of no component"
    assert differences(page.read_text("utf-8"), storms) == []


PAGE = """# Cache
## flight
### cold_key
### `slow_key`
## store
Some text.
### full_store
## Further reading
"""


@pytest.mark.parametrize(
    ("storms", "said"),
    [
        ({"flight": ["cold_key", "slow_key"], "store": ["full_store"]}, []),
        (
            {"flight": ["cold_key", "slow_key"], "store": ["full_store", "empty_store"]},
            ["no heading for empty_store in section store"],
        ),
        (
            {"flight": ["cold_key"], "store": ["full_store"]},
            ["no storm is called slow_key in section flight"],
        ),
        (
            {"flight": ["cold_key", "slow_key", "full_store"], "store": []},
            [
                "no heading for full_store in section flight",
                "no storm is called full_store in section store",
            ],
        ),
    ],
)
def test_what_a_page_lacks_is_said(storms: dict[str, list[str]], said: list[str]) -> None:
    """A storm without a heading, a heading without a storm, one under the wrong part."""
    assert differences(PAGE, storms) == said


def test_a_storm_told_twice_is_said() -> None:
    """Nothing is told in two places."""
    page = "## cold_key\n## cold_key\n"

    assert differences(page, {"": ["cold_key"]}) == ["cold_key twice"]


def test_scenarios_are_found_by_their_decorator() -> None:
    """However it is written; helpers beside them are none."""
    source = "@scenario\ndef a(): ...\n@scenario(X)\nasync def b(): ...\ndef c(): ...\n"

    assert scenarios_in(source) == ["a", "b"]
