"""The files of a report: page, Markdown, CSV, JSON, picture."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from sweep_writer import KindsWriter, SweepWriter

from reports.context import Options
from reports.load import load_sweep
from reports.report import compile_report
from reports.write import write_report

VOID = {"meta", "link", "br", "img", "hr", "input", "wbr"}
OUTCOMES = {
    "none": [80.1, 81.3, 79.7],
    "soft": [81.7, 82.5, 80.9],
    "hard": [82.9, "failed", "missing"],
}


class Page(HTMLParser):
    """Tags, attributes and text; fails on tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, key, value or "") for key, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, key, value or "") for key, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def values(self, tag: str, key: str) -> list[str]:
        return [value for t, k, value in self.attributes if (t, k) == (tag, key)]


def compiled(path: Path) -> Path:
    output = path / "report"
    write_report(compile_report(load_sweep(path, output)), output)
    return output


@pytest.fixture
def output(kinds: KindsWriter) -> Path:
    return compiled(kinds(**OUTCOMES, teacher=92.5))


@pytest.fixture
def page(output: Path) -> Page:
    return Page((output / "index.html").read_text(encoding="utf-8"))


# the page ----------------------------------------------------------------------------------


def test_the_page_is_one_file_without_network(output: Path, page: Page) -> None:
    text = (output / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text) == []
    assert not re.search(r"@import|url\((?!#)", text)
    assert page.tags["link"] == page.tags["img"] == page.tags["iframe"] == 0
    script = text[text.index("<script>") + len("<script>") : text.index("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert page.tags["script"] == 1
    assert page.values("meta", "content")[0] == (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def test_links_stay_beside_the_report(output: Path, page: Page) -> None:
    links = [href for href in page.values("a", "href") if not href.startswith("#")]
    assert (
        len([href for href in links if href.startswith("../trials/")]) == 9 + 1
    )  # one of them twice
    for href in links:
        assert (output / href).exists(), href


def test_the_page_is_accessible(page: Page) -> None:
    assert page.values("html", "lang") == ["en"]
    assert page.tags["h1"] == page.tags["main"] == page.tags["header"] == page.tags["footer"] == 1
    assert page.tags["caption"] == page.tags["table"]
    assert len(page.values("th", "scope")) == page.tags["th"]
    assert set(page.values("svg", "role")) == {"img"}
    ids = [value for _, key, value in page.attributes if key == "id"]
    assert len(ids) == len(set(ids))
    named = [value for _, key, value in page.attributes if key == "aria-labelledby"]
    named += [href.lstrip("#") for href in page.values("a", "href") if href.startswith("#")]
    assert set(" ".join(named).split()) <= set(ids)
    assert "accuracy-title accuracy-desc" in page.values("svg", "aria-labelledby")


def test_user_text_is_escaped(output: Path, page: Page) -> None:
    assert "# <b>&" in "".join(page.text)
    assert page.tags["b"] == 0


def test_reading_order(page: Page) -> None:
    text = "".join(page.text)
    headings = [
        "Answer", "Be careful", "Variants", "Every seed", "Failed and missing", "Trials",
        "How it was measured", "Provenance", "Results as of",
    ]  # fmt: skip
    places = [text.rindex(f"\n{heading}") for heading in headings[:-1]]
    assert places == sorted(places)


def test_failed_and_missing_trials_are_shown_with_reasons(page: Page) -> None:
    text = " ".join(page.text)
    assert "diverged at step 120 of 720: the training loss became nan" in text
    assert "no run directory: not started yet, or deleted" in text


# the picture -------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["index.html", "figures/accuracy.svg"])
def test_every_planned_seed_is_a_mark_with_a_title(output: Path, where: str) -> None:
    text = (output / where).read_text(encoding="utf-8")
    assert len(re.findall(r'id="accuracy-seed-[0-9a-f]{12}"', text)) == 9
    for label in ("kind=none, seed 2: 79.70 %", "kind=hard, seed 0: 82.90 %",
                  "kind=hard, seed 1: failed, diverged", "kind=hard, seed 2: missing"):  # fmt: skip
        assert f"<title>{label}" in text


def test_points_stand_where_their_numbers_say(output: Path) -> None:
    """Marker positions are an increasing affine function of the accuracies."""
    root = ElementTree.parse(output / "figures/accuracy.svg").getroot()
    space = {"svg": "http://www.w3.org/2000/svg"}
    found = []
    for group in root.iterfind(".//svg:g", space):
        title = group.find("svg:title", space)
        match = re.search(r": ([\d.]+) %", title.text or "") if title is not None else None
        use = group.find(".//svg:use", space)
        if match and use is not None:
            found.append((float(match[1]), float(use.attrib["x"])))
    assert len(found) == 7
    (x0, p0), (x1, p1) = min(found), max(found)
    scale = (p1 - p0) / (x1 - x0)
    assert scale > 0
    for value, place in found:
        assert place == pytest.approx(p0 + scale * (value - x0), abs=0.01)


def test_the_picture_says_what_it_shows(output: Path) -> None:
    root = ElementTree.parse(output / "figures/accuracy.svg").getroot()
    assert root[0].text == "Top-1 accuracy of every seed, by variant"
    assert "7 of 9 seeds have a result" in str(root[1].text)
    assert root.find("{http://www.w3.org/2000/svg}metadata") is None


def test_a_dollar_in_a_label_is_no_formula(writer: SweepWriter) -> None:
    writer.variant({"model.name": "$x_1$"}, [80.0, 81.0])
    svg = (compiled(writer.finish()) / "figures/accuracy.svg").read_text(encoding="utf-8")
    assert ">name=$x_1$</text>" in svg


# Markdown, CSV, JSON -----------------------------------------------------------------------


def test_markdown(output: Path) -> None:
    text = (output / "report.md").read_text(encoding="utf-8")
    assert text.startswith(
        "# Report of the sweep quick (partial: 9 of 10 trials have ended)\n\n"
        "Does distillation help?\n\n## Answer\n\n"
    )
    assert "\n\n## Be careful\n\n- " in text
    assert "](figures/accuracy.svg)" in text
    assert re.search(r"^\| none \| 3/3 \| 80\.4 ± [\d.]+ \|", text, re.MULTILINE)
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in block.splitlines()}) == 1


def test_markdown_shows_user_text_as_it_stands(writer: SweepWriter) -> None:
    writer.variant({"model.name": "a|b_*c*"}, [80.0, 81.0])
    text = (compiled(writer.finish()) / "report.md").read_text(encoding="utf-8")
    assert "a\\|b\\_\\*c\\*" in text


def test_csv_has_one_row_per_planned_trial(output: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((output / "results.csv").read_text(encoding="utf-8"))))
    assert list(rows[0])[:11] == [
        "trial_id", "group_id", "name", "role", "seed", "state", "distill.kind", "val_top1",
        "val_top1_cls", "val_top1_dist", "val_ema_top1",
    ]  # fmt: skip
    assert len(rows) == 10
    first, failed, teacher = rows[0], rows[7], rows[-1]
    assert (first["distill.kind"], first["val_top1"], first["val_ema_top1"]) == ("none", "80.1", "")
    assert first["finished_utc"].endswith("Z")
    assert (failed["state"], failed["val_top1"]) == ("failed", "")
    assert failed["reason"].startswith("diverged at step 120")
    assert (teacher["role"], teacher["distill.kind"]) == ("teacher", "")


