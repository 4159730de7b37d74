"""A predicted quantity: never a bare number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

LEVEL = 0.9
"""Probability that a prediction interval is meant to cover."""


@dataclass(frozen=True)
class Interval:
    """Bounds that hold the true value with probability `LEVEL`, and the likeliest value."""

    low: float
    point: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.point <= self.high:
            raise ValueError(f"{self.low} <= {self.point} <= {self.high} must hold")

    def __add__(self, other: Interval) -> Interval:
        """The sum of two quantities that are wrong together.

        What makes one job slower than predicted makes the others slower: one device, one rate. The
        quantiles of such (comonotonic) quantities add up (Dhaene et al. 2002, "The concept of
        comonotonicity in actuarial science and finance: theory", theorem 4); independent errors
        would partly cancel, and the interval would be too narrow.
        """
        return Interval(self.low + other.low, self.point + other.point, self.high + other.high)

    def __mul__(self, factor: float) -> Interval:
        """The quantity in other units, or several of it; `factor` is not negative."""
        return Interval(self.low * factor, self.point * factor, self.high * factor)


ZERO = Interval(0.0, 0.0, 0.0)


def total(parts: Iterable[Interval]) -> Interval:
    """The sum of quantities that are wrong together; see `Interval.__add__`."""
    return sum(parts, ZERO)
