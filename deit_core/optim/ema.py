"""Exponential moving average of a model's weights."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class ModelEma:
    """A second set of weights: e <- decay * e + (1 - decay) * w after every step.

    Starts as a copy of the model, and averages what a state dict holds; buffers outside it, such as
    tables of indices, stay as they were. Whole numbers, such as BatchNorm's count of batches, take
    the same formula and are cut off (timm 0.3.2's ModelEma, which the reference uses), unless the
    two are equal: rounding would then count a constant down. It is evaluated, as `val_ema_*`.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        pairs = _pairs(self.model, model)
        floating = [pair for pair in pairs if pair[0].is_floating_point()]
        self._averages = [average for average, _ in floating]
        self._weights = [weight for _, weight in floating]
        self._whole = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self) -> None:
        """Fold in the model's present weights."""
        torch._foreach_mul_(self._averages, self.decay)
        torch._foreach_add_(self._averages, self._weights, alpha=1 - self.decay)
        for average, weight in self._whole:
            mean = average * self.decay + (1 - self.decay) * weight  # of single precision
            average.copy_(torch.where(average == weight, average, mean.to(average.dtype)))


def _pairs(averaged: nn.Module, model: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """The tensors of both state dicts, each once: tied weights have several names."""
    theirs = model.state_dict(keep_vars=True)
    pairs = {
        id(average): (average, theirs[name])
        for name, average in averaged.state_dict(keep_vars=True).items()
        if isinstance(average, Tensor)  # modules may add values of other kinds
    }
    return list(pairs.values())
