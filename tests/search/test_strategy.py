"""Every strategy that ships conforms, and the suite catches those that do not."""

from __future__ import annotations

import sys
import weakref
from typing import Any

import pytest

from harness import explore
from harness.search.known import make_strategy, names
from harness.testing import check_strategy
from tests.search.programs import lost_wake_up_fixed

ARGUED = ("delay:0", "delay:1", "pct:1", "pct:7", "preemption:0", "preemption:3")


@pytest.mark.parametrize("name", [*names(), *ARGUED])
def test_a_strategy_that_ships_conforms(name: str) -> None:
    """Seeds, tapes, replay and learning are as a search expects them."""
    check_strategy(lambda seed: make_strategy(name, seed))


class _Log(list[Any]):
    """A log of which one can tell that it is gone."""


class _Watched:
    """Asks another strategy; is told of the logs that are still there when a tape is wanted."""

    def __init__(self, name: str) -> None:
        self.asked: Any = make_strategy(name, 0)
        self.logs: list[weakref.ref[_Log]] = []
        self.left: list[int] = []

    def tape(self, run: int) -> Any:
        """Hand out the tape of the other, with such a log unless it has one that it looks at."""
        self.left.append(sum(log() is not None for log in self.logs))
        tape = self.asked.tape(run)
        tape.log = _Log()
        self.logs.append(weakref.ref(tape.log))
        return tape

    def learn(self, ran: Any) -> None:
        """Hand on."""
        self.asked.learn(ran)


@pytest.mark.parametrize("name", ["random", "pos", "pct:2"])
def test_what_a_run_touched_is_gone_once_it_was_learnt_from(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run leaves cycles that no collection has met yet; its log is in none of them."""
    watched = _Watched(name)
    module = sys.modules["harness.explore"]
    monkeypatch.setattr(module, "make_strategy", lambda *_args, **_options: watched)
    explore(lost_wake_up_fixed, schedules=5)
    assert watched.left == [0, 0, 0, 0, 0]
