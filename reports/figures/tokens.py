"""Likeness of class and distillation token, by depth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from matplotlib.figure import Figure as Canvas

from reports.agreement import TokenLine
from reports.figures.line_names import label_ends, shorten
from reports.figures.style import DASHES, GRID, STYLES

_HEIGHT = 3.6


@dataclass(frozen=True)
class TokenPlot:
    """A line for each variant, over the places in the network."""

    lines: tuple[TokenLine, ...]
    places: tuple[str, ...]

    def size(self) -> tuple[float, float]:
        """Inches."""
        longest = max(len(shorten(line.label)) for line in self.lines)
        return 6.2 + 0.075 * longest, _HEIGHT

    def paint(self, canvas: Canvas) -> None:
        """Draw lines with a mark at every place."""
        axes = canvas.add_subplot()
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_ylabel("cosine similarity")
        axes.set_xlabel("place in the network")
        shown = [place.removeprefix("block ") for place in self.places]
        axes.set_xticks(range(len(shown)), shown, rotation=45 if len(shown) > 14 else 0)
        ends = []
        for index, line in enumerate(self.lines):
            colour, marker = STYLES[index % len(STYLES)]
            dashes = DASHES[index // len(STYLES) % len(DASHES)]
            xs = [x for x, place in enumerate(self.places) if place in line.cosines]
            ys = [line.cosines[self.places[x]] for x in xs]
            axes.plot(xs, ys, color=colour, linestyle=dashes, linewidth=1.4)
            for x, y in zip(xs, ys, strict=True):
                (mark,) = axes.plot(x, y, marker, color=colour, markersize=5)
                mark.set_gid(f"token-{index}-{x}")
            ends.append((ys[-1], line.label, colour, dashes))
        axes.set_ylim(axes.get_ylim())
        label_ends(axes, ends, _HEIGHT - 0.8)

    def tooltips(self) -> Mapping[str, str]:
        """The value of each mark."""
        return {
            f"token-{index}-{x}": f"{line.label}, {place}: {line.cosines[place]:.2f} (n={line.n})"
            for index, line in enumerate(self.lines)
            for x, place in enumerate(self.places)
            if place in line.cosines
        }
