"""The front: what is on it, what is not, and what cannot be told apart from it."""

from __future__ import annotations

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from reports.stats import DOMINANCE, Interval, ParetoFront, ParetoPoint, pareto_front

coarse = st.integers(0, 8).map(float)
"""Few values, so that ties are common."""


@st.composite
def point_lists(draw: st.DrawFn) -> list[ParetoPoint]:
    points = []
    for number in range(draw(st.integers(0, 12))):
        speed, accuracy = draw(coarse), draw(coarse)
        half, width = draw(st.none() | coarse), draw(st.none() | coarse)
        interval = None if half is None else Interval(accuracy - half, accuracy + half)
        speeds = None if width is None else Interval(speed - width / 2, speed + width / 2)
        points.append(ParetoPoint(str(number), speed, accuracy, interval, speeds))
    return points


def dominates(one: ParetoPoint, other: ParetoPoint) -> bool:
    at_least = one.accuracy >= other.accuracy and one.speed >= other.speed
    return at_least and (one.accuracy > other.accuracy or one.speed > other.speed)


@given(point_lists())
def test_the_front_is_what_no_point_dominates(points: list[ParetoPoint]) -> None:
    found = pareto_front(points)
    expected = {p.key for p in points if not any(dominates(other, p) for other in points)}
    assert set(found.front) == expected


@given(point_lists())
def test_every_point_is_of_one_kind(points: list[ParetoPoint]) -> None:
    found = pareto_front(points)
    kinds = [*found.front, *found.within_noise, *found.dominated]
    assert sorted(kinds) == sorted(point.key for point in points)


@given(point_lists())
def test_along_the_front_speed_is_paid_for_with_accuracy(points: list[ParetoPoint]) -> None:
    by_key = {point.key: point for point in points}
    front = [by_key[key] for key in pareto_front(points).front]
    for slow, fast in itertools.pairwise(front):
        assert slow.speed <= fast.speed
        assert slow.accuracy >= fast.accuracy
        equal = (slow.speed, slow.accuracy) == (fast.speed, fast.accuracy)
        assert equal or (slow.speed < fast.speed and slow.accuracy > fast.accuracy)


@given(point_lists(), st.integers(0, 100))
def test_the_order_of_points_does_not_matter(points: list[ParetoPoint], seed: int) -> None:
    shuffled = random.Random(seed).sample(points, len(points))
    one, other = pareto_front(points), pareto_front(shuffled)
    assert set(one.front) == set(other.front)
    assert (one.within_noise, one.dominated) == (other.within_noise, other.dominated)


@given(point_lists())
def test_a_wider_interval_never_leaves_the_noise(points: list[ParetoPoint]) -> None:
    wider = [
        ParetoPoint(
            p.key, p.speed, p.accuracy, i and Interval(i.low - 1, i.high + 1), p.speed_range
        )
        for p in points
        for i in [p.accuracy_interval]
    ]
    assert pareto_front(points).within_noise <= pareto_front(wider).within_noise


@given(point_lists())
def test_within_noise_is_what_the_sentence_says(points: list[ParetoPoint]) -> None:
    found = pareto_front(points)
    front = [point for point in points if point.key in found.front]
    for point in points:
        if point.key in found.front:
            continue
        rivals = []
        for rival in front:
            ranges = [2 * p.speed_range.half_width for p in (point, rival) if p.speed_range]
            equal = abs(rival.speed - point.speed) < max(ranges, default=0.0)
            if rival.speed >= point.speed or equal:
                rivals.append(rival.accuracy)
        interval = point.accuracy_interval
        reaches = interval is not None and interval.high >= max(rivals)
        assert (point.key in found.within_noise) == reaches
    assert "reaches the best accuracy on the front" in DOMINANCE


def test_no_points_no_front() -> None:
    assert pareto_front([]) == ParetoFront((), frozenset(), frozenset())


def test_an_example() -> None:
    points = [
        ParetoPoint("accurate", 1000, 82.0, None, Interval(980, 1010)),
        ParetoPoint("fast", 4000, 75.0),
        ParetoPoint("middle", 2000, 80.0),
        ParetoPoint("as good", 1900, 79.8, Interval(79.5, 80.1)),
        ParetoPoint("worse", 1900, 79.0, Interval(78.7, 79.3)),
        ParetoPoint("single seed", 1900, 79.9),
        # as fast as `accurate` within the range of its repetitions, which it does not reach
        ParetoPoint("no faster", 1005, 81.0, Interval(80.5, 81.5)),
        ParetoPoint("hidden", 1006, 79.9, Interval(79.0, 80.8)),
    ]
    found = pareto_front(points)
    assert found.front == ("accurate", "no faster", "middle", "fast")
    assert found.within_noise == {"as good"}
    assert found.dominated == {"worse", "single seed", "hidden"}
