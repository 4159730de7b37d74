"""Grouping, labels, and which baseline each variant is compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sweep_writer import SweepWriter

from reports.errors import ReportError
from reports.load import load_sweep
from reports.variants import Baseline, Variant, find_baseline, group_variants

KIND, TEMPERATURE, DEPTH = "distill.kind", "distill.temperature", "model.depth"


def variants_of(path: Path) -> tuple[Variant, ...]:
    return group_variants(load_sweep(path))


@pytest.fixture
def ablation(writer: SweepWriter) -> tuple[Variant, ...]:
    """kind x temperature (soft only) x depth, one seed each."""
    for depth in (4, 6):
        for kind, temperature in (("none", None), ("soft", 1.0), ("soft", 3.0), ("hard", None)):
            swept = {KIND: kind, TEMPERATURE: temperature, DEPTH: depth}
            writer.variant(swept, [80.0])
    return variants_of(writer.finish())


def pairs(variants: tuple[Variant, ...], baseline: Baseline) -> dict[str, str]:
    labels = {variant.group_id: variant.label for variant in variants}
    return {labels[group]: labels[base] for group, base in baseline.of.items()}


def test_labels_are_short_and_leave_out_what_has_no_effect(
    ablation: tuple[Variant, ...],
) -> None:
    assert [variant.label for variant in ablation[:3]] == [
        "kind=none, depth=4",
        "kind=soft, temperature=1.0, depth=4",
        "kind=soft, temperature=3.0, depth=4",
    ]


def test_ambiguous_last_names_stay_whole(writer: SweepWriter) -> None:
    writer.variant({"model.name": "a", "teacher.name": "b"}, [80.0])
    assert variants_of(writer.finish())[0].label == "model.name=a, teacher.name=b"


def test_seeds_of_a_variant_are_one_group(writer: SweepWriter) -> None:
    writer.variant({DEPTH: 4}, [80.0, 81.0, "failed"])
    (variant,) = variants_of(writer.finish())
    assert len(variant.trials) == 3
    assert variant.values == {0: 80.0, 1: 81.0}


def test_a_swept_seed_is_no_axis(writer: SweepWriter) -> None:
    for seed in (0, 1):
        writer.trial({DEPTH: 4}, seed, 80.0 + seed)
    (variant,) = variants_of(writer.finish(axes=("seed", DEPTH)))
    assert (variant.label, variant.values) == ("depth=4", {0: 80.0, 1: 81.0})


def test_distillation_is_compared_at_equal_other_fields(ablation: tuple[Variant, ...]) -> None:
    baseline = find_baseline(ablation)
    assert baseline.is_distillation_free
    assert pairs(ablation, baseline) == {
        "kind=soft, temperature=1.0, depth=4": "kind=none, depth=4",
        "kind=soft, temperature=3.0, depth=4": "kind=none, depth=4",
        "kind=hard, depth=4": "kind=none, depth=4",
        "kind=soft, temperature=1.0, depth=6": "kind=none, depth=6",
        "kind=soft, temperature=3.0, depth=6": "kind=none, depth=6",
        "kind=hard, depth=6": "kind=none, depth=6",
    }


def test_without_a_distillation_axis_the_first_variant_is_the_baseline(
    writer: SweepWriter,
) -> None:
    for depth in (4, 6, 8):
        writer.variant({DEPTH: depth}, [80.0])
    variants = variants_of(writer.finish())
    baseline = find_baseline(variants)
    assert pairs(variants, baseline) == {"depth=6": "depth=4", "depth=8": "depth=4"}


def test_a_variant_without_its_setting_in_the_baseline_is_left_alone(writer: SweepWriter) -> None:
    writer.variant({KIND: "none", DEPTH: 4}, [80.0])
    writer.variant({KIND: "hard", DEPTH: 6}, [80.0])
    assert find_baseline(variants_of(writer.finish())).of == {}


@pytest.mark.parametrize(
    ("wanted", "selector"),
    [
        ("depth=6", {DEPTH: 6}),
        ("model.depth=6", {DEPTH: 6}),
        ("kind=soft, temperature=3.0", {KIND: "soft", TEMPERATURE: 3.0}),
        ("kind=hard, depth=4", {KIND: "hard", TEMPERATURE: None, DEPTH: 4}),
    ],
)
def test_chosen_baselines(
    ablation: tuple[Variant, ...], wanted: str, selector: dict[str, Any]
) -> None:
    assert dict(find_baseline(ablation, wanted).selector) == selector


def test_a_chosen_field_leaves_the_others_open(ablation: tuple[Variant, ...]) -> None:
    found = pairs(ablation, find_baseline(ablation, "depth=6"))
    assert found["kind=soft, temperature=1.0, depth=4"] == "kind=soft, temperature=1.0, depth=6"
    assert len(found) == 4


@pytest.mark.parametrize("wanted", ["depth=7", "width=4", "nonsense", "kind=none, temperature=1.0"])
def test_an_unknown_baseline_lists_what_is_valid(
    ablation: tuple[Variant, ...], wanted: str
) -> None:
    with pytest.raises(ReportError, match="is no variant of this sweep; valid: kind=none, depth=4"):
        find_baseline(ablation, wanted)


def test_an_ambiguous_baseline_asks_for_more(ablation: tuple[Variant, ...]) -> None:
    with pytest.raises(ReportError, match=r"fits several variants .* name more fields"):
        find_baseline(ablation, "kind=soft")
