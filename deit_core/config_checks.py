"""What pydantic cannot say alone: combinations of values, and errors in words a user can act on."""

from __future__ import annotations

import difflib
import typing
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from deit_core.errors import Problem
from deit_core.variants import VARIANTS, Variant, distilled_twin

if TYPE_CHECKING:
    from deit_core.config import AugmentConfig, ModelConfig, RunConfig

_GEOMETRY_KEYS = ("patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio")
_NEEDS_ROOT = (
    *("image_folder", "imagenet", "inaturalist_2018", "inaturalist_2019", "huggingface"),
)
_CAIT_KEYS = ("depth_token_only", "init_scale")


def nearest(name: str, valid: typing.Iterable[str]) -> str:
    """A hint such as `; did you mean "kind"?`, or the list of what is valid."""
    valid = sorted(valid)
    close = difflib.get_close_matches(name, valid, n=1)
    if close:
        return f'; did you mean "{close[0]}"?'
    return f"; valid: {', '.join(valid)}"


def cross_check(config: RunConfig) -> list[Problem]:
    """Problems in the combination of values that are each valid alone."""
    return [
        *_check_model(config),
        *_check_loss(config),
        *_check_distillation(config),
        *_check_teacher(config),
        *_check_data(config),
        *_check_augment(config.augment),
    ]


def _check_model(config: RunConfig) -> list[Problem]:
    model = config.model
    variant = VARIANTS.get(model.name)
    if variant is None:
        if model.name.startswith(("deit_", "cait_")):
            hint = nearest(model.name, VARIANTS)
            return [Problem(("model", "name"), f"there is no model {model.name!r}{hint}")]
        return _check_foreign(model)
    return _check_geometry(config, variant)


def _check_foreign(model: ModelConfig) -> list[Problem]:
    """The geometry keys are this package's; mostly the name was changed and they were left."""
    keys = (*_GEOMETRY_KEYS, *_CAIT_KEYS)
    left = [f"model.{key}" for key in keys if getattr(model, key) is not None]
    if not left:
        return []
    return [
        Problem(
            ("model", "name"),
            f"{model.name!r} is none of this package's deit_* and cait_* models, and a timm "
            f"model takes no {', '.join(left)}; set {'that' if len(left) == 1 else 'these'} to "
            f"null (arguments of timm's go in model.kwargs), or name one such as "
            f"deit_tiny_patch16_224",
        )
    ]


def _check_geometry(config: RunConfig, variant: Variant) -> list[Problem]:
    model = config.model
    problems = []
    img_size = model.img_size or variant.img_size
    patch_size = model.patch_size or variant.patch_size
    if img_size % patch_size:
        problems.append(
            Problem(
                ("model", "img_size" if model.img_size else "patch_size"),
                f"an image of {img_size} pixels cannot be cut into patches of {patch_size}; "
                f"choose img_size a multiple of patch_size",
            )
        )
    embed_dim = model.embed_dim or variant.embed_dim
    num_heads = model.num_heads or variant.num_heads
    if embed_dim % num_heads:
        problems.append(
            Problem(
                ("model", "embed_dim" if model.embed_dim else "num_heads"),
                f"embed_dim {embed_dim} is no multiple of num_heads {num_heads}; "
                f"choose one that is (DeiT uses 64 per head)",
            )
        )
    mlp_ratio = model.mlp_ratio or variant.mlp_ratio
    if embed_dim * mlp_ratio < 1:
        problems.append(
            Problem(
                ("model", "mlp_ratio"),
                f"{mlp_ratio} of embed_dim {embed_dim} leaves an MLP no width; "
                f"choose a larger one (DeiT uses 4)",
            )
        )
    problems += [
        Problem(("model", key), f"{model.name} has no {key}, which is CaiT's; leave it out")
        for key in _CAIT_KEYS
        if variant.family != "cait" and getattr(model, key) is not None
    ]
    if model.kwargs:
        problems.append(
            Problem(
                ("model", "kwargs"),
                f"{model.name} takes no kwargs; its size is set by {', '.join(_GEOMETRY_KEYS)}",
            )
        )
    return problems


def _check_distillation(config: RunConfig) -> list[Problem]:
    distill, name = config.distill, config.model.name
    if distill.kind == "none":
        return []
    if config.teacher is None:
        return [
            Problem(
                ("distill", "kind"),
                f"{distill.kind!r} distillation needs a teacher; add a `teacher:` section "
                f"(pretrained, checkpoint or trial) or set distill.kind: none",
            )
        ]
    variant = VARIANTS.get(name)
    has_token = variant is not None and variant.distilled
    if distill.token and not has_token:
        twin = distilled_twin(name)
        hint = f"use model.name: {twin}" if twin else "use a deit_*_distilled_* model"
        return [
            Problem(
                ("model", "name"),
                f"{name} has no distillation token to distil with; {hint}, "
                f"or set distill.token: false to distil through its class head",
            )
        ]
    if not distill.token and has_token:
        return [
            Problem(
                ("distill", "token"),
                f"{name} would leave its distillation token untrained; "
                f"use the model without `_distilled`, or set distill.token: true",
            )
        ]
    return []


def _check_loss(config: RunConfig) -> list[Problem]:
    problems = []
    if config.train.loss == "bce" and config.augment.label_smoothing:
        problems.append(
            Problem(
                ("augment", "label_smoothing"),
                f"{config.augment.label_smoothing} would make every class a true one under "
                f"train.loss: bce; leave it out",
            )
        )
    finetune = config.finetune
    if finetune is not None and finetune.eval_mode and config.distill.kind != "none":
        problems.append(
            Problem(
                ("finetune", "eval_mode"),
                "true trains the fused logits, which leaves no head to distil through; "
                "set it to false, or distill.kind: none",
            )
        )
    return problems


