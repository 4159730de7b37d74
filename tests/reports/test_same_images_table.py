"""McNemar's test of single seeds: when it is shown, and what it is said to mean."""

from __future__ import annotations

import numpy as np
from report_parts import column, compiled, section, table, words
from sweep_writer import KindsWriter, SweepWriter

from deit_core.correct_records import ValCorrectRecord
from deit_core.run_dir import RunDir

IMAGES = 360


def write_hits(run: RunDir, wrong: range) -> None:
    """All images right but some."""
    hits = np.ones(IMAGES, dtype=np.bool_)
    hits[list(wrong)] = False
    run.write_val_correct(ValCorrectRecord.of(run.read_trial().trial_id, hits, "val"))


def write(writer: SweepWriter, seeds: int) -> None:
    for kind, wrong in (("none", range(60)), ("hard", range(50, 70))):
        top1 = 100 * (IMAGES - len(wrong)) / IMAGES
        outcomes = [top1 + 0.3 * seed for seed in range(seeds)]
        for run in writer.variant({"distill.kind": kind}, outcomes):
            write_hits(run, wrong)
    writer.finish()


def test_single_seeds_are_compared_image_by_image(writer: SweepWriter) -> None:
    write(writer, seeds=1)
    report = compiled(writer.path)
    found = table(report, "same_images")
    assert column(found, "only the variant right") == ["50"]
    assert column(found, "only the other right") == ["10"]
    assert column(found, "difference") == ["+11.1"]
    # twice the binomial tail of 10 or fewer of 60: scipy.stats.binomtest(10, 60).pvalue
    assert column(found, "McNemar p") == ["1.6e-07"]
    assert "two checkpoints, not two methods" in found.caption
    assert "the verdict stays: not tested" in words(section(report, "seeds").blocks)
    assert "not tested" in column(table(report, "variants"), "verdict")


def test_several_seeds_are_compared_by_their_spread(writer: SweepWriter) -> None:
    write(writer, seeds=2)
    assert "same_images" not in [one.name for one in compiled(writer.path).tables]


def test_without_records_there_is_no_table(kinds: KindsWriter) -> None:
    report = compiled(kinds(none=[80.0], hard=[82.0]))
    assert "same_images" not in [one.name for one in report.tables]
