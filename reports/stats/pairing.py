"""Two variants at equal seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from reports.stats.contrasts import t_critical
from reports.stats.numbers import Interval, mean, sample_sd


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
