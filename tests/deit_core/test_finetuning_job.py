"""Fine-tuning through a job, and the further evaluation sets of its last row."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from deit_core.models import HeadLogits
from deit_core.run_dir import RunDir

RunFactory = Callable[..., RunDir]
Job = Callable[..., Any]

FREEZE = {"lr": 1e-30, "warmup": "0ep", "weight_decay": 0.0, "min_lr": 0.0}
"""Optimiser settings under which weights stay what they were at the start."""


def evaluation(run: RunDir) -> dict[str, Any]:
    return [row for row in run.read_metrics() if row["kind"] == "eval"][-1]


def test_fine_tuning_starts_from_the_given_weights(make_run: RunFactory, job: Job) -> None:
    """At a learning rate of nothing, the fine-tuned model is the trained one."""
    first = make_run("first")
    job(first)
    again = make_run("again", finetune={"checkpoint": str(first.weights_file)}, optim=FREEZE)
    job(again)
    assert evaluation(again)["val_loss_cls"] == evaluation(first)["val_loss_cls"]


def test_fine_tuning_at_another_resolution_without_distillation_token(
    make_run: RunFactory, job: Job
) -> None:
    first = make_run("first")
    job(first)
    model = {"name": "deit_tiny_patch16_224", "img_size": 16, "patch_size": 4, "in_chans": 1}
    model |= {"embed_dim": 16, "depth": 2, "num_heads": 2}
    larger = make_run("larger", model=model, finetune={"checkpoint": str(first.weights_file)})
    job(larger)
    assert load_file(larger.weights_file)["pos_embed"].shape == (1, 17, 16)
    assert larger.read_status().state == "completed"


def test_fine_tuning_in_eval_mode_trains_what_the_model_predicts(
    make_run: RunFactory, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As DeiT's authors did: no dropout or stochastic depth, the loss on the fused logits."""
    first = make_run("first")
    job(first)
    tuned = make_run("tuned", finetune={"checkpoint": str(first.weights_file), "eval_mode": True})

    def noise(*_: Any, **__: Any) -> None:
        raise AssertionError("dropout in eval mode")

    monkeypatch.setattr("deit_core.models.noise.Dropout._uniform", noise)
    job(tuned)
    before, after = load_file(first.weights_file), load_file(tuned.weights_file)
    for head in ("head.weight", "head_dist.weight"):
        assert not torch.equal(before[head], after[head])
    assert evaluation(tuned)["val_loss"] != evaluation(tuned)["val_loss_cls"]


def test_a_head_that_nothing_trains_stays_as_it_was(make_run: RunFactory, job: Job) -> None:
    first = make_run("first")
    job(first)
    tuned = make_run("tuned", finetune={"checkpoint": str(first.weights_file)})
    job(tuned)
    before, after = load_file(first.weights_file), load_file(tuned.weights_file)
    assert torch.equal(before["head_dist.weight"], after["head_dist.weight"])
    assert not torch.equal(before["head.weight"], after["head.weight"])


@pytest.mark.parametrize("what", ["missing", "truncated", "other", "code"])
def test_bad_checkpoints_end_the_run_with_one_line_and_touch_nothing(
    make_run: RunFactory, job: Job, tmp_path: Path, what: str
) -> None:
    path = tmp_path / "weights.pth"
    if what == "truncated":
        torch.save({"model": {"head.weight": torch.zeros(100, 100)}}, path)
        path.write_bytes(path.read_bytes()[:1000])
    elif what == "other":
        save_file({"conv1.weight": torch.zeros(3)}, path := tmp_path / "weights.safetensors")
    elif what == "code":
        torch.save({"model": Image.Image}, path)
    content = path.read_bytes() if path.exists() else None
    run = make_run("run", finetune={"checkpoint": str(path)})
    job(run, check=2)
    reason = str(run.read_status().reason)
    assert str(path) in reason
    assert "\n" not in reason
    assert run.read_summary() is None
    assert (path.read_bytes() if path.exists() else None) == content


