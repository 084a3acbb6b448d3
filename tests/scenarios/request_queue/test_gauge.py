"""The curve on the page of the component is the one that the scenarios' own site draws."""

from pathlib import Path

import pytest

from scenarios.request_queue.asgi.broken import PlainRemoval
from scenarios.request_queue.asgi.reference import RequestQueue

from .gauge import EVERY, REQUESTS, curve, sizes

pytestmark = pytest.mark.one_ground

PAGE = Path(__file__).resolve().parents[3] / "docs" / "scenarios" / "request_queue.md"


def test_every_request_that_was_sent_back_leaked() -> None:
    """A fetch of 2 s serves the 41 requests from its start to its end: one by a page, 40 by 302."""
    served_together = round(2.0 / EVERY) + 1
    winners = -(-REQUESTS // served_together)

    assert sizes(PlainRemoval)[-1] == REQUESTS - winners == 975


def test_nobody_leaks_now() -> None:
    """The gauge never shows more than one crowd, and is down in the end."""
    seen = sizes(RequestQueue)

    assert max(seen) <= 2.0 / EVERY + 1
    assert seen[-1] == 0


def test_the_page_shows_the_curve() -> None:
    """Line by line, as the command prints it."""
    assert curve() in PAGE.read_text("utf-8")
