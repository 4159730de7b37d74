"""What each head and each set of weights is worth, compared within each run. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.stats import Interval, Verdict, mean, sample_sd, t_critical, verdict
from reports.variants import Variant


@dataclass(frozen=True)
class Gain:
    """One accuracy minus another one of the same runs, in percentage points."""

    n: int
    """Seeds that have both."""
    delta: float
    interval: Interval | None
    """Simultaneous over all variants of the same comparison (Bonferroni)."""
    verdict: Verdict


def gains(variants: Sequence[Variant], field: str, against: str) -> dict[str, Gain]:
    """Differences within runs, by group id; variants without any are left out.

    Each has a t interval of its own: the spread of differences within runs is no spread of seeds.
    """
    pairs = {
        variant.group_id: _differences(variant.seed_values(field), variant.seed_values(against))
        for variant in variants
    }
    tested = [group for group, found in pairs.items() if sample_sd(found)]
    return {group: _gain(found, len(tested)) for group, found in pairs.items() if found}


def _differences(values: Mapping[int, float], against: Mapping[int, float]) -> list[float]:
    return [values[seed] - against[seed] for seed in sorted(values.keys() & against.keys())]


def _gain(differences: Sequence[float], family: int) -> Gain:
    n, centre, sd = len(differences), mean(differences), sample_sd(differences)
    if not sd:
        return Gain(n, centre, None, "not tested")
    half = t_critical(n - 1, family) * sd / math.sqrt(n)
    interval = Interval(centre - half, centre + half)
    return Gain(n, centre, interval, verdict(centre, interval))
