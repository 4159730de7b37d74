"""Measured minus published, with intervals that hold for all compared variants at once. Pure.

A published number is taken as it stands: papers give no interval with it, so the intervals here
hold the chance of the measured seeds alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from reports import stats
from reports.analysis import Analysis
from reports.reference.fields import settings_of
from reports.reference.match import Match, Measured, match_variant
from reports.reference.published import PublishedModel, Reference, parse_reference
from reports.results import SweepResults, TrialResult
from reports.stats import Interval
from reports.variants import Variant

EXTRA_KEY = "reference"
"""Where the reference lies in `SweepResults.extra`, so that results.json keeps it."""

Word = Literal["above", "below", "not distinguishable", "not tested", "not comparable"]


@dataclass(frozen=True)
class Metric:
    """An accuracy that is measured here and published."""

    title: str
    measured: str
    """Field of a SummaryRecord."""
    published: str
    """Field of a PublishedModel."""


METRICS = (
    Metric("top-1", "val_top1", "top1"),
    Metric("top-1 on ReaL labels", "val_real_top1", "real_top1"),
    Metric("top-1 on ImageNet-V2", "val_v2_top1", "v2_top1"),
)


@dataclass(frozen=True)
class BesidePublished:
    """One accuracy of one variant beside the published one. Percent and percentage points."""

    group_id: str
    metric: Metric
    n: int
    """Seeds that have it."""
    mean: float | None
    interval: Interval | None
    """Of the mean, for this variant alone."""
    published: float
    difference: float | None
    """Mean minus published; null where the two must not be subtracted."""
    difference_interval: Interval | None
    word: Word


@dataclass(frozen=True)
class ReferenceComparison:
    """All variants beside one reference."""

    reference: Reference
    matches: Mapping[str, Match]
    """By group id."""
    unmatched: Mapping[str, str]
    """Why there is no published row, by group id."""
    rows: tuple[BesidePublished, ...]
    """Variants in plan order, each with the metrics that are known on both sides."""

    @property
    def below(self) -> tuple[BesidePublished, ...]:
        """What is worse than published, with an interval that excludes 0."""
        return tuple(row for row in self.rows if row.word == "below")


def with_reference(sweep: SweepResults, content: Mapping[str, Any] | None) -> SweepResults:
    """The sweep with a reference (`load_reference`) to set beside it, in place of the one it has.

    None leaves the sweep as it is.
    """
    if content is None:
        return sweep
    return replace(sweep, extra={**sweep.extra, EXTRA_KEY: content})


def reference_of(sweep: SweepResults) -> Reference | None:
    """The reference that was read with the sweep, if one was asked for."""
    values = sweep.extra.get(EXTRA_KEY)
    return None if values is None else parse_reference(values, "the reference in results.json")


def compare_published(sweep: SweepResults, analysis: Analysis) -> ReferenceComparison | None:
    """Set every variant beside its published model; None where no reference was asked for."""
    reference = reference_of(sweep)
    if reference is None:
        return None
    found = {v.group_id: match_variant(measured_of(v), reference) for v in analysis.variants}
    matches = {group: match for group, match in found.items() if isinstance(match, Match)}
    unmatched = {group: why for group, why in found.items() if isinstance(why, str)}
    by_metric = [_compare(metric, matches, analysis) for metric in METRICS]
    rows = tuple(rows[group] for group in matches for rows in by_metric if group in rows)
    return ReferenceComparison(reference, matches, unmatched, rows)


def published_values(found: ReferenceComparison | None) -> dict[str, Any] | None:
    """The comparison as plain data for results.json; percent and percentage points."""
    if found is None:
        return None
    return {
        "name": found.reference.name,
        "source": found.reference.source,
        "rows": [
            {
                "group_id": row.group_id,
                "published_model": found.matches[row.group_id].row.name,
                "accuracy": row.metric.measured,
                "n": row.n,
                "mean": row.mean,
                "published": row.published,
                "difference": row.difference,
                "interval": asdict(row.difference_interval) if row.difference_interval else None,
                "verdict": row.word,
            }
            for row in found.rows
        ],
        "matches": [
            {
                "group_id": group,
                "why": match.why,
                "differences": list(match.differences),
                "unknown": list(match.unknown),
                "not_comparable": match.unlike,
            }
            for group, match in found.matches.items()
        ],
        "unmatched": dict(found.unmatched),
    }


def measured_of(variant: Variant) -> Measured:
    """What the trials of a variant say of their settings and data."""
    results = [trial.result for trial in variant.trials if trial.result]
    return Measured(
        settings=next((s for trial in variant.trials if (s := _settings(trial))), {}),
        train_images=_agreed([result.train_images for result in results]),
        val_images=_agreed([result.val_images for result in results]),
        num_classes=_agreed([result.num_classes for result in results]),
    )


def _settings(trial: TrialResult) -> Mapping[str, Any]:
    if trial.imported is not None:
        return trial.imported.settings
    return {} if trial.config is None else settings_of(trial.config)


def _agreed(numbers: Sequence[int | None]) -> int | None:
    """What all finished seeds say, if they say the same."""
    found = set(numbers)
    return found.pop() if len(found) == 1 else None


def _compare(
    metric: Metric, matches: Mapping[str, Match], analysis: Analysis
) -> dict[str, BesidePublished]:
    """One metric of all variants that have a published number for it."""
    values = {
        variant.group_id: list(variant.seed_values(metric.measured).values())
        for variant in analysis.variants
    }
    groups = {group: own for group, own in values.items() if own}
    spread = stats.spread(groups)
    pairs = {
        group: published
        for group, match in matches.items()
        if (published := _published(match.row, metric)) is not None
        and (group in groups or metric is METRICS[0])
    }
    estimates = {
        group: estimate
        for group in pairs
        if matches[group].unlike is None and len(groups.get(group, ())) >= 2
        if (estimate := stats.contrast(groups, {group: 1.0}, spread)) is not None
    }
    critical = _critical(estimates, groups, spread)
    rows = {}
    for group, published in pairs.items():
        own = groups.get(group)
        mean = stats.mean(own) if own else None
        estimate = estimates.get(group)
        alone = stats.contrast(groups, {group: 1.0}, spread) if own and len(own) >= 2 else None
        interval = alone.interval(stats.t_critical(alone.df)) if alone else None
        unlike = matches[group].unlike is not None
        difference = None if mean is None or unlike else mean - published
        shifted = None
        if estimate is not None:
            around = estimate.interval(critical[group])
            shifted = Interval(around.low - published, around.high - published)
        word = _word(difference, shifted, unlike)
        rows[group] = BesidePublished(
            group, metric, len(own or ()), mean, interval, published, difference, shifted, word
        )
    return rows


def _critical(
    estimates: Mapping[str, stats.Estimate], groups: stats.Groups, spread: stats.Spread
) -> dict[str, float]:
    """Multipliers of the standard errors, for all intervals at once."""
    family = [{group: 1.0} for group in estimates]
    if family and spread.pooled:
        sizes = {group: len(groups[group]) for group in estimates}
        shared = stats.simultaneous_critical(family, sizes, spread.df)
        return dict.fromkeys(estimates, shared)
    return {group: stats.t_critical(one.df, len(family)) for group, one in estimates.items()}


def _published(row: PublishedModel, metric: Metric) -> float | None:
    value: float | None = getattr(row, metric.published)
    return value


def _word(difference: float | None, interval: Interval | None, unlike: bool) -> Word:
    if unlike:
        return "not comparable"
    if difference is None or interval is None:
        return "not tested"
    if not interval.excludes_zero():
        return "not distinguishable"
    return "above" if difference > 0 else "below"
