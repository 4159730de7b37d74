"""What became of each point: read from its trials, as they stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from deit_core.config import RunConfig
from deit_core.errors import RunDirError
from deit_core.records import SummaryRecord
from deit_core.run_dir import RunDir
from launcher.expand import Trial
from launcher.observe import ACTIVE, NOTHING, Observation
from launcher.policy import CANCELLED
from launcher.search.config import Direction, Search
from launcher.search.metrics import METRICS, value_of
from launcher.search.records import PointRecord, SearchRecord

PointState = Literal["open", "completed", "pruned", "diverged", "failed"]
"""`open`: running, waiting, or to be gone on with."""


@dataclass(frozen=True)
class PointOutcome:
    """One point as it stands."""

    point: PointRecord
    state: PointState
    values: tuple[float, ...] = ()
    """One for each objective, the mean over its seeds; of a completed point."""
    violations: Mapping[str, float] = field(default_factory=dict)
    """By how much each constraint is broken; not positive where it is kept."""
    intermediate: Mapping[int, float] = field(default_factory=dict)
    """The first objective by epoch, of a pruned point."""
    reason: str | None = None
    active: bool = False
    """Whether something works on it, or it waits for that."""

    @property
    def cancelled(self) -> bool:
        """Whether it has no result because the user stopped it."""
        return self.state == "failed" and self.reason == CANCELLED

    @property
    def feasible(self) -> bool:
        """Whether it keeps all constraints."""
        return all(violation <= 0 for violation in self.violations.values())


def directions(search: Search) -> tuple[Direction, ...]:
    """Whether more or less is better, for each objective."""
    return search.direction or tuple(METRICS[metric] for metric in search.objective)


def outcome_of(
    record: SearchRecord,
    point: PointRecord,
    trials: Mapping[str, Trial],
    observations: Mapping[str, Observation],
) -> PointOutcome:
    """Judge a point by its trials.

    Args:
        record: what is searched.
        point: the point.
        trials: by id; a trial that is not there was deleted.
        observations: of those trials whose folder is there.
    """
    seen = [observations.get(name, NOTHING) for name in point.trial_ids]
    active = any(one.condition in ACTIVE for one in seen)
    failed = next((one for one in seen if one.condition in ("failed", "damaged")), None)
    if failed is not None:
        diverged = failed.status.failure == "diverged"
        reason = failed.status.reason or failed.problem
        return PointOutcome(point, "diverged" if diverged else "failed", reason=reason)
    pruned = next((one for one in seen if one.condition == "pruned"), None)
    if pruned is not None:
        curve = _curve(pruned, record.search)
        return PointOutcome(point, "pruned", intermediate=curve, reason=pruned.status.reason)
    if any(was_cancelled(one) for one in seen):
        return PointOutcome(point, "failed", reason=CANCELLED)
    summaries = [one.summary for one in seen]
    if not all(one.condition == "completed" for one in seen) or None in summaries:
        return PointOutcome(point, "open", active=active)
    pairs = [
        (trials[name].config, summary)
        for name, summary in zip(point.trial_ids, summaries, strict=True)
        if summary is not None and name in trials
    ]
    return _completed(record.search, point, pairs)


def was_cancelled(seen: Observation) -> bool:
    """Whether the user has stopped a trial, and has not asked to go on with it since."""
    return seen.condition in ("stopped", "new") and seen.status.reason == CANCELLED


def _completed(
    search: Search, point: PointRecord, pairs: Sequence[tuple[RunConfig, SummaryRecord]]
) -> PointOutcome:
    values = [mean_of(metric, pairs) for metric in search.objective]
    missing = [m for m, value in zip(search.objective, values, strict=True) if value is None]
    if missing:
        return PointOutcome(point, "failed", reason=f"it does not report {', '.join(missing)}")
    return PointOutcome(
        point,
        "completed",
        values=tuple(value for value in values if value is not None),
        violations=violations(search, pairs),
    )


def violations(
    search: Search, pairs: Sequence[tuple[RunConfig, SummaryRecord]]
) -> dict[str, float]:
    """By how much finished trials break each constraint; one that is not reported is broken."""
    found = {}
    for bound in search.bounds:
        value = mean_of(bound.metric, pairs)
        found[str(bound)] = 1.0 if value is None else bound.violation(value)
    return found


def mean_of(metric: str, pairs: Sequence[tuple[RunConfig, SummaryRecord]]) -> float | None:
    """Mean of a metric over finished trials; None where one does not have it."""
    values = [value_of(metric, config, summary) for config, summary in pairs]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _curve(seen: Observation, search: Search) -> dict[int, float]:
    """The first objective by epoch, as far as a pruned trial came."""
    if seen.path is None:
        return {}
    try:
        rows = RunDir(seen.path).read_metrics()
    except RunDirError:
        return {}
    metric = search.objective[0]
    points: dict[int, Any] = {
        round(row["epoch"]): row.get(metric) for row in rows if row.get("kind") == "eval"
    }
    return {epoch: value for epoch, value in points.items() if isinstance(value, int | float)}
