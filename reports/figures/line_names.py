"""Names at the ends of lines, moved apart so that none covers another."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

LONGEST = 44
"""Characters of a name in a picture; tooltips and tables have the whole."""

Dashes = str | tuple[int, tuple[int, ...]]
LineEnd = tuple[float, str, str, Dashes]
"""Height in data units, name, colour and dashes."""


def shorten(text: str, most: int = LONGEST) -> str:
    """The text, or its beginning and an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1]}\N{HORIZONTAL ELLIPSIS}"


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Places at least `gap` apart, in the order of those wanted and near them."""
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    blocks: list[tuple[list[int], float]] = []
    for index in order:
        members, centre = [index], wanted[index]
        # What would overlap moves as one block around the middle of what its members want.
        while blocks and centre - blocks[-1][1] < gap * (len(members) + len(blocks[-1][0])) / 2:
            before, _ = blocks.pop()
            members = before + members
            centre = sum(wanted[one] for one in members) / len(members)
        blocks.append((members, centre))
    places = [0.0] * len(wanted)
    for members, centre in blocks:
        for rank, index in enumerate(members):
            places[index] = centre + gap * (rank - (len(members) - 1) / 2)
    return places


def label_ends(axes: Axes, ends: Sequence[LineEnd], height_inches: float) -> None:
    """Write names right of the axes, at the heights of the lines' ends; set the limits before.

    Args:
        axes: where.
        ends: of each line.
        height_inches: of the axes, about.
    """
    low, high = axes.get_ylim()
    gap = (high - low) * 0.2 / height_inches
    places = spread([end[0] for end in ends], gap)
    for (height, name, colour, dashes), place in zip(ends, places, strict=True):
        axes.annotate(
            shorten(name),
            xy=(1.0, height),
            xytext=(1.03, place),
            xycoords=axes.get_yaxis_transform(),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            fontsize=9,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 1.4,
                "shrinkA": 1,
                "linestyle": dashes,
                "relpos": (0.0, 0.5),
            },
            annotation_clip=False,
        )
