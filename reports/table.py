"""Tables as data: what the HTML, Markdown and terminal renderers share."""

from __future__ import annotations

from collections.abc import Sequence

from reports.analysis import Analysis, Comparison, Effect
from reports.document import Cell, Column, Table
from reports.main_table import HEADS, MOST_ROWS
from reports.results import SweepResults, TrialResult
from reports.same_images import SeedComparison, compare_images
from reports.text import NOTHING, Rounding, duration


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


def same_images_table(analysis: Analysis) -> Table | None:
    """Single seeds against their baseline, image by image; None where no records allow it."""
    rows = []
    for result in analysis.ranked:
        comparison = analysis.comparisons.get(result.variant.group_id)
        if comparison is None or comparison.interval is not None:
            continue
        base = analysis.results[comparison.baseline_id].variant
        for one in compare_images(result.variant, base).seeds:
            rows.append(_same_images_row(result.variant.label, base.label, one))
    if not rows:
        return None
    titles = (
        "variant", "compared with", "seed", "difference", "95 % interval", "only the variant right",
        "only the other right", "McNemar p",
    )  # fmt: skip
    columns = tuple(Column(title, number > 1) for number, title in enumerate(titles))
    caption = "Single seeds on the same val images: two checkpoints, not two methods"
    return Table(caption, columns, tuple(rows[:MOST_ROWS]), row_headers=2, name="same_images")


def _same_images_row(label: str, base: str, one: SeedComparison) -> tuple[Cell, ...]:
    test = one.test
    shown = Rounding.from_uncertainty([test.interval.half_width])
    return (
        Cell(label),
        Cell(base),
        Cell(str(one.seed), value=one.seed),
        Cell(shown.signed(test.difference), value=test.difference),
        Cell(shown.span(test.interval), value=test.interval.low),
        Cell(f"{test.only_first:,}", value=test.only_first),
        Cell(f"{test.only_second:,}", value=test.only_second),
        Cell(f"{one.adjusted_p:.2g}", value=one.adjusted_p),
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
        Cell(duration(result.train_s) if result and result.train_s is not None else NOTHING),
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
