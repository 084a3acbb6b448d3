"""Who looks at the variables of a frame changes nothing for the function that runs in it."""

from __future__ import annotations

import sys
import weakref
from typing import Any

from harness.world.variables import variables_of


class Thing:
    """It can be referred to weakly."""


def test_what_a_function_lets_go_of_goes_though_somebody_has_looked() -> None:
    """At once, as if nobody had."""
    thing = Thing()
    known = weakref.ref(thing)

    seen = variables_of(sys._getframe())
    assert seen["thing"] is thing
    del seen, thing

    assert known() is None


def test_what_a_function_was_told_of_its_variables_stays() -> None:
    """Before 3.13 it is the very dict that the frame shows."""
    number = 1
    mine = locals()

    variables_of(sys._getframe())

    assert mine["number"] == number


def test_the_variables_of_a_module_and_of_a_class_stay() -> None:
    """What shows them is what they are kept in."""
    space: dict[str, Any] = {"variables_of": variables_of, "sys": sys}

    exec(  # noqa: S102 # a module, without a file of its own
        "one = 1\n"
        "seen = [variables_of(sys._getframe())]\n"
        "class Inner:\n"
        "    two = 2\n"
        "    seen.append(variables_of(sys._getframe()))\n",
        space,
    )

    assert space["one"] == space["seen"][0]["one"] == 1
    assert space["Inner"].two == space["seen"][1]["two"] == 2
