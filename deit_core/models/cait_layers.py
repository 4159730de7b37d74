"""Blocks of CaiT (arXiv 2103.17239): talking heads, class-attention, LayerScale.

Attribute names are those of the published state dicts.

Shape suffixes: B batch, N patches, P class-type tokens, D embedding width, H heads, K width of a
head (D / H).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deit_core.models.layers import BlockNoise, LayerNorm, Mlp
from deit_core.models.noise import Dropout


class TalkingHeadsAttention(nn.Module):
    """Self-attention whose heads are mixed before and after the softmax (arXiv 2003.02436).

    The weights must exist as a matrix for that, so no fused attention can compute it.
    """

    def __init__(self, dim: int, num_heads: int, proj_drop: Dropout) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.scale = (dim // num_heads) ** -0.5
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.proj_l = nn.Linear(num_heads, num_heads)
        self.proj_w = nn.Linear(num_heads, num_heads)
        self.proj_drop = proj_drop

    def forward(self, x_BND: Tensor) -> Tensor:
        """Tokens (B, N, D) to (B, N, D)."""
        batch, tokens, dim = x_BND.shape
        qkv = self.qkv(x_BND).reshape(batch, tokens, 3, self.num_heads, dim // self.num_heads)
        q_BHNK, k_BHNK, v_BHNK = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        logits_BHNN = _across_heads(self.proj_l, (q_BHNK * self.scale) @ k_BHNK.transpose(-2, -1))
        weights_BHNN = _across_heads(self.proj_w, logits_BHNN.softmax(dim=-1))
        x_BND = (weights_BHNN @ v_BHNK).transpose(1, 2).reshape(batch, tokens, dim)
        dropped: Tensor = self.proj_drop(self.proj(x_BND))
        return dropped


def _across_heads(linear: nn.Linear, x_BHNN: Tensor) -> Tensor:
    """A linear layer over the axis of heads, as one matrix product without moving that axis."""
    weight_BHH = linear.weight.expand(x_BHNN.shape[0], -1, -1)
    mixed = torch.baddbmm(linear.bias[:, None], weight_BHH, x_BHNN.flatten(2))
    return mixed.view_as(x_BHNN)


class TalkingHeadsBlock(nn.Module):
    """A block with LayerScale: x + gamma_1 attention(norm(x)), then x + gamma_2 MLP(norm(x))."""

    def __init__(
        self, dim: int, num_heads: int, hidden: int, noise: BlockNoise, init_scale: float
    ) -> None:
        super().__init__()
        self.gamma_1 = nn.Parameter(torch.full((dim,), init_scale))
        self.gamma_2 = nn.Parameter(torch.full((dim,), init_scale))
        self.norm1 = LayerNorm(dim)
        self.attn = TalkingHeadsAttention(dim, num_heads, noise.dropout(0))
        self.drop_path1 = noise.drop_path(0)
        self.norm2 = LayerNorm(dim)
        self.mlp = Mlp(dim, hidden, (noise.dropout(1), noise.dropout(2)))
        self.drop_path2 = noise.drop_path(1)

    def forward(self, x_BND: Tensor) -> Tensor:
        """Tokens (B, N, D) to (B, N, D)."""
        x_BND = x_BND + self.drop_path1(self.gamma_1 * self.attn(self.norm1(x_BND)))
        x_BND = x_BND + self.drop_path2(self.gamma_2 * self.mlp(self.norm2(x_BND)))
        return x_BND


class ClassAttention(nn.Module):
    """What the first tokens gather from all: multi-head attention with few queries."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q = nn.Linear(dim, dim)
        self.k = nn.Linear(dim, dim)
        self.v = nn.Linear(dim, dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, u_BND: Tensor, queries: int) -> Tensor:
        """Class-type tokens and patches (B, P + N, D) to the `queries` first of them (B, P, D)."""
        projected = self.q(u_BND[:, :queries]), self.k(u_BND), self.v(u_BND)
        q_BHPK, k_BHNK, v_BHNK = (
            x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in projected
        )
        x_BHPK = F.scaled_dot_product_attention(q_BHPK, k_BHNK, v_BHNK)
        gathered: Tensor = self.proj(x_BHPK.transpose(1, 2).flatten(2))
        return gathered


class ClassAttentionBlock(nn.Module):
    """Updates the class-type tokens, with LayerScale; the patches are only looked at."""

    def __init__(self, dim: int, num_heads: int, hidden: int, init_scale: float) -> None:
        super().__init__()
        self.gamma_1 = nn.Parameter(torch.full((dim,), init_scale))
        self.gamma_2 = nn.Parameter(torch.full((dim,), init_scale))
        self.norm1 = LayerNorm(dim)
        self.attn = ClassAttention(dim, num_heads)
        self.norm2 = LayerNorm(dim)
        self.mlp = Mlp(dim, hidden, (nn.Identity(), nn.Identity()))

    def forward(self, prefix_BPD: Tensor, x_BND: Tensor) -> Tensor:
        """Class-type tokens (B, P, D) and patches (B, N, D) to the next class-type tokens."""
        u_BND = self.norm1(torch.cat((prefix_BPD, x_BND), dim=1))
        prefix_BPD = prefix_BPD + self.gamma_1 * self.attn(u_BND, prefix_BPD.shape[1])
        prefix_BPD = prefix_BPD + self.gamma_2 * self.mlp(self.norm2(prefix_BPD))
        return prefix_BPD
