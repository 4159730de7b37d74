"""Two checkpoints on the same images, one by one: McNemar's test.

It asks whether one checkpoint is right more often than the other on images like these. It says
nothing about other seeds, so nothing about the method that made them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from reports.stats.numbers import CONFIDENCE, Interval


@dataclass(frozen=True)
class McNemar:
    """How the images fall, and what that shows."""

    both: int
    only_first: int
    only_second: int
    neither: int
    difference: float
    """Accuracy of the first minus that of the second, in percentage points."""
    interval: Interval
    """95 % interval of that difference, in percentage points."""
    p: float
    """Exact and two-sided; 1 where they are right on the same images."""

    @property
    def images(self) -> int:
        """Images that were compared."""
        return self.both + self.only_first + self.only_second + self.neither


def mcnemar(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> McNemar:
    """Compare two checkpoints on the same images.

    Args:
        first: whether it is right on each image, shape (N,), N > 0.
        second: the same for the other, in the same order.

    Returns:
        p: McNemar 1947 (Psychometrika 12), exact: of the images on which just one is right, the
            number on which it is the first is binomial with probability 1/2.
        interval: Newcombe 1998, "Improved confidence intervals for the difference between binomial
            proportions based on paired data" (Statist. Med. 17, 2635), method 10. The test
            decides; within rounding of 5 % the two may disagree.

    Raises:
        ValueError: the shapes differ, or there is no image.
    """
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError(
            f"two lists of as many images are needed, not {first.shape}, {second.shape}"
        )
    both = int((first & second).sum())
    only_first, only_second = int(first.sum()) - both, int(second.sum()) - both
    neither = len(first) - both - only_first - only_second
    counts = (both, only_first, only_second, neither)
    difference = 100 * (only_first - only_second) / len(first)
    return McNemar(*counts, difference, _newcombe(*counts), _exact_p(only_first, only_second))


def _exact_p(only_first: int, only_second: int) -> float:
    """Twice the smaller tail of the binomial with probability 1/2, at most 1."""
    discordant = only_first + only_second
    tail = float(special.bdtr(min(only_first, only_second), discordant, 0.5))
    return min(1.0, 2 * tail)


def _newcombe(both: int, only_first: int, only_second: int, neither: int) -> Interval:
    """Wilson's intervals of both accuracies, combined with their correlation phi; in points."""
    n = both + only_first + only_second + neither
    p1, p2 = (both + only_first) / n, (both + only_second) / n
    (low1, high1), (low2, high2) = _wilson(p1, n), _wilson(p2, n)
    phi = _phi(both, only_first, only_second, neither)
    difference = (only_first - only_second) / n
    below = _combined(p1 - low1, high2 - p2, phi)
    above = _combined(high1 - p1, p2 - low2, phi)
    low, high = max(-1.0, difference - below), min(1.0, difference + above)  # but for rounding
    return Interval(100 * low, 100 * high)


def _combined(one: float, other: float, phi: float) -> float:
    return math.sqrt(max(0.0, one**2 - 2 * phi * one * other + other**2))


def _phi(both: int, only_first: int, only_second: int, neither: int) -> float:
    """Correlation of being right, drawn towards 0 where it is positive (Newcombe's correction)."""
    margins = (
        (both + only_first)
        * (only_second + neither)
        * (both + only_second)
        * (only_first + neither)
    )
    if not margins:
        return 0.0
    product = both * neither - only_first * only_second
    n = both + only_first + only_second + neither
    corrected = max(product - n / 2, 0.0) if product > 0 else product
    return corrected / math.sqrt(margins)


def _wilson(p: float, n: int) -> tuple[float, float]:
    """Wilson's score interval (JASA 22, 1927) of a proportion."""
    z = float(special.ndtri((1 + CONFIDENCE) / 2))
    centre = p + z**2 / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    return (centre - half) / scale, (centre + half) / scale
