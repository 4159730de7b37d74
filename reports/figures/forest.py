"""Differences with their intervals around a line at zero, grouped by field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from reports.figures.style import GRID, INK, STYLES
from reports.stats import Interval

_ROW_INCHES = 0.3
_COLOURS = {"better": STYLES[0][0], "baseline better": STYLES[1][0]}
_MARKERS = {"better": "o", "baseline better": "s"}


@dataclass(frozen=True)
class ForestRow:
    """One difference; a heading where there is no number."""

    label: str
    delta: float | None = None
    interval: Interval | None = None
    verdict: str = ""
    title: str = ""
    """What is said of it."""


@dataclass(frozen=True)
class ForestPlot:
    """All that is drawn."""

    rows: tuple[ForestRow, ...]
    x_label: str

    def size(self) -> tuple[float, float]:
        """Inches: 5 for the axes, and what the longest label needs."""
        longest = max(len(row.label) for row in self.rows)
        return max(8.0, 5.0 + 0.08 * longest), 0.9 + _ROW_INCHES * len(self.rows)

    def paint(self, canvas: Canvas) -> None:
        """Draw a point and a bar for each difference."""
        axes = canvas.add_subplot()
        _frame(axes, self)
        for y, row in enumerate(self.rows):
            _draw_row(axes, y, row)

    def tooltips(self) -> Mapping[str, str]:
        """The numbers of each difference."""
        return {f"effect-{y}": row.title for y, row in enumerate(self.rows) if row.title}


def _frame(axes: Axes, plot: ForestPlot) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_yticks(range(len(plot.rows)), [row.label for row in plot.rows])
    for row, text in zip(plot.rows, axes.get_yticklabels(), strict=True):
        if row.delta is None:
            text.set_fontweight("bold")
    axes.set_ylim(len(plot.rows) - 0.4, -0.6)
    axes.set_xlabel(plot.x_label)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=9, steps=[1, 2, 5, 10]))
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    ends = [0.0]
    for row in plot.rows:
        if row.delta is not None:
            ends.append(row.delta)
        if row.interval is not None:
            ends += [row.interval.low, row.interval.high]
    margin = max(0.06 * (max(ends) - min(ends)), 0.05)
    axes.set_xlim(min(ends) - margin, max(ends) + margin)
    axes.axvline(0, color=INK, linewidth=1.0, zorder=1)


def _draw_row(axes: Axes, y: int, row: ForestRow) -> None:
    if row.delta is None:
        return
    colour = _COLOURS.get(row.verdict, INK)
    filled = row.verdict in _COLOURS
    if row.interval is not None:
        axes.plot([row.interval.low, row.interval.high], [y, y], color=colour, linewidth=1.6)
    (mark,) = axes.plot(
        row.delta, y, _MARKERS.get(row.verdict, "o"), markersize=6.5, markeredgecolor=colour,
        markeredgewidth=1.4, markerfacecolor=colour if filled else "#ffffff", zorder=3,
    )  # fmt: skip
    mark.set_gid(f"effect-{y}")
