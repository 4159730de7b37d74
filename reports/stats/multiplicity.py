"""Holm's step-down procedure, for families of tests of any dependence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.stats.contrasts import Verdict, p_value
from reports.stats.numbers import CONFIDENCE, Estimate


@dataclass(frozen=True)
class HolmTest:
    """One difference of a family."""

    p: float
    """Of this difference alone."""
    adjusted_p: float
    """Comparable with 0.05 whatever the size of the family."""
    verdict: Verdict


def holm_adjusted(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values, in the order given (Holm 1979, Scand. J. Statist. 6).

    The i-th smallest of m is multiplied by m - i + 1, and never below the one before it.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, (len(p_values) - rank) * p_values[index])
        adjusted[index] = min(1.0, largest)
    return adjusted


def holm(
    differences: Mapping[str, Estimate], confidence: float = CONFIDENCE
) -> dict[str, HolmTest]:
    """Test a family of differences from baselines; at most 5 % of families have a false word."""
    p_values = {name: p_value(estimate) for name, estimate in differences.items()}
    adjusted = holm_adjusted(list(p_values.values()))
    tests = {}
    for (name, p), adjusted_p in zip(p_values.items(), adjusted, strict=True):
        word: Verdict = "not distinguishable"
        if adjusted_p <= 1 - confidence:
            word = "better" if differences[name].value > 0 else "baseline better"
        tests[name] = HolmTest(p, adjusted_p, word)
    return tests
