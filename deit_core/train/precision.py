"""The autocast policy of a run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch


def autocast_factory(
    device: torch.device, precision: Literal["fp32", "bf16"]
) -> Callable[[], AbstractContextManager[object]]:
    """Makes a context for forward passes: nothing in fp32, bfloat16 autocast otherwise."""
    if precision == "fp32":
        return nullcontext
    return lambda: torch.autocast(device.type, dtype=torch.bfloat16)
