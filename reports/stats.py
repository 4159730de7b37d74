"""Statistics that hold with a few seeds per variant. Pure functions of numbers.

Model: the accuracies of a variant's seeds are independent draws from a normal distribution, and
the standard deviation is the same for all variants of a sweep unless Bartlett's test says
otherwise. Then one pooled standard deviation with many degrees of freedom serves every variant,
and 2-3 seeds each give usable intervals (8 variants x 3 seeds: half-width 1.22 sd, not 2.48 sd).
Where the spreads differ and the test misses it, the noisiest variant's interval is too narrow.

A variant whose seeds all gave the same accuracy says that its spread is below what one image
resolves, or that its seeds do nothing (a model that predicts one class). Neither is a measurement
of chance, so such a variant is left out of the pooled deviation and of the test, and is given the
spread of the others: that is never too narrow, whichever of the two it was.

Sources: Student 1908 (t); Welch 1947 and Satterthwaite 1946 (unequal variances); Bartlett 1937;
Dunnett 1955, "A multiple comparison procedure for comparing several treatments with a control",
JASA 50 (simultaneous intervals).
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special, stats

CONFIDENCE = 0.95
BARTLETT_LEVEL = 0.01
"""Variances are pooled unless Bartlett's p is below this: 0.05 would fire on 1 sweep in 20."""
SUSPICION_LEVEL = 0.1
"""Pooled, but worth a warning: Bartlett's test is weak with 2-3 seeds. Fires on 1 sweep in 10."""
EQUAL = 1e-9
"""Accuracies closer than this are equal: counts of right images differ by 100 / images points or
not at all, and less is the rounding of floating-point numbers."""

Groups = Mapping[str, Sequence[float]]
"""Values of each group, by name."""


@dataclass(frozen=True)
class Interval:
    """A closed interval, in the unit of the values."""

    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the length."""
        return (self.high - self.low) / 2

    def excludes_zero(self) -> bool:
        """Whether all of it lies on one side of 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Estimate:
    """A linear combination of group means, its standard error and degrees of freedom."""

    value: float
    standard_error: float
    df: float

    def interval(self, critical: float) -> Interval:
        """Return value +- critical x standard error."""
        half = critical * self.standard_error
        return Interval(self.value - half, self.value + half)


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


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean; may miss the mean of equal values by the last bit."""
    return math.fsum(values) / len(values)


def sample_sd(values: Sequence[float]) -> float | None:
    """Standard deviation with n - 1 in the denominator; None for fewer than two values.

    Exactly 0 where all values are equal (`EQUAL`), so that callers can ask for it.
    """
    if len(values) < 2:
        return None
    if max(values) - min(values) <= EQUAL:
        return 0.0
    centre = mean(values)
    return math.sqrt(math.fsum((x - centre) ** 2 for x in values) / (len(values) - 1))


def spread(groups: Groups) -> Spread:
    """Pooled standard deviation and Bartlett's test.

    s^2 = sum_i (n_i - 1) s_i^2 / sum_i (n_i - 1), over the groups whose values differ: those with
    n_i = 1 and those whose values are all equal show no spread, and have no part in the test.
    """
    sds = {name: sample_sd(values) for name, values in groups.items()}
    varying = {name: sd for name, sd in sds.items() if sd}
    if not varying:
        return Spread(None if all(sd is None for sd in sds.values()) else 0.0, 0, None)
    df = sum(len(groups[name]) - 1 for name in varying)
    total = math.fsum((len(groups[name]) - 1) * sd**2 for name, sd in varying.items())
    samples = [np.asarray(groups[name], dtype=float) for name in varying]
    p = float(stats.bartlett(*samples).pvalue) if len(samples) >= 2 else None
    return Spread(math.sqrt(total / df), df, p)


def contrast(groups: Groups, weights: Mapping[str, float], found: Spread) -> Estimate | None:
    """The estimate sum_i w_i mean_i; None where the seeds do not show its error.

    Pooled: se = s sqrt(sum_i w_i^2 / n_i) with the pooled df. Otherwise Welch-Satterthwaite:
    se^2 = sum_i v_i with v_i = w_i^2 s_i^2 / n_i, and df = se^4 / sum_i v_i^2 / (n_i - 1).
    """
    used = {name: weight for name, weight in weights.items() if abs(weight) > 1e-12}
    value = math.fsum(weight * mean(groups[name]) for name, weight in used.items())
    if found.sd is None or found.sd == 0:
        return None
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


def t_critical(df: float, comparisons: int = 1, confidence: float = CONFIDENCE) -> float:
    """Two-sided Student t quantile; Bonferroni's for more than one comparison."""
    return float(stats.t.isf((1 - confidence) / (2 * comparisons), df))


