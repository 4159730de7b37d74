"""Several evaluation sets together: interquartile mean and its stratified bootstrap.

Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice"
(arXiv 2108.13264), section 4: scores are a matrix of runs x tasks, here seeds x evaluation sets,
and every task is resampled on its own.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from reports.stats.numbers import CONFIDENCE, Interval
from reports.stats.quadrature import Array

MIN_TASKS = 4
"""With fewer sets a mean over sets says less than the sets one by one."""
IQM_NOTE = (
    "Interquartile mean: of all seeds x evaluation sets the lowest and the highest quarter are "
    "left out, rounded down to whole scores, and the rest is averaged. The interval is a bootstrap "
    "that draws seeds anew within each set; with fewer than 5 seeds it is too narrow."
)


@dataclass(frozen=True)
class InterquartileMean:
    """Of one variant, in the unit of its scores."""

    value: float
    interval: Interval
    runs: int
    tasks: int


def generator_of(sweep_id: str) -> np.random.Generator:
    """Random numbers that are the same for every report of a sweep."""
    digest = hashlib.sha256(sweep_id.encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16]))


def iqm(scores: Array) -> Array:
    """Mean of the middle half of the scores: int(n / 4) are trimmed at each end.

    Args:
        scores: shape (..., runs, tasks).
    """
    flat = np.sort(scores.reshape(*scores.shape[:-2], -1), axis=-1)
    cut = flat.shape[-1] // 4
    result: Array = flat[..., cut : flat.shape[-1] - cut].mean(axis=-1)
    return result


def bootstrap_iqm(
    scores: Array, generator: np.random.Generator, resamples: int = 2000
) -> InterquartileMean | None:
    """Interquartile mean and its percentile interval; None for fewer than `MIN_TASKS` tasks.

    Args:
        scores: shape (runs, tasks), comparable over tasks; at least two runs.
        generator: see `generator_of`.
        resamples: how often seeds are drawn anew.
    """
    runs, tasks = scores.shape
    if tasks < MIN_TASKS or runs < 2:
        return None
    drawn = generator.integers(runs, size=(resamples, runs, tasks))
    values = iqm(scores[drawn, np.arange(tasks)])
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return InterquartileMean(float(iqm(scores)), Interval(float(low), float(high)), runs, tasks)
