"""What is under test is said by names of modules and packages, installed ones too."""

from __future__ import annotations

import queue
from typing import Any

import bytecode
import bytecode.flags
import pytest

from harness import HarnessError, explore
from harness.world.under_test import under_test


def nothing(sim: Any) -> None:
    """Do nothing."""


def test_an_installed_package_can_be_opened_up_whole_or_in_part() -> None:
    """A package brings its modules; a module alone does not bring its package."""
    whole, part = under_test(("bytecode",)), under_test(("bytecode.flags",))

    assert whole(str(bytecode.__file__))
    assert whole(str(bytecode.flags.__file__))
    assert part(str(bytecode.flags.__file__))
    assert not part(str(bytecode.__file__))
    assert not whole(str(queue.__file__))
    assert not whole(str(pytest.__file__))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no_such_module", "under_test='no_such_module' is unknown"),
        ("queue.no_such_module", "under_test='queue.no_such_module' is unknown"),
        ("..queue", "under_test='..queue' is unknown"),
        ("", "under_test='' is unknown"),
        ("_thread", "under_test='_thread' has no Python code"),
    ],
)
def test_what_cannot_be_opened_up_is_said_in_one_line(name: str, said: str) -> None:
    """A name that leads nowhere would leave the code without points, and all would be green."""
    with pytest.raises(HarnessError) as caught:
        explore(nothing, under_test=(name,))

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
