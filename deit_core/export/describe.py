"""What an exported file says of itself."""

from __future__ import annotations

import json
from typing import Any

from deit_core.data.sources import open_source
from deit_core.errors import DataError, ExportError
from deit_core.finished import FinishedRun
from deit_core.identity import SMALL_IMAGE
from deit_core.records import ExportRecord, Weights
from deit_core.variants import VARIANTS

METADATA_KEY = "deit_sweeps"
"""Under which every format keeps the record, as JSON."""


def describe(finished: FinishedRun, weights: Weights) -> tuple[ExportRecord, str | None]:
    """The record of an export, and why it has no class names where the data is not at hand.

    Raises:
        ExportError: the data has other classes than the run was trained on.
    """
    config, summary = finished.config, finished.summary
    model, data = config.model, config.data
    assert model.img_size is not None
    assert model.in_chans is not None
    assert data.mean is not None
    assert data.std is not None
    names, missing = _class_names(finished)
    record = ExportRecord(
        trial_id=finished.trial.trial_id,
        name=finished.trial.name,
        weights=weights,
        model=_model_section(finished),
        num_classes=summary.num_classes,
        class_names=names,
        in_chans=model.in_chans,
        img_size=model.img_size,
        mean=data.mean,
        std=data.std,
        resize_shorter_side=_resize(finished),
        class_head_only=_has_muted_head(finished),
        output="log_probabilities" if _gives_log_probabilities(finished) else "logits",
        val_top1=summary.val_top1 if weights == "last" else summary.val_ema_top1,
        val_images=summary.val_images,
    )
    return record, missing


def to_json(record: ExportRecord) -> str:
    """The record as it stands in a file."""
    return json.dumps(record.model_dump(mode="json"), ensure_ascii=False)


def _model_section(finished: FinishedRun) -> dict[str, Any]:
    """`finetune` is no part of it: where training started does not matter any more."""
    section = finished.config.model.model_dump(mode="json")
    section["num_classes"] = finished.summary.num_classes
    if not finished.fuses:
        section["fusion"] = "logits"  # see `deit_core.finished.mute_dist_head`
    return section


def _has_muted_head(finished: FinishedRun) -> bool:
    variant = VARIANTS.get(finished.config.model.name)
    return variant is not None and variant.distilled and not finished.fuses


def _gives_log_probabilities(finished: FinishedRun) -> bool:
    return finished.fuses and finished.config.model.fusion == "softmax"


def _resize(finished: FinishedRun) -> int | None:
    """As `deit_core.data.geometry.eval_pixels`."""
    img_size, crop_ratio = finished.config.model.img_size, finished.config.eval.crop_ratio
    assert img_size is not None
    assert crop_ratio is not None
    return None if img_size <= SMALL_IMAGE else int(img_size / crop_ratio)


def _class_names(finished: FinishedRun) -> tuple[tuple[str, ...] | None, str | None]:
    config, count = finished.config, finished.summary.num_classes
    assert config.model.in_chans is not None
    try:
        source = open_source(config.data, in_chans=config.model.in_chans, split="val")
    except DataError as error:
        return None, str(error)
    if len(source.class_names) != count:
        raise ExportError(
            f"{finished.run.path} was trained on {count} classes, but its data now has "
            f"{len(source.class_names)}; put back the data it was trained on"
        )
    return source.class_names, None
