"""From a name or a config to a model with its initial weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from deit_core.config import ModelConfig
from deit_core.config_checks import nearest
from deit_core.data.rng import key64
from deit_core.errors import ConfigError, Problem, UserError
from deit_core.models.deit import DistilledVisionTransformer
from deit_core.models.init import initialise
from deit_core.models.timm_models import create_timm_model
from deit_core.models.vit import VisionTransformer, VitSpec
from deit_core.variants import VARIANTS

OVERRIDES = ("patch_size", "in_chans", "embed_dim", "depth", "num_heads", "mlp_ratio")
"""Sizes of a published model that can be changed."""

_FIELDS_OF_THEIR_OWN = ("num_classes", "in_chans", "img_size", "drop_rate", "drop_path_rate")


def create_model(
    name: str,
    *,
    num_classes: int = 1000,
    img_size: int | None = None,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    **overrides: float,
) -> VisionTransformer:
    """One of this package's models, with the reference's initial weights.

    Args:
        name: a key of `deit_core.variants.VARIANTS`.
        num_classes: outputs of each head.
        img_size: side of the images in pixels; the name's own when None.
        drop_rate: dropout.
        drop_path_rate: stochastic depth of the last block.
        **overrides: any of `OVERRIDES`.

    Raises:
        UserError: an unknown name or override, or sizes that do not fit each other.
    """
    if name not in VARIANTS:
        raise UserError(f"there is no model {name!r}{nearest(name, VARIANTS)}")
    variant = VARIANTS[name]
    _check_overrides(name, overrides)
    sizes: dict[str, Any] = {
        "img_size": variant.img_size,
        "patch_size": variant.patch_size,
        "embed_dim": variant.embed_dim,
        "depth": variant.depth,
        "num_heads": variant.num_heads,
        "mlp_ratio": variant.mlp_ratio,
    } | overrides
    if img_size is not None:
        sizes["img_size"] = img_size
    sizes |= {"drop_rate": drop_rate, "drop_path_rate": drop_path_rate}
    model = _construct(name, VitSpec(num_classes=num_classes, **sizes))
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
            include={"img_size", "drop_rate", "drop_path_rate", *OVERRIDES}, exclude_none=True
        )
        try:
            built = _construct(model.name, VitSpec(num_classes=num_classes, **sizes))
        except UserError as error:
            raise ConfigError(Problem(("model",), str(error))) from None
        initialise(built, model.init, pos_embed_std=model.pos_embed_std)
        return built


def _check_overrides(name: str, overrides: Mapping[str, object]) -> None:
    for key, value in overrides.items():
        if key not in OVERRIDES:
            raise UserError(f"{name} has no {key!r} to override; valid: {', '.join(OVERRIDES)}")
        kinds = (int, float) if key == "mlp_ratio" else (int,)
        if isinstance(value, bool) or not isinstance(value, kinds) or value <= 0:
            kind = "number" if key == "mlp_ratio" else "whole number"
            raise UserError(f"{name}: {key} is {value!r}; give a positive {kind}")


def _construct(name: str, spec: VitSpec) -> VisionTransformer:
    if spec.img_size % spec.patch_size:
        raise UserError(
            f"an image of {spec.img_size} pixels cannot be cut into patches of {spec.patch_size}; "
            f"choose img_size a multiple of patch_size"
        )
    if spec.embed_dim % spec.num_heads:
        raise UserError(
            f"embed_dim {spec.embed_dim} is no multiple of num_heads {spec.num_heads}; "
            f"choose one that is (DeiT uses 64 per head)"
        )
    distilled = VARIANTS[name].distilled
    return DistilledVisionTransformer(spec) if distilled else VisionTransformer(spec)


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
