"""The paragraph, word for word, in the situations a user meets."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweep_writer import KindsWriter, SweepWriter

from reports.context import Options
from reports.load import load_sweep
from reports.report import compile_report

NONE = [80.1, 81.3, 79.7, 82.0, 80.4]
SOFT = [81.7, 82.5, 80.9, 82.2, 81.1]
HARD = [82.9, 83.5, 82.1, 83.3, 82.7]


def paragraph(path: Path, baseline: str | None = None) -> str:
    report = compile_report(load_sweep(path), Options(baseline=baseline))
    return " ".join(report.context.answer)


def test_distillation_helps(kinds: KindsWriter) -> None:
    assert paragraph(kinds(none=NONE, soft=SOFT, hard=HARD, teacher=92.5)) == (
        "Distillation helps here. Hard distillation is better than no distillation, 82.90 against "
        "80.70 % top-1: +2.20 points (95 % simultaneous interval +1.03 to +3.37). Soft "
        "distillation is not distinguishable from no distillation, 81.68 against 80.70 % top-1: "
        "+0.98 points (95 % simultaneous interval -0.19 to +2.15). Of the two, hard distillation "
        "is better than soft distillation: +1.22 points (95 % interval +0.20 to +2.24). This rests "
        "on 5 seeds of 3 variants and 360 val images. The teacher itself reaches 92.50 %."
    )


def test_distillation_does_not_help(kinds: KindsWriter) -> None:
    text = paragraph(kinds(none=HARD, hard=NONE))
    assert text.startswith(
        "Distillation does not help here. No distillation is better than hard distillation, 82.90 "
        "against 80.70 % top-1: +2.20 points (95 % simultaneous interval +1.08 to +3.32)."
    )


def test_chance_is_said_to_be_chance(kinds: KindsWriter) -> None:
    text = paragraph(kinds(none=[80.0, 84.0, 82.0], hard=[81.0, 85.0, 82.6]))
    assert text.startswith(
        "Whether distillation helps here cannot be told from these runs. Hard distillation is not "
        "distinguishable from no distillation"
    )


def test_single_seeds_are_not_tested(kinds: KindsWriter) -> None:
    assert paragraph(kinds(none=[80.0], soft=[81.0], hard=[83.0])) == (
        "Whether distillation helps is not tested: it takes two finished seeds of both sides that "
        "differ to measure chance. The differences from no distillation so far: kind=hard +3.0 "
        "points and kind=soft +1.0 points. The highest mean is that of kind=hard: 83.0 % top-1. "
        "This rests on 1 seed of 3 variants and 360 val images."
    )


def test_one_arm_with_a_single_seed_is_named(kinds: KindsWriter) -> None:
    text = paragraph(kinds(none=NONE, soft=[83.0, "failed"], hard=HARD))
    assert "Kind=soft" not in text
    assert "Hard distillation is better than no distillation" in text
    assert "kind=soft: not tested, for want of a second seed." in text
    assert "1 of 12 trials ended without a result and is not in the means." in text


def test_nothing_finished(kinds: KindsWriter) -> None:
    path = kinds(none=["pending", "missing"], hard=["running", "failed"])
    assert paragraph(path) == ("No trial has finished yet: 4 trials planned; 1 failed or damaged.")


def test_all_failed(kinds: KindsWriter) -> None:
    assert paragraph(kinds(none=["failed"], hard=["failed"])) == (
        "No trial has a result: all 2 failed."
    )


def test_a_partial_sweep_is_preliminary(kinds: KindsWriter) -> None:
    text = paragraph(kinds(none=[*NONE[:3], "running"], hard=[*HARD[:3], "missing"]))
    assert text.startswith(
        "Preliminary: 2 of 8 trials have no result yet. Distillation helps here."
    )


def test_only_one_side_has_finished(kinds: KindsWriter) -> None:
    text = paragraph(kinds(none=["pending", "pending"], hard=[82.0, 83.0]))
    assert "no variant with it and one without it at the same settings have both finished" in text


def test_several_settings_are_averaged(writer: SweepWriter) -> None:
    for depth in (4, 6):
        for kind, gain in (("none", 0.0), ("hard", 2.0)):
            outcomes = [x + gain + depth / 2 for x in (80.0, 80.6, 81.2)]
            writer.variant({"distill.kind": kind, "model.depth": depth}, outcomes)
    assert paragraph(writer.finish()) == (
        "Distillation helps here. Hard distillation is better than no distillation, averaged over "
        "2 comparisons at otherwise equal settings: +2.00 points (95 % simultaneous interval +1.20 "
        "to +2.80). The highest mean of all is that of kind=hard, depth=6: 85.60 %. This rests on "
        "3 seeds of 4 variants and 360 val images."
    )


@pytest.mark.parametrize(
    ("depth_8", "expected"),
    [
        (
            [85.0, 85.5, 86.0],
            "The highest mean is that of depth=8: 85.50 ± 0.80 % top-1. It is better than the "
            "baseline depth=4: +5.00 points (95 % simultaneous interval +3.87 to +6.13).",
        ),
        (
            [79.0, 79.5, 80.0],
            "The highest mean is that of depth=4: 80.50 ± 0.80 % top-1. It is the baseline: not "
            "distinguishable from 1 of 1 other variant.",
        ),
    ],
)
def test_any_other_sweep_names_its_best(
    writer: SweepWriter, depth_8: list[float], expected: str
) -> None:
    writer.variant({"model.depth": 4}, [80.0, 80.5, 81.0])
    writer.variant({"model.depth": 8}, depth_8)
    assert paragraph(writer.finish()).startswith(expected)


def test_a_chosen_baseline_changes_the_question(kinds: KindsWriter) -> None:
    text = paragraph(kinds(none=NONE, soft=SOFT, hard=HARD), baseline="kind=soft")
    assert text.startswith(
        "The highest mean is that of kind=hard: 82.90 ± 0.72 % top-1. It is better than the "
        "baseline kind=soft: +1.22 points"
    )


def test_one_variant(writer: SweepWriter) -> None:
    writer.variant({}, [80.0, 81.0])
    assert paragraph(writer.finish()) == (
        "quick reaches 80.5 ± 6.4 % mean top-1. There is nothing to compare. This rests on 2 seeds "
        "of 1 variant and 360 val images."
    )


def test_one_run(writer: SweepWriter) -> None:
    writer.variant({}, [80.0])
    assert paragraph(writer.finish()) == (
        "quick reaches 80.0 % top-1 on 360 val images, in a single run of 40 epochs."
    )


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("failed", "has no result: failed, diverged at step 120 of 720: the training loss became "),
        ("running", "has no result yet: running, was at step 120 of 720"),
    ],
)
def test_one_run_without_a_result(writer: SweepWriter, state: str, expected: str) -> None:
    writer.variant({}, [state])
    assert paragraph(writer.finish()).startswith(f"quick {expected}")


def test_equal_seeds_measure_no_chance(kinds: KindsWriter) -> None:
    text = paragraph(kinds(none=[80.0, 80.0], hard=[82.0, 82.0]))
    assert text.startswith("Whether distillation helps is not tested")


def test_equal_seeds_that_are_no_round_numbers_measure_no_chance(kinds: KindsWriter) -> None:
    """The mean of three equal floats may miss them by the last bit; that is no spread."""
    text = paragraph(kinds(none=[100 * 399 / 797] * 3, soft=[100 * 400 / 797] * 3))
    assert text.startswith("Whether distillation helps is not tested")


def test_a_variant_without_spread_is_not_tested_where_each_uses_its_own(
    kinds: KindsWriter,
) -> None:
    alike, unlike = [80.0, 80.01, 80.02, 80.0], [60.0, 90.0, 70.0, 85.0]
    text = paragraph(kinds(none=alike, soft=unlike, hard=[10.0] * 4))
    assert "kind=hard: not tested, for want of seeds that differ." in text


@pytest.mark.parametrize("word", ["significant", "worse", "proves"])
def test_words_that_are_not_used(kinds: KindsWriter, word: str) -> None:
    assert word not in paragraph(kinds(none=HARD, soft=NONE, hard=SOFT))
