"""Means, deviations, intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
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


def sampling_half_width(top1_percent: float, images: int) -> float:
    """1.96 sqrt(p (1 - p) / N) in percentage points: the chance in which images were drawn.

    The normal approximation to the binomial, for one checkpoint on new images of the same kind.
    """
    p = top1_percent / 100
    return 100 * 1.96 * math.sqrt(p * (1 - p) / images)
