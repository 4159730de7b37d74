"""Critical values for many comparisons with a baseline, or with several."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy import special

from reports.stats.contrasts import t_critical
from reports.stats.numbers import CONFIDENCE
from reports.stats.quadrature import Array, chi_nodes, legendre, solve_critical

_Family = tuple[int, tuple[tuple[int, int], ...]]
"""Values of a baseline, and (values, how many) of the groups compared with it."""


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
    alike = Counter(
        (n_baseline, tuple(sorted(Counter(compared).items()))) for n_baseline, compared in families
    )
    return _critical(tuple(sorted(alike.items())), df, confidence)


@functools.lru_cache(maxsize=256)
def _critical(alike: tuple[tuple[_Family, int], ...], df: int, confidence: float) -> float:
    """The same for families that are counted: (family, how many are like it)."""
    count = sum(many * repeats for (_, sizes), repeats in alike for _, many in sizes)
    low = t_critical(df, 1, confidence)
    if count == 1:
        return low
    s, s_weights = chi_nodes(df)

    def coverage(c: float) -> float:
        inside = np.ones_like(s)
        for family, repeats in alike:
            inside = inside * _all_inside(c * s, family) ** repeats
        return float(inside @ s_weights)

    return solve_critical(coverage, low, t_critical(df, count, confidence), confidence)


def _all_inside(bound: Array, family: _Family) -> Array:
    """P(|X_i - X_0| <= bound x sqrt(1/n_i + 1/n_0) for all i), sigma = 1; shape as `bound`."""
    n_baseline, sizes = family
    nodes, weights = legendre(160)
    z = 8.5 * nodes  # the normal density beyond 8.5 is below 1e-16
    density = 8.5 * weights * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    product = np.ones((len(bound), len(z)))
    for n, repeats in sizes:
        half = bound[:, None] * math.sqrt(1 / n + 1 / n_baseline)
        centre = z[None, :] / math.sqrt(n_baseline)
        inside = special.ndtr(math.sqrt(n) * (centre + half)) - special.ndtr(
            math.sqrt(n) * (centre - half)
        )
        product = product * inside**repeats
    result: Array = product @ density
    return result
