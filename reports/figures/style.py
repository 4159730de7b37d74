"""What all plots look like, wherever they are drawn."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib import rc, rcdefaults

INK = "#1b1b1a"
"""Text and axes; replaced by the page's own colour where the picture is part of a page."""
GRID = "#8884"
# Okabe and Ito 2008, "Color universal design": those with contrast of at least 3:1 on white.
STYLES = (("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^"), ("#cc79a7", "D"))
DASHES: tuple[str | tuple[int, tuple[int, ...]], ...] = ("-", (0, (5, 2)), (0, (1, 2)))


def style_of(family: str, families: Sequence[str]) -> tuple[str, str]:
    """Colour and marker of a family; every family has its own as long as there are enough."""
    index = families.index(family)
    colour = STYLES[index % len(STYLES)][0]
    # After four families colours come again, with another marker each.
    marker = STYLES[(index + index // len(STYLES)) % len(STYLES)][1]
    return colour, marker


def set_style() -> None:
    """The same look for everybody: a user's matplotlibrc has no say. Call within rc_context."""
    rcdefaults()
    rc("svg", fonttype="none", hashsalt="deit-report")
    rc("pdf", fonttype=42)
    rc("font", family="sans-serif", size=10)
    rc("text", color=INK, parse_math=False)
    rc("axes", edgecolor=INK, labelcolor=INK)
    rc("xtick", color=INK)
    rc("ytick", color=INK)
