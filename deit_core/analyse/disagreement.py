"""How often two decision makers differ (arXiv 2012.12877, table 4)."""

from __future__ import annotations

import torch
from torch import Tensor


def disagreement_matrix(decisions_MN: Tensor) -> Tensor:
    """Share of images on which each pair of decision makers decides differently.

    Args:
        decisions_MN: the class each of M decision makers gives each of N images; integers.

    Returns:
        (M, M), float64, symmetric, 0 on the diagonal; NaN where N is 0.
    """
    # Row by row: all pairs at once would take M * M * N bytes.
    rows = [(decisions_MN != one_N).double().mean(dim=1) for one_N in decisions_MN]
    return torch.stack(rows)
