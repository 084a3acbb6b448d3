"""Strategies by name: what there is, and what is refused, in one line."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cli import main
from harness.errors import HarnessError
from harness.explore import Settings
from harness.search.known import check_strategy, make_strategy, names
from tests.test_pytest_plugin import LOADED

LISTED = (
    "all, delay, exhaustive, pct, plain, portfolio, pos, preemption, random, samplers, surw, urw"
)

REFUSED = {
    "luck": f"strategy='luck' must be one of {LISTED}. Leave it out for 'portfolio'.",
    "": f"strategy='' must be one of {LISTED}.",
    "SURW": f"strategy='SURW' must be one of {LISTED}.",
    "luck:3": f"strategy='luck:3' must be one of {LISTED}.",
    "pct:0": "strategy='pct:0' must have a whole number of at least 1 behind the colon.",
    "pct:x": "strategy='pct:x' must have a whole number of at least 1 behind the colon.",
    "pct:-1": "strategy='pct:-1' must have a whole number of at least 1 behind the colon.",
    "pct:": "strategy='pct:' must have a whole number of at least 1 behind the colon.",
    "pct:2:3": "strategy='pct:2:3' must have a whole number of at least 1 behind the colon.",
    "delay:x": "strategy='delay:x' must have a whole number of at least 0 behind the colon.",
    "surw:3": "strategy='surw:3' takes no argument. Leave it out: 'surw'.",
    "portfolio:1": "strategy='portfolio:1' takes no argument. Leave it out: 'portfolio'.",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_strategy_is_refused_in_one_line(text: str) -> None:
    """With what it was, the rule, and the way out."""
    with pytest.raises(HarnessError) as raised:
        check_strategy(text)

    assert str(raised.value).startswith(REFUSED[text])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", [None, 3, ["surw"]])
def test_what_is_no_text_is_no_strategy(text: Any) -> None:
    """It is refused like any other."""
    with pytest.raises(HarnessError, match="must be one of"):
        Settings(strategy=text)


def test_all_that_is_listed_can_be_made() -> None:
    """And each is a new one."""
    assert ", ".join(names()) == LISTED
    for name in names():
        assert make_strategy(name, 0) is not make_strategy(name, 0)


def test_an_argument_reaches_its_strategy() -> None:
    """The depth of PCT, and the bound of delays and preemptions, which may be 0."""
    depth: Any = make_strategy("pct:7", 0)
    bound: Any = make_strategy("delay:0", 0)
    other: Any = make_strategy("preemption:5", 0)

    assert (depth.depth, bound.bound, other.bound) == (7, 0, 5)
    assert [getattr(make_strategy(name, 0), "depth", None) for name in ("pct", "surw")] == [3, None]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--strategy", "luck"], "strategy='luck' must be one of all, delay,"),
        (["--strategy", "pct:0"], "strategy='pct:0' must have a whole number of at least 1"),
        (["--strategy", "pct:x"], "strategy='pct:x' must have a whole number of at least 1"),
        (["--strategy", "surw:3"], "strategy='surw:3' takes no argument."),
        (["--schedules", "0"], "schedules=0 must be an integer of at least 1"),
    ],
    ids=lambda each: each[-1] if isinstance(each, list) else "",
)
def test_the_command_line_refuses_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, one line on stderr, and nothing else."""
    code = main(["run", "scenarios", *arguments])

    out, err = capsys.readouterr()
    assert code == 2
    assert out == ""
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("--storm-strategy", "pct:0"),
        ("--storm-strategy", "pct:x"),
        ("--storm-strategy", "surw:3"),
        ("-o", "storm_strategy=luck"),
        ("--storm-schedules", "0"),
    ],
    ids=lambda each: each[-1],
)
def test_the_plugin_refuses_with_a_usage_error(
    arguments: tuple[str, ...], pytester: pytest.Pytester
) -> None:
    """Before anything runs, in one line."""
    with pytest.raises(pytest.UsageError, match=r"strategy|schedules") as raised:
        pytester.parseconfigure(*LOADED, *arguments)

    assert "\n" not in str(raised.value)
