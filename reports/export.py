"""results.json: everything that the report knows, as numbers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from reports.analysis import Analysis, VariantResult
from reports.caveats import find_caveats
from reports.export_numbers import effect_values, front_values, size_and_speed
from reports.reference.compare import compare_published, published_values
from reports.report import Report
from reports.results import TrialResult
from reports.stats import CONFIDENCE
from reports.store import compact_pieces, input_values
from reports.text import utc
from reports.variants import axes_of

RESULTS_SCHEMA_VERSION = 2
RESULT_FIELDS = (
    "val_top1", "val_top1_cls", "val_top1_dist", "val_ema_top1", "val_top5", "val_loss",
    "train_loss", "val_images", "train_images", "epochs", "steps", "parameters",
    "unreadable_images", "cohort_size", "train_s",
)  # fmt: skip
"""Fields of a SummaryRecord that are exported; empty (CSV) or null (JSON) without a result."""


def json_values(report: Report) -> dict[str, Any]:
    """Everything the report knows; accuracies in percent, differences in percentage points.

    `input` and `options` are all that the rest is made from (`reports.store`).
    """
    context = report.context
    sweep, analysis, plan = context.sweep, context.analysis, context.sweep.plan
    measured = size_and_speed(analysis)
    return {
        "schema_version": RESULTS_SCHEMA_VERSION,
        "sweep": plan.sweep,
        "sweep_hash": plan.sweep_hash,
        "generated_utc": context.generated,
        "options": asdict(context.options),
        "answer": list(context.answer),
        "caveats": [asdict(caveat) for caveat in find_caveats(sweep, analysis)],
        "axes": list(axes_of(sweep)),
        "statistics": _statistics(analysis),
        "variants": [
            _variant(analysis, row) | measured[row.variant.group_id] for row in analysis.ranked
        ],
        "effects": [asdict(effect) for effect in analysis.effects],
        **effect_values(analysis),
        "pareto": front_values(analysis),
        "trials": [
            trial_values(trial) | {"swept": dict(trial.planned.swept)} for trial in sweep.trials
        ],
        "published": published_values(compare_published(sweep, analysis)),
        "input": input_values(sweep),
    }


def _statistics(analysis: Analysis) -> dict[str, Any]:
    spread = analysis.spread
    return {
        "confidence": CONFIDENCE,
        "pooled": spread.pooled,
        "pooled_sd": spread.sd,
        "df": spread.df,
        "bartlett_p": spread.bartlett_p,
        "comparisons_tested": analysis.tested,
        "simultaneous_critical_value": analysis.critical,
        "baseline": dict(analysis.baseline.selector),
        "baseline_group_ids": list(analysis.baseline.groups),
    }


def _variant(analysis: Analysis, row: VariantResult) -> dict[str, Any]:
    comparison = analysis.comparisons.get(row.variant.group_id)
    return {
        "group_id": row.variant.group_id,
        "label": row.variant.label,
        "swept": dict(row.variant.swept),
        "planned": len(row.variant.trials),
        "finished": row.n,
        "val_top1_by_seed": {str(seed): value for seed, value in row.values.items()},
        "mean": row.mean,
        "sd": row.sd,
        "interval": asdict(row.interval) if row.interval else None,
        "comparison": asdict(comparison) if comparison else None,
    }


def trial_values(trial: TrialResult) -> dict[str, Any]:
    """What results.json and results.csv say of one trial."""
    planned, result = trial.planned, trial.result
    finished = result.finished_unix_s if result else None
    return {
        "trial_id": planned.trial_id,
        "group_id": planned.group_id,
        "name": planned.name,
        "role": planned.role,
        "seed": planned.seed,
        "state": trial.state,
        **{field: getattr(result, field, None) for field in RESULT_FIELDS},
        "attempt": trial.status.attempt if trial.status else None,
        "finished_utc": utc(finished) if finished is not None else None,
        "reason": trial.reason,
    }


def json_text(report: Report) -> str:
    """`json_values` as text; a number that is not finite would be an error."""
    return json_bytes(report).decode()


def json_bytes(report: Report) -> bytearray:
    """The same as UTF-8; of a large sweep, so much that there is never a second copy of it."""
    data = bytearray()
    for piece in compact_pieces(json_values(report)):
        data += piece.encode()
    data += b"\n"
    return data
