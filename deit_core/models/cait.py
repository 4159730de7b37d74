"""CaiT (arXiv 2103.17239): self-attention on the patches alone, then class-attention on them.

Shape suffixes: B batch, C image channels, Y X image height and width, N patches, P class-type
tokens, D embedding width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from deit_core.models.base import Distilled, TokenClassifier, VitSpec, class_head
from deit_core.models.cait_layers import ClassAttentionBlock, TalkingHeadsBlock
from deit_core.models.layers import BlockNoise, LayerNorm

_TOKEN_ONLY_MLP_RATIO = 4.0
"""Of the class-attention blocks, whatever `mlp_ratio` is: `mlp_ratio_clstk` of the original
(facebookresearch/deit, cait_models.py), `mlp_ratio_token_only` of timm."""


@dataclass(frozen=True, kw_only=True)
class CaitSpec(VitSpec):
    """Everything that decides the architecture of a CaiT, and its initial LayerScale."""

    depth: int = 24
    depth_token_only: int = 2
    """Class-attention blocks, after `depth` self-attention blocks."""
    init_scale: float
    """Initial value of every LayerScale factor; `deit_core.variants.cait_init_scale` by depth."""

    @property
    def token_only_hidden(self) -> int:
        """Hidden width of each class-attention block's MLP."""
        return int(self.embed_dim * _TOKEN_ONLY_MLP_RATIO)


class Cait(TokenClassifier):
    """Talking-heads blocks on patches; class-attention blocks gather from them; one linear head.

    Only patches have a position. Stochastic depth has the same rate in every self-attention block;
    the class-attention blocks have neither it nor dropout (facebookresearch/deit, cait_models.py).
    """

    embeds_prefix = False

    def __init__(self, spec: CaitSpec) -> None:
        super().__init__(spec)
        dim, heads, scale = spec.embed_dim, spec.num_heads, spec.init_scale
        noises = (
            BlockNoise(spec.drop_rate, spec.drop_path_rate, self.key_slot, index)
            for index in range(spec.depth)
        )
        self.blocks = nn.ModuleList(
            TalkingHeadsBlock(dim, heads, spec.mlp_hidden, noise, scale) for noise in noises
        )
        self.blocks_token_only = nn.ModuleList(
            ClassAttentionBlock(dim, heads, spec.token_only_hidden, scale)
            for _ in range(spec.depth_token_only)
        )
        self.norm = LayerNorm(dim)
        self.head = class_head(spec)

    def forward_tokens(self, x_BCYX: Tensor) -> Tensor:
        """Images (B, C, Y, X) to the class-type tokens (B, P, D) after the last norm."""
        x_BND = self.pos_drop(self.patch_embed(x_BCYX) + self.pos_embed)
        for block in self.blocks:
            x_BND = block(x_BND)
        prefix_BPD = torch.cat(self.prefix(), dim=1).expand(x_BND.shape[0], -1, -1)
        for block in self.blocks_token_only:
            prefix_BPD = block(prefix_BPD, x_BND)
        normed: Tensor = self.norm(prefix_BPD)
        return normed


class DistilledCait(Distilled, Cait):
    """CaiT with a distillation token: an extension of this package.

    The original distils into its one class token, and its code shows no way to train it so
    (facebookresearch/deit issue 119). Here, as in DeiT, a second class-type token has a head of its
    own. Class-attention treats the two alike: queries from both, keys and values from both and the
    patches, which stay as they are.
    """
