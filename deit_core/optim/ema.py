"""Exponential moving average of a model's weights."""

from __future__ import annotations

import copy

import torch
from torch import nn


class ModelEma:
    """A second set of weights: e <- decay * e + (1 - decay) * w after every step.

    Starts as a copy of the model; whole numbers, such as BatchNorm's count of batches, take the
    same formula and are cut off (timm 0.3.2's ModelEma, which the reference uses). It is evaluated,
    as `val_ema_*`.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        pairs = list(zip(self._tensors(self.model), self._tensors(model), strict=True))
        floating = [pair for pair in pairs if pair[0].is_floating_point()]
        self._averages = [average for average, _ in floating]
        self._weights = [weight for _, weight in floating]
        self._whole = [pair for pair in pairs if not pair[0].is_floating_point()]

    @staticmethod
    def _tensors(model: nn.Module) -> list[torch.Tensor]:
        return [*model.parameters(), *model.buffers()]

    @torch.no_grad()
    def update(self) -> None:
        """Fold in the model's present weights."""
        torch._foreach_mul_(self._averages, self.decay)
        torch._foreach_add_(self._averages, self._weights, alpha=1 - self.decay)
        for average, weight in self._whole:
            average.copy_(average * self.decay + (1 - self.decay) * weight)
