"""The report as data: what every renderer prints, in reading order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reports.analysis import Analysis, analyse
from reports.answer import answer
from reports.caveats import Caveat, find_caveats
from reports.figures import AccuracyPlot, accuracy_plot
from reports.load import SweepResults
from reports.method import how_to_read, legend
from reports.provenance import provenance
from reports.stats import sampling_half_width
from reports.table import (
    Table,
    comparison_table,
    effect_table,
    failure_table,
    main_table,
    seed_table,
    trial_table,
)
from reports.text import Rounding, utc


@dataclass(frozen=True)
class Report:
    """Sections in reading order."""

    title: str
    generated: str
    """ISO 8601 UTC: SOURCE_DATE_EPOCH, else when the newest trial ended, else the plan's time."""
    answer: tuple[str, ...]
    caveats: tuple[Caveat, ...]
    main: Table
    effects: Table | None
    legend: tuple[str, ...]
    plot: AccuracyPlot | None
    """None for a single run: one point shows nothing."""
    seeds: Table
    comparisons: Table | None
    failures: Table | None
    trials: Table
    method: tuple[str, ...]
    provenance: tuple[tuple[str, str], ...]
    sweep_yaml: str | None
    analysis: Analysis
    sweep: SweepResults


def compile_report(
    sweep: SweepResults,
    output: Path,
    *,
    baseline: str | None = None,
    source_date_epoch: int | None = None,
) -> Report:
    """Compute the whole report; nothing is written.

    Args:
        sweep: what was read.
        output: folder the report will lie in; links to run directories are relative to it.
        baseline: the user's choice, such as `kind=none`.
        source_date_epoch: Unix seconds to date the report with instead of the newest result.

    Raises:
        ReportError: `baseline` does not name variants of this sweep.
    """
    analysis = analyse(sweep, baseline)
    rounding = _rounding(sweep, analysis)
    sentences = answer(sweep, analysis, rounding)
    return Report(
        title=f"Report of the {'run' if sweep.single_run else 'sweep'} {sweep.plan.sweep}",
        generated=_generated(sweep, source_date_epoch),
        answer=sentences,
        caveats=find_caveats(sweep, analysis),
        main=main_table(analysis, rounding),
        effects=effect_table(analysis, rounding),
        legend=legend(sweep, analysis),
        plot=None if sweep.single_run else accuracy_plot(analysis, " ".join(sentences[:2])),
        seeds=seed_table(analysis, rounding),
        comparisons=comparison_table(analysis, rounding),
        failures=failure_table(sweep, output),
        trials=trial_table(sweep, output),
        method=how_to_read(sweep, analysis, rounding),
        provenance=provenance(sweep),
        sweep_yaml=sweep.sweep_yaml,
        analysis=analysis,
        sweep=sweep,
    )


def _rounding(sweep: SweepResults, analysis: Analysis) -> Rounding:
    """By the narrowest interval; by the sampling error of the val images where there is none."""
    intervals = [row.interval for row in analysis.results.values() if row.interval]
    if intervals:
        return Rounding.from_uncertainty([interval.half_width for interval in intervals])
    results = [trial.result for trial in sweep.students if trial.result]
    return Rounding.from_uncertainty(
        [sampling_half_width(r.val_top1, r.val_images) for r in results if r.val_top1 is not None]
    )


def _generated(sweep: SweepResults, source_date_epoch: int | None) -> str:
    if source_date_epoch is not None:
        return utc(source_date_epoch)
    ended = [
        time
        for trial in sweep.trials
        for time in (
            trial.summary.finished_unix_s if trial.summary else None,
            trial.status.finished_unix_s if trial.status else None,
        )
        if time
    ]
    return utc(max(ended)) if ended else sweep.plan.created_utc
