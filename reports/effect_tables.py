"""Effects, interactions and one-change lists as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reports.analysis import Analysis
from reports.document import Cell, Column, Figure, Table
from reports.effects import AxisEffects, Change, PairInteractions, level_text
from reports.figures.grid import GridPlot
from reports.settings import same_value
from reports.stats import AxisEffect, Interval, levels_of
from reports.text import NOTHING, Rounding
from reports.variants import short_names


def effect_title(level: Any) -> str:
    """A level in a sentence or a row."""
    return level_text(level)


def axis_table(axes: Sequence[AxisEffects], rounding: Rounding) -> Table:
    """Every level of every field against its reference level."""
    columns = (
        Column("field", filters=True), Column("level"), Column("against"),
        Column("difference", True), Column("95 % interval", True), Column("verdict"),
        Column("settings averaged", True),
    )  # fmt: skip
    rows = [_axis_row(axis, effect, rounding) for axis in axes for effect in axis.effects]
    caption = "Effect of each swept field on top-1, in percentage points"
    return Table(caption, columns, tuple(rows), row_headers=2, name="effects")


def _axis_row(axis: AxisEffects, effect: AxisEffect, rounding: Rounding) -> tuple[Cell, ...]:
    return (
        Cell(axis.name),
        Cell(level_text(effect.level)),
        Cell(level_text(effect.reference)),
        *_difference(effect.delta, effect.interval, rounding),
        Cell(effect.verdict),
        Cell(str(effect.settings), value=effect.settings),
    )


def _difference(delta: float, interval: Interval | None, rounding: Rounding) -> tuple[Cell, Cell]:
    finer = rounding.finer(interval)
    span = Cell(finer.span(interval), value=interval.low) if interval else Cell(NOTHING)
    return Cell(finer.signed(delta), value=delta), span


def interaction_table(pairs: Sequence[PairInteractions], rounding: Rounding) -> Table:
    """What two changes do beyond the sum of both."""
    rows = []
    for pair in pairs:
        for one in pair.found:
            levels = [
                f"{name}={level_text(level)} (against {level_text(reference)})"
                for name, level, reference in zip(
                    pair.names, one.levels, one.references, strict=True
                )
            ]
            rows.append(
                (
                    *(Cell(level) for level in levels),
                    *_difference(one.delta, one.interval, rounding),
                    Cell(one.verdict),
                    Cell(str(one.settings), value=one.settings),
                )
            )
    columns = (
        Column("one change"), Column("with another"), Column("beyond the sum", True),
        Column("95 % interval", True), Column("verdict"), Column("settings averaged", True),
    )  # fmt: skip
    caption = "Interactions: what two changes do together beyond the sum, in percentage points"
    return Table(caption, columns, tuple(rows), row_headers=2, name="interactions")


def grid_figure(axes: Sequence[AxisEffects], analysis: Analysis, rounding: Rounding) -> Figure:
    """The means of a sweep over two fields, as a shaded grid."""
    down, across = axes
    swept = {variant.group_id: variant.swept for variant in analysis.variants}
    levels = [levels_of(swept, axis.axis) for axis in (down, across)]
    cells = {
        (same_value(v.swept[down.axis]), same_value(v.swept[across.axis])): v.group_id
        for v in analysis.variants
    }
    rows = [
        [analysis.results.get(cells.get((same_value(y), same_value(x)), "")) for x in levels[1]]
        for y in levels[0]
    ]
    means = tuple(tuple(row.mean if row else None for row in line) for line in rows)
    texts = tuple(
        tuple(
            f"{rounding.with_error(row.mean, row.interval)} (n={row.n})"
            if row and row.mean is not None
            else NOTHING
            for row in line
        )
        for line in rows
    )
    names = [[level_text(level) for level in own] for own in levels]
    plain = tuple(tuple(rounding.plain(mean) for mean in line) for line in means)
    plot = GridPlot(across.name, down.name, tuple(names[1]), tuple(names[0]), means, plain)
    columns = [Column(down.name), *(Column(f"{across.name}={name}", True) for name in names[1])]
    table_rows = tuple(
        (Cell(name), *(Cell(text, value=mean) for text, mean in zip(line, own, strict=True)))
        for name, line, own in zip(names[0], texts, means, strict=True)
    )
    caption = f"Mean top-1 % of every pair of {down.name} and {across.name}"
    table = Table(f"{caption} (± 95 %)", tuple(columns), table_rows, name="grid")
    known = [mean for line in means for mean in line if mean is not None]
    description = (
        f"{caption}: {rounding.plain(min(known))} to {rounding.plain(max(known))} over "
        f"{len(known)} of {len(names[0]) * len(names[1])} pairs."
    )
    return Figure("grid", caption, description, "Deeper: higher mean.", plot, table)


def ablation_table(changes: Sequence[Change], analysis: Analysis, rounding: Rounding) -> Table:
    """The baseline, then one change a row; the changed value is in bold."""
    names = short_names(tuple(analysis.variants[0].swept))
    columns = [Column(name) for name in names.values()]
    columns += [Column("top-1 (± 95 %)", True), Column("n", True), Column("difference", True)]
    columns += [Column("95 % interval", True), Column("verdict")]
    rows = tuple(_ablation_row(change, analysis, rounding) for change in changes)
    caption = "Ablation: the baseline, and one change from it in each row (in bold)"
    return Table(caption, tuple(columns), rows, row_headers=len(names), name="ablation")


def _ablation_row(change: Change, analysis: Analysis, rounding: Rounding) -> tuple[Cell, ...]:
    row = analysis.results[change.variant.group_id]
    comparison = analysis.comparisons.get(change.variant.group_id)
    ticks = [
        Cell(_tick(value), strong=axis == change.axis)
        for axis, value in change.variant.swept.items()
    ]
    if comparison is not None:
        difference = _difference(comparison.delta, comparison.interval, rounding)
        verdict: str = comparison.verdict
    else:
        difference = Cell(NOTHING), Cell(NOTHING)
        verdict = "baseline" if change.axis is None else "not tested"
    return (
        *ticks,
        Cell(rounding.with_error(row.mean, row.interval), value=row.mean),
        Cell(str(row.n), value=row.n),
        *difference,
        Cell(verdict),
    )


def _tick(value: Any) -> str:
    if isinstance(value, bool):
        return "\N{CHECK MARK}" if value else "\N{MULTIPLICATION X}"
    return NOTHING if value is None else level_text(value)
