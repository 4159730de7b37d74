"""The trials of a sweep, grid or search, as Optuna's frozen trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from deit_core.config import RunConfig
from deit_core.errors import RunDirError
from deit_core.records import PlannedTrial, PlanRecord
from deit_core.run_dir import RunDir
from launcher.axes import same
from launcher.errors import LaunchError
from launcher.observe import NOTHING, Observation
from launcher.search.config import Direction, Range, Search
from launcher.search.metrics import EVALUATED, METRICS, value_of
from launcher.search.outcomes import directions, violations
from launcher.search.space import Parameter, Space

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

MOST_CHOICES = 10
"""Numbers with more different values than this, such as random draws, count as a range."""

_STATES = {"completed": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL", "damaged": "FAIL"}


@dataclass(frozen=True)
class Goals:
    """What the study's trials are judged by."""

    objectives: tuple[str, ...]
    directions: tuple[Direction, ...]
    search: Search | None = None
    """Whose constraints the trials are held to."""

    @property
    def curve(self) -> str:
        """The number of the evaluations that is shown epoch by epoch."""
        return next((name for name in self.objectives if name in EVALUATED), "val_top1")


def goals_of(given: Sequence[str], search: Search | None) -> Goals:
    """The objectives that are asked for, else the search's, else accuracy.

    Raises:
        LaunchError: no trial reports an objective of this name.
    """
    for name in given:
        if name not in METRICS:
            raise LaunchError(f"{name!r} is no objective; choose from {', '.join(METRICS)}")
    if search is not None and tuple(given) in ((), search.objective):
        return Goals(search.objective, directions(search), search)
    names = tuple(dict.fromkeys(given)) or ("val_top1",)
    return Goals(names, tuple(METRICS[name] for name in names), search)


def parameters_of(plan: PlanRecord, space: Space | None) -> dict[str, Parameter]:
    """Every swept field with the values it can take: as searched, else as the trials say."""
    searched = {parameter.field: parameter for parameter in space.parameters} if space else {}
    fields = dict.fromkeys(field for trial in plan.trials for field in trial.swept)
    return {field: searched.get(field) or _observed(field, plan.trials) for field in fields}


def _observed(field: str, trials: Iterable[PlannedTrial]) -> Parameter:
    values: list[Any] = []
    for value in (trial.swept.get(field) for trial in trials):
        if value is not None and not any(same(value, known) for known in values):
            values.append(value)
    numbers = [one for one in values if isinstance(one, int | float) and not isinstance(one, bool)]
    if len(values) <= MOST_CHOICES or len(numbers) < len(values):
        return Parameter(field=field, choices=tuple(values))
    whole = all(isinstance(one, int) for one in numbers)
    return Parameter(
        field=field, range=Range(low=float(min(numbers)), high=float(max(numbers)), int=whole)
    )


def frozen_trial(
    planned: PlannedTrial, seen: Observation, parameters: Mapping[str, Parameter], goals: Goals
) -> FrozenTrial:
    """One trial of the sweep; with equal files, the same one every time.

    A completed trial that lacks an objective counts as failed. One that has begun counts as
    running until it ends, whether or not a job works on it now.
    """
    from optuna.trial import TrialState, create_trial

    run = None if seen.path is None else RunDir(seen.path)
    config = _config(run)
    measured = _measured(seen, config)
    values = [measured[name] for name in goals.objectives if name in measured]
    state = _STATES.get(seen.condition, "RUNNING" if seen.status.attempt else "WAITING")
    if state == "COMPLETE" and len(values) < len(goals.objectives):
        state = "FAIL"
    params = {
        field: parameters[field]
        for field, value in planned.swept.items()
        if value is not None and parameters[field].holds(value)
    }
    trial = create_trial(
        state=TrialState[state],
        values=values if state == "COMPLETE" else None,
        params={field: one.suggestion_of(planned.swept[field]) for field, one in params.items()},
        distributions={field: one.distribution() for field, one in params.items()},
        user_attrs=_about(planned, seen, measured),
        system_attrs=_constraints(goals.search, seen, config),
        intermediate_values=_curve(run, goals.curve),
    )
    _set_times(trial, seen)
    return trial


def _config(run: RunDir | None) -> RunConfig | None:
    try:
        return None if run is None else run.read_config()
    except RunDirError:
        return None


def _measured(seen: Observation, config: RunConfig | None) -> dict[str, float]:
    """Every metric that the trial reports."""
    if seen.summary is None or config is None:
        return {}
    values = {name: value_of(name, config, seen.summary) for name in METRICS}
    return {name: value for name, value in values.items() if value is not None}


def _about(
    planned: PlannedTrial, seen: Observation, measured: Mapping[str, float]
) -> dict[str, Any]:
    about = {
        "name": planned.name,
        "trial_id": planned.trial_id,
        "group_id": planned.group_id,
        "seed": planned.seed,
        "state": seen.condition,
        "reason": seen.problem or seen.status.reason,
    }
    return {key: value for key, value in {**about, **measured}.items() if value is not None}


def _constraints(
    search: Search | None, seen: Observation, config: RunConfig | None
) -> dict[str, Any]:
    """By how much each constraint is broken, in the one form that optuna-dashboard reads too."""
    if search is None or not search.constraints or seen.summary is None or config is None:
        return {}
    return {"constraints": list(violations(search, [(config, seen.summary)]).values())}


def _curve(run: RunDir | None, metric: str) -> dict[int, float]:
    """A number of the evaluations by epoch; of several in an epoch the last."""
    try:
        rows = [] if run is None else run.read_metrics()
    except RunDirError:
        return {}
    points = {round(row["epoch"]): row.get(metric) for row in rows if row["kind"] == "eval"}
    return {epoch: value for epoch, value in points.items() if value is not None}


def _set_times(trial: FrozenTrial, seen: Observation) -> None:
    """When its latest attempt began and when it ended, instead of now; local time, as Optuna's."""
    status = seen.status
    began = status.started_unix_s
    ended = seen.summary.finished_unix_s if seen.summary else status.finished_unix_s
    trial.datetime_start = _local(began or ended) if trial.state.name != "WAITING" else None
    trial.datetime_complete = _local(ended or began) if trial.state.is_finished() else None


def _local(unix_s: float | None) -> datetime:
    """A trial that failed before it began has no time at all."""
    return datetime.fromtimestamp(unix_s or 0.0, UTC).astimezone().replace(tzinfo=None)


def frozen_trials(
    plan: PlanRecord,
    seen: Mapping[str, Observation],
    parameters: Mapping[str, Parameter],
    goals: Goals,
) -> list[FrozenTrial]:
    """The students in plan order; a teacher is no answer to the sweep's question."""
    return [
        frozen_trial(planned, seen.get(planned.trial_id, NOTHING), parameters, goals)
        for planned in plan.trials
        if planned.role == "student"
    ]
