"""The config of one training run: a frozen, strict tree, validated before anything starts.

`parse_run_config` is the way in from untyped data; it reports every problem with the path of its
keys and the nearest valid name. `deit_core.identity` turns a config into a trial id.
"""

from __future__ import annotations

import os
import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from deit_core.config_checks import cross_check, translate_errors
from deit_core.duration import parse_duration
from deit_core.errors import ConfigError

CONFIG_SCHEMA_VERSION = 1
"""Raised when the meaning of a config changes; part of every trial id."""


def _expand_path(text: str) -> str:
    """Expand `~` and `${VAR}`; absolute and free of links, so that one place has one spelling."""
    missing = [name for name in re.findall(r"\$\{(\w+)\}", text) if name not in os.environ]
    if missing:
        raise ValueError(f"the environment variable {missing[0]} is not set in {text!r}")
    return os.path.realpath(os.path.expanduser(os.path.expandvars(text)))


def _valid_duration(text: str) -> str:
    """Return the duration in its one canonical spelling ("10 epochs" becomes "10ep")."""
    return str(parse_duration(text))


def _positive_duration(text: str) -> str:
    duration = parse_duration(text)
    if duration.value <= 0:
        raise ValueError(f"{text!r} must be longer than nothing")
    return str(duration)


def _no_bare_number(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f'{value} has no unit; write "{value}ep" or "{value}step"')
    return value


Path = Annotated[str, AfterValidator(_expand_path)]
DurationText = Annotated[str, BeforeValidator(_no_bare_number), AfterValidator(_valid_duration)]
PositiveDuration = Annotated[
    str, BeforeValidator(_no_bare_number), AfterValidator(_positive_duration)
]
Probability = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
PositiveInt = Annotated[int, Field(gt=0)]


class Section(BaseModel):
    """Base of every config section: frozen, strict types, unknown keys are errors."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True
    )


class DataConfig(Section):
    """Where the images come from. Train and val are fixed by the source, never by chance."""

    source: Literal["digits", "fashion_mnist", "image_folder"] = "image_folder"
    """`digits` (scikit-learn, 8x8, embedded), `fashion_mnist` (28x28) or `image_folder`."""
    root: Path | None = None
    """Folder with `train/<class>/*` and `val/<class>/*`, or that of the Fashion-MNIST files."""
    train_images: PositiveInt | None = None
    """Train on this many images only, balanced over the classes; all of them when null."""
    val_images: PositiveInt | None = None
    """Evaluate on this many images only, balanced over the classes; all of them when null."""
    subset_seed: int = 0
    """Chooses which images the two limits above keep; apart from `seed`, so seeds share them."""
    mean: tuple[float, ...] | None = Field(default=None, strict=False)
    """Per-channel mean for normalisation, in units of [0, 1]; the source's own when null."""
    std: tuple[Positive, ...] | None = Field(default=None, strict=False)
    """Per-channel standard deviation for normalisation; the source's own when null."""
    workers: Annotated[int, Field(ge=0)] | None = None
    """Loader processes (never changes a result); null: 0 for data in memory, else by cores."""


class ModelConfig(Section):
    """The student: a DeiT by its timm name, or any timm model. Null takes the name's own value."""

    name: str = "deit_tiny_distilled_patch16_224"
    """A timm model name; `deit_*` are this package's own implementation."""
    img_size: PositiveInt | None = None
    """Side of the square images fed to the model, in pixels."""
    patch_size: PositiveInt | None = None
    """Side of a patch in pixels; must divide img_size."""
    in_chans: PositiveInt | None = None
    """Image channels: 1 (grey) or 3 (RGB)."""
    embed_dim: PositiveInt | None = None
    """Width of a token; must be a multiple of num_heads."""
    depth: PositiveInt | None = None
    """Number of transformer blocks."""
    num_heads: PositiveInt | None = None
    """Attention heads per block."""
    mlp_ratio: Positive | None = None
    """Hidden width of the MLP over embed_dim."""
    num_classes: PositiveInt | None = None
    """Number of classes; the data's own when null."""
    drop_rate: Probability = 0.0
    """Dropout after position embedding, attention projection and MLP."""
    drop_path_rate: Probability = 0.0
    """Stochastic depth of the last block, rising linearly from 0; the DeiT recipe uses 0.1."""
    init: Literal["trunc_normal", "fan_in"] = "trunc_normal"
    """`trunc_normal`: the reference (std 0.02). `fan_in`: std 1/sqrt(fan_in), for narrow models."""
    pos_embed_std: Positive = 0.02
    """Standard deviation of the initial position embedding."""
    kwargs: dict[str, Any] = Field(default_factory=dict)
    """Further arguments for `timm.create_model`; only for models that are timm's."""


class TeacherConfig(Section):
    """A frozen teacher: pretrained by timm, from a checkpoint file, or trained by another trial."""

    name: str | None = None
    """Model name, for `pretrained` and `checkpoint`; a trial brings its own."""
    pretrained: bool = False
    """Let timm download its published weights."""
    checkpoint: Path | None = None
    """A .pth, .pt or .safetensors file with the weights of `name`."""
    trial: str | None = None
    """Id of a finished trial in the same sweep; in a sweep file, `teacher:` fills this in."""
    kwargs: dict[str, Any] = Field(default_factory=dict)
    """Further arguments for `timm.create_model`."""


