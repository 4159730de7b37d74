"""What the files of a run must agree on. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator

from deit_core.imported import ImportedRecord
from deit_core.records import PlannedTrial, StatusRecord, SummaryRecord
from deit_core.throughput_records import ThroughputRecord
from reports.curves import Curve

_PERCENT = (
    "val_top1", "val_top5", "val_top1_cls", "val_top1_dist", "val_ema_top1", "val_real_top1",
    "val_v2_top1", "teacher_val_top1",
)  # fmt: skip
_POSITIVE = ("val_images", "train_images", "num_classes", "parameters", "cohort_size")
_SAME = 1e-6
"""Two files that hold one number hold all of its digits."""


def check_summary(
    planned: PlannedTrial, status: StatusRecord, summary: SummaryRecord | None
) -> str | None:
    """Why a run's result cannot be counted, in words; None where it can."""
    if summary is None:
        missing = "the run directory is half deleted: summary.json is missing"
        return missing if status.state == "completed" else None
    if summary.trial_id != planned.trial_id:
        return f"summary.json holds the result of trial {summary.trial_id}"
    if status.state == "completed" and summary.val_top1 is None:
        return "summary.json holds no accuracy"
    for key in _PERCENT:
        value = getattr(summary, key)
        if value is not None and not 0 <= value <= 100:
            return f"summary.json is damaged: {key} is {value:g}, which is no percentage"
    for key in _POSITIVE:
        if getattr(summary, key) < 1:
            return f"summary.json is damaged: {key} is {getattr(summary, key)}"
    for key in ("train_s", "epochs", "steps", "finished_unix_s"):
        if getattr(summary, key) < 0:
            return f"summary.json is damaged: {key} is negative"
    return None


def check_throughput(record: ThroughputRecord) -> str | None:
    """Why a measurement cannot be used, in words; None where it can."""
    points = [
        point
        for speed in record.speeds
        for point in (speed.fixed, speed.largest, *speed.batch_sweep)
        if point is not None
    ]
    for point in points:
        speeds = (point.images_per_s, point.images_per_s_min, point.images_per_s_max)
        if point.batch_size < 1 or any(one is not None and one <= 0 for one in speeds):
            return "a speed or a batch size in it is not positive"
    latency = record.latency
    if latency and min(latency.p50_ms, latency.p90_ms, latency.p99_ms) <= 0:
        return "a latency in it is not positive"
    return None


def check_imported(
    planned: PlannedTrial, status: StatusRecord, imported: ImportedRecord
) -> str | None:
    """Why the result of an imported run cannot be counted, in words; None where it can."""
    summary = imported.summary
    if planned.trial_id not in (imported.trial_id, summary.trial_id):
        return f"imported.json holds the result of trial {imported.trial_id}"
    if status.state == "completed" and summary.val_top1 is None:
        return "imported.json holds no accuracy"
    for key in _PERCENT:
        value = getattr(summary, key)
        if value is not None and not 0 <= value <= 100:
            return f"imported.json is damaged: {key} is {value:g}, which is no percentage"
    for key in ("val_images", "train_images", "num_classes", "parameters"):
        value = getattr(summary, key)
        if value is not None and value < 1:
            return f"imported.json is damaged: {key} is {value}"
    return None


def check_curve(
    status: StatusRecord, summary: SummaryRecord | None, curve: Curve | None, *, there: bool
) -> Iterator[str]:
    """What of a completed run's metrics.jsonl does not go with its result, in words.

    Args:
        status: of the run.
        summary: of the run.
        curve: as read.
        there: whether there is a metrics.jsonl.
    """
    if status.state != "completed" or summary is None or not there:
        return
    steps = curve.column("step") if curve else ()
    if not steps or math.isnan(steps[-1]):
        yield "metrics.jsonl holds no evaluation of the last step"
        return
    if steps[-1] != summary.steps:
        yield f"metrics.jsonl ends at step {steps[-1]:.0f} of {summary.steps}: its curve is cut"
        return
    accuracies = curve.column("val_top1") if curve else ()
    last = accuracies[-1] if accuracies else math.nan
    if summary.val_top1 is not None and not abs(last - summary.val_top1) <= _SAME:
        yield (
            f"metrics.jsonl and summary.json disagree on the last accuracy: {last:.10g} and "
            f"{summary.val_top1:.10g}; the latter is reported"
        )
