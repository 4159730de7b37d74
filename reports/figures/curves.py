"""Learning curves: mean line, range of the seeds, thin lines of each seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from reports.figures.line_names import Dashes, label_ends, shorten
from reports.figures.style import DASHES, GRID, STYLES
from reports.learning import MOST_SEEDS, Band, End, SeedCurve, Values

_HEIGHT = 4.2
_MARKS: Mapping[End, str] = {"running": ">", "pruned": "|", "failed": "x", "stopped": "d"}
"""Where a line ends before its schedule does."""


@dataclass(frozen=True)
class CurveLine:
    """One variant: what is drawn of it."""

    label: str
    band: Band
    seeds: tuple[tuple[SeedCurve, Values], ...]
    """Each seed with its horizontal places."""


@dataclass(frozen=True)
class CurvesPlot:
    """All lines of one picture."""

    lines: tuple[CurveLine, ...]
    x_label: str

    def size(self) -> tuple[float, float]:
        """Inches: 6 for the axes, and what the longest name needs at 9 points."""
        longest = max(len(shorten(line.label)) for line in self.lines)
        return 6.2 + 0.075 * longest, _HEIGHT

    def paint(self, canvas: Canvas) -> None:
        """Draw all lines and their names."""
        axes = canvas.add_subplot()
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel(self.x_label)
        axes.set_ylabel("val top-1 (%)")
        axes.grid(color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 5, 10]))
        for index, line in enumerate(self.lines):
            _draw(axes, line, index)
        axes.set_xlim(left=0)
        axes.set_ylim(axes.get_ylim())
        ends = [
            (float(line.band.mean[-1]), line.label, *_look(index))
            for index, line in enumerate(self.lines)
        ]
        label_ends(axes, ends, _HEIGHT - 0.8)

    def tooltips(self) -> Mapping[str, str]:
        """What became of each seed."""
        return {
            f"curve-{seed.trial_id}": (
                f"{line.label}, seed {seed.seed}: {seed.top1[-1]:.2f} % after "
                f"{seed.epochs[-1]:.4g} epochs, {seed.end}"
            )
            for line in self.lines
            for seed, _ in line.seeds
        }

    @property
    def ends(self) -> frozenset[End]:
        """How seeds ended that did not complete."""
        return frozenset(s.end for line in self.lines for s, _ in line.seeds) - {"completed"}


def _look(index: int) -> tuple[str, Dashes]:
    """Colour and dashes: after the colours, the same again with other dashes."""
    colour = STYLES[index % len(STYLES)][0]
    return colour, DASHES[index // len(STYLES) % len(DASHES)]


def _draw(axes: Axes, line: CurveLine, index: int) -> None:
    colour, dashes = _look(index)
    band = line.band
    if band.n > 1:
        axes.fill_between(band.x, band.low, band.high, color=colour, alpha=0.15, linewidth=0)
    for seed, places in line.seeds[:MOST_SEEDS]:
        (thin,) = axes.plot(places, seed.top1, color=colour, linewidth=0.6, alpha=0.7)
        thin.set_gid(f"curve-{seed.trial_id}")
        if seed.end != "completed":
            marker = _MARKS[seed.end]
            axes.plot(
                places[-1], seed.top1[-1], marker, color=colour, markersize=7, markeredgewidth=1.8
            )
    axes.plot(band.x, band.mean, color=colour, linewidth=2.0, linestyle=dashes)
    if band.x.size == 1:  # a line of one point shows nothing
        axes.plot(band.x, band.mean, "o", color=colour, markersize=5)
