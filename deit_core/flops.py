"""Arithmetic and parameters of every model a config can name, by formula. Torch-free.

Convention: `macs` are multiply-adds of matrix products and convolutions in one forward pass of one
image, as papers and timm give them; one is two FLOPs, which is what torch.utils.flop_counter
counts. Norms, softmax, GELU and sums are left out, as there.

Symbols, as in `deit_core.models`: D width, M hidden width of an MLP, H heads, N patches, P
class-type tokens, T = N + P, Q tokens with a query, L classes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deit_core.config import ModelConfig, RunConfig, TeacherConfig
from deit_core.flops_convnet import convnet_cost
from deit_core.identity import resolve
from deit_core.model_cost import ModelCost
from deit_core.variants import VARIANTS

FLOPS_PER_MAC = 2
BACKWARD = 2.0
"""A backward pass over a forward pass: one product for the gradient of the input and one for that
of the weight. Measured with torch's counter: 1.98 to 1.99, as images need no gradient."""

_CLASS_MLP_RATIO = 4
"""Of CaiT's class-attention blocks, whatever `mlp_ratio` is."""

_PLAIN_VIT = re.compile(r"vit_(tiny|small|base|large)_patch(\d+)_\d+")
_PLAIN_SIZES = {
    "tiny": (192, 12, 3),
    "small": (384, 12, 6),
    "base": (768, 12, 12),
    "large": (1024, 24, 16),
}
"""Width, depth and heads (arXiv 2010.11929, Table 1; tiny and small: arXiv 2012.12877, Table 1)."""


@dataclass(frozen=True)
class VitGeometry:
    """What decides the arithmetic of a DeiT, ViT or CaiT."""

    embed_dim: int
    depth: int
    num_heads: int
    mlp_hidden: int
    patches: int
    """N."""
    patch_numbers: int
    """Numbers in one patch: channels x side squared."""
    num_classes: int
    prefix_tokens: int = 1
    """P: class token, and distillation token where there is one."""
    class_blocks: int | None = None
    """CaiT: class-attention blocks; None for DeiT and ViT."""
    whole_last_block: bool = False
    """timm computes all tokens of the last block; this package those that a head looks at."""


def vit_cost(shape: VitGeometry) -> ModelCost:
    """Cost of a vision transformer."""
    dim, prefix = shape.embed_dim, shape.prefix_tokens
    shared_macs = shape.patches * shape.patch_numbers * dim + prefix * dim * shape.num_classes
    shared_parameters = (
        (shape.patch_numbers + 1) * dim  # patch projection
        + prefix * dim  # tokens
        + 2 * dim  # last norm
        + prefix * (dim + 1) * shape.num_classes
    )
    blocks = _deit_blocks(shape) if shape.class_blocks is None else _cait_blocks(shape)
    return ModelCost(
        macs=shared_macs + blocks.macs,
        parameters=shared_parameters + blocks.parameters,
        activations=shape.patches * (shape.patch_numbers + dim) + blocks.activations,
    )


def _block_parameters(dim: int, hidden: int) -> int:
    """Two norms, projections for queries, keys, values and output, and an MLP."""
    return 4 * dim + 4 * dim * (dim + 1) + 2 * dim * hidden + hidden + dim


def _block_macs(dim: int, hidden: int, tokens: int, queries: int) -> int:
    """Queries, keys and values of all tokens; the rest for those with a query."""
    attention = 3 * tokens * dim**2 + 2 * queries * tokens * dim + queries * dim**2
    return attention + 2 * queries * dim * hidden


def _block_activations(dim: int, hidden: int, tokens: int, queries: int) -> int:
    """Numbers that the backward pass needs.

    Inputs of both norms and of all five linear layers (the input of the query projection feeds
    three), queries, keys and values, and what goes into the GELU.
    """
    return tokens * 5 * dim + queries * (3 * dim + 2 * hidden)


def _deit_blocks(shape: VitGeometry) -> ModelCost:
    dim, hidden = shape.embed_dim, shape.mlp_hidden
    tokens = shape.patches + shape.prefix_tokens
    last = tokens if shape.whole_last_block else shape.prefix_tokens
    queries = [tokens] * (shape.depth - 1) + [last]
    return ModelCost(
        macs=sum(_block_macs(dim, hidden, tokens, some) for some in queries),
        parameters=shape.depth * _block_parameters(dim, hidden) + tokens * dim,
        activations=sum(_block_activations(dim, hidden, tokens, some) for some in queries),
    )


