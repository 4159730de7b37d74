"""Nodes and weights of the integrals that simultaneous intervals need."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

Array = npt.NDArray[np.float64]


@functools.cache
def legendre(degree: int) -> tuple[Array, Array]:
    """Nodes and weights of Gauss-Legendre quadrature on [-1, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(degree)
    return nodes, weights


@functools.lru_cache(maxsize=64)
def chi_nodes(df: int) -> tuple[Array, Array]:
    """Nodes and weights of E[f(s / sigma)] over the law of a standard deviation with `df`."""
    nodes, weights = legendre(128)
    low = np.sqrt(2 * special.gammaincinv(df / 2, 1e-15) / df)
    high = np.sqrt(2 * special.gammainccinv(df / 2, 1e-15) / df)
    s = low + (high - low) * (nodes + 1) / 2
    density = 2 * df * s * _chi2_density(df * s**2, df)
    return s, weights * density * (high - low) / 2


def _chi2_density(x: Array, df: int) -> Array:
    """Density of the chi-squared law; not scipy.stats', which takes half a second to import."""
    half = df / 2
    log_density = special.xlogy(half - 1, x / 2) - x / 2 - special.gammaln(half)
    density: Array = np.exp(log_density) / 2
    return density


def solve_critical(
    coverage: Callable[[float], float], low: float, high: float, confidence: float
) -> float:
    """The c in [low, high] with coverage(c) = confidence; an end where it lies beyond that end.

    Args:
        coverage: rises with c.
        low: the critical value of one comparison.
        high: Bonferroni's; never below the exact value, but for the error of a quadrature.
        confidence: what to reach.
    """
    if coverage(high) <= confidence:
        return high
    if coverage(low) >= confidence:
        return low
    return float(optimize.brentq(lambda c: coverage(c) - confidence, low, high, xtol=1e-8))
