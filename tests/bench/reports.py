"""How long the page of a very long run takes until its first failure can be read.

It opens the file from disk in a Chromium without a screen, as the tests in `tests/browser` do, and
asks the browser itself. Without a browser there is no figure.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from harness.report.page import page
from tests.browser.conftest import chromium
from tests.report.making import long_story, result_with

STEPS = 100_000
_SHOWN = "requestAnimationFrame(() => requestAnimationFrame(() => arguments[0](performance.now())))"


def can_be_taken() -> bool:
    """Tell whether this machine has what it takes."""
    try:
        import selenium  # noqa: F401 - only whether it is there
    except ImportError:
        return False
    return all(map(shutil.which, ("chromium", "chromedriver")))


def first_failure(rounds: int = 3) -> tuple[float, float]:
    """Return megabytes of the file, and milliseconds until its first failure is drawn."""
    text = page([result_with(long_story(STEPS))])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.html"
        file.write_text(text, "utf-8")
        browser = chromium(Path(folder) / "profile")
        try:
            shown = []
            for _ in range(rounds):
                browser.get("about:blank")
                browser.get(f"{file.as_uri()}#f1")
                shown.append(float(browser.execute_async_script(_SHOWN)))
        finally:
            browser.quit()
        return file.stat().st_size / 1e6, min(shown)
