"""What a trial can be judged by: names, which way is better, and where the number comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deit_core.config import RunConfig
from deit_core.flops import FLOPS_PER_MAC, student_cost
from deit_core.records import SummaryRecord
from launcher.search.config import Direction

ACCURACIES = (
    "val_top1",
    "val_top5",
    "val_top1_cls",
    "val_top1_dist",
    "val_ema_top1",
    "val_real_top1",
    "val_v2_top1",
)
"""In percent, of the last evaluation."""

METRICS: Mapping[str, Direction] = {
    **dict.fromkeys(ACCURACIES, "maximize"),
    "val_loss": "minimize",
    "train_loss": "minimize",
    "train_images_per_s": "maximize",
    "train_s": "minimize",
    "parameters": "minimize",
    "gflops": "minimize",
}
"""Every metric of a finished trial and which way it is better."""

THROUGHPUT = frozenset({"train_images_per_s", "train_s"})
"""Measured while training, so they say nothing of a trial that shares its job."""

EVALUATED = frozenset({"val_top1", "val_top5", "val_loss", "val_top1_cls", "val_top1_dist",
                       "val_ema_top1", "train_loss"})  # fmt: skip
"""Metrics that every evaluation of a run reports."""


def value_of(metric: str, config: RunConfig, summary: SummaryRecord) -> float | None:
    """A metric of a finished trial; None where the trial does not have it.

    `train_images_per_s`: images of all steps by the seconds they took, over all attempts.
    `gflops`: billions of floating-point operations of one image's forward pass, two for each
    multiply-add.
    """
    if metric == "train_images_per_s":
        images = summary.steps * config.train.global_batch_size
        if summary.cohort_size > 1:
            return None  # its own speed was not measured
        return images / summary.train_s if summary.train_s > 0 else None
    if metric == "gflops":
        cost = student_cost(config, summary.num_classes)
        return None if cost is None else 1e-9 * FLOPS_PER_MAC * cost.macs
    value: Any = getattr(summary, metric)
    return None if value is None else float(value)


DECIDED_BY: Mapping[str, str] = {
    "val_top1_dist": "distill.kind",
    "val_ema_top1": "train.ema_decay",
    "val_real_top1": "eval.real_labels",
    "val_v2_top1": "eval.imagenet_v2",
}
"""The fields that decide whether a trial has a metric at all."""


def missing_metric(metric: str, config: RunConfig) -> str | None:
    """Why trials of this config will not report a metric; None where they will."""
    if metric == "val_top1_dist" and config.distill.kind == "none":
        return "there is no distillation head where distill.kind is none"
    if metric == "val_ema_top1" and config.train.ema_decay is None:
        return "there is no average of weights where train.ema_decay is null"
    if metric == "val_real_top1" and config.eval.real_labels is None:
        return "it needs eval.real_labels"
    if metric == "val_v2_top1" and config.eval.imagenet_v2 is None:
        return "it needs eval.imagenet_v2"
    return None