def _check_teacher(config: RunConfig) -> list[Problem]:
    teacher = config.teacher
    if teacher is None:
        return []
    given = [key for key in ("pretrained", "checkpoint", "trial") if getattr(teacher, key)]
    if len(given) != 1:
        what = f"{' and '.join(given)} are" if given else "none of them is"
        drop = "pretrained: false" if teacher.pretrained else f"{given[0]}: null" if given else ""
        return [
            Problem(
                ("teacher",),
                f"a teacher takes its weights from exactly one of pretrained, checkpoint, trial; "
                f"{what} set" + (f"; set teacher.{drop}" if drop else ""),
            )
        ]
    if teacher.trial is None and teacher.name is None:
        return [Problem(("teacher", "name"), f"{given[0]} needs the name of a timm model")]
    return []


def _check_data(config: RunConfig) -> list[Problem]:
    problems = []
    source = config.data.source
    if source in _NEEDS_ROOT and config.data.root is None:
        layout = (
            "a folder with train/<class>/ and val/<class>/"
            if source == "image_folder"
            else ("the folder it lies in")
        )
        problems.append(
            Problem(
                ("data", "root"),
                f"{source} needs {layout}; "
                "set data.root, or data.source: digits for embedded images",
            )
        )
    problems += [
        Problem(("eval", key), f"is for ImageNet's classes, but data.source is {source!r}")
        for key in ("real_labels", "imagenet_v2")
        if getattr(config.eval, key) is not None and source not in ("imagenet", "image_folder")
    ]
    if config.model.in_chans not in (None, 1, 3):
        problems.append(
            Problem(("model", "in_chans"), f"{config.model.in_chans} is given; valid: 1, 3")
        )
    augment = config.augment
    mixes = augment.mix_probability > 0 and (
        augment.cutmix_minmax is not None
        or (augment.mixup_alpha if augment.mixup_alpha is not None else augment.strength) > 0
        or (augment.cutmix_alpha if augment.cutmix_alpha is not None else augment.strength) > 0
    )
    if mixes and config.train.global_batch_size % 2:
        problems.append(
            Problem(
                ("train", "global_batch_size"),
                f"{config.train.global_batch_size} is odd, but mixup and CutMix pair the images "
                f"of a batch; choose an even number or set augment.mix_probability: 0.0",
            )
        )
    return problems


def _check_augment(augment: AugmentConfig) -> list[Problem]:
    problems = [
        Problem(("augment", key), f"{list(low_high)} is given; low comes first")
        for key in ("cutmix_minmax", "crop_scale")
        if (low_high := getattr(augment, key)) is not None and low_high[0] > low_high[1]
    ]
    if augment.crop_scale[1] == 0:
        problems.append(
            Problem(
                ("augment", "crop_scale"),
                f"{list(augment.crop_scale)} leaves nothing of an image; give a range such as "
                f"[0.08, 1.0]",
            )
        )
    return problems


def translate_errors(error: ValidationError, root: type[BaseModel]) -> list[Problem]:
    """Pydantic's errors as Problems: the keys, what was given, what is valid."""
    problems: dict[tuple[str, ...], Problem] = {}
    for item in error.errors(include_url=False):
        path = _key_path(item["loc"], root)
        problems.setdefault(path, Problem(path, _sentence(item, path, root)))
    return list(problems.values())


def _key_path(location: tuple[int | str, ...], root: type[BaseModel]) -> tuple[str, ...]:
    """Drop the union-branch names that pydantic appends to a location."""
    path: list[str] = []
    model: type[BaseModel] | None = root
    for part in location:
        if model is not None and str(part) in model.model_fields:
            path.append(str(part))
            model = _section(model, str(part))
        elif isinstance(part, int) or (model is not None and part == location[-1]):
            path.append(str(part))
    return tuple(path)


def _section(model: type[BaseModel], field: str) -> type[BaseModel] | None:
    """The section class behind a field, looking through `| None`."""
    annotation = model.model_fields[field].annotation
    for candidate in (annotation, *typing.get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _sentence(item: Any, path: tuple[str, ...], root: type[BaseModel]) -> str:
    if item["type"] == "extra_forbidden":
        model: type[BaseModel] | None = root
        for part in path[:-1]:
            model = _section(model, part) if model and part in model.model_fields else None
        return "unknown key" + nearest(path[-1], model.model_fields if model else ())
    message = str(item["msg"]).removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    given = _given(item["input"])
    if item["type"] == "literal_error" and isinstance(item["input"], str):
        valid = typing.cast(str, item["ctx"]["expected"]).replace("'", "").replace(" or ", ", ")
        close = difflib.get_close_matches(item["input"], valid.split(", "), n=1)
        if close:
            return f'{given} is not valid; did you mean "{close[0]}"? (valid: {valid})'
        return f"{given} is not valid; valid: {valid}"
    if item["type"] == "model_type":
        return f"is a section with fields of its own, but {given} is given"
    if item["type"] == "value_error":
        return message
    return f"{message.removeprefix('input ')}, but {given} is given"


def _given(value: Any) -> str:
    """A value as the user wrote it: in YAML's words."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return "a mapping" if isinstance(value, dict) else repr(value)
