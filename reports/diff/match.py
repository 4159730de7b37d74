"""Which variant of one sweep is which of another. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from reports.reference.fields import settings_of
from reports.results import SweepResults
from reports.variants import Variant, axes_of, group_variants

How = Literal["equal config", "equal swept values"]


@dataclass(frozen=True)
class Pair:
    """A variant that both sweeps have."""

    a: Variant
    b: Variant
    how: How

    @property
    def label(self) -> str:
        """Its label in B, which is mostly the newer sweep."""
        return self.b.label


@dataclass(frozen=True)
class Matching:
    """The variants of two sweeps."""

    pairs: tuple[Pair, ...]
    """In the plan order of B."""
    only_a: tuple[Variant, ...]
    only_b: tuple[Variant, ...]
    ambiguous: tuple[str, ...]
    """Labels of variants with equal swept values whose partner cannot be told, in plan order."""


def match_sweeps(a: SweepResults, b: SweepResults) -> Matching:
    """Variants with equal group ids first, then those whose swept values are equal.

    A field that only one sweep varies is taken from the other's config. Variants that share their
    values with another variant of the same sweep are not matched by values.
    """
    of_a, of_b = _variants(a), _variants(b)
    by_id = {variant.group_id: variant for variant in of_a}
    pairs = {
        v.group_id: Pair(by_id[v.group_id], v, "equal config") for v in of_b if v.group_id in by_id
    }
    left_a = [variant for variant in of_a if variant.group_id not in pairs]
    left_b = [variant for variant in of_b if variant.group_id not in pairs]
    axes = tuple(dict.fromkeys((*_axes(a), *_axes(b))))
    keyed_a, keyed_b = _by_values(left_a, axes), _by_values(left_b, axes)
    ambiguous: list[str] = []
    for key, variants in keyed_b.items():
        others = keyed_a.get(key, [])
        if len(variants) == len(others) == 1:
            pairs[variants[0].group_id] = Pair(others[0], variants[0], "equal swept values")
        elif others:
            ambiguous += [variant.label for variant in variants]
    matched_a = {pair.a.group_id for pair in pairs.values()}
    return Matching(
        pairs=tuple(pairs[v.group_id] for v in of_b if v.group_id in pairs),
        only_a=tuple(v for v in of_a if v.group_id not in matched_a),
        only_b=tuple(v for v in of_b if v.group_id not in pairs),
        ambiguous=tuple(ambiguous),
    )


def _variants(sweep: SweepResults) -> tuple[Variant, ...]:
    return group_variants(sweep) if sweep.students else ()


def _axes(sweep: SweepResults) -> tuple[str, ...]:
    return axes_of(sweep) if sweep.students else ()


def _by_values(variants: Sequence[Variant], axes: Iterable[str]) -> dict[str, list[Variant]]:
    found: dict[str, list[Variant]] = {}
    for variant in variants:
        settings = _settings(variant)
        values = [variant.swept.get(axis, settings.get(axis)) for axis in axes]
        found.setdefault(json.dumps(values, sort_keys=True), []).append(variant)
    return found


def _settings(variant: Variant) -> Mapping[str, object]:
    config = next((trial.config for trial in variant.trials if trial.config), None)
    return settings_of(config) if config else {}
