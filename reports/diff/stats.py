"""Top-1 and speed of one sweep minus, or over, those of another. Pure.

A run that both sweeps contain (equal trial id and equal accuracy) is one run: it counts once in the
spread, and the part of both means that rests on it cancels in their difference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from reports import stats
from reports.diff.match import Pair
from reports.speed.throughput import QUANTITIES, Rate, as_fast, described, speed_of
from reports.stats import EQUAL, Estimate, Interval, Paired, Spread
from reports.variants import Variant

Word = Literal["better in B", "worse in B", "not distinguishable", "not tested", "identical"]

Run = tuple[str, float]
"""Trial id and top-1 accuracy in percent."""


@dataclass(frozen=True)
class Difference:
    """One variant in both sweeps. Percent and percentage points."""

    pair: Pair
    n_a: int
    n_b: int
    mean_a: float | None
    mean_b: float | None
    delta: float | None
    """B minus A."""
    interval: Interval | None
    """Holds for all differences at once."""
    paired: Paired | None
    """At the seeds that both have, for this variant alone; null where runs are the same."""
    shared_runs: int
    """Runs that are in both sweeps."""
    word: Word


@dataclass(frozen=True)
class SpeedDifference:
    """One quantity of one variant in both sweeps."""

    pair: Pair
    a: Rate
    b: Rate
    ratio: float | None
    """B over A; null where the conditions differ."""
    low: float | None
    high: float | None
    """Ratios of the slowest and fastest blocks: the range from run to run."""
    equal: bool
    """Whether the two differ by less than the range of their blocks."""
    unlike: tuple[str, ...]
    """Conditions that differ, in words."""


@dataclass(frozen=True)
class Differences:
    """All variants that both sweeps have."""

    accuracy: tuple[Difference, ...]
    speed: tuple[SpeedDifference, ...]
    spread: Spread
    tested: int
    """Size of the family of the intervals."""

    @property
    def worse(self) -> tuple[Difference, ...]:
        """Variants that are worse in B, with an interval that excludes 0."""
        return tuple(one for one in self.accuracy if one.word == "worse in B")


def differences(pairs: Sequence[Pair]) -> Differences:
    """Compare all variants that two sweeps share."""
    runs = [(_runs(pair.a), _runs(pair.b)) for pair in pairs]
    groups = _groups(runs)
    spread = stats.spread(groups)
    estimates = [_estimate(a, b, spread) for a, b in runs]
    tested = sum(estimate is not None for estimate in estimates)
    accuracy = tuple(
        _difference(pair, both, estimate, _critical(estimate, tested, spread))
        for pair, both, estimate in zip(pairs, runs, estimates, strict=True)
    )
    speed = tuple(one for pair in pairs for one in _speeds(pair))
    return Differences(accuracy, speed, spread, tested)


def _runs(variant: Variant) -> dict[int, Run]:
    values = variant.values
    ids = {trial.planned.seed: trial.planned.trial_id for trial in variant.trials if trial.result}
    return {seed: (ids[seed], value) for seed, value in values.items()}


def _same(a: Run, b: Run) -> bool:
    return a[0] == b[0] and abs(a[1] - b[1]) <= EQUAL


def _groups(runs: Sequence[tuple[Mapping[int, Run], Mapping[int, Run]]]) -> dict[str, list[float]]:
    """Accuracies of each variant of each sweep; a run that is in both is in A's group only."""
    groups = {}
    for number, (a, b) in enumerate(runs):
        groups[f"A {number}"] = [value for _, value in a.values()]
        groups[f"B {number}"] = [
            run[1] for seed, run in b.items() if not (seed in a and _same(a[seed], run))
        ]
    return {name: values for name, values in groups.items() if values}


