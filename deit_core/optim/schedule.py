"""The learning rate as a pure function of the step: our schedule, and the reference's."""

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


def epoch_learning_rate(
    epoch: float, *, peak: float, epochs: float, warmup_epochs: float, optim: OptimConfig
) -> float:
    """What timm's cosine scheduler, under DeiT's arguments, says for an epoch (from 0).

    The warm-up takes the place of the cosine's first epochs, which is counted from epoch 0: the
    rate never reaches the peak, unless there is no warm-up. After `epochs` it is `min_lr`. From
    timm 0.3.2 and 1.0.31, CosineLRScheduler, which agree.
    """
    if epoch < warmup_epochs:
        return optim.warmup_lr + epoch * (peak - optim.warmup_lr) / warmup_epochs
    if epoch >= epochs:
        return optim.min_lr
    cosine = 1 + math.cos(math.pi * epoch / epochs)
    return optim.min_lr + 0.5 * (peak - optim.min_lr) * cosine


class Schedule:
    """The learning rate of each step of one run.

    Under `deit` it is constant within an epoch, and epoch e >= 1 has the rate meant for e - 1: the
    reference asks its scheduler after an epoch, with the number of the epoch that has just ended
    (facebookresearch/deit, issue 145). It resumes at the next value instead; here a resumed run
    goes on as if it had never stopped. Durations are rounded up to whole epochs.
    """

    def __init__(self, config: RunConfig, steps_per_epoch: int, total_steps: int) -> None:
        self._optim = config.optim
        self._steps_per_epoch = steps_per_epoch
        self._peak = peak_lr(config.optim, config.train.global_batch_size)
        self._total_steps = total_steps
        self._warmup_steps = parse_duration(config.optim.warmup).steps(steps_per_epoch)

    def __call__(self, step: int) -> float:
        """Learning rate of optimiser step `step`, from 0."""
        if self._optim.schedule == "deit":
            return epoch_learning_rate(
                max(0, step // self._steps_per_epoch - 1),
                peak=self._peak,
                epochs=math.ceil(self._total_steps / self._steps_per_epoch),
                warmup_epochs=math.ceil(self._warmup_steps / self._steps_per_epoch),
                optim=self._optim,
            )
        return learning_rate(
            step,
            peak=self._peak,
            total_steps=self._total_steps,
            warmup_steps=self._warmup_steps,
            optim=self._optim,
        )