def test_a_resume_refuses_another_checkpoint_to_start_from(make_run: RunFactory, job: Job) -> None:
    first = make_run("first")
    job(first)
    weights = first.weights_file
    tuned = make_run("tuned", finetune={"checkpoint": str(weights)})
    job(tuned)
    tuned.summary_file.unlink()
    tuned.write_status(tuned.read_status().model_copy(update={"state": "preempted"}))
    state = load_file(weights)
    save_file({name: tensor + 1 for name, tensor in state.items()}, weights)
    job(tuned, check=2)
    assert "finetune checkpoint changed" in str(tuned.read_status().reason)


def small_imagenet(root: Path, v2_labels: tuple[int, ...], real: list[list[int]]) -> dict[str, Any]:
    """Config sections for 24 train and 9 val images of 3 classes, ReaL labels and ImageNet-V2."""
    rng, number = np.random.default_rng(0), 0
    for split, per_class in (("train", 8), ("val", 3)):
        for name in ("n01", "n02", "n03"):
            folder = root / "data" / split / name
            folder.mkdir(parents=True)
            for _ in range(per_class):
                number += 1
                image = Image.fromarray(rng.integers(0, 255, (10, 10, 3), dtype=np.uint8))
                file = f"{number:08d}" if split == "train" else f"{number - 24:08d}"
                image.save(folder / f"ILSVRC2012_val_{file}.JPEG")
    for label in v2_labels:
        (root / "v2" / str(label)).mkdir(parents=True)
        Image.new("RGB", (10, 10)).save(root / "v2" / str(label) / "a.jpeg")
    (root / "real.json").write_text(json.dumps(real))
    none = {"train_images": None, "val_images": None}
    return {
        "data": {"source": "image_folder", "root": str(root / "data"), "workers": 0, **none},
        "model": {"in_chans": 3},
        "eval": {
            "real_labels": str(root / "real.json"),
            "imagenet_v2": str(root / "v2"),
            "batch_size": 4,
        },
        "train": {"duration": "2ep", "global_batch_size": 8},
    }


def test_the_last_row_has_real_labels_and_imagenet_v2(
    make_run: RunFactory, job: Job, tmp_path: Path
) -> None:
    """Labels that name every class are all hits; V2 folders are labelled by their number."""
    real = [[0, 1, 2] if n != 4 else [] for n in range(9)]
    run = make_run("run", **small_imagenet(tmp_path, (0, 2), real))
    job(run)
    rows = [row for row in run.read_metrics() if row["kind"] == "eval"]
    assert "val_real_top1" not in rows[0]
    assert rows[-1]["val_real_top1"] == 100.0
    assert rows[-1]["val_v2_top1"] in (0.0, 50.0)
    summary = run.read_summary()
    assert summary is not None
    assert (summary.val_real_top1, summary.val_v2_top1) == (100.0, rows[-1]["val_v2_top1"])
    assert rows[-1]["val_images"] == 9


def test_further_sets_score_what_both_heads_predict_together(
    make_run: RunFactory, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The class head says class 0; the distillation head, which is surer, class 1."""
    sections = small_imagenet(tmp_path, (1, 2), [[1]] * 9)
    first = make_run("first", **sections)
    job(first)
    finetune = {"checkpoint": str(first.weights_file), "eval_mode": True}
    run = make_run("run", finetune=finetune, **sections)

    def answers(_model: Any, images: torch.Tensor) -> HeadLogits:
        table = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]).repeat(len(images), 1)
        return HeadLogits(table[::2], table[1::2])

    monkeypatch.setattr("deit_core.train.evaluate.head_logits", answers)
    job(run)
    row = evaluation(run)
    assert (row["val_top1"], row["val_top1_cls"]) == (pytest.approx(100 / 3),) * 2
    assert (row["val_v2_top1"], row["val_real_top1"]) == (50.0, 100.0)
