"""Heads and averaged weights are compared within each run."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from scipy import stats as reference
from sweep_writer import SweepWriter

from reports.document import Paragraph, Section, Table
from reports.head_effects import gains
from reports.load import load_sweep
from reports.report import compile_report
from reports.text import NOTHING
from reports.variants import group_variants


def _section(folder: Path) -> Section | None:
    sections = compile_report(load_sweep(folder)).sections
    return next((section for section in sections if section.id == "heads"), None)


def _table(section: Section) -> Table:
    return next(block for block in section.blocks if isinstance(block, Table))


def _write(writer: SweepWriter, kind: str, fused: list[float], cls: list[float]) -> None:
    for seed, (both, alone) in enumerate(zip(fused, cls, strict=True)):
        writer.summary = {"val_top1_cls": alone, "val_top1_dist": both - 0.1}
        writer.trial({"distill.kind": kind}, seed, both)


def test_the_interval_is_that_of_differences_within_runs(writer: SweepWriter) -> None:
    _write(writer, "hard", [80.0, 82.0, 85.0], [79.0, 80.6, 84.2])
    variants = group_variants(load_sweep(writer.finish()))
    (gain,) = gains(variants, "val_top1", "val_top1_cls").values()
    expected = reference.ttest_rel([80.0, 82.0, 85.0], [79.0, 80.6, 84.2]).confidence_interval()
    assert gain.interval is not None
    assert gain.interval.low == pytest.approx(expected.low)
    assert gain.interval.high == pytest.approx(expected.high)
    assert gain.verdict == "better"


def test_several_variants_share_the_risk(writer: SweepWriter) -> None:
    for kind in ("hard", "soft"):
        _write(writer, kind, [80.0, 82.0, 85.0], [79.0, 80.6, 84.2])
    variants = group_variants(load_sweep(writer.finish()))
    differences = [1.0, 1.4, 0.8]
    for gain in gains(variants, "val_top1", "val_top1_cls").values():
        error = reference.sem(differences)
        half = reference.t.ppf(1 - 0.05 / 4, 2) * error
        assert gain.interval is not None
        assert gain.interval.half_width == pytest.approx(half)
        assert math.isclose(gain.delta, sum(differences) / 3)


def test_one_seed_is_not_tested(writer: SweepWriter) -> None:
    _write(writer, "hard", [80.0], [79.0])
    section = _section(writer.finish())
    assert section is not None
    (row,) = _table(section).rows
    assert [cell.text for cell in row][-3:] == ["+1.0", NOTHING, "not tested"]
    first = section.blocks[0]
    assert isinstance(first, Paragraph)
    assert "not tested in 1 variant, for want of two seeds that differ" in first.text


def test_a_class_head_that_is_better_is_called_that(writer: SweepWriter) -> None:
    _write(writer, "hard", [80.0, 81.0, 82.0], [85.0, 86.1, 86.9])
    section = _section(writer.finish())
    assert section is not None
    assert _table(section).rows[0][-1].text == "class head better"


def test_averaged_weights_and_further_labels_get_columns(writer: SweepWriter) -> None:
    writer.summary = {"val_top1_dist": None, "val_ema_top1": 83.0, "val_real_top1": 88.0}
    writer.variant({"distill.kind": "none"}, [80.0])
    section = _section(writer.finish())
    assert section is not None
    titles = [column.title for column in _table(section).columns]
    assert "averaged weights (EMA)" in titles
    assert "ReaL labels" in titles
    assert "both heads - class head" not in titles
    assert "EMA - result" in titles


def test_no_section_where_there_is_one_head_and_one_set_of_weights(writer: SweepWriter) -> None:
    writer.summary = {"val_top1_dist": None}
    writer.variant({"distill.kind": "none"}, [80.0, 81.0])
    assert _section(writer.finish()) is None


def test_no_section_before_anything_has_finished(writer: SweepWriter) -> None:
    writer.variant({"distill.kind": "hard"}, ["running", "failed"])
    assert _section(writer.finish()) is None
