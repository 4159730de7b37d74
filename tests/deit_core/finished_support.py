"""Run directories that look like finished training, in milliseconds: the weights are random."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from deit_core.data.loader import EvalLoader
from deit_core.data.sources import open_source
from deit_core.identity import resolve
from deit_core.models import build_model, save_weights
from deit_core.records import StatusRecord, SummaryRecord
from deit_core.run_dir import RunDir

CPU = torch.device("cpu")
HARD: dict[str, Any] = {"distill": {"kind": "hard"}, "teacher": {"name": "x", "checkpoint": "/x"}}
"""Sections of a student whose two heads are trained; its teacher is not to be had."""


def finish(run: RunDir, *, ema: bool = False, **summary: Any) -> RunDir:
    """Give a run directory weights, a summary and the state `completed`."""
    config = resolve(run.read_config())
    model = build_model(config.model, num_classes=10, seed=config.seed)
    save_weights(model, run.weights_file)
    if ema:
        other = build_model(config.model, num_classes=10, seed=config.seed + 1000)
        save_weights(other, run.ema_weights_file)
    values: dict[str, Any] = {
        "trial_id": run.read_trial().trial_id,
        "epochs": 4.0,
        "steps": 20,
        "val_images": config.data.val_images,
        "val_top1": 10.0,
        "val_top5": 50.0,
        "val_loss": 2.3,
        "val_top1_cls": 10.0,
        "val_top1_dist": 10.0 if config.distill.kind != "none" else None,
        "train_loss": 2.3,
        "train_images": 80,
        "num_classes": 10,
        "parameters": 1,
        "train_s": 1.0,
        "finished_unix_s": 0.0,
    }
    run.write_summary(SummaryRecord(**(values | summary)))
    run.write_status(StatusRecord(state="completed"))
    return run


def val_of(run: RunDir) -> tuple[Tensor, Tensor]:
    """All images of val, as evaluation prepares them, and their labels."""
    config = resolve(run.read_config())
    assert config.model.in_chans is not None
    source = open_source(config.data, in_chans=config.model.in_chans, split="val")
    batches = list(EvalLoader(source, config, device=CPU))
    return torch.cat([b.images for b in batches]), torch.cat([b.labels for b in batches])
