"""Two epochs of training, and an evaluation, number for number as the reference's engine."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import avg_pool2d, cross_entropy, linear

from deit_core.config import RunConfig, parse_run_config
from deit_core.data.loader import TrainBatch
from deit_core.data.mixing import UNMIXED, Mix, mix_images, mix_targets
from deit_core.distill.task import DistillationTask
from deit_core.identity import resolve
from deit_core.models import create_model
from deit_core.optim.ema import ModelEma
from deit_core.optim.params import build_optimizer
from deit_core.optim.schedule import Schedule
from deit_core.train.evaluate import HeadScore
from deit_core.train.learner import Learner

GOLDEN = Path(__file__).parents[1] / "golden"
CASES: list[dict[str, Any]] = json.loads((GOLDEN / "train_steps.json").read_text())["cases"]
TENSORS = load_file(GOLDEN / "train_steps.safetensors")
EVALUATIONS = json.loads((GOLDEN / "recipe.json").read_text())["evaluate"]
STEPS_PER_EPOCH, EPOCHS, CLASSES = 3, 2, 5


def tensors(case: dict[str, Any], part: str) -> dict[str, Tensor]:
    prefix = f"{case['id']}/{part}/"
    return {k.removeprefix(prefix): v for k, v in TENSORS.items() if k.startswith(prefix)}


def config_of(case: dict[str, Any]) -> RunConfig:
    """The case's settings in our words."""
    distillation = {"alpha": case["alpha"], "temperature": case["tau"], "reduction": "numel"}
    sizes = {key: case["config"][key] for key in ("img_size", "patch_size", "embed_dim", "depth")}
    distilled = case["arch"] == "deit_distilled"
    optim: dict[str, Any] = {
        "lr": case["lr"],
        "lr_reference_batch_size": None,
        "weight_decay": case["weight_decay"],
        "schedule": "deit",
        "clip_grad_norm": case["clip_grad"],
    }
    values = {
        "data": {"source": "digits"},
        "teacher": {"name": "resnet18", "checkpoint": "teacher.pth"},
        "model": {
            "name": f"deit_tiny{'_distilled' if distilled else ''}_patch16_224",
            "num_heads": case["config"]["num_heads"],
            "drop_path_rate": 0.0,
            **sizes,
        },
        "distill": {"kind": case["distillation"], **distillation},
        "augment": {"label_smoothing": 0.0 if case["base_loss"] == "CrossEntropy" else 0.1},
        "optim": optim,
        "train": {"duration": f"{EPOCHS}ep", "ema_decay": case["ema_decay"]},
    }
    return resolve(parse_run_config(values))


def learner_of(case: dict[str, Any], config: RunConfig) -> Learner:
    """The parts that a trial with this config trains with, at the case's first weights."""
    sizes = {"img_size": 16, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3}
    model = create_model(config.model.name, num_classes=CLASSES, drop_path_rate=0.0, **sizes)
    model.load_state_dict(tensors(case, "w"))
    model.train()
    return Learner(
        model=model,
        runner=model,
        optimizer=build_optimizer(model, config.optim),
        schedule=Schedule(config, STEPS_PER_EPOCH, EPOCHS * STEPS_PER_EPOCH),
        task=DistillationTask(config.distill, config.train.loss),
        ema=ModelEma(model, case["ema_decay"]),
        scaler=torch.amp.GradScaler("cpu", enabled=False),
        seed=0,
        global_batch_size=6,
        clip_grad_norm=config.optim.clip_grad_norm,
    )


def batch_of(case: dict[str, Any], number: int, mix: Mix, smoothing: float) -> TrainBatch:
    images, labels = (TENSORS[f"{case['id']}/{name}{number}"] for name in ("x", "y"))
    return TrainBatch(
        images=mix_images(images, mix),
        targets=mix_targets(labels, mix, num_classes=CLASSES, smoothing=smoothing),
        labels=labels,
        rows=np.arange(len(labels)),
        unreadable=(),
    )


def teacher_of(case: dict[str, Any], images: Tensor) -> Tensor:
    weight, bias = (TENSORS[f"{case['id']}/teacher_fc_{name}"] for name in ("weight", "bias"))
    return linear(avg_pool2d(images, 8).flatten(1), weight, bias)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_two_epochs_equal_the_references(case: dict[str, Any]) -> None:
    config = config_of(case)
    learner = learner_of(case, config)
    drawn = np.random.RandomState(74)  # as timm's Mixup draws, where the case mixes
    losses, rates = [], []
    for step in range(EPOCHS * STEPS_PER_EPOCH):
        mix = UNMIXED
        if "Mixup" in case["base_loss"]:
            assert drawn.rand() < 1.0
            mix = Mix(float(drawn.beta(0.8, 0.8)))
        smoothing = config.augment.label_smoothing
        assert smoothing is not None
        batch = batch_of(case, step % STEPS_PER_EPOCH, mix, smoothing)
        result = learner.step(step, batch, teacher_of(case, batch.images), nullcontext)
        losses.append(float(result.loss))
        rates.append(learner.optimizer.param_groups[0]["lr"])
    assert losses == pytest.approx(case["loss_per_step"], abs=1e-5)
    assert rates == [rate for rate in case["lr_per_epoch"] for _ in range(STEPS_PER_EPOCH)]
    assert learner.ema is not None
    for part, model in (("final", learner.model), ("ema", learner.ema.model)):
        state = {name: value.flatten()[::16] for name, value in model.state_dict().items()}
        expected = tensors(case, part)
        assert set(state) == set(expected)
        moved = error = 0.0
        for name, value in expected.items():
            torch.testing.assert_close(state[name], value, rtol=0, atol=5e-5)
            moved += float((value - tensors(case, "w")[name].flatten()[::16]).abs().sum())
            error += float((state[name] - value).abs().sum())
        # Weights move by 6e-6 in all: that tolerance would pass without a step. Not each tensor:
        # the keys' bias has no gradient but rounding, which AdamW enlarges to whole steps.
        assert error < 0.01 * moved


@pytest.mark.parametrize("case", EVALUATIONS, ids=lambda case: case["id"])
def test_evaluation_equals_the_references(case: dict[str, Any]) -> None:
    """But for the loss: ours is the mean over images, the reference's over means of batches."""
    stored = load_file(GOLDEN / "recipe.safetensors")
    logits, labels = (stored[f"{case['id']}/{name}"] for name in ("logits", "labels"))
    score = HeadScore(torch.device("cpu"))
    batches = list(zip(logits.split(case["batches"]), labels.split(case["batches"]), strict=True))
    for batch in batches:
        score.add(*batch)
    result = score.result()
    assert result["val_top1"] == pytest.approx(case["expected"]["acc1"], rel=1e-6)
    assert result["val_top5"] == pytest.approx(case["expected"]["acc5"], rel=1e-6)
    assert result["val_loss"] == pytest.approx(case["loss_mean_over_samples"], rel=1e-6)
    means = [float(cross_entropy(*batch)) for batch in batches]
    assert np.mean(means) == pytest.approx(case["expected"]["loss"], rel=1e-6)
