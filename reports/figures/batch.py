"""Speed or memory against batch size: one line for each model, named at its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from reports.figures.line_names import shorten, spread
from reports.figures.style import GRID, INK, style_of

_LONGEST = 60
_NAME_HEIGHT = 0.062
"""Of a name and the space around it, as a share of the axes."""


@dataclass(frozen=True)
class BatchLine:
    """One model: batch size and number, ascending."""

    name: str
    points: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class BatchPlot:
    """All that is drawn."""

    lines: tuple[BatchLine, ...]
    y_label: str
    logarithmic: bool
    """Whether y is; images/s of models differ by factors."""

    def size(self) -> tuple[float, float]:
        """Inches: 5 for the axes, and what the longest name needs."""
        longest = max(len(shorten(line.name, _LONGEST)) for line in self.lines)
        return max(8.0, 5.5 + 0.08 * longest), 4.2

    def paint(self, canvas: Canvas) -> None:
        """Draw a line for each model."""
        axes = canvas.add_subplot()
        _frame(axes, self)
        names = [line.name for line in self.lines]
        for number, line in enumerate(self.lines):
            colour, marker = style_of(line.name, names)
            xs, ys = zip(*line.points, strict=True)
            (drawn,) = axes.plot(xs, ys, marker=marker, markersize=4.5, color=colour, linewidth=1.3)
            drawn.set_gid(f"model-{number}")
        _draw_names(axes, self)

    def tooltips(self) -> Mapping[str, str]:
        """The name of each line."""
        return {f"model-{number}": line.name for number, line in enumerate(self.lines)}


def _frame(axes: Axes, plot: BatchPlot) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xscale("log", base=2)
    sizes = sorted({size for line in plot.lines for size, _ in line.points})
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlabel("batch size")
    axes.set_ylabel(plot.y_label)
    values = [value for line in plot.lines for _, value in line.points]
    if plot.logarithmic and min(values) > 0:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.set_ylim(0, max(values) * 1.08)
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)


def _draw_names(axes: Axes, plot: BatchPlot) -> None:
    """At the right edge, beside the ends of the lines, apart from each other."""
    right = max(size for line in plot.lines for size, _ in line.points)
    axes.set_xlim(right=right * 1.05)
    axes.set_ylim(axes.get_ylim())  # fixed: the names stand at heights within these limits
    wanted = [_height(axes, line.points[-1][1]) for line in plot.lines]
    for line, height in zip(plot.lines, spread(wanted, _NAME_HEIGHT), strict=True):
        colour, _ = style_of(line.name, [one.name for one in plot.lines])
        axes.annotate(
            shorten(line.name, _LONGEST), xy=line.points[-1], xycoords="data",
            xytext=(1.04, height), textcoords="axes fraction", va="center", fontsize=9, color=INK,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.8, "shrinkA": 1,
                        "shrinkB": 3, "relpos": (0.0, 0.5)},
        )  # fmt: skip


def _height(axes: Axes, value: float) -> float:
    pixels = axes.transData.transform((1, value))
    return float(axes.transAxes.inverted().transform(pixels)[1])
