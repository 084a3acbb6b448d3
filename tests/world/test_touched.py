"""What an access is told as does not depend on what was looked at before."""

from __future__ import annotations

from harness import Simulation
from harness.explore import explore


class _Open:
    pass


class _Shut:
    pass


def who_is_whose_is_looked_at_and_changed(sim: Simulation) -> None:
    """Two look at the class of a thing, and change it."""
    door = _Open()

    def shut() -> None:
        if door.__class__ is _Open:
            door.__class__ = _Shut  # type: ignore[assignment] # what no log tells

    with sim.storm() as storm:
        storm.spawn(shut, copies=2)


def test_who_is_whose_is_in_no_log_also_if_it_was_looked_at() -> None:
    """So such a program is never exhausted."""
    found = explore(who_is_whose_is_looked_at_and_changed, strategy="exhaustive")

    assert found.verdict == "holds"
    assert not found.exhausted
