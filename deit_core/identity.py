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
    OptimConfig,
    RunConfig,
    TeacherConfig,
    TrainConfig,
)
from deit_core.config_types import Section
from deit_core.duration import parse_duration
from deit_core.variants import (
    DEIT_DROP_PATH_RATE,
    VARIANTS,
    Variant,
    cait_drop_path_rate,
    cait_init_scale,
)

SectionType = TypeVar("SectionType", bound=Section)

ID_LENGTH = 12
"""Hex digits of a trial id: 48 bits, a collision among 10,000 trials has odds of 1 in 5 million."""

_SHARED_TRAIN = ("duration", "global_batch_size", "micro_batch_size", "precision")
"""Fields of `train` that are one for all students of a cohort."""

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
    mean: float | None = None
    """Null: normalised as ImageNet, as the reference does with every data set."""
    std: float | None = None


KNOWN_SOURCES: dict[str, SourceFacts] = {
    "digits": SourceFacts(num_classes=10, img_size=8, mean=0.3053, std=0.3760),
    "fashion_mnist": SourceFacts(num_classes=10, img_size=28, mean=0.2860, std=0.3530),
    "imagenet": SourceFacts(num_classes=1000, img_size=224),
    "cifar10": SourceFacts(num_classes=10, img_size=32),
    "cifar100": SourceFacts(num_classes=100, img_size=32),
    "flowers102": SourceFacts(num_classes=102, img_size=224),
    "stanford_cars": SourceFacts(num_classes=196, img_size=224),
}
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
DEFAULT_IMG_SIZE = 224
DEFAULT_CROP_RATIO = 0.875
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
            "augment": _resolve_augment(config, model.img_size or DEFAULT_IMG_SIZE),
            "data": _resolve_data(config.data, model.in_chans or 3),
            "eval": _fill_nulls(config.eval, {"crop_ratio": _crop_ratio(model.name)}),
        },
    )


def _updated(section: SectionType, updates: dict[str, Any]) -> SectionType:
    """A copy with new values; the section itself where nothing is new (copies cost most here)."""
    new = {key: value for key, value in updates.items() if value is not getattr(section, key)}
    return section.model_copy(update=new) if new else section


def _without(section: SectionType, names: Iterable[str]) -> SectionType:
    """The section with the named fields at their defaults."""
    fields = type(section).model_fields
    return _updated(
        section, {name: fields[name].get_default(call_default_factory=True) for name in names}
    )


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
    if variant is None:
        known["drop_path_rate"] = 0.0
        return _fill_nulls(config.model, known)
    geometry = ("img_size", "patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio")
    known |= {key: getattr(variant, key) for key in (*geometry, "depth_token_only")}
    model = _fill_nulls(config.model, known)
    return _fill_nulls(model, _by_depth(variant, model))


def _by_depth(variant: Variant, model: ModelConfig) -> dict[str, float | None]:
    """LayerScale and stochastic depth that suit the depth; `model` has its sizes."""
    assert model.depth is not None
    assert model.embed_dim is not None
    if variant.family == "deit":
        return {"drop_path_rate": DEIT_DROP_PATH_RATE}
    own = model.depth == variant.depth
    return {
        "drop_path_rate": cait_drop_path_rate(model.embed_dim, model.depth),
        "init_scale": variant.init_scale if own else cait_init_scale(model.depth),
    }


def _crop_ratio(name: str) -> float:
    variant = VARIANTS.get(name)
    return DEFAULT_CROP_RATIO if variant is None else variant.crop_ratio


