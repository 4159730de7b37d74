"""From groups of seeds to means, intervals and verdicts. Pure.

Three words are used, and defined in every report: *better* (the simultaneous interval of the
difference excludes 0), *not distinguishable* (it does not), *not tested* (a single seed on one
side, or no seeds that differ, show no spread to test with).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports import stats
from reports.results import SweepResults
from reports.speed.sizes import ModelSize, sizes_of
from reports.speed.throughput import Speeds, speeds_of
from reports.stats import Estimate, Interval, Paired, Spread, Verdict
from reports.variants import KIND, NO_BASELINE, Baseline, Variant, find_baseline, group_variants


@dataclass(frozen=True)
class VariantResult:
    """One row of the main table. Accuracies in percent, differences in percentage points."""

    variant: Variant
    values: Mapping[int, float]
    mean: float | None
    sd: float | None
    interval: Interval | None

    @property
    def n(self) -> int:
        """Finished seeds."""
        return len(self.values)


@dataclass(frozen=True)
class Comparison:
    """One variant against its baseline."""

    group_id: str
    baseline_id: str
    delta: float
    interval: Interval | None
    verdict: Verdict
    paired: Paired | None


@dataclass(frozen=True)
class Effect:
    """A difference averaged over several settings: `kind` minus `against`."""

    kind: str
    against: str
    delta: float
    interval: Interval | None
    verdict: Verdict
    settings: int
    """Comparisons that are averaged."""


@dataclass(frozen=True)
class Analysis:
    """All numbers of a report."""

    variants: tuple[Variant, ...]
    results: Mapping[str, VariantResult]
    spread: Spread
    baseline: Baseline
    comparisons: Mapping[str, Comparison]
    critical: float | None
    """Multiplier of the standard error in `comparisons`; None if unpooled or nothing is tested."""
    effects: tuple[Effect, ...]
    """Each kind of distillation against none, then the kinds against each other."""

    @property
    def ranked(self) -> list[VariantResult]:
        """Best mean first; variants without a result last, in plan order."""
        rows = [self.results[variant.group_id] for variant in self.variants]
        return sorted(rows, key=lambda row: -row.mean if row.mean is not None else math.inf)

    @property
    def best(self) -> VariantResult | None:
        """The highest mean, if anything has finished."""
        first = next(iter(self.ranked), None)
        return first if first is not None and first.mean is not None else None

    @functools.cached_property
    def speeds(self) -> Speeds:
        """How fast the variants are, where it was measured."""
        return speeds_of(self.variants)

    @functools.cached_property
    def sizes(self) -> Mapping[str, ModelSize]:
        """How large the variants are, by group id."""
        return sizes_of(self.variants, self.speeds)

    @property
    def tested(self) -> int:
        """Size of the family of comparisons with the baseline."""
        return sum(c.verdict != "not tested" for c in self.comparisons.values())


def analyse(sweep: SweepResults, baseline: str | None = None) -> Analysis:
    """Compute everything the report states.

    Raises:
        ReportError: `baseline` does not name variants of this sweep.
    """
    variants = group_variants(sweep)
    if sweep.search is not None and baseline is None:
        chosen = NO_BASELINE
    else:
        chosen = find_baseline(variants, baseline)
    values = {v.group_id: v.values for v in variants}
    groups = {group: list(seeds.values()) for group, seeds in values.items() if seeds}
    spread = stats.spread(groups)
    results = {v.group_id: _summarise(v, groups, spread) for v in variants}
    comparisons, critical = compare(values, chosen.of, spread)
    effects = _effects(variants, chosen, comparisons, groups, spread)
    return Analysis(variants, results, spread, chosen, comparisons, critical, effects)


def compare(
    values: Mapping[str, Mapping[int, float]], baseline_of: Mapping[str, str], spread: Spread
) -> tuple[dict[str, Comparison], float | None]:
    """Compare variants with their baselines, with intervals that hold for all of them at once.

    Args:
        values: accuracy by seed of each variant; a variant without any is left out.
        baseline_of: the baseline of each variant that has one.
        spread: of all variants.

    Returns:
        The comparisons, and `Analysis.critical`.
    """
    groups = {group: list(seeds.values()) for group, seeds in values.items() if seeds}
    pairs = {g: b for g, b in baseline_of.items() if g in groups and b in groups}
    estimates = {group: _difference(groups, spread, group, base) for group, base in pairs.items()}
    tested = [group for group, estimate in estimates.items() if estimate is not None]
    critical = _family_critical(tested, pairs, groups, spread)
    comparisons = {}
    for group, base in pairs.items():
        delta = stats.mean(groups[group]) - stats.mean(groups[base])
        interval = _interval(estimates[group], (len(tested), critical))
        paired = stats.paired(values[group], values[base])
        word = stats.verdict(delta, interval)
        comparisons[group] = Comparison(group, base, delta, interval, word, paired)
    return comparisons, critical


def _summarise(variant: Variant, groups: stats.Groups, spread: Spread) -> VariantResult:
    group, values = variant.group_id, variant.values
    if not values:
        return VariantResult(variant, values, None, None, None)
    own = groups[group]
    estimate = stats.contrast(groups, {group: 1.0}, spread) if len(own) >= 2 else None
    interval = estimate.interval(stats.t_critical(estimate.df)) if estimate else None
    return VariantResult(variant, values, stats.mean(own), stats.sample_sd(own), interval)


def _difference(groups: stats.Groups, spread: Spread, group: str, base: str) -> Estimate | None:
    """The difference from a baseline; None where it is not tested."""
    if min(len(groups[group]), len(groups[base])) < 2:
        return None
    return stats.contrast(groups, {group: 1.0, base: -1.0}, spread)


def _family_critical(
    tested: Sequence[str], pairs: Mapping[str, str], groups: stats.Groups, spread: Spread
) -> float | None:
    """Dunnett's critical value; None where nothing is tested or variances are not pooled."""
    if not tested or not spread.pooled:
        return None
    families: dict[str, list[int]] = {}
    for group in tested:
        families.setdefault(pairs[group], []).append(len(groups[group]))
    sizes = [(len(groups[base]), compared) for base, compared in families.items()]
    return stats.dunnett_critical(sizes, spread.df)


