"""Accuracy against speed, or against size where no speed was measured: the front. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from reports import stats
from reports.analysis import Analysis, VariantResult
from reports.families import family_axis, family_of, rest_of_label
from reports.settings import same_value
from reports.speed.throughput import Speeds
from reports.stats import Interval, ParetoFront, ParetoPoint
from reports.variants import short_names

Measure = Literal["images/s", "GMACs", "parameters (M)"]
Standing = Literal["front", "within noise", "dominated"]


@dataclass(frozen=True)
class TradeoffPoint:
    """One variant with an accuracy and a cost."""

    group_id: str
    label: str
    short_label: str
    """Without the family, which colour and marker say."""
    family: str
    x: float
    """In the measure's unit."""
    x_range: Interval | None
    """Slowest and fastest block."""
    accuracy: float
    interval: Interval | None
    unlike: Mapping[str, str]
    """Conditions of its measurement that are not the usual ones."""


@dataclass(frozen=True)
class Tradeoff:
    """All points and how they stand."""

    measure: Measure
    points: tuple[TradeoffPoint, ...]
    """In plan order."""
    families: tuple[str, ...]
    """In plan order."""
    front: ParetoFront
    other_machines: tuple[str, ...]
    """Labels of variants that were measured on another machine than most and are left out."""
    unmeasured: int
    """Finished variants whose `measure` is not known."""

    @property
    def more_is_better(self) -> bool:
        """Whether a larger x is better."""
        return self.measure == "images/s"

    def standing(self, group: str) -> Standing:
        """Where a point stands."""
        if group in self.front.front:
            return "front"
        return "within noise" if group in self.front.within_noise else "dominated"

    def point(self, group: str) -> TradeoffPoint:
        """The point of a variant."""
        return next(point for point in self.points if point.group_id == group)

    @property
    def ladder(self) -> list[TradeoffPoint]:
        """The front from the most accurate to the fastest or smallest."""
        by_group = {point.group_id: point for point in self.points}
        return [by_group[group] for group in self.front.front]

    def dominated_by(self, point: TradeoffPoint) -> TradeoffPoint | None:
        """The most accurate point that is as fast, of those that dominate; None on the front."""
        if point.group_id in self.front.front:
            return None
        sign = 1 if self.more_is_better else -1
        return next((p for p in self.ladder if sign * p.x >= sign * point.x), None)


def tradeoff(analysis: Analysis) -> Tradeoff | None:
    """Accuracy against images/s of inference; against size where no speed was measured.

    None where fewer than two variants can be placed, or all have the same cost.
    """
    if not analysis.variants:
        return None
    speeds = analysis.speeds
    for measure in _measures(speeds):
        found = _along(analysis, measure, speeds)
        if found is not None:
            return found
    return None


def _measures(speeds: Speeds) -> tuple[Measure, ...]:
    return ("images/s",) if speeds.measured else ("GMACs", "parameters (M)")


def _along(analysis: Analysis, measure: Measure, speeds: Speeds) -> Tradeoff | None:
    costs = _costs(analysis, measure, speeds)
    axis = family_axis(analysis.variants)
    names = _differing(analysis)
    finished = [row for row in _rows(analysis) if row.mean is not None]
    known = [row for row in finished if row.variant.group_id in costs]
    elsewhere = [row for row in known if speeds.other_machine(row.variant.group_id)]
    if measure != "images/s":
        elsewhere = []
    points = []
    for row in known:
        if row in elsewhere or row.mean is None:
            continue
        variant = row.variant
        x, x_range = costs[variant.group_id]
        points.append(
            TradeoffPoint(
                variant.group_id,
                variant.label,
                rest_of_label(variant, axis, names),
                family_of(variant, axis),
                x,
                x_range,
                row.mean,
                row.interval,
                speeds.unlike(variant.group_id) if measure == "images/s" else {},
            )
        )
    if len({point.x for point in points}) < 2:
        return None
    sign = 1 if measure == "images/s" else -1
    front = stats.pareto_front(
        [ParetoPoint(p.group_id, sign * p.x, p.accuracy, p.interval, p.x_range) for p in points]
    )
    families = tuple(dict.fromkeys(family_of(v, axis) for v in analysis.variants))
    labels = tuple(row.variant.label for row in elsewhere)
    return Tradeoff(measure, tuple(points), families, front, labels, len(finished) - len(known))


def _differing(analysis: Analysis) -> dict[str, str]:
    """Short names of the fields that have more than one value."""
    names = short_names(tuple(analysis.variants[0].swept))
    return {
        axis: name
        for axis, name in names.items()
        if len({same_value(variant.swept[axis]) for variant in analysis.variants}) > 1
    }


def _rows(analysis: Analysis) -> list[VariantResult]:
    return [analysis.results[variant.group_id] for variant in analysis.variants]


def _costs(
    analysis: Analysis, measure: Measure, speeds: Speeds
) -> dict[str, tuple[float, Interval | None]]:
    found: dict[str, tuple[float, Interval | None]] = {}
    if measure == "images/s":
        for group in speeds.of:
            rate = speeds.rate(group)
            if rate is not None and rate.images_per_s > 0:
                edges = (rate.low, rate.high)
                span = None if None in edges else Interval(rate.low or 0.0, rate.high or 0.0)
                found[group] = (rate.images_per_s, span)
        return found
    for group, size in analysis.sizes.items():
        value = size.macs if measure == "GMACs" else size.parameters
        if value:
            found[group] = (value / (1e9 if measure == "GMACs" else 1e6), None)
    return found
