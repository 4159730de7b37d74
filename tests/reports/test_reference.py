"""Published results beside measured ones: matching, differences, what must not be subtracted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from scipy import stats as scipy_stats
from sweep_writer import SweepWriter

from deit_core.config import parse_run_config
from deit_core.variants import VARIANTS
from reports.context import Options
from reports.errors import ReportError
from reports.export import json_text
from reports.load import load_sweep
from reports.reference.compare import ReferenceComparison, compare_published, with_reference
from reports.reference.published import load_reference, parse_reference
from reports.render.markdown import render_markdown
from reports.report import Report, compile_report
from reports.results_file import read_results

IMAGENET = {"val_images": 50_000, "train_images": 1_281_167, "num_classes": 1000}
RECIPE = {
    "data": {"source": "imagenet", "root": "/data/imagenet"},
    "model": {"name": "deit_small_patch16_224"},
    "augment": {"repeats": 3},
}
TEACHER = {"name": "regnety_160", "pretrained": True}
HARD = {
    "model": {"name": "deit_small_distilled_patch16_224"},
    "teacher": TEACHER,
    "distill": {"kind": "hard"},
}


def variant(
    writer: SweepWriter, swept: Mapping[str, Any], config: Mapping[str, Any], *top1: float
) -> None:
    """One variant with a config of its own."""
    for seed, run in enumerate(writer.variant(swept, top1)):
        run.create(run.read_trial(), parse_run_config({**RECIPE, **config, "seed": seed}))


def report(writer: SweepWriter, reference: str = "deit") -> Report:
    sweep = with_reference(load_sweep(writer.finish()), load_reference(reference))
    return compile_report(sweep, Options(reference=reference))


def compared(writer: SweepWriter, reference: str = "deit") -> ReferenceComparison:
    context = report(writer, reference).context
    found = compare_published(context.sweep, context.analysis)
    assert found is not None
    return found


@pytest.fixture
def imagenet(writer: SweepWriter) -> SweepWriter:
    writer.summary = dict(IMAGENET)
    return writer


def test_the_packaged_references_are_valid_and_fit_this_packages_models() -> None:
    for name, rows in (("deit", 41), ("cait", 25)):
        reference = parse_reference(load_reference(name), name)
        assert len(reference.rows) == rows
        for row in reference.rows:
            assert row.source
            assert row.model in VARIANTS or row.model.replace("224", "384") in VARIANTS
    by_name = {row.name: row for row in parse_reference(load_reference("deit"), "").rows}
    assert (by_name["DeiT-S"].top1, by_name["DeiT-S"].images_per_s) == (79.8, 940.4)
    assert by_name["DeiT-B distilled"].top1 == 83.4


def test_measured_minus_published_with_the_interval_of_the_seeds(imagenet: SweepWriter) -> None:
    top1 = (78.1, 78.5, 78.3)
    variant(imagenet, {"distill.kind": "none"}, {}, *top1)
    found = compared(imagenet)
    (row,) = found.rows
    mean, error = sum(top1) / 3, 0.2 / 3**0.5
    assert row.published == 79.8
    assert row.difference == pytest.approx(mean - 79.8)
    low, high = scipy_stats.t.interval(0.95, 2, mean - 79.8, error)
    assert row.difference_interval is not None
    assert row.difference_interval.low == pytest.approx(low, abs=1e-9)
    assert row.difference_interval.high == pytest.approx(high, abs=1e-9)
    assert row.word == "below"
    assert found.below == (row,)
    (match,) = found.matches.values()
    assert match.row.name == "DeiT-S"
    assert match.differences == ()


@pytest.mark.parametrize(
    ("top1", "word"),
    [
        ((80.3, 80.5, 80.4), "above"),
        ((79.7, 79.9, 79.75), "not distinguishable"),
        ((79.0,), "not tested"),
    ],
)
def test_words(imagenet: SweepWriter, top1: Sequence[float], word: str) -> None:
    variant(imagenet, {"distill.kind": "none"}, {}, *top1)
    (row,) = compared(imagenet).rows
    assert row.word == word
    assert row.difference is not None


def test_several_variants_get_wider_intervals(imagenet: SweepWriter) -> None:
    variant(imagenet, {"distill.kind": "none"}, {}, 79.0, 79.2, 79.4)
    variant(imagenet, {"distill.kind": "hard"}, HARD, 81.0, 81.2, 81.4)
    plain, hard = compared(imagenet).rows
    assert (plain.published, hard.published) == (79.8, 81.2)
    for row in (plain, hard):
        assert row.interval is not None
        assert row.difference_interval is not None
        assert row.difference_interval.half_width > 1.1 * row.interval.half_width


def test_the_row_whose_recipe_differs_least_is_taken_and_the_rest_is_said(
    imagenet: SweepWriter,
) -> None:
    changed = {"train": {"duration": "1000ep", "global_batch_size": 512}}
    variant(imagenet, {"train.duration": "1000ep"}, HARD | changed, 82.0, 82.2)
    found = compared(imagenet)
    (match,) = found.matches.values()
    assert match.row.name == "DeiT-S distilled, 1000 epochs"
    assert "of 2 such rows" in match.why
    assert match.differences == ("train.global_batch_size: 512 here, 1024 published",)


def test_an_ablation_finds_the_published_ablation(imagenet: SweepWriter) -> None:
    changed = {"model": {"name": "deit_base_patch16_224"}}
    augment = {"augment": {"mixup_alpha": 0.0, "repeats": 3}}
    variant(imagenet, {"augment.mixup_alpha": 0.0}, changed | augment, 78.0, 78.2)
    (match,) = compared(imagenet).matches.values()
    assert (match.row.name, match.differences) == ("DeiT-B, no mixup", ())


def test_other_data_is_never_subtracted(writer: SweepWriter) -> None:
    config = {"data": {"source": "digits"}, "model": {"name": "deit_tiny_patch16_224"}}
    variant(writer, {"distill.kind": "none"}, config, 95.0, 96.0, 97.0)
    compiled = report(writer)
    found = compare_published(compiled.context.sweep, compiled.context.analysis)
    assert found is not None
    (row,) = found.rows
    assert (row.difference, row.difference_interval, row.word) == (None, None, "not comparable")
    assert "No difference is computed where the data are not the same" in render_markdown(compiled)
    assert "evaluated on digits; published: imagenet" in render_markdown(compiled)


def test_a_part_of_the_val_images_is_not_the_val_images(imagenet: SweepWriter) -> None:
    imagenet.summary["val_images"] = 10_000
    variant(imagenet, {"distill.kind": "none"}, {}, 79.0, 79.2)
    assert [row.word for row in compared(imagenet).rows] == ["not comparable"]


def test_an_image_folder_of_equal_sizes_is_taken_for_the_data_and_that_is_said(
    imagenet: SweepWriter,
) -> None:
    config = {"data": {"source": "image_folder", "root": "/data/in1k"}}
    variant(imagenet, {"distill.kind": "none"}, config, 79.0, 79.2)
    found = compared(imagenet)
    assert found.rows[0].word != "not comparable"
    (match,) = found.matches.values()
    assert match.differences[0].startswith("image_folder here, taken for imagenet")


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"model": {"name": "deit_small_patch16_224", "depth": 6}}, "depth 6 instead of 12"),
        ({"model": {"name": "deit_small_patch16_224", "img_size": 192}}, "published at 224 px"),
        ({"model": {"name": "resnet50"}}, "DeiT lists no resnet50"),
        (
            HARD | {"distill": {"kind": "soft"}},
            "published with hard distillation through a token",
        ),
    ],
)
def test_why_there_is_no_published_row(
    imagenet: SweepWriter, config: dict[str, Any], why: str
) -> None:
    variant(imagenet, {"distill.kind": "none"}, config, 79.0, 79.2)
    compiled = report(imagenet)
    found = compare_published(compiled.context.sweep, compiled.context.analysis)
    assert found is not None
    assert not found.rows
    assert why in next(iter(found.unmatched.values()))
    assert why in render_markdown(compiled)


def test_further_test_sets_stand_in_rows_of_their_own(imagenet: SweepWriter) -> None:
    imagenet.summary |= {"val_v2_top1": 68.0}
    variant(imagenet, {"distill.kind": "none"}, {}, 79.0, 79.2)
    rows = compared(imagenet).rows
    assert [row.metric.published for row in rows] == ["top1", "v2_top1"]
    assert rows[1].published == 68.5


def test_results_json_keeps_the_reference(imagenet: SweepWriter, tmp_path: Path) -> None:
    variant(imagenet, {"distill.kind": "none"}, {}, 79.0, 79.2, 79.3)
    compiled = report(imagenet)
    (tmp_path / "results.json").write_text(json_text(compiled), encoding="utf-8")
    sweep, options = read_results(tmp_path / "results.json")
    again = compile_report(sweep, options)
    assert json_text(again) == json_text(compiled)
    assert render_markdown(again) == render_markdown(compiled)
    assert "## Beside the published results" in render_markdown(again)
    (row,) = json.loads(json_text(again))["published"]["rows"]
    assert (row["published"], row["verdict"]) == (79.8, "below")


def test_nothing_has_finished(imagenet: SweepWriter) -> None:
    for seed, run in enumerate(imagenet.variant({"distill.kind": "none"}, ["failed", "missing"])):
        if seed == 0:
            run.create(run.read_trial(), parse_run_config(dict(RECIPE)))
    found = compared(imagenet)
    assert [(row.n, row.mean, row.word) for row in found.rows] == [(0, None, "not tested")]


def test_a_file_of_ones_own_as_csv(imagenet: SweepWriter, tmp_path: Path) -> None:
    file = tmp_path / "ours.csv"
    file.write_text(
        "name,model,img_size,kind,top1,images_per_s,device,train.duration,optim.weight_decay\n"
        "old DeiT-S,deit_small_patch16_224,224,none,78.0,1000,one A100,300ep,0.1\n",
        encoding="utf-8",
    )
    variant(imagenet, {"distill.kind": "none"}, {}, 79.0, 79.2, 79.3)
    found = compared(imagenet, str(file))
    (row,) = found.rows
    assert (row.published, row.word) == (78.0, "above")
    (match,) = found.matches.values()
    assert match.differences == ("optim.weight_decay: 0.05 here, 0.1 published",)
    text = render_markdown(report(imagenet, str(file)))
    assert "measured by the authors on one A100" in text


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "name,model\n", "has no column 'img_size'"),
        ("a.csv", "name,model,img_size,kind,top1,optim.lrr\n", "unknown column 'optim.lrr'"),
        ("a.csv", "name,model,img_size,kind,top1\nx,y,224,none,high\n", "top1 is 'high'"),
        ("a.csv", "name,model,img_size,kind,top1\nx,y,224,none,180\n", "less than or equal to 100"),
        ("a.csv", "name,model,img_size,kind,top1\nx,y,224,mean,80\n", "rows.0.kind"),
        ("a.json", "{", "not JSON"),
        ("a.json", "[]", "holds no published results"),
        ("a.json", json.dumps({"schema_version": 9}), "schema version 9"),
        ("a.json", json.dumps({"name": "x"}), "holds no published results: title"),
    ],
)
def test_files_that_hold_no_published_results(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ReportError) as error:
        load_reference(str(tmp_path / name))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_name() -> None:
    with pytest.raises(ReportError, match="neither deit nor cait nor a file"):
        load_reference("swin")