def dunnett_critical(
    families: Sequence[tuple[int, Sequence[int]]], df: int, confidence: float = CONFIDENCE
) -> float:
    """Critical value that holds for all comparisons with their baselines at once.

    Args:
        families: for each baseline its number of values and those of the groups compared with it.
            One family is Dunnett's case; several independent baselines share only s.
        df: degrees of freedom of the pooled standard deviation.
        confidence: probability that all intervals cover.

    Returns:
        c with P(|T_i| <= c for all i) = confidence, where T_i = (X_i - X_0) / (s sqrt(1/n_i +
        1/n_0)). Given s and the baseline's mean the comparisons are independent (Dunnett 1955,
        eq. 4), so this is a two-dimensional integral, done by quadrature: unlike
        `scipy.stats.dunnett`, which draws random numbers and knows one baseline.
    """
    count = sum(len(compared) for _, compared in families)
    low = t_critical(df, 1, confidence)
    if count == 1:
        return low
    high = t_critical(df, count, confidence)  # Bonferroni is never below the exact value
    s, s_weights = _chi_nodes(df)
    alike = Counter((n_baseline, tuple(sorted(compared))) for n_baseline, compared in families)

    def excess(c: float) -> float:
        inside = np.ones_like(s)
        for (n_baseline, compared), repeats in alike.items():
            inside = inside * _all_inside(c * s, n_baseline, Counter(compared)) ** repeats
        return float(inside @ s_weights) - confidence

    if excess(high) <= 0:  # equal up to quadrature error: comparisons that are nearly independent
        return high
    return float(optimize.brentq(excess, low, high, xtol=1e-8))


@functools.cache
def _legendre(degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of Gauss-Legendre quadrature on [-1, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(degree)
    return nodes, weights


def _chi_nodes(df: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of E[f(s / sigma)] over the law of a standard deviation with `df`."""
    nodes, weights = _legendre(128)
    low, high = np.sqrt(stats.chi2.ppf([1e-15, 1 - 1e-15], df) / df)
    s = low + (high - low) * (nodes + 1) / 2
    density = 2 * df * s * stats.chi2.pdf(df * s**2, df)
    return s, weights * density * (high - low) / 2


def _all_inside(bound: np.ndarray, n_baseline: int, compared: Counter[int]) -> np.ndarray:
    """P(|X_i - X_0| <= bound x sqrt(1/n_i + 1/n_0) for all i), sigma = 1; shape as `bound`."""
    nodes, weights = _legendre(160)
    z = 8.5 * nodes  # the normal density beyond 8.5 is below 1e-16
    density = 8.5 * weights * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    product = np.ones((len(bound), len(z)))
    for n, repeats in compared.items():
        half = bound[:, None] * math.sqrt(1 / n + 1 / n_baseline)
        centre = z[None, :] / math.sqrt(n_baseline)
        inside = special.ndtr(math.sqrt(n) * (centre + half)) - special.ndtr(
            math.sqrt(n) * (centre - half)
        )
        product = product * inside**repeats
    result: np.ndarray = product @ density
    return result


@dataclass(frozen=True)
class Paired:
    """Differences between two variants at equal seeds."""

    seeds: int
    mean: float
    interval: Interval | None
    """t interval of the mean difference, for this comparison alone; None below two seeds."""


def paired(values: Mapping[int, float], baseline: Mapping[int, float]) -> Paired | None:
    """Mean of the differences at the seeds both have; None where they share none."""
    shared = sorted(values.keys() & baseline.keys())
    if not shared:
        return None
    differences = [values[seed] - baseline[seed] for seed in shared]
    centre, sd, n = mean(differences), sample_sd(differences), len(shared)
    if not sd:
        return Paired(n, centre, None)
    half = t_critical(n - 1) * sd / math.sqrt(n)
    return Paired(n, centre, Interval(centre - half, centre + half))


def sampling_half_width(top1_percent: float, images: int) -> float:
    """1.96 sqrt(p (1 - p) / N) in percentage points: the chance in which images were drawn.

    The normal approximation to the binomial, for one checkpoint on new images of the same kind.
    """
    p = top1_percent / 100
    return 100 * 1.96 * math.sqrt(p * (1 - p) / images)
