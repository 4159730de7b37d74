"""Learning curves of variants: the mean over seeds, their range, and every seed. Pure.

The mean and the range are over the seeds that completed, as a seed that leaves would bend them.
Where none has completed they are over all seeds, as far as the shortest goes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reports.analysis import Analysis
from reports.device_hours import Unit, hours_per_step, members_of_jobs
from reports.results import TrialResult
from reports.variants import Variant

MOST_DRAWN = 8
"""Variants in one picture: as many as can be told apart."""
MOST_SEEDS = 10
"""Seeds of one variant that get a line."""
_MOST_POINTS = 80
"""Of one line: more than the width of the picture shows."""
FRACTIONS = (0.25, 0.5, 0.75, 1.0)
"""Of the schedule, where the table looks."""

End = Literal["completed", "running", "pruned", "failed", "stopped"]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class SeedCurve:
    """One seed: evaluations in order."""

    trial_id: str
    seed: int
    epochs: Values
    hours: Values | None
    """Device time up to each evaluation; null where devices or speed are not known."""
    top1: Values
    """Percent."""
    schedule_epochs: float | None
    """Of its whole schedule."""
    end: End

    def at(self, fraction: float) -> float | None:
        """The last evaluation up to this part of the schedule; None where it did not get there."""
        if self.schedule_epochs is None:
            return None
        limit = fraction * self.schedule_epochs + 1e-6
        if self.end != "completed" and self.epochs[-1] < limit - 2e-6:
            return None
        reached = np.flatnonzero(self.epochs <= limit)
        return float(self.top1[reached[-1]]) if reached.size else None


@dataclass(frozen=True)
class Band:
    """Mean and range of several seeds at common places."""

    x: Values
    mean: Values
    low: Values
    high: Values
    n: int


@dataclass(frozen=True)
class VariantCurves:
    """All seeds of one variant."""

    label: str
    group_id: str
    seeds: tuple[SeedCurve, ...]
    hours_unit: Unit | None
    """Null where a seed's hours are not known, or seeds trained on different kinds of device."""

    @property
    def averaged(self) -> tuple[SeedCurve, ...]:
        """The seeds that mean and range are of."""
        return tuple(seed for seed in self.seeds if seed.end == "completed") or self.seeds

    def by_epoch(self) -> Band:
        """Over epochs."""
        return _band([(seed.epochs, seed.top1) for seed in self.averaged])

    def by_hours(self) -> Band | None:
        """Over device time."""
        pairs = [(s.hours, s.top1) for s in self.averaged if s.hours is not None]
        return _band(pairs) if self.hours_unit and len(pairs) == len(self.averaged) else None


def choose_variants(analysis: Analysis, most: int = MOST_DRAWN) -> list[Variant]:
    """The baselines, the best, then by rank: as many as fit, in order of rank."""
    ranked = [row.variant for row in analysis.ranked]
    baselines = list(analysis.baseline.groups) if len(analysis.baseline.groups) <= most // 2 else []
    order = sorted(ranked, key=lambda variant: variant.group_id not in baselines)
    kept = {variant.group_id for variant in order[:most]}
    return [variant for variant in ranked if variant.group_id in kept]


def learning_curves(
    variants: Sequence[Variant], trials: Sequence[TrialResult]
) -> list[VariantCurves]:
    """The curves of variants, in the order given; those without an evaluation are left out.

    Args:
        variants: which ones.
        trials: all of the sweep, as they may share jobs.
    """
    members = members_of_jobs(trials)
    found = []
    for variant in variants:
        seeds, units = [], set()
        for trial in variant.trials:
            per_step = hours_per_step(trial, members)
            curve = _seed_curve(trial, per_step[1] if per_step else None)
            if curve is not None:
                seeds.append(curve)
                units.add(per_step[0] if per_step else None)
        if seeds:
            unit = units.pop() if len(units) == 1 else None
            found.append(VariantCurves(variant.label, variant.group_id, tuple(seeds), unit))
    return found


def _seed_curve(trial: TrialResult, hours_per_step: float | None) -> SeedCurve | None:
    if trial.curve is None:
        return None
    epochs, steps, top1 = (
        np.asarray(trial.curve.column(name), dtype=np.float64)
        for name in ("epoch", "step", "val_top1")
    )
    if not steps.size and trial.imported is not None:  # its files may count epochs alone
        steps = np.full(epochs.size, np.nan)
    if not len(epochs) == len(steps) == len(top1):
        return None
    stepped = np.isfinite(steps) | (trial.imported is not None)
    known = np.flatnonzero(np.isfinite(epochs) & stepped & np.isfinite(top1))
    if not known.size:
        return None
    if known.size > _MOST_POINTS:
        known = known[np.linspace(0, known.size - 1, _MOST_POINTS).round().astype(int)]
    return SeedCurve(
        trial_id=trial.planned.trial_id,
        seed=trial.planned.seed,
        epochs=epochs[known],
        hours=None if hours_per_step is None else steps[known] * hours_per_step,
        top1=top1[known],
        schedule_epochs=_schedule(trial, float(epochs[known[-1]]), float(steps[known[-1]])),
        end=_end(trial),
    )


def _schedule(trial: TrialResult, epoch: float, step: float) -> float | None:
    if trial.result is not None:
        return trial.result.epochs
    total = trial.status.total_steps if trial.status else None
    return epoch * total / step if total and step else None


def _end(trial: TrialResult) -> End:
    if trial.state in ("completed", "running", "pruned"):
        return trial.state
    return "failed" if trial.state in ("failed", "damaged") else "stopped"


def _band(lines: Sequence[tuple[Values, Values]]) -> Band:
    """Straight between evaluations, at the places of the longest line that all of them reach."""
    first = max(x[0] for x, _ in lines)
    last = min(x[-1] for x, _ in lines)
    places = max((x for x, _ in lines), key=len)
    places = places[(places >= first) & (places <= last)]
    if not places.size or places[-1] < last:
        places = np.append(places, last)
    values = np.stack([np.interp(places, x, y) for x, y in lines])
    mean = values.mean(axis=0)
    return Band(places, mean, values.min(axis=0), values.max(axis=0), len(lines))


def mean_at(curves: VariantCurves, fraction: float) -> tuple[float, int] | None:
    """Mean over the seeds that got to this part of the schedule, and how many these are."""
    found = [value for seed in curves.seeds if (value := seed.at(fraction)) is not None]
    return (math.fsum(found) / len(found), len(found)) if found else None
