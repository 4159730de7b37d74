"""Tables as data: what the HTML, Markdown and terminal renderers share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from reports.analysis import Analysis, Comparison, Effect, VariantResult
from reports.document import Cell, Column, Table
from reports.results import SweepResults, TrialResult
from reports.stats import mean
from reports.text import NOTHING, Rounding, duration
from reports.variants import short_names, value_text

_Reader = Callable[[VariantResult], str]
HEADS = {
    "val_top1_cls": "class head",
    "val_top1_dist": "distillation head",
    "val_ema_top1": "EMA",
}
"""Further accuracies of a summary, and what they are called."""


def main_table(analysis: Analysis, rounding: Rounding) -> Table:
    """One row per variant, best mean first, the best of several in bold."""
    names = short_names(tuple(analysis.variants[0].swept))
    readers: list[tuple[Column, _Reader]]
    readers = [(Column(name, filters=True), _swept(axis)) for axis, name in names.items()]
    if not readers:
        readers = [(Column("variant"), lambda row: row.variant.label)]
    row_headers = len(readers)
    readers += [
        (Column("finished", True), lambda row: f"{row.n}/{len(row.variant.trials)}"),
        (Column("top-1", True), lambda row: rounding.with_error(row.mean, row.interval)),
    ]
    if any(row.sd is not None for row in analysis.results.values()):
        readers.append((Column("seed sd", True), lambda row: rounding.plain(row.sd)))
    if analysis.comparisons:
        readers += _comparison_columns(analysis, rounding)
    for field, title in HEADS.items():
        if any(row.variant.seed_values(field) for row in analysis.results.values()):
            readers.append((Column(title, True), _head(field, rounding)))
    best = analysis.best if len(analysis.variants) > 1 else None
    rows = tuple(
        tuple(Cell(read(row), strong=row is best) for _, read in readers) for row in analysis.ranked
    )
    columns = tuple(column for column, _ in readers)
    caption = (
        "Variants, best mean first"
        if len(analysis.variants) > 1
        else "Accuracy after the last epoch"
    )
    return Table(caption, columns, rows, row_headers, name="variants")


def _swept(axis: str) -> _Reader:
    def read(row: VariantResult) -> str:
        value = row.variant.swept[axis]
        return NOTHING if value is None else value_text(value)

    return read


def _head(field: str, rounding: Rounding) -> _Reader:
    def read(row: VariantResult) -> str:
        values = list(row.variant.seed_values(field).values())
        return rounding.plain(mean(values) if values else None)

    return read


def _comparison_columns(analysis: Analysis, rounding: Rounding) -> list[tuple[Column, _Reader]]:
    def show(read: Callable[[Comparison], str]) -> _Reader:
        def cell(row: VariantResult) -> str:
            comparison = analysis.comparisons.get(row.variant.group_id)
            return "" if comparison is None else read(comparison)

        return cell

    def verdict(row: VariantResult) -> str:
        if row.variant.group_id in analysis.baseline.groups:
            return "baseline"
        comparison = analysis.comparisons.get(row.variant.group_id)
        return comparison.verdict if comparison else "not tested"

    return [
        (Column("difference", True), show(lambda c: rounding.signed(c.delta))),
        (
            Column("95 % interval", True),
            show(lambda c: rounding.span(c.interval) if c.interval else NOTHING),
        ),
        (Column("verdict"), verdict),
    ]


def comparison_table(analysis: Analysis, rounding: Rounding) -> Table | None:
    """Who was compared with whom, seed by seed; None where nothing was compared."""
    if not analysis.comparisons:
        return None
    names = ("variant", "compared with")
    numbers = ("difference", "paired difference", "paired 95 % interval", "shared seeds")
    rows = []
    for result in analysis.ranked:
        comparison = analysis.comparisons.get(result.variant.group_id)
        if comparison is not None:
            rows.append(_comparison_row(analysis, comparison, rounding))
    return Table(
        "Differences at equal seeds, in percentage points",
        tuple(Column(title, title in numbers) for title in (*names, *numbers)),
        tuple(rows),
        name="seed_by_seed",
    )


def _comparison_row(
    analysis: Analysis, comparison: Comparison, rounding: Rounding
) -> tuple[Cell, ...]:
    pair = comparison.paired
    texts = (
        analysis.results[comparison.group_id].variant.label,
        analysis.results[comparison.baseline_id].variant.label,
        rounding.signed(comparison.delta),
        rounding.signed(pair.mean) if pair else NOTHING,
        rounding.span(pair.interval) if pair and pair.interval else NOTHING,
        str(pair.seeds if pair else 0),
    )
    return tuple(Cell(text) for text in texts)


def effect_table(analysis: Analysis, rounding: Rounding) -> Table | None:
    """Kinds of distillation averaged over settings; None where there is one setting only."""
    if all(effect.settings == 1 for effect in analysis.effects):
        return None
    titles = ("kind", "against", "difference", "95 % interval", "verdict", "comparisons averaged")
    numeric = {"difference", "95 % interval", "comparisons averaged"}
    rows = tuple(_effect_row(effect, rounding) for effect in analysis.effects)
    return Table(
        "Kinds of distillation, averaged over the other swept fields, in percentage points",
        tuple(Column(title, title in numeric) for title in titles),
        rows,
        name="kinds",
    )


def _effect_row(effect: Effect, rounding: Rounding) -> tuple[Cell, ...]:
    rounding = rounding.finer(effect.interval)
    texts = (
        effect.kind,
        effect.against,
        rounding.signed(effect.delta),
        rounding.span(effect.interval) if effect.interval else NOTHING,
        effect.verdict,
        str(effect.settings),
    )
    return tuple(Cell(text) for text in texts)


def seed_table(analysis: Analysis, rounding: Rounding) -> Table:
    """The numbers of the accuracy plot: one column per seed."""
    seeds = sorted({t.planned.seed for v in analysis.variants for t in v.trials})
    rows = []
    for row in analysis.ranked:
        by_seed = {trial.planned.seed: trial for trial in row.variant.trials}
        cells = [row.variant.label, rounding.with_error(row.mean, row.interval)]
        cells += [_seed_text(by_seed.get(seed), rounding) for seed in seeds]
        rows.append(tuple(Cell(text) for text in cells))
    columns = [Column("variant"), Column("mean (± 95 %)", True)]
    columns += [Column(f"seed {seed}", True) for seed in seeds]
    return Table("Top-1 % of every seed", tuple(columns), tuple(rows), name="seeds")


def _seed_text(trial: TrialResult | None, rounding: Rounding) -> str:
    if trial is None:
        return ""
    return rounding.plain(trial.result.val_top1) if trial.result else trial.state


def trial_table(sweep: SweepResults) -> Table:
    """Every planned trial, with its run directory as seen from the report's folder."""
    heads = [
        field
        for field in HEADS
        if any(t.result and getattr(t.result, field) is not None for t in sweep.trials)
    ]
    columns = [
        Column("trial"), Column("run directory"), Column("seed", True), Column("state"),
        Column("top-1", True), *(Column(HEADS[field], True) for field in heads),
        Column("val loss", True), Column("training", True), Column("attempts", True),
    ]  # fmt: skip
    rows = tuple(_trial_row(sweep, trial, heads) for trial in sweep.trials)
    return Table("Every planned trial, in plan order", tuple(columns), rows, name="trials")


