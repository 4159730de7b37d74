"""A search: what each point gave and the best so far; two objectives against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from reports.figures.style import GRID, INK, STYLES
from reports.search.results import Objective, Point

MOST_POINTS = 500
"""Points drawn with a mark; of more, the newest and all that were the best so far."""
_BLUE, _ORANGE, _GREEN = (colour for colour, _ in STYLES[:3])


@dataclass(frozen=True)
class HistoryPlot:
    """First objective by number of the point."""

    points: tuple[Point, ...]
    best: tuple[tuple[int, float], ...]
    """Number and value of each point that beat all before it."""
    last: int
    """Number of the last point, up to which the best one holds."""
    objective: Objective
    titles: Mapping[str, str]
    """What is said of a point, by gid."""

    def size(self) -> tuple[float, float]:
        """Inches."""
        return 8.0, 3.8

    def paint(self, canvas: Canvas) -> None:
        """Marks for points, a step line for the best so far."""
        axes = _axes(canvas, "point, in the order of asking", self.objective.metric)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10))
        if self.best:
            xs = [number for number, _ in self.best] + [self.last]
            ys = [value for _, value in self.best] + [self.best[-1][1]]
            axes.step(xs, ys, where="post", color=INK, linewidth=1.4)
        for point in self.points:
            _draw_point(axes, point)
        axes.margins(x=0.03)

    def tooltips(self) -> Mapping[str, str]:
        """What is known of a point."""
        return self.titles


def _draw_point(axes: Axes, point: Point) -> None:
    gid = gid_of(point)
    if point.state == "completed":
        face = "none" if point.broken else _BLUE
        (mark,) = axes.plot(
            point.number, point.values[0], "o", color=_BLUE, markersize=5.5, markerfacecolor=face
        )
    elif point.last_seen is None:
        (mark,) = axes.plot(
            point.number, 0.03, "x", color=INK, markersize=5, transform=axes.get_xaxis_transform()
        )
    else:
        marker, colour = ("v", _ORANGE) if point.state == "pruned" else ("x", INK)
        (mark,) = axes.plot(
            point.number, point.last_seen, marker, color=colour, markersize=5.5,
            markerfacecolor="none",
        )  # fmt: skip
    mark.set_gid(gid)


def gid_of(point: Point) -> str:
    """The id of a point's mark."""
    return f"point-{point.number}"


@dataclass(frozen=True)
class TradeOffPlot:
    """The second objective against the first, for finished points."""

    points: tuple[Point, ...]
    front: tuple[Point, ...]
    objectives: Sequence[Objective]
    titles: Mapping[str, str]

    def size(self) -> tuple[float, float]:
        """Inches."""
        return 7.0, 4.6

    def paint(self, canvas: Canvas) -> None:
        """The front filled and joined by a line, the others hollow."""
        first, second = self.objectives[:2]
        axes = _axes(canvas, _with_direction(second), _with_direction(first))
        xs = [point.values[1] for point in self.front]
        ys = [point.values[0] for point in self.front]
        order = sorted(range(len(xs)), key=lambda index: xs[index])
        steps = "steps-pre" if second.maximised else "steps-post"
        axes.plot(
            [xs[i] for i in order], [ys[i] for i in order],
            color=_GREEN, linewidth=1.2, drawstyle=steps,
        )  # fmt: skip
        members = {point.number for point in self.front}
        for point in self.points:
            inside = point.number in members
            marker = "s" if point.broken else "o"
            (mark,) = axes.plot(
                point.values[1], point.values[0], marker, color=_GREEN if inside else _BLUE,
                markersize=6, markerfacecolor=_GREEN if inside else "none",
            )  # fmt: skip
            mark.set_gid(gid_of(point))

    def tooltips(self) -> Mapping[str, str]:
        """What is known of a point."""
        return self.titles


def _with_direction(objective: Objective) -> str:
    return f"{objective.metric} ({'more' if objective.maximised else 'less'} is better)"


def _axes(canvas: Canvas, x_label: str, y_label: str) -> Axes:
    axes = canvas.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    return axes
