"""Learning curves, by epoch and by device time."""

from __future__ import annotations

from collections.abc import Sequence

from reports.context import Context
from reports.document import Block, Cell, Column, Figure, Section, Table
from reports.figures.curves import CurveLine, CurvesPlot
from reports.learning import (
    FRACTIONS,
    MOST_SEEDS,
    VariantCurves,
    choose_variants,
    learning_curves,
    mean_at,
)
from reports.text import NOTHING, Rounding, count

_MARKS = {
    "running": "arrowhead: still running",
    "pruned": "bar: pruned, stopped early on purpose",
    "failed": "cross: failed",
    "stopped": "diamond: stopped, to be gone on with",
}


def curves_section(context: Context) -> Section | None:
    """Val top-1 while training; None where no trial has been evaluated."""
    chosen = choose_variants(context.analysis)
    curves = learning_curves(chosen, context.sweep.trials)
    if not curves:
        return None
    cut = len(context.analysis.variants) - len(chosen)
    blocks: list[Block] = [_by_epoch(curves, cut, context.rounding)]
    by_hours = _by_hours(curves, cut)
    if by_hours is not None:
        blocks.append(by_hours)
    return Section("curves", "Learning curves", tuple(blocks))


def _by_epoch(curves: Sequence[VariantCurves], cut: int, rounding: Rounding) -> Figure:
    lines = tuple(
        CurveLine(one.label, one.by_epoch(), tuple((seed, seed.epochs) for seed in one.seeds))
        for one in curves
    )
    plot = CurvesPlot(lines, "epoch")
    return Figure(
        "curves_by_epoch",
        "Val top-1 by epoch",
        " ".join(filter(None, (_finding(curves, rounding), _cut(curves, cut)))),
        _caption(plot, curves, cut),
        plot,
        _epoch_table(curves, rounding),
    )


def _by_hours(curves: Sequence[VariantCurves], cut: int) -> Figure | None:
    """None where hours are not known, or some trained on GPUs and some did not."""
    units = {one.hours_unit for one in curves}
    unit = units.pop() if len(units) == 1 else None
    bands = [one.by_hours() for one in curves]
    if unit is None:
        return None
    lines = tuple(
        CurveLine(one.label, band, tuple((s, s.hours) for s in one.seeds if s.hours is not None))
        for one, band in zip(curves, bands, strict=True)
        if band is not None
    )
    if not lines:
        return None
    plot = CurvesPlot(lines, unit)
    costs = [f"{one.label}: {_mean_hours(one):.3g}" for one in curves if one.by_hours()]
    what = "one GPU" if unit == "GPU-hours" else "one CPU thread"
    note = (
        f"{unit}: hours of {what} in training steps, evaluation and start-up excluded; trials "
        f"that train side by side share them equally."
    )
    return Figure(
        "curves_by_hours",
        f"Val top-1 by {unit}",
        f"{unit} that a seed took in the mean: {_few(costs, 8)}. {_cut(curves, cut)}".strip(),
        f"{_caption(plot, curves, cut)} {note}",
        plot,
        _hours_table(curves, unit),
    )


def _caption(plot: CurvesPlot, curves: Sequence[VariantCurves], cut: int) -> str:
    most = max(line.band.n for line in plot.lines)
    parts = [
        "Thick: the mean over seeds; shaded: from the lowest seed to the highest; thin: seeds."
    ]
    if most == 1:
        parts = ["One line for each seed."]
    if any(s.end != "completed" for one in curves for s in one.seeds):
        parts.append("Mean and range are of the seeds that completed, where any has.")
    parts += [f"{_MARKS[end][0].upper()}{_MARKS[end][1:]}." for end in sorted(plot.ends)]
    if any(len(one.seeds) > MOST_SEEDS for one in curves):
        parts.append(f"At most {MOST_SEEDS} seeds of a variant have a line of their own.")
    parts.append("The result is the last evaluation, never the highest.")
    return " ".join(filter(None, (*parts, _cut(curves, cut))))


def _cut(curves: Sequence[VariantCurves], cut: int) -> str:
    if cut <= 0:
        return ""
    return (
        f"Drawn are the baseline, if there is one, and the highest means: {len(curves)} of "
        f"{count(len(curves) + cut, 'variant')}."
    )


def _finding(curves: Sequence[VariantCurves], rounding: Rounding) -> str:
    """Where the lines stand half-way and at the end."""
    parts = []
    for one in curves:
        half, end = mean_at(one, 0.5), mean_at(one, 1.0)
        if end is not None:
            before = f" ({rounding.percent(half[0])} half-way)" if half else ""
            parts.append(f"{one.label}: {rounding.percent(end[0])}{before}")
    if not parts:
        return "No drawn variant has reached its end yet."
    return f"Mean val top-1 at the end of the schedule: {_few(parts, 4)}."


def _few(parts: Sequence[str], most: int) -> str:
    """Names hold commas, so that semicolons part them."""
    left = len(parts) - most
    return "; ".join(parts[:most]) + (f"; and {left} more" if left > 0 else "")


def _mean_hours(curves: VariantCurves) -> float:
    hours = [float(seed.hours[-1]) for seed in curves.averaged if seed.hours is not None]
    return sum(hours) / len(hours)


def _epoch_table(curves: Sequence[VariantCurves], rounding: Rounding) -> Table:
    columns = [Column("variant"), Column("seeds", True)]
    for fraction in FRACTIONS:
        columns.append(Column(f"at {100 * fraction:.0f} %", True))
    rows = []
    for one in curves:
        cells = [Cell(one.label), Cell(str(len(one.seeds)), value=float(len(one.seeds)))]
        for fraction in FRACTIONS:
            found = mean_at(one, fraction)
            if found is None:
                cells.append(Cell(NOTHING))
                continue
            value, n = found
            less = f" (n={n})" if n < len(one.seeds) else ""
            cells.append(Cell(f"{rounding.plain(value)}{less}", value=value))
        rows.append(tuple(cells))
    return Table(
        "Mean val top-1 (%) at parts of the schedule",
        tuple(columns),
        tuple(rows),
        name="curves_by_epoch",
    )


def _hours_table(curves: Sequence[VariantCurves], unit: str) -> Table:
    columns = [Column("variant"), Column("seed", True), Column("state"), Column("epochs", True)]
    columns += [Column(unit, True), Column("val top-1 (%)", True)]
    rows = tuple(
        (
            Cell(one.label),
            Cell(str(seed.seed), value=float(seed.seed)),
            Cell(seed.end),
            Cell(f"{seed.epochs[-1]:.4g}", value=float(seed.epochs[-1])),
            Cell(f"{seed.hours[-1]:.3g}", value=float(seed.hours[-1])),
            Cell(f"{seed.top1[-1]:.2f}", value=float(seed.top1[-1])),
        )
        for one in curves
        for seed in one.seeds
        if seed.hours is not None
    )
    title = "Last evaluation of every seed, and what it took to get there"
    return Table(title, tuple(columns), rows, row_headers=2, name="curves_by_hours")
