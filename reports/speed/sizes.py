"""How large each variant's model is, measured or not. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deit_core.config import RunConfig
from deit_core.flops import student_cost
from deit_core.identity import resolve
from reports.speed.throughput import Speeds
from reports.variants import Variant


@dataclass(frozen=True)
class ModelSize:
    """Parameters, and work for one image; what is not known is null."""

    parameters: int | None
    macs: float | None
    """Multiply-accumulates of one forward pass at `img_size`; FLOPs are twice as many."""
    img_size: int | None
    """Side of the square images, in pixels."""


def sizes_of(variants: Sequence[Variant], speeds: Speeds) -> Mapping[str, ModelSize]:
    """The size of each variant by group id.

    As the throughput measurement found it; without one, parameters as a trained run counted them
    and MACs by formula (`deit_core.flops`), which knows no model that is timm's own.
    """
    formulas: dict[tuple[str, int | None], tuple[float | None, int | None]] = {}
    return {v.group_id: _size(v, speeds, formulas) for v in variants}


def _size(
    variant: Variant,
    speeds: Speeds,
    formulas: dict[tuple[str, int | None], tuple[float | None, int | None]],
) -> ModelSize:
    speed = speeds.of.get(variant.group_id)
    if speed is not None and speed.record.macs_per_image is not None:
        record = speed.record
        return ModelSize(record.parameters, record.macs_per_image, record.img_size)
    summary = next((trial.summary for trial in variant.trials if trial.summary), None)
    config = next((trial.config for trial in variant.trials if trial.config), None)
    parameters = summary.parameters if summary else None
    if config is None:
        return ModelSize(parameters, None, None)
    classes = summary.num_classes if summary else None
    key = (config.model.model_dump_json() + config.data.source, classes)
    if key not in formulas:
        formulas[key] = _by_formula(config, classes)
    return ModelSize(parameters, *formulas[key])


def _by_formula(config: RunConfig, classes: int | None) -> tuple[float | None, int | None]:
    cost = student_cost(config, classes)
    return (round(cost.macs) if cost else None), resolve(config).model.img_size
