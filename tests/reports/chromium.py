"""A real browser for the tests of the page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

EXECUTABLE = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
AXE = Path(__file__).parents[1] / "vendor/axe-core/axe.min.js"


@contextmanager
def chromium() -> Iterator[Any]:
    """Headless Chromium; the test is skipped where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not EXECUTABLE.exists():
        pytest.skip(f"{EXECUTABLE} is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(EXECUTABLE), args=ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Opened:
    """A page that is open, what it asked for and what it logged."""

    page: Any
    requests: list[str]
    messages: list[str]


@contextmanager
def opened(
    browser: Any, index: Path, *, width: int = 1440, height: int = 900, **options: Any
) -> Iterator[Opened]:
    """A report in a tab of its own; `options` as of Playwright's `new_page`."""
    page = browser.new_page(viewport={"width": width, "height": height}, **options)
    page.set_default_timeout(15_000)
    seen = Opened(page, [], [])
    page.on("request", lambda request: seen.requests.append(request.url))
    page.on("console", lambda message: seen.messages.append(message.text))
    page.on("pageerror", lambda error: seen.messages.append(str(error)))
    page.goto(index.as_uri())
    yield seen
    page.close()


def unfold(page: Any) -> None:
    """Open all folded parts."""
    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")


def axe_violations(page: Any, *rules: str) -> list[str]:
    """What axe-core finds wrong, folded parts included, each with its first element.

    Of all its rules, or of some.
    """
    unfold(page)
    page.evaluate("(source) => { window.axe ?? (0, eval)(source); }", AXE.read_text("utf-8"))
    options: dict[str, Any] = {"resultTypes": ["violations"]}  # of the others one element each
    if rules:
        options["runOnly"] = list(rules)
    found = page.evaluate("(options) => axe.run(options)", options)
    assert len(found["passes"]) == len(rules) or len(found["passes"]) > 20  # it did run
    return [
        f"{one['impact']}: {one['id']}: {one['nodes'][0]['html'][:200]}"
        for one in found["violations"]
    ]
