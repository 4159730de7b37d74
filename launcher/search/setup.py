"""A search as a sweep file describes it, ready to be asked."""

from __future__ import annotations

import os
from collections.abc import Mapping

from deit_core.config import parse_run_config
from deit_core.errors import ConfigError
from launcher.errors import Location, SweepError
from launcher.layers import config_values
from launcher.resources import Resources
from launcher.search.config import Search
from launcher.search.metrics import DECIDED_BY, THROUGHPUT, missing_metric
from launcher.search.records import SearchRecord
from launcher.search.space import Space
from launcher.sweep import Sweep


def checked_search(sweep: Sweep, space: Space) -> SearchRecord:
    """search.json of a sweep, whose every value can be tried.

    Raises:
        SweepError: an objective that no trial reports, a value that no valid config has, a method
            that has nothing to choose.
    """
    from launcher.search.valid_choices import refuse_useless_choices

    record = search_record(sweep, space)
    refuse_useless_choices(record)
    return record


def search_record(sweep: Sweep, space: Space) -> SearchRecord:
    """search.json of a sweep. Raises SweepError."""
    stage = sweep.teacher
    _check_reported(sweep, space)
    _check_method(sweep, space)
    teacher = None
    if stage is not None and isinstance(stage.value, Mapping):
        teacher = config_values(stage.value)
    return SearchRecord(
        name=sweep.name,
        source=str(sweep.source),
        search=sweep.search,
        space=space,
        config=config_values(sweep.config),
        teacher=teacher,
        seeds=sweep.seeds,
        cwd=os.getcwd(),
    )


def _check_reported(sweep: Sweep, space: Space) -> None:
    """Refuse an objective or a constraint on what no trial will report. Raises SweepError."""
    try:
        config = parse_run_config({**config_values(sweep.config), "seed": sweep.seeds[0]})
    except ConfigError:
        return  # it needs a point, or its teacher, to be whole
    search = sweep.search
    for metric in (*search.objective, *(bound.metric for bound in search.bounds)):
        missing = missing_metric(metric, config)
        if missing is not None and DECIDED_BY[metric] not in space.fields:
            raise SweepError(
                f"search: no trial reports {metric}: {missing}", Location(str(sweep.source))
            )


def timed_metrics(search: Search) -> tuple[str, ...]:
    """What is asked for of a trial's own speed."""
    asked = (*search.objective, *(bound.metric for bound in search.bounds))
    return tuple(metric for metric in asked if metric in THROUGHPUT)


def _check_method(sweep: Sweep, space: Space) -> None:
    """Refuse a method that has nothing to choose. Raises SweepError."""
    if sweep.search.method == "cmaes" and not any(one.range for one in space.parameters):
        raise SweepError(
            "search.method: cmaes chooses numbers of a range, but every field lists its values, "
            "which it draws at random; use method: tpe, gp or random",
            Location(str(sweep.source)),
        )


def measured_apart(search: Search, resources: Resources) -> tuple[Resources, tuple[str, ...]]:
    """Resources without cohorts, and why, where a trial's own speed is asked for."""
    timed = timed_metrics(search)
    if not timed or resources.cohort_size == 1:
        return resources, ()
    note = f"trials train one by one: {timed[0]} is measured, and a cohort has its own speed"
    return resources.model_copy(update={"cohort": False}), (note,)
