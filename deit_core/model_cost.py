"""What one image costs a model. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelCost:
    """Size of a model and its work for one image."""

    macs: float
    """Multiply-adds of a forward pass."""
    parameters: int
    activations: float
    """Numbers kept from the forward pass for the backward pass."""
