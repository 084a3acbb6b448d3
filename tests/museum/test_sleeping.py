"""What is counted is what an enumeration of all interleavings of the model counts."""

from __future__ import annotations

import pytest

from tests.museum.running import TRACES, Measurement, measure


@pytest.mark.parametrize(
    ("name", "traces"),
    [
        # The two failing orders, each with main having joined nobody, one, or both; four that hold.
        ("lazy01", 10),
        # 44 that hold, and 8 ways to fail: a thread that has come up and done nothing is no ninth.
        ("reorder_3", 52),
        ("twostage", 3),
    ],
)
def test_runs_that_end_early_are_told_apart_by_what_was_done_by_then(
    name: str, traces: int
) -> None:
    """Whether another thread was waited for, or had made its write, when the run failed."""
    assert measure(Measurement(name, False, TRACES, 0, 1_000)).traces == traces
