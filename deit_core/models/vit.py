"""The vision transformer of DeiT (arXiv 2012.12877), without and with a distillation token.

Shape suffixes: B batch, C image channels, Y X image height and width, N tokens, D embedding width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deit_core.models.base import Distilled, TokenClassifier, VitSpec, class_head
from deit_core.models.layers import Block, BlockNoise, LayerNorm


def drop_path_rates(last: float, depth: int) -> list[float]:
    """Probability of skipping each block's branches, from 0 to `last`."""
    return [last * index / max(1, depth - 1) for index in range(depth)]


class VisionTransformer(TokenClassifier):
    """Class token, learned position embedding, pre-norm blocks, linear head on the class token."""

    embeds_prefix = True

    def __init__(self, spec: VitSpec) -> None:
        super().__init__(spec)
        noises = (
            BlockNoise(spec.drop_rate, rate, self.key_slot, index)
            for index, rate in enumerate(drop_path_rates(spec.drop_path_rate, spec.depth))
        )
        sizes = (spec.embed_dim, spec.num_heads, spec.mlp_hidden)
        self.blocks = nn.ModuleList(Block(*sizes, noise) for noise in noises)
        self.norm = LayerNorm(spec.embed_dim)
        self.head = class_head(spec)

    def forward_tokens(self, x_BCYX: Tensor) -> Tensor:
        """Images (B, C, Y, X) to the prefix tokens (B, prefix_tokens, D) after the last norm.

        No head looks at the patches, so the last block computes only what the prefix becomes: the
        same logits and gradients for 6 % (12 blocks) to 17 % (4 blocks) less arithmetic.
        """
        x_BND = self.patch_embed(x_BCYX)
        prefix = [token.expand(x_BND.shape[0], -1, -1) for token in self.prefix()]
        x_BND = self.pos_drop(torch.cat([*prefix, x_BND], dim=1) + self.pos_embed)
        *earlier, last = self.blocks
        for block in earlier:
            x_BND = block(x_BND)
        normed: Tensor = self.norm(last(x_BND, self.prefix_tokens))
        return normed


class DistilledVisionTransformer(Distilled, VisionTransformer):
    """DeiT with a distillation token (arXiv 2012.12877, section 4).

    Tokens are class, distillation, patches, as in the reference's code. (Figure 2 of the paper
    draws the distillation token last; with a learned position embedding that is the same model.)
    """