def _cait_blocks(shape: VitGeometry) -> ModelCost:
    """Talking heads on the patches, then class-attention (arXiv 2103.17239; 2003.02436)."""
    dim, hidden, heads = shape.embed_dim, shape.mlp_hidden, shape.num_heads
    patches, prefix = shape.patches, shape.prefix_tokens
    class_blocks, class_hidden = shape.class_blocks or 0, _CLASS_MLP_RATIO * dim
    tokens = patches + prefix
    talking = 2 * patches**2 * heads**2
    weights = 3 * heads * patches**2  # what goes into both mixings, and what comes out
    gathering = (2 * tokens + 2 * prefix) * dim**2 + 2 * prefix * tokens * dim
    return ModelCost(
        macs=shape.depth * (_block_macs(dim, hidden, patches, patches) + talking)
        + class_blocks * (gathering + 2 * prefix * dim * class_hidden),
        parameters=shape.depth * (_block_parameters(dim, hidden) + 2 * heads * (heads + 1))
        + class_blocks * _block_parameters(dim, class_hidden)
        + (shape.depth + class_blocks) * 2 * dim  # LayerScale
        + patches * dim,
        activations=shape.depth
        * (_block_activations(dim, hidden, patches, patches) + 2 * patches * dim + weights)
        + class_blocks * (4 * tokens * dim + prefix * (4 * dim + 2 * class_hidden)),
    )


def student_cost(config: RunConfig, num_classes: int | None = None) -> ModelCost | None:
    """Cost of the model that a config trains; None for a timm model that no formula knows.

    Args:
        config: the trial's.
        num_classes: of its data, where neither the config nor the source says.
    """
    model = resolve(config).model
    return _own_cost(model, model.num_classes or num_classes or 1000)


def _own_cost(model: ModelConfig, num_classes: int) -> ModelCost | None:
    assert model.img_size is not None
    assert model.in_chans is not None
    if model.name not in VARIANTS:
        return named_cost(
            model.name,
            img_size=model.img_size,
            in_chans=model.in_chans,
            num_classes=num_classes,
            kwargs=model.kwargs,
        )
    assert model.patch_size is not None
    assert model.embed_dim is not None
    assert model.depth is not None
    assert model.num_heads is not None
    assert model.mlp_ratio is not None
    variant = VARIANTS[model.name]
    return vit_cost(
        VitGeometry(
            embed_dim=model.embed_dim,
            depth=model.depth,
            num_heads=model.num_heads,
            mlp_hidden=int(model.embed_dim * model.mlp_ratio),
            patches=(model.img_size // model.patch_size) ** 2,
            patch_numbers=model.in_chans * model.patch_size**2,
            num_classes=num_classes,
            prefix_tokens=2 if variant.distilled else 1,
            class_blocks=model.depth_token_only if variant.family == "cait" else None,
        )
    )


def teacher_cost(config: RunConfig, trained: RunConfig | None = None) -> ModelCost | None:
    """Cost of the teacher of a config; None where no formula knows it.

    Args:
        config: a student's, with a teacher.
        trained: the config of the trial that the teacher comes from, if it comes from one.
    """
    teacher = config.teacher
    if teacher is None:
        return None
    if teacher.trial is not None:
        return None if trained is None else student_cost(trained)
    model = resolve(config).model
    assert model.img_size is not None
    return named_cost(
        teacher.name or "",
        img_size=model.img_size,
        in_chans=_teacher_channels(teacher, model),
        num_classes=model.num_classes or 1000,
        kwargs=teacher.kwargs,
    )


def _teacher_channels(teacher: TeacherConfig, model: ModelConfig) -> int:
    """A pretrained teacher takes colour; a checkpoint's is built for the student's images."""
    given = teacher.kwargs.get("in_chans")
    if isinstance(given, int):
        return given
    return 3 if teacher.pretrained else model.in_chans or 3


def named_cost(
    name: str, *, img_size: int, in_chans: int, num_classes: int, kwargs: Mapping[str, Any]
) -> ModelCost | None:
    """Cost of a model by its timm name; None where no formula or table knows it.

    Args:
        name: with or without a tag (`regnety_160.deit_in1k`).
        img_size: side of its images in pixels.
        in_chans: channels of its images.
        num_classes: outputs.
        kwargs: further arguments for timm; any that can change the architecture makes it unknown.
    """
    if set(kwargs) - {"in_chans", "img_size"}:
        return None
    plain = name.partition(".")[0]
    shape = _published_vit(plain)
    if shape is None:
        return convnet_cost(plain, img_size, in_chans, num_classes)
    dim, depth, heads, patch, prefix, class_blocks = shape
    return vit_cost(
        VitGeometry(
            embed_dim=dim,
            depth=depth,
            num_heads=heads,
            mlp_hidden=4 * dim,
            patches=math.floor(img_size / patch) ** 2,
            patch_numbers=in_chans * patch**2,
            num_classes=num_classes,
            prefix_tokens=prefix,
            class_blocks=class_blocks,
            whole_last_block=True,
        )
    )


def _published_vit(name: str) -> tuple[int, int, int, int, int, int | None] | None:
    """Width, depth, heads, patch side, class-type tokens and class-attention blocks."""
    if name in VARIANTS:
        known = VARIANTS[name]
        sizes = (known.embed_dim, known.depth, known.num_heads, known.patch_size)
        return (*sizes, 2 if known.distilled else 1, known.depth_token_only)
    match = _PLAIN_VIT.fullmatch(name)
    if match is None:
        return None
    return (*_PLAIN_SIZES[match.group(1)], int(match.group(2)), 1, None)
