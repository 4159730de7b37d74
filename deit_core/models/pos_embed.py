"""Position embeddings of one image size, fitted to another.

Shape suffixes: N patches before, M patches after, R prefix rows, D embedding width.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

Grid = tuple[int, int]
"""Patches in height and in width."""


def resize_pos_embed(
    pos_embed: Tensor, *, prefix_tokens: int, grid: Grid, source_grid: Grid | None = None
) -> Tensor:
    """Interpolate the patches' part; the rows of prefix tokens are copied.

    Bicubic, `align_corners=False`, without antialiasing, as facebookresearch/deit (main.py,
    `--finetune`); timm's own resampler antialiases by default and gives other numbers. Equal grids
    give the input back.

    Args:
        pos_embed: (1, R + N, D), patches in row-major order.
        prefix_tokens: R: 1 for DeiT, 2 with a distillation token, 0 for CaiT.
        grid: of the result.
        source_grid: of `pos_embed`; see `guess_grid` where None.

    Returns:
        (1, R + M, D), M = grid[0] * grid[1], in the dtype of `pos_embed`.

    Raises:
        ValueError: `pos_embed` has other than prefix_tokens + source_grid positions, or the source
            grid cannot be told.
    """
    patches = pos_embed.shape[1] - prefix_tokens
    if source_grid is None:
        source_grid = guess_grid(patches, grid)
    if source_grid is None or math.prod(source_grid) != patches:
        expected = "a square" if source_grid is None else " x ".join(map(str, source_grid))
        raise ValueError(
            f"{pos_embed.shape[1]} positions are {prefix_tokens} of tokens and {patches} of "
            f"patches, which are not {expected}; give source_grid, patches in height and width"
        )
    if source_grid == tuple(grid):
        return pos_embed
    prefix_1RD, x_1ND = pos_embed[:, :prefix_tokens], pos_embed[:, prefix_tokens:]
    # Half precision has no bicubic interpolation everywhere, and is too coarse for its weights.
    precise = torch.promote_types(pos_embed.dtype, torch.float32)
    image = x_1ND.reshape(1, *source_grid, -1).permute(0, 3, 1, 2).to(precise)
    resized = F.interpolate(image, size=tuple(grid), mode="bicubic", align_corners=False)
    x_1MD = resized.flatten(2).transpose(1, 2).to(pos_embed.dtype)
    return torch.cat((prefix_1RD, x_1MD), dim=1)


def guess_grid(patches: int, target: Grid) -> Grid | None:
    """The grid of so many patches: `target` if it has as many; else a square; else unknown.

    The reference takes every grid for a square.
    """
    if math.prod(target) == patches:
        return target
    side = math.isqrt(max(0, patches))
    return (side, side) if side and side * side == patches else None
