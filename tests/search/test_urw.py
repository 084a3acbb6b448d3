"""URW is uniform over interleavings, of events and of whole programs."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.access import BIRTH, Log
from harness.search.random_walk import RandomWalk
from harness.search.strategy import Path
from harness.search.urw import URW
from harness.testing import Move, Start, Touch
from tests.search.driving import chance, chi_square_tail, driving, played, touches

INTERLEAVINGS = math.comb(8, 3)
RUNS = 20_000
#: A fixed seed passes or fails for ever: a p-value below this would be a wrong walk, not bad luck.
LEAST = 0.001


def three_and_five() -> Sequence[Iterator[Move]]:
    """Return two actors with three and five events that have nothing to do with each other."""
    return touches(*"abc"), touches(*"vwxyz")


def test_the_tail_of_chi_square_is_that_of_the_tables() -> None:
    """Critical values of printed tables: 5 % and 0.1 %, for odd and even degrees."""
    assert chi_square_tail(3.841, 1) == pytest.approx(0.05, rel=1e-3)
    assert chi_square_tail(16.266, 3) == pytest.approx(0.001, rel=1e-3)
    assert chi_square_tail(18.307, 10) == pytest.approx(0.05, rel=1e-3)
    assert chi_square_tail(93.168, 55) == pytest.approx(0.001, rel=1e-3)


def test_all_interleavings_of_independent_events_are_equally_likely() -> None:
    """Three and five events: each of the 56 interleavings in one of 56 runs."""
    orders = Counter(one.order for one in played(URW(seed=1), three_and_five, RUNS))

    assert len(orders) == INTERLEAVINGS
    assert chance(orders, INTERLEAVINGS) > LEAST


def test_a_random_walk_fails_the_same_test() -> None:
    """The test can tell: without weights, the interleavings are far from equally likely."""
    orders = Counter(one.order for one in played(RandomWalk(seed=1), three_and_five, RUNS))

    assert chance(orders, INTERLEAVINGS) < 1e-9


def test_events_of_children_count_before_they_start_and_not_after() -> None:
    """One starts a child of four events and has one more; another has three."""

    def parent() -> Iterator[Move]:
        yield Touch("a")
        yield Start(touches(*"bcde"))
        yield Touch("f")

    runs = RUNS // 2
    orders = Counter(
        one.order for one in played(URW(seed=1), lambda: (parent(), touches(*"xyz")), runs)
    )

    # f has five places beside b to e, and x to z lie anywhere. The start is an event, too, which
    # `order` does not show: it stands for as many interleavings as it has places.
    interleavings = 5 * math.comb(10, 3)
    assert sum(_places_of_start(order) for order in orders) == interleavings
    assert len(orders) == 5 * math.comb(9, 3)
    expected = {order: runs * _places_of_start(order) / interleavings for order in orders}
    statistic = sum((orders[order] - count) ** 2 / count for order, count in expected.items())
    assert chi_square_tail(statistic, len(orders) - 1) > LEAST


def _places_of_start(order: tuple[tuple[Path, str], ...]) -> int:
    """Count the places after a, and before b and f."""
    things = "".join(thing for _, thing in order)
    return min(things.index("b"), things.index("f")) - things.index("a")


def two_threads(sim: Any) -> None:
    """Three and five reads of two threads that nobody waits for."""
    s = SimpleNamespace(left=0, right=0)

    def three() -> None:
        _ = s.left, s.left, s.left

    def five() -> None:
        _ = s.right, s.right, s.right, s.right, s.right

    first, second = threading.Thread(target=three), threading.Thread(target=five)
    first.start()
    second.start()


def test_all_interleavings_of_a_program_are_equally_likely() -> None:
    """The same over threads, where both were started before either ran: of their starts, too."""
    steps = math.comb(4 + 6, 4)

    with driving() as drive:
        orders = Counter(
            order
            for seen in drive(two_threads, URW(seed=1), 9_000)
            if (order := _steps_of_both(seen.ran.log))
        )

    assert orders.total() > 10 * steps
    assert len(orders) == steps
    assert chance(orders, steps) > LEAST


def _steps_of_both(log: Log) -> tuple[Path, ...]:
    """Return whose step came after whose; nothing if one ran before the other was started."""
    steps: list[Path] = []
    for turn, _, mode, site in log:
        if turn is None:
            continue
        path = turn.path
        if path == (0,) and mode == BIRTH and steps:
            return ()
        if path != (0,) and (path not in steps or site is not None):
            steps.append(path)
    return tuple(steps)
