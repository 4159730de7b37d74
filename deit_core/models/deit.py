"""DeiT with a distillation token (arXiv 2012.12877, section 4), and both heads of any model.

Shape suffixes: B batch, C image channels, S image side, D embedding width, L classes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from deit_core.models.vit import VisionTransformer, VitSpec
from deit_core.models.wrapping import unwrap


class DistilledLogits(NamedTuple):
    """What a distilled model returns in training: each (B, L)."""

    cls_logits: Tensor
    dist_logits: Tensor


class HeadLogits(NamedTuple):
    """Logits of each head of a model, (B, L); None where it has no distillation head."""

    cls_logits: Tensor
    dist_logits: Tensor | None


class DistilledVisionTransformer(VisionTransformer):
    """A vision transformer with a second learned token, and a head that learns from a teacher.

    Tokens are class, distillation, patches, as in the reference's code. (Figure 2 of the paper
    draws the distillation token last; with a learned position embedding that is the same model.)
    """

    prefix_tokens = 2

    def __init__(self, spec: VitSpec) -> None:
        super().__init__(spec)
        self.dist_token = nn.Parameter(torch.zeros(1, 1, spec.embed_dim))
        self.head_dist = nn.Linear(spec.embed_dim, spec.num_classes)

    def prefix(self) -> list[Tensor]:
        """Class token, then distillation token."""
        return [self.cls_token, self.dist_token]

    def forward_heads(self, x_BCSS: Tensor) -> DistilledLogits:
        """Images (B, C, S, S) to the logits of both heads, in either mode."""
        cls_BD, dist_BD = self.forward_tokens(x_BCSS).unbind(1)
        return DistilledLogits(self.head(cls_BD), self.head_dist(dist_BD))

    # The reference's contract: a pair to train on, one tensor to predict with.
    def forward(self, x_BCSS: Tensor) -> Tensor | DistilledLogits:  # type: ignore[override]
        """Images to DistilledLogits in training; in eval mode to their mean (B, L).

        The reference averages logits, where the paper's text adds softmax outputs.
        """
        heads = self.forward_heads(x_BCSS)
        if self.training:
            return heads
        return (heads.cls_logits + heads.dist_logits) / 2


def head_logits(model: nn.Module, images: Tensor) -> HeadLogits:
    """The logits of each head, in train and in eval mode, of any image classifier.

    Args:
        model: one of this package's models or of timm's, also inside DistributedDataParallel.
        images: (B, C, S, S).
    """
    if not model.training:
        # Past any wrapper: without gradients there is nothing for it to synchronise.
        inner = unwrap(model)
        if isinstance(inner, DistilledVisionTransformer):
            return HeadLogits(*inner.forward_heads(images))
    output = model(images)
    if isinstance(output, tuple):
        return HeadLogits(*output)
    return HeadLogits(output, None)
