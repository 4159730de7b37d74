"""Accuracy against speed or size: points with intervals, and the front as a step line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from reports.figures.labels import Box, place_labels
from reports.figures.style import GRID, INK, style_of
from reports.speed.throughput import significant
from reports.speed.tradeoff import Standing, Tradeoff, TradeoffPoint

MOST_POINTS = 60
"""Variants in one picture; the table has all."""
_LONGEST_LABEL = 34
_MARKER = 7.5
_FACE_ALPHA: dict[Standing, float] = {"front": 1.0, "within noise": 0.4, "dominated": 0.0}


@dataclass(frozen=True)
class ParetoPlot:
    """All that is drawn."""

    tradeoff: Tradeoff
    drawn: tuple[TradeoffPoint, ...]
    """The front first, then by accuracy: the order in which names get a place."""
    x_label: str
    titles: Mapping[str, str]
    """What is said of each point, by group id."""

    def size(self) -> tuple[float, float]:
        """Inches."""
        return 8.0, 5.0

    def paint(self, canvas: Canvas) -> None:
        """Draw the points, their intervals, the front, and as many names as fit."""
        axes = canvas.add_subplot()
        _frame(axes, self)
        _draw_front(axes, self)
        for point in self.drawn:
            _draw_point(axes, point, self)
        _legend(canvas, self)
        canvas.draw_without_rendering()  # names need to know where the points lie
        _draw_labels(axes, self)

    def tooltips(self) -> Mapping[str, str]:
        """Every number of a point."""
        return {f"point-{point.group_id}": self.titles[point.group_id] for point in self.drawn}


def most_important(found: Tradeoff) -> tuple[TradeoffPoint, ...]:
    """What is drawn, the most important first."""
    front = found.ladder[:MOST_POINTS]
    names = {point.group_id for point in front}
    others = [point for point in found.points if point.group_id not in names]
    others.sort(key=lambda point: -point.accuracy)
    return (*front, *others)[:MOST_POINTS]


def x_ticks(low: float, high: float) -> list[float]:
    """Powers of two within the range; even numbers where it holds fewer than three of them."""
    powers = [2.0**k for k in range(-40, 60) if low <= 2.0**k <= high]
    if len(powers) >= 3:
        step = -(-len(powers) // 9)
        return powers[::step]
    ticks = MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [float(tick) for tick in ticks if low <= tick <= high and tick > 0]


def _frame(axes: Axes, plot: ParetoPlot) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    xs = [edge for p in plot.drawn for edge in _x_edges(p)]
    low, high = min(xs), max(xs)
    # Room at the sides for names, which stand to the right of points where they can.
    factor = max(1.15, (high / low) ** 0.08)
    axes.set_xscale("log", base=2)
    axes.set_xlim(low / factor, high * factor**1.5)
    ticks = x_ticks(low / factor, high * factor**1.5)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _plain(value)))
    ys = [edge for p in plot.drawn for edge in _y_edges(p)]
    margin = max(0.08 * (max(ys) - min(ys)), 0.1)
    axes.set_ylim(min(ys) - margin, max(ys) + margin)
    axes.set_xlabel(plot.x_label)
    axes.set_ylabel("val top-1 (%)")
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)


def _plain(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 and value == round(value) else significant(value)


def _x_edges(point: TradeoffPoint) -> tuple[float, float]:
    span = point.x_range
    return (span.low, span.high) if span and span.low > 0 else (point.x, point.x)


def _y_edges(point: TradeoffPoint) -> tuple[float, float]:
    found = point.interval
    return (found.low, found.high) if found else (point.accuracy, point.accuracy)


def _draw_front(axes: Axes, plot: ParetoPlot) -> None:
    axes.plot(*_steps(axes, plot), color=INK, linewidth=1.0, alpha=0.55, zorder=1.5)


def _steps(axes: Axes, plot: ParetoPlot) -> tuple[list[float], list[float]]:
    """Corners of the front: up to a point's speed, its accuracy can be had."""
    ladder = [point for point in plot.tradeoff.ladder if point in plot.drawn]
    ends = axes.get_xlim()
    xs, ys = [ends[0] if plot.tradeoff.more_is_better else ends[1]], [ladder[0].accuracy]
    below = [*(point.accuracy for point in ladder[1:]), axes.get_ylim()[0]]
    for point, next_accuracy in zip(ladder, below, strict=True):
        xs += [point.x, point.x]
        ys += [point.accuracy, next_accuracy]
    return xs, ys


