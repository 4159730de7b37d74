"""The published DeiT models as plain numbers, by their timm names. Torch-free.

Source: Touvron et al. 2021, "Training data-efficient image transformers & distillation through
attention" (arXiv 2012.12877), Table 1, and the constructors of facebookresearch/deit.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Variant:
    """Geometry of one published vision transformer."""

    name: str
    embed_dim: int
    num_heads: int
    img_size: int = 224
    distilled: bool = False
    patch_size: int = 16
    depth: int = 12
    mlp_ratio: float = 4.0


_SIZES = {"tiny": (192, 3), "small": (384, 6), "base": (768, 12)}


def _variants() -> dict[str, Variant]:
    table: dict[str, Variant] = {}
    for size, (dim, heads) in _SIZES.items():
        for distilled in (False, True):
            for img_size in (224, 384) if size == "base" else (224,):
                middle = "_distilled" if distilled else ""
                name = f"deit_{size}{middle}_patch16_{img_size}"
                table[name] = Variant(name, dim, heads, img_size, distilled)
    return table


VARIANTS: dict[str, Variant] = _variants()
"""Every model this package implements itself; any other name is looked up in timm."""