def _resolve_augment(config: RunConfig, img_size: int) -> AugmentConfig:
    augment = config.augment
    strength = augment.strength
    known = {
        "label_smoothing": 0.0 if config.train.loss == "bce" else 0.1,
        "color_jitter": 0.3 * strength if augment.policy == "three_augment" else 0.0,
        "rand_augment_magnitude": min(9.0 * strength, 10.0),
        "mixup_alpha": 0.8 * strength,
        "cutmix_alpha": 1.0 * strength,
        "erasing_probability": min(0.25 * strength, 1.0),
        "crop_padding": 4 if augment.crop == "simple_random" else max(1, img_size // 8),
    }
    updates: dict[str, Any] = {k: v for k, v in known.items() if getattr(augment, k) is None}
    if augment.crop == "auto":
        updates["crop"] = "pad" if img_size <= SMALL_IMAGE else "random_resized"
    if strength == 0 and augment.policy in ("auto_augment", "three_augment"):
        updates["policy"] = "none"
    return _updated(augment, updates)


def _resolve_data(data: DataConfig, channels: int) -> DataConfig:
    facts = KNOWN_SOURCES.get(data.source)
    mean: tuple[float, ...]
    std: tuple[float, ...]
    if facts is not None and facts.mean is not None and facts.std is not None:
        mean, std = (facts.mean,) * channels, (facts.std,) * channels
    elif channels == 3:
        mean, std = IMAGENET_MEAN, IMAGENET_STD
    else:
        mean, std = (sum(IMAGENET_MEAN) / 3,), (sum(IMAGENET_STD) / 3,)
    return _fill_nulls(data, {"mean": mean, "std": std})


def canonical(config: RunConfig) -> RunConfig:
    """The resolved config with everything that has no effect set to its default."""
    config = resolve(config)
    return _updated(
        config,
        {
            "data": _without(config.data, _unused_data(config.data)),
            "model": _without(config.model, _unused_model(config)),
            "teacher": _canonical_teacher(config),
            "distill": _without(config.distill, _unused_distill(config.distill)),
            "augment": _canonical_augment(config.augment),
            "optim": _canonical_optim(config.optim),
            "train": _without(config.train, _unused_train(config.train)),
            "eval": _without(config.eval, _unused_eval(config)),
        },
    )


def _unused_model(config: RunConfig) -> Iterator[str]:
    variant = VARIANTS.get(config.model.name)
    eval_mode = config.finetune is not None and config.finetune.eval_mode
    if variant is None:  # timm initialises its own models
        yield from ("init", "pos_embed_std")
    if variant is None or not variant.distilled or not (eval_mode or config.distill.kind != "none"):
        yield "fusion"
    if config.finetune is not None:  # the file has these weights, whatever its classes
        yield from ("pos_embed_std", "init_scale")
    if eval_mode:
        yield from ("drop_rate", "drop_path_rate")


def _canonical_teacher(config: RunConfig) -> TeacherConfig | None:
    teacher = config.teacher
    if teacher is None or config.distill.kind == "none":
        return None
    return teacher if teacher.trial is None else _without(teacher, ("name", "kwargs"))


def _canonical_optim(optim: OptimConfig) -> OptimConfig:
    if parse_duration(optim.warmup).value == 0:
        optim = _updated(_without(optim, ("warmup_lr",)), {"warmup": "0ep"})
    return _without(optim, ("betas", "eps") if optim.name == "sgd" else ("momentum",))


def _unused_train(train: TrainConfig) -> Iterator[str]:
    if train.micro_batch_size is not None and train.micro_batch_size >= train.global_batch_size:
        yield "micro_batch_size"


def _unused_eval(config: RunConfig) -> Iterator[str]:
    if config.model.img_size is not None and config.model.img_size <= SMALL_IMAGE:
        yield "crop_ratio"


def _unused_data(data: DataConfig) -> Iterator[str]:
    if data.source == "digits":
        yield "root"
    if not data.source.startswith("inaturalist"):
        yield "category"
    if data.source != "huggingface":
        yield from ("image_column", "label_column")
    if data.train_images is None and data.val_images is None:
        yield "subset_seed"


_NO_CUTMIX = {"cutmix_alpha": 0.0, "cutmix_minmax": None}


def _canonical_augment(augment: AugmentConfig) -> AugmentConfig:
    cutmix = augment.cutmix_minmax is not None or augment.cutmix_alpha
    if not augment.mix_probability:
        augment = _updated(augment, {"mixup_alpha": 0.0, **_NO_CUTMIX})
    elif augment.mixup_alpha and cutmix and augment.mix_switch_probability == 0:
        augment = _updated(augment, _NO_CUTMIX)
    elif augment.mixup_alpha and cutmix and augment.mix_switch_probability == 1:
        augment = _updated(augment, {"mixup_alpha": 0.0})
    if augment.policy == "rand_augment" and not augment.rand_augment_magnitude:
        augment = _updated(augment, {"policy": "none"})
    return _without(augment, _unused_augment(augment))


def _unused_augment(augment: AugmentConfig) -> Iterator[str]:
    """Fields that the other ones turn off; `augment` is resolved."""
    if augment.policy != "rand_augment":
        yield from ("rand_augment_magnitude", "rand_augment_ops")
    cutmix = augment.cutmix_minmax is not None or augment.cutmix_alpha
    mixes = [mix for mix in (augment.mixup_alpha, cutmix) if mix]
    if augment.cutmix_minmax is not None:
        yield "cutmix_alpha"
    if not mixes:
        yield from ("mix_probability", "mix_mode")
    if len(mixes) < 2:
        yield "mix_switch_probability"
    if augment.crop != "random_resized":
        yield "crop_scale"
    if augment.crop == "random_resized":
        yield "crop_padding"


def _unused_distill(distill: DistillConfig) -> Iterator[str]:
    if distill.kind == "none":
        yield from ("alpha", "temperature", "reduction", "token")
    elif distill.kind == "hard" or distill.alpha == 0:
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
        "train": [values["train"][key] for key in _SHARED_TRAIN],
    }
    return _digest(shared)


def teacher_key(config: RunConfig) -> str | None:
    """Identity of the teacher, or None for a student that learns from labels alone."""
    teacher = canonical(config).teacher
    return None if teacher is None else _digest(teacher.model_dump(mode="json"))
