"""Which points no other point beats in both accuracy and speed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reports.stats.numbers import Interval

DOMINANCE = (
    "A variant is dominated if another one is at least as accurate and at least as fast, and more "
    "of one of them; the others are the front. A dominated variant is within noise of the front if "
    "its interval of accuracy reaches the best accuracy on the front at its speed or faster; "
    "speeds that differ by less than the range of repeated measurements count as equal there."
)


@dataclass(frozen=True)
class ParetoPoint:
    """A variant with both numbers."""

    key: str
    speed: float
    """Images/s, or anything of which more is better."""
    accuracy: float
    accuracy_interval: Interval | None = None
    speed_range: Interval | None = None
    """Slowest and fastest repetition of the measurement."""


@dataclass(frozen=True)
class ParetoFront:
    """The points in three kinds; each holds keys."""

    front: tuple[str, ...]
    """From the slowest to the fastest; of equal points all."""
    within_noise: frozenset[str]
    """Dominated, but not distinguishable from the front in accuracy."""
    dominated: frozenset[str]
    """Dominated beyond noise, or without an interval that could tell."""


def pareto_front(points: Sequence[ParetoPoint]) -> ParetoFront:
    """Sort points into front, within noise, dominated (`DOMINANCE` in words)."""
    by_speed = sorted(points, key=lambda point: (-point.speed, -point.accuracy))
    front: list[ParetoPoint] = []
    others: list[ParetoPoint] = []
    for point in by_speed:
        last = front[-1] if front else None  # the most accurate that is as fast
        equal = last is not None and (last.speed, last.accuracy) == (point.speed, point.accuracy)
        if last is None or equal or point.accuracy > last.accuracy:
            front.append(point)
        else:
            others.append(point)
    near = _within_noise(others, front)
    return ParetoFront(
        tuple(point.key for point in reversed(front)),
        near,
        frozenset(point.key for point in others) - near,
    )


def _within_noise(others: Sequence[ParetoPoint], front: Sequence[ParetoPoint]) -> frozenset[str]:
    """Points whose interval reaches the best accuracy of the front at their speed or faster."""
    speeds = np.array([point.speed for point in front])
    accuracies = np.array([point.accuracy for point in front])
    ranges = np.array([_range(point) for point in front])
    reached = []
    for point in others:
        if point.accuracy_interval is None:
            continue
        as_fast = np.abs(speeds - point.speed) < np.maximum(ranges, _range(point))
        best = accuracies[(speeds >= point.speed) | as_fast].max()
        if point.accuracy_interval.high >= best:
            reached.append(point.key)
    return frozenset(reached)


def _range(point: ParetoPoint) -> float:
    """Fastest minus slowest repetition; 0 where that is not known."""
    return point.speed_range.high - point.speed_range.low if point.speed_range else 0.0
