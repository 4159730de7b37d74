"""The parts of a vision transformer (arXiv 2010.11929), pre-norm, as DeiT uses them.

Attribute names are those of the published state dicts.

Shape suffixes: B batch, C image channels, Y X image height and width, N tokens, D embedding width,
H heads, K width of a head (D / H), M hidden width of the MLP, P numbers in a patch
(C * patch_size**2).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from deit_core.models.noise import Dropout, DropPath, KeySlot

LayerNorm = partial(nn.LayerNorm, eps=1e-6)
"""Every norm of DeiT; torch's own eps, 1e-5, moves the logits by about 2e-5."""


class PatchEmbed(nn.Module):
    """Cuts an image into patches and projects each to a token.

    `proj` is a convolution for the sake of its published weight shape (D, C, p, p) and its initial
    values. It is applied as the matrix product it is, which is two to three times as fast on a CPU.
    """

    def __init__(
        self, img_size: int | tuple[int, int], patch_size: int, in_chans: int, embed_dim: int
    ) -> None:
        super().__init__()
        self.img_size = (img_size, img_size) if isinstance(img_size, int) else img_size
        self.patch_size = patch_size
        self.in_chans = in_chans
        height, width = self.img_size
        self.grid_size = (height // patch_size, width // patch_size)
        self.num_patches = self.grid_size[0] * self.grid_size[1]
        self.proj = nn.Conv2d(in_chans, embed_dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, x_BCYX: Tensor) -> Tensor:
        """Images (B, C, Y, X) to tokens (B, N, D), in row-major order."""
        batch, (rows, columns), patch = x_BCYX.shape[0], self.grid_size, self.patch_size
        expected = (self.in_chans, *self.img_size)
        if tuple(x_BCYX.shape[1:]) != expected:
            raise ValueError(f"images are {tuple(x_BCYX.shape[1:])}, the model takes {expected}")
        x = x_BCYX.reshape(batch, self.in_chans, rows, patch, columns, patch)
        x_BNP = x.permute(0, 2, 4, 1, 3, 5).reshape(batch, self.num_patches, -1)
        return F.linear(x_BNP, self.proj.weight.flatten(1), self.proj.bias)


class Attention(nn.Module):
    """Multi-head self-attention with one projection for queries, keys and values."""

    def __init__(self, dim: int, num_heads: int, proj_drop: Dropout) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = proj_drop

    def forward(self, x_BND: Tensor, first: int) -> Tensor:
        """Tokens (B, N, D) to what the `first` of them gather from all: (B, first, D)."""
        batch, tokens, dim = x_BND.shape
        qkv = self.qkv(x_BND).reshape(batch, tokens, 3, self.num_heads, dim // self.num_heads)
        q_BHNK, k_BHNK, v_BHNK = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        x_BHNK = F.scaled_dot_product_attention(q_BHNK[:, :, :first], k_BHNK, v_BHNK)
        x_BND = x_BHNK.transpose(1, 2).reshape(batch, first, dim)
        dropped: Tensor = self.proj_drop(self.proj(x_BND))
        return dropped


class Mlp(nn.Module):
    """Two linear layers with an exact (erf) GELU between them; dropout after both."""

    def __init__(self, dim: int, hidden: int, drops: tuple[nn.Module, nn.Module]) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)
        self.drop1, self.drop2 = drops

    def forward(self, x_BND: Tensor) -> Tensor:
        """Tokens (B, N, D) to (B, N, D)."""
        x_BNM = self.drop1(F.gelu(self.fc1(x_BND)))
        dropped: Tensor = self.drop2(self.fc2(x_BNM))
        return dropped


@dataclass(frozen=True)
class BlockNoise:
    """Makes the dropout and stochastic depth of one block, each with masks of its own."""

    drop_rate: float
    drop_path_rate: float
    slot: KeySlot
    """The model's step key."""
    index: int
    """Position of the block in the stack."""

    def dropout(self, number: int) -> Dropout:
        """Dropout layer 0, 1 or 2 of the block."""
        # Site 0 of Dropout is the position embedding's; each block has three of its own.
        return Dropout(self.drop_rate, self.slot, 3 * self.index + 1 + number)

    def drop_path(self, branch: int) -> DropPath:
        """Stochastic depth of branch 0 (attention) or 1 (MLP)."""
        return DropPath(self.drop_path_rate, self.slot, 2 * self.index + branch)


class Block(nn.Module):
    """A transformer block: x + attention(norm(x)), then x + MLP(norm(x))."""

    def __init__(self, dim: int, num_heads: int, hidden: int, noise: BlockNoise) -> None:
        super().__init__()
        self.norm1 = LayerNorm(dim)
        self.attn = Attention(dim, num_heads, noise.dropout(0))
        self.drop_path1 = noise.drop_path(0)
        self.norm2 = LayerNorm(dim)
        self.mlp = Mlp(dim, hidden, (noise.dropout(1), noise.dropout(2)))
        self.drop_path2 = noise.drop_path(1)

    def forward(self, x_BND: Tensor, first: int | None = None) -> Tensor:
        """Tokens (B, N, D) to (B, N, D), or to the `first` of them alone: (B, first, D)."""
        first = x_BND.shape[1] if first is None else first
        x_BND = x_BND[:, :first] + self.drop_path1(self.attn(self.norm1(x_BND), first))
        x_BND = x_BND + self.drop_path2(self.mlp(self.norm2(x_BND)))
        return x_BND
