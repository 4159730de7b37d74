"""An exported file is published only if it answers as the model does."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from deit_core.errors import ExportError
from deit_core.records import ExportRecord

_BATCHES = (1, 3)
"""Neither is the batch that a graph is traced with."""


@torch.no_grad()
def verify(
    model: nn.Module,
    answer: Callable[[Tensor], Tensor],
    record: ExportRecord,
    tolerance: float,
) -> None:
    """Compare two models on random images of the size they take.

    Args:
        model: as trained, in eval mode.
        answer: what was exported: images (B, C, S, S) to logits (B, L).
        record: tells C and S.
        tolerance: largest difference of a logit, relative to the largest logit where that is
            above 1.

    Raises:
        ExportError: they differ by more.
    """
    generator = torch.Generator().manual_seed(0)
    for batch in _BATCHES:
        shape = (batch, record.in_chans, record.img_size, record.img_size)
        images = torch.randn(shape, generator=generator)
        expected = model(images)
        found = answer(images)
        allowed = tolerance * max(1.0, expected.abs().max().item())
        difference = (found - expected).abs().max().item()
        if not difference <= allowed:
            raise ExportError(
                f"nothing is written: the exported logits of {record.model['name']} differ from "
                f"the model's by {difference:.2g}, where {allowed:.2g} is allowed; "
                f"export it in another form"
            )
