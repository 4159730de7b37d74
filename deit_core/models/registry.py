"""From a name or a config to a model with its initial weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import inf
from numbers import Integral, Real
from typing import Any, get_args

import torch
from torch import nn

from deit_core.config import ModelConfig
from deit_core.config_checks import nearest
from deit_core.data.rng import key64
from deit_core.errors import ConfigError, Problem, UserError
from deit_core.models.base import ImageSize, TokenClassifier, VitSpec
from deit_core.models.cait import Cait, CaitSpec, DistilledCait
from deit_core.models.heads import Fusion
from deit_core.models.init import initialise
from deit_core.models.timm_models import create_timm_model
from deit_core.models.vit import DistilledVisionTransformer, VisionTransformer
from deit_core.variants import ORIGINAL_NAMES, VARIANTS, Variant, cait_init_scale

OVERRIDES = ("patch_size", "in_chans", "embed_dim", "depth", "num_heads", "mlp_ratio")
"""Sizes of a published model that can be changed."""
CAIT_OVERRIDES = ("depth_token_only", "init_scale")
"""What can be changed of a CaiT besides."""

_FRACTIONS = ("mlp_ratio", "init_scale")
_FIELDS_OF_THEIR_OWN = ("num_classes", "in_chans", "img_size", "drop_rate", "drop_path_rate")


def create_model(
    name: str,
    *,
    num_classes: int = 1000,
    img_size: ImageSize | Sequence[int] | None = None,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    fusion: Fusion = "logits",
    **overrides: float,
) -> TokenClassifier:
    """One of this package's models, with the reference's initial weights.

    Args:
        name: a key of `deit_core.variants.VARIANTS`, or the original's name for it
            (`ORIGINAL_NAMES`).
        num_classes: outputs of each head; 0 for heads that answer with the normed token itself.
        img_size: side of square images, or (height, width), in pixels, multiples of the patch size;
            the name's own when None.
        drop_rate: dropout.
        drop_path_rate: stochastic depth: of the last block (DeiT), or of each (CaiT).
        fusion: how the two heads of a distilled model predict together (`heads.fuse`).
        **overrides: any of `OVERRIDES`, and for CaiT of `CAIT_OVERRIDES`. `init_scale` follows
            `depth` where only that is given (`cait_init_scale`).

    Raises:
        UserError: an unknown name or override, a rate outside 0 to 1, or sizes that do not fit each
            other.
    """
    name = ORIGINAL_NAMES.get(name, name)
    if name not in VARIANTS:
        raise UserError(f"there is no model {name!r}{nearest(str(name), VARIANTS)}")
    if fusion not in get_args(Fusion):
        raise UserError(f"fusion is {fusion!r}; valid: {', '.join(get_args(Fusion))}")
    variant = VARIANTS[name]
    sizes: dict[str, Any] = {
        "img_size": variant.img_size if img_size is None else _plain_size(img_size),
        "num_classes": _class_count(num_classes),
        "drop_rate": _rate("drop_rate", drop_rate),
        "drop_path_rate": _rate("drop_path_rate", drop_path_rate),
    }
    model = _construct(variant, sizes | _checked_overrides(variant, overrides), fusion)
    initialise(model)
    return model


def build_model(model: ModelConfig, *, num_classes: int, seed: int) -> nn.Module:
    """The model of a run, with initial weights that are a pure function of the arguments.

    Args:
        model: resolved (`deit_core.identity.resolve`). `init` and `pos_embed_std` are for this
            package's models; timm's have their own initial weights.
        num_classes: outputs of each head.
        seed: the run's seed.

    Raises:
        ConfigError: an unknown name, sizes that do not fit, or arguments timm's model refuses.
    """
    with _keyed_global_generator(seed):
        if model.name not in VARIANTS:
            return _build_timm_model(model, num_classes)
        sizes = model.model_dump(
            include={"img_size", "drop_rate", "drop_path_rate", *OVERRIDES, *CAIT_OVERRIDES},
            exclude_none=True,
        )
        sizes["num_classes"] = num_classes
        try:
            built = _construct(VARIANTS[model.name], sizes, model.fusion)
        except UserError as error:
            raise ConfigError(Problem(("model",), str(error))) from None
        initialise(built, model.init, pos_embed_std=model.pos_embed_std)
        return built


def _checked_overrides(variant: Variant, overrides: Mapping[str, Any]) -> dict[str, float]:
    """The overrides as plain numbers, whatever kind of number was given."""
    plain: dict[str, float] = {}
    valid = OVERRIDES + CAIT_OVERRIDES if variant.family == "cait" else OVERRIDES
    for key, value in overrides.items():
        if key not in valid:
            raise UserError(f"{variant.name} has no {key!r} to override; valid: {', '.join(valid)}")
        fraction = key in _FRACTIONS
        if not (_is_positive(value) if fraction else _is_size(value)):
            kind = "number" if fraction else "whole number"
            raise UserError(f"{variant.name}: {key} is {value!r}; give a positive {kind}")
        plain[key] = float(value) if fraction else int(value)
    return plain


def _class_count(given: Any) -> int:
    if isinstance(given, bool) or not isinstance(given, Integral) or int(given) < 0:
        raise UserError(
            f"num_classes is {given!r}; give a whole number, or 0 for the token instead of logits"
        )
    return int(given)


def _rate(name: str, given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, Real) or not 0 <= float(given) <= 1:
        raise UserError(f"{name} is {given!r}; give a probability, 0 to 1")
    return float(given)


def _construct(variant: Variant, given: Mapping[str, Any], fusion: Fusion) -> TokenClassifier:
    """A model without initial weights: the given sizes, and the variant's own for the rest."""
    kept = ("patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio")
    sizes = {key: getattr(variant, key) for key in kept} | dict(given)
    if variant.family == "deit":
        spec = VitSpec(**sizes)
        _check_sizes(spec, head_width=64)
        return (
            DistilledVisionTransformer(spec, fusion)
            if variant.distilled
            else VisionTransformer(spec)
        )
    own_depth = sizes["depth"] == variant.depth
    scale = variant.init_scale if own_depth else cait_init_scale(sizes["depth"])
    defaults = {"depth_token_only": variant.depth_token_only, "init_scale": scale}
    cait_spec = CaitSpec(**(defaults | sizes))
    _check_sizes(cait_spec, head_width=48)
    return DistilledCait(cait_spec, fusion) if variant.distilled else Cait(cait_spec)


