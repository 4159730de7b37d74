"""results.csv (one row per planned trial) and summary.csv (one row per variant).

Tidy: comma separated, a point as decimal marker, full precision, times in ISO 8601 UTC, units in
the names of the columns, an empty cell where there is no number. Accuracies in percent.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from deit_core.throughput_records import Quantity, ThroughputRecord
from reports.analysis import VariantResult
from reports.context import Context
from reports.export import RESULT_FIELDS, trial_values
from reports.report import Report
from reports.speed.sizes import ModelSize, sizes_of
from reports.speed.throughput import QUANTITIES, Rate, VariantSpeed, rate_of, speeds_of
from reports.variants import axes_of, value_text

_TAKEN = {"trial_id", "group_id", "name", "role", "seed", "state", "variant", "reason"}
_CONDITIONS = ("device_name", "precision", "threads", "torch")
_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet would run a cell that begins so."""

_IDENTITY = ("trial_id", "group_id", "name", "role", "seed")

Row = dict[str, Any]


def results_csv(report: Report) -> str:
    """One row per planned trial, with or without a result; the teachers' last."""
    sweep = report.context.sweep
    axes = _axis_columns(report)
    measured = any(trial.throughput for trial in sweep.trials)
    rows = []
    for trial in sweep.trials:
        values = trial_values(trial)
        identity = {key: values[key] for key in (*_IDENTITY, "state")}
        swept = {column: trial.planned.swept.get(axis) for axis, column in axes.items()}
        results = {key: values[key] for key in (*RESULT_FIELDS, "attempt")}
        results |= {
            "attempts": len(trial.attempts) or results["attempt"],
            "hostname": trial.env.hostname if trial.env else None,
            "device_name": trial.env.device_name if trial.env else None,
        }
        speed = _record_columns(trial.throughput) if measured else {}
        last = {"finished_utc": values["finished_utc"], "reason": values["reason"]}
        rows.append(identity | swept | results | speed | last)
    return _text(rows)


def summary_csv(report: Report) -> str:
    """One row per variant, best mean first; differences in percentage points."""
    context = report.context
    variants = context.analysis.variants
    axes = _axis_columns(report)
    speeds = speeds_of(variants)
    sizes = sizes_of(variants, speeds)
    rows = []
    for row in context.analysis.ranked:
        group = row.variant.group_id
        swept = {column: row.variant.swept.get(axis) for axis, column in axes.items()}
        rows.append(
            {"group_id": group, "variant": row.variant.label}
            | swept
            | _accuracy(context, row)
            | _size(sizes[group])
            | (_speed(speeds.of.get(group)) if speeds.of else {})
        )
    return _text(rows)


def _axis_columns(report: Report) -> dict[str, str]:
    """Column of each swept field: its dotted name, which no other column can have."""
    return {
        axis: f"swept.{axis}" if axis in _TAKEN or axis in RESULT_FIELDS else axis
        for axis in axes_of(report.context.sweep)
    }


def _accuracy(context: Context, row: VariantResult) -> Row:
    comparison = context.analysis.comparisons.get(row.variant.group_id)
    interval, difference = row.interval, comparison.interval if comparison else None
    is_baseline = row.variant.group_id in context.analysis.baseline.groups
    verdict = "baseline" if is_baseline else comparison.verdict if comparison else "not tested"
    return {
        "planned": len(row.variant.trials),
        "n": row.n,
        "mean": row.mean,
        "sd": row.sd,
        "ci_low": interval.low if interval else None,
        "ci_high": interval.high if interval else None,
        "baseline_group_id": comparison.baseline_id if comparison else None,
        "delta": comparison.delta if comparison else None,
        "delta_low": difference.low if difference else None,
        "delta_high": difference.high if difference else None,
        "verdict": verdict,
    }


def _size(size: ModelSize) -> Row:
    macs = None if size.macs is None else int(size.macs)
    return {"parameters": size.parameters, "macs_per_image": macs, "img_size": size.img_size}


_SHORT: Mapping[Quantity, str] = {
    "inference": "infer", "training": "train", "training_with_data": "train_with_data",
}  # fmt: skip


def _speed(speed: VariantSpeed | None) -> Row:
    """Throughput as the report states it: at the fixed batch size, medians over measurements."""
    rates = speed.rates if speed else {}
    return _rate_columns(rates) | _rest(speed.record if speed else None)


def _record_columns(record: ThroughputRecord | None) -> Row:
    """Throughput as one record has it."""
    rates = {}
    for quantity in QUANTITIES:
        found = record.speed(quantity) if record else None
        rate = rate_of(quantity, found.fixed) if found else None
        if rate is not None:
            rates[quantity] = rate
    return _rate_columns(rates) | _rest(record)


def _rate_columns(rates: Mapping[Quantity, Rate]) -> Row:
    columns: Row = {}
    for quantity, name in _SHORT.items():
        rate = rates.get(quantity)
        columns |= {
            f"{name}_images_per_s": rate.images_per_s if rate else None,
            f"{name}_images_per_s_min": rate.low if rate else None,
            f"{name}_images_per_s_max": rate.high if rate else None,
            f"{name}_batch_size": rate.batch_size if rate else None,
            f"{name}_peak_gib": rate.peak_gib if rate else None,
            f"{name}_mfu": rate.mfu if rate else None,
        }
    return columns


def _rest(record: ThroughputRecord | None) -> Row:
    latency = record.latency if record else None
    inference = record.speed("inference") if record else None
    largest = rate_of("inference", inference.largest) if inference else None
    conditions = record.conditions if record else None
    return {
        "infer_images_per_s_largest": largest.images_per_s if largest else None,
        "infer_largest_batch_size": largest.batch_size if largest else None,
        "latency_p50_ms": latency.p50_ms if latency else None,
        "latency_p90_ms": latency.p90_ms if latency else None,
        "latency_p99_ms": latency.p99_ms if latency else None,
        **{f"bench_{key}": getattr(conditions, key, None) for key in _CONDITIONS},
    }


def _text(rows: Sequence[Row]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    if rows:
        writer.writerow(map(_cell, rows[0]))
    writer.writerows(_line(row.values()) for row in rows)
    return buffer.getvalue()


def _line(values: Iterable[Any]) -> list[str]:
    return [_cell(value) for value in values]


def _cell(value: Any) -> str:
    """A value in full precision; text that a spreadsheet would run gets an apostrophe before it."""
    if value is None:
        return ""
    text = value_text(value)
    if isinstance(value, str) and text.startswith(_FORMULA_SIGNS) and not _is_number(text):
        return f"'{text}"
    return text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
