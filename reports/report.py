"""The report as a document: its sections in reading order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from reports.analysis import Analysis, analyse
from reports.answer import answer
from reports.context import Context, Options
from reports.document import Figure, Section, Table, figures_of, tables_of
from reports.results import SweepResults
from reports.sections.agreement import agreement_section
from reports.sections.answer import answer_section, caveats_section
from reports.sections.batch_sweep import throughput_section
from reports.sections.cost import cost_section
from reports.sections.curves import curves_section
from reports.sections.effects import effects_section
from reports.sections.heads import heads_section
from reports.sections.method import method_section, provenance_section
from reports.sections.pareto import pareto_section
from reports.sections.reference import reference_section
from reports.sections.search import search_section
from reports.sections.trials import failures_section, trials_section
from reports.sections.variants import seeds_section, variants_section
from reports.stats import sampling_half_width
from reports.text import Rounding, utc

SECTIONS: tuple[Callable[[Context], Section | None], ...] = (
    answer_section,
    caveats_section,
    variants_section,
    seeds_section,
    pareto_section,
    effects_section,
    search_section,
    curves_section,
    heads_section,
    agreement_section,
    throughput_section,
    reference_section,
    failures_section,
    trials_section,
    cost_section,
    method_section,
    provenance_section,
)
"""In reading order. Each says None where it has nothing to say."""
_WITHOUT_TRIALS = (answer_section, failures_section, trials_section, provenance_section)
"""What there is to say of a sweep whose plan lists nothing to compare."""


@dataclass(frozen=True)
class Report:
    """What every renderer prints."""

    title: str
    description: str
    sections: tuple[Section, ...]
    context: Context

    @property
    def generated(self) -> str:
        """What the report is dated with, ISO 8601 UTC."""
        return self.context.generated

    @property
    def progress(self) -> str:
        """How much of what was planned has a result; nothing for a single run."""
        sweep = self.context.sweep
        if sweep.single_run:
            return ""
        finished = sum(trial.result is not None for trial in sweep.students)
        return f"{finished:,} of {len(sweep.students):,} trials have a result."

    @property
    def files(self) -> tuple[str, ...]:
        """Files beside the page that hold the same numbers."""
        return ("results.csv", "results.json", "report.md")

    @property
    def figures(self) -> list[Figure]:
        """All figures, in reading order."""
        return figures_of(self.sections)

    @property
    def tables(self) -> list[Table]:
        """All tables with a name, in reading order."""
        return tables_of(self.sections)


def compile_report(sweep: SweepResults, options: Options | None = None) -> Report:
    """Compute the whole report; nothing is read or written.

    Raises:
        ReportError: `options.baseline` does not name variants of this sweep.
    """
    options = options or Options()
    analysis = analyse(sweep, options.baseline)
    rounding = _rounding(sweep, analysis)
    context = Context(
        sweep=sweep,
        analysis=analysis,
        rounding=rounding,
        options=options,
        generated=_generated(sweep, options.source_date_epoch),
        answer=answer(sweep, analysis, rounding),
    )
    wanted = SECTIONS if sweep.students else _WITHOUT_TRIALS
    sections = tuple(section for make in wanted if (section := make(context)) is not None)
    return Report(_title(sweep), sweep.plan.description, sections, context)


def _title(sweep: SweepResults) -> str:
    """What it is about; of a sweep that goes on, also how far it has come."""
    if sweep.single_run:
        state = sweep.students[0].state
        return f"Report of the run {sweep.plan.sweep}" + (f" ({state})" * bool(sweep.unfinished))
    ended = len(sweep.trials) - sweep.unfinished
    partial = f" (partial: {ended:,} of {len(sweep.trials):,} trials have ended)"
    return f"Report of the sweep {sweep.plan.sweep}" + partial * bool(sweep.unfinished)


def _rounding(sweep: SweepResults, analysis: Analysis) -> Rounding:
    """By the narrowest interval; by the sampling error of the val images where there is none."""
    intervals = [row.interval for row in analysis.results.values() if row.interval]
    if intervals:
        return Rounding.from_uncertainty([interval.half_width for interval in intervals])
    results = [trial.result for trial in sweep.students if trial.result]
    return Rounding.from_uncertainty(
        [
            sampling_half_width(r.val_top1, r.val_images)
            for r in results
            if r.val_top1 is not None and r.val_images is not None
        ]
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
