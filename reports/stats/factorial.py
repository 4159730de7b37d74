"""What one swept field changes on average, and whether two fields change more than their sum.

All differences are between variants that are equal in every other field, so a sweep with holes
compares like with like and nothing is extrapolated.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from reports.settings import SettingIndex, Swept, same_value
from reports.stats.contrasts import Verdict, Weights, contrast, t_critical, value_of, verdict
from reports.stats.numbers import Groups, Interval
from reports.stats.pooling import Spread
from reports.stats.simultaneous import simultaneous_critical

Synergy = Literal["more than the sum", "less than the sum", "not distinguishable", "not tested"]


@dataclass(frozen=True)
class AxisEffect:
    """One level of a field against its reference level, averaged over the other fields."""

    axis: str
    level: Any
    reference: Any
    delta: float
    """In the unit of the values; positive: this level is better."""
    interval: Interval | None
    """Simultaneous over the levels of this field."""
    verdict: Verdict
    settings: int
    """Variants of this level that were compared with the reference level, each in its setting."""


@dataclass(frozen=True)
class Interaction:
    """What two changes do together beyond the sum of what each does alone."""

    axes: tuple[str, str]
    levels: tuple[Any, Any]
    references: tuple[Any, Any]
    delta: float
    """(both - only the second) - (only the first - neither), averaged over the other fields."""
    interval: Interval | None
    """Simultaneous over all pairs of levels of these two fields."""
    verdict: Synergy
    settings: int


def levels_of(variants: Mapping[str, Swept], axis: str) -> list[Any]:
    """The values of a field, in order of appearance, without null."""
    found = {same_value(swept.get(axis)): swept.get(axis) for swept in variants.values()}
    return [value for value in found.values() if value is not None]


def main_effects(
    groups: Groups,
    variants: Mapping[str, Swept],
    axis: str,
    found: Spread,
    reference: Any = None,
) -> tuple[AxisEffect, ...]:
    """Each level of a field against the reference level.

    Args:
        groups: values of each variant; those without values may be absent.
        variants: swept values of each variant, in plan order.
        axis: the field.
        found: spread of all groups of the sweep.
        reference: the level to compare with; the first one where it is None.

    Returns:
        One effect for each other level that shares a setting with the reference level. Only
        settings with two values or more on both sides count, unless there is none.
    """
    levels = levels_of(variants, axis)
    if len(levels) < 2:
        return ()
    base = levels[0] if reference is None else reference
    others = [level for level in levels if same_value(level) != same_value(base)]
    tables = _by_levels(groups, variants, (axis,))
    baselines = SettingIndex(tables.get((same_value(base),), {}), (axis,))
    kept = []
    for level in others:
        of_level = tables.get((same_value(level),), {})
        rows = [_pair(name, baselines.alike(swept)) for name, swept in of_level.items()]
        weights, count = _average([row for row in rows if row], groups)
        if weights:
            kept.append((level, weights, count))
    intervals = _intervals([weights for _, weights, _ in kept], groups, found)
    effects = []
    for (level, weights, count), interval in zip(kept, intervals, strict=True):
        delta = value_of(groups, weights)
        word = verdict(delta, interval)
        effects.append(AxisEffect(axis, level, base, delta, interval, word, count))
    return tuple(effects)


def interactions(
    groups: Groups,
    variants: Mapping[str, Swept],
    axes: tuple[str, str],
    found: Spread,
    references: tuple[Any, Any] = (None, None),
) -> tuple[Interaction, ...]:
    """Differences of differences, for each pair of levels of two fields.

    Args:
        groups: values of each variant; those without values may be absent.
        variants: swept values of each variant, in plan order.
        axes: the two fields.
        found: spread of all groups of the sweep.
        references: the level of each that counts as unchanged; the first one where it is None.
    """
    levels = [levels_of(variants, axis) for axis in axes]
    if min(map(len, levels)) < 2:
        return ()
    first, second = references
    base = (levels[0][0] if first is None else first, levels[1][0] if second is None else second)
    kept = _planned(groups, variants, axes, levels, base)
    intervals = _intervals([weights for _, weights, _ in kept], groups, found)
    interactions_found = []
    for (both, weights, count), interval in zip(kept, intervals, strict=True):
        delta = value_of(groups, weights)
        word = _synergy(delta, interval)
        interactions_found.append(Interaction(axes, both, base, delta, interval, word, count))
    return tuple(interactions_found)


def _planned(
    groups: Groups,
    variants: Mapping[str, Swept],
    axes: tuple[str, str],
    levels: Sequence[Sequence[Any]],
    base: tuple[Any, Any],
) -> list[tuple[tuple[Any, Any], dict[str, float], int]]:
    """Each pair of levels with all four corners: its weights, and in how many settings."""
    tables = _by_levels(groups, variants, axes)
    indices = {corner: SettingIndex(table, axes) for corner, table in tables.items()}
    unchanged = (same_value(base[0]), same_value(base[1]))
    kept = []
    for both in itertools.product(*levels):
        pair = (same_value(both[0]), same_value(both[1]))
        corners = [(pair[0], unchanged[1]), (unchanged[0], pair[1]), unchanged]
        changes = pair[0] != unchanged[0] and pair[1] != unchanged[1]
        if not changes or not all(corner in indices for corner in corners):
            continue
        rows = [
            _corners(name, [indices[corner].alike(swept) for corner in corners])
            for name, swept in tables.get(pair, {}).items()
        ]
        weights, count = _average([row for row in rows if row], groups)
        if weights:
            kept.append(((both[0], both[1]), weights, count))
    return kept


def _by_levels(
    groups: Groups, variants: Mapping[str, Swept], axes: Sequence[str]
) -> dict[tuple[Any, ...], dict[str, Swept]]:
    """The variants that have values, by their levels of some fields; null is no level."""
    tables: dict[tuple[Any, ...], dict[str, Swept]] = {}
    for name, swept in variants.items():
        levels = tuple(same_value(swept.get(axis)) for axis in axes)
        if groups.get(name) and None not in levels:
            tables.setdefault(levels, {})[name] = swept
    return tables


def _mean_of(names: Sequence[str], sign: float) -> dict[str, float]:
    return {name: sign / len(names) for name in names}


def _pair(name: str, references: Sequence[str]) -> dict[str, float]:
    """Weights of a variant minus its references in one setting; empty where there is none."""
    return {name: 1.0} | _mean_of(references, -1.0) if references else {}


def _corners(name: str, others: Sequence[Sequence[str]]) -> dict[str, float]:
    """Weights of (both - first) - (second - neither) in one setting; empty where one is missing."""
    first, second, neither = others
    if not (first and second and neither):
        return {}
    return {name: 1.0} | _mean_of(first, -1.0) | _mean_of(second, -1.0) | _mean_of(neither, 1.0)


def _average(rows: Sequence[Weights], groups: Groups) -> tuple[dict[str, float], int]:
    """Weights of the mean over settings; of those that can be tested, where there are any."""
    tested = [row for row in rows if all(len(groups[name]) >= 2 for name in row)]
    used = tested or rows
    weights: dict[str, float] = {}
    for row in used:
        for name, weight in row.items():
            weights[name] = weights.get(name, 0.0) + weight / len(used)
    return weights, len(used)


def _intervals(family: Sequence[Weights], groups: Groups, found: Spread) -> list[Interval | None]:
    """Intervals that hold at once; None for a combination with a single value somewhere."""
    estimates = [
        contrast(groups, weights, found)
        if all(len(groups[name]) >= 2 for name in weights)
        else None
        for weights in family
    ]
    tested = [w for w, estimate in zip(family, estimates, strict=True) if estimate is not None]
    if not tested:
        return [None] * len(family)
    critical = None
    if found.pooled:
        sizes = {name: len(values) for name, values in groups.items()}
        critical = simultaneous_critical(tested, sizes, found.df)
    return [
        None
        if estimate is None
        else estimate.interval(critical or t_critical(estimate.df, len(tested)))
        for estimate in estimates
    ]


def _synergy(delta: float, interval: Interval | None) -> Synergy:
    if interval is None:
        return "not tested"
    if not interval.excludes_zero():
        return "not distinguishable"
    return "more than the sum" if delta > 0 else "less than the sum"
