"""A Chromium without a screen, driven through the chromedriver that the system has."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

#: No sandbox, which root has none of; no word to anybody outside.
FLAGS = """
--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-dev-shm-usage
--disable-background-networking --disable-component-update --disable-sync --hide-scrollbars
--window-size=1360,1100
""".split()

Opened = Callable[[str], Any]


def chromium(profile: Path) -> Any:
    """Start a browser with an empty profile."""
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    browser = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.fail("there is no chromium, or no chromedriver: apt-get install chromium-driver")
    options = ChromeOptions()
    options.binary_location = browser
    for flag in [*FLAGS, f"--user-data-dir={profile}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # Given the driver, selenium looks for none elsewhere.
    return Chrome(options=options, service=Service(driver))


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One browser for all tests."""
    made = chromium(tmp_path_factory.mktemp("profile"))
    yield made
    made.quit()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Opened]:
    """Open a page from disk; in the end the browser must have found nothing wrong with it."""

    def open_page(text: str, fragment: str = "") -> Any:
        file = tmp_path / "report.html"
        file.write_text(text, "utf-8")
        browser.get("about:blank")
        browser.get(f"{file.as_uri()}{fragment}")
        return browser

    yield open_page
    assert browser.get_log("browser") == []
