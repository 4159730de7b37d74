"""The learning rate as a pure function of the step."""

from __future__ import annotations

import math

from deit_core.config import OptimConfig, RunConfig
from deit_core.duration import parse_duration


def peak_lr(config: OptimConfig, global_batch_size: int) -> float:
    """Peak learning rate, linear in the batch: lr x batch / 512 in arXiv 2012.12877, section 6.

    Not scaled where the reference batch size is null.
    """
    reference = config.lr_reference_batch_size
    return config.lr if reference is None else config.lr * global_batch_size / reference


def learning_rate(
    step: int, *, peak: float, total_steps: int, warmup_steps: int, optim: OptimConfig
) -> float:
    """Learning rate of optimiser step `step` (from 0): linear warm-up, then half a cosine.

    The warm-up is part of `total_steps`; the first step uses `warmup_lr`, the last one `min_lr`
    (or the peak, where that is lower).
    """
    if step < warmup_steps:
        return optim.warmup_lr + (peak - optim.warmup_lr) * step / warmup_steps
    low = min(optim.min_lr, peak)
    progress = (step - warmup_steps) / max(1, total_steps - 1 - warmup_steps)
    return low + 0.5 * (peak - low) * (1 + math.cos(math.pi * min(1.0, progress)))


class Schedule:
    """`learning_rate` with the numbers of one run filled in."""

    def __init__(self, config: RunConfig, steps_per_epoch: int, total_steps: int) -> None:
        self._optim = config.optim
        self._peak = peak_lr(config.optim, config.train.global_batch_size)
        self._total_steps = total_steps
        self._warmup_steps = parse_duration(config.optim.warmup).steps(steps_per_epoch)

    def __call__(self, step: int) -> float:
        """Learning rate of optimiser step `step`, from 0."""
        return learning_rate(
            step,
            peak=self._peak,
            total_steps=self._total_steps,
            warmup_steps=self._warmup_steps,
            optim=self._optim,
        )
