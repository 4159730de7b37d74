"""What the page's script adds, in a real browser: sorting, filters, tooltips, copying."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import axe_violations, chromium, opened
from rich_sweep import rich_sweep

from reports.load import load_sweep
from reports.report import compile_report
from reports.text import NOTHING
from reports.write import write_report


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sweep = rich_sweep(tmp_path_factory.mktemp("script") / "sweep")
    return write_report(compile_report(load_sweep(sweep)), sweep / "report")


@pytest.fixture
def page(browser: Any, index: Path) -> Iterator[Any]:
    with opened(browser, index) as seen:
        yield seen.page
        assert seen.messages == []
        assert seen.requests == [index.as_uri()]


def column(page: Any, table: str, title: str) -> list[str]:
    """The texts of a column, of rows that are shown."""
    return page.evaluate(
        """([table, title]) => {
            const found = document.getElementById(table);
            const heads = [...found.tHead.rows[0].cells].map((one) => one.textContent.trim());
            return [...found.tBodies[0].rows].filter((row) => !row.hidden)
                .map((row) => row.cells[heads.indexOf(title)].textContent.trim());
        }""",
        [table, title],
    )


def head(page: Any, table: str, title: str) -> Any:
    return page.locator(f"#{table} thead th").filter(
        has=page.get_by_role("button", name=title, exact=True)
    )


def test_a_column_sorts_up_and_down_and_back(page: Any) -> None:
    compiled = column(page, "table-trials", "top-1")
    numbers = sorted(float(text) for text in compiled if text != NOTHING)
    button = head(page, "table-trials", "top-1").get_by_role("button")

    button.click()
    assert head(page, "table-trials", "top-1").get_attribute("aria-sort") == "ascending"
    rising = column(page, "table-trials", "top-1")
    assert [float(text) for text in rising[:-2]] == numbers
    assert rising[-2:] == [NOTHING, NOTHING]

    button.click()
    assert head(page, "table-trials", "top-1").get_attribute("aria-sort") == "descending"
    falling = column(page, "table-trials", "top-1")
    assert [float(text) for text in falling[:-2]] == numbers[::-1]
    assert falling[-2:] == [NOTHING, NOTHING]  # what is no number stays at the end

    button.click()
    assert head(page, "table-trials", "top-1").get_attribute("aria-sort") is None
    assert column(page, "table-trials", "top-1") == compiled


def test_sorting_is_by_value_and_stable(page: Any) -> None:
    compiled = list(
        zip(
            column(page, "table-variants", "depth"),
            column(page, "table-variants", "kind"),
            strict=True,
        )
    )
    head(page, "table-variants", "depth").get_by_role("button").click()
    depths = column(page, "table-variants", "depth")
    kinds = column(page, "table-variants", "kind")
    assert depths == ["4"] * 3 + ["6"] * 3 + ["12"] * 3  # not as text
    for depth in ("4", "6", "12"):
        before = [kind for one, kind in compiled if one == depth]
        assert [k for d, k in zip(depths, kinds, strict=True) if d == depth] == before


def test_only_the_last_sorted_column_says_so(page: Any) -> None:
    head(page, "table-trials", "top-1").get_by_role("button").click()
    head(page, "table-trials", "state").get_by_role("button").click()
    assert page.locator("#table-trials [aria-sort]").count() == 1


def test_sorting_by_keyboard(page: Any) -> None:
    button = head(page, "table-variants", "kind").get_by_role("button")
    button.focus()
    page.keyboard.press("Enter")
    assert column(page, "table-variants", "kind") == ["hard"] * 3 + ["none"] * 3 + ["soft"] * 3
    page.keyboard.press("Space")
    assert column(page, "table-variants", "kind")[0] == "soft"
    assert button.evaluate("(one) => one === document.activeElement")
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"


def bar(page: Any, table: str) -> Any:
    """The selects above a table."""
    return page.locator(f".filters:has(+ .scroll #{table})")


def test_filters_show_the_rows_of_one_value(page: Any) -> None:
    above = bar(page, "table-variants")
    kind = above.get_by_label("kind", exact=True)
    assert kind.locator("option").all_inner_texts() == ["all", "hard", "none", "soft"]
    assert above.locator("output").inner_text() == "9 of 9 rows"

    kind.select_option("hard")
    assert set(column(page, "table-variants", "kind")) == {"hard"}
    assert above.locator("output").inner_text() == "3 of 9 rows"
    assert above.locator("output").get_attribute("aria-live") == "polite"

    above.get_by_label("depth", exact=True).select_option("12")
    assert column(page, "table-variants", "depth") == ["12"]
    assert above.locator("output").inner_text() == "1 of 9 rows"

    kind.select_option("all")
    assert column(page, "table-variants", "depth") == ["12"] * 3


def test_a_filter_holds_for_all_tables_with_that_field(page: Any) -> None:
    others = page.evaluate(
        """() => [...document.querySelectorAll('table:has([data-filter])')]
            .filter((table) => [...table.tHead.rows[0].cells]
                .some((one) => 'filter' in one.dataset && one.textContent.trim() === 'kind'))
            .map((table) => table.id)"""
    )
    assert "table-variants" in others
    bar(page, "table-variants").get_by_label("kind", exact=True).select_option("soft")
    for table in others:
        assert set(column(page, table, "kind")) <= {"soft"}, table


def test_filtering_and_sorting_go_together(page: Any) -> None:
    bar(page, "table-variants").get_by_label("kind", exact=True).select_option("none")
    head(page, "table-variants", "depth").get_by_role("button").click()
    assert column(page, "table-variants", "depth") == ["4", "6", "12"]


def test_a_tooltip_by_pointer_and_by_keyboard(page: Any) -> None:
    tip = page.locator(".tip")
    marks = page.locator("figure svg [id^='accuracy-seed-']")
    assert not tip.is_visible()
    marks.nth(1).hover()
    assert tip.inner_text() == marks.nth(1).get_attribute("aria-label")
    page.mouse.move(1, 1)
    assert not tip.is_visible()

    picture = page.locator("#figure-accuracy svg")
    assert picture.locator("[tabindex='0']").count() == 1  # one stop for all marks
    marks.first.focus()
    page.keyboard.press("ArrowRight")
    assert tip.inner_text() == marks.nth(1).get_attribute("aria-label")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert tip.inner_text() == marks.last.get_attribute("aria-label")
    box = tip.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 1440
    page.keyboard.press("Escape")
    assert not tip.is_visible()
    assert picture.locator("[tabindex='0']").count() == 1


def test_the_sweep_file_can_be_copied(browser: Any, index: Path) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(index.as_uri())
    page.locator("summary", has_text="Sweep file").click()
    code = page.locator("#provenance .code")
    code.get_by_role("button", name="Copy").click()
    code.get_by_role("button", name="Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == code.locator("code").text_content()
    context.close()


def test_nothing_is_wrong_for_axe_while_it_is_used(page: Any) -> None:
    bar(page, "table-variants").get_by_label("kind", exact=True).select_option("hard")
    head(page, "table-variants", "depth").get_by_role("button").click()
    page.locator("figure svg [id^='accuracy-seed-']").first.focus()
    assert axe_violations(page) == []


def test_printing_unfolds_and_folds_again(page: Any) -> None:
    folded = page.locator("main details:not([open])").count()
    assert folded > 0
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("main details:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("main details:not([open])").count() == folded
