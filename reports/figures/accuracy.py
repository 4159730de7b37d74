"""The accuracy plot: every seed a point, the mean and its interval below them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from reports.analysis import Analysis, VariantResult
from reports.figures.style import GRID, INK, style_of
from reports.stats import Interval
from reports.variants import KIND, Variant, value_text

_ROW_INCHES = 0.42
_DODGE = 0.36
"""Height, in rows, over which the seeds of a variant are spread so that none hides another."""
MOST_ROWS = 40
"""Variants in one picture: more are slow to draw and cannot be read. The tables hold all."""


@dataclass(frozen=True)
class Point:
    """One planned seed; `top1` is null where it has no result."""

    trial_id: str
    seed: int
    top1: float | None
    title: str


@dataclass(frozen=True)
class PlotRow:
    """One variant of the plot."""

    label: str
    points: tuple[Point, ...]
    mean: float | None
    interval: Interval | None
    family: str
    """What colour and marker stand for: the first swept value."""


@dataclass(frozen=True)
class AccuracyPlot:
    """All that is drawn, and the sentences for those who do not see it."""

    rows: tuple[PlotRow, ...]
    families: tuple[str, ...]
    """In plan order, so that a better result does not change the colours."""
    reference: float | None
    """Mean of the baseline, where there is exactly one."""
    title: str
    description: str
    cut: str = ""
    """What is left out, as a sentence; empty where all variants are drawn."""

    def size(self) -> tuple[float, float]:
        """Inches: 5 for the axes, and what the longest label needs at 10 points."""
        longest = max(len(row.label) for row in self.rows)
        return max(8.0, 5.0 + 0.08 * longest), 1.0 + _ROW_INCHES * len(self.rows)

    def paint(self, canvas: Canvas) -> None:
        """Draw every seed as a point, the mean and its interval below them."""
        _draw_axes(canvas.add_subplot(), self)

    def tooltips(self) -> Mapping[str, str]:
        """What is known of a seed."""
        return {f"seed-{point.trial_id}": point.title for row in self.rows for point in row.points}

    @property
    def has_crosses(self) -> bool:
        """Whether a seed has no result."""
        return any(point.top1 is None for row in self.rows for point in row.points)


def accuracy_plot(analysis: Analysis, finding: str) -> AccuracyPlot:
    """The plot's data; `finding` is the sentence it shows."""
    axes = tuple(analysis.variants[0].swept)
    key = KIND if KIND in axes else next(iter(axes), None)
    ranked = analysis.ranked
    rows = tuple(_plot_row(row, key) for row in ranked[:MOST_ROWS])
    families = dict.fromkeys(_family(variant, key) for variant in analysis.variants)
    baselines = analysis.baseline.groups
    alone = len(baselines) == 1 and len(analysis.variants) > 1
    finished = sum(point.top1 is not None for row in rows for point in row.points)
    planned = sum(len(row.points) for row in rows)
    cut = f"The {MOST_ROWS} highest means of {len(ranked)} are drawn; the tables hold all variants."
    if len(ranked) <= MOST_ROWS:
        cut = ""
    return AccuracyPlot(
        rows,
        tuple(families),
        analysis.results[baselines[0]].mean if alone else None,
        "Top-1 accuracy of every seed, by variant",
        f"{' '.join(filter(None, (finding, cut)))} {finished} of {planned} seeds have a result and "
        f"are drawn as points, with the mean and its 95 % interval below them. A seed without a "
        f"result is a cross at the left.",
        cut,
    )


def _family(variant: Variant, key: str | None) -> str:
    return value_text(variant.swept[key]) if key else ""


def _plot_row(row: VariantResult, key: str | None) -> PlotRow:
    points = []
    for trial in row.variant.trials:
        top1 = trial.result.val_top1 if trial.result else None
        text = f"{top1:.2f} %" if top1 is not None else f"{trial.state}, {trial.reason}"
        title = f"{row.variant.label}, seed {trial.planned.seed}: {text}"
        points.append(Point(trial.planned.trial_id, trial.planned.seed, top1, title))
    family = _family(row.variant, key)
    return PlotRow(row.variant.label, tuple(points), row.mean, row.interval, family)


def _draw_axes(axes: Axes, plot: AccuracyPlot) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_yticks(range(len(plot.rows)), [row.label for row in plot.rows])
    axes.set_ylim(len(plot.rows) - 0.4, -0.6)
    axes.set_xlabel("val top-1 (%)")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10]))
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    _limit_x(axes, plot)
    if plot.reference is not None:
        axes.axvline(plot.reference, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    for y, row in enumerate(plot.rows):
        style = style_of(row.family, plot.families)
        _draw_row(axes, y, row, style)


def _limit_x(axes: Axes, plot: AccuracyPlot) -> None:
    """Room for every point and interval, and at the left for the crosses of unfinished seeds."""
    rows = plot.rows
    marks = [p.top1 for row in rows for p in row.points if p.top1 is not None]
    marks += [
        edge for row in rows if row.interval for edge in (row.interval.low, row.interval.high)
    ]
    if not marks:
        axes.set_xlim(0, 100)
        return
    if plot.reference is not None:  # its own row may be cut
        marks.append(plot.reference)
    low, high = min(marks), max(marks)
    margin = max(0.05 * (high - low), 0.2)
    axes.set_xlim(low - margin * (3 if plot.has_crosses else 1), high + margin)


def _draw_row(axes: Axes, y: int, row: PlotRow, style: tuple[str, str]) -> None:
    colour, marker = style
    count = len(row.points)
    crosses = 0
    for index, point in enumerate(row.points):
        offset = (index - (count - 1) / 2) / max(count, 2) * _DODGE - 0.12
        if point.top1 is None:
            (mark,) = axes.plot(
                0.015 + 0.02 * crosses, y, "x", color=INK, markersize=5,
                transform=axes.get_yaxis_transform(),
            )  # fmt: skip
            crosses += 1
        else:
            (mark,) = axes.plot(
                point.top1, y + offset, marker, color=colour, markersize=5.5, alpha=0.85,
                markeredgewidth=0,
            )  # fmt: skip
        mark.set_gid(f"seed-{point.trial_id}")
    if row.mean is None:
        return
    below = y + 0.28
    if row.interval is not None:
        axes.plot([row.interval.low, row.interval.high], [below, below], color=INK, linewidth=1.6)
    axes.plot(row.mean, below, "|", color=INK, markersize=9, markeredgewidth=2.2)
