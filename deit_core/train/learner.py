"""The parts of a student that compute: model, optimiser, EMA, and one optimiser step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from deit_core.data.loader import TrainBatch
from deit_core.distill.task import DistillationTask
from deit_core.models import HeadLogits, set_step_key
from deit_core.optim.ema import ModelEma
from deit_core.optim.schedule import Schedule
from deit_core.train.dist import Ranks

MIN_LOSS_SCALE = 2.0**-14
"""fp16: below it, gradients overflow at any scale. It takes 30 skipped steps in a row to get there
from the first scale, 2**16."""

AutocastFactory = Callable[[], AbstractContextManager[object]]


class StepResult(NamedTuple):
    """What came of one optimiser step."""

    loss: Tensor
    """Mean over this process's images; a scalar on the device."""
    skipped: bool
    """fp16: a gradient overflowed, so the weights stayed as they were."""


@dataclass(frozen=True)
class Learner:
    """The parts of a student that compute."""

    model: nn.Module
    runner: nn.Module
    """What training calls: the model, or the model wrapped for several processes."""
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    task: DistillationTask
    ema: ModelEma | None
    scaler: torch.amp.GradScaler
    """Scales the loss in fp16; does nothing in other precisions."""
    seed: int
    global_batch_size: int
    micro_batch_size: int | None = None
    clip_grad_norm: float | None = None
    eval_mode: bool = False
    """Train without dropout and stochastic depth, on what the model predicts."""

    @property
    def fuses(self) -> bool:
        """Whether both heads learn; an untrained one must not enter the prediction."""
        return self.task.trains_dist_head or (self.eval_mode and hasattr(self.model, "head_dist"))

    def train_mode(self) -> None:
        """Put the model into the mode it trains in."""
        self.model.train(not self.eval_mode)

    def step(
        self,
        number: int,
        batch: TrainBatch,
        teacher_logits: Tensor | None,
        autocast: AutocastFactory,
    ) -> StepResult:
        """Forward, backward, optimiser and EMA on this process's part of a batch.

        Args:
            number: optimiser steps taken before this one.
            batch: the part; its rows key the noise.
            teacher_logits: (B, L) for the same images; unused without distillation.
            autocast: makes a context for forward passes.
        """
        rate = self.schedule(number)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        images = len(batch.images)
        losses = []
        for part in self._micro_batches(images):
            last = part.stop == images
            with nullcontext() if last else self._no_sync():
                rows = batch.rows[part]
                set_step_key(self.model, self.seed, number, rows, self.global_batch_size)
                with autocast():
                    heads = _as_heads(self.runner(batch.images[part]))
                logits = None if teacher_logits is None else teacher_logits[part]
                loss = self.task.loss(heads, batch.targets[part], logits)
                loss = loss * ((part.stop - part.start) / images)
                self.scaler.scale(loss).backward()
                losses.append(loss.detach())
        skipped = self._update()
        return StepResult(torch.stack(losses).sum(), skipped)

    def _micro_batches(self, images: int) -> Iterator[slice]:
        size = self.micro_batch_size or images
        for first in range(0, images, size):
            yield slice(first, min(first + size, images))

    def _no_sync(self) -> AbstractContextManager[object]:
        """Gradients of all but the last micro-batch stay in this process."""
        if isinstance(self.runner, DistributedDataParallel):
            no_sync: AbstractContextManager[object] = self.runner.no_sync()
            return no_sync
        return nullcontext()

    def _update(self) -> bool:
        """Clip, step, average; returns whether the step was skipped for an overflow."""
        if self.clip_grad_norm is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_grad_norm)
        self.scaler.step(self.optimizer)
        skipped = False
        if self.scaler.is_enabled():
            before = self.scaler.get_scale()
            self.scaler.update()
            skipped = self.scaler.get_scale() < before
        if self.ema is not None:
            self.ema.update()
        return skipped

    def align_buffers(self, ranks: Ranks) -> None:
        """Evaluate and save the first process's running statistics, not each its own."""
        ranks.align_buffers(self.model)
        if self.ema is not None:
            ranks.align_buffers(self.ema.model)

    def is_finite(self) -> bool:
        """Whether all weights and averages are; one number is read from the device."""
        tensors = [*self.model.parameters(), *(self.ema.model.parameters() if self.ema else ())]
        norms = torch.stack(torch._foreach_norm([tensor.detach() for tensor in tensors]))
        return bool(norms.isfinite().all())

    def overflows(self) -> bool:
        """fp16: whether gradients have overflowed at every scale down to the smallest."""
        return self.scaler.is_enabled() and self.scaler.get_scale() < MIN_LOSS_SCALE

    def state(self) -> dict[str, Any]:
        """Everything that training changes."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ema": self.ema.model.state_dict() if self.ema else None,
            "scaler": self.scaler.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Restore `state`."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler"])
        if self.ema is not None:
            self.ema.model.load_state_dict(state["ema"])


def _as_heads(output: Any) -> HeadLogits:
    """Both heads of a distilled model in train mode; else what the model predicts with."""
    return HeadLogits(*output) if isinstance(output, tuple) else HeadLogits(output, None)