def _estimate(a: Mapping[int, Run], b: Mapping[int, Run], spread: Spread) -> Estimate | None:
    """B minus A with its standard error; None where that is not tested.

    Every run has a weight: 1/n_B - 1/n_A if it is in both sweeps. Pooled: se = s sqrt(sum w^2).
    Otherwise (no run in both): Welch, as `stats.contrast`.
    """
    if min(len(a), len(b)) < 2 or not spread.sd:
        return None
    both = {seed for seed in a if seed in b and _same(a[seed], b[seed])}
    values_a, values_b = ([value for _, value in runs.values()] for runs in (a, b))
    value = stats.mean(values_b) - stats.mean(values_a)
    if not both:
        return stats.contrast({"A": values_a, "B": values_b}, {"B": 1.0, "A": -1.0}, spread)
    weights = [1 / len(b) - 1 / len(a)] * len(both)
    weights += [-1 / len(a)] * (len(a) - len(both)) + [1 / len(b)] * (len(b) - len(both))
    scale = math.sqrt(math.fsum(weight**2 for weight in weights))
    if scale < 1e-12:  # all runs are the same
        return None
    if spread.pooled:
        return Estimate(value, spread.sd * scale, spread.df)
    all_runs = values_a + [b[seed][1] for seed in b if seed not in both]
    sd = stats.sample_sd(all_runs)
    return Estimate(value, sd * scale, len(all_runs) - 1) if sd else None


def _critical(estimate: Estimate | None, tested: int, spread: Spread) -> float:
    """Multiplier of the standard error, for all differences at once.

    They have no run in common, so pooled ones depend on each other through s alone.
    """
    if estimate is None:
        return math.nan
    if not spread.pooled:
        return stats.t_critical(estimate.df, tested)
    names = [str(number) for number in range(tested)]
    family = [{name: 1.0} for name in names]
    return stats.simultaneous_critical(family, dict.fromkeys(names, 1), spread.df)


def _difference(
    pair: Pair,
    runs: tuple[Mapping[int, Run], Mapping[int, Run]],
    estimate: Estimate | None,
    critical: float,
) -> Difference:
    a, b = runs
    values_a, values_b = ({seed: run[1] for seed, run in one.items()} for one in runs)
    shared = sum(seed in a and _same(a[seed], run) for seed, run in b.items())
    mean_a = stats.mean(list(values_a.values())) if a else None
    mean_b = stats.mean(list(values_b.values())) if b else None
    delta = None if mean_a is None or mean_b is None else mean_b - mean_a
    identical = bool(a) and values_a.keys() == values_b.keys() and _equal(values_a, values_b)
    interval = None if identical or estimate is None else estimate.interval(critical)
    paired = None if shared else stats.paired(values_b, values_a)
    return Difference(
        pair, len(a), len(b), mean_a, mean_b, 0.0 if identical else delta, interval, paired, shared,
        "identical" if identical else _word(delta, interval),
    )  # fmt: skip


def _equal(a: Mapping[int, float], b: Mapping[int, float]) -> bool:
    return all(abs(a[seed] - b[seed]) <= EQUAL for seed in a)


def _word(delta: float | None, interval: Interval | None) -> Word:
    if delta is None or interval is None:
        return "not tested"
    if not interval.excludes_zero():
        return "not distinguishable"
    return "better in B" if delta > 0 else "worse in B"


def _speeds(pair: Pair) -> list[SpeedDifference]:
    """Each quantity that was measured in both sweeps at one batch size."""
    a, b = speed_of(pair.a), speed_of(pair.b)
    if a is None or b is None:
        return []
    conditions = described(a.conditions), described(b.conditions)
    unlike = [
        f"{name} {conditions[0].get(name, 'unknown')} in A, {value} in B"
        for name, value in conditions[1].items()
        if conditions[0].get(name) != value
    ]
    return [
        _speed(pair, a.rates[quantity], b.rates[quantity], unlike)
        for quantity in QUANTITIES
        if quantity in a.rates and quantity in b.rates
    ]


def _speed(pair: Pair, a: Rate, b: Rate, unlike: Sequence[str]) -> SpeedDifference:
    differing = list(unlike)
    if a.batch_size != b.batch_size:
        differing.append(f"batch {a.batch_size} in A, {b.batch_size} in B")
    if differing:
        return SpeedDifference(pair, a, b, None, None, None, False, tuple(differing))
    low = b.low / a.high if b.low and a.high else None
    high = b.high / a.low if b.high and a.low else None
    return SpeedDifference(
        pair, a, b, b.images_per_s / a.images_per_s, low, high, as_fast(a, b), ()
    )