def _check_sizes(spec: VitSpec, head_width: int) -> None:
    sides = (spec.img_size,) if isinstance(spec.img_size, int) else spec.img_size
    if any(side % spec.patch_size for side in sides):
        raise UserError(
            f"an image of {' x '.join(map(str, sides))} pixels cannot be cut into patches of "
            f"{spec.patch_size}; choose img_size a multiple of patch_size"
        )
    if spec.embed_dim % spec.num_heads:
        raise UserError(
            f"embed_dim {spec.embed_dim} is no multiple of num_heads {spec.num_heads}; "
            f"choose one that is (the published models use {head_width} per head)"
        )
    if spec.mlp_hidden < 1:
        raise UserError(
            f"mlp_ratio {spec.mlp_ratio} of embed_dim {spec.embed_dim} leaves an MLP no width; "
            f"choose a larger one (the published models use 4)"
        )


def _plain_size(img_size: Any) -> ImageSize:
    if _is_size(img_size):
        return int(img_size)
    match img_size:
        case [height, width] if _is_size(height) and _is_size(width):
            return int(height), int(width)
    raise UserError(f"img_size is {img_size!r}; give a positive whole number, or (height, width)")


def _is_size(value: Any) -> bool:
    """A positive whole number, also one of numpy's."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) > 0


def _is_positive(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and 0 < float(value) < inf


def _build_timm_model(model: ModelConfig, num_classes: int) -> nn.Module:
    misplaced = [key for key in model.kwargs if key in _FIELDS_OF_THEIR_OWN]
    if misplaced:
        key = misplaced[0]
        raise ConfigError(Problem(("model", "kwargs"), f"{key!r} is given; set model.{key}"))
    arguments: dict[str, Any] = {"num_classes": num_classes, "in_chans": model.in_chans}
    # Only where asked for: many models take no stochastic depth, and none needs a rate of 0.
    rates = {"drop_rate": model.drop_rate, "drop_path_rate": model.drop_path_rate}
    arguments |= {key: rate for key, rate in rates.items() if rate}
    try:
        return create_timm_model(
            model.name, arguments | model.kwargs, where_accepted={"img_size": model.img_size}
        )
    except UserError as error:
        raise ConfigError(Problem(("model",), str(error))) from error


@contextmanager
def _keyed_global_generator(seed: int) -> Iterator[None]:
    """Key torch's global CPU generator for a block, and leave it as it was."""
    generator = torch.default_generator
    state = generator.get_state()
    generator.manual_seed(key64(seed, "init"))
    try:
        yield
    finally:
        generator.set_state(state)
