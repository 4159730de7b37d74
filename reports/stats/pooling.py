"""One standard deviation for all groups of a sweep, and whether that may be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import special

from reports.stats.numbers import Groups, sample_sd

BARTLETT_LEVEL = 0.01
"""Variances are pooled unless Bartlett's p is below this: 0.05 would fire on 1 sweep in 20."""
SUSPICION_LEVEL = 0.1
"""Pooled, but worth a warning: Bartlett's test is weak with 2-3 seeds. Fires on 1 sweep in 10."""


@dataclass(frozen=True)
class Spread:
    """How much seeds differ, over all groups."""

    sd: float | None
    """Pooled standard deviation; None where no group has two values, 0 where no group varies."""
    df: int
    bartlett_p: float | None
    """None where the test cannot be computed."""

    @property
    def pooled(self) -> bool:
        """Whether one standard deviation may stand for all groups."""
        return self.bartlett_p is None or self.bartlett_p >= BARTLETT_LEVEL

    @property
    def suspicious(self) -> bool:
        """Whether it is pooled although the groups may well differ in spread."""
        return self.pooled and self.bartlett_p is not None and self.bartlett_p < SUSPICION_LEVEL


def spread(groups: Groups) -> Spread:
    """Pooled standard deviation and Bartlett's test.

    s^2 = sum_i (n_i - 1) s_i^2 / sum_i (n_i - 1), over the groups whose values differ: those with
    n_i = 1 and those whose values are all equal show no spread, and have no part in the test.
    """
    sds = [sample_sd(values) for values in groups.values()]
    varying = [
        (len(values) - 1, sd**2) for values, sd in zip(groups.values(), sds, strict=True) if sd
    ]
    if not varying:
        return Spread(None if all(sd is None for sd in sds) else 0.0, 0, None)
    df = sum(degrees for degrees, _ in varying)
    pooled = math.fsum(degrees * variance for degrees, variance in varying) / df
    return Spread(math.sqrt(pooled), df, _bartlett_p(varying, pooled, df))


def _bartlett_p(
    varying: Sequence[tuple[int, float]], pooled_variance: float, df: int
) -> float | None:
    """Bartlett's test of equal variances (Bartlett 1937); None for fewer than two groups.

    Args:
        varying: degrees of freedom and variance of each group.
        pooled_variance: their mean, weighted by degrees of freedom.
        df: sum of the degrees of freedom.
    """
    k = len(varying)
    if k < 2:
        return None
    logs = math.fsum(degrees * math.log(variance) for degrees, variance in varying)
    correction = 1 + (math.fsum(1 / degrees for degrees, _ in varying) - 1 / df) / (3 * (k - 1))
    statistic = (df * math.log(pooled_variance) - logs) / correction
    return float(special.chdtrc(k - 1, max(statistic, 0.0)))
