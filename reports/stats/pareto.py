"""Which points no other point beats in both accuracy and speed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    """Sort points into front, within noise, dominated (`DOMINANCE` in words). O(n log n + n f)."""
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
    near = frozenset(point.key for point in others if _reaches(point, front))
    return ParetoFront(
        tuple(point.key for point in reversed(front)),
        near,
        frozenset(point.key for point in others) - near,
    )


def _reaches(point: ParetoPoint, front: Sequence[ParetoPoint]) -> bool:
    """Whether its interval reaches the best accuracy of the front at its speed or faster."""
    if point.accuracy_interval is None:
        return False
    rivals = [rival for rival in front if rival.speed >= point.speed or _as_fast(rival, point)]
    return point.accuracy_interval.high >= max(rival.accuracy for rival in rivals)


def _as_fast(one: ParetoPoint, other: ParetoPoint) -> bool:
    """Whether the speeds differ by less than the larger range of their repetitions."""
    ranges = [p.speed_range.high - p.speed_range.low for p in (one, other) if p.speed_range]
    return bool(ranges) and abs(one.speed - other.speed) < max(ranges)
