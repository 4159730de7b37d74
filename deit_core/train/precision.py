"""What a run's precision means: autocast, and the loss scale of fp16."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

Precision = Literal["fp32", "bf16", "fp16"]


def autocast_factory(
    device: torch.device, precision: Precision
) -> Callable[[], AbstractContextManager[object]]:
    """Makes a context for forward passes: nothing in fp32, autocast otherwise."""
    if precision == "fp32":
        return nullcontext
    dtype = torch.bfloat16 if precision == "bf16" else torch.float16
    return lambda: torch.autocast(device.type, dtype=dtype)


def loss_scaler(device: torch.device, precision: Precision) -> torch.amp.GradScaler:
    """Keeps fp16 gradients in range: a step that overflows is skipped at half the scale.

    Starts at 2**16 and doubles after 2,000 whole steps, torch's defaults, as in the reference.
    """
    return torch.amp.GradScaler(device.type, enabled=precision == "fp16")
