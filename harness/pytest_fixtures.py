"""Says what pytest gives a scenario besides simulation and class, for a test that is written down.

It knows fixtures, marks and parameters as pytest has them. It does not know what the test looks
like, nor where it is written.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

import pytest

from harness.errors import HarnessError
from harness.report.regression import Given


def given_to(item: pytest.Function, parameters: Mapping[str, Any]) -> Given:
    """Return what an item was given.

    Args:
        item: a scenario that was run.
        parameters: those of its case that are its own.

    Raises:
        HarnessError: something of it cannot be written down.
    """
    module = item.getparent(pytest.Module)
    assert module is not None, "a scenario stands in a file"
    used = [name for mark in item.iter_markers("usefixtures") for name in mark.args]
    imported, folders = [], {}
    # All that it needs, those by which these are made and those that nobody asked for included.
    found = item._fixtureinfo.name2fixturedefs  # noqa: SLF001 - no public way
    fixtures = {name: each[-1] for name, each in found.items()}
    direct = {name for name, each in fixtures.items() if each.func.__module__ == "_pytest.python"}
    for name in fixtures.keys() - direct:
        where, function = fixtures[name].baseid, fixtures[name].func
        if where.partition("::")[0] == module.nodeid:
            imported.append(_name_in(module.obj, name, function.__name__))
        elif where and (name in item.fixturenames or name in used):
            folders[name] = item.config.rootpath / where
    return Given(
        imported=sorted(imported),
        used=used,
        values={name: _literal(name, value) for name, value in parameters.items()},
        indirect=sorted(parameters.keys() - direct),
        folders=folders,
    )


def _name_in(module: object, name: str, function_name: str) -> str:
    """Return as what a fixture stands in its module: it may be called otherwise, or imported."""
    for each in (function_name, name):
        if hasattr(module, each):
            return each
    raise HarnessError(
        f"no test can be written: the fixture {name} cannot be imported. "
        "Define it at the top of its file, or in a conftest.py."
    )


def _literal(name: str, value: object) -> str:
    text = repr(value)
    try:
        read = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        read = None
    if type(read) is type(value) and read == value:
        return text
    raise HarnessError(
        f"no test can be written: the parameter {name} is a {type(value).__name__}, which is not "
        "told by a literal. Replay the token with pytest, or have the scenario make what it needs."
    )
