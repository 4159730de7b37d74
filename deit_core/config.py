"""The config of one training run: a frozen, strict tree, validated before anything starts.

`parse_run_config` is the way in from untyped data; it reports every problem with the path of its
keys and the nearest valid name. `deit_core.identity` turns a config into a trial id.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from deit_core.config_checks import cross_check, translate_errors
from deit_core.config_types import (
    BelowOne,
    DurationText,
    NonNegative,
    Path,
    Positive,
    PositiveDuration,
    PositiveInt,
    Probability,
    Section,
)
from deit_core.errors import ConfigError
from deit_core.tracking import MlflowConfig, WandbConfig

CONFIG_SCHEMA_VERSION = 2
"""Raised when the meaning of a config changes; part of every trial id."""


Source = Literal[
    "digits",
    "fashion_mnist",
    "image_folder",
    "imagenet",
    "cifar10",
    "cifar100",
    "flowers102",
    "stanford_cars",
    "inaturalist_2018",
    "inaturalist_2019",
    "huggingface",
]


class DataConfig(Section):
    """Where the images come from. Train and val are fixed by the source, never by chance."""

    source: Source = "image_folder"
    """Which data set; docs/data.md says what each expects in `root`."""
    root: Path | None = None
    """Where it lies: for `image_folder`, a folder with `train/<class>/*` and `val/<class>/*`."""
    category: Literal[
        "kingdom", "phylum", "class", "order", "supercategory", "family", "genus", "name"
    ] = "name"
    """iNaturalist only: the level of its taxonomy that makes the classes."""
    image_column: str | None = None
    """Hugging Face data only: the column of the images; the only one of that type when null."""
    label_column: str | None = None
    """Hugging Face data only: the column of the labels; the only class label when null."""
    train_images: PositiveInt | None = None
    """Train on this many images only, balanced over the classes; all of them when null."""
    val_images: PositiveInt | None = None
    """Evaluate on this many images only, balanced over the classes; all of them when null."""
    subset_seed: int = 0
    """Chooses which images the two limits above keep; apart from `seed`, so seeds share them."""
    mean: tuple[Probability, ...] | None = Field(default=None, strict=False)
    """Per-channel mean for normalisation, in units of [0, 1]; the source's own when null."""
    std: tuple[Positive, ...] | None = Field(default=None, strict=False)
    """Per-channel standard deviation for normalisation; the source's own when null."""
    order: Literal["keyed", "reference"] = "keyed"
    """Of the images in an epoch: keyed by `seed`, or the reference's, the same for every seed."""
    workers: Annotated[int, Field(ge=0)] | None = None
    """Loader processes (never changes a result); null: 0 for small images in memory, else by
    cores."""


class ModelConfig(Section):
    """The student: a DeiT by its timm name, or any timm model. Null takes the name's own value."""

    name: str = "deit_tiny_distilled_patch16_224"
    """A timm model name; `deit_*` and `cait_*` are this package's own implementation."""
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
    depth_token_only: PositiveInt | None = None
    """CaiT only: number of class-attention blocks after them."""
    num_heads: PositiveInt | None = None
    """Attention heads per block."""
    mlp_ratio: Positive | None = None
    """Hidden width of the MLP over embed_dim; class-attention blocks of CaiT always have 4."""
    num_classes: PositiveInt | None = None
    """Number of classes; the data's own when null."""
    drop_rate: Probability = 0.0
    """Dropout after position embedding, attention projection and MLP."""
    drop_path_rate: Probability | None = None
    """Stochastic depth: in DeiT that of the last block, rising linearly from 0; in CaiT that of
    every block. Null: 0.1 for DeiT, the paper's by width and depth for CaiT, 0 for others."""
    init_scale: Positive | None = None
    """CaiT only: initial LayerScale; null: the published model's, or by depth where that is set."""
    fusion: Literal["logits", "softmax"] = "logits"
    """How two heads predict together: mean logits (the reference's code) or mean probabilities
    (the paper's text)."""
    init: Literal["trunc_normal", "fan_in"] = "trunc_normal"
    """`trunc_normal`: the reference (std 0.02). `fan_in`: std 1/sqrt(fan_in), for narrow models."""
    pos_embed_std: Positive = 0.02
    """Standard deviation of the initial position embedding."""
    kwargs: dict[str, Any] = Field(default_factory=dict)
    """Further arguments for `timm.create_model`; only for models that are timm's."""


