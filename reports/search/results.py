"""A search as its report sees it: points, objectives, the best so far, what is on the front. Pure.

A point is one choice of the searched fields, with one trial for each seed. Its values are means
over its seeds and exist only where all of them completed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from deit_core.config import RunConfig
from deit_core.flops import FLOPS_PER_MAC, student_cost
from deit_core.records import SummaryRecord
from reports.results import SweepResults, TrialResult

PointState = Literal["completed", "pruned", "failed", "open"]
MINIMISED = frozenset({"val_loss", "train_loss", "train_s", "parameters", "gflops"})
"""Objectives of which less is better, unless the search says otherwise."""
_CONSTRAINT = re.compile(r"\s*(\w+)\s*(>=|<=)\s*(\S+)\s*")


@dataclass(frozen=True)
class Objective:
    """What is made as good as it can be."""

    metric: str
    maximised: bool

    def better(self, one: float, other: float) -> bool:
        """Whether one value is better than another one."""
        return one > other if self.maximised else one < other


@dataclass(frozen=True)
class Point:
    """One choice of the searched fields."""

    number: int
    params: Mapping[str, Any]
    state: PointState
    trial_ids: tuple[str, ...]
    group_id: str | None
    values: tuple[float, ...] = ()
    """One for each objective; of a completed point."""
    last_seen: float | None = None
    """First objective at the last evaluation of a point that did not complete."""
    broken: tuple[str, ...] = ()
    """Constraints that it breaks."""

    @property
    def counts(self) -> bool:
        """Whether it may win."""
        return self.state == "completed" and not self.broken


@dataclass(frozen=True)
class SearchResults:
    """A whole search."""

    method: str
    budget: int | None
    objectives: tuple[Objective, ...]
    constraints: tuple[str, ...]
    space: tuple[Mapping[str, Any], ...]
    """Entries of the space as search.json has them."""
    points: tuple[Point, ...]
    ended: str | None
    """Why no more points are asked for."""
    damaged: int
    """Points whose files cannot be read."""
    pruner: Mapping[str, Any] | None = None
    warm: int = 0
    """Finished points of other sweeps that it learnt from."""
    best_so_far: tuple[tuple[int, float], ...] = field(default=())
    """Number and first objective of each point that beat all before it."""

    def of_state(self, state: PointState) -> list[Point]:
        """Points in a state."""
        return [point for point in self.points if point.state == state]

    @property
    def winner(self) -> Point | None:
        """The best by the first objective among those that keep the constraints."""
        if not self.best_so_far:
            return None
        return next(p for p in self.points if p.number == self.best_so_far[-1][0])

    def front(self) -> list[Point]:
        """Points that no other one beats in every objective, in order of the first one."""
        able = [point for point in self.points if point.counts]
        order = sorted(able, key=self._scores, reverse=True)
        kept: list[Point] = []
        for point in order:  # whoever dominates a point comes before it
            scores = self._scores(point)
            if not any(_dominates(self._scores(other), scores) for other in kept):
                kept.append(point)
        return kept

    def _scores(self, point: Point) -> tuple[float, ...]:
        return tuple(
            value if objective.maximised else -value
            for objective, value in zip(self.objectives, point.values, strict=True)
        )


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


def read_results(sweep: SweepResults) -> SearchResults | None:
    """The search of a sweep; None for a grid, and where search.json is not as it should be."""
    if sweep.search is None:
        return None
    try:
        record = sweep.search["search"]
        search = record["search"]
        objectives = _objectives(search)
        space = tuple(dict(one) for one in record["space"]["parameters"] if one["field"])
        constraints = tuple(map(str, search.get("constraints") or ()))
        trials = {trial.planned.trial_id: trial for trial in sweep.students}
        points = [_point(one, trials, objectives, constraints) for one in sweep.search["points"]]
        ended = sweep.search.get("ended")
        return SearchResults(
            method=str(search["method"]),
            budget=search.get("trials"),
            objectives=objectives,
            constraints=constraints,
            space=space,
            points=tuple(sorted(points, key=lambda point: point.number)),
            ended=None if ended is None else str(ended.get("reason", "")),
            damaged=int(sweep.search.get("damaged", 0)),
            pruner=search.get("pruner"),
            warm=len(record.get("warm") or ()),
            best_so_far=_best_so_far(points, objectives[0]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return None


def _objectives(search: Mapping[str, Any]) -> tuple[Objective, ...]:
    metrics = [str(metric) for metric in search["objective"]]
    directions = search.get("direction") or [
        "minimize" if metric in MINIMISED else "maximize" for metric in metrics
    ]
    return tuple(
        Objective(metric, direction == "maximize")
        for metric, direction in zip(metrics, directions, strict=True)
    )


def _point(
    values: Mapping[str, Any],
    trials: Mapping[str, TrialResult],
    objectives: Sequence[Objective],
    constraints: Sequence[str],
) -> Point:
    ids = tuple(map(str, values["trial_ids"]))
    found = [trials[one] for one in ids if one in trials]
    state = _state(found, len(ids))
    measured = _means([objective.metric for objective in objectives], found)
    if state == "completed" and measured is None:
        state = "failed"  # it does not report what is asked for
    return Point(
        number=int(values["number"]),
        params=dict(values["params"]),
        state=state,
        trial_ids=ids,
        group_id=found[0].planned.group_id if found else None,
        values=measured or () if state == "completed" else (),
        last_seen=_last_seen(found, objectives[0].metric) if state != "completed" else None,
        broken=tuple(one for one in constraints if state == "completed" and _breaks(one, found)),
    )


def _state(trials: Sequence[TrialResult], planned: int) -> PointState:
    states = {trial.state for trial in trials}
    if states & {"failed", "damaged"}:
        return "failed"
    if "pruned" in states:
        return "pruned"
    return "completed" if states == {"completed"} and len(trials) == planned else "open"


def _means(metrics: Sequence[str], trials: Sequence[TrialResult]) -> tuple[float, ...] | None:
    means = []
    for metric in metrics:
        values = [_metric(metric, trial.config, trial.summary) for trial in trials]
        known = [value for value in values if value is not None]
        if not known or len(known) < len(values):
            return None
        means.append(math.fsum(known) / len(known))
    return tuple(means)


def _metric(metric: str, config: RunConfig | None, result: SummaryRecord | None) -> float | None:
    """As the search judges trials: docs/search.md says what each is."""
    if result is None:
        return None
    if metric == "train_images_per_s":
        if config is None or result.cohort_size > 1 or result.train_s <= 0:
            return None
        return result.steps * config.train.global_batch_size / result.train_s
    if metric == "gflops":
        cost = student_cost(config, result.num_classes) if config is not None else None
        return None if cost is None else 1e-9 * FLOPS_PER_MAC * cost.macs
    value = getattr(result, metric, None)
    return float(value) if isinstance(value, int | float) else None


def _last_seen(trials: Sequence[TrialResult], metric: str) -> float | None:
    for trial in trials:
        values = trial.curve.column(metric) if trial.curve is not None else ()
        known = [value for value in values if math.isfinite(value)]
        if known:
            return known[-1]
    return None


def _breaks(constraint: str, trials: Sequence[TrialResult]) -> bool:
    found = _CONSTRAINT.fullmatch(constraint)
    if found is None:
        return False
    metric, sign, bound = found.groups()
    measured = _means([metric], trials)
    if measured is None:
        return True
    return measured[0] < float(bound) if sign == ">=" else measured[0] > float(bound)


def _best_so_far(points: Sequence[Point], objective: Objective) -> tuple[tuple[int, float], ...]:
    best: list[tuple[int, float]] = []
    for point in sorted(points, key=lambda one: one.number):
        if point.counts and (not best or objective.better(point.values[0], best[-1][1])):
            best.append((point.number, point.values[0]))
    return tuple(best)
