"""Linear combinations of group means: error, critical values, p values, and the words for them."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Literal

from scipy import special

from reports.stats.numbers import CONFIDENCE, Estimate, Groups, Interval, mean, sample_sd
from reports.stats.pooling import Spread

Weights = Mapping[str, float]
"""Weight of each group's mean in a combination; groups that are absent have weight 0."""

Verdict = Literal["better", "baseline better", "not distinguishable", "not tested"]


def value_of(groups: Groups, weights: Weights) -> float:
    """The combination sum_i w_i mean_i."""
    return math.fsum(weight * mean(groups[name]) for name, weight in weights.items() if weight)


def contrast(groups: Groups, weights: Weights, found: Spread) -> Estimate | None:
    """The estimate sum_i w_i mean_i; None where the seeds do not show its error.

    Pooled: se = s sqrt(sum_i w_i^2 / n_i) with the pooled df. Otherwise Welch-Satterthwaite:
    se^2 = sum_i v_i with v_i = w_i^2 s_i^2 / n_i, and df = se^4 / sum_i v_i^2 / (n_i - 1).
    """
    if found.sd is None or found.sd == 0:
        return None
    used = {name: weight for name, weight in weights.items() if abs(weight) > 1e-12}
    value = value_of(groups, used)
    if found.pooled:
        scale = math.fsum(weight**2 / len(groups[name]) for name, weight in used.items())
        return Estimate(value, found.sd * math.sqrt(scale), found.df)
    terms = []
    for name, weight in used.items():
        sd, n = sample_sd(groups[name]), len(groups[name])
        if not sd:  # one value, or values that are all equal
            return None
        terms.append((weight**2 * sd**2 / n, n - 1))
    variance = math.fsum(v for v, _ in terms)
    df = variance**2 / math.fsum(v**2 / degrees for v, degrees in terms)
    return Estimate(value, math.sqrt(variance), df)


@functools.lru_cache(maxsize=65_536)
def t_critical(df: float, comparisons: int = 1, confidence: float = CONFIDENCE) -> float:
    """Two-sided Student t quantile; Bonferroni's for more than one comparison."""
    return -float(special.stdtrit(df, (1 - confidence) / (2 * comparisons)))


def p_value(estimate: Estimate) -> float:
    """Two-sided p of Student's t test that the combination is 0; for this one alone."""
    return 2 * float(special.stdtr(estimate.df, -abs(estimate.value) / estimate.standard_error))


def verdict(delta: float, interval: Interval | None) -> Verdict:
    """The word for a difference from the baseline with this simultaneous interval."""
    if interval is None:
        return "not tested"
    if not interval.excludes_zero():
        return "not distinguishable"
    return "better" if delta > 0 else "baseline better"
