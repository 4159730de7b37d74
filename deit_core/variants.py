"""The published DeiT and CaiT models as plain numbers, by their timm names. Torch-free.

Sources: Touvron et al. 2021, "Training data-efficient image transformers & distillation through
attention" (arXiv 2012.12877), Table 1; Touvron et al. 2021, "Going deeper with image transformers"
(arXiv 2103.17239), Tables 1 and 9; and the constructors of facebookresearch/deit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Family = Literal["deit", "cait"]

DEIT_DROP_PATH_RATE = 0.1
"""Default of facebookresearch/deit main.py, and table 9 of arXiv 2012.12877."""


@dataclass(frozen=True)
class Variant:
    """Geometry of one published vision transformer, and what else its name decides."""

    name: str
    embed_dim: int
    num_heads: int
    img_size: int = 224
    distilled: bool = False
    patch_size: int = 16
    depth: int = 12
    mlp_ratio: float = 4.0
    family: Family = "deit"
    depth_token_only: int | None = None
    """CaiT: class-attention blocks."""
    init_scale: float | None = None
    """CaiT: initial LayerScale."""
    crop_ratio: float = 0.875
    """Share of the resized shorter side that the published evaluation keeps."""


_SIZES = {"tiny": (192, 3), "small": (384, 6), "base": (768, 12)}


def _deit_variants() -> dict[str, Variant]:
    table: dict[str, Variant] = {}
    for size, (dim, heads) in _SIZES.items():
        for distilled in (False, True):
            for img_size in (224, 384) if size == "base" else (224,):
                middle = "_distilled" if distilled else ""
                name = f"deit_{size}{middle}_patch16_{img_size}"
                table[name] = Variant(name, dim, heads, img_size, distilled)
    return table


# Name: (width, depth, image side). The published weights of M48 are of 448 pixels.
_CAIT = {
    "xxs24": (192, 24, (224, 384)),
    "xxs36": (192, 36, (224, 384)),
    "xs24": (288, 24, (384,)),
    "s24": (384, 24, (224, 384)),
    "s36": (384, 36, (384,)),
    "m36": (768, 36, (384,)),
    "m48": (768, 48, (448,)),
}
_CAIT_HEAD_DIM = 48
# The code gives XXS36 1e-5, where the paper's rule by depth gives 1e-6.
_CAIT_INIT_SCALE = {"xxs36": 1e-5}


def _cait_variants() -> dict[str, Variant]:
    table: dict[str, Variant] = {}
    for size, (dim, depth, sides) in _CAIT.items():
        for distilled in (False, True):
            for img_size in sides:
                name = f"cait_{size}{'_distilled' if distilled else ''}_{img_size}"
                table[name] = Variant(
                    name,
                    dim,
                    dim // _CAIT_HEAD_DIM,
                    img_size,
                    distilled,
                    depth=depth,
                    family="cait",
                    depth_token_only=2,
                    init_scale=_CAIT_INIT_SCALE.get(size, cait_init_scale(depth)),
                    crop_ratio=1.0,
                )
    return table


def cait_init_scale(depth: int) -> float:
    """Initial LayerScale by depth: 0.1 up to 18 blocks, 1e-5 up to 24, 1e-6 beyond.

    arXiv 2103.17239, section 2; 12, 24 and 36 blocks also in facebookresearch/deit issue 122.
    """
    if depth <= 18:
        return 0.1
    return 1e-5 if depth <= 24 else 1e-6


def cait_drop_path_rate(embed_dim: int, depth: int) -> float:
    """Stochastic depth of every block by width and depth (arXiv 2103.17239, appendix).

    At 24 blocks XXS and XS use 0.05, S 0.1, M 0.2; every 12 blocks more add 0.05 (XXS, XS) or 0.1.
    Other depths lie on the same line, and other widths take the rate of the next size up.
    """
    at_24, per_12 = (0.05, 0.05) if embed_dim <= 288 else (0.1, 0.1)
    if embed_dim > 384:
        at_24 = 0.2
    return round(min(1.0, max(0.0, at_24 + per_12 * (depth - 24) / 12)), 6)


def distilled_twin(name: str) -> str | None:
    """The variant of the same size with a distillation token, if there is one."""
    if name not in VARIANTS or VARIANTS[name].distilled:
        return None
    head, _, size = name.rpartition("_")
    if VARIANTS[name].family == "deit":
        head, _, patch = head.rpartition("_")
        size = f"{patch}_{size}"
    twin = f"{head}_distilled_{size}"
    return twin if twin in VARIANTS else None


def _original_names() -> dict[str, str]:
    """In the original, a bare size means its largest image: `cait_XXS24` is of 384 pixels."""
    names: dict[str, str] = {}
    for size, (_, _, sides) in _CAIT.items():
        original = f"cait_{size.upper()}"
        names |= {f"{original}_{side}": f"cait_{size}_{side}" for side in sides[:-1]}
        names[original] = f"cait_{size}_{sides[-1]}"
    return names


VARIANTS: dict[str, Variant] = _deit_variants() | _cait_variants()
"""Every model this package implements itself; any other name is looked up in timm. The original
never shipped a CaiT with a distillation token: `cait_*_distilled_*` are an extension of ours."""

ORIGINAL_NAMES: dict[str, str] = _original_names()
"""Names of facebookresearch/deit (cait_models.py) that differ from timm's, and timm's for them."""
