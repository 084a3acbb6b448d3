"""What a verdict says is the same in every process."""

from __future__ import annotations

import pytest

from harness.errors import MADE_UP, Violation

pytestmark = pytest.mark.one_ground


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("assert <bank.Rate object at 0x7f2e45a4b910>.known", "assert <bank.Rate object>.known"),
        ("<threading.Event at 0x7f2e45a4b910: set>", "<threading.Event: set>"),
        ("<Future at 0x00000237A1B2C3D0 state=done>", "<Future state=done>"),
        (
            "<bound method Rate.ask of <Rate object at 0x7f2e45a4b910>>",
            "<bound method Rate.ask of <Rate object>>",
        ),
        (f"lock {MADE_UP}62dde317.bank.LOCK", "lock bank.LOCK"),
        (f"<{MADE_UP}62dde317.bank.Rate object at 0x7f2e45a4b910>", "<bank.Rate object>"),
        # Somebody's own words.
        ("bad instruction at 0x00401000", "bad instruction at 0x00401000"),
        ("EUR > 0x10", "EUR > 0x10"),
    ],
)
def test_a_verdict_says_nothing_that_only_one_process_knows(given: str, said: str) -> None:
    """Neither addresses nor the names of packages that were made up for a folder."""
    violation = Violation("Failed", given, [("seen", given)]).with_evidence([("more", given)])

    assert violation.summary == said
    assert violation.evidence == (("seen", said), ("more", said))
    assert given == said or given not in str(violation)
