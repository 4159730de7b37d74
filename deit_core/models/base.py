"""What DeiT and CaiT share: patches, learned tokens, and a linear head for each class-type token.

Shape suffixes: B batch, C image channels, Y X image height and width, D embedding width, L classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from deit_core.models.heads import DistilledLogits, Fusion, HeadLogits, fuse
from deit_core.models.layers import PatchEmbed
from deit_core.models.noise import Dropout, KeySlot
from deit_core.models.wrapping import unwrap

ImageSize = int | tuple[int, int]
"""Side of a square image, or (height, width), in pixels."""


@dataclass(frozen=True, kw_only=True)
class VitSpec:
    """Everything that decides the architecture of a vision transformer."""

    embed_dim: int
    num_heads: int
    depth: int = 12
    img_size: ImageSize = 224
    patch_size: int = 16
    in_chans: int = 3
    mlp_ratio: float = 4.0
    num_classes: int = 1000
    """Outputs of each head; 0: heads that answer with their token, embed_dim numbers."""
    drop_rate: float = 0.0
    """Dropout after position embedding, attention projection and both layers of the MLP."""
    drop_path_rate: float = 0.0
    """Stochastic depth: of the last block, rising linearly from 0 in the first (DeiT); of every
    self-attention block (CaiT)."""

    @property
    def mlp_hidden(self) -> int:
        """Hidden width of each block's MLP."""
        return int(self.embed_dim * self.mlp_ratio)


def class_head(spec: VitSpec) -> nn.Module:
    """Linear, (B, D) to (B, L); without classes the token itself, as in the reference and timm."""
    return nn.Linear(spec.embed_dim, spec.num_classes) if spec.num_classes else nn.Identity()


class TokenClassifier(nn.Module):
    """A transformer whose class-type tokens are read by linear heads.

    Subclasses add the blocks, and say what becomes of the tokens in `forward_tokens`.
    """

    prefix_tokens = 1
    """Class-type tokens: what `forward_tokens` returns."""
    embeds_prefix: bool
    """Whether the position embedding has a row for each class-type token, before the patches'."""

    def __init__(self, spec: VitSpec) -> None:
        super().__init__()
        self.spec = spec
        self.num_classes = spec.num_classes
        self.key_slot = KeySlot()
        dim = spec.embed_dim
        self.patch_embed = PatchEmbed(spec.img_size, spec.patch_size, spec.in_chans, dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        positions = self.patch_embed.num_patches + self.embeds_prefix * self.prefix_tokens
        self.pos_embed = nn.Parameter(torch.zeros(1, positions, dim))
        self.pos_drop = Dropout(spec.drop_rate, self.key_slot, 0)

    head: nn.Module

    def no_weight_decay(self) -> set[str]:
        """Parameters that the reference does not decay, besides biases and other vectors."""
        return {"pos_embed", "cls_token"}

    def prefix(self) -> list[Tensor]:
        """The learned class-type tokens, each (1, 1, D)."""
        return [self.cls_token]

    def forward_tokens(self, x_BCYX: Tensor) -> Tensor:
        """Images (B, C, Y, X) to the normed class-type tokens (B, prefix_tokens, D)."""
        raise NotImplementedError

    def forward_heads(self, x_BCYX: Tensor) -> HeadLogits:
        """Images (B, C, Y, X) to the logits of every head, in either mode."""
        return HeadLogits(self.head(self.forward_tokens(x_BCYX)[:, 0]), None)

    def forward(self, x_BCYX: Tensor) -> Tensor | DistilledLogits:
        """Images (B, C, Y, X) to logits (B, L)."""
        return self.forward_heads(x_BCYX).cls_logits


class Distilled(TokenClassifier):
    """Adds a second class-type token, and a head on it that learns from a teacher.

    To be mixed in before the model it extends: `class DistilledX(Distilled, X)`.
    """

    prefix_tokens = 2

    def __init__(self, spec: VitSpec, fusion: Fusion = "logits") -> None:
        super().__init__(spec)
        self.fusion: Fusion = fusion
        self.dist_token = nn.Parameter(torch.zeros(1, 1, spec.embed_dim))
        self.head_dist = class_head(spec)

    def prefix(self) -> list[Tensor]:
        """Class token, then distillation token."""
        return [self.cls_token, self.dist_token]

    def forward_heads(self, x_BCYX: Tensor) -> HeadLogits:
        """Images (B, C, Y, X) to the logits of both heads, in either mode."""
        cls_BD, dist_BD = self.forward_tokens(x_BCYX).unbind(1)
        return HeadLogits(self.head(cls_BD), self.head_dist(dist_BD))

    # The reference's contract: a pair to train on, one tensor to predict with.
    def forward(self, x_BCYX: Tensor) -> Tensor | DistilledLogits:
        """Images to DistilledLogits in training; in eval mode to their fusion (B, L)."""
        cls_logits, dist_logits = self.forward_heads(x_BCYX)
        assert dist_logits is not None
        if self.training:
            return DistilledLogits(cls_logits, dist_logits)
        return fuse(cls_logits, dist_logits, self.fusion)


def head_logits(model: nn.Module, images: Tensor) -> HeadLogits:
    """The logits of each head, in train and in eval mode, of any image classifier.

    Args:
        model: one of this package's models or of timm's, also inside DistributedDataParallel.
        images: (B, C, Y, X).
    """
    if not model.training:
        # Past any wrapper: without gradients there is nothing for it to synchronise.
        inner = unwrap(model)
        if isinstance(inner, TokenClassifier):
            return inner.forward_heads(images)
    output = model(images)
    if isinstance(output, tuple):
        return HeadLogits(*output)
    return HeadLogits(output, None)
