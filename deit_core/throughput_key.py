"""What the speed of a run depends on, as one key. Torch-free.

Runs with equal keys do equal work per image on equal hardware, so one measurement stands for all of
them: the seeds of a variant, and variants that differ only in rates, weights or losses' weights.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from deit_core.config import ModelConfig, RunConfig, TeacherConfig
from deit_core.identity import canonical

KEY_VERSION = 1
"""Raised when a key comes to mean something else: old measurements are made again."""

KEY_LENGTH = 12
"""Hex digits."""

_WITHOUT_WORK = ("drop_rate", "drop_path_rate", "init", "init_scale", "pos_embed_std")
"""Values of the model that change no shape and no operation; whether the two rates are 0 does."""


def throughput_key(
    config: RunConfig, teacher: RunConfig | None = None, *, with_data: bool = False
) -> str:
    """A hash over all of a config that its speed depends on, batch size excepted.

    In it: the model's geometry, classes and image size, whether dropout and stochastic depth are
    on, precision, compilation, device and threads, what a training step does (optimiser, clipping,
    EMA, kind of losses), and the teacher's architecture. Not in it: the seed, initial weights, the
    values of rates and weights, the schedule, and the batch, which the measurement sets itself.

    Args:
        config: the run's.
        teacher: the config of the trial that the teacher comes from, where it comes from one;
            without it, that trial's id takes its place.
        with_data: whether speed with the data loader is measured: data and augmentation count too.
    """
    config = canonical(config)
    values: dict[str, Any] = {
        "version": KEY_VERSION,
        "model": _model_values(config.model),
        "train": {
            key: getattr(config.train, key)
            for key in ("precision", "compile", "loss", "device", "threads")
        },
        "ema": config.train.ema_decay is not None,
        "optimizer": config.optim.name,
        "momentum": config.optim.momentum > 0,
        "clips": config.optim.clip_grad_norm is not None,
        "distillation": [config.distill.kind, config.distill.token],
        "eval_mode": config.finetune is not None and config.finetune.eval_mode,
        "teacher": _teacher_values(config.teacher, teacher),
    }
    if config.model.num_classes is None:  # only the data knows
        values["root"] = [config.data.source, config.data.root, config.data.category]
    if with_data:
        values["data"] = config.data.model_dump(mode="json")
        values["augment"] = config.augment.model_dump(mode="json", exclude={"strength"})
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


def _model_values(model: ModelConfig) -> dict[str, Any]:
    values = model.model_dump(mode="json", exclude=set(_WITHOUT_WORK))
    values["drops"] = [bool(model.drop_rate), bool(model.drop_path_rate)]
    return values


def _teacher_values(teacher: TeacherConfig | None, trained: RunConfig | None) -> dict[str, Any]:
    if teacher is None:
        return {}
    values: dict[str, Any] = {"channels_last": teacher.channels_last}
    if teacher.trial is None:  # the weights' file does not matter, but pretrained ones take colour
        kept = {"name", "kwargs", "pretrained"}
        return values | teacher.model_dump(mode="json", include=kept)
    if trained is None:
        return values | {"trial": teacher.trial}
    return values | {"model": _model_values(canonical(trained).model)}
