"""Seconds as a power of work, learned from few measurements, with prediction intervals.

Model: log seconds = a + b log work + noise, with a flat prior on a, a normal one on b and a scaled
inverse chi-squared one on the variance of the noise. The posterior predictive distribution is
Student's t (Gelman et al., Bayesian Data Analysis, 3rd edition, sections 3.2, 14.2 and 14.8):

    mean  = m_y + b' (x - m_x),  b' = (S_xy + k b_0) / (S_xx + k)
    scale = s sqrt(1 + 1/n + (x - m_x)^2 / (S_xx + k))
    s^2   = (v_0 s_0^2 + residuals + k (b' - b_0)^2) / v,  v = v_0 + n - 1

with means m, sums of squares S about them, and k = (s_0 / sd of b)^2. One measurement gives an
interval, a far work widens it, more measurements narrow it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from launcher.cost.interval import LEVEL, Interval

SPREAD_SAME = math.log(1.1)
"""s_0 between runs of the same settings: machines drift and have neighbours."""
SPREAD_OTHER = math.log(1.3)
"""s_0 between runs of different models on one kind of device."""

_PRIOR_FREEDOM = 4
"""v_0: how many measurements the spreads above are worth."""
_SLOPE = 0.85
"""b_0: 1 where arithmetic is all, 0 where starting operations is; small models lie between."""
_SLOPE_DEVIATION = 0.2


@dataclass(frozen=True)
class Measurement:
    """One job's mean."""

    work: float
    """FLOPs, positive."""
    seconds: float
    """Positive."""


@dataclass(frozen=True)
class PowerLaw:
    """What measurements say of the seconds that some work takes."""

    count: int
    mean_x: float
    mean_y: float
    slope: float
    precision: float
    """S_xx + k."""
    deviation: float
    """s."""
    quantile: float
    """Of Student's t with v degrees of freedom, at the upper end of a `LEVEL` interval."""

    def seconds(self, work: float) -> Interval:
        """Prediction interval of the seconds for `work` FLOPs, positive."""
        distance = math.log(work) - self.mean_x
        centre = self.mean_y + self.slope * distance
        scale = self.deviation * math.sqrt(1 + 1 / self.count + distance**2 / self.precision)
        half = self.quantile * scale
        return Interval(math.exp(centre - half), math.exp(centre), math.exp(centre + half))


def fit_power_law(measured: Sequence[Measurement], spread: float) -> PowerLaw:
    """Fit at least one measurement.

    Args:
        measured: independent of each other: one for each job.
        spread: s_0, the standard deviation of log seconds that is expected beforehand.
    """
    from scipy.special import stdtrit  # a third of a second: only where something is predicted

    xs = [math.log(one.work) for one in measured]
    ys = [math.log(one.seconds) for one in measured]
    count = len(measured)
    mean_x, mean_y = sum(xs) / count, sum(ys) / count
    weight = (spread / _SLOPE_DEVIATION) ** 2
    precision = sum((x - mean_x) ** 2 for x in xs) + weight
    products = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    slope = (products + weight * _SLOPE) / precision
    residuals = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in zip(xs, ys, strict=True))
    freedom = _PRIOR_FREEDOM + count - 1
    squares = _PRIOR_FREEDOM * spread**2 + residuals + weight * (slope - _SLOPE) ** 2
    return PowerLaw(
        count=count,
        mean_x=mean_x,
        mean_y=mean_y,
        slope=slope,
        precision=precision,
        deviation=math.sqrt(squares / freedom),
        quantile=float(stdtrit(freedom, (1 + LEVEL) / 2)),
    )
