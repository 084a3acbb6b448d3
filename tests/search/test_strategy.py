"""Every strategy that ships conforms, and the suite catches those that do not."""

from __future__ import annotations

import pytest

from harness.search.known import make_strategy, names
from harness.testing import check_strategy

ARGUED = ("delay:0", "delay:1", "pct:1", "pct:7", "preemption:0", "preemption:3")


@pytest.mark.parametrize("name", [*names(), *ARGUED])
def test_a_strategy_that_ships_conforms(name: str) -> None:
    """Seeds, tapes, replay and learning are as a search expects them."""
    check_strategy(lambda seed: make_strategy(name, seed))