def _draw_point(axes: Axes, point: TradeoffPoint, plot: ParetoPlot) -> None:
    colour, marker = style_of(point.family, plot.tradeoff.families)
    axes.plot([point.x, point.x], _y_edges(point), color=colour, linewidth=1.2, zorder=2)
    axes.plot(_x_edges(point), [point.accuracy] * 2, color=colour, linewidth=0.8, zorder=2)
    alpha = _FACE_ALPHA[plot.tradeoff.standing(point.group_id)]
    # The face lies over a white disc, so that no bar shines through it.
    for face in ("#ffffff", (colour, alpha)):
        (mark,) = axes.plot(
            point.x, point.accuracy, marker, markersize=_MARKER, markeredgecolor=colour,
            markeredgewidth=1.4, markerfacecolor=face, zorder=3,
        )  # fmt: skip
    mark.set_gid(f"point-{point.group_id}")


def _legend(canvas: Canvas, plot: ParetoPlot) -> None:
    families = [f for f in plot.tradeoff.families if any(p.family == f for p in plot.drawn)]
    if len(families) < 2:
        return
    handles = []
    for family in families:
        colour, marker = style_of(family, plot.tradeoff.families)
        handles.append(Line2D([], [], color=colour, marker=marker, linestyle="", label=family))
    columns = max(1, min(len(families), 100 // (4 + max(map(len, families)))))
    canvas.legend(
        handles=handles, loc="outside upper left", ncols=columns, frameon=False, handletextpad=0.3
    )


def _draw_labels(axes: Axes, plot: ParetoPlot) -> None:
    """Names where there is room for them; points without one have it in the table."""
    scale = 72 / axes.figure.dpi
    texts = [axes.text(0, 0, _shortened(p.short_label), fontsize=9) for p in plot.drawn]
    extents = [text.get_window_extent() for text in texts]
    # The page has a font of its own, which may be wider.
    sizes = [(box.width * 1.06, box.height * 0.9) for box in extents]
    anchors = [_pixels(axes, point.x, point.accuracy) for point in plot.drawn]
    half = _MARKER / 2 / scale
    marks: list[Box] = [(x - half, y - half, x + half, y + half) for x, y in anchors]
    bars: list[Box] = []
    for point, (x, y) in zip(plot.drawn, anchors, strict=True):
        low, high = (_pixels(axes, point.x, edge)[1] for edge in _y_edges(point))
        left, right = (_pixels(axes, edge, point.accuracy)[0] for edge in _x_edges(point))
        bars += [(x - 1, low, x + 1, high), (left, y - 1, right, y + 1)]
    corners = [_pixels(axes, x, y) for x, y in zip(*_steps(axes, plot), strict=True)]
    for (x, y), (next_x, next_y) in pairwise(corners):
        left, right, low, high = *sorted((x, next_x)), *sorted((y, next_y))
        bars.append((left - 1, low - 1, right + 1, high + 1))
    window = axes.get_window_extent()
    frame = (window.x0, window.y0, window.x1, window.y1)
    places = place_labels(anchors, sizes, [*marks, *bars], frame, half + 3)
    for text, anchor, size, place in zip(texts, anchors, sizes, places, strict=True):
        text.remove()
        if place is None:
            continue
        data = axes.transData.inverted().transform(anchor)
        axes.annotate(
            text.get_text(), (float(data[0]), float(data[1])), fontsize=9,
            xytext=((place[0] - anchor[0]) * scale, (place[1] + size[1] / 2 - anchor[1]) * scale),
            textcoords="offset points", va="center_baseline", ha="left", zorder=4,
        ).set_in_layout(False)  # fmt: skip


def _shortened(label: str) -> str:
    return label if len(label) <= _LONGEST_LABEL else label[: _LONGEST_LABEL - 1] + "…"


def _pixels(axes: Axes, x: float, y: float) -> tuple[float, float]:
    found = axes.transData.transform((x, y))
    return float(found[0]), float(found[1])
