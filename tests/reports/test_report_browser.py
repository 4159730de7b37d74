"""The page in a real browser: nothing is fetched or logged, everything is seen, by everybody."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import axe_violations, chromium, opened, unfold
from rich_sweep import HOSTILE, hostile_sweep, rich_sweep
from sweep_writer import SweepWriter

from reports.load import load_sweep
from reports.report import compile_report
from reports.write import write_report


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as launched:
        yield launched


def written(sweep: Path) -> Path:
    return write_report(compile_report(load_sweep(sweep)), sweep / "report")


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(rich_sweep(tmp_path_factory.mktemp("rich") / "sweep"))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(hostile_sweep(tmp_path_factory.mktemp("hostile") / "sweep"))


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """45 variants with long labels."""
    writer = SweepWriter(tmp_path_factory.mktemp("many") / "sweep")
    for number in range(45):
        swept = {"data.path": f"a/long/path/to/some/dataset/number/{number}", "optim.lr": 0.001}
        writer.variant(swept, [70.0 + number / 9, 71.0 + number / 7])
    return written(writer.finish())


@pytest.fixture(scope="module")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """No trial has finished."""
    writer = SweepWriter(tmp_path_factory.mktemp("nothing") / "sweep")
    for kind in ("none", "hard"):
        writer.variant({"distill.kind": kind}, ["running", "pending", "failed"])
    return written(writer.finish())


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    writer = SweepWriter(tmp_path_factory.mktemp("single") / "sweep")
    writer.variant({}, [81.2])
    return written(writer.finish())


ALL = ["rich", "hostile", "many", "nothing", "single"]
BOTH = pytest.mark.parametrize("scheme", ["light", "dark"])


@pytest.mark.parametrize("report", ALL)
def test_axe_finds_nothing_and_nothing_is_fetched_or_logged(
    browser: Any, request: pytest.FixtureRequest, report: str
) -> None:
    index = request.getfixturevalue(report)
    with opened(browser, index, color_scheme="light") as seen:
        assert axe_violations(seen.page) == []
        seen.page.emulate_media(color_scheme="dark")
        assert axe_violations(seen.page, "color-contrast") == []
        assert seen.requests == [index.as_uri()]
        assert seen.messages == []


@pytest.mark.parametrize("report", ALL)
def test_the_page_does_not_scroll_sideways(
    browser: Any, request: pytest.FixtureRequest, report: str
) -> None:
    with opened(browser, request.getfixturevalue(report)) as seen:
        unfold(seen.page)
        for width in (1440, 800, 390):
            seen.page.set_viewport_size({"width": width, "height": 800})
            assert seen.page.evaluate("document.documentElement.scrollWidth") <= width


def test_numbers_of_a_column_stand_with_their_decimal_points_aligned(
    browser: Any, tmp_path: Path
) -> None:
    writer = SweepWriter(tmp_path / "sweep")
    writer.variant({"optim.lr": 0.1}, [80.1, 81.3])
    writer.variant({"optim.lr": 0.2}, [9.5])  # no ±
    with opened(browser, written(writer.finish())) as seen:
        tails = seen.page.locator("#table-variants .tail")
        assert [tail.inner_text()[0] for tail in tails.all()[:2]] == [".", "."]
        points = {round(tail.bounding_box()["x"], 1) for tail in tails.all()[:2]}
        assert len(points) == 1
        row = seen.page.locator("#table-variants tbody tr").first
        assert " ± " in row.inner_text()  # the spaces are seen, too


def test_the_page_is_small(rich: Path, many: Path) -> None:
    assert max(rich.stat().st_size, many.stat().st_size) < 1_000_000


def test_the_script_is_small(rich: Path) -> None:
    (script,) = re.findall("<script>(.*?)</script>", rich.read_text(encoding="utf-8"), re.DOTALL)
    assert len(script.encode()) < 8192


@BOTH
def test_pictures_are_drawn_in_the_colours_of_the_page(
    browser: Any, rich: Path, scheme: str
) -> None:
    with opened(browser, rich, color_scheme=scheme) as seen:
        marks = seen.page.locator("figure svg [id^='accuracy-seed-']")
        assert marks.count() == 27
        assert all(mark.bounding_box()["width"] > 3 for mark in marks.all())
        ink = seen.page.evaluate("getComputedStyle(document.querySelector('figure svg text')).fill")
        assert ink == seen.page.evaluate("getComputedStyle(document.body).color")


@pytest.mark.parametrize("width", [390, 1440])
def test_text_of_pictures_can_be_read(browser: Any, rich: Path, many: Path, width: int) -> None:
    script = """() => [...document.querySelectorAll('figure svg')].map((picture) =>
        10 * picture.getBoundingClientRect().width / picture.viewBox.baseVal.width)"""
    for index in (rich, many):
        with opened(browser, index, width=width) as seen:
            heights = seen.page.evaluate(script)  # CSS pixels of 10 pt text
            assert heights
            assert min(heights) >= 11.9


def test_contents_lead_to_every_section(browser: Any, rich: Path) -> None:
    with opened(browser, rich) as seen:
        links = seen.page.locator("nav.side a").evaluate_all("all => all.map((one) => one.hash)")
        sections = seen.page.locator("main > section").evaluate_all(
            "all => all.map((one) => '#' + one.id)"
        )
        assert links == sections
        assert links[0] == "#answer"
        assert not seen.page.locator("nav.folded").is_visible()
        seen.page.set_viewport_size({"width": 390, "height": 800})
        assert not seen.page.locator("nav.side").is_visible()
        seen.page.locator("nav.folded summary").click()
        seen.page.locator("nav.folded a", has_text="Provenance").click()
        assert seen.page.locator("#provenance h2").is_visible()


def test_with_scripts_off_the_page_says_the_same(browser: Any, rich: Path) -> None:
    with opened(browser, rich, java_script_enabled=False) as seen:
        assert seen.messages == []
        headings = seen.page.locator("h2").all_inner_texts()
        assert {"Answer", "Variants", "Trials", "Provenance"} <= set(headings)
        assert seen.page.locator("th button, select, .code button").count() == 0
        assert seen.page.locator("#table-variants tbody tr").count() == 9
        title = seen.page.locator("[id^='accuracy-seed-'] > title").first
        assert re.search(r"seed \d: \d\d\.\d\d %", title.text_content())
        seen.page.locator("summary", has_text="Sweep file").click()
        assert seen.page.locator("pre", has_text="name: quick").is_visible()


@pytest.mark.parametrize("scripts", [True, False])
def test_print_has_all_of_it_in_black_on_white(browser: Any, rich: Path, scripts: bool) -> None:
    with opened(browser, rich, color_scheme="dark", java_script_enabled=scripts) as seen:
        headings = seen.page.locator("h2").all_inner_texts()
        printed = seen.page.pdf(tagged=True, outline=True)
        outline = [text.decode("latin-1") for text in re.findall(rb"/Title \((.*?)\)", printed)]
        assert [text for text in outline if text in headings] == headings
        seen.page.emulate_media(media="print")
        # A folded part takes its place, whether or not a script unfolds it.
        assert seen.page.locator("#provenance details").last.bounding_box()["height"] > 60
        assert not seen.page.locator("nav.side, nav.folded, select").first.is_visible()
        colours = "getComputedStyle(document.body).color"
        assert seen.page.evaluate(colours) == "rgb(0, 0, 0)"


def test_hostile_text_is_shown_as_text(browser: Any, hostile: Path) -> None:
    with opened(browser, hostile) as seen:
        page = seen.page
        assert seen.messages == []
        assert "owned" in page.title()  # in the text of the title, not as all of it
        assert page.title() != "owned"
        assert page.locator("main img, main b, main script, svg svg").count() == 0
        text = page.locator("main").inner_text()
        for one in (*HOSTILE[:4], HOSTILE[5]):
            assert one in text
        assert r"turned \u202egnp.exe \u2067round\u2069" in text
        assert page.locator(".description").inner_text() == HOSTILE[2]
        reasons = page.locator("#failures").inner_text()
        assert all(one in reasons for one in HOSTILE[:4])
        assert page.locator("table caption").count() == page.locator("table").count()
