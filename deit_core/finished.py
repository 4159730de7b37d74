"""Completed runs, and their trained models as they predict."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from deit_core.config import RunConfig
from deit_core.errors import RunDirError
from deit_core.identity import resolve
from deit_core.models import build_model, load_weights
from deit_core.records import SummaryRecord, TrialRecord, Weights
from deit_core.run_dir import RunDir
from deit_core.variants import VARIANTS


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
        return self.summary.val_top1_dist is not None

    @property
    def has_dist_token(self) -> bool:
        """Whether the model has a distillation token, trained or not."""
        variant = VARIANTS.get(self.config.model.name)
        return variant is not None and variant.distilled


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

    Its output in eval mode is the run's prediction. Where a distillation head was never trained,
    that prediction is the class head's: the distillation head is made a copy of it, so that fusing
    the two, here or in whatever reads an exported file, changes nothing. (Taking the distillation
    token out would change the class head's answer, as attention sees it.)

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
    spec = config.model
    alone = finished.has_dist_token and not finished.fuses
    if alone:
        spec = spec.model_copy(update={"fusion": "logits"})
    model = build_model(spec, num_classes=finished.summary.num_classes, seed=config.seed)
    load_weights(model, path)
    if alone:
        _copy_class_head(model)
    return model.eval().requires_grad_(False)


@torch.no_grad()
def _copy_class_head(model: nn.Module) -> None:
    source, target = model.get_submodule("head"), model.get_submodule("head_dist")
    target.load_state_dict(source.state_dict())