def test_csv_keeps_full_precision(kinds: KindsWriter) -> None:
    third = 100 * 241 / 360
    output = compiled(kinds(none=[third]))
    (row,) = csv.DictReader(io.StringIO((output / "results.csv").read_text(encoding="utf-8")))
    assert float(row["val_top1"]) == third


def test_json_holds_the_numbers_behind_the_text(output: Path) -> None:
    values = json.loads((output / "results.json").read_text(encoding="utf-8"))
    assert values["schema_version"] == 2
    assert values["statistics"]["baseline"] == {"distill.kind": "none"}
    assert values["statistics"]["df"] == 4
    by_label = {variant["label"]: variant for variant in values["variants"]}
    soft = by_label["kind=soft"]
    assert soft["mean"] == pytest.approx(81.7)
    assert soft["val_top1_by_seed"] == {"0": 81.7, "1": 82.5, "2": 80.9}
    assert soft["comparison"]["delta"] == pytest.approx(81.7 - 241.1 / 3)
    hard = by_label["kind=hard"]
    assert (hard["finished"], hard["planned"], hard["interval"]) == (1, 3, None)
    assert hard["comparison"]["verdict"] == "not tested"
    assert len(values["trials"]) == 10
    assert values["trials"][7]["val_top1"] is None


def test_json_and_page_give_the_same_interval(output: Path, page: Page) -> None:
    values = json.loads((output / "results.json").read_text(encoding="utf-8"))
    (soft,) = (v for v in values["variants"] if v["label"] == "kind=soft")
    interval = soft["comparison"]["interval"]
    shown = f"{interval['low']:+.1f} to {interval['high']:+.1f}"
    assert shown in " ".join(page.text) or f"{interval['low']:+.2f}" in " ".join(page.text)


