"""From a config to its identity: the resolved config, the trial id, and the stream key.

Equal ids mean equal results, so what cannot change a result is left out (workers, logging,
checkpoint intervals, device), and what has no effect is set to its default first (temperature
under hard distillation, the teacher under none).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from deit_core.config import (
    CONFIG_SCHEMA_VERSION,
    AugmentConfig,
    DataConfig,
    DistillConfig,
    ModelConfig,
    RunConfig,
    Section,
)
from deit_core.duration import parse_duration
from deit_core.variants import VARIANTS

SectionType = TypeVar("SectionType", bound=Section)

ID_LENGTH = 12
"""Hex digits of a trial id: 48 bits, a collision among 10,000 trials has odds of 1 in 5 million."""

_WITHOUT_EFFECT = {
    "data": ("workers",),
    "train": ("device", "threads", "checkpoint_every_s", "checkpoint_every_epochs"),
}


@dataclass(frozen=True)
class SourceFacts:
    """What an embedded or well-known source is, so that planning needs no data at hand.

    `mean` and `std` are grey levels of the training images in units of [0, 1]: computed over
    scikit-learn's 1,797 digits, and over Fashion-MNIST's 60,000 training images.
    """

    num_classes: int
    img_size: int
    mean: float
    std: float


KNOWN_SOURCES: dict[str, SourceFacts] = {
    "digits": SourceFacts(num_classes=10, img_size=8, mean=0.3053, std=0.3760),
    "fashion_mnist": SourceFacts(num_classes=10, img_size=28, mean=0.2860, std=0.3530),
}
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
DEFAULT_IMG_SIZE = 224
SMALL_IMAGE = 32
"""Up to this side, in pixels, images are padded and shifted instead of cropped by area, and not
cropped for evaluation, as in the reference (facebookresearch/deit, datasets.py)."""


def resolve(config: RunConfig) -> RunConfig:
    """The same config with every null that can be known without the data filled in.

    `model.num_classes` of an image folder stays null until the folder is read.
    """
    model = _resolve_model(config)
    return _updated(
        config,
        {
            "model": model,
            "augment": _resolve_augment(config.augment, model.img_size or DEFAULT_IMG_SIZE),
            "data": _resolve_data(config.data, model.in_chans or 3),
        },
    )


def _updated(section: SectionType, updates: dict[str, Any]) -> SectionType:
    """A copy with new values; the section itself where nothing is new (copies cost most here)."""
    new = {key: value for key, value in updates.items() if value is not getattr(section, key)}
    return section.model_copy(update=new) if new else section


def _without(section: SectionType, names: Iterable[str]) -> SectionType:
    """The section with the named fields at their defaults."""
    fields = type(section).model_fields
    return _updated(section, {name: fields[name].get_default() for name in names})


def _fill_nulls(section: SectionType, known: dict[str, Any]) -> SectionType:
    return _updated(section, {k: v for k, v in known.items() if getattr(section, k) is None})


def _resolve_model(config: RunConfig) -> ModelConfig:
    facts = KNOWN_SOURCES.get(config.data.source)
    known: dict[str, Any] = {
        "img_size": DEFAULT_IMG_SIZE,
        "in_chans": 3,
        "num_classes": facts.num_classes if facts else None,
    }
    variant = VARIANTS.get(config.model.name)
    if variant is not None:
        geometry = ("img_size", "patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio")
        known |= {key: getattr(variant, key) for key in geometry}
    return _fill_nulls(config.model, known)


def _resolve_augment(augment: AugmentConfig, img_size: int) -> AugmentConfig:
    strength = augment.strength
    known = {
        "rand_augment_magnitude": min(9.0 * strength, 10.0),
        "mixup_alpha": 0.8 * strength,
        "cutmix_alpha": 1.0 * strength,
        "erasing_probability": min(0.25 * strength, 1.0),
        "crop_padding": max(1, img_size // 8),
    }
    updates: dict[str, Any] = {k: v for k, v in known.items() if getattr(augment, k) is None}
    if augment.crop == "auto":
        updates["crop"] = "pad" if img_size <= SMALL_IMAGE else "random_resized"
    return _updated(augment, updates)


def _resolve_data(data: DataConfig, channels: int) -> DataConfig:
    facts = KNOWN_SOURCES.get(data.source)
    mean: tuple[float, ...]
    std: tuple[float, ...]
    if facts is not None:
        mean, std = (facts.mean,) * channels, (facts.std,) * channels
    elif channels == 3:
        mean, std = IMAGENET_MEAN, IMAGENET_STD
    else:
        mean, std = (sum(IMAGENET_MEAN) / 3,), (sum(IMAGENET_STD) / 3,)
    return _fill_nulls(data, {"mean": mean, "std": std})


def canonical(config: RunConfig) -> RunConfig:
    """The resolved config with everything that has no effect set to its default."""
    config = resolve(config)
    updates: dict[str, Any] = {
        "data": _without(config.data, _unused_data(config.data)),
        "augment": _canonical_augment(config.augment),
        "distill": _without(config.distill, _unused_distill(config.distill)),
    }
    if config.distill.kind == "none":
        updates["teacher"] = None
    if config.model.name not in VARIANTS:  # timm initialises its own models
        updates["model"] = _without(config.model, ("init", "pos_embed_std"))
    if config.model.img_size is not None and config.model.img_size <= SMALL_IMAGE:
        updates["eval"] = _without(config.eval, ("crop_ratio",))
    if parse_duration(config.optim.warmup).value == 0:
        no_warmup = _without(config.optim, ("warmup_lr",))
        updates["optim"] = _updated(no_warmup, {"warmup": "0ep"})
    return _updated(config, updates)


def _unused_data(data: DataConfig) -> Iterator[str]:
    if data.source == "digits":
        yield "root"
    if data.train_images is None and data.val_images is None:
        yield "subset_seed"


def _canonical_augment(augment: AugmentConfig) -> AugmentConfig:
    if not augment.mix_probability:
        augment = _updated(augment, {"mixup_alpha": 0.0, "cutmix_alpha": 0.0})
    return _without(augment, _unused_augment(augment))


def _unused_augment(augment: AugmentConfig) -> Iterator[str]:
    """Fields that the other ones turn off; `augment` is resolved."""
    if not augment.rand_augment_magnitude:
        yield "rand_augment_ops"
    mixes = [alpha for alpha in (augment.mixup_alpha, augment.cutmix_alpha) if alpha]
    if not mixes:
        yield "mix_probability"
    if len(mixes) < 2:
        yield "mix_switch_probability"
    yield "crop_scale" if augment.crop == "pad" else "crop_padding"


def _unused_distill(distill: DistillConfig) -> Iterator[str]:
    if distill.kind == "none":
        yield from ("alpha", "temperature", "reduction", "token")
    elif distill.kind == "hard":
        yield from ("temperature", "reduction")


_to_json = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def _digest(values: Any) -> str:
    return _sha256(_to_json(values))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _identity(config: RunConfig) -> dict[str, Any]:
    """What decides the result of a canonical config."""
    values = config.model_dump(mode="json", exclude={"logging"})
    for section, keys in _WITHOUT_EFFECT.items():
        for key in keys:
            values[section].pop(key)
    values["augment"].pop("strength")  # the resolved parts say all that it said
    values["config_schema_version"] = CONFIG_SCHEMA_VERSION
    return values


def identify(config: RunConfig, seeds: Iterable[int]) -> tuple[RunConfig, str, tuple[str, ...]]:
    """The canonical config, its group id, and the trial id it has with each of the seeds."""
    config = canonical(config)
    values = _identity(config)
    values.pop("seed")
    group = _digest(values)
    trial_ids = tuple(_sha256(f"{group} seed={seed}")[:ID_LENGTH] for seed in seeds)
    return config, group[:ID_LENGTH], trial_ids


def trial_and_group_id(config: RunConfig) -> tuple[str, str]:
    """The id of this trial, and the id it shares with its other seeds."""
    _, group_id, (trial_id,) = identify(config, (config.seed,))
    return trial_id, group_id


def trial_id_of(config: RunConfig) -> str:
    """The id of this trial: 12 hex digits of a SHA-256 over all that can change its result."""
    return trial_and_group_id(config)[0]


def group_id_of(config: RunConfig) -> str:
    """The id that all seeds of one variant share."""
    return trial_and_group_id(config)[1]


def stream_key(config: RunConfig) -> str:
    """Trials with equal keys see the same batches at the same steps, so they can share a cohort.

    The teacher is not part of it: a student without one may join students with one. Two students
    of a cohort that both have a teacher must have the same (`teacher_key`).
    """
    values = _identity(canonical(config))
    shared = {
        "seed": values["seed"],
        "data": values["data"],
        "augment": values["augment"],
        "eval": values["eval"],
        "image": [values["model"][key] for key in ("img_size", "in_chans", "num_classes")],
        "train": [values["train"][key] for key in ("duration", "global_batch_size", "precision")],
    }
    return _digest(shared)


def teacher_key(config: RunConfig) -> str | None:
    """Identity of the teacher, or None for a student that learns from labels alone."""
    teacher = canonical(config).teacher
    return None if teacher is None else _digest(teacher.model_dump(mode="json"))