def _interval(estimate: Estimate | None, family: tuple[int, float | None]) -> Interval | None:
    """Interval of a contrast; Bonferroni over the family where no exact critical value is given."""
    if estimate is None:
        return None
    size, critical = family
    return estimate.interval(critical or stats.t_critical(estimate.df, size))


def _effects(
    variants: Sequence[Variant],
    baseline: Baseline,
    comparisons: Mapping[str, Comparison],
    groups: stats.Groups,
    spread: Spread,
) -> tuple[Effect, ...]:
    """Each kind against none, averaged over settings, and the kinds against each other."""
    if not baseline.is_distillation_free:
        return ()
    members: dict[str, list[Comparison]] = {}
    for variant in variants:
        comparison = comparisons.get(variant.group_id)
        if comparison is not None and comparison.interval is not None:
            members.setdefault(str(variant.swept[KIND]), []).append(comparison)
    weights = {kind: _mean_delta(of_kind) for kind, of_kind in members.items()}
    effects = [
        _only(kind, of_kind[0])
        if len(of_kind) == 1
        else _effect((kind, "none", len(of_kind)), weights[kind], groups, spread, len(members))
        for kind, of_kind in members.items()
    ]
    effects.sort(key=lambda effect: -effect.delta)
    kinds = [effect.kind for effect in effects]
    pairs = [(a, b) for i, a in enumerate(kinds) for b in kinds[i + 1 :]]
    for a, b in pairs:
        difference = {
            g: weights[a].get(g, 0.0) - weights[b].get(g, 0.0) for g in {**weights[a], **weights[b]}
        }
        settings = min(len(members[a]), len(members[b]))
        effects.append(_effect((a, b, settings), difference, groups, spread, len(pairs)))
    return tuple(effects)


def _only(kind: str, comparison: Comparison) -> Effect:
    """A kind with one comparison is that comparison: a second interval could contradict it."""
    return Effect(kind, "none", comparison.delta, comparison.interval, comparison.verdict, 1)


def _mean_delta(members: Sequence[Comparison]) -> dict[str, float]:
    """Weights of the mean difference between some variants and their baselines."""
    weights: dict[str, float] = {}
    for comparison in members:
        for group, sign in ((comparison.group_id, 1), (comparison.baseline_id, -1)):
            weights[group] = weights.get(group, 0.0) + sign / len(members)
    return weights


def _effect(
    names: tuple[str, str, int],
    weights: Mapping[str, float],
    groups: stats.Groups,
    spread: Spread,
    family: int,
) -> Effect:
    delta = stats.value_of(groups, weights)
    interval = _interval(stats.contrast(groups, weights, spread), (family, None))
    kind, against, settings = names
    return Effect(kind, against, delta, interval, stats.verdict(delta, interval), settings)
