"""Critical values for any family of linear combinations of group means.

Up to `MAX_EXACT` combinations: the equicoordinate quantile of their multivariate t distribution,
by quasi-Monte Carlo over a fixed lattice (Genz & Bretz 2009, "Computation of Multivariate Normal
and t Probabilities", section 4.2), so that the same family gives the same bits every time. Its
error is below 0.005. Beyond that: the studentized maximum modulus, which is exact for
combinations that are independent but for s and too wide for others (Sidak 1967, JASA 62).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import special

from reports.stats.contrasts import Weights, t_critical
from reports.stats.numbers import CONFIDENCE
from reports.stats.quadrature import Array, chi_nodes, solve_critical

MAX_EXACT = 64
_POINTS = 2**16


def simultaneous_critical(
    family: Sequence[Weights], sizes: Mapping[str, int], df: int, confidence: float = CONFIDENCE
) -> float:
    """The c for which all intervals value +- c x standard error cover at once.

    Args:
        family: the combinations, with at least one weight that is not 0 each.
        sizes: number of values of each group.
        df: degrees of freedom of the pooled standard deviation.
        confidence: probability that all intervals cover.
    """
    if len(family) == 1:
        return t_critical(df, 1, confidence)
    if len(family) > MAX_EXACT:
        return _maximum_modulus(len(family), df, confidence)
    correlation = np.round(_correlation(family, sizes), 12) + 0.0
    return _exact(correlation.tobytes(), len(family), df, confidence)


def _correlation(family: Sequence[Weights], sizes: Mapping[str, int]) -> Array:
    """Of the estimates: cov_ij = sum_g w_ig w_jg / n_g."""
    names = sorted({name for weights in family for name in weights})
    rows = np.array(
        [[weights.get(name, 0.0) / math.sqrt(sizes[name]) for name in names] for weights in family]
    )
    rows /= np.sqrt((rows**2).sum(axis=1, keepdims=True))
    result: Array = rows @ rows.T
    return result


@functools.lru_cache(maxsize=256)
def _exact(correlation: bytes, count: int, df: int, confidence: float) -> float:
    root = _cholesky(np.frombuffer(correlation).reshape(count, count))
    points = special.ndtri(_lattice(_POINTS, root.shape[1]))
    largest = np.abs(points @ root.T).max(axis=1)

    def coverage(c: float) -> float:
        """P(largest <= c s), with the law of s integrated exactly for every point."""
        return float(special.chdtrc(df, df * (largest / c) ** 2).mean())

    low, high = t_critical(df, 1, confidence), t_critical(df, count, confidence)
    return solve_critical(coverage, low, high, confidence)


def _cholesky(correlation: Array) -> Array:
    """L with L L^T = correlation, shape (N, rank): combinations may depend on each other."""
    count = len(correlation)
    columns: list[Array] = []
    residual = correlation.copy()
    for _ in range(count):
        pivot = int(np.argmax(np.diag(residual)))
        if residual[pivot, pivot] < 1e-9:
            break
        column = residual[:, pivot] / math.sqrt(residual[pivot, pivot])
        columns.append(column)
        residual = residual - np.outer(column, column)
    return np.stack(columns, axis=1)


def _lattice(points: int, dimensions: int) -> Array:
    """Richtmyer's sequence: multiples of the roots of primes, folded; inside (0, 1)."""
    steps = np.sqrt(np.array(_primes(dimensions), dtype=np.float64))
    places = (np.arange(1, points + 1)[:, None] * steps[None, :] + 0.5) % 1.0
    folded = np.abs(2 * places - 1)
    inside: Array = np.clip(folded, 1e-12, 1 - 1e-12)
    return inside


def _primes(count: int) -> list[int]:
    found: list[int] = []
    candidate = 2
    while len(found) < count:
        if all(candidate % prime for prime in found):
            found.append(candidate)
        candidate += 1
    return found


@functools.lru_cache(maxsize=256)
def _maximum_modulus(count: int, df: int, confidence: float) -> float:
    s, weights = chi_nodes(df)

    def coverage(c: float) -> float:
        return float((1 - 2 * special.ndtr(-c * s)) ** count @ weights)

    low, high = t_critical(df, 1, confidence), t_critical(df, count, confidence)
    return solve_critical(coverage, low, high, confidence)
