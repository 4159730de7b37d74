"""How much of the differences between the points of a search goes with one field.

The measure is epsilon squared of a one-way analysis of variance on ranks: the share of the ranks'
variance between the groups that a field makes, corrected for what as many random groups would
explain (Kelley 1935, "An unbiased correlation ratio measure", PNAS 21). It is near 0 for a field
that does nothing and 1 for one that decides the order alone. Numbers are put into up to four
groups of about equal size, so that an optimum in the middle counts too, which Spearman's rho would
miss. The p value is Kruskal and Wallis' (1952, JASA 47), adjusted by Holm over the fields.

Limits: each field alone, so what fields do together is not seen; a sampler that looks where it
found good points draws fields that depend on each other, and rarely where a field harms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from reports.settings import same_value
from reports.stats.multiplicity import holm_adjusted

FEWEST_POINTS = 20
"""Points with a value below which nothing is said."""
_GROUPS = 4
_SMALLEST_GROUP = 2


@dataclass(frozen=True)
class Importance:
    """One field."""

    field: str
    share: float
    """Epsilon squared, 0 to 1; what is below 0 by chance is 0."""
    p: float
    """Adjusted by Holm over all fields of the same call."""
    points: int
    """Points in which the field varies, and which have a value."""
    groups: int


def importance(
    params: Sequence[Mapping[str, Any]], values: Sequence[float], fields: Sequence[str]
) -> tuple[Importance, ...]:
    """Each field, the most important first; those that cannot be judged are left out.

    Args:
        params: values of the fields, of each point; a field that has no effect there is absent.
        values: the objective, of each point.
        fields: which ones, in order.
    """
    found = []
    for field in fields:
        used = [index for index, point in enumerate(params) if point.get(field) is not None]
        if len(used) < FEWEST_POINTS:
            continue
        groups = _groups([params[index][field] for index in used])
        share, p, count = _epsilon_squared(groups, np.array([values[index] for index in used]))
        if count >= 2:
            found.append(Importance(field, share, p, len(used), count))
    adjusted = holm_adjusted([one.p for one in found])
    judged = [
        Importance(one.field, one.share, float(p), one.points, one.groups)
        for one, p in zip(found, adjusted, strict=True)
    ]
    return tuple(sorted(judged, key=lambda one: -one.share))


def _groups(values: Sequence[Any]) -> NDArray[np.int64]:
    """A group number for each value: numbers by quantile, all else by value."""
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    distinct = {same_value(value) for value in values}
    if len(numbers) == len(values) and len(distinct) > _GROUPS:
        column = np.array(numbers, dtype=np.float64)
        cuts = np.quantile(column, np.arange(1, _GROUPS) / _GROUPS)
        return np.searchsorted(cuts, column, side="right").astype(np.int64)
    order = {value: number for number, value in enumerate(dict.fromkeys(map(same_value, values)))}
    return np.array([order[same_value(value)] for value in values], dtype=np.int64)


def _epsilon_squared(
    groups: NDArray[np.int64], values: NDArray[np.float64]
) -> tuple[float, float, int]:
    """Share, p, and how many groups are large enough to count; the others are left out."""
    names, sizes = np.unique(groups, return_counts=True)
    kept = np.isin(groups, names[sizes >= _SMALLEST_GROUP])
    groups, values = groups[kept], values[kept]
    count, n = len(np.unique(groups)), len(values)
    if count < 2 or n <= count or np.ptp(values) == 0:
        return 0.0, 1.0, count if np.ptp(values) else 0
    ranks = _ranks(values)
    total = float(((ranks - ranks.mean()) ** 2).sum())
    between = sum(
        float((ranks[groups == name].mean() - ranks.mean()) ** 2) * int((groups == name).sum())
        for name in np.unique(groups)
    )
    eta_squared = between / total
    share = 1 - (1 - eta_squared) * (n - 1) / (n - count)
    p = float(special.chdtrc(count - 1, (n - 1) * eta_squared))
    return max(0.0, share), p, count


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """From 1; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last: NDArray[np.float64] = np.cumsum(counts).astype(np.float64)
    ranks: NDArray[np.float64] = (last - (counts - 1) / 2)[inverse]
    return ranks
