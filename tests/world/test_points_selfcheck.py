"""Rewriting the standard library changes nothing that its own work shows: points are harmless."""

import json
import subprocess
import sys

import pytest


def run_workload(granularity: str) -> dict[str, object]:
    """Run the workload in a process of its own, since it rewrites what pytest itself runs on."""
    process = subprocess.run(
        [sys.executable, "-m", "tests.world.points_workload", granularity],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout, process.stderr
    figures: dict[str, object] = json.loads(process.stdout.splitlines()[-1])
    return figures


@pytest.mark.parametrize(
    ("granularity", "least_rewritten", "least_points"),
    [("shared", 3_000, 100_000), ("sync", 400, 5_000)],
)
def test_the_rewritten_standard_library_works_as_before(
    granularity: str, least_rewritten: int, least_points: int
) -> None:
    """Thousands of functions, rewritten and run, give the same results, and are then put back."""
    figures = run_workload(granularity)

    assert figures["differs"] == []
    assert figures["differs_after"] == []
    # Line by line and column by column: tracebacks, coverage and debuggers see the same code.
    assert figures["positions_differ"] == []
    assert figures["not_restored"] == []
    assert figures["left_over"] == 0
    # The comparison would hold as well if nothing had been rewritten.
    assert figures["rewritten"] >= least_rewritten
    assert figures["points"] >= least_points
