"""A real Chromium without a window, one for all tests of pages."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lstm_cli.commands.report.page import PageView, page
from lstm_cli.engine.run import Trace

# Without these a Chromium as root does not start, or asks the network for its own updates.
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Return the browser; these tests were asked for, so that without one they fail."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = shutil.which("chromium") or shutil.which("google-chrome")
        assert found, "no Chromium: on Debian, apt install chromium"
        chromium = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Return a function that opens a run's page from disk; at the end no page has complained."""
    complaints: list[str] = []
    tabs: list[Any] = []

    def open_(trace: Trace, look: PageView | None = None, *, scheme: str = "light") -> Any:
        path = tmp_path / f"page-{len(tabs)}.html"
        path.write_text(page(trace, look or PageView(), "0"), encoding="utf-8")
        tab = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("request", lambda request: request.url.startswith("file:")
               or complaints.append(f"asked the network for {request.url}"))  # fmt: skip
        tab.on("dialog", lambda dialog: (complaints.append("a dialog"), dialog.dismiss()))
        tab.goto(path.as_uri())
        tab.locator("body[data-painted]").wait_for()
        tabs.append(tab)
        return tab

    yield open_
    for tab in tabs:
        tab.close()
    assert complaints == []
