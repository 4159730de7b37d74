"""The plain vision transformer: DeiT without distillation token (arXiv 2012.12877).

Shape suffixes: B batch, C image channels, S image side, N tokens, D embedding width, L classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from deit_core.models.layers import Block, LayerNorm, PatchEmbed
from deit_core.models.noise import Dropout, KeySlot


@dataclass(frozen=True, kw_only=True)
class VitSpec:
    """Everything that decides the architecture of a vision transformer."""

    embed_dim: int
    num_heads: int
    depth: int = 12
    img_size: int = 224
    patch_size: int = 16
    in_chans: int = 3
    mlp_ratio: float = 4.0
    num_classes: int = 1000
    drop_rate: float = 0.0
    """Dropout after position embedding, attention projection and both layers of the MLP."""
    drop_path_rate: float = 0.0
    """Stochastic depth of the last block; rises linearly from 0 in the first."""


def drop_path_rates(last: float, depth: int) -> list[float]:
    """Probability of skipping each block's branches, from 0 to `last`."""
    return [last * index / max(1, depth - 1) for index in range(depth)]


class VisionTransformer(nn.Module):
    """Class token, learned position embedding, pre-norm blocks, linear head on the class token."""

    prefix_tokens = 1

    def __init__(self, spec: VitSpec) -> None:
        super().__init__()
        self.spec = spec
        self.num_classes = spec.num_classes
        self.key_slot = KeySlot()
        dim = spec.embed_dim
        self.patch_embed = PatchEmbed(spec.img_size, spec.patch_size, spec.in_chans, dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        tokens = self.prefix_tokens + self.patch_embed.num_patches
        self.pos_embed = nn.Parameter(torch.zeros(1, tokens, dim))
        self.pos_drop = Dropout(spec.drop_rate, self.key_slot, 0)
        rates = drop_path_rates(spec.drop_path_rate, spec.depth)
        self.blocks = nn.ModuleList(
            (
                Block(
                    dim,
                    spec.num_heads,
                    int(dim * spec.mlp_ratio),
                    (spec.drop_rate, rate),
                    self.key_slot,
                    index,
                )
                for index, rate in enumerate(rates)
            )
        )
        self.norm = LayerNorm(dim)
        self.head = nn.Linear(dim, spec.num_classes)

    def no_weight_decay(self) -> set[str]:
        """Parameters that the reference does not decay, besides biases and norms."""
        return {"pos_embed", "cls_token"}

    def prefix(self) -> list[Tensor]:
        """The learned tokens before the patches, each (1, 1, D)."""
        return [self.cls_token]

    def forward_tokens(self, x_BCSS: Tensor) -> Tensor:
        """Images (B, C, S, S) to the prefix tokens (B, prefix_tokens, D) after the last norm.

        No head looks at the patches, so the last block computes only what the prefix becomes: the
        same logits and gradients for 6 % (12 blocks) to 17 % (4 blocks) less arithmetic.
        """
        x_BND = self.patch_embed(x_BCSS)
        prefix = [token.expand(x_BND.shape[0], -1, -1) for token in self.prefix()]
        x_BND = self.pos_drop(torch.cat([*prefix, x_BND], dim=1) + self.pos_embed)
        *earlier, last = self.blocks
        for block in earlier:
            x_BND = block(x_BND)
        normed: Tensor = self.norm(last(x_BND, self.prefix_tokens))
        return normed

    def forward(self, x_BCSS: Tensor) -> Tensor:
        """Images (B, C, S, S) to logits (B, L)."""
        logits_BL: Tensor = self.head(self.forward_tokens(x_BCSS)[:, 0])
        return logits_BL