# determinism and incomplete sweeps ---------------------------------------------------------


def test_the_same_input_gives_the_same_bytes(kinds: KindsWriter) -> None:
    path = kinds(**OUTCOMES, teacher=92.5)

    def contents() -> dict[str, bytes]:
        folder = compiled(path)
        return {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    first = contents()
    assert set(first) >= {
        "index.html", "report.md", "results.csv", "summary.csv", "results.json", "accuracy.svg",
        "accuracy.pdf", "variants.tex",
    }  # fmt: skip
    assert contents() == first


def test_the_date_is_the_newest_results_or_given(kinds: KindsWriter) -> None:
    path = kinds(none=[80.0], hard=[81.0])
    sweep = load_sweep(path)
    assert compile_report(sweep).context.generated == "2026-11-18T11:08:22Z"
    assert (
        compile_report(sweep, Options(source_date_epoch=0)).context.generated
        == "1970-01-01T00:00:00Z"
    )


def test_an_empty_sweep_has_a_report(kinds: KindsWriter) -> None:
    output = compiled(kinds(none=["pending"], hard=["missing"]))
    page = Page((output / "index.html").read_text(encoding="utf-8"))
    assert "No trial has finished yet" in " ".join(page.text)
    assert json.loads((output / "results.json").read_text(encoding="utf-8"))["effects"] == []


def test_one_variant_without_axes_has_a_report(writer: SweepWriter) -> None:
    writer.variant({}, [80.0])
    output = compiled(writer.finish())
    page = Page((output / "index.html").read_text(encoding="utf-8"))
    text = " ".join(page.text)
    assert "Report of the run quick" in text
    assert "quick reaches 80.0 % top-1 on 360 val images, in a single run" in text
    for silly in ("Baseline", "Better:", "Bold", "±: ", "Paired", "every seed", "seed sd"):
        assert silly not in text
    links = [href for href in page.values("a", "href") if not href.startswith("#")]
    assert len(links) == 1 + 3
    assert all((output / href).exists() for href in links)
    assert page.tags["svg"] == 0
    assert "accuracy.svg" not in (output / "report.md").read_text(encoding="utf-8")


def test_a_large_sweep_draws_its_best_and_lists_all(writer: SweepWriter) -> None:
    for depth in range(1, 62):
        writer.variant({"model.depth": depth}, [80.0 + depth / 10, "failed"])
    output = compiled(writer.finish())
    text = (output / "index.html").read_text(encoding="utf-8")
    sentence = "The 40 highest means of 61 are drawn; the tables hold all variants."
    assert text.count(sentence) == 2  # the caption, the picture's description
    assert sentence in (output / "report.md").read_text(encoding="utf-8")
    assert len(re.findall(r'id="accuracy-seed-[0-9a-f]{12}"', text)) == 80
    assert "<title>depth=61, seed 0" in text
    assert "<title>depth=21, seed 0" not in text
    rows = re.search(r'<table id="table-variants".*?</table>', text, re.DOTALL)
    assert rows is not None
    assert rows[0].count("<tr") == 1 + 61
