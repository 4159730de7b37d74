"""What each swept field changes, which fields work together, and one-change lists. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from reports import stats
from reports.analysis import Analysis, Comparison
from reports.settings import same_value
from reports.stats import AxisEffect, Interaction
from reports.variants import KIND, Variant, short_names, value_text

MOST_LEVELS = 20
"""A field with more values is a scale, and is left to its table rows alone."""
MOST_PAIRS = 6
"""Pairs of fields whose interactions are looked at."""


@dataclass(frozen=True)
class AxisEffects:
    """All levels of one field against its reference level."""

    axis: str
    name: str
    """The field's short name."""
    effects: tuple[AxisEffect, ...]


@dataclass(frozen=True)
class PairInteractions:
    """What two fields do together."""

    names: tuple[str, str]
    found: tuple[Interaction, ...]


@dataclass(frozen=True)
class Change:
    """A variant that differs from the baseline in one field."""

    variant: Variant
    axis: str | None
    """The field; null for the baseline itself."""


def axis_effects(analysis: Analysis) -> tuple[AxisEffects, ...]:
    """Main effects of every swept field that has two levels at otherwise equal settings.

    The reference level is the baseline's; a field that the baseline leaves open has its first
    level. A level that was compared once only keeps that comparison's interval, and kinds of
    distillation keep those of the answer: two intervals for one difference could contradict.
    """
    if not analysis.variants:
        return ()
    groups, swept = _groups(analysis)
    names = short_names(tuple(analysis.variants[0].swept))
    found = []
    for axis, name in names.items():
        reference = analysis.baseline.selector.get(axis)
        effects = stats.main_effects(groups, swept, axis, analysis.spread, reference)
        known = tuple(_reconciled(analysis, effect) for effect in effects)
        if known and len(known) < MOST_LEVELS:
            found.append(AxisEffects(axis, name, known))
    return tuple(found)


def _groups(analysis: Analysis) -> tuple[dict[str, list[float]], dict[str, Mapping[str, Any]]]:
    groups = {group: list(row.values.values()) for group, row in analysis.results.items() if row.n}
    return groups, {variant.group_id: variant.swept for variant in analysis.variants}


def _reconciled(analysis: Analysis, effect: AxisEffect) -> AxisEffect:
    """The effect, with the interval that the report already printed for the same difference."""
    if effect.axis == KIND and effect.reference == "none":
        for kind in analysis.effects:
            if kind.against == "none" and kind.kind == effect.level:
                return dataclasses.replace(
                    effect, delta=kind.delta, interval=kind.interval, verdict=kind.verdict,
                    settings=kind.settings,
                )  # fmt: skip
    if effect.settings == 1:
        for comparison in analysis.comparisons.values():
            if _is_same(analysis, effect, comparison):
                return dataclasses.replace(
                    effect, interval=comparison.interval, verdict=comparison.verdict
                )
    return effect


def _is_same(analysis: Analysis, effect: AxisEffect, comparison: Comparison) -> bool:
    first, second = (
        analysis.results[group].variant.swept.get(effect.axis)
        for group in (comparison.group_id, comparison.baseline_id)
    )
    levels = same_value(first) == same_value(effect.level) and same_value(second) == same_value(
        effect.reference
    )
    return levels and abs(comparison.delta - effect.delta) < stats.EQUAL


def pair_interactions(
    analysis: Analysis, axes: Sequence[AxisEffects]
) -> tuple[PairInteractions, ...]:
    """Interactions of the first pairs of fields that were swept against each other."""
    groups, swept = _groups(analysis)
    found = []
    for one, other in combinations(axes, 2):
        references = (one.effects[0].reference, other.effects[0].reference)
        pair = stats.interactions(
            groups, swept, (one.axis, other.axis), analysis.spread, references
        )
        if pair:
            found.append(PairInteractions((one.name, other.name), pair))
        if len(found) == MOST_PAIRS:
            break
    return tuple(found)


def one_change_list(analysis: Analysis) -> tuple[Change, ...]:
    """The variants of a sweep that changes one field at a time; empty for any other sweep."""
    if len(analysis.baseline.groups) != 1 or len(analysis.variants) < 3:
        return ()
    base = analysis.results[analysis.baseline.groups[0]].variant
    changes = [Change(base, None)]
    for variant in analysis.variants:
        if variant.group_id == base.group_id:
            continue
        axes = _changed(base.swept, variant.swept)
        if len(axes) != 1:
            return ()
        changes.append(Change(variant, axes[0]))
    return tuple(changes) if len({change.axis for change in changes}) > 2 else ()


def _changed(base: Mapping[str, Any], swept: Mapping[str, Any]) -> list[str]:
    """Fields of unlike value; one that has no effect on one side comes with another change."""
    return [
        axis
        for axis, value in swept.items()
        if value is not None
        and base.get(axis) is not None
        and same_value(value) != same_value(base[axis])
    ]


def level_text(value: Any) -> str:
    """A level as a tick or a value: `yes`, `no`, `12`."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value_text(value)
