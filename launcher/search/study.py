"""The Optuna study of a search, rebuilt in memory from its points and what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from launcher.search.outcomes import PointOutcome, directions
from launcher.search.records import SearchRecord, WarmRecord
from launcher.search.space import Space, Values

CONSTRAINT_ATTR = "constraints:{}"
"""Where Optuna 5 keeps what `Trial.set_constraint` was told."""


FORGETFUL = frozenset({"gp"})
"""Methods that would ask for a point without a result again and again."""


def rebuild(
    record: SearchRecord, outcomes: Sequence[PointOutcome], storage: InMemoryStorage
) -> optuna.Study:
    """A study that knows all points, in an empty storage.

    Diverged trials count as pruned before their first evaluation: samplers take those for the
    worst, while they would forget failed ones and try the same again. Where a sampler learns from
    nothing but results, all that have none count as the worst one there is.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # The name is part of some pruners' and samplers' keys, so it must not change.
    study = optuna.create_study(
        study_name=record.name, directions=list(directions(record.search)), storage=storage
    )
    study.add_trials([_warm_trial(record.space, warm) for warm in record.warm])
    worst = _worst(record, outcomes) if record.search.method in FORGETFUL else None
    study.add_trials([_trial(record.space, outcome, worst) for outcome in outcomes])
    latest = max(outcomes, key=lambda one: one.point.number, default=None)
    for key, value in (latest.point.study_attrs if latest else {}).items():
        storage.set_study_system_attr(_study_id(storage), key, value)
    return study


def study_attrs(storage: InMemoryStorage) -> dict[str, Any]:
    """What samplers have noted of the study as a whole."""
    return storage.get_study_system_attrs(_study_id(storage))


def _study_id(storage: InMemoryStorage) -> int:
    return storage.get_all_studies()[0]._study_id


def suggestions(space: Space, params: Values) -> dict[str, Any]:
    """A point's values as the sampler knows them."""
    by_field = {parameter.field: parameter for parameter in space.parameters}
    return {
        field: by_field[field].suggestion_of(value)
        for field, value in params.items()
        if field in by_field
    }


def _distributions(
    space: Space, params: Mapping[str, Any]
) -> dict[str, optuna.distributions.BaseDistribution]:
    return {p.field: p.distribution() for p in space.parameters if p.field in params}


def _warm_trial(space: Space, warm: WarmRecord) -> FrozenTrial:
    params = suggestions(space, warm.params)
    return create_trial(
        state=TrialState.COMPLETE,
        values=list(warm.values),
        params=params,
        distributions=_distributions(space, params),
        system_attrs=_constraint_attrs(warm.violations),
    )


def _worst(record: SearchRecord, outcomes: Sequence[PointOutcome]) -> tuple[float, ...] | None:
    """The worst value of each objective so far; None where there is no result yet."""
    known = [one.values for one in outcomes if one.state == "completed"]
    ways = [min if way == "maximize" else max for way in directions(record.search)]
    columns = zip(*known, strict=True)
    return tuple(way(column) for way, column in zip(ways, columns, strict=True)) if known else None


def _trial(
    space: Space, outcome: PointOutcome, worst: tuple[float, ...] | None = None
) -> FrozenTrial:
    params = suggestions(space, outcome.point.params)
    attrs = dict(outcome.point.attrs)
    state, values = TrialState.RUNNING, outcome.values
    if outcome.state not in ("open", "completed") and worst is not None:
        state, values = TrialState.COMPLETE, worst
    elif outcome.state == "completed":
        state = TrialState.COMPLETE
        attrs |= _constraint_attrs(outcome.violations)
    elif outcome.state in ("pruned", "diverged"):
        state = TrialState.PRUNED
    elif outcome.state == "failed":
        state = TrialState.FAIL
    return create_trial(
        state=state,
        values=list(values) if state == TrialState.COMPLETE else None,
        params=params,
        distributions=_distributions(space, params),
        system_attrs=attrs,
        intermediate_values=dict(outcome.intermediate) if state == TrialState.PRUNED else {},
    )


def _constraint_attrs(violations: Mapping[str, float]) -> dict[str, Any]:
    return {CONSTRAINT_ATTR.format(name): value for name, value in violations.items()}
