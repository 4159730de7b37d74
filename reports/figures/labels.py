"""Where to write names beside points so that none covers anything. Pure geometry."""

from __future__ import annotations

from collections.abc import Sequence

Box = tuple[float, float, float, float]
"""Left, bottom, right, top; any unit."""


def place_labels(
    anchors: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    obstacles: Sequence[Box],
    frame: Box,
    gap: float,
) -> list[Box | None]:
    """A place for each label, first come, first served; None where there is no room.

    Args:
        anchors: the points to name, the most important first.
        sizes: width and height of each label.
        obstacles: what must not be covered, points included.
        frame: what must not be left.
        gap: distance from the point.
    """
    taken = list(obstacles)
    places: list[Box | None] = []
    for anchor, size in zip(anchors, sizes, strict=True):
        free = (box for box in _candidates(anchor, size, gap) if _fits(box, taken, frame))
        place = next(free, None)
        if place is not None:
            taken.append(place)
        places.append(place)
    return places


def _candidates(anchor: tuple[float, float], size: tuple[float, float], gap: float) -> list[Box]:
    """Right, left, above, below, then the corners, near first."""
    (x, y), (width, height) = anchor, size
    corners = []
    for factor in (1.0, 2.0):
        away = gap * factor
        right, left, centre = x + away, x - away - width, x - width / 2
        above, below, middle = y + away, y - away - height, y - height / 2
        corners += [
            (right, middle), (left, middle), (right, above), (left, above), (right, below),
            (left, below), (centre, above), (centre, below),
        ]  # fmt: skip
    return [(a, b, a + width, b + height) for a, b in corners]


def _fits(box: Box, taken: Sequence[Box], frame: Box) -> bool:
    inside = box[0] >= frame[0] and box[1] >= frame[1] and box[2] <= frame[2] and box[3] <= frame[3]
    return inside and not any(overlap(box, other) for other in taken)


def overlap(one: Box, other: Box) -> bool:
    """Whether two boxes share area."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