def _trial_row(sweep: SweepResults, trial: TrialResult, heads: Sequence[str]) -> tuple[Cell, ...]:
    planned, result = trial.planned, trial.result
    accuracies = [getattr(result, field, None) for field in ("val_top1", *heads)]
    loss = result.val_loss if result else None
    return (
        Cell(planned.name),
        Cell(planned.trial_id, href=sweep.link(trial)),
        Cell(str(planned.seed)),
        Cell(trial.state),
        *(Cell(NOTHING if value is None else f"{value:.2f}") for value in accuracies),
        Cell(NOTHING if loss is None else f"{loss:.4f}"),
        Cell(duration(result.train_s) if result else NOTHING),
        Cell(str(trial.status.attempt) if trial.status else NOTHING),
    )


def failure_table(sweep: SweepResults) -> Table | None:
    """Trials without a result and why; None where all have one."""
    without = [trial for trial in sweep.trials if trial.result is None]
    if not without:
        return None
    rows = tuple(
        (
            Cell(trial.planned.name),
            Cell(trial.planned.trial_id, href=sweep.link(trial)),
            Cell(trial.state),
            Cell(trial.reason or ""),
        )
        for trial in without
    )
    columns = (Column("trial"), Column("run directory"), Column("state"), Column("reason"))
    return Table("Trials without a result", columns, rows, name="failures")
