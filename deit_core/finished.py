"""Completed runs and their trained models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from deit_core.config import RunConfig
from deit_core.errors import RunDirError
from deit_core.identity import resolve
from deit_core.models import build_model, load_weights
from deit_core.models.base import Distilled
from deit_core.records import SummaryRecord, TrialRecord, Weights
from deit_core.run_dir import RunDir


@dataclass(frozen=True)
class FinishedRun:
    """A run directory whose training is completed."""

    run: RunDir
    trial: TrialRecord
    config: RunConfig
    """Resolved."""
    summary: SummaryRecord

    @property
    def fuses(self) -> bool:
        """Whether it has a distillation head that was trained, so that both heads predict."""
        return self.summary.fuses


def open_finished(path: Path) -> FinishedRun:
    """Read a run directory.

    Raises:
        RunDirError: it is none, or its training is not completed.
    """
    run = RunDir(path)
    trial, config = run.read_trial(), run.read_config()
    status, summary = run.read_status(), run.read_summary()
    if status.state != "completed" or summary is None:
        reason = f" ({status.reason})" if status.reason else ""
        raise RunDirError(
            f"{path} is {status.state}{reason}, not completed; "
            f"finish its training first, as with `python -m deit_core {path}`"
        )
    return FinishedRun(run, trial, resolve(config), summary)


def load_model(finished: FinishedRun, weights: Weights = "last") -> nn.Module:
    """The trained model on the CPU, in eval mode, without gradients.

    Raises:
        RunDirError: the run has no such weights.
        CheckpointError: they are damaged.
    """
    run, config = finished.run, finished.config
    path = run.weights_file if weights == "last" else run.ema_weights_file
    if not path.exists():
        if weights == "ema" and config.train.ema_decay is None:
            raise RunDirError(f"{run.path} has no EMA weights; train with train.ema_decay set")
        raise RunDirError(f"{run.path} has lost its weights: {path} is missing; train it again")
    classes = finished.summary.num_classes
    model = build_model(config.model, num_classes=classes, seed=config.seed)
    load_weights(model, path)
    return model.eval().requires_grad_(False)


@torch.no_grad()
def mute_dist_head(model: Distilled) -> None:
    """Make the class head's logits the model's prediction, to the last bit; changes it in place.

    For a model whose distillation head was never trained. Other programs, timm's model among them,
    average both heads, and the distillation token cannot be taken out, as attention sees it. So the
    distillation head becomes zero and the class head twice as large: the mean of the two logits,
    which `fusion` is set to, is then the class head's answer.
    """
    model.fusion = "logits"
    for parameter in model.head_dist.parameters():
        parameter.zero_()
    for parameter in model.head.parameters():
        parameter.mul_(2.0)