class FinetuneConfig(Section):
    """Start from trained weights, of another resolution or other classes if need be."""

    checkpoint: Path
    """A .safetensors, .pth or .pt file; position embedding and heads are fitted to the model."""
    eval_mode: bool = False
    """Train without dropout and stochastic depth, and without distillation on the fused logits, as
    DeiT's authors fine-tuned."""


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
    channels_last: bool = False
    """Keep its weights in channels-last layout: faster convolutions on most devices."""


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
    policy: Literal["rand_augment", "auto_augment", "three_augment", "none"] = "rand_augment"
    """What happens to the colours and shape of an image; strength 0 turns each of them off."""
    rand_augment_magnitude: Annotated[float, Field(ge=0, le=10)] | None = None
    """RandAugment severity 0-10; null: 9 x strength, at most 10; 0 turns it off."""
    rand_augment_ops: PositiveInt = 2
    """Operations per image."""
    color_jitter: NonNegative | None = None
    """Jitter of brightness, contrast and saturation; null: 0.3 x strength under `three_augment`,
    else 0 (the reference's --color-jitter has no effect beside RandAugment)."""
    repeats: PositiveInt = 1
    """Looks at each image per epoch, of a share 1/repeats of the images: repeated augmentation. The
    DeiT recipe uses 3."""
    mixup_alpha: NonNegative | None = None
    """Beta parameter of mixup; null: 0.8 x strength; 0 turns it off."""
    cutmix_alpha: NonNegative | None = None
    """Beta parameter of CutMix; null: 1.0 x strength; 0 turns it off."""
    mix_probability: Probability = 1.0
    """Share of batches that are mixed at all."""
    mix_switch_probability: Probability = 0.5
    """Share of mixed batches that use CutMix when both are on."""
    mix_mode: Literal["batch", "pair", "elem"] = "batch"
    """One draw for a batch, for each pair of images, or for each image."""
    cutmix_minmax: tuple[Probability, Probability] | None = Field(default=None, strict=False)
    """Range of the sides of a CutMix box, as shares of the image; null: by cutmix_alpha."""
    erasing_probability: Probability | None = None
    """Random erasing; null: 0.25 x strength, at most 1."""
    hflip_probability: Probability = 0.5
    """Horizontal flip; 0 for digits and other images that have a direction."""
    crop: Literal["auto", "random_resized", "simple_random", "pad"] = "auto"
    """`random_resized`: area and aspect; `simple_random`: resize, pad and shift, without scale;
    `pad`: the same on the whole image; auto: `pad` up to 32 pixels, else `random_resized`."""
    crop_scale: tuple[Probability, Probability] = Field(default=(0.08, 1.0), strict=False)
    """Area range of `random_resized` as a share of the image."""
    crop_padding: Annotated[int, Field(ge=0)] | None = None
    """Pixels of `pad`; null: one eighth of the image side (4 at 32 pixels)."""
    label_smoothing: BelowOne | None = None
    """Probability mass moved from the true class to all; null: 0.1, and 0 under train.loss bce."""


class OptimConfig(Section):
    """Optimiser, and learning rate with linear warm-up and cosine decay."""

    name: Literal["adamw", "sgd"] = "adamw"
    lr: Positive = 5e-4
    """Peak learning rate, at `lr_reference_batch_size` images a step."""
    lr_reference_batch_size: PositiveInt | None = 512
    """Scales lr linearly with train.global_batch_size over this; null: lr as it stands."""
    weight_decay: NonNegative = 0.05
    momentum: BelowOne = 0.9
    """Of sgd (Nesterov, as timm's `sgd`)."""
    betas: tuple[BelowOne, BelowOne] = Field(default=(0.9, 0.999), strict=False)
    eps: Positive = 1e-8
    warmup: DurationText = "5ep"
    """Linear warm-up from warmup_lr, part of train.duration."""
    schedule: Literal["cosine", "deit"] = "cosine"
    """`cosine`: per step. `deit`: per epoch and one epoch late, as the reference really ran."""
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
    micro_batch_size: PositiveInt | None = None
    """Images per forward pass of a process, gradients accumulated; null: all of its share."""
    loss: Literal["cross_entropy", "bce"] = "cross_entropy"
    """On labels: cross-entropy to soft targets, or binary cross-entropy for each class."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    compile: bool = False
    """Run the student through torch.compile: slower to start, faster steps on a GPU."""
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
    crop_ratio: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the resized shorter side that the centre crop keeps; unused up to 32 pixels. Null:
    the published one, 1.0 for CaiT and 0.875 for all others."""
    real_labels: Path | None = None
    """ImageNet only: `real.json` of arXiv 2006.07159; adds `val_real_top1` to the last row."""
    imagenet_v2: Path | None = None
    """ImageNet only: a folder of ImageNet-V2 (0/ to 999/); adds `val_v2_top1` to the last row."""


class LoggingConfig(Section):
    """What is written while training; never changes a result."""

    every_steps: PositiveInt = 50
    """Steps between two training rows of metrics.jsonl."""
    tensorboard: bool = True
    wandb: WandbConfig | None = None
    """Weights & Biases as a further view of the rows; needs the extra `wandb`."""
    mlflow: MlflowConfig | None = None
    """MLflow as a further view of the rows; needs the extra `mlflow`."""


class RunConfig(Section):
    """Everything that decides one training run."""

    seed: int = Field(default=0, ge=0, lt=2**32)
    """Keys every random draw."""
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    finetune: FinetuneConfig | None = None
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
