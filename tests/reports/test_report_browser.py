"""The page in a real browser: nothing is fetched, nothing is logged, everything is seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sweep_writer import KindsWriter

from reports.load import load_sweep
from reports.report import compile_report
from reports.write import write_report

CHROMIUM = Path("/usr/bin/chromium")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        found = playwright.chromium.launch(executable_path=str(CHROMIUM), args=arguments)
        yield found
        found.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page(browser: Any, kinds: KindsWriter, scheme: str) -> None:
    path = kinds(none=[80.1, 81.3, 79.7], hard=[82.9, 83.5, "failed"], teacher=92.5)
    index = write_report(compile_report(load_sweep(path)), path / "report")
    page = browser.new_page(color_scheme=scheme, viewport={"width": 1100, "height": 800})
    requests: list[str] = []
    messages: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.goto(index.as_uri())

    assert requests == [index.as_uri()]
    assert messages == []
    assert page.locator("h1").inner_text() == "Report of the sweep quick"
    assert page.locator("table#table-variants tbody tr").count() == 2
    assert page.locator("table#table-variants tr.best").inner_text().startswith("hard")
    assert page.locator("figure svg").is_visible()
    marks = page.locator("figure svg [id^='accuracy-seed-']")
    assert marks.count() == 6
    assert all(mark.bounding_box()["width"] > 3 for mark in marks.all())
    ink = page.evaluate("getComputedStyle(document.querySelector('figure svg text')).fill")
    assert ink == page.evaluate("getComputedStyle(document.body).color")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1100
    page.close()


def test_a_narrow_page_does_not_scroll_sideways(browser: Any, kinds: KindsWriter) -> None:
    path = kinds(none=[80.1, 81.3, 79.7], hard=[82.9, 83.5, 82.0])
    index = write_report(compile_report(load_sweep(path)), path / "report")
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto(index.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()
