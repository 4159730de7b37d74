"""Means of two fields against each other, shaded by height; the numbers stand in the cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Rectangle

from reports.figures.style import INK, STYLES

_COLOUR = STYLES[0][0]
_PALEST, _DEEPEST = 0.05, 0.5
"""Opacity: text stays readable on both, on a light and on a dark page."""


@dataclass(frozen=True)
class GridPlot:
    """One number for each pair of levels; null where none is known."""

    x_name: str
    y_name: str
    x_levels: tuple[str, ...]
    y_levels: tuple[str, ...]
    means: tuple[tuple[float | None, ...], ...]
    """One row for each y level."""
    texts: tuple[tuple[str, ...], ...]

    def size(self) -> tuple[float, float]:
        """Inches."""
        widest = max(len(text) for row in (self.x_levels, *self.texts) for text in row)
        width = 2.2 + len(self.x_levels) * max(0.9, 0.1 * widest)
        return max(4.0, width), 1.1 + 0.42 * len(self.y_levels)

    def paint(self, canvas: Canvas) -> None:
        """Draw the cells."""
        axes = canvas.add_subplot()
        axes.set_xlim(0, len(self.x_levels))
        axes.set_ylim(len(self.y_levels), 0)
        axes.set_xticks([x + 0.5 for x in range(len(self.x_levels))], self.x_levels)
        axes.set_yticks([y + 0.5 for y in range(len(self.y_levels))], self.y_levels)
        axes.set_xlabel(self.x_name)
        axes.set_ylabel(self.y_name)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        shades = _shades(self.means)
        for y, row in enumerate(self.texts):
            for x, text in enumerate(row):
                face = (_COLOUR, shades[y][x])
                cell = Rectangle((x + 0.02, y + 0.04), 0.96, 0.92, facecolor=face, linewidth=0)
                cell.set_gid(f"cell-{y}-{x}")
                axes.add_patch(cell)
                axes.text(x + 0.5, y + 0.5, text, ha="center", va="center", color=INK)

    def tooltips(self) -> Mapping[str, str]:
        """The levels of each cell, with its number."""
        return {
            f"cell-{y}-{x}": f"{self.y_name}={level}, {self.x_name}={column}: {self.texts[y][x]}"
            for y, level in enumerate(self.y_levels)
            for x, column in enumerate(self.x_levels)
        }


def _shades(means: Sequence[Sequence[float | None]]) -> list[list[float]]:
    known = [value for row in means for value in row if value is not None]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    span = (high - low) or 1.0

    def shade(value: float | None) -> float:
        if value is None:
            return 0.0
        return _PALEST + (_DEEPEST - _PALEST) * (value - low) / span

    return [[shade(value) for value in row] for row in means]