class DistillConfig(Section):
    """How the teacher's answers enter the loss (arXiv 2012.12877, section 4)."""

    kind: Literal["none", "soft", "hard"] = "none"
    """No teacher, KL divergence to its soft labels, or cross-entropy to its decisions."""
    alpha: Probability = 0.5
    """Weight of the distillation term; 1 - alpha is the weight of the true labels."""
    temperature: Positive = 1.0
    """Softens both distributions of `soft`; the paper's soft baseline uses 3. Unused by `hard`."""
    reduction: Literal["batchmean", "numel"] = "batchmean"
    """`soft` only: a true KL, or the reference's division by batch x classes."""
    token: bool = True
    """Distil through the distillation token; false: through the class head of a plain model."""


class AugmentConfig(Section):
    """Augmentation. `strength` scales the DeiT recipe; every part can be set alone."""

    strength: NonNegative = 1.0
    """0: flip and crop only, 1: the DeiT recipe, above: stronger."""
    rand_augment_magnitude: Annotated[float, Field(ge=0, le=10)] | None = None
    """RandAugment severity 0-10; null: 9 x strength, at most 10; 0 turns it off."""
    rand_augment_ops: PositiveInt = 2
    """Operations per image."""
    mixup_alpha: NonNegative | None = None
    """Beta parameter of mixup; null: 0.8 x strength; 0 turns it off."""
    cutmix_alpha: NonNegative | None = None
    """Beta parameter of CutMix; null: 1.0 x strength; 0 turns it off."""
    mix_probability: Probability = 1.0
    """Share of batches that are mixed at all."""
    mix_switch_probability: Probability = 0.5
    """Share of mixed batches that use CutMix when both are on."""
    erasing_probability: Probability | None = None
    """Random erasing; null: 0.25 x strength, at most 1."""
    hflip_probability: Probability = 0.5
    """Horizontal flip; 0 for digits and other images that have a direction."""
    crop: Literal["auto", "random_resized", "pad"] = "auto"
    """`random_resized`: area and aspect; `pad`: pad and shift; auto: `pad` up to 32 pixels."""
    crop_scale: tuple[Probability, Probability] = Field(default=(0.08, 1.0), strict=False)
    """Area range of `random_resized` as a share of the image."""
    crop_padding: Annotated[int, Field(ge=0)] | None = None
    """Pixels of `pad`; null: one eighth of the image side (4 at 32 pixels)."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Probability mass moved from the true class to all classes."""


class OptimConfig(Section):
    """AdamW with linear warm-up and cosine decay, both per step."""

    name: Literal["adamw"] = "adamw"
    lr: Positive = 5e-4
    """Peak learning rate, at `lr_reference_batch_size` images a step."""
    lr_reference_batch_size: PositiveInt | None = 512
    """Scales lr linearly with train.global_batch_size over this; null: lr as it stands."""
    weight_decay: NonNegative = 0.05
    betas: tuple[Probability, Probability] = Field(default=(0.9, 0.999), strict=False)
    eps: Positive = 1e-8
    warmup: DurationText = "5ep"
    """Linear warm-up from warmup_lr, part of train.duration."""
    warmup_lr: NonNegative = 1e-6
    """Learning rate of the first step; not scaled with the batch."""
    min_lr: NonNegative = 1e-5
    """Learning rate of the last step; not scaled with the batch."""
    clip_grad_norm: Positive | None = None
    """Largest gradient norm; null: no clipping, as in the recipe."""


class TrainConfig(Section):
    """Length, batch, precision, checkpoints."""

    duration: PositiveDuration = "300ep"
    """Epochs ("300ep") or optimiser steps ("5000step")."""
    global_batch_size: Annotated[int, Field(gt=1)] = 1024
    """Images per optimiser step over all processes; even when mixup or CutMix is on."""
    precision: Literal["fp32", "bf16"] = "fp32"
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of an exponential moving average of the weights, evaluated as `val_ema_*`."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: PositiveInt | None = None
    """CPU threads for tensor operations; null: the cores granted to the job."""
    checkpoint_every_s: Positive = 300.0
    """Seconds between checkpoints inside an epoch."""
    checkpoint_every_epochs: PositiveInt = 1
    """A checkpoint after every so many epochs."""


class EvalConfig(Section):
    """Evaluation on val: class head, distillation head and their fusion."""

    every: PositiveDuration = "1ep"
    """How often; the last step is always evaluated."""
    batch_size: PositiveInt = 256
    crop_ratio: Annotated[float, Field(gt=0, le=1)] = 0.875
    """Share of the resized shorter side that the centre crop keeps; unused up to 32 pixels."""


class LoggingConfig(Section):
    """What is written while training; never changes a result."""

    every_steps: PositiveInt = 50
    """Steps between two training rows of metrics.jsonl."""
    tensorboard: bool = True


class RunConfig(Section):
    """Everything that decides one training run."""

    seed: int = Field(default=0, ge=0, lt=2**32)
    """Keys every random draw."""
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    teacher: TeacherConfig | None = None
    distill: DistillConfig = DistillConfig()
    augment: AugmentConfig = AugmentConfig()
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()
    eval: EvalConfig = EvalConfig()
    logging: LoggingConfig = LoggingConfig()

    @model_validator(mode="after")
    def _check_combinations(self) -> RunConfig:
        problems = cross_check(self)
        if problems:
            raise ConfigError(problems)
        return self


def parse_run_config(values: dict[str, Any]) -> RunConfig:
    """Validate untyped values (from YAML or JSON) into a RunConfig.

    Raises:
        ConfigError: with one Problem for each unknown key, wrong type, value out of range, or
            combination of values that cannot work.
    """
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(translate_errors(error, RunConfig)) from None
