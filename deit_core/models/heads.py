"""What a classifier answers with: one head or two, and how two predict together.

Shape suffixes: B batch, C image channels, Y X image height and width, L classes.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Fusion = Literal["logits", "softmax"]


class DistilledLogits(NamedTuple):
    """What a distilled model returns in training: each (B, L)."""

    cls_logits: Tensor
    dist_logits: Tensor


class HeadLogits(NamedTuple):
    """Logits of each head of a model, (B, L); None where it has no distillation head."""

    cls_logits: Tensor
    dist_logits: Tensor | None


def fuse(cls_logits: Tensor, dist_logits: Tensor, fusion: Fusion = "logits") -> Tensor:
    """One prediction from two heads; both arguments and the result are (B, L).

    `logits`: the mean of the logits, as facebookresearch/deit (models.py) does. `softmax`: the
    log of the mean of both softmax outputs, which the text of arXiv 2012.12877 (section 4) adds;
    with the log, cross-entropy and softmax of the result are those of the mean probabilities.
    The two can disagree on the most likely class.
    """
    if fusion == "logits":
        return (cls_logits + dist_logits) / 2
    log_probabilities = cls_logits.log_softmax(-1), dist_logits.log_softmax(-1)
    return torch.logaddexp(*log_probabilities) - math.log(2)
